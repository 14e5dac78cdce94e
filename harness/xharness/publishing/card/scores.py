"""Merge runs over seeds into the scores of a card."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import Any

from xharness.checkpoints.training_record import ENGLISH_DEV
from xharness.metrics.seeds import COLLAPSED, COMPLETE, spread, summary
from xharness.publishing import runs as publishing_runs
from xharness.publishing.card.content import Cell, Missing, Scores, Section
from xharness.results import footnotes
from xharness.results import score as results_score
from xharness.results.aggregate import Results, aggregate, is_foreign
from xharness.results.runs import Run, fitting
from xharness.results.score import AS_IS, TUNED, ZERO_SHOT, Score
from xharness.tasks.benchmarks import benchmarks
from xharness.tasks.dataset_spec import HF_EVALUATE
from xharness.tasks.recipes import DEFAULT, TUNING_AVERAGE_LAST, TUNING_LANGUAGES
from xharness.tasks.registry import load_task
from xharness.tasks.task_spec import TaskSpec


@dataclass(frozen=True)
class _Group:
    """The scores of one section, and the task files that they were made with."""

    by_seed: dict[int, list[Score]]
    place: str
    specs: dict[str, TaskSpec]


def merge_runs(runs: Sequence[Run]) -> Scores:
    """Return the scores of RUNs of one checkpoint as a card shows them.

    Scores are put together where all but the seed is the same: phase, track, choice of the state and settings. A score
    over several seeds is their mean, with every seed that has one, the collapsed ones among them. Into a score as it is
    no seed enters: of one that was computed under several the first stands.

    Raises:
        DataError: a score was made by another version of its task's spec, or is one that its target cannot have.
    """
    groups: dict[tuple[str, str, str, str], _Group] = {}
    for run in runs:
        specs = run.specs()
        scores = fitting(run, specs)
        settings = run.record.get("settings", {})
        for phase in (AS_IS, TUNED):
            mine = [score for score in scores if score.phase == phase]
            if mine:
                track = str(run.tune.get("track") or mine[0].track or "") if phase == TUNED else ""
                chosen = str(run.tune.get("selected_by") or mine[0].selected_by) if phase == TUNED else "none"
                key = (phase, track, chosen, json.dumps(settings, sort_keys=True))
                file = PurePosixPath(publishing_runs.place(run))
                group = groups.setdefault(key, _Group({}, str(file.parent.parent), {}))
                group.by_seed.setdefault(run.record.get("seed") or 0, []).extend(mine)
                group.specs.update(specs)
    sections = tuple(_section(key, groups[key]) for key in sorted(groups, key=_order))
    headline = _headline(sections)
    return Scores(sections, headline, headline_results(headline, None), tuple(_missing(sections)))


def _order(key: tuple[str, str, str, str]) -> tuple[bool, int, bool, str, int, bool, str]:
    """Sort sections: as is before tuned, zero-shot before other tracks, the least changed settings first, then float32.

    Where only the type differs, the most exact one comes first.
    """
    phase, track, chosen, text = key
    tracks, settings = list(results_score.TRACKS), json.loads(text)
    rank = tracks.index(track) if track in tracks else -1
    inexact = settings.get("dtype") != "float32"
    return phase == TUNED, rank, chosen != ENGLISH_DEV, chosen, len(changed(settings)), inexact, text


def changed(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings that are not xharness' own choice and change what a score means, those of tuning with them.

    The type of computation is not among them: it is the machine's choice.
    """
    silent = {"dtype", "tune"}
    values = {k: v for k, v in settings.items() if k not in silent}
    tune: Mapping[str, Any] = settings.get("tune") or {}
    usual = {"recipe": DEFAULT, "languages": list(TUNING_LANGUAGES), "average_last": TUNING_AVERAGE_LAST}
    names = ("recipe", "languages", "shots", "train_n", "max_steps", "lora", "average_last")
    values |= {name: tune[name] for name in names if name in tune and tune[name] != usual.get(name)}
    values |= tune.get("given") or {}
    return {k: v for k, v in values.items() if v not in (None, {}, "test")}


