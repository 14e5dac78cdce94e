"""The original files of BUCC 2018, XQuAD-R and Mewsli-X, whole and broken."""

from __future__ import annotations

import copy
import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from helpers.original_files import rows, write
from xharness.data import formats
from xharness.errors import DataError


def bucc(folder: Path, german: str, english: str, gold: str) -> Path:
    stem = folder / "bucc2018" / "de-en.dev"
    for ending, content in (("de", german), ("en", english), ("gold", gold)):
        write(stem.with_name(f"{stem.name}.{ending}"), content)
    return stem


GERMAN = "de-1\t Es regnet. \nde-2\tJa\u2028.\nde-3\tNein\tdoch.\n"
ENGLISH = "en-1\tNo.\nen-2\tIt rains.\n"
GOLD = "de-1\ten-2\nde-1\ten-2\nde-3\ten-1\nde-3\ten-2\n"


def test_bucc(tmp_path):
    stem = bucc(tmp_path, GERMAN, ENGLISH, GOLD)
    for format in ("bucc_sentences", "bucc_english"):
        assert formats.find(tmp_path, "bucc2018/de-en.dev", format) == [stem]
    assert rows("bucc_sentences", stem) == [
        {"id": "de-1", "text": " Es regnet. ", "targets": ["en-2"]},
        {"id": "de-2", "text": "Ja\u2028.", "targets": []},
        {"id": "de-3", "text": "Nein\tdoch.", "targets": ["en-1", "en-2"]},
    ]
    assert rows("bucc_english", stem) == [{"id": "en-1", "text": "No."}, {"id": "en-2", "text": "It rains."}]
    plain = stem.with_name("de-en.dev.gold")
    write(stem.with_name("de-en.dev.gold.gz"), gzip.compress(plain.read_bytes()))
    plain.unlink()
    assert len(rows("bucc_sentences", stem)) == 3
    stem.with_name("de-en.dev.gold.gz").unlink()
    assert formats.find(tmp_path, "bucc2018/de-en.dev", "bucc_sentences") == []
    assert formats.find(tmp_path, "bucc2018/de-en.dev", "bucc_english") == [stem]
    with pytest.raises(DataError, match=r"de-en\.dev\.gold: cannot be read: No such file"):
        rows("bucc_sentences", stem)


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ((GERMAN + "de-4", ENGLISH, GOLD), r"dev\.de: line 4: expected 'id<TAB>text', found 'de-4'"),
        ((GERMAN + "\n", ENGLISH, GOLD), r"dev\.de: line 4: expected 'id<TAB>text'"),
        ((GERMAN + "de-1\ta\n", ENGLISH, GOLD), r"dev\.de: line 4: the id 'de-1' occurs twice"),
        ((GERMAN, ENGLISH + "en-1\ta\n", GOLD), r"dev\.en: line 3: the id 'en-1' occurs twice"),
        ((GERMAN, ENGLISH, GOLD + "de-9\ten-1\n"), r"gold: line 5: 'de-9' is not a sentence of de-en\.dev\.de"),
        ((GERMAN, ENGLISH, GOLD + "de-1\ten-9\n"), r"gold: line 5: 'en-9' is not a sentence of de-en\.dev\.en"),
        ((GERMAN, ENGLISH, "de-1 en-1\n"), r"gold: line 1: expected 'xx-id<TAB>en-id'"),
        (("", ENGLISH, GOLD), r"dev\.de: the file is empty"),
        ((GERMAN, "", GOLD), r"dev\.en: the file is empty"),
        ((GERMAN, ENGLISH, ""), r"dev\.gold: the file is empty"),
    ],
)
def test_broken_bucc_files(files, words, tmp_path):
    with pytest.raises(DataError, match=words):
        rows("bucc_sentences", bucc(tmp_path, *files))


def test_real_bucc_pairs(mirror):
    stems = formats.find(mirror.parent / "raw", "bucc2018/zh-en.dev", "bucc_sentences")
    if not stems:
        pytest.skip("no bucc2018 beside the data folder")
    chinese = rows("bucc_sentences", *stems, language="zh")
    english = {row["id"] for row in rows("bucc_english", *stems)}
    pairs = {(row["id"], target) for row in chinese for target in row["targets"]}
    assert len(pairs) == 257
    assert {target for _, target in pairs} <= english


