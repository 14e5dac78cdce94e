"""Checkpoint selection: score development sets during training, keep the best, last and averaged checkpoints."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from xharness.checkpoints import heads
from xharness.checkpoints.training_record import AVERAGE, ENGLISH_DEV, LAST
from xharness.errors import OutputError
from xharness.models import multitask
from xharness.models.multitask import WRITING, HeadSpec, MultitaskModel
from xharness.tasks.recipes import Settings
from xharness.training import dev_sets
from xharness.training.dev_sets import DevSet
from xharness.training.processes import Processes
from xharness.training.resume import TrainingState

# A run ends as collapsed after so many evaluations at chance past the warm-up, once a third of it is done.
PATIENCE_AT_CHANCE = 5


@dataclass(frozen=True)
class SelectionPlan:
    """Further development sets that are scored during training, and further checkpoints that are selected by them.

    Attributes:
        dev_sets: scored at every evaluation, beside the tasks' own.
        criteria: name of a criterion (``target-dev:xnli/de``) -> the development sets whose mean score it maximizes.
    """

    dev_sets: Sequence[DevSet] = ()
    criteria: Mapping[str, Sequence[str]] = field(default_factory=dict)

    @property
    def dev_set_facts(self) -> dict[str, list[Any]]:
        """Development set -> spec hash, data hash and number of examples, as the run's request stores them."""
        return {d.name: [d.spec.hash, d.data_hash, len(d.examples)] for d in self.dev_sets}


@dataclass(frozen=True)
class SelectionContext:
    """What evaluating a run and saving its checkpoints needs.

    Attributes:
        model: the model in training.
        tokenizer: its tokenizer.
        positions: longest row in tokens; None: no limit.
        head_specs: the model's heads.
        record: written into the checkpoints.
        settings: of the optimizer.
        steps: of the whole run.
        folder: checkpoints are kept below its ``steps/``.
        device, bf16: where and in which precision it computes.
        processes: this process and the others.
        say: called with messages for the user.
        average_last: number of last checkpoints that are averaged; 0: none.
        keep_last: whether the last checkpoint is kept where it is not the best.
    """

    model: MultitaskModel
    tokenizer: Any
    positions: int | None
    head_specs: Sequence[HeadSpec]
    record: heads.CheckpointRecord
    settings: Settings
    steps: int
    folder: Path
    device: torch.device
    bf16: bool
    processes: Processes
    say: Callable[[str], None]
    average_last: int
    keep_last: bool


