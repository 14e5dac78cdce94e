"""The leaderboard that the tests of the page look at, and what they look for in it."""

from __future__ import annotations

import pytest

from helpers.board_rows import made_board
from helpers.browser import why_not

browsing = pytest.mark.skipif(bool(why_not()), reason=why_not())
SEEN = made_board(12)
ROWS = {row["id"]: row for row in SEEN.to_json()["rows"]}
BEST, SECOND, UNSURE, CLAIMED, EXPOSED = list(ROWS)[:5]
REPORTED = "reported-xlm-r"


def one_decimal(value):
    return "–" if value is None else f"{value:.1f}".replace("-", "−")


def cell_of(name, code, row):
    cells, at = SEEN.to_json()["cells"], {}
    tasks, codes = list(SEEN.schema.tasks), list(SEEN.schema.languages)
    if not cell_of.places:
        for place, key in enumerate(zip(cells["row"], cells["task"], cells["language"], strict=True)):
            at[key] = place
        cell_of.places = at
    place = cell_of.places.get((row, tasks.index(name), codes.index(code)))
    return None if place is None else (cells["score"][place], cells["n"][place])


cell_of.places = {}


def score_of(name, code, row):
    return cell_of(name, code, row)[0]


HOSTILE = "</script><img src=x onerror=alert(1)><!--&amp;\u202egnp.\x00\x1b[31m\ud800\u2028" + "\"'`${alert(2)}"


def unfold_seeds(shown):
    for title in ("Scores by seed", "Every language by seed"):
        shown.find(f"//dialog[@id='model']//summary[text()='{title}']", by="xpath").click()
    shown.wait_for("#model [data-seeds*='/']")
