"""Target training that is interrupted or fails: seeds are kept and shown."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from helpers.tuning import result
from xharness.checkpoints import training_record
from xharness.errors import DataError, OutputError, UsageError
from xharness.results import tables as results_tables
from xharness.training import runner as training_runner
from xharness.training.output_folder import TrainingFolder
from xharness.training.tune import report as tune_report
from xharness.training.tune import runner as tune_runner
from xharness.training.tune import score as tune_score

pytestmark = pytest.mark.usefixtures("one_thread")


# --- Interrupted, damaged -------------------------------------------------------------------------------------------


def test_a_run_that_was_stopped_between_training_and_scoring_goes_on(plan, tmp_path, monkeypatch):
    made = plan("xnli", also=())
    with monkeypatch.context() as patch:
        patch.setattr(tune_score, "Evaluator", lambda *a, **k: (_ for _ in ()).throw(KeyboardInterrupt()))
        with pytest.raises(KeyboardInterrupt):
            tune_runner.run(made, tmp_path / "out", progress=False)
    assert made.trained(made.jobs[0]) == [0]
    monkeypatch.setattr(training_runner, "train", lambda *a, **k: pytest.fail("it is trained again"))
    assert set(result(tune_runner.run(made, tmp_path / "out", progress=False)).tasks["xnli"].languages) == {
        "de",
        "en",
        "ru",
    }


def test_a_damaged_tuned_checkpoint_is_made_anew(plan, tmp_path):
    made = plan("xnli", also=(), max_steps=1)
    folder = made.folder(made.jobs[0], 0, "float32")
    folder.mkdir(parents=True)
    (folder / "model.safetensors").write_bytes(b"half")
    damages: list[Callable[[], object]] = [
        lambda: None,
        lambda: (folder / "model.safetensors").write_bytes(b"half"),
        lambda: (folder / "training.json").write_text('{"schema_version": 1'),
        lambda: (folder / "training.json").unlink(),
    ]
    for damage in damages:
        damage()
        said: list[str] = []
        found = tune_runner.run(made, tmp_path / "out", say=said.append, progress=False)
        assert any("The tuned checkpoint is trained again." in line for line in said)
        assert not found.failures
        assert made.trained(made.jobs[0]) == [0]


def test_a_folder_that_another_process_has_just_begun_in_is_left_alone(plan, tmp_path):
    made = plan("xnli", also=(), max_steps=1)
    folder = made.folder(made.jobs[0], 0, "float32")
    other = TrainingFolder(folder, {}, writes=True)
    other.claim()
    with pytest.raises(UsageError, match="Another process trains in"):
        tune_runner.run(made, tmp_path / "out", progress=False)
    assert (folder / ".run" / "lock").is_file()
    other.release()
    assert not tune_runner.run(made, tmp_path / "out", progress=False).failures


def test_a_full_disk_is_said_and_not_taken_for_a_failed_seed(tune, monkeypatch):
    def full(*arguments: Any, **options: Any) -> Any:
        raise OutputError("the disk is full")

    monkeypatch.setattr(training_runner, "train", full)
    with pytest.raises(OutputError, match="the disk is full"):
        tune("xnli")


# --- Seeds ----------------------------------------------------------------------------------------------------------


def test_seeds_that_collapse_or_diverge_are_kept_and_shown(tune, monkeypatch):
    train = training_runner.train

    def some_fail(plan: Any, output: Path, **options: Any) -> Any:
        record = train(plan, output, **options)
        ends = {2: ("collapsed", "at chance"), 3: ("diverged", "the loss is NaN")}
        status, reason = ends.get(plan.options.seed, ("complete", None))
        selections = {} if status == "diverged" else record.selections
        record = replace(record, status=status, reason=reason, selections=selections)
        training_record.save(record, output)
        return record

    monkeypatch.setattr(training_runner, "train", some_fail)
    found = tune("xnli", also=(), seeds=(1, 2, 3, 4), max_steps=2)
    assert [(t.seed, t.state) for t in found.trained] == [
        (1, "complete"), (2, "collapsed"), (3, "diverged"), (4, "complete"),
    ]  # fmt: skip
    told = found.summary("zero-shot", "english-dev", "xnli")
    means = {seed: result(found, seed=seed).tasks["xnli"].mean["score"] for seed in (1, 2, 4)}
    assert told.scores == {**means, 3: None}
    assert told.every.n == 3
    assert told.every.mean == pytest.approx(sum(means.values()) / 3)
    assert told.good.mean == pytest.approx((means[1] + means[4]) / 2)
    assert told.seeds("collapsed") == [2]
    assert [line for line in found.failures if "seed 3" in line and "diverged" in line]
    text = tune_report.table(found)
    assert "mean ± standard deviation of the seeds 1, 2, 4" in text
    assert "mnli, seed 2: collapsed: at chance." in text
    assert "mnli, seed 3: diverged: the loss is NaN." in text
    assert "COLLAPSED in training" in text
    line = next(line for line in text.split("seeds run")[1].splitlines() if line.startswith("xnli"))
    assert line.split()[3:6] == ["4", "1", "1"]
    assert f"{means[2]:.1f} c" in line
    (content,) = [c for c in found.to_json()["choices"] if c["task"] == "xnli"]
    assert content["selected_by"]["english-dev"]["ran"] == 4
    assert content["selected_by"]["english-dev"]["diverged"] == [3]


def test_a_seed_that_cannot_be_trained_leaves_the_others(tune, monkeypatch):
    train = training_runner.train

    def one_fails(plan: Any, output: Path, **options: Any) -> Any:
        if plan.options.seed == 1:
            raise DataError("a row is wrong")
        return train(plan, output, **options)

    monkeypatch.setattr(training_runner, "train", one_fails)
    found = tune("xnli", also=(), seeds=(1, 2), max_steps=4)
    assert found.trained[0].state == "failed"
    assert found.trained[1].state != "failed"
    assert found.failures == ("xnli, seed 1: no score, training on 'mnli' failed: a row is wrong.",)
    with pytest.raises(DataError, match="a row is wrong"):
        tune("xnli", also=(), seeds=(1,), max_steps=4)


# --- Chosen on what is scored ---------------------------------------------------------------------------------------


def test_a_choice_on_the_data_that_is_scored_is_marked_everywhere(tune):
    found = tune("xnli", also=("target-dev",), options={"split": "dev"}, max_steps=10)
    oracle = result(found, "target-dev").tasks["xnli"]
    assert {s.selected_by for s in oracle.languages.values()} == {"test"}
    assert not any(s.complete for s in oracle.languages.values())
    assert "selected on the data that is scored in de en" in oracle.why
    # Chosen on mnli's own development data, which is other data.
    assert {s.selected_by for s in result(found).tasks["xnli"].languages.values()} == {"english-dev"}
    text = results_tables.tables([("oracle", result(found, "target-dev"))])
    assert "SELECTED ON THE DATA THAT IS SCORED" in text
