"""Exact match and F1 of SQuAD 1.1, SQuAD 2.0 and MLQA, with their answer normalization."""

from __future__ import annotations

import re
import string
import unicodedata
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from xharness.errors import DataError, UsageError
from xharness.metrics.base import MetricResult, count_ids, expect_questions

_ASCII_PUNCTUATION = frozenset(string.punctuation)
_ENGLISH_ARTICLES = re.compile(r"\b(?:a|an|the)\b")
# These are part of MLQA's scorer (mlqa_evaluation_v1.py), not facts about languages, which would belong in YAML.
_MLQA_ARTICLES: dict[str, re.Pattern[str] | None] = {
    # Its Arabic pattern, '\sال^|ال', can only match by its second half, so the letters are dropped within words, too.
    "ar": re.compile("ال"),
    "de": re.compile(r"\b(?:ein|eine|einen|einem|eines|einer|der|die|das|den|dem|des)\b"),
    "en": _ENGLISH_ARTICLES,
    "es": re.compile(r"\b(?:un|una|unos|unas|el|la|los|las)\b"),
    "hi": None,
    "vi": re.compile(r"\b(?:của|là|cái|chiếc|những)\b"),
    "zh": None,
}
MLQA_LANGUAGES = tuple(_MLQA_ARTICLES)
_HAN = re.compile("[\u4e00-\u9fa5]")


def squad(golds: Mapping[str, Sequence[str]], predictions: Mapping[str, str], language: str) -> MetricResult:
    """Return ``exact_match`` and ``f1`` of SQuAD v1.1 (XQuAD, TyDiQA-GoldP).

    Answers in every language are normalized by the English rules, as in evaluate.py: ASCII punctuation and a, an, the
    are dropped, and words are separated by spaces; so the F1 of Chinese and Thai is close to exact match.

    Args:
        golds: id of a question -> its correct answers; the best one counts.
        predictions: id -> answer. A missing id scores 0, an unknown one is ignored; both are counted.
        language: two-letter code; for messages only.

    Raises:
        DataError: there is no question, or one has no answer.
    """
    return _answers(golds, predictions, language, normal_squad)


def mlqa(golds: Mapping[str, Sequence[str]], predictions: Mapping[str, str], language: str) -> MetricResult:
    """Return ``exact_match`` and ``f1`` of MLQA v1, whose rules differ by language.

    Punctuation of all scripts and the articles of the language are dropped; in Chinese every character is a word.

    Args:
        golds: id of a question -> its correct answers; the best one counts.
        predictions: id -> answer. A missing id scores 0, an unknown one is ignored; both are counted.
        language: two-letter code of the answers.

    Raises:
        DataError: there is no question, or one has no answer.
        UsageError: MLQA has no rules for the language.
    """
    if language not in MLQA_LANGUAGES:
        raise UsageError(
            f"The metric mlqa has no rules for the language '{language}', only for "
            f"{', '.join(sorted(MLQA_LANGUAGES))}. Use the metric squad for any other."
        )
    return _answers(golds, predictions, language, lambda text: normal_mlqa(text, language))


def overlap_f1(gold: set[Any], predicted: set[Any]) -> MetricResult:
    """Return ``f1``, ``precision`` and ``recall`` of a set of predictions, in percent; 0 where nothing is correct."""
    correct = len(gold & predicted)
    precision = correct / len(predicted) if predicted else 0.0
    recall = correct / len(gold) if gold else 0.0
    f1 = 2 * precision * recall / (precision + recall) if correct else 0.0
    return MetricResult({"f1": f1 * 100, "precision": precision * 100, "recall": recall * 100})


def _answers(
    golds: Mapping[str, Sequence[str]],
    predictions: Mapping[str, str],
    language: str,
    normal: Callable[[str], str],
) -> MetricResult:
    expect_answers(golds, language)
    matches, f1 = 0, 0.0
    for question, answers in golds.items():
        if question not in predictions:
            continue
        predicted = normal(predictions[question])
        correct = [normal(answer) for answer in answers]
        matches += predicted in correct
        f1 += max(word_f1(predicted, answer) for answer in correct)
    return MetricResult(
        {"exact_match": 100.0 * matches / len(golds), "f1": 100.0 * f1 / len(golds)}, count_ids(golds, predictions)
    )


def expect_answers(golds: Mapping[str, Collection[str]], language: str) -> None:
    """Raise DataError if there is no question, or a question has no answer."""
    expect_questions(golds, language)
    for question, answers in golds.items():
        if not answers:
            raise DataError(f"The question '{question}' ({language}) has no gold answer; expected at least one.")


