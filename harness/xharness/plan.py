"""The plan: what a checkpoint can be scored on as it is, and why not on the rest; pure, nothing is loaded or run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from xharness.benchmark import Benchmark, benchmarks
from xharness.checkpoint import Checkpoint
from xharness.data_spec import Split
from xharness.errors import UsageError, did_you_mean, unknown
from xharness.spec import TaskSpec, list_tasks, load_task

State = Literal["ready", "encoder only", "needs English target training", "cannot"]

# Only for the estimate of work: multilingual sub-words of the XTREME languages are a little under four characters
# long on average, fewer in scripts without spaces. The true number stands in each result.
CHARACTERS_PER_TOKEN = 3.5


@dataclass(frozen=True)
class Selection:
    """The targets that were asked for.

    Attributes:
        benchmark: name, if a whole benchmark was asked for.
        specs: the targets that have a spec.
        without_spec: targets of the benchmark that this version has no spec for.
        paths: target name -> path, for task files of the user's own.
    """

    benchmark: str | None
    specs: tuple[TaskSpec, ...]
    without_spec: tuple[str, ...] = ()
    paths: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Step:
    """One target of the plan.

    Attributes:
        task: name.
        spec: None where this version has none.
        state: what can be done with this checkpoint.
        reason: why, or by what command; '' for a plain *ready*.
        languages: codes that will be scored.
        left_out: code -> why its data cannot be had.
        examples: number of examples; None where a count is not known for sure.
        tokens: estimated sub-words, None where not known.
        labels: canonical label per output of the head; () without labels.
    """

    task: str
    spec: TaskSpec | None
    state: State
    reason: str
    languages: tuple[str, ...] = ()
    left_out: Mapping[str, str] = field(default_factory=dict)
    examples: int | None = None
    tokens: int | None = None
    labels: tuple[str, ...] = ()

    @property
    def runs(self) -> bool:
        """Whether anything of this target will be computed."""
        return self.state in ("ready", "encoder only") and bool(self.languages)

    def to_json(self) -> dict[str, Any]:
        """Return what ``--dry-run --json`` prints for this target."""
        return {
            "state": self.state,
            "reason": self.reason or None,
            "languages": list(self.languages),
            "left_out": dict(self.left_out),
            "examples": self.examples,
            "estimated_tokens": self.tokens,
        }


def select(targets: Sequence[str]) -> Selection:
    """Return the specs of targets named one by one, by benchmark, or by the path of a YAML file.

    Raises:
        UsageError: an unknown name (says the nearest).
    """
    known: dict[str, Benchmark] = benchmarks()
    by_spelling = {name.replace("_", "-"): name for name in known}
    names = [t.strip() for t in targets if t.strip()]
    if not names:
        raise UsageError("No target was named. Use --targets xtreme, xtreme-r, or task names such as xnli,tatoeba.")
    specs: dict[str, TaskSpec] = {}
    without: list[str] = []
    paths: dict[str, str] = {}
    chosen: str | None = None
    for name in names:
        benchmark = by_spelling.get(name.replace("_", "-"))
        if benchmark is None:
            if not name.endswith((".yaml", ".yml")) and name not in list_tasks():
                planned = {t for b in known.values() for t in b.tasks}
                if name in planned:
                    without.append(name)
                    continue
                raise unknown("target", name, [*list_tasks(), *known])
            spec = load_task(name)
            path = str(Path(name).resolve()) if name != spec.name else None
            if spec.name in specs and paths.get(spec.name) != path:
                raise UsageError(
                    f"Two targets are named '{spec.name}', and one run keeps one of each name. Change 'name' (and the "
                    "file's name) of one, or evaluate them one after the other."
                )
            specs[spec.name] = spec
            if path is not None:
                paths[spec.name] = path
            continue
        chosen = benchmark if len(names) == 1 else None
        for task in known[benchmark].tasks:
            if task in list_tasks():
                specs.setdefault(task, load_task(task))
            elif task not in without:
                without.append(task)
    return Selection(chosen, tuple(specs.values()), tuple(without), paths)


def choose_languages(selection: Selection, languages: Sequence[str] | None) -> dict[str, list[str]]:
    """Return task -> languages to score, in the spec's order; refuse a code that no chosen target has."""
    every = {spec.name: spec.languages_in(selection.benchmark) for spec in selection.specs}
    if languages is None:
        return every
    known = {code for codes in every.values() for code in codes}
    for code in languages:
        if code not in known:
            hint = did_you_mean(code, known) or f" They have: {', '.join(sorted(known))}."
            raise UsageError(f"None of the chosen targets has the language '{code}'.{hint}")
    return {task: [c for c in codes if c in languages] for task, codes in every.items()}


