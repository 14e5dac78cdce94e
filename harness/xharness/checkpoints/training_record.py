"""training.json: everything a training run depended on, its losses and scores; validation."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

from xharness import files
from xharness.errors import ModelError
from xharness.strict_json import LIMIT, NULL, OBJECT, TEXT, TEXT_LIST, TEXTS, WHOLE, Rule, problems

FILE = "training.json"
CURVE = "training_curve.png"
SCHEMA_VERSION = 1

ENGLISH_DEV, LAST, AVERAGE = "english-dev", "last", "average"
"""Names of checkpoint selections; there may be others."""

Status = Literal["complete", "collapsed", "diverged"]
RUNNING = ".run"
"""Folder in the output folder that exists only until training is complete."""
_NUMBER = WHOLE | Rule("a finite number", lambda value: type(value) is float and abs(value) <= 1e100)
_LIST = Rule("a list of plain values", lambda value: isinstance(value, list) and OBJECT.fits({"": value}))
_RECORD = {
    **dict.fromkeys(("request", "data", "mixture", "probes", "selections", "hardware"), OBJECT),
    **dict.fromkeys(("seed", "steps", "planned_steps", "tokens"), WHOLE),
    "attempts": _LIST,
    "losses": _LIST,
    "evaluations": _LIST,
    "status": TEXT,
    "reason": TEXT | NULL,
    "key": TEXT,
    "seconds": _NUMBER,
    "versions": TEXTS,
    "weights": TEXTS,
    "notes": TEXT_LIST,
}
_REQUEST = {"base": TEXTS, "tasks": OBJECT, "languages": TEXT_LIST, "mlm": OBJECT | NULL, "lora": OBJECT | NULL}
_TASK = {"spec": TEXT, "data": TEXT, "settings": OBJECT, "origins": TEXTS}
_PART = {
    **dict.fromkeys(("task", "language", "split", "source", "status", "origin"), TEXT),
    **dict.fromkeys(("n", "available"), WHOLE),
    "revision": TEXT | NULL,
    "licence": TEXT | NULL,
}
_MIXTURE = {"units": WHOLE, "probability": _NUMBER, "steps": WHOLE}
_PROBE = {"language": TEXT, "metric": TEXT, "n": WHOLE, "of": WHOLE, "chance": _NUMBER | NULL}
_MAY_LACK = ("reason", "mlm", "lora", "languages", "licence", "processes", "chance")


@dataclass(frozen=True, kw_only=True)
class Record:
    """The training record of a checkpoint, as training.json stores it.

    Attributes:
        status: ``complete``; ``collapsed``: the development score is no better than chance; ``diverged``: the loss was
            NaN or infinite, and there is no checkpoint.
        reason: why a run is not complete.
        key: hash over the request; another request has another key.
        request: everything that the result depends on: base, tasks, specs, data, recipe, seed ...
        seed: seed of the attempt that the checkpoint is from.
        attempts: earlier seeds that collapsed or diverged: {seed, learning_rate, status, reason}.
        steps, planned_steps: optimizer steps done and planned (fewer if training ended early).
        data: task -> {train, dev}: source, revision, split, n, status, origin, hash and counts of each part.
        mixture: task -> {units, batch_size, probability, steps}.
        losses: (step, task, mean loss since the last entry of the task, learning rate).
        evaluations: {step, scores: development set -> metric -> value, chosen: selection -> mean score}, in order.
        probes: development set -> {language, n, of, data_hash, metric, chance}.
        selections: checkpoint selection -> {step, score, folder}; the first is the checkpoint at the root.
        weights: file -> SHA-256.
        tokens, seconds, tokens_per_second: tokens trained on without padding, time without evaluations, and their
            ratio.
        hardware, versions: hardware and library versions.
        notes: messages that must be shown with it.
    """

    status: Status
    reason: str | None = None
    key: str
    request: dict[str, Any]
    seed: int
    attempts: list[dict[str, Any]] = field(default_factory=list)
    steps: int
    planned_steps: int
    data: dict[str, dict[str, list[dict[str, Any]]]]
    mixture: dict[str, dict[str, Any]]
    losses: list[list[Any]]
    evaluations: list[dict[str, Any]]
    probes: dict[str, dict[str, Any]]
    selections: dict[str, dict[str, Any]] = field(default_factory=dict)
    weights: dict[str, str] = field(default_factory=dict)
    tokens: int
    seconds: float
    tokens_per_second: float
    hardware: dict[str, Any]
    versions: dict[str, str]
    notes: list[str] = field(default_factory=list)
    schema_version: int = SCHEMA_VERSION

    @property
    def score(self) -> float | None:
        """Development score that the checkpoint at the root was selected by; None if there is none."""
        first = next(iter(self.selections.values()), {})
        value = first.get("score")
        return None if value is None else float(value)


def save(record: Record, folder: Path) -> Path:
    """Write training.json atomically; return its path."""
    files.write_json(folder / FILE, asdict(record))
    return folder / FILE


def load(folder: Path) -> Record | None:
    """Return the training record of a checkpoint; None if there is none.

    Raises:
        ModelError: the file was not written by this version of xharness.
    """
    path = folder / FILE
    if not path.is_file():
        return None
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        known = {f.name for f in fields(Record)}
        if content["schema_version"] != SCHEMA_VERSION:
            raise ValueError(f"schema_version is {content['schema_version']}, this version reads {SCHEMA_VERSION}")
        return Record(**{name: value for name, value in content.items() if name in known})
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise ModelError(
            f"{path}: not a training record of xharness ({error}). Train again into another folder."
        ) from None


def check_weights(record: Record, folder: Path, sha256: Callable[[Path], str] = files.sha256) -> None:
    """Raise ModelError if a weight file is missing or does not match the digest in the record.

    Args:
        record: training record.
        folder: folder of the weights.
        sha256: returns the SHA-256 of a file; callers may pass one with a cache, to read the weights only once.
    """
    for name, digest in record.weights.items():
        path = folder / name
        if not path.is_file() or sha256(path) != digest:
            raise ModelError(f"{path}: the weights are missing or do not match their training record.")


def record_problems(record: Record) -> str | None:
    """Return the first invalid value of a training record; None if it is valid."""
    return next(_problems(record), None)


def _problems(record: Record) -> Iterator[str]:
    # In this order, because the fields of an object can be checked only after the object itself.
    yield from _field_problems("", vars(record), _RECORD)
    request = record.request
    yield from _field_problems("request.", request, _REQUEST)
    yield from _field_problems("request.base.", request["base"], {"name": TEXT, "id": TEXT})
    yield from _field_problems("hardware.", record.hardware, {"device": TEXT, "processes": LIMIT})
    if not request["tasks"]:
        yield "request.tasks is empty"
    for name, data in record.data.items():
        yield from _field_problems(f"data.{name}.", data, {"train": _LIST})
        yield from _checked_items(f"data.{name}.train.", data["train"], _PART)
    yield from _checked_items("request.tasks.", list(request["tasks"].values()), _TASK)
    yield from _checked_items("attempts.", record.attempts, {"seed": WHOLE, "status": TEXT, "reason": TEXT | NULL})
    yield from _checked_items("mixture.", list(record.mixture.values()), _MIXTURE)
    yield from _checked_items("probes.", list(record.probes.values()), _PROBE)
    yield from _checked_items("evaluations.", record.evaluations, {"step": WHOLE, "scores": OBJECT})
    for number, evaluation in enumerate(record.evaluations):
        rules = {"score": _NUMBER | NULL}
        yield from _checked_items(f"evaluations.{number}.scores.", list(evaluation["scores"].values()), rules)
    yield from _checked_items("selections.", list(record.selections.values()), {"step": WHOLE | TEXT})


def _checked_items(where: str, values: list[Any], rules: dict[str, Rule]) -> Iterator[str]:
    for number, value in enumerate(values):
        yield from _field_problems(f"{where}{number}.", value, rules)


def _field_problems(where: str, content: Any, rules: dict[str, Rule]) -> Iterator[str]:
    if not isinstance(content, dict):
        yield f"{where.rstrip('.')} is not an object"
        return
    yield from (f"it has no field '{where}{name}'" for name in rules if name not in content and name not in _MAY_LACK)
    yield from problems(content, rules, where)
