"""`xharness models list`: zoo checkpoints on the Hub and on disk."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import yaml
from tabulate import tabulate

from xharness import hardware
from xharness.checkpoints import files, heads, pull, training_record
from xharness.checkpoints.heads import Phase
from xharness.checkpoints.training_record import Record
from xharness.checkpoints.zoo import OWN_ORG, Entry, Zoo, ZooEncoder
from xharness.errors import ModelError, UsageError
from xharness.hub import read as hub_read
from xharness.hub.errors import Unreachable
from xharness.tasks.registry import MIXTURE, list_intermediate, list_training, load_mixture, load_training
from xharness.text import strip_controls

_THREADS = 8
_SHA_DIGITS = 12


@dataclass(frozen=True)
class Row:
    """A checkpoint in the list.

    Attributes:
        name: name in the zoo; for a checkpoint that is not in the zoo, the name of its local folder.
        encoder: title of the base encoder.
        task: training set, or ``multitask``; for a checkpoint that is not in the zoo, its training sets, joined by
            commas.
        title: title of the training set.
        phase: trained on intermediate tasks, or tuned on a target.
        size: bytes; None if unknown.
        repo: repository on the Hub; None if it is not published.
        revision: commit on the Hub.
        pinned: whether the zoo file has that commit.
        folder: local folder.
        headline: a score and what it measures; empty if there is none.
    """

    name: str
    encoder: str
    task: str
    title: str
    phase: Phase
    size: int | None = None
    repo: str | None = None
    revision: str | None = None
    pinned: bool = False
    folder: Path | None = None
    headline: str = ""

    def state(self, asked: bool) -> str:
        """Return where the checkpoint is; ``asked``: the Hub was asked."""
        places = [f"local: {self.folder.name}"] if self.folder else []
        places += ["on the Hub"] if self.repo else []
        return ", ".join(places) or ("not published" if asked else "")


@dataclass(frozen=True)
class Listing:
    """The list of `xharness models list`.

    Attributes:
        rows: checkpoints of the zoo in its order, then others in the local folder.
        org: organization on the Hub; None if unknown.
        asked: whether the Hub was asked.
        notes: messages below the table.
    """

    rows: tuple[Row, ...]
    org: str | None
    asked: bool
    notes: tuple[str, ...]

    def table(self) -> str:
        """Return the list as a table with its notes below."""
        full = self.asked or any(row.folder for row in self.rows)
        lines = []
        for row in self.rows:
            line = [row.name, row.encoder, row.title, _format_size(row.size)]
            if full:
                revision = (row.revision or "")[:_SHA_DIGITS] + (" (pinned)" if row.pinned else "")
                line += [row.state(self.asked), revision, row.headline]
            lines.append(line)
        head = ["name", "encoder", "trained on", "size", *(["state", "revision", "score"] if full else [])]
        table = tabulate(lines, head, tablefmt="simple", disable_numparse=True)
        return "\n".join([table, "", *self.notes]).rstrip()

    def to_json(self) -> dict[str, Any]:
        """Return the JSON of ``models list --json``."""
        fields = ("name", "encoder", "task", "title", "phase", "size", "repo", "revision", "pinned", "headline")
        models = [
            {
                **{field: getattr(row, field) for field in fields},
                "folder": None if row.folder is None else str(row.folder),
                "state": row.state(self.asked) or None,
            }
            for row in self.rows
        ]
        return {"org": self.org, "hub_asked": self.asked, "models": models, "notes": list(self.notes)}


def list_checkpoints(zoo: Zoo, folder: Path | None, encoder: str | None) -> Listing:
    """List the checkpoints of the zoo.

    Args:
        zoo: the zoo; without an ``org`` the Hub is not asked.
        folder: local folder with one subfolder per checkpoint, as scripts/train_zoo.sh creates it.
        encoder: list only the checkpoints of this encoder of the zoo.

    Raises:
        UsageError: ``folder`` does not exist, or ``encoder`` is not in the zoo.
        ModelError: the Hub refuses (a wrong token, too many requests).
    """
    if folder is not None and not folder.is_dir():
        raise UsageError(
            f"--zoo {folder}: this folder does not exist. Give a folder with one subfolder per checkpoint."
        )
    entries = zoo.of_encoder(encoder)
    notes: list[str] = []
    rows = {entry.name: [_row(entry)] for entry in entries}
    others: list[Row] = []
    asked = zoo.org is not None
    if zoo.org is not None:
        try:
            rows |= {name: [row] for name, row in _on_hub(entries, zoo.org, notes).items()}
        except Unreachable:
            asked = False
            notes.append("The Hub cannot be reached, or HF_HUB_OFFLINE is set, so published checkpoints are not shown.")
    for row, entry in _local(folder, zoo, notes) if folder is not None else ():
        if entry is None:
            others += [row] if encoder is None else []
        elif entry.name in rows:
            _add_local(rows[entry.name], row)
    if zoo.org is None:
        notes.append(f"--org ORG (or {OWN_ORG}) shows which are published; --zoo DIR shows which are on this machine.")
    return Listing(
        tuple([row for entry_rows in rows.values() for row in entry_rows] + others), zoo.org, asked, tuple(notes)
    )


def _row(entry: Entry) -> Row:
    """Return the row of a checkpoint that does not exist yet; its size is that of the encoder's weights."""
    try:
        size = hardware.exported_bytes(hardware.load_encoder(entry.encoder.model))
    except (UsageError, ModelError):
        size = None
    return Row(entry.name, entry.encoder.title, entry.task, _title(entry.task), entry.phase, size)


