"""Token classification (PAN-X, UDPOS) with the label at the first token of each word."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from xharness.data.examples import Tagged
from xharness.errors import ModelError
from xharness.models.kinds.base import IGNORED, Array, Context, Features, Kind, Targets, finite


def encode(examples: Sequence[Tagged], context: Context) -> Features:
    """Return one or more rows per sentence, split between words only.

    A word without tokens, or with more than fit into a row, becomes the unknown token, so that every word has a
    position to read its tag from (google-research/xtreme, utils_tag.py). ``rows`` has, per row, the index of its
    sentence and the positions of the first token of each word.
    """
    template = context.template
    after = list(template.after)
    if context.input.double_separator:
        after += after[-1:]
    room = context.max_length - len(template.before) - len(after)
    input_ids: list[list[int]] = []
    rows: list[tuple[int, list[int]]] = []
    counts = {"split_sentences": 0, "unknown_words": 0}
    for index, words in enumerate(_words([e.tokens for e in examples], context.tokenizer)):
        body: list[int] = []
        first: list[int] = []
        started = len(rows)
        for word in words:
            if not word or len(word) > room:
                if context.tokenizer.unk_token_id is None:
                    raise ModelError("The tokenizer has no unknown token, which a word without tokens needs.")
                counts["unknown_words"] += 1
                word = [context.tokenizer.unk_token_id]
            if len(body) + len(word) > room:
                input_ids.append([*template.before, *body, *after])
                rows.append((index, first))
                body, first = [], []
            first.append(len(template.before) + len(body))
            body += word
        input_ids.append([*template.before, *body, *after])
        rows.append((index, first))
        counts["split_sentences"] += len(rows) - started > 1
    reads_types = "token_type_ids" in context.tokenizer.model_input_names
    types = [[0] * len(ids) for ids in input_ids] if reads_types else None
    return Features(input_ids, types, rows, counts)


def _words(sentences: list[tuple[str, ...]], tokenizer: Any) -> list[list[list[int]]]:
    """Return the tokens of each word of each sentence."""
    if not tokenizer.is_fast:
        return [[list(tokenizer(w, add_special_tokens=False)["input_ids"]) for w in words] for words in sentences]
    encoded = tokenizer(
        [list(words) for words in sentences],
        is_split_into_words=True,
        add_special_tokens=False,
        verbose=False,
    )
    result = []
    for index, words in enumerate(sentences):
        split: list[list[int]] = [[] for _ in words]
        for sub_word, word in zip(encoded["input_ids"][index], encoded.word_ids(index), strict=True):
            split[word].append(sub_word)
        result.append(split)
    return result


def postprocess(output: Any, mask: torch.Tensor, rows: list[Any], context: Context) -> list[Array]:
    """Return, per row, the index of the largest of the logits [batch, length, labels] at each first token."""
    # The largest of a padded position may be anything; only real ones are looked at.
    logits = output.logits
    finite(logits[mask.bool()] if not bool(mask.all()) else logits)
    best = logits.float().argmax(dim=-1).cpu().numpy()
    return [best[i, first] for i, (_, first) in enumerate(rows)]


def decode(
    examples: Sequence[Tagged], features: Features, outputs: list[Array], context: Context
) -> list[tuple[str, ...]]:
    """Return the tags of each sentence, with its rows joined again."""
    parts: list[list[Array]] = [[] for _ in examples]
    for (index, _), tags in zip(features.rows, outputs, strict=True):
        parts[index].append(np.asarray(tags))
    return [tuple(context.labels[int(tag)] for tag in np.concatenate(part)) for part in parts]


def make_targets(examples: Sequence[Tagged], features: Features, context: Context) -> Targets:
    """Return one unit per row, with the numbers of the tags at first tokens; rows without words are left out."""
    units: list[tuple[int, ...]] = []
    targets: list[list[int]] = []
    learned = [0] * len(examples)
    for row, (index, first) in enumerate(features.rows):
        if not first:
            # Only special tokens; the mean loss over no tags would be NaN.
            continue
        start = learned[index]
        learned[index] += len(first)
        target = [IGNORED] * len(features.input_ids[row])
        for position, tag in zip(first, examples[index].tags[start : learned[index]], strict=True):
            target[position] = context.numbers[tag]
        units.append((row,))
        targets.append(target)
    return Targets(units, targets, {"empty": len(features.rows) - len(units)})


KIND = Kind("AutoModelForTokenClassification", encode, postprocess, decode, make_targets=make_targets)
