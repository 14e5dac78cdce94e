"""Evaluation that is stopped or fails: it continues, never mixes runs, and says what went wrong."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from helpers.data_folder import (
    as_on_the_hub,
    column_types,
    fixture_rows,
    write_dataset,
)
from helpers.runs import contents
from xharness import assets, files
from xharness.errors import ModelError, OutputError
from xharness.models import inference
from xharness.results import predictions, scoring
from xharness.tasks.registry import load_task

# --- Stopped and continued ------------------------------------------------------------------------------------------


TARGETS = "xquad,tatoeba"


@pytest.fixture
def uninterrupted(model, evaluate, tmp_path) -> dict[str, bytes]:
    found = evaluate(model("xquad"), TARGETS, output=tmp_path / "uninterrupted")
    return contents(Path(found.provenance["run"]))


@pytest.mark.parametrize("writes", [1, 2, 3, 7, 13, 14, 24])
def test_a_stopped_run_goes_on_and_ends_alike(writes, model, evaluate, uninterrupted, monkeypatch):
    """Stopped at a write: of run.json, of a budget, of predictions, of a result ..."""
    whole, left = files.write_text, [writes]

    def stop(path: Path, text: str) -> None:
        left[0] -= 1
        if not left[0]:
            raise KeyboardInterrupt
        whole(path, text)

    monkeypatch.setattr(files, "write_text", stop)
    with pytest.raises(KeyboardInterrupt):
        evaluate(model("xquad"), TARGETS)
    monkeypatch.setattr(files, "write_text", whole)
    computed: list[int] = []
    forward = inference.forward
    monkeypatch.setattr(inference, "forward", lambda *a, **k: (computed.append(1), forward(*a, **k))[1])
    found = evaluate(model("xquad"), TARGETS)
    run = Path(found.provenance["run"])
    assert contents(run) == uninterrupted
    # run.json is the first write. A language of XQuAD has one forward pass, and one of Tatoeba two, each of which is
    # kept as soon as it is written down.
    of_xquad = ["budget", "predictions", "result"] * 3
    of_tatoeba = ["budget", "vectors", "vectors", "predictions", "result"] * 3
    done = ["run.json", *of_xquad, *of_tatoeba][: writes - 1]
    assert len(computed) == 9 - done[: 1 + len(of_xquad)].count("result") - done.count("vectors")
    assert not list(run.glob("started/*/*"))


KILLED = """
import os, signal, sys
sys.path[:0] = {paths!r}
from xharness.evaluation import runner as evaluation; from xharness.results import score as results
save = results.save
def kill(score, path):
    if score.language == "hi":
        os.kill(os.getpid(), signal.SIGKILL)
    save(score, path)
