"""The answer text of a span as the 2020 scripts recovered it: from whole words, cut back to the predicted piece."""

from __future__ import annotations

import re
import unicodedata

# The blanks at which the SQuAD code of transformers 2.x splits a context into words.
_BLANK = " \t\r\n\u202f"


def answer_in_words(context: str, start: int, stop: int) -> str:
    """Return the answer for the characters ``start:stop`` of a context, recovered the old way.

    The whole words around the span are joined by one space. Within them the predicted piece is looked for after
    punctuation was set apart by spaces; if it is found, and both texts have the same characters apart from spaces,
    the words are cut back to it, else they are returned whole. In Thai and Chinese, where words are not set
    apart, this is what made the official numbers differ from offset-based ones.

    Source: the method described in the comments of google-research/bert, run_squad.py; restated.
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
    piece = " ".join(context[start:stop].split())
    apart = _punctuation_apart(words)
    place = apart.find(piece)
    if not piece or place < 0:
        return words
    packed_words, packed_apart = words.replace(" ", ""), apart.replace(" ", "")
    if packed_words != packed_apart:
        return words
    # Characters that are not spaces have the same number in both texts; go over by that number.
    places = [i for i, c in enumerate(words) if c != " "]
    before = len(apart[:place].replace(" ", ""))
    inside = len(apart[: place + len(piece)].replace(" ", ""))
    return words[places[before] : places[inside - 1] + 1]


def _punctuation_apart(text: str) -> str:
    spaced = "".join(f" {c} " if _is_punctuation(c) else c for c in text)
    return " ".join(spaced.split())


def _is_punctuation(character: str) -> bool:
    # ASCII symbols such as $ and ^ count too, as in BERT's basic tokenizer.
    code = ord(character)
    ascii_symbol = 33 <= code <= 47 or 58 <= code <= 64 or 91 <= code <= 96 or 123 <= code <= 126
    return ascii_symbol or unicodedata.category(character).startswith("P")
