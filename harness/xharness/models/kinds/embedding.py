"""Sentence embeddings (Tatoeba, BUCC, Mewsli-X, LAReQA): layers and pooling."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from xharness.models.kinds.base import Array, Context, Features, Kind, finite


def encode(texts: Sequence[str], context: Context) -> Features:
    """Return one row per text, stripped and truncated at the end."""
    prepared = [context.input.prefix + text.strip() for text in texts]
    encoded = context.tokenizer(prepared, truncation=True, max_length=context.max_length)
    types = encoded.get("token_type_ids") if "token_type_ids" in context.tokenizer.model_input_names else None
    return Features(list(encoded["input_ids"]), types, [None] * len(prepared))


def postprocess(output: Any, mask: torch.Tensor, rows: list[Any], context: Context) -> list[Array]:
    """Return one float32 array [layers, width] per row: the pooled hidden states of the chosen layers.

    ``mean`` averages over all positions that are not padding, with special tokens as in the official scripts, or
    without them (``special_tokens: false``). ``pooler`` is the model's pooler output and has one layer.
    """
    settings = context.input
    if settings.pooling == "pooler":
        pooled = output.pooler_output.float().unsqueeze(1)
    elif settings.pooling == "cls":
        pooled = torch.stack([output.hidden_states[layer][:, 0].float() for layer in context.layers], dim=1)
    else:
        weights = (mask if settings.special_tokens else _inner(mask, context)).unsqueeze(-1).float()
        pooled = torch.stack([_mean(output.hidden_states[layer], weights) for layer in context.layers], dim=1)
    return list(finite(pooled).cpu().numpy().astype(np.float32, copy=False))


def _mean(hidden: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    # Not a plain product: infinity times 0 at a padded position would be NaN.
    return hidden.float().masked_fill(weights == 0, 0.0).sum(1) / weights.sum(1)


def _inner(mask: torch.Tensor, context: Context) -> torch.Tensor:
    """Return the mask without special tokens; a text without other tokens keeps them."""
    position = torch.arange(mask.shape[1], device=mask.device)
    lengths = mask.sum(1, keepdim=True)
    before, after = len(context.template.before), len(context.template.after)
    inner = ((position >= before) & (position < lengths - after)).to(mask.dtype)
    return torch.where(inner.sum(1, keepdim=True) > 0, inner, mask)


KIND = Kind("AutoModel", encode, postprocess, None)
