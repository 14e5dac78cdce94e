"""The scripts: they help, refuse what cannot be meant, know every intermediate task, and say what was left out."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from helpers.paths import SCRIPTS
from xharness.tasks.recipes import load_recipe
from xharness.tasks.registry import MIXTURE, list_intermediate, load_training

NAMES = ["train_zoo.sh", "reproduce.sh", "push_all.sh", "gpu_check.sh"]

pytestmark = pytest.mark.skipif(shutil.which("bash") is None, reason="no bash")

# Stands in for xharness: writes down how it was called, and ends as each task's name says.
STAND_IN = """
import pathlib, sys
words = sys.argv[1:]
with open({calls!r}, "a") as file:
    file.write(" ".join(words) + "\\n")
codes = {{"ccg": 4, "hellaswag": 8, "qqp": {qqp}}}
if words[0] == "train":
    code = codes.get(words[1], 0)
    if code in (0, 8):
        folder = pathlib.Path(words[words.index("--output") + 1])
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "training.json").write_text("{{}}")
        print("\\n".join(["x: complete", "", "set   metric   score  chance  examples", "----  ----  ----",
                          words[1].split(",")[0] + "  accuracy  61.5  33.3  10 of 20", "", "5 of 5 steps"]))
    else:
        print("Reading.\\nError: it is not there.", file=sys.stderr)
    sys.exit(code)
if words[0] == "eval":
    run = pathlib.Path(words[words.index("--output") + 1]) / "name" / "id" / "settings" / "seed0"
    run.mkdir(parents=True, exist_ok=True)
    sys.exit(8 if "mnli" in words[words.index("--model") + 1] else 0)
if words[0] == "models":
    print("\\n".join(["anli big-anli", "mnli big-mnli", "squad_v1 big-squad", "qqp big-qqp"]))
if words[0] == "publish":
    if words[1].endswith("qqp"):
        print("Error: no developed_by.\\nMore of it.", file=sys.stderr)
        sys.exit(10)
    print("a table\\n\\n" + ("published: " if "--yes" in words else "to send: ") + words[2])
if words[0] == "report":
    print("a table of", len(words) - 1, "runs")
