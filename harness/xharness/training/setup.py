"""Set up one seed of a training run: build the model, encode the examples, draw the order of the steps."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import torch
import transformers

from xharness import files
from xharness.checkpoints import resolve
from xharness.errors import ModelError, UsageError
from xharness.models import multitask
from xharness.models.kinds.base import Context
from xharness.models.multitask import HeadSpec, MultitaskModel
from xharness.progress import bar
from xharness.training import encoded, masked_lm
from xharness.training.dev_sets import DevSet
from xharness.training.plan import MLM, Part, TrainingPlan
from xharness.training.processes import Processes
from xharness.training.request import adapters
from xharness.training.sampler import TaskSampler, single_task


@dataclass(frozen=True)
class TrainingSetup:
    """A model with its training data.

    Attributes:
        plan: the run.
        model: on the CPU.
        tokenizer: the model's tokenizer.
        positions: longest row in tokens; None: no limit.
        head_specs: the model's heads.
        units: task -> its training data.
        sampler: task and units of each step.
    """

    plan: TrainingPlan
    model: MultitaskModel
    tokenizer: Any
    positions: int | None
    head_specs: list[HeadSpec]
    units: dict[str, Any]
    sampler: TaskSampler

    @property
    def sizes(self) -> dict[str, int]:
        """Task -> number of its units."""
        return {name: len(units) for name, units in self.units.items()}

    def dev_sets(self) -> list[DevSet]:
        """Return the development sets of the run's own tasks, truncated as their training data is."""
        dev_sets = []
        for part in self.plan.parts:
            if part.dev is None:
                continue
            longest = _longest(part, self.positions)
            spec = part.spec.model_copy(update={"input": part.spec.input.model_copy(update={"max_length": longest})})
            dev_sets.append(
                DevSet(
                    name=part.name,
                    head=part.name,
                    spec=spec,
                    language=part.dev.parts[0].language,
                    examples=list(part.dev.examples),
                    labels=part.labels,
                    data_hash=part.dev.hash,
                    full_size=sum(source.available for source in part.dev.parts),
                    spec_hash=part.spec.hash,
                )
            )
        return dev_sets


def set_up(
    plan: TrainingPlan, seed: int, processes: Processes, *, cpu: bool, say: Callable[[str], None], progress: bool
) -> TrainingSetup:
    """Build the model, encode the examples, and draw the order of the steps.

    Args:
        plan: the run.
        seed: of the new heads and of the order.
        processes: this process and the others; the main one encodes for all.
        cpu: whether the run computes on the CPU.
        say: called with messages for the user.
        progress: show bars on stderr.

    Raises:
        ModelError: the base model cannot be trained this way, or no example is left.
    """
    options, name = plan.options, plan.checkpoint.name
    path = resolve.download(plan.checkpoint, trust_remote_code=options.trust_remote_code)
    head_specs = [HeadSpec(part.name, part.spec.kind, part.labels, plan.keeps_head(part)) for part in plan.parts]
    if options.mlm is not None:
        head_specs.append(HeadSpec(MLM, multitask.MASKED_LM))
    built = multitask.build(path, name, head_specs, seed, trust_remote_code=options.trust_remote_code)
    tokenizer, positions = built.tokenizer, built.positions
    _check_tokenizer(tokenizer, built.model, plan)
    longest = max(part.settings.max_length for part in plan.parts)
    if positions is not None and longest > positions:
        say(f"Rows are truncated to {positions} tokens, the positions that {name} has, instead of {longest}.")
    units: dict[str, Any] = {}
    for part in plan.parts:
        context = Context(tokenizer, _longest(part, positions), part.spec.input, part.labels)
        with bar(f"encoding {part.name}", len(part.train.examples), progress) as shown, processes.main_first(cpu):
            units[part.name] = _encode(part, context, plan.checkpoint.id, shown.update)
        if not len(units[part.name]):
            raise ModelError(f"{part.name}: no example is left to train on.")
    if options.mlm is not None:
        length = min(plan.settings.max_length, positions or plan.settings.max_length)
        units[MLM] = masked_lm.read_texts(options.mlm, tokenizer, length, seed)
    sampler = _sampler(plan, {task: len(data) for task, data in units.items()}, seed)
    if len(units) > 1:
        steps = ", ".join(f"{task} {count:,}" for task, count in sampler.steps_per_task().items())
        say(f"Steps of each task, as drawn with seed {seed}: {steps}; {len(sampler):,} in total.")
    _adapt(built.model, options.lora, options.gradient_checkpointing, seed)
    return TrainingSetup(plan, built.model, tokenizer, positions, head_specs, units, sampler)


