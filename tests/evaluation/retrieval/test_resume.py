"""Retrieval that is stopped, killed or in trouble: what is kept, and what is computed anew."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
import torch

from helpers import raw_data
from helpers.oracle import use_oracle
from helpers.retrieval import predicted, run_of, turned
from xharness import assets
from xharness.data import loading as data_loading
from xharness.errors import ModelError, OutputError
from xharness.evaluation.retrieval import compare as retrieval_compare
from xharness.evaluation.retrieval import embeddings
from xharness.models import inference
from xharness.models.kinds.base import NonFiniteOutput
from xharness.results.aggregate import Results
from xharness.tasks.registry import load_task

# --- Trouble --------------------------------------------------------------------------------------------------------


def test_a_vector_of_zeros_stops_its_language_only(evaluate, raw, monkeypatch):
    raw_data.write_tatoeba(raw, "deu", [("nichts", "nothing"), ("etwas", "something")])
    raw_data.write_tatoeba(raw, "rus", [("a", "A"), ("b", "B")])
    raw_data.write_bucc(raw)
    use_oracle(monkeypatch, lambda text, layer: [0.0] if text == "nichts" else turned(text))
    said: list[str] = []
    found = evaluate("tatoeba,bucc2018", say=said.append)
    assert list(found.tasks["tatoeba"].languages) == ["ru"]
    assert list(found.tasks["bucc2018"].languages) == ["de"]
    [failure] = found.provenance["failures"]
    assert failure.startswith("Text number 1 of de-test ('nichts') has a zero vector")
    assert said == [f"tatoeba de: {failure}"]
    assert not list((run_of(found) / "vectors").glob("*"))


@pytest.mark.parametrize("options", [{"center": "language"}, {"whiten": True}])
def test_one_pair_alone_cannot_be_centred(options, evaluate, raw):
    raw_data.write_tatoeba(raw, "deu", [("Kind", "child")])
    if "whiten" in options:  # whitening alone leaves the mean, and so a direction
        assert evaluate("tatoeba", **options).tasks["tatoeba"].languages["de"].n == 1
        return
    with pytest.raises(ModelError, match="Centering or whitening leaves a zero vector"):
        evaluate("tatoeba", **options)


def test_nan_is_repeated_in_float32_with_a_note_and_the_pool_stays(evaluate, raw, monkeypatch):
    raw_data.write_mewsli(raw)
    asked = use_oracle(monkeypatch, turned)
    forward = inference.forward

    def overflowing(encoder: Any, kind: Any, features: Any, *rest: Any) -> Any:
        # In the questions of two of three languages.
        if encoder.dtype == "bfloat16" and any(text.split(":")[0].endswith(("de", "fa")) for text in features.rows):
            raise NonFiniteOutput
        return forward(encoder, kind, features, *rest)

    monkeypatch.setattr(inference, "forward", overflowing)
    said: list[str] = []
    found = evaluate("mewslix", languages=["de", "en", "fa"], dtype="bfloat16", say=said.append)
    note = "the model output had NaN or infinity in bfloat16; repeated in float32"
    scores = found.tasks["mewslix"].languages
    assert {code: (s.dtype, note in s.notes) for code, s in scores.items()} == {
        "de": ("float32", True),
        "en": ("bfloat16", False),
        "fa": ("float32", True),
    }
    assert said == [f"mewslix {code}: {note}." for code in ("de", "fa")]
    # Each type has vectors of the pool, made once.
    assert [each[2] for each in asked.passes if each[0] == 24] == ["float32", "bfloat16"]


def test_a_smaller_budget_does_not_make_the_pool_again(evaluate, raw, monkeypatch):
    raw_data.write_mewsli(raw)
    asked = use_oracle(monkeypatch, turned)
    forward = inference.forward

    def small(encoder: Any, kind: Any, features: Any, context: Any, budget: int, *rest: Any) -> Any:
        if budget > 2048 and any(text.startswith("Q") or "en:" in text for text in features.rows):
            raise torch.OutOfMemoryError
        return forward(encoder, kind, features, context, budget, *rest)

    monkeypatch.setattr(inference, "forward", small)
    found = evaluate("mewslix", languages=["de", "en", "fa"])
    assert [s.batch_tokens for s in found.tasks["mewslix"].languages.values()] == [4096, 2048, 4096]
    assert sorted(each[0] for each in asked.passes) == [6, 6, 6, 24]


def test_a_full_disk_stops_the_run(evaluate, raw, monkeypatch):
    raw_data.write_bucc(raw)
    usage = embeddings.shutil.disk_usage(raw)._replace(free=10)
    monkeypatch.setattr(embeddings.shutil, "disk_usage", lambda path: usage)
    with pytest.raises(OutputError, match=r"the vectors of de-test need .* Free disk space"):
        evaluate("bucc2018")


# --- Stopped and gone on with ---------------------------------------------------------------------------------------


KILLED = """
import os, signal, sys
sys.path[:0] = {paths!r}
from xharness.evaluation import runner as evaluation; from xharness.evaluation.retrieval import embeddings
embeddings.CHUNK = 7
write = embeddings.files.write_json
def kill(path, state):
    if "digest" in state and path.stem == {name!r} and state["done"] > 20:
        os.kill(os.getpid(), signal.SIGKILL)
    write(path, state)
