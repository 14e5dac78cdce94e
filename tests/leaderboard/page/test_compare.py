"""Two models compared on the page in a real browser, beside the paired bootstrap."""

from __future__ import annotations

import shutil

import numpy as np
import pytest

from helpers.browser import Page
from helpers.page import BEST, CLAIMED, EXPOSED, ROWS, SECOND, SEEN, UNSURE, browsing, cell_of
from xharness.leaderboard import page
from xharness.metrics.base import mean


@browsing
def test_two_models_are_compared_by_paired_resamples(shown, replicates):
    shown.open("benchmark=xtreme-r&targets=xnli,lareqa,panx")
    for row in (BEST, SECOND):
        shown.click(f'[data-id="{row}"] .pick input')
    shown.click("#tray .main")
    shown.wait_for("#comparison .warnings")
    cells, numbers = replicates
    drawn = dict(zip(cells, (numbers[BEST].astype(float) - numbers[SECOND]) / 100, strict=True))
    expected = {}
    for task in ("xnli", "panx", "lareqa"):
        codes = SEEN.schema.members[task]["xtreme-r"]
        by_examples = SEEN.schema.tasks[task].average == "examples"
        weights = [cell_of(task, code, 0)[1] if by_examples else 1 for code in codes]
        expected[task] = np.average([drawn[task, code] for code in codes], axis=0, weights=weights)
    means = [
        ROWS[BEST]["task_scores"][task]["xtreme-r"] - ROWS[SECOND]["task_scores"][task]["xtreme-r"] for task in expected
    ]
    expected["average"] = np.mean(list(expected.values()), axis=0)
    for code in SEEN.schema.members["panx"]["xtreme-r"]:
        having = [task for task in ("xnli", "panx", "lareqa") if code in SEEN.schema.members[task]["xtreme-r"]]
        expected[code] = np.mean([drawn[task, code] for task in having], axis=0)
    lines = shown.run(
        """return [...document.querySelectorAll("#comparison tr[data-key]")].map(
            (row) => [row.dataset.key, ...[...row.querySelectorAll("td")].map((cell) => cell.textContent)]);"""
    )
    assert {line[0] for line in lines} == set(expected)
    verdicts = set()
    for key, _, _, difference, interval, p, verdict in lines:
        # Noise of adding up is no difference.
        differences = expected[key].round(9)
        low, high = np.percentile(differences, [2.5, 97.5])
        assert [number(end) for end in interval.split(" to ")] == pytest.approx([low, high], abs=0.06)
        chance = min(1, 2 * (min((differences <= 0).sum(), (differences >= 0).sum()) + 1) / 201)
        assert p == f"{chance:.2f}"
        better = "first is better" if low > 0 else "second is better" if high < 0 else "no clear difference"
        assert verdict == (better if chance < 0.05 else "no clear difference")
        if key == "average":
            assert number(difference) == pytest.approx(mean(means), abs=0.06)
        verdicts.add(verdict)
    assert len(verdicts) == 3
    warned = shown.text("#comparison .warnings")
    assert "not training runs" in warned
    assert "that several languages share, as translations of one test set, are resampled together" in warned
    in_map = shown.run(
        """return [...document.querySelectorAll("#comparison .heatmap td:not(.void)")].map((td) => td.textContent);"""
    )
    assert len(in_map) == sum(len(SEEN.schema.members[task]["xtreme-r"]) for task in ("xnli", "panx", "lareqa"))
    count = len(lines) + len(in_map)
    assert f"This page makes {count} comparisons, {len(in_map)} of them in the map" in warned
    assert f"about {round(count / 20)} of them would be marked by chance" in warned
    heading = shown.text("#comparison summary")
    for said in (warned, heading):
        assert "p < 0.05 and an interval that excludes zero" in said
    starred = 0
    for task in ("xnli", "panx", "lareqa"):
        for code in SEEN.schema.members[task]["xtreme-r"]:
            differences = drawn[task, code].round(9)
            low, high = np.percentile(differences, [2.5, 97.5])
            chance = 2 * (min((differences <= 0).sum(), (differences >= 0).sum()) + 1) / 201
            starred += chance < 0.05 and (low > 0 or high < 0)
    assert 0 < sum(text.endswith("*") for text in in_map) == starred < len(in_map)


@browsing
def test_of_few_comparisons_chance_marks_fewer_than_one(shown):
    shown.open(f"targets=xnli&languages=de&compare={BEST},{SECOND}")
    shown.wait_for("#comparison .warnings")
    warned = shown.text("#comparison .warnings")
    assert "This page makes 4 comparisons" in warned
    assert "Between equal models, fewer than one of them would be marked by chance alone" in warned


