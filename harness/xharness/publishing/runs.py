"""Collect the runs of a checkpoint and copy them without local paths."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from xharness import text as text_module
from xharness.checkpoints.checkpoint import Checkpoint
from xharness.errors import PublishError, XharnessError, nearest_folder
from xharness.results import runs as results_runs
from xharness.results.runs import Run, begun, fitting, read_run, run_record
from xharness.results.score import Score

FOLDER = "results"
"""Where the results lie in the repository."""


@dataclass
class Collected:
    """The RUNs that were found.

    Attributes:
        runs: those of the checkpoint, in the order of their folders.
        shas: commits of the target repository that some of them were made with, which the Hub has to confirm.
        left_out: why a RUN below a folder is not published -> how many there are.
        problems: what keeps it from being published, as sentences.
    """

    runs: list[Run] = field(default_factory=list)
    shas: set[str] = field(default_factory=set)
    left_out: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)

    @property
    def notes(self) -> list[str]:
        """What was left out, and what is not a whole score, as sentences."""
        lines = [f"left out: {count} RUN{'s' if count > 1 else ''}: {why}" for why, count in self.left_out.items()]
        scores = [score for run in self.runs for score in run.scores]
        partial = [score for score in scores if not score.whole or score.data_status != "complete"]
        if partial:
            names = list(dict.fromkeys(f"{score.task}/{score.language}" for score in partial))
            listed = ", ".join(names[:6]) + (f" and {len(names) - 6} more" if len(names) > 6 else "")
            lines.append(
                f"partial: {len(partial)} of {len(scores)} scores are not of the whole, real test data ({listed}); the "
                "card marks them, and they are not in the metadata"
            )
        return lines


def collect(paths: Sequence[Path], checkpoint: Checkpoint, repo: str) -> Collected:
    """Return the RUNs at some paths that belong to a checkpoint.

    Args:
        paths: RUNs, or folders that hold RUNs on any floor; those of others below a folder are left out, and a RUN
            that is named itself has to belong.
        checkpoint: a local one.
        repo: ``org/name``; RUNs of the copy that is published there belong as well, once the Hub has confirmed it.
    """
    collected = Collected()
    seen = set[Path]()
    for path in paths:
        folders = list(_folders(path))
        if not path.is_dir():
            collected.problems.append(f"{path}: there is no such folder.{nearest_folder(path)}")
        elif not folders:
            collected.problems.append(f"{path}: there is no RUN in this folder (a run.json, made by xharness eval).")
        for folder in folders:
            if folder.resolve() not in seen:
                seen.add(folder.resolve())
                _add(collected, folder, folder == path, checkpoint, repo)
    collected.problems += _twice(collected.runs)
    return collected


def _folders(path: Path) -> Iterable[Path]:
    if (path / "run.json").is_file():
        return [path]
    return sorted(file.parent for file in path.rglob("run.json"))


def _add(collected: Collected, folder: Path, named: bool, checkpoint: Checkpoint, repo: str) -> None:
    """Read a RUN and add it, or the reason why not."""
    try:
        record = run_record(folder)
        why = _foreign(record, checkpoint, repo) or _unfit(folder, record)
        if why is not None:
            short, long = why
            if named:
                collected.problems.append(f"{folder}: {long}")
            else:
                collected.left_out[short] += 1
            return
        run = read_run(folder)
        fitting(run, run.specs())
        _check_scores(run)
    except XharnessError as error:
        collected.problems.append(str(error))
        return
    collected.runs.append(run)
    if record.get("model_hash") is None:
        collected.shas.add(record["model_sha"])


def _foreign(record: dict[str, Any], checkpoint: Checkpoint, repo: str) -> tuple[str, str] | None:
    """Return why a RUN is of another checkpoint, for a list and as a sentence; None if it is of this one."""
    name, sha, digest = (record.get(key) for key in ("model", "model_sha", "model_hash"))
    if digest is not None and digest == checkpoint.content_hash:
        return None
    if digest is None and sha is not None and name == repo:
        return None
    other = f"{name} ({str(digest or sha)[:12]})"
    return "of another checkpoint", (
        f"this RUN is of another checkpoint: {other}, and {checkpoint.name} is {checkpoint.id[:12]}. Run "
        f"`xharness eval --model {checkpoint.name}`, or give the results of this checkpoint."
    )


def _unfit(folder: Path, record: dict[str, Any]) -> tuple[str, str] | None:
    """Return why a RUN of the checkpoint is none that is published, for a list and as a sentence; None if it is."""
    if folder.parent.parent.name == "layers":
        return "trials, from which only a layer was chosen", "this is a trial, from which only a layer was chosen."
    if record.get("settings", {}).get("split") == "dev":
        return "scores on development data", "these are scores on development data; test scores are published."
    if begun(folder):
        return "without any result yet", "this RUN has no result yet. Run eval to its end."
    return None


def _check_scores(run: Run) -> None:
    """Raise PublishError where a result file is of another checkpoint or seed than its RUN, or cannot be right."""
    for score in run.scores:
        path = run.files[score.task, score.language]
        for name, value in score.scores.items():
            low, high = score.intervals.get(name, (0.0, 100.0))
            # A percentile interval may miss its own score by a little, and never by its own width.
            if not (0.0 <= value <= 100.0 and 2 * low - high <= value <= 2 * high - low):
                raise PublishError(
                    f"{path}: scores.{name} is {value}, which cannot be (in percent, with the interval {low} to "
                    f"{high}). Restore the file, or remove it and run eval again."
                )
        for name in ("model_hash", "model_sha", "seed"):
            there, here = run.record.get(name), getattr(score, name)
            if there != here:
                raise PublishError(
                    f"{path}: {name} is {here}, but that of its RUN is {there} "
                    "(run.json). Run eval again: what does not belong is computed anew."
                )


def _twice(runs: Sequence[Run]) -> list[str]:
    """Return a sentence for each score that stands in two RUNs of the same settings and seed."""
    first: dict[str, Path] = {}
    problems = []
    for run in runs:
        for score in run.scores:
            path = run.files[score.task, score.language]
            other = first.setdefault(place(run, score), path)
            if other is not path:
                problems.append(
                    f"{path} and {other} are both a score of {score.task} in {score.language} with the same settings "
                    "and seed. Give one of them."
                )
    return problems


def place(run: Run, score: Score | None = None) -> str:
    """Return where a result file lies in the repository; without a score, where the RUN's run.json does."""
    seed = run.record.get("seed")
    folder = f"{FOLDER}/{results_runs.digest(run.record.get('settings', {}))}/seed{0 if seed is None else seed}"
    return f"{folder}/run.json" if score is None else f"{folder}/{score.task}/{score.language}.json"


