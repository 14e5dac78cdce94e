"""Checkpoint selection: score development sets, keep the best, last and averaged states."""

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
from xharness.training.trainer import TrainingState

# A run is given up as collapsed after so many evaluations at chance past the warm-up, if a third of it is done.
PATIENCE_AT_CHANCE = 5


@dataclass(frozen=True)
class SelectionPlan:
    """What is looked at beside the tasks' own development data, and what is chosen by it.

    Attributes:
        probes: scored at every evaluation.
        choices: name of a choice (``target-dev:xnli/de``) -> the probes whose mean it is made by.
    """

    probes: Sequence[DevSet] = ()
    choices: Mapping[str, Sequence[str]] = field(default_factory=dict)

    @property
    def looked_at(self) -> dict[str, list[Any]]:
        """Probe -> spec hash, data hash and number of examples: what a run's request holds of it."""
        return {p.name: [p.spec.hash, p.data_hash, len(p.examples)] for p in self.probes}


@dataclass(frozen=True)
class SelectionContext:
    """What a run's evaluations need to know of it.

    Attributes:
        model: that is trained.
        tokenizer: its own.
        positions: sub-words that a row may have; None: no limit.
        head_plans: of its heads.
        record: what is said in the checkpoints that are written.
        settings: of the optimiser.
        steps: of the whole run.
        folder: where states are kept, below ``steps/``.
        device, bf16: how it computes.
        rank, world: which process this is, of how many.
        wait: until all processes have come here.
        say: is given sentences.
        average_last: so many last states are averaged; 0: none.
        keep_last: whether the last state is a checkpoint of its own where it is not the best.
    """

    model: MultitaskModel
    tokenizer: Any
    positions: int | None
    head_plans: Sequence[HeadSpec]
    record: heads.CheckpointRecord
    settings: Settings
    steps: int
    folder: Path
    device: torch.device
    bf16: bool
    rank: int
    world: int
    wait: Callable[[], None]
    say: Callable[[str], None]
    average_last: int
    keep_last: bool


