"""Training: from a plan to a checkpoint with its record, resumable after a kill at any step."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import shutil
from collections.abc import Callable, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
import transformers
from safetensors.torch import load_file, save_file

import xharness
from xharness import files, heads, hub, joint, lessons, masking, models, probing, trainer, training_record
from xharness.errors import ModelError, OutputError, UsageError
from xharness.joint import HeadPlan, JointModel
from xharness.kinds.base import Context
from xharness.probing import Probe
from xharness.progress import bar
from xharness.schedule import Schedule, single
from xharness.trainer import Diverged, JointTrainer, Plan, Progress
from xharness.training_plan import MLM, Part, TrainingPlan, comparable, differences, key_of
from xharness.training_record import Record

LAST = "last"
AVERAGE = "average"
ENGLISH = "english-dev"
# A run is given up as collapsed after so many evaluations at chance past the warm-up, if a third of it is done.
PATIENCE_AT_CHANCE = 5


@dataclass(frozen=True)
class Watch:
    """What is looked at beside the tasks' own development data, and what is chosen by it.

    Attributes:
        probes: scored at every evaluation.
        choices: name of a choice (``target-dev:de``) -> the probes whose mean it is made by.
    """

    probes: Sequence[Probe] = ()
    choices: Mapping[str, Sequence[str]] = field(default_factory=dict)

    def request(self) -> dict[str, Any]:
        """Return what a run's request holds of it: what is scored, and what is chosen by it."""
        looked = {p.name: [p.spec.hash, p.data_hash, len(p.examples)] for p in self.probes}
        choices = {name: list(own) for name, own in self.choices.items()}
        return {"choices": choices, **({"watched": looked} if looked else {})}


def train(
    plan: TrainingPlan,
    output: Path,
    *,
    watch: Watch | None = None,
    say: Callable[[str], None] | None = None,
    progress: bool = True,
) -> Record:
    """Train what the plan says and leave a checkpoint in ``output``; go on where an earlier call was stopped.

    The checkpoint is that of the best mean development score of the tasks, or the last state where there is no
    development data. What else was chosen (``watch``, the last state, an average) lies below ``steps/``.

    Returns:
        The record, which lies beside the checkpoint; its status may be ``collapsed``, and ``diverged`` where no
        attempt came to an end.

    Raises:
        UsageError: the folder holds something else, or a run of other settings (names the difference).
        OutputError: the disk is full, or too small for the run.
        ModelError: the base cannot be trained so.
    """
    say = say or (lambda sentence: None)
    return _Run(plan, Path(output), watch or Watch(), say, progress).go()


