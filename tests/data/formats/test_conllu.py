"""CoNLL-U: multi-word tokens put together again as the official conversion does, beside a slow restatement of it."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xharness.data import formats
from xharness.data.formats import conllu
from xharness.errors import DataError

DEFAULT = ["VERB", "NOUN", "PROPN", "PRON", "ADJ", "NUM", "ADV", "INTJ"]
DEFAULT += ["AUX", "ADP", "DET", "PART", "CCONJ", "SCONJ", "X", "PUNCT"]
SPANISH = ["VERB", "AUX", "PRON", "ADP", "DET"]
FRENCH = ["VERB", "AUX", "PRON", "NOUN", "ADJ", "ADV", "ADP", "DET", "PART", "SCONJ", "CONJ"]


def line(name: str, form: str, tag: str = "_", head: object = "_", deps: str = "_") -> str:
    return "\t".join([name, form, "_", tag, "_", "_", str(head), "_", deps, "_"])


def document(*sentences: list[str]) -> str:
    return "".join("\n".join(["# text = x", *lines]) + "\n\n" for lines in sentences)


def write(folder: Path, content: str, name: str = "xx_toy-ud-test.conllu") -> Path:
    path = folder / name
    path.write_bytes(content.encode("utf-8"))
    return path


def read(folder: Path, content: str, precedence: list[str] = DEFAULT) -> list[tuple[list[str], list[str]]]:
    return list(conllu.read(write(folder, content), precedence))


def restated(path: Path, precedence: list[str]) -> list[tuple[list[str], list[str]]]:
    """Return the official result by another way: a table of what reaches what, and the words' places on a line."""
    text = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    made = []
    for block in text.decode("utf-8-sig").replace("\r\n", "\n").split("\n\n"):
        cells = [row.split("\t") for row in block.split("\n") if row and not row.startswith("#")]
        words = [c for c in cells if c[0].isdecimal()]
        if not words:
            continue
        size = len(words) + 1
        reaches = [[False] * size for _ in range(size)]
        for cell in words:
            edges = [cell[6]] + [part.split(":")[0] for part in cell[8].split("|")]
            for head in edges:
                if head.isdecimal():
                    reaches[int(head)][int(cell[0])] = True
        ranges = [tuple(map(int, c[0].split("-"))) for c in cells if "-" in c[0]]
        if ranges:
            for middle in range(size):
                for a in range(size):
                    if reaches[a][middle]:
                        for b in range(size):
                            reaches[a][b] = reaches[a][b] or reaches[middle][b]
        above = [sum(reaches[a][b] for a in range(size) if a != b) for b in range(size)]
        token_at: list[tuple[str, str] | None] = [None] + [(c[1], c[3]) for c in words]
        forms = {c[0]: c[1] for c in cells}
        for first, last in ranges:
            inside = list(range(first, last + 1))
            lowest = [w for w in inside if above[w] == min(above[v] for v in inside)]
            listed = [w for tag in precedence for w in lowest if words[w - 1][3] == tag]
            head = (listed + lowest)[0]
            for word in inside:
                token_at[word] = None
            token_at[head] = (forms[f"{first}-{last}"], words[head - 1][3])
        tokens = [t for t in token_at if t is not None]
        empty = sum(form.strip() == "_" for form, _ in tokens)
        if empty == 0 or empty < len(tokens) - 1:
            cleaned = ["".join(ch for ch in form.strip() if ch not in "\u200c ") for form, _ in tokens]
            made.append(([form if form else "_" for form in cleaned], [tag for _, tag in tokens]))
    return made


def test_spanish_del_is_a_preposition(tmp_path):
    lines = [
        line("1", "cerca", "ADV", 0),
        line("2-3", "del"),
        line("2", "de", "ADP", 4),
        line("3", "el", "DET", 4),
        line("4", "mar", "NOUN", 1),
    ]
    assert read(tmp_path, document(lines), SPANISH) == [(["cerca", "del", "mar"], ["ADV", "ADP", "NOUN"])]


def test_french_du_and_a_word_that_is_higher_in_the_tree(tmp_path):
    equal = [line("1-2", "du"), line("1", "de", "ADP", 3), line("2", "le", "DET", 3), line("3", "vin", "NOUN", 0)]
    # The lower word is first in the list; the list does not count.
    lower = [line("1-2", "lesquels"), line("1", "le", "DET", 0), line("2", "quel", "PRON", 1)]
    found = read(tmp_path, document(equal, lower), FRENCH)
    assert found == [(["du", "vin"], ["ADP", "NOUN"]), (["lesquels"], ["DET"])]


