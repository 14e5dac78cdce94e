"""The records that the YAML files under ``tasks/`` describe: tasks, training sets, benchmarks, languages."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from xharness import assets, strict_yaml
from xharness.data_spec import CandidateSpec, Count, DataSpec
from xharness.errors import SpecError, did_you_mean, unknown
from xharness.inputs import (
    ChoiceInput,
    ClassificationInput,
    MiningInput,
    RankingInput,
    RetrievalInput,
    SpanInput,
    TaggingInput,
)


class TaskSpec(DataSpec):
    """A target of XTREME or XTREME-R, or the user's own: evaluated per language, never trained on in them."""

    kind: Literal["classification", "multiple_choice", "tagging", "span_qa", "retrieval", "mining", "ranking"]
    test_split: str
    expected: dict[Literal["test", "dev"], Count | None]
    """Examples per language where the language's line does not say otherwise; null: not known for sure."""
    total: dict[Literal["test", "dev"], Count] = Field(default_factory=dict)
    """Examples over all languages; proves completeness where single counts are not known for sure."""
    label_aliases: dict[str, list[str]] = Field(default_factory=dict)
    """Canonical label -> other names that checkpoints use for it."""
    tolerated_labels: list[str] = Field(default_factory=list)
    """Labels that a head may have beyond the task's own; predicting one counts as wrong."""
    train: str | None
    """The English training set (a spec under ``intermediate/`` or ``english/``); null: nothing is trained."""
    note: str | None = None
    candidates: CandidateSpec | None = None
    """Mining and ranking: what is searched."""
    average: Literal["languages", "examples"] = "languages"
    """``languages``: the mean over languages, each counting the same; ``examples``: over all their examples."""
    extension: str | None = None
    """Why the prediction file is no official one."""
    input: Any

    @model_validator(mode="after")
    def _candidates_where_searched(self) -> Self:
        searched = self.kind in ("mining", "ranking")
        if searched != (self.candidates is not None):
            raise ValueError(f"candidates: {'field required' if searched else 'no such field'} for this kind of task.")
        if self.candidates is not None and ("targets" in self.fields) == ("answers" in self.candidates.fields):
            raise ValueError(
                "fields.targets: name either the queries' column of right candidates, or in candidates.fields.answers "
                "the candidates' column of queries that they answer."
            )
        if self.candidates is None:
            return self
        problems = self.pattern_problems(self.candidates.sources, "candidates.sources")
        fields = [{**self.candidates.fields, **source.fields} for source in self.candidates.sources]
        problems += [
            f"candidates.fields.{name}: field required."
            for name in ("id", "text")
            if any(name not in each for each in fields)
        ]
        if not self.candidates.sources:
            problems.append("candidates.sources: name at least one source.")
        if problems:
            raise ValueError("\n".join(problems))
        return self

    @model_validator(mode="after")
    def _aliases_are_plain(self) -> Self:
        # An alias that means two labels, or a label's own name, would swap predictions in silence.
        problems = [
            f"label_aliases.{label}: not one of the labels.{did_you_mean(label, self.labels)}"
            for label in self.label_aliases
            if label not in self.labels
        ]
        taken = dict.fromkeys(self.labels, "a label")
        for label, names in self.label_aliases.items():
            for name in names:
                if name in taken:
                    problems.append(f"label_aliases.{label}: '{name}' is {taken[name]} already.")
                taken[name] = f"an alias of '{label}'"
        if problems:
            raise ValueError("\n".join(problems))
        return self

    @property
    def compares_vectors(self) -> bool:
        """Whether any encoder can be scored, as texts are compared as vectors and no head is needed."""
        return self.kind in ("retrieval", "mining", "ranking")

    def languages_in(self, benchmark: str | None) -> list[str]:
        """Return the codes of the languages that a benchmark (None: any) has for this task, in order."""
        return [
            c
            for c, line in self.languages.items()
            if benchmark is None or line.only_in is None or benchmark in line.only_in
        ]


