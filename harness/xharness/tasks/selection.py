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

# Only for the estimate of work: multilingual tokens of the XTREME languages are a little under four characters
# long on average, fewer in scripts without spaces. The true number stands in each result.
CHARACTERS_PER_TOKEN = 3.5


@dataclass(frozen=True)
class Selection:
    """The targets that were asked for.

    Attributes:
        benchmark: name, if a whole benchmark was asked for.
        specs: the targets that have a spec.
        without_spec: targets of the benchmark that this version has no spec for.
        paths: target name -> path, for task files of the user's own.
    """

    benchmark: str | None
    specs: tuple[TaskSpec, ...]
    without_spec: tuple[str, ...] = ()
    paths: Mapping[str, str] = field(default_factory=dict)


def select(targets: Sequence[str]) -> Selection:
    """Return the specs of targets named one by one, by benchmark, or by the path of a YAML file.

    Raises:
        UsageError: an unknown name (says the nearest).
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
                    f"Two targets are named '{spec.name}', and one run keeps one of each name. Change 'name' (and the "
                    "file's name) of one, or evaluate them one after the other."
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
    """Return task -> languages to score, in the spec's order; refuse a code that no chosen target has."""
    every = {spec.name: spec.languages_in(selection.benchmark) for spec in selection.specs}
    if languages is None:
        return every
    known = {code for codes in every.values() for code in codes}
    for code in languages:
        if code not in known:
            hint = did_you_mean(code, known) or f" They have: {', '.join(sorted(known))}."
            raise UsageError(f"None of the chosen targets has the language '{code}'.{hint}")
    return {task: [c for c in codes if c in languages] for task, codes in every.items()}


def _to_stderr(sentence: str) -> None:
    print(sentence, file=sys.stderr)


def named(names: Sequence[str], say: Callable[[str], None] = _to_stderr) -> list[DataSpec]:
    """Return the specs of targets, training sets and benchmarks by name, or from paths of YAML files.

    A benchmark stands for its targets, those that have no spec yet are said; ``multitask`` stands for the intermediate
    tasks. Each spec comes once.

    Raises:
        UsageError: a name is not known.
        SpecError: a YAML file is wrong.
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


def training_set(name: str) -> TrainingSpec:
    """Return a training set by name or path; raise UsageError with the nearest name, mixtures among them."""
    if not name.endswith((".yaml", ".yml")) and name not in list_training():
        raise unknown("training set", name, [*list_training(), MIXTURE])
    return load_training(name)


def tasks_of(names: Sequence[str]) -> tuple[list[str], bool]:
    """Return the training sets that are meant, and whether a whole mixture was named by its name.

    Raises:
        UsageError: an unknown name (says the nearest), or none.
    """
    wanted = [name.strip() for name in names if name.strip()]
    if not wanted:
        raise UsageError(
            "No task was named. Name training sets with commas between, such as mnli,squad_v1, or multitask."
        )
    if MIXTURE in wanted:
        if len(wanted) > 1:
            raise UsageError(f"'{MIXTURE}' is all intermediate tasks; name it alone, or name the tasks you want.")
        return list(load_mixture(MIXTURE).tasks), True
    known = list_training()
    for name in wanted:
        if not name.endswith((".yaml", ".yml")) and name not in known:
            raise unknown("training set", name, [*known, MIXTURE])
    if len(set(wanted)) != len(wanted):
        raise UsageError("Each task may be named once.")
    return wanted, False
