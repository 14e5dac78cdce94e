"""Compare row counts of downloaded files with the specs."""

from __future__ import annotations

import gzip
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from xharness.data.fetch.requirements import Use
from xharness.data.manifest import COMPLETE, UNKNOWN
from xharness.tasks.dataset_spec import Keep
from xharness.tasks.task_spec import TaskSpec

DIFFERS = f"{UNKNOWN}: found"
"""What a status begins with if a count is not the one that a spec gives."""


@dataclass(frozen=True)
class Counted:
    """How many rows some files hold for one use; None where the format does not tell."""

    use: Use
    rows: int | None


def count_rows(paths: Sequence[Path], keep: Keep | None = None) -> int | None:
    """Return the number of rows (of one language) in files; None where the format does not tell."""
    total = 0
    for path in paths:
        rows = _rows(path, keep)
        if rows is None:
            return None
        total += rows
    return total


def status(split: Sequence[Counted], everything: Sequence[Counted]) -> str:
    """Return ``complete``, or ``unknown`` and why, from the counts that the specs give.

    Args:
        split: the rows that a split holds for each of its uses.
        everything: the same of all splits of the data set.
    """
    sure = []
    for counted in split:
        use = counted.use
        if counted.rows is None:
            return f"{UNKNOWN}: the rows of these files cannot be counted"
        if use.expected is not None and counted.rows != use.expected:
            return f"{DIFFERS} {counted.rows} rows for '{use.language}', the spec {use.spec.name} says {use.expected}"
        sure.append(use.expected is not None or _sum_is_right(use, everything))
    # Without 'keep' all uses count the same rows, so one that is sure is enough.
    mixed = any(counted.use.keep is not None for counted in split)
    if (all if mixed else any)(sure):
        return COMPLETE
    return f"{UNKNOWN}: the right number of rows is not known for sure"


def _sum_is_right(use: Use, everything: Sequence[Counted]) -> bool:
    """Whether all languages of the spec are there and add up to its total."""
    if not isinstance(use.spec, TaskSpec) or use.split == "train" or use.split not in use.spec.total:
        return False
    rows = {
        other.use.language: other.rows or 0
        for other in everything
        if other.use.spec is use.spec and other.use.split == use.split
    }
    return set(rows) == set(use.spec.languages) and sum(rows.values()) == use.spec.total[use.split]


def _rows(path: Path, keep: Keep | None) -> int | None:
    if path.suffix == ".parquet":
        return _parquet_rows(path) if keep is None else _kept_parquet_rows(path, keep)
    if keep is None and path.name.endswith((".jsonl", ".jsonl.gz")):
        with gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as lines:
            return sum(1 for line in lines if line.strip())
    return None


def _parquet_rows(path: Path) -> int | None:
    """Return the number of rows by the file's footer; None if there is no footer (a file that was cut)."""
    import pyarrow
    import pyarrow.parquet

    try:
        return int(pyarrow.parquet.read_metadata(path).num_rows)
    except pyarrow.ArrowInvalid:
        return None


def _kept_parquet_rows(path: Path, keep: Keep) -> int | None:
    """Return the number of rows of one language; None if the column that tells is not there."""
    import pyarrow.parquet

    with pyarrow.parquet.ParquetFile(path) as file:
        if keep.column not in file.schema_arrow.names:
            return None
        pieces = file.iter_batches(columns=[keep.column])
        return sum(keep.takes(value) for piece in pieces for value in piece.column(0).to_pylist())
