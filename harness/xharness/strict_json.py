"""Strict JSON: size, depth and duplicate-key checks for files written by others."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from pydantic import ValidationError

from xharness import strict_yaml
from xharness.errors import SpecError, SubmissionError
from xharness.strict_yaml import Strict
from xharness.text import strip_controls

DEPTH = 16
"""Maximum nesting of objects and lists."""
LONGEST_KEY = 300
_MAX_DIGITS = 18
_MAX_PROBLEMS = 50
_LONGEST_LINE = 400

Model = TypeVar("Model", bound=Strict)


def parse(content: bytes, where: str) -> dict[str, Any]:
    """Parse a JSON object.

    Args:
        content: content of the file; the caller checks its size.
        where: name of the file in messages.

    Raises:
        SubmissionError: it is not UTF-8 or not a JSON object, a key is given twice or is too long, a number is not
            finite or has too many digits, it is nested too deeply, or a text contains a lone surrogate.
    """
    try:
        value = json.loads(
            content.decode("utf-8"),
            object_pairs_hook=_once,
            parse_constant=_no_constant,
            parse_int=_whole,
            parse_float=_finite,
        )
    except UnicodeDecodeError as error:
        raise SubmissionError(f"{where}: not UTF-8 (byte {error.start + 1}).") from None
    except RecursionError:
        raise SubmissionError(f"{where}: nested too deeply; the limit is {DEPTH} levels.") from None
    except ValueError as error:
        raise SubmissionError(f"{where}: not valid JSON: {show_line(str(error))}.") from None
    if not isinstance(value, dict):
        raise SubmissionError(f"{where}: found a JSON {type(value).__name__}, expected one object.")
    problem = _problem(value)
    if problem:
        raise SubmissionError(f"{where}: {problem}.")
    return value


def record(model: type[Model], content: Mapping[str, Any], where: str) -> Model:
    """Validate an object and return it as a record.

    Raises:
        SubmissionError: lists every wrong field, or only their number if there are very many.
    """
    try:
        return model.model_validate(dict(content))
    except ValidationError as error:
        wrong = error.error_count()
    if wrong > _MAX_PROBLEMS:
        raise SubmissionError(f"{where}: {wrong:,} fields are wrong or unknown, so it is not a file of this kind.")
    try:
        return strict_yaml.parse(model, dict(content), where)
    except SpecError as error:
        raise SubmissionError("\n".join(map(show_line, str(error).splitlines()))) from None


def show_line(text: str) -> str:
    """Return untrusted text for messages: shortened, and without control characters.

    >>> show_line("a\\u202eb")
    'ab'
    """
    begun = text[: _LONGEST_LINE + 1].encode("utf-8", "backslashreplace").decode("utf-8")
    cleaned = strip_controls(begun).replace("\n", " ")
    return cleaned if len(text) <= _LONGEST_LINE else f"{cleaned[:_LONGEST_LINE]} ..."


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    unique = dict(pairs)
    if len(unique) == len(pairs):
        return unique
    seen: set[str] = set()
    for name, _ in pairs:
        if name in seen:
            raise ValueError(f"the key '{name[:60]}' is given twice")
        seen.add(name)
    return unique


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not a JSON number")


def _whole(digits: str) -> int:
    if len(digits) > _MAX_DIGITS:
        raise ValueError(f"the number {digits[:_MAX_DIGITS]}... has more than {_MAX_DIGITS} digits")
    return int(digits)


def _finite(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise ValueError(f"the number {digits[:40]} is too large")
    return number


def _problem(content: dict[str, Any]) -> str:
    """Return what is wrong with a parsed value; '' if nothing is."""
    level: list[Any] = [content]
    for _ in range(DEPTH):
        next_level: list[Any] = []
        for value in level:
            if isinstance(value, dict):
                if any(len(key) > LONGEST_KEY for key in value):
                    return f"a key is longer than {LONGEST_KEY} characters"
                next_level += [*value, *value.values()]
            elif isinstance(value, list):
                next_level += value
            elif isinstance(value, str) and not value.isascii() and any("\ud800" <= c <= "\udfff" for c in value):
                return f"a text contains a lone surrogate: {value[:40]!a}"
        if not next_level:
            return ""
        level = next_level
    return f"nested too deeply; the limit is {DEPTH} levels"


@dataclass(frozen=True)
class Rule:
    """A rule for a value of a JSON file: a description and a check."""

    words: str
    fits: Callable[[Any], bool]

    def __or__(self, other: Rule) -> Rule:
        return Rule(f"{self.words} or {other.words}", lambda v: self.fits(v) or other.fits(v))

    def problem(self, name: str, value: Any) -> str | None:
        """Return what is wrong with a value, as in ``n is "5", expected a whole number``; None if it is valid."""
        return None if self.fits(value) else f"{name} is {show_value(value)}, expected {self.words}"


def show_value(value: Any) -> str:
    """Return a value as JSON for messages, shortened."""
    try:
        text = json.dumps(value, ensure_ascii=True)
    except (ValueError, RecursionError):
        text = f"a {type(value).__name__} too long or too deep to show"
    return text if len(text) <= 60 else f"{text[:60]} ..."


def is_text(value: Any) -> bool:
    """Return whether a value is text that can be printed."""
    # A lone surrogate, which JSON can spell, cannot be printed.
    return isinstance(value, str) and (value.isascii() or not any("\ud800" <= c <= "\udfff" for c in value))


def is_integer(value: Any) -> bool:
    """Return whether a value is a signed 64-bit integer; booleans are not."""
    return type(value) is int and abs(value) < 2**63


def is_number(value: Any) -> bool:
    """Return whether a value is a finite number of moderate size."""
    # Bounded, so that no sum or product of them overflows; NaN is smaller than nothing.
    return is_integer(value) or (type(value) is float and abs(value) <= 1e100)


def _is_plain(value: Any, depth: int = 20) -> bool:
    """Whether a value can be written as JSON and shown: finite numbers, and nested at most ``depth`` levels."""
    if isinstance(value, dict | list) and depth:
        inner = [*value, *value.values()] if isinstance(value, dict) else value
        return all(_is_plain(each, depth - 1) for each in inner)
    return value is None or isinstance(value, bool) or is_text(value) or is_number(value)


def mapping_of(words: str, rule: Rule) -> Rule:
    """Return the rule of an object with text keys whose values follow a rule."""
    return Rule(
        words, lambda v: isinstance(v, dict) and all(is_text(key) and rule.fits(each) for key, each in v.items())
    )


NULL = Rule("null", lambda v: v is None)

TEXT = Rule("text", is_text)

WHOLE = Rule("a whole number", is_integer)

LIMIT = Rule("a whole number from 1", lambda v: is_integer(v) and v >= 1)

OBJECT = Rule("an object of plain values", lambda v: isinstance(v, dict) and _is_plain(v))

TEXTS = mapping_of("an object of texts", TEXT)

TEXT_LIST = Rule("a list of texts", lambda v: isinstance(v, list) and all(map(is_text, v)))


def problems(content: dict[str, Any], rules: dict[str, Rule], where: str = "") -> Iterator[str]:
    """Yield what is wrong with existing fields; ``where`` is put before their names."""
    for name, rule in rules.items():
        if name in content and (problem := rule.problem(where + name, content[name])):
            yield problem
