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
"""Rows of a row group, and roughly how many rows are decoded at once."""

_SUBMISSION_COLUMNS = pa.schema(
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
_SCORE_COLUMNS = pa.schema(
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
SCHEMA = pa.schema([*_SUBMISSION_COLUMNS, *_SCORE_COLUMNS])
# Strings are dictionary-encoded until the file is written, which takes a tenth of the memory.
_IN_MEMORY = pa.schema(
    [
        pa.field(field.name, pa.dictionary(pa.int32(), pa.string()) if field.type == pa.string() else field.type)
        for field in _SCORE_COLUMNS
    ]
)


@dataclass(frozen=True)
class Part:
    """The rows of a submission: the values that all of them share, and the scores."""

    about: Mapping[str, Any]
    numbers: Any


def part(stored: StoredSubmission, numbers: Numbers, cells: Iterable[Cell]) -> Part:
    """Return the rows of a submission, one per seed, target, language and score.

    Args:
        stored: the submission.
        numbers: its scores for each seed.
        cells: its means over seeds. They say what is complete, which depends on all seeds.
    """
    complete = {(cell.score.task, cell.score.language): cell.complete for cell in cells}
    columns: dict[str, list[Any]] = {name: [] for name in _IN_MEMORY.names}
    for values in _numbers(stored, numbers, complete):
        for column, value in zip(columns.values(), values, strict=True):
            column.append(value)
    return Part(_about(stored), pa.table(columns, schema=_IN_MEMORY))


class Table:
    """Collects the rows of submissions, in the order in which they are added, and writes the table."""

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
            for part in self._parts:
                replaced = superseded.get(part.about["submission"])
                waiting.append(_decoded({**part.about, "superseded_by": replaced}, part.numbers))
                rows += part.numbers.num_rows
                if sum(table.num_rows for table in waiting) >= _ROWS_AT_ONCE:
                    writer.write_table(pa.concat_tables(waiting))
                    waiting = []
            if waiting or not rows:
                writer.write_table(pa.concat_tables([SCHEMA.empty_table(), *waiting]))
        return rows


def _decoded(about: Mapping[str, Any], numbers: Any) -> Any:
    """Return the rows of a submission with the shared values repeated and the strings decoded."""
    shared = [pa.repeat(pa.scalar(about[field.name], field.type), numbers.num_rows) for field in _SUBMISSION_COLUMNS]
    return pa.table([*shared, *numbers.cast(_SCORE_COLUMNS).columns], schema=SCHEMA)


def _about(stored: StoredSubmission) -> dict[str, Any]:
    submission = stored.submission
    return {
        "submission": submission.id,
        "name": submission.name,
        "submitted_by": submission.submitted_by,
        "checked": stored.checked,
        "withdrawn": stored.withdrawn is not None,
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
    stored: StoredSubmission, numbers: Numbers, complete: Mapping[tuple[str, str], bool]
) -> Iterator[tuple[Any, ...]]:
    for seed in stored.submission.seeds:
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
