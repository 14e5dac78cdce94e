"""The evaluation plan: one step per target, with its state and the reason."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tabulate import tabulate

from xharness.checkpoints.checkpoint import Checkpoint
from xharness.checkpoints.compatibility import State, match_head
from xharness.errors import UsageError, did_you_mean
from xharness.tasks.benchmarks import benchmarks
from xharness.tasks.selection import CHARACTERS_PER_TOKEN, Selection
from xharness.tasks.source_spec import Split
from xharness.tasks.task_spec import TaskSpec


@dataclass(frozen=True)
class Step:
    """One target of the plan.

    Attributes:
        task: name.
        spec: None if this version has no spec for the target.
        state: whether this checkpoint can be scored on the target.
        reason: why not, the command that helps, or which of several heads is used; '' for a plain *ready*.
        languages: codes of the languages to score.
        left_out: code -> why its data is not available.
        examples: number of examples; None if a count is not known for sure.
        tokens: estimated tokens, None where not known.
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
        """Whether any language of this target will be scored."""
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
        checkpoint: the checkpoint's metadata.
        languages: task -> requested codes.
        unavailable: (task, code) -> why the data is not available.
        split: the split to score.
        limit: maximum number of examples per language.
        label_map: canonical label -> the head's name for it.
        head: the head to use; None: the one that fits.

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
    available = tuple(code for code in languages if code not in left_out)
    if not available:
        return Step(spec.name, spec, "cannot", next(iter(left_out.values())), left_out=left_out)
    match = match_head(spec, checkpoint, label_map, head)
    counts = [spec.expected_count(code, split) for code in available]
    known = [min(count, limit) if limit is not None else count for count in counts if count is not None]
    examples = sum(known) if len(known) == len(counts) else None
    if examples is None and limit is None and len(available) == len(spec.languages) and split != "train":
        examples = spec.total.get(split)
    tokens = _tokens(spec, examples, available, split)
    return Step(
        spec.name,
        spec,
        match.state,
        match.reason,
        available,
        left_out,
        examples,
        tokens,
        labels=match.labels,
        head=match.head,
    )


def _tokens(spec: TaskSpec, examples: int | None, languages: Sequence[str], split: Split) -> int | None:
    """Return the estimated tokens of a target, those of its candidates among them; None where not known."""
    characters = None if examples is None else examples * spec.mean_characters
    if spec.candidates is not None and characters is not None:
        pool = spec.candidates.expected.get(split) if split != "train" else None
        times = 1 if spec.candidates.scope == "task" else len(languages)
        # For mining the number of pairs says nothing about the size of the corpora, which is not known.
        characters = None if pool is None else characters + times * pool * spec.candidates.mean_characters
    return None if characters is None else round(characters / CHARACTERS_PER_TOKEN)


def _check_head(checkpoint: Checkpoint, head: str | None) -> None:
    if head is None or head in checkpoint.heads:
        return
    if not checkpoint.heads:
        raise UsageError(
            f"--head: the checkpoint has no named heads, so there is no head '{head}': only checkpoints with an "
            "xharness.json have them. Leave out --head."
        )
    hint = did_you_mean(head, checkpoint.heads) or f" Its heads: {', '.join(checkpoint.heads)}."
    raise UsageError(f"--head: the checkpoint has no head '{head}'.{hint}")


def _check_label_map(selection: Selection, checkpoint: Checkpoint, label_map: Mapping[str, str] | None) -> None:
    if not label_map:
        return
    known = {label for spec in selection.specs for label in spec.labels}
    for label in label_map:
        if label not in known:
            hint = did_you_mean(label, known) or f" Known labels: {', '.join(sorted(known))}."
            raise UsageError(f"--label-map: none of the selected targets has the label '{label}'.{hint}")
    names = list(dict.fromkeys([*checkpoint.id2label, *(n for h in checkpoint.heads.values() for n in h.labels)]))
    for head_label in label_map.values():
        if names and head_label not in names:
            hint = did_you_mean(head_label, names) or f" Its labels: {', '.join(names[:12])}."
            raise UsageError(f"--label-map: the checkpoint's head has no label '{head_label}'.{hint}")


def plan_table(steps: Sequence[Step]) -> str:
    """Return the plan: one line per target, with its state, sizes and what is left out."""
    rows = []
    for step in steps:
        sizes = ["", "", ""]
        if step.languages:
            sizes = [str(len(step.languages)), _number(step.examples), _number(step.tokens, about=True)]
        rows.append([step.task, step.state, *sizes, _reasons(step)])
    head = ["target", "state", "languages", "examples", "tokens (est.)", ""]
    return tabulate(rows, head, tablefmt="simple", disable_numparse=True, maxcolwidths=[None] * 5 + [70])


def _number(value: int | None, about: bool = False) -> str:
    if value is None:
        return "not known"
    if about and value >= 1_000_000:
        return f"{value / 1e6:,.1f} M"
    return f"{value:,}"


def _reasons(step: Step) -> str:
    reasons = [step.reason] if step.reason else []
    if step.left_out and step.languages:
        # One sentence for all languages, with one command.
        codes = " ".join(step.left_out)
        reasons.append(f"left out, no data: {codes}. {_command(step)}")
    return "; ".join(reasons)


def _command(step: Step) -> str:
    return f"Fetch: xharness fetch --targets {step.task} --languages {','.join(step.left_out)} --to DIR"
