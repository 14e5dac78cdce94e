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
from xharness.leaderboard.rules import SubmissionFingerprint, known
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
_AT_ONCE = 8
"""Downloads at the same time."""
_NAMED = 10


@dataclass(frozen=True)
class PullRequestChange:
    """A pull request, and what it changes.

    Attributes:
        base: the commit of main that it was made from.
        main: the commit that main stands at.
        changes: by path.
        id: of the one submission that it is about; '' where there is no such.
        withdraws: whether it withdraws a submission that was merged before.
        landed: whether main holds such a submission, or such a withdrawal, by now.
        problems: why what it changes may not be changed.
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
        """Where the submission lies in the repository."""
        return f"{SUBMISSIONS}/{self.id}"


def inspect(repo: str, number: int) -> PullRequestChange:
    """Return what a pull request changes; nothing of it is downloaded.

    Raises:
        PublishError: there is no such pull request.
        DataError: the repository cannot be read.
    """
    pull = pull_request(repo, number, repo_type="dataset")
    if not pull.proposal.sha:
        raise PublishError(f"{repo}: {pull.proposal.ref} is gone, so nobody can say what it held.")
    main = hub_read.resolve(repo, "main", "dataset", fresh=True)
    trunk = hub_diff.history(repo, main, "dataset")
    own = hub_diff.history(repo, pull.proposal.sha, "dataset")
    # If main stands on it, all its commits are main's, too: what its last one changed is all that can be said.
    base = own[1] if own[0] in trunk and len(own) > 1 else _first_shared(own, trunk)
    if base is None:
        problem = "the pull request shares no commit with main. Open a new one."
        return PullRequestChange(repo, pull, main, main, {}, "", False, False, (problem,))
    changes = hub_diff.changes(repo, base, pull.proposal.sha, "dataset", most=2 * MOST_FILES)
    ids = sorted({path.split("/")[1] for path in changes if path.startswith(f"{SUBMISSIONS}/") and path.count("/") > 1})
    name = ids[0] if len(ids) == 1 and re.fullmatch(ID, ids[0], re.ASCII) else ""
    withdraws = list(changes) == [f"{SUBMISSIONS}/{name}/{WITHDRAWN}"]
    there = set(hub_diff.names(repo, base, SUBMISSIONS, "dataset"))
    mine = hub_read.list_files(repo, main, "dataset", f"{SUBMISSIONS}/{name}") if name else {}
    if f"{SUBMISSIONS}/{name}/{RECORD}" not in mine:
        there -= {name} if withdraws else set()
    problems = [*_rule_problems(pull, changes, ids, name, withdraws, there)]
    on_main = f"{SUBMISSIONS}/{name}/{WITHDRAWN if withdraws else RECORD}" in mine
    if on_main and not withdraws:
        other = [path for path, change in changes.items() if not _is_same(mine.get(path), change.after)]
        problems += [
            f"{show_line(path)}: is on main otherwise than here. Open a new pull request." for path in other[:_NAMED]
        ]
    return PullRequestChange(repo, pull, base, main, changes, name, withdraws, on_main, tuple(problems))


def _is_same(there: RemoteFile | None, here: RemoteFile | None) -> bool:
    """Whether two files of the Hub have the same content, as far as one can say without reading them."""
    if there is None or here is None or there.size != here.size:
        return False
    if (there.sha256 is None) != (here.sha256 is None):
        return True  # kept in two ways; nobody can say
    return there.blob_id == here.blob_id if there.sha256 is None else there.sha256 == here.sha256


def _first_shared(mine: list[str], trunk: list[str]) -> str | None:
    known = set(trunk)
    return next((sha for sha in mine if sha in known), None)


def _rule_problems(
    pull: PullRequest, changes: Mapping[str, Change], ids: list[str], name: str, withdraws: bool, there: set[str]
) -> Iterator[str]:
    """Yield why a pull request changes what it may not: it may add one submission, or withdraw one."""
    if pull.target_branch not in (None, MAIN):
        yield f"the pull request is onto {show_line(str(pull.target_branch))}, expected {MAIN}."
    if not changes:
        yield "the pull request changes nothing."
        return
    if len(changes) > 2 * MOST_FILES:
        yield f"the pull request changes more than {2 * MOST_FILES:,} files."
    outside = [path for path in changes if not path.startswith(f"{SUBMISSIONS}/") or path.count("/") < 2]
    for path in outside[:_NAMED]:
        why = "only the maintainers' automation writes there" if path.startswith(f"{CHECKS}/") else "it is not yours"
        yield f"{show_line(path)}: may not be changed by a submission: {why}."
    if len(outside) > _NAMED:
        yield f"... and {len(outside) - _NAMED:,} more files outside of {SUBMISSIONS}/."
    if len(ids) > 1:
        listed = ", ".join(map(show_line, ids[:_NAMED]))
        yield f"the pull request changes {len(ids)} submissions ({listed}); one is sent at a time."
    elif ids and not name:
        yield f"{SUBMISSIONS}/{show_line(ids[0])}: is no id of a submission."
    if withdraws:
        if name not in there:
            yield f"{name}: there is no such submission to withdraw."
        if next(iter(changes.values())).after is None:
            yield f"{name}: a submission that was withdrawn stays so. Submit it anew."
        return
    for each in sorted(there & set(ids)):
        yield f"{SUBMISSIONS}/{each}: is on the board already, and what is there is not changed. Use --supersedes."
    gone = [path for path, change in changes.items() if change.after is None]
    yield from (f"{show_line(path)}: is removed, which no submission may." for path in gone[:_NAMED])


def read_record(proposed: PullRequestChange, work: Path) -> Submission:
    """Download the record of a pull request's submission, and compare the listing with it.

    Raises:
        SubmissionError: the listing is not what the record says, or its author is not who submits.
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
        raise SubmissionError(f"{WITHDRAWN}: does not belong into a new submission.")
    submission = read_submission(read_file(_download(proposed, RECORD, work), LARGEST_RECORD), RECORD)
    problems = [*_author_problems(proposed, submission), *file_problems(submission, sizes)]
    if problems:
        raise SubmissionError("\n".join(problems))
    return submission


