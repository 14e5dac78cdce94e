"""The plan: what a checkpoint can be scored on as it is, and why not on the rest; pure, nothing is loaded or run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from xharness.benchmark import Benchmark, benchmarks
from xharness.checkpoint import Checkpoint
from xharness.data_spec import Split
from xharness.errors import UsageError, did_you_mean, unknown
from xharness.fitting import State, fit
from xharness.spec import TaskSpec, list_tasks, load_task

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
        reason: why, by what command, or with which of several heads; '' for a plain *ready*.
        languages: codes that will be scored.
        left_out: code -> why its data cannot be had.
        examples: number of examples; None where a count is not known for sure.
        tokens: estimated sub-words, None where not known.
        labels: canonical label per output of the head; () without labels.
        head: name of the checkpoint's head that predicts, where its heads have names.
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
    head: str | None = None

    @property
    def runs(self) -> bool:
        """Whether anything of this target will be computed."""
        return self.state in ("ready", "encoder only") and bool(self.languages)

    def to_json(self) -> dict[str, Any]:
        """Return what ``--dry-run --json`` prints for this target."""
        return {
            "state": self.state,
            "reason": self.reason or None,
            "head": self.head,
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
    head: str | None = None,
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
        head: the head that is to predict; None: the one that fits.

    Raises:
        UsageError: a label of ``label_map`` belongs to none of the targets, or the checkpoint has no such head.
    """
    _check_head(checkpoint, head)
    _check_label_map(selection, checkpoint, label_map)
    steps = [
        _step(spec, checkpoint, languages[spec.name], unavailable, split, limit, label_map, head)
        for spec in selection.specs
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
    head: str | None,
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
    found = fit(spec, checkpoint, label_map, head)
    counts = [spec.expected_count(code, split) for code in there]
    known = [min(count, limit) if limit is not None else count for count in counts if count is not None]
    examples = sum(known) if len(known) == len(counts) else None
    if examples is None and limit is None and len(there) == len(spec.languages) and split != "train":
        examples = spec.total.get(split)
    tokens = _tokens(spec, examples, there, split)
    return Step(
        spec.name,
        spec,
        found.state,
        found.reason,
        there,
        left_out,
        examples,
        tokens,
        labels=found.labels,
        head=found.head,
    )


def _tokens(spec: TaskSpec, examples: int | None, languages: Sequence[str], split: Split) -> int | None:
    """Return the estimated sub-words of a target, those of its candidates among them; None where not known."""
    characters = None if examples is None else examples * spec.mean_characters
    if spec.candidates is not None and characters is not None:
        pool = spec.candidates.expected.get(split) if split != "train" else None
        times = 1 if spec.candidates.scope == "task" else len(languages)
        # Pairs that are to be found in corpora of unknown size say nothing of the work.
        characters = None if pool is None else characters + times * pool * spec.candidates.mean_characters
    return None if characters is None else round(characters / CHARACTERS_PER_TOKEN)


def _check_head(checkpoint: Checkpoint, head: str | None) -> None:
    if head is None or head in checkpoint.heads:
        return
    if not checkpoint.heads:
        raise UsageError(
            f"--head: the checkpoint has no heads to choose from, so none is named '{head}': only checkpoints with an "
            "xharness.json name theirs. Leave out --head."
        )
    hint = did_you_mean(head, checkpoint.heads) or f" Its heads: {', '.join(checkpoint.heads)}."
    raise UsageError(f"--head: the checkpoint has no head '{head}'.{hint}")


def _check_label_map(selection: Selection, checkpoint: Checkpoint, label_map: Mapping[str, str] | None) -> None:
    if not label_map:
        return
    known = {label for spec in selection.specs for label in spec.labels}
    for label in label_map:
        if label not in known:
            hint = did_you_mean(label, known) or f" Labels there: {', '.join(sorted(known))}."
            raise UsageError(f"--label-map: none of the chosen targets has the label '{label}'.{hint}")
    names = list(dict.fromkeys([*checkpoint.id2label, *(n for h in checkpoint.heads.values() for n in h.labels)]))
    for own in label_map.values():
        if names and own not in names:
            hint = did_you_mean(own, names) or f" Its labels: {', '.join(names[:12])}."
            raise UsageError(f"--label-map: the checkpoint's head has no label '{own}'.{hint}")
