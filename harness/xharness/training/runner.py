"""`train()`: build, train, retry failed seeds, write the checkpoint and its record."""

from __future__ import annotations

import hashlib
import json
import os
import platform
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import timedelta
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch
import transformers

from xharness import files, hardware
from xharness.checkpoints import heads, resolve, training_record
from xharness.checkpoints.training_record import ENGLISH_DEV, Record
from xharness.data.training_sets import TrainingData
from xharness.errors import ModelError, UsageError, XharnessError
from xharness.models import devices, multitask
from xharness.models.kinds.base import Context
from xharness.models.multitask import HeadSpec, MultitaskModel
from xharness.progress import bar
from xharness.tasks.registry import parts_of
from xharness.tasks.task_spec import TrainingSpec
from xharness.training import encoded, masked_lm, trainer
from xharness.training.dev_sets import DevSet
from xharness.training.output_folder import TrainingFolder, failure
from xharness.training.plan import MLM, Part, TrainingPlan, adapters, full_request, key_of
from xharness.training.sampler import TaskSampler, single_task
from xharness.training.selection import CheckpointSelector, SelectionContext, SelectionPlan, warmup_steps
from xharness.training.trainer import Diverged, MultitaskTrainer, StepPlan, TrainingState
from xharness.version import __version__


def train(
    plan: TrainingPlan,
    output: Path,
    *,
    watch: SelectionPlan | None = None,
    say: Callable[[str], None] | None = None,
    progress: bool = True,
) -> Record:
    """Train what the plan says and leave a checkpoint in ``output``; go on where an earlier call was stopped.

    The checkpoint is that of the best mean development score of the tasks, or the last state where there is no
    development data. What else was chosen (by ``watch``, the last state, an average) lies below ``steps/``.

    Returns:
        The record, which lies beside the checkpoint; its status may be ``collapsed``, and ``diverged`` where no
        attempt came to an end.

    Raises:
        UsageError: the folder holds something else, or a run of other settings (names the difference).
        OutputError: the disk is full, or too small for the run.
        ModelError: the base cannot be trained so.
    """
    say = say or (lambda sentence: None)
    run = TrainingRun(plan, Path(output), watch or SelectionPlan(), say, progress)
    try:
        return run.go()
    finally:
        run.folder.release()


@dataclass(frozen=True)
class _Ready:
    """A model with what it is trained on.

    Attributes:
        model: on the CPU.
        head_plans: of its heads.
        units: task -> what it is learned from.
        schedule: of the steps.
    """

    model: MultitaskModel
    head_plans: list[HeadSpec]
    units: dict[str, Any]
    schedule: TaskSampler

    @property
    def sizes(self) -> dict[str, int]:
        """Task -> its units."""
        return {name: len(each) for name, each in self.units.items()}


