"""Loading checkpoints and running them: nothing is made up, and batches do not change decisions."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from helpers import tiny_models
from helpers.data_folder import fixture_tasks
from xharness.data import loading as data_loading
from xharness.errors import ModelError, UsageError
from xharness.models import devices, inference
from xharness.models import loading as models_loading
from xharness.models.kinds import KINDS
from xharness.models.kinds.base import Context, NonFiniteOutput
from xharness.tasks.registry import load_task

CPU = torch.device("cpu")
HEADS = ["classification", "tagging", "span_qa"]


def load(path: Path, kind: str, dtype: str = "float32", **options: Any) -> models_loading.LoadedModel:
    return models_loading.load(path, KINDS[kind], name="org/tiny", device=CPU, dtype=dtype, **options)


def changed(source: Path, to: Path, change: Any) -> Path:
    """Copy a checkpoint, with ``change`` applied to its tensors."""
    shutil.copytree(source, to)
    weights = load_file(to / "model.safetensors")
    change(weights)
    save_file(weights, to / "model.safetensors", metadata={"format": "pt"})
    return to


def set_config(path: Path, **fields: Any) -> None:
    config = json.loads((path / "config.json").read_text())
    (path / "config.json").write_text(json.dumps({**config, **fields}))


def clear_cache(part: str) -> Any:
    def change(weights: dict[str, torch.Tensor]) -> None:
        names = [name for name in weights if part in name]
        assert names
        for name in names:
            del weights[name]

    return change


# --- Nothing is filled with random weights -------------------------------------------------------------------------


@pytest.mark.parametrize("head", ["tagging", "span_qa", "masked_lm"])
@pytest.mark.parametrize("family", ["xlm-roberta", "bert"])
def test_a_checkpoint_without_pooler_gives_means_but_no_pooler_output(family, head, tiny_checkpoint):
    path = tiny_checkpoint(head, family=family)
    for pooling in ("mean", "cls"):
        encoder = load(path, "retrieval", pooling=pooling)
        assert getattr(encoder.model, "pooler", None) is None
        output = encoder.model(torch.tensor([[2, 5, 6, 3]]), output_hidden_states=True)
        assert len(output.hidden_states) == encoder.layers + 1 == 3
    with pytest.raises(ModelError, match=r"no pooler .*pooler\.dense\.bias.*--pooling mean"):
        load(path, "retrieval", pooling="pooler")


def test_a_pooler_that_is_there_is_used(tiny_checkpoint):
    path = tiny_checkpoint("encoder", family="bert")
    stored = load_file(path / "model.safetensors")["pooler.dense.weight"]
    encoder = load(path, "retrieval", pooling="pooler")
    assert torch.equal(encoder.model.pooler.dense.weight, stored)


@pytest.mark.parametrize("head", HEADS)
def test_a_head_is_never_made_up(head, tiny_checkpoint, tmp_path):
    with pytest.raises(ModelError, match=r"not in the checkpoint .*never filled with random values"):
        load(tiny_checkpoint("encoder"), head)
    part = {"span_qa": "qa_outputs.bias"}.get(head, "classifier.")
    path = changed(tiny_checkpoint(head), tmp_path / "cut", clear_cache(part))
    with pytest.raises(ModelError, match=part.rstrip(".")):
        load(path, head)


def test_a_missing_layer_is_never_made_up(tiny_checkpoint, tmp_path):
    path = changed(tiny_checkpoint("encoder"), tmp_path / "cut", clear_cache("layer.1.attention.self.key"))
    with pytest.raises(ModelError, match=r"2 required weights .*layer\.1\.attention\.self\.key"):
        load(path, "retrieval", pooling="mean")


def test_weights_of_another_shape_are_refused(tiny_checkpoint, tmp_path):
    def narrow(weights: dict[str, torch.Tensor]) -> None:
        weights["classifier.weight"] = torch.zeros(7, 16)

    path = changed(tiny_checkpoint("tagging", labels=("O", "B-X")), tmp_path / "other", narrow)
    with pytest.raises(ModelError, match=r"weights do not fit config\.json: classifier\."):
        load(path, "tagging")


@pytest.mark.parametrize("family", ["xlm-roberta", "modernbert"])
def test_a_config_with_fewer_layers_than_the_weights_is_refused(family, tiny_checkpoint, tmp_path):
    for head, kind in (("encoder", "retrieval"), ("classification", "classification")):
        path = shutil.copytree(tiny_checkpoint(head, family=family), tmp_path / head)
        set_config(path, num_hidden_layers=1, layer_types=None)
        with pytest.raises(ModelError, match=r"weights of layers that config\.json does not have"):
            load(path, kind, pooling="mean")


def test_the_tokenizer_must_be_that_of_the_model(tiny_checkpoint, tmp_path):
    path = shutil.copytree(tiny_checkpoint("encoder"), tmp_path / "other")
    for file in path.glob("token*.json"):
        shutil.copy(tiny_checkpoint("encoder", family="bert") / file.name, file)
    with pytest.raises(ModelError, match=r"ids go up to \d+, but the model has embeddings for \d+"):
        load(path, "retrieval", pooling="mean")
    path = shutil.copytree(tiny_checkpoint("encoder", vocab_size=90_000), tmp_path / "few")
    with pytest.raises(ModelError, match="its vocabulary is missing"):
        load(path, "retrieval", pooling="mean")


def test_a_head_of_another_shape_is_refused(tiny_checkpoint):
    with pytest.raises(ModelError, match="3 outputs, expected 2"):
        load(tiny_checkpoint("span_qa", labels=("a", "b", "c")), "span_qa")
    with pytest.raises(ModelError, match="ModernBertModel has no pooler"):
        load(tiny_checkpoint("encoder", family="modernbert"), "retrieval", pooling="pooler")


def test_a_model_without_room_for_text_is_refused(tiny_checkpoint):
    with pytest.raises(ModelError, match=r"has 4 positions, .* no room for text"):
        load(tiny_checkpoint("encoder", max_position_embeddings=6), "retrieval", pooling="mean")


def test_fields_of_a_wrong_type_are_an_error_in_one_sentence(tiny_checkpoint, tmp_path):
    for number, fields in enumerate(({"hidden_size": "wide"}, {"num_hidden_layers": "2"})):
        path = shutil.copytree(tiny_checkpoint("encoder"), tmp_path / str(number))
        set_config(path, **fields)
        with pytest.raises(ModelError, match=r"^org/tiny: ") as caught:
            load(path, "retrieval", pooling="mean")
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("model.safetensors", lambda raw: raw[: len(raw) // 2]),
        ("model.safetensors", lambda raw: b"\xff" * 64),
        ("config.json", lambda raw: b'{"model_type": "no-such-model"}'),
        ("tokenizer.json", lambda raw: raw[:100]),
    ],
    ids=["cut weights", "no weights", "unknown architecture", "cut tokenizer"],
)
def test_a_damaged_checkpoint_is_an_error_in_one_sentence(name, content, tiny_checkpoint, tmp_path):
    path = shutil.copytree(tiny_checkpoint("encoder"), tmp_path / "damaged")
    (path / name).write_bytes(content((path / name).read_bytes()))
    with pytest.raises(ModelError, match=r"^org/tiny: ") as caught:
        load(path, "retrieval", pooling="mean")
    assert "\n" not in str(caught.value)


# --- What is known of an encoder -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("family", "config", "positions"),
    [
        ("xlm-roberta", {"max_position_embeddings": 514}, 512),
        ("bert", {"max_position_embeddings": 512}, 512),
        ("modernbert", {"max_position_embeddings": 8192}, 8192),
    ],
)
def test_positions(family, config, positions, tiny_checkpoint):
    encoder = load(tiny_checkpoint("encoder", family=family, **config), "retrieval", pooling="mean")
    assert encoder.max_positions == positions
    ids = torch.full((1, positions), 5) if positions < 1000 else torch.full((1, 40), 5)
    assert encoder.model(ids).last_hidden_state.shape[1] == ids.shape[1]
    if positions < 1000:
        with pytest.raises((IndexError, RuntimeError)):
            encoder.model(torch.full((1, positions + 1), 5))


def test_devices_and_types():
    assert devices.choose_device("cpu") == CPU
    assert devices.choose_dtype("bfloat16", CPU) == "bfloat16"
    assert devices.choose_dtype("auto", CPU) in ("bfloat16", "float32")
    for name in ("gpu", "cuda:99", "mps", "xpu", "meta", "cpu:0", "cuda:-1", ""):
        with pytest.raises(UsageError, match=f"'{name}'"):
            devices.choose_device(name)


@pytest.mark.parametrize(
    ("able", "chosen"),
    [({"amx_bf16": True}, "bfloat16"), ({"avx512_bf16": True}, "bfloat16"), ({"avx2": True}, "float32")],
)
def test_auto_is_bfloat16_where_the_processor_has_matrix_units(able, chosen, monkeypatch):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: able)
    assert devices.choose_dtype("auto", CPU) == chosen


# --- Running -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", list(tiny_models.FAMILIES))
@pytest.mark.parametrize("task", ["xnli", "panx", "xquad", "tatoeba"])
def test_batches_do_not_change_decisions(task, family, data_folder, tiny_checkpoint):
    spec = load_task(task)
    head = "encoder" if spec.kind == "retrieval" else spec.kind
    encoder = load(tiny_checkpoint(head, family=family, labels=tuple(spec.labels), seed=1), spec.kind, pooling="mean")
    kind = KINDS[spec.kind]
    layers = (1,) if spec.kind == "retrieval" else ()
    settings = spec.input.model_copy(update={"max_length": 48, **({"doc_stride": 9} if task == "xquad" else {})})
    context = Context(encoder.tokenizer, 48, settings, tuple(spec.labels), layers)
    examples = [
        example
        for language in fixture_tasks()[task]
        for example in data_loading.load(spec, language, "test", data_folder).examples
    ]
    if spec.kind == "retrieval":
        examples = [example.text for example in examples]
    features = kind.encode(examples, context)
    assert len(set(features.lengths)) > 3
    made = {}
    for budget in (1, 130, 100_000):
        ticks: list[int] = []
        arrays = inference.forward(encoder, kind, features, context, budget, ticks.append)
        assert sum(ticks) == sum(features.lengths)
        made[budget] = (arrays, kind.decode(examples, features, arrays, context) if kind.decode else None)
    for budget in (130, 100_000):
        assert made[budget][1] == made[1][1]
        for alone, together in zip(made[1][0], made[budget][0], strict=True):
            np.testing.assert_allclose(together, alone, atol=1e-4)
    # The same budget gives the same bytes.
    again = inference.forward(encoder, kind, features, context, 130)
    assert [a.tobytes() for a in again] == [a.tobytes() for a in made[130][0]]
    assert len({str(p) for p in made[1][1] or made[1][0]}) > 1


def test_bfloat16_weights_are_bfloat16(tiny_checkpoint):
    encoder = load(tiny_checkpoint("classification"), "classification", "bfloat16")
    assert {p.dtype for p in encoder.model.parameters()} == {torch.bfloat16}
    assert not encoder.model.training


def test_nan_in_the_weights_is_noticed(tiny_checkpoint, tmp_path, data_folder):
    def spoil(weights: dict[str, torch.Tensor]) -> None:
        weights["roberta.encoder.layer.1.output.dense.bias"][3] = float("nan")

    spec = load_task("xnli")
    encoder = load(changed(tiny_checkpoint("classification"), tmp_path / "nan", spoil), "classification")
    context = Context(encoder.tokenizer, 128, spec.input, tuple(spec.labels))
    features = KINDS["classification"].encode(
        list(data_loading.load(spec, "en", "test", data_folder).examples), context
    )
    with pytest.raises(NonFiniteOutput):
        inference.forward(encoder, KINDS["classification"], features, context, 500)
