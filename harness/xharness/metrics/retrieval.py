"""BUCC F1, MRR@20 and MAP@20."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from xharness.errors import DataError, PredictionError
from xharness.metrics.base import MetricResult, count_ids, mean
from xharness.metrics.question_answering import expect_answers, overlap_f1

DEPTH = 20
"""Candidates that count in the metrics whose names end in ``at_20``."""


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


def bucc_f1(
    golds: Collection[tuple[str, str]], predictions: Collection[tuple[str, str]], language: str
) -> MetricResult:
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
    return overlap_f1(set(golds), set(predictions))


def mrr_at_20(
    golds: Mapping[str, Sequence[str]], predictions: Mapping[str, Sequence[str] | Ranking], language: str
) -> MetricResult:
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
    expect_answers(golds, language)
    reciprocal_ranks = []
    for query, entities in golds.items():
        ranking = predictions.get(query, ())
        first = list(ranking.candidates if isinstance(ranking, Ranking) else ranking)[:DEPTH]
        correct = entities[0].strip()
        reciprocal_ranks.append(1.0 / (first.index(correct) + 1) if correct in first else 0.0)
    score = mean(reciprocal_ranks) * 100
    return MetricResult({"mrr@20": score, "map@20": score}, count_ids(golds, predictions))


def map_at_20(golds: Mapping[str, Collection[str]], predictions: Mapping[str, Ranking], language: str) -> MetricResult:
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
    expect_answers(golds, language)
    cut, uncut = [], []
    for question, targets in golds.items():
        ranking, correct = predictions.get(question, Ranking((), ())), set(targets)
        shown = ranking.candidates[:DEPTH]
        places = hits(shown, correct)
        if question in predictions and ranking.ranks is not None:
            problem = problem_of(ranking.ranks, len(correct), places, len(shown))
            if problem:
                raise PredictionError(
                    f"The question '{question}' ({language}): {problem}. Predict again on the same data, or leave "
                    "the ranks out."
                )
        cut.append(precision_sum(places) / min(len(correct), DEPTH))
        uncut.append(None if ranking.ranks is None else precision_sum(ranking.ranks) / len(correct))
    scores = {"map@20": mean(cut) * 100}
    if None not in uncut:
        scores["map"] = mean(value for value in uncut if value is not None) * 100
    return MetricResult(scores, count_ids(golds, predictions))


def hits(candidates: Sequence[str], correct: Collection[str]) -> list[int]:
    """Return the places, counted from 1, where a right candidate stands for the first time."""
    first_places: dict[str, int] = {}
    for place, candidate in enumerate(candidates, start=1):
        first_places.setdefault(candidate, place)
    return [place for candidate, place in first_places.items() if candidate in correct]


def precision_sum(places: Sequence[int]) -> float:
    """Return the sum of the precision at every place of a right candidate, added from the first place on."""
    total = 0.0
    for hits_so_far, place in enumerate(places, start=1):
        total += hits_so_far / place
    return total


def problem_of(ranks: Sequence[int], expected: int, actual: Sequence[int], depth: int) -> str:
    """Return why the ranks of a question's right candidates cannot be true; '' if they can.

    Args:
        ranks: places of the right candidates among all candidates.
        expected: how many right candidates there are.
        actual: their places among the candidates that are shown (``hits``).
        depth: how many candidates are shown.
    """
    if len(ranks) != expected:
        return f"found {len(ranks)} ranks, expected {expected}, one per right candidate"
    if any(rank <= before for before, rank in zip((0, *ranks), ranks, strict=False)):
        return f"the ranks {list(ranks)} do not ascend from 1 on"
    by_rank = [rank for rank in ranks if rank <= depth]
    if by_rank != list(actual):
        return (
            f"right candidates stand at {by_rank} of the first {depth} by the ranks, and at {list(actual)} by the "
            "candidates themselves"
        )
    return ""
