"""RUNs in the forms of others: the official submission folder, and lm-evaluation-harness' results file."""

from __future__ import annotations

import json
import math
import shutil
import statistics
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from helpers.data_folder import write_dataset
from helpers.runs import gold_predictions
from helpers.scores import score, write_run
from xharness.errors import NothingToDo, OutputError, PredictionError, UsageError
from xharness.metrics.retrieval import Ranking
from xharness.results import export_lm_eval, export_xtreme, predictions, runs
from xharness.results import score as results_score
from xharness.results.predictions import FORMATS
from xharness.results.runs import read_run
from xharness.results.scoring import score as score_folder
from xharness.tasks.registry import load_task

TASKS = ["xnli", "pawsx", "panx", "xquad", "mlqa", "tydiqa", "tatoeba"]


@pytest.fixture
def run(tmp_path, data_folder, monkeypatch) -> Any:
    """Return what makes a RUN with predictions, all right but for one, and their scores."""
    monkeypatch.setenv("XHARNESS_DATA_DIR", str(data_folder))

    def make(name: str, tasks: list[str], **changes: Any) -> Path:
        folder = tmp_path / name
        gold_predictions(folder / "predictions", tasks)
        if "xnli" in tasks:
            path = folder / "predictions" / "xnli" / "test-de.tsv"
            path.write_text(path.read_text().replace("neutral", "entailment", 1))
        found = score_folder(folder / "predictions", data_dir=data_folder)
        facts = {"model": f"org/{name}", "model_sha": "0" * 40, "seed": 0, "dtype": "float32", **changes}
        scores = [replace(s, **facts) for t in found.tasks.values() for s in t.languages.values()]
        return write_run(folder, scores, f"org/{name}")

    return make


# The submission


def test_a_submission_scores_as_the_runs_do(run, runner, tmp_path, data_folder):
    folders = [run("one", TASKS[:3]), run("two", TASKS[3:])]
    to = tmp_path / "submission"
    done = runner("export", "xtreme", *folders, "--to", to)
    assert done.exit_code == 8
    assert "Error: " + str(to) + " is not a complete submission to xtreme:" in done.err
    assert "  bucc2018: no predictions for de fr ru zh." in done.err
    assert "  xnli: not predicted on the complete test data in de en ru." in done.err
    assert {str(p) for p in to.glob("*/*")} == set(done.out.splitlines())
    for folder in folders:
        for path in (folder / "predictions").glob("*/*"):
            assert (to / path.relative_to(folder / "predictions")).read_bytes() == path.read_bytes()
    scored = json.loads(runner("score", to, "--targets", "xtreme", "--json").out)["tasks"]
    own = runs.join(folders, "xtreme").tasks
    assert set(scored) == set(own) == set(TASKS)
    for task, result in own.items():
        assert scored[task]["mean"] == result.mean
    assert scored["xnli"]["languages"]["de"]["accuracy"] < 100


def test_the_files_have_the_official_names():
    # As the README of google-research/xtreme names them; LAReQA has no official file.
    official = {"json": {"xquad", "mlqa", "tydiqa", "mewslix", "lareqa"}, "jsonl": {"xcopa"}}
    official["tsv"] = {"xnli", "pawsx", "udpos", "panx", "tatoeba", "bucc2018"}
    for ending, tasks in official.items():
        assert {FORMATS[load_task(task).kind].extension for task in tasks} == {ending}
    assert load_task("lareqa").extension


