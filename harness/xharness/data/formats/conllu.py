"""Read CoNLL-U as XTREME does: multiword tokens become one word."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from xharness.data.formats.text import read_lines
from xharness.errors import DataError

_COLUMNS = 10
_DIGITS = 9  # limit for a number; int() fails on thousands of digits
_ID = re.compile(r"(?P<word>[0-9]{1,9})|(?P<first>[0-9]{1,9})-(?P<last>[0-9]{1,9})|[0-9]{1,9}\.[0-9]{1,9}")
_REMOVED = str.maketrans("", "", "\u200c ")


@dataclass(frozen=True)
class Range:
    """A multiword token: its form replaces the words ``first`` to ``last``, counted from 1."""

    first: int
    last: int
    form: str
    line: int


@dataclass
class Sentence:
    """A sentence as in the file.

    Attributes:
        forms, tags: of each word.
        heads: for each word, the nodes with an edge to it (0 is the root): HEAD, and those of the enhanced DEPS.
        ranges: the multiword tokens, in order.
        lines: line number of each word.
        comments: whether it has comments; a sentence cannot consist of comments only.
        end: number of its last line.
    """

    forms: list[str] = field(default_factory=list)
    tags: list[str] = field(default_factory=list)
    heads: list[set[int]] = field(default_factory=list)
    ranges: list[Range] = field(default_factory=list)
    lines: list[int] = field(default_factory=list)
    comments: bool = False
    end: int = 0


def read(path: Path, precedence: Sequence[str]) -> Iterator[tuple[list[str], list[str]]]:
    """Yield (tokens, tags) of the sentences in the official data.

    As in XTREME's preprocessing (ud-conversion-tools with "replace subtokens with fused forms", then
    utils_preprocess.py), sentences without text are dropped, and U+200C and spaces are removed from forms.

    Args:
        path: a ``.conllu`` file, optionally gzipped.
        precedence: tags in order of precedence, for multiword tokens whose words are equally high in the tree.

    Raises:
        DataError: the file is not CoNLL-U, or is truncated; the message gives the line.
    """
    count = 0
    for sentence in read_sentences(path):
        count += 1
        tokens, tags = fuse(sentence, precedence)
        withheld = tokens.count("_")
        if withheld == 0 or withheld < len(tokens) - 1:
            # A form that is only U+200C would become an empty line in the official file and end the sentence there.
            # "_" marks every other missing form in the file.
            yield [token.translate(_REMOVED) or "_" for token in tokens], tags
    if not count:
        raise DataError(f"{path}: holds no sentence. Fetch it again.")


def read_sentences(path: Path) -> Iterator[Sentence]:
    """Yield the sentences of a file as they are.

    Raises:
        DataError: as in `read`.
    """
    sentence = Sentence()
    for number, line in read_lines(path):
        sentence.end = number
        if not line.strip():
            if sentence.forms or sentence.ranges:
                yield _checked(sentence, path)
            sentence = Sentence()
        elif line.startswith("#"):
            sentence.comments = True
        else:
            _add(sentence, line.split("\t"), number, f"{path}: line {number}")
    if sentence.forms or sentence.ranges:
        yield _checked(sentence, path)
    elif sentence.comments:
        raise DataError(f"{path}: line {sentence.end}: the file ends before the words of a sentence. Fetch it again.")


def fuse(sentence: Sentence, precedence: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return the tokens and tags of a sentence; each multiword token becomes one token."""
    tokens: list[str] = []
    tags: list[str] = []
    done = 0
    for multiword in sentence.ranges:
        tokens += [*sentence.forms[done : multiword.first - 1], multiword.form]
        tags += [*sentence.tags[done : multiword.first - 1], sentence.tags[_head(sentence, multiword, precedence) - 1]]
        done = multiword.last
    return [token.strip() for token in [*tokens, *sentence.forms[done:]]], [*tags, *sentence.tags[done:]]


