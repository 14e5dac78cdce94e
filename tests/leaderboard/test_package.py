"""Packages for a leaderboard: the same every time, proved by their predictions, refused with all reasons at once."""

from __future__ import annotations

import gzip
import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from helpers.paths import ROOT
from helpers.runs import CELLS, CONTENT, gold_folder, make_run, tuned, write_predictions
from xharness.errors import SubmissionError, UsageError
from xharness.leaderboard import collect as leaderboard_collect
from xharness.leaderboard import fields, submission
from xharness.leaderboard import package as leaderboard_package
from xharness.leaderboard.fields import LONGEST_ANSWER
from xharness.leaderboard.package import Package, SubmitterInfo
from xharness.leaderboard.submission import Submission, read_submission


@pytest.fixture(scope="module")
def gold(tmp_path_factory: Any) -> Path:
    return gold_folder(tmp_path_factory.mktemp("gold"))


@pytest.fixture(scope="module")
def run(gold: Path, tmp_path_factory: Any) -> Path:
    return make_run(tmp_path_factory.mktemp("runs") / "seed0", gold)


def given(**more: Any) -> SubmitterInfo:
    return SubmitterInfo(**{"name": "XLM-R (MNLI)", "submitted_by": "ann", "architecture": "encoder", **more})


def packed(*runs: Path, gold: Path, **more: Any) -> Package:
    return leaderboard_package.pack(leaderboard_collect.from_runs(runs), given(**more), gold, lambda _: None)


def refusal(*runs: Path, gold: Path, **more: Any) -> str:
    with pytest.raises(SubmissionError) as error:
        packed(*runs, gold=gold, **more)
    return str(error.value)


def test_the_same_run_makes_the_same_bytes_and_the_same_id(run, gold, tmp_path):
    first = packed(run, gold=gold)
    again = packed(Path(shutil.copytree(run, tmp_path / "elsewhere")), gold=gold)
    assert again == first
    record = read_submission(first.files[0].source, "submission.json")
    assert record == first.submission
    assert record.id == record.expected_id == submission.id_of("XLM-R (MNLI)", record.digest)
    assert record.id.startswith("xlm-r-mnli-")
    assert packed(run, gold=gold, notes="other").submission.id != record.id


def test_the_files_are_the_predictions_and_nothing_else(run, gold):
    package = packed(run, gold=gold)
    folder = f"submissions/{package.submission.id}/"
    for file in package.files[1:]:
        path = file.path.removeprefix(folder)
        named = package.submission.files[path]
        content = gzip.decompress(file.source)
        original = run / path.replace("/seed0/", "/").removesuffix(".gz")
        assert content == original.read_bytes()
        assert (hashlib.sha256(content).hexdigest(), len(content)) == (named.content_sha256, named.content_bytes)
        assert (file.sha256, file.size) == (named.sha256, named.bytes)
        # Neither a name nor a time: bytes 3 to 8 of the head.
        assert file.source[3:8] == bytes(5)
    assert len(package.files) == 1 + sum(map(len, CELLS.values()))
    assert "/home/ann" not in package.files[0].source.decode()


def test_the_record_says_what_the_run_says(run, gold):
    record = packed(run, gold=gold, parameters=5, paper="https://arxiv.org/abs/2003.11080").submission
    results = json.loads((run / "results/xnli/de.json").read_text(encoding="utf-8"))
    assert record.scores["0"]["xnli"]["de"] == results["scores"]
    assert record.data["xnli"]["de"].data_hash == results["data_hash"]
    assert (record.model.content, record.model.repo, record.model.parameters) == (CONTENT, None, 5)
    assert (record.track.phase, record.track.training, record.track.selected_by) == ("as is", "zero-shot", "none")
    assert (record.settings["dtype"], record.versions["xharness"], record.seeds) == ("float32", "0.1.0", [0])
    assert record.track_label == "encoder, as is, zero-shot"


def test_a_checkpoint_of_the_hub_is_named_with_its_commit(gold, tmp_path):
    on_hub = {"model": "org/xlmr", "model_sha": "a" * 40, "model_hash": None}
    record = packed(make_run(tmp_path / "run", gold, {"xnli": ["de"]}, record=on_hub), gold=gold).submission
    assert (record.model.repo, record.model.revision, record.model.content) == ("org/xlmr", "a" * 40, None)
    branch = make_run(tmp_path / "other", gold, {"xnli": ["de"]}, record={**on_hub, "model_sha": "main"})
    assert 'model.revision: found "main", expected a commit' in refusal(branch, gold=gold)


