"""The folder that a checkpoint is pulled into: whose it is, who writes in it, and which paths lie in it."""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from xharness.errors import ModelError, OutputError, UsageError

if sys.platform != "win32":
    import fcntl

DONE = ".pulled.json"
"""What says that all of a checkpoint is there, of which repository, at which commit, with which digests."""
STAGING = ".pull"
"""The folder in which files lie until they are proved; it is there only while a pull is not at its end."""
BEGUN = f"{STAGING}/begun.json"
"""What says which repository, at which commit, is on its way."""

# Names that Windows takes for devices, in any folder and with any ending.
_DEVICE = re.compile(r"(?i)(con|prn|aux|nul|com\d|lpt\d)(\..*)?")


def check_paths(repo: str, to: Path, paths: Collection[str]) -> None:
    """Raise ModelError if a repository's path leads out of the folder, UsageError if a link in the folder does."""
    unsafe = [ascii(path) for path in paths if not _is_plain(path)]
    if unsafe:
        raise ModelError(
            f"{repo}: names files that cannot safely be written: {', '.join(unsafe[:4])}. Nothing was "
            "downloaded; tell its owner."
        )
    here = os.path.realpath(to)  # where links go round in a circle, Path.resolve raises an error
    leading = [p for p in [STAGING, *paths] if not Path(os.path.realpath(to / p)).is_relative_to(here)]
    if leading:
        raise UsageError(
            f"{to / leading[0]}: is or lies below a symbolic link that leads out of {to}. Remove the "
            "link, or give another folder."
        )


def _is_plain(path: str) -> bool:
    """Whether a path names a file below the folder on every system, and none that a pull keeps for itself."""
    parts = path.split("/")
    return (
        path.isprintable()
        and not re.search(r'[\\:*?"<>|]', path)
        and not any(part in ("", ".", "..") or part[-1] in ". " or _DEVICE.fullmatch(part) for part in parts)
        and parts[0] not in (STAGING, DONE)
    )


def begun(to: Path, repo: str) -> str | None:
    """Return the commit of this repository that the folder holds, whole or in part; None where it holds none.

    Raises:
        UsageError: it holds one of another repository.
    """
    for path in (to / DONE, to / BEGUN):
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            repository, sha = str(content["repo"]), str(content["sha"])
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            continue
        if repository != repo:
            raise UsageError(f"{to}: holds {repository} at {sha[:12]}, and {repo} is asked for. Give another folder.")
        return sha
    return None


@contextmanager
def alone(to: Path) -> Iterator[None]:
    """Keep other processes out of a folder, which is made; what was made for nothing goes again."""
    staging, new = to / STAGING, not to.exists()
    if staging.is_symlink():
        raise UsageError(f"{staging}: is a symbolic link. Remove it, or give another folder.")
    staging.mkdir(parents=True, exist_ok=True)
    with (staging / "lock").open("a") as held:
        try:
            if sys.platform != "win32":
                fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UsageError(f"Another process pulls into {to} now. Wait for it, or give another folder.") from None
        try:
            yield
        finally:
            if staging.is_dir() and [path.name for path in staging.iterdir()] == ["lock"]:
                shutil.rmtree(staging)
                if new and not any(to.iterdir()):
                    to.rmdir()


@contextmanager
def writing(to: Path) -> Iterator[None]:
    """Say in a sentence what the disk refuses."""
    try:
        yield
    except OSError as error:
        raise OutputError(
            f"{error.filename or to}: cannot be read or written: {error.strerror or error}. Make room or choose "
            "another folder, and run the same command again: what is whole is kept."
        ) from None
