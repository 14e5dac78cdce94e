"""`xharness publish`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from xharness.cli.options import AS_JSON, print_json, say
from xharness.errors import UsageError


@click.command()
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.argument("repo", metavar="ORG/NAME")
@click.option(
    "--results",
    multiple=True,
    type=click.Path(path_type=Path),
    metavar="PATH",
    help="Run folder of the checkpoint, or a folder of run folders; repeatable.",
)
@click.option("--no-results", is_flag=True, help="Publish without scores; the card says that it was not evaluated.")
@click.option(
    "--facts",
    "facts_file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="YAML file with facts that no training record holds: author, Hub id of the base model, license ...",
)
@click.option(
    "--adopt", is_flag=True, help="Publish a checkpoint that xharness did not train; --facts says how it was trained."
)
@click.option("--allow-collapsed", is_flag=True, help="Publish a run that ended at chance level, marked as such.")
@click.option("--replace", is_flag=True, help="Replace another model in this repository.")
@click.option("--private", is_flag=True, help="If the repository is created, make it private.")
@click.option("--revision", metavar="BRANCH", help="Publish to this branch; created from main if missing.")
@click.option("--tag", metavar="NAME", help="Tag the commit.")
@click.option("--create-pr", is_flag=True, help="Open a pull request instead; needs no write access.")
@click.option("--collection", metavar="TITLE", help="Add the repository to this collection of its owner.")
@click.option("--card", "only_card", is_flag=True, help="Print the model card and stop.")
@AS_JSON
@click.option("--yes", is_flag=True, help="Upload. Without it, only print what would be uploaded.")
def publish(
    folder: Path,
    repo: str,
    results: tuple[Path, ...],
    no_results: bool,
    facts_file: Path | None,
    adopt: bool,
    allow_collapsed: bool,
    only_card: bool,
    as_json: bool,
    yes: bool,
    **options: Any,
) -> None:
    """Publish a checkpoint on the Hugging Face Hub.

    Uploads it with its model card, scores and training record. Without --yes, everything is checked, and what would be
    uploaded is printed. All files go into one commit; running the command again changes nothing. Uses the token of `hf
    auth login` or HF_TOKEN.

    \b
    xharness publish zoo/mnli org/xlmr-mnli --results results/mnli --facts facts.yaml          preview
    xharness publish zoo/mnli org/xlmr-mnli --results results/mnli --facts facts.yaml --yes    upload
    """
    from xharness.hub import repository as hub_repository
    from xharness.publishing import bundle
    from xharness.publishing import plan as publishing_plan
    from xharness.publishing import report as publishing_report
    from xharness.publishing import send as publishing_send
    from xharness.publishing.card.facts import Facts, read_facts

    if results and no_results:
        raise UsageError("--results and --no-results cannot be used together. Leave one out.")
    target = publishing_plan.Target(branch=options.pop("revision"), **options)
    target.check()
    prepared = bundle.prepare(
        folder,
        repo,
        Facts() if facts_file is None else read_facts(facts_file),
        results=results,
        no_results=no_results,
        adopt=adopt,
        allow_collapsed=allow_collapsed,
        public=not target.private,
    )
    if only_card:
        click.echo(prepared.card, nl=False)
        return
    # First, because with a wrong token the Hub answers that public repositories do not exist.
    who = hub_repository.account(repo) if yes else hub_repository.try_account(repo)
    plan = publishing_plan.compare(prepared, target, who)
    for note in publishing_report.plan_notes(plan):
        say(note)
    if yes and who is not None:
        outcome = publishing_send.send(plan, who, say)
        if as_json:
            print_json({**publishing_report.plan_json(plan), **asdict(outcome)})
        else:
            click.echo(publishing_report.result_sentence(plan, outcome))
        return
    if who is not None:
        hub_repository.check_rights(who, repo, exists=plan.repo_state is not None, proposing=target.create_pr)
    if as_json:
        print_json({"state": "planned", **publishing_report.plan_json(plan)})
    else:
        click.echo(publishing_report.plan_table(plan))
    if not plan.is_empty:
        say("\nNothing was sent. The same command with --yes sends it.")
