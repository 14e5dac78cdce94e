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


class TrainingLanguage(TaskLanguage):
    """What is particular to one language of a training set."""

    origin: Literal["native", "machine-translated"] = "native"
    """How the training examples came to be in this language."""


class TrainingSpec(DataSpec):
    """A training set: an intermediate task, the training data of a target, or a part that is joined with others.

    It is read in English, unless another of its languages is asked for by name.
    """

    kind: Literal["classification", "multiple_choice", "tagging", "span_qa"]
    train_split: str
    after: str | None = None
    """The training set that the encoder is tuned on before this one."""
    members: list[str] = Field(default_factory=list)
    """The training sets that this one is made of, in order, of the same kind and labels; there is no source then."""
    drop_labels: list[str] = Field(default_factory=list)
    """Labels, as stored, that say that nobody agreed on one: such rows are left out and counted as ``unlabelled``."""
    labels_from: Literal["train"] | None = None
    """``train``: the labels are those that the training data has, sorted; for sets of tags that nobody lists."""
    by_hand: str | None = None
    """Why the data cannot be fetched, and where users lay it; a sentence."""
    input: Any
    languages: Mapping[str, TrainingLanguage]

    @model_validator(mode="after")
    def _own_or_joined(self) -> Self:
        problems = []
        if self.members and self.sources:
            problems.append("sources: give either 'sources' or 'members'.")
        if self.labels_from and (self.labels or self.kind != "tagging"):
            problems.append("labels_from: it stands in place of 'labels', for tagging only.")
        if problems:
            raise ValueError("\n".join(problems))
        return self

    @property
    def is_composite(self) -> bool:
        """Whether the examples are those of ``members``."""
        return bool(self.members)

    @property
    def infers_labels(self) -> bool:
        """Whether the labels are those of the training data."""
        return self.labels_from is not None

    @property
    def is_manual(self) -> bool:
        """Whether users lay the data into the folder themselves."""
        return self.by_hand is not None

    @property
    def default_languages(self) -> list[str]:
        """English, and where there is none all languages."""
        return ["en"] if "en" in self.languages else list(self.languages)


class ClassificationTraining(TrainingSpec):
    """A training set where a pair of texts gets one label."""

    kind: Literal["classification"]
    input: ClassificationInput = Field(default_factory=ClassificationInput)


class ChoiceTraining(TrainingSpec):
    """A training set where one of several texts is right."""

    kind: Literal["multiple_choice"]
    input: ChoiceInput


class TaggingTraining(TrainingSpec):
    """A training set where every word gets a tag."""

    kind: Literal["tagging"]
    input: TaggingInput = Field(default_factory=TaggingInput)


class SpanTraining(TrainingSpec):
    """A training set where the answer is a span of the context, or where there may be none."""

    kind: Literal["span_qa"]
    input: SpanInput = Field(default_factory=SpanInput)


class MixtureSpec(strict_yaml.Strict):
    """Several training sets that one encoder is trained on at once, and how often each is drawn."""

    name: str
    title: str
    tasks: list[str] = Field(min_length=1)
    """Training sets, by name, each with a head of its own."""
    cap: Positive = 131072
    """Examples of a task that count for how often it is drawn, so that large tasks do not drown the others."""
    temperature: Annotated[float, Field(ge=1, allow_inf_nan=False)] = 1.0
    """1: in proportion to the capped sizes; the higher, the more alike are the tasks' shares."""
    note: str | None = None

    @field_validator("tasks")
    @classmethod
    def _each_once(cls, value: list[str]) -> list[str]:
        if twice := sorted({name for name in value if value.count(name) > 1}):
            raise ValueError(f"'{twice[0]}' stands twice.")
        return value
