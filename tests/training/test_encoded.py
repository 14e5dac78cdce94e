"""Lessons: batches that the stock models learn from, and arrays that are found on the disk again, or made anew."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers

from helpers import tiny_models
from helpers.data_folder import fixture_tasks
from xharness.data import loading as data_loading
from xharness.data.examples import Choice, Pair, Question, Tagged
from xharness.errors import DataError, OutputError, UsageError
from xharness.models.kinds import KINDS
from xharness.models.kinds.base import IGNORED, Context
from xharness.tasks.inputs import ChoiceInput, ClassificationInput, SpanInput, TaggingInput
from xharness.tasks.registry import load_task
from xharness.training import encoded
from xharness.training.encoded import EncodedDataset, encode, find

TASKS = {"classification": "xnli", "multiple_choice": "xcopa", "tagging": "panx", "span_qa": "xquad"}
FAMILIES = ["xlm-roberta", "bert"]

NLI = ("entailment", "neutral", "contradiction")
PAIRS = [
    Pair("0", "The old bridge was closed.", "The bridge is open.", "contradiction"),
    Pair("1", "Three rivers meet near the town.", "There are rivers.", "entailment"),
    Pair("2", "He sings.", "He sings in the harbour of the northern town every summer.", "neutral"),
]


def material(kind: str, family: str, data_folder: Path) -> tuple[list[Any], Context]:
    """Return the fixtures' examples of a kind, and a context with the tiny tokenizer of a family."""
    task = TASKS[kind]
    spec = load_task(task)
    examples = list(data_loading.load(spec, fixture_tasks()[task][0], "test", data_folder).examples)
    return examples, Context(tiny_models.tokenizer(family), spec.input.max_length, spec.input, tuple(spec.labels))


def pairs(family: str = "xlm-roberta", max_length: int = 64) -> Context:
    return Context(tiny_models.tokenizer(family), max_length, ClassificationInput(), NLI)


def same(one: EncodedDataset, other: EncodedDataset) -> None:
    assert (one.kind, one.counts) == (other.kind, other.counts)
    for name in ("ids", "types", "rows", "units", "targets"):
        values, others = getattr(one, name), getattr(other, name)
        assert (values is None) == (others is None)
        if values is not None:
            assert values.dtype == others.dtype
            np.testing.assert_array_equal(values, others)


