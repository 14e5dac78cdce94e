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
    """Answers with the files of one folder, and with nothing about the folder itself."""

    # Not those of the operating system, which differ from one to the next.
    extensions_map = {  # noqa: RUF012 - an instance variable in the class that this one is of
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
        # A board is built again and again in one place.
        self.send_header("Cache-Control", "no-cache")
        super().end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        pass


class _Server(ThreadingHTTPServer):
    """Says nothing of browsers that hang up, as they do whenever somebody turns to another page."""

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


def server(folder: Path, port: int) -> ThreadingHTTPServer:
    """Return the server of a built board; ``serve_forever`` starts it, and its ``server_port`` is where.

    Args:
        folder: that `leaderboard build` made.
        port: 0: any that is free.

    Raises:
        UsageError: it is no built board, or the port is taken.
    """
    if not (folder / _PAGE).is_file():
        raise UsageError(
            f"{folder}: there is no {_PAGE} in it. `xharness leaderboard build` makes one; give the folder of its --to."
        )
    try:
        return _Server((HOST, port), partial(_Handler, directory=str(folder)))
    except OSError as error:
        if error.errno not in (errno.EADDRINUSE, errno.EACCES):
            raise
        raise UsageError(f"Port {port} cannot be used: {error.strerror}. Choose another one with --port.") from None
