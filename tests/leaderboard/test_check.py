"""Checking submissions: all scores anew, beside what is on the board, from folders and from pull requests."""

from __future__ import annotations

import itertools
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from helpers.fake_hub import TOKEN, LoopbackHub, Repository
from helpers.fake_hub.discussions import note_commit, open_discussion
from helpers.leaderboard import packed, write_package
from helpers.machine import Machine
from helpers.runs import CELLS, found_board, gold_folder, make_run, tuned
from xharness.errors import DataError
from xharness.leaderboard import check as checking
from xharness.leaderboard import rescore as rescoring
from xharness.leaderboard import rules as plausibility
from xharness.leaderboard import store as merged
from xharness.leaderboard import verdict
from xharness.leaderboard.package import Package
from xharness.leaderboard.submission import Withdrawal, as_bytes
from xharness.metrics.paired import unpack
from xharness.results import score as results

STRANGER = "hf_stranger"
COMMIT, UPLOAD, COMMENT, CLOSE = ("POST .*/commit/", "PUT .*/lfs/", "POST .*/comment$", "POST .*/status$")
_NUMBERS = itertools.count()


@pytest.fixture(scope="module")
def gold(tmp_path_factory: Any) -> Path:
    return gold_folder(tmp_path_factory.mktemp("gold"))


@pytest.fixture(scope="module")
def runs(gold: Path, tmp_path_factory: Any) -> list[Path]:
    folder = tmp_path_factory.mktemp("runs")
    return [make_run(folder / f"seed{seed}", gold, seed=seed) for seed in (0, 1)]


@pytest.fixture(scope="module")
def package(runs: list[Path], gold: Path) -> Package:
    return packed(*runs, gold=gold, submitted_by="tester")


@pytest.fixture(scope="module")
def folder(package: Package, tmp_path_factory: Any) -> Path:
    return write_package(package, tmp_path_factory.mktemp("package") / package.submission.id)


def test_the_scores_of_an_accepted_one_are_those_of_the_runs(folder, package, runs, gold):
    checked = checking.check(folder, name=package.submission.id, data_dir=gold)
    found = checked.verdict
    assert (found.problems, found.id, found.digest) == ([], package.submission.id, package.submission.digest)
    for seed, run in enumerate(runs):
        for task, languages in CELLS.items():
            for code in languages:
                recorded = results.load(run / "results" / task / f"{code}.json")
                cell = found.scores[str(seed)][task][code]
                assert (cell.scores, cell.intervals, cell.n) == (recorded.scores, recorded.intervals, recorded.n)
                assert (cell.data_hash, cell.spec_hash) == (recorded.data_hash, recorded.spec_hash)
                assert cell.whole == recorded.whole
    assert verdict.parse(found.to_bytes(), "verdict.json") == found
    assert any(line.startswith("partial: xnli in XTREME: no score for") for line in found.warnings)


def test_replicates_are_means_over_seeds_around_the_scores(folder, gold):
    checked = checking.check(folder, data_dir=gold)
    index = checked.verdict.replicates
    assert index is not None
    assert index.cells == [[task, code] for task, codes in sorted(CELLS.items()) for code in codes]
    cells = unpack(checked.replicates)
    assert cells.shape == (len(index.cells), index.resamples)
    place = index.cells.index(["xnli", "de"])
    score = np.mean([checked.verdict.scores[seed]["xnli"]["de"].scores["accuracy"] for seed in ("0", "1")])
    assert abs(cells[place].mean() - score) < 5


@pytest.mark.slow  # processes that are started anew import everything again
def test_two_processes_say_what_one_says(folder, gold, monkeypatch):
    monkeypatch.setattr(rescoring, "_ALONE", 0)
    one, two = (checking.check(folder, data_dir=gold, workers=workers) for workers in (1, 2))
    assert one == two


def test_missing_gold_and_samples_say_nothing_about_the_submission(folder, gold, tmp_path):
    with pytest.raises(DataError, match="could not be made"):
        checking.check(folder, data_dir=tmp_path)
    shutil.copytree(gold, tmp_path / "sample")
    path = tmp_path / "sample" / "MANIFEST.tsv"
    path.write_text(path.read_text(encoding="utf-8").replace("complete:", "sample:"), encoding="utf-8")
    with pytest.raises(DataError, match="the gold data here is a sample"):
        checking.check(folder, data_dir=tmp_path / "sample")


def board_of(to: Path, *packages: Package) -> Path:
    """Write a copy of a board's data set."""
    (to / "submissions").mkdir(parents=True, exist_ok=True)
    for each in packages:
        write_package(each, to / each.folder)
    return to


