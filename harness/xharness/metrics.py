"""The official metrics of XTREME and XTREME-R, equal to its evaluate.py to the last digit.

Every metric is a function ``(golds, predictions, language) -> Measured`` over one language of one task. The
order of the floating-point operations is that of the official scripts, since another order changes the last
digits; for the same reason nothing here uses ``sum`` on floats, which compensates for rounding from Python
3.12 on.
"""

from __future__ import annotations

import re
import string
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from xharness.errors import DataError, PredictionError, UsageError


@dataclass(frozen=True)
class Measured:
    """What a metric found in one language.

    Attributes:
        scores: name -> value in percent.
        counts: things that happened on the way; for questions ``missing`` (gold ids without a prediction,
            which score 0) and ``unknown`` (predicted ids that the gold data lacks, which are ignored).
    """

    scores: dict[str, float]
    counts: dict[str, int] = field(default_factory=dict)


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
    _same_number(golds, predictions, "labels", language)
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
    _same_shape(golds, predictions, language)
    gold, predicted = _chunks(golds), _chunks(predictions)
    correct = len(gold & predicted)
    precision = correct / len(predicted) if predicted else 0.0
    recall = correct / len(gold) if gold else 0.0
    f1 = 2 * precision * recall / (precision + recall) if correct else 0.0
    return Measured({"f1": f1 * 100, "precision": precision * 100, "recall": recall * 100})


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
    words = sum(map(len, golds))
    if not words:
        raise DataError(f"The gold sentences ({language}) hold no word. Check the columns that the data was read from.")
    correct = sum(
        gold == predicted
        for gold_tags, predicted_tags in zip(golds, predictions, strict=True)
        for gold, predicted in zip(gold_tags, predicted_tags, strict=True)
    )
    return Measured({**measured.scores, "token_accuracy": correct / words * 100})


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
    return _answers(golds, predictions, language, _normal_squad)


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
    if language not in _MLQA_ARTICLES:
        raise UsageError(
            f"The metric mlqa has no rules for the language '{language}', only for "
            f"{', '.join(sorted(_MLQA_ARTICLES))}. Use the metric squad for any other."
        )
    return _answers(golds, predictions, language, lambda text: _normal_mlqa(text, language))


METRICS: dict[str, Callable[[Any, Any, str], Measured]] = {
    "accuracy": accuracy,
    "entity_f1": entity_f1,
    "udpos_f1": udpos_f1,
    "squad": squad,
    "mlqa": mlqa,
}

