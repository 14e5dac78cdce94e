"""Entity F1 (seqeval 0.0.12), UDPOS F1 and token accuracy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from xharness.errors import DataError
from xharness.metrics.base import MetricResult, expect_same_shape
from xharness.metrics.question_answering import overlap_f1

_OUTSIDE = frozenset("O.")
_ENDS_BEFORE = {"E": None, "S": None, "B": frozenset("BSO"), "I": frozenset("BSO")}
"""Letter -> the next letters before which its entity ends whatever the types; None: before any."""
_STARTS_AFTER = {"B": None, "S": None, "I": frozenset("ESO"), "E": frozenset("ESO")}
"""Letter -> the previous letters after which it starts an entity whatever the types; None: after any."""


def share_of_correct_tags(golds: Sequence[Sequence[str]], predictions: Sequence[Sequence[str]], language: str) -> float:
    """Return the share of words with a correct tag, in percent; the shapes are those of ``expect_same_shape``.

    Raises:
        DataError: there is no word.
    """
    words = sum(map(len, golds))
    if not words:
        raise DataError(f"The gold sentences ({language}) have no words. Check the columns that the data is read from.")
    correct = sum(
        gold == predicted
        for gold_tags, predicted_tags in zip(golds, predictions, strict=True)
        for gold, predicted in zip(gold_tags, predicted_tags, strict=True)
    )
    return correct / words * 100


def entity_f1(golds: Sequence[Sequence[str]], predictions: Sequence[Sequence[str]], language: str) -> MetricResult:
    """Return micro-averaged ``f1``, ``precision`` and ``recall`` of entities over all sentences (PAN-X).

    As in seqeval 0.0.12: an entity is correct if type, first and last word agree; if one side has no entities, the
    scores are 0.

    Args:
        golds: one tag per word (``B-PER``, ``I-PER``, ``O``), sentence by sentence.
        predictions: of the same shape.
        language: two-letter code; for messages only.

    Raises:
        DataError: there is no gold sentence.
        PredictionError: a sentence is missing, or has another number of tags; the first such one is named.
    """
    expect_same_shape(golds, predictions, language)
    return overlap_f1(chunks(golds), chunks(predictions))


def udpos_f1(golds: Sequence[Sequence[str]], predictions: Sequence[Sequence[str]], language: str) -> MetricResult:
    """Return the F1 that XTREME publishes for UDPOS, and ``token_accuracy``.

    evaluate.py passes plain part-of-speech tags to seqeval's entity F1, so a run of equal tags counts as one unit
    (google-research/xtreme issue #56). The published numbers are this ``f1``, several points below the share of
    correct tags. seqeval from 0.0.18 on gives another value, since it loses the tag ``X``.

    Args:
        golds: one universal part-of-speech tag per word, sentence by sentence.
        predictions: of the same shape.
        language: two-letter code; for messages only.

    Raises:
        DataError: there is no gold sentence, or no word.
        PredictionError: a sentence is missing, or has another number of tags; the first such one is named.
    """
    measured = entity_f1(golds, predictions, language)
    return MetricResult({**measured.scores, "token_accuracy": share_of_correct_tags(golds, predictions, language)})


def chunks(sentences: Sequence[Sequence[str]]) -> set[tuple[str, int, int]]:
    """Return the entities as (type, first word, last word).

    Words are numbered from 0 through all sentences, with a gap of one after each, so that no entity spans sentences.

    Args:
        sentences: one tag per word, sentence by sentence.
    """
    entities = set()
    # Before the first word the type is empty. At sentence boundaries it is that of O.
    letter, kind, first, position = "O", "", 0, 0
    for tags in sentences:
        for tag in (*tags, "O"):
            next_letter, next_kind = tag[:1], tag.rpartition("-")[2]
            other = kind != next_kind
            if _holds(_ENDS_BEFORE, letter, next_letter) or (other and letter not in _OUTSIDE):
                entities.add((kind, first, position - 1))
            if _holds(_STARTS_AFTER, next_letter, letter) or (other and next_letter not in _OUTSIDE):
                first = position
            letter, kind = next_letter, next_kind
            position += 1
    return entities


def _holds(rules: Mapping[str, frozenset[str] | None], letter: str, neighbor: str) -> bool:
    if letter not in rules:
        return False
    neighbors = rules[letter]
    return neighbors is None or neighbor in neighbors


def token_accuracy(golds: Sequence[Sequence[str]], predictions: Sequence[Sequence[str]], language: str) -> MetricResult:
    """Return ``token_accuracy``, the share of words with a correct tag (CCG).

    A gold tag that is not in the training data cannot be predicted, so its word counts as wrong.

    Args:
        golds: one tag per word, sentence by sentence.
        predictions: of the same shape.
        language: two-letter code; for messages only.

    Raises:
        DataError: there is no gold sentence, or no word.
        PredictionError: a sentence is missing, or has another number of tags; the first such one is named.
    """
    expect_same_shape(golds, predictions, language)
    return MetricResult({"token_accuracy": share_of_correct_tags(golds, predictions, language)})
