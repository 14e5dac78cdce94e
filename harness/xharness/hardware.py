"""GPU data sheets and encoder shapes: FLOPs, memory and the minimum time of a training step.

A *bound* is the time that no program for this GPU can beat: matrix products at the full rate of its data sheet, and the
optimizer's reading and writing at its full memory bandwidth, one after the other.
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
"""Tokens that one process of a training computes at once, where none are given."""
ASSUMED_SHARE = 0.8
"""The share of the bound that plans assume until a run was measured: the aim of the project, not a measurement."""
_FLOAT32 = 4
_HALF = 2


class Gpu(Strict):
    """A GPU, as its data sheet describes it."""

    title: str
    device: str
    """What the driver, and so torch, calls it."""
    memory_gb: Rate
    """In 10^9 bytes."""
    tflops: dict[Dtype, Rate]
    """Type -> 10^12 floating-point operations a second in dense matrix products; without those it cannot do."""
    bandwidth_gb_s: Rate
    """10^9 bytes a second from and to its memory."""
    watts: Rate
    """The most that the whole board draws, as the sheet has it for the form named in the title."""
    source: str
    """The data sheet."""

    def rate(self, dtype: Dtype) -> float:
        """Return the operations a second in matrix products of a type; raise UsageError where it has none for it."""
        if dtype not in self.tflops:
            raise UsageError(
                f"The {self.title} has no matrix units for {dtype}; its types are {', '.join(sorted(self.tflops))}. "
                "Use --dtype float32."
            )
        return self.tflops[dtype] * 1e12

    def best_dtype(self) -> Dtype:
        """Return the type that ``--dtype auto`` means: bfloat16 where there are matrix units for it."""
        return "bfloat16" if "bfloat16" in self.tflops else "float32"


class EncoderShape(Strict):
    """The shape of an encoder, in the words of its config.json."""

    names: list[str] = Field(default_factory=list)
    """What else it is called."""
    model_type: Literal["bert", "camembert", "roberta", "xlm-roberta", "xlm-roberta-xl"]
    """Of those whose layers are alike: four square matrices of attention and two of the feed-forward part."""
    num_hidden_layers: Positive
    hidden_size: Positive
    num_attention_heads: Positive
    intermediate_size: Positive
    vocab_size: Positive
    max_position_embeddings: Positive
    type_vocab_size: Positive

    @property
    def layer_parameters(self) -> int:
        """The weights of all layers: those that every token is multiplied with."""
        width, inner = self.hidden_size, self.intermediate_size
        one = 4 * width * width + 2 * width * inner + 9 * width + inner
        last_norm = 2 * width if self.model_type == "xlm-roberta-xl" else 0
        return self.num_hidden_layers * one + last_norm

    @property
    def embedding_parameters(self) -> int:
        """The weights of the embeddings, of which a step looks up few rows and the optimizer touches all."""
        rows = self.vocab_size + self.max_position_embeddings + self.type_vocab_size
        norm = 0 if self.model_type == "xlm-roberta-xl" else 2
        return (rows + norm) * self.hidden_size

    @property
    def parameters(self) -> int:
        """All weights but those of a pooler and of heads, which are under one in a hundred."""
        return self.layer_parameters + self.embedding_parameters


Record = TypeVar("Record", Gpu, EncoderShape)
_SHAPE = [field for field in EncoderShape.model_fields if field != "names"]


@dataclass(frozen=True)
class Bound:
    """The least time of one optimizer step, in seconds.

    Attributes:
        matrix: the matrix products, forward and backward.
        optimizer: the optimizer's traffic from and to memory.
    """

    matrix: float
    optimizer: float

    @property
    def total(self) -> float:
        """Both, one after the other."""
        return self.matrix + self.optimizer


@dataclass(frozen=True)
class Memory:
    """The GPU's memory while training, in bytes.

    Attributes:
        state: weights, gradients and both moments in float32, and the half-precision copies of the layers' weights.
        activations: what the forward pass keeps for the backward pass.
    """

    state: int
    activations: int

    @property
    def total(self) -> int:
        """Both."""
        return self.state + self.activations


def forward_flop(encoder: EncoderShape, tokens: float, length: float) -> float:
    """Return the operations of a forward pass over ``tokens`` tokens in rows of ``length`` of them.

    Two for each weight of the layers and token, and four x layers x width x length for a token's attention.
    """
    attention = 4 * encoder.num_hidden_layers * encoder.hidden_size * length
    return tokens * (2 * encoder.layer_parameters + attention)


def training_flop(encoder: EncoderShape, tokens: float, length: float) -> float:
    """Return the operations of training on ``tokens`` tokens: those of the forward pass three times.

    Work done twice (gradient checkpointing) and on padding is not counted: it teaches nothing.
    """
    return 3 * forward_flop(encoder, tokens, length)


def optimizer_bytes(encoder: EncoderShape, *, clipped: bool = True) -> int:
    """Return the bytes that one step of fused AdamW in float32 moves for all weights, embeddings among them.

    Per weight: the weight and both moments read and written (24), the gradient written by the backward pass and read
    by the optimizer (8), and read once more for its norm where gradients are clipped (4). What torch does beyond
    (scaling gradients in place, zeros, half-precision copies) is not in it, as it could be left out.
    """
    return encoder.parameters * _FLOAT32 * (6 + 2 + (1 if clipped else 0))


def bound(
    encoder: EncoderShape, gpu: Gpu, tokens: float, length: float, *, dtype: Dtype, gpus: int = 1, clipped: bool = True
) -> Bound:
    """Return the least time of an optimizer step.

    Args:
        encoder: what is trained, with all its weights.
        gpu: what it is trained on.
        tokens: real tokens of the step, over all GPUs.
        length: tokens of a row, as the mean token meets it.
        dtype: of the matrix products.
        gpus: each has its part of the tokens and the whole optimizer; their talk is not counted.
        clipped: the norm of the gradients is computed.
    """
    matrix = training_flop(encoder, tokens, length) / gpus / gpu.rate(dtype)
    return Bound(matrix, optimizer_bytes(encoder, clipped=clipped) / (gpu.bandwidth_gb_s * 1e9))


def utilisation(flop: float, seconds: float, gpu: Gpu, *, dtype: Dtype, gpus: int = 1) -> float:
    """Return the model FLOP utilisation: what was computed over what the GPUs' data sheets allow, from 0 to 1.

    Args:
        flop: useful operations, such as `training_flop` of the real tokens.
        seconds: what they took.
        gpu: of which kind the GPUs are.
        dtype: of the matrix products.
        gpus: how many there are.
    """
    if seconds <= 0:
        raise ValueError("a utilisation needs a time above 0")
    return flop / (seconds * gpu.rate(dtype) * gpus)


def training_memory(encoder: EncoderShape, tokens: int, *, dtype: Dtype, checkpointing: bool = False) -> Memory:
    """Return the memory of one GPU that trains on at most ``tokens`` tokens at once.

    Activations per token and layer are 26 x width + 4 x inner width bytes under bfloat16 autocast and 34 and 8 in
    float32, with attention that keeps no scores: counted with ``torch.autograd.graph.saved_tensors_hooks`` on XLM-R of
    transformers 5.23, dropout masks at one byte. With checkpointing each layer keeps its input, and one layer all.
    What the allocator holds beyond, and the heads' outputs, are not in it.
    """
    half = dtype != "float32"
    width, inner = encoder.hidden_size, encoder.intermediate_size
    layer = 26 * width + 4 * inner if half else 34 * width + 8 * inner
    layers = encoder.num_hidden_layers
    kept = layers * _FLOAT32 * width + layer if checkpointing else layers * layer
    copies = _HALF * encoder.layer_parameters if half else 0
    return Memory(state=4 * _FLOAT32 * encoder.parameters + copies, activations=tokens * kept)


def exported_bytes(encoder: EncoderShape) -> int:
    """Return the size of a finished checkpoint on disk: its weights in float32."""
    return _FLOAT32 * encoder.parameters


def resume_bytes(encoder: EncoderShape) -> int:
    """Return the disk that a run needs while it goes on, beyond the finished checkpoint.

    Two states to go on from (weights and both moments in float32), as the old one stays until the new one is whole,
    and the best weights so far.
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
    """Return a GPU by name; raise UsageError with the nearest and all known ones.

    >>> load_gpu("H200").title
    'NVIDIA H200 SXM'
    """
    gpu = gpus().get(name.strip().lower())
    if gpu is None:
        known = ", ".join(gpus())
        raise UsageError(
            f"There is no GPU named '{name}'.{did_you_mean(name, gpus())} Known: {known}. How fast another one or a "
            "processor is, a short run tells: xharness train prints tokens a second."
        )
    return gpu


