"""Options of `xharness eval --tune`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from xharness.cli.options import RECIPE, pop_recipe_settings, split_names


def _seeds(context: click.Context, option: click.Parameter, value: str | None) -> tuple[int, ...] | None:
    if value is None:
        return None
    parts = split_names(value) or []
    wrong = [part for part in parts if not part.isdecimal() or int(part) >= 2**32]
    if wrong or not parts:
        shown = f"'{wrong[0]}' is not a seed. " if wrong else ""
        raise click.BadParameter(f"{shown}Give whole numbers from 0, separated by commas, such as 1,2,3.")
    return tuple(int(part) for part in parts)


def _also(context: click.Context, option: click.Parameter, value: str) -> tuple[str, ...]:
    return () if value == "none" else tuple(split_names(value) or [])


TUNE = [
    click.option(
        "--tune",
        is_flag=True,
        help="Fine-tune the encoder with a new head for each target that needs one, once per seed. Tuned checkpoints "
        "are cached and reused. The options below configure it.",
    ),
    click.option("--fresh-head", is_flag=True, help="Tune also for targets that a head of the checkpoint fits."),
    click.option(
        "--seeds", metavar="1,2,3", callback=_seeds, help="Tune once per seed; report mean and standard deviation."
    ),
    click.option(
        "--tune-language",
        default="en",
        show_default=True,
        metavar="en|CODES|all",
        help="Languages to train on, with the native or machine-translated data of the training set. Anything but "
        "English is not zero-shot.",
    ),
    click.option(
        "--shots",
        type=click.IntRange(min=1),
        metavar="K",
        help="Train on K examples per language and label (per language if there are no labels), drawn by the seed.",
    ),
    click.option(
        "--average-last",
        type=click.IntRange(min=1),
        default=3,
        show_default=True,
        metavar="K",
        help="Model averaging: how many of the last evaluated checkpoints to average.",
    ),
    click.option(
        "--also",
        default="last,average,target-dev",
        show_default=True,
        metavar="NAMES|none",
        callback=_also,
        help="Checkpoint selections to score besides the one on English development data. target-dev is an oracle.",
    ),
    click.option(
        "--tuned-dir",
        type=click.Path(path_type=Path),
        metavar="DIR",
        help="Store tuned checkpoints in this folder instead of the cache (XHARNESS_CACHE).",
    ),
]


def pop_tune_options(context: click.Context, options: dict[str, Any]) -> dict[str, Any] | None:
    """Remove the options of ``--tune`` and of the recipe from those of ``eval``, and return them.

    Without ``--tune``, return None; none of them may be given then.
    """
    given = {name for name in options if context.get_parameter_source(name) is not click.core.ParameterSource.DEFAULT}
    flags = {p.name: p.opts[-1] for p in context.command.params if p.name in _names_of(TUNE) | _names_of(RECIPE)}
    tune_options = {str(name): options.pop(str(name)) for name in flags}
    if not tune_options.pop("tune"):
        if stray := sorted(given & flags.keys()):
            raise click.UsageError(f"{flags[stray[0]]} needs --tune. Add --tune, or leave it out.", context)
        return None
    if tune_options["seeds"] is not None and "seed" in given:
        raise click.UsageError("--seed and --seeds cannot be used together. Give one of them.", context)
    tune_options["seeds"] = tune_options["seeds"] or (options["seed"],)
    tune_options["languages"] = tuple(split_names(tune_options.pop("tune_language")) or [])
    tune_options["root"] = tune_options.pop("tuned_dir")
    return {"given": pop_recipe_settings(tune_options), **tune_options}


def _names_of(decorators: list[Any]) -> set[str]:
    """Return the names of the parameters that decorators add."""

    def bare() -> None: ...

    for decorator in decorators:
        decorator(bare)
    return {str(parameter.name) for parameter in bare.__click_params__}  # type: ignore[attr-defined]
