"""Submitting to a leaderboard on a Hub on this machine: one pull request for one content, whatever goes wrong."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from helpers.fake_hub import TOKEN, LoopbackHub, Repository
from helpers.machine import STRANGER, Machine
from helpers.runs import found_board, gold_folder, make_run, write_predictions
from xharness import files

COMMIT = "POST /api/datasets/org/.*/commit/"


@pytest.fixture(scope="module")
def gold(tmp_path_factory: Any) -> Path:
    return gold_folder(tmp_path_factory.mktemp("gold"))


@pytest.fixture(scope="module")
def run(gold: Path, tmp_path_factory: Any) -> Path:
    return make_run(tmp_path_factory.mktemp("runs") / "seed0", gold, {"xnli": ["de"], "tatoeba": ["de"]})


@pytest.fixture(scope="module")
def hub(tmp_path_factory: Any) -> Iterator[LoopbackHub]:
    with LoopbackHub(tmp_path_factory.mktemp("hub")) as server:
        server.user("stranger", STRANGER, "read")
        yield server


@pytest.fixture
def board(hub: LoopbackHub, request: pytest.FixtureRequest) -> Repository:
    """Return a leaderboard of the test's own."""
    return found_board(hub, f"org/{request.node.name[5:60].rstrip('-_')}")


def submit(run: Path, gold: Path, board: Repository, *more: object) -> list[object]:
    """Return what follows ``xharness``."""
    name = ["--name", "XLM-R"] if "--withdraw" not in more else []
    source = [] if "--withdraw" in more else [run, "--data-dir", gold]
    return ["submit", *source, "--to", board.name, *name, *more]


def proposed(board: Repository) -> list[str]:
    return sorted(ref for ref in board.record["refs"] if ref.startswith("refs/pr/"))


def merge(machine: Machine, board: Repository, number: int) -> None:
    machine.client.run(
        "from huggingface_hub import HfApi\nHfApi(token=token).merge_pull_request(name, number, repo_type='dataset')",
        token=TOKEN,
        name=board.name,
        number=number,
    )


def test_look_then_one_pull_request_then_nothing(run, gold, hub, machine, board):
    before = len(hub.requests)
    looked = machine.run(*submit(run, gold, board), token=STRANGER)
    assert looked["code"] == 0, looked["err"]
    assert {request.method for request in hub.requests[before:]} <= {"GET", "HEAD"}
    assert "Nothing was submitted. Give the same command with --yes to submit." in looked["err"]
    assert "partial in XTREME and XTREME-R: xnli: no score for" in looked["err"]
    assert "as a new pull request 'Submission: XLM-R (xlm-r-" in looked["out"]

    planned = json.loads(machine.run(*submit(run, gold, board, "--json"), token=STRANGER)["out"])
    found = machine.run(*submit(run, gold, board, "--json", "--yes"), token=STRANGER)
    assert found["code"] == 0, found["err"]
    outcome = json.loads(found["out"])
    assert (planned["state"], outcome["state"], outcome["number"]) == ("planned", "proposed", 1)
    assert (outcome["id"], outcome["files"]) == (planned["id"], planned["files"])
    assert outcome["url"] == f"{hub.endpoint}/datasets/{board.name}/discussions/1"
    assert outcome["title"] == f"Submission: XLM-R ({outcome['id']})"
    there = board.files(str(board.resolve("refs/pr/1")))
    sent = {file["path"]: file["sha256"] for file in outcome["files"]}
    assert {path: files.sha256(there[path]) for path in sent} == sent
    assert set(board.files(str(board.resolve("main")))).isdisjoint(sent)

    again = machine.run(*submit(run, gold, board, "--yes"), token=STRANGER)
    assert again["out"].startswith("nothing to do: a pull request with the same content is open")
    assert outcome["url"] in again["out"]
    assert proposed(board) == ["refs/pr/1"]

    merge(machine, board, 1)
    merged = machine.run(*submit(run, gold, board, "--yes"), token=STRANGER)
    assert merged["out"].startswith("nothing to do: it is on the leaderboard")
    assert proposed(board) == ["refs/pr/1"]


