"""The record of a training run, training.json: all that its checkpoint depends on, its losses and its scores."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

from xharness import files
from xharness.errors import ModelError, OutputError

FILE = "training.json"
CURVE = "training_curve.png"
SCHEMA_VERSION = 1

ENGLISH_DEV, LAST, AVERAGE = "english-dev", "last", "average"
"""How a state was chosen, by name; choices of others have names of their own."""

Status = Literal["complete", "collapsed", "diverged"]


@dataclass(frozen=True, kw_only=True)
class Record:
    """What is known of a trained checkpoint.

    Attributes:
        status: ``complete``; ``collapsed``: its development score is no better than chance; ``diverged``: the loss was
            NaN or infinite, and there is no checkpoint.
        reason: why, for a run that is not complete.
        key: hash over the request; another request has another key.
        request: all that the result depends on: base, tasks, specs, data, recipe, seed ...
        seed: of the attempt that the checkpoint is from.
        attempts: earlier seeds that collapsed or diverged: {seed, learning_rate, status, reason}.
        steps, planned_steps: optimiser steps done and planned (fewer where training ended early).
        data: task -> {train, dev}: for each part its source, revision, split, n, status, origin, hash and counts.
        mixture: task -> {units, batch_size, probability, steps}.
        losses: (step, task, mean loss since the last entry of the task, learning rate).
        evaluations: {step, scores: probe -> metric -> value, chosen: choice -> mean score} in order.
        probes: probe -> {language, n, of, data_hash, metric, chance}.
        selections: name of a choice -> {step, score, folder}; the first is the checkpoint at the root.
        weights: file -> SHA-256.
        tokens, seconds, tokens_per_second: real sub-words trained on, time for it (evaluations not counted), rate.
        hardware, versions: what it ran on.
        notes: sentences that must be shown with it.
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
        """The development score that the checkpoint at the root was chosen by, None where there is none."""
        first = next(iter(self.selections.values()), {})
        value = first.get("score")
        return None if value is None else float(value)


def save(record: Record, folder: Path) -> Path:
    """Write training.json, whole or not at all."""
    files.write_json(folder / FILE, asdict(record))
    return folder / FILE


def load(folder: Path) -> Record | None:
    """Return the record of a checkpoint, None where there is none.

    Raises:
        ModelError: it is not one that this version writes.
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
    """Raise ModelError if a file of weights that lies in a folder is not as the record says it was written.

    Args:
        record: says which SHA-256 each has.
        folder: where they lie.
        sha256: returns the SHA-256 of a file; for callers that keep what they know of weights, to read them once.
    """
    for name, digest in record.weights.items():
        path = folder / name
        if not path.is_file() or sha256(path) != digest:
            raise ModelError(f"{path}: the weights are not as they were written.")


def draw(record: Record, folder: Path) -> Path | None:
    """Draw losses and development scores as a picture and return its path; None where matplotlib is not installed."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        return None
    figure = Figure(figsize=(7.0, 5.0), layout="constrained")
    loss_axes, score_axes = figure.subplots(2, 1, sharex=True)
    for number, task in enumerate(record.mixture):
        points = [(step, loss) for step, name, loss, _ in record.losses if name == task]
        if points:
            x, y = zip(*points, strict=True)
            style = {"color": f"C{number % 10}", "linestyle": "-" if number < 10 else "--", "linewidth": 1.0}
            loss_axes.plot(x, y, label=task, **style)
    loss_axes.set_ylabel("training loss")
    loss_axes.set_ylim(bottom=0)
    for number, probe in enumerate(record.probes):
        points = [(e["step"], e["scores"][probe]["score"]) for e in record.evaluations if probe in e["scores"]]
        if points:
            x, y = zip(*points, strict=True)
            style = {"color": f"C{number % 10}", "linestyle": "-" if number < 10 else "--", "linewidth": 1.0}
            score_axes.plot(x, y, marker="o", markersize=3, label=probe, **style)
    first = next(iter(record.selections.values()), None)
    if first is not None and isinstance(first.get("step"), int):
        score_axes.axvline(first["step"], color="0.5", linewidth=0.8, linestyle=":")
    score_axes.set_ylabel("development score (%)")
    score_axes.set_xlabel("optimiser step")
    for axes in (loss_axes, score_axes):
        axes.spines[["top", "right"]].set_visible(False)
        if axes.get_legend_handles_labels()[0]:
            axes.legend(fontsize=7, frameon=False, ncols=2)
    path, part = folder / CURVE, folder / f".{CURVE}.part"
    try:
        FigureCanvasAgg(figure).print_png(part)
        part.replace(path)
    except OSError as error:
        raise OutputError(f"{path}: cannot be written: {error.strerror or error}.") from None
    return path


RUNNING = ".run"
"""What lies in the folder only while a run is not at its end."""
