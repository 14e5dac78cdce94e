"""The zoo: what its file says, which names it gives to what, and how the list of it looks."""

import json
import shutil
from dataclasses import replace

import pytest
import yaml
from click.testing import CliRunner

from helpers.checkpoints import bare_record
from xharness import assets
from xharness.checkpoints import heads, resolve, training_record, zoo
from xharness.checkpoints.listing import headline, list_checkpoints
from xharness.cli.models import models
from xharness.errors import ModelError, SpecError, UsageError
from xharness.tasks.registry import MIXTURE, list_intermediate, list_tasks, list_training, load_task, load_training

SHA = "0123456789" * 4
OWN = """
# ours
org: lab   # who we are
encoders:
  tiny: {model: tiny, title: Tiny, licence: mit}
checkpoints: {mnli: mnli, multitask: multitask}
tuned: {paws: paws}
revisions:
  tiny-mnli: "%s"   # the first

# the benchmarks
benchmark_datasets: {xtreme-r: xtreme-r}
"""
RECORD = bare_record("mnli", 84.06, probes={"mnli": {"language": "en", "metric": "accuracy"}})


@pytest.fixture
def own(tmp_path):
    path = tmp_path / "own.yaml"
    path.write_text(OWN % SHA, encoding="utf-8")
    return path


@pytest.fixture
def shelf(tmp_path):
    """Return a folder with checkpoints as scripts/train_zoo.sh makes it: one of ours, one of another base, logs."""
    folder = tmp_path / "shelf"
    for name, base in (("mnli", "tiny"), ("other", "unheard")):
        (folder / name).mkdir(parents=True)
        (folder / name / "config.json").write_text("{}", encoding="utf-8")
        (folder / name / "model.safetensors").write_bytes(bytes(1_000_000))
        heads.write(folder / name, heads.CheckpointRecord("intermediate", ("mnli",), base, "1" * 64))
        training_record.save(RECORD, folder / name)
    (folder / "logs").mkdir()
    return folder


def run(*arguments, **environment):
    given = {name: str(value) for name, value in environment.items()}
    return CliRunner().invoke(models, [str(a) for a in arguments], env=given, catch_exceptions=False)


def test_the_zoo_that_comes_along_has_every_training_set_that_targets_and_the_paper_use():
    found = zoo.load()
    assert found.org is None
    content = yaml.safe_load((assets.MODEL_CARDS / "zoo.yaml").read_text(encoding="utf-8"))
    assert list(content["checkpoints"]) == [*list_intermediate(), MIXTURE]
    trained = {load_task(name).train for name in list_tasks()} - {None}
    trained |= {after for name in trained if (after := load_training(name).after)}
    assert set(content["tuned"]) == trained - set(list_intermediate())
    assert {entry.task for entry in found.entries} <= {*list_training(), MIXTURE}
    cards = {path.stem for path in assets.MODEL_CARDS.glob("*.yaml")} - {"zoo", "tuned", "adopted", "licences"}
    assert cards <= set(content["checkpoints"])
    assert len(found.entries) == len(found.encoders) * (len(content["checkpoints"]) + len(content["tuned"]))
    assert all(entry.revision is None for entry in found.entries)
    squad = found.find("xlmr-squad")
    assert (squad.task, squad.phase, squad.encoder.model) == (
        "squad_v1",
        "intermediate",
        "FacebookAI/xlm-roberta-large",
    )
    assert found.find("xlmr-base-panx").phase == "target"
    assert found.benchmark_dataset("xtreme-r", "lab") == "lab/xtreme-r"
    with pytest.raises(UsageError, match="Did you mean 'xtreme-r'"):
        found.benchmark_dataset("xtremer", "lab")
    with pytest.raises(UsageError, match="Did you mean 'xlmr-squad'"):
        found.find("xlmr-sqaud")


def test_an_encoder_is_known_by_its_id_alone():
    found = zoo.load()
    assert found.encoder_of("facebookai/XLM-roberta-base@main").licence == "mit"
    assert found.encoder_of("google-bert/bert-base-multilingual-cased").name == "mbert"
    assert found.encoder_of("xlm-roberta-base") is None, "a folder may be called so"


