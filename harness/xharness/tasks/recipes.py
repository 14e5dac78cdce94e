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
"""The recipe of the authors of the method."""
TUNING_LANGUAGES = ("en",)
"""The languages that `eval --tune` trains heads on by default."""
TUNING_AVERAGE_LAST = 3
"""The number of checkpoints that `eval --tune` averages by default."""
OURS = "ours"
"""Origin of a value that is missing in the source of a recipe."""
GIVEN = "given"
"""Origin of a value set by the user."""

Kind = Literal["classification", "multiple_choice", "tagging", "span_qa"]
_KINDS: tuple[Kind, ...] = ("classification", "multiple_choice", "tagging", "span_qa")


def _number(value: Any) -> Any:
    # YAML 1.1 reads 1e-5 as text, and 1.0e-5 as a number.
    if isinstance(value, str) and re.fullmatch(r"\d+[eE][+-]?\d+", value):
        raise ValueError(f"YAML reads {value} as text; write {re.sub('[eE]', '.0e', value)}.")
    return value


Count = Annotated[int, Field(gt=0)]
PositiveNumber = Annotated[float, BeforeValidator(_number), Field(gt=0, allow_inf_nan=False)]
NonNegativeNumber = Annotated[float, BeforeValidator(_number), Field(ge=0, allow_inf_nan=False)]


class Values(Strict):
    """The hyperparameters for training on one task."""

    learning_rate: PositiveNumber
    """The peak, at the end of the warmup."""
    batch_size: Count
    """Examples per optimizer step."""
    epochs: PositiveNumber
    warmup: NonNegativeNumber
    """Below 1 a fraction of all steps, otherwise a number of steps."""
    schedule: Literal["linear"]
    """``linear``: after the warmup the learning rate decays linearly to 0 at the last step."""
    weight_decay: NonNegativeNumber
    """Of AdamW; not applied to biases and LayerNorm."""
    adam_epsilon: PositiveNumber
    max_grad_norm: PositiveNumber
    """Gradients with a larger norm are clipped to it."""
    max_length: Count
    """Tokens per input, including special tokens."""
    eval_every: Count
    """Steps between two evaluations."""
    eval_examples: Count | None
    """Development examples per evaluation, always the same ones; None: all."""
    patience: Count | None
    """Evaluations without improvement after which training stops; None: train to the last step."""


# What a recipe sets for some tasks: any of the values; null only where None has a meaning.
_some: dict[str, Any] = {name: (field.rebuild_annotation(), None) for name, field in Values.model_fields.items()}
_Part: Any = create_model("_Part", __base__=Strict, ours=(list[str], []), **_some)


class Settings(Values):
    """The hyperparameters for one task by one recipe, with the origin of each value."""

    recipe: str
    origins: dict[str, str]
    """Value -> its origin: the recipe's name (its source gives the value), ``ours``, or ``given`` (by the user)."""

    @property
    def values(self) -> dict[str, Any]:
        """The values by name, without their origins."""
        return {name: getattr(self, name) for name in Values.model_fields}

    @property
    def hash(self) -> str:
        """The first 12 hex digits of a SHA-256 over the values."""
        return hashlib.sha256(json.dumps(self.values, sort_keys=True).encode()).hexdigest()[:12]

    @property
    def lines(self) -> list[tuple[str, str, str]]:
        """The values as shown to the user: (name, value, origin)."""
        return [(name, "none" if v is None else str(v), self.origins[name]) for name, v in self.values.items()]


class Recipe(Strict):
    """A recipe as in its YAML file: values for all tasks, for the tasks of a kind, and for single tasks.

    The more specific value wins. ``ours`` lists the values of a part that the source does not give.
    """

    name: str
    title: str
    source: str
    """Where the values that are not ``ours`` come from."""
    default: _Part
    kinds: dict[Kind, _Part] = Field(default_factory=dict)
    tasks: dict[str, _Part] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _is_complete(self) -> Self:
        parts = {"default": self.default}
        parts |= {f"kinds.{kind}": part for kind, part in self.kinds.items()}
        parts |= {f"tasks.{task}": part for task, part in self.tasks.items()}
        problems = [
            f"{field}.ours: '{name}' is not set here.{did_you_mean(name, part.model_fields_set - {'ours'})}"
            for field, part in parts.items()
            for name in part.ours
            if name not in part.model_fields_set - {"ours"}
        ]
        known = list_training()
        problems += [
            f"tasks.{task}: no training set has this name.{did_you_mean(task, known)}"
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
        """Return the hyperparameters of a task by this recipe.

        Args:
            spec: the task.
            given: values that the user sets instead; None is a value too, where it has a meaning.

        Raises:
            UsageError: a value is unknown, or outside its range.
        """
        if wrong := sorted(given.keys() - Values.model_fields.keys()):
            hint = did_you_mean(wrong[0], Values.model_fields) or f" Known: {', '.join(Values.model_fields)}."
            raise UsageError(f"A recipe has no setting '{wrong[0]}'.{hint}")
        values: dict[str, Any] = {}
        origins: dict[str, str] = {}
        of_kind, of_task = self.kinds.get(spec.kind), self.tasks.get(spec.name)
        for part in (self.default, of_kind, of_task):
            part_values = part.model_dump(exclude_unset=True) if part is not None else {}
            ours = part_values.pop("ours", [])
            values |= part_values
            origins |= {name: OURS if name in ours else self.name for name in part_values}
        values |= given
        origins |= dict.fromkeys(given, GIVEN)
        try:
            return strict_yaml.parse(Settings, {**values, "recipe": self.name, "origins": origins}, spec.name)
        except SpecError as error:
            raise UsageError(str(error)) from None


@cache
def list_recipes() -> tuple[str, ...]:
    """Return the names of the recipes that ship with this version."""
    return tuple(sorted(path.stem for path in (assets.TASKS / "recipes").glob("*.yaml")))


@cache
def load_recipe(name: str = DEFAULT) -> Recipe:
    """Return a recipe by name, or from the path of the user's own YAML file.

    Raises:
        UsageError: no recipe has this name.
        SpecError: the file is invalid; the message lists all its problems.

    >>> load_recipe().title
    "jiant's XTREME guide"
    """
    is_path = name.endswith((".yaml", ".yml"))
    path = Path(name) if is_path else assets.TASKS / "recipes" / f"{name}.yaml"
    if not is_path and name not in list_recipes():
        raise unknown("recipe", name, list_recipes())
    recipe = strict_yaml.parse(Recipe, strict_yaml.read(path), path.name)
    if recipe.name in (OURS, GIVEN) or recipe.name != path.stem:
        expected = f"'{path.stem}' as the file is called" if path.stem not in (OURS, GIVEN) else "another name"
        raise SpecError(f"{path.name}: name: found '{recipe.name}', expected {expected}.")
    return recipe