def find_gpu(device: str) -> Gpu | None:
    """Return the GPU that the driver calls so (``torch.cuda.get_device_name()``); None where its rates are not known.

    >>> find_gpu("NVIDIA H200").bandwidth_gb_s, find_gpu("NVIDIA H200 NVL")
    (4800.0, None)
    """
    return next((gpu for gpu in gpus().values() if gpu.device == device), None)


def load_encoder(name: str) -> EncoderShape:
    """Return the shape of a well-known encoder, or of a checkpoint in a local folder.

    Args:
        name: a name, as on the Hub or without its owner, or a folder with a config.json. Nothing is downloaded.

    Raises:
        UsageError: the name is not known and no folder.
        ModelError: the folder's config.json cannot be read, or its shape is not one of those that can be counted.
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
        f"The shape of '{name}' is not known, and nothing is downloaded for a plan.{did_you_mean(name, spellings)} "
        f"Known: {', '.join(known)}. The path of a local folder with its config.json works as well; a checkpoint that "
        "was made of one of these has its shape."
    )


def _from_folder(folder: Path) -> EncoderShape:
    path = folder / "config.json"
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ModelError(f"{folder}: there is no config.json in this folder, so its shape is not known.") from None
    except (OSError, ValueError) as error:
        raise ModelError(f"{path}: cannot be read: {error}.") from None
    if not isinstance(config, dict):
        raise ModelError(f"{path}: expected fields at the top level, found {type(config).__name__}.")
    return from_config(config, str(path))


def from_config(config: Mapping[str, Any], where: str) -> EncoderShape:
    """Return the shape that the content of a config.json says; raise ModelError where it cannot be counted.

    Args:
        config: its fields; others than those of the shape do not matter.
        where: the file's name, put before every problem.
    """
    try:
        return strict_yaml.parse(EncoderShape, {f: config[f] for f in _SHAPE if f in config}, where)
    except SpecError as error:
        raise ModelError(f"{error}\nOnly BERT-like encoders can be counted before they are loaded.") from None


def _read(name: str, model: type[Record]) -> dict[str, Record]:
    entries = strict_yaml.read(assets.TASKS / name)
    return {key: strict_yaml.parse(model, fields, f"{name}: {key}") for key, fields in entries.items()}
