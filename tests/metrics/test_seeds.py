"""Statistics over seeds: sample deviation, and nothing left out in silence."""

from __future__ import annotations

import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xharness.metrics import seeds

SCORES = st.dictionaries(st.integers(0, 9), st.one_of(st.none(), st.floats(0, 100)), max_size=6)


@given(st.lists(st.floats(0, 100), max_size=8))
def test_mean_and_deviation_are_those_of_the_standard_library(values):
    found = seeds.spread(values)
    assert found.n == len(values)
    assert found.mean == (pytest.approx(statistics.fmean(values)) if values else None)
    assert found.deviation == (pytest.approx(statistics.stdev(values), abs=1e-9) if len(values) > 1 else None)


@given(SCORES, st.data())
def test_every_seed_that_was_run_is_in_the_summary(scores, data):
    ends = [seeds.COMPLETE, seeds.COLLAPSED, seeds.DIVERGED, seeds.FAILED]
    states = {seed: data.draw(st.sampled_from(ends)) for seed in scores}
    found = seeds.summary(scores, states)
    assert list(found.to_json()["seeds"]) == [str(seed) for seed in scores]
    assert found.every.n == sum(value is not None for value in scores.values())
    assert found.good.n <= found.every.n
    assert sum(len(found.seeds(end)) for end in ends) == found.to_json()["ran"] == len(scores)


def test_a_collapsed_seed_counts_and_is_told_apart():
    found = seeds.summary({1: 80.0, 2: 33.0, 3: 82.0}, {1: "complete", 2: "collapsed", 3: "complete", 4: "diverged"})
    assert found.every.mean == 65.0
    assert (found.good.mean, found.good.n) == (81.0, 2)
    assert found.to_json()["seeds"]["4"] == {"score": None, "state": "diverged"}
    assert (found.to_json()["collapsed"], found.to_json()["diverged"]) == ([2], [4])
