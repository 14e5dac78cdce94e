"""`train()`: build, train, retry failed seeds, write the checkpoint and its record."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from xharness import hardware
from xharness.checkpoints import heads, training_record
from xharness.checkpoints.training_record import ENGLISH_DEV, Record
from xharness.errors import UsageError
from xharness.models import devices
from xharness.progress import bar
from xharness.training import resume, trainer
from xharness.training.output_folder import TrainingFolder, failure
from xharness.training.plan import TrainingPlan
from xharness.training.processes import Processes
from xharness.training.record import build_record, describe_hardware
from xharness.training.request import full_request
from xharness.training.selection import CheckpointSelector, SelectionContext, SelectionPlan, warmup_steps
from xharness.training.setup import TrainingSetup, set_up
from xharness.training.trainer import Diverged, MultitaskTrainer, StepPlan


def train(
    plan: TrainingPlan,
    output: Path,
    *,
    selection: SelectionPlan | None = None,
    say: Callable[[str], None] | None = None,
    progress: bool = True,
) -> Record:
    """Train as planned and write a checkpoint to ``output``; resume a run that was stopped there.

    The checkpoint is the one with the best mean development score of the tasks, or the last one where there is no
    development data. Other selected checkpoints (by ``selection``, the last, the averaged one) lie below ``steps/``.

    Args:
        plan: from ``training.plan.prepare``.
        output: folder of the checkpoint.
        selection: further development sets, and further checkpoints that are selected by them.
        say: called with messages for the user.
        progress: show bars on stderr.

    Returns:
        The training record, which is also written beside the checkpoint. Its status may be ``collapsed``, or
        ``diverged`` if no attempt reached its end.

    Raises:
        UsageError: the folder holds something else, or a run with other settings (the message names the difference).
        OutputError: the disk is full, or too small for the run.
        ModelError: the base model cannot be trained this way.
    """
    say = say or (lambda sentence: None)
    run = TrainingRun(plan, Path(output), selection or SelectionPlan(), say, progress)
    try:
        return run.run()
    finally:
        run.folder.release()


class TrainingRun:
    """One call of ``train``, in one process of possibly several."""

    def __init__(
        self, plan: TrainingPlan, output: Path, selection: SelectionPlan, say: Callable[[str], None], progress: bool
    ) -> None:
        self.plan, self.output, self.selection = plan, output, selection
        self.processes = Processes.from_environment()
        main = self.processes.is_main
        self.say = say if main else (lambda sentence: None)
        self.progress = progress and main
        self.device = devices.choose_device(plan.options.device)
        if self.device.type == "cuda" and self.device.index is not None:
            raise UsageError("--device: training takes cpu or cuda; choose the GPU with CUDA_VISIBLE_DEVICES=N.")
        self.cpu = self.device.type == "cpu"
        self.dtype = devices.choose_dtype(plan.options.dtype, self.device)
        self.request = full_request(plan.request(), self.dtype, selection.criteria, selection.dev_set_facts)
        self.folder = TrainingFolder(output, self.request, writes=main)

    def run(self) -> Record:
        """Train until a seed succeeds, or no retry is left."""
        finished = self.folder.finished()
        if finished is not None:
            complete = finished.status == "complete"
            if complete or len(finished.attempts) >= self.plan.options.retries:
                outcome = "trained already" if complete else f"{finished.status} already"
                self.say(f"{self.output}: {outcome} with these settings; nothing to do.")
                return finished
            self._wait()
            self.folder.reopen(finished)
            self._wait()
        self.folder.claim()
        attempts = self.folder.attempts()
        while True:
            seed = self.plan.options.seed + len(attempts)
            record = self._attempt(seed, attempts)
            if record.status == "complete" or len(attempts) >= self.plan.options.retries:
                break
            self.say(f"Seed {seed} {record.status} ({record.reason}); trying seed {seed + 1}.")
            attempts.append(failure(record))
            self.folder.discard(attempts)
            self._wait()
        self.folder.finish(record)
        self._wait()
        return training_record.load(self.output) or record

    def _attempt(self, seed: int, attempts: list[dict[str, Any]]) -> Record:
        """Train with one seed and return its record."""
        plan = self.plan
        setup = set_up(plan, seed, self.processes, cpu=self.cpu, say=self.say, progress=self.progress)
        self.folder.begin()
        steps, every = len(setup.sampler), plan.settings.eval_every
        evaluate_at = frozenset([*range(every, steps, every), steps])
        weights = 4 * sum(p.numel() for p in setup.model.parameters())
        kept = 1 + len(self.selection.criteria) + max(plan.options.average_last, 1)
        self.folder.check_space(weights, min(len(evaluate_at), kept))
        arguments = self._arguments(setup, seed)
        own = setup.dev_sets()
        criteria = {ENGLISH_DEV: [dev_set.name for dev_set in own], **self.selection.criteria}
        selector = CheckpointSelector(
            self._selection_context(setup, arguments),
            [*own, *self.selection.dev_sets],
            {name: list(dev_sets) for name, dev_sets in criteria.items() if dev_sets},
        )
        budget = plan.options.batch_tokens or hardware.BATCH_TOKENS[self.device.type]
        step_plan = StepPlan(setup.sampler, setup.units, setup.tokenizer.pad_token_id, budget, evaluate_at)
        engine, diverged = self._train_steps(setup, arguments, step_plan, selector)
        facts = describe_hardware(
            setup, engine.progress, self.device, self.dtype, processes=self.processes.world, packed=engine.packed
        )
        return build_record(
            setup,
            self.request,
            engine.progress,
            selector,
            seed=seed,
            attempts=attempts,
            diverged=diverged,
            hardware_facts=facts,
        )

    def _train_steps(
        self, setup: TrainingSetup, arguments: Any, step_plan: StepPlan, selector: CheckpointSelector
    ) -> tuple[MultitaskTrainer, str | None]:
        """Train to the end, resuming if possible; return the trainer, and the reason if the run diverged."""
        steps = len(step_plan.sampler)
        with bar("training", steps, self.progress, unit="step") as shown:

            def log(step: int, loss: float | None, rate: float) -> None:
                shown.update(step - shown.n)
                shown.set_postfix_str(f"loss {loss:.3f}, {rate:,.0f} tokens/s", refresh=False)

            engine = MultitaskTrainer(
                setup.model, arguments, step_plan, self.folder.run, selector.evaluate, selector.prune, log, self.say
            )
            saved = resume.load_state(self.folder.run)
            self._wait()
            if saved is not None:
                self.say(f"Resuming after step {saved.step:,} of {steps:,}.")
            try:
                engine.resume(saved)
            except Diverged as error:
                return engine, str(error)
        return engine, None

    def _arguments(self, setup: TrainingSetup, seed: int) -> Any:
        steps = len(setup.sampler)
        settings = self.plan.settings
        return trainer.arguments(
            self.folder.run,
            settings,
            steps=steps,
            warmup_steps=warmup_steps(settings.warmup, steps),
            seed=seed,
            bf16=self.dtype == "bfloat16",
            cpu=self.cpu,
            unused_weights=len(setup.units) > 1 or self.plan.options.lora is not None,
        )

    def _selection_context(self, setup: TrainingSetup, arguments: Any) -> SelectionContext:
        plan, base = self.plan, self.plan.checkpoint
        # Only the last part of a local path: the record is part of the checkpoint, which must not depend on where its
        # base was, and a published record must not reveal the layout of somebody's disk.
        name = base.name if base.sha is not None else base.folder_name
        return SelectionContext(
            model=setup.model,
            tokenizer=setup.tokenizer,
            positions=setup.positions,
            head_specs=setup.head_specs,
            record=heads.CheckpointRecord(plan.phase, tuple(part.name for part in plan.parts), name, base.id),
            settings=plan.settings,
            steps=len(setup.sampler),
            folder=self.folder.run,
            device=arguments.device,
            bf16=self.dtype == "bfloat16",
            processes=self.processes,
            say=self.say,
            average_last=plan.options.average_last,
            keep_last=plan.phase == "target" or plan.options.average_last > 0,
        )

    def _wait(self) -> None:
        self.processes.wait(self.cpu)
