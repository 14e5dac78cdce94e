"""Bitext mining by ratio margin (Artetxe and Schwenk 2019).

The steps: make each side's lines unique (``unify``), search both ways among them (``search.search_both``, k = 4),
score and pair one to one (``mine``), give the pairs their ids (``with_ids``), choose a threshold on the dev set
(``tune``), and apply it to the test set (``extract``).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from xharness.errors import DataError

NEIGHBORS = 4
"""Neighbors per sentence, in both directions, whose mean similarity is the margin's denominator."""

Floats = npt.NDArray[Any]


class Nearest(Protocol):
    """The interface of ``search.Neighbors``, so that this module works without torch."""

    @property
    def scores(self) -> npt.NDArray[Any]:
        """Cosines, float32 [sentences, k], descending."""

    @property
    def indices(self) -> npt.NDArray[Any]:
        """Indices of the other side's sentences, int64 [sentences, k]."""


@dataclass(frozen=True)
class Mined:
    """A pair of sentences, as indices into the unified lines of each side, and its margin score."""

    source: int
    target: int
    score: float


@dataclass(frozen=True)
class Scored:
    """A pair of sentence ids and its margin score."""

    source_id: str
    target_id: str
    score: float


@dataclass(frozen=True)
class Threshold:
    """The minimum score of extracted pairs, and its F1 on the data that it was tuned on, in percent."""

    value: float
    f1: float


def unify(lines: Sequence[str]) -> list[int]:
    """Return the index of the LAST occurrence of each distinct line, in order of first occurrences.

    Its embedding represents all occurrences, as in the official script, which fills a dictionary line by line. Lines
    are compared exactly, including spaces at their ends.
    """
    return list({line: index for index, line in enumerate(lines)}.values())


def mine(forward: Nearest, backward: Nearest) -> list[Mined]:
    """Return pairs in which no sentence occurs twice, by descending score (XTREME's retrieval 'max').

    Every sentence of either side proposes its best-scoring neighbor (the nearest if scores are equal); the proposals
    are then accepted from the best score down, unless one of their sentences is already taken. Only scores above 0
    count. Of equal scores, proposals of sources come first, then the lower index: in the official script the order of
    equal scores is that of an unstable sort.

    Args:
        forward: the neighbors of every unified source sentence among the target sentences, by cosine.
        backward: the neighbors of every unified target sentence among the source sentences.
    """
    if not len(forward.scores) or not len(backward.scores):
        return []
    of_sources, of_targets = forward.scores.mean(axis=1), backward.scores.mean(axis=1)
    chosen_targets, source_scores = _proposals(forward, of_sources, of_targets)
    chosen_sources, target_scores = _proposals(backward, of_targets, of_sources)
    sources = np.concatenate([np.arange(len(chosen_targets)), chosen_sources])
    targets = np.concatenate([chosen_targets, np.arange(len(chosen_sources))])
    scores = np.concatenate([source_scores, target_scores])
    order = np.argsort(-scores, kind="stable")
    order = order[scores[order] > 0]
    taken_sources, taken_targets = bytearray(len(chosen_targets)), bytearray(len(chosen_sources))
    mined = []
    for source, target, score in zip(
        sources[order].tolist(), targets[order].tolist(), scores[order].tolist(), strict=True
    ):
        if not taken_sources[source] and not taken_targets[target]:
            taken_sources[source] = taken_targets[target] = True
            mined.append(Mined(source, target, score))
    return mined


def _proposals(nearest: Nearest, own_means: Floats, other_means: Floats) -> tuple[npt.NDArray[np.int64], Floats]:
    """Return the best-scoring neighbor of every sentence, and the score: cosine over the mean of both means.

    The means are added in float32 and the rest is float64, as in the official script under the NumPy of its time,
    where a float32 number divided by a plain 2 became float64.
    """
    sums = own_means[:, None] + other_means[nearest.indices]
    # A mean of 0 gives an infinite score, or NaN if the cosine is 0, too; NaN is not above 0.
    with np.errstate(divide="ignore", invalid="ignore"):
        scores = nearest.scores / (sums.astype(np.float64) / 2)
    best = scores.argmax(axis=1)[:, None]
    return (
        np.take_along_axis(nearest.indices, best, axis=1)[:, 0],
        np.take_along_axis(scores, best, axis=1)[:, 0],
    )


def with_ids(
    mined: Sequence[Mined],
    sources: Sequence[str],
    targets: Sequence[str],
    source_ids: Sequence[str],
    target_ids: Sequence[str],
) -> tuple[list[Scored], int]:
    """Return the pairs with the ids of their sentences, in the same order, and how many pairs were dropped.

    A text that occurs more than once on its side, ignoring spaces at its ends, has no unique id; its pairs are dropped,
    as in the official script. So every id belongs to one unified line, and since no line is in two mined pairs, the
    returned pairs are distinct: the official script's rule for equal pairs, to keep the larger score, never applies.

    Args:
        mined: the result of ``mine``.
        sources: ALL lines of the source side, in the order given to ``unify``.
        targets: all lines of the target side, likewise.
        source_ids: one id per source line.
        target_ids: one id per target line.

    Raises:
        DataError: there are not as many ids as lines.
    """
    left, right = _ids_of_unified(sources, source_ids), _ids_of_unified(targets, target_ids)
    pairs = []
    for pair in mined:
        source, target = left[pair.source], right[pair.target]
        if source is not None and target is not None:
            pairs.append(Scored(source, target, pair.score))
    return pairs, len(mined) - len(pairs)


def _ids_of_unified(lines: Sequence[str], ids: Sequence[str]) -> list[str | None]:
    """Return the id of every unified line; None if the stripped text occurs more than once."""
    if len(lines) != len(ids):
        raise DataError(
            f"Found {len(ids)} ids for {len(lines)} sentences, expected one for each. Fetch the data again."
        )
    counts = Counter(line.strip() for line in lines)
    return [ids[row] if counts[lines[row].strip()] == 1 else None for row in unify(lines)]


def tune(pairs: Sequence[Scored], gold: AbstractSet[tuple[str, str]]) -> Threshold:
    """Return the threshold with the best F1: halfway between the last extracted pair's score and the next one's.

    Of equally good thresholds the largest is returned; 0 if no pair is correct. The last pair has no next one: there
    the official script stops with an error, and this function uses the pair's own score.

    Args:
        pairs: the mined pairs of the dev set, in any order.
        gold: the gold pairs, (source id, target id).
    """
    ranked = sorted(pairs, key=lambda pair: -pair.score)
    threshold, best = 0.0, 0.0
    correct = 0
    for extracted, pair in enumerate(ranked, start=1):
        if (pair.source_id, pair.target_id) not in gold:
            continue  # a wrong pair lowers F1, so it cannot be a new best
        correct += 1
        precision, recall = correct / extracted, correct / len(gold)
        f1 = 2 * precision * recall / (precision + recall)
        if f1 > best:
            following = ranked[extracted].score if extracted < len(ranked) else pair.score
            threshold, best = (pair.score + following) / 2, f1
    return Threshold(threshold, 100 * best)


def extract(pairs: Sequence[Scored], threshold: float) -> list[tuple[str, str]]:
    """Return the (source id, target id) of the pairs with at least the threshold score, in their order."""
    return [(pair.source_id, pair.target_id) for pair in pairs if pair.score >= threshold]
