"""Bitext retrieval (Tatoeba): for each English sentence, the nearest sentence of the other language by cosine."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from xharness.examples import Bitext
from xharness.kinds.base import Array, Context, Features, Kind, finite

# Rows of the similarity matrix that are held at once.
QUERY_BLOCK = 1024


def encode(examples: Sequence[Bitext], context: Context) -> Features:
    """Return two rows per pair: the sentence, then its English translation, each stripped and cut at the end."""
    prefix = context.input.prefix
    texts = [prefix + text.strip() for e in examples for text in (e.text, e.english)]
    encoded = context.tokenizer(texts, truncation=True, max_length=context.max_length)
    types = encoded.get("token_type_ids") if "token_type_ids" in context.tokenizer.model_input_names else None
    return Features(list(encoded["input_ids"]), types, [None] * len(texts))


def reduce(output: Any, mask: torch.Tensor, rows: list[Any], context: Context) -> list[Array]:
    """Return one float32 vector per row, of length 1, from the chosen layer [batch, length, width].

    ``mean`` averages over all positions that are not padding, special tokens included, as the official script does.
    """
    if context.input.pooling == "pooler":
        pooled = output.pooler_output.float()
    else:
        hidden = output.hidden_states[context.layer].float()
        if context.input.pooling == "cls":
            pooled = hidden[:, 0]
        else:
            weights = mask.unsqueeze(-1).float()
            # Not a plain product: infinity times 0 in a padded place would be NaN.
            pooled = hidden.masked_fill(weights == 0, 0.0).sum(1) / weights.sum(1)
    normed = torch.nn.functional.normalize(finite(pooled), dim=-1)
    return list(normed.cpu().numpy())


def decode(examples: Sequence[Bitext], features: Features, outputs: list[Array], context: Context) -> list[Array]:
    """Return, per pair, its two vectors [2, width]."""
    return [np.stack(outputs[2 * i : 2 * i + 2]) for i in range(len(examples))]


def finish(examples: Sequence[Bitext], decoded: list[Array], context: Context) -> tuple[list[int], dict[str, int]]:
    """Return the index of the nearest sentence for each English sentence, in the data's order.

    English is the query side (XTREME's evaluate script searches English among the other language). Of equally near
    sentences the one with the lowest index is taken; how often that happened is counted as ``ties``.
    """
    vectors = np.stack(decoded) if decoded else np.zeros((0, 2, 1), np.float32)
    candidates = np.ascontiguousarray(vectors[:, 0].T)
    nearest: list[int] = []
    ties = 0
    for start in range(0, len(vectors), QUERY_BLOCK):
        similarity = vectors[start : start + QUERY_BLOCK, 1] @ candidates
        best = similarity.argmax(axis=1)
        ties += int(((similarity == similarity.max(axis=1, keepdims=True)).sum(axis=1) > 1).sum())
        nearest += [int(i) for i in best]
    return nearest, {"ties": ties}


KIND = Kind("AutoModel", encode, reduce, decode, finish)
