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
    """The retrieved candidates of one query of Mewsli-X or LAReQA.

    Attributes:
        candidates: ids of the top candidates, best first; the first 20 count.
        ranks: ranks of all correct candidates among all candidates, from 1, ascending; None: not known, as for a file
            that has the top candidates only.
    """

    candidates: tuple[str, ...]
    ranks: tuple[int, ...] | None = None


def bucc_f1(
    golds: Collection[tuple[str, str]], predictions: Collection[tuple[str, str]], language: str
) -> MetricResult:
    """Return ``f1``, ``precision`` and ``recall`` of mined translation pairs (BUCC).

    As in evaluate.py's ``bucc_f1``: pairs are sets, so order and repetitions do not matter; if no pair is correct, the
    scores are 0.

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
    """Return ``mrr@20``, the mean reciprocal rank of the correct entity among the first 20 candidates (Mewsli-X).

    The mean over queries of 1 / rank, 0 if the entity is not among the 20. evaluate.py calls it ``map@20``; with one
    correct entity per query both are the same number, which is returned under both names.

    Args:
        golds: id of a query -> ids of its entities; only the first counts, stripped of spaces, as in evaluate.py.
        predictions: id -> ids of candidates, best first, as a sequence or a ``Ranking``. A missing id scores 0, an
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

    A question's average precision is the sum of the precision at the rank of every correct candidate, divided by the
    number of correct candidates (for ``map@20`` by at most 20). ``map`` is only returned if every predicted question
    has its ``ranks``.

    XTREME-R's code takes the first 20 and the mean over the 13,090 questions of all languages at once; this function
    averages over the questions of one language. The LAReQA paper reports the uncut number (google-research/xtreme
    issue #64).

    Args:
        golds: id of a question -> ids of all correct candidates.
        predictions: id -> retrieved candidates. A repeated candidate counts once. A missing id scores 0, an unknown
            one is ignored; both are counted.
        language: two-letter code; for messages only.

    Raises:
        DataError: there is no question, or one has no correct candidate.
        PredictionError: the ranks of a question contradict its candidates; the first such question is named.
    """
    expect_answers(golds, language)
    cut, uncut = [], []
    for question, targets in golds.items():
        ranking, correct = predictions.get(question, Ranking((), ())), set(targets)
        shown = ranking.candidates[:DEPTH]
        places = hits(shown, correct)
        if question in predictions and ranking.ranks is not None:
            problem = ranks_problem(ranking.ranks, len(correct), places, len(shown))
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
    """Return the ranks, from 1, at which correct candidates occur for the first time."""
    first_places: dict[str, int] = {}
    for place, candidate in enumerate(candidates, start=1):
        first_places.setdefault(candidate, place)
    return [place for candidate, place in first_places.items() if candidate in correct]


def precision_sum(places: Sequence[int]) -> float:
    """Return the sum of the precision at the rank of every correct candidate, summed from the first rank on."""
    total = 0.0
    for hits_so_far, place in enumerate(places, start=1):
        total += hits_so_far / place
    return total


def ranks_problem(ranks: Sequence[int], expected: int, actual: Sequence[int], depth: int) -> str:
    """Return why the ranks of a question's correct candidates are invalid; '' if they are valid.

    Args:
        ranks: ranks of the correct candidates among all candidates.
        expected: number of correct candidates.
        actual: their places among the candidates that are shown (``hits``).
        depth: how many candidates are shown.
    """
    if len(ranks) != expected:
        return f"found {len(ranks)} ranks, expected {expected}, one per correct candidate"
    if any(rank <= before for before, rank in zip((0, *ranks), ranks, strict=False)):
        return f"the ranks {list(ranks)} do not ascend from 1 on"
    by_rank = [rank for rank in ranks if rank <= depth]
    if by_rank != list(actual):
        return (
            f"by the ranks, the correct candidates among the first {depth} are at {by_rank}, but by the candidates at "
            f"{list(actual)}"
        )
    return ""
