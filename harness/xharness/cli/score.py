"""`xharness score`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from xharness.cli.options import AS_JSON, DATA_DIR, LANGUAGES, fail_if_incomplete, print_results, split_names


@click.command()
@click.argument("folder", metavar="DIR|RUN", type=click.Path(path_type=Path))
@click.option(
    "--targets",
    metavar="NAMES",
    help="Targets to score; a benchmark's name also gives its overall score. Default: all in the folder.",
)
@LANGUAGES
@click.option(
    "--split", type=click.Choice(["test", "dev"]), help="Default: the split of the run; test for other predictions."
)
@DATA_DIR
@AS_JSON
def score(
    folder: Path, targets: str | None, languages: str | None, split: Any, data_dir: Path | None, as_json: bool
) -> None:
    """Score predictions of any system against the gold labels.

    Needs no model and no torch.

    DIR is a folder in XTREME's submission layout, <task>/test-<xx>.<ext>. RUN is a run folder of `xharness eval`.

    \b
    xharness score predictions/ --targets xtreme
    xharness score results/org__xlmr-squad/0123456789ab/ba9876543210/seed0 --json
    """
    from xharness.results import scoring

    results = scoring.score(
        folder, targets=split_names(targets), languages=split_names(languages), split=split, data_dir=data_dir
    )
    print_results(results, str(folder), as_json)
    fail_if_incomplete(results.provenance["failures"])
