"""The plan of `eval --tune`: which heads are trained on what, and where each tuned checkpoint is stored; no torch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from xharness.checkpoints import training_record
from xharness.checkpoints.compatibility import canonical_labels
from xharness.checkpoints.training_record import AVERAGE, ENGLISH_DEV, LAST
from xharness.data import loading as data_loading
from xharness.data.examples import Example
from xharness.data.lazy import Subset
from xharness.data.training_sets import TRANSLATED, draw
from xharness.errors import DataError, UsageError, XharnessError, unknown
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


def _check(prepared: Prepared, tuning: Tuning) -> None:
    options = prepared.options
    if options.label_map:
        raise UsageError(
            "--label-map says what the outputs of the checkpoint's own head mean; a head that --tune trains has its "
            "names. Leave out one of the two."
        )
    if options.layer == ALL:
        raise UsageError("--layer all draws the curve of an encoder as it is; leave out --tune.")
    if options.head is not None and tuning.fresh_head:
        raise UsageError(f"--head {options.head} and --fresh-head cannot be meant together: give one of them.")
    if options.dtype == "float16":
        raise UsageError("--tune trains in float32 or bfloat16, not in float16: give --dtype float32, or leave it out.")
    if prepared.checkpoint.encoder_decoder:
        raise UsageError(
            f"{prepared.checkpoint.name} is a sequence-to-sequence model ({prepared.checkpoint.model_type}); only "
            "encoders are tuned."
        )
    if not tuning.seeds:
        raise UsageError("--seeds: name at least one seed.")
    if len(set(tuning.seeds)) != len(tuning.seeds):
        twice = next(seed for seed in tuning.seeds if tuning.seeds.count(seed) > 1)
        raise UsageError(f"--seeds: {twice} stands twice; every seed is one training.")
    for name in tuning.also:
        if name not in ALSO:
            raise unknown("choice of a state", name, ALSO)
    if tuning.average_last < 1:
        raise UsageError(f"--average-last is {tuning.average_last}: give 1 or more states.")
    if not tuning.languages or (ALL in tuning.languages and len(tuning.languages) > 1):
        raise UsageError("--tune-language: give codes with commas between (de,fr), or all.")


def _jobs(
    name: str, steps: Sequence[Step], prepared: Prepared, tuning: Tuning, say: Callable[[str], None]
) -> list[TuneJob]:
    """Return the training of some targets, behind those that come before it."""
    spec = load_training(name)
    languages, left_out = _languages(spec, tuning, prepared.data_dir)
    plan = _training(name, prepared, tuning, languages, tuning.shots, tuning.train_n)
    watched = _watched(plan, [step.spec for step in steps if step.spec is not None], prepared.data_dir, say)
    choices = TARGET_DEV in tuning.also
    job = TuneJob(plan, track_of(plan), tuple(steps), watched, choices, None, left_out)
    if spec.after is None:
        return [job]
    # What comes before is the same in every track: English, and all of it.
    before = _training(spec.after, prepared, tuning, ("en",), None, None)
    first = TuneJob(replace(before, options=replace(before.options, average_last=0)), track_of(before), (), (), False)
    if first.plan.parts[0].spec.kind != spec.kind:
        raise UsageError(f"{name}: it is trained after '{spec.after}', whose head is of another kind.")
    return [first, replace(job, after=first)]


def _training(
    name: str,
    prepared: Prepared,
    tuning: Tuning,
    languages: tuple[str, ...],
    shots: int | None,
    train_n: int | None,
) -> TrainingPlan:
    options = Options(
        recipe=tuning.recipe,
        given=tuning.given,
        languages=languages,
        train_n=train_n,
        shots=shots,
        max_steps=tuning.max_steps,
        lora=tuning.lora,
        gradient_checkpointing=tuning.gradient_checkpointing,
        seed=tuning.seeds[0],
        device=prepared.options.device,
        dtype=prepared.options.dtype,
        batch_tokens=prepared.options.batch_tokens,
        trust_remote_code=prepared.options.trust_remote_code,
        average_last=tuning.average_last if AVERAGE in tuning.also else 0,
    )
    return prepare_training([name], prepared.checkpoint, data_dir=prepared.data_dir, options=options, phase="target")


def _languages(spec: TrainingSpec, tuning: Tuning, data_dir: Path | None) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the languages to train on, and those that have no data here, where all were asked for."""
    if tuning.languages != (ALL,):
        return tuning.languages, ()
    members = parts_of(spec)
    every = [code for code in spec.languages if all(code in member.languages for member in members)]
    there = tuple(code for code in every if data_loading.available(spec, code, "train", data_dir) is None)
    if not there:
        raise DataError(str(data_loading.available(spec, every[0], "train", data_dir)))
    return there, tuple(code for code in every if code not in there)


def track_of(plan: TrainingPlan) -> str:
    """Return what a training is called that is compared with others: by the origin of what it is trained on."""
    if plan.options.shots is not None:
        return FEW_SHOT
    parts = plan.parts[0].train.parts
    if {part.language for part in parts} == {"en"}:
        return ZERO_SHOT
    return TRANSLATE_TRAIN if any(part.origin == TRANSLATED for part in parts) else NATIVE


def _watched(
    plan: TrainingPlan, asked: Iterable[TaskSpec], data_dir: Path | None, say: Callable[[str], None]
) -> tuple[Watched, ...]:
    """Return the development data of all targets that are tuned on a training set, in all languages that have some.

    Not only of the targets and languages that were asked for: a checkpoint that was tuned for one serves the others.
    """
    part = plan.parts[0]
    specs = {spec.name: spec for spec in (load_task(name) for name in list_tasks()) if spec.train == part.name}
    specs |= {spec.name: spec for spec in asked}
    found = []
    for spec in specs.values():
        labels = labels_for(spec, part.labels)
        if labels is None:
            raise UsageError(
                f"{spec.name}: its training set '{part.name}' has other labels ({', '.join(part.labels[:6])}). Name "
                "the right training set in its task file."
            )
        if spec.split_name("dev") is None or spec.unavailable:
            continue
        for code in spec.languages:
            if data_loading.available(spec, code, "dev", data_dir) is not None:
                continue
            try:
                loaded = data_loading.load(spec, code, "dev", data_dir)
            except DataError as error:
                say(f"{spec.name} {code} is not watched: {error}")
                continue
            whole, limit = len(loaded.examples), part.settings.eval_examples
            examples: Sequence[Example] = loaded.examples
            if limit is not None and limit < whole:
                examples = Subset(loaded.examples, draw(whole, limit, f"{spec.name} {code} {loaded.hash}"))
            found.append(Watched(spec, code, list(examples), labels, loaded.hash, whole))
    return tuple(found)


def labels_for(spec: TaskSpec, head: Sequence[str]) -> tuple[str, ...] | None:
    """Return the canonical label per output of a head that was trained for a target; None where they do not fit."""
    if spec.kind == "span_qa":
        return ()
    return tuple(spec.labels) if spec.kind == "multiple_choice" else canonical_labels(spec, head)


def _told(plan: TunePlan, job: TuneJob) -> str:
    """Return what is trained for the targets of a job, as the plan's table says it."""
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
