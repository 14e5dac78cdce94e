"""Checkpoints with several heads: xharness.json is read strictly, and each head gives what its stock model gives."""

from __future__ import annotations

import copy
import dataclasses
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from helpers import tiny_models
from helpers.fake_hub import LoopbackHub
from xharness.checkpoints import heads, resolve
from xharness.checkpoints.heads import CheckpointRecord, Head
from xharness.errors import ModelError, NothingToDo, UsageError
from xharness.evaluation import runner as evaluation_runner
from xharness.evaluation.model_cache import ModelCache
from xharness.evaluation.prepare import Options, prepare
from xharness.models import devices
from xharness.models import loading as models_loading
from xharness.models.kinds import KINDS
from xharness.tasks.registry import load_task

NLI = ("neutral", "contradiction", "entailment")
TASKS: dict[str, tuple[str, tuple[str, ...]]] = {
    "mnli": ("classification", NLI),
    "squad_v1": ("span_qa", ()),
    "squad_v2": ("span_qa", ()),
    "csqa": ("multiple_choice", ()),
    "panx_en": ("tagging", ("O", "B-PER", "I-PER", "B-ORG", "I-ORG", "B-LOC", "I-LOC")),
}


@dataclasses.dataclass(frozen=True)
class Several:
    """A checkpoint with several heads, and the plain one that each of them would be alone."""

    folder: Path
    alone: dict[str, Path]


def several(folder: Path, family: str = "xlm-roberta", pooled: bool = False) -> Several:
    """Make a checkpoint of stock models that share one encoder; ``pooled``: its pooler too."""
    root = tiny_models.checkpoint(folder / "all", "encoder", family=family, seed=1)
    shared = load_file(root / "model.safetensors")
    shared = {key: value for key, value in shared.items() if pooled or not heads_pooler(key)}
    save_file(shared, root / "model.safetensors", metadata={"format": "pt"})
    alone, found = {}, {}
    for seed, (name, (kind, labels)) in enumerate(TASKS.items(), start=2):
        alone[name] = tiny_models.checkpoint(folder / name, kind, labels=labels, family=family, seed=seed)
        stock = transformers.AutoConfig.from_pretrained(alone[name]).architectures[0]
        model = getattr(transformers, stock).from_pretrained(alone[name])
        own = model.base_model.state_dict()
        model.base_model.load_state_dict({k: shared.get(k, v) for k, v in own.items()})
        model.save_pretrained(alone[name])
        prefix = f"{model.base_model_prefix}."
        weights = {k: v for k, v in model.state_dict().items() if k.removeprefix(prefix) not in shared}
        file = f"heads/{name}.safetensors"
        (root / "heads").mkdir(exist_ok=True)
        save_file(weights, root / file)
        reads = any(heads_pooler(k.removeprefix(prefix)) for k in own)
        pooler = "none" if not reads else "encoder" if pooled else "head"
        found[name] = Head(name, file, kind, stock, labels, pooler)
    heads.write(
        root,
        CheckpointRecord("intermediate", tuple(TASKS), "org/base", "0" * 40, found, "encoder" if pooled else "none"),
    )
    return Several(root, alone)


def heads_pooler(key: str) -> bool:
    return key.startswith("pooler.")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Several:
    return several(tmp_path_factory.mktemp("several"))


def load(folder: Path, name: str, dtype: str = "float32", head: Head | None = None) -> models_loading.LoadedModel:
    return models_loading.load(
        folder, KINDS[TASKS[name][0]], name="org/tiny", device=torch.device("cpu"), dtype=dtype, head=head
    )


def head_of(folder: Path, name: str, **changes: Any) -> Head:
    return dataclasses.replace(resolve.read_checkpoint(str(folder)).heads[name], **changes)


