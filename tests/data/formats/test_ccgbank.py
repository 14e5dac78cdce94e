"""CCGbank, with lines of our own in its formats."""

from __future__ import annotations

import re

import pytest

from helpers.original_files import write
from xharness.data import formats
from xharness.data.formats import ccgbank
from xharness.errors import DataError

LEAVES = "(<T NP 0 1> (<L NP/N DT DT the NP_1/N_1>) (<L N NN NN > N>) )"


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        (f"ID=x.1\n{LEAVES}\n\nID=x.2\n{LEAVES}\n", [(["the", ">"], ["NP/N", "N"])] * 2),
        ("the lamp\tNP/N N\nLamps\tNP\n", [(["the", "lamp"], ["NP/N", "N"]), (["Lamps"], ["NP"])]),
        ("the\tNP/N\nlamp\tN\n\n\nLamps\tNP", [(["the", "lamp"], ["NP/N", "N"]), (["Lamps"], ["NP"])]),
    ],
)
def test_ccgbank_is_told_by_its_content(text, rows, tmp_path):
    path = write(tmp_path / "x.tsv", text)
    assert [(row["tokens"], row["tags"]) for row in ccgbank.read(path)] == rows


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the file is empty"),
        ("ID=x.1\n(<T NP 0 1> (<L NP DT the NP>) )\n", "line 2: expected a tree of CCGbank with leaves"),
        ("ID=x.1\nthe lamp\n", "line 2: expected a tree of CCGbank"),
        ("the lamp\tNP/N N\nLamps glow\tNP\n", "line 2: expected words, a tab and as many supertags, found 2 and 1"),
        ("the lamp\tNP/N N\nLamps glow\n", "line 2: expected words, a tab and as many supertags, found 2 between"),
        ("the\tNP/N\nlamp\n", "line 2: expected 'word<TAB>supertag', found 'lamp'"),
        ("the\tNP/N\tx\n", "line 1: expected 'word<TAB>supertag'"),
        ("lamp\tN\n" * 1001, "line 1001: no sentence is this long"),
    ],
)
def test_another_format_than_ccgbanks_is_refused_with_its_line(text, message, tmp_path):
    path = write(tmp_path / "train.tsv", text)
    with pytest.raises(DataError, match=re.escape(f"{path}: {message}")):
        list(ccgbank.read(path))


def test_trees_of_ccgbank_come_before_tables_and_in_order(tmp_path):
    for name in ("AUTO/02/b.auto.gz", "AUTO/02/a.auto", "AUTO/02/a.auto.gz", "AUTO/10/c.auto", "AUTO/22/d.auto"):
        write(tmp_path / "bank" / name, "")
    write(tmp_path / "train.tsv", "")
    write(tmp_path / "dev.txt", "")
    found = formats.find(tmp_path.parent, f"{tmp_path.name}/train", "ccgbank")
    assert [path.name for path in found] == ["a.auto", "b.auto.gz", "c.auto"]
    assert ccgbank.find(tmp_path, "dev") == [tmp_path / "dev.txt"]
    assert ccgbank.find(tmp_path, "test") == []
