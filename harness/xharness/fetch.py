"""Filling a folder with the data of tasks, laid out like the Hub, for machines without a network."""

from __future__ import annotations

import csv
import gzip
import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, TypedDict, cast

import yaml

from xharness import assets, files, hub, strict_yaml
from xharness.errors import DataError, Incomplete, OutputError, did_you_mean, unknown
from xharness.spec import (
    DataSpec,
    Keep,
    Split,
    TaskSpec,
    TrainingSpec,
    benchmarks,
    list_tasks,
    load_task,
    load_training,
)

_DIFFERS = "unknown: found"

CONVERTED = "refs/convert/parquet"
"""The branch where the Hub's own bot lays parquet files, ``<config>/<split>/0000.parquet``, for many data sets."""

# What datasets takes file and folder names for where a README names no configs.
_SPLIT_NAMES = {
    "train": ("train", "training"),
    "validation": ("validation", "valid", "dev", "val"),
    "test": ("test", "testing", "eval", "evaluation"),
}
_DATA_ENDINGS = (
    ".parquet",
    ".jsonl",
    ".jsonl.gz",
    ".json",
    ".json.gz",
    ".csv",
    ".csv.gz",
    ".tsv",
    ".tsv.gz",
    ".arrow",
)


class Row(TypedDict):
    """A line of MANIFEST.tsv: one split of one config.

    Attributes:
        hub_id: ``org/name``.
        config: the config's name.
        split: the split's name in the data (``validation``).
        rows: number of rows; None where the files' format does not tell.
        status: ``complete``, or ``unknown`` and why.
        source: ``hub:org/name@sha``.
        licence: as the task's spec says.
    """

    hub_id: str
    config: str
    split: str
    rows: int | None
    status: str
    source: str
    licence: str


def _to_stderr(sentence: str) -> None:
    print(sentence, file=sys.stderr)


def fetch(
    tasks: Sequence[DataSpec],
    to: Path,
    languages: Sequence[str] | None,
    splits: Sequence[Split] | None,
    progress: bool,
    say: Callable[[str], None] = _to_stderr,
) -> list[Row]:
    """Fill a folder with the data of tasks and return the lines of its MANIFEST.tsv that belong to them.

    Every data set is read at one commit. Files that are there whole are not downloaded again, so a run that
    was stopped goes on when the same command is given again. A data set that cannot be had does not stop the
    others.

    Args:
        tasks: specs of targets and training sets; the first source of each is used.
        to: the folder; a data set lies in ``to/org/name``.
        languages: two-letter codes; None: all of each spec.
        splits: ``test``, ``dev``, ``train``; None: all that each spec has.
        progress: show a bar.
        say: is given sentences that the user should read (what was left out, counts that differ).

    Raises:
        DataError: nothing of what was asked for can be had.
        Incomplete: some of it cannot be had; the rest is in the folder.
        OutputError: the disk is full, or the folder cannot be written.
    """
    wanted, problems = _wanted(tasks, languages, splits, say)
    rows: list[Row] = []
    by_repo: dict[tuple[str, str], list[_Wanted]] = {}
    for entry in wanted:
        by_repo.setdefault((entry.repo, entry.revision), []).append(entry)
    for (repo, revision), entries in by_repo.items():
        try:
            found = _fetch_repo(repo, revision, entries, to, progress, problems)
        except hub.Unreachable as error:
            problems.append(f"{_names(entries)}: {error}")
            break  # the next data set could not be reached either
        except DataError as error:
            problems.append(f"{_names(entries)}: {error}")
            continue
        new = [_row(split, found) for split in found]
        for row in new:
            if row["status"].startswith(_DIFFERS):
                place = " ".join((row["hub_id"], row["config"], row["split"]))
                say(f"{place}: {row['status'].removeprefix('unknown: ')}.")
        write_manifest(to, new)
        rows += new
    problems = list(dict.fromkeys(problems))  # a config that is missing is missing for every split
    if tasks and not rows:
        raise DataError("\n".join(problems) or "Nothing to fetch: no task has the languages and splits asked for.")
    if problems:
        raise Incomplete("\n".join([*problems, f"The rest is in {to}; run the same command again after a remedy."]))
    return rows


