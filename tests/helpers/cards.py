"""Checkpoints as a card needs them: a record of a training, xharness.json and RUNs, all made up and always the same."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml
from huggingface_hub import EvalResultEntry
from huggingface_hub import parse_eval_result_entries as parse_entries

from xharness.checkpoints import heads, training_record
from xharness.checkpoints.checkpoint import Checkpoint
from xharness.checkpoints.heads import CheckpointRecord, Head
from xharness.checkpoints.training_record import Record
from xharness.data.hub_layout import front_matter
from xharness.errors import PublishError
from xharness.publishing.card import metadata as card_metadata
from xharness.publishing.card import render
from xharness.publishing.card.content import Card
from xharness.publishing.card.facts import Facts
from xharness.results.runs import Run
from xharness.results.score import Score
from xharness.tasks.recipes import load_recipe
from xharness.tasks.registry import load_task, load_training, parts_of

BASE_SHA = "c23d21b0620b635a76227c604d44e43a9f0ee389"
CONTENT = "5e" * 32
NAMES = {
    "anli": "xlmr-anli",
    "mnli": "xlmr-mnli",
    "qqp": "xlmr-qqp",
    "squad_v2": "xlmr-squad-v2",
    "squad_v1": "xlmr-squad",
    "hellaswag": "xlmr-hellaswag",
    "ccg": "xlmr-ccg",
    "cosmosqa": "xlmr-cosmosqa",
    "commonsenseqa": "xlmr-commonsenseqa",
    "multitask": "xlmr-multitask",
}
"""Training set -> the name of its repository."""
CLASSES = {kind: f"XLMRoberta{end}" for end, kind in heads.KINDS.items()}
SUPERTAGS = [r"(S[dcl]\NP)/NP", ".", "N", "NP[nb]/N"]
FACTS = Facts(developed_by="The makers of a sample")
# Made up; far enough apart that none of them can stand for another.
AS_IS = {"xnli": "mnli", "xquad": "squad_v1"}


def head(task: str, file: str | None = None) -> Head:
    """Return the head of a training set: the root's own, or in a file."""
    spec = load_training(task)
    labels = SUPERTAGS if spec.infers_labels else spec.labels
    pooler = ("head" if file else "encoder") if spec.kind == "multiple_choice" else "none"
    named = tuple(labels) if spec.kind in heads.LABELLED else ()
    return Head(task, file, spec.kind, CLASSES[spec.kind], named, pooler)  # type: ignore[arg-type]


