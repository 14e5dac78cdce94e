"""Every kind of problem: outputs that say the gold are read back as the gold, and each rule on the way there."""

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
from helpers.data_folder import fixture_tasks
from xharness.data import loading as data
from xharness.data.examples import Bitext, Choice, Pair, Question, Tagged
from xharness.errors import ModelError
from xharness.metrics import answers as answer_scores
from xharness.models.kinds import KINDS, classification, span_qa, tagging
from xharness.models.kinds import embedding as retrieval
from xharness.models.kinds.base import IGNORED, Context, NonFiniteOutput, Template
from xharness.models.kinds.span_qa_legacy import answer_in_words
from xharness.models.loading import Encoder, batches, forward, load
from xharness.results import predictions, scoring
from xharness.tasks.inputs import ChoiceInput, ClassificationInput, RetrievalInput, SpanInput, TaggingInput
from xharness.tasks.task_spec import load_task, load_training

NAN = float("nan")
FAMILIES = list(tiny_models.FAMILIES)


class Oracle:
    """A model that knows what to put out for each row; in padded places it puts out NaN."""

    def __init__(self, input_ids: list[list[int]], rows: list[torch.Tensor], wrap: Any) -> None:
        self.known = dict(zip(map(tuple, input_ids), rows, strict=True))
        # Equal rows of sub-words cannot be told apart, so they must not be asked for different outputs.
        assert all(
            row is known or torch.equal(row, known)
            for row, known in zip(rows, (self.known[tuple(ids)] for ids in input_ids), strict=True)
        )
        self.wrap = wrap

    def __call__(self, input_ids: torch.Tensor, attention_mask: Any = None, **_: Any) -> Any:
        mask = torch.ones_like(input_ids) if attention_mask is None else attention_mask
        if input_ids.dim() == 3:  # one choice a row
            input_ids, mask = input_ids[:, 0], mask[:, 0]
        rows = [self.known[tuple(ids[: int(m.sum())].tolist())] for ids, m in zip(input_ids, mask, strict=True)]
        if rows[0].dim() == 1:
            return self.wrap(torch.stack(rows))
        return self.wrap(torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=NAN))


def run(kind: str, examples: list[Any], context: Context, rows: Any, wrap: Any, budget: int = 200) -> Any:
    """Take examples through encode, forward and decode; ``rows(features)`` says what the model puts out."""
    chosen = KINDS[kind]
    features = chosen.encode(examples, context)
    oracle = Oracle(features.input_ids, rows(features), wrap)
    encoder = Encoder(oracle, context.tokenizer, torch.device("cpu"), "float32", None, 2)
    arrays = forward(encoder, chosen, features, context, budget)
    return chosen.decode(examples, features, arrays, context) if chosen.decode else arrays


def logits(values: torch.Tensor) -> SimpleNamespace:
    return SimpleNamespace(logits=values)


def start_end(values: torch.Tensor) -> SimpleNamespace:
    return SimpleNamespace(start_logits=values[..., 0], end_logits=values[..., 1])


def hidden_states(values: torch.Tensor) -> SimpleNamespace:
    return SimpleNamespace(hidden_states=[torch.full_like(values, NAN), values])


def pieces(tokenizer: Any, word: str) -> list[int]:
    return list(tokenizer([word], is_split_into_words=True, add_special_tokens=False)["input_ids"])


def gold_labels(examples: list[Pair], labels: tuple[str, ...]) -> Any:
    return lambda features: [torch.eye(len(labels))[labels.index(e.label)] for e in examples]


def gold_choices(examples: list[Choice], labels: tuple[str, ...]) -> Any:
    return lambda features: [
        torch.tensor([float(labels[i] == e.label)]) for e in examples for i in range(len(e.choices))
    ]


