"""The way of the zoo: ten checkpoints are trained, published, pulled, and score again what their cards say."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

import xharness
from helpers.data_folder import make_data_folder
from helpers.fake_hub import TOKEN, Client, LoopbackHub
from helpers.paths import SCRIPTS
from helpers.tiny_models import checkpoint
from helpers.training_sets import make_zoo_folder
from xharness.checkpoints import zoo
from xharness.results.aggregate import Results
from xharness.training import runner as training_runner
from xharness.training.plan import Options, prepare

pytestmark = pytest.mark.long

TARGETS = {"mnli": "xnli,tatoeba", "squad_v1": "xquad,tatoeba", "multitask": "xnli,xquad,tatoeba"}
"""What some of the checkpoints are scored on, as they are; the others go out with Tatoeba alone."""

SCRIPT = SCRIPTS / "push_all.sh"

FACTS = """\
developed_by: The tests
base_model: none
base_licence: mit
base_note: A tiny encoder with random weights
watts: 65
"""

RUN = """
import contextlib, io
from xharness.cli.main import main
out, err = io.StringIO(), io.StringIO()
with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
    try:
        main(arguments)
        code = 0
    except SystemExit as stop:
        code = stop.code or 0
result = [code, out.getvalue(), err.getvalue()]
"""


@dataclass(frozen=True)
class Scene:
    """Ten trained checkpoints with their RUNs, and a Hub with a client that may write there."""

    folder: Path
    hub: LoopbackHub
    client: Client

    def run(self, *arguments: str | Path, code: int = 0) -> str:
        found, out, err = self.client.run(RUN, arguments=[str(each) for each in arguments])
        assert found == code, err
        assert TOKEN not in out + err
        return str(out)

    def evaluate(self, model: Path, task: str, to: Path) -> Results:
        targets = TARGETS.get(task, "tatoeba").split(",")
        given: dict[str, Any] = {"data_dir": self.folder / "targets", "dtype": "float32", "device": "cpu"}
        return xharness.evaluate(str(model), targets=targets, output=to, **given)

    def publish(self, task: str, *options: str, to: str | None = None) -> dict[str, Any]:
        known = ("--results", self.folder / "results", "--facts", self.folder / "facts.yaml", "--allow-collapsed")
        return json.loads(self.run("publish", self.folder / "zoo" / task, to or repo(task), *known, "--json", *options))


ENTRIES = {e.task: e for e in zoo.load().entries if e.encoder.name == "xlmr" and e.phase == "intermediate"}


def repo(task: str) -> str:
    return "org/tiny" + ENTRIES[task].name.removeprefix("xlmr")


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("trip")
    data = make_zoo_folder(folder / "training")
    make_data_folder(folder / "targets")
    base = checkpoint(folder / "base", "masked_lm")
    settings = {"learning_rate": 3e-3, "eval_every": 4, "batch_size": 8}
    for task in ENTRIES:
        options = Options(device="cpu", dtype="float32", max_steps=4, given=settings)
        plan = prepare([task], str(base), data_dir=data, options=options)
        training_runner.train(plan, folder / "zoo" / task, progress=False)
    (folder / "facts.yaml").write_text(FACTS, encoding="utf-8")
    with LoopbackHub(folder / "hub") as hub, hub.client(folder / "home", HF_TOKEN=TOKEN) as client:
        made = Scene(folder, hub, client)
        for task in ENTRIES:
            made.evaluate(folder / "zoo" / task, task, folder / "results")
        yield made
    torch.set_num_threads(threads)


def scores(folder: Path, model: str | None = None) -> dict[str, dict[str, Any]]:
    """Return task/language -> what was scored, from the result files below a folder; of all models, or of one."""
    found = {}
    for path in folder.rglob("results/**/*.json"):
        score = json.loads(path.read_text(encoding="utf-8"))
        if path.name != "run.json" and model in (None, score["model_hash"]):
            names = ("scores", "intervals", "n", "data_hash", "spec_hash", "predictions_sha256", "model_hash")
            found[f"{score['task']}/{score['language']}"] = {name: score[name] for name in names}
    return found


def test_ten_go_out_come_back_and_score_what_their_cards_say(scene: Scene, tmp_path: Path) -> None:
    assert len(ENTRIES) == 10
    for task in ENTRIES:
        dry = scene.publish(task)
        assert dry["state"] == "planned"
        assert not scene.hub.place("models", repo(task)).exists, "a dry run has sent something"
        assert scene.publish(task, "--yes")["state"] == "published"
        assert scene.publish(task, "--yes")["state"] == "unchanged"
    for task in TARGETS:
        pulled = tmp_path / task
        scene.run("models", "pull", repo(task), "--to", pulled)
        found = scene.evaluate(pulled, task, tmp_path / "again" / task)
        published, now = scores(pulled), scores(tmp_path / "again" / task)
        assert published.keys() == now.keys()
        assert published == now
        card = (pulled / "README.md").read_text(encoding="utf-8")
        rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in card.splitlines() if "|" in line]
        for name, result in found.tasks.items():
            for code, score in result.languages.items():
                shown = [f"{score.scores[key]:.1f}" for key in reversed(result.spec.score_keys)]
                told = [row for row in rows if row[0].endswith(f"({code})") and set(shown) <= set(row)]
                assert told, f"{task}: {name} in {code}: {shown} is not on the card"
        head = yaml.safe_load(card.split("---")[1])
        assert "model-index" not in head or not head["model-index"][0]["results"], "samples are in the metadata"


def test_a_pull_request_is_merged_and_pulled(scene: Scene, tmp_path: Path) -> None:
    task, own = "mnli", "org/proposed-mnli"
    if scene.publish(task, "--yes", to=own)["state"] == "published":
        assert scene.hub.repository("models", own).resolve("main")
    before = scene.hub.repository("models", own).resolve("main")
    scene.run("models", "pull", own, "--to", tmp_path / "pulled")
    facts = scene.folder / "facts.yaml"
    facts.write_text(FACTS + "contact: tests@example.org\n", encoding="utf-8")
    try:
        proposed = scene.publish(task, "--create-pr", "--yes", to=own)
        assert proposed["state"] == "proposed"
        number = int(proposed["pull_request"].rpartition("/")[2])
        assert scene.publish(task, "--create-pr", "--yes", to=own)["state"] == "unchanged"
        assert scene.hub.repository("models", own).resolve("main") == before
        merge = "from huggingface_hub import HfApi\nHfApi().merge_pull_request(repo, number)"
        scene.client.run(merge, repo=own, number=number)
        assert scene.publish(task, "--yes", to=own)["state"] == "unchanged"
    finally:
        facts.write_text(FACTS, encoding="utf-8")
    told = json.loads(scene.run("models", "pull", own, "--to", tmp_path / "pulled", "--json"))
    assert told["sha"] == before, "a folder does not move to another commit by itself"
    scene.run("models", "pull", own, "--to", tmp_path / "merged")
    assert "tests@example.org" in (tmp_path / "merged" / "README.md").read_text(encoding="utf-8")
    published = scores(tmp_path / "merged")
    assert published == scores(scene.folder / "results", next(iter(published.values()))["model_hash"])
    scene.evaluate(tmp_path / "merged", task, tmp_path / "again")
    assert scores(tmp_path / "again") == published


def test_the_script_publishes_the_zoo_and_goes_on_where_it_was(scene: Scene) -> None:
    known = ["--zoo", "zoo", "--org", "org", "--prefix", "small", "--only", "multitask", "--facts", "facts.yaml"]
    known += ["--no-results", "--allow-collapsed", "--collection", "A small zoo", "--tag", "v1"]
    environment = scene.hub.environment(scene.folder / "home", HF_TOKEN=TOKEN, PYTHON=sys.executable)

    def push(*options: str) -> list[str]:
        done = subprocess.run(
            ["bash", SCRIPT, *known, *options],
            cwd=scene.folder,
            env=environment,
            capture_output=True,
            text=True,
            timeout=240,
        )
        assert done.returncode == 0, done.stderr
        assert TOKEN not in done.stdout + done.stderr
        return done.stdout.splitlines()[-1:]

    assert [line.split()[1] for line in push()] == ["to"]
    assert not scene.hub.place("models", "org/small-multitask").exists
    assert [line.split()[1] for line in push("--yes")] == ["published:"]
    assert all(" nothing changed: " in line for line in push("--yes"))
    listed = "from huggingface_hub import HfApi\nresult = [i.item_id for c in HfApi().list_collections(owner='org')"
    listed += " if c.title == 'A small zoo' for i in c.items]"
    assert sorted(scene.client.run(listed)) == ["org/small-multitask"]
