"""Training jobs of `eval --tune`: training set, track and development sets of each, and the key of its checkpoint."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from xharness.checkpoints.compatibility import canonical_labels
from xharness.checkpoints.training_record import AVERAGE, ENGLISH_DEV, LAST
from xharness.data import loading as data_loading
from xharness.data.examples import Example
from xharness.data.lazy import Subset
from xharness.data.training_sets import TRANSLATED, draw
from xharness.errors import DataError, UsageError
from xharness.evaluation.plan import Step
from xharness.evaluation.prepare import Prepared
from xharness.results.score import FEW_SHOT, NATIVE, TRANSLATE_TRAIN, ZERO_SHOT
from xharness.tasks.registry import list_tasks, load_task, load_training, parts_of
from xharness.tasks.task_spec import TaskSpec, TrainingSpec
from xharness.training.plan import Options, TrainingPlan
from xharness.training.plan import prepare as prepare_training
from xharness.training.request import full_request, key_of
from xharness.training.tune.options import ALL, TARGET_DEV, TuneOptions


@dataclass(frozen=True)
class TargetDevSet:
    """Development data of a target in one language, scored at every evaluation of a training.

    Attributes:
        spec: the target.
        language: two-letter code.
        examples: the fixed examples that are scored.
        labels: canonical label per output of the head.
        data_hash: hash of the complete development set.
        full_size: number of examples in the complete development set.
    """

    spec: TaskSpec
    language: str
    examples: Sequence[Example]
    labels: tuple[str, ...]
    data_hash: str
    full_size: int

    @property
    def name(self) -> str:
        """``xnli/de``."""
        return f"{self.spec.name}/{self.language}"

    @property
    def criterion(self) -> str:
        """Name of the checkpoint selection by this set, ``target-dev:xnli/de``."""
        return f"{TARGET_DEV}:{self.name}"


@dataclass(frozen=True)
class TuneJob:
    """One training, to be done once per seed.

    Attributes:
        plan: the training with the first seed. The plan of a job with ``after`` starts from the other job's checkpoint.
        track: by the origin of the training data.
        targets: targets that are scored with its checkpoint; () for a job that only comes before another.
        dev_sets: development data of all targets that share the training set, also of those that were not asked for:
            one tuned checkpoint serves them all.
        select_by_target_dev: whether the best checkpoint by each development set is kept.
        after: the job whose checkpoint, with its head, this one starts from.
        left_out: languages without training data here, where all were asked for.
    """

    plan: TrainingPlan
    track: str
    targets: tuple[Step, ...]
    dev_sets: tuple[TargetDevSet, ...]
    select_by_target_dev: bool
    after: TuneJob | None = None
    left_out: tuple[str, ...] = ()

    @property
    def training_set(self) -> str:
        """Name of the training set."""
        return self.plan.parts[0].name

    @property
    def steps(self) -> int:
        """Optimizer steps of one seed; more if long texts are split into windows."""
        return self.plan.steps({self.training_set: len(self.plan.parts[0].train.examples)})

    @property
    def chosen_on(self) -> frozenset[str]:
        """Hashes of the development data that select the headline's checkpoint; empty where there is none."""
        dev = self.plan.parts[0].dev
        return frozenset() if dev is None else frozenset(part.hash for part in dev.parts)

    @property
    def headline(self) -> str:
        """Name of the checkpoint selection whose scores are reported."""
        return ENGLISH_DEV if self.plan.parts[0].dev is not None else LAST

    @property
    def criteria(self) -> dict[str, list[str]]:
        """Further criteria of checkpoint selection -> the development sets that each is the mean of."""
        return {d.criterion: [d.name] for d in self.dev_sets} if self.select_by_target_dev else {}

    def with_seed(self, seed: int) -> TrainingPlan:
        """Return the training with a seed, which also draws examples."""
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
        """Return the hash over specs, data, recipe and development sets that the checkpoint is stored under."""
        facts = {d.name: [d.spec.hash, d.data_hash, len(d.examples)] for d in self.dev_sets}
        own = key_of(full_request(plan.request(), dtype, self.criteria, facts))
        if self.after is None:
            return own
        before = self.after.key(self.after.with_seed(plan.options.seed), dtype)
        return hashlib.sha256(f"{before} {own}".encode()).hexdigest()[:12]


