"""`eval --tune`: tables of scores by seed and by checkpoint selection."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tabulate import tabulate

from xharness.checkpoints.training_record import AVERAGE, ENGLISH_DEV, LAST
from xharness.metrics.seeds import COLLAPSED, COMPLETE, DIVERGED, FAILED, Summary, summary
from xharness.results.aggregate import PARTIAL, Results, language_score, task_result
from xharness.results.footnotes import notes
from xharness.results.score import Score
from xharness.results.tables import SOURCE_LANGUAGE, tables
from xharness.tasks.task_spec import TaskSpec
from xharness.training.tune.plan import TARGET_DEV


@dataclass(frozen=True)
class Trained:
    """A training of `eval --tune`.

    Attributes:
        training_set: its name.
        targets: that are scored with it.
        track: what was trained on.
        seed: of the training.
        state: how it ended (see ``seeds``).
        reason: why, where it is not complete.
        folder: where the checkpoint lies.
        found: it was there already.
        headline: how the state of the result was chosen: ``english-dev``, or ``last`` where there is no such data.
        step, steps: of that state, and of the whole training; None where it did not come so far.
        score: the development score that it was chosen by.
        tokens_per_second: real sub-words trained on.
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
    """What `eval --tune` found.

    Attributes:
        name: what the checkpoint is called in tables.
        seeds: as they were asked for.
        average_last: states that were averaged.
        results: (track, how the state was chosen, seed) -> scores. Those of the headline (``english-dev``) hold the
            targets that were scored as they are as well.
        trained: the trainings.
        failures: scores that were asked for and are missing, and why.
        runs: the folders that hold results.
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
        """The tracks, each once; nothing is averaged over them."""
        return list(dict.fromkeys([*(t.track for t in self.trained if t.targets), *(key[0] for key in self.results)]))

    @property
    def headline(self) -> Results | None:
        """The result of the first track and seed that has one, for callers who ask for one seed of one track."""
        return next((found for (_, chosen, _), found in self.results.items() if chosen == ENGLISH_DEV), None)

    def targets(self, track: str) -> dict[str, TaskSpec]:
        """Return the targets that were tuned in a track."""
        tuned = dict.fromkeys(task for t in self.trained if t.track == track for task in t.targets)
        specs = {task: r.spec for found in self.results.values() for task, r in found.tasks.items()}
        return {task: specs[task] for task in tuned if task in specs}

    def states(self, track: str, task: str) -> dict[int, str]:
        """Return seed -> how the training for a target ended."""
        return {t.seed: t.state for t in self.trained if t.track == track and task in t.targets}

    def scores(self, track: str, chosen: str, task: str, seed: int) -> dict[str, Score]:
        """Return language -> score of a target by one way to choose the state; {} where there is none."""
        found = self.results.get((track, chosen, seed))
        return dict(found.tasks[task].languages) if found is not None and task in found.tasks else {}

    def summary(self, track: str, chosen: str, task: str, languages: Iterable[str] | None = None) -> Summary:
        """Return the statistics of a target's mean over languages (None: all that there are), over the seeds."""
        wanted = None if languages is None else set(languages)
        means: dict[int, float | None] = {}
        for seed in self.seeds:
            there = self.scores(track, chosen, task, seed)
            there = {code: score for code, score in there.items() if wanted is None or code in wanted}
            spec = self.targets(track)[task]
            whole = wanted is None or wanted <= set(there)
            means[seed] = task_result(spec, there, None).mean["score"] if there and whole else None
        return summary(means, self.states(track, task))

    def both(self, track: str, task: str) -> tuple[list[str], list[str]]:
        """Return the languages that the result has, and those of them that the oracle has too."""
        own, oracle = set[str](), set[str]()
        for seed in self.seeds:
            own |= set(self.scores(track, ENGLISH_DEV, task, seed))
            oracle |= set(self.scores(track, TARGET_DEV, task, seed))
        return sorted(own), sorted(own & oracle)

    def choices(self, track: str) -> list[str]:
        """Return the ways to choose a state that have scores, the headline's first."""
        there = {chosen for of, chosen, _ in self.results if of == track}
        return [name for name in (ENGLISH_DEV, LAST, AVERAGE, TARGET_DEV) if name in there]

    def to_json(self) -> dict[str, Any]:
        """Return the object that ``--json`` prints."""
        alone = [] if self.headline is not None or self.as_is is None else [self.as_is]
        return {
            "model": self.name,
            "results": [{"track": None, "selected_by": "none", **found.to_json()} for found in alone]
            + [
                {"track": track, "selected_by": chosen, "seed": seed, **found.to_json()}
                for (track, chosen, seed), found in self.results.items()
                if chosen == ENGLISH_DEV
            ],
            "choices": [
                {
                    "track": track,
                    "task": task,
                    "languages": codes,
                    "selected_by": {
                        chosen: self.summary(track, chosen, task, codes).to_json() for chosen in self.choices(track)
                    },
                }
                for track in self.tracks
                for task in self.targets(track)
                for codes in self._language_sets(track, task)
            ],
            "trained": [each.to_json() for each in self.trained],
            "runs": list(self.runs),
            "failures": list(self.failures),
        }

    def _language_sets(self, track: str, task: str) -> list[list[str]]:
        """Return all languages of a target, and those with development data where these are fewer."""
        own, oracle = self.both(track, task)
        return [own] if not oracle or oracle == own else [own, oracle]