CONTEXT = "Er kam. Er sah.\nEr kam. Ende"
PARAGRAPH = {
    "context": CONTEXT,
    "sentence_breaks": [[0, 7], [8, 16], [16, 23], [24, 28]],
    "sentences": [],
    "qas": [
        {"id": "a", "question": " Was tat\ner? ", "answers": [{"answer_start": 3, "text": "kam"}]},
        {"id": "b", "question": "Und?", "answers": [{"answer_start": 11, "text": "sah"}]},
        {"id": "c", "question": "Wo?", "answers": [{"answer_start": 7, "text": " "}]},
    ],
}


def xquad_r(folder: Path, *paragraphs: Any) -> Path:
    content = {"data": [{"paragraphs": [paragraph]} for paragraph in paragraphs]}
    return write(folder / "de.json", json.dumps(content, ensure_ascii=False))


def test_xquad_r(tmp_path):
    unasked = {**PARAGRAPH, "qas": []}
    only_between = {**PARAGRAPH, "qas": [{**PARAGRAPH["qas"][2], "id": "d"}]}
    last = {**PARAGRAPH, "qas": [{**PARAGRAPH["qas"][0], "id": "e"}]}
    path = xquad_r(tmp_path, PARAGRAPH, unasked, only_between, last)
    assert rows("xquad_r_questions", path) == [
        {"id": "a", "text": " Was tat\ner? "},
        {"id": "b", "text": "Und?"},
        {"id": "e", "text": " Was tat\ner? "},
    ]
    found = rows("xquad_r_sentences", path)
    whole = CONTEXT.replace("\n", "")
    assert found[:4] == [
        {"id": "de_1_0", "text": f"Er kam.{whole}", "answers": ["a"]},
        {"id": "de_1_1", "text": f"Er sah.{whole}", "answers": ["b"]},
        {"id": "de_1_2", "text": f"Er kam.{whole}", "answers": ["a"]},
        {"id": "de_1_3", "text": f"Ende{whole}", "answers": []},
    ]
    assert [row["id"] for row in found[4:]] == ["de_4_0", "de_4_1", "de_4_2", "de_4_3"]


def changed(content: Any, path: list[Any], value: Any) -> Any:
    """Return a copy with a value at a path replaced, or taken out if it is None."""
    content = copy.deepcopy(content)
    place = content
    for key in path[:-1]:
        place = place[key]
    if value is None:
        place["x" + path[-1]] = place.pop(path[-1])
    else:
        place[path[-1]] = value
    return content


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        (["context"], None, "paragraph 1: has no 'context'. Did you mean 'xcontext'"),
        (["context"], 5, "paragraph 1: 'context' is '5', expected a text"),
        (["sentence_breaks"], [[0]], r"'sentence_breaks' holds \[0\], expected pairs"),
        (["qas", 0, "answers"], [], "the question 'a' has 0 answers, expected one"),
        (["qas", 0, "answers"], [{"answer_start": 0}] * 2, "the question 'a' has 2 answers, expected one"),
        (["qas", 0, "answers", 0, "answer_start"], "0", "question 'a': 'answer_start' is '0', expected an integer"),
        (["qas", 0, "id"], "b", "paragraph 1: the question id 'b' occurs twice"),
        (["qas", 0], "text", "expected an object with 'id'"),
    ],
)
def test_broken_xquad_r_files(path, value, words, tmp_path):
    with pytest.raises(DataError, match=words):
        rows("xquad_r_questions", xquad_r(tmp_path, changed(PARAGRAPH, path, value)))


def test_an_xquad_r_file_that_was_cut(tmp_path):
    path = xquad_r(tmp_path, PARAGRAPH)
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(DataError, match=r"de\.json: cannot be read as JSON"):
        rows("xquad_r_sentences", path)


@pytest.mark.parametrize(
    ("language", "count"),
    [
        ("ar", 1222),
        ("de", 1276),
        ("el", 1234),
        ("en", 1180),
        ("es", 1215),
        ("ru", 1219),
        ("tr", 1167),
        ("vi", 1209),
        ("zh", 1196),
    ],
)
def test_real_xquad_r(mirror, language, count):
    pattern = f"google-research-datasets/lareqa/xquad-r/{language}.json"
    paths = formats.find(mirror.parent / "raw", pattern, "xquad_r_questions")
    if not paths:
        pytest.skip("no xquad-r beside the data folder")
    questions = [row["id"] for row in rows("xquad_r_questions", *paths, language=language)]
    sentences = rows("xquad_r_sentences", *paths, language=language)
    assert (len(questions), len(sentences)) == (1190, count)
    assert {name for row in sentences for name in row["answers"]} == set(questions)


