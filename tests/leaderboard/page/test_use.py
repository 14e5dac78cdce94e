"""Using the page in a real browser: addresses, search, keyboard, themes, phones, copies, and hostile names."""

from __future__ import annotations

import pytest

from helpers.board_rows import many_rows
from helpers.browser import Page
from helpers.page import (
    BEST,
    CLAIMED,
    HOSTILE,
    REPORTED,
    ROWS,
    SECOND,
    browsing,
    unfold_seeds,
)
from xharness.leaderboard import page

pytestmark = pytest.mark.long


@browsing
def test_what_an_address_asks_for_and_is_not_there_is_said(shown):
    gone = "gone-000000000000"
    shown.open(f"track=no+such&targets=xnli,nope&languages=de,%3Cb%3E&model={gone}&scripts=Latin")
    said = "return [...document.querySelectorAll('#unknown p')].map((p) => p.textContent)"
    assert shown.run(said) == [
        "This leaderboard has no track no+such.",
        "This leaderboard has no target nope.",
        "This leaderboard has no language <b>.",
        f"This leaderboard has no submission {gone}.",
    ]
    assert BEST in shown.order()
    assert not shown.run("return document.getElementById('model').open")
    shown.click("#unknown .close")
    assert not shown.find("#unknown").is_displayed()
    assert shown.run("return document.activeElement.id") == "table"
    shown.open(f"compare={gone},{BEST}")
    assert shown.run(said) == [f"This leaderboard has no submission {gone}."]
    shown.click('#columns [data-value="groups"]')
    assert shown.run(said) == []
    shown.open("targets=" + ",".join("x" * 1000 for _ in range(50)))
    assert shown.run(said) == [f"This leaderboard has no target {'x' * 80}…."] * 5
    shown.open(f"benchmark=xtreme-r&columns=groups&targets=xnli&scripts=Latin&resources=class%203&model={BEST}")
    assert shown.run(said) == []


@browsing
def test_a_view_can_be_cited_and_the_back_button_leads_back(shown):
    fragment = (
        f"benchmark=xtreme-r&columns=languages&sort=sw&targets=xnli,panx&resources=class%202,class%203&model={BEST}"
    )
    shown.open(fragment)
    assert shown.fragment() == fragment
    shown.wait_for("#model[open]")
    assert shown.text("#summary").startswith("Mean over 2 of 10 targets")
    shown.open("targets=xnli")
    shown.click('[data-focus="sort-xnli"]')
    shown.click(f'[data-focus="model-{SECOND}"]')
    shown.wait_for("#model[open]")
    assert ROWS[SECOND]["name"] in shown.browser.title
    shown.browser.back()
    shown.until("!document.getElementById('model').open")
    assert shown.fragment() == "benchmark=xtreme&sort=xnli&targets=xnli"
    shown.browser.back()
    shown.until("document.querySelector('[aria-sort]').textContent.startsWith('Average')")
    shown.open("benchmark=nonsense&targets=nonsense&model=nonsense&compare=a,b&sort=nonsense&languages=%E0%A4%A")
    assert shown.order()[0] == BEST


@browsing
def test_search_finds_names_and_says_when_there_is_none(shown):
    shown.open()
    shown.find("#search").send_keys("BASE-mnli-001")
    assert shown.order() == [SECOND]
    assert shown.text(f'[data-id="{SECOND}"] .rank') == "2"
    shown.find("#search").send_keys("zzz")
    assert "No model in this track matches" in shown.text("#table")


@browsing
def test_the_keyboard_is_enough(shown):
    from selenium.webdriver.common.keys import Keys

    shown.open("targets=xnli")
    shown.find("body").send_keys(Keys.TAB)
    assert shown.text(":focus") == "Skip to the table"
    shown.browser.switch_to.active_element.send_keys(Keys.ENTER)
    assert shown.run("return document.activeElement.id") == "table"
    assert shown.fragment() == "targets=xnli"
    for wanted in ("sort-name", "sort-average", "sort-xnli"):
        shown.browser.switch_to.active_element.send_keys(Keys.TAB)
        assert shown.run("return document.activeElement.dataset.focus") == wanted
    assert shown.run("return getComputedStyle(document.activeElement).outlineStyle") == "solid"
    shown.browser.switch_to.active_element.send_keys(Keys.ENTER)
    assert "sort=xnli" in shown.fragment()
    shown.find(f'[data-focus="model-{BEST}"]').send_keys(Keys.ENTER)
    shown.wait_for("#model[open]")
    shown.browser.switch_to.active_element.send_keys(Keys.ESCAPE)
    shown.until("document.activeElement.dataset.focus === arguments[0]", f"model-{BEST}")
    assert not shown.run("return document.getElementById('model').open")
    assert shown.fragment() == "benchmark=xtreme&sort=xnli&targets=xnli"


