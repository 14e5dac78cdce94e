"""Language metadata: name, family, script and resource level."""

from __future__ import annotations

from functools import cache
from typing import Annotated

from pydantic import Field

from xharness import assets, strict_yaml
from xharness.strict_yaml import Strict

Count = Annotated[int, Field(ge=0)]


class Language(Strict):
    """Metadata of a language, used to break results down."""

    name: str
    family: str
    script: str
    cc100_mtokens: Annotated[float, Field(ge=0)] | None
    cc100_gib: Annotated[float, Field(ge=0)] | None
    wikipedia_articles_k: Count | None
    wikipedia_mib: Count | None
    in_mbert: bool | None
    joshi_class: Annotated[int, Field(ge=0, le=5)] | None


class _LanguageFile(Strict):
    source: str
    languages: dict[str, Language]


@cache
def languages() -> dict[str, Language]:
    """Return the languages of ``tasks/languages.yaml`` by two-letter code."""
    path = assets.TASKS / "languages.yaml"
    return strict_yaml.parse(_LanguageFile, strict_yaml.read(path), path.name).languages
