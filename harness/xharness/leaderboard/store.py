"""Read submissions and verdicts from a copy of the leaderboard's repository."""

from __future__ import annotations

import hashlib
import os
import stat
from dataclasses import dataclass
from pathlib import Path

from xharness.errors import SubmissionError, UsageError
from xharness.leaderboard import board, submission, verdict
from xharness.leaderboard.board import BOARD_FILE, BoardFile
from xharness.leaderboard.fields import LARGEST_RECORD
from xharness.leaderboard.submission import CHECKS, RECORD, SUBMISSIONS, WITHDRAWN, Submission
from xharness.leaderboard.verdict import REPLICATES_FILE, VERDICT_FILE, Verdict
from xharness.metrics.paired import DRAW

LARGEST_REPLICATES = 8 << 20
"""Most bytes of a replicates.bin; 200 resamples of all targets and languages need a hundred thousand."""
# Windows lacks the first two, and needs the third to read bytes.
_UNFOLLOWED = sum(getattr(os, name, 0) for name in ("O_NOFOLLOW", "O_NONBLOCK", "O_BINARY"))
_NUMBER = 2
"""Bytes per number in replicates.bin."""


@dataclass(frozen=True)
class StoredSubmission:
    """A submission in the leaderboard's repository.

    Attributes:
        submission: its record, whose id matches its content.
        digest: digest of the record, computed here.
        verdict: verdict of the check; None unless it accepted this content.
        withdrawn: why it was withdrawn; None if it was not.
        replicates: content of replicates.bin; None if it is missing or does not match the verdict.
        notes: sentences about files that were not used.
    """

    submission: Submission
    digest: str
    verdict: Verdict | None
    withdrawn: str | None
    replicates: bytes | None
    notes: tuple[str, ...]

    @property
    def checked(self) -> bool:
        """Whether its scores were computed by the check."""
        return self.verdict is not None


def read_board(folder: Path) -> BoardFile:
    """Read the board.json of a copy of a leaderboard's data set.

    Raises:
        UsageError: the folder is not a copy of a leaderboard's data set.
        SubmissionError: its board.json is invalid.
    """
    if not folder.is_dir():
        raise UsageError(f"{folder}: the folder does not exist. Give a copy of a leaderboard's data set, or --from.")
    path = folder / BOARD_FILE
    if not path.exists():
        if not (folder / SUBMISSIONS).is_dir():
            raise UsageError(
                f"{folder}: not a copy of a leaderboard's data set: it has neither {BOARD_FILE} nor {SUBMISSIONS}/. "
                "Clone one, or name it with --from org/name."
            )
        return BoardFile(schema_version=1, title=board.TITLE, space=None, maintainers=[])
    return board.parse_board(read_file(path, board.LARGEST), BOARD_FILE)


def submission_names(folder: Path) -> list[str]:
    """Return the sorted names of all submissions in a copy of a leaderboard."""
    inside = folder / SUBMISSIONS
    return sorted(os.listdir(inside)) if _is_plain_folder(inside) else []


def read_stored(folder: Path, name: str) -> StoredSubmission:
    """Read a submission with its verdict and replicates.

    Raises:
        SubmissionError: its record cannot be read, or its id is not ``name``.
    """
    inside = folder / SUBMISSIONS / name
    if not _is_plain_folder(inside):
        raise SubmissionError("it is not a folder.")
    record = submission.read_submission(read_file(inside / RECORD, LARGEST_RECORD), RECORD)
    digest = record.digest
    expected_id = submission.id_of(record.name, digest)
    if not name == record.id == expected_id:
        raise SubmissionError(f"its content has the id {expected_id}, and {RECORD} says {record.id}.")
    notes: list[str] = []
    withdrawn = _withdrawal(inside / WITHDRAWN) if os.path.lexists(inside / WITHDRAWN) else None
    accepted = _verdict(folder / CHECKS / name, record.id, digest, notes)
    replicates = None if accepted is None else _replicates(folder / CHECKS / name, accepted, notes)
    return StoredSubmission(record, digest, accepted, withdrawn, replicates, tuple(notes))


def is_accepted(folder: Path, name: str) -> bool:
    """Whether a copy of a leaderboard has a verdict that accepts a submission."""
    try:
        return read_stored(folder, name).checked
    except SubmissionError:
        return False


def _withdrawal(path: Path) -> str:
    """Return why a submission was withdrawn; it counts as withdrawn even if the reason cannot be read."""
    try:
        return submission.read_withdrawal(read_file(path, board.LARGEST), WITHDRAWN).reason
    except SubmissionError:
        return "no readable reason was given"


def _verdict(inside: Path, name: str, digest: str, notes: list[str]) -> Verdict | None:
    """Return the verdict that accepts this content; None if there is none, with a note if there is another."""
    if not os.path.lexists(inside / VERDICT_FILE):
        return None
    try:
        if not _is_plain_folder(inside):
            raise SubmissionError("it is not a folder.")
        parsed = verdict.parse(read_file(inside / VERDICT_FILE, verdict.LARGEST), VERDICT_FILE)
    except SubmissionError as error:
        notes.append(f"{CHECKS}/{name} cannot be read, so its scores count as not checked: {_first_line(error)}")
        return None
    if (parsed.id, parsed.digest) != (name, digest):
        notes.append(f"{CHECKS}/{name} is a verdict on other content, so its scores count as not checked.")
        return None
    if not parsed.accepted:
        notes.append(f"{name} was merged although the check refused it, so its scores count as not checked.")
        return None
    return parsed


def _replicates(inside: Path, checked: Verdict, notes: list[str]) -> bytes | None:
    index = checked.replicates
    if index is None:
        return None
    if index.draw != DRAW:
        notes.append(
            f"{CHECKS}/{checked.id}: its replicates were drawn by another method; check it again to make it comparable."
        )
        return None
    try:
        content = read_file(inside / REPLICATES_FILE, LARGEST_REPLICATES)
    except SubmissionError as error:
        notes.append(f"{CHECKS}/{checked.id} has no replicates, so it cannot be compared: {_first_line(error)}")
        return None
    expected_size = len(index.cells) * index.resamples * _NUMBER
    if len(content) != expected_size or hashlib.sha256(content).hexdigest() != index.sha256:
        notes.append(
            f"{CHECKS}/{checked.id}/{REPLICATES_FILE} differs from the one in the verdict, so it cannot be compared "
            "(a clone without `git lfs pull` has only pointers)."
        )
        return None
    return content


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0]


def _is_plain_folder(path: Path) -> bool:
    """Whether the path is a folder and not a link."""
    try:
        return stat.S_ISDIR(os.lstat(path).st_mode)
    except (OSError, ValueError):
        return False


def read_file(path: Path, limit: int) -> bytes:
    """Return the content of an untrusted file.

    Raises:
        SubmissionError: it is missing, not a regular file (a link, a pipe, a device), or has more than ``limit`` bytes.
    """
    try:
        # Opened without blocking: a pipe that nobody writes to would block forever.
        descriptor = os.open(path, os.O_RDONLY | _UNFOLLOWED)
        with os.fdopen(descriptor, "rb") as file:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise SubmissionError(f"{path.name} is not a regular file.")
            content = file.read(limit + 1)
    except OSError as error:
        raise SubmissionError(f"{path.name} cannot be read: {error.strerror}.") from None
    if len(content) > limit:
        raise SubmissionError(f"{path.name} has more than {limit:,} bytes, the limit for this kind of file.")
    return content