def table(outcome: TuneResult) -> str:
    """Return all tables of an outcome, track by track."""
    parts = []
    if outcome.headline is None and outcome.as_is is not None:
        parts.append(tables([(outcome.name, outcome.as_is)]))
    for track in outcome.tracks:
        found = {seed: r for (of, chosen, seed), r in outcome.results.items() if (of, chosen) == (track, ENGLISH_DEV)}
        if len(outcome.seeds) == 1:
            parts += [tables([(outcome.name, each)]) for each in found.values()]
        elif found:
            parts.append(_over_seeds(outcome, track, found))
        parts += [_choices(outcome, track), _seeds(outcome, track) if len(outcome.seeds) > 1 else ""]
    parts += [_ends(outcome)]
    return "\n\n".join(part for part in parts if part)


def _over_seeds(outcome: TuneResult, track: str, found: Mapping[int, Results]) -> str:
    """Return the table of scores as mean and deviation over seeds; what was scored as it is has one number."""
    first = next(iter(found.values()))
    specs = {task: result.spec for each in found.values() for task, result in each.tasks.items()}
    tuned = outcome.targets(track)
    codes = sorted(
        {c for each in found.values() for result in each.tasks.values() for c in result.languages},
        key=lambda code: (code != SOURCE_LANGUAGE, code),
    )

    def cell(task: str, code: str) -> str:
        scores = {
            seed: language_score(specs[task], each.tasks[task].languages[code])
            for seed, each in found.items()
            if task in each.tasks and code in each.tasks[task].languages
        }
        if task not in tuned:
            return f"{next(iter(scores.values())):.1f}" if scores else ""
        return _number(summary(scores, outcome.states(track, task))) if scores else ""

    def foot(task: str) -> str:
        if task not in tuned:
            text = f"{first.tasks[task].mean['score']:.1f}" if task in first.tasks else ""
        else:
            text = _number(outcome.summary(track, ENGLISH_DEV, task))
        partial = any(not each.tasks[task].complete for each in found.values() if task in each.tasks)
        return f"{text} {PARTIAL}" if partial and text else text

    rows = [[code, *(cell(task, code) for task in specs)] for code in codes]
    body = tabulate(
        [*rows, ["score", *(foot(task) for task in specs)]],
        ["", *specs],
        tablefmt="simple",
        disable_numparse=True,
        colalign=["left"] + ["right"] * len(specs),
    )
    lines = body.splitlines()
    body = "\n".join([*lines[:-1], lines[1], lines[-1]])
    facts = first.provenance
    model = str(facts.get("model_sha") or facts.get("model_hash") or "")[:12]
    title = (
        f"{outcome.name} @{model} ({facts['dtype']}, {facts['split']}, {track}, chosen by {ENGLISH_DEV}; mean ± "
        f"standard deviation of the seeds {_listed(found)})"
    )
    # Where results lie is said per seed; all else is the same for every seed.
    return "\n\n".join([title, body, "\n".join(_shared_notes(list(found.values())))])


