"""The server: accepts requests, finds their routes, sends the answers, and goes wrong where it was told to."""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import socket
import struct
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self
from urllib.parse import SplitResult, parse_qs, unquote, urlsplit

from helpers.fake_hub import discussions, grouping, reading, writing
from helpers.fake_hub.client import Client
from helpers.fake_hub.exchange import Answer, Body, Call, Refused, User, answer, refusal
from helpers.fake_hub.faults import Cut, Fault, flipped
from helpers.fake_hub.store import LOCK, Repository

TOKEN = "hf_loopback"
"""The token that is known from the start: of the user ``tester``, who may write to ``org``."""

_ROUTES = [
    (method, re.compile(pattern), function)
    for module in (reading, writing, discussions, grouping)
    for method, pattern, function in module.ROUTES
]


@dataclass(frozen=True)
class Request:
    """A request that was answered (status 0: it was cut off before)."""

    method: str
    path: str
    status: int


@dataclass
class LoopbackHub:
    """The server; a context manager."""

    root: Path
    port: int = 0
    page: int = 1000
    """Entries on one page of a listing."""
    requests: list[Request] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    users: dict[str, User] = field(default_factory=lambda: {TOKEN: User("tester", "write", {"org": "write"})})
    """The users by token."""

    def __enter__(self) -> Self:
        hub = self

        class Bound(_Handler):
            def __init__(self, *args: Any) -> None:
                self.hub = hub
                super().__init__(*args)

        self._secret = secrets.token_hex()
        self._server = _Server(("127.0.0.1", self.port), Bound)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def place(self, kind: str, name: str) -> Repository:
        """Return a repository that need not exist."""
        return Repository(self.root / kind / name, kind, name)

    def url(self, repository: Repository) -> str:
        prefix = "" if repository.kind == "models" else f"{repository.kind}/"
        return f"{self.endpoint}/{prefix}{repository.name}"

    def repository(self, kind: str, name: str) -> Repository:
        """Return a repository; it is made, without a commit, where there is none."""
        repository = self.place(kind, name)
        if not repository.exists:
            repository.change()
        return repository

    def user(self, name: str, token: str, role: str = "write", organisations: Mapping[str, str] | None = None) -> None:
        """Make a token known.

        Args:
            name: of the user.
            token: what the client sends.
            role: of the token, ``read`` or ``write``.
            organisations: the user's roles there: ``read``, ``contributor``, ``write``, ``admin``.
        """
        self.users[token] = User(name, role, organisations or {})

    def fail(self, match: str, *, times: int = 1, **what: Any) -> None:
        """Let the next requests whose ``METHOD path`` matches go wrong; ``what`` are fields of `Fault`."""
        self.faults.append(Fault(match, times, **what))

    def fault_for(self, request: str) -> Fault:
        with LOCK:
            for fault in self.faults:
                if fault.times > 0 and re.search(fault.match, request):
                    fault.times -= 1
                    return fault
        return Fault()

    def sent(self, method: str = "GET", path: str = "/resolve/") -> list[str]:
        """Return the paths of the requests of a method that hold some text (by default: files sent)."""
        return [unquote(r.path) for r in list(self.requests) if r.method == method and path in r.path]

    def sign(self, text: str) -> str:
        """Return what proves that an address was given out here; uploads carry no token."""
        return hashlib.sha256(f"{self._secret} {text}".encode()).hexdigest()

    def environment(self, home: Path, **more: str) -> dict[str, str]:
        """Return the environment for a client process: none of this machine's Hub settings, no proxy."""
        env = {k: v for k, v in os.environ.items() if not k.startswith("HF_") and not k.lower().endswith("_proxy")}
        return {
            **env,
            "HF_ENDPOINT": self.endpoint,
            "HF_HOME": str(home),
            "HF_HUB_DISABLE_XET": "1",
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "HF_HUB_DISABLE_UPDATE_CHECK": "1",
            "HF_HUB_DISABLE_PROGRESS_BARS": "1",
            **more,
        }

    def client(self, home: Path, **more: str) -> Client:
        """Return a client process; ``more`` are environment variables (``HF_TOKEN`` ...)."""
        return Client(self.environment(home, **more))


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exc_info()[1], ConnectionError):  # clients hang up; that is no news
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    timeout = 30
    hub: LoopbackHub

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        self.fault = self.hub.fault_for(f"{self.command} {unquote(url.path)}")
        body = Body(self.rfile, int(self.headers.get("Content-Length") or 0), self.fault)
        try:
            try:
                found = self._answer(url, body)
            except Refused as refused:
                found = refusal(refused)
            # What is left of a body would be taken for the next request.
            body.drain()
            self._send(found)
        except Cut:
            self._reset()

    do_HEAD = do_POST = do_PUT = do_DELETE = do_GET

    def _answer(self, url: SplitResult, body: Body) -> Answer:
        if self.fault.status:
            return answer({"error": "out of order"}, self.fault.status, self.fault.headers)
        if "Transfer-Encoding" in self.headers:
            self.close_connection = True
            raise Refused(411, message="the length of the body must be given")
        token = (self.headers.get("Authorization") or "").removeprefix("Bearer ")
        if token and token not in self.hub.users:
            raise Refused(401, message="Invalid credentials in Authorization header")
        query = parse_qs(url.query, keep_blank_values=True)
        call = Call(self.hub, url.path, query, self.headers, body, self.fault, self.hub.users.get(token))
        wanted = "GET" if self.command == "HEAD" else self.command
        for method, pattern, function in _ROUTES:
            match = pattern.fullmatch(url.path)
            if method == wanted and match:
                return function(call, **{k: unquote(v) for k, v in match.groupdict().items() if v is not None})
        raise Refused(404, message=f"no such route: {self.command} {url.path}")

    def _send(self, found: Answer) -> None:
        self.hub.requests.append(Request(self.command, self.path, 0 if self.fault.after else found.status))
        if self.fault.after:
            raise Cut
        self.send_response(found.status)
        for name, value in {"Content-Length": str(found.size), **found.headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "HEAD":
            return
        room = self.fault.cut_after
        for piece in found.pieces():
            time.sleep(self.fault.slow)
            piece = flipped(piece) if self.fault.corrupt else piece
            self.wfile.write(piece if room is None else piece[:room])
            if room is not None and (room := room - len(piece)) <= 0:
                break
        if room is not None:
            raise Cut

    def _reset(self) -> None:
        """End the connection as when the network goes: after an orderly close the client would try again at once."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        os.close(self.connection.detach())
        self.close_connection = True
