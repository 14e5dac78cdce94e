"""Compare row counts of downloaded files with the specs."""

from __future__ import annotations

import gzip
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from xharness.data.fetch.requirements import Use
from xharness.data.manifest import COMPLETE, UNKNOWN
from xharness.tasks.source_spec import Keep
from xharness.tasks.task_spec import TaskSpec

DIFFERS = f"{UNKNOWN}: found"
"""How a status begins if a count differs from that of the spec."""


@dataclass(frozen=True)
class RowCount:
    """The number of rows of a split for one use; None if it cannot be read from the files."""

    use: Use
    rows: int | None


def count_rows(paths: Sequence[Path], keep: Keep | None = None) -> int | None:
    """Return the number of rows (of one language) in files; None if it cannot be read from them."""
    total = 0
    for path in paths:
        rows = _rows(path, keep)
        if rows is None:
            return None
        total += rows
    return total


def status(split: Sequence[RowCount], all_splits: Sequence[RowCount]) -> str:
    """Return ``complete``, or ``unknown`` with the reason, by the counts of the specs.

    Args:
        split: the row counts of a split, one per use.
        all_splits: the row counts of all splits of the data set.
    """
    confirmed = []
    for count in split:
        use = count.use
        if count.rows is None:
            return f"{UNKNOWN}: the rows of these files cannot be counted"
        if use.expected is not None and count.rows != use.expected:
            return f"{DIFFERS} {count.rows} rows for '{use.language}', the spec {use.spec.name} says {use.expected}"
        confirmed.append(use.expected is not None or _total_is_correct(use, all_splits))
    # Without 'keep' all uses count the same rows, so one confirmed count is enough.
    mixed = any(count.use.keep is not None for count in split)
    if (all if mixed else any)(confirmed):
        return COMPLETE
    return f"{UNKNOWN}: the right number of rows is not known for sure"


def _total_is_correct(use: Use, all_splits: Sequence[RowCount]) -> bool:
    """Return whether all languages of the spec are present and add up to its total."""
    if not isinstance(use.spec, TaskSpec) or use.split == "train" or use.split not in use.spec.total:
        return False
    rows = {
        other.use.language: other.rows or 0
        for other in all_splits
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
    """Return the number of rows from the file's footer; None if it has none (a truncated file)."""
    import pyarrow
    import pyarrow.parquet

    try:
        return int(pyarrow.parquet.read_metadata(path).num_rows)
    except pyarrow.ArrowInvalid:
        return None


def _kept_parquet_rows(path: Path, keep: Keep) -> int | None:
    """Return the number of rows of one language; None if the column that tells them apart is missing."""
    import pyarrow.parquet

    with pyarrow.parquet.ParquetFile(path) as file:
        if keep.column not in file.schema_arrow.names:
            return None
        batches = file.iter_batches(columns=[keep.column])
        return sum(keep.matches(value) for batch in batches for value in batch.column(0).to_pylist())
