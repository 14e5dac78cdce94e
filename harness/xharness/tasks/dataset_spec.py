"""What targets and training sets share: data sources, columns, labels, languages and their counts."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, field_validator, model_validator

from xharness.errors import did_you_mean
from xharness.metrics import SCORE_KEYS
from xharness.metrics.classification import POSITIVE
from xharness.strict_yaml import Strict
from xharness.tasks.benchmarks import benchmarks
from xharness.tasks.inputs import Prompt
from xharness.tasks.languages import languages
from xharness.tasks.source_spec import Keep, Source, Split, source_problems

Count = Annotated[int, Field(ge=0)]
Positive = Annotated[int, Field(gt=0)]
HF_EVALUATE = "evaluate:"
ADDED_LATER: dict[str, dict[str, Any]] = {
    "": {"choice_list": None},
    "input": {"no_answer": False, "null_threshold": 0.0},
}
"""Record -> fields that are left out of the hash while they have these values, so that older results stay valid.

The fields were added after results with the older specs had been published."""


class TaskLanguage(Strict):
    """What differs for one language of a task."""

    alias: str | None = None
    test: Count | None = None
    dev: Count | None = None
    train: Count | None = None
    zero_shot: bool = True
    only_in: list[str] | None = Field(default=None, alias="in")


class ChoiceList(Strict):
    """Where the choices of a row are, if they are stored as one list and not one per column."""

    column: str
    """The column of the list; ``a.b`` is the list ``b`` inside the column ``a``."""
    names: str | None = None
    """The parallel list with the names of the choices, if they have any: the choices are then put in the order of
    ``labels``. Without it the first choice belongs to the first label, and so on."""
    prefix: Prompt = ""
    """Text put before each choice."""


class CandidateSpec(Strict):
    """The candidates that the queries of a task are matched with: sentences or entities, each with an id."""

    sources: list[Source]
    fields: dict[Literal["id", "text", "answers"], str]
    """``answers``: ids of the queries that the candidate answers, if the queries do not name their candidates."""
    scope: Literal["language", "task"]
    """``language``: each language has its own candidates; ``task``: the candidates of all languages are one pool."""
    expected: dict[Literal["test", "dev"], Count | None]
    """Number of candidates in the complete pool (of one language, or of the task); null: not confirmed."""
    mean_characters: Positive
    """Mean number of characters of a candidate, to estimate tokens in the plan."""


class DataSpec(Strict):
    """What targets and training sets share: where the data comes from and what its columns mean."""

    name: str
    title: str
    paper: str
    licence: str
    kind: str
    sources: list[Source]
    unavailable: str | None = None
    """Why no source can be read yet; the plan shows the target as *cannot* with this reason."""
    fields: dict[str, str]
    """Canonical field -> column of the source (by name)."""
    labels: list[str] = Field(default_factory=list)
    label_map: dict[str, str] = Field(default_factory=dict)
    """Label in the data -> canonical label, where the two differ."""
    dev_split: str | None
    metric: str
    metric_scores: list[str] = Field(default_factory=list)
    """Only for ``evaluate:`` metrics: the scores that enter the average."""
    metric_scale: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 1.0
    """Only for ``evaluate:`` metrics: the factor that turns their scores into percent (100 for fractions)."""
    metric_options: dict[str, Any] = Field(default_factory=dict)
    """Only for ``evaluate:`` metrics: further arguments of their ``compute``."""
    choices: list[str] = Field(default_factory=list)
    """Multiple choice: the columns of the choices, in the order of ``labels``."""
    choice_list: ChoiceList | None = None
    """Multiple choice: instead of ``choices``, if the data stores them as a list."""
    tag_precedence: dict[str, list[str]] = Field(default_factory=dict)
    """CoNLL-U: language (or ``default``) -> tags in order of precedence. They break ties when a multiword token takes
    the tag of its highest word in the tree and several words are equally high."""
    mean_characters: Positive
    """Mean number of characters per example (both texts together), to estimate tokens in the plan."""
    languages: Mapping[str, TaskLanguage]

    required_fields: ClassVar[dict[str, tuple[str, ...]]] = {
        "classification": ("text_a", "text_b", "label"),
        "tagging": ("tokens", "tags"),
        "span_qa": ("question", "context", "answers"),
        "retrieval": ("text", "english"),
        "multiple_choice": ("context", "question", "label"),
        "mining": ("id", "text", "targets"),
        "ranking": ("id", "text"),
    }
    optional_fields: ClassVar[tuple[str, ...]] = ("id", "targets")
    metrics: ClassVar[dict[str, tuple[str, ...]]] = {
        "classification": ("accuracy", "accuracy_f1"),
        "tagging": ("entity_f1", "udpos_f1", "token_accuracy"),
        "span_qa": ("squad", "squad_v2", "mlqa"),
        "retrieval": ("accuracy",),
        "multiple_choice": ("accuracy",),
        "mining": ("bucc_f1",),
        "ranking": ("mrr_at_20", "map_at_20"),
    }

    @field_validator("languages", mode="before")
    @classmethod
    def _empty_lines(cls, value: Any) -> Any:
        # `ar:` alone is a language without settings of its own.
        return {k: {} if v is None else v for k, v in value.items()} if isinstance(value, dict) else value

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        needed = () if self.is_composite else self.required_fields[self.kind]
        problems = [f"fields.{name}: field required." for name in needed if name not in self.fields]
        allowed = self.required_fields[self.kind] + self.optional_fields
        for path, fields in [
            ("fields", self.fields),
            *((f"sources.{i}.fields", s.fields) for i, s in enumerate(self.sources)),
        ]:
            problems += [f"{path}.{f}: no such field.{did_you_mean(f, allowed)}" for f in fields if f not in allowed]
        if self.kind in ("classification", "tagging", "multiple_choice") and not (self.labels or self.infers_labels):
            problems.append("labels: field required for this kind of task.")
        problems += self._metric_problems()
        if self.choice_list is not None and (self.choices or self.kind != "multiple_choice"):
            problems.append("choice_list: used instead of 'choices', for multiple choice only.")
        elif self.kind == "multiple_choice" and not self.choice_list and len(self.choices) != len(self.labels):
            problems.append(
                f"choices: found {len(self.choices)} columns for {len(self.labels)} labels; name one column per label."
            )
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
        problems += self._source_problems()
        if problems:
            raise ValueError("\n".join(problems))
        return self

    def _metric_problems(self) -> list[str]:
        own = {"metric_scores": self.metric_scores, "metric_options": self.metric_options}
        if self.metric.startswith(HF_EVALUATE):
            missing = [] if self.metric_scores else ["metric_scores: field required beside an 'evaluate:' metric."]
            return missing + ([] if self.metric != HF_EVALUATE else ["metric: name a module after 'evaluate:'."])
        known = self.metrics[self.kind]
        problems = [f"{name}: only for 'evaluate:' metrics." for name, value in own.items() if value]
        if self.metric not in known:
            problems.append(
                f"metric: found '{self.metric}', expected {' or '.join(known)} for this kind, or evaluate:<module>."
                f"{did_you_mean(self.metric, known)}"
            )
        if self.metric == "accuracy_f1" and (len(self.labels) != 2 or len(set(self.labels) & set(POSITIVE)) != 1):
            problems.append(f"metric: accuracy_f1 is for two labels, one of them {' or '.join(POSITIVE)}.")
        return problems

    def _source_problems(self) -> list[str]:
        problems = source_problems(self.sources, "sources", self.languages)
        if not self.sources and not self.unavailable and not self.is_composite:
            problems.append("sources: name at least one source, or give the reason in 'unavailable'.")
        if self.sources and self.sources[0].raw and not self.sources[0].download and not self.is_manual:
            problems.append(
                "sources.0: the first source is the one that is fetched, so it must be a 'repo' or have a 'download'."
            )
        return problems

    @property
    def is_composite(self) -> bool:
        """Whether the examples come from other specs, so that there is no source here."""
        return False

    @property
    def infers_labels(self) -> bool:
        """Whether the labels are taken from the data instead of the spec."""
        return False

    @property
    def is_manual(self) -> bool:
        """Whether the data cannot be fetched, so that users have to put it into the folder themselves."""
        return False

    @property
    def default_languages(self) -> list[str]:
        """The languages that are used if none is named."""
        return list(self.languages)

    @property
    def hash(self) -> str:
        """The first 12 hex digits of a SHA-256 over the whole spec: changes whenever a score might."""
        content = self.model_dump(mode="json", by_alias=True)
        for name, defaults in ADDED_LATER.items():
            record = content.get(name) if name else content
            for field, default in defaults.items():
                if isinstance(record, dict) and field in record and record[field] == default:
                    del record[field]
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:12]

    @property
    def score_keys(self) -> tuple[str, ...]:
        """The scores whose mean enters an average (``avg_metric`` in XTREME's evaluate.py)."""
        return tuple(self.metric_scores) or SCORE_KEYS[self.metric]

    def split_name(self, split: Split) -> str | None:
        """Return the name of a split in the data (``test`` -> ``validation``); None if there is no such split."""
        name: str | None = getattr(self, f"{split}_split", None)
        return name

    def expected_count(self, language: str, split: Split) -> int | None:
        """Return the number of examples in a complete split of this language; None if it is not confirmed."""
        own: int | None = getattr(self.languages[language], split)
        return own if own is not None else getattr(self, "expected", {}).get(split)

    def fill(self, pattern: str, language: str, split: str = "") -> str:
        """Return a pattern of a source with ``{lang}``, ``{alias}`` and ``{split}`` replaced.

        ``split`` is the split's name in the source.
        """
        return pattern.format(lang=language, alias=self.languages[language].alias or language, split=split)

    def row_filter(self, source: Source, language: str) -> Keep | None:
        """Return the source's ``keep`` with its placeholders filled for a language; None if all rows are used."""
        if source.keep is None:
            return None
        patterns = {"equals": source.keep.equals, "prefix": source.keep.prefix}
        filled = {name: self.fill(pattern, language) for name, pattern in patterns.items() if pattern is not None}
        return source.keep.model_copy(update=filled)
