"""Pull requests to a leaderboard: how tests open them, have them checked, and see what came of it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from helpers.fake_hub import TOKEN, Repository
from helpers.fake_hub.discussions import note_commit, open_discussion
from helpers.machine import Machine
from xharness.leaderboard import verdict
from xharness.leaderboard.package import Package

COMMIT, UPLOAD, COMMENT, CLOSE = ("POST .*/commit/", "PUT .*/lfs/", "POST .*/comment$", "POST .*/status$")


def contents(package: Package) -> dict[str, bytes]:
    return {file.path: file.source for file in package.files}


def propose(
    board: Repository,
    changed: Mapping[str, bytes | None],
    author: str = "tester",
    base: str | None = None,
    status: str = "open",
) -> int:
    """Open a pull request that changes files, whatever they are; None removes one."""
    start = base or board.resolve("main") or ""
    number = open_discussion(
        board, author, "A submission", "Please merge.", base=start, onto="refs/heads/main", status=status
    )
    tree = {path: file for path, file in board.tree(start).items() if path not in changed}
    tree |= {path: board.keep(path, content) for path, content in changed.items() if content is not None}
    sha = board.advance(f"refs/pr/{number}", tree, start, title="A submission", author=author)
    note_commit(board, f"refs/pr/{number}", sha, author, "A submission")
    return number


def checked(
    machine: Machine, board: Repository, number: int, gold: Path, *more: object, **named: Any
) -> dict[str, Any]:
    arguments = ["leaderboard", "check", "--pr", number, "--of", board.name, "--data-dir", gold, "--json", *more]
    found = machine.run(*arguments, **named)
    return found | {"verdict": json.loads(found["out"]) if found["out"] else {}}


def main_files(board: Repository) -> dict[str, Path]:
    return board.files(board.resolve("main") or "")


def comments_of(board: Repository, number: int) -> list[str]:
    events = board.record["discussions"][str(number)]["events"]
    return [event["data"]["latest"]["raw"] for event in events if event["type"] == "comment"]


def on_the_hub(machine: Machine, board: Repository, what: str, *arguments: Any) -> None:
    """Do something by hand, as a maintainer on the Hub's own pages."""
    code = "from huggingface_hub import HfApi\n"
    code += "getattr(HfApi(token=token), what)(repo, *arguments, repo_type='dataset')"
    machine.client.run(code, what=what, repo=board.name, arguments=list(arguments), token=TOKEN)


def merged_there(board: Repository, name: str) -> bool:
    """Whether main holds a submission and a verdict that accepts it."""
    there = main_files(board)
    path = f"checks/{name}/verdict.json"
    return path in there and verdict.parse(there[path].read_bytes(), "v").accepted
