"""A model on the page in a real browser: its heat map, its seeds, and where its numbers come from."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace

import pytest

from helpers.board_rows import add, made_board, made_cell, made_row
from helpers.browser import Page
from helpers.leaderboard import make_board
from helpers.page import (
    BEST,
    ROWS,
    SEEN,
    browsing,
    one_decimal,
    score_of,
    unfold_seeds,
)
from xharness.leaderboard import build as leaderboard_build
from xharness.leaderboard import page, reference_entries
from xharness.leaderboard.rows import Cell, Row
from xharness.metrics.base import mean
from xharness.metrics.seeds import spread
from xharness.results.aggregate import mean_over


@browsing
def test_a_model_shows_its_heat_map_and_where_its_numbers_come_from(shown):
    shown.open()
    shown.click(f'[data-focus="model-{BEST}"]')
    shown.wait_for("#model[open]")
    cells = shown.run(
        "return [...document.querySelectorAll('#model [data-cell]')].map((td) => [td.dataset.cell, td.textContent])"
    )
    expected = {
        f"{task}/{code}": one_decimal(score_of(task, code, 0))
        for task in SEEN.schema.benchmarks["xtreme"].tasks
        for code in SEEN.schema.members[task]["xtreme"]
    }
    assert dict(cells) == expected
    text = shown.text("#model")
    row = ROWS[BEST]
    for said in (BEST, row["model"]["revision"], row["model"]["content"], "0, 1, 2", "english-dev", "recipe.epochs"):
        assert said in text
    assert hashlib.sha256(b"xnli sw").hexdigest() in text
    assert "95 % interval" in text
    shown.click('#model [data-value="interval"]')
    low, high = score_of("xnli", "sw", 0) - 1.2, score_of("xnli", "sw", 0) + 1.3
    assert shown.text('[data-cell="xnli/sw"]') == f"{one_decimal(round(low, 2))}–{one_decimal(round(high, 2))}"
    links = shown.run("return [...document.querySelectorAll('#model a')].map((a) => [a.href, a.rel])")
    assert all(address.startswith("https://") and "noopener" in rel for address, rel in links)
    assert f"https://huggingface.co/datasets/org/leaderboard/tree/{'0123456789' * 4}/submissions/{BEST}" in dict(links)


SEED_LINES = """
const own = (cell) => [...cell.childNodes].filter((node) => node.nodeType === Node.TEXT_NODE);
const text = (cell) => own(cell).map((node) => node.data).join("") + (cell.querySelector(".word") ? " partial" : "");
return Object.fromEntries([...document.querySelectorAll("#model [data-seeds]")].map(
    (row) => [row.dataset.seeds, [...row.querySelectorAll("td")].map(text)]));