class CheckpointSelector:
    """Score the development sets, and keep the checkpoints that are the best by a criterion or among the last.

    Args:
        context: the run.
        dev_sets: all that are scored.
        criteria: name -> development sets whose mean score it maximizes; ``english-dev`` first, where there is one.
    """

    def __init__(
        self, context: SelectionContext, dev_sets: Sequence[DevSet], criteria: Mapping[str, Sequence[str]]
    ) -> None:
        self.context, self.dev_sets, self.criteria = context, dev_sets, criteria

    def evaluate(self, step: int, progress: TrainingState) -> bool:
        """Score all development sets, save the checkpoint, and return whether the run ends here."""
        context = self.context
        scores = self._scores()
        chosen = {name: sum(scores[d]["score"] for d in own) / len(own) for name, own in self.criteria.items()}
        progress.evaluations.append({"step": step, "scores": scores, "chosen": chosen})
        best: dict[str, dict[str, Any]] = progress.memory.setdefault("best", {})
        gained = False
        for name, value in chosen.items():
            if name not in best or value > best[name]["score"]:
                best[name] = {"step": step, "score": value}
                gained = gained or name == ENGLISH_DEV
        progress.memory["without_gain"] = 0 if gained else progress.memory.get("without_gain", 0) + 1
        if context.processes.is_main:
            self._save(step)
        context.processes.wait(cpu=context.device.type == "cpu")
        patience = context.settings.patience
        if patience is not None and ENGLISH_DEV in self.criteria and progress.memory["without_gain"] >= patience:
            context.say(f"No gain in {patience} evaluations; training ends at step {step:,} of {context.steps:,}.")
            return True
        if self._stays_at_chance(step, progress):
            context.say(f"The development scores are at chance at step {step:,}; training ends.")
            return True
        return False

    def _scores(self) -> dict[str, dict[str, float]]:
        context = self.context
        scores: dict[str, dict[str, float]] = {}
        if context.processes.is_main:
            for dev_set in self.dev_sets:
                scores[dev_set.name] = dev_sets.score_dev_set(
                    dev_set, context.model, context.tokenizer, context.positions, context.device, context.bf16
                )
        if context.processes.world > 1:
            from accelerate.utils import broadcast_object_list

            scores = broadcast_object_list([scores])[0]
        return scores

    def _needed(self, progress: TrainingState) -> set[int]:
        steps = [entry["step"] for entry in progress.evaluations]
        recent = steps[-max(self.context.average_last, 1) :]
        return {best["step"] for best in progress.memory.get("best", {}).values()} | set(recent)

    def _save(self, step: int) -> None:
        """Save the model as a checkpoint."""
        context = self.context
        part, folder = (context.folder / "steps" / name for name in (f".{step}.part", str(step)))
        for old in (part, folder):  # a kill may have left them
            shutil.rmtree(old, ignore_errors=True)
        multitask.export(context.model, context.tokenizer, context.head_specs, context.record, part)
        os.replace(part, folder)

    def prune(self, progress: TrainingState) -> None:
        """Remove the checkpoints that are no longer needed.

        Call it only after the progress was saved: a run that resumes from an earlier checkpoint still needs what was
        needed then.
        """
        needed = self._needed(progress)
        for old in (self.context.folder / "steps").glob("*") if self.context.processes.is_main else ():
            if not old.name.isdecimal() or int(old.name) not in needed:
                shutil.rmtree(old, ignore_errors=True)

    def _at_chance(self, evaluation: Mapping[str, Any]) -> bool:
        own = [d for d in self.dev_sets if d.name in self.criteria.get(ENGLISH_DEV, ())]
        return bool(own) and all(d.at_chance(evaluation["scores"][d.name]["score"]) for d in own)

    def _stays_at_chance(self, step: int, progress: TrainingState) -> bool:
        begin = warmup_steps(self.context.settings.warmup, self.context.steps)
        late = [evaluation for evaluation in progress.evaluations if evaluation["step"] > begin]
        return (
            step < self.context.steps
            and 3 * step >= self.context.steps
            and len(late) >= PATIENCE_AT_CHANCE
            and all(self._at_chance(evaluation) for evaluation in late)
        )

    def collapsed(self, progress: TrainingState) -> str | None:
        """Return why a run collapsed (even at its best, every development score is at chance); None if it did not.

        XLM-R does so now and then (transformers #6210: MNLI at 0.318).
        """
        if ENGLISH_DEV not in self.criteria or not progress.evaluations:
            return None
        best = progress.memory["best"][ENGLISH_DEV]
        evaluation = next(e for e in progress.evaluations if e["step"] == best["step"])
        if not self._at_chance(evaluation):
            return None
        scores = [
            f"{d.name} {evaluation['scores'][d.name]['score']:.1f} (chance {d.chance:.1f})"
            for d in self.dev_sets
            if d.name in self.criteria[ENGLISH_DEV]
        ]
        rate = self.context.settings.learning_rate
        return f"the best development score is at chance: {', '.join(scores)}; learning rate {rate:g}"

    def selections(self, progress: TrainingState) -> dict[str, dict[str, Any]]:
        """Return the step of each selected checkpoint; the first one becomes the result. Write the averaged one."""
        best = progress.memory.get("best", {})
        last = {"step": progress.evaluations[-1]["step"], "score": None}
        # Without development data of its own a run results in its last checkpoint, whatever else is selected.
        selected: dict[str, dict[str, Any]] = {} if ENGLISH_DEV in best else {LAST: last}
        selected |= {name: dict(best[name]) for name in self.criteria if name in best}
        if self.context.keep_last:
            selected[LAST] = last
        count = self.context.average_last
        if count:
            steps = [evaluation["step"] for evaluation in progress.evaluations][-count:]
            if self.context.processes.is_main:
                folder = self.context.folder / "steps"
                _average([folder / str(s) for s in steps], folder / AVERAGE)
            selected[AVERAGE] = {"step": AVERAGE, "score": None, "of": steps}
        return selected


def _average(folders: Sequence[Path], to: Path) -> None:
    """Write the average of several checkpoints: each weight is the mean of theirs (https://arxiv.org/abs/2305.16834)."""
    shutil.rmtree(to, ignore_errors=True)
    try:
        _write_mean(folders, to)
    except WRITING as error:
        raise OutputError(
            f"{to}: the averaged checkpoint cannot be written: {error}. Make room and run the same command again."
        ) from None


def _write_mean(folders: Sequence[Path], to: Path) -> None:
    shutil.copytree(folders[-1], to)
    for path in sorted(to.rglob("*.safetensors")):
        name = path.relative_to(to)
        total: dict[str, torch.Tensor] = {}
        for folder in folders:
            for key, value in load_file(folder / name).items():
                total[key] = total[key] + value.double() if key in total else value.double()
        save_file({k: (v / len(folders)).float() for k, v in total.items()}, path, metadata={"format": "pt"})
        multitask.set_default_permissions(path)


def warmup_steps(warmup: float, steps: int) -> int:
    """Return the steps of a warm-up that is given as a share of all steps (below 1), or as a number of steps.

    >>> warmup_steps(0.1, 25), warmup_steps(500, 1000), warmup_steps(500, 100)
    (3, 500, 100)
    """
    return min(steps, -int(-(warmup * steps) // 1) if warmup < 1 else int(warmup))
