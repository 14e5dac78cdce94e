"""Confidence intervals: of the right units, as wide as they ought to be, the same every time, kept with a score."""

from __future__ import annotations

import json
import math
import random
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.scores import score, specs
from helpers.tags import IOB, UPOS, tagged
from xharness.errors import DataError
from xharness.metrics import METRICS, bootstrap
from xharness.metrics.bootstrap import BootstrapUnits, bootstrap_interval, units
from xharness.metrics.retrieval import Ranking
from xharness.results import score as results_score
from xharness.results.aggregate import aggregate
from xharness.results.tables import tables

WORDS = ["the", "red", "Fox", "fox.", "42", "a", "一", "狐"]
IDS = [f"d{number}" for number in range(30)]


@st.composite
def labels(draw, of=("a", "b", "c")):
    pairs = draw(st.lists(st.tuples(st.sampled_from(of), st.sampled_from(of)), min_size=1, max_size=30))
    return [gold for gold, _ in pairs], [made for _, made in pairs]


@st.composite
def answered(draw, least=1):
    answer = st.lists(st.sampled_from(WORDS), max_size=4).map(" ".join)
    golds = draw(st.lists(st.lists(answer, min_size=least, max_size=3), min_size=1, max_size=8))
    made = draw(st.lists(st.one_of(st.none(), answer), min_size=len(golds), max_size=len(golds)))
    numbered = {str(number): text for number, text in enumerate(made) if text is not None}
    return {str(number): answers for number, answers in enumerate(golds)}, numbered


@st.composite
def pairs(draw):
    some = st.sets(st.tuples(st.sampled_from(["x1", "x2", "x3", "x4"]), st.sampled_from(["e1", "e2", "e3"])))
    return draw(some.filter(bool)), draw(some)


@st.composite
def entities(draw):
    golds = draw(st.lists(st.lists(st.sampled_from(IDS), min_size=1, max_size=2), min_size=1, max_size=6))
    shown = draw(st.lists(st.permutations(IDS), min_size=len(golds), max_size=len(golds)))
    made = {str(number): ids[:25] for number, ids in enumerate(shown) if number != 2}
    return {str(number): ids for number, ids in enumerate(golds)}, made


@st.composite
def ranked(draw):
    golds = draw(st.lists(st.sets(st.sampled_from(IDS), min_size=1, max_size=25), min_size=1, max_size=6))
    with_ranks, made = draw(st.booleans()), {}
    for number, right in enumerate(golds):
        order = draw(st.permutations(IDS))
        ranks = tuple(place for place, found in enumerate(order, start=1) if found in right)
        if number != 2:
            made[str(number)] = Ranking(tuple(order[:20]), ranks if with_ranks else None)
    return {str(number): right for number, right in enumerate(golds)}, made


DATA: dict[str, st.SearchStrategy[Any]] = {
    "accuracy": labels(),
    "entity_f1": tagged(IOB),
    "udpos_f1": tagged(UPOS),
    "squad": answered(),
    "mlqa": answered(),
    "bucc_f1": pairs(),
    "mrr_at_20": entities(),
    "map_at_20": ranked(),
    "accuracy_f1": labels(("duplicate", "not_duplicate")),
    "token_accuracy": tagged(UPOS),
    "squad_v2": answered(least=0),
}


@pytest.mark.parametrize("metric", METRICS)
@settings(max_examples=60)
@given(data=st.data())
def test_the_units_together_give_what_the_metric_gives(metric, data):
    golds, made = data.draw(DATA[metric])
    measured = METRICS[metric](golds, made, "zh").scores
    found = {name: value for each in units(metric, golds, made, "zh") for name, value in each.full_scores().items()}
    assert all(math.isclose(value, measured[name], abs_tol=1e-9) for name, value in found.items())
    lacking = set(measured) - set(found)
    # These have a score for one sort of questions, and not for each question.
    sorts = {"answerable_exact_match", "answerable_f1", "unanswerable_accuracy"}
    assert lacking <= (sorts if metric == "squad_v2" else set())