def said(board: Path, package: Package, gold: Path) -> tuple[str, str]:
    """Return the problems and warnings of a submission beside the others of a board."""
    name = package.submission.id
    others = [other for folder_name, other in checking.read_known(board).items() if folder_name != name]
    found = checking.check(board / "submissions" / name, name=name, others=others, data_dir=gold).verdict
    return "\n".join(found.problems), "\n".join(found.warnings)


def test_the_same_predictions_under_another_name_are_refused(package, runs, gold, tmp_path):
    copied = packed(*runs, gold=gold, name="Mine", submitted_by="eve")
    problems, _ = said(board_of(tmp_path, package, copied), copied, gold)
    assert f"all predictions are those of {package.submission.id}" in problems


def test_a_part_of_them_and_the_same_checkpoint_are_said(package, runs, gold, tmp_path):
    fewer = packed(runs[0], gold=gold, name="One seed", submitted_by="ann")
    _, warnings = said(board_of(tmp_path, fewer, package), package, gold)
    assert f"5 of 10 predictions are those of {fewer.submission.id}" in warnings
    assert "the same checkpoint is on the board as 'One seed'" in warnings


def test_only_own_submissions_are_superseded(package, runs, gold, tmp_path):
    for number, (user, refused) in enumerate([("tester", False), ("eve", True)]):
        again = packed(*runs, gold=gold, name="Better", submitted_by=user, supersedes=package.submission.id)
        problems, _ = said(board_of(tmp_path / str(number), package, again), again, gold)
        assert ("may replace own submissions only" in problems) == refused
        assert "all predictions" not in problems


def test_the_command_prints_records_and_ends_with_its_code(folder, package, gold, runner, tmp_path):
    done = runner("leaderboard", "check", folder, "--data-dir", gold, "--record", tmp_path)
    assert done.exit_code == 0
    assert done.out.startswith(f"{package.submission.id}: accepted")
    kept = tmp_path / "checks" / package.submission.id
    found = verdict.parse((kept / "verdict.json").read_bytes(), "verdict.json")
    assert found.replicates is not None
    assert len((kept / "replicates.bin").read_bytes()) == 2 * 200 * len(found.replicates.cells)
    spoilt = Path(shutil.copytree(folder, tmp_path / "spoilt"))
    (spoilt / "predictions/seed1/panx/test-de.tsv.gz").write_bytes(b"x")
    done = runner("leaderboard", "check", spoilt, "--data-dir", gold, "--json")
    assert done.exit_code == 11
    assert json.loads(done.out)["verdict"] == "refused"
    assert "predictions/seed1/panx/test-de.tsv.gz: has 1 bytes" in json.loads(done.out)["problems"][0]
    assert runner("leaderboard", "check", folder, "--data-dir", tmp_path).exit_code == 4
    for wrong in ([], [folder, "--comment"], [tmp_path / "no"], ["--pr", 1], [folder, "--id", "x", "--all"]):
        assert runner("leaderboard", "check", *wrong).exit_code == 2


def test_a_copy_of_the_data_set_is_checked_whole_or_by_id(package, runs, gold, runner, tmp_path):
    board = board_of(tmp_path, package)
    (board / "submissions" / "other").symlink_to("/etc")
    assert "--id, or give --all" in runner("leaderboard", "check", board, "--data-dir", gold).err
    one = runner("leaderboard", "check", board, "--id", package.submission.id, "--data-dir", gold, "--record", board)
    assert one.exit_code == 0
    assert merged.read_one(board, package.submission.id).checked
    (board / "submissions" / os.fsdecode(b"\xff\x1b[2J")).mkdir()
    every = runner("leaderboard", "check", board, "--all", "--data-dir", gold, "--json")
    assert every.exit_code == 11
    assert sorted(v["verdict"] for v in json.loads(every.out)["verdicts"]) == ["accepted", "refused", "refused"]
    assert "Did you mean" in runner("leaderboard", "check", board, "--id", package.submission.id[:-1]).err


def test_what_was_tuned_on_a_sample_is_said(gold, tmp_path):
    how = tuned(1)
    how["score"]["tuned"]["data_status"] = ["complete", "sample"]
    package = packed(make_run(tmp_path / "run", gold, {"xnli": ("de", "ru"), "xquad": ("de",)}, **how), gold=gold)
    board = board_of(tmp_path, package)
    found = checking.check(board / package.folder, data_dir=gold)
    assert [each for each in found.verdict.warnings if "xnli in XTREME:" in each and "tuned on sample data" in each]
    assert found.verdict.scores["1"]["xnli"]["de"].cut_training == ["sample"]