"""


def seed_line(values):
    """Return the cells of a line of seeds: their mean, their deviation, and each of them."""
    found = spread(values)
    return [f"{found.mean:.2f}", f"±{found.deviation:.2f}", *(f"{value:.2f}" for value in values)]


@pytest.fixture(scope="module")
def checked(tmp_path_factory):
    """Return a built board of a checked submission of three seeds, its id, and the scores of its verdict."""
    folder = tmp_path_factory.mktemp("seeds")
    name = make_board(folder / "data", 1, 3, mixed=False, replicates=False)[0]
    leaderboard_build.build(folder / "data", folder / "built")
    found = json.loads((folder / "data" / "checks" / name / "verdict.json").read_text(encoding="utf-8"))
    return folder / "built", name, found["scores"]


@browsing
@pytest.mark.parametrize(
    ("benchmark", "tasks", "languages"), [("xtreme", (), ()), ("xtreme-r", ("xnli", "lareqa", "mlqa"), ("de", "sw"))]
)
def test_a_model_shows_the_scores_of_each_seed_as_the_check_computed_them(
    benchmark, tasks, languages, checked, browser
):
    folder, name, scores = checked
    told = next(row for row in json.loads((folder / "scores.json").read_bytes())["rows"] if row["id"] == name)
    shown = Page(browser, (folder / "index.html").as_uri())
    shown.open(f"benchmark={benchmark}&targets={','.join(tasks)}&languages={','.join(languages)}&model={name}")
    unfold_seeds(shown)
    expected, means = {}, []
    for task in tasks or SEEN.schema.benchmarks[benchmark].tasks:
        spec = SEEN.schema.tasks[task]
        codes = [code for code in SEEN.schema.members[task][benchmark] if not languages or code in languages]
        by_seed = []
        for seed in ("0", "1", "2"):
            found = {code: scores[seed][task][code] for code in codes}
            values = {code: mean(each["scores"][key] for key in spec.score_keys) for code, each in found.items()}
            by_seed.append((values, mean_over(spec, [(values[code], found[code]["n"]) for code in codes])))
        for code in codes:
            expected[f"{task}/{code}"] = seed_line([values[code] for values, _ in by_seed])
            assert told["by_seed"][task][code] == [values[code] for values, _ in by_seed]
        means.append([value for _, value in by_seed])
        expected[task] = seed_line(means[-1])
    expected["average"] = seed_line([mean(of_seed) for of_seed in zip(*means, strict=True)])
    assert shown.run(SEED_LINES) == expected
    heads = shown.run("return [...document.querySelector('#model .seeds tr').cells].map((cell) => cell.textContent)")
    assert heads == ["Target", "Mean", "Deviation", "Seed\u00a00", "Seed\u00a01", "Seed\u00a02"]
    shown.click('#model [data-value="deviation"]')
    assert shown.run(SEED_LINES) == expected  # still unfolded
    assert shown.complaints() == []


@browsing
def test_a_seed_that_lacks_scores_is_partial_and_one_seed_has_no_table(board, browser, tmp_path):
    made, cells = made_board(1), []
    for task, code, by_seed in (
        ("xnli", "de", {0: 71.0, 1: 72.0, 2: 73.0}),
        ("xnli", "ru", {0: 72.0, 1: 72.0, 2: 75.0}),
        ("panx", "de", {0: 60.0, 1: 70.0, 2: 80.0}),
        ("panx", "ru", {0: 64.0, 2: 86.0}),
        ("mlqa", "de", {0: 50.0}),
        ("lareqa", "de", {0: 40.0, 1: 50.0, 2: 60.0}),
        ("lareqa", "ru", {0: 81.0, 1: 50.0, 2: 60.0}),
    ):
        over = spread(list(by_seed.values()))
        cell = made_cell(made.schema.tasks[task], code, over.mean)
        score = replace(cell.score, n=300 if code == "ru" else 100)  # LAReQA's mean is over examples
        cells.append(Cell(score, over.deviation, None, len(by_seed) != 2, cell.data, by_seed))
    add(made, made_row(1, id="seeds-1", seeds=(0, 1, 2)), cells)
    add(made, made_row(1, id="single-1", seeds=(1,)), cells)
    (tmp_path / "index.html").write_text(page.render(made.to_json()), encoding="utf-8")
    shown = Page(browser, (tmp_path / "index.html").as_uri())
    shown.open("benchmark=xtreme-r&targets=xnli,panx,mlqa,lareqa&languages=de,ru&model=seeds-1")
    unfold_seeds(shown)
    assert shown.run(SEED_LINES) == {
        # Over XNLI and LAReQA alone, which no seed lacks anything of.
        "average": ["66.38 partial", "±5.09", "71.13 partial", "61.00 partial", "67.00 partial"],
        "xnli": ["72.50", "±1.32", "71.50", "72.00", "74.00"],
        "panx": ["72.50 partial", "±14.85", "62.00 partial", "70.00 partial", "83.00 partial"],
        "mlqa": ["50.00", "–", "50.00", "–", "–"],
        "lareqa": ["60.25", "±10.38", "70.75", "50.00", "60.00"],
        "xnli/de": ["72.00", "±1.00", "71.00", "72.00", "73.00"],
        "xnli/ru": ["73.00", "±1.73", "72.00", "72.00", "75.00"],
        "panx/de": ["70.00", "±10.00", "60.00", "70.00", "80.00"],
        "panx/ru": ["75.00 partial", "±15.56", "64.00 partial", "–", "86.00 partial"],
        "mlqa/de": ["50.00", "–", "50.00", "–", "–"],
        "lareqa/de": ["50.00", "±10.00", "40.00", "50.00", "60.00"],
        "lareqa/ru": ["63.67", "±15.82", "81.00", "50.00", "60.00"],
    }
    hints = {"average": "2 of 4 targets", "xnli": "2 of 15 languages", "mlqa": "1 of 7 languages"}
    for key, hint in hints.items():
        assert shown.text(f'#model [data-seeds="{key}"] .hint') == hint
    shown.open("benchmark=xtreme-r&targets=mlqa,panx&languages=de,ru&model=seeds-1")
    unfold_seeds(shown)
    assert shown.run(SEED_LINES)["average"] == ["–"] * 5
    shown.open("model=single-1")
    assert "Scores by seed" not in shown.text("#model")
    assert shown.complaints() == []


@browsing
@pytest.mark.parametrize(
    ("selected_by", "said"),
    [
        ("english-dev", ""),
        ("none", ""),
        ("english-dev, none", ""),
        ("target-dev", "selected on: target-dev"),
        ("english-dev, target-dev", "selected on: english-dev, target-dev"),
        ("last", "checkpoint: last"),
        ("our own way", "selected on: our own way"),
    ],
)
def test_a_state_chosen_on_anything_but_english_is_said_beside_the_name(selected_by, said, browser, tmp_path):
    made = made_board(1)
    row = made_row(1)
    add(made, replace(row, track={**row.track, "selected_by": selected_by}), [])
    (tmp_path / "index.html").write_text(page.render(made.to_json()), encoding="utf-8")
    shown = Page(browser, (tmp_path / "index.html").as_uri())
    shown.open()
    parts = shown.text(f'#table [data-id="{row.id}"] .byline').split("\u00a0· ")
    assert [part for part in parts if part.startswith(("selected", "checkpoint"))] == ([said] if said else [])
    shown.open(f"model={row.id}")
    assert f"Checkpoint selected on{selected_by}" in shown.text("#model")


NAMESAKES = {
    "of-anna": {"submitted_by": "anna", "seeds": (0, 1, 2)},
    "old-of-anna": {"submitted_by": "anna", "seeds": (0, 1, 2)},
    "of-ben-000000000001": {"submitted_by": "ben", "seeds": (0,)},
    "of-ben-000000000002": {"submitted_by": "ben", "seeds": (0,)},
}


@browsing
def test_rows_of_one_name_are_told_apart_by_what_is_known_of_them_and_by_ids_only_at_last(browser, tmp_path):
    from selenium.webdriver.common.keys import Keys

    made = made_board(1)
    spec = made.schema.tasks["xnli"]
    for name, changes in NAMESAKES.items():
        add(made, made_row(1, id=name, name="Twin", **changes), [made_cell(spec, "de", 70)])
    for name, source in (("reported-a", "A README"), ("reported-b", "A paper")):
        row = Row(name, "Twin", "reported", source={"text": source, "url": None})
        add(made, row, [], {"xtreme": {"xnli": 79.2}})
    made.supersede({"old-of-anna": "of-anna"})
    (tmp_path / "index.html").write_text(page.render(made.to_json()), encoding="utf-8")
    shown = Page(browser, (tmp_path / "index.html").as_uri())
    apart = {
        "of-anna": "Twin (by anna, 3 seeds)",
        "old-of-anna": "Twin (by anna, 3 seeds, superseded)",
        "of-ben-000000000001": "Twin (by ben, 1 seed, 000000000001)",
        "of-ben-000000000002": "Twin (by ben, 1 seed, 000000000002)",
        "reported-a": "Twin (A README)",
        "reported-b": "Twin (A paper)",
    }
    shown.open("old=1")
    for row in ("of-anna", "reported-b"):
        shown.find(f'[data-id="{row}"] .pick input').send_keys(Keys.SPACE)
    assert shown.text("#tray > span") == "Twin (by anna, 3 seeds) and Twin (A paper)"
    assert shown.find('[data-id="reported-b"] .pick input').get_attribute("aria-label") == "Compare Twin (A paper)"
    shown.open("compare=reported-a,old-of-anna")
    shown.wait_for("#comparison .pair")
    links = shown.run("return [...document.querySelectorAll('#comparison .pair a')].map((a) => a.textContent)")
    assert links == [apart["reported-a"], apart["old-of-anna"]]
    options = shown.run(
        """return Object.fromEntries([...document.querySelectorAll("#comparison option")].map(
            (option) => [option.value, option.textContent]));"""
    )
    assert options == {name: apart[name] for name in ("reported-a", "old-of-anna")}  # of the first's track, not said
    shown.open("compare=of-anna,of-ben-000000000001")
    shown.wait_for("#comparison .pair")
    texts = shown.run("return [...document.querySelector('#comparison select').options].map((o) => o.textContent)")
    name = made.to_json()["rows"][0]["name"]  # the only one of its name
    assert sorted(texts) == sorted([name, *(apart[row] for row in NAMESAKES)])
    bar, heading = shown.text("#comparison .head span"), shown.text("#comparison h2")
    assert (bar, heading) == ("Two models", "Comparison")


@browsing
def test_published_figures_show_their_source_first_and_their_note_where_they_are_opened(browser, tmp_path):
    made = made_board(1)
    found = list(reference_entries.rows(made.schema))
    for row, cells, told in found:
        add(made, row, cells, told)
    (tmp_path / "index.html").write_text(page.render(made.to_json()), encoding="utf-8")
    shown = Page(browser, (tmp_path / "index.html").as_uri())
    shown.open()
    assert len(shown.order("reported")) == len(found)
    for row, _, _ in found:
        parts = shown.text(f'[data-id="{row.id}"] .byline').split("\u00a0· ")
        assert parts == [row.source["text"], "track not stated"]
    assert shown.text('[data-id="reported-mt5-xxl-mt5-repository-readme"] .column-average').endswith("3 of 9 targets")
    shown.open("targets=xnli,pawsx,panx")
    assert shown.text('[data-id="reported-mt5-xxl-mt5-repository-readme"] .column-average') == "81.4"
    links = {}
    for row in {row.source["text"]: row for row, _, _ in found}.values():
        shown.open(f"model={row.id}")
        shown.wait_for("#model[open]")
        assert (row.note or "") in shown.text("#model")
        for href in shown.run("return [...document.querySelectorAll('#model dl a')].map((a) => a.href)"):
            links[row.source["text"]] = href
    # Where the others stand is not written down.
    assert links == {"XTREME paper, Table 20": made.schema.benchmarks["xtreme"].paper}
    assert shown.complaints() == []


@browsing
def test_the_heat_map_says_what_its_means_are_and_where_nothing_is(browser, tmp_path):
    made = made_board(1)
    cells = [made_cell(made.schema.tasks[task], "de", 70) for task in ("xnli", "xquad")]
    add(made, made_row(1, id="sparse-1"), cells)
    (tmp_path / "index.html").write_text(page.render(made.to_json()), encoding="utf-8")
    shown = Page(browser, (tmp_path / "index.html").as_uri())
    for kind in ("score", "interval", "deviation", "metrics", "n"):
        shown.open(f"cells={kind}&model=sparse-1")
        mean = "Mean" if kind == "score" else "Mean score"
        assert shown.text("#model .heatmap thead th:last-child") == shown.text("#model .heatmap tfoot th") == mean
        assert shown.text("#model .heatmap tfoot td:last-child") == "70.0partial2 of 9 targets"
    empty = shown.run("return [...document.querySelectorAll('#model td.none[title]')].map((td) => td.textContent)")
    assert set(empty) == {"–"}
    assert "partial, 2 of 9 targets" in shown.text('#model [data-figure="chosen"]')
    told = "The score is the mean of exact match and F1"
    for place in ("#table", "#model .heatmap"):
        titles = shown.run(
            """return [...document.querySelector(arguments[0]).querySelectorAll("thead .hint")].map(
                (hint) => [hint.textContent, hint.title]);""",
            place,
        )
        assert {title for text, title in titles if text == "EM / F1"} == {told}
        assert {title for text, title in titles if text != "EM / F1"} == {""}
    assert "for question answering, the score is the mean of exact match and F1" in " ".join(
        shown.text("footer").split()
    )