def named(names: Sequence[str], say: Callable[[str], None] = _to_stderr) -> list[DataSpec]:
    """Return the specs of targets, training sets and benchmarks by name, or from paths of YAML files.

    A benchmark stands for its targets; those that have no spec yet are said. Each spec comes once.

    Raises:
        UsageError: a name is not known.
        SpecError: a YAML file is wrong.
    """
    folders = (assets.TASKS / "intermediate", assets.TASKS / "english")
    trainings = sorted(path.stem for folder in folders for path in folder.glob("*.yaml"))
    found: dict[str, DataSpec] = {}
    for name in names:
        if name in benchmarks():
            for task in benchmarks()[name].tasks:
                if task in list_tasks():
                    found[task] = load_task(task)
                else:
                    say(f"{task} is left out: this version has no spec for it.")
        elif name in trainings:
            found[name] = load_training(name)
        elif name in list_tasks() or name.endswith((".yaml", ".yml")):
            found[name] = load_task(name)
        else:
            raise unknown("target, training set or benchmark", name, [*list_tasks(), *trainings, *benchmarks()])
    return list(found.values())


@dataclass(frozen=True)
class _Use:
    """Who needs a split: a spec and one of its languages, with the rows expected there."""

    spec: DataSpec
    language: str
    split: Split
    expected: int | None
    keep: Keep | None


@dataclass
class _Wanted:
    """A split of a config that is to be in the folder."""

    repo: str
    revision: str
    config: str
    split: str
    licence: str
    uses: list[_Use] = field(default_factory=list)


def _wanted(
    tasks: Sequence[DataSpec],
    languages: Sequence[str] | None,
    splits: Sequence[Split] | None,
    say: Callable[[str], None],
) -> tuple[list[_Wanted], list[str]]:
    """Return the splits to fetch, each once even if several languages or specs need it, and the problems."""
    found: dict[tuple[str, str, str, str], _Wanted] = {}
    problems: list[str] = []
    for spec in tasks:
        if spec.unavailable:
            say(f"{spec.name} is left out: {' '.join(spec.unavailable.split())}")
            continue
        codes = [code for code in spec.languages if languages is None or code in languages]
        if not codes:
            asked = ", ".join(languages or [])
            say(f"{spec.name} is left out: it has none of the languages asked for ({asked}).")
            continue
        source = spec.sources[0]
        if source.repo is None or source.revision is None:
            problems.append(f"{spec.name}: its first source is no data set on the Hub, so it cannot be fetched.")
            continue
        for split, name in _splits(spec, splits):
            split_name = source.splits.get(split, name)
            # A table that several languages share is checked for all of them, whichever was asked for.
            shared = [c for c in spec.languages if source.keep is not None or c in codes]
            for code in shared:
                expected = _expected(spec, code, split)
                if expected == 0:
                    continue
                config = _fill(source.config, spec, code)
                key = (source.repo, source.revision, config, split_name)
                entry = found.setdefault(key, _Wanted(*key, spec.licence))
                keep = source.keep and source.keep.model_copy(update=_filled(source.keep, spec, code))
                entry.uses.append(_Use(spec, code, split, expected, keep))
    return list(found.values()), problems


def _splits(spec: DataSpec, asked: Sequence[Split] | None) -> list[tuple[Split, str]]:
    known: tuple[Split, ...] = ("test", "dev", "train")
    named = [(split, _split_name(spec, split)) for split in known if asked is None or split in asked]
    return [(split, name) for split, name in named if name is not None]


def _split_name(spec: DataSpec, split: Split) -> str | None:
    return spec.split_name(split) if isinstance(spec, (TaskSpec, TrainingSpec)) else None


def _expected(spec: DataSpec, language: str, split: Split) -> int | None:
    return spec.expected_count(language, split) if isinstance(spec, (TaskSpec, TrainingSpec)) else None


def _fill(pattern: str, spec: DataSpec, language: str) -> str:
    return pattern.format(lang=language, alias=spec.languages[language].alias or language)


def _filled(keep: Keep, spec: DataSpec, language: str) -> dict[str, str]:
    return {k: _fill(v, spec, language) for k in ("equals", "prefix") if (v := getattr(keep, k)) is not None}


@dataclass
class _Found:
    """A split that lies on the Hub, and then in the folder: its files, and how many rows they hold."""

    wanted: _Wanted
    layout: _Layout
    paths: list[str]
    rows: int | None = None
    rows_of: list[int | None] = field(default_factory=list)
    """Of each of ``wanted.uses``."""


