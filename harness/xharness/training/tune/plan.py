"""The plan of `eval --tune`: which heads are trained on what, and where each tuned checkpoint is stored; no torch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from xharness.checkpoints import training_record
from xharness.checkpoints.training_record import LAST
from xharness.errors import DataError, UsageError, XharnessError
from xharness.evaluation.plan import Step
from xharness.evaluation.prepare import Prepared
from xharness.training.tune.jobs import TuneJob, jobs_for
from xharness.training.tune.options import ALSO, TuneOptions, check


@dataclass(frozen=True)
class TunePlan:
    """What `eval --tune` will do.

    Attributes:
        prepared: the evaluation plan, in which targets that will be tuned are *to be tuned*.
        options: as the user gave them.
        jobs: the trainings; a job comes after the one that it depends on.
    """

    prepared: Prepared
    options: TuneOptions
    jobs: tuple[TuneJob, ...]

    @property
    def tracks(self) -> tuple[str, ...]:
        """The tracks of the targets, each once."""
        return tuple(dict.fromkeys(job.track for job in self.jobs if job.targets))

    def to_json(self) -> list[dict[str, Any]]:
        """Return what ``--dry-run --json`` prints of the trainings."""
        return [
            {
                "training_set": job.training_set,
                "targets": [step.task for step in job.targets],
                "track": job.track,
                "languages": list(job.plan.options.languages),
                "left_out": list(job.left_out),
                "after": job.after.training_set if job.after else None,
                "examples": len(job.plan.parts[0].train.examples),
                "steps": job.steps,
                "watched": [dev_set.name for dev_set in job.dev_sets],
                "trained": self.trained(job),
                "seeds": list(self.options.seeds),
            }
            for job in self.jobs
        ]

    def trained(self, job: TuneJob) -> list[int]:
        """Return the seeds that are trained already, in whichever dtype."""
        asked = self.prepared.options.dtype
        dtypes = ("bfloat16", "float32") if asked == "auto" else (asked,)
        return [
            seed
            for seed in self.options.seeds
            if any((self.folder(job, seed, dtype) / training_record.FILE).is_file() for dtype in dtypes)
        ]

    def folder(self, job: TuneJob, seed: int, dtype: str) -> Path:
        """Return the folder of the checkpoint of a job and seed: ``<encoder id>/<training set>/<key>/seed<k>``.

        An existing training that kept more checkpoints than are asked for now is used as well.
        """
        wanted = job.with_seed(seed)
        variants = []
        if set(self.options.also) != set(ALSO) and job.targets:
            more = replace(wanted, options=replace(wanted.options, average_last=TuneOptions.average_last))
            variants.append((replace(job, select_by_target_dev=True), more))
        variants.append((job, wanted))
        top = self.options.folder / self.prepared.checkpoint.id[:12] / job.training_set
        folders = [top / variant.key(plan, dtype) / f"seed{seed}" for variant, plan in variants]
        return next((folder for folder in folders if (folder / training_record.FILE).is_file()), folders[-1])


def make_plan(prepared: Prepared, tuning: TuneOptions, say: Callable[[str], None] | None = None) -> TunePlan:
    """Return what will be trained for the targets of an evaluation plan; nothing is trained.

    A target whose training data is not available is left out with the reason, and the others continue.

    Args:
        prepared: the evaluation plan.
        tuning: how heads are trained.
        say: called with messages for the user.

    Raises:
        UsageError: options that cannot be used together, an unknown recipe, or a language that no training set has.
    """
    say = say or (lambda sentence: None)
    check(prepared, tuning)
    groups: dict[str, list[Step]] = {}
    for step in prepared.steps:
        if _needs_tuning(step, tuning):
            assert step.spec is not None
            groups.setdefault(str(step.spec.train), []).append(step)
    jobs: list[TuneJob] = []
    reasons: dict[str, XharnessError] = {}
    for name, steps in groups.items():
        try:
            jobs += jobs_for(name, steps, prepared, tuning, say)
        except (DataError, UsageError) as error:
            reasons[name] = error
    if reasons and not jobs and not any(step.runs for step in prepared.steps):
        raise next(iter(reasons.values()))
    plan = TunePlan(prepared, tuning, tuple(jobs))
    changed = []
    for step in prepared.steps:
        job = next((job for job in jobs if step.task in {s.task for s in job.targets}), None)
        if job is not None:
            step = replace(step, state="to be tuned", reason=_describe(plan, job), labels=(), head=None)
        elif _needs_tuning(step, tuning):
            assert step.spec is not None
            step = replace(step, state="cannot", reason=str(reasons[str(step.spec.train)]))
        changed.append(step)
    return replace(plan, prepared=replace(prepared, steps=changed))


def _needs_tuning(step: Step, tuning: TuneOptions) -> bool:
    if step.spec is None or step.spec.compares_vectors or step.spec.train is None or not step.languages:
        return False
    return tuning.fresh_head or step.state == "needs English target training"


def _describe(plan: TunePlan, job: TuneJob) -> str:
    """Return the training of a job in words, for the table of the plan."""
    part, options = job.plan.parts[0], job.plan.options
    codes = " ".join(options.languages)
    size = f"{len(part.train.examples):,} examples"
    seeds, trained = len(plan.options.seeds), len(plan.trained(job))
    progress = "trained already" if trained == seeds else f"{trained} of {seeds} seeds trained already"
    if not trained:
        progress = "" if seeds == 1 else f"{seeds} seeds"
    before = f", after '{job.after.training_set}'" if job.after is not None else ""
    partial = {source.status for source in part.train.parts} & {"sample", "stand-in"}
    data = f" ({' and '.join(sorted(partial))} data)" if partial else ""
    training = f"{job.track}: on '{part.name}' ({codes}){before}, {size}{data}, about {job.steps:,} steps"
    left_out = f"without {' '.join(job.left_out)}, whose training data is missing" if job.left_out else ""
    last = "no English development data, so the last checkpoint is scored" if job.headline == LAST else ""
    return "; ".join(text for text in (training, last, progress, left_out) if text)
