"""An encoder whose vectors are known, in the place of every forward pass."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np


@dataclass
class Oracle:
    """What was asked of it: texts in order, and per pass the number of texts, the layers, type and longest row."""

    texts: list[str] = field(default_factory=list)
    passes: list[tuple[int, tuple[int, ...], str, int]] = field(default_factory=list)


def use_oracle(patch: Any, vector: Callable[[str, int], Sequence[float]]) -> Oracle:
    """Put ``vector(text, layer)`` (up to 16 numbers; layer -1 is the pooler) in the place of every forward pass."""
    from xharness.models import inference
    from xharness.models.kinds import embedding
    from xharness.models.kinds.base import Features

    asked = Oracle()

    def encode(texts: Sequence[str], context: Any) -> Features:
        return Features([[0, 0]] * len(texts), None, [context.input.prefix + text for text in texts])

    def forward(encoder: Any, kind: Any, features: Any, context: Any, budget: int, tick: Any = None) -> list[Any]:
        layers = context.layers or (-1,)
        asked.texts += features.rows
        asked.passes.append((len(features.rows), layers, encoder.dtype, context.max_length))
        found = np.zeros((len(features.rows), len(layers), 16), np.float32)
        for row, text in enumerate(features.rows):
            for place, layer in enumerate(layers):
                numbers = vector(text, layer)
                found[row, place, : len(numbers)] = numbers
        return list(found)

    patch.setattr(embedding, "KIND", replace(embedding.KIND, encode=encode))
    patch.setattr(inference, "forward", forward)
    return asked
