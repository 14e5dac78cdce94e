"""Every layer of an encoder: one pass for all, each as if asked for alone; and a layer chosen on other data."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from helpers import raw_data
from helpers.oracle import use_oracle
from xharness import assets
from xharness.data import candidates
from xharness.data import loading as data_loading
from xharness.errors import DataError, ModelError, NothingToDo, OutputError
from xharness.evaluation import layer_curves
from xharness.evaluation import layers as evaluation_layers
from xharness.evaluation import runner as evaluation_runner
from xharness.evaluation.prepare import Options, prepare
from xharness.models import inference
from xharness.results.aggregate import Results

PAIRS = [("eins", "one"), ("zwei", "two"), ("drei", "three"), ("vier", "four")]
DEPTH = 4


@pytest.fixture(autouse=True)
def fresh(monkeypatch):
    monkeypatch.setattr(candidates, "_POOLS", {})


@pytest.fixture
def raw(tmp_path):
    folder = tmp_path / "data" / "raw"
    folder.mkdir(parents=True)
    return folder


@pytest.fixture
def model(tiny_checkpoint) -> Path:
    return tiny_checkpoint("encoder", layers=DEPTH)


@pytest.fixture
def curves(model, raw, tmp_path) -> Callable[..., evaluation_layers.Curves]:
    def run(
        targets: str, languages: list[str] | None = None, say: Any = None, **options: Any
    ) -> evaluation_layers.Curves:
        chosen = Options(**{"layer": "all", "dtype": "float32", **options})
        prepared = prepare(
            str(model), targets=targets.split(","), languages=languages, data_dir=raw.parent, options=chosen
        )
        return evaluation_layers.run(prepared, tmp_path / "out", say=say, progress=False)

    return run


@pytest.fixture
def evaluate(model, raw, tmp_path) -> Callable[..., Results]:
    def run(targets: str, **options: Any) -> Results:
        named = {"data_dir": raw.parent, "output": tmp_path / "out", "dtype": "float32", **options}
        return evaluation_runner.evaluate(str(model), targets=targets, **named)

    return run


def right_from(numbers: dict[str, int]) -> Callable[[str, int], list[float]]:
    """Return vectors by which a pair is found from a layer on: the layer of each word, English ones by their place."""
    place = {word: number for number, pair in enumerate(PAIRS) for word in pair}

    def vector(text: str, layer: int) -> list[float]:
        found = [0.1] * 8
        word = text.rstrip(".")
        wrong = word in numbers and layer < numbers[word]
        found[7 if wrong else place[word]] = 1.0
        return found

    return vector


def written(folder: Path) -> dict[str, Any]:
    """Return predictions and results without the time that they took."""
    found: dict[str, Any] = {str(p.relative_to(folder)): p.read_bytes() for p in folder.glob("predictions/*/*")}
    for path in folder.glob("results/*/*"):
        found[str(path.relative_to(folder))] = {**json.loads(path.read_text()), "seconds": None}
    return found


# --- The curve ------------------------------------------------------------------------------------------------------


def test_each_layer_is_as_if_asked_for_alone(curves, model, raw, tmp_path, monkeypatch):
    chance = raw_data.random.Random(1)
    made = [(raw_data.sentence(chance, raw_data.GERMAN), raw_data.sentence(chance, raw_data.WORDS)) for _ in range(9)]
    raw_data.write_tatoeba(raw, "deu", made)
    raw_data.write_tatoeba(raw, "rus", made[::-1])
    raw_data.write_bucc(raw, size=20, gold=5)
    raw_data.write_lareqa(raw, ["de", "en"])
    rows: list[int] = []
    forward = inference.forward
    monkeypatch.setattr(inference, "forward", lambda *a, **k: (rows.append(len(a[2].rows)), forward(*a, **k))[1])
    targets, options = "tatoeba,bucc2018,lareqa", {"pooling": "mean", "languages": ["de", "en", "ru"]}
    found = curves(targets, **options)
    # Every text once: two languages of Tatoeba, test and dev of BUCC (of 22 lines 21 differ), questions and sentences.
    bucc = [len(set(lines)) for lines in bucc_texts(raw)]
    assert sorted(rows) == sorted([9, 9, 9, 9, *bucc, 6, 6, 18])
    assert sorted(found.runs) == list(range(DEPTH + 1))
    alone = {
        layer: evaluation_runner.evaluate(
            str(model),
            targets=targets,
            data_dir=raw.parent,
            output=tmp_path / "alone",
            dtype="float32",
            layer=layer,
            **options,
        )
        for layer in found.runs
    }
    different = set()
    for layer, run in found.runs.items():
        other = Path(alone[layer].provenance["run"])
        assert run.relative_to(tmp_path / "out") == other.relative_to(tmp_path / "alone")
        assert written(run) == written(other)
        assert len(written(run)) == 10
        assert (run / "run.json").read_bytes() == (other / "run.json").read_bytes()
        assert not (run / "vectors").exists()
        different.add((run / "predictions/tatoeba/test-de.tsv").read_bytes())
        for curve in found.curves:
            assert curve.layers[layer].mean == alone[layer].tasks[curve.task].mean
    assert len(different) > 1
    assert not [path for path in found.folder.rglob("*") if path.is_file()]
    rows.clear()
    again = curves(targets, **options)
    assert rows == []
    assert again.to_json() == found.to_json()


def bucc_texts(raw: Path) -> list[list[str]]:
    files = (raw / f"bucc2018/de-en/de-en.{split}.{side}" for split in ("training", "sample") for side in ("de", "en"))
    return [[line.split("\t")[1] for line in path.read_text(encoding="utf-8").splitlines()] for path in files]


def test_the_table_and_the_files(curves, raw, monkeypatch):
    raw_data.write_tatoeba(raw, "deu", PAIRS)
    raw_data.write_tatoeba(raw, "bel", PAIRS[:2])
    use_oracle(monkeypatch, right_from({"zwei": 1, "drei": 1, "vier": 3}))
    found = curves("tatoeba,tatoeba-dev")
    lines = layer_curves.table(found).splitlines()
    assert lines[:7] == [
        "  layer    tatoeba    tatoeba-dev",
        "-------  ---------  -------------",
        "      0       25.0           50.0",
        "      1       75.0          100.0",
        "      2       75.0          100.0",
        "      3      100.0          100.0",
        "      4     100.0*         100.0*",
    ]
    assert lines[8] == "Layer 0 is the embeddings. * marks the layer of the target's spec for an encoder of this depth."
    assert lines[9].startswith("tatoeba is partial: no score for ar he vi")
    assert "do not report the best of them. --layer dev chooses a layer on development data" in lines[-1]
    made = layer_curves.save(found)
    assert [path.name for path in made] == ["curve.json", "curve.svg", "curve.png"]
    assert {path.parent for path in made} == {found.folder}
    content = json.loads(made[0].read_text(encoding="utf-8"))
    assert content == json.loads(json.dumps(found.to_json()))
    assert [content["tasks"]["tatoeba"]["layers"][str(n)]["score"] for n in range(5)] == [25, 75, 75, 100, 100]
    assert (content["tasks"]["tatoeba"]["spec_layer"], content["failures"]) == (4, [])
    assert {int(layer): Path(run) for layer, run in content["runs"].items()} == found.runs
    assert made[1].read_text(encoding="utf-8").rstrip().endswith("</svg>")
    assert made[2].read_bytes().startswith(b"\x89PNG")
    assert sorted(path.name for path in found.folder.iterdir() if path.is_file()) == sorted(p.name for p in made)


def test_a_model_with_signs_of_formulas_in_its_name_is_drawn(curves, raw, monkeypatch, tmp_path):
    raw_data.write_tatoeba(raw, "deu", PAIRS)
    use_oracle(monkeypatch, right_from({}))
    found = curves("tatoeba")
    found.facts["model"] = r"$\odd{$"
    assert len(layer_curves.save(found)) == 3
    assert "dev split" not in layer_curves.table(found)


def test_without_matplotlib_there_are_numbers(curves, raw, monkeypatch):
    raw_data.write_tatoeba(raw, "deu", PAIRS)
    use_oracle(monkeypatch, right_from({}))
    found = curves("tatoeba")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert [path.name for path in layer_curves.save(found)] == ["curve.json"]


def test_a_picture_that_cannot_be_written(curves, raw, monkeypatch):
    raw_data.write_tatoeba(raw, "deu", PAIRS)
    use_oracle(monkeypatch, right_from({}))
    found = curves("tatoeba")
    (found.folder / "curve.svg").mkdir(parents=True)
    with pytest.raises(OutputError, match=r"curve\.svg: cannot be written"):
        layer_curves.save(found)
    assert (found.folder / "curve.json").is_file()


def test_seeds_have_curves_of_their_own(curves, raw, monkeypatch):
    raw_data.write_tatoeba(raw, "deu", PAIRS)
    use_oracle(monkeypatch, right_from({}))
    folders = [curves("tatoeba", seed=seed).folder for seed in (0, 1)]
    assert [folder.name for folder in folders] == ["seed0", "seed1"]
    assert folders[0].parent == folders[1].parent


def test_what_has_no_layers_is_left_out_with_a_sentence(curves, raw, monkeypatch):
    raw_data.write_tatoeba(raw, "deu", PAIRS)
    raw_data.write_lareqa(raw, ["de"])
    use_oracle(monkeypatch, right_from({}))
    said: list[str] = []
    found = curves("tatoeba,lareqa,xnli", say=said.append)
    assert [curve.task for curve in found.curves] == ["tatoeba"]
    assert said[0].startswith("lareqa is not in the curve: it compares the pooler's output, which has no layers")
    assert said[1].startswith("xnli is not in the curve: ")
    with pytest.raises(NothingToDo, match=r"(?s)--layer all needs a target .*lareqa: it compares the pooler's output"):
        curves("lareqa")
    with pytest.raises(NothingToDo, match=r"(?s)--layer all needs .*bucc2018: bucc2018: 'de' is not in"):
        curves("bucc2018")


def test_a_language_that_fails_is_in_no_layer(curves, raw, monkeypatch):
    raw_data.write_tatoeba(raw, "deu", PAIRS)
    raw_data.write_tatoeba(raw, "rus", PAIRS)
    use_oracle(monkeypatch, right_from({}))
    cell = evaluation_layers.Evaluator.evaluate

    def fail(desk: Any, step: Any, language: str, bar: Any) -> Any:
        if language == "de" and desk._options.layer == 2:
            raise ModelError("no direction")
        return cell(desk, step, language, bar)

    monkeypatch.setattr(evaluation_layers.Evaluator, "evaluate", fail)
    said: list[str] = []
    found = curves("tatoeba", say=said.append)
    assert {tuple(result.languages) for result in found.curves[0].layers.values()} == {("ru",)}
    assert (found.failures, said) == (["no direction"], ["tatoeba de: no direction"])
    with pytest.raises(ModelError, match="no direction"):
        curves("tatoeba", languages=["de"])


def test_a_named_language_without_data_is_a_failure(curves, raw, monkeypatch):
    raw_data.write_tatoeba(raw, "deu", PAIRS)
    use_oracle(monkeypatch, right_from({}))
    [failure] = curves("tatoeba", languages=["de", "sw"]).failures
    assert "tatoeba: 'sw' is not in" in failure
    assert curves("tatoeba").failures == []


def test_out_of_memory_does_not_repeat_the_pass_for_each_layer(curves, raw, monkeypatch):
    raw_data.write_tatoeba(raw, "deu", PAIRS)
    asked = use_oracle(monkeypatch, right_from({}))
    forward = inference.forward

    def small(encoder: Any, kind: Any, features: Any, context: Any, budget: int, *rest: Any) -> Any:
        if budget > 2048:
            raise torch.OutOfMemoryError
        return forward(encoder, kind, features, context, budget, *rest)

    monkeypatch.setattr(inference, "forward", small)
    assert len(curves("tatoeba").curves[0].layers) == DEPTH + 1
    assert asked.passes == [(4, (0, 1, 2, 3, 4), "float32", 512)] * 2


def test_the_command(runner, model, raw, tmp_path, monkeypatch):
    raw_data.write_tatoeba(raw, "deu", PAIRS)
    use_oracle(monkeypatch, right_from({"vier": 2}))
    command = ["eval", "--model", model, "--targets", "tatoeba", "--layer", "all", "--data-dir", raw.parent]
    done = runner(*command, "--output", tmp_path / "out")
    assert (done.exit_code, done.out.splitlines()[2].split()) == (0, ["0", "75.0"])
    assert "curve.png" in done.err
    done = runner(*command, "--output", tmp_path / "out", "--json")
    assert json.loads(done.out)["tasks"]["tatoeba"]["layers"]["2"]["score"] == 100


# --- A layer chosen on other data -----------------------------------------------------------------------------------


@pytest.fixture
def loads(monkeypatch):
    """Return (task, language, split) of each call of data.load."""
    load, calls = data_loading.load, []
    monkeypatch.setattr(
        data_loading, "load", lambda s, c, split, *a: (calls.append((s.name, c, split)), load(s, c, split, *a))[1]
    )
    return calls


def test_the_best_layer_is_chosen_on_other_languages(evaluate, raw, monkeypatch, loads):
    raw_data.write_tatoeba(raw, "deu", PAIRS)
    raw_data.write_tatoeba(raw, "cat", [(f"{text}.", f"{english}.") for text, english in PAIRS])
    raw_data.write_tatoeba(raw, "bel", [(f"{text}.", f"{english}.") for text, english in PAIRS[:2]])
    # On the development data layers 1 and 2 are equally good, and better than all others; on the test data layer 3.
    good = {0: right_from({"zwei": 9}), 1: right_from({}), 2: right_from({})}
    test = right_from({"drei": 3, "vier": 3})

    def vector(text: str, layer: int) -> list[float]:
        return good.get(layer, good[0])(text, layer) if text.endswith(".") else test(text, layer)

    use_oracle(monkeypatch, vector)
    before_test: list[Any] = []
    choose = evaluation_layers.choose
    monkeypatch.setattr(evaluation_layers, "choose", lambda *a: (choose(*a), before_test.extend(loads))[0])
    said: list[str] = []
    found = evaluate("tatoeba", layer="dev", say=said.append)
    score = found.tasks["tatoeba"].languages["de"]
    assert (score.layer, score.selected_by, score.scores["accuracy"]) == (1, "other-dev", 50)
    assert score.selection == {
        "layer_from": "tatoeba-dev",
        "layer_languages": "be ca",
        "layer_scores": {"0": 62.5, "1": 100, "2": 100, "3": 62.5, "4": 62.5},
    }
    assert said == ["tatoeba: layer 1, chosen on tatoeba-dev (be ca)."]
    assert set(before_test) == {("tatoeba-dev", "be", "dev"), ("tatoeba-dev", "ca", "dev")}
    assert set(loads) - set(before_test) == {("tatoeba", "de", "test")}
    saved = json.loads((Path(found.provenance["run"]) / "results/tatoeba/de.json").read_text())
    assert (saved["selection"], saved["layer"], saved["settings"]["layer"]) == (score.selection, 1, "dev")


def test_mining_is_chosen_on_its_own_development_data(evaluate, raw, loads):
    raw_data.write_bucc(raw, size=16, gold=5)
    found = evaluate("bucc2018,tatoeba", layer="dev", languages=["de"])
    score = found.tasks["bucc2018"].languages["de"]
    assert score.selected_by == "target-dev"
    assert score.selection["layer_from"] == "bucc2018"
    assert set(score.selection) == {
        "layer_from",
        "layer_languages",
        "layer_scores",
        "threshold",
        "threshold_from",
        "dev_f1",
        "dev_hash",
        "dev_n",
        "dev_expected_n",
    }
    best = max(score.selection["layer_scores"].values())
    first = min(int(layer) for layer, value in score.selection["layer_scores"].items() if value == best)
    assert score.layer == first
    assert score.selection["dev_f1"] == pytest.approx(best)
    # Until the choice is made, no text of the test set is looked at.
    splits = [split for _, _, split in loads]
    assert set(splits[: splits.index("test")]) == {"dev"}
    # Read once for all layers, and once for the threshold.
    assert splits.count("dev") == 2


def test_without_development_data_others_go_on(evaluate, raw, monkeypatch):
    raw_data.write_tatoeba(raw, "deu", PAIRS)
    raw_data.write_lareqa(raw, ["de"])
    said: list[str] = []
    found = evaluate("tatoeba,lareqa", layer="dev", say=said.append)
    assert list(found.tasks) == ["lareqa"]
    score = found.tasks["lareqa"].languages["de"]
    assert (score.layer, score.pooling, score.selection, score.selected_by) == (None, "pooler", {}, "none")
    [failure] = found.provenance["failures"]
    assert failure.startswith("tatoeba: --layer dev finds no development data (input.layer_dev: tatoeba-dev, bucc2018)")
    assert "xharness fetch --targets tatoeba-dev --to DIR" in failure
    assert said == [
        f"tatoeba: {failure}",
        "lareqa: the pooler's output has no layers to choose from; it is used as it is.",
    ]
    with pytest.raises(DataError, match="--layer dev finds no development data"):
        evaluate("tatoeba", layer="dev")


def test_the_choice_has_the_settings_of_its_target(evaluate, raw, monkeypatch):
    for alias in ("deu", "bel"):
        raw_data.write_tatoeba(raw, alias, PAIRS)
    asked = use_oracle(monkeypatch, lambda text, layer: right_from({})(text.removeprefix("q: "), layer))
    found = evaluate("tatoeba", layer="dev", prefix="q: ", pooling="cls", center="language", limit=3)
    assert found.tasks["tatoeba"].languages["de"].n == 3
    # The limit is not the choice's: it sees all of its data.
    assert [each[:2] for each in asked.passes] == [(4, (0, 1, 2, 3, 4))] * 2 + [(3, (0,))] * 2
    assert all(text.startswith("q: ") for text in asked.texts)
    [settings] = [
        json.loads(path.read_text())["settings"]
        for path in Path(found.provenance["run"]).parents[1].rglob("run.json")
        if json.loads(path.read_text())["settings"]["layer"] == 0
    ]
    assert (settings["split"], settings["limit"], settings["center"]) == ("dev", None, "language")


def test_two_targets_of_one_choice_make_it_once(evaluate, raw, monkeypatch, tmp_path):
    text = (assets.TASKS / "targets" / "tatoeba.yaml").read_text(encoding="utf-8").replace("name: tatoeba", "name: own")
    (tmp_path / "own.yaml").write_text(text, encoding="utf-8")
    for alias in ("deu", "bel"):
        raw_data.write_tatoeba(raw, alias, PAIRS)
    asked = use_oracle(monkeypatch, right_from({}))
    found = evaluate(f"tatoeba,{tmp_path / 'own.yaml'}", layer="dev", languages=["de"])
    assert [found.tasks[name].languages["de"].layer for name in ("tatoeba", "own")] == [0, 0]
    assert len(asked.passes) == 2 + 2 * 2


def test_a_choice_on_other_data_is_made_anew(evaluate, raw):
    raw_data.write_tatoeba(raw, "deu", PAIRS)
    raw_data.write_tatoeba(raw, "cat", PAIRS)
    said: list[str] = []
    evaluate("tatoeba", layer="dev", say=said.append)
    evaluate("tatoeba", layer="dev", say=said.append)
    assert not any("computed again" in sentence for sentence in said)
    raw_data.write_tatoeba(raw, "bel", PAIRS[:1])
    found = evaluate("tatoeba", layer="dev", say=said.append)
    assert any(sentence.startswith("tatoeba de: ") and "computed again" in sentence for sentence in said)
    assert found.tasks["tatoeba"].languages["de"].selection["layer_languages"] == "be ca"


def test_runs_of_the_choice_are_not_among_the_others(evaluate, raw, tmp_path):
    raw_data.write_tatoeba(raw, "deu", PAIRS)
    raw_data.write_tatoeba(raw, "cat", PAIRS)
    run = Path(evaluate("tatoeba", layer="dev").provenance["run"])
    beside = [path for path in run.parent.parent.glob("*/seed0") if (path / "run.json").exists()]
    assert beside == [run]
    assert len(list((run.parent.parent / "layers").glob("*/seed0/run.json"))) == DEPTH + 1
