"""The page of a leaderboard: a single HTML file with its style, scripts and data."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xharness import assets
from xharness.leaderboard import page_data

if TYPE_CHECKING:
    from jinja2 import Environment

SCRIPTS = (
    "decode.js",
    "averages.js",
    "sections.js",
    "bootstrap.js",
    "state.js",
    "dom.js",
    "filters.js",
    "table.js",
    "heatmap.js",
    "seeds.js",
    "model.js",
    "compare.js",
    "export_table.js",
    "main.js",
)
"""In the order in which they are joined into one function."""

_NOSCRIPT_ROWS = 20
"""Rows of each track, for readers without JavaScript."""


def render(scores: Mapping[str, Any]) -> str:
    """Render the page of a leaderboard as HTML that works from any server and from ``file://``.

    Args:
        scores: scores.json as ``leaderboard.rows`` writes it. Its texts are untrusted: invisible characters and
            direction marks are removed, long texts are cut, and all texts are escaped.
    """
    folder = _folder()
    code = "(() => {\n'use strict';\n" + "".join(_read(folder / name) for name in SCRIPTS) + "})();\n"
    style = _read(folder / "style.css")
    board, details = page_data.pack(scores)
    template = _environment(folder).get_template("index.html.j2")
    return template.render(
        title=board["title"],
        policy=_policy(code, style),
        style=style,
        code=code,
        board=_inline(board),
        details=_inline(details),
        tops=_tops(board),
        built=board["xharness"],
    )


def replicates_script(name: str, cells: Sequence[Sequence[str]], resamples: int, data: bytes) -> str:
    """Return the content of ``replicates/<name>.js``, which passes a submission's replicates to the page.

    It is a script because a page that was opened from ``file://`` cannot load data files.

    Args:
        name: id of the submission.
        cells: (task, language) of each row of the data.
        resamples: values in each row.
        data: content of replicates.bin.
    """
    record = {
        "id": name,
        "resamples": resamples,
        "cells": [list(cell) for cell in cells],
        "base64": base64.b64encode(data).decode("ascii"),
    }
    return f"xharnessReplicates({_inline(record)});\n"


def _folder() -> Path:
    return assets.folder("leaderboard") / "page"


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def _environment(folder: Path) -> Environment:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    return Environment(
        loader=FileSystemLoader(folder),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        autoescape=True,
        keep_trailing_newline=True,
    )


def _policy(code: str, style: str) -> str:
    """Return the content security policy: only this code and style, and replicates from beside the page."""
    return "; ".join(
        (
            "default-src 'none'",
            # 'self' matches nothing for a page without an origin, such as file://, so this scheme is listed as well.
            f"script-src 'sha256-{_sha256(code)}' 'self' file:",
            f"style-src 'sha256-{_sha256(style)}'",
            "img-src data:",
            "base-uri 'none'",
            "form-action 'none'",
            # No text can become markup or code, whatever a script does with it.
            "require-trusted-types-for 'script'",
            "trusted-types replicates",
        )
    )


def _sha256(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode("utf-8")).digest()).decode("ascii")


def _inline(value: Any) -> str:
    """Return JSON that is safe inside a script element, whatever it contains."""
    # ASCII only, so that U+2028 and U+2029 are escaped as well.
    text = json.dumps(value, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _tops(board: Mapping[str, Any]) -> list[tuple[str, list[tuple[str, str, float]]]]:
    """Return (benchmark title, its best checked rows as (name, track, average)), for readers without JavaScript."""
    best = []
    for benchmark in board["benchmarks"]:
        name = benchmark["name"]
        ranked = [
            (row["name"], track_label(row["track"]), row["overall"][name])
            for row in board["rows"]
            if row["kind"] == "submission"
            and row["checked"]
            and not row["withdrawn"]
            and not row["superseded_by"]
            and (row["declarations"] or {}).get("saw_test_data") != "yes"
            and row["overall"].get(name) is not None
        ]
        # Tracks are not ranked together: each has its own rows.
        ranked.sort(key=lambda line: (line[1], -line[2], line[0]))
        best.append((benchmark["title"], _first_of_each(ranked)))
    return best


def _first_of_each(ranked: Sequence[tuple[str, str, float]]) -> list[tuple[str, str, float]]:
    counts: dict[str, int] = {}
    kept = []
    for row in ranked:
        counts[row[1]] = counts.get(row[1], 0) + 1
        if counts[row[1]] <= _NOSCRIPT_ROWS:
            kept.append(row)
    return kept


def track_label(track: Mapping[str, Any] | None) -> str:
    """Return the track of a row, such as ``encoder, tuned, zero-shot``; '' if its source does not state it."""
    parts = [(track or {}).get(name) for name in ("architecture", "phase", "training")]
    return ", ".join(str(part) for part in parts if part) if all(parts) else ""