def make_plan(
    selection: Selection,
    checkpoint: Checkpoint,
    languages: Mapping[str, Sequence[str]],
    unavailable: Mapping[tuple[str, str], str],
    *,
    split: Split = "test",
    limit: int | None = None,
    label_map: Mapping[str, str] | None = None,
) -> list[Step]:
    """Return one step per target.

    Args:
        selection: the targets.
        checkpoint: what is known of the model.
        languages: task -> codes that were asked for.
        unavailable: (task, code) -> why the data cannot be had.
        split: which split is scored.
        limit: at most so many examples per language.
        label_map: canonical label -> the head's own name for it.

    Raises:
        UsageError: a label of ``label_map`` belongs to none of the targets.
    """
    _check_label_map(selection, checkpoint, label_map)
    steps = [
        _step(spec, checkpoint, languages[spec.name], unavailable, split, limit, label_map) for spec in selection.specs
    ]
    steps += [
        Step(t, None, "cannot", "this version of xharness has no spec for it yet") for t in selection.without_spec
    ]
    order = benchmarks()[selection.benchmark].tasks if selection.benchmark else [s.task for s in steps]
    return sorted(steps, key=lambda step: order.index(step.task))


def _step(
    spec: TaskSpec,
    checkpoint: Checkpoint,
    languages: Sequence[str],
    unavailable: Mapping[tuple[str, str], str],
    split: Split,
    limit: int | None,
    label_map: Mapping[str, str] | None,
) -> Step:
    if spec.unavailable:
        return Step(spec.name, spec, "cannot", spec.unavailable)
    if not languages:
        return Step(spec.name, spec, "cannot", "it has none of the languages that were asked for")
    if spec.split_name(split) is None:
        return Step(spec.name, spec, "cannot", f"it has no {split} split")
    left_out = {code: unavailable[spec.name, code] for code in languages if (spec.name, code) in unavailable}
    there = tuple(code for code in languages if code not in left_out)
    if not there:
        return Step(spec.name, spec, "cannot", next(iter(left_out.values())), left_out=left_out)
    state, reason, labels = _fit(spec, checkpoint, label_map)
    counts = [spec.expected_count(code, split) for code in there]
    known = [min(count, limit) if limit is not None else count for count in counts if count is not None]
    examples = sum(known) if len(known) == len(counts) else None
    if examples is None and limit is None and len(there) == len(spec.languages) and split != "train":
        examples = spec.total.get(split)
    tokens = _tokens(spec, examples, there, split)
    return Step(spec.name, spec, state, reason, there, left_out, examples, tokens, labels)


def _tokens(spec: TaskSpec, examples: int | None, languages: Sequence[str], split: Split) -> int | None:
    """Return the estimated sub-words of a target, those of its candidates among them; None where not known."""
    characters = None if examples is None else examples * spec.mean_characters
    if spec.candidates is not None and characters is not None:
        pool = spec.candidates.expected.get(split) if split != "train" else None
        times = 1 if spec.candidates.scope == "task" else len(languages)
        # Pairs that are to be found in corpora of unknown size say nothing of the work.
        characters = None if pool is None else characters + times * pool * spec.candidates.mean_characters
    return None if characters is None else round(characters / CHARACTERS_PER_TOKEN)