def gold_tags(examples: list[Tagged], context: Context) -> Any:
    """Return what makes logits that say the gold at first sub-words, and something else at all others.

    It walks along the rows word by word, so it fails where a row is cut inside a word.
    """

    def rows(features: Any) -> list[torch.Tensor]:
        words = [(w, t) for e in examples for w, t in zip(e.tokens, e.tags, strict=True)]
        made = []
        for ids in features.input_ids:
            values = torch.nn.functional.one_hot(
                torch.full((len(ids),), len(context.labels) - 1), len(context.labels)
            ).float()
            place, end = len(context.template.before), len(ids) - len(context.template.after)
            end -= bool(context.input.double_separator)
            while place < end:
                word, tag = words.pop(0)
                sub_words = pieces(context.tokenizer, word)
                if ids[place : place + len(sub_words)] != sub_words or not sub_words:
                    sub_words = [context.tokenizer.unk_token_id]
                    assert ids[place] == sub_words[0]
                values[place] = torch.eye(len(context.labels))[context.labels.index(tag)]
                place += len(sub_words)
            assert place == end
            made.append(values)
        assert not words
        return made

    return rows


def gold_spans(examples: list[Question], context: Context) -> Any:
    """Return what makes logits that point at the first gold answer, in every row that holds its place."""

    def rows(features: Any) -> list[torch.Tensor]:
        made = []
        for ids, window in zip(features.input_ids, features.rows, strict=True):
            example = examples[window.example]
            first, last = example.starts[0], example.starts[0] + len(example.answers[0])
            values = torch.zeros(len(ids), 2)
            for place, (start, stop) in enumerate(window.spans, start=window.offset):
                values[place, 0] = 9.0 * bool(start <= first < stop)
                values[place, 1] = 9.0 * bool(start < last <= stop)
            made.append(values)
        return made

    return rows


def perfect(spec: Any, examples: list[Any], context: Context) -> Any:
    match spec.kind:
        case "classification":
            return run(spec.kind, examples, context, gold_labels(examples, context.labels), logits)
        case "tagging":
            return run(spec.kind, examples, context, gold_tags(examples, context), logits)
        case "span_qa":
            return run(spec.kind, examples, context, gold_spans(examples, context), start_end)
        case _:
            return run(spec.kind, examples, context, gold_choices(examples, context.labels), logits)


@pytest.mark.parametrize(
    ("task", "family"),
    [
        (task, family)
        for task in fixture_tasks()
        for family in FAMILIES
        # The other tokenizers do not know XCOPA's words: all unknown, its choices could not be told apart.
        if KINDS[load_task(task).kind].decode and (task != "xcopa" or family == "xlm-roberta")
    ],
)
def test_perfect_outputs_score_100(task, family, data_folder, tmp_path):
    spec = load_task(task)
    # The head has the labels in another order than the spec; the score of a choice has no label.
    labels = tuple(sorted(spec.labels, reverse=spec.kind != "multiple_choice"))
    context = Context(tiny_models.tokenizer(family), spec.input.max_length, spec.input, labels)
    for language in fixture_tasks()[task]:
        loaded = data.load(spec, language, "test", data_folder)
        examples = list(loaded.examples)
        made = perfect(spec, examples, context)
        path = predictions.path(tmp_path, task, spec.kind, language, "test")
        predictions.write(path, spec.kind, scoring.in_file_order(examples, made))
        score = scoring.score_file(spec, language, "test", loaded, path)
        assert set(score.scores.values()) == {100.0}
        assert score.n == len(examples)


@pytest.mark.parametrize(
    ("family", "single", "pair", "types"),
    [
        ("xlm-roberta", (["<s>"], ["</s>"]), (["<s>"], ["</s>", "</s>"], ["</s>"]), None),
        ("bert", (["[CLS]"], ["[SEP]"]), (["[CLS]"], ["[SEP]"], ["[SEP]"]), ((0,), (0,), (0,), (1,), (1,))),
        ("modernbert", (["[CLS]"], ["[SEP]"]), (["[CLS]"], ["[SEP]"], ["[SEP]"]), None),
    ],
)
def test_template(family, single, pair, types):
    tokenizer = tiny_models.tokenizer(family)
    found = Template.of(tokenizer)
    names = tokenizer.convert_ids_to_tokens
    assert (names(found.before), names(found.after)) == single
    assert tuple(names(ids) for ids in (found.pair_before, found.pair_between, found.pair_after)) == pair
    assert found.pair_types == types
    first, second = pieces(tokenizer, "bridge"), pieces(tokenizer, "lighthouse")
    ids, row_types = found.pair(first, second)
    whole = tokenizer("bridge", "lighthouse")
    assert ids == whole["input_ids"]
    assert len(ids) == found.pair_size + len(first) + len(second)
    assert row_types == whole.get("token_type_ids")


