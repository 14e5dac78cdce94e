"""Reading JSON that somebody else wrote: one object, within bounds, which no two readers read differently."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import ValidationError

from xharness import strict_yaml
from xharness.errors import SpecError, SubmissionError
from xharness.strict_yaml import Strict
from xharness.terminal_text import plain

DEPTH = 16
"""How deep objects and lists may stand in each other."""
LONGEST_KEY = 300
_DIGITS = 18
_MOST_PROBLEMS = 50
_LONGEST_LINE = 400

Model = TypeVar("Model", bound=Strict)


def parse(content: bytes, where: str) -> dict[str, Any]:
    """Return the object that a file holds.

    Args:
        content: the file, whose size was looked at before.
        where: what it is called in messages.

    Raises:
        SubmissionError: it is not UTF-8 or no JSON object, a key stands twice or is too long, a number is not finite
            or has too many digits, it is nested too deeply, or a text holds half a character (a lone surrogate).
    """
    try:
        found = json.loads(
            content.decode("utf-8"),
            object_pairs_hook=_once,
            parse_constant=_no_constant,
            parse_int=_whole,
            parse_float=_finite,
        )
    except UnicodeDecodeError as error:
        raise SubmissionError(f"{where}: not UTF-8 (byte {error.start + 1}).") from None
    except RecursionError:
        raise SubmissionError(f"{where}: nested too deeply; {DEPTH} levels are read.") from None
    except ValueError as error:
        raise SubmissionError(f"{where}: not valid JSON: {shown(str(error))}.") from None
    if not isinstance(found, dict):
        raise SubmissionError(f"{where}: found a JSON {type(found).__name__}, expected one object.")
    problem = _problem(found)
    if problem:
        raise SubmissionError(f"{where}: {problem}.")
    return found


def record(model: type[Model], content: Mapping[str, Any], where: str) -> Model:
    """Return an object as a record.

    Raises:
        SubmissionError: names every field that is wrong, or how many are, where they are very many.
    """
    try:
        return model.model_validate(dict(content))
    except ValidationError as error:
        wrong = error.error_count()
    if wrong > _MOST_PROBLEMS:
        raise SubmissionError(f"{where}: {wrong:,} fields are wrong or not known; it is no such record at all.")
    try:
        return strict_yaml.parse(model, dict(content), where)
    except SpecError as error:
        raise SubmissionError("\n".join(map(shown, str(error).splitlines()))) from None


def shown(text: str) -> str:
    """Return a text of others as messages show it: cut where it is long, and without what a terminal would obey.

    >>> shown("a\\u202eb")
    'ab'
    """
    begun = text[: _LONGEST_LINE + 1].encode("utf-8", "backslashreplace").decode("utf-8")
    whole = plain(begun).replace("\n", " ")
    return whole if len(text) <= _LONGEST_LINE else f"{whole[:_LONGEST_LINE]} ..."


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) == len(pairs):
        return found
    seen: set[str] = set()
    for name, _ in pairs:
        if name in seen:
            raise ValueError(f"the key '{name[:60]}' stands twice")
        seen.add(name)
    return found


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no number of JSON")


def _whole(digits: str) -> int:
    if len(digits) > _DIGITS:
        raise ValueError(f"the number {digits[:_DIGITS]}... has more than {_DIGITS} digits")
    return int(digits)


def _finite(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise ValueError(f"the number {digits[:40]} is too large")
    return number


def _problem(found: dict[str, Any]) -> str:
    """Return what is wrong with a value that JSON can spell; '' if nothing is."""
    level: list[Any] = [found]
    for _ in range(DEPTH):
        below: list[Any] = []
        for each in level:
            if isinstance(each, dict):
                if any(len(key) > LONGEST_KEY for key in each):
                    return f"a key is longer than {LONGEST_KEY} characters"
                below += [*each, *each.values()]
            elif isinstance(each, list):
                below += each
            elif isinstance(each, str) and not each.isascii() and any("\ud800" <= c <= "\udfff" for c in each):
                return f"a text holds half a character (a lone surrogate): {each[:40]!a}"
        if not below:
            return ""
        level = below
    return f"nested too deeply; {DEPTH} levels are read"
