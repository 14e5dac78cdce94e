"""The metrics of training sets against independent restatements of their rules, and by hand where the rules are odd."""

from __future__ import annotations

import re
import string
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, f1_score

from xharness import metrics
from xharness.errors import DataError, PredictionError
from xharness.metrics import base, classification, question_answering, tagging

PAIRS = st.sampled_from(["duplicate", "not_duplicate"])
WORDS = st.sampled_from(["the", "a", "Lamp", "lamp,", "red", "Red!", "...", "der"])
ANSWERS = st.lists(WORDS, max_size=3).map(" ".join)


# --- Accuracy and F1 ---


@given(st.lists(st.tuples(PAIRS, PAIRS), min_size=1, max_size=20))
def test_accuracy_f1_is_that_of_the_label_that_is_looked_for(pairs):
    golds, predictions = zip(*pairs, strict=True)
    found = classification.accuracy_f1(golds, predictions, "en").scores
    table = Counter(pairs)
    hits = table["duplicate", "duplicate"]
    wrong = table["duplicate", "not_duplicate"] + table["not_duplicate", "duplicate"]
    assert found["accuracy"] == pytest.approx(100 * (len(pairs) - wrong) / len(pairs))
    assert found["f1"] == pytest.approx(100 * hits / (hits + wrong / 2) if hits else 0.0)
    assert found["accuracy"] == classification.accuracy(golds, predictions, "en").scores["accuracy"]
    swapped = classification.accuracy_f1(predictions, golds, "en").scores
    assert swapped == pytest.approx(found)


@given(st.lists(st.tuples(PAIRS, PAIRS), min_size=1, max_size=60))
def test_accuracy_f1_is_what_glue_computes_with_scikit_learn(pairs):
    golds, predictions = zip(*pairs, strict=True)
    numbers = [[int(label == "duplicate") for label in labels] for labels in (golds, predictions)]
    found = classification.accuracy_f1(golds, predictions, "en").scores
    expected = {
        "accuracy": 100 * accuracy_score(*numbers),
        "f1": 100 * f1_score(*numbers, pos_label=1, zero_division=0.0),
    }
    assert found == expected
    assert base.task_score(metrics.SCORE_KEYS["accuracy_f1"], found) == (expected["accuracy"] + expected["f1"]) / 2


def test_accuracy_f1_by_hand():
    golds, predictions = ["1", "1", "0", "0"], ["1", "0", "1", "0"]
    found = classification.accuracy_f1(golds, predictions, "en").scores
    assert found == {"accuracy": 50.0, "f1": 50.0}
    assert base.task_score(metrics.SCORE_KEYS["accuracy_f1"], {"accuracy": 80.0, "f1": 60.0}) == 70.0
    nothing_looked_for = classification.accuracy_f1(["0"], ["0"], "en").scores
    assert nothing_looked_for == {"accuracy": 100.0, "f1": 0.0}


@pytest.mark.parametrize("golds", [["x", "y"], ["1", "0", "2"], ["1", "duplicate"]])
def test_accuracy_f1_wants_two_labels(golds):
    with pytest.raises(DataError, match=r"accuracy_f1 \(en\) is for two labels"):
        classification.accuracy_f1(golds, golds, "en")


# --- Tags ---


@given(st.data())
def test_token_accuracy_counts_words_and_not_sentences(data):
    tag = st.sampled_from(["N", "NP", r"S\NP"])
    golds = data.draw(st.lists(st.lists(tag, min_size=1, max_size=4), min_size=1, max_size=4))
    predictions = [[data.draw(tag) for _ in sentence] for sentence in golds]
    found = tagging.token_accuracy(golds, predictions, "en").scores
    flat = [(g, p) for a, b in zip(golds, predictions, strict=True) for g, p in zip(a, b, strict=True)]
    assert found == {"token_accuracy": pytest.approx(100 * sum(g == p for g, p in flat) / len(flat))}
    assert tagging.token_accuracy(golds, golds, "en").scores == {"token_accuracy": 100.0}


def test_a_tag_that_cannot_be_predicted_is_wrong():
    assert tagging.token_accuracy([["N", "never seen"]], [["N", "N"]], "en").scores == {"token_accuracy": 50.0}


@pytest.mark.parametrize(
    ("golds", "predictions", "error"),
    [
        ([], [], DataError),
        ([[]], [[]], DataError),
        ([["N"]], [["N", "N"]], PredictionError),
        ([["N"]], [], PredictionError),
    ],
)
def test_tags_of_another_shape(golds, predictions, error):
    with pytest.raises(error):
        tagging.token_accuracy(golds, predictions, "en")


# --- Questions that may have no answer ---


def normalized(text):
    text = "".join(c for c in text.lower() if c not in string.punctuation)
    return re.sub(r"\b(a|an|the)\b", " ", text).split()


