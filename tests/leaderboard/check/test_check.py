"""Checking submissions: all scores anew, beside what is on the leaderboard, from folders."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from helpers.leaderboard import packed, write_package
from helpers.runs import CELLS, make_run, tuned
from xharness.errors import DataError
from xharness.leaderboard import check as leaderboard_check
from xharness.leaderboard import rescore, verdict
from xharness.leaderboard import rules as leaderboard_rules
from xharness.leaderboard import store as leaderboard_store
from xharness.leaderboard.package import Package
from xharness.metrics.paired import unpack
from xharness.results import score as results_score


@pytest.fixture(scope="module")
def folder(package: Package, tmp_path_factory: Any) -> Path:
    return write_package(package, tmp_path_factory.mktemp("package") / package.submission.id)


def test_the_scores_of_an_accepted_one_are_those_of_the_runs(folder, package, runs, gold):
    checked = leaderboard_check.check(folder, name=package.submission.id, data_dir=gold)
    found = checked.verdict
    assert (found.problems, found.id, found.digest) == ([], package.submission.id, package.submission.digest)
    for seed, run in enumerate(runs):
        for task, languages in CELLS.items():
            for code in languages:
                recorded = results_score.load(run / "results" / task / f"{code}.json")
                cell = found.scores[str(seed)][task][code]
                assert (cell.scores, cell.intervals, cell.n) == (recorded.scores, recorded.intervals, recorded.n)
                assert (cell.data_hash, cell.spec_hash) == (recorded.data_hash, recorded.spec_hash)
                assert cell.whole == recorded.complete
    assert verdict.parse(found.to_bytes(), "verdict.json") == found
    assert any(line.startswith("partial: xnli in XTREME: no score for") for line in found.warnings)


def test_replicates_are_means_over_seeds_around_the_scores(folder, gold):
    checked = leaderboard_check.check(folder, data_dir=gold)
    index = checked.verdict.replicates
    assert index is not None
    assert index.cells == [[task, code] for task, codes in sorted(CELLS.items()) for code in codes]
    cells = unpack(checked.replicates)
    assert cells.shape == (len(index.cells), index.resamples)
    place = index.cells.index(["xnli", "de"])
    score = np.mean([checked.verdict.scores[seed]["xnli"]["de"].scores["accuracy"] for seed in ("0", "1")])
    assert abs(cells[place].mean() - score) < 5


@pytest.mark.slow  # processes that are started anew import everything again
def test_two_processes_say_what_one_says(folder, gold, monkeypatch):
    monkeypatch.setattr(rescore, "_SINGLE_PROCESS", 0)
    one, two = (leaderboard_check.check(folder, data_dir=gold, workers=workers) for workers in (1, 2))
    assert one == two


def test_missing_gold_and_samples_say_nothing_about_the_submission(folder, gold, tmp_path):
    with pytest.raises(DataError, match="could not be checked"):
        leaderboard_check.check(folder, data_dir=tmp_path)
    shutil.copytree(gold, tmp_path / "sample")
    path = tmp_path / "sample" / "MANIFEST.tsv"
    path.write_text(path.read_text(encoding="utf-8").replace("complete:", "sample:"), encoding="utf-8")
    with pytest.raises(DataError, match="the gold data on this machine is a sample"):
        leaderboard_check.check(folder, data_dir=tmp_path / "sample")


def board_of(to: Path, *packages: Package) -> Path:
    """Write a copy of a board's data set."""
    (to / "submissions").mkdir(parents=True, exist_ok=True)
    for each in packages:
        write_package(each, to / each.folder)
    return to


def said(board: Path, package: Package, gold: Path) -> tuple[str, str]:
    """Return the problems and warnings of a submission beside the others of a board."""
    name = package.submission.id
    others = [other for folder_name, other in leaderboard_check.read_fingerprints(board).items() if folder_name != name]
    found = leaderboard_check.check(board / "submissions" / name, name=name, others=others, data_dir=gold).verdict
    return "\n".join(found.problems), "\n".join(found.warnings)


def test_the_same_predictions_under_another_name_are_refused(package, runs, gold, tmp_path):
    copied = packed(*runs, gold=gold, name="Mine", submitted_by="eve")
    problems, _ = said(board_of(tmp_path, package, copied), copied, gold)
    assert f"all predictions are the same as in {package.submission.id}" in problems


def test_a_part_of_them_and_the_same_checkpoint_are_said(package, runs, gold, tmp_path):
    fewer = packed(runs[0], gold=gold, name="One seed", submitted_by="ann")
    _, warnings = said(board_of(tmp_path, fewer, package), package, gold)
    assert f"5 of 10 predictions are the same as in {fewer.submission.id}" in warnings
    assert "the same checkpoint is on the leaderboard as 'One seed'" in warnings


def test_only_own_submissions_are_superseded(package, runs, gold, tmp_path):
    for number, (user, refused) in enumerate([("tester", False), ("eve", True)]):
        again = packed(*runs, gold=gold, name="Better", submitted_by=user, supersedes=package.submission.id)
        problems, _ = said(board_of(tmp_path / str(number), package, again), again, gold)
        assert ("may replace only their own submissions" in problems) == refused
        assert "all predictions" not in problems


