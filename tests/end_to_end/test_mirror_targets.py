"""Targets beyond plain tables of the Hub, on real data where a data folder is there: eval, then score."""

from __future__ import annotations

import pytest

from xharness.data import loading as data_loading
from xharness.errors import DataError
from xharness.evaluation import runner as evaluation_runner
from xharness.metrics.retrieval import Ranking
from xharness.results import predictions, scoring
from xharness.tasks.registry import load_task


@pytest.mark.parametrize(
    ("task", "head", "languages", "split", "options"),
    [
        ("xcopa", "multiple_choice", ["it", "qu"], "test", {}),
        ("udpos", "tagging", ["tl", "tr", "mr"], "test", {}),
        pytest.param("bucc2018", "encoder", ["zh"], "dev", {"layer": 0}, marks=pytest.mark.slow),
        pytest.param(
            "lareqa",
            "encoder",
            ["zh"],
            "test",
            {"limit": 50, "pooling": "cls", "layer": 0},
            marks=pytest.mark.slow,  # eleven thousand candidates
        ),
    ],
)
def test_eval_and_score_agree_on_real_data(task, head, languages, split, options, mirror, tiny_checkpoint, tmp_path):
    labels = tuple(load_task(task).labels) if head == "tagging" else ()
    found = evaluation_runner.evaluate(
        str(tiny_checkpoint(head, labels=labels)),
        targets=task,
        languages=languages,
        split=split,
        data_dir=mirror,
        output=tmp_path,
        dtype="float32",
        **options,
    )
    assert found.provenance["failures"] == []
    made = found.tasks[task].languages
    assert list(made) == [code for code in load_task(task).languages if code in languages]
    again = scoring.score(found.provenance["run"], data_dir=mirror).tasks[task].languages
    assert {c: s.scores for c, s in again.items()} == {c: s.scores for c, s in made.items()}


@pytest.mark.parametrize(
    ("task", "language", "split", "n"),
    [
        ("xcopa", "zh", "test", 500),
        ("udpos", "te", "test", 146),
        ("udpos", "el", "test", 456),
        ("bucc2018", "zh", "dev", 257),
        ("lareqa", "tr", "test", 1190),
    ],
)
def test_perfect_predictions_on_real_data(task, language, split, n, mirror, tmp_path):
    spec = load_task(task)
    loaded = data_loading.load(spec, language, split, mirror)
    gold = scoring.gold(spec, loaded.examples)
    if spec.kind == "ranking":
        gold = {query: Ranking(targets, tuple(range(1, len(targets) + 1))) for query, targets in gold.items()}
    path = predictions.path(tmp_path, task, spec.kind, language, split)
    predictions.write(path, spec.kind, sorted(gold) if spec.kind == "mining" else gold)
    score = scoring.score_file(spec, language, split, loaded, path)
    assert set(score.scores.values()) == {100.0}
    assert score.n == n


def test_a_pool_without_two_languages_is_partial(mirror):
    loaded = data_loading.load(load_task("lareqa"), "de", "test", mirror)
    assert loaded.pool is not None
    assert loaded.pool.missing == ("hi", "th")
    assert (len(loaded.pool.ids), loaded.pool.expected_n) == (10918, 13014)
    # Of the eleven right sentences nine are there.
    assert {len(example.targets) for example in loaded.examples} == {9}


def test_files_may_be_named_as_xtreme_names_them(tmp_path):
    raw = tmp_path / "raw" / "bucc2018"
    raw.mkdir(parents=True)
    for side, text in (("zh", "zh-1\t一\n"), ("en", "en-1\tOne.\n"), ("gold", "zh-1\ten-1\n")):
        (raw / f"zh-en.test.{side}").write_text(text, encoding="utf-8")
    folder = tmp_path / "data"
    folder.mkdir()
    assert data_loading.load(load_task("bucc2018"), "zh", "test", folder).examples[0].targets == ("en-1",)
    with pytest.raises(DataError, match=r"zh-en\.dev"):
        data_loading.load(load_task("bucc2018"), "zh", "dev", folder)
