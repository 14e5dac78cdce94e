"""GPU data sheets and encoder shapes: FLOPs, memory and the minimum time of a training step.

A *bound* is a lower limit of the time on a GPU: matrix products at the full rate of its data sheet, then the memory
traffic of the optimizer at full bandwidth.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import Field

from xharness import assets, strict_yaml
from xharness.errors import ModelError, SpecError, UsageError, did_you_mean
from xharness.strict_yaml import Strict

Dtype = Literal["bfloat16", "float16", "float32"]
Positive = Annotated[int, Field(gt=0)]
Rate = Annotated[float, Field(gt=0, allow_inf_nan=False)]

BATCH_TOKENS = {"cpu": 16_384, "cuda": 32_768}
"""Default tokens per forward pass and process in training."""
ASSUMED_SHARE = 0.8
"""Speed relative to the bound that plans assume without a measurement: the project's goal, not a measurement."""
_FLOAT32 = 4
_HALF = 2


class Gpu(Strict):
    """A GPU, as its data sheet describes it."""

    title: str
    device: str
    """Name in the driver, and so in torch."""
    memory_gb: Rate
    """10^9 bytes."""
    tflops: dict[Dtype, Rate]
    """dtype -> 10^12 floating-point operations per second in dense matrix products; only supported dtypes."""
    bandwidth_gb_s: Rate
    """Memory bandwidth in 10^9 bytes per second."""
    watts: Rate
    """Maximum power of the board in the form named in the title."""
    source: str
    """Address of the data sheet."""

    def rate(self, dtype: Dtype) -> float:
        """Return operations per second in matrix products of a dtype; raise UsageError if it is not supported."""
        if dtype not in self.tflops:
            raise UsageError(
                f"The {self.title} has no matrix units for {dtype}. It supports {', '.join(sorted(self.tflops))}. "
                "Use --dtype float32."
            )
        return self.tflops[dtype] * 1e12

    def best_dtype(self) -> Dtype:
        """Return the dtype of ``--dtype auto``: bfloat16 if there are matrix units for it, else float32."""
        return "bfloat16" if "bfloat16" in self.tflops else "float32"


class EncoderShape(Strict):
    """The shape of an encoder, with the field names of config.json."""

    names: list[str] = Field(default_factory=list)
    """Other names."""
    model_type: Literal["bert", "camembert", "roberta", "xlm-roberta", "xlm-roberta-xl"]
    """One of the types with the same layers: four square attention matrices and two of the feed-forward network."""
    num_hidden_layers: Positive
    hidden_size: Positive
    num_attention_heads: Positive
    intermediate_size: Positive
    vocab_size: Positive
    max_position_embeddings: Positive
    type_vocab_size: Positive

    @property
    def layer_parameters(self) -> int:
        """Weights of all layers; every token is multiplied with each of them."""
        width, inner = self.hidden_size, self.intermediate_size
        layer = 4 * width * width + 2 * width * inner + 9 * width + inner
        last_norm = 2 * width if self.model_type == "xlm-roberta-xl" else 0
        return self.num_hidden_layers * layer + last_norm

    @property
    def embedding_parameters(self) -> int:
        """Weights of the embeddings; a step looks up few rows, but the optimizer updates all."""
        rows = self.vocab_size + self.max_position_embeddings + self.type_vocab_size
        norm = 0 if self.model_type == "xlm-roberta-xl" else 2
        return (rows + norm) * self.hidden_size

    @property
    def parameters(self) -> int:
        """All weights except those of pooler and heads, which are under 1 %."""
        return self.layer_parameters + self.embedding_parameters


Record = TypeVar("Record", Gpu, EncoderShape)
_SHAPE = [field for field in EncoderShape.model_fields if field != "names"]


@dataclass(frozen=True)
class Bound:
    """The lower limit of the time of one optimizer step, in seconds.

    Attributes:
        matrix: matrix products, forward and backward.
        optimizer: memory traffic of the optimizer.
    """

    matrix: float
    optimizer: float

    @property
    def total(self) -> float:
        """Sum of both."""
        return self.matrix + self.optimizer


