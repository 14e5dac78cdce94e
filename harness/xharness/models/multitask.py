"""One encoder with a head per task: build, train and export."""

from __future__ import annotations

import copy
import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import torch
import transformers
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch.nn.functional import cross_entropy

from xharness import files
from xharness.checkpoints import heads
from xharness.errors import ModelError, OutputError
from xharness.models import loading, packing
from xharness.models.kinds import KINDS, embedding

WRITING = (OSError, SafetensorError, RuntimeError)
"""What is raised where weights cannot be written: by Python, by safetensors, and by torch."""
MASKED_LM = "masked_lm"
"""The kind of the extra task that goes on with masked language modelling."""


@dataclass(frozen=True)
class HeadSpec:
    """What head a task gets.

    Attributes:
        task: name; also of the head.
        kind: of problem, or ``masked_lm``.
        labels: names of the head's outputs, in order; () where it has none.
        keep: go on with the head that the checkpoint has, as COPA after Social IQa.
    """

    task: str
    kind: str
    labels: tuple[str, ...] = ()
    keep: bool = False


class MultitaskModel(torch.nn.Module):
    """One encoder under several of transformers' stock models, one per task, of which each adds its head.

    Parameters that tasks share are there once. A head that reads a pooler owns one: it is put into the encoder while
    its task is computed, so that two tasks never train the same pooler.

    Args:
        encoder: transformers' bare model, without a pooler.
        shells: task -> stock model whose encoder is this one.
        poolers: task -> its pooler, for the tasks that read one.
    """

    encoder: Any
    task_models: dict[str, Any]
    poolers: Any

    def __init__(self, encoder: Any, task_models: Mapping[str, Any], poolers: Mapping[str, Any]) -> None:
        super().__init__()
        self.encoder = encoder
        parts = {task: _own_parts(model) for task, model in task_models.items()}
        self.heads = torch.nn.ModuleDict({_key(task): torch.nn.ModuleDict(modules) for task, modules in parts.items()})
        self.poolers = torch.nn.ModuleDict({_key(task): pooler for task, pooler in poolers.items()})
        # Not as a module: the encoder would be found once more in each.
        self.__dict__["task_models"] = dict(task_models)

    @contextmanager
    def task_model(self, task: str) -> Iterator[Any]:
        """Give the stock model of a task, with the pooler in its place."""
        key = _key(task)
        pooler = self.poolers[key] if key in self.poolers else None  # noqa: SIM401 - a ModuleDict has no get
        if pooler is not None:
            self.encoder.pooler = pooler
        try:
            yield self.task_models[task].train(self.training)
        finally:
            if pooler is not None:
                self.encoder.pooler = None

    def forward(self, task: str, **inputs: torch.Tensor) -> Any:
        """Return what the stock model of a task gives, the loss among it where labels are.

        Answers are looked for among real tokens only. The stock loss would also share out probability to padding, so
        that it would depend on which rows are computed together.
        """
        positions = [inputs.pop(name) for name in ("start_positions", "end_positions") if name in inputs]
        with self.task_model(task) as model:
            output = model(**inputs, return_dict=True)
        if positions:
            padding = inputs["attention_mask"].to(output.start_logits.device) == 0
            logits = [
                scores.float().masked_fill(padding, -torch.inf) for scores in (output.start_logits, output.end_logits)
            ]
            losses = [cross_entropy(scores, position) for scores, position in zip(logits, positions, strict=True)]
            output.loss = (losses[0] + losses[1]) / 2
        return output


@dataclass(frozen=True)
class BuiltModel:
    """A model to train, with its tokenizer and the tokens that a row may have (None: no limit)."""

    model: MultitaskModel
    tokenizer: Any
    positions: int | None


