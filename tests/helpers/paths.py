"""Folders of this repository that tests read from."""

from __future__ import annotations

from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
ROOT = TESTS.parent
HARNESS = ROOT / "harness"
FIXTURES = TESTS / "fixtures"
GOLD = TESTS / "gold"
SCRIPTS = ROOT / "scripts"
