"""Bootstrap replicates drawn by example id, for paired comparisons of systems.

In resample r an example is drawn a number of times that depends only on r and its id: a Poisson number with mean 1, the
same for every system, language and target. So

* the difference of two systems' replicates is a paired bootstrap of their difference (Koehn 2004,
  https://aclanthology.org/W04-3250);
* the mean of the languages' replicates is a replicate of their mean, also where test sets are translations of one
  another, as in XNLI, XQuAD, XCOPA, PAWS-X, LAReQA and much of MLQA. A question that is hard for a system is hard in
  most languages; if each language were drawn on its own, intervals of the mean would be far too narrow. Ids that two
  test sets share by chance do no harm: unrelated examples vary independently, however they are drawn;
* a pair that was mined for a sentence without translation counts with that sentence, whichever system mined it.

Poisson counts per example equal the multinomial bootstrap except that the number of examples varies a little (Hanley
and MacGibbon 2006, https://doi.org/10.1016/j.cmpb.2006.04.006); scores are over the drawn examples. As with intervals,
only examples are resampled, not trainings.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from xharness.errors import DataError
from xharness.metrics import bootstrap
from xharness.metrics.base import task_score
from xharness.metrics.bootstrap import Floats

RESAMPLES = 200
DRAW: Final = "poisson by id, 1"
"""Name of the sampling scheme. Replicates of different schemes cannot be paired: a new scheme needs a new name."""
_STEPS = 100
"""Stored steps per percent."""
_STORED = np.dtype("<i2")
_AT_ONCE = 5
"""Resamples that are summed at once, to limit memory use."""
_POISSON = np.cumsum([math.exp(-1) / math.factorial(k) for k in range(20)])
"""Cumulative probabilities of the Poisson distribution with mean 1: P(number <= k)."""


def replicates(
    metric: str, score_keys: Sequence[str], golds: Any, predictions: Any, language: str, ids: Sequence[str]
) -> Floats | None:
    """Return the score that enters the target's mean, in percent, of each resample; None if it cannot be resampled.

    Args:
        metric: name of the target's metric.
        score_keys: the scores that enter the target's mean; empty for a metric that cannot be resampled.
        golds: gold data in the data's order, as ``scoring.gold`` returns it.
        predictions: predictions that the metric has scored, as it takes them.
        language: two-letter code.
        ids: ids of the examples, in the data's order.
    """
    units = bootstrap.units(metric, golds, predictions, language)
    if metric == "bucc_f1":
        ids = sorted({source for source, _ in {*golds, *predictions}})  # the order of the units
    elif isinstance(golds, Mapping):
        ids = list(golds)
    if not ids or not units or any(len(unit.rows) != len(ids) for unit in units):
        return None
    starts = _starts(ids)
    sums: list[list[Floats]] = [[] for _ in units]
    for first in range(0, RESAMPLES, _AT_ONCE):
        drawn = np.stack([_drawn(starts, number) for number in range(first, first + _AT_ONCE)])
        # If no example was drawn, every example is drawn once.
        drawn[~drawn.any(axis=1)] = 1
        # Scaled to the number of examples, which means are divided by.
        scale = len(ids) / drawn.sum(axis=1, keepdims=True)
        for unit, parts in zip(units, sums, strict=True):
            parts.append(drawn @ unit.rows * scale)
    scores: dict[str, Floats] = {}
    for unit, parts in zip(units, sums, strict=True):
        scores |= unit.scores(np.concatenate(parts))
    try:
        return np.array([task_score(score_keys, _one(scores, number)) for number in range(RESAMPLES)])
    except DataError:
        return None  # only some examples have this score


def _starts(ids: Sequence[str]) -> npt.NDArray[np.uint64]:
    """Return a hash of each id as a 64-bit number."""
    digests = (hashlib.blake2b(name.encode("utf-8", "surrogatepass"), digest_size=8).digest() for name in ids)
    return np.frombuffer(b"".join(digests), dtype="<u8")


def _drawn(starts: npt.NDArray[np.uint64], resample: int) -> Floats:
    """Return how often each example is drawn in a resample: Poisson numbers with mean 1.

    Uses SplitMix64 (Steele, Lea and Flood 2014, https://doi.org/10.1145/2660193.2660195), which is easy to implement in
    any language, so the draw never depends on a library's version.
    """
    mixed = starts + np.uint64((resample + 1) * 0x9E3779B97F4A7C15 % 2**64)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed ^= mixed >> np.uint64(31)
    return np.searchsorted(_POISSON, (mixed >> np.uint64(11)) * 2.0**-53, side="right").astype(np.float64)


def _one(scores: dict[str, Floats], number: int) -> dict[str, float]:
    return {name: float(values[number]) for name, values in scores.items()}


def pack(cells: Sequence[Floats]) -> bytes:
    """Return the content of ``replicates.bin``: all cells, in hundredths of a percent, as little-endian int16."""
    return b"".join(np.rint(cell * _STEPS).astype(_STORED).tobytes() for cell in cells)


def unpack(content: bytes) -> Floats:
    """Return the scores in ``replicates.bin`` in percent, [cells, resamples].

    Raises:
        DataError: its length is not a multiple of a cell's.
    """
    if len(content) % (RESAMPLES * _STORED.itemsize):
        raise DataError(f"replicates.bin: {len(content):,} bytes are not a multiple of a cell's length.")
    return np.frombuffer(content, dtype=_STORED).astype(np.float64).reshape(-1, RESAMPLES) / _STEPS