class TrainingRun:
    """One call of ``train``, on one process of perhaps several."""

    def __init__(
        self, plan: TrainingPlan, output: Path, watch: SelectionPlan, say: Callable[[str], None], progress: bool
    ) -> None:
        self.plan, self.output, self.watch = plan, output, watch
        self.rank, self.world = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
        self.say = say if self.rank == 0 else (lambda sentence: None)
        self.shown = progress and self.rank == 0
        self.device = devices.choose_device(plan.options.device)
        if self.device.type == "cuda" and self.device.index is not None:
            raise UsageError("--device: training takes cpu or cuda; choose the GPU with CUDA_VISIBLE_DEVICES=N.")
        self.dtype = devices.choose_dtype(plan.options.dtype, self.device)
        self.request = full_request(plan, self.dtype, watch.choices, watch.looked_at)
        self.folder = TrainingFolder(output, self.request, writes=self.rank == 0)
        self.tokenizer: Any = None
        self.positions: int | None = None

    def go(self) -> Record:
        """Train until a seed succeeds, or no retry is left."""
        done = self.folder.finished()
        if done is not None and (done.status == "complete" or len(done.attempts) >= self.plan.options.retries):
            came = "trained already" if done.status == "complete" else f"{done.status} already"
            self.say(f"{self.output}: {came} with these settings; nothing to do.")
            return done
        if done is not None:
            self._wait()
            self.folder.reopen(done)
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
            self.folder.put_away(attempts)
            self._wait()
        self.folder.finish(record)
        self._wait()
        return training_record.load(self.output) or record

    def _attempt(self, seed: int, attempts: list[dict[str, Any]]) -> Record:
        plan = self.plan
        ready = self._ready(seed)
        self.folder.begin()
        steps = len(ready.schedule)
        every = plan.settings.eval_every
        evaluate_at = frozenset([*range(every, steps, every), steps])
        weights = 4 * sum(p.numel() for p in ready.model.parameters())
        self.folder.check_room(
            weights, min(len(evaluate_at), 1 + len(self.watch.choices) + max(plan.options.average_last, 1))
        )
        arguments = self._arguments(ready, seed)
        own = self._probes()
        probes = [*own, *self.watch.probes]
        choices = {ENGLISH_DEV: [probe.name for probe in own], **self.watch.choices}
        watcher = CheckpointSelector(
            self._scene(ready, arguments), probes, {name: list(of) for name, of in choices.items() if of}
        )
        budget = plan.options.batch_tokens or hardware.BATCH_TOKENS[self.device.type]
        the_steps = StepPlan(ready.schedule, ready.units, self.tokenizer.pad_token_id, budget, evaluate_at)
        engine, diverged = self._take_steps(ready.model, arguments, the_steps, watcher)
        return self._record(ready, seed, attempts, watcher, engine, diverged)

    def _take_steps(
        self, model: MultitaskModel, arguments: Any, the_steps: StepPlan, watcher: CheckpointSelector
    ) -> tuple[MultitaskTrainer, str | None]:
        """Train to the end, from a state if there is one; return the trainer, and why the run diverged, if it did."""
        steps = len(the_steps.schedule)
        with bar("training", steps, self.shown, unit="step") as shown:

            def tell(step: int, loss: float | None, rate: float) -> None:
                shown.update(step - shown.n)
                shown.set_postfix_str(f"loss {loss:.3f}, {rate:,.0f} tokens/s", refresh=False)

            engine = MultitaskTrainer(
                model, arguments, the_steps, self.folder.run, watcher.evaluate, watcher.prune, tell, self.say
            )
            saved = trainer.saved_state(self.folder.run)
            self._wait()
            if saved is not None:
                self.say(f"Going on after step {saved['step']:,} of {steps:,}.")
            try:
                engine.resume(TrainingState(**saved) if saved is not None else None)
            except Diverged as error:
                return engine, str(error)
        return engine, None

    def _record(
        self,
        ready: _Ready,
        seed: int,
        attempts: list[dict[str, Any]],
        watcher: CheckpointSelector,
        engine: MultitaskTrainer,
        diverged: str | None,
    ) -> Record:
        """Return what came of an attempt."""
        plan, found = self.plan, engine.progress
        reason = diverged or watcher.collapsed(found)
        drawn = ready.schedule.steps_per_task()
        return Record(
            status="diverged" if diverged else "collapsed" if reason else "complete",
            reason=reason,
            key=key_of(self.request),
            request=self.request,
            seed=seed,
            attempts=list(attempts),
            steps=found.step,
            planned_steps=len(ready.schedule),
            data={
                part.name: {"train": _parts(part.spec, part.train), "dev": _parts(part.spec, part.dev)}
                for part in plan.parts
            },
            mixture={
                row["task"]: {
                    "units": row["units"],
                    "batch": row["batch"],
                    "probability": row["probability"],
                    "steps": drawn[row["task"]],
                }
                for row in plan.table(ready.sizes)
            },
            losses=found.losses,
            evaluations=found.evaluations,
            probes={probe.name: _described(probe) for probe in watcher.probes},
            selections={} if diverged else watcher.selections(found),
            tokens=found.tokens,
            seconds=round(found.seconds, 3),
            tokens_per_second=round(found.tokens / max(found.seconds, 1e-9), 1),
            hardware={
                "device": devices.device_name(self.device),
                "processes": self.world,
                "batch_tokens": found.budget,
                "packed": engine.packed,
                **self._against_the_gpu(ready, found),
            },
            versions={
                "xharness": __version__,
                "python": platform.python_version(),
                "accelerate": _version("accelerate"),
                **devices.versions(),
            },
            notes=[*(f"{task} was left out: {why}" for task, why in plan.left_out.items()), *_notes(plan)],
        )

    # --- Before the first step --------------------------------------------------------------------

    def _ready(self, seed: int) -> _Ready:
        """Build the model, encode the examples, and lay out the steps."""
        plan, options = self.plan, self.plan.options
        name, trust = plan.checkpoint.name, options.trust_remote_code
        path = resolve.download(plan.checkpoint, trust_remote_code=trust)
        head_plans = [HeadSpec(part.name, part.spec.kind, part.labels, plan.keeps_head(part)) for part in plan.parts]
        if options.mlm is not None:
            head_plans.append(HeadSpec(MLM, multitask.MASKED_LM))
        built = multitask.build(path, name, head_plans, seed, trust_remote_code=trust)
        self.tokenizer, self.positions = built.tokenizer, built.positions
        if self.tokenizer.pad_token_id is None:
            raise ModelError(f"{name}: the tokenizer has no padding token, which training needs.")
        kinds = getattr(built.model.encoder.config, "type_vocab_size", 2)
        if "token_type_ids" in self.tokenizer.model_input_names and kinds < 2:
            raise ModelError(
                f"{name}: the tokenizer tells first texts from second ones, and the encoder knows {kinds} kind of text "
                "only (type_vocab_size). Is the tokenizer that of this model?"
            )
        longest = max(part.settings.max_length for part in plan.parts)
        if built.positions is not None and longest > built.positions:
            self.say(f"Rows are cut at {built.positions} sub-words, for which {name} has positions, not at {longest}.")
        units: dict[str, Any] = {part.name: self._units(part) for part in plan.parts}
        if options.mlm is not None:
            length = min(plan.settings.max_length, built.positions or plan.settings.max_length)
            units[MLM] = masked_lm.read_texts(options.mlm, self.tokenizer, length, seed)
        sizes = {task: len(each) for task, each in units.items()}
        batches = plan.batch_sizes()
        if len(sizes) == 1:
            task, part = next(iter(sizes)), plan.parts[0]
            schedule = single_task(task, sizes[task], batches[task], part.settings.epochs, seed, options.max_steps)
        else:
            schedule = TaskSampler(sizes, batches, plan.probabilities(sizes), plan.steps(sizes), seed)
            told = ", ".join(f"{task} {count:,}" for task, count in schedule.steps_per_task().items())
            self.say(f"Steps of each task, as drawn with seed {seed}: {told}; {len(schedule):,} in all.")
        _adapt(built.model, options.lora, options.gradient_checkpointing, seed)
        return _Ready(built.model, head_plans, units, schedule)

    def _units(self, part: Part) -> encoded.EncodedDataset:
        """Encode a task's examples, or find them encoded; the first process does it for all."""
        if part.spec.kind == "tagging" and self.tokenizer.unk_token_id is None:
            raise ModelError(f"{self.plan.checkpoint.name}: the tokenizer has no unknown token, which tagging needs.")
        context = self._context(part)
        digest = _digest(part, context, self.plan.checkpoint.id)
        with bar(f"encoding {part.name}", len(part.train.examples), self.shown) as shown, self._first_one_first():
            found = encoded.encode(
                part.spec.kind,
                part.train.examples,
                context,
                folder=files.cache_folder() / "lessons" / digest,
                digest=digest,
                tick=shown.update,
            )
        if not len(found):
            raise ModelError(f"{part.name}: no example is left to train on.")
        return found

    def _context(self, part: Part) -> Context:
        longest = min(part.settings.max_length, self.positions or part.settings.max_length)
        return Context(self.tokenizer, longest, part.spec.input, part.labels)

    def _probes(self) -> list[DevSet]:
        """Return the development data of the run's own tasks, cut as their training data is."""
        found = []
        for part in self.plan.parts:
            if part.dev is None:
                continue
            longest = self._context(part).max_length
            spec = part.spec.model_copy(update={"input": part.spec.input.model_copy(update={"max_length": longest})})
            whole = sum(each.available for each in part.dev.parts)
            examples = list(part.dev.examples)
            language = part.dev.parts[0].language
            found.append(
                DevSet(
                    part.name, part.name, spec, language, examples, part.labels, part.dev.hash, whole, part.spec.hash
                )
            )
        return found

    def _arguments(self, ready: _Ready, seed: int) -> Any:
        steps = len(ready.schedule)
        settings = self.plan.settings
        return trainer.arguments(
            self.folder.run,
            settings,
            steps=steps,
            warmup_steps=warmup_steps(settings.warmup, steps),
            seed=seed,
            bf16=self.dtype == "bfloat16",
            cpu=self.device.type == "cpu",
            unused_weights=len(ready.units) > 1 or self.plan.options.lora is not None,
        )

    def _scene(self, ready: _Ready, arguments: Any) -> SelectionContext:
        plan, base = self.plan, self.plan.checkpoint
        # Of a local folder the last part alone: the file is part of the checkpoint, which must not depend on where its
        # base lay, and what is published must not tell how somebody's disk is laid out.
        name = base.name if base.sha is not None else base.folder_name
        record = heads.CheckpointRecord(plan.phase, tuple(part.name for part in plan.parts), name, base.id)
        return SelectionContext(
            ready.model,
            self.tokenizer,
            self.positions,
            ready.head_plans,
            record,
            plan.settings,
            len(ready.schedule),
            self.folder.run,
            arguments.device,
            self.dtype == "bfloat16",
            self.rank,
            self.world,
            self._wait,
            self.say,
            plan.options.average_last,
            plan.phase == "target" or plan.options.average_last > 0,
        )

    # --- Several processes ------------------------------------------------------------------------

    @contextmanager
    def _first_one_first(self) -> Iterator[None]:
        """Let the first process go first: what it writes the others find."""
        if self.rank > 0:
            self._wait()
        yield
        if self.rank == 0:
            self._wait()

    def _wait(self) -> None:
        if self.world > 1:
            from accelerate import PartialState

            # The first process may encode for long while the others wait.
            PartialState(cpu=self.device.type == "cpu", timeout=timedelta(hours=3)).wait_for_everyone()

    # --- After the last step ----------------------------------------------------------------------

    def _against_the_gpu(self, ready: _Ready, found: TrainingState) -> dict[str, Any]:
        """Return the run's speed beside what its GPU allows; {} on a CPU, less for a GPU that is not in gpus.yaml."""
        if self.device.type != "cuda":
            return {}
        told: dict[str, Any] = {"peak_memory_bytes": torch.cuda.max_memory_allocated()}
        gpu = hardware.find_gpu(torch.cuda.get_device_name(self.device))
        try:
            encoder = hardware.from_config(ready.model.encoder.config.to_dict(), self.plan.checkpoint.name)
            if gpu is None or not found.step:
                return told
            dtype: hardware.Dtype = "bfloat16" if self.dtype == "bfloat16" else "float32"
            length = _length(ready.units)
            tokens, seconds = found.tokens / found.step, found.seconds / found.step
            least = hardware.bound(encoder, gpu, tokens, length, dtype=dtype, gpus=self.world)
            used = hardware.utilization(
                hardware.training_flop(encoder, found.tokens, length), found.seconds, gpu, dtype=dtype, gpus=self.world
            )
        except XharnessError:
            return told
        return told | {
            "gpu": gpu.title,
            "seconds_per_step": seconds,
            "bound_seconds_per_step": least.total,
            "share_of_bound": least.total / seconds,
            "utilisation": used,
        }


