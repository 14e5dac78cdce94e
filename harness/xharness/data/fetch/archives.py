"""Extract selected members of tar and zip archives safely."""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
import re
import stat
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, BinaryIO, cast

from xharness.errors import DataError, OutputError

_GZIP = b"\x1f\x8b"
_DECOMPRESSORS: dict[bytes, Callable[[BinaryIO], Any]] = {_GZIP: gzip.open, b"BZh": bz2.open, b"\xfd7zXZ": lzma.open}
_ZIP = (b"PK\x03\x04", b"PK\x05\x06")
_ARCHIVE_ENDINGS = (".tar", ".tgz", ".tar.gz", ".tbz2", ".tar.bz2", ".txz", ".tar.xz", ".zip")
_READ_ERRORS = (
    EOFError,
    tarfile.TarError,
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    OSError,
    NotImplementedError,
    RuntimeError,  # a zip member that needs a password
    ValueError,
)
_CHUNK_BYTES = 1 << 20


@dataclass(frozen=True)
class Wanted:
    """The members to extract: those whose path ends with a pattern, in which ``*`` matches any part of a name."""

    pattern: str

    def tail(self, path: str) -> str | None:
        """Return the end of a member's path that matches the pattern; None if it does not match.

        >>> Wanted("v2.5/*/ar_*.conllu").tail("./data/v2.5/UD_Arabic-PUD/ar_pud-ud-test.conllu")
        'v2.5/UD_Arabic-PUD/ar_pud-ud-test.conllu'
        """
        parts = self.pattern.split("/")
        end = path.split("/")[-len(parts) :]
        matches = len(end) == len(parts) and all(_matches(a, b) for a, b in zip(parts, end, strict=True))
        return "/".join(end) if matches else None


@dataclass(frozen=True)
class _Member:
    """A file in an archive.

    Attributes:
        path: in the archive; None if the file is not an archive, so that it is its own only member.
        open: None if the member is not a regular file (a link, a device).
        gzipped: readers recognize gzip by the name, which must then end in ``.gz``.
    """

    path: str | None
    open: Callable[[], IO[bytes]] | None
    gzipped: bool = False


def extract(file: BinaryIO, name: str, wanted: Iterable[Wanted], to: Path) -> list[Path]:
    """Extract selected members of an archive below a folder, each to the path that its pattern describes.

    A file that is not an archive by its first bytes is itself the member: its path is the pattern, with the file's own
    name if the last part of the pattern has a ``*``.

    Args:
        file: the archive, open for reading at its beginning.
        name: its name in messages and where it was published.
        wanted: the members to extract.
        to: the folder; nothing is ever written outside of it.

    Returns:
        The files that were written.

    Raises:
        DataError: the archive is corrupt or truncated, or a selected member is a link or has an unsafe path.
        OutputError: a file cannot be written.
    """
    wanted = list(wanted)
    written: dict[Path, str] = {}
    with _explain_errors(name):
        for member in _members(file, name):
            for pattern in wanted:
                if member.path is None:
                    tail = _own_name(pattern.pattern, name, member.gzipped)
                else:
                    tail = pattern.tail(member.path)
                if tail is None:
                    continue
                path, open_member = to / tail, _safe(member, name)
                if path not in written:
                    _write(path, open_member)
                    written[path] = str(member.path)
                elif written[path] != str(member.path):
                    raise DataError(f"{name}: has two files for {tail}: {written[path]} and {member.path}.")
    return list(written)


def _matches(pattern: str, name: str) -> bool:
    return re.fullmatch("[^/]*".join(map(re.escape, pattern.split("*"))), name) is not None


def _own_name(pattern: str, name: str, gzipped: bool) -> str | None:
    """Return the path of a file that is not an archive; None if neither its name nor its ending matches."""
    folder, _, last = pattern.rpartition("/")
    if "*" in last and _matches(last, name):
        last = name
    return None if "*" in folder + last or gzipped != last.endswith(".gz") else f"{folder}/{last}".lstrip("/")


def _safe(member: _Member, name: str) -> Callable[[], IO[bytes]]:
    """Return the function that opens a member; raise DataError if its path is unsafe or it is not a regular file."""
    path = (member.path or "").replace("\\", "/")
    if path.startswith("/") or ".." in path.split("/") or re.match("[A-Za-z]:", path):
        raise DataError(
            f"{name}: the member '{member.path}' has a path that leads out of the folder; it is not extracted."
        )
    if member.open is None:
        raise DataError(f"{name}: the member '{member.path}' is a link or a device, not a file; it is not extracted.")
    return member.open


