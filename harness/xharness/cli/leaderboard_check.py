"""`xharness leaderboard check`."""

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
@click.option("--id", "name", metavar="ID", help="Check this submission; PATH is a copy of the leaderboard's data set.")
@click.option("--all", "every", is_flag=True, help="Check all submissions; PATH is a copy of the data set.")
@click.option(
    "--pr", "number", type=click.IntRange(min=1), metavar="N", help="Check this pull request instead of PATH."
)
@click.option("--open", "every_open", is_flag=True, help="Check all open pull requests, except those refused already.")
@click.option("--of", "repo", metavar="ORG/NAME", help="With --pr and --open: data set of the leaderboard on the Hub.")
@click.option("--comment", is_flag=True, help="With --pr and --open: post the verdict as a comment, once per content.")
@click.option(
    "--merge",
    is_flag=True,
    help="With --pr and --open: commit accepted submissions with their verdicts to main, and close them.",
)
@click.option(
    "--record",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Write verdict and bootstrap replicates to DIR/checks/<id>/.",
)
@click.option(
    "--workers", type=click.IntRange(min=1), default=2, show_default=True, help="Number of scoring processes."
)
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
    """Check submissions to a leaderboard.

    Checks files, metadata and rules, and recomputes all scores from the predictions. Nothing in a submission is trusted
    or run, and no model is needed. Exit code 0: accepted; 11: refused; any other: the check failed (8: for some of the
    open pull requests).

    \b
    xharness leaderboard check package/ --data-dir data                        check the folder of a submission
    xharness leaderboard check board/ --id xlm-r-0123456789ab --record board   check one in a copy of the data set
    xharness leaderboard check --pr 7 --of org/leaderboard --comment --merge   check a pull request
    xharness leaderboard check --open --of org/leaderboard --comment --merge   check all, as automation does
    """
    if (path is not None) + (number is not None) + every_open != 1:
        raise UsageError("Give exactly one of PATH, --pr N and --open. The last two need --of ORG/NAME.")
    if number is not None or every_open:
        if repo is None or name is not None or every:
            raise UsageError("--pr and --open need --of ORG/NAME, and cannot be used together with --id or --all.")
        checker = _checker(repo, data_dir, workers, record, **asked)
        if number is None:
            _check_open(checker, as_json)
        else:
            _check_one(checker, number, as_json)
        return
    if repo is not None or any(asked.values()):
        raise UsageError("--of, --comment and --merge need --pr N or --open. Leave them out to check PATH.")
    if name is not None and every:
        raise UsageError("--id and --all cannot be used together. Leave one out.")
    assert path is not None
    checks = list(_check_folder(path, name, every, data_dir, workers))
    for checked in checks:
        _write_record(checked, record)
        if not as_json:
            _print(checked)
    if as_json:
        verdicts = [checked.verdict.to_json() for checked in checks]
        print_json({"verdicts": verdicts} if every else verdicts[0])
    _fail_if_refused(checks)


def _check_folder(
    path: Path, name: str | None, every: bool, data_dir: Path | None, workers: int
) -> Iterator[CheckResult]:
    """Yield the verdict on a submission folder, or those on submissions in a copy of a leaderboard's data set."""
    from xharness.errors import did_you_mean, nearest_folder
    from xharness.leaderboard import check as leaderboard_check
    from xharness.leaderboard import store as leaderboard_store
    from xharness.leaderboard.submission import SUBMISSIONS

    if not path.is_dir():
        raise UsageError(f"{path}: this folder does not exist.{nearest_folder(path)}")
    if name is None and not every:
        if (path / SUBMISSIONS).is_dir():
            raise UsageError(
                f"{path} is a copy of a leaderboard's data set. Choose a submission with --id, or give --all."
            )
        yield leaderboard_check.check(path, data_dir=data_dir, workers=workers)
        return
    if not (path / SUBMISSIONS).is_dir():
        raise UsageError(f"{path}: not a copy of a leaderboard's data set: it has no folder {SUBMISSIONS}/.")
    ids = leaderboard_store.submission_names(path)
    if name is not None and name not in ids:
        raise UsageError(f"{path / SUBMISSIONS} has no submission '{name}'.{did_you_mean(name, ids)}")
    known = leaderboard_check.read_fingerprints(path)
    for submission_id in ids if name is None else [name]:
        folder = path / SUBMISSIONS / submission_id
        if folder.is_symlink() or not folder.is_dir():
            yield leaderboard_check.refusal(submission_id, "", [f"{SUBMISSIONS}/{submission_id} is not a folder."])
            continue
        others = [other for other_id, other in known.items() if other_id != submission_id]
        before = leaderboard_store.is_accepted(path, submission_id)
        yield leaderboard_check.check(
            folder, name=submission_id, others=others, data_dir=data_dir, workers=workers, accepted_before=before
        )


