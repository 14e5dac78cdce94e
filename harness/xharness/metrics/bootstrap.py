"""Bootstrap confidence intervals over examples."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from xharness.metrics import METRICS
from xharness.metrics.classification import POSITIVE
from xharness.metrics.tagging import chunks

Floats = npt.NDArray[np.float64]

RESAMPLES = 1000
COVERAGE = 95
"""In percent."""
SEED = 0
"""Of the resamples: with one and the same for all, the same predictions always have the same interval."""
_DRAWN_AT_ONCE = 2_000_000
"""Numbers that are held at once, so that memory does not grow with the examples."""
_DIGITS = 4
"""Of an interval's ends: processors add in different orders, and what differs is far below what a resample says."""


@dataclass(frozen=True)
class BootstrapUnits:
    """What one or several scores are made of: a row per example, and how the scores follow from the rows' sum.

    Attributes:
        rows: examples by columns.
        scores: takes sums of rows, each in a row of its own; returns score -> a value in percent for each sum.
    """

    rows: Floats
    scores: Callable[[Floats], dict[str, Floats]]

    def full_scores(self) -> dict[str, float]:
        """Return the scores of all examples, each counted once: those that the metric gives."""
        return {name: float(values[0]) for name, values in self.scores(self.rows.sum(axis=0, keepdims=True)).items()}


def bootstrap_interval(metric: str, golds: Any, predictions: Any, language: str) -> dict[str, tuple[float, float]]:
    """Return the 95 % confidence interval of each score, in percent, by the percentile bootstrap over examples.

    1,000 times, as many examples are drawn with replacement as there are, and scored (Efron and Tibshirani 1993; for
    the scores of language processing, Koehn 2004, https://aclanthology.org/W04-3250). An example is what the metric
    counts by: a pair, a sentence, a question, a query; for mined pairs a sentence of the other language that is in a
    right or a found pair. An interval says how much a score depends on which examples are in the test set, and no
    more than that:

    * Examples are taken as independent. Questions on one paragraph, or sentences of one document, are not quite, so
      true intervals are wider.
    * Training is not in it. Another seed gives another score; for that there are seeds.
    * Of few examples it is too narrow. Where all are right, or all wrong, it is a point, and says nothing.

    Args:
        metric: one of ``METRICS``.
        golds: as the metric takes them.
        predictions: predictions that the metric has scored, as it takes them.
        language: two-letter code.

    Returns:
        Score -> (low, high). Nothing for a metric of the ``evaluate`` library, whose examples are not known, nor of
        fewer than two examples; and a score that only some examples have (SQuAD 2.0's of answerable questions) has
        none.
    """
    intervals: dict[str, tuple[float, float]] = {}
    for unit in units(metric, golds, predictions, language):
        if len(unit.rows) >= 2:
            intervals |= _percentiles(unit)
    return intervals


