"""Mean and standard deviation over seeds, with and without failed runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import fsum, sqrt
from typing import Any

COMPLETE, COLLAPSED, DIVERGED, FAILED = "complete", "collapsed", "diverged", "failed"
"""How a training run ended: completed; no better than chance; in NaN or infinity; or with an error."""


@dataclass(frozen=True)
class Spread:
    """Mean and standard deviation of a list of numbers.

    Attributes:
        n: how many numbers.
        mean: None if there are none.
        deviation: sample standard deviation (over n - 1); None if there are fewer than two.
    """

    n: int
    mean: float | None
    deviation: float | None


@dataclass(frozen=True)
class Summary:
    """Statistics of a score over several seeds.

    Attributes:
        scores: seed -> score, in percent; None if the seed has none.
        states: seed -> how its training ended.
        every: over all seeds that have a score, including collapsed ones.
        good: over the seeds whose training completed.
    """

    scores: Mapping[int, float | None]
    states: Mapping[int, str]
    every: Spread
    good: Spread

    def seeds(self, state: str) -> list[int]:
        """Return the seeds whose training ended in this state."""
        return [seed for seed, of_seed in self.states.items() if of_seed == state]

    def to_json(self) -> dict[str, Any]:
        """Return what ``--json`` prints."""
        return {
            "mean": self.every.mean,
            "deviation": self.every.deviation,
            "ran": len(self.states),
            "scored": self.every.n,
            "collapsed": self.seeds(COLLAPSED),
            "diverged": self.seeds(DIVERGED),
            "failed": self.seeds(FAILED),
            "without_collapsed": {"mean": self.good.mean, "deviation": self.good.deviation, "scored": self.good.n},
            "seeds": {str(seed): {"score": self.scores[seed], "state": self.states[seed]} for seed in self.states},
        }


def spread(values: list[float]) -> Spread:
    """Return the mean and sample standard deviation.

    >>> spread([80.0, 82.0])
    Spread(n=2, mean=81.0, deviation=1.4142135623730951)
    >>> spread([80.0])
    Spread(n=1, mean=80.0, deviation=None)
    """
    if not values:
        return Spread(0, None, None)
    mean = fsum(values) / len(values)
    if len(values) < 2:
        return Spread(1, mean, None)
    return Spread(len(values), mean, sqrt(fsum((value - mean) ** 2 for value in values) / (len(values) - 1)))


def summary(scores: Mapping[int, float | None], states: Mapping[int, str]) -> Summary:
    """Return the statistics of a score over seeds; failed seeds are never left out silently.

    Args:
        scores: seed -> score; missing or None for a seed without a score.
        states: seed -> how its training ended, for every seed that was run.
    """
    all_scores = {seed: scores.get(seed) for seed in states}
    scored = {seed: value for seed, value in all_scores.items() if value is not None}
    good = [value for seed, value in scored.items() if states[seed] == COMPLETE]
    return Summary(all_scores, dict(states), spread(list(scored.values())), spread(good))
