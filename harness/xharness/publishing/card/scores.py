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
from xharness.publishing.card.content import Cell, MissingScores, Scores, Section
from xharness.results import footnotes
from xharness.results import score as results_score
from xharness.results.aggregate import Results, aggregate, is_foreign
from xharness.results.runs import Run, checked_scores
from xharness.results.score import AS_IS, TUNED, ZERO_SHOT, Score
from xharness.tasks.benchmarks import benchmarks
from xharness.tasks.dataset_spec import HF_EVALUATE
from xharness.tasks.recipes import DEFAULT, TUNING_AVERAGE_LAST, TUNING_LANGUAGES
from xharness.tasks.registry import load_task
from xharness.tasks.task_spec import TaskSpec


@dataclass(frozen=True)
class _Group:
    """The scores of one section, its folder in the repository, and the specs of its targets."""

    by_seed: dict[int, list[Score]]
    folder: str
    specs: dict[str, TaskSpec]


def merge_runs(runs: Sequence[Run]) -> Scores:
    """Merge the runs of one checkpoint over seeds, as a card shows them.

    Scores are merged if everything but the seed is the same: phase, track, checkpoint selection and settings. A score
    over several seeds is the mean over all seeds that have one, collapsed seeds included. A score as is does not depend
    on the seed, so only the first one is used.

    Raises:
        DataError: a score was computed with another version of its task's spec, or its target cannot have it.
    """
    groups: dict[tuple[str, str, str, str], _Group] = {}
    for run in runs:
        specs = run.specs()
        scores = checked_scores(run, specs)
        settings = run.record.get("settings", {})
        for phase in (AS_IS, TUNED):
            of_phase = [score for score in scores if score.phase == phase]
            if of_phase:
                track = str(run.tune.get("track") or of_phase[0].track or "") if phase == TUNED else ""
                selected_by = str(run.tune.get("selected_by") or of_phase[0].selected_by) if phase == TUNED else "none"
                key = (phase, track, selected_by, json.dumps(settings, sort_keys=True))
                file = PurePosixPath(publishing_runs.result_path(run))
                group = groups.setdefault(key, _Group({}, str(file.parent.parent), {}))
                group.by_seed.setdefault(run.record.get("seed") or 0, []).extend(of_phase)
                group.specs.update(specs)
    sections = tuple(_section(key, groups[key]) for key in sorted(groups, key=_section_order))
    headline = _headline(sections)
    return Scores(sections, headline, headline_results(headline, None), tuple(_missing(sections)))


def _section_order(key: tuple[str, str, str, str]) -> tuple[bool, int, bool, str, int, bool, str]:
    """Return the sort key of a section.

    As is comes before tuned, zero-shot before other tracks, the fewest changed settings first, and float32 before other
    dtypes.
    """
    phase, track, selected_by, text = key
    tracks, settings = list(results_score.TRACKS), json.loads(text)
    rank = tracks.index(track) if track in tracks else -1
    inexact = settings.get("dtype") != "float32"
    return phase == TUNED, rank, selected_by != ENGLISH_DEV, selected_by, len(changed_settings(settings)), inexact, text


