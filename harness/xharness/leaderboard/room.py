"""How much a prediction file may hold: as much as its gold data asks for, so that reading it takes little memory."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

_SPARE = 1_000
_LINES = {"classification": 1, "multiple_choice": 1, "retrieval": 1, "mining": 60}
"""Kind -> lines for each one of the gold data. A bad system may find a pair for every sentence of the corpus."""
_MARKS = {
    "span_qa": {b'"': 20, b"[": 20, b"{": 20, b",": 200},
    "ranking": {b'"': 250, b"[": 4, b"{": 4, b",": 300},
}
"""Kind -> what strings, lists and objects are made of -> how many of it there may be for each question."""


def problem_of(kind: str, golds: Collection[Any], content: bytes) -> str | None:
    """Return why a file is too much to be the predictions for some gold data; None if it is not.

    A few bytes of JSON become many of memory, so this is looked at before anything is made of them.

    Args:
        kind: of the task, one of ``predictions.FORMATS``.
        golds: as ``scoring.gold`` gives them.
        content: of the file, not packed.
    """
    if kind in _MARKS:
        for mark, share in _MARKS[kind].items():
            found, most = content.count(mark), share * len(golds) + _SPARE
            if found > most:
                return f"{found:,} times {mark.decode()} stand there; predictions for {len(golds):,} need fewer"
        return None
    lines = len(golds) + sum(map(len, golds)) if kind == "tagging" else _LINES[kind] * len(golds)
    found = content.count(b"\n")
    return None if found <= lines + _SPARE else f"{found:,} lines stand there; at most {lines + _SPARE:,} are read"
