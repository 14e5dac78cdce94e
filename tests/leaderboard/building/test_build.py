"""Building a leaderboard: what has a row, what strangers' folders do, and that files come whole."""

from __future__ import annotations

import json
import os
import shutil
import threading
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.error import HTTPError

import pytest

from helpers.boards import build, change, hashes, judge, record, submitted
from xharness.errors import OutputError, SubmissionError, UsageError
from xharness.leaderboard import build as leaderboard_build
from xharness.leaderboard import page, rows
from xharness.leaderboard import serve as leaderboard_serve
from xharness.leaderboard import store as leaderboard_store

# --- What stands where -----------------------------------------------------------------------------------------------


def test_only_what_the_check_computed_counts_as_checked(board):
    fine, refused, other = leaderboard_store.submission_names(board)
    judge(board, refused, verdict="refused", problems=["no"])
    judge(board, other, digest="0" * 64)
    made, scores = build(board)
    assert {name: row["checked"] for name, row in submitted(scores).items()} == {
        fine: True,
        refused: False,
        other: False,
    }
    assert [row["replicates"] for row in submitted(scores).values() if row["replicates"]] == [f"replicates/{fine}.js"]
    assert made.checked == 1
    assert len(made.notes) == 2
    assert any("refused" in note for note in made.notes)
    assert any("other content" in note for note in made.notes)


def test_a_record_that_was_changed_after_the_check_is_left_out(board):
    name = leaderboard_store.submission_names(board)[0]
    content = {**record(board, name), "submitted_by": "somebody-else"}
    (board / "submissions" / name / "submission.json").write_text(json.dumps(content), encoding="utf-8")
    made, scores = build(board)
    assert name not in submitted(scores)
    assert made.left_out[0].startswith(f"submissions/{name} is left out: its content has the id")


def test_withdrawn_and_superseded_stay_and_are_marked(board):
    first, second, third = leaderboard_store.submission_names(board)
    second = change(board, second, supersedes=first)
    third = change(board, third, supersedes=second)
    (board / "submissions" / third / "withdrawn.json").write_text('{"reason": "wrong seeds"}', encoding="utf-8")
    made, scores = build(board)
    found = submitted(scores)
    assert found[first]["superseded_by"] == second
    # What was withdrawn takes nobody's place.
    assert found[second]["superseded_by"] is None
    assert (found[third]["withdrawn"], found[third]["withdrawn_reason"]) == (True, "wrong seeds")
    assert (made.withdrawn, made.superseded) == (1, 1)


@pytest.mark.parametrize("why", ["of another user", "not checked"])
def test_nobody_supersedes_what_is_not_theirs_or_was_checked_while_theirs_was_not(board, why):
    first, second, _ = leaderboard_store.submission_names(board)
    second = change(board, second, supersedes=first, **({"submitted_by": "other"} if why == "of another user" else {}))
    if why == "not checked":
        shutil.rmtree(board / "checks" / second)
    assert submitted(build(board)[1])[first]["superseded_by"] is None


def test_replicates_come_as_scripts_only_if_they_are_those_of_the_verdict(board):
    good, bad, _ = leaderboard_store.submission_names(board)
    path = board / "checks" / bad / "replicates.bin"
    path.write_bytes(b"\1" + path.read_bytes()[1:])
    made, scores = build(board)
    found = submitted(scores)
    assert found[bad]["replicates"] is None
    assert "differs from the one in the verdict" in made.notes[0]
    script = (board.parent / "built" / found[good]["replicates"]).read_text(encoding="utf-8")
    index = json.loads((board / "checks" / good / "verdict.json").read_text(encoding="utf-8"))["replicates"]
    content = (board / "checks" / good / "replicates.bin").read_bytes()
    assert script == page.replicates_script(good, index["cells"], 200, content)


# --- Strangers' folders ----------------------------------------------------------------------------------------------


