"""The publisher's YAML file of facts."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from xharness import strict_yaml
from xharness.checkpoints.heads import Phase
from xharness.errors import PublishError, SpecError
from xharness.publishing.card.prose import Licence
from xharness.strict_yaml import Strict

NONE = "none"
"""As ``base_model``: training began with random weights."""
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class GivenSet(Strict):
    """A training set of a checkpoint that xharness did not train."""

    name: str
    licence: str
    id: str | None = None
    rows: Annotated[int, Field(gt=0)] | None = None


class MlmText(GivenSet):
    """The text that masked language modelling went on with beside the tasks."""

    languages: list[str] = Field(min_length=1)


class Facts(Strict):
    """What only the publisher knows; see ``model_cards/README.md``.

    Attributes:
        developed_by, contact: who trained and publishes it, and how they are reached.
        base_model: id on the Hub of the checkpoint that training began with, or ``none`` for random weights.
        base_licence: its licence, as the Hub writes licences.
        base_note: what else is to be said of it.
        mlm_text: the text of masked language modelling, where there was some: its record has only a hash.
        watts: what the hardware of one process draws at most, where it is no GPU of ``tasks/gpus.yaml``; without a
            record, all of the hardware.
        licence: of the weights, in place of what the prose says.
        summary: what the checkpoint is, where no prose says it.
        phase, tasks, languages, training_data, recipe, seeds, hardware, seconds: only of a checkpoint that xharness did
            not train: what the record says of others.
    """

    developed_by: str | None = None
    contact: str | None = None
    base_model: str | None = None
    base_licence: str | None = None
    base_note: str | None = None
    mlm_text: MlmText | None = None
    watts: Positive | None = None
    licence: Licence | None = None
    summary: str | None = None
    phase: Phase | None = None
    tasks: list[str] = Field(default_factory=list)
    languages: list[str] = Field(default_factory=list)
    training_data: list[GivenSet] = Field(default_factory=list)
    recipe: str | None = None
    seeds: list[int] = Field(default_factory=list)
    hardware: str | None = None
    seconds: Positive | None = None


OF_RECORDS = ("phase", "tasks", "languages", "training_data", "recipe", "seeds", "hardware", "seconds")
_EXAMPLES = {
    "developed_by": "developed_by: <a person or group>",
    "base_model": "base_model: <org/name on the Hub, or none for random weights>",
    "base_licence": "base_licence: <as the Hub writes it, such as apache-2.0>",
    "base_note": "base_note: <what training began with, in a sentence>",
    "mlm_text": "mlm_text: {name: <name>, licence: <licence>, languages: [<codes>]}   # id (on the Hub) where known",
    "watts": "watts: <what the hardware draws at most, a number; with a training record, that of one process>",
    "licence": "licence:\n  id: <such as mit, or other with name and link beside it>\n  why: <a sentence>",
    "summary": "summary: <what it is and does, in a few sentences>",
    "phase": "phase: <intermediate or target>",
    "tasks": "tasks: [<names of the training sets>]",
    "languages": "languages: [<codes of what it was trained on>]",
    "training_data": "training_data:   # id (on the Hub) and rows where they are known\n"
    "  - {name: <name>, licence: <licence>, id: <org/name>, rows: <number>}",
    "recipe": "recipe: <learning rate, batch size, epochs ... in a sentence>",
    "seeds": "seeds: [<number>]",
    "hardware": "hardware: <how many of what>",
    "seconds": "seconds: <wall time of the training, a number>",
}
"""Field -> the line to fill in; what stands between angle brackets is never taken for a fact."""


@dataclass
class MissingFacts:
    """What keeps a checkpoint from having a card."""

    fields: dict[str, str] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    def refuse(self, repo: str, hint: str = "") -> None:
        """Raise PublishError with all of it, if there is any."""
        if not (self.fields or self.problems or hint):
            return
        lines = [f"{repo}: a card that is true and whole cannot be written yet." + hint, *self.problems]
        if self.fields:
            lines += [f"{name} is missing: {why}" for name, why in self.fields.items()]
            lines += ["Fill in these lines in a YAML file, and give it with --facts FILE:", ""]
            lines += [_EXAMPLES[name] for name in self.fields]
        raise PublishError("\n".join(lines))


def read_facts(path: Path) -> Facts:
    """Return the facts that a publisher wrote down.

    Raises:
        PublishError: the file is missing or wrong; names every wrong field.
    """
    try:
        content = strict_yaml.read(path)
        left = [f"{path.name}: {name}: '{text}' is still to be filled in." for name, text in _blanks(content)]
        if left:
            raise PublishError("\n".join(left))
        return strict_yaml.parse(Facts, content, path.name)
    except SpecError as error:
        raise PublishError(str(error)) from None


def _blanks(value: Any, place: str = "") -> Iterator[tuple[str, str]]:
    """Yield field and text of what nobody has filled in."""
    if isinstance(value, dict | list):
        inner = value.items() if isinstance(value, dict) else enumerate(value)
        for key, each in inner:
            yield from _blanks(each, f"{place}.{key}" if place else str(key))
    elif isinstance(value, str) and re.fullmatch(r"<[^<>]*>", value.strip()):
        yield place, value.strip()
