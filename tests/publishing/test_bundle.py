"""Publishing: what is checked before anything leaves this machine, and what lies on the Hub afterwards."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from helpers.checkpoints import Publishable, change_json, make_publishable, other_weights
from xharness import assets, files
from xharness.checkpoints import files as checkpoints_files
from xharness.errors import PublishError
from xharness.publishing import bundle
from xharness.publishing.card.facts import read_facts
from xharness.text import shorten_paths


@pytest.fixture(scope="module")
def made(tmp_path_factory: Any, tiny_checkpoint: Callable[..., Path], data_folder: Path) -> Publishable:
    return make_publishable(tmp_path_factory.mktemp("publishable"), tiny_checkpoint, data_folder)


@pytest.fixture
def mine(made: Publishable, tmp_path: Path) -> Publishable:
    """Return a copy that a test may change."""
    return made.copy(tmp_path)


def test_a_dry_run_lists_every_file_and_changes_nothing(made, runner):
    def state() -> dict[str, tuple[int, int]]:
        paths = [path for path in made.folder.parent.rglob("*") if path.is_file()]
        return {str(path): (path.stat().st_size, path.stat().st_mtime_ns) for path in paths}

    before = state()
    found = runner("publish", *made.arguments(), "--json")
    plan = json.loads(found.out)
    assert (found.exit_code, plan["state"], plan["compared"]) == (0, "planned", False)
    paths = {file["path"]: file for file in plan["files"]}
    place = next(path for path in paths if path.endswith("run.json")).removesuffix("run.json")
    own = {path.name for path in made.folder.iterdir() if path.name != "steps"}
    assert set(paths) == {
        *own,
        "README.md",
        *(f"{place}{name}" for name in ("run.json", "xnli/de.json", "xnli/ru.json")),
    }
    assert place == f"results/{made.run.parent.name}/seed0/"
    assert paths["model.safetensors"]["sha256"] == files.sha256(made.folder / "model.safetensors")
    table = runner("publish", *made.arguments()).out
    assert all(path in table for path in paths)
    assert "org/tiny-mnli" in table.splitlines()[-1]
    assert state() == before


def test_the_card_is_printed_alone(made, runner):
    found = runner("publish", *made.arguments(), "--card")
    assert found.out.startswith("---\n")
    assert "\nlicense: mit\n" in found.out


def test_what_travels_names_no_folder_of_this_machine(made):
    ready = bundle.prepare(made.folder, "org/tiny", read_facts(made.facts), results=[made.results])
    for file in ready.files:
        if isinstance(file.source, bytes):
            assert str(made.folder.parent).encode() not in file.source, file.path
            assert b"tmp" not in file.source, file.path
    record = next(file.source for file in ready.files if file.path == "training.json")
    assert json.loads(record)["request"]["base"]["name"] == "tiny-masked_lm"


def test_a_base_that_was_written_down_with_its_path_is_said(mine, runner):
    # The bytes of xharness.json are in the content hash, so that they go as they are.
    base = {"name": "/home/ann/tiny", "id": "0" * 64}
    change_json(mine.folder / "xharness.json", base=base)
    found = runner("publish", mine.folder, "org/tiny", "--no-results", "--facts", mine.facts)
    assert "it names the base model '/home/ann/tiny'" in found.err


@pytest.mark.parametrize(
    ("text", "short"),
    [
        ("/home/ann/my zoo/mnli/", "mnli"),
        ("C:\\Users\\ann\\zoo", "zoo"),
        ("~/zoo/mnli", "mnli"),
        ("read from /home/ann/x.tsv, and /home/bo/y.tsv.", "read from x.tsv, and y.tsv."),
        ("https://host/a/b and org/name at 5 km/h", "https://host/a/b and org/name at 5 km/h"),
        ("/home/ann/x.json: not scored; and/or not read", "x.json: not scored; and/or not read"),
        ("file:///home/ann/x", "x"),
        ("refs/pr/1", "refs/pr/1"),
    ],
)
def test_local_paths_are_cut_to_their_last_part(text, short):
    assert shorten_paths({text: [text, 3]}) == {short: [short, 3]}


def test_weights_are_read_once(made, monkeypatch):
    read: list[str] = []

    def counted(path: Path) -> str:
        read.append(path.name)
        return original(path)

    original = files.sha256
    monkeypatch.setattr(files, "sha256", counted)
    bundle.prepare(made.folder, "org/tiny", read_facts(made.facts), results=[made.results])
    assert read.count("model.safetensors") == 1


def test_without_results_one_is_told_how_to_make_some(made, runner):
    found = runner("publish", made.folder, "org/tiny", "--facts", made.facts)
    assert found.exit_code == 10
    assert "xharness eval --model" in found.err
    assert "--no-results" in found.err
    none = runner("publish", made.folder, "org/tiny", "--facts", made.facts, "--no-results")
    assert none.exit_code == 0
    assert "results/" not in none.out


def test_results_of_another_checkpoint(mine, runner, tmp_path):
    other = tmp_path / "results" / "other" / "run"
    shutil.copytree(mine.run, other)
    change_json(other / "run.json", model="elsewhere", model_hash="f" * 64)
    found = runner("publish", *mine.arguments())
    assert found.exit_code == 0
    assert "left out: 1 run: of another checkpoint" in found.err
    named = runner("publish", *mine.arguments(), "--results", other)
    assert named.exit_code == 0  # it was met below the folder before
    named = runner("publish", mine.folder, "org/tiny", "--results", other, "--facts", mine.facts)
    assert named.exit_code == 10
    assert "ffffffffffff" in named.err
    assert checkpoints_files.read_folder("x", mine.folder, False).id[:12] in named.err


def broken_result(mine: Publishable, **values: Any) -> None:
    change_json(mine.run / "results" / "xnli" / "de.json", **values)


def twice(mine: Publishable) -> None:
    shutil.copytree(mine.run, mine.results / "again" / "seed0")


def trial(mine: Publishable) -> None:
    shutil.move(mine.run, mine.results / "layers" / "123" / "seed0")


def development(mine: Publishable) -> None:
    run = mine.run / "run.json"
    change_json(run, settings={**json.loads(run.read_text(encoding="utf-8"))["settings"], "split": "dev"})


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda mine: broken_result(mine, spec_hash="0" * 12), "another version of the task's spec"),
        (lambda mine: broken_result(mine, model_hash="0" * 64), "model_hash is 000000000000"),
        (lambda mine: broken_result(mine, language="xx"), "has no language 'xx'"),
        (lambda mine: broken_result(mine, scores={"accuracy": 140.0}), "scores.accuracy is 140.0, which is impossible"),
        (
            lambda mine: broken_result(mine, scores={"accuracy": 99.0}, intervals={"accuracy": [20.0, 30.0]}),
            "with the interval 20.0 to 30.0",
        ),
        (twice, "are both a score of xnli in de"),
        (trial, "no run of this checkpoint was found (left out: 1 run: trials"),
        (development, "1 run: scores on development data"),
        (lambda mine: shutil.rmtree(mine.run / "results"), "1 run: no result yet"),
        (lambda mine: (mine.run / "run.json").unlink(), "no run in this folder"),
        (lambda mine: shutil.rmtree(mine.results), "folder does not exist"),
    ],
)
def test_results_that_cannot_be_published(mine, runner, damage, said):
    damage(mine)
    found = runner("publish", *mine.arguments())
    assert found.exit_code == 10, found
    assert said in found.err


def test_one_run_made_with_the_folder_and_one_with_its_copy_on_the_hub(mine):
    first, second = mine.run, mine.results / "hub" / "seed0"
    shutil.copytree(first, second)
    (second / "results" / "xnli" / "de.json").unlink()
    (first / "results" / "xnli" / "ru.json").unlink()
    there: dict[str, Any] = {"model": "org/tiny", "model_sha": "a" * 40, "model_hash": None}
    for path in (second / "run.json", second / "results" / "xnli" / "ru.json"):
        change_json(path, **there)
    ready = bundle.prepare(mine.folder, "org/tiny", read_facts(mine.facts), results=[mine.results])
    assert ready.shas == {"a" * 40}
    assert sum(file.path.startswith("results/") for file in ready.files) == 3
    with pytest.raises(PublishError, match="no run of this checkpoint"):  # under another name it is somebody else's
        bundle.prepare(mine.folder, "org/other", read_facts(mine.facts), results=[mine.results / "hub"])


def pickled(mine: Publishable) -> None:
    (mine.folder / "model.safetensors").rename(mine.folder / "pytorch_model.bin")


def unknown_weights(mine: Publishable) -> None:
    (mine.folder / "heads").mkdir()
    shutil.copy(mine.folder / "model.safetensors", mine.folder / "heads" / "qa.safetensors")


def linked(mine: Publishable) -> None:
    path = mine.folder / "tokenizer.json"
    shutil.move(path, mine.folder.parent / "tokenizer.json")
    path.symlink_to(mine.folder.parent / "tokenizer.json")


def cut_short(mine: Publishable) -> None:
    path = mine.folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-5])


def collapsed(mine: Publishable) -> None:
    change_json(mine.folder / "training.json", status="collapsed", reason="at chance")


def with_token(mine: Publishable) -> None:
    change_json(mine.folder / "training.json", notes=["called with --token hf_" + "a1" * 17])


@pytest.mark.parametrize(
    ("damage", "code", "said"),
    [
        (pickled, 5, "pickles are never loaded"),
        (cut_short, 5, "the file is truncated"),
        (other_weights, 10, "the weights are missing or do not match"),
        (unknown_weights, 10, "training.json does not list heads/qa.safetensors"),
        (linked, 10, "a link that points out of the folder"),
        (collapsed, 10, "--allow-collapsed"),
        (lambda mine: (mine.folder / "training.json").unlink(), 10, "--adopt"),
        (lambda mine: (mine.folder / ".run").mkdir(), 10, "has not finished"),
        (
            lambda mine: change_json(mine.folder / "config.json", auto_map={"AutoModel": "m.M"}),
            10,
            "config.json: refers to Python code",
        ),
        (
            lambda mine: change_json(mine.folder / "tokenizer_config.json", auto_map={"AutoTokenizer": ["m.M", None]}),
            10,
            "tokenizer_config.json: refers to Python code",
        ),
        (lambda mine: (mine.folder / "tokenizer.json").write_bytes(b""), 10, "tokenizer.json: file is empty"),
        (lambda mine: change_json(mine.folder / "training.json", weights=None), 5, "not a training record of xharness"),
        (
            lambda mine: change_json(mine.folder / "training.json", tokens_per_second=float("nan")),
            10,
            "Out of range float values are not JSON compliant",
        ),
        (with_token, 10, "training.json: contains an access token of the Hub (hf_...)"),
        (lambda mine: shutil.rmtree(mine.folder), 10, "folder does not exist"),
    ],
)
def test_folders_that_cannot_be_published(mine, runner, damage, code, said):
    damage(mine)
    found = runner("publish", *mine.arguments())
    assert (found.exit_code, found.out) == (code, "")
    assert said in found.err


def test_all_problems_are_said_at_once(mine, runner):
    unknown_weights(mine)
    (mine.folder / ".run").mkdir()
    found = runner("publish", mine.folder, "tiny", "--results", mine.folder.parent / "nowhere")
    for said in (
        "cannot be the name of a repository",
        ".run/",
        "heads/qa.safetensors",
        "nowhere: folder does not exist",
    ):
        assert said in found.err


def test_missing_facts_are_listed_beside_what_else_is_wrong(mine, runner):
    (mine.folder / ".run").mkdir()
    found = runner("publish", mine.folder, "org/tiny", "--results", mine.results)
    assert found.exit_code == 10
    assert ".run/" in found.err
    assert "developed_by:" in found.err


def test_what_stays_here_is_said(mine, runner):
    (mine.folder / "pytorch_model.bin").write_bytes(b"a pickle")
    (mine.folder / "optimizer.pt").write_bytes(b"a pickle")
    (mine.folder / "steps" / "10").mkdir(parents=True)
    (mine.folder / "notes.txt").write_text("mine", encoding="utf-8")
    (mine.folder / ".hidden").write_text("mine", encoding="utf-8")
    found = runner("publish", *mine.arguments(), "--json")
    sent = {file["path"] for file in json.loads(found.out)["files"]}
    assert not sent & {"pytorch_model.bin", "optimizer.pt", "notes.txt", ".hidden"}
    assert "safetensors only: optimizer.pt, pytorch_model.bin" in found.err
    assert "notes.txt, steps/" in found.err


@pytest.mark.parametrize(
    "name",
    ["tiny", "a/b/c", "org/-x", "org/x.", "org/a--b", "org/a..b", "o rg/x", "/x", "org/" + "x" * 99, "org/x\x1b"],
)
def test_names_that_no_repository_can_have(made, runner, name):
    arguments = made.arguments(name)
    found = runner("publish", "--", arguments[0], name) if name.startswith("-") else runner("publish", *arguments)
    assert found.exit_code == 10
    assert "cannot be the name of a repository" in found.err
    # Of a card with such a name nothing is said, and a terminal obeys nothing.
    assert found.err.count("\n") == 1
    assert "\x1b" not in found.err


def test_a_name_of_the_zoo_is_for_what_it_names_only(made, runner, tmp_path, monkeypatch):
    other = runner("publish", *made.arguments("org/xlmr-squad"))
    assert other.exit_code == 10
    assert "'xlmr-squad' is the zoo's name for FacebookAI/xlm-roberta-large trained on squad_v1" in other.err
    assert runner("publish", *made.arguments("org/xlmr-mnli")).exit_code == 10  # the task, but not the encoder
    own = tmp_path / "zoo.yaml"
    shipped = (assets.MODEL_CARDS / "zoo.yaml").read_text(encoding="utf-8")
    own.write_text(shipped.replace("FacebookAI/xlm-roberta-large", "tiny-masked_lm"), encoding="utf-8")
    monkeypatch.setenv("XHARNESS_ZOO", str(own))
    assert runner("publish", *made.arguments("org/xlmr-mnli")).exit_code == 0


@pytest.mark.parametrize(
    "flags",
    [
        ["--create-pr", "--tag", "v1"],
        ["--create-pr", "--revision", "x"],
        ["--create-pr", "--private"],
        ["--no-results"],
        ["--tag", "a..b"],
        ["--tag", "HEAD"],
        ["--tag", "main"],
        ["--tag", "v1", "--revision", "v1"],
        ["--tag", "0123456789" * 4],
        ["--tag", "v" * 201],
        ["--revision", "a/.b"],
        ["--revision", "a.lock/b"],
        ["--revision", "\u00fc"],
        ["--revision", "refs/pr/1"],
        ["--collection", " "],
    ],
)
def test_flags_that_cannot_be_meant(made, runner, flags):
    assert runner("publish", *made.arguments(), *flags).exit_code == 2
