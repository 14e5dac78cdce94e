"""Masked language modelling: what is hidden, how much of it, and that a step's draws are always the same."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xharness.errors import DataError, ModelError
from xharness.training.masked_lm import IGNORED, SHARE, MaskedTexts, read_texts

SPECIAL = np.array([True] * 5 + [False] * 95)
MASK = 4


def texts(rows: list[list[int]], seed: int = 0) -> MaskedTexts:
    ids = [np.array([0, *row, 2], dtype=np.int32) for row in rows]
    return MaskedTexts(ids, SPECIAL, MASK, 100, seed, np.array([len(row) for row in ids]))


ROWS = st.lists(st.lists(st.integers(5, 99), min_size=1, max_size=30), min_size=1, max_size=6)


@given(ROWS, st.integers(0, 1000), st.integers(0, 50))
def test_only_real_sub_words_are_asked_for(rows: list[list[int]], seed: int, step: int) -> None:
    made = texts(rows, seed).at(step)
    units = list(range(len(rows)))
    batch = made.batch(units, pad=1)
    asked = batch["labels"] != IGNORED
    assert int(asked.sum()) == made.items(units) >= len(rows)
    for unit, row in enumerate(rows):
        whole = np.array([0, *row, 2])
        length = len(whole)
        labels, ids = batch["labels"][unit].numpy(), batch["input_ids"][unit].numpy()
        assert (labels[length:] == IGNORED).all()
        assert (ids[length:] == 1).all()
        assert int(batch["attention_mask"][unit].sum()) == length
        place = np.flatnonzero(labels[:length] != IGNORED)
        assert (labels[place] == whole[place]).all()
        assert not SPECIAL[whole[place]].any()
        rest = np.setdiff1d(np.arange(length), place)
        assert (ids[rest] == whole[rest]).all()


def test_the_shares_are_those_of_bert() -> None:
    made = texts([list(np.random.default_rng(0).integers(5, 100, 60_000))])
    batch = made.batch([0], pad=1)
    ids, labels = batch["input_ids"][0].numpy(), batch["labels"][0].numpy()
    asked = labels != IGNORED
    assert asked.mean() == pytest.approx(SHARE, abs=0.01)
    assert (ids[asked] == MASK).mean() == pytest.approx(0.8, abs=0.02)
    assert (ids[asked] == labels[asked]).mean() == pytest.approx(0.1, abs=0.02)


def test_a_step_draws_the_same_on_every_process_and_others_draw_anew() -> None:
    made = texts([list(range(5, 60)), list(range(20, 90))])
    first, again, next_one = made.at(3).batch([1], 1), made.at(3).batch([0, 1], 1), made.at(4).batch([1], 1)
    assert first["input_ids"][0].tolist() == again["input_ids"][1].tolist()
    assert first["input_ids"].tolist() != next_one["input_ids"].tolist()


def test_a_file_is_read_line_by_line(tiny_tokenizer: Any, tmp_path: Path) -> None:
    path = tmp_path / "text.txt"
    path.write_text("one line\n\n   \nanother line of text\n", encoding="utf-8")
    found = read_texts(path, tiny_tokenizer, 8, 0)
    assert len(found) == 2
    assert max(found.lengths) <= 8
    (tmp_path / "empty.txt").write_text("\n\n")
    with pytest.raises(DataError, match="no line of text"):
        read_texts(tmp_path / "empty.txt", tiny_tokenizer, 8, 0)
    with pytest.raises(ModelError, match="no mask token"):
        read_texts(path, SimpleNamespace(mask_token_id=None), 8, 0)
