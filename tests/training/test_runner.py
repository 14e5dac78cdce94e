"""Training: what comes out loads everywhere, and each option does what it says."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

from helpers.paths import HARNESS
from helpers.trainings import FAST, run, same, text_file, weights
from xharness import assets
from xharness.checkpoints import heads, training_record
from xharness.data import loading as data_loading
from xharness.errors import DataError, ModelError, NothingToDo, UsageError
from xharness.models import inference
from xharness.models import loading as models_loading
from xharness.models.kinds import KINDS
from xharness.tasks.registry import load_mixture, load_training
from xharness.training import dev_sets, output_folder
from xharness.training import runner as training_runner
from xharness.training.dev_sets import DevSet
from xharness.training.plan import Options, prepare
from xharness.training.request import differences

ONE_EACH = ("mnli", "commonsenseqa", "ud_en_hub", "squad_v1")
pytestmark = [pytest.mark.long, pytest.mark.usefixtures("one_thread")]


def scored_again(output: Path, task: str, folder: Path, limit: int | None = None) -> float:
    """Return the development score of a saved checkpoint, read as eval reads it."""
    spec = load_training(task)
    record = heads.read(output / heads.FILE, "x", [f"heads/{p.name}" for p in output.glob("heads/*")])
    head = record.heads[task]
    loaded = models_loading.load(
        output,
        KINDS[spec.kind],
        name="x",
        device=torch.device("cpu"),
        dtype="float32",
        head=head if head.file is not None else None,
    )
    examples = list(data_loading.load(spec, "en", "dev", folder).examples)
    context = dev_sets._context(
        DevSet(task, task, spec, "en", examples, tuple(spec.labels), "", 0), loaded.tokenizer, 512
    )
    kind = KINDS[spec.kind]
    features = kind.encode(examples, context)
    made = kind.decode(examples, features, inference.forward(loaded, kind, features, context, 4096), context)
    measured = dev_sets.measure(spec, dev_sets.gold(spec, examples), dev_sets.in_file_order(examples, made), "en")
    return dev_sets.task_score(spec.score_keys, measured.scores)


@pytest.mark.parametrize("task", ONE_EACH)
def test_a_single_task_is_a_plain_transformers_repository(task: str, base: Path, folder: Path, tmp_path: Path) -> None:
    record = run(task, base, folder, tmp_path / "out", max_steps=60)
    assert record.status == "complete", record.reason
    spec = load_training(task)
    stock = getattr(transformers, KINDS[spec.kind].auto_class)
    model, report = stock.from_pretrained(tmp_path / "out", output_loading_info=True)
    assert not report["missing_keys"]
    assert not report["unexpected_keys"]
    assert len(transformers.AutoTokenizer.from_pretrained(tmp_path / "out")) > 100
    if spec.kind in heads.LABELLED:
        assert [model.config.id2label[i] for i in range(len(spec.labels))] == spec.labels
    best = record.selections[training_runner.ENGLISH_DEV]
    assert scored_again(tmp_path / "out", task, folder) == pytest.approx(best["score"], abs=1e-9)
    assert record.losses[-1][2] < record.losses[0][2]
    said = json.loads((tmp_path / "out" / training_record.FILE).read_text())
    assert said["request"]["tasks"][task]["spec"] == spec.hash
    assert (tmp_path / "out" / training_record.CURVE).read_bytes().startswith(b"\x89PNG")
    assert not (tmp_path / "out" / ".run").exists()
    assert not (tmp_path / "out" / "steps").exists()
    assert (tmp_path / "out" / "model.safetensors").stat().st_mode & 0o044
    cut = json.loads((tmp_path / "out" / "tokenizer.json").read_text())
    assert (cut["truncation"], cut["padding"]) == (None, None)
    counted = [p for p in (tmp_path / "out").glob("*.json") if p.name != training_record.FILE]
    assert len(counted) == 4
    assert "local_files_only" not in json.loads((tmp_path / "out" / "tokenizer_config.json").read_text())
    assert not any(str(base.parent) in p.read_text() for p in counted), "a local path is part of the checkpoint"
    assert said["data"][task]["train"][0]["licence"] == spec.licence


def test_several_tasks_give_an_encoder_and_a_head_each(base: Path, folder: Path, tmp_path: Path) -> None:
    record = run(",".join([*ONE_EACH, "squad_v2"]), base, folder, tmp_path / "out", max_steps=60)
    encoder, report = transformers.AutoModel.from_pretrained(tmp_path / "out", output_loading_info=True)
    assert all("pooler" in key for key in report["missing_keys"])
    assert type(encoder).__name__ == "XLMRobertaModel"
    found = sorted(p.stem for p in (tmp_path / "out" / "heads").glob("*"))
    assert found == sorted([*ONE_EACH, "squad_v2"])
    step = record.selections[training_runner.ENGLISH_DEV]["step"]
    scores = next(e["scores"] for e in record.evaluations if e["step"] == step)
    for task in found:
        assert scored_again(tmp_path / "out", task, folder) == pytest.approx(scores[task]["score"], abs=1e-9)
    said = json.loads((tmp_path / "out" / heads.FILE).read_text())
    assert said["heads"]["commonsenseqa"]["pooler"] == "head"
    assert said["heads"]["squad_v1"]["pooler"] == "none"
    assert said["pooler"] == "none"
    assert sum(row["probability"] for row in record.mixture.values()) == pytest.approx(1)


def test_two_runs_in_one_folder_keep_apart(base: Path, folder: Path, tmp_path: Path) -> None:
    first = output_folder.TrainingFolder(tmp_path / "out", {}, writes=True)
    first.claim()
    with pytest.raises(UsageError, match="Another process trains in"):
        run("mnli", base, folder, tmp_path / "out", max_steps=2)
    first.release()
    assert run("mnli", base, folder, tmp_path / "out", max_steps=2).steps == 2


def test_a_command_that_cannot_run_leaves_the_folder_free(base: Path, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "empty.txt").write_text("\n")
    with pytest.raises(DataError, match="no line of text"):
        run("mnli", base, folder, tmp_path / "out", mlm=tmp_path / "empty.txt", max_steps=2)
    assert run("mnli", base, folder, tmp_path / "out", max_steps=2).steps == 2


@pytest.mark.parametrize("family", ["bert", "modernbert", "deberta-v2"])
def test_other_families_train(family: str, folder: Path, tmp_path: Path, tiny_checkpoint: Any) -> None:
    record = run("mnli,squad_v1,ud_en_hub", tiny_checkpoint("masked_lm", family=family), folder, tmp_path / "out")
    assert record.hardware["packed"] is (family == "bert")
    assert {row["steps"] > 0 for row in record.mixture.values()} == {True}


def test_ones_own_rows_without_a_label_are_left_out(base: Path, folder: Path, tmp_path: Path) -> None:
    labels = ["entailment", "-1", "", None, "neutral", "contradiction"]
    rows = [{"premise": "a", "hypothesis": "b", "label": label} for label in labels]
    (tmp_path / "own.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    record = run(
        "mnli", base, folder, tmp_path / "out", languages=("de",), files={"de": tmp_path / "own.jsonl"}, max_steps=1
    )
    [part] = record.data["mnli"]["train"]
    assert (part["n"], part["counts"]["unlabelled"], part["origin"]) == (3, 3, "own file")


def test_cutting_a_batch_changes_nothing(base: Path, folder: Path, tmp_path: Path) -> None:
    run("ud_en_hub", base, folder, tmp_path / "whole", max_steps=10)
    run("ud_en_hub", base, folder, tmp_path / "cut", max_steps=10, batch_tokens=64)
    same(tmp_path / "whole", tmp_path / "cut", 2e-4)


def test_the_same_command_again_does_nothing_and_others_are_refused(base: Path, folder: Path, tmp_path: Path) -> None:
    first = run("mnli", base, folder, tmp_path / "out", max_steps=4)
    written = (tmp_path / "out" / "model.safetensors").stat().st_mtime_ns
    again = run("mnli", base, folder, tmp_path / "out", max_steps=4)
    assert (tmp_path / "out" / "model.safetensors").stat().st_mtime_ns == written
    assert again == first
    with pytest.raises(UsageError, match=r"max_steps was 4 and is 5 now.*another --output"):
        run("mnli", base, folder, tmp_path / "out", max_steps=5)
    with pytest.raises(UsageError, match=r"learning_rate was 0\.003 and is 0\.1 now"):
        run("mnli", base, folder, tmp_path / "out", max_steps=4, given={"learning_rate": 0.1})
    (tmp_path / "else").mkdir()
    (tmp_path / "else" / "thesis.tex").write_text("x")
    with pytest.raises(UsageError, match="holds no run"):
        run("mnli", base, folder, tmp_path / "else")


def test_patience_ends_a_run_and_the_best_state_is_kept(base: Path, folder: Path, tmp_path: Path) -> None:
    record = run("mnli", base, folder, tmp_path / "out", max_steps=200, given={"eval_every": 5, "patience": 2})
    assert record.steps < 200
    best = max(record.evaluations, key=lambda e: e["chosen"][training_runner.ENGLISH_DEV])
    assert record.selections[training_runner.ENGLISH_DEV]["step"] == best["step"]


def test_what_is_watched_is_scored_and_chosen_by(base: Path, folder: Path, tmp_path: Path) -> None:
    spec = load_training("mnli")
    examples = list(data_loading.load(spec, "en", "dev", folder).examples)[:10]
    dev_set = DevSet("xnli/xx", "mnli", spec, "en", examples, tuple(spec.labels), "h", 10)
    selection = training_runner.SelectionPlan([dev_set], {"target-dev:xnli/xx": ["xnli/xx"]})
    record = run("mnli", base, folder, tmp_path / "out", selection=selection, average_last=2, max_steps=30)
    assert set(record.selections) == {"english-dev", "target-dev:xnli/xx", "last", "average"}
    assert all("xnli/xx" in entry["scores"] for entry in record.evaluations)
    for selection in record.selections.values():
        loaded = transformers.AutoModelForSequenceClassification.from_pretrained(tmp_path / "out" / selection["folder"])
        assert loaded.config.num_labels == 3
    assert record.selections["average"]["of"] == [20, 30]
    mean = weights(tmp_path / "out" / "steps" / "average")
    assert all(torch.isfinite(value).all() for value in mean.values())


def test_adapters_are_merged_into_plain_weights(base: Path, folder: Path, tmp_path: Path) -> None:
    record = run("mnli", base, folder, tmp_path / "out", lora=4, max_steps=40)
    stock, report = transformers.AutoModelForSequenceClassification.from_pretrained(
        tmp_path / "out", output_loading_info=True
    )
    assert not report["missing_keys"]
    assert not report["unexpected_keys"]
    before = transformers.AutoModel.from_pretrained(base)
    changed = {
        name
        for name, value in stock.base_model.state_dict().items()
        if not torch.equal(value, before.state_dict()[name])
    }
    assert changed
    assert all("query" in name or "value" in name for name in changed)
    best = record.selections[training_runner.ENGLISH_DEV]
    assert scored_again(tmp_path / "out", "mnli", folder) == pytest.approx(best["score"], abs=1e-9)


def test_gradient_checkpointing_and_bfloat16_train(base: Path, folder: Path, tmp_path: Path) -> None:
    run("mnli", base, folder, tmp_path / "plain", max_steps=6)
    run("mnli", base, folder, tmp_path / "checkpointed", max_steps=6, gradient_checkpointing=True)
    same(tmp_path / "plain", tmp_path / "checkpointed", 1e-5)
    record = run("mnli", base, folder, tmp_path / "bf16", max_steps=60, dtype="bfloat16")
    assert record.status == "complete"
    assert all(value.dtype == torch.float32 for value in weights(tmp_path / "bf16").values())


def test_masked_language_modelling_goes_on_beside_the_task(base: Path, folder: Path, tmp_path: Path) -> None:
    record = run("mnli", base, folder, tmp_path / "out", mlm=text_file(tmp_path), mlm_share=0.5)
    assert record.mixture["mlm"]["probability"] == 0.5
    assert {task for _, task, _, _ in record.losses} == {"mnli", "mlm"}
    transformers.AutoModelForSequenceClassification.from_pretrained(tmp_path / "out")


def test_a_base_without_what_is_needed_is_refused(
    folder: Path, tmp_path: Path, tiny_checkpoint: Callable[..., Path]
) -> None:
    with pytest.raises(ModelError, match="no head for masked language modeling"):
        run("mnli", tiny_checkpoint("encoder"), folder, tmp_path / "out", mlm=text_file(tmp_path))
    with pytest.raises(UsageError, match="rank of 16 at most"):
        run("mnli", tiny_checkpoint("encoder"), folder, tmp_path / "lora", lora=17)
    decoder = tmp_path / "decoder"
    shutil.copytree(tiny_checkpoint("encoder"), decoder)
    config = json.loads((decoder / "config.json").read_text())
    (decoder / "config.json").write_text(json.dumps({**config, "architectures": ["GPT2LMHeadModel"]}))
    with pytest.raises(UsageError, match="is a decoder"):
        run("mnli", decoder, folder, tmp_path / "out")


def test_copa_goes_on_with_the_head_of_what_came_before(base: Path, folder: Path, tmp_path: Path) -> None:
    run("commonsenseqa", base, folder, tmp_path / "first", max_steps=10)
    options = Options(device="cpu", dtype="float32", max_steps=1, given={**FAST, "learning_rate": 1e-12})
    for keep in (True, False):
        plan = prepare(["commonsenseqa"], str(tmp_path / "first"), data_dir=folder, options=options, keep_head=keep)
        training_runner.train(plan, tmp_path / f"then-{keep}", progress=False)
    before, kept, fresh = (weights(tmp_path / n) for n in ("first", "then-True", "then-False"))
    name = "model.safetensors:classifier.weight"
    assert torch.allclose(before[name], kept[name], atol=1e-6)
    assert not torch.allclose(before[name], fresh[name], atol=1e-3)


def test_a_mixture_goes_on_without_ccg_alone(base: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DataError, match=r"anli.*Without it, name the others: mnli,qqp"):
        prepare(["multitask"], str(base), data_dir=folder)
    smaller = load_mixture("multitask").model_copy(update={"tasks": ["mnli", "ccg", "squad_v1"]})
    monkeypatch.setattr("xharness.tasks.selection.load_mixture", lambda name: smaller)
    plan = prepare(["multitask"], str(base), data_dir=folder, options=Options())
    assert [part.name for part in plan.parts] == ["mnli", "squad_v1"]
    assert "LDC" in plan.left_out["ccg"]
    with pytest.raises(UsageError, match="Did you mean 'mnli'"):
        prepare(["mnil"], str(base), data_dir=folder)
    with pytest.raises(UsageError, match="no recipe"):
        prepare(["mnli"], str(base), data_dir=folder, options=Options(recipe="jaint"))
    empty = folder.parent / "empty"
    empty.mkdir(exist_ok=True)
    alone = smaller.model_copy(update={"tasks": ["ccg"]})
    monkeypatch.setattr("xharness.tasks.selection.load_mixture", lambda name: alone)
    with pytest.raises(NothingToDo, match="LDC"):
        prepare(["multitask"], str(base), data_dir=empty)


def test_two_processes_train_as_one(base: Path, folder: Path, tmp_path: Path) -> None:
    # Adam turns a gradient of nearly nothing into a whole step, whichever its sign; a large epsilon keeps it small.
    recipe = tmp_path / "smooth.yaml"
    text = (assets.TASKS / "recipes" / "jiant.yaml").read_text(encoding="utf-8").replace("name: jiant", "name: smooth")
    recipe.write_text(text.replace("adam_epsilon: 1.0e-8", "adam_epsilon: 1.0e-2"), encoding="utf-8")
    run("mnli,squad_v1,ud_en_hub", base, folder, tmp_path / "one", max_steps=12, recipe=str(recipe))
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--master-port", "0"]
    command += ["--rdzv-backend", "c10d", "--rdzv-endpoint", "localhost:0", "-m", "xharness", "train"]
    command += ["mnli,squad_v1,ud_en_hub", "--base", str(base), "--output", str(tmp_path / "two"), "--device", "cpu"]
    command += ["--dtype", "float32", "--max-steps", "12", "--learning-rate", "3e-3", "--eval-every", "10"]
    command += ["--recipe", str(recipe), "--batch-size", "16", "--data-dir", str(folder), "--json"]
    environment = {**os.environ, "PYTHONPATH": str(HARNESS), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=240)
    assert done.returncode in (0, 8), done.stderr[-2000:]
    told = json.loads(done.stdout)
    assert told["hardware"]["processes"] == 2
    same(tmp_path / "one", tmp_path / "two", 1e-5)
    one, two = (training_record.load(tmp_path / name) for name in ("one", "two"))
    assert one is not None
    assert two is not None
    assert [e["step"] for e in one.evaluations] == [e["step"] for e in two.evaluations]
    assert [x[2] for x in one.losses] == pytest.approx([x[2] for x in two.losses], abs=1e-5)
    assert one.tokens == two.tokens


def test_a_task_file_of_ones_own_is_trained_on(base: Path, folder: Path, tmp_path: Path) -> None:
    own = tmp_path / "my_nli.yaml"
    shipped = (assets.TASKS / "intermediate" / "mnli.yaml").read_text(encoding="utf-8")
    own.write_text(shipped.replace("name: mnli", "name: my_nli"), encoding="utf-8")
    record = run(str(own), base, folder, tmp_path / "out", max_steps=2)
    assert record.data["my_nli"]["train"][0]["licence"] == load_training("mnli").licence
    assert heads.read(tmp_path / "out" / heads.FILE, "x", []).tasks == ("my_nli",)


def test_differences_are_named_by_their_place() -> None:
    then = {"tasks": {"mnli": {"settings": {"epochs": 2}}}, "seed": 0}
    now = {"tasks": {"mnli": {"settings": {"epochs": 3}}}, "seed": 0}
    assert list(differences(then, now)) == ["tasks.mnli.settings.epochs was 2 and is 3 now"]


def test_a_record_of_another_version_is_refused(base: Path, folder: Path, tmp_path: Path) -> None:
    record = run("mnli", base, folder, tmp_path / "out", max_steps=2)
    training_record.save(replace(record, schema_version=99), tmp_path / "out")
    with pytest.raises(ModelError, match="not a training record"):
        run("mnli", base, folder, tmp_path / "out", max_steps=2)
