"""What the tests of retrieval share: a folder of raw files, and a way to evaluate on it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from xharness.data import candidates
from xharness.evaluation import runner as evaluation_runner
from xharness.results.aggregate import Results


@pytest.fixture(autouse=True)
def fresh(monkeypatch):
    monkeypatch.setattr(candidates, "_POOLS", {})


@pytest.fixture
def raw(tmp_path):
    return tmp_path / "data" / "raw"


@pytest.fixture
def evaluate(tiny_checkpoint, tmp_path, raw) -> Callable[..., Results]:
    def run(targets: str, **options: Any) -> Results:
        raw.mkdir(parents=True, exist_ok=True)
        named = {"data_dir": raw.parent, "output": tmp_path / "out", "dtype": "float32", **options}
        return evaluation_runner.evaluate(str(tiny_checkpoint("encoder")), targets=targets, **named)

    return run