def _check_tokenizer(tokenizer: Any, model: MultitaskModel, plan: TrainingPlan) -> None:
    name = plan.checkpoint.name
    if tokenizer.pad_token_id is None:
        raise ModelError(f"{name}: the tokenizer has no padding token, which training needs.")
    types = getattr(model.encoder.config, "type_vocab_size", 2)
    if "token_type_ids" in tokenizer.model_input_names and types < 2:
        raise ModelError(
            f"{name}: the tokenizer gives the two texts of a pair different token types, but the encoder has only "
            f"{types} (type_vocab_size). Does the tokenizer belong to this model?"
        )
    if any(part.spec.kind == "tagging" for part in plan.parts) and tokenizer.unk_token_id is None:
        raise ModelError(f"{name}: the tokenizer has no unknown token, which tagging needs.")


def _longest(part: Part, positions: int | None) -> int:
    return min(part.settings.max_length, positions or part.settings.max_length)


def _encode(part: Part, context: Context, base: str, tick: Callable[[int], None]) -> encoded.EncodedDataset:
    """Encode the examples of a task, or read them from the cache."""
    digest = _digest(part, context, base)
    folder = files.cache_folder() / "lessons" / digest
    return encoded.encode(part.spec.kind, part.train.examples, context, folder=folder, digest=digest, tick=tick)


def _digest(part: Part, context: Context, base: str) -> str:
    """Return a hash over everything that encoded examples depend on."""
    content = {
        "data": part.train.hash,
        "kind": part.spec.kind,
        "input": part.spec.input.model_dump(mode="json"),
        "length": context.max_length,
        "labels": list(context.labels),
        "tokenizer": base,
        "tokenizers": version("tokenizers"),
        "transformers": transformers.__version__,
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:20]


def _sampler(plan: TrainingPlan, sizes: dict[str, int], seed: int) -> TaskSampler:
    batches = plan.batch_sizes()
    if len(sizes) > 1:
        return TaskSampler(sizes, batches, plan.probabilities(sizes), plan.steps(sizes), seed)
    task, part = next(iter(sizes)), plan.parts[0]
    return single_task(task, sizes[task], batches[task], part.settings.epochs, seed, plan.options.max_steps)


def _adapt(model: MultitaskModel, lora: int | None, gradient_checkpointing: bool, seed: int) -> None:
    """Add LoRA adapters to the encoder and turn gradient checkpointing on, where asked for."""
    if lora is not None:
        try:
            import peft
        except ImportError:
            raise UsageError("--lora needs the package peft: pip install 'xharness[lora]'.") from None
        width = int(model.encoder.config.hidden_size)
        if lora > width:
            raise UsageError(f"--lora is {lora}: the encoder's matrices have a rank of {width} at most.")
        torch.manual_seed(seed)
        try:
            peft.inject_adapter_in_model(peft.LoraConfig(**adapters(lora)), model.encoder)
        except ValueError as error:
            raise ModelError(f"--lora: peft does not know which weights of this encoder to adapt ({error}).") from None
    if gradient_checkpointing:
        # The name in transformers since 5.23.
        enable = getattr(model.encoder, "activation_checkpointing_enable", model.encoder.gradient_checkpointing_enable)
        enable({"use_reentrant": False})
