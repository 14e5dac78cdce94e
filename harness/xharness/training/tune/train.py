"""Train the jobs of `eval --tune`, or find their checkpoints from an earlier call."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from xharness.checkpoints import resolve, training_record
from xharness.checkpoints.training_record import ENGLISH_DEV, FILE, RUNNING, Record
from xharness.errors import ModelError, OutputError, XharnessError
from xharness.metrics.seeds import COMPLETE, DIVERGED, FAILED
from xharness.training import runner as training_runner
from xharness.training.dev_sets import DevSet
from xharness.training.plan import TrainingPlan
from xharness.training.selection import SelectionPlan
from xharness.training.tune.jobs import TuneJob
from xharness.training.tune.options import TARGET_DEV
from xharness.training.tune.result import Failures, Trained


@dataclass(frozen=True)
class TunedCheckpoint:
    """The checkpoint of a job with one seed.

    Attributes:
        job: the job.
        plan: the training.
        folder: of the checkpoint.
        record: its training record; None where training failed.
        trained: how the training ended.
    """

    job: TuneJob
    plan: TrainingPlan
    folder: Path
    record: Record | None
    trained: Trained

    def selection(self, chosen: str, task: str, language: str) -> dict[str, Any] | None:
        """Return the selected checkpoint for a score, as the training record has it; None where there is none."""
        if self.record is None:
            return None
        if chosen == ENGLISH_DEV:
            chosen = self.job.headline
        name = f"{TARGET_DEV}:{task}/{language}" if chosen == TARGET_DEV else chosen
        return self.record.selections.get(name)


def train_job(
    job: TuneJob,
    seed: int,
    folder: Path,
    before: TunedCheckpoint | None,
    *,
    number: str,
    failures: Failures,
    say: Callable[[str], None],
    progress: bool,
) -> TunedCheckpoint:
    """Train a job with one seed, or return the checkpoint of an earlier call.

    Args:
        job: the job.
        seed: of the training.
        folder: of the checkpoint.
        before: the checkpoint that the job starts from, where it comes after another job.
        number: which training it is, for messages (``2 of 3``).
        failures: a failed training, and the scores that are missing without it, are added.
        say: called with messages for the user.
        progress: show bars on stderr.

    Raises:
        OutputError: the disk is full; all other errors are added to ``failures``.
    """
    plan = job.with_seed(seed)
    try:
        if job.after is not None:
            if before is None or before.record is None or not before.record.selections:
                raise ModelError(f"it comes after '{job.after.training_set}', which has no checkpoint")
            plan = replace(plan, checkpoint=resolve.read_checkpoint(str(before.folder)), keep_head=True)
        record = _existing(folder, plan.checkpoint.id, say)
        found = record is not None
        selection = SelectionPlan(_dev_sets(job), job.criteria)
        if record is None:
            say(f"Training {number}: {job.training_set}, seed {seed}, into {folder}.")
            record = training_runner.train(plan, folder, selection=selection, say=say, progress=progress)
        else:
            say(f"{job.training_set}, seed {seed}: trained already, {folder}.")
    except OutputError:
        raise
    except XharnessError as error:
        trained = _summarize(job, seed, folder, False, None, FAILED, str(error).rstrip("."))
        _add_failure(failures, job, trained, error)
        return TunedCheckpoint(job, plan, folder, None, trained)
    trained = _summarize(job, seed, folder, found, record, record.status, record.reason)
    if record.status != COMPLETE:
        again = f" To train it again, remove {folder}." if record.status == DIVERGED else ""
        say(f"{job.training_set}, seed {seed} {record.status}: {record.reason}. It is kept and shown.{again}")
    if record.status == DIVERGED:
        diverged = ModelError(f"{job.training_set}, seed {seed} diverged: {record.reason}")
        _add_failure(failures, job, trained, diverged)
    return TunedCheckpoint(job, plan, folder, record, trained)


def _dev_sets(job: TuneJob) -> list[DevSet]:
    return [
        DevSet(d.name, job.training_set, d.spec, d.language, d.examples, d.labels, d.data_hash, d.full_size)
        for d in job.dev_sets
    ]


def _add_failure(failures: Failures, job: TuneJob, trained: Trained, error: XharnessError) -> None:
    failures.messages += [
        f"{step.task}, seed {trained.seed}: no score, training on '{job.training_set}' {trained.state}: "
        f"{trained.reason}."
        for step in job.targets
    ]
    failures.errors.append(error)


def _summarize(
    job: TuneJob, seed: int, folder: Path, found: bool, record: Record | None, state: str, reason: str | None
) -> Trained:
    selected = record.selections.get(job.headline, {}) if record is not None else {}
    return Trained(
        training_set=job.training_set,
        targets=tuple(step.task for step in job.targets),
        track=job.track,
        seed=seed,
        state=state,
        reason=reason,
        folder=str(folder),
        found=found,
        headline=job.headline,
        step=selected.get("step"),
        steps=record.steps if record is not None else None,
        score=selected.get("score"),
        tokens_per_second=record.tokens_per_second if record is not None else None,
    )


def _existing(folder: Path, base: str, say: Callable[[str], None]) -> Record | None:
    """Return the record of an intact tuned checkpoint of the same base; remove a damaged or an outdated one."""
    try:
        record = training_record.load(folder)
        if record is not None:
            training_record.check_weights(record, folder)
            request = record.request
        elif (folder / RUNNING / "request.json").is_file():
            request = json.loads((folder / RUNNING / "request.json").read_text(encoding="utf-8"))
        elif not folder.exists() or all(path.name == RUNNING for path in folder.iterdir()):
            return None  # nothing yet, or a training that has only started, perhaps in another process
        else:
            raise ModelError(f"{folder}: has no {FILE}.")
        if request["base"]["id"] != base:
            raise ModelError(f"{folder}: was trained from another checkpoint than there is now.")
    except (XharnessError, OSError, ValueError, KeyError, TypeError) as error:
        say(f"{error} The tuned checkpoint is trained again.")
        shutil.rmtree(folder, ignore_errors=True)
        return None
    return record
