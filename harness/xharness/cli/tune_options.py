"""The options of `xharness eval --tune`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from xharness.cli.options import RECIPE, given_of, names


def _seeds(context: click.Context, option: click.Parameter, value: str | None) -> tuple[int, ...] | None:
    if value is None:
        return None
    parts = names(value) or []
    wrong = [part for part in parts if not part.isdecimal() or int(part) >= 2**32]
    if wrong or not parts:
        shown = f"'{wrong[0]}' is not a seed: " if wrong else ""
        raise click.BadParameter(f"{shown}give whole numbers from 0 separated by commas, such as 1,2,3.")
    return tuple(int(part) for part in parts)


def _also(context: click.Context, option: click.Parameter, value: str) -> tuple[str, ...]:
    return () if value == "none" else tuple(names(value) or [])


TUNING = [
    click.option(
        "--tune",
        is_flag=True,
        help="Fine-tune the checkpoint with a new head for each target that needs one, once per seed. Tuned checkpoints "
        "are kept in a cache. The options below say how.",
    ),
    click.option("--fresh-head", is_flag=True, help="Also tune for targets that the checkpoint's own head fits."),
    click.option(
        "--seeds", metavar="1,2,3", callback=_seeds, help="Train with each seed; report mean and standard deviation."
    ),
    click.option(
        "--tune-language",
        default="en",
        show_default=True,
        metavar="en|CODES|all",
        help="Languages to train on (native or machine-translated data, as the training set has it). Not zero-shot.",
    ),
    click.option(
        "--shots",
        type=click.IntRange(min=1),
        metavar="K",
        help="Train on K examples per language and label (or per language, without labels), drawn by the seed.",
    ),
    click.option(
        "--average-last",
        type=click.IntRange(min=1),
        default=3,
        show_default=True,
        metavar="K",
        help="How many of the last evaluated checkpoints are averaged.",
    ),
    click.option(
        "--also",
        default="last,average,target-dev",
        show_default=True,
        metavar="NAMES|none",
        callback=_also,
        help="Checkpoints to score beside the one selected on English development data; target-dev is the oracle.",
    ),
    click.option(
        "--tuned-dir",
        type=click.Path(path_type=Path),
        metavar="DIR",
        help="Folder for tuned checkpoints. Default: the cache (XHARNESS_CACHE).",
    ),
]


def with_tuning(command: Any) -> Any:
    """Add the options of `--tune` to a command."""
    for option in reversed(TUNING):
        command = option(command)
    return command


def tuning_of(context: click.Context, options: dict[str, Any]) -> dict[str, Any] | None:
    """Remove the options of `--tune` from a command's and return them; None without ``--tune``, which they need."""
    given = {name for name in options if context.get_parameter_source(name) is not click.core.ParameterSource.DEFAULT}
    own = {p.name: p.opts[-1] for p in context.command.params if p.name in _names_of(TUNING) | _names_of(RECIPE)}
    tuning = {str(name): options.pop(str(name)) for name in own}
    if not tuning.pop("tune"):
        if stray := sorted(given & own.keys()):
            raise click.UsageError(f"{own[stray[0]]} is an option of --tune: add --tune, or leave it out.", context)
        return None
    if tuning["seeds"] is not None and "seed" in given:
        raise click.UsageError("--seed and --seeds cannot be used together: give one of them.", context)
    tuning["seeds"] = tuning["seeds"] or (options["seed"],)
    tuning["languages"] = tuple(names(tuning.pop("tune_language")) or [])
    tuning["root"] = tuning.pop("tuned_dir")
    return {"given": given_of(tuning), **tuning}


def _names_of(decorators: list[Any]) -> set[str]:
    """Return the names of the parameters that decorators add."""

    def bare() -> None: ...

    for decorator in decorators:
        decorator(bare)
    return {str(parameter.name) for parameter in bare.__click_params__}  # type: ignore[attr-defined]
