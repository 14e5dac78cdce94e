"""Masked language modeling on the user's text; the masked tokens are drawn at every step from a seed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from xharness.data.formats import text as formats_text
from xharness.errors import DataError, ModelError

SHARE = 0.15
"""Of the tokens; 80 % of them become the mask, 10 % another token, 10 % stay (https://arxiv.org/abs/1810.04805)."""
IGNORED = -100


@dataclass(frozen=True)
class MaskedTexts:
    """Texts for masked language modeling; one line of a file is one unit, truncated to the maximal length.

    Attributes:
        ids: token ids of each text, with special tokens.
        special: [vocabulary] whether an id is a special token, which is never masked.
        mask: id of the mask token.
        vocabulary: number of ids.
        seed: of the draws.
        lengths: tokens of each text.
        step: the step that the draws are for; see ``at``.
    """

    ids: Sequence[npt.NDArray[np.int32]]
    special: npt.NDArray[np.bool_]
    mask: int
    vocabulary: int
    seed: int
    lengths: npt.NDArray[np.int64]
    step: int = 0

    def __len__(self) -> int:
        return len(self.ids)

    def at(self, step: int) -> MaskedTexts:
        """Return the same texts with the draws of a step, the same in every process and after a resume."""
        return replace(self, step=step)

    def items(self, units: Sequence[int]) -> int:
        """Return how many tokens of some units are masked: the items that the loss is the mean of."""
        return int(sum((self._masked(int(unit))[1] != IGNORED).sum() for unit in units))

    def batch(self, units: Sequence[int], pad: int) -> dict[str, torch.Tensor]:
        """Return input_ids, attention_mask and labels [units, longest]; labels are -100 where nothing is masked."""
        rows = [self._masked(int(unit)) for unit in units]
        longest = max(len(ids) for ids, _ in rows)
        ids = np.full((len(rows), longest), pad, dtype=np.int64)
        labels = np.full((len(rows), longest), IGNORED, dtype=np.int64)
        mask = np.zeros((len(rows), longest), dtype=np.int64)
        for number, (row, targets) in enumerate(rows):
            ids[number, : len(row)], labels[number, : len(row)], mask[number, : len(row)] = row, targets, 1
        return {
            name: torch.from_numpy(v) for name, v in (("input_ids", ids), ("attention_mask", mask), ("labels", labels))
        }

    def _masked(self, unit: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Return the ids of a unit with some masked, and the original ids of those (-100 elsewhere)."""
        chance = np.random.default_rng([self.seed, self.step, unit])
        ids = self.ids[unit].astype(np.int64)
        maskable = ~self.special[ids]
        masked = maskable & (chance.random(len(ids)) < SHARE)
        if not masked.any() and maskable.any():
            masked[chance.choice(np.flatnonzero(maskable))] = True  # a unit without a masked token would have no loss
        labels = np.where(masked, ids, IGNORED)
        kind = chance.random(len(ids))
        others = chance.integers(0, self.vocabulary, len(ids))
        ids = np.where(masked & (kind < 0.8), self.mask, np.where(masked & (kind >= 0.9), others, ids))
        return ids, labels


def read_texts(path: Path, tokenizer: Any, max_length: int, seed: int) -> MaskedTexts:
    """Return the lines of a text file (UTF-8, optionally gzipped) as units, without empty lines.

    Raises:
        DataError: the file cannot be read or holds no line.
        ModelError: the tokenizer has no mask token.
    """
    if tokenizer.mask_token_id is None:
        raise ModelError(
            "The tokenizer has no mask token, so masked language modeling is not possible. Leave --mlm out, or choose "
            "a base model that was trained with one."
        )
    lines = [line for line in (text.strip() for _, text in formats_text.read_lines(path)) if line]
    if not lines:
        raise DataError(f"{path} has no line of text. Give a text file with one sentence or paragraph per line.")
    encoded = tokenizer(lines, truncation=True, max_length=max_length)["input_ids"]
    special = np.zeros(len(tokenizer), dtype=np.bool_)
    special[[i for i in tokenizer.all_special_ids if i < len(special)]] = True
    ids = [np.asarray(row, dtype=np.int32) for row in encoded]
    filled = [row for row in ids if not special[row].all()]
    lengths = np.array([len(row) for row in filled], dtype=np.int64)
    return MaskedTexts(filled, special, tokenizer.mask_token_id, len(tokenizer), seed, lengths)
