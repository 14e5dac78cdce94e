"""Read UTF-8 text files, optionally gzipped, line by line."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, cast

from xharness.errors import DataError

Line = tuple[int, str]
"""The number of a line, from 1, and its text without the line ending."""

_UNREADABLE = (OSError, EOFError, zlib.error, UnicodeDecodeError)


def find_plain_or_gzip(path: Path) -> Path | None:
    """Return the path if the file exists, else the path with ``.gz`` after it, else None."""
    return next((p for p in (path, path.with_name(f"{path.name}.gz")) if p.is_file()), None)


def read_text(path: Path) -> str:
    """Return the text of a file, without a byte order mark.

    Raises:
        DataError: it cannot be opened, is truncated, or is not UTF-8.
    """
    try:
        with _opened(path) as file:
            return file.read().decode("utf-8-sig")
    except _UNREADABLE as error:
        raise _unreadable(str(path), error) from None


def read_lines(path: Path) -> Iterator[Line]:
    """Yield the lines of a file as they are read, so that long files need no memory.

    Only line feeds end a line; other Unicode line breaks are part of the text. A carriage return before the line feed
    is removed.

    Raises:
        DataError: as in `read_text`; the message gives the line.
    """
    number = 0
    try:
        with _opened(path) as file:
            for number, line in enumerate(file, start=1):
                text = line.decode("utf-8-sig" if number == 1 else "utf-8")
                yield number, text.removesuffix("\n").removesuffix("\r")
    except _UNREADABLE as error:
        where = f"{path}: line {number if isinstance(error, UnicodeDecodeError) else number + 1}" if number else path
        raise _unreadable(str(where), error) from None


def _opened(path: Path) -> BinaryIO:
    return cast(BinaryIO, gzip.open(path)) if path.suffix == ".gz" else path.open("rb")


def _unreadable(where: str, error: Exception) -> DataError:
    reason = getattr(error, "strerror", None) or error
    return DataError(f"{where}: cannot be read: {reason}. Fetch it again, or save it as UTF-8 if it is your own.")
