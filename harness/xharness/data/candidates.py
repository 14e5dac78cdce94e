"""Candidate pools of mining and ranking tasks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from xharness.data.convert import candidate_converter
from xharness.data.examples import Candidate, data_hash
from xharness.data.lazy import Examples, Joined
from xharness.data.sources import check_columns, choose, open_table, where_of
from xharness.errors import DataError
from xharness.tasks.dataset_spec import Split
from xharness.tasks.task_spec import TaskSpec


@dataclass(frozen=True)
class Pool:
    """The candidates that queries are answered from.

    Attributes:
        candidates: in a fixed order, read from disk as they are asked for.
        ids: their ids, in that order.
        answers: query id -> ids of the candidates that say they answer it; {} where the queries say it themselves.
        hash: SHA-256 over all candidates.
        expected_n: candidates of the complete pool, None where not known for sure.
        missing: languages whose candidates are not there.
        parts: how many candidates, in order, each source held: those of a language, where languages have their own.
    """

    candidates: Sequence[Candidate]
    ids: tuple[str, ...]
    answers: dict[str, tuple[str, ...]]
    hash: str
    expected_n: int | None
    missing: tuple[str, ...] = ()
    parts: tuple[int, ...] = ()


# The pool of a task is read once for all its languages. By folder and spec, as a session reads one state of the data.
_POOLS: dict[tuple[str, str, Split, str], Pool] = {}


def clear_cache() -> None:
    """Let go of all pools, before data is read that may have changed."""
    _POOLS.clear()


def load_pool(spec: TaskSpec, language: str, split: Split, data_dir: Path | None = None) -> Pool:
    """Return the candidates that the queries of a language are answered from.

    Raises:
        DataError: they are missing, cannot be read, or two have one id.
    """
    assert spec.candidates is not None
    shared = spec.candidates.scope == "task"
    key = (spec.hash, "" if shared else language, split, str(data_dir))
    if key not in _POOLS:
        if not shared:  # of BUCC's corpora those of one language are needed at a time
            for other in [known for known in _POOLS if known[:2] != key[:2]]:
                del _POOLS[other]
        _POOLS[key] = _read_pool(spec, list(spec.languages) if shared else [language], split, data_dir)
    return _POOLS[key]


def _read_pool(spec: TaskSpec, languages: Sequence[str], split: Split, data_dir: Path | None) -> Pool:
    assert spec.candidates is not None
    wanted = spec.candidates
    candidates: list[Sequence[Candidate]] = []
    ids: dict[str, None] = {}
    answers: dict[str, list[str]] = {}
    missing: list[str] = []
    read: set[str] = set()
    problem: DataError | None = None
    for language in languages:
        try:
            source = choose(spec, wanted.sources, language, split, data_dir)
        except DataError as error:
            problem = error
            missing.append(language)
            continue
        where = where_of(spec, source, language, split)
        if where in read:  # one file for all languages
            continue
        read.add(where)
        table, _ = open_table(spec, source, language, split, data_dir)
        columns: dict[str, str] = {**{str(k): v for k, v in wanted.fields.items()}, **source.fields}
        if source.format != "hub":
            columns = {str(name): str(name) for name in wanted.fields}
        check_columns(spec, columns, table.column_names, where)
        part = Examples(table, candidate_converter(spec, columns, where))
        for piece in range(0, len(table), Examples.PIECE):
            rows = table[piece : piece + Examples.PIECE]
            for place, identity in enumerate(map(str, rows[columns["id"]])):
                if identity in ids:
                    raise DataError(f"{spec.name}: {where} holds the id '{identity}' twice.")
                ids[identity] = None
                for query in rows[columns["answers"]][place] if "answers" in columns else ():
                    answers.setdefault(str(query), []).append(identity)
        candidates.append(part)
    if problem is not None and not candidates:
        raise problem
    joined = Joined(candidates)
    sizes = tuple(map(len, candidates))
    known = {query: tuple(matching) for query, matching in answers.items()}
    return Pool(joined, tuple(ids), known, data_hash(joined), _expected(spec, split), tuple(missing), sizes)


def _expected(spec: TaskSpec, split: Split) -> int | None:
    assert spec.candidates is not None
    return spec.candidates.expected.get(split) if split != "train" else None