def test_a_verb_with_two_clitics_and_a_second_range(tmp_path):
    lines = [
        line("1-3", "dándoselo"),
        line("1", "dando", "VERB", 0),
        line("2", "se", "PRON", 1),
        line("3", "lo", "PRON", 1),
        line("4-5", "al"),
        line("4", "a", "ADP", 6),
        line("5", "el", "DET", 6),
        line("6", "niño", "NOUN", 1),
    ]
    assert read(tmp_path, document(lines), SPANISH) == [(["dándoselo", "al", "niño"], ["VERB", "ADP", "NOUN"])]


def test_enhanced_edges_count_and_those_of_empty_nodes_do_not(tmp_path):
    def lines(deps: str) -> list[str]:
        return [
            line("1-2", "ab"),
            line("1", "a", "NOUN", 3, deps),
            line("2", "b", "VERB", 3),
            line("3", "c", "X", 0),
            line("3.1", "d", "X", "_", "4:dep"),
            line("4", "e", "X", 3),
        ]

    tags = [read(tmp_path, document(lines(deps)), ["NOUN", "VERB"])[0][1][0] for deps in ("_", "3:a|4:b", "3.1:conj")]
    assert tags == ["NOUN", "VERB", "NOUN"]


def test_edges_in_a_circle_and_words_without_a_head(tmp_path):
    circle = [line("1-2", "ab"), line("1", "a", "VERB", 2), line("2", "b", "NOUN", 1, "0:root"), line("3", "c", "X", 1)]
    alone = [line("1-2", "ab"), line("1", "a", "VERB", 0), line("2", "b", "NOUN", "_")]
    assert [tags for _, tags in read(tmp_path, document(circle, alone))] == [["VERB", "X"], ["NOUN"]]


def test_a_tag_that_the_list_lacks_comes_last_and_the_first_word_wins(tmp_path):
    def tag(*tags: str) -> str:
        words = [line(str(place), "a", tag, 0) for place, tag in enumerate(tags, start=1)]
        return read(tmp_path, document([line(f"1-{len(tags)}", "b"), *words]), ["VERB", "ADP"])[0][1][0]

    assert tag("SYM", "ADP") == "ADP"
    assert tag("SYM", "DET", "NOUN") == "SYM"


@pytest.mark.parametrize(
    ("forms", "kept"),
    [("a", True), ("_", False), ("_ _", False), ("a _", False), ("a b _", True), ("a _ _", False), ("a b _ _", True)],
)
def test_sentences_without_their_text_are_dropped(forms, kept, tmp_path):
    lines = [line(str(place), form, "X", 0) for place, form in enumerate(forms.split(), start=1)]
    other = [line("1", "z", "X", 0)]
    assert len(read(tmp_path, document(lines, other))) == 1 + kept


def test_words_are_counted_after_fusing(tmp_path):
    lines = [line("1-2", "ab"), line("1", "_", "X", 0), line("2", "_", "X", 0), line("3", "c", "X", 0)]
    assert read(tmp_path, document(lines)) == [(["ab", "c"], ["X", "X"])]
    lines = [line("1", "a", "X", 0), line("2-3", "_"), line("2", "b", "X", 0), line("3", "c", "X", 0)]
    assert read(tmp_path, document(lines, [line("1", "z", "_", 0)])) == [(["z"], ["_"])]


def test_forms_are_cleaned(tmp_path):
    forms = [" a b ", "می\u200cخواهم", "\u200c", "a\u2028b", "\u3000"]
    lines = [line(str(place), form, "X", 0) for place, form in enumerate(forms, start=1)]
    assert read(tmp_path, document(lines))[0][0] == ["ab", "میخواهم", "_", "a\u2028b", "_"]


@pytest.mark.parametrize("ending", ["\n\n", "\n", ""])
def test_files_follow_one_another(ending, tmp_path):
    first = write(tmp_path, line("1", "a", "X", 0) + ending, "ar_b-ud-test.conllu")
    second = tmp_path / "ar_c-ud-test.conllu.gz"
    second.write_bytes(gzip.compress(("\ufeff" + line("1", "b", "X", 0) + ending).replace("\n", "\r\n").encode()))
    rows = formats.READERS["conllu"]([first, second], formats.ReadOptions("ar", ("X",)))
    assert list(rows) == [{"tokens": [form], "tags": ["X"]} for form in "ab"]


WORD = line("1", "a", "X", 0)