embeddings.files.write_json = kill
evaluation.evaluate({model!r}, targets={targets!r}, data_dir={data!r}, output={output!r}, dtype="float32",
                    pooling="mean", languages=["de", "en"])
"""


@pytest.mark.slow
def test_a_killed_run_goes_on_and_ends_alike(evaluate, raw, tiny_checkpoint, tmp_path, monkeypatch):
    raw_data.write_bucc(raw)
    raw_data.write_lareqa(raw)
    monkeypatch.setattr(embeddings, "CHUNK", 7)
    options = {"pooling": "mean", "languages": ["de", "en"]}
    whole = evaluate("bucc2018,lareqa", output=tmp_path / "whole", **options)
    names = {"model": str(tiny_checkpoint("encoder")), "data": str(raw.parent), "output": str(tmp_path / "out")}
    code = KILLED.format(paths=[str(assets.PACKAGE.parent)], targets="bucc2018,lareqa", name="candidates", **names)
    killed = subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=240, check=False)
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()
    [run] = {p.parent for p in (tmp_path / "out").glob("*/*/*/*/run.json")}
    [state] = (run / "vectors").rglob("candidates.json")
    assert json.loads(state.read_text())["done"] == 14
    rows: list[int] = []
    forward = inference.forward
    monkeypatch.setattr(inference, "forward", lambda *a, **k: (rows.append(len(a[2].rows)), forward(*a, **k))[1])
    found = evaluate("bucc2018,lareqa", **options)
    assert run_of(found) == run
    assert predicted(found) == predicted(whole)
    # The 99 sentences of the pool but the 14 that were done, and the questions of the other language.
    assert sum(rows) == 99 - 14 + 6
    assert not list((run / "vectors").glob("*"))


def stopped(evaluate: Callable[..., Results], monkeypatch: pytest.MonkeyPatch, targets: str, **options: Any) -> None:
    """Evaluate until all vectors are made and the search is to begin."""

    def stop(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(retrieval_compare.search, "search", stop)
        with pytest.raises(KeyboardInterrupt):
            evaluate(targets, **options)


PAIRS = [("Kind", "child"), ("Haus", "house"), ("alt", "old")]


@pytest.mark.parametrize(
    ("pairs", "options", "texts"),
    [
        (PAIRS, {}, 0),
        (PAIRS[:2], {}, 4),
        ([*PAIRS[:2], ("Alter", "old")], {}, 6),
        (PAIRS, {"prefix": "a"}, 6),
        (PAIRS, {"layer": 1}, 6),
        (PAIRS, {"special_tokens": False}, 6),
        (PAIRS, {"center": "language"}, 6),
        (PAIRS, {"limit": 2}, 4),
        (PAIRS, {"dtype": "bfloat16"}, 6),
    ],
)
def test_vectors_are_made_anew_where_anything_else_is_asked(pairs, options, texts, evaluate, raw, monkeypatch):
    raw_data.write_tatoeba(raw, "deu", PAIRS)
    asked = use_oracle(monkeypatch, turned)
    stopped(evaluate, monkeypatch, "tatoeba")
    assert len(asked.texts) == 6
    raw_data.write_tatoeba(raw, "deu", pairs)
    asked.texts.clear()
    found = evaluate("tatoeba", **options)
    assert len(asked.texts) == texts
    assert found.tasks["tatoeba"].languages["de"].n == options.get("limit", len(pairs))


def test_the_spec_settings_tell_vectors_apart(evaluate, raw, monkeypatch, tmp_path):
    """In one run of a task file of the user's own, where the file is changed between the calls."""
    raw_data.write_tatoeba(raw, "deu", PAIRS)
    text = (assets.TASKS / "targets" / "tatoeba.yaml").read_text(encoding="utf-8").replace("name: tatoeba", "name: own")
    comparers = []
    asked = use_oracle(monkeypatch, turned)
    for number, change in enumerate([("512", "512"), ("512", "64"), ("whiten: false", "vectors: float16")]):
        path = tmp_path / str(number) / "own.yaml"
        path.parent.mkdir()
        path.write_text(text.replace(*change), encoding="utf-8")
        spec = load_task(str(path))
        comparer = retrieval_compare.RetrievalPredictor(tmp_path / "v", raw.parent, torch.device("cpu"), "id")
        loaded = data_loading.load(spec, "de", "test", raw.parent)

        class Tiny:
            dtype, layers, max_positions, tokenizer = "float32", 2, None, None

            class model:
                class config:
                    hidden_size = 16

        asked.texts.clear()
        comparer.predict(spec, "de", "test", loaded.examples, loaded, Tiny(), 2, 64)
        comparers.append(len(asked.texts))
    assert comparers == [6, 6, 6]


