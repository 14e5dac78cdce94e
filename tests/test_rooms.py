"""The order of the rooms: a room imports only from rooms to its left, and heavy packages stay where they belong."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from helpers.paths import HARNESS

PACKAGE = HARNESS / "xharness"

# Room -> the rooms it may import. Files at the top of the package serve every room and import none.
TORCH_FREE = {"hub", "metrics", "tasks", "data", "checkpoints", "results"}
MAY_IMPORT = {
    "hub": set(),
    "metrics": set(),
    "tasks": {"hub", "metrics"},
    "data": {"hub", "tasks"},
    "checkpoints": {"hub", "tasks"},
    "results": {"metrics", "tasks", "data", "checkpoints"},
    "models": TORCH_FREE - {"hub"},
    "evaluation": TORCH_FREE | {"models"},
    "training": TORCH_FREE | {"models", "evaluation"},
    "publishing": TORCH_FREE,
    "leaderboard": TORCH_FREE,
    "demo": {"tasks", "results", "evaluation"},
}
MAY_IMPORT["cli"] = set(MAY_IMPORT)

TORCH_ROOMS = {"models", "evaluation", "training", "demo"}
# Package -> the rooms or modules that may import it. Packages that are not listed may be imported anywhere.
ALLOWED = {
    "torch": TORCH_ROOMS,
    "transformers": {"models", "training", "demo"},
    "tokenizers": {"models", "training", "demo"},
    "accelerate": {"training"},
    "peft": {"training"},
    "datasets": {"data.arrow", "data.sources"},
    "huggingface_hub": {"hub", "checkpoints.resolve", "publishing.card.metadata", "publishing.card.render"},
    "jinja2": {"publishing.card.render", "leaderboard.page", "leaderboard.setup"},
    "click": {"cli"},
    "matplotlib": {"evaluation.layer_curves", "training.report"},
    "pandas": {"results.aggregate"},
    "evaluate": {"metrics.huggingface"},
    "lm_eval": set(),
    "faiss": set(),
    "sentence_transformers": set(),
}


@cache
def modules() -> dict[str, Path]:
    """Return module -> file; ``__init__.py`` of a room is the module named as the room."""
    paths = {p.relative_to(PACKAGE).with_suffix("").parts: p for p in sorted(PACKAGE.rglob("*.py"))}
    return {".".join(p[:-1] if len(p) > 1 and p[-1] == "__init__" else p): path for p, path in paths.items()}


@cache
def imports(module: str) -> list[tuple[int, str, bool]]:
    """Return (line, full name, whether it runs when the module is imported) of every import of a module."""
    tree = ast.parse(modules()[module].read_text(encoding="utf-8"))
    return list(_imports(tree, eager=True))


def _imports(node: ast.AST, eager: bool) -> Iterator[tuple[int, str, bool]]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            yield from ((child.lineno, alias.name, eager) for alias in child.names)
        elif isinstance(child, ast.ImportFrom):
            assert child.level == 0, "imports are absolute here"
            yield from ((child.lineno, f"{child.module}.{alias.name}", eager) for alias in child.names)
        else:
            typing_only = isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING"
            deferred = typing_only or isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef)
            yield from _imports(child, eager and not deferred)


def own_module(name: str) -> str | None:
    """Return the module of xharness that a full name belongs to; None for other packages."""
    parts = name.split(".")
    if parts[0] != "xharness":
        return None
    ends = (".".join(parts[1:end]) for end in range(len(parts), 1, -1))
    return next((module for module in ends if module in modules()), "__init__")


def room(module: str) -> str | None:
    """Return the room of a module; None for the files at the top."""
    top = module.split(".")[0]
    return top if (PACKAGE / top).is_dir() else None


ROOMS = sorted(p.name for p in PACKAGE.iterdir() if (p / "__init__.py").is_file())


def test_every_room_has_a_place_in_the_order():
    assert set(ROOMS) == set(MAY_IMPORT)


def test_the_top_of_the_package_can_be_overlooked():
    siblings = [p for p in PACKAGE.iterdir() if p.suffix == ".py" or (p / "__init__.py").is_file()]
    assert len(siblings) <= 26


@pytest.mark.parametrize("module", modules())
def test_a_module_imports_only_from_rooms_to_its_left(module):
    here = room(module)
    wrong = []
    for line, name, _ in imports(module):
        other = own_module(name)
        there = None if other is None else room(other)
        if module in ("__init__", "__main__") or other is None or there == here:
            continue
        if other == "__init__" or (there is not None and (here is None or there not in MAY_IMPORT[here])):
            wrong.append(f"{module}, line {line}: {here or 'a file at the top'} may not import {name}")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("module", modules())
def test_a_package_is_imported_only_where_it_may_be(module):
    wrong = [
        f"{module}, line {line}: imports {name}; only {', '.join(sorted(ALLOWED[top])) or 'nothing'} may"
        for line, name, _ in imports(module)
        if (top := name.split(".")[0]) in ALLOWED and not {module, room(module)} & ALLOWED[top]
    ]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("module", sorted(m for m in modules() if room(m) == "cli"))
def test_the_command_line_imports_rooms_inside_its_commands(module):
    own = [own_module(name) for _, name, now in imports(module) if now]
    assert {room(other) for other in own if other is not None} <= {None, "cli"}


def test_no_circles_among_modules():
    graph = {m: {o for _, name, _ in imports(m) if (o := own_module(name)) not in (None, m)} for m in modules()}
    del graph["__init__"], graph["__main__"]  # the public face names modules of all rooms
    try:
        list(TopologicalSorter(graph).static_order())
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


def test_modules_and_functions_fit_on_a_few_screens():
    long = []
    for module, path in modules().items():
        text = path.read_text(encoding="utf-8")
        long += [f"{module} has {lines} lines"] if (lines := text.count("\n")) > 350 else []
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                lines = (node.end_lineno or 0) - node.lineno + 1
                long += [f"{module}.{node.name} has {lines} lines"] if lines > 70 else []
    assert not long


def python(code: str, *arguments: str) -> str:
    finished = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        capture_output=True,
        text=True,
        timeout=240,
        env={**os.environ, "PYTHONPATH": str(HARNESS)},
    )
    assert finished.returncode == 0, finished.stderr
    return finished.stdout


HEAVY = {"torch", "transformers", "datasets", "huggingface_hub", "numpy"}


@pytest.mark.parametrize(
    ("module", "absent"),
    [
        ("cli.main", HEAVY | {"pydantic", "yaml"}),
        ("tasks.task_spec", HEAVY),
        ("results.scoring", {"torch", "transformers"}),
        ("results.tables", {"torch", "transformers"}),
        ("evaluation.prepare", {"torch", "transformers"}),
        ("training.plan", {"torch", "transformers"}),
        ("training.tune.plan", {"torch", "transformers"}),
        ("training.costs.report", {"torch", "transformers"}),
        ("publishing.send", {"torch", "transformers"}),
        ("leaderboard.check", {"torch", "transformers"}),
    ],
)
def test_an_import_leaves_heavy_packages_out(module, absent):
    loaded = python(f"import sys, xharness.{module}; print(*sys.modules)").split()
    assert not absent & set(loaded)


SCORE = """
import importlib.machinery, sys
find = importlib.machinery.PathFinder.find_spec
def find_others(name, *rest):
    return None if name in ("torch", "transformers") else find(name, *rest)
importlib.machinery.PathFinder.find_spec = find_others
from xharness.cli.main import main
main(["score", sys.argv[1], "--data-dir", sys.argv[2]])
"""


def test_score_works_where_torch_is_not_installed(tmp_path):
    gold = tmp_path / "data" / "raw" / "LASER" / "tatoeba" / "v1"
    predictions = tmp_path / "predictions" / "tatoeba"
    for folder in (gold, predictions):
        folder.mkdir(parents=True)
    (gold / "tatoeba.deu-eng.deu").write_text("Eins.\nZwei.\n", encoding="utf-8")
    (gold / "tatoeba.deu-eng.eng").write_text("One.\nTwo.\n", encoding="utf-8")
    (predictions / "test-de.tsv").write_text("0\n1\n", encoding="utf-8")
    assert "100.0" in python(SCORE, str(predictions.parent), str(tmp_path / "data"))