def small_retrieval_data(root: Path) -> None:
    """Write a BUCC, two languages of LAReQA and one of XCOPA, as they are published."""
    corpus = root / "raw" / "bucc2018" / "de-en"
    corpus.mkdir(parents=True)
    for ending, text in [
        ("de", "de-1\tEins.\nde-2\tZwei.\n"),
        ("en", "en-1\tOne.\nen-2\tTwo.\n"),
        ("gold", "de-1\ten-1\n"),
    ]:
        (corpus / f"de-en.training.{ending}").write_text(text)
    folder = root / "raw" / "google-research-datasets" / "lareqa" / "xquad-r"
    folder.mkdir(parents=True)
    asked = [{"id": "q1", "question": "Wo?", "answers": [{"text": "Da", "answer_start": 0}]}]
    paragraph = {"context": "Da. Dort.", "sentence_breaks": [[0, 3], [4, 9]], "qas": asked}
    for code in ("ar", "de"):
        (folder / f"{code}.json").write_text(json.dumps({"data": [{"paragraphs": [paragraph]}]}))
    choice = {"premise": "p", "choice1": "a", "choice2": "b", "question": "cause", "idx": 0}
    rows = [{**choice, "label": label, "idx": label} for label in (0, 1)]
    write_dataset(root / "cambridgeltl" / "xcopa", {"et": {"test": rows}})


def test_predictions_of_every_form_come_back_with_the_same_scores(tmp_path):
    data = tmp_path / "data"
    small_retrieval_data(data)
    made = {
        ("bucc2018", "de"): [("de-1", "en-1"), ("de-2", "en-2")],
        ("lareqa", "ar"): {"q1": Ranking(("de_1_1", "ar_1_0", "de_1_0"), (2, 3))},
        ("xcopa", "et"): ["0", "0"],
    }
    folder = tmp_path / "run"
    for (task, language), predicted in made.items():
        kind = load_task(task).kind
        predictions.write(predictions.path(folder / "predictions", task, kind, language, "test"), kind, predicted)
    found = score_folder(folder / "predictions", data_dir=data)
    write_run(folder, [s for t in found.tasks.values() for s in t.languages.values()])
    assert export_xtreme.submission([folder], tmp_path / "to").benchmark == "xtreme-r"
    again = score_folder(tmp_path / "to", data_dir=data)
    assert {t: r.mean["score"] for t, r in again.tasks.items()} == {t: r.mean["score"] for t, r in found.tasks.items()}
    assert again.tasks["bucc2018"].mean["score"] == pytest.approx(200 / 3)
    assert again.tasks["lareqa"].mean["score"] == pytest.approx(100 * (1 / 2 + 2 / 3) / 2)
    assert again.tasks["xcopa"].mean["score"] == 50.0
    assert "only 4 of 13,014 candidates" in again.tasks["lareqa"].why


def test_what_each_file_was_made_from_is_kept_over_several_calls(run, tmp_path):
    to = tmp_path / "submission"
    export_xtreme.submission([run("one", ["xnli"])], to)
    made = export_xtreme.submission([run("two", ["pawsx"])], to, "xtreme")
    told = json.loads((to / "metadata.json").read_text())
    assert set(told) == {"made_by", "extensions", "files"}
    assert told["files"]["xnli/test-de.tsv"]["model"] == "org/one"
    assert told["files"]["pawsx/test-de.tsv"]["model"] == "org/two"
    # What the first call wrote is not missing.
    assert "xnli: no predictions for ar bg el es fr hi sw th tr ur vi zh." in made.missing


def test_lareqa_is_called_an_extension(tmp_path):
    folder = tmp_path / "run"
    path = folder / "predictions" / "lareqa" / "test-de.json"
    path.parent.mkdir(parents=True)
    path.write_text("{}")
    made = write_run(folder, [score("lareqa", "de", predictions_sha256=export_xtreme.files.sha256(path))])
    assert export_xtreme.submission([made], tmp_path / "to").benchmark == "xtreme-r"
    told = json.loads((tmp_path / "to" / "metadata.json").read_text())
    assert told["extensions"] == {"lareqa": load_task("lareqa").extension}