def test_forgetting_a_language_keeps_the_others_and_the_pool(tmp_path):
    comparer = retrieval_compare.RetrievalPredictor(tmp_path / "vectors", None, torch.device("cpu"), "id")
    folder = tmp_path / "vectors" / "lareqa" / "float32"
    folder.mkdir(parents=True)
    names = ["de-test.2.npy", "de-dev-english.json", "de-test-0.changed.npy", "el-test.2.npy", "candidates.2.npy"]
    for name in names:
        (folder / name).touch()
    comparer.clear_cache("lareqa", "de")
    assert sorted(path.name for path in folder.iterdir()) == ["candidates.2.npy", "el-test.2.npy"]
    comparer.clear_cache("lareqa")
    comparer.clear_cache("bucc2018")
    assert list(tmp_path.iterdir()) == []


def test_another_development_set_is_noticed(evaluate, raw):
    raw_data.write_bucc(raw, size=16, gold=5)
    said: list[str] = []
    first = evaluate("bucc2018", say=said.append).tasks["bucc2018"].languages["de"]
    assert evaluate("bucc2018", say=said.append).tasks["bucc2018"].languages["de"] == first
    assert said == []
    sample = raw / "bucc2018/de-en/de-en.sample.de"
    lines = sample.read_text(encoding="utf-8").splitlines(keepends=True)
    sample.write_text("".join([*lines[:-1], lines[-1].replace("\n", " und mehr\n")]), encoding="utf-8")
    again = evaluate("bucc2018", say=said.append).tasks["bucc2018"].languages["de"]
    assert said == ["bucc2018 de: data, spec or files changed since; it is computed again."]
    assert again.selection["dev_hash"] != first.selection["dev_hash"]


def test_a_language_that_is_fetched_later_joins_the_pool(evaluate, raw):
    raw_data.write_lareqa(raw)
    folder = raw / "google-research-datasets/lareqa/xquad-r"
    later = {path: path.read_bytes() for path in folder.glob("*.json") if path.stem not in ("de", "en")}
    for path in later:
        path.unlink()
    few = evaluate("lareqa", pooling="mean", languages=["de"]).tasks["lareqa"].languages["de"]
    for path, content in later.items():
        path.write_bytes(content)
    many = evaluate("lareqa", pooling="mean", languages=["de"]).tasks["lareqa"].languages["de"]
    assert few.candidates["n"] < many.candidates["n"]
    assert "missing" in few.candidates
    assert "missing" not in many.candidates
