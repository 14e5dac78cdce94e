"""Read an untrusted submission: sizes, gzip, prediction files."""

from __future__ import annotations

import hashlib
import json
import os
import stat
import zlib
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xharness.errors import OutputError, SubmissionError
from xharness.leaderboard.fields import LARGEST_RECORD, LONGEST_ANSWER, LONGEST_LABEL, MOST_FILES
from xharness.leaderboard.store import read_file
from xharness.leaderboard.submission import (
    RECORD,
    WITHDRAWN,
    PredictionFile,
    Submission,
    read_submission,
    read_withdrawal,
)
from xharness.strict_json import show_line
from xharness.tasks.dataset_spec import DataSpec

_LISTED = 20
"""Problems of one kind that are named."""
_PIECE = 1 << 16
_UNPACKED_AT_ONCE = 1 << 20
_GZIP = 31
"""zlib's number for gzip's own header and checksum."""
_SPARE = 1_000
_LINES = {"classification": 1, "multiple_choice": 1, "retrieval": 1, "mining": 60}
"""Kind -> lines for each one of the gold data. A bad system may find a pair for every sentence of the corpus."""
_MARKS = {
    "span_qa": {b'"': 20, b"[": 20, b"{": 20, b",": 200},
    "ranking": {b'"': 250, b"[": 4, b"{": 4, b",": 300},
}
"""Kind -> what strings, lists and objects are made of -> how many of it there may be for each question."""
_KEYS = {"multiple_choice": {"label"}, "ranking": {"candidates", "ranks"}}
"""Kind -> the keys of its objects within a file; what stands beside them is not read by any score."""


@dataclass(frozen=True)
class Package:
    """A submission whose folder holds what its record says, and nothing beside it."""

    folder: Path
    submission: Submission
    withdrawn: str | None


def read_package(folder: Path, name: str | None = None) -> Package:
    """Return the submission in a folder, after a look at all that lies there; no prediction is read yet.

    Args:
        folder: holds submission.json and predictions/.
        name: what the folder has to be called; None: it may have any name.

    Raises:
        SubmissionError: something there is no plain file, too large, too much, not in the record or not as it says, or
            the record itself is wrong; all problems, one a line.
    """
    sizes, problems = survey(folder)
    if RECORD not in sizes:
        problems.append(f"{RECORD}: there is no such file in the folder, so it is no submission.")
        raise SubmissionError("\n".join(problems))
    try:
        submission = read_submission(read_file(folder / RECORD, LARGEST_RECORD), RECORD)
        withdrawn = None
        if WITHDRAWN in sizes:
            withdrawn = read_withdrawal(read_file(folder / WITHDRAWN, LARGEST_RECORD), WITHDRAWN).reason
    except SubmissionError as error:
        raise SubmissionError("\n".join([*problems, *str(error).splitlines()])) from None
    problems += [*_id_problems(submission, name), *file_problems(submission, sizes)]
    if problems:
        raise SubmissionError("\n".join(problems))
    return Package(folder, submission, withdrawn)


def survey(folder: Path) -> tuple[dict[str, int], list[str]]:
    """Return the size of each plain file below a folder by its path, and what is wrong with all else there.

    Links are never followed, and no more is listed than a submission can hold.
    """
    sizes: dict[str, int] = {}
    problems: list[str] = []
    folders, seen = [""], 0
    while folders:
        inside = folders.pop()
        try:
            with os.scandir(folder / inside) as entries:
                for entry in entries:
                    seen += 1
                    if seen > 2 * MOST_FILES:
                        problems.append(f"more than {2 * MOST_FILES:,} files and folders lie there.")
                        return sizes, problems
                    path = f"{inside}{entry.name}"
                    mode = entry.stat(follow_symlinks=False)
                    if stat.S_ISREG(mode.st_mode):
                        sizes[path] = mode.st_size
                    elif stat.S_ISDIR(mode.st_mode) and path.count("/") < 3:
                        folders.append(f"{path}/")
                    else:
                        problems.append(f"{show_line(path)}: {_kind(mode.st_mode)}, and no plain file.")
        except OSError as error:
            problems.append(f"{show_line(inside) or 'the folder'}: cannot be read: {error.strerror}.")
    return sizes, _some(problems)


