"""Build the training record of one seed: data, mixture, losses, scores, hardware and versions."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import torch

from xharness import hardware
from xharness.checkpoints.training_record import Record
from xharness.data.training_sets import TrainingData
from xharness.errors import XharnessError
from xharness.models import devices
from xharness.tasks.registry import parts_of
from xharness.tasks.task_spec import TrainingSpec
from xharness.training.dev_sets import DevSet
from xharness.training.plan import TrainingPlan
from xharness.training.request import key_of
from xharness.training.resume import TrainingState
from xharness.training.selection import CheckpointSelector
from xharness.training.setup import TrainingSetup
from xharness.version import __version__


def build_record(
    setup: TrainingSetup,
    request: Mapping[str, Any],
    progress: TrainingState,
    selector: CheckpointSelector,
    *,
    seed: int,
    attempts: Sequence[dict[str, Any]],
    diverged: str | None,
    hardware_facts: Mapping[str, Any],
) -> Record:
    """Return the record of one seed, and write the averaged checkpoint if the run has one.

    Args:
        setup: the model and its data.
        request: what the run depends on.
        progress: what the run has done.
        selector: has scored the development sets.
        seed: of this attempt.
        attempts: the seeds that failed before.
        diverged: why the run diverged; None: it did not.
        hardware_facts: see ``describe_hardware``.
    """
    plan = setup.plan
    reason = diverged or selector.collapsed(progress)
    steps = setup.sampler.steps_per_task()
    return Record(
        status="diverged" if diverged else "collapsed" if reason else "complete",
        reason=reason,
        key=key_of(request),
        request=dict(request),
        seed=seed,
        attempts=list(attempts),
        steps=progress.step,
        planned_steps=len(setup.sampler),
        data={
            part.name: {"train": _sources(part.spec, part.train), "dev": _sources(part.spec, part.dev)}
            for part in plan.parts
        },
        mixture={
            row["task"]: {
                "units": row["units"],
                "batch": row["batch"],
                "probability": row["probability"],
                "steps": steps[row["task"]],
            }
            for row in plan.table(setup.sizes)
        },
        losses=progress.losses,
        evaluations=progress.evaluations,
        probes={dev_set.name: _describe_dev_set(dev_set) for dev_set in selector.dev_sets},
        selections={} if diverged else selector.selections(progress),
        tokens=progress.tokens,
        seconds=round(progress.seconds, 3),
        tokens_per_second=round(progress.tokens / max(progress.seconds, 1e-9), 1),
        hardware=dict(hardware_facts),
        versions={
            "xharness": __version__,
            "python": platform.python_version(),
            "accelerate": _version("accelerate"),
            **devices.versions(),
        },
        notes=[*(f"{task} was left out: {why}" for task, why in plan.left_out.items()), *_notes(plan)],
    )


def describe_hardware(
    setup: TrainingSetup, progress: TrainingState, device: torch.device, dtype: str, *, processes: int, packed: bool
) -> dict[str, Any]:
    """Return device, processes and token budget, and on a GPU the speed of the run against its data sheet.

    Args:
        setup: the model and its data.
        progress: what the run has done.
        device: that it computes on.
        dtype: of the matrix products.
        processes: number of processes.
        packed: whether batches are packed, without padding.
    """
    return {
        "device": devices.device_name(device),
        "processes": processes,
        "batch_tokens": progress.budget,
        "packed": packed,
        **_gpu_speed(setup, progress, device, dtype, processes),
    }


def _gpu_speed(
    setup: TrainingSetup, progress: TrainingState, device: torch.device, dtype_name: str, gpus: int
) -> dict[str, Any]:
    """Return speed against the GPU's data sheet; {} on a CPU, memory only for a GPU that is not in gpus.yaml."""
    if device.type != "cuda":
        return {}
    memory: dict[str, Any] = {"peak_memory_bytes": torch.cuda.max_memory_allocated()}
    gpu = hardware.find_gpu(torch.cuda.get_device_name(device))
    try:
        encoder = hardware.from_config(setup.model.encoder.config.to_dict(), setup.plan.checkpoint.name)
        if gpu is None or not progress.step:
            return memory
        dtype: hardware.Dtype = "bfloat16" if dtype_name == "bfloat16" else "float32"
        length = _mean_row_length(setup.units)
        tokens, seconds = progress.tokens / progress.step, progress.seconds / progress.step
        bound = hardware.bound(encoder, gpu, tokens, length, dtype=dtype, gpus=gpus)
        flop = hardware.training_flop(encoder, progress.tokens, length)
        utilization = hardware.utilization(flop, progress.seconds, gpu, dtype=dtype, gpus=gpus)
    except XharnessError:
        return memory
    return memory | {
        "gpu": gpu.title,
        "seconds_per_step": seconds,
        "bound_seconds_per_step": bound.total,
        "share_of_bound": bound.total / seconds,
        "utilisation": utilization,
    }


def _mean_row_length(units: Mapping[str, Any]) -> float:
    """Return the mean over tokens (not over rows) of the length of their row, over all tasks."""
    squares = total = 0.0
    for data in units.values():
        lengths = getattr(data, "row_lengths", data.lengths).astype(float)
        squares, total = squares + float((lengths**2).sum()), total + float(lengths.sum())
    return squares / max(total, 1.0)


def _sources(spec: TrainingSpec, data: TrainingData | None) -> list[dict[str, Any]]:
    """Return the sources of a data set, each with the license that its spec gives."""
    licenses = {member.name: member.licence for member in parts_of(spec)}
    sources = data.parts if data is not None else ()
    return [{**asdict(source), "licence": licenses.get(source.task, spec.licence)} for source in sources]


def _describe_dev_set(dev_set: DevSet) -> dict[str, Any]:
    return {
        "language": dev_set.language,
        "n": len(dev_set.examples),
        "of": dev_set.full_size,
        "data_hash": dev_set.data_hash,
        "spec_hash": dev_set.spec_hash or dev_set.spec.hash,
        "metric": dev_set.spec.metric,
        "chance": round(dev_set.chance, 4),
    }


def _notes(plan: TrainingPlan) -> list[str]:
    notes = []
    rates = sorted({part.settings.learning_rate for part in plan.parts})
    if len(rates) > 1:
        listed = ", ".join(f"{rate:g}" for rate in rates)
        notes.append(f"the recipe's learning rates differ ({listed}); the smallest is used")
    licenses = sorted({source["licence"] for part in plan.parts for source in _sources(part.spec, part.train)})
    notes.append(f"licences of the training data: {'; '.join(licenses)}")
    partial = {source.status for part in plan.parts for source in part.train.parts} & {"sample", "stand-in"}
    if partial:
        notes.append(f"training data is partial: {' and '.join(sorted(partial))}")
    return notes


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"
