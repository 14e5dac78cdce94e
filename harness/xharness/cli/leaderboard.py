"""`xharness leaderboard`."""

from __future__ import annotations

import tempfile
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from xharness.cli.leaderboard_check import check
from xharness.cli.options import AS_JSON, print_json, say
from xharness.errors import UsageError
from xharness.version import __version__

if TYPE_CHECKING:
    from xharness.leaderboard.build import BuildResult
    from xharness.leaderboard.deploy import Upload


@click.group()
def leaderboard() -> None:
    """Set up a leaderboard, check submissions and build its page."""


leaderboard.add_command(check)


@leaderboard.command("build")
@click.argument("folder", metavar="[FOLDER]", required=False, type=click.Path(path_type=Path))
@click.option(
    "--from", "repo", metavar="ORG/NAME[@REVISION]", help="Data set of the leaderboard on the Hub, instead of FOLDER."
)
@click.option("--to", required=True, type=click.Path(path_type=Path), metavar="DIR", help="Folder to create.")
@click.option(
    "--keep",
    type=click.Path(path_type=Path),
    metavar="COPY",
    help="With --from: keep downloads in this folder, so that the next build downloads only what changed.",
)
@click.option("--push", is_flag=True, help="With --from: upload the tables to the data set and the page to its Space.")
@AS_JSON
@click.option("--yes", is_flag=True, help="With --push: upload. Without it, only print what would be uploaded.")
def build(
    folder: Path | None, repo: str | None, to: Path, keep: Path | None, push: bool, as_json: bool, yes: bool
) -> None:
    """Build the page and tables of a leaderboard.

    FOLDER is a copy of the leaderboard's data set, with the merged submissions. Writes scores.parquet, scores.json,
    index.html and replicates/ (for comparisons) to DIR, and replaces an earlier build there. Reads the scores of
    `leaderboard check`, not predictions.

    \b
    xharness leaderboard build leaderboard-data/ --to page
    xharness leaderboard build --from org/leaderboard --to page
    xharness leaderboard build --from org/leaderboard --to page --keep copy --push --yes
    """
    from xharness.hub import read as hub_read
    from xharness.leaderboard import build as leaderboard_build
    from xharness.leaderboard import setup

    if (folder is None) == (repo is None):
        raise UsageError(
            "Give either FOLDER, a copy of the leaderboard's data set, or --from with its name on the Hub."
        )
    if push and repo is None:
        raise UsageError("--push needs --from: only a build from the data set on the Hub can be uploaded.")
    if keep is not None and repo is None:
        raise UsageError("--keep needs --from: FOLDER is a copy already.")
    if yes and not push:
        raise UsageError("--yes needs --push: without it nothing is uploaded.")
    space = None
    if repo is None:
        assert folder is not None
        built = leaderboard_build.build(folder, to)
    else:
        repo, revision = hub_read.split_revision(repo)
        built, space = _build_from_hub(repo, revision, to, keep)
    for sentence in (*built.left_out, *built.notes):
        say(sentence)
    facts: dict[str, Any] = built.to_json()
    if not as_json:
        click.echo(built.summary())
    if push and repo is not None:
        title = f"Build of {(built.sha or '')[:12]}, xharness {__version__}"
        facts |= _upload(setup.build_uploads(repo, space, to), title, repo, yes, as_json)
    if as_json:
        print_json(facts)


def _build_from_hub(repo: str, revision: str | None, to: Path, keep: Path | None) -> tuple[BuildResult, str | None]:
    """Build from a data set on the Hub; return the result, and the Space that shows the page."""
    from xharness import progress
    from xharness.leaderboard import build as leaderboard_build
    from xharness.leaderboard import mirror
    from xharness.leaderboard import store as leaderboard_store

    with nullcontext(keep) if keep is not None else tempfile.TemporaryDirectory(prefix="xharness-board-") as folder:
        copy = Path(folder)
        with progress.bar(repo, None, True, "file") as bar:
            mirrored = mirror.mirror(repo, revision, copy, bar.update)
        for sentence in mirrored.skipped:
            say(sentence)
        built = leaderboard_build.build(copy, to, repo=repo, sha=mirrored.sha)
        return built, leaderboard_store.read_board(copy).space


def _upload(uploads: list[Upload], title: str, repo: str, yes: bool, as_json: bool) -> dict[str, Any]:
    """Print what would be uploaded, or upload it; return the fields that ``--json`` prints."""
    from xharness.hub import repository as hub_repository
    from xharness.leaderboard import deploy as leaderboard_deploy

    # First, because with a wrong token the Hub answers that public repositories do not exist.
    who = hub_repository.account(repo) if yes else hub_repository.try_account(repo)
    plans = [leaderboard_deploy.compare(upload) for upload in uploads]
    if who is not None:
        for plan in plans:
            leaderboard_deploy.check_rights(plan, who)
    planned = [plan.to_json() for plan in plans]
    if yes:
        outcomes = [leaderboard_deploy.send(plan, say, title) for plan in plans]
        for outcome in outcomes if not as_json else ():
            click.echo(f"{outcome.state}: {outcome.url} at {outcome.sha[:12]}")
        return {"places": [plan_json | asdict(outcome) for plan_json, outcome in zip(planned, outcomes, strict=True)]}
    if not as_json:
        click.echo(leaderboard_deploy.table(plans))
    if not all(plan.is_empty for plan in plans):
        say("\nNothing was uploaded. Give the same command with --yes to upload.")
    return {"places": [{"state": "planned", **plan_json} for plan_json in planned]}


@leaderboard.command("init")
@click.argument("repo", metavar="ORG/NAME")
@click.option("--space", metavar="ORG/NAME", help="Space that shows the page. Default: the name of the data set.")
@click.option("--title", metavar="TEXT", help="Title of the leaderboard.")
@AS_JSON
@click.option("--yes", is_flag=True, help="Create it. Without it, only print what would be created.")
def init(repo: str, space: str | None, title: str | None, as_json: bool, yes: bool) -> None:
    """Set up a leaderboard on the Hugging Face Hub.

    Creates a data set for submissions and a static Space for the page. Existing files are kept, so running the command
    again changes nothing. Uses the token of `hf auth login` or HF_TOKEN.

    \b
    xharness leaderboard init org/leaderboard          preview
    xharness leaderboard init org/leaderboard --yes    create
    """
    from xharness.hub import repository as hub_repository
    from xharness.leaderboard import board as leaderboard_board
    from xharness.leaderboard import setup

    setup.check_names(repo, space)
    who = hub_repository.account(repo) if yes else hub_repository.try_account(repo)
    board = setup.new_board(title or leaderboard_board.TITLE, space or repo, [who.name] if who is not None else [])
    with tempfile.TemporaryDirectory(prefix="xharness-board-") as scratch:
        uploads = setup.uploads(repo, board, Path(scratch))
        facts = _upload(uploads, f"A new leaderboard, xharness {__version__}", repo, yes, as_json)
    if as_json:
        print_json(facts)


@leaderboard.command("serve")
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.option("--port", type=click.IntRange(0, 65535), default=8000, show_default=True, help="Port; 0: any free one.")
def serve(folder: Path, port: int) -> None:
    """Serve a built leaderboard on this machine.

    Stop it with Ctrl-C.

    \b
    xharness leaderboard serve page
    """
    from xharness.leaderboard import serve as leaderboard_serve

    with leaderboard_serve.server(folder, port) as server:
        click.echo(f"http://{leaderboard_serve.HOST}:{server.server_port}/")
        say("Press Ctrl-C to stop.")
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            say("")
