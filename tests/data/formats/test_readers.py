"""Original file formats: rows as published, and a clear sentence for a broken file."""

from __future__ import annotations

import gzip
import json

import pytest

from helpers.original_files import write
from xharness.data import formats
from xharness.errors import DataError

SQUAD = {
    "version": "1.1",
    "data": [
        {
            "title": "Leuchtturm",
            "paragraphs": [
                {
                    "context": " Der Leuchtturm wurde 1862 gebaut. ",
                    "qas": [
                        {"id": "a", "question": "Wann?", "answers": [{"text": "1862", "answer_start": 22}]},
                        {"id": "b", "question": "Was?", "answers": [{"text": "Leuchtturm", "answer_start": 5}]},
                    ],
                }
            ],
        }
    ],
}


@pytest.mark.parametrize("ending", ["json", "json.gz"])
def test_squad_json_keeps_contexts_as_they_are(ending, tmp_path):
    raw = json.dumps(SQUAD, ensure_ascii=False).encode("utf-8")
    path = write(tmp_path / f"xquad.de.{ending}", gzip.compress(raw) if ending.endswith("gz") else raw)
    rows = formats.squad_json(path)
    assert [row["id"] for row in rows] == ["a", "b"]
    assert rows[0]["answers"] == {"text": ["1862"], "answer_start": [22]}
    for row in rows:
        [text], [start] = row["answers"]["text"], row["answers"]["answer_start"]
        assert row["context"][start : start + len(text)] == text
    assert formats.find(tmp_path, "xquad.de.json", "squad_json") == [path]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b'{"data": [', r"not in SQuAD's JSON format \(JSONDecodeError"),
        (b'{"version": "1.1"}', r"KeyError: 'data'"),
        (b'{"data": [{"paragraphs": [{"qas": [{"id": "a"}]}]}]}', r"KeyError"),
        (b'["a"]', r"TypeError"),
        (b"\xff\xfe\x00", r"cannot be read: .*Fetch it again"),
    ],
)
def test_a_broken_squad_file(content, words, tmp_path):
    path = write(tmp_path / "broken.json", content)
    with pytest.raises(DataError, match=words) as caught:
        formats.squad_json(path)
    assert str(caught.value).startswith(str(path))


def test_a_cut_gzip_file(tmp_path):
    path = write(tmp_path / "cut.json.gz", gzip.compress(json.dumps(SQUAD).encode())[:60])
    with pytest.raises(DataError, match=r"cut\.json\.gz: cannot be read"):
        formats.squad_json(path)


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
@pytest.mark.parametrize("last", [True, False])
def test_tatoeba_lines(newline, last, tmp_path):
    stem = tmp_path / "tatoeba.deu-eng"
    end = newline if last else ""
    # U+2028 stands inside a line, and is no end of one.
    write(tmp_path / "tatoeba.deu-eng.deu", f"\ufeffEs ist\u2028kalt.{newline}Ja.{end}")
    write(tmp_path / "tatoeba.deu-eng.eng", f"It is cold.{newline}Yes.{end}")
    assert formats.tatoeba_lines(stem) == [
        {"text": "Es ist\u2028kalt.", "english": "It is cold."},
        {"text": "Ja.", "english": "Yes."},
    ]
    assert formats.find(tmp_path, "tatoeba.deu-eng", "tatoeba_lines") == [stem]
    (tmp_path / "tatoeba.deu-eng.eng").unlink()
    assert formats.find(tmp_path, "tatoeba.deu-eng", "tatoeba_lines") == []


def test_tatoeba_files_of_different_length(tmp_path):
    write(tmp_path / "tatoeba.deu-eng.deu", "a\nb\n")
    write(tmp_path / "tatoeba.deu-eng.eng", "a\n")
    with pytest.raises(DataError, match=r"deu-eng\.deu has 2 lines, .*\.eng has 1: fetch both again"):
        formats.tatoeba_lines(tmp_path / "tatoeba.deu-eng")


def test_panx_tsv_cuts_the_language_at_the_first_colon(tmp_path):
    path = write(tmp_path / "test", "de:Um\tO\nde:12:30\tO\n\n\nde:Genfer\tB-LOC\r\nde: See \tI-LOC\n")
    assert formats.panx_tsv(path) == [
        {"tokens": ["Um", "12:30"], "tags": ["O", "O"]},
        {"tokens": ["Genfer", "See"], "tags": ["B-LOC", "I-LOC"]},
    ]


@pytest.mark.parametrize("line", ["de:Um O", "Um\tO"])
def test_a_broken_panx_line_is_named(line, tmp_path):
    path = write(tmp_path / "test", f"de:a\tO\n{line}\n")
    with pytest.raises(DataError, match=r"test: line 2: expected 'xx:token<TAB>tag'"):
        formats.panx_tsv(path)


def test_a_file_that_is_not_there(tmp_path):
    assert formats.find(tmp_path, "none.json", "squad_json") == []
    with pytest.raises(DataError, match="cannot be read"):
        formats.panx_tsv(tmp_path / "none")


def test_every_format_that_a_spec_may_name_has_a_reader():
    from typing import get_args

    from xharness.tasks.source_spec import Format

    assert set(formats.READERS) == set(get_args(Format)) - {"hub"}
    assert set(formats.FROM_ROWS) == {"mewsli_mentions", "mewsli_entities"}


def test_files_are_found_by_pattern_and_sorted_by_name(tmp_path):
    names = ["ud/B/ar_a-ud-test.conllu", "ud/A/ar_b-ud-test.conllu.gz", "ud/A/ar_c-ud-dev.conllu", "ud/x/grc_a-ud-test"]
    for name in [*names, "ud/A/.ar_d-ud-test.conllu", "ud/B/ar_b-ud-test.conllu", "ud/A/ar_b-ud-test.conllu"]:
        write(tmp_path / name, "")
    found = formats.find(tmp_path, "ud/*/ar_*-ud-test.conllu", "conllu")
    assert [path.relative_to(tmp_path).as_posix() for path in found] == [
        "ud/B/ar_a-ud-test.conllu",
        "ud/A/ar_b-ud-test.conllu",
        "ud/B/ar_b-ud-test.conllu",
    ]
    write(tmp_path / "a[1]?.json", "")
    assert formats.find(tmp_path, "a[1]?.json", "squad_json") == [tmp_path / "a[1]?.json"]
    assert formats.find(tmp_path, "*.txt", "squad_json") == []
