"""The training plan: base model, training sets, recipe and mixture; its reproducible request."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from xharness import files
from xharness.checkpoints import resolve
from xharness.checkpoints.checkpoint import Checkpoint
from xharness.checkpoints.heads import Phase
from xharness.data.loading import available, collect_labels, data_folder
from xharness.data.training_sets import TrainingData, load_dev, load_train
from xharness.errors import DataError, NothingToDo, UsageError
from xharness.tasks.recipes import DEFAULT, Settings, load_recipe
from xharness.tasks.registry import MIXTURE, load_mixture, load_training
from xharness.tasks.selection import resolve_training_names
from xharness.tasks.task_spec import TrainingSpec
from xharness.training.sampler import count_steps, mixture

MLM = "mlm"
"""The name of the extra task that goes on with masked language modelling."""


@dataclass(frozen=True)
class Options:
    """What a user can change about a training run.

    Attributes:
        recipe: name, or path of a YAML file.
        given: settings of the recipe that are other than it says (``learning_rate``, ``epochs`` ...).
        languages: that are trained on.
        files: language -> a file of the user's own with training data, in place of the spec's source.
        train_n: so many examples, drawn by the seed; None: all.
        shots: so many examples per language and label, or per language where there are no labels; None: all.
        max_steps: of the optimiser; None: as many as the recipe's epochs have.
        cap, temperature: of the mixture; None: as the mixture's YAML says.
        mlm: text to go on with masked language modelling on; ``mlm_share`` of the steps are for it.
        lora: rank of the adapters that are trained in place of the encoder; None: all weights.
        retries: so many further seeds are tried after a run that collapsed or diverged.
        average_last: the last so many evaluated states are averaged into one more checkpoint.
    """

    recipe: str = DEFAULT
    given: Mapping[str, Any] = field(default_factory=dict)
    languages: tuple[str, ...] = ("en",)
    files: Mapping[str, Path] = field(default_factory=dict)
    train_n: int | None = None
    shots: int | None = None
    max_steps: int | None = None
    cap: int | None = None
    temperature: float | None = None
    mlm: Path | None = None
    mlm_share: float = 0.2
    lora: int | None = None
    gradient_checkpointing: bool = False
    seed: int = 0
    retries: int = 0
    device: str = "auto"
    dtype: str = "auto"
    batch_tokens: int | None = None
    trust_remote_code: bool = False
    average_last: int = 0


@dataclass(frozen=True)
class Part:
    """A task of a run.

    Attributes:
        spec: the training set.
        settings: what the recipe means for it.
        train: the examples that are trained on.
        dev: the fixed development examples; None where it has none.
        labels: names of the head's outputs, in order.
    """

    spec: TrainingSpec
    settings: Settings
    train: TrainingData
    dev: TrainingData | None
    labels: tuple[str, ...]

    @property
    def name(self) -> str:
        """The task's name, which is also that of its head."""
        return self.spec.name


