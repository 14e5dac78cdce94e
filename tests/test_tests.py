"""The order of the tests: they lie in the rooms of the package, and share code through ``helpers`` alone."""

from __future__ import annotations

import ast

from helpers.paths import HARNESS, TESTS

ROOMS = {path.parent.name for path in (HARNESS / "xharness").glob("*/__init__.py")}
AT_THE_ROOT = {"conftest.py", "test_rooms.py", "test_packaging.py", "test_tests.py"}
NO_ROOMS = {"end_to_end", "helpers", "performance", "fixtures", "gold"}
FILES = sorted(TESTS.rglob("*.py"))


def test_every_file_lies_in_a_room_of_the_package():
    assert {path.name for path in TESTS.glob("*.py")} == AT_THE_ROOT
    assert {path.relative_to(TESTS).parts[0] for path in FILES} <= ROOMS | NO_ROOMS | AT_THE_ROOT
    assert {folder for folder in ROOMS if not any((TESTS / folder).rglob("test_*.py"))} == set()
    for path in FILES:
        folder = path.relative_to(TESTS).parts[0]
        if folder in ("helpers", "performance", "fixtures"):
            assert not path.name.startswith("test_"), f"{path} is no place for tests"
        else:
            assert path.name.startswith("test_") or path.name == "conftest.py", f"{path} belongs to helpers"


def test_no_test_imports_a_test():
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            names += [alias.name for alias in node.names] if isinstance(node, ast.Import | ast.ImportFrom) else []
            for name in names:
                own = name.split(".")
                assert not own[0].startswith("test_"), f"{path}, line {node.lineno}: {name} is a test"
                assert own[0] not in ("tests", "conftest"), f"{path}, line {node.lineno}: import from helpers"
