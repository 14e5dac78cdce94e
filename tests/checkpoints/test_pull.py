"""Pulling checkpoints from a Hub on this machine: whole or not at all, whatever the connection and the server do."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time

import pytest

from helpers.checkpoints import bare_record
from helpers.fake_hub import TOKEN, ClientError, LoopbackHub
from helpers.paths import HARNESS
from xharness.checkpoints import heads, resolve, training_record
from xharness.checkpoints.pull import select
from xharness.checkpoints.pull_folder import check_paths
from xharness.files import sha256

CONFIG = {"model_type": "xlm-roberta", "architectures": ["XLMRobertaForQuestionAnswering"], "num_hidden_layers": 2}
# More than two of the pieces (10 MiB) in which the Hub's client writes.
SIZE = 24 << 20
CARD = "---\nlicense: mit\n---\n# A card\n\x1b[31m"
RESULTS = "results/0123456789ab/seed1/xquad/de.json"
CLAIMS = (
    "- dataset: {id: org/xtreme-r, task_id: overall}\n  value: 71.23\n- dataset: {id: org/xtreme-r, task_id: xquad}\n"
)
OWN_ZOO = """
org: null
encoders: {tiny: {model: org/base, title: Tiny, licence: mit}}
checkpoints: {squad_v1: squad, mnli: mnli, qqp: qqp}
tuned: {}
revisions: {}
benchmark_datasets: {}
"""


def weights(size=64, first=0):
    header = json.dumps({"w": {"dtype": "U8", "shape": [size], "data_offsets": [0, size]}}).encode()
    return len(header).to_bytes(8, "little") + header + bytes([first]) + bytes(size - 1)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """Return the folder of a checkpoint as it is published, and some files that must stay on the Hub."""
    folder = tmp_path_factory.mktemp("checkpoint")
    (folder / "heads").mkdir()
    (folder / RESULTS).parent.mkdir(parents=True)
    (folder / ".eval_results").mkdir()
    (folder / "config.json").write_text(json.dumps(CONFIG))
    (folder / "tokenizer.json").write_text("{}")
    (folder / "README.md").write_text(CARD)
    (folder / RESULTS).write_text("{}")
    (folder / ".eval_results/xtreme_r.yaml").write_text(CLAIMS)
    (folder / "model.safetensors").write_bytes(weights(SIZE))
    (folder / "heads/qqp.safetensors").write_bytes(weights())
    own = heads.Head("squad_v1", None, "span_qa", "XLMRobertaForQuestionAnswering")
    beside = heads.Head("qqp", "heads/qqp.safetensors", "span_qa", "XLMRobertaForQuestionAnswering")
    known = {"squad_v1": own, "qqp": beside}
    heads.write(folder, heads.CheckpointRecord("intermediate", ("squad_v1",), "org/base", "1" * 40, known))
    save_record(folder)
    for stays in ("pytorch_model.bin", "model.py", "vocab.py", "vocab.pkl", "steps/model.safetensors", "optimizer.pt"):
        (folder / stays).parent.mkdir(exist_ok=True)
        (folder / stays).write_bytes(b"x")
    return folder


def save_record(folder, **more):
    sums = {path: sha256(folder / path) for path in ("model.safetensors", "heads/qqp.safetensors")}
    weights = {**sums, "steps/model.safetensors": "0" * 64, **more}
    record = bare_record("squad_v1", 88.0, probes={"squad_v1": {"metric": "squad"}}, weights=weights)
    training_record.save(record, folder)


def contents(folder):
    return {p.relative_to(folder).as_posix(): p for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.fixture(scope="module")
def server(tmp_path_factory, checkpoint):
    with LoopbackHub(tmp_path_factory.mktemp("hub")) as server:
        server.repository("models", "org/tiny-squad").commit(contents(checkpoint))
        yield server


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    home = tmp_path_factory.mktemp("home")
    (home / "zoo.yaml").write_text(OWN_ZOO)
    return home


def environment(home):
    return {"XHARNESS_ORG": "org", "XHARNESS_ZOO": str(home / "zoo.yaml"), "HF_TOKEN": TOKEN}


@pytest.fixture(scope="module")
def client(server, home):
    with server.client(home, **environment(home)) as client:
        client.run(
            "from dataclasses import replace; from pathlib import Path\n"
            "from xharness.checkpoints import listing as model_list, pull as pulling, resolve, zoo\n"
            "from xharness.hub import read as hub\n"
            "from xharness.publishing.card import show as card_reading\n"
            "def pull(name, to): return pulling.pull(name, Path(to)).to_json()"
        )
        yield client


@pytest.fixture(autouse=True)
def _fresh(server):
    server.requests.clear()
    server.faults.clear()


def pull(client, to, name="tiny-squad"):
    return client.run("result = pull(name, to)", name=name, to=str(to))


def refused(client, to, name="tiny-squad"):
    with pytest.raises(ClientError) as caught:
        pull(client, to, name)
    assert TOKEN not in caught.value.message
    return caught.value


def sizes(staging):
    """Return the sizes of what a pull that goes on now has of its files."""
    try:
        return [part.stat().st_size for part in staging.glob("*.part")]
    except FileNotFoundError:  # whole, and in its place by now
        return []


def assert_whole(folder, checkpoint):
    """The folder holds what is published, and nothing that is not."""
    expected = {p for p in contents(checkpoint) if p in [*select(contents(checkpoint))]}
    assert set(contents(folder)) == {*expected, ".pulled.json"}
    for path in expected:
        assert sha256(folder / path) == sha256(checkpoint / path), path


def test_what_is_selected(checkpoint):
    found = select(
        [*contents(checkpoint), "vocab.txt", "sentencepiece.bpe.model", "onnx/model.safetensors", "heads/a/b"]
    )
    assert found == [
        ".eval_results/xtreme_r.yaml",
        "README.md",
        "config.json",
        "heads/qqp.safetensors",
        "model.safetensors",
        RESULTS,
        "sentencepiece.bpe.model",
        "tokenizer.json",
        "training.json",
        "vocab.txt",
        "xharness.json",
    ]


@pytest.mark.parametrize(
    "path",
    [
        *("results/../../x.json", "/x.json", "results//x.json", "results/./x.json", "results/x. ", "results/nul.json"),
        *("a\\b.json", "c:x.json", "results/a\x1b.json", "results/a\u202e.json", ".pull/x.json", ".pulled.json"),
    ],
)
def test_paths_that_are_no_plain_names_are_refused(tmp_path, path):
    from xharness.errors import ModelError

    check_paths("org/x", tmp_path, ["results/a b/ไทย.json"])
    with pytest.raises(ModelError, match="its paths are not safe to write") as caught:
        check_paths("org/x", tmp_path, [path])
    assert "\x1b" not in str(caught.value)


def test_a_checkpoint_comes_whole_and_a_second_time_nothing_is_done(server, client, checkpoint, tmp_path):
    to = tmp_path / "to"
    sha = server.repository("models", "org/tiny-squad").resolve("main")
    found = pull(client, to)
    assert (found["repo"], found["sha"]) == ("org/tiny-squad", sha)
    assert sorted(found["downloaded"]) == select(contents(checkpoint))
    assert found["notes"] == [
        "Python code and pickles are not downloaded: model.py, optimizer.pt, pytorch_model.bin, vocab.pkl ...."
    ]
    assert_whole(to, checkpoint)
    assert resolve.read_checkpoint(str(to)).content_hash == client.run(
        "result = resolve.read_checkpoint(to).id", to=str(to)
    )
    server.requests.clear()
    before = {path: file.stat().st_mtime_ns for path, file in contents(to).items()}
    again = pull(client, to)
    assert (again["sha"], again["downloaded"]) == (sha, [])
    assert server.sent() == []
    assert {path: file.stat().st_mtime_ns for path, file in contents(to).items()} == before
    # What was damaged on the disk is brought again, and nothing else.
    (to / "tokenizer.json").write_text("damaged")
    assert pull(client, to)["downloaded"] == ["tokenizer.json"]
    assert_whole(to, checkpoint)


def test_a_name_of_the_zoo_can_be_evaluated_listed_shown_and_pinned(server, client, home, tmp_path):
    sha = server.repository("models", "org/tiny-squad").resolve("main")
    read = "found = resolve.read_checkpoint(name); result = [found.name, found.sha, sorted(found.heads)]"
    for name in ("tiny-squad", "tiny-squad@main", "org/tiny-squad"):
        assert client.run(read, name=name) == ["org/tiny-squad", sha, ["qqp", "squad_v1"]]
    other = server.repository("models", "org/tiny-qqp")
    other.commit({"README.md": "none", "training.json": "{}", ".eval_results/x.yaml": "[1"})
    other.change(private=True)
    rows = client.run("result = model_list.list_checkpoints(zoo.load(), None, None).to_json()['models']")
    assert [(row["name"], row["state"], row["headline"]) for row in rows] == [
        ("tiny-squad", "on the Hub", "xtreme-r overall 71.2"),
        ("tiny-mnli", "not published", ""),
        ("tiny-qqp", "on the Hub", ""),
    ]
    assert rows[0]["revision"] == sha
    server.fail("GET /api/models/org/tiny-qqp/tree", status=403)
    listing = client.run("result = model_list.list_checkpoints(zoo.load(), None, None).to_json()")
    assert [row["state"] for row in listing["models"]] == ["on the Hub", "not published", "on the Hub"]
    assert "org/tiny-qqp: the Hub refuses this token" in listing["notes"][0]
    assert rows[0]["size"] > SIZE
    card = client.run("result = card_reading.read_card('tiny-squad').to_json()")
    assert card == {"name": "org/tiny-squad", "sha": sha, "metadata": {"license": "mit"}}
    assert client.run("result = card_reading.read_card('tiny-squad').text").endswith("# A card\n[31m")
    pins = tmp_path / "pins.yaml"
    code = "found = zoo.pin(Path(to), None); result = [found.org, found.revisions, found.missing]"
    assert client.run(code, to=str(pins)) == [
        "org",
        {"tiny-squad": sha, "tiny-qqp": other.resolve("main")},
        ["tiny-mnli"],
    ]
    newer = server.repository("models", "org/tiny-squad").commit({"README.md": "newer"})
    pinned = (
        "row = model_list.list_checkpoints(zoo.load(Path(to)), None, None).rows[0]\n"
        "result = [row.revision, row.pinned, row.headline]"
    )
    assert client.run(pinned, to=str(pins)) == [sha, True, "xtreme-r overall 71.2"]
    assert client.run("result = zoo.load(Path(to)).find('tiny-squad').revision", to=str(pins)) == sha
    assert client.run(read, name="tiny-squad")[1] == newer
    server.repository("models", "org/tiny-squad").point("main", sha)


def test_a_folder_stays_at_its_commit_and_is_no_other_checkpoint(server, client, checkpoint, tmp_path):
    repository = server.repository("models", "org/tiny-squad")
    sha = repository.resolve("main")
    to = tmp_path / "to"
    pull(client, to)
    newer = repository.commit({"README.md": "newer"})
    found = pull(client, to)
    assert (found["sha"], found["downloaded"]) == (sha, [])
    assert f"org/tiny-squad has a newer commit, {newer[:12]}" in found["notes"][-1]
    message = refused(client, to, "tiny-squad@main").message
    assert f"holds org/tiny-squad at {sha[:12]}, not at {newer[:12]}" in message
    repository.point("main", sha)
    server.repository("models", "org/other").commit({**contents(checkpoint), "config.json": "{}"})
    assert f"holds org/tiny-squad at {sha[:12]}, not org/other" in refused(client, to, "org/other").message
    # A folder that no pull made: what is the same is taken, what differs is named.
    (to / ".pulled.json").unlink()
    assert "files that differ from org/other at" in (message := refused(client, to, "org/other").message)
    assert "config.json" in message
    (to / "notes.txt").write_text("mine")
    assert pull(client, to)["downloaded"] == []
    (to / ".pulled.json").unlink()
    (to / "heads/other.safetensors").write_bytes(weights())
    assert "heads/other.safetensors" in refused(client, to).message
    assert not (to / ".pull").exists()
    assert "is a local folder" in refused(client, tmp_path / "x", str(to)).message
    assert "Did you mean 'tiny-squad'" in refused(client, tmp_path / "x", "tiny-sqaud").message
    assert "no model of this name" in refused(client, tmp_path / "x", "tiny-mnli").message
    assert not (tmp_path / "x").exists()


def test_a_link_that_leads_out_of_the_folder_is_refused(client, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "to").mkdir()
    (tmp_path / "to" / "heads").symlink_to(tmp_path / "elsewhere")
    assert "symbolic link that leads out of" in refused(client, tmp_path / "to").message
    (tmp_path / "to" / "heads").unlink()
    (tmp_path / "to" / ".pull").symlink_to(tmp_path / "elsewhere")
    assert "is a symbolic link" in refused(client, tmp_path / "to").message
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_what_a_folder_holds_in_place_of_files_is_no_crash(client, tmp_path):
    to = tmp_path / "to"
    to.mkdir()
    (to / "README.md").symlink_to("README.md")
    (to / ".pulled.json").write_text("[" * 100_000)
    pull(client, to)  # a link that leads in a circle is no file, and is replaced as one
    assert (to / "README.md").read_text() == CARD
    assert json.loads((to / ".pulled.json").read_text())["repo"] == "org/tiny-squad"


def test_a_download_that_is_cut_goes_on_where_it_was(server, client, checkpoint, tmp_path):
    to = tmp_path / "to"
    server.fail("GET .*/resolve/.*/model.safetensors", cut_after=15 << 20)
    error = refused(client, to)
    assert "ModelError" in error.kinds
    assert "the connection broke" in error.message
    assert not (to / "model.safetensors").exists()
    (part,) = (to / ".pull").glob("*.part")
    assert part.stat().st_size == 10 << 20
    server.requests.clear()
    assert "model.safetensors" in pull(client, to)["downloaded"]
    assert_whole(to, checkpoint)
    assert [r.status for r in server.requests if r.path.endswith("/model.safetensors")] == [206]
    assert not [path for path in server.sent() if path.endswith("config.json")], "complete files are kept"


def test_after_a_kill_the_rest_is_brought(server, client, home, checkpoint, tmp_path):
    to = tmp_path / "to"
    server.fail("GET .*/resolve/.*/model.safetensors", slow=0.2)
    code = (
        f"from pathlib import Path; from xharness.checkpoints.pull import pull; pull('tiny-squad', Path({str(to)!r}))"
    )
    paths = {"PYTHONPATH": str(HARNESS)}
    process = subprocess.Popen([sys.executable, "-c", code], env=server.environment(home, **environment(home), **paths))
    begun = time.monotonic()
    while not any(size >= 10 << 20 for size in sizes(to / ".pull")):
        assert process.poll() is None
        assert time.monotonic() - begun < 240
        time.sleep(0.02)
    busy = refused(client, to).message
    assert "Another process is pulling into" in busy
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert not (to / "model.safetensors").exists()
    assert (to / "tokenizer.json").read_text() == "{}"
    server.requests.clear()
    pull(client, to)
    assert_whole(to, checkpoint)
    assert [r.status for r in server.requests if r.path.endswith("/model.safetensors")] == [206]


@pytest.mark.parametrize("file", ["model.safetensors", "config.json"])
def test_what_comes_damaged_never_stands_under_its_name(server, client, checkpoint, tmp_path, file):
    to = tmp_path / "to"
    server.fail(f"GET .*/resolve/.*/{file}", corrupt=True)
    error = refused(client, to)
    assert "ModelError" in error.kinds
    assert f"{file} is damaged" in error.message
    assert not (to / file).exists()
    assert not list((to / ".pull").glob("*.part"))
    assert file in pull(client, to)["downloaded"]
    assert_whole(to, checkpoint)


def test_refusals_of_the_hub(server, client, checkpoint, tmp_path):
    to = tmp_path / "to"
    server.fail("GET .*/resolve/.*/model.safetensors", status=500)
    error = refused(client, to)
    assert "HTTP 500" in error.message
    server.fail("GET .*/resolve/.*/model.safetensors", status=403)
    assert "refuses this token" in refused(client, to).message
    server.fail("GET .*/resolve/.*/model.safetensors", status=429, headers={"Retry-After": "1"})
    pull(client, to)
    assert_whole(to, checkpoint)


def test_weights_that_training_json_does_not_name_are_refused_before_they_come(server, client, checkpoint, tmp_path):
    repository = server.repository("models", "org/swapped")
    repository.commit({**contents(checkpoint), "model.safetensors": weights(SIZE, first=1)})
    message = refused(client, tmp_path / "to", "org/swapped").message
    assert "its weights do not match its training.json: model.safetensors" in message
    assert not [path for path in server.sent() if path.endswith("model.safetensors")]
    copied = tmp_path / "copied"
    shutil.copytree(checkpoint, copied)
    save_record(copied, **{"heads/gone.safetensors": "0" * 64})
    repository.commit({**contents(copied)})
    assert "heads/gone.safetensors" in refused(client, tmp_path / "to2", "org/swapped").message


def test_shards_come_with_their_index_and_other_repositories_are_refused(server, client, tmp_path):
    repository = server.repository("models", "org/sharded")
    index = json.dumps({"weight_map": {"v": "a-1.safetensors", "w": "a-2.safetensors"}})
    files = {"config.json": "{}", "vocab.txt": "a", "model.safetensors.index.json": index, "b.safetensors": weights()}
    repository.commit({**files, "a-1.safetensors": weights(), "a-2.safetensors": weights(first=7)})
    downloaded = pull(client, tmp_path / "to", "org/sharded")["downloaded"]
    assert sorted(downloaded) == ["a-1.safetensors", "a-2.safetensors", "config.json", *sorted(files)[2:]]
    server.repository("models", "org/pickled").commit(
        {"config.json": "{}", "vocab.txt": "a", "pytorch_model.bin": b"x"}
    )
    assert "pickles are never loaded" in refused(client, tmp_path / "none", "org/pickled").message
    server.repository("models", "org/mute").commit({"config.json": "{}", "model.safetensors": weights()})
    assert "no tokenizer files" in refused(client, tmp_path / "none", "org/mute").message
    assert not (tmp_path / "none").exists()


def test_a_full_disk_is_said_before_the_weights_come(server, client, tmp_path):
    client.run(
        "import shutil; from types import SimpleNamespace; kept = shutil.disk_usage\n"
        "shutil.disk_usage = lambda _: SimpleNamespace(free=1 << 20)"
    )
    try:
        error = refused(client, tmp_path / "to")
    finally:
        client.run("shutil.disk_usage = kept")
    assert "OutputError" in error.kinds
    assert "1 MB are free" in error.message
    assert not [path for path in server.sent() if path.endswith("model.safetensors")]


def test_a_disk_that_fills_meanwhile_is_that_of_the_folder(client, tmp_path):
    client.run(
        "import errno, huggingface_hub.file_download as below; kept = below.http_get\n"
        "def full(*_, **__): raise OSError(errno.ENOSPC, 'full')\n"
        "below.http_get = full"
    )
    try:
        error = refused(client, tmp_path / "to")
    finally:
        client.run("below.http_get = kept")
    assert "OutputError" in error.kinds
    assert "No space left on device" in error.message
    assert "HF_HOME" not in error.message
    assert pull(client, tmp_path / "to")["downloaded"]
