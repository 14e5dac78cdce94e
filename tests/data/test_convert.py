"""Rows become examples: labels and columns by name, answers where they are, and values that are no data."""

from __future__ import annotations

from typing import Any

import pytest

from helpers.toy_task import CANONICAL, PAIRS, Row, put
from xharness.data import loading as data_loading
from xharness.data.convert import nearest_occurrence
from xharness.data.examples import Bitext, data_hash
from xharness.errors import DataError
from xharness.tasks.registry import load_task


def class_labels(*names: str, column: str = "label") -> Any:
    import datasets

    texts = {name: datasets.Value("string") for name in ("premise", "hypothesis")}
    return datasets.Features({**texts, column: datasets.ClassLabel(names=list(names))})


# --- Labels and columns go by name ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("labels", "types"),
    [
        (["yes", "no", "yes"], None),
        ([0, 1, 0], ("yes", "no")),
        ([1, 0, 1], ("no", "yes")),
        ([0, 1, 0], ("yes", "nope")),
        ([2, 1, 2], ("other", "nope", "yes")),
    ],
)
def test_labels_go_by_name(labels, types, toy, folder):
    rows = [{**row, "label": label} for row, label in zip(PAIRS, labels, strict=True)]
    put(folder, rows, types=class_labels(*types) if types else None)
    loaded = data_loading.load(toy("classification"), "en", "test", folder)
    assert list(loaded.examples) == CANONICAL
    # Same content, same hash: neither the file's format nor its numbering of labels enters.
    assert loaded.hash == data_hash(CANONICAL)


@pytest.mark.parametrize(
    ("labels", "types"),
    [(["yes", "maybe", "no"], None), ([0, 2, 1], ("yes", "no", "maybe")), ([0, -1, 1], ("yes", "no"))],
)
def test_an_unknown_label_is_an_error(labels, types, toy, folder):
    rows = [{**row, "label": label} for row, label in zip(PAIRS, labels, strict=True)]
    put(folder, rows, types=class_labels(*types) if types else None)
    name = "-1" if -1 in labels else "maybe"
    with pytest.raises(DataError, match=rf"row 1 has the label '{name}', which is not one of yes, no.*label_map"):
        data_loading.load(toy("classification"), "en", "test", folder)


def test_a_renamed_column_is_named_with_the_nearest(toy, folder):
    put(folder, [{"premises": "a", "hypothesis": "b", "gold": "yes"}])
    with pytest.raises(DataError) as caught:
        data_loading.load(toy("classification"), "en", "test", folder)
    first, second = str(caught.value).splitlines()
    assert "has no column 'premise' (the spec's fields.text_a). Did you mean 'premises'?" in first
    assert "has no column 'label'" in second
    assert "Columns there: premises, hypothesis, gold." in second


def test_words_and_tags_of_different_number(toy, folder):
    put(folder, [{"tokens": ["a"], "tags": ["O"]}, {"tokens": ["a", "b"], "tags": ["O"]}])
    with pytest.raises(DataError, match="row 1 has 2 words and 1 tags"):
        data_loading.load(toy("tagging"), "en", "test", folder)


def test_sentences_without_words_are_left_out_and_counted(toy, folder):
    put(folder, [{"tokens": ["a"], "tags": ["O"]}, {"tokens": [], "tags": []}, {"tokens": ["b"], "tags": ["B-LOC"]}])
    loaded = data_loading.load(toy("tagging"), "en", "test", folder)
    assert [e.tokens for e in loaded.examples] == [("a",), ("b",)]
    assert loaded.counts == {"empty": 1}


# --- Answers --------------------------------------------------------------------------------------------------------


def asked(context: str, text: str, start: int, name: str = "q") -> Row:
    return {
        "id": name,
        "question": "?",
        "context": context,
        "answers": {"text": [text], "answer_start": [start]},
    }


@pytest.mark.parametrize(
    ("start", "expected", "count"),
    [
        (3, 3, {"realigned": 0, "unaligned": 0}),
        (4, 3, {"realigned": 1, "unaligned": 0}),  # one to the left is nearer than eight to the right
        (9, 12, {"realigned": 1, "unaligned": 0}),
        (999, 12, {"realigned": 1, "unaligned": 0}),
    ],
)
def test_answers_are_realigned_to_the_nearest_place(start, expected, count, toy, folder):
    put(folder, [asked("in 1862 and 1862", "1862", start)])
    loaded = data_loading.load(toy("span_qa"), "en", "test", folder)
    assert loaded.examples[0].starts == (expected,)
    assert loaded.counts == count


def test_an_answer_that_is_nowhere_is_counted_and_kept_as_gold(toy, folder):
    put(folder, [asked("in 1862", "1863", 3)])
    loaded = data_loading.load(toy("span_qa"), "en", "test", folder)
    assert loaded.examples[0].answers == ("1863",)
    assert loaded.counts == {"realigned": 0, "unaligned": 1}


@pytest.mark.parametrize(
    ("context", "text", "start", "expected"), [("aXa", "a", 1, 0), ("aaa", "aa", 1, 1), ("b", "", 0, -1)]
)
def test_nearest(context, text, start, expected):
    assert nearest_occurrence(context, text, start) == expected


