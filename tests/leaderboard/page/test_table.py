"""The page's table in a real browser: it shows, sorts and filters the numbers of the build."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from dataclasses import replace

import pytest

from helpers.board_rows import add, made_board, made_cell, made_row
from helpers.browser import Page, served
from helpers.page import (
    BEST,
    CLAIMED,
    EXPOSED,
    HOSTILE,
    REPORTED,
    ROWS,
    SECOND,
    SEEN,
    UNSURE,
    browsing,
    cell_of,
    one_decimal,
    score_of,
)
from xharness.leaderboard import page
from xharness.metrics.base import mean
from xharness.results.aggregate import mean_over, task_result

# --- The text of the page ----------------------------------------------------------------------------


def test_the_same_board_is_the_same_page_and_its_policy_lets_in_nothing_else(board):
    text = page.render(board)
    assert text == page.render(json.loads(json.dumps(board)))
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', text)[1].replace("&#39;", "'")
    code = re.search(r"<script>(.*?)</script>", text, re.S)[1]
    style = re.search(r"<style>(.*?)</style>", text, re.S)[1]
    for made in (code, style):
        assert f"'sha256-{base64.b64encode(hashlib.sha256(made.encode()).digest()).decode()}'" in policy
    assert "unsafe" not in policy
    assert "http" not in policy
    assert not re.search(r"""(?:src|href)=["'](?!#|data:)""", text.replace(code, ""))
    without_scripts = re.search(r"<noscript>(.*?)</noscript>", text, re.S)[1]
    assert ROWS[BEST]["name"] in without_scripts
    assert one_decimal(ROWS[BEST]["overall"]["xtreme"]) in without_scripts
    assert ROWS[CLAIMED]["name"] not in without_scripts
    assert ROWS[EXPOSED]["name"] not in without_scripts


def test_hostile_text_is_cut_cleaned_and_escaped(board):
    rows = [{**board["rows"][0], "name": HOSTILE + "x" * 1_000_000, "settings": {HOSTILE: {HOSTILE: [HOSTILE]}}}]
    text = page.render({**board, "title": HOSTILE, "rows": rows + board["rows"][1:]})
    assert len(text) < len(page.render(board)) + 10_000
    text.encode("utf-8")
    assert not re.search("[\u202e\x00\x1b\u2028]", text)
    assert "<img" not in text
    assert text.count("</script>") == 3


def test_an_empty_board_has_a_page(board):
    cells = {name: [] for name in board["cells"]}
    text = page.render({**board, "rows": [], "cells": cells, "data": []})
    assert "No checked model has a complete score yet" in text


def test_only_files_in_the_folder_of_replicates_are_ever_loaded():
    made = made_board(1)
    add(made, replace(made_row(1), replicates="../evil.js"), [])
    assert "evil" not in page.render(made.to_json())


# --- In a browser ------------------------------------------------------------------------------------


@browsing
@pytest.mark.parametrize("way", ["file", "server"])
def test_it_works_from_a_file_and_from_a_server_and_asks_for_nothing(way, browser, folder):
    with served(folder) as address:
        shown = Page(browser, (folder / "index.html").as_uri() if way == "file" else f"{address}/index.html")
        shown.open()
        assert shown.order()[0] == BEST
        assert shown.run("return performance.getEntriesByType('resource').length") == 0
        shown.open(f"compare={BEST},{SECOND}")
        shown.wait_for("#comparison .warnings")
        assert "Method: paired bootstrap" in shown.text("#comparison .warnings")
        assert shown.complaints() == []


