"""What is wrong with a training record that a card is to be made of, which may come from anywhere."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from xharness.checkpoints.training_record import Record
from xharness.results.score import LIMIT, NULL, OBJECT, TEXT, TEXT_LIST, TEXTS, WHOLE, Rule, problems

_NUMBER = WHOLE | Rule("a finite number", lambda value: type(value) is float and abs(value) <= 1e100)
_LIST = Rule("a list of plain values", lambda value: isinstance(value, list) and OBJECT.fits({"": value}))

_RECORD = {
    **dict.fromkeys(("request", "data", "mixture", "probes", "selections", "hardware"), OBJECT),
    **dict.fromkeys(("seed", "steps", "planned_steps", "tokens"), WHOLE),
    "attempts": _LIST,
    "losses": _LIST,
    "evaluations": _LIST,
    "status": TEXT,
    "reason": TEXT | NULL,
    "key": TEXT,
    "seconds": _NUMBER,
    "versions": TEXTS,
    "weights": TEXTS,
    "notes": TEXT_LIST,
}
_REQUEST = {"base": TEXTS, "tasks": OBJECT, "languages": TEXT_LIST, "mlm": OBJECT | NULL, "lora": OBJECT | NULL}
_TASK = {"spec": TEXT, "data": TEXT, "settings": OBJECT, "origins": TEXTS}
_PART = {
    **dict.fromkeys(("task", "language", "split", "source", "status", "origin"), TEXT),
    **dict.fromkeys(("n", "available"), WHOLE),
    "revision": TEXT | NULL,
    "licence": TEXT | NULL,
}
_MIXTURE = {"units": WHOLE, "probability": _NUMBER, "steps": WHOLE}
_PROBE = {"language": TEXT, "metric": TEXT, "n": WHOLE, "of": WHOLE, "chance": _NUMBER | NULL}
_MAY_LACK = ("reason", "mlm", "lora", "languages", "licence", "processes", "chance")


def find(record: Record) -> str | None:
    """Return what is wrong with the values of a record that a card is made of; None for one that xharness wrote."""
    return next(_damage(record), None)


def _damage(record: Record) -> Iterator[str]:
    # One floor after the other: what stands in an object is looked at once that is known to be one.
    yield from _fields("", vars(record), _RECORD)
    request = record.request
    yield from _fields("request.", request, _REQUEST)
    yield from _fields("request.base.", request["base"], {"name": TEXT, "id": TEXT})
    yield from _fields("hardware.", record.hardware, {"device": TEXT, "processes": LIMIT})
    if not request["tasks"]:
        yield "request.tasks is empty"
    for name, data in record.data.items():
        yield from _fields(f"data.{name}.", data, {"train": _LIST})
        yield from _each(f"data.{name}.train.", data["train"], _PART)
    yield from _each("request.tasks.", list(request["tasks"].values()), _TASK)
    yield from _each("attempts.", record.attempts, {"seed": WHOLE, "status": TEXT, "reason": TEXT | NULL})
    yield from _each("mixture.", list(record.mixture.values()), _MIXTURE)
    yield from _each("probes.", list(record.probes.values()), _PROBE)
    yield from _each("evaluations.", record.evaluations, {"step": WHOLE, "scores": OBJECT})
    for number, each in enumerate(record.evaluations):
        rules = {"score": _NUMBER | NULL}
        yield from _each(f"evaluations.{number}.scores.", list(each["scores"].values()), rules)
    yield from _each("selections.", list(record.selections.values()), {"step": WHOLE | TEXT})


def _each(where: str, values: list[Any], rules: dict[str, Rule]) -> Iterator[str]:
    for number, value in enumerate(values):
        yield from _fields(f"{where}{number}.", value, rules)


def _fields(where: str, content: Any, rules: dict[str, Rule]) -> Iterator[str]:
    if not isinstance(content, dict):
        yield f"{where.rstrip('.')} is no object"
        return
    yield from (f"it has no field '{where}{name}'" for name in rules if name not in content and name not in _MAY_LACK)
    yield from problems(content, rules, where)
