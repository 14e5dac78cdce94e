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
    """The text of masked language modeling alongside the tasks."""

    languages: list[str] = Field(min_length=1)


class Facts(Strict):
    """Facts that only the publisher knows; see ``model_cards/README.md``.

    Attributes:
        developed_by, contact: who trained and publishes the checkpoint, and how to reach them.
        base_model: id of the base model on the Hub, or ``none`` for random weights.
        base_licence: its license, as the Hub's identifier.
        base_note: remark on the base model.
        mlm_text: text of masked language modeling, if any; the training record has only its hash.
        watts: maximum power of the hardware of one process in watts, if it is not a GPU of ``tasks/gpus.yaml``. Without
            a training record: of all the hardware.
        licence: license of the weights; overrides the prose.
        summary: what the checkpoint is, if no prose says it.
        phase, tasks, languages, training_data, recipe, seeds, hardware, seconds: only for a checkpoint that xharness
            did not train; otherwise the training record has them. ``seconds`` is the wall time of the training.
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


RECORDED_FIELDS = ("phase", "tasks", "languages", "training_data", "recipe", "seeds", "hardware", "seconds")
_TEMPLATE = {
    "developed_by": "developed_by: <a person or group>",
    "base_model": "base_model: <org/name on the Hub, or none for random weights>",
    "base_licence": "base_licence: <as the Hub writes it, such as apache-2.0>",
    "base_note": "base_note: <what training started from, in a sentence>",
    "mlm_text": "mlm_text: {name: <name>, licence: <license>, languages: [<codes>]}   # id (on the Hub) if known",
    "watts": "watts: <maximum power of the hardware, a number; with a training record, that of one process>",
    "licence": "licence:\n  id: <such as mit, or other with name and link beside it>\n  why: <a sentence>",
    "summary": "summary: <what it is and does, in a few sentences>",
    "phase": "phase: <intermediate or target>",
    "tasks": "tasks: [<names of the training sets>]",
    "languages": "languages: [<codes of the training languages>]",
    "training_data": "training_data:   # id (on the Hub) and rows if known\n"
    "  - {name: <name>, licence: <license>, id: <org/name>, rows: <number>}",
    "recipe": "recipe: <learning rate, batch size, epochs ... in a sentence>",
    "seeds": "seeds: [<number>]",
    "hardware": "hardware: <number and type of devices>",
    "seconds": "seconds: <wall time of the training, a number>",
}
"""Field -> the line to fill in. Text in angle brackets is a placeholder and never accepted as a fact."""


@dataclass
class MissingFacts:
    """Everything that prevents a card: field -> why it is needed, and other problems."""

    fields: dict[str, str] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    def raise_if_any(self, repo: str, hint: str = "") -> None:
        """Raise PublishError with all missing facts and problems, if there are any."""
        if not (self.fields or self.problems or hint):
            return
        lines = [f"{repo}: the card is not complete yet." + hint, *self.problems]
        if self.fields:
            lines += [f"{name} is missing: {why}" for name, why in self.fields.items()]
            lines += ["Fill in these lines in a YAML file and pass it with --facts FILE:", ""]
            lines += [_TEMPLATE[name] for name in self.fields]
        raise PublishError("\n".join(lines))


def read_facts(path: Path) -> Facts:
    """Read the publisher's file of facts.

    Raises:
        PublishError: the file is missing or wrong; names every wrong field.
    """
    try:
        content = strict_yaml.read(path)
        problems = [f"{path.name}: {name}: '{text}' is not filled in yet." for name, text in _unfilled(content)]
        if problems:
            raise PublishError("\n".join(problems))
        return strict_yaml.parse(Facts, content, path.name)
    except SpecError as error:
        raise PublishError(str(error)) from None


def _unfilled(value: Any, field: str = "") -> Iterator[tuple[str, str]]:
    """Yield field and text of every placeholder."""
    if isinstance(value, dict | list):
        items = value.items() if isinstance(value, dict) else enumerate(value)
        for key, item in items:
            yield from _unfilled(item, f"{field}.{key}" if field else str(key))
    elif isinstance(value, str) and re.fullmatch(r"<[^<>]*>", value.strip()):
        yield field, value.strip()
