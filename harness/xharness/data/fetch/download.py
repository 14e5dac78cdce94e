"""Resumable HTTP download with checksum."""

from __future__ import annotations

import hashlib
import http.client
import os
import re
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from xharness.errors import DataError, OutputError, UsageError

_PIECE = 1 << 16
_SECONDS = 60
_CHECKSUM = re.compile(r"(?P<place>.*)#(?P<kind>sha256|md5)=(?P<hex>.*)", re.DOTALL)
_DIGITS = {"sha256": 64, "md5": 32}


@dataclass(frozen=True)
class Published:
    """A file at an address, or on this machine, and the checksum that proves it.

    Attributes:
        place: a URL, or the path of a local file.
        sha256, md5: in lower case; at most one; neither if none is known.
    """

    place: str
    sha256: str | None = None
    md5: str | None = None

    @classmethod
    def of(cls, text: str) -> Published:
        """Read ``PATH_OR_URL[#sha256=HEX|#md5=HEX]``.

        Raises:
            UsageError: what stands after ``#sha256=`` or ``#md5=`` is no such checksum, or the URL holds a password.
        """
        try:
            text.encode()
        except UnicodeEncodeError:
            raise UsageError(
                f"{text!a}: has bytes that are not UTF-8. Rename the file or write the address anew."
            ) from None
        match = _CHECKSUM.fullmatch(text)
        if not match:
            return cls(text)._without_password()
        kind, digits = match["kind"], match["hex"].lower()
        if not re.fullmatch(f"[0-9a-f]{{{_DIGITS[kind]}}}", digits):
            raise UsageError(f"'{text}': {kind} is '{match['hex']}', expected {_DIGITS[kind]} digits of 0-9 and a-f.")
        return cls(match["place"], **{kind: digits})._without_password()

    @property
    def remote(self) -> bool:
        """Whether it is at an address, and not on this machine."""
        return re.match("https?://", self.place, re.IGNORECASE) is not None

    @property
    def name(self) -> str:
        """The last part of its address or path, made fit to be the name of a file."""
        last = unquote(urlsplit(self.place).path.rstrip("/").split("/")[-1]) if self.remote else Path(self.place).name
        return re.sub(r"[^\w.+-]", "_", last).lstrip(".") or "download"

    @property
    def checksum(self) -> tuple[str, str] | None:
        """The kind of checksum that is known, and its value."""
        return ("sha256", self.sha256) if self.sha256 else ("md5", self.md5) if self.md5 else None

    def _without_password(self) -> Published:
        try:
            named = self.remote and "@" in urlsplit(self.place).netloc
        except ValueError as error:
            raise UsageError(
                f"'{self.place}': is no address that can be read: {error}. Look at how it is written."
            ) from None
        if named:
            raise UsageError("An address with a name or password in it is not asked; download the file, and give that.")
        return self


def local_copy(published: Published, folder: Path, progress: bool) -> Path:
    """Return the file itself if it is on this machine, else download it into a folder, where it stays.

    A download that broke off goes on where it stopped if a checksum is known and the server can do so; without a
    checksum the two parts might be of different files, so it begins anew. No tokens, cookies or passwords are sent.

    Raises:
        DataError: there is no such file, the server refuses, or the connection broke.
        OutputError: the disk is full or the folder cannot be written.
    """
    if not published.remote:
        path = Path(published.place).expanduser()
        if path.is_dir():
            raise DataError(f"{published.place}: is a folder, expected the file that was published.")
        if not path.is_file():
            raise DataError(f"{published.place}: there is no such file, and it is no address (http:// or https://).")
        return path
    # Many files are called alike (test.json); the address tells them apart.
    address = hashlib.sha256(published.place.encode()).hexdigest()[:8]
    path = folder / address / published.name
    if not path.is_file():
        part = path.with_name(f"{path.name}.part")
        with _writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            if published.checksum is None:
                part.unlink(missing_ok=True)
        _receive(published, part, progress)
        with _writing(path):
            os.replace(part, path)
    return path


def prove(published: Published, path: Path) -> str:
    """Return the SHA-256 of a local copy, after comparing it with the checksum that is known.

    A download that is not the right file is removed, so the next run downloads it again.

    Raises:
        DataError: the checksum is another one; says both.
    """
    try:
        with path.open("rb") as file:
            digests = {"sha256": hashlib.file_digest(file, "sha256").hexdigest()}
        if published.md5:
            with path.open("rb") as file:
                digests["md5"] = hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}.") from None
    if published.checksum is not None:
        kind, expected = published.checksum
        if digests[kind] != expected:
            advice = "Look whether it is the right file; if it is, give it with its own checksum: PATH#sha256=HEX."
            if published.remote:
                with _writing(path):
                    path.unlink()
                advice = "It is removed. Run the same command again, or give the right file with --from."
            raise DataError(f"{published.place}: its {kind} is {digests[kind]}, expected {expected}. {advice}")
    return digests["sha256"]


def _receive(published: Published, part: Path, progress: bool) -> None:
    """Download into ``part``, going on with what is there."""
    from tqdm import tqdm

    have = part.stat().st_size if part.is_file() else 0
    answer = _ask(published.place, have)
    if answer is None:
        return
    with answer:
        if answer.status != http.HTTPStatus.PARTIAL_CONTENT:
            have = 0  # the server sends all of it again
        length = answer.headers.get("Content-Length") or ""
        total = have + int(length) if length.isdecimal() else None
        name = published.name
        with (
            tqdm(total=total, initial=have, unit="B", unit_scale=True, desc=name, disable=not progress) as bar,
            _writing(part),
            part.open("ab" if have else "wb") as file,
        ):
            while piece := _read(answer, published.place):
                file.write(piece)
                have += len(piece)
                bar.update(len(piece))
    if total is not None and have < total:
        raise _broke_off(published.place, f"after {have} of {total} bytes")


def _ask(url: str, start: int) -> Any:
    """Ask for a file from a byte on, and return the answer; None if there is nothing after that byte."""
    from xharness.version import __version__

    headers = {"User-Agent": f"xharness/{__version__}", "Accept-Encoding": "identity"}
    if start:
        headers["Range"] = f"bytes={start}-"
    try:
        return urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=_SECONDS)
    except urllib.error.HTTPError as error:
        error.close()
        if start and error.code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            return None  # all of it is there already; if it is more than that, the checksum tells
        raise DataError(
            f"{url}: the server answered with an error (HTTP {error.code}). Run the same command again later, or get "
            "the file elsewhere and give it with --from."
        ) from None
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise DataError(
            f"{url}: cannot be reached ({_reason(error)}). Run the same command again, or get the file elsewhere and "
            "give it with --from."
        ) from None


def _read(answer: Any, url: str) -> bytes:
    try:
        piece: bytes = answer.read(_PIECE)
    except (OSError, http.client.HTTPException) as error:
        raise _broke_off(url, _reason(error)) from None
    return piece


def _broke_off(url: str, why: str) -> DataError:
    return DataError(f"{url}: the download broke off ({why}). Run the same command again: what has come is kept.")


def _reason(error: Exception) -> str:
    cause = getattr(error, "reason", None) or error
    return str(getattr(cause, "strerror", None) or cause or type(cause).__name__)


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise OutputError(
            f"{path}: cannot be written: {error.strerror or error}. Make room or choose another folder, and run the "
            "same command again."
        ) from None
