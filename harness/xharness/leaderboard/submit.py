"""Submit or withdraw by pull request."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from xharness import strict_json
from xharness.errors import PublishError, SubmissionError, UsageError, XharnessError, did_you_mean
from xharness.hub import diff as hub_diff
from xharness.hub import read as hub_read
from xharness.hub import repository as hub_repository
from xharness.hub import write as hub_write
from xharness.hub.errors import Unreachable
from xharness.hub.repository import Account, PullRequestRef, RepoState
from xharness.hub.upload import File, in_memory_file
from xharness.leaderboard.board import BOARD_FILE
from xharness.leaderboard.fields import ID, LARGEST_RECORD
from xharness.leaderboard.package import Package
from xharness.leaderboard.submission import (
    RECORD,
    SUBMISSIONS,
    WITHDRAWN,
    Submission,
    Withdrawal,
    as_bytes,
    read_submission,
)
from xharness.text import format_bytes, strip_controls
from xharness.version import __version__

NEW, PROPOSED, MERGED = "new", "proposed", "on the board"


@dataclass(frozen=True, kw_only=True)
class SubmissionUpload:
    """What one pull request adds: a submission, or the withdrawal of one.

    Attributes:
        title: of the pull request.
        id: of the submission.
        files: all that is added, below ``submissions/<id>/``.
        description: what stands below the title.
        supersedes: the id of a submission that has to be there; None for any.
        withdraws: whether the submission has to be there itself.
    """

    title: str
    id: str
    files: tuple[File, ...]
    description: str
    supersedes: str | None = None
    withdraws: bool = False

    @property
    def size(self) -> int:
        """All files together, in bytes."""
        return sum(file.size for file in self.files)


def of_package(package: Package) -> SubmissionUpload:
    """Return what is sent of a submission."""
    submission = package.submission
    targets = dict.fromkeys(task for task, _ in submission.cells)
    lines = [
        f"{submission.name}: {submission.group}",
        f"{len(submission.cells)} scores in {len(targets)} targets ({', '.join(targets)}), seeds "
        + ", ".join(map(str, submission.seeds)),
        f"digest {submission.digest}",
        f"made with xharness {__version__}",
    ]
    return SubmissionUpload(
        title=f"Submission: {submission.name} ({submission.id})",
        id=submission.id,
        files=package.files,
        description="\n\n".join(lines),
        supersedes=submission.supersedes,
    )


def of_withdrawal(submission: str, reason: str | None) -> SubmissionUpload:
    """Return what is sent to take a submission from the board.

    Raises:
        UsageError: there is no reason, or the id is none.
        SubmissionError: the reason cannot be shown, or is too long.
    """
    if not re.fullmatch(ID, submission):
        raise UsageError(f"--withdraw: '{submission}' is no id of a submission (such as xlm-r-large-0123456789ab).")
    if not reason:
        raise UsageError("--withdraw needs --reason: the board shows why a submission is gone.")
    record = strict_json.record(Withdrawal, {"reason": reason}, "--reason")
    return SubmissionUpload(
        title=f"Withdrawal: {submission}",
        id=submission,
        files=(in_memory_file(f"{SUBMISSIONS}/{submission}/{WITHDRAWN}", as_bytes(record)),),
        description=record.reason,
        withdraws=True,
    )


@dataclass(frozen=True, kw_only=True)
class SubmitPlan:
    """What sending a parcel would do.

    Attributes:
        parcel: what is sent.
        repo: the leaderboard's data set.
        state: ``new``; ``proposed``: a pull request with the same content is open; ``on the board``: it is merged.
        reached: whether the Hub was asked.
        standing: what stands there; None where it was not asked.
        proposal: the open pull request.
        notes: sentences on what stands there.
    """

    upload: SubmissionUpload
    repo: str
    state: str = NEW
    reached: bool = True
    repo_state: RepoState | None = None
    proposal: PullRequestRef | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class SubmitResult:
    """What was done: ``proposed`` or ``unchanged``, where to look at it, and the pull request's number."""

    state: str
    url: str
    number: int | None = None


def compare(upload: SubmissionUpload, repo: str, who: Account | None, said_user: str | None = None) -> SubmitPlan:
    """Return what sending a parcel to a leaderboard would do.

    Args:
        upload: what is sent.
        repo: the leaderboard's data set, ``org/name``.
        who: whose pull requests are looked for; None: not known, so none is.
        said_user: who is said to submit, where it is not known.

    Raises:
        PublishError: there is no such leaderboard.
        SubmissionError: what is withdrawn or superseded is not on the board, or of somebody else.
    """
    # A board has a hundred files for each submission: only those that matter here are listed.
    folders = [f"{SUBMISSIONS}/{name}" for name in (upload.id, upload.supersedes) if name is not None]
    try:
        repo_state = hub_repository.repo_state(repo, None, repo_type="dataset", folders=folders)
        top = [] if repo_state is None else hub_diff.names(repo, repo_state.sha, "", "dataset")
    except Unreachable:
        reason = "not compared with the Hub, which cannot be reached, or may not be (HF_HUB_OFFLINE)"
        return SubmitPlan(upload=upload, repo=repo, reached=False, notes=(reason,))
    if repo_state is None or BOARD_FILE not in top:
        lacks = f"it has no {BOARD_FILE}"
        why = lacks if repo_state is not None else "there is no such data set (or this token may not see it)"
        raise PublishError(
            f"{repo}: {why}, so it is no leaderboard. Its maintainers make one with `xharness leaderboard init {repo}`."
        )
    _check_older(upload, repo, repo_state, who.name if who is not None else said_user)
    there = repo_state.files
    withdrawn = f"{SUBMISSIONS}/{upload.id}/{WITHDRAWN}" in there
    merged = all(file.path in there and file.is_same_as(there[file.path]) for file in upload.files)
    notes = []
    if withdrawn and merged and not upload.withdraws:
        notes.append("it was withdrawn: change something, such as --note, to submit it anew")
    if withdrawn and not merged:
        notes.append("it is withdrawn already, for another reason")
    if merged or withdrawn:
        return SubmitPlan(upload=upload, repo=repo, state=MERGED, repo_state=repo_state, notes=tuple(notes))
    proposal = None if who is None else _open(upload, repo, who)
    state = NEW if proposal is None else PROPOSED
    return SubmitPlan(upload=upload, repo=repo, state=state, repo_state=repo_state, proposal=proposal)


