"""Extractive question answering: windows, the best span, and the text of the answer."""

from __future__ import annotations

import unicodedata
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from helpers import tiny_models
from helpers.outputs import FAMILIES, TEXT, gold_spans, run, start_end
from xharness.data import loading as data_loading
from xharness.data.examples import Question
from xharness.errors import ModelError
from xharness.metrics import question_answering
from xharness.models.kinds import span_qa
from xharness.models.kinds.base import Context
from xharness.models.kinds.span_qa_legacy import answer_in_words
from xharness.tasks.inputs import SpanInput
from xharness.tasks.registry import load_training

CONTEXT = (
    "Three rivers meet near the small town of Porto, but only the Alma runs through it. Helena Brandt designed the "
    "old harbour in 1862; her brother Otto painted it. The lighthouse on the northern cape is 31 metres high."
)


def question(context: str, answer: str, ask: str = "Who designed the harbour?") -> Question:
    return Question("q", ask, context, (answer,), (context.index(answer),))


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("doc_stride", [5, 13, 500])
@pytest.mark.parametrize("answer", ["Three rivers", "Helena Brandt", "1862", "31 metres high."])
def test_windows_over_a_long_context(answer, doc_stride, family):
    tokenizer = tiny_models.tokenizer(family)
    examples = [question(CONTEXT, answer), question(CONTEXT, "Alma", "Which river?")]
    context = Context(tokenizer, 40, SpanInput(doc_stride=doc_stride, max_query_length=6))
    features = span_qa.encode(examples, context)
    assert max(features.lengths) <= 40
    body = tokenizer(CONTEXT, add_special_tokens=False)["input_ids"]
    starts = []
    for ids, window in zip(features.input_ids, features.rows, strict=True):
        asked = tokenizer(examples[window.example].question, add_special_tokens=False)["input_ids"][:6]
        start = int(np.flatnonzero(tokenizer_offsets(tokenizer)[:, 0] == window.spans[0][0])[0])
        stretch = body[start : start + len(window.spans)]
        assert (ids, None) == (context.template.pair(asked, stretch)[0], None)
        if window.example == 0:
            starts.append(start)
    room = 40 - context.template.pair_size - 6
    steps = {b - a for a, b in pairwise(starts)}
    assert steps == {min(doc_stride, room)}
    made = run("span_qa", examples, context, gold_spans(examples, context), start_end)
    assert made == [("q", answer), ("q", "Alma")]


def tokenizer_offsets(tokenizer: Any) -> Any:
    return np.array(tokenizer(CONTEXT, add_special_tokens=False, return_offsets_mapping=True)["offset_mapping"])


@given(length=st.integers(1, 60), room=st.integers(1, 25), stride=st.integers(1, 30))
def test_stretches_and_the_window_of_most_context(length, room, stride):
    stretches = span_qa._stretches(length, room, stride)
    covered = {place for start, size in stretches for place in range(start, start + size)}
    assert covered == set(range(length))
    assert all(0 < size <= room for _, size in stretches)
    assert [start for start, _ in stretches] == [n * min(room, stride) for n in range(len(stretches))]
    assert sum(start + size == length for start, size in stretches) == 1
    owners = span_qa._owners(stretches, length)
    for place in range(length):
        # The rule as google-research/bert states it, window by window.
        scores = {
            number: min(place - start, start + size - 1 - place) + 0.01 * size
            for number, (start, size) in enumerate(stretches)
            if start <= place < start + size
        }
        assert owners[place] == max(scores, key=scores.__getitem__)


def taught(question: Question, context: Context) -> tuple[Any, list[tuple[Any, str | None]]]:
    """Return what is learned, and (window, the text that decode would read for what it learns) of each unit."""
    features = span_qa.encode([question], context)
    learned = span_qa.make_targets([question], features, context)
    read = []
    for (row,), (first, last) in zip(learned.units, learned.targets, strict=True):
        window = features.rows[row]
        text = None
        if (first, last) != (0, 0):
            text = span_qa._text(question, features, row, first - window.offset, last - window.offset, context)
        read.append((window, text))
    return learned, read


LETTERS = "abeilnort ABP.,'()-—12\u00a0\u3000\t\u0301éİßﬁ１Åअनুที่กำ桥城灯한국🎉"


