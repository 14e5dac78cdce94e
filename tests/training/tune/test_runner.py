"""Target training: found again by its key, every choice named, seeds kept, tracks apart."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from helpers.checkpoints import unloaded_checkpoint
from helpers.data_folder import make_data_folder, write_dataset
from helpers.training_sets import make_training_folder, nli_rows
from xharness.checkpoints import resolve, training_record
from xharness.errors import DataError, Incomplete, NothingToDo, OutputError, UsageError
from xharness.evaluation import runner as evaluation
from xharness.evaluation.plan import make_plan
from xharness.evaluation.prepare import Options, Prepared, prepare
from xharness.results import runs, scoring
from xharness.results import score as results
from xharness.results import tables as report
from xharness.results.aggregate import Results
from xharness.tasks.selection import choose_languages, select
from xharness.training import runner as training
from xharness.training.output_folder import TrainingFolder
from xharness.training.tune import plan as tune_plan
from xharness.training.tune import report as tune_report
from xharness.training.tune import runner as tuning
from xharness.training.tune.plan import TunePlan, Tuning
from xharness.training.tune.report import Outcome

FAST: dict[str, Any] = {"learning_rate": 3e-3, "eval_every": 10, "batch_size": 16, "eval_examples": 12}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return data for xnli (train, dev and test in en and de, no train in ru), and for xquad and mlqa."""
    import datasets

    to = make_data_folder(tmp_path_factory.mktemp("tuning") / "datasets")
    make_training_folder(to)
    chance, text = random.Random(1), datasets.Value("string")
    names = ["entailment", "neutral", "contradiction"]
    types = datasets.Features({"premise": text, "hypothesis": text, "label": datasets.ClassLabel(names=names)})
    drop = lambda rows: [{k: row[k] for k in types} for row in rows]  # noqa: E731
    shutil.rmtree(to / "facebook" / "xnli")
    splits = {code: {s: drop(nli_rows(24, chance)) for s in ("train", "validation", "test")} for code in ("en", "de")}
    splits["ru"] = {"test": drop(nli_rows(24, chance))}
    _choices(to, "lighteval/siqa", "default", ("answerA", "answerB", "answerC"), ("1", "2", "3"))
    _choices(to, "aps/super_glue", "copa", ("choice1", "choice2"), ("choice1", "choice2"))
    write_dataset(to / "facebook" / "xnli", splits, types)
    return to


def _choices(to: Path, repo: str, config: str, columns: tuple[str, ...], labels: tuple[str, ...]) -> None:
    """Write a training set where the right choice is the one that the context names."""
    context, chance = ("premise" if config == "copa" else "context"), random.Random(2)
    rows = []
    for number in range(24):
        words = chance.sample(["cat", "dog", "house", "river", "stone", "teacher"], len(columns))
        right = number % len(columns)
        row = {"idx": number, context: f"the {words[right]}", "question": "cause", "label": labels[right]}
        rows.append({**row, **dict(zip(columns, words, strict=True))})
    write_dataset(to / repo, {config: {"train": rows, "validation": rows[:12]}})


@pytest.fixture(scope="module")
def base(tiny_checkpoint: Callable[..., Path]) -> Path:
    return tiny_checkpoint("encoder", initializer_range=0.1)


@pytest.fixture
def one_thread() -> Any:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def plan(base: Path, folder: Path, tmp_path: Path) -> Callable[..., TunePlan]:
    """Return what makes a plan with tuned checkpoints in a folder of the test."""

    def make(targets: str = "xnli", *, options: dict[str, Any] | None = None, model: Path = base, **tuned: Any) -> Any:
        asked = Options(device="cpu", dtype="float32", **(options or {}))
        prepared = prepare(str(model), targets=targets.split(","), data_dir=folder, options=asked)
        return tune_plan.make(prepared, Tuning(**{"root": tmp_path / "tuned", "given": FAST, "max_steps": 30, **tuned}))

    return make


@pytest.fixture
def tune(plan: Any, tmp_path: Path) -> Callable[..., Outcome]:
    def run(targets: str = "xnli", **asked: Any) -> Outcome:
        return tuning.run(plan(targets, **asked), tmp_path / "out", progress=False)

    return run


def record_of(found: Outcome) -> training_record.Record:
    record = training_record.load(Path(found.trained[0].folder))
    assert record is not None
    return record


def result(found: Outcome, chosen: str = "english-dev", seed: int = 0, track: str = "zero-shot") -> Results:
    return found.results[track, chosen, seed]


