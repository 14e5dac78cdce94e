"""`xharness eval` on the command line: what it prints where, and what it says of mistakes."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from xharness import assets, files
from xharness.evaluation import runner as evaluation_runner

ROUTE = ["--dtype", "float32", "--device", "cpu"]


@pytest.fixture
def model(tiny_checkpoint: Any) -> Path:
    path: Path = tiny_checkpoint("classification", labels=("neutral", "entailment", "contradiction"))
    return path


# --- eval -----------------------------------------------------------------------------------------------------------


def test_eval_prints_the_table_and_says_the_rest_on_stderr(run, model):
    found = run("eval", "--model", model, "--targets", "xnli,tatoeba", "--output", "out", *ROUTE)
    assert found.exit_code == 0
    assert found.out.startswith(f"{model.name} @")
    assert "xnli is partial: no score for" in found.out
    lines = found.err.splitlines()
    assert lines[0].split()[:2] == ["target", "state"]
    assert "left out, no data" in found.err
    [folder] = Path("out").glob("*/*/*/seed0")
    assert lines[-1] == f"Run folder with results, predictions and provenance: {folder}"
    assert {p.name for p in folder.iterdir()} >= {"run.json", "results", "predictions"}


def test_eval_json_score_json_and_report_agree(run, model):
    made = run("eval", "--model", model, "--targets", "xnli,tatoeba", "--output", "out", "--json", *ROUTE)
    printed = json.loads(made.out)
    assert set(printed) >= {"tasks", "groups", "official_groups", "overall", "run", "model", "model_hash", "dtype"}
    assert printed["overall"] is None
    task = printed["tasks"]["xnli"]
    assert set(task["languages"]) == {"de", "en", "ru"}
    assert set(task["languages"]["de"]) >= {"n", "accuracy", "data_status", "data_hash", "predictions_sha256"}
    assert task["languages"]["de"]["n"] == 5
    assert set(task["mean"]) == {"accuracy", "score"}
    assert task["complete"] is False
    assert printed["tasks"]["tatoeba"]["transfer_gap"] is None
    assert printed["tasks"]["tatoeba"]["transfer_gap_note"] == "tatoeba has no English"
    assert set(printed["groups"]["classification"]) == {"score", "complete", "tasks", "missing"}

    scored = json.loads(run("score", printed["run"], "--json").out)
    for name in ("xnli", "tatoeba"):
        assert scored["tasks"][name]["mean"] == printed["tasks"][name]["mean"]
        for code, cell in scored["tasks"][name]["languages"].items():
            own = printed["tasks"][name]["languages"][code]
            assert {key: own[key] for key in ("n", "accuracy", "predictions_sha256")} == {
                key: cell[key] for key in ("n", "accuracy", "predictions_sha256")
            }
    [reported] = json.loads(run("report", printed["run"], "--json").out)
    assert reported["tasks"] == printed["tasks"]
    assert run("report", printed["run"], "--format", "csv").out.startswith("run,task,language,metric,value")


def test_a_dry_run_prints_the_plan_and_computes_nothing(run, model):
    found = run("eval", "--model", model, "--targets", "xtreme", "--dry-run", "--json", "--output", "out")
    plan = json.loads(found.out)["plan"]
    assert {task: step["state"] for task, step in plan.items() if task in ("xnli", "pawsx", "udpos", "tatoeba")} == {
        "xnli": "ready",
        "pawsx": "needs English target training",
        "udpos": "cannot",
        "tatoeba": "encoder only",
    }
    assert plan["xnli"]["languages"] == ["de", "en", "ru"]
    assert "xharness fetch --targets xnli --languages ar" in plan["xnli"]["left_out"]["ar"]
    assert run("eval", "--model", model, "--targets", "xnli", "--dry-run").out.startswith("target")
    assert not Path("out").exists()


def test_labels_without_names_are_refused_with_the_flag_that_maps_them(run, tiny_checkpoint):
    path = tiny_checkpoint("classification", num_labels=3)
    refused = run("eval", "--model", path, "--targets", "xnli", *ROUTE)
    assert refused.exit_code == 7
    flag = "entailment=LABEL_0,neutral=LABEL_1,contradiction=LABEL_2"
    assert f"--label-map {flag}" in refused.err
    assert run("eval", "--model", path, "--targets", "xnli", "--label-map", flag, *ROUTE).exit_code == 0


def test_one_language_that_fails_is_said_and_the_rest_is_kept(run, model, data_folder, tmp_path):
    folder = shutil.copytree(data_folder, tmp_path / "damaged")
    next((folder / "facebook/xnli/de").glob("test*")).write_bytes(b"PAR1")
    found = run("eval", "--model", model, "--targets", "xnli", "--data-dir", folder, *ROUTE)
    assert found.exit_code == 8
    assert "Error: 1 of the requested scores are missing:" in found.err
    assert "en" in found.out


# --- Mistakes -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--targets", "xnil"], 2, "no target named 'xnil'. Did you mean 'xnli'?"),
        (["--targets", "xnli", "--languages", "sq"], 2, "None of the chosen targets has the language 'sq'."),
        (["--targets", "xnli", "--limit", "0"], 2, "0 is not in the range"),
        (["--targets", "xnli", "--batch-tokens", "many"], 2, "give a number of tokens, or auto"),
        (["--targets", "xnli", "--layer", "top"], 2, "give an index into hidden_states"),
        (["--targets", "xnli", "--label-map", "entailment"], 2, "write NAME=LABEL_0,NAME=LABEL_1,..."),
        (["--targets", "xnli", "--label-map", "entail=LABEL_0"], 2, "Did you mean 'entailment'?"),
        (["--targets", "xnli", "--device", "gpu"], 2, "There is no device 'gpu'."),
        (["--targets", "xnli", "--dtype", "int8"], 2, "'int8' is not one of"),
        (["--targets", "tatoeba", "--layer", "7"], 2, "Layer 7 does not exist"),
        (["--targets", "xnli", "--data-dir", "nowhere"], 4, "There is no data folder 'nowhere'"),
        (["--targets", "none.yaml"], 3, "none.yaml"),
        (["--targets", "xquad"], 7, "its head is for classification"),
        (["--targets", "xnli", "--languages", "sw"], 7, "'sw' is not in"),
        (["--targets", "tatoeba", "--split", "dev"], 7, "it has no dev split"),
        (["--targets", "xnli", "--no-such-flag"], 2, "No such option"),
    ],
)
def test_mistakes_of_eval(arguments, code, words, run, model):
    found = run("eval", "--model", model, "--output", "out", *arguments)
    assert (found.exit_code, found.out) == (code, "")
    assert words in " ".join(found.err.split())


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("./tiny-clasification", "this folder does not exist. Did you mean 'tiny-classification'?"),
        ("./tiny-classification@main", "local folder, which has no revisions"),
        ("./empty", "this folder has no config.json"),
        ("./pickled", "pickles are never loaded"),
        ("./cut", "the file is truncated"),
        ("org/tiny", "org/tiny"),  # the Hub cannot be reached here
    ],
)
def test_checkpoints_that_cannot_be_read(name, words, run, model):
    copies = {part: Path(part) for part in ("tiny-classification", "pickled", "cut")}
    for path in copies.values():
        shutil.copytree(model, path)
    Path("empty").mkdir()
    (copies["pickled"] / "model.safetensors").rename(copies["pickled"] / "pytorch_model.bin")
    os.truncate(copies["cut"] / "model.safetensors", 3000)
    found = run("eval", "--model", name, "--targets", "xnli")
    assert found.exit_code == 5
    assert words in found.err
    assert found.err.count("\n") <= 3


def test_ctrl_c(run, model, monkeypatch):
    def interrupted(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(evaluation_runner, "run", interrupted)
    found = run("eval", "--model", model, "--targets", "xnli")
    assert found.exit_code == 130
    assert found.err.endswith("Interrupted. Finished work is kept. Give the same command again to resume.\n")


@pytest.mark.parametrize("when", ["fsync", "replace"])
def test_a_full_disk(when, run, model, monkeypatch):
    route = ["eval", "--model", model, "--targets", "xnli", "--output", "out", *ROUTE]
    assert run(*route, "--languages", "de").exit_code == 0
    before = {p: p.read_bytes() for p in Path("out").rglob("*") if p.is_file()}

    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(files.os, when, full)
        found = run(*route)
    assert found.exit_code == 9
    assert "cannot be written: No space left on device. Finished work is kept" in found.err
    assert {p: p.read_bytes() for p in Path("out").rglob("*") if p.is_file()} == before
    assert run(*route).exit_code == 0


def test_an_output_that_cannot_be_a_folder(run, model):
    Path("out").write_text("a file")
    assert run("eval", "--model", model, "--targets", "xnli", "--output", "out", *ROUTE).exit_code == 9


def test_a_damaged_run_record_is_named(run, model):
    route = ["eval", "--model", model, "--targets", "xnli", "--languages", "de", "--output", "out", *ROUTE]
    assert run(*route).exit_code == 0
    [path] = Path("out").glob("*/*/*/*/run.json")
    path.write_text(path.read_text()[:40])
    assert run("score", path.parent).exit_code == 6
    assert run("report", path.parent).exit_code == 6
    found = run(*route)
    assert found.exit_code == 0
    assert f"{path}: not valid JSON" in found.err
    assert "It is written again." in found.err
    assert run("report", path.parent).exit_code == 0


def test_a_reader_that_goes_away_sees_no_traceback():
    code = "import sys; from xharness.cli.main import main; main(sys.argv[1:])"
    environment = {**os.environ, "PYTHONPATH": str(assets.PACKAGE.parent)}
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "wb") as out:
        ended = subprocess.run(
            [sys.executable, "-c", code, "tasks", "list"],
            env=environment,
            stdout=out,
            stderr=subprocess.PIPE,
            check=False,
        )
    # click ends with 1 then, whatever is asked of it.
    assert (ended.returncode, ended.stderr) == (1, b"")


# --- score ----------------------------------------------------------------------------------------------------------


def test_a_task_file_of_ones_own(run, model):
    text = (assets.TASKS / "targets" / "xnli.yaml").read_text(encoding="utf-8")
    Path("toy.yaml").write_text(text.replace("name: xnli", "name: toy"), encoding="utf-8")
    made = run("eval", "--model", model, "--targets", "toy.yaml", "--output", "out", "--json", *ROUTE)
    printed = json.loads(made.out)
    assert set(printed["tasks"]) == {"toy"}
    found = run("score", printed["run"], "--languages", "de", "--json")
    assert found.exit_code == 0, found.err
    cells = json.loads(found.out)["tasks"]["toy"]["languages"]
    assert cells["de"]["accuracy"] == printed["tasks"]["toy"]["languages"]["de"]["accuracy"]
    assert "toy" in run("report", printed["run"]).out


# --- The others -----------------------------------------------------------------------------------------------------


def test_a_target_without_data_takes_nothing_from_the_others(runner, data_folder, tmp_path):
    for task, name, text in [("bucc2018", "test-de.tsv", "de-1\ten-1\n"), ("xnli", "test-de.tsv", "neutral\n" * 5)]:
        (tmp_path / task).mkdir()
        (tmp_path / task / name).write_text(text)
    for targets in ([], ["--targets", "xtreme"]):
        done = runner("score", str(tmp_path), "--data-dir", str(data_folder), *targets)
        assert done.exit_code == 8
        assert "xnli" in done.out
        assert "bucc2018: 'de' is not in" in done.err