def logits(encoder: models_loading.LoadedModel, kind: str) -> list[torch.Tensor]:
    ids = torch.tensor([[0, 5, 6, 7, 2], [0, 9, 8, 2, 1]])
    inputs = {"input_ids": ids, "attention_mask": (ids != 1).long()}
    if kind == "multiple_choice":
        inputs = {name: values.unsqueeze(1) for name, values in inputs.items()}
    # Kernels round by where a weight lies in memory, and that is where it lies in its file; copies all lie evenly.
    model = copy.deepcopy(encoder.model)
    with torch.inference_mode():
        output = model(**inputs)
    return [output.start_logits, output.end_logits] if kind == "span_qa" else [output.logits]


# --- Loading --------------------------------------------------------------------------------------------------------


def same_as_alone(found: Several, folder: Path, dtype: str = "float32") -> None:
    checkpoint = resolve.read_checkpoint(str(folder))
    assert list(checkpoint.heads) == list(TASKS)
    for name, (kind, labels) in TASKS.items():
        encoder = load(folder, name, dtype, checkpoint.heads[name])
        alone = load(found.alone[name], name, dtype)
        for one, other in zip(logits(encoder, kind), logits(alone, kind), strict=True):
            assert torch.equal(one, other)
            assert one.dtype == devices.DTYPES[dtype]
        weights, expected = encoder.model.state_dict(), alone.model.state_dict()
        assert list(weights) == list(expected)
        for key in weights:
            assert weights[key].dtype == expected[key].dtype
            assert torch.equal(weights[key], expected[key]), key
        assert not encoder.model.training
        if labels:
            assert encoder.model.config.id2label == dict(enumerate(labels))
            assert encoder.model.config.num_labels == len(labels)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_each_head_gives_what_its_stock_model_gives(made, dtype):
    same_as_alone(made, made.folder, dtype)


@pytest.mark.parametrize(("family", "pooled"), [("bert", False), ("bert", True), ("deberta-v2", False)])
def test_encoders_with_other_poolers(family, pooled, tmp_path):
    found = several(tmp_path, family, pooled)
    same_as_alone(found, found.folder)


def test_a_head_has_its_own_pooler_though_the_root_has_one_too(made, tmp_path):
    root = several(tmp_path, pooled=True).folder
    shutil.copy(made.folder / "heads/csqa.safetensors", root / "heads/csqa.safetensors")
    own = load_file(root / "heads/csqa.safetensors")["roberta.pooler.dense.weight"]
    encoder = load(root, "csqa", head=head_of(root, "csqa", pooler="head"))
    assert torch.equal(encoder.model.roberta.pooler.dense.weight, own)
    with pytest.raises(
        ModelError, match=r"2 weights do not belong to the head of a .*roberta\.pooler.*'pooler' is 'encoder'"
    ):
        load(root, "csqa", head=head_of(root, "csqa"))


def test_the_root_is_an_encoder_as_any_other(made):
    encoder = models_loading.load(
        made.folder, KINDS["retrieval"], name="tiny", device=torch.device("cpu"), dtype="float32", pooling="mean"
    )
    assert encoder.model.pooler is None
    with pytest.raises(ModelError, match="no pooler"):
        models_loading.load(
            made.folder, KINDS["retrieval"], name="tiny", device=torch.device("cpu"), dtype="float32", pooling="pooler"
        )
    with pytest.raises(ModelError, match="never filled with random values"):
        load(made.folder, "mnli")


def test_the_file_of_a_head_without_a_file_is_the_checkpoint(made):
    kind, labels = TASKS["mnli"]
    own = Head("mnli", None, kind, "XLMRobertaForSequenceClassification", labels)
    one, other = (logits(load(made.alone["mnli"], "mnli", head=h), kind)[0] for h in (own, None))
    assert torch.equal(one, other)


Weights = dict[str, torch.Tensor]


