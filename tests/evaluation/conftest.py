"""What the tests of evaluation share: tiny checkpoints and a way to evaluate them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from helpers.data_folder import (
    make_data_folder,
)
from xharness import assets
from xharness.evaluation import runner as evaluation_runner
from xharness.results.aggregate import Results
from xharness.tasks.registry import load_task


@pytest.fixture
def model(tiny_checkpoint: Any) -> Any:
    """Return what makes a checkpoint whose head fits a target, its labels in another order than the spec's."""

    def make(task: str, **options: Any) -> Path:
        spec = load_task(task)
        head = "encoder" if spec.kind == "retrieval" else spec.kind
        path: Path = tiny_checkpoint(head, labels=tuple(sorted(spec.labels, reverse=True)), **options)
        return path

    return make


@pytest.fixture
def evaluate(data_folder: Path, tmp_path: Path) -> Any:
    def run(model: Path, targets: str, **options: Any) -> Results:
        named = {"data_dir": data_folder, "output": tmp_path / "out", "dtype": "float32", **options}
        return evaluation_runner.evaluate(str(model), targets=targets, **named)

    return run


@pytest.fixture
def toy(tmp_path: Path) -> tuple[Path, Path]:
    """Return a task file whose data is complete with the fixtures' five rows, and its data folder."""
    text = (assets.TASKS / "targets" / "xnli.yaml").read_text(encoding="utf-8")
    head, _, _ = text.partition("\nlanguages:")
    head = head.replace("name: xnli", "name: toy").replace("{test: 5010, dev: 2490}", "{test: 5, dev: 3}")
    path = tmp_path / "toy.yaml"
    path.write_text(head + "\nlanguages: {de: , en: {zero_shot: false}, ru: }\n", encoding="utf-8")
    return path, make_data_folder(tmp_path / "complete", status="complete")