def _kind(mode: int) -> str:
    kinds = {
        stat.S_IFLNK: "a link",
        stat.S_IFIFO: "a pipe",
        stat.S_IFSOCK: "a socket",
        stat.S_IFDIR: "a folder too deep within others",
    }
    return kinds.get(stat.S_IFMT(mode), "a device")


def _id_problems(submission: Submission, name: str | None) -> Iterator[str]:
    if submission.id != submission.right_id:
        yield (
            f"{RECORD}: id: found {submission.id}, but what it holds has the id {submission.right_id}. It was changed "
            "since."
        )
    if name not in (None, submission.id):
        yield f"{RECORD}: id: found {submission.id}, but the folder is called {show_line(str(name))}."


def file_problems(submission: Submission, sizes: dict[str, int]) -> Iterator[str]:
    """Yield the files that are not as the record says."""
    yield from _some(
        f"{show_line(path)}: does not belong there; {RECORD} does not name it."
        for path in sorted(set(sizes) - {RECORD, WITHDRAWN, *submission.files})
    )
    yield from _some(f"{path}: is missing." for path in submission.files if path not in sizes)
    yield from _some(
        f"{path}: has {sizes[path]:,} bytes, {RECORD} says {file.bytes:,}."
        for path, file in submission.files.items()
        if sizes.get(path, file.bytes) != file.bytes
    )


def _some(problems: Iterator[str] | list[str]) -> list[str]:
    """Return the first problems of a kind, and how many more there are."""
    listed = list(problems)
    more = [f"... and {len(listed) - _LISTED:,} more like these."] if len(listed) > _LISTED else []
    return listed[:_LISTED] + more


