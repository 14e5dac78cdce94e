"""What the tests of model cards share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from helpers import cards
from helpers.cards import FACTS, NAMES, write
from xharness.publishing.card import facts as card_facts
from xharness.publishing.card.content import Card
from xharness.publishing.card.facts import Facts


@pytest.fixture
def gathered(tmp_path: Path) -> Callable[..., Card]:
    """Return what gathers the card of a sample; what is not given is as in the gold cards."""

    def make(task: str = "squad_v1", *, facts: Facts = FACTS, runs: Any = None, **options: Any) -> Card:
        made = write(task, tmp_path, options.pop("found", None))
        return card_facts.gather_facts(
            tmp_path, made, f"org/{NAMES[task]}", cards.runs(task) if runs is None else runs, facts, **options
        )

    return make
