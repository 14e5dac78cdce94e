"""Visiting all open pull requests: each is answered once, and none holds up another."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from helpers.fake_hub import Repository
from helpers.fake_hub.discussions import note_commit
from helpers.leaderboard import packed
from helpers.machine import Machine
from helpers.pull_requests import (
    CLOSE,
    COMMIT,
    checked,
    comments_of,
    contents,
    main_files,
    merged_there,
    on_the_hub,
    propose,
)
from helpers.runs import make_run
from xharness.leaderboard.submission import Withdrawal, as_bytes


def push(board: Repository, number: int, files: Mapping[str, bytes | None], author: str = "tester") -> None:
    """Commit more to a pull request."""
    sha = board.commit(files, f"refs/pr/{number}", author=author)
    note_commit(board, f"refs/pr/{number}", sha, author, "More")


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
    assert [each for each in found["verdict"]["problems"] if f"{path}: differs from the file on main" in each]
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
    assert (found["code"], "the submission to withdraw does not exist" in found["verdict"]["problems"][0]) == (11, True)
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