def normal_squad(text: str) -> str:
    """Return an answer in lower case, without ASCII punctuation and English articles, its words one space apart."""
    kept = "".join(c for c in text.lower() if c not in _ASCII_PUNCTUATION)
    return " ".join(_ENGLISH_ARTICLES.sub(" ", kept).split())


def normal_mlqa(text: str, language: str) -> str:
    """Return an answer in lower case, without punctuation and the language's articles, its words one space apart.

    Args:
        text: the answer.
        language: one of ``MLQA_LANGUAGES``.
    """
    kept = "".join(c for c in text.lower() if not _is_punctuation(c))
    articles = _MLQA_ARTICLES[language]
    if articles is not None:
        kept = articles.sub(" ", kept)
    if language == "zh":
        # The official loop also makes words of punctuation, but none is left here.
        kept = _HAN.sub(r" \g<0> ", kept)
    return " ".join(kept.split())


def _is_punctuation(character: str) -> bool:
    # Signs such as $ and + are symbols in Unicode, but they are ASCII punctuation and dropped, too.
    return character in _ASCII_PUNCTUATION or unicodedata.category(character).startswith("P")


def word_f1(predicted: str, correct: str) -> float:
    """Return the F1 (0 to 1) of two normalized answers as bags of words.

    It is 0 if both are empty, although they match exactly, as in SQuAD v1.1.
    """
    predicted_words, correct_words = predicted.split(), correct.split()
    common = (Counter(predicted_words) & Counter(correct_words)).total()
    if not common:
        return 0.0
    precision = common / len(predicted_words)
    recall = common / len(correct_words)
    return (2 * precision * recall) / (precision + recall)


def squad_v2(golds: Mapping[str, Sequence[str]], predictions: Mapping[str, str], language: str) -> MetricResult:
    """Return ``exact_match`` and ``f1`` of SQuAD 2.0, whose questions may have no answer.

    If every question has a prediction, they are equal to the last digit to ``exact`` and ``f1`` of the official
    evaluate-v2.0.py without no-answer probabilities (summed from left to right, as ``sum`` did up to Python 3.11):
    answers and predictions are normalized by the English rules of SQuAD v1.1; gold answers that become empty ("the")
    are dropped; if no gold answer is left, an empty normalized prediction is correct and any other is wrong.

    Missing predictions are handled differently: here they score 0 and are counted, so that leaving out hard questions
    does not help. The official script leaves them out of the mean, and then ends in a KeyError before it prints one.

    Also returned are the scores of questions with and without a gold answer (before any is dropped):
    ``answerable_exact_match``, ``answerable_f1`` (officially ``HasAns_exact``, ``HasAns_f1``) and
    ``unanswerable_accuracy`` (``NoAns_exact``), each if there are such questions.

    Args:
        golds: id of a question -> its correct answers, the best one counts; empty: the question has no answer.
        predictions: id -> answer; '' for no answer. A missing id scores 0, an unknown one is ignored; both are
            counted.
        language: two-letter code; for messages only.

    Raises:
        DataError: there is no question.
    """
    expect_questions(golds, language)
    every: list[tuple[float, float]] = []
    sorts: dict[bool, list[tuple[float, float]]] = {True: [], False: []}
    for question, answers in golds.items():
        pair = _exact_and_f1(answers, predictions[question]) if question in predictions else (0.0, 0.0)
        every.append(pair)
        sorts[bool(answers)].append(pair)
    exact, f1 = _means(every)
    scores = {"exact_match": exact, "f1": f1}
    if sorts[True]:
        scores["answerable_exact_match"], scores["answerable_f1"] = _means(sorts[True])
    if sorts[False]:
        scores["unanswerable_accuracy"], _ = _means(sorts[False])
    return MetricResult(scores, count_ids(golds, predictions))


def _exact_and_f1(answers: Sequence[str], prediction: str) -> tuple[float, float]:
    predicted = normal_squad(prediction)
    correct = [normal for answer in answers if (normal := normal_squad(answer))] or [""]
    exact = float(predicted in correct)
    if not predicted or correct == [""]:
        return exact, exact
    return exact, max(word_f1(predicted, answer) for answer in correct)


def _means(pairs: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """Return both means in percent, summed in the order of the questions: another order changes the last digits."""
    exact, f1 = 0.0, 0.0
    for one, other in pairs:
        exact += one
        f1 += other
    return 100.0 * exact / len(pairs), 100.0 * f1 / len(pairs)