# --- Pull requests ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def hub(tmp_path_factory: Any) -> Iterator[LoopbackHub]:
    with LoopbackHub(tmp_path_factory.mktemp("hub")) as server:
        server.user("stranger", STRANGER, "read")
        yield server


@pytest.fixture
def board(hub: LoopbackHub, request: pytest.FixtureRequest) -> Repository:
    """Return a leaderboard of the test's own."""
    name = f"{request.node.originalname[5:50]}_{next(_NUMBERS)}"
    return found_board(hub, f"org/{name}")


def contents(package: Package) -> dict[str, bytes]:
    return {file.path: file.source for file in package.files}


def propose(
    board: Repository,
    changed: Mapping[str, bytes | None],
    author: str = "tester",
    base: str | None = None,
    status: str = "open",
) -> int:
    """Open a pull request that changes files, whatever they are; None removes one."""
    start = base or board.resolve("main") or ""
    number = open_discussion(
        board, author, "A submission", "Please merge.", base=start, onto="refs/heads/main", status=status
    )
    tree = {path: file for path, file in board.tree(start).items() if path not in changed}
    tree |= {path: board.keep(path, content) for path, content in changed.items() if content is not None}
    sha = board.advance(f"refs/pr/{number}", tree, start, title="A submission", author=author)
    note_commit(board, f"refs/pr/{number}", sha, author, "A submission")
    return number


def push(board: Repository, number: int, files: Mapping[str, bytes | None], author: str = "tester") -> None:
    """Commit more to a pull request."""
    sha = board.commit(files, f"refs/pr/{number}", author=author)
    note_commit(board, f"refs/pr/{number}", sha, author, "More")


def checked(
    machine: Machine, board: Repository, number: int, gold: Path, *more: object, **named: Any
) -> dict[str, Any]:
    arguments = ["leaderboard", "check", "--pr", number, "--of", board.name, "--data-dir", gold, "--json", *more]
    found = machine.run(*arguments, **named)
    return found | {"verdict": json.loads(found["out"]) if found["out"] else {}}


def main_files(board: Repository) -> dict[str, Path]:
    return board.files(board.resolve("main") or "")


def comments_of(board: Repository, number: int) -> list[str]:
    events = board.record["discussions"][str(number)]["events"]
    return [event["data"]["latest"]["raw"] for event in events if event["type"] == "comment"]


def on_the_hub(machine: Machine, board: Repository, what: str, *arguments: Any) -> None:
    """Do something by hand, as a maintainer on the Hub's own pages."""
    code = "from huggingface_hub import HfApi\n"
    code += "getattr(HfApi(token=token), what)(repo, *arguments, repo_type='dataset')"
    machine.client.run(code, what=what, repo=board.name, arguments=list(arguments), token=TOKEN)


def merged_there(board: Repository, name: str) -> bool:
    """Whether main holds a submission and a verdict that accepts it."""
    there = main_files(board)
    path = f"checks/{name}/verdict.json"
    return path in there and verdict.parse(there[path].read_bytes(), "v").accepted


def test_submitted_checked_commented_once_merged_and_recorded(board, machine, runs, gold):
    submitted = machine.run(
        "submit", *runs, "--to", board.name, "--name", "XLM-R", "--data-dir", gold, "--json", "--yes"
    )
    assert submitted["code"] == 0, submitted["err"]
    assert checked(machine, board, 1, gold, "--comment")["verdict"]["commented"] is True
    before = len(board.history())
    found = checked(machine, board, 1, gold, "--comment", "--merge")
    assert (found["code"], found["verdict"]["verdict"], found["verdict"]["commented"]) == (0, "accepted", False)
    comments = comments_of(board, 1)
    assert len(comments) == 3  # the submitter's, the check's, and why it is closed
    assert "**accepted**" in comments[1]
    name = found["verdict"]["id"]
    assert {f"checks/{name}/verdict.json", f"checks/{name}/replicates.bin"} <= set(main_files(board))
    assert len(board.history()) == before + 1  # what was submitted and the verdict, or none of both
    assert merged_there(board, name)
    assert board.record["discussions"]["1"]["status"] == "closed"
    assert f"as of commit {board.resolve('main')}" in comments_of(board, 1)[-1]
    # Once more, as a job that was cut off after the commit: nothing is left to do but to close it.
    again = checked(machine, board, 1, gold, "--comment", "--merge")
    assert (again["code"], again["verdict"]["recorded"]) == (0, None)
    on_the_hub(machine, board, "change_discussion_status", 1, "open")
    assert checked(machine, board, 1, gold, "--comment", "--merge")["verdict"]["recorded"] is None
    assert board.record["discussions"]["1"]["status"] == "closed"
    assert len(board.history()) == before + 1