@pytest.mark.parametrize(
    ("name", "change", "fields", "words"),
    [
        (
            "mnli",
            lambda w: w.pop("classifier.dense.bias"),
            {},
            r"1 weights of a .* are neither .*classifier\.dense\.bias",
        ),
        ("csqa", lambda w: w.pop("roberta.pooler.dense.bias"), {}, r"roberta\.pooler\.dense\.bias.*never filled"),
        ("csqa", lambda w: None, {"pooler": "none"}, None),
        (
            "mnli",
            lambda w: w.update({"lm_head.bias": torch.zeros(2)}),
            {},
            r"1 weights do not belong .*lm_head\.bias",
        ),
        (
            "mnli",
            lambda w: w.update({"roberta.embeddings.LayerNorm.bias": torch.zeros(16)}),
            {},
            r"1 weights do not belong to the head .*LayerNorm",
        ),
        (
            "mnli",
            lambda w: None,
            {"labels": ("no", "yes")},
            r"shape \[3\], .* and 2 labels in xharness\.json has \[2\]",
        ),
        (
            "squad_v1",
            lambda w: w.update({"qa_outputs.bias": torch.zeros(3)}),
            {},
            r"qa_outputs\.bias has the shape \[3\]",
        ),
        ("mnli", lambda w: w.update({k: w[k].flatten() for k in ["classifier.dense.weight"]}), {}, r"shape \[256\]"),
        ("mnli", lambda w: None, {"architecture": "BertForSequenceClassification"}, "the head is a XLMRobertaForSeq"),
        (
            "mnli",
            lambda w: None,
            {"file": "heads/other.safetensors"},
            r"heads/other\.safetensors: the file does not",
        ),
        ("mnli", lambda w: None, {"file": "heads/squad_v1.safetensors"}, r"4 weights .*classifier\.dense"),
    ],
)
def test_a_wrong_file_of_a_head_is_refused(name, change, fields, words, made, tmp_path):
    folder = shutil.copytree(made.folder, tmp_path / "wrong")
    weights = load_file(folder / f"heads/{name}.safetensors")
    change(weights)
    save_file(weights, folder / f"heads/{name}.safetensors")
    head = head_of(folder, name, **fields)
    if words is None:
        load(folder, name, head=head)
        return
    with pytest.raises(ModelError, match=words) as caught:
        load(folder, name, head=head)
    assert str(caught.value).startswith("org/tiny: ")
    assert "\n" not in str(caught.value)


def test_a_damaged_file_of_a_head(made, tmp_path):
    folder = shutil.copytree(made.folder, tmp_path / "damaged")
    head = head_of(folder, "mnli")
    path = folder / "heads/mnli.safetensors"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ModelError, match=r"mnli\.safetensors: the file is truncated"):
        resolve.read_checkpoint(str(folder))
    with pytest.raises(ModelError, match="damaged"):
        load(folder, "mnli", head=head)