def copies(runs: Sequence[Run]) -> dict[str, bytes]:
    """Return what is published of RUNs: path in the repository -> the JSON, with local paths cut to their last part.

    Two RUNs of the same settings and seed, of which one was made with the folder and one with its published copy, have
    one run.json, which names the targets of both.
    """
    copies_by_path: dict[str, bytes] = {}
    records: dict[str, dict[str, Any]] = {}
    for run in runs:
        record = records.setdefault(place(run), dict(run.record))
        record["targets"] = {**record.get("targets", {}), **run.own_files}
        for score in run.scores:
            copies_by_path[place(run, score)] = as_json(asdict(score))
    return {**{path: as_json(record) for path, record in records.items()}, **copies_by_path}


def as_json(content: Any) -> bytes:
    """Return a value as the JSON of a file that travels: indented, and without the paths of this machine.

    Raises:
        PublishError: it holds NaN or an infinity, which no JSON has.
    """
    try:
        text = json.dumps(text_module.shorten_paths(content), ensure_ascii=False, indent=2, allow_nan=False) + "\n"
    except ValueError as error:
        raise PublishError(f"A record that was to travel cannot be written as JSON: {error}.") from None
    # Half a surrogate pair has no UTF-8; as \udc80 it is JSON still.
    return text.encode("utf-8", errors="backslashreplace")
