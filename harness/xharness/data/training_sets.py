"""Training examples of one or more languages: sampling, few-shot draws, user files.

Nothing is held in memory but the numbers of the rows that were drawn. Texts that are too long are not cut here.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from xharness.data import loading, user_files
from xharness.data.examples import Example, Pair
from xharness.data.lazy import Chosen, Joined, Places
from xharness.errors import DataError, UsageError, did_you_mean
from xharness.tasks.registry import parts_of
from xharness.tasks.task_spec import TrainingSpec

TRANSLATED = "machine-translated"
OWN_FILE = "own file"
"""Origin of examples that the user named a file for; nobody says whether they were translated."""


@dataclass(frozen=True)
class Part:
    """What training data has from one training set in one language.

    Attributes:
        task: name of the training set; of a joined set that of the member.
        language: its code.
        split: the split's name in the data.
        n: examples that were taken.
        available: examples to take from.
        hash: of all that are available (examples.data_hash).
        source: the data set on the Hub, the raw file, or the name of the user's own file.
        revision: the Hub's sha; None for files.
        status: ``complete``, ``sample``, ``stand-in`` or ``unknown``.
        origin: ``native``, ``machine-translated`` or ``own file``.
        counts: rows that were left out, and answers that were moved (see data.Data).
    """

    task: str
    language: str
    split: str
    n: int
    available: int
    hash: str
    source: str
    revision: str | None
    status: str
    origin: str
    counts: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class TrainingData:
    """The examples that a task is trained on, or that its training is watched on.

    Attributes:
        examples: language after language, of each member after member; read from disk as they are asked for.
        hash: 12 hex digits; of the data of all parts, their order, and which of it was drawn.
        parts: what they are made of, in the same order.
        counts: rows left out (``unlabelled``, ``empty``) and answers moved, over all parts.
    """

    examples: Sequence[Example]
    hash: str
    parts: tuple[Part, ...]
    counts: dict[str, int]

    def __len__(self) -> int:
        return len(self.examples)


@dataclass(frozen=True)
class _Pool:
    """All examples of one language, and the parts that they are made of."""

    language: str
    examples: Sequence[Example]
    parts: tuple[Part, ...]


def load_train(
    spec: TrainingSpec,
    data_dir: Path | None,
    *,
    languages: Sequence[str] = ("en",),
    files: Mapping[str, Path] | None = None,
    n: int | None = None,
    shots: int | None = None,
    seed: int = 0,
) -> TrainingData:
    """Return the examples that a task is trained on.

    Args:
        spec: the training set.
        data_dir: folder with data; None: the Hub.
        languages: source languages; each is read from the user's file where ``files`` has one, else from the spec.
        files: language -> file of the user's own, as ``data.load_file`` reads it.
        n: examples of each language, drawn without replacement; None: all. A smaller draw is part of a larger one.
        shots: examples of each label in each language (classification), or of each language (other kinds).
        seed: of the draw. It depends on the data, the seed and nothing else.

    Raises:
        UsageError: a language that the set does not have, both ``n`` and ``shots``, or one that is not above 0.
        DataError: data is missing or wrong, or a language has fewer examples than are to be drawn.
    """
    if n is not None and shots is not None:
        raise UsageError("--train-n and --shots cannot be used together: give one of them.")
    for flag, value in (("--train-n", n), ("--shots", shots)):
        if value is not None and value < 1:
            raise UsageError(f"{flag}: found {value}, expected a number above 0.")
    files = files or {}
    _check_asked(spec, languages, files)
    pools = _pools(spec, data_dir, "train", languages, files)
    if n is not None:
        too_small = [f"{len(pool.examples):,} in '{pool.language}'" for pool in pools if len(pool.examples) < n]
        if too_small:
            raise DataError(
                f"{spec.name}: --train-n {n} asks for as many examples of each language; there are only "
                f"{' and '.join(too_small)}."
            )
        return _data(pools, [_drawn(pool, seed, n) for pool in pools])
    if shots is not None:
        return _data(pools, [_shots(spec, pool, seed, shots) for pool in pools])
    return _data(pools, [None for _ in pools])


def load_dev(
    spec: TrainingSpec,
    data_dir: Path | None,
    *,
    languages: Sequence[str] = ("en",),
    files: Mapping[str, Path] | None = None,
    limit: int | None,
    seed: int = 0,
) -> TrainingData | None:
    """Return the examples that training is watched on; None where there are none in these languages that may be used.

    Args:
        spec: the training set.
        data_dir: folder with data; None: the Hub.
        languages: as for ``load_train``.
        files: language -> file of the user's own with development examples. A file with training examples brings
            none: languages that only such a file has are left out here.
        limit: examples in all, the same for every model and as even over the languages as their sizes allow; None: all.
        seed: of the draw; leave it as it is where scores are to be compared.

    Raises:
        UsageError: no language, a file for another one, or a limit that is not above 0.
        DataError: data is missing or wrong.
    """
    if limit is not None and limit < 1:
        raise UsageError(f"eval_examples: found {limit}, expected a number above 0.")
    files = files or {}
    _check_asked(spec, languages, files)
    members = parts_of(spec)
    known = _languages(members) if any(member.dev_split is not None for member in members) else []
    watched = [language for language in languages if language in known or language in files]
    if not watched:
        return None
    pools = _pools(spec, data_dir, "dev", watched, files)
    shares = even_shares([len(pool.examples) for pool in pools], limit)
    return _data(pools, [_drawn(pool, seed, share) for pool, share in zip(pools, shares, strict=True)])


def even_shares(sizes: Sequence[int], limit: int | None) -> list[int]:
    """Return how many to take of each, as even as the sizes allow; what one lacks the others give.

    >>> even_shares([10, 2, 10], 9), even_shares([10, 2], None)
    ([4, 2, 3], [10, 2])
    """
    shares = [0] * len(sizes)
    left = sum(sizes) if limit is None else min(limit, sum(sizes))
    while left:
        open_ones = [place for place, size in enumerate(sizes) if shares[place] < size]
        each = max(1, left // len(open_ones))
        for place in open_ones:
            more = min(each, sizes[place] - shares[place], left)
            shares[place] += more
            left -= more
    return shares


def draw(total: int, n: int, key: str) -> Places:
    """Return ``n`` of the places from 0 to ``total`` in rising order; a smaller draw is part of a larger one.

    The same for the same total and key on every machine and in every version: numpy promises that for the stream
    of a RandomState.
    """
    return np.sort(_order(total, key)[:n])


def _order(total: int, key: str) -> Places:
    words = np.frombuffer(hashlib.sha256(key.encode()).digest(), dtype="<u4")
    order: Places = np.random.RandomState(words).permutation(total).astype(np.int64)
    return order


def _key(pool: _Pool, seed: int) -> str:
    return json.dumps([[part.hash for part in pool.parts], seed])


def _drawn(pool: _Pool, seed: int, n: int) -> Places | None:
    """Return the places of a draw; None for all."""
    return draw(len(pool.examples), n, _key(pool, seed)) if n < len(pool.examples) else None


def _shots(spec: TrainingSpec, pool: _Pool, seed: int, shots: int) -> Places | None:
    """Return the places of a draw of few examples: of each label (classification), else of all."""
    if spec.kind != "classification":
        if len(pool.examples) < shots:
            raise DataError(f"{spec.name}: --shots {shots}: '{pool.language}' has only {len(pool.examples)} examples.")
        return _drawn(pool, seed, shots)
    number = {label: place for place, label in enumerate(spec.labels)}
    labels = np.array([number[e.label] for e in pool.examples if isinstance(e, Pair)], dtype=np.int16)
    order = _order(len(labels), _key(pool, seed))
    ordered = labels[order]
    chosen = [order[ordered == place][:shots] for place in range(len(spec.labels))]
    short = [
        f"{len(of_label)} with the label '{label}'"
        for label, of_label in zip(spec.labels, chosen, strict=True)
        if len(of_label) < shots
    ]
    if short:
        raise DataError(f"{spec.name}: --shots {shots}: '{pool.language}' has only {' and '.join(short)}.")
    return np.sort(np.concatenate(chosen))


def _data(pools: Sequence[_Pool], draws: Sequence[Places | None]) -> TrainingData:
    """Return what was drawn of each language as one."""
    parts: list[Part] = []
    chosen: list[Sequence[Example]] = []
    drawn: list[Any] = []
    counts: Counter[str] = Counter()
    for pool, places in zip(pools, draws, strict=True):
        chosen.append(pool.examples if places is None else Chosen(pool.examples, places))
        taken = "all" if places is None else hashlib.sha256(places.astype("<i8").tobytes()).hexdigest()
        drawn.append([[part.hash for part in pool.parts], taken])
        begin = 0
        for part in pool.parts:
            counts.update(part.counts)
            end = begin + part.available
            n = part.available if places is None else int(((places >= begin) & (places < end)).sum())
            parts.append(replace(part, n=n))
            begin = end
    examples = chosen[0] if len(chosen) == 1 else Joined(chosen)
    digest = hashlib.sha256(json.dumps(drawn).encode()).hexdigest()[:12]
    return TrainingData(examples, digest, tuple(parts), dict(counts))


def _pools(
    spec: TrainingSpec,
    data_dir: Path | None,
    split: Literal["train", "dev"],
    languages: Sequence[str],
    files: Mapping[str, Path],
) -> list[_Pool]:
    """Return all examples of each language, from the user's file where there is one."""
    members = parts_of(spec)
    pools = []
    for language in dict.fromkeys(languages):
        if language in files:
            own = user_files.load_file(spec, files[language], language, split)
            loaded = [_of(spec.name, own, language, split, OWN_FILE)]
        else:
            _check_language(spec, members, language)
            loaded = [
                _of(
                    member.name,
                    loading.load(member, language, split, data_dir),
                    language,
                    str(member.split_name(split)),
                    member.languages[language].origin,
                )
                for member in members
                if member.split_name(split) is not None
            ]
        examples = [data for data, _ in loaded]
        joined = examples[0] if len(examples) == 1 else Joined(examples)
        pools.append(_Pool(language, joined, tuple(part for _, part in loaded)))
    return pools