@dataclass(frozen=True)
class Memory:
    """Memory of a GPU in training, in bytes.

    Attributes:
        state: weights, gradients and both moments in float32, and half-precision copies of the layers' weights.
        activations: activations that the forward pass stores for the backward pass.
    """

    state: int
    activations: int

    @property
    def total(self) -> int:
        """Sum of both."""
        return self.state + self.activations


def forward_flop(encoder: EncoderShape, tokens: float, length: float) -> float:
    """Return the floating-point operations of a forward pass over ``tokens`` tokens in sequences of ``length``.

    Per token: two for each weight of the layers, and 4 x layers x width x length for attention.
    """
    attention = 4 * encoder.num_hidden_layers * encoder.hidden_size * length
    return tokens * (2 * encoder.layer_parameters + attention)


def training_flop(encoder: EncoderShape, tokens: float, length: float) -> float:
    """Return the floating-point operations of training on ``tokens`` tokens: three times those of the forward pass.

    Recomputation (gradient checkpointing) and padding are not counted: the model does not learn from them.
    """
    return 3 * forward_flop(encoder, tokens, length)


def optimizer_bytes(encoder: EncoderShape, *, clipped: bool = True) -> int:
    """Return the memory traffic of one step of fused AdamW in float32 for all weights and embeddings, in bytes.

    Per weight: the weight and both moments are read and written (24), the gradient is written by the backward pass and
    read by the optimizer (8), and read again for its norm if gradients are clipped (4). Additional work of torch
    (scaling gradients in place, zeros, half-precision copies) is not counted, because it is avoidable.
    """
    return encoder.parameters * _FLOAT32 * (6 + 2 + (1 if clipped else 0))


def bound(
    encoder: EncoderShape, gpu: Gpu, tokens: float, length: float, *, dtype: Dtype, gpus: int = 1, clipped: bool = True
) -> Bound:
    """Return the lower limit of the time of an optimizer step.

    Args:
        encoder: the encoder; all its weights are trained.
        gpu: the GPU.
        tokens: tokens of the step on all GPUs, without padding.
        length: sequence length, averaged over tokens.
        dtype: dtype of the matrix products.
        gpus: number of GPUs. Each computes its share of the tokens and the complete optimizer step; communication is
            not counted.
        clipped: whether gradients are clipped, which needs their norm.
    """
    matrix = training_flop(encoder, tokens, length) / gpus / gpu.rate(dtype)
    return Bound(matrix, optimizer_bytes(encoder, clipped=clipped) / (gpu.bandwidth_gb_s * 1e9))


def utilization(flop: float, seconds: float, gpu: Gpu, *, dtype: Dtype, gpus: int = 1) -> float:
    """Return the model FLOP utilization: operations relative to the maximum of the data sheet, from 0 to 1.

    Args:
        flop: useful operations, such as `training_flop` of the tokens without padding.
        seconds: their time.
        gpu: the GPU.
        dtype: dtype of the matrix products.
        gpus: number of GPUs.
    """
    if seconds <= 0:
        raise ValueError("utilization needs a time above 0")
    return flop / (seconds * gpu.rate(dtype) * gpus)


def training_memory(encoder: EncoderShape, tokens: int, *, dtype: Dtype, checkpointing: bool = False) -> Memory:
    """Return the memory of one GPU in training with at most ``tokens`` tokens per forward pass.

    Activations per token and layer are 26 x width + 4 x inner width bytes under bfloat16 autocast, and 34 and 8 in
    float32, with attention that stores no scores: counted with ``torch.autograd.graph.saved_tensors_hooks`` on XLM-R of
    transformers 5.23, dropout masks at one byte. With checkpointing, each layer stores its input, and one layer stores
    everything. Overhead of the allocator and outputs of heads are not counted.
    """
    half = dtype != "float32"
    width, inner = encoder.hidden_size, encoder.intermediate_size
    layer = 26 * width + 4 * inner if half else 34 * width + 8 * inner
    layers = encoder.num_hidden_layers
    stored = layers * _FLOAT32 * width + layer if checkpointing else layers * layer
    copies = _HALF * encoder.layer_parameters if half else 0
    return Memory(state=4 * _FLOAT32 * encoder.parameters + copies, activations=tokens * stored)


