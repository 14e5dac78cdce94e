"""What the maintainers' automation does with pull requests: check them, say so below, put what is accepted on main."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from xharness import __version__, hub, hub_commits, hub_standing, hub_trees
from xharness.board import check_report
from xharness.board.checking import Checked, check, refusal
from xharness.board.pull_requests import Proposed, fetch, look, read_others, withdrawal_problems
from xharness.board.strict_json import shown
from xharness.board.submission import CHECKS, SUBMISSIONS
from xharness.board.verdict import ACCEPTED, SCHEMA_VERSION, Verdict
from xharness.errors import PublishError, SubmissionError
from xharness.hub_refusals import Lost, Stale
from xharness.publishing.files import Digests, File, written

_TRIES = 5


@dataclass(frozen=True)
class PullChecked:
    """A pull request and the verdict on it.

    Attributes:
        work: where its files lie as they were checked, by their paths in the repository.
    """

    proposed: Proposed
    checked: Checked
    work: Path


def check_pull_request(repo: str, number: int, work: Path, data_dir: Path | None, workers: int = 1) -> PullChecked:
    """Return the verdict on a pull request.

    Args:
        repo: the board's data set, ``org/name``.
        number: of the pull request.
        work: an empty folder for its files, which has to stay until they are merged.
        data_dir: gold data laid out like the Hub; None: the Hub.
        workers: processes that score.

    Raises:
        PublishError: there is no such pull request.
        DataError: the repository cannot be read, or the gold data here is not whole.
    """
    proposed = look(repo, number)
    name = proposed.id or f"pull request {number}"
    if proposed.problems:
        return PullChecked(proposed, refusal(name, "", proposed.problems), work)
    if proposed.withdraws:
        problems = withdrawal_problems(proposed, work)
        return PullChecked(proposed, refusal(name, "", problems) if problems else _withdrawn(name), work)
    try:
        folder = fetch(proposed, work)
    except SubmissionError as error:
        return PullChecked(proposed, refusal(name, "", str(error).splitlines()), work)
    others = read_others(proposed)
    found = check(folder, name=proposed.id, others=others, data_dir=data_dir, workers=workers)
    return PullChecked(proposed, found, work)


def _withdrawn(name: str) -> Checked:
    said = "it is withdrawn by who submitted it; what was submitted stays to be seen."
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


def comment(found: PullChecked) -> bool:
    """Post a verdict below its pull request; return False where this account posted the same one before.

    Raises:
        PublishError: the token may not.
    """
    repo, pull = found.proposed.repo, found.proposed.pull
    me = hub_standing.account(repo).name
    mark = check_report.mark(found.checked.verdict, pull.proposal.sha)
    if any(author == me and mark in said for author, said in pull.comments):
        return False
    text = check_report.comment(found.checked, pull.proposal.sha)
    hub_commits.comment(repo, pull.proposal.number, text, repo_type="dataset")
    return True


def open_numbers(repo: str) -> list[int]:
    """Return the numbers of a board's open pull requests, the oldest first.

    Raises:
        PublishError: the Hub refuses to tell.
    """
    return sorted(proposal.number for proposal in hub_standing.proposals(repo, "", repo_type="dataset"))


def is_refused_already(repo: str, number: int) -> bool:
    """Whether this account said below a pull request that it is refused, of what it holds now and by this version.

    Raises:
        PublishError: there is no such pull request, or this machine has no token.
    """
    pull = hub_standing.pull_request(repo, number, repo_type="dataset")
    me = hub_standing.account(repo).name
    mark = check_report.refusal_mark(pull.proposal.sha)
    return any(author == me and mark in said for author, said in pull.comments)


def merge(found: PullChecked, say: Callable[[str], None]) -> str | None:
    """Put what was accepted on main together with its verdict, in one commit, and close the pull request.

    Not by the Hub's own merge: that takes what the pull request holds at that moment, whatever was checked before,
    and the verdict would come later or, after a crash, never.

    Returns:
        The commit; None where all of it was there.

    Raises:
        Stale: the pull request was changed since it was checked, or is closed, or others were merged meanwhile.
        PublishError: the token may not, or main holds this submission with other content than was checked.
    """
    proposed, verdict = found.proposed, found.checked.verdict
    repo, pull = proposed.repo, proposed.pull
    if not verdict.accepted:
        raise SubmissionError(f"{verdict.id}: is refused, so it is not merged.")
    if not proposed.landed:
        if pull.status not in ("open", "draft"):
            raise Stale(f"{repo}: the pull request {pull.proposal.number} is {pull.status}; nothing was merged.")
        ref = pull.proposal.ref
        if hub.resolve(repo, ref, "dataset", fresh=True) != pull.proposal.sha:
            raise Stale(f"{repo}: {ref} was changed since it was checked; nothing was merged. Check it again.")
    sha = _commit(found)
    if sha is not None:
        say(f"merged: {pull.proposal.url}")
    if pull.status in ("open", "draft"):
        text = f"{pull.proposal.sha} is on main{'' if sha is None else f' by commit {sha}'}, so this is closed."
        hub_commits.close(repo, pull.proposal.number, text, repo_type="dataset")
    return sha


def _commit(found: PullChecked) -> str | None:
    """Commit what main lacks, whatever else is committed meanwhile; return the commit, None if it lacks nothing."""
    proposed, verdict = found.proposed, found.checked.verdict
    repo, number = proposed.repo, proposed.pull.proposal.number
    wanted = list(_wanted(found))
    lacking = _lacking(wanted, repo, proposed.main, verdict.id)
    if not lacking:
        return None
    if proposed.landed and any(path in proposed.changes for path in lacking):
        raise PublishError(
            f"{repo}: {shown(lacking[0])} is on main otherwise than in {proposed.pull.proposal.ref}, which was "
            "checked, so no verdict is recorded. Look at who changed it there."
        )
    before = hub_trees.names(repo, proposed.main, SUBMISSIONS, "dataset")
    for attempt in range(_TRIES):
        parent = hub.resolve(repo, "main", "dataset", fresh=True)
        if parent != proposed.main and hub_trees.names(repo, parent, SUBMISSIONS, "dataset") != before:
            raise Stale(f"{repo}: other submissions were merged since the check; nothing was merged. Check it again.")
        try:
            made = hub_commits.commit(
                repo,
                [(file.path, file.source, file.sha256) for file in wanted],
                [],
                title=f"{verdict.id}: {'withdrawn' if proposed.withdraws else verdict.verdict} (#{number})",
                description=f"{check_report.sentence(found.checked)}\n\n{proposed.pull.proposal.url}",
                parent=parent,
                repo_type="dataset",
            )
        except Stale:
            if attempt + 1 == _TRIES:
                raise
            continue
        except Lost:
            sha = hub.resolve(repo, "main", "dataset", fresh=True)
            if _lacking(wanted, repo, sha, verdict.id):
                raise
            return sha
        return made.sha
    raise AssertionError("the last attempt returns or raises")


def _wanted(found: PullChecked) -> Iterator[File]:
    """Yield what main has to hold: what was checked, and the verdict on it; a withdrawal needs none."""
    digests = Digests()
    yield from (digests.file(found.work, path) for path in found.proposed.changes)
    if not found.proposed.withdraws:
        yield from (written(path, content) for path, content in found.checked.files().items())


def _lacking(wanted: list[File], repo: str, sha: str, name: str) -> list[str]:
    """Return the paths of files that a commit does not hold as they are here."""
    there = {
        path: file
        for folder in (SUBMISSIONS, CHECKS)
        for path, file in hub.list_files(repo, sha, "dataset", f"{folder}/{name}").items()
    }
    return [file.path for file in wanted if file.path not in there or not file.is_same_as(there[file.path])]