def _check_asked(spec: TrainingSpec, languages: Sequence[str], files: Mapping[str, Path]) -> None:
    """Refuse no language, and a file for a language that is not asked for."""
    if not languages:
        raise UsageError(f"{spec.name}: no source language is named. Known: {', '.join(spec.languages)}.")
    if strange := sorted(files.keys() - set(languages)):
        raise UsageError(
            f"{spec.name}: a file is named for '{strange[0]}', which is not one of the source languages "
            f"({', '.join(languages)}).{did_you_mean(strange[0], languages)}"
        )


def _languages(members: Sequence[TrainingSpec]) -> list[str]:
    """Return the languages that all members of a training set have."""
    return [code for code in members[0].languages if all(code in member.languages for member in members)]


def _check_language(spec: TrainingSpec, members: Sequence[TrainingSpec], language: str) -> None:
    """Refuse a language that a training set does not have, with those that it has and the way out."""
    known = _languages(members)
    if language in known:
        return
    translated = [code for code in known if any(m.languages[code].origin == TRANSLATED for m in members)]
    machine = f", of which machine-translated: {', '.join(translated)}" if translated else ""
    columns = [*members[0].fields.values(), *members[0].choices]
    raise UsageError(
        f"{spec.name}: there is no training data in '{language}'. It has: {', '.join(known)}{machine}."
        f"{did_you_mean(language, known)} Or name a file of your own: --source-data {language}=FILE "
        f"(jsonl, json, csv, tsv or parquet, with the columns {', '.join(columns)})."
    )


def _of(task: str, data: loading.Data, language: str, split: str, origin: str) -> tuple[Sequence[Example], Part]:
    """Return the examples of a training set in a language, and what they are."""
    n = len(data.examples)
    return data.examples, Part(
        task=task,
        language=language,
        split=split,
        n=n,
        available=n,
        hash=data.hash,
        source=data.source,
        revision=data.revision,
        status=data.status,
        origin=origin,
        counts=data.counts,
    )
