"""Check, comment on and merge open pull requests."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from xharness.errors import SubmissionError, XharnessError
from xharness.hub import diff as hub_diff
from xharness.hub import read as hub_read
from xharness.hub import repository as hub_repository
from xharness.hub import write as hub_write
from xharness.hub.repository import PullRequest
from xharness.hub.upload import Digests, File, in_memory_file
from xharness.hub.write_errors import RepositoryChanged, ResponseLost
from xharness.leaderboard import check as leaderboard_check
from xharness.leaderboard import rules
from xharness.leaderboard.check import CheckResult, check, refusal
from xharness.leaderboard.pull_request import (
    BoardIndex,
    PullRequestChange,
    existing_verdict,
    fetch,
    inspect,
    read_record,
    withdrawal_problems,
)
from xharness.leaderboard.rows import board_schema
from xharness.leaderboard.submission import CHECKS, SUBMISSIONS
from xharness.leaderboard.verdict import ACCEPTED, SCHEMA_VERSION, Verdict
from xharness.version import __version__

_TRIES = 5


@dataclass(frozen=True)
class PullRequestCheck:
    """A pull request and the verdict on it.

    Attributes:
        work: folder of its files as they were checked, with their paths in the repository.
        for_now: it is refused because of other submissions on the leaderboard, which can change.
        verdict_on_main: the verdict is the one on main, and nothing was checked again.
    """

    proposed: PullRequestChange
    checked: CheckResult
    work: Path
    for_now: bool = False
    verdict_on_main: bool = False


@dataclass(frozen=True)
class Queue:
    """The open pull requests of a leaderboard, by number.

    Attributes:
        waiting: those to check, sorted by the time of their last commit, so that a changed one goes to the end.
        refused: those that this account refused because of their own content, and that have not changed since.
        drafts: those that are drafts.
        failed: those that the Hub could not return -> reason.
    """

    waiting: tuple[int, ...]
    refused: tuple[int, ...]
    drafts: tuple[int, ...]
    failed: Mapping[int, str]


def check_pull_request(
    repo: str, number: int, work: Path, data_dir: Path | None, workers: int = 1, index: BoardIndex | None = None
) -> PullRequestCheck:
    """Check a pull request.

    Args:
        repo: the leaderboard's data set, ``org/name``.
        number: number of the pull request.
        work: an empty folder for its files, which is needed until they are merged.
        data_dir: folder of gold data, laid out like the Hub; None: the Hub.
        workers: number of processes.
        index: submissions of the leaderboard that were read before; shared between pull requests.

    Raises:
        PublishError: the pull request does not exist.
        DataError: the repository cannot be read, or the gold data on this machine is not complete.
    """
    proposed = inspect(repo, number)
    name = proposed.id or f"pull request {number}"
    if proposed.problems:
        return PullRequestCheck(proposed, refusal(name, "", proposed.problems), work)
    if proposed.withdraws:
        problems = withdrawal_problems(proposed, work)
        return PullRequestCheck(proposed, refusal(name, "", problems) if problems else _withdrawn(name), work)
    try:
        record = read_record(proposed, work)
    except SubmissionError as error:
        return PullRequestCheck(proposed, refusal(name, "", str(error).splitlines()), work)
    existing, is_valid = None, False
    if proposed.on_main:
        existing, is_valid = existing_verdict(proposed, record, work, board_schema().hashes)
    if existing is not None and is_valid:
        return PullRequestCheck(proposed, CheckResult(existing), work, verdict_on_main=True)
    index = index or BoardIndex(repo)
    others = index.others(proposed)
    problems, _ = rules.compare_with_existing(record, others, accepted_before=existing is not None)
    if problems:
        return PullRequestCheck(proposed, refusal(name, record.digest, problems), work, for_now=True)
    index.pending[number] = rules.fingerprint(record)
    folder = fetch(proposed, record, work)
    result = check(
        folder,
        name=proposed.id,
        others=others,
        data_dir=data_dir,
        workers=workers,
        accepted_before=existing is not None,
    )
    if not result.verdict.accepted:
        del index.pending[number]
    return PullRequestCheck(proposed, result, work)


def _withdrawn(name: str) -> CheckResult:
    warning = "its submitter withdraws it; it stays in the data set and on the page, marked and without a rank."
    verdict = Verdict(
        schema_version=SCHEMA_VERSION,
        id=name,
        digest="",
        verdict=ACCEPTED,
        problems=[],
        warnings=[warning],
        versions={"xharness": __version__},
    )
    return CheckResult(verdict)


def comment(checked_pull: PullRequestCheck, account: str) -> bool:
    """Post a verdict on its pull request; return False if this account posted the same one before.

    Args:
        checked_pull: from `check_pull_request`.
        account: name of this account.

    Raises:
        PublishError: the token may not comment.
    """
    repo, pull = checked_pull.proposed.repo, checked_pull.proposed.pull
    mark = leaderboard_check.mark(checked_pull.checked.verdict, pull.proposal.sha, for_now=checked_pull.for_now)
    if any(author == account and leaderboard_check.last_line(body) == mark for author, body in pull.comments):
        return False
    text = leaderboard_check.comment(checked_pull.checked, pull.proposal.sha, for_now=checked_pull.for_now)
    hub_write.comment(repo, pull.proposal.number, text, repo_type="dataset")
    return True


def queue(repo: str, account: str | None) -> Queue:
    """Return the open pull requests of a leaderboard.

    Args:
        repo: the leaderboard's data set, ``org/name``.
        account: name of this account, whose earlier refusals count; None: no refusals count.

    Raises:
        PublishError: the Hub refuses the request.
    """
    waiting: list[PullRequest] = []
    refused: list[int] = []
    drafts: list[int] = []
    failed: dict[int, str] = {}
    for proposal in hub_repository.open_pull_requests(repo, "", repo_type="dataset"):
        try:
            pull = hub_repository.pull_request(repo, proposal.number, repo_type="dataset", head=proposal.sha)
        except XharnessError as error:
            failed[proposal.number] = str(error)
            continue
        if pull.status == "draft":
            drafts.append(proposal.number)
        elif any(a == account and leaderboard_check.is_final_refusal(body, proposal.sha) for a, body in pull.comments):
            refused.append(proposal.number)
        else:
            waiting.append(pull)
    # If the Hub has no time for the last commit, it may have been pushed just now.
    late = datetime.max.replace(tzinfo=UTC)
    waiting.sort(key=lambda pull: (pull.updated_at or late, pull.proposal.number))
    numbers = [pull.proposal.number for pull in waiting]
    return Queue(tuple(numbers), tuple(sorted(refused)), tuple(sorted(drafts)), failed)


def merge(checked_pull: PullRequestCheck, say: Callable[[str], None]) -> str | None:
    """Commit an accepted submission and its verdict to main in one commit, and close the pull request.

    The Hub's own merge is not used: it takes whatever the pull request holds at that moment, which may differ from
    what was checked, and the verdict would come later or, after a crash, never.

    Returns:
        The commit; None if main already had everything.

    Raises:
        RepositoryChanged: the pull request was changed since it was checked, is closed or a draft, or other submissions
            were merged meanwhile.
        PublishError: the token may not write.
    """
    proposed, verdict = checked_pull.proposed, checked_pull.checked.verdict
    repo, number = proposed.repo, proposed.pull.proposal.number
    if not verdict.accepted:
        raise SubmissionError(f"{verdict.id}: was refused, so it is not merged.")
    # Scoring takes a minute, in which the author may have changed or closed it.
    now = hub_repository.pull_request(repo, number, repo_type="dataset")
    if not proposed.on_main:
        before = proposed.pull
        if (now.proposal.sha, now.target_branch) != (before.proposal.sha, before.target_branch):
            raise RepositoryChanged(
                f"{repo}: {now.proposal.ref} was changed since it was checked; nothing was merged. Check it again."
            )
        if now.status != "open":
            raise RepositoryChanged(f"{repo}: the pull request {number} is {now.status}, not open; nothing was merged.")
    sha = None if checked_pull.verdict_on_main else _commit(checked_pull)
    if sha is not None:
        say(f"merged: {now.proposal.url}")
    if now.status in ("open", "draft"):
        where = "" if sha is None else f" as of commit {sha}"
        text = f"{now.proposal.sha} is on main{where}, so this is closed."
        if proposed.withdraws and sha is None:
            text = f"{verdict.id} is already withdrawn, so this is closed."
        hub_write.close(repo, number, text, repo_type="dataset")
    return sha


def _commit(checked_pull: PullRequestCheck) -> str | None:
    """Commit what is missing on main, even if main moves meanwhile; return the commit, None if nothing is missing."""
    proposed, verdict = checked_pull.proposed, checked_pull.checked.verdict
    repo, number = proposed.repo, proposed.pull.proposal.number
    if proposed.on_main and proposed.withdraws:
        return None
    wanted = list(_files_for_main(checked_pull))
    if not _missing(wanted, repo, proposed.main, verdict.id):
        return None
    before = hub_diff.names(repo, proposed.main, SUBMISSIONS, "dataset")
    for attempt in range(_TRIES):
        parent = hub_read.resolve(repo, "main", "dataset", fresh=True)
        if parent != proposed.main and hub_diff.names(repo, parent, SUBMISSIONS, "dataset") != before:
            raise RepositoryChanged(
                f"{repo}: other submissions were merged since the check; nothing was merged. Check it again."
            )
        try:
            commit = hub_write.commit(
                repo,
                [(file.path, file.source, file.sha256) for file in wanted],
                [],
                title=f"{verdict.id}: {'withdrawn' if proposed.withdraws else verdict.verdict} (#{number})",
                description=f"{leaderboard_check.sentence(checked_pull.checked)}\n\n{proposed.pull.proposal.url}",
                parent=parent,
                repo_type="dataset",
            )
        except RepositoryChanged:
            if attempt + 1 == _TRIES:
                raise
            continue
        except ResponseLost:
            sha = hub_read.resolve(repo, "main", "dataset", fresh=True)
            if _missing(wanted, repo, sha, verdict.id):
                raise
            return sha
        return commit.sha
    raise AssertionError("the last attempt returns or raises")


def _files_for_main(checked_pull: PullRequestCheck) -> Iterator[File]:
    """Yield the files that main should have: those that were checked, and the verdict unless it is a withdrawal."""
    digests = Digests()
    if not checked_pull.proposed.on_main:
        yield from (digests.file(checked_pull.work, path) for path in checked_pull.proposed.changes)
    if not checked_pull.proposed.withdraws:
        yield from (in_memory_file(path, content) for path, content in checked_pull.checked.files().items())


def _missing(wanted: list[File], repo: str, sha: str, name: str) -> list[str]:
    """Return the paths of files that are missing or different in a commit."""
    remote_files = {
        path: file
        for folder in (SUBMISSIONS, CHECKS)
        for path, file in hub_read.list_files(repo, sha, "dataset", f"{folder}/{name}").items()
    }
    return [
        file.path for file in wanted if file.path not in remote_files or not file.is_same_as(remote_files[file.path])
    ]
