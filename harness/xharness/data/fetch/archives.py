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
_PACKED: dict[bytes, Callable[[BinaryIO], Any]] = {_GZIP: gzip.open, b"BZh": bz2.open, b"\xfd7zXZ": lzma.open}
_ZIP = (b"PK\x03\x04", b"PK\x05\x06")
_NAMES = (".tar", ".tgz", ".tar.gz", ".tbz2", ".tar.bz2", ".txz", ".tar.xz", ".zip")
_BROKEN = (
    EOFError,
    tarfile.TarError,
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    OSError,
    NotImplementedError,
    RuntimeError,  # a member of a zip file that needs a password
    ValueError,
)
_PIECE = 1 << 20


@dataclass(frozen=True)
class Wanted:
    """What is to be taken out: the members whose path ends with a pattern, in which ``*`` is any part of a name."""

    pattern: str

    def tail(self, path: str) -> str | None:
        """Return the end of a member's path that the pattern describes, None if it does not fit.

        >>> Wanted("v2.5/*/ar_*.conllu").tail("./data/v2.5/UD_Arabic-PUD/ar_pud-ud-test.conllu")
        'v2.5/UD_Arabic-PUD/ar_pud-ud-test.conllu'
        """
        parts = self.pattern.split("/")
        end = path.split("/")[-len(parts) :]
        fits = len(end) == len(parts) and all(_fits(a, b) for a, b in zip(parts, end, strict=True))
        return "/".join(end) if fits else None


@dataclass(frozen=True)
class _Member:
    """A file in an archive.

    Attributes:
        path: where it is in there; None if the file is no archive, and so the only member of itself.
        open: None for what is no plain file (a link, a device).
        packed: with gzip; readers tell by the name, so it is to have the ending ``.gz`` then.
    """

    path: str | None
    open: Callable[[], IO[bytes]] | None
    packed: bool = False


def extract(file: BinaryIO, name: str, wanted: Iterable[Wanted], to: Path) -> list[Path]:
    """Write the wanted members of an archive below a folder, each under the path that its pattern describes.

    A file that is no archive by its first bytes is itself the member: it goes under the pattern, or under its own name
    where the pattern's last part has a ``*``.

    Args:
        file: the archive, open for reading at its beginning.
        name: what it is called in messages and where it was published.
        wanted: what to take.
        to: the folder; nothing is ever written outside of it.

    Returns:
        The files that were written.

    Raises:
        DataError: the archive is broken or was cut, or a wanted member is a link or has a path that leads elsewhere.
        OutputError: a file cannot be written.
    """
    wanted = list(wanted)
    written: dict[Path, str] = {}
    with _explained(name):
        for member in _members(file, name):
            for pattern in wanted:
                own = member.path is None
                tail = _own_name(pattern.pattern, name, member.packed) if own else pattern.tail(str(member.path))
                if tail is None:
                    continue
                path, unpack = to / tail, _safe(member, name)
                if path not in written:
                    _write(path, unpack)
                    written[path] = str(member.path)
                elif written[path] != str(member.path):
                    raise DataError(f"{name}: has two files for {tail}: {written[path]} and {member.path}.")
    return list(written)


def _fits(pattern: str, name: str) -> bool:
    return re.fullmatch("[^/]*".join(map(re.escape, pattern.split("*"))), name) is not None


def _own_name(pattern: str, name: str, packed: bool) -> str | None:
    """Return where a file that is no archive belongs; None if neither its name nor its ending fits the pattern."""
    folder, _, last = pattern.rpartition("/")
    if "*" in last and _fits(last, name):
        last = name
    return None if "*" in folder + last or packed != last.endswith(".gz") else f"{folder}/{last}".lstrip("/")


def _safe(member: _Member, name: str) -> Callable[[], IO[bytes]]:
    """Return what opens a member; refuse one whose path would lead out of the folder, or that is not a plain file."""
    path = (member.path or "").replace("\\", "/")
    if path.startswith("/") or ".." in path.split("/") or re.match("[A-Za-z]:", path):
        raise DataError(f"{name}: the member '{member.path}' has a path that leads elsewhere; it is not taken.")
    if member.open is None:
        raise DataError(f"{name}: the member '{member.path}' is a link or a device, and not a file; it is not taken.")
    return member.open