def test_other_content_is_another_pull_request(run, gold, machine, board):
    first = machine.run(*submit(run, gold, board, "--yes", "--json"))
    other = machine.run(*submit(run, gold, board, "--yes", "--json", "--note", "again"))
    assert json.loads(first["out"])["id"] != json.loads(other["out"])["id"]
    assert proposed(board) == ["refs/pr/1", "refs/pr/2"]


def test_a_pull_request_of_somebody_else_is_not_taken_for_ones_own(run, gold, machine, board):
    theirs = json.loads(machine.run(*submit(run, gold, board, "--yes", "--json"), token=STRANGER)["out"])
    mine = json.loads(machine.run(*submit(run, gold, board, "--yes", "--json"))["out"])
    assert (theirs["number"], mine["number"]) == (1, 2)


def test_a_lost_answer_opens_nothing_twice(run, gold, hub, machine, board):
    hub.fail(COMMIT, after=True)
    found = machine.run(*submit(run, gold, board, "--yes"))
    assert (found["code"], found["out"].startswith("proposed: ")) == (0, True), found["err"]
    assert "The response to the commit was lost" in found["err"]
    assert proposed(board) == ["refs/pr/1"]


def test_a_hub_that_fails_is_no_success(run, gold, hub, machine, board):
    hub.fail(COMMIT, status=500)
    found = machine.run(*submit(run, gold, board, "--yes"))
    assert found["code"] == 10
    assert "an internal error (HTTP 500)" in found["err"]
    assert proposed(board) == []
    # Somebody else's commit just before ours is no obstacle: a pull request changes main only once it is merged.
    hub.fail(COMMIT, stale=True)
    assert machine.run(*submit(run, gold, board, "--yes"))["out"].startswith("proposed: ")
    assert proposed(board) == ["refs/pr/1"]


def test_withdrawing_ones_own(run, gold, hub, machine, board):
    sent = json.loads(machine.run(*submit(run, gold, board, "--yes", "--json"))["out"])
    withdraw = submit(run, gold, board, "--withdraw", sent["id"], "--reason", "wrong seeds")
    early = machine.run(*withdraw, "--yes")
    assert (early["code"], "there is no submission" in early["err"]) == (11, True)
    merge(machine, board, 1)
    stranger = machine.run(*withdraw, "--yes", token=STRANGER)
    assert (stranger["code"], "was submitted by tester" in stranger["err"]) == (11, True)
    looked = machine.run(*withdraw, "--submitted-by", "stranger", token=None)
    assert (looked["code"], "was submitted by tester, not by stranger" in looked["err"]) == (11, True)
    assert "--withdraw needs --reason" in machine.run(*submit(run, gold, board, "--withdraw", sent["id"]))["err"]
    assert (
        "is not a submission id" in machine.run(*submit(run, gold, board, "--withdraw", "../x", "--reason", "x"))["err"]
    )
    done = json.loads(machine.run(*withdraw, "--yes", "--json")["out"])
    assert (done["state"], done["title"]) == ("proposed", f"Withdrawal: {sent['id']}")
    [path] = [file["path"] for file in done["files"]]
    assert path == f"submissions/{sent['id']}/withdrawn.json"
    assert json.loads(board.files(str(board.resolve("refs/pr/2")))[path].read_text()) == {"reason": "wrong seeds"}
    assert json.loads(machine.run(*withdraw, "--yes", "--json")["out"])["state"] == "unchanged"
    merge(machine, board, 2)
    assert "on the leaderboard" in machine.run(*withdraw, "--yes")["out"]
    assert "it was withdrawn" in machine.run(*submit(run, gold, board, "--yes"))["err"]
    assert proposed(board) == ["refs/pr/1", "refs/pr/2"]


def test_superseding_ones_own(run, gold, machine, board):
    first = json.loads(machine.run(*submit(run, gold, board, "--yes", "--json"))["out"])
    merge(machine, board, 1)
    newer = submit(run, gold, board, "--supersedes", first["id"], "--yes", "--json")
    assert "was submitted by tester" in machine.run(*newer, token=STRANGER)["err"]
    made = json.loads(machine.run(*newer)["out"])
    record = board.files(str(board.resolve("refs/pr/2")))[f"submissions/{made['id']}/submission.json"]
    assert json.loads(record.read_text())["supersedes"] == first["id"]
    unknown = machine.run(*submit(run, gold, board, "--supersedes", f"{first['id'][:-1]}x", "--yes"))
    assert (unknown["code"], "supersedes: found" in unknown["err"]) == (11, True)
    absent = machine.run(*submit(run, gold, board, "--supersedes", "xlm-r-000000000000", "--yes"))
    assert "there is no submission 'xlm-r-000000000000' on this leaderboard" in absent["err"]


