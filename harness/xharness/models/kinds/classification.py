"""Sentence-pair classification (XNLI, PAWS-X)."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from typing import Any

import torch

from xharness.data.examples import Pair
from xharness.models.kinds.base import Array, Context, Features, Kind, Targets, finite


def encode(examples: Sequence[Pair], context: Context) -> Features:
    """Return one row per pair: text_a first, truncated longest-first to the maximum length."""
    first = [e.text_a for e in examples]
    second = [e.text_b for e in examples]
    if context.input.csv_quoting:
        first, second = [quoted(t) for t in first], [quoted(t) for t in second]
    encoded = context.tokenizer(first, second, truncation="longest_first", max_length=context.max_length)
    types = encoded.get("token_type_ids") if "token_type_ids" in context.tokenizer.model_input_names else None
    return Features(list(encoded["input_ids"]), types, [None] * len(first))


def quoted(text: str) -> str:
    """Return a text as the 2020 scripts saw it: written by csv with quoting, read without.

    >>> print(quoted('a "yes"!'))
    "a ""yes""!"
    """
    out = io.StringIO()
    # With a second field, because csv quotes an empty line of a single field; tab-separated as in the original.
    csv.writer(out, delimiter="\t", lineterminator="").writerow([text, ""])
    return out.getvalue().removesuffix("\t")


def postprocess(output: Any, mask: torch.Tensor, rows: list[Any], context: Context) -> list[Array]:
    """Return the index of the largest of the logits [batch, labels], one number per row."""
    # In bfloat16 two logits are often equal; argmax then takes the first, the same on every device.
    best = finite(output.logits).float().cpu().numpy().argmax(axis=-1)
    return list(best)


def decode(examples: Sequence[Pair], features: Features, outputs: list[Array], context: Context) -> list[str]:
    """Return the label of each pair."""
    return [context.labels[int(index)] for index in outputs]


def make_targets(examples: Sequence[Pair], features: Features, context: Context) -> Targets:
    """Return one unit per pair, with the index of its label."""
    return Targets([(row,) for row in range(len(examples))], [context.numbers[e.label] for e in examples])


KIND = Kind("AutoModelForSequenceClassification", encode, postprocess, decode, make_targets=make_targets)