@pytest.mark.parametrize(
    ("lines", "number", "words"),
    [
        (["1\ta\t_"], 2, "found 3 columns, expected 10"),
        ([WORD + "\t_"], 2, "found 11 columns"),
        ([line("one", "a", "X", 0)], 2, "'one' is not the id"),
        ([line("1-", "a", "X", 0)], 2, "'1-' is not the id"),
        ([line("0", "a", "X", 0)], 2, "found the word 0, expected 1"),
        ([WORD, line("3", "a", "X", 0)], 3, "found the word 3, expected 2"),
        ([WORD, WORD], 3, "found the word 1, expected 2"),
        ([line("2-1", "a"), WORD], 2, "range 2-1 ends before it begins"),
        ([line("1-2", "a"), WORD, line("2-3", "b"), line("2", "a", "X", 0)], 4, "range 2-3 overlaps with 1-2"),
        ([line("1-2", "a"), WORD], 2, "range 1-2 names missing words; the sentence has 1"),
        ([line("1-2", "a")], 2, "the sentence has 0"),
        ([line("2-3", "a"), WORD], 2, "range 2-3 must stand right before word 2, not 1"),
        ([WORD, line("1-2", "a"), line("2", "a", "X", 0)], 3, "range 1-2 must stand right before word 1, not 2"),
        ([line("1", "a", "X", "root")], 2, "HEAD is 'root'"),
        ([line("1", "a", "X", "-1")], 2, "HEAD is '-1'"),
        ([WORD, line("2", "a", "X", 3)], 3, "the head is word 3, but the sentence has 2"),
        ([line("1", "a", "X", 0, "7:dep")], 2, "the head is word 7"),
    ],
)
def test_a_broken_line_is_named(lines, number, words, tmp_path):
    with pytest.raises(DataError, match=rf"test\.conllu: line {number}: .*{words}"):
        read(tmp_path, document(lines))


@pytest.mark.parametrize("content", ["", "\n\n"])
def test_a_file_without_a_sentence(content, tmp_path):
    with pytest.raises(DataError, match="holds no sentence"):
        read(tmp_path, content)


def test_a_file_that_ends_after_comments(tmp_path):
    with pytest.raises(DataError, match="line 4: the file ends before the words"):
        read(tmp_path, document([WORD]) + "# sent_id = 2")


@st.composite
def sentences(draw: st.DrawFn) -> list[str]:
    size = draw(st.integers(1, 7))
    node = st.integers(0, size)
    tag = st.sampled_from([*DEFAULT, "SYM", "_"])
    form = st.sampled_from(["a", "b c", "_", "_", "\u200c", "é"])
    ends = draw(st.lists(st.integers(0, 3), min_size=size, max_size=size))
    lines, free = [], 1
    for word in range(1, size + 1):
        last = min(size, word + ends[word - 1] - 1)
        if word >= free and last >= word:
            lines.append(line(f"{word}-{last}", draw(form)))
            free = last + 1
        deps = [f"{head}:dep" for head in draw(st.lists(node, max_size=3))] + draw(st.sampled_from([[], ["1.1:conj"]]))
        head = draw(st.one_of(node.map(str), st.just("_")))
        lines.append(line(str(word), draw(form), draw(tag), head, "|".join(deps) or "_"))
        if draw(st.integers(0, 9)) == 0:
            lines.append(line(f"{word}.1", "left out", "X", "_", "1:dep"))
    return lines


@settings(max_examples=300)
@given(st.lists(sentences(), min_size=1, max_size=3), st.sampled_from([DEFAULT, SPANISH, FRENCH, []]))
def test_it_is_as_restated(tmp_path, made, precedence):
    path = write(tmp_path, document(*made))
    assert list(conllu.read(path, precedence)) == restated(path, precedence)


@pytest.mark.parametrize(
    ("name", "count", "fused"),
    [
        ("ar_pud", 1000, 0),
        ("el_gdt", 456, 250),
        ("mr_ufal", 47, 36),
        ("tl_trg", 55, 0),
        ("te_mtg", 146, 0),
        ("tr_imst", 983, 225),
        ("yo_ytb", 100, 0),
    ],
)
def test_real_treebanks(mirror, name, count, fused):
    found = formats.find(mirror.parent / "raw", f"ud-treebanks-v2.5/*/{name}-ud-test.conllu", "conllu")
    if not found:
        pytest.skip("no ud-treebanks-v2.5 beside the data folder")
    [path] = found
    made = list(conllu.read(path, DEFAULT))
    assert len(made) == count
    assert made == restated(path, DEFAULT)
    assert sum(len(sentence.ranges) for sentence in conllu.read_sentences(path)) == fused


@pytest.mark.parametrize(("name", "head", "deps"), [("9", "0", "_"), ("1", "9", "_"), ("1", "0", "9:x")])
def test_numbers_that_are_too_long(name, head, deps, tmp_path):
    name, head, deps = (text.replace("9", "9" * 5000) for text in (name, head, deps))
    with pytest.raises(DataError, match=r"test\.conllu: line 2: "):
        read(tmp_path, document([line(name, "a", "X", head, deps)]))