def test_no_other_file_is_written_over(run, tmp_path):
    to, folder = tmp_path / "submission", run("one", ["xnli", "pawsx"])
    path = to / "xnli" / "test-de.tsv"
    path.parent.mkdir(parents=True)
    path.write_text("another\n")
    with pytest.raises(OutputError, match="another file of this name exists"):
        export_xtreme.submission([folder], to)
    assert [p for p in to.rglob("*") if p.is_file()] == [path]
    path.write_bytes((folder / "predictions" / "xnli" / "test-de.tsv").read_bytes())
    export_xtreme.submission([folder], to)
    export_xtreme.submission([folder], to)
    (to / "metadata.json").write_text("{}")
    with pytest.raises(OutputError, match=r"metadata\.json: not written by xharness"):
        export_xtreme.submission([folder], to)


def test_two_predictions_for_one_language_are_refused_unless_they_are_alike(run, tmp_path):
    one = run("one", ["xnli"])
    two = shutil.copytree(one, tmp_path / "two")
    export_xtreme.submission([one, two], tmp_path / "to")
    path = two / "predictions" / "xnli" / "test-ru.tsv"
    path.write_text("neutral\n" * 5)
    with pytest.raises(PredictionError, match="changed since it was scored"):
        export_xtreme.submission([one, two], tmp_path / "other")
    record = two / "results" / "xnli" / "ru.json"
    results_score.save(replace(results_score.load(record), predictions_sha256=export_xtreme.files.sha256(path)), record)
    words = r"Several runs have different predictions for xnli in ru; the second is .*two"
    with pytest.raises(UsageError, match=words):
        export_xtreme.submission([one, two], tmp_path / "other")
    assert not (tmp_path / "other").exists()
    path.unlink()
    with pytest.raises(PredictionError, match="the file does not exist, but was scored"):
        export_xtreme.submission([two], tmp_path / "other")


@pytest.mark.parametrize(
    ("told", "words"),
    [
        ({"files": None}, "files is null, expected an object"),
        ({"files": [1]}, r"files is \[1\], expected an object"),
        ({}, "files is null"),
        ({"files": {"xnli/test-de.tsv": 3}}, 'the entry "xnli/test-de.tsv" is 3, expected an object'),
        ({"files": {"xnli/test-de.tsv": {"seed": math.nan}}}, "is .*NaN.*, expected an object of plain values"),
        (
            {"files": {"xnil/test-de.tsv": {}}},
            "does not belong to a target of xtreme or xtreme-r; the nearest is 'xnli'",
        ),
        (None, "not written by xharness"),
    ],
)
def test_a_damaged_metadata_file_is_named_before_anything_is_written(told, words, run, tmp_path):
    path = tmp_path / "to" / "metadata.json"
    path.parent.mkdir()
    path.write_text("[" * 100_000 if told is None else json.dumps({"made_by": "xharness 0.1.0", **told}))
    with pytest.raises(OutputError, match=rf"metadata\.json: .*{words}"):
        export_xtreme.submission([run("one", ["xnli"])], path.parent)
    assert list(path.parent.iterdir()) == [path]


def test_what_belongs_to_no_benchmark_is_left_out_by_name(run, runner, tmp_path):
    folder = run("one", ["xnli", "udpos-hub", "pawsx"])
    record = json.loads((folder / "run.json").read_text())
    (folder / "run.json").write_text(json.dumps({**record, "targets": {"pawsx": "mine/pawsx.yaml"}}))
    done = runner("export", "xtreme", folder, "--to", tmp_path / "to")
    assert "udpos-hub: left out, it is not a target of xtreme or xtreme-r." in done.err
    assert "pawsx: left out, it comes from a task file of your own." in done.err
    assert {path.parent.name for path in (tmp_path / "to").glob("*/*")} == {"xnli"}
    with pytest.raises(NothingToDo, match="udpos-hub: left out"):
        export_xtreme.submission([run("two", ["udpos-hub"])], tmp_path / "other")


