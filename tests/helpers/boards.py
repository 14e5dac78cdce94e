"""Leaderboards that tests build, and change before that."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from xharness.leaderboard import build as leaderboard_build
from xharness.leaderboard import submission


def read(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "scores.json").read_text(encoding="utf-8"))
    return found


def build(board: Path) -> tuple[leaderboard_build.BuildResult, dict[str, Any]]:
    made = leaderboard_build.build(board, board.parent / "built")
    return made, read(board.parent / "built")


def submitted(scores: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {row["id"]: row for row in scores["rows"] if row["kind"] == "submission"}


def record(board: Path, name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((board / "submissions" / name / "submission.json").read_text(encoding="utf-8"))
    return found


def change(board: Path, name: str, /, **changes: Any) -> str:
    """Write a submission anew with other fields, and its verdict for this content; return its new id."""
    content = {**record(board, name), **changes}
    digest = submission.digest_of(content)
    new = submission.id_of(content["name"], digest)
    (board / "submissions" / name).rename(board / "submissions" / new)
    (board / "submissions" / new / "submission.json").write_text(json.dumps({**content, "id": new}), encoding="utf-8")
    if (board / "checks" / name).exists():
        (board / "checks" / name).rename(board / "checks" / new)
        judge(board, new, id=new, digest=digest)
    return new


def judge(board: Path, name: str, /, **changes: Any) -> None:
    path = board / "checks" / name / "verdict.json"
    path.write_text(json.dumps({**json.loads(path.read_text(encoding="utf-8")), **changes}), encoding="utf-8")


def hashes(folder: Path) -> dict[str, str]:
    found = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in found}
