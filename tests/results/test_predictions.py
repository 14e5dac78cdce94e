"""Prediction files: written and read again, read from others, and explained where they do not fit."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xharness.errors import PredictionError, UsageError
from xharness.results import predictions
from xharness.results.predictions import Shape

LABELS = st.text(st.characters(exclude_categories=["Cs", "Z", "Cc"]), min_size=1).filter(
    lambda label: label.split() == [label] and not label.startswith("\ufeff")
)
ANYTHING = st.text(st.characters(), max_size=20)  # lone surrogates, U+2028, NUL and line ends as well


CASES = st.one_of(
    st.lists(LABELS).map(lambda labels: ("classification", labels, Shape(lines=len(labels)))),
    st.lists(st.lists(LABELS, min_size=1)).map(
        lambda all_tags: ("tagging", all_tags, Shape(lengths=[*map(len, all_tags)]))
    ),
    st.dictionaries(ANYTHING, ANYTHING).map(lambda answers: ("span_qa", answers, Shape())),
    st.lists(st.integers(0, 999)).map(lambda indices: ("retrieval", indices, Shape(lines=len(indices), highest=999))),
)


@given(CASES)
def test_what_is_written_is_read_again(tmp_path, case):
    kind, content, shape = case
    file = predictions.path(tmp_path, "some-task", kind, "xx", "test")
    predictions.write(file, kind, content)
    found = predictions.read(file, kind, shape)
    assert found == content
    assert not isinstance(content, dict) or list(found) == list(content)


def test_files_are_those_of_the_official_layout(tmp_path):
    written = {
        ("xnli", "classification", "test-sw.tsv"): (["neutral", "entailment"], "neutral\nentailment\n"),
        ("panx", "tagging", "test-sw.tsv"): ([["B-LOC", "O"], ["O"]], "B-LOC\nO\n\nO\n\n"),
        ("tatoeba", "retrieval", "test-sw.tsv"): ([2, 0], "2\n0\n"),
        ("xquad", "span_qa", "test-sw.json"): ({"b": "ḫaba", "a": ""}, '{\n  "b": "ḫaba",\n  "a": ""\n}\n'),
    }
    for (task, kind, name), (content, text) in written.items():
        file = predictions.path(tmp_path, task, kind, "sw", "test")
        assert file == tmp_path / task / name
        predictions.write(file, kind, content)
        assert file.read_bytes() == text.encode()
    assert predictions.path(tmp_path, "xnli", "classification", "en", "dev").name == "dev-en.tsv"


def test_an_unknown_kind_is_refused(tmp_path):
    with pytest.raises(UsageError, match="Did you mean 'tagging'"):
        predictions.path(tmp_path, "panx", "taging", "de", "test")


@pytest.mark.parametrize(
    ("kind", "raw", "shape", "expected"),
    [
        ("classification", b"\xef\xbb\xbf1\r\n0\r\n\r\n\r\n", Shape(lines=2), ["1", "0"]),
        ("classification", b"1\n0", Shape(lines=2), ["1", "0"]),
        ("classification", b"1\n\n0\n", Shape(lines=3), ["1", "", "0"]),
        ("classification", b"1\n\n", Shape(lines=2), ["1", ""]),
        ("classification", "a\u2028b\nc\x85d\n".encode(), Shape(lines=2), ["a\u2028b", "c\x85d"]),
        ("tagging", b"\xef\xbb\xbfB-PER\r\nO\r\n\r\nO", Shape(lengths=(2, 1)), [["B-PER", "O"], ["O"]]),
        ("tagging", b"\nX\n\n\nX\n\n\n", Shape(lengths=(1, 1)), [["X"], ["X"]]),
        ("span_qa", b'\xef\xbb\xbf{"1": "\\u00e9", "more": "x"}', Shape(), {"1": "é", "more": "x"}),
        ("retrieval", b"3\r\n0 \r\n\r\n", Shape(lines=2, highest=3), [3, 0]),
    ],
)
def test_harmless_differences_are_read(tmp_path, kind, raw, shape, expected):
    file = tmp_path / "test-en.tsv"
    file.write_bytes(raw)
    assert predictions.read(file, kind, shape) == expected


@pytest.mark.parametrize(
    ("kind", "raw", "shape", "message"),
    [
        ("classification", b"1\n0\n", Shape(lines=3), "found 2 lines, expected 3"),
        ("classification", b"1\n0\n1\n", Shape(lines=2), "found 3 lines, expected 2"),
        ("classification", b"", Shape(lines=2), "found 0 lines, expected 2"),
        ("classification", b"1\n\xff\n", Shape(lines=2), r"not UTF-8 \(byte 3\)"),
        (
            "tagging",
            b"O\n\nO\n\n",
            Shape(lengths=(1, 1, 2)),
            "found 2 sentences, expected 3. The first 2 agree",
        ),
        (
            "tagging",
            b"O\n\nO\nO\nO\n\n",
            Shape(lengths=(1, 2, 1)),
            r"found 2 sentences, expected 3. Sentence 2 \(from line 3\) .* found 3 tags, expected 2",
        ),
        (
            "tagging",
            b"O\n\nO\n",
            Shape(lengths=(1, 2)),
            r": Sentence 2 \(from line 3\).* found 1 tags, expected 2",
        ),
        (
            "tagging",
            b"Berlin\tB-LOC\n",
            Shape(lengths=(1,)),
            r"line 1: found 'Berlin\\tB-LOC', expected one tag",
        ),
        ("span_qa", b'{"1": "x"', Shape(), "not valid JSON"),
        ("span_qa", b"[" * 100_000, Shape(), "not valid JSON"),
        ("span_qa", b'[{"1": "x"}]', Shape(), "found a JSON list, expected one object"),
        (
            "span_qa",
            b'{"1": "x", "2": [{"text": "y"}]}',
            Shape(),
            "answer to '2' is of type list, expected text",
        ),
        ("retrieval", b"0\nx\n", Shape(lines=2, highest=1), "line 2: found 'x', expected an integer"),
        ("retrieval", b"1.0\n", Shape(lines=1, highest=1), "line 1: found '1.0', expected an integer"),
        ("retrieval", b"0\n\n1\n", Shape(lines=3, highest=2), "line 2: found '', expected an integer"),
        (
            "retrieval",
            b"-1\n",
            Shape(lines=1, highest=1),
            "line 1: found the index -1, expected one from 0 to 1",
        ),
        (
            "retrieval",
            b"2\n",
            Shape(lines=1, highest=1),
            "line 1: found the index 2, expected one from 0 to 1",
        ),
        ("retrieval", b"9" * 9999, Shape(lines=1, highest=1), "line 1: found the index 9999"),
    ],
)
def test_what_does_not_fit_is_explained(tmp_path, kind, raw, shape, message):
    file = tmp_path / "test-en.tsv"
    file.write_bytes(raw)
    with pytest.raises(PredictionError, match=message) as caught:
        predictions.read(file, kind, shape)
    assert str(caught.value).startswith(str(file))


def test_a_missing_file_and_a_folder_are_explained(tmp_path):
    with pytest.raises(PredictionError, match=r"the file does not exist.*test-<language>\.json"):
        predictions.read(tmp_path / "test-en.json", "span_qa", Shape())
    with pytest.raises(PredictionError, match="cannot be read"):
        predictions.read(tmp_path, "span_qa", Shape())


def test_found_lists_what_lies_in_a_folder(tmp_path):
    names = ["xquad/test-zh.json", "xnli/test-sw.tsv", "xnli/test-ar.tsv", "xcopa/test-qu.jsonl"]
    others = [
        "xnli/dev-en.tsv",
        "xnli/notes.txt",
        "xnli/.test-de.tsv.x.part",
        "test-en.tsv",
        "panx/test-de.tsv.bak",
    ]
    for name in names + others:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert predictions.find_files(tmp_path) == [
        ("xcopa", "qu", tmp_path / "xcopa/test-qu.jsonl"),
        ("xnli", "ar", tmp_path / "xnli/test-ar.tsv"),
        ("xnli", "sw", tmp_path / "xnli/test-sw.tsv"),
        ("xquad", "zh", tmp_path / "xquad/test-zh.json"),
    ]
    assert predictions.find_files(tmp_path, "dev") == [("xnli", "en", tmp_path / "xnli/dev-en.tsv")]
    with pytest.raises(PredictionError, match="the folder does not exist"):
        predictions.find_files(tmp_path / "absent")