@browsing
def test_differences_that_are_noise_of_adding_up_count_on_both_sides(board, replicates, browser, tmp_path):
    cells, numbers = replicates
    codes = [code for code in SEEN.schema.members["xnli"]["xtreme"] if code != "sw"]
    places = [cells.index(("xnli", code)) for code in codes]
    # The same values, of other languages: the means are equal, but are added up in another order.
    drawn = numbers[BEST][places].astype(float)
    noise = [sum(1 / len(codes) * each / 100) - sum(1 / len(codes) * each[::-1] / 100) for each in drawn.T]
    worst = int(np.argmax(noise))
    assert 0 < noise[worst] < 1e-9
    (tmp_path / "replicates").mkdir()
    for row, order in ((BEST, places), (SECOND, places[::-1])):
        values = numbers[BEST].copy()
        # The same in every resample, so that the noise is always on one side.
        values[order] = numbers[BEST][places, worst][:, None]
        text = page.replicates_script(row, cells, 200, values.tobytes())
        (tmp_path / "replicates" / f"{row}.js").write_text(text, encoding="utf-8")
    (tmp_path / "index.html").write_text(page.render(board), encoding="utf-8")
    shown = Page(browser, (tmp_path / "index.html").as_uri())
    shown.open(f"targets=xnli&languages={','.join(codes)}&compare={BEST},{SECOND}")
    shown.wait_for("#comparison .warnings")
    line = shown.run(
        """return [...document.querySelectorAll('#comparison tr[data-key="average"] td')].map((td) => td.textContent)"""
    )
    assert line[3:] == ["0.0 to 0.0", "1.00", "no clear difference"]


def number(text):
    return float(text.replace("−", "-"))


@browsing
def test_scores_on_other_gold_data_are_no_pair_even_of_as_many_examples(board, browser, folder, tmp_path):
    cells, record = board["cells"], {**board["data"][0], "data_hash": "f" * 64}
    wanted = (1, list(SEEN.schema.tasks).index("xnli"), list(SEEN.schema.languages).index("sw"))
    place = list(zip(cells["row"], cells["task"], cells["language"], strict=True)).index(wanted)
    data = [*cells["data"][:place], len(board["data"]), *cells["data"][place + 1 :]]
    other = {**board, "cells": {**cells, "data": data}, "data": [*board["data"], record]}
    (tmp_path / "index.html").write_text(page.render(other), encoding="utf-8")
    shutil.copytree(folder / "replicates", tmp_path / "replicates")
    found = {}
    for name, at in (("alike", folder), ("other", tmp_path)):
        shown = Page(browser, (at / "index.html").as_uri())
        shown.open(f"targets=xnli,panx&languages=de,sw&compare={BEST},{SECOND}")
        shown.wait_for("#comparison .warnings")
        lines = shown.run(
            """return Object.fromEntries([...document.querySelectorAll("#comparison tr[data-key]")].map(
                (row) => [row.dataset.key, row.querySelector(".hint").textContent]));"""
        )
        found[name] = (lines, "Only scores that both models have" in shown.text("#comparison .warnings"))
        assert "Method: paired bootstrap" in shown.text("#comparison .warnings")
    assert found["alike"][0] == {
        "average": "2 of 9 targets",
        "xnli": "2 of 15 languages",
        "panx": "2 of 40 languages",
        "de": "2 of 8 targets",
        "sw": "2 of 4 targets",
    }
    assert not found["alike"][1]
    assert (found["other"][0]["sw"], found["other"][0]["xnli"]) == ("1 of 4 targets", "1 of 15 languages")
    assert found["other"][1]
    shown.open(f"targets=xnli&languages=de,sw&compare={BEST},{SECOND}")
    shown.wait_for("#comparison .warnings")
    assert shown.run("return document.querySelector('#comparison [data-key=sw]')") is None
    assert "1 of 2 selected scores" in shown.text("#comparison .warnings")
    assert "Swahili" not in shown.text("#comparison .body table.heatmap")


@browsing
def test_without_replicates_nothing_is_said_about_chance(shown):
    shown.open(f"compare={BEST},{CLAIMED}")
    shown.wait_for("#comparison .warnings")
    assert "No paired data" in shown.text("#comparison .warnings")
    assert "has not been checked" in shown.text("#comparison .warnings")
    count = sum(len(SEEN.schema.members[task]["xtreme"]) for task in SEEN.schema.benchmarks["xtreme"].tasks)
    assert f"Only scores that both models have are compared: {count - 1} of {count}" in shown.text(
        "#comparison .warnings"
    )
    assert "no paired data" in shown.text('#comparison [data-key="average"]')


@browsing
def test_a_comparison_says_of_what_standing_the_two_are(shown):
    said = {
        CLAIMED: "At least one of these models has not been checked.",
        EXPOSED: "At least one of these models saw test data, according to its submitter.",
        UNSURE: "",
    }
    for row, words in said.items():
        shown.open(f"compare={BEST},{row}")
        shown.wait_for("#comparison .warnings")
        lines = shown.run("return [...document.querySelectorAll('#comparison .warnings p')].map((p) => p.textContent)")
        assert [line for line in lines if line.startswith("At least one")] == ([words] if words else [])
