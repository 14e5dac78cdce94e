"""The training loop: packed batches, gradient accumulation, checkpoints to resume from."""

from __future__ import annotations

import json
import math
import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
import transformers
from safetensors.torch import load_file, save_file
from transformers.trainer_callback import PrinterCallback

from xharness import files
from xharness.errors import ModelError, OutputError
from xharness.models import devices, inference, packing
from xharness.models.devices import keep_freed_memory
from xharness.models.multitask import WRITING, MultitaskModel, tied_names
from xharness.training.sampler import Indices, TaskSampler

LOG_EVERY = 10
STATE = "state.json"
SIZES = "sizes.json"


class Units(Protocol):
    """What a task is learned from: rows of sub-words with what is to be learned, in units that stay together."""

    @property
    def lengths(self) -> Any:
        """Sub-words per unit."""

    def items(self, units: Sequence[int]) -> int:
        """Return what the loss of some units is a mean over: units, tags or hidden sub-words."""

    def batch(self, units: Sequence[int], pad: int) -> dict[str, torch.Tensor]:
        """Return the stock model's input for some units."""


@dataclass(frozen=True)
class StepPlan:
    """Everything that the steps of a run depend on, beside the model.

    Attributes:
        schedule: which task and units each step is for.
        units: task -> what it is learned from.
        pad: id of the padding token.
        budget: real sub-words that are computed at once by one process (padded ones where packing is not possible).
        evaluate_at: steps after which ``evaluate`` is called; the last one is among them.
    """

    schedule: TaskSampler
    units: Mapping[str, Units]
    pad: int
    budget: int
    evaluate_at: frozenset[int]


@dataclass
class TrainingState:
    """What a run has come to, kept beside the weights, so that a resumed one goes on with it.

    Attributes:
        step: steps done.
        losses: (step, task, mean loss since the task's entry before, learning rate).
        evaluations: what was found at each evaluation, in order; its caller appends to it.
        tokens: real sub-words trained on.
        seconds: of training, evaluations not counted.
        budget: smaller than the plan's after a batch did not fit.
        memory: what the caller keeps (which steps are the best so far ...).
    """

    step: int = 0
    losses: list[list[Any]] = field(default_factory=list)
    evaluations: list[dict[str, Any]] = field(default_factory=list)
    tokens: int = 0
    seconds: float = 0.0
    budget: int = 0
    memory: dict[str, Any] = field(default_factory=dict)


class Diverged(Exception):
    """The loss is NaN or infinite."""


class _Numbers:
    """The numbers of the steps, from where a run goes on."""

    def __init__(self, start: int, total: int) -> None:
        self.start, self.total = start, total

    def __len__(self) -> int:
        return self.total

    def __iter__(self) -> Iterator[int]:
        return iter(range(self.start, self.total))