@browsing
@pytest.mark.parametrize("benchmark", ["xtreme", "xtreme-r"])
def test_the_table_shows_the_numbers_of_the_build(benchmark, shown):
    shown.open(f"benchmark={benchmark}")
    tasks = SEEN.schema.benchmarks[benchmark].tasks
    lines = {name: texts for name, *texts in shown.shown()}
    table = shown.table()
    assert set(lines) == set(table) >= {BEST, SECOND, CLAIMED, REPORTED}
    for name, row in ROWS.items():
        if name not in lines:
            assert row["track"]["phase"] == "as is"
            continue
        means = [row["task_scores"].get(task, {}).get(benchmark) for task in tasks]
        assert lines[name][1:-1] == [one_decimal(value) for value in means]
        average = row["overall"][benchmark]
        partial = table[name]["partial"].split()
        assert ("average" in partial) == (average is None)
        there = [value for value in means if value is not None]
        assert float(table[name]["average"]) == pytest.approx(mean(there) if average is None else average, abs=1e-4)
        for task in set(tasks) & set(row["task_scores"]):
            assert (task in partial) != row["task_scores"][task]["complete"][benchmark]


@browsing
def test_only_checked_whole_and_fair_rows_are_ranked(shown):
    shown.open("old=1")
    assert [shown.order(name) for name in ("claimed", "exposed", "reported", "old")] == [
        [name for name in ROWS if not ROWS[name]["checked"]],
        [EXPOSED],
        [REPORTED],
        ["gone-1"],
    ]
    ranks = shown.run("return [...document.querySelectorAll('#table .rank')].map((rank) => rank.textContent)")
    checked = shown.order()
    whole = [name for name in checked if ROWS[name]["overall"]["xtreme"] is not None]
    assert ranks[: len(checked)] == [str(i + 1) for i in range(len(whole))] + ["–"] * (len(checked) - len(whole))
    assert set(ranks[len(checked) :]) == {"–"}
    assert "Saw test data" in shown.text("#table")
    published = shown.text('#table tbody[data-section="reported"] .section')
    assert published.startswith("Published scores1. Copied from the source")
    assert "not recomputed" in published
    shown.click(f'[data-focus="model-{REPORTED}"]')
    shown.wait_for("#model[open]")
    text = shown.text("#model")
    assert "PAWS-X86.4" in text
    assert "A paper, table 2" in text
    assert "Note: question answering as F1 only" in text
    shown.click("#model .close")
    assert "saw test data: unknown" in shown.text(f'[data-id="{UNSURE}"]')


@browsing
def test_every_column_sorts_both_ways_and_partial_rows_stay_below(shown):
    shown.open()
    whole = [name for name in shown.order() if ROWS[name]["overall"]["xtreme"] is not None]
    shown.click('[data-focus="sort-tatoeba"]')
    column = {name: ROWS[name]["task_scores"]["tatoeba"]["xtreme"] for name in whole}
    assert shown.order()[: len(whole)] == sorted(whole, key=lambda name: -column[name])
    assert shown.run("return document.activeElement.dataset.focus") == "sort-tatoeba"
    shown.click('[data-focus="sort-tatoeba"]')
    assert shown.order()[: len(whole)] == sorted(whole, key=lambda name: column[name])
    sorted_heads = shown.run("return [...document.querySelectorAll('[aria-sort]')].map((head) => head.ariaSort)")
    assert sorted_heads == ["ascending"]
    assert "sort=tatoeba&order=asc" in shown.fragment()
    shown.click('[data-focus="sort-name"]')
    names = [ROWS[name]["name"] for name in shown.order()]
    assert names == sorted(names)


