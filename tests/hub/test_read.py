"""The Hub: what the real client and xharness make of a Hub on this machine."""

import json
import subprocess
import sys

import pytest

from helpers.fake_hub import TOKEN, ClientError, LoopbackHub
from helpers.hub_files import CONFIG, WEIGHTS, safetensors
from helpers.paths import HARNESS
from xharness.hub import read as hub_read


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with LoopbackHub(tmp_path_factory.mktemp("hub")) as hub:
        tiny = hub.repository("models", "org/tiny")
        first = tiny.commit({"config.json": json.dumps(CONFIG), "model.safetensors": WEIGHTS, "tokenizer.json": "{}"})
        tiny.point("v1.0", first, tag=True)
        tiny.commit(
            {
                "pytorch_model.bin": b"a pickle",
                "model.py": "raise SystemExit",
                "onnx/model.onnx": b"onnx",
                "checkpoint-5/model.safetensors": WEIGHTS,
                "heads/xnli.safetensors": safetensors(32),
                "sentencepiece.bpe.model": b"pieces",
                "modules.json": "[]",
            }
        )
        pickled = hub.repository("models", "org/pickled")
        pickled.commit({"config.json": json.dumps(CONFIG), "pytorch_model.bin": b"a pickle"})
        whole = {"config.json": json.dumps(CONFIG), "model.safetensors": WEIGHTS, "vocab.txt": "a"}
        pickled.commit(whole, "refs/pr/4")
        pickled.change(discussions={"3": "Fix the card", "4": "Adding `safetensors` variant of this model"})
        gated = hub.repository("models", "org/gated")
        gated.commit(whole)
        gated.change(gated="manual")
        private = hub.repository("models", "org/private")
        private.commit(whole)
        private.change(private=True)
        coded = hub.repository("models", "org/coded")
        coded.commit(
            {
                "config.json": json.dumps({**CONFIG, "auto_map": {"AutoModel": "model.M"}}),
                "weights.part1.safetensors": WEIGHTS,
                "model-00009-of-00009.safetensors": WEIGHTS,
                "model.safetensors.index.json": json.dumps({"weight_map": {"w": "weights.part1.safetensors"}}),
                "vocab.txt": "a",
                "model.py": "",
            }
        )
        yield hub


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def client(server, home):
    with server.client(home) as client:
        client.run(
            "import dataclasses; from pathlib import Path\n"
            "from xharness.checkpoints import resolve; from xharness.hub import read as hub"
        )
        yield client


@pytest.fixture(autouse=True)
def _fresh(server):
    server.requests.clear()
    server.faults.clear()


def read(client, name, **options):
    return client.run(
        "result = dataclasses.asdict(resolve.read_checkpoint(name, **options))", name=name, options=options
    )


def refused(client, code, **values):
    with pytest.raises(ClientError) as caught:
        client.run(code, **values)
    return caught.value


def test_importing_is_light():
    code = (
        "import sys, xharness.hub.read; "
        "sys.exit(any(m in sys.modules for m in ('torch', 'transformers', 'datasets', 'huggingface_hub')))"
    )
    subprocess.run([sys.executable, "-c", code], check=True, env={"PYTHONPATH": str(HARNESS)})


def test_split_revision(tmp_path, monkeypatch):
    assert hub_read.split_revision("org/name") == ("org/name", None)
    assert hub_read.split_revision("org/name@refs/pr/1") == ("org/name", "refs/pr/1")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs" / "a@b").mkdir(parents=True)
    assert hub_read.split_revision("runs/a@b") == ("runs/a@b", None)


def test_checkpoint_by_branch_tag_and_sha(server, client):
    tiny = server.repository("models", "org/tiny")
    found = read(client, "org/tiny")
    assert found["sha"] == tiny.resolve("main")
    assert found["revision"] is None
    assert found["path"] is None
    assert found["id2label"] == ["entailment", "neutral", "contradiction"]
    assert (found["layers"], found["model_type"], found["remote_code"]) == (2, "xlm-roberta", False)
    assert "heads/xnli.safetensors" not in found["files"]
    assert "pytorch_model.bin" in found["files"]
    assert found["notes"][0].startswith("modules.json is ignored")

    tagged = read(client, "org/tiny@v1.0")
    assert tagged["sha"] == tiny.resolve("v1.0") != found["sha"]
    assert (tagged["name"], tagged["revision"], tagged["notes"]) == ("org/tiny", "v1.0", [])
    assert read(client, f"org/tiny@{tagged['sha']}")["files"] == tagged["files"]


