"""The numbers of a leaderboard's rows: means, deviations, intervals, and what is partial."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pandas
import pytest

from helpers.boards import build, change, hashes, judge, read, record, submitted
from helpers.leaderboard import REVISION, make_board
from helpers.scores import everything
from xharness import files
from xharness.leaderboard import build as leaderboard_build
from xharness.leaderboard import rows
from xharness.leaderboard import store as leaderboard_store
from xharness.metrics.base import mean
from xharness.results import runs
from xharness.results import score as results_score
from xharness.results.aggregate import PARTIAL
from xharness.tasks.benchmarks import benchmarks

BENCHMARKS = ("xtreme", "xtreme-r")


def test_averages_are_those_of_report_on_the_same_run(tmp_path):
    folder = make_board(tmp_path / "data", 1, mixed=False)
    verdict = json.loads((tmp_path / "data" / "checks" / folder[0] / "verdict.json").read_text(encoding="utf-8"))
    run = tmp_path / "run"
    record = {"schema_version": 1, "model": "m", "model_sha": "a" * 40, "seed": 0}
    files.write_json(run / "run.json", record | {"settings": {"dtype": "float32", "split": "test", "limit": None}})
    shapes = {(s.task, s.language): s for name in BENCHMARKS for s in everything(name)}
    for task, by_language in verdict["scores"]["0"].items():
        for code, found in by_language.items():
            kept = {key: found[key] for key in ("scores", "n", "expected_n", "candidates", "data_hash")}
            score = replace(shapes[task, code], **kept, model_sha="a" * 40, seed=0)
            results_score.save(score, run / "results" / task / f"{code}.json")
    row = next(iter(submitted(build(tmp_path / "data")[1]).values()))
    for name in BENCHMARKS:
        report = runs.load_run(run, name)
        assert row["overall"][name] == report.overall
        assert report.overall is not None
        for task in benchmarks()[name].tasks:
            assert row["task_scores"][task][name] == report.tasks[task].mean["score"]
            assert row["task_scores"][task]["complete"][name] == report.tasks[task].complete


def test_cells_hold_the_mean_over_seeds_its_deviation_and_the_mean_interval(whole, built):
    scores = read(built)
    cells = scores["cells"]
    assert {len(column) for column in cells.values()} == {len(cells["row"])}
    name = next(row["id"] for row in submitted(scores).values() if row["checked"])
    place = next(i for i, row in enumerate(scores["rows"]) if row["id"] == name)
    task = next(i for i, each in enumerate(scores["tasks"]) if each["name"] == "xquad")
    code = next(i for i, each in enumerate(scores["languages"]) if each["code"] == "de")
    wanted = zip(cells["row"], cells["task"], cells["language"], strict=True)
    cell = next(i for i, found in enumerate(wanted) if found == (place, task, code))
    verdict = json.loads((whole / "checks" / name / "verdict.json").read_text(encoding="utf-8"))
    both = [verdict["scores"][seed]["xquad"]["de"] for seed in ("0", "1")]
    alone = [(each["scores"]["f1"] + each["scores"]["exact_match"]) / 2 for each in both]
    assert cells["score"][cell] == pytest.approx(sum(alone) / 2)
    assert cells["deviation"][cell] == pytest.approx(abs(alone[0] - alone[1]) / 2**0.5)
    lows = [each["intervals"][key][0] for each in both for key in ("f1", "exact_match")]
    assert cells["low"][cell] == pytest.approx(sum(lows) / 4)
    keys = scores["tasks"][task]["score_keys"]
    assert cells["metrics"][cell] == pytest.approx([sum(e["scores"][key] for e in both) / 2 for key in keys])
    assert (cells["n"][cell], cells["whole"][cell]) == (1190, 1)
    assert scores["data"][cells["data"][cell]]["data_hash"] == both[0]["data_hash"]


def test_a_row_of_several_seeds_says_what_each_of_them_scored(whole, built, board):
    rows_of = submitted(read(built))
    for name, row in rows_of.items():
        claims = record(whole, name)["scores"]
        keys = {task: spec.score_keys for task, spec in rows.board_schema().tasks.items()}
        assert row["by_seed"] == {
            task: {
                code: [mean(claims[str(seed)][task][code][key] for key in keys[task]) for seed in row["seeds"]]
                for code in by_language
            }
            for task, by_language in claims["0"].items()
        }
    assert {row["checked"] for row in rows_of.values()} == {True, False}
    assert all(row["by_seed"] is None for row in build(board)[1]["rows"])


def test_a_seed_without_a_score_of_another_has_none_in_its_place(board):
    name = make_board(board.parent / "seeds", 1, 2, mixed=False)[0]
    verdict = json.loads((board.parent / "seeds" / "checks" / name / "verdict.json").read_text(encoding="utf-8"))
    del verdict["scores"]["1"]["pawsx"]["ko"]
    judge(board.parent / "seeds", name, scores=verdict["scores"])
    row = submitted(build(board.parent / "seeds")[1])[name]
    score = verdict["scores"]["0"]["pawsx"]["ko"]["scores"]["accuracy"]
    assert row["by_seed"]["pawsx"]["ko"] == [score, None]


def test_what_was_trained_on_a_sample_is_partial_and_the_rest_is_whole(board):
    [name, *_] = sorted(path.name for path in (board / "submissions").iterdir())
    path = board / "checks" / name / "verdict.json"
    verdict = json.loads(path.read_text(encoding="utf-8"))
    for languages in (tasks["xnli"] for tasks in verdict["scores"].values()):
        for cell in languages.values():
            cell["cut_training"] = ["sample"]
    path.write_text(json.dumps(verdict), encoding="utf-8")
    _, scores = build(board)
    means = submitted(scores)[name]["task_scores"]
    partial = [task for task, each in means.items() if each["xtreme"] is not None and not each["complete"]["xtreme"]]
    assert partial == ["xnli"]
    assert submitted(scores)[name]["overall"]["xtreme"] is None
    table = pandas.read_parquet(board.parent / "built" / "scores.parquet")
    mine = table[table.submission == name]
    assert not mine[mine.task == "xnli"].whole.any()
    assert mine[mine.task != "xnli"].whole.all()


def test_of_what_was_checked_nobody_reads_where_its_submitter_says_the_data_is_from(board):
    said = {"source": "certified by ORG", "revision": "f" * 40}
    name = leaderboard_store.submission_names(board)[0]
    data = record(board, name)["data"]
    claimed = {task: {code: {**each, **said} for code, each in of.items()} for task, of in data.items()}
    name = change(board, name, data=claimed)
    _, scores = build(board)
    assert submitted(scores)[name]["checked"]
    assert {each["source"] for each in scores["data"]} == {f"org/{task}" for task in data}
    table = pandas.read_parquet(board.parent / "built" / "scores.parquet")
    assert set(table.data_source[table.submission == name]) == {f"org/{task}" for task in data}
    assert set(table.data_revision) == {REVISION}
    for file in ("scores.json", "index.html"):
        text = (board.parent / "built" / file).read_text(encoding="utf-8")
        assert not any(words in text for words in said.values())
    # Without the check it is a claim like all others of the row.
    shutil.rmtree(board / "checks" / name)
    _, scores = build(board)
    table = pandas.read_parquet(board.parent / "built" / "scores.parquet")
    assert set(table.data_source[table.submission == name]) == {"certified by ORG"}
    assert {(each["source"], each["revision"]) for each in scores["data"]} > {tuple(said.values())}


def test_a_target_with_a_language_missing_is_not_complete(whole, built):
    found = read(built)
    row = next(row for row in submitted(found).values() if set(row["task_scores"]) == {"xnli", "xquad"})
    assert row["overall"] == {"xtreme": None, "xtreme-r": None}
    assert row["task_scores"]["xnli"]["complete"] == {"xtreme": False, "xtreme-r": False}
    assert row["task_scores"]["xnli"]["xtreme"] is not None


def test_a_seed_that_lacks_a_language_makes_it_partial(tmp_path):
    board = tmp_path / "data"
    name = make_board(board, 1, 2, mixed=False)[0]
    verdict = json.loads((board / "checks" / name / "verdict.json").read_text(encoding="utf-8"))
    del verdict["scores"]["1"]["pawsx"]["ko"]
    # A target may have fewer seeds than another.
    del verdict["scores"]["1"]["mlqa"]
    judge(board, name, scores=verdict["scores"])
    row = submitted(build(board)[1])[name]
    assert row["task_scores"]["pawsx"]["complete"]["xtreme"] is False
    assert row["task_scores"]["mlqa"]["complete"]["xtreme"] is True
    assert row["task_scores"]["xnli"]["complete"]["xtreme"] is True
    assert row["overall"]["xtreme"] is None


def test_scores_by_another_version_of_a_spec_are_partial_and_said(board):
    name = leaderboard_store.submission_names(board)[0]
    verdict = json.loads((board / "checks" / name / "verdict.json").read_text(encoding="utf-8"))
    for cell in verdict["scores"]["0"]["xnli"].values():
        cell["spec_hash"] = "0" * 12
    judge(board, name, scores=verdict["scores"])
    made, scores = build(board)
    assert submitted(scores)[name]["task_scores"]["xnli"]["complete"]["xtreme"] is False
    assert made.notes == (f"{name}: xnli: scored with another version of the spec, so {PARTIAL}; check it again.",)


def test_the_table_is_read_by_pandas_and_holds_every_number(whole, built):
    table = pandas.read_parquet(built / "scores.parquet")
    verdicts = [json.loads(path.read_text(encoding="utf-8")) for path in (whole / "checks").glob("*/verdict.json")]
    numbers = sum(
        len(cell["scores"])
        for each in verdicts
        for seed in each["scores"].values()
        for task in seed.values()
        for cell in task.values()
    )
    checked = table[table.checked]
    assert len(checked) == numbers
    assert list(checked.submission.unique()) == sorted(each["id"] for each in verdicts)
    one = checked[(checked.submission == verdicts[0]["id"]) & (checked.task == "mlqa") & (checked.seed == 1)]
    cell = verdicts[0]["scores"]["1"]["mlqa"]["hi"]
    line = one[(one.language == "hi") & (one.metric == "f1")].iloc[0]
    assert [line.value, line.low, line.high] == [cell["scores"]["f1"], *cell["intervals"]["f1"]]
    assert (line.n, bool(line.whole), line.spec_hash) == (4918, True, cell["spec_hash"])
    # Claims are there as such, without an interval that nobody computed.
    claims = table[~table.checked]
    assert len(claims)
    assert claims.low.isna().all()
    assert table.superseded_by.notna().any()


def _spoil(case: str, board: Path, name: str) -> set[str]:
    """Make one or all languages of XNLI partial; return which."""
    verdict = json.loads((board / "checks" / name / "verdict.json").read_text(encoding="utf-8"))
    found = verdict["scores"]
    if case == "another version of the spec":
        for each in found.values():
            for cell in each["xnli"].values():
                cell["spec_hash"] = "0" * 12
    elif case == "a language that one seed lacks":
        del found["1"]["xnli"]["sw"]
    else:
        shutil.rmtree(board / "checks" / name)
        data = record(board, name)["data"]
        data["xnli"]["sw"]["n"] = 100
        change(board, name, data=data)
        return {"sw"}
    judge(board, name, scores=found)
    return set(found["0"]["xnli"]) if case == "another version of the spec" else {"sw"}


@pytest.mark.parametrize(
    "case", ["another version of the spec", "a language that one seed lacks", "a claim over fewer examples"]
)
def test_what_the_table_calls_whole_is_what_the_board_counts(case, tmp_path):
    board = tmp_path / "data"
    partial = _spoil(case, board, make_board(board, 1, 2, mixed=False, replicates=False)[0])
    _, scores = build(board)
    cells, tasks = scores["cells"], [task["name"] for task in scores["tasks"]]
    codes = [language["code"] for language in scores["languages"]]
    places = zip(cells["row"], cells["task"], cells["language"], cells["whole"], strict=True)
    on_board = {(tasks[task], codes[code]): bool(whole) for row, task, code, whole in places if row == 0}
    table = pandas.read_parquet(board.parent / "built" / "scores.parquet")
    in_table = {key: set(whole) for key, whole in table.groupby(["task", "language"]).whole}
    assert in_table == {key: {whole} for key, whole in on_board.items()}
    assert {code for (task, code), whole in on_board.items() if task == "xnli" and not whole} == partial
    assert len(table[(table.task == "xnli") & (table.language == "de")]) == 2


def test_published_figures_stand_apart_each_with_its_source(built):
    found = [row for row in read(built)["rows"] if row["kind"] == "reported"]
    assert len({row["id"] for row in found}) == len(found) >= 15
    assert all(row["source"]["text"] and not row["checked"] for row in found)
    mt5 = next(row for row in found if row["name"] == "mT5 XXL")
    assert mt5["task_scores"]["xnli"]["xtreme"] == 85.0
    # F1 alone is not the number of a target whose number is the mean of F1 and exact match.
    assert "xquad" not in mt5["task_scores"]
    assert "XQuAD F1 82.5" in mt5["note"]
    readme = next(row for row in found if row["id"] == "reported-xlm-r-large-google-deepmind-xquad-readme")
    assert readme["task_scores"]["xquad"]["xtreme-r"] == pytest.approx((77.2 + 61.5) / 2, abs=0.1)
    assert not any(row["source"]["text"].startswith("RemBERT") for row in found)  # means of groups alone


def test_notes_of_published_figures_say_which_means_were_made_here(built):
    found = [row for row in read(built)["rows"] if row["kind"] == "reported"]
    made = {
        row["id"]: row["note"].split("computed here: ")[1] for row in found if "computed here" in (row["note"] or "")
    }
    over_languages = "XQuAD as the mean over the source's languages, in each the mean of exact match and F1"
    assert made == {
        "reported-mbert-google-deepmind-xquad-readme": over_languages,
        "reported-xlm-r-large-google-deepmind-xquad-readme": over_languages,
        "reported-xlm-r-large-untuned-jiant-dev-pull-request-128": "Tatoeba as the mean over the source's languages",
        "reported-veco-veco-s-readme-in-the-alicemind-repositor": "XQuAD as the mean of exact match and F1",
    }
    veco = next(row for row in found if row["id"].startswith("reported-veco-veco"))
    assert veco["task_scores"]["xquad"]["xtreme"] == pytest.approx((77.5 + 61.9) / 2)
    papers = [row["source"]["text"] for row in found if "reported in the paper" in (row["note"] or "")]
    assert papers == ["XTREME paper, Table 20"]


def test_many_submissions_are_prepared_by_several_processes_with_the_same_result(board, monkeypatch):
    (board / "submissions" / "strange").mkdir()
    alone, _ = build(board)
    before = hashes(board.parent / "built")
    monkeypatch.setattr(leaderboard_build, "_FEW", 2)
    together, _ = build(board)
    assert (together, hashes(board.parent / "built")) == (alone, before)
