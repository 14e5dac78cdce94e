"""Data: from a spec, a language and a split to canonical examples, their hash, and how complete they are."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, overload

import yaml

from xharness import hub, layouts, manifest, readers, tables
from xharness.conversion import converter, nearest, points_at, stored_answers
from xharness.errors import DataError, OutputError, did_you_mean
from xharness.examples import Example, data_hash
from xharness.spec import DataSpec, Source, Split


@dataclass(frozen=True)
class Data:
    """The examples of one split in one language.

    Attributes:
        examples: read from disk as they are asked for, so memory does not grow with their number.
        hash: SHA-256 over all canonical examples (see examples.data_hash).
        source: the data set on the Hub, or the raw file, that was used.
        revision: the Hub's sha; None for a folder.
        status: ``complete``, ``sample``, ``stand-in`` or ``unknown``.
        expected_n: examples of the complete split, None where not known for sure.
        counts: ``realigned`` answers, ``unaligned`` answers, ``empty`` sentences left out.
    """

    examples: Sequence[Example]
    hash: str
    source: str
    revision: str | None
    status: str
    expected_n: int | None
    counts: dict[str, int] = field(default_factory=dict)


class Examples(Sequence[Example]):
    """Rows of a table as canonical examples, read and converted in pieces when they are asked for."""

    PIECE = 1000

    def __init__(self, table: Any, convert: Callable[[dict[str, Any], int], Example]) -> None:
        self._table = table
        self._convert = convert

    def __len__(self) -> int:
        return len(self._table)

    @overload
    def __getitem__(self, index: int) -> Example: ...
    @overload
    def __getitem__(self, index: slice) -> list[Example]: ...
    def __getitem__(self, index: int | slice) -> Example | list[Example]:
        if isinstance(index, slice):
            start, stop, step = index.indices(len(self))
            return [self._convert(row, place) for place, row in self.stored(start, stop)][::step]
        if not -len(self) <= index < len(self):
            raise IndexError(index)
        return self._convert(self._table[index % len(self)], index % len(self))

    def __iter__(self) -> Iterator[Example]:
        return (self._convert(row, place) for place, row in self.stored(0, len(self)))

    def stored(self, start: int, stop: int) -> Iterator[tuple[int, dict[str, Any]]]:
        """Yield (place, row as stored), reading a piece of the table at a time."""
        for piece in range(start, stop, self.PIECE):
            columns = self._table[piece : min(piece + self.PIECE, stop)]
            for offset, values in enumerate(zip(*columns.values(), strict=True)):
                yield piece + offset, dict(zip(columns, values, strict=True))


def load(spec: DataSpec, language: str, split: Split, data_dir: Path | None = None) -> Data:
    """Return the examples of a split in a language.

    With ``data_dir`` the first source that is there is used, else the first source from the Hub.

    Raises:
        DataError: the data is missing (says which file, and the command that fetches it), a column has another name
            than the spec says, a label is unknown, or the split is empty.
    """
    if spec.unavailable:
        raise DataError(f"{spec.name}: {spec.unavailable}")
    name = _split_name(spec, split)
    source = _choose(spec, language, split, data_dir)
    where = f"{source.name} ({spec.fill(source.config, language)}, {source.splits.get(split, name)})"
    table, revision = _open(spec, source, language, split, data_dir)
    columns = {**spec.fields, **source.fields}
    counts: dict[str, int] = {}
    if source.raw:
        columns = {canonical: canonical for canonical in columns if canonical in table.column_names}
    _check_columns(spec, columns, table.column_names, where)
    rows = _kept(table, source, spec, language)
    if rows is not None:
        table = table.select(rows)
    convert = converter(spec, columns, getattr(table, "features", {}), where)
    if spec.kind == "tagging":
        # A sentence without words cannot stand in a prediction file; the official data has none.
        filled = [place for place, words in enumerate(table[columns["tokens"]]) if words != []]
        counts = {"empty": len(table) - len(filled)}
        table = table.select(filled) if counts["empty"] else table
    examples = Examples(table, convert)
    if spec.kind == "span_qa":
        counts = _survey_answers(examples, columns, f"{spec.name}: {where}")
    if not len(examples):
        raise DataError(
            f"{spec.name}: {where} holds no example for '{language}'. Fetch it again, or check the spec's 'keep'."
        )
    expected = spec.expected_count(language, split)
    status = _status(source, spec, language, split, data_dir, len(examples), expected)
    return Data(examples, data_hash(examples), source.name, revision, status, expected, counts)


def available(spec: DataSpec, language: str, split: Split, data_dir: Path | None) -> str | None:
    """Return None if the data can be had, else the reason; looks into the folder only, not at the network."""
    if spec.unavailable:
        return spec.unavailable
    try:
        source = _choose(spec, language, split, data_dir)
        # A table that holds all languages may lack this one.
        if data_dir is not None and source.keep is not None:
            table, _ = _open(spec, source, language, split, data_dir)
            if not _kept(table, source, spec, language):
                return _absent(spec, language, data_dir, [f"rows of '{language}' in {source.name}"])
    except DataError as error:
        return str(error)
    return None


def _split_name(spec: DataSpec, split: Split) -> str:
    name = spec.split_name(split)
    if name is None:
        raise DataError(f"{spec.name} has no {split} split.")
    return name


def _choose(spec: DataSpec, language: str, split: Split, data_dir: Path | None) -> Source:
    """Return the source to use: online the first, in a folder the first that is there."""
    name = _split_name(spec, split)
    if data_dir is None:
        return spec.sources[0]
    if not data_dir.is_dir():
        raise DataError(f"There is no data folder '{data_dir}' (--data-dir or XHARNESS_DATA_DIR).")
    looked = []
    for source in spec.sources:
        config, split_name = spec.fill(source.config, language), source.splits.get(split, name)
        if source.raw:
            if _raw_file(source, spec, language, data_dir):
                return source
            looked.append(f"raw/{spec.fill(source.raw, language)}")
            continue
        if layouts.find_files(data_dir / str(source.repo), config, split_name):
            return source
        looked.append(f"{source.repo}/{config} ({split_name})")
    raise DataError(_absent(spec, language, data_dir, looked))


def _absent(spec: DataSpec, language: str, data_dir: Path, looked: list[str]) -> str:
    return (
        f"{spec.name}: '{language}' is not in {data_dir}: looked for {', '.join(looked)}. "
        f"Fetch it: xharness fetch --targets {spec.name} --languages {language} --to {data_dir}"
    )


def _raw_file(source: Source, spec: DataSpec, language: str, data_dir: Path) -> Path | None:
    assert source.raw is not None
    for root in (data_dir / "raw", data_dir.parent / "raw"):
        found = readers.exists(root / spec.fill(source.raw, language), source.format)
        if found:
            return found
    return None


def _open(spec: DataSpec, source: Source, language: str, split: Split, data_dir: Path | None) -> tuple[Any, str | None]:
    """Return the table of a source, and the Hub's sha (None for a folder)."""
    import datasets

    split_name = source.splits.get(split, _split_name(spec, split))
    if source.raw:
        assert data_dir is not None
        file = _raw_file(source, spec, language, data_dir)
        assert file is not None
        return datasets.Dataset.from_list(readers.READERS[source.format](file)), None
    config = spec.fill(source.config, language)
    found: list[Path] = []
    if data_dir is not None:
        found = [p for p in layouts.find_files(data_dir / str(source.repo), config, split_name) if p.is_file()]
        if not found:
            looked = [f"{source.repo}/{config} ({split_name})"]
            raise DataError(_absent(spec, language, data_dir, looked))
    bars = datasets.utils.logging.is_progress_bar_enabled()
    datasets.utils.logging.disable_progress_bar()
    try:
        if data_dir is not None:
            folder = data_dir / str(source.repo)
            key = tables.content_key(folder, config, split_name, found)
            cache = Path(datasets.config.HF_DATASETS_CACHE) / "xharness" / key
            return tables.read_folder(folder, config, split_name, found, str(cache)), None
        assert source.repo is not None
        sha = hub.resolve(source.repo, source.revision, "dataset")
        # Else the loader would try five times for each language before it gives up.
        hub.reach(source.repo, sha, "dataset")
        return datasets.load_dataset(source.repo, config, split=split_name, revision=sha), sha
    except (
        OSError,
        ValueError,
        TypeError,
        AttributeError,
        RuntimeError,
        LookupError,
        NotImplementedError,
        yaml.YAMLError,
        datasets.exceptions.DatasetsError,
    ) as error:
        causes = tables.causes_of(error)
        if any(tables.is_disk(cause) for cause in causes):
            raise OutputError(
                f"{spec.name}: the disk is full, or cannot be written. Copies of data sets lie under "
                f"{datasets.config.HF_DATASETS_CACHE}; make room, or name another place with HF_HOME."
            ) from None
        advice = (
            f"On a machine without network, fetch it elsewhere: xharness fetch --targets {spec.name} --to DIR, "
            "and give --data-dir DIR."
        )
        if data_dir is not None:
            advice = f"The data was looked for in {tables.named_files(found, data_dir, causes)}."
        raise DataError(
            f"{spec.name}: {source.name} ({config}, {split_name}) cannot be read: {tables.reason(causes)} {advice}"
        ) from error
    finally:
        if bars:
            datasets.utils.logging.enable_progress_bar()


