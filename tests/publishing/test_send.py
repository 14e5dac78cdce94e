"""Publishing to a Hub on this machine: what lies there afterwards, and what a second run, or another's, changes."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from helpers.checkpoints import Publishable, change_json, head_of, make_publishable, other_weights
from helpers.fake_hub import TOKEN, LoopbackHub
from helpers.machine import READER, STRANGER, Machine
from xharness import files
from xharness.checkpoints import files as checkpoints_files
from xharness.checkpoints import training_record


@pytest.fixture(scope="module")
def made(tmp_path_factory: Any, tiny_checkpoint: Callable[..., Path], data_folder: Path) -> Publishable:
    return make_publishable(tmp_path_factory.mktemp("publishable"), tiny_checkpoint, data_folder)


@pytest.fixture
def mine(made: Publishable, tmp_path: Path) -> Publishable:
    """Return a copy that a test may change."""
    return made.copy(tmp_path)


@pytest.fixture(scope="module")
def hub(tmp_path_factory: Any) -> Iterator[LoopbackHub]:
    with LoopbackHub(tmp_path_factory.mktemp("hub")) as server:
        server.user("reader", READER, "read", {"org": "write"})
        server.user("stranger", STRANGER, "write")
        yield server


@pytest.fixture(scope="module")
def machine(hub: LoopbackHub, tmp_path_factory: Any) -> Iterator[Machine]:
    there = Machine(hub, tmp_path_factory.mktemp("home"))
    with there.client:
        yield there


def test_published_whole_and_again_nothing_changes(made, hub, machine):
    arguments = [*made.arguments("org/one"), "--tag", "v1", "--collection", "The zoo", "--json"]
    planned = machine.publish(*arguments, yes=False)
    assert not hub.place("models", "org/one").exists
    assert "the repository will be created" in planned["err"]
    found = machine.publish(*arguments)
    outcome = json.loads(found["out"])
    assert (found["code"], outcome["state"], outcome["tag"]) == (0, "published", "v1")
    sha = head_of(hub, "org/one")
    assert outcome["sha"] == sha == head_of(hub, "org/one", "v1")
    there = hub.repository("models", "org/one").files(sha)
    assert set(there) == {".gitattributes", *(file["path"] for file in outcome["files"])}
    assert {p: files.sha256(there[p]) for p in there if p != ".gitattributes"} == {
        file["path"]: file["sha256"] for file in outcome["files"]
    }
    history = hub.repository("models", "org/one").history()
    assert len(history) == 2  # the Hub's own first commit, and ours
    before = len(hub.requests)
    again = machine.publish(*arguments)
    assert (again["code"], json.loads(again["out"])["state"]) == (0, "unchanged")
    assert {request.method for request in hub.requests[before:]} <= {"GET", "HEAD"}
    assert head_of(hub, "org/one") == sha


def test_what_is_no_longer_ours_goes_and_what_never_was_stays(made, mine, hub, machine):
    assert machine.publish(*made.arguments("org/two"))["code"] == 0
    theirs = {"LICENSE": "MIT", "docs/more.md": "more", "results/old/seed0/xnli/de.json": "{}", "vocab.txt": "a"}
    hub.repository("models", "org/two").commit(theirs)
    (mine.run / "results" / "xnli" / "ru.json").unlink()
    planned = machine.publish(*mine.arguments("org/two"), yes=False)
    assert "kept in the repository: LICENSE, docs/more.md" in planned["err"]
    found = machine.publish(*mine.arguments("org/two"), "--json")
    states = {file["path"]: file["state"] for file in json.loads(found["out"])["files"]}
    gone = {path for path, state in states.items() if state == "removed"}
    place = f"results/{mine.run.parent.name}/seed0"
    assert gone == {"results/old/seed0/xnli/de.json", "vocab.txt", f"{place}/xnli/ru.json"}
    assert {path for path, state in states.items() if state == "changed"} == {"README.md"}
    there = hub.repository("models", "org/two").files(head_of(hub, "org/two"))
    assert {"LICENSE", "docs/more.md"} <= set(there)
    assert not gone & set(there)


def test_a_taken_name_is_not_overwritten_unless_it_is_said(made, hub, machine):
    theirs = hub.repository("models", "org/taken")
    sha = theirs.commit({"config.json": "{}", "pytorch_model.bin": b"weights", "README.md": "mine"})
    found = machine.publish(*made.arguments("org/taken"))
    assert found["code"] == 10
    assert "this name is taken" in found["err"]
    assert head_of(hub, "org/taken") == sha
    assert machine.publish(*made.arguments("org/taken"), "--replace")["code"] == 0
    assert "pytorch_model.bin" not in theirs.files(head_of(hub, "org/taken"))
    hub.repository("models", "org/begun").commit({"README.md": "soon", "LICENSE": "MIT"})
    assert machine.publish(*made.arguments("org/begun"))["code"] == 0


def test_a_pull_request_is_opened_once_gone_on_with_and_merged(made, mine, hub, machine):
    assert "needs one" in machine.publish(*made.arguments("org/proposed"), "--create-pr")["err"]
    theirs = hub.repository("models", "org/proposed")
    first = theirs.commit({"README.md": "mine"})
    opened = json.loads(
        machine.publish(*made.arguments("org/proposed"), "--create-pr", "--json", token=STRANGER)["out"]
    )
    assert (opened["state"], opened["pull_request"]) == ("proposed", f"{hub.endpoint}/org/proposed/discussions/1")
    assert head_of(hub, "org/proposed") == first
    again = json.loads(machine.publish(*made.arguments("org/proposed"), "--create-pr", "--json", token=STRANGER)["out"])
    assert (again["state"], again["pull_request"]) == ("unchanged", opened["pull_request"])
    (mine.run / "results" / "xnli" / "ru.json").unlink()
    further = machine.publish(*mine.arguments("org/proposed"), "--create-pr", "--json", token=STRANGER)
    assert json.loads(further["out"])["pull_request"] == opened["pull_request"]
    assert head_of(hub, "org/proposed", "refs/pr/1") == json.loads(further["out"])["sha"] != opened["sha"]
    machine.client.run(
        "from huggingface_hub import HfApi\nHfApi().merge_pull_request('org/proposed', 1, token=token)", token=TOKEN
    )
    merged = json.loads(machine.publish(*mine.arguments("org/proposed"), "--create-pr", "--json")["out"])
    assert (merged["state"], merged["sha"]) == ("unchanged", head_of(hub, "org/proposed"))


def test_private_repositories_branches_and_tags(made, mine, hub, machine):
    assert machine.publish(*made.arguments("org/hidden"), "--private")["code"] == 0
    repository = hub.repository("models", "org/hidden")
    assert repository.record["private"]
    main = head_of(hub, "org/hidden")
    (mine.run / "results" / "xnli" / "ru.json").unlink()
    branched = machine.publish(*mine.arguments("org/hidden"), "--private", "--revision", "wip", "--tag", "v1")
    assert branched["code"] == 0, branched["err"]
    assert head_of(hub, "org/hidden") == main
    assert head_of(hub, "org/hidden", "wip") == head_of(hub, "org/hidden", "v1") != main
    moved = machine.publish(*made.arguments("org/hidden"), "--private", "--tag", "v1")
    assert moved["code"] == 10
    assert "the tag 'v1' is already at another commit" in moved["err"]
    assert machine.publish(*made.arguments("org/public"))["code"] == 0
    public = machine.publish(*made.arguments("org/public"), "--private")
    assert public["code"] == 10
    assert "this one exists and is public" in public["err"]


@pytest.mark.parametrize(
    ("token", "repo", "said"),
    [
        (None, "org/new", "this machine has no Hub token"),
        ("hf_unknown", "org/new", "does not know this token"),
        (READER, "org/new", "has the role 'read' and cannot write"),
        (STRANGER, "org/new", "stranger is not a member of 'org'"),
        (STRANGER, "org/one-of-theirs", "stranger is not a member of 'org'"),
    ],
)
def test_no_token_or_one_without_rights(made, hub, machine, token, repo, said):
    hub.repository("models", "org/one-of-theirs").commit({"README.md": "x"})
    before = len(hub.requests)
    found = machine.publish(*made.arguments(repo), token=token)
    assert found["code"] == 10
    assert said in found["err"]
    assert {request.method for request in hub.requests[before:]} <= {"GET", "HEAD"}
    if token is not None:
        assert said in machine.publish(*made.arguments(repo), token=token, yes=False)["err"]


def test_results_of_the_published_copy_have_to_be_of_the_same_model(mine, hub, machine):
    assert machine.publish(*mine.arguments("org/copied"))["code"] == 0
    sha = head_of(hub, "org/copied")
    run = mine.run
    for path in (run / "run.json", run / "results" / "xnli" / "de.json", run / "results" / "xnli" / "ru.json"):
        change_json(path, model="org/copied", model_sha=sha, model_hash=None)
    assert machine.publish(*mine.arguments("org/copied"))["code"] == 0
    repository = hub.repository("models", "org/copied")
    repository.point("other", sha)
    other = repository.commit({"tokenizer_config.json": "{}"}, "other")
    for path in (run / "run.json", run / "results" / "xnli" / "de.json", run / "results" / "xnli" / "ru.json"):
        change_json(path, model_sha=other)
    found = machine.publish(*mine.arguments("org/copied"))
    assert found["code"] == 10
    assert "holds another model than the folder (tokenizer_config.json)" in found["err"]


def test_a_published_checkpoint_is_read_as_it_was(made, hub, machine):
    assert machine.publish(*made.arguments("org/read"))["code"] == 0
    there = hub.repository("models", "org/read").files(head_of(hub, "org/read"))
    copy = made.folder.parent / "copy"
    for path, content in there.items():
        (copy / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(content, copy / path)
    assert (
        checkpoints_files.read_folder("x", copy, False).id == checkpoints_files.read_folder("y", made.folder, False).id
    )
    record = training_record.load(copy)
    assert record is not None
    training_record.check_weights(record, copy)


def test_tokens_lie_in_no_file(hub, machine, made):
    assert machine.publish(*made.arguments("org/last"))["code"] == 0
    for root in (hub.root, made.folder.parent):
        for folder, _, names in os.walk(root):
            for name in names:
                content = (Path(folder) / name).read_bytes()
                assert not any(token.encode() in content for token in (TOKEN, READER, STRANGER)), f"{folder}/{name}"


ADOPTED = """\
summary: A tiny encoder that was made elsewhere.
phase: intermediate
tasks: [mnli]
languages: [en]
training_data:
  - {name: MultiNLI, id: nyu-mll/glue, licence: oanc, rows: 96}
