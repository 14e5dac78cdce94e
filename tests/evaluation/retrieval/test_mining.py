"""Mining: the pairs, ids and thresholds are those of a slow, literal restatement of XTREME's BUCC script."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xharness.errors import DataError
from xharness.evaluation.retrieval.mining import NEIGHBORS, Mined, Scored, extract, mine, tune, unify, with_ids
from xharness.evaluation.retrieval.search import search_both

TEXTS = st.lists(st.sampled_from(["a", "a ", " b", "b", "c", "d", "e", "f"]), min_size=1, max_size=12)


def embed(lines: list[str], seed: int) -> np.ndarray:
    """Return one vector per line; equal lines get different ones, and small integers make equal scores."""
    vectors = np.random.default_rng(seed).integers(-2, 3, (len(lines), 3)).astype(np.float32)
    vectors[:, 0] += 6
    return vectors


def official_pairs(sources, targets, x, y):
    """Return what the script finds: {(source line, target line): score}, in the order in which it takes them."""
    source_rows, target_rows = {}, {}
    for index, line in enumerate(sources):
        source_rows[line] = index
    for index, line in enumerate(targets):
        target_rows[line] = index
    left, right = list(source_rows), list(target_rows)
    similarity = [[np.float32(x[source_rows[s]] @ y[target_rows[t]]) for t in right] for s in left]
    k_forward, k_backward = min(4, len(right)), min(4, len(left))
    forward = [sorted(range(len(right)), key=lambda j: (-similarity[i][j], j))[:k_forward] for i in range(len(left))]
    backward = [sorted(range(len(left)), key=lambda i: (-similarity[i][j], i))[:k_backward] for j in range(len(right))]
    forward_mean = [np.mean(np.array([[similarity[i][j] for j in near]]), axis=1)[0] for i, near in enumerate(forward)]
    backward_mean = [
        np.mean(np.array([[similarity[i][j] for i in near]]), axis=1)[0] for j, near in enumerate(backward)
    ]

    def margin(i, j):
        return float(similarity[i][j]) / (float(forward_mean[i] + backward_mean[j]) / 2)

    proposals = []
    for i, near in enumerate(forward):
        scores = [margin(i, j) for j in near]
        best = int(np.argmax(scores))
        proposals.append((scores[best], i, near[best]))
    for j, near in enumerate(backward):
        scores = [margin(i, j) for i in near]
        best = int(np.argmax(scores))
        proposals.append((scores[best], near[best], j))
    taken_sources, taken_targets, found = set(), set(), {}
    for score, i, j in sorted(proposals, key=lambda p: -p[0]):
        if i not in taken_sources and j not in taken_targets:
            taken_sources.add(i)
            taken_targets.add(j)
            if score > 0:
                found[left[i], right[j]] = score
    return found


def official_ids(found, sources, targets):
    """Return {(source id, target id): score}; a sentence's id is its line number, if its text has just one."""
    tables = []
    for lines in (sources, targets):
        stripped = [line.strip() for line in lines]
        tables.append({text: f"id-{i}" for i, text in enumerate(stripped) if stripped.count(text) == 1})
    scored = {}
    for (source, target), score in found.items():
        if source.strip() in tables[0] and target.strip() in tables[1]:
            pair = tables[0][source.strip()], tables[1][target.strip()]
            scored[pair] = max(score, scored.get(pair, 0))
    return scored


def official_threshold(scored, gold):
    """Return (threshold, F1 as a fraction); the last pair has itself as the next one."""
    ranked = sorted(scored.items(), key=lambda item: -item[1])
    best, threshold, correct = 0.0, 0.0, 0
    for i, (pair, score) in enumerate(ranked):
        correct += pair in gold
        precision, recall = correct / (i + 1), correct / len(gold)
        f1 = 2 * precision * recall / (precision + recall) if correct else 0.0
        if f1 > best:
            best, threshold = f1, (score + ranked[min(i + 1, len(ranked) - 1)][1]) / 2
    return threshold, best


@given(TEXTS, TEXTS, st.integers(0, 1000), st.data())
@settings(max_examples=150)
def test_mining_is_what_the_official_script_does(sources, targets, seed, data):
    x, y = embed(sources, seed), embed(targets, seed + 1)
    found = official_pairs(sources, targets, x, y)
    left, right = unify(sources), unify(targets)
    mined = mine(*search_both(x[left], y[right], NEIGHBORS))
    assert {(sources[left[p.source]], targets[right[p.target]]): p.score for p in mined} == found
    assert [p.score for p in mined] == list(found.values())

    ids = [[f"id-{i}" for i in range(len(lines))] for lines in (sources, targets)]
    pairs, dropped = with_ids(mined, sources, targets, *ids)
    scored = official_ids(found, sources, targets)
    assert {(p.source_id, p.target_id): p.score for p in pairs} == scored
    assert dropped == len(mined) - len(scored)

    possible = [(s, t) for s in ids[0] for t in ids[1]]
    gold = data.draw(st.sets(st.sampled_from([*scored, *possible]), min_size=1, max_size=8))
    threshold, f1 = official_threshold(scored, gold)
    tuned = tune(pairs, gold)
    assert (tuned.value, tuned.f1) == (threshold, 100 * f1)
    assert extract(pairs, threshold) == [pair for pair, score in scored.items() if score >= threshold]


def test_unify_keeps_the_first_place_and_the_last_row():
    assert unify(["b", "a", "b", "a ", "a"]) == [2, 4, 3]
    assert unify([]) == []


def test_a_text_that_occurs_twice_has_no_id():
    mined = [Mined(0, 0, 2.0), Mined(1, 1, 1.5), Mined(2, 2, 1.0)]
    pairs, dropped = with_ids(mined, ["a", "a ", "b"], ["x", "y", "z", "x"], ["s0", "s1", "s2"], ["0", "1", "2", "3"])
    assert (pairs, dropped) == ([Scored("s2", "2", 1.0)], 2)
    with pytest.raises(DataError, match="Found 1 ids for 2 sentences"):
        with_ids([], ["a", "b"], [], ["s0"], [])


def test_nothing_is_mined_from_nothing():
    found = search_both(np.ones((2, 3), np.float32), np.ones((0, 3), np.float32), NEIGHBORS)
    assert mine(*found) == []


def test_a_score_of_zero_or_less_is_not_mined():
    x, y = np.array([[6, -1], [7, -2]], np.float32), np.array([[0, 1], [1, 0]], np.float32)
    # The second target is taken by the second source; what is left, the first of each, scores -1 / 0.5.
    assert mine(*search_both(x, y, NEIGHBORS)) == [Mined(1, 1, 7 / 4.5)]
    assert mine(*search_both(y[:1], y[1:], NEIGHBORS)) == []


SCORED = [Scored("a", "x", 4.0), Scored("b", "y", 3.0), Scored("c", "z", 1.0)]


@pytest.mark.parametrize(
    ("gold", "value", "f1"),
    [
        ({("a", "x")}, 3.5, 100.0),
        ({("b", "y")}, 2.0, 200 / 3),
        ({("a", "x"), ("b", "y"), ("c", "z")}, 1.0, 100.0),
        ({("a", "y")}, 0.0, 0.0),
        (set(), 0.0, 0.0),
    ],
)
def test_the_threshold_is_half_way_below_the_best_pair(gold, value, f1):
    tuned = tune(SCORED[::-1], gold)
    assert (tuned.value, tuned.f1) == (value, pytest.approx(f1))


def test_pairs_at_the_threshold_are_extracted():
    assert extract(SCORED, 3.0) == [("a", "x"), ("b", "y")]
    assert tune([], {("a", "x")}).value == 0.0
