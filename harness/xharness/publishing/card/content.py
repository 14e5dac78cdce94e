"""Data classes of a model card."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from xharness.checkpoints.heads import Head
from xharness.metrics.seeds import COMPLETE, Spread, Summary
from xharness.publishing.card.prose import Prose
from xharness.results.aggregate import Results
from xharness.results.score import Score


@dataclass(frozen=True)
class Base:
    """The base model: the checkpoint that training started from.

    Attributes:
        model: its id on the Hub; None if it is not on the Hub.
        title: its name in a sentence.
        revision: its commit; None if not known.
        content: hash of its files, if it was a local folder.
        licence: license of its weights, as the Hub's identifier.
        note: remark of the publisher.
    """

    model: str | None
    title: str
    revision: str | None
    content: str | None
    licence: str
    note: str | None = None


@dataclass(frozen=True)
class Terms:
    """The license of the weights.

    Attributes:
        id: the Hub's identifier.
        name, link: only for ``other``: name and address of the license.
        why: the reasons, one sentence each.
    """

    id: str
    name: str | None
    link: str | None
    why: tuple[str, ...]


@dataclass(frozen=True)
class TrainingSet:
    """One part of the training data: one data set in one language.

    Attributes:
        task: name of the training set that it belongs to.
        title: title of the data set.
        paper: address of its paper; None if not known.
        source: id of the data set on the Hub, or the name of a local file.
        on_hub: whether ``source`` is an id on the Hub.
        revision: its commit; None for a local folder.
        language, split, licence, status, origin: as in the training record.
        used, available: numbers of examples; None if not known.
    """

    task: str
    title: str
    paper: str | None
    source: str
    on_hub: bool
    revision: str | None
    language: str
    split: str
    licence: str
    status: str
    origin: str
    used: int | None
    available: int | None


@dataclass(frozen=True)
class DevScore:
    """A score of the published checkpoint on a development set, in percent, computed on ``n`` of ``of`` examples."""

    name: str
    language: str
    metric: str
    score: float | None
    chance: float | None
    n: int
    of: int


@dataclass(frozen=True)
class Training:
    """How a checkpoint was trained.

    Attributes:
        sets: the training data.
        settings: (setting, value, source) of the settings that all tasks share.
        by_task: header and rows of a table of settings that differ between tasks; () for one task.
        facts: (name, value): seed, failed seeds, steps, hardware, time, energy.
        development: scores of the published checkpoint on English development data.
        partial: which parts of the training data are incomplete; '' if all are complete.
        notes: notes of the training record.
        hashes: (name, value): hashes of everything that the result depends on.
    """

    sets: tuple[TrainingSet, ...]
    settings: tuple[tuple[str, str, str], ...]
    by_task: tuple[tuple[str, ...], ...]
    facts: tuple[tuple[str, str], ...]
    development: tuple[DevScore, ...]
    partial: str
    notes: tuple[str, ...]
    hashes: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Cell:
    """One target in one language, over seeds.

    Attributes:
        scores: seed -> score.
        spreads: metric -> mean and standard deviation over seeds.
        intervals: metric -> (mean of the lower ends, mean of the upper ends); None if the metric has no interval.
        official: whether every seed was scored on the complete, real test data and nothing about it is partial.
    """

    scores: Mapping[int, Score]
    spreads: Mapping[str, Spread]
    intervals: Mapping[str, tuple[float, float] | None]
    official: bool

    @property
    def statuses(self) -> dict[int, str]:
        """Training status of each seed."""
        return {seed: str(score.tuned.get("status", COMPLETE)) for seed, score in self.scores.items()}

    @property
    def first(self) -> Score:
        """The score of the first seed."""
        return next(iter(self.scores.values()))


@dataclass(frozen=True)
class Section:
    """Scores with the same phase, track, checkpoint selection and settings.

    Attributes:
        phase, track, selected_by: as in `results.score.Score`.
        settings: settings of the runs.
        folder: folder of the runs in the repository.
        seeds: the seeds.
        results: means over seeds, averaged over languages.
        cells: target -> language -> scores.
        summaries: target -> its mean over languages, over seeds.
        notes: footnotes of the scores.
    """

    phase: str
    track: str | None
    selected_by: str
    settings: Mapping[str, Any]
    folder: str
    seeds: tuple[int, ...]
    results: Results
    cells: Mapping[str, Mapping[str, Cell]]
    summaries: Mapping[str, Summary]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class MissingScores:
    """Languages of a benchmark's target that have no complete score; ``of`` is the number of its languages."""

    benchmark: str
    task: str
    title: str
    languages: tuple[str, ...]
    of: int


@dataclass(frozen=True)
class Scores:
    """All scores of a card.

    Attributes:
        sections: scores grouped by how they were computed.
        headline: target -> the section whose score represents the checkpoint. A complete score comes before a partial
            one, then zero-shot tuned before as is, then the one with the fewest changed settings.
        results: averages of the headline's targets; None if there are none.
        missing: what was not evaluated.
    """

    sections: tuple[Section, ...]
    headline: Mapping[str, Section]
    results: Results | None
    missing: tuple[MissingScores, ...]


@dataclass(frozen=True)
class Card:
    """The content of a card.

    Attributes:
        repo: ``org/name``.
        prose: text from ``model_cards/``, which no record holds.
        summary: what the checkpoint is.
        phase: ``intermediate`` or ``target``.
        adopted: whether the checkpoint was trained outside xharness.
        warnings: warnings shown at the top of the card.
        tasks: names of the training sets.
        languages: codes of the training languages.
        base, terms: the base model, and the license of the weights.
        developed_by, contact: who is responsible for the checkpoint.
        kind: task kind of the head that the example code uses, or ``encoder``.
        head: that head, if the checkpoint names one.
        heads: all heads stored in files of their own.
        training, scores: how it was trained, and its scores.
        checkpoint: hash of its files.
    """

    repo: str
    prose: Prose
    summary: str
    phase: str
    adopted: bool
    warnings: tuple[str, ...]
    tasks: tuple[str, ...]
    languages: tuple[str, ...]
    base: Base
    terms: Terms
    developed_by: str
    contact: str | None
    kind: str
    head: Head | None
    heads: tuple[Head, ...]
    training: Training
    scores: Scores
    checkpoint: str

    @property
    def name(self) -> str:
        """The name of the repository without its owner."""
        return self.repo.rpartition("/")[2]