def _check_older(upload: SubmissionUpload, repo: str, state: RepoState, user: str | None) -> None:
    """Raise SubmissionError if what is withdrawn or superseded is not on the board, or of somebody else."""
    name = upload.id if upload.withdraws else upload.supersedes
    if name is None:
        return
    path = f"{SUBMISSIONS}/{name}/{RECORD}"
    if path not in state.files:
        hint = strip_controls(did_you_mean(name, hub_diff.names(repo, state.sha, SUBMISSIONS, "dataset")))
        raise SubmissionError(f"{repo}: there is no submission '{name}' on this board.{hint}")
    if user is None:
        return
    older = _record_there(repo, path, state)
    if older.submitted_by.casefold() != user.casefold():
        raise SubmissionError(
            f"{repo}: '{name}' was submitted by {older.submitted_by}, and not by {user}. Only whoever "
            "submitted it withdraws or supersedes it; else ask the board's maintainers."
        )


def _record_there(repo: str, path: str, state: RepoState) -> Submission:
    remote = state.files[path]
    if remote.size > LARGEST_RECORD:
        raise SubmissionError(f"{repo}: {path} has {remote.size:,} bytes; at most {LARGEST_RECORD:,} are read.")
    # Not by the client's cache, which keeps a damaged file for good.
    with TemporaryDirectory() as to:
        local_path = hub_read.download_file(repo, state.sha, path, "dataset", Path(to))
        return read_submission(local_path.read_bytes(), f"{repo}: {path}")


def _open(upload: SubmissionUpload, repo: str, who: Account) -> PullRequestRef | None:
    """Return the newest open pull request of this user with the same content."""
    for proposal in hub_repository.open_pull_requests(repo, upload.title, repo_type="dataset"):
        if proposal.author.casefold() == who.name.casefold() and not _lacking(upload, repo, proposal.ref):
            return proposal
    return None


def _lacking(upload: SubmissionUpload, repo: str, revision: str) -> list[str]:
    """Return the paths of a parcel's files that a commit does not hold as they are here."""
    there = hub_read.list_files(repo, revision, "dataset", f"{SUBMISSIONS}/{upload.id}")
    return [file.path for file in upload.files if file.path not in there or not file.is_same_as(there[file.path])]


def send(plan: SubmitPlan, who: Account, say: Callable[[str], None]) -> SubmitResult:
    """Open the pull request that a plan says, and prove that it holds what was sent.

    Args:
        plan: from `compare`.
        who: whose token it is.
        say: tells the user what is going on.

    Raises:
        PublishError: the Hub could not be asked or refuses something, or holds other content than was sent.
    """
    upload, repo = plan.upload, plan.repo
    if plan.repo_state is None:
        raise PublishError(f"{repo}: {'; '.join(plan.notes)}. Nothing was sent.")
    if plan.state == MERGED:
        return SubmitResult(
            "unchanged", f"{hub_repository.address(repo, 'dataset')}/tree/main/{SUBMISSIONS}/{upload.id}"
        )
    if plan.proposal is not None:
        return SubmitResult("unchanged", plan.proposal.url, plan.proposal.number)
    files = f"{len(upload.files)} file{'s' if len(upload.files) > 1 else ''}"
    say(f"Sending {files}, {format_bytes(upload.size)}, to {repo}")
    try:
        commit = hub_write.commit(
            repo,
            [(file.path, file.source, file.sha256) for file in upload.files],
            (),
            title=upload.title,
            description=upload.description,
            parent=plan.repo_state.sha,
            create_pr=True,
            repo_type="dataset",
        )
    except XharnessError:
        # The answer may be all that was lost.
        recovered = _after_failure(upload, repo, who)
        if recovered is None:
            raise
        say("The answer to the commit was lost; the pull request is there.")
        return SubmitResult("proposed", recovered.url, recovered.number)
    if commit.ref is None or commit.pull_request is None:
        raise PublishError(f"{repo}: the Hub opened no pull request. Run the same command again.")
    lacking = _lacking(upload, repo, commit.ref)
    if lacking:
        raise PublishError(
            f"{commit.pull_request}: the Hub holds other content than was sent: "
            f"{strip_controls(', '.join(lacking[:6]))}. Close it there, and run the same command again."
        )
    return SubmitResult("proposed", commit.pull_request, int(commit.ref.rpartition("/")[2]))


def _after_failure(upload: SubmissionUpload, repo: str, who: Account) -> PullRequestRef | None:
    try:
        return _open(upload, repo, who)
    except XharnessError:
        return None
