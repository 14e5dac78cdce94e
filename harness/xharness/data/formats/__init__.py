"""Readers of original file formats (`READERS`), by name."""

from __future__ import annotations

import glob
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xharness.data.formats import ccgbank, conllu, retrieval
from xharness.data.formats.text import find_plain_or_gzip, read_lines, read_text
from xharness.errors import DataError

Row = dict[str, Any]


@dataclass(frozen=True)
class ReadOptions:
    """What a reader needs besides the files.

    Attributes:
        language: the two-letter code.
        precedence: CoNLL-U only: tags in order of precedence, for multiword tokens whose words are equally high.
    """

    language: str
    precedence: tuple[str, ...] = ()


def squad_json(path: Path) -> list[Row]:
    """Read a SQuAD v1.1 JSON file (XQuAD, MLQA and TyDiQA-GoldP as released): id, question, context, answers.

    Contexts are not stripped as in the Hub's copies, so ``answer_start`` is correct. A question of SQuAD 2.0 without an
    answer gets none; its plausible answers are not read.
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
    """Return whether a JSON file holds SQuAD's articles rather than rows."""
    try:
        content = json.loads(read_text(path))
    except (ValueError, RecursionError):
        return False
    return isinstance(content, dict) and isinstance(content.get("data"), list)


def tatoeba_lines(path: Path) -> list[Row]:
    """Read LASER's Tatoeba pair of files, ``<path>.<xxx>`` and ``<path>.eng``, one sentence per line: text, english.

    ``path`` is the common stem, such as ``tatoeba.deu-eng``.
    """
    sides = [path.with_name(f"{path.name}.{ending}") for ending in _tatoeba_endings(path)]
    texts, english = ([line for _, line in read_lines(find_plain_or_gzip(side) or side)] for side in sides)
    if len(texts) != len(english):
        raise DataError(f"{sides[0]} has {len(texts)} lines, {sides[1].name} has {len(english)}: fetch both again.")
    return [{"text": a, "english": b} for a, b in zip(texts, english, strict=True)]


def panx_tsv(path: Path) -> list[Row]:
    """Read WikiANN with the splits of Rahimi et al.: lines ``xx:token<TAB>tag``, a blank line after each sentence.

    The language prefix ends at the first colon, as in the official script.
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


def _conllu(path: Path, options: ReadOptions) -> Iterator[Row]:
    return ({"tokens": tokens, "tags": tags} for tokens, tags in conllu.read(path, options.precedence))


def _file_by_file(
    read: Callable[[Path, ReadOptions], Iterable[Row]],
) -> Callable[[Sequence[Path], ReadOptions], Iterator[Row]]:
    """Return a reader of several files, from a reader of one."""

    def read_all(paths: Sequence[Path], options: ReadOptions) -> Iterator[Row]:
        for path in paths:
            yield from read(path, options)

    return read_all


READERS: dict[str, Callable[[Sequence[Path], ReadOptions], Iterable[Row]]] = {
    "squad_json": _file_by_file(lambda path, _: squad_json(path)),
    "tatoeba_lines": _file_by_file(lambda path, _: tatoeba_lines(path)),
    "panx_tsv": _file_by_file(lambda path, _: panx_tsv(path)),
    "conllu": _file_by_file(_conllu),
    "bucc_sentences": _file_by_file(lambda path, options: retrieval.bucc_sentences(path, options.language)),
    "bucc_english": _file_by_file(lambda path, _: retrieval.bucc_english(path)),
    "xquad_r_questions": _file_by_file(lambda path, _: retrieval.xquad_r_questions(path)),
    "xquad_r_sentences": _file_by_file(lambda path, options: retrieval.xquad_r_sentences(path, options.language)),
    "mewsli_mentions": lambda paths, options: retrieval.mewsli_mentions(retrieval.stored_rows(paths), options.language),
    "mewsli_entities": lambda paths, _: retrieval.mewsli_entities(retrieval.stored_rows(paths)),
    "ccgbank": _file_by_file(lambda path, _: ccgbank.read(path)),
}
"""Format -> reader of files, in the order of `find`, as plain rows."""


def _numbered(rows: Iterable[Row], where: str) -> Iterator[tuple[str, Row]]:
    return ((f"{where}: row {number}", row) for number, row in enumerate(rows, start=1))


FROM_ROWS: dict[str, Callable[[Iterable[Row], ReadOptions, str], Iterable[Row]]] = {
    "mewsli_mentions": lambda rows, options, where: retrieval.mewsli_mentions(_numbered(rows, where), options.language),
    "mewsli_entities": lambda rows, _, where: retrieval.mewsli_entities(_numbered(rows, where)),
}
"""Format -> converter of nested rows, from a file or the Hub, to plain rows; takes the location for messages."""

STEM_FORMATS = ("tatoeba_lines", "bucc_sentences", "bucc_english")
"""Formats whose pattern is the common stem of several file names."""


def patterns(pattern: str, format: str) -> list[str]:
    """Return the patterns of the files that a reader of a format opens; they may contain ``*``."""
    if format in STEM_FORMATS:
        return [f"{pattern}.*"]
    return [pattern] if pattern.endswith(".gz") else [pattern, f"{pattern}.gz"]


def find(root: Path, pattern: str, format: str) -> list[Path]:
    """Return the files below a folder that a reader opens, sorted by name; [] if one is missing.

    Args:
        root: the folder.
        pattern: a spec's ``raw`` with placeholders filled; ``*`` matches any part of a name. Every file may also have
            ``.gz`` after its name. CCGbank: its folder and the split.
        format: a key of `READERS`; if the pattern is a stem, the stem is returned if its files exist.
    """
    if format == "ccgbank":
        path = root / pattern
        return ccgbank.find(path.parent, path.name)
    if format in STEM_FORMATS:
        stem = root / pattern
        return [stem] if all(find_plain_or_gzip(path) for path in _parts(stem, format)) else []
    globs = [glob.escape(name).replace("[*]", "*") for name in patterns(pattern, format)]
    existing = {path for name in globs for path in root.glob(name) if path.is_file() and not _is_hidden(path, root)}
    # A file that exists with and without .gz is read once, without.
    by_name = {str(path).removesuffix(".gz"): path for path in sorted(existing, key=lambda path: path.suffix != ".gz")}
    return sorted(by_name.values(), key=lambda path: (path.name.removesuffix(".gz"), path))


def _is_hidden(path: Path, root: Path) -> bool:
    # Incomplete files and downloads have hidden names.
    return any(part.startswith(".") for part in path.relative_to(root).parts)


def _parts(stem: Path, format: str) -> list[Path]:
    if format == "tatoeba_lines":
        endings = _tatoeba_endings(stem)
    else:
        # The names begin with the language pair (zh-en.dev).
        endings = ["en"] if format == "bucc_english" else [stem.name.split("-")[0], "en", "gold"]
    return [stem.with_name(f"{stem.name}.{ending}") for ending in endings]


def _tatoeba_endings(stem: Path) -> list[str]:
    return [stem.name.split(".")[-1].split("-")[0], "eng"]
