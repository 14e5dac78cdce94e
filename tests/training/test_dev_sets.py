"""Chance: what a constant answer scores, and when a score is no better."""

from __future__ import annotations

from dataclasses import replace

import pytest

from xharness.data.examples import Choice, Pair, Question, Tagged
from xharness.tasks.registry import load_training
from xharness.training.dev_sets import DevSet, chance


def pairs(labels: list[str]) -> list[Pair]:
    return [Pair(str(i), "a", "b", label) for i, label in enumerate(labels)]


def test_chance_is_the_most_frequent_label() -> None:
    assert chance(load_training("mnli"), pairs(["neutral"] * 6 + ["entailment"] * 4)) == 60.0


def test_chance_of_two_numbers_is_their_mean_for_one_answer() -> None:
    # Always "duplicate": accuracy 40 and F1 57.14; always "not duplicate": accuracy 60 and F1 0.
    labels = load_training("qqp").labels
    found = chance(load_training("qqp"), pairs([labels[1]] * 4 + [labels[0]] * 6))
    assert found == pytest.approx((40 + 100 * 2 * 0.4 / 1.4) / 2)


def test_chance_of_choices_tags_and_answers() -> None:
    choices = [Choice(str(i), "c", "q", ("a",) * 5, label) for i, label in enumerate("AABCE")]
    assert chance(load_training("commonsenseqa"), choices) == 40.0
    sentence = Tagged("0", ("the", "cat", "sees"), ("DET", "NOUN", "NOUN"))
    assert 0 <= chance(load_training("ud_en_hub"), [sentence]) <= 100
    assert chance(load_training("panx_en"), [replace(sentence, tags=("O", "O", "B-PER"))]) == 0.0
    texts = ["one two three four five six seven", "word"]
    asked = [Question(str(i), "q", texts[0], ("six",) * (i > 0), (19,) * (i > 0)) for i in range(4)]
    assert chance(load_training("squad_v2"), asked) == 25.0
    whole = [Question("0", "q", texts[1], ("word",), (0,))]
    assert chance(load_training("squad_v1"), whole) == 100.0
    begins = [Question("0", "q", texts[0], ("one two three four five",), (0,))]
    assert chance(load_training("squad_v1"), begins) == 100.0


@pytest.mark.parametrize(
    ("n", "score", "expected"), [(500, 37.0, True), (500, 45.0, False), (9, 40.0, False), (9, 33.3, True)]
)
def test_a_score_within_two_standard_errors_is_at_chance(n: int, score: float, expected: bool) -> None:
    labels = ["neutral", "entailment", "contradiction"] * (n // 3 + 1)
    spec = load_training("mnli")
    dev_set = DevSet("mnli", "mnli", spec, "en", pairs(labels[:n]), tuple(spec.labels), "h", n)
    assert dev_set.at_chance(score) is expected
