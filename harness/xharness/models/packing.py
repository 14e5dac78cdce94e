"""Run BERT-like encoders without padding.

``install`` prepares a model once; after that it is called as usual, with padded ``input_ids`` and ``attention_mask``.
Embeddings are computed padded, so positions are unchanged. Before the first layer the padding is removed and all rows
are concatenated as ``[1, T, width]``; only attention arranges rows of similar length in batches again; after the last
layer the padding is restored with zeros, so heads and poolers are unchanged, too.

Everything that a layer needs is passed in place of its attention mask. No state is kept between calls, so several heads
can share one encoder, and gradient checkpointing can run a layer a second time.
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

# Encoders that use positions only in the embeddings. Where layers use them (rotary and relative positions), a packed
# row would get wrong positions: such models stay padded.
MODEL_TYPES = frozenset(
    {"bert", "camembert", "electra", "roberta", "roberta-prelayernorm", "xlm-roberta", "xlm-roberta-xl"}
)

# Rows join a group while they have at least this share of the length of its longest row. Measured on a CPU with MNLI's
# lengths: 0.65 to 0.9 are equally fast, a single group takes twice as long, a group per length a quarter longer. On a
# GPU there is one group, because more groups mean more kernel launches; this has not been measured yet.
NEAR = {"cpu": 0.7, "cuda": 0.0}


@dataclass(frozen=True)
class Group:
    """Rows of similar length that attention processes together.

    Attributes:
        start: index of its first token among the packed tokens.
        stop: index after its last token.
        rows: number of rows.
        width: length of the longest row.
        positions: index of each of its tokens in ``[rows * width]``; None if all rows have the same length.
        mask: ``[rows, 1, 1, width]``, true at real tokens; None if all rows have the same length.
    """

    start: int
    stop: int
    rows: int
    width: int
    positions: torch.Tensor | None
    mask: torch.Tensor | None


@dataclass(frozen=True)
class Packing:
    """How the rows of a batch are packed; passed in place of the attention mask.

    Attributes:
        mask: ``[B, L]``, true at real tokens.
        positions: ``[T]``, index of each packed token in ``[B * L]``.
        groups: the packed tokens in order.
    """

    mask: torch.Tensor
    positions: torch.Tensor
    groups: tuple[Group, ...]


def supports(model: torch.nn.Module) -> bool:
    """Return whether ``install`` supports the model; other models run padded, with the same result."""
    return bool(_encoders(model))


def install(model: torch.nn.Module) -> None:
    """Make all encoders in a model run without padding; calling it again changes nothing.

    It does not affect the ``config.json`` of a saved model. Calls that request hidden states or attentions of the
    layers, or that pass a mask without two dimensions, run padded.

    Raises:
        ValueError: ``supports`` returns False.
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
    """Return the number of rows in each group: in a group no length is below ``near`` times the longest.

    ``lengths`` must be in descending order. Each group costs a dozen calls; padding within it costs memory traffic and,
    quadratically, arithmetic.

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
    """Provide the attention mask ``[..., L]`` of calls inside on the CPU, so that none has to wait for a GPU."""
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
    positions = order[rows] * width + columns
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
    return Packing(real.to(device, non_blocking=True), positions.to(device, non_blocking=True), tuple(groups))


def _real(mask: torch.Tensor) -> torch.Tensor:
    """Return a mask on the CPU; waits for a GPU unless the caller provided it with ``known_mask``."""
    on_cpu = _ON_CPU.get()
    return on_cpu if on_cpu is not None and on_cpu.shape == mask.shape else mask.cpu()


def _mask(*args: Any, **kwargs: Any) -> Any:
    """Return the packing in place of the attention mask (transformers' AttentionMaskInterface)."""
    mask = kwargs.get("attention_mask")
    if mask is None or mask.ndim != 2:
        return sdpa_mask(*args, **kwargs)
    real = _real(mask)
    if real.all() or not real.any():
        return sdpa_mask(*args, **kwargs)
    return pack(real, mask.device)


def _take_out(module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Remove the padding before the first layer."""
    packing = kwargs.get("attention_mask")
    if not isinstance(packing, Packing):
        return args, kwargs
    if any(kwargs.get(name) or getattr(module.config, name) for name in ("output_hidden_states", "output_attentions")):
        # The layers' outputs are returned to the caller, so they stay padded: [B, L, width].
        return args, {**kwargs, "attention_mask": packing.mask[:, None, None]}
    hidden, *rest = args
    packed = hidden.flatten(0, 1).index_select(0, packing.positions)[None]
    return (packed, *rest), kwargs


def _put_back(module: Any, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> Any:
    """Restore the padding with zeros, after the last layer."""
    packing = kwargs.get("attention_mask")
    if isinstance(packing, Packing):
        hidden = output.last_hidden_state[0]
        rows, width = packing.mask.shape
        padded = hidden.new_zeros(rows * width, hidden.shape[-1]).index_copy(0, packing.positions, hidden)
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
    if group.positions is not None:
        positions = group.positions
        own = [x.new_zeros(group.rows * group.width, heads, size).index_copy(0, positions, x) for x in own]
    query, key, value = (x.view(group.rows, group.width, heads, size).transpose(1, 2) for x in own)
    result = torch.nn.functional.scaled_dot_product_attention(
        query, key, value, attn_mask=group.mask, dropout_p=dropout, scale=scaling
    )
    flat = result.transpose(1, 2).reshape(-1, heads, size)
    return flat if group.positions is None else flat.index_select(0, group.positions)
