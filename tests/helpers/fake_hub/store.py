"""Repositories on disk: contents under the name of their digest, commits as lists of files, and what refs stand at."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
import threading
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

KINDS = ("models", "datasets", "spaces")
LARGE = (".bin", ".gz", ".h5", ".model", ".npy", ".onnx", ".parquet", ".pt", ".safetensors", ".zip")
"""Endings of files that the Hub keeps as LFS objects, named by their SHA-256; all others above ``REGULAR`` too."""

REGULAR = 10_000_000
PIECE = 1 << 20
FIRST_DAY = datetime(2026, 1, 1)
LOCK = threading.RLock()
"""Held by whatever changes a repository."""


def is_large(path: str, size: int) -> bool:
    """Return whether the Hub keeps a file as an LFS object."""
    return size > 0 and (path.endswith(LARGE) or size > REGULAR)


def blob_id(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def write_atomically(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    staged = path.with_name(f".{path.name}.{threading.get_ident()}")
    staged.write_text(text, encoding="utf-8")
    staged.replace(path)


def pieces_of(path: Path, start: int = 0, size: int | None = None) -> Iterator[bytes]:
    left = path.stat().st_size - start if size is None else size
    with path.open("rb") as file:
        file.seek(start)
        while left > 0 and (piece := file.read(min(PIECE, left))):
            left -= len(piece)
            yield piece


@dataclass(frozen=True)
class File:
    """A file in a commit: git's id of what git keeps, the size, and for an LFS object its SHA-256."""

    oid: str
    size: int
    sha256: str | None = None

    @property
    def digest(self) -> str:
        return self.sha256 or self.oid

    def entry(self, path: str) -> dict[str, Any]:
        """Return what the Hub says of the file in a listing."""
        entry: dict[str, Any] = {"type": "file", "path": path, "size": self.size, "oid": self.oid}
        if self.sha256:
            entry["lfs"] = {"oid": self.sha256, "size": self.size, "pointerSize": len(pointer(self.sha256, self.size))}
        return entry


def pointer(sha256: str, size: int) -> bytes:
    """Return what git keeps in place of an LFS object."""
    return f"version https://git-lfs.github.com/spec/v1\noid sha256:{sha256}\nsize {size}\n".encode()


class WrongDigest(Exception):
    """The bytes that arrived are not those that were announced."""


