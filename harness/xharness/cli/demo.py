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
    help="Folder for checkpoints and results.",
)
@click.option("--seed", type=int, default=0, show_default=True, help="Seed of training.")
@AS_JSON
def demo(output: Path, seed: int, as_json: bool) -> None:
    """Train and evaluate a tiny encoder offline.

    Needs no network and no weights: the sentences come with xharness. Takes about two minutes on two CPU cores. Shows
    four task kinds, the score tables and the result files.
    """
    from xharness.demo import run as demo_run
    from xharness.results import tables as results_tables
    from xharness.results.aggregate import side_by_side

    results = demo_run.run(output, seed=seed, say=say, progress=True)
    if as_json:
        print_json([result.to_json() for _, result in results])
        return
    click.echo(results_tables.tables([("demo", side_by_side(result for _, result in results))]))
    for name, result in results:
        say(f"{name}: {result.provenance['run']}")
