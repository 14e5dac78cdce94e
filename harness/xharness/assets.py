"""Paths of the YAML files and templates shipped with the package."""

from __future__ import annotations

from pathlib import Path

PACKAGE = Path(__file__).resolve().parent


def folder(name: str) -> Path:
    """Return the folder ``tasks``, ``model_cards`` or ``leaderboard``.

    In a checkout (also if installed editable) it is the one at the top level, so that edits take effect immediately. In
    a wheel it is ``xharness/_assets/<name>``. It is located relative to this file, never on ``sys.path``.
    """
    checkout = PACKAGE.parent.parent / name
    if PACKAGE.parent.name == "harness" and checkout.is_dir():
        return checkout
    return PACKAGE / "_assets" / name


TASKS = folder("tasks")
MODEL_CARDS = folder("model_cards")
