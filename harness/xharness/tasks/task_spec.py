"""Specs of targets, training sets and mixtures, as the YAML files under `tasks/` describe them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from xharness import strict_yaml
from xharness.errors import did_you_mean
from xharness.tasks.dataset_spec import CandidateSpec, Count, DataSpec, Positive, TaskLanguage
from xharness.tasks.inputs import (
    ChoiceInput,
    ClassificationInput,
    MiningInput,
    RankingInput,
    RetrievalInput,
    SpanInput,
    TaggingInput,
)
from xharness.tasks.source_spec import source_problems


class TaskSpec(DataSpec):
    """A target of XTREME or XTREME-R, or one of the user's own: evaluated per language, trained on in none."""

    kind: Literal["classification", "multiple_choice", "tagging", "span_qa", "retrieval", "mining", "ranking"]
    test_split: str
    expected: dict[Literal["test", "dev"], Count | None]
    """Examples per language, unless the language's line gives another number; null: not confirmed."""
    total: dict[Literal["test", "dev"], Count] = Field(default_factory=dict)
    """Examples over all languages; shows that data is complete where the counts per language are not confirmed."""
    label_aliases: dict[str, list[str]] = Field(default_factory=dict)
    """Canonical label -> other names that checkpoints use for it."""
    tolerated_labels: list[str] = Field(default_factory=list)
    """Labels that a head may have in addition to the task's; predicting one counts as wrong."""
    train: str | None
    """The English training set (a spec under ``intermediate/`` or ``english/``); null: no training."""
    note: str | None = None
    candidates: CandidateSpec | None = None
    """Mining and ranking: the candidates that are searched."""
    average: Literal["languages", "examples"] = "languages"
    """``languages``: the mean over languages with equal weights; ``examples``: the mean over all examples."""
    extension: str | None = None
    """Why the prediction file does not have an official format."""
    input: Any

    @model_validator(mode="after")
    def _candidates_where_searched(self) -> Self:
        searched = self.kind in ("mining", "ranking")
        if searched != (self.candidates is not None):
            raise ValueError(f"candidates: {'field required' if searched else 'no such field'} for this kind of task.")
        if self.candidates is not None and ("targets" in self.fields) == ("answers" in self.candidates.fields):
            raise ValueError(
                "fields.targets: name either the queries' column of correct candidates, or the candidates' column of "
                "the queries that they answer (in candidates.fields.answers)."
            )
        if self.candidates is None:
            return self
        problems = source_problems(self.candidates.sources, "candidates.sources", self.languages)
        fields = [{**self.candidates.fields, **source.fields} for source in self.candidates.sources]
        problems += [
            f"candidates.fields.{name}: field required."
            for name in ("id", "text")
            if any(name not in columns for columns in fields)
        ]
        if not self.candidates.sources:
            problems.append("candidates.sources: name at least one source.")
        if problems:
            raise ValueError("\n".join(problems))
        return self

    @model_validator(mode="after")
    def _aliases_are_plain(self) -> Self:
        # An alias of two labels, or one that is itself a label, would swap predictions silently.
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
        """Whether embeddings are compared, so that every encoder can be evaluated and no head is needed."""
        return self.kind in ("retrieval", "mining", "ranking")

    def languages_in(self, benchmark: str | None) -> list[str]:
        """Return the codes of the languages that a benchmark (None: any) has for this task, in the spec's order."""
        return [
            c
            for c, line in self.languages.items()
            if benchmark is None or line.only_in is None or benchmark in line.only_in
        ]


class ClassificationSpec(TaskSpec):
    """A target that assigns one label to a pair of texts."""

    kind: Literal["classification"]
    input: ClassificationInput


class ChoiceSpec(TaskSpec):
    """A target that selects the best continuation of a text from several choices."""

    kind: Literal["multiple_choice"]
    input: ChoiceInput


class TaggingSpec(TaskSpec):
    """A target that assigns a tag to every word."""

    kind: Literal["tagging"]
    input: TaggingInput


class SpanSpec(TaskSpec):
    """A target that extracts the answer as a span of the context."""

    kind: Literal["span_qa"]
    input: SpanInput


