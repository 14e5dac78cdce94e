"""Answer text as the 2020 SQuAD scripts recovered it."""

from __future__ import annotations

import re
import unicodedata

# The whitespace at which the SQuAD code of transformers 2.x splits a context into words.
_BLANK = " \t\r\n\u202f"

# The code points that BERT's basic tokenizer treats as Chinese characters.
_IDEOGRAPHS = (
    (0x4E00, 0x9FFF),
    (0x3400, 0x4DBF),
    (0x20000, 0x2A6DF),
    (0x2A700, 0x2B73F),
    (0x2B740, 0x2B81F),
    (0x2B820, 0x2CEAF),
    (0xF900, 0xFAFF),
    (0x2F800, 0x2FA1F),
)


def answer_in_words(context: str, start: int, stop: int, piece: str, lowercase: bool = False) -> str:
    """Return the answer for the characters ``start:stop`` of a context, recovered as in 2020.

    The complete words around the span are joined by single spaces. A copy is tokenized by BERT's basic tokenizer
    (spaces around punctuation and Chinese characters), and the text of the predicted tokens is searched in the copy. If
    it is found, and both texts have the same number of characters apart from spaces, the words are cut to it; otherwise
    all words are returned. In Chinese two adjacent characters are never found in a copy that has a space between them,
    so complete clauses are returned: the main reason why the published numbers for zh are low.

    Source: the method described in the comments of google-research/bert, run_squad.py; reimplemented.

    Args:
        context: the text with the span.
        start, stop: first and one-past-last character of the span.
        piece: the text of the predicted tokens (``convert_tokens_to_string``).
        lowercase: the input was lower-cased, so the copy is lower-cased, too, and loses its accents.
    """
    while start < stop and context[start] in _BLANK:
        start += 1
    while stop > start and context[stop - 1] in _BLANK:
        stop -= 1
    first, last = start, stop
    while first > 0 and context[first - 1] not in _BLANK:
        first -= 1
    while last < len(context) and context[last] not in _BLANK:
        last += 1
    words = " ".join(w for w in re.split(f"[{_BLANK}]+", context[first:last]) if w)
    piece = " ".join(piece.split())
    tokenized = _basic_tokenize(words, lowercase)
    position = tokenized.find(piece)
    # Characters other than spaces are matched by their index, if both texts have the same number of them.
    positions = [i for i, c in enumerate(words) if c != " "]
    if not piece or position < 0 or len(positions) != len(tokenized.replace(" ", "")):
        return words
    before = len(tokenized[:position].replace(" ", ""))
    inside = len(tokenized[: position + len(piece)].replace(" ", ""))
    return words[positions[before] : positions[inside - 1] + 1]


def _basic_tokenize(text: str, lowercase: bool) -> str:
    """Return the tokens of BERT's basic tokenizer for a text, joined by single spaces."""
    cleaned = "".join(" " if _is_blank(c) else c for c in text if _is_blank(c) or not _is_control(c))
    cleaned = "".join(f" {c} " if _is_ideograph(c) else c for c in cleaned)
    if lowercase:
        cleaned = "".join(c for c in unicodedata.normalize("NFD", cleaned.lower()) if unicodedata.category(c) != "Mn")
    spaced = "".join(f" {c} " if _is_punctuation(c) else c for c in cleaned)
    return " ".join(spaced.split())


def _is_blank(character: str) -> bool:
    return character in " \t\n\r" or unicodedata.category(character) == "Zs"


def _is_control(character: str) -> bool:
    return character in "\0\ufffd" or unicodedata.category(character).startswith("C")


def _is_ideograph(character: str) -> bool:
    return any(low <= ord(character) <= high for low, high in _IDEOGRAPHS)


def _is_punctuation(character: str) -> bool:
    # ASCII symbols such as $ and ^ count too, as in BERT's basic tokenizer.
    code = ord(character)
    ascii_symbol = 33 <= code <= 47 or 58 <= code <= 64 or 91 <= code <= 96 or 123 <= code <= 126
    return ascii_symbol or unicodedata.category(character).startswith("P")
