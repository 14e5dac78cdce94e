"""`Kind`, `Features`, `Targets` and the special-token template that all kinds share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy.typing as npt
import torch

from xharness.errors import ModelError

Array = npt.NDArray[Any]

# The target value that the losses of transformers' models ignore.
IGNORED = -100


@dataclass(frozen=True)
class Features:
    """Rows of tokens, ready to be batched; one example may own several rows, or share none.

    Attributes:
        input_ids: one list of token ids per row, special tokens included, no padding.
        token_type_ids: the same shape, or None for encoders that do not read them.
        rows: per row, what ``decode`` needs to find its way back (the kind decides).
        counts: counted events (``truncated`` texts, ``unknown_words`` ...).
    """

    input_ids: list[list[int]]
    token_type_ids: list[list[int]] | None
    rows: list[Any]
    counts: dict[str, int] = field(default_factory=dict)

    @cached_property
    def lengths(self) -> list[int]:
        """Tokens per row."""
        return [len(ids) for ids in self.input_ids]


@dataclass(frozen=True)
class Targets:
    """Training targets of rows.

    Attributes:
        units: rows of each training unit: one row, or all choices of one example. Rows without a target are in no
            unit.
        targets: one per unit. Classification and multiple choice: the number of the label or choice; tagging: a list
            as long as the row, with the number of the tag at first tokens and ``IGNORED`` elsewhere; span_qa:
            (start, end) in positions of the row, (0, 0) where the row has no answer.
        counts: counted events (``unaligned`` answers ...).
    """

    units: list[tuple[int, ...]]
    targets: list[Any]
    counts: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Context:
    """The settings that encoding and decoding depend on.

    Attributes:
        tokenizer: the checkpoint's own (a transformers tokenizer).
        max_length: tokens per row, special tokens included: the spec's, or fewer where the encoder has fewer
            positions.
        input: the spec's input settings of this kind.
        labels: canonical label per output of the head; () for kinds without labels.
        layers: texts as vectors: indices into hidden_states, never negative.
    """

    tokenizer: Any
    max_length: int
    input: Any
    labels: tuple[str, ...] = ()
    layers: tuple[int, ...] = ()

    @cached_property
    def numbers(self) -> dict[str, int]:
        """Canonical label -> output of the head."""
        return {label: number for number, label in enumerate(self.labels)}

    @cached_property
    def template(self) -> Template:
        """The special tokens that the tokenizer adds to texts."""
        return Template.of(self.tokenizer)


@dataclass(frozen=True)
class Kind:
    """A task kind: how examples become model inputs and model outputs become predictions.

    Attributes:
        auto_class: the transformers class that loads a checkpoint with its head.
        encode: (examples, context) -> Features.
        postprocess: (model output, attention mask [batch, length], rows of the batch, context) -> one array per row,
            on the CPU; runs in inference mode, right after the forward pass.
        decode: (examples, features, arrays per row, context) -> one prediction per example; None for kinds that embed
            texts, whose predictions come from comparing embeddings (``evaluation.retrieval``).
        has_choices: the model input has an axis of choices, [batch, choices, length]; each row is one choice.
        make_targets: (examples, their features, context) -> Targets, with gold labels as indices into
            ``context.labels``; None for kinds that are not trained.
    """

    auto_class: str
    encode: Callable[[Sequence[Any], Context], Features]
    postprocess: Callable[[Any, torch.Tensor, list[Any], Context], list[Array]]
    decode: Callable[[Sequence[Any], Features, list[Array], Context], list[Any]] | None
    has_choices: bool = False
    make_targets: Callable[[Sequence[Any], Features, Context], Targets] | None = None


class NonFiniteOutput(Exception):
    """The model output has NaN or infinity: the language is repeated in float32."""


def finite(values: torch.Tensor) -> torch.Tensor:
    """Return ``values``, or raise NonFiniteOutput if one of them is NaN or infinite."""
    if not bool(torch.isfinite(values).all()):
        raise NonFiniteOutput
    return values


@dataclass(frozen=True)
class Template:
    """The special-token ids before, between and after one or two texts, and their token types.

    Read from the tokenizer's output, because encoders differ: ``<s> a </s></s> b </s>`` (XLM-R),
    ``[CLS] a [SEP] b [SEP]`` with types 0 and 1 (mBERT).
    """

    before: tuple[int, ...]
    after: tuple[int, ...]
    pair_before: tuple[int, ...]
    pair_between: tuple[int, ...]
    pair_after: tuple[int, ...]
    pair_types: tuple[tuple[int, ...], ...] | None
    """Token types of (before, first text, between, second text, after); None if the encoder reads none."""

    @classmethod
    def of(cls, tokenizer: Any) -> Template:
        """Read the template from a tokenizer's output."""
        text = "a"
        inner = list(tokenizer(text, add_special_tokens=False)["input_ids"])
        single = list(tokenizer(text)["input_ids"])
        double = tokenizer(text, text)
        pair = list(double["input_ids"])
        start = _find(single, inner, 0)
        first = _find(pair, inner, 0)
        second = _find(pair, inner, first + len(inner))
        ends = [0, first, first + len(inner), second, second + len(inner), len(pair)]
        types = None
        if "token_type_ids" in tokenizer.model_input_names and "token_type_ids" in double:
            ids = list(double["token_type_ids"])
            types = tuple(tuple(ids[a:b]) for a, b in pairwise(ends))
        return cls(
            before=tuple(single[:start]),
            after=tuple(single[start + len(inner) :]),
            pair_before=tuple(pair[:first]),
            pair_between=tuple(pair[ends[2] : second]),
            pair_after=tuple(pair[ends[4] :]),
            pair_types=types,
        )

    @property
    def single_size(self) -> int:
        """Special tokens around one text."""
        return len(self.before) + len(self.after)

    @property
    def pair_size(self) -> int:
        """Special tokens around and between two texts."""
        return len(self.pair_before) + len(self.pair_between) + len(self.pair_after)

    def pair(self, first: list[int], second: list[int]) -> tuple[list[int], list[int] | None]:
        """Return the ids, and the token types if any, of a pair of texts."""
        ids = [*self.pair_before, *first, *self.pair_between, *second, *self.pair_after]
        if self.pair_types is None:
            return ids, None
        before, one, between, two, after = self.pair_types
        return ids, [*before, *[one[0]] * len(first), *between, *[two[0]] * len(second), *after]


def _find(ids: list[int], inner: list[int], start: int) -> int:
    for position in range(start, len(ids) - len(inner) + 1):
        if inner and ids[position : position + len(inner)] == inner:
            return position
    raise ModelError(
        "The tokenizer changes a text when it adds special tokens, so the positions of words are not known. "
        "Use a checkpoint with a fast tokenizer (tokenizer.json)."
    )
