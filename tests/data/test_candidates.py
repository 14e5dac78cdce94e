"""Pools of candidates, and the sequences that they are read through."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers import raw_data
from helpers.data_folder import write_dataset
from xharness.data import candidates as data_candidates
from xharness.data import loading as data_loading
from xharness.data.candidates import load_pool
from xharness.data.examples import Candidate
from xharness.data.lazy import Concatenated, Examples
from xharness.errors import DataError
from xharness.tasks.registry import load_task
from xharness.tasks.task_spec import TaskSpec


@pytest.fixture(autouse=True)
def fresh(monkeypatch):
    monkeypatch.setattr(data_candidates, "_POOLS", {})


@pytest.fixture
def raw(tmp_path):
    return tmp_path / "raw"


# --- LAReQA: a file for each language, one pool ---------------------------------------------------------------------


def test_a_pool_of_several_languages_keeps_their_order_and_ids(raw, tmp_path):
    raw_data.write_lareqa(raw, paragraphs=2)
    spec = load_task("lareqa")
    pool = load_pool(spec, "zh", "test", tmp_path)
    expected = [f"{code}_{p}_{s}" for code in spec.languages for p in (1, 2) for s in (0, 1, 2)]
    assert list(pool.ids) == [candidate.id for candidate in pool.candidates] == expected
    assert (pool.parts, pool.missing, pool.expected_n) == ((6,) * 11, (), 13_014)
    article = raw_data.lareqa_article("el", 2)["paragraphs"][1]
    assert pool.candidates[expected.index("el_2_1")].text == article["sentences"][1] + article["context"]
    # A question is answered in each language, in the pool's order.
    assert pool.answers["q10"] == tuple(f"{code}_2_0" for code in spec.languages)
    assert len(pool.answers) == 4
    assert data_loading.load(spec, "de", "test", tmp_path).examples[2].targets == pool.answers["q10"]


def test_a_pool_is_read_once_for_all_languages(raw, tmp_path, monkeypatch):
    raw_data.write_lareqa(raw)
    spec = load_task("lareqa")
    pool = load_pool(spec, "de", "test", tmp_path)
    monkeypatch.setattr(data_candidates, "open_table", None)
    assert load_pool(spec, "ru", "test", tmp_path) is pool


def test_missing_languages_are_named(raw, tmp_path):
    raw_data.write_lareqa(raw, ["de", "ru"])
    pool = load_pool(load_task("lareqa"), "ru", "test", tmp_path)
    assert pool.missing == ("ar", "el", "en", "es", "hi", "th", "tr", "vi", "zh")
    assert (len(pool.ids), pool.parts) == (18, (9, 9))
    assert {identity[:2] for targets in pool.answers.values() for identity in targets} == {"de", "ru"}


def test_no_candidates_at_all(raw, tmp_path):
    with pytest.raises(DataError, match=r"lareqa: 'zh' is not in .*Fetch it: xharness fetch --targets lareqa"):
        load_pool(load_task("lareqa"), "de", "test", tmp_path)


# --- BUCC: a pool for each language; Mewsli-X: one file for all -----------------------------------------------------


def test_each_language_has_its_own_pool_of_each_split(raw, tmp_path):
    for code in ("de", "fr"):
        raw_data.write_bucc(raw, code, size=10, gold=3)
    spec = load_task("bucc2018")
    hashes = set()
    for code in ("de", "fr"):
        for split, name in (("test", "training"), ("dev", "sample")):
            pool = load_pool(spec, code, split, tmp_path)
            lines = (raw / f"bucc2018/{code}-en/{code}-en.{name}.en").read_text(encoding="utf-8").splitlines()
            assert [f"{c.id}\t{c.text}" for c in pool.candidates] == lines
            assert (pool.parts, pool.answers, pool.expected_n) == ((12,), {}, None)
            hashes.add(pool.hash)
    assert len(hashes) == 4


def test_one_file_for_all_languages_is_one_part(raw, tmp_path):
    raw_data.write_mewsli(raw, entities=7)
    spec = load_task("mewslix")
    pool = load_pool(spec, "de", "test", tmp_path)
    assert (pool.ids, pool.parts) == (tuple(f"Q{n}" for n in range(7)), (7,))
    assert (pool.missing, pool.expected_n) == ((), 1_003_893)
    loaded = [data_loading.load(spec, code, "test", tmp_path) for code in ("de", "fa")]
    assert [example.id for example in loaded[1].examples] == ["fa00", "fa01", "fa10", "fa11", "fa20", "fa21"]
    assert all(target in pool.ids for each in loaded for example in each.examples for target in example.targets)


# --- What cannot be true --------------------------------------------------------------------------------------------

RANKING = """
name: toy
title: Toy
paper: none
licence: none
kind: ranking
sources: [{repo: org/toy, revision: main, config: "{lang}"}]
fields: {id: id, text: text, targets: targets}
candidates:
  sources: [{repo: org/pool, revision: main, config: "{lang}", fields: {text: body}}]
  fields: {id: id, text: text}
  scope: task
  expected: {test: null, dev: null}
  mean_characters: 10
