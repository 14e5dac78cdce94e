"""`xharness export`."""

from __future__ import annotations

from pathlib import Path

import click

from xharness.cli.options import say
from xharness.errors import Incomplete


@click.group()
def export() -> None:
    """Write RUNs in the forms of others.

    \b
    xharness export xtreme results/*/*/*/seed0 --to submission
    xharness export lm-eval results/org__xlmr-squad/0123456789ab/ba9876543210/seed0 --to results.json
    """


@export.command("xtreme")
@click.argument("runs", metavar="RUN...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--to", "to", required=True, type=click.Path(path_type=Path), help="The submission's folder.")
@click.option("--benchmark", metavar="xtreme|xtreme-r", help="What should be whole; else judged by the targets.")
def export_xtreme(runs: tuple[Path, ...], to: Path, benchmark: str | None) -> None:
    """Write the submission folder of XTREME and XTREME-R: <task>/test-<xx>.<ext>, as the official evaluate.py reads it.

    Several RUNs are put together, one per target for example. Prints the files that it holds.

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
        raise Incomplete(f"{to} is no whole submission to {submission.benchmark}:\n{listed}")


@export.command("lm-eval")
@click.argument("run", metavar="RUN", type=click.Path(path_type=Path))
@click.option("--to", "to", required=True, type=click.Path(path_type=Path), help="The JSON file to write.")
@click.option("--benchmark", metavar="xtreme|xtreme-r", help="Whose languages the means are over.")
def export_lm_eval(run: Path, to: Path, benchmark: str | None) -> None:
    """Write the scores of a RUN in the shape of lm-evaluation-harness' results file.

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
