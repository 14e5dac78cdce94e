"""Trainings of a tiny encoder within seconds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from xharness.checkpoints import training_record
from xharness.training import runner as training_runner
from xharness.training.plan import Options, prepare

FAST: dict[str, Any] = {"learning_rate": 3e-3, "eval_every": 10, "batch_size": 16}


def run(tasks: str, base: Path, folder: Path, output: Path, **options: Any) -> training_record.Record:
    given = {**FAST, **options.pop("given", {})}
    selection = options.pop("selection", None)
    known = {"device": "cpu", "dtype": "float32", "max_steps": 30, "given": given, **options}
    plan = prepare(tasks.split(","), str(base), data_dir=folder, options=Options(**known))
    return training_runner.train(plan, output, selection=selection, progress=False)


def weights(output: Path) -> dict[str, torch.Tensor]:
    return {f"{p.name}:{k}": v for p in sorted(output.rglob("*.safetensors")) for k, v in load_file(p).items()}


def same(first: Path, second: Path, tolerance: float = 0.0) -> None:
    left, right = weights(first), weights(second)
    assert left.keys() == right.keys()
    assert max(float((left[k] - right[k]).abs().max()) for k in left) <= tolerance


def text_file(tmp_path: Path) -> Path:
    path = tmp_path / "text.txt"
    path.write_text("the cat sees the dog .\nthe river finds the stone .\n" * 20, encoding="utf-8")
    return path
