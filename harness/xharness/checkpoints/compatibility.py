"""Match a checkpoint's heads to a target by kind and label names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from xharness.checkpoints.checkpoint import Checkpoint
from xharness.checkpoints.heads import Head, numbered
from xharness.tasks.task_spec import TaskSpec

State = Literal["ready", "encoder only", "needs English target training", "to be tuned", "cannot"]


@dataclass(frozen=True)
class HeadMatch:
    """Whether a checkpoint fits a target.

    Attributes:
        state: whether the checkpoint can be evaluated on the target.
        reason: why, with which command, or with which of several heads; '' if it is simply *ready*.
        labels: canonical label per output of the head; () without labels.
        head: name of the head, if the checkpoint's heads have names.
    """

    state: State
    reason: str = ""
    labels: tuple[str, ...] = ()
    head: str | None = None


def match_head(
    spec: TaskSpec, checkpoint: Checkpoint, label_map: Mapping[str, str] | None = None, asked: str | None = None
) -> HeadMatch:
    """Return which head of a checkpoint fits a target, or why none does and what to do.

    Args:
        spec: the target.
        checkpoint: the model.
        label_map: canonical label -> name of that label in the head.
        asked: name of the head to use, one of ``checkpoint.heads``; None: the one that fits.
    """
    if checkpoint.encoder_decoder:
        return HeadMatch(
            "cannot", f"the checkpoint is a sequence-to-sequence model ({checkpoint.model_type}), not an encoder"
        )
    if spec.compares_vectors:
        return HeadMatch("encoder only", spec.note or "")
    if asked is not None:
        match = _fit_head(spec, checkpoint.heads[asked], label_map)
        if match.state == "ready":
            return match
        return replace(match, state="cannot", reason=f"{match.reason} (chosen by --head)")
    match = _choose(spec, checkpoint, label_map)
    if match.state == "needs English target training":
        return replace(match, reason=f"{match.reason}; {_training(spec)}")
    return match


def _choose(spec: TaskSpec, checkpoint: Checkpoint, label_map: Mapping[str, str] | None) -> HeadMatch:
    """Return the head that fits: the root's, else the one named like the target's training set, else the only one."""
    own = _fit_own(spec, checkpoint, label_map)
    fits = {name: _fit_head(spec, head, label_map) for name, head in checkpoint.heads.items() if head.file is not None}
    if own.state == "ready" or not fits:
        return own
    if spec.train in fits and fits[spec.train].state == "ready":
        return fits[spec.train]
    fitting = [name for name, match in fits.items() if match.state == "ready"]
    if len(fitting) > 1:
        # Only scores could tell which is better, and to choose by scores on test data would be cheating.
        reason = f"several of its heads fit ({', '.join(fitting)}; --head NAME chooses one)"
        return HeadMatch("needs English target training", reason)
    if fitting:
        return fits[fitting[0]]
    if spec.train in fits:
        return fits[spec.train]
    if own.state == "cannot":
        return own
    described = ", ".join(f"{name} ({checkpoint.heads[name].kind.replace('_', ' ')})" for name in fits)
    also = f"{own.reason}, and " if checkpoint.head else ""
    return HeadMatch("needs English target training", f"{also}none of its other heads fits: {described}")


def _fit_own(spec: TaskSpec, checkpoint: Checkpoint, label_map: Mapping[str, str] | None) -> HeadMatch:
    """Return whether the head in the root weights fits a target."""
    if checkpoint.head != spec.kind:
        own = f"its head is for {checkpoint.head.replace('_', ' ')}" if checkpoint.head else "it has no task head"
        return HeadMatch("needs English target training", own)
    match = _fit_labels(spec, checkpoint.id2label, label_map, "its labels are", "its config names the labels")
    return replace(match, head=checkpoint.head_name) if match.state == "ready" else match


def _fit_head(spec: TaskSpec, head: Head, label_map: Mapping[str, str] | None) -> HeadMatch:
    """Return whether a named head fits a target."""
    called = f"its head '{head.name}'"
    if head.kind != spec.kind:
        return HeadMatch("needs English target training", f"{called} is for {head.kind.replace('_', ' ')}")
    match = _fit_labels(spec, head.labels, label_map, f"the labels of {called} are", f"{called} names the labels")
    return replace(match, reason=f"with {called}", head=head.name) if match.state == "ready" else match


def _fit_labels(
    spec: TaskSpec, names: Sequence[str], label_map: Mapping[str, str] | None, they_are: str, it_names: str
) -> HeadMatch:
    """Return whether the labels of a head of the target's kind are those of the target.

    Args:
        spec: the target.
        names: names of the head's outputs.
        label_map: canonical label -> name of that label in the head.
        they_are: beginning of the reason if the labels differ.
        it_names: beginning of the reason if the labels are only numbered.
    """
    if spec.kind == "span_qa":
        return HeadMatch("ready")
    if spec.kind == "multiple_choice":
        return HeadMatch("ready", labels=tuple(spec.labels))
    labels = canonical_labels(spec, names, label_map)
    if labels is not None:
        return HeadMatch("ready", labels=labels)
    head = ", ".join(names[:6]) + (" ..." if len(names) > 6 else "")
    if numbered(names) and len(names) in range(len(spec.labels), len(spec.labels) + len(spec.tolerated_labels) + 1):
        example = ",".join(f"{label}=LABEL_{i}" for i, label in enumerate(spec.labels))
        return HeadMatch(
            "cannot",
            f"{it_names} {head}, which does not say what they mean. Look up the order of labels in "
            f"training and give it, for example --label-map {example}",
        )
    wanted = ", ".join(spec.labels[:6]) + (" ..." if len(spec.labels) > 6 else "")
    return HeadMatch("needs English target training", f"{they_are} {head or 'not named'}, not {wanted}")


def _training(spec: TaskSpec) -> str:
    if spec.train is None:
        return "its task file names no training set (train)"
    return f"`--tune` trains it on '{spec.train}'"


def canonical_labels(
    spec: TaskSpec, head: Sequence[str], label_map: Mapping[str, str] | None = None
) -> tuple[str, ...] | None:
    """Return the canonical label per output of a head, matched by name; None if the names do not fit.

    A head fits if it has each label of the task exactly once, under its name or an alias of the spec, and no others
    except those that the spec tolerates.
    """
    names = {_plain(label): label for label in [*spec.labels, *spec.tolerated_labels]}
    for label, aliases in spec.label_aliases.items():
        names.update({_plain(alias): label for alias in aliases})
    if label_map and set(label_map) <= set(spec.labels):
        names.update({_plain(own): label for label, own in label_map.items()})
    canonical = [names.get(_plain(name)) for name in head]
    if (
        any(label is None for label in canonical)
        or len(set(canonical)) != len(canonical)
        or set(spec.labels) - set(canonical)
    ):
        return None
    return tuple(label for label in canonical if label is not None)


def _plain(name: str) -> str:
    return name.strip().casefold().replace("-", "_").replace(" ", "_")
