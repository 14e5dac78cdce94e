"""Target training end to end: found again by its key, every choice named, tracks apart."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from helpers.tuning import FAST, result
from xharness.checkpoints import training_record
from xharness.errors import UsageError
from xharness.evaluation.prepare import Options, prepare
from xharness.results import runs, scoring
from xharness.results import score as results_score
from xharness.results import tables as results_tables
from xharness.training import runner as training_runner
from xharness.training.tune import plan as tune_plan
from xharness.training.tune import report as tune_report
from xharness.training.tune import runner as tune_runner
from xharness.training.tune.options import TuneOptions
from xharness.training.tune.plan import TunePlan
from xharness.training.tune.result import TuneResult

pytestmark = pytest.mark.usefixtures("one_thread")


def record_of(found: TuneResult) -> training_record.Record:
    record = training_record.load(Path(found.trained[0].folder))
    assert record is not None
    return record


@pytest.fixture(scope="module")
def zero_shot(base: Path, folder: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[TunePlan, TuneResult, Path]:
    """Return one zero-shot run over two targets of one training set, and one that needs none; do not change it."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    to = tmp_path_factory.mktemp("zero-shot")
    asked = Options(device="cpu", dtype="float32")
    prepared = prepare(str(base), targets=["xnli", "xquad", "mlqa", "tatoeba"], data_dir=folder, options=asked)
    made = tune_plan.make_plan(prepared, TuneOptions(root=to / "tuned", given=FAST, max_steps=30))
    found = tune_runner.run(made, to / "out", progress=False)
    torch.set_num_threads(before)
    return made, found, to


# --- End to end -----------------------------------------------------------------------------------------------------


def test_targets_that_share_a_training_set_share_the_tuned_checkpoint(zero_shot):
    made, found, to = zero_shot
    assert [(t.training_set, t.targets) for t in found.trained] == [
        ("mnli", ("xnli",)),
        ("squad_v1", ("xquad", "mlqa")),
    ]
    encoder = made.prepared.checkpoint.id
    for trained in found.trained:
        folder = Path(trained.folder)
        record = training_record.load(folder)
        assert folder == to / "tuned" / encoder[:12] / trained.training_set / record.key / "seed0"
        assert record.request["phase"] == "target"
    ids = {s.tuned["id"] for name in ("xquad", "mlqa") for s in result(found).tasks[name].languages.values()}
    assert len(ids) == 1
    assert not found.failures


def test_every_score_says_what_it_is_of(zero_shot):
    made, found, _ = zero_shot
    model = made.prepared.checkpoint
    for task in ("xnli", "xquad", "mlqa"):
        for score in result(found).tasks[task].languages.values():
            assert (score.model, score.model_hash) == (model.name, model.content_hash)
            assert (score.phase, score.track, score.selected_by) == ("tuned", "zero-shot", "english-dev")
            assert score.tuned["id"] != model.content_hash
            assert score.tuned["seed"] == score.seed == 0
            assert score.settings["tune"]["track"] == "zero-shot"
            path = Path(found.results["zero-shot", "english-dev", 0].provenance["run"])
            assert results_score.load(path / "results" / task / f"{score.language}.json") == score
    for score in result(found).tasks["tatoeba"].languages.values():
        assert (score.phase, score.track, score.tuned) == ("as is", None, {})


def test_every_choice_is_a_run_of_its_own(zero_shot):
    made, found, _ = zero_shot
    folders = {chosen: Path(r.provenance["run"]) for (_, chosen, _), r in found.results.items()}
    assert set(folders) == {"english-dev", "last", "average", "target-dev"}
    assert len(set(folders.values())) == 4
    for chosen, folder in folders.items():
        loaded = runs.load_run(folder)
        assert loaded.provenance["selected_by"] == chosen
        assert {s.selected_by for t in loaded.tasks.values() for s in t.languages.values()} == {chosen}
        assert f"zero-shot, selected by {chosen})" in results_tables.tables([("run", loaded)])
        again = scoring.score(folder, data_dir=made.prepared.data_dir)
        assert {(s.phase, s.track) for t in again.tasks.values() for s in t.languages.values()} == {
            ("tuned", "zero-shot")
        }
        assert again.provenance["selected_by"] == chosen
    # The oracle has only what has development data: xquad has none, and of xnli's languages ru.
    assert set(result(found, "target-dev").tasks) == {"xnli", "mlqa"}
    assert set(result(found, "target-dev").tasks["xnli"].languages) == {"en", "de"}
    assert set(result(found, "last").tasks["xnli"].languages) == {"en", "de", "ru"}