class ClassificationSpec(TaskSpec):
    """A target where a pair of texts gets one label."""

    kind: Literal["classification"]
    input: ClassificationInput


class ChoiceSpec(TaskSpec):
    """A target where one of several texts continues another best."""

    kind: Literal["multiple_choice"]
    input: ChoiceInput


class TaggingSpec(TaskSpec):
    """A target where every word gets a tag."""

    kind: Literal["tagging"]
    input: TaggingInput


class SpanSpec(TaskSpec):
    """A target where the answer is a span of the context."""

    kind: Literal["span_qa"]
    input: SpanInput


class RetrievalSpec(TaskSpec):
    """A target where the translation of an English sentence is found among all sentences of a language."""

    kind: Literal["retrieval"]
    input: RetrievalInput


class MiningSpec(TaskSpec):
    """A target where the pairs of translations are found in two corpora that are mostly no translations."""

    kind: Literal["mining"]
    input: MiningInput


class RankingSpec(TaskSpec):
    """A target where the right ones among many candidates are to come first."""

    kind: Literal["ranking"]
    input: RankingInput


class TrainingSpec(DataSpec):
    """An English training set: an intermediate task, or the training data of a target."""

    kind: Literal["classification", "multiple_choice", "tagging", "span_qa"]
    train_split: str
    prompt: str | None = None
    """Multiple choice: the text before each choice, with ``{context}`` and ``{question}``."""
    after: str | None = None
    """The training set that the encoder is tuned on before this one."""


_KINDS: dict[str, type[TaskSpec]] = {
    "classification": ClassificationSpec,
    "multiple_choice": ChoiceSpec,
    "tagging": TaggingSpec,
    "span_qa": SpanSpec,
    "retrieval": RetrievalSpec,
    "mining": MiningSpec,
    "ranking": RankingSpec,
}


def read_task(path: Path) -> TaskSpec:
    """Return the target that a YAML file describes; raise SpecError with all its problems."""
    content = strict_yaml.read(path)
    kind = content.get("kind")
    if not isinstance(kind, str) or kind not in _KINDS:
        raise SpecError(
            f"{path.name}: kind: found {kind!r}, expected one of {', '.join(_KINDS)}.{did_you_mean(str(kind), _KINDS)}"
        )
    spec = strict_yaml.parse(_KINDS[kind], content, path.name)
    if spec.name != path.stem:
        raise SpecError(f"{path.name}: name: found '{spec.name}', expected '{path.stem}' as the file is called.")
    return spec


def read_training(path: Path) -> TrainingSpec:
    """Return the training set that a YAML file describes; raise SpecError with all its problems."""
    return strict_yaml.parse(TrainingSpec, strict_yaml.read(path), path.name)


@cache
def list_tasks() -> tuple[str, ...]:
    """Return the names of all targets that this version ships a spec for."""
    return tuple(sorted(p.stem for p in (assets.TASKS / "targets").glob("*.yaml")))


@cache
def load_task(name: str) -> TaskSpec:
    """Return a target by name, or from the path of a YAML file of the user's own.

    >>> load_task("xnli").labels
    ['entailment', 'neutral', 'contradiction']
    """
    if name.endswith((".yaml", ".yml")):
        return read_task(Path(name))
    path = assets.TASKS / "targets" / f"{name}.yaml"
    if not path.is_file():
        raise unknown("task", name, list_tasks())
    return read_task(path)


@cache
def load_training(name: str) -> TrainingSpec:
    """Return a training set (intermediate or English target data) by name."""
    folders = [assets.TASKS / "intermediate", assets.TASKS / "english"]
    for folder in folders:
        path = folder / f"{name}.yaml"
        if path.is_file():
            return read_training(path)
    raise unknown("training set", name, [p.stem for f in folders for p in f.glob("*.yaml")])
