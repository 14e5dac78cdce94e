"""The records that the YAML files under ``tasks/`` describe: tasks, training sets, benchmarks, languages."""

from __future__ import annotations

import hashlib
import json
from functools import cache
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, field_validator, model_validator

from xharness import assets, strict_yaml
from xharness.errors import SpecError, did_you_mean, unknown
from xharness.strict_yaml import Strict

Split = Literal["test", "dev", "train"]
Count = Annotated[int, Field(ge=0)]
Positive = Annotated[int, Field(gt=0)]


class Keep(Strict):
    """Which rows of a mixed table belong to a language: a column that equals, or begins with, a pattern."""

    column: str
    equals: str | None = None
    prefix: str | None = None

    @model_validator(mode="after")
    def _one_of_two(self) -> Self:
        if (self.equals is None) == (self.prefix is None):
            raise ValueError("give either 'equals' or 'prefix'.")
        return self

    def takes(self, value: object) -> bool:
        """Return whether a row with this value in the column belongs to the language (patterns already filled)."""
        return value == self.equals if self.equals is not None else str(value).startswith(self.prefix or "")


class Source(Strict):
    """One place where the data of a task can be had.

    ``config``, ``keep`` and ``raw`` may hold ``{lang}`` (the two-letter code) and ``{alias}`` (the name that
    the language's line gives). ``raw`` is a file below ``raw/`` beside or inside the data folder, in its
    original ``format``; it is never fetched over the network, and it is read for every split that the task
    has, so give it only where the task has one.
    """

    repo: str | None = None
    revision: str | None = None
    config: str = "default"
    raw: str | None = None
    format: Literal["hub", "squad_json", "tatoeba_lines", "panx_tsv"] = "hub"
    splits: dict[Split, str] = Field(default_factory=dict)
    fields: dict[str, str] = Field(default_factory=dict)
    keep: Keep | None = None

    @model_validator(mode="after")
    def _repo_or_raw(self) -> Self:
        if (self.repo is None) == (self.raw is None):
            raise ValueError("give either 'repo' (a Hub data set) or 'raw' (a file as published).")
        if self.repo is not None and self.revision is None:
            raise ValueError("revision: field required beside 'repo' (a branch, or a sha if one is known).")
        if (self.raw is not None) == (self.format == "hub"):
            raise ValueError("'raw' needs a 'format' other than hub, and 'repo' needs format hub.")
        return self

    @property
    def name(self) -> str:
        """What the source is called in results and messages."""
        return self.repo or f"raw/{self.raw}"


class TaskLanguage(Strict):
    """What is particular to one language of a task."""

    alias: str | None = None
    test: Count | None = None
    dev: Count | None = None
    train: Count | None = None
    zero_shot: bool = True
    only_in: list[str] | None = Field(default=None, alias="in")


