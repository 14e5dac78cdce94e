"""Leaderboards of made-up submissions with their verdicts, a second per hundred of them; and packages to submit.

Boards get no prediction files: whatever builds and shows a board reads the records alone.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from xharness.leaderboard import collect as leaderboard_collect
from xharness.leaderboard import package as leaderboard_package
from xharness.leaderboard import submission, verdict
from xharness.leaderboard.board import BoardFile
from xharness.leaderboard.package import Package, SubmitterInfo
from xharness.metrics.paired import DRAW
from xharness.tasks import registry
from xharness.tasks.benchmarks import benchmarks

RESAMPLES = 200
REVISION = "0" * 39 + "1"
"""Of all data."""
ENDINGS = {"span_qa": "json", "multiple_choice": "jsonl"}
ARCHITECTURES = ("encoder", "encoder", "encoder", "decoder", "encoder-decoder")
TRAININGS = ("zero-shot", "zero-shot", "zero-shot", "translate-train")
FAMILIES = ("XLM-R", "mBERT", "RemBERT", "InfoXLM", "mDeBERTa", "Glot", "mT5", "Aya")


def all_cells() -> list[tuple[str, str]]:
    """Return every (target, language) of the benchmarks."""
    known = benchmarks().values()
    tasks = dict.fromkeys(task for each in known for task in each.tasks)
    return [
        (task, code)
        for task in tasks
        for code in registry.load_task(task).languages
        if any(task in each.tasks and code in registry.load_task(task).languages_in(each.name) for each in known)
    ]


def make_board(
    folder: Path,
    submissions: int = 12,
    seeds: int = 1,
    *,
    title: str = "Made-up leaderboard",
    replicates: bool = True,
    seed: int = 0,
    mixed: bool = True,
) -> list[str]:
    """Write a copy of a board's data set and return the ids of its submissions in the order in which they were made.

    Args:
        folder: where to; made if it is not there.
        submissions, seeds: how many, and how many seeds each has.
        title: of the board.
        replicates: write those that differences are tested with.
        seed: of all that is random; the same one gives the same files.
        mixed: of every ten one is not checked, one lacks languages, one saw test data, and one replaces another;
            without it all are checked, whole, and of one track.
    """
    folder.mkdir(parents=True, exist_ok=True)
    about = BoardFile(schema_version=1, title=title, space="org/board", maintainers=["keeper"])
    (folder / "board.json").write_bytes(about.to_bytes())
    (folder / "submissions").mkdir(exist_ok=True)
    random = np.random.RandomState(seed)
    cells = all_cells()
    gold = _gold(cells)
    # What resamples do to every system alike, so that differences are more certain than scores.
    shared = random.normal(size=(len(cells), RESAMPLES))
    ids: list[str] = []
    for number in range(submissions):
        place = number % 10 if mixed else 0
        kept = cells if place != 3 else [cell for cell in cells if cell[0] in ("xnli", "xquad") and cell[1] != "th"]
        content = _record(number, seeds, kept, gold, random, supersedes=ids[-1] if place == 9 else None, mixed=mixed)
        ids.append(add(folder, content, gold, checked=place != 2, draws=(shared, random) if replicates else None))
    return ids


def add(
    folder: Path,
    content: dict[str, Any],
    gold: dict[tuple[str, str], dict[str, Any]],
    *,
    checked: bool = True,
    draws: tuple[Any, np.random.RandomState] | None = None,
) -> str:
    """Write a submission, and the verdict that accepts it; return its id, which its content gives it."""
    digest = submission.digest_of(content)
    name = submission.id_of(content["name"], digest)
    _write(folder / "submissions" / name / "submission.json", {**content, "id": name})
    if checked:
        index = None if draws is None else _replicates(folder / "checks" / name, content, gold, *draws)
        _write(folder / "checks" / name / "verdict.json", _verdict(name, digest, content, gold, index))
    return name


def _gold(cells: Sequence[tuple[str, str]]) -> dict[tuple[str, str], dict[str, Any]]:
    """Return what is known of each cell: its data, and what a verdict says beside the scores."""
    specs = {task: registry.load_task(task) for task, _ in cells}
    hashes = {task: each.hash for task, each in specs.items()}
    made = {}
    for place, (task, code) in enumerate(cells):
        expected = specs[task].expected_count(code, "test")
        pool = specs[task].candidates
        candidates = pool and {"n": pool.expected["test"] or 9, "expected_n": pool.expected["test"], "hash": task}
        made[task, code] = {
            "place": place,
            "kind": specs[task].kind,
            "keys": specs[task].score_keys,
            "data_hash": hashlib.sha256(f"{task}/{code}".encode()).hexdigest(),
            "spec_hash": hashes[task],
            "expected_n": expected,
            "n": expected or 1000,
            "candidates": candidates or {},
        }
    for task, each in specs.items():
        if each.total:  # of some targets only the sum over languages is known
            codes = [code for name, code in cells if name == task]
            for code in codes:
                made[task, code]["n"] = each.expected_count(code, "test") or 440
            rest = each.total["test"] - sum(made[task, code]["n"] for code in codes[:-1])
            made[task, codes[-1]]["n"] = rest
    return made


def _record(
    number: int,
    seeds: int,
    cells: Sequence[tuple[str, str]],
    gold: dict[tuple[str, str], dict[str, Any]],
    random: np.random.RandomState,
    *,
    supersedes: str | None,
    mixed: bool,
) -> dict[str, Any]:
    """Return a submission.json without its id."""
    skill = float(random.uniform(30, 75))
    family = FAMILIES[number % len(FAMILIES)]
    kind = number % 20 if mixed else 0
    scores: dict[str, dict[str, dict[str, dict[str, float]]]] = {str(each): {} for each in range(seeds)}
    data: dict[str, dict[str, dict[str, Any]]] = {}
    files = {}
    noise = random.normal(scale=4, size=len(cells))
    by_seed = random.normal(scale=0.5, size=(seeds, len(cells)))
    for i, (task, code) in enumerate(cells):
        about = gold[task, code]
        ease = 8 if code == "en" else -(sum(map(ord, code)) % 17)
        for each in range(seeds):
            value = float(np.clip(skill + ease + noise[i] + by_seed[each, i], 1, 99))
            found = {key: value - 9 * k for k, key in enumerate(reversed(about["keys"]))}
            scores[str(each)].setdefault(task, {})[code] = {k: max(0.5, v) for k, v in found.items()}
            path = submission.file_path(each, task, code, ENDINGS.get(about["kind"], "tsv"))
            digest = hashlib.sha256(f"{number}/{path}".encode()).hexdigest()
            files[path] = {"sha256": digest, "bytes": 900, "content_sha256": digest, "content_bytes": 3000}
        data.setdefault(task, {})[code] = {
            "data_hash": about["data_hash"],
            "spec_hash": about["spec_hash"],
            "source": f"org/{task}",
            "revision": REVISION,
            "status": "complete",
            "n": about["n"],
        }
    return {
        "schema_version": 1,
        "name": f"{family} {number}",
        "submitted_by": f"user{number // 10}",
        "source": "xharness",
        "model": {
            "repo": f"org/{family.lower()}-{number}",
            "revision": f"{number:040x}",
            "content": None,
            "base": family,
            "parameters": 100_000_000 + number * 1_000_000,
            "architecture": ARCHITECTURES[number % len(ARCHITECTURES)] if mixed else "encoder",
            "paper": "https://arxiv.org/abs/2003.11080" if number % 2 else None,
            "url": None,
        },
        "track": {
            "phase": "tuned",
            "training": TRAININGS[number % len(TRAININGS)] if mixed else "zero-shot",
            "selected_by": "english-dev",
        },
        "declarations": {
            "saw_test_data": "yes" if kind == 5 else "unknown" if kind == 6 else "no",
            "translated_data": kind == 7,
            "notes": "Made up.",
        },
        "seeds": list(range(seeds)),
        "files": files,
        "scores": scores,
        "data": data,
        "settings": {"dtype": "float32", "tune": {"lr": 2e-05}},
        "versions": {"xharness": "0.1.0"},
        "supersedes": supersedes,
    }


def _verdict(name: str, digest: str, content: dict[str, Any], gold: Any, index: Any) -> dict[str, Any]:
    def line(task: str, code: str, scores: dict[str, float]) -> dict[str, Any]:
        about = gold[task, code]
        half = {key: 196 * (value * (100 - value) / 10_000 / about["n"]) ** 0.5 for key, value in scores.items()}
        return {
            "scores": scores,
            **{key: about[key] for key in ("n", "expected_n", "data_hash", "spec_hash", "candidates")},
            "data_status": "complete",
            "data_source": f"org/{task}",
            "data_revision": REVISION,
            "intervals": {key: [value - half[key], value + half[key]] for key, value in scores.items()},
            "whole": True,
            "counts": {},
        }

    return {
        "schema_version": verdict.SCHEMA_VERSION,
        "id": name,
        "digest": digest,
        "verdict": verdict.ACCEPTED,
        "problems": [],
        "warnings": [],
        "scores": {
            each: {
                task: {code: line(task, code, scores) for code, scores in by_language.items()}
                for task, by_language in tasks.items()
            }
            for each, tasks in content["scores"].items()
        },
        "replicates": index,
        "versions": {"xharness": "0.1.0"},
    }


def _replicates(folder: Path, content: dict[str, Any], gold: Any, shared: Any, random: Any) -> dict[str, Any]:
    """Write replicates.bin and return what the verdict says of it."""
    cells = [(task, code) for task, by_language in content["data"].items() for code in by_language]
    seeds = list(content["scores"].values())
    means = np.array([np.mean([list(s[task][code].values()) for s in seeds]) for task, code in cells])
    places = [gold[cell]["place"] for cell in cells]
    width = np.array([50 / gold[cell]["n"] ** 0.5 for cell in cells])[:, None]
    drawn = means[:, None] + width * (0.8 * shared[places] + 0.6 * random.normal(size=(len(cells), RESAMPLES)))
    packed = np.rint(np.clip(drawn, 0, 100) * 100).astype("<i2").tobytes()
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "replicates.bin").write_bytes(packed)
    return {
        "file": "replicates.bin",
        "sha256": hashlib.sha256(packed).hexdigest(),
        "draw": DRAW,
        "resamples": RESAMPLES,
        "cells": [list(cell) for cell in cells],
    }


def _write(path: Path, content: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content), encoding="utf-8")


def packed(*runs: Path, gold: Path, **more: Any) -> Package:
    """Return the package of some RUNs."""
    given = SubmitterInfo(**{"name": "XLM-R (MNLI)", "submitted_by": "ann", "architecture": "encoder", **more})
    return leaderboard_package.pack(leaderboard_collect.from_runs(runs), given, gold, lambda _: None)


def write_package(package: Package, to: Path) -> Path:
    """Write a package into a folder of its own."""
    for file in package.files:
        path = to / file.path.removeprefix(f"{package.folder}/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(file.source if isinstance(file.source, bytes) else file.source.read_bytes())
    return to
