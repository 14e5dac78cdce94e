"""`xharness score`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from xharness.cli.options import AS_JSON, DATA_DIR, LANGUAGES, fail_if_incomplete, names, show


@click.command()
@click.argument("folder", metavar="DIR|RUN", type=click.Path(path_type=Path))
@click.option(
    "--targets",
    metavar="NAMES",
    help="Tasks to score; a benchmark's name adds its overall average. Default: all in the folder.",
)
@LANGUAGES
@click.option("--split", type=click.Choice(["test", "dev"]), help="Default: the split of the run, else test.")
@DATA_DIR
@AS_JSON
def score(
    folder: Path, targets: str | None, languages: str | None, split: Any, data_dir: Path | None, as_json: bool
) -> None:
    """Score the predictions of any system against gold data, without a model and without torch.

    DIR has XTREME's submission layout, <task>/test-<xx>.<ext>; RUN is a run folder written by eval.

    \b
    xharness score predictions/ --targets xtreme
    xharness score results/org__xlmr-squad/0123456789ab/ba9876543210/seed0 --json
    """
    from xharness.results import scoring

    results = scoring.score(folder, targets=names(targets), languages=names(languages), split=split, data_dir=data_dir)
    show(results, str(folder), as_json)
    fail_if_incomplete(results.provenance["failures"])
