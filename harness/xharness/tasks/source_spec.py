"""Where the data of a task comes from: a Hub repository or raw files, with the rows that belong to a language."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from xharness.errors import did_you_mean
from xharness.strict_yaml import Strict

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
"""``hub``: rows as on the Hub; the others are the original file formats of ``data.formats.READERS``."""


class Keep(Strict):
    """Which rows of a table that mixes languages belong to one: a column equals a value or starts with a prefix."""

    column: str
    equals: str | None = None
    prefix: str | None = None

    @model_validator(mode="after")
    def _one_of_two(self) -> Self:
        if (self.equals is None) == (self.prefix is None):
            raise ValueError("give either 'equals' or 'prefix'.")
        return self

    def matches(self, value: object) -> bool:
        """Return whether a row with this value in the column belongs to the language; placeholders are filled."""
        return value == self.equals if self.equals is not None else str(value).startswith(self.prefix or "")


class Download(Strict):
    """Where the files of a raw source are published: an archive (.tgz, .tar.bz2, .zip), or the file itself.

    ``url`` may contain ``{lang}``, ``{alias}`` and ``{split}``. At most one checksum; without one, the SHA-256 of the
    download is recorded but not verified.
    """

    url: str
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")] | None = None
    md5: Annotated[str, Field(pattern="^[0-9a-f]{32}$")] | None = None


class Source(Strict):
    """One place where the data of a task is available.

    ``config``, ``keep`` and ``raw`` may contain ``{lang}`` (the two-letter code) and ``{alias}`` (the name given in
    the language's line), ``raw`` also ``{split}`` (the split's name in this source) and ``*``. ``raw`` is a file below
    ``raw/`` beside or inside the data folder, in its original ``format``. Without ``{split}`` the file is read for
    every split of the task, so leave ``{split}`` out only if the task has one split.
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
    """The languages that this source has; None: all languages of the task."""

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
            raise ValueError(f"'repo' needs format hub, or one of the nested formats: {', '.join(nested)}.")
        if self.download is not None and self.raw is None:
            raise ValueError("download: only a 'raw' source is downloaded; a 'repo' is on the Hub.")
        return self

    @property
    def name(self) -> str:
        """The name of the source in results and messages."""
        return self.repo or f"raw/{self.raw}".replace("{", "<").replace("}", ">")


def source_problems(sources: Sequence[Source], where: str, languages: Collection[str]) -> list[str]:
    """Return what is wrong with the placeholders and languages of sources, one sentence each.

    Args:
        sources: of a task or of its candidates.
        where: the field that holds them, for messages (``sources``).
        languages: the codes of the task's languages.
    """
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
                problems.append(f"{where}.{i}.{field}: '{pattern}': only {allowed} are allowed in braces.")
        problems += [
            f"{where}.{i}.languages: '{code}' is not one of the languages.{did_you_mean(code, languages)}"
            for code in source.languages or ()
            if code not in languages
        ]
    return problems