@browsing
def test_chosen_targets_and_languages_change_the_averages_as_the_benchmarks_would(shown):
    shown.open("benchmark=xtreme-r")
    shown.click("#filters summary")
    for value in ("xnli", "lareqa", "tatoeba", "Latin", "IE: Germanic", "Turkic"):
        shown.find(f'#facets input[value="{value}"]').find_element("xpath", "..").click()
    assert "targets=xnli,lareqa,tatoeba&scripts=Latin&families=IE%3A%20Germanic,Turkic" in shown.fragment()
    known, table = SEEN.schema.languages, shown.table()
    families = ("IE: Germanic", "Turkic")
    chosen = [code for code, line in known.items() if line.script == "Latin" and line.family in families]
    for number, name in enumerate(ROWS):
        if name not in table:
            continue
        means = []
        for task in ("xnli", "lareqa", "tatoeba"):
            codes = [code for code in SEEN.schema.members[task]["xtreme-r"] if code in chosen]
            means.append(mean_over(SEEN.schema.tasks[task], [cell_of(task, code, number) for code in codes]))
            assert float(table[name][task]) == pytest.approx(means[-1], abs=1e-4)
        assert float(table[name]["average"]) == pytest.approx(mean(means), abs=1e-4)
    assert shown.text("#summary").startswith("Mean over 3 of 10 targets and 6 of 50 languages")
    shown.click("#reset")
    assert shown.fragment() == "benchmark=xtreme-r"


@browsing
def test_what_is_missing_among_the_chosen_makes_a_mean_partial(shown):
    lacking = list(ROWS)[10]
    for languages, partial in (("de,sw", "average xnli gap"), ("de,fr", "")):
        shown.open(f"targets=xnli&languages={languages}")
        table = shown.table()
        assert table[lacking]["partial"] == partial
        assert table[BEST]["partial"] == ""
        assert shown.order()[0] == (BEST if partial else lacking)


@browsing
def test_the_gap_is_that_of_the_report(shown):
    shown.open()
    table = shown.table()
    for number in (0, 1):
        gaps = []
        for task in SEEN.schema.benchmarks["xtreme"].tasks:
            spec = SEEN.schema.tasks[task]
            codes = SEEN.schema.members[task]["xtreme"]
            cells = {code: made_cell(spec, code, score_of(task, code, number)).score for code in codes}
            gap = task_result(spec, cells, "xtreme").gap
            gaps += [] if gap is None else [gap]
        assert float(table[list(ROWS)[number]]["gap"]) == pytest.approx(mean(gaps), abs=1e-4)


@browsing
def test_columns_of_groups_and_of_languages(shown):
    shown.open()
    shown.click('#columns [data-value="groups"]')
    line = shown.table()[BEST]
    for group, members in SEEN.schema.benchmarks["xtreme"].groups.items():
        expected = mean(ROWS[BEST]["task_scores"][task]["xtreme"] for task in members)
        assert float(line[group]) == pytest.approx(expected, abs=1e-4)
    shown.click('#columns [data-value="languages"]')
    line = shown.table()[BEST]
    having = [t for t in SEEN.schema.benchmarks["xtreme"].tasks if "sw" in SEEN.schema.members[t]["xtreme"]]
    assert float(line["sw"]) == pytest.approx(mean(score_of(task, "sw", 0) for task in having), abs=1e-4)


RULES = """
return [...document.querySelectorAll(arguments[0])].map((row) => ({
  height: row.getBoundingClientRect().height,
  rules: [...row.cells].map((cell) => {
    const style = getComputedStyle(cell);
    return [style.borderBottomWidth, style.borderBottomColor].join(" ");
  }),
}));
"""


@browsing
@pytest.mark.parametrize("fragment", [f"model={BEST}", f"compare={BEST},{SECOND}"])
def test_the_rule_under_a_row_is_the_same_in_all_of_its_cells(fragment, shown):
    shown.open(fragment)
    if "compare" in fragment:
        shown.wait_for("#comparison .warnings")
    shown.run("document.querySelectorAll('details').forEach((each) => { each.open = true; })")
    shown.run("for (const animation of document.getAnimations()) animation.finish();")
    dialog = fragment.split("=")[0].replace("compare", "comparison")
    rows = shown.run(RULES, f"#{dialog} .heatmap tbody tr, #{dialog} .seeds tbody tr, #{dialog} .differences tbody tr")
    assert len(rows) > 40
    for row in rows:
        assert len(set(row["rules"])) == 1
        assert row["rules"][0].startswith("1px rgb")
        assert row["height"] == round(row["height"])
