"""What is installed: the exported names, the version, and the files that travel with the package."""

from __future__ import annotations

import email
import os
import pickle
import re
import subprocess
import sys
import tomllib
import zipfile

import pytest

import xharness
from helpers import cards
from helpers.leaderboard import make_board
from helpers.paths import ROOT
from xharness import assets
from xharness.publishing.card import facts as card_facts
from xharness.publishing.card import render as card_render

TRAVELLING = ("tasks", "model_cards", "leaderboard")


@pytest.fixture(scope="module")
def project():
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def test_every_exported_name_is_there():
    for name in xharness.__all__:
        assert getattr(xharness, name) is not None
    assert dir(xharness) == sorted(xharness.__all__)
    assert set(xharness._MODULES) | {"__version__"} == set(xharness.__all__)
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


def built(folder, version):
    """Return the folder that a wheel of this checkout unpacks to, as an installation would."""
    wheel = pytest.importorskip("hatchling.builders.wheel")
    pytest.importorskip("hatch_fancy_pypi_readme")
    (file,) = wheel.WheelBuilder(str(ROOT)).build(directory=str(folder), versions=[version])
    with zipfile.ZipFile(file) as archive:
        archive.extractall(folder / "site")
    return folder / "site"


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory):
    """Return the folder of an installed wheel; do not write to it."""
    return built(tmp_path_factory.mktemp("wheel"), "standard")


def installed(unpacked, folder, *arguments, timeout=60):
    """Run Python with the installed wheel, in a folder outside of the checkout, and return what it prints."""
    finished = subprocess.run(
        [sys.executable, *map(str, arguments)],
        capture_output=True,
        text=True,
        encoding="utf-8",
        cwd=folder,
        timeout=timeout,
        env={**os.environ, "PYTHONPATH": str(unpacked), "PYTHONIOENCODING": "utf-8"},
    )
    assert finished.returncode == 0, finished.stderr
    return finished.stdout


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


def test_an_editable_install_copies_nothing(tmp_path):
    # What is copied into site-packages goes stale with the next edit of the checkout.
    site = built(tmp_path, "editable")
    found = {p.relative_to(site).as_posix() for p in site.rglob("*") if p.is_file()}
    assert {name for name in found if ".dist-info/" not in name} == {"_xharness.pth"}
    assert (site / "_xharness.pth").read_text(encoding="utf-8").split() == [str(ROOT / "harness")]


def test_the_metadata_leads_to_the_project_and_has_no_relative_link(unpacked, project):
    (metadata,) = unpacked.glob("*.dist-info/METADATA")
    text = metadata.read_text(encoding="utf-8")
    message = email.message_from_string(text)
    urls = dict(line.split(", ", 1) for line in message.get_all("Project-URL"))
    assert urls == project["project"]["urls"]
    assert {"Homepage", "Documentation", "Source", "Changelog", "Issues"} <= set(urls)
    source = urls["Source"]
    assert message["Description-Content-Type"] == "text/markdown"
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    targets = re.findall(r"\]\(([^)]*)\)", message.get_payload())
    assert len(targets) == len(re.findall(r"\]\(([^)]*)\)", readme)), "the whole README is there"
    assert [target for target in targets if not re.match(r"(https?|mailto):", target)] == []
    # What was relative leads to a file that is there.
    for target in targets:
        if target.startswith(f"{source}/blob/main/"):
            assert (ROOT / target.removeprefix(f"{source}/blob/main/").partition("#")[0]).exists(), target
    # Forms of a link that the build does not make absolute.
    assert re.findall(r"^\[[^]]+\]:\s+(?!https?:)\S+", readme, re.MULTILINE) == []
    assert re.findall(r"(?:href|src)=[\"'](?!https?:)", readme) == []