# --- Classification ---------------------------------------------------------------------------------------------


def pair(first: str, second: str, label: str = "x") -> Pair:
    return Pair("0", first, second, label)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("nothing to quote", "nothing to quote"),
        ('he said "yes"', '"he said ""yes"""'),
        ("one\ttab", '"one\ttab"'),
        ("", ""),
    ],
)
def test_csv_quoting(text, expected, tiny_tokenizer):
    assert classification.quoted(text) == expected
    for quoting, seen in ((True, expected), (False, text)):
        context = Context(tiny_tokenizer, 64, ClassificationInput(csv_quoting=quoting))
        features = classification.encode([pair(text, "b"), pair("a", text)], context)
        assert features.input_ids == tiny_tokenizer([seen, "a"], ["b", seen])["input_ids"]


def test_a_long_pair_is_cut_at_the_longer_text_first():
    tokenizer = tiny_models.tokenizer("bert")
    context = Context(tokenizer, 16, ClassificationInput())
    long, short = "the old bridge was closed " * 9, "he sings"
    features = classification.encode([pair(long, short), pair(short, long)], context)
    kept = tokenizer(short, add_special_tokens=False)["input_ids"]
    assert features.lengths == [16, 16]
    assert features.input_ids[0][-len(kept) - 1 : -1] == kept
    assert features.input_ids[1][1 : len(kept) + 1] == kept
    assert features.token_type_ids is not None
    assert features.token_type_ids[1] == [0] * (len(kept) + 2) + [1] * (14 - len(kept))


def test_of_equal_logits_the_first_label_is_taken(tiny_tokenizer):
    context = Context(tiny_tokenizer, 64, ClassificationInput(), ("b", "a", "c"))
    made = run("classification", [pair("x", "y")], context, lambda _: [torch.tensor([0.0, 2, 2])], logits)
    assert made == ["a"]


# --- Tagging ----------------------------------------------------------------------------------------------------


def tagged(*words: str, tag: str = "O") -> Tagged:
    return Tagged("0", words, tuple(f"B-{'XYZ'[i % 3]}" for i in range(len(words))))


TAGS = ("B-X", "B-Y", "B-Z", "O")
TEXT = "Helena Brandt designed the harbour of the small town near the northern lighthouse in 1862 ."
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
    learned = tagging.learn(examples, features, context)
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


# --- Extractive question answering ------------------------------------------------------------------------------

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
    learned = span_qa.learn([question], features, context)
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
        # Nothing that a sub-word could be made of.
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
            # No sub-word that lies wholly outside, such as the next word that begins with the answer's last blank.
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
    examples = data.load(spec, "en", "train", mirror).examples[:1000]
    # Signs apart, as every real tokenizer has them: nearly all answers begin and end with a sub-word.
    context = Context(tiny_models.tokenizer("bert"), 384, SpanInput())
    exact = total = 0
    for example in examples:
        learned, read = taught(example, context)
        found = [text for _, text in read if text is not None]
        assert bool(found) != bool(learned.counts["unaligned"] + learned.counts["split_answers"])
        assert all(example.answers[0].strip() in text for text in found)
        exact += sum(answer_scores.normal_squad(t) == answer_scores.normal_squad(example.answers[0]) for t in found)
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


# --- Multiple choice --------------------------------------------------------------------------------------------


