"""Average scores over languages, groups and targets as the benchmarks do."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from xharness.metrics.base import mean as mean_of
from xharness.metrics.base import task_score
from xharness.results.completeness import why_incomplete
from xharness.results.score import TUNED, Score
from xharness.tasks.benchmarks import Benchmark, benchmarks
from xharness.tasks.registry import list_tasks, load_task
from xharness.tasks.task_spec import TaskSpec

PARTIAL = "partial"
"""The word that is shown beside every mean that is not the benchmark's."""


@dataclass(frozen=True)
class TaskResult:
    """One target over its languages.

    Attributes:
        spec: the target.
        languages: code -> score, in the order of the spec.
        missing: codes of the languages (of the benchmark, or of the spec) that have no score.
        mean: metric -> mean over the languages that have a score, English included, in percent, each counting the
            same (or as many examples as it has, where the spec's ``average`` says so); and ``score``, the number
            that enters the benchmark's average.
        complete: whether every language has a score on the complete data, all computed in the same way.
        why: why not complete, as a sentence; '' if complete.
        gap: ``score`` of English minus the mean ``score`` of the others; None where it is not defined.
        gap_note: why there is no gap.
    """

    spec: TaskSpec
    languages: dict[str, Score]
    missing: tuple[str, ...]
    mean: dict[str, float]
    complete: bool
    why: str
    gap: float | None
    gap_note: str | None


@dataclass(frozen=True)
class Average:
    """A mean of task scores; complete if every task has a score and is complete."""

    score: float
    complete: bool
    tasks: tuple[str, ...]
    missing: tuple[str, ...]


@dataclass(frozen=True)
class Results:
    """What ``evaluate`` and ``score`` return: scores per target and language, and the averages over them.

    Attributes:
        benchmark: the benchmark whose groups and languages the averages follow.
        tasks: target name -> its result.
        groups: group name -> mean of its tasks' scores.
        official_groups: the same with the groups of the benchmark's own evaluate.py.
        overall: mean over the benchmark's tasks; None unless every task has a score and is complete.
        average: the same mean over the tasks that have a score (never to be shown as the benchmark's unless complete).
        provenance: facts that apply to all scores (model, folder ...).
    """

    benchmark: str
    tasks: dict[str, TaskResult]
    groups: dict[str, Average]
    official_groups: dict[str, Average]
    average: Average | None
    provenance: dict[str, Any]

    @property
    def overall(self) -> float | None:
        """The benchmark's average; None unless every target and language has a score and is complete."""
        return self.average.score if self.average is not None and self.average.complete else None

    def to_json(self) -> dict[str, Any]:
        """Return the object that ``--json`` prints."""
        return {
            **self.provenance,
            "benchmark": self.benchmark,
            "tasks": {name: _task_json(task) for name, task in self.tasks.items()},
            "groups": {name: _average_json(group) for name, group in self.groups.items()},
            "official_groups": {name: _average_json(group) for name, group in self.official_groups.items()},
            "overall": self.overall,
        }

    def to_pandas(self) -> Any:
        """Return a pandas DataFrame with one row per target, language and metric."""
        import pandas

        return pandas.DataFrame(
            [
                {
                    "task": s.task,
                    "language": s.language,
                    "metric": m,
                    "value": v,
                    "n": s.n,
                    "status": s.data_status,
                }
                for task in self.tasks.values()
                for s in task.languages.values()
                for m, v in s.scores.items()
            ]
        )


def _task_json(task: TaskResult) -> dict[str, Any]:
    return {
        "languages": {
            code: {
                "n": s.n,
                **s.scores,
                **({"intervals": s.intervals} if s.intervals else {}),
                **({"counts": s.counts} if s.counts else {}),
                "data_status": s.data_status,
                "data_hash": s.data_hash,
                "predictions_sha256": s.predictions_sha256,
                **({"dtype": s.dtype} if s.dtype else {}),
                "phase": s.phase,
                "selected_by": s.selected_by,
                **({"track": s.track, "tuned": s.tuned} if s.phase == TUNED else {}),
                **({"layer": s.layer} if s.layer is not None else {}),
                **{k: v for k in ("encoding", "selection", "candidates") if (v := getattr(s, k))},
                **({"notes": list(s.notes)} if s.notes else {}),
            }
            for code, s in task.languages.items()
        },
        "mean": task.mean,
        "complete": task.complete,
        "incomplete_because": task.why or None,
        "missing": list(task.missing),
        "transfer_gap": task.gap,
        "transfer_gap_note": task.gap_note,
        "spec_hash": task.spec.hash,
    }


def _average_json(average: Average) -> dict[str, Any]:
    return {
        "score": average.score,
        "complete": average.complete,
        "tasks": list(average.tasks),
        "missing": list(average.missing),
    }


