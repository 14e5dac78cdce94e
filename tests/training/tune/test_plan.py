"""Plans of target training: keys, heads that fit, bad input, and the command line."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from helpers.checkpoints import unloaded_checkpoint
from helpers.tuning import FAST, result
from xharness.checkpoints import resolve, training_record
from xharness.errors import DataError, Incomplete, NothingToDo, UsageError
from xharness.evaluation import runner as evaluation_runner
from xharness.evaluation.plan import make_plan
from xharness.evaluation.prepare import Options, Prepared
from xharness.tasks.selection import choose_languages, select
from xharness.training import runner as training_runner
from xharness.training.tune import plan as tune_plan
from xharness.training.tune import report as tune_report
from xharness.training.tune import runner as tune_runner
from xharness.training.tune.plan import TunePlan, Tuning

pytestmark = pytest.mark.usefixtures("one_thread")


# --- Tracks ---------------------------------------------------------------------------------------------------------


def keys(made: TunePlan, seed: int = 0) -> list[str]:
    return [made.folder(job, seed, "float32").parent.name for job in made.jobs]


def test_tracks_have_keys_and_names_of_their_own(plan):
    made = {
        "zero-shot": plan(),
        "translate-train": plan(languages=("de",)),
        "few-shot": plan(shots=4),
        "also translate-train": plan(languages=("all",)),
    }
    assert {name: p.tracks for name, p in made.items()} == {name: (name.removeprefix("also "),) for name in made}
    assert len({keys(p)[0] for p in made.values()}) == 4
    everything = made["also translate-train"].jobs[0]
    assert everything.plan.options.languages == ("en", "de")
    assert "ru" in everything.left_out
    # What is drawn depends on the seed; what is not drawn does not.
    shots = made["few-shot"]
    assert keys(shots, 0) != keys(shots, 1)
    assert keys(made["zero-shot"], 0) == keys(made["zero-shot"], 1)
    assert len({keys(plan(train_n=n))[0] for n in (10, 20)}) == 2


def test_a_value_that_is_the_recipes_own_is_the_same_training(plan):
    assert keys(plan(given={**FAST, "epochs": 2})) == keys(plan())
    assert keys(plan(given={**FAST, "epochs": 3})) != keys(plan())


def test_a_tuned_key_does_not_depend_on_what_else_is_asked(plan):
    assert keys(plan("xquad")) == keys(plan("mlqa")) == keys(plan("mlqa,xquad"))


# --- What the head of a checkpoint fits -----------------------------------------------------------------------------


def test_a_head_that_fits_is_kept_unless_a_fresh_one_is_asked_for(plan, tiny_checkpoint, tmp_path):
    model = tiny_checkpoint("classification", labels=("neutral", "contradiction", "entailment"))
    kept, fresh = plan("xnli", model=model), plan("xnli", model=model, fresh_head=True, also=(), max_steps=2)
    assert not kept.jobs
    assert [step.state for step in kept.prepared.steps] == ["ready"]
    assert [step.state for step in fresh.prepared.steps] == ["to be tuned"]
    found = tune_runner.run(fresh, tmp_path / "out", progress=False)
    assert {s.phase for s in result(found).tasks["xnli"].languages.values()} == {"tuned"}
    as_is = evaluation_runner.run(kept.prepared, tmp_path / "out", progress=False)
    assert {s.phase for s in as_is.tasks["xnli"].languages.values()} == {"as is"}
    assert as_is.provenance["run"] not in found.runs


def test_only_what_is_tuned_or_only_what_is_not(plan, tmp_path, tiny_checkpoint):
    found = tune_runner.run(plan("tatoeba"), tmp_path / "out", progress=False)
    assert not found.trained
    assert found.as_is is not None
    assert "tatoeba" in tune_report.table(found)
    assert [r["selected_by"] for r in found.to_json()["results"]] == ["none"]
    made = plan("tatoeba")
    steps = [replace(step, state="cannot", reason="no") for step in made.prepared.steps]
    nothing = replace(made, prepared=replace(made.prepared, steps=steps))
    with pytest.raises(NothingToDo, match="Nothing can be tuned or evaluated"):
        tune_runner.run(nothing, tmp_path / "out", progress=False)


def test_what_comes_before_is_tuned_before_and_its_head_is_kept(plan, folder, tmp_path):
    made = plan("xcopa", also=(), max_steps=2, train_n=8)
    found = tune_runner.run(made, tmp_path / "out", progress=False)
    assert [t.training_set for t in found.trained] == ["social_iqa", "copa"]
    first, second = (training_record.load(Path(t.folder)) for t in found.trained)
    assert second.request["base"]["id"] == resolve.read_checkpoint(found.trained[0].folder).id
    assert (first.request["keep_head"], second.request["keep_head"]) == (False, True)
    # Both lie under the encoder that the user named, and all of what comes before is trained on.
    assert Path(found.trained[1].folder).parts[-4] == made.prepared.checkpoint.id[:12]
    assert (first.request["train_n"], second.request["train_n"]) == (None, 8)
    scores = result(found).tasks["xcopa"].languages
    assert set(scores) == {"it", "tr", "zh"}
    assert {s.tuned["after"] for s in scores.values()} == {"social_iqa"}
    assert {s.track for s in scores.values()} == {"zero-shot"}
    assert "on copa (en), 8 examples, after social_iqa" in tune_report.table(found)
    # Another first training is another second one.
    slower = plan("xcopa", also=(), max_steps=2, train_n=8, given={**FAST, "learning_rate": 1e-4})
    assert not set(keys(slower)) & set(keys(made))
    # Where the first one is another checkpoint now, the second one is made anew.
    path = Path(found.trained[1].folder) / "training.json"
    record = json.loads(path.read_text())
    path.write_text(json.dumps({**record, "request": {**record["request"], "base": {"name": "x", "id": "0" * 64}}}))
    said: list[str] = []
    tune_runner.run(made, tmp_path / "out", say=said.append, progress=False)
    assert any("began with another checkpoint than there is now" in line for line in said)
    assert sum("trained already" in line for line in said) == 1


# --- Bad input ------------------------------------------------------------------------------------------------------


def prepared_for(targets: str, **options: Any) -> Prepared:
    selection = select(targets.split(","))
    wanted = choose_languages(selection, None)
    model = unloaded_checkpoint()
    return Prepared(model, make_plan(selection, model, wanted, {}), selection, False, None, Options(**options))


@pytest.mark.parametrize(
    ("options", "asked", "words"),
    [
        ({}, {"languages": ("sv",)}, "mnli: there is no training data in 'sv'. It has: en, .* machine-translated: ar"),
        ({}, {"languages": ("en", "all")}, "--tune-language: give codes"),
        ({}, {"languages": ()}, "--tune-language: give codes"),
        ({}, {"recipe": "jaint"}, "There is no recipe named 'jaint'. Did you mean 'jiant'?"),
        ({}, {"seeds": (1, 2, 1)}, "--seeds: 1 stands twice"),
        ({}, {"seeds": ()}, "name at least one seed"),
        ({}, {"also": ("lats",)}, "There is no choice of a state named 'lats'. Did you mean 'last'?"),
        ({}, {"average_last": 0}, "--average-last is 0"),
        ({}, {"shots": 4, "train_n": 4}, "--train-n and --shots cannot be used together"),
        ({}, {"given": {"learning_rat": 1.0}}, "A recipe has no setting 'learning_rat'"),
        (
            {"label_map": {"entailment": "LABEL_0"}},
            {},
            "--label-map says what the outputs of the checkpoint's own head",
        ),
        ({"layer": "all"}, {}, "leave out --tune"),
        ({"dtype": "float16"}, {}, "not in float16"),
        ({"head": "mnli"}, {"fresh_head": True}, "--head mnli and --fresh-head cannot be meant together"),
    ],
)
def test_what_cannot_be_meant(options, asked, words, folder):
    prepared = replace(prepared_for("xnli", **options), data_dir=folder)
    with pytest.raises(UsageError, match=words):
        tune_plan.make(prepared, Tuning(**asked))


def test_training_data_that_is_not_there_leaves_the_other_targets(plan):
    made = plan("xnli,pawsx")
    states = {step.task: step for step in made.prepared.steps}
    assert states["xnli"].state == "to be tuned"
    assert states["pawsx"].state == "cannot"
    assert "paws" in states["pawsx"].reason
    with pytest.raises(DataError):
        plan("pawsx")


# --- Command line ---------------------------------------------------------------------------------------------------


@pytest.fixture
def command(runner: Any, base: Path, folder: Path, tmp_path: Path) -> Callable[..., Any]:
    def run(*arguments: object) -> Any:
        where = ["--data-dir", folder, "--output", tmp_path / "out", "--tuned-dir", tmp_path / "tuned"]
        return runner("eval", "--model", base, "--dtype", "float32", "--targets", "xnli", *where, *arguments)

    return run


def test_the_command_line(command):
    asked = ["--tune", "--seeds", "1,2", "--max-steps", 2, "--eval-every", 1, "--batch-size", 16, "--also", "last"]
    planned = json.loads(command(*asked, "--dry-run", "--json").out)
    assert planned["tuning"][0]["trained"] == []
    assert planned["plan"]["xnli"]["state"] == "to be tuned"
    done = command(*asked)
    assert done.exit_code == 0, done.err
    assert "zero-shot: on 'mnli' (en), 96 examples, about 2 steps; 2 seeds" in " ".join(done.err.split())
    assert "seeds run" in done.out
    again = command(*asked, "--json")
    assert [t["found"] for t in json.loads(again.out)["trained"]] == [True, True]
    assert "Training 2 of 2: mnli, seed 2" in done.err
    assert "Training 2 of 2" not in again.err
    assert "trained already" in again.err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--tune", "--seeds", "1,two"], "'two' is not a seed. Give whole numbers from 0"),
        (["--tune", "--seeds", "1,-2"], "'-2' is not a seed"),
        (["--tune", "--seeds", "1,1"], "1 stands twice"),
        (["--tune", "--seeds", "1", "--seed", "2"], "--seed and --seeds cannot be used together"),
        (["--learning-rate", "0.1"], "--learning-rate needs --tune. Add --tune, or leave it out"),
        (["--fresh-head"], "--fresh-head needs --tune"),
        (["--tune", "--label-map", "entailment=LABEL_0"], "--label-map"),
        (["--tune", "--tune-language", "sv"], "no training data in 'sv'"),
        (["--tune", "--shots", "0"], "shots"),
    ],
)
def test_bad_options(arguments, words, command):
    done = command(*arguments)
    assert done.exit_code == 2
    assert words in " ".join(done.err.split())


def test_a_missing_score_is_an_incomplete_run(command, monkeypatch):
    def fails(plan: Any, output: Path, **options: Any) -> Any:
        if plan.options.seed == 1:
            raise DataError("a row is wrong")
        return train(plan, output, **options)

    train = training_runner.train
    monkeypatch.setattr(training_runner, "train", fails)
    done = command("--tune", "--seeds", "1,2", "--max-steps", 2, "--also", "none")
    assert done.exit_code == Incomplete.exit_code
    assert "xnli, seed 1: no score" in done.err
