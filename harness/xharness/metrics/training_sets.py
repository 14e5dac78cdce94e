"""The metrics of training sets that no benchmark has, by which checkpoints are chosen on development data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from xharness.errors import DataError
from xharness.metrics.answers import normal_squad, word_f1
from xharness.metrics.base import (
    Measured,
    count_ids,
    expect_questions,
    expect_same_number,
    expect_same_shape,
    share_of_right_tags,
)

POSITIVE = ("duplicate", "1")
"""Labels that are what is looked for, where a metric asks how well one of two labels is found."""


def accuracy_f1(golds: Sequence[str], predictions: Sequence[str], language: str) -> Measured:
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
    found = sorted(set(golds))
    looked_for = [label for label in POSITIVE if label in found]
    if len(found) > 2 or len(looked_for) > 1 or (len(found) == 2 and not looked_for):
        raise DataError(
            f"The metric accuracy_f1 ({language}) is for two labels, one of them {' or '.join(POSITIVE)}; the gold "
            f"data has {', '.join(found)}. Use the metric accuracy for others."
        )
    pairs = list(zip(golds, predictions, strict=True))
    right = sum(gold == predicted for gold, predicted in pairs)
    hits = sum(gold == predicted and gold in POSITIVE for gold, predicted in pairs)
    named = sum((gold in POSITIVE) + (predicted in POSITIVE) for gold, predicted in pairs)
    f1 = 2 * hits / named if named else 0.0
    return Measured({"accuracy": right / len(pairs) * 100, "f1": f1 * 100})


def token_accuracy(golds: Sequence[Sequence[str]], predictions: Sequence[Sequence[str]], language: str) -> Measured:
    """Return ``token_accuracy``, the share of words whose tag is right (CCG).

    A gold tag that the training data lacks cannot be predicted, so its word counts as wrong.

    Args:
        golds: one tag per word, sentence by sentence.
        predictions: of the same shape.
        language: two-letter code; for messages only.

    Raises:
        DataError: there is no gold sentence, or no word.
        PredictionError: a sentence is missing, or has another number of tags; the first such one is named.
    """
    expect_same_shape(golds, predictions, language)
    return Measured({"token_accuracy": share_of_right_tags(golds, predictions, language)})


def squad_v2(golds: Mapping[str, Sequence[str]], predictions: Mapping[str, str], language: str) -> Measured:
    """Return ``exact_match`` and ``f1`` of SQuAD 2.0, whose questions may have no answer.

    Where every question has a prediction, equal to the last digit to ``exact`` and ``f1`` of the official
    evaluate-v2.0.py without probabilities of no answer (added from left to right, as ``sum`` did up to Python 3.11):
    answers and predictions go through the English rules of SQuAD v1.1; a gold answer of which nothing is left ("the")
    is dropped; where no gold answer is left, a prediction of which nothing is left is right and any other is wrong.
    Where predictions are missing, it differs: here they score 0 and are counted, so that leaving out what is hard
    gains nothing. There they are left out of the mean, and then the script ends in a KeyError before it prints one.
    Beside them the scores of both sorts of questions, by whether there is a gold answer before any is dropped:
    ``answerable_exact_match``, ``answerable_f1`` (there ``HasAns_exact``, ``HasAns_f1``) and ``unanswerable_accuracy``
    (``NoAns_exact``), each where there are such questions.

    Args:
        golds: id of a question -> its correct answers, the best one counts; none: it has no answer.
        predictions: id -> answer; '' says that there is none. A missing id scores 0, an unknown one is ignored; both
            are counted.
        language: two-letter code; for messages only.

    Raises:
        DataError: there is no question.
    """
    expect_questions(golds, language)
    every: list[tuple[float, float]] = []
    sorts: dict[bool, list[tuple[float, float]]] = {True: [], False: []}
    for question, answers in golds.items():
        found = _exact_and_f1(answers, predictions[question]) if question in predictions else (0.0, 0.0)
        every.append(found)
        sorts[bool(answers)].append(found)
    exact, f1 = _means(every)
    scores = {"exact_match": exact, "f1": f1}
    if sorts[True]:
        scores["answerable_exact_match"], scores["answerable_f1"] = _means(sorts[True])
    if sorts[False]:
        scores["unanswerable_accuracy"], _ = _means(sorts[False])
    return Measured(scores, count_ids(golds, predictions))


def _exact_and_f1(answers: Sequence[str], prediction: str) -> tuple[float, float]:
    predicted = normal_squad(prediction)
    correct = [normal for answer in answers if (normal := normal_squad(answer))] or [""]
    exact = float(predicted in correct)
    if not predicted or correct == [""]:
        return exact, exact
    return exact, max(word_f1(predicted, answer) for answer in correct)


def _means(pairs: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """Return both means in percent, added in the order of the questions: another one changes the last digits."""
    exact, f1 = 0.0, 0.0
    for one, other in pairs:
        exact += one
        f1 += other
    return 100.0 * exact / len(pairs), 100.0 * f1 / len(pairs)
