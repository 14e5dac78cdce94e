"""Files to upload: size and digest, whether they differ from the Hub, whether they changed since."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from xharness import files
from xharness.hub.read import RemoteFile


@dataclass(frozen=True)
class File:
    """A file to upload.

    Attributes:
        path: path in the repository.
        source: local file, or content.
        size: bytes.
        sha256: SHA-256 of the content.
        modified: modification time of a local file in nanoseconds, to notice changes after it was hashed.
    """

    path: str
    source: Path | bytes
    size: int
    sha256: str
    modified: int | None = None

    def is_same_as(self, remote: RemoteFile) -> bool:
        """Whether a file on the Hub has the same content."""
        if remote.size != self.size:
            return False
        if remote.sha256 is not None:
            return remote.sha256 == self.sha256
        content = self.source if isinstance(self.source, bytes) else self.source.read_bytes()
        return hashlib.sha1(b"blob %d\0" % self.size + content).hexdigest() == remote.blob_id

    def has_changed(self) -> bool:
        """Whether the local file changed after it was hashed."""
        if isinstance(self.source, bytes):
            return False
        try:
            status = self.source.stat()
        except OSError:
            return True
        return (status.st_size, status.st_mtime_ns) != (self.size, self.modified)


def in_memory_file(path: str, content: bytes) -> File:
    """Return a file whose content is not on disk."""
    return File(path, content, len(content), hashlib.sha256(content).hexdigest())


class Digests:
    """Cache of SHA-256 digests: reads each file once, and notes size and modification time before reading."""

    def __init__(self) -> None:
        self._known: dict[Path, tuple[str, int, int]] = {}

    def of(self, path: Path) -> str:
        """Return the SHA-256 of a file."""
        if path not in self._known:
            before = path.stat()
            self._known[path] = (files.sha256(path), before.st_size, before.st_mtime_ns)
        return self._known[path][0]

    def file(self, folder: Path, path: str) -> File:
        """Return a file of a folder, to be uploaded under the same path."""
        digest = self.of(folder / path)
        _, size, modified = self._known[folder / path]
        return File(path, folder / path, size, digest, modified)
