"""Accuracy, and accuracy with F1 of the positive label (QQP)."""

from __future__ import annotations

from collections.abc import Sequence

from xharness.errors import DataError
from xharness.metrics.base import MetricResult, expect_same_number

POSITIVE = ("duplicate", "1")
"""The positive labels of binary tasks, for metrics such as F1."""


def accuracy(golds: Sequence[str | int], predictions: Sequence[str | int], language: str) -> MetricResult:
    """Return ``accuracy``: the share of equal labels (XNLI, PAWS-X) or indices (Tatoeba).

    Labels are compared as text, as evaluate.py compares lines; so it does not matter which side holds indices
    as numbers.

    Args:
        golds: one label per example.
        predictions: one label per example, in the same order.
        language: two-letter code; for messages only.

    Raises:
        DataError: there is no gold label.
        PredictionError: there are more or fewer predictions than gold labels.
    """
    expect_same_number(golds, predictions, "labels", language)
    correct = sum(str(gold) == str(predicted) for gold, predicted in zip(golds, predictions, strict=True))
    return MetricResult({"accuracy": correct / len(golds) * 100})


def accuracy_f1(golds: Sequence[str], predictions: Sequence[str], language: str) -> MetricResult:
    """Return ``accuracy``, and ``f1`` of the positive label (QQP: ``duplicate``).

    The task's score is the mean of both, as in GLUE's QQP, where 1 means ``duplicate``. If the positive label is
    neither in the gold data nor predicted, ``f1`` is 0.

    Args:
        golds: one label per example; at most two labels, one of them in ``POSITIVE``.
        predictions: one label per example, in the same order.
        language: two-letter code; for messages only.

    Raises:
        DataError: there is no gold label, or the gold labels are not such a pair.
        PredictionError: there are more or fewer predictions than gold labels.
    """
    expect_same_number(golds, predictions, "labels", language)
    labels = sorted(set(golds))
    positive = [label for label in POSITIVE if label in labels]
    if len(labels) > 2 or len(positive) > 1 or (len(labels) == 2 and not positive):
        raise DataError(
            f"The metric accuracy_f1 ({language}) is for two labels, one of them {' or '.join(POSITIVE)}; the gold "
            f"data has {', '.join(labels)}. Use the metric accuracy for others."
        )
    pairs = list(zip(golds, predictions, strict=True))
    correct = sum(gold == predicted for gold, predicted in pairs)
    hits = sum(gold == predicted and gold in POSITIVE for gold, predicted in pairs)
    positive_labels = sum((gold in POSITIVE) + (predicted in POSITIVE) for gold, predicted in pairs)
    f1 = 2 * hits / positive_labels if positive_labels else 0.0
    return MetricResult({"accuracy": correct / len(pairs) * 100, "f1": f1 * 100})
