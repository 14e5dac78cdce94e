"""`xharness score` on the command line: predictions of other systems, and mistakes in them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from helpers.data_folder import fixture_tasks
from helpers.runs import gold_predictions
from xharness import assets


def test_gold_predictions_of_every_target_score_100(run):
    folder = gold_predictions(Path("mine"), list(fixture_tasks()))
    found = json.loads(run("score", folder, "--json").out)
    assert set(found["tasks"]) == set(fixture_tasks())
    for task in found["tasks"].values():
        assert set(task["mean"].values()) == {100.0}
        assert len(task["languages"]) == 3


def rewrite(path: Path, change: Any) -> None:
    path.write_bytes(change(path.read_bytes()))


@pytest.mark.parametrize(
    "change",
    [
        lambda raw: raw.replace(b"\n", b"\r\n"),
        lambda raw: raw.rstrip(b"\n"),
        lambda raw: b"\xef\xbb\xbf" + raw,
        lambda raw: raw + b"\n\n",
    ],
    ids=["CRLF", "no last newline", "byte order mark", "blank lines at the end"],
)
@pytest.mark.parametrize("task", ["xnli", "panx", "xquad", "tatoeba"])
def test_what_other_systems_write_is_read(task, change, run):
    folder = gold_predictions(Path("mine"), [task])
    for path in folder.glob("*/*"):
        rewrite(path, change)
    found = json.loads(run("score", folder, "--json").out)
    assert set(found["tasks"][task]["mean"].values()) == {100.0}


@pytest.mark.parametrize(
    ("task", "change", "words"),
    [
        ("xnli", lambda raw: raw + b"neutral\n", "found 6 lines, expected 5"),
        ("xnli", lambda raw: raw[raw.index(b"\n") + 1 :], "found 4 lines, expected 5"),
        ("panx", lambda raw: raw[raw.index(b"\n\n") + 2 :], "found 4 sentences, expected 5"),
        ("panx", lambda raw: raw[raw.index(b"\n") + 1 :], "Sentence 1 (from line 1) is the first that differs"),
        ("tatoeba", lambda raw: raw.replace(b"5", b"6"), "expected one from 0 to 5"),
        ("xquad", lambda raw: raw[:-9], "not valid JSON"),
        ("xnli", lambda raw: b"\xff" + raw, "not UTF-8"),
    ],
)
def test_predictions_that_do_not_fit_are_an_error(task, change, words, run):
    folder = gold_predictions(Path("mine"), [task], count=1)
    [path] = folder.glob("*/*")
    rewrite(path, change)
    alone = run("score", folder)
    assert (alone.exit_code, alone.out) == (6, "")
    assert str(path) in alone.err
    assert words in alone.err
    # Beside others that are right, those are shown.
    gold_predictions(folder, ["pawsx"])
    beside = run("score", folder)
    assert beside.exit_code == 8
    assert words in beside.err
    assert "pawsx" in beside.out


def test_missing_and_unknown_questions_are_counted_and_shown(run):
    folder = gold_predictions(Path("mine"), ["xquad"], count=1)
    [path] = folder.glob("*/*")
    answers = json.loads(path.read_text())
    del answers["q0"]
    path.write_text(json.dumps({**answers, "q9": "1862"}))
    found = run("score", folder)
    assert found.exit_code == 0
    assert "questions without a prediction (they score 0)" in found.out
    assert "predictions for unknown ids (ignored)" in found.out
    cell = json.loads(run("score", folder, "--json").out)["tasks"]["xquad"]["languages"]["de"]
    assert (cell["f1"], cell["exact_match"], cell["counts"]) == (80.0, 80.0, {"missing": 1, "unknown": 1})


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["mine2"], 6, "The folder 'mine2' does not exist. Did you mean 'mine'?"),
        (["empty"], 6, "has no predictions"),
        (["mine", "--targets", "xnil"], 2, "Did you mean 'xnli'?"),
        (["mine", "--languages", "xx"], 2, "the language 'xx'"),
        (["mine", "--targets", "pawsx"], 7, "has no prediction files for this selection"),
        (["mine", "--split", "dev"], 6, "has no predictions"),
        (["mine", "--data-dir", "nowhere"], 4, "There is no data folder"),
        (["misspelt"], 2, "there is no task 'xnly'. Did you mean 'xnli'?"),
        (["foreign"], 6, "xnli has no language 'ka'"),
    ],
)
def test_mistakes_of_score(arguments, code, words, run):
    gold_predictions(Path("mine"), ["xnli"])
    Path("empty").mkdir()
    shutil.copytree("mine/xnli", "misspelt/xnly")
    Path("foreign/xnli").mkdir(parents=True)
    Path("foreign/xnli/test-ka.tsv").write_text("neutral\n")
    found = run("score", *arguments)
    assert (found.exit_code, found.out) == (code, "")
    assert words in found.err


def test_score_of_some_targets_and_languages(run):
    folder = gold_predictions(Path("mine"), ["xnli", "pawsx", "panx"])
    found = json.loads(run("score", folder, "--targets", "xnli,panx", "--languages", "de,ru", "--json").out)
    assert {task: list(t["languages"]) for task, t in found["tasks"].items()} == {"panx": ["de"], "xnli": ["de", "ru"]}
    whole = json.loads(run("score", folder, "--targets", "xtreme", "--json").out)
    assert (whole["benchmark"], whole["overall"]) == ("xtreme", None)


def test_score_imports_no_torch(data_folder, tmp_path):
    folder = gold_predictions(tmp_path / "mine", ["xnli", "xquad"])
    code = f"""
import sys
from xharness.cli.main import main
main(["score", {str(folder)!r}, "--data-dir", {str(data_folder)!r}])
assert "torch" not in sys.modules and "transformers" not in sys.modules
"""
    environment = {**os.environ, "PYTHONPATH": str(assets.PACKAGE.parent)}
    subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, check=True, timeout=240)