def official(answers, prediction):
    """Exact match and F1 of one question, restated from the rules of SQuAD 2.0's scorer."""
    golds = [normalized(answer) for answer in answers if normalized(answer)] or [[]]
    found = normalized(prediction)
    best = 0.0
    for gold in golds:
        if not gold or not found:
            best = max(best, float(gold == found))
            continue
        if common := sum((Counter(gold) & Counter(found)).values()):
            precision, recall = common / len(found), common / len(gold)
            best = max(best, (2 * precision * recall) / (precision + recall))
    return float(found in golds), best


def percent(values):
    """Return the mean in percent, added from left to right."""
    total = 0.0
    for value in values:
        total += value
    return 100.0 * total / len(values)


@given(st.lists(st.tuples(st.lists(ANSWERS, max_size=3), ANSWERS), min_size=1, max_size=30))
def test_squad_v2_is_the_official_mean_to_the_last_bit_where_no_prediction_is_missing(questions):
    golds = {str(i): answers for i, (answers, _) in enumerate(questions)}
    predictions = {str(i): prediction for i, (_, prediction) in enumerate(questions)}
    found = question_answering.squad_v2(golds, predictions, "en").scores
    scored = [official(answers, prediction) for answers, prediction in questions]
    assert found["exact_match"] == percent([e for e, _ in scored])
    assert found["f1"] == percent([f for _, f in scored])
    for answerable, names in [(True, ["answerable_exact_match", "answerable_f1"]), (False, ["unanswerable_accuracy"])]:
        of_sort = [pair for pair, (answers, _) in zip(scored, questions, strict=True) if bool(answers) == answerable]
        assert [name for name in names if name in found] == (names if of_sort else [])
        assert all(found[name] == percent([pair[i] for pair in of_sort]) for i, name in enumerate(names) if of_sort)
    assert 0 <= found["exact_match"] <= found["f1"] + 1e-9


@given(st.lists(ANSWERS.filter(normalized), min_size=1, max_size=6), st.lists(ANSWERS, min_size=6, max_size=6))
def test_squad_v2_is_squad_where_every_question_has_an_answer(answers, predictions):
    golds = {str(i): [answer] for i, answer in enumerate(answers)}
    given_answers = {str(i): predictions[i] for i in range(len(answers))}
    new, old = (
        question_answering.squad_v2(golds, given_answers, "en"),
        question_answering.squad(golds, given_answers, "en"),
    )
    assert {name: new.scores[name] for name in old.scores} == pytest.approx(old.scores)
    assert "unanswerable_accuracy" not in new.scores


@pytest.mark.parametrize(
    ("answers", "prediction", "exact", "f1"),
    [
        (["the red lamp", "lamp"], "Red lamp!", 1, 1),
        (["red lamp"], "a lamp", 0, 2 / 3),
        (["red lamp", "big red lamp"], "red big", 0, 0.8),  # the best answer counts, words in any order
        (["lamp lamp"], "lamp", 0, 2 / 3),
        (["lamp"], "", 0, 0),
        (["lamp"], "the ...", 0, 0),
        ([], "", 1, 1),
        ([], "the ...", 1, 1),  # nothing is left of it
        ([], "lamp", 0, 0),
        (["The", "..."], "", 1, 1),  # nothing is left of either: as if there were no answer
        (["The", "lamp"], "", 0, 0),  # what nothing is left of is no answer beside others
        (["The", "lamp"], "the", 0, 0),
        (["Lampe"], "die Lampe", 0, 2 / 3),  # the articles are the English ones
        (["red-lamp"], "redlamp", 1, 1),  # punctuation leaves no blank
    ],
)
def test_one_question_of_squad_v2_by_hand(answers, prediction, exact, f1):
    found = question_answering.squad_v2({"q": answers}, {"q": prediction}, "en").scores
    assert (found["exact_match"], found["f1"]) == (100 * exact, pytest.approx(100 * f1))
    assert found.get("answerable_f1", found.get("unanswerable_accuracy")) == found["f1"]


def test_squad_v2_by_hand():
    golds = {"a": ["the red lamp", "lamp"], "b": [], "c": ["lamp"], "d": [], "e": ["The"], "f": ["lamp"]}
    predictions = {"a": "red lamp!", "b": "", "c": "", "d": "lamp", "e": "", "z": "x"}
    found = question_answering.squad_v2(golds, predictions, "en")
    # a and b are right; c has an answer that was not seen; d has none; of e's answer nothing is left; f is missing.
    assert found.scores == {
        "exact_match": pytest.approx(50.0),
        "f1": pytest.approx(50.0),
        "answerable_exact_match": pytest.approx(50.0),
        "answerable_f1": pytest.approx(50.0),
        "unanswerable_accuracy": pytest.approx(50.0),
    }
    assert found.counts == {"missing": 1, "unknown": 1}
    with pytest.raises(DataError, match="There is no question to score"):
        question_answering.squad_v2({}, {}, "en")
