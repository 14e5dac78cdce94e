"""Tables for people and spreadsheets, held against gold files (``pytest --renew-gold`` writes them anew)."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from test_averages import score, specs
from xharness import report, results
from xharness.averages import Results, aggregate
from xharness.checkpoint import Checkpoint
from xharness.errors import DataError, NothingToDo
from xharness.plan import choose_languages, make_plan, select

PROVENANCE = {"model_sha": "0123456789abcdef", "dtype": "bfloat16", "seed": 0, "split": "test"}


def some_results(benchmark: str | None = None) -> Results:
    bfloat16 = {"dtype": "bfloat16"}
    scores = [
        score("xnli", "en", 84.125, **bfloat16),
        score("xnli", "de", 76.5, **bfloat16),
        score("xnli", "sw", 1 / 3, dtype="float32", notes=("the model put out NaN or infinity in bfloat16",)),
        score("mlqa", "en", 66.0, **bfloat16, counts={"missing": 2}),
        score("mlqa", "hi", 45.0, **bfloat16, counts={"missing": 1234, "realigned": 5}),
        score("tatoeba", "de", 88.8, **bfloat16, layer=8, pooling="mean", counts={"ties": 3}),
        score("tatoeba", "ka", 50.0, **bfloat16, layer=8, pooling="mean", data_status="sample", n=100),
    ]
    return aggregate(scores, specs("xnli", "mlqa", "tatoeba"), benchmark=benchmark, provenance=PROVENANCE)


def without_hashes(text: str) -> str:
    # A spec's hash changes with any edit of its YAML, which is no change of the table.
    for task, spec in specs().items():
        text = text.replace(spec.hash, f"<hash of {task}>")
    return text


@pytest.mark.parametrize(("form", "ending"), [("text", "txt"), ("markdown", "md"), ("csv", "csv"), ("latex", "tex")])
def test_tables(form, ending, gold):
    gold(f"report.{ending}", without_hashes(report.tables([("org__tiny", some_results())], form)) + "\n")


def test_the_table_of_a_benchmark(gold):
    text = report.tables([("org__tiny", some_results("xtreme")), ("org__other", some_results("xtreme-r"))])
    assert "what is there of xtreme " in text
    assert "partial" in next(line for line in text.splitlines() if line.startswith("what is there of xtreme "))
    gold("report-benchmark.txt", without_hashes(text) + "\n")


def test_csv_has_the_numbers_in_full():
    rows = list(csv.DictReader(io.StringIO(report.tables([("org__tiny", some_results())], "csv"))))
    cells = {(r["task"], r["language"], r["metric"]): r for r in rows}
    assert float(cells["xnli", "sw", "accuracy"]["value"]) == 1 / 3
    assert cells["xnli", "sw", "accuracy"]["dtype"] == "float32"
    assert cells["tatoeba", "ka", "accuracy"]["data_status"] == "sample"
    assert cells["mlqa", "hi", "score"]["value"] == "50.0"
    assert cells["xnli", "mean", "score"]["data_status"] == "partial"
    assert {r["run"] for r in rows} == {"org__tiny"}


def test_no_partial_number_is_shown_without_saying_so():
    text = report.tables([("org__tiny", some_results("xtreme"))])
    for line in text.splitlines():
        if line.startswith(("mean", "score", "gap", "all of", "question answering", "retrieval", "classification")):
            assert "partial" in line, line
    complete = aggregate([score("xnli", c) for c in specs("xnli")["xnli"].languages], specs("xnli"))
    assert "partial: " not in report.tables([("org__tiny", complete)])


@pytest.mark.parametrize("first", ["float32", "bfloat16"])
def test_of_two_types_that_are_equally_frequent_the_first_is_not_marked(first):
    second = {"float32": "bfloat16", "bfloat16": "float32"}[first]
    found = aggregate([score("xnli", "de", dtype=first), score("xnli", "en", dtype=second)], specs("xnli"))
    lines = report.tables([("org__tiny", found)]).splitlines()
    marked = {line.split()[0]: "†" in line for line in lines if line.startswith(("de ", "en "))}
    # In the order of the spec, de stands before en.
    assert marked == {"de": False, "en": True}


def test_the_plan(gold):
    selection = select(["xtreme"])
    labels = ("entailment", "neutral", "contradiction")
    checkpoint = Checkpoint(
        "org/tiny", None, "0" * 40, None, None, "bert", ("BertForSequenceClassification",), labels, 12, ()
    )
    wanted = choose_languages(selection, None)
    unavailable = {("xnli", code): f"xnli: '{code}' is not in /data" for code in ("sw", "ur")}
    steps = make_plan(selection, checkpoint, wanted, unavailable)
    gold("plan.txt", report.plan_table(steps) + "\n")


# --- Runs on disk ---------------------------------------------------------------------------------------------------


@pytest.fixture
def run(tmp_path: Path) -> Path:
    record = {"schema_version": 1, "model": "org/tiny", "model_sha": "0" * 40, "model_hash": None, "seed": 0}
    record |= {"settings": {"dtype": "float32", "split": "test"}, "targets": {}}
    (tmp_path / "run.json").write_text(json.dumps(record))
    for language in ("de", "en"):
        results.save(score("xnli", language), tmp_path / "results" / "xnli" / f"{language}.json")
    return tmp_path


def test_load_run(run):
    found = report.load_run(run)
    assert found.tasks["xnli"].mean == {"accuracy": 50.0, "score": 50.0}
    assert found.provenance["model"] == "org/tiny"
    assert report.load_run(run, "xtreme").average is not None


@pytest.mark.parametrize("part", ["run.json", "results"])
def test_a_folder_that_is_no_run(part, run):
    (run / part).rename(run / "elsewhere")
    with pytest.raises(NothingToDo, match="is no RUN with results"):
        report.load_run(run)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"spec_hash": "0" * 12}, "made by another version of the task's spec .* Run eval again"),
        ({"schema_version": 99}, "schema_version is 99, this version reads 1"),
        ({"scores": None}, None),
        ({"n": ...}, "not a result file of xharness .*'n'"),
    ],
)
def test_a_result_that_does_not_fit(change: dict[str, Any], words, run):
    path = run / "results" / "xnli" / "de.json"
    content = {**json.loads(path.read_text()), **change}
    path.write_text(json.dumps({k: v for k, v in content.items() if v is not ...}))
    if words is None:
        path.write_text(path.read_text()[:-30])
        words = "not a result file of xharness"
    with pytest.raises(DataError, match=words):
        report.load_run(run)


def test_unknown_fields_of_a_later_version_are_ignored(run):
    path = run / "results" / "xnli" / "de.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "carbon": 3}))
    assert report.load_run(run).tasks["xnli"].languages["de"] == score("xnli", "de")


@pytest.mark.parametrize("change", [{"scores": []}, {"scores": {"f1": "80"}}, {"n": "5"}, {"settings": None}])
def test_an_edited_result_file_is_named(change, tmp_path):
    whole = asdict(some_results("xtreme").tasks["xnli"].languages["en"])
    path = tmp_path / "en.json"
    path.write_text(json.dumps({**whole, **change}))
    with pytest.raises(DataError, match=r"en\.json: not a result file of xharness"):
        results.load(path)
