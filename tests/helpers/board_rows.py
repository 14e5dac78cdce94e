"""A board of made-up numbers over the real benchmarks, as the leaderboard's page is given it."""

from __future__ import annotations

import hashlib
import random
from dataclasses import replace
from typing import Any

from xharness.leaderboard import rows
from xharness.leaderboard.rows import BoardBuilder, Cell, GoldRecord, Row, board_schema
from xharness.results.score import Score
from xharness.tasks.task_spec import TaskSpec


def made_board(submissions: int = 12, *, seed: int = 0) -> BoardBuilder:
    """Return a board of made-up numbers over the real benchmarks and their languages.

    From the best to the worst: every fifth is not checked, one has seen test data, one is of another track. The last
    two lack targets and a language, and are best where they have scores.
    """
    dice = random.Random(seed)
    board = BoardBuilder(board_schema(), "Zero-shot transfer", "org/leaderboard", "0123456789" * 4)
    for number in range(submissions):
        lacking = submissions > 6 and number >= submissions - 2
        cells = [
            made_cell(spec, code, (85 if lacking else 82 - 40 * number / submissions) + dice.uniform(-9, 9))
            for name, spec in board.schema.tasks.items()
            for code in board_codes(board, name)
            if not (lacking and (name in ("mlqa", "udpos") or code == "sw"))
        ]
        add(board, made_row(number), cells)
    return board


def add(board: BoardBuilder, row: Row, cells: list[Cell], told: dict[str, dict[str, float]] | None = None) -> None:
    """Put a row at the end of a board, with its averages."""
    board.add(rows.board_row(board.schema, row, cells, told))


def board_codes(board: BoardBuilder, task: str) -> list[str]:
    """Return the languages of a target in any benchmark."""
    return list(dict.fromkeys(code for codes in board.schema.members[task].values() for code in codes))


def made_cell(spec: TaskSpec, code: str, value: float) -> Cell:
    """Return a score around a value, under three seeds; of several metrics, the first is lower than the second."""
    count = len(spec.score_keys)
    scores = {key: value + 4 * (2 * i - count + 1) for i, key in enumerate(spec.score_keys)}
    n = 500 + 37 * list(spec.languages).index(code)
    score = Score(
        task=spec.name,
        language=code,
        split="test",
        scores=scores,
        n=n,
        expected_n=n,
        metric=spec.metric,
        data_hash=hashlib.sha256(f"{spec.name} {code}".encode()).hexdigest(),
        data_source="made up",
        data_revision=None,
        data_status="complete",
        spec_hash=spec.hash,
        predictions_sha256="0" * 64,
    )
    data = GoldRecord(score.data_hash, spec.hash, "made up", None, "complete")
    apart = 0.1 + 0.1 * (n % 7)
    by_seed = {0: value - apart, 1: value, 2: value + apart}
    return Cell(score, apart, (value - 1.2, value + 1.3), True, data, by_seed)


def made_row(number: int, **changes: Any) -> Row:
    """Return what is said of a system, with whatever is to be said otherwise."""
    kinds = ("large-squad", "base-mnli", "multitask", "large-stilts")
    digest = hashlib.sha256(str(number).encode()).hexdigest()
    name = f"{kinds[number % len(kinds)]}-{number:03d}"
    row = Row(
        id=f"{name}-{digest[:12]}",
        name=name,
        kind="submission",
        checked=number % 5 != 3,
        track={
            "architecture": "encoder",
            "phase": "as is" if number == 5 else "tuned",
            "training": "zero-shot",
            "selected_by": "english-dev",
        },
        declarations={
            "saw_test_data": "yes" if number == 4 else "unknown" if number == 2 else "no",
            "translated_data": False,
            "notes": "",
        },
        model={
            "repo": f"org/{name}",
            "revision": digest[:40],
            "content": digest,
            "base": "xlm-roberta-large",
            "parameters": 559_890_432,
            "architecture": "encoder",
            "paper": "https://arxiv.org/abs/2005.13013",
            "url": None,
        },
        submitted_by=f"user{number % 4}",
        seeds=(0, 1, 2) if number % 2 == 0 else (0,),
        settings={"dtype": "float32", "recipe": {"epochs": 3, "learning_rate": 2e-5}},
        versions={"xharness": "0.1.0", "torch": "2.13.0"},
    )
    return replace(row, **changes)


def many_rows(scores: dict[str, Any], count: int) -> dict[str, Any]:
    """Return a board of as many rows as wanted, its first row with other numbers again and again."""
    cells, dice = scores["cells"], random.Random(count)
    own = cells["row"].count(0)
    made = {**scores, "rows": [], "cells": {name: [] for name in cells}}
    for number in range(count):
        better = dice.uniform(-30, 5)
        made["rows"].append({**scores["rows"][0], "id": f"system-{number:04d}", "name": f"System {number:04d}"})
        for name, values in cells.items():
            part = values[:own]
            if name == "score":
                part = [value + better for value in part]
            made["cells"][name] += [number] * own if name == "row" else part
    return made