recipe: learning rate 0.003, 60 steps of 16
seeds: [1]
hardware: 1 x CPU
seconds: 2
licence: {id: mit, why: It is that of the base.}
"""


def adopted(mine: Publishable) -> list[str]:
    """Take away what xharness wrote, and say it in a file of facts; return what follows ``xharness publish``."""
    for name in ("training.json", "training_curve.png", "xharness.json"):
        (mine.folder / name).unlink()
    facts = mine.folder.parent / "adopted.yaml"
    facts.write_text(mine.facts.read_text(encoding="utf-8") + ADOPTED, encoding="utf-8")
    return [str(mine.folder), "org/adopted", "--no-results", "--facts", str(facts), "--adopt"]


def test_a_checkpoint_of_others_is_adopted_and_its_name_taken_by_its_weights(made, mine, hub, machine):
    arguments = adopted(mine)
    assert machine.publish(*arguments)["code"] == 0
    assert machine.publish(*arguments)["out"].startswith("nothing changed")
    other_weights(mine)
    assert "this name is taken" in machine.publish(*arguments)["err"]
    assert "this name is taken" in machine.publish(*made.arguments("org/adopted"))["err"]
    assert machine.publish(*made.arguments("org/adopted"), "--replace")["code"] == 0
    assert "this name is taken" in machine.publish(*arguments)["err"]


def test_the_client_is_given_the_digests_and_reads_no_file_for_them(made, hub, machine):
    machine.client.run(
        "from huggingface_hub import lfs\n"
        "hashed, read = lfs.UploadInfo.sha256, []\n"
        "def counted(self):\n"
        "    read.extend([] if self.is_hashed else [str(self.size)])\n"
        "    return hashed.fget(self)\n"
        "lfs.UploadInfo.sha256 = property(counted, hashed.fset)"
    )
    assert machine.publish(*made.arguments("org/hashed-once"))["code"] == 0
    assert machine.client.run("lfs.UploadInfo.sha256 = hashed\nresult = read") == []


def test_another_seed_or_base_of_the_same_training_is_another_checkpoint(made, mine, hub, machine):
    assert machine.publish(*made.arguments("org/seeds"))["code"] == 0
    change_json(mine.folder / "training.json", seed=77)
    assert "this name is taken" in machine.publish(*mine.arguments("org/seeds"), yes=False)["err"]


def test_weights_of_other_kinds_stay_without_replace(made, mine, hub, machine):
    assert machine.publish(*made.arguments("org/kinds"))["code"] == 0
    hub.repository("models", "org/kinds").commit({"pytorch_model.onnx": b"o", "optimizer.pt": b"p"})
    (mine.run / "results" / "xnli" / "ru.json").unlink()
    assert machine.publish(*mine.arguments("org/kinds"))["code"] == 0
    assert {"pytorch_model.onnx", "optimizer.pt"} <= set(
        hub.repository("models", "org/kinds").files(head_of(hub, "org/kinds"))
    )


def test_a_tag_at_the_commit_that_is_left_is_not_moved(made, mine, hub, machine):
    assert machine.publish(*made.arguments("org/tagged"), "--tag", "v1")["code"] == 0
    (mine.run / "results" / "xnli" / "ru.json").unlink()
    found = machine.publish(*mine.arguments("org/tagged"), "--tag", "v1")
    assert found["code"] == 10
    assert "is already at another commit" in found["err"]


def test_a_pull_request_of_somebody_else_is_not_gone_on_with(made, mine, hub, machine):
    hub.repository("models", "org/asked-by-two").commit({"README.md": "mine"})
    arguments = [*made.arguments("org/asked-by-two"), "--create-pr", "--json"]
    first = json.loads(machine.publish(*arguments, token=STRANGER)["out"])
    second = json.loads(machine.publish(*arguments)["out"])
    assert (second["state"], second["pull_request"] != first["pull_request"]) == ("proposed", True)


def test_a_branch_is_made_also_where_no_file_differs(made, hub, machine):
    assert machine.publish(*made.arguments("org/branched"))["code"] == 0
    assert machine.publish(*made.arguments("org/branched"), "--revision", "wip")["code"] == 0
    assert head_of(hub, "org/branched", "wip") == head_of(hub, "org/branched")
