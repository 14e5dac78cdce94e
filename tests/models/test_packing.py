from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from hypothesis import given, settings
from hypothesis import strategies as st

from xharness.models import packing

HEADS = ("SequenceClassification", "MultipleChoice", "TokenClassification", "QuestionAnswering", "MaskedLM")
LENGTHS = [7, 3, 12, 1, 7, 9]


def tiny(model_type: str = "xlm-roberta", head: str = "SequenceClassification", dropout: float = 0.0) -> Any:
    torch.manual_seed(0)
    config = transformers.AutoConfig.for_model(
        model_type,
        vocab_size=60,
        hidden_size=16,
        embedding_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=40,
        pad_token_id=1,
        initializer_range=0.3,
        hidden_dropout_prob=dropout,
        attention_probs_dropout_prob=dropout,
        summary_last_dropout=dropout,
    )
    name = "AutoModel" + (f"For{head}" if head else "")
    return getattr(transformers, name).from_config(config).train()


def batch(lengths: list[int], choices: int = 0, width: int | None = None) -> dict[str, torch.Tensor]:
    width = width or max(lengths)
    mask = (torch.arange(width) < torch.tensor(lengths)[:, None]).long()
    ids = torch.randint(4, 60, mask.shape, generator=torch.Generator().manual_seed(1))
    ids[mask == 0] = 1
    found = {"input_ids": ids, "attention_mask": mask}
    return {name: x.view(-1, choices, width) for name, x in found.items()} if choices else found


def values(output: Any, mask: torch.Tensor) -> torch.Tensor:
    """Return what the head puts out at real tokens, or for whole rows."""
    found = [output[name] for name in ("logits", "start_logits", "end_logits", "last_hidden_state") if name in output]
    return torch.cat([x[mask.bool()].flatten() if x.shape[:2] == mask.shape else x.flatten() for x in found])