def test_what_was_merged_meanwhile_is_no_part_of_a_pull_request(board, machine, package, runs, gold):
    start = board.resolve("main")
    other = packed(runs[0], gold=gold, name="Other", submitted_by="ann")
    board.commit(contents(other))
    number = propose(board, contents(package), base=start)
    found = checked(machine, board, number, gold, "--merge")
    assert (found["code"], found["verdict"]["problems"]) == (0, [])
    assert {f"submissions/{each.submission.id}/submission.json" for each in (other, package)} <= set(main_files(board))


def forged_pull_requests(package: Package, other: Package) -> dict[str, tuple[dict[str, bytes | None], str]]:
    mine, theirs, one = package.folder, other.folder, contents(package)
    prediction = next(path for path in one if path.endswith(".gz"))
    return {
        "somebody else's files": ({**one, f"{theirs}/submission.json": b"{}"}, "is on the board already"),
        "somebody else's predictions": ({f"{theirs}/predictions/x": b"{}"}, "is on the board already"),
        "a file of the checks": ({**one, f"checks/{package.submission.id}/verdict.json": b"{}"}, "maintainers"),
        "a verdict on another": ({f"checks/{other.submission.id}/verdict.json": b"{}"}, "maintainers"),
        "the board's own file": ({**one, "board.json": b"{}"}, "may not be changed by a submission"),
        "the card": ({**one, "README.md": b"# mine"}, "may not be changed by a submission"),
        "the attributes": ({**one, ".gitattributes": b""}, "may not be changed by a submission"),
        "a workflow": ({**one, ".github/workflows/x.yml": b"on: push"}, "may not be changed by a submission"),
        "a file beside all submissions": ({**one, "submissions/x.py": b""}, "may not be changed by a submission"),
        "removes a submission": (dict.fromkeys(contents(other)), "is removed"),
        "removes the card": ({**one, "README.md": None}, "may not be changed by a submission"),
        "two submissions": ({**one, "submissions/a-0123456789ab/submission.json": b"{}"}, "one is sent at a time"),
        "a name that is no id": ({"submissions/../x/submission.json": b"{}"}, "no id of a submission"),
        "a folder of another id": (
            {path.replace(package.submission.id, "a-0123456789ab"): content for path, content in one.items()},
            "the folder is called a-0123456789ab",
        ),
        "nothing": ({}, "changes nothing"),
        "no record": ({prediction: one[prediction]}, "is missing"),
        "a file more": ({**one, f"{mine}/run.sh": b"#!/bin/sh"}, "does not belong there"),
        "a file fewer": ({path: content for path, content in one.items() if path != prediction}, "is missing"),
        "a withdrawal in a new one": ({**one, f"{mine}/withdrawn.json": b"{}"}, "does not belong"),
        "a withdrawal of nothing": ({f"{mine}/withdrawn.json": b"{}"}, "no such submission to withdraw"),
        "a withdrawal of somebody else's": (
            {f"{theirs}/withdrawn.json": as_bytes(Withdrawal(reason="bad"))},
            "but tester opened the pull request",
        ),
    }


def test_a_pull_request_changes_its_own_submission_and_nothing_else(board, machine, package, runs, gold):
    other = packed(runs[0], gold=gold, name="Other", submitted_by="ann")
    board.commit(contents(other))
    head = board.resolve("main")
    for name, (changed, words) in forged_pull_requests(package, other).items():
        found = checked(machine, board, propose(board, changed), gold, "--merge")
        assert (name, found["code"]) == (name, 11)
        assert words in "\n".join(found["verdict"]["problems"]), name
    assert board.resolve("main") == head


def test_everyone_submits_and_withdraws_in_their_own_name(board, machine, package, gold):
    stranger = propose(board, contents(package), author="stranger")
    found = checked(machine, board, stranger, gold, "--merge")
    assert found["code"] == 11
    assert "found tester, but stranger opened the pull request" in found["verdict"]["problems"][0]
    assert checked(machine, board, propose(board, contents(package)), gold, "--merge")["code"] == 0
    gone = {f"{package.folder}/withdrawn.json": as_bytes(Withdrawal(reason="wrong seeds"))}
    assert checked(machine, board, propose(board, gone, author="stranger"), gold, "--merge")["code"] == 11
    assert checked(machine, board, propose(board, gone), gold, "--merge")["code"] == 0
    assert set(gone) <= set(main_files(board))


