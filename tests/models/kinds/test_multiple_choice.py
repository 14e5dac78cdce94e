"""Multiple choice: prompts, and the choice that wins."""

from __future__ import annotations

import numpy as np
import torch

from helpers.outputs import logits, run
from xharness.data.examples import Choice
from xharness.models.inference import forward
from xharness.models.kinds import KINDS
from xharness.models.kinds.base import Context
from xharness.models.loading import load
from xharness.tasks.inputs import ChoiceInput


def choice(context: str, *choices: str, label: str = "0") -> Choice:
    return Choice("c", context, "effect", choices, label)


PROMPT = ChoiceInput(prompt="{context} What was the {question}?")


def test_every_choice_follows_the_official_prompt(tiny_tokenizer):
    context = Context(tiny_tokenizer, 64, PROMPT, ("0", "1"))
    features = KINDS["multiple_choice"].encode([choice("Es ist kalt.", "a", "b")], context)
    prompt = "Es ist kalt. What was the effect?"
    assert features.input_ids == tiny_tokenizer([prompt, prompt], ["a", "b"])["input_ids"]


def test_the_largest_score_wins_and_of_equal_ones_the_first(tiny_tokenizer):
    examples = [choice("x", "a b", "c d"), choice("y", "e f", "g h"), choice("z", "i j", "k l")]
    context = Context(tiny_tokenizer, 64, PROMPT, ("first", "second"))
    scores = [[-1.0], [2.0], [0.5], [0.5], [3.0], [-3.0]]
    made = run("multiple_choice", examples, context, lambda f: [torch.tensor(s) for s in scores], logits)
    assert made == ["second", "first", "first"]


def test_the_model_gets_an_axis_of_choices(tiny_checkpoint):
    chosen = KINDS["multiple_choice"]
    folder = tiny_checkpoint("multiple_choice")
    encoder = load(folder, chosen, name="org/tiny", device=torch.device("cpu"), dtype="float32")
    context = Context(encoder.tokenizer, 32, PROMPT, ("0", "1"))
    features = chosen.encode([choice("The river", "is wide", "is a bridge of stone")], context)
    arrays = forward(encoder, chosen, features, context, 100)
    with torch.inference_mode():
        expected = [encoder.model(torch.tensor([[ids]])).logits.item() for ids in features.input_ids]
    np.testing.assert_allclose([float(a) for a in arrays], expected, atol=1e-5)
    assert len(set(expected)) == 2


def test_choices_are_learned_together(tiny_tokenizer):
    examples = [choice("x", "a b", "c d", label="second"), choice("y", "e f", "g h", label="first")]
    context = Context(tiny_tokenizer, 64, PROMPT, ("first", "second"))
    chosen = KINDS["multiple_choice"]
    assert chosen.make_targets is not None
    learned = chosen.make_targets(examples, chosen.encode(examples, context), context)
    assert (learned.units, learned.targets) == ([(0, 1), (2, 3)], [1, 0])