def _fetch_repo(
    repo: str, revision: str, entries: Sequence[_Wanted], to: Path, progress: bool, problems: list[str]
) -> list[_Found]:
    """Bring the splits of one data set into the folder; what it does not have goes to ``problems``."""
    layout = _Layout.of(repo, revision)
    # A data set that was a loading script once has readable files on the bot's branch only.
    converted = None if all(layout.has(entry) for entry in entries) else _converted(repo)
    found: list[_Found] = []
    for entry in entries:
        used = layout if layout.has(entry) else converted
        if used is not None and used.has(entry):
            found.append(_Found(entry, used, used.configs[entry.config][entry.split]))
        else:
            problems.append(f"{_names([entry])}: {layout.what_is_missing(entry)}")
    folder = to / repo
    _download(folder, {path: split.layout for split in found for path in split.paths}, progress)
    if found:
        _write_readme(folder, layout, found)
    for split in found:
        local = [folder / path for path in split.paths]
        split.rows = _count(local, None)
        split.rows_of = [split.rows if use.keep is None else _count(local, use.keep) for use in split.wanted.uses]
    return found


def _names(entries: Iterable[_Wanted]) -> str:
    """Return the specs that need some splits, for the beginning of a message."""
    return ", ".join(sorted({use.spec.name for entry in entries for use in entry.uses}))


def _row(split: _Found, all_found: Sequence[_Found]) -> Row:
    wanted, layout = split.wanted, split.layout
    return {
        "hub_id": wanted.repo,
        "config": wanted.config,
        "split": wanted.split,
        "rows": split.rows,
        "status": _status(split, all_found),
        "source": f"hub:{layout.repo}@{layout.sha}",
        "licence": wanted.licence,
    }


@dataclass
class _Layout:
    """Which files of a data set, at one commit, hold which split of which config."""

    repo: str
    sha: str
    remote: dict[str, hub.RemoteFile]
    head: dict[str, Any]
    text: str
    configs: dict[str, dict[str, list[str]]]

    @classmethod
    def of(cls, repo: str, revision: str) -> _Layout:
        sha = hub.resolve(repo, revision, "dataset")
        remote = {
            path: file
            for path, file in hub.list_files(repo, sha, "dataset").items()
            # A listing is not trusted with where files are written.
            if ".." not in PurePosixPath(path).parts and not path.startswith("/")
        }
        card = ""
        if "README.md" in remote:
            path = hub.download_file(repo, sha, "README.md", "dataset")
            card = path.read_text(encoding="utf-8", errors="replace")
        head, text = _front_matter(card)
        configs = _configs_of_readme(head, remote) or _configs_of_folders(remote) or _configs_of_names(remote)
        return cls(repo, sha, remote, head, text, configs)

    def has(self, entry: _Wanted) -> bool:
        return bool(self.configs.get(entry.config, {}).get(entry.split))

    def what_is_missing(self, entry: _Wanted) -> str:
        """Return a sentence on the config or split that is not here, with the nearest name."""
        where = f"{self.repo} (at {self.sha[:12]})"
        scripts = [path for path in self.remote if path.endswith(".py") and "/" not in path]
        if scripts and not self.configs:
            return f"{where} is a loading script ({scripts[0]}), which no current library runs."
        if entry.config not in self.configs:
            near = did_you_mean(entry.config, self.configs)
            there = ", ".join(list(self.configs)[:20]) or "none"
            return f"{where} has no config '{entry.config}'.{near or f' It has: {there}.'}"
        there = ", ".join(self.configs[entry.config]) or "none"
        return f"{where} has no split '{entry.split}' in '{entry.config}'. It has: {there}."


def _converted(repo: str) -> _Layout | None:
    try:
        return _Layout.of(repo, CONVERTED)
    except hub.Unreachable:
        raise
    except DataError:
        return None  # there is no such branch; what is missing on the other one is said


def _front_matter(card: str) -> tuple[dict[str, Any], str]:
    match = re.match(r"---[ \t]*\r?\n(.*?)\r?\n---[ \t]*(?:\r?\n|$)", card, re.DOTALL)
    if match is None:
        return {}, card
    try:
        head = yaml.safe_load(match[1])
    except yaml.YAMLError:
        return {}, card
    return (head if isinstance(head, dict) else {}), card[match.end() :]


def _entries(head: Mapping[str, Any], name: str) -> list[dict[str, Any]]:
    """Return ``configs`` or ``dataset_info`` of a README: one mapping per config, however it was written."""
    found = head.get(name) or []
    found = [found] if isinstance(found, dict) else found
    return [e for e in found if isinstance(e, dict)] if isinstance(found, list) else []


