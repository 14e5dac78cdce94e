"""A checkpoint that xharness trained and scored within seconds, for the tests that publish it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from loopback_hub import TOKEN, LoopbackHub

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


def make(to: Path, tiny_checkpoint: Callable[..., Path], data: Path) -> Publishable:
    """Train mnli for some steps, and score XNLI in two languages; one is made for all tests of a process."""
    if _MADE:
        return _MADE[0]
    import torch

    from training_rows import make_training_folder
    from xharness.evaluation import runner as evaluation
    from xharness.training import runner as training
    from xharness.training.plan import Options, prepare

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    base = tiny_checkpoint("masked_lm", initializer_range=0.1, hidden_dropout_prob=0.0)
    given: dict[str, Any] = {"learning_rate": 3e-3, "eval_every": 20, "batch_size": 16}
    options = Options(device="cpu", dtype="float32", max_steps=60, given=given)
    plan = prepare(["mnli"], str(base), data_dir=make_training_folder(to / "rows"), options=options)
    record = training.train(plan, to / "mnli", progress=False)
    assert record.status == "complete", record.reason
    how: dict[str, Any] = {"device": "cpu", "dtype": "float32", "output": to / "results", "data_dir": data}
    evaluation.evaluate(str(to / "mnli"), targets=["xnli"], languages=["de", "ru"], **how)
    torch.set_num_threads(threads)
    facts = to / "facts.yaml"
    facts.write_text(FACTS, encoding="utf-8")
    _MADE.append(Publishable(to / "mnli", to / "results", facts))
    return _MADE[0]


def change(path: Path, **values: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text(encoding="utf-8")), **values}), encoding="utf-8")


def other_weights(mine: Publishable) -> None:
    path = mine.folder / "model.safetensors"
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))


def head(hub: LoopbackHub, name: str, revision: str = "main") -> str:
    return str(hub.repository("models", name).resolve(revision))


RUN = """
import contextlib, io, os, sys
from xharness.cli.main import main

def run(arguments, token):
    if token is None:
        os.environ.pop("HF_TOKEN", None)
    else:
        os.environ["HF_TOKEN"] = token
    out, err, code = io.StringIO(), io.StringIO(), 0
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main(arguments)
        except SystemExit as stop:
            code = int(stop.code or 0)
    return {"code": code, "out": out.getvalue(), "err": err.getvalue()}
"""
READER, STRANGER = "hf_reader", "hf_stranger"


class Machine:
    """A machine with xharness: runs commands in one process, and looks for tokens in all that they print."""

    def __init__(self, hub: LoopbackHub, home: Path) -> None:
        self.hub = hub
        self.client = hub.client(home)
        self.client.run(RUN)

    def publish(self, *arguments: object, token: str | None = TOKEN, yes: bool = True) -> dict[str, Any]:
        given = ["publish", *(str(a) for a in arguments), *(["--yes"] if yes else [])]
        found = self.client.run("result = run(arguments, token)", arguments=given, token=token)
        assert "Traceback" not in found["err"], found["err"]
        for known in self.hub.users:
            assert known not in found["out"] + found["err"]
        return dict(found)