class CheckpointSelector:
    """Scores the probes, and keeps the states that are the best by some choice, or among the last.

    Args:
        scene: the run.
        probes: all that are scored.
        choices: name -> probes whose mean it is made by; ``english-dev`` first, where there is one.
    """

    def __init__(self, scene: SelectionContext, probes: Sequence[DevSet], choices: Mapping[str, Sequence[str]]) -> None:
        self.scene, self.probes, self.choices = scene, probes, choices

    def evaluate(self, step: int, progress: TrainingState) -> bool:
        """Score all probes, keep what is worth it, and return whether the run is over."""
        scene = self.scene
        scores = self._scores()
        chosen = {name: sum(scores[probe]["score"] for probe in own) / len(own) for name, own in self.choices.items()}
        progress.evaluations.append({"step": step, "scores": scores, "chosen": chosen})
        best: dict[str, dict[str, Any]] = progress.memory.setdefault("best", {})
        gained = False
        for name, value in chosen.items():
            if name not in best or value > best[name]["score"]:
                best[name] = {"step": step, "score": value}
                gained = gained or name == ENGLISH_DEV
        progress.memory["without_gain"] = 0 if gained else progress.memory.get("without_gain", 0) + 1
        if scene.rank == 0:
            self._keep(step)
        scene.wait()
        patience = scene.settings.patience
        if patience is not None and ENGLISH_DEV in self.choices and progress.memory["without_gain"] >= patience:
            scene.say(f"No gain in {patience} evaluations; training ends at step {step:,} of {scene.steps:,}.")
            return True
        if self._hopeless(step, progress):
            scene.say(f"The development scores are at chance at step {step:,}; training ends.")
            return True
        return False

    def _scores(self) -> dict[str, dict[str, float]]:
        scene = self.scene
        scores: dict[str, dict[str, float]] = {}
        if scene.rank == 0:
            for probe in self.probes:
                scores[probe.name] = dev_sets.score_dev_set(
                    probe, scene.model, scene.tokenizer, scene.positions, scene.device, scene.bf16
                )
        if scene.world > 1:
            from accelerate.utils import broadcast_object_list

            scores = broadcast_object_list([scores])[0]
        return scores

    def _needed(self, progress: TrainingState) -> set[int]:
        steps = [entry["step"] for entry in progress.evaluations]
        recent = steps[-max(self.scene.average_last, 1) :]
        return {each["step"] for each in progress.memory.get("best", {}).values()} | set(recent)

    def _keep(self, step: int) -> None:
        """Write this state as a checkpoint."""
        scene = self.scene
        part, place = (scene.folder / "steps" / name for name in (f".{step}.part", str(step)))
        for old in (part, place):  # a kill may have left them
            shutil.rmtree(old, ignore_errors=True)
        multitask.export(scene.model, scene.tokenizer, scene.head_plans, scene.record, part)
        os.replace(part, place)

    def prune(self, progress: TrainingState) -> None:
        """Remove the checkpoints that nothing needs any more.

        Only once it is on the disk what is needed: a run that goes on from an earlier state still needs what was.
        """
        needed = self._needed(progress)
        for old in (self.scene.folder / "steps").glob("*") if self.scene.rank == 0 else ():
            if not old.name.isdecimal() or int(old.name) not in needed:
                shutil.rmtree(old, ignore_errors=True)

    def _at_chance(self, entry: Mapping[str, Any]) -> bool:
        own = [probe for probe in self.probes if probe.name in self.choices.get(ENGLISH_DEV, ())]
        return bool(own) and all(probe.at_chance(entry["scores"][probe.name]["score"]) for probe in own)

    def _hopeless(self, step: int, progress: TrainingState) -> bool:
        begin = warmup_steps(self.scene.settings.warmup, self.scene.steps)
        late = [entry for entry in progress.evaluations if entry["step"] > begin]
        return (
            step < self.scene.steps
            and 3 * step >= self.scene.steps
            and len(late) >= PATIENCE_AT_CHANCE
            and all(self._at_chance(entry) for entry in late)
        )

    def collapsed(self, progress: TrainingState) -> str | None:
        """Return why a run counts as collapsed: at its best every development score is at chance; None if it does not.

        XLM-R does so now and then (transformers #6210: MNLI at 0.318).
        """
        if ENGLISH_DEV not in self.choices or not progress.evaluations:
            return None
        best = progress.memory["best"][ENGLISH_DEV]
        entry = next(e for e in progress.evaluations if e["step"] == best["step"])
        if not self._at_chance(entry):
            return None
        told = [
            f"{probe.name} {entry['scores'][probe.name]['score']:.1f} (chance {probe.chance:.1f})"
            for probe in self.probes
            if probe.name in self.choices[ENGLISH_DEV]
        ]
        rate = self.scene.settings.learning_rate
        return f"the best development score is at chance: {', '.join(told)}; learning rate {rate:g}"

    def selections(self, progress: TrainingState) -> dict[str, dict[str, Any]]:
        """Return each choice with its step; the first one is what the checkpoint is."""
        best = progress.memory.get("best", {})
        last = {"step": progress.evaluations[-1]["step"], "score": None}
        # Without development data of its own a run ends in its last state, whatever else is chosen.
        found: dict[str, dict[str, Any]] = {} if ENGLISH_DEV in best else {LAST: last}
        found |= {name: dict(best[name]) for name in self.choices if name in best}
        if self.scene.keep_last:
            found[LAST] = last
        count = self.scene.average_last
        if count:
            steps = [entry["step"] for entry in progress.evaluations][-count:]
            if self.scene.rank == 0:
                folder = self.scene.folder / "steps"
                _average([folder / str(s) for s in steps], folder / AVERAGE)
            found[AVERAGE] = {"step": AVERAGE, "score": None, "of": steps}
        return found


def _average(folders: Sequence[Path], to: Path) -> None:
    """Write the checkpoint whose every weight is the mean of those of several (https://arxiv.org/abs/2305.16834)."""
    shutil.rmtree(to, ignore_errors=True)
    try:
        _write_mean(folders, to)
    except WRITING as error:
        raise OutputError(f"{to}: the average cannot be written: {error}. Make room and run the same again.") from None


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
    """Return the steps of a warm-up that is given as a share of all (below 1), or as steps.

    >>> warmup_steps(0.1, 25), warmup_steps(500, 1000), warmup_steps(500, 100)
    (3, 500, 100)
    """
    return min(steps, -int(-(warmup * steps) // 1) if warmup < 1 else int(warmup))
