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

_CHUNK_BYTES = 1 << 16
_TIMEOUT = 60
"""Seconds without an response after which a connection is given up."""
_CHECKSUM = re.compile(r"(?P<location>.*)#(?P<kind>sha256|md5)=(?P<hex>.*)", re.DOTALL)
_DIGITS = {"sha256": 64, "md5": 32}


@dataclass(frozen=True)
class PublishedFile:
    """A published file, at a URL or on this machine, and its checksum.

    Attributes:
        location: a URL, or the path of a local file.
        sha256, md5: in lowercase; at most one of them; both None if no checksum is known.
    """

    location: str
    sha256: str | None = None
    md5: str | None = None

    @classmethod
    def of(cls, text: str) -> PublishedFile:
        """Read ``PATH_OR_URL[#sha256=HEX|#md5=HEX]``.

        Raises:
            UsageError: the text after ``#sha256=`` or ``#md5=`` is not a valid checksum, or the URL has a password.
        """
        try:
            text.encode()
        except UnicodeEncodeError:
            raise UsageError(
                f"{text!a}: has bytes that are not UTF-8. Rename the file, or type the address again."
            ) from None
        match = _CHECKSUM.fullmatch(text)
        if not match:
            return cls(text)._without_password()
        kind, digits = match["kind"], match["hex"].lower()
        if not re.fullmatch(f"[0-9a-f]{{{_DIGITS[kind]}}}", digits):
            raise UsageError(f"'{text}': {kind} is '{match['hex']}', expected {_DIGITS[kind]} digits of 0-9 and a-f.")
        return cls(match["location"], **{kind: digits})._without_password()

    @property
    def is_remote(self) -> bool:
        """Whether the file is at a URL, and not on this machine."""
        return re.match("https?://", self.location, re.IGNORECASE) is not None

    @property
    def name(self) -> str:
        """The last part of the URL or path, as a valid file name."""
        last = (
            unquote(urlsplit(self.location).path.rstrip("/").split("/")[-1])
            if self.is_remote
            else Path(self.location).name
        )
        return re.sub(r"[^\w.+-]", "_", last).lstrip(".") or "download"

    @property
    def checksum(self) -> tuple[str, str] | None:
        """The kind and value of the checksum; None if none is known."""
        return ("sha256", self.sha256) if self.sha256 else ("md5", self.md5) if self.md5 else None

    def _without_password(self) -> PublishedFile:
        try:
            has_user = self.is_remote and "@" in urlsplit(self.location).netloc
        except ValueError as error:
            raise UsageError(f"'{self.location}': is not a valid address: {error}.") from None
        if has_user:
            raise UsageError(
                "Addresses with a user name or password are not supported: download the file, and give its path."
            )
        return self


def local_copy(published: PublishedFile, folder: Path, progress: bool) -> Path:
    """Return the path of a file on this machine; a remote file is downloaded into a folder and kept there.

    An interrupted download is resumed if a checksum is known and the server supports it. Without a checksum it starts
    again, as the two parts might come from different files. No tokens, cookies or passwords are sent.

    Raises:
        DataError: the file does not exist, the server returned an error, or the connection was interrupted.
        OutputError: the disk is full or the folder cannot be written.
    """
    if not published.is_remote:
        path = Path(published.location).expanduser()
        if path.is_dir():
            raise DataError(f"{published.location}: is a folder, expected the published file.")
        if not path.is_file():
            raise DataError(
                f"{published.location}: the file does not exist, and this is not an address (http:// or https://)."
            )
        return path
    # Many files received the same name (test.json); a hash of the address tells them apart.
    address = hashlib.sha256(published.location.encode()).hexdigest()[:8]
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


def verify(published: PublishedFile, path: Path) -> str:
    """Return the SHA-256 of a local copy, after comparing the known checksum.

    A download with another checksum is removed, so that the next run downloads it again.

    Raises:
        DataError: the checksum differs; the message gives both.
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
            advice = "Check whether it is the right file; if it is, give it with its own checksum: PATH#sha256=HEX."
            if published.is_remote:
                with _writing(path):
                    path.unlink()
                advice = "It was removed. Run the same command again, or give the right file with --from."
            raise DataError(f"{published.location}: its {kind} is {digests[kind]}, expected {expected}. {advice}")
    return digests["sha256"]


def _receive(published: PublishedFile, part: Path, progress: bool) -> None:
    """Download into ``part``, resuming it if it exists."""
    from tqdm import tqdm

    received = part.stat().st_size if part.is_file() else 0
    response = _request(published.location, received)
    if response is None:
        return
    with response:
        if response.status != http.HTTPStatus.PARTIAL_CONTENT:
            received = 0  # the server sends the complete file again
        length = response.headers.get("Content-Length") or ""
        total = received + int(length) if length.isdecimal() else None
        name = published.name
        with (
            tqdm(total=total, initial=received, unit="B", unit_scale=True, desc=name, disable=not progress) as bar,
            _writing(part),
            part.open("ab" if received else "wb") as file,
        ):
            while chunk := _read(response, published.location):
                file.write(chunk)
                received += len(chunk)
                bar.update(len(chunk))
    if total is not None and received < total:
        raise _interrupted(published.location, f"after {received} of {total} bytes")


def _request(url: str, start: int) -> Any:
    """Request a file from a byte offset, and return the response; None if the file ends there."""
    from xharness.version import __version__

    headers = {"User-Agent": f"xharness/{__version__}", "Accept-Encoding": "identity"}
    if start:
        headers["Range"] = f"bytes={start}-"
    try:
        return urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=_TIMEOUT)
    except urllib.error.HTTPError as error:
        error.close()
        if start and error.code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            return None  # already complete; if it is too long, the checksum shows it
        raise DataError(
            f"{url}: the server answered with an error (HTTP {error.code}). Run the same command again later, or get "
            "the file elsewhere and give it with --from."
        ) from None
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise DataError(
            f"{url}: cannot be reached ({_reason(error)}). Run the same command again, or get the file elsewhere and "
            "give it with --from."
        ) from None


def _read(response: Any, url: str) -> bytes:
    try:
        chunk: bytes = response.read(_CHUNK_BYTES)
    except (OSError, http.client.HTTPException) as error:
        raise _interrupted(url, _reason(error)) from None
    return chunk


def _interrupted(url: str, why: str) -> DataError:
    return DataError(
        f"{url}: the download was interrupted ({why}). Run the same command again: the received part is kept."
    )


def _reason(error: Exception) -> str:
    cause = getattr(error, "reason", None) or error
    return str(getattr(cause, "strerror", None) or cause or type(cause).__name__)


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise OutputError(
            f"{path}: cannot be written: {error.strerror or error}. Free some space or choose another folder, and run "
            "the same command again."
        ) from None
