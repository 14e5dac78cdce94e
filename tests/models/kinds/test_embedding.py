"""Sentence embeddings: pooling, prefixes, and the order of files."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import torch

from helpers import tiny_models
from helpers.outputs import NAN
from xharness.data.examples import Bitext
from xharness.models.kinds import embedding
from xharness.models.kinds.base import Context
from xharness.results import scoring
from xharness.tasks.inputs import RetrievalInput
from xharness.tasks.registry import load_task


def pooled(pooling: str, layers: tuple[int, ...], output: Any, mask: torch.Tensor, **more: Any) -> Any:
    settings = RetrievalInput(layer={"default": "last"}, pooling=pooling, **more)
    context = Context(tiny_models.tokenizer(), 64, settings, layers=layers)
    return np.stack(embedding.postprocess(output, mask, [None] * len(mask), context))


def test_pooling():
    states = torch.arange(1.0, 73.0).reshape(3, 2, 4, 3).sin()
    mask = torch.tensor([[1, 1, 1, 1], [1, 1, 0, 0]])
    states[:, 1, 2:] = NAN  # nothing of a padded place may be seen
    output = SimpleNamespace(hidden_states=tuple(states), pooler_output=torch.tensor([[3.0, 4, 0], [0, 0, 2]]))
    for layer in range(3):
        hidden = states[layer]
        # The first and last positions, which are special tokens, belong to the mean.
        means = torch.stack([hidden[0].mean(0), hidden[1, :2].mean(0)])
        np.testing.assert_allclose(pooled("mean", (layer,), output, mask)[:, 0], means, atol=1e-6)
        np.testing.assert_allclose(pooled("cls", (layer,), output, mask)[:, 0], hidden[:, 0], atol=1e-6)
        # Without them: the two in the middle; a text that has none keeps what it has.
        inner = torch.stack([hidden[0, 1:3].mean(0), hidden[1, :2].mean(0)])
        found = pooled("mean", (layer,), output, mask, special_tokens=False)
        np.testing.assert_allclose(found[:, 0], inner, atol=1e-6)
    np.testing.assert_allclose(pooled("pooler", (), output, mask)[:, 0], [[3.0, 4, 0], [0, 0, 2]], atol=1e-6)
    every = pooled("mean", (0, 1, 2), output, mask)
    assert every.shape == (2, 3, 3)
    np.testing.assert_array_equal(every[:, 2], pooled("mean", (2,), output, mask)[:, 0])


def test_file_order_is_that_of_the_stripped_english_sentences():
    english = [" b", "Z", "a\n", "b", "é"]
    examples = [Bitext(str(i), str(i), sentence) for i, sentence in enumerate(english)]
    # By code point: Z < a < b < é; the two b keep their order.
    assert scoring.in_file_order(examples, [0, 1, 2, 3, 4]) == [1, 2, 0, 3, 4]
    assert scoring.gold(load_task("tatoeba"), examples) == [1, 2, 0, 3, 4]


def test_prefix_and_stripping(tiny_tokenizer):
    context = Context(tiny_tokenizer, 64, RetrievalInput(layer={"default": "last"}, prefix="query: "), layers=(1,))
    features = embedding.encode([" Es ist kalt.\n", "It is cold today. "], context)
    expected = ["query: Es ist kalt.", "query: It is cold today."]
    assert features.input_ids == tiny_tokenizer(expected)["input_ids"]