@pytest.mark.parametrize("names", [("a", "b", "a"), (1, 2, 1)])
def test_doubled_ids_are_refused(names, toy, folder):
    put(folder, [asked("in 1862", "1862", 3, name) for name in names])
    with pytest.raises(DataError, match=f"holds the id '{names[0]}' twice"):
        data_loading.load(toy("span_qa"), "en", "test", folder)


# --- Rows of one language in a mixed table --------------------------------------------------------------------------


def test_tydiqa_rows_go_by_the_prefix_of_their_id(data_folder):
    spec = load_task("tydiqa")
    ids = {
        code: [e.id for e in data_loading.load(spec, code, "test", data_folder).examples] for code in ("en", "sw", "ru")
    }
    assert all(name.startswith("swahili-") for name in ids["sw"])
    assert len({name for names in ids.values() for name in names}) == 15
    # Telugu is in the table's description, but has no row here.
    with pytest.raises(DataError, match="no example for 'te'"):
        data_loading.load(spec, "te", "test", data_folder)


@pytest.mark.parametrize("keep", ['{column: lang, equals: "{lang}"}', '{column: lang, prefix: "{lang}"}'])
def test_rows_are_kept_by_column(keep, toy, folder):
    spec = toy("classification", ('config: "{lang}"}', 'config: "{lang}", keep: ' + keep + "}"))
    put(folder, [{**row, "lang": lang} for row, lang in zip(PAIRS, ["en", "de", "en"], strict=True)])
    assert [e.text_a for e in data_loading.load(spec, "en", "test", folder).examples] == ["a", "e"]
    put(folder, PAIRS, config="de")
    with pytest.raises(DataError, match=r"has no column 'lang' \(the spec's keep\.column\)"):
        data_loading.load(spec, "de", "test", folder)


def test_an_empty_language_is_an_error(toy, folder):
    spec = toy("classification", ('config: "{lang}"}', 'config: "{lang}", keep: {column: premise, equals: "zz"}}'))
    put(folder, PAIRS)
    with pytest.raises(DataError, match="holds no example for 'en'"):
        data_loading.load(spec, "en", "test", folder)


# --- Bitext ---------------------------------------------------------------------------------------------------------


def test_newlines_around_sentences_are_no_part_of_them(folder):
    spec = load_task("tatoeba")
    rows = [{"sentence1": "Ja.\n", "sentence2": " Yes.\n"}, {"sentence1": "Nein.", "sentence2": "No."}]
    put(folder, rows, "mteb/tatoeba-bitext-mining", "deu-eng")
    loaded = data_loading.load(spec, "de", "test", folder)
    assert list(loaded.examples) == [Bitext("0", "Ja.", "Yes."), Bitext("1", "Nein.", "No.")]


# --- Values that are no data ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "change", "message"),
    [
        ("classification", {"label": None}, "row 1 has no label in 'label'"),
        ("classification", {"premise": None}, "row 1 has no text in 'premise'"),
        ("tagging", {"tokens": [None]}, "row 1 has a word in 'tokens' that is not text"),
        ("tagging", {"tokens": None}, "row 1 has no list in 'tokens'"),
        ("tagging", {"tags": [None]}, "row 1 has no label in 'tags'"),
        ("tagging", {"tags": None}, "row 1 has no list in 'tags'"),
        ("span_qa", {"context": None}, "row 1 has no text in 'context'"),
        ("span_qa", {"answers": None}, "row 1 has no lists 'text' and 'answer_start' in 'answers'"),
        ("span_qa", {"answers": {"text": None, "answer_start": [3]}}, "row 1 has no lists"),
        ("span_qa", {"answers": {"text": [None], "answer_start": [3]}}, "row 1 has an answer in 'answers.text'"),
        (
            "span_qa",
            {"answers": {"text": ["1"], "answer_start": [None]}},
            "row 1 has a start in 'answers.answer_start'",
        ),
        ("span_qa", {"answers": {"text": ["1"], "answer_start": [3, 4]}}, "row 1 has 1 texts and 2 starts"),
    ],
)
def test_values_that_are_no_data_are_named(kind, change, message, toy, folder):
    good = {
        "classification": PAIRS[0],
        "tagging": {"tokens": ["a"], "tags": ["O"]},
        "span_qa": asked("in 1862", "1862", 3, "p"),
    }[kind]
    put(folder, [good, {**good, **({"id": "q"} if kind == "span_qa" else {}), **change}])
    with pytest.raises(DataError, match=rf"org/first \(en, test\): {message}"):
        data_loading.load(toy(kind), "en", "test", folder)


@pytest.mark.parametrize("answers", ["1862", [{"text": "1862", "answer_start": 3}]])
def test_answers_of_another_form_are_named(answers, toy, folder):
    put(folder, [{**asked("in 1862", "1862", 3), "answers": answers}])
    with pytest.raises(DataError, match="row 0 has no lists 'text' and 'answer_start' in 'answers'"):
        data_loading.load(toy("span_qa"), "en", "test", folder)