@browsing
def test_the_keyboard_leads_into_a_comparison_and_back(shown):
    from selenium.webdriver.common.keys import Keys

    focus = "document.activeElement.dataset.focus === arguments[0]"
    shown.open("targets=xnli")
    for row in (BEST, SECOND):
        shown.find(f'[data-focus="pick-{row}"]').send_keys(Keys.SPACE)
    shown.find('[data-focus="tray-compare"]').send_keys(Keys.ENTER)
    shown.wait_for("#comparison .warnings")
    assert shown.text(":focus") == "Comparison"
    shown.browser.switch_to.active_element.send_keys(Keys.ESCAPE)
    shown.until(focus, "tray-compare")
    shown.find('[data-focus="tray-clear"]').send_keys(Keys.ENTER)
    assert shown.run(f"return {focus}", f"pick-{SECOND}")
    # From a model's own view the row that was left is drawn anew meanwhile.
    for row, back in ((BEST, f"model-{BEST}"), (SECOND, "tray-compare")):
        shown.find(f'[data-focus="model-{row}"]').send_keys(Keys.ENTER)
        shown.wait_for("#model[open]")
        assert shown.text(":focus") == ROWS[row]["name"]
        button = "//dialog[@id='model']//button[contains(., 'ompar') or contains(., 'Select')]"
        shown.find(button, by="xpath").send_keys(Keys.ENTER)
        if row == SECOND:
            shown.wait_for("#comparison .warnings")
            shown.browser.switch_to.active_element.send_keys(Keys.ESCAPE)
        shown.until(focus, back)
    for fragment, row in ((f"model={BEST}", "model"), (f"compare={BEST},{SECOND}", "comparison")):
        shown.open(fragment)
        shown.wait_for(f"#{row}[open] .body dl" if row == "model" else "#comparison .warnings")
        shown.browser.switch_to.active_element.send_keys(Keys.ESCAPE)
        back = f"model-{BEST}" if row == "model" else "table"
        shown.until("(document.activeElement.dataset.focus ?? document.activeElement.id) === arguments[0]", back)


@browsing
def test_the_theme_can_be_switched_and_is_remembered(shown):
    shown.open()
    paper = "return getComputedStyle(document.body).backgroundColor"
    seen = {}
    for theme in ("light", "dark"):
        shown.click("#theme")
        assert shown.text("#theme") == f"Theme: {theme}"
        shown.run("for (const animation of document.getAnimations()) animation.finish();")
        seen[theme] = shown.run(paper)
    shown.open()
    assert shown.run(paper) == seen["dark"] != seen["light"]
    shown.click("#theme")
    assert shown.text("#theme") == "Theme: auto"


CONTRASTS = """
const parse = (text) => {
  const numbers = text.match(/-?[\\d.]+(?:e-?\\d+)?/g).map(Number);
  return text.startsWith("color(") ? [...numbers.slice(0, 3).map((n) => n * 255), numbers[3] ?? 1]
    : [...numbers.slice(0, 3), numbers[3] ?? 1];
};
const light = (rgb) => rgb.slice(0, 3).map((n) => n / 255)
  .map((n) => (n <= 0.04045 ? n / 12.92 : ((n + 0.055) / 1.055) ** 2.4))
  .reduce((sum, n, i) => sum + n * [0.2126, 0.7152, 0.0722][i], 0);
const behind = (element) => {
  for (let each = element; each; each = each.parentElement) {
    const found = parse(getComputedStyle(each).backgroundColor);
    if (found[3] === 1) return found;
  }
  return [255, 255, 255];
};
const weak = [];
for (const element of document.querySelectorAll("body *")) {
  const texts = [...element.childNodes].filter((n) => n.nodeType === Node.TEXT_NODE && n.data.trim());
  if (!texts.length || !element.checkVisibility() || element.closest("script, noscript, :disabled")) continue;
  const style = getComputedStyle(element);
  const back = behind(element);
  const alpha = Number(style.opacity);
  const front = parse(style.color).slice(0, 3).map((n, i) => n * alpha + back[i] * (1 - alpha));
  const [a, b] = [light(front), light(back)].sort((x, y) => y - x);
  const contrast = (a + 0.05) / (b + 0.05);
  if (contrast < 4.5) weak.push([element.className, texts[0].data, contrast]);
}
return weak;
"""


@browsing
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_everything_can_be_read_in_both_themes_and_fits_a_phone(theme, shown):
    shown.browser.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride", {"width": 360, "height": 740, "deviceScaleFactor": 1, "mobile": True}
    )
    try:
        for fragment in ("", "columns=languages", f"model={BEST}", f"compare={BEST},{SECOND}"):
            shown.open(fragment)
            shown.run(
                """document.documentElement.dataset.theme = arguments[0];
                document.querySelectorAll("details").forEach((each) => { each.open = true; });""",
                theme,
            )
            if "compare" in fragment:
                shown.wait_for("#comparison .warnings")
            shown.run("for (const animation of document.getAnimations()) animation.finish();")
            assert shown.run(CONTRASTS) == []
            assert shown.run("return document.documentElement.scrollWidth") <= 360
            assert shown.run("return [...document.querySelectorAll('dialog .body')].every((b) => b.scrollWidth <= 360)")
    finally:
        shown.browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


