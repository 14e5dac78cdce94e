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
"""Seed of the resamples: always the same, so the same predictions always have the same interval."""
_DRAWN_AT_ONCE = 2_000_000
"""Numbers that are in memory at once, so that memory use does not grow with the examples."""
_DIGITS = 4
"""Digits of an interval's ends: processors sum in different orders, with differences far below the resampling noise."""


@dataclass(frozen=True)
class BootstrapUnits:
    """The contributions of the examples to one or several scores, and how the scores follow from their sum.

    Attributes:
        rows: [examples, columns].
        scores: takes sums of rows [sums, columns]; returns score -> one value in percent for each sum.
    """

    rows: Floats
    scores: Callable[[Floats], dict[str, Floats]]

    def full_scores(self) -> dict[str, float]:
        """Return the scores of all examples, each counted once: the scores of the metric."""
        return {name: float(values[0]) for name, values in self.scores(self.rows.sum(axis=0, keepdims=True)).items()}


def bootstrap_interval(metric: str, golds: Any, predictions: Any, language: str) -> dict[str, tuple[float, float]]:
    """Return the 95 % confidence interval of each score, in percent, by the percentile bootstrap over examples.

    1,000 resamples of the same size are drawn with replacement and scored (Efron and Tibshirani 1993; for NLP metrics,
    Koehn 2004, https://aclanthology.org/W04-3250). An example is the unit of the metric: a pair, a sentence, a
    question, a query; for mining a sentence of the other language that is in a gold or a predicted pair. The interval
    shows how much a score depends on the choice of test examples, and nothing else:

    * Examples are treated as independent. Questions on one paragraph, or sentences of one document, are not fully
      independent, so true intervals are wider.
    * Variation between trainings is not included. Use several seeds for that.
    * With few examples it is too narrow. If all are correct, or all are wrong, it is a point without meaning.

    Args:
        metric: one of ``METRICS``.
        golds: as the metric takes them.
        predictions: predictions that the metric has scored, as it takes them.
        language: two-letter code.

    Returns:
        Score -> (low, high). Empty for metrics of the ``evaluate`` library, whose examples are not known, and for
        fewer than two examples. Scores that only some examples have (SQuAD 2.0's of answerable questions) are left
        out.
    """
    intervals: dict[str, tuple[float, float]] = {}
    for unit in units(metric, golds, predictions, language):
        if len(unit.rows) >= 2:
            intervals |= _percentiles(unit)
    return intervals


def _percentiles(units: BootstrapUnits) -> dict[str, tuple[float, float]]:
    # Only how often each distinct row is drawn matters, and these counts are multinomial: the same distribution as
    # drawing example by example, and almost free where rows are 0 or 1.
    rows, times = np.unique(units.rows, axis=0, return_counts=True)
    # The stream of a RandomState is the same in every version of numpy; newer generators do not guarantee that.
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
    """Return the bootstrap units of a metric's scores; [] if they are not known.

    Scores with different columns have units of their own: the fewer distinct rows, the faster the resampling.
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
    """Return the units of scores that are means over examples: the metric's score of each single example."""
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
    """Count correct, predicted and gold entities by sentence; an entity belongs to the sentence in which it ends."""
    gold, predicted = chunks(golds), chunks(predictions)
    # ``chunks`` counts one more position after each sentence.
    ends = np.cumsum([len(tags) + 1 for tags in golds])
    counts = [
        np.bincount(np.searchsorted(ends, [entity[2] for entity in entities], side="right"), minlength=len(golds))
        for entities in (gold & predicted, predicted, gold)
    ]
    return BootstrapUnits(np.stack(counts, axis=1).astype(np.float64), _overlap)


def _pairs(golds: Collection[tuple[str, str]], predictions: Collection[tuple[str, str]]) -> BootstrapUnits:
    """Count correct, predicted and gold pairs by sentence of the other language."""
    gold, predicted = set(golds), set(predictions)
    row_of = {source: number for number, source in enumerate(sorted({source for source, _ in gold | predicted}))}
    rows = np.zeros((len(row_of), 3))
    for column, pairs in enumerate((gold & predicted, predicted, gold)):
        for source, _ in pairs:
            rows[row_of[source], column] += 1
    return BootstrapUnits(rows, _overlap)


def _labels(golds: Sequence[str], predictions: Sequence[str]) -> BootstrapUnits:
    """Return by example whether the positive label is correct, predicted and gold."""
    positive = np.array([[label in POSITIVE for label in labels] for labels in (predictions, golds)], dtype=np.float64)
    correct = [gold == label and gold in POSITIVE for gold, label in zip(golds, predictions, strict=True)]
    return BootstrapUnits(np.array([correct, *positive], dtype=np.float64).T, lambda sums: {"f1": _overlap(sums)["f1"]})


def _words(golds: Sequence[Sequence[str]], predictions: Sequence[Sequence[str]]) -> BootstrapUnits:
    """Count correct tags and words by sentence."""
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
    """Return percentages; 0 where the total is 0, as in the metrics."""
    return 100 * np.divide(part, total, out=np.zeros_like(part), where=total > 0)