def test_the_same_submission_once_more_is_closed_and_changes_nothing(board, machine, package, gold):
    first, second = propose(board, contents(package)), propose(board, contents(package))
    assert checked(machine, board, first, gold, "--merge")["code"] == 0
    head = board.resolve("main")
    found = checked(machine, board, second, gold, "--merge")
    assert (found["code"], found["verdict"]["recorded"], board.resolve("main")) == (0, None, head)
    assert board.record["discussions"][str(second)]["status"] == "closed"
    stranger = propose(board, contents(package), author="stranger")
    assert checked(machine, board, stranger, gold, "--merge")["code"] == 11


CHECK = """
from pathlib import Path
from xharness.leaderboard import review as pull_checks
kept = pull_checks.check_pull_request(repo, number, Path(work), Path(gold))
assert kept.checked.verdict.accepted, kept.checked.verdict.problems
result = sorted(kept.proposed.changes)
"""
MERGE = """
import os
from huggingface_hub import CommitOperationAdd, HfApi
from xharness.hub import write as hub_commits
os.environ["HF_TOKEN"] = token
commit = hub_commits.commit
def meanwhile(*given, **named):
    before = meanwhile.done
    meanwhile.done = True
    if not before and path:
        operation = CommitOperationAdd(path, b"{}")
        HfApi().create_commit(repo, [operation], commit_message="more", revision=revision, repo_type="dataset")
    made = commit(*given, **named)
    if lost:
        raise pull_checks.Lost("the answer did not come")
    return made
meanwhile.done = False
hub_commits.commit = meanwhile
try:
    result = pull_checks.merge(kept, print)
except Exception as error:
    result = str(error)
finally:
    hub_commits.commit = commit
    del os.environ["HF_TOKEN"]
"""


def merge_checked(machine: Machine, board: Repository, **how: Any) -> str | None:
    """Merge what was checked last, while something else happens; return the commit or what is said."""
    given = {"path": "", "revision": "main", "lost": False, "token": TOKEN, "repo": board.name, **how}
    found: str | None = machine.client.run(MERGE, **given)
    return found


def check_first(machine: Machine, board: Repository, package: Package, gold: Path, work: Path) -> int:
    number = propose(board, contents(package))
    work.mkdir(exist_ok=True)
    machine.client.run(CHECK, repo=board.name, number=number, gold=str(gold), work=str(work))
    return number


def test_what_changed_after_the_check_is_not_merged(board, machine, package, gold, tmp_path):
    number = check_first(machine, board, package, gold, tmp_path)
    head = board.resolve("main")
    board.commit({"board.json": b"{}"}, f"refs/pr/{number}")
    assert "was changed since it was checked; nothing was merged" in str(merge_checked(machine, board))
    assert board.resolve("main") == head


def test_what_is_put_into_a_pull_request_at_the_moment_of_the_merge_stays_out(board, machine, package, gold, tmp_path):
    number = check_first(machine, board, package, gold, tmp_path)
    forged = "checks/other-0123456789ab/verdict.json"
    merge_checked(machine, board, path=forged, revision=f"refs/pr/{number}")
    assert forged in board.files(board.resolve(f"refs/pr/{number}") or "")
    assert merged_there(board, package.submission.id)
    assert forged not in main_files(board)
    there = {path: file.read_bytes() for path, file in main_files(board).items()}
    assert {path: there[path] for path in contents(package)} == contents(package)


def test_another_commit_to_main_at_that_moment_is_kept(board, machine, package, gold, tmp_path):
    check_first(machine, board, package, gold, tmp_path)
    merge_checked(machine, board, path="notes.md")
    assert "notes.md" in main_files(board)
    assert merged_there(board, package.submission.id)


def test_another_submission_at_that_moment_asks_for_a_new_check(board, machine, package, gold, tmp_path):
    check_first(machine, board, package, gold, tmp_path)
    said = merge_checked(machine, board, path="submissions/other-0123456789ab/submission.json")
    assert "other submissions were merged since the check; nothing was merged" in str(said)
    assert package.folder not in " ".join(main_files(board))


def test_an_answer_to_the_commit_that_is_lost_is_found_out(board, machine, package, gold, tmp_path):
    check_first(machine, board, package, gold, tmp_path)
    assert merge_checked(machine, board, lost=True) == board.resolve("main")
    assert merged_there(board, package.submission.id)


