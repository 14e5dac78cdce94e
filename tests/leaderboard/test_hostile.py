"""Submissions that are wrong or malicious: each is refused with a reason, and leaves no trace."""

from __future__ import annotations

import gzip
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from helpers.hostile import FOLDERS, HTML, XNLI, XQUAD, bomb, forged, spliced, told
from helpers.leaderboard import packed, write_package
from helpers.runs import gold_folder, make_run
from xharness.leaderboard import check as leaderboard_check
from xharness.leaderboard.check import check
from xharness.text import strip_controls

CELLS = {"xnli": ("de",), "xquad": ("de",)}


@pytest.fixture(scope="module")
def gold(tmp_path_factory: Any) -> Path:
    return gold_folder(tmp_path_factory.mktemp("gold"))


@pytest.fixture(scope="module")
def right(gold: Path, tmp_path_factory: Any) -> Path:
    run = make_run(tmp_path_factory.mktemp("runs") / "seed0", gold, CELLS)
    return write_package(packed(run, gold=gold), tmp_path_factory.mktemp("package") / "right")


@pytest.fixture
def folder(right: Path, tmp_path: Path) -> Path:
    """Return a copy that a test may spoil."""
    return Path(shutil.copytree(right, tmp_path / "package"))


def snapshot(root: Path) -> dict[str, tuple[int, int]]:
    """Return what lies below a folder, with sizes and times of change."""
    return {
        os.path.join(where, name): ((at := os.lstat(os.path.join(where, name))).st_size, at.st_mtime_ns)
        for where, folders, files in os.walk(root)
        for name in [*folders, *files]
    }


def test_the_right_one_is_accepted(right, gold):
    assert check(right, data_dir=gold).verdict.problems == []


def test_there_are_enough():
    assert len(FOLDERS) > 100


@pytest.mark.parametrize("name", FOLDERS)
def test_refused_with_a_reason(name, folder, gold, tmp_path, monkeypatch):
    change, words = FOLDERS[name]
    change(folder)
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(work))
    before = snapshot(tmp_path)
    checked = check(folder, data_dir=gold)
    assert not checked.verdict.accepted
    assert words in "\n".join(checked.verdict.problems)
    after = snapshot(tmp_path)
    assert {p: v for p, v in after.items() if p != str(work)} == {p: v for p, v in before.items() if p != str(work)}
    # What is said can be shown: on a terminal, in JSON, below a pull request.
    text = leaderboard_check.text(checked)
    assert text == strip_controls(text)
    assert len(text) < 20_000
    assert json.loads(checked.verdict.to_bytes()) == checked.verdict.to_json()
    comment = leaderboard_check.comment(checked, "a" * 40)
    assert comment.count("```") == 2


@pytest.mark.parametrize("place", [("name",), ("declarations", "notes"), ("model", "base"), ("settings", "recipe")])
def test_html_is_text_like_any_other(place, folder, gold):
    told(*place, value=HTML)(folder)
    assert check(folder, data_dir=gold).verdict.accepted


@pytest.mark.parametrize("content", [b"\xef\xbb\xbf%s", b"%s\n\n"], ids=["byte order mark", "blank lines"])
def test_harmless_oddities_of_a_file_change_nothing(content, folder, gold):
    lines = gzip.decompress((folder / XNLI).read_bytes())
    forged(XNLI, content % lines)(folder)
    assert check(folder, data_dir=gold).verdict.accepted
    forged(XNLI, lines.replace(b"\n", b"\r\n"))(folder)
    assert check(folder, data_dir=gold).verdict.accepted


BOUNDED = """
import json, resource, sys
from pathlib import Path
from xharness.leaderboard.check import check
right, gold, *bad = map(Path, sys.argv[1:])
check(right, data_dir=gold)  # what a right one takes is not counted
start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
problems = [check(folder, data_dir=gold).verdict.problems for folder in bad]
print(json.dumps([problems, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - start) // 1024]))
"""

LARGE = {
    "more than the 67,108,864": lambda f: forged(XNLI, b"x", bomb(), content_bytes=64 << 20)(f),
    "lines; the limit is": lambda f: forged(XNLI, b"\n" * (16 << 20))(f),
    "times [; predictions for": lambda f: forged(XQUAD, b"[" + b"[]," * (6 << 20) + b"[]]")(f),
    "found 1 lines": lambda f: forged(XNLI, b"n" * (16 << 20))(f),
    "settings": lambda f: spliced(b'"settings": {', b'"settings": {"x": [' + b"[]," * 1_200_000 + b"[]],")(f),
}


def test_memory_is_bounded(right, gold, tmp_path):
    folders = []
    for number, change in enumerate(LARGE.values()):
        folders.append(Path(shutil.copytree(right, tmp_path / str(number))))
        change(folders[-1])
    command = [sys.executable, "-c", BOUNDED, *map(str, [right, gold, *folders])]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    problems, megabytes = json.loads(done.stdout.splitlines()[-1])
    for words, found in zip(LARGE, problems, strict=True):
        assert words in "\n".join(found)
    # Sixteen megabytes of content, as bytes and as text; lists made of them would take half a gigabyte.
    assert megabytes < 200