def _fit(
    spec: TaskSpec, checkpoint: Checkpoint, label_map: Mapping[str, str] | None
) -> tuple[State, str, tuple[str, ...]]:
    """Return whether the checkpoint's head and labels fit a target, why not, and its labels by canonical name."""
    if checkpoint.encoder_decoder:
        return "cannot", f"the checkpoint is a sequence-to-sequence model ({checkpoint.model_type}), not an encoder", ()
    if spec.compares_vectors:
        return "encoder only", spec.note or "", ()
    if checkpoint.head != spec.kind:
        own = f"its head is for {checkpoint.head.replace('_', ' ')}" if checkpoint.head else "it has no task head"
        return "needs English target training", f"{own}; {_training(spec)}", ()
    if spec.kind == "span_qa":
        return "ready", "", ()
    if spec.kind == "multiple_choice":
        return "ready", "", tuple(spec.labels)
    labels = canonical_labels(spec, checkpoint.id2label, label_map)
    if labels is not None:
        return "ready", "", labels
    head = ", ".join(checkpoint.id2label[:6]) + (" ..." if len(checkpoint.id2label) > 6 else "")
    if not checkpoint.label_names and len(checkpoint.id2label) in range(
        len(spec.labels), len(spec.labels) + len(spec.tolerated_labels) + 1
    ):
        example = ",".join(f"{label}=LABEL_{i}" for i, label in enumerate(spec.labels))
        return (
            "cannot",
            f"its config names the labels {head}, which does not say what they mean. Look up the order it was trained "
            f"with and give it, for example --label-map {example}",
            (),
        )
    wanted = ", ".join(spec.labels[:6]) + (" ..." if len(spec.labels) > 6 else "")
    return (
        "needs English target training",
        f"its labels are {head or 'not named'}, not {wanted}; {_training(spec)}",
        (),
    )


def _training(spec: TaskSpec) -> str:
    return f"`xharness eval --tune` will train it on '{spec.train}' (not in this version yet)"


def canonical_labels(
    spec: TaskSpec, head: Sequence[str], label_map: Mapping[str, str] | None = None
) -> tuple[str, ...] | None:
    """Return the canonical label per output of a head, by name; None where the names do not fit.

    A head fits if each label of the task is one of its names (or of the aliases in the spec), once, and it has no
    further ones but those that the spec tolerates.
    """
    names = {_plain(label): label for label in [*spec.labels, *spec.tolerated_labels]}
    for label, aliases in spec.label_aliases.items():
        names.update({_plain(alias): label for alias in aliases})
    if label_map and set(label_map) <= set(spec.labels):
        names.update({_plain(own): label for label, own in label_map.items()})
    found = [names.get(_plain(name)) for name in head]
    if any(label is None for label in found) or len(set(found)) != len(found) or set(spec.labels) - set(found):
        return None
    return tuple(label for label in found if label is not None)


def _plain(name: str) -> str:
    return name.strip().casefold().replace("-", "_").replace(" ", "_")


def _check_label_map(selection: Selection, checkpoint: Checkpoint, label_map: Mapping[str, str] | None) -> None:
    if not label_map:
        return
    known = {label for spec in selection.specs for label in spec.labels}
    for label in label_map:
        if label not in known:
            hint = did_you_mean(label, known) or f" Labels there: {', '.join(sorted(known))}."
            raise UsageError(f"--label-map: none of the chosen targets has the label '{label}'.{hint}")
    for own in label_map.values():
        if checkpoint.id2label and own not in checkpoint.id2label:
            hint = did_you_mean(own, checkpoint.id2label) or f" Its labels: {', '.join(checkpoint.id2label[:12])}."
            raise UsageError(f"--label-map: the checkpoint's head has no label '{own}'.{hint}")
