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
from xharness.data.convert import converter, nearest, points_at, stored_answers, stored_label
from xharness.data.examples import Example, data_hash
from xharness.data.lazy import Examples, Joined
from xharness.data.sources import absent, check_columns, choose, named, open_table, where_of
from xharness.errors import DataError
from xharness.tasks.dataset_spec import DataSpec, Source, Split
from xharness.tasks.registry import parts_of
from xharness.tasks.task_spec import TaskSpec, TrainingSpec


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
        counts: ``realigned`` answers, ``unaligned`` answers, ``empty`` sentences left out, rows without a label
            (``unlabelled``) left out.
        pool: mining and ranking: what is searched.
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

    With ``data_dir`` the first source that is there is used, else the first source from the Hub.

    Raises:
        DataError: the data is missing (says which file, and the command that fetches it), a column has another name
            than the spec says, a label is unknown, or the split is empty.
    """
    if spec.unavailable:
        raise DataError(f"{spec.name}: {spec.unavailable}")
    if isinstance(spec, TrainingSpec) and spec.members:
        return _joined([load(part, language, split, data_dir) for part in parts_of(spec)])
    source = _choose(spec, language, split, data_dir)
    where = where_of(spec, source, language, split)
    table, revision = open_table(spec, source, language, split, data_dir)
    columns = {**spec.fields, **source.fields}
    if source.format != "hub" and not len(table):  # rows that are none have no columns either
        raise DataError(f"{spec.name}: {where} holds no example for '{language}'. Fetch it again.")
    if source.format != "hub":
        columns = {canonical: canonical for canonical in columns if canonical in table.column_names}
    _expect_columns(spec, columns, table, where)
    rows = _kept(table, source, spec, language)
    if rows is not None:
        table = table.select(rows)
    pool = load_pool(spec, language, split, data_dir) if isinstance(spec, TaskSpec) and spec.candidates else None
    examples, digest, counts = _examples(spec, table, columns, where, pool)
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


def _joined(parts: Sequence[Data]) -> Data:
    """Return the data of several training sets as that of one."""
    counts: Counter[str] = Counter()
    for part in parts:
        counts.update(part.counts)
    statuses = [part.status for part in parts]
    weakest = next((s for s in (manifest.STAND_IN, manifest.SAMPLE, manifest.UNKNOWN) if s in statuses), statuses[0])
    expected = [part.expected_n for part in parts]
    return Data(
        Joined([part.examples for part in parts]),
        hashlib.sha256(" ".join(part.hash for part in parts).encode()).hexdigest(),
        " + ".join(dict.fromkeys(part.source for part in parts)),
        None,
        weakest,
        None if None in expected else sum(n for n in expected if n is not None),
        dict(counts),
    )


def _choose(spec: DataSpec, language: str, split: Split, data_dir: Path | None) -> Source:
    """Return the source to use; where users lay the data there themselves, say so if it is not there."""
    try:
        return choose(spec, spec.sources, language, split, data_dir)
    except DataError:
        if isinstance(spec, TrainingSpec) and spec.by_hand and (data_dir is None or data_dir.is_dir()):
            raise DataError(f"{spec.name}: {' '.join(spec.by_hand.split())}") from None
        raise


def _expect_columns(spec: DataSpec, columns: dict[str, str], table: Any, where: str) -> None:
    listed = spec.choice_list
    lists = [name.partition(".")[0] for name in (listed.column, listed.names) if name] if listed else []
    check_columns(
        spec, {**columns, **{column: column for column in [*spec.choices, *lists]}}, table.column_names, where
    )


def _examples(
    spec: DataSpec, table: Any, columns: dict[str, str], where: str, pool: Pool | None
) -> tuple[Examples[Any], str, dict[str, int]]:
    """Return the examples of a table, their hash, and what was counted on the way."""
    counts: dict[str, int] = {}
    features = getattr(table, "features", {})
    if isinstance(spec, TrainingSpec) and spec.drop_labels:
        column = columns["label"]
        labels = [stored_label(features.get(column), value) for value in table[column]]
        rows = [row for row, label in enumerate(labels) if label not in spec.drop_labels]
        counts["unlabelled"] = len(table) - len(rows)
        table = table.select(rows) if counts["unlabelled"] else table
    if spec.kind == "tagging":
        # A sentence without words cannot stand in a prediction file; the official data has none.
        filled = [place for place, words in enumerate(table[columns["tokens"]]) if words != []]
        counts["empty"] = len(table) - len(filled)
        table = table.select(filled) if counts["empty"] else table
    examples: Examples[Any] = Examples(table, converter(spec, columns, features, where, pool.answers if pool else {}))
    try:
        digest = data_hash(examples)
    except UnicodeDecodeError as error:
        raise DataError(f"{spec.name}: {where} is not UTF-8 ({error}). Save it as UTF-8, or fetch it again.") from None
    if spec.kind == "span_qa":
        counts |= _survey_answers(examples, columns, f"{spec.name}: {where}")
    return examples, digest, counts


def found_labels(examples: Iterable[Example]) -> list[str]:
    """Return the tags that examples have, sorted: the labels of a training set whose spec does not list them."""
    return sorted({tag for example in examples for tag in getattr(example, "tags", ())})


def count_unseen(examples: Iterable[Example], labels: Collection[str]) -> int:
    """Return how many words have a tag that is none of the labels, and so cannot be predicted."""
    known = set(labels)
    return sum(tag not in known for example in examples for tag in getattr(example, "tags", ()))


def count(spec: DataSpec, examples: Sequence[Example]) -> int:
    """Return how many examples a split has as its task counts them: pairs that are to be found, else rows."""
    if spec.kind == "mining":
        return sum(len(getattr(example, "targets", ())) for example in examples)
    return len(examples)


def _check_targets(examples: Sequence[Example], pool: Pool, where: str) -> None:
    """Refuse doubled ids, and targets that are not among the candidates of a whole pool."""
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
    """Return None if the data can be had, else the reason; looks into the folder only, not at the network."""
    if spec.unavailable:
        return spec.unavailable
    if isinstance(spec, TrainingSpec) and spec.members:
        reasons = [available(part, language, split, data_dir) for part in parts_of(spec)]
        return next((reason for reason in reasons if reason is not None), None)
    try:
        source = _choose(spec, language, split, data_dir)
        if isinstance(spec, TaskSpec) and spec.candidates is not None:
            choose(spec, spec.candidates.sources, language, split, data_dir)
        # A table that holds all languages may lack this one.
        if data_dir is not None and source.keep is not None:
            table, _ = open_table(spec, source, language, split, data_dir)
            if not _kept(table, source, spec, language):
                return absent(spec, language, data_dir, [f"rows of '{language}' in {source.name}"])
    except DataError as error:
        return str(error)
    return None


def _kept(table: Any, source: Source, spec: DataSpec, language: str) -> list[int] | None:
    """Return the numbers of the rows that belong to the language; None for all."""
    keep = spec.kept_rows(source, language)
    if keep is None:
        return None
    if keep.column not in table.column_names:
        raise DataError(f"{spec.name}: {source.name} has no column '{keep.column}' (the spec's keep.column).")
    return [row for row, value in enumerate(table[keep.column]) if keep.takes(value)]


def _survey_answers(examples: Examples[Any], columns: dict[str, str], where: str) -> dict[str, int]:
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
                nearest_start = nearest(context, text, start)
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
        key = (str(source.repo), spec.fill(source.config, language), named(spec, source, split))
        if source.raw is not None:
            key = (f"raw/{source.raw.split('/')[0]}", language, key[-1])
        recorded = manifest.read_statuses(data_dir.resolve()).get(key, manifest.Said(manifest.UNKNOWN, None))
        # Files that were cut or added since are not what was written down. A table of several languages has other rows.
        if source.raw is not None and recorded.status == manifest.COMPLETE and recorded.rows not in (None, n):
            return manifest.UNKNOWN
        return recorded.status
    if expected is None:
        return manifest.UNKNOWN
    return manifest.COMPLETE if n == expected else manifest.SAMPLE


def data_folder(data_dir: str | Path | None) -> Path | None:
    """Return the data folder that was given, else that of XHARNESS_DATA_DIR, else None (the Hub)."""
    given = data_dir or os.environ.get("XHARNESS_DATA_DIR")
    return Path(given) if given else None
