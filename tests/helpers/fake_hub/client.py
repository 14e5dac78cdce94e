"""Client processes, because the Hub's clients read HF_ENDPOINT only once, when they are imported."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from typing import Any, Self

from helpers.paths import HARNESS


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
        paths = [p for p in [str(HARNESS), environment.get("PYTHONPATH")] if p]
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
        self._process.wait(timeout=240)
        self._process.stdout.close()
