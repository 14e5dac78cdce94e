"""`xharness report`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from xharness.cli.options import AS_JSON, print_json, say, split_names


@click.command()
@click.argument("runs", metavar="RUN...", nargs=-1, type=click.Path(path_type=Path))
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", "markdown", "csv", "latex"]),
    default="text",
    show_default=True,
    help="Format of the tables.",
)
@click.option("--benchmark", metavar="xtreme|xtreme-r", help="Average over the languages and groups of this benchmark.")
@click.option("--join", is_flag=True, help="Join runs with different targets into one result.")
@click.option("--against", metavar="NAME,...", help="Compare with published scores (see --list-references).")
@click.option("--list-references", is_flag=True, help="List the published scores that come with xharness.")
@AS_JSON
def report(
    runs: tuple[Path, ...],
    form: Any,
    benchmark: str | None,
    join: bool,
    against: str | None,
    list_references: bool,
    as_json: bool,
) -> None:
    """Print score tables of one or more runs.

    Shows scores by target and language, means, groups and transfer gaps. RUN is a run folder of `xharness eval`.

    \b
    xharness report results/*/*/*/seed0
    xharness report results/org__xlmr-squad/*/*/seed0 --benchmark xtreme --format latex
    xharness report results/*/*/*/seed0 --join --benchmark xtreme-r
    xharness report results/org__xlmr-squad/*/*/seed0 --against xlm-r-large
    """
    from xharness.errors import unknown
    from xharness.results import references
    from xharness.results import runs as results_runs
    from xharness.results import tables as results_tables
    from xharness.tasks.benchmarks import benchmarks

    if list_references:
        _list_references(as_json)
        return
    if not runs:
        raise click.UsageError("Missing argument 'RUN...'.", click.get_current_context())
    if benchmark is not None and benchmark not in benchmarks():
        raise unknown("benchmark", benchmark, benchmarks())
    empty = [path for path in runs if results_runs.has_no_results(path)]
    if len(empty) < len(runs):
        runs = tuple(path for path in runs if path not in empty)
        for path in empty:
            say(f"{path} is left out: it has no results yet.")
    published = [] if against is None else references.select(split_names(against) or [])
    if join:
        named_results = [("joined", results_runs.join(runs, benchmark))]
    else:
        named_results = [(_run_name(path), results_runs.load_run(path, benchmark)) for path in runs]
    compared = [references.compare(result, published) for _, result in named_results] if published else []
    if as_json:
        tables = [result.to_json() for _, result in named_results]
        for table, rows in zip(tables, compared, strict=False):
            table["against"] = [row.to_json() for row in rows]
        print_json(tables)
        return
    if form == "csv":
        rows = [row for rows_of_run in compared for row in rows_of_run]
        click.echo(results_tables.tables(named_results, form, further=references.csv_lines(rows)))
        if rows:
            say(references.sources(rows))
        return
    click.echo(results_tables.tables(named_results, form))
    for (name, _), rows in zip(named_results, compared, strict=False):
        click.echo("\n" + references.table(name, rows, form))


def _list_references(as_json: bool) -> None:
    from xharness.results import references

    listed = references.all_references()
    if as_json:
        print_json([{"name": p.name, "benchmark": p.benchmark, **p.reference.model_dump(mode="json")} for p in listed])
    else:
        click.echo(references.listing(listed))


def _run_name(path: Path) -> str:
    # OUTPUT/<name>/<id12>/<settings12>/seed<k>
    parts = path.resolve().parts
    return parts[-4] if len(parts) >= 4 else str(path)
