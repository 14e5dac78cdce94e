"""Bootstrap replicates: of the score itself, drawn alike for every system, so that differences are paired."""

from __future__ import annotations

import random

import numpy as np
import pytest

from xharness.board import replicates as board_replicates
from xharness.board.replicates import RESAMPLES, pack, replicates, unpack
from xharness.errors import DataError
from xharness.intervals import interval
from xharness.metrics import METRICS, Ranking, task_score
from xharness.spec import load_task

HASH = "a" * 64


def labels(n: int, right: float, seed: int) -> tuple[list[str], list[str]]:
    chance = random.Random(seed)
    golds = [str(i % 3) for i in range(n)]
    return golds, [gold if chance.random() < right else "x" for gold in golds]


def answers(n: int) -> tuple[dict[str, tuple[str, ...]], dict[str, str]]:
    golds = {str(i): (f"the answer {i}", "none") for i in range(n)}
    return golds, {str(i): f"answer {i}" if i % 3 else f"wrong {i}" for i in range(n) if i % 5}


def tags(n: int) -> tuple[list[list[str]], list[list[str]]]:
    golds = [["B-PER", "I-PER", "O", "B-LOC"] for _ in range(n)]
    return golds, [gold if i % 3 else ["O", "I-PER", "O", "B-LOC"] for i, gold in enumerate(golds)]


def rankings(n: int) -> tuple[dict[str, tuple[str, ...]], dict[str, Ranking]]:
    golds = {str(i): (f"c{i}",) for i in range(n)}
    return golds, {str(i): Ranking((f"c{i + i % 2}", f"c{i}")) for i in range(n)}


def pairs(n: int) -> tuple[set[tuple[str, str]], list[tuple[str, str]]]:
    golds = {(f"de-{i}", f"en-{i}") for i in range(n)}
    found = [(f"de-{i}", f"en-{i + i % 2}") for i in range(n) if i % 7]
    return golds, [*found, ("de-x", "en-1"), ("de-y", "en-2")]


MADE = {
    "xnli": labels(90, 0.7, 1),
    "xquad": answers(60),
    "mlqa": answers(60),
    "panx": tags(40),
    "mewslix": rankings(50),
    "bucc2018": pairs(80),
}


@pytest.mark.parametrize("task", MADE)
def test_they_lie_around_the_score_as_its_interval_does(task):
    spec = load_task(task)
    golds, made = MADE[task]
    found = replicates(spec, golds, made, "de", HASH)
    assert found.shape == (RESAMPLES,)
    score = task_score(spec.score_keys, METRICS[spec.metric](golds, made, "de").scores)
    assert abs(found.mean() - score) < 1.5
    ends = interval(spec.metric, golds, made, "de")
    width = np.mean([ends[key][1] - ends[key][0] for key in spec.score_keys])
    low, high = np.percentile(found, [2.5, 97.5])
    # Exact match and F1 of one answer go together, so the interval of their mean is about as wide as theirs.
    assert 0.6 * width < high - low < 1.4 * width


@pytest.mark.parametrize("task", MADE)
def test_a_replicate_is_the_metric_of_the_examples_that_were_drawn(task):
    spec = load_task(task)
    golds, made = MADE[task]
    found = replicates(spec, golds, made, "de", HASH)
    n = len(golds)
    drawn = board_replicates._drawn(n, HASH)[0].astype(int)
    if task == "bucc2018":
        places = sorted(golds)
        # A pair that is drawn twice counts twice; what was found for other sentences counts once.
        some = [(f"{s} {k}", f"{t}") for (s, t), times in zip(places, drawn, strict=True) for k in range(times)]
        others = [(s, t) for s, t in made if s not in dict(golds)]
        again = [(f"{s} {k}", t) for s, t in made for k in range(dict(zip(dict(places), drawn, strict=True)).get(s, 0))]
        expected = METRICS[spec.metric](set(some), [*again, *others], "de").scores
    elif isinstance(golds, dict):
        keys = [(key, k) for key, times in zip(golds, drawn, strict=True) for k in range(times)]
        some = {f"{key} {k}": golds[key] for key, k in keys}
        again = {f"{key} {k}": made[key] for key, k in keys if key in made}
        expected = METRICS[spec.metric](some, again, "de").scores
    else:
        places = [i for i, times in enumerate(drawn) for _ in range(times)]
        expected = METRICS[spec.metric]([golds[i] for i in places], [made[i] for i in places], "de").scores
    assert found[0] == pytest.approx(task_score(spec.score_keys, expected), abs=1e-9)


def test_the_same_examples_are_drawn_for_every_system_and_others_for_other_data():
    spec = load_task("xnli")
    golds, made = labels(200, 0.8, 1)
    better = [gold if i < 20 else each for i, (gold, each) in enumerate(zip(golds, made, strict=True))]
    one, other = (replicates(spec, golds, each, "de", HASH) for each in (made, better))
    # Paired: a system that is right wherever the other one is never falls behind it.
    assert (other >= one).all()
    assert (other > one).any()
    unpaired = replicates(spec, golds, better, "de", "b" * 64)
    assert (other - one).std() < (unpaired - one).std()
    assert (replicates(spec, golds, made, "de", HASH) == one).all()


def test_what_is_drawn_is_the_same_on_every_machine():
    drawn = board_replicates._drawn(7, HASH)
    assert drawn[:3].tolist() == DRAWN
    assert (drawn.sum(axis=1) == 7).all()


DRAWN = [[1.0, 2.0, 1.0, 1.0, 1.0, 1.0, 0.0], [2.0, 4.0, 0.0, 0.0, 1.0, 0.0, 0.0], [0.0, 1.0, 1.0, 1.0, 1.0, 1.0, 2.0]]


def test_a_score_that_cannot_be_drawn_has_none():
    spec = load_task("xnli").model_copy(update={"metric": "evaluate:accuracy"})
    assert replicates(spec, *labels(9, 0.5, 1), "de", HASH) is None


def test_packed_they_take_two_bytes_each_and_come_back():
    cells = [np.linspace(0, 100, RESAMPLES), np.full(RESAMPLES, 71.254)]
    content = pack(cells)
    assert len(content) == 2 * RESAMPLES * 2
    assert content[:4] == b"\x00\x00\x32\x00"  # 0 and 0.50, little-endian
    assert np.abs(unpack(content) - np.stack(cells)).max() <= 0.005 + 1e-9
    assert pack([]) == b""
    with pytest.raises(DataError, match="no whole number of cells"):
        unpack(content[:-1])
