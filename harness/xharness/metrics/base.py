"""`MetricResult` and the input checks that all metrics share."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from xharness.errors import DataError, PredictionError


@dataclass(frozen=True)
class MetricResult:
    """The result of a metric in one language.

    Attributes:
        scores: name -> value in percent.
        counts: counted events; for questions ``missing`` (gold ids without a prediction, which score 0) and
            ``unknown`` (predicted ids that are not in the gold data, which are ignored).
    """

    scores: dict[str, float]
    counts: dict[str, int] = field(default_factory=dict)


def expect_same_number(golds: Sequence[object], predictions: Sequence[object], what: str, language: str) -> None:
    """Raise DataError if there is no gold data, PredictionError if the number of predictions differs from it."""
    if not golds:
        raise DataError(f"There is nothing to score ({language}): the gold data has no {what}. Check the split's name.")
    if len(golds) != len(predictions):
        raise PredictionError(
            f"Found {len(predictions)} predicted {what} ({language}), expected {len(golds)} as in the gold "
            "data. Predict again on the same data."
        )


def expect_same_shape(golds: Sequence[Sequence[str]], predictions: Sequence[Sequence[str]], language: str) -> None:
    """Raise PredictionError for the first sentence whose number of predicted tags is not that of the gold tags."""
    expect_same_number(golds, predictions, "sentences", language)
    for number, (gold, predicted) in enumerate(zip(golds, predictions, strict=True), start=1):
        if len(gold) != len(predicted):
            raise PredictionError(
                f"Sentence {number} ({language}): found {len(predicted)} predicted tags, expected "
                f"{len(gold)}, one for every word. Predict again on the same data."
            )


def expect_questions(golds: Mapping[str, object], language: str) -> None:
    """Raise DataError if there is no question."""
    if not golds:
        raise DataError(f"There is no question to score ({language}): the gold data is empty. Check the split's name.")


def count_ids(golds: Mapping[str, object], predictions: Mapping[str, object]) -> dict[str, int]:
    """Count the ids that are on one side only: ``missing`` predictions and ``unknown`` ones."""
    return {
        "missing": sum(question not in predictions for question in golds),
        "unknown": sum(question not in golds for question in predictions),
    }


def mean(values: Iterable[float]) -> float:
    """Return the arithmetic mean, summed from left to right as evaluate.py (Python 3.7) did.

    Raises:
        DataError: there are no values.
    """
    total, count = 0.0, 0
    for value in values:
        total += value
        count += 1
    if not count:
        raise DataError("There is no score to average. Evaluate at least one language, or name another task.")
    return total / count


def task_score(keys: Sequence[str], mean_scores: Mapping[str, float]) -> float:
    """Return the single score of a task that enters a benchmark's average, in percent.

    Args:
        keys: the scores to average (``SCORE_KEYS``, or a spec's ``score_keys``).
        mean_scores: score -> its mean over the languages; for question answering the languages are averaged first,
            then exact match and F1.

    Raises:
        DataError: a score is missing.
    """
    absent = [key for key in keys if key not in mean_scores]
    if absent:
        raise DataError(
            f"The scores have no '{absent[0]}' (found: {', '.join(mean_scores) or 'nothing'}). "
            "Run eval again to compute them."
        )
    return mean(mean_scores[key] for key in keys)
