"""Evaluate and train encoders for zero-shot cross-lingual transfer on XTREME and XTREME-R.

>>> import xharness
>>> xharness.load_task("xquad").metric
'squad'
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from xharness.version import __version__

__all__ = ["Results", "Score", "__version__", "evaluate", "list_tasks", "load_task", "score", "tune"]

if TYPE_CHECKING:
    from xharness.evaluation.runner import evaluate
    from xharness.results.aggregate import Results
    from xharness.results.score import Score
    from xharness.results.scoring import score
    from xharness.tasks.registry import list_tasks, load_task
    from xharness.training.tune.runner import tune

# Name -> module. Imported at first use: torch and datasets take seconds to import, and `xharness --help` needs neither.
_MODULES = {
    "Results": "results.aggregate",
    "Score": "results.score",
    "evaluate": "evaluation.runner",
    "list_tasks": "tasks.registry",
    "load_task": "tasks.registry",
    "score": "results.scoring",
    "tune": "training.tune.runner",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module 'xharness' has no attribute '{name}'")
    from importlib import import_module

    return getattr(import_module(f"xharness.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
