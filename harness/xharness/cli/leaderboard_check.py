"""The command that judges a submission to a leaderboard: ``leaderboard check``."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import click

from xharness.cli.options import AS_JSON, DATA_DIR, print_json, say
from xharness.errors import Incomplete, OutputError, SubmissionError, UsageError, XharnessError

if TYPE_CHECKING:
    from xharness.leaderboard.check import CheckResult
    from xharness.leaderboard.pull_request import BoardIndex


@click.command()
@click.argument("path", metavar="[PATH]", required=False, type=click.Path(path_type=Path))
@click.option("--id", "name", metavar="ID", help="PATH is a copy of a leaderboard's data set; check this submission.")
@click.option("--all", "every", is_flag=True, help="PATH is a copy of a leaderboard's data set; check all submissions.")
@click.option("--pr", "number", type=click.IntRange(min=1), metavar="N", help="Check a pull request instead of PATH.")
@click.option("--open", "every_open", is_flag=True, help="Check all open pull requests, but those refused already.")
@click.option("--of", "repo", metavar="ORG/NAME", help="With --pr and --open: the leaderboard's data set on the Hub.")
@click.option("--comment", is_flag=True, help="With --pr and --open: post the verdict below it, once for each content.")
@click.option(
    "--merge",
    is_flag=True,
    help="With --pr and --open: put what is accepted on main, with its verdict in one commit, and close it.",
)
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
    every_open: bool,
    repo: str | None,
    record: Path | None,
    workers: int,
    data_dir: Path | None,
    as_json: bool,
    **asked: bool,
) -> None:
    """Check submissions to a leaderboard: files, record, rules, and all scores anew from the predictions.

    Nothing in a submission is trusted or run, and no model is needed. Exit code 0: accepted; 11: refused; any other:
    the check could not be made (8: of some of the open pull requests).

    \b
    xharness leaderboard check package/ --data-dir data                        a submission's folder
    xharness leaderboard check board/ --id xlm-r-0123456789ab --record board   in a copy of the data set
    xharness leaderboard check --pr 7 --of org/leaderboard --comment --merge   a pull request
    xharness leaderboard check --open --of org/leaderboard --comment --merge   all of them, as automation does
    """
    if (path is not None) + (number is not None) + every_open != 1:
        raise UsageError("Give one of PATH, --pr N and --open, the latter two with --of ORG/NAME.")
    if number is not None or every_open:
        if repo is None or name is not None or every:
            raise UsageError("--pr and --open need --of ORG/NAME, and go with neither --id nor --all.")
        desk = _desk(repo, data_dir, workers, record, **asked)
        if number is None:
            _check_open(desk, as_json)
        else:
            _check_one(desk, number, as_json)
        return
    if repo is not None or any(asked.values()):
        raise UsageError("--of, --comment and --merge are for pull requests. Give --pr N or --open, or leave them out.")
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


def _checked(path: Path, name: str | None, every: bool, data_dir: Path | None, workers: int) -> Iterator[CheckResult]:
    """Yield the verdicts on a submission's folder, or on submissions in a copy of a leaderboard's data set."""
    from xharness.errors import did_you_mean, nearest_folder
    from xharness.leaderboard import check as leaderboard_check
    from xharness.leaderboard import store as leaderboard_store
    from xharness.leaderboard.submission import SUBMISSIONS

    if not path.is_dir():
        raise UsageError(f"{path}: there is no such folder.{nearest_folder(path)}")
    if name is None and not every:
        if (path / SUBMISSIONS).is_dir():
            raise UsageError(
                f"{path} is a copy of a leaderboard's data set. Name a submission with --id, or give --all."
            )
        yield leaderboard_check.check(path, data_dir=data_dir, workers=workers)
        return
    if not (path / SUBMISSIONS).is_dir():
        raise UsageError(f"{path}: is no copy of a leaderboard's data set: it has no {SUBMISSIONS}/.")
    there = leaderboard_store.submission_names(path)
    if name is not None and name not in there:
        raise UsageError(f"{path / SUBMISSIONS} has no submission '{name}'.{did_you_mean(name, there)}")
    known = leaderboard_check.read_fingerprints(path)
    for each in there if name is None else [name]:
        folder = path / SUBMISSIONS / each
        if folder.is_symlink() or not folder.is_dir():
            yield leaderboard_check.refusal(each, "", [f"{SUBMISSIONS}/{each}: is no folder."])
            continue
        others = [other for folder_name, other in known.items() if folder_name != each]
        before = leaderboard_store.is_accepted(path, each)
        yield leaderboard_check.check(
            folder, name=each, others=others, data_dir=data_dir, workers=workers, accepted_before=before
        )


@dataclass(frozen=True)
class _Desk:
    """What is done with pull requests: to which board, and what is asked beside the check.

    Attributes:
        me: name of this account, where comments are wanted; else None.
    """

    repo: str
    data_dir: Path | None
    workers: int
    record: Path | None
    me: str | None
    merge: bool
    on_board: BoardIndex

    def handle(self, number: int) -> tuple[CheckResult, dict[str, Any]]:
        """Check a pull request, and return the verdict and what else was done."""
        from xharness.leaderboard import review

        with TemporaryDirectory(prefix="xharness-pull-") as work:
            found = review.check_pull_request(self.repo, number, Path(work), self.data_dir, self.workers, self.on_board)
            outcome: dict[str, Any] = {"pull_request": found.proposed.pull.proposal.url}
            if not found.proposed.withdraws and not found.verdict_on_main:
                _keep(found.checked, self.record)
            if self.me is not None:
                outcome["commented"] = review.comment(found, self.me)
                say("commented" if outcome["commented"] else "the same verdict was posted before")
            if self.merge and found.checked.verdict.accepted:
                outcome["recorded"] = review.merge(found, say)
            return found.checked, outcome


def _desk(repo: str, data_dir: Path | None, workers: int, record: Path | None, *, comment: bool, merge: bool) -> _Desk:
    from xharness.hub import repository as hub_repository
    from xharness.leaderboard.pull_request import BoardIndex

    # Asked first: who may not comment need not wait for the check.
    me = hub_repository.account(repo).name if comment else None
    return _Desk(repo, data_dir, workers, record, me, merge, BoardIndex(repo))


def _check_one(desk: _Desk, number: int, as_json: bool) -> None:
    checked, outcome = desk.handle(number)
    if as_json:
        print_json({**checked.verdict.to_json(), **outcome})
    else:
        _print(checked)
        click.echo(outcome["pull_request"])
    _fail_if_refused([checked])


def _check_open(desk: _Desk, as_json: bool) -> None:
    """Check all open pull requests; one that cannot be checked does not hold up the others."""
    from xharness.leaderboard import review

    found: list[CheckResult] = []
    verdicts: list[dict[str, Any]] = []
    queue = review.queue(desk.repo, desk.me)
    failures = dict(queue.failed)
    for number, why in queue.failed.items():
        say(f"pull request {number}: {why}")
    for number in queue.waiting:
        try:
            checked, outcome = desk.handle(number)
        except XharnessError as error:
            say(f"pull request {number}: {error}")
            failures[number] = str(error)
            continue
        found.append(checked)
        verdicts.append({**checked.verdict.to_json(), **outcome})
        if not as_json:
            _print(checked)
            click.echo(outcome["pull_request"])
    for why, numbers in (("refused already, and not changed since", queue.refused), ("drafts", queue.drafts)):
        if numbers:
            say(f"{why}: {', '.join(map(str, numbers))}")
    if as_json:
        passed = {"refused_before": queue.refused, "drafts": queue.drafts}
        print_json({"verdicts": verdicts, **passed, "failed": failures})
    elif not found and not failures:
        click.echo("no open pull request to check")
    if failures:
        raise Incomplete(f"pull requests that could not be checked, or not merged: {', '.join(map(str, failures))}.")
    _fail_if_refused(found)


def _keep(checked: CheckResult, record: Path | None) -> None:
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


def _print(checked: CheckResult) -> None:
    from xharness.leaderboard import check

    click.echo(check.text(checked))


def _fail_if_refused(found: list[CheckResult]) -> None:
    from xharness.leaderboard import check

    refused = [check.sentence(each) for each in found if not each.verdict.accepted]
    if refused:
        raise SubmissionError("\n".join(refused))
