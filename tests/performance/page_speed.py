"""Times the leaderboard's page in a headless Chromium: until it can be used, and from a filter to new averages.

    make bench                                     1,000 submissions
    PYTHONPATH=harness:tests .venv/bin/python -m performance.page_speed --submissions 5000

The board is made up: all targets of both benchmarks in all of their languages. Needs Debian's chromium and
chromium-driver. The numbers are the browser's own clock: from the start of the navigation to the end of the page's own
start, and from a click until the new table is laid out. The first load of a fresh browser is told apart.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from tabulate import tabulate

from helpers.board_rows import made_board, many_rows
from helpers.browser import Page, chromium, why_not
from xharness.leaderboard import page

LIMIT_START, LIMIT_CHANGE = 1000, 100
"""Milliseconds."""

CHANGES = {
    "choose a script": '#facets input[value="Arabic"]',
    "choose a second one": '#facets input[value="Latin"]',
    "choose a target": '#facets input[value="xnli"]',
    "columns of languages": '#columns [data-value="languages"]',
    "the other benchmark": '#benchmarks [data-value="xtreme-r"]',
    "sort by another column": '[data-focus="sort-gap"]',
}
CLICK = """
const began = performance.now();
document.querySelector(arguments[0]).click();
document.body.getBoundingClientRect();
return performance.now() - began;
"""


def main() -> int:
    """Measure, print, and return 1 if a limit is passed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--submissions", type=int, default=1000)
    parser.add_argument("--loads", type=int, default=7)
    options = parser.parse_args()
    if why_not():
        print(f"Not measured: {why_not()}.")
        return 0
    board = many_rows(made_board(1).to_json(), options.submissions)
    began = time.perf_counter()
    text = page.render(board)
    rendering = time.perf_counter() - began
    print(f"{options.submissions:,} submissions, {len(board['cells']['score']):,} scores")
    print(f"index.html: {len(text) / 1e6:.1f} MB, rendered in {rendering:.2f} s")
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "index.html").write_text(text, encoding="utf-8")
        with chromium() as browser:
            starts, changes = _measure(Page(browser, (Path(folder) / "index.html").as_uri()), options.loads)
    lines = [("first start", starts[0], starts[0], LIMIT_START)]
    lines += [("start", statistics.median(starts[1:]), max(starts[1:]), LIMIT_START)]
    lines += [(name, statistics.median(each), max(each), LIMIT_CHANGE) for name, each in changes.items()]
    print(tabulate(lines, ["", "median ms", "most ms", "limit ms"], floatfmt=".0f"))
    return int(any(median >= limit for _, median, _, limit in lines))


def _measure(shown: Page, loads: int) -> tuple[list[float], dict[str, list[float]]]:
    starts: list[float] = []
    changes: dict[str, list[Any]] = {name: [] for name in CHANGES}
    for _ in range(loads):
        shown.open()
        starts.append(float(shown.run("return document.documentElement.dataset.ready")))
        for name, selector in CHANGES.items():
            changes[name].append(shown.run(CLICK, selector))
    return starts, changes


if __name__ == "__main__":
    sys.exit(main())
