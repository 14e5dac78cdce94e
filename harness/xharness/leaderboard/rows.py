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
class Data:
    """What a number was scored on: hash of the examples and of the spec, and where the examples came from."""

    data_hash: str
    spec_hash: str
    source: str | None
    revision: str | None
    status: str


@dataclass(frozen=True, slots=True)
class Cell:
    """One language of one target of a row.

    Attributes:
        score: its scores, each the mean over the seeds that have it; what does not vary is that of the first.
        deviation: standard deviation over seeds of the number that enters the target's mean; None of one seed.
        ends: of the 95 % interval of that number, mean over seeds; None where it is not known.
        whole: whether it counts towards a benchmark's mean, for every seed alike.
        data: None for reported figures.
        by_seed: seed -> that number; none for reported figures.
    """

    score: Score
    deviation: float | None
    ends: tuple[float, float] | None
    whole: bool
    data: Data | None
    by_seed: Mapping[int, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Row:
    """One line of the board, without its numbers.

    Attributes:
        kind: ``submission``, or ``reported``: published figures, of which there are no predictions.
        checked: whether the maintainers' check computed its numbers; others are the submitter's claims.
        withdrawn: whether its submitter took it back, ``withdrawn_reason`` why.
        track: ``architecture``, ``phase``, ``training``, ``selected_by``; None where a source does not say.
        source: reported: ``text`` and ``url`` of where the figures stand; ``note`` is what must be said beside them.
        replicates: the file beside the page that holds its bootstrap replicates; None where there are none.
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
    """What the board has columns for, as the specs and benchmarks say it.

    Attributes:
        tasks: the targets of all benchmarks, by name.
        hashes: the hash of each target's spec as it is now.
        members: target -> benchmark -> codes of its languages, in the order of the spec.
        languages: those of the targets, with what is known of them, by code.
        benchmarks: by name.
    """

    tasks: Mapping[str, TaskSpec]
    hashes: Mapping[str, str]
    members: Mapping[str, Mapping[str, list[str]]]
    languages: Mapping[str, Language]
    benchmarks: Mapping[str, Benchmark]


def layout() -> BoardSchema:
    """Return the layout of this version's task files."""
    known = benchmarks()
    tasks = {task: load_task(task) for each in known.values() for task in each.tasks}
    members = {
        name: {b.name: spec.languages_in(b.name) for b in known.values() if name in b.tasks}
        for name, spec in tasks.items()
    }
    there = {code for each in members.values() for codes in each.values() for code in codes}
    facts = {code: line for code, line in sorted(languages().items()) if code in there}
    return BoardSchema(tasks, {name: spec.hash for name, spec in tasks.items()}, members, facts, known)


@dataclass(frozen=True)
class BoardRow:
    """A row as the board takes it: what is said of it with its averages, and its numbers.

    Attributes:
        row: as it stands in scores.json.
        cells: target, language, the numbers of ``_COLUMNS``, and what they were scored on.
    """

    row: Mapping[str, Any]
    cells: tuple[tuple[Any, ...], ...]


def line(
    shape: BoardSchema, row: Row, cells: Iterable[Cell], task_scores: Mapping[str, Mapping[str, float]] | None = None
) -> BoardRow:
    """Return a row of the board.

    Args:
        shape: what the board has columns for.
        row: what is said of it.
        cells: its numbers, of targets and languages that the layout has.
        task_scores: benchmark -> target -> the target's mean, where a source gives that alone.
    """
    cells = list(cells)
    values = {**asdict(row), "by_seed": _by_seed(row, cells), **averages(shape, cells, task_scores or {})}
    return BoardRow(values, tuple(_numbers(shape, cell) for cell in cells))


def _by_seed(row: Row, cells: Iterable[Cell]) -> dict[str, dict[str, tuple[float | None, ...]]] | None:
    """Return target -> language -> its number under each of the row's seeds, None where one has none; None of one seed.

    In the row and not among the cells, of which most rows have one seed's.
    """
    if len(row.seeds) < 2:
        return None
    by_seed: dict[str, dict[str, tuple[float | None, ...]]] = {}
    for cell in cells:
        values = tuple(cell.by_seed.get(seed) for seed in row.seeds)
        by_seed.setdefault(cell.score.task, {})[cell.score.language] = values
    return by_seed


def _numbers(shape: BoardSchema, cell: Cell) -> tuple[Any, ...]:
    score = cell.score
    spec = shape.tasks[score.task]
    return (
        score.task,
        score.language,
        language_score(spec, score),
        # No list: of a million of them the garbage collector would look at each again and again.
        tuple(score.scores[key] for key in spec.score_keys),
        cell.deviation,
        *(cell.ends or (None, None)),
        score.n,
        int(cell.whole),
        cell.data,
    )


_COLUMNS = ("row", "task", "language", "score", "metrics", "deviation", "low", "high", "n", "whole", "data")


class BoardBuilder:
    """The board while it is put together: rows one after the other, their numbers in columns.

    Args:
        shape: what it has columns for.
        title: what it is called.
        repo, sha: the data set that it is built from, and the commit; None: a folder.
    """

    def __init__(self, shape: BoardSchema, title: str, repo: str | None, sha: str | None) -> None:
        self.layout = shape
        self._head = {
            "schema_version": SCHEMA_VERSION,
            "title": title,
            "built_from": {"repo": repo, "sha": sha},
            "xharness": __version__,
        }
        self._rows: list[dict[str, Any]] = []
        self._data: dict[Data, int] = {}
        self._tasks = {name: place for place, name in enumerate(shape.tasks)}
        self._languages = {code: place for place, code in enumerate(shape.languages)}
        self._cells: dict[str, list[Any]] = {name: [] for name in _COLUMNS}

    def add(self, line: BoardRow) -> None:
        """Put a row at the end."""
        number = len(self._rows)
        self._rows.append({**line.row, "superseded_by": None})
        for task, language, *numbers, data in line.cells:
            place = None if data is None else self._data.setdefault(data, len(self._data))
            values = (number, self._tasks[task], self._languages[language], *numbers, place)
            for column, value in zip(self._cells.values(), values, strict=True):
                column.append(value)

    def supersede(self, superseded: Mapping[str, str]) -> None:
        """Say of rows, by id, which other one replaces them."""
        for row in self._rows:
            row["superseded_by"] = superseded.get(row["id"])

    def to_json(self) -> dict[str, Any]:
        """Return the content of ``scores.json``."""
        return {
            **self._head,
            "tasks": [_task_json(self.layout, spec) for spec in self.layout.tasks.values()],
            "benchmarks": [
                {"name": b.name, "title": b.title, "tasks": b.tasks, "groups": b.groups}
                for b in self.layout.benchmarks.values()
            ],
            "languages": [
                {"code": code, **{name: getattr(line, name) for name in _OF_LANGUAGES}}
                for code, line in self.layout.languages.items()
            ],
            "rows": self._rows,
            "cells": self._cells,
            "data": [asdict(record) for record in self._data],
        }


_OF_LANGUAGES = ("name", "family", "script", "joshi_class", "cc100_gib")


def averages(
    shape: BoardSchema, cells: Iterable[Cell], given_means: Mapping[str, Mapping[str, float]]
) -> dict[str, Any]:
    """Return ``overall`` and ``task_scores`` of a row, by the rules of ``xharness report``.

    A benchmark's own average is there only where all its targets and languages are, each of them whole; the mean of a
    target over fewer is given and marked as not complete.
    """
    by_task: dict[str, dict[str, Cell]] = {}
    for cell in cells:
        by_task.setdefault(cell.score.task, {})[cell.score.language] = cell
    overall: dict[str, float | None] = {}
    task_scores: dict[str, dict[str, Any]] = {}
    for name, benchmark in shape.benchmarks.items():
        complete: list[float] = []
        for task in benchmark.tasks:
            value, whole = _task_mean(shape.tasks[task], by_task.get(task, {}), name)
            if value is None:
                # A source's mean is of the whole target, or the note beside it says otherwise.
                value = given_means.get(name, {}).get(task)
                whole = value is not None
            if value is None:
                continue
            line = task_scores.setdefault(
                task, {**dict.fromkeys(shape.benchmarks), "complete": dict.fromkeys(shape.benchmarks, False)}
            )
            line[name], line["complete"][name] = value, whole
            if whole:
                complete.append(value)
        overall[name] = mean(complete) if len(complete) == len(benchmark.tasks) else None
    return {"overall": overall, "task_scores": task_scores}


def _task_mean(spec: TaskSpec, cells: Mapping[str, Cell], benchmark: str) -> tuple[float | None, bool]:
    """Return the mean of a target in a benchmark, and whether it is the benchmark's."""
    result = task_result(spec, {code: cell.score for code, cell in cells.items()}, benchmark)
    if not result.languages:
        return None, False
    return result.mean["score"], result.complete and all(cells[code].whole for code in result.languages)


def _task_json(shape: BoardSchema, spec: TaskSpec) -> dict[str, Any]:
    there = shape.members[spec.name]
    known = {code for codes in there.values() for code in codes}
    source = [code for code, line in spec.languages.items() if not line.zero_shot and code in known]
    groups = [name for each in shape.benchmarks.values() for name, of in each.groups.items() if spec.name in of]
    return {
        "name": spec.name,
        "title": spec.title,
        "group": groups[0],
        "metric": spec.metric,
        "score_keys": list(spec.score_keys),
        "average": spec.average,
        "languages": [code for code in spec.languages if code in known],
        "english": source[0] if source else None,
        "benchmarks": there,
    }
