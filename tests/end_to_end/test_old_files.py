"""All files that xharness 0.1.0 wrote before its modules moved are still read, and give the same numbers.

``tests/fixtures/made_at_0.1.0`` holds the files and what the commands of that time printed of them; its README.md says
how they were made. The wording may change, so sentences are not compared: numbers, hashes, names and keys are.
"""

from __future__ import annotations

import gzip
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas
import pytest
import yaml

from helpers.paths import FIXTURES
from xharness.tasks.recipes import load_recipe
from xharness.tasks.registry import list_tasks, list_training, load_task, load_training

OLD = FIXTURES / "made_at_0.1.0"
CPU = ("--data-dir", "data", "--device", "cpu", "--dtype", "float32")
FAST = ("--learning-rate", "1e-2", "--batch-size", "16")
TRAINED = {"mnli": ("mnli", 50, 150), "four": ("mnli,commonsenseqa,ud_en_hub,squad_v1", 100, 300)}
EVALUATED = {
    "mnli": ("--targets", "xnli,tatoeba", "--languages", "de,ru,jv"),
    "four": ("--targets", "xnli,udpos,xquad,xcopa,tatoeba,bucc2018", "--languages", "de,ru,it,tr,hi,jv"),
}
LAYERS = ("--targets", "tatoeba", "--languages", "de,ru", "--layer", "all", "--output", "layers")
TUNE = ("--tune", "--targets", "xnli", "--languages", "de,ru", "--seeds", "1,2", "--also", "last,target-dev")
TUNE += ("--max-steps", "40", "--eval-every", "20", "--tuned-dir", "tuned", "--output", "tuned-results")

OF_THE_RUN = frozenset({"versions", "xharness", "made_by", "date", "seconds", "tokens_per_second", "device"})
"""Keys of values that another version, minute or machine changes."""
PROSE = "(a sentence)"