def aggregate(
    scores: Iterable[Score],
    specs: Mapping[str, TaskSpec],
    *,
    benchmark: str | None = None,
    provenance: dict[str, Any] | None = None,
) -> Results:
    """Return means per task, group and benchmark.

    Args:
        scores: any number of scores of one checkpoint (or one folder of predictions) and seed.
        specs: task name -> spec, for every task that has a score.
        benchmark: whose languages and groups to average over; None: the languages of the specs and the groups of
            XTREME (of XTREME-R where a task is only in that one).
        provenance: stored in ``Results.provenance``.
    """
    by_task: dict[str, dict[str, Score]] = {}
    for score in scores:
        by_task.setdefault(score.task, {})[score.language] = score
    tasks = {
        name: task_result(specs[name], by_task[name], benchmark if _is_in(name, benchmark) else None)
        for name in specs
        if name in by_task
    }
    for name, result in tasks.items():
        if is_foreign(specs[name]):
            tasks[name] = replace(result, complete=False, why="another task file than the benchmark's of this name")
    followed = _benchmark(benchmark, tasks)
    groups = {n: a for n, members in followed.groups.items() if (a := _average(members, tasks, followed.name))}
    official = {
        n: a for n, members in followed.official_groups.items() if (a := _average(members, tasks, followed.name))
    }
    # If no benchmark is named, the means may include languages that it does not have: never the benchmark's average.
    overall = _average(followed.tasks, tasks, followed.name) if benchmark else None
    return Results(followed.name, tasks, groups, official, overall, provenance or {})


def is_foreign(spec: TaskSpec) -> bool:
    """Return whether a user's task file has the name of a shipped target; its scores are not the benchmark's."""
    return spec.name in list_tasks() and spec.hash != load_task(spec.name).hash


def side_by_side(results: Iterable[Results]) -> Results:
    """Merge the targets of several results, of different checkpoints, for one table; without averages."""
    results = list(results)
    tasks = {name: task for result in results for name, task in result.tasks.items()}
    shared = {
        k: v for k, v in results[0].provenance.items() if all(result.provenance.get(k) == v for result in results)
    }
    return Results(results[0].benchmark, tasks, {}, {}, None, shared)


def _is_in(task: str, benchmark: str | None) -> bool:
    return benchmark is not None and task in benchmarks()[benchmark].tasks


def _benchmark(name: str | None, tasks: Iterable[str]) -> Benchmark:
    known = benchmarks()
    if name is not None:
        return known[name]
    return max(known.values(), key=lambda b: (sum(t in b.tasks for t in tasks), b.name == "xtreme"))


def _average(members: Iterable[str], tasks: Mapping[str, TaskResult], benchmark: str) -> Average | None:
    members = tuple(members)
    present = tuple(m for m in members if m in tasks)
    if not present:
        return None
    score = mean_of(tasks[m].mean["score"] for m in present)
    # Languages beyond the benchmark's (XQuAD's Romanian in XTREME) make a mean that is not the benchmark's.
    complete = len(present) == len(members) and all(
        tasks[m].complete and list(tasks[m].languages) == tasks[m].spec.languages_in(benchmark) for m in present
    )
    return Average(score, complete, present, tuple(m for m in members if m not in tasks))


def task_result(spec: TaskSpec, scores: Mapping[str, Score], benchmark: str | None) -> TaskResult:
    """Return the mean of a target over the languages of a benchmark (None: all of the spec).

    Means are plain sums over languages in the spec's order divided by their number, as in XTREME's evaluate.py, or
    weighted by examples where the spec's ``average`` says so.
    """
    wanted = spec.languages_in(benchmark)
    present = {code: scores[code] for code in wanted if code in scores}
    missing = tuple(code for code in wanted if code not in scores)
    # A metric that only some languages have (LAReQA's uncut mean, where ranks are not given) has no mean.
    first = next(iter(present.values())).scores if present else {}
    metrics = [name for name in first if all(name in score.scores for score in present.values())]
    mean = {m: mean_over(spec, [(s.scores[m], s.n) for s in present.values()]) for m in metrics}
    if present:
        mean["score"] = task_score(spec.score_keys, mean)
    why = why_incomplete(spec, present, missing)
    gap, note = _gap(spec, present)
    return TaskResult(spec, present, missing, mean, not why, why, gap, note)


def mean_over(spec: TaskSpec, values: Iterable[tuple[float, int]]) -> float:
    """Return the mean of (score, number of examples) pairs, over languages or over examples as the spec says."""
    if spec.average == "languages":
        return mean_of(value for value, _ in values)
    total, count = 0.0, 0
    # Not sum(), which compensates for rounding from Python 3.12 on.
    for value, n in values:
        total += value * n
        count += n
    return total / count


def language_score(spec: TaskSpec, score: Score) -> float:
    """Return the score of a language that is comparable with the task's ``score``, in percent."""
    return task_score(spec.score_keys, score.scores)


def odd_type(task: TaskResult, score: Score) -> bool:
    """Return whether a language was computed in another dtype than most languages of its target."""
    types = [s.dtype for s in task.languages.values()]
    # Not a set: where two dtypes are equally frequent, every run of the program must mark the same one.
    return score.dtype != max(dict.fromkeys(types), key=types.count)


def _gap(spec: TaskSpec, scores: Mapping[str, Score]) -> tuple[float | None, str | None]:
    source = [c for c, line in spec.languages.items() if not line.zero_shot]
    if not source:
        return None, f"{spec.name} has no English"
    if source[0] not in scores:
        return None, "English was not scored"
    zero_shot = [s for c, s in scores.items() if spec.languages[c].zero_shot]
    if not zero_shot:
        return None, "no language beside English was scored"
    others = mean_over(spec, [(language_score(spec, s), s.n) for s in zero_shot])
    return language_score(spec, scores[source[0]]) - others, None