def test_a_unit_is_a_sentence_a_question_or_a_source():
    tags = [["B-PER", "I-PER", "O"], ["B-LOC"], ["O"]]
    [found] = units("entity_f1", tags, [["B-PER", "I-PER", "O"], ["B-ORG"], ["B-ORG"]], "en")
    assert found.rows.tolist() == [[1, 1, 1], [0, 1, 1], [0, 1, 0]]
    [found] = units("bucc_f1", {("x1", "e1"), ("x2", "e2")}, {("x1", "e1"), ("x1", "e3"), ("x9", "e2")}, "de")
    assert found.rows.tolist() == [[1, 2, 1], [0, 0, 1], [0, 1, 0]]
    exact, f1 = units("squad", {"1": ["red fox"], "2": ["dog"]}, {"1": "red", "9": "dog"}, "en")
    assert exact.rows.tolist() == [[0], [0]]
    assert f1.rows[:, 0] == pytest.approx([200 / 3, 0])


# --- How wide they are ---


@pytest.mark.parametrize("right", [20, 250, 490])
def test_the_interval_of_a_share_is_the_one_of_the_textbook(right):
    golds = ["a"] * 500
    made = ["a"] * right + ["b"] * (500 - right)
    low, high = bootstrap_interval("accuracy", golds, made, "en")["accuracy"]
    share = right / 500
    half = 1.96 * 100 * math.sqrt(share * (1 - share) / 500)
    assert low == pytest.approx(100 * share - half, abs=0.6)
    assert high == pytest.approx(100 * share + half, abs=0.6)


def test_the_interval_of_f1_is_that_of_drawing_sentences_one_by_one():
    dice = random.Random(5)
    golds = [[dice.choice(IOB) for _ in range(dice.randint(1, 12))] for _ in range(120)]
    made = [[tag if dice.random() < 0.8 else dice.choice(IOB) for tag in tags] for tags in golds]
    scores = []
    for _ in range(600):
        drawn = [dice.randrange(len(golds)) for _ in golds]
        scores.append(METRICS["entity_f1"]([golds[i] for i in drawn], [made[i] for i in drawn], "en").scores["f1"])
    plain = np.percentile(scores, [2.5, 97.5])
    assert bootstrap_interval("entity_f1", golds, made, "en")["f1"] == pytest.approx(tuple(plain), abs=0.8)


def test_it_covers_the_truth_as_often_as_it_says():
    dice, covered = random.Random(7), 0
    for _ in range(200):
        made = ["a" if dice.random() < 0.7 else "b" for _ in range(300)]
        low, high = bootstrap_interval("accuracy", ["a"] * 300, made, "en")["accuracy"]
        covered += low <= 70 <= high
    assert 180 <= covered <= 199


def test_where_all_are_right_it_is_a_point():
    assert bootstrap_interval("accuracy", ["a", "b"], ["a", "b"], "en") == {"accuracy": (100.0, 100.0)}
    assert bootstrap_interval("bucc_f1", {("x1", "e1"), ("x2", "e2")}, set(), "de")["f1"] == (0.0, 0.0)


def test_of_less_than_two_examples_or_of_examples_that_are_not_known_there_is_none():
    assert bootstrap_interval("accuracy", ["a"], ["a"], "en") == {}
    assert bootstrap_interval("evaluate:f1", ["a"] * 9, ["a"] * 9, "en") == {}


def test_it_is_the_same_every_time_in_any_order_of_the_examples_and_whatever_is_drawn_at_once(monkeypatch):
    dice = random.Random(3)
    golds = {str(number): [dice.choice(WORDS) + " fox"] for number in range(40)}
    made = {key: dice.choice(WORDS) + " fox" for key in golds}
    first = bootstrap_interval("squad", golds, made, "en")
    assert set(first) == {"exact_match", "f1"}
    assert all(0 <= low < high <= 100 for low, high in first.values())
    turned = dict(reversed(golds.items()))
    assert first == bootstrap_interval("squad", turned, made, "en")
    monkeypatch.setattr(bootstrap, "_DRAWN_AT_ONCE", 70)
    assert first == bootstrap_interval("squad", golds, made, "en")


