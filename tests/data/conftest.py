"""What the tests of loading data share."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from helpers.toy_task import HEAD, KINDS
from xharness.tasks.registry import read_task
from xharness.tasks.task_spec import TaskSpec


@pytest.fixture
def toy(tmp_path: Path) -> Any:
    """Return what writes a spec of a kind, with replacements in its text."""

    def make(kind: str, *changes: tuple[str, str]) -> TaskSpec:
        text = HEAD.format(name="toy", kind=kind) + KINDS[kind]
        for old, new in changes:
            assert old in text
            text = text.replace(old, new)
        path = tmp_path / "toy.yaml"
        path.write_text(text, encoding="utf-8")
        return read_task(path)

    return make


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "datasets").mkdir()
    return tmp_path / "datasets"