class Repository:
    """A repository: ``repo.json`` (refs, gates, discussions), ``commits/`` and ``blobs/``."""

    def __init__(self, folder: Path, kind: str, name: str) -> None:
        self.folder = folder
        self.kind = kind
        self.name = name

    @property
    def exists(self) -> bool:
        return (self.folder / "repo.json").is_file()

    @property
    def record(self) -> dict[str, Any]:
        return json.loads((self.folder / "repo.json").read_text(encoding="utf-8"))

    def change(self, **values: Any) -> None:
        """Set ``private``, ``gated`` (``False``, ``"auto"``, ``"manual"``), ``refs`` or ``discussions``."""
        with LOCK:
            before = self.record if self.exists else {"refs": {}, "private": False, "gated": False, "discussions": {}}
            write_atomically(self.folder / "repo.json", json.dumps({**before, **values}))

    def delete(self) -> None:
        with LOCK:
            shutil.rmtree(self.folder)

    def commit(
        self,
        files: Mapping[str, str | bytes | Path | None],
        revision: str = "main",
        *,
        title: str = "Upload files",
        author: str = "tester",
    ) -> str:
        """Lay files over those of a revision (None: it goes), move the revision there, and return the new sha."""
        with LOCK:
            parent = self.resolve(revision) or ""
            tree = {path: file for path, file in self.tree(parent).items() if path not in files}
            tree |= {path: self.keep(path, content) for path, content in files.items() if content is not None}
            return self.advance(full_ref(revision), tree, parent, title=title, author=author)

    def advance(
        self, ref: str, tree: Mapping[str, File], parent: str, *, title: str, author: str, description: str = ""
    ) -> str:
        """Record a commit of these files, let the full ref stand at it, and return its sha."""
        with LOCK:
            # Every commit has a minute of its own, so that commits of the same files differ, as they do in git.
            number = len(list((self.folder / "commits").glob("*.json")))
            content = {
                "parent": parent,
                "title": title,
                "message": description,
                "author": author,
                "date": moment(number),
                "files": {path: asdict(tree[path]) for path in sorted(tree)},
            }
            text = json.dumps(content)
            sha = hashlib.sha1(f"{self.kind}/{self.name}\0{text}".encode()).hexdigest()
            write_atomically(self.folder / "commits" / f"{sha}.json", text)
            self.point(ref, sha)
            return sha

    def point(self, revision: str, sha: str | None, *, tag: bool = False) -> None:
        """Let a branch, a tag, or a full ref (``refs/pr/1``, ``refs/convert/parquet``) stand at a commit; None: end."""
        with LOCK:
            refs = {**self.record["refs"], full_ref(revision, tag=tag): sha}
            self.change(refs={ref: at for ref, at in refs.items() if at})

    def resolve(self, revision: str) -> str | None:
        refs = self.record["refs"]
        for full in (f"refs/heads/{revision}", f"refs/tags/{revision}", revision):
            if full in refs:
                return str(refs[full])
        return revision if revision and (self.folder / "commits" / f"{revision}.json").is_file() else None

    def manifest(self, sha: str) -> dict[str, Any]:
        """Return what is recorded of a commit: parent, title, message, author, date and files."""
        return json.loads((self.folder / "commits" / f"{sha}.json").read_text(encoding="utf-8"))

    def tree(self, sha: str) -> dict[str, File]:
        """Return the files of a commit; of ``""``, what the first commit has before it: none."""
        return {path: File(**values) for path, values in self.manifest(sha)["files"].items()} if sha else {}

    def history(self, revision: str = "main") -> list[dict[str, Any]]:
        """Return the commits that led to a revision, the newest first, each as `manifest` and with its ``id``."""
        sha = self.resolve(revision)
        found = []
        while sha:
            found.append({"id": sha, **self.manifest(sha)})
            sha = found[-1]["parent"]
        return found

    def files(self, sha: str) -> dict[str, Path]:
        """Return where the content of each file of a commit lies; it must not be written to."""
        return {path: self.content(file.digest) for path, file in self.tree(sha).items()}

    def content(self, digest: str) -> Path:
        return self.folder / "blobs" / digest

    def keep(self, path: str, content: str | bytes | Path) -> File:
        """Keep the content of a file as the Hub would keep it under this path."""
        data = content.encode() if isinstance(content, str) else content
        size = data.stat().st_size if isinstance(data, Path) else len(data)
        if is_large(path, size):
            return self.keep_large(pieces_of(data) if isinstance(data, Path) else [data])
        data = data.read_bytes() if isinstance(data, Path) else data
        oid = blob_id(data)
        self._stage([data]).replace(self.content(oid))
        return File(oid, size)

    def keep_large(self, pieces: Iterable[bytes], expected: str | None = None) -> File:
        """Keep an LFS object as it streams in.

        Raises:
            WrongDigest: its SHA-256 is not the expected one; nothing is kept.
        """
        digest = hashlib.sha256()

        def hashed() -> Iterator[bytes]:
            for piece in pieces:
                digest.update(piece)
                yield piece

        staged = self._stage(hashed())
        size = staged.stat().st_size
        sha256 = digest.hexdigest()
        if expected not in (None, sha256):
            staged.unlink()
            raise WrongDigest
        staged.replace(self.content(sha256))
        return self.large(sha256, size)

    def large(self, sha256: str, size: int) -> File:
        return File(blob_id(pointer(sha256, size)), size, sha256)

    def _stage(self, pieces: Iterable[bytes]) -> Path:
        self.content("").mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=".", dir=self.content(""))
        try:
            with os.fdopen(handle, "wb") as file:
                file.writelines(pieces)
        except BaseException:
            os.unlink(name)
            raise
        return Path(name)


def full_ref(revision: str, *, tag: bool = False) -> str:
    return revision if revision.startswith("refs/") else f"refs/{'tags' if tag else 'heads'}/{revision}"


def moment(number: int = 0) -> str:
    """Return a time as the Hub writes it: so many minutes after the first day."""
    return (FIRST_DAY + timedelta(minutes=number)).strftime("%Y-%m-%dT%H:%M:%S.000Z")