def _configs_of_readme(head: Mapping[str, Any], paths: Iterable[str]) -> dict[str, dict[str, list[str]]]:
    configs: dict[str, dict[str, list[str]]] = {}
    for config in _entries(head, "configs"):
        folder = str(config.get("data_dir") or "").strip("/")
        listed = config.get("data_files")
        below = [p for p in paths if not folder or p.startswith(f"{folder}/")]
        if listed is None:
            configs[str(config.get("config_name"))] = _configs_of_names(below).get("default", {})
            continue
        listed = listed if isinstance(listed, list) else [listed]
        splits: dict[str, list[str]] = {}
        for entry in listed:
            # A bare path stands for the training split.
            split, patterns = (
                (str(entry.get("split")), entry.get("path")) if isinstance(entry, dict) else ("train", entry)
            )
            for pattern in patterns if isinstance(patterns, list) else [patterns]:
                expression = _pattern(f"{folder}/{pattern}" if folder else str(pattern))
                splits.setdefault(split, []).extend(p for p in sorted(below) if expression.fullmatch(p))
        configs[str(config.get("config_name"))] = {
            s: list(dict.fromkeys(found)) for s, found in splits.items() if found
        }
    return configs


def _pattern(glob: str) -> re.Pattern[str]:
    """Return a glob as the Hub's READMEs use it: ``**`` goes through folders, ``*`` does not."""
    known = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    pieces = re.split(r"(\*\*/|\*\*|\*|\?|\[[^\]/]+\])", glob.removeprefix("./"))
    # Every second piece is one of the signs that were split at; a [set] is written as in a regular expression.
    return re.compile(
        "".join(
            known.get(piece, piece.replace("[!", "[^")) if number % 2 else re.escape(piece)
            for number, piece in enumerate(pieces)
        )
    )


def _configs_of_folders(paths: Iterable[str]) -> dict[str, dict[str, list[str]]]:
    """Return the configs of files laid as ``<config>/<split>/*.parquet``, as the bot does on its branch."""
    configs: dict[str, dict[str, list[str]]] = {}
    for path in sorted(paths):
        parts = path.split("/")
        if len(parts) == 3 and path.endswith(".parquet") and not parts[1].startswith("partial-"):
            configs.setdefault(parts[0], {}).setdefault(parts[1], []).append(path)
    return configs


def _configs_of_names(paths: Iterable[str]) -> dict[str, dict[str, list[str]]]:
    """Return the one config ``default`` of data files that are named, or lie in folders named, after a split."""
    splits: dict[str, list[str]] = {}
    for path in sorted(p for p in paths if p.endswith(_DATA_ENDINGS)):
        words = re.split(r"[-._ /0-9]+", path.lower())
        for split, names in _SPLIT_NAMES.items():
            if any(word in names for word in words):
                splits.setdefault(split, []).append(path)
                break
    return {"default": splits} if splits else {}


def _download(folder: Path, wanted: Mapping[str, _Layout], progress: bool) -> None:
    from tqdm import tqdm

    def one(path: str, layout: _Layout) -> int:
        # By content, not by what the client noted down: a file may have been cut or changed since.
        remote, local = layout.remote[path], folder / path
        try:
            if not remote.is_at(local):
                local.unlink(missing_ok=True)
                hub.download_file(layout.repo, layout.sha, path, "dataset", to=folder)
        except OSError as error:
            raise OutputError(f"{local}: cannot be read or replaced: {error.strerror}.") from None
        return remote.size

    size = sum(layout.remote[path].size for path, layout in wanted.items())
    with (
        tqdm(total=size, unit="B", unit_scale=True, desc=folder.name, disable=not progress) as bar,
        ThreadPoolExecutor(max_workers=4) as pool,
    ):
        running = [pool.submit(one, path, layout) for path, layout in wanted.items()]
        try:
            for task in running:
                bar.update(task.result())
        except BaseException:
            for task in running:
                task.cancel()
            raise


