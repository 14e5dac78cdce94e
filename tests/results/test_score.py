"""Result files and run.json that were edited, cut or made by something else: named, with the field."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from helpers.scores import score, write_run
from xharness.errors import DataError, PredictionError, UsageError, XharnessError
from xharness.results import export_lm_eval, runs
from xharness.results import score as results_score
from xharness.results.runs import run_record

MINED = {
    "selection": {"threshold": 1.0625, "threshold_from": "de dev", "dev_f1": 88.1, "dev_n": 5, "dev_expected_n": None},
    "candidates": {"n": 399, "expected_n": None, "hash": "a", "missing": ["x"]},
    "encoding": {"layer": 14, "layers": 24, "pooling": "mean", "special_tokens": True, "prefix": ""},
    "notes": ("a sentence", "another, in 中文"),
    "versions": {"torch": "2.6"},
    "seconds": 3,
    "settings": {"limit": None},
}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "de.json"
    results_score.save(score("bucc2018", "de", **MINED), path)
    return path


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return write_run(tmp_path / "run", [score("xnli", language) for language in ("de", "en")])


def change(path: Path, **changes: Any) -> None:
    content = {**json.loads(path.read_text()), **changes}
    path.write_text(json.dumps({k: v for k, v in content.items() if v is not ...}))


def test_a_well_formed_file_is_read_as_it_was_written(file):
    assert results_score.load(file) == score("bucc2018", "de", **MINED)


def test_files_from_before_there_was_tuning_are_read(file):
    change(file, phase=..., track=..., tuned=...)
    found = results_score.load(file)
    assert (found.phase, found.track, found.tuned) == ("as is", None, {})


def test_a_score_that_was_chosen_on_what_it_scores_is_never_whole():
    assert score("xnli", "de").complete
    assert not score("xnli", "de", selected_by="test").complete


@pytest.mark.parametrize(
    ("tune", "words"),
    [
        ([], r"settings.tune is \[\], expected an object"),
        ({"track": "zero"}, 'settings.tune.track is "zero"'),
        ({"shots": 0}, "settings.tune.shots is 0"),
        ({"languages": "en"}, "settings.tune.languages is"),
    ],
)
def test_a_run_record_whose_tuning_is_wrong(tune, words, run):
    settings = json.loads((run / "run.json").read_text())["settings"]
    change(run / "run.json", settings={**settings, "tune": tune})
    with pytest.raises(PredictionError, match=words):
        runs.read_run(run)


def test_every_field_has_a_rule():
    assert list(results_score._FIELDS) == [f.name for f in results_score.fields(results_score.Score)]


DEEP: Any = []
for _ in range(50):
    DEEP = [DEEP]


@pytest.mark.parametrize("field", [name for name in results_score._FIELDS if name != "schema_version"])
@pytest.mark.parametrize("value", [True, {"a": DEEP}, [[]], float("nan"), -(10**400)], ids=str)
def test_what_no_field_can_hold_is_named_with_the_field(field, value, file):
    change(file, **{field: value})
    with pytest.raises(DataError, match=rf"de\.json: not a result file of xharness: {field} is .*, expected .* again"):
        results_score.load(file)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"scores": {"f1": float("inf")}}, "scores is .*, expected an object of finite numbers"),
        ({"scores": {}}, "scores is {}"),
        ({"counts": {"ties": 1.5}}, "counts is .*, expected an object of whole numbers"),
        ({"language": "deutsch"}, 'language is "deutsch", expected a code of two or three letters'),
        ({"language": "../x"}, "language is"),
        ({"split": "train"}, 'split is "train", expected "test" or "dev"'),
        ({"n": -1}, "n is -1, expected a whole number from 0"),
        ({"n": ...}, "it has no field 'n'"),
        ({"notes": "a sentence"}, 'notes is "a sentence", expected a list of texts'),
        ({"notes": ["\ud800"]}, "notes is"),
        ({"candidates": {"hash": "a"}}, "candidates has no field 'n'"),
        ({"candidates": {"n": None}}, "candidates.n is null, expected a whole number"),
        ({"candidates": {"n": 1, "expected_n": "1"}}, 'candidates.expected_n is "1", expected .* or null'),
        ({"candidates": {"n": 1, "hash": []}}, "candidates.hash is"),
        ({"selection": {"threshold": "1"}}, 'selection.threshold is "1", expected a finite number'),
        ({"selection": {"threshold": 1, "threshold_from": 3}}, "selection.threshold_from is 3, expected text"),
        ({"settings": {"limit": 0}}, "settings.limit is 0, expected a whole number from 1 or null"),
        ({"encoding": {"a": [float("nan")]}}, "encoding is"),
        ({"phase": "trained"}, 'phase is "trained", expected "as is" or "tuned"'),
        ({"track": "zeroshot"}, 'track is "zeroshot", expected "zero-shot" or "translate-train" or .* or null'),
        ({"phase": "tuned", "track": "native"}, "tuned has no field 'id'"),
        ({"phase": "tuned", "tuned": {"id": "a", "training_set": "b", "seed": 1}}, "track is null, expected .*zero-sh"),
        ({"tuned": {"seed": "1"}}, 'tuned.seed is "1", expected a whole number'),
        ({"tuned": {"languages": "en"}}, 'tuned.languages is "en", expected a list of texts'),
        ({"tuned": {"status": "fine"}}, 'tuned.status is "fine"'),
        ({"settings": {"tune": []}}, r"settings.tune is \[\], expected an object"),
    ],
)
def test_a_wrong_field_is_said_with_what_was_expected(changes, words, file):
    change(file, **changes)
    with pytest.raises(DataError, match=words):
        results_score.load(file)


@pytest.mark.parametrize("text", ["[]", "null", "{}", "[" * 100_000, '{"schema_version": 1}', '{"schema_version": []}'])
def test_what_is_no_result_file_at_all(text, file):
    file.write_text(text)
    with pytest.raises(DataError, match=r"de\.json: "):
        results_score.load(file)


# run.json


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"settings": None}, "settings is null, expected an object"),
        ({"settings": {"limit": "5"}}, 'settings.limit is "5", expected a whole number from 1 or null'),
        ({"settings": {"limit": 0}}, "settings.limit is 0"),
        ({"settings": {"split": ["test"]}}, r'settings.split is \["test"\], expected "test" or "dev"'),
        ({"settings": {"dtype": None}}, "settings.dtype is null, expected text"),
        ({"targets": []}, r"targets is \[\], expected an object of texts"),
        ({"targets": {"xnli": 1}}, "targets is"),
        ({"model": 3}, "model is 3, expected text or null"),
        ({"model_sha": []}, "model_sha is"),
        ({"seed": "0"}, "seed is"),
        ({"schema_version": 2}, "schema_version is 2, this version reads 1"),
        ({"schema_version": ...}, "schema_version is null"),
    ],
)
def test_a_run_record_that_was_edited(changes, words, run):
    change(run / "run.json", **changes)
    with pytest.raises(PredictionError, match=rf"run\.json: {words}"):
        run_record(run)


@pytest.mark.parametrize("text", ["[]", "[" * 100_000, "nul"])
def test_a_run_record_that_is_no_object(text, run):
    (run / "run.json").write_text(text)
    with pytest.raises(PredictionError, match=r"run\.json: "):
        run_record(run)


def test_a_folder_without_a_run_record(tmp_path):
    assert run_record(tmp_path) == {}


@pytest.mark.parametrize(
    ("settings", "words"), [(..., "no field 'settings'"), ({"split": "test"}, "no field 'settings.dtype'")]
)
def test_a_run_record_that_lacks_settings(settings, words, run):
    change(run / "run.json", settings=settings)
    assert run_record(run)["model"] == "org/tiny"
    with pytest.raises(PredictionError, match=rf"run\.json: it has {words}"):
        runs.read_run(run)


# A RUN as a whole


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"language": "dd"}, r"de\.json: xnli has no language 'dd'. Did you mean 'de'\?"),
        ({"language": "en"}, r"en\.json: a second score of xnli in en; the first is .*de\.json"),
        ({"scores": {"f1": 1.0}}, r"de\.json: scores has no 'accuracy', found f1"),
    ],
)
@pytest.mark.parametrize("read", [runs.load_run, lambda folder: export_lm_eval.results_of(runs.read_run(folder))])
def test_a_score_that_its_target_cannot_have(read, changes, words, run):
    change(run / "results" / "xnli" / "de.json", **changes)
    with pytest.raises(DataError, match=words):
        read(run)


def test_a_further_number_that_one_language_lacks(run):
    change(run / "results" / "xnli" / "de.json", scores={"accuracy": 1.0, "further": 2.0})
    assert set(runs.load_run(run).tasks["xnli"].mean) == {"accuracy", "score"}


def test_a_benchmark_that_has_none_of_the_languages(tmp_path):
    folder = write_run(tmp_path, [score("xquad", "ro")])
    assert runs.load_run(folder).tasks["xquad"].mean
    for read in (runs.load_run, lambda path, name: export_lm_eval.write(path, tmp_path / "made.json", name)):
        with pytest.raises(UsageError, match="xquad was scored in ro only, and xtreme has none of these languages"):
            read(folder, "xtreme")
        with pytest.raises(XharnessError, match="no benchmark named 'xtrem'"):
            read(folder, "xtrem")


@pytest.mark.parametrize("value", [150, -3.5, 1e99])
def test_a_share_that_is_none_has_no_standard_error(value, run):
    change(run / "results" / "xnli" / "de.json", scores={"accuracy": value})
    export_lm_eval.write(run, run / "made.json")
    cell = json.loads((run / "made.json").read_text())["results"]["xharness_xnli_de"]
    assert cell["acc_stderr,none"] == "N/A"


def test_all_that_is_read_can_be_written_again(file):
    results_score.save(results_score.load(file), file)
    assert asdict(results_score.load(file))["notes"] == MINED["notes"]