def test_seeds_and_targets_tuned_apart_join_into_one(gold, tmp_path):
    runs = [make_run(tmp_path / f"xnli{k}", gold, {"xnli": ["de", "ru"]}, **tuned(k)) for k in (1, 2)]
    runs += [make_run(tmp_path / "xquad", gold, {"xquad": ["de"]}, **tuned(1))]
    runs += [make_run(tmp_path / "tatoeba", gold, {"tatoeba": ["de"]})]
    package = packed(*runs, gold=gold)
    record = package.submission
    assert record.seeds == [0, 1, 2]
    assert {seed: sorted(tasks) for seed, tasks in record.scores.items()} == {
        "0": ["tatoeba"],
        "1": ["xnli", "xquad"],
        "2": ["xnli"],
    }
    assert record.track_label == "encoder, tuned, zero-shot"
    assert record.track.selected_by == "english-dev"
    assert record.settings["of_targets"]["xnli"]["training_set"] == "mnli"
    assert any("they differ in targets and languages" in note for note in package.notes)


@pytest.mark.parametrize("order", [("sample", "complete"), ("complete", "sample")])
def test_training_on_a_sample_under_one_seed_is_not_lost(order, gold, tmp_path):
    runs = []
    for seed, status in enumerate(order):
        how = tuned(seed)
        how["score"]["tuned"]["data_status"] = [status]
        runs.append(make_run(tmp_path / str(seed), gold, {"xnli": ["de"]}, **how))
    assert packed(*runs, gold=gold).submission.cut_training("xnli") == ["sample"]


def test_what_is_partial_is_said(run, gold):
    notes = "\n".join(packed(run, gold=gold).notes)
    assert "partial in XTREME and XTREME-R: xnli: no score for" in notes
    assert "no overall score in XTREME without pawsx, udpos, mlqa, tydiqa, bucc2018" in notes
    assert "the leaderboard will note: declarations: it is not known whether it saw the test data" in notes


def test_all_reasons_are_said_at_once(gold, tmp_path):
    runs = [
        make_run(tmp_path / "dev", gold, {"xnli": ["de"]}, settings={"split": "dev"}),
        make_run(tmp_path / "cut", gold, {"xnli": ["ru"]}, settings={"limit": 2}),
        make_run(tmp_path / "own", gold, {"panx": ["de"]}, settings={"task_files": {"panx": "0" * 12}}),
        make_run(tmp_path / "sample", gold, {"xquad": ["de"]}, score={"data_status": "sample"}),
        make_run(tmp_path / "peeked", gold, {"tatoeba": ["de"]}, score={"selected_by": "test"}),
        make_run(tmp_path / "stranger", gold, {"tatoeba": ["ru"]}, record={"model_hash": "d" * 64}),
        make_run(tmp_path / "nameless", gold, {"tatoeba": ["ka"]}, record={"model_hash": None}),
        make_run(tmp_path / "twice", gold, {"tatoeba": ["de"]}),
        tmp_path / "nowhere",
    ]
    said = refusal(*runs, gold=gold)
    for words in (
        "scores are on development data",
        "limited by --limit 2",
        "panx: scored with your own task files",
        "scored on sample data: xquad/de",
        "selected on the test data that is scored: tatoeba/de",
        "are of 3 checkpoints",
        "neither the commit nor the content hash",
        "tatoeba in de with seed 0 is in two runs",
        "nowhere: the folder does not exist",
    ):
        assert words in said


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (({}, {"track": "few-shot", "shots": 10}), "differ in their track"),
        (({"selected_by": "last"}, {"selected_by": "average"}), "differ in their checkpoint selection"),
    ],
)
def test_unlike_experiments_are_no_one_submission(change, words, gold, tmp_path):
    runs = [make_run(tmp_path / str(k), gold, {"xnli": ["de"]}, **tuned(k, **more)) for k, more in enumerate(change)]
    assert words in refusal(*runs, gold=gold)


