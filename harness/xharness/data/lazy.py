"""Lazy sequences of examples over a table: all, concatenated, or a subset."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar, overload

import numpy as np

from xharness.data.examples import Example

E = TypeVar("E")
Places = np.ndarray[tuple[int], np.dtype[np.int64]]


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
        items: list[E] = []
        for part in self._parts:
            items += part[max(start, 0) : max(stop, 0)]
            start, stop = start - len(part), stop - len(part)
        return items


class Chosen(Sequence[Example]):
    """Some examples of a sequence, by their places in rising order; only what is asked for is read."""

    PIECE = 1000
    SPARSE = 16
    """Where fewer than one in so many is wanted, examples are read one by one instead of with all between them."""

    def __init__(self, all_of_them: Sequence[Example], places: Places) -> None:
        self._all = all_of_them
        self.places = places

    def __len__(self) -> int:
        return len(self.places)

    @overload
    def __getitem__(self, index: int) -> Example: ...
    @overload
    def __getitem__(self, index: slice) -> list[Example]: ...
    def __getitem__(self, index: int | slice) -> Example | list[Example]:
        if isinstance(index, slice):
            return list(self._read(self.places[index]))
        return self._all[int(self.places[index])]

    def __iter__(self) -> Iterator[Example]:
        return self._read(self.places)

    def _read(self, places: Places) -> Iterator[Example]:
        for begin in range(0, len(places), self.PIECE):
            piece = places[begin : begin + self.PIECE]
            low, high = int(piece.min()), int(piece.max()) + 1
            if high - low > self.SPARSE * len(piece):
                yield from (self._all[int(position)] for position in piece)
            else:
                near = self._all[low:high]
                yield from (near[int(position) - low] for position in piece)
