"""Tagging: long sentences, words without tokens, and where tags are learned."""

from __future__ import annotations

from itertools import pairwise

import pytest

from helpers import tiny_models
from helpers.outputs import FAMILIES, TEXT, gold_tags, logits, pieces, run
from xharness.data.examples import Tagged
from xharness.models.kinds import tagging
from xharness.models.kinds.base import IGNORED, Context
from xharness.tasks.inputs import TaggingInput


def tagged(*words: str, tag: str = "O") -> Tagged:
    return Tagged("0", words, tuple(f"B-{'XYZ'[i % 3]}" for i in range(len(words))))


TAGS = ("B-X", "B-Y", "B-Z", "O")
SENTENCE = TEXT.split()


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("double_separator", [False, True])
@pytest.mark.parametrize("max_length", [9, 10, 11, 60])
def test_long_sentences_are_split_at_word_borders_and_joined_again(max_length, double_separator, family):
    context = Context(tiny_models.tokenizer(family), max_length, TaggingInput(double_separator=double_separator), TAGS)
    examples = [tagged(*SENTENCE), tagged("Porto"), tagged(*reversed(SENTENCE))]
    features = tagging.encode(examples, context)
    assert max(features.lengths) <= max_length
    end = [*context.template.after, *context.template.after[-1:] * double_separator]
    assert all(ids[-len(end) :] == end for ids in features.input_ids)
    assert (len(features.input_ids) > 3) == (features.counts["split_sentences"] > 0) == (max_length < 60)
    # No row could have held the first word of the next one.
    for (ids, (sentence, _)), (after, (next_sentence, first)) in pairwise(
        zip(features.input_ids, features.rows, strict=True)
    ):
        if sentence == next_sentence:
            ends = [*first, len(after) - len(end)]
            assert len(ids) + ends[1] - ends[0] > max_length
    made = run("tagging", examples, context, gold_tags(examples, context), logits)
    assert made == [e.tags for e in examples]


@pytest.mark.parametrize("family", FAMILIES)
def test_words_without_sub_words_or_with_too_many_become_unknown(family):
    tokenizer = tiny_models.tokenizer(family)
    nothing, endless = " ", "lighthouse-" * 9
    assert not pieces(tokenizer, nothing) or family == "xlm-roberta"
    context = Context(tokenizer, 8, TaggingInput(), TAGS)
    examples = [tagged("The", endless, nothing, "bridge", "")]
    features = tagging.encode(examples, context)
    assert features.counts["unknown_words"] == 1 + (not pieces(tokenizer, nothing)) + (not pieces(tokenizer, ""))
    assert sum(len(first) for _, first in features.rows) == 5
    made = run("tagging", examples, context, gold_tags(examples, context), logits)
    assert made == [examples[0].tags]


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("max_length", [9, 11, 60])
def test_tags_are_learned_at_first_sub_words_only(max_length, family):
    context = Context(tiny_models.tokenizer(family), max_length, TaggingInput(), TAGS)
    examples = [tagged(*SENTENCE), tagged(), tagged("Porto", " ", ""), tagged(*reversed(SENTENCE))]
    features = tagging.encode(examples, context)
    learned = tagging.make_targets(examples, features, context)
    assert learned.counts == {"empty": 1}
    rows = [row for (row,) in learned.units]
    assert [row for row, (index, _) in enumerate(features.rows) if index != 1] == rows
    assert (len(rows) > 3) == (max_length < 60)
    found: list[tuple[str, ...]] = [()] * len(examples)
    for row, target in zip(rows, learned.targets, strict=True):
        index, first = features.rows[row]
        assert len(target) == features.lengths[row]
        assert [place for place, tag in enumerate(target) if tag != IGNORED] == first
        found[index] += tuple(TAGS[target[place]] for place in first)
    assert found == [e.tags for e in examples]
