"""Local checkpoint folders: which files they are made of, and what is wrong with them."""

import json

import pytest

from helpers.hub_files import CONFIG, WEIGHTS, safetensors
from xharness.checkpoints import resolve
from xharness.checkpoints.heads import numbered
from xharness.errors import ModelError


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "xlmr-squad"
    path.mkdir()
    (path / "config.json").write_text(
        json.dumps({**CONFIG, "id2label": None, "n_layers": 6, "num_hidden_layers": None})
    )
    (path / "model.safetensors").write_bytes(WEIGHTS)
    (path / "tokenizer.json").write_text("{}")
    return path


def test_a_local_folder(folder):
    found = resolve.read_checkpoint(str(folder))
    assert (found.path, found.sha, found.layers, found.id2label) == (folder, None, 6, ("LABEL_0", "LABEL_1"))
    assert numbered(found.id2label)
    assert (found.heads, found.phase, found.trained_on) == ({}, None, ())
    assert resolve.download(found) == folder
    (folder / "training.log").write_text("not part of the checkpoint")
    assert resolve.read_checkpoint(str(folder)).content_hash == found.content_hash
    (folder / "tokenizer.json").write_text('{"other": 1}')
    assert resolve.read_checkpoint(str(folder)).content_hash != found.content_hash


def test_a_local_folder_with_faults(folder):
    name = str(folder)
    with pytest.raises(ModelError, match="which has no revisions"):
        resolve.read_checkpoint(f"{name}@main")
    with pytest.raises(ModelError, match=r"is a file\. Give its folder"):
        resolve.read_checkpoint(f"{name}/config.json")
    with pytest.raises(ModelError, match=r"this folder does not exist\. Did you mean 'xlmr-squad'\?"):
        resolve.read_checkpoint(f"{folder.parent}/xlmr-sqad")
    with pytest.raises(ModelError, match="does not exist either"):
        resolve.read_checkpoint("./no/such/folder")
    (folder / "model.safetensors").write_bytes(WEIGHTS[:-1])
    with pytest.raises(ModelError, match="is truncated"):
        resolve.read_checkpoint(name)
    (folder / "model.safetensors").write_bytes(b"version https://git-lfs.github.com/spec/v1")
    with pytest.raises(ModelError, match=r"is truncated"):
        resolve.read_checkpoint(name)
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(ModelError, match="pickles are never loaded"):
        resolve.read_checkpoint(name)
    for text, sentence in [
        ("{", "is not JSON"),
        ("[]", "holds a list"),
        ('{"id2label": {"1": "a"}}', "0, 1, 2"),
        ('{"architectures": "XLMRobertaModel"}', "architectures must be a list"),
        ('{"architectures": [1]}', "architectures must be a list"),
        ('{"num_hidden_layers": "12"}', "num_hidden_layers must be a whole number"),
        ('{"architectures": ["BertForTokenClassification"], "num_labels": "3"}', "num_labels must be"),
    ]:
        (folder / "model.safetensors").write_bytes(WEIGHTS)
        (folder / "config.json").write_text(text)
        with pytest.raises(ModelError, match=sentence):
            resolve.read_checkpoint(name)
    (folder / "config.json").unlink()
    with pytest.raises(ModelError, match=r"this folder has no config\.json"):
        resolve.read_checkpoint(name)


def test_a_local_folder_without_a_tokenizer(folder):
    (folder / "tokenizer.json").rename(folder / "tokenizer_config.json")
    with pytest.raises(ModelError, match="no tokenizer files"):
        resolve.read_checkpoint(str(folder))
    (folder / "sentencepiece.bpe.model").write_bytes(b"pieces")
    assert resolve.read_checkpoint(str(folder)).layers == 6


def test_shards_are_those_that_the_index_names(folder):
    (folder / "model.safetensors").rename(folder / "first.safetensors")
    index = folder / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"v": "first.safetensors", "w": "second.safetensors"}}))
    with pytest.raises(
        ModelError,
        match=r"of the 2 weight files in model\.safetensors\.index\.json, 1 are missing: second\.safetensors",
    ):
        resolve.read_checkpoint(str(folder))
    (folder / "second.safetensors").write_bytes(WEIGHTS[:-1])
    with pytest.raises(ModelError, match=r"second\.safetensors: the file is truncated"):
        resolve.read_checkpoint(str(folder))
    (folder / "second.safetensors").write_bytes(WEIGHTS)
    before = resolve.read_checkpoint(str(folder)).content_hash
    (folder / "second.safetensors").write_bytes(safetensors(8))
    assert resolve.read_checkpoint(str(folder)).content_hash != before
    for text in ("{}", "[]", "{", '{"weight_map": {"w": 1}}', '{"weight_map": {"w": "pytorch_model.bin"}}'):
        index.write_text(text)
        with pytest.raises(ModelError, match="does not say which safetensors files"):
            resolve.read_checkpoint(str(folder))


def test_code_is_part_of_a_local_checkpoint_that_names_it(folder):
    (folder / "model.py").write_text("x = 1")
    before = resolve.read_checkpoint(str(folder)).content_hash
    (folder / "model.py").write_text("x = 2")
    assert resolve.read_checkpoint(str(folder)).content_hash == before
    (folder / "config.json").write_text(json.dumps({**CONFIG, "auto_map": {"AutoModel": "model.M"}}))
    before = resolve.read_checkpoint(str(folder)).content_hash
    (folder / "model.py").write_text("x = 3")
    assert resolve.read_checkpoint(str(folder)).content_hash != before