def jobs_for(
    name: str, steps: Sequence[Step], prepared: Prepared, tuning: TuneOptions, say: Callable[[str], None]
) -> list[TuneJob]:
    """Return the job that trains some targets on a training set, after the job that it depends on, if any.

    Args:
        name: the training set.
        steps: of the targets.
        prepared: checkpoint and data folder.
        tuning: how heads are trained.
        say: called with messages for the user.

    Raises:
        DataError: training data is missing.
        UsageError: the training set does not fit the target or the options.
    """
    spec = load_training(name)
    languages, left_out = _languages(spec, tuning, prepared.data_dir)
    plan = _training_plan(name, prepared, tuning, languages, tuning.shots, tuning.train_n)
    dev_sets = _dev_sets(plan, [step.spec for step in steps if step.spec is not None], prepared.data_dir, say)
    job = TuneJob(plan, track_of(plan), tuple(steps), dev_sets, TARGET_DEV in tuning.also, None, left_out)
    if spec.after is None:
        return [job]
    # The training before is the same in every track: in English, on all of its examples.
    before = _training_plan(spec.after, prepared, tuning, ("en",), None, None)
    first = TuneJob(replace(before, options=replace(before.options, average_last=0)), track_of(before), (), (), False)
    if first.plan.parts[0].spec.kind != spec.kind:
        raise UsageError(f"{name} is trained after '{spec.after}', whose head has another task kind.")
    return [first, replace(job, after=first)]


def _training_plan(
    name: str,
    prepared: Prepared,
    tuning: TuneOptions,
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


def _languages(
    spec: TrainingSpec, tuning: TuneOptions, data_dir: Path | None
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the languages to train on, and those without data here, where all were asked for."""
    if tuning.languages != (ALL,):
        return tuning.languages, ()
    members = parts_of(spec)
    codes = [code for code in spec.languages if all(code in member.languages for member in members)]
    available = tuple(code for code in codes if data_loading.available(spec, code, "train", data_dir) is None)
    if not available:
        raise DataError(str(data_loading.available(spec, codes[0], "train", data_dir)))
    return available, tuple(code for code in codes if code not in available)


def track_of(plan: TrainingPlan) -> str:
    """Return the track of a training, by the origin of its data; only scores of one track may be compared."""
    if plan.options.shots is not None:
        return FEW_SHOT
    parts = plan.parts[0].train.parts
    if {part.language for part in parts} == {"en"}:
        return ZERO_SHOT
    return TRANSLATE_TRAIN if any(part.origin == TRANSLATED for part in parts) else NATIVE


def _dev_sets(
    plan: TrainingPlan, asked: Iterable[TaskSpec], data_dir: Path | None, say: Callable[[str], None]
) -> tuple[TargetDevSet, ...]:
    """Return the development data of all targets that are tuned on a training set, in all languages that have some.

    Not only of the targets and languages that were asked for: a checkpoint that was tuned for one serves the others.
    """
    part = plan.parts[0]
    specs = {spec.name: spec for spec in (load_task(name) for name in list_tasks()) if spec.train == part.name}
    specs |= {spec.name: spec for spec in asked}
    dev_sets = []
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
                say(f"{spec.name} {code} is not evaluated during training: {error}")
                continue
            size, limit = len(loaded.examples), part.settings.eval_examples
            examples: Sequence[Example] = loaded.examples
            if limit is not None and limit < size:
                examples = Subset(loaded.examples, draw(size, limit, f"{spec.name} {code} {loaded.hash}"))
            dev_sets.append(TargetDevSet(spec, code, list(examples), labels, loaded.hash, size))
    return tuple(dev_sets)


def labels_for(spec: TaskSpec, head: Sequence[str]) -> tuple[str, ...] | None:
    """Return the canonical label per output of a head that was trained for a target; None if they do not match."""
    if spec.kind == "span_qa":
        return ()
    return tuple(spec.labels) if spec.kind == "multiple_choice" else canonical_labels(spec, head)
