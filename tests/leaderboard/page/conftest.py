"""What the tests of the page share: a rendered page with replicates, in a browser."""

from __future__ import annotations

import numpy as np
import pytest

from helpers.board_rows import add, board_codes, made_board, made_row
from helpers.browser import Page, chromium
from helpers.page import (
    BEST,
    REPORTED,
    SECOND,
    SEEN,
    score_of,
)
from xharness.leaderboard import page
from xharness.leaderboard.rows import Row


@pytest.fixture(scope="module")
def board():
    """Return the board with a row of a paper, one that was withdrawn, and replicates of the best two."""
    made = made_board(12)
    source = {"text": "A paper, table 2", "url": "https://arxiv.org/abs/1911.02116"}
    reported = Row(REPORTED, "XLM-R large", "reported", source=source, note="question answering as F1 only")
    add(made, reported, [], {"xtreme": {"xnli": 79.2, "pawsx": 86.4}, "xtreme-r": {"xnli": 79.2}})
    add(made, made_row(100, id="gone-1", name="Gone", withdrawn=True, withdrawn_reason="a bug"), [])
    scores = made.to_json()
    cells = scores["cells"]
    places = {key: i for i, key in enumerate(zip(cells["row"], cells["task"], cells["language"], strict=True))}
    # Scored on other data than everybody's.
    cells["n"][places[3, list(SEEN.schema.tasks).index("xnli"), list(SEEN.schema.languages).index("sw")]] += 1
    for row in scores["rows"][:2]:
        row["replicates"] = f"replicates/{row['id']}.js"
    return scores


@pytest.fixture(scope="module")
def replicates():
    """Return id -> what is said to be the replicates of the best two: cells by resamples, in hundredths."""
    dice = np.random.RandomState(0)
    cells = [(name, code) for name in SEEN.schema.tasks for code in board_codes(SEEN, name)]
    shared = dice.normal(0, 150, (len(cells), 200))
    made = {}
    for i, row in enumerate((BEST, SECOND)):
        centre = [score_of(name, code, i) * 100 for name, code in cells]
        own = np.array(centre)[:, None] + shared + dice.normal(0, 60, shared.shape)
        made[row] = np.clip(own, 0, 10000).round().astype("<i2")
    return cells, made


@pytest.fixture(scope="module")
def folder(board, replicates, tmp_path_factory):
    made = tmp_path_factory.mktemp("board")
    (made / "index.html").write_text(page.render(board), encoding="utf-8")
    (made / "replicates").mkdir()
    cells, numbers = replicates
    for row, values in numbers.items():
        text = page.replicates_script(row, cells, 200, values.tobytes())
        (made / "replicates" / f"{row}.js").write_text(text, encoding="utf-8")
    return made


@pytest.fixture(scope="module")
def browser():
    with chromium() as browser:
        yield browser


@pytest.fixture
def shown(browser, folder):
    made = Page(browser, (folder / "index.html").as_uri())
    made.complaints()
    yield made
    assert made.complaints() == []
