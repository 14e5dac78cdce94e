"""The data inside the page: numbers of scores.json as columns, with sanitized texts."""

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
"""Path of a row's replicates beside the page; the page loads nothing else."""


_MOST_PAIRS = 100
"""Most settings or versions that are shown of one row."""
_ABSENT = 65535
"""Missing value among hundredths of a percent."""


def pack(scores: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the board with its numbers as base64 columns, and the details of its rows."""
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
        "columns": {name: _encoded(values, shared=name in _SHARED_COLUMNS) for name, values in columns.items()},
        "rows": [_row(row) for row in scores["rows"]],
    }
    details = {
        "data": [{key: for_page(value) for key, value in record.items() if value} for record in scores.get("data", [])],
        "rows": [_details(row, names) for row in scores["rows"]],
    }
    return board, details


def _columns(
    scores: Mapping[str, Any],
    tasks: Sequence[Mapping[str, Any]],
    languages: Sequence[Mapping[str, Any]],
    slots: Sequence[tuple[str, str]],
) -> dict[str, npt.NDArray[Any]]:
    """Return the columns of the cells, each of shape (rows, slots); a slot is one language of one task."""
    cells, shape = scores["cells"], (len(scores["rows"]), len(slots))
    slot_index = {slot: i for i, slot in enumerate(slots)}
    codes = [language["code"] for language in languages]
    slot_of = np.array([[slot_index.get((task["name"], code), -1) for code in codes] for task in tasks], dtype=np.int64)
    row, task, language = (np.asarray(cells[name], dtype=np.int64) for name in ("row", "task", "language"))
    slot = slot_of[task, language] if len(row) else row
    known = np.flatnonzero(slot >= 0)
    at = row[known], slot[known]

    def column(name: str, kind: type, absent: float) -> npt.NDArray[Any]:
        values_by_slot: npt.NDArray[Any] = np.full(shape, absent, dtype=kind)
        values = np.asarray(cells[name], dtype=np.float64)[known]
        values_by_slot[at] = _hundredths(values) if kind is np.uint16 else np.where(np.isnan(values), absent, values)
        return values_by_slot

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
    """Return the single metrics of cells that have several (exact match, F1) in hundredths: (rows, slots, metrics).

    Cells with one metric are left out: it is the score itself.
    """
    width = max(widths, default=1)
    hundredths: npt.NDArray[np.uint16] = np.full((*shape, width), _ABSENT, dtype=np.uint16)
    for wide in range(2, width + 1):
        chosen = [i for i, cell in enumerate(known) if widths[cell] == wide]
        if chosen:
            numbers = np.asarray([values[known[i]] for i in chosen], dtype=np.float64)
            hundredths[at[0][chosen], at[1][chosen], :wide] = _hundredths(numbers)
    return hundredths


_SHARED_COLUMNS = ("metrics", "n", "whole", "data")
"""Columns in which most rows are equal, because they describe the data and not the system."""


def _encoded(values: npt.NDArray[Any], *, shared: bool) -> dict[str, Any]:
    """Return an array as base64; if rows are mostly equal, as one common row and the values that differ from it."""
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


_TABLE_FIELDS = ("id", "name", "kind", "checked", "withdrawn", "superseded_by", "track", "declarations", "submitted_by")


def _row(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of a row that the tables need."""
    replicates = row.get("replicates")
    return {
        **{name: _cleaned(row.get(name)) for name in _TABLE_FIELDS},
        "parameters": (row.get("model") or {}).get("parameters"),
        "seeds": len(row.get("seeds") or ()),
        "source": for_page((row.get("source") or {}).get("text") or ""),
        "overall": row.get("overall") or {},
        **_build_facts(row),
        "replicates": replicates if isinstance(replicates, str) and REPLICATES.fullmatch(replicates) else None,
    }


def _build_facts(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return what only the build knows: benchmark -> complete tasks, and benchmark -> task -> mean without cells."""
    complete: dict[str, list[str]] = {}
    means: dict[str, dict[str, float]] = {}
    for task, task_scores in (row.get("task_scores") or {}).items():
        for benchmark, is_complete in (task_scores.get("complete") or {}).items():
            if is_complete:
                complete.setdefault(benchmark, []).append(task)
        for benchmark, mean in task_scores.items():
            if row["kind"] == "reported" and isinstance(mean, int | float):
                means.setdefault(benchmark, {})[task] = mean
    return {"complete": complete, "means": means}


def _details(row: Mapping[str, Any], slots: Sequence[tuple[str, str]]) -> dict[str, Any]:
    """Return the fields of a row that are shown when it is opened."""
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
    """Return the scores of each seed, of shape (seeds, slots); None for a single seed."""
    by_seed = row.get("by_seed")
    if not by_seed:
        return None
    none = (None,) * len(row["seeds"])
    by_slot = np.array([by_seed.get(task, {}).get(code, none) for task, code in slots], dtype=np.float64)
    # Means are computed from them, so they are not rounded to hundredths; float32 is precise enough and half the size.
    return _encoded(by_slot.T.astype(np.float32), shared=False)


def _cleaned(value: Any) -> Any:
    """Return a JSON value with all its texts sanitized."""
    if isinstance(value, str):
        return for_page(value)
    if isinstance(value, Mapping):
        return {for_page(key): _cleaned(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_cleaned(each) for each in value]
    return value


def _pairs(value: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield (name, value) of settings as text; nested names are joined as ``outer.inner``."""
    queue, count = [(for_page(key), item) for key, item in value.items()], 0
    while queue and count < _MOST_PAIRS:
        name, item = queue.pop(0)
        if isinstance(item, Mapping) and item:
            queue[:0] = [(for_page(f"{name}.{key}"), inner) for key, inner in list(item.items())[:_MOST_PAIRS]]
            continue
        count += 1
        yield name, for_page(item if isinstance(item, str) else json.dumps(item, ensure_ascii=False, default=str))