def test_a_listing_of_several_pages_is_read_whole(server, client, monkeypatch):
    monkeypatch.setattr(server, "page", 2)
    assert "tokenizer.json" in read(client, "org/tiny")["files"]


def test_an_answer_that_is_none_of_the_hub_is_a_sentence(server, client):
    server.fail("GET /api/models/org/tiny/tree", status=200)
    error = refused(client, "hub.list_files('org/tiny', 'main', 'model')")
    assert "ModelError" in error.kinds
    assert "the response is not one of the Hub" in error.message


def test_unknown_revision_names_the_nearest(client):
    error = refused(client, "resolve.read_checkpoint('org/tiny@v1.1')")
    assert "ModelError" in error.kinds
    assert error.message == "org/tiny: revision 'v1.1' does not exist. Did you mean 'v1.0'?"
    error = refused(client, "hub.resolve('org/tiny', 'zzzzzz', 'model')")
    assert error.message == "org/tiny: revision 'zzzzzz' does not exist. Revisions: main, v1.0."
    unknown = "0" * 40
    assert unknown in refused(client, "resolve.read_checkpoint(name)", name=f"org/tiny@{unknown}").message


@pytest.mark.parametrize("repo", ["org/nothing", "org/private"])
def test_unknown_and_private_look_the_same(client, repo):
    error = refused(client, "hub.resolve(repo, None, 'model')", repo=repo)
    assert "ModelError" in error.kinds
    assert f"{repo}: the Hub has no model of this name, or it is private." in error.message
    assert "`hf auth login`" in error.message
    error = refused(client, "hub.resolve(repo, None, 'dataset')", repo=repo)
    assert "DataError" in error.kinds
    assert "no data set of this name" in error.message


def test_a_token_opens_gated_and_private_repositories_and_is_never_shown(server, client, home):
    error = refused(client, "resolve.read_checkpoint('org/gated')")
    assert "ModelError" in error.kinds
    assert "gated" in error.message
    assert "HF_TOKEN" in error.message
    with server.client(home / "with_token", HF_TOKEN=TOKEN) as known:
        known.run("from xharness.checkpoints import resolve; from xharness.hub import read as hub")
        for name in ("org/gated", "org/private"):
            assert known.run("result = resolve.read_checkpoint(name).sha", name=name)
        server.fail("GET /api/models/org/tiny", status=403)
        message = refused(known, "resolve.read_checkpoint('org/tiny')").message
        assert "refuses this token (HTTP 403)" in message
        assert TOKEN not in message


def test_pickles_are_refused_and_the_conversion_is_named(server, client):
    error = refused(client, "resolve.read_checkpoint('org/pickled')")
    assert "pickles are never loaded" in error.message
    assert "--model org/pickled@refs/pr/4" in error.message
    assert not [path for path in server.sent() if path.endswith(".bin")]
    assert read(client, "org/pickled@refs/pr/4")["layers"] == 2
    server.repository("models", "org/pickled").change(discussions={})
    message = refused(client, "resolve.read_checkpoint('org/pickled')").message
    assert "spaces/safetensors/convert" in message


def test_remote_code_and_shards(server, client):
    found = read(client, "org/coded")
    assert found["remote_code"] is True
    assert "not run without --trust-remote-code" in found["notes"][0]
    folder = "result = sorted(p.name for p in resolve.download(resolve.read_checkpoint('org/coded'){}).iterdir())"
    plain = ["config.json", "model.safetensors.index.json", "vocab.txt", "weights.part1.safetensors"]
    assert client.run(folder.format("")) == plain
    trusted = folder.format(", trust_remote_code=True")
    assert client.run(trusted) == sorted([*plain, "model.py"])


def test_other_repositories_are_refused(server, client):
    server.repository("models", "org/empty").commit({"README.md": "nothing"})
    assert "no config.json" in refused(client, "resolve.read_checkpoint('org/empty')").message
    adapter = server.repository("models", "org/adapter")
    adapter.commit({"config.json": "{}", "adapter_config.json": "{}", "adapter_model.safetensors": WEIGHTS})
    assert "adapter" in refused(client, "resolve.read_checkpoint('org/adapter')").message
    mute = server.repository("models", "org/mute")
    mute.commit({"config.json": "{}", "model.safetensors": WEIGHTS, "tokenizer_config.json": "{}"})
    assert "no tokenizer files" in refused(client, "resolve.read_checkpoint('org/mute')").message
    part = server.repository("models", "org/part")
    index = json.dumps({"weight_map": {"w": "a.safetensors"}})
    part.commit({"config.json": "{}", "vocab.txt": "a", "model.safetensors.index.json": index})
    assert "a.safetensors" in refused(client, "resolve.read_checkpoint('org/part')").message
    assert "neither a local folder nor" in refused(client, "resolve.read_checkpoint('no such--name')").message