class _Run:
    """One call of ``train``, on one process of perhaps several."""

    def __init__(
        self, plan: TrainingPlan, output: Path, watch: Watch, say: Callable[[str], None], progress: bool
    ) -> None:
        self.plan, self.output, self.watch = plan, output, watch
        self.rank, self.world = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
        self.say = say if self.rank == 0 else (lambda sentence: None)
        self.shown = progress and self.rank == 0
        self.folder = output / ".run"
        self.request = {**plan.request(), "dtype": self._dtype(), **watch.request()}
        self.tokenizer: Any = None
        self.positions: int | None = None
        self.seed = plan.options.seed

    # --- The whole --------------------------------------------------------------------------------

    def go(self) -> Record:
        done = self._finished()
        if done is not None:
            self.say(f"{self.output}: trained already with these settings; nothing to do.")
            return done
        self._claim()
        attempts = self._attempts()
        while True:
            seed = self.plan.options.seed + len(attempts)
            record = self._attempt(seed, attempts)
            if record.status == "complete" or len(attempts) >= self.plan.options.retries:
                break
            self.say(f"Seed {seed} {record.status} ({record.reason}); trying seed {seed + 1}.")
            attempts.append(
                {
                    "seed": seed,
                    "learning_rate": self.plan.settings.learning_rate,
                    "status": record.status,
                    "reason": record.reason,
                    "evaluations": record.evaluations,
                }
            )
            self._put_away(seed, attempts)
        if self.rank == 0:
            self._finish(record)
        self._wait()
        return training_record.load(self.output) or record

    def _finished(self) -> Record | None:
        record = training_record.load(self.output)
        if record is None:
            return None
        self._same(record.request)
        return record

    def _same(self, then: Mapping[str, Any]) -> None:
        found = list(differences(comparable(then), comparable(self.request)))
        if found:
            more = f" (and {len(found) - 3} more)" if len(found) > 3 else ""
            raise UsageError(
                f"{self.output} holds a run of other settings: {'; '.join(found[:3])}{more}. Choose another --output, "
                "give the settings of that run, or remove the folder."
            )

    def _claim(self) -> None:
        """Write down whose run this folder holds, or find that it is ours already."""
        path = self.folder / "request.json"
        if path.is_file():
            self._same(json.loads(path.read_text(encoding="utf-8")))
            return
        if self.output.exists() and (not self.output.is_dir() or any(self.output.iterdir())) and self.rank == 0:
            raise UsageError(f"{self.output} is there and holds no run of `xharness train`. Choose another --output.")
        if self.rank == 0:
            files.write_json(path, self.request)

    def _attempts(self) -> list[dict[str, Any]]:
        path = self.folder / "attempts.json"
        return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else []

    def _put_away(self, seed: int, attempts: list[dict[str, Any]]) -> None:
        if self.rank == 0:
            files.write_json(self.folder / "attempts.json", attempts)
            for name in ("state", "steps"):
                shutil.rmtree(self.folder / name, ignore_errors=True)
        self._wait()

    # --- One attempt ------------------------------------------------------------------------------

    def _attempt(self, seed: int, attempts: list[dict[str, Any]]) -> Record:
        plan, options = self.plan, self.plan.options
        self.seed = seed
        device = models.choose_device(options.device)
        if device.type == "cuda" and device.index is not None:
            raise UsageError("--device: training takes cpu or cuda; choose the GPU with CUDA_VISIBLE_DEVICES=N.")
        path = hub.download(plan.checkpoint, trust_remote_code=options.trust_remote_code)
        head_plans = [HeadPlan(part.name, part.spec.kind, part.labels, plan.keeps_head(part)) for part in plan.parts]
        if options.mlm is not None:
            head_plans.append(HeadPlan(MLM, joint.MASKED_LM))
        built = joint.build(path, plan.checkpoint.name, head_plans, seed, trust_remote_code=options.trust_remote_code)
        model, self.tokenizer, self.positions = built.model, built.tokenizer, built.positions
        units = self._units(built.positions, seed)
        sizes = {name: len(each) for name, each in units.items()}
        steps = plan.steps(sizes)
        schedule = _schedule(plan, sizes, steps, seed)
        evaluate_at = frozenset([*range(plan.settings.eval_every, steps, plan.settings.eval_every), steps])
        self._check_disk(model, len(evaluate_at))
        _prepare_model(model, options.lora, options.gradient_checkpointing, seed)
        bf16 = self._dtype() == "bfloat16"
        warmup = plan.settings.warmup
        arguments = trainer.arguments(
            self.folder,
            plan.settings,
            steps=steps,
            warmup_steps=_warmup_steps(warmup, steps),
            seed=seed,
            bf16=bf16,
            cpu=device.type == "cpu",
            gradient_checkpointing=options.gradient_checkpointing,
            several_tasks=len(units) > 1 or options.lora is not None,
        )
        budget = options.batch_tokens or _budget(device)
        pad = self.tokenizer.pad_token_id
        if pad is None:
            raise ModelError(f"{plan.checkpoint.name}: the tokenizer has no padding token, which training needs.")
        probes = [*self._own_probes(built.positions), *self.watch.probes]
        choices = {**({ENGLISH: [p.name for p in probes[: len(probes) - len(self.watch.probes)]]}), **self.watch.choices}
        choices = {name: list(own) for name, own in choices.items() if own}
        watcher = _Watcher(self, model, probes, choices, head_plans, arguments, steps, bf16)
        rows = plan.table(sizes)
        with bar("training", steps, self.shown, unit="step") as shown:

            def tell(step: int, loss: float | None, rate: float) -> None:
                shown.update(step - shown.n)
                shown.set_postfix_str(f"loss {loss:.3f}, {rate:,.0f} tokens/s", refresh=False)

            engine = JointTrainer(
                model,
                arguments,
                Plan(schedule, units, pad, budget, evaluate_at),
                self.folder,
                watcher.evaluate,
                tell,
                self.say,
            )
            watcher.engine = engine
            saved = trainer.saved_state(self.folder) if self.rank == 0 or self.world > 1 else None
            if saved is not None:
                self.say(f"Going on after step {saved['step']:,} of {steps:,}.")
            status, reason = "complete", None
            try:
                engine.resume(Progress(**saved) if saved is not None else None)
            except Diverged as error:
                status, reason = "diverged", str(error)
        found = engine.progress
        if status == "complete":
            reason = watcher.collapsed(found)
            status = "collapsed" if reason else "complete"
        return Record(
            status=status,  # type: ignore[arg-type]
            reason=reason,
            key=key_of(self.request),
            request=self.request,
            seed=seed,
            attempts=list(attempts),
            steps=found.step,
            planned_steps=steps,
            mixture={row["task"]: {k: v for k, v in row.items() if k != "task"} | {"steps": schedule.steps_per_task()[row["task"]]} for row in rows},
            losses=found.losses,
            evaluations=found.evaluations,
            probes={p.name: _described(p) for p in probes},
            selections=watcher.selections(found) if status != "diverged" else {},
            tokens=found.tokens,
            seconds=round(found.seconds, 3),
            tokens_per_second=round(found.tokens / max(found.seconds, 1e-9), 1),
            hardware={
                "device": models.device_name(device),
                "processes": self.world,
                "batch_tokens": found.budget,
                "packed": engine.packed,
                "peak_memory_bytes": torch.cuda.max_memory_allocated() if device.type == "cuda" else None,
            },
            versions={
                "xharness": xharness.__version__,
                "python": platform.python_version(),
                "accelerate": _version("accelerate"),
                **models.versions(),
            },
            notes=[*(f"{task} was left out: {why}" for task, why in plan.left_out.items()), *_notes(plan)],
        )

    def _dtype(self) -> str:
        return models.choose_dtype(self.plan.options.dtype, models.choose_device(self.plan.options.device))

    def _units(self, positions: int | None, seed: int) -> dict[str, Any]:
        """Encode the tasks' examples, or find them encoded; the first process does it for all."""
        found: dict[str, Any] = {}
        for part in self.plan.parts:
            context = self._context(part, positions)
            if part.spec.kind == "tagging" and self.tokenizer.unk_token_id is None:
                raise ModelError(f"{self.plan.checkpoint.name}: the tokenizer has no unknown token, which tagging needs.")
            digest = _digest(part, context, self.tokenizer, self.plan.checkpoint.id)
            with bar(f"encoding {part.name}", len(part.train.examples), self.shown) as shown, self._one_by_one():
                found[part.name] = lessons.encode(
                    part.spec.kind,
                    part.train.examples,
                    context,
                    folder=files.cache_folder() / "lessons" / digest,
                    digest=digest,
                    tick=shown.update,
                )
            if not len(found[part.name]):
                raise ModelError(f"{part.name}: no example is left to train on.")
        if self.plan.options.mlm is not None:
            length = min(self.plan.settings.max_length, positions or self.plan.settings.max_length)
            found[MLM] = masking.read_texts(self.plan.options.mlm, self.tokenizer, length, seed)
        return found

    def _context(self, part: Part, positions: int | None) -> Context:
        longest = min(part.settings.max_length, positions or part.settings.max_length)
        return Context(self.tokenizer, longest, part.spec.input, part.labels)

    @contextmanager
    def _one_by_one(self) -> Any:
        """Let the first process go first: what it writes the others find."""
        if self.world > 1 and self.rank > 0:
            self._wait()
        yield
        if self.world > 1 and self.rank == 0:
            self._wait()

    def _wait(self) -> None:
        if self.world > 1:
            from accelerate import PartialState

            PartialState(cpu=self.plan.options.device == "cpu" or not torch.cuda.is_available()).wait_for_everyone()

    def _own_probes(self, positions: int | None) -> list[Probe]:
        found = []
        for part in self.plan.parts:
            if part.dev is None:
                continue
            longest = self._context(part, positions).max_length
            spec = part.spec.model_copy(update={"input": part.spec.input.model_copy(update={"max_length": longest})})
            whole = sum(each.available for each in part.dev.parts)
            found.append(
                Probe(part.name, part.name, spec, "en", list(part.dev.examples), part.labels, part.dev.hash, whole)
            )
        return found

    def _check_disk(self, model: JointModel, evaluations: int) -> None:
        """Refuse a run whose checkpoints the disk has no room for."""
        if self.rank > 0:
            return
        size = 4 * sum(p.numel() for p in model.parameters())
        kept = min(evaluations, 1 + len(self.watch.choices) + self.plan.options.average_last)
        # The state with both moments twice (the new one is written before the old one goes), and what is kept.
        needed = 2 * 3 * size + (kept + 1) * size
        self.folder.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(self.folder).free
        if needed > free:
            raise OutputError(
                f"{self.output}: the run needs up to {needed / 2**30:,.1f} GiB for its states and checkpoints, and "
                f"{free / 2**30:,.1f} GiB are free. Make room or choose another --output."
            )

    # --- The end ----------------------------------------------------------------------------------

    def _finish(self, record: Record) -> None:
        """Put the checkpoint in its place; training.json, written last, says that it is whole."""
        steps = self.folder / "steps"
        selections = {}
        if record.selections:
            root = next(iter(record.selections.values()))["step"]
            for name, selection in record.selections.items():
                at = selection["step"]
                selections[name] = {**selection, "folder": "." if at == root else f"steps/{at}"}
            for folder in sorted({s["folder"] for s in selections.values()} - {"."}):
                place = self.output / folder
                shutil.rmtree(place, ignore_errors=True)
                place.parent.mkdir(parents=True, exist_ok=True)
                os.replace(self.folder / folder, place)
            for path in sorted((steps / str(root)).rglob("*")):
                if path.is_file():
                    place = self.output / path.relative_to(steps / str(root))
                    place.parent.mkdir(parents=True, exist_ok=True)
                    os.replace(path, place)
        weights = {str(p.relative_to(self.output)): files.sha256(p) for p in sorted(self.output.glob("*.safetensors"))}
        weights |= {f"heads/{p.name}": files.sha256(p) for p in sorted(self.output.glob("heads/*.safetensors"))}
        record = replace(record, selections=selections, weights=weights)
        if training_record.draw(record, self.output) is None:
            record.notes.append("no picture of the curves: matplotlib is not installed (pip install 'xharness[train]')")
        training_record.save(record, self.output)
        shutil.rmtree(self.folder, ignore_errors=True)


