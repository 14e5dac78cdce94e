"""Describe a training run for the card."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from xharness import text
from xharness.checkpoints.training_record import AVERAGE, ENGLISH_DEV, LAST, Record
from xharness.hardware import find_gpu
from xharness.hub.read import is_hub_id
from xharness.publishing.card.content import Development, Training, TrainingSet
from xharness.tasks.recipes import GIVEN, OURS
from xharness.tasks.registry import list_training, load_training
from xharness.tasks.task_spec import TrainingSpec
from xharness.text import format_duration, format_energy

_PARTIAL = ("sample", "stand-in")


def of_record(record: Record, watts: float | None) -> Training:
    """Return what a training record says.

    Args:
        record: of a run that left a checkpoint.
        watts: what the hardware draws at most, for one process; None where nobody knows.
    """
    settings, by_task = _settings(record)
    sets = tuple(_set(task, part) for task, data in record.data.items() for part in data["train"])
    return Training(
        sets=_each_once(sets),
        settings=settings,
        by_task=by_task,
        facts=tuple(_facts(record, watts)),
        development=tuple(_development(record)),
        partial=_partial(sets),
        notes=tuple(text.shorten_paths(list(record.notes))),
        hashes=tuple(_hashes(record)),
    )


def as_given(
    sets: Sequence[TrainingSet],
    *,
    recipe: str,
    seeds: Sequence[int],
    hardware: str,
    seconds: float,
    watts: float,
) -> Training:
    """Return what a publisher says of a training that has no record."""
    facts = (
        ("training seeds", ", ".join(map(str, seeds))),
        ("hardware", hardware),
        ("wall time", format_duration(seconds)),
        (
            "energy, estimated from above",
            f"{format_energy(watts * seconds / 3.6e6)}: {watts:g} W (all of the hardware) x {format_duration(seconds)}",
        ),
    )
    return Training(
        sets=tuple(sets),
        settings=(("all settings", recipe, "as the publisher says"),),
        by_task=(),
        facts=facts,
        development=(),
        partial="",
        notes=("xharness did not train this checkpoint: what is said of its training is what its publisher says.",),
        hashes=(),
    )


def spec_of(task: str) -> TrainingSpec | None:
    """Return the training set of this name; None where it is one of the user's own."""
    return load_training(task) if task in list_training() else None


def other_data(record: Record) -> list[str]:
    """Return a sentence where other data was read than the shipped task of that name has."""
    lines = []
    for name, sources in _sources(record).items():
        spec = spec_of(name)
        own = {source.name for source in spec.sources} if spec else set()
        strange = [
            source for source, origin in sources if origin == "own file" or (is_hub_id(source) and source not in own)
        ]
        if spec and own and strange:
            listed = ", ".join(dict.fromkeys(str(text.shorten_paths(source)) for source in strange))
            lines.append(
                f"What is called {spec.title} here was read from {listed}, which is not where xharness has it from."
            )
    return lines


def _sources(record: Record) -> dict[str, list[tuple[str, str]]]:
    sources: dict[str, list[tuple[str, str]]] = {}
    for data in record.data.values():
        for part in data["train"]:
            sources.setdefault(part["task"], []).append((part["source"], part["origin"]))
    return sources


def licence_missing(record: Record) -> list[str]:
    """Return the training sets whose licence neither the record nor their spec tells."""
    parts = [part for data in record.data.values() for part in data["train"]]
    return sorted({part["task"] for part in parts if not (part.get("licence") or spec_of(part["task"]))})


def _set(task: str, part: dict[str, Any]) -> TrainingSet:
    spec = spec_of(part["task"])
    source = str(text.shorten_paths(part["source"]))
    return TrainingSet(
        task=task,
        title=spec.title if spec else part["task"],
        paper=spec.paper if spec else None,
        source=source,
        on_hub=is_hub_id(source) and part.get("origin") != "own file",
        revision=part["revision"],
        language=part["language"],
        split=part["split"],
        licence=str(part.get("licence") or (spec.licence if spec else "")),
        status=part["status"],
        origin=part["origin"],
        used=part["n"],
        available=part["available"],
    )


def _each_once(sets: Sequence[TrainingSet]) -> tuple[TrainingSet, ...]:
    """Return the sets without those that stand there for another task already, as MultiNLI does for ANLI."""
    unique: dict[tuple[object, ...], TrainingSet] = {}
    for each in sets:
        key = (each.title, each.source, each.revision, each.language, each.split, each.used, each.status)
        unique.setdefault(key, each)
    return tuple(unique.values())


def _partial(sets: Sequence[TrainingSet]) -> str:
    parts = []
    for status in _PARTIAL:
        titles = dict.fromkeys(each.title for each in sets if each.status == status)
        if titles:
            parts.append(f"{status} data of {'; '.join(titles)}")
    cut = dict.fromkeys(each.title for each in sets if each.used != each.available)
    if cut:
        parts.append(f"a part of the examples of {'; '.join(cut)}")
    return ", ".join(parts)