def test_a_cut_download_goes_on_and_takes_only_the_safe_files(server, client):
    code = "folder = resolve.download(resolve.read_checkpoint('org/tiny')); result = str(folder)"
    server.fail("GET .*/tiny/resolve/.*/model.safetensors", cut_after=100)
    error = refused(client, code)
    assert "ModelError" in error.kinds
    assert "Run the same command again" in error.message
    server.requests.clear()
    folder = client.run(code)
    files = client.run("result = sorted(str(p.relative_to(folder)) for p in folder.rglob('*') if p.is_file())")
    assert files == [
        "config.json",
        "heads/xnli.safetensors",
        "model.safetensors",
        "sentencepiece.bpe.model",
        "tokenizer.json",
    ]
    assert client.run("result = (folder / 'model.safetensors').read_bytes() == weights", weights=WEIGHTS)
    assert not [path for path in server.sent() if path.endswith("config.json")], "complete files are kept"
    server.requests.clear()
    assert client.run(code) == folder
    assert server.sent() == []


def test_the_disk_and_the_hub_can_fail(server, client):
    server.fail("GET /api/models/org/private", status=429, headers={"Retry-After": "1"})
    message = refused(client, "hub.resolve('org/private', 'main', 'model')").message
    assert "too many requests from this machine (HTTP 429)" in message
    full = "with hub.explain_errors('org/tiny', None, 'model', 'w.safetensors'): raise OSError(28, 'No space left')"
    error = refused(client, full)
    assert "OutputError" in error.kinds
    assert "w.safetensors cannot be written: No space left on device." in error.message


def test_offline_what_was_downloaded_is_enough(server, client, home):
    client.run("resolve.download(resolve.read_checkpoint('org/tiny'))")
    server.requests.clear()
    with server.client(home, HF_HUB_OFFLINE="1") as offline:
        offline.run(
            "import dataclasses; from xharness.checkpoints import resolve; from xharness.hub import read as hub"
        )
        found = read(offline, "org/tiny")
        assert found["sha"] == server.repository("models", "org/tiny").resolve("main")
        assert "model.safetensors" in found["files"]
        assert offline.run("result = resolve.download(resolve.read_checkpoint('org/tiny')).is_dir()")
        error = refused(offline, "resolve.read_checkpoint('org/other')")
        assert "ModelError" in error.kinds
        assert "HF_HUB_OFFLINE is set" in error.message
        assert "hf download org/other --local-dir FOLDER" in error.message
        error = refused(offline, "hub.resolve('org/data', 'main', 'dataset')")
        assert "DataError" in error.kinds
        assert "--data-dir DIR" in error.message
    assert server.requests == []


def test_without_a_network(server, home):
    with server.client(home / "unreached", HF_ENDPOINT="http://127.0.0.1:9") as lost:
        lost.run("from xharness.checkpoints import resolve; from xharness.hub import read as hub")
        error = refused(lost, "resolve.read_checkpoint('org/tiny')")
        assert "ModelError" in error.kinds
        assert "the Hub cannot be reached" in error.message
        assert "hf download org/tiny" in error.message


def test_transformers_reads_what_was_downloaded(server, client):
    code = """
import torch, transformers
from safetensors.torch import save
config = transformers.XLMRobertaConfig(vocab_size=20, hidden_size=8, num_hidden_layers=1, num_attention_heads=1,
    intermediate_size=8, architectures=["XLMRobertaModel"])
model = transformers.AutoModel.from_config(config)
Path(to).mkdir()
model.save_pretrained(to)
"""
    made = server.root / "made"
    client.run(code, to=str(made))
    server.repository("models", "org/real").commit({"vocab.txt": "a", **{p.name: p for p in made.iterdir()}})
    checkpoint = client.run(
        """
found = resolve.read_checkpoint("org/real")
local = transformers.AutoModel.from_pretrained(resolve.download(found), local_files_only=True)
same = transformers.AutoModel.from_pretrained(found.name, revision=found.sha)
assert all(torch.equal(a, b) for a, b in zip(local.parameters(), model.parameters(), strict=True))
assert all(torch.equal(a, b) for a, b in zip(same.parameters(), model.parameters(), strict=True))
result = dataclasses.asdict(found)
"""
    )
    assert checkpoint["layers"] == 1