def test_a_plain_checkpoint_without_the_pooler_that_its_head_reads_is_refused(made, tmp_path):
    folder = shutil.copytree(made.alone["csqa"], tmp_path / "cut")
    weights = load_file(folder / "model.safetensors")
    save_file({k: v for k, v in weights.items() if "pooler" not in k}, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(ModelError, match=r"roberta\.pooler\.dense\.bias.*never filled with random values"):
        load(folder, "csqa")


# --- xharness.json --------------------------------------------------------------------------------------------------


def test_what_a_checkpoint_says_of_itself(made, tmp_path):
    found = resolve.read_checkpoint(str(made.folder))
    assert (found.phase, found.trained_on) == ("intermediate", tuple(TASKS))
    assert (found.head, found.head_name, found.id2label) == (None, None, ())
    assert found.heads["csqa"] == Head(
        "csqa", "heads/csqa.safetensors", "multiple_choice", "XLMRobertaForMultipleChoice", (), "head"
    )
    plain = resolve.read_checkpoint(str(made.alone["mnli"]))
    assert (plain.phase, plain.trained_on, plain.heads) == (None, (), {})
    # The heads are part of what the checkpoint is.
    folder = shutil.copytree(made.folder, tmp_path / "other")
    assert resolve.read_checkpoint(str(folder)).content_hash == found.content_hash
    shutil.copy(folder / "heads/mnli.safetensors", folder / "heads/extra.safetensors")
    assert resolve.read_checkpoint(str(folder)).content_hash != found.content_hash


NAMES = st.text("abcdefghij_123", min_size=1, max_size=6)
LABELS = st.lists(st.text(min_size=1, max_size=4).filter(str.strip), min_size=1, max_size=4, unique=True).map(tuple)
KIND = st.sampled_from(sorted(heads.KINDS.items()))


@st.composite
def records(draw: Callable[[Any], Any]) -> CheckpointRecord:
    found = {}
    for name in draw(st.lists(NAMES, max_size=3, unique=True)):
        end, kind = draw(KIND)
        labels = draw(LABELS) if kind in heads.LABELLED else ()
        pooler = draw(st.sampled_from(["head", "none"]))
        found[name] = Head(name, f"heads/{name}.safetensors", kind, f"Bert{end}", labels, pooler)
    tasks = draw(st.lists(NAMES, min_size=1, max_size=3))
    return CheckpointRecord(
        draw(st.sampled_from(["intermediate", "target"])), tuple(tasks), draw(NAMES), draw(NAMES), found
    )


@given(records())
def test_what_is_written_is_read(tmp_path_factory, record):
    path = heads.write(tmp_path_factory.getbasetemp(), record)
    there = [head.file for head in record.heads.values()]
    assert heads.read(path, "org/tiny", there) == record
    for name in record.heads:
        with pytest.raises(
            ModelError, match=rf"^org/tiny: xharness\.json: heads\.\w+\.file: heads/{name}\.safetensors is missing"
        ):
            heads.read(path, "org/tiny", [file for file in there if file != f"heads/{name}.safetensors"])


def content(**changes: Any) -> dict[str, Any]:
    head = Head("mnli", "heads/mnli.safetensors", "classification", "XLMRobertaForSequenceClassification", NLI)
    return {**CheckpointRecord("intermediate", ("mnli",), "org/base", "0" * 40, {"mnli": head}).to_json(), **changes}


def entry(**changes: Any) -> dict[str, Any]:
    return content(heads={"mnli": {**content()["heads"]["mnli"], **changes}})


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ([], "holds a list, expected an object with fields"),
        ({}, "schema_version: field required"),
        ({"anything": 1}, "anything: no such field"),
        (content(schema_version=2), r"schema_version: found 2; .*Install a newer xharness"),
        (content(schema_version="1"), "schema_version: found '1', expected 1"),
        (content(phase="final"), "phase: found 'final', expected 'intermediate' or 'target'"),
        (content(tasks="mnli"), r"tasks: found 'mnli' \(str\), expected a valid list"),
        (content(tasks=[]), r"tasks: found \[\], expected the names"),
        (content(base={"name": "org/base"}), r"base\.id: field required"),
        (content(pooler="head"), "pooler: found 'head', expected 'encoder' or 'none'"),
        (content(heads=[]), r"heads: found \[\]"),
        (content(heads={"": entry()["heads"]["mnli"]}), "heads: found a head without a name"),
        (entry(kind="nli"), r"heads\.mnli\.kind: found 'nli', expected 'classification', "),
        (
            entry(kind="tagging"),
            r"heads\.mnli\.architecture: .* expected a class whose name ends with ForTokenClassificat",
        ),
        (entry(pooler="encoder"), r"heads\.mnli\.pooler: found 'encoder', but 'pooler' says that the encoder has non"),
        (entry(labels=[1, 2, 3]), r"heads\.mnli\.labels\.0: found 1 \(int\), expected a valid string"),
        (entry(labels=[]), r"heads\.mnli\.labels: found \[\], expected the name of each output"),
        (entry(labels=["a", " "]), r"heads\.mnli\.labels: found \['a', ' '\], expected the name of each output"),
        (entry(labels=["a", "a"]), r"heads\.mnli\.labels: found \['a', 'a'\], expected each name once"),
        (
            entry(kind="span_qa", architecture="BertForQuestionAnswering", labels=["a"]),
            r"heads\.mnli\.labels: found \['a'\], expected none",
        ),
        *[
            (entry(file=file), r"heads\.mnli\.file: found .*, expected heads/<name>\.safetensors")
            for file in (
                "../mnli.safetensors",
                "heads/../../mnli.safetensors",
                "heads/..safetensors",
                "heads/sub/mnli.safetensors",
                "/heads/mnli.safetensors",
                "heads\\mnli.safetensors",
                "heads/mnli.bin",
                "model.safetensors",
                "",
            )
        ],
        (entry(file=7), r"heads\.mnli\.file: found 7"),
        (entry(lables=[]), r"heads\.mnli\.lables: no such field\. Did you mean 'labels'\?"),
        (
            content(heads={n: {**entry()["heads"]["mnli"], "file": None} for n in ("a", "b")}),
            "heads: a, b have no file; only one",
        ),
    ],
)
def test_a_wrong_file_is_an_error_that_names_the_field(wrong, words, tmp_path):
    path = tmp_path / "xharness.json"
    path.write_text(json.dumps(wrong), encoding="utf-8")
    with pytest.raises(ModelError, match=rf"(?s)org/tiny: xharness\.json:? .*{words}"):
        heads.read(path, "org/tiny", ["heads/mnli.safetensors"])


