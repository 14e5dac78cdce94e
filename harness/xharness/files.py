"""Atomic writes, SHA-256 of files, and the cache folder."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from pathlib import Path
from typing import Any

from xharness.errors import OutputError


def cache_folder() -> Path:
    """Return the cache folder: XHARNESS_CACHE, else ``xharness`` in the user's cache. Its content can be recomputed."""
    given = os.environ.get("XHARNESS_CACHE")
    if given:
        return Path(given)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "xharness"


def write_text(path: Path, text: str) -> None:
    """Write ``text`` atomically as UTF-8 with ``\\n`` line ends.

    The text is written to a temporary file in the same folder, flushed to disk and renamed, so that an existing file
    stays as it was if the process is killed or the disk is full.

    Raises:
        OutputError: the disk is full, or the folder is not writable.
    """
    temporary: str | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
        with os.fdopen(descriptor, "w", encoding="utf-8", errors="surrogatepass", newline="\n") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(temporary, 0o666 & ~umask)  # mkstemp creates files that only their owner can read
        os.replace(temporary, path)
    except OSError as error:
        if temporary is not None:
            Path(temporary).unlink(missing_ok=True)
        raise OutputError(
            f"{path}: cannot be written: {error.strerror or error}. Finished work is kept. Free some space "
            "or choose another folder, and run the same command again to resume."
        ) from None


def write_json(path: Path, content: Any) -> None:
    """Write ``content`` atomically as indented JSON; raise ValueError for NaN and infinity."""
    write_text(path, json.dumps(content, ensure_ascii=False, indent=2, allow_nan=False) + "\n")


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file in hex, reading it in chunks."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
