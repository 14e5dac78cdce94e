"""The training plan: base model, training sets, recipe and mixture, resolved before anything is computed; no torch."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
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
from xharness.training.request import adapters
from xharness.training.sampler import count_steps, mixture

MLM = "mlm"
"""Name of the extra task that continues masked language modeling."""


@dataclass(frozen=True)
class Options:
    """Options of a training run.

    Attributes:
        recipe: name, or path of a YAML file.
        given: settings that replace those of the recipe (``learning_rate``, ``epochs`` ...).
        languages: languages to train on.
        files: language -> a file of the user's own with training data, which replaces the spec's source.
        train_n: number of examples, drawn by the seed; None: all.
        shots: number of examples per language and label, or per language where there are no labels; None: all.
        max_steps: optimizer steps; None: as many as the recipe's epochs have.
        cap, temperature: of the mixture; None: those of the mixture's YAML file.
        mlm: text file to continue masked language modeling on, for a share of ``mlm_share`` of the steps.
        lora: rank of the adapters that are trained instead of the encoder; None: all weights are trained.
        gradient_checkpointing: compute activations again in the backward pass, to save memory.
        seed: of new heads, order, dropout and drawn examples.
        retries: number of further seeds to try after a run that collapsed or diverged.
        device, dtype: ``auto`` or a name.
        batch_tokens: tokens that are computed at once; None: the default of the device.
        trust_remote_code: run code from the base's repository.
        average_last: number of last evaluated checkpoints that are averaged into one more; 0: none.
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
    """One task of a run.

    Attributes:
        spec: the training set.
        settings: the recipe's settings for it.
        train: the training examples.
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
        """Name of the task and of its head."""
        return self.spec.name


@dataclass(frozen=True)
class TrainingPlan:
    """A run that is ready to start.

    Attributes:
        checkpoint: the base model.
        parts: one per task.
        options: as the user gave them.
        cap, temperature: of the mixture, where there are several tasks.
        left_out: task of a mixture -> why it is not trained.
        data_dir: data folder; None: the Hub.
        phase: whether the checkpoint is intermediate or for a target.
        keep_head: continue with the base's own head where it has the task's kind and labels.
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
        """Return whether a task continues with the head of the base."""
        if not self.keep_head or self.checkpoint.head != part.spec.kind:
            return False
        return part.spec.kind in ("multiple_choice", "span_qa") or self.checkpoint.id2label == part.labels

    @property
    def settings(self) -> Settings:
        """Optimizer settings, which all tasks share: those of the task with the smallest learning rate."""
        return min((part.settings for part in self.parts), key=lambda s: s.learning_rate)

    def probabilities(self, sizes: Mapping[str, int]) -> dict[str, float]:
        """Return the probability of each task, including masked language modeling; they sum to 1."""
        cap = self.cap if self.cap is not None else max(sizes.values())
        shares = mixture({name: size for name, size in sizes.items() if name != MLM}, cap, self.temperature)
        if MLM not in sizes:
            return shares
        share = self.options.mlm_share
        return {**{name: p * (1 - share) for name, p in shares.items()}, MLM: share}

    def batch_sizes(self) -> dict[str, int]:
        """Return units per optimizer step of each task."""
        sizes = {part.name: part.settings.batch_size for part in self.parts}
        return sizes if self.options.mlm is None else {**sizes, MLM: self.settings.batch_size}

    def steps(self, sizes: Mapping[str, int]) -> int:
        """Return the optimizer steps of the run, given the units of each task."""
        if self.options.max_steps is not None:
            return self.options.max_steps
        own = {name: size for name, size in sizes.items() if name != MLM}
        epochs = {part.name: part.settings.epochs for part in self.parts}
        steps = count_steps(own, self.batch_sizes(), epochs, self.cap)
        return steps if MLM not in sizes else math.ceil(steps / (1 - self.options.mlm_share))

    def table(self, sizes: Mapping[str, int]) -> list[dict[str, Any]]:
        """Return units, batch size, probability and expected steps of each task."""
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
        """Return everything that the result depends on, for JSON: with the seed, without device and token budget."""
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


def prepare(
    tasks: Sequence[str],
    base: str | Checkpoint,
    *,
    data_dir: str | Path | None = None,
    options: Options | None = None,
    phase: Phase = "intermediate",
    keep_head: bool = False,
) -> TrainingPlan:
    """Resolve base model, specs, recipe and data of a run; nothing is computed.

    A mixture given by its name leaves out tasks whose data is not available, and ``left_out`` says why.

    Args:
        tasks: training sets, or the name of the mixture alone.
        base: the model to train, by name or resolved.
        data_dir: data folder; None: XHARNESS_DATA_DIR, else the Hub.
        options: None: the defaults.
        phase: whether the checkpoint is intermediate or for a target.
        keep_head: continue with the base's own head where it has the task's kind and labels.

    Raises:
        UsageError, ModelError, DataError, SpecError: an unknown name, or a base or data that cannot be read.
        NothingToDo: no task is left.
    """
    options = options or Options()
    _check(options)
    names, is_mixture = resolve_training_names(tasks)
    if options.files and len(names) > 1:
        raise UsageError(
            "--source-data gives the data of one task. Name one task, or give each task a task file that names its "
            "sources."
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
            if not is_mixture or reason is None:
                hint = f" Without it, name the others: {','.join(n for n in names if n != name)}." if is_mixture else ""
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
    dev_languages = ("en",) if "en" in spec.languages else options.languages
    # A folder (such as CCGbank) holds all splits; a file holds training data only.
    own = {code: path for code, path in options.files.items() if path.is_dir() and code in dev_languages}
    dev = load_dev(spec, folder, limit=settings.eval_examples, languages=dev_languages, files=own)
    labels = tuple(spec.labels)
    if spec.infers_labels:
        # The labels of all examples, also where only some are drawn.
        everything = train if options.train_n is None and options.shots is None else load_train(spec, folder, **draw)
        labels = tuple(collect_labels(everything.examples))
    return Part(spec, settings, train, dev, labels)


def _check(options: Options) -> None:
    for name in ("train_n", "shots", "max_steps", "lora", "batch_tokens"):
        value = getattr(options, name)
        if value is not None and value < 1:
            raise UsageError(f"--{name.replace('_', '-')} is {value}: give 1 or more.")
    if not 0 <= options.seed < 2**32:
        raise UsageError(f"--seed is {options.seed}: give a number from 0 to 2**32 - 1.")
    if not 0 < options.mlm_share < 1:
        raise UsageError(f"--mlm-share is {options.mlm_share}: give a share of the steps between 0 and 1.")
    if options.mlm is not None and not options.mlm.is_file():
        raise DataError(
            f"{options.mlm} (--mlm) does not exist. Give a text file with one sentence or paragraph per line."
        )
    if options.retries < 0:
        raise UsageError(f"--retries is {options.retries}: give 0 or more.")
    if options.dtype not in ("auto", "float32", "bfloat16"):
        raise UsageError(f"--dtype is '{options.dtype}': training supports auto, float32 and bfloat16.")
