"""The target folder of `xharness models pull`: safe paths, its repository, and a lock."""

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
"""Written when a checkpoint is complete: repository, commit and digests."""
STAGING = ".pull"
"""Folder of files that are not verified yet; it exists only until a pull is complete."""
BEGUN = f"{STAGING}/begun.json"
"""Written when a pull starts: repository and commit."""

# Names of devices on Windows, in any folder and with any ending.
_DEVICE = re.compile(r"(?i)(con|prn|aux|nul|com\d|lpt\d)(\..*)?")


def check_paths(repo: str, to: Path, paths: Collection[str]) -> None:
    """Raise ModelError if a repository's path leads out of the folder, UsageError if a link in the folder does."""
    unsafe = [ascii(path) for path in paths if not _is_plain(path)]
    if unsafe:
        raise ModelError(
            f"{repo}: its paths are not safe to write: {', '.join(unsafe[:4])}. Nothing was downloaded. Report this "
            "to its "
            "owner."
        )
    here = os.path.realpath(to)  # Path.resolve raises an error for circular links
    leading = [p for p in [STAGING, *paths] if not Path(os.path.realpath(to / p)).is_relative_to(here)]
    if leading:
        raise UsageError(
            f"{to / leading[0]}: is or is below a symbolic link that leads out of {to}. Remove the link, or give "
            "another "
            "folder."
        )


def _is_plain(path: str) -> bool:
    """Whether a path stays below the folder on every operating system, and is not one of the pull's own files."""
    parts = path.split("/")
    return (
        path.isprintable()
        and not re.search(r'[\\:*?"<>|]', path)
        and not any(part in ("", ".", "..") or part[-1] in ". " or _DEVICE.fullmatch(part) for part in parts)
        and parts[0] not in (STAGING, DONE)
    )


def begun(to: Path, repo: str) -> str | None:
    """Return the commit of this repository in the folder, complete or partial; None if there is none.

    Raises:
        UsageError: the folder holds another repository.
    """
    for path in (to / DONE, to / BEGUN):
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            repository, sha = str(content["repo"]), str(content["sha"])
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            continue
        if repository != repo:
            raise UsageError(f"{to} holds {repository} at {sha[:12]}, not {repo}. Give another folder.")
        return sha
    return None


@contextmanager
def locked(to: Path) -> Iterator[None]:
    """Create a folder and lock it against other processes; if it stays empty, remove it again."""
    staging, new = to / STAGING, not to.exists()
    if staging.is_symlink():
        raise UsageError(f"{staging} is a symbolic link. Remove it, or give another folder.")
    staging.mkdir(parents=True, exist_ok=True)
    with (staging / "lock").open("a") as held:
        try:
            if sys.platform != "win32":
                fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UsageError(f"Another process is pulling into {to}. Wait for it, or give another folder.") from None
        try:
            yield
        finally:
            if staging.is_dir() and [path.name for path in staging.iterdir()] == ["lock"]:
                shutil.rmtree(staging)
                if new and not any(to.iterdir()):
                    to.rmdir()


@contextmanager
def explain_write_errors(to: Path) -> Iterator[None]:
    """Turn errors of the disk inside the block into one sentence."""
    try:
        yield
    except OSError as error:
        raise OutputError(
            f"{error.filename or to}: cannot be read or written: {error.strerror or error}. Free some space or choose "
            "another folder, and run the same command again; complete files are kept."
        ) from None