SCORE_KEYS: dict[str, tuple[str, ...]] = {
    "accuracy": ("accuracy",),
    "entity_f1": ("f1",),
    "udpos_f1": ("f1",),
    "squad": ("exact_match", "f1"),
    "mlqa": ("exact_match", "f1"),
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


# --- Entities, by the rules of seqeval 0.0.12 -----------------------------------------------------
# A tag is read as a letter (its first character) and a type (what follows its last hyphen, or all of it).
# Bare part-of-speech tags fall under the same rules by their first letter: SCONJ and SYM begin with S and
# never merge, INTJ begins with I, and no UPOS tag begins with B, E or O. That is odd, but every published
# UDPOS number is made so.

_OUTSIDE = frozenset("O.")
_ENDS_BEFORE = {"E": None, "S": None, "B": frozenset("BSO"), "I": frozenset("BSO")}
"""Letter -> the next letters before which its entity ends whatever the types; None: before any."""
_STARTS_AFTER = {"B": None, "S": None, "I": frozenset("ESO"), "E": frozenset("ESO")}
"""Letter -> the previous letters after which it starts an entity whatever the types; None: after any."""


def _chunks(sentences: Sequence[Sequence[str]]) -> set[tuple[str, int, int]]:
    """Return the entities as (type, first word, last word); words are counted through all sentences."""
    found = set()
    # Where nothing has gone before, the type is empty. At the borders of sentences it is that of O.
    letter, kind, first, position = "O", "", 0, 0
    for tags in sentences:
        for tag in (*tags, "O"):
            next_letter, next_kind = tag[:1], tag.rpartition("-")[2]
            other = kind != next_kind
            if _holds(_ENDS_BEFORE, letter, next_letter) or (other and letter not in _OUTSIDE):
                found.add((kind, first, position - 1))
            if _holds(_STARTS_AFTER, next_letter, letter) or (other and next_letter not in _OUTSIDE):
                first = position
            letter, kind = next_letter, next_kind
            position += 1
    return found


def _holds(rules: Mapping[str, frozenset[str] | None], letter: str, neighbour: str) -> bool:
    if letter not in rules:
        return False
    neighbours = rules[letter]
    return neighbours is None or neighbour in neighbours


# --- Answers, by the rules of SQuAD v1.1 and MLQA v1 ----------------------------------------------

_ASCII_PUNCTUATION = frozenset(string.punctuation)
_ENGLISH_ARTICLES = re.compile(r"\b(?:a|an|the)\b")
# These are part of MLQA's scorer (mlqa_evaluation_v1.py), not facts about languages to be kept in YAML.
_MLQA_ARTICLES: dict[str, re.Pattern[str] | None] = {
    # Its Arabic pattern, '\sال^|ال', can match by the second half only: the letters go within words, too.
    "ar": re.compile("ال"),
    "de": re.compile(r"\b(?:ein|eine|einen|einem|eines|einer|der|die|das|den|dem|des)\b"),
    "en": _ENGLISH_ARTICLES,
    "es": re.compile(r"\b(?:un|una|unos|unas|el|la|los|las)\b"),
    "hi": None,
    "vi": re.compile(r"\b(?:của|là|cái|chiếc|những)\b"),
    "zh": None,
}
_HAN = re.compile("[\u4e00-\u9fa5]")


def _normal_squad(text: str) -> str:
    kept = "".join(c for c in text.lower() if c not in _ASCII_PUNCTUATION)
    return " ".join(_ENGLISH_ARTICLES.sub(" ", kept).split())


def _normal_mlqa(text: str, language: str) -> str:
    kept = "".join(c for c in text.lower() if not _is_punctuation(c))
    articles = _MLQA_ARTICLES[language]
    if articles is not None:
        kept = articles.sub(" ", kept)
    if language == "zh":
        # The official loop makes punctuation words of their own as well, but none is left by now.
        kept = _HAN.sub(r" \g<0> ", kept)
    return " ".join(kept.split())


def _is_punctuation(character: str) -> bool:
    # Signs such as $ and + are symbols in Unicode, yet they are dropped as well, since ASCII counts them.
    return character in _ASCII_PUNCTUATION or unicodedata.category(character).startswith("P")


def _answers(
    golds: Mapping[str, Sequence[str]],
    predictions: Mapping[str, str],
    language: str,
    normal: Callable[[str], str],
) -> Measured:
    if not golds:
        raise DataError(f"There is no question to score ({language}): the gold data is empty. Check the split's name.")
    matches, f1, missing = 0, 0.0, 0
    for question, answers in golds.items():
        if not answers:
            raise DataError(f"The question '{question}' ({language}) has no gold answer; expected at least one.")
        if question not in predictions:
            missing += 1
            continue
        predicted = normal(predictions[question])
        correct = [normal(answer) for answer in answers]
        matches += predicted in correct
        f1 += max(_word_f1(predicted, answer) for answer in correct)
    unknown_ids = sum(question not in golds for question in predictions)
    return Measured(
        {"exact_match": 100.0 * matches / len(golds), "f1": 100.0 * f1 / len(golds)},
        {"missing": missing, "unknown": unknown_ids},
    )


def _word_f1(predicted: str, correct: str) -> float:
    """Return the F1 of two normalised answers as bags of words.

    It is 0 where both are empty, although they match exactly: SQuAD v1.1 has it so.
    """
    predicted_words, correct_words = predicted.split(), correct.split()
    common = (Counter(predicted_words) & Counter(correct_words)).total()
    if not common:
        return 0.0
    precision = common / len(predicted_words)
    recall = common / len(correct_words)
    return (2 * precision * recall) / (precision + recall)


# --- Shapes ---------------------------------------------------------------------------------------


def _same_number(golds: Sequence[object], predictions: Sequence[object], what: str, language: str) -> None:
    if not golds:
        raise DataError(
            f"There is nothing to score ({language}): the gold data holds no {what}. Check the split's name."
        )
    if len(golds) != len(predictions):
        raise PredictionError(
            f"Found {len(predictions)} predicted {what} ({language}), expected {len(golds)} as in the gold "
            "data. Predict again on the same data."
        )


def _same_shape(golds: Sequence[Sequence[str]], predictions: Sequence[Sequence[str]], language: str) -> None:
    _same_number(golds, predictions, "sentences", language)
    for number, (gold, predicted) in enumerate(zip(golds, predictions, strict=True), start=1):
        if len(gold) != len(predicted):
            raise PredictionError(
                f"Sentence {number} ({language}): found {len(predicted)} predicted tags, expected "
                f"{len(gold)}, one for every word. Predict again on the same data."
            )
