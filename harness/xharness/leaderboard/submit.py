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
    """The content of a pull request: a submission or a withdrawal.

    Attributes:
        title: title of the pull request.
        id: id of the submission.
        files: the files it adds, below ``submissions/<id>/``.
        description: description of the pull request.
        supersedes: id of the submission that it replaces, which must exist; None if it replaces none.
        withdraws: whether it withdraws the submission, which must exist.
    """

    title: str
    id: str
    files: tuple[File, ...]
    description: str
    supersedes: str | None = None
    withdraws: bool = False

    @property
    def size(self) -> int:
        """Total size of all files, in bytes."""
        return sum(file.size for file in self.files)


def package_upload(package: Package) -> SubmissionUpload:
    """Return the pull request content for a submission."""
    submission = package.submission
    targets = dict.fromkeys(task for task, _ in submission.cells)
    lines = [
        f"{submission.name}: {submission.track_label}",
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


def withdrawal_upload(submission: str, reason: str | None) -> SubmissionUpload:
    """Return the pull request content that withdraws a submission.

    Raises:
        UsageError: there is no reason, or the id is invalid.
        SubmissionError: the reason has unprintable characters or is too long.
    """
    if not re.fullmatch(ID, submission):
        raise UsageError(f"--withdraw: '{submission}' is not a submission id (such as xlm-r-large-0123456789ab).")
    if not reason:
        raise UsageError("--withdraw needs --reason: the leaderboard shows why a submission was withdrawn.")
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
    """What submitting would do.

    Attributes:
        upload: the content to send.
        repo: the leaderboard's data set.
        state: ``new``; ``proposed``: a pull request with the same content is open; ``on the board``: it is merged.
        reached: whether the Hub answered.
        remote: state of the repository; None if the Hub did not answer.
        proposal: the open pull request.
        notes: sentences about the state of the leaderboard.
    """

    upload: SubmissionUpload
    repo: str
    state: str = NEW
    reached: bool = True
    remote: RepoState | None = None
    proposal: PullRequestRef | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class SubmitResult:
    """What was done: ``proposed`` or ``unchanged``, with the URL and the number of the pull request."""

    state: str
    url: str
    number: int | None = None


def compare(upload: SubmissionUpload, repo: str, who: Account | None, said_user: str | None = None) -> SubmitPlan:
    """Compare a submission or withdrawal with the leaderboard.

    Args:
        upload: the content to send.
        repo: the leaderboard's data set, ``org/name``.
        who: the account whose pull requests are searched; None: not known, so none are.
        said_user: user name given with --submitted-by, if the account is not known.

    Raises:
        PublishError: the leaderboard does not exist.
        SubmissionError: the withdrawn or superseded submission does not exist or is by another user.
    """
    # A leaderboard has a hundred files per submission: list only the folders that matter.
    folders = [f"{SUBMISSIONS}/{name}" for name in (upload.id, upload.supersedes) if name is not None]
    try:
        remote = hub_repository.repo_state(repo, None, repo_type="dataset", folders=folders)
        top = [] if remote is None else hub_diff.names(repo, remote.sha, "", "dataset")
    except Unreachable:
        note = "not compared with the Hub, which cannot be reached (or HF_HUB_OFFLINE is set)"
        return SubmitPlan(upload=upload, repo=repo, reached=False, notes=(note,))
    if remote is None or BOARD_FILE not in top:
        no_file = f"it has no {BOARD_FILE}"
        why = no_file if remote is not None else "the data set does not exist (or this token may not read it)"
        raise PublishError(
            f"{repo}: not a leaderboard: {why}. Maintainers create one with `xharness leaderboard init {repo}`."
        )
    _check_earlier(upload, repo, remote, who.name if who is not None else said_user)
    remote_files = remote.files
    withdrawn = f"{SUBMISSIONS}/{upload.id}/{WITHDRAWN}" in remote_files
    merged = all(file.path in remote_files and file.is_same_as(remote_files[file.path]) for file in upload.files)
    notes = []
    if withdrawn and merged and not upload.withdraws:
        notes.append("it was withdrawn: to submit it again, change something, such as --note")
    if withdrawn and not merged:
        notes.append("it is already withdrawn, for another reason")
    if merged or withdrawn:
        return SubmitPlan(upload=upload, repo=repo, state=MERGED, remote=remote, notes=tuple(notes))
    proposal = None if who is None else _find_pull_request(upload, repo, who)
    state = NEW if proposal is None else PROPOSED
    return SubmitPlan(upload=upload, repo=repo, state=state, remote=remote, proposal=proposal)


def _check_earlier(upload: SubmissionUpload, repo: str, remote: RepoState, user: str | None) -> None:
    """Raise SubmissionError if the withdrawn or superseded submission does not exist or is by another user."""
    name = upload.id if upload.withdraws else upload.supersedes
    if name is None:
        return
    path = f"{SUBMISSIONS}/{name}/{RECORD}"
    if path not in remote.files:
        hint = strip_controls(did_you_mean(name, hub_diff.names(repo, remote.sha, SUBMISSIONS, "dataset")))
        raise SubmissionError(f"{repo}: there is no submission '{name}' on this leaderboard.{hint}")
    if user is None:
        return
    earlier = _read_remote_record(repo, path, remote)
    if earlier.submitted_by.casefold() != user.casefold():
        raise SubmissionError(
            f"{repo}: '{name}' was submitted by {earlier.submitted_by}, not by {user}. Only its submitter can "
            "withdraw or supersede it; otherwise ask the leaderboard's maintainers."
        )


def _read_remote_record(repo: str, path: str, remote: RepoState) -> Submission:
    entry = remote.files[path]
    if entry.size > LARGEST_RECORD:
        raise SubmissionError(f"{repo}: {path} has {entry.size:,} bytes; the limit is {LARGEST_RECORD:,}.")
    # Without the client's cache, which would keep a damaged file.
    with TemporaryDirectory() as to:
        local = hub_read.download_file(repo, remote.sha, path, "dataset", Path(to))
        return read_submission(local.read_bytes(), f"{repo}: {path}")


def _find_pull_request(upload: SubmissionUpload, repo: str, who: Account) -> PullRequestRef | None:
    """Return the newest open pull request of this user with the same content."""
    for proposal in hub_repository.open_pull_requests(repo, upload.title, repo_type="dataset"):
        if proposal.author.casefold() == who.name.casefold() and not _missing(upload, repo, proposal.ref):
            return proposal
    return None


def _missing(upload: SubmissionUpload, repo: str, revision: str) -> list[str]:
    """Return the paths of files that are missing or different in a commit."""
    remote_files = hub_read.list_files(repo, revision, "dataset", f"{SUBMISSIONS}/{upload.id}")
    return [
        file.path
        for file in upload.files
        if file.path not in remote_files or not file.is_same_as(remote_files[file.path])
    ]


def send(plan: SubmitPlan, who: Account, say: Callable[[str], None]) -> SubmitResult:
    """Open the pull request of a plan, and verify its content.

    Args:
        plan: from `compare`.
        who: the account of the token.
        say: called with progress messages.

    Raises:
        PublishError: the Hub cannot be reached, refuses something, or has other content than was sent.
    """
    upload, repo = plan.upload, plan.repo
    if plan.remote is None:
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
            parent=plan.remote.sha,
            create_pr=True,
            repo_type="dataset",
        )
    except XharnessError:
        # Perhaps only the response was lost.
        pull_request = _find_after_failure(upload, repo, who)
        if pull_request is None:
            raise
        say("The response to the commit was lost, but the pull request is open.")
        return SubmitResult("proposed", pull_request.url, pull_request.number)
    if commit.ref is None or commit.pull_request is None:
        raise PublishError(f"{repo}: the Hub did not open a pull request. Run the same command again.")
    missing = _missing(upload, repo, commit.ref)
    if missing:
        raise PublishError(
            f"{commit.pull_request}: the Hub has other content than was sent: "
            f"{strip_controls(', '.join(missing[:6]))}. Close it there, and run the same command again."
        )
    return SubmitResult("proposed", commit.pull_request, int(commit.ref.rpartition("/")[2]))


def _find_after_failure(upload: SubmissionUpload, repo: str, who: Account) -> PullRequestRef | None:
    try:
        return _find_pull_request(upload, repo, who)
    except XharnessError:
        return None