def build(
    path: Path, name: str, plans: Sequence[HeadSpec], seed: int, *, trust_remote_code: bool = False
) -> BuiltModel:
    """Return the encoder of a checkpoint with a fresh head for each task, drawn from the seed and the task's name.

    Weights are float32. A head that the checkpoint has is taken over only where its plan says so, and for masked
    language modelling, where a fresh one would undo what the encoder knows. A pooler begins as that of the checkpoint
    where it has one.

    Raises:
        ModelError: weights are missing, or it has no head for masked language modelling where one is asked for.
    """
    loaded = loading.load(
        path,
        embedding.KIND,
        name=name,
        device=torch.device("cpu"),
        dtype="float32",
        trust_remote_code=trust_remote_code,
    )
    encoder = loaded.model
    own_pooler = getattr(encoder, "pooler", None)
    if own_pooler is not None:
        encoder.pooler = None
    task_models: dict[str, Any] = {}
    poolers: dict[str, Any] = {}
    for plan in plans:
        if plan.kind == MASKED_LM:
            task_model = _masked_lm(path, name)
        elif plan.keep:
            base = loading.load(path, KINDS[plan.kind], name=name, device=torch.device("cpu"), dtype="float32")
            task_model = base.model
        else:
            task_model = _fresh(encoder, plan, seed, name)
        pooler = getattr(task_model.base_model, "pooler", None)
        if pooler is not None and plan.kind != MASKED_LM:
            if own_pooler is not None and not plan.keep:
                pooler.load_state_dict(own_pooler.state_dict())
            poolers[plan.task] = pooler
        setattr(task_model, task_model.base_model_prefix, encoder)
        if plan.kind == MASKED_LM:
            task_model.tie_weights()  # the output's weights are those of the embeddings, which are others now
        task_models[plan.task] = task_model
    if packing.supports(encoder):
        packing.install(encoder)
    return BuiltModel(MultitaskModel(encoder, task_models, poolers), loaded.tokenizer, loaded.max_positions)


def _fresh(encoder: Any, plan: HeadSpec, seed: int, name: str) -> Any:
    config = copy.deepcopy(encoder.config)
    if plan.labels:
        config.id2label = dict(enumerate(plan.labels))
        config.label2id = {label: number for number, label in enumerate(plan.labels)}
    elif plan.kind == "span_qa":
        config.id2label, config.label2id = {0: "LABEL_0", 1: "LABEL_1"}, {"LABEL_0": 0, "LABEL_1": 1}
    # Its own layers are thrown away at once, so one is enough.
    one_layer = copy.deepcopy(config)
    one_layer.num_hidden_layers = 1
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(_seed_of(plan.task, seed))
        try:
            task_model = getattr(transformers, KINDS[plan.kind].auto_class).from_config(one_layer)
        except ValueError as error:
            first = str(error).splitlines()[0][:200]
            raise ModelError(f"{name}: transformers has no head of this kind for it ({plan.kind}): {first}") from None
    task_model.config = config
    return task_model


def _masked_lm(path: Path, name: str) -> Any:
    with loading.quiet():
        try:
            model, report = transformers.AutoModelForMaskedLM.from_pretrained(
                path, dtype=torch.float32, use_safetensors=True, output_loading_info=True, local_files_only=True
            )
        except (OSError, ValueError) as error:
            raise ModelError(f"{name}: no model for masked language modelling: {str(error).splitlines()[0]}") from None
    missing = sorted(report["missing_keys"])
    if missing:
        raise ModelError(
            f"{name}: it has no head for masked language modelling (missing: {', '.join(missing[:3])}), and a fresh "
            "one would undo what the encoder knows. Leave --mlm out, or take a base model that has one."
        )
    return model


def _seed_of(task: str, seed: int) -> int:
    # A task's head is the same whichever other tasks are trained beside it.
    return int.from_bytes(hashlib.sha256(f"{task} {seed}".encode()).digest()[:6], "big")


def _key(task: str) -> str:
    # A ModuleDict takes no names with dots.
    return task.replace(".", "_")


def _own_parts(model: Any) -> dict[str, Any]:
    return {name: module for name, module in model.named_children() if name != model.base_model_prefix}


# --- Saving ---------------------------------------------------------------------------------------


def encoder_weights(encoder: Any) -> dict[str, torch.Tensor]:
    """Return the encoder's weights on the CPU by stock name, adapters of LoRA added into the weights they change."""
    weights: dict[str, torch.Tensor] = {}
    deltas = {}
    for name, module in encoder.named_modules():
        if hasattr(module, "get_delta_weight"):
            deltas[f"{name}.weight"] = sum(module.get_delta_weight(adapter) for adapter in module.active_adapters)
    for name, value in encoder.state_dict().items():
        if ".lora_" in name:
            continue
        plain = name.replace(".base_layer.", ".")
        merged = value + deltas[plain].to(value.dtype) if plain in deltas else value
        weights[plain] = merged.detach().cpu().contiguous().clone()
    return weights


