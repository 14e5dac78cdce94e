"""Candidate pools of mining and ranking tasks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from xharness.data.convert import candidate_converter
from xharness.data.examples import Candidate, data_hash
from xharness.data.lazy import Concatenated, Examples
from xharness.data.sources import check_columns, choose_source, describe_source, open_table
from xharness.errors import DataError
from xharness.tasks.source_spec import Split
from xharness.tasks.task_spec import TaskSpec


@dataclass(frozen=True)
class Pool:
    """The candidates that queries are matched with.

    Attributes:
        candidates: in a fixed order, read from disk on access.
        ids: their ids, in that order.
        answers: query id -> ids of its correct candidates; {} if the queries name their candidates themselves.
        hash: SHA-256 over all candidates.
        expected_n: number of candidates in the complete pool; None if not confirmed.
        missing: languages without candidate data.
        parts: number of candidates from each source, in order; one source per language, if languages have their own.
    """

    candidates: Sequence[Candidate]
    ids: tuple[str, ...]
    answers: dict[str, tuple[str, ...]]
    hash: str
    expected_n: int | None
    missing: tuple[str, ...] = ()
    parts: tuple[int, ...] = ()


# A task-wide pool is read once for all languages. The key has no data hash: data must not change within a session.
_POOLS: dict[tuple[str, str, Split, str], Pool] = {}


def clear_cache() -> None:
    """Drop all cached pools, before data is read that may have changed."""
    _POOLS.clear()


def load_pool(spec: TaskSpec, language: str, split: Split, data_dir: Path | None = None) -> Pool:
    """Return the candidates for the queries of a language.

    Raises:
        DataError: they are missing, cannot be read, or an id occurs twice.
    """
    assert spec.candidates is not None
    shared = spec.candidates.scope == "task"
    key = (spec.hash, "" if shared else language, split, str(data_dir))
    if key not in _POOLS:
        if not shared:  # BUCC: only the corpus of one language is needed at a time
            for other in [cached for cached in _POOLS if cached[:2] != key[:2]]:
                del _POOLS[other]
        _POOLS[key] = _read_pool(spec, list(spec.languages) if shared else [language], split, data_dir)
    return _POOLS[key]


def _read_pool(spec: TaskSpec, languages: Sequence[str], split: Split, data_dir: Path | None) -> Pool:
    assert spec.candidates is not None
    candidate_spec = spec.candidates
    candidates: list[Sequence[Candidate]] = []
    ids: dict[str, None] = {}
    answers: dict[str, list[str]] = {}
    missing: list[str] = []
    read: set[str] = set()
    problem: DataError | None = None
    for language in languages:
        try:
            source = choose_source(spec, candidate_spec.sources, language, split, data_dir)
        except DataError as error:
            problem = error
            missing.append(language)
            continue
        where = describe_source(spec, source, language, split)
        if where in read:  # one file holds all languages
            continue
        read.add(where)
        table, _ = open_table(spec, source, language, split, data_dir)
        columns: dict[str, str] = {**{str(k): v for k, v in candidate_spec.fields.items()}, **source.fields}
        if source.format != "hub":
            columns = {str(name): str(name) for name in candidate_spec.fields}
        check_columns(spec, columns, table.column_names, where)
        part = Examples(table, candidate_converter(spec, columns, where))
        for begin in range(0, len(table), Examples.CHUNK_ROWS):
            rows = table[begin : begin + Examples.CHUNK_ROWS]
            for row, identity in enumerate(map(str, rows[columns["id"]])):
                if identity in ids:
                    raise DataError(f"{spec.name}: {where} holds the id '{identity}' twice.")
                ids[identity] = None
                for query in rows[columns["answers"]][row] if "answers" in columns else ():
                    answers.setdefault(str(query), []).append(identity)
        candidates.append(part)
    if problem is not None and not candidates:
        raise problem
    all_candidates = Concatenated(candidates)
    return Pool(
        all_candidates,
        tuple(ids),
        {query: tuple(matching) for query, matching in answers.items()},
        data_hash(all_candidates),
        _expected(spec, split),
        tuple(missing),
        tuple(map(len, candidates)),
    )


def _expected(spec: TaskSpec, split: Split) -> int | None:
    assert spec.candidates is not None
    return spec.candidates.expected.get(split) if split != "train" else None
