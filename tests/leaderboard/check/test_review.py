"""Checking pull requests: what they may change, how they are merged, and what goes wrong meanwhile."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from helpers.fake_hub import TOKEN, Repository
from helpers.leaderboard import packed
from helpers.machine import STRANGER, Machine
from helpers.pull_requests import (
    CLOSE,
    COMMENT,
    COMMIT,
    UPLOAD,
    checked,
    comments_of,
    contents,
    main_files,
    merged_there,
    on_the_hub,
    propose,
)
from xharness.leaderboard.package import Package
from xharness.leaderboard.submission import Withdrawal, as_bytes

pytestmark = pytest.mark.long


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
        "somebody else's files": ({**one, f"{theirs}/submission.json": b"{}"}, "is already on the leaderboard"),
        "somebody else's predictions": ({f"{theirs}/predictions/x": b"{}"}, "is already on the leaderboard"),
        "a file of the checks": ({**one, f"checks/{package.submission.id}/verdict.json": b"{}"}, "maintainers"),
        "a verdict on another": ({f"checks/{other.submission.id}/verdict.json": b"{}"}, "maintainers"),
        "the board's own file": ({**one, "board.json": b"{}"}, "may not be changed by a submission"),
        "the card": ({**one, "README.md": b"# mine"}, "may not be changed by a submission"),
        "the attributes": ({**one, ".gitattributes": b""}, "may not be changed by a submission"),
        "a workflow": ({**one, ".github/workflows/x.yml": b"on: push"}, "may not be changed by a submission"),
        "a file beside all submissions": ({**one, "submissions/x.py": b""}, "may not be changed by a submission"),
        "removes a submission": (dict.fromkeys(contents(other)), "is deleted"),
        "removes the card": ({**one, "README.md": None}, "may not be changed by a submission"),
        "two submissions": ({**one, "submissions/a-0123456789ab/submission.json": b"{}"}, "send one at a time"),
        "a name that is no id": ({"submissions/../x/submission.json": b"{}"}, "not a submission id"),
        "a folder of another id": (
            {path.replace(package.submission.id, "a-0123456789ab"): content for path, content in one.items()},
            "the folder is named a-0123456789ab",
        ),
        "nothing": ({}, "changes nothing"),
        "no record": ({prediction: one[prediction]}, "is missing"),
        "a file more": ({**one, f"{mine}/run.sh": b"#!/bin/sh"}, "is not listed in submission.json"),
        "a file fewer": ({path: content for path, content in one.items() if path != prediction}, "is missing"),
        "a withdrawal in a new one": ({**one, f"{mine}/withdrawn.json": b"{}"}, "must not be part of a new submission"),
        "a withdrawal of nothing": ({f"{mine}/withdrawn.json": b"{}"}, "the submission to withdraw does not exist"),
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
        raise pull_checks.ResponseLost("the answer did not come")
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
    assert [each for each in first["warnings"] if "the same checkpoint is on the leaderboard" in each]
    head = board.resolve("main")
    for again in (number, propose(board, contents(package), base=start)):
        second = checked(machine, board, again, gold, "--comment", "--merge")["verdict"]
        assert (second["verdict"], second["warnings"]) == ("accepted", first["warnings"])
    assert board.resolve("main") == head
    assert len(comments_of(board, number)) == 3  # none is said twice


def test_who_may_not_write_neither_comments_in_vain_nor_merges(board, machine, package, gold):
    number = propose(board, contents(package))
    head = board.resolve("main")
    found = checked(machine, board, number, gold, "--merge", token=STRANGER)
    assert found["code"] == 10
    assert board.resolve("main") == head
    assert checked(machine, board, 99, gold)["code"] == 10
