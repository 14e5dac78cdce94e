"""Options and output helpers that several commands share."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import click

from xharness.errors import Incomplete, UsageError

DEFAULT_RECIPE = "jiant"
"""Equal to `xharness.tasks.recipes.DEFAULT`, which ``--help`` must not wait for."""

DATA_DIR = click.option(
    "--data-dir",
    type=click.Path(path_type=Path),
    envvar="XHARNESS_DATA_DIR",
    show_envvar=True,
    help="Read data from this folder, laid out like the Hub (DIR/<org>/<name>/...). For machines without a network.",
)
AS_JSON = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
LANGUAGES = click.option(
    "--languages", metavar="de,sw,...", help="Language codes, separated by commas. Default: all of each target."
)
RECIPE = [
    click.option(
        "--recipe",
        default=DEFAULT_RECIPE,
        show_default=True,
        metavar="NAME|FILE",
        help="Hyperparameters: jiant (the authors of the method), xtreme (the benchmark's scripts) or a YAML file.",
    ),
    click.option("--learning-rate", type=float, metavar="RATE", help="Override the recipe's peak learning rate."),
    click.option("--epochs", type=float, metavar="N", help="Override the recipe's number of epochs."),
    click.option("--batch-size", type=click.IntRange(min=1), metavar="N", help="Examples per optimizer step."),
    click.option("--max-length", type=click.IntRange(min=8), metavar="N", help="Maximum tokens per sequence."),
    click.option(
        "--warmup",
        type=click.FloatRange(min=0),
        metavar="X",
        help="Warmup, as a share of all steps (below 1) or as a number of steps.",
    ),
    click.option(
        "--eval-every",
        type=click.IntRange(min=1),
        metavar="N",
        help="Optimizer steps between evaluations on development data.",
    ),
    click.option(
        "--eval-examples",
        type=click.IntRange(min=1),
        metavar="N",
        help="Maximum examples of each development set per evaluation.",
    ),
    click.option("--max-steps", type=click.IntRange(min=1), metavar="N", help="Stop after N optimizer steps."),
    click.option(
        "--train-n",
        type=click.IntRange(min=1),
        metavar="N",
        help="Train on N examples, drawn by the seed.",
    ),
    click.option(
        "--lora", type=click.IntRange(min=1), metavar="RANK", help="Train low-rank adapters (LoRA) and merge them."
    ),
    click.option("--gradient-checkpointing", is_flag=True, help="Use less memory and more time."),
]
RECIPE_SETTINGS = ("learning_rate", "epochs", "batch_size", "max_length", "warmup", "eval_every", "eval_examples")
"""Options that override a setting of the recipe."""


def add_options(options: Sequence[Callable[[Any], Any]]) -> Callable[[Any], Any]:
    """Return a decorator that adds several options to a command, shown in this order."""

    def add(command: Any) -> Any:
        for option in reversed(options):
            command = option(command)
        return command

    return add


def split_names(value: str | None) -> list[str] | None:
    """Split the value of an option at its commas; None if the option was not given."""
    return None if value is None else [part.strip() for part in value.split(",") if part.strip()]


def say(sentence: str) -> None:
    """Print a message on stderr."""
    click.echo(sentence, err=True)


def print_json(content: Any) -> None:
    """Print data as JSON on stdout."""
    click.echo(json.dumps(content, ensure_ascii=False, indent=2))


def print_results(results: Any, name: str, as_json: bool) -> None:
    """Print ``Results`` as JSON, or as a table that calls them ``name``."""
    from xharness.results import tables as results_tables

    if as_json:
        print_json(results.to_json())
    else:
        click.echo(results_tables.tables([(name, results)]))


def fail_if_incomplete(failures: Sequence[str]) -> None:
    """Raise Incomplete that lists all ``failures``, if there are any."""
    if failures:
        listed = "\n".join(f"  {line}" for line in failures)
        raise Incomplete(f"{len(failures)} of the requested scores are missing:\n{listed}")


def pop_recipe_settings(options: dict[str, Any]) -> dict[str, Any]:
    """Remove the overrides of the recipe's settings from a command's options, and return those that were given."""
    overrides = {name: options.pop(name) for name in RECIPE_SETTINGS}
    return {name: value for name, value in overrides.items() if value is not None}


def require_accelerate() -> None:
    """Raise UsageError if accelerate, which training needs, is not installed."""
    if find_spec("accelerate") is None:
        raise UsageError("Training needs the package accelerate: pip install 'xharness[train]'.")
