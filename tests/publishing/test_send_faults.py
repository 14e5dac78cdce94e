"""Publishing when the Hub or the network goes wrong: all of it arrives or nothing, and no token is shown."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from helpers.checkpoints import Publishable, head_of, make_publishable
from helpers.fake_hub import TOKEN, LoopbackHub
from helpers.machine import Machine
from xharness.errors import PublishError
from xharness.hub import repository as hub_repository
from xharness.hub.repository import Account
from xharness.hub.write_errors import explain_write_errors, redact


@pytest.fixture(scope="module")
def made(tmp_path_factory: Any, tiny_checkpoint: Callable[..., Path], data_folder: Path) -> Publishable:
    return make_publishable(tmp_path_factory.mktemp("publishable"), tiny_checkpoint, data_folder)


@pytest.fixture(scope="module")
def hub(tmp_path_factory: Any) -> Iterator[LoopbackHub]:
    with LoopbackHub(tmp_path_factory.mktemp("hub")) as server:
        yield server


@pytest.fixture(scope="module")
def machine(hub: LoopbackHub, tmp_path_factory: Any) -> Iterator[Machine]:
    there = Machine(hub, tmp_path_factory.mktemp("home"))
    with there.client:
        yield there


@pytest.fixture(autouse=True)
def no_faults_left(hub: LoopbackHub) -> None:
    hub.faults.clear()


def is_whole(hub: LoopbackHub, name: str, outcome: dict[str, Any]) -> bool:
    there = hub.repository("models", name).files(head_of(hub, name))
    return {file["path"] for file in outcome["files"] if file["state"] != "removed"} <= set(there)


COMMIT, UPLOAD, MAKE, TAG, ITEM = (
    "POST .*/commit/",
    "PUT .*/lfs/",
    "POST /api/repos/create",
    "POST .*/tag/",
    "POST .*/items",
)
SLOW_DOWN = {"status": 429, "headers": {"Retry-After": "0"}}

# name, what goes wrong, whether it is published all the same (None: as the version of the client has it), what is said.
FAULTS: list[tuple[str, str, dict[str, Any], bool | None, str]] = [
    ("too-much-at-commit", COMMIT, SLOW_DOWN, True, "published"),
    ("too-much-at-upload", UPLOAD, SLOW_DOWN, True, "published"),
    ("too-much-for-long", COMMIT, {**SLOW_DOWN, "times": 99}, False, "too many requests from this machine (HTTP 429)"),
    ("too-much-at-making", MAKE, SLOW_DOWN, True, "published"),
    ("too-much-at-reading", "GET /api/models/org/[^/]*$", SLOW_DOWN, True, "published"),
    ("upload-500", UPLOAD, {"status": 500}, True, "published"),
    ("upload-cut", UPLOAD, {"cut_upload_after": 1000}, True, "published"),
    ("upload-wrong", UPLOAD, {"corrupt": True}, False, "BadDigest"),
    ("upload-slow", UPLOAD, {"slow": 0.2}, True, "published"),
    ("commit-500", COMMIT, {"status": 500}, False, "an internal error (HTTP 500)"),
    ("commit-403", COMMIT, {"status": 403}, False, "no permission (HTTP 403)"),
    ("commit-cut", COMMIT, {"cut_upload_after": 100}, False, "the connection broke"),
    ("commit-answer-cut", COMMIT, {"after": True}, True, "The response to the commit was lost, but the commit exists."),
    ("making-500", MAKE, {"status": 500}, False, "an internal error (HTTP 500)"),
    ("making-answer-cut", MAKE, {"after": True}, False, "the connection broke"),
    ("tag-500", TAG, {"status": 500}, False, "the tag 'v1'"),
    ("tag-answer-cut", TAG, {"after": True}, False, "the tag 'v1'"),
    ("collection-500", ITEM, {"status": 500}, False, "the collection 'Faults'"),
    ("whoami-500", "GET /api/whoami", {"status": 500}, False, "this token"),
    ("reading-500", "GET /api/models/org/[^/]*$", {"status": 500}, False, "HTTP 500"),
    ("tree-cut", "GET .*/tree/", {"cut_after": 10}, None, "org/tree-cut"),
    ("card", "POST /api/validate-yaml", {"status": 400}, False, "the metadata of this card"),
]


@pytest.mark.parametrize(("name", "match", "what", "done", "said"), FAULTS, ids=[fault[0] for fault in FAULTS])
def test_it_is_published_or_stands_as_before_and_again_finishes(made, hub, machine, name, match, what, done, said):
    repo = f"org/{name}"
    arguments = [*made.arguments(repo), "--tag", "v1", "--collection", "Faults", "--json"]
    hub.fail(match, **what)
    found = machine.publish(*arguments)
    hub.faults.clear()  # where one fault stands for many
    assert said in found["out"] + found["err"]
    assert done in (None, found["code"] == 0), found["err"]
    repository = hub.place("models", repo)
    if found["code"] == 0:
        assert is_whole(hub, repo, json.loads(found["out"]))
    elif repository.exists:
        # One commit of ours at most: what stands there is either all of it or nothing.
        there = set(repository.files(head_of(hub, repo)))
        assert there == {".gitattributes"} or "model.safetensors" in there
    again = machine.publish(*arguments)
    assert again["code"] == 0, again["err"]
    assert is_whole(hub, repo, json.loads(again["out"]))
    assert len(repository.history()) == 2
    assert head_of(hub, repo, "v1") == head_of(hub, repo)
    last = json.loads(machine.publish(*arguments)["out"])
    assert (last["state"], last["collection"], last["tag"]) == ("unchanged", None, None)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "match", "what", "done", "said"),
    [fault for fault in FAULTS if fault[1] != MAKE],  # nothing is made
    ids=[fault[0] for fault in FAULTS if fault[1] != MAKE],
)
def test_what_stood_there_before_is_kept_until_all_of_the_next_is_there(
    made, hub, machine, name, match, what, done, said
):
    repo = f"org/again-{name}"
    assert machine.publish(*made.arguments(repo))["code"] == 0
    # Something of ours is another file there by now.
    before = hub.repository("models", repo).commit({"model.safetensors": b"older", "tokenizer.json": b"{}"})
    arguments = [*made.arguments(repo), "--tag", "v1", "--collection", "Faults", "--replace", "--json"]
    hub.fail(match, **what)
    found = machine.publish(*arguments)
    hub.faults.clear()
    repository = hub.repository("models", repo)
    shas = [commit["id"] for commit in repository.history()]
    assert before in shas[:2]
    assert (found["code"] == 0) <= (shas[1] == before)
    again = machine.publish(*arguments)
    assert again["code"] == 0, again["err"]
    assert is_whole(hub, repo, json.loads(again["out"]))
    assert len(repository.history()) == 4
    assert head_of(hub, repo, "v1") == head_of(hub, repo)


def test_a_record_that_comes_damaged_is_not_kept_and_not_taken_for_another_training(made, hub, machine):
    arguments = made.arguments("org/damaged")
    assert machine.publish(*arguments)["code"] == 0
    hub.fail("GET .*/resolve/.*/training.json", corrupt=True)
    found = machine.publish(*arguments)
    assert (found["code"], "training.json was damaged in transit" in found["err"]) == (5, True), found["err"]
    assert machine.publish(*arguments)["out"].startswith("nothing changed")


def test_names_and_sayings_of_the_hub_move_no_cursor(made, hub, machine):
    assert machine.publish(*made.arguments("org/moving-text"))["code"] == 0
    odd = {"results/\x07.json": "{}", "\x07.txt": "x"}
    hub.repository("models", "org/moving-text").commit(odd)
    hub.repository("models", "org/moving-name").commit({"\x07.py": "x"})
    looked = machine.publish(*made.arguments("org/moving-text"), yes=False)
    taken = machine.publish(*made.arguments("org/moving-name"), yes=False)
    hub.fail(COMMIT, status=403, headers={"X-Error-Message": "no\x07pe"})
    refused = machine.publish(*made.arguments("org/moving-message"))
    assert ("removed" in looked["out"], "this name is taken" in taken["err"], "nope" in refused["err"]) == (True,) * 3
    assert "\x07" not in "".join(found[stream] for found in (looked, taken, refused) for stream in ("out", "err"))


def test_a_repository_that_was_made_and_stayed_empty(made, hub, machine):
    hub.fail(COMMIT, status=500)
    found = machine.publish(*made.arguments("org/empty"))
    sha = head_of(hub, "org/empty")
    assert (
        f"org/empty is at its previous commit ({sha[:12]}) and is empty. Run the same command to finish."
        in found["err"]
    )


def test_somebody_else_was_quicker(made, hub, machine):
    assert machine.publish(*made.arguments("org/quick"), "--no-such")["code"] == 2
    hub.fail(COMMIT, stale=True)
    found = machine.publish(*made.arguments("org/quick"))
    assert found["code"] == 10
    assert "was changed" in found["err"]
    repository = hub.repository("models", "org/quick")
    assert set(repository.files(head_of(hub, "org/quick"))) == {".gitattributes", "elsewhere.txt"}


def test_the_answer_is_lost_and_the_hub_with_it(made, hub, machine):
    hub.repository("models", "org/lost").commit({"README.md": "soon"})
    machine.publish(*made.arguments("org/lost"), yes=False)
    hub.fail(COMMIT, after=True)
    # What is asked after the commit: the first question of this kind is the comparison before it.
    hub.fail("GET /api/models/org/lost$", times=1, slow=0.0)
    hub.fail("GET /api/models/org/lost$", times=1, status=503)
    found = machine.publish(*made.arguments("org/lost"))
    hub.faults.clear()
    assert found["code"] == 10
    assert "is not known" in found["err"]
    again = machine.publish(*made.arguments("org/lost"))
    assert again["out"].startswith("nothing changed")
    assert len(hub.repository("models", "org/lost").history()) == 2


def test_a_pull_request_whose_answer_was_lost_is_not_opened_twice(made, hub, machine):
    hub.repository("models", "org/asked").commit({"README.md": "soon"})
    hub.fail(COMMIT, after=True)
    found = machine.publish(*made.arguments("org/asked"), "--create-pr")
    assert (found["code"], "proposed: " in found["out"]) == (0, True), found["err"]
    hub.fail(COMMIT, status=500)
    assert machine.publish(*made.arguments("org/asked"), "--create-pr")["out"].startswith("nothing changed: the pull")
    refs = hub.repository("models", "org/asked").record["refs"]
    assert [ref for ref in refs if ref.startswith("refs/pr/")] == ["refs/pr/1"]


def test_what_arrived_is_compared_with_what_was_sent(made, hub, machine):
    machine.client.run(
        "from xharness.hub import read as xhub\n"
        "listed = xhub.list_files\n"
        "xhub.list_files = lambda *a: {path: file for path, file in listed(*a).items() if path != 'config.json'}"
    )
    found = machine.publish(*made.arguments("org/other-content"))
    machine.client.run("xhub.list_files = listed")
    assert found["code"] == 10
    assert "holds other content than was sent: config.json" in found["err"]
    assert "published" not in found["out"]


def test_a_file_that_changes_meanwhile_is_not_sent(made, hub, machine, tmp_path):
    mine = made.copy(tmp_path)
    machine.client.run(
        "from pathlib import Path\n"
        "from xharness.hub import write as hub_commits\n"
        "checked = hub_commits.check_card\n"
        "def touched(*arguments):\n"
        "    path = Path(folder) / 'tokenizer_config.json'\n"
        "    path.write_text(path.read_text() + ' ')\n"
        "    return checked(*arguments)\n"
        "hub_commits.check_card = touched",
        folder=str(mine.folder),
    )
    found = machine.publish(*mine.arguments("org/moving"))
    machine.client.run("hub_commits.check_card = checked")
    assert found["code"] == 10
    assert "tokenizer_config.json: changed while being published" in found["err"]
    assert not any("/org/moving/commit/" in request.path for request in hub.requests)


def test_no_network_at_all(made, tmp_path):
    with LoopbackHub(tmp_path / "hub") as gone:
        away = Machine(gone, tmp_path / "home")
    with away.client:
        looked = away.publish(*made.arguments(), yes=False)
        assert looked["code"] == 0
        assert "not compared with the Hub" in looked["err"]
        sent = away.publish(*made.arguments())
        assert sent["code"] == 10
        assert "the Hub cannot be reached" in sent["err"]
        away.client.run("import logging\nlogging.getLogger('huggingface_hub').setLevel('DEBUG')")
        away.publish(*made.arguments())


def test_what_the_client_logs_holds_no_secret(made, hub, machine):
    machine.client.run("import logging\nlogging.getLogger('huggingface_hub').setLevel('DEBUG')")
    hub.fail(UPLOAD, status=500)
    hub.fail(COMMIT, status=500)
    log = machine.client.run(
        "import io, logging\n"
        "kept = io.StringIO()\n"
        "handler = logging.StreamHandler(kept)\n"
        "logging.getLogger('huggingface_hub').addHandler(handler)\n"
        "run(arguments, token)\n"
        "result = kept.getvalue()",
        arguments=["publish", *made.arguments("org/logged"), "--yes"],
        token=TOKEN,
    )
    assert "Retrying" in log
    assert TOKEN not in log
    assert not re.search(r"key=\w", log)  # the addresses that the Hub signs for uploads


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("Authorization: Bearer hf_abcDEF123", "Authorization: Bearer ***"),
        ("token hf_abcDEF123 is bad", "token *** is bad"),
        ("PUT https://host/a?X-Sig=abc&y=1 failed", "PUT https://host/a*** failed"),
        ("proxy http://me:secret@host:80/x", "proxy http://***host:80/x"),
        ("is it there? Yes, org/hf_model is", "is it there? Yes, org/hf_model is"),
    ],
)
def test_secrets_are_taken_out_of_texts(text, left):
    assert redact(text) == left


def test_what_nobody_foresaw_is_said_by_its_name_and_without_secrets(monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "my-own-token")
    with pytest.raises(PublishError) as found, explain_write_errors("org/x", "this commit"):
        raise RuntimeError("my-own-token was refused at https://host/a?sig=1")
    assert str(found.value) == "org/x: this commit failed (RuntimeError: *** was refused at https://host/a***)."
    assert found.value.__suppress_context__


FINE = Account("ann", "fineGrained", {"org": "write"}, frozenset({"ann", "org/mine"}))


@pytest.mark.parametrize(
    ("who", "repo", "said"),
    [
        (FINE, "ann/x", None),
        (FINE, "org/mine", None),
        (FINE, "org/other", "cannot write to it, only to: ann, org/mine"),
        (Account("ann", "write", {"org": "read"}), "org/x", "has only read access in 'org'"),
        (Account("ann", "write", {"org": None}), "org/x", None),
        (
            Account("ann", "write", {}),
            "org/x",
            "ann is not a member of 'org'. Publish to one of: ann; or open a pull request with --create-pr.",
        ),
        (Account("ann", "fineGrained", {}, None), "ann/x", None),
    ],
)
def test_rights_that_are_known_beforehand(who, repo, said):
    if said is None:
        hub_repository.check_rights(who, repo, exists=False, proposing=False)
    else:
        with pytest.raises(PublishError, match=re.escape(said)):
            hub_repository.check_rights(who, repo, exists=False, proposing=False)
    hub_repository.check_rights(who, repo, exists=True, proposing=True)
