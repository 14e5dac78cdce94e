"""The official metrics of XTREME and XTREME-R, equal to its evaluate.py to the last digit.

Every metric is a function ``(golds, predictions, language) -> Measured`` over one language of one task. The
order of the floating-point operations is that of the official scripts, since another order changes the last
digits; for the same reason nothing here uses ``sum`` on floats, which compensates for rounding from Python
3.12 on.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from xharness.errors import DataError, PredictionError, UsageError
from xharness.metrics.answers import MLQA_LANGUAGES, normal_mlqa, normal_squad, word_f1
from xharness.metrics.base import Measured as Measured
from xharness.metrics.base import (
    count_ids,
    expect_questions,
    expect_same_number,
    expect_same_shape,
    share_of_right_tags,
)
from xharness.metrics.entities import chunks
from xharness.metrics.ranks import hits, precision_sum, problem_of
from xharness.metrics.training_sets import accuracy_f1, squad_v2, token_accuracy


@dataclass(frozen=True)
class Ranking:
    """What was found for one query of Mewsli-X or LAReQA.

    Attributes:
        candidates: ids of the first candidates, best first; 20 count.
        ranks: places of all right candidates among all that there are, counted from 1, ascending; None: not known,
            as in a file that holds the first candidates only.
    """

    candidates: tuple[str, ...]
    ranks: tuple[int, ...] | None = None


DEPTH = 20
"""Candidates that count in the metrics whose names end in ``at_20``."""


def mean(values: Iterable[float]) -> float:
    """Return the arithmetic mean, added from left to right as evaluate.py (Python 3.7) did.

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


def accuracy(golds: Sequence[str | int], predictions: Sequence[str | int], language: str) -> Measured:
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
    return Measured({"accuracy": correct / len(golds) * 100})


def entity_f1(golds: Sequence[Sequence[str]], predictions: Sequence[Sequence[str]], language: str) -> Measured:
    """Return micro-averaged ``f1``, ``precision`` and ``recall`` of entities over all sentences (PAN-X).

    As in seqeval 0.0.12: an entity counts where type, first and last word agree; where a side holds no
    entity, the scores are 0.

    Args:
        golds: one tag per word (``B-PER``, ``I-PER``, ``O``), sentence by sentence.
        predictions: of the same shape.
        language: two-letter code; for messages only.

    Raises:
        DataError: there is no gold sentence.
        PredictionError: a sentence is missing, or has another number of tags; the first such one is named.
    """
    expect_same_shape(golds, predictions, language)
    return _overlap(chunks(golds), chunks(predictions))


def udpos_f1(golds: Sequence[Sequence[str]], predictions: Sequence[Sequence[str]], language: str) -> Measured:
    """Return what XTREME publishes for UDPOS, and ``token_accuracy`` beside it.

    evaluate.py gives bare part-of-speech tags to seqeval's entity F1, so that a run of equal tags counts as
    one unit (google-research/xtreme issue #56). The published numbers are this ``f1``, several points below
    the share of correct tags. seqeval from 0.0.18 on gives another value, since it loses the tag ``X``.

    Args:
        golds: one universal part-of-speech tag per word, sentence by sentence.
        predictions: of the same shape.
        language: two-letter code; for messages only.

    Raises:
        DataError: there is no gold sentence, or no word.
        PredictionError: a sentence is missing, or has another number of tags; the first such one is named.
    """
    measured = entity_f1(golds, predictions, language)
    return Measured({**measured.scores, "token_accuracy": share_of_right_tags(golds, predictions, language)})


def squad(golds: Mapping[str, Sequence[str]], predictions: Mapping[str, str], language: str) -> Measured:
    """Return ``exact_match`` and ``f1`` of SQuAD v1.1 (XQuAD, TyDiQA-GoldP).

    Answers of every language go through the English rules, as in evaluate.py: ASCII punctuation and a, an,
    the are dropped, and words are what stands between spaces; so Chinese and Thai are scored nearly by exact
    match.

    Args:
        golds: id of a question -> its correct answers; the best one counts.
        predictions: id -> answer. A missing id scores 0, an unknown one is ignored; both are counted.
        language: two-letter code; for messages only.

    Raises:
        DataError: there is no question, or one has no answer.
    """
    return _answers(golds, predictions, language, normal_squad)


def mlqa(golds: Mapping[str, Sequence[str]], predictions: Mapping[str, str], language: str) -> Measured:
    """Return ``exact_match`` and ``f1`` of MLQA v1, whose rules differ by language.

    Punctuation of every script and the articles of the language are dropped; in Chinese every character is a
    word.

    Args:
        golds: id of a question -> its correct answers; the best one counts.
        predictions: id -> answer. A missing id scores 0, an unknown one is ignored; both are counted.
        language: two-letter code of the answers.

    Raises:
        DataError: there is no question, or one has no answer.
        UsageError: MLQA has no rules for the language.
    """
    if language not in MLQA_LANGUAGES:
        raise UsageError(
            f"The metric mlqa has no rules for the language '{language}', only for "
            f"{', '.join(sorted(MLQA_LANGUAGES))}. Use the metric squad for any other."
        )
    return _answers(golds, predictions, language, lambda text: normal_mlqa(text, language))


def bucc_f1(golds: Collection[tuple[str, str]], predictions: Collection[tuple[str, str]], language: str) -> Measured:
    """Return ``f1``, ``precision`` and ``recall`` of the pairs of translations that were mined (BUCC).

    As in evaluate.py's ``bucc_f1``: pairs are sets, so their order and repeated ones do not matter; where no pair
    is right, the scores are 0.

    Args:
        golds: (id of a sentence, id of its English translation).
        predictions: of the same shape.
        language: two-letter code; for messages only.

    Raises:
        DataError: there is no gold pair.
    """
    if not golds:
        raise DataError(f"There is no pair to find ({language}): the gold data is empty. Check the split's name.")
    return _overlap(set(golds), set(predictions))


