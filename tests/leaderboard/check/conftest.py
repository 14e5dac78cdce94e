"""What the tests of checking share: gold data, runs, a package and a leaderboard on a Hub."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from helpers.fake_hub import LoopbackHub, Repository
from helpers.leaderboard import packed
from helpers.machine import STRANGER
from helpers.runs import found_board, gold_folder, make_run
from xharness.leaderboard.package import Package

_NUMBERS = itertools.count()


@pytest.fixture(scope="module")
def gold(tmp_path_factory: Any) -> Path:
    return gold_folder(tmp_path_factory.mktemp("gold"))


@pytest.fixture(scope="module")
def runs(gold: Path, tmp_path_factory: Any) -> list[Path]:
    folder = tmp_path_factory.mktemp("runs")
    return [make_run(folder / f"seed{seed}", gold, seed=seed) for seed in (0, 1)]


@pytest.fixture(scope="module")
def package(runs: list[Path], gold: Path) -> Package:
    return packed(*runs, gold=gold, submitted_by="tester")


@pytest.fixture(scope="module")
def hub(tmp_path_factory: Any) -> Iterator[LoopbackHub]:
    with LoopbackHub(tmp_path_factory.mktemp("hub")) as server:
        server.user("stranger", STRANGER, "read")
        yield server


@pytest.fixture
def board(hub: LoopbackHub, request: pytest.FixtureRequest) -> Repository:
    """Return a leaderboard of the test's own."""
    name = f"{request.node.originalname[5:50]}_{next(_NUMBERS)}"
    return found_board(hub, f"org/{name}")
