"""Means over languages, groups and targets: what they are, and when they are the benchmark's."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest

from helpers.scores import everything, made_up_value, score, specs
from xharness.metrics import SCORE_KEYS
from xharness.results import aggregate as results_aggregate
from xharness.results.aggregate import aggregate
from xharness.tasks.benchmarks import benchmarks
from xharness.tasks.registry import load_task


def plain_mean(values: Any) -> float:
    total, count = 0.0, 0
    for each in values:
        total, count = total + each, count + 1
    return total / count


def mean_of_languages(task: str, values: dict[str, tuple[float, int]]) -> float:
    """Return the mean that a target's spec asks for, of language -> (score, examples)."""
    if load_task(task).average == "languages":
        return plain_mean(value for value, _ in values.values())
    total = 0.0
    for value, n in values.values():
        total += value * n
    return total / sum(n for _, n in values.values())


@pytest.mark.parametrize(("benchmark", "targets"), [("xtreme", 9), ("xtreme-r", 10)])
def test_the_overall_is_the_plain_mean_over_targets(benchmark, targets):
    found = aggregate(everything(benchmark), specs(), benchmark=benchmark)
    rules = benchmarks()[benchmark]
    assert sorted(found.tasks) == sorted(rules.tasks)
    for task, result in found.tasks.items():
        assert (result.complete, result.why, result.missing) == (True, "", ())
        assert list(result.languages) == load_task(task).languages_in(benchmark)
        first = SCORE_KEYS[result.spec.metric][0]
        values = {code: (made_up_value(task, code), s.n) for code, s in result.languages.items()}
        assert result.mean[first] == mean_of_languages(task, values)
        # Two metrics (exact match and F1) count with their mean.
        assert math.isclose(result.mean["score"], result.mean[first] + 5 * (len(SCORE_KEYS[result.spec.metric]) - 1))
    scores = [found.tasks[t].mean["score"] for t in rules.tasks]
    assert len(scores) == targets
    assert found.overall == found.to_json()["overall"] == plain_mean(scores)
    # It is not the mean of the groups.
    assert not math.isclose(found.overall, plain_mean(group.score for group in found.groups.values()))
    for name, members in rules.groups.items():
        assert found.groups[name].complete
        assert math.isclose(found.groups[name].score, plain_mean(found.tasks[t].mean["score"] for t in members))
    # A target that stands in two of evaluate.py's groups does so only there.
    if benchmark == "xtreme-r":
        assert found.official_groups["multi_choice"].score == found.tasks["xcopa"].mean["score"]
        assert "multi_choice" not in found.groups


def test_a_benchmark_that_lacks_a_target_has_no_overall():
    found = aggregate([s for s in everything("xtreme") if s.task != "bucc2018"], specs(), benchmark="xtreme")
    assert found.overall is None
    assert found.to_json()["overall"] is None
    assert found.average is not None
    assert found.average.missing == ("bucc2018",)
    there = [task for task in benchmarks()["xtreme"].tasks if task != "bucc2018"]
    assert math.isclose(found.average.score, plain_mean(found.tasks[task].mean["score"] for task in there))
    assert not found.groups["retrieval"].complete


def test_the_mean_over_all_questions_counts_each_language_by_its_questions():
    # LAReQA's official score pools the questions of all languages.
    found = aggregate([score("lareqa", "de", 30, n=3), score("lareqa", "ar", 90, n=1)], specs("lareqa"))
    assert found.tasks["lareqa"].mean["score"] == (90 * 1 + 30 * 3) / 4
    plain = aggregate([score("xnli", "de", 30, n=3), score("xnli", "ar", 90, n=1)], specs("xnli"))
    assert plain.tasks["xnli"].mean["score"] == 60


def test_fewer_candidates_are_not_the_whole_task():
    pool = {"n": 11718, "expected_n": 13014, "hash": "a"}
    codes = load_task("lareqa").languages
    found = results_aggregate.task_result(
        load_task("lareqa"), {c: score("lareqa", c, candidates=pool) for c in codes}, None
    )
    assert found.why == "only 11,718 of 13,014 candidates"
    mixed = {c: score("lareqa", c, candidates={**pool, "n": 13014, "hash": c == "ar"}) for c in codes}
    assert results_aggregate.task_result(load_task("lareqa"), mixed, None).why == (
        "languages were searched in different candidates"
    )
    unknown = {
        c: score("bucc2018", c, candidates={"n": 7, "expected_n": None}) for c in load_task("bucc2018").languages
    }
    assert results_aggregate.task_result(load_task("bucc2018"), unknown, None).complete


def test_languages_of_different_checkpoints_are_no_whole_target():
    scores = {c: score("pawsx", c, model_sha="a" * 40, seed=0) for c in load_task("pawsx").languages}
    assert results_aggregate.task_result(load_task("pawsx"), scores, None).complete
    for change in ({"model_sha": "b" * 40, "seed": 0}, {"model_sha": "a" * 40, "seed": 1}):
        found = results_aggregate.task_result(
            load_task("pawsx"), {**scores, "de": score("pawsx", "de", **change)}, None
        )
        assert found.why == "languages of different checkpoints"


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"data_status": "sample"}, "sample data in de"),
        ({"data_status": "stand-in"}, "stand-in data in de"),
        ({"split": "dev"}, "not the test split"),
        ({"settings": {"limit": 5010}}, "cut by --limit"),
        ({"n": 5009}, "not the expected number of examples: de 5,009 of 5,010"),
        ({"dtype": "bfloat16"}, "languages computed in different dtypes"),
        (None, "no score for de"),
    ],
)
def test_one_language_that_is_not_whole_takes_the_overall_away(changes, why):
    scores = [
        s if (s.task, s.language) != ("xnli", "de") else score("xnli", "de", **changes)
        for s in everything("xtreme")
        if changes is not None or (s.task, s.language) != ("xnli", "de")
    ]
    found = aggregate(scores, specs(), benchmark="xtreme")
    assert (found.tasks["xnli"].complete, found.tasks["xnli"].why) == (False, why)
    assert found.overall is None
    assert found.average is not None
    assert not found.groups["classification"].complete
    assert found.groups["retrieval"].complete
    assert found.tasks["pawsx"].complete
    assert found.to_json()["tasks"]["xnli"]["incomplete_because"] == why


