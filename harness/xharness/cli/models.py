"""`xharness models`."""

from __future__ import annotations

from pathlib import Path

import click

from xharness.cli.options import AS_JSON, print_json, say

_ORG = click.option(
    "--org",
    envvar="XHARNESS_ORG",
    show_envvar=True,
    metavar="ORG",
    help="Organization or user on the Hub that owns the checkpoints.",
)
_NAME = "NAME|ORG/NAME[@REVISION]"


@click.group(invoke_without_command=True)
@click.pass_context
def models(context: click.Context) -> None:
    """List, show, download and pin zoo checkpoints.

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
    help="Local folder with one subfolder per checkpoint.",
)
@click.option("--encoder", metavar="NAME", help="List only checkpoints of this encoder, such as xlmr-base.")
@click.option("--names", is_flag=True, help="Print only training set and name, for scripts.")
@AS_JSON
def models_list(
    org: str | None = None,
    folder: Path | None = None,
    encoder: str | None = None,
    names: bool = False,
    as_json: bool = False,
) -> None:
    """List the checkpoints of the zoo.

    Shows where they are, at which commit, their size and their score.

    The score of a published checkpoint is its overall score on a benchmark if its card has one, else the score on
    development data that it was selected by. Sizes of unpublished checkpoints are estimated from the encoder's shape.
    """
    from xharness.checkpoints import listing as checkpoints_listing
    from xharness.checkpoints import zoo

    model_zoo = zoo.load(org=org)
    if names:
        for entry in model_zoo.of_encoder(encoder):
            click.echo(f"{entry.task} {entry.name}")
        return
    rows = checkpoints_listing.list_checkpoints(model_zoo, folder, encoder)
    if as_json:
        print_json(rows.to_json())
    else:
        click.echo(rows.table())


@models.command("show")
@click.argument("name", metavar=f"{_NAME}|DIR")
@AS_JSON
def models_show(name: str, as_json: bool) -> None:
    """Print the model card of a checkpoint.

    With --json, print its front matter and commit.
    """
    from xharness.publishing.card.show import read_card

    card = read_card(name)
    if as_json:
        print_json(card.to_json())
    else:
        click.echo(card.text.rstrip())


@models.command("pull")
@click.argument("name", metavar=_NAME)
@click.option("--to", "to", required=True, type=click.Path(path_type=Path), help="Folder to create.")
@AS_JSON
def models_pull(name: str, to: Path, as_json: bool) -> None:
    """Download a checkpoint at one commit into a folder.

    Includes its model card and results. The checksum of every file is verified. Only safetensors weights are
    downloaded, no pickles and no code. To resume an interrupted download, give the same command again.

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
            f"checksums verified; {len(pulled.downloaded)} downloaded."
        )
    else:
        click.echo(
            f"Nothing to do: {pulled.folder} holds {pulled.repo} at {pulled.sha}; the checksums of all "
            f"{len(pulled.files)} files are verified."
        )


@models.command("pin")
@_ORG
@click.option("--to", "to", required=True, type=click.Path(path_type=Path), help="Zoo file to write.")
def models_pin(org: str | None, to: Path) -> None:
    """Pin checkpoints at their newest commits, in a zoo file.

    Pins every checkpoint of the zoo that ORG has on the Hub.

    An existing file is updated and keeps its comments. A new one starts as a copy of the file in XHARNESS_ZOO, or of
    the one that comes with xharness. Set XHARNESS_ZOO=FILE to use it.
    """
    from xharness.checkpoints.zoo import pin

    pinned = pin(to, org)
    for name, sha in pinned.revisions.items():
        click.echo(f"{pinned.org}/{name}: {sha}")
    if pinned.missing:
        say(f"Not on the Hub, or not visible with this token: {', '.join(pinned.missing)}.")
    say(f"{len(pinned.revisions)} of {len(pinned.revisions) + len(pinned.missing)} checkpoints are pinned in {to}.")
