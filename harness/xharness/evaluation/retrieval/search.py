"""Exact nearest-neighbor search by inner product, tile by tile.

A neighbor is stored as one integer, its key: the score in the upper half and the index in the lower half, both encoded
so that a larger key is a nearer neighbor or, of equal scores, the one with the lower index. So no two keys are equal,
and the result depends neither on how top-k orders ties nor on the order of the tiles.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from xharness.errors import DataError, UsageError

Matrix = npt.NDArray[Any]
Tick = Callable[[int], None]

# Rows and columns of a similarity tile. On a CPU a tile of 8 MiB stays in the caches, where passes over it are cheap
# compared with the product; on a GPU few large tiles mean few kernel launches.
TILE = {"cpu": (512, 4096), "cuda": (8192, 8192)}
# Rows of the first side that are in memory as float32 at once, while the second side is read from its file.
PANEL = {"cpu": 16_384, "cuda": 65_536}
# Adjacent columns (or rows) of a tile that are first represented by their maximum.
CHUNK = 32

_NO_KEY = torch.iinfo(torch.int64).min  # smaller than the key of any score
_LOW = 0xFFFFFFFF


@dataclass(frozen=True)
class Neighbors:
    """The nearest candidates of every query.

    Attributes:
        scores: float32 [queries, k], inner products, descending.
        indices: int64 [queries, k], rows of the candidates; of equal scores the lowest index comes first.
    """

    scores: npt.NDArray[np.float32]
    indices: npt.NDArray[np.int64]


def search(
    queries: Matrix, candidates: Matrix, k: int, *, device: str = "cpu", tick: Tick = lambda pairs: None
) -> Neighbors:
    """Return the ``k`` nearest candidates of every query; fewer if there are not enough candidates.

    Args:
        queries: [queries, width], float32 or float16, in memory or mapped from a file.
        candidates: [candidates, width], likewise; read once for every ``PANEL`` queries.
        k: neighbors per query, at least 1.
        device: device for the products, which are in float32 on each device.
        tick: called regularly with the number of pairs compared since the last call.

    Raises:
        DataError: the shapes or dtypes do not match.
        UsageError: ``k`` is smaller than 1.
    """
    _check(queries, candidates, k)
    best = _no_neighbors(queries, candidates, k, device)
    for tile in _tiles(queries, candidates, device, tick):
        rows, columns = tile.scores.shape
        maxima = tile.scores.view(rows, -1, _chunk(columns)).amax(2)
        _merge(best[tile.row : tile.row + rows], tile.scores, maxima, tile.column)
    return _neighbors(best)


def search_both(
    first: Matrix, second: Matrix, k: int, *, device: str = "cpu", tick: Tick = lambda pairs: None
) -> tuple[Neighbors, Neighbors]:
    """Return the neighbors of each row of ``first`` in ``second``, and the reverse, from the same products.

    Arguments and errors are those of ``search``; each row gets as many neighbors as the other side has rows, at most
    ``k``.
    """
    _check(first, second, k)
    forward = _no_neighbors(first, second, k, device)
    backward = _no_neighbors(second, first, k, device)
    for tile in _tiles(first, second, device, tick):
        rows, columns = tile.scores.shape
        of_rows = tile.scores.view(rows, -1, _chunk(columns)).amax(2)
        _merge(forward[tile.row : tile.row + rows], tile.scores, of_rows, tile.column)
        # Not from the transposed tile: its maxima are the same, but twenty times as slow to compute.
        of_columns = tile.scores.view(-1, _chunk(rows), columns).amax(1).T
        _merge(backward[tile.column : tile.column + columns], tile.scores.T, of_columns, tile.row)
    return _neighbors(forward), _neighbors(backward)


def ranks(
    queries: Matrix, candidates: Matrix, targets: Sequence[Sequence[int]], *, device: str = "cpu"
) -> list[list[int]]:
    """Return, per query, the rank of each of its targets among all candidates; the nearest candidate has rank 1.

    Of equal scores the lower index ranks first. The products are computed twice: the exact scores of the targets must
    be known before nearer candidates can be counted.

    Args:
        queries: as in ``search``.
        candidates: as in ``search``.
        targets: per query, rows of the candidates.
        device: as in ``search``.

    Raises:
        DataError: the shapes or dtypes do not match, or a target is not a row of the candidates.
    """
    _check(queries, candidates, 1)
    _check_targets(len(queries), len(candidates), targets)
    # Padded with -1, which is in no tile and never counted, to the same number of targets per query.
    padded = np.full((len(queries), max(map(len, targets), default=0)), -1, np.int64)
    for query, rows_of_targets in enumerate(targets):
        padded[query, : len(rows_of_targets)] = rows_of_targets
    indices = torch.from_numpy(padded).to(device)
    scores = torch.zeros(indices.shape, dtype=torch.float32, device=device)
    for tile in _tiles(queries, candidates, device):
        tile_rows = slice(tile.row, tile.row + len(tile.scores))
        columns_in_tile = indices[tile_rows] - tile.column
        row, slot = ((columns_in_tile >= 0) & (columns_in_tile < tile.scores.shape[1])).nonzero(as_tuple=True)
        scores[tile.row + row, slot] = tile.scores[row, columns_in_tile[row, slot]]
    nearer = torch.zeros_like(indices)
    for tile in _tiles(queries, candidates, device):
        tile_rows = slice(tile.row, tile.row + len(tile.scores))
        column = torch.arange(tile.scores.shape[1], device=device) + tile.column
        for n in range(indices.shape[1]):
            score, index = scores[tile_rows, n, None], indices[tile_rows, n, None]
            before = (tile.scores > score) | ((tile.scores == score) & (column < index))
            nearer[tile_rows, n] += before.sum(1)
    counted = nearer.cpu().tolist()
    return [
        [n + 1 for n in counts[: len(rows_of_targets)]]
        for counts, rows_of_targets in zip(counted, targets, strict=True)
    ]


# --- Keys -----------------------------------------------------------------------------------------


def _ordered(scores: torch.Tensor) -> torch.Tensor:
    """Return int32 numbers with the same order as the float32 scores."""
    return _reversed_negatives((scores + 0.0).view(torch.int32))  # -0.0 + 0.0 is 0.0: the two are equal scores


def _reversed_negatives(bits: torch.Tensor) -> torch.Tensor:
    """Reverse the order of negative numbers, which floats order by magnitude; it is its own inverse."""
    return bits ^ ((bits >> 31) & 0x7FFFFFFF)


def _keys(scores: torch.Tensor, indices: torch.Tensor) -> torch.Tensor:
    """Return the keys of scores with indices below 2**32."""
    return (_ordered(scores).long() << 32) | (_LOW - indices)


def _indices(keys: torch.Tensor) -> torch.Tensor:
    return _LOW - (keys & _LOW)


def _neighbors(best: torch.Tensor) -> Neighbors:
    scores = _reversed_negatives((best >> 32).to(torch.int32)).view(torch.float32)
    return Neighbors(scores.cpu().numpy(), _indices(best).cpu().numpy())


def _no_neighbors(queries: Matrix, candidates: Matrix, k: int, device: str) -> torch.Tensor:
    return torch.full((len(queries), min(k, len(candidates))), _NO_KEY, dtype=torch.int64, device=device)


# --- Tiles ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Tile:
    """The similarities [rows, columns] of a range of rows of each side, and the starts of these ranges."""

    scores: torch.Tensor
    row: int
    column: int


def _tiles(first: Matrix, second: Matrix, device: str, tick: Tick = lambda pairs: None) -> Iterator[_Tile]:
    """Yield all similarities; the tiles of a row, or of a column, come in ascending order."""
    kind = "cpu" if torch.device(device).type == "cpu" else "cuda"
    (height, width), panel_size = TILE[kind], PANEL[kind]
    for start in range(0, len(first), panel_size):
        panel = _load(first[start : start + panel_size], device)
        for column in range(0, len(second), width):
            columns = _load(second[column : column + width], device)
            for offset in range(0, len(panel), height):
                rows = panel[offset : offset + height]
                yield _Tile(_products(rows, columns), start + offset, column)
            tick(len(panel) * len(columns))


def _load(rows: Matrix, device: str) -> torch.Tensor:
    # A copy, because torch warns about memory that it cannot write to, such as a file mapped for reading.
    return torch.from_numpy(np.array(rows)).to(device).float()


def _products(rows: torch.Tensor, columns: torch.Tensor) -> torch.Tensor:
    """Return the inner products [rows, columns], in full float32 whatever precision the process has set."""
    with _full_float32():
        # oneDNN, under the name that torch's compiler uses: torch.mm uses MKL, which reaches only half the speed on an
        # AMD processor. Builds of torch without oneDNN do not have it.
        if rows.device.type == "cpu" and hasattr(torch.ops.mkldnn, "_linear_pointwise"):
            products: torch.Tensor = torch.ops.mkldnn._linear_pointwise(rows, columns, None, "none", [], "")
            return products
        return torch.mm(rows, columns.T)


@contextmanager
def _full_float32() -> Iterator[None]:
    """Disable TF32 and bfloat16 in float32 products, and restore the process's setting at the end."""
    if not hasattr(torch.backends.cuda.matmul, "fp32_precision"):  # torch before 2.9
        overall = torch.get_float32_matmul_precision()
        torch.set_float32_matmul_precision("highest")
        try:
            yield
        finally:
            torch.set_float32_matmul_precision(overall)
        return
    onednn: Any = torch.backends.mkldnn
    backends = (torch.backends.cuda.matmul, onednn.matmul)
    before = [backend.fp32_precision for backend in backends]
    for backend in backends:
        backend.fp32_precision = "ieee"
    try:
        yield
    finally:
        for backend, precision in zip(backends, before, strict=True):
            backend.fp32_precision = precision