@browsing
def test_on_a_phone_groups_are_seen_beside_the_average_and_headings_keep_to_their_column(shown):
    shown.browser.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride", {"width": 360, "height": 740, "deviceScaleFactor": 1, "mobile": True}
    )
    try:
        shown.open("columns=groups")
        heads = shown.run(
            """const inside = document.querySelector("#table").getBoundingClientRect().right;
            return [...document.querySelectorAll("#table thead th.number .sort")].filter(
                (sort) => sort.getBoundingClientRect().right <= inside && sort.scrollWidth <= sort.clientWidth
            ).map((sort) => sort.textContent.replaceAll("\u00ad", ""));"""
        )
        assert heads[:3] == ["Average▼", "Classification", "Structured prediction"]
        shown.open(f"model={BEST}")
        unfold_seeds(shown)
        wide, column, above = shown.run(
            """const head = document.querySelector("#model .seeds [data-seeds*='/']").closest("table").tHead;
            const range = document.createRange();
            range.selectNodeContents(head.rows[0].cells[0]);
            const cell = head.rows[0].cells[0];
            const styles = [cell, cell.closest("table").tBodies[0].rows[1].cells[0]].map((c) => getComputedStyle(c));
            return [range.getBoundingClientRect().right, cell.getBoundingClientRect().right,
              styles[0].zIndex > styles[1].zIndex && styles[0].backgroundColor.startsWith("rgb(")];"""
        )
        assert wide <= column
        assert above
    finally:
        shown.browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


@browsing
def test_names_that_would_be_code_are_text(board, browser, tmp_path):
    rows = []
    for i, row in enumerate(board["rows"]):
        strange = dict.fromkeys(("repo", "revision", "content", "base"), HOSTILE)
        model = {**strange, "paper": "javascript:alert(3)", "url": 'https://a"><b>'}
        changes = {
            "name": f"{HOSTILE} {i}",
            "submitted_by": HOSTILE,
            "settings": {HOSTILE: HOSTILE},
            "replicates": None,
        }
        rows.append({**row, **changes, "model": model})
    (tmp_path / "index.html").write_text(page.render({**board, "title": HOSTILE, "rows": rows}), encoding="utf-8")
    shown = Page(browser, (tmp_path / "index.html").as_uri())
    for fragment in ("", f"model={BEST}", f"compare={BEST},{CLAIMED}", "search=%3Cimg%20src=x%20onerror=alert(1)%3E"):
        shown.open(fragment)
        if fragment.startswith("compare"):
            shown.wait_for("#comparison .warnings")
        assert shown.run("return document.querySelectorAll('img, b, iframe, script[src]').length") == 0
        assert "onerror=alert(1)" in shown.text("body")
        assert shown.run("return [...document.links].every((a) => ['https:', 'file:'].includes(a.protocol))")
    assert shown.complaints() == []


@browsing
def test_copies_are_safe_to_open_and_to_render(board, browser, tmp_path):
    rows = [{**row, "name": f'=1+2, "{i}"\n|<b>'} for i, row in enumerate(board["rows"])]
    (tmp_path / "index.html").write_text(page.render({**board, "rows": rows}), encoding="utf-8")
    shown = Page(browser, (tmp_path / "index.html").as_uri())
    shown.open()
    assert shown.table()[BEST]["model"] == '\'=1+2, "0" |<b>'
    assert [shown.table()[name]["selected_by"] for name in (BEST, REPORTED)] == ["english-dev", ""]
    shown.click("#copy-markdown")
    lines = shown.find("#copy textarea").get_property("value").splitlines()
    assert lines[2].startswith('| 1 | =1+2, "0" \\|\\<b\\> | checked | ')
    shown.click("#copy .main")
    shown.wait_for("#copy [role=status]:not(:empty)")


@browsing
def test_an_empty_board_says_what_to_do(board, browser, tmp_path):
    cells = {name: [] for name in board["cells"]}
    empty = page.render({**board, "rows": [], "cells": cells, "data": []})
    (tmp_path / "index.html").write_text(empty, encoding="utf-8")
    shown = Page(browser, (tmp_path / "index.html").as_uri())
    shown.open()
    assert "xharness submit" in shown.text("#table")
    for selector in ("#track", "#old", "#tray"):
        assert not shown.find(selector).is_displayed()
    assert shown.complaints() == []


@browsing
def test_a_thousand_submissions_are_no_trouble(board, browser, tmp_path):
    # Loose, because other tests run beside this one; tests/performance/page_speed.py measures.
    (tmp_path / "index.html").write_text(page.render(many_rows(board, 1000)), encoding="utf-8")
    shown = Page(browser, (tmp_path / "index.html").as_uri())
    shown.open()
    assert len(shown.order()) == 50
    assert float(shown.run("return document.documentElement.dataset.ready")) < 10_000
    shown.run("document.querySelector('#facets input[value=Arabic]').click()")
    assert float(shown.run("return document.documentElement.dataset.took")) < 2_000
    shown.click("tr.more button")
    assert len(shown.order()) == 1000