@pytest.fixture(scope="module")
def zero_shot(base: Path, folder: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[TunePlan, Outcome, Path]:
    """Return one zero-shot run over two targets of one training set, and one that needs none; do not change it."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    to = tmp_path_factory.mktemp("zero-shot")
    asked = Options(device="cpu", dtype="float32")
    prepared = prepare(str(base), targets=["xnli", "xquad", "mlqa", "tatoeba"], data_dir=folder, options=asked)
    made = tune_plan.make(prepared, Tuning(root=to / "tuned", given=FAST, max_steps=30))
    found = tuning.run(made, to / "out", progress=False)
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
            assert results.load(path / "results" / task / f"{score.language}.json") == score
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
        assert f"zero-shot, chosen by {chosen})" in report.tables([("run", loaded)])
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
        "zero-shot, chosen by english-dev)",
        "english-dev    last    average of the last 3    oracle (target-dev)",
        "How the state was chosen (zero-shot)",
        "xnli, languages with dev data",
        "the oracle sees labels of the target language",
        "xnli: tuned, zero-shot: on mnli (en), 96 examples, recipe jiant, seed 0, state of step",
        "xnli: chosen by english-dev.",
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
    monkeypatch.setattr(training, "train", lambda *a, **k: pytest.fail("it is trained again"))
    said: list[str] = []
    again = tuning.run(made, to / "out", say=said.append, progress=False)
    assert sum("trained already" in line for line in said) == 2
    assert all(t.found for t in again.trained)
    assert not any("computed again" in line for line in said)
    assert {k: r.to_json()["tasks"] for k, r in again.results.items()} == {
        k: r.to_json()["tasks"] for k, r in found.results.items()
    }


def test_less_is_found_in_what_was_kept_for_more(zero_shot):
    made, _, _ = zero_shot
    less = replace(made, tuning=replace(made.tuning, also=()))
    job = made.jobs[0]
    bare = replace(job, choices=False, plan=replace(job.plan, options=replace(job.plan.options, average_last=0)))
    assert less.folder(bare, 0, "float32") == made.folder(job, 0, "float32")
    assert less.folder(bare, 1, "float32") != made.folder(job, 1, "float32")


# --- Interrupted, damaged -------------------------------------------------------------------------------------------


def test_a_run_that_was_stopped_between_training_and_scoring_goes_on(plan, tmp_path, monkeypatch):
    made = plan("xnli", also=())
    with monkeypatch.context() as patch:
        patch.setattr(tuning, "Desk", lambda *a, **k: (_ for _ in ()).throw(KeyboardInterrupt()))
        with pytest.raises(KeyboardInterrupt):
            tuning.run(made, tmp_path / "out", progress=False)
    assert made.trained(made.jobs[0]) == [0]
    monkeypatch.setattr(training, "train", lambda *a, **k: pytest.fail("it is trained again"))
    assert set(result(tuning.run(made, tmp_path / "out", progress=False)).tasks["xnli"].languages) == {"de", "en", "ru"}


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
        found = tuning.run(made, tmp_path / "out", say=said.append, progress=False)
        assert any("The tuned checkpoint is made anew." in line for line in said)
        assert not found.failures
        assert made.trained(made.jobs[0]) == [0]


def test_a_folder_that_another_process_has_just_begun_in_is_left_alone(plan, tmp_path):
    made = plan("xnli", also=(), max_steps=1)
    folder = made.folder(made.jobs[0], 0, "float32")
    other = TrainingFolder(folder, {}, writes=True)
    other.claim()
    with pytest.raises(UsageError, match="Another process trains in"):
        tuning.run(made, tmp_path / "out", progress=False)
    assert (folder / ".run" / "lock").is_file()
    other.release()
    assert not tuning.run(made, tmp_path / "out", progress=False).failures


def test_a_full_disk_is_said_and_not_taken_for_a_failed_seed(tune, monkeypatch):
    def full(*arguments: Any, **options: Any) -> Any:
        raise OutputError("the disk is full")

    monkeypatch.setattr(training, "train", full)
    with pytest.raises(OutputError, match="the disk is full"):
        tune("xnli")


# --- Seeds ----------------------------------------------------------------------------------------------------------


def test_seeds_that_collapse_or_diverge_are_kept_and_shown(tune, monkeypatch):
    train = training.train

    def some_fail(plan: Any, output: Path, **options: Any) -> Any:
        record = train(plan, output, **options)
        ends = {2: ("collapsed", "at chance"), 3: ("diverged", "the loss is NaN")}
        status, reason = ends.get(plan.options.seed, ("complete", None))
        selections = {} if status == "diverged" else record.selections
        record = replace(record, status=status, reason=reason, selections=selections)
        training_record.save(record, output)
        return record

    monkeypatch.setattr(training, "train", some_fail)
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
    train = training.train

    def one_fails(plan: Any, output: Path, **options: Any) -> Any:
        if plan.options.seed == 1:
            raise DataError("a row is wrong")
        return train(plan, output, **options)

    monkeypatch.setattr(training, "train", one_fails)
    found = tune("xnli", also=(), seeds=(1, 2), max_steps=4)
    assert found.trained[0].state == "failed"
    assert found.trained[1].state != "failed"
    assert found.failures == ("xnli, seed 1: no score, training on 'mnli' failed: a row is wrong.",)
    with pytest.raises(DataError, match="a row is wrong"):
        tune("xnli", also=(), seeds=(1,), max_steps=4)


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


def test_runs_of_different_tracks_or_choices_are_not_joined(tune, zero_shot):
    _, found, _ = zero_shot
    de = tune("xnli", also=("last",), languages=("de",), max_steps=4)
    folder = {k: Path(r.provenance["run"]) for k, r in found.results.items()}
    other = Path(result(de, track="translate-train").provenance["run"])
    squad = folder["zero-shot", "english-dev", 0]
    with pytest.raises(UsageError, match=r'another track than .*"translate-train", there "zero-shot"'):
        runs.join([squad, other])
    with pytest.raises(UsageError, match="another choice of the state than"):
        runs.join([squad, folder["zero-shot", "last", 0]])
    as_is = next(path for path in map(Path, found.runs) if (path / "results" / "tatoeba").is_dir())
    joined = runs.join([squad, as_is])
    assert set(joined.tasks) == {"xnli", "xquad", "mlqa", "tatoeba"}
    assert (joined.provenance["track"], joined.provenance["selected_by"]) == ("zero-shot", "english-dev")
    assert "translate-train" in tune_report.table(de)
    assert "zero-shot" not in tune_report.table(de).replace("no zero-shot result", "")


# --- Chosen on what is scored ---------------------------------------------------------------------------------------


def test_a_choice_on_the_data_that_is_scored_is_marked_everywhere(tune):
    found = tune("xnli", also=("target-dev",), options={"split": "dev"}, max_steps=10)
    oracle = result(found, "target-dev").tasks["xnli"]
    assert {s.selected_by for s in oracle.languages.values()} == {"test"}
    assert not any(s.whole for s in oracle.languages.values())
    assert "chosen on the very data that is scored in de en" in oracle.why
    # Chosen on mnli's own development data, which is other data.
    assert {s.selected_by for s in result(found).tasks["xnli"].languages.values()} == {"english-dev"}
    text = report.tables([("oracle", result(found, "target-dev"))])
    assert "CHOSEN ON THE VERY DATA THAT IS SCORED HERE" in text


# --- What the head of a checkpoint fits -----------------------------------------------------------------------------


def test_a_head_that_fits_is_kept_unless_a_fresh_one_is_asked_for(plan, tiny_checkpoint, tmp_path):
    model = tiny_checkpoint("classification", labels=("neutral", "contradiction", "entailment"))
    kept, fresh = plan("xnli", model=model), plan("xnli", model=model, fresh_head=True, also=(), max_steps=2)
    assert not kept.jobs
    assert [step.state for step in kept.prepared.steps] == ["ready"]
    assert [step.state for step in fresh.prepared.steps] == ["to be tuned"]
    found = tuning.run(fresh, tmp_path / "out", progress=False)
    assert {s.phase for s in result(found).tasks["xnli"].languages.values()} == {"tuned"}
    as_is = evaluation.run(kept.prepared, tmp_path / "out", progress=False)
    assert {s.phase for s in as_is.tasks["xnli"].languages.values()} == {"as is"}
    assert as_is.provenance["run"] not in found.runs


def test_only_what_is_tuned_or_only_what_is_not(plan, tmp_path, tiny_checkpoint):
    found = tuning.run(plan("tatoeba"), tmp_path / "out", progress=False)
    assert not found.trained
    assert found.as_is is not None
    assert "tatoeba" in tune_report.table(found)
    assert [r["selected_by"] for r in found.to_json()["results"]] == ["none"]
    made = plan("tatoeba")
    steps = [replace(step, state="cannot", reason="no") for step in made.prepared.steps]
    nothing = replace(made, prepared=replace(made.prepared, steps=steps))
    with pytest.raises(NothingToDo, match="Nothing can be tuned or evaluated"):
        tuning.run(nothing, tmp_path / "out", progress=False)


def test_what_comes_before_is_tuned_before_and_its_head_is_kept(plan, folder, tmp_path):
    made = plan("xcopa", also=(), max_steps=2, train_n=8)
    found = tuning.run(made, tmp_path / "out", progress=False)
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
    tuning.run(made, tmp_path / "out", say=said.append, progress=False)
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
        ({}, {"shots": 4, "train_n": 4}, "--train-n and --shots cannot be meant together"),
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
        (["--tune", "--seeds", "1,two"], "'two' is none: give numbers from 0 on"),
        (["--tune", "--seeds", "1,-2"], "'-2' is none"),
        (["--tune", "--seeds", "1,1"], "1 stands twice"),
        (["--tune", "--seeds", "1", "--seed", "2"], "--seed and --seeds cannot be meant together"),
        (["--learning-rate", "0.1"], "--learning-rate says how a head is trained: add --tune, or leave it out"),
        (["--fresh-head"], "--fresh-head says how a head is trained"),
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

    train = training.train
    monkeypatch.setattr(training, "train", fails)
    done = command("--tune", "--seeds", "1,2", "--max-steps", 2, "--also", "none")
    assert done.exit_code == Incomplete.exit_code
    assert "xnli, seed 1: no score" in done.err