def test_the_states_are_those_that_the_record_names(zero_shot):
    _, found, _ = zero_shot
    record = record_of(found)
    steps = {name: selection["step"] for name, selection in record.selections.items()}
    for language, score in result(found, "target-dev").tasks["xnli"].languages.items():
        assert score.tuned["step"] == steps[f"target-dev:xnli/{language}"]
    assert {s.tuned["step"] for s in result(found, "last").tasks["xnli"].languages.values()} == {steps["last"]} == {30}
    assert {s.tuned["step"] for s in result(found, "average").tasks["xnli"].languages.values()} == {"average"}
    # Every evaluation kept the scores of every language with development data.
    assert all({"mnli", "xnli/en", "xnli/de"} <= set(entry["scores"]) for entry in record.evaluations)
    best = max(record.evaluations, key=lambda entry: entry["scores"]["xnli/de"]["score"])
    assert record.selections["target-dev:xnli/de"]["score"] == best["scores"]["xnli/de"]["score"]


def test_the_tables_name_the_choices_and_the_phases(zero_shot):
    _, found, _ = zero_shot
    text = tune_report.table(found)
    for words in (
        "zero-shot, selected by english-dev)",
        "english-dev    last    average of the last 3    oracle (target-dev)",
        "Checkpoint selection (zero-shot)",
        "xnli, languages with dev data",
        "the oracle sees labels of the target language",
        "xnli: tuned, zero-shot: on mnli (en), 96 examples, recipe jiant, seed 0, checkpoint of step",
        "xnli: checkpoint selected by english-dev.",
    ):
        assert words in text, words
    assert "seeds run" not in text
    json.dumps(found.to_json(), allow_nan=False)
    told = found.to_json()
    assert [r["selected_by"] for r in told["results"]] == ["english-dev"]
    (two,) = [c for c in told["choices"] if c["task"] == "xnli" and c["languages"] == ["de", "en"]]
    assert set(two["selected_by"]) == {"english-dev", "last", "average", "target-dev"}
    assert two["selected_by"]["target-dev"]["mean"] is not None


def test_a_second_call_trains_nothing_and_gives_the_same(zero_shot, monkeypatch):
    made, found, to = zero_shot
    assert [made.trained(job) for job in made.jobs] == [[0], [0]]
    monkeypatch.setattr(training_runner, "train", lambda *a, **k: pytest.fail("it is trained again"))
    said: list[str] = []
    again = tune_runner.run(made, to / "out", say=said.append, progress=False)
    assert sum("trained already" in line for line in said) == 2
    assert all(t.found for t in again.trained)
    assert not any("computed again" in line for line in said)
    assert {k: r.to_json()["tasks"] for k, r in again.results.items()} == {
        k: r.to_json()["tasks"] for k, r in found.results.items()
    }


def test_less_is_found_in_what_was_kept_for_more(zero_shot):
    made, _, _ = zero_shot
    less = replace(made, options=replace(made.options, also=()))
    job = made.jobs[0]
    bare = replace(
        job, select_by_target_dev=False, plan=replace(job.plan, options=replace(job.plan.options, average_last=0))
    )
    assert less.folder(bare, 0, "float32") == made.folder(job, 0, "float32")
    assert less.folder(bare, 1, "float32") != made.folder(job, 1, "float32")


# --- Tracks ---------------------------------------------------------------------------------------------------------


def test_runs_of_different_tracks_or_choices_are_not_joined(tune, zero_shot):
    _, found, _ = zero_shot
    de = tune("xnli", also=("last",), languages=("de",), max_steps=4)
    folder = {k: Path(r.provenance["run"]) for k, r in found.results.items()}
    other = Path(result(de, track="translate-train").provenance["run"])
    squad = folder["zero-shot", "english-dev", 0]
    with pytest.raises(UsageError, match=r'differ in their track .*"translate-train" and "zero-shot"'):
        runs.join([squad, other])
    with pytest.raises(UsageError, match="differ in their checkpoint selection"):
        runs.join([squad, folder["zero-shot", "last", 0]])
    as_is = next(path for path in map(Path, found.runs) if (path / "results" / "tatoeba").is_dir())
    joined = runs.join([squad, as_is])
    assert set(joined.tasks) == {"xnli", "xquad", "mlqa", "tatoeba"}
    assert (joined.provenance["track"], joined.provenance["selected_by"]) == ("zero-shot", "english-dev")
    assert "translate-train" in tune_report.table(de)
    assert "zero-shot" not in tune_report.table(de).replace("no zero-shot result", "")
