"""`xharness models`."""

from __future__ import annotations

from pathlib import Path

import click

from xharness.cli.options import AS_JSON, print_json, say

_ORG = click.option(
    "--org",
    envvar="XHARNESS_ORG",
    metavar="ORG",
    help="Whose on the Hub: an organisation or user. Also from XHARNESS_ORG.",
)
_WHAT = "NAME|ORG/NAME[@REVISION]"


@click.group(invoke_without_command=True)
@click.pass_context
def models(context: click.Context) -> None:
    """List, show, pull and pin the trained checkpoints of the zoo.

    \b
    xharness models list --org ORG --zoo DIR
    xharness models show xlmr-squad
    xharness models pull xlmr-squad --to xlmr-squad
    xharness models pin --org ORG --to zoo.yaml
    """
    if context.invoked_subcommand is None:
        context.invoke(models_list)


@models.command("list")
@_ORG
@click.option(
    "--zoo",
    "folder",
    type=click.Path(path_type=Path),
    help="A local folder with one folder per checkpoint.",
)
@click.option("--encoder", metavar="NAME", help="Only the checkpoints of this encoder, such as xlmr-base.")
@click.option("--names", is_flag=True, help="Print only the training set and name of each checkpoint.")
@AS_JSON
def models_list(
    org: str | None = None,
    folder: Path | None = None,
    encoder: str | None = None,
    names: bool = False,
    as_json: bool = False,
) -> None:
    """List the checkpoints of the zoo: on this machine or on the Hub, commit, size and score.

    The score of a published checkpoint is its benchmark average if the card has one, else the score on development
    data that it was chosen by. Sizes of those that are nowhere are reckoned from the encoder's shape.
    """
    from xharness.checkpoints import listing as checkpoints_listing
    from xharness.checkpoints import zoo

    known = zoo.load(org=org)
    if names:
        for entry in known.of_encoder(encoder):
            click.echo(f"{entry.task} {entry.name}")
        return
    rows = checkpoints_listing.list_checkpoints(known, folder, encoder)
    if as_json:
        print_json(rows.to_json())
    else:
        click.echo(rows.table())


@models.command("show")
@click.argument("name", metavar=f"{_WHAT}|DIR")
@AS_JSON
def models_show(name: str, as_json: bool) -> None:
    """Print the model card of a checkpoint; with --json its front matter and commit."""
    from xharness.publishing.card.show import read_card

    card = read_card(name)
    if as_json:
        print_json(card.to_json())
    else:
        click.echo(card.text.rstrip())


@models.command("pull")
@click.argument("name", metavar=_WHAT)
@click.option("--to", "to", required=True, type=click.Path(path_type=Path), help="Folder to create.")
@AS_JSON
def models_pull(name: str, to: Path, as_json: bool) -> None:
    """Download a checkpoint from the Hub at one commit, with its card and results.

    Every file is verified before it gets its final name. Safetensors weights only; no pickles
    and no code. After an interruption the same command goes on where it was.

    \b
    xharness models pull xlmr-squad --to xlmr-squad
    xharness models pull org/xlmr-squad@v1.0 --to xlmr-squad
    """
    from xharness.checkpoints.pull import pull

    pulled = pull(name, to)
    for note in pulled.notes:
        say(note)
    if as_json:
        print_json(pulled.to_json())
    elif pulled.downloaded:
        click.echo(
            f"{pulled.folder}: {pulled.repo} at {pulled.sha}, {len(pulled.files)} files, {pulled.size:,} bytes, all "
            f"verified; {len(pulled.downloaded)} were downloaded."
        )
    else:
        click.echo(
            f"Nothing to do: {pulled.folder} holds {pulled.repo} at {pulled.sha}; all {len(pulled.files)} files are "
            "verified."
        )


@models.command("pin")
@_ORG
@click.option("--to", "to", required=True, type=click.Path(path_type=Path), help="The zoo file to write.")
def models_pin(org: str | None, to: Path) -> None:
    """Write a zoo file that pins every checkpoint of ORG on the Hub at its newest commit.

    If the file is there it is changed, its comments stay; else it begins as the one that XHARNESS_ZOO names, or the one
    that comes with xharness. Use it with XHARNESS_ZOO=FILE.
    """
    from xharness.checkpoints.zoo import pin

    pinned = pin(to, org)
    for name, sha in pinned.revisions.items():
        click.echo(f"{pinned.org}/{name}: {sha}")
    if pinned.missing:
        say(f"Not found, or not visible with this token: {', '.join(pinned.missing)}.")
    say(f"{len(pinned.revisions)} of {len(pinned.revisions) + len(pinned.missing)} checkpoints are pinned in {to}.")
