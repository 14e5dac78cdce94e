"""A request as the routes see it (who asks, for what, with which rights), and the answers that they give."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO
from urllib.parse import urlencode

from helpers.fake_hub.faults import Cut, Fault
from helpers.fake_hub.store import PIECE, Repository, pieces_of

if TYPE_CHECKING:
    from helpers.fake_hub.server import LoopbackHub

ID = r"(?P<name>[^/]+/[^/]+)"
KIND = r"(?P<kind>models|datasets|spaces)"
REPOSITORY = rf"/api/{KIND}/{ID}"
Route = tuple[str, str, Callable[..., "Answer"]]
"""A method, a pattern of paths, and the function that answers with the named parts of the path."""


class Refused(Exception):
    """An answer other than 2xx, with the code in X-Error-Code that the client tells the causes apart by."""

    def __init__(self, status: int, code: str = "", message: str = "", **content: Any) -> None:
        self.status = status
        self.code = code
        self.message = message or code
        self.content = content


@dataclass(frozen=True)
class Answer:
    """An answer whose body is in memory, or a part of a file."""

    body: bytes = b""
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    file: Path | None = None
    start: int = 0
    length: int = 0

    @property
    def size(self) -> int:
        return self.length if self.file else len(self.body)

    def pieces(self) -> Iterable[bytes]:
        return pieces_of(self.file, self.start, self.length) if self.file else [self.body]


def answer(content: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Answer:
    """Return an answer in JSON."""
    return Answer(json.dumps(content).encode(), status, {"Content-Type": "application/json", **(headers or {})})


def refusal(refused: Refused) -> Answer:
    headers = {"X-Error-Message": refused.message} | ({"X-Error-Code": refused.code} if refused.code else {})
    return answer({"error": refused.message, **refused.content}, refused.status, headers)


@dataclass(frozen=True)
class User:
    """Somebody who has a token: what the token may do, and the roles in organisations."""

    name: str
    role: str = "write"
    organisations: Mapping[str, str] = field(default_factory=dict)

    def belongs_to(self, namespace: str) -> bool:
        return namespace == self.name or namespace in self.organisations

    def may_write(self, namespace: str) -> bool:
        return namespace == self.name or self.organisations.get(namespace) in ("write", "admin")


@dataclass
class Body:
    """The body of a request, read as it streams in."""

    stream: BinaryIO
    left: int
    fault: Fault
    size: int = 0

    def __post_init__(self) -> None:
        self.size = self.left

    def pieces(self) -> Iterator[bytes]:
        room = self.fault.cut_upload_after
        while self.left:
            if self.fault.slow:
                time.sleep(self.fault.slow)
            piece = self.stream.read(min(PIECE, self.left, PIECE if room is None else room - (self.size - self.left)))
            if not piece:
                raise Cut
            self.left -= len(piece)
            yield piece
        if room is not None:
            raise Cut

    def read(self) -> bytes:
        return b"".join(self.pieces())

    def drain(self) -> None:
        for _ in self.pieces():
            pass


@dataclass
class Call:
    """One request."""

    hub: LoopbackHub
    path: str
    query: Mapping[str, list[str]]
    headers: Mapping[str, str]
    body: Body
    fault: Fault
    user: User | None

    def asked(self, name: str, default: str = "") -> str:
        return self.query.get(name, [default])[0]

    def flag(self, name: str) -> bool:
        return self.asked(name).lower() in ("1", "true")

    def json(self) -> Any:
        try:
            return json.loads(self.body.read() or b"null")
        except ValueError:
            raise Refused(400, message="the body of this request is not JSON") from None

    def login(self) -> User:
        if self.user is None:
            raise Refused(401, message="Invalid username or password.")
        return self.user

    def repository(self, kind: str, name: str) -> Repository:
        """Return a repository that the user may see."""
        found = self.hub.place(kind, name)
        if not found.exists or (found.record["private"] and not self._belongs(name)):
            # The Hub does not tell what is private from what is not there; without a token it answers 401.
            raise Refused(404 if self.user else 401, "RepoNotFound", "Repository not found")
        return found

    def at(self, kind: str, name: str, revision: str) -> tuple[Repository, str]:
        repository = self.repository(kind, name)
        sha = repository.resolve(revision)
        if sha is None:
            raise Refused(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        return repository, sha

    def ungated(self, repository: Repository) -> None:
        """Refuse whoever was not let through the gate of a repository."""
        if repository.record["gated"] and not self._belongs(repository.name):
            status = 403 if self.user else 401
            raise Refused(status, "GatedRepo", f"Access to {repository.kind[:-1]} {repository.name} is restricted.")

    def writable(self, kind: str, name: str, revision: str = "main") -> Repository:
        """Return a repository to a revision of which the user may write; to a pull request also who opened it."""
        user = self.login()
        repository = self.repository(kind, name)
        pull = repository.record["discussions"].get(revision.removeprefix("refs/pr/"))
        if revision.startswith("refs/pr/") and isinstance(pull, dict) and pull["author"] == user.name:
            return repository
        if not user.may_write(name.split("/")[0]):
            message = "Forbidden: pass `create_pr=1` as a query parameter to create a Pull Request"
            raise Refused(403, message=message)
        self.need_write_token()
        return repository

    def need_write_token(self) -> None:
        if self.login().role != "write":
            raise Refused(403, message="you must use a write token to upload to a repository")

    def page(self, entries: list[Any], size: int | None = None) -> Answer:
        """Return one page of a list, with the address of the next one."""
        size = size or self.hub.page
        start = int(self.asked("cursor", "0"))
        headers = {}
        if start + size < len(entries):
            query = urlencode({**self.query, "cursor": [str(start + size)]}, doseq=True)
            headers["Link"] = f'<{self.hub.endpoint}{self.path}?{query}>; rel="next"'
        return answer(entries[start : start + size], headers=headers)

    def _belongs(self, name: str) -> bool:
        return self.user is not None and self.user.belongs_to(name.split("/")[0])