@dataclass(frozen=True)
class TrainingPlan:
    """A run that is ready to begin.

    Attributes:
        checkpoint: the base.
        parts: one per task.
        options: as the user gave them.
        cap, temperature: of the mixture, where there are several tasks.
        left_out: task -> why it is not trained, in a mixture.
        data_dir: None: the Hub.
        phase: what the checkpoint is for.
        keep_head: go on with the base's own head where it is of the task's kind and has its labels.
    """

    checkpoint: Checkpoint
    parts: tuple[Part, ...]
    options: Options
    cap: int | None
    temperature: float
    left_out: Mapping[str, str]
    data_dir: Path | None
    phase: Phase = "intermediate"
    keep_head: bool = False

    def keeps_head(self, part: Part) -> bool:
        """Whether a task goes on with the head that the base has."""
        if not self.keep_head or self.checkpoint.head != part.spec.kind:
            return False
        return part.spec.kind in ("multiple_choice", "span_qa") or self.checkpoint.id2label == part.labels

    @property
    def settings(self) -> Settings:
        """The settings of the optimiser, which the tasks share: those of the task with the smallest learning rate."""
        return min((part.settings for part in self.parts), key=lambda s: s.learning_rate)

    def probabilities(self, sizes: Mapping[str, int]) -> dict[str, float]:
        """Return how often each task is drawn, masked language modelling among them; they sum to 1."""
        cap = self.cap if self.cap is not None else max(sizes.values())
        found = mixture({name: size for name, size in sizes.items() if name != MLM}, cap, self.temperature)
        if MLM not in sizes:
            return found
        share = self.options.mlm_share
        return {**{name: p * (1 - share) for name, p in found.items()}, MLM: share}

    def batch_sizes(self) -> dict[str, int]:
        """Return units per optimiser step of each task."""
        found = {part.name: part.settings.batch_size for part in self.parts}
        return found if self.options.mlm is None else {**found, MLM: self.settings.batch_size}

    def steps(self, sizes: Mapping[str, int]) -> int:
        """Return the optimiser steps of the run, given the units of each task."""
        if self.options.max_steps is not None:
            return self.options.max_steps
        own = {name: size for name, size in sizes.items() if name != MLM}
        epochs = {part.name: part.settings.epochs for part in self.parts}
        steps = count_steps(own, self.batch_sizes(), epochs, self.cap)
        return steps if MLM not in sizes else math.ceil(steps / (1 - self.options.mlm_share))

    def table(self, sizes: Mapping[str, int]) -> list[dict[str, Any]]:
        """Return what a run does, task by task: units, batch, probability and expected steps."""
        chances, batches, total = self.probabilities(sizes), self.batch_sizes(), self.steps(sizes)
        return [
            {
                "task": name,
                "units": size,
                "batch": batches[name],
                "probability": chances[name],
                "steps": round(chances[name] * total),
            }
            for name, size in sizes.items()
        ]

    def request(self) -> dict[str, Any]:
        """Return all that the result depends on, as JSON holds it; the seed is among it, device and budget are not."""
        options = self.options
        return {
            "phase": self.phase,
            "base": {"name": self.checkpoint.name, "id": self.checkpoint.id},
            "tasks": {
                part.name: {
                    "spec": part.spec.hash,
                    "data": part.train.hash,
                    "dev": None if part.dev is None else part.dev.hash,
                    "n": len(part.train.examples),
                    "labels": list(part.labels),
                    "settings": part.settings.values,
                    "origins": dict(part.settings.origins),
                }
                for part in self.parts
            },
            "recipe": self.options.recipe,
            "languages": list(options.languages),
            "train_n": options.train_n,
            "shots": options.shots,
            "max_steps": options.max_steps,
            "cap": self.cap,
            "temperature": self.temperature,
            "mlm": None if options.mlm is None else {"sha256": files.sha256(options.mlm), "share": options.mlm_share},
            "lora": None if options.lora is None else adapters(options.lora),
            "average_last": options.average_last,
            "keep_head": any(self.keeps_head(part) for part in self.parts),
            "seed": options.seed,
        }


def adapters(rank: int) -> dict[str, Any]:
    """Return peft's settings of LoRA's adapters (https://arxiv.org/abs/2106.09685); all but the rank are ours."""
    return {"r": rank, "lora_alpha": 2 * rank, "lora_dropout": 0.05}


def full_request(
    plan: TrainingPlan, dtype: str, choices: Mapping[str, Sequence[str]], watched: Mapping[str, Sequence[Any]]
) -> dict[str, Any]:
    """Return all that a run is: its plan's request, what it computes in, and what is looked at while it trains.

    Args:
        plan: the run.
        dtype: of its products.
        choices: name of a choice of a state -> the probes that it is made by.
        watched: probe -> spec hash, data hash and number of examples.
    """
    chosen = {name: list(own) for name, own in choices.items()}
    looked = {name: list(facts) for name, facts in watched.items()}
    return {**plan.request(), "dtype": dtype, "choices": chosen, **({"watched": looked} if looked else {})}


def key_of(request: Mapping[str, Any]) -> str:
    """Return the 12 hex digits that stand for a request but for seed and base: what tuned models lie under."""
    content = {name: value for name, value in comparable(request).items() if name not in ("seed", "base")}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:12]


def comparable(request: Mapping[str, Any]) -> dict[str, Any]:
    """Return a request, as JSON holds it, without what the result does not depend on: names and origins of values."""
    content: dict[str, Any] = json.loads(json.dumps(request))
    content["base"].pop("name", None)
    content.pop("recipe", None)
    for task in content["tasks"].values():
        task.pop("origins", None)
    return content


def differences(then: Any, now: Any, place: str = "") -> Iterator[str]:
    """Yield in words where two requests differ.

    >>> list(differences({"seed": 1}, {"seed": 2}))
    ['seed was 1 and is 2 now']
    """
    if isinstance(then, dict) and isinstance(now, dict):
        for name in dict.fromkeys([*then, *now]):
            inner = f"{place}.{name}" if place else str(name)
            yield from differences(then.get(name), now.get(name), inner)
    elif then != now:
        yield f"{place} was {_short(then)} and is {_short(now)} now"


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 40 else f"{text[:40]} ..."