@dataclass(frozen=True)
class _Checker:
    """Checks pull requests of one leaderboard, and comments on and merges them if asked to.

    Attributes:
        repo: data set of the leaderboard on the Hub.
        data_dir: data folder; None: the Hub.
        workers: number of scoring processes.
        record: folder that verdicts are written to; None: nowhere.
        me: name of this account, to comment with; None: do not comment.
        merge: commit accepted submissions to main.
        on_board: index of the submissions on the leaderboard.
    """

    repo: str
    data_dir: Path | None
    workers: int
    record: Path | None
    me: str | None
    merge: bool
    on_board: BoardIndex

    def handle(self, number: int) -> tuple[CheckResult, dict[str, Any]]:
        """Check a pull request; return the verdict, and the JSON fields on what else was done."""
        from xharness.leaderboard import review

        with TemporaryDirectory(prefix="xharness-pull-") as work:
            pull_check = review.check_pull_request(
                self.repo, number, Path(work), self.data_dir, self.workers, self.on_board
            )
            outcome: dict[str, Any] = {"pull_request": pull_check.proposed.pull.proposal.url}
            if not pull_check.proposed.withdraws and not pull_check.verdict_on_main:
                _write_record(pull_check.checked, self.record)
            if self.me is not None:
                outcome["commented"] = review.comment(pull_check, self.me)
                say("commented" if outcome["commented"] else "the same verdict was posted before")
            if self.merge and pull_check.checked.verdict.accepted:
                outcome["recorded"] = review.merge(pull_check, say)
            return pull_check.checked, outcome


def _checker(
    repo: str, data_dir: Path | None, workers: int, record: Path | None, *, comment: bool, merge: bool
) -> _Checker:
    from xharness.hub import repository as hub_repository
    from xharness.leaderboard.pull_request import BoardIndex

    # First, so that an account without access does not wait for the check.
    me = hub_repository.account(repo).name if comment else None
    return _Checker(repo, data_dir, workers, record, me, merge, BoardIndex(repo))


def _check_one(checker: _Checker, number: int, as_json: bool) -> None:
    checked, outcome = checker.handle(number)
    if as_json:
        print_json({**checked.verdict.to_json(), **outcome})
    else:
        _print(checked)
        click.echo(outcome["pull_request"])
    _fail_if_refused([checked])


def _check_open(checker: _Checker, as_json: bool) -> None:
    """Check all open pull requests. A failed check does not stop the others."""
    from xharness.leaderboard import review

    checks: list[CheckResult] = []
    verdicts: list[dict[str, Any]] = []
    queue = review.queue(checker.repo, checker.me)
    failures = dict(queue.failed)
    for number, why in queue.failed.items():
        say(f"pull request {number}: {why}")
    for number in queue.waiting:
        try:
            checked, outcome = checker.handle(number)
        except XharnessError as error:
            say(f"pull request {number}: {error}")
            failures[number] = str(error)
            continue
        checks.append(checked)
        verdicts.append({**checked.verdict.to_json(), **outcome})
        if not as_json:
            _print(checked)
            click.echo(outcome["pull_request"])
    for why, numbers in (("refused before and unchanged since", queue.refused), ("drafts", queue.drafts)):
        if numbers:
            say(f"{why}: {', '.join(map(str, numbers))}")
    if as_json:
        passed = {"refused_before": queue.refused, "drafts": queue.drafts}
        print_json({"verdicts": verdicts, **passed, "failed": failures})
    elif not checks and not failures:
        click.echo("no open pull requests to check")
    if failures:
        raise Incomplete(f"pull requests that could not be checked or merged: {', '.join(map(str, failures))}.")
    _fail_if_refused(checks)


def _write_record(checked: CheckResult, record: Path | None) -> None:
    """Write verdict and replicates below a folder, if one was given and the verdict has a digest."""
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


def _fail_if_refused(checks: list[CheckResult]) -> None:
    from xharness.leaderboard import check

    refused = [check.sentence(checked) for checked in checks if not checked.verdict.accepted]
    if refused:
        raise SubmissionError("\n".join(refused))
