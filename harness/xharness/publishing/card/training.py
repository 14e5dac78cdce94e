"""Describe a training run for the card."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from xharness import text
from xharness.checkpoints.training_record import AVERAGE, ENGLISH_DEV, LAST, Record
from xharness.hardware import find_gpu
from xharness.hub.read import is_hub_id
from xharness.publishing.card.content import DevScore, Training, TrainingSet
from xharness.tasks.recipes import GIVEN, OURS
from xharness.tasks.registry import list_training, load_training
from xharness.tasks.task_spec import TrainingSpec
from xharness.text import format_duration, format_energy

_PARTIAL = ("sample", "stand-in")


def from_record(record: Record, watts: float | None) -> Training:
    """Describe a training from its record.

    Args:
        record: training record of the checkpoint.
        watts: maximum power of the hardware of one process in watts; None if not known.
    """
    settings, by_task = _settings(record)
    sets = tuple(_set(task, part) for task, data in record.data.items() for part in data["train"])
    return Training(
        sets=_unique_sets(sets),
        settings=settings,
        by_task=by_task,
        facts=tuple(_facts(record, watts)),
        development=tuple(_development(record)),
        partial=_partial(sets),
        notes=tuple(text.shorten_paths(list(record.notes))),
        hashes=tuple(_hashes(record)),
    )


def from_publisher(
    sets: Sequence[TrainingSet],
    *,
    recipe: str,
    seeds: Sequence[int],
    hardware: str,
    seconds: float,
    watts: float,
) -> Training:
    """Describe a training without a record, from the publisher's facts (``seconds`` of wall time, ``watts`` in all)."""
    facts = (
        ("training seeds", ", ".join(map(str, seeds))),
        ("hardware", hardware),
        ("wall time", format_duration(seconds)),
        (
            "energy, upper estimate",
            f"{format_energy(watts * seconds / 3.6e6)}: {watts:g} W (all of the hardware) x {format_duration(seconds)}",
        ),
    )
    return Training(
        sets=tuple(sets),
        settings=(("all settings", recipe, "publisher"),),
        by_task=(),
        facts=facts,
        development=(),
        partial="",
        notes=(
            "This checkpoint was not trained by xharness. All information on its training comes from its publisher.",
        ),
        hashes=(),
    )


def spec_of(task: str) -> TrainingSpec | None:
    """Return the spec of a training set; None if it is not shipped with xharness."""
    return load_training(task) if task in list_training() else None


def other_data(record: Record) -> list[str]:
    """Return a warning for each shipped training set that was read from another source."""
    lines = []
    for name, sources in _sources(record).items():
        spec = spec_of(name)
        own = {source.name for source in spec.sources} if spec else set()
        foreign = [
            source for source, origin in sources if origin == "own file" or (is_hub_id(source) and source not in own)
        ]
        if spec and own and foreign:
            listed = ", ".join(dict.fromkeys(str(text.shorten_paths(source)) for source in foreign))
            lines.append(f"{spec.title} was read from {listed}, which is not the source that xharness uses.")
    return lines


def _sources(record: Record) -> dict[str, list[tuple[str, str]]]:
    sources: dict[str, list[tuple[str, str]]] = {}
    for data in record.data.values():
        for part in data["train"]:
            sources.setdefault(part["task"], []).append((part["source"], part["origin"]))
    return sources


def licence_missing(record: Record) -> list[str]:
    """Return the training sets without a license in the record and in their spec."""
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


def _unique_sets(sets: Sequence[TrainingSet]) -> tuple[TrainingSet, ...]:
    """Return the sets without duplicates, such as MultiNLI, which is also a part of ANLI's training data."""
    unique: dict[tuple[object, ...], TrainingSet] = {}
    for part in sets:
        key = (part.title, part.source, part.revision, part.language, part.split, part.used, part.status)
        unique.setdefault(key, part)
    return tuple(unique.values())


def _partial(sets: Sequence[TrainingSet]) -> str:
    parts = []
    for status in _PARTIAL:
        titles = dict.fromkeys(part.title for part in sets if part.status == status)
        if titles:
            parts.append(f"{status} data of {'; '.join(titles)}")
    cut = dict.fromkeys(part.title for part in sets if part.used != part.available)
    if cut:
        parts.append(f"only some of the examples of {'; '.join(cut)}")
    return ", ".join(parts)


