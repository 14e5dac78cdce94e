"""What targets and training sets share: data sources, columns, labels, languages and their counts."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, field_validator, model_validator

from xharness.errors import did_you_mean
from xharness.metrics import SCORE_KEYS
from xharness.metrics.classification import POSITIVE
from xharness.strict_yaml import Strict
from xharness.tasks.benchmarks import benchmarks
from xharness.tasks.inputs import Prompt
from xharness.tasks.languages import languages

Split = Literal["test", "dev", "train"]
Format = Literal[
    "hub",
    "squad_json",
    "tatoeba_lines",
    "panx_tsv",
    "conllu",
    "bucc_sentences",
    "bucc_english",
    "xquad_r_questions",
    "xquad_r_sentences",
    "mewsli_mentions",
    "mewsli_entities",
    "ccgbank",
]
"""``hub``: rows as they are on the Hub; the others are the original formats that `readers` knows."""
Count = Annotated[int, Field(ge=0)]
Positive = Annotated[int, Field(gt=0)]
HF_EVALUATE = "evaluate:"
ADDED_LATER: dict[str, dict[str, Any]] = {
    "": {"choice_list": None},
    "input": {"no_answer": False, "null_threshold": 0.0},
}
"""Place -> fields that are no part of the hash while they have these values, so that the results of specs that were
written before there were such fields stay theirs."""


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


class Download(Strict):
    """Where the files of a raw source are published: an archive (.tgz, .tar.bz2, .zip), or the file itself.

    ``url`` may hold ``{lang}``, ``{alias}`` and ``{split}``. At most one checksum; without one, what was
    received is written down and not proved.
    """

    url: str
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")] | None = None
    md5: Annotated[str, Field(pattern="^[0-9a-f]{32}$")] | None = None


class Source(Strict):
    """One place where the data of a task can be had.

    ``config``, ``keep`` and ``raw`` may hold ``{lang}`` (the two-letter code) and ``{alias}`` (the name that
    the language's line gives), ``raw`` also ``{split}`` (the split's name in this source) and ``*``. ``raw``
    is a file below ``raw/`` beside or inside the data folder, in its original ``format``; without ``{split}``
    it is read for every split that the task has, so leave it out only where the task has one.
    """

    repo: str | None = None
    revision: str | None = None
    config: str = "default"
    raw: str | None = None
    download: Download | None = None
    format: Format = "hub"
    splits: dict[Split, str] = Field(default_factory=dict)
    fields: dict[str, str] = Field(default_factory=dict)
    keep: Keep | None = None
    languages: list[str] | None = None
    """The languages that this source has; None: all of the task."""

    @model_validator(mode="after")
    def _repo_or_raw(self) -> Self:
        if (self.repo is None) == (self.raw is None):
            raise ValueError("give either 'repo' (a Hub data set) or 'raw' (a file as published).")
        if self.repo is not None and self.revision is None:
            raise ValueError("revision: field required beside 'repo' (a branch, or a sha if one is known).")
        nested = ("mewsli_mentions", "mewsli_entities")
        if self.raw is not None and self.format == "hub":
            raise ValueError("'raw' needs a 'format' other than hub.")
        if self.repo is not None and self.format not in ("hub", *nested):
            raise ValueError(f"'repo' needs format hub, or one of rows that are nested alike: {', '.join(nested)}.")
        if self.download is not None and self.raw is None:
            raise ValueError("download: only a 'raw' source is downloaded; a 'repo' is on the Hub.")
        return self

    @property
    def name(self) -> str:
        """What the source is called in results and messages."""
        return self.repo or f"raw/{self.raw}".replace("{", "<").replace("}", ">")


class TaskLanguage(Strict):
    """What is particular to one language of a task."""

    alias: str | None = None
    test: Count | None = None
    dev: Count | None = None
    train: Count | None = None
    zero_shot: bool = True
    only_in: list[str] | None = Field(default=None, alias="in")


class ChoiceList(Strict):
    """Where the choices of a row are, if they are one list and not each in a column of its own."""

    column: str
    """The column of the list; ``a.b`` is the list ``b`` inside the column ``a``."""
    names: str | None = None
    """The list beside it that holds the choices' names, if they have any: they are then put in the order of
    ``labels``. Without it the first choice is the first of the labels, and so on."""
    prefix: Prompt = ""
    """What is put before each choice."""


class CandidateSpec(Strict):
    """What the queries of a task are answered from: sentences or entities, with the ids that answers name."""

    sources: list[Source]
    fields: dict[Literal["id", "text", "answers"], str]
    """``answers``: ids of the queries that the candidate is right for, where the queries do not say so."""
    scope: Literal["language", "task"]
    """``language``: each language has candidates of its own; ``task``: those of all languages are one pool."""
    expected: dict[Literal["test", "dev"], Count | None]
    """Candidates in the whole pool (of one language, or of the task); null: not known for sure."""
    mean_characters: Positive
    """Mean characters of a candidate, for the plan's estimate of tokens."""


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
    metric_scores: list[str] = Field(default_factory=list)
    """Only for ``evaluate:`` metrics: which of their numbers enter the average."""
    metric_scale: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 1.0
    """Only for ``evaluate:`` metrics: the factor that makes percent of their numbers (100 for fractions)."""
    metric_options: dict[str, Any] = Field(default_factory=dict)
    """Only for ``evaluate:`` metrics: further arguments of their ``compute``."""
    choices: list[str] = Field(default_factory=list)
    """Multiple choice: the columns that hold the choices, in the order of ``labels``."""
    choice_list: ChoiceList | None = None
    """Multiple choice: in place of ``choices``, where the data has them as a list."""
    tag_precedence: dict[str, list[str]] = Field(default_factory=dict)
    """CoNLL-U: language (or ``default``) -> tags, the first of which a fused word gets where its parts are equally
    high in the tree."""
    mean_characters: Positive
    """Mean characters per example (both texts together), for the plan's estimate of tokens."""
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
        # `ar:` alone is a language with nothing particular.
        return {k: {} if v is None else v for k, v in value.items()} if isinstance(value, dict) else value

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        needed = () if self.is_composite else self.required_fields[self.kind]
        problems = [f"fields.{name}: field required." for name in needed if name not in self.fields]
        allowed = self.required_fields[self.kind] + self.optional_fields
        for place, fields in [
            ("fields", self.fields),
            *((f"sources.{i}.fields", s.fields) for i, s in enumerate(self.sources)),
        ]:
            problems += [f"{place}.{f}: no such field.{did_you_mean(f, allowed)}" for f in fields if f not in allowed]
        if self.kind in ("classification", "tagging", "multiple_choice") and not (self.labels or self.infers_labels):
            problems.append("labels: field required for this kind of task.")
        problems += self._metric_problems()
        if self.choice_list is not None and (self.choices or self.kind != "multiple_choice"):
            problems.append("choice_list: it stands in place of 'choices', for multiple choice only.")
        elif self.kind == "multiple_choice" and not self.choice_list and len(self.choices) != len(self.labels):
            problems.append(f"choices: found {len(self.choices)} columns for {len(self.labels)} labels; name one each.")
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
        problems = [f"{name}: only an 'evaluate:' metric has this." for name, value in own.items() if value]
        if self.metric not in known:
            problems.append(
                f"metric: found '{self.metric}', expected {' or '.join(known)} for this kind, or evaluate:<module>."
                f"{did_you_mean(self.metric, known)}"
            )
        if self.metric == "accuracy_f1" and (len(self.labels) != 2 or len(set(self.labels) & set(POSITIVE)) != 1):
            problems.append(f"metric: accuracy_f1 is for two labels, one of them {' or '.join(POSITIVE)}.")
        return problems

    def _source_problems(self) -> list[str]:
        problems = self.pattern_problems(self.sources, "sources")
        if not self.sources and not self.unavailable and not self.is_composite:
            problems.append("sources: name at least one source, or say why there is none in 'unavailable'.")
        if self.sources and self.sources[0].raw and not self.sources[0].download and not self.is_manual:
            problems.append(
                "sources.0: the first source is the one that is fetched, so it must be a 'repo' or have a 'download'."
            )
        return problems

    def pattern_problems(self, sources: Sequence[Source], where: str) -> list[str]:
        """Return what is wrong with the patterns and languages of some sources, as sentences."""
        problems = []
        for i, source in enumerate(sources):
            keep = source.keep or Keep(column="", prefix="")
            url = source.download.url if source.download else None
            patterns = {"config": source.config, "keep": keep.equals or keep.prefix}
            with_split = {"raw": source.raw, "download.url": url}
            for field, pattern in {**patterns, **with_split}.items():
                names = {"lang": "en", "alias": "eng", **({"split": "test"} if field in with_split else {})}
                try:
                    (pattern or "").format(**names)
                except (KeyError, IndexError, ValueError, AttributeError):
                    allowed = ", ".join(f"{{{name}}}" for name in list(names)[:-1]) + f" and {{{list(names)[-1]}}}"
                    problems.append(f"{where}.{i}.{field}: '{pattern}': only {allowed} can stand in braces.")
            problems += [
                f"{where}.{i}.languages: '{code}' is not one of the languages.{did_you_mean(code, self.languages)}"
                for code in source.languages or ()
                if code not in self.languages
            ]
        return problems

    @property
    def is_composite(self) -> bool:
        """Whether the examples are those of other specs, so that there is no source of its own."""
        return False

    @property
    def infers_labels(self) -> bool:
        """Whether the labels are not in the spec but are found in the data."""
        return False

    @property
    def is_manual(self) -> bool:
        """Whether the data cannot be fetched, and users lay it into the folder themselves."""
        return False

    @property
    def default_languages(self) -> list[str]:
        """The languages that are meant where none is named."""
        return list(self.languages)

    @property
    def hash(self) -> str:
        """The first 12 hex digits of a SHA-256 over the whole spec: changes when any number might."""
        content = self.model_dump(mode="json", by_alias=True)
        for place, fields in ADDED_LATER.items():
            record = content.get(place) if place else content
            for field, silent in fields.items():
                if isinstance(record, dict) and field in record and record[field] == silent:
                    del record[field]
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:12]

    @property
    def score_keys(self) -> tuple[str, ...]:
        """The names of the scores whose mean enters an average (``avg_metric`` in XTREME's evaluate.py)."""
        return tuple(self.metric_scores) or SCORE_KEYS[self.metric]

    def split_name(self, split: Split) -> str | None:
        """Return the name of a split in the data (``test`` -> ``validation``); None where there is no such split."""
        name: str | None = getattr(self, f"{split}_split", None)
        return name

    def expected_count(self, language: str, split: Split) -> int | None:
        """Return how many examples a complete split of this language has; None where that is not known for sure."""
        own: int | None = getattr(self.languages[language], split)
        return own if own is not None else getattr(self, "expected", {}).get(split)

    def fill(self, pattern: str, language: str, split: str = "") -> str:
        """Return a pattern of a source with ``{lang}``, ``{alias}`` and ``{split}`` replaced.

        ``split`` is the split's name in the source.
        """
        return pattern.format(lang=language, alias=self.languages[language].alias or language, split=split)

    def kept_rows(self, source: Source, language: str) -> Keep | None:
        """Return the source's ``keep`` with the language's own words in its pattern; None: all rows are kept."""
        if source.keep is None:
            return None
        patterns = {"equals": source.keep.equals, "prefix": source.keep.prefix}
        filled = {name: self.fill(pattern, language) for name, pattern in patterns.items() if pattern is not None}
        return source.keep.model_copy(update=filled)