def _format_size(size: int | None) -> str:
    if size is None:
        return ""
    return f"{size / 1e9:.2g} GB" if size >= 1e8 else f"{size / 1e6:.2g} MB"


def _title(task: str) -> str:
    if task == MIXTURE:
        return load_mixture(MIXTURE).title
    return load_training(task).title if task in list_training() else task


def _trained_on(tasks: Sequence[str]) -> str:
    """Return the title of one training set, or how many of the intermediate tasks a checkpoint was trained on."""
    known = list_intermediate()
    if len(tasks) == 1 or set(tasks) == set(known):
        return strip_controls(_title(tasks[0] if len(tasks) == 1 else MIXTURE))
    if set(tasks) <= set(known):
        return f"{len(tasks)} of the {len(known)} intermediate tasks"
    return strip_controls(", ".join(tasks))


def _add_local(rows: list[Row], local: Row) -> None:
    """Add a local checkpoint to the row of the published one, or below it if that row has a local one already."""
    if rows[0].folder is not None:
        rows.append(replace(local, repo=rows[0].repo, revision=rows[0].revision, pinned=rows[0].pinned))
    elif rows[0].repo is None:
        rows[0] = local
    else:
        rows[0] = replace(rows[0], folder=local.folder, headline=rows[0].headline or local.headline)


def _on_hub(entries: Sequence[Entry], org: str, notes: list[str]) -> dict[str, Row]:
    """Return the rows of the checkpoints that an organization has on the Hub, by name; adds to ``notes``."""
    existing = set(hub_read.list_models(org))
    published = [entry for entry in entries if entry.repo(org) in existing]
    with ThreadPoolExecutor(_THREADS) as pool:
        rows = pool.map(partial(_published, org=org, notes=notes), published)
        return {entry.name: row for entry, row in zip(published, rows, strict=True)}


def _published(entry: Entry, org: str, notes: list[str]) -> Row:
    repo = entry.repo(org)
    row = replace(_row(entry), repo=repo, revision=entry.revision, pinned=entry.revision is not None)
    try:
        sha = entry.revision or hub_read.resolve(repo, None, "model", fresh=True)
        listed = hub_read.list_files(repo, sha, "model")
        score = _overall(repo, sha, listed) or _development(repo, sha, listed)
    except Unreachable:
        raise
    except ModelError as error:
        notes.append(str(error))
        return row
    # All safetensors files at the root count: the index with the names of the shards is not downloaded for a list.
    selected = set(pull.select(listed)) | {p for p in listed if "/" not in p and p.endswith(".safetensors")}
    return replace(row, size=sum(listed[path].size for path in selected), revision=sha, headline=score)