def _section(key: tuple[str, str, str, str], group: _Group) -> Section:
    phase, track, chosen, settings = key
    runs = sorted(group.by_seed.items())
    by_cell: dict[tuple[str, str], dict[int, Score]] = {}
    for seed, scores in runs:
        for score in scores:
            by_seed_scores = by_cell.setdefault((score.task, score.language), {})
            if phase == TUNED or not by_seed_scores:
                by_seed_scores[seed] = score
    specs = {name: group.specs[name] for name in _in_order({task for task, _ in by_cell})}
    cells = {
        name: {code: _cell(by_cell[name, code], spec) for code in spec.languages if (name, code) in by_cell}
        for name, spec in specs.items()
    }
    merged = [_merged(cell) for of_task in cells.values() for cell in of_task.values()]
    by_seed = {seed: aggregate(scores, specs) for seed, scores in (runs if phase == TUNED else [(runs[0][0], merged)])}
    notes = dict.fromkeys(line for each in by_seed.values() for line in footnotes.notes(each, marks=False))
    notes |= dict.fromkeys(_gaps(cells, by_seed))
    return Section(
        phase=phase,
        track=track or None,
        selected_by=chosen,
        settings=json.loads(settings),
        place=group.place,
        seeds=tuple(by_seed),
        results=_sure(aggregate(merged, specs), cells),
        cells=cells,
        summaries={
            name: summary(
                {
                    seed: by_seed_scores.tasks[name].mean["score"]
                    for seed, by_seed_scores in by_seed.items()
                    if name in by_seed_scores.tasks and len(by_seed_scores.tasks[name].languages) == len(cells[name])
                },
                {
                    seed: _state(by_seed_scores)
                    for seed, by_seed_scores in by_seed.items()
                    if name in by_seed_scores.tasks
                },
            )
            for name in specs
        },
        notes=tuple(sorted(notes, key=lambda line: _first(line, list(specs)))),
    )


def _sure(results: Results, cells: Mapping[str, Mapping[str, Cell]]) -> Results:
    """Return results in which no mean is complete that has a score in it which is not official."""
    tasks = {}
    for name, task in results.tasks.items():
        unsure = [code for code in task.languages if not cells[name][code].official]
        if task.complete and unsure:
            why = f"the data or its seeds are not known to be as they should in {' '.join(unsure)}"
            task = replace(task, complete=False, why=why)
        tasks[name] = task
    average = results.average
    if average is not None and not all(tasks[name].complete for name in average.tasks):
        average = replace(average, complete=False)
    return replace(results, tasks=tasks, average=average)


def _gaps(cells: Mapping[str, Mapping[str, Cell]], by_seed: Mapping[int, Results]) -> Iterator[str]:
    """Yield which seeds lack a language that another has; their means are of other languages, and not compared."""
    for name, by_language in cells.items():
        for seed, results_of_seed in by_seed.items():
            task = results_of_seed.tasks.get(name)
            lacking = [code for code in by_language if task is not None and code not in task.languages]
            if lacking:
                yield f"{name}: seed {seed} has no score for {' '.join(lacking)}"


def _first(line: str, names: Sequence[str]) -> int:
    """Return the place of the target that a note is about, so that what seeds say of one target stands together."""
    return next((i for i, name in enumerate(names) if re.match(rf"{re.escape(name)}[: ]", line)), len(names))


def _in_order(names: Iterable[str]) -> list[str]:
    """Return targets in the order of the benchmarks, then others by name."""
    known = list(dict.fromkeys(task for benchmark in reversed(benchmarks().values()) for task in benchmark.tasks))
    return sorted(names, key=lambda name: (known.index(name) if name in known else len(known), name))


def _cell(scores: Mapping[int, Score], spec: TaskSpec) -> Cell:
    names = spec.score_keys
    # Seeds of other data, or computed otherwise, are no seeds of one experiment.
    alike = len({(s.data_hash, s.n, s.dtype, s.candidates.get("hash"), s.selected_by) for s in scores.values()}) == 1
    official = not is_foreign(spec) and alike and all(_is_official(score) for score in scores.values())
    return Cell(
        scores=scores,
        spreads={name: spread([score.scores[name] for score in scores.values()]) for name in names},
        intervals={name: _interval([score.intervals.get(name) for score in scores.values()]) for name in names},
        official=official,
    )


def _interval(intervals: Sequence[Sequence[float] | None]) -> tuple[float, float] | None:
    there = [each for each in intervals if each is not None]
    if len(there) < len(intervals):
        return None
    return sum(low for low, _ in there) / len(there), sum(high for _, high in there) / len(there)


def _is_official(score: Score) -> bool:
    partly_tuned = {"sample", "stand-in"} & set(score.tuned.get("data_status", ()))
    return score.whole and score.data_status == "complete" and not partly_tuned


