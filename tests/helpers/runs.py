"""RUNs as eval leaves them, and folders of predictions, made from gold data without any model, to be submitted."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from helpers.data_folder import (
    fixture_rows,
    fixture_tasks,
    make_data_folder,
)
from helpers.fake_hub import LoopbackHub
from xharness import files
from xharness.data import loading as data_loading
from xharness.results import predictions, scoring
from xharness.results import score as results_score
from xharness.tasks.registry import load_task

CELLS = {"xnli": ("de", "ru"), "xquad": ("de",), "panx": ("de",), "tatoeba": ("de",)}
CONTENT = "c" * 64
BOARD = {"schema_version": 1, "title": "A board", "space": None, "maintainers": ["tester"]}


def gold_folder(to: Path) -> Path:
    """Write the gold data of the tests, said to be complete."""
    return make_data_folder(to, status="complete: written for the tests")


def _made_up(kind: str, golds: Any, wrong: int) -> Any:
    """Return right predictions but for one, the ``wrong``-th."""
    if kind == "span_qa":
        ids = list(golds)
        return {name: "nothing" if i == wrong % len(ids) else golds[name][0] for i, name in enumerate(ids)}
    made = [list(gold) if kind == "tagging" else gold for gold in golds]
    place = wrong % len(made)
    made[place] = ["O"] * len(made[place]) if kind == "tagging" else made[place - 1]
    return made


def write_predictions(to: Path, gold: Path, cells: Mapping[str, Sequence[str]] = CELLS, wrong: int = 0) -> Path:
    """Write prediction files in the official layout."""
    for task, languages in cells.items():
        spec = load_task(task)
        for code in languages:
            golds = scoring.gold(spec, data_loading.load(spec, code, "test", gold).examples)
            made = _made_up(spec.kind, golds, wrong)
            predictions.write(predictions.path(to, task, spec.kind, code, "test"), spec.kind, made)
    return to


def make_run(
    to: Path,
    gold: Path,
    cells: Mapping[str, Sequence[str]] = CELLS,
    *,
    seed: int = 0,
    settings: Mapping[str, Any] | None = None,
    record: Mapping[str, Any] | None = None,
    score: Mapping[str, Any] | None = None,
) -> Path:
    """Write a RUN of a checkpoint in a local folder; what is given last stands in run.json and the result files."""
    identity = {"model": "/home/ann/zoo/mnli", "model_sha": None, "model_hash": CONTENT, **(record or {})}
    split = {"split": "test", "limit": None, "dtype": "float32", "task_files": {}, **(settings or {})}
    whole = {"schema_version": 1, "revision": None, "settings": split, "seed": seed, "targets": {}, **identity}
    files.write_json(to / "run.json", whole)
    write_predictions(to / "predictions", gold, cells, wrong=seed)
    for task, languages in cells.items():
        spec = load_task(task)
        for code in languages:
            path = predictions.path(to / "predictions", task, spec.kind, code, "test")
            found = scoring.score_file(spec, code, "test", data_loading.load(spec, code, "test", gold), path)
            facts = {"dtype": "float32", "seed": seed, "versions": {"xharness": "0.1.0"}, **(score or {})}
            facts |= {name: identity[name] for name in ("model", "model_sha", "model_hash")}
            results_score.save(replace(found, **facts), to / "results" / task / f"{code}.json")
    return to


def tuned(seed: int, **tune: Any) -> dict[str, Any]:
    """Return what makes a RUN one of tuned heads, as ``make_run`` takes it."""
    how = {"track": "zero-shot", "selected_by": "english-dev", "languages": ["en"], "shots": None, "train_n": None}
    how |= tune
    head = {"id": f"{seed:064x}", "training_set": "mnli", "key": "k", "seed": seed, "status": "complete"}
    facts = {"phase": "tuned", "track": how["track"], "selected_by": how["selected_by"], "tuned": head}
    return {"seed": seed, "settings": {"tune": how}, "score": facts}


def found_board(hub: LoopbackHub, name: str) -> Any:
    """Make a leaderboard's data set."""
    repository = hub.repository("datasets", name)
    repository.commit({"board.json": json.dumps(BOARD), "README.md": "---\nlicense: mit\n---\n"})
    return repository


def gold_predictions(to: Path, tasks: list[str], count: int = 3) -> Path:
    """Write perfect predictions in XTREME's submission layout, as another system would."""
    for task in tasks:
        spec = load_task(task)
        for language in fixture_tasks()[task][:count]:
            rows = fixture_rows(task, language)
            match spec.kind:
                case "classification":
                    text = "".join(f"{row['label']}\n" for row in rows)
                case "multiple_choice":
                    text = "".join(json.dumps({"label": int(row["label"])}) + "\n" for row in rows)
                case "tagging":
                    text = "\n".join("".join(f"{tag}\n" for tag in row["tags"]) for row in rows)
                case "span_qa":
                    text = json.dumps({row["id"]: row["answers"][0]["text"] for row in rows})
                case _:
                    order = sorted(range(len(rows)), key=lambda i: rows[i]["english"])
                    text = "".join(f"{index}\n" for index in order)
            ending = {"span_qa": "json", "multiple_choice": "jsonl"}.get(spec.kind, "tsv")
            path = to / task / f"test-{language}.{ending}"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
    return to


def contents(folder: Path) -> dict[str, bytes]:
    """Return the prediction files of a run, and its scores without times."""
    found = {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.glob("predictions/*/*"))}
    for path in sorted(folder.glob("results/*/*.json")):
        record = json.loads(path.read_text(encoding="utf-8"))
        found[str(path.relative_to(folder))] = json.dumps({**record, "seconds": None}).encode()
    return found
