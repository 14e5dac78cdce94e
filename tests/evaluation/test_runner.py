"""Evaluation of tiny checkpoints on synthetic data: every target end to end, runs kept apart."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

from helpers.data_folder import (
    fixture_rows,
    fixture_tasks,
)
from helpers.runs import contents
from xharness import assets
from xharness.errors import DataError, NothingToDo, UsageError
from xharness.evaluation import evaluator, run_folder
from xharness.evaluation.prepare import Options, prepare
from xharness.evaluation.retrieval import embeddings
from xharness.results import score as results_score
from xharness.results import scoring
from xharness.tasks.registry import load_task

XNLI = ("neutral", "contradiction", "entailment")


# --- End to end -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("task", fixture_tasks())
def test_every_target_end_to_end(task, model, evaluate, data_folder):
    found = evaluate(model(task), task)
    spec, languages = load_task(task), fixture_tasks()[task]
    run = Path(found.provenance["run"])
    assert found.provenance["failures"] == []
    assert set(found.tasks[task].languages) == set(languages)
    assert not found.tasks[task].complete
    for language in languages:
        score = results_score.load(run / "results" / task / f"{language}.json")
        assert score == found.tasks[task].languages[language]
        assert score.n == len(fixture_rows(task, language))
        assert score.tokens > score.n
        assert (score.dtype, score.data_status, score.selected_by) == ("float32", "sample", "none")
        assert (score.layer, score.pooling) == ((2, "mean") if spec.kind == "retrieval" else (None, None))
        assert score.model_hash == json.loads((run / "run.json").read_text())["model_hash"]
    # The same numbers come out without the model.
    again = scoring.score(run, data_dir=data_folder)
    for language in languages:
        one, other = found.tasks[task].languages[language], again.tasks[task].languages[language]
        assert (one.scores, one.predictions_sha256) == (other.scores, other.predictions_sha256)
    assert again.tasks[task].mean == found.tasks[task].mean


def test_predictions_are_those_of_the_bare_model(model, evaluate):
    path = model("xnli", seed=3)
    found = evaluate(path, "xnli", languages=["en", "ru"])
    tokenizer = transformers.AutoTokenizer.from_pretrained(path)
    bare = transformers.AutoModelForSequenceClassification.from_pretrained(path).eval()
    said = set()
    for language in ("en", "ru"):
        expected = []
        for row in fixture_rows("xnli", language):
            with torch.no_grad():
                logits = bare(**tokenizer(row["text_a"], row["text_b"], return_tensors="pt")).logits[0]
            expected.append(bare.config.id2label[int(logits.argmax())])
        made = Path(found.provenance["run"]) / "predictions" / "xnli" / f"test-{language}.tsv"
        assert made.read_text().split() == expected
        said |= set(expected)
    assert len(said) > 1


def test_neighbours_are_those_of_the_bare_model(model, evaluate):
    path = model("tatoeba")
    found = evaluate(path, "tatoeba", languages=["ru"], layer=1)
    tokenizer = transformers.AutoTokenizer.from_pretrained(path)
    bare = transformers.AutoModel.from_pretrained(path).eval()

    def vector(text: str) -> torch.Tensor:
        with torch.no_grad():
            hidden = bare(**tokenizer(text, return_tensors="pt"), output_hidden_states=True).hidden_states[1]
        return hidden[0].mean(0)

    rows = fixture_rows("tatoeba", "ru")
    foreign = torch.stack([vector(r["text"]) for r in rows])
    english = sorted(rows, key=lambda r: r["english"])
    nearest = [int(torch.cosine_similarity(vector(r["english"])[None], foreign).argmax()) for r in english]
    made = Path(found.provenance["run"]) / "predictions" / "tatoeba" / "test-ru.tsv"
    assert made.read_text() == "".join(f"{index}\n" for index in nearest)
    assert found.tasks["tatoeba"].languages["ru"].layer == 1


@pytest.mark.parametrize("task", ["panx", "mlqa", "tatoeba"])
def test_chunks_make_no_difference(task, model, evaluate, monkeypatch, tmp_path):
    whole = evaluate(model(task), task)
    monkeypatch.setattr(evaluator, "CHUNK", 2)
    monkeypatch.setattr(embeddings, "CHUNK", 2)
    pieces = evaluate(model(task), task, output=tmp_path / "pieces")
    made = [sorted(Path(f.provenance["run"]).glob("predictions/*/*")) for f in (whole, pieces)]
    assert [p.read_bytes() for p in made[0]] == [p.read_bytes() for p in made[1]]
    assert len(made[0]) == 3


@pytest.mark.parametrize(("layer", "used"), [(None, 2), ("last", 2), (0, 0), (1, 1), (-1, 2), (-3, 0)])
def test_layers(layer, used, model, evaluate):
    found = evaluate(model("tatoeba"), "tatoeba", languages=["de"], layer=layer)
    assert found.tasks["tatoeba"].languages["de"].layer == used


@pytest.mark.parametrize("layer", [3, -4])
def test_a_layer_that_is_not_there(layer, model, evaluate):
    with pytest.raises(UsageError, match=rf"Layer {layer} does not exist: .* 0 \(embeddings\) to 2, or -3 to -1"):
        evaluate(model("tatoeba"), "tatoeba", languages=["de"], layer=layer)


@pytest.mark.parametrize(("layers", "used"), [(12, 8), (24, 14), (3, 3)])
def test_the_layer_depends_on_the_depth(layers, used, model, evaluate):
    found = evaluate(model("tatoeba", layers=layers), "tatoeba", languages=["de"])
    assert found.tasks["tatoeba"].languages["de"].layer == used


def test_an_encoder_with_few_positions(model, evaluate):
    path = model("xquad", max_position_embeddings=34)
    found = evaluate(path, "xquad,tatoeba", languages=["de", "hi"])
    for task in ("xquad", "tatoeba"):
        assert found.tasks[task].languages["de"].counts["max_length"] == 32
    assert found.provenance["failures"] == []


def test_what_is_not_there_is_left_out_and_the_rest_runs(model, evaluate):
    found = evaluate(model("xquad"), "xquad,xnli,tatoeba", languages=["de", "sw", "hi"])
    assert {name: list(t.languages) for name, t in found.tasks.items()} == {"xquad": ["de", "hi"], "tatoeba": ["de"]}
    with pytest.raises(NothingToDo, match=r"xnli: needs English target training: its head is for span qa"):
        evaluate(model("xquad"), "xnli")


def test_a_language_that_fails_does_not_stop_the_others(model, data_folder, evaluate, tmp_path):
    folder = shutil.copytree(data_folder, tmp_path / "damaged")
    table = next((folder / "facebook/xnli/de").glob("test*"))
    table.write_bytes(table.read_bytes()[:200])
    said: list[str] = []
    found = evaluate(model("xnli"), "xnli", data_dir=folder, say=said.append)
    assert list(found.tasks["xnli"].languages) == ["en", "ru"]
    [failure] = found.provenance["failures"]
    assert failure.startswith("xnli: facebook/xnli (de, test) cannot be read")
    assert said == [f"xnli de: {failure}"]
    with pytest.raises(DataError, match="cannot be read"):
        evaluate(model("xnli"), "xnli", languages=["de"], data_dir=folder, output=tmp_path / "other")


# --- Runs are kept apart --------------------------------------------------------------------------------------------


def test_nothing_overwrites_another_run(model, data_folder, tmp_path):
    variants: list[dict[str, Any]] = [
        {},
        {"dtype": "float16"},
        {"layer": 1},
        {"layer": 2},
        {"pooling": "cls"},
        {"prefix": "query: "},
        {"split": "dev"},
        {"limit": 3},
        {"limit": 4},
        {"seed": 1},
        {"label_map": {"entailment": "neutral"}},
    ]
    folders = set()
    for seed in (0, 1):
        path = shutil.copytree(model("xnli", seed=seed), tmp_path / str(seed) / "same-name")
        for variant in variants:
            options = Options(**variant)
            prepared = prepare(str(path), targets=["xnli"], data_dir=data_folder, options=options)
            folders.add(run_folder.run_folder(prepared, tmp_path / "out", variant.get("dtype", "float32"), print))
    assert len(folders) == 2 * len(variants)
    assert {f.parts[len(tmp_path.parts) + 1] for f in folders} == {"same-name"}


def test_two_layers_lie_side_by_side(model, evaluate):
    runs = [Path(evaluate(model("tatoeba"), "tatoeba", layer=n).provenance["run"]) for n in (0, 1)]
    before = contents(runs[0])
    assert len(before) == 6
    assert contents(runs[1]) != before
    evaluate(model("tatoeba"), "tatoeba", layer=1, languages=["de"])
    assert contents(runs[0]) == before


def test_completeness_and_limit(toy, model, evaluate):
    path, folder = toy
    options = {"data_dir": folder, "languages": None}
    whole = evaluate(model("xnli"), str(path), **options).tasks["toy"]
    assert (whole.complete, whole.why, whole.missing) == (True, "", ())
    assert all(s.complete and s.data_status == "complete" for s in whole.languages.values())
    assert whole.gap is not None
    limited = evaluate(model("xnli"), str(path), **options, limit=3).tasks["toy"]
    assert (limited.complete, limited.why) == (False, "cut by --limit")
    assert [s.n for s in limited.languages.values()] == [3, 3, 3]
    dev = evaluate(model("xnli"), str(path), **options, split="dev").tasks["toy"]
    assert (dev.complete, dev.why) == (False, "not the test split")
    part = evaluate(model("xnli"), str(path), data_dir=folder, languages=["en", "de"]).tasks["toy"]
    assert (part.complete, part.why) == (False, "no score for ru")


# --- Trouble in the middle of a cell --------------------------------------------------------------------------------


def test_label_map_decides_what_the_outputs_mean(tiny_checkpoint, evaluate):
    path = tiny_checkpoint("classification", num_labels=3)
    rows = {}
    for names in (XNLI, XNLI[::-1]):
        mapping = {name: f"LABEL_{i}" for i, name in enumerate(names)}
        run = Path(evaluate(path, "xnli", languages=["de"], label_map=mapping).provenance["run"])
        rows[names] = (run / "predictions/xnli/test-de.tsv").read_text().split()
    swapped = dict(zip(XNLI, XNLI[::-1], strict=True))
    assert [swapped[name] for name in rows[XNLI]] == rows[XNLI[::-1]]


def test_a_named_language_that_nothing_has_is_a_failure(model, evaluate):
    found = evaluate(model("xnli"), "xnli", languages=["de", "sw"])
    assert list(found.tasks["xnli"].languages) == ["de"]
    [failure] = found.provenance["failures"]
    assert "'sw' is not in" in failure


def test_two_targets_of_one_name_are_refused(model, evaluate, tmp_path):
    copy = tmp_path / "xnli.yaml"
    copy.write_text((assets.TASKS / "targets" / "xnli.yaml").read_text(encoding="utf-8"), encoding="utf-8")
    with pytest.raises(UsageError, match="Two targets are named 'xnli'"):
        evaluate(model("xnli"), f"xnli,{copy}")


def test_score_says_what_changed_since_the_run(model, evaluate, data_folder):
    found = evaluate(model("xnli"), "xnli", languages=["de"])
    run = Path(found.provenance["run"])
    assert scoring.score(run, data_dir=data_folder).tasks["xnli"].languages["de"].notes == ()
    file = run / "predictions/xnli/test-de.tsv"
    file.write_text(file.read_text().replace(file.read_text().split("\n")[0], "Neutral", 1))
    [note] = scoring.score(run, data_dir=data_folder).tasks["xnli"].languages["de"].notes
    assert note == "scored with other predictions than the run recorded"
    counts = scoring.score(run, data_dir=data_folder).tasks["xnli"].languages["de"].counts
    assert counts["unknown_labels"] == 1
