"""Run BERT-like encoders without padding.

``install`` prepares a model once; from then on it is called as ever, with padded ``input_ids`` and ``attention_mask``.
Embeddings are computed padded, so positions are the stock ones. Before the first layer the padding is taken out and all
rows lie one after the other as ``[1, T, width]``; attention alone puts rows of like length side by side again; after
the last layer zeros take the padding's place, so heads and poolers are the stock ones too.

All that a layer needs travels in place of its attention mask: nothing is remembered between calls, so several heads may
share one encoder, and gradient checkpointing may run a layer a second time.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, cast

import torch
import transformers
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

NAME = "xharness_packed"

# Encoders whose layers know positions only through the embeddings. Where layers add them themselves (rotary and
# relative positions), a packed row would be given the wrong ones: such models stay padded.
MODEL_TYPES = frozenset(
    {"bert", "camembert", "electra", "roberta", "roberta-prelayernorm", "xlm-roberta", "xlm-roberta-xl"}
)

# Rows go into one group while they are at least this long, as a share of the group's longest row. Measured on a CPU
# with MNLI's lengths: 0.65 to 0.9 are alike, one group costs twice as much, a group per length a quarter more. A GPU is
# given one group: more would be more calls, which it waits for. That has not been measured yet.
NEAR = {"cpu": 0.7, "cuda": 0.0}


@dataclass(frozen=True)
class Group:
    """Rows of like length that attention works on side by side.

    Attributes:
        start: first of its tokens among the packed ones.
        stop: first token that is not its own.
        rows: how many rows.
        width: length of the longest.
        places: where each of its tokens lies in ``[rows * width]``; None where all rows are of one length.
        mask: ``[rows, 1, 1, width]``, true at real tokens; None where all rows are of one length.
    """

    start: int
    stop: int
    rows: int
    width: int
    places: torch.Tensor | None
    mask: torch.Tensor | None


@dataclass(frozen=True)
class Packing:
    """How the rows of a batch are packed; it goes where the attention mask goes.

    Attributes:
        mask: ``[B, L]``, true at real tokens.
        places: ``[T]``, where each packed token lies in ``[B * L]``.
        groups: the packed tokens in order.
    """

    mask: torch.Tensor
    places: torch.Tensor
    groups: tuple[Group, ...]


def supports(model: torch.nn.Module) -> bool:
    """Return whether ``install`` can prepare the model; others run padded, with the same result."""
    return bool(_encoders(model))


def install(model: torch.nn.Module) -> None:
    """Prepare all encoders in a model to run without padding; a second time changes nothing.

    ``config.json`` of a saved model does not tell of it. Calls that ask for hidden states or attentions of the layers,
    or that give a mask of other than two dimensions, run padded.

    Raises:
        ValueError: ``supports`` says no.
    """
    encoders = _encoders(model)
    if not encoders:
        raise ValueError(f"{type(model).__name__} cannot run without padding; ask packing.supports first.")
    AttentionInterface.register(NAME, _attend)
    AttentionMaskInterface.register(NAME, _mask)
    for encoder in encoders:
        encoder.set_attn_implementation(NAME)
        layers = encoder.encoder
        if _take_out not in layers._forward_pre_hooks.values():
            layers.register_forward_pre_hook(_take_out, with_kwargs=True)
            layers.register_forward_hook(_put_back, with_kwargs=True)


def _encoders(model: torch.nn.Module) -> list[Any]:
    return [
        module
        for module in model.modules()
        if isinstance(module, transformers.PreTrainedModel)
        and module.config.model_type in MODEL_TYPES
        and not module.config.is_decoder
        and isinstance(getattr(module, "encoder", None), torch.nn.Module)
    ]


def group_sizes(lengths: Sequence[int], near: float) -> list[int]:
    """Return how many rows go into each group; lengths fall, and in a group none is below ``near`` times the longest.

    Each group costs a dozen calls, and padding within it costs memory traffic and, at its square, arithmetic.

    >>> group_sizes([128, 90, 60, 45, 33, 12], 0.7)
    [2, 2, 1, 1]
    """
    sizes: list[int] = []
    longest = 0
    for length in lengths:
        if sizes and length >= near * longest:
            sizes[-1] += 1
        else:
            sizes.append(1)
            longest = length
    return sizes


_ON_CPU: ContextVar[torch.Tensor | None] = ContextVar("mask on the CPU", default=None)


@contextmanager
def known_mask(mask: torch.Tensor) -> Iterator[None]:
    """Tell the calls inside what their attention mask ``[..., L]`` holds, so that none has to ask a GPU and wait."""
    token = _ON_CPU.set(mask.flatten(0, -2).bool())
    try:
        yield
    finally:
        _ON_CPU.reset(token)


def pack(mask: torch.Tensor, device: torch.device) -> Packing:
    """Return how the rows of a batch are packed.

    Args:
        mask: ``[B, L]`` in the processor's memory, true (or 1) at real tokens, wherever they stand in their row.
            Rows may be empty.
        device: where the model is.
    """
    real = mask.bool()
    width = real.shape[1]
    lengths = real.sum(1)
    order = torch.argsort(lengths, descending=True, stable=True)
    order = order[: int((lengths > 0).sum())]
    rows, columns = real[order].nonzero(as_tuple=True)
    places = order[rows] * width + columns
    groups = []
    lengths = lengths[order]
    first = start = 0
    for size in group_sizes(lengths.tolist(), NEAR.get(device.type, 0.0)):
        group_lengths = lengths[first : first + size]
        longest, stop = int(group_lengths[0]), start + int(group_lengths.sum())
        inside = keys = None
        if stop - start < size * longest:
            filled = torch.arange(longest) < group_lengths[:, None]
            inside = filled.view(-1).nonzero().view(-1).to(device, non_blocking=True)
            keys = filled[:, None, None].to(device, non_blocking=True)
        groups.append(Group(start, stop, size, longest, inside, keys))
        first, start = first + size, stop
    return Packing(real.to(device, non_blocking=True), places.to(device, non_blocking=True), tuple(groups))


def _real(mask: torch.Tensor) -> torch.Tensor:
    """Return a mask on the CPU; a GPU is waited for unless the caller has said what the mask holds."""
    on_cpu = _ON_CPU.get()
    return on_cpu if on_cpu is not None and on_cpu.shape == mask.shape else mask.cpu()


def _mask(*args: Any, **kwargs: Any) -> Any:
    """Make what stands in place of the attention mask (transformers' AttentionMaskInterface)."""
    mask = kwargs.get("attention_mask")
    if mask is None or mask.ndim != 2:
        return sdpa_mask(*args, **kwargs)
    real = _real(mask)
    if real.all() or not real.any():
        return sdpa_mask(*args, **kwargs)
    return pack(real, mask.device)


def _take_out(module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Take the padding out before the first layer."""
    packing = kwargs.get("attention_mask")
    if not isinstance(packing, Packing):
        return args, kwargs
    if any(kwargs.get(name) or getattr(module.config, name) for name in ("output_hidden_states", "output_attentions")):
        # What the layers put out is wanted as it is: [B, L, width].
        return args, {**kwargs, "attention_mask": packing.mask[:, None, None]}
    hidden, *rest = args
    packed = hidden.flatten(0, 1).index_select(0, packing.places)[None]
    return (packed, *rest), kwargs


def _put_back(module: Any, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> Any:
    """Put zeros where the padding was, after the last layer."""
    packing = kwargs.get("attention_mask")
    if isinstance(packing, Packing):
        hidden = output.last_hidden_state[0]
        rows, width = packing.mask.shape
        padded = hidden.new_zeros(rows * width, hidden.shape[-1]).index_copy(0, packing.places, hidden)
        output.last_hidden_state = padded.view(rows, width, -1)
    return output


def _attend(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: Any,
    dropout: float = 0.0,
    scaling: float | None = None,
    **kwargs: Any,
) -> tuple[torch.Tensor, None]:
    """Attend within each row (transformers' AttentionInterface); query, key and value are ``[1, heads, T, size]``."""
    if not isinstance(attention_mask, Packing):
        return cast(
            tuple[torch.Tensor, None],
            sdpa_attention_forward(
                module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, **kwargs
            ),
        )
    parts = [x.transpose(1, 2)[0] for x in (query, key, value)]
    outputs = [_attend_group(group, parts, dropout, scaling) for group in attention_mask.groups]
    return (outputs[0] if len(outputs) == 1 else torch.cat(outputs))[None], None


def _attend_group(group: Group, parts: list[torch.Tensor], dropout: float, scaling: float | None) -> torch.Tensor:
    """Return the group's ``[tokens, heads, size]`` of query, key and value ``[T, heads, size]``."""
    own = [part[group.start : group.stop] for part in parts]
    heads, size = own[0].shape[1:]
    if group.places is not None:
        places = group.places
        own = [x.new_zeros(group.rows * group.width, heads, size).index_copy(0, places, x) for x in own]
    query, key, value = (x.view(group.rows, group.width, heads, size).transpose(1, 2) for x in own)
    result = torch.nn.functional.scaled_dot_product_attention(
        query, key, value, attn_mask=group.mask, dropout_p=dropout, scale=scaling
    )
    flat = result.transpose(1, 2).reshape(-1, heads, size)
    return flat if group.places is None else flat.index_select(0, group.places)