def _percentiles(units: BootstrapUnits) -> dict[str, tuple[float, float]]:
    # Only how often each different row is drawn matters, and that is multinomial: the same distribution as drawing
    # example by example, and as good as free where rows are 0 or 1.
    rows, times = np.unique(units.rows, axis=0, return_counts=True)
    # The stream of a RandomState is the same in every version of numpy; that of its newer generators need not be.
    random = np.random.RandomState(SEED)
    step = max(1, _DRAWN_AT_ONCE // len(rows))
    sums = np.concatenate(
        [
            random.multinomial(len(units.rows), times / len(units.rows), size=min(step, RESAMPLES - start)) @ rows
            for start in range(0, RESAMPLES, step)
        ]
    )
    tail = (100 - COVERAGE) / 2
    ends = {name: np.percentile(values, [tail, 100 - tail]) for name, values in units.scores(sums).items()}
    return {name: (round(float(low), _DIGITS), round(float(high), _DIGITS)) for name, (low, high) in ends.items()}


def units(metric: str, golds: Any, predictions: Any, language: str) -> list[BootstrapUnits]:
    """Return what the scores of a metric are made of; [] where that is not known.

    Scores of different columns stand apart: the fewer different rows there are, the faster they are drawn.
    """
    match metric:
        case "entity_f1":
            return [_entities(golds, predictions)]
        case "udpos_f1":
            return [_entities(golds, predictions), _words(golds, predictions)]
        case "token_accuracy":
            return [_words(golds, predictions)]
        case "bucc_f1":
            return [_pairs(golds, predictions)]
        case "accuracy_f1":
            return [*_means("accuracy", golds, predictions, language), _labels(golds, predictions)]
        case _ if metric in METRICS:
            return _means(metric, golds, predictions, language)
        case _:
            return []


def _means(metric: str, golds: Any, predictions: Any, language: str) -> list[BootstrapUnits]:
    """Return the units of scores that are means over examples: what the metric says of each example alone."""
    measure = METRICS[metric]
    if isinstance(golds, Mapping):
        alone = [({key: gold}, {key: predictions[key]} if key in predictions else {}) for key, gold in golds.items()]
        of_examples = [measure(gold, predicted, language).scores for gold, predicted in alone]
    else:
        of_examples = [
            measure([gold], [prediction], language).scores for gold, prediction in zip(golds, predictions, strict=True)
        ]
    names = [name for name in of_examples[0] if all(name in scores for scores in of_examples)]
    return [
        BootstrapUnits(np.array([[scores[name]] for scores in of_examples]), _mean_called(name, len(of_examples)))
        for name in names
    ]


def _mean_called(name: str, examples: int) -> Callable[[Floats], dict[str, Floats]]:
    return lambda sums: {name: sums[:, 0] / examples}


def _entities(golds: Sequence[Sequence[str]], predictions: Sequence[Sequence[str]]) -> BootstrapUnits:
    """Return right, predicted and gold entities by sentence; an entity is of the sentence in which it ends."""
    gold, predicted = chunks(golds), chunks(predictions)
    # ``chunks`` counts one more place after each sentence.
    ends = np.cumsum([len(tags) + 1 for tags in golds])
    counts = [
        np.bincount(np.searchsorted(ends, [entity[2] for entity in entities], side="right"), minlength=len(golds))
        for entities in (gold & predicted, predicted, gold)
    ]
    return BootstrapUnits(np.stack(counts, axis=1).astype(np.float64), _overlap)


def _pairs(golds: Collection[tuple[str, str]], predictions: Collection[tuple[str, str]]) -> BootstrapUnits:
    """Return right, predicted and gold pairs by sentence of the other language."""
    gold, predicted = set(golds), set(predictions)
    row_of = {source: number for number, source in enumerate(sorted({source for source, _ in gold | predicted}))}
    rows = np.zeros((len(row_of), 3))
    for column, pairs in enumerate((gold & predicted, predicted, gold)):
        for source, _ in pairs:
            rows[row_of[source], column] += 1
    return BootstrapUnits(rows, _overlap)


def _labels(golds: Sequence[str], predictions: Sequence[str]) -> BootstrapUnits:
    """Return by example whether the label that is looked for was found, predicted and there."""
    positive = np.array([[label in POSITIVE for label in labels] for labels in (predictions, golds)], dtype=np.float64)
    correct = [gold == label and gold in POSITIVE for gold, label in zip(golds, predictions, strict=True)]
    return BootstrapUnits(np.array([correct, *positive], dtype=np.float64).T, lambda sums: {"f1": _overlap(sums)["f1"]})


def _words(golds: Sequence[Sequence[str]], predictions: Sequence[Sequence[str]]) -> BootstrapUnits:
    """Return right tags and words by sentence."""
    rows = [
        (sum(gold == tag for gold, tag in zip(tags, predicted, strict=True)), len(tags))
        for tags, predicted in zip(golds, predictions, strict=True)
    ]
    return BootstrapUnits(
        np.array(rows, dtype=np.float64), lambda sums: {"token_accuracy": _share(sums[:, 0], sums[:, 1])}
    )


def _overlap(sums: Floats) -> dict[str, Floats]:
    correct, predicted, gold = sums.T
    return {
        "f1": _share(2 * correct, predicted + gold),
        "precision": _share(correct, predicted),
        "recall": _share(correct, gold),
    }


def _share(part: Floats, total: Floats) -> Floats:
    """Return percentages; 0 of nothing, as the metrics have it."""
    return 100 * np.divide(part, total, out=np.zeros_like(part), where=total > 0)