@pytest.mark.parametrize(
    ("match", "fault"),
    [
        (COMMENT, {"status": 500}),
        (COMMENT, {"after": True}),
        (UPLOAD, {"status": 500}),
        (COMMIT, {"status": 500}),
        (COMMIT, {"cut_upload_after": 100}),
        (COMMIT, {"after": True}),
        (COMMIT, {"stale": True}),
        (CLOSE, {"status": 500}),
        (CLOSE, {"after": True}),
        ("GET .*/tree/", {"status": 500}),
        ("GET .*/refs", {"status": 500}),
    ],
)
def test_whatever_goes_wrong_the_next_run_finishes(hub, board, machine, package, gold, match, fault):
    number = propose(board, contents(package))
    hub.fail(match, **fault)
    checked(machine, board, number, gold, "--comment", "--merge")
    hub.faults.clear()
    there = main_files(board)
    mine = {f"checks/{package.submission.id}/verdict.json", *contents(package)}
    assert mine <= set(there) or not mine & set(there)
    again = checked(machine, board, number, gold, "--comment", "--merge")
    assert again["code"] == 0, again["err"]
    assert merged_there(board, package.submission.id)
    assert board.record["discussions"][str(number)]["status"] == "closed"
    assert len([commit for commit in board.history() if commit["title"].endswith(f"(#{number})")]) == 1
    assert len([said for said in comments_of(board, number) if "**accepted**" in said]) == 1


def test_what_was_merged_by_hand_gets_its_verdict(board, machine, package, gold):
    number = propose(board, contents(package))
    on_the_hub(machine, board, "merge_pull_request", number)
    assert not merged_there(board, package.submission.id)
    assert checked(machine, board, number, gold, "--merge")["code"] == 0
    assert merged_there(board, package.submission.id)
    assert board.record["discussions"][str(number)]["status"] == "merged"


def test_what_is_on_main_otherwise_than_it_was_checked_gets_no_verdict(board, machine, package, gold):
    number = propose(board, contents(package))
    path = next(path for path in contents(package) if path.endswith(".gz"))
    board.commit({**contents(package), path: b"other"})
    found = checked(machine, board, number, gold, "--merge")
    assert found["code"] == 11
    assert [each for each in found["verdict"]["problems"] if f"{path}: is on main otherwise than here" in each]
    assert not merged_there(board, package.submission.id)


def visit(machine: Machine, board: Repository, gold: Path, *more: object) -> dict[str, Any]:
    """Check all open pull requests, as automation does."""
    arguments = ["leaderboard", "check", "--open", "--of", board.name, "--data-dir", gold, "--comment", "--merge"]
    found = machine.run(*arguments, "--json", *more)
    said = json.loads(found["out"])
    numbers = [int(each["pull_request"].rpartition("/")[2]) for each in said["verdicts"]]
    verdicts = [each["verdict"] for each in said["verdicts"]]
    return {**said, "code": found["code"], "found": dict(zip(numbers, verdicts, strict=True))}


def test_all_open_pull_requests_are_visited_and_refused_ones_once(board, machine, package, gold):
    bad = propose(board, {**contents(package), "README.md": b"# mine"})
    good = propose(board, contents(package))
    found = visit(machine, board, gold)
    assert (found["code"], found["found"], found["refused_before"]) == (11, {bad: "refused", good: "accepted"}, [])
    assert merged_there(board, package.submission.id)
    again = visit(machine, board, gold)
    assert (again["code"], again["found"], again["refused_before"]) == (0, {}, [bad])
    push(board, bad, {"README.md": b"# yours"})
    assert visit(machine, board, gold)["found"] == {bad: "refused"}
    assert len(comments_of(board, bad)) == 3


def test_a_refusal_for_what_is_on_the_board_is_none_for_ever(board, machine, package, runs, gold):
    newer = packed(*runs, gold=gold, name="New", submitted_by="tester", supersedes=package.submission.id)
    early, later = propose(board, contents(newer)), propose(board, contents(package))
    assert visit(machine, board, gold)["found"] == {early: "refused", later: "accepted"}
    assert visit(machine, board, gold)["found"] == {early: "accepted"}
    assert merged_there(board, newer.submission.id)


def test_who_changes_a_pull_request_stands_behind(board, machine, package, runs, gold):
    thief = propose(board, {"README.md": b"# soon"}, author="stranger")
    author = propose(board, contents(package))
    copied = packed(*runs, gold=gold, name="Mine now", submitted_by="stranger")
    push(board, thief, {"README.md": board.files(board.resolve("main"))["README.md"].read_bytes(), **contents(copied)})
    assert visit(machine, board, gold)["found"] == {author: "accepted", thief: "refused"}
    assert merged_there(board, package.submission.id)


def test_a_name_like_the_checks_own_mark_makes_it_pass_over_nobody(hub, board, machine, package, runs, gold):
    number = propose(board, contents(package))
    sha = board.resolve(f"refs/pr/{number}")
    named = packed(runs[0], gold=gold, name=f"<!-- xharness 0.1.0 refused {sha}", submitted_by="ann")
    board.commit(contents(named))
    hub.fail(COMMIT, status=500)
    assert visit(machine, board, gold)["failed"]
    hub.faults.clear()
    assert f"refused {sha}" in comments_of(board, number)[-1]
    assert "<!-- xharness 0.1.0 refused" not in comments_of(board, number)[-1]
    assert visit(machine, board, gold)["found"] == {number: "accepted"}


