"""The same decisions on an accelerator as on the CPU, and bfloat16 where it has matrix units for it.

.venv/bin/python -m pytest tests/end_to_end/test_gpu.py -m gpu
"""

from __future__ import annotations

from pathlib import Path

import pytest

import xharness
from helpers import tiny_models
from helpers.paths import SCRIPTS
from xharness.tasks.registry import load_task

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
    checkpoint = tiny_models.checkpoint(tmp_path / "model", HEADS[task], labels=labels)
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

    from xharness.models import devices

    able = torch.cuda.get_device_capability()[0] >= 8
    assert devices.choose_dtype("auto", torch.device("cuda")) == ("bfloat16" if able else "float32")


def test_the_search_finds_the_same_neighbours_as_on_the_cpu():
    import numpy as np

    from xharness.evaluation.retrieval import search

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


@pytest.fixture
def pairs(tmp_path):
    """Return a data folder with 96 pairs to train on, and an encoder with random weights for them."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    from xharness.training import new_encoder

    names = ("Ada", "Bob", "Cem", "Dora")
    labels = ("entailment", "neutral", "contradiction")
    rows = [
        {
            "premise": " ".join([names[i % 4], "sees", *names[: i % 5], "there."]),
            "hypothesis": f"{names[i // 4 % 4]} is {('not ' if i % 3 == 2 else '')}there.",
            "label": labels[i % 3],
        }
        for i in range(96)
    ]
    for split in ("train", "validation"):
        place = tmp_path / "data" / "xharness" / "demo-nli" / "en" / f"{split}-00000-of-00001.parquet"
        place.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.Table.from_pylist(rows), place)
    texts = [text for row in rows for text in (row["premise"], row["hypothesis"])]
    base = new_encoder.make(new_encoder.load_size("tiny"), texts, tmp_path / "base", pieces=100).folder
    return tmp_path / "data", base


def test_a_step_in_bfloat16_has_the_loss_of_a_step_on_the_cpu(pairs, tmp_path, monkeypatch):
    from xharness import assets
    from xharness.training import plan as training_plan
    from xharness.training import runner as training_runner

    monkeypatch.setenv("XHARNESS_CACHE", str(tmp_path / "cache"))
    data, base = pairs
    task = str(assets.TASKS / "demo" / "training" / "demo_nli_en.yaml")
    losses = {}
    for device, dtype in (("cpu", "float32"), ("cuda", "float32"), ("cuda", "bfloat16")):
        options = training_plan.Options(
            given={"learning_rate": 1e-3, "warmup": 0.0}, max_steps=10, device=device, dtype=dtype
        )
        plan = training_plan.prepare([task], str(base), data_dir=data, options=options)
        record = training_runner.train(plan, tmp_path / f"{device}-{dtype}", progress=False)
        # The first entry is of the first step alone, the next of the nine after it.
        losses[device, dtype] = [loss for _, _, loss, _ in record.losses]
    assert len(losses["cpu", "float32"]) >= 2
    assert losses["cuda", "float32"] == pytest.approx(losses["cpu", "float32"], rel=1e-3)
    assert losses["cuda", "bfloat16"][0] == pytest.approx(losses["cpu", "float32"][0], rel=0.02)
    assert losses["cuda", "bfloat16"][-1] == pytest.approx(losses["cpu", "float32"][-1], rel=0.1)


def test_packed_and_padded_are_the_same_on_the_gpu(pairs):
    import copy

    import torch
    import transformers

    from xharness.models import packing

    torch.manual_seed(0)
    config = transformers.AutoConfig.from_pretrained(pairs[1])
    padded = transformers.AutoModelForSequenceClassification.from_config(config).cuda().train()
    packed = copy.deepcopy(padded)
    packing.install(packed)
    lengths = torch.tensor([40, 7, 23, 1, 12, 40])
    mask = (torch.arange(40) < lengths[:, None]).long()
    rows = {
        "input_ids": torch.where(mask.bool(), torch.randint(4, config.vocab_size, mask.shape), torch.tensor(1)).cuda(),
        "attention_mask": mask.cuda(),
    }
    for name, precision, near in (("float32", torch.float32, 1e-4), ("bfloat16", torch.bfloat16, 0.05)):
        found = []
        for model in (padded, packed):
            model.zero_grad()
            with torch.autocast("cuda", precision, enabled=name != "float32"):
                logits = model(**rows).logits
            logits.float().sin().sum().backward()
            gradient = model.base_model.encoder.layer[0].output.dense.weight.grad
            found.append((logits.detach().float(), gradient.clone()))
        for one, other in zip(*found, strict=True):
            # Against the largest value: a small one may be the difference of two large ones.
            assert float((one - other).abs().max()) <= near * float(one.abs().max()), name


@pytest.mark.timeout(1800)
def test_gpu_check_writes_its_figures_down(mirror, tmp_path):
    import os
    import subprocess
    import sys

    script = SCRIPTS / "gpu_check.sh"
    page = tmp_path / "page.md"
    done = subprocess.run(
        ["bash", str(script), "--data-dir", str(mirror), "--steps", "20", "--to", str(page), "--figures-only"],
        env={**os.environ, "PYTHON": sys.executable, "XHARNESS_CACHE": str(tmp_path / "cache")},
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    text = page.read_text()
    assert "tokens/s" in text
    assert "utilization" in text