results.save = kill
evaluation.evaluate({model!r}, targets={targets!r}, data_dir={data!r}, output={output!r}, dtype="float32")
"""


def test_a_killed_run_goes_on_and_ends_alike(model, evaluate, uninterrupted, data_folder, tmp_path):
    names = {
        "model": str(model("xquad")),
        "targets": TARGETS,
        "data": str(data_folder),
        "output": str(tmp_path / "out"),
    }
    code = KILLED.format(paths=[str(assets.PACKAGE.parent)], **names)
    killed = subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=240, check=False)
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()
    [run] = {p.parent for p in (tmp_path / "out").glob("*/*/*/*/run.json")}
    assert {p.stem for p in run.glob("results/*/*")} == {"en", "de"}
    assert Path(evaluate(model("xquad"), TARGETS).provenance["run"]) == run
    assert contents(run) == uninterrupted


@pytest.mark.parametrize("what", ["results/tatoeba/de.json", "predictions/tatoeba/test-de.tsv"])
@pytest.mark.parametrize("damage", [lambda raw: raw[: len(raw) // 2], lambda raw: b""], ids=["half", "empty"])
def test_a_half_written_file_is_never_read_as_whole(what, damage, model, evaluate):
    found = evaluate(model("tatoeba"), "tatoeba")
    run = Path(found.provenance["run"])
    before = contents(run)
    (run / what).write_bytes(damage((run / what).read_bytes()))
    # What a kill in the middle of a write leaves behind.
    (run / "predictions/tatoeba/.test-de.tsv.abc.part").write_text("0\n")
    (run / "results/tatoeba/.de.json.abc.part").write_text("{")
    said: list[str] = []
    evaluate(model("tatoeba"), "tatoeba", say=said.append)
    assert len(said) == 1
    assert said[0].endswith("computed again.")
    after = contents(run)
    assert {name: after[name] for name in before} == before


def test_a_damaged_budget_is_made_anew(model, evaluate):
    run = Path(evaluate(model("tatoeba"), "tatoeba", languages=["de"]).provenance["run"])
    started = run / "started" / "tatoeba" / "ru.json"
    started.parent.mkdir(parents=True, exist_ok=True)
    started.write_text('{"batch_')
    said: list[str] = []
    found = evaluate(model("tatoeba"), "tatoeba", languages=["ru"], say=said.append)
    assert "damaged" in said[0]
    assert found.tasks["tatoeba"].languages["ru"].batch_tokens == 4096


def test_the_budget_of_the_start_is_kept_to_the_end(model, evaluate, monkeypatch):
    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(predictions, "write", interrupt)
        with pytest.raises(KeyboardInterrupt):
            evaluate(model("tatoeba"), "tatoeba", languages=["de"], batch_tokens=77)
    found = evaluate(model("tatoeba"), "tatoeba")
    assert {c: s.batch_tokens for c, s in found.tasks["tatoeba"].languages.items()} == {
        "de": 77,
        "ka": 4096,
        "ru": 4096,
    }


def test_changed_data_or_spec_is_computed_again(toy, model, evaluate):
    path, folder = toy
    run = {"data_dir": folder, "say": (said := []).append}
    before = evaluate(model("xnli"), str(path), **run).tasks["toy"]
    assert evaluate(model("xnli"), str(path), **run).tasks["toy"] == before
    assert said == []
    other = [as_on_the_hub(load_task("xnli"), r, i) for i, r in enumerate(fixture_rows("xnli", "de"))][::-1]
    spec = load_task("xnli")
    configs = {
        "de": {"test": other},
        **{
            code: {"test": [as_on_the_hub(spec, r, i) for i, r in enumerate(fixture_rows("xnli", code))]}
            for code in ("en", "ru")
        },
    }
    write_dataset(folder / "facebook/xnli", configs, column_types(spec, other[0]))
    after = evaluate(model("xnli"), str(path), **run).tasks["toy"]
    assert said == ["toy de: data, spec or files changed since; it is computed again."]
    assert after.languages["de"].data_hash != before.languages["de"].data_hash
    assert after.languages["ru"] == before.languages["ru"]


@pytest.mark.parametrize("field", ["data_hash", "spec_hash", "predictions_sha256"])
def test_a_result_of_anything_else_is_computed_again(field, model, evaluate):
    run = Path(evaluate(model("tatoeba"), "tatoeba", languages=["de"]).provenance["run"])
    before = contents(run)
    path = run / "results" / "tatoeba" / "de.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), field: "0" * 12}))
    said: list[str] = []
    evaluate(model("tatoeba"), "tatoeba", languages=["de"], say=said.append)
    assert len(said) == 1
    assert contents(run) == before


def test_a_limited_run_is_scored_as_it_was_made(model, evaluate, data_folder):
    made = evaluate(model("xnli"), "xnli", limit=3)
    again = scoring.score(made.provenance["run"], data_dir=data_folder).tasks["xnli"].languages["de"]
    assert (again.n, again.scores) == (3, made.tasks["xnli"].languages["de"].scores)
    assert again.settings["limit"] == 3
    assert not again.complete


def test_a_full_disk_leaves_what_is_there(model, evaluate, monkeypatch):
    run = Path(evaluate(model("tatoeba"), "tatoeba", languages=["de"]).provenance["run"])
    before = contents(run)

    def full(source: str, target: Path) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(files.os, "replace", full)
        with pytest.raises(OutputError, match="No space left on device"):
            evaluate(model("tatoeba"), "tatoeba")
    assert contents(run) == before
    assert not list(run.rglob("*.part"))
    assert len(evaluate(model("tatoeba"), "tatoeba").tasks["tatoeba"].languages) == 3


# --- Trouble in the middle of a cell --------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_nan_in_half_precision_repeats_the_cell_in_float32(dtype, model, evaluate, tmp_path):
    path = shutil.copytree(model("xnli"), tmp_path / "large")
    weights = load_file(path / "model.safetensors")
    weights["classifier.out_proj.bias"][:] = 3.4e38  # the largest numbers of float32: infinity in both half types
    save_file(weights, path / "model.safetensors", metadata={"format": "pt"})
    said: list[str] = []
    found = evaluate(path, "xnli", dtype=dtype, languages=["de", "en"], say=said.append)
    plain = evaluate(path, "xnli", languages=["de", "en"])
    note = f"the model output had NaN or infinity in {dtype}; repeated in float32"
    for language in ("de", "en"):
        score = found.tasks["xnli"].languages[language]
        assert (score.dtype, score.notes) == ("float32", (note,))
        assert score.scores == plain.tasks["xnli"].languages[language].scores
    assert said == [f"xnli {language}: {note}." for language in ("de", "en")]
    assert found.provenance["run"] != plain.provenance["run"]


def test_nan_in_float32_is_an_error(model, evaluate, tmp_path):
    path = shutil.copytree(model("xnli"), tmp_path / "nan")
    weights = load_file(path / "model.safetensors")
    weights["classifier.out_proj.bias"][0] = float("nan")
    save_file(weights, path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelError, match="xnli de: the model output has NaN or infinity in float32"):
        evaluate(path, "xnli", languages=["de"])


@pytest.mark.parametrize(
    "error", [torch.OutOfMemoryError("CUDA out of memory"), RuntimeError("DefaultCPUAllocator: can't allocate memory")]
)
def test_out_of_memory_starts_the_cell_again_with_a_smaller_budget(error, model, evaluate, monkeypatch):
    forward, budgets = inference.forward, []

    def small(encoder: Any, kind: Any, features: Any, context: Any, budget: int, *rest: Any) -> Any:
        budgets.append(budget)
        if budget > 1100:
            raise error
        return forward(encoder, kind, features, context, budget, *rest)

    monkeypatch.setattr(inference, "forward", small)
    said: list[str] = []
    found = evaluate(model("tatoeba"), "tatoeba", languages=["de"], say=said.append)
    assert budgets == [4096, 2048, 1024, 1024]  # German, then English
    assert found.tasks["tatoeba"].languages["de"].batch_tokens == 1024
    assert said[-1] == "tatoeba de: out of memory; starting again with 1024 tokens a batch."


def test_out_of_memory_to_the_end(model, evaluate, monkeypatch):
    def never(*_: Any) -> None:
        raise torch.OutOfMemoryError

    monkeypatch.setattr(inference, "forward", never)
    with pytest.raises(ModelError, match="out of memory even with 64 tokens a batch"):
        evaluate(model("tatoeba"), "tatoeba", languages=["de"])


def test_other_errors_of_torch_are_not_taken_for_it(model, evaluate, monkeypatch):
    def broken(*_: Any) -> None:
        raise RuntimeError("shapes cannot be multiplied")

    monkeypatch.setattr(inference, "forward", broken)
    with pytest.raises(RuntimeError, match="shapes"):
        evaluate(model("tatoeba"), "tatoeba", languages=["de"])


def test_a_kept_result_learns_that_its_data_is_a_stand_in(model, evaluate, data_folder, tmp_path):
    folder = shutil.copytree(data_folder, tmp_path / "known-later")
    (folder / "MANIFEST.tsv").unlink()
    first = evaluate(model("xnli"), "xnli", languages=["de"], data_dir=folder)
    assert first.tasks["xnli"].languages["de"].data_status == "unknown"
    line = ["facebook/xnli", "de", "test", "5", "STAND-IN: rows of validation", "here", "none"]
    head = ["hub_id", "config", "split", "rows", "status", "source", "licence"]
    (folder / "MANIFEST.tsv").write_text("\t".join(head) + "\n" + "\t".join(line) + "\n")
    again = evaluate(model("xnli"), "xnli", languages=["de"], data_dir=folder)
    assert again.tasks["xnli"].languages["de"].data_status == "stand-in"
    saved = json.loads((Path(again.provenance["run"]) / "results/xnli/de.json").read_text())
    assert saved["data_status"] == "stand-in"
