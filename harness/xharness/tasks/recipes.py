"""Training recipes: hyperparameters by task, each with its source."""

from __future__ import annotations

import hashlib
import json
import re
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, create_model, model_validator

from xharness import assets, strict_yaml
from xharness.errors import SpecError, UsageError, did_you_mean, unknown
from xharness.strict_yaml import Strict
from xharness.tasks.registry import list_training
from xharness.tasks.task_spec import TrainingSpec

DEFAULT = "jiant"
"""The recipe of the method's authors."""
TUNING_LANGUAGES = ("en",)
"""The languages that `eval --tune` trains heads on, unless told otherwise."""
TUNING_AVERAGE_LAST = 3
"""The states that `eval --tune` averages, unless told otherwise."""
OURS = "ours"
"""Origin of a value that the source of a recipe does not give."""
GIVEN = "given"
"""Origin of a value that the user gave."""

Kind = Literal["classification", "multiple_choice", "tagging", "span_qa"]
_KINDS: tuple[Kind, ...] = ("classification", "multiple_choice", "tagging", "span_qa")


def _number(value: Any) -> Any:
    # YAML 1.1 takes 1e-5 for text, and 1.0e-5 for a number.
    if isinstance(value, str) and re.fullmatch(r"\d+[eE][+-]?\d+", value):
        raise ValueError(f"YAML reads {value} as text; write {re.sub('[eE]', '.0e', value)}.")
    return value


Count = Annotated[int, Field(gt=0)]
Above = Annotated[float, BeforeValidator(_number), Field(gt=0, allow_inf_nan=False)]
NotBelow = Annotated[float, BeforeValidator(_number), Field(ge=0, allow_inf_nan=False)]


class Values(Strict):
    """All that is set for the training of one task."""

    learning_rate: Above
    """The highest, at the end of the warm-up."""
    batch_size: Count
    """Examples per optimizer step."""
    epochs: Above
    warmup: NotBelow
    """Below 1 a share of all steps, else steps."""
    schedule: Literal["linear"]
    """``linear``: after the warm-up the rate falls evenly, to 0 at the last step."""
    weight_decay: NotBelow
    """Of AdamW; biases and LayerNorm have none."""
    adam_epsilon: Above
    max_grad_norm: Above
    """Gradients that are longer are made this long."""
    max_length: Count
    """Tokens of a row, special tokens among them."""
    eval_every: Count
    """Steps from one evaluation to the next."""
    eval_examples: Count | None
    """Development examples that every evaluation sees, each time the same; None: all."""
    patience: Count | None
    """Evaluations without gain after which training ends; None: it goes on to the last step."""


# What a recipe says of some tasks: any of the values, and null only where it means something.
_some: dict[str, Any] = {name: (field.rebuild_annotation(), None) for name, field in Values.model_fields.items()}
_Part: Any = create_model("_Part", __base__=Strict, ours=(list[str], []), **_some)


class Settings(Values):
    """What training one task by one recipe means, and where each value is from."""

    recipe: str
    origins: dict[str, str]
    """Value -> the recipe's name where its source says so, ``ours`` where it does not, ``given`` by the user."""

    @property
    def values(self) -> dict[str, Any]:
        """The values by name, without where they are from."""
        return {name: getattr(self, name) for name in Values.model_fields}

    @property
    def hash(self) -> str:
        """The first 12 hex digits of a SHA-256 over the values: the same values are the same training."""
        return hashlib.sha256(json.dumps(self.values, sort_keys=True).encode()).hexdigest()[:12]

    @property
    def lines(self) -> list[tuple[str, str, str]]:
        """The values as they are shown: (name, value, where it is from)."""
        return [(name, "none" if v is None else str(v), self.origins[name]) for name, v in self.values.items()]


class Recipe(Strict):
    """A recipe as its YAML file says it: values for all tasks, for those of a kind, and for single ones.

    What is said of fewer tasks counts more. ``ours`` in a part names the values that the source does not give.
    """

    name: str
    title: str
    source: str
    """Where the values that are not ``ours`` are read."""
    default: _Part
    kinds: dict[Kind, _Part] = Field(default_factory=dict)
    tasks: dict[str, _Part] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _says_all(self) -> Self:
        parts = {"default": self.default}
        parts |= {f"kinds.{kind}": part for kind, part in self.kinds.items()}
        parts |= {f"tasks.{task}": part for task, part in self.tasks.items()}
        problems = [
            f"{place}.ours: '{name}' is not set here.{did_you_mean(name, part.model_fields_set - {'ours'})}"
            for place, part in parts.items()
            for name in part.ours
            if name not in part.model_fields_set - {"ours"}
        ]
        known = list_training()
        problems += [
            f"tasks.{task}: no training set is named so.{did_you_mean(task, known)}"
            for task in self.tasks
            if task not in known
        ]
        given = {kind: self.kinds[kind].model_fields_set if kind in self.kinds else set() for kind in _KINDS}
        for name in Values.model_fields:
            without = [kind for kind in _KINDS if name not in given[kind] | self.default.model_fields_set]
            if without:
                problems.append(f"default.{name}: field required, as it is not set for {', '.join(without)}.")
        if problems:
            raise ValueError("\n".join(problems))
        return self

    def settings(self, spec: TrainingSpec, **given: Any) -> Settings:
        """Return what training a task by this recipe means.

        Args:
            spec: the task.
            given: values that the user wants instead; None is a value too, where it means something.

        Raises:
            UsageError: there is no such value, or it cannot be that.
        """
        if wrong := sorted(given.keys() - Values.model_fields.keys()):
            hint = did_you_mean(wrong[0], Values.model_fields) or f" Known: {', '.join(Values.model_fields)}."
            raise UsageError(f"A recipe has no setting '{wrong[0]}'.{hint}")
        values: dict[str, Any] = {}
        origins: dict[str, str] = {}
        of_kind, of_task = self.kinds.get(spec.kind), self.tasks.get(spec.name)
        for part in (self.default, of_kind, of_task):
            said = part.model_dump(exclude_unset=True) if part is not None else {}
            ours = said.pop("ours", [])
            values |= said
            origins |= {name: OURS if name in ours else self.name for name in said}
        values |= given
        origins |= dict.fromkeys(given, GIVEN)
        try:
            return strict_yaml.parse(Settings, {**values, "recipe": self.name, "origins": origins}, spec.name)
        except SpecError as error:
            raise UsageError(str(error)) from None


@cache
def list_recipes() -> tuple[str, ...]:
    """Return the names of the recipes that this version ships."""
    return tuple(sorted(path.stem for path in (assets.TASKS / "recipes").glob("*.yaml")))


@cache
def load_recipe(name: str = DEFAULT) -> Recipe:
    """Return a recipe by name, or from the path of a YAML file of the user's own.

    Raises:
        UsageError: no recipe has this name.
        SpecError: the file is wrong; says all its problems.

    >>> load_recipe().title
    "jiant's XTREME guide"
    """
    own = name.endswith((".yaml", ".yml"))
    path = Path(name) if own else assets.TASKS / "recipes" / f"{name}.yaml"
    if not own and name not in list_recipes():
        raise unknown("recipe", name, list_recipes())
    recipe = strict_yaml.parse(Recipe, strict_yaml.read(path), path.name)
    if recipe.name in (OURS, GIVEN) or recipe.name != path.stem:
        expected = f"'{path.stem}' as the file is called" if path.stem not in (OURS, GIVEN) else "another name"
        raise SpecError(f"{path.name}: name: found '{recipe.name}', expected {expected}.")
    return recipe
