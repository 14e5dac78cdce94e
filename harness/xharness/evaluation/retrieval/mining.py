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
    """What is needed of ``search.Neighbors``, which stands in the compute wing: this module works without torch."""

    @property
    def scores(self) -> npt.NDArray[Any]:
        """Cosines, float32 [sentences, k], descending."""

    @property
    def indices(self) -> npt.NDArray[Any]:
        """Indices of the other side's sentences, int64 [sentences, k]."""


@dataclass(frozen=True)
class Mined:
    """A pair of sentences, by their indices among the unified lines of their sides, and its margin score."""

    source: int
    target: int
    score: float


@dataclass(frozen=True)
class Scored:
    """A pair of sentences, by their ids, and its margin score."""

    source_id: str
    target_id: str
    score: float


@dataclass(frozen=True)
class Threshold:
    """The score from which on pairs are extracted, and the F1 that it reaches where it was tuned, in percent."""

    value: float
    f1: float


def unify(lines: Sequence[str]) -> list[int]:
    """Return, per different line in order of first occurrence, the index of its LAST occurrence.

    That one's embedding stands for all of them, as in the official script, which fills a dictionary line by line.
    Lines are compared as they stand, spaces at their ends included.
    """
    return list({line: index for index, line in enumerate(lines)}.values())


def mine(forward: Nearest, backward: Nearest) -> list[Mined]:
    """Return pairs in which no sentence occurs twice, by descending score (XTREME's retrieval 'max').

    Every sentence of either side proposes the one among its neighbours with which it scores best (of equals the
    nearest); the proposals are then accepted from the best score down, unless one of their sentences is already
    taken. Only scores above 0 count. Of equal scores those that sources proposed go first, then the lower index: the
    official script's order of equals is that of an unstable sort.

    Args:
        forward: the neighbours of every unified source sentence among the target sentences, by cosine.
        backward: the neighbours of every unified target sentence among the source sentences.
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
    """Return the best scoring neighbour of every sentence, and the score: cosine over the mean of both means.

    The means are added in float32 and the rest is float64, as in the official script under the NumPy of its time,
    where a float32 number divided by a plain 2 became float64.
    """
    sums = own_means[:, None] + other_means[nearest.indices]
    # A mean of 0 gives an infinite score, or none (NaN) where the cosine is 0, too; NaN is not above 0.
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

    A text that occurs more than once on its side, spaces at the ends aside, has no id of its own; the pairs with one
    are dropped, as in the official script. So every id is that of one unified line, and since no line is in two mined
    pairs, no two of the returned ones are the same: the official script's rule for those, to keep the larger score,
    never applies.

    Args:
        mined: what ``mine`` found.
        sources: ALL lines of the source side, in the order that was given to ``unify``.
        targets: likewise of the target side.
        source_ids: one per line.
        target_ids: likewise.

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
    """Return the id of every unified line, None where the stripped text occurs more than once."""
    if len(lines) != len(ids):
        raise DataError(f"Found {len(ids)} ids for {len(lines)} sentences, expected one for each. Fetch the data anew.")
    counts = Counter(line.strip() for line in lines)
    return [ids[row] if counts[lines[row].strip()] == 1 else None for row in unify(lines)]


def tune(pairs: Sequence[Scored], gold: AbstractSet[tuple[str, str]]) -> Threshold:
    """Return the threshold at which the pairs reach their best F1, half-way to the next pair's score.

    Of equally good thresholds the largest is returned; where no pair is correct, 0. After the last pair there is no
    next one, and the official script stops with an error; here that pair's own score is taken.

    Args:
        pairs: the mined pairs of the dev set, in any order.
        gold: (source id, target id).
    """
    ranked = sorted(pairs, key=lambda pair: -pair.score)
    threshold, best = 0.0, 0.0
    correct = 0
    for extracted, pair in enumerate(ranked, start=1):
        if (pair.source_id, pair.target_id) not in gold:
            continue  # a wrong pair lowers F1, so that no new best can be here
        correct += 1
        precision, recall = correct / extracted, correct / len(gold)
        f1 = 2 * precision * recall / (precision + recall)
        if f1 > best:
            following = ranked[extracted].score if extracted < len(ranked) else pair.score
            threshold, best = (pair.score + following) / 2, f1
    return Threshold(threshold, 100 * best)


def extract(pairs: Sequence[Scored], threshold: float) -> list[tuple[str, str]]:
    """Return the (source id, target id) of the pairs that score at least the threshold, in their order."""
    return [(pair.source_id, pair.target_id) for pair in pairs if pair.score >= threshold]