def choice(context: str, *choices: str, label: str = "0") -> Choice:
    return Choice("c", context, "effect", choices, label)


PROMPT = ChoiceInput(prompt="{context} What was the {question}?")


def test_every_choice_follows_the_official_prompt(tiny_tokenizer):
    context = Context(tiny_tokenizer, 64, PROMPT, ("0", "1"))
    features = KINDS["multiple_choice"].encode([choice("Es ist kalt.", "a", "b")], context)
    prompt = "Es ist kalt. What was the effect?"
    assert features.input_ids == tiny_tokenizer([prompt, prompt], ["a", "b"])["input_ids"]


def test_the_largest_score_wins_and_of_equal_ones_the_first(tiny_tokenizer):
    examples = [choice("x", "a b", "c d"), choice("y", "e f", "g h"), choice("z", "i j", "k l")]
    context = Context(tiny_tokenizer, 64, PROMPT, ("first", "second"))
    scores = [[-1.0], [2.0], [0.5], [0.5], [3.0], [-3.0]]
    made = run("multiple_choice", examples, context, lambda f: [torch.tensor(s) for s in scores], logits)
    assert made == ["second", "first", "first"]


def test_the_model_gets_an_axis_of_choices(tiny_checkpoint):
    chosen = KINDS["multiple_choice"]
    folder = tiny_checkpoint("multiple_choice")
    encoder = load(folder, chosen, name="org/tiny", device=torch.device("cpu"), dtype="float32")
    context = Context(encoder.tokenizer, 32, PROMPT, ("0", "1"))
    features = chosen.encode([choice("The river", "is wide", "is a bridge of stone")], context)
    arrays = forward(encoder, chosen, features, context, 100)
    with torch.inference_mode():
        expected = [encoder.model(torch.tensor([[ids]])).logits.item() for ids in features.input_ids]
    np.testing.assert_allclose([float(a) for a in arrays], expected, atol=1e-5)
    assert len(set(expected)) == 2


def test_choices_are_learned_together(tiny_tokenizer):
    examples = [choice("x", "a b", "c d", label="second"), choice("y", "e f", "g h", label="first")]
    context = Context(tiny_tokenizer, 64, PROMPT, ("first", "second"))
    chosen = KINDS["multiple_choice"]
    assert chosen.learn is not None
    learned = chosen.learn(examples, chosen.encode(examples, context), context)
    assert (learned.units, learned.targets) == ([(0, 1), (2, 3)], [1, 0])


# --- Texts as vectors -------------------------------------------------------------------------------------------


def pooled(pooling: str, layers: tuple[int, ...], output: Any, mask: torch.Tensor, **more: Any) -> Any:
    settings = RetrievalInput(layer={"default": "last"}, pooling=pooling, **more)
    context = Context(tiny_models.tokenizer(), 64, settings, layers=layers)
    return np.stack(retrieval.reduce(output, mask, [None] * len(mask), context))


def test_pooling():
    states = torch.arange(1.0, 73.0).reshape(3, 2, 4, 3).sin()
    mask = torch.tensor([[1, 1, 1, 1], [1, 1, 0, 0]])
    states[:, 1, 2:] = NAN  # nothing of a padded place may be seen
    output = SimpleNamespace(hidden_states=tuple(states), pooler_output=torch.tensor([[3.0, 4, 0], [0, 0, 2]]))
    for layer in range(3):
        hidden = states[layer]
        # The first and last positions, which are special tokens, belong to the mean.
        means = torch.stack([hidden[0].mean(0), hidden[1, :2].mean(0)])
        np.testing.assert_allclose(pooled("mean", (layer,), output, mask)[:, 0], means, atol=1e-6)
        np.testing.assert_allclose(pooled("cls", (layer,), output, mask)[:, 0], hidden[:, 0], atol=1e-6)
        # Without them: the two in the middle; a text that has none keeps what it has.
        inner = torch.stack([hidden[0, 1:3].mean(0), hidden[1, :2].mean(0)])
        found = pooled("mean", (layer,), output, mask, special_tokens=False)
        np.testing.assert_allclose(found[:, 0], inner, atol=1e-6)
    np.testing.assert_allclose(pooled("pooler", (), output, mask)[:, 0], [[3.0, 4, 0], [0, 0, 2]], atol=1e-6)
    every = pooled("mean", (0, 1, 2), output, mask)
    assert every.shape == (2, 3, 3)
    np.testing.assert_array_equal(every[:, 2], pooled("mean", (2,), output, mask)[:, 0])


