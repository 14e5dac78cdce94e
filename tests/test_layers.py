"""The keeper of the floors: a module stands above all that it imports, and heavy packages stay in their rooms.

``python tests/test_layers.py`` writes the table of harness/README.md anew from what stands here and in the modules.
"""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

HARNESS = Path(__file__).resolve().parent.parent / "harness"
PACKAGE = HARNESS / "xharness"
README = HARNESS / "README.md"

# From the cellar up. A module may import those of lower floors only, also inside functions.
FLOORS = [
    {
        "errors",
        "assets",
        "examples",
        "answer_text",
        "answer_scores",
        "entity_chunks",
        "rank_scores",
        "demo",
        "progress",
        "packing",
        "allocation",
        "seeds",
        "cards",
        "local_paths",
        "publishing",
        "terminal_text",
        "board",
        "board.limits",
        "board.page_data",
        "board.room",
    },
    {
        "strict_yaml",
        "files",
        "text_files",
        "measured",
        "layouts",
        "hub_errors",
        "search",
        "mining",
        "archives",
        "downloads",
        "schedule",
        "cards.text",
        "pull_folder",
        "board.page",
        "board.serving",
    },
    {
        "inputs",
        "benchmark",
        "language",
        "conllu",
        "ccgbank",
        "retrieval_files",
        "dev_metrics",
        "heads",
        "masking",
        "costs",
        "training_record",
        "cards.prose",
        "hub_downloads",
        "hub_refusals",
        "board.strict_json",
    },
    {"checkpoint", "metrics", "cards.given", "zoo", "board.verdict"},
    {"data_spec", "predictions", "elsewhere", "intervals"},
    {
        "spec",
        "results",
        "manifest",
        "readers",
        "tables",
        "checkpoint_files",
        "demo.lexicon",
        "board.contents",
        "board.replicates",
    },
    {
        "hub",
        "wholeness",
        "fitting",
        "needs",
        "conversion",
        "sequences",
        "kinds.base",
        "demo.data",
        "recipe",
        "board.fields",
    },
    {
        "averages",
        "catalogue",
        "plan",
        "sources",
        "demo.lessons",
        "pinning",
        "completeness",
        "weights",
        "kinds.classification",
        "kinds.multiple_choice",
        "kinds.retrieval",
        "kinds.span_qa",
        "kinds.tagging",
        "cards.reading",
        "hub_standing",
        "publishing.files",
        "pulling",
        "zoo_pins",
        "board.board_file",
        "board.submission",
        "hub_trees",
    },
    {
        "notes",
        "references",
        "breakdowns",
        "pools",
        "raw_files",
        "kinds",
        "workload",
        "cards.damage",
        "cards.model",
        "hub_commits",
        "model_list",
        "board.merged",
        "board.rows",
    },
    {
        "data",
        "fetch",
        "lessons",
        "run_costs",
        "cards.licence",
        "cards.training",
        "board.bringing",
        "board.intake",
        "board.placing",
        "board.reported",
        "board.submitted",
    },
    {"scoring", "training_data", "cost_report", "board.table"},
    {"report", "preparation", "runs", "training_plan", "board.building"},
    {"models", "run_folders", "exports", "training_report", "training_folder", "tune_plan", "board.founding"},
    {"embeddings", "shelf", "lm_eval_file", "joint", "tune_report", "scratch", "published_runs", "board.origins"},
    {"comparing", "probing", "trainer", "cards.scores", "board.plausibility", "board.rescoring"},
    {"watching", "cards.facts", "cards.tables", "board.checking", "board.packing", "board.pull_requests"},
    {"desk", "training", "cards.commands", "cards.metadata", "board.check_report", "board.submitting"},
    {"sweep", "cards.rendering", "board.pull_checks", "board.submit_report"},
    {"evaluation", "curve_report", "publishing.publication"},
    {"demo.training", "tuning", "publishing.plan"},
    {"demo.story", "publishing.sending"},
    {"commands", "commands.options", "commands.recipes", "publishing.report"},
    {
        "commands.demonstration",
        "commands.encoders",
        "commands.evaluation",
        "commands.exports",
        "commands.fetching",
        "commands.planning",
        "commands.reports",
        "commands.tasks",
        "commands.training",
        "commands.models",
        "commands.publishing",
        "commands.board_check",
        "commands.submission",
    },
    {"commands.leaderboard"},
    {"cli"},
    {"__init__", "__main__"},
]
FLOOR = {unit: floor for floor, units in enumerate(FLOORS) for unit in units}