def test_of_all_that_eval_leaves_of_a_tuning_the_headline_is_taken_or_what_is_asked_for(gold, tmp_path):
    choices = ("english-dev", "last", "target-dev")
    runs = [
        make_run(tmp_path / f"{choice}{k}", gold, {"xnli": ["de"]}, **tuned(k, selected_by=choice))
        for choice in choices
        for k in (1, 2)
    ]
    runs.append(make_run(tmp_path / "as-is", gold, {"tatoeba": ["de"]}))
    found = leaderboard_collect.from_runs(runs)
    assert (found.selected_by, len(found.files)) == ("english-dev", 3)
    assert found.notes == (
        "left out: 4 runs of checkpoints selected by last, target-dev (give --selected-by to use one of these)",
    )
    assert leaderboard_collect.from_runs(runs, "last").selected_by == "last"
    with pytest.raises(UsageError, match="Available: english-dev, last, target-dev"):
        leaderboard_collect.from_runs(runs, "average")
    with pytest.raises(UsageError, match="none, because these runs are not of tuned checkpoints"):
        leaderboard_collect.from_runs(runs[-1:], "last")


def test_seeds_of_other_settings_are_no_seeds(gold, tmp_path):
    runs = [
        make_run(tmp_path / "a", gold, {"xnli": ["de"]}, seed=0),
        make_run(tmp_path / "b", gold, {"xnli": ["de"]}, seed=1, settings={"dtype": "bfloat16"}),
    ]
    assert "xnli was scored with other settings" in refusal(*runs, gold=gold)


def test_a_prediction_that_was_changed_after_scoring_is_found(run, gold, tmp_path):
    copy = Path(shutil.copytree(run, tmp_path / "run"))
    path = copy / "predictions/xnli/test-de.tsv"
    labels = path.read_text(encoding="utf-8").splitlines()
    path.write_text("\n".join(["neutral" if labels[0] != "neutral" else "entailment", *labels[1:], ""]))
    assert f"{path}: the recorded scores are of other predictions" in refusal(copy, gold=gold)


def test_a_score_that_its_predictions_do_not_give_is_found(run, gold, tmp_path):
    copy = Path(shutil.copytree(run, tmp_path / "run"))
    path = copy / "results/xnli/de.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    right = content["scores"]["accuracy"]
    content["scores"]["accuracy"] = right + 1e-9
    path.write_text(json.dumps(content), encoding="utf-8")
    said = refusal(copy, gold=gold)
    assert f"accuracy computed from the predictions is {right}, but the run recorded {right + 1e-9}" in said


def test_contexts_are_no_answers(run, gold, tmp_path):
    copy = write_predictions(tmp_path / "predictions", gold, {"xquad": ["de"]})
    path = copy / "xquad/test-de.json"
    answers = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**answers, next(iter(answers)): "x" * (LONGEST_ANSWER + 1)}), encoding="utf-8")
    with pytest.raises(SubmissionError, match="an answer has 1,001 characters"):
        leaderboard_package.pack(leaderboard_collect.from_folder(copy), given(), gold, lambda _: None)
    path.write_text(json.dumps({**answers, "context": "a text"}), encoding="utf-8")
    with pytest.raises(SubmissionError, match="1 ids are not in the gold data"):
        leaderboard_package.pack(leaderboard_collect.from_folder(copy), given(), gold, lambda _: None)


def test_a_folder_of_another_system_is_scored_here(run, gold, tmp_path):
    for seed in (0, 3):
        write_predictions(tmp_path / f"seed{seed}", gold, wrong=seed)
    (tmp_path / "seed0" / "README.md").write_text("how it was made")
    found = leaderboard_collect.from_folder(tmp_path)
    package = leaderboard_package.pack(found, given(phase="prompted", selected_by="none"), gold, lambda _: None)
    record = package.submission
    assert (record.source, record.seeds, record.track_label) == ("predictions", [0, 3], "encoder, prompted, zero-shot")
    ours = packed(run, gold=gold).submission
    assert record.scores["0"] == ours.scores["0"]
    assert any(note.startswith("left out: 1 files") for note in package.notes)


def test_strange_files_of_a_folder_are_named_together(gold, tmp_path):
    write_predictions(tmp_path, gold, {"xnli": ["de"]})
    (tmp_path / "xnli" / "test-de-1.tsv").write_text("")
    (tmp_path / "xnli" / "test-xx.tsv").write_text("")
    (tmp_path / "xnil").mkdir()
    (tmp_path / "xnil" / "test-de.tsv").write_text("")
    with pytest.raises(SubmissionError) as error:
        leaderboard_collect.from_folder(tmp_path)
    said = str(error.value)
    assert ("not the name of a prediction file" in said, "has no language 'xx'" in said) == (True, True)
    assert "there is no task named 'xnil'. Did you mean 'xnli'?" in said


