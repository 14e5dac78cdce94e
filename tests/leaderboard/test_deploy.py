"""Setting up a board on a Hub on this machine, building it from there, and putting the build back."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from helpers.fake_hub import TOKEN, LoopbackHub
from helpers.leaderboard import make_board
from helpers.runs import gold_folder, make_run
from xharness import assets

READER = "hf_reader"


@pytest.fixture(scope="module")
def hub(tmp_path_factory: Any) -> Iterator[LoopbackHub]:
    with LoopbackHub(tmp_path_factory.mktemp("hub")) as server:
        server.user("reader", READER, "read", {"org": "write"})
        yield server


def filled(hub: LoopbackHub, name: str, folder: Path, space: str | None, submissions: int = 3) -> Any:
    """Make a data set with merged submissions."""
    make_board(folder, submissions, mixed=False)
    about = json.loads((folder / "board.json").read_text(encoding="utf-8"))
    (folder / "board.json").write_text(json.dumps({**about, "space": space}), encoding="utf-8")
    repository = hub.repository("datasets", name)
    found = (path for path in folder.rglob("*") if path.is_file())
    repository.commit({path.relative_to(folder).as_posix(): path.read_bytes() for path in found})
    return repository


def files_of(hub: LoopbackHub, kind: str, name: str) -> dict[str, Path]:
    repository = hub.repository(kind, name)
    found: dict[str, Path] = repository.files(repository.record["refs"]["refs/heads/main"])
    return found


def test_init_looks_first_then_makes_both_and_again_changes_nothing(hub, machine):
    looked = machine.run("leaderboard", "init", "org/new")
    assert looked["code"] == 0
    assert "datasets/org/new (data set, to be created)" in looked["out"]
    assert "spaces/org/new (static Space, to be created)" in looked["out"]
    assert "Nothing was uploaded" in looked["err"]
    assert not hub.place("datasets", "org/new").exists
    made = machine.run("leaderboard", "init", "org/new", "--title", "Our board", "--yes")
    assert (made["code"], made["out"].count("made: http")) == (0, 2)
    data, space = files_of(hub, "datasets", "org/new"), files_of(hub, "spaces", "org/new")
    assert set(data) == {".gitattributes", "README.md", "board.json", "scores.json", "scores.parquet"}
    assert {"README.md", "index.html"} <= set(space)
    assert json.loads(data["board.json"].read_text(encoding="utf-8"))["title"] == "Our board"
    assert "sdk: static" in space["README.md"].read_text(encoding="utf-8")
    assert "data_files: scores.parquet" in data["README.md"].read_text(encoding="utf-8")
    assert "Our board" in space["index.html"].read_text(encoding="utf-8")
    before = len(hub.requests)
    again = machine.run("leaderboard", "init", "org/new", "--title", "Another title", "--yes")
    assert (again["code"], again["out"].count("unchanged: ")) == (0, 2)
    assert {request.method for request in hub.requests[before:]} <= {"GET", "HEAD"}


def test_init_without_the_right_to_write_makes_nothing(hub, machine):
    found = machine.run("leaderboard", "init", "org/refused", "--yes", token=READER)
    assert found["code"] == 10
    assert "has the role 'read' and cannot write" in found["err"]
    assert not hub.place("datasets", "org/refused").exists
    assert machine.run("leaderboard", "init", "refused")["code"] == 2


def test_build_from_the_hub_brings_records_and_no_predictions(hub, machine, tmp_path):
    board = filled(hub, "org/full", tmp_path / "data", None)
    names = sorted(path.name for path in (tmp_path / "data" / "submissions").iterdir())
    sha = board.commit(
        {
            f"submissions/{names[0]}/predictions/seed0/xnli/test-de.tsv.gz": b"x" * 1000,
            f"checks/{names[1]}/verdict.json": b" " * 70_000_000,
            "submissions/../../escape/submission.json": b"{}",
        }
    )
    before = len(hub.requests)
    found = machine.run("leaderboard", "build", "--from", "org/full", "--to", tmp_path / "page", "--json")
    built = json.loads(found["out"])
    assert (found["code"], built["sha"], built["submissions"], built["checked"]) == (0, sha, 3, 2)
    assert f"checks/{names[1]}/verdict.json was not downloaded: it has 70,000,000 bytes" in found["err"]
    assert not any("predictions" in request.path or "escape" in request.path for request in hub.requests[before:])
    scores = json.loads((tmp_path / "page" / "scores.json").read_text(encoding="utf-8"))
    assert scores["built_from"] == {"repo": "org/full", "sha": sha}
    assert not list(tmp_path.parent.rglob("escape"))


def test_a_kept_copy_is_brought_up_to_date(hub, machine, tmp_path):
    board = filled(hub, "org/kept", tmp_path / "data", None)
    names = sorted(path.name for path in (tmp_path / "data" / "submissions").iterdir())
    arguments = ["leaderboard", "build", "--from", "org/kept", "--to", tmp_path / "page", "--keep", tmp_path / "copy"]
    assert machine.run(*arguments)["code"] == 0
    first = (tmp_path / "page" / "scores.json").read_bytes()
    before = len(hub.requests)
    assert machine.run(*arguments)["code"] == 0
    assert not [request.path for request in hub.requests[before:] if "/resolve/" in request.path]
    assert (tmp_path / "page" / "scores.json").read_bytes() == first
    # One is gone, one changed there, and one here.
    board.commit({f"submissions/{names[0]}/submission.json": None, f"checks/{names[1]}/verdict.json": b"{}"})
    (tmp_path / "copy" / "submissions" / names[2] / "submission.json").write_bytes(b"{}")
    (tmp_path / "copy" / "notes.txt").write_text("mine")
    built = json.loads(machine.run(*arguments, "--json")["out"])
    assert (built["submissions"], built["checked"]) == (2, 1)
    assert (tmp_path / "copy" / "notes.txt").exists()
    assert not (tmp_path / "copy" / "submissions" / names[0]).exists()


def test_a_folder_that_is_not_the_boards_copy_is_left_alone(hub, machine, tmp_path):
    filled(hub, "org/one", tmp_path / "data", None)
    filled(hub, "org/two", tmp_path / "more", None)
    copy, mine = tmp_path / "copy", tmp_path / "mine"

    def build(repo: str, keep: Path) -> tuple[int, str]:
        found = machine.run("leaderboard", "build", "--from", repo, "--to", tmp_path / "page", "--keep", keep)
        return found["code"], found["err"]

    # Somebody's own work under the same names, even with a board.json.
    (mine / "submissions" / "essay").mkdir(parents=True)
    (mine / "submissions" / "essay" / "submission.json").write_text("my work", encoding="utf-8")
    (mine / "board.json").write_text("{}", encoding="utf-8")
    code, said = build("org/one", mine)
    assert (code, "holds files that --keep did not write" in said) == (2, True)
    assert (mine / "submissions" / "essay" / "submission.json").read_text(encoding="utf-8") == "my work"
    assert build("org/one", copy)[0] == 0
    code, said = build("org/two", copy)
    assert (code, ": a copy of http" in said) == (2, True)
    # A link in the copy leads nowhere.
    (copy / "submissions" / "zzz-0123456789ab").symlink_to(mine / "submissions" / "essay")
    code, said = build("org/one", copy)
    assert (code, ": a link, which a leaderboard never has" in said) == (2, True)
    assert (mine / "submissions" / "essay" / "submission.json").exists()
    (copy / "submissions" / "zzz-0123456789ab").unlink()
    record = next((copy / "checks").glob("*/verdict.json"))
    record.unlink()
    record.mkdir()
    assert build("org/one", copy)[0] == 9
    assert build("org/one", tmp_path / "more" / "board.json")[0] == 2


def test_a_build_is_pushed_once_and_what_went_goes(hub, machine, tmp_path):
    board = filled(hub, "org/pushed", tmp_path / "data", "org/page")
    page = hub.repository("spaces", "org/page")
    page.commit({"README.md": "---\nsdk: static\n---\nmine\n", "replicates/old-0123456789ab.js": "x", "logo.svg": "x"})
    merged = board.record["refs"]["refs/heads/main"]
    arguments = ["leaderboard", "build", "--from", "org/pushed", "--to", tmp_path / "page", "--push"]
    looked = machine.run(*arguments)
    assert (looked["code"], "Nothing was uploaded" in looked["err"]) == (0, True)
    assert "replicates/ (3 files)" in looked["out"]
    assert board.record["refs"]["refs/heads/main"] == merged
    sent = machine.run(*arguments, "--yes")
    assert (sent["code"], sent["out"].count("updated: ")) == (0, 2)
    there = files_of(hub, "spaces", "org/page")
    assert {"README.md", "logo.svg", "index.html"} <= set(there)
    assert there["README.md"].read_text(encoding="utf-8").endswith("mine\n")
    assert sorted(path for path in there if path.startswith("replicates/")) == sorted(
        f"replicates/{name.name}.js" for name in (tmp_path / "data" / "submissions").iterdir()
    )
    scores = files_of(hub, "datasets", "org/pushed")["scores.json"]
    assert json.loads(scores.read_text(encoding="utf-8"))["built_from"]["sha"] == merged
    # What was pushed is a commit of the data set itself, and no reason to build anew.
    again = machine.run(*arguments, "--yes", "--json")
    assert [place["state"] for place in json.loads(again["out"])["places"]] == ["unchanged", "unchanged"]


def test_the_steps_of_the_recipe_run(hub, machine, tmp_path):
    recipe = yaml.safe_load(
        (assets.folder("leaderboard") / "recipes" / "check-submissions.yml").read_text(encoding="utf-8")
    )
    steps = {step["name"]: step["run"] for step in recipe["jobs"]["check"]["steps"] if "name" in step}
    filled(hub, "org/automatic", tmp_path / "data", "org/shown")
    hub.repository("spaces", "org/shown").commit({"README.md": "---\nsdk: static\n---\n"})
    gold = gold_folder(tmp_path / "gold")
    run = make_run(tmp_path / "run", gold)
    given = ["--to", "org/automatic", "--name", "XLM-R", "--data-dir", gold, "--yes", "--json"]
    submitted = json.loads(machine.run("submit", run, *given)["out"])
    programs = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    home = str(tmp_path / "home")
    env = hub.environment(tmp_path / "home", LEADERBOARD="org/automatic", HF_TOKEN=TOKEN, NUMBER="", PATH=programs)

    def step(name: str) -> str:
        shell = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", steps[name]]
        done = subprocess.run(shell, cwd=tmp_path, env={**env, "HOME": home}, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert f"{submitted['id']}: accepted" in step("Check, comment, merge")
    assert f"checks/{submitted['id']}/verdict.json" in files_of(hub, "datasets", "org/automatic")
    step("Build the page")
    assert f"replicates/{submitted['id']}.js" in files_of(hub, "spaces", "org/shown")


def test_what_is_no_board_is_said(hub, machine, tmp_path):
    hub.repository("datasets", "org/other").commit({"train.csv": "a,b\n"})
    found = machine.run("leaderboard", "build", "--from", "org/other", "--to", tmp_path / "page")
    assert found["code"] == 4
    assert "xharness leaderboard init org/other" in found["err"]
