"""Read CCGbank's .auto files, or tables of words and supertags."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from xharness.data.formats.text import read_lines
from xharness.errors import DataError

Row = dict[str, Any]

# The usual division: trained on sections 02 to 21, developed on 00, tested on 23.
SECTIONS: dict[str, tuple[str, ...]] = {
    "train": tuple(f"{number:02}" for number in range(2, 22)),
    "dev": ("00",),
    "test": ("23",),
}
LONGEST = 1000
"""Words of a sentence, above which a file lacks the lines between sentences."""
_LEAF = re.compile(r"\(<L (\S+) \S+ \S+ (\S+) \S+>\)")
_TABLES = ("{split}.tsv", "{split}.txt", "ccg.{split}.tsv", "ccg.{split}.txt")


def find(folder: Path, split: str) -> list[Path]:
    """Return the files of a split (``train``, ``dev``, ``test``) anywhere below a folder; [] if there are none.

    Those are ``AUTO/<section>/*.auto`` of the LDC's layout; else a table that is called ``train.tsv``,
    ``ccg.train.tsv`` or the same with ``.txt``. Each may also be there with ``.gz`` after its name.
    """
    sections = [p for section in SECTIONS.get(split, ()) for p in _below(folder, f"**/AUTO/{section}/*.auto")]
    if sections:
        return sections
    return next((paths for name in _TABLES if (paths := _below(folder, f"**/{name.format(split=split)}"))), [])


def _below(folder: Path, pattern: str) -> list[Path]:
    there = [path for each in (pattern, f"{pattern}.gz") for path in folder.glob(each) if path.is_file()]
    seen = {str(path).removesuffix(".gz"): path for path in reversed(there)}
    return [seen[name] for name in sorted(seen)]


def read(path: Path) -> Iterator[Row]:
    """Yield the sentences of a file: tokens, tags (supertags).

    What the file is, its content tells: trees of CCGbank; a sentence a line, ``words<TAB>supertags`` with blanks
    between; or a word a line, ``word<TAB>supertag``, with a blank line after each sentence. Words stay as they are
    written (``-LRB-``).

    Raises:
        DataError: the file is none of them, or a line is not like the others.
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
        leaves = _LEAF.findall(line)
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
            if len(sentence["tags"]) > LONGEST:
                raise DataError(f"{path}: line {number}: no sentence is this long; expected a blank line after each.")
        elif sentence["tokens"]:
            yield sentence
            sentence = {"tokens": [], "tags": []}
