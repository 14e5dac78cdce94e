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
BUILD_FILES = frozenset({SCORES_FILE, TABLE_FILE, PAGE_FILE, REPLICATES})
"""Everything that a build writes."""
_FEW, _CHUNK = 60, 8
"""With fewer submissions no worker processes are started; submissions per chunk for a worker."""


@dataclass(frozen=True)
class BuildResult:
    """The result of a build.

    Attributes:
        folder: the folder it was written to.
        sha: the commit of the data set it was built from; None for a local folder.
        submissions: number of submissions; ``checked``, ``withdrawn`` and ``superseded`` count some of them.
        reported: number of rows with published scores.
        numbers: rows of scores.parquet.
        left_out: a sentence for each entry of ``submissions/`` that has no row.
        notes: sentences about submissions that are not shown as submitted.
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
        """Return the JSON that ``--json`` prints."""
        return asdict(self)

    def summary(self) -> str:
        """Return a summary in one line."""
        apart = [(self.withdrawn, "withdrawn"), (self.superseded, "superseded"), (len(self.left_out), "left out")]
        counts = [f"{self.submissions:,} submissions, {self.checked:,} of them checked"]
        counts += [f"{count:,} {word}" for count, word in apart if count]
        return f"built: {self.folder} ({'; '.join(counts)}; {self.reported:,} rows of published scores)"


@dataclass(frozen=True)
class _SubmissionStatus:
    """The fields of a submission that decide whether another one replaces it."""

    id: str
    by: str
    supersedes: str | None
    checked: bool
    withdrawn: bool


@dataclass(frozen=True)
class _Prepared:
    """A submission, prepared for the build."""

    status: _SubmissionStatus
    row: BoardRow
    part: Part
    notes: tuple[str, ...]


def build(source: Path, to: Path, *, repo: str | None = None, sha: str | None = None) -> BuildResult:
    """Build the leaderboard in a folder; the same input always gives the same files.

    Args:
        source: a copy of the leaderboard's data set. Its content is untrusted: a submission that cannot be read is
            reported and left out, and the others are built.
        to: the output folder. An earlier build there is replaced once the new one is finished.
        repo, sha: the data set and its commit, if known.

    Raises:
        UsageError: the source is not a leaderboard, or ``to`` holds other files.
        SubmissionError: its board.json is invalid.
        OutputError: the folder cannot be written.
    """
    about = store.read_board(source)
    _refuse_others(to)
    schema = rows.board_schema()
    board, long = BoardBuilder(schema, about.title, repo, sha), Table()
    left_out: list[str] = []
    notes: list[str] = []
    statuses: list[_SubmissionStatus] = []
    with _replace_folder(to) as folder:
        (folder / REPLICATES).mkdir()
        for prepared in _prepared(source, schema, folder / REPLICATES):
            if isinstance(prepared, str):
                left_out.append(prepared)
                continue
            board.add(prepared.row)
            long.add(prepared.part)
            notes += prepared.notes
            statuses.append(prepared.status)
        superseded = _superseded(statuses)
        board.supersede(superseded)
        reported = list(reference_entries.rows(schema))
        for row, cells, means in reported:
            board.add(rows.board_row(schema, row, cells, means))
        numbers = long.write(folder / TABLE_FILE, superseded)
        _write_scores(board, folder)
    return BuildResult(
        folder=str(to),
        sha=sha,
        submissions=len(statuses),
        checked=sum(status.checked for status in statuses),
        withdrawn=sum(status.withdrawn for status in statuses),
        superseded=len(superseded),
        reported=len(reported),
        numbers=numbers,
        left_out=tuple(left_out),
        notes=tuple(notes),
    )


def _prepared(source: Path, schema: BoardSchema, scripts: Path) -> Iterator[_Prepared | str]:
    """Yield the submissions sorted by name, or a sentence for one that cannot be read; many are read in parallel."""
    names = store.submission_names(source)
    prepare = partial(_prepare, source, schema, scripts)
    workers = min(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1, 8)
    if len(names) < _FEW or workers < 2:
        yield from map(prepare, names)
        return
    # Not forked: a copy of this process would hold the locks of threads that it does not have.
    with ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn")) as pool:
        yield from pool.map(prepare, names, chunksize=_CHUNK)


def _prepare(source: Path, schema: BoardSchema, scripts: Path, name: str) -> _Prepared | str:
    """Read a submission and write its replicates beside the page."""
    try:
        stored = store.read_stored(source, name)
    except SubmissionError as error:
        # The name is untrusted, and so is whatever the first problem quotes.
        first, *more = str(error).splitlines()
        return f"{SUBMISSIONS}/{ascii(name[:60])[1:-1]} is left out: {first}" + (" ..." if more else "")
    submission, verdict = stored.submission, stored.verdict
    numbers, unknown = entries.numbers(stored, schema)
    cells = entries.cells(stored, numbers, schema)
    if stored.replicates is not None and verdict is not None and verdict.replicates is not None:
        index = verdict.replicates
        script = page.replicates_script(submission.id, index.cells, index.resamples, stored.replicates)
        _write(scripts / f"{submission.id}.js", script)
    return _Prepared(
        status=_SubmissionStatus(
            id=submission.id,
            by=submission.submitted_by,
            supersedes=submission.supersedes,
            checked=stored.checked,
            withdrawn=stored.withdrawn is not None,
        ),
        row=rows.board_row(schema, entries.row(stored), cells),
        part=long_table.part(stored, numbers, cells),
        notes=(*stored.notes, *unknown, *entries.outdated(stored, numbers, schema)),
    )


def _superseded(statuses: list[_SubmissionStatus]) -> dict[str, str]:
    """Return id -> id of the submission that replaces it.

    Users replace only their own submissions, and a checked one is replaced only by a checked one.
    """
    by_id = {status.id: status for status in statuses}
    superseded: dict[str, str] = {}
    for new in statuses:
        old = by_id.get(new.supersedes or "")
        if old is None or old is new or new.withdrawn or old.by.casefold() != new.by.casefold():
            continue
        if new.checked or not old.checked:
            superseded[old.id] = new.id
    return superseded


def _write_scores(board: BoardBuilder, folder: Path) -> None:
    scores = board.to_json()
    # ASCII only, so that no character has a meaning to a program that reads the text before it is parsed as JSON.
    text = json.dumps(scores, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    _write(folder / SCORES_FILE, text + "\n")
    _write(folder / PAGE_FILE, page.render(scores))


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8", newline="\n")


def _refuse_others(to: Path) -> None:
    """Raise UsageError if the folder holds anything that no build wrote, because it would be lost."""
    if not os.path.lexists(to):
        return
    if not to.is_dir() or to.is_symlink():
        raise UsageError(f"{to}: not a folder. Name a new folder or an earlier build.")
    foreign = sorted(path.name for path in to.iterdir() if path.name not in BUILD_FILES)
    if foreign:
        raise UsageError(
            f"{to}: it contains '{foreign[0]}', which no build wrote and which would be lost. Name a new folder or an "
            "earlier build."
        )


@contextmanager
def _replace_folder(to: Path) -> Iterator[Path]:
    """Yield a temporary folder, and move it to ``to`` once it is complete."""
    temporary: str | None = None
    try:
        to.parent.mkdir(parents=True, exist_ok=True)
        temporary = tempfile.mkdtemp(dir=to.parent, prefix=f".{to.name}.", suffix=".part")
        new = Path(temporary) / "new"
        new.mkdir()
        yield new
        _swap(to, new, Path(temporary) / "old")
    except OSError as error:
        raise OutputError(
            f"{to}: cannot be written: {error.strerror or error}. The earlier content is kept. Free some disk space or "
            "choose another folder."
        ) from None
    finally:
        if temporary is not None:
            shutil.rmtree(temporary, ignore_errors=True)


def _swap(to: Path, new: Path, old: Path) -> None:
    """Move ``new`` to ``to``, and what was there to ``old``; move it back if that fails."""
    if to.is_dir():
        to.rename(old)
    try:
        new.rename(to)
    except OSError:
        if old.is_dir():
            old.rename(to)
        raise
