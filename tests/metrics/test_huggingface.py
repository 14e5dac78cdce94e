"""Metrics of the `evaluate` library through modules written here: what they are given, and what is made of theirs."""

import importlib.util
import sys
from functools import partial

import pytest

from xharness.errors import DataError, UsageError
from xharness.metrics import huggingface

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("evaluate") is None, reason="the library evaluate is not installed"
)

MODULE = """
import datasets
import evaluate

string, number = datasets.Value("string"), datasets.Value("int32")


class {name}(evaluate.Metric):
    def _info(self):
        features = datasets.Features({{"predictions": {form}, "references": {reference_form}}})
        return evaluate.MetricInfo(description="", citation="", inputs_description="", features=features)

    def _compute(self, predictions, references, **options):
        print("noise of a module")
        {body}
"""


@pytest.fixture
def module(tmp_path):
    """Write a module and return its folder."""

    def write(form, body, name="Odd", reference_form=None):
        folder = tmp_path / name.lower()
        folder.mkdir()
        text = MODULE.format(name=name, form=form, reference_form=reference_form or form, body=body)
        (folder / f"{name.lower()}.py").write_text(text)
        return str(folder)

    return write


measure = partial(huggingface.compute, kind="classification", keys=["share"], labels=["no", "maybe", "yes"])
SHARE = "return {'share': sum(p == r for p, r in zip(predictions, references)) / len(references)}"
FIRST = "return {'share': 1.0, **{f'{r}_{p}': i for i, (p, r) in enumerate(zip(predictions, references))}}"


def test_labels_reach_a_module_as_they_are(module, capsys):
    path = module("string", SHARE)
    assert measure(path, ["yes", "no"], ["yes", "?"], scale=100).scores == {"share": 50.0}
    captured = capsys.readouterr()
    assert (captured.out, captured.err.strip()) == ("", "noise of a module")


def test_labels_become_numbers_where_a_module_wants_them(module):
    path = module("number", FIRST)
    found = measure(path, ["no", "yes", "maybe"], ["maybe", "no", "?"]).scores
    # A label that is none of the three becomes 3: not the last one's number, and not -1.
    assert found == {"share": 1.0, "0_1": 0.0, "2_0": 1.0, "1_3": 2.0}


def test_indices_become_numbers(module):
    path = module("number", FIRST)
    found = measure(path, ["2", "0", "1"], ["2", "07", "9"], kind="retrieval", labels=[])
    assert found.scores == {"share": 1.0, "2_2": 0.0, "0_3": 1.0, "1_3": 2.0}


@pytest.mark.parametrize(("form", "expected"), [("string", "B-PER"), ("number", 1)])
def test_tags_go_sentence_by_sentence(module, form, expected):
    path = module(f"datasets.Sequence({form})", f"return {{'share': float(predictions == [[{expected!r}], []])}}")
    assert measure(path, [("O",), ()], [("B-PER",), ()], kind="tagging", labels=["O", "B-PER"]).scores["share"] == 1


def test_answers_go_as_records_of_squad(module):
    path = module(
        '{"id": string, "prediction_text": string}',
        "return {'share': float([p['id'] for p in predictions] == [r['id'] for r in references]), "
        "'right': sum(p['prediction_text'] in r['answers']['text'] for p, r in zip(predictions, references))}",
        reference_form='{"id": string, "answers": datasets.Sequence({"text": string, "answer_start": number})}',
    )
    golds = {"q1": ("a", "b"), "q2": ("c",), "q3": ("d",)}
    found = measure(path, golds, {"q3": "d", "q1": "b", "q9": "c"}, kind="span_qa", labels=[])
    assert found.scores == {"share": 1.0, "right": 2.0}
    assert found.counts == {"missing": 1, "unknown": 1}


def test_only_finite_numbers_are_kept(module):
    body = "{'share': 0.5, 'rows': 3, 'n': 3, 'big': 10**400, 'per': {}, 'ok': True, 'nan': float('nan'), 'text': 'x'}"
    path = module("string", f"return {body}")
    assert measure(path, ["a"], ["a"], scale=100).scores == {"share": 50.0, "rows": 300.0}
    # Results have an n of their own.
    with pytest.raises(UsageError, match="a score cannot be named 'n'"):
        measure(path, ["a"], ["a"], keys=["n"])
    with pytest.raises(UsageError, match=r"odd: 'nan' is nan, expected one finite number"):
        measure(path, ["a"], ["a"], keys=["nan"])