# --- Batches ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("kind", TASKS)
def test_a_stock_model_learns_from_batches(kind, family, data_folder, tiny_checkpoint):
    examples, context = material(kind, family, data_folder)
    made = encode(kind, examples, context)
    folder = tiny_checkpoint(kind, family=family, labels=context.labels)
    model = getattr(transformers, KINDS[kind].auto_class).from_pretrained(folder)
    model.eval()  # the steps are few: without dropout each counts
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    losses = []
    batch = made.batch(range(min(len(made), 8)), context.tokenizer.pad_token_id)
    assert all(values.dtype == torch.int64 and values.device.type == "cpu" for values in batch.values())
    assert ("token_type_ids" in batch) == (family == "bert")
    for _ in range(30):
        loss = model(**batch).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert np.isfinite(losses).all()
    assert losses[-1] < 0.6 * losses[0]


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("kind", TASKS)
def test_a_batch_holds_the_rows_and_what_is_learned_from_them(kind, family, data_folder):
    examples, context = material(kind, family, data_folder)
    chosen = KINDS[kind]
    assert chosen.make_targets is not None
    features = chosen.encode(examples, context)
    learned = chosen.make_targets(examples, features, context)
    made = encode(kind, examples, context)
    assert len(made) == len(learned.units)
    units = [len(made) - 1, 0, len(made) // 2]
    rows = [row for unit in units for row in learned.units[unit]]
    longest = max(features.lengths[row] for row in rows)
    batch = {name: values.numpy() for name, values in made.batch(units, 77).items()}
    flat = {name: values.reshape(len(rows), -1) for name, values in batch.items() if name.endswith(("ids", "mask"))}
    for place, row in enumerate(rows):
        length = features.lengths[row]
        rest = longest - length
        assert flat["input_ids"][place].tolist() == features.input_ids[row] + [77] * rest
        assert flat["attention_mask"][place].tolist() == [1] * length + [0] * rest
        if features.token_type_ids is not None:
            assert flat["token_type_ids"][place].tolist() == features.token_type_ids[row] + [0] * rest
    targets = [learned.targets[unit] for unit in units]
    if kind == "tagging":
        assert batch["labels"].tolist() == [t + [IGNORED] * (longest - len(t)) for t in targets]
        assert made.items(units) == sum(tag != IGNORED for t in targets for tag in t)
    elif kind == "span_qa":
        assert list(zip(batch["start_positions"], batch["end_positions"], strict=True)) == targets
        assert made.items(units) == 3
    else:
        assert batch["labels"].tolist() == targets
        assert made.items(units) == 3
    if kind == "multiple_choice":
        assert batch["input_ids"].shape == batch["attention_mask"].shape == (3, 2, longest)
    assert made.row_lengths.tolist() == [features.lengths[row] for unit in learned.units for row in unit]
    assert made.lengths.tolist() == [sum(features.lengths[row] for row in unit) for unit in learned.units]


def test_one_example_is_a_batch():
    made = encode("classification", PAIRS[:1], pairs())
    batch = made.batch([0], 1)
    assert batch["input_ids"].tolist() == [pairs().tokenizer(PAIRS[0].text_a, PAIRS[0].text_b)["input_ids"]]
    assert batch["attention_mask"].min() == 1
    assert batch["labels"].tolist() == [2]


def test_numbers_of_labels_are_those_of_the_head():
    turned = Context(tiny_models.tokenizer(), 64, ClassificationInput(), NLI[::-1])
    assert encode("classification", PAIRS, turned).targets.tolist() == [0, 2, 1]


def test_long_texts_are_cut_as_for_prediction():
    long = Pair("l", PAIRS[0].text_a * 9, PAIRS[0].text_b * 9, "neutral")
    context = pairs("bert", 24)
    made = encode("classification", [long, *PAIRS], context)
    assert made.lengths.tolist()[0] == 24 == made.batch([0, 1], 0)["input_ids"].shape[1]
    expected = KINDS["classification"].encode([long], context).input_ids[0]
    assert made.batch([0], 0)["input_ids"].tolist() == [expected]
    choices = Choice("c", long.text_a, "effect", (long.text_b, "He sings."), "1")
    chosen = Context(tiny_models.tokenizer("bert"), 24, ChoiceInput(prompt="{context} {question}"), ("0", "1"))
    batch = encode("multiple_choice", [choices], chosen).batch([0], 0)
    assert batch["input_ids"][0].tolist() == KINDS["multiple_choice"].encode([choices], chosen).input_ids
    assert batch["input_ids"].shape == (1, 2, 24)


def test_another_number_of_choices_is_refused():
    context = Context(tiny_models.tokenizer(), 64, ChoiceInput(prompt="{context}"), ("0", "1", "2"))
    with pytest.raises(DataError, match=r"'x7' has 2 choices, and the task has 3 labels \(0, 1, 2\)"):
        encode("multiple_choice", [Choice("x7", "a", "b", ("c", "d"), "0")], context)


def test_nothing_is_trained_on_vectors():
    with pytest.raises(UsageError, match="Nothing is trained on retrieval"):
        encode("retrieval", [], pairs())


def test_rows_that_teach_nothing_are_left_out():
    tags = Context(tiny_models.tokenizer(), 64, TaggingInput(), ("O", "B-X"))
    sentences = [Tagged("0", (), ()), Tagged("1", ("the", "bridge"), ("O", "B-X")), Tagged("2", (), ())]
    made = encode("tagging", sentences, tags)
    assert (len(made), made.counts["empty"], made.items([0])) == (1, 2, 2)
    spans = Context(tiny_models.tokenizer(), 64, SpanInput(), ())
    asked = [
        Question("0", "Who?", "The bridge is old.", ("harbour",), (-1,)),
        Question("1", "What?", "The bridge is old.", ("bridge",), (4,)),
        Question("2", "Why?", "The bridge is old.", (), ()),
    ]
    learned = encode("span_qa", asked, spans)
    assert (len(learned), learned.counts) == (1, {"unaligned": 1, "unanswerable": 1, "split_answers": 0})
    assert learned.batch([0], 1)["start_positions"].item() > 0


@pytest.mark.parametrize("kind", TASKS)
def test_chunks_make_no_difference(kind, data_folder, monkeypatch):
    examples, context = material(kind, "bert", data_folder)
    whole = encode(kind, examples, context)
    monkeypatch.setattr(encoded, "CHUNK", 3)
    done: list[int] = []
    same(encode(kind, examples, context, tick=done.append), whole)
    assert sum(done) == len(examples)
    assert max(done) <= 3


def test_a_sub_word_takes_four_bytes():
    made = encode("classification", PAIRS, pairs())
    assert made.ids.nbytes == 4 * int(made.lengths.sum())
    assert made.types is None


# --- On the disk ------------------------------------------------------------------------------------------------


def is_mapped(values: Any) -> bool:
    while values is not None and not isinstance(values, np.memmap):
        values = getattr(values, "base", None)
    return values is not None


@pytest.mark.parametrize("kind", TASKS)
@pytest.mark.parametrize("family", FAMILIES)
def test_lessons_are_found_again(kind, family, data_folder, tmp_path, monkeypatch):
    examples, context = material(kind, family, data_folder)
    plain = encode(kind, examples, context)
    folder = tmp_path / "cache" / "lessons"
    first = encode(kind, examples, context, folder=folder, digest="d")
    monkeypatch.setattr(encoded, "_encode", None)
    done: list[int] = []
    again = encode(kind, examples, context, folder=folder, digest="d", tick=done.append)
    assert done == [len(examples)]
    assert is_mapped(first.ids)
    assert is_mapped(again.ids)
    same(first, plain)
    same(again, plain)
    for name, values in again.batch([0, len(again) - 1], 0).items():
        assert torch.equal(values, plain.batch([0, len(again) - 1], 0)[name])
        values += 1  # its own memory, not the file's
    same(again, plain)
    assert [path.name for path in folder.parent.iterdir()] == ["lessons"]


@pytest.mark.parametrize("kind", TASKS)
def test_no_examples(kind, tmp_path):
    context = Context(tiny_models.tokenizer(), 64, SpanInput(), NLI)
    for folder in (None, tmp_path / "a", tmp_path / "a"):
        made = encode(kind, [], context, folder=folder, digest="d")
        assert (len(made), made.items([]), made.lengths.tolist(), made.row_lengths.tolist()) == (0, 0, [], [])


def cut(folder: Path) -> None:
    with (folder / "ids.npy").open("r+b") as file:
        file.truncate(140)


def turn_a_bit(folder: Path) -> None:
    with (folder / "ids.npy").open("r+b") as file:
        file.seek(-5, os.SEEK_END)
        byte = file.read(1)
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte[0] ^ 1]))


