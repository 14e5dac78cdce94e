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

HEADS = {
    "xnli": "classification",
    "xcopa": "multiple_choice",
    "panx": "tagging",
    "xquad": "span_qa",
    "tatoeba": "encoder",
}


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


def test_the_search_finds_the_same_neighbours_as_on_the_cpu():
    import numpy as np

    from xharness import search

    random = np.random.default_rng(0)
    # Small whole numbers: products are exact in float32 and ties are many; a rounding to TF32 would not show in them.
    whole = [random.integers(-3, 4, (rows, 32)).astype(np.float32) for rows in (3000, 20_000)]
    fine = [random.standard_normal((rows, 64)).astype(np.float32) for rows in (500, 9000)]
    for first, second in (whole, fine):
        both = [search.search_both(first, second, 4, device=device) for device in ("cuda", "cpu")]
        for on_gpu, on_cpu in zip(*both, strict=True):
            np.testing.assert_allclose(on_gpu.scores, on_cpu.scores, rtol=1e-5)
            assert (on_gpu.indices == on_cpu.indices).mean() > 0.999
    exact = [search.search(*whole, 20, device=device) for device in ("cuda", "cpu")]
    np.testing.assert_array_equal(exact[0].indices, exact[1].indices)