class MultitaskTrainer(transformers.Trainer):  # type: ignore[misc]
    """Trains a JointModel by a Plan.

    The gradient of a step is that of the mean loss over all its units, however they are cut and dealt out: parts are
    weighted by what their own mean is over.

    Args:
        model: is trained.
        args: transformers' TrainingArguments.
        plan: the steps.
        folder: where the state lies from which a killed run goes on.
        evaluate_now: (step, progress) -> whether to stop; called on every process.
        saved: is called after the progress was written down.
        tell: is given the number of steps done, the loss and the rate of sub-words.
        say: is given sentences.
    """

    def __init__(
        self,
        model: MultitaskModel,
        args: Any,
        plan: StepPlan,
        folder: Path,
        evaluate_now: Callable[[int, TrainingState], bool],
        saved: Callable[[TrainingState], None],
        tell: Callable[[int, float | None, float], None],
        say: Callable[[str], None],
    ) -> None:
        super().__init__(model=model, args=args)
        self.remove_callback(PrinterCallback)
        self.plan, self.folder, self.progress = plan, folder, TrainingState(budget=plan.budget)
        self._evaluate_now, self._saved, self._tell, self._say = evaluate_now, saved, tell, say
        self.packed = packing.supports(model.encoder)
        self._since_log: list[tuple[str, Any]] = []
        self._started: float | None = None
        self._stepped = False
        self._local_tokens = 0

    # --- Batches ----------------------------------------------------------------------------------

    def get_train_dataloader(self) -> Any:
        """Return the numbers of the steps; a batch is made when its step is due."""
        return _Numbers(self.progress.step, len(self.plan.schedule))

    def get_batch_samples(self, epoch_iterator: Any, num_batches: int, device: Any) -> tuple[list[Any], None]:
        """Return the number of the next step."""
        return [step for step in (next(epoch_iterator, None),) if step is not None], None

    def floating_point_ops(self, inputs: Any) -> int:
        """Return 0: a step is a number here, and what it costs is reckoned from its sub-words."""
        return 0

    def training_step(self, model: Any, inputs: int, num_items_in_batch: Any = None) -> torch.Tensor:
        """Do forward and backward passes of a step; return its mean loss over all processes' units."""
        step = inputs
        self._stepped = True
        if self._started is None:  # what comes before the first step is no training
            self._started = time.perf_counter()
        task, units = self.plan.schedule.step(step)
        known = self.plan.units[task]
        source = known.at(step) if hasattr(known, "at") else known
        while True:
            try:
                loss = self._passes(model, task, units, source)
            except (torch.OutOfMemoryError, RuntimeError) as error:
                if not devices.out_of_memory(error):
                    raise
                self._halve(error)
                continue
            self._since_log.append((task, loss))
            return loss

    def _halve(self, error: BaseException) -> None:
        budget = self.progress.budget // 2
        if self.args.world_size > 1 or budget < inference.SMALLEST_BUDGET:
            advice = "Give a smaller --batch-tokens."
            if budget < inference.SMALLEST_BUDGET:
                advice = "Use a machine with more memory."
            raise ModelError(f"Out of memory with {self.progress.budget} sub-words at once. {advice}") from error
        self.progress.budget = budget
        self.model.zero_grad(set_to_none=True)
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        self._say(f"A batch does not fit into memory; going on with {budget} sub-words at once.")

    def _passes(self, model: Any, task: str, units: Indices, source: Any) -> torch.Tensor:
        model.train()
        lengths = np.asarray(source.lengths)[units]
        ordered = units[np.argsort(-lengths, kind="stable")]
        world = self.args.world_size
        mine = ordered[self.args.process_index :: world]
        parts = self._parts(mine, np.asarray(source.lengths)) if len(mine) else []
        if not parts:  # more processes than units: this one only takes part in the exchange of gradients
            parts = [ordered[:1]]
        items = source.items([int(unit) for unit in units]) if world > 1 or len(parts) > 1 else None
        total: Any = 0.0
        for number, part in enumerate(parts):
            chosen = [int(unit) for unit in part]
            made = source.batch(chosen, self.plan.pad)
            tensors = {name: values.to(self.args.device, non_blocking=True) for name, values in made.items()}
            weight = 1.0 if items is None else source.items(chosen) / max(items, 1) * world
            weight = weight if len(mine) else 0.0
            last = number == len(parts) - 1
            with nullcontext() if last or world == 1 else self.accelerator.no_sync(model):
                with self.compute_loss_context_manager(), packing.known_mask(made["attention_mask"]):
                    loss = model(task, **tensors).loss
                loss = torch.nan_to_num(loss) * 0.0 if weight == 0.0 else loss * weight
                self.accelerator.backward(loss)
            total = total + loss.detach()
        self._local_tokens += int(lengths.sum())
        return total  # type: ignore[no-any-return]

    def _parts(self, units: Indices, lengths: Any) -> list[Indices]:
        """Cut units, longest first, into parts of at most the budget."""
        parts: list[Indices] = []
        current: list[Any] = []
        used = 0
        for unit in units:
            length = int(lengths[unit])
            cost = (
                used + length if self.packed else int(lengths[current[0]] if current else length) * (len(current) + 1)
            )
            if current and cost > self.progress.budget:
                parts.append(np.array(current))
                current, used = [], 0
            current.append(unit)
            used += length
        return [*parts, np.array(current)]

    # --- After a step -----------------------------------------------------------------------------

    def _maybe_log_save_evaluate(self, tr_loss: Any, *rest: Any, **more: Any) -> None:
        """Keep the loss, and evaluate and save where the plan says so."""
        step = int(self.state.global_step)
        if step == self.progress.step:  # the end of an epoch, which we do not have
            return
        self.progress.step = step
        due = step in self.plan.evaluate_at
        rate = float(more.get("learning_rate") or self._get_learning_rate())
        if step % LOG_EVERY == 0 or due or step == 1:
            tr_loss -= tr_loss
            self._note_losses(step, rate)
        if not due:
            return
        self.progress.seconds += self._elapsed()
        stop = self._evaluate_now(step, self.progress)
        if step < len(self.plan.schedule) and not stop:
            self._save_checkpoint(None, None)
            self._saved(self.progress)
        if stop:
            self.control.should_training_stop = True
        self._started = None

    def _elapsed(self) -> float:
        return 0.0 if self._started is None else time.perf_counter() - self._started

    def _note_losses(self, step: int, rate: float) -> None:
        """Write down the mean loss per task since last time, over all processes; NaN ends the run."""
        if not self._since_log:
            return
        by_task: dict[str, list[Any]] = {}
        for task, loss in self._since_log:
            by_task.setdefault(task, []).append(loss)
        means = torch.stack([torch.stack(values).float().mean() for values in by_task.values()])
        means = self.accelerator.reduce(means, "mean") if self.args.world_size > 1 else means
        self._since_log = []
        for task, value in zip(by_task, means.tolist(), strict=True):
            if not math.isfinite(value):
                raise Diverged(f"the loss of {task} is {value} at step {step}, learning rate {rate:.2g}")
            self.progress.losses.append([step, task, value, rate])
        spent = self._elapsed() + self.progress.seconds
        self.progress.tokens += self._local_tokens
        self._local_tokens = 0
        self._tell(step, float(means.mean()), self.progress.tokens / max(spent, 1e-9))

    # --- State ------------------------------------------------------------------------------------

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        """Write everything that a resumed run needs into a folder of its own, then put it in place of the last one."""
        new, place = self.folder / ".new", self.folder / "state"
        try:
            if self.args.should_save:
                shutil.rmtree(new, ignore_errors=True)
                new.mkdir(parents=True)
                weights = {name: p.detach().cpu().contiguous() for name, p in tied_names(self.model)}
                save_file(weights, new / "model.safetensors")
            self.accelerator.wait_for_everyone()
            self._save_rng_state(str(new))
            self._save_optimizer_and_scheduler(str(new))
            self.accelerator.wait_for_everyone()
            if self.args.should_save:
                self.state.save_to_json(str(new / "trainer_state.json"))
                files.write_json(new / STATE, vars(self.progress))
                sizes = {path.name: path.stat().st_size for path in new.iterdir()}
                files.write_json(new / SIZES, sizes)
                _swap(new, place)
        except WRITING as error:
            raise OutputError(
                f"{self.folder}: the state of the run cannot be written: {error}. Make room; the "
                "same command goes on from the state before."
            ) from None
        self.accelerator.wait_for_everyone()

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        """Read the weights of a state."""
        weights = load_file(Path(resume_from_checkpoint) / "model.safetensors")
        with torch.no_grad():
            for name, parameter in tied_names(self.model):
                parameter.copy_(weights[name])

    def resume(self, progress: TrainingState | None) -> None:
        """Train to the end, from a state if there is one."""
        with keep_freed_memory() if self.args.device.type == "cpu" else nullcontext():
            if progress is None:
                self.train()
                return
            self.progress = progress
            try:
                self.train(resume_from_checkpoint=str(self.folder / "state"))
            except Exception as error:
                if self._stepped:
                    raise
                first = (str(error).strip() or type(error).__name__).splitlines()[0][:200]
                raise _damaged(self.folder / "state", first) from error


