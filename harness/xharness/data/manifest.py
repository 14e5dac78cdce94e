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

# The words that a status begins with; in results it is one of them alone.
COMPLETE = "complete"
SAMPLE = "sample"
STAND_IN = "stand-in"
UNKNOWN = "unknown"

_NAME = "MANIFEST.tsv"
# What cannot be done without in a file that somebody wrote by hand.
_NEEDED = ("hub_id", "config", "split", "status")


class Row(TypedDict):
    """A line of MANIFEST.tsv: one split of one config.

    Attributes:
        hub_id: ``org/name``.
        config: the config's name.
        split: the split's name in the data (``validation``).
        rows: number of rows; None where the files' format does not tell.
        status: begins with one of the four words, then says why.
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


def plain_status(status: str) -> str:
    """Return the one word of a status; what is not said to be complete is not.

    >>> plain_status("STAND-IN: other rows of the validation split")
    'stand-in'
    >>> plain_status("500 of 1000 rows")
    'sample'
    """
    said = status.strip().lower()
    return next((word for word in (COMPLETE, STAND_IN, UNKNOWN) if said.startswith(word)), SAMPLE)


class Said(NamedTuple):
    """What a line of a manifest says of a split."""

    status: str
    """One of the four words."""
    rows: int | None


def read_statuses(data_dir: Path) -> dict[tuple[str, str, str], Said]:
    """Return (hub id, config, split) -> the one word of its status, and its rows, for a data folder.

    The manifest may also lie beside the folder; what the folder's own says counts more.

    Raises:
        DataError: a file cannot be read, or a line lacks one of the columns that this needs.
    """
    statuses: dict[tuple[str, str, str], Said] = {}
    for folder in (data_dir.parent, data_dir):
        text = _read(folder / _NAME)
        if text is not None:
            statuses |= _statuses(folder / _NAME, text)
    return statuses


# By the text and not by the folder: a fetch in the same process may have added to it.
@cache
def _statuses(path: Path, text: str) -> dict[tuple[str, str, str], Said]:
    names, lines = _table(path, text)
    statuses: dict[tuple[str, str, str], Said] = {}
    for line in lines:
        row = dict(zip(names, line, strict=False))
        if set(_NEEDED) - row.keys():
            raise DataError(f"{path}: every line needs {', '.join(_NEEDED[:-1])} and {_NEEDED[-1]}.")
        rows = row.get("rows", "")
        recorded = Said(plain_status(row["status"]), int(rows) if rows.isdecimal() else None)
        statuses[row["hub_id"], row["config"], row["split"]] = recorded
    return statuses


def read_manifest(folder: Path) -> list[Row]:
    """Return the lines of a folder's MANIFEST.tsv as `write_manifest` writes them; [] where there is none.

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
    """Return the names of the columns, and the lines that are not empty."""
    try:
        lines = list(csv.reader(StringIO(text, newline=""), delimiter="\t", quoting=csv.QUOTE_NONE))
    except csv.Error as error:
        raise DataError(f"{path}: cannot be read: {error}.") from None
    return (lines[0] if lines else []), [line for line in lines[1:] if line]
