"""Outputs of made-up models, for every kind of task, that say what a test wants them to say."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import torch

from helpers import tiny_models
from xharness.data.examples import Pair, Question, Tagged
from xharness.models.inference import forward
from xharness.models.kinds import KINDS
from xharness.models.kinds.base import Context
from xharness.models.loading import LoadedModel

NAN = float("nan")
FAMILIES = list(tiny_models.FAMILIES)


class KnownOutputs:
    """A model that knows what to put out for each row; in padded places it puts out NaN."""

    def __init__(self, input_ids: list[list[int]], rows: list[torch.Tensor], wrap: Any) -> None:
        self.known = dict(zip(map(tuple, input_ids), rows, strict=True))
        # Equal rows of tokens cannot be told apart, so they must not be asked for different outputs.
        assert all(
            row is known or torch.equal(row, known)
            for row, known in zip(rows, (self.known[tuple(ids)] for ids in input_ids), strict=True)
        )
        self.wrap = wrap

    def __call__(self, input_ids: torch.Tensor, attention_mask: Any = None, **_: Any) -> Any:
        mask = torch.ones_like(input_ids) if attention_mask is None else attention_mask
        if input_ids.dim() == 3:  # one choice a row
            input_ids, mask = input_ids[:, 0], mask[:, 0]
        rows = [self.known[tuple(ids[: int(m.sum())].tolist())] for ids, m in zip(input_ids, mask, strict=True)]
        if rows[0].dim() == 1:
            return self.wrap(torch.stack(rows))
        return self.wrap(torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=NAN))


def run(kind: str, examples: list[Any], context: Context, rows: Any, wrap: Any, budget: int = 200) -> Any:
    """Take examples through encode, forward and decode; ``rows(features)`` says what the model puts out."""
    chosen = KINDS[kind]
    features = chosen.encode(examples, context)
    model = KnownOutputs(features.input_ids, rows(features), wrap)
    encoder = LoadedModel(model, context.tokenizer, torch.device("cpu"), "float32", None, 2)
    arrays = forward(encoder, chosen, features, context, budget)
    return chosen.decode(examples, features, arrays, context) if chosen.decode else arrays


def logits(values: torch.Tensor) -> SimpleNamespace:
    return SimpleNamespace(logits=values)


def start_end(values: torch.Tensor) -> SimpleNamespace:
    return SimpleNamespace(start_logits=values[..., 0], end_logits=values[..., 1])


def pieces(tokenizer: Any, word: str) -> list[int]:
    return list(tokenizer([word], is_split_into_words=True, add_special_tokens=False)["input_ids"])


def gold_tags(examples: list[Tagged], context: Context) -> Any:
    """Return what makes logits that say the gold at first tokens, and something else at all others.

    It walks along the rows word by word, so it fails where a row is cut inside a word.
    """

    def rows(features: Any) -> list[torch.Tensor]:
        words = [(w, t) for e in examples for w, t in zip(e.tokens, e.tags, strict=True)]
        made = []
        for ids in features.input_ids:
            values = torch.nn.functional.one_hot(
                torch.full((len(ids),), len(context.labels) - 1), len(context.labels)
            ).float()
            place, end = len(context.template.before), len(ids) - len(context.template.after)
            end -= bool(context.input.double_separator)
            while place < end:
                word, tag = words.pop(0)
                sub_words = pieces(context.tokenizer, word)
                if ids[place : place + len(sub_words)] != sub_words or not sub_words:
                    sub_words = [context.tokenizer.unk_token_id]
                    assert ids[place] == sub_words[0]
                values[place] = torch.eye(len(context.labels))[context.labels.index(tag)]
                place += len(sub_words)
            assert place == end
            made.append(values)
        assert not words
        return made

    return rows


def gold_spans(examples: list[Question], context: Context) -> Any:
    """Return what makes logits that point at the first gold answer, in every row that holds its place."""

    def rows(features: Any) -> list[torch.Tensor]:
        made = []
        for ids, window in zip(features.input_ids, features.rows, strict=True):
            example = examples[window.example]
            first, last = example.starts[0], example.starts[0] + len(example.answers[0])
            values = torch.zeros(len(ids), 2)
            for place, (start, stop) in enumerate(window.spans, start=window.offset):
                values[place, 0] = 9.0 * bool(start <= first < stop)
                values[place, 1] = 9.0 * bool(start < last <= stop)
            made.append(values)
        return made

    return rows


def pair(first: str, second: str, label: str = "x") -> Pair:
    return Pair("0", first, second, label)


TEXT = "Helena Brandt designed the harbour of the small town near the northern lighthouse in 1862 ."