"""


@pytest.fixture
def run(tmp_path):
    """Return what runs a script from another folder with a stand-in for xharness, and the calls of the stand-in."""

    def start(script: str, *arguments: object, qqp: int = 0) -> tuple[subprocess.CompletedProcess[str], list[str]]:
        calls, stand_in = tmp_path / "calls", tmp_path / "stand_in.py"
        stand_in.write_text(STAND_IN.format(calls=str(calls), qqp=qqp))
        calls.unlink(missing_ok=True)
        done = subprocess.run(
            ["bash", SCRIPTS / script, *map(str, arguments)],
            cwd=tmp_path,
            env={**os.environ, "XHARNESS": f"{sys.executable} {stand_in}", "PYTHON": sys.executable},
            capture_output=True,
            text=True,
            timeout=240,
        )
        return done, sorted(calls.read_text().splitlines()) if calls.exists() else []

    return start


@pytest.mark.parametrize("name", NAMES)
def test_a_script_helps_and_refuses(run, name):
    helped, _ = run(name, "--help")
    assert (helped.returncode, helped.stderr) == (0, "")
    assert f"scripts/{name}" in helped.stdout
    for option in re.findall(r"^    (--[a-z-]+)\)", (SCRIPTS / name).read_text(), re.MULTILINE):
        assert option in helped.stdout
    wrong, calls = run(name, *(["--tasks"] if name == "gpu_check.sh" else ["--to"]))
    assert wrong.returncode == 2
    assert wrong.stderr.endswith("See --help.\n")
    assert calls == []


@pytest.mark.parametrize("name", [*NAMES, "common.sh"])
def test_a_script_is_careful_and_can_be_started(name):
    text = (SCRIPTS / name).read_text()
    if name != "common.sh":
        assert text.startswith("#!/usr/bin/env bash\n# ")
        assert "\nset -euo pipefail\n" in text
        assert os.access(SCRIPTS / name, os.X_OK)
    assert max(map(len, text.splitlines())) <= 120
    assert subprocess.run(["bash", "-n", SCRIPTS / name]).returncode == 0
    if shutil.which("shellcheck"):
        assert subprocess.run(["shellcheck", "-x", SCRIPTS / name], cwd=SCRIPTS).returncode == 0


def test_the_zoo_is_all_intermediate_tasks_and_their_mixture(run, tmp_path):
    done, calls = run("train_zoo.sh", "--base", "org/base", "--to", "zoo", "--jobs", 3, "--seed", 7)
    expected = [f"train {t} --base org/base --output zoo/{t} --seed 7" for t in (*list_intermediate(), MIXTURE)]
    assert calls == sorted(expected)
    table = done.stdout.splitlines()
    assert [line.split()[0] for line in table[2:-1]] == [*list_intermediate(), MIXTURE]
    assert "ccg              left out; it is not there." in table
    assert "hellaswag        collapsed; hellaswag 61.5 (chance 33.3)" in table
    assert "mnli             trained; mnli 61.5 (chance 33.3)" in table
    assert done.returncode == 8
    again, calls = run("train_zoo.sh", "--base", "org/base", "--to", "zoo", "--only", "mnli,ccg")
    assert (again.returncode, len(calls)) == (0, 2)
    failed, _ = run("train_zoo.sh", "--base", "org/base", "--to", "zoo", "--only", "qqp", qqp=1)
    assert failed.returncode == 1
    assert "qqp              failed; Error: it is not there." in failed.stdout


def test_what_the_zoo_refuses(run):
    for words, told in {
        ("--base", "x"): "--to FOLDER",
        ("--to", "zoo"): "--base MODEL",
        ("--to", "zoo", "--base", "x", "--only", "mlni"): "there is no 'mlni'. There are: anli mnli",
        ("--to", "zoo", "--base", "x", "--jobs", "0"): "give 1 or more",
        ("--to", "zoo", "--base", "x", "--output", "y"): "single `xharness train`",
    }.items():
        done, calls = run("train_zoo.sh", *words)
        assert (done.returncode, calls) == (2, [])
        assert told in done.stderr


def test_a_table_has_a_row_for_each_checkpoint_of_the_zoo_and_the_base(run, tmp_path):
    for name in ("qqp", "multitask", "mnli"):
        (tmp_path / "zoo" / name).mkdir(parents=True)
        (tmp_path / "zoo" / name / "training.json").write_text("{}")
    (tmp_path / "zoo" / "logs").mkdir()
    common = ["--zoo", "zoo", "--to", "out", "--targets", "xnli,panx"]
    done, calls = run("reproduce.sh", *common, "--base", "org/base", "--seeds", "1,2")
    models = [call.split()[2] for call in calls if call.startswith("eval")]
    assert models == ["org/base", "zoo/mnli", "zoo/multitask", "zoo/qqp"]
    assert calls[0] == "eval --model org/base --tune --fresh-head --targets xnli,panx --output out/base --seeds 1,2"
    assert done.stdout == "a table of 4 runs\n"
    assert (done.returncode, done.stderr.splitlines()[-1]) == (8, "Not complete: mnli; see out/logs.")
    row, calls = run("reproduce.sh", *common, "--rows", "qqp", "--own-heads")
    assert calls[0] == "eval --model zoo/qqp --tune --targets xnli,panx --output out/qqp"
    assert row.returncode == 0
    assert len([call for call in calls if call.startswith("eval")]) == 1
    unknown, _ = run("reproduce.sh", *common, "--rows", "qpq")
    assert (unknown.returncode, "There are: mnli multitask qqp." in unknown.stderr) == (2, True)
    nothing, _ = run("reproduce.sh", "--zoo", "gone", "--to", "out")
    assert nothing.returncode == 2


def test_without_a_gpu_nothing_is_tried(run, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    done, calls = run("gpu_check.sh")
    assert (done.returncode, calls) == (2, [])
    assert "no GPU" in done.stderr


def test_the_smoke_recipe_says_that_it_means_nothing():
    recipe = load_recipe("smoke")
    assert "no scientific meaning" in recipe.title
    assert set(recipe.settings(load_training("mnli")).origins.values()) == {"ours"}


@pytest.mark.slow
def test_the_smoke_story_on_the_sentences_that_come_with_xharness(tmp_path):
    environment = {k: v for k, v in os.environ.items() if k != "XHARNESS_DATA_DIR"}
    environment |= {"XHARNESS_CACHE": str(tmp_path / "cache"), "PYTHON": sys.executable}

    def start(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["bash", *words], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=280
        )

    zoo = start(str(SCRIPTS / "train_zoo.sh"), "--smoke", "--to", "zoo")
    assert zoo.returncode == 0, zoo.stderr
    assert zoo.stdout.count("trained; ") == 4
    table = start(str(SCRIPTS / "reproduce.sh"), "--smoke", "--zoo", "zoo", "--to", "out", "--rows", "base")
    assert table.returncode == 0, table.stderr
    assert "demo_qa" in table.stdout


def zoo_of(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).mkdir(parents=True)
        (folder / name / "training.json").write_text("{}")
    return folder


def test_all_that_is_there_is_published_and_what_cannot_be_is_told(run, tmp_path):
    zoo = zoo_of(tmp_path / "zoo", "mnli", "squad_v1", "qqp")
    known = ["--zoo", zoo, "--org", "lab", "--encoder", "big", "--results", "out", "--facts", "facts.yaml"]
    done, calls = run("push_all.sh", *known)
    assert done.returncode == 1
    assert [line.split()[1:3] for line in calls if line.startswith("publish")] == [
        [str(zoo / "mnli"), "lab/big-mnli"],
        [str(zoo / "qqp"), "lab/big-qqp"],
        [str(zoo / "squad_v1"), "lab/big-squad"],
    ]
    assert all(line.endswith("--results out --facts facts.yaml") for line in calls if line.startswith("publish"))
    table = done.stdout[done.stdout.index("repository") :].splitlines()
    assert table[1].split() == ["big-mnli", "to", "send:", "lab/big-mnli"]
    assert "big-qqp" in done.stdout
    assert "failed; no developed_by." in done.stdout
    assert "More of it." in done.stderr


def test_publishing_sends_only_when_told_and_under_the_names_that_are_asked_for(run, tmp_path):
    zoo = zoo_of(tmp_path / "zoo", "mnli", "squad_v1")
    known = ["--zoo", zoo, "--org", "lab", "--encoder", "big", "--no-results"]
    done, calls = run("push_all.sh", *known, "--prefix", "tiny", "--only", "squad_v1", "--yes", "--collection", "A zoo")
    assert done.returncode == 0, done.stderr
    assert calls[1:] == [f"publish {zoo / 'squad_v1'} lab/tiny-squad --collection A zoo --no-results --yes"]
    assert done.stdout.splitlines()[-1].split() == ["tiny-squad", "published:", "lab/tiny-squad"]
    refused, calls = run("push_all.sh", *known, "--only", "hellaswag")
    assert refused.returncode == 2
    assert "there is no 'hellaswag'" in refused.stderr
    assert calls == ["models list --encoder big --names"]
