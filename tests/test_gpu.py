"""The same decisions on an accelerator as on the CPU, and bfloat16 where it has matrix units for it.

.venv/bin/python -m pytest tests/test_gpu.py -m gpu
"""

from __future__ import annotations

from pathlib import Path

import pytest

import tiny
import xharness
from xharness.spec import load_task

pytestmark = pytest.mark.gpu

HEADS = {"xnli": "classification", "panx": "tagging", "xquad": "span_qa", "tatoeba": "encoder"}


@pytest.fixture(autouse=True)
def accelerator():
    import torch

    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")


@pytest.mark.parametrize("task", HEADS)
def test_same_predictions_as_on_the_cpu(task, data_folder, tmp_path):
    labels = load_task(task).labels
    checkpoint = tiny.checkpoint(tmp_path / "model", HEADS[task], labels=labels)
    made = {}
    for device in ("cpu", "cuda"):
        found = xharness.evaluate(
            str(checkpoint),
            targets=task,
            data_dir=data_folder,
            output=tmp_path / device,
            device=device,
            dtype="float32",
        )
        run = Path(found.provenance["run"])
        made[device] = {p.name: p.read_bytes() for p in run.glob(f"predictions/{task}/*")}
    assert made["cpu"]
    assert made["cuda"] == made["cpu"]


def test_auto_takes_bfloat16_where_there_are_units_for_it():
    import torch

    from xharness import models

    able = torch.cuda.get_device_capability()[0] >= 8
    assert models.choose_dtype("auto", torch.device("cuda")) == ("bfloat16" if able else "float32")