def _check_columns(spec: DataSpec, columns: dict[str, str], found: list[str], where: str) -> None:
    problems = [
        f"{spec.name}: {where} has no column '{column}' (the spec's fields.{canonical}).{did_you_mean(column, found)}"
        f" Columns there: {', '.join(found)}."
        for canonical, column in columns.items()
        if column not in found
    ]
    if problems:
        raise DataError("\n".join(problems))


def _kept(table: Any, source: Source, spec: DataSpec, language: str) -> list[int] | None:
    """Return the numbers of the rows that belong to the language; None for all."""
    keep = spec.kept_rows(source, language)
    if keep is None:
        return None
    if keep.column not in table.column_names:
        raise DataError(f"{spec.name}: {source.name} has no column '{keep.column}' (the spec's keep.column).")
    return [row for row, value in enumerate(table[keep.column]) if keep.takes(value)]


def _survey_answers(examples: Examples, columns: dict[str, str], where: str) -> dict[str, int]:
    """Count the answers whose stored place was wrong, and refuse doubled ids."""
    counts = {"realigned": 0, "unaligned": 0}
    seen: set[str] = set()
    for number, row in examples.stored(0, len(examples)):
        if "id" in columns and str(row[columns["id"]]) in seen:
            raise DataError(f"{where} holds the id '{row[columns['id']]}' twice.")
        seen.add(str(row.get(columns.get("id", ""))))
        context = row[columns["context"]]
        if not isinstance(context, str):
            raise DataError(f"{where}: row {number} has no text in '{columns['context']}' ({context!r}).")
        for text, start in stored_answers(row, columns["answers"], number, where):
            if not points_at(context, text, start):
                found = nearest(context, text, start)
                counts["unaligned" if found < 0 else "realigned"] += 1
    return counts


def _status(
    source: Source,
    spec: DataSpec,
    language: str,
    split: Split,
    data_dir: Path | None,
    n: int,
    expected: int | None,
) -> str:
    if data_dir is not None:
        key = (
            str(source.repo),
            spec.fill(source.config, language),
            source.splits.get(split, _split_name(spec, split)),
        )
        return manifest.read_statuses(data_dir.resolve()).get(key, manifest.UNKNOWN)
    if expected is None:
        return manifest.UNKNOWN
    return manifest.COMPLETE if n == expected else manifest.SAMPLE
