"""Time, memory and disk of a training run or an evaluation on a machine; pure arithmetic."""

from __future__ import annotations

import math
from dataclasses import dataclass

from xharness import hardware
from xharness.hardware import Dtype, EncoderShape, Gpu
from xharness.training.costs.workload import Evaluation, Run

# A token id in the encoded training set.
_ID_BYTES = 4


@dataclass(frozen=True)
class Machine:
    """GPUs, and how they are used.

    Attributes:
        gpu: its model.
        gpus: number of GPUs.
        dtype: of the matrix products.
        batch_tokens: tokens on one GPU at once, at most; the examples of a step mostly have fewer.
        checkpointing: whether activations are computed again in the backward pass.
        share: share of the bound that is reached, assumed or measured.
    """

    gpu: Gpu
    gpus: int
    dtype: Dtype
    batch_tokens: int = hardware.BATCH_TOKENS["cuda"]
    checkpointing: bool = False
    share: float = hardware.ASSUMED_SHARE


@dataclass(frozen=True)
class Cost:
    """The cost of a run.

    Attributes:
        flop: of training and of evaluation on development data.
        step: lower bound of the time of a mean optimizer step.
        seconds: time of the run, with the machine's share of the bound.
        memory: of one GPU, in bytes.
        disk: bytes on disk while it runs.
        kept: bytes on disk afterwards: the checkpoint.
    """

    flop: float
    step: hardware.Bound
    seconds: float
    memory: hardware.Memory
    disk: float
    kept: int


def training_cost(run: Run, encoder: EncoderShape, machine: Machine) -> Cost:
    """Return the cost of a run on a machine.

    Downloading, reading and encoding data, communication between GPUs and early stopping are not counted.
    """
    gpu, dtype, gpus = machine.gpu, machine.dtype, machine.gpus
    step_tokens = run.tokens / run.steps if run.steps else 0.0
    step = hardware.bound(encoder, gpu, step_tokens, run.length, dtype=dtype, gpus=gpus)
    dev_flop = sum(hardware.forward_flop(encoder, part.dev_tokens, part.rows.length) for part in run.parts)
    seconds = (run.steps * step.total + dev_flop / (gpu.rate(dtype) * gpus)) / machine.share
    flop = hardware.training_flop(encoder, run.tokens, run.length) + dev_flop
    memory = hardware.training_memory(
        encoder, _tokens_at_once(run, encoder, machine), dtype=dtype, checkpointing=machine.checkpointing
    )
    kept = hardware.exported_bytes(encoder)
    encoded = sum(part.examples * part.rows.tokens for part in run.parts) * _ID_BYTES
    return Cost(flop, step, seconds, memory, kept + hardware.resume_bytes(encoder) + encoded, kept)


def _tokens_at_once(run: Run, encoder: EncoderShape, machine: Machine) -> int:
    """Return the most tokens on one GPU at once: the examples of a step at their longest, within the token budget."""
    largest = 0
    for part in run.parts:
        example = part.rows.number * min(part.settings.max_length, encoder.max_position_embeddings)
        step = example * math.ceil(part.settings.batch_size / machine.gpus)
        largest = max(largest, example, min(step, machine.batch_tokens))
    return largest


def evaluation_seconds(evaluation: Evaluation, encoder: EncoderShape, machine: Machine) -> float:
    """Return the time of the forward passes of a target; reading, encoding and search are not counted."""
    flop = hardware.forward_flop(encoder, evaluation.tokens, evaluation.length)
    return flop / (machine.gpu.rate(machine.dtype) * machine.gpus) / machine.share
