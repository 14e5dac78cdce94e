"""Rows of tables as sequences of canonical examples, read and converted in pieces when they are asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar, overload

E = TypeVar("E")


class Examples(Sequence[E]):
    """Rows of a table as canonical examples, read and converted in pieces when they are asked for."""

    PIECE = 1000

    def __init__(self, table: Any, convert: Callable[[dict[str, Any], int], E]) -> None:
        self._table = table
        self._convert = convert

    def __len__(self) -> int:
        return len(self._table)

    @overload
    def __getitem__(self, index: int) -> E: ...
    @overload
    def __getitem__(self, index: slice) -> list[E]: ...
    def __getitem__(self, index: int | slice) -> E | list[E]:
        if isinstance(index, slice):
            start, stop, step = index.indices(len(self))
            return [self._convert(row, place) for place, row in self.stored(start, stop)][::step]
        if not -len(self) <= index < len(self):
            raise IndexError(index)
        return self._convert(self._table[index % len(self)], index % len(self))

    def __iter__(self) -> Iterator[E]:
        return (self._convert(row, place) for place, row in self.stored(0, len(self)))

    def stored(self, start: int, stop: int) -> Iterator[tuple[int, dict[str, Any]]]:
        """Yield (place, row as stored), reading a piece of the table at a time."""
        for piece in range(start, stop, self.PIECE):
            columns = self._table[piece : min(piece + self.PIECE, stop)]
            for offset, values in enumerate(zip(*columns.values(), strict=True)):
                yield piece + offset, dict(zip(columns, values, strict=True))


class Joined(Sequence[E]):
    """Several sequences, one after the other."""

    def __init__(self, parts: Sequence[Sequence[E]]) -> None:
        self._parts = parts
        self._length = sum(map(len, parts))

    def __len__(self) -> int:
        return self._length

    @overload
    def __getitem__(self, index: int) -> E: ...
    @overload
    def __getitem__(self, index: slice) -> list[E]: ...
    def __getitem__(self, index: int | slice) -> E | list[E]:
        if isinstance(index, slice):
            start, stop, step = index.indices(len(self))
            found: list[E] = []
            for part in self._parts:
                found += part[max(start, 0) : max(stop, 0)]
                start, stop = start - len(part), stop - len(part)
            return found[::step]
        return self[index : index + 1][0]

    def __iter__(self) -> Iterator[E]:
        return (candidate for part in self._parts for candidate in part)
