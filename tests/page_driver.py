"""A headless Chromium for the tests of the page, and boards of made-up numbers for it to show."""

from __future__ import annotations

import contextlib
import csv
import functools
import hashlib
import http.server
import io
import os
import random
import shutil
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from xharness.leaderboard import rows
from xharness.leaderboard.rows import Board, Cell, Data, Row, layout
from xharness.results.score import Score
from xharness.tasks.task_spec import TaskSpec

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


def why_not() -> str:
    """Return why there is no browser to test with; '' if there is one."""
    if not any(map(shutil.which, BROWSERS)):
        return "no Chromium is installed (Debian: apt install chromium chromium-driver)"
    if not shutil.which("chromedriver"):
        return "no chromedriver is installed (Debian: apt install chromium-driver)"
    try:
        import selenium  # noqa: F401
    except ImportError:
        return "selenium is not installed (make test installs it)"
    return ""


@contextlib.contextmanager
def chromium(width: int = 1280, height: int = 900) -> Iterator[Any]:
    """Open a browser that has nothing of anybody's settings and reaches out for nothing by itself."""
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    os.environ["SE_OFFLINE"] = "true"
    with tempfile.TemporaryDirectory(prefix="xharness-browser-", ignore_cleanup_errors=True) as folder:
        options = webdriver.ChromeOptions()
        options.binary_location = next(path for path in map(shutil.which, BROWSERS) if path)
        for flag in (*FLAGS, f"--user-data-dir={folder}", f"--window-size={width},{height}"):
            options.add_argument(flag)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        browser = webdriver.Chrome(options, Service(shutil.which("chromedriver")))
        try:
            yield browser
        finally:
            browser.quit()


class Page:
    """A page in a browser, and what a reader does with it and sees on it."""

    def __init__(self, browser: Any, address: str) -> None:
        self.browser, self.address = browser, address

    def open(self, fragment: str = "") -> None:
        """Load the page anew, in a state."""
        self.browser.get("about:blank")
        self.browser.get(self.address + (f"#{fragment}" if fragment else ""))
        assert self.run("return document.documentElement.dataset.ready"), self.complaints()

    def run(self, script: str, *arguments: Any) -> Any:
        return self.browser.execute_script(script, *arguments)

    def find(self, selector: str, by: str = "css selector") -> Any:
        return self.browser.find_element(by, selector)

    def click(self, selector: str) -> None:
        self.find(selector).click()

    def text(self, selector: str) -> str:
        return str(self.run("return document.querySelector(arguments[0]).textContent", selector))

    def until(self, condition: str, *arguments: Any) -> None:
        """Wait until an expression is true; going to another state and loading replicates take their time."""
        from selenium.webdriver.support.wait import WebDriverWait

        WebDriverWait(self.browser, 20).until(lambda _: self.run(f"return {condition}", *arguments), condition)

    def wait_for(self, selector: str) -> None:
        """Wait until there is such an element."""
        self.until("document.querySelector(arguments[0]) !== null", selector)

    def fragment(self) -> str:
        return str(self.run("return location.hash.slice(1)"))

    def complaints(self) -> list[str]:
        """Return what the browser has written to its console since this was last asked."""
        return [entry["message"] for entry in self.browser.get_log("browser")]

    def order(self, section: str = "checked") -> list[str]:
        """Return the ids of a section's rows from top to bottom."""
        selector = f'#table tbody[data-section="{section}"] tr[data-id]'
        return list(self.run("return [...document.querySelectorAll(arguments[0])].map((r) => r.dataset.id)", selector))

    def table(self) -> dict[str, dict[str, str]]:
        """Return submission -> column -> the view's field, as "Copy as CSV" gives it."""
        self.click("#copy-csv")
        lines = list(csv.DictReader(io.StringIO(self.find("#copy textarea").get_property("value"))))
        self.click("#copy .close")
        return {line["submission"]: line for line in lines}

    def shown(self) -> list[list[str]]:
        """Return the texts of the table's rows, cell by cell, without the words below numbers."""
        return list(
            self.run(
                """const own = (cell) => [...cell.childNodes].filter((node) => node.nodeType === Node.TEXT_NODE);
                const text = (cell) => own(cell).map((node) => node.data).join("");
                return [...document.querySelectorAll("#table tr[data-id]")].map(
                    (row) => [row.dataset.id, ...[...row.querySelectorAll("td")].map(text)]);"""
            )
        )