def prepare(
    tasks: Sequence[str],
    base: str | Checkpoint,
    *,
    data_dir: str | Path | None = None,
    options: Options | None = None,
    phase: Phase = "intermediate",
    keep_head: bool = False,
) -> TrainingPlan:
    """Resolve base, specs, recipe and data of a run; nothing is computed.

    In a mixture that was named by its name, a task whose data cannot be had is left out and said so.

    Raises:
        UsageError, ModelError, DataError, SpecError: an unknown name, a base or data that cannot be read.
        NothingToDo: no task is left.
    """
    options = options or Options()
    _check(options)
    names, whole = resolve_training_names(tasks)
    if options.files and len(names) > 1:
        raise UsageError(
            "--source-data holds the data of one task. Name one task, or give each a task file whose sources say where "
            "its data is."
        )
    folder = data_folder(data_dir)
    if folder is not None and not folder.is_dir():
        raise DataError(f"There is no data folder '{folder}' (--data-dir or XHARNESS_DATA_DIR).")
    recipe = load_recipe(options.recipe)
    checkpoint = base
    if not isinstance(checkpoint, Checkpoint):
        checkpoint = resolve.read_checkpoint(checkpoint, trust_remote_code=options.trust_remote_code)
    if checkpoint.encoder_decoder:
        raise UsageError(
            f"{checkpoint.name} is a sequence-to-sequence model ({checkpoint.model_type}); only encoders are trained."
        )
    if any(name.endswith(("ForCausalLM", "LMHeadModel")) for name in checkpoint.architectures):
        raise UsageError(f"{checkpoint.name} is a decoder ({checkpoint.model_type}); only encoders are trained.")
    parts: list[Part] = []
    left_out: dict[str, str] = {}
    for name in names:
        spec = load_training(name)
        settings = recipe.settings(spec, **options.given)
        try:
            parts.append(_part(spec, settings, folder, options))
        except DataError as error:
            reason = available(spec, "en", "train", folder) if spec.by_hand and not options.files else None
            if not whole or reason is None:
                hint = f" Without it, name the others: {','.join(n for n in names if n != name)}." if whole else ""
                raise DataError(f"{error}{hint}") from None
            left_out[name] = reason
    if not parts:
        raise NothingToDo("Nothing can be trained:\n" + "\n".join(f"  {name}: {why}" for name, why in left_out.items()))
    several = len(parts) > 1
    spec_mixture = load_mixture(MIXTURE)
    cap = (options.cap or spec_mixture.cap) if several else None
    temperature = options.temperature if options.temperature is not None else spec_mixture.temperature
    return TrainingPlan(checkpoint, tuple(parts), options, cap, temperature, left_out, folder, phase, keep_head)


def _part(spec: TrainingSpec, settings: Settings, folder: Path | None, options: Options) -> Part:
    draw: dict[str, Any] = {"languages": options.languages, "files": options.files, "seed": options.seed}
    train = load_train(spec, folder, n=options.train_n, shots=options.shots, **draw)
    looked_at = ("en",) if "en" in spec.languages else options.languages
    # A folder, as CCGbank's, holds all splits; a file is training data.
    own = {code: path for code, path in options.files.items() if path.is_dir() and code in looked_at}
    dev = load_dev(spec, folder, limit=settings.eval_examples, languages=looked_at, files=own)
    labels = tuple(spec.labels)
    if spec.infers_labels:
        # Of all examples, also where only some are drawn.
        every = train if options.train_n is None and options.shots is None else load_train(spec, folder, **draw)
        labels = tuple(collect_labels(every.examples))
    return Part(spec, settings, train, dev, labels)


def _check(options: Options) -> None:
    for name in ("train_n", "shots", "max_steps", "lora", "batch_tokens"):
        value = getattr(options, name)
        if value is not None and value < 1:
            raise UsageError(f"--{name.replace('_', '-')} is {value}: give a number from 1 on.")
    if not 0 <= options.seed < 2**32:
        raise UsageError(f"--seed is {options.seed}: give a number from 0 to 2**32 - 1.")
    if not 0 < options.mlm_share < 1:
        raise UsageError(f"--mlm-share is {options.mlm_share}: give a share of the steps between 0 and 1.")
    if options.mlm is not None and not options.mlm.is_file():
        raise DataError(
            f"{options.mlm}: there is no such file (--mlm). Give a text file with one sentence or paragraph a line."
        )
    if options.retries < 0:
        raise UsageError(f"--retries is {options.retries}: give 0 or more.")
    if options.dtype not in ("auto", "float32", "bfloat16"):
        raise UsageError(f"--dtype is '{options.dtype}': training knows auto, float32 and bfloat16.")