class RetrievalSpec(TaskSpec):
    """A target that finds the translation of an English sentence among all sentences of a language."""

    kind: Literal["retrieval"]
    input: RetrievalInput


class MiningSpec(TaskSpec):
    """A target that finds the pairs of translations in two corpora, most of whose sentences have no translation."""

    kind: Literal["mining"]
    input: MiningInput


class RankingSpec(TaskSpec):
    """A target that ranks many candidates; the correct ones should come first."""

    kind: Literal["ranking"]
    input: RankingInput


class TrainingLanguage(TaskLanguage):
    """What differs for one language of a training set."""

    origin: Literal["native", "machine-translated"] = "native"
    """Whether the training examples were written in this language or machine-translated into it."""


class TrainingSpec(DataSpec):
    """A training set: an intermediate task, the training data of a target, or a member of a larger training set.

    Only its English data is read, unless other languages are requested by name.
    """

    kind: Literal["classification", "multiple_choice", "tagging", "span_qa"]
    train_split: str
    after: str | None = None
    """The training set that the encoder is fine-tuned on before this one."""
    members: list[str] = Field(default_factory=list)
    """The training sets that this one consists of, in order, with the same kind and labels; `sources` is then empty."""
    drop_labels: list[str] = Field(default_factory=list)
    """Stored labels that mean "no gold label": such rows are left out and counted as ``unlabelled``."""
    labels_from: Literal["train"] | None = None
    """``train``: the labels are the sorted tags of the training data; for tag sets that are not listed anywhere."""
    by_hand: str | None = None
    """Why the data cannot be fetched, and where users have to put it; a sentence."""
    input: Any
    languages: Mapping[str, TrainingLanguage]

    @model_validator(mode="after")
    def _own_or_joined(self) -> Self:
        problems = []
        if self.members and self.sources:
            problems.append("sources: give either 'sources' or 'members'.")
        if self.labels_from and (self.labels or self.kind != "tagging"):
            problems.append("labels_from: used instead of 'labels', for tagging only.")
        if problems:
            raise ValueError("\n".join(problems))
        return self

    @property
    def is_composite(self) -> bool:
        """Whether the examples come from ``members``."""
        return bool(self.members)

    @property
    def infers_labels(self) -> bool:
        """Whether the labels are taken from the training data."""
        return self.labels_from is not None

    @property
    def is_manual(self) -> bool:
        """Whether users have to put the data into the folder themselves."""
        return self.by_hand is not None

    @property
    def default_languages(self) -> list[str]:
        """English; all languages if the set has no English."""
        return ["en"] if "en" in self.languages else list(self.languages)


class ClassificationTraining(TrainingSpec):
    """A training set that assigns one label to a pair of texts."""

    kind: Literal["classification"]
    input: ClassificationInput = Field(default_factory=ClassificationInput)


class ChoiceTraining(TrainingSpec):
    """A training set that selects the correct one of several choices."""

    kind: Literal["multiple_choice"]
    input: ChoiceInput


class TaggingTraining(TrainingSpec):
    """A training set that assigns a tag to every word."""

    kind: Literal["tagging"]
    input: TaggingInput = Field(default_factory=TaggingInput)


class SpanTraining(TrainingSpec):
    """A training set that extracts the answer as a span of the context; questions may have no answer."""

    kind: Literal["span_qa"]
    input: SpanInput = Field(default_factory=SpanInput)


class MixtureSpec(strict_yaml.Strict):
    """Several training sets on which one encoder is trained at once, with the weights for sampling them."""

    name: str
    title: str
    tasks: list[str] = Field(min_length=1)
    """Names of training sets; each gets its own head."""
    cap: Positive = 131072
    """Largest number of examples of a task that counts for sampling, so that large tasks do not dominate."""
    temperature: Annotated[float, Field(ge=1, allow_inf_nan=False)] = 1.0
    """1: in proportion to the capped sizes; higher values make the tasks' shares more equal."""
    note: str | None = None

    @field_validator("tasks")
    @classmethod
    def _each_once(cls, value: list[str]) -> list[str]:
        if twice := sorted({name for name in value if value.count(name) > 1}):
            raise ValueError(f"'{twice[0]}' is given twice.")
        return value
