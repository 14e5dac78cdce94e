"""Read the leaderboard's repository; mirror it from the Hub."""

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
"""Bytes: 200 resamples of all targets and languages need a hundred thousand."""
# Windows has none of the first two, and reads text unless it is told otherwise.
_UNFOLLOWED = sum(getattr(os, name, 0) for name in ("O_NOFOLLOW", "O_NONBLOCK", "O_BINARY"))
_NUMBER = 2
"""Bytes of a number in replicates.bin."""


@dataclass(frozen=True)
class StoredSubmission:
    """A submission as it lies in the board's repository.

    Attributes:
        submission: its record, whose id is that of its content.
        digest: of the record, computed here.
        verdict: the check's; None unless it accepted this very content.
        withdrawn: why it was withdrawn; None where it was not.
        replicates: content of replicates.bin; None where there is none that the verdict vouches for.
        notes: sentences about what was found and not used.
    """

    submission: Submission
    digest: str
    verdict: Verdict | None
    withdrawn: str | None
    replicates: bytes | None
    notes: tuple[str, ...]

    @property
    def checked(self) -> bool:
        """Whether its numbers were computed by the check."""
        return self.verdict is not None


def read_about(folder: Path) -> BoardFile:
    """Return what the board says of itself.

    Raises:
        UsageError: the folder is no copy of a board's data set.
        SubmissionError: its board.json is none.
    """
    if not folder.is_dir():
        raise UsageError(f"{folder}: there is no such folder. Give a copy of a leaderboard's data set, or --from.")
    path = folder / BOARD_FILE
    if not path.exists():
        if not (folder / SUBMISSIONS).is_dir():
            raise UsageError(
                f"{folder}: neither {BOARD_FILE} nor {SUBMISSIONS}/ is in it, so it is no copy of a leaderboard's data "
                "set. Clone one, or name it with --from org/name."
            )
        return BoardFile(schema_version=1, title=board.TITLE, space=None, maintainers=[])
    return board.read_board(read_file(path, board.LARGEST), BOARD_FILE)


def names(folder: Path) -> list[str]:
    """Return the names of all submissions in a board's folder, sorted."""
    inside = folder / SUBMISSIONS
    return sorted(os.listdir(inside)) if _is_plain_folder(inside) else []


def read_one(folder: Path, name: str) -> StoredSubmission:
    """Return a submission.

    Raises:
        SubmissionError: its record cannot be read, or is not that of this name.
    """
    inside = folder / SUBMISSIONS / name
    if not _is_plain_folder(inside):
        raise SubmissionError("it is no folder.")
    record = submission.read_submission(read_file(inside / RECORD, LARGEST_RECORD), RECORD)
    digest = record.digest
    right = submission.id_of(record.name, digest)
    if not name == record.id == right:
        raise SubmissionError(f"its content has the id {right}, and {RECORD} says {record.id}.")
    notes: list[str] = []
    withdrawn = _withdrawal(inside / WITHDRAWN) if os.path.lexists(inside / WITHDRAWN) else None
    judged = _verdict(folder / CHECKS / name, record.id, digest, notes)
    replicates = None if judged is None else _replicates(folder / CHECKS / name, judged, notes)
    return StoredSubmission(record, digest, judged, withdrawn, replicates, tuple(notes))


def accepted(folder: Path, name: str) -> bool:
    """Whether a submission is in a board's folder with a verdict that accepts it."""
    try:
        return read_one(folder, name).checked
    except SubmissionError:
        return False


def _withdrawal(path: Path) -> str:
    """Return why a submission was withdrawn; it is withdrawn even where that cannot be read."""
    try:
        return submission.read_withdrawal(read_file(path, board.LARGEST), WITHDRAWN).reason
    except SubmissionError:
        return "no reason that can be read was given"


def _verdict(inside: Path, name: str, digest: str, notes: list[str]) -> Verdict | None:
    """Return the verdict that accepts this very content; None where there is none, and a note if there is another."""
    if not os.path.lexists(inside / VERDICT_FILE):
        return None
    try:
        if not _is_plain_folder(inside):
            raise SubmissionError("it is no folder.")
        parsed = verdict.parse(read_file(inside / VERDICT_FILE, verdict.LARGEST), VERDICT_FILE)
    except SubmissionError as error:
        notes.append(f"{CHECKS}/{name} cannot be read, so its scores count as not checked: {_first_line(error)}")
        return None
    if (parsed.id, parsed.digest) != (name, digest):
        notes.append(f"{CHECKS}/{name} is of another content than was merged, so its scores count as not checked.")
        return None
    if not parsed.accepted:
        notes.append(f"{name} was merged although the check refused it, so its scores count as not checked.")
        return None
    return parsed


def _replicates(inside: Path, judged: Verdict, notes: list[str]) -> bytes | None:
    index = judged.replicates
    if index is None:
        return None
    if index.draw != DRAW:
        notes.append(
            f"{CHECKS}/{judged.id}: its replicates were drawn otherwise than now; check it again to compare it."
        )
        return None
    try:
        content = read_file(inside / REPLICATES_FILE, LARGEST_REPLICATES)
    except SubmissionError as error:
        notes.append(f"{CHECKS}/{judged.id} has no replicates, so it cannot be compared: {_first_line(error)}")
        return None
    right_size = len(index.cells) * index.resamples * _NUMBER
    if len(content) != right_size or hashlib.sha256(content).hexdigest() != index.sha256:
        notes.append(
            f"{CHECKS}/{judged.id}/{REPLICATES_FILE} is not the file that the verdict names, so it cannot be compared "
            "with others (a clone without `git lfs pull` has pointers only)."
        )
        return None
    return content


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0]


def _is_plain_folder(path: Path) -> bool:
    """Whether it is a folder, and no link to one."""
    try:
        return stat.S_ISDIR(os.lstat(path).st_mode)
    except (OSError, ValueError):
        return False


def read_file(path: Path, most: int) -> bytes:
    """Return the content of a file that somebody else made.

    Raises:
        SubmissionError: it is not there, no plain file (a link, a pipe, a device), or has more than ``most`` bytes.
    """
    try:
        # A pipe that nobody writes to would keep a reader waiting for ever; so it is opened without waiting.
        descriptor = os.open(path, os.O_RDONLY | _UNFOLLOWED)
        with os.fdopen(descriptor, "rb") as file:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise SubmissionError(f"{path.name} is no plain file.")
            content = file.read(most + 1)
    except OSError as error:
        raise SubmissionError(f"{path.name} cannot be read: {error.strerror}.") from None
    if len(content) > most:
        raise SubmissionError(f"{path.name} has more than {most:,} bytes, which no file of its kind has.")
    return content
