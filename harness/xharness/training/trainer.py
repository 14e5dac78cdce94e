"""The training loop: packed batches, gradient accumulation, checkpoints to resume from."""

from __future__ import annotations

import math
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
import transformers
from safetensors.torch import load_file, save_file
from transformers.trainer_callback import PrinterCallback

from xharness.errors import ModelError, OutputError
from xharness.models import devices, inference, packing
from xharness.models.devices import keep_freed_memory
from xharness.models.multitask import WRITING, MultitaskModel, tied_names
from xharness.training import resume
from xharness.training.resume import TrainingState
from xharness.training.sampler import Indices, TaskSampler

LOG_EVERY = 10


class Units(Protocol):
    """The training data of a task: token rows with their targets, in units that stay in one batch."""

    @property
    def lengths(self) -> Any:
        """Tokens per unit."""

    def items(self, units: Sequence[int]) -> int:
        """Return how many items the loss of some units is a mean over: units, tags or masked tokens."""

    def batch(self, units: Sequence[int], pad: int) -> dict[str, torch.Tensor]:
        """Return some units as input of the stock model."""


@dataclass(frozen=True)
class StepPlan:
    """Everything that the steps of a run depend on, except the model.

    Attributes:
        sampler: task and units of each step.
        units: task -> its training data.
        pad: id of the padding token.
        budget: real tokens that one process computes at once (padded ones where packing is not possible).
        evaluate_at: steps after which the model is evaluated; the last step is one of them.
    """

    sampler: TaskSampler
    units: Mapping[str, Units]
    pad: int
    budget: int
    evaluate_at: frozenset[int]


class Diverged(Exception):
    """The loss is NaN or infinite."""


class _StepNumbers:
    """The numbers of the steps that are left."""

    def __init__(self, start: int, total: int) -> None:
        self.start, self.total = start, total

    def __len__(self) -> int:
        return self.total

    def __iter__(self) -> Iterator[int]:
        return iter(range(self.start, self.total))


