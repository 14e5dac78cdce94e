"""Accuracy, and accuracy with F1 of the positive label (QQP)."""

from __future__ import annotations

from collections.abc import Sequence

from xharness.errors import DataError
from xharness.metrics.base import MetricResult, expect_same_number

POSITIVE = ("duplicate", "1")
"""Labels that are what is looked for, where a metric asks how well one of two labels is found."""


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
    """Return ``accuracy``, and ``f1`` of the label that is looked for (QQP: ``duplicate``).

    The task's score is the mean of both, as GLUE has it for QQP, where 1 stands for ``duplicate``. Where nothing is
    looked for and nothing found, ``f1`` is 0.

    Args:
        golds: one label per example; of two labels, one of which is in ``POSITIVE``.
        predictions: one label per example, in the same order.
        language: two-letter code; for messages only.

    Raises:
        DataError: there is no gold label, or the gold labels are no such two.
        PredictionError: there are more or fewer predictions than gold labels.
    """
    expect_same_number(golds, predictions, "labels", language)
    labels = sorted(set(golds))
    looked_for = [label for label in POSITIVE if label in labels]
    if len(labels) > 2 or len(looked_for) > 1 or (len(labels) == 2 and not looked_for):
        raise DataError(
            f"The metric accuracy_f1 ({language}) is for two labels, one of them {' or '.join(POSITIVE)}; the gold "
            f"data has {', '.join(labels)}. Use the metric accuracy for others."
        )
    pairs = list(zip(golds, predictions, strict=True))
    correct = sum(gold == predicted for gold, predicted in pairs)
    hits = sum(gold == predicted and gold in POSITIVE for gold, predicted in pairs)
    positives = sum((gold in POSITIVE) + (predicted in POSITIVE) for gold, predicted in pairs)
    f1 = 2 * hits / positives if positives else 0.0
    return MetricResult({"accuracy": correct / len(pairs) * 100, "f1": f1 * 100})