def unpack(folder: Path, path: str, file: PredictionFile, to: Path) -> None:
    """Write the content of a packed prediction file, of which never more is unpacked than the record says.

    Args:
        folder: of the submission.
        path: of the file in there, one of its record's.
        file: what the record says of it.
        to: where the content goes; whatever is written is removed again if the file is not right.

    Raises:
        SubmissionError: it is not the file that the record names, is no gzip or more than one, or was cut.
        OutputError: the content cannot be written.
    """
    packed, content = hashlib.sha256(), hashlib.sha256()
    try:
        source = os.fdopen(os.open(folder / path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb")
    except OSError as error:
        raise SubmissionError(f"{path}: cannot be read: {error.strerror}.") from None
    try:
        with source, to.open("wb") as target:
            if not stat.S_ISREG(os.fstat(source.fileno()).st_mode):
                raise SubmissionError(f"{path}: is no plain file.")
            for piece in _unpacked(source, path, file, packed):
                content.update(piece)
                target.write(piece)
        if packed.hexdigest() != file.sha256:
            raise SubmissionError(f"{path}: is not the file that {RECORD} names (its SHA-256 is another).")
        if content.hexdigest() != file.content_sha256:
            raise SubmissionError(f"{path}: does not hold what {RECORD} says (SHA-256 of the content is another).")
    except OSError as error:
        to.unlink(missing_ok=True)
        raise OutputError(f"{to}: cannot be written: {error.strerror}. Make room, and check again.") from None
    except BaseException:
        to.unlink(missing_ok=True)
        raise


def _unpacked(source: Any, path: str, file: PredictionFile, packed: Any) -> Iterator[bytes]:
    """Yield the content of a gzip file piece by piece, and have ``packed`` hash the file itself."""
    unpacker = zlib.decompressobj(wbits=_GZIP)
    left, read = file.content_bytes, 0
    while piece := source.read(_PIECE):
        read += len(piece)
        if read > file.bytes:
            raise SubmissionError(f"{path}: has more than the {file.bytes:,} bytes that {RECORD} says.")
        packed.update(piece)
        while piece and not unpacker.eof:
            try:
                unpacked = unpacker.decompress(piece, _UNPACKED_AT_ONCE)
            except zlib.error as error:
                raise SubmissionError(f"{path}: is no whole gzip file ({error}).") from None
            left -= len(unpacked)
            if left < 0:
                raise SubmissionError(f"{path}: unpacks to more than the {file.content_bytes:,} bytes that it may.")
            yield unpacked
            piece = unpacker.unconsumed_tail
        if unpacker.eof and (piece or unpacker.unused_data):
            raise SubmissionError(f"{path}: something stands behind the end of the gzip file.")
    if not unpacker.eof:
        raise SubmissionError(f"{path}: the gzip file was cut: its end is missing.")
    if left:
        raise SubmissionError(f"{path}: unpacks to {left:,} bytes fewer than {RECORD} says.")


def size_problem(kind: str, golds: Collection[Any], content: bytes) -> str | None:
    """Return why a file is too much to be the predictions for some gold data; None if it is not.

    A few bytes of JSON become many of memory, so this is looked at before anything is made of them.

    Args:
        kind: of the task, one of ``predictions.FORMATS``.
        golds: as ``scoring.gold`` gives them.
        content: of the file, not packed.
    """
    if kind in _MARKS:
        for mark, share in _MARKS[kind].items():
            count, most = content.count(mark), share * len(golds) + _SPARE
            if count > most:
                return f"{count:,} times {mark.decode()} stand there; predictions for {len(golds):,} need fewer"
        return None
    lines = len(golds) + sum(map(len, golds)) if kind == "tagging" else _LINES[kind] * len(golds)
    count = content.count(b"\n")
    return None if count <= lines + _SPARE else f"{count:,} lines stand there; at most {lines + _SPARE:,} are read"


class _ContentProblem(ValueError):
    """Something in JSON that its reader passes over."""


def content_problem(spec: DataSpec, content: bytes) -> str | None:
    """Return what is wrong with the texts in a prediction file of a target; None if nothing is.

    Args:
        spec: the target.
        content: of the file, not packed; that it is of the target's format was found out before.
    """
    text = content.decode("utf-8-sig", "surrogatepass")
    try:
        match spec.kind:
            case "span_qa":
                answers = _json(text)
                return _name_problem(answers) or _answer_problem(answers)
            case "ranking":
                rankings = _json(text)
                return _name_problem(rankings) or next(filter(None, map(_ranking_problem, rankings.values())), None)
            case "multiple_choice":
                choices = [_json(line) for line in text.split("\n") if line.strip()]
                return _key_problem("multiple_choice", choices) or _name_problem(str(line["label"]) for line in choices)
            case _:
                return _name_problem(part for line in text.split("\n") for part in line.strip().split("\t"))
    except _ContentProblem as problem:
        return str(problem)


def _json(text: str) -> Any:
    return json.loads(text, object_pairs_hook=_once)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    unique = dict(pairs)
    if len(unique) != len(pairs):
        # A reader keeps the last one, so that anything might stand in the others.
        seen = set[str]()
        for name, _ in pairs:
            if name in seen:
                raise _ContentProblem(f"{name[:60]!a} stands twice in an object")
            seen.add(name)
    return unique


def _answer_problem(answers: dict[str, str]) -> str | None:
    for name, answer in answers.items():
        if len(answer) > LONGEST_ANSWER:
            return f"an answer has {len(answer):,} characters (to {name[:60]!a}); {LONGEST_ANSWER:,} may be sent"
    return None


def _ranking_problem(ranking: Any) -> str | None:
    if isinstance(ranking, dict):
        return _key_problem("ranking", [ranking]) or _name_problem(ranking["candidates"])
    return _name_problem(ranking)


def _key_problem(kind: str, objects: Iterable[dict[str, Any]]) -> str | None:
    other = next((key for each in objects for key in each if key not in _KEYS[kind]), None)
    return (
        None
        if other is None
        else f"{other[:60]!a} stands in an object, which may hold {', '.join(sorted(_KEYS[kind]))}"
    )


def _name_problem(names: Iterable[str]) -> str | None:
    """Return what is wrong with labels, tags or ids."""
    for name in dict.fromkeys(names):
        if len(name) > LONGEST_LABEL:
            return f"a label or id has {len(name):,} characters ({name[:40]!a} ...); {LONGEST_LABEL} may be sent"
        if not name.isprintable():
            return f"a label or id holds what cannot be shown ({name[:40]!a})"
    return None
