"""What the page of the leaderboard carries: the numbers of scores.json as columns, and its texts made clean."""

from __future__ import annotations

import base64
import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from xharness.text import for_page

REPLICATES = re.compile(r"replicates/[a-z0-9-]{1,60}\.js")
"""Where the replicates of a row lie beside the page; the page loads nothing else."""


_PAIRS = 100
"""Settings or versions of one row."""
_ABSENT = 65535
"""Stands for "none" among hundredths of a percent."""


def pack(scores: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the board, with its numbers as columns in base64, and the details of its rows."""
    tasks, languages = _cleaned(scores["tasks"]), _cleaned(scores["languages"])
    slots = [(t, task["languages"].index(code)) for t, task in enumerate(tasks) for code in task["languages"]]
    names = [(tasks[t]["name"], tasks[t]["languages"][i]) for t, i in slots]
    columns = _columns(scores, tasks, languages, names)
    board = {
        "title": for_page(scores["title"]),
        "built_from": _cleaned(scores.get("built_from") or {}),
        "xharness": for_page(scores.get("xharness", "")),
        "tasks": tasks,
        "benchmarks": _cleaned(scores["benchmarks"]),
        "languages": languages,
        "slots": names,
        "columns": {name: _packed(values, shared=name in _MOSTLY_ALIKE) for name, values in columns.items()},
        "rows": [_row(row) for row in scores["rows"]],
    }
    details = {
        "data": [{key: for_page(value) for key, value in record.items() if value} for record in scores.get("data", [])],
        "rows": [_detail(row, names) for row in scores["rows"]],
    }
    return board, details


def _columns(
    scores: Mapping[str, Any],
    tasks: Sequence[Mapping[str, Any]],
    languages: Sequence[Mapping[str, Any]],
    slots: Sequence[tuple[str, str]],
) -> dict[str, npt.NDArray[Any]]:
    """Return every kind of number of the cells as rows by slots; a slot is a language of a task."""
    cells, shape = scores["cells"], (len(scores["rows"]), len(slots))
    places = {slot: i for i, slot in enumerate(slots)}
    codes = [language["code"] for language in languages]
    place_of = np.array([[places.get((task["name"], code), -1) for code in codes] for task in tasks], dtype=np.int64)
    row, task, language = (np.asarray(cells[name], dtype=np.int64) for name in ("row", "task", "language"))
    place = place_of[task, language] if len(row) else row
    known = np.flatnonzero(place >= 0)
    at = row[known], place[known]

    def column(name: str, kind: type, absent: float) -> npt.NDArray[Any]:
        array: npt.NDArray[Any] = np.full(shape, absent, dtype=kind)
        values = np.asarray(cells[name], dtype=np.float64)[known]
        array[at] = _hundredths(values) if kind is np.uint16 else np.where(np.isnan(values), absent, values)
        return array

    return {
        "score": column("score", np.float64, np.nan),
        "low": column("low", np.uint16, _ABSENT),
        "high": column("high", np.uint16, _ABSENT),
        "deviation": column("deviation", np.uint16, _ABSENT),
        "metrics": _metrics(cells["metrics"], known, at, [len(tasks[t]["score_keys"]) for t in task], shape),
        "n": column("n", np.int32, 0),
        "whole": column("whole", np.uint8, 0),
        **({"data": column("data", np.int32, -1)} if "data" in cells else {}),
    }


def _hundredths(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return np.where(np.isnan(values), _ABSENT, np.clip(np.round(values * 100), 0, _ABSENT - 1))


def _metrics(
    values: Sequence[Sequence[float]],
    known: npt.NDArray[np.int64],
    at: tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]],
    widths: Sequence[int],
    shape: tuple[int, int],
) -> npt.NDArray[np.uint16]:
    """Return hundredths of the single scores of cells that have several (exact match, F1), as rows by slots by scores.

    Cells that have one are left as they are: it is the score itself.
    """
    width = max(widths, default=1)
    array: npt.NDArray[np.uint16] = np.full((*shape, width), _ABSENT, dtype=np.uint16)
    for wide in range(2, width + 1):
        chosen = [i for i, cell in enumerate(known) if widths[cell] == wide]
        if chosen:
            numbers = np.asarray([values[known[i]] for i in chosen], dtype=np.float64)
            array[at[0][chosen], at[1][chosen], :wide] = _hundredths(numbers)
    return array


_MOSTLY_ALIKE = ("metrics", "n", "whole", "data")
"""Columns of which most rows have the same numbers: those of the data, which are the same for every system."""


def _packed(values: npt.NDArray[Any], *, shared: bool) -> dict[str, Any]:
    """Return numbers in base64; if rows are mostly alike, as the one row that they share and what differs from it."""
    flat = values.reshape(len(values), math.prod(values.shape[1:]))
    if shared and len(flat):
        common = np.median(flat, axis=0).astype(flat.dtype)
        places = np.flatnonzero(flat != common).astype(np.int32)
        if 4 * len(places) < flat.size:
            parts = {"common": common, "places": places, "values": flat.ravel()[places]}
            return {"type": values.dtype.name, "rows": len(flat), **{name: _base64(v) for name, v in parts.items()}}
    return {"type": values.dtype.name, "values": _base64(flat)}


def _base64(values: npt.NDArray[Any]) -> str:
    little = values.astype(values.dtype.newbyteorder("<"), copy=False)
    return base64.b64encode(little.tobytes()).decode("ascii")


_AT_ONCE = ("id", "name", "kind", "checked", "withdrawn", "superseded_by", "track", "declarations", "submitted_by")


def _row(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the tables need of a row."""
    replicates = row.get("replicates")
    return {
        **{name: _cleaned(row.get(name)) for name in _AT_ONCE},
        "parameters": (row.get("model") or {}).get("parameters"),
        "seeds": len(row.get("seeds") or ()),
        "source": for_page((row.get("source") or {}).get("text") or ""),
        "overall": row.get("overall") or {},
        **_told(row),
        "replicates": replicates if isinstance(replicates, str) and REPLICATES.fullmatch(replicates) else None,
    }


def _told(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return what only the build knows: benchmark -> tasks whose mean is the benchmark's, and means without cells."""
    complete: dict[str, list[str]] = {}
    means: dict[str, dict[str, float]] = {}
    for task, scores in (row.get("task_scores") or {}).items():
        for benchmark, is_complete in (scores.get("complete") or {}).items():
            if is_complete:
                complete.setdefault(benchmark, []).append(task)
        for benchmark, mean in scores.items():
            if row["kind"] == "reported" and isinstance(mean, int | float):
                means.setdefault(benchmark, {})[task] = mean
    return {"complete": complete, "means": means}


def _detail(row: Mapping[str, Any], slots: Sequence[tuple[str, str]]) -> dict[str, Any]:
    """Return what is shown of a row when it is opened."""
    return {
        "model": _cleaned(row.get("model") or {}),
        "seeds": _cleaned(row.get("seeds") or []),
        "by_seed": _by_seed(row, slots),
        "settings": list(_pairs(row.get("settings") or {})),
        "versions": list(_pairs(row.get("versions") or {})),
        "source": _cleaned(row.get("source") or {}),
        "note": for_page(row.get("note") or row.get("withdrawn_reason") or ""),
    }


def _by_seed(row: Mapping[str, Any], slots: Sequence[tuple[str, str]]) -> dict[str, Any] | None:
    """Return the scores of each seed as seeds by slots; None of one seed."""
    by_seed = row.get("by_seed")
    if not by_seed:
        return None
    none = (None,) * len(row["seeds"])
    by_slot = np.array([by_seed.get(task, {}).get(code, none) for task, code in slots], dtype=np.float64)
    # Means are made of them, so no hundredths; half the room of what the averages are made of is exact enough.
    return _packed(by_slot.T.astype(np.float32), shared=False)


def _cleaned(value: Any) -> Any:
    """Return a value of JSON with all its texts clean."""
    if isinstance(value, str):
        return for_page(value)
    if isinstance(value, Mapping):
        return {for_page(key): _cleaned(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_cleaned(each) for each in value]
    return value


def _pairs(value: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield name and value of settings, as text, those of nested ones as ``outer.inner``."""
    waiting, count = [(for_page(key), each) for key, each in value.items()], 0
    while waiting and count < _PAIRS:
        name, each = waiting.pop(0)
        if isinstance(each, Mapping) and each:
            waiting[:0] = [(for_page(f"{name}.{key}"), inner) for key, inner in list(each.items())[:_PAIRS]]
            continue
        count += 1
        yield name, for_page(each if isinstance(each, str) else json.dumps(each, ensure_ascii=False, default=str))
