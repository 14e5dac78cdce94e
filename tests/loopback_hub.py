"""A small Hub on 127.0.0.1: models and data sets lie on disk, and the unmodified clients read them over HTTP.

    with LoopbackHub(tmp_path) as hub:
        hub.repository("models", "org/tiny").commit({"config.json": "{}"})
        with hub.client(home) as client:
            client.run("result = xharness.hub.resolve('org/tiny', 'main', 'model')")

The clients read HF_ENDPOINT once, when they are imported, so client code runs in a process of its own. What is
shown here is that clients and xharness agree; that huggingface.co would answer the same is not shown.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self
from urllib.parse import parse_qs, quote, unquote, urlsplit

KINDS = ("models", "datasets", "spaces")
LARGE = (".safetensors", ".parquet", ".bin", ".gz")
"""Endings of files that the Hub keeps as LFS objects, named by their SHA-256."""

TOKEN = "hf_loopback"
"""The one token that is known here."""


class Repository:
    """A repository on disk: ``repo.json`` (refs, gates), and one plain folder of files for each commit."""

    def __init__(self, folder: Path, kind: str, name: str) -> None:
        self.folder = folder
        self.kind = kind
        self.name = name

    @property
    def record(self) -> dict[str, Any]:
        return json.loads((self.folder / "repo.json").read_text(encoding="utf-8"))

    def change(self, **values: Any) -> None:
        """Set ``private``, ``gated`` (``False``, ``"auto"``, ``"manual"``) or ``discussions``."""
        before = self.record if (self.folder / "repo.json").exists() else {"refs": {}, "private": False, "gated": False}
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "repo.json").write_text(json.dumps({**before, **values}), encoding="utf-8")

    def commit(self, files: Mapping[str, str | bytes | Path], revision: str = "main") -> str:
        """Lay files over those of a revision, move the revision there, and return the new sha."""
        parent = self.resolve(revision) or ""
        staged = self.folder / "commits" / "staged"
        if parent:
            shutil.copytree(self.folder / "commits" / parent, staged)
        for path, content in files.items():
            target = staged / path
            target.parent.mkdir(parents=True, exist_ok=True)
            if isinstance(content, Path):
                shutil.copyfile(content, target)
            else:
                target.write_bytes(content.encode() if isinstance(content, str) else content)
        digest = hashlib.sha1(f"{self.kind}/{self.name}/{parent}".encode())
        for file in sorted(p for p in staged.rglob("*") if p.is_file()):
            digest.update(f"{file.relative_to(staged)}\0{blob_id(file)}\n".encode())
        sha = digest.hexdigest()
        if (self.folder / "commits" / sha).exists():
            shutil.rmtree(staged)
        else:
            staged.rename(self.folder / "commits" / sha)
        self.point(revision, sha)
        return sha

    def point(self, revision: str, sha: str, *, tag: bool = False) -> None:
        """Let a branch, a tag, or a full ref (``refs/pr/1``, ``refs/convert/parquet``) stand at a commit."""
        full = revision if revision.startswith("refs/") else f"refs/{'tags' if tag else 'heads'}/{revision}"
        self.change(refs={**self.record["refs"], full: sha})

    def resolve(self, revision: str) -> str | None:
        refs = self.record["refs"]
        for full in (f"refs/heads/{revision}", f"refs/tags/{revision}", revision):
            if full in refs:
                return str(refs[full])
        return revision if revision and (self.folder / "commits" / revision).is_dir() else None

    def files(self, sha: str) -> dict[str, Path]:
        root = self.folder / "commits" / sha
        return {p.relative_to(root).as_posix(): p for p in sorted(root.rglob("*")) if p.is_file()}

    def entry(self, path: str, file: Path) -> dict[str, Any]:
        """Return what the Hub says of a file in a listing."""
        entry: dict[str, Any] = {
            "type": "file",
            "path": path,
            "size": file.stat().st_size,
            "oid": blob_id(file),
        }
        if path.endswith(LARGE):
            entry["lfs"] = {"oid": sha256(file), "size": entry["size"], "pointerSize": 130}
        return entry


@dataclass
class Fault:
    """What goes wrong with the next requests whose ``METHOD path`` matches."""

    match: str
    times: int
    status: int | None
    headers: dict[str, str]
    after: int | None


@dataclass(frozen=True)
class Request:
    """A request that was answered."""

    method: str
    path: str
    status: int


@dataclass
class LoopbackHub:
    """The server; a context manager."""

    root: Path
    page: int = 1000
    """Entries on one page of a listing."""
    requests: list[Request] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)

    def __enter__(self) -> Self:
        hub = self

        class Bound(_Handler):
            def __init__(self, *args: Any) -> None:
                self.hub = hub
                super().__init__(*args)

        self._server = _Server(("127.0.0.1", 0), Bound)
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

    def repository(self, kind: str, name: str) -> Repository:
        """Return a repository; it is made where there is none."""
        repository = Repository(self.root / kind / name, kind, name)
        if not (repository.folder / "repo.json").exists():
            repository.change()
        return repository

    def fail(
        self,
        match: str,
        *,
        status: int | None = None,
        headers: Mapping[str, str] | None = None,
        cut_after: int | None = None,
        times: int = 1,
    ) -> None:
        """Answer the next requests that match with a status, or reset the connection within the body."""
        self.faults.append(Fault(match, times, status, dict(headers or {}), cut_after))

    def fault_for(self, request: str) -> Fault | None:
        for fault in self.faults:
            if fault.times > 0 and re.search(fault.match, request):
                fault.times -= 1
                return fault
        return None

    def sent(self, method: str = "GET", path: str = "/resolve/") -> list[str]:
        """Return the paths of the requests of a method that hold some text (by default: files sent)."""
        return [unquote(r.path) for r in list(self.requests) if r.method == method and path in r.path]

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


class ClientError(Exception):
    """What the code in the client process raised; ``kind`` is the name of the exception's class."""

    def __init__(self, kinds: list[str], message: str) -> None:
        super().__init__(f"{kinds[0]}: {message}")
        self.kinds = kinds
        self.message = message


