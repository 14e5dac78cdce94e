"""Load a split of a task in one language as examples, with its hash and completeness."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from xharness.data import manifest
from xharness.data.candidates import Pool, load_pool
from xharness.data.convert import converter, nearest_occurrence, occurs_at, stored_answers, stored_label
from xharness.data.examples import Example, data_hash
from xharness.data.lazy import Concatenated, Examples
from xharness.data.sources import (
    check_columns,
    choose_source,
    describe_source,
    missing_data_message,
    open_table,
    split_name_in_source,
)
from xharness.errors import DataError
from xharness.tasks.dataset_spec import DataSpec
from xharness.tasks.registry import parts_of
from xharness.tasks.source_spec import Source, Split
from xharness.tasks.task_spec import TaskSpec, TrainingSpec


@dataclass(frozen=True)
class Data:
    """The examples of one split in one language.

    Attributes:
        examples: read from disk on access, so memory does not grow with their number.
        hash: SHA-256 over all examples (see examples.data_hash).
        source: the data set on the Hub, or the raw file, that was used.
        revision: the commit on the Hub; None for a folder.
        status: ``complete``, ``sample``, ``stand-in`` or ``unknown``.
        expected_n: number of examples in the complete split; None if not confirmed.
        counts: ``realigned`` and ``unaligned`` answers; ``empty`` sentences and rows without a label (``unlabelled``),
            both left out.
        pool: the candidates of mining and ranking tasks.
    """

    examples: Sequence[Example]
    hash: str
    source: str
    revision: str | None
    status: str
    expected_n: int | None
    counts: dict[str, int] = field(default_factory=dict)
    pool: Pool | None = None


def load(spec: DataSpec, language: str, split: Split, data_dir: Path | None = None) -> Data:
    """Return the examples of a split in a language.

    With ``data_dir``, the first source in the folder is used, otherwise the first source on the Hub.

    Raises:
        DataError: the data is missing (the message gives the file and the command that fetches it), a column of the
            spec is missing, a label is unknown, or the split is empty.
    """
    if spec.unavailable:
        raise DataError(f"{spec.name}: {spec.unavailable}")
    if isinstance(spec, TrainingSpec) and spec.members:
        return _concatenate([load(part, language, split, data_dir) for part in parts_of(spec)])
    source = _choose_source(spec, language, split, data_dir)
    where = describe_source(spec, source, language, split)
    table, revision = open_table(spec, source, language, split, data_dir)
    columns = {**spec.fields, **source.fields}
    if source.format != "hub" and not len(table):  # without rows there are no columns either
        raise DataError(f"{spec.name}: {where} holds no example for '{language}'. Fetch it again.")
    if source.format != "hub":
        columns = {canonical: canonical for canonical in columns if canonical in table.column_names}
    check_spec_columns(spec, columns, table, where)
    rows = _rows_of_language(table, source, spec, language)
    if rows is not None:
        table = table.select(rows)
    pool = load_pool(spec, language, split, data_dir) if isinstance(spec, TaskSpec) and spec.candidates else None
    examples, digest, counts = convert_table(spec, table, columns, where, pool)
    if not len(examples):
        raise DataError(
            f"{spec.name}: {where} holds no example for '{language}'. Fetch it again, or check the spec's 'keep'."
        )
    if pool is not None:
        _check_targets(examples, pool, f"{spec.name}: {where}")
    expected = spec.expected_count(language, split)
    stored = count(spec, examples) + counts.get("unlabelled", 0)
    status = _status(source, spec, language, split, data_dir, stored, expected)
    return Data(examples, digest, source.name, revision, status, expected, counts, pool)


def _concatenate(parts: Sequence[Data]) -> Data:
    """Return the data of several training sets as one."""
    counts: Counter[str] = Counter()
    for part in parts:
        counts.update(part.counts)
    statuses = [part.status for part in parts]
    weakest = next((s for s in (manifest.STAND_IN, manifest.SAMPLE, manifest.UNKNOWN) if s in statuses), statuses[0])
    expected = [part.expected_n for part in parts]
    return Data(
        Concatenated([part.examples for part in parts]),
        hashlib.sha256(" ".join(part.hash for part in parts).encode()).hexdigest(),
        " + ".join(dict.fromkeys(part.source for part in parts)),
        None,
        weakest,
        None if None in expected else sum(n for n in expected if n is not None),
        dict(counts),
    )


def _choose_source(spec: DataSpec, language: str, split: Split, data_dir: Path | None) -> Source:
    """Return the source to use; if users have to provide missing data themselves, the error says so."""
    try:
        return choose_source(spec, spec.sources, language, split, data_dir)
    except DataError:
        if isinstance(spec, TrainingSpec) and spec.by_hand and (data_dir is None or data_dir.is_dir()):
            raise DataError(f"{spec.name}: {' '.join(spec.by_hand.split())}") from None
        raise


def check_spec_columns(spec: DataSpec, columns: dict[str, str], table: Any, where: str) -> None:
    """Raise DataError if a table lacks a column of the spec: its fields, its choices or its list of choices."""
    listed = spec.choice_list
    lists = [name.partition(".")[0] for name in (listed.column, listed.names) if name] if listed else []
    check_columns(
        spec, {**columns, **{column: column for column in [*spec.choices, *lists]}}, table.column_names, where
    )


def convert_table(
    spec: DataSpec, table: Any, columns: dict[str, str], where: str, pool: Pool | None
) -> tuple[Examples[Any], str, dict[str, int]]:
    """Return the examples of a table, their hash, and the counts of rows left out and answers moved."""
    counts: dict[str, int] = {}
    features = getattr(table, "features", {})
    if isinstance(spec, TrainingSpec) and spec.drop_labels:
        column = columns["label"]
        labels = [stored_label(features.get(column), value) for value in table[column]]
        rows = [row for row, label in enumerate(labels) if label not in spec.drop_labels]
        counts["unlabelled"] = len(table) - len(rows)
        table = table.select(rows) if counts["unlabelled"] else table
    if spec.kind == "tagging":
        # A prediction file cannot hold a sentence without words; the official data has none.
        nonempty = [row for row, words in enumerate(table[columns["tokens"]]) if words != []]
        counts["empty"] = len(table) - len(nonempty)
        table = table.select(nonempty) if counts["empty"] else table
    examples: Examples[Any] = Examples(table, converter(spec, columns, features, where, pool.answers if pool else {}))
    try:
        digest = data_hash(examples)
    except UnicodeDecodeError as error:
        raise DataError(f"{spec.name}: {where} is not UTF-8 ({error}). Save it as UTF-8, or fetch it again.") from None
    if spec.kind == "span_qa":
        counts |= _check_answers(examples, columns, f"{spec.name}: {where}")
    return examples, digest, counts


def collect_labels(examples: Iterable[Example]) -> list[str]:
    """Return the sorted tags of examples: the labels of a training set whose spec does not list them."""
    return sorted({tag for example in examples for tag in getattr(example, "tags", ())})


def count_unknown_tags(examples: Iterable[Example], labels: Collection[str]) -> int:
    """Return the number of words whose tag is not one of the labels, so that it cannot be predicted."""
    known = set(labels)
    return sum(tag not in known for example in examples for tag in getattr(example, "tags", ()))


def count(spec: DataSpec, examples: Sequence[Example]) -> int:
    """Return the number of examples of a split: gold pairs for mining, rows otherwise."""
    if spec.kind == "mining":
        return sum(len(getattr(example, "targets", ())) for example in examples)
    return len(examples)


def _check_targets(examples: Sequence[Example], pool: Pool, where: str) -> None:
    """Raise DataError for duplicate ids, and for targets that are not in a complete pool."""
    known, seen = set(pool.ids), set()
    for example in examples:
        if example.id in seen:
            raise DataError(f"{where} holds the id '{example.id}' twice.")
        seen.add(example.id)
        absent = [target for target in getattr(example, "targets", ()) if target not in known]
        if absent and not pool.missing:
            raise DataError(
                f"{where}: '{example.id}' names the candidate '{absent[0]}', which is not among the {len(known):,} "
                "candidates. Fetch both again."
            )


def available(spec: DataSpec, language: str, split: Split, data_dir: Path | None) -> str | None:
    """Return None if the data is available, else the reason. Only the folder is checked, not the network."""
    if spec.unavailable:
        return spec.unavailable
    if isinstance(spec, TrainingSpec) and spec.members:
        reasons = [available(part, language, split, data_dir) for part in parts_of(spec)]
        return next((reason for reason in reasons if reason is not None), None)
    try:
        source = _choose_source(spec, language, split, data_dir)
        if isinstance(spec, TaskSpec) and spec.candidates is not None:
            choose_source(spec, spec.candidates.sources, language, split, data_dir)
        # A table of all languages may have no rows of this one.
        if data_dir is not None and source.keep is not None:
            table, _ = open_table(spec, source, language, split, data_dir)
            if not _rows_of_language(table, source, spec, language):
                return missing_data_message(spec, language, data_dir, [f"rows of '{language}' in {source.name}"])
    except DataError as error:
        return str(error)
    return None


def _rows_of_language(table: Any, source: Source, spec: DataSpec, language: str) -> list[int] | None:
    """Return the row numbers of a language; None for all rows."""
    keep = spec.row_filter(source, language)
    if keep is None:
        return None
    if keep.column not in table.column_names:
        raise DataError(f"{spec.name}: {source.name} has no column '{keep.column}' (the spec's keep.column).")
    return [row for row, value in enumerate(table[keep.column]) if keep.matches(value)]


def _check_answers(examples: Examples[Any], columns: dict[str, str], where: str) -> dict[str, int]:
    """Count the answers whose stored offset is wrong; raise DataError for duplicate ids."""
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
            if not occurs_at(context, text, start):
                nearest_start = nearest_occurrence(context, text, start)
                counts["unaligned" if nearest_start < 0 else "realigned"] += 1
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
        key = (str(source.repo), spec.fill(source.config, language), split_name_in_source(spec, source, split))
        if source.raw is not None:
            key = (f"raw/{source.raw.split('/')[0]}", language, key[-1])
        recorded = manifest.read_statuses(data_dir.resolve()).get(key, manifest.SplitStatus(manifest.UNKNOWN, None))
        # The manifest no longer describes files that were changed since. Tables of several languages count other rows.
        if source.raw is not None and recorded.status == manifest.COMPLETE and recorded.rows not in (None, n):
            return manifest.UNKNOWN
        return recorded.status
    if expected is None:
        return manifest.UNKNOWN
    return manifest.COMPLETE if n == expected else manifest.SAMPLE


def data_folder(data_dir: str | Path | None) -> Path | None:
    """Return the given data folder, else that of XHARNESS_DATA_DIR, else None (use the Hub)."""
    folder = data_dir or os.environ.get("XHARNESS_DATA_DIR")
    return Path(folder) if folder else None