def _length(units: Mapping[str, Any]) -> float:
    """Return how many sub-words the row of a mean sub-word has, over all tasks."""
    squares = total = 0.0
    for each in units.values():
        lengths = getattr(each, "row_lengths", each.lengths).astype(float)
        squares, total = squares + float((lengths**2).sum()), total + float(lengths.sum())
    return squares / max(total, 1.0)


def _adapt(model: MultitaskModel, lora: int | None, gradient_checkpointing: bool, seed: int) -> None:
    """Put adapters into the encoder, and have it compute its layers twice, where that is asked for."""
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
        # transformers has called it so since 5.23.
        enable = getattr(model.encoder, "activation_checkpointing_enable", model.encoder.gradient_checkpointing_enable)
        enable({"use_reentrant": False})


def _digest(part: Part, context: Context, base: str) -> str:
    """Return what stands for everything that encoded examples depend on."""
    content = {
        "data": part.train.hash,
        "kind": part.spec.kind,
        "input": part.spec.input.model_dump(mode="json"),
        "length": context.max_length,
        "labels": list(context.labels),
        "tokenizer": base,
        "tokenizers": _version("tokenizers"),
        "transformers": transformers.__version__,
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:20]


def _parts(spec: TrainingSpec, data: TrainingData | None) -> list[dict[str, Any]]:
    """Return where data is from, part by part, each with the licence that its spec gives."""
    licences = {member.name: member.licence for member in parts_of(spec)}
    parts = data.parts if data is not None else ()
    return [{**asdict(each), "licence": licences.get(each.task, spec.licence)} for each in parts]


def _described(probe: DevSet) -> dict[str, Any]:
    return {
        "language": probe.language,
        "n": len(probe.examples),
        "of": probe.whole,
        "data_hash": probe.data_hash,
        "spec_hash": probe.spec_hash or probe.spec.hash,
        "metric": probe.spec.metric,
        "chance": round(probe.chance, 4),
    }


def _notes(plan: TrainingPlan) -> list[str]:
    found = []
    rates = sorted({part.settings.learning_rate for part in plan.parts})
    if len(rates) > 1:
        told = ", ".join(f"{rate:g}" for rate in rates)
        found.append(f"the recipe's learning rates differ ({told}); the smallest is used")
    licences = sorted({each["licence"] for part in plan.parts for each in _parts(part.spec, part.train)})
    found.append(f"licences of the training data: {'; '.join(licences)}")
    partial = {each.status for part in plan.parts for each in part.train.parts} & {"sample", "stand-in"}
    if partial:
        found.append(f"training data is partial: {' and '.join(sorted(partial))}")
    return found


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"