def _overall(repo: str, sha: str, listed: Mapping[str, Any]) -> str:
    """Return the overall scores in the .eval_results of a repository; empty if there are none."""
    averages = []
    for path in sorted(path for path in listed if path.startswith(".eval_results/") and path.endswith(".yaml")):
        try:
            entries = yaml.safe_load(hub_read.download_file(repo, sha, path, "model").read_text(encoding="utf-8"))
            for entry in entries:
                name, value = entry["dataset"]["id"], entry["value"]
                if (
                    entry["dataset"]["task_id"] == "overall"
                    and isinstance(name, str)
                    and isinstance(value, int | float)
                ):
                    averages.append(strip_controls(f"{name.rpartition('/')[2]} overall {value:.1f}"))
        except (yaml.YAMLError, ValueError, TypeError, KeyError, RecursionError):
            continue  # not written by xharness; list the checkpoint without its score
    return ", ".join(averages)


def _development(repo: str, sha: str, listed: Mapping[str, Any]) -> str:
    if training_record.FILE not in listed:
        return ""
    path = hub_read.download_file(repo, sha, training_record.FILE, "model")
    try:
        return _score(path.parent)
    except ModelError:
        return ""


def _score(folder: Path) -> str:
    """Return the headline of a folder's training.json; raise ModelError if xharness did not write it."""
    try:
        return headline(training_record.load(folder))
    except (AttributeError, KeyError, RecursionError, TypeError, ValueError):
        raise ModelError(f"{folder / training_record.FILE}: not a training record of xharness.") from None


def headline(record: Record | None) -> str:
    """Return the score that a checkpoint was selected by, and what it measures; empty if there is none.

    It is the score on development data, as in ``english-dev 84.1 (mnli, accuracy)``; over several sets, their mean.
    """
    if record is None or record.score is None:
        return ""
    if len(record.probes) == 1:
        ((name, dev_set),) = record.probes.items()
        of = f"{name}, {dev_set.get('metric')}"
    else:
        of = f"mean of {len(record.probes)} sets"
    failed = "" if record.status == "complete" else f", {record.status}"
    return strip_controls(f"{next(iter(record.selections))} {record.score:.1f} ({of}){failed}")


def _local(folder: Path, zoo: Zoo, notes: list[str]) -> Iterator[tuple[Row, Entry | None]]:
    """Yield the checkpoints of xharness in a folder, each with the zoo's entry of the same base and training."""
    count = 0
    for path in sorted(config.parent for config in folder.glob("*/config.json")):
        if not (path / heads.FILE).is_file():
            continue
        try:
            record = heads.read(path / heads.FILE, str(path), files.find_heads(path))
            score = _score(path)
        except ModelError as error:
            notes.append(f"{path.name} is left out: {error}")
            continue
        count += 1
        is_multitask = len(record.tasks) > 1 and set(record.tasks) <= set(list_intermediate())
        task = MIXTURE if is_multitask else ",".join(record.tasks)
        encoder = zoo.encoder_of(record.base_name)
        size = sum(p.stat().st_size for p in [*path.iterdir(), *path.glob("heads/*")] if p.is_file())
        base, title = strip_controls(record.base_name), _trained_on(record.tasks)
        row = Row(path.name, base, strip_controls(task), title, record.phase, size, folder=path, headline=score)
        entry = _entry(zoo, encoder, task, record.phase)
        yield (row if entry is None else replace(row, name=entry.name, encoder=entry.encoder.title)), entry
    if not count:
        notes.append(f"{folder} has no checkpoints that xharness trained (DIR/<name>/xharness.json).")


def _entry(zoo: Zoo, encoder: ZooEncoder | None, task: str, phase: Phase) -> Entry | None:
    matches = (
        entry for entry in zoo.entries if entry.encoder == encoder and entry.task == task and entry.phase == phase
    )
    return next(matches, None)