def _members(file: BinaryIO, name: str) -> Iterator[_Member]:
    """Yield the members of an archive in order; for another file, the file itself."""
    start = file.read(6)
    file.seek(0)
    if start.startswith(_ZIP):
        yield from _zip_members(file)
        return
    decompress = next((decompress for magic, decompress in _DECOMPRESSORS.items() if start.startswith(magic)), None)
    with decompress(file) if decompress else nullcontext(file) as plain:
        head = plain.read(512)
        plain.seek(0)
        if head[257:262] == b"ustar":
            yield from _tar_members(plain, compressed=decompress is not None)
            # Read on: the checksum of a compressed file is at its end.
            while plain.read(_CHUNK_BYTES):
                pass
        elif name.lower().endswith(_ARCHIVE_ENDINGS):
            raise DataError(
                f"{name}: is not an archive: it begins with {head[:40]!r}, which may be an error page of the server. "
                "Check the address, or give the file with --from."
            )
        elif start.startswith(_GZIP):
            # Readers open such files directly; only check that the file is complete.
            while plain.read(_CHUNK_BYTES):
                pass

            yield _Member(None, lambda: _from_start(file), gzipped=True)
        else:
            yield _Member(None, lambda: _from_start(plain))


def _from_start(file: IO[bytes]) -> IO[bytes]:
    file.seek(0)
    return file


def _tar_members(plain: IO[bytes], compressed: bool) -> Iterator[_Member]:
    with tarfile.open(fileobj=plain, mode="r:") as tar:
        for info in tar:

            def open_member(info: tarfile.TarInfo = info) -> IO[bytes]:
                return cast(IO[bytes], tar.extractfile(info))

            if not info.isdir():
                yield _Member(info.name, open_member if info.isreg() else None)
        if not compressed:
            # Decompressing a truncated file fails by itself. tarfile accepts a plain archive that was truncated between
            # two members, but a complete archive ends in a block of zeros.
            plain.seek(tar.offset)
            end = plain.read(tarfile.BLOCKSIZE)
            if len(end) < tarfile.BLOCKSIZE or end.strip(b"\0"):
                raise EOFError("it ends in the middle")


def _zip_members(file: BinaryIO) -> Iterator[_Member]:
    with zipfile.ZipFile(file) as archive:
        for info in archive.infolist():

            def open_member(info: zipfile.ZipInfo = info) -> IO[bytes]:
                return archive.open(info)

            file_kind = stat.S_IFMT(info.external_attr >> 16)
            if not info.is_dir():
                # Archives that were not made on Unix have no file kind.
                yield _Member(info.filename, open_member if file_kind in (0, stat.S_IFREG) else None)


class _CannotWrite(Exception):
    """The disk cannot be written; unlike an unreadable archive, which is also an OSError."""


def _write(path: Path, open_member: Callable[[], IO[bytes]]) -> None:
    """Copy a member to its path atomically."""
    temporary: str | None = None
    try:
        with _disk_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
        target = os.fdopen(descriptor, "wb")
        try:
            source = open_member()
            while chunk := source.read(_CHUNK_BYTES):
                with _disk_errors(path):
                    target.write(chunk)
            with _disk_errors(path):
                target.flush()
                os.fsync(target.fileno())
        finally:
            # Closing writes the remaining buffer, so a full disk can raise here too.
            with _disk_errors(path):
                target.close()
        umask = os.umask(0)
        os.umask(umask)
        with _disk_errors(path):
            os.chmod(temporary, 0o666 & ~umask)  # mkstemp creates files that only the owner can read
            os.replace(temporary, path)
    except BaseException:
        if temporary is not None:
            Path(temporary).unlink(missing_ok=True)
        raise


@contextmanager
def _disk_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise _CannotWrite(f"{path}: cannot be written: {error.strerror or error}.") from None


@contextmanager
def _explain_errors(name: str) -> Iterator[None]:
    try:
        yield
    except _CannotWrite as error:
        raise OutputError(
            f"{error} Free some space or choose another folder, and run the same command again."
        ) from None
    except _READ_ERRORS as error:
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise DataError(
            f"{name}: the archive is corrupt or truncated: {reason.rstrip('.')}. Fetch it again, or give a complete "
            "one with --from."
        ) from None