@settings(max_examples=200)
@given(
    text=st.text(LETTERS, min_size=1, max_size=60) | st.sampled_from([CONTEXT, TEXT]),
    place=st.tuples(st.integers(0, 200), st.integers(1, 40)),
    family=st.sampled_from(FAMILIES),
    lowercase=st.booleans(),
    stride=st.integers(3, 40),
)
def test_the_span_that_is_learned_is_read_as_the_answer(text, place, family, lowercase, stride):
    # A letter and its combining mark become one sign, whose place in the text is, for these tokenizers, the letter's.
    assume(len(unicodedata.normalize("NFC", text)) == len(text))
    start = place[0] % len(text)
    answer = text[start : start + place[1]]
    settings = SpanInput(lowercase=lowercase, doc_stride=stride)
    context = Context(tiny_models.tokenizer(family), 32, settings)
    learned, read = taught(Question("q", "Who?", text, (answer,), (start,)), context)
    if learned.counts["unaligned"]:
        assert not read
        # Nothing that a token could be made of.
        assert not context.tokenizer(answer, add_special_tokens=False)["input_ids"] or not answer.strip()
        return
    assert learned.counts["unanswerable"] == 0
    assert learned.counts["split_answers"] == all(found is None for _, found in read)
    assert len(read) == len(span_qa.encode([Question("q", "Who?", text, (), ())], context).input_ids)
    first, stop = start + len(answer) - len(answer.lstrip()), start + len(answer.rstrip())
    for window, found in read:
        held = window.spans[0][0] <= first and stop <= window.spans[-1][1]
        assert (found is not None) <= held
        if found is not None:
            assert answer.strip() in found
            # No token that lies wholly outside, such as the next word that begins with the answer's last blank.
            assert len(found.split()) <= len(answer.split())


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("answer", ["Three rivers", "Porto", "Alma ", " Helena Brandt", "1862", "31 metres high."])
def test_windows_without_the_whole_answer_learn_the_first_position(answer, family):
    context = Context(tiny_models.tokenizer(family), 40, SpanInput(doc_stride=13))
    asked = question(CONTEXT, answer)
    learned, read = taught(asked, context)
    assert {text for _, text in read} == {answer.strip(), None}
    assert [t == (0, 0) for t in learned.targets] == [text is None for _, text in read]
    for window, text in read:
        span = asked.starts[0] + len(answer) - len(answer.lstrip()), asked.starts[0] + len(answer.rstrip())
        assert (text is not None) == bool(window.spans[0][0] <= span[0] and span[1] <= window.spans[-1][1])


def test_of_several_answers_the_first_is_learned(tiny_tokenizer):
    both = Question("q", "Who?", CONTEXT, ("Otto", "Helena Brandt"), (CONTEXT.index("Otto"), CONTEXT.index("Helena")))
    _, read = taught(both, Context(tiny_tokenizer, 200, SpanInput()))
    assert [text for _, text in read] == ["Otto"]


@pytest.mark.parametrize("task", ["squad_v1", "tydiqa_en"])
def test_real_answers_are_learned_as_they_are_read(task, mirror):
    spec = load_training(task)
    examples = data_loading.load(spec, "en", "train", mirror).examples[:1000]
    # Signs apart, as every real tokenizer has them: nearly all answers begin and end with a token.
    context = Context(tiny_models.tokenizer("bert"), 384, SpanInput())
    exact = total = 0
    for example in examples:
        learned, read = taught(example, context)
        found = [text for _, text in read if text is not None]
        assert bool(found) != bool(learned.counts["unaligned"] + learned.counts["split_answers"])
        assert all(example.answers[0].strip() in text for text in found)
        exact += sum(
            question_answering.normal_squad(t) == question_answering.normal_squad(example.answers[0]) for t in found
        )
        total += len(found)
    assert exact / total > 0.98


small = st.integers(-3, 3).map(float)


@st.composite
def windows(draw: st.DrawFn) -> list[tuple[span_qa.Window, np.ndarray]]:
    found = []
    for _ in range(draw(st.integers(1, 3))):
        size = draw(st.integers(0, 7))
        spans = np.array([[2 * i, 2 * i + 1] for i in range(size)]).reshape(-1, 2)
        own = np.array(draw(st.lists(st.booleans(), min_size=size, max_size=size)), dtype=bool)
        values = draw(st.lists(st.lists(small, min_size=size, max_size=size), min_size=2, max_size=2))
        found.append((span_qa.Window(0, 0, 3, spans, own), np.array(values, np.float32).reshape(2, size)))
    return found


@settings(max_examples=300)
@given(made=windows(), n_best=st.integers(1, 8), longest=st.integers(1, 8))
def test_best_span_is_that_of_all_spans_of_all_windows(made, n_best, longest):
    best: tuple[float, int, int, int] | None = None
    for number, (window, (starts, ends)) in enumerate(made):
        places = range(len(starts))
        for first in sorted(places, key=lambda p: -starts[p])[:n_best]:
            for last in sorted(places, key=lambda p: -ends[p])[:n_best]:
                if not window.own[first] or not first <= last < first + longest:
                    continue
                if best is None or starts[first] + ends[last] > best[0]:
                    best = (starts[first] + ends[last], number, first, last)
    text = "abcdefghijklmn"
    example = Question("q", "?", text, ("a",), (0,))
    context = Context(None, 64, SpanInput(n_best=n_best, max_answer_length=longest))
    features = SimpleNamespace(rows=[window for window, _ in made])
    [(_, answer)] = span_qa.decode([example], features, [values for _, values in made], context)
    expected = "" if best is None else text[2 * best[2] : 2 * best[3] + 1]
    assert answer == expected


