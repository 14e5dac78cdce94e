"""Load specs by name or path: targets, training sets and mixtures."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TypeVar

from xharness import assets, strict_yaml
from xharness.errors import SpecError, did_you_mean, unknown
from xharness.tasks.dataset_spec import DataSpec
from xharness.tasks.task_spec import (
    ChoiceSpec,
    ChoiceTraining,
    ClassificationSpec,
    ClassificationTraining,
    MiningSpec,
    MixtureSpec,
    RankingSpec,
    RetrievalSpec,
    SpanSpec,
    SpanTraining,
    TaggingSpec,
    TaggingTraining,
    TaskSpec,
    TrainingSpec,
)

_KINDS: dict[str, type[TaskSpec]] = {
    "classification": ClassificationSpec,
    "multiple_choice": ChoiceSpec,
    "tagging": TaggingSpec,
    "span_qa": SpanSpec,
    "retrieval": RetrievalSpec,
    "mining": MiningSpec,
    "ranking": RankingSpec,
}

_TRAININGS: dict[str, type[TrainingSpec]] = {
    "classification": ClassificationTraining,
    "multiple_choice": ChoiceTraining,
    "tagging": TaggingTraining,
    "span_qa": SpanTraining,
}

MIXTURE = "multitask"
"""The mixture of all intermediate tasks, which also defines their order."""
S = TypeVar("S", bound=DataSpec)
Named = TypeVar("Named", bound=DataSpec | MixtureSpec)


def read_task(path: Path) -> TaskSpec:
    """Return the target described by a YAML file; raise SpecError with all its problems."""
    return _read(path, _KINDS)


def read_training(path: Path) -> TrainingSpec:
    """Return the training set described by a YAML file; raise SpecError with all its problems."""
    return _read(path, _TRAININGS)


def is_training(path: Path) -> bool:
    """Return whether a YAML file describes a training set rather than a target; raise SpecError if it is not YAML."""
    return "train_split" in strict_yaml.read(path)


def read_mixture(path: Path) -> MixtureSpec:
    """Return the mixture described by a YAML file; raise SpecError with all its problems."""
    return _check_name(strict_yaml.parse(MixtureSpec, strict_yaml.read(path), path.name), path)


def _read(path: Path, kinds: dict[str, type[S]]) -> S:
    content = strict_yaml.read(path)
    kind = content.get("kind")
    if not isinstance(kind, str) or kind not in kinds:
        raise SpecError(
            f"{path.name}: kind: found {kind!r}, expected one of {', '.join(kinds)}.{did_you_mean(str(kind), kinds)}"
        )
    return _check_name(strict_yaml.parse(kinds[kind], content, path.name), path)


def _check_name(spec: Named, path: Path) -> Named:
    """Return the spec; raise SpecError if its name is not the file's."""
    if spec.name != path.stem:
        raise SpecError(f"{path.name}: name: found '{spec.name}', expected '{path.stem}' as the file is called.")
    return spec


@cache
def list_tasks() -> tuple[str, ...]:
    """Return the names of all targets that ship with this version."""
    return tuple(sorted(p.stem for p in (assets.TASKS / "targets").glob("*.yaml")))


@cache
def load_task(name: str) -> TaskSpec:
    """Return a target by name, or from the path of the user's own YAML file.

    >>> load_task("xnli").labels
    ['entailment', 'neutral', 'contradiction']
    """
    if name.endswith((".yaml", ".yml")):
        return read_task(Path(name))
    path = assets.TASKS / "targets" / f"{name}.yaml"
    if not path.is_file():
        raise unknown("task", name, list_tasks())
    return read_task(path)


def _training_files() -> dict[str, Path]:
    """Return name -> file of all training sets."""
    paths = [p for folder in ("intermediate", "english", "parts") for p in (assets.TASKS / folder).glob("*.yaml")]
    return {path.stem: path for path in paths if path.stem != MIXTURE}


@cache
def list_training() -> tuple[str, ...]:
    """Return the names of all training sets that ship with this version."""
    return tuple(sorted(_training_files()))


@cache
def list_intermediate() -> tuple[str, ...]:
    """Return the names of the intermediate tasks, in the order of ``intermediate/multitask.yaml``."""
    return tuple(load_mixture(MIXTURE).tasks)


@cache
def load_training(name: str | Path) -> TrainingSpec:
    """Return a training set by name, or from the path of the user's own YAML file.

    >>> load_training("mnli").default_languages
    ['en']
    """
    if str(name).endswith((".yaml", ".yml")):
        return read_training(Path(name))
    path = _training_files().get(str(name))
    if path is None:
        raise unknown("training set", str(name), list_training())
    return read_training(path)


@cache
def load_mixture(name: str | Path) -> MixtureSpec:
    """Return a mixture of training sets by name, or from the path of the user's own YAML file."""
    if str(name).endswith((".yaml", ".yml")):
        return read_mixture(Path(name))
    if name != MIXTURE:
        raise unknown("mixture of training sets", str(name), [MIXTURE])
    return read_mixture(assets.TASKS / "intermediate" / f"{MIXTURE}.yaml")


def parts_of(spec: TrainingSpec) -> list[TrainingSpec]:
    """Return the training sets that a set consists of: its members in order, or the set itself.

    Raises:
        SpecError: a member has another kind, other labels, or members of its own.
        UsageError: a member is unknown.
    """
    if not spec.members:
        return [spec]
    parts = [load_training(name) for name in spec.members]
    for part in parts:
        for field in ("kind", "labels"):
            if getattr(part, field) != getattr(spec, field):
                raise SpecError(
                    f"{spec.name}.yaml: members: '{part.name}' has the {field} {getattr(part, field)!r}, expected "
                    f"{getattr(spec, field)!r}."
                )
        if part.members:
            raise SpecError(f"{spec.name}.yaml: members: '{part.name}' has members itself; name those instead.")
    return parts
