"""Classification: how pairs are read and cut, and which label wins."""

from __future__ import annotations

import pytest
import torch

from helpers import tiny_models
from helpers.outputs import logits, pair, run
from xharness.models.kinds import classification
from xharness.models.kinds.base import Context
from xharness.tasks.inputs import ClassificationInput


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("nothing to quote", "nothing to quote"),
        ('he said "yes"', '"he said ""yes"""'),
        ("one\ttab", '"one\ttab"'),
        ("", ""),
    ],
)
def test_csv_quoting(text, expected, tiny_tokenizer):
    assert classification.quoted(text) == expected
    for quoting, seen in ((True, expected), (False, text)):
        context = Context(tiny_tokenizer, 64, ClassificationInput(csv_quoting=quoting))
        features = classification.encode([pair(text, "b"), pair("a", text)], context)
        assert features.input_ids == tiny_tokenizer([seen, "a"], ["b", seen])["input_ids"]


def test_a_long_pair_is_cut_at_the_longer_text_first():
    tokenizer = tiny_models.tokenizer("bert")
    context = Context(tokenizer, 16, ClassificationInput())
    long, short = "the old bridge was closed " * 9, "he sings"
    features = classification.encode([pair(long, short), pair(short, long)], context)
    kept = tokenizer(short, add_special_tokens=False)["input_ids"]
    assert features.lengths == [16, 16]
    assert features.input_ids[0][-len(kept) - 1 : -1] == kept
    assert features.input_ids[1][1 : len(kept) + 1] == kept
    assert features.token_type_ids is not None
    assert features.token_type_ids[1] == [0] * (len(kept) + 2) + [1] * (14 - len(kept))


def test_of_equal_logits_the_first_label_is_taken(tiny_tokenizer):
    context = Context(tiny_tokenizer, 64, ClassificationInput(), ("b", "a", "c"))
    made = run("classification", [pair("x", "y")], context, lambda _: [torch.tensor([0.0, 2, 2])], logits)
    assert made == ["a"]