def _chunk(length: int) -> int:
    """Return the chunk length for a tile's side; 1 at the border, where the side is not a multiple of ``CHUNK``."""
    return CHUNK if length % CHUNK == 0 else 1


def _merge(best: torch.Tensor, scores: torch.Tensor, maxima: torch.Tensor, start: int) -> None:
    """Merge a tile's nearer neighbors into the best so far.

    Only chunks whose maximum exceeds the row's last neighbor can have one, and most rows have no such chunk. If there
    are many, the ``k`` chunks with the largest maxima are enough (the first of equal ones): every score in another
    chunk has ``k`` better ones.

    Args:
        best: int64 [rows, k], keys, descending; changed in place.
        scores: float32 [rows, columns].
        maxima: float32 [rows, chunks], of chunks of equal length.
        start: index of the tile's first column.
    """
    beating = (_ordered(maxima) > best[:, -1:] >> 32).sum(1)
    rows = beating.nonzero().squeeze(1)
    if not len(rows):
        return
    k, chunks, length = best.shape[1], maxima.shape[1], scores.shape[1] // maxima.shape[1]
    chunk_keys = _keys(maxima[rows], torch.arange(chunks, device=best.device))
    nearest = _indices(chunk_keys.topk(min(k, int(beating.max()))).values)
    columns = (nearest[:, :, None] * length + torch.arange(length, device=best.device)).flatten(1)
    keys = _keys(scores[rows[:, None], columns], columns + start)
    best[rows] = torch.cat([best[rows], keys], 1).topk(k).values


