"""Build table, scores.json and page."""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import tempfile
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from xharness.errors import OutputError, SubmissionError, UsageError
from xharness.leaderboard import entries, long_table, page, reference_entries, rows, store
from xharness.leaderboard.long_table import TABLE_FILE, Part, Table
from xharness.leaderboard.rows import SCORES_FILE, BoardBuilder, BoardRow, BoardSchema
from xharness.leaderboard.submission import SUBMISSIONS

PAGE_FILE, REPLICATES = "index.html", "replicates"
MADE = frozenset({SCORES_FILE, TABLE_FILE, PAGE_FILE, REPLICATES})
"""All that a build writes."""
_FEW, _CHUNK = 60, 8
"""Submissions that are not worth starting processes for, and how many one of them gets at a time."""


@dataclass(frozen=True)
class Built:
    """What came of a build.

    Attributes:
        folder: where it lies.
        sha: the commit of the data set that it was built from; None of a folder.
        submissions: rows of submissions, of which ``checked`` were checked, and ``withdrawn`` and ``superseded`` are
            shown apart.
        reported: rows of published figures.
        numbers: rows of the table.
        left_out: sentences about what is in ``submissions/`` and has no row.
        notes: sentences about what is shown otherwise than was meant.
    """

    folder: str
    sha: str | None
    submissions: int
    checked: int
    withdrawn: int
    superseded: int
    reported: int
    numbers: int
    left_out: tuple[str, ...]
    notes: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Return what ``--json`` prints."""
        return asdict(self)

    def summary(self) -> str:
        """Return what was built, in one line."""
        apart = [(self.withdrawn, "withdrawn"), (self.superseded, "superseded"), (len(self.left_out), "left out")]
        counts = [f"{self.submissions:,} submissions, {self.checked:,} of them checked"]
        counts += [f"{count:,} {word}" for count, word in apart if count]
        return f"built: {self.folder} ({'; '.join(counts)}; {self.reported:,} rows of published figures)"


@dataclass(frozen=True)
class _Standing:
    """Of a submission what decides whether another one replaces it."""

    id: str
    by: str
    supersedes: str | None
    checked: bool
    withdrawn: bool


@dataclass(frozen=True)
class _Prepared:
    """A submission as a build takes it."""

    repo_state: _Standing
    line: BoardRow
    part: Part
    notes: tuple[str, ...]


def build(source: Path, to: Path, *, repo: str | None = None, sha: str | None = None) -> Built:
    """Build the board that lies in a folder; the same input always gives the same files.

    Args:
        source: a copy of the board's data set. What is in it was written by strangers; of a submission that cannot be
            read a sentence is said, and the others are built.
        to: the folder to make. What is there is replaced as a whole once all is finished, if it is an earlier build.
        repo, sha: the data set and its commit, where it is known.

    Raises:
        UsageError: the source is no board, or ``to`` is a folder of something else.
        SubmissionError: its board.json is wrong.
        OutputError: the folder cannot be written.
    """
    about = store.read_about(source)
    _refuse_others(to)
    shape = rows.layout()
    board, long = BoardBuilder(shape, about.title, repo, sha), Table()
    left_out: list[str] = []
    notes: list[str] = []
    standings: list[_Standing] = []
    with _made_whole(to) as folder:
        (folder / REPLICATES).mkdir()
        for each in _prepared(source, shape, folder / REPLICATES):
            if isinstance(each, str):
                left_out.append(each)
                continue
            board.add(each.line)
            long.add(each.part)
            notes += each.notes
            standings.append(each.repo_state)
        superseded = _superseded(standings)
        board.supersede(superseded)
        figures = list(reference_entries.rows(shape))
        for row, cells, task_scores in figures:
            board.add(rows.line(shape, row, cells, task_scores))
        numbers = long.write(folder / TABLE_FILE, superseded)
        _write_scores(board, folder)
    return Built(
        folder=str(to),
        sha=sha,
        submissions=len(standings),
        checked=sum(each.checked for each in standings),
        withdrawn=sum(each.withdrawn for each in standings),
        superseded=len(superseded),
        reported=len(figures),
        numbers=numbers,
        left_out=tuple(left_out),
        notes=tuple(notes),
    )


def _prepared(source: Path, shape: BoardSchema, scripts: Path) -> Iterator[_Prepared | str]:
    """Yield every submission by id, or a sentence where one cannot be read; of many, several at once."""
    names = store.names(source)
    prepare = partial(_prepare, source, shape, scripts)
    workers = min(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1, 8)
    if len(names) < _FEW or workers < 2:
        yield from map(prepare, names)
        return
    # Not forked: a copy of this process would hold locks of threads that it does not have.
    with ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn")) as pool:
        yield from pool.map(prepare, names, chunksize=_CHUNK)


def _prepare(source: Path, shape: BoardSchema, scripts: Path, name: str) -> _Prepared | str:
    """Return what a build takes of a submission, after writing its replicates beside the page."""
    try:
        each = store.read_one(source, name)
    except SubmissionError as error:
        # The name is a stranger's; so is whatever the first problem quotes.
        first, *more = str(error).splitlines()
        return f"{SUBMISSIONS}/{ascii(name[:60])[1:-1]} is left out: {first}" + (" ..." if more else "")
    submission = each.submission
    numbers, unknown = entries.numbers(each, shape)
    cells = entries.cells(each, numbers, shape)
    if each.replicates is not None and each.verdict is not None and each.verdict.replicates is not None:
        index = each.verdict.replicates
        script = page.replicates_script(submission.id, index.cells, index.resamples, each.replicates)
        _write(scripts / f"{submission.id}.js", script)
    return _Prepared(
        repo_state=_Standing(
            submission.id, submission.submitted_by, submission.supersedes, each.checked, each.withdrawn is not None
        ),
        line=rows.line(shape, entries.row(each), cells),
        part=long_table.part(each, numbers, cells),
        notes=(*each.notes, *unknown, *entries.outdated(each, numbers, shape)),
    )


def _superseded(standings: list[_Standing]) -> dict[str, str]:
    """Return id -> id of the submission that replaces it.

    Only one's own can be replaced; and what was checked only by what was checked, so that no claim takes its place.
    """
    known = {each.id: each for each in standings}
    newer: dict[str, str] = {}
    for each in standings:
        old = known.get(each.supersedes or "")
        if old is None or old is each or each.withdrawn or old.by.casefold() != each.by.casefold():
            continue
        if each.checked or not old.checked:
            newer[old.id] = each.id
    return newer


def _write_scores(board: BoardBuilder, folder: Path) -> None:
    scores = board.to_json()
    # Plain ASCII, so that no text in it means something to whatever reads it before it is JSON.
    text = json.dumps(scores, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    _write(folder / SCORES_FILE, text + "\n")
    _write(folder / PAGE_FILE, page.render(scores))


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8", newline="\n")


def _refuse_others(to: Path) -> None:
    """Raise UsageError where a folder holds anything that no build wrote, as it would be lost."""
    if not os.path.lexists(to):
        return
    if not to.is_dir() or to.is_symlink():
        raise UsageError(f"{to}: this is no folder. Name one that is not there yet, or an earlier build.")
    strange = sorted(path.name for path in to.iterdir() if path.name not in MADE)
    if strange:
        raise UsageError(
            f"{to}: '{strange[0]}' is in it, which no build wrote and which would be lost. Name a folder that is not "
            "there yet, or an earlier build."
        )


@contextmanager
def _made_whole(to: Path) -> Iterator[Path]:
    """Have a folder written beside its place, and put there once it is finished."""
    beside: str | None = None
    try:
        to.parent.mkdir(parents=True, exist_ok=True)
        beside = tempfile.mkdtemp(dir=to.parent, prefix=f".{to.name}.", suffix=".part")
        staging = Path(beside) / "new"
        staging.mkdir()
        yield staging
        _exchange(to, staging, Path(beside) / "old")
    except OSError as error:
        raise OutputError(
            f"{to}: cannot be written: {error.strerror or error}. What was there before is kept; make room or choose "
            "another folder."
        ) from None
    finally:
        if beside is not None:
            shutil.rmtree(beside, ignore_errors=True)


def _exchange(to: Path, new: Path, old: Path) -> None:
    """Put a finished folder in its place; what was there goes to ``old``, or back where that fails."""
    if to.is_dir():
        to.rename(old)
    try:
        new.rename(to)
    except OSError:
        if old.is_dir():
            old.rename(to)
        raise