def gradients(model: Any, inputs: dict[str, torch.Tensor]) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """Return logits, and the gradients of a loss in which all of them count."""
    model.zero_grad()
    logits = values(model(**inputs), inputs["attention_mask"])
    logits.sin().sum().backward()
    return logits.detach(), {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


def assert_equal(one: Any, other: Any) -> None:
    torch.testing.assert_close(one[0], other[0], atol=1e-5, rtol=1e-5)
    assert one[1].keys() == other[1].keys()
    for name, gradient in one[1].items():
        torch.testing.assert_close(
            gradient,
            other[1][name],
            atol=1e-5 * max(1.0, float(gradient.abs().max())),
            rtol=1e-5,
            msg=lambda m, n=name: f"{n}: {m}",
        )


def packed(model: Any) -> Any:
    model = copy.deepcopy(model)
    packing.install(model)
    return model


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("model_type", sorted(packing.MODEL_TYPES))
def test_a_packed_model_is_the_padded_one(model_type: str, head: str) -> None:
    model = tiny(model_type, head)
    inputs = batch(LENGTHS, choices=2 if head == "MultipleChoice" else 0)
    assert_equal(gradients(model, inputs), gradients(packed(model), inputs))


MODEL = tiny()
PACKED = packed(MODEL)


@settings(max_examples=20)
@given(st.lists(st.integers(1, 30), min_size=1, max_size=9), st.integers(0, 4))
def test_rows_of_any_length(lengths: list[int], more: int) -> None:
    inputs = batch(lengths, width=max(lengths) + more)
    assert_equal(gradients(MODEL, inputs), gradients(PACKED, inputs))


@given(st.lists(st.integers(1, 512), min_size=1, max_size=64), st.sampled_from([0.0, 0.5, 1.0]))
def test_groups_hold_rows_of_like_length(lengths: list[int], near: float) -> None:
    lengths.sort(reverse=True)
    sizes = packing.group_sizes(lengths, near)
    assert sum(sizes) == len(lengths)
    first = 0
    for size in sizes:
        assert lengths[first + size - 1] >= near * lengths[first]
        first += size


@pytest.mark.parametrize("near", [0.0, 1.0])
def test_groups_of_any_kind_give_the_same(near: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(packing.NEAR, "cpu", near)
    assert len(packing.pack(batch(LENGTHS)["attention_mask"], torch.device("cpu")).groups) == (
        1 if near == 0 else len(set(LENGTHS))
    )
    assert_equal(gradients(MODEL, batch(LENGTHS)), gradients(PACKED, batch(LENGTHS)))


@settings(max_examples=50)
@given(st.lists(st.lists(st.booleans(), min_size=6, max_size=6), min_size=1, max_size=6))
def test_every_real_sub_word_is_packed_once(rows: list[list[bool]]) -> None:
    mask = torch.tensor(rows)
    found = packing.pack(mask, mask.device)
    assert sorted(found.positions.tolist()) == mask.flatten().nonzero().flatten().tolist()
    assert [group.start for group in found.groups] + [len(found.positions)] == [0, *(g.stop for g in found.groups)]
    for group in found.groups:
        # The tokens of a row stay together and in order, at the beginning of its part of the group.
        own = found.positions[group.start : group.stop]
        places = torch.arange(group.rows * group.width) if group.positions is None else group.positions
        for row in range(group.rows):
            mine = own[places // group.width == row]
            assert len((mine // 6).unique()) == 1
            assert mine.tolist() == sorted(mine.tolist())


def test_padding_on_the_left_and_rows_without_sub_words() -> None:
    inputs = batch([5, 0, 3])
    inputs["attention_mask"] = inputs["attention_mask"].flip(1)
    model = tiny("bert", "TokenClassification").eval()  # counts positions from the left, padding included
    one, other = (values(m(**inputs), inputs["attention_mask"]) for m in (model, packed(model)))
    torch.testing.assert_close(one, other)
    assert packed(model)(**inputs).logits.isfinite().all()
    assert packed(model)(**{**inputs, "attention_mask": 0 * inputs["attention_mask"]}).logits.shape == (3, 5, 2)


def test_the_layers_see_no_padding_and_the_heads_see_zeros_there() -> None:
    model = packed(tiny(head="")).eval()
    seen = []
    model.encoder.layer[0].register_forward_hook(lambda module, args, output: seen.append(tuple(output.shape)))
    inputs = batch(LENGTHS)
    hidden = model(**inputs).last_hidden_state
    assert seen == [(1, sum(LENGTHS), 16)]
    assert hidden.shape == (6, 12, 16)
    assert not hidden[inputs["attention_mask"] == 0].any()
    assert hidden[inputs["attention_mask"] == 1].any(-1).all()
    model(**batch([4, 4]))
    model(input_ids=inputs["input_ids"])
    assert seen[1:] == [(2, 4, 16), (6, 12, 16)]  # nothing to take out, or nothing said of padding


@pytest.mark.filterwarnings("ignore:`gradient_checkpointing_enable` is deprecated:FutureWarning")
@pytest.mark.parametrize("reentrant", [False, True])
def test_gradient_checkpointing(reentrant: bool) -> None:
    inputs = batch(LENGTHS)
    model = packed(tiny())
    plain = gradients(model, inputs)
    model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": reentrant})
    assert_equal(plain, gradients(model, inputs))


@pytest.mark.filterwarnings("ignore:`gradient_checkpointing_enable` is deprecated:FutureWarning")
def test_a_layer_that_is_run_again_drops_the_same() -> None:
    inputs = batch(LENGTHS)
    model = packed(tiny(dropout=0.3))
    torch.manual_seed(5)
    plain = gradients(model, inputs)
    model.gradient_checkpointing_enable()
    torch.manual_seed(5)
    assert_equal(plain, gradients(model, inputs))


def test_dropout_draws_anew_for_each_call() -> None:
    model, inputs = packed(tiny(dropout=0.3)), batch(LENGTHS)
    one, other = gradients(model, inputs), gradients(model, inputs)
    assert one[0].isfinite().all()
    assert not torch.equal(one[0], other[0])
    model.eval()
    torch.testing.assert_close(model(**inputs).logits, model(**inputs).logits)


def test_attention_drops_at_the_rate_of_the_config() -> None:
    model = packed(tiny(head="", dropout=0.0))
    for layer in model.encoder.layer:
        layer.attention.self.dropout.p = 0.5
    inputs = batch([20, 20, 6])
    assert not torch.equal(model(**inputs).last_hidden_state, model(**inputs).last_hidden_state)


def test_bfloat16_autocast_is_finite_and_near() -> None:
    model, inputs = tiny(), batch(LENGTHS)
    exact = gradients(model, inputs)
    with torch.autocast("cpu", torch.bfloat16):
        found = gradients(packed(model), inputs)
    torch.testing.assert_close(found[0].float(), exact[0], atol=0.15, rtol=0.1)
    for name, gradient in found[1].items():
        assert gradient.dtype == torch.float32
        assert torch.nn.functional.cosine_similarity(gradient.flatten(), exact[1][name].flatten(), dim=0) > 0.98 or (
            exact[1][name].abs().max() < 1e-3
        ), name


def test_heads_that_share_an_encoder() -> None:
    one, other = tiny(), tiny(head="TokenClassification")
    other.roberta.load_state_dict(one.roberta.state_dict(), strict=False)
    expected = [gradients(model, batch(LENGTHS)) for model in (one, other)]
    other.roberta = one.roberta
    packing.install(one)
    packing.install(other)
    assert len(one.roberta.encoder._forward_pre_hooks) == 1
    for _ in range(2):
        for model, known in zip((one, other), expected, strict=True):
            assert_equal(known, gradients(model, batch(LENGTHS)))


def test_wrapped_for_several_processes() -> None:
    model, inputs = tiny(), batch(LENGTHS)
    torch.distributed.init_process_group("gloo", store=torch.distributed.HashStore(), rank=0, world_size=1)
    try:
        logits, found = gradients(torch.nn.parallel.DistributedDataParallel(packed(model)), inputs)
    finally:
        torch.distributed.destroy_process_group()
    assert_equal(gradients(model, inputs), (logits, {name.removeprefix("module."): x for name, x in found.items()}))


def test_what_the_layers_put_out_is_as_padded() -> None:
    model, inputs = tiny(head="").eval(), batch(LENGTHS)
    known, found = (m(**inputs, output_hidden_states=True).hidden_states for m in (model, packed(model)))
    for one, other in zip(known, found, strict=True):
        torch.testing.assert_close(one, other)


def test_the_config_of_a_saved_model_does_not_tell(tmp_path: Path) -> None:
    model = packed(tiny())
    model(**batch(LENGTHS))
    model.save_pretrained(tmp_path)
    assert packing.NAME not in (tmp_path / "config.json").read_text()
    assert not [key for key in json.loads((tmp_path / "config.json").read_text()) if "attn_implementation" in key]
    again = transformers.AutoModelForSequenceClassification.from_pretrained(tmp_path).train()
    assert again.config._attn_implementation == "sdpa"
    assert_equal(gradients(model, batch(LENGTHS)), gradients(again, batch(LENGTHS)))


@pytest.mark.parametrize("model_type", ["deberta-v2", "distilbert", "modernbert", "albert", "mpnet"])
def test_models_whose_layers_know_positions_themselves_stay_padded(model_type: str) -> None:
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    if model_type == "distilbert":
        sizes = {"dim": 16, "n_layers": 1, "n_heads": 2, "hidden_dim": 32}
    special = {f"{name}_token_id": number for number, name in enumerate(("pad", "bos", "eos", "cls", "sep"))}
    config = transformers.AutoConfig.for_model(model_type, vocab_size=60, **sizes, **special)
    model = transformers.AutoModel.from_config(config)
    assert not packing.supports(model)
    with pytest.raises(ValueError, match=r"packing\.supports"):
        packing.install(model)


def test_a_decoder_stays_padded() -> None:
    config = transformers.AutoConfig.for_model(
        "bert", vocab_size=9, hidden_size=4, num_attention_heads=1, is_decoder=True
    )
    assert not packing.supports(transformers.BertModel(config))
    assert packing.supports(tiny())
