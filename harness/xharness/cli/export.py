"""`xharness export`."""

from __future__ import annotations

from pathlib import Path

import click

from xharness.cli.options import say
from xharness.errors import Incomplete


@click.group()
def export() -> None:
    """Export runs in the formats of other tools.

    RUN is a run folder of `xharness eval`.

    \b
    xharness export xtreme results/*/*/*/seed0 --to submission
    xharness export lm-eval results/org__xlmr-squad/0123456789ab/ba9876543210/seed0 --to results.json
    """


@export.command("xtreme")
@click.argument("runs", metavar="RUN...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--to", "to", required=True, type=click.Path(path_type=Path), help="Folder for the submission.")
@click.option(
    "--benchmark",
    metavar="xtreme|xtreme-r",
    help="Benchmark that the submission is for. Default: judged by its targets.",
)
def export_xtreme(runs: tuple[Path, ...], to: Path, benchmark: str | None) -> None:
    """Export predictions in XTREME's submission layout.

    The files <task>/test-<xx>.<ext> are those that the official evaluate.py reads. Merges several runs, for example one
    per target. Prints the paths of the exported files.

    \b
    xharness export xtreme results/*/*/*/seed0 --to submission
    xharness score submission --targets xtreme
    """
    from xharness.results import export_xtreme as results_export_xtreme

    submission = results_export_xtreme.submission(runs, to, benchmark)
    for sentence in submission.left_out:
        say(sentence)
    for name in submission.written:
        click.echo(str(to / name))
    if submission.missing:
        listed = "\n".join(f"  {sentence}" for sentence in submission.missing)
        raise Incomplete(f"{to} is not a complete submission to {submission.benchmark}:\n{listed}")


@export.command("lm-eval")
@click.argument("run", metavar="RUN", type=click.Path(path_type=Path))
@click.option("--to", "to", required=True, type=click.Path(path_type=Path), help="JSON file to write.")
@click.option("--benchmark", metavar="xtreme|xtreme-r", help="Average over the languages of this benchmark.")
def export_lm_eval(run: Path, to: Path, benchmark: str | None) -> None:
    """Export scores as a results file of lm-evaluation-harness.

    \b
    xharness export lm-eval results/org__xlmr-squad/0123456789ab/ba9876543210/seed0 --to results.json
    """
    from xharness.errors import unknown
    from xharness.results import export_lm_eval as results_export_lm_eval
    from xharness.tasks.benchmarks import benchmarks

    if benchmark is not None and benchmark not in benchmarks():
        raise unknown("benchmark", benchmark, benchmarks())
    results_export_lm_eval.write(run, to, benchmark)
    click.echo(str(to))
