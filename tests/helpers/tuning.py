"""Target training of a tiny encoder within seconds."""

from __future__ import annotations

from typing import Any

from xharness.results.aggregate import Results
from xharness.training.tune.result import TuneResult

FAST: dict[str, Any] = {"learning_rate": 3e-3, "eval_every": 10, "batch_size": 16, "eval_examples": 12}


def result(found: TuneResult, chosen: str = "english-dev", seed: int = 0, track: str = "zero-shot") -> Results:
    return found.results[track, chosen, seed]
