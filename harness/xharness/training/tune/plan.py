"""`eval --tune`: which heads are trained on what, and the cache key of each."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from xharness import files
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
from xharness.results.score import FEW_SHOT, NATIVE, TRANSLATE_TRAIN, ZERO_SHOT
from xharness.tasks.recipes import DEFAULT, TUNING_AVERAGE_LAST, TUNING_LANGUAGES, load_recipe
from xharness.tasks.registry import list_tasks, load_task, load_training, parts_of
from xharness.tasks.task_spec import TaskSpec, TrainingSpec
from xharness.training.plan import Options, TrainingPlan, full_request, key_of
from xharness.training.plan import prepare as prepare_training

TARGET_DEV = "target-dev"
ALSO = (LAST, AVERAGE, TARGET_DEV)
"""What is evaluated beside the state that English development data chose."""
ALL = "all"


@dataclass(frozen=True)
class Tuning:
    """What a user can say about the training of heads for targets.

    Attributes:
        recipe, given, max_steps, train_n, shots, lora, gradient_checkpointing: as for ``training_plan.Options``.
        languages: that are trained on; ``("all",)``: all that each training set has.
        seeds: each is a training of its own; one that fails is kept and shown.
        average_last: states that are averaged.
        also: what is evaluated beside the headline: some of ``ALSO``.
        fresh_head: also tune targets that the checkpoint can be scored on as it is.
        root: the folder that tuned checkpoints are kept in; None: in the cache.
    """

    recipe: str = DEFAULT
    given: Mapping[str, Any] = field(default_factory=dict)
    languages: tuple[str, ...] = TUNING_LANGUAGES
    seeds: tuple[int, ...] = (0,)
    shots: int | None = None
    train_n: int | None = None
    max_steps: int | None = None
    lora: int | None = None
    gradient_checkpointing: bool = False
    average_last: int = TUNING_AVERAGE_LAST
    also: tuple[str, ...] = ALSO
    fresh_head: bool = False
    root: Path | None = None

    @property
    def folder(self) -> Path:
        """Where tuned checkpoints are kept."""
        return self.root if self.root is not None else files.cache_folder() / "tuned"

    def record(self, track: str, selected_by: str) -> dict[str, Any]:
        """Return what tells the RUNs of tuned checkpoints apart, and which of them may be compared."""
        recipe = load_recipe(self.recipe)
        content = json.dumps([recipe.model_dump(mode="json"), dict(self.given)], sort_keys=True)
        return {
            "track": track,
            "selected_by": selected_by,
            "languages": list(self.languages),
            "shots": self.shots,
            "train_n": self.train_n,
            "recipe": recipe.name,
            "given": dict(self.given),
            "recipe_hash": hashlib.sha256(content.encode()).hexdigest()[:12],
            "max_steps": self.max_steps,
            "lora": self.lora,
            **({"average_last": self.average_last} if selected_by == AVERAGE else {}),
        }


@dataclass(frozen=True)
class Watched:
    """Development data of a target in a language, on which every evaluated state of a training is scored.

    Attributes:
        spec: the target.
        language: two-letter code.
        examples: the fixed ones that are looked at.
        labels: canonical label per output of the head.
        data_hash: of the whole development set.
        whole: examples of that set.
    """

    spec: TaskSpec
    language: str
    examples: Sequence[Example]
    labels: tuple[str, ...]
    data_hash: str
    whole: int

    @property
    def name(self) -> str:
        """``xnli/de``."""
        return f"{self.spec.name}/{self.language}"

    @property
    def choice(self) -> str:
        """The name of the state that it chooses, ``target-dev:xnli/de``."""
        return f"{TARGET_DEV}:{self.name}"


@dataclass(frozen=True)
class TuneJob:
    """One training that is to be done, once for each seed.

    Attributes:
        plan: the training with the first seed; that of a job ``after`` another one begins with the other's checkpoint.
        track: what is trained on.
        targets: that are scored with its checkpoint; () for one that only comes before another.
        watched: development data of the targets that share the training set, those that were not asked for among them:
            one tuned checkpoint serves them all.
        choices: whether the best state by each watched language is kept.
        after: the job whose checkpoint, with its head, this one begins with.
        left_out: languages that have no training data here, where all were asked for.
    """

    plan: TrainingPlan
    track: str
    targets: tuple[Step, ...]
    watched: tuple[Watched, ...]
    choices: bool
    after: TuneJob | None = None
    left_out: tuple[str, ...] = ()

    @property
    def training_set(self) -> str:
        """Its name."""
        return self.plan.parts[0].name

    @property
    def steps(self) -> int:
        """Optimiser steps of one seed; windows over long texts make them more."""
        return self.plan.steps({self.training_set: len(self.plan.parts[0].train.examples)})

    @property
    def chosen_on(self) -> frozenset[str]:
        """Hashes of the development data that the headline's state is chosen on; empty where there is none."""
        dev = self.plan.parts[0].dev
        return frozenset() if dev is None else frozenset(part.hash for part in dev.parts)

    @property
    def headline(self) -> str:
        """How the state is chosen whose scores are the result."""
        return ENGLISH_DEV if self.plan.parts[0].dev is not None else LAST

    def seeded(self, seed: int) -> TrainingPlan:
        """Return the training with a seed; examples that are drawn are drawn by it."""
        plan = self.plan
        if seed == plan.options.seed:
            return plan
        options = replace(plan.options, seed=seed)
        if options.shots is None and options.train_n is None:
            return replace(plan, options=options)
        return prepare_training(
            [self.training_set], plan.checkpoint, data_dir=plan.data_dir, options=options, phase=plan.phase
        )

    def key(self, plan: TrainingPlan, dtype: str) -> str:
        """Return the hash of specs, data, recipe and all that is watched: what the checkpoint is found again by."""
        watched = {w.name: [w.spec.hash, w.data_hash, len(w.examples)] for w in self.watched}
        choices = {w.choice: [w.name] for w in self.watched} if self.choices else {}
        own = key_of(full_request(plan, dtype, choices, watched))
        if self.after is None:
            return own
        before = self.after.key(self.after.seeded(plan.options.seed), dtype)
        return hashlib.sha256(f"{before} {own}".encode()).hexdigest()[:12]


