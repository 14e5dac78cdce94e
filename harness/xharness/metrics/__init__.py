"""Registry of the metrics (`METRICS`, `SCORE_KEYS`); equal to XTREME's evaluate.py to the last digit.

Every metric is a function ``(golds, predictions, language) -> MetricResult`` over one language of one task. The
order of the floating-point operations is that of the official scripts, since another order changes the last
digits; for the same reason nothing here uses ``sum`` on floats, which compensates for rounding from Python
3.12 on.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from xharness.metrics.base import MetricResult
from xharness.metrics.classification import accuracy, accuracy_f1
from xharness.metrics.question_answering import mlqa, squad, squad_v2
from xharness.metrics.retrieval import bucc_f1, map_at_20, mrr_at_20
from xharness.metrics.tagging import entity_f1, token_accuracy, udpos_f1

METRICS: dict[str, Callable[[Any, Any, str], MetricResult]] = {
    "accuracy": accuracy,
    "entity_f1": entity_f1,
    "udpos_f1": udpos_f1,
    "squad": squad,
    "mlqa": mlqa,
    "bucc_f1": bucc_f1,
    "mrr_at_20": mrr_at_20,
    "map_at_20": map_at_20,
    # Of training sets:
    "accuracy_f1": accuracy_f1,
    "token_accuracy": token_accuracy,
    "squad_v2": squad_v2,
}

SCORE_KEYS: dict[str, tuple[str, ...]] = {
    "accuracy": ("accuracy",),
    "entity_f1": ("f1",),
    "udpos_f1": ("f1",),
    "squad": ("exact_match", "f1"),
    "mlqa": ("exact_match", "f1"),
    "bucc_f1": ("f1",),
    "mrr_at_20": ("mrr@20",),
    "map_at_20": ("map@20",),
    "accuracy_f1": ("accuracy", "f1"),
    "token_accuracy": ("token_accuracy",),
    "squad_v2": ("exact_match", "f1"),
}
"""Metric -> the scores whose mean enters a benchmark's average (``avg_metric`` in evaluate.py)."""