def test_a_file_that_is_no_json(tmp_path):
    path = tmp_path / "xharness.json"
    for raw in (b"{", b"\xff\xfe", b""):
        path.write_bytes(raw)
        with pytest.raises(ModelError, match=r"xharness\.json is not JSON .*rename it"):
            heads.read(path, "org/tiny", [])
    with pytest.raises(ModelError, match=r"cannot be read: No such file"):
        heads.read(tmp_path / "nothing.json", "org/tiny", [])


def test_a_record_that_could_not_be_read_again_is_not_written(tmp_path):
    head = Head("mnli", "mnli.safetensors", "classification", "BertForSequenceClassification", NLI)
    with pytest.raises(ModelError, match=r"heads\.mnli\.file"):
        heads.write(tmp_path, CheckpointRecord("target", ("mnli",), "org/base", "0", {"mnli": head}))
    assert list(tmp_path.iterdir()) == []


def test_the_roots_own_head_must_be_that_of_its_config(made, tmp_path):
    folder = shutil.copytree(made.alone["mnli"], tmp_path / "own")
    own = Head("mnli", None, "classification", "XLMRobertaForSequenceClassification", NLI)
    record = CheckpointRecord("target", ("mnli",), "org/base", "0", {"mnli": own})
    heads.write(folder, record)
    found = resolve.read_checkpoint(str(folder))
    assert (found.heads, found.head_name, found.phase) == ({"mnli": own}, "mnli", "target")
    turned = dataclasses.replace(own, labels=tuple(reversed(NLI)))
    heads.write(folder, dataclasses.replace(record, heads={"mnli": turned}))
    with pytest.raises(ModelError, match=r"heads\.mnli\.labels: entailment, .*; but config\.json .* has neutral, "):
        resolve.read_checkpoint(str(folder))
    other = dataclasses.replace(own, kind="span_qa", architecture="XLMRobertaForQuestionAnswering", labels=())
    heads.write(folder, dataclasses.replace(record, heads={"mnli": other}))
    with pytest.raises(
        ModelError,
        match=r"the XLMRobertaForQuestionAnswering in the root weights; but .* are: XLMRobertaForSequenceClass",
    ):
        resolve.read_checkpoint(str(folder))


# --- The whole way --------------------------------------------------------------------------------------------------


def predictions_of(found: Any) -> dict[str, bytes]:
    run = Path(found.provenance["run"])
    return {str(p.relative_to(run)): p.read_bytes() for p in sorted(run.glob("predictions/*/*"))}


