"""What a pull request changes, and whether it may."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from xharness.errors import PublishError, SubmissionError
from xharness.hub import diff as hub_diff
from xharness.hub import read as hub_read
from xharness.hub.diff import Change
from xharness.hub.errors import NoSuchFile
from xharness.hub.read import RemoteFile
from xharness.hub.repository import PullRequest, pull_request
from xharness.leaderboard.fields import ID, LARGEST_RECORD, MOST_FILES
from xharness.leaderboard.read_package import file_problems
from xharness.leaderboard.rules import SubmissionFingerprint, fingerprint
from xharness.leaderboard.store import read_file
from xharness.leaderboard.submission import (
    CHECKS,
    RECORD,
    SUBMISSIONS,
    WITHDRAWN,
    Submission,
    read_submission,
    read_withdrawal,
)
from xharness.leaderboard.verdict import LARGEST as LARGEST_VERDICT
from xharness.leaderboard.verdict import REPLICATES_FILE, VERDICT_FILE, Verdict, parse
from xharness.metrics.paired import DRAW
from xharness.strict_json import show_line
from xharness.version import __version__

MAIN = "refs/heads/main"
_DOWNLOADS = 8
"""Parallel downloads."""
_MOST_LISTED = 10


@dataclass(frozen=True)
class PullRequestChange:
    """A pull request and what it changes.

    Attributes:
        base: the commit of main that it was made from.
        main: the current commit of main.
        changes: path -> change.
        id: id of the submission that it is about; '' if it is not about exactly one.
        withdraws: whether it withdraws a submission that was merged before.
        on_main: whether main already has this submission, or this withdrawal.
        problems: why the changes are not allowed.
    """

    repo: str
    pull: PullRequest
    base: str
    main: str
    changes: Mapping[str, Change]
    id: str
    withdraws: bool
    on_main: bool
    problems: tuple[str, ...]

    @property
    def folder(self) -> str:
        """Folder of the submission in the repository."""
        return f"{SUBMISSIONS}/{self.id}"


def inspect(repo: str, number: int) -> PullRequestChange:
    """Return what a pull request changes, without downloading its files.

    Raises:
        PublishError: the pull request does not exist.
        DataError: the repository cannot be read.
    """
    pull = pull_request(repo, number, repo_type="dataset")
    if not pull.proposal.sha:
        raise PublishError(f"{repo}: {pull.proposal.ref} was deleted, so its content is not known.")
    main = hub_read.resolve(repo, "main", "dataset", fresh=True)
    trunk = hub_diff.history(repo, main, "dataset")
    own = hub_diff.history(repo, pull.proposal.sha, "dataset")
    # If it was merged, all its commits are on main as well: only the changes of its last commit are known.
    base = own[1] if own[0] in trunk and len(own) > 1 else _merge_base(own, trunk)
    if base is None:
        problem = "the pull request has no commit in common with main. Open a new one."
        return PullRequestChange(repo, pull, main, main, {}, "", False, False, (problem,))
    changes = hub_diff.changes(repo, base, pull.proposal.sha, "dataset", most=2 * MOST_FILES)
    ids = sorted({path.split("/")[1] for path in changes if path.startswith(f"{SUBMISSIONS}/") and path.count("/") > 1})
    name = ids[0] if len(ids) == 1 and re.fullmatch(ID, ids[0], re.ASCII) else ""
    withdraws = list(changes) == [f"{SUBMISSIONS}/{name}/{WITHDRAWN}"]
    existing = set(hub_diff.names(repo, base, SUBMISSIONS, "dataset"))
    on_main_files = hub_read.list_files(repo, main, "dataset", f"{SUBMISSIONS}/{name}") if name else {}
    if f"{SUBMISSIONS}/{name}/{RECORD}" not in on_main_files:
        existing -= {name} if withdraws else set()
    problems = [*_rule_problems(pull, changes, ids, name, withdraws, existing)]
    on_main = f"{SUBMISSIONS}/{name}/{WITHDRAWN if withdraws else RECORD}" in on_main_files
    if on_main and not withdraws:
        other = [path for path, change in changes.items() if not _is_same(on_main_files.get(path), change.after)]
        problems += [
            f"{show_line(path)}: differs from the file on main. Open a new pull request."
            for path in other[:_MOST_LISTED]
        ]
    return PullRequestChange(repo, pull, base, main, changes, name, withdraws, on_main, tuple(problems))


def _is_same(on_main: RemoteFile | None, proposed: RemoteFile | None) -> bool:
    """Whether two files on the Hub have the same content, as far as their listings tell."""
    if on_main is None or proposed is None or on_main.size != proposed.size:
        return False
    if (on_main.sha256 is None) != (proposed.sha256 is None):
        return True  # one is stored in LFS and the other is not, so they cannot be compared
    return on_main.blob_id == proposed.blob_id if on_main.sha256 is None else on_main.sha256 == proposed.sha256


def _merge_base(own: list[str], trunk: list[str]) -> str | None:
    trunk_commits = set(trunk)
    return next((sha for sha in own if sha in trunk_commits), None)


def _rule_problems(
    pull: PullRequest, changes: Mapping[str, Change], ids: list[str], name: str, withdraws: bool, existing: set[str]
) -> Iterator[str]:
    """Yield the changes that are not allowed: a pull request may add one submission or withdraw one."""
    if pull.target_branch not in (None, MAIN):
        yield f"the target branch of the pull request is {show_line(str(pull.target_branch))}, expected {MAIN}."
    if not changes:
        yield "the pull request changes nothing."
        return
    if len(changes) > 2 * MOST_FILES:
        yield f"the pull request changes more than {2 * MOST_FILES:,} files."
    outside = [path for path in changes if not path.startswith(f"{SUBMISSIONS}/") or path.count("/") < 2]
    for path in outside[:_MOST_LISTED]:
        is_check = path.startswith(f"{CHECKS}/")
        why = "only the maintainers' automation writes there" if is_check else "it is not part of one"
        yield f"{show_line(path)}: may not be changed by a submission: {why}."
    if len(outside) > _MOST_LISTED:
        yield f"... and {len(outside) - _MOST_LISTED:,} more files outside {SUBMISSIONS}/."
    if len(ids) > 1:
        names = ", ".join(map(show_line, ids[:_MOST_LISTED]))
        yield f"the pull request changes {len(ids)} submissions ({names}); send one at a time."
    elif ids and not name:
        yield f"{SUBMISSIONS}/{show_line(ids[0])}: is not a submission id."
    if withdraws:
        if name not in existing:
            yield f"{name}: the submission to withdraw does not exist."
        if next(iter(changes.values())).after is None:
            yield f"{name}: a withdrawal cannot be undone. Submit it again."
        return
    for each in sorted(existing & set(ids)):
        yield (
            f"{SUBMISSIONS}/{each}: is already on the leaderboard and cannot be changed. Submit a new one with "
            "--supersedes."
        )
    deleted = [path for path, change in changes.items() if change.after is None]
    yield from (f"{show_line(path)}: is deleted, which a submission may not do." for path in deleted[:_MOST_LISTED])


def read_record(proposed: PullRequestChange, work: Path) -> Submission:
    """Download the record of a pull request's submission, and compare the file listing with it.

    Raises:
        SubmissionError: the listing does not match the record, or the author is not the submitter.
        DataError: the download failed.
    """
    sizes = {
        path.removeprefix(f"{proposed.folder}/"): change.after.size
        for path, change in proposed.changes.items()
        if change.after is not None
    }
    if sizes.get(RECORD, LARGEST_RECORD + 1) > LARGEST_RECORD:
        raise SubmissionError(f"{RECORD}: is missing, or has more than {LARGEST_RECORD:,} bytes.")
    if WITHDRAWN in sizes:
        raise SubmissionError(f"{WITHDRAWN}: must not be part of a new submission.")
    record = read_submission(read_file(_download(proposed, RECORD, work), LARGEST_RECORD), RECORD)
    problems = [*_author_problems(proposed, record), *file_problems(record, sizes)]
    if problems:
        raise SubmissionError("\n".join(problems))
    return record


def fetch(proposed: PullRequestChange, record: Submission, work: Path) -> Path:
    """Download the predictions that a record lists, and return the submission's folder.

    Raises:
        DataError: a download failed.
    """
    with ThreadPoolExecutor(_DOWNLOADS) as pool:
        list(pool.map(lambda path: _download(proposed, path, work), record.files))
    return work / proposed.folder


def existing_verdict(
    proposed: PullRequestChange, record: Submission, work: Path, hashes: Mapping[str, str]
) -> tuple[Verdict | None, bool]:
    """Return the verdict on main that accepted this content, and whether it is still valid.

    It is valid if it was made by this version with the current specs, and if its replicates are on main.

    Args:
        proposed: the pull request.
        record: its record.
        work: a folder to download to.
        hashes: target -> hash of its spec.

    Raises:
        DataError: the download failed.
    """
    path = f"{CHECKS}/{proposed.id}/{VERDICT_FILE}"
    files = hub_read.list_files(proposed.repo, proposed.main, "dataset", f"{CHECKS}/{proposed.id}")
    if path not in files or files[path].size > LARGEST_VERDICT:
        return None, False
    content = read_file(hub_read.download_file(proposed.repo, proposed.main, path, "dataset", to=work), LARGEST_VERDICT)
    try:
        verdict = parse(content, path)
    except SubmissionError:
        return None, False
    if not verdict.accepted or (verdict.id, verdict.digest) != (proposed.id, record.digest):
        return None, False
    scored = (
        (task, score) for tasks in verdict.scores.values() for task, codes in tasks.items() for score in codes.values()
    )
    current = all(score.spec_hash == hashes.get(task) for task, score in scored)
    remote = files.get(f"{CHECKS}/{proposed.id}/{REPLICATES_FILE}")
    index = verdict.replicates
    drawn = index is None or (index.draw == DRAW and remote is not None and remote.sha256 == index.sha256)
    return verdict, current and drawn and verdict.versions.get("xharness") == __version__


def _download(proposed: PullRequestChange, path: str, work: Path) -> Path:
    sha = proposed.pull.proposal.sha
    return hub_read.download_file(proposed.repo, sha, f"{proposed.folder}/{path}", "dataset", to=work)


def _author_problems(proposed: PullRequestChange, record: Submission) -> Iterator[str]:
    author = proposed.pull.proposal.author
    if record.submitted_by.casefold() != author.casefold():
        yield (
            f"{RECORD}: submitted_by: found {record.submitted_by}, but {show_line(author)} opened the pull request. "
            "Users can submit only in their own name."
        )


def withdrawal_problems(proposed: PullRequestChange, work: Path) -> list[str]:
    """Return the reasons why this pull request may not withdraw the submission; [] if it may.

    Raises:
        DataError: a download failed.
    """
    change = proposed.changes[f"{proposed.folder}/{WITHDRAWN}"]
    if change.after is None or change.after.size > LARGEST_RECORD:
        return [f"{WITHDRAWN}: has more than {LARGEST_RECORD:,} bytes."]
    path = hub_read.download_file(proposed.repo, proposed.base, f"{proposed.folder}/{RECORD}", "dataset")
    try:
        problems = list(_author_problems(proposed, read_submission(read_file(_resolved(path), LARGEST_RECORD), RECORD)))
        read_withdrawal(read_file(_download(proposed, WITHDRAWN, work), LARGEST_RECORD), WITHDRAWN)
    except SubmissionError as error:
        return str(error).splitlines()
    return problems


class BoardIndex:
    """Fingerprints of the submissions on a leaderboard; unchanged records are read only once.

    Attributes:
        pending: number of a pull request -> fingerprint of its submission, while it is undecided. Later pull requests
            are compared with it as if it were on the leaderboard, so that no copy can overtake it after a failure.
    """

    def __init__(self, repo: str) -> None:
        self._repo = repo
        self._known: dict[tuple[str, str], SubmissionFingerprint | None] = {}
        self.pending: dict[int, SubmissionFingerprint] = {}

    def others(self, proposed: PullRequestChange) -> list[SubmissionFingerprint]:
        """Return the fingerprints of the submissions on main and of the pending ones, without the proposed one.

        Raises:
            DataError: a download failed.
        """
        on_main = hub_diff.folders(self._repo, proposed.main, SUBMISSIONS, "dataset")
        missing = [folder for folder in on_main.items() if folder not in self._known]
        with ThreadPoolExecutor(_DOWNLOADS) as pool:
            read = pool.map(lambda folder: self._read(proposed.main, folder[0]), missing)
            self._known.update(zip(missing, read, strict=True))
        fingerprints = [self._known[folder] for folder in on_main.items()]
        number = proposed.pull.proposal.number
        fingerprints += [submission for other, submission in self.pending.items() if other != number]
        own = proposed.id if proposed.on_main else None
        return [submission for submission in fingerprints if submission is not None and submission.id != own]

    def _read(self, sha: str, name: str) -> SubmissionFingerprint | None:
        """Return the fingerprint of a submission; None if its record is invalid, so it is not on the leaderboard."""
        path = f"{SUBMISSIONS}/{name}/{RECORD}"
        try:
            record = _read_valid_record(_resolved(hub_read.download_file(self._repo, sha, path, "dataset")), name)
            if record is None:
                # The cache of the Hub's client may hold a damaged download.
                with TemporaryDirectory() as to:
                    fresh = hub_read.download_file(self._repo, sha, path, "dataset", Path(to))
                    record = _read_valid_record(fresh, name)
        except NoSuchFile:
            return None
        return None if record is None else fingerprint(record)


def _read_valid_record(path: Path, name: str) -> Submission | None:
    """Return the record in a file; None if it is invalid or its content has another id than ``name``."""
    try:
        record = read_submission(read_file(path, LARGEST_RECORD), RECORD)
    except SubmissionError:
        return None
    return record if record.expected_id == name else None


def _resolved(path: Path) -> Path:
    # The cache of the Hub's client consists of links to its own files.
    return path.resolve()
