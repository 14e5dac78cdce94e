"""The command that submits scores, with their predictions, to a leaderboard: `submit`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from xharness.cli.options import AS_JSON, DATA_DIR, print_json, say
from xharness.errors import UsageError


@click.command()
@click.argument("runs", metavar="[RUN]...", nargs=-1, type=click.Path(path_type=Path))
@click.option("--to", "repo", metavar="ORG/NAME", required=True, help="The leaderboard's data set on the Hub.")
@click.option("--name", "--model-name", "name", metavar="TEXT", help="What the system is called on the board.")
@click.option(
    "--predictions",
    "folder",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Another system's predictions in XTREME's layout (DIR/xnli/test-de.tsv), or folders DIR/seed<k> of them.",
)
@click.option(
    "--architecture",
    type=click.Choice(["encoder", "decoder", "encoder-decoder"]),
    default="encoder",
    show_default=True,
)
@click.option("--model", "model", metavar="ORG/NAME[@COMMIT]", help="With --predictions: the model on the Hub.")
@click.option("--base", metavar="TEXT", help="What its training began with (FacebookAI/xlm-roberta-large).")
@click.option("--parameters", type=click.IntRange(min=1), metavar="N", help="How many it has.")
@click.option("--paper", metavar="URL", help="https://...")
@click.option("--url", metavar="URL", help="Of the model or its code, https://...")
@click.option(
    "--phase",
    type=click.Choice(["as is", "tuned", "prompted"]),
    help="With --predictions: how targets were solved; 'tuned' if not given.",
)
@click.option(
    "--training",
    type=click.Choice(["zero-shot", "translate-train", "native", "few-shot"]),
    help="What heads were trained on, where no RUN says it; 'zero-shot' if not given.",
)
@click.option(
    "--selected-by",
    metavar="TEXT",
    help="How states were chosen. Of RUNs, which are taken: 'english-dev' if there are several.",
)
@click.option(
    "--saw-test-data",
    type=click.Choice(["no", "yes", "unknown"]),
    default="unknown",
    show_default=True,
    help="Whether the test data of a target was in any training data.",
)
@click.option("--translated-data", is_flag=True, help="Machine translations of training data were used.")
@click.option("--note", default="", metavar="TEXT", help="Up to 500 characters, shown on the board.")
@click.option("--supersedes", metavar="ID", help="An earlier submission of yours that this one replaces.")
@click.option("--withdraw", metavar="ID", help="Take a submission of yours from the board; needs --reason.")
@click.option("--reason", metavar="TEXT", help="Why it is withdrawn, shown on the board.")
@click.option("--submitted-by", metavar="USER", help="Your name on the Hub, for a look without a token.")
@DATA_DIR
@AS_JSON
@click.option("--yes", is_flag=True, help="Send it; without this, what would be sent is printed.")
def submit(
    runs: tuple[Path, ...],
    repo: str,
    withdraw: str | None,
    reason: str | None,
    as_json: bool,
    yes: bool,
    **given: Any,
) -> None:
    """Submit RUNs of one system, or another system's predictions, to a leaderboard on the Hugging Face Hub.

    Before anything is sent, all scores are computed anew from the predictions, and what would be sent is printed. With
    --yes one pull request is opened; a second run finds it again. Several RUNs are seeds, or targets tuned apart, of
    one checkpoint. The token is that of `hf auth login`, or HF_TOKEN.

    \b
    xharness submit results/xlmr/*/*/seed* --to org/leaderboard --name "XLM-R large"          look at it first
    xharness submit results/xlmr/*/*/seed* --to org/leaderboard --name "XLM-R large" --yes    send it
    xharness submit --predictions DIR --model-name "mT5 XXL" --paper URL --to org/leaderboard
    xharness submit --withdraw xlm-r-large-0123456789ab --reason "wrong seeds" --to org/leaderboard
    """
    from xharness.hub import repository as hub_repository
    from xharness.leaderboard import submit as leaderboard_submit
    from xharness.leaderboard import submit_report

    who = hub_repository.account(repo) if yes else hub_repository.try_account(repo)
    said_user = given["submitted_by"]
    package = None
    if withdraw is not None:
        if runs or given["folder"] is not None:
            raise UsageError("--withdraw takes no RUN and no --predictions: it only names what is withdrawn.")
        parcel = leaderboard_submit.withdrawal_upload(withdraw, reason)
    else:
        if reason is not None:
            raise UsageError("--reason goes with --withdraw. Leave it out, or use --note.")
        package = _package(runs, given, who.name if who is not None else None, yes)
        parcel = leaderboard_submit.package_upload(package)
    plan = leaderboard_submit.compare(parcel, repo, who, said_user)
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
        say("\nNothing was sent. The same command with --yes sends it.")


def _package(runs: tuple[Path, ...], given: dict[str, Any], user: str | None, yes: bool) -> Any:
    """Return the package of RUNs or of a folder of predictions, with what the options say of it."""
    from xharness.leaderboard import collect as leaderboard_collect
    from xharness.leaderboard import package as leaderboard_package

    folder, name, said_user = given.pop("folder"), given["name"], given.pop("submitted_by")
    data_dir, note, model = given.pop("data_dir"), given.pop("note"), given.pop("model")
    if bool(runs) == (folder is not None):
        raise UsageError("Give RUNs, or --predictions DIR for another system; one of both.")
    if name is None:
        raise UsageError("--name: say what the system is called on the board.")
    foreign = [f"--{flag}" for flag, said in (("phase", given["phase"]), ("model", model)) if said is not None]
    if runs and foreign:
        raise UsageError(f"{', '.join(foreign)}: the RUNs say it. Leave it out.")
    submitter = said_user or user
    if submitter is None:
        raise UsageError(
            "There is no token of the Hub on this machine. Log in with `hf auth login`, or say --submitted-by."
        )
    if yes and said_user not in (None, user):
        raise UsageError(f"--submitted-by: '{said_user}', but the token is of '{user}'. Leave --submitted-by out.")
    base, _, commit = (model or "").partition("@")
    made = leaderboard_package.SubmitterInfo(
        **given, notes=note, submitted_by=submitter, repo=base or None, revision=commit or None
    )
    found = (
        leaderboard_collect.from_runs(runs, given["selected_by"])
        if folder is None
        else leaderboard_collect.from_folder(folder)
    )
    return leaderboard_package.pack(found, made, data_dir, say)