def _head(sentence: Sentence, multiword: Range, precedence: Sequence[str]) -> int:
    """Return the word whose tag a multiword token takes: the one with the fewest ancestors."""

    def rank(word: int) -> tuple[int, int]:
        tag = sentence.tags[word - 1]
        # The official script fails on a tag that is not in its list; here such a tag comes last.
        position = precedence.index(tag) if tag in precedence else len(precedence)
        return len(ancestors(sentence.heads, word)), position

    return min(range(multiword.first, multiword.last + 1), key=rank)


def ancestors(heads: Sequence[Collection[int]], word: int) -> set[int]:
    """Return the nodes from which a word (counted from 1) can be reached, without the word itself.

    >>> sorted(ancestors([{2}, {0}, {1, 3}], 3))
    [0, 1, 2]
    """
    reached: set[int] = set()
    pending = [word]
    while pending:
        node = pending.pop()
        new = set(heads[node - 1]) - reached if node else set()
        reached |= new
        pending += new
    return reached - {word}


def _add(sentence: Sentence, columns: Sequence[str], number: int, where: str) -> None:
    """Add the line of a word or a multiword token."""
    if len(columns) != _COLUMNS:
        raise DataError(
            f"{where}: found {len(columns)} columns, expected {_COLUMNS} with tabs between. Fetch it again."
        )
    name, form, tag, head, enhanced = (columns[index] for index in (0, 1, 3, 6, 8))
    match = _ID.fullmatch(name)
    if match is None:
        raise DataError(f"{where}: '{name[:40]}' is not the id of a word (3), a range (3-4) or an empty node (3.1).")
    expected = len(sentence.forms) + 1
    if match["word"]:
        if int(name) != expected:
            raise DataError(f"{where}: found the word {name}, expected {expected}: words count 1, 2, 3 and so on.")
        sentence.forms.append(form)
        sentence.tags.append(tag)
        sentence.heads.append(_heads(head, enhanced, where))
        sentence.lines.append(number)
    elif match["first"]:
        multiword = Range(int(match["first"]), int(match["last"]), form, number)
        _check_range(multiword, sentence, expected, where)
        sentence.ranges.append(multiword)


def _check_range(multiword: Range, sentence: Sentence, expected: int, where: str) -> None:
    name = f"{multiword.first}-{multiword.last}"
    if multiword.first > multiword.last:
        raise DataError(f"{where}: the range {name} ends before it begins.")
    if sentence.ranges and multiword.first <= sentence.ranges[-1].last:
        before = sentence.ranges[-1]
        raise DataError(f"{where}: the range {name} overlaps with {before.first}-{before.last}.")
    if multiword.first != expected:
        raise DataError(f"{where}: the range {name} must stand right before word {multiword.first}, not {expected}.")


def _heads(head: str, enhanced: str, where: str) -> set[int]:
    if head != "_" and not _is_number(head):
        raise DataError(f"{where}: HEAD is '{head[:40]}', expected the number of a word, 0 for the root, or '_'.")
    heads = [head, *(edge.partition(":")[0] for edge in enhanced.split("|"))]
    if long := next((node for node in heads if _is_number(node) and len(node) > _DIGITS), None):
        raise DataError(f"{where}: the head is '{long[:40]}', which is too long for the number of a word.")
    # Empty nodes (8.1) are not part of the tree, so they are not heads.
    return {int(node) for node in heads if _is_number(node)}


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdecimal()


def _checked(sentence: Sentence, path: Path) -> Sentence:
    """Return a finished sentence; raise DataError if it refers to words that it does not have."""
    count = len(sentence.forms)
    for line, heads in zip(sentence.lines, sentence.heads, strict=True):
        if max(heads, default=0) > count:
            raise DataError(
                f"{path}: line {line}: the head is word {max(heads)}, but the sentence has {count}. Fetch it again."
            )
    for multiword in sentence.ranges:
        if multiword.last > count:
            raise DataError(
                f"{path}: line {multiword.line}: the range {multiword.first}-{multiword.last} names missing words; the "
                f"sentence has {count}. Fetch it again."
            )
    return sentence
