"""A headless Chromium for the tests of the page."""

from __future__ import annotations

import contextlib
import csv
import functools
import http.server
import io
import os
import shutil
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

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

        WebDriverWait(self.browser, 120).until(lambda _: self.run(f"return {condition}", *arguments), condition)

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