def mrr_at_20(
    golds: Mapping[str, Sequence[str]], predictions: Mapping[str, Sequence[str] | Ranking], language: str
) -> Measured:
    """Return ``mrr@20``: how near the top the right entity stands among the first 20 (Mewsli-X).

    The mean over queries of 1 / rank, 0 where the entity is not among the 20. evaluate.py calls it ``map@20``;
    with one right entity per query, both are the same number, and it is given by both names.

    Args:
        golds: id of a query -> ids of its entities; the first counts, without spaces around it, as in evaluate.py.
        predictions: id -> ids of candidates, best first, bare or as a ``Ranking``. A missing id scores 0, an
            unknown one is ignored; both are counted.
        language: two-letter code; for messages only.

    Raises:
        DataError: there is no query, or one has no entity.
    """
    _expect_answers(golds, language)
    reciprocal_ranks = []
    for query, entities in golds.items():
        found = predictions.get(query, ())
        first = list(found.candidates if isinstance(found, Ranking) else found)[:DEPTH]
        right = entities[0].strip()
        reciprocal_ranks.append(1.0 / (first.index(right) + 1) if right in first else 0.0)
    score = mean(reciprocal_ranks) * 100
    return Measured({"mrr@20": score, "map@20": score}, count_ids(golds, predictions))


def map_at_20(golds: Mapping[str, Collection[str]], predictions: Mapping[str, Ranking], language: str) -> Measured:
    """Return ``map@20``, the mean average precision over the first 20 candidates (LAReQA), and uncut ``map``.

    A question's average precision is the sum of the precision at every place where a right candidate stands,
    divided by how many could stand there: all right ones, or 20 for the cut one if there are more. ``map`` is there
    where every predicted question has its ``ranks``.

    XTREME-R's code takes the first 20 and the mean over the 13,090 questions of all languages at once; this one is
    over the questions of one language. The LAReQA paper's own number is uncut (google-research/xtreme issue #64).

    Args:
        golds: id of a question -> ids of all right candidates.
        predictions: id -> what was found. A candidate that is named again is no further hit. A missing id scores
            0, an unknown one is ignored; both are counted.
        language: two-letter code; for messages only.

    Raises:
        DataError: there is no question, or one has no right candidate.
        PredictionError: the ranks of a question are not those of its right candidates; the first such one is named.
    """
    _expect_answers(golds, language)
    cut, uncut = [], []
    for question, targets in golds.items():
        found, right = predictions.get(question, Ranking((), ())), set(targets)
        shown = found.candidates[:DEPTH]
        places = hits(shown, right)
        if question in predictions and found.ranks is not None:
            problem = problem_of(found.ranks, len(right), places, len(shown))
            if problem:
                raise PredictionError(
                    f"The question '{question}' ({language}): {problem}. Predict again on the same data, or leave "
                    "the ranks out."
                )
        cut.append(precision_sum(places) / min(len(right), DEPTH))
        uncut.append(None if found.ranks is None else precision_sum(found.ranks) / len(right))
    scores = {"map@20": mean(cut) * 100}
    if None not in uncut:
        scores["map"] = mean(value for value in uncut if value is not None) * 100
    return Measured(scores, count_ids(golds, predictions))


METRICS: dict[str, Callable[[Any, Any, str], Measured]] = {
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


def task_score(keys: Sequence[str], mean_scores: Mapping[str, float]) -> float:
    """Return the one number of a task that enters a benchmark's average, in percent.

    Args:
        keys: the scores that it is the mean of (``SCORE_KEYS``, or a spec's ``score_keys``).
        mean_scores: score -> its mean over the languages; of questions first the languages are averaged, then
            exact match and F1.

    Raises:
        DataError: a score is missing.
    """
    absent = [key for key in keys if key not in mean_scores]
    if absent:
        raise DataError(
            f"The scores hold no '{absent[0]}' (found: {', '.join(mean_scores) or 'nothing'}). "
            "Run eval again to write them anew."
        )
    return mean(mean_scores[key] for key in keys)


# --- What metrics have in common -------------------------------------------------------------------


def _overlap(gold: set[Any], predicted: set[Any]) -> Measured:
    correct = len(gold & predicted)
    precision = correct / len(predicted) if predicted else 0.0
    recall = correct / len(gold) if gold else 0.0
    f1 = 2 * precision * recall / (precision + recall) if correct else 0.0
    return Measured({"f1": f1 * 100, "precision": precision * 100, "recall": recall * 100})


def _answers(
    golds: Mapping[str, Sequence[str]],
    predictions: Mapping[str, str],
    language: str,
    normal: Callable[[str], str],
) -> Measured:
    _expect_answers(golds, language)
    matches, f1 = 0, 0.0
    for question, answers in golds.items():
        if question not in predictions:
            continue
        predicted = normal(predictions[question])
        correct = [normal(answer) for answer in answers]
        matches += predicted in correct
        f1 += max(word_f1(predicted, answer) for answer in correct)
    return Measured(
        {"exact_match": 100.0 * matches / len(golds), "f1": 100.0 * f1 / len(golds)}, count_ids(golds, predictions)
    )


def _expect_answers(golds: Mapping[str, Collection[str]], language: str) -> None:
    expect_questions(golds, language)
    for question, answers in golds.items():
        if not answers:
            raise DataError(f"The question '{question}' ({language}) has no gold answer; expected at least one.")