def test_tydiqa_is_proved_by_its_total():
    spec = load_task("tydiqa")
    codes = list(spec.languages)
    sizes = {**dict.fromkeys(codes, 500), "en": 440, codes[-1]: 5077 - 440 - 7 * 500}
    scores = {c: score("tydiqa", c, n=n, data_status="unknown") for c, n in sizes.items()}
    assert results_aggregate.task_result(spec, scores, "xtreme").complete
    scores[codes[-1]] = score("tydiqa", codes[-1], n=sizes[codes[-1]] - 1, data_status="unknown")
    assert (
        results_aggregate.task_result(spec, scores, "xtreme").why == "5,076 examples over all languages, expected 5,077"
    )


def test_languages_outside_the_benchmark_do_not_enter_its_mean():
    scores = {c: score("panx", c, 0 if c == "qu" else 60) for c in load_task("panx").languages}
    assert results_aggregate.task_result(load_task("panx"), scores, "xtreme").mean["f1"] == 60
    assert results_aggregate.task_result(load_task("panx"), scores, "xtreme-r").mean["f1"] < 60
    # Without a benchmark named, nothing is said to be its overall.
    assert aggregate(scores.values(), specs("panx")).average is None


@pytest.mark.parametrize(
    ("task", "languages", "gap", "note"),
    [
        ("xnli", {"en": 80, "de": 70, "sw": 50}, 20.0, None),
        ("mlqa", {"en": 80, "de": 70, "hi": 50}, 20.0, None),
        ("xnli", {"de": 70}, None, "English was not scored"),
        ("xnli", {"en": 70}, None, "no language beside English was scored"),
        ("tatoeba", {"de": 70, "sw": 50}, None, "tatoeba has no English"),
    ],
)
def test_the_transfer_gap(task, languages, gap, note):
    found = aggregate([score(task, c, v) for c, v in languages.items()], specs(task)).tasks[task]
    assert (found.gap, found.gap_note) == (gap, note)


def test_what_json_holds():
    printed = aggregate([score("mlqa", "de", 40.0)], specs("mlqa"), provenance={"run": "out"}).to_json()
    assert printed["run"] == "out"
    task = printed["tasks"]["mlqa"]
    assert (task["mean"], task["complete"]) == ({"exact_match": 40.0, "f1": 50.0, "score": 45.0}, False)
    cell = task["languages"]["de"]
    assert {key: cell[key] for key in ("n", "exact_match", "f1", "data_status")} == {
        "n": 4517,
        "exact_match": 40.0,
        "f1": 50.0,
        "data_status": "complete",
    }
    assert printed["groups"]["question_answering"]["missing"] == ["xquad", "tydiqa"]
    assert printed["overall"] is None


def test_to_pandas():
    pytest.importorskip("pandas")
    table = aggregate([score("mlqa", "de", 40.0), score("xnli", "en", 70.0)], specs("mlqa", "xnli")).to_pandas()
    assert {tuple(row) for row in table[["task", "language", "metric", "value"]].values.tolist()} == {
        ("mlqa", "de", "exact_match", 40.0),
        ("mlqa", "de", "f1", 50.0),
        ("xnli", "en", "accuracy", 70.0),
    }


def test_a_group_with_languages_beyond_the_benchmark_is_not_the_benchmarks():
    tasks = ("xquad", "mlqa", "tydiqa")
    scores = [s for s in everything("xtreme-r") if s.task in tasks]
    assert len([s for s in scores if s.task == "xquad"]) == 12
    unnamed = aggregate(scores, specs(*tasks))
    assert (unnamed.benchmark, unnamed.groups["question_answering"].complete) == ("xtreme", False)
    named = aggregate(scores, specs(*tasks), benchmark="xtreme")
    assert named.groups["question_answering"].complete
    assert "ro" not in named.tasks["xquad"].languages


def test_without_a_known_count_only_the_manifest_can_say_complete():
    spec = load_task("udpos")
    codes = spec.languages_in("xtreme")
    for status, complete in [("complete", True), ("unknown", False)]:
        scores = {c: score("udpos", c, 50.0, data_status=status, expected_n=None) for c in codes}
        result = results_aggregate.task_result(spec, scores, "xtreme")
        assert result.complete is complete
        assert result.why.startswith("the right number of examples is not known") is not complete


def test_a_number_that_one_language_lacks_has_no_mean():
    # LAReQA's uncut mean needs ranks, and files from elsewhere may come without.
    with_ranks = replace(score("lareqa", "de"), scores={"map@20": 10.0, "map": 5.0})
    without = replace(score("lareqa", "en"), scores={"map@20": 20.0})
    for order in ([with_ranks, without], [without, with_ranks]):
        mean = aggregate(order, specs("lareqa")).tasks["lareqa"].mean
        assert set(mean) == {"map@20", "score"}
