"""The benchmarks: named lists of targets, their groups, and how their averages are made."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, model_validator

from xharness import assets, strict_yaml
from xharness.errors import did_you_mean
from xharness.strict_yaml import Strict

Positive = Annotated[int, Field(gt=0)]


class Benchmark(Strict):
    """A named list of targets, its groups, and how its averages are made."""

    name: str
    title: str
    paper: str
    language_count: Positive
    tasks: list[str]
    groups: dict[str, list[str]]
    official_groups: dict[str, list[str]]
    """The groups as the benchmark's own evaluate.py counts them."""

    @model_validator(mode="after")
    def _groups_hold_tasks(self) -> Self:
        problems = [
            f"{field}.{group}: '{task}' is not one of the tasks.{did_you_mean(task, self.tasks)}"
            for field, groups in (("groups", self.groups), ("official_groups", self.official_groups))
            for group, tasks in groups.items()
            for task in tasks
            if task not in self.tasks
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
    found = (read_benchmark(path) for path in sorted((assets.TASKS / "benchmarks").glob("*.yaml")))
    return {benchmark.name: benchmark for benchmark in found}