class _Watcher:
    """Scores the probes, and keeps the states that are the best by some choice, or among the last."""

    engine: JointTrainer

    def __init__(
        self,
        run: _Run,
        model: JointModel,
        probes: Sequence[Probe],
        choices: Mapping[str, Sequence[str]],
        head_plans: Sequence[HeadPlan],
        arguments: Any,
        steps: int,
        bf16: bool,
    ) -> None:
        self.run, self.model, self.probes, self.choices = run, model, probes, choices
        self.head_plans, self.arguments, self.steps, self.bf16 = head_plans, arguments, steps, bf16

    def evaluate(self, step: int, progress: Progress) -> bool:
        """Score all probes, keep what is worth it, and return whether the run is over."""
        scores = self._scores()
        chosen = {
            name: sum(scores[probe]["score"] for probe in own) / len(own) for name, own in self.choices.items()
        }
        progress.evaluations.append({"step": step, "scores": scores, "chosen": chosen})
        best: dict[str, dict[str, Any]] = progress.memory.setdefault("best", {})
        gained = False
        for name, value in chosen.items():
            if name not in best or value > best[name]["score"]:
                best[name] = {"step": step, "score": value}
                gained = gained or name == ENGLISH
        progress.memory["without_gain"] = 0 if gained else progress.memory.get("without_gain", 0) + 1
        if self.run.rank == 0:
            self._keep(step, progress)
        self.run._wait()
        patience = self.run.plan.settings.patience
        if patience is not None and ENGLISH in self.choices and progress.memory["without_gain"] >= patience:
            self.run.say(f"No gain in {patience} evaluations; training ends at step {step:,} of {self.steps:,}.")
            return True
        if self._hopeless(step, progress):
            self.run.say(f"The development scores are at chance at step {step:,}; training ends.")
            return True
        return False

    def _scores(self) -> dict[str, dict[str, float]]:
        scores: dict[str, dict[str, float]] = {}
        if self.run.rank == 0:
            device = self.arguments.device
            for probe in self.probes:
                scores[probe.name] = probing.score(probe, self.model, self.run.tokenizer, self.run.positions, device, self.bf16)
        if self.run.world > 1:
            from accelerate.utils import broadcast_object_list

            scores = broadcast_object_list([scores])[0]
        return scores

    def _needed(self, progress: Progress) -> set[int]:
        steps = [entry["step"] for entry in progress.evaluations]
        recent = steps[-max(self.run.plan.options.average_last, 1) :]
        return {each["step"] for each in progress.memory["best"].values()} | set(recent)

    def _keep(self, step: int, progress: Progress) -> None:
        """Write this state as a checkpoint, and remove those that nothing needs any more."""
        steps = self.run.folder / "steps"
        needed = self._needed(progress)
        for old in list(steps.glob("*")) if steps.is_dir() else []:
            if not old.name.isdecimal() or int(old.name) not in needed or int(old.name) >= step:
                shutil.rmtree(old, ignore_errors=True)
        plan = self.run.plan
        record = heads.ZooRecord(
            plan.phase,  # type: ignore[arg-type]
            tuple(part.name for part in plan.parts),
            plan.checkpoint.name,
            plan.checkpoint.id,
        )
        part = steps / f".{step}.part"
        shutil.rmtree(part, ignore_errors=True)
        joint.export(self.model, self.run.tokenizer, self.head_plans, record, part)
        os.replace(part, steps / str(step))

    def _past_warmup(self, progress: Progress) -> list[dict[str, Any]]:
        begin = _warmup_steps(self.run.plan.settings.warmup, self.steps)
        return [entry for entry in progress.evaluations if entry["step"] > begin]

    def _at_chance(self, entry: Mapping[str, Any]) -> bool:
        own = [probe for probe in self.probes if probe.name in self.choices.get(ENGLISH, ())]
        return bool(own) and all(probe.at_chance(entry["scores"][probe.name]["score"]) for probe in own)

    def _hopeless(self, step: int, progress: Progress) -> bool:
        late = self._past_warmup(progress)
        return (
            step < self.steps
            and 3 * step >= self.steps
            and len(late) >= PATIENCE_AT_CHANCE
            and all(self._at_chance(entry) for entry in late)
        )

    def collapsed(self, progress: Progress) -> str | None:
        """Return why a run counts as collapsed: at the end every development score is at chance; None if it does not."""
        if ENGLISH not in self.choices or not progress.evaluations:
            return None
        best = progress.memory["best"][ENGLISH]
        entry = next(e for e in progress.evaluations if e["step"] == best["step"])
        if not self._at_chance(entry):
            return None
        told = [
            f"{probe.name} {entry['scores'][probe.name]['score']:.1f} (chance {probe.chance:.1f})"
            for probe in self.probes
            if probe.name in self.choices[ENGLISH]
        ]
        rate = self.run.plan.settings.learning_rate
        return f"the best development score is at chance: {', '.join(told)}; learning rate {rate:g}"

    def selections(self, progress: Progress) -> dict[str, dict[str, Any]]:
        """Return each choice with its step; the first one is what the checkpoint is."""
        best = progress.memory.get("best", {})
        last = {"step": progress.evaluations[-1]["step"], "score": None}
        # Without development data of its own a run ends in its last state, whatever else is chosen.
        found: dict[str, dict[str, Any]] = {} if ENGLISH in best else {LAST: last}
        found |= {name: dict(best[name]) for name in self.choices if name in best}
        found[LAST] = last
        count = self.run.plan.options.average_last
        if count:
            steps = [entry["step"] for entry in progress.evaluations][-count:]
            if self.run.rank == 0:
                _average([self.run.folder / "steps" / str(s) for s in steps], self.run.folder / "steps" / AVERAGE)
            found[AVERAGE] = {"step": AVERAGE, "score": None, "of": steps}
        return found


