"""Prose of model cards, from `model_cards/*.yaml`."""

from __future__ import annotations

from functools import cache
from typing import Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from xharness import assets, strict_yaml
from xharness.errors import unknown
from xharness.strict_yaml import Strict

TUNED, ADOPTED, SEVERAL = "tuned", "adopted", "multitask"
"""Prose that belongs to no single training set: tuned for a target, not trained by xharness, multi-task training."""
BASE, TASKS, GIVEN, OTHER = "base", "tasks", "given", "other"
"""In place of a license's identifier: that of the base model; the strictest of the tasks; the one that the publisher
gives; a license without an identifier on the Hub."""
ENCODER = "encoder"
"""In place of a task kind, for a checkpoint without a head."""

_NEEDED = {
    ENCODER: {"text_a", "text_b"},
    "classification": {"text_a", "text_b"},
    "multiple_choice": {"text", "choices"},
    "span_qa": {"question", "context"},
    "tagging": {"words"},
}


class Licence(Strict):
    """The license of weights.

    Attributes:
        id: the Hub's identifier; or ``base``, ``tasks`` or ``given`` (see the constants).
        name, link: only for ``other``: its name in lower case with hyphens, and the address of its text.
        why: the reason, in a sentence.
    """

    id: str
    name: str | None = Field(default=None, pattern=r"^[a-z0-9][a-z0-9.-]*$")
    link: str | None = Field(default=None, pattern=r"^https?://\S+$")
    why: str

    @model_validator(mode="after")
    def _is_known(self) -> Self:
        problems = []
        if self.id not in (BASE, TASKS, GIVEN) and self.id not in licences():
            problems.append(f"id: {unknown('license', self.id, licences())} licences.yaml lists those of the Hub.")
        for field in ("name", "link"):
            if (self.id == OTHER) != (getattr(self, field) is not None):
                problems.append(f"{field}: {'field required' if self.id == OTHER else 'only'} beside the id 'other'.")
        if problems:
            raise ValueError("\n".join(problems))
        return self


class Prose(Strict):
    """The text of one type of checkpoint.

    Attributes:
        name: name of the file: a training set, ``multitask``, ``tuned`` or ``adopted``.
        title: what it was trained on, as part of a sentence.
        summary: what it is and does, in a few sentences; None if the publisher must say it.
        uses, limits: intended uses and limits, one sentence each.
        data: what the training data implies for the weights.
        licence: license of the weights.
        examples: task kind -> example inputs of the card's code.
        tags: additional tags.
    """

    name: str
    title: str
    summary: str | None = None
    uses: list[str] = Field(min_length=1)
    limits: list[str] = Field(min_length=1)
    data: str
    licence: Licence
    examples: dict[Literal["encoder", "classification", "multiple_choice", "span_qa", "tagging"], dict[str, Any]]
    tags: list[str]

    @field_validator("examples")
    @classmethod
    def _has_all_parts(cls, value: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
        problems = [
            f"{kind}: found {', '.join(example) or 'nothing'}, expected {' and '.join(sorted(_NEEDED[kind]))}."
            for kind, example in value.items()
            if set(example) != _NEEDED[kind]
        ]
        if problems:
            raise ValueError("\n".join(problems))
        return value


class _Licence(Strict):
    id: str
    title: str


class _Licences(Strict):
    licences: list[_Licence]


@cache
def licences() -> dict[str, str]:
    """Return the licenses that a card can name, the strictest last: identifier on the Hub -> title."""
    path = assets.MODEL_CARDS / "licences.yaml"
    parsed = strict_yaml.parse(_Licences, strict_yaml.read(path), path.name).licences
    return {licence.id: licence.title for licence in parsed}


@cache
def names() -> tuple[str, ...]:
    """Return the names of all prose files."""
    others = ("licences", "zoo")
    return tuple(sorted(p.stem for p in assets.MODEL_CARDS.glob("*.yaml") if p.stem not in others))


@cache
def load(name: str) -> Prose:
    """Return the prose of a training set, or ``multitask``, ``tuned`` or ``adopted``.

    Raises:
        UsageError: there is no prose of this name.
        SpecError: the file is invalid; names every wrong field.
    """
    if name not in names():
        raise unknown("prose for model cards", name, names())
    path = assets.MODEL_CARDS / f"{name}.yaml"
    return strict_yaml.parse(Prose, strict_yaml.read(path), path.name)
