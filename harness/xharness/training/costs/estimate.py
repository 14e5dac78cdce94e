"""What a training run or an evaluation costs on a machine: time, memory and disk; pure, nothing is run."""

from __future__ import annotations

import math
from dataclasses import dataclass

from xharness import hardware
from xharness.hardware import Dtype, EncoderShape, Gpu
from xharness.training.costs.workload import Evaluation, Run

# An id of a sub-word in the encoded training set.
_ID_BYTES = 4


@dataclass(frozen=True)
class Machine:
    """What the work is done with.

    Attributes:
        gpu: its kind.
        gpus: how many.
        dtype: of the matrix products.
        batch_tokens: sub-words on one GPU at once, at most; the examples of a step mostly have fewer.
        checkpointing: activations are computed again in the backward pass.
        share: of the bound that is reached, assumed or measured.
    """

    gpu: Gpu
    gpus: int
    dtype: Dtype
    batch_tokens: int = hardware.BATCH_TOKENS["cuda"]
    checkpointing: bool = False
    share: float = hardware.ASSUMED_SHARE


@dataclass(frozen=True)
class Cost:
    """What a run costs.

    Attributes:
        flop: of training and of evaluating on development data.
        step: the bound of a mean optimiser step.
        seconds: with the machine's share of the bound.
        memory: of one GPU, in bytes.
        disk: bytes while it runs.
        kept: bytes afterwards, the checkpoint.
    """

    flop: float
    step: hardware.Bound
    seconds: float
    memory: hardware.Memory
    disk: float
    kept: int


def training_cost(run: Run, encoder: EncoderShape, machine: Machine) -> Cost:
    """Return what a run costs on a machine.

    Reading, encoding and downloading data, talk between GPUs and early stops are not counted.
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
    """Return the most sub-words on one GPU: a step's examples at their longest, or what the budget allows of them."""
    most = 0
    for part in run.parts:
        example = part.rows.number * min(part.settings.max_length, encoder.max_position_embeddings)
        step = example * math.ceil(part.settings.batch_size / machine.gpus)
        most = max(most, example, min(step, machine.batch_tokens))
    return most


def evaluation_seconds(evaluation: Evaluation, encoder: EncoderShape, machine: Machine) -> float:
    """Return the time of scoring a target: the forward passes, without reading, encoding and searching."""
    flop = hardware.forward_flop(encoder, evaluation.tokens, evaluation.length)
    return flop / (machine.gpu.rate(machine.dtype) * machine.gpus) / machine.share
