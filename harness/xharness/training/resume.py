"""The checkpoint that an interrupted training run resumes from: replace it safely, verify it, read its progress."""

from __future__ import annotations

import json
import os
import shutil
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from xharness import files
from xharness.errors import ModelError

FOLDER = "state"
"""Name of the folder below ``.run/``."""
WEIGHTS = "model.safetensors"
_OLD = ".old"
_STATE = "state.json"
_SIZES = "sizes.json"


@dataclass
class TrainingState:
    """Progress of a run, saved beside the weights so that a resumed run continues with it.

    Attributes:
        step: optimizer steps done.
        losses: (step, task, mean loss since the task's previous entry, learning rate).
        evaluations: scores of each evaluation, in order; the caller appends to it.
        tokens: real tokens trained on.
        seconds: training time, without evaluations.
        budget: token budget; smaller than planned after a batch did not fit.
        memory: what the caller keeps (such as which steps are the best so far).
    """

    step: int = 0
    losses: list[list[Any]] = field(default_factory=list)
    evaluations: list[dict[str, Any]] = field(default_factory=list)
    tokens: int = 0
    seconds: float = 0.0
    budget: int = 0
    memory: dict[str, Any] = field(default_factory=dict)


def write_state(state: TrainingState, folder: Path) -> None:
    """Write the progress into a folder that holds all other files of the checkpoint, and the size of every file."""
    files.write_json(folder / _STATE, vars(state))
    files.write_json(folder / _SIZES, {path.name: path.stat().st_size for path in folder.iterdir()})


def replace_checkpoint(new: Path, current: Path) -> None:
    """Move ``new`` to ``current``; after a kill in between, ``load_state`` finds the previous checkpoint."""
    old = current.with_name(_OLD)
    shutil.rmtree(old, ignore_errors=True)
    if current.exists():
        os.replace(current, old)
    os.replace(new, current)
    shutil.rmtree(old, ignore_errors=True)


def remove_checkpoint(folder: Path) -> None:
    """Remove the checkpoint below a folder, and a previous one that a kill left there."""
    for name in (FOLDER, _OLD):
        shutil.rmtree(folder / name, ignore_errors=True)


def load_state(folder: Path) -> TrainingState | None:
    """Return the progress of the checkpoint below a folder, or None if there is no checkpoint.

    A replacement that a kill interrupted is undone first.

    Raises:
        ModelError: a file is missing, has another size than it was written with, or cannot be read.
    """
    current, old = folder / FOLDER, folder / _OLD
    if not current.exists() and old.exists():
        with suppress(FileNotFoundError):  # another process did it
            os.replace(old, current)
    if not (current / _STATE).is_file():
        return None
    try:
        sizes = json.loads((current / _SIZES).read_text(encoding="utf-8"))
        for name, size in sizes.items():
            if not (current / name).is_file() or (current / name).stat().st_size != size:
                raise damaged(current, f"{name} is not as it was written")
        return TrainingState(**json.loads((current / _STATE).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise damaged(current, str(error)) from None


def damaged(checkpoint: Path, why: str) -> ModelError:
    """Return the error of a checkpoint that no run can resume from."""
    return ModelError(
        f"{checkpoint}: the checkpoint to resume from is damaged: {why}. Remove {checkpoint.parent}, and the run "
        "starts again."
    )
