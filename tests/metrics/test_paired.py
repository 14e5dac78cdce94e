"""Bootstrap replicates: of the score itself, drawn alike for every system, so that differences are paired."""

from __future__ import annotations

import math
import random
from typing import Any

import numpy as np
import pytest

from xharness.errors import DataError
from xharness.metrics import METRICS, paired
from xharness.metrics.base import task_score
from xharness.metrics.bootstrap import bootstrap_interval
from xharness.metrics.paired import RESAMPLES, pack, replicates, unpack
from xharness.metrics.retrieval import Ranking
from xharness.tasks.registry import load_task


def drawn_of(task: str, golds: Any, made: Any) -> Any:
    spec = load_task(task)
    return replicates(spec.metric, spec.score_keys, golds, made, "de", ids_of(golds, made))


def drawn_by(ids: list[str]) -> Any:
    """Return how often examples are drawn: resamples by examples."""
    starts = paired._starts(ids)
    return np.stack([paired._drawn(starts, number) for number in range(RESAMPLES)])


def ids_of(golds: Any, made: Any) -> list[str]:
    """Return the ids of examples: those of the data, or where it has none their numbers."""
    if isinstance(golds, set):
        return sorted({source for source, _ in {*golds, *made}})
    return list(golds) if isinstance(golds, dict) else [str(i) for i in range(len(golds))]


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
    found = drawn_of(task, golds, made)
    assert found.shape == (RESAMPLES,)
    score = task_score(spec.score_keys, METRICS[spec.metric](golds, made, "de").scores)
    assert abs(found.mean() - score) < 1.5
    ends = bootstrap_interval(spec.metric, golds, made, "de")
    width = np.mean([ends[key][1] - ends[key][0] for key in spec.score_keys])
    low, high = np.percentile(found, [2.5, 97.5])
    # Exact match and F1 of one answer go together, so the interval of their mean is about as wide as theirs.
    assert 0.6 * width < high - low < 1.4 * width


@pytest.mark.parametrize("task", MADE)
def test_a_replicate_is_the_metric_of_the_examples_that_were_drawn(task):
    spec = load_task(task)
    golds, made = MADE[task]
    found = drawn_of(task, golds, made)
    ids = ids_of(golds, made)
    drawn = dict(zip(ids, drawn_by(ids)[0].astype(int).tolist(), strict=True))
    if task == "bucc2018":
        again = [{(f"{s} {k}", t) for s, t in some for k in range(drawn[s])} for some in (golds, set(made))]
        expected = METRICS[spec.metric](*again, "de").scores
    elif isinstance(golds, dict):
        some = {f"{key} {k}": golds[key] for key in golds for k in range(drawn[key])}
        again = {f"{key} {k}": made[key] for key in made for k in range(drawn[key])}
        expected = METRICS[spec.metric](some, again, "de").scores
    else:
        places = [i for i in range(len(golds)) for _ in range(drawn[str(i)])]
        expected = METRICS[spec.metric]([golds[i] for i in places], [made[i] for i in places], "de").scores
    assert found[0] == pytest.approx(task_score(spec.score_keys, expected), abs=1e-9)


def test_the_same_examples_are_drawn_for_every_system():
    golds, made = labels(200, 0.8, 1)
    better = [gold if i < 20 else each for i, (gold, each) in enumerate(zip(golds, made, strict=True))]
    one, other = (drawn_of("xnli", golds, each) for each in (made, better))
    # Paired: a system that is right wherever the other one is never falls behind it.
    assert (other >= one).all()
    assert (other > one).any()
    unpaired = replicates("accuracy", ("accuracy",), golds, better, "de", [f"x{i}" for i in range(200)])
    assert (other - one).std() < (unpaired - one).std()
    assert (drawn_of("xnli", golds, made) == one).all()


def test_what_is_drawn_follows_from_the_id_alone():
    few, many = drawn_by(["b", "a"]), drawn_by(["a", "c", "b"])
    assert few.shape == (RESAMPLES, 2)
    assert (few == many[:, [2, 0]]).all()
    assert few[:8].tolist() == DRAWN


DRAWN = [[0, 0], [3, 0], [2, 1], [1, 4], [0, 0], [1, 0], [2, 0], [1, 1]]


def test_numbers_are_those_of_poisson():
    drawn = drawn_by([str(i) for i in range(2000)]).astype(int)
    counts = np.bincount(drawn.ravel(), minlength=4)[:4] / drawn.size
    assert counts == pytest.approx([math.exp(-1) / math.factorial(k) for k in range(4)], abs=0.003)
    # Neither two examples nor two resamples have anything to do with each other.
    assert np.corrcoef(drawn.T[:300])[np.triu_indices(300, 1)].std() == pytest.approx(RESAMPLES**-0.5, rel=0.05)
    assert np.corrcoef(drawn)[np.triu_indices(RESAMPLES, 1)].std() == pytest.approx(2000**-0.5, rel=0.05)


def shared_of_equal_systems(sharing: bool, trials: int = 400, questions: int = 200, languages: int = 8) -> float:
    """Return how often two systems differ "at 95 %" that are equal: which of two answers is whose is a coin's throw.

    The coin is thrown for a question in all its translations: one system understands it better, whatever the language.
    """
    random = np.random.RandomState(0)
    drawn = [drawn_by([f"{'' if sharing else code} {i}" for i in range(questions)]) for code in range(languages)]
    marked = 0
    for _ in range(trials):
        hard = random.random_sample(questions)
        coin = random.choice([-1, 1], questions)
        difference = np.zeros(RESAMPLES)
        for times in drawn:
            better, worse = (random.random_sample(questions) < hard**power for power in (0.3, 3.0))
            difference += times @ (coin * (better.astype(float) - worse)) / times.sum(axis=1)
        low, high = np.percentile(difference, [2.5, 97.5])
        marked += bool(low > 0 or high < 0)
    return marked / trials


def test_equal_systems_seem_different_in_one_of_twenty_cases_also_over_translations():
    assert 0.02 < shared_of_equal_systems(sharing=True) < 0.08
    assert shared_of_equal_systems(sharing=False) > 0.2


def test_a_score_that_cannot_be_drawn_has_none():
    golds, made = labels(9, 0.5, 1)
    assert replicates("evaluate:accuracy", (), golds, made, "de", ids_of(golds, made)) is None


def test_of_few_examples_none_may_be_drawn_at_all():
    found = drawn_of("xnli", ["0", "1"], ["0", "x"])
    ids = ids_of(["0", "1"], [])
    nothing = ~drawn_by(ids).any(axis=1)
    assert nothing.any()
    assert (found[nothing] == 50).all()
    assert ((found >= 0) & (found <= 100)).all()


def test_packed_they_take_two_bytes_each_and_come_back():
    cells = [np.linspace(0, 100, RESAMPLES), np.full(RESAMPLES, 71.254)]
    content = pack(cells)
    assert len(content) == 2 * RESAMPLES * 2
    assert content[:4] == b"\x00\x00\x32\x00"  # 0 and 0.50, little-endian
    assert np.abs(unpack(content) - np.stack(cells)).max() <= 0.005 + 1e-9
    assert pack([]) == b""
    with pytest.raises(DataError, match="not a multiple of a cell's length"):
        unpack(content[:-1])
