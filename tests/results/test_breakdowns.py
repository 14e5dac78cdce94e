"""Scores by script, family and resource level, against means made by hand."""

from __future__ import annotations

import math
from typing import Any

import pytest

from helpers.scores import everything, score, specs
from xharness.results import breakdowns
from xharness.results.aggregate import aggregate
from xharness.results.breakdowns import Group


def results(*scores: Any) -> dict[str, Any]:
    return aggregate(scores, specs(*dict.fromkeys(s.task for s in scores))).tasks


@pytest.fixture
def some() -> dict[str, Any]:
    # MLQA's number is the mean of exact match and F1, here 5 above the first.
    return results(
        *(
            score("xnli", code, value, n=10)
            for code, value in {"en": 80, "de": 70, "fr": 60, "ru": 50, "ur": 30}.items()
        ),
        *(score("mlqa", code, value, n=3) for code, value in {"en": 60, "de": 45, "hi": 35}.items()),
        score("tatoeba", "ru", 90, n=1000),
    )


def by_name(groups: list[Group]) -> dict[str, Group]:
    assert len({group.name for group in groups}) == len(groups)
    return {group.name: group for group in groups}


def test_latin_and_the_other_scripts(some):
    groups = by_name(breakdowns.by_script(some))
    assert list(groups) == ["Latin", "non-Latin", "Cyrillic", "Devanagari", "Perso-Arabic"]
    assert groups["Latin"] == Group(
        "Latin",
        languages=("de", "fr"),
        tasks={"xnli": (65.0, 2), "mlqa": (50.0, 1)},
        score=57.5,
        gaps={"xnli": 15.0, "mlqa": 15.0},
        gap=15.0,
        n=23,
    )
    other = groups["non-Latin"]
    assert other.languages == ("hi", "ru", "ur")
    assert other.tasks == {"xnli": (40.0, 2), "mlqa": (40.0, 1), "tatoeba": (90.0, 1)}
    # Over targets, not over languages; and the gap over those only that have English, which Tatoeba has not.
    assert math.isclose(other.score, (40 + 40 + 90) / 3)
    assert (other.gaps, other.gap) == ({"xnli": 40.0, "mlqa": 25.0}, 32.5)
    assert other.n == 10 + 10 + 3 + 1000
    assert groups["Cyrillic"].tasks == {"xnli": (50.0, 1), "tatoeba": (90.0, 1)}


def test_english_is_in_no_group_where_it_is_the_source(some):
    for groups in (breakdowns.by_script(some), breakdowns.by_resource(some), breakdowns.by_family(some)):
        assert groups
        assert not any("en" in group.languages for group in groups)


def test_without_english_there_is_no_gap():
    [latin] = breakdowns.by_script(results(score("xnli", "de", 70.0)))
    assert (latin.name, latin.score, latin.gaps, latin.gap) == ("Latin", 70.0, {}, None)
    assert breakdowns.by_script(results(score("xnli", "en", 70.0))) == []


def test_classes_and_sizes():
    of_xnli = {"de": 10.0, "ru": 30.0, "sw": 20.0}
    found = results(
        *(score("xnli", code, value) for code, value in of_xnli.items()), score("panx", "pa"), score("udpos", "wo")
    )
    groups = breakdowns.by_resource(found)
    assert [(group.name, group.languages) for group in groups] == [
        ("Joshi class 2", ("pa", "sw", "wo")),
        ("Joshi class 4", ("ru",)),
        ("Joshi class 5", ("de",)),
        ("not in CC-100", ("wo",)),
        ("under 1 GiB in CC-100", ("pa",)),
        ("1 to 10 GiB in CC-100", ("sw",)),
        ("over 10 GiB in CC-100", ("de", "ru")),
    ]
    assert groups[-1].tasks == {"xnli": (20.0, 2)}


def test_what_is_not_known_is_called_so():
    # Of Haitian Creole no class is known for sure; of Catalan neither class nor size.
    found = results(score("xcopa", "ht", 55.0), score("tatoeba-dev", "ca", 65.0))
    groups = by_name(breakdowns.by_resource(found))
    assert {name: group.languages for name, group in groups.items()} == {
        "Joshi class not known": ("ca", "ht"),
        "not in CC-100": ("ht",),
        "size in CC-100 not known": ("ca",),
    }


def test_a_mean_over_examples_where_the_target_asks_for_it():
    # LAReQA's mean is over the questions of all languages.
    [latin, *_] = breakdowns.by_script(results(score("lareqa", "de", 30.0, n=3), score("lareqa", "es", 90.0, n=1)))
    assert latin.tasks == {"lareqa": (45.0, 2)}


def test_families(some):
    groups = breakdowns.by_family(some)
    assert [group.name for group in groups] == [
        "IE: Germanic",
        "IE: Indo-Aryan",
        "IE: Romance",
        "IE: Slavic",
    ]
    assert groups[1].tasks == {"xnli": (30.0, 1), "mlqa": (40.0, 1)}


def test_every_language_of_a_benchmark_is_in_one_group_of_each_kind():
    tasks = aggregate(everything("xtreme-r"), specs(), benchmark="xtreme-r").tasks
    scored = {c for t in tasks.values() for c in t.languages if t.spec.languages[c].zero_shot}
    scripts, resources = breakdowns.by_script(tasks), breakdowns.by_resource(tasks)
    sizes = [group for group in resources if "CC-100" in group.name]
    classes = [group for group in resources if "CC-100" not in group.name]
    for groups in (scripts[:2], scripts[2:] + scripts[:1], sizes, classes, breakdowns.by_family(tasks)):
        assert sorted(code for group in groups for code in group.languages) == sorted(scored)
        # Each score is counted once.
        n = sum(s.n for t in tasks.values() for c, s in t.languages.items() if t.spec.languages[c].zero_shot)
        assert sum(group.n for group in groups) == n