def _settings(record: Record) -> tuple[tuple[tuple[str, str, str], ...], tuple[tuple[str, ...], ...]]:
    """Return the settings that all tasks share, and a table of the settings that differ."""
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
        (_spaced(name), _format_value(first["settings"][name]), _origin(first["origins"].get(name), recipe))
        for name in shared
    ]
    rows += [(words, value, GIVEN) for words, value in _run_settings(record)]
    if len(tasks) < 2:
        return tuple(rows), ()
    head = ("task", "units", "sampling probability", "steps", *map(_spaced, differing))
    table = [
        (
            task,
            *_mixture(record.mixture.get(task, {})),
            *(_with_origin(entry["settings"].get(name), entry["origins"].get(name)) for name in differing),
        )
        for task, entry in tasks.items()
    ]
    return tuple(rows), (head, *table)


def _with_origin(value: Any, origin: str | None) -> str:
    return f"{_format_value(value)} ({origin})" if origin in (OURS, GIVEN) else _format_value(value)


def _mixture(entry: dict[str, Any]) -> tuple[str, str, str]:
    if not entry:
        return "-", "-", "-"
    return f"{entry['units']:,}", f"{entry['probability']:.3f}", f"{entry['steps']:,}"


def _run_settings(record: Record) -> list[tuple[str, str]]:
    """Return the settings of the run as a whole, if they were set: (words, value)."""
    request = record.request
    facts = {
        "maximum examples per training set": request.get("train_n"),
        "examples per training set (few-shot)": request.get("shots"),
        "maximum optimizer steps": request.get("max_steps"),
        "masked language modeling, share of steps": (request.get("mlm") or {}).get("share"),
        "LoRA rank (adapters merged into the weights)": (request.get("lora") or {}).get("r"),
        "checkpoints averaged at the end": request.get("average_last") or None,
    }
    if len(request["tasks"]) > 1:
        facts["maximum examples per task counted for sampling"] = request.get("cap")
        facts["sampling temperature"] = request.get("temperature")
    return [(words, _format_value(value)) for words, value in facts.items() if value is not None]


def _spaced(name: str) -> str:
    return name.replace("_", " ")


def _format_value(value: Any) -> str:
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
        ("failed seeds before it", "; ".join(map(_failed_seed, record.attempts)) or "none"),
        ("optimizer steps", f"{record.steps:,} of {record.planned_steps:,} planned"),
        ("published checkpoint", _published_checkpoint(record)),
        ("tokens trained on", f"{record.tokens:,} (padding not counted)"),
        ("dtype of matrix multiplications", str(record.request.get("dtype", "not recorded"))),
        ("hardware", f"{processes} x {gpu.title if gpu else hardware['device']}"),
        (
            "wall time of the training steps",
            f"{format_duration(record.seconds)}, without evaluations, loading and failed seeds",
        ),
    ]
    draw = gpu.watts if gpu else watts
    if draw is not None:
        used = draw * processes * record.seconds / 3.6e6
        source = "maximum board power in its data sheet" if gpu else "given by the publisher"
        facts.append(
            (
                "energy, upper estimate",
                f"{format_energy(used)}: {draw:g} W ({source}) x {processes} x {format_duration(record.seconds)}, "
                "without the rest of the machine, its cooling, and what the wall time leaves out",
            )
        )
    facts.append(("versions", ", ".join(f"{name} {version}" for name, version in record.versions.items())))
    return facts


def _published_checkpoint(record: Record) -> str:
    name, selection = next(iter(record.selections.items()), (LAST, {}))
    step = selection.get("step", record.steps)
    if name == AVERAGE:
        return f"average of the checkpoints at steps {', '.join(map(str, selection.get('of', [])))}"
    if name == LAST:
        return f"step {step}, the last"
    dev_set = "English development data" if name == ENGLISH_DEV else name.replace("-", " ")
    return f"step {step}, the best on {dev_set}"


def _failed_seed(attempt: dict[str, Any]) -> str:
    why = f": {text.shorten_paths(attempt['reason'])}" if attempt.get("reason") else ""
    return f"seed {attempt['seed']} {attempt['status']}{why}"


def _development(record: Record) -> list[DevScore]:
    first = next(iter(record.selections.values()), {})
    best: dict[str, Any] = next((e for e in record.evaluations if e["step"] == first.get("step")), {"scores": {}})
    return [
        DevScore(
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
        ("training run (key of the training record)", record.key),
        *((f"spec of {name}", str(task["spec"])) for name, task in tasks.items()),
        *((f"training data of {name}", str(task["data"])) for name, task in tasks.items()),
    ]
