"""When two answers are the same, and how far they agree, by the rules of SQuAD v1.1 and MLQA v1."""

from __future__ import annotations

import re
import string
import unicodedata
from collections import Counter

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
MLQA_LANGUAGES = tuple(_MLQA_ARTICLES)
_HAN = re.compile("[\u4e00-\u9fa5]")


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
        # The official loop makes punctuation words of their own as well, but none is left by now.
        kept = _HAN.sub(r" \g<0> ", kept)
    return " ".join(kept.split())


def _is_punctuation(character: str) -> bool:
    # Signs such as $ and + are symbols in Unicode, yet they are dropped as well, since ASCII counts them.
    return character in _ASCII_PUNCTUATION or unicodedata.category(character).startswith("P")


def word_f1(predicted: str, correct: str) -> float:
    """Return the F1 (0 to 1) of two normalised answers as bags of words.

    It is 0 where both are empty, although they match exactly: SQuAD v1.1 has it so.
    """
    predicted_words, correct_words = predicted.split(), correct.split()
    common = (Counter(predicted_words) & Counter(correct_words)).total()
    if not common:
        return 0.0
    precision = common / len(predicted_words)
    recall = common / len(correct_words)
    return (2 * precision * recall) / (precision + recall)