def _merged(cell: Cell) -> Score:
    """Return the mean over seeds as a score, for the averages; what is partial in one seed is so in the mean."""
    worst = min(cell.scores.values(), key=_is_official)
    # Beyond the scores and the interval, seeds differ in what names them; averages must not take that for a mixture.
    # A language with other seeds or other heads than the rest makes one. All RUNs are of one checkpoint, though some
    # name it by its hash and some by its commit.
    tuned = {k: v for k, v in worst.tuned.items() if k in ("training_set", "data_status")}
    if tuned:
        tuned["key"] = str([[seed, score.tuned.get("key")] for seed, score in cell.scores.items()])
    means = {name: spread([s.scores[name] for s in cell.scores.values()]).mean for name in worst.scores}
    return replace(
        worst,
        scores={name: value for name, value in means.items() if value is not None},
        seed=None,
        model_sha=None,
        model_hash=None,
        tuned=tuned,
    )


def _state(results: Results) -> str:
    scores = [score for task in results.tasks.values() for score in task.languages.values()]
    return COLLAPSED if any(score.tuned.get("status") == COLLAPSED for score in scores) else COMPLETE


def _headline(sections: Sequence[Section]) -> dict[str, Section]:
    """Return target -> the section that stands for the checkpoint.

    A score of a benchmark's whole languages goes before one of some, and that before a partial one; then one tuned in
    zero-shot before one as it is; then settings that are the least changed. What the scores are does not enter.
    """
    headlines: dict[str, tuple[tuple[int, bool], Section]] = {}
    for section in sections:
        tuned = section.phase == TUNED
        if tuned and (section.track != ZERO_SHOT or section.selected_by != ENGLISH_DEV):
            continue
        for name in section.results.tasks:
            rank = _wholeness(section, name), tuned
            # Of equal ones the first, whose settings are the least changed.
            if name not in headlines or rank > headlines[name][0]:
                headlines[name] = rank, section
    return {name: headlines[name][1] for name in _in_order(headlines)}


def _wholeness(section: Section, name: str) -> int:
    """Return 2 where a target has all languages of a benchmark, 1 where it has some whole ones, 0 where it has none."""
    task, cells = section.results.tasks[name], section.cells[name]
    official = {code for code, cell in cells.items() if cell.official}
    wanted = [task.spec.languages_in(each.name) for each in benchmarks().values() if name in each.tasks]
    if any(official.issuperset(codes) for codes in wanted or [list(task.spec.languages)]):
        return 2
    return 1 if official else 0


def headline_results(headline: Mapping[str, Section], benchmark: str | None) -> Results | None:
    """Return the averages of the scores that stand for the checkpoint, as a benchmark makes them (None: all languages).

    Returns None where no target, or none of the benchmark, has a score.
    """
    tasks = None if benchmark is None else benchmarks()[benchmark].tasks
    wanted = {name: section for name, section in headline.items() if tasks is None or name in tasks}
    specs = {name: section.results.tasks[name].spec for name, section in wanted.items()}
    scores = [score for n, section in wanted.items() for score in section.results.tasks[n].languages.values()]
    if benchmark is not None:
        scores = [score for score in scores if score.language in specs[score.task].languages_in(benchmark)]
    cells = {name: section.cells[name] for name, section in wanted.items()}
    return _sure(aggregate(scores, specs, benchmark=benchmark), cells) if scores else None


def _missing(sections: Sequence[Section]) -> Iterator[Missing]:
    """Yield what of each benchmark has no whole score."""
    there = {
        (name, code)
        for section in sections
        for name, cells in section.cells.items()
        for code, cell in cells.items()
        if cell.official
    }
    for benchmark in benchmarks().values():
        for name in benchmark.tasks:
            spec = load_task(name)
            codes = spec.languages_in(benchmark.name)
            lacking = tuple(code for code in codes if (name, code) not in there)
            if lacking:
                yield Missing(benchmark.name, name, spec.title, lacking, len(codes))


def without_interval(section: Section) -> dict[str, list[str]]:
    """Return target -> languages that have no confidence interval although their metric has one."""
    return {
        name: codes
        for name, cells in section.cells.items()
        if not section.results.tasks[name].spec.metric.startswith(HF_EVALUATE)
        and (
            codes := [
                code
                for code, cell in cells.items()
                if cell.first.n >= 2 and any(interval is None for interval in cell.intervals.values())
            ]
        )
    }