@pytest.fixture
def old(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a copy of the old files, which is also where commands run: the files name each other relative to it."""
    copy = shutil.copytree(OLD, tmp_path / "old")
    monkeypatch.chdir(copy)
    return copy


@pytest.fixture
def xharness(runner: Callable[..., Any]) -> Callable[..., str]:
    """Return what runs a command that succeeds, or ends with the code that it should; it returns what was printed."""

    def run(*arguments: object, code: int = 0) -> str:
        done = runner(*arguments)
        assert done.exit_code == code, done.err
        return str(done.out)

    return run


def printed(name: str) -> str:
    """Return what a command of the old version printed."""
    return (OLD / "printed" / name).read_bytes().decode("utf-8")


def facts(value: Any) -> Any:
    """Return a value of a JSON file with its sentences replaced, and without what ``OF_THE_RUN`` names."""
    if isinstance(value, dict):
        return {key: facts(inner) for key, inner in value.items() if key not in OF_THE_RUN}
    if isinstance(value, list):
        return [facts(inner) for inner in value]
    return PROSE if isinstance(value, str) and len(value.split()) > 6 else value


def same_json(now: str | bytes, then: str | bytes) -> None:
    """Compare two JSON texts."""
    assert facts(json.loads(now)) == facts(json.loads(then))


def decimals(text: str) -> list[str]:
    """Return the numbers with a decimal point, in their order; those of versions (1.2.3, v1.1) are none."""
    return re.findall(r"(?<![\w.])\d+\.\d+(?!\.?\d)", text)


def content(folder: Path) -> dict[str, bytes]:
    """Return path -> bytes of all files below a folder but pictures, which the old files are kept without."""
    paths = (path for path in sorted(folder.rglob("*")) if path.is_file() and path.suffix not in (".png", ".svg"))
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


def unchanged(*folders: str) -> None:
    """Compare folders of the copy with the old ones: times are in these files, so nothing was computed anew."""
    for folder in folders:
        assert content(Path(folder)) == content(OLD / folder)


def run_of(model: str) -> str:
    """Return the run folder of a model, as seen from the copy."""
    (record,) = sorted(OLD.glob(f"results/{model}/*/*/seed0/run.json"))
    return str(record.parent.relative_to(OLD))


def tuned_runs() -> list[str]:
    """Return the run folders of the tuned heads."""
    return sorted(str(path.parent.relative_to(OLD)) for path in OLD.glob("tuned-results/**/run.json"))


def publish(model: str) -> list[str]:
    """Return what follows ``xharness`` to look at what would be published of a model."""
    given = ["publish", f"models/{model}", f"org/tiny-{model}", "--results", f"results/{model}"]
    return [*given, "--facts", f"facts-{model}.yaml", "--allow-collapsed"]


# --- Run folders ----------------------------------------------------------------------------------------------------

REPORTS: dict[str, tuple[list[str], tuple[str, ...]]] = {
    "four": ([run_of("four")], ()),
    "four-xtreme": ([run_of("four")], ("--benchmark", "xtreme")),
    "mnli": ([run_of("mnli")], ()),
    "tuned": (tuned_runs(), ()),
}


@pytest.mark.parametrize("name", REPORTS)
def test_reports_have_the_same_numbers(name, old, xharness):
    runs, more = REPORTS[name]
    assert xharness("report", *runs, *more, "--format", "csv") == printed(f"{name}.csv")
    for form in ("text", "markdown"):
        if (OLD / "printed" / f"{name}.{form}").exists():
            then = decimals(printed(f"{name}.{form}"))
            assert len(then) > 10
            assert decimals(xharness("report", *runs, *more, "--format", form)) == then
    if (OLD / "printed" / f"{name}.json").exists():
        same_json(xharness("report", *runs, *more, "--json"), printed(f"{name}.json"))


@pytest.mark.parametrize("name", ["four", "mnli", "predictions"])
def test_predictions_have_the_same_scores(name, old, xharness):
    folder = name if name == "predictions" else run_of(name)
    same_json(xharness("score", folder, "--data-dir", "data", "--json"), printed(f"score-{name}.json"))


@pytest.mark.parametrize("model", EVALUATED)
def test_results_of_a_run_are_valid_and_kept(model, old, xharness):
    xharness("eval", "--model", f"models/{model}", *EVALUATED[model], *CPU)
    unchanged("results", "models")


def test_results_that_are_computed_anew_are_the_same(old, xharness):
    shutil.rmtree("results")
    xharness("eval", "--model", "models/four", *EVALUATED["four"], *CPU)
    then = {name: text for name, text in content(OLD / "results").items() if name.startswith("four/")}
    now = content(Path("results"))
    assert now.keys() == then.keys()
    for name, text in now.items():
        if "/predictions/" in name:
            assert text == then[name], name
        else:
            same_json(text, then[name])


def test_every_layer_is_found_again(old, xharness):
    same_json(xharness("eval", "--model", "models/base", *LAYERS, *CPU, "--json"), printed("layers.json"))
    unchanged("layers")


# --- Training -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", TRAINED)
def test_a_finished_training_is_known_by_its_request(model, old, xharness):
    tasks, every, steps = TRAINED[model]
    how = ("--eval-every", every, "--max-steps", steps, *FAST, *CPU)
    xharness("train", tasks, "--base", "models/base", "--output", f"models/{model}", *how)
    unchanged("models")


def test_tuned_heads_are_found_by_their_key(old, xharness):
    same_json(xharness("eval", "--model", "models/base", *TUNE, *CPU, *FAST, "--json"), printed("tune.json"))
    unchanged("tuned", "tuned-results")


def test_hashes_of_task_files_and_recipes_are_the_same():
    then = json.loads((OLD / "hashes.json").read_text(encoding="utf-8"))
    assert {name: load_task(name).hash for name in list_tasks()} == then["targets"]
    training_sets = {name: load_training(name) for name in list_training()}
    assert {name: spec.hash for name, spec in training_sets.items()} == then["training_sets"]
    for name, hashes in then["recipes"].items():
        settings = load_recipe(name).settings
        assert {task: settings(spec).hash for task, spec in training_sets.items()} == hashes


# --- What others read -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", TRAINED)
def test_cards_have_the_same_numbers(model, old, xharness):
    now, then = xharness(*publish(model), "--card"), printed(f"card-{model}.md")
    _, front_now, text_now = now.split("---\n", 2)
    _, front_then, text_then = then.split("---\n", 2)
    found = yaml.safe_load(front_then)
    assert found["model-index"][0]["results"]
    assert yaml.safe_load(front_now) == found
    assert len(decimals(text_then)) > 10
    assert decimals(text_now) == decimals(text_then)


@pytest.mark.parametrize("model", TRAINED)
def test_all_files_beside_the_card_are_published_as_before(model, old, xharness):
    now, then = json.loads(xharness(*publish(model), "--json")), json.loads(printed(f"publish-{model}.json"))
    files_now, files_then = ({file.pop("path"): file for file in plan.pop("files")} for plan in (now, then))
    assert files_now.keys() == files_then.keys()
    assert {".eval_results/xtreme-r.yaml", "training.json"} < files_then.keys()
    for path in files_then.keys() - {"README.md"}:
        assert files_now[path] == files_then[path], path
    for plan in (now, then):  # the card's prose counts here
        assert plan.pop("bytes") > 0
        assert plan.pop("bytes_to_send") > 0
    assert facts(now) == facts(then)


def test_exports_are_the_same(old, xharness):
    xharness("export", "xtreme", run_of("four"), "--to", "new", code=8)  # a few languages are no whole submission
    now, then = content(Path("new")), content(OLD / "exports" / "xtreme")
    same_json(now.pop("metadata.json"), then.pop("metadata.json"))
    assert now == then
    xharness("export", "lm-eval", run_of("four"), "--to", "new.json")
    same_json(Path("new.json").read_bytes(), (OLD / "exports" / "lm-eval.json").read_bytes())


# --- The leaderboard ------------------------------------------------------------------------------------------------


@pytest.fixture
def submission() -> str:
    """Return the id of the old submission."""
    (folder,) = (OLD / "board" / "submissions").iterdir()
    return folder.name


def test_a_run_gives_the_same_submission(old, xharness):
    given = ("--name", "A tiny encoder", "--submitted-by", "ann", "--note", "Made for the tests.")
    to = ("--to", "org/leaderboard", "--data-dir", "data", "--json")
    now = json.loads(xharness("submit", run_of("four"), *to, *given))
    then = json.loads(printed("submit.json"))
    assert facts(now) == facts(then)


def test_a_submission_is_read_and_judged_as_before(old, submission, xharness):
    more = ("--record", "again", "--data-dir", "data", "--workers", "1")
    told = xharness("leaderboard", "check", "board", "--id", submission, *more)
    assert decimals(told) == decimals(printed("check.text"))
    now, then = content(Path("again/checks")), content(OLD / "board" / "checks")
    same_json(now.pop(f"{submission}/verdict.json"), then.pop(f"{submission}/verdict.json"))
    assert now == then


def test_a_board_is_built_of_it_as_before(old, xharness):
    told = xharness("leaderboard", "build", "board", "--to", "new", "--json")
    same_json(told, printed("build.json").replace('"page"', '"new"'))
    then = gzip.decompress((OLD / "page" / "scores.json.gz").read_bytes())
    same_json(Path("new/scores.json").read_bytes(), then)
    table, before = pandas.read_parquet("new/scores.parquet"), pandas.read_parquet(OLD / "page" / "scores.parquet")
    pandas.testing.assert_frame_equal(table, before)
