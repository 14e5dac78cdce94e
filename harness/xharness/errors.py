"""Exceptions shown to the user, each with its exit code and what to do next.

XharnessError          1  any error without a class of its own
├── UsageError         2  unknown names; options that are invalid or cannot be used together
├── SpecError          3  a task, benchmark or language file is invalid
├── DataError          4  a data set is missing, empty, renamed or does not match its spec
├── ModelError         5  a checkpoint cannot be found, read or used for a task
├── PredictionError    6  a prediction file does not match the gold data
├── NothingToDo        7  no step of the plan can run
├── Incomplete         8  some steps failed; results of the others are kept
├── OutputError        9  results cannot be written (disk full, no permission)
├── PublishError      10  a checkpoint cannot be published: missing facts, name taken, no permission
└── SubmissionError   11  a submission to a leaderboard is refused
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from pathlib import Path


class XharnessError(Exception):
    """An error for the user: shown as one sentence, without a traceback."""

    exit_code = 1


class UsageError(XharnessError):
    """Unknown names, or options that are invalid or cannot be used together."""

    exit_code = 2


class SpecError(XharnessError):
    """A YAML file under ``tasks/`` (or the user's own) is invalid; the message lists all problems of the file."""

    exit_code = 3


class DataError(XharnessError):
    """A data set is missing, its columns were renamed, or a split is empty."""

    exit_code = 4


class ModelError(XharnessError):
    """A checkpoint cannot be found or read, or lacks what a task needs."""

    exit_code = 5


class PredictionError(XharnessError):
    """A prediction file is missing, truncated, or does not match the gold data."""

    exit_code = 6


class NothingToDo(XharnessError):
    """No step of the plan can run."""

    exit_code = 7


class Incomplete(XharnessError):
    """Some steps failed; results of the others are on disk."""

    exit_code = 8


class OutputError(XharnessError):
    """Results cannot be written."""

    exit_code = 9


class PublishError(XharnessError):
    """A checkpoint cannot be published: facts are missing, the name is taken, or the token has no permission."""

    exit_code = 10


class SubmissionError(XharnessError):
    """A submission to a leaderboard is refused; the message lists all reasons, one per line."""

    exit_code = 11


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return `` Did you mean 'x'?`` with the nearest known name; empty if none is near.

    >>> did_you_mean("xnil", ["xnli", "pawsx"])
    " Did you mean 'xnli'?"
    >>> did_you_mean("zzz", ["xnli"])
    ''
    """
    by_lower = {str(k).lower(): str(k) for k in known}
    near = difflib.get_close_matches(name.lower(), by_lower, n=1, cutoff=0.5)
    return f" Did you mean '{by_lower[near[0]]}'?" if near else ""


def nearest_folder(folder: Path) -> str:
    """Return `` Did you mean 'x'?`` for a missing folder, with the nearest name in its parent folder."""
    parent = folder.parent
    if not parent.is_dir():
        return f" The folder '{parent}' does not exist either."
    try:
        siblings = [p.name for p in parent.iterdir() if p.is_dir()]
    except OSError:
        return ""
    return did_you_mean(folder.name, siblings)


def unknown(what: str, name: str, known: Iterable[str]) -> UsageError:
    """Return the error for an unknown name, with the nearest name or the list of all."""
    names = sorted(set(known))
    hint = did_you_mean(name, names) or f" Known: {', '.join(names[:60])}."
    return UsageError(f"There is no {what} named '{name}'.{hint}")
