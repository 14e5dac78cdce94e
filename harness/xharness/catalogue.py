"""Checking the task files that come with xharness, or the user's own, all at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from tabulate import tabulate

from xharness import assets, strict_yaml
from xharness.benchmark import benchmarks, read_benchmark
from xharness.errors import SpecError
from xharness.language import languages
from xharness.spec import TaskSpec, read_task, read_training


def check(files: Sequence[Path] = ()) -> str:
    """Read task files and return a table of what the benchmarks have; without ``files`` all that come with xharness.

    Raises:
        SpecError: all problems of all files, one a line, each with file, field and the nearest name.
    """
    languages()
    chosen = list(files) or sorted(assets.TASKS.glob("*/*.yaml"))
    specs, problems = [], []
    for path in chosen:
        try:
            specs.append(_reader(path)(path))
        except SpecError as error:
            problems.append(str(error))
    targets = {spec.name: spec for spec in specs if isinstance(spec, TaskSpec)}
    if not files and not problems:
        problems += _dangling(targets)
    if problems:
        raise SpecError("\n".join(problems))
    lines = [f"{len(chosen)} {'file is' if len(chosen) == 1 else 'files are'} well formed."]
    return "\n".join(lines) if files else "\n\n".join([*lines, _coverage(targets)])


def _reader(path: Path) -> Callable[[Path], Any]:
    """Return what reads a file: benchmarks have ``tasks``, targets a ``test_split``, training sets neither."""
    content = strict_yaml.read(path)
    if "tasks" in content:
        return read_benchmark
    if "train_split" in content:
        return read_training
    return read_task


def _dangling(targets: dict[str, TaskSpec]) -> list[str]:
    """Return a sentence for each training set that a target names and nobody has."""
    known = {p.stem for folder in ("intermediate", "english") for p in (assets.TASKS / folder).glob("*.yaml")}
    return [
        f"{spec.name}.yaml: train: there is no training set '{spec.train}' under intermediate/ or english/."
        for spec in targets.values()
        if spec.train is not None and spec.train not in known
    ]


def _coverage(targets: dict[str, TaskSpec]) -> str:
    """Return which targets of each benchmark have a spec, with their languages."""
    rows = []
    for benchmark in benchmarks().values():
        there = [targets[t] for t in benchmark.tasks if t in targets]
        union = {code for spec in there for code in spec.languages_in(benchmark.name)}
        for task in benchmark.tasks:
            spec = targets.get(task)
            state = "no spec yet" if spec is None else "no data yet" if spec.unavailable else "can be scored"
            count = "" if spec is None else len(spec.languages_in(benchmark.name))
            rows.append([benchmark.name, task, state, count])
        rows.append([benchmark.name, f"all ({len(there)} of {len(benchmark.tasks)} targets)", "", len(union)])
    return tabulate(rows, ["benchmark", "target", "state", "languages"], tablefmt="simple")
