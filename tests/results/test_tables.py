"""Tables for people and spreadsheets, held against gold files (``pytest --renew-gold`` writes them anew)."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from helpers.scores import everything, score, specs, write_run
from xharness.checkpoints.checkpoint import Checkpoint
from xharness.cli.main import cli
from xharness.errors import DataError, NothingToDo, UsageError
from xharness.evaluation import plan
from xharness.evaluation.plan import make_plan
from xharness.results import runs
from xharness.results import score as results_score
from xharness.results import tables as results_tables
from xharness.results.aggregate import Results, aggregate
from xharness.results.score import Score
from xharness.tasks.selection import choose_languages, select

PROVENANCE = {"model_sha": "0123456789abcdef", "dtype": "bfloat16", "seed": 0, "split": "test"}


def some_results(benchmark: str | None = None) -> Results:
    bfloat16 = {"dtype": "bfloat16"}
    scores = [
        score("xnli", "en", 84.125, **bfloat16),
        score("xnli", "de", 76.5, **bfloat16),
        score("xnli", "sw", 1 / 3, dtype="float32", notes=("the model output had NaN or infinity in bfloat16",)),
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
    gold(f"report.{ending}", without_hashes(results_tables.tables([("org__tiny", some_results())], form)) + "\n")


def test_the_table_of_a_benchmark(gold):
    text = results_tables.tables([("org__tiny", some_results("xtreme")), ("org__other", some_results("xtreme-r"))])
    assert "scored of xtreme " in text
    assert "partial" in next(line for line in text.splitlines() if line.startswith("scored of xtreme "))
    gold("report-benchmark.txt", without_hashes(text) + "\n")


def test_csv_has_the_numbers_in_full():
    rows = list(csv.DictReader(io.StringIO(results_tables.tables([("org__tiny", some_results())], "csv"))))
    cells = {(r["task"], r["language"], r["metric"]): r for r in rows}
    assert float(cells["xnli", "sw", "accuracy"]["value"]) == 1 / 3
    assert cells["xnli", "sw", "accuracy"]["dtype"] == "float32"
    assert cells["tatoeba", "ka", "accuracy"]["data_status"] == "sample"
    assert cells["mlqa", "hi", "score"]["value"] == "50.0"
    assert cells["xnli", "mean", "score"]["data_status"] == "partial"
    assert {r["run"] for r in rows} == {"org__tiny"}


def test_no_partial_number_is_shown_without_saying_so():
    text = results_tables.tables([("org__tiny", some_results("xtreme"))])
    for line in text.splitlines():
        if line.startswith(("mean", "score", "gap", "all of", "question answering", "retrieval", "classification")):
            assert "partial" in line, line
    complete = aggregate([score("xnli", c) for c in specs("xnli")["xnli"].languages], specs("xnli"))
    assert "partial: " not in results_tables.tables([("org__tiny", complete)])


@pytest.mark.parametrize("first", ["float32", "bfloat16"])
def test_of_two_types_that_are_equally_frequent_the_first_is_not_marked(first):
    second = {"float32": "bfloat16", "bfloat16": "float32"}[first]
    found = aggregate([score("xnli", "de", dtype=first), score("xnli", "en", dtype=second)], specs("xnli"))
    lines = results_tables.tables([("org__tiny", found)]).splitlines()
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
    gold("plan.txt", plan.plan_table(steps) + "\n")


def test_how_retrieval_was_done_is_said_below_the_table():
    encoding = {"layer": 14, "layers": 24, "pooling": "mean", "special_tokens": True, "center": "none"}
    encoding |= {"whiten": False, "max_length": 512, "prefix": "", "vectors": "float16"}
    facts: dict[str, Any] = {"layer": 14, "pooling": "mean", "encoding": encoding}
    mined = {"candidates": {"n": 399, "expected_n": None, "hash": "a"}, **facts}
    told = {"layer_from": "tatoeba-dev", "layer_languages": "ca cs"}
    scores = [
        score("tatoeba", "de", **facts),
        score("tatoeba", "ru", **{**facts, "encoding": {**encoding, "special_tokens": False, "center": "language"}}),
        score(
            "bucc2018",
            "de",
            selection={**told, "threshold": 1.0625, "threshold_from": "de dev", "dev_f1": 88.12},
            **mined,
        ),
        score(
            "bucc2018", "fr", selection={**told, "threshold": 1.05, "threshold_from": "fr dev", "dev_f1": 80.0}, **mined
        ),
        score("lareqa", "de", candidates={"n": 11718, "expected_n": 13014, "hash": "a"}, pooling="cls", layer=24),
        score("mewslix", "de", pooling="pooler", encoding={"layers": 24, "pooling": "pooler", "center": "none"}),
    ]
    text = results_tables.tables([("org__tiny", aggregate(scores, specs("tatoeba", "bucc2018", "lareqa", "mewslix")))])
    plain = "layer 14 of 24, mean pooling with special tokens, not centered, at most 512 tokens"
    for line in (
        f"tatoeba: {plain}, vectors kept in float16: de.",
        "tatoeba: layer 14 of 24, mean pooling without special tokens, centered by language, at most 512 tokens, "
        "vectors kept in float16: ru.",
        "bucc2018: thresholds from dev, in brackets the F1 there: de 1.062 (88.1), fr 1.05 (80.0).",
        "bucc2018: layer chosen on tatoeba-dev (ca cs).",
        "bucc2018: searched among 399 candidates.",
        "lareqa: layer 24, cls pooling: de.",
        "mewslix: the pooler's output, not centered: de.",
        "lareqa: searched among 11,718 candidates: de.",
    ):
        assert line in text.splitlines()
    assert "only 11,718 of 13,014 candidates" in text
    assert "lareqa: mean over all questions, not over languages" in text


def test_a_threshold_that_was_tuned_on_what_is_scored_is_called_so():
    mined = score(
        "bucc2018", "de", split="dev", selection={"threshold": 1.1, "threshold_from": "de dev", "dev_f1": 90.0}
    )
    text = results_tables.tables([("org__tiny", aggregate([mined], specs("bucc2018")))])
    assert "bucc2018: thresholds tuned on the dev data that is scored: de 1.1." in text.splitlines()


# --- Runs on disk ---------------------------------------------------------------------------------------------------


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return write_run(tmp_path, [score("xnli", language) for language in ("de", "en")])


@pytest.fixture
def runs_of_a_benchmark(tmp_path: Path) -> list[Path]:
    """Return a RUN per target of XTREME-R, as checkpoints that were tuned from one encoder leave them."""
    by_task: dict[str, list[Score]] = {}
    for each in everything("xtreme-r"):
        by_task.setdefault(each.task, []).append(each)
    return [write_run(tmp_path / task, scores, f"org/tiny-{task}") for task, scores in by_task.items()]


def test_joined_runs_have_an_overall(runs_of_a_benchmark):
    found = runs.join(runs_of_a_benchmark, "xtreme-r")
    whole = aggregate(everything("xtreme-r"), specs(), benchmark="xtreme-r")
    assert found.overall == whole.overall is not None
    assert found.tasks["xnli"].mean == whole.tasks["xnli"].mean
    text = results_tables.tables([("joined", found)])
    assert "all of xtreme-r" in text
    assert "partial" not in text
    assert "xnli: from org/tiny-xnli @000000000000 (seed 0), " in text
    assert [each["targets"] for each in found.to_json()["runs"]] == [[path.name] for path in runs_of_a_benchmark]


def test_joined_runs_that_lack_one_language_have_no_overall(runs_of_a_benchmark):
    [path] = [path for path in runs_of_a_benchmark if path.name == "udpos"]
    (path / "results" / "udpos" / "wo.json").unlink()
    found = runs.join(runs_of_a_benchmark, "xtreme-r")
    assert found.overall is None
    assert found.tasks["udpos"].why == "no score for wo"
    line = next(x for x in results_tables.tables([("joined", found)]).splitlines() if x.startswith("scored of"))
    assert "partial" in line


def test_two_runs_with_the_same_target_and_language_are_not_joined(tmp_path):
    one, two = (write_run(tmp_path / name, [score("xnli", "de"), score("xnli", name)]) for name in ("en", "fr"))
    with pytest.raises(UsageError, match="Two runs have a score of xnli in de") as caught:
        runs.join([one, two])
    assert str(one) in str(caught.value)
    assert str(two) in str(caught.value)


def test_load_run(run):
    found = runs.load_run(run)
    assert found.tasks["xnli"].mean == {"accuracy": 50.0, "score": 50.0}
    assert found.provenance["model"] == "org/tiny"
    assert runs.load_run(run, "xtreme").average is not None


@pytest.mark.parametrize("part", ["run.json", "results"])
def test_a_folder_that_is_no_run(part, run):
    (run / part).rename(run / "elsewhere")
    with pytest.raises(NothingToDo, match="is not a run folder with results"):
        runs.load_run(run)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"spec_hash": "0" * 12}, "made with another version of the task's spec .* Run eval again"),
        ({"schema_version": 99}, "schema_version is 99, this version reads 1"),
        ({"scores": None}, None),
        ({"n": ...}, "not a result file of xharness: it has no field 'n'"),
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
        runs.load_run(run)


def test_unknown_fields_of_a_later_version_are_ignored(run):
    path = run / "results" / "xnli" / "de.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "carbon": 3}))
    assert runs.load_run(run).tasks["xnli"].languages["de"] == score("xnli", "de")


@pytest.mark.parametrize("change", [{"scores": []}, {"scores": {"f1": "80"}}, {"n": "5"}, {"settings": None}])
def test_an_edited_result_file_is_named(change, tmp_path):
    whole = asdict(some_results("xtreme").tasks["xnli"].languages["en"])
    path = tmp_path / "en.json"
    path.write_text(json.dumps({**whole, **change}))
    with pytest.raises(DataError, match=r"en\.json: not a result file of xharness"):
        results_score.load(path)


def test_a_run_without_results_is_left_out_of_a_report(run, tmp_path):
    empty = tmp_path / "begun" / "seed0"
    empty.mkdir(parents=True)
    (empty / "run.json").write_text((run / "run.json").read_text())
    found = CliRunner().invoke(cli, ["report", str(run), str(empty)])
    assert found.exit_code == 0
    assert found.stderr.strip() == f"{empty} is left out: it has no results yet."
    assert found.stdout == CliRunner().invoke(cli, ["report", str(run)]).stdout
    assert CliRunner().invoke(cli, ["report", str(empty)]).exit_code != 0