@pytest.mark.parametrize("family", FAMILIES)
def test_lowercase_keeps_the_answer_as_it_is_written(family):
    tokenizer = tiny_models.tokenizer(family)
    text = "İn 1862 Helena BRANDT designed the harbour."
    examples = [question(text, "Helena BRANDT", "WHO designed it?")]
    context = Context(tokenizer, 64, SpanInput(lowercase=True))
    features = span_qa.encode(examples, context)
    # 'İ' would become two characters and move all that follows.
    lowered = "İn 1862 helena brandt designed the harbour."
    asked = tokenizer("who designed it?", add_special_tokens=False)["input_ids"]
    body = tokenizer(lowered, add_special_tokens=False)["input_ids"]
    assert features.input_ids == [context.template.pair(asked, body)[0]]
    made = run("span_qa", examples, context, gold_spans(examples, context), start_end)
    assert made == [("q", "Helena BRANDT")]


@pytest.mark.parametrize(
    ("text", "span", "expected"),
    [
        ("It was built in 1862.", "1862", "1862"),
        ("It was built in 1862.", " 1862", "1862"),
        ("It was built in 1862.", "1862.", "1862."),  # words are returned whole where nothing is to be cut
        ("see (Fig. 2) here", "Fig. 2", "(Fig. 2)"),  # "Fig . 2" once punctuation is set apart: not found
        ("an unbelievable story", "believ", "believ"),
        ("the old\u202fstone  bridge", "stone  bridge", "stone bridge"),
        # Chinese characters are set apart, so a piece of two is not found and the whole clause is returned.
        ("灯塔建于1862年。灯塔高31米", "1862年", "灯塔建于1862年。灯塔高31米"),
        ("灯塔建于1862年。灯塔高31米 完", "1862", "1862"),
        ("the\u00adold bridge", "bridge", "bridge"),
        ("sof\u00adt hyphen", "sof", "sof\u00adt"),  # a character is dropped: the lengths differ
        ("costs $5 now", "5", "5"),
        ("only blanks", " ", "blanks"),  # a piece that is only a blank belongs to the word after it
    ],
)
def test_answer_in_words(text, span, expected):
    start = text.index(span)
    assert answer_in_words(text, start, start + len(span), span) == expected


def test_answer_in_words_where_sub_words_spell_it_otherwise():
    # WordPiece sets punctuation apart itself, and so the piece is found.
    assert answer_in_words("see (Fig. 2) here", 5, 11, "Fig . 2") == "Fig. 2"
    # Sentencepiece has full-width figures as plain ones.
    assert answer_in_words("im Jahr １８６２ erbaut", 8, 12, "1862") == "１８６２"
    # With lower-casing accents go, too; Vietnamese keeps its length, Thai does not.
    assert answer_in_words("tại Hà Nội.", 4, 10, "ha noi", lowercase=True) == "Hà Nội"
    assert answer_in_words("ที่กรุงเทพ", 3, 10, "กรงเทพ", lowercase=True) == "ที่กรุงเทพ"


def test_answer_text_words_is_used_where_the_spec_says_so(tiny_tokenizer):
    examples = [question("The plan (see Fig. 2) was old.", "Fig. 2")]
    made = {
        recovery: run("span_qa", examples, context, gold_spans(examples, context), start_end)
        for recovery in ("offsets", "words")
        for context in [Context(tiny_tokenizer, 64, SpanInput(answer_text=recovery))]
    }
    assert made == {"offsets": [("q", "Fig. 2")], "words": [("q", "Fig. 2)")]}


def test_question_answering_needs_places_of_sub_words():
    slow = SimpleNamespace(is_fast=False)
    with pytest.raises(ModelError, match=r"no tokenizer\.json"):
        span_qa.encode([question(CONTEXT, "Alma")], Context(slow, 64, SpanInput()))


def test_a_question_that_fills_the_row_is_an_error(tiny_tokenizer):
    with pytest.raises(ModelError, match="no room for a context"):
        span_qa.encode([question(CONTEXT, "Alma")], Context(tiny_tokenizer, 6, SpanInput()))


def test_a_context_of_blanks_has_no_answer(tiny_tokenizer):
    example = Question("q", "Who?", "", ("x",), (-1,))
    context = Context(tiny_tokenizer, 64, SpanInput())
    made = run("span_qa", [example], context, lambda f: [torch.zeros(len(f.input_ids[0]), 2)], start_end)
    assert made == [("q", "")]
