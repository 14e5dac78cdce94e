"""The options and ways of printing that commands share."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from xharness.errors import Incomplete

DATA_DIR = click.option(
    "--data-dir",
    type=click.Path(path_type=Path),
    envvar="XHARNESS_DATA_DIR",
    help="Folder laid out like the Hub (DIR/<org>/<name>/...), for machines without network. "
    "Also from XHARNESS_DATA_DIR.",
)
AS_JSON = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
LANGUAGES = click.option("--languages", metavar="de,sw,...", help="Two-letter codes; all of each target if not given.")


def names(value: str | None) -> list[str] | None:
    """Return the names of an option that takes several with commas between; None where it was not given."""
    return None if value is None else [part.strip() for part in value.split(",") if part.strip()]


def say(sentence: str) -> None:
    """Print a message, on stderr."""
    click.echo(sentence, err=True)


def print_json(content: Any) -> None:
    """Print data for machines, on stdout."""
    click.echo(json.dumps(content, ensure_ascii=False, indent=2))


def show(found: Any, name: str, as_json: bool) -> None:
    """Print ``Results`` as JSON or as a table in which they are called ``name``."""
    from xharness.results import tables as report

    if as_json:
        print_json(found.to_json())
    else:
        click.echo(report.tables([(name, found)]))


def fail_if_incomplete(failures: Sequence[str]) -> None:
    """Raise Incomplete with all ``failures``, if there are any."""
    if failures:
        listed = "\n".join(f"  {line}" for line in failures)
        raise Incomplete(f"{len(failures)} of the scores that were asked for are missing:\n{listed}")
