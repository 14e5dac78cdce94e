"""What stands in a prediction file: labels, ids and answers, and no texts of others."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from xharness.leaderboard.limits import LONGEST_ANSWER, LONGEST_LABEL
from xharness.tasks.dataset_spec import DataSpec

_KEYS = {"multiple_choice": {"label"}, "ranking": {"candidates", "ranks"}}
"""Kind -> the keys of its objects within a file; what stands beside them is not read by any score."""


class _Problem(ValueError):
    """Something in JSON that its reader passes over."""


def problem_of(spec: DataSpec, content: bytes) -> str | None:
    """Return what is wrong with the texts in a prediction file of a target; None if nothing is.

    Args:
        spec: the target.
        content: of the file, not packed; that it is of the target's format was found out before.
    """
    text = content.decode("utf-8-sig", "surrogatepass")
    try:
        match spec.kind:
            case "span_qa":
                answers = _json(text)
                return _name_problem(answers) or _answer_problem(answers)
            case "ranking":
                rankings = _json(text)
                return _name_problem(rankings) or next(filter(None, map(_ranking_problem, rankings.values())), None)
            case "multiple_choice":
                choices = [_json(line) for line in text.split("\n") if line.strip()]
                return _key_problem("multiple_choice", choices) or _name_problem(str(line["label"]) for line in choices)
            case _:
                return _name_problem(part for line in text.split("\n") for part in line.strip().split("\t"))
    except _Problem as problem:
        return str(problem)


def _json(text: str) -> Any:
    return json.loads(text, object_pairs_hook=_once)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        # A reader keeps the last one, so that anything might stand in the others.
        seen = set[str]()
        for name, _ in pairs:
            if name in seen:
                raise _Problem(f"{name[:60]!a} stands twice in an object")
            seen.add(name)
    return found


def _answer_problem(answers: dict[str, str]) -> str | None:
    for name, answer in answers.items():
        if len(answer) > LONGEST_ANSWER:
            return f"an answer has {len(answer):,} characters (to {name[:60]!a}); {LONGEST_ANSWER:,} may be sent"
    return None


def _ranking_problem(found: Any) -> str | None:
    if isinstance(found, dict):
        return _key_problem("ranking", [found]) or _name_problem(found["candidates"])
    return _name_problem(found)


def _key_problem(kind: str, objects: Iterable[dict[str, Any]]) -> str | None:
    other = next((key for each in objects for key in each if key not in _KEYS[kind]), None)
    return (
        None
        if other is None
        else f"{other[:60]!a} stands in an object, which may hold {', '.join(sorted(_KEYS[kind]))}"
    )


def _name_problem(names: Iterable[str]) -> str | None:
    """Return what is wrong with labels, tags or ids."""
    for name in dict.fromkeys(names):
        if len(name) > LONGEST_LABEL:
            return f"a label or id has {len(name):,} characters ({name[:40]!a} ...); {LONGEST_LABEL} may be sent"
        if not name.isprintable():
            return f"a label or id holds what cannot be shown ({name[:40]!a})"
    return None