TEXT = "Kurz.\nIn {Köln}  und {Bonn\u2028regnet es   heute. Ende."
FIRST = TEXT.index("In")
START = TEXT.index("Bonn")
MENTIONS = {
    "context": {
        "document_title": "Wetter",
        "document_url": "https://example.org",
        "document_id": "d",
        "language": "de",
        "text": TEXT,
        "sentence_spans": [
            {"start": 0, "end": 5},
            {"start": FIRST, "end": TEXT.index(" Ende")},
            {"start": 0, "end": 50},
        ],
        "section_title": "",
    },
    "mentions": [
        {
            "example_id": "m1",
            "mention_span": {"start": START, "end": START + 4, "text": "Bonn"},
            "entity_id": "Q586",
            "metadata": {},
        },
        {
            "example_id": "m2",
            "mention_span": {"start": 0, "end": 4, "text": "Kurz"},
            "entity_id": "Q1",
            "metadata": {},
        },
    ],
}
ENTITY = {
    "entity_id": "Q586",
    "title": "Bonn",
    "description": "Bonn liegt\nam  Rhein. Es ist alt. Mehr.",
    "sentence_spans": [{"start": 0, "end": 21}, {"start": 22, "end": 33}],
    "description_language": "de",
    "description_url": "https://example.org",
}


def jsonl(path: Path, *records: Any) -> Path:
    content = "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records).encode()
    return write(path, gzip.compress(content) if path.suffix == ".gz" else content)


@pytest.mark.parametrize("name", ["mentions.jsonl", "mentions.jsonl.gz"])
def test_mewsli_mentions(name, tmp_path):
    single = {"context": MENTIONS["context"], "mention": {**MENTIONS["mentions"][1], "example_id": "m3"}}
    other = changed(MENTIONS, ["context", "language"], "fa")
    path = jsonl(tmp_path / name, MENTIONS, other, single)
    expected = [
        # Two blanks become one, and of three two stay; a brace that is not closed stays.
        {"id": "m1", "text": "Bonn: In (Köln) und { { Bonn } regnet es  heute.", "targets": ["Q586"]},
        {"id": "m2", "text": "Kurz: { Kurz } .", "targets": ["Q1"]},
        {"id": "m3", "text": "Kurz: { Kurz } .", "targets": ["Q1"]},
    ]
    assert rows("mewsli_mentions", path) == expected
    table = [{**MENTIONS, "mention": None}, other, {**single, "mentions": None}]
    assert list(formats.FROM_ROWS["mewsli_mentions"](table, formats.ReadOptions("de"), "org/name")) == expected


def test_mewsli_entities(tmp_path):
    path = jsonl(tmp_path / "entities.jsonl", ENTITY)
    expected = [{"id": "Q586", "text": "Bonn liegt am Rhein. Es ist alt."}]
    assert rows("mewsli_entities", path) == expected
    assert list(formats.FROM_ROWS["mewsli_entities"]([ENTITY], formats.ReadOptions("de"), "org/name")) == expected


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        (["context"], None, "has no 'context'. Did you mean 'xcontext'"),
        (["context", "sentence_spans"], None, "has no 'sentence_spans'. Did you mean"),
        (["mentions", 0, "mention_span", "start"], None, "has no 'start'"),
        (["mentions", 0, "mention_span", "text"], "Köln", "the text at .* is 'Bonn', not the mention 'Köln'"),
        (
            ["context", "sentence_spans"],
            [{"start": 0, "end": 5}],
            "example 'm1': no sentence contains the complete mention",
        ),
        (["mentions", 1, "example_id"], "m1", "the id 'm1' occurs twice"),
        (["mentions"], None, "has no 'mention'. Did you mean"),
        (["mentions"], {}, "'mentions' is '{}', expected a list"),
    ],
)
def test_broken_mewsli_mentions(path, value, words, tmp_path):
    broken = changed(MENTIONS, path, value)
    other = changed(MENTIONS, ["context", "language"], "fa")
    with pytest.raises(DataError, match=rf"mentions\.jsonl: line 2: .*{words}|line 2: {words}"):
        rows("mewsli_mentions", jsonl(tmp_path / "mentions.jsonl", other, broken))
    with pytest.raises(DataError, match=r"^org/name: row 2: "):
        list(formats.FROM_ROWS["mewsli_mentions"]([other, broken], formats.ReadOptions("de"), "org/name"))


