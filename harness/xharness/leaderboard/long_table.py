"""scores.parquet: one row per score."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from xharness.leaderboard.entries import Numbers
from xharness.leaderboard.rows import Cell
from xharness.leaderboard.store import StoredSubmission

TABLE_FILE = "scores.parquet"
_ROWS_AT_ONCE = 50_000
"""Rows of a group of the file, and about how many are held as plain text at once."""

_OF_SUBMISSION = pa.schema(
    [
        ("submission", pa.string()),
        ("name", pa.string()),
        ("submitted_by", pa.string()),
        ("checked", pa.bool_()),
        ("withdrawn", pa.bool_()),
        ("superseded_by", pa.string()),
        ("architecture", pa.string()),
        ("phase", pa.string()),
        ("training", pa.string()),
        ("selected_by", pa.string()),
        ("saw_test_data", pa.string()),
        ("translated_data", pa.bool_()),
        ("model", pa.string()),
        ("model_revision", pa.string()),
        ("model_content", pa.string()),
        ("parameters", pa.int64()),
    ]
)
_OF_NUMBER = pa.schema(
    [
        ("seed", pa.int64()),
        ("task", pa.string()),
        ("language", pa.string()),
        ("metric", pa.string()),
        ("value", pa.float64()),
        ("low", pa.float64()),
        ("high", pa.float64()),
        ("n", pa.int64()),
        ("expected_n", pa.int64()),
        ("whole", pa.bool_()),
        ("data_hash", pa.string()),
        ("data_status", pa.string()),
        ("data_source", pa.string()),
        ("data_revision", pa.string()),
        ("spec_hash", pa.string()),
    ]
)
SCHEMA = pa.schema([*_OF_SUBMISSION, *_OF_NUMBER])
# While it is put together each text is held once, which is a tenth of the memory.
_HELD = pa.schema(
    [
        pa.field(field.name, pa.dictionary(pa.int32(), pa.string()) if field.type == pa.string() else field.type)
        for field in _OF_NUMBER
    ]
)


@dataclass(frozen=True)
class Part:
    """The rows of a submission: what is the same in all of them, and the numbers."""

    about: Mapping[str, Any]
    numbers: Any


def part(merged: StoredSubmission, numbers: Numbers, cells: Iterable[Cell]) -> Part:
    """Return the rows of a submission, one per seed, target, language and score.

    Args:
        merged: the submission.
        numbers: its scores under each seed.
        cells: the same over its seeds. They say what is whole: a seed alone does not know what the others lack.
    """
    complete = {(cell.score.task, cell.score.language): cell.whole for cell in cells}
    columns: dict[str, list[Any]] = {name: [] for name in _HELD.names}
    for values in _numbers(merged, numbers, complete):
        for column, value in zip(columns.values(), values, strict=True):
            column.append(value)
    return Part(_about(merged), pa.table(columns, schema=_HELD))


class Table:
    """The table while it is put together; submissions stand in it in the order in which they are added."""

    def __init__(self) -> None:
        self._parts: list[Part] = []

    def add(self, part: Part) -> None:
        """Add the rows of a submission."""
        self._parts.append(part)

    def write(self, path: Path, superseded: Mapping[str, str]) -> int:
        """Write the table and return its number of rows.

        Args:
            path: the file.
            superseded: id of a submission -> id of the one that replaces it.
        """
        rows = 0
        with pq.ParquetWriter(path, SCHEMA) as writer:
            waiting: list[Any] = []
            for each in self._parts:
                replaced = superseded.get(each.about["submission"])
                waiting.append(_plain({**each.about, "superseded_by": replaced}, each.numbers))
                rows += each.numbers.num_rows
                if sum(some.num_rows for some in waiting) >= _ROWS_AT_ONCE:
                    writer.write_table(pa.concat_tables(waiting))
                    waiting = []
            if waiting or not rows:
                writer.write_table(pa.concat_tables([SCHEMA.empty_table(), *waiting]))
        return rows


def _plain(about: Mapping[str, Any], held: Any) -> Any:
    """Return the numbers of a submission with what is said of it in every row."""
    shared = [pa.repeat(pa.scalar(about[field.name], field.type), held.num_rows) for field in _OF_SUBMISSION]
    return pa.table([*shared, *held.cast(_OF_NUMBER).columns], schema=SCHEMA)


def _about(merged: StoredSubmission) -> dict[str, Any]:
    submission = merged.submission
    return {
        "submission": submission.id,
        "name": submission.name,
        "submitted_by": submission.submitted_by,
        "checked": merged.checked,
        "withdrawn": merged.withdrawn is not None,
        "architecture": submission.model.architecture,
        **{name: getattr(submission.track, name) for name in ("phase", "training", "selected_by")},
        "saw_test_data": submission.declarations.saw_test_data,
        "translated_data": submission.declarations.translated_data,
        "model": submission.model.repo,
        "model_revision": submission.model.revision,
        "model_content": submission.model.content,
        "parameters": submission.model.parameters,
    }


def _numbers(
    merged: StoredSubmission, numbers: Numbers, complete: Mapping[tuple[str, str], bool]
) -> Iterator[tuple[Any, ...]]:
    for seed in merged.submission.seeds:
        for task, by_language in numbers.items():
            for code, by_seed in by_language.items():
                if seed not in by_seed:
                    continue
                part = by_seed[seed]
                for metric, value in part.scores.items():
                    low, high = part.intervals.get(metric, (None, None))
                    yield (
                        *(seed, task, code, metric, value, low, high, part.n, part.expected_n, complete[task, code]),
                        *(part.data_hash, part.data_status, part.data_source, part.data_revision, part.spec_hash),
                    )