def _shared_notes(found: Sequence[Results]) -> list[str]:
    """Return the notes of several seeds, each once."""
    return list(dict.fromkeys(line for each in found for line in notes(each, marks=False)))


def _choices(outcome: TuneResult, track: str) -> str:
    """Return the table of how the state was chosen: each a mean over languages."""
    chosen = outcome.choices(track)
    if len(chosen) < 2:
        return ""
    rows = []
    for task in outcome.targets(track):
        own, oracle = outcome.both(track, task)
        every = [name for name in chosen if name != TARGET_DEV]
        full = oracle == own
        if not full:
            rows.append([task, len(own), *(_number(outcome.summary(track, name, task, own)) for name in every), "-"])
        if oracle:
            told = task if full else f"{task}, languages with dev data"
            rows.append([told, len(oracle), *(_number(outcome.summary(track, name, task, oracle)) for name in chosen)])
    words = {
        ENGLISH_DEV: "english-dev",
        LAST: "last",
        AVERAGE: f"average of the last {outcome.average_last}",
        TARGET_DEV: "oracle (target-dev)",
    }
    heads = [words[name] for name in chosen]
    if TARGET_DEV not in chosen:
        rows = [row[: 2 + len(chosen)] for row in rows]
    lines = tabulate(
        rows,
        ["", "languages", *heads],
        tablefmt="simple",
        disable_numparse=True,
        colalign=["left"] + ["right"] * (1 + len(heads)),
    )
    told = f"How the state was chosen ({track}): the mean over languages. The score is that of english-dev"
    without = [t.training_set for t in outcome.trained if t.track == track and t.targets and t.headline == LAST]
    if without:
        told += f" ({', '.join(dict.fromkeys(without))} has no English development data: the last state)"
    if TARGET_DEV in chosen:
        told += "; the oracle sees labels of the target language, so it is no zero-shot result"
    return f"{told}.\n\n{lines}"


def _seeds(outcome: TuneResult, track: str) -> str:
    """Return the table of what each seed gave, with and without those that collapsed."""
    rows = []
    for task in outcome.targets(track):
        found = outcome.summary(track, ENGLISH_DEV, task)
        ends = {COLLAPSED: "c", DIVERGED: "diverged", FAILED: "failed"}
        each = []
        for seed in outcome.seeds:
            score, state = found.scores.get(seed), found.states.get(seed, FAILED)
            mark = "" if state == COMPLETE else f" {ends[state]}"
            each.append("-" + mark if score is None else f"{score:.1f}{mark}")
        failed = found.seeds(DIVERGED) + found.seeds(FAILED)
        rows.append(
            [
                task,
                _plain(found.every.mean),
                _plain(found.every.deviation),
                len(found.states),
                len(found.seeds(COLLAPSED)),
                len(failed),
                _plain(found.good.mean),
                _plain(found.good.deviation),
                *each,
            ]
        )
    if not rows:
        return ""
    head = ["", "mean", "sd", "seeds run", "collapsed", "no score", "mean without", "sd without"]
    lines = tabulate(
        rows,
        [*head, *(f"seed {seed}" for seed in outcome.seeds)],
        tablefmt="simple",
        disable_numparse=True,
        colalign=["left"] + ["right"] * (len(head) - 1 + len(outcome.seeds)),
    )
    told = (
        f"Seeds ({track}), mean and sample standard deviation of the score; without: without the collapsed ones "
        "(c: the English development score is at chance)."
    )
    return f"{told}\n\n{lines}"


def _ends(outcome: TuneResult) -> str:
    """Return a line for each training that did not end as it should."""
    return "\n".join(
        f"{t.training_set}, seed {t.seed}: {t.state}{': ' + t.reason if t.reason else ''}."
        for t in outcome.trained
        if t.state != COMPLETE
    )


def _number(found: Summary) -> str:
    if found.every.mean is None:
        return "-"
    text = f"{found.every.mean:.1f}"
    return text if found.every.deviation is None else f"{text} ±{found.every.deviation:.1f}"


def _plain(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"


def _listed(seeds: Iterable[int]) -> str:
    return ", ".join(map(str, seeds))
