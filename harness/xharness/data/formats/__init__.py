"""Readers of original file formats (`READERS`), by name."""

from __future__ import annotations

import glob
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xharness.data.formats import ccgbank, conllu, retrieval
from xharness.data.formats.text import present, read_lines, read_text
from xharness.errors import DataError

Row = dict[str, Any]


@dataclass(frozen=True)
class Asked:
    """What a reader needs to know beside the files.

    Attributes:
        language: the two-letter code.
        precedence: CoNLL-U only: tags, the first of which a fused word gets where its parts are equally high.
    """

    language: str
    precedence: tuple[str, ...] = ()


def squad_json(path: Path) -> list[Row]:
    """Read a SQuAD v1.1 JSON file (XQuAD, MLQA and TyDiQA-GoldP as released): id, question, context, answers.

    Contexts are kept as they are, not stripped as in the Hub's copies, so ``answer_start`` holds. A question of SQuAD
    2.0 that has no answer gets none; its plausible answers are not read.
    """
    try:
        content = json.loads(read_text(path))
        return [
            {
                "id": qa["id"],
                "question": qa["question"],
                "context": paragraph["context"],
                "answers": {
                    "text": [a["text"] for a in qa["answers"]],
                    "answer_start": [a["answer_start"] for a in qa["answers"]],
                },
            }
            for article in content["data"]
            for paragraph in article["paragraphs"]
            for qa in paragraph["qas"]
        ]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise DataError(f"{path}: not in SQuAD's JSON format ({type(error).__name__}: {error}).") from None


def is_squad_json(path: Path) -> bool:
    """Whether a JSON file holds SQuAD's articles, and not rows."""
    try:
        content = json.loads(read_text(path))
    except (ValueError, RecursionError):
        return False
    return isinstance(content, dict) and isinstance(content.get("data"), list)


def tatoeba_lines(path: Path) -> list[Row]:
    """Read LASER's Tatoeba pair of files, ``<path>.<xxx>`` and ``<path>.eng``, one sentence a line: text, english.

    ``path`` is the common stem, ``tatoeba.deu-eng``.
    """
    sides = [path.with_name(f"{path.name}.{ending}") for ending in _tatoeba_endings(path)]
    texts, english = ([line for _, line in read_lines(present(side) or side)] for side in sides)
    if len(texts) != len(english):
        raise DataError(f"{sides[0]} has {len(texts)} lines, {sides[1].name} has {len(english)}: fetch both again.")
    return [{"text": a, "english": b} for a, b in zip(texts, english, strict=True)]


def panx_tsv(path: Path) -> list[Row]:
    """Read WikiANN as split by Rahimi et al.: lines ``xx:token<TAB>tag``, a blank line after each sentence.

    The language prefix ends at the first colon, as the official script cuts it.
    """
    rows: list[Row] = []
    tokens: list[str] = []
    tags: list[str] = []
    for number, line in [*read_lines(path), (0, "")]:
        if not line.strip():
            if tokens:
                rows.append({"tokens": tokens, "tags": tags})
                tokens, tags = [], []
            continue
        word, tab, tag = line.partition("\t")
        _, colon, token = word.partition(":")
        if not tab or not colon:
            raise DataError(f"{path}: line {number}: expected 'xx:token<TAB>tag', found {line[:80]!r}.")
        tokens.append(token.strip())
        tags.append(tag.strip())
    return rows


def _conllu(path: Path, asked: Asked) -> Iterator[Row]:
    return ({"tokens": tokens, "tags": tags} for tokens, tags in conllu.read(path, asked.precedence))


def _each(read: Callable[[Path, Asked], Iterable[Row]]) -> Callable[[Sequence[Path], Asked], Iterator[Row]]:
    """Return the reader of several files whose rows follow one another."""

    def read_all(paths: Sequence[Path], asked: Asked) -> Iterator[Row]:
        for path in paths:
            yield from read(path, asked)

    return read_all


