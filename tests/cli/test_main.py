"""The command line: help, exit codes, and a clear sentence for every mistake."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from xharness import assets
from xharness.cli import main as cli_main
from xharness.cli import options
from xharness.tasks import recipes
from xharness.tasks.benchmarks import benchmarks
from xharness.tasks.languages import languages
from xharness.tasks.registry import list_tasks, load_task, load_training

# --- Help -----------------------------------------------------------------------------------------------------------


def test_help_is_quick_because_it_imports_nothing_heavy():
    code = """
import sys
from xharness.cli.main import main
for arguments in (["--help"], ["eval", "--help"], ["export", "-h"], ["score", "-h"], ["tasks", "list"], ["--version"]):
    try:
        main(arguments)
    except SystemExit as stop:
        assert not stop.code, arguments
heavy = {"torch", "transformers", "datasets", "pandas", "huggingface_hub"} & set(sys.modules)
assert not heavy, heavy
"""
    environment = {**os.environ, "PYTHONPATH": str(assets.PACKAGE.parent)}
    subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, check=True, timeout=240)


@pytest.mark.parametrize("command", ["eval", "score", "report", "export", "tasks", "fetch", "demo"])
def test_every_command_has_help(command, run):
    found = run(command, "--help")
    assert (found.exit_code, found.err) == (0, "")
    assert found.out.startswith(f"Usage: xharness {command} ")


# --- The others -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["report", "nowhere"], 7, "is not a run folder with results"),
        (["report", "."], 7, "is not a run folder with results"),
        (["report", ".", "--benchmark", "xtrem"], 2, "Did you mean 'xtreme'?"),
        (["report"], 2, "Missing argument"),
        (["tasks", "show", "xnil"], 2, "Did you mean 'xnli'?"),
        (["tasks", "check", "none.yaml"], 3, "none.yaml"),
        (["evil"], 2, "No such command"),
    ],
)
def test_mistakes_of_the_others(arguments, code, words, run):
    found = run(*arguments)
    assert (found.exit_code, found.out) == (code, "")
    assert words in found.err


def test_tasks(run):
    listed = json.loads(run("tasks", "list", "--json").out)
    assert {"xnli", "tatoeba"} <= {entry["name"] for entry in listed}
    shown = json.loads(run("tasks", "show", "xnli", "--json").out)
    assert (shown["name"], shown["hash"]) == ("xnli", load_task("xnli").hash)


@pytest.mark.parametrize(("benchmark", "targets", "languages"), [("xtreme", 9, 40), ("xtreme-r", 10, 50)])
def test_the_benchmarks_are_complete(benchmark, targets, languages, run):
    found = run("tasks", "check")
    assert (found.exit_code, found.err) == (0, "")
    words = f"{benchmark}: complete: {targets} of {targets} targets, {languages} of {languages} languages"
    assert words in found.out.splitlines()
    told = json.loads(run("tasks", "check", "--json").out)["benchmarks"][benchmark]
    assert (told["complete"], told["missing"]) == (True, [])
    assert told["targets"]["xnli"]["examples"] == 15 * 5010


@pytest.fixture
def own_tasks(tmp_path, monkeypatch) -> Path:
    """Return a copy of all task files that is read in place of them."""
    caches = [benchmarks, list_tasks, load_task, load_training, languages]
    copy = shutil.copytree(assets.TASKS, tmp_path / "tasks")
    with monkeypatch.context() as patch:
        patch.setattr(assets, "TASKS", copy)
        for cache in caches:
            cache.cache_clear()
        yield copy
    for cache in caches:
        cache.cache_clear()


def test_a_benchmark_that_lacks_something_is_not_complete(run, own_tasks):
    (own_tasks / "targets" / "lareqa.yaml").unlink()
    path = own_tasks / "targets" / "mlqa.yaml"
    text = path.read_text(encoding="utf-8")
    assert text.count("\n  hi:") == 1
    path.write_text(re.sub(r"\n  hi:.*", "", text), encoding="utf-8")
    found = run("tasks", "check")
    assert found.exit_code == 3
    assert "xtreme: not complete: 8 of 9 targets, 40 of 40 languages" in found.out
    assert "xtreme-r: not complete: 8 of 10 targets, 50 of 50 languages" in found.out
    for line in (
        "xtreme: mlqa: found 6 languages, expected 7.",
        "xtreme-r: mlqa: found 6 languages, expected 7.",
        "xtreme-r: lareqa: no spec yet.",
    ):
        assert line in found.err
    told = json.loads(run("tasks", "check", "--json").out)["benchmarks"]
    assert not told["xtreme"]["complete"]


def test_the_default_recipe_is_written_once_more_for_help_to_be_quick():
    assert options.DEFAULT_RECIPE == recipes.DEFAULT


def test_version(run):
    assert run("--version").out.startswith("xharness, version ")
    assert cli_main.__version__ in run("--version").out
