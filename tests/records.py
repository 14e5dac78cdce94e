"""Training records for tests that only need there to be one."""

from __future__ import annotations

from typing import Any

from xharness.checkpoints.training_record import Record


def bare(task: str, score: float, **more: Any) -> Record:
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
