"""Checkpoints: one that xharness trained and scored within seconds, to be published, and bare training records."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from helpers.fake_hub import LoopbackHub
from helpers.training_sets import make_training_folder
from xharness.checkpoints.checkpoint import Checkpoint
from xharness.checkpoints.training_record import Record

FACTS = """\
developed_by: The xharness tests
base_model: none
base_licence: mit
base_note: An encoder of two layers with random weights.
watts: 10
"""


@dataclass(frozen=True)
class Publishable:
    """A checkpoint's folder, the folder of its RUNs, and a file of facts; copies of it may be changed."""

    folder: Path
    results: Path
    facts: Path

    @property
    def run(self) -> Path:
        """Return the one RUN."""
        return next(path.parent for path in sorted(self.results.rglob("run.json")))

    def arguments(self, repo: str = "org/tiny-mnli") -> list[str]:
        """Return what follows ``xharness publish``."""
        return [str(self.folder), repo, "--results", str(self.results), "--facts", str(self.facts)]

    def copy(self, to: Path) -> Publishable:
        shutil.copytree(self.folder, to / self.folder.name)
        shutil.copytree(self.results, to / self.results.name)
        return Publishable(to / self.folder.name, to / self.results.name, self.facts)


_MADE: list[Publishable] = []


def make_publishable(to: Path, tiny_checkpoint: Callable[..., Path], data: Path) -> Publishable:
    """Train mnli for some steps, and score XNLI in two languages; one is made for all tests of a process."""
    if _MADE:
        return _MADE[0]
    import torch

    from xharness.evaluation import runner as evaluation_runner
    from xharness.training import runner as training_runner
    from xharness.training.plan import Options, prepare

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    base = tiny_checkpoint("masked_lm", initializer_range=0.1, hidden_dropout_prob=0.0)
    given: dict[str, Any] = {"learning_rate": 3e-3, "eval_every": 20, "batch_size": 16}
    options = Options(device="cpu", dtype="float32", max_steps=60, given=given)
    plan = prepare(["mnli"], str(base), data_dir=make_training_folder(to / "rows"), options=options)
    record = training_runner.train(plan, to / "mnli", progress=False)
    assert record.status == "complete", record.reason
    how: dict[str, Any] = {"device": "cpu", "dtype": "float32", "output": to / "results", "data_dir": data}
    evaluation_runner.evaluate(str(to / "mnli"), targets=["xnli"], languages=["de", "ru"], **how)
    torch.set_num_threads(threads)
    facts = to / "facts.yaml"
    facts.write_text(FACTS, encoding="utf-8")
    _MADE.append(Publishable(to / "mnli", to / "results", facts))
    return _MADE[0]


def change_json(path: Path, **values: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text(encoding="utf-8")), **values}), encoding="utf-8")


def other_weights(mine: Publishable) -> None:
    path = mine.folder / "model.safetensors"
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))


def head_of(hub: LoopbackHub, name: str, revision: str = "main") -> str:
    return str(hub.repository("models", name).resolve(revision))


def bare_record(task: str, score: float, **more: Any) -> Record:
    """Return the record of a finished training of one task in one step, with its score on development data.

    Args:
        task: the only probe.
        score: that the state was chosen by.
        more: fields in place of these.
    """
    known: dict[str, Any] = {
        "status": "complete",
        "key": "k",
        "request": {},
        "seed": 1,
        "steps": 1,
        "planned_steps": 1,
        "data": {},
        "mixture": {},
        "losses": [],
        "evaluations": [],
        "probes": {task: {}},
        "selections": {"english-dev": {"step": 1, "score": score, "folder": "."}},
        "tokens": 1,
        "seconds": 1.0,
        "tokens_per_second": 1.0,
        "hardware": {},
        "versions": {},
    }
    return Record(**{**known, **more})


def unloaded_checkpoint(architecture: str = "XLMRobertaModel", labels: tuple[str, ...] = ()) -> Checkpoint:
    """Return what is known of a checkpoint before its weights are loaded."""
    return Checkpoint("org/tiny", None, "0" * 40, None, None, "xlm-roberta", (architecture,), labels, 12, ())