def _swap(new: Path, place: Path) -> None:
    """Put a folder in the place of another; after a kill in between, ``saved_state`` finds the old one."""
    old = place.with_name(".old")
    shutil.rmtree(old, ignore_errors=True)
    if place.exists():
        os.replace(place, old)
    os.replace(new, place)
    shutil.rmtree(old, ignore_errors=True)


def saved_state(folder: Path) -> dict[str, Any] | None:
    """Return the content of the state that a run left, None if it left none; mends what a kill left half done."""
    place, old = folder / "state", folder / ".old"
    if not place.exists() and old.exists():
        with suppress(FileNotFoundError):  # another process did it
            os.replace(old, place)
    if not (place / STATE).is_file():
        return None
    try:
        sizes = json.loads((place / SIZES).read_text(encoding="utf-8"))
        for name, size in sizes.items():
            if not (place / name).is_file() or (place / name).stat().st_size != size:
                raise _damaged(place, f"{name} is not as it was written")
        content: dict[str, Any] = json.loads((place / STATE).read_text(encoding="utf-8"))
        TrainingState(**content)
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise _damaged(place, str(error)) from None
    return content


def _damaged(place: Path, why: str) -> ModelError:
    return ModelError(
        f"{place}: the state of the run is damaged: {why}. Remove {place.parent}, and the run begins anew."
    )


def arguments(
    folder: Path,
    settings: Any,
    *,
    steps: int,
    warmup_steps: int,
    seed: int,
    bf16: bool,
    cpu: bool,
    unused_weights: bool,
) -> Any:
    """Return transformers' TrainingArguments for a run; what we do ourselves (logging, saving ...) is switched off."""
    made = transformers.TrainingArguments(
        output_dir=str(folder),
        max_steps=steps,
        per_device_train_batch_size=1,
        learning_rate=settings.learning_rate,
        lr_scheduler_type="linear",
        warmup_steps=warmup_steps,
        weight_decay=settings.weight_decay,
        adam_epsilon=settings.adam_epsilon,
        max_grad_norm=settings.max_grad_norm,
        optim="adamw_torch_fused",
        seed=seed,
        bf16=bf16,
        use_cpu=cpu,
        ddp_find_unused_parameters=unused_weights,
        logging_strategy="no",
        eval_strategy="no",
        save_strategy="no",
        logging_nan_inf_filter=False,
        ignore_data_skip=True,
        disable_tqdm=True,
        report_to="none",
        remove_unused_columns=False,
        dataloader_pin_memory=False,
    )
    # One process drives one GPU; else several would be driven by threads of this one (DataParallel).
    made._n_gpu = min(made.n_gpu, 1)
    return made
