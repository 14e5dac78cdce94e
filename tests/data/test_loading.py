"""From specs to examples: the source that is there, what is missing, and what is complete."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from helpers.data_folder import DEV_ROWS, fixture_rows, fixture_tasks
from helpers.toy_task import CANONICAL, PAIRS, Row, put
from xharness.data import loading as data_loading
from xharness.data import sources
from xharness.data.examples import Bitext, Pair, Question, Tagged, data_hash
from xharness.errors import DataError, OutputError
from xharness.tasks.registry import load_task

# --- The shipped specs read the Hub's layout ------------------------------------------------------------------------


@pytest.mark.parametrize("task", fixture_tasks())
def test_the_shipped_specs_read_the_hub_layout(task, data_folder):
    spec = load_task(task)
    for language in fixture_tasks()[task]:
        loaded = data_loading.load(spec, language, "test", data_folder)
        rows = fixture_rows(task, language)
        for example, row in zip(loaded.examples, rows, strict=True):
            match example:
                case Pair():
                    assert (example.text_a, example.text_b, example.label) == tuple(row.values())
                case Tagged():
                    assert (example.tokens, example.tags) == (tuple(row["tokens"]), tuple(row["tags"]))
                case Question():
                    places = [(a["text"], a["start"]) for a in row["answers"]]
                    assert list(zip(example.answers, example.starts, strict=True)) == places
                case Bitext():
                    assert (example.text, example.english) == (row["text"], row["english"])
        assert loaded.status == "sample"
        assert loaded.revision is None
        assert not any(loaded.counts.values())
        assert data_loading.available(spec, language, "test", data_folder) is None
        if spec.split_name("dev"):
            dev = data_loading.load(spec, language, "dev", data_folder)
            assert list(dev.examples) == loaded.examples[:DEV_ROWS]


def test_examples_are_a_sequence(data_folder):
    examples = data_loading.load(load_task("xnli"), "en", "test", data_folder).examples
    whole = list(examples)
    assert [examples[i] for i in range(len(examples))] == whole
    assert examples[-1] == whole[-1]
    assert examples[1:4] == whole[1:4]
    assert examples[::2] == whole[::2]
    with pytest.raises(IndexError):
        examples[len(whole)]


# --- Which source ---------------------------------------------------------------------------------------------------


def test_the_first_source_that_is_there_is_used(toy, folder):
    spec = toy("classification")
    other = [{**row, "premise": "second"} for row in PAIRS]
    put(folder, other, "org/second", "toy.en")
    assert data_loading.load(spec, "en", "test", folder).source == "org/second"
    put(folder, PAIRS)
    loaded = data_loading.load(spec, "en", "test", folder)
    assert (loaded.source, loaded.examples[0].text_a) == ("org/first", "a")


def test_a_damaged_source_is_an_error_and_not_passed_over(toy, folder):
    spec = toy("classification")
    put(folder, PAIRS, "org/second", "toy.en")
    put(folder, PAIRS)
    next((folder / "org/first/en").glob("*.parquet")).write_bytes(b"PAR1 this is no parquet")
    with pytest.raises(DataError, match=r"org/first \(en, test\) cannot be read"):
        data_loading.load(spec, "en", "test", folder)


def test_online_only_the_first_source_counts(toy, monkeypatch):
    asked_for = []

    def resolve(repo: str, *rest: Any) -> str:
        asked_for.append(repo)
        raise DataError("the Hub cannot be reached")

    monkeypatch.setattr(sources.hub_read, "resolve", resolve)
    with pytest.raises(DataError, match="cannot be reached"):
        data_loading.load(toy("classification"), "en", "test", None)
    assert asked_for == ["org/first"]


def squad_file(path: Path, rows: list[Row]) -> None:
    qas = [
        {
            "context": row["context"],
            "qas": [
                {
                    "id": row["id"],
                    "question": row["question"],
                    "answers": [{"text": a["text"], "answer_start": a["start"]} for a in row["answers"]],
                }
            ],
        }
        for row in rows
    ]
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({"data": [{"paragraphs": qas}]}), encoding="utf-8")


@pytest.mark.parametrize("beside", [True, False])
def test_a_raw_file_has_the_same_hash_as_the_hubs_copy(beside, folder, data_folder):
    spec = load_task("xquad")
    rows = fixture_rows("xquad", "hi")
    squad_file((folder.parent if beside else folder) / "raw/deepmind/xquad/xquad.hi.json", rows)
    raw = data_loading.load(spec, "hi", "test", folder)
    assert raw.source == "raw/deepmind/xquad/xquad.<lang>.json"
    hub_copy = data_loading.load(spec, "hi", "test", data_folder)
    assert hub_copy.source == "google/xquad"
    assert raw.hash == hub_copy.hash


def test_raw_tatoeba_has_the_same_hash(folder, data_folder):
    rows = fixture_rows("tatoeba", "ru")
    stem = folder / "raw/LASER/tatoeba/v1/tatoeba.rus-eng"
    stem.parent.mkdir(parents=True)
    stem.with_name("tatoeba.rus-eng.rus").write_text("\n".join(r["text"] for r in rows) + "\n", encoding="utf-8")
    stem.with_name("tatoeba.rus-eng.eng").write_text("\n".join(r["english"] for r in rows), encoding="utf-8")
    spec = load_task("tatoeba")
    assert data_loading.load(spec, "ru", "test", folder).hash == data_loading.load(spec, "ru", "test", data_folder).hash


def test_the_hash_follows_content_and_order():
    variants = [
        CANONICAL,
        CANONICAL[:2],
        CANONICAL[::-1],
        [Pair("0", "a", "b", "no"), *CANONICAL[1:]],
        [Pair("0", "a ", "b", "yes"), *CANONICAL[1:]],
        [Bitext("0", "a", "b")],
        [Tagged("0", ("a b",), ("O",))],
        [Tagged("0", ("a", "b"), ("O", "O"))],
    ]
    assert len({data_hash(examples) for examples in variants}) == len(variants)


def test_new_files_in_a_folder_are_seen(toy, folder):
    spec = toy("classification")
    put(folder, PAIRS)
    before = data_loading.load(spec, "en", "test", folder)
    put(folder, PAIRS[:2])
    after = data_loading.load(spec, "en", "test", folder)
    assert (len(before.examples), len(after.examples)) == (3, 2)
    assert before.hash != after.hash


# --- Why data cannot be read ----------------------------------------------------------------------------------------


def test_columns_that_differ_between_files_are_named(toy, folder):
    import datasets

    put(folder, PAIRS)
    datasets.Dataset.from_list([{"premise": "a", "gold": "b"}]).to_parquet(folder / "org/first/en/test-1.parquet")
    with pytest.raises(DataError, match="differ in 'gold', 'hypothesis', 'label'") as caught:
        data_loading.load(toy("classification"), "en", "test", folder)
    assert "org/first/en/test-1.parquet" in str(caught.value)
    assert "without network" not in str(caught.value)


@pytest.mark.parametrize(
    ("inner", "hidden"),
    [(OSError(28, "No space"), True), (OSError(30, "Read-only"), True), (OSError("Not enough disk space."), False)],
)
def test_a_full_disk_is_seen_behind_other_errors(inner, hidden, toy, folder, monkeypatch):
    import datasets

    def load_dataset(*args: Any, **options: Any) -> None:
        if hidden:
            raise datasets.exceptions.DatasetGenerationError("An error occurred") from inner
        raise inner

    put(folder, PAIRS)
    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    with pytest.raises(OutputError, match="HF_HOME"):
        data_loading.load(toy("classification"), "en", "test", folder)


# --- What is missing ------------------------------------------------------------------------------------------------


def test_missing_data_says_which_file_and_how_to_fetch_it(toy, folder):
    spec = toy("classification")
    put(folder, PAIRS)
    reason = data_loading.available(spec, "de", "test", folder)
    assert reason == (
        f"toy: 'de' is not in {folder}: looked for org/first/de (test), org/second/toy.de (test). "
        f"Fetch it: xharness fetch --targets toy --languages de --to {folder}"
    )
    with pytest.raises(DataError) as caught:
        data_loading.load(spec, "de", "test", folder)
    assert str(caught.value) == reason


def test_a_folder_that_is_not_there(toy, tmp_path):
    with pytest.raises(DataError, match=r"There is no data folder '.*nowhere'"):
        data_loading.load(toy("classification"), "en", "test", tmp_path / "nowhere")


def test_a_split_that_the_task_does_not_have(toy, folder):
    with pytest.raises(DataError, match=r"toy has no dev split\."):
        data_loading.load(toy("classification"), "en", "dev", folder)


def test_what_has_to_be_fetched_says_how(data_folder):
    spec = load_task("udpos")
    reason = data_loading.available(spec, "en", "test", data_folder)
    assert reason is not None
    assert "looked for raw/ud-treebanks-v2.5/*/en_*-ud-test.conllu" in reason
    assert "xharness fetch --targets udpos --languages en" in reason
    with pytest.raises(DataError, match=r"not have it in the required form\. Fetch it: xharness fetch --targets udpos"):
        data_loading.load(spec, "en", "test", None)


# --- Completeness ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "status"),
    [
        ("complete", "complete"),
        ("Complete (counted)", "complete"),
        ("sample: the first 100 rows", "sample"),
        ("STAND-IN: other rows", "stand-in"),
        ("unknown", "unknown"),
        ("who knows", "sample"),  # what is not said to be complete is not
    ],
)
@pytest.mark.parametrize("beside", [True, False])
def test_the_status_is_that_of_the_manifest(written, status, beside, toy, folder):
    put(folder, PAIRS)
    path = (folder.parent if beside else folder) / "MANIFEST.tsv"
    path.write_text(f"hub_id\tconfig\tsplit\trows\tstatus\norg/first\ten\ttest\t3\t{written}\n", encoding="utf-8")
    assert data_loading.load(toy("classification"), "en", "test", folder).status == status


def test_without_a_line_in_the_manifest_nothing_is_known(toy, folder):
    put(folder, PAIRS)
    (folder / "MANIFEST.tsv").write_text("hub_id\tconfig\tsplit\tstatus\norg/other\ten\ttest\tcomplete\n")
    loaded = data_loading.load(toy("classification"), "en", "test", folder)
    assert (loaded.status, loaded.expected_n) == ("unknown", 3)


def test_a_manifest_that_was_written_anew_is_read_anew(toy, folder):
    put(folder, PAIRS)
    for status in ("sample", "complete"):
        (folder / "MANIFEST.tsv").write_text(f"hub_id\tconfig\tsplit\tstatus\norg/first\ten\ttest\t{status}\n")
        assert data_loading.load(toy("classification"), "en", "test", folder).status == status


def test_a_manifest_with_missing_columns_is_named(toy, folder):
    put(folder, PAIRS)
    (folder / "MANIFEST.tsv").write_text("hub_id\tconfig\norg/first\ten\n")
    with pytest.raises(DataError, match=r"MANIFEST\.tsv: every line needs hub_id, config, split and status"):
        data_loading.load(toy("classification"), "en", "test", folder)


@pytest.mark.parametrize("task", ["xnli", "pawsx", "panx", "xquad", "mlqa", "tatoeba", "udpos-hub"])
def test_the_mirror_is_read(task, mirror):
    spec = load_task(task)
    there = [code for code in spec.languages if data_loading.available(spec, code, "test", mirror) is None]
    for language in there[:2]:
        loaded = data_loading.load(spec, language, "test", mirror)
        assert loaded.status != "unknown"
        if loaded.status == "complete" and loaded.expected_n is not None:
            assert len(loaded.examples) == loaded.expected_n
        assert loaded.counts.get("unaligned", 0) == 0
    assert there or task == "mlqa"  # the mirror has only dev rows of MLQA


def test_files_that_changed_since_they_were_written_down_are_not_called_complete(folder):
    path = folder / "raw/ud-treebanks-v2.5/UD_Toy-X/de_x-ud-test.conllu"
    path.parent.mkdir(parents=True)
    sentence = "1\tJa\t_\tINTJ\t_\t_\t0\troot\t_\t_\n\n"
    path.write_text(sentence * 3, encoding="utf-8")
    head = "hub_id\tconfig\tsplit\trows\tstatus\tsource\tlicence\n"
    (folder / "MANIFEST.tsv").write_text(f"{head}raw/ud-treebanks-v2.5\tde\ttest\t3\tcomplete\there\tnone\n")
    assert data_loading.load(load_task("udpos"), "de", "test", folder).status == "complete"
    path.write_text(sentence * 2, encoding="utf-8")
    assert data_loading.load(load_task("udpos"), "de", "test", folder).status == "unknown"


LATIN = b'{"premise": "p\xe9", "question": "cause", "choice1": "a", "choice2": "b", "label": 0, "idx": 1}\n'


@pytest.mark.parametrize(("content", "words"), [(b"", "cannot be read"), (LATIN, "is not UTF-8")])
def test_an_empty_or_wrongly_encoded_file_is_named(content, words, folder):
    path = folder / "cambridgeltl/xcopa/it/test.jsonl"
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    with pytest.raises(DataError, match=words):
        data_loading.load(load_task("xcopa"), "it", "test", folder)


def test_a_choice_whose_column_is_missing(folder):
    path = folder / "cambridgeltl/xcopa/it/test.jsonl"
    path.parent.mkdir(parents=True)
    row = {"premise": "p", "question": "cause", "choice1": "a", "chioce2": "b", "label": 0, "idx": 1}
    path.write_text(json.dumps(row) + "\n")
    with pytest.raises(DataError, match=r"has no column 'choice2' \(the spec's fields\.choice2\)"):
        data_loading.load(load_task("xcopa"), "it", "test", folder)
