"""Training data: languages, the user's own files and draws; a draw is the same wherever and whenever it is made."""

from __future__ import annotations

import csv
import gzip
import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xharness.data.lazy import Subset
from xharness.data.training_sets import draw, even_shares, load_dev, load_train
from xharness.errors import DataError, UsageError
from xharness.tasks.registry import load_training
from xharness.tasks.source_spec import Source
from xharness.tasks.task_spec import TrainingLanguage, TrainingSpec

LABELS = ["entailment", "neutral", "contradiction"]


def rows(n: int, language: str = "en", first: int = 0) -> list[dict[str, str]]:
    return [
        {"premise": f"{language} premise {i}", "hypothesis": f"{language} hypothesis {i}", "label": LABELS[i % 3]}
        for i in range(first, first + n)
    ]


def write(path: Path, found: list[dict[str, str]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    text = "".join(json.dumps(row) + "\n" for row in found)
    match path.suffix:
        case ".jsonl":
            path.write_text(text, encoding="utf-8")
        case ".json":
            path.write_text(json.dumps(found), encoding="utf-8")
        case ".gz":
            path.write_bytes(gzip.compress(text.encode()))
        case ".parquet":
            import pyarrow
            import pyarrow.parquet

            pyarrow.parquet.write_table(pyarrow.Table.from_pylist(found), path)
        case _:
            with path.open("w", encoding="utf-8", newline="") as file:
                writer = csv.DictWriter(file, list(found[0]), delimiter="\t" if path.suffix == ".tsv" else ",")
                writer.writeheader()
                writer.writerows(found)
    return path


@pytest.fixture(scope="module")
def spec() -> TrainingSpec:
    """Return MNLI as if it had German and Swahili machine-translated."""
    translated = TrainingLanguage(origin="machine-translated")
    return load_training("mnli").model_copy(
        update={
            "sources": [
                Source(repo="org/nli", revision="main", config="{lang}", splits={"train": "train", "dev": "dev"})
            ],
            "languages": {"en": TrainingLanguage(), "de": translated, "sw": translated},
        }
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("training")
    for language, n in (("en", 60), ("de", 30), ("sw", 12)):
        write(made / "org" / "nli" / language / "train.jsonl", rows(n, language))
        write(made / "org" / "nli" / language / "dev.jsonl", rows(n // 2, language, first=1000))
    return made


def ids(examples) -> list[str]:
    return [example.text_a for example in examples]


def test_all_examples_of_english_are_meant_where_nothing_is_said(spec, folder):
    found = load_train(spec, folder)
    assert ids(found.examples) == [row["premise"] for row in rows(60)]
    (part,) = found.parts
    assert (part.task, part.language, part.split, part.n, part.available) == ("mnli", "en", "train", 60, 60)
    assert (part.source, part.origin, part.status) == ("org/nli", "native", "unknown")
    assert found.examples[-1].label == "contradiction"


def test_languages_come_one_after_the_other_and_say_what_they_are(spec, folder):
    found = load_train(spec, folder, languages=("de", "en", "de"))
    assert [(part.language, part.origin, part.n) for part in found.parts] == [
        ("de", "machine-translated", 30),
        ("en", "native", 60),
    ]
    assert ids(found.examples)[29:31] == ["de premise 29", "en premise 0"]
    assert len({load_train(spec, folder, languages=order).hash for order in (("en",), ("de", "en"), ("en", "de"))}) == 3


def test_a_draw_takes_as_many_of_each_language_and_holds_all_smaller_ones(spec, folder):
    small, large = (load_train(spec, folder, languages=("en", "de"), n=n, seed=3) for n in (5, 20))
    assert [part.n for part in large.parts] == [20, 20]
    assert set(ids(small.examples)) < set(ids(large.examples))
    assert ids(large.examples[:20]) == sorted(ids(large.examples[:20]), key=lambda text: int(text.split()[-1]))
    assert large.hash != small.hash
    assert ids(load_train(spec, folder, n=20, seed=4).examples) != ids(large.examples[:20])
    # English is drawn alike whatever it is drawn with.
    assert ids(load_train(spec, folder, n=20, seed=3).examples) == ids(large.examples[:20])


def test_a_draw_of_all_is_no_draw(spec, folder):
    assert load_train(spec, folder, n=60).hash == load_train(spec, folder, seed=5).hash == load_train(spec, folder).hash


def test_a_draw_does_not_depend_on_how_the_examples_are_stored(spec, folder, tmp_path):
    write(tmp_path / "org" / "nli" / "en" / "train.parquet", rows(60))
    stored = [load_train(spec, place, n=7, seed=1) for place in (folder, tmp_path)]
    assert ids(stored[0].examples) == ids(stored[1].examples)
    assert stored[0].hash == stored[1].hash


def test_shots_are_as_many_of_each_label(spec, folder):
    one, four = (load_train(spec, folder, languages=("en", "de"), shots=shots, seed=2) for shots in (1, 4))
    assert Counter((e.text_a[:2], e.label) for e in four.examples) == {(c, x): 4 for c in ("en", "de") for x in LABELS}
    assert set(ids(one.examples)) < set(ids(four.examples))
    assert ids(four.examples) != ids(load_train(spec, folder, languages=("en", "de"), shots=4, seed=3).examples)


@pytest.mark.parametrize(
    ("asked", "error", "words"),
    [
        ({"n": 5, "shots": 5}, UsageError, "--train-n and --shots cannot be used together"),
        ({"n": 0}, UsageError, "--train-n: found 0, expected a number above 0."),
        ({"shots": -1}, UsageError, "--shots: found -1, expected a number above 0."),
        ({"n": 40, "languages": ("en", "de", "sw")}, DataError, "there are only 30 in 'de' and 12 in 'sw'."),
        ({"shots": 15, "languages": ("de",)}, DataError, "'de' has only 10 with the label 'entailment' and 10"),
        ({"languages": ()}, UsageError, "mnli: no source language is named. Known: en, de, sw."),
        ({"files": {"dr": Path("x")}, "languages": ("de",)}, UsageError, "'dr', which is not one of the source"),
    ],
)
def test_a_draw_that_cannot_be_made_is_refused(spec, folder, asked, error, words):
    with pytest.raises(error) as raised:
        load_train(spec, folder, **asked)
    assert words in str(raised.value)


def test_a_language_that_is_not_there_is_refused_with_the_ways_out(spec, folder):
    with pytest.raises(UsageError) as error:
        load_train(spec, folder, languages=("fr",))
    assert str(error.value) == (
        "mnli: there is no training data in 'fr'. It has: en, de, sw, of which machine-translated: de, sw. Or name "
        "your own file: --source-data fr=FILE (jsonl, json, csv, tsv or parquet, with the columns premise, "
        "hypothesis, label)."
    )


@pytest.mark.parametrize("ending", ["jsonl", "json", "csv", "tsv", "parquet", "jsonl.gz"])
def test_a_file_of_the_users_own_is_read(spec, folder, tmp_path, ending):
    own = write(tmp_path / f"fr.{ending}", rows(9, "fr"))
    found = load_train(spec, folder, languages=("fr", "sw"), files={"fr": own})
    assert ids(found.examples)[:9] == [row["premise"] for row in rows(9, "fr")]
    assert [(part.language, part.source, part.origin, part.n) for part in found.parts] == [
        ("fr", own.name, "own file", 9),
        ("sw", "org/nli", "machine-translated", 12),
    ]
    again = write(tmp_path / "again" / f"fr.{ending}", rows(10, "fr"))
    assert len(load_train(spec, folder, languages=("fr",), files={"fr": again})) == 10


def test_a_file_may_name_its_columns_as_the_fields_and_may_lack_ids(folder, tmp_path):
    named = [{"text_a": row["premise"], "text_b": row["hypothesis"], "label": i % 2} for i, row in enumerate(rows(6))]
    paws = load_training("paws")
    assert "id" in paws.fields
    found = load_train(paws, folder, languages=("fr",), files={"fr": write(tmp_path / "fr.jsonl", named)})
    assert [(e.id, e.label) for e in found.examples[:2]] == [("0", "0"), ("1", "1")]


def test_a_file_may_be_in_the_original_format(folder, tmp_path):
    answers = [{"text": "Bern", "answer_start": 0}]
    paragraph = {"context": "Bern.", "qas": [{"id": "q7", "question": "Wo?", "answers": answers}]}
    path = tmp_path / "de.json"
    path.write_text(json.dumps({"version": "1", "data": [{"title": "t", "paragraphs": [paragraph]}]}), encoding="utf-8")
    (example,) = load_train(load_training("squad_v1"), folder, languages=("de",), files={"de": path}).examples
    assert (example.id, example.answers) == ("q7", ("Bern",))


@pytest.mark.parametrize(
    ("name", "content", "error", "words"),
    [
        ("fr.txt", rows(2), DataError, "is not a .jsonl, .json, .csv, .tsv or .parquet file."),
        ("fr.jsonl", [{**rows(1)[0], "label": "maybe"}], DataError, "row 0 has the label 'maybe', which is not one of"),
        ("fr.jsonl", [{**rows(1)[0], "label": 0}], DataError, "row 0 has the label '0', which is not one of"),
        ("fr.csv", [{"premis": "a", "hypothesis": "b", "label": "neutral"}], DataError, "has no column 'premise'"),
        ("fr.csv", [{"premis": "a", "hypothesis": "b", "label": "neutral"}], DataError, "Did you mean 'premis'?"),
        ("fr.jsonl", [], DataError, "('fr') is empty."),
    ],
)
def test_a_wrong_file_is_named_with_its_column(spec, folder, tmp_path, name, content, error, words):
    path = tmp_path / name
    if content:
        write(path, content)
    else:
        path.touch()
    with pytest.raises(error) as raised:
        load_train(spec, folder, languages=("fr",), files={"fr": path})
    assert str(path) in str(raised.value)
    assert words in str(raised.value)


def test_a_file_that_is_not_there_has_a_nearest_name(spec, folder, tmp_path):
    write(tmp_path / "mnli_fr.jsonl", rows(1))
    with pytest.raises(DataError, match=r"there is no file '.*mnli_rf.jsonl' \('fr'\). Did you mean 'mnli_fr.jsonl'"):
        load_train(spec, folder, languages=("fr",), files={"fr": tmp_path / "mnli_rf.jsonl"})


def test_a_folder_is_no_file(spec, folder, tmp_path):
    with pytest.raises(DataError, match=r"mnli: expected a file, found the folder '.*' \('fr'\)"):
        load_train(spec, folder, languages=("fr",), files={"fr": tmp_path})


def test_a_file_for_a_joined_set_has_the_columns_of_its_first_member(folder, tmp_path):
    anli = load_training("anli")
    own = write(tmp_path / "fr.jsonl", rows(6, "fr"))
    found = load_train(anli, folder, languages=("fr",), files={"fr": own})
    assert [(part.task, part.n, part.origin) for part in found.parts] == [("anli", 6, "own file")]
    wrong = write(tmp_path / "fr.csv", [{"premis": "a", "hypothesis": "b", "label": "neutral"}])
    with pytest.raises(DataError, match=r"anli: .*fr\.csv \('fr'\) has no column 'premise'"):
        load_train(anli, folder, languages=("fr",), files={"fr": wrong})


def joined_set(spec: TrainingSpec, folder: Path, **second: object) -> TrainingSpec:
    """Return a set that is made of two, whose specs are files of the user's own."""
    import yaml

    made = []
    for name, update in (("first", {}), ("second", second)):
        member = spec.model_copy(update={"name": name, **update}).model_dump(
            mode="json", by_alias=True, exclude_unset=True
        )
        path = folder / f"{name}.yaml"
        path.write_text(yaml.safe_dump({**member, "kind": "classification"}), encoding="utf-8")
        made.append(str(path))
    return spec.model_copy(update={"name": "both", "sources": [], "members": made})


def test_a_joined_set_is_drawn_from_as_one(spec, folder, tmp_path):
    both = joined_set(spec, tmp_path)
    assert [(part.task, part.n) for part in load_train(both, folder).parts] == [("first", 60), ("second", 60)]
    drawn = load_train(both, folder, n=100, seed=1)
    assert sum(part.n for part in drawn.parts) == 100 == len(list(drawn.examples))
    assert all(part.n > 0 for part in drawn.parts)


def test_the_development_data_of_a_joined_set_is_of_the_members_that_have_some(spec, folder, tmp_path):
    both = joined_set(spec, tmp_path, dev_split=None)
    found = load_dev(both, folder, limit=None)
    assert found is not None
    assert [(part.task, part.split, part.n) for part in found.parts] == [("first", "validation_matched", 30)]


def test_the_development_subsample_is_fixed_and_even(spec, folder):
    small, large = (load_dev(spec, folder, languages=("en", "de", "sw"), limit=limit) for limit in (9, 30))
    assert small is not None
    assert large is not None
    assert [part.n for part in small.parts] == [3, 3, 3]
    assert [part.n for part in large.parts] == [12, 12, 6]
    assert set(ids(small.examples)) < set(ids(large.examples))
    assert ids(small.examples) == ids(load_dev(spec, folder, languages=("en", "de", "sw"), limit=9).examples)
    assert len(load_dev(spec, folder, limit=500)) == 30


def test_a_language_that_only_the_users_file_has_brings_no_development_data(spec, folder, tmp_path):
    own = {"fr": write(tmp_path / "fr.jsonl", rows(9, "fr"))}
    assert len(load_train(spec, folder, languages=("fr", "de"), files=own)) == 39
    assert load_dev(spec, folder, languages=("fr",), limit=5) is None
    assert [part.language for part in load_dev(spec, folder, languages=("fr", "de"), limit=5).parts] == ["de"]
    both = load_dev(spec, folder, languages=("fr", "de"), files=own, limit=None)
    assert [(part.language, part.origin, part.split) for part in both.parts] == [
        ("fr", "own file", "dev"),
        ("de", "machine-translated", "validation_matched"),
    ]
    joined = joined_set(spec, tmp_path, languages={"en": TrainingLanguage()})
    assert load_dev(joined, folder, languages=("de",), limit=5) is None  # one of its members has no German
    with pytest.raises(UsageError, match="no source language is named"):
        load_dev(spec, folder, languages=(), limit=5)
    with pytest.raises(UsageError, match="a file is named for 'fr'"):
        load_dev(spec.model_copy(update={"dev_split": None}), folder, files=own, limit=5)


def test_there_may_be_no_development_data(spec, folder, tmp_path):
    without = spec.model_copy(update={"dev_split": None})
    assert load_dev(without, folder, limit=5) is None
    own = write(tmp_path / "dev.jsonl", rows(4))
    assert [part.split for part in load_dev(without, folder, files={"en": own}, limit=None).parts] == ["dev"]
    with pytest.raises(UsageError, match="eval_examples: found 0"):
        load_dev(spec, folder, limit=0)


sizes = st.integers(0, 300)


@given(total=sizes, some=sizes, more=sizes, key=st.text(max_size=5))
def test_a_smaller_draw_is_part_of_a_larger_one(total, some, more, key):
    few, many = draw(total, some, key), draw(total, some + more, key)
    assert list(few) == sorted(set(few))
    assert len(few) == min(some, total)
    assert set(few) <= set(many) <= set(range(total))


def test_a_draw_is_the_same_in_every_version():
    # Written down once; another result would draw other examples under the same key.
    assert draw(1000, 5, "mnli").tolist() == [171, 407, 426, 732, 856]


@given(st.lists(sizes, min_size=1, max_size=6), sizes, sizes)
def test_shares_are_even_and_grow_with_the_limit(of, limit, more):
    shares, larger = even_shares(of, limit), even_shares(of, limit + more)
    assert sum(shares) == min(limit, sum(of))
    assert all(share <= size for share, size in zip(shares, of, strict=True))
    # Who gets less than another has nothing left to give.
    most = max(shares)
    assert all(share >= most - 1 or share == size for share, size in zip(shares, of, strict=True))
    assert all(a <= b for a, b in zip(shares, larger, strict=True))


class Counted(list):
    """A list that counts what is read."""

    read = 0

    def __getitem__(self, index):
        found = super().__getitem__(index)
        self.read += len(found) if isinstance(index, slice) else 1
        return found


@given(st.lists(st.integers(0, 4999), max_size=300, unique=True).map(sorted), st.integers(-9, 9), st.integers(-9, 9))
def test_chosen_examples_are_those_at_the_places(places, start, stop):
    chosen = Subset(list(range(5000)), np.array(places, dtype=np.int64))
    assert list(chosen) == places
    assert len(chosen) == len(places)
    assert chosen[start:stop] == places[start:stop]
    assert chosen[::-1] == places[::-1]
    assert [chosen[i] for i in range(-len(places), len(places))] == places * 2


def test_what_was_not_drawn_is_hardly_read():
    everything = Counted(range(100_000))
    assert list(Subset(everything, draw(100_000, 500, "few")))
    assert everything.read == 500
    everything.read = 0
    assert list(Subset(everything, draw(100_000, 50_000, "many")))
    assert everything.read <= 100_000


@pytest.mark.parametrize("task", ["mnli", "squad_v2", "commonsenseqa", "paws", "anli"])
def test_real_data_is_drawn_from(mirror, task):
    spec = load_training(task)
    found = load_train(spec, mirror, n=40, seed=1)
    assert len(found) == len(list(found.examples)) == sum(part.n for part in found.parts) == 40
    assert [part.revision for part in found.parts] == [None] * len(found.parts)
    assert set(map(repr, load_train(spec, mirror, n=10, seed=1).examples)) < set(map(repr, found.examples))
    dev = load_dev(spec, mirror, limit=20)
    assert dev is not None
    assert len(dev) == 20
    few = load_train(spec, mirror, shots=2)
    assert len(few) == 2 * (len(spec.labels) if spec.kind == "classification" else 1)