def test_eval_takes_each_target_to_its_head(made, data_folder, tmp_path):
    def run(model: Path, targets: str, **options: Any) -> Any:
        where = {"data_dir": data_folder, "output": tmp_path / "out", "dtype": "float32", "languages": ["de", "en"]}
        return evaluation_runner.evaluate(str(model), targets=targets, progress=False, **{**where, **options})

    both = run(made.folder, "xnli,xquad", languages=["de"])
    assert both.provenance["failures"] == []
    alone = predictions_of(run(made.alone["mnli"], "xnli", languages=["de"]))
    alone |= predictions_of(run(made.alone["squad_v1"], "xquad", languages=["de"]))
    assert len(alone) == 2
    assert predictions_of(both) == alone
    # The same head by name is the same work, but a run of its own.
    named = run(made.folder, "xquad", languages=["de"], head="squad_v1")
    assert named.provenance["run"] != both.provenance["run"]
    assert predictions_of(named).items() <= alone.items()
    assert json.loads((Path(named.provenance["run"]) / "run.json").read_text())["settings"]["head"] == "squad_v1"
    other = predictions_of(run(made.folder, "xquad", languages=["de"], head="squad_v2"))
    assert other == predictions_of(run(made.alone["squad_v2"], "xquad", languages=["de"]))
    assert not other.items() & alone.items()
    with pytest.raises(NothingToDo, match=r"tydiqa: needs English .*several of its heads fit \(squad_v1, squad_v2"):
        run(made.folder, "tydiqa", languages=["ru"])


def test_the_shelf_holds_one_head_at_a_time(made):
    checkpoint = resolve.read_checkpoint(str(made.folder))
    chosen = {"xquad": checkpoint.heads["squad_v1"], "mlqa": checkpoint.heads["squad_v2"]}
    shelf = ModelCache(checkpoint, made.folder, torch.device("cpu"), "float32", False, chosen)
    found = {}
    for task in ("xquad", "mlqa"):
        found[task] = shelf.encoder(load_task(task), "float32")
        assert shelf.encoder(load_task(task), "float32") is found[task]
        stored = load_file(made.folder / f"{chosen[task].file}")
        assert torch.equal(found[task].model.qa_outputs.weight, stored["qa_outputs.weight"])
    assert found["xquad"] is not found["mlqa"]


def test_the_command_line_takes_the_name_of_a_head(made, data_folder, runner):
    arguments = ["eval", "--model", made.folder, "--targets", "xnli,xquad", "--data-dir", data_folder, "--dry-run"]
    plan = json.loads(runner(*arguments, "--head", "mnli", "--json").out)["plan"]
    assert {task: (step["state"], step["head"]) for task, step in plan.items()} == {
        "xnli": ("ready", "mnli"),
        "xquad": ("cannot", None),
    }
    wrong = runner(*arguments, "--head", "mlni")
    assert (wrong.exit_code, wrong.out) == (UsageError.exit_code, "")
    assert "Did you mean 'mnli'?" in wrong.err


def test_heads_come_from_the_hub(made, tmp_path, data_folder):
    files = {p.relative_to(made.folder).as_posix(): p for p in made.folder.rglob("*") if p.is_file()}
    with LoopbackHub(tmp_path / "hub") as server, server.client(tmp_path / "home") as client:
        repository = server.repository("models", "org/several")
        repository.commit({path: file for path, file in files.items() if path != "heads/mnli.safetensors"})
        client.run("import dataclasses; from xharness.checkpoints import resolve; from xharness.hub import read as hub")
        with pytest.raises(
            Exception, match=r"org/several: xharness\.json: heads\.mnli\.file: heads/mnli\.safetensors is missing"
        ):
            client.run("resolve.read_checkpoint('org/several')")
        repository.commit(files)
        found = client.run("found = resolve.read_checkpoint('org/several'); result = dataclasses.asdict(found)")
        assert (list(found["heads"]), found["phase"]) == (list(TASKS), "intermediate")
        assert not [path for path in server.sent() if path.endswith(".safetensors")]
        folder = Path(client.run("result = str(resolve.download(found))"))
        # What was downloaded is enough where there is no network.
        with server.client(tmp_path / "home", HF_HUB_OFFLINE="1") as offline:
            again = offline.run(
                "import dataclasses; from xharness.checkpoints import resolve; from xharness.hub import read as hub; "
                "result = dataclasses.asdict(resolve.read_checkpoint('org/several'))"
            )
        assert again["heads"] == found["heads"]
        same_as_alone(made, folder)
        prepared = prepare(
            str(folder), targets=["xnli"], languages=["de"], data_dir=data_folder, options=Options(head="mnli")
        )
        assert [step.head for step in prepared.steps] == ["mnli"]