def head_weights(model: MultitaskModel, task: str) -> dict[str, torch.Tensor]:
    """Return the weights that a task has beside the encoder, on the CPU, under the names of its stock class."""
    task_model = model.task_models[task]
    weights = {
        f"{part}.{name}": value
        for part, module in _own_parts(task_model).items()
        for name, value in module.state_dict().items()
    }
    if _key(task) in model.poolers:
        pooler = model.poolers[_key(task)].state_dict()
        weights |= {f"{task_model.base_model_prefix}.pooler.{name}": value for name, value in pooler.items()}
    return {name: value.detach().cpu().contiguous().clone() for name, value in weights.items()}


def export(
    model: MultitaskModel, tokenizer: Any, plans: Sequence[HeadSpec], record: heads.CheckpointRecord, folder: Path
) -> None:
    """Write a checkpoint as transformers reads it: one task in one model, several as an encoder and ``heads/``.

    Args:
        model: in any type; it is written in float32.
        tokenizer: is saved beside it.
        plans: of the heads that are written; masked language modelling has none that is.
        record: goes into ``xharness.json``, its heads filled in here.
        folder: is made; it must not be there.

    Raises:
        OutputError: the disk is full.
    """
    tasks = [plan for plan in plans if plan.kind != MASKED_LM]
    encoder = encoder_weights(model.encoder)
    described: dict[str, heads.Head] = {}
    try:
        folder.mkdir(parents=True)
        with loading.quiet():
            _save_tokenizer(tokenizer, folder)
        if len(tasks) == 1:
            task_model = model.task_models[tasks[0].task]
            weights = {f"{task_model.base_model_prefix}.{name}": value for name, value in encoder.items()}
            weights |= head_weights(model, tasks[0].task)
            config = copy.deepcopy(task_model.config)
            architecture = type(task_model).__name__
        else:
            weights, config, architecture = encoder, copy.deepcopy(model.encoder.config), type(model.encoder).__name__
            (folder / "heads").mkdir()
            for plan in tasks:
                save_file(head_weights(model, plan.task), folder / "heads" / f"{plan.task}.safetensors")
        config.architectures = [architecture]
        config.dtype = "float32"
        config.save_pretrained(folder)
        save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    except WRITING as error:
        raise OutputError(
            f"{folder}: the checkpoint cannot be written: {error}. Make room and run the same again."
        ) from None
    for plan in tasks:
        pooled = _key(plan.task) in model.poolers
        described[plan.task] = heads.Head(
            name=plan.task,
            file=None if len(tasks) == 1 else f"heads/{plan.task}.safetensors",
            kind=cast(heads.Kind, plan.kind),
            architecture=type(model.task_models[plan.task]).__name__,
            labels=plan.labels if plan.kind in heads.LABELLED else (),
            pooler=("encoder" if len(tasks) == 1 else "head") if pooled else "none",
        )
    owner: Any = "encoder" if any(head.pooler == "encoder" for head in described.values()) else "none"
    heads.write(folder, replace(record, heads=described, pooler=owner))
    _flush(folder)


def _save_tokenizer(tokenizer: Any, folder: Path) -> None:
    """Save a tokenizer as it came: a fast one remembers how the last texts were cut, and would cut everybody's.

    How it was loaded here (from a folder, without the Hub) is remembered, too, and must not be told to others.
    """
    core = getattr(tokenizer, "backend_tokenizer", None)
    if core is not None:
        core.no_truncation()
        core.no_padding()
    tokenizer.save_pretrained(folder)
    path = folder / "tokenizer_config.json"
    if path.is_file():
        config = json.loads(path.read_text(encoding="utf-8"))
        for name in ("is_local", "local_files_only"):
            config.pop(name, None)
        files.write_json(path, config)


def set_default_permissions(path: Path) -> None:
    """Give a file the permissions that new files have; safetensors makes files that only their owner can read."""
    umask = os.umask(0)
    os.umask(umask)
    path.chmod(0o666 & ~umask)


def _flush(folder: Path) -> None:
    """Flush what other libraries wrote to the disk, so that a rename never shows half a file after a crash."""
    for path in folder.rglob("*"):
        if path.is_file():
            set_default_permissions(path)
            with path.open("rb+") as file:
                os.fsync(file.fileno())


def tied_names(model: MultitaskModel) -> Iterator[tuple[str, torch.nn.Parameter]]:
    """Yield every parameter once, by its first name."""
    yield from model.named_parameters(remove_duplicate=True)