class DataSpec(Strict):
    """What targets and training sets have in common: where data comes from and what its columns mean."""

    name: str
    title: str
    paper: str
    licence: str
    kind: str
    sources: list[Source]
    unavailable: str | None = None
    """Why no source can be read yet; the plan then says *cannot* with this reason."""
    fields: dict[str, str]
    """Canonical field -> column of the source (by name)."""
    labels: list[str] = Field(default_factory=list)
    label_map: dict[str, str] = Field(default_factory=dict)
    """Label in the data -> canonical label, where upstream spells it otherwise."""
    dev_split: str | None
    metric: str
    mean_characters: Positive
    """Mean characters per example (both texts together), for the plan's estimate of tokens."""
    languages: dict[str, TaskLanguage]

    required_fields: ClassVar[dict[str, tuple[str, ...]]] = {
        "classification": ("text_a", "text_b", "label"),
        "tagging": ("tokens", "tags"),
        "span_qa": ("question", "context", "answers"),
        "retrieval": ("text", "english"),
    }
    optional_fields: ClassVar[tuple[str, ...]] = ("id",)

    @field_validator("languages", mode="before")
    @classmethod
    def _empty_lines(cls, value: Any) -> Any:
        # `ar:` alone is a language with nothing particular.
        return {k: {} if v is None else v for k, v in value.items()} if isinstance(value, dict) else value

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        needed = self.required_fields[self.kind]
        problems = [f"fields.{name}: field required." for name in needed if name not in self.fields]
        allowed = needed + self.optional_fields
        for place, fields in [
            ("fields", self.fields),
            *((f"sources.{i}.fields", s.fields) for i, s in enumerate(self.sources)),
        ]:
            problems += [f"{place}.{f}: no such field.{did_you_mean(f, allowed)}" for f in fields if f not in allowed]
        if self.kind in ("classification", "tagging") and not self.labels:
            problems.append("labels: field required for this kind of task.")
        problems += [
            f"label_map.{k}: '{v}' is not one of the labels.{did_you_mean(v, self.labels)}"
            for k, v in self.label_map.items()
            if v not in self.labels
        ]
        known = languages()
        problems += [
            f"languages.{code}: no such language in languages.yaml.{did_you_mean(code, known)}"
            for code in self.languages
            if code not in known
        ]
        problems += [
            f"languages.{code}.in: no benchmark is named '{name}'.{did_you_mean(name, benchmarks())}"
            for code, line in self.languages.items()
            for name in line.only_in or ()
            if name not in benchmarks()
        ]
        for i, source in enumerate(self.sources):
            keep = source.keep or Keep(column="", prefix="")
            patterns = {"config": source.config, "raw": source.raw, "keep": keep.equals or keep.prefix}
            for field, pattern in patterns.items():
                try:
                    (pattern or "").format(lang="en", alias="eng")
                except (KeyError, IndexError, ValueError, AttributeError):
                    problems.append(
                        f"sources.{i}.{field}: '{pattern}': only {{lang}} and {{alias}} can stand in braces."
                    )
        if not self.sources and not self.unavailable:
            problems.append("sources: name at least one source, or say why there is none in 'unavailable'.")
        if self.sources and self.sources[0].raw:
            problems.append("sources.0: the first source is the one used online, so it must be a 'repo'.")
        if problems:
            raise ValueError("\n".join(problems))
        return self

    @property
    def hash(self) -> str:
        """The first 12 hex digits of a SHA-256 over the whole spec: changes when any number might."""
        content = self.model_dump(mode="json", by_alias=True)
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:12]

    def split_name(self, split: Split) -> str | None:
        """Return the name of a split in the data (``test`` -> ``validation``); None where there is no such split."""
        name: str | None = getattr(self, f"{split}_split", None)
        return name

    def expected_count(self, language: str, split: Split) -> int | None:
        """Return how many examples a complete split of this language has; None where that is not known for sure."""
        own: int | None = getattr(self.languages[language], split)
        return own if own is not None else getattr(self, "expected", {}).get(split)

    def fill(self, pattern: str, language: str) -> str:
        """Return a pattern of a source with ``{lang}`` and ``{alias}`` replaced by those of a language."""
        return pattern.format(lang=language, alias=self.languages[language].alias or language)

    def kept_rows(self, source: Source, language: str) -> Keep | None:
        """Return the source's ``keep`` with the language's own words in its pattern; None: all rows are kept."""
        if source.keep is None:
            return None
        patterns = {"equals": source.keep.equals, "prefix": source.keep.prefix}
        filled = {name: self.fill(pattern, language) for name, pattern in patterns.items() if pattern is not None}
        return source.keep.model_copy(update=filled)


class ClassificationInput(Strict):
    """How a pair of texts is put before the encoder."""

    max_length: Positive = 128
    csv_quoting: bool = False
    """The 2020 scripts wrote texts through csv quoting and read them without: quotes were doubled."""


class TaggingInput(Strict):
    """How a sentence of words is put before the encoder; labels sit on first sub-words."""

    max_length: Positive = 128
    double_separator: bool = False
    """Repeat the closing separator of the tokenizer, whichever it is. Meant for XLM-R only: the 2020 scripts closed its
    sentences with two ``</s>``; published checkpoints mostly saw one.
    """


