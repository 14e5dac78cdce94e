"""Read CCGbank's .auto files, or tables of words and supertags."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from xharness.data.formats.text import read_lines
from xharness.errors import DataError

Row = dict[str, Any]

# The standard splits: train on sections 02 to 21, develop on 00, test on 23.
SECTIONS: dict[str, tuple[str, ...]] = {
    "train": tuple(f"{number:02}" for number in range(2, 22)),
    "dev": ("00",),
    "test": ("23",),
}
MAX_WORDS = 1000
"""A longer sentence means that the blank lines between sentences are missing."""
_TREE_LEAF = re.compile(r"\(<L (\S+) \S+ \S+ (\S+) \S+>\)")
_TABLE_NAMES = ("{split}.tsv", "{split}.txt", "ccg.{split}.tsv", "ccg.{split}.txt")


def find(folder: Path, split: str) -> list[Path]:
    """Return the files of a split (``train``, ``dev``, ``test``) anywhere below a folder; [] if there are none.

    These are ``AUTO/<section>/*.auto`` in the layout of the LDC, otherwise a table named ``train.tsv`` or
    ``ccg.train.tsv``, or the same with ``.txt``. Each may also have ``.gz`` after its name.
    """
    sections = [p for section in SECTIONS.get(split, ()) for p in _below(folder, f"**/AUTO/{section}/*.auto")]
    if sections:
        return sections
    return next((paths for name in _TABLE_NAMES if (paths := _below(folder, f"**/{name.format(split=split)}"))), [])


def _below(folder: Path, pattern: str) -> list[Path]:
    existing = [path for glob in (pattern, f"{pattern}.gz") for path in folder.glob(glob) if path.is_file()]
    by_name = {str(path).removesuffix(".gz"): path for path in reversed(existing)}
    return [by_name[name] for name in sorted(by_name)]


def read(path: Path) -> Iterator[Row]:
    """Yield the sentences of a file: tokens, tags (supertags).

    The format is detected from the content: trees of CCGbank; one sentence per line, ``words<TAB>supertags``, both
    separated by spaces; or one word per line, ``word<TAB>supertag``, with a blank line after each sentence. Words are
    not changed (``-LRB-``).

    Raises:
        DataError: the file has none of these formats, or a line differs from the others.
    """
    lines = [(number, line) for number, line in read_lines(path) if line.strip()]
    if not lines:
        raise DataError(f"{path}: the file is empty.")
    if lines[0][1].startswith(("ID=", "(<")):
        return _trees(path, lines)
    if any(" " in cell.strip() for _, line in lines for cell in line.split("\t")):
        return _sentences(path, lines)
    return _words(path)


def _trees(path: Path, lines: list[tuple[int, str]]) -> Iterator[Row]:
    for number, line in lines:
        if line.startswith("ID="):
            continue
        leaves = _TREE_LEAF.findall(line)
        if not leaves or len(leaves) != line.count("(<L "):
            raise DataError(
                f"{path}: line {number}: expected a tree of CCGbank with leaves "
                f"'(<L category tag tag word category>)', found {line[:80]!r}."
            )
        yield {"tokens": [word for _, word in leaves], "tags": [category for category, _ in leaves]}


def _sentences(path: Path, lines: list[tuple[int, str]]) -> Iterator[Row]:
    for number, line in lines:
        cells = [cell.split() for cell in line.split("\t")]
        if len(cells) != 2 or len(cells[0]) != len(cells[1]):
            counts = " and ".join(str(len(cell)) for cell in cells)
            raise DataError(
                f"{path}: line {number}: expected words, a tab and as many supertags, found {counts} between tabs in "
                f"{line[:80]!r}."
            )
        yield {"tokens": cells[0], "tags": cells[1]}


def _words(path: Path) -> Iterator[Row]:
    sentence: Row = {"tokens": [], "tags": []}
    for number, line in [*read_lines(path), (0, "")]:
        if line.strip():
            word, tab, tag = line.strip().partition("\t")
            if not tab or "\t" in tag:
                raise DataError(f"{path}: line {number}: expected 'word<TAB>supertag', found {line[:80]!r}.")
            sentence["tokens"].append(word)
            sentence["tags"].append(tag)
            if len(sentence["tags"]) > MAX_WORDS:
                raise DataError(f"{path}: line {number}: no sentence is this long; expected a blank line after each.")
        elif sentence["tokens"]:
            yield sentence
            sentence = {"tokens": [], "tags": []}
