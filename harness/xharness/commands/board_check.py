"""The command that judges a submission to a leaderboard: ``leaderboard check``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from xharness.commands.options import AS_JSON, DATA_DIR, print_json, say
from xharness.errors import OutputError, SubmissionError, UsageError

if TYPE_CHECKING:
    from xharness.board.checking import Checked


@click.command()
@click.argument("path", metavar="[PATH]", required=False, type=click.Path(path_type=Path))
@click.option("--id", "name", metavar="ID", help="PATH is a copy of a leaderboard's data set; check this submission.")
@click.option("--all", "every", is_flag=True, help="PATH is a copy of a leaderboard's data set; check all submissions.")
@click.option("--pr", "number", type=click.IntRange(min=1), metavar="N", help="Check a pull request instead of PATH.")
@click.option("--of", "repo", metavar="ORG/NAME", help="With --pr: the leaderboard's data set on the Hub.")
@click.option("--comment", is_flag=True, help="With --pr: post the verdict below it, once for each content.")
@click.option("--merge", is_flag=True, help="With --pr: merge it if it is accepted, and commit the verdict to main.")
@click.option(
    "--record",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Write the verdict and the bootstrap replicates to DIR/checks/<id>/.",
)
@click.option("--workers", type=click.IntRange(min=1), default=2, show_default=True, help="Processes that score.")
@DATA_DIR
@AS_JSON
def check(
    path: Path | None,
    name: str | None,
    every: bool,
    number: int | None,
    repo: str | None,
    record: Path | None,
    workers: int,
    data_dir: Path | None,
    as_json: bool,
    **asked: bool,
) -> None:
    """Check submissions to a leaderboard: files, record, rules, and all scores anew from the predictions.

    Nothing in a submission is trusted or run, and no model is needed. Exit code 0: accepted; 11: refused; any other:
    the check could not be made.

    \b
    xharness leaderboard check package/ --data-dir data                        a submission's folder
    xharness leaderboard check board/ --id xlm-r-0123456789ab --record board   in a copy of the data set
    xharness leaderboard check --pr 7 --of org/leaderboard --comment --merge   a pull request, as automation does
    """
    if (path is None) == (number is None):
        raise UsageError("Give PATH, or --pr N with --of ORG/NAME.")
    if number is not None:
        if repo is None or name is not None or every:
            raise UsageError("--pr needs --of ORG/NAME, and goes with neither --id nor --all.")
        _check_pull_request(repo, number, data_dir, workers, record, as_json, **asked)
        return
    if repo is not None or any(asked.values()):
        raise UsageError("--of, --comment and --merge are for pull requests. Give --pr N, or leave them out.")
    if name is not None and every:
        raise UsageError("--id and --all cannot be meant together. Leave one out.")
    assert path is not None
    found = list(_checked(path, name, every, data_dir, workers))
    for each in found:
        _keep(each, record)
        if not as_json:
            _print(each)
    if as_json:
        print_json({"verdicts": [each.verdict.to_json() for each in found]} if every else found[0].verdict.to_json())
    _fail_if_refused(found)


def _checked(path: Path, name: str | None, every: bool, data_dir: Path | None, workers: int) -> Iterator[Checked]:
    """Yield the verdicts on a submission's folder, or on submissions in a copy of a leaderboard's data set."""
    from xharness.board import checking, merged
    from xharness.board.submission import SUBMISSIONS
    from xharness.errors import did_you_mean, nearest_folder

    if not path.is_dir():
        raise UsageError(f"{path}: there is no such folder.{nearest_folder(path)}")
    if name is None and not every:
        if (path / SUBMISSIONS).is_dir():
            raise UsageError(
                f"{path} is a copy of a leaderboard's data set. Name a submission with --id, or give --all."
            )
        yield checking.check(path, data_dir=data_dir, workers=workers)
        return
    there = merged.names(path)
    if name is not None and name not in there:
        raise UsageError(f"{path / SUBMISSIONS} has no submission '{name}'.{did_you_mean(name, there)}")
    for each in there if name is None else [name]:
        folder = path / SUBMISSIONS / each
        if folder.is_symlink() or not folder.is_dir():
            yield checking.refusal(each, "", [f"{SUBMISSIONS}/{each}: is no folder."])
            continue
        others = checking.read_known(path, leave_out=each)
        yield checking.check(folder, name=each, others=others, data_dir=data_dir, workers=workers)


def _check_pull_request(
    repo: str,
    number: int,
    data_dir: Path | None,
    workers: int,
    record: Path | None,
    as_json: bool,
    *,
    comment: bool,
    merge: bool,
) -> None:
    from xharness.board import pull_checks

    found = pull_checks.check_pull_request(repo, number, data_dir, workers)
    accepted = found.checked.verdict.accepted
    outcome: dict[str, Any] = {"pull_request": found.proposed.pull.proposal.url}
    if not as_json:
        _print(found.checked)
    if not found.proposed.withdraws:
        _keep(found.checked, record)
    if comment:
        outcome["commented"] = pull_checks.comment(found)
        say("commented" if outcome["commented"] else "the same verdict was posted before")
    if merge and accepted:
        outcome["recorded"] = pull_checks.merge(found, say)
    if as_json:
        print_json({**found.checked.verdict.to_json(), **outcome})
    else:
        click.echo(outcome["pull_request"])
    _fail_if_refused([found.checked])


def _keep(checked: Checked, record: Path | None) -> None:
    """Write what automation records of a check below a folder, where one was given and there is a digest to go by."""
    if record is None or not checked.verdict.digest:
        return
    for path, content in checked.files().items():
        try:
            (record / path).parent.mkdir(parents=True, exist_ok=True)
            staged = (record / path).with_name(f".{Path(path).name}.part")
            staged.write_bytes(content)
            staged.replace(record / path)
        except OSError as error:
            raise OutputError(f"{record / path}: cannot be written: {error.strerror}.") from None


def _print(checked: Checked) -> None:
    from xharness.board import check_report

    click.echo(check_report.text(checked))


def _fail_if_refused(found: list[Checked]) -> None:
    from xharness.board import check_report

    refused = [check_report.sentence(each) for each in found if not each.verdict.accepted]
    if refused:
        raise SubmissionError("\n".join(refused))
