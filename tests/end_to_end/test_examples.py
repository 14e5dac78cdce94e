"""The notebook runs offline as its reader would run it, and what is stored in it came out of such a run."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys

import pytest

from helpers.paths import ROOT

pytestmark = pytest.mark.long
NOTEBOOK = ROOT / "examples" / "first_hour.ipynb"


@pytest.fixture(scope="module")
def notebook():
    return json.loads(NOTEBOOK.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def code(notebook):
    return ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code"]


def test_its_form_is_that_of_a_notebook(notebook):
    assert (notebook["nbformat"], notebook["nbformat_minor"]) == (4, 5)
    names = [cell["id"] for cell in notebook["cells"]]
    assert len(set(names)) == len(names)
    for cell in notebook["cells"]:
        more = {"execution_count", "outputs"} if cell["cell_type"] == "code" else set()
        assert set(cell) == {"cell_type", "id", "metadata", "source"} | more


def test_its_outputs_are_of_one_run_and_name_no_machine(notebook):
    cells = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert [cell["execution_count"] for cell in cells] == list(range(1, len(cells) + 1)), "run all of it at once"
    outputs = [output for cell in cells for output in cell["outputs"]]
    assert {output["output_type"] for output in outputs} <= {"stream", "execute_result", "display_data"}
    texts = json.dumps([{**o, "data": {**o.get("data", {}), "image/png": ""}} for o in outputs])
    assert not re.search(r"/(tmp|home|root|Users|work)/|\\\\Users\\\\", texts)


# What makes the notebook short, and what it is replaced with in the fast tests: few steps, and two languages.
STEPS = ('("little-alignment", 10), ("more-alignment", 80)', "steps=80)", "data_dir=data, output")
SHORT = ('("little-alignment", 1), ("more-alignment", 2)', "steps=4)", 'languages=["en", "de"], data_dir=data, output')


@pytest.mark.parametrize("steps", [SHORT, pytest.param(STEPS, marks=pytest.mark.slow)], ids=["short", "as it is"])
def test_its_code_runs(code, tmp_path, steps):
    # Without Jupyter: the cells one after another in one Python, as a reader's kernel runs them.
    source = "\n\n".join(code)
    for written, taken in zip(STEPS, steps, strict=True):
        assert source.count(written) == 1
        source = source.replace(written, taken)
    script = tmp_path / "first_hour.py"
    script.write_text(source, encoding="utf-8")
    finished = subprocess.run(
        [sys.executable, script.name],
        capture_output=True,
        text=True,
        encoding="utf-8",
        cwd=tmp_path,
        timeout=240,
        # A figure is drawn, and no window opened.
        env={**os.environ, "MPLBACKEND": "agg", "PYTHONPATH": str(ROOT / "harness"), "PYTHONIOENCODING": "utf-8"},
    )
    assert finished.returncode == 0, finished.stderr
    mean = re.search(rf"mean F1 ([\d.]+), gap ([\d.]+), complete: {steps is STEPS}", finished.stdout)
    assert mean is not None, finished.stdout
    little, more = (float(gap) for gap in re.findall(r"^\S+-alignment: gap ([\d.]+)$", finished.stdout, re.MULTILINE))
    if steps is STEPS:
        assert more < little, "what the notebook says of its two checkpoints"
    assert (tmp_path / "first-hour" / "results").is_dir()
