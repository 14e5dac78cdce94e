"""MANIFEST.tsv of a data folder: source, license and completeness of every split."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from functools import cache
from io import StringIO
from pathlib import Path
from typing import Any, NamedTuple, TypedDict, cast

from xharness import files
from xharness.errors import DataError

# A status in a manifest begins with one of these words; results contain only the word.
COMPLETE = "complete"
SAMPLE = "sample"
STAND_IN = "stand-in"
UNKNOWN = "unknown"

_NAME = "MANIFEST.tsv"
# The required columns of a file written by hand.
_NEEDED = ("hub_id", "config", "split", "status")


class Row(TypedDict):
    """A line of MANIFEST.tsv: one split of one config.

    Attributes:
        hub_id: ``org/name``.
        config: the config's name.
        split: the split's name in the data (``validation``).
        rows: number of rows; None if it cannot be read from the files.
        status: begins with one of the four words, followed by the reason.
        source: ``hub:org/name@sha``.
        licence: from the task's spec.
    """

    hub_id: str
    config: str
    split: str
    rows: int | None
    status: str
    source: str
    licence: str


def status_word(status: str) -> str:
    """Return the word of a status; anything that is not called complete counts as incomplete.

    >>> status_word("STAND-IN: other rows of the validation split")
    'stand-in'
    >>> status_word("500 of 1000 rows")
    'sample'
    """
    lowered = status.strip().lower()
    return next((word for word in (COMPLETE, STAND_IN, UNKNOWN) if lowered.startswith(word)), SAMPLE)


class SplitStatus(NamedTuple):
    """The status of a split in a manifest."""

    status: str
    """One of the four words."""
    rows: int | None


def read_statuses(data_dir: Path) -> dict[tuple[str, str, str], SplitStatus]:
    """Return (hub id, config, split) -> status and number of rows, for a data folder.

    The manifest may also be beside the folder; the one inside takes precedence.

    Raises:
        DataError: a file cannot be read, or a required column is missing.
    """
    statuses: dict[tuple[str, str, str], SplitStatus] = {}
    for folder in (data_dir.parent, data_dir):
        text = _read(folder / _NAME)
        if text is not None:
            statuses |= _statuses(folder / _NAME, text)
    return statuses


# Cached by text, not by folder: a fetch in the same process may add lines.
@cache
def _statuses(path: Path, text: str) -> dict[tuple[str, str, str], SplitStatus]:
    names, lines = _table(path, text)
    statuses: dict[tuple[str, str, str], SplitStatus] = {}
    for line in lines:
        row = dict(zip(names, line, strict=False))
        if set(_NEEDED) - row.keys():
            raise DataError(f"{path}: every line needs {', '.join(_NEEDED[:-1])} and {_NEEDED[-1]}.")
        rows = row.get("rows", "")
        recorded = SplitStatus(status_word(row["status"]), int(rows) if rows.isdecimal() else None)
        statuses[row["hub_id"], row["config"], row["split"]] = recorded
    return statuses


def read_manifest(folder: Path) -> list[Row]:
    """Return the lines of a folder's MANIFEST.tsv as `write_manifest` writes them; [] if there is none.

    Raises:
        DataError: the file has other columns.
    """
    path = folder / _NAME
    text = _read(path)
    if text is None:
        return []
    columns = list(Row.__annotations__)
    names, lines = _table(path, text)
    if names != columns or any(len(line) != len(columns) for line in lines):
        raise DataError(f"{path}: expected the columns {', '.join(columns)}, separated by tabs. Move it away.")
    rows = [dict(zip(columns, line, strict=True)) for line in lines]
    return [cast(Row, {**row, "rows": int(row["rows"]) if row["rows"].isdecimal() else None}) for row in rows]


def write_manifest(folder: Path, rows: Sequence[Row]) -> None:
    """Add lines to a folder's MANIFEST.tsv; existing lines of other splits are kept.

    Raises:
        DataError: the existing MANIFEST.tsv has other columns.
        OutputError: it cannot be written.
    """
    if not rows:
        return
    merged = {(row["hub_id"], row["config"], row["split"]): row for row in [*read_manifest(folder), *rows]}
    names = list(Row.__annotations__)
    lines: list[list[Any]] = [names, *([dict(row)[name] for name in names] for row in merged.values())]
    cells = [["" if value is None else " ".join(str(value).split()) for value in line] for line in lines]
    files.write_text(folder / _NAME, "".join("\t".join(line) + "\n" for line in cells))


def _read(path: Path) -> str | None:
    try:
        with path.open(encoding="utf-8", newline="") as file:
            return file.read()
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read: {error}.") from None


def _table(path: Path, text: str) -> tuple[list[str], list[list[str]]]:
    """Return the column names and the non-empty lines."""
    try:
        lines = list(csv.reader(StringIO(text, newline=""), delimiter="\t", quoting=csv.QUOTE_NONE))
    except csv.Error as error:
        raise DataError(f"{path}: cannot be read: {error}.") from None
    return (lines[0] if lines else []), [line for line in lines[1:] if line]
