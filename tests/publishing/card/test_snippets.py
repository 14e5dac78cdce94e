"""The code on the cards: each of the ten blocks runs as it stands, on a checkpoint of its class from a loopback Hub."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from safetensors import safe_open
from safetensors.torch import save_file

from helpers import cards
from helpers.cards import NAMES
from helpers.fake_hub import Client, LoopbackHub
from xharness.checkpoints import heads
from xharness.checkpoints.heads import CheckpointRecord
from xharness.publishing.card import prose, render

# Runs a block in names of its own and returns what it prints.
RUN = """
import contextlib, io
printed = io.StringIO()
with contextlib.redirect_stdout(printed):
    exec(source, {"__name__": "__main__"})
result = printed.getvalue()
"""


def block(text: str) -> str:
    """Return the one block of Python of a card."""
    found = re.findall(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    assert len(found) == 1
    return found[0]


def own_weights(checkpoint: Path) -> dict[str, Any]:
    """Return what a model has beside its encoder, and its pooler where it has one, as files below heads/ hold it."""
    with safe_open(checkpoint / "model.safetensors", framework="pt") as file:
        names = [n for n in file.keys() if not n.startswith("roberta.") or ".pooler." in n]  # noqa: SIM118
        return {name: file.get_tensor(name) for name in names}


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory, tiny_checkpoint: Callable[..., Path]) -> Iterator[Client]:
    with LoopbackHub(tmp_path_factory.mktemp("hub")) as hub:
        for task, name in NAMES.items():
            several = task == "multitask"
            own = cards.checkpoint(task, Path("x")).heads
            head = next(iter(own.values()))
            folder = tiny_checkpoint("encoder") if several else tiny_checkpoint(head.kind, labels=head.labels)
            files: dict[str, Any] = {path.name: path for path in folder.iterdir()}
            to = tmp_path_factory.mktemp(name)
            heads.write(
                to, CheckpointRecord("intermediate", (task,), "b", "1" * 40, own, "none" if several else "encoder")
            )
            files[heads.FILE] = to / heads.FILE
            for each in own.values() if several else ():
                made = tiny_checkpoint(each.kind, labels=each.labels)
                save_file(own_weights(made), to / f"{each.name}.safetensors")
                files[str(each.file)] = to / f"{each.name}.safetensors"
            hub.repository("models", f"org/{name}").commit(files)
        with hub.client(tmp_path_factory.mktemp("home"), PYTHONWARNINGS="error::DeprecationWarning") as process:
            yield process


@pytest.mark.parametrize("task", NAMES)
def test_the_code_on_the_card_runs_and_prints_an_answer(task: str, client: Client, tmp_path: Path) -> None:
    text = render.render(cards.card(task, tmp_path, runs=[]))
    printed = client.run(RUN, source=block(text))
    assert printed.strip()
    example = prose.load(task).examples
    if task in ("anli", "mnli", "multitask"):
        assert [line.partition(":")[0] for line in printed.splitlines()] == ["entailment", "neutral", "contradiction"]
        assert sum(float(line.partition(":")[2]) for line in printed.splitlines()) == pytest.approx(1, abs=0.01)
    elif task == "ccg":
        assert all(repr(word) in printed for word in example["tagging"]["words"])
        assert any(repr(tag) in printed for tag in cards.SUPERTAGS)
    elif task.startswith("squad"):
        nothing = ["no answer"] if task == "squad_v2" else []
        assert printed.strip() in nothing or printed.strip() in example["span_qa"]["context"]
    elif task != "qqp":
        assert printed.strip() in example["multiple_choice"]["choices"]


def test_every_head_of_the_multitask_checkpoint_loads_as_its_card_says(client: Client, tmp_path: Path) -> None:
    # The card shows one head; the others are put in by the same lines.
    card = cards.card("multitask", tmp_path, runs=[])
    for name in ("squad_v2", "hellaswag", "ccg"):
        head = next(each for each in card.heads if each.name == name)
        shown = replace(card, head=head, kind=head.kind)
        assert client.run(RUN, source=block(render.render(shown))).strip()


def test_an_encoder_without_a_head_is_shown_by_its_vectors(client: Client, tmp_path: Path) -> None:
    card = replace(
        cards.card("multitask", tmp_path, runs=[]),
        head=None,
        kind="encoder",
        prose=prose.load("adopted"),
    )
    assert -1.001 <= float(client.run(RUN, source=block(render.render(card)))) <= 1.001
