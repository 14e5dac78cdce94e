"""`xharness demo`."""

from __future__ import annotations

from pathlib import Path

import click

from xharness.cli.options import AS_JSON, print_json, say


@click.command()
@click.option(
    "--output",
    type=click.Path(path_type=Path),
    default=Path("demo-results"),
    show_default=True,
    help="Folder for data, checkpoint and results.",
)
@click.option("--seed", type=int, default=0, show_default=True)
@AS_JSON
def demo(output: Path, seed: int, as_json: bool) -> None:
    """Train a tiny encoder on made-up sentences and evaluate it: no network, no weights.

    Takes about two minutes on two CPU cores, and shows four task kinds, the tables and the result files.
    """
    from xharness.demo import run as demo_run
    from xharness.results import tables as results_tables
    from xharness.results.aggregate import side_by_side

    results = demo_run.run(output, seed=seed, say=say, progress=True)
    if as_json:
        print_json([each.to_json() for _, each in results])
        return
    click.echo(results_tables.tables([("demo", side_by_side(each for _, each in results))]))
    for name, each in results:
        say(f"{name}: {each.provenance['run']}")