def test_drafts_wait_for_their_authors(board, machine, package, gold):
    number = propose(board, contents(package), status="draft")
    found = visit(machine, board, gold)
    assert (found["code"], found["found"], found["drafts"]) == (0, {}, [number])
    one = checked(machine, board, number, gold, "--merge")
    assert (one["code"], "is draft, not open" in one["err"]) == (10, True)
    assert not merged_there(board, package.submission.id)


def test_a_pull_request_that_is_closed_while_it_is_checked_is_not_merged(board, machine, package, gold, tmp_path):
    number = check_first(machine, board, package, gold, tmp_path)
    on_the_hub(machine, board, "change_discussion_status", number, "closed")
    assert "is closed, not open; nothing was merged" in str(merge_checked(machine, board))
    assert not merged_there(board, package.submission.id)


def test_once_more_from_an_old_base_the_verdict_on_main_stays(board, machine, package, runs, gold):
    start = board.resolve("main")
    other = packed(runs[0], gold=gold, name="Other", submitted_by="ann")
    board.commit(contents(other))
    number = propose(board, contents(package), base=start)
    first = checked(machine, board, number, gold, "--comment", "--merge")["verdict"]
    assert [each for each in first["warnings"] if "the same checkpoint is on the board" in each]
    head = board.resolve("main")
    for again in (number, propose(board, contents(package), base=start)):
        second = checked(machine, board, again, gold, "--comment", "--merge")["verdict"]
        assert (second["verdict"], second["warnings"]) == ("accepted", first["warnings"])
    assert board.resolve("main") == head
    assert len(comments_of(board, number)) == 3  # none is said twice


def test_a_correction_whose_closing_failed_is_closed_by_the_next_run(hub, board, machine, package, runs, gold):
    start = board.resolve("main")
    board.commit(contents(package))
    newer = packed(*runs, gold=gold, name="New", submitted_by="tester", supersedes=package.submission.id)
    number = propose(board, contents(newer), base=start)
    hub.fail(CLOSE, status=500)
    assert visit(machine, board, gold)["failed"]
    hub.faults.clear()
    assert visit(machine, board, gold)["found"] == {number: "accepted"}
    assert board.record["discussions"][str(number)]["status"] == "closed"


def test_what_is_no_longer_there_cannot_be_withdrawn(board, machine, package, gold):
    before = board.commit(contents(package))
    number = propose(board, {f"{package.folder}/withdrawn.json": as_bytes(Withdrawal(reason="bad"))}, base=before)
    board.commit(dict.fromkeys(contents(package)))
    found = checked(machine, board, number, gold, "--merge")
    assert (found["code"], "there is no such submission" in found["verdict"]["problems"][0]) == (11, True)
    assert not [path for path in main_files(board) if path.startswith(package.folder)]


def test_a_failure_lets_no_copy_overtake(hub, board, machine, package, runs, gold):
    author = propose(board, contents(package))
    copied = packed(*runs, gold=gold, name="Mine now", submitted_by="stranger")
    thief = propose(board, contents(copied), author="stranger")
    hub.fail(COMMIT, status=500)
    first = visit(machine, board, gold)
    hub.faults.clear()
    assert (list(first["failed"]), first["found"]) == ([str(author)], {thief: "refused"})
    assert visit(machine, board, gold)["found"] == {author: "accepted", thief: "refused"}


def test_one_discussion_that_cannot_be_read_stops_no_other(hub, board, machine, package, gold):
    broken = propose(board, {"README.md": b"# mine"})
    good = propose(board, contents(package))
    hub.fail(f"GET .*/discussions/{broken}$", status=500, times=2)
    found = visit(machine, board, gold)
    hub.faults.clear()
    assert (found["code"], list(found["failed"]), found["found"]) == (8, [str(broken)], {good: "accepted"})


def test_what_is_on_the_board_is_thrown_out_by_no_later_copy(runner, package, runs, gold, tmp_path):
    more = packed(
        *(make_run(tmp_path / f"more{k}", gold, {**CELLS, "tatoeba": ("de", "ru")}, seed=k) for k in (0, 1)),
        gold=gold,
        name="With one more",
        submitted_by="eve",
    )
    board = board_of(tmp_path, package)
    assert runner("leaderboard", "check", board, "--all", "--data-dir", gold, "--record", board).exit_code == 0
    board_of(tmp_path, more)
    every = runner("leaderboard", "check", board, "--all", "--data-dir", gold, "--json", "--record", board)
    verdicts = {each["id"]: each for each in json.loads(every.out)["verdicts"]}
    assert verdicts[package.submission.id]["verdict"] == "accepted"
    assert [each for each in verdicts[package.submission.id]["warnings"] if "all predictions are those of" in each]
    assert runner("leaderboard", "check", gold, "--all").exit_code == 2


