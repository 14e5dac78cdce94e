"""Packages as submit makes them, laid into folders as they lie in a board's repository."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from xharness.leaderboard import collect as origins
from xharness.leaderboard import package as packing
from xharness.leaderboard.package import Given, Package


def packed(*runs: Path, gold: Path, **more: Any) -> Package:
    """Return the package of some RUNs."""
    given = Given(**{"name": "XLM-R (MNLI)", "submitted_by": "ann", "architecture": "encoder", **more})
    return packing.pack(origins.of_runs(runs), given, gold, lambda _: None)


def write_package(package: Package, to: Path) -> Path:
    """Write a package into a folder of its own."""
    for file in package.files:
        path = to / file.path.removeprefix(f"{package.folder}/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(file.source if isinstance(file.source, bytes) else file.source.read_bytes())
    return to
