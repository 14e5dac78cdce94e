"""`xharness fetch`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from xharness.cli.options import AS_JSON, LANGUAGES, print_json, split_names


@click.command()
@click.option(
    "--targets",
    default="xtreme",
    show_default=True,
    metavar="NAMES",
    help="Benchmarks, targets or training sets, separated by commas, or paths of task files.",
)
@LANGUAGES
@click.option("--to", "to", required=True, type=click.Path(path_type=Path), help="Data folder to fill.")
@click.option(
    "--split",
    "splits",
    multiple=True,
    type=click.Choice(["test", "dev", "train"]),
    help="Split to download; repeatable. Default: all.",
)
@click.option(
    "--from",
    "archives",
    multiple=True,
    metavar="PATH_OR_URL[#sha256=HEX|#md5=HEX]",
    help="Use this archive instead of downloading the one of the same name; repeatable.",
)
@AS_JSON
def fetch(
    targets: str, languages: str | None, to: Path, splits: tuple[Any, ...], archives: tuple[str, ...], as_json: bool
) -> None:
    """Download data for machines without a network.

    Downloads from the Hub, and from the original sites for other data. Resumes an interrupted download, and writes a
    MANIFEST.tsv with the source and completeness of every split.

    \b
    xharness fetch --targets xtreme --to /data/hub
    xharness fetch --targets xnli,tatoeba --languages sw,th --to /data/hub
    xharness fetch --targets udpos --to /data/hub --from ~/ud-treebanks-v2.5.tgz
    """
    from tabulate import tabulate

    from xharness.data.fetch.runner import fetch as fill
    from xharness.tasks.selection import load_specs

    specs = load_specs(split_names(targets) or [])
    rows = fill(specs, to, split_names(languages), list(splits) or None, progress=True, archives=archives)
    if as_json:
        print_json(rows)
    else:
        click.echo(tabulate(rows, "keys", tablefmt="simple", disable_numparse=True))