def test_a_verdict_that_does_not_hold_any_more_is_made_anew(board, machine, package, gold):
    number = propose(board, contents(package))
    assert checked(machine, board, number, gold, "--merge")["code"] == 0
    path = f"checks/{package.submission.id}"
    right = main_files(board)[f"{path}/verdict.json"].read_bytes()
    broken = [
        {f"{path}/replicates.bin": b"cut"},
        {f"{path}/replicates.bin": None},
        {f"{path}/verdict.json": right.replace(package.submission.data["xnli"]["de"].spec_hash.encode(), b"0" * 12)},
        {f"{path}/verdict.json": right.replace(b"poisson by id, 1", b"another way     ")},
    ]
    for changes in broken:
        board.commit(changes)
        assert checked(machine, board, number, gold, "--merge")["verdict"]["recorded"] is not None
        assert main_files(board)[f"{path}/verdict.json"].read_bytes() == right
        assert len(main_files(board)[f"{path}/replicates.bin"].read_bytes()) > 3


def test_one_that_cannot_be_checked_holds_up_no_other(board, machine, package, gold, tmp_path):
    xnli = packed(
        make_run(tmp_path / "run", gold, {"xnli": ("de",)}, seed=2), gold=gold, name="X", submitted_by="tester"
    )
    numbers = [propose(board, contents(package)), propose(board, contents(xnli))]
    part = tmp_path / "gold"
    shutil.copytree(gold, part)
    shutil.rmtree(part / "google" / "xquad")
    found = machine.run("leaderboard", "check", "--open", "--of", board.name, "--data-dir", part, "--merge", "--json")
    said = json.loads(found["out"])
    assert (found["code"], list(said["failed"])) == (8, [str(numbers[0])]), found
    assert [each["verdict"] for each in said["verdicts"]] == ["accepted"]
    assert merged_there(board, xnli.submission.id)


def test_seeds_with_the_same_predictions_are_said(package):
    warning = "seeds: some have the very same predictions"
    assert not [each for each in plausibility.warnings_of(package.submission) if each.startswith(warning)]
    files = package.submission.files
    copied = {path.replace("seed0", "seed1"): file for path, file in files.items() if "seed0" in path}
    twins = package.submission.model_copy(update={"files": {**files, **copied}})
    assert [each for each in plausibility.warnings_of(twins) if each.startswith(warning)]


def test_a_copy_with_something_changed_is_known_by_its_scores(package, runs, gold):
    other = packed(*runs, gold=gold, submitted_by="bob", name="Other").submission
    changed = {
        path: file.model_copy(update={"content_sha256": f"{i:064x}"})
        for i, (path, file) in enumerate(other.files.items())
    }
    board = [plausibility.known(package.submission)]
    problems, warnings = plausibility.beside(other.model_copy(update={"files": changed}), board)
    assert problems == []
    assert [each for each in warnings if f"are those of {package.submission.id} to the last digit" in each]


def test_what_a_correction_replaced_is_no_copy_of_it(package, runs, gold, tmp_path):
    newer = packed(*runs, gold=gold, submitted_by="Tester", name="Corrected", supersedes=package.submission.id)
    for each in (package, newer):
        others = [plausibility.known(found.submission) for found in (package, newer) if found is not each]
        assert plausibility.beside(each.submission, others)[0] == []
    newest = packed(*runs, gold=gold, submitted_by="tester", name="Once more", supersedes=newer.submission.id)
    chain = [plausibility.known(each.submission) for each in (package, newer, newest)]
    for each in (package, newer, newest):
        others = [other for other in chain if other.id != each.submission.id]
        assert plausibility.beside(each.submission, others)[0] == []
    copied = [plausibility.known(packed(*runs, gold=gold, submitted_by="ann", name="Copy").submission)]
    assert "all predictions are those of" in plausibility.beside(newer.submission, copied)[0][0]


def test_who_may_not_write_neither_comments_in_vain_nor_merges(board, machine, package, gold):
    number = propose(board, contents(package))
    head = board.resolve("main")
    found = checked(machine, board, number, gold, "--merge", token=STRANGER)
    assert found["code"] == 10
    assert board.resolve("main") == head
    assert checked(machine, board, 99, gold)["code"] == 10
