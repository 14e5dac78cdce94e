"""What the tests of target training share."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from helpers.data_folder import make_data_folder, write_dataset
from helpers.training_sets import make_training_folder, nli_rows
from helpers.tuning import FAST
from xharness.evaluation.prepare import Options, prepare
from xharness.training.tune import plan as tune_plan
from xharness.training.tune import runner as tune_runner
from xharness.training.tune.options import TuneOptions
from xharness.training.tune.plan import TunePlan
from xharness.training.tune.result import TuneResult


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return data for xnli (train, dev and test in en and de, no train in ru), and for xquad and mlqa."""
    import datasets

    to = make_data_folder(tmp_path_factory.mktemp("tuning") / "datasets")
    make_training_folder(to)
    chance, text = random.Random(1), datasets.Value("string")
    names = ["entailment", "neutral", "contradiction"]
    types = datasets.Features({"premise": text, "hypothesis": text, "label": datasets.ClassLabel(names=names)})
    drop = lambda rows: [{k: row[k] for k in types} for row in rows]  # noqa: E731
    shutil.rmtree(to / "facebook" / "xnli")
    splits = {code: {s: drop(nli_rows(24, chance)) for s in ("train", "validation", "test")} for code in ("en", "de")}
    splits["ru"] = {"test": drop(nli_rows(24, chance))}
    write_choices(to, "lighteval/siqa", "default", ("answerA", "answerB", "answerC"), ("1", "2", "3"))
    write_choices(to, "aps/super_glue", "copa", ("choice1", "choice2"), ("choice1", "choice2"))
    write_dataset(to / "facebook" / "xnli", splits, types)
    return to


def write_choices(to: Path, repo: str, config: str, columns: tuple[str, ...], labels: tuple[str, ...]) -> None:
    """Write a training set where the right choice is the one that the context names."""
    context, chance = ("premise" if config == "copa" else "context"), random.Random(2)
    rows = []
    for number in range(24):
        words = chance.sample(["cat", "dog", "house", "river", "stone", "teacher"], len(columns))
        right = number % len(columns)
        row = {"idx": number, context: f"the {words[right]}", "question": "cause", "label": labels[right]}
        rows.append({**row, **dict(zip(columns, words, strict=True))})
    write_dataset(to / repo, {config: {"train": rows, "validation": rows[:12]}})


@pytest.fixture(scope="module")
def base(tiny_checkpoint: Callable[..., Path]) -> Path:
    return tiny_checkpoint("encoder", initializer_range=0.1)


@pytest.fixture
def one_thread() -> Any:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def plan(base: Path, folder: Path, tmp_path: Path) -> Callable[..., TunePlan]:
    """Return what makes a plan with tuned checkpoints in a folder of the test."""

    def make(targets: str = "xnli", *, options: dict[str, Any] | None = None, model: Path = base, **tuned: Any) -> Any:
        asked = Options(device="cpu", dtype="float32", **(options or {}))
        prepared = prepare(str(model), targets=targets.split(","), data_dir=folder, options=asked)
        tuning = TuneOptions(**{"root": tmp_path / "tuned", "given": FAST, "max_steps": 30, **tuned})
        return tune_plan.make_plan(prepared, tuning)

    return make


@pytest.fixture
def tune(plan: Any, tmp_path: Path) -> Callable[..., TuneResult]:
    def run(targets: str = "xnli", **asked: Any) -> TuneResult:
        return tune_runner.run(plan(targets, **asked), tmp_path / "out", progress=False)

    return run