def test_file_order_is_that_of_the_stripped_english_sentences():
    english = [" b", "Z", "a\n", "b", "é"]
    examples = [Bitext(str(i), str(i), sentence) for i, sentence in enumerate(english)]
    # By code point: Z < a < b < é; the two b keep their order.
    assert scoring.in_file_order(examples, [0, 1, 2, 3, 4]) == [1, 2, 0, 3, 4]
    assert scoring.gold(load_task("tatoeba"), examples) == [1, 2, 0, 3, 4]


def test_prefix_and_stripping(tiny_tokenizer):
    context = Context(tiny_tokenizer, 64, RetrievalInput(layer={"default": "last"}, prefix="query: "), layers=(1,))
    features = retrieval.encode([" Es ist kalt.\n", "It is cold today. "], context)
    expected = ["query: Es ist kalt.", "query: It is cold today."]
    assert features.input_ids == tiny_tokenizer(expected)["input_ids"]


# --- All kinds --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bad", [NAN, float("inf")])
@pytest.mark.parametrize("task", ["xnli", "panx", "xquad", "tatoeba"])
def test_outputs_that_are_not_finite_are_refused(task, bad, data_folder):
    spec = load_task(task)
    layers = (1,) if spec.kind == "retrieval" else ()
    context = Context(tiny_models.tokenizer(), spec.input.max_length, spec.input, tuple(spec.labels), layers)
    examples = list(data.load(spec, fixture_tasks()[task][0], "test", data_folder).examples)
    if spec.kind == "retrieval":
        examples = [example.text for example in examples]
    wrap = {"span_qa": start_end, "retrieval": hidden_states}.get(spec.kind, logits)
    width = {"span_qa": 2, "retrieval": 4}.get(spec.kind, len(spec.labels))

    def rows(features: Any) -> list[torch.Tensor]:
        shapes = [(width,) if spec.kind == "classification" else (n, width) for n in features.lengths]
        made = [torch.ones(shape) for shape in shapes]
        made[-1].view(-1)[0] = bad
        return made

    with pytest.raises(NonFiniteOutput):
        run(spec.kind, examples, context, rows, wrap)


@given(lengths=st.lists(st.integers(1, 40), max_size=60), budget=st.integers(1, 200))
def test_batches(lengths, budget):
    found = batches(lengths, budget)
    assert sorted(row for batch in found for row in batch) == list(range(len(lengths)))
    for batch in found:
        assert len(batch) == 1 or max(lengths[row] for row in batch) * len(batch) <= budget
    longest = [[lengths[row] for row in batch] for batch in found]
    assert [n for batch in longest for n in batch] == sorted(lengths, reverse=True)
    assert found == batches(list(lengths), budget)


def test_batches_are_filled():
    assert batches([4] * 10, 16) == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    # Lengths are not mixed once a batch is full enough: padding would cost more than the batch saves.
    assert batches([8] * 4 + [2] * 4, 64) == [[0, 1, 2, 3], [4, 5, 6, 7]]


def test_forward_returns_rows_in_their_order(tiny_tokenizer):
    labels = tuple("abcdefgh")
    examples = [pair("bridge " * (1 + i * 5 % 8), "b", labels[i]) for i in range(8)]
    context = Context(tiny_tokenizer, 64, ClassificationInput(), labels)
    for budget in (1, 30, 1000):
        made = run("classification", examples, context, gold_labels(examples, labels), logits, budget)
        assert made == list(labels)
