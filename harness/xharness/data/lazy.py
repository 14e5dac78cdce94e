"""Rows of tables as sequences of canonical examples, read and converted in pieces when they are asked for."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar, overload

E = TypeVar("E")


class _Read(Sequence[E]):
    """A sequence that can read what lies between two places; all other ways to ask come down to that."""

    @abstractmethod
    def between(self, start: int, stop: int) -> list[E]:
        """Return the items from ``start`` up to ``stop``, both within the sequence."""

    @overload
    def __getitem__(self, index: int) -> E: ...
    @overload
    def __getitem__(self, index: slice) -> list[E]: ...
    def __getitem__(self, index: int | slice) -> E | list[E]:
        if isinstance(index, int):
            place = range(len(self))[index]
            return self.between(place, place + 1)[0]
        places = range(len(self))[index]
        if not places:
            return []
        low = min(places[0], places[-1])
        found = self.between(low, max(places[0], places[-1]) + 1)
        return found if places.step == 1 else [found[place - low] for place in places]


class Examples(_Read[E]):
    """Rows of a table as canonical examples, read and converted in pieces when they are asked for."""

    PIECE = 1000

    def __init__(self, table: Any, convert: Callable[[dict[str, Any], int], E]) -> None:
        self._table = table
        self._convert = convert

    def __len__(self) -> int:
        return len(self._table)

    def __iter__(self) -> Iterator[E]:
        return (self._convert(row, place) for place, row in self.stored(0, len(self)))

    def between(self, start: int, stop: int) -> list[E]:
        """Return the examples of the rows from ``start`` up to ``stop``."""
        return [self._convert(row, place) for place, row in self.stored(start, stop)]

    def stored(self, start: int, stop: int) -> Iterator[tuple[int, dict[str, Any]]]:
        """Yield (place, row as stored), reading a piece of the table at a time."""
        for piece in range(start, stop, self.PIECE):
            columns = self._table[piece : min(piece + self.PIECE, stop)]
            for offset, values in enumerate(zip(*columns.values(), strict=True)):
                yield piece + offset, dict(zip(columns, values, strict=True))


class Joined(_Read[E]):
    """Several sequences, one after the other."""

    def __init__(self, parts: Sequence[Sequence[E]]) -> None:
        self._parts = parts
        self._length = sum(map(len, parts))

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[E]:
        return (item for part in self._parts for item in part)

    def between(self, start: int, stop: int) -> list[E]:
        """Return the items from ``start`` up to ``stop``, of whichever parts they lie in."""
        found: list[E] = []
        for part in self._parts:
            found += part[max(start, 0) : max(stop, 0)]
            start, stop = start - len(part), stop - len(part)
        return found