READERS: dict[str, Callable[[Sequence[Path], Asked], Iterable[Row]]] = {
    "squad_json": _each(lambda path, _: squad_json(path)),
    "tatoeba_lines": _each(lambda path, _: tatoeba_lines(path)),
    "panx_tsv": _each(lambda path, _: panx_tsv(path)),
    "conllu": _each(_conllu),
    "bucc_sentences": _each(lambda path, asked: retrieval.bucc_sentences(path, asked.language)),
    "bucc_english": _each(lambda path, _: retrieval.bucc_english(path)),
    "xquad_r_questions": _each(lambda path, _: retrieval.xquad_r_questions(path)),
    "xquad_r_sentences": _each(lambda path, asked: retrieval.xquad_r_sentences(path, asked.language)),
    "mewsli_mentions": lambda paths, asked: retrieval.mewsli_mentions(retrieval.stored_rows(paths), asked.language),
    "mewsli_entities": lambda paths, _: retrieval.mewsli_entities(retrieval.stored_rows(paths)),
    "ccgbank": _each(lambda path, _: ccgbank.read(path)),
}
"""Format -> what reads files, in the order in which `find` gives them, as plain rows."""


def _numbered(rows: Iterable[Row], where: str) -> Iterator[tuple[str, Row]]:
    return ((f"{where}: row {number}", row) for number, row in enumerate(rows, start=1))


FROM_ROWS: dict[str, Callable[[Iterable[Row], Asked, str], Iterable[Row]]] = {
    "mewsli_mentions": lambda rows, asked, where: retrieval.mewsli_mentions(_numbered(rows, where), asked.language),
    "mewsli_entities": lambda rows, _, where: retrieval.mewsli_entities(_numbered(rows, where)),
}
"""Format -> what turns rows as they are stored, in a file or on the Hub, into plain rows; takes where, for messages."""

STEMS = ("tatoeba_lines", "bucc_sentences", "bucc_english")
"""Formats whose pattern is what the names of several files have in common."""


def patterns(pattern: str, format: str) -> list[str]:
    """Return the patterns of the files that a reader of a format opens; ``*`` may stand in each."""
    if format in STEMS:
        return [f"{pattern}.*"]
    return [pattern] if pattern.endswith(".gz") else [pattern, f"{pattern}.gz"]


def find(root: Path, pattern: str, format: str) -> list[Path]:
    """Return the files that a reader would open below a folder, sorted by name; [] if one is missing.

    Args:
        root: the folder.
        pattern: a spec's ``raw``, already filled; ``*`` stands for any part of a name. Every file may also be there
            with ``.gz`` after its name. CCGbank: the folder that holds it, and the split.
        format: a key of `READERS`; for those whose pattern is a stem, the stem is returned if its files are there.
    """
    if format == "ccgbank":
        place = root / pattern
        return ccgbank.find(place.parent, place.name)
    if format in STEMS:
        stem = root / pattern
        return [stem] if all(present(path) for path in _parts(stem, format)) else []
    globs = [glob.escape(each).replace("[*]", "*") for each in patterns(pattern, format)]
    there = {path for each in globs for path in root.glob(each) if path.is_file() and not _is_hidden(path, root)}
    # A file that is there in both ways is read once, as it is without .gz.
    by_name = {str(path).removesuffix(".gz"): path for path in sorted(there, key=lambda path: path.suffix != ".gz")}
    return sorted(by_name.values(), key=lambda path: (path.name.removesuffix(".gz"), path))


def _is_hidden(path: Path, root: Path) -> bool:
    # Half-written files, and downloads, have such names.
    return any(part.startswith(".") for part in path.relative_to(root).parts)


def _parts(stem: Path, format: str) -> list[Path]:
    if format == "tatoeba_lines":
        endings = _tatoeba_endings(stem)
    else:
        # The names begin with the pair of languages (zh-en.dev).
        endings = ["en"] if format == "bucc_english" else [stem.name.split("-")[0], "en", "gold"]
    return [stem.with_name(f"{stem.name}.{ending}") for ending in endings]


def _tatoeba_endings(stem: Path) -> list[str]:
    return [stem.name.split(".")[-1].split("-")[0], "eng"]
