"""The main trip on tiny checkpoints and synthetic data: every target end to end, killed and continued, never mixed."""

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
import transformers
from safetensors.torch import load_file, save_file

from helpers.data_folder import (
    as_on_the_hub,
    column_types,
    fixture_rows,
    fixture_tasks,
    make_data_folder,
    write_dataset,
)
from xharness import assets, files
from xharness.errors import DataError, ModelError, NothingToDo, OutputError, UsageError
from xharness.evaluation import evaluator as desk
from xharness.evaluation import run_folder as run_folders
from xharness.evaluation import runner as evaluation
from xharness.evaluation.prepare import Options, prepare
from xharness.evaluation.retrieval import embeddings
from xharness.models import loading as models
from xharness.results import predictions, scoring
from xharness.results import score as results
from xharness.results.aggregate import Results
from xharness.tasks.task_spec import load_task

XNLI = ("neutral", "contradiction", "entailment")


@pytest.fixture
def model(tiny_checkpoint: Any) -> Any:
    """Return what makes a checkpoint whose head fits a target, its labels in another order than the spec's."""

    def make(task: str, **options: Any) -> Path:
        spec = load_task(task)
        head = "encoder" if spec.kind == "retrieval" else spec.kind
        path: Path = tiny_checkpoint(head, labels=tuple(sorted(spec.labels, reverse=True)), **options)
        return path

    return make


@pytest.fixture
def evaluate(data_folder: Path, tmp_path: Path) -> Any:
    def run(model: Path, targets: str, **options: Any) -> Results:
        named = {"data_dir": data_folder, "output": tmp_path / "out", "dtype": "float32", **options}
        return evaluation.evaluate(str(model), targets=targets, **named)

    return run


@pytest.fixture
def toy(tmp_path: Path) -> tuple[Path, Path]:
    """Return a task file whose data is complete with the fixtures' five rows, and its data folder."""
    text = (assets.TASKS / "targets" / "xnli.yaml").read_text(encoding="utf-8")
    head, _, _ = text.partition("\nlanguages:")
    head = head.replace("name: xnli", "name: toy").replace("{test: 5010, dev: 2490}", "{test: 5, dev: 3}")
    path = tmp_path / "toy.yaml"
    path.write_text(head + "\nlanguages: {de: , en: {zero_shot: false}, ru: }\n", encoding="utf-8")
    return path, make_data_folder(tmp_path / "complete", status="complete")


def contents(folder: Path) -> dict[str, bytes]:
    """Return the prediction files of a run, and its scores without times."""
    found = {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.glob("predictions/*/*"))}
    for path in sorted(folder.glob("results/*/*.json")):
        record = json.loads(path.read_text(encoding="utf-8"))
        found[str(path.relative_to(folder))] = json.dumps({**record, "seconds": None}).encode()
    return found


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
        score = results.load(run / "results" / task / f"{language}.json")
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
    monkeypatch.setattr(desk, "CHUNK", 2)
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
    with pytest.raises(UsageError, match=rf"Layer {layer} is not there: .* 0 \(embeddings\) to 2, or -3 to -1"):
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
            folders.add(run_folders.run_folder(prepared, tmp_path / "out", variant.get("dtype", "float32"), print))
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
    assert all(s.whole and s.data_status == "complete" for s in whole.languages.values())
    assert whole.gap is not None
    limited = evaluate(model("xnli"), str(path), **options, limit=3).tasks["toy"]
    assert (limited.complete, limited.why) == (False, "cut by --limit")
    assert [s.n for s in limited.languages.values()] == [3, 3, 3]
    dev = evaluate(model("xnli"), str(path), **options, split="dev").tasks["toy"]
    assert (dev.complete, dev.why) == (False, "not the test split")
    part = evaluate(model("xnli"), str(path), data_dir=folder, languages=["en", "de"]).tasks["toy"]
    assert (part.complete, part.why) == (False, "no score for ru")


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
    forward = models.forward
    monkeypatch.setattr(models, "forward", lambda *a, **k: (computed.append(1), forward(*a, **k))[1])
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
    killed = subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=120, check=False)
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
    assert not again.whole


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
    note = f"the model put out NaN or infinity in {dtype}; repeated in float32"
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
    with pytest.raises(ModelError, match="xnli de: the model puts out NaN or infinity in float32"):
        evaluate(path, "xnli", languages=["de"])


@pytest.mark.parametrize(
    "error", [torch.OutOfMemoryError("CUDA out of memory"), RuntimeError("DefaultCPUAllocator: can't allocate memory")]
)
def test_out_of_memory_starts_the_cell_again_with_a_smaller_budget(error, model, evaluate, monkeypatch):
    forward, budgets = models.forward, []

    def small(encoder: Any, kind: Any, features: Any, context: Any, budget: int, *rest: Any) -> Any:
        budgets.append(budget)
        if budget > 1100:
            raise error
        return forward(encoder, kind, features, context, budget, *rest)

    monkeypatch.setattr(models, "forward", small)
    said: list[str] = []
    found = evaluate(model("tatoeba"), "tatoeba", languages=["de"], say=said.append)
    assert budgets == [4096, 2048, 1024, 1024]  # German, then English
    assert found.tasks["tatoeba"].languages["de"].batch_tokens == 1024
    assert said[-1] == "tatoeba de: out of memory; starting again with 1024 sub-words a batch."


def test_out_of_memory_to_the_end(model, evaluate, monkeypatch):
    def never(*_: Any) -> None:
        raise torch.OutOfMemoryError

    monkeypatch.setattr(models, "forward", never)
    with pytest.raises(ModelError, match="out of memory even with 64 sub-words a batch"):
        evaluate(model("tatoeba"), "tatoeba", languages=["de"])


def test_other_errors_of_torch_are_not_taken_for_it(model, evaluate, monkeypatch):
    def broken(*_: Any) -> None:
        raise RuntimeError("shapes cannot be multiplied")

    monkeypatch.setattr(models, "forward", broken)
    with pytest.raises(RuntimeError, match="shapes"):
        evaluate(model("tatoeba"), "tatoeba", languages=["de"])


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
    assert note == "scored with other predictions than the RUN recorded"
    counts = scoring.score(run, data_dir=data_folder).tasks["xnli"].languages["de"].counts
    assert counts["unknown_labels"] == 1
