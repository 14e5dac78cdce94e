"""Training examples of one or more languages: sampling, few-shot samples, user files.

Only the indices of sampled rows are held in memory. Long texts are not truncated here.
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
from xharness.data.lazy import Concatenated, Indices, Subset
from xharness.errors import DataError, UsageError, did_you_mean
from xharness.tasks.registry import parts_of
from xharness.tasks.task_spec import TrainingSpec

TRANSLATED = "machine-translated"
OWN_FILE = "own file"
"""Origin of examples from a user's file; whether they were translated is unknown."""


@dataclass(frozen=True)
class Part:
    """The part of the training data that comes from one training set in one language.

    Attributes:
        task: name of the training set; if it has members, of the member.
        language: its code.
        split: the split's name in the data.
        n: number of examples used.
        available: number of examples available.
        hash: of all available examples (examples.data_hash).
        source: the data set on the Hub, the raw file, or the name of the user's file.
        revision: the commit on the Hub; None for files.
        status: ``complete``, ``sample``, ``stand-in`` or ``unknown``.
        origin: ``native``, ``machine-translated`` or ``own file``.
        counts: rows left out, and answers moved (see loading.Data).
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
    """The training or development examples of a task.

    Attributes:
        examples: ordered by language, then by member; read from disk on access.
        hash: 12 hex digits over the data of all parts, their order and the sampled rows.
        parts: the parts in the same order.
        counts: rows left out (``unlabelled``, ``empty``) and answers moved, over all parts.
    """

    examples: Sequence[Example]
    hash: str
    parts: tuple[Part, ...]
    counts: dict[str, int]

    def __len__(self) -> int:
        return len(self.examples)


@dataclass(frozen=True)
class _LanguageData:
    """All examples of one language, and their parts."""

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
    """Return the training examples of a task.

    Args:
        spec: the training set.
        data_dir: folder with data; None: the Hub.
        languages: source languages; each is read from the user's file if ``files`` has one, otherwise from the spec.
        files: language -> the user's file, as read by ``user_files.load_file``.
        n: examples per language, sampled without replacement; None: all. A smaller sample is a subset of a larger one.
        shots: examples per label and language (classification), or per language (other kinds).
        seed: of the sample, which depends only on the data and the seed.

    Raises:
        UsageError: a language is not in the set, ``n`` and ``shots`` are both given, or one of them is not positive.
        DataError: data is missing or invalid, or a language has fewer examples than requested.
    """
    if n is not None and shots is not None:
        raise UsageError("--train-n and --shots cannot be used together: give one of them.")
    for flag, value in (("--train-n", n), ("--shots", shots)):
        if value is not None and value < 1:
            raise UsageError(f"{flag}: found {value}, expected a number above 0.")
    files = files or {}
    _check_request(spec, languages, files)
    by_language = _load_languages(spec, data_dir, "train", languages, files)
    if n is not None:
        too_small = [f"{len(data.examples):,} in '{data.language}'" for data in by_language if len(data.examples) < n]
        if too_small:
            raise DataError(
                f"{spec.name}: --train-n {n} needs as many examples of each language; there are only "
                f"{' and '.join(too_small)}."
            )
        return _combine(by_language, [_sample(data, seed, n) for data in by_language])
    if shots is not None:
        return _combine(by_language, [_few_shot_sample(spec, data, seed, shots) for data in by_language])
    return _combine(by_language, [None for _ in by_language])


def load_dev(
    spec: TrainingSpec,
    data_dir: Path | None,
    *,
    languages: Sequence[str] = ("en",),
    files: Mapping[str, Path] | None = None,
    limit: int | None,
    seed: int = 0,
) -> TrainingData | None:
    """Return the development examples for training; None if these languages have none that may be used.

    Args:
        spec: the training set.
        data_dir: folder with data; None: the Hub.
        languages: as for ``load_train``.
        files: language -> the user's file of development examples. A file of training examples has none: languages
            that are only in such a file are left out here.
        limit: total number of examples, the same for every model and spread as evenly over the languages as their
            sizes allow; None: all.
        seed: of the sample; use the same seed if scores are to be compared.

    Raises:
        UsageError: no language is given, a file is for another language, or the limit is not positive.
        DataError: data is missing or invalid.
    """
    if limit is not None and limit < 1:
        raise UsageError(f"eval_examples: found {limit}, expected a number above 0.")
    files = files or {}
    _check_request(spec, languages, files)
    members = parts_of(spec)
    available = _common_languages(members) if any(member.dev_split is not None for member in members) else []
    used = [language for language in languages if language in available or language in files]
    if not used:
        return None
    by_language = _load_languages(spec, data_dir, "dev", used, files)
    shares = even_shares([len(data.examples) for data in by_language], limit)
    return _combine(by_language, [_sample(data, seed, share) for data, share in zip(by_language, shares, strict=True)])


def even_shares(sizes: Sequence[int], limit: int | None) -> list[int]:
    """Return the number to take from each, as even as the sizes allow; larger ones make up for smaller ones.

    >>> even_shares([10, 2, 10], 9), even_shares([10, 2], None)
    ([4, 2, 3], [10, 2])
    """
    shares = [0] * len(sizes)
    left = sum(sizes) if limit is None else min(limit, sum(sizes))
    while left:
        unfilled = [index for index, size in enumerate(sizes) if shares[index] < size]
        share = max(1, left // len(unfilled))
        for index in unfilled:
            added = min(share, sizes[index] - shares[index], left)
            shares[index] += added
            left -= added
    return shares


def draw(total: int, n: int, key: str) -> Indices:
    """Return ``n`` indices below ``total`` in rising order; a smaller sample is a subset of a larger one.

    The sample depends only on the total and the key, on every machine and in every version: numpy guarantees the
    stream of a RandomState.
    """
    return np.sort(_order(total, key)[:n])


def _order(total: int, key: str) -> Indices:
    words = np.frombuffer(hashlib.sha256(key.encode()).digest(), dtype="<u4")
    order: Indices = np.random.RandomState(words).permutation(total).astype(np.int64)
    return order


def _sample_key(data: _LanguageData, seed: int) -> str:
    return json.dumps([[part.hash for part in data.parts], seed])


def _sample(data: _LanguageData, seed: int, n: int) -> Indices | None:
    """Return the indices of a sample; None for all."""
    return draw(len(data.examples), n, _sample_key(data, seed)) if n < len(data.examples) else None


def _few_shot_sample(spec: TrainingSpec, data: _LanguageData, seed: int, shots: int) -> Indices | None:
    """Return the indices of a few-shot sample: per label for classification, of all examples for other kinds."""
    if spec.kind != "classification":
        if len(data.examples) < shots:
            raise DataError(f"{spec.name}: --shots {shots}: '{data.language}' has only {len(data.examples)} examples.")
        return _sample(data, seed, shots)
    number = {label: index for index, label in enumerate(spec.labels)}
    labels = np.array([number[e.label] for e in data.examples if isinstance(e, Pair)], dtype=np.int16)
    order = _order(len(labels), _sample_key(data, seed))
    ordered = labels[order]
    chosen = [order[ordered == index][:shots] for index in range(len(spec.labels))]
    too_few = [
        f"{len(of_label)} with the label '{label}'"
        for label, of_label in zip(spec.labels, chosen, strict=True)
        if len(of_label) < shots
    ]
    if too_few:
        raise DataError(f"{spec.name}: --shots {shots}: '{data.language}' has only {' and '.join(too_few)}.")
    return np.sort(np.concatenate(chosen))


def _combine(by_language: Sequence[_LanguageData], samples: Sequence[Indices | None]) -> TrainingData:
    """Return the samples of all languages as one."""
    parts: list[Part] = []
    chosen: list[Sequence[Example]] = []
    drawn: list[Any] = []
    counts: Counter[str] = Counter()
    for data, indices in zip(by_language, samples, strict=True):
        chosen.append(data.examples if indices is None else Subset(data.examples, indices))
        taken = "all" if indices is None else hashlib.sha256(indices.astype("<i8").tobytes()).hexdigest()
        drawn.append([[part.hash for part in data.parts], taken])
        begin = 0
        for part in data.parts:
            counts.update(part.counts)
            end = begin + part.available
            n = part.available if indices is None else int(((indices >= begin) & (indices < end)).sum())
            parts.append(replace(part, n=n))
            begin = end
    examples = chosen[0] if len(chosen) == 1 else Concatenated(chosen)
    digest = hashlib.sha256(json.dumps(drawn).encode()).hexdigest()[:12]
    return TrainingData(examples, digest, tuple(parts), dict(counts))


def _load_languages(
    spec: TrainingSpec,
    data_dir: Path | None,
    split: Literal["train", "dev"],
    languages: Sequence[str],
    files: Mapping[str, Path],
) -> list[_LanguageData]:
    """Return all examples of each language, from the user's file if there is one."""
    members = parts_of(spec)
    by_language = []
    for language in dict.fromkeys(languages):
        if language in files:
            own = user_files.load_file(spec, files[language], language, split)
            loaded = [_with_part(spec.name, own, language, split, OWN_FILE)]
        else:
            _check_language(spec, members, language)
            loaded = [
                _with_part(
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
        joined = examples[0] if len(examples) == 1 else Concatenated(examples)
        by_language.append(_LanguageData(language, joined, tuple(part for _, part in loaded)))
    return by_language


def _check_request(spec: TrainingSpec, languages: Sequence[str], files: Mapping[str, Path]) -> None:
    """Raise UsageError if no language is given, or a file is for a language that is not requested."""
    if not languages:
        raise UsageError(f"{spec.name}: no source language is named. Known: {', '.join(spec.languages)}.")
    if unused := sorted(files.keys() - set(languages)):
        raise UsageError(
            f"{spec.name}: a file is named for '{unused[0]}', which is not one of the source languages "
            f"({', '.join(languages)}).{did_you_mean(unused[0], languages)}"
        )


def _common_languages(members: Sequence[TrainingSpec]) -> list[str]:
    """Return the languages that all members of a training set have."""
    return [code for code in members[0].languages if all(code in member.languages for member in members)]


def _check_language(spec: TrainingSpec, members: Sequence[TrainingSpec], language: str) -> None:
    """Raise UsageError for a language that a training set does not have; list those it has and the alternative."""
    known = _common_languages(members)
    if language in known:
        return
    translated = [code for code in known if any(m.languages[code].origin == TRANSLATED for m in members)]
    machine = f", of which machine-translated: {', '.join(translated)}" if translated else ""
    columns = [*members[0].fields.values(), *members[0].choices]
    raise UsageError(
        f"{spec.name}: there is no training data in '{language}'. It has: {', '.join(known)}{machine}."
        f"{did_you_mean(language, known)} Or name your own file: --source-data {language}=FILE "
        f"(jsonl, json, csv, tsv or parquet, with the columns {', '.join(columns)})."
    )


def _with_part(task: str, data: loading.Data, language: str, split: str, origin: str) -> tuple[Sequence[Example], Part]:
    """Return the examples of a training set in a language, and the `Part` that describes them."""
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