class Client:
    """A Python process that runs pieces of code, one after the other, and hands back their ``result``."""

    LOOP = """
import json, os, sys, traceback
answers = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)  # whatever the code prints must not stand between the answers
names = {}
for line in sys.stdin:
    names.pop("result", None)
    try:
        exec(json.loads(line), names)
        answer = {"result": names.get("result")}
    except BaseException as error:
        traceback.print_exc()
        answer = {"kinds": [c.__name__ for c in type(error).__mro__], "message": str(error)}
    print(json.dumps(answer, default=str), file=answers, flush=True)
os._exit(0)  # tearing torch down takes a second and shows nothing
"""

    def __init__(self, environment: Mapping[str, str]) -> None:
        paths = [p for p in [str(Path(__file__).parents[1] / "harness"), environment.get("PYTHONPATH")] if p]
        self._process = subprocess.Popen(
            [sys.executable, "-c", self.LOOP],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**environment, "PYTHONPATH": os.pathsep.join(paths)},
        )

    def run(self, code: str, **values: Any) -> Any:
        """Run code (``values`` are set before it) and return what it called ``result``.

        Raises:
            ClientError: the code raised something.
        """
        given = "".join(f"{name} = {value!r}\n" for name, value in values.items())
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(given + code) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise AssertionError(f"the client process ended with {self._process.wait()}")
        answer = json.loads(line)
        if "kinds" in answer:
            raise ClientError(answer["kinds"], answer["message"])
        return answer["result"]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(timeout=30)
        self._process.stdout.close()


def sha256(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def blob_id(file: Path) -> str:
    content = file.read_bytes()
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exc_info()[1], ConnectionError):  # clients hang up; that is no news
            super().handle_error(request, client_address)


class _Refused(Exception):
    """An answer other than 200, with the code in X-Error-Code that the client tells the causes apart by."""

    def __init__(self, status: int, code: str = "", message: str = "") -> None:
        self.status = status
        self.code = code
        self.message = message or code