@contextlib.contextmanager
def served(folder: Path) -> Iterator[str]:
    """Serve a folder on loopback; give its address."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: Any) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(folder))) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


def made_board(submissions: int = 12, *, seed: int = 0) -> Board:
    """Return a board of made-up numbers over the real benchmarks and their languages.

    From the best to the worst: every fifth is not checked, one has seen test data, one is of another track. The last
    two lack targets and a language, and are best where they have scores.
    """
    dice = random.Random(seed)
    board = Board(layout(), "Zero-shot transfer", "org/leaderboard", "0123456789" * 4)
    for number in range(submissions):
        lacking = submissions > 6 and number >= submissions - 2
        cells = [
            made_cell(spec, code, (85 if lacking else 82 - 40 * number / submissions) + dice.uniform(-9, 9))
            for name, spec in board.layout.tasks.items()
            for code in board_codes(board, name)
            if not (lacking and (name in ("mlqa", "udpos") or code == "sw"))
        ]
        add(board, made_row(number), cells)
    return board


def add(board: Board, row: Row, cells: list[Cell], told: dict[str, dict[str, float]] | None = None) -> None:
    """Put a row at the end of a board, with its averages."""
    board.add(rows.line(board.layout, row, cells, told))


def board_codes(board: Board, task: str) -> list[str]:
    """Return the languages of a target in any benchmark."""
    return list(dict.fromkeys(code for codes in board.layout.members[task].values() for code in codes))


def made_cell(spec: TaskSpec, code: str, value: float) -> Cell:
    """Return a score around a value, under three seeds; of several metrics, the first is lower than the second."""
    count = len(spec.score_keys)
    scores = {key: value + 4 * (2 * i - count + 1) for i, key in enumerate(spec.score_keys)}
    n = 500 + 37 * list(spec.languages).index(code)
    score = Score(
        task=spec.name,
        language=code,
        split="test",
        scores=scores,
        n=n,
        expected_n=n,
        metric=spec.metric,
        data_hash=hashlib.sha256(f"{spec.name} {code}".encode()).hexdigest(),
        data_source="made up",
        data_revision=None,
        data_status="complete",
        spec_hash=spec.hash,
        predictions_sha256="0" * 64,
    )
    data = Data(score.data_hash, spec.hash, "made up", None, "complete")
    apart = 0.1 + 0.1 * (n % 7)
    by_seed = {0: value - apart, 1: value, 2: value + apart}
    return Cell(score, apart, (value - 1.2, value + 1.3), True, data, by_seed)


def made_row(number: int, **changes: Any) -> Row:
    """Return what is said of a system, with whatever is to be said otherwise."""
    kinds = ("large-squad", "base-mnli", "multitask", "large-stilts")
    digest = hashlib.sha256(str(number).encode()).hexdigest()
    name = f"{kinds[number % len(kinds)]}-{number:03d}"
    row = Row(
        id=f"{name}-{digest[:12]}",
        name=name,
        kind="submission",
        checked=number % 5 != 3,
        track={
            "architecture": "encoder",
            "phase": "as is" if number == 5 else "tuned",
            "training": "zero-shot",
            "selected_by": "english-dev",
        },
        declarations={
            "saw_test_data": "yes" if number == 4 else "unknown" if number == 2 else "no",
            "translated_data": False,
            "notes": "",
        },
        model={
            "repo": f"org/{name}",
            "revision": digest[:40],
            "content": digest,
            "base": "xlm-roberta-large",
            "parameters": 559_890_432,
            "architecture": "encoder",
            "paper": "https://arxiv.org/abs/2005.13013",
            "url": None,
        },
        submitted_by=f"user{number % 4}",
        seeds=(0, 1, 2) if number % 2 == 0 else (0,),
        settings={"dtype": "float32", "recipe": {"epochs": 3, "learning_rate": 2e-5}},
        versions={"xharness": "0.1.0", "torch": "2.13.0"},
    )
    return replace(row, **changes)


def many_rows(scores: dict[str, Any], count: int) -> dict[str, Any]:
    """Return a board of as many rows as wanted, its first row with other numbers again and again."""
    cells, dice = scores["cells"], random.Random(count)
    own = cells["row"].count(0)
    made = {**scores, "rows": [], "cells": {name: [] for name in cells}}
    for number in range(count):
        better = dice.uniform(-30, 5)
        made["rows"].append({**scores["rows"][0], "id": f"system-{number:04d}", "name": f"System {number:04d}"})
        for name, values in cells.items():
            part = values[:own]
            if name == "score":
                part = [value + better for value in part]
            made["cells"][name] += [number] * own if name == "row" else part
    return made
