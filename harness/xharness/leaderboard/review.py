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
from xharness.leaderboard.check import Checked, check, refusal
from xharness.leaderboard.pull_request import (
    BoardIndex,
    PullRequestChange,
    fetch,
    inspect,
    read_record,
    recorded,
    withdrawal_problems,
)
from xharness.leaderboard.rows import layout
from xharness.leaderboard.submission import CHECKS, SUBMISSIONS
from xharness.leaderboard.verdict import ACCEPTED, SCHEMA_VERSION, Verdict
from xharness.version import __version__

_TRIES = 5


@dataclass(frozen=True)
class PullChecked:
    """A pull request and the verdict on it.

    Attributes:
        work: where its files lie as they were checked, by their paths in the repository.
        for_now: it is refused for what is on the board beside it, which can change.
        kept: the verdict is the one that stands on main, and nothing was checked anew.
    """

    proposed: PullRequestChange
    checked: Checked
    work: Path
    for_now: bool = False
    kept: bool = False


@dataclass(frozen=True)
class Queue:
    """A board's open pull requests by number.

    Attributes:
        waiting: those to check, the one first whose last commit is the oldest: who changes one stands behind.
        refused: those that this account refused for what they hold still.
        drafts: those that their authors are not done with.
        failed: those of which the Hub does not tell, and why.
    """

    waiting: tuple[int, ...]
    refused: tuple[int, ...]
    drafts: tuple[int, ...]
    failed: Mapping[int, str]


def check_pull_request(
    repo: str, number: int, work: Path, data_dir: Path | None, workers: int = 1, on_board: BoardIndex | None = None
) -> PullChecked:
    """Return the verdict on a pull request.

    Args:
        repo: the board's data set, ``org/name``.
        number: of the pull request.
        work: an empty folder for its files, which has to stay until they are merged.
        data_dir: gold data laid out like the Hub; None: the Hub.
        workers: processes that score.
        on_board: what was read of the board before, for many pull requests.

    Raises:
        PublishError: there is no such pull request.
        DataError: the repository cannot be read, or the gold data here is not whole.
    """
    proposed = inspect(repo, number)
    name = proposed.id or f"pull request {number}"
    if proposed.problems:
        return PullChecked(proposed, refusal(name, "", proposed.problems), work)
    if proposed.withdraws:
        problems = withdrawal_problems(proposed, work)
        return PullChecked(proposed, refusal(name, "", problems) if problems else _withdrawn(name), work)
    try:
        record = read_record(proposed, work)
    except SubmissionError as error:
        return PullChecked(proposed, refusal(name, "", str(error).splitlines()), work)
    kept, holds = recorded(proposed, record, work, layout().hashes) if proposed.on_main else (None, False)
    if kept is not None and holds:
        return PullChecked(proposed, Checked(kept), work, kept=True)
    board = on_board or BoardIndex(repo)
    others = board.beside(proposed)
    problems, _ = rules.compare_with_existing(record, others, accepted_before=kept is not None)
    if problems:
        return PullChecked(proposed, refusal(name, record.digest, problems), work, for_now=True)
    board.ahead[number] = rules.known(record)
    folder = fetch(proposed, record, work)
    checked = check(
        folder,
        name=proposed.id,
        others=others,
        data_dir=data_dir,
        workers=workers,
        accepted_before=kept is not None,
    )
    if not checked.verdict.accepted:
        del board.ahead[number]
    return PullChecked(proposed, checked, work)


def _withdrawn(name: str) -> Checked:
    said = "its submitter withdraws it; it stays in the data set and on the page, marked, without a rank."
    verdict = Verdict(
        schema_version=SCHEMA_VERSION,
        id=name,
        digest="",
        verdict=ACCEPTED,
        problems=[],
        warnings=[said],
        versions={"xharness": __version__},
    )
    return Checked(verdict)


def comment(pull_check: PullChecked, me: str) -> bool:
    """Post a verdict below its pull request; return False where this account posted the same one before.

    Args:
        pull_check: from `check_pull_request`.
        me: name of this account.

    Raises:
        PublishError: the token may not.
    """
    repo, pull = pull_check.proposed.repo, pull_check.proposed.pull
    mark = leaderboard_check.mark(pull_check.checked.verdict, pull.proposal.sha, for_now=pull_check.for_now)
    if any(author == me and leaderboard_check.last_line(said) == mark for author, said in pull.comments):
        return False
    text = leaderboard_check.comment(pull_check.checked, pull.proposal.sha, for_now=pull_check.for_now)
    hub_write.comment(repo, pull.proposal.number, text, repo_type="dataset")
    return True