test_split: test
dev_split: null
expected: {test: null, dev: null}
mean_characters: 10
metric: mrr_at_20
train: null
input: {layer: {default: last}}
languages: {de: , fr: }
"""


def toy(folder: Path, queries: dict[str, list[Any]], candidates: dict[str, list[Any]]) -> TaskSpec:
    """Write queries (id, targets) and candidates (ids) of each language; return the task."""
    path = folder / "toy.yaml"
    path.write_text(RANKING)
    configs = {
        code: {"test": [{"id": n, "text": "?", "targets": list(t)} for n, t in rows]} for code, rows in queries.items()
    }
    write_dataset(folder / "org/toy", configs)
    of_pool = {code: {"test": [{"id": n, "body": f"{code} {n}"} for n in ids]} for code, ids in candidates.items()}
    write_dataset(folder / "org/pool", of_pool)
    return load_task(str(path))


def test_targets_among_candidates_of_all_languages(tmp_path):
    spec = toy(tmp_path, {"de": [("x", "ad"), ("y", "b")]}, {"fr": ["c", "d"], "de": ["a", "b"]})
    loaded = data_loading.load(spec, "de", "test", tmp_path)
    assert [(example.id, example.targets) for example in loaded.examples] == [("x", ("a", "d")), ("y", ("b",))]
    assert loaded.pool.ids == ("a", "b", "c", "d")
    assert list(loaded.pool.candidates)[2] == Candidate("c", "fr c")


@pytest.mark.parametrize(
    ("queries", "candidates", "words"),
    [
        ([("x", "a")], {"de": ["a", "b"], "fr": ["b"]}, r"toy: org/pool \(fr, test\) holds the id 'b' twice"),
        ([("x", "a")], {"de": ["a", "a"], "fr": ["b"]}, r"toy: org/pool \(de, test\) holds the id 'a' twice"),
        ([("x", "a"), ("x", "a")], {"de": ["a"], "fr": ["b"]}, r"toy: org/toy \(de, test\) holds the id 'x' twice"),
        ([("x", "az")], {"de": ["a"], "fr": ["b"]}, r"'x' names the candidate 'z', which is not among the 2 cand"),
    ],
)
def test_doubled_ids_and_targets_that_are_not_there(queries, candidates, words, tmp_path):
    spec = toy(tmp_path, {"de": queries}, candidates)
    with pytest.raises(DataError, match=words):
        data_loading.load(spec, "de", "test", tmp_path)


def test_a_target_may_be_in_what_is_missing(tmp_path):
    loaded = data_loading.load(toy(tmp_path, {"de": [("x", "az")]}, {"de": ["a"]}), "de", "test", tmp_path)
    assert (loaded.pool.missing, loaded.examples[0].targets) == (("fr",), ("a", "z"))


def test_a_column_of_another_name(tmp_path):
    spec = toy(tmp_path, {"de": [("x", "a")]}, {"de": ["a"]})
    write_dataset(tmp_path / "org/pool", {"de": {"test": [{"id": "a", "texts": "t"}]}})
    with pytest.raises(DataError, match=r"org/pool .* has no column 'body'"):
        data_loading.load(spec, "de", "test", tmp_path)


def test_a_pool_of_other_texts_has_another_hash(raw, tmp_path, monkeypatch):
    raw_data.write_mewsli(raw)
    spec = load_task("mewslix")
    before = load_pool(spec, "de", "test", tmp_path).hash
    path = raw / "mewsli-x/candidate_set_entities.jsonl"
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    raw_data.write(path, map(json.dumps, rows[::-1]))
    monkeypatch.setattr(data_candidates, "_POOLS", {})
    assert load_pool(spec, "de", "test", tmp_path).hash != before


# --- Sequences ------------------------------------------------------------------------------------------------------

places = st.one_of(st.none(), st.integers(-2, 14))
steps = st.sampled_from([1, 2, 3, 4, -1, -2, -3])


def table(numbers: list[int]) -> Examples[int]:
    class Table:
        def __len__(self) -> int:
            return len(numbers)

        def __getitem__(self, index: Any) -> Any:
            return {"n": numbers[index]}

    made = Examples(Table(), lambda row, number: row["n"] if numbers[number] == row["n"] else -1)
    made.PIECE = 3
    return made


@given(st.lists(st.lists(st.integers(0, 99), max_size=7), max_size=4), places, places, steps)
def test_joined_sequences_are_those_of_a_list(parts, start, stop, step):
    plain = [number for part in parts for number in part]
    joined = Concatenated([table(part) for part in parts])
    assert (len(joined), list(joined)) == (len(plain), plain)
    assert joined[start:stop:step] == plain[start:stop:step]
    assert [joined[place] for place in range(-len(plain), len(plain))] == plain * 2
    with pytest.raises(IndexError):
        joined[len(plain)]


@given(st.lists(st.integers(0, 99), max_size=9), places, places, steps)
def test_rows_are_those_of_a_list(numbers, start, stop, step):
    examples = table(numbers)
    assert list(examples) == numbers
    assert examples[start:stop:step] == numbers[start:stop:step]
    assert [examples[place] for place in range(-len(numbers), len(numbers))] == numbers * 2
    with pytest.raises(IndexError):
        examples[len(numbers)]
