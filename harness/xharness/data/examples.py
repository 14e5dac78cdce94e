"""Example types (Pair, Tagged, Question ...) and the hash of a data set."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields


@dataclass(frozen=True, slots=True)
class Pair:
    """Two texts and their label (XNLI: premise and hypothesis; PAWS-X: two sentences)."""

    id: str
    text_a: str
    text_b: str
    label: str


@dataclass(frozen=True, slots=True)
class Tagged:
    """A sentence as words, with one tag per word (PAN-X: IOB2, UDPOS: UPOS)."""

    id: str
    tokens: tuple[str, ...]
    tags: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Question:
    """A question on a context; ``context[start : start + len(text)] == text`` for every answer."""

    id: str
    question: str
    context: str
    answers: tuple[str, ...]
    starts: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Bitext:
    """A sentence and its English translation; its index in the data is the gold label of retrieval."""

    id: str
    text: str
    english: str


@dataclass(frozen=True, slots=True)
class Choice:
    """A text with a question on it, and several choices, one of which is correct (XCOPA, COPA, Social IQa)."""

    id: str
    context: str
    question: str
    choices: tuple[str, ...]
    label: str


@dataclass(frozen=True, slots=True)
class Query:
    """A text with the ids of its correct candidates: none, one or many.

    BUCC: a sentence and its translations; Mewsli-X: a mention and its entity; LAReQA: a question and the sentences
    that contain its answer, in all languages.
    """

    id: str
    text: str
    targets: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Candidate:
    """A text that queries are matched with."""

    id: str
    text: str


Example = Pair | Choice | Tagged | Question | Bitext | Query | Candidate


def data_hash(examples: Iterable[Example]) -> str:
    """Return the SHA-256 that identifies data: over the examples in order, one canonical JSON line each.

    It depends only on the content, not on the file format, the column names or the source.
    """
    digest = hashlib.sha256()
    for example in examples:
        # asdict would copy every value, and the check of a leaderboard hashes half a million examples.
        record = {"kind": type(example).__name__, **{f.name: getattr(example, f.name) for f in fields(example)}}
        line = json.dumps(record, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
        digest.update(line.encode("utf-8", "surrogatepass"))
        digest.update(b"\n")
    return digest.hexdigest()


def english_order(examples: Sequence[Bitext]) -> list[int]:
    """Return the indices of the pairs in the official order of Tatoeba's predictions.

    The English side is shuffled by sorting the stripped sentences by code point, stably, so that a line's number
    does not give the answer away (google-research/xtreme, utils_preprocess.py).
    """
    english = [e.english.strip() for e in examples]
    return sorted(range(len(english)), key=english.__getitem__)
