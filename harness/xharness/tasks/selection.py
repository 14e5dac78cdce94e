"""Resolve the names a user gives (targets, benchmarks, training sets, languages) into specs."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from xharness.errors import UsageError, did_you_mean, unknown
from xharness.tasks.benchmarks import Benchmark, benchmarks
from xharness.tasks.dataset_spec import DataSpec
from xharness.tasks.registry import (
    MIXTURE,
    is_training,
    list_tasks,
    list_training,
    load_mixture,
    load_task,
    load_training,
)
from xharness.tasks.task_spec import TaskSpec, TrainingSpec

# Only to estimate work: multilingual tokens of the XTREME languages have slightly fewer than four characters on
# average, and fewer still in scripts without spaces. Each result gives the true number of tokens.
CHARACTERS_PER_TOKEN = 3.5


@dataclass(frozen=True)
class Selection:
    """The targets that were requested.

    Attributes:
        benchmark: name, if a complete benchmark was requested.
        specs: the targets that have a spec.
        without_spec: targets of the benchmark that this version has no spec for.
        paths: target name -> path, for the user's own task files.
    """

    benchmark: str | None
    specs: tuple[TaskSpec, ...]
    without_spec: tuple[str, ...] = ()
    paths: Mapping[str, str] = field(default_factory=dict)


def select(targets: Sequence[str]) -> Selection:
    """Return the specs of targets given by name, by benchmark, or by the path of a YAML file.

    Raises:
        UsageError: a name is unknown (the message gives the nearest one).
    """
    known: dict[str, Benchmark] = benchmarks()
    by_spelling = {name.replace("_", "-"): name for name in known}
    names = [t.strip() for t in targets if t.strip()]
    if not names:
        raise UsageError("No target was named. Use --targets xtreme, xtreme-r, or task names such as xnli,tatoeba.")
    specs: dict[str, TaskSpec] = {}
    without: list[str] = []
    paths: dict[str, str] = {}
    chosen: str | None = None
    for name in names:
        benchmark = by_spelling.get(name.replace("_", "-"))
        if benchmark is None:
            if not name.endswith((".yaml", ".yml")) and name not in list_tasks():
                planned = {t for b in known.values() for t in b.tasks}
                if name in planned:
                    without.append(name)
                    continue
                raise unknown("target", name, [*list_tasks(), *known])
            spec = load_task(name)
            path = str(Path(name).resolve()) if name != spec.name else None
            if spec.name in specs and paths.get(spec.name) != path:
                raise UsageError(
                    f"Two targets are named '{spec.name}', but a run holds one target of each name. Change 'name' (and "
                    "the file name) of one of them, or evaluate them one after the other."
                )
            specs[spec.name] = spec
            if path is not None:
                paths[spec.name] = path
            continue
        chosen = benchmark if len(names) == 1 else None
        for task in known[benchmark].tasks:
            if task in list_tasks():
                specs.setdefault(task, load_task(task))
            elif task not in without:
                without.append(task)
    return Selection(chosen, tuple(specs.values()), tuple(without), paths)


def choose_languages(selection: Selection, languages: Sequence[str] | None) -> dict[str, list[str]]:
    """Return task -> languages to score, in the spec's order; raise UsageError for a code that no target has."""
    available = {spec.name: spec.languages_in(selection.benchmark) for spec in selection.specs}
    if languages is None:
        return available
    known = {code for codes in available.values() for code in codes}
    for code in languages:
        if code not in known:
            hint = did_you_mean(code, known) or f" They have: {', '.join(sorted(known))}."
            raise UsageError(f"None of the chosen targets has the language '{code}'.{hint}")
    return {task: [c for c in codes if c in languages] for task, codes in available.items()}


def print_to_stderr(sentence: str) -> None:
    """Print a message for the user on stderr."""
    print(sentence, file=sys.stderr)


def load_specs(names: Sequence[str], say: Callable[[str], None] = print_to_stderr) -> list[DataSpec]:
    """Return the specs of targets, training sets and benchmarks by name, or from paths of YAML files.

    A benchmark means all its targets, ``multitask`` all intermediate tasks. Each spec is returned once.

    Args:
        names: names or paths.
        say: called with a message for every target of a benchmark that has no spec yet.

    Raises:
        UsageError: a name is unknown.
        SpecError: a YAML file is invalid.
    """
    specs: dict[str, DataSpec] = {}
    for name in names:
        if name in benchmarks():
            for task in benchmarks()[name].tasks:
                if task in list_tasks():
                    specs[task] = load_task(task)
                else:
                    say(f"{task} is left out: this version has no spec for it.")
        elif name == MIXTURE:
            specs |= {task: load_training(task) for task in load_mixture(name).tasks}
        elif name in list_training() or (name.endswith((".yaml", ".yml")) and is_training(Path(name))):
            specs[name] = load_training(name)
        elif name in list_tasks() or name.endswith((".yaml", ".yml")):
            specs[name] = load_task(name)
        else:
            known = [*list_tasks(), *list_training(), MIXTURE, *benchmarks()]
            raise unknown("target, training set or benchmark", name, known)
    return list(specs.values())


def resolve_training_set(name: str) -> TrainingSpec:
    """Return a training set by name or path; raise UsageError with the nearest name of a set or mixture."""
    if not name.endswith((".yaml", ".yml")) and name not in list_training():
        raise unknown("training set", name, [*list_training(), MIXTURE])
    return load_training(name)


def resolve_training_names(names: Sequence[str]) -> tuple[list[str], bool]:
    """Return the names of training sets, and whether they were given as a mixture.

    Raises:
        UsageError: no name is given, or one is unknown (the message gives the nearest one).
    """
    requested = [name.strip() for name in names if name.strip()]
    if not requested:
        raise UsageError(
            "No task was named. Name training sets, separated by commas, such as mnli,squad_v1, or multitask."
        )
    if MIXTURE in requested:
        if len(requested) > 1:
            raise UsageError(f"'{MIXTURE}' is all intermediate tasks: name it alone, or name the tasks you want.")
        return list(load_mixture(MIXTURE).tasks), True
    known = list_training()
    for name in requested:
        if not name.endswith((".yaml", ".yml")) and name not in known:
            raise unknown("training set", name, [*known, MIXTURE])
    if len(set(requested)) != len(requested):
        raise UsageError("Each task may be named once.")
    return requested, False