def queue(repo: str, me: str | None) -> Queue:
    """Return a board's open pull requests.

    Args:
        repo: the board's data set, ``org/name``.
        me: name of this account, whose refusals count; None: nobody's do.

    Raises:
        PublishError: the Hub refuses to tell.
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
        elif any(a == me and leaderboard_check.is_final_refusal(text, proposal.sha) for a, text in pull.comments):
            refused.append(proposal.number)
        else:
            waiting.append(pull)
    # One whose last commit the Hub tells nothing of may have been pushed this minute.
    late = datetime.max.replace(tzinfo=UTC)
    waiting.sort(key=lambda pull: (pull.updated_at or late, pull.proposal.number))
    numbers = [pull.proposal.number for pull in waiting]
    return Queue(tuple(numbers), tuple(sorted(refused)), tuple(sorted(drafts)), failed)


def merge(pull_check: PullChecked, say: Callable[[str], None]) -> str | None:
    """Put what was accepted on main together with its verdict, in one commit, and close the pull request.

    Not by the Hub's own merge: that takes what the pull request holds at that moment, whatever was checked before,
    and the verdict would come later or, after a crash, never.

    Returns:
        The commit; None where all of it was there.

    Raises:
        Stale: the pull request was changed since it was checked, is closed or a draft, or others were merged meanwhile.
        PublishError: the token may not.
    """
    proposed, verdict = pull_check.proposed, pull_check.checked.verdict
    repo, number = proposed.repo, proposed.pull.proposal.number
    if not verdict.accepted:
        raise SubmissionError(f"{verdict.id}: is refused, so it is not merged.")
    # Scoring takes a minute, in which its author may have thought better of it.
    now = hub_repository.pull_request(repo, number, repo_type="dataset")
    if not proposed.on_main:
        before = proposed.pull
        if (now.proposal.sha, now.target_branch) != (before.proposal.sha, before.target_branch):
            raise RepositoryChanged(
                f"{repo}: {now.proposal.ref} was changed since it was checked; nothing was merged. Check it again."
            )
        if now.status != "open":
            raise RepositoryChanged(f"{repo}: the pull request {number} is {now.status}, not open; nothing was merged.")
    sha = None if pull_check.kept else _commit(pull_check)
    if sha is not None:
        say(f"merged: {now.proposal.url}")
    if now.status in ("open", "draft"):
        where = "" if sha is None else f" as of commit {sha}"
        text = f"{now.proposal.sha} is on main{where}, so this is closed."
        if proposed.withdraws and sha is None:
            text = f"{verdict.id} is withdrawn already, so this is closed."
        hub_write.close(repo, number, text, repo_type="dataset")
    return sha


def _commit(pull_check: PullChecked) -> str | None:
    """Commit what main lacks, whatever else is committed meanwhile; return the commit, None if it lacks nothing."""
    proposed, verdict = pull_check.proposed, pull_check.checked.verdict
    repo, number = proposed.repo, proposed.pull.proposal.number
    if proposed.on_main and proposed.withdraws:
        return None
    wanted = list(_wanted(pull_check))
    if not _lacking(wanted, repo, proposed.main, verdict.id):
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
                description=f"{leaderboard_check.sentence(pull_check.checked)}\n\n{proposed.pull.proposal.url}",
                parent=parent,
                repo_type="dataset",
            )
        except RepositoryChanged:
            if attempt + 1 == _TRIES:
                raise
            continue
        except ResponseLost:
            sha = hub_read.resolve(repo, "main", "dataset", fresh=True)
            if _lacking(wanted, repo, sha, verdict.id):
                raise
            return sha
        return commit.sha
    raise AssertionError("the last attempt returns or raises")


def _wanted(pull_check: PullChecked) -> Iterator[File]:
    """Yield what main has to hold: what was checked, and the verdict on it; a withdrawal needs none."""
    digests = Digests()
    if not pull_check.proposed.on_main:
        yield from (digests.file(pull_check.work, path) for path in pull_check.proposed.changes)
    if not pull_check.proposed.withdraws:
        yield from (in_memory_file(path, content) for path, content in pull_check.checked.files().items())


def _lacking(wanted: list[File], repo: str, sha: str, name: str) -> list[str]:
    """Return the paths of files that a commit does not hold as they are here."""
    there = {
        path: file
        for folder in (SUBMISSIONS, CHECKS)
        for path, file in hub_read.list_files(repo, sha, "dataset", f"{folder}/{name}").items()
    }
    return [file.path for file in wanted if file.path not in there or not file.is_same_as(there[file.path])]
