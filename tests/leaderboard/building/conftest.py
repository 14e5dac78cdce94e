"""What the tests of building share: one leaderboard, and its build."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from helpers.leaderboard import make_board
from xharness.leaderboard import build as leaderboard_build


@pytest.fixture(scope="module")
def whole(tmp_path_factory: Any) -> Path:
    """Return a board of twelve submissions of two seeds; do not write to it."""
    folder = tmp_path_factory.mktemp("board") / "data"
    make_board(folder, 12, 2)
    return folder


@pytest.fixture(scope="module")
def built(whole: Path) -> Path:
    leaderboard_build.build(whole, whole.parent / "built")
    return whole.parent / "built"


@pytest.fixture
def board(tmp_path: Path) -> Path:
    """Return a board of three checked submissions of one seed, to be changed."""
    make_board(tmp_path / "data", 3, mixed=False)
    return tmp_path / "data"