def test_an_installed_wheel_finds_its_own_task_files(unpacked, tmp_path):
    code = (
        "from xharness import assets; from xharness.tasks import validate; print(assets.TASKS); print(validate.check())"
    )
    said = installed(unpacked, tmp_path, "-c", code)
    assert said.splitlines()[0] == str(unpacked / "xharness" / "_assets" / "tasks")
    listed = installed(unpacked, tmp_path, "-m", "xharness", "tasks", "list")
    assert {"xquad", "mewslix"} <= {line.split()[0] for line in listed.splitlines()}


def test_an_installed_wheel_renders_a_card(unpacked, tmp_path):
    checkpoint = cards.write("squad_v1", tmp_path)
    runs = cards.runs("squad_v1")
    card = card_facts.gather_facts(tmp_path, checkpoint, "org/xlmr-squad", runs, cards.FACTS)
    (tmp_path / "card.pickle").write_bytes(pickle.dumps(card))
    code = (
        "import pathlib, pickle; from xharness.publishing.card import render; "
        "print(render.render(pickle.loads(pathlib.Path('card.pickle').read_bytes())), end='')"
    )
    assert installed(unpacked, tmp_path, "-c", code) == card_render.render(card)


def test_an_installed_wheel_builds_the_leaderboard_page(unpacked, tmp_path):
    make_board(tmp_path / "board", 3)
    installed(unpacked, tmp_path, "-m", "xharness", "leaderboard", "build", "board", "--to", "page")
    page = (tmp_path / "page" / "index.html").read_text(encoding="utf-8")
    assert "Made-up leaderboard" in page
    assert "<script" in page


@pytest.mark.slow
def test_an_installed_wheel_runs_the_demo(unpacked, tmp_path):
    table = installed(unpacked, tmp_path, "-m", "xharness", "demo", timeout=280)
    assert "demo_bitext" in table
    assert (tmp_path / "demo-results" / "results").is_dir()


# --- What is made of the package elsewhere ---------------------------------------------------------------------------


def test_the_oldest_versions_are_the_lower_bounds(project):
    about = project["project"]
    lines = [*about["dependencies"], *(line for extra in about["optional-dependencies"].values() for line in extra)]
    bounds = {m[1].lower(): m[2] for line in lines if (m := re.match(r"([\w-]+)>=([\d.]+)", line))}
    text = (ROOT / "constraints-oldest.txt").read_text(encoding="utf-8")
    pins = dict(line.lower().split("==") for line in text.splitlines() if line and not line.startswith("#"))
    # lm-eval is there for its tables alone; torch is said to be left out.
    assert set(pins) == set(bounds) - {"torch", "lm-eval"}
    for name, version in pins.items():
        assert version == bounds[name] or version.startswith(f"{bounds[name]}."), name


def test_the_image_copies_files_that_are_there_and_all_of_the_wheel(project):
    lines = (ROOT / "Dockerfile").read_text(encoding="utf-8").splitlines()
    copied = [name for line in lines if line.startswith("COPY ") for name in line.split()[1:-1]]
    assert all((ROOT / name).exists() for name in copied)
    allowed = [
        line[1:] for line in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines() if line[:1] == "!"
    ]
    assert sorted(allowed) == sorted(copied), ".dockerignore leaves in what is copied"
    wanted = {name.split("/")[0] for name in project["tool"]["hatch"]["build"]["targets"]["wheel"]["only-include"]}
    assert wanted | {"pyproject.toml", "README.md", *project["project"]["license-files"]} <= set(copied)


def test_the_addresses_of_the_project_are_those_of_its_metadata(project):
    urls = project["project"]["urls"]
    site = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    assert f"\nrepo_url: {urls['Source']}\n" in site
    assert f"\nsite_url: {urls['Documentation']}\n" in site
    for rule in project["tool"]["hatch"]["metadata"]["hooks"]["fancy-pypi-readme"]["substitutions"]:
        address = urls["Source"].replace("https://github.com", "https://raw.githubusercontent.com")
        assert f"{urls['Source']}/blob/main/" in rule["replacement"] or f"{address}/main/" in rule["replacement"]
