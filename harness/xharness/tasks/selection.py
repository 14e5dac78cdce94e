"""Resolve the names a user gives (targets, benchmarks, training sets, languages) into specs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from xharness.errors import UsageError, did_you_mean, unknown
from xharness.tasks.benchmarks import Benchmark, benchmarks
from xharness.tasks.task_spec import TaskSpec, list_tasks, load_task

# Only for the estimate of work: multilingual sub-words of the XTREME languages are a little under four characters
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
