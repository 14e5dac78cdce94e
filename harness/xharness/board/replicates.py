"""Bootstrap replicates of a language's score, drawn alike for every submission, so that differences are paired.

Resample number r of a language draws the same examples for every system that is scored on the same gold data. So the
difference of two systems' replicates is a paired bootstrap of their difference (Koehn 2004,
https://aclanthology.org/W04-3250), and the mean of languages' replicates is a replicate of their mean. As with
intervals, examples are drawn again and training is not.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence
from typing import Any

import numpy as np

from xharness import intervals
from xharness.data_spec import DataSpec
from xharness.errors import DataError
from xharness.intervals import Floats, Units
from xharness.metrics import task_score

RESAMPLES = 200
_STEPS = 100
"""Steps of a percent that are kept."""
_STORED = np.dtype("<i2")


def replicates(spec: DataSpec, golds: Any, made: Any, language: str, data_hash: str) -> Floats | None:
    """Return the number that enters the target's mean, in percent, of each resample; None where it cannot be drawn.

    Args:
        spec: the target.
        golds: its gold, in the order of the data, as ``scoring.gold`` gives it.
        made: predictions that the metric has scored, as it takes them.
        language: two-letter code.
        data_hash: of the gold data; it says which examples are drawn.
    """
    if spec.kind == "mining":
        found, beside = _mined(spec, golds, made, language)
    else:
        found, beside = intervals.units(spec.metric, golds, made, language), None
    sizes = {len(each.rows) for each in found}
    if len(sizes) != 1:
        return None
    drawn = _drawn(sizes.pop(), data_hash)
    scores: dict[str, Floats] = {}
    for each in found:
        sums = drawn @ each.rows
        scores |= each.scores(sums if beside is None else sums + beside)
    try:
        return np.array([task_score(spec.score_keys, _one(scores, number)) for number in range(RESAMPLES)])
    except DataError:
        return None  # a score that only some examples have


def _mined(
    spec: DataSpec, golds: Collection[tuple[str, str]], made: Collection[tuple[str, str]], language: str
) -> tuple[list[Units], Floats]:
    """Return the units of the sentences that have a translation, and what is to be added to every sum of them.

    Which other sentences a system names differs from system to system, so that those cannot be drawn alike: what it
    found for them counts once in every resample.
    """
    sources = {source for source, _ in golds}
    beside = sum(source not in sources for source, _ in set(made))
    units = intervals.units(spec.metric, golds, [pair for pair in made if pair[0] in sources], language)
    return units, np.array([0.0, float(beside), 0.0])


def _drawn(examples: int, data_hash: str) -> Floats:
    """Return how often each example is drawn in each resample: the same for the same data, and other for other data."""
    seed = int.from_bytes(hashlib.sha256(data_hash.encode()).digest()[:4], "little")
    # The stream of a RandomState is the same in every version of numpy; that of its newer generators need not be.
    random = np.random.RandomState(seed)
    drawn = np.empty((RESAMPLES, examples))
    for resample in range(RESAMPLES):
        # The same distribution as that of a multinomial of equal shares, which takes ten times as long.
        places = (random.random_sample(examples) * examples).astype(np.int64)
        drawn[resample] = np.bincount(places, minlength=examples)
    return drawn


def _one(scores: dict[str, Floats], number: int) -> dict[str, float]:
    return {name: float(values[number]) for name, values in scores.items()}


def pack(cells: Sequence[Floats]) -> bytes:
    """Return the content of ``replicates.bin``: cell after cell, in hundredths of a percent, as little-endian int16."""
    return b"".join(np.rint(cell * _STEPS).astype(_STORED).tobytes() for cell in cells)


def unpack(content: bytes) -> Floats:
    """Return what ``replicates.bin`` holds: cells by resamples, in percent.

    Raises:
        DataError: its length is not that of whole cells.
    """
    if len(content) % (RESAMPLES * _STORED.itemsize):
        raise DataError(f"replicates.bin: {len(content):,} bytes are no whole number of cells.")
    return np.frombuffer(content, dtype=_STORED).astype(np.float64).reshape(-1, RESAMPLES) / _STEPS
