"""Original file formats that the Hub's loaders do not read, each turned into plain rows."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from xharness.errors import DataError

Row = dict[str, Any]


def _lines(path: Path) -> list[str]:
    # Split at line feeds only: other Unicode line breaks are part of the text.
    return [line.removesuffix("\r") for line in _text(path).removesuffix("\n").split("\n")]


def _text(path: Path) -> str:
    try:
        raw = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        return raw.decode("utf-8-sig")
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read: {error}. Fetch it again.") from None


def squad_json(path: Path) -> list[Row]:
    """Read a SQuAD v1.1 JSON file (XQuAD, MLQA and TyDiQA-GoldP as released): id, question, context, answers.

    Contexts are kept as they are, not stripped as in the Hub's copies, so ``answer_start`` holds.
    """
    try:
        content = json.loads(_text(path))
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
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path}: not in SQuAD's JSON format ({type(error).__name__}: {error}).") from None


def tatoeba_lines(path: Path) -> list[Row]:
    """Read LASER's Tatoeba pair of files, ``<path>.<xxx>`` and ``<path>.eng``, one sentence a line: text, english.

    ``path`` is the common stem, ``tatoeba.deu-eng``.
    """
    code = path.name.split(".")[-1].split("-")[0]
    texts = _lines(path.with_name(f"{path.name}.{code}"))
    english = _lines(path.with_name(f"{path.name}.eng"))
    if len(texts) != len(english):
        raise DataError(f"{path}.{code} has {len(texts)} lines, {path.name}.eng has {len(english)}: fetch both again.")
    return [{"text": a, "english": b} for a, b in zip(texts, english, strict=True)]


def panx_tsv(path: Path) -> list[Row]:
    """Read WikiANN as split by Rahimi et al.: lines ``xx:token<TAB>tag``, a blank line after each sentence.

    The language prefix ends at the first colon, as the official script cuts it.
    """
    rows: list[Row] = []
    tokens: list[str] = []
    tags: list[str] = []
    for number, line in enumerate([*_lines(path), ""], start=1):
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


READERS: dict[str, Callable[[Path], list[Row]]] = {
    "squad_json": squad_json,
    "tatoeba_lines": tatoeba_lines,
    "panx_tsv": panx_tsv,
}


def exists(path: Path, format: str) -> Path | None:
    """Return the file that a reader would open for ``path`` (also as ``.gz``), or None."""
    if format == "tatoeba_lines":
        code = path.name.split(".")[-1].split("-")[0]
        both = [path.with_name(f"{path.name}.{c}") for c in (code, "eng")]
        return path if all(p.is_file() for p in both) else None
    return next((p for p in (path, path.with_name(path.name + ".gz")) if p.is_file()), None)