# The compute wing; all else is the paper wing and works where torch is not installed.
COMPUTE = {u for u in FLOOR if u.split(".")[0] == "kinds"} | {
    "search",
    "packing",
    "masking",
    "weights",
    "lessons",
    "models",
    "joint",
    "probing",
    "trainer",
    "watching",
    "training",
    "tuning",
    "scratch",
    "embeddings",
    "shelf",
    "comparing",
    "desk",
    "sweep",
    "curve_report",
    "evaluation",
    "demo.training",
    "demo.story",
}
# These join the wings, and import the compute wing only inside functions.
DOORS = {"cli", "commands.evaluation", "commands.training", "commands.encoders", "commands.demonstration", "__init__"}

# Packages that may be imported in some modules only.
ROOMS = {
    "torch": COMPUTE,
    "transformers": {"models", "packing", "joint", "trainer", "training", "scratch", "demo.training"},
    "tokenizers": {"models", "scratch", "demo.training"},
    "datasets": {"sources", "tables"},
    "huggingface_hub": {
        "hub",
        "hub_errors",
        "hub_downloads",
        "hub_refusals",
        "hub_standing",
        "hub_commits",
        "hub_trees",
        "cards.metadata",
        "cards.rendering",
    },
    "jinja2": {"cards.rendering", "board.page", "board.founding"},
    "click": {"cli"} | {u for u in FLOOR if u.startswith("commands.")},
    "accelerate": {"training", "watching"},
    "peft": {"training"},
    "tabulate": {
        "report",
        "training_report",
        "cost_report",
        "tune_report",
        "catalogue",
        "references",
        "curve_report",
        "model_list",
        "publishing.report",
        "board.placing",
        "board.submit_report",
        "commands.fetching",
        "commands.tasks",
    },
    "matplotlib": {"curve_report", "training_record"},
    "pandas": {"averages"},
    "evaluate": {"elsewhere"},
    "lm_eval": set(),
    "faiss": set(),
    "sentence_transformers": set(),
}


@cache
def modules() -> dict[str, Path]:
    """Return unit -> file; a folder's ``__init__.py`` is the unit named as the folder."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        found[".".join(parts[:-1] if len(parts) > 1 and parts[-1] == "__init__" else parts)] = path
    return found


@cache
def tree(unit: str) -> ast.Module:
    return ast.parse(modules()[unit].read_text(encoding="utf-8"))


def names(node: ast.AST) -> list[str]:
    """Return the full names that an import statement may stand for (a module, or a name in a module)."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        assert node.level == 0, "imports are absolute here"
        return [f"{node.module}.{alias.name}" for alias in node.names]
    return []


def only_for_types(unit: str) -> set[ast.AST]:
    """Return the nodes below ``if TYPE_CHECKING:``, which never run."""
    return {
        inner
        for node in ast.walk(tree(unit))
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }


def imports(unit: str, *, at_import: bool = False) -> Iterator[tuple[int, str]]:
    """Yield (line, full name) of what a module imports; with ``at_import`` only what runs when it is imported."""
    skipped = only_for_types(unit) if at_import else set()
    if at_import:
        functions = ast.FunctionDef | ast.AsyncFunctionDef
        skipped |= {n for f in ast.walk(tree(unit)) if isinstance(f, functions) for n in ast.walk(f)}
    for node in ast.walk(tree(unit)):
        if node not in skipped:
            yield from ((getattr(node, "lineno", 0), name) for name in names(node))


def unit_of(name: str) -> str | None:
    """Return the unit that a full name belongs to; None for other packages and for the package's own version.

    ``xharness/__init__.py`` imports nothing when it runs, so anybody may read the version from it.
    """
    parts = name.split(".")
    if parts[0] != "xharness" or name in ("xharness", "xharness.__version__"):
        return None
    for end in range(len(parts), 1, -1):
        if ".".join(parts[1:end]) in modules():
            return ".".join(parts[1:end])
    return "__init__"


def inner(unit: str, **how: bool) -> list[tuple[int, str]]:
    return [(line, found) for line, name in imports(unit, **how) if (found := unit_of(name)) is not None]


def test_every_module_stands_on_one_floor():
    assert sum(len(units) for units in FLOORS) == len(FLOOR), "a module stands on two floors"
    assert set(modules()) == set(FLOOR), "write the new module into FLOORS, or take out the one that is gone"


@pytest.mark.parametrize("unit", modules())
def test_a_module_stands_above_all_that_it_imports(unit):
    wrong = [
        f"{unit}, line {line}: imports {other} (floor {FLOOR[other]}) from floor {FLOOR[unit]}"
        for line, other in inner(unit)
        if FLOOR[other] >= FLOOR[unit]
    ]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("unit", modules())
