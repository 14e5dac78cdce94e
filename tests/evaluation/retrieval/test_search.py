"""Search: neighbours and ranks are those of the whole similarity matrix, ties and borders of tiles included."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from xharness.errors import DataError, UsageError
from xharness.evaluation.retrieval import search as retrieval_search
from xharness.evaluation.retrieval.search import ranks, search, search_both

pytestmark = pytest.mark.filterwarnings("error")
# The tiles are the same for all examples, so the fixture need not be made anew for each.
PROPERTY = settings(max_examples=60)


@pytest.fixture(params=["as it is", "tiny"], ids=str)
def tiles(request, monkeypatch):
    if request.param == "tiny":
        monkeypatch.setattr(retrieval_search, "TILE", {"cpu": (4, 6)})
        monkeypatch.setattr(retrieval_search, "PANEL", {"cpu": 8})
        monkeypatch.setattr(retrieval_search, "CHUNK", 2)


def integers(rows: int, seed: int, width: int = 3) -> np.ndarray:
    """Return vectors of small integers: products are exact in float32, and many are equal."""
    return np.random.default_rng(seed).integers(-1, 2, (rows, width)).astype(np.float32)


def brute(queries, candidates, k):
    similarity = queries.astype(np.float64) @ candidates.astype(np.float64).T
    order = np.argsort(-similarity, axis=1, kind="stable")[:, :k]
    return np.take_along_axis(similarity, order, axis=1), order


def same(found, expected):
    scores, indices = expected
    assert found.indices.dtype == np.int64
    assert found.scores.dtype == np.float32
    assert found.indices.tolist() == indices.tolist()
    assert found.scores.tolist() == scores.tolist()


ROWS = st.integers(1, 40)


@given(ROWS, ROWS, st.integers(1, 12), st.integers(0, 1000))
@PROPERTY
def test_search_finds_what_the_whole_matrix_holds(tiles, n, m, k, seed):
    queries, candidates = integers(n, seed), integers(m, seed + 1)
    same(search(queries, candidates, k), brute(queries, candidates, k))
    forward, backward = search_both(queries, candidates, k)
    same(forward, brute(queries, candidates, k))
    same(backward, brute(candidates, queries, k))
    assert forward.scores.shape == (n, min(k, m))


@given(ROWS, ROWS, st.integers(0, 1000), st.data())
@PROPERTY
def test_ranks_are_places_in_the_whole_order(tiles, n, m, seed, data):
    queries, candidates = integers(n, seed), integers(m, seed + 1)
    targets = data.draw(st.lists(st.lists(st.integers(0, m - 1), max_size=4), min_size=n, max_size=n))
    _, order = brute(queries, candidates, m)
    expected = [[order[i].tolist().index(t) + 1 for t in wanted] for i, wanted in enumerate(targets)]
    assert ranks(queries, candidates, targets) == expected


@pytest.mark.parametrize(("n", "m"), [(1500, 9000), (513, 4097), (1, 5000), (600, 1)])
def test_search_with_full_tiles(n, m):
    queries, candidates = integers(n, 1, width=8), integers(m, 2, width=8)
    forward, backward = search_both(queries, candidates, 5)
    same(forward, brute(queries, candidates, 5))
    same(backward, brute(candidates, queries, 5))
    same(search(queries, candidates, 20), brute(queries, candidates, 20))


def test_real_vectors_are_found_in_the_order_of_their_cosines():
    random = np.random.default_rng(0)
    queries, candidates = (random.standard_normal((n, 64)).astype(np.float32) for n in (700, 5000))
    scores, indices = brute(queries, candidates, 4)
    found = search(queries, candidates, 4)
    assert (found.indices == indices).mean() > 0.999
    np.testing.assert_allclose(found.scores, scores, rtol=1e-5)


def test_nearer_candidates_that_come_later_replace_all_before(tiles):
    candidates = np.arange(1, 101, dtype=np.float32)[:, None]
    found = search(np.ones((3, 1), np.float32), candidates, 3)
    assert found.indices.tolist() == [[99, 98, 97]] * 3


def test_zeros_of_either_sign_are_equal():
    found = search(np.array([[1, 0]], np.float32), np.array([[-0.0, -1], [0, 1], [-0.0, 2]], np.float32), 3)
    assert found.indices.tolist() == [[0, 1, 2]]


def test_embeddings_are_read_from_a_float16_file(tiles, tmp_path):
    queries, candidates = integers(20, 1), integers(30, 2)
    np.save(tmp_path / "candidates.npy", candidates.astype(np.float16))
    mapped = np.load(tmp_path / "candidates.npy", mmap_mode="r")
    assert isinstance(mapped, np.memmap)
    same(search(queries, mapped, 5), brute(queries, candidates, 5))
    same(search_both(mapped, queries, 5)[0], brute(candidates, queries, 5))
    assert ranks(queries, mapped, [[0]] * 20) == ranks(queries, candidates, [[0]] * 20)


def test_ticks_add_up_to_all_pairs(tiles):
    ticks: list[int] = []
    search(integers(20, 1), integers(30, 2), 5, tick=ticks.append)
    assert sum(ticks) == 600


def test_nothing_among_nothing():
    none, some = integers(0, 1), integers(5, 2)
    assert search(none, some, 2).indices.shape == (0, 2)
    assert search(some, none, 2).scores.shape == (5, 0)
    assert ranks(none, some, []) == []


def test_infinity_and_nan_do_not_stop_it():
    broken = integers(50, 1)
    broken[7], broken[9] = np.nan, np.inf
    found = search(broken, broken, 4)
    assert found.indices.shape == (50, 4)
    assert len(ranks(broken, broken, [[0]] * 50)) == 50


def test_products_are_float32_whatever_the_process_has_set():
    vectors = np.random.default_rng(0).standard_normal((200, 768)).astype(np.float32)
    expected = search(vectors, vectors, 3)
    torch.set_float32_matmul_precision("medium")
    try:
        found = search(vectors, vectors, 3)
        assert torch.get_float32_matmul_precision() == "medium"
    finally:
        torch.set_float32_matmul_precision("highest")
    assert found.scores.tolist() == expected.scores.tolist()


def test_without_onednn_the_neighbours_are_the_same(monkeypatch):
    queries, candidates = integers(40, 1), integers(50, 2)
    monkeypatch.setattr(torch.ops, "mkldnn", object())
    same(search(queries, candidates, 5), brute(queries, candidates, 5))


@pytest.mark.parametrize(
    ("queries", "candidates", "found"),
    [
        (np.ones((2, 3), np.float32), np.ones((2, 4), np.float32), "width 3 on one side and 4 on the other"),
        (np.ones((2, 3)), np.ones((2, 3), np.float32), "type float64"),
        (np.ones(3, np.float32), np.ones((2, 3), np.float32), r"shape \[3\]"),
        (np.ones((2, 0), np.float32), np.ones((2, 0), np.float32), r"shape \[2, 0\]"),
    ],
)
def test_arrays_that_do_not_fit_end_in_a_sentence(queries, candidates, found):
    with pytest.raises(DataError, match=found):
        search(queries, candidates, 1)
    with pytest.raises(DataError, match=found):
        search_both(queries, candidates, 1)


def test_other_mistakes_end_in_a_sentence():
    some = integers(3, 1)
    with pytest.raises(UsageError, match="k = 0"):
        search(some, some, 0)
    with pytest.raises(DataError, match="2 lists of targets for 3 queries"):
        ranks(some, some, [[0], [1]])
    with pytest.raises(DataError, match="target 3 for query 2"):
        ranks(some, some, [[0], [1], [3]])
