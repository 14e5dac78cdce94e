"""The way of a score: from a checkpoint over a pull request and its check to a row of the page in a real browser."""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import xharness
from helpers.browser import Page, chromium, why_not
from helpers.fake_hub import LoopbackHub
from helpers.machine import Machine
from helpers.runs import found_board, gold_folder
from xharness.results.aggregate import Results, language_score

BOARD = "org/leaderboard"
LABELS = ["entailment", "neutral", "contradiction"]


@pytest.fixture(scope="module")
def gold(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return gold_folder(tmp_path_factory.mktemp("gold") / "datasets")


@pytest.fixture(scope="module")
def scored(
    gold: Path, tiny_checkpoint: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Results]:
    """Evaluate a checkpoint; return its RUN and what came of it."""
    to = tmp_path_factory.mktemp("results")
    model = tiny_checkpoint("classification", labels=LABELS)
    given: dict[str, Any] = {"data_dir": gold, "output": to, "dtype": "float32", "device": "cpu"}
    found = xharness.evaluate(str(model), targets=["xnli", "tatoeba"], languages=["de", "ru"], **given)
    return next(to.rglob("run.json")).parent, found


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    with LoopbackHub(tmp_path / "hub") as hub:
        made = Machine(hub, tmp_path / "home")
        with made.client:
            yield made


def submit(machine: Machine, run: Path, gold: Path) -> int:
    """Submit a RUN; return the number of the pull request."""
    given = ["--to", BOARD, "--name", "A tiny encoder", "--data-dir", gold, "--json", "--yes"]
    found = machine.run("submit", run, *given)
    assert found["code"] == 0, found["err"]
    return int(json.loads(found["out"])["url"].rpartition("/")[2])


def check(machine: Machine, number: int, gold: Path, *more: str) -> dict[str, Any]:
    given = ["--pr", number, "--of", BOARD, "--data-dir", gold, "--workers", 1, "--json"]
    found = machine.run("leaderboard", "check", *given, *more)
    return {**found, "verdict": json.loads(found["out"])}


def test_a_score_becomes_a_row_that_a_reader_sees(
    machine: Machine, scored: tuple[Path, Results], gold: Path, tmp_path: Path
) -> None:
    run, found = scored
    found_board(machine.hub, BOARD)
    checked = check(machine, submit(machine, run, gold), gold, "--comment", "--merge")
    assert (checked["code"], checked["verdict"]["verdict"]) == (0, "accepted"), checked
    built = machine.run("leaderboard", "build", "--from", BOARD, "--to", tmp_path / "page", "--json")
    assert built["code"] == 0, built["err"]
    scores = json.loads((tmp_path / "page" / "scores.json").read_text(encoding="utf-8"))
    row = next(i for i, each in enumerate(scores["rows"]) if each["kind"] == "submission")
    name = scores["rows"][row]["id"]
    assert scores["rows"][row]["checked"]
    cells, tasks, codes = scores["cells"], scores["tasks"], scores["languages"]
    shown = {
        (tasks[cells["task"][i]]["name"], codes[cells["language"][i]]["code"]): cells["score"][i]
        for i, each in enumerate(cells["row"])
        if each == row
    }
    # What the check itself loaded, and no folder of its machine.
    loaded = {
        (tasks[cells["task"][i]]["name"], scores["data"][cells["data"][i]]["source"])
        for i, each in enumerate(cells["row"])
        if each == row
    }
    assert loaded == {("xnli", "facebook/xnli"), ("tatoeba", "mteb/tatoeba-bitext-mining")}
    for cell in (cell for of in checked["verdict"]["scores"]["0"].values() for cell in of.values()):
        assert (cell["data_source"] in dict(loaded).values(), cell["data_revision"]) == (True, None)
    assert str(gold) not in json.dumps(checked["verdict"])
    assert shown == {
        (task.spec.name, code): language_score(task.spec, score)
        for task in found.tasks.values()
        for code, score in task.languages.items()
    }
    if why := why_not():
        pytest.skip(why)
    with chromium() as browser:
        page = Page(browser, (tmp_path / "page" / "index.html").as_uri())
        page.open(f"benchmark=xtreme-r&model={name}")
        page.wait_for("#model [data-cell]")
        read = page.run("return [...document.querySelectorAll('#model [data-cell]')].map((c) => c.textContent)")
        numbers = [found[0] for text in read if (found := re.match(r"\d+\.\d", text))]
        assert {f"{score:.1f}" for score in shown.values()} <= set(numbers)
        assert page.complaints() == []


def test_a_prediction_that_was_changed_after_scoring_is_found(
    machine: Machine, scored: tuple[Path, Results], gold: Path
) -> None:
    board = found_board(machine.hub, BOARD)
    number = submit(machine, scored[0], gold)
    revision = f"refs/pr/{number}"
    there = board.files(board.resolve(revision) or "")
    path = next(path for path in there if path.endswith("xnli/test-de.tsv.gz"))
    lines = gzip.decompress(there[path].read_bytes()).decode().splitlines()
    lines[0] = next(label for label in LABELS if label != lines[0])
    board.commit({path: gzip.compress("\n".join([*lines, ""]).encode(), mtime=0)}, revision)
    refused = check(machine, number, gold)
    assert (refused["code"], refused["verdict"]["verdict"]) == (11, "refused")
    file = path.partition("/predictions/")[2]
    assert [problem for problem in refused["verdict"]["problems"] if file in problem], refused["verdict"]
    assert not [problem for problem in refused["verdict"]["problems"] if "test-ru" in problem]
