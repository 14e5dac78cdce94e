"""Every kind of task: outputs that say the gold are read back as the gold, templates, and batches."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from helpers import tiny_models
from helpers.data_folder import fixture_tasks
from helpers.outputs import FAMILIES, NAN, gold_spans, gold_tags, logits, pair, pieces, run, start_end
from xharness.data import loading as data_loading
from xharness.data.examples import Choice, Pair
from xharness.models.inference import batches
from xharness.models.kinds import KINDS
from xharness.models.kinds.base import Context, NonFiniteOutput, Template
from xharness.results import predictions, scoring
from xharness.tasks.inputs import ClassificationInput
from xharness.tasks.registry import load_task


def hidden_states(values: torch.Tensor) -> SimpleNamespace:
    return SimpleNamespace(hidden_states=[torch.full_like(values, NAN), values])


def gold_labels(examples: list[Pair], labels: tuple[str, ...]) -> Any:
    return lambda features: [torch.eye(len(labels))[labels.index(e.label)] for e in examples]


def gold_choices(examples: list[Choice], labels: tuple[str, ...]) -> Any:
    return lambda features: [
        torch.tensor([float(labels[i] == e.label)]) for e in examples for i in range(len(e.choices))
    ]


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
        loaded = data_loading.load(spec, language, "test", data_folder)
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


# --- All kinds --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bad", [NAN, float("inf")])
@pytest.mark.parametrize("task", ["xnli", "panx", "xquad", "tatoeba"])
def test_outputs_that_are_not_finite_are_refused(task, bad, data_folder):
    spec = load_task(task)
    layers = (1,) if spec.kind == "retrieval" else ()
    context = Context(tiny_models.tokenizer(), spec.input.max_length, spec.input, tuple(spec.labels), layers)
    examples = list(data_loading.load(spec, fixture_tasks()[task][0], "test", data_folder).examples)
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