class SpanInput(Strict):
    """How a question and its context are put before the encoder, and how spans are read back."""

    max_length: Positive = 384
    doc_stride: Positive = 128
    """Distance between the starts of two windows, in sub-words (not their overlap)."""
    max_query_length: Positive = 64
    n_best: Positive = 20
    max_answer_length: Positive = 30
    """In sub-words."""
    lowercase: bool = False
    """The paper-era scripts lower-cased the input, for XLM-R too (google-research/xtreme, before 2021-08).

    This lower-cases and no more. The scripts' mBERT tokenizer also stripped accents, and so Vietnamese and Thai
    marks; this does not do so to the input.
    """
    answer_text: Literal["offsets", "words"] = "offsets"
    """``offsets``: the characters of the span; ``words``: the whole words around it (the 2020 scripts)."""


class RetrievalInput(Strict):
    """How a sentence becomes a vector."""

    max_length: Positive = 512
    layer: dict[int | Literal["default"], int | Literal["last"]]
    """Number of layers of the encoder -> index into ``hidden_states`` (0 = embeddings)."""
    pooling: Literal["mean", "cls", "pooler"] = "mean"
    prefix: str = ""


class TaskSpec(DataSpec):
    """A target of XTREME or XTREME-R, or the user's own: evaluated per language, never trained on in them."""

    kind: Literal["classification", "tagging", "span_qa", "retrieval"]
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
    input: Any

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
    metric: Literal["accuracy"]
    input: ClassificationInput


class TaggingSpec(TaskSpec):
    """A target where every word gets a tag."""

    kind: Literal["tagging"]
    metric: Literal["entity_f1", "udpos_f1"]
    input: TaggingInput


class SpanSpec(TaskSpec):
    """A target where the answer is a span of the context."""

    kind: Literal["span_qa"]
    metric: Literal["squad", "mlqa"]
    input: SpanInput


class RetrievalSpec(TaskSpec):
    """A target where the translation of an English sentence is found among all sentences of a language."""

    kind: Literal["retrieval"]
    metric: Literal["accuracy"]
    input: RetrievalInput


class TrainingSpec(DataSpec):
    """An English training set: an intermediate task, or the training data of a target."""

    kind: Literal["classification", "tagging", "span_qa"]
    metric: Literal["accuracy", "entity_f1", "udpos_f1", "squad"]
    train_split: str


class Benchmark(Strict):
    """A named list of targets, its groups, and how its averages are made."""

    name: str
    title: str
    paper: str
    language_count: Positive
    tasks: list[str]
    groups: dict[str, list[str]]
    official_groups: dict[str, list[str]]
    """The groups as the benchmark's own evaluate.py counts them."""

    @model_validator(mode="after")
    def _groups_hold_tasks(self) -> Self:
        problems = [
            f"{field}.{group}: '{task}' is not one of the tasks.{did_you_mean(task, self.tasks)}"
            for field, groups in (("groups", self.groups), ("official_groups", self.official_groups))
            for group, tasks in groups.items()
            for task in tasks
            if task not in self.tasks
        ]
        if problems:
            raise ValueError("\n".join(problems))
        return self


class Language(Strict):
    """Facts about a language that results are broken down by."""

    name: str
    family: str
    script: str
    cc100_mtokens: Annotated[float, Field(ge=0)] | None
    cc100_gib: Annotated[float, Field(ge=0)] | None
    wikipedia_articles_k: Count
    wikipedia_mib: Count
    in_mbert: bool
    joshi_class: Annotated[int, Field(ge=0, le=5)] | None


class _LanguageFile(Strict):
    source: str
    languages: dict[str, Language]


_KINDS: dict[str, type[TaskSpec]] = {
    "classification": ClassificationSpec,
    "tagging": TaggingSpec,
    "span_qa": SpanSpec,
    "retrieval": RetrievalSpec,
}


@cache
def languages() -> dict[str, Language]:
    """Return the languages of ``tasks/languages.yaml`` by two-letter code."""
    path = assets.TASKS / "languages.yaml"
    return strict_yaml.parse(_LanguageFile, strict_yaml.read(path), path.name).languages


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


def read_benchmark(path: Path) -> Benchmark:
    """Return the benchmark that a YAML file describes; raise SpecError with all its problems."""
    return strict_yaml.parse(Benchmark, strict_yaml.read(path), path.name)


@cache
def benchmarks() -> dict[str, Benchmark]:
    """Return all benchmarks by name."""
    found = (read_benchmark(path) for path in sorted((assets.TASKS / "benchmarks").glob("*.yaml")))
    return {benchmark.name: benchmark for benchmark in found}