def test_cut_predictions_and_other_splits_are_no_submission(run, tmp_path):
    with pytest.raises(NothingToDo, match="xnli: left out, only the first 3 examples were predicted"):
        export_xtreme.submission([run("one", ["xnli"], settings={"limit": 3})], tmp_path / "to")
    folder = run("two", ["xnli"])
    record = json.loads((folder / "run.json").read_text())
    (folder / "run.json").write_text(json.dumps({**record, "settings": {"dtype": "float32", "split": "dev"}}))
    with pytest.raises(UsageError, match="predictions for the dev split; a submission needs the test split"):
        export_xtreme.submission([folder], tmp_path / "to")


# lm-evaluation-harness


def whole_run(folder: Path) -> Path:
    scores = [score("pawsx", c, 80.5, model="org/tiny", seed=3) for c in load_task("pawsx").languages]
    scores += [score("xquad", "de", 60), score("xquad", "en", 70, data_status="sample")]
    return write_run(folder, scores)


def test_lm_eval_results_have_the_numbers_as_fractions(tmp_path):
    content = export_lm_eval.results_of(read_run(whole_run(tmp_path)))
    cell = content["results"]["xharness_pawsx_de"]
    assert cell["acc,none"] == 0.805
    # As the standard error of 2,000 zeros and ones.
    answers = [1] * 1610 + [0] * 390
    assert math.isclose(cell["acc_stderr,none"], statistics.stdev(answers) / math.sqrt(2000))
    assert content["results"]["xharness_xquad_de"]["f1_stderr,none"] == "N/A"
    assert content["results"]["xharness_xquad_de"]["exact_match_stderr,none"] != "N/A"
    whole, part = content["groups"]["xharness_pawsx"], content["groups"]["xharness_xquad"]
    assert (whole["acc,none"], whole["alias"]) == (0.805, "xharness_pawsx")
    assert part["alias"] == "xharness_xquad partial"
    assert content["configs"]["xharness_xquad"]["metadata"]["incomplete_because"].startswith("no score for es")
    assert part["score,none"] == 0.7
    told = content["configs"]["xharness_pawsx_de"]["metadata"]
    assert (told["seed"], told["n"], told["partial"], told["model"]) == (3, 2000, False, "org/tiny")
    assert content["configs"]["xharness_xquad_en"]["metadata"]["partial"] is True
    named = set(content["results"])
    assert named == set(content["versions"]) == set(content["n-shot"]) == set(content["higher_is_better"])


def test_lm_eval_file_is_the_same_every_time_and_is_not_written_over(tmp_path, runner):
    folder, to = whole_run(tmp_path / "run"), tmp_path / "results.json"
    for _ in range(2):
        assert runner("export", "lm-eval", folder, "--to", to).exit_code == 0
    to.write_text("{}")
    assert runner("export", "lm-eval", folder, "--to", to).exit_code == 9
    assert runner("export", "lm-eval", folder, "--to", to, "--benchmark", "xtrem").exit_code == 2


def test_lm_eval_prints_the_numbers(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # those of its own imports
        table = pytest.importorskip("lm_eval.utils", reason="lm_eval is not installed").make_table
        pytest.importorskip("pytablewriter", reason="lm_eval's own table writer is not installed")
        folder, to = whole_run(tmp_path / "run"), tmp_path / "results.json"
        export_lm_eval.write(folder, to, "xtreme")
        content = json.loads(to.read_text())
        tasks, groups = table(content), table(content, "groups")
    cells = [[cell.strip() for cell in line.split("|")[1:-1]] for line in tasks.splitlines()]
    [line] = [cells for cells in cells if cells[0].endswith("xharness_pawsx_de")]
    assert line[4:] == ["acc", "↑", "0.805", "±", "0.0089"]
    assert groups.splitlines()[2].startswith("|xharness_pawsx ")
    assert f"{runs.load_run(folder, 'xtreme').tasks['xquad'].mean['f1'] / 100:.2f}" in groups
    assert "xharness_xquad partial" in groups
