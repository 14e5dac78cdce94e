"""Rows and cells of the leaderboard; scores.json."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Final, Literal

from xharness.metrics.base import mean
from xharness.results.aggregate import language_score, task_result
from xharness.results.score import Score
from xharness.tasks.benchmarks import Benchmark, benchmarks
from xharness.tasks.languages import Language, languages
from xharness.tasks.registry import load_task
from xharness.tasks.task_spec import TaskSpec
from xharness.version import __version__

SCHEMA_VERSION = 1
SCORES_FILE = "scores.json"
SUBMISSION: Final = "submission"
REPORTED: Final = "reported"


@dataclass(frozen=True, slots=True)
class GoldRecord:
    """The gold data of a score: hashes of the examples and of the spec, and the source of the examples."""

    data_hash: str
    spec_hash: str
    source: str | None
    revision: str | None
    status: str


@dataclass(frozen=True, slots=True)
class Cell:
    """The score of a row for one language of one target.

    Attributes:
        score: mean over seeds of each metric; all other fields are those of the first seed.
        deviation: standard deviation over seeds of the number that enters the target's mean; None for one seed.
        interval: 95 % interval of that number, averaged over seeds; None if not known.
        complete: whether it counts towards a benchmark's mean, for all seeds.
        data: the gold data; None for published scores.
        by_seed: seed -> that number; empty for published scores.
    """

    score: Score
    deviation: float | None
    interval: tuple[float, float] | None
    complete: bool
    data: GoldRecord | None
    by_seed: Mapping[int, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Row:
    """A row of the leaderboard without its numbers.

    Attributes:
        kind: ``submission``, or ``reported`` for published scores without predictions.
        checked: whether the maintainers' check computed its scores; otherwise they are the submitter's claims.
        withdrawn: whether its submitter withdrew it; ``withdrawn_reason`` says why.
        track: ``architecture``, ``phase``, ``training``, ``selected_by``; None if a source does not say.
        source: of published scores: ``text`` and ``url`` of the source; ``note`` holds remarks to show with them.
        replicates: the file beside the page with its bootstrap replicates; None if there is none.
    """

    id: str
    name: str
    kind: Literal["submission", "reported"]
    checked: bool = False
    withdrawn: bool = False
    withdrawn_reason: str | None = None
    track: Mapping[str, str | None] = field(default_factory=dict)
    declarations: Mapping[str, Any] = field(default_factory=dict)
    model: Mapping[str, Any] = field(default_factory=dict)
    submitted_by: str | None = None
    seeds: tuple[int, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    source: Mapping[str, str | None] | None = None
    note: str | None = None
    replicates: str | None = None


@dataclass(frozen=True)
class BoardSchema:
    """The targets, languages and benchmarks of the leaderboard, from the specs of this version.

    Attributes:
        tasks: the targets of all benchmarks, by name.
        hashes: target -> hash of its current spec.
        members: target -> benchmark -> codes of its languages, in the order of the spec.
        languages: code -> facts about a language of the targets.
        benchmarks: by name.
    """

    tasks: Mapping[str, TaskSpec]
    hashes: Mapping[str, str]
    members: Mapping[str, Mapping[str, list[str]]]
    languages: Mapping[str, Language]
    benchmarks: Mapping[str, Benchmark]


def board_schema() -> BoardSchema:
    """Return the schema for the task files of this version."""
    by_name = benchmarks()
    tasks = {task: load_task(task) for each in by_name.values() for task in each.tasks}
    members = {
        name: {b.name: spec.languages_in(b.name) for b in by_name.values() if name in b.tasks}
        for name, spec in tasks.items()
    }
    codes_in_use = {code for each in members.values() for codes in each.values() for code in codes}
    in_use = {code: line for code, line in sorted(languages().items()) if code in codes_in_use}
    return BoardSchema(tasks, {name: spec.hash for name, spec in tasks.items()}, members, in_use, by_name)


@dataclass(frozen=True)
class BoardRow:
    """A row for `BoardBuilder`: its fields with its averages, and its cells.

    Attributes:
        row: the fields in scores.json.
        cells: tuples of target, language, the numbers of ``_COLUMNS``, and the gold data.
    """

    row: Mapping[str, Any]
    cells: tuple[tuple[Any, ...], ...]


def board_row(
    schema: BoardSchema,
    row: Row,
    cells: Iterable[Cell],
    reported_means: Mapping[str, Mapping[str, float]] | None = None,
) -> BoardRow:
    """Build a row of the leaderboard.

    Args:
        schema: the schema of the leaderboard.
        row: the row without its numbers.
        cells: its cells, all of targets and languages in the schema.
        reported_means: benchmark -> target -> the target's mean, where a source gives only the mean.
    """
    cells = list(cells)
    content = {**asdict(row), "by_seed": _by_seed(row, cells), **averages(schema, cells, reported_means or {})}
    return BoardRow(content, tuple(_numbers(schema, cell) for cell in cells))


def _by_seed(row: Row, cells: Iterable[Cell]) -> dict[str, dict[str, tuple[float | None, ...]]] | None:
    """Return target -> language -> its score for each seed of the row (None if missing); None for a single seed.

    This is part of the row and not of the cells, because most rows have one seed.
    """
    if len(row.seeds) < 2:
        return None
    by_task: dict[str, dict[str, tuple[float | None, ...]]] = {}
    for cell in cells:
        values = tuple(cell.by_seed.get(seed) for seed in row.seeds)
        by_task.setdefault(cell.score.task, {})[cell.score.language] = values
    return by_task


def _numbers(schema: BoardSchema, cell: Cell) -> tuple[Any, ...]:
    score = cell.score
    spec = schema.tasks[score.task]
    return (
        score.task,
        score.language,
        language_score(spec, score),
        # A tuple and no list: the garbage collector would visit a million lists again and again.
        tuple(score.scores[key] for key in spec.score_keys),
        cell.deviation,
        *(cell.interval or (None, None)),
        score.n,
        int(cell.complete),
        cell.data,
    )


_COLUMNS = ("row", "task", "language", "score", "metrics", "deviation", "low", "high", "n", "whole", "data")


class BoardBuilder:
    """Collects the rows of a leaderboard, with their numbers in columns.

    Args:
        schema: the schema of the leaderboard.
        title: its title.
        repo, sha: the data set it is built from and the commit; None for a local folder.
    """

    def __init__(self, schema: BoardSchema, title: str, repo: str | None, sha: str | None) -> None:
        self.schema = schema
        self._head = {
            "schema_version": SCHEMA_VERSION,
            "title": title,
            "built_from": {"repo": repo, "sha": sha},
            "xharness": __version__,
        }
        self._rows: list[dict[str, Any]] = []
        self._data: dict[GoldRecord, int] = {}
        self._tasks = {name: index for index, name in enumerate(schema.tasks)}
        self._languages = {code: index for index, code in enumerate(schema.languages)}
        self._cells: dict[str, list[Any]] = {name: [] for name in _COLUMNS}

    def add(self, line: BoardRow) -> None:
        """Append a row."""
        number = len(self._rows)
        self._rows.append({**line.row, "superseded_by": None})
        for task, language, *numbers, data in line.cells:
            data_index = None if data is None else self._data.setdefault(data, len(self._data))
            values = (number, self._tasks[task], self._languages[language], *numbers, data_index)
            for column, value in zip(self._cells.values(), values, strict=True):
                column.append(value)

    def supersede(self, superseded: Mapping[str, str]) -> None:
        """Set ``superseded_by`` of rows: id -> id of the row that replaces it."""
        for row in self._rows:
            row["superseded_by"] = superseded.get(row["id"])

    def to_json(self) -> dict[str, Any]:
        """Return the content of ``scores.json``."""
        return {
            **self._head,
            "tasks": [_task_json(self.schema, spec) for spec in self.schema.tasks.values()],
            "benchmarks": [
                {"name": b.name, "title": b.title, "tasks": b.tasks, "groups": b.groups}
                for b in self.schema.benchmarks.values()
            ],
            "languages": [
                {"code": code, **{name: getattr(line, name) for name in _LANGUAGE_FIELDS}}
                for code, line in self.schema.languages.items()
            ],
            "rows": self._rows,
            "cells": self._cells,
            "data": [asdict(record) for record in self._data],
        }


_LANGUAGE_FIELDS = ("name", "family", "script", "joshi_class", "cc100_gib")


def averages(
    schema: BoardSchema, cells: Iterable[Cell], reported_means: Mapping[str, Mapping[str, float]]
) -> dict[str, Any]:
    """Return ``overall`` and ``task_scores`` of a row, by the rules of ``xharness report``.

    A benchmark has an average only if all its targets and languages are complete; the mean of a target over fewer
    languages is given and marked as not complete.
    """
    by_task: dict[str, dict[str, Cell]] = {}
    for cell in cells:
        by_task.setdefault(cell.score.task, {})[cell.score.language] = cell
    overall: dict[str, float | None] = {}
    task_scores: dict[str, dict[str, Any]] = {}
    for name, benchmark in schema.benchmarks.items():
        complete_means: list[float] = []
        for task in benchmark.tasks:
            value, complete = _task_mean(schema.tasks[task], by_task.get(task, {}), name)
            if value is None:
                # A source's mean is over the complete target, or its note says otherwise.
                value = reported_means.get(name, {}).get(task)
                complete = value is not None
            if value is None:
                continue
            task_row = task_scores.setdefault(
                task, {**dict.fromkeys(schema.benchmarks), "complete": dict.fromkeys(schema.benchmarks, False)}
            )
            task_row[name], task_row["complete"][name] = value, complete
            if complete:
                complete_means.append(value)
        overall[name] = mean(complete_means) if len(complete_means) == len(benchmark.tasks) else None
    return {"overall": overall, "task_scores": task_scores}


def _task_mean(spec: TaskSpec, cells: Mapping[str, Cell], benchmark: str) -> tuple[float | None, bool]:
    """Return the mean of a target in a benchmark, and whether it is complete."""
    result = task_result(spec, {code: cell.score for code, cell in cells.items()}, benchmark)
    if not result.languages:
        return None, False
    return result.mean["score"], result.complete and all(cells[code].complete for code in result.languages)


def _task_json(schema: BoardSchema, spec: TaskSpec) -> dict[str, Any]:
    benchmarks = schema.members[spec.name]
    codes_of_task = {code for codes in benchmarks.values() for code in codes}
    source = [code for code, line in spec.languages.items() if not line.zero_shot and code in codes_of_task]
    groups = [name for each in schema.benchmarks.values() for name, of in each.groups.items() if spec.name in of]
    return {
        "name": spec.name,
        "title": spec.title,
        "group": groups[0],
        "metric": spec.metric,
        "score_keys": list(spec.score_keys),
        "average": spec.average,
        "languages": [code for code in spec.languages if code in codes_of_task],
        "english": source[0] if source else None,
        "benchmarks": benchmarks,
    }
