"""Results of `eval --tune`: how each training ended, scores by seed and by checkpoint selection, what is missing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from xharness.checkpoints.training_record import AVERAGE, ENGLISH_DEV, LAST
from xharness.errors import XharnessError
from xharness.metrics.seeds import Summary, summary
from xharness.results.aggregate import Results, task_result
from xharness.results.score import Score
from xharness.tasks.task_spec import TaskSpec
from xharness.training.tune.options import TARGET_DEV


@dataclass
class Failures:
    """What went wrong without stopping the others.

    Attributes:
        messages: the scores that are missing, with the reason.
        errors: what was raised.
    """

    messages: list[str] = field(default_factory=list)
    errors: list[XharnessError] = field(default_factory=list)


@dataclass(frozen=True)
class Trained:
    """One seed of a training of `eval --tune`.

    Attributes:
        training_set: name of the training set.
        targets: targets that are scored with it.
        track: by the origin of the training data.
        seed: of the training.
        state: how it ended (see ``metrics.seeds``).
        reason: why, where it is not complete.
        folder: of the checkpoint.
        found: whether an earlier call trained it.
        headline: selection of the reported checkpoint: ``english-dev``, or ``last`` where there is no such data.
        step, steps: of that checkpoint, and of the whole training; None where it did not get so far.
        score: the development score that selected the checkpoint.
        tokens_per_second: real tokens trained on.
    """

    training_set: str
    targets: tuple[str, ...]
    track: str
    seed: int
    state: str
    reason: str | None
    folder: str
    found: bool
    headline: str
    step: int | str | None = None
    steps: int | None = None
    score: float | None = None
    tokens_per_second: float | None = None

    def to_json(self) -> dict[str, Any]:
        """Return what ``--json`` prints."""
        return {name: list(v) if isinstance(v, tuple) else v for name, v in vars(self).items()}


@dataclass(frozen=True)
class TuneResult:
    """The result of `eval --tune`.

    Attributes:
        name: of the checkpoint in tables.
        seeds: as asked for.
        average_last: number of checkpoints that were averaged.
        results: (track, checkpoint selection, seed) -> scores. Those of the headline (``english-dev``) include the
            targets that were scored as they are.
        trained: the trainings.
        failures: scores that were asked for and are missing, and why.
        runs: the run folders.
        as_is: the scores of the targets that needed no training.
    """

    name: str
    seeds: tuple[int, ...]
    average_last: int
    results: Mapping[tuple[str, str, int], Results]
    trained: tuple[Trained, ...]
    failures: tuple[str, ...]
    runs: tuple[str, ...]
    as_is: Results | None = None

    @property
    def tracks(self) -> list[str]:
        """The tracks, each once; no mean is taken over them."""
        return list(dict.fromkeys([*(t.track for t in self.trained if t.targets), *(key[0] for key in self.results)]))

    @property
    def headline(self) -> Results | None:
        """The scores of the first track and seed that has some, for callers who ask for one seed of one track."""
        return next((results for (_, chosen, _), results in self.results.items() if chosen == ENGLISH_DEV), None)

    def targets(self, track: str) -> dict[str, TaskSpec]:
        """Return the targets that were tuned in a track."""
        tuned = dict.fromkeys(task for t in self.trained if t.track == track for task in t.targets)
        specs = {task: r.spec for results in self.results.values() for task, r in results.tasks.items()}
        return {task: specs[task] for task in tuned if task in specs}

    def states(self, track: str, task: str) -> dict[int, str]:
        """Return seed -> how the training for a target ended."""
        return {t.seed: t.state for t in self.trained if t.track == track and task in t.targets}

    def scores(self, track: str, chosen: str, task: str, seed: int) -> dict[str, Score]:
        """Return language -> score of a target by one checkpoint selection; {} where there is none."""
        results = self.results.get((track, chosen, seed))
        return dict(results.tasks[task].languages) if results is not None and task in results.tasks else {}

    def summary(self, track: str, chosen: str, task: str, languages: Iterable[str] | None = None) -> Summary:
        """Return statistics over seeds of a target's mean over languages (None: all languages that have scores)."""
        wanted = None if languages is None else set(languages)
        means: dict[int, float | None] = {}
        for seed in self.seeds:
            scores = self.scores(track, chosen, task, seed)
            scores = {code: score for code, score in scores.items() if wanted is None or code in wanted}
            spec = self.targets(track)[task]
            complete = wanted is None or wanted <= set(scores)
            means[seed] = task_result(spec, scores, None).mean["score"] if scores and complete else None
        return summary(means, self.states(track, task))

    def language_sets(self, track: str, task: str) -> tuple[list[str], list[str]]:
        """Return the languages that have scores, and those of them that the oracle can score too."""
        own, oracle = set[str](), set[str]()
        for seed in self.seeds:
            own |= set(self.scores(track, ENGLISH_DEV, task, seed))
            oracle |= set(self.scores(track, TARGET_DEV, task, seed))
        return sorted(own), sorted(own & oracle)

    def selections(self, track: str) -> list[str]:
        """Return the checkpoint selections that have scores, the headline's first."""
        chosen = {name for of, name, _ in self.results if of == track}
        return [name for name in (ENGLISH_DEV, LAST, AVERAGE, TARGET_DEV) if name in chosen]

    def to_json(self) -> dict[str, Any]:
        """Return the object that ``--json`` prints."""
        alone = [] if self.headline is not None or self.as_is is None else [self.as_is]
        return {
            "model": self.name,
            "results": [{"track": None, "selected_by": "none", **results.to_json()} for results in alone]
            + [
                {"track": track, "selected_by": chosen, "seed": seed, **results.to_json()}
                for (track, chosen, seed), results in self.results.items()
                if chosen == ENGLISH_DEV
            ],
            "choices": [
                {
                    "track": track,
                    "task": task,
                    "languages": codes,
                    "selected_by": {
                        chosen: self.summary(track, chosen, task, codes).to_json() for chosen in self.selections(track)
                    },
                }
                for track in self.tracks
                for task in self.targets(track)
                for codes in self._compared_languages(track, task)
            ],
            "trained": [trained.to_json() for trained in self.trained],
            "runs": list(self.runs),
            "failures": list(self.failures),
        }

    def _compared_languages(self, track: str, task: str) -> list[list[str]]:
        """Return all languages of a target, and those with development data where these are fewer."""
        own, oracle = self.language_sets(track, task)
        return [own] if not oracle or oracle == own else [own, oracle]