def test_names_stand_for_repositories(tmp_path, monkeypatch, own):
    monkeypatch.chdir(tmp_path)
    for name in ("org/xlmr-squad", "./xlmr-squad", "xlm-roberta-base", "org/a@b/c", "/x", "C:\\x", ""):
        assert zoo.expand(name) == name
    with pytest.raises(UsageError, match="Set XHARNESS_ORG=ORG, write ORG/xlmr-squad"):
        zoo.expand("xlmr-squad")
    monkeypatch.setenv("XHARNESS_ORG", "lab")
    assert zoo.expand("xlmr-squad") == "lab/xlmr-squad"
    assert zoo.expand("xlmr-squad@refs/pr/1") == "lab/xlmr-squad@refs/pr/1"
    (tmp_path / "xlmr-squad").mkdir()
    assert zoo.expand("xlmr-squad") == "xlmr-squad"
    with pytest.raises(ModelError, match=r"this folder has no config\.json"):
        resolve.read_checkpoint("xlmr-squad")
    monkeypatch.setenv("XHARNESS_ZOO", str(own))
    assert zoo.expand("tiny-mnli") == f"lab/tiny-mnli@{SHA}"
    assert zoo.expand("tiny-mnli@main") == "lab/tiny-mnli@main"
    assert zoo.locate("tiny-mnli") == ("lab/tiny-mnli", SHA)
    assert zoo.locate("a/b") == ("a/b", None)
    with pytest.raises(UsageError, match="Did you mean 'tiny-mnli'"):
        zoo.locate("tiny-mnil")
    monkeypatch.setenv("XHARNESS_ORG", "others")
    assert zoo.expand("tiny-mnli") == "others/tiny-mnli", "another's repository has other commits"
    monkeypatch.setenv("XHARNESS_ORG", "a/b")
    with pytest.raises(UsageError, match="'a/b' is not a valid organization name"):
        zoo.expand("tiny-mnli")


def test_all_that_is_wrong_in_a_zoo_file_is_said_at_once(own):
    text = (
        OWN.replace("lab ", "a/b ")
        .replace("model: tiny", "model: made by hand")
        .replace("paws: paws", "mnli: 'm n'")
        .replace("tiny-mnli:", "tiny-mnil:")
    )
    own.write_text(text % "main" + "orgs: x\n", encoding="utf-8")
    with pytest.raises(SpecError) as caught:
        zoo.load(own)
    assert "orgs: no such field. Did you mean 'org'?" in str(caught.value)
    own.write_text(text % "main", encoding="utf-8")
    with pytest.raises(SpecError) as caught:
        zoo.load(own)
    for sentence in (
        "own.yaml: org: found 'a/b', expected a name",
        "encoders.tiny.model: found 'made by hand', expected ORG/NAME",
        "tuned.mnli: found 'm n', expected a name",
        "tuned.mnli: is also in 'checkpoints'",
        "revisions.tiny-mnil: no such checkpoint. Did you mean 'tiny-mnli'?",
        "revisions.tiny-mnil: found 'main', expected a commit",
    ):
        assert sentence in str(caught.value)
    own.write_text(
        OWN.replace("tiny: {", "tiny: {model: x, title: X, licence: mit}\n  tiny-x: {") % SHA, encoding="utf-8"
    )
    assert len(zoo.load(own).entries) == 6
    own.write_text(OWN.replace("paws: paws", "paws: mnli") % SHA, encoding="utf-8")
    with pytest.raises(SpecError, match="two checkpoints would be called 'tiny-mnli'"):
        zoo.load(own)
    with pytest.raises(SpecError, match="this file does not exist"):
        zoo.load(own.with_name("nowhere.yaml"))


def test_pinning_changes_two_values_and_nothing_else(own):
    revisions = {"tiny-mnli": "12345678" * 5, "tiny-paws": "1e10" + "0" * 36}
    for text in (OWN % SHA, (assets.MODEL_CARDS / "zoo.yaml").read_text(encoding="utf-8")):
        changed = zoo.replace_pins(text, "else", revisions)
        assert zoo.replace_pins(changed, "else", revisions) == changed
        before, after = yaml.safe_load(text), yaml.safe_load(changed)
        assert after == {**before, "org": "else", "revisions": revisions}
        kept = [line for line in text.splitlines() if line not in changed.splitlines()]
        assert len(kept) <= 3, "comments and layout stay"
        assert yaml.safe_load(zoo.replace_pins(changed, "else", {}))["revisions"] == {}
    own.write_text(zoo.replace_pins(OWN % SHA, "else", revisions), encoding="utf-8")
    assert zoo.load(own).find("tiny-paws").revision == revisions["tiny-paws"]
    assert "# who we are" in own.read_text(encoding="utf-8")