def test_options_reach_compute(module):
    path = module("string", "return {'share': options['weight']}")
    assert measure(path, ["a"], ["a"], options={"weight": 0.25}).scores == {"share": 0.25}


def test_a_drawn_number_is_drawn_again(module):
    path = module("string", "import numpy; return {'share': numpy.random.rand()}")
    assert measure(path, ["a"], ["a"]) == measure(path, ["a"], ["a"])


def test_a_relative_path_begins_at_the_working_directory(module, monkeypatch, tmp_path):
    module("string", SHARE)
    monkeypatch.chdir(tmp_path)
    for path in ("odd", "./odd", "odd/odd.py"):
        assert measure(path, ["a"], ["a"]).scores == {"share": 1.0}


def test_a_failure_leaves_nothing_behind(module):
    path = module("string", "if options: raise ValueError('no such average.\\nmore')\n        " + SHARE)
    with pytest.raises(UsageError, match=r"cannot score this task \(classification\): no such average\. Check"):
        measure(path, ["a", "b"], ["a", "b"], options={"average": "odd"})
    assert measure(path, ["a"], ["b"]).scores == {"share": 0.0}


def test_a_score_that_is_not_returned_is_named(module):
    path = module("string", "return {'overall_f1': 1.0}")
    with pytest.raises(UsageError, match=r"no 'overal_f1' \(found: overall_f1\)\. Did you mean 'overall_f1'"):
        measure(path, ["a"], ["a"], keys=["overal_f1"])
    with pytest.raises(UsageError, match="returned list, expected numbers by name"):
        measure(module("string", "return [1.0]", name="Listed"), ["a"], ["a"])


def test_a_module_that_does_not_fit_is_said_not_to_fit(module):
    path = module("string", SHARE)
    with pytest.raises(UsageError, match=r"cannot score this task \(tagging\)"):
        measure(path, [["a"]], [["a"]], kind="tagging")
    with pytest.raises(DataError, match="'perhaps' is not a label of the task: no, maybe, yes"):
        measure(module("number", SHARE, name="Numbers"), ["perhaps"], ["no"])


def test_a_module_with_a_mistake_is_named(module):
    path = module("string", "return (", name="Broken")
    with pytest.raises(UsageError, match=r"broken cannot be loaded: .+ Name a metric"):
        measure(path, ["a"], ["a"])


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nobody/metric", r"the file 'nobody/metric/metric\.py' does not exist.*its code is not run from there"),
        ("./metric", r"the file 'metric/metric\.py' does not exist \(relative paths start .* directory, /.*\)\.$"),
        ("metric.py", r"the file 'metric\.py' does not exist"),
        ("..", "the file '.*' does not exist"),
        ("accuracy", "without a network, only local metrics"),
    ],
)
def test_nothing_is_loaded_from_strangers(name, message):
    with pytest.raises(UsageError, match=message):
        measure(name, ["a"], ["a"])


@pytest.mark.parametrize("kind", ["mining", "ranking"])
def test_mining_and_ranking_are_refused(kind):
    with pytest.raises(UsageError, match=f"of the kind {kind}, only classification, multiple_choice, tagging"):
        measure("accuracy", {("a", "b")}, {("a", "b")}, kind=kind)


def test_empty_gold_is_said_to_be_empty():
    with pytest.raises(DataError, match="the gold data is empty"):
        measure("accuracy", [], [])


def test_without_the_library_its_extra_is_named(module, monkeypatch):
    monkeypatch.setitem(sys.modules, "evaluate", None)
    with pytest.raises(UsageError, match=r"pip install 'xharness\[evaluate\]'"):
        measure(module("string", SHARE), ["a"], ["a"])


def test_a_module_that_ends_the_program_does_not(module):
    path = module("string", "raise SystemExit(3)")
    with pytest.raises(UsageError, match="evaluate:"):
        measure(path, ["a"], ["a"])