def test_a_package_is_imported_only_in_its_rooms(unit):
    wrong = [
        f"{unit}, line {line}: imports {name}; only these may: {', '.join(sorted(ROOMS[top])) or 'none'}"
        for line, name in imports(unit)
        if (top := name.split(".")[0]) in ROOMS and unit not in ROOMS[top]
    ]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("unit", sorted(set(modules()) - COMPUTE - {"__main__"}))
def test_the_paper_wing_does_not_reach_into_the_compute_wing(unit):
    found = inner(unit, at_import=unit in DOORS)
    wrong = [f"{unit}, line {line}: imports {other}" for line, other in found if other in COMPUTE]
    assert not wrong, "\n".join(wrong)


def test_the_face_imports_nothing_when_it_runs():
    assert {name.split(".")[0] for _, name in imports("__init__", at_import=True)} <= {"__future__", "typing"}
    for unit in modules():
        if any(name == "xharness" for _, name in imports(unit)):
            read = [n for n in ast.walk(tree(unit)) if isinstance(n, ast.Attribute)]
            used = {n.attr for n in read if isinstance(n.value, ast.Name) and n.value.id == "xharness"}
            assert used == {"__version__"}, f"{unit} takes more than the version from the package's face"


def python(code: str, *arguments: str) -> str:
    finished = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "PYTHONPATH": str(HARNESS)},
    )
    assert finished.returncode == 0, finished.stderr
    return finished.stdout


@pytest.mark.parametrize(
    ("module", "absent"),
    [
        ("cli", ["torch", "transformers", "datasets", "huggingface_hub", "pydantic", "numpy", "yaml"]),
        ("spec", ["torch", "transformers", "datasets", "huggingface_hub", "numpy"]),
        ("scoring", ["torch", "transformers"]),
        ("report", ["torch", "transformers"]),
        ("preparation", ["torch", "transformers"]),
    ],
)
def test_an_import_leaves_heavy_packages_out(module, absent):
    loaded = python(f"import sys, xharness.{module}; print(*sys.modules)").split()
    assert not set(absent) & set(loaded)


SCORE = """
import importlib.machinery, sys
find = importlib.machinery.PathFinder.find_spec
def find_others(name, *rest):
    return None if name in ("torch", "transformers") else find(name, *rest)
importlib.machinery.PathFinder.find_spec = find_others
from xharness.cli import main
main(["score", sys.argv[1], "--data-dir", sys.argv[2]])
"""


def test_score_works_where_torch_is_not_installed(tmp_path):
    gold = tmp_path / "data" / "raw" / "LASER" / "tatoeba" / "v1"
    made = tmp_path / "predictions" / "tatoeba"
    for folder in (gold, made):
        folder.mkdir(parents=True)
    (gold / "tatoeba.deu-eng.deu").write_text("Eins.\nZwei.\n", encoding="utf-8")
    (gold / "tatoeba.deu-eng.eng").write_text("One.\nTwo.\n", encoding="utf-8")
    (made / "test-de.tsv").write_text("0\n1\n", encoding="utf-8")
    assert "100.0" in python(SCORE, str(made.parent), str(tmp_path / "data"))


BEGIN, END = "<!-- written by tests/test_layers.py -->", "<!-- end -->"


def table() -> str:
    """Return the floors as the README shows them, from the top down, with each module's first line."""
    lines = ["| floor | module | what it is |", "|---|---|---|"]
    for floor in reversed(range(len(FLOORS))):
        for unit in sorted(FLOORS[floor] & set(modules())):
            first = (ast.get_docstring(tree(unit)) or "").split("\n")[0].replace("``", "`").replace("|", "\\|")
            lines.append(f"| {floor} | `{unit}`{' ◆' if unit in COMPUTE else ''} | {first} |")
    return "\n".join(lines)


def readme() -> tuple[str, str, str]:
    """Return what stands before the table, the table, and what stands after it."""
    before, _, rest = README.read_text(encoding="utf-8").partition(BEGIN)
    written, _, after = rest.partition(END)
    return before, written.strip(), after


def test_the_readme_names_every_module_with_its_floor_and_its_first_line():
    assert readme()[1] == table(), "run: python tests/test_layers.py"


if __name__ == "__main__":
    before, _, after = readme()
    README.write_text(f"{before}{BEGIN}\n{table()}\n{END}{after}", encoding="utf-8")
