"""`xharness tasks`."""

from __future__ import annotations

from pathlib import Path

import click

from xharness.cli.options import AS_JSON, print_json, say


@click.group()
def tasks() -> None:
    """List, show, check and pin task files."""


@tasks.command("list")
@AS_JSON
def tasks_list(as_json: bool) -> None:
    """List the targets.

    Shows task kind, metric, number of languages, English training set and data source.
    """
    from tabulate import tabulate

    from xharness.tasks.registry import list_tasks, load_task

    specs = [load_task(name) for name in list_tasks()]
    if as_json:
        print_json([{"name": s.name, "kind": s.kind, "languages": list(s.languages), "hash": s.hash} for s in specs])
        return
    rows = []
    for s in specs:
        source = s.sources[0].name if s.sources else "none yet"
        rows.append([s.name, s.kind, s.metric, len(s.languages), s.train or "-", source])
    head = ["target", "kind", "metric", "languages", "English training set", "data"]
    click.echo(tabulate(rows, head, tablefmt="simple"))


@tasks.command("show")
@click.argument("name")
@AS_JSON
def tasks_show(name: str, as_json: bool) -> None:
    """Print the spec of a target and its hash."""
    import yaml

    from xharness.tasks.registry import load_task

    spec = load_task(name)
    content = {**spec.model_dump(mode="json", by_alias=True, exclude_none=True), "hash": spec.hash}
    if as_json:
        print_json(content)
    else:
        click.echo(yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=100).rstrip())


@tasks.command("check")
@click.argument("files", nargs=-1, type=click.Path(path_type=Path))
@AS_JSON
def tasks_check(files: tuple[Path, ...], as_json: bool) -> None:
    """Validate task files.

    Validates your own FILES, or those that come with xharness. Reports all errors of all files at once. Without FILES,
    it also reports targets and languages of the benchmarks that are missing.

    \b
    xharness tasks check
    xharness tasks check lab/my_task.yaml
    """
    from xharness.tasks.validate import check

    checked = check(files)
    if as_json:
        print_json(checked.to_json())
    else:
        click.echo(str(checked))
    checked.fail_if_incomplete()


@tasks.command("pin")
@click.argument("files", nargs=-1, type=click.Path(path_type=Path))
def tasks_pin(files: tuple[Path, ...]) -> None:
    """Pin the data of task files at the newest commits.

    Replaces branch names by commits. Needs the Hub. Without FILES, changes the task files that come with xharness.
    """
    from xharness import assets
    from xharness.tasks.pin import pin

    # The data of the demo is generated and not on the Hub.
    shipped = [path for path in sorted(assets.TASKS.glob("*/*.yaml")) if path.parent.name != "demo"]
    changes = pin(list(files) or shipped)
    for change in changes:
        click.echo(change)
    say(f"{len(changes)} revisions pinned.")
