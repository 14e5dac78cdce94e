"""A machine with xharness: a process that knows a Hub on this machine and runs commands."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from helpers.fake_hub import TOKEN, LoopbackHub

RUN = """
import contextlib, io, os, sys
from xharness.cli.main import main

def run(arguments, token):
    if token is None:
        os.environ.pop("HF_TOKEN", None)
    else:
        os.environ["HF_TOKEN"] = token
    out, err, code = io.StringIO(), io.StringIO(), 0
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main(arguments)
        except SystemExit as stop:
            code = int(stop.code or 0)
    return {"code": code, "out": out.getvalue(), "err": err.getvalue()}
"""
READER, STRANGER = "hf_reader", "hf_stranger"


class Machine:
    """A machine with xharness: runs commands in one process, and looks for tokens in all that they print."""

    def __init__(self, hub: LoopbackHub, home: Path) -> None:
        self.hub = hub
        self.client = hub.client(home)
        self.client.run(RUN)

    def run(self, *arguments: object, token: str | None = TOKEN) -> dict[str, Any]:
        """Run the command line."""
        found = self.client.run("result = run(arguments, token)", arguments=[str(a) for a in arguments], token=token)
        assert "Traceback" not in found["err"], found["err"]
        for known in self.hub.users:
            assert known not in found["out"] + found["err"]
        return dict(found)

    def publish(self, *arguments: object, token: str | None = TOKEN, yes: bool = True) -> dict[str, Any]:
        """Run ``xharness publish``."""
        return self.run("publish", *arguments, *(["--yes"] if yes else []), token=token)
