"""Where entities begin and end in a row of tags, by the rules of seqeval 0.0.12.

A tag is read as a letter (its first character) and a type (what follows its last hyphen, or all of it). Bare
part-of-speech tags fall under the same rules by their first letter: SCONJ and SYM begin with S and never merge, INTJ
begins with I, and no UPOS tag begins with B, E or O. That is odd, but every published UDPOS number is made so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

_OUTSIDE = frozenset("O.")
_ENDS_BEFORE = {"E": None, "S": None, "B": frozenset("BSO"), "I": frozenset("BSO")}
"""Letter -> the next letters before which its entity ends whatever the types; None: before any."""
_STARTS_AFTER = {"B": None, "S": None, "I": frozenset("ESO"), "E": frozenset("ESO")}
"""Letter -> the previous letters after which it starts an entity whatever the types; None: after any."""


def chunks(sentences: Sequence[Sequence[str]]) -> set[tuple[str, int, int]]:
    """Return the entities as (type, first word, last word).

    Words are counted from 0 through all sentences, with one more place after each, so that no entity runs on.

    Args:
        sentences: one tag per word, sentence by sentence.
    """
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
