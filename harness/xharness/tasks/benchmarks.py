"""Benchmarks: their targets, groups, languages and published reference scores."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from xharness import assets, strict_yaml
from xharness.errors import did_you_mean
from xharness.strict_yaml import Strict

Positive = Annotated[int, Field(gt=0)]
Percent = Annotated[float, Field(ge=0, le=100)]
Scores = dict[str, Percent]
"""Metric -> value, in percent."""


class Figures(Strict):
    """Published scores of one system from one source."""

    source: str
    """The publication and table they were read from."""
    note: str | None = None
    """A caveat shown with the scores, for example that a metric is not the benchmark's."""
    split: Literal["test", "dev"] = "test"
    settings: dict[str, Any] = Field(default_factory=dict)
    """Retrieval settings, named as in a target's ``input``; empty if the source does not give them."""
    scores: dict[str, Scores] = Field(default_factory=dict)
    """Target -> means over the benchmark's languages."""
    languages: dict[str, dict[str, Scores]] = Field(default_factory=dict)
    """Target -> language -> scores."""
    groups: Scores = Field(default_factory=dict)
    """Group -> mean of its targets' scores."""

    @model_validator(mode="after")
    def _holds_something(self) -> Self:
        if not (self.scores or self.languages or self.groups):
            raise ValueError("give at least one of 'scores', 'languages' and 'groups'.")
        return self


class Reference(Strict):
    """A system with published scores on a benchmark."""

    title: str
    figures: list[Figures]


class Benchmark(Strict):
    """A named list of targets, with the groups its averages are computed over."""

    name: str
    title: str
    paper: str
    language_count: Positive
    tasks: list[str]
    task_languages: dict[str, Positive]
    """Target -> number of its languages, according to the benchmark's evaluate.py and data."""
    groups: dict[str, list[str]]
    official_groups: dict[str, list[str]]
    """The groups as the benchmark's evaluate.py defines them."""
    references: dict[str, Reference] = Field(default_factory=dict)
    """Name -> published scores."""

    @model_validator(mode="after")
    def _targets_are_known(self) -> Self:
        problems = [
            f"{field}.{group}: '{task}' is not one of the tasks.{did_you_mean(task, self.tasks)}"
            for field, groups in (("groups", self.groups), ("official_groups", self.official_groups))
            for group, tasks in groups.items()
            for task in tasks
            if task not in self.tasks
        ]
        missing = [task for task in self.tasks if task not in self.task_languages]
        problems += [f"task_languages.{task}: field required." for task in missing]
        names = [("tasks", f"task_languages.{task}", task) for task in self.task_languages]
        for name, reference in self.references.items():
            for i, figures in enumerate(reference.figures):
                path = f"references.{name}.figures.{i}"
                names += [("tasks", f"{path}.scores.{task}", task) for task in figures.scores]
                names += [("tasks", f"{path}.languages.{task}", task) for task in figures.languages]
                names += [("groups", f"{path}.groups.{group}", group) for group in figures.groups]
        known = {"tasks": self.tasks, "groups": list(self.groups)}
        problems += [
            f"{path}: '{key}' is not one of the {kind}.{did_you_mean(key, known[kind])}"
            for kind, path, key in names
            if key not in known[kind]
        ]
        if problems:
            raise ValueError("\n".join(problems))
        return self


def read_benchmark(path: Path) -> Benchmark:
    """Return the benchmark that a YAML file describes; raise SpecError with all its problems."""
    return strict_yaml.parse(Benchmark, strict_yaml.read(path), path.name)


@cache
def benchmarks() -> dict[str, Benchmark]:
    """Return all benchmarks by name."""
    loaded = (read_benchmark(path) for path in sorted((assets.TASKS / "benchmarks").glob("*.yaml")))
    return {benchmark.name: benchmark for benchmark in loaded}
