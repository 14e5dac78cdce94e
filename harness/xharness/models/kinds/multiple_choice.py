"""Multiple choice (XCOPA, COPA, Social IQa)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from xharness.data.examples import Choice
from xharness.errors import DataError
from xharness.models.kinds.base import Array, Context, Features, Kind, Targets, finite


def encode(examples: Sequence[Choice], context: Context) -> Features:
    """Return one row per choice: the prompt, then the choice, truncated longest-first to the maximum length.

    The prompt is the official one of XTREME-R's run_xcopa.py, as given in the spec.
    """
    prompts = [context.input.prompt.format(context=e.context, question=e.question) for e in examples]
    first = [prompt for prompt, e in zip(prompts, examples, strict=True) for _ in e.choices]
    second = [choice for e in examples for choice in e.choices]
    encoded = context.tokenizer(first, second, truncation="longest_first", max_length=context.max_length)
    types = encoded.get("token_type_ids") if "token_type_ids" in context.tokenizer.model_input_names else None
    return Features(list(encoded["input_ids"]), types, [None] * len(first))


def postprocess(output: Any, mask: torch.Tensor, rows: list[Any], context: Context) -> list[Array]:
    """Return the score of each choice, from logits [batch, 1]: every row is passed to the model as a single choice."""
    return list(finite(output.logits)[:, 0].float().cpu().numpy())


def decode(examples: Sequence[Choice], features: Features, outputs: list[Array], context: Context) -> list[str]:
    """Return the label of the choice with the largest score; the first if scores are equal."""
    labels, row = [], 0
    for example in examples:
        scores = [float(score) for score in outputs[row : row + len(example.choices)]]
        labels.append(context.labels[scores.index(max(scores))])
        row += len(example.choices)
    return labels


def make_targets(examples: Sequence[Choice], features: Features, context: Context) -> Targets:
    """Return one unit per example, with the rows of its choices and the index of the correct one.

    Raises:
        DataError: an example has more or fewer choices than there are labels: the choices of a batch form one tensor.
    """
    units: list[tuple[int, ...]] = []
    row, expected = 0, len(context.labels)
    for example in examples:
        if len(example.choices) != expected:
            raise DataError(
                f"The example '{example.id}' has {len(example.choices)} choices, and the task has {expected} labels "
                f"({', '.join(context.labels)}): each label stands for one choice. Correct the data, or the spec."
            )
        units.append(tuple(range(row, row + expected)))
        row += expected
    return Targets(units, [context.numbers[e.label] for e in examples])


KIND = Kind("AutoModelForMultipleChoice", encode, postprocess, decode, has_choices=True, make_targets=make_targets)
