"""Mirror the records of a leaderboard from the Hub: submissions and verdicts, without predictions."""

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

_DOWNLOADS = 8
_MARKER = ".xharness-copy"
"""File in a kept folder that names the leaderboard it is a copy of."""
_LARGEST_SCORES = 256 << 20
# In scores.json, `built_from` comes before everything that submitters wrote except the title.
_BUILT_FROM = re.compile(rb'"built_from":\{"repo":"[^"]*","sha":"([0-9a-f]{40})"\}')
_HEAD_BYTES = 2000
_ID = r"[a-z0-9-]{1,60}"
# Path in the repository -> size limit in bytes. A build needs no other files.
_WANTED = {
    re.compile(re.escape(BOARD_FILE)): board.LARGEST,
    re.compile(f"{SUBMISSIONS}/{_ID}/{re.escape(RECORD)}"): LARGEST_RECORD,
    re.compile(f"{SUBMISSIONS}/{_ID}/{re.escape(WITHDRAWN)}"): board.LARGEST,
    re.compile(f"{CHECKS}/{_ID}/{re.escape(VERDICT_FILE)}"): LARGEST_VERDICT,
    re.compile(f"{CHECKS}/{_ID}/{re.escape(REPLICATES_FILE)}"): LARGEST_REPLICATES,
}


@dataclass(frozen=True)
class MirrorResult:
    """The result of mirroring a leaderboard.

    Attributes:
        sha: the commit, or the commit of the last build if only that build's own files changed since.
        files: number of files.
        skipped: sentences about files that were not downloaded.
    """

    sha: str
    files: int
    skipped: tuple[str, ...]


def mirror(
    repo: str, revision: str | None, to: Path, on_files: Callable[[int], object] = lambda files: None
) -> MirrorResult:
    """Download the records of a leaderboard's data set into a folder; unchanged files are not downloaded again.

    Args:
        repo: ``org/name``.
        revision: branch, tag or commit; None: main.
        to: the folder: new, empty, or an earlier copy.
        on_files: called with the number of files whenever some are done.

    Raises:
        UsageError: the folder holds other files.
        DataError: the data set does not exist or is not a leaderboard, or the Hub cannot be reached.
        OutputError: the folder cannot be written.
    """
    with _explain_errors(to):
        _mark_copy(to, repo)
        _refuse_links(to)
    sha = hub_read.resolve(repo, revision, "dataset", fresh=True)
    wanted: list[str] = []
    skipped: list[str] = []
    remote_files = hub_read.list_files(repo, sha, "dataset")
    for path, file in sorted(remote_files.items()):
        limit = _size_limit(path)
        if limit is None:
            continue
        if file.size > limit:
            skipped.append(f"{path} was not downloaded: it has {file.size:,} bytes, more than the limit of {limit:,}.")
        else:
            wanted.append(path)
    if BOARD_FILE not in wanted and not any(path.startswith(f"{SUBMISSIONS}/") for path in wanted):
        raise DataError(
            f"{repo}: not a leaderboard: it has neither {BOARD_FILE} nor {SUBMISSIONS}/. `xharness leaderboard init "
            f"{repo}` creates one."
        )
    with _explain_errors(to):
        _remove_obsolete(to, set(wanted))
        (to / SUBMISSIONS).mkdir(exist_ok=True)

    def download(path: str) -> None:
        if not remote_files[path].is_at(to / path):
            # The Hub's client treats an existing file as its own download if it is not older.
            (to / path).unlink(missing_ok=True)
            hub_read.download_file(repo, sha, path, "dataset", to)
        on_files(1)

    with _explain_errors(to), ThreadPoolExecutor(_DOWNLOADS) as pool:
        # A list, so that an error in any download is raised here.
        list(pool.map(download, wanted))
    return MirrorResult(_last_build(repo, sha, remote_files) or sha, len(wanted), tuple(skipped))


def _mark_copy(copy: Path, repo: str) -> None:
    """Mark a new or empty folder as the copy of this leaderboard.

    Raises:
        UsageError: it holds other files.
    """
    expected = hub_repository.address(repo, "dataset") + "\n"
    if not copy.exists() or (copy.is_dir() and not any(copy.iterdir())):
        copy.mkdir(parents=True, exist_ok=True)
        (copy / _MARKER).write_text(expected, encoding="utf-8")
        return
    marker = copy / _MARKER
    if not marker.is_file() or marker.is_symlink():
        raise UsageError(f"{copy}: holds files that --keep did not write. Name a new folder.")
    content = marker.read_text(encoding="utf-8", errors="replace")
    if content != expected:
        raise UsageError(
            f"{copy}: a copy of {strip_controls(content.strip())}. Name another folder for {expected.strip()}."
        )


def _refuse_links(copy: Path) -> None:
    """Raise UsageError if the copy holds a link, so that nothing outside the folder is read or removed."""
    for folder in (SUBMISSIONS, CHECKS):
        for path in (copy / folder, *(copy / folder).glob("*"), *(copy / folder).glob("*/*")):
            if path.is_symlink():
                raise UsageError(f"{path}: a link, which a leaderboard never has. Remove it, or name another folder.")


@contextmanager
def _explain_errors(copy: Path) -> Iterator[None]:
    """Turn an OSError of the folder into an OutputError."""
    try:
        yield
    except OSError as error:
        raise OutputError(f"{error.filename or copy}: cannot be written: {error.strerror}.") from None


def _remove_obsolete(copy: Path, wanted: set[str]) -> None:
    """Remove records of a copy that are no longer needed; other files are left alone."""
    for folder in (SUBMISSIONS, CHECKS):
        for path in sorted((copy / folder).glob("*/*")):
            name = path.relative_to(copy).as_posix()
            if _size_limit(name) is not None and name not in wanted:
                path.unlink()
                if not any(path.parent.iterdir()):
                    path.parent.rmdir()


def _size_limit(path: str) -> int | None:
    """Return the size limit of a record in bytes; None for a file that is not a record."""
    return next((limit for pattern, limit in _WANTED.items() if pattern.fullmatch(path)), None)


def _last_build(repo: str, head: str, remote_files: Mapping[str, RemoteFile]) -> str | None:
    """Return the commit that the last build was made from, if the records have not changed since.

    Pushing a build creates a commit itself, which must not cause another build.
    """
    if SCORES_FILE not in remote_files or remote_files[SCORES_FILE].size > _LARGEST_SCORES:
        return None
    with TemporaryDirectory() as to:
        path = hub_read.download_file(repo, head, SCORES_FILE, "dataset", Path(to))
        with path.open("rb") as file:
            match = _BUILT_FROM.search(file.read(_HEAD_BYTES))
    if match is None:
        return None
    sha = match[1].decode()
    try:
        earlier_files = hub_read.list_files(repo, sha, "dataset")
    except XharnessError:
        return None
    return sha if _records(earlier_files) == _records(remote_files) else None


def _records(files: Mapping[str, RemoteFile]) -> dict[str, RemoteFile]:
    return {path: file for path, file in files.items() if _size_limit(path) is not None}