_ID = r"(?P<name>[^/]+/[^/]+)"
_KIND = r"(?P<kind>models|datasets|spaces)"
_ROUTES: list[tuple[str, re.Pattern[str], str]] = [
    (method, re.compile(pattern), function)
    for method, pattern, function in [
        ("GET", r"/api/whoami-v2", "whoami"),
        ("GET", rf"/api/{_KIND}/{_ID}", "info"),
        ("GET", rf"/api/{_KIND}/{_ID}/revision/(?P<revision>[^/]+)", "info"),
        ("GET", rf"/api/{_KIND}/{_ID}/tree/(?P<revision>[^/]+)(?:/(?P<path>.*))?", "tree"),
        ("GET", rf"/api/{_KIND}/{_ID}/refs", "refs"),
        ("GET", rf"/api/{_KIND}/{_ID}/discussions", "discussions"),
        ("POST", rf"/api/{_KIND}/{_ID}/paths-info/(?P<revision>[^/]+)", "paths_info"),
        (
            "GET",
            rf"/(?:(?P<kind>datasets|spaces)/)?{_ID}/resolve/(?P<revision>[^/]+)/(?P<path>.+)",
            "resolve",
        ),
    ]
]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 30
    hub: LoopbackHub

    def log_message(self, *_: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self._answer("GET")

    def do_GET(self) -> None:
        self._answer("GET")

    def do_POST(self) -> None:
        self._answer("POST")

    def _answer(self, method: str) -> None:
        self.body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        url = urlsplit(self.path)
        self.query = parse_qs(url.query, keep_blank_values=True)
        self.fault = self.hub.fault_for(f"{self.command} {unquote(url.path)}")
        try:
            if self.fault and self.fault.status:
                self._send(self.fault.status, b"{}", self.fault.headers)
                return
            for known, pattern, function in _ROUTES:
                match = pattern.fullmatch(url.path)
                if known == method and match:
                    parts = {k: unquote(v) for k, v in match.groupdict().items() if v is not None}
                    route: Callable[..., None] = getattr(self, f"_{function}")
                    route(**parts)
                    return
            raise _Refused(404, message=f"no such route: {method} {url.path}")
        except _Refused as refused:
            headers = {"X-Error-Message": refused.message}
            if refused.code:
                headers["X-Error-Code"] = refused.code
            self._json({"error": refused.message}, refused.status, headers)

    def _send(self, status: int, body: bytes, headers: Mapping[str, str]) -> None:
        self.hub.requests.append(Request(self.command, self.path, status))
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "HEAD":
            return
        if self.fault and self.fault.after is not None:
            self.wfile.write(body[: self.fault.after])
            self.wfile.flush()
            # A reset, as when the network goes: an orderly close would be tried again by the client at once.
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            os.close(self.connection.detach())
            self.close_connection = True
            return
        self.wfile.write(body)

    def _json(self, content: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> None:
        body = json.dumps(content).encode()
        self._send(status, body, {"Content-Type": "application/json", **(headers or {})})

    @property
    def _known(self) -> bool:
        return self.headers.get("Authorization") == f"Bearer {TOKEN}"

    def _repository(self, kind: str, name: str) -> Repository:
        folder = self.hub.root / kind / name
        if not (folder / "repo.json").is_file() or (
            Repository(folder, kind, name).record["private"] and not self._known
        ):
            # The Hub does not tell what is private from what is not there; without a token it answers 401.
            raise _Refused(404 if self._known else 401, "RepoNotFound", "Repository not found")
        return Repository(folder, kind, name)

    def _at(self, kind: str, name: str, revision: str) -> tuple[Repository, str]:
        repository = self._repository(kind, name)
        sha = repository.resolve(revision)
        if sha is None:
            raise _Refused(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        return repository, sha

    def _whoami(self) -> None:
        if not self._known:
            raise _Refused(401, message="Invalid user token")
        self._json({"name": "tester", "type": "user", "orgs": [], "auth": {"accessToken": {"role": "read"}}})

    def _info(self, kind: str, name: str, revision: str = "main") -> None:
        repository, sha = self._at(kind, name, revision)
        self._json(
            {
                "id": name,
                "sha": sha,
                "private": repository.record["private"],
                "gated": repository.record["gated"],
                "tags": [],
                "siblings": [{"rfilename": path} for path in repository.files(sha)],
                "lastModified": "2026-01-01T00:00:00.000Z",
                "createdAt": "2026-01-01T00:00:00.000Z",
            }
        )

    def _tree(self, kind: str, name: str, revision: str, path: str = "") -> None:
        repository, sha = self._at(kind, name, revision)
        files = repository.files(sha)
        below = f"{path}/" if path else ""
        inside = {p: f for p, f in files.items() if p.startswith(below)}
        if below and not inside:
            raise _Refused(404, "EntryNotFound", f"{path} does not exist")
        folders = {p[:i] for p in inside for i in range(len(below), len(p)) if p[i] == "/"}
        entries = [{"type": "directory", "path": p, "oid": "0" * 40, "size": 0} for p in sorted(folders)]
        entries += [repository.entry(p, f) for p, f in inside.items()]
        if self.query.get("recursive", ["false"])[0].lower() not in ("true", "1"):
            entries = [e for e in entries if "/" not in e["path"][len(below) :]]
        start = int(self.query.get("cursor", ["0"])[0])
        headers = {}
        if start + self.hub.page < len(entries):
            recursive = self.query.get("recursive", ["false"])[0]
            base = f"{self.hub.endpoint}{urlsplit(self.path).path}?recursive={recursive}"
            headers["Link"] = f'<{base}&cursor={start + self.hub.page}>; rel="next"'
        self._json(entries[start : start + self.hub.page], headers=headers)

    def _paths_info(self, kind: str, name: str, revision: str) -> None:
        repository, sha = self._at(kind, name, revision)
        if "json" in (self.headers.get("Content-Type") or ""):
            paths = json.loads(self.body)["paths"]
        else:
            paths = parse_qs(self.body.decode()).get("paths", [])
        files = repository.files(sha)
        entries = [repository.entry(p, files[p]) for p in paths if p in files]
        folders = [p for p in paths if any(f.startswith(f"{p}/") for f in files)]
        self._json([*entries, *({"type": "directory", "path": p, "oid": "0" * 40, "size": 0} for p in folders)])

    def _refs(self, kind: str, name: str) -> None:
        refs = self._repository(kind, name).record["refs"]

        def below(prefix: str) -> list[dict[str, str]]:
            return [
                {"name": ref.removeprefix(prefix), "ref": ref, "targetCommit": sha}
                for ref, sha in refs.items()
                if ref.startswith(prefix)
            ]

        self._json(
            {
                "branches": below("refs/heads/"),
                "tags": below("refs/tags/"),
                "converts": below("refs/convert/"),
                "pullRequests": below("refs/pr/"),
            }
        )

    def _discussions(self, kind: str, name: str) -> None:
        titles: dict[str, str] = self._repository(kind, name).record.get("discussions", {})
        found = [
            {
                "title": title,
                "num": int(number),
                "author": {"name": "bot"},
                "createdAt": "2026-01-01T00:00:00.000Z",
                "status": "open",
                "repo": {"name": name, "type": kind.removesuffix("s")},
                "isPullRequest": True,
            }
            for number, title in titles.items()
        ]
        self._json({"discussions": found, "count": len(found), "start": 0})

    def _resolve(self, name: str, revision: str, path: str, kind: str = "models") -> None:
        repository, sha = self._at(kind, name, revision)
        if repository.record["gated"] and not self._known:
            raise _Refused(401, "GatedRepo", f"Access to {name} is restricted")
        file = repository.files(sha).get(path)
        headers = {"X-Repo-Commit": sha}
        if file is None:
            self._json({}, 404, {**headers, "X-Error-Code": "EntryNotFound", "X-Error-Message": "Entry not found"})
            return
        body = file.read_bytes()
        entry = repository.entry(path, file)
        # The bytes come from here and not by a redirect: the client follows one to the same host, and then
        # misses X-Repo-Commit.
        headers |= {
            "ETag": f'"{entry["oid"]}"',
            "Accept-Ranges": "bytes",
            "Content-Type": "application/octet-stream",
        }
        if "lfs" in entry:
            headers |= {
                "ETag": f'"{entry["lfs"]["oid"]}"',
                "X-Linked-Etag": f'"{entry["lfs"]["oid"]}"',
                "X-Linked-Size": str(len(body)),
            }
        headers["Content-Disposition"] = f"inline; filename*=UTF-8''{quote(Path(path).name)}"
        wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range") or "")
        if wanted is None:
            self._send(200, body, headers)
            return
        start, end = int(wanted[1]), min(int(wanted[2] or len(body) - 1), len(body) - 1)
        if start >= len(body):
            self._send(416, b"", {"Content-Range": f"bytes */{len(body)}"})
            return
        self._send(206, body[start : end + 1], {**headers, "Content-Range": f"bytes {start}-{end}/{len(body)}"})
