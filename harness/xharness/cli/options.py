"""Options and output helpers shared by the commands."""

from __future__ import annotations

import json
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import click

from xharness.errors import Incomplete, UsageError

DATA_DIR = click.option(
    "--data-dir",
    type=click.Path(path_type=Path),
    envvar="XHARNESS_DATA_DIR",
    help="Folder laid out like the Hub (DIR/<org>/<name>/...), for machines without network. "
    "Also read from XHARNESS_DATA_DIR.",
)
AS_JSON = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
LANGUAGES = click.option(
    "--languages", metavar="de,sw,...", help="Language codes. Default: all languages of each target."
)
DEFAULT_RECIPE = "jiant"
"""As `tasks.recipes.DEFAULT`, which would import pydantic here."""
RECIPE = [
    click.option(
        "--recipe",
        default=DEFAULT_RECIPE,
        show_default=True,
        metavar="NAME|FILE",
        help="Hyperparameters: jiant (the authors of the method), xtreme (the benchmark's scripts), or a YAML file.",
    ),
    click.option("--learning-rate", type=float, metavar="RATE", help="Overrides the recipe."),
    click.option("--epochs", type=float, metavar="N", help="Overrides the recipe."),
    click.option("--batch-size", type=click.IntRange(min=1), metavar="N", help="Examples per optimizer step."),
    click.option("--max-length", type=click.IntRange(min=8), metavar="N", help="Tokens per sequence."),
    click.option(
        "--warmup",
        type=click.FloatRange(min=0),
        metavar="X",
        help="Warm-up: a fraction of all steps (below 1), or a number of steps.",
    ),
    click.option("--eval-every", type=click.IntRange(min=1), metavar="N", help="Steps between two evaluations."),
    click.option(
        "--eval-examples",
        type=click.IntRange(min=1),
        metavar="N",
        help="Examples of each development set that are scored at an evaluation.",
    ),
    click.option("--max-steps", type=click.IntRange(min=1), metavar="N", help="Stop after N optimizer steps."),
    click.option(
        "--train-n",
        type=click.IntRange(min=1),
        metavar="N",
        help="Train on N examples, sampled by the seed.",
    ),
    click.option(
        "--lora", type=click.IntRange(min=1), metavar="RANK", help="Train LoRA adapters of this rank and merge them."
    ),
    click.option("--gradient-checkpointing", is_flag=True, help="Use less memory for more time."),
]
GIVEN = ("learning_rate", "epochs", "batch_size", "max_length", "warmup", "eval_every", "eval_examples")
"""Options that override a recipe's settings."""


def names(value: str | None) -> list[str] | None:
    """Return the names of a comma-separated option; None if it was not given."""
    return None if value is None else [part.strip() for part in value.split(",") if part.strip()]


def say(sentence: str) -> None:
    """Print a message to stderr."""
    click.echo(sentence, err=True)


def print_json(content: Any) -> None:
    """Print JSON to stdout."""
    click.echo(json.dumps(content, ensure_ascii=False, indent=2))


def show(results: Any, name: str, as_json: bool) -> None:
    """Print ``Results`` as JSON, or as a table titled ``name``."""
    from xharness.results import tables as results_tables

    if as_json:
        print_json(results.to_json())
    else:
        click.echo(results_tables.tables([(name, results)]))


def fail_if_incomplete(failures: Sequence[str]) -> None:
    """Raise Incomplete if there are ``failures``."""
    if failures:
        listed = "\n".join(f"  {line}" for line in failures)
        raise Incomplete(f"{len(failures)} of the requested scores are missing:\n{listed}")


def with_recipe(command: Any) -> Any:
    """Add the recipe options to a command."""
    for option in reversed(RECIPE):
        command = option(command)
    return command


def given_of(options: dict[str, Any]) -> dict[str, Any]:
    """Remove the recipe options from a command's and return those that the user gave."""
    values = {name: options.pop(name) for name in GIVEN}
    return {name: value for name, value in values.items() if value is not None}


def needs_accelerate() -> None:
    """Raise UsageError if accelerate is not installed."""
    if find_spec("accelerate") is None:
        raise UsageError("Training needs the package accelerate: pip install 'xharness[train]'.")