def test_the_list_shows_what_is_here(own, shelf):
    lines = run(XHARNESS_ZOO=assets.MODEL_CARDS / "zoo.yaml").output.splitlines()
    assert lines[0].split() == ["name", "encoder", "trained", "on", "size"]
    assert lines[2].split() == ["xlmr-anli", "XLM-R", "Large", "ANLI,", "SNLI", "and", "MultiNLI", "2.2", "GB"]
    assert "--org ORG (or XHARNESS_ORG)" in lines[-1]
    own_names = run("list", "--encoder", "tiny", "--names", XHARNESS_ZOO=own).output
    assert own_names == "mnli tiny-mnli\nmultitask tiny-multitask\npaws tiny-paws\n"
    found = run("list", "--zoo", shelf, "--json", XHARNESS_ZOO=own, HF_HUB_OFFLINE="1")
    content = json.loads(found.output)
    rows = {row["name"]: row for row in content["models"]}
    assert list(rows) == ["tiny-mnli", "tiny-multitask", "tiny-paws", "other"]
    assert rows["tiny-mnli"]["state"] == "local: mnli"
    assert rows["tiny-mnli"]["folder"] == str(shelf / "mnli")
    assert rows["tiny-mnli"]["headline"] == "english-dev 84.1 (mnli, accuracy)"
    assert 1_000_000 < rows["tiny-mnli"]["size"] < 1_010_000
    assert (rows["other"]["encoder"], rows["other"]["state"]) == ("unheard", "local: other")
    assert rows["tiny-paws"]["state"] is None, "the Hub was not asked"
    assert content["hub_asked"] is False
    assert "HF_HUB_OFFLINE is set" in content["notes"][0]
    table = list_checkpoints(replace(zoo.load(own), org=None), shelf, "tiny").table()
    assert "other" not in table
    assert "--org ORG (or XHARNESS_ORG)" in table
    with pytest.raises(UsageError, match="this folder does not exist"):
        list_checkpoints(zoo.load(own), shelf / "nowhere", None)
    with pytest.raises(UsageError, match="Did you mean 'xlmr-base'"):
        list_checkpoints(zoo.load(), None, "xlmr-bsae")


def test_folders_that_cannot_be_read_are_named_and_two_of_one_checkpoint_are_two_lines(own, shelf):
    found = replace(zoo.load(own), org=None)
    shutil.copytree(shelf / "mnli", shelf / "mnli-2")
    training_record.save(replace(RECORD, probes=[1], selections={"x": {"score": 1}}), shelf / "other")
    shutil.copytree(shelf / "mnli", shelf / "joint")
    few = heads.CheckpointRecord("intermediate", ("mnli", "qqp"), "tiny", "1" * 64)
    heads.write(shelf / "joint", few)
    listing = list_checkpoints(found, shelf, None)
    assert [(row.name, row.folder and row.folder.name) for row in listing.rows] == [
        ("tiny-mnli", "mnli"),
        ("tiny-mnli", "mnli-2"),
        ("tiny-multitask", "joint"),
        ("tiny-paws", None),
    ]
    assert (listing.rows[2].task, listing.rows[2].title) == (MIXTURE, "2 of the 9 intermediate tasks")
    heads.write(shelf / "joint", replace(few, tasks=("mnli", "mine")))
    assert list_checkpoints(found, shelf, None).rows[-1].task == "mnli,mine"
    assert listing.notes[0].startswith("other is left out: ")
    assert "has no checkpoints that xharness trained" in list_checkpoints(found, shelf / "logs", None).notes[0]


def test_a_headline_says_what_it_is():
    assert headline(None) == ""
    assert headline(replace(RECORD, selections={})) == ""
    two = replace(RECORD, probes={"mnli": {}, "qqp": {}}, status="collapsed")
    assert headline(two) == "english-dev 84.1 (mean of 2 sets), collapsed"


def test_a_card_of_a_folder_is_shown_without_what_a_terminal_obeys(tmp_path):
    with pytest.raises(ModelError, match=r"no README\.md in this folder.*xharness publish"):
        run("show", tmp_path)
    evil = '---\ntitle: "a\\x9bb\\e[31m"\nday: 2026-11-21\nvalue: .nan\n---\n# Card\x1b]0;x\x07 \u202e \x9b2J ไทย\n'
    (tmp_path / "README.md").write_text(evil, encoding="utf-8")
    shown = run("show", tmp_path).output
    assert "# Card]0;x  2J ไทย" in shown
    assert shown.startswith("---\n")
    content = json.loads(run("show", tmp_path, "--json").output)
    assert content["sha"] is None
    assert content["metadata"] == {"title": "ab[31m", "day": "2026-11-21", "value": "nan"}
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12)]
    for head, sentence in (("\n".join(lines), "more than 100,000 values"), ("a: &a [*a]", "nested too deeply")):
        (tmp_path / "README.md").write_text(f"---\n{head}\n---\n", encoding="utf-8")
        with pytest.raises(ModelError, match=sentence):
            run("show", tmp_path, "--json")


def test_a_name_of_the_zoo_has_the_shape_of_its_encoder(runner):
    assert zoo.base_of("xlmr-base-squad@main") == "FacebookAI/xlm-roberta-base"
    assert zoo.base_of("org/xlmr-base-squad") == "org/xlmr-base-squad"
    planned = runner("plan", "train", "mnli", "--base", "xlmr-squad", "--gpu", "h200")
    assert planned.out.startswith("FacebookAI/xlm-roberta-large (")
