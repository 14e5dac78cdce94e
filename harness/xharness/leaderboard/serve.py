"""Serve a built page locally."""

from __future__ import annotations

import errno
import os
import sys
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from xharness.errors import UsageError

HOST = "127.0.0.1"
_PAGE = "index.html"


class _Handler(SimpleHTTPRequestHandler):
    """Serves the files of one folder, without directory listings."""

    # Not the types of the operating system, which differ between systems.
    extensions_map = {  # noqa: RUF012 - an instance variable in the base class
        "": "application/octet-stream",
        ".html": "text/html; charset=utf-8",
        ".js": "text/javascript; charset=utf-8",
        ".json": "application/json",
        ".parquet": "application/vnd.apache.parquet",
    }

    def guess_type(self, path: str | os.PathLike[str]) -> str:
        return self.extensions_map.get(os.path.splitext(path)[1], self.extensions_map[""])

    def list_directory(self, path: str | os.PathLike[str]) -> None:
        self.send_error(404)

    def end_headers(self) -> None:
        self.send_header("X-Content-Type-Options", "nosniff")
        # The page is rebuilt in the same place.
        self.send_header("Cache-Control", "no-cache")
        super().end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        pass


class _Server(ThreadingHTTPServer):
    """Ignores connections that the browser closes, as it does when the user leaves the page."""

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


def server(folder: Path, port: int) -> ThreadingHTTPServer:
    """Return a server of a built page; call ``serve_forever`` to start it. Its port is ``server_port``.

    Args:
        folder: output folder of `leaderboard build`.
        port: port number; 0: any free port.

    Raises:
        UsageError: the folder is not a build, or the port is taken.
    """
    if not (folder / _PAGE).is_file():
        raise UsageError(
            f"{folder}: {_PAGE} is missing. Give the output folder (--to) of `xharness leaderboard build`."
        )
    try:
        return _Server((HOST, port), partial(_Handler, directory=str(folder)))
    except OSError as error:
        if error.errno not in (errno.EADDRINUSE, errno.EACCES):
            raise
        raise UsageError(f"Port {port} cannot be used: {error.strerror}. Choose another port with --port.") from None
