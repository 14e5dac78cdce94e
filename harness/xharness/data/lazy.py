"""Lazy sequences of examples over a table: all, concatenated, or a subset."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar, overload

import numpy as np

from xharness.data.examples import Example

E = TypeVar("E")
Indices = np.ndarray[tuple[int], np.dtype[np.int64]]


class _LazySequence(Sequence[E]):
    """A sequence whose items and slices are all read by one method, ``read``."""

    @abstractmethod
    def read(self, start: int, stop: int) -> list[E]:
        """Return the items from ``start`` up to ``stop``, both within the sequence."""

    @overload
    def __getitem__(self, index: int) -> E: ...
    @overload
    def __getitem__(self, index: slice) -> list[E]: ...
    def __getitem__(self, index: int | slice) -> E | list[E]:
        if isinstance(index, int):
            position = range(len(self))[index]
            return self.read(position, position + 1)[0]
        positions = range(len(self))[index]
        if not positions:
            return []
        low = min(positions[0], positions[-1])
        items = self.read(low, max(positions[0], positions[-1]) + 1)
        return items if positions.step == 1 else [items[position - low] for position in positions]


class Examples(_LazySequence[E]):
    """Rows of a table as examples, read and converted in chunks on access."""

    CHUNK_ROWS = 1000

    def __init__(self, table: Any, convert: Callable[[dict[str, Any], int], E]) -> None:
        self._table = table
        self._convert = convert

    def __len__(self) -> int:
        return len(self._table)

    def __iter__(self) -> Iterator[E]:
        return (self._convert(row, index) for index, row in self.stored(0, len(self)))

    def read(self, start: int, stop: int) -> list[E]:
        """Return the examples of the rows from ``start`` up to ``stop``."""
        return [self._convert(row, index) for index, row in self.stored(start, stop)]

    def stored(self, start: int, stop: int) -> Iterator[tuple[int, dict[str, Any]]]:
        """Yield (index, row as stored), reading one chunk of the table at a time."""
        for begin in range(start, stop, self.CHUNK_ROWS):
            columns = self._table[begin : min(begin + self.CHUNK_ROWS, stop)]
            for offset, values in enumerate(zip(*columns.values(), strict=True)):
                yield begin + offset, dict(zip(columns, values, strict=True))


class Concatenated(_LazySequence[E]):
    """Several sequences, concatenated."""

    def __init__(self, parts: Sequence[Sequence[E]]) -> None:
        self._parts = parts
        self._length = sum(map(len, parts))

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[E]:
        return (item for part in self._parts for item in part)

    def read(self, start: int, stop: int) -> list[E]:
        """Return the items from ``start`` up to ``stop``, across parts."""
        items: list[E] = []
        for part in self._parts:
            items += part[max(start, 0) : max(stop, 0)]
            start, stop = start - len(part), stop - len(part)
        return items


class Subset(Sequence[Example]):
    """Some examples of a sequence, given by rising indices; only those are read."""

    CHUNK_ROWS = 1000
    SPARSE = 16
    """Below one selected example in so many, examples are read one by one instead of in a range."""

    def __init__(self, examples: Sequence[Example], indices: Indices) -> None:
        self._all = examples
        self.indices = indices

    def __len__(self) -> int:
        return len(self.indices)

    @overload
    def __getitem__(self, index: int) -> Example: ...
    @overload
    def __getitem__(self, index: slice) -> list[Example]: ...
    def __getitem__(self, index: int | slice) -> Example | list[Example]:
        if isinstance(index, slice):
            return list(self._iterate(self.indices[index]))
        return self._all[int(self.indices[index])]

    def __iter__(self) -> Iterator[Example]:
        return self._iterate(self.indices)

    def _iterate(self, indices: Indices) -> Iterator[Example]:
        for begin in range(0, len(indices), self.CHUNK_ROWS):
            chunk = indices[begin : begin + self.CHUNK_ROWS]
            low, high = int(chunk.min()), int(chunk.max()) + 1
            if high - low > self.SPARSE * len(chunk):
                yield from (self._all[int(position)] for position in chunk)
            else:
                near = self._all[low:high]
                yield from (near[int(position) - low] for position in chunk)