@dataclass(frozen=True)
class TunePlan:
    """What `eval --tune` will do.

    Attributes:
        prepared: the plan, in which targets that will be tuned are *to be tuned*.
        tuning: as the user gave it.
        jobs: the trainings, one that comes after another behind it.
    """

    prepared: Prepared
    tuning: Tuning
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
                "watched": [w.name for w in job.watched],
                "trained": self.trained(job),
                "seeds": list(self.tuning.seeds),
            }
            for job in self.jobs
        ]

    def trained(self, job: TuneJob) -> list[int]:
        """Return the seeds whose checkpoint is there already, in whichever type it was trained."""
        asked = self.prepared.options.dtype
        types = ("bfloat16", "float32") if asked == "auto" else (asked,)
        return [
            seed
            for seed in self.tuning.seeds
            if any((self.folder(job, seed, dtype) / training_record.FILE).is_file() for dtype in types)
        ]

    def folder(self, job: TuneJob, seed: int, dtype: str) -> Path:
        """Return where the checkpoint of a job and seed lies, or will lie: ``<encoder id>/<set>/<key>/seed<k>``.

        One of which more states were kept than are asked for now serves as well, if it is there.
        """
        wanted = job.seeded(seed)
        places = []
        if set(self.tuning.also) != set(ALSO) and job.targets:
            more = replace(wanted, options=replace(wanted.options, average_last=Tuning.average_last))
            places.append((replace(job, choices=True), more))
        places.append((job, wanted))
        top = self.tuning.folder / self.prepared.checkpoint.id[:12] / job.training_set
        found = [top / each.key(plan, dtype) / f"seed{seed}" for each, plan in places]
        return next((place for place in found if (place / training_record.FILE).is_file()), found[-1])


def make(prepared: Prepared, tuning: Tuning, say: Callable[[str], None] | None = None) -> TunePlan:
    """Return what will be trained for the targets of a plan, and the plan with it; nothing is trained.

    A target whose training data cannot be had is left out with the reason, and the others go on.

    Raises:
        UsageError: options that cannot be meant, an unknown recipe, or a language that no training set has.
    """
    say = say or (lambda sentence: None)
    _check(prepared, tuning)
    groups: dict[str, list[Step]] = {}
    for step in prepared.steps:
        if _is_to_be_tuned(step, tuning):
            assert step.spec is not None
            groups.setdefault(str(step.spec.train), []).append(step)
    jobs: list[TuneJob] = []
    reasons: dict[str, XharnessError] = {}
    for name, steps in groups.items():
        try:
            jobs += _jobs(name, steps, prepared, tuning, say)
        except (DataError, UsageError) as error:
            reasons[name] = error
    if reasons and not jobs and not any(step.runs for step in prepared.steps):
        raise next(iter(reasons.values()))
    plan = TunePlan(prepared, tuning, tuple(jobs))
    changed = []
    for step in prepared.steps:
        job = next((job for job in jobs if step.task in {s.task for s in job.targets}), None)
        if job is not None:
            step = replace(step, state="to be tuned", reason=_told(plan, job), labels=(), head=None)
        elif _is_to_be_tuned(step, tuning):
            assert step.spec is not None
            step = replace(step, state="cannot", reason=str(reasons[str(step.spec.train)]))
        changed.append(step)
    return replace(plan, prepared=replace(prepared, steps=changed))


def _is_to_be_tuned(step: Step, tuning: Tuning) -> bool:
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
    seeds = len(plan.tuning.seeds)
    there = plan.trained(job)
    state = "trained already" if len(there) == seeds else f"{len(there)} of {seeds} seeds trained already"
    if not there:
        state = "" if seeds == 1 else f"{seeds} seeds"
    before = f", after '{job.after.training_set}'" if job.after is not None else ""
    partial = {each.status for each in part.train.parts} & {"sample", "stand-in"}
    kind = f" ({' and '.join(sorted(partial))} data)" if partial else ""
    told = f"{job.track}: on '{part.name}' ({codes}){before}, {size}{kind}, about {job.steps:,} steps"
    left = f"without {' '.join(job.left_out)}, whose training data is not there" if job.left_out else ""
    last = "no English development data, so the last state counts" if job.headline == LAST else ""
    return "; ".join(each for each in (told, last, state, left) if each)