def test_broken_mewsli_entities(tmp_path):
    with pytest.raises(DataError, match="line 2: the id 'Q586' occurs twice"):
        rows("mewsli_entities", jsonl(tmp_path / "entities.jsonl", ENTITY, ENTITY))
    with pytest.raises(DataError, match="line 1: has no 'description'"):
        rows("mewsli_entities", jsonl(tmp_path / "entities.jsonl", changed(ENTITY, ["description"], None)))
    path = jsonl(tmp_path / "entities.jsonl", ENTITY, {**ENTITY, "entity_id": "Q2"})
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(DataError, match="line 2: cannot be read as JSON"):
        rows("mewsli_entities", path)
    packed = write(tmp_path / "entities.jsonl.gz", gzip.compress(path.read_bytes())[:-9])
    with pytest.raises(DataError, match=r"entities\.jsonl\.gz: .*cannot be read"):
        rows("mewsli_entities", packed)


def test_a_long_file_is_read_as_it_is_asked_for(tmp_path):
    path = jsonl(tmp_path / "entities.jsonl", ENTITY)
    with path.open("ab") as file:
        file.write(b"\xff\n")
    found = iter(formats.READERS["mewsli_entities"]([path], formats.ReadOptions("de")))
    assert next(found)["id"] == "Q586"
    with pytest.raises(DataError, match="line 2: cannot be read"):
        next(found)


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        (["sentence_breaks"], [[False, True]], "expected pairs"),
        (["sentence_breaks"], [], "'sentence_breaks' is empty"),
        (["sentence_breaks"], [[-3, 7]], "holds -3-7"),
        (["sentence_breaks"], [[0, 7], [3, 9]], "holds 3-9, expected a start from 7"),
        (["sentence_breaks"], [[0, 999]], "holds 0-999"),
        (["qas", 0, "answers", 0, "answer_start"], 999, "'answer_start' is 999, but the context has 28"),
        (["qas", 0, "answers", 0, "answer_start"], -1, "'answer_start' is -1"),
    ],
)
def test_xquad_r_places_outside_of_the_text(path, value, words, tmp_path):
    with pytest.raises(DataError, match=rf"de\.json: paragraph 1: .*{words}"):
        rows("xquad_r_questions", xquad_r(tmp_path, changed(PARAGRAPH, path, value)))


def test_mewsli_places_outside_of_the_text(tmp_path):
    for spans in ([{"start": -2, "end": 5}], [{"start": 0, "end": 999}], [{"start": 5, "end": 2}]):
        with pytest.raises(DataError, match=r"line 1: .*'sentence_spans'"):
            rows("mewsli_entities", jsonl(tmp_path / "e.jsonl", {**ENTITY, "sentence_spans": spans}))
        broken = changed(MENTIONS, ["context", "sentence_spans"], spans)
        with pytest.raises(DataError, match=r"line 1: .*'sentence_spans'"):
            rows("mewsli_mentions", jsonl(tmp_path / "m.jsonl", broken))
    empty = changed(MENTIONS, ["mentions", 0, "mention_span"], {"start": 0, "end": 0, "text": ""})
    with pytest.raises(DataError, match="the mention is empty"):
        rows("mewsli_mentions", jsonl(tmp_path / "m.jsonl", empty))


def test_json_that_is_nested_too_deeply_or_holds_half_a_character_or_nothing(tmp_path):
    deep = "[" * 200_000
    with pytest.raises(DataError, match=r"de\.json: cannot be read as JSON"):
        rows("xquad_r_questions", write(tmp_path / "de.json", deep))
    with pytest.raises(DataError, match=r"e\.jsonl: line 1: cannot be read as JSON"):
        rows("mewsli_entities", write(tmp_path / "e.jsonl", deep))
    half = json.dumps({**ENTITY, "description": "\ud800" * 40})
    with pytest.raises(DataError, match=r"e\.jsonl: line 1: 'description' contains half a character"):
        rows("mewsli_entities", write(tmp_path / "e.jsonl", half))
    with pytest.raises(DataError, match=r"e\.jsonl: holds nothing"):
        rows("mewsli_entities", write(tmp_path / "e.jsonl", ""))