def test_the_command_prints_records_and_ends_with_its_code(folder, package, gold, runner, tmp_path):
    done = runner("leaderboard", "check", folder, "--data-dir", gold, "--record", tmp_path)
    assert done.exit_code == 0
    assert done.out.startswith(f"{package.submission.id}: accepted")
    kept = tmp_path / "checks" / package.submission.id
    found = verdict.parse((kept / "verdict.json").read_bytes(), "verdict.json")
    assert found.replicates is not None
    assert len((kept / "replicates.bin").read_bytes()) == 2 * 200 * len(found.replicates.cells)
    spoilt = Path(shutil.copytree(folder, tmp_path / "spoilt"))
    (spoilt / "predictions/seed1/panx/test-de.tsv.gz").write_bytes(b"x")
    done = runner("leaderboard", "check", spoilt, "--data-dir", gold, "--json")
    assert done.exit_code == 11
    assert json.loads(done.out)["verdict"] == "refused"
    assert "predictions/seed1/panx/test-de.tsv.gz: has 1 bytes" in json.loads(done.out)["problems"][0]
    assert runner("leaderboard", "check", folder, "--data-dir", tmp_path).exit_code == 4
    for wrong in ([], [folder, "--comment"], [tmp_path / "no"], ["--pr", 1], [folder, "--id", "x", "--all"]):
        assert runner("leaderboard", "check", *wrong).exit_code == 2


def test_a_copy_of_the_data_set_is_checked_whole_or_by_id(package, runs, gold, runner, tmp_path):
    board = board_of(tmp_path, package)
    (board / "submissions" / "other").symlink_to("/etc")
    assert "--id, or give --all" in runner("leaderboard", "check", board, "--data-dir", gold).err
    one = runner("leaderboard", "check", board, "--id", package.submission.id, "--data-dir", gold, "--record", board)
    assert one.exit_code == 0
    assert leaderboard_store.read_stored(board, package.submission.id).checked
    (board / "submissions" / os.fsdecode(b"\xff\x1b[2J")).mkdir()
    every = runner("leaderboard", "check", board, "--all", "--data-dir", gold, "--json")
    assert every.exit_code == 11
    assert sorted(v["verdict"] for v in json.loads(every.out)["verdicts"]) == ["accepted", "refused", "refused"]
    assert "Did you mean" in runner("leaderboard", "check", board, "--id", package.submission.id[:-1]).err


def test_what_was_tuned_on_a_sample_is_said(gold, tmp_path):
    how = tuned(1)
    how["score"]["tuned"]["data_status"] = ["complete", "sample"]
    package = packed(make_run(tmp_path / "run", gold, {"xnli": ("de", "ru"), "xquad": ("de",)}, **how), gold=gold)
    board = board_of(tmp_path, package)
    found = leaderboard_check.check(board / package.folder, data_dir=gold)
    assert [each for each in found.verdict.warnings if "xnli in XTREME:" in each and "tuned on sample data" in each]
    assert found.verdict.scores["1"]["xnli"]["de"].cut_training == ["sample"]


# --- Pull requests ---------------------------------------------------------------------------------


def test_what_is_on_the_board_is_thrown_out_by_no_later_copy(runner, package, runs, gold, tmp_path):
    more = packed(
        *(make_run(tmp_path / f"more{k}", gold, {**CELLS, "tatoeba": ("de", "ru")}, seed=k) for k in (0, 1)),
        gold=gold,
        name="With one more",
        submitted_by="eve",
    )
    board = board_of(tmp_path, package)
    assert runner("leaderboard", "check", board, "--all", "--data-dir", gold, "--record", board).exit_code == 0
    board_of(tmp_path, more)
    every = runner("leaderboard", "check", board, "--all", "--data-dir", gold, "--json", "--record", board)
    verdicts = {each["id"]: each for each in json.loads(every.out)["verdicts"]}
    assert verdicts[package.submission.id]["verdict"] == "accepted"
    assert [
        each for each in verdicts[package.submission.id]["warnings"] if "all predictions are the same as in" in each
    ]
    assert runner("leaderboard", "check", gold, "--all").exit_code == 2


def test_seeds_with_the_same_predictions_are_said(package):
    warning = "seeds: some have identical predictions"
    assert not [each for each in leaderboard_rules.find_warnings(package.submission) if each.startswith(warning)]
    files = package.submission.files
    copied = {path.replace("seed0", "seed1"): file for path, file in files.items() if "seed0" in path}
    twins = package.submission.model_copy(update={"files": {**files, **copied}})
    assert [each for each in leaderboard_rules.find_warnings(twins) if each.startswith(warning)]


def test_a_copy_with_something_changed_is_known_by_its_scores(package, runs, gold):
    other = packed(*runs, gold=gold, submitted_by="bob", name="Other").submission
    changed = {
        path: file.model_copy(update={"content_sha256": f"{i:064x}"})
        for i, (path, file) in enumerate(other.files.items())
    }
    board = [leaderboard_rules.fingerprint(package.submission)]
    problems, warnings = leaderboard_rules.compare_with_existing(other.model_copy(update={"files": changed}), board)
    assert problems == []
    assert [each for each in warnings if f"are the same as in {package.submission.id} to the last digit" in each]


def test_what_a_correction_replaced_is_no_copy_of_it(package, runs, gold, tmp_path):
    newer = packed(*runs, gold=gold, submitted_by="Tester", name="Corrected", supersedes=package.submission.id)
    for each in (package, newer):
        others = [leaderboard_rules.fingerprint(found.submission) for found in (package, newer) if found is not each]
        assert leaderboard_rules.compare_with_existing(each.submission, others)[0] == []
    newest = packed(*runs, gold=gold, submitted_by="tester", name="Once more", supersedes=newer.submission.id)
    chain = [leaderboard_rules.fingerprint(each.submission) for each in (package, newer, newest)]
    for each in (package, newer, newest):
        others = [other for other in chain if other.id != each.submission.id]
        assert leaderboard_rules.compare_with_existing(each.submission, others)[0] == []
    copied = [leaderboard_rules.fingerprint(packed(*runs, gold=gold, submitted_by="ann", name="Copy").submission)]
    assert (
        "all predictions are the same as in" in leaderboard_rules.compare_with_existing(newer.submission, copied)[0][0]
    )
