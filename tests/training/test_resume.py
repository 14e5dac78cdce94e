"""Training that is killed, or fails: it goes on as if nothing had happened, or says why not."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import transformers
from safetensors import SafetensorError

from helpers.trainings import FAST, run, same, text_file
from xharness.checkpoints import training_record
from xharness.errors import ModelError, OutputError
from xharness.models import multitask
from xharness.training import output_folder, resume, trainer
from xharness.training import runner as training_runner
from xharness.training import selection as training_selection
from xharness.training.plan import Options, prepare
from xharness.training.resume import TrainingState

pytestmark = [pytest.mark.long, pytest.mark.usefixtures("one_thread")]


class Killed(BaseException):
    """Stands for a kill: nothing catches it."""


@pytest.mark.parametrize("tasks", [pytest.param("mnli", marks=pytest.mark.slow), "mnli,squad_v1,commonsenseqa"])
def test_a_run_that_was_killed_ends_as_one_that_was_not(
    tasks: str, base: Path, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny_checkpoint: Any
) -> None:
    # With dropout: the draws go on, too.
    noisy = tiny_checkpoint("masked_lm", initializer_range=0.1)
    whole = run(tasks, noisy, folder, tmp_path / "whole", mlm=text_file(tmp_path))
    plain = trainer.MultitaskTrainer.training_step
    for kill in (5, 17, 28):

        def step(self: Any, model: Any, inputs: int, *rest: Any, kill: int = kill) -> Any:
            if inputs == kill:
                raise Killed
            return plain(self, model, inputs, *rest)

        monkeypatch.setattr(trainer.MultitaskTrainer, "training_step", step)
        with pytest.raises(Killed):
            run(tasks, noisy, folder, tmp_path / "killed", mlm=text_file(tmp_path))
    monkeypatch.setattr(trainer.MultitaskTrainer, "training_step", plain)
    resumed = run(tasks, noisy, folder, tmp_path / "killed", mlm=text_file(tmp_path))
    same(tmp_path / "whole", tmp_path / "killed")
    assert resumed.evaluations == whole.evaluations
    assert [entry[:2] for entry in resumed.losses] == [entry[:2] for entry in whole.losses]
    assert resumed.tokens == whole.tokens


def test_a_kill_after_an_evaluation_loses_no_checkpoint(
    base: Path, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scores = iter([60.0, 70.0, 59.0, 50.0])
    monkeypatch.setattr(
        training_selection.dev_sets, "score_dev_set", lambda *_: {"score": next(scores), "accuracy": 0.0}
    )
    save = trainer.MultitaskTrainer._save_checkpoint

    def saved(self: Any, *rest: Any) -> None:
        if self.progress.step == 20:
            raise Killed
        save(self, *rest)

    monkeypatch.setattr(trainer.MultitaskTrainer, "_save_checkpoint", saved)
    with pytest.raises(Killed):
        run("mnli", base, folder, tmp_path / "out")
    monkeypatch.setattr(trainer.MultitaskTrainer, "_save_checkpoint", save)
    record = run("mnli", base, folder, tmp_path / "out")
    assert record.selections[training_runner.ENGLISH_DEV] == {"step": 10, "score": 60.0, "folder": "."}
    assert record.weights
    transformers.AutoModelForSequenceClassification.from_pretrained(tmp_path / "out")


def test_a_kill_while_the_checkpoint_is_put_in_its_place_loses_nothing(
    base: Path, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = output_folder._link

    def link(path: Path, place: Path) -> None:
        if path.name == "tokenizer.json":
            raise Killed
        plain(path, place)

    monkeypatch.setattr(output_folder, "_link", link)
    with pytest.raises(Killed):
        run("mnli", base, folder, tmp_path / "out", average_last=2)
    assert not (tmp_path / "out" / training_record.FILE).exists()
    monkeypatch.setattr(output_folder, "_link", plain)
    record = run("mnli", base, folder, tmp_path / "out", average_last=2)
    run("mnli", base, folder, tmp_path / "whole", average_last=2)
    same(tmp_path / "whole", tmp_path / "out")
    assert record.status == "complete"


@pytest.mark.parametrize("error", [SafetensorError("No space left"), OSError(28, "No space left")])
def test_a_full_disk_is_a_sentence(
    error: Exception, base: Path, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr(multitask, "save_file", full)
    with pytest.raises(OutputError, match=r"cannot be written.*No space left.*Make room"):
        run("mnli", base, folder, tmp_path / "out", max_steps=2)


def test_room_that_the_run_has_taken_already_is_not_asked_for_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = output_folder.TrainingFolder(tmp_path / "out", {}, writes=True)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=5000))
    with pytest.raises(OutputError, match="Make room"):
        place.check_space(1000, 1)
    (place.run / "state").mkdir(parents=True)
    (place.run / "state" / "model.safetensors").write_bytes(b"0" * 3500)
    place.check_space(1000, 1)


def test_a_state_cut_short_by_a_kill_is_not_read(base: Path, folder: Path, tmp_path: Path) -> None:
    place = tmp_path / "run"
    (place / ".new").mkdir(parents=True)
    (place / ".new" / "state.json").write_text("{")
    assert resume.load_state(place) is None
    (place / ".old").mkdir()
    (place / ".old" / "state.json").write_text('{"step": 3}')
    (place / ".old" / "sizes.json").write_text('{"state.json": 11}')
    assert resume.load_state(place) == TrainingState(step=3)


@pytest.mark.parametrize(
    "damage",
    [
        lambda state: (state / "optimizer.pt").unlink(),
        lambda state: (state / "scheduler.pt").write_bytes(b"x"),
        lambda state: (state / "state.json").write_text("[]"),
        lambda state: (state / "trainer_state.json").write_text("{"),
        lambda state: (state / "sizes.json").write_text("[]"),
        lambda state: (state / "sizes.json").write_text("{}") and (state / "model.safetensors").write_bytes(b"x"),
    ],
)
def test_a_damaged_state_is_named(
    damage: Callable[[Path], Any], base: Path, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = trainer.MultitaskTrainer.training_step

    def step(self: Any, model: Any, inputs: int, *rest: Any) -> Any:
        if inputs == 11:
            raise Killed
        return plain(self, model, inputs, *rest)

    monkeypatch.setattr(trainer.MultitaskTrainer, "training_step", step)
    with pytest.raises(Killed):
        run("mnli", base, folder, tmp_path / "out")
    monkeypatch.setattr(trainer.MultitaskTrainer, "training_step", plain)
    damage(tmp_path / "out" / ".run" / "state")
    with pytest.raises(ModelError, match=r"to resume from is damaged.*Remove .*\.run"):
        run("mnli", base, folder, tmp_path / "out")


def test_a_finished_checkpoint_that_was_damaged_is_not_taken_for_done(base: Path, folder: Path, tmp_path: Path) -> None:
    run("mnli", base, folder, tmp_path / "out", max_steps=2)
    weights_file = tmp_path / "out" / "model.safetensors"
    weights_file.write_bytes(weights_file.read_bytes()[:-1] + b"x")
    with pytest.raises(ModelError, match=r"do not match their training record.*Remove"):
        run("mnli", base, folder, tmp_path / "out", max_steps=2)


def test_a_batch_that_does_not_fit_is_halved(
    base: Path, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = multitask.MultitaskModel.forward

    def forward(self: Any, task: str, **inputs: Any) -> Any:
        if self.training and int(inputs["attention_mask"].sum()) > 300:
            raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory")
        return plain(self, task, **inputs)

    monkeypatch.setattr(multitask.MultitaskModel, "forward", forward)
    said: list[str] = []
    plan = prepare(
        ["mnli"],
        str(base),
        data_dir=folder,
        options=Options(device="cpu", dtype="float32", max_steps=4, given=FAST, batch_tokens=1024),
    )
    record = training_runner.train(plan, tmp_path / "out", say=said.append, progress=False)
    assert record.hardware["batch_tokens"] <= 300
    assert any("does not fit" in sentence for sentence in said)


def test_a_collapse_is_told_and_the_next_seed_is_tried(
    base: Path, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stuck = run("mnli", base, folder, tmp_path / "stuck", given={"learning_rate": 1e-9})
    assert stuck.status == "collapsed"
    assert "chance 34.4" in str(stuck.reason)
    assert "learning rate 1e-09" in str(stuck.reason)
    assert run("mnli", base, folder, tmp_path / "stuck", given={"learning_rate": 1e-9}) == stuck
    more = run("mnli", base, folder, tmp_path / "stuck", given={"learning_rate": 1e-9}, retries=1)
    assert (more.seed, [attempt["seed"] for attempt in more.attempts]) == (1, [0])
    asked = run("squad_v1", base, folder, tmp_path / "asked", given={"learning_rate": 1e-9})
    assert asked.status == "collapsed"
    plain, calls = training_selection.CheckpointSelector.collapsed, []

    def collapsed(self: Any, progress: Any) -> str | None:
        calls.append(1)
        return "at chance" if len(calls) == 1 else plain(self, progress)

    monkeypatch.setattr(training_selection.CheckpointSelector, "collapsed", collapsed)
    record = run("mnli", base, folder, tmp_path / "again", retries=2, max_steps=60)
    assert (record.status, record.seed) == ("complete", 1)
    assert [(a["seed"], a["status"]) for a in record.attempts] == [(0, "collapsed")]


def test_a_loss_that_is_no_number_ends_the_attempt(
    base: Path, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = multitask.MultitaskModel.forward

    def forward(self: Any, task: str, **inputs: Any) -> Any:
        output = plain(self, task, **inputs)
        if self.training:
            output.loss = output.loss * float("nan")
        return output

    monkeypatch.setattr(multitask.MultitaskModel, "forward", forward)
    record = run("mnli", base, folder, tmp_path / "out")
    assert record.status == "diverged"
    assert "loss of mnli is nan" in str(record.reason)
    assert not (tmp_path / "out" / "model.safetensors").exists()