def exported_bytes(encoder: EncoderShape) -> int:
    """Return the size of a trained checkpoint on disk in bytes: its weights in float32."""
    return _FLOAT32 * encoder.parameters


def resume_bytes(encoder: EncoderShape) -> int:
    """Return the disk space in bytes that a run needs during training, in addition to the trained checkpoint.

    Two checkpoints to resume from (weights and both moments in float32), because the old one is kept until the new one
    is complete, and the best weights so far.
    """
    return 2 * 3 * _FLOAT32 * encoder.parameters + exported_bytes(encoder)


@cache
def gpus() -> dict[str, Gpu]:
    """Return all GPUs of ``tasks/gpus.yaml`` by name."""
    return _read("gpus.yaml", Gpu)


@cache
def encoders() -> dict[str, EncoderShape]:
    """Return all encoders of ``tasks/encoders.yaml`` by name."""
    return _read("encoders.yaml", EncoderShape)


def load_gpu(name: str) -> Gpu:
    """Return a GPU by name; raise UsageError with the nearest and all known names.

    >>> load_gpu("H200").title
    'NVIDIA H200 SXM'
    """
    gpu = gpus().get(name.strip().lower())
    if gpu is None:
        known = ", ".join(gpus())
        raise UsageError(
            f"There is no GPU named '{name}'.{did_you_mean(name, gpus())} Known: {known}. For other hardware, "
            "measure a short run: xharness train prints tokens per second."
        )
    return gpu


def find_gpu(device: str) -> Gpu | None:
    """Return the GPU with this name in the driver (``torch.cuda.get_device_name()``); None if it is unknown.

    >>> find_gpu("NVIDIA H200").bandwidth_gb_s, find_gpu("NVIDIA H200 NVL")
    (4800.0, None)
    """
    return next((gpu for gpu in gpus().values() if gpu.device == device), None)


def load_encoder(name: str) -> EncoderShape:
    """Return the shape of a well-known encoder, or of a checkpoint in a local folder.

    Args:
        name: name on the Hub, with or without its owner, or a local folder with a config.json. Nothing is downloaded.

    Raises:
        UsageError: the name is unknown and not a folder.
        ModelError: the folder's config.json cannot be read, or is not of a supported model type.
    """
    known = encoders()
    plain = name.partition("@")[0].lower()
    shape = next((e for key, e in known.items() if plain in (key, *(n.lower() for n in e.names))), None)
    if shape is not None:
        return shape
    folder = Path(name)
    if folder.is_dir():
        return _from_folder(folder)
    spellings = [*known, *(other for encoder in known.values() for other in encoder.names)]
    raise UsageError(
        f"The shape of '{name}' is unknown, and nothing is downloaded for a plan.{did_you_mean(name, spellings)} "
        f"Known: {', '.join(known)}. You can also give a local folder with a config.json. A checkpoint trained from "
        "one "
        "of these has the same shape."
    )


def _from_folder(folder: Path) -> EncoderShape:
    path = folder / "config.json"
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ModelError(f"{folder}: this folder has no config.json, so its shape is unknown.") from None
    except (OSError, ValueError) as error:
        raise ModelError(f"{path}: cannot be read: {error}.") from None
    if not isinstance(config, dict):
        raise ModelError(f"{path}: expected fields at the top level, found {type(config).__name__}.")
    return from_config(config, str(path))


def from_config(config: Mapping[str, Any], where: str) -> EncoderShape:
    """Return the shape in the content of a config.json; raise ModelError if the model type is not supported.

    Args:
        config: content of the file; fields that are not part of the shape are ignored.
        where: name of the file, put before every problem.
    """
    try:
        return strict_yaml.parse(EncoderShape, {f: config[f] for f in _SHAPE if f in config}, where)
    except SpecError as error:
        raise ModelError(f"{error}\nOnly BERT-like encoders are supported.") from None


def _read(name: str, model: type[Record]) -> dict[str, Record]:
    entries = strict_yaml.read(assets.TASKS / name)
    return {key: strict_yaml.parse(model, fields, f"{name}: {key}") for key, fields in entries.items()}