def _write_readme(folder: Path, layout: _Layout, found: Sequence[_Found]) -> None:
    """Write the data set's README with only the configs and splits that lie in the folder.

    With the original one ``datasets.load_dataset(folder, config)`` would look for every split that the Hub has, and
    refuse.
    """
    path = folder / "README.md"
    card = path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
    earlier, _ = _front_matter(card)
    present: dict[str, dict[str, list[str]]] = {
        config: {s: p for s, p in splits.items() if all((folder / file).is_file() for file in p)}
        for config, splits in _configs_of_readme(earlier, _below(folder)).items()
    }
    for split in found:
        present.setdefault(split.wanted.config, {})[split.wanted.split] = split.paths
    originals = {str(c.get("config_name")): c for h in (earlier, layout.head) for c in _entries(h, "configs")}
    configs = []
    for config, splits in sorted(present.items()):
        if not splits:
            continue
        # Other settings of a config (a csv file's separator) are needed to read it; `default: true` is not, and a
        # folder with one config needs no default.
        kept = {
            k: v
            for k, v in originals.get(config, {}).items()
            if k not in ("config_name", "data_files", "data_dir", "default")
        }
        listed = [{"split": name, "path": paths} for name, paths in splits.items()]
        configs.append({"config_name": config, "data_files": listed, **kept})
    infos = []
    known = {
        str(i.get("config_name", "default")): i for h in (earlier, layout.head) for i in _entries(h, "dataset_info")
    }
    for config, info in sorted(known.items()):
        if present.get(config) and info.keys() - {"config_name"}:
            # Column types and label names stay. Sizes go: the client compares them and refuses a folder where a
            # split is left out.
            sizes = ("splits", "download_size", "dataset_size")
            infos.append({k: v for k, v in info.items() if k not in sizes} | {"config_name": config})
    head = {**earlier, **layout.head, "configs": configs, "dataset_info": infos}
    if not infos:
        del head["dataset_info"]
    origin = f"<!-- Fetched by xharness from {layout.repo} on the Hub; `configs` names what lies here. -->\n"
    front = yaml.safe_dump(head, allow_unicode=True, sort_keys=False, width=1000)
    files.write_text(path, f"---\n{front}---\n{origin}{layout.text}")


def _below(folder: Path) -> list[str]:
    found = (p.relative_to(folder) for p in folder.rglob("*") if p.is_file())
    return [p.as_posix() for p in found if not p.parts[0].startswith(".")]


def _count(paths: Sequence[Path], keep: Keep | None) -> int | None:
    """Return the number of rows (of one language) in files; None where the format does not tell."""
    total = 0
    for path in paths:
        rows = _rows(path, keep)
        if rows is None:
            return None
        total += rows
    return total


def _rows(path: Path, keep: Keep | None) -> int | None:
    if path.suffix == ".parquet":
        if keep is None:
            return _parquet_rows(path)
        import pyarrow.parquet

        with pyarrow.parquet.ParquetFile(path) as file:
            if keep.column not in file.schema_arrow.names:
                return None
            pieces = file.iter_batches(columns=[keep.column])
            return sum(_belongs(keep, value) for piece in pieces for value in piece.column(0).to_pylist())
    if keep is None and path.name.endswith((".jsonl", ".jsonl.gz")):
        with gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as lines:
            return sum(1 for line in lines if line.strip())
    return None


def _belongs(keep: Keep, value: Any) -> bool:
    return value == keep.equals if keep.equals is not None else str(value).startswith(keep.prefix or "")


def _parquet_rows(path: Path) -> int | None:
    """Return the number of rows by the file's footer; None if there is no footer (a file that was cut)."""
    import pyarrow
    import pyarrow.parquet

    try:
        return int(pyarrow.parquet.read_metadata(path).num_rows)
    except pyarrow.ArrowInvalid:
        return None


def _status(split: _Found, all_found: Sequence[_Found]) -> str:
    """Return ``complete``, or ``unknown`` and why, from the counts that the specs give."""
    sure = []
    for use, rows in zip(split.wanted.uses, split.rows_of, strict=True):
        if rows is None:
            return "unknown: the rows of these files cannot be counted"
        if use.expected is not None and rows != use.expected:
            return f"{_DIFFERS} {rows} rows for '{use.language}', the spec {use.spec.name} says {use.expected}"
        sure.append(use.expected is not None or _sum_is_right(use, all_found))
    # Without 'keep' all uses count the same rows, so one that is sure is enough.
    mixed = any(use.keep is not None for use in split.wanted.uses)
    if (all if mixed else any)(sure):
        return "complete"
    return "unknown: the right number of rows is not known for sure"


