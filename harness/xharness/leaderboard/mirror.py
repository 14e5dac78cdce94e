"""Bringing the records of a board from the Hub: submissions and verdicts of one commit, without their predictions."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from xharness.errors import DataError, OutputError, UsageError, XharnessError
from xharness.hub import read as hub_read
from xharness.hub import repository as hub_repository
from xharness.hub.read import RemoteFile
from xharness.leaderboard import board
from xharness.leaderboard.board import BOARD_FILE
from xharness.leaderboard.fields import LARGEST_RECORD
from xharness.leaderboard.rows import SCORES_FILE
from xharness.leaderboard.store import LARGEST_REPLICATES
from xharness.leaderboard.submission import CHECKS, RECORD, SUBMISSIONS, WITHDRAWN
from xharness.leaderboard.verdict import LARGEST as LARGEST_VERDICT
from xharness.leaderboard.verdict import REPLICATES_FILE, VERDICT_FILE
from xharness.text import strip_controls

_AT_ONCE = 8
_MARK = ".xharness-copy"
"""Says in a kept folder of which board it is a copy."""
_LARGEST_SCORES = 256 << 20
# In scores.json what it was built from stands before all that submitters wrote but the title.
_BUILT_FROM = re.compile(rb'"built_from":\{"repo":"[^"]*","sha":"([0-9a-f]{40})"\}')
_BEGINNING = 2000
_ID = r"[a-z0-9-]{1,60}"
# Path in the repository -> the most bytes that are brought of it; all else is of no use to a build.
_WANTED = {
    re.compile(re.escape(BOARD_FILE)): board.LARGEST,
    re.compile(f"{SUBMISSIONS}/{_ID}/{re.escape(RECORD)}"): LARGEST_RECORD,
    re.compile(f"{SUBMISSIONS}/{_ID}/{re.escape(WITHDRAWN)}"): board.LARGEST,
    re.compile(f"{CHECKS}/{_ID}/{re.escape(VERDICT_FILE)}"): LARGEST_VERDICT,
    re.compile(f"{CHECKS}/{_ID}/{re.escape(REPLICATES_FILE)}"): LARGEST_REPLICATES,
}


@dataclass(frozen=True)
class MirrorResult:
    """What was brought.

    Attributes:
        sha: the commit; that of the last build where nothing changed since but what that build wrote.
        files: how many.
        left_there: sentences about files that were not brought.
    """

    sha: str
    files: int
    left_there: tuple[str, ...]


def mirror(
    repo: str, revision: str | None, to: Path, tell: Callable[[int], object] = lambda files: None
) -> MirrorResult:
    """Bring the records of a board's data set into a folder; of those that are there, only what changed.

    Args:
        repo: ``org/name``.
        revision: branch, tag or commit; None: main.
        to: the folder: new, empty, or with what was brought earlier.
        tell: is given the number of files whenever some have come.

    Raises:
        UsageError: the folder holds something else.
        DataError: there is no such data set, or none that is a board; or the Hub cannot be reached.
        OutputError: the folder cannot be written.
    """
    with _writing(to):
        _claim(to, repo)
        _refuse_links(to)
    sha = hub_read.resolve(repo, revision, "dataset", fresh=True)
    wanted: list[str] = []
    left_there: list[str] = []
    there = hub_read.list_files(repo, sha, "dataset")
    for path, file in sorted(there.items()):
        most = _most(path)
        if most is None:
            continue
        if file.size > most:
            left_there.append(
                f"{path} is left there: {file.size:,} bytes, and no file of its kind has more than {most:,}."
            )
        else:
            wanted.append(path)
    if BOARD_FILE not in wanted and not any(path.startswith(f"{SUBMISSIONS}/") for path in wanted):
        raise DataError(
            f"{repo}: neither {BOARD_FILE} nor {SUBMISSIONS}/ is in it, so it is no leaderboard. `xharness leaderboard "
            f"init {repo}` makes one."
        )
    with _writing(to):
        _drop(to, set(wanted))
        (to / SUBMISSIONS).mkdir(exist_ok=True)

    def one(path: str) -> None:
        if not there[path].is_at(to / path):
            # The Hub's client takes what lies there for what it brought itself if it is not older.
            (to / path).unlink(missing_ok=True)
            hub_read.download_file(repo, sha, path, "dataset", to)
        tell(1)

    with _writing(to), ThreadPoolExecutor(_AT_ONCE) as pool:
        # A list, so that what went wrong in any of them is raised here.
        list(pool.map(one, wanted))
    return MirrorResult(_earlier(repo, sha, there) or sha, len(wanted), tuple(left_there))


def _claim(copy: Path, repo: str) -> None:
    """Mark a new or empty folder as the copy of this board.

    Raises:
        UsageError: it holds something else.
    """
    mine = hub_repository.address(repo, "dataset") + "\n"
    if not copy.exists() or (copy.is_dir() and not any(copy.iterdir())):
        copy.mkdir(parents=True, exist_ok=True)
        (copy / _MARK).write_text(mine, encoding="utf-8")
        return
    mark = copy / _MARK
    if not mark.is_file() or mark.is_symlink():
        raise UsageError(f"{copy}: holds something else than what --keep left there. Name a folder of its own.")
    content = mark.read_text(encoding="utf-8", errors="replace")
    if content != mine:
        raise UsageError(
            f"{copy}: is a copy of {strip_controls(content.strip())}. Name another folder for {mine.strip()}."
        )


def _refuse_links(copy: Path) -> None:
    """Raise UsageError where something in the copy is a link: what lies elsewhere is neither read nor removed."""
    for folder in (SUBMISSIONS, CHECKS):
        for path in (copy / folder, *(copy / folder).glob("*"), *(copy / folder).glob("*/*")):
            if path.is_symlink():
                raise UsageError(f"{path}: is a link, which no board has. Remove it, or name another folder.")


@contextmanager
def _writing(copy: Path) -> Iterator[None]:
    """Turn what goes wrong in the folder itself into a sentence."""
    try:
        yield
    except OSError as error:
        raise OutputError(f"{error.filename or copy}: cannot be kept there: {error.strerror}.") from None


def _drop(copy: Path, wanted: set[str]) -> None:
    """Remove the records of a copy that are no longer wanted; whatever else lies there is left alone."""
    for folder in (SUBMISSIONS, CHECKS):
        for path in sorted((copy / folder).glob("*/*")):
            name = path.relative_to(copy).as_posix()
            if _most(name) is not None and name not in wanted:
                path.unlink()
                if not any(path.parent.iterdir()):
                    path.parent.rmdir()


def _most(path: str) -> int | None:
    """Return how many bytes a record may have; None for a file that is none."""
    return next((most for pattern, most in _WANTED.items() if pattern.fullmatch(path)), None)


def _earlier(repo: str, head: str, there: Mapping[str, RemoteFile]) -> str | None:
    """Return the commit that the last build was made of, if the records are still those of then.

    A build that is put on the Hub is a commit itself, and must be no reason for the next one.
    """
    if SCORES_FILE not in there or there[SCORES_FILE].size > _LARGEST_SCORES:
        return None
    with TemporaryDirectory() as to:
        path = hub_read.download_file(repo, head, SCORES_FILE, "dataset", Path(to))
        with path.open("rb") as file:
            match = _BUILT_FROM.search(file.read(_BEGINNING))
    if match is None:
        return None
    sha = match[1].decode()
    try:
        then = hub_read.list_files(repo, sha, "dataset")
    except XharnessError:
        return None
    return sha if _records(then) == _records(there) else None


def _records(there: Mapping[str, RemoteFile]) -> dict[str, RemoteFile]:
    return {path: file for path, file in there.items() if _most(path) is not None}