# --- Checks ---------------------------------------------------------------------------------------


def _check(queries: Matrix, candidates: Matrix, k: int) -> None:
    if k < 1:
        raise UsageError(f"Found k = {k}, expected at least 1 neighbor per sentence.")
    for rows in (queries, candidates):
        if rows.ndim != 2 or rows.dtype not in (np.float32, np.float16) or not rows.shape[1]:
            raise DataError(
                f"Found embeddings of shape {list(rows.shape)} and type {rows.dtype}, expected [sentences, width] in "
                "float32 or float16. Encode the sentences again."
            )
    if queries.shape[1] != candidates.shape[1]:
        raise DataError(
            f"Found embeddings of width {queries.shape[1]} on one side and {candidates.shape[1]} on the other. Encode "
            "both sides with the same checkpoint."
        )


def _check_targets(queries: int, candidates: int, targets: Sequence[Sequence[int]]) -> None:
    if len(targets) != queries:
        raise DataError(f"Found {len(targets)} lists of targets for {queries} queries, expected one for every query.")
    for query, rows_of_targets in enumerate(targets):
        for target in rows_of_targets:
            if not 0 <= target < candidates:
                raise DataError(
                    f"Found the target {target} for query {query}, expected a number from 0 to {candidates - 1}, the "
                    "index of a candidate."
                )
