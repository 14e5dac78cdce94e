"""xharness: zero-shot cross-lingual transfer on XTREME and XTREME-R, with the official metrics.

>>> import xharness
>>> xharness.load_task("xquad").metric
'squad'
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

__all__ = ["Results", "Score", "__version__", "evaluate", "list_tasks", "load_task", "score", "tune"]

if TYPE_CHECKING:
    from xharness.averages import Results
    from xharness.evaluation import evaluate
    from xharness.results import Score
    from xharness.scoring import score
    from xharness.spec import list_tasks, load_task
    from xharness.tuning import tune

# Imported when first used: torch and datasets take seconds, and `xharness --help` needs neither.
_WHERE = {
    "Results": "averages",
    "Score": "results",
    "evaluate": "evaluation",
    "list_tasks": "spec",
    "load_task": "spec",
    "score": "scoring",
    "tune": "tuning",
}


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module 'xharness' has no attribute '{name}'")
    from importlib import import_module

    return getattr(import_module(f"xharness.{_WHERE[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