def record(tasks: Sequence[str], **changes: Any) -> Record:
    """Return the record of a training on some tasks by the recipe of the method's authors, with made-up numbers."""
    recipe = load_recipe("jiant")
    specs = {task: load_training(task) for task in tasks}
    settings = {task: recipe.settings(spec) for task, spec in specs.items()}
    made = {
        "status": "complete",
        "key": "0123456789ab",
        "request": {
            "phase": "intermediate",
            "base": {"name": "FacebookAI/xlm-roberta-large", "id": BASE_SHA},
            "tasks": {
                task: {
                    "spec": specs[task].hash,
                    "data": f"{number:012x}",
                    "settings": settings[task].values,
                    "origins": dict(settings[task].origins),
                }
                for number, task in enumerate(tasks, 1)
            },
            "recipe": "jiant",
            "languages": ["en"],
            "cap": 131072 if len(tasks) > 1 else None,
            "temperature": 1.0,
            "seed": 42,
            "dtype": "bfloat16",
        },
        "seed": 43,
        "attempts": [{"seed": 42, "learning_rate": 1e-5, "status": "collapsed", "reason": "mnli 33.1 (chance 33.3)"}],
        "steps": 24000,
        "planned_steps": 25000,
        "data": {task: {"train": [_part(each) for each in parts_of(spec)], "dev": []} for task, spec in specs.items()},
        "mixture": {
            task: {"units": 1000 * number, "batch": 32, "probability": 1 / len(tasks), "steps": 24000 // len(tasks)}
            for number, task in enumerate(tasks, 1)
        },
        "losses": [],
        "evaluations": [{"step": 23000, "scores": {task: {"score": 71.25} for task in tasks}}],
        "probes": {
            task: {"language": "en", "n": 500, "of": 9815, "metric": spec.metric, "chance": 33.3}
            for task, spec in specs.items()
        },
        "selections": {"english-dev": {"step": 23000, "score": 71.25, "folder": "."}},
        "weights": {"model.safetensors": "ab" * 32},
        "tokens": 131072000,
        "seconds": 39600.0,
        "tokens_per_second": 3309.9,
        "hardware": {"device": "NVIDIA H200", "processes": 1, "batch_tokens": 32768, "packed": True},
        "versions": {"xharness": "0.1.0", "torch": "2.13.0", "transformers": "5.23.0"},
        "notes": ["one | of `the` notes, read from /home/somebody/data/rows.tsv"],
    }
    return Record(**{**made, **changes})  # type: ignore[arg-type]


def _part(spec: Any) -> dict[str, Any]:
    source = next((each for each in spec.sources if each.repo), None)
    return {
        "task": spec.name,
        "language": "en",
        "split": spec.train_split,
        "n": 9000,
        "available": 9000,
        "source": source.repo if source else "raw/ccgbank/train",
        "revision": "d0" * 20 if source else None,
        "status": "complete",
        "origin": "native",
        "licence": spec.licence,
    }


def checkpoint(task: str, folder: Path) -> Checkpoint:
    """Return what is known of the checkpoint of a training set before its weights are loaded."""
    tasks = tasks_of(task)
    own = {each: head(each, f"heads/{each}.safetensors" if len(tasks) > 1 else None) for each in tasks}
    kind = next(iter(own.values())).architecture if len(tasks) == 1 else "XLMRobertaModel"
    return Checkpoint(
        name=str(folder),
        path=folder,
        sha=None,
        content_hash=CONTENT,
        revision=None,
        model_type="xlm-roberta",
        architectures=(kind,),
        id2label=(),
        layers=24,
        files=("config.json", "model.safetensors", "tokenizer.json"),
        heads=own,
        phase="intermediate",
        trained_on=tuple(tasks),
    )


def tasks_of(task: str) -> list[str]:
    """Return the training sets of a checkpoint."""
    return [name for name in NAMES if name != task] if task == "multitask" else [task]


def write(task: str, folder: Path, found: Record | None = None) -> Checkpoint:
    """Write training.json and xharness.json of a checkpoint into a folder, and return what is known of it."""
    made = checkpoint(task, folder)
    folder.mkdir(parents=True, exist_ok=True)
    training_record.save(found or record(tasks_of(task)), folder)
    base = "FacebookAI/xlm-roberta-large"
    heads.write(
        folder, CheckpointRecord("intermediate", made.trained_on, base, BASE_SHA, made.heads, _pooler(made.heads))
    )
    return made


def _pooler(found: Any) -> Any:
    return "encoder" if any(each.pooler == "encoder" for each in found.values()) else "none"


def score(task: str, language: str, value: float, **changes: Any) -> Score:
    """Return a score of the whole, real test data, unless something else is said."""
    spec = load_task(task)
    n = spec.expected_count(language, "test") or 100
    numbers = {key: value + 2.5 * place for place, key in enumerate(spec.score_keys)}
    fields: dict[str, Any] = {
        "task": task,
        "language": language,
        "split": "test",
        "scores": numbers,
        "intervals": {key: [number - 1.5, number + 1.25] for key, number in numbers.items()},
        "n": n,
        "expected_n": n,
        "metric": spec.metric,
        "model": "/home/somebody/zoo/x",
        "model_hash": CONTENT,
        "data_hash": "da" * 32,
        "data_source": spec.sources[0].repo or "raw/rows.tsv",
        "data_revision": "e1" * 20,
        "data_status": "complete",
        "spec_hash": spec.hash,
        "dtype": "bfloat16",
        "seed": 0,
        "predictions_sha256": "fe" * 32,
    }
    if spec.candidates is not None:
        fields["candidates"] = {"n": 5, "expected_n": 5, "hash": "ca" * 32}
    return Score(**{**fields, **changes})


def tuned(task: str, language: str, value: float, seed: int, **changes: Any) -> Score:
    """Return a score of a tuned checkpoint."""
    spec = load_task(task)
    told = {
        "id": f"{seed:064x}",
        "training_set": spec.train,
        "key": "aaaabbbbcccc",
        "seed": seed,
        "languages": ["en"],
        "data_status": ["complete"],
        "recipe": "jiant",
        "step": 100 * seed,
        "status": "complete",
        "n": 20000,
        **changes.pop("told", {}),
    }
    track = {"phase": "tuned", "track": "zero-shot", "selected_by": "english-dev", "tuned": told, "seed": seed}
    return score(task, language, value, **{**track, **changes})


def run(scores: Iterable[Score], *, seed: int = 0, **settings: Any) -> Run:
    """Return a RUN that holds some scores."""
    told = {"dtype": "bfloat16", "split": "test", "limit": None, "label_map": {}, **settings}
    facts = {"model": "x", "model_sha": None, "model_hash": CONTENT, "seed": seed, "settings": told}
    return Run(Path("results/x"), facts, list(scores))


TUNE = {"track": "zero-shot", "selected_by": "english-dev", "languages": ["en"], "shots": None, "train_n": None}


def runs(task: str) -> list[Run]:
    """Return RUNs of a checkpoint: as it is, and tuned with two seeds of which one collapsed; some of it is partial."""
    own = [score("tatoeba", code, value) for code, value in (("de", 81.5), ("sw", 30.25), ("zh", 65.0))]
    for target, trained_on in AS_IS.items():
        if task == trained_on:
            own += [score(target, code, value) for code, value in (("en", 88.0), ("de", 82.5), ("zh", 74.0))]
    found = [run(own)]
    for seed, ending in ((1, "complete"), (2, "collapsed")):
        told = {"status": ending}
        whole = [tuned("panx", code, value + 2 * seed, seed, told=told) for code, value in (("en", 80.0), ("de", 74.5))]
        cut = tuned("panx", "zh", 21.0 + seed, seed, told=told, n=200, expected_n=10000, data_status="sample")
        found.append(run([*whole, cut], seed=seed, tune=TUNE))
    return found


def card(task: str, folder: Path, **changes: Any) -> Card:
    """Return the card of a sample checkpoint."""
    from xharness.publishing.card.facts import gather_facts

    made = write(task, folder)
    return gather_facts(folder, made, f"org/{NAMES[task]}", changes.pop("runs", runs(task)), FACTS, **changes)


REPO = "org/xlmr-squad"


def refused(make: Callable[..., Card], *arguments: Any, **options: Any) -> str:
    with pytest.raises(PublishError) as caught:
        make(*arguments, **options)
    return str(caught.value)


def metadata_of(card: Card) -> dict[str, Any]:
    return front_matter(render.render(card))[0]


def entries(card: Card, benchmark: str = "xtreme") -> dict[str, EvalResultEntry]:
    """Return task id -> entry of a file of Community Evals."""
    files = card_metadata.eval_results(card, REPO)
    found = parse_entries(yaml.safe_load(files.get(f".eval_results/{benchmark}.yaml", "[]")))
    assert len({entry.task_id for entry in found}) == len(found)
    return {entry.task_id: entry for entry in found}