def changed_settings(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings that differ from xharness' defaults and affect scores, including those of tuning.

    The dtype is left out, because it depends on the machine.
    """
    ignored = {"dtype", "tune"}
    values = {k: v for k, v in settings.items() if k not in ignored}
    tune: Mapping[str, Any] = settings.get("tune") or {}
    defaults = {"recipe": DEFAULT, "languages": list(TUNING_LANGUAGES), "average_last": TUNING_AVERAGE_LAST}
    names = ("recipe", "languages", "shots", "train_n", "max_steps", "lora", "average_last")
    values |= {name: tune[name] for name in names if name in tune and tune[name] != defaults.get(name)}
    values |= tune.get("given") or {}
    return {k: v for k, v in values.items() if v not in (None, {}, "test")}


def _section(key: tuple[str, str, str, str], group: _Group) -> Section:
    phase, track, selected_by, settings = key
    runs = sorted(group.by_seed.items())
    by_cell: dict[tuple[str, str], dict[int, Score]] = {}
    for seed, scores in runs:
        for score in scores:
            cell_scores = by_cell.setdefault((score.task, score.language), {})
            if phase == TUNED or not cell_scores:
                cell_scores[seed] = score
    specs = {name: group.specs[name] for name in _sort_targets({task for task, _ in by_cell})}
    cells = {
        name: {code: _cell(by_cell[name, code], spec) for code in spec.languages if (name, code) in by_cell}
        for name, spec in specs.items()
    }
    merged = [_mean_score(cell) for of_task in cells.values() for cell in of_task.values()]
    by_seed = {seed: aggregate(scores, specs) for seed, scores in (runs if phase == TUNED else [(runs[0][0], merged)])}
    notes = dict.fromkeys(
        line for seed_results in by_seed.values() for line in footnotes.notes(seed_results, marks=False)
    )
    notes |= dict.fromkeys(_missing_languages(cells, by_seed))
    return Section(
        phase=phase,
        track=track or None,
        selected_by=selected_by,
        settings=json.loads(settings),
        folder=group.folder,
        seeds=tuple(by_seed),
        results=_mark_unofficial(aggregate(merged, specs), cells),
        cells=cells,
        summaries={
            name: summary(
                {
                    seed: seed_results.tasks[name].mean["score"]
                    for seed, seed_results in by_seed.items()
                    if name in seed_results.tasks and len(seed_results.tasks[name].languages) == len(cells[name])
                },
                {
                    seed: _training_status(seed_results)
                    for seed, seed_results in by_seed.items()
                    if name in seed_results.tasks
                },
            )
            for name in specs
        },
        notes=tuple(sorted(notes, key=lambda line: _target_position(line, list(specs)))),
    )


def _mark_unofficial(results: Results, cells: Mapping[str, Mapping[str, Cell]]) -> Results:
    """Return the results with every mean marked as partial that includes an unofficial score."""
    tasks = {}
    for name, task in results.tasks.items():
        unsure = [code for code in task.languages if not cells[name][code].official]
        if task.complete and unsure:
            why = f"test data not known to be complete, or seeds that differ, in {' '.join(unsure)}"
            task = replace(task, complete=False, why=why)
        tasks[name] = task
    average = results.average
    if average is not None and not all(tasks[name].complete for name in average.tasks):
        average = replace(average, complete=False)
    return replace(results, tasks=tasks, average=average)


def _missing_languages(cells: Mapping[str, Mapping[str, Cell]], by_seed: Mapping[int, Results]) -> Iterator[str]:
    """Yield which seeds lack a language that another has. Their means cover other languages and are not compared."""
    for name, by_language in cells.items():
        for seed, results_of_seed in by_seed.items():
            task = results_of_seed.tasks.get(name)
            lacking = [code for code in by_language if task is not None and code not in task.languages]
            if lacking:
                yield f"{name}: seed {seed} has no score for {' '.join(lacking)}"


def _target_position(line: str, names: Sequence[str]) -> int:
    """Return the position of the target that a note is about, to keep the notes of all seeds on a target together."""
    return next((i for i, name in enumerate(names) if re.match(rf"{re.escape(name)}[: ]", line)), len(names))


def _sort_targets(names: Iterable[str]) -> list[str]:
    """Sort targets in the order of the benchmarks, then others by name."""
    known = list(dict.fromkeys(task for benchmark in reversed(benchmarks().values()) for task in benchmark.tasks))
    return sorted(names, key=lambda name: (known.index(name) if name in known else len(known), name))


def _cell(scores: Mapping[int, Score], spec: TaskSpec) -> Cell:
    names = spec.score_keys
    # Seeds with other data or another computation do not belong to one experiment.
    alike = len({(s.data_hash, s.n, s.dtype, s.candidates.get("hash"), s.selected_by) for s in scores.values()}) == 1
    official = not is_foreign(spec) and alike and all(_is_official(score) for score in scores.values())
    return Cell(
        scores=scores,
        spreads={name: spread([score.scores[name] for score in scores.values()]) for name in names},
        intervals={name: _interval([score.intervals.get(name) for score in scores.values()]) for name in names},
        official=official,
    )


def _interval(intervals: Sequence[Sequence[float] | None]) -> tuple[float, float] | None:
    known = [interval for interval in intervals if interval is not None]
    if len(known) < len(intervals):
        return None
    return sum(low for low, _ in known) / len(known), sum(high for _, high in known) / len(known)


def _is_official(score: Score) -> bool:
    partly_tuned = {"sample", "stand-in"} & set(score.tuned.get("data_status", ()))
    return score.complete and score.data_status == "complete" and not partly_tuned


def _mean_score(cell: Cell) -> Score:
    """Return the mean over seeds as a score, for the averages. It is partial if one of the seeds is."""
    worst = min(cell.scores.values(), key=_is_official)
    # Seeds also differ in their keys and hashes. The averages must not mistake that for a mixture of checkpoints, while
    # a language with other seeds or heads than the rest is one. All runs belong to one checkpoint, although some name
    # it by its hash and some by its commit.
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


def _training_status(results: Results) -> str:
    scores = [score for task in results.tasks.values() for score in task.languages.values()]
    return COLLAPSED if any(score.tuned.get("status") == COLLAPSED for score in scores) else COMPLETE


def _headline(sections: Sequence[Section]) -> dict[str, Section]:
    """Return target -> the section that represents the checkpoint.

    Scores on all languages of a benchmark come before complete scores on some, and these before partial ones. Then
    zero-shot tuned comes before as is, then the fewest changed settings. The values of the scores play no role.
    """
    headlines: dict[str, tuple[tuple[int, bool], Section]] = {}
    for section in sections:
        tuned = section.phase == TUNED
        if tuned and (section.track != ZERO_SHOT or section.selected_by != ENGLISH_DEV):
            continue
        for name in section.results.tasks:
            rank = _completeness_rank(section, name), tuned
            # Of equal ranks the first is kept, which has the fewest changed settings.
            if name not in headlines or rank > headlines[name][0]:
                headlines[name] = rank, section
    return {name: headlines[name][1] for name in _sort_targets(headlines)}


def _completeness_rank(section: Section, name: str) -> int:
    """Return 2 if a target has all languages of a benchmark, 1 if it has some complete scores, 0 if it has none."""
    task, cells = section.results.tasks[name], section.cells[name]
    official = {code for code, cell in cells.items() if cell.official}
    wanted = [task.spec.languages_in(benchmark.name) for benchmark in benchmarks().values() if name in benchmark.tasks]
    if any(official.issuperset(codes) for codes in wanted or [list(task.spec.languages)]):
        return 2
    return 1 if official else 0


def headline_results(headline: Mapping[str, Section], benchmark: str | None) -> Results | None:
    """Return the averages of the headline scores, over the languages of a benchmark (None: over all languages).

    Returns None where no target, or none of the benchmark, has a score.
    """
    tasks = None if benchmark is None else benchmarks()[benchmark].tasks
    wanted = {name: section for name, section in headline.items() if tasks is None or name in tasks}
    specs = {name: section.results.tasks[name].spec for name, section in wanted.items()}
    scores = [score for n, section in wanted.items() for score in section.results.tasks[n].languages.values()]
    if benchmark is not None:
        scores = [score for score in scores if score.language in specs[score.task].languages_in(benchmark)]
    cells = {name: section.cells[name] for name, section in wanted.items()}
    return _mark_unofficial(aggregate(scores, specs, benchmark=benchmark), cells) if scores else None


def _missing(sections: Sequence[Section]) -> Iterator[MissingScores]:
    """Yield the targets and languages of each benchmark that have no complete score."""
    complete = {
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
            lacking = tuple(code for code in codes if (name, code) not in complete)
            if lacking:
                yield MissingScores(benchmark.name, name, spec.title, lacking, len(codes))


def without_interval(section: Section) -> dict[str, list[str]]:
    """Return target -> languages without a confidence interval although their metric has one."""
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