def _sum_is_right(use: _Use, all_found: Sequence[_Found]) -> bool:
    """Whether all languages of the spec are there and add up to its total."""
    if not isinstance(use.spec, TaskSpec) or use.split == "train" or use.split not in use.spec.total:
        return False
    rows = {
        other.language: count or 0
        for split in all_found
        for other, count in zip(split.wanted.uses, split.rows_of, strict=True)
        if other.spec is use.spec and other.split == use.split
    }
    return set(rows) == set(use.spec.languages) and sum(rows.values()) == use.spec.total[use.split]


def read_manifest(folder: Path) -> list[Row]:
    """Return the lines of a folder's MANIFEST.tsv; [] where there is none.

    Raises:
        DataError: the file has other columns.
    """
    path = folder / "MANIFEST.tsv"
    names = list(Row.__annotations__)
    try:
        with path.open(encoding="utf-8", newline="") as file:
            lines = list(csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
    except FileNotFoundError:
        return []
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read: {error}.") from None
    if not lines or lines[0] != names or any(len(line) != len(names) for line in lines[1:] if line):
        raise DataError(f"{path}: expected the columns {', '.join(names)}, separated by tabs. Move it away.")
    found = [dict(zip(names, line, strict=True)) for line in lines[1:] if line]
    return [cast(Row, {**row, "rows": int(row["rows"]) if row["rows"].isdecimal() else None}) for row in found]


def write_manifest(folder: Path, rows: Sequence[Row]) -> None:
    """Put lines into a folder's MANIFEST.tsv; lines of other splits that are there stay.

    Raises:
        DataError: there is a MANIFEST.tsv with other columns.
        OutputError: it cannot be written.
    """
    if not rows:
        return
    merged = {(row["hub_id"], row["config"], row["split"]): row for row in [*read_manifest(folder), *rows]}
    names = list(Row.__annotations__)
    lines: list[list[Any]] = [names, *([dict(row)[name] for name in names] for row in merged.values())]
    cells = [["" if value is None else " ".join(str(value).split()) for value in line] for line in lines]
    text = "".join("\t".join(line) + "\n" for line in cells)
    files.write_text(folder / "MANIFEST.tsv", text)


@dataclass(frozen=True)
class Change:
    """A revision in a spec that was replaced by the sha it stands for."""

    path: Path
    repo: str
    revision: str
    sha: str

    def __str__(self) -> str:
        return f"{self.path.name}: {self.repo}: {self.revision} -> {self.sha}"


def pin(paths: Sequence[Path]) -> list[Change]:
    """Replace branches by the shas they stand at now, in the ``sources`` of specs; return what was changed.

    Only the text of the revision is changed: comments and layout stay. Revisions that are shas are left alone. All
    are resolved before the first file is written, so an error leaves every file as it was.

    Raises:
        SpecError: a file cannot be read, or is not YAML.
        DataError: a data set or revision does not exist, or the Hub cannot be reached.
        OutputError: a file cannot be written.
    """
    shas: dict[tuple[str, str], str] = {}
    changes: list[Change] = []
    texts: dict[Path, str] = {}
    for path in paths:
        strict_yaml.read(path)
        with path.open(encoding="utf-8", newline="") as file:  # newline="": the file's own line ends stay
            text = file.read()
        for repo, revision, start, end in reversed(_revisions(text)):
            if hub.SHA.fullmatch(revision):
                continue
            if (repo, revision) not in shas:
                shas[repo, revision] = hub.resolve(repo, revision, "dataset", fresh=True)
            sha = shas[repo, revision]
            # A sha of digits only would be read as a number.
            text = text[:start] + (f'"{sha}"' if sha.isdecimal() else sha) + text[end:]
            texts[path] = text
            changes.append(Change(path, repo, revision, sha))
    for path, text in texts.items():
        files.write_text(path, text)
    return sorted(changes, key=lambda change: (paths.index(change.path), change.repo))


def _revisions(text: str) -> list[tuple[str, str, int, int]]:
    """Return repo, revision and the place of the revision in the text, of every source, in the order of the text."""
    found = []
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    for key, sources in getattr(root, "value", []):
        if key.value != "sources" or not isinstance(sources, yaml.SequenceNode):
            continue
        for source in sources.value:
            entries = {k.value: v for k, v in source.value} if isinstance(source, yaml.MappingNode) else {}
            repo, revision = entries.get("repo"), entries.get("revision")
            if isinstance(repo, yaml.ScalarNode) and isinstance(revision, yaml.ScalarNode):
                place = (revision.start_mark.index, revision.end_mark.index)
                found.append((str(repo.value), str(revision.value), *place))
    return found
