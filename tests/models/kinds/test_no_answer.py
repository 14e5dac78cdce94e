"""Questions that may have no answer (SQuAD 2.0): read as the original BERT SQuAD code does, learned at position 0."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers import tiny_models
from xharness.data.examples import Question
from xharness.models.kinds import span_qa
from xharness.models.kinds.base import Context
from xharness.tasks.inputs import SpanInput
from xharness.tasks.registry import load_task

TEXT = "abcdefghijklmn"
SMALL = st.integers(-3, 3).map(float)
CONTEXT = "Three rivers meet near the small town of Porto, but only the Alma runs through it."


@st.composite
def outputs(draw: st.DrawFn) -> list[tuple[span_qa.Window, np.ndarray]]:
    """Return 1 to 3 windows on one text, each with logits [2, 1 + tokens], the first of position 0."""
    found = []
    for _ in range(draw(st.integers(1, 3))):
        size = draw(st.integers(0, 7))
        spans = np.array([[2 * i, 2 * i + 1] for i in range(size)]).reshape(-1, 2)
        own = np.array(draw(st.lists(st.booleans(), min_size=size, max_size=size)), dtype=bool)
        values = draw(st.lists(SMALL, min_size=2 * size + 2, max_size=2 * size + 2))
        found.append((span_qa.Window(0, 0, 3, spans, own), np.array(values, np.float32).reshape(2, size + 1)))
    return found


def read(made: list[tuple[span_qa.Window, np.ndarray]], **more: Any) -> str:
    example = Question("q", "?", TEXT, (), ())
    features = SimpleNamespace(rows=[window for window, _ in made])
    values = [v if more.get("no_answer") else v[:, 1:] for _, v in made]
    [(_, answer)] = span_qa.decode([example], features, values, Context(None, 64, SpanInput(**more)))
    return answer


@settings(max_examples=300)
@given(made=outputs(), threshold=SMALL, longest=st.integers(1, 8))
def test_no_answer_wins_by_more_than_the_threshold(made, threshold, longest):
    """As run_squad.py says it: the null score is the least of the windows', the best span's the greatest."""
    null = min(float(values[0, 0]) + float(values[1, 0]) for _, values in made)
    sums = [
        (float(values[0, 1 + first]) + float(values[1, 1 + last]), -number, -first, -last)
        for number, (window, values) in enumerate(made)
        for first in range(len(window.spans))
        for last in range(first, min(len(window.spans), first + longest))
        if window.own[first]
    ]
    answer = read(made, no_answer=True, null_threshold=threshold, max_answer_length=longest)
    plain = read(made, max_answer_length=longest)
    if not sums or null - max(sums)[0] > threshold:
        assert answer == ""
    else:
        assert answer == plain != ""


def test_an_even_score_is_an_answer():
    window = span_qa.Window(0, 0, 3, np.array([[0, 1], [2, 3]]), np.array([True, True]))
    values = np.array([[1.0, 2.0, 0.0], [2.0, 0.0, 1.0]], np.float32)
    assert read([(window, values)], no_answer=True) == "abc"
    assert read([(window, values)], no_answer=True, null_threshold=-0.5) == ""
    higher = values + np.array([[0.5, 0, 0], [0, 0, 0]], np.float32)
    assert read([(window, higher)], no_answer=True) == ""
    assert read([(window, higher)], no_answer=True, null_threshold=0.5) == "abc"
    # Another window that is less sure of nothing: the least of both counts.
    assert read([(window, higher), (window, values)], no_answer=True) == "abc"


@pytest.mark.parametrize("family", ["xlm-roberta", "bert"])
def test_position_0_is_kept_only_where_it_is_read(family):
    examples = [Question(str(i), ask, CONTEXT, (), ()) for i, ask in enumerate(["Who?", "Which river runs there?"])]
    kept = {}
    for no_answer in (False, True):
        context = Context(tiny_models.tokenizer(family), 32, SpanInput(doc_stride=9, no_answer=no_answer))
        features = span_qa.encode(examples, context)
        longest = max(features.lengths)
        mask = torch.tensor([[1] * n + [0] * (longest - n) for n in features.lengths])
        generator = torch.Generator().manual_seed(0)
        start, end = torch.randn(2, len(mask), longest, generator=generator)
        output = SimpleNamespace(start_logits=start, end_logits=end)
        kept[no_answer] = span_qa.postprocess(output, mask, features.rows, context)
    for row, (with_null, without) in enumerate(zip(kept[True], kept[False], strict=True)):
        np.testing.assert_array_equal(with_null[:, 0], [start[row, 0], end[row, 0]])
        np.testing.assert_array_equal(with_null[:, 1:], without)
        assert without.shape == (2, len(features.rows[row].spans))


@pytest.mark.parametrize("family", ["xlm-roberta", "bert"])
def test_what_is_learned_is_read_again(family):
    start = CONTEXT.index("Alma")
    examples = [
        Question("none", "Who painted it?", CONTEXT, (), ()),
        Question("some", "Which river?", CONTEXT, ("Alma",), (start,)),
        Question("lost", "Which?", CONTEXT, ("Tagus",), (-1,)),
    ]
    context = Context(tiny_models.tokenizer(family), 32, SpanInput(doc_stride=9, no_answer=True))
    features = span_qa.encode(examples, context)
    learned = span_qa.make_targets(examples, features, context)
    assert learned.counts == {"unaligned": 1, "unanswerable": 0, "split_answers": 0}
    of = [features.rows[row].example for (row,) in learned.units]
    assert set(of) == {0, 1}
    assert {t for t, example in zip(learned.targets, of, strict=True) if example == 0} == {(0, 0)}
    assert len({t for t, example in zip(learned.targets, of, strict=True) if example == 1} - {(0, 0)}) >= 1
    outputs = [np.zeros((2, 1 + len(window.spans)), np.float32) for window in features.rows]
    for (row,), (first, last) in zip(learned.units, learned.targets, strict=True):
        shift = 0 if (first, last) == (0, 0) else features.rows[row].offset - 1
        outputs[row][0, first - shift] = outputs[row][1, last - shift] = 9.0
    assert span_qa.decode(examples, features, outputs, context)[:2] == [("none", ""), ("some", "Alma")]


def test_targets_without_it_keep_their_hash():
    """Results on disk carry the hash of a spec; fields that came later are in it only where they say something."""
    assert load_task("xquad").hash == "3c0fc41313f5"  # before there were such fields
    task = load_task("xquad")
    hashes = {
        task.model_copy(update={"input": task.input.model_copy(update=change)}).hash
        for change in ({}, {"no_answer": True}, {"null_threshold": 0.5}, {"no_answer": True, "null_threshold": 0.5})
    }
    assert len(hashes) == 4
    assert task.hash in hashes


def test_a_threshold_is_a_finite_number():
    with pytest.raises(ValueError, match="finite"):
        SpanInput(null_threshold=float("nan"))