def _average(folders: Sequence[Path], to: Path) -> None:
    """Write the checkpoint whose every weight is the mean of those of several (https://arxiv.org/abs/2305.16834)."""
    shutil.rmtree(to, ignore_errors=True)
    shutil.copytree(folders[-1], to)
    for path in sorted(to.rglob("*.safetensors")):
        name = path.relative_to(to)
        total: dict[str, torch.Tensor] = {}
        for folder in folders:
            for key, value in load_file(folder / name).items():
                total[key] = total[key] + value.double() if key in total else value.double()
        save_file({k: (v / len(folders)).float() for k, v in total.items()}, path, metadata={"format": "pt"})


def _schedule(plan: TrainingPlan, sizes: Mapping[str, int], steps: int, seed: int) -> Schedule:
    batches = plan.batch_sizes()
    if len(sizes) == 1:
        name = next(iter(sizes))
        settings = plan.parts[0].settings
        return single(name, sizes[name], batches[name], settings.epochs, seed, plan.options.max_steps)
    return Schedule(dict(sizes), batches, plan.probabilities(sizes), steps, seed)


def _prepare_model(model: JointModel, lora: int | None, gradient_checkpointing: bool, seed: int) -> None:
    if lora is not None:
        try:
            import peft
        except ImportError:
            raise UsageError("--lora needs the package peft: pip install 'xharness[lora]'.") from None
        torch.manual_seed(seed)
        try:
            peft.inject_adapter_in_model(peft.LoraConfig(r=lora, lora_alpha=2 * lora, lora_dropout=0.05), model.encoder)
        except ValueError as error:
            raise ModelError(f"--lora: peft does not know which weights of this encoder to adapt ({error}).") from None
    if gradient_checkpointing:
        # transformers has called it so since 5.23.
        enable = getattr(model.encoder, "activation_checkpointing_enable", model.encoder.gradient_checkpointing_enable)
        enable({"use_reentrant": False})


def _warmup_steps(warmup: float, steps: int) -> int:
    return min(steps, -int(-(warmup * steps) // 1) if warmup < 1 else int(warmup))


def _budget(device: torch.device) -> int:
    return 16_384 if device.type == "cpu" else 32_768


def _digest(part: Part, context: Context, tokenizer: Any, base: str) -> str:
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


def _described(probe: Probe) -> dict[str, Any]:
    return {
        "language": probe.language,
        "n": len(probe.examples),
        "of": probe.whole,
        "data_hash": probe.data_hash,
        "spec_hash": probe.spec.hash,
        "metric": probe.spec.metric,
        "chance": round(probe.chance, 4),
    }


def _notes(plan: TrainingPlan) -> list[str]:
    found = []
    rates = {part.settings.learning_rate for part in plan.parts}
    if len(rates) > 1:
        found.append(f"the recipe's learning rates differ ({', '.join(f'{r:g}' for r in sorted(rates))}); the smallest is used")
    kept = {p.status for part in plan.parts for p in part.train.parts if p.status in ("sample", "stand-in")}
    if kept:
        found.append(f"training data is partial: {' and '.join(sorted(kept))}")
    return found


def _version(package: str) -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"