def fetch(proposed: PullRequestChange, submission: Submission, work: Path) -> Path:
    """Download the predictions that a record names beside it, and return the submission's folder.

    Raises:
        DataError: a download failed.
    """
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        list(pool.map(lambda path: _download(proposed, path, work), submission.files))
    return work / proposed.folder


def recorded(
    proposed: PullRequestChange, submission: Submission, work: Path, hashes: Mapping[str, str]
) -> tuple[Verdict | None, bool]:
    """Return the verdict on main that accepted this very content, and whether it holds still.

    It does if this version made it, of the specs of now, and its replicates are there.

    Args:
        proposed: the pull request.
        submission: its record.
        work: a folder to download to.
        hashes: target -> hash of its spec.

    Raises:
        DataError: the download failed.
    """
    path = f"{CHECKS}/{proposed.id}/{VERDICT_FILE}"
    there = hub_read.list_files(proposed.repo, proposed.main, "dataset", f"{CHECKS}/{proposed.id}")
    if path not in there or there[path].size > LARGEST_VERDICT:
        return None, False
    content = read_file(hub_read.download_file(proposed.repo, proposed.main, path, "dataset", to=work), LARGEST_VERDICT)
    try:
        kept = parse(content, path)
    except SubmissionError:
        return None, False
    if not kept.accepted or (kept.id, kept.digest) != (proposed.id, submission.digest):
        return None, False
    scored = (
        (task, each) for tasks in kept.scores.values() for task, codes in tasks.items() for each in codes.values()
    )
    current = all(each.spec_hash == hashes.get(task) for task, each in scored)
    remote = there.get(f"{CHECKS}/{proposed.id}/{REPLICATES_FILE}")
    index = kept.replicates
    drawn = index is None or (index.draw == DRAW and remote is not None and remote.sha256 == index.sha256)
    return kept, current and drawn and kept.versions.get("xharness") == __version__


def _download(proposed: PullRequestChange, path: str, work: Path) -> Path:
    sha = proposed.pull.proposal.sha
    return hub_read.download_file(proposed.repo, sha, f"{proposed.folder}/{path}", "dataset", to=work)


def _author_problems(proposed: PullRequestChange, submission: Submission) -> Iterator[str]:
    author = proposed.pull.proposal.author
    if submission.submitted_by.casefold() != author.casefold():
        yield (
            f"{RECORD}: submitted_by: found {submission.submitted_by}, but {show_line(author)} opened the pull "
            "request. "
            "Everyone submits in their own name."
        )


def withdrawal_problems(proposed: PullRequestChange, work: Path) -> list[str]:
    """Return why a submission may not be withdrawn by this pull request; [] if it may.

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
    """What is needed of a board's submissions to compare others with them; what did not change is read once.

    Attributes:
        ahead: number of a pull request -> what it submits, while nothing is decided: those behind it are compared with
            it as if it were on the board, so that a failure lets no copy overtake it.
    """

    def __init__(self, repo: str) -> None:
        self._repo = repo
        self._known: dict[tuple[str, str], SubmissionFingerprint | None] = {}
        self.ahead: dict[int, SubmissionFingerprint] = {}

    def beside(self, proposed: PullRequestChange) -> list[SubmissionFingerprint]:
        """Return what is needed of the submissions on main, and of those ahead, without the one that is proposed.

        Raises:
            DataError: a download failed.
        """
        there = hub_diff.folders(self._repo, proposed.main, SUBMISSIONS, "dataset")
        wanted = [each for each in there.items() if each not in self._known]
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            read = pool.map(lambda each: self._read(proposed.main, each[0]), wanted)
            self._known.update(zip(wanted, read, strict=True))
        others = [self._known[each] for each in there.items()]
        others += [each for number, each in self.ahead.items() if number != proposed.pull.proposal.number]
        own = proposed.id if proposed.on_main else None
        return [each for each in others if each is not None and each.id != own]

    def _read(self, sha: str, name: str) -> SubmissionFingerprint | None:
        """Return what is needed of a submission; None where its record is none, as which it is not on the board."""
        path = f"{SUBMISSIONS}/{name}/{RECORD}"
        try:
            submission = _whole(_resolved(hub_read.download_file(self._repo, sha, path, "dataset")), name)
            if submission is None:
                # The cache of the Hub's client may have kept what came damaged.
                with TemporaryDirectory() as to:
                    submission = _whole(hub_read.download_file(self._repo, sha, path, "dataset", Path(to)), name)
        except NoSuchFile:
            return None
        return None if submission is None else known(submission)


def _whole(path: Path, name: str) -> Submission | None:
    """Return a record whose content has the id that it is filed under; else None."""
    try:
        submission = read_submission(read_file(path, LARGEST_RECORD), RECORD)
    except SubmissionError:
        return None
    return submission if submission.right_id == name else None


def _resolved(path: Path) -> Path:
    # The cache of the Hub's client is made of links to its own files.
    return path.resolve()
