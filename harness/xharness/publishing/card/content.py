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
    """The checkpoint that training began with.

    Attributes:
        model: its id on the Hub; None where it is on none.
        title: as a sentence names it.
        revision: the commit it was read at; None where that is not known.
        content: the hash of its files, where it was a local folder.
        licence: of its weights, as the Hub writes licences.
        note: what else has to be said.
    """

    model: str | None
    title: str
    revision: str | None
    content: str | None
    licence: str
    note: str | None = None


@dataclass(frozen=True)
class Terms:
    """The licence of the weights: identifier of the Hub, for ``other`` a name and a link, and why, a sentence each."""

    id: str
    name: str | None
    link: str | None
    why: tuple[str, ...]


@dataclass(frozen=True)
class TrainingSet:
    """One part of the training data: one set in one language.

    Attributes:
        task: the training set that it was read for.
        title: of the set itself.
        paper: address of its paper; None where none is known.
        source: the data set on the Hub, or what the user's file is called.
        on_hub: whether the source is an id on the Hub.
        revision: its commit; None where the files lay in a local folder.
        language, split, licence, status, origin: as the record has them.
        used, available: examples; None where nobody knows.
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
class Development:
    """A development score of the training run: of which set, by what metric, beside chance."""

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
        sets: of what data.
        settings: (setting, value, where it is from), the same for all tasks.
        by_task: head and rows of a table of what differs between tasks; () where there is one task.
        facts: (what, value): seed, failed seeds, steps, hardware, time, energy.
        development: scores of the state that was published, on English development data.
        partial: which of the training data is no complete set, as a sentence; '' if it is whole.
        notes: sentences of the record.
        hashes: (what, value): what the result depends on.
    """

    sets: tuple[TrainingSet, ...]
    settings: tuple[tuple[str, str, str], ...]
    by_task: tuple[tuple[str, ...], ...]
    facts: tuple[tuple[str, str], ...]
    development: tuple[Development, ...]
    partial: str
    notes: tuple[str, ...]
    hashes: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Cell:
    """One target in one language, over the seeds that were run.

    Attributes:
        scores: seed -> the score.
        spreads: metric -> mean and deviation over the seeds.
        intervals: metric -> the means of the lower and of the upper ends; None where the metric has no interval.
        official: whether every seed has the whole, real test data, and nothing about it is partial.
    """

    scores: Mapping[int, Score]
    spreads: Mapping[str, Spread]
    intervals: Mapping[str, tuple[float, float] | None]
    official: bool

    @property
    def states(self) -> dict[int, str]:
        """How the training of each seed ended."""
        return {seed: str(score.tuned.get("status", COMPLETE)) for seed, score in self.scores.items()}

    @property
    def first(self) -> Score:
        """The score of the first seed."""
        return next(iter(self.scores.values()))


@dataclass(frozen=True)
class Section:
    """Scores that were made alike: as it is or tuned, one track, one way to choose the state, the same settings.

    Attributes:
        phase, track, selected_by: as in `results.Score`.
        settings: what the user overrode.
        place: the folder of its RUNs in the repository.
        seeds: that were run.
        results: means over the seeds, averaged over languages.
        cells: target -> language -> its scores.
        summaries: target -> its mean over languages, over the seeds.
        notes: sentences that have to stand with the scores.
    """

    phase: str
    track: str | None
    selected_by: str
    settings: Mapping[str, Any]
    place: str
    seeds: tuple[int, ...]
    results: Results
    cells: Mapping[str, Mapping[str, Cell]]
    summaries: Mapping[str, Summary]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Missing:
    """Languages of a target that a benchmark has, ``of`` so many, and that this card has no whole score for."""

    benchmark: str
    task: str
    title: str
    languages: tuple[str, ...]
    of: int


@dataclass(frozen=True)
class Scores:
    """All scores of a card.

    Attributes:
        sections: scores that were made alike.
        headline: target -> the section whose score of it stands for the checkpoint: a whole one before a partial one,
            then one tuned in zero-shot before one as it is, then that with the least changed settings; what follows is
            made of these.
        results: the headline's targets, averaged; None where there is none.
        missing: what was not evaluated.
    """

    sections: tuple[Section, ...]
    headline: Mapping[str, Section]
    results: Results | None
    missing: tuple[Missing, ...]


@dataclass(frozen=True)
class Card:
    """Everything that a card says.

    Attributes:
        repo: ``org/name``.
        prose: what no record can say.
        summary: what the checkpoint is.
        phase: ``intermediate`` or ``target``.
        adopted: whether xharness did not train it.
        warnings: what a reader has to know before anything else.
        tasks: names of the training sets.
        languages: that it was trained on.
        base, terms: what training began with, and the licence of the weights.
        developed_by, contact: who answers for it.
        kind: the kind of problem of the head that the code shows, or ``encoder``.
        head: that head, where the checkpoint names one.
        heads: all heads in files of their own.
        training, scores: how it was trained, and what it scores.
        checkpoint: the hash of its files.
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
