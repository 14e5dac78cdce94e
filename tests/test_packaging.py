"""What is installed: the exported names, the version, and the files that travel with the package."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
import zipfile

import pytest

import xharness
from helpers.paths import ROOT
from xharness import assets

TRAVELLING = ("tasks", "model_cards", "leaderboard")


@pytest.fixture(scope="module")
def project():
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def test_every_exported_name_is_there():
    for name in xharness.__all__:
        assert getattr(xharness, name) is not None
    assert dir(xharness) == sorted(xharness.__all__)
    assert set(xharness._WHERE) | {"__version__"} == set(xharness.__all__)
    with pytest.raises(AttributeError, match="nonsense"):
        _ = xharness.nonsense


def test_the_version_is_said_alike_everywhere(project):
    assert xharness.__version__ == project["project"]["version"]
    assert f"\nversion: {xharness.__version__}\n" in (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert f"## [{xharness.__version__}]" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_constraints_pin_only_what_is_depended_on(project):
    groups = [*project["dependency-groups"].values(), project["project"]["dependencies"]]
    wanted = " ".join(line.lower() for group in groups for line in group) + " tokenizers"
    pins = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    for pin in (line for line in pins if line and not line.startswith("#")):
        name, equals, _ = pin.partition("==")
        assert equals, f"'{pin}' is no pin"
        assert name.lower() in wanted


def test_what_is_installed_reads_a_tokenizer_without_tokenizer_json(tmp_path):
    # As many XLM-R checkpoints of the Hub are published, deepset/xlm-roberta-large-squad2 among them.
    import sentencepiece
    import transformers

    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(["eins zwei drei", "one two three"] * 50),
        model_prefix=str(tmp_path / "sentencepiece.bpe"),
        vocab_size=30,
        hard_vocab_limit=False,
        minloglevel=2,
    )
    (tmp_path / "config.json").write_text('{"model_type": "xlm-roberta"}', encoding="utf-8")
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path, local_files_only=True)
    assert tokenizer.is_fast
    assert tokenizer("one two", return_offsets_mapping=True)["offset_mapping"][-2][1] == len("one two")


@pytest.mark.parametrize("name", TRAVELLING)
def test_a_checkout_reads_its_own_files(name):
    assert assets.folder(name) == ROOT / name
    assert (ROOT / name / "README.md").is_file(), "git keeps no empty folder, and the wheel wants it"


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory):
    """Return the folder that a wheel of this checkout unpacks to, as an installation would."""
    wheel = pytest.importorskip("hatchling.builders.wheel")
    folder = tmp_path_factory.mktemp("wheel")
    (built,) = wheel.WheelBuilder(str(ROOT)).build(directory=str(folder), versions=["standard"])
    with zipfile.ZipFile(built) as archive:
        archive.extractall(folder / "site")
    return folder / "site"


def test_the_wheel_holds_the_package_and_all_that_travels(unpacked):
    for name in TRAVELLING:
        here = {p.relative_to(ROOT).as_posix() for p in (ROOT / name).rglob("*") if p.is_file()}
        assets_folder = unpacked / "xharness" / "_assets"
        there = {p.relative_to(assets_folder).as_posix() for p in (assets_folder / name).rglob("*") if p.is_file()}
        assert here <= there
    modules = {p.relative_to(ROOT / "harness") for p in (ROOT / "harness" / "xharness").rglob("*.py")}
    assert modules <= {p.relative_to(unpacked) for p in unpacked.rglob("*.py")}
    assert (unpacked / "xharness" / "py.typed").is_file()
    tops = {p.name for p in unpacked.iterdir()}
    assert tops == {"xharness", f"xharness-{xharness.__version__}.dist-info"}, "something else would be installed"


def test_an_installed_wheel_finds_its_own_task_files(unpacked, tmp_path):
    code = (
        "from xharness import assets; from xharness.tasks import validate; print(assets.TASKS); print(validate.check())"
    )
    finished = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        timeout=240,
        env={**os.environ, "PYTHONPATH": str(unpacked)},
    )
    assert finished.returncode == 0, finished.stderr
    assert finished.stdout.splitlines()[0] == str(unpacked / "xharness" / "_assets" / "tasks")