def _members(file: BinaryIO, name: str) -> Iterator[_Member]:
    """Yield what is in an archive in its order; of another file itself."""
    start = file.read(6)
    file.seek(0)
    if start.startswith(_ZIP):
        yield from _zip_members(file)
        return
    unpack = next((unpack for magic, unpack in _PACKED.items() if start.startswith(magic)), None)
    with unpack(file) if unpack else nullcontext(file) as plain:
        head = plain.read(512)
        plain.seek(0)
        if head[257:262] == b"ustar":
            yield from _tar_members(plain, packed=unpack is not None)
            # The packed file's own checksum stands at its end.
            while plain.read(_PIECE):
                pass
        elif name.lower().endswith(_NAMES):
            raise DataError(
                f"{name}: is no archive: it begins with {head[:40]!r}, which may be an error page of the server. Look "
                "at the address, or give the file from elsewhere with --from."
            )
        elif start.startswith(_GZIP):
            # Readers open such files as they are; only that it is whole is looked at.
            while plain.read(_PIECE):
                pass

            yield _Member(None, lambda: _from_start(file), packed=True)
        else:
            yield _Member(None, lambda: _from_start(plain))


def _from_start(file: IO[bytes]) -> IO[bytes]:
    file.seek(0)
    return file


def _tar_members(plain: IO[bytes], packed: bool) -> Iterator[_Member]:
    with tarfile.open(fileobj=plain, mode="r:") as tar:
        for info in tar:

            def unpack(info: tarfile.TarInfo = info) -> IO[bytes]:
                return cast(IO[bytes], tar.extractfile(info))

            if not info.isdir():
                yield _Member(info.name, unpack if info.isreg() else None)
        if not packed:
            # A packed file that was cut lacks its end. tarfile takes a plain one that was cut between two members for
            # whole, but at the end of an archive there is a block of zeros.
            plain.seek(tar.offset)
            end = plain.read(tarfile.BLOCKSIZE)
            if len(end) < tarfile.BLOCKSIZE or end.strip(b"\0"):
                raise EOFError("it ends in the middle")


def _zip_members(file: BinaryIO) -> Iterator[_Member]:
    with zipfile.ZipFile(file) as archive:
        for info in archive.infolist():

            def unpack(info: zipfile.ZipInfo = info) -> IO[bytes]:
                return archive.open(info)

            kind = stat.S_IFMT(info.external_attr >> 16)
            if not info.is_dir():
                # Archives that were not made on Unix give no kind.
                yield _Member(info.filename, unpack if kind in (0, stat.S_IFREG) else None)


class _CannotWrite(Exception):
    """The disk refuses; kept apart from an archive that cannot be read, which is an OSError too."""


def _write(path: Path, unpack: Callable[[], IO[bytes]]) -> None:
    """Copy a member to its place, whole or not at all."""
    temporary: str | None = None
    try:
        with _on_disk(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
        target = os.fdopen(descriptor, "wb")
        try:
            source = unpack()
            while piece := source.read(_PIECE):
                with _on_disk(path):
                    target.write(piece)
            with _on_disk(path):
                target.flush()
                os.fsync(target.fileno())
        finally:
            # Closing writes what is still held back, so a full disk refuses here once more.
            with _on_disk(path):
                target.close()
        umask = os.umask(0)
        os.umask(umask)
        with _on_disk(path):
            os.chmod(temporary, 0o666 & ~umask)  # mkstemp makes files that only their owner can read
            os.replace(temporary, path)
    except BaseException:
        if temporary is not None:
            Path(temporary).unlink(missing_ok=True)
        raise


@contextmanager
def _on_disk(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise _CannotWrite(f"{path}: cannot be written: {error.strerror or error}.") from None


@contextmanager
def _explained(name: str) -> Iterator[None]:
    try:
        yield
    except _CannotWrite as error:
        raise OutputError(f"{error} Make room or choose another folder, and run the same command again.") from None
    except _BROKEN as error:
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise DataError(
            f"{name}: the archive is broken or was cut: {reason.rstrip('.')}. Fetch it again, or give a whole one with "
            "--from."
        ) from None