def test_what_is_no_leaderboard(run, gold, hub, machine):
    plain = hub.repository("datasets", "org/plain")
    plain.commit({"README.md": "a data set"})
    found = machine.run(*submit(run, gold, plain, "--yes"))
    assert (found["code"], "it has no board.json" in found["err"]) == (10, True)
    nothing = machine.run(*submit(run, gold, hub.place("datasets", "org/nothing"), "--yes"))
    assert (nothing["code"], "the data set does not exist" in nothing["err"]) == (10, True)


def test_without_a_token_one_may_look_and_not_send(run, gold, machine, board):
    look = machine.run(*submit(run, gold, board), token=None)
    assert (look["code"], "give --submitted-by" in look["err"]) == (2, True)
    named = machine.run(*submit(run, gold, board, "--submitted-by", "tester", "--json"), token=None)
    assert json.loads(named["out"])["id"] == json.loads(machine.run(*submit(run, gold, board, "--json"))["out"])["id"]
    sent = machine.run(*submit(run, gold, board, "--yes"), token=None)
    assert (sent["code"], "this machine has no Hub token" in sent["err"]) == (10, True)
    other = machine.run(*submit(run, gold, board, "--submitted-by", "ann", "--yes"))
    assert (other["code"], "the token belongs to 'tester'" in other["err"]) == (2, True)


def test_another_systems_predictions_are_submitted(gold, machine, board, tmp_path):
    predictions = write_predictions(tmp_path / "mt5", gold, {"xnli": ["de"]})
    said = ["--predictions", predictions, "--model-name", "mT5 XXL", "--architecture", "encoder-decoder"]
    said += ["--model", f"google/mt5-xxl@{'b' * 40}", "--paper", "https://arxiv.org/abs/2010.11934"]
    said += ["--saw-test-data", "no", "--data-dir", gold, "--to", board.name, "--json", "--yes"]
    sent = json.loads(machine.run("submit", *said)["out"])
    assert (sent["state"], sent["track"]) == ("proposed", "encoder-decoder, tuned, zero-shot")
    there = board.files(str(board.resolve("refs/pr/1")))[f"submissions/{sent['id']}/submission.json"]
    model = json.loads(there.read_text())["model"]
    assert (model["repo"], model["revision"]) == ("google/mt5-xxl", "b" * 40)


def test_options_that_cannot_be_meant_together(run, gold, machine, board):
    def said(*arguments: object) -> str:
        found = machine.run("submit", *arguments, "--to", board.name)
        assert found["code"] == 2
        return str(found["err"])

    assert "Give either RUN folders or --predictions DIR" in said("--name", "x")
    assert "Give either RUN folders or --predictions DIR" in said(run, "--predictions", run, "--name", "x")
    assert "--name is missing: give the name of the system" in said(run)
    assert "--phase: the runs record it" in said(run, "--name", "x", "--phase", "tuned")
    assert "--reason needs --withdraw" in said(run, "--name", "x", "--reason", "y")
    assert "--withdraw cannot be used together with RUN" in said(run, "--withdraw", "x-000000000000", "--reason", "y")
    assert "is a run folder. Leave --predictions out" in said("--predictions", run, "--name", "x")


def test_nobody_to_ask(run, gold, tmp_path):
    with LoopbackHub(tmp_path / "hub") as gone:
        board = found_board(gone, "org/board")
        away = Machine(gone, tmp_path / "home")
    with away.client:
        looked = away.run(*submit(run, gold, board, "--submitted-by", "tester"))
        assert (looked["code"], "not compared with the Hub" in looked["err"]) == (0, True)
        sent = away.run(*submit(run, gold, board, "--yes"))
        assert (sent["code"], "cannot be reached" in sent["err"]) == (10, True)
