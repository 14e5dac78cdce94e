"""`xharness submit`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from xharness.cli.options import AS_JSON, DATA_DIR, print_json, say
from xharness.errors import UsageError


@click.command()
@click.argument("runs", metavar="[RUN]...", nargs=-1, type=click.Path(path_type=Path))
@click.option("--to", "repo", metavar="ORG/NAME", required=True, help="Data set of the leaderboard on the Hub.")
@click.option("--name", "--model-name", "name", metavar="TEXT", help="Name of the system on the leaderboard.")
@click.option(
    "--predictions",
    "folder",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Predictions of another system in XTREME's layout (DIR/xnli/test-de.tsv), or one such folder per seed "
    "(DIR/seed<k>).",
)
@click.option(
    "--architecture",
    type=click.Choice(["encoder", "decoder", "encoder-decoder"]),
    default="encoder",
    show_default=True,
    help="Architecture of the system.",
)
@click.option("--model", "model", metavar="ORG/NAME[@COMMIT]", help="With --predictions: model on the Hub.")
@click.option("--base", metavar="TEXT", help="Base model (FacebookAI/xlm-roberta-large).")
@click.option("--parameters", type=click.IntRange(min=1), metavar="N", help="Number of parameters.")
@click.option("--paper", metavar="URL", help="Address of the paper, https://...")
@click.option("--url", metavar="URL", help="Address of the model or its code, https://...")
@click.option(
    "--phase",
    type=click.Choice(["as is", "tuned", "prompted"]),
    help="With --predictions: how the system solves targets. Default: tuned.",
)
@click.option(
    "--training",
    type=click.Choice(["zero-shot", "translate-train", "native", "few-shot"]),
    help="Data that heads were trained on, if no run records it. Default: zero-shot.",
)
@click.option(
    "--selected-by",
    metavar="TEXT",
    help="Checkpoint selection. With RUN: which one to submit if a run has several. Default: english-dev.",
)
@click.option(
    "--saw-test-data",
    type=click.Choice(["no", "yes", "unknown"]),
    default="unknown",
    show_default=True,
    help="Whether training data contained test data of a target.",
)
@click.option("--translated-data", is_flag=True, help="Machine-translated training data was used.")
@click.option("--note", default="", metavar="TEXT", help="Note to show on the leaderboard, up to 500 characters.")
@click.option("--supersedes", metavar="ID", help="Your earlier submission that this one replaces.")
@click.option("--withdraw", metavar="ID", help="Withdraw your submission; needs --reason.")
@click.option("--reason", metavar="TEXT", help="Reason for --withdraw, shown on the leaderboard.")
@click.option("--submitted-by", metavar="USER", help="Your user name on the Hub, to preview without a token.")
@DATA_DIR
@AS_JSON
@click.option("--yes", is_flag=True, help="Submit. Without it, only print what would be submitted.")
def submit(
    runs: tuple[Path, ...],
    repo: str,
    withdraw: str | None,
    reason: str | None,
    as_json: bool,
    yes: bool,
    **given: Any,
) -> None:
    """Submit scores to a leaderboard.

    Submits runs of one system, or predictions of another system. All scores are first recomputed from the predictions.
    With --yes, one pull request is opened; running the command again finds it. RUN is a run folder of
    `xharness eval`; several are seeds of one checkpoint, or separately tuned targets. Uses the token of `hf auth login`
    or HF_TOKEN.

    \b
    xharness submit results/xlmr/*/*/seed* --to org/leaderboard --name "XLM-R large"          preview
    xharness submit results/xlmr/*/*/seed* --to org/leaderboard --name "XLM-R large" --yes    submit
    xharness submit --predictions DIR --model-name "mT5 XXL" --paper URL --to org/leaderboard
    xharness submit --withdraw xlm-r-large-0123456789ab --reason "wrong seeds" --to org/leaderboard
    """
    from xharness.hub import repository as hub_repository
    from xharness.leaderboard import submit as leaderboard_submit
    from xharness.leaderboard import submit_report

    who = hub_repository.account(repo) if yes else hub_repository.try_account(repo)
    submitted_by = given["submitted_by"]
    package = None
    if withdraw is not None:
        if runs or given["folder"] is not None:
            raise UsageError("--withdraw cannot be used together with RUN or --predictions. Leave them out.")
        upload = leaderboard_submit.withdrawal_upload(withdraw, reason)
    else:
        if reason is not None:
            raise UsageError("--reason needs --withdraw. Leave it out, or use --note.")
        package = _package(runs, given, who.name if who is not None else None, yes)
        upload = leaderboard_submit.package_upload(package)
    plan = leaderboard_submit.compare(upload, repo, who, submitted_by)
    for note in submit_report.plan_notes(plan, package):
        say(note)
    if yes and who is not None:
        outcome = leaderboard_submit.send(plan, who, say)
        if as_json:
            print_json({**submit_report.plan_json(plan, package), **asdict(outcome)})
        else:
            click.echo(submit_report.result_sentence(plan, outcome))
        return
    if as_json:
        print_json({"state": "planned", **submit_report.plan_json(plan, package)})
    else:
        click.echo(submit_report.plan_table(plan, package))
    if plan.state == leaderboard_submit.NEW:
        say("\nNothing was submitted. Give the same command with --yes to submit.")


def _package(runs: tuple[Path, ...], given: dict[str, Any], user: str | None, yes: bool) -> Any:
    """Return the package of run folders, or of a folder of predictions, with the options as its facts."""
    from xharness.leaderboard import collect as leaderboard_collect
    from xharness.leaderboard import package as leaderboard_package

    folder, name, submitted_by = given.pop("folder"), given["name"], given.pop("submitted_by")
    data_dir, note, model = given.pop("data_dir"), given.pop("note"), given.pop("model")
    if bool(runs) == (folder is not None):
        raise UsageError("Give either RUN folders or --predictions DIR.")
    if name is None:
        raise UsageError("--name is missing: give the name of the system on the leaderboard.")
    superfluous = [f"--{flag}" for flag, value in (("phase", given["phase"]), ("model", model)) if value is not None]
    if runs and superfluous:
        raise UsageError(f"{', '.join(superfluous)}: the runs record it. Leave it out.")
    submitter = submitted_by or user
    if submitter is None:
        raise UsageError("This machine has no Hub token. Log in with `hf auth login`, or give --submitted-by.")
    if yes and submitted_by not in (None, user):
        raise UsageError(f"--submitted-by is '{submitted_by}', but the token belongs to '{user}'. Leave it out.")
    base, _, commit = (model or "").partition("@")
    submitter_info = leaderboard_package.SubmitterInfo(
        **given, notes=note, submitted_by=submitter, repo=base or None, revision=commit or None
    )
    collected = (
        leaderboard_collect.from_runs(runs, given["selected_by"])
        if folder is None
        else leaderboard_collect.from_folder(folder)
    )
    return leaderboard_package.pack(collected, submitter_info, data_dir, say)