def _text(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


STRANGE: dict[str, Callable[[Path], object]] = {
    "a file": lambda at: at.write_text("x", encoding="utf-8"),
    "a link to a folder": lambda at: at.symlink_to("/etc"),
    "a link as record": lambda at: (at.mkdir(), (at / "submission.json").symlink_to("/etc/passwd")),
    "a pipe as record": lambda at: (at.mkdir(), os.mkfifo(at / "submission.json")),
    "nothing in it": lambda at: at.mkdir(),
    "no JSON": lambda at: _text(at / "submission.json", "{"),
    "nested": lambda at: _text(at / "submission.json", "[" * 100_000),
    "a list": lambda at: _text(at / "submission.json", "[]"),
    "another record": lambda at: _text(at / "submission.json", '{"schema_version": 1}'),
    "large": lambda at: _text(at / "submission.json", " " * (5 << 20)),
}


@pytest.mark.parametrize("kind", STRANGE)
def test_a_strange_folder_is_left_out_with_a_sentence_and_stops_nothing(board, kind):
    STRANGE[kind](board / "submissions" / "strange-0123456789ab")
    made, scores = build(board)
    assert len(submitted(scores)) == 3
    assert len(made.left_out) == 1
    assert made.left_out[0].startswith("submissions/strange-0123456789ab is left out: ")
    assert len(made.left_out[0]) < 600


def test_names_of_strangers_are_text_on_the_page_and_in_sentences(board):
    name = change(board, leaderboard_store.submission_names(board)[0], name="<script>alert(1)</script>")
    (board / "submissions" / "\x1b[31m<b>").mkdir()
    made, scores = build(board)
    assert submitted(scores)[name]["name"] == "<script>alert(1)</script>"
    assert "<script>alert" not in (board.parent / "built" / "index.html").read_text(encoding="utf-8")
    assert "\x1b" not in made.left_out[0]


def test_a_verdict_that_cannot_be_read_leaves_the_claims(board):
    name = leaderboard_store.submission_names(board)[0]
    (board / "checks" / name / "verdict.json").write_text('{"verdict": "accepted"}', encoding="utf-8")
    made, scores = build(board)
    assert submitted(scores)[name]["checked"] is False
    assert submitted(scores)[name]["overall"]["xtreme"] is not None
    assert "cannot be read, so its scores count as not checked" in made.notes[0]


def test_a_folder_that_is_no_board_is_refused(tmp_path):
    with pytest.raises(UsageError, match=r"neither board\.json nor submissions/"):
        leaderboard_build.build(tmp_path, tmp_path / "built")
    (tmp_path / "board.json").write_text('{"schema_version": 1, "titel": "x"}', encoding="utf-8")
    with pytest.raises(SubmissionError, match=r"board\.json: titel: no such field"):
        leaderboard_build.build(tmp_path, tmp_path / "built")


# --- Files -----------------------------------------------------------------------------------------------------------


def test_the_same_submissions_give_the_same_files(whole, built, tmp_path):
    leaderboard_build.build(whole, tmp_path / "again")
    assert hashes(tmp_path / "again") == hashes(built)
    assert len(hashes(built)) == 3 + 11


def test_a_build_that_fails_leaves_the_earlier_one_and_nothing_beside_it(board, monkeypatch):
    build(board)
    before = hashes(board.parent / "built")
    shutil.rmtree(board / "submissions" / leaderboard_store.submission_names(board)[0])
    full = OSError(28, "No space left on device")
    with monkeypatch.context() as patch:
        patch.setattr(page, "render", lambda scores: (_ for _ in ()).throw(full))
        with pytest.raises(OutputError, match="The earlier content is kept"):
            build(board)
    assert hashes(board.parent / "built") == before
    assert sorted(path.name for path in board.parent.iterdir()) == ["built", "data"]
    assert len(submitted(build(board)[1])) == 2


def test_a_folder_with_anything_else_in_it_is_not_replaced(board, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("x", encoding="utf-8")
    with pytest.raises(UsageError, match=r"thesis\.tex"):
        leaderboard_build.build(board, tmp_path / "mine")
    assert (tmp_path / "mine" / "thesis.tex").exists()


def test_the_command_says_what_was_built_and_left_out(board, runner, tmp_path):
    (board / "submissions" / "strange").mkdir()
    done = runner("leaderboard", "build", board, "--to", tmp_path / "page", "--json")
    found = json.loads(done.out)
    assert (done.exit_code, found["submissions"], found["checked"]) == (0, 3, 3)
    assert "submissions/strange is left out" in done.err
    assert (tmp_path / "page" / "index.html").is_file()
    assert runner("leaderboard", "build", "--to", tmp_path / "page").exit_code == 2
    assert runner("leaderboard", "build", board, "--to", tmp_path / "page", "--push").exit_code == 2


def test_columns_are_those_of_the_specs():
    schema = rows.board_schema()
    found = rows.BoardBuilder(schema, "t", None, None).to_json()
    assert [task["name"] for task in found["tasks"]][:3] == ["xnli", "pawsx", "udpos"]
    xquad = next(task for task in found["tasks"] if task["name"] == "xquad")
    assert "ro" in xquad["benchmarks"]["xtreme-r"]
    assert "ro" not in xquad["benchmarks"]["xtreme"]
    assert {code for task in found["tasks"] for code in task["languages"]} == {
        each["code"] for each in found["languages"]
    }


# --- Showing it ------------------------------------------------------------------------------------------------------


@pytest.fixture
def address(built: Path) -> Iterator[str]:
    with leaderboard_serve.server(built, 0) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/", "text/html; charset=utf-8"),
        ("/scores.json", "application/json"),
        ("/scores.parquet", "application/vnd.apache.parquet"),
    ],
)
def test_a_built_board_is_served_with_its_kinds(address, path, kind):
    with urllib.request.urlopen(address + path) as answer:
        assert answer.headers["Content-Type"] == kind
        assert answer.headers["X-Content-Type-Options"] == "nosniff"


def test_replicates_are_served_as_scripts_and_nothing_lists_folders(address, built):
    script = next((built / "replicates").iterdir()).name
    with urllib.request.urlopen(f"{address}/replicates/{script}") as answer:
        assert answer.headers["Content-Type"] == "text/javascript; charset=utf-8"
    for path in ("/replicates/", "/../data/board.json", "/%2e%2e/data/board.json"):
        with pytest.raises(HTTPError, match="404") as refused:
            urllib.request.urlopen(address + path)
        refused.value.close()


def test_what_cannot_be_served_is_said(built, tmp_path):
    with pytest.raises(UsageError, match=r"index\.html is missing"):
        leaderboard_serve.server(tmp_path, 0)
    with leaderboard_serve.server(built, 0) as taken, pytest.raises(UsageError, match="--port"):
        leaderboard_serve.server(built, taken.server_port)
