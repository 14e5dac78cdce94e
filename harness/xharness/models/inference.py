"""Batched forward passes with a token budget."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch

from xharness.models.kinds.base import Array, Context, Features, Kind
from xharness.models.loading import LoadedModel

# A batch ends at a change of length once it has used at least 1/FULL_ENOUGH of the budget: it keeps the processor busy,
# and rows of equal length need no padding and no mask.
FULL_ENOUGH = 8

# Budgets are halved after out-of-memory down to so many tokens.
SMALLEST_BUDGET = 64


def batches(lengths: Sequence[int], budget: int) -> list[list[int]]:
    """Return batches of row numbers, longest rows first; each holds at most ``budget`` tokens, padding included.

    A pure function of its arguments, so that a resumed run computes the very same batches: kernels round by shape.
    A row longer than the budget makes a batch of its own.

    >>> batches([2, 3, 2, 9], 6)
    [[3], [1, 0], [2]]
    """
    order = sorted(range(len(lengths)), key=lambda row: (-lengths[row], row))
    batched: list[list[int]] = []
    for row in order:
        if batched:
            longest, size = lengths[batched[-1][0]], len(batched[-1])
            new_length = lengths[row] != lengths[batched[-1][-1]]
            full = longest * size * FULL_ENOUGH >= budget
            if longest * (size + 1) <= budget and not (new_length and full):
                batched[-1].append(row)
                continue
        batched.append([row])
    return batched


def default_budget(encoder: LoadedModel) -> int:
    """Return the initial token budget: small on a CPU, whose cache is small; by free memory on a GPU."""
    if encoder.device.type != "cuda":
        return 4096
    free, _ = torch.cuda.mem_get_info(encoder.device)
    config = encoder.model.config
    width = getattr(config, "intermediate_size", None) or 4 * config.hidden_size
    # Activations of one layer (two copies of the widest), and the hidden states of all layers if they are returned.
    per_token = (4 * width + (encoder.layers + 8) * config.hidden_size) * (4 if encoder.dtype == "float32" else 2)
    return int(min(max(free // 3 // per_token, 2048), 131_072))


def forward(
    encoder: LoadedModel,
    kind: Kind,
    features: Features,
    context: Context,
    budget: int,
    tick: Callable[[int], None] = lambda tokens: None,
) -> list[Array]:
    """Run the model over all rows and return the postprocessed output of each row, in the order of the rows.

    Args:
        encoder: the loaded model.
        kind: its ``postprocess`` turns model output into one small array per row.
        features: the rows.
        context: passed to the kind.
        budget: tokens per batch, padding included.
        tick: called after each batch with the number of tokens done (padding not counted).

    Raises:
        NonFiniteOutput: the model output has NaN or infinity.
        torch.OutOfMemoryError: a batch did not fit.
    """
    results: list[Any] = [None] * len(features.input_ids)
    pad = encoder.tokenizer.pad_token_id or 0
    extra = {"output_hidden_states": True} if context.layers else {}
    with torch.inference_mode():
        for rows in batches(features.lengths, budget):
            inputs, mask = _tensors(features, rows, pad, encoder.device)
            if kind.has_choices:
                inputs = {name: values.unsqueeze(1) for name, values in inputs.items()}
            output = encoder.model(**inputs, **extra, return_dict=True)
            reduced = kind.postprocess(output, mask, [features.rows[r] for r in rows], context)
            for row, value in zip(rows, reduced, strict=True):
                results[row] = value
            tick(sum(features.lengths[row] for row in rows))
    return results


def _tensors(
    features: Features, rows: list[int], pad: int, device: torch.device
) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
    longest = features.lengths[rows[0]]
    even = features.lengths[rows[-1]] == longest
    ids = torch.full((len(rows), longest), pad, dtype=torch.long)
    mask = torch.zeros((len(rows), longest), dtype=torch.long)
    for index, row in enumerate(rows):
        length = features.lengths[row]
        ids[index, :length] = torch.tensor(features.input_ids[row])
        mask[index, :length] = 1
    inputs = {"input_ids": ids.to(device)}
    mask = mask.to(device)
    if not even:
        # Without padding no mask is given: attention then uses its fastest kernel.
        inputs["attention_mask"] = mask
    if features.token_type_ids is not None:
        types = torch.zeros((len(rows), longest), dtype=torch.long)
        for index, row in enumerate(rows):
            types[index, : features.lengths[row]] = torch.tensor(features.token_type_ids[row])
        inputs["token_type_ids"] = types.to(device)
    return inputs, mask