def lose(folder: Path) -> None:
    (folder / "targets.npy").unlink()


def relabel(**change: Any) -> Callable[[Path], None]:
    def change_label(folder: Path) -> None:
        label = json.loads((folder / encoded.LABEL).read_text(encoding="utf-8"))
        (folder / encoded.LABEL).write_text(json.dumps({**label, **change}), encoding="utf-8")

    return change_label


def scribble(folder: Path) -> None:
    (folder / encoded.LABEL).write_text('["half a', encoding="utf-8")


DAMAGES = [
    cut,
    turn_a_bit,
    lose,
    scribble,
    relabel(digest="another"),
    relabel(format=0),
    relabel(kind="tagging"),
    relabel(counts=None),
    relabel(crc32={}),
]


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_or_other_lessons_are_made_anew(damage, tmp_path):
    folder = tmp_path / "lessons"
    made = encode("classification", PAIRS, pairs())
    encode("classification", PAIRS, pairs(), folder=folder, digest="d")
    damage(folder)
    assert find(folder, "classification", "d") is None
    same(encode("classification", PAIRS, pairs(), folder=folder, digest="d"), made)
    assert find(folder, "classification", "d") is not None
    assert list(tmp_path.iterdir()) == [folder]


@pytest.mark.parametrize("at", ["write_json", "_crc32", "np.save", "os.fsync"])
def test_a_break_while_writing_leaves_what_was_there(at, tmp_path, monkeypatch):
    folder = tmp_path / "lessons"
    before = encode("classification", PAIRS, pairs(), folder=folder, digest="before")

    def broken(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(f"xharness.training.encoded.{at}", broken)
        with pytest.raises(KeyboardInterrupt):
            encoded._store(encode("classification", PAIRS[:1], pairs()), folder, "after")
    found = find(folder, "classification", "before")
    assert found is not None
    same(found, before)
    assert list(tmp_path.iterdir()) == [folder]


def test_what_a_killed_process_left_is_cleared_away(tmp_path):
    folder = tmp_path / "lessons"
    young, old = tmp_path / ".lessons.young.part", tmp_path / ".lessons.old.part"
    for part in (young, old):
        (part / "made").mkdir(parents=True)
    os.utime(old, (0, 0))
    encode("classification", PAIRS, pairs(), folder=folder, digest="d")
    # The young one may be another process' that is still writing.
    assert sorted(path.name for path in tmp_path.iterdir()) == [young.name, "lessons"]


def test_a_quicker_process_with_the_same_is_no_error(tmp_path, monkeypatch):
    folder = tmp_path / "lessons"
    made = encode("classification", PAIRS, pairs())
    write = encoded.write_json

    def overtaken(path: Path, content: Any) -> None:
        monkeypatch.setattr(encoded, "write_json", write)
        encoded._store(made, folder, "d")
        monkeypatch.setattr(Path, "exists", lambda path: False)
        write(path, content)

    monkeypatch.setattr(encoded, "write_json", overtaken)
    encoded._store(made, folder, "d")
    monkeypatch.undo()
    assert find(folder, "classification", "d") is not None
    assert list(tmp_path.iterdir()) == [folder]


def test_a_folder_that_cannot_be_written_is_said(tmp_path):
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(OutputError, match="the encoded examples cannot be written"):
        encode("classification", PAIRS, pairs(), folder=tmp_path / "file" / "lessons", digest="d")