def test_sample_data_is_no_gold(gold, data_folder, tmp_path):
    predictions = write_predictions(tmp_path, gold, {"xnli": ["de"]})
    with pytest.raises(SubmissionError, match="the gold data is a sample"):
        leaderboard_package.pack(leaderboard_collect.from_folder(predictions), given(), data_folder, lambda _: None)


def test_what_the_runs_say_is_not_said_otherwise(gold, tmp_path):
    run = make_run(tmp_path / "run", gold, {"xnli": ["de"]}, **tuned(1))
    with pytest.raises(UsageError, match="--training: 'native', but the runs say 'zero-shot'"):
        packed(run, gold=gold, training="native")


def test_what_the_board_would_refuse_is_refused_before_it_is_sent(gold, tmp_path):
    run = make_run(tmp_path / "run", gold, {"xnli": ["de"]}, **tuned(1))
    assert "declarations.translated_data is true" in refusal(run, gold=gold, translated_data=True)
    translated = make_run(tmp_path / "translated", gold, {"xnli": ["de"]}, **tuned(1, track="translate-train"))
    assert packed(translated, gold=gold).submission.declarations.translated_data


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("name", "a\u202eb", "name: only printable characters"),
        ("name", "x" * 81, "expected String should have at most 80 characters"),
        ("notes", "a\nb", "declarations.notes: only printable characters"),
        ("paper", "http://a.org", "model.paper: found"),
        ("url", "https://a.org/<script>", "model.url: found"),
        ("submitted_by", "../ann", "submitted_by: found"),
        ("supersedes", "nothing", "supersedes: found"),
    ],
)
def test_what_is_given_has_to_be_fit_to_be_shown(field, value, words, run, gold):
    assert words in refusal(run, gold=gold, **{field: value})


def _record(run: Path, gold: Path) -> dict[str, Any]:
    return dict(packed(run, gold=gold).submission.model_dump())


def test_a_record_whose_parts_are_of_other_cells_is_none(run, gold):
    good = _record(run, gold)
    path = "predictions/seed0/xnli/test-de.tsv.gz"

    def problem(**change: Any) -> str:
        with pytest.raises(SubmissionError) as error:
            read_submission(json.dumps({**good, **change}).encode(), "submission.json")
        return str(error.value)

    fewer = {name: file for name, file in good["files"].items() if name != path}
    assert "seed 0, xnli in 'de' has a score but no file" in problem(files=fewer)
    assert "1 paths are not of the form predictions/seed<k>" in problem(
        files={**fewer, f"../{path}": good["files"][path]}
    )
    assert "seeds" in problem(seeds=[0, 0])
    assert "their seeds must be exactly those" in problem(seeds=[1])
    assert "it must have the gold data" in problem(data={})
    assert "schema_version: found True" in problem(schema_version=True)
    assert "settings: a text has unprintable characters" in problem(settings={"a": {"b\x00": 1}})
    assert "bytes" in problem(files={**fewer, path: {**good["files"][path], "bytes": 1 << 40}})


def test_the_limits_are_as_the_documentation_says():
    text = (ROOT / "docs" / "leaderboard.md").read_text(encoding="utf-8")
    said = " ".join(text.partition("### Limits")[2].partition("\n## ")[0].split())
    assert (
        f"{fields.MOST_SEEDS} seeds, {fields.MOST_FILES:,} prediction files, {fields.LARGEST_FILE >> 20} MiB a file "
        f"({fields.LARGEST_CONTENT >> 20} MiB unpacked) and {fields.LARGEST_PACKAGE >> 20} MiB together "
        f"({fields.LARGEST_UNPACKED >> 30} GiB unpacked); {fields.LARGEST_RECORD >> 20} MiB for `submission.json`; "
        f"names of {fields.LONGEST_NAME} characters, notes of {fields.LONGEST_NOTE}."
    ) in said


def test_the_digest_is_of_what_is_said_and_not_of_how(run, gold):
    good = _record(run, gold)
    turned = json.dumps(dict(reversed(good.items())), indent=3).encode()
    assert read_submission(turned, "x").digest == Submission.model_validate(good).digest
    assert submission.digest_of(good) == submission.digest_of({**good, "id": "other-000000000000"})