def _settings(record: Record) -> tuple[tuple[tuple[str, str, str], ...], tuple[tuple[str, ...], ...]]:
    """Return the settings that all tasks share, and a table of those that differ."""
    tasks = record.request["tasks"]
    names = list(dict.fromkeys(name for task in tasks.values() for name in task["settings"]))
    shared: list[str] = []
    differing: list[str] = []
    for name in names:
        values = {(str(task["settings"].get(name)), task["origins"].get(name)) for task in tasks.values()}
        (shared if len(values) == 1 else differing).append(name)
    first: dict[str, Any] = next(iter(tasks.values()), {"settings": {}, "origins": {}})
    recipe = str(record.request.get("recipe"))
    rows = [
        (_words(name), _shown(first["settings"][name]), _origin(first["origins"].get(name), recipe)) for name in shared
    ]
    rows += [(words, value, GIVEN) for words, value in _further(record)]
    if len(tasks) < 2:
        return tuple(rows), ()
    head = ("task", "units", "drawn with probability", "steps", *map(_words, differing))
    table = [
        (
            task,
            *_mixture(record.mixture.get(task, {})),
            *(_marked(each["settings"].get(name), each["origins"].get(name)) for name in differing),
        )
        for task, each in tasks.items()
    ]
    return tuple(rows), (head, *table)


def _marked(value: Any, origin: str | None) -> str:
    return f"{_shown(value)} ({origin})" if origin in (OURS, GIVEN) else _shown(value)


def _mixture(entry: dict[str, Any]) -> tuple[str, str, str]:
    if not entry:
        return "-", "-", "-"
    return f"{entry['units']:,}", f"{entry['probability']:.3f}", f"{entry['steps']:,}"


def _further(record: Record) -> list[tuple[str, str]]:
    """Return what the whole run was given beside the settings of its tasks, where it was."""
    request = record.request
    facts = {
        "examples of each training set at most": request.get("train_n"),
        "examples of each training set (few-shot)": request.get("shots"),
        "optimizer steps at most": request.get("max_steps"),
        "masked language modelling beside it, share of the steps": (request.get("mlm") or {}).get("share"),
        "LoRA, rank of the adapters (added into the weights)": (request.get("lora") or {}).get("r"),
        "states averaged at the end": request.get("average_last") or None,
    }
    if len(request["tasks"]) > 1:
        facts["examples of a task that count for how often it is drawn, at most"] = request.get("cap")
        facts["temperature of the mixture"] = request.get("temperature")
    return [(words, _shown(value)) for words, value in facts.items() if value is not None]


def _words(name: str) -> str:
    return name.replace("_", " ")


def _shown(value: Any) -> str:
    if value is None:
        return "not set"
    if isinstance(value, float):
        return f"{value:g}"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


def _origin(origin: str | None, recipe: str) -> str:
    return origin if origin in (OURS, GIVEN) else f"recipe `{origin or recipe}`"


def _facts(record: Record, watts: float | None) -> list[tuple[str, str]]:
    hardware, processes = record.hardware, int(record.hardware.get("processes", 1))
    gpu = find_gpu(str(hardware["device"]))
    facts = [
        ("recipe", str(record.request.get("recipe", "not recorded"))),
        ("training seed", str(record.seed)),
        ("seeds that failed before it", "; ".join(map(_attempt, record.attempts)) or "none"),
        ("optimizer steps", f"{record.steps:,} of {record.planned_steps:,} planned"),
        ("state that is published", _state(record)),
        ("tokens trained on", f"{record.tokens:,} (padding not counted)"),
        ("type of the matrix products", str(record.request.get("dtype", "not recorded"))),
        ("hardware", f"{processes} x {gpu.title if gpu else hardware['device']}"),
        (
            "wall time of the training steps",
            f"{format_duration(record.seconds)}; evaluations, loading and failed seeds are not in it",
        ),
    ]
    draw = gpu.watts if gpu else watts
    if draw is not None:
        used = draw * processes * record.seconds / 3.6e6
        source = "its data sheet's most for the board" if gpu else "the publisher's figure"
        facts.append(
            (
                "energy, estimated from above",
                f"{format_energy(used)}: {draw:g} W ({source}) x {processes} x {format_duration(record.seconds)}, "
                "without the rest of the machine, its cooling, and what the wall time leaves out",
            )
        )
    facts.append(("versions", ", ".join(f"{name} {version}" for name, version in record.versions.items())))
    return facts


def _state(record: Record) -> str:
    name, selection = next(iter(record.selections.items()), (LAST, {}))
    step = selection.get("step", record.steps)
    if name == AVERAGE:
        return f"average of the states of steps {', '.join(map(str, selection.get('of', [])))}"
    if name == LAST:
        return f"of step {step}, the last"
    chosen = "English development data" if name == ENGLISH_DEV else name.replace("-", " ")
    return f"of step {step}, the best on {chosen}"


def _attempt(attempt: dict[str, Any]) -> str:
    why = f": {text.shorten_paths(attempt['reason'])}" if attempt.get("reason") else ""
    return f"seed {attempt['seed']} {attempt['status']}{why}"


def _development(record: Record) -> list[Development]:
    first = next(iter(record.selections.values()), {})
    best: dict[str, Any] = next((e for e in record.evaluations if e["step"] == first.get("step")), {"scores": {}})
    return [
        Development(
            name=name,
            language=str(probe["language"]),
            metric=str(probe["metric"]),
            score=best["scores"].get(name, {}).get("score"),
            chance=probe.get("chance"),
            n=probe["n"],
            of=probe["of"],
        )
        for name, probe in record.probes.items()
    ]


def _hashes(record: Record) -> list[tuple[str, str]]:
    tasks = record.request["tasks"]
    return [
        ("training run (key of its record)", record.key),
        *((f"spec of {name}", str(task["spec"])) for name, task in tasks.items()),
        *((f"training data of {name}", str(task["data"])) for name, task in tasks.items()),
    ]