def test_many_different_examples_are_drawn_in_parts(monkeypatch):
    held = []
    random_state = np.random.RandomState

    class Counting(random_state):
        def multinomial(self, n: int, pvals: Any, size: int) -> Any:
            held.append(size * len(pvals))
            return super().multinomial(n, pvals, size=size)

    monkeypatch.setattr(np.random, "RandomState", Counting)
    monkeypatch.setattr(bootstrap, "_DRAWN_AT_ONCE", 50_000)
    bootstrap._percentiles(BootstrapUnits(np.arange(400.0)[:, None], lambda sums: {"mean": sums[:, 0] / 400}))
    assert sum(held) == 400 * 1000
    assert max(held) <= 50_000


# --- Kept with a score ---


def test_a_result_file_keeps_them_and_is_read_without_them(tmp_path):
    path = tmp_path / "de.json"
    one = score("xnli", "de", intervals={"accuracy": [48.5, 51.25]})
    results_score.save(one, path)
    assert results_score.load(path) == one
    content = json.loads(path.read_text())
    del content["intervals"]
    path.write_text(json.dumps(content))
    assert results_score.load(path) == replace(one, intervals={})


@pytest.mark.parametrize("wrong", [[48.5], [51.25, 48.5], [48.5, "51"], [48.5, math.nan], 50.0, [1, 2, 3]])
def test_a_result_file_whose_intervals_are_none(wrong, tmp_path):
    path = tmp_path / "de.json"
    path.write_text(json.dumps(asdict(score("xnli", "de", intervals={"accuracy": wrong}))))
    with pytest.raises(DataError, match=r"intervals is .*, expected an object of pairs of finite numbers, the lower"):
        results_score.load(path)


def test_json_and_csv_show_them():
    found = aggregate([score("xnli", "de", intervals={"accuracy": [48.5, 51.25]}), score("xnli", "en")], specs("xnli"))
    languages = found.to_json()["tasks"]["xnli"]["languages"]
    assert languages["de"]["intervals"] == {"accuracy": [48.5, 51.25]}
    assert "intervals" not in languages["en"]
    published = ["paper", "xnli", "de", "accuracy", "80.0"]
    head, *lines = (line.split(",") for line in tables([("tiny", found)], "csv", further=[published]).splitlines())
    assert head[-2:] == ["low", "high"]
    assert {len(line) for line in lines} == {len(head)}
    assert [line[-2:] for line in lines if line[2:4] == ["de", "accuracy"]] == [["48.5", "51.25"], ["", ""]]


def test_score_and_eval_make_them_and_an_older_result_file_gets_them_without_the_model(
    tiny_checkpoint, data_folder: Path, tmp_path, runner
):
    checkpoint = tiny_checkpoint("classification", labels=("contradiction", "entailment", "neutral"))
    arguments = ["--model", checkpoint, "--targets", "xnli", "--languages", "de", "--data-dir", data_folder]
    arguments += ["--output", tmp_path, "--device", "cpu", "--json"]
    first = runner("eval", *arguments)
    assert first.exit_code == 0, first.err
    path = next(tmp_path.rglob("results/xnli/de.json"))
    made = json.loads(path.read_text())
    low, high = made["intervals"]["accuracy"]
    assert low <= made["scores"]["accuracy"] <= high
    assert low < high
    path.write_text(json.dumps({key: value for key, value in made.items() if key != "intervals"}))
    second = runner("eval", *arguments)
    assert second.exit_code == 0, second.err
    # The same seconds: nothing was computed again.
    assert json.loads(path.read_text()) == made
    scored = runner("score", path.parents[2], "--data-dir", data_folder, "--json")
    assert json.loads(scored.out)["tasks"]["xnli"]["languages"]["de"]["intervals"] == made["intervals"]
