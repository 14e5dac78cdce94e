"""Published scores: what the benchmarks' YAML may hold, and what our scores are compared with."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest

from helpers.scores import everything, score, specs, write_run
from xharness import assets, strict_yaml
from xharness.errors import SpecError, UsageError
from xharness.metrics import SCORE_KEYS
from xharness.results import references
from xharness.results.aggregate import Results, aggregate
from xharness.results.references import Row
from xharness.tasks.benchmarks import Benchmark, benchmarks
from xharness.tasks.registry import load_task

ENCODING = {"layer": 14, "pooling": "mean", "special_tokens": True, "max_length": 512}


def rows(found: Results, *names: str) -> dict[tuple[str, str | None, str, str], Row]:
    compared = references.compare(found, references.select(names))
    return {(row.target, row.language, row.metric, row.figures.source): row for row in compared}


def results(*scores: Any, benchmark: str | None = None) -> Results:
    return aggregate(scores, specs(*dict.fromkeys(s.task for s in scores)), benchmark=benchmark)


# What is shipped


def test_every_published_score_is_one_that_its_target_has():
    further = {"udpos": {"token_accuracy"}}
    for published in references.all_references():
        for figures in published.reference.figures:
            by_task = [*figures.scores.items(), *((t, v) for t, per in figures.languages.items() for v in per.values())]
            for task, values in by_task:
                assert set(values) <= {*SCORE_KEYS[load_task(task).metric], *further.get(task, ())}, published.name
            for task, per in figures.languages.items():
                assert set(per) <= set(load_task(task).languages), published.name


@pytest.mark.parametrize(
    ("name", "source", "task", "metric", "mean", "count"),
    [
        # What the sources themselves give as the mean of these languages; the YAML holds the single ones.
        ("xlm-r-large", "google-deepmind xquad README", "xquad", "f1", 77.2, 12),
        ("xlm-r-large", "google-deepmind xquad README", "xquad", "exact_match", 61.5, 12),
        ("mbert", "google-deepmind xquad README", "xquad", "f1", 65.2, 12),
        ("mbert", "google-deepmind xquad README", "xquad", "exact_match", 50.3, 12),
        # Means of the same figures in thousandths.
        ("xlm-r-large-untuned", "jiant-dev pull request 128", "tatoeba", "accuracy", 31.0, 36),
        ("xlm-r-large-untuned", "jiant-dev pull request 128", "bucc2018", "f1", 71.5, 4),
    ],
)
def test_the_languages_were_copied_right(name, source, task, metric, mean, count):
    [published] = references.select([name])
    [per] = [f.languages[task] for f in published.reference.figures if f.source == source and task in f.languages]
    assert len(per) == count
    assert sum(values[metric] for values in per.values()) / count == pytest.approx(mean, abs=0.06)


def test_figures_of_question_answering_say_when_they_are_f1_only():
    for published in references.all_references():
        for figures in published.reference.figures:
            for task in ("xquad", "mlqa", "tydiqa"):
                if set(figures.scores.get(task, ())) == {"f1"}:
                    assert "F1 only" in str(figures.note)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"scores": {"xnil": {"accuracy": 1.0}}},
            "references.mine.figures.0.scores.xnil: 'xnil' is not one of the tasks. Did you mean 'xnli'?",
        ),
        ({"scores": {"xnli": {"accuracy": 101.0}}}, "references.mine.figures.0.scores.xnli.accuracy: found 101.0"),
        ({"groups": {"retreival": 1.0}}, "'retreival' is not one of the groups. Did you mean 'retrieval'?"),
        ({}, "references.mine.figures.0: give at least one of 'scores', 'languages' and 'groups'."),
        ({"scores": {"xnli": {"accuracy": 1.0}}, "sorce": "x"}, "references.mine.figures.0.sorce: no such field."),
    ],
)
def test_mistakes_are_named(change, message):
    content = strict_yaml.read(assets.TASKS / "benchmarks" / "xtreme.yaml")
    content["references"] = {"mine": {"title": "Mine", "figures": [{"source": "a paper", **change}]}}
    with pytest.raises(SpecError) as caught:
        strict_yaml.parse(Benchmark, content, "xtreme.yaml")
    assert message in str(caught.value)


def test_a_target_without_its_number_of_languages_is_named():
    content = strict_yaml.read(assets.TASKS / "benchmarks" / "xtreme.yaml")
    del content["task_languages"]["mlqa"]
    with pytest.raises(SpecError, match=r"task_languages\.mlqa: field required"):
        strict_yaml.parse(Benchmark, content, "xtreme.yaml")


# Comparing


def test_a_whole_target_is_compared_in_the_metric_that_was_published():
    found = aggregate(everything("xtreme"), specs(), benchmark="xtreme")
    compared = rows(found, "mt5-xxl")
    row = compared["mlqa", None, "f1", "mT5 repository README"]
    # F1 with F1, not with the mean of F1 and exact match that enters the average.
    assert (row.ours, row.published) == (found.tasks["mlqa"].mean["f1"], 76.0)
    assert row.difference == pytest.approx(row.ours - 76.0)
    assert not row.partial
    assert ("mlqa", None, "score", "mT5 repository README") not in compared


def test_languages_beyond_the_references_benchmark_stay_out():
    every = [score("panx", c, 10 if c == "qu" else 60) for c in load_task("panx").languages]
    [row] = references.compare(results(*every), references.select(["mt5-xxl"]))
    assert (row.ours, row.partial) == (60, False)


def test_what_is_partial_is_marked():
    [row] = references.compare(results(score("xnli", "de", 70)), references.select(["rembert"]))
    assert (row.language, row.partial, row.difference) == (None, True, pytest.approx(70 - 80.8))
    assert "70.0 partial" in references.table("org__tiny", [row])


def test_where_the_reference_has_languages_only_those_are_compared():
    found = results(score("xquad", "de", 60), score("xquad", "ro", 50))
    compared = rows(found, "xlm-r-large")
    assert {(target, language) for target, language, _, _ in compared} == {("xquad", "de"), ("xquad", "ro")}
    assert compared["xquad", "de", "exact_match", "google-deepmind xquad README"].published == 63.4
    whole = results(*(score("xquad", c) for c in load_task("xquad").languages))
    assert ("xquad", None, "f1", "mT5 repository README") in rows(whole, "xlm-r-large")


def test_dev_is_not_subtracted_from_test():
    facts: dict[str, Any] = {"encoding": ENCODING}
    test = references.compare(results(score("bucc2018", "de", 80, **facts)), references.select(["xlm-r-large-untuned"]))
    assert [(row.difference, row.published) for row in test] == [(None, 77.7)]
    text = references.table("org__tiny", test)
    assert "80.0 (test)" in text
    assert "77.7 (dev)" in text
    assert "Scores of different splits are not comparable" in text
    dev = score("bucc2018", "de", 80, split="dev", **facts)
    [row] = references.compare(results(dev), references.select(["xlm-r-large-untuned"]))
    assert (row.difference, row.partial) == (pytest.approx(2.3), False)


def test_other_settings_are_said():
    found = references.compare(
        results(score("tatoeba", "de", 60, encoding=ENCODING)), references.select(["xlm-r-large-untuned"])
    )
    assert [row.unlike for row in found] == [{"max_length": (512, 256)}]
    assert "tatoeba: max_length is 512 here, 256 in xlm-r-large-untuned." in references.table("org__tiny", found)


def test_groups_are_compared_when_all_their_targets_are_there():
    found = aggregate(everything("xtreme"), specs(), benchmark="xtreme")
    compared = rows(found, "filter")
    assert {key[0] for key in compared} == {"classification", "structured_prediction", "question_answering"}
    row = compared["classification", None, "score", "RemBERT paper, Table 7"]
    assert row.ours == found.groups["classification"].score
    some = aggregate([s for s in everything("xtreme") if s.task != "pawsx"], specs(), benchmark="xtreme")
    assert "classification" not in {key[0] for key in rows(some, "filter")}


def test_an_unknown_reference_is_named():
    with pytest.raises(UsageError, match=r"no reference named 'xlmr-large'\. Did you mean 'xlm-r-large'\?"):
        references.select(["xlmr-large"])
    assert [p.name for p in references.select(["XLM_R_large", "xlm-r-large"])] == ["xlm-r-large"]


# The command


@pytest.fixture
def run(tmp_path: Path) -> Path:
    folder = tmp_path / "org__tiny" / "0123456789ab" / "ba9876543210" / "seed0"
    return write_run(folder, [score("xquad", "de", 60), score("xnli", "de", 70)])


def test_report_against(runner, run, gold):
    found = runner("report", run, "--against", "xlm-r-large,rembert")
    assert found.exit_code == 0
    gold("report-against.txt", found.out[found.out.index("reference") :])
    [told] = json.loads(runner("report", run, "--against", "rembert", "--json").out)
    assert {row["target"] for row in told["against"]} == {"xnli", "xquad"}
    assert set(told["against"][0]) >= {"reference", "ours", "published", "difference", "partial", "source", "note"}


def test_report_against_as_csv(runner, run):
    found = runner("report", run, "--against", "xlm-r-large", "--format", "csv")
    lines = list(csv.DictReader(io.StringIO(found.out)))
    [line] = [x for x in lines if x["run"] == "xlm-r-large" and x["language"] == "de" and x["metric"] == "f1"]
    assert (line["value"], line["data_status"], line["split"]) == ("80.4", "published", "test")
    assert "xlm-r-large, xquad: google-deepmind xquad README." in found.err


@pytest.mark.parametrize("name", ["xlmr", "zzz"])
def test_report_against_something_unknown(name, runner, run):
    found = runner("report", run, "--against", name)
    assert (found.exit_code, found.out) == (2, "")
    assert "--list-references" in found.err


@pytest.mark.parametrize("names", ["", ",", " "])
def test_report_against_nothing(names, runner, run):
    found = runner("report", run, "--against", names)
    assert found.exit_code == 2
    assert "No reference is given. `xharness report --list-references` lists them." in found.err


def test_references_are_listed(runner):
    listed = runner("report", "--list-references")
    assert listed.exit_code == 0
    told = json.loads(runner("report", "--list-references", "--json").out)
    assert {each["name"] for each in told} == set(benchmarks()["xtreme"].references)
    for each in told:
        assert each["name"] in listed.out
