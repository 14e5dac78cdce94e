"""`xharness fetch`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from xharness.cli.options import AS_JSON, LANGUAGES, names, print_json


@click.command()
@click.option(
    "--targets",
    default="xtreme",
    show_default=True,
    metavar="NAMES",
    help="As for eval; training sets by name too.",
)
@LANGUAGES
@click.option("--to", "to", required=True, type=click.Path(path_type=Path), help="The data folder to fill.")
@click.option(
    "--split",
    "splits",
    multiple=True,
    type=click.Choice(["test", "dev", "train"]),
    help="Which splits; all if not given.",
)
@click.option(
    "--from",
    "archives",
    multiple=True,
    metavar="PATH_OR_URL[#sha256=HEX|#md5=HEX]",
    help="A file to use in place of the download of the same name; may be given several times.",
)
@AS_JSON
def fetch(
    targets: str, languages: str | None, to: Path, splits: tuple[Any, ...], archives: tuple[str, ...], as_json: bool
) -> None:
    """Fill a data folder from the Hub and from where other data is published, for machines without network.

    Goes on where it stopped, and writes a MANIFEST.tsv that says what is there and how complete it is.

    \b
    xharness fetch --targets xtreme --to /data/hub
    xharness fetch --targets xnli,tatoeba --languages sw,th --to /data/hub
    xharness fetch --targets udpos --to /data/hub --from ~/ud-treebanks-v2.5.tgz
    """
    from tabulate import tabulate

    from xharness.data.fetch.runner import fetch as fill
    from xharness.tasks.selection import named

    specs, wanted = named(names(targets) or []), list(splits) or None
    rows = fill(specs, to, names(languages), wanted, progress=True, archives=archives)
    if as_json:
        print_json(rows)
    else:
        click.echo(tabulate(rows, "keys", tablefmt="simple", disable_numparse=True))
