"""XTREME and XTREME-R from end to end on tiny data: every target, every language, the overall, and what is partial."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

from helpers import whole_benchmark
from xharness.cli.main import cli
from xharness.data import candidates
from xharness.evaluation import runner as evaluation_runner
from xharness.metrics.base import mean
from xharness.results import aggregate, export_xtreme, runs, scoring
from xharness.tasks import benchmarks, registry

HEADS = {
    "xnli": ("classification", "xnli"),
    "pawsx": ("classification", "pawsx"),
    "xcopa": ("multiple_choice", "xcopa"),
    "udpos": ("tagging", "udpos"),
    "panx": ("tagging", "panx"),
    "xquad,mlqa,tydiqa": ("span_qa", "xquad"),
    "bucc2018,tatoeba,mewslix,lareqa": ("encoder", "tatoeba"),
}


@pytest.fixture(scope="module")
def monkey():
    with pytest.MonkeyPatch.context() as patch:
        yield patch
    for cached in (registry.load_task, registry.list_tasks, registry.load_training, benchmarks.benchmarks):
        cached.cache_clear()
    candidates._POOLS.clear()


@pytest.fixture(scope="module")
def evaluated(monkey, tmp_path_factory, tiny_checkpoint) -> tuple[list[Path], Path]:
    """Return a RUN for each checkpoint, and the data folder."""
    root = tmp_path_factory.mktemp("whole")
    whole_benchmark.shrink_tasks(root / "tasks", monkey)
    data = whole_benchmark.write_data(root / "data")
    made = []
    for targets, (head, of_task) in HEADS.items():
        labels = tuple(registry.load_task(of_task).labels) if head in ("classification", "tagging") else ()
        checkpoint = tiny_checkpoint(head, labels=labels)
        output = root / "results" / targets.split(",")[0]
        found = evaluation_runner.evaluate(
            str(checkpoint), targets=targets, data_dir=data, output=output, dtype="float32"
        )
        assert found.provenance["failures"] == []
        made.append(Path(found.provenance["run"]))
    return made, data


@pytest.mark.parametrize(("name", "targets", "languages"), [("xtreme", 9, 40), ("xtreme-r", 10, 50)])
def test_the_overall_has_every_target_and_language(name, targets, languages, evaluated):
    found = runs.join(evaluated[0], name)
    record = benchmarks.benchmarks()[name]
    assert len(record.tasks) == targets
    assert set(record.tasks) <= set(found.tasks)  # the others' own means are shown beside
    assert len({code for task in record.tasks for code in found.tasks[task].languages}) == languages
    assert {task: why for task in record.tasks if (why := found.tasks[task].why)} == {}
    # The plain mean over tasks, and not over groups.
    assert found.overall == mean(found.tasks[task].mean["score"] for task in record.tasks)
    assert all(group.complete for group in found.groups.values())
    assert set(found.groups) == set(record.groups)


def test_the_overall_is_printed_and_without_one_language_it_says_partial(evaluated, tmp_path):
    made, _ = evaluated
    names = ["report", "--join", *map(str, made), "--benchmark", "xtreme-r"]
    whole = CliRunner().invoke(cli, names)
    assert whole.exit_code == 0, whole.output
    [line] = [line for line in whole.stdout.splitlines() if "all of xtreme-r" in line]
    assert "partial" not in line
    copied = [shutil.copytree(run, tmp_path / str(i) / run.name) for i, run in enumerate(made)]
    [wolof] = [path for run in copied if (path := run / "results" / "udpos" / "wo.json").exists()]
    wolof.unlink()
    names = ["report", "--join", *map(str, copied), "--benchmark", "xtreme-r"]
    part = CliRunner().invoke(cli, names)
    assert part.exit_code == 0, part.output
    assert "all of xtreme-r" not in part.stdout
    [line] = [line for line in part.stdout.splitlines() if "of xtreme-r" in line and "scored of" in line]
    assert "partial" in line
    assert "udpos is partial: no score for wo" in part.stdout
    assert CliRunner().invoke(cli, [*names, "--json"]).stdout.count('"overall": null') == 1
    # Without Wolof XTREME is still whole.
    assert runs.join(copied, "xtreme").overall is not None


@pytest.mark.parametrize("name", [pytest.param("xtreme", marks=pytest.mark.slow), "xtreme-r"])
def test_the_submission_folder_scores_the_same(name, evaluated, tmp_path):
    made, data = evaluated
    export_xtreme.submission(made, tmp_path / "out", name)
    again = scoring.score(tmp_path / "out", targets=[name], data_dir=data)
    before = runs.join(made, name)
    assert again.overall == before.overall
    assert set(again.tasks) == set(benchmarks.benchmarks()[name].tasks)
    for task in again.tasks:
        result = before.tasks[task]
        assert {c: s.scores for c, s in again.tasks[task].languages.items()} == {
            c: s.scores for c, s in result.languages.items()
        }
    endings = {path.parent.name: path.suffix for path in (tmp_path / "out").glob("*/test-*")}
    official = {"xcopa": ".jsonl", **dict.fromkeys(("xquad", "mlqa", "tydiqa", "mewslix", "lareqa"), ".json")}
    tasks = benchmarks.benchmarks()[name].tasks
    assert {task: endings[task] for task in tasks} == {task: official.get(task, ".tsv") for task in tasks}


def test_the_group_means_are_those_of_the_benchmark(evaluated):
    found = runs.join(evaluated[0], "xtreme-r")
    scores = {task: result.mean["score"] for task, result in found.tasks.items()}
    assert found.groups["retrieval"].score == mean(scores[t] for t in ("tatoeba", "mewslix", "lareqa"))
    assert found.official_groups["retrieval"].score == mean(scores[t] for t in ("tatoeba", "mewslix"))
    assert found.official_groups["multi_choice"].score == scores["xcopa"]


def test_lareqa_is_the_mean_over_all_questions(evaluated):
    result = runs.join(evaluated[0], "xtreme-r").tasks["lareqa"]
    assert isinstance(result, aggregate.TaskResult)
    total = sum(s.n for s in result.languages.values())
    expected = sum(s.scores["map@20"] * s.n for s in result.languages.values()) / total
    assert result.mean["score"] == pytest.approx(expected, abs=1e-12)
    assert all("map" in s.scores for s in result.languages.values())
    assert all(s.candidates["n"] == s.candidates["expected_n"] == 44 for s in result.languages.values())


def test_every_result_says_where_it_comes_from(evaluated):
    for run in evaluated[0]:
        for path in run.glob("results/*/*.json"):
            content = json.loads(path.read_text(encoding="utf-8"))
            for field in ("model_hash", "data_hash", "spec_hash", "predictions_sha256", "dtype", "seed", "n"):
                assert content[field] not in (None, ""), f"{path}: {field}"
            assert (content["dtype"], content["seed"], content["n"]) == ("float32", 0, 2)
            pooling = {"bucc2018": "mean", "tatoeba": "mean", "mewslix": "pooler", "lareqa": "pooler"}
            assert content["encoding"].get("pooling") == pooling.get(content["task"])
            if content["task"] == "bucc2018":
                assert content["selection"]["threshold_from"] == f"{content['language']} dev"


def test_without_a_manifest_sizes_that_nobody_knows_make_a_mean_partial(evaluated, tmp_path):
    made, data = evaluated
    folder = shutil.copytree(data, tmp_path / "data")
    manifest = folder / "MANIFEST.tsv"
    lines = manifest.read_text(encoding="utf-8").splitlines(keepends=True)
    manifest.write_text("".join(line for line in lines if not line.startswith("raw/")), encoding="utf-8")
    export_xtreme.submission(made, tmp_path / "out", "xtreme")
    found = scoring.score(tmp_path / "out", targets=["xtreme"], data_dir=folder)
    assert found.overall is None
    assert {task for task, result in found.tasks.items() if not result.complete} == {"udpos", "bucc2018"}
    # Gold pairs without the corpora that they are to be found in would look just so.
    assert "the right number of candidates is not known for de fr ru zh" in found.tasks["bucc2018"].why
    assert "the right number of examples is not known for" in found.tasks["udpos"].why
    assert not any(score.complete for score in found.tasks["bucc2018"].languages.values())
