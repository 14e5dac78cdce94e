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
"""Exceptions when weights cannot be written: from Python, safetensors and torch."""
MASKED_LM = "masked_lm"
"""Kind of the extra task that continues masked language modeling."""


@dataclass(frozen=True)
class HeadSpec:
    """The head of a task.

    Attributes:
        task: name of the task and of its head.
        kind: task kind, or ``masked_lm``.
        labels: names of the head's outputs, in order; () if they have no names.
        keep: continue with the head of the checkpoint, as COPA does after Social IQa.
    """

    task: str
    kind: str
    labels: tuple[str, ...] = ()
    keep: bool = False


class MultitaskModel(torch.nn.Module):
    """One encoder shared by several of transformers' stock models, one per task, each with its own head.

    Shared parameters exist once. A head that uses a pooler has its own: it is put into the encoder while its task is
    computed, so that two tasks never train the same pooler.

    Args:
        encoder: transformers' bare model, without a pooler.
        task_models: task -> stock model with this encoder.
        poolers: task -> its pooler, for tasks that use one.
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
        # Not registered as modules: each would contain the encoder again.
        self.__dict__["task_models"] = dict(task_models)

    @contextmanager
    def task_model(self, task: str) -> Iterator[Any]:
        """Yield the stock model of a task, with the task's pooler in the encoder."""
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
        """Return the output of a task's stock model, with the loss if there are labels.

        The loss of question answering is over real tokens only. The stock loss also assigns probability to padding, so
        it would depend on which rows share a batch.
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
    """A model to train, with its tokenizer and its maximum number of tokens per row (None: no limit)."""

    model: MultitaskModel
    tokenizer: Any
    positions: int | None


def build(
    path: Path, name: str, plans: Sequence[HeadSpec], seed: int, *, trust_remote_code: bool = False
) -> BuiltModel:
    """Return the encoder of a checkpoint with a new head for each task, initialized from the seed and the task's name.

    Weights are float32. The checkpoint's own head is only used where ``HeadSpec.keep`` is set, and for masked language
    modeling, where a new head would destroy what the encoder has learned. Poolers are initialized from the
    checkpoint's pooler if it has one.

    Raises:
        ModelError: weights are missing, or the checkpoint has no masked-language-modeling head although one is needed.
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
            task_model = _new_head(encoder, plan, seed, name)
        pooler = getattr(task_model.base_model, "pooler", None)
        if pooler is not None and plan.kind != MASKED_LM:
            if own_pooler is not None and not plan.keep:
                pooler.load_state_dict(own_pooler.state_dict())
            poolers[plan.task] = pooler
        setattr(task_model, task_model.base_model_prefix, encoder)
        if plan.kind == MASKED_LM:
            task_model.tie_weights()  # the output weights are those of the embeddings, which were replaced
        task_models[plan.task] = task_model
    if packing.supports(encoder):
        packing.install(encoder)
    return BuiltModel(MultitaskModel(encoder, task_models, poolers), loaded.tokenizer, loaded.max_positions)


def _new_head(encoder: Any, plan: HeadSpec, seed: int, name: str) -> Any:
    config = copy.deepcopy(encoder.config)
    if plan.labels:
        config.id2label = dict(enumerate(plan.labels))
        config.label2id = {label: number for number, label in enumerate(plan.labels)}
    elif plan.kind == "span_qa":
        config.id2label, config.label2id = {0: "LABEL_0", 1: "LABEL_1"}, {"LABEL_0": 0, "LABEL_1": 1}
    # Its encoder layers are replaced at once, so one layer is enough.
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
            raise ModelError(f"{name}: no model for masked language modeling: {str(error).splitlines()[0]}") from None
    missing = sorted(report["missing_keys"])
    if missing:
        raise ModelError(
            f"{name}: it has no head for masked language modeling (missing: {', '.join(missing[:3])}), and a new "
            "one would destroy what the encoder has learned. Leave --mlm out, or use a base model that has one."
        )
    return model


def _seed_of(task: str, seed: int) -> int:
    # A task's head is the same, whatever other tasks are trained with it.
    return int.from_bytes(hashlib.sha256(f"{task} {seed}".encode()).digest()[:6], "big")


def _key(task: str) -> str:
    # Names in a ModuleDict cannot have dots.
    return task.replace(".", "_")


def _own_parts(model: Any) -> dict[str, Any]:
    return {name: module for name, module in model.named_children() if name != model.base_model_prefix}


# --- Saving ---------------------------------------------------------------------------------------


def encoder_weights(encoder: Any) -> dict[str, torch.Tensor]:
    """Return the encoder's weights on the CPU by their stock names, with LoRA adapters merged."""
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
    """Return a task's weights outside the encoder, on the CPU, under the names of its stock class."""
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
    """Write a checkpoint that transformers can read: one task as one model, several as an encoder and ``heads/``.

    Args:
        model: in any dtype; it is written in float32.
        tokenizer: saved with the model.
        plans: the heads to write; the masked-language-modeling head is not written.
        record: content of ``xharness.json``; its heads are filled in here.
        folder: created here; it must not exist.

    Raises:
        OutputError: the disk is full, or the folder cannot be written.
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
    """Save a tokenizer without temporary settings.

    A fast tokenizer keeps the truncation and padding of its last call, which would apply to all users. Settings of
    local loading (from a folder, without the Hub) are removed, too.
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
    """Give a file the permissions of new files; safetensors creates files that only their owner can read."""
    umask = os.umask(0)
    os.umask(umask)
    path.chmod(0o666 & ~umask)


def _flush(folder: Path) -> None:
    """Flush files of other libraries to the disk, so that a rename never exposes a half-written file after a crash."""
    for path in folder.rglob("*"):
        if path.is_file():
            set_default_permissions(path)
            with path.open("rb+") as file:
                os.fsync(file.fileno())


def tied_names(model: MultitaskModel) -> Iterator[tuple[str, torch.nn.Parameter]]:
    """Yield every parameter once, by its first name."""
    yield from model.named_parameters(remove_duplicate=True)