class MultitaskTrainer(transformers.Trainer):  # type: ignore[misc]
    """Trains a MultitaskModel step by step.

    The gradient of a step is that of the mean loss over all its units, however they are split into micro-batches and
    distributed over processes: each micro-batch is weighted by the number of items that its own mean is over.

    Args:
        model: the model to train.
        args: transformers' TrainingArguments.
        plan: the steps.
        folder: where the checkpoint to resume from is kept.
        evaluate_now: (step, progress) -> whether to stop; called in every process.
        on_saved: called after the progress was saved.
        on_log: called with the number of steps done, the loss and the tokens per second.
        say: called with messages for the user.
    """

    def __init__(
        self,
        model: MultitaskModel,
        args: Any,
        plan: StepPlan,
        folder: Path,
        evaluate_now: Callable[[int, TrainingState], bool],
        on_saved: Callable[[TrainingState], None],
        on_log: Callable[[int, float | None, float], None],
        say: Callable[[str], None],
    ) -> None:
        super().__init__(model=model, args=args)
        self.remove_callback(PrinterCallback)
        self.plan, self.folder, self.progress = plan, folder, TrainingState(budget=plan.budget)
        self._evaluate_now, self._on_saved, self._on_log, self._say = evaluate_now, on_saved, on_log, say
        self.packed = packing.supports(model.encoder)
        self._since_log: list[tuple[str, Any]] = []
        self._started: float | None = None
        self._stepped = False
        self._local_tokens = 0

    # --- Batches ----------------------------------------------------------------------------------

    def get_train_dataloader(self) -> Any:
        """Return the numbers of the steps; a batch is built when its step is due."""
        return _StepNumbers(self.progress.step, len(self.plan.sampler))

    def get_batch_samples(self, epoch_iterator: Any, num_batches: int, device: Any) -> tuple[list[Any], None]:
        """Return the number of the next step."""
        return [step for step in (next(epoch_iterator, None),) if step is not None], None

    def floating_point_ops(self, inputs: Any) -> int:
        """Return 0: the inputs are a step number here; FLOPs are computed from the tokens instead."""
        return 0

    def training_step(self, model: Any, inputs: int, num_items_in_batch: Any = None) -> torch.Tensor:
        """Run the forward and backward passes of a step; return its mean loss over all units of all processes."""
        step = inputs
        self._stepped = True
        if self._started is None:  # time before the first step is not training time
            self._started = time.perf_counter()
        task, units = self.plan.sampler.step(step)
        data = self.plan.units[task]
        source = data.at(step) if hasattr(data, "at") else data
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
            raise ModelError(f"Out of memory with {self.progress.budget} tokens at once. {advice}") from error
        self.progress.budget = budget
        self.model.zero_grad(set_to_none=True)
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        self._say(f"A batch does not fit into memory; continuing with {budget} tokens at once.")

    def _passes(self, model: Any, task: str, units: Indices, source: Any) -> torch.Tensor:
        model.train()
        lengths = np.asarray(source.lengths)[units]
        ordered = units[np.argsort(-lengths, kind="stable")]
        world = self.args.world_size
        own = ordered[self.args.process_index :: world]
        micro_batches = self._micro_batches(own, np.asarray(source.lengths)) if len(own) else []
        if not micro_batches:  # more processes than units: this one only takes part in the exchange of gradients
            micro_batches = [ordered[:1]]
        items = source.items([int(unit) for unit in units]) if world > 1 or len(micro_batches) > 1 else None
        total: Any = 0.0
        for number, micro_batch in enumerate(micro_batches):
            chosen = [int(unit) for unit in micro_batch]
            batch = source.batch(chosen, self.plan.pad)
            tensors = {name: values.to(self.args.device, non_blocking=True) for name, values in batch.items()}
            weight = 1.0 if items is None else source.items(chosen) / max(items, 1) * world
            weight = weight if len(own) else 0.0
            last = number == len(micro_batches) - 1
            with nullcontext() if last or world == 1 else self.accelerator.no_sync(model):
                with self.compute_loss_context_manager(), packing.known_mask(batch["attention_mask"]):
                    loss = model(task, **tensors).loss
                loss = torch.nan_to_num(loss) * 0.0 if weight == 0.0 else loss * weight
                self.accelerator.backward(loss)
            total = total + loss.detach()
        self._local_tokens += int(lengths.sum())
        return total  # type: ignore[no-any-return]

    def _micro_batches(self, units: Indices, lengths: Any) -> list[Indices]:
        """Split units, longest first, into micro-batches within the token budget."""
        micro_batches: list[Indices] = []
        current: list[Any] = []
        used = 0
        for unit in units:
            length = int(lengths[unit])
            cost = (
                used + length if self.packed else int(lengths[current[0]] if current else length) * (len(current) + 1)
            )
            if current and cost > self.progress.budget:
                micro_batches.append(np.array(current))
                current, used = [], 0
            current.append(unit)
            used += length
        return [*micro_batches, np.array(current)]

    # --- After a step -----------------------------------------------------------------------------

    def _maybe_log_save_evaluate(self, tr_loss: Any, *rest: Any, **more: Any) -> None:
        """Log the loss; evaluate and save after the steps that the plan names."""
        step = int(self.state.global_step)
        if step == self.progress.step:  # called at the end of an epoch; there are no epochs here
            return
        self.progress.step = step
        due = step in self.plan.evaluate_at
        rate = float(more.get("learning_rate") or self._get_learning_rate())
        if step % LOG_EVERY == 0 or due or step == 1:
            tr_loss -= tr_loss
            self._log_losses(step, rate)
        if not due:
            return
        self.progress.seconds += self._elapsed()
        stop = self._evaluate_now(step, self.progress)
        if step < len(self.plan.sampler) and not stop:
            self._save_checkpoint(None, None)
            self._on_saved(self.progress)
        if stop:
            self.control.should_training_stop = True
        self._started = None

    def _elapsed(self) -> float:
        return 0.0 if self._started is None else time.perf_counter() - self._started

    def _log_losses(self, step: int, rate: float) -> None:
        """Log the mean loss per task since the last call, over all processes; NaN ends the run."""
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
        self._on_log(step, float(means.mean()), self.progress.tokens / max(spent, 1e-9))

    # --- Checkpoint to resume from ----------------------------------------------------------------

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        """Write everything that a resumed run needs into a new folder, then replace the previous checkpoint by it."""
        new = self.folder / ".new"
        try:
            if self.args.should_save:
                shutil.rmtree(new, ignore_errors=True)
                new.mkdir(parents=True)
                weights = {name: p.detach().cpu().contiguous() for name, p in tied_names(self.model)}
                save_file(weights, new / resume.WEIGHTS)
            self.accelerator.wait_for_everyone()
            self._save_rng_state(str(new))
            self._save_optimizer_and_scheduler(str(new))
            self.accelerator.wait_for_everyone()
            if self.args.should_save:
                self.state.save_to_json(str(new / "trainer_state.json"))
                resume.write_state(self.progress, new)
                resume.replace_checkpoint(new, self.folder / resume.FOLDER)
        except WRITING as error:
            raise OutputError(
                f"{self.folder}: the checkpoint to resume from cannot be written: {error}. Make room; the same command "
                "resumes from the previous one."
            ) from None
        self.accelerator.wait_for_everyone()

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        """Load the weights of a checkpoint."""
        weights = load_file(Path(resume_from_checkpoint) / resume.WEIGHTS)
        with torch.no_grad():
            for name, parameter in tied_names(self.model):
                parameter.copy_(weights[name])

    def resume(self, progress: TrainingState | None) -> None:
        """Train to the end, from the checkpoint with this progress; None: from the start."""
        with keep_freed_memory() if self.args.device.type == "cpu" else nullcontext():
            if progress is None:
                self.train()
                return
            self.progress = progress
            checkpoint = self.folder / resume.FOLDER
            try:
                self.train(resume_from_checkpoint=str(checkpoint))
            except Exception as error:
                if self._stepped:
                    raise
                first_line = (str(error).strip() or type(error).__name__).splitlines()[0][:200]
                raise resume.damaged(checkpoint, first_line) from error


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
    """Return transformers' TrainingArguments of a run, with its own logging, evaluation and saving turned off."""
    args = transformers.TrainingArguments(
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
    # One GPU per process; otherwise Trainer would drive several of them by threads (DataParallel).
    args._n_gpu = min(args.n_gpu, 1)
    return args
