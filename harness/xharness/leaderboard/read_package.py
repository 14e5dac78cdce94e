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
"""Problems of one kind that are listed."""
_CHUNK = 1 << 16
_UNPACKED_AT_ONCE = 1 << 20
_GZIP = 31
"""zlib's window size that expects gzip's header and checksum."""
_MARGIN = 1_000
_MOST_LINES = {"classification": 1, "multiple_choice": 1, "retrieval": 1, "mining": 60}
"""Kind -> most lines per gold example. For mining, a bad system may find a pair for every sentence of the corpus."""
_MOST_MARKS = {
    "span_qa": {b'"': 20, b"[": 20, b"{": 20, b",": 200},
    "ranking": {b'"': 250, b"[": 4, b"{": 4, b",": 300},
}
"""Kind -> character that delimits strings, lists or objects -> most occurrences per question."""
_ALLOWED_KEYS = {"multiple_choice": {"label"}, "ranking": {"candidates", "ranks"}}
"""Kind -> allowed keys of its JSON objects; no metric reads any other key."""


@dataclass(frozen=True)
class ReceivedPackage:
    """A submission whose folder holds exactly what its record lists."""

    folder: Path
    submission: Submission
    withdrawn: str | None


def read_package(folder: Path, name: str | None = None) -> ReceivedPackage:
    """Read the record of a submission and check the files of its folder; no prediction is read yet.

    Args:
        folder: holds submission.json and predictions/.
        name: the required name of the folder; None: any name.

    Raises:
        SubmissionError: a file is not a regular file, is too large, is not in the record or differs from it, there are
            too many files, or the record is invalid; lists all problems, one per line.
    """
    sizes, problems = list_folder(folder)
    if RECORD not in sizes:
        problems.append(f"{RECORD}: is missing, so the folder is not a submission.")
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
    return ReceivedPackage(folder, submission, withdrawn)


def list_folder(folder: Path) -> tuple[dict[str, int], list[str]]:
    """Return path -> size of the regular files below a folder, and a problem for everything else.

    Links are never followed, and listing stops when there are more files than a submission can hold.
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
                        problems.append(f"the folder has more than {2 * MOST_FILES:,} files and folders.")
                        return sizes, problems
                    path = f"{inside}{entry.name}"
                    mode = entry.stat(follow_symlinks=False)
                    if stat.S_ISREG(mode.st_mode):
                        sizes[path] = mode.st_size
                    elif stat.S_ISDIR(mode.st_mode) and path.count("/") < 3:
                        folders.append(f"{path}/")
                    else:
                        problems.append(f"{show_line(path)}: {_kind(mode.st_mode)}, not a regular file.")
        except OSError as error:
            problems.append(f"{show_line(inside) or 'the folder'}: cannot be read: {error.strerror}.")
    return sizes, _shortened(problems)


def _kind(mode: int) -> str:
    kinds = {
        stat.S_IFLNK: "a link",
        stat.S_IFIFO: "a pipe",
        stat.S_IFSOCK: "a socket",
        stat.S_IFDIR: "a folder nested too deep",
    }
    return kinds.get(stat.S_IFMT(mode), "a device")


def _id_problems(submission: Submission, name: str | None) -> Iterator[str]:
    if submission.id != submission.expected_id:
        expected = submission.expected_id
        yield f"{RECORD}: id: found {submission.id}, but its content has the id {expected}. The record was changed."
    if name not in (None, submission.id):
        yield f"{RECORD}: id: found {submission.id}, but the folder is named {show_line(str(name))}."


def file_problems(submission: Submission, sizes: dict[str, int]) -> Iterator[str]:
    """Yield the differences between the files and the record."""
    yield from _shortened(
        f"{show_line(path)}: is not listed in {RECORD}."
        for path in sorted(set(sizes) - {RECORD, WITHDRAWN, *submission.files})
    )
    yield from _shortened(f"{path}: is missing." for path in submission.files if path not in sizes)
    yield from _shortened(
        f"{path}: has {sizes[path]:,} bytes, {RECORD} says {file.bytes:,}."
        for path, file in submission.files.items()
        if sizes.get(path, file.bytes) != file.bytes
    )


def _shortened(problems: Iterator[str] | list[str]) -> list[str]:
    """Return the first problems of a kind, and the number of the others."""
    listed = list(problems)
    more = [f"... and {len(listed) - _LISTED:,} more like these."] if len(listed) > _LISTED else []
    return listed[:_LISTED] + more


def unpack(folder: Path, path: str, file: PredictionFile, to: Path) -> None:
    """Uncompress a prediction file, never to more bytes than its record says.

    Args:
        folder: the folder of the submission.
        path: path of the file in it, one of those in the record.
        file: the file's entry in the record.
        to: file to write; it is removed again if the prediction file is invalid.

    Raises:
        SubmissionError: it differs from its entry in the record, or is not exactly one complete gzip file.
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
                raise SubmissionError(f"{path}: is not a regular file.")
            for piece in _unpacked(source, path, file, packed):
                content.update(piece)
                target.write(piece)
        if packed.hexdigest() != file.sha256:
            raise SubmissionError(f"{path}: its SHA-256 differs from the one in {RECORD}.")
        if content.hexdigest() != file.content_sha256:
            raise SubmissionError(f"{path}: the SHA-256 of its content differs from the one in {RECORD}.")
    except OSError as error:
        to.unlink(missing_ok=True)
        raise OutputError(f"{to}: cannot be written: {error.strerror}. Free some disk space and check again.") from None
    except BaseException:
        to.unlink(missing_ok=True)
        raise


def _unpacked(source: Any, path: str, file: PredictionFile, packed: Any) -> Iterator[bytes]:
    """Yield the content of a gzip file in pieces, and update the hash ``packed`` with the file itself."""
    unpacker = zlib.decompressobj(wbits=_GZIP)
    left, read = file.content_bytes, 0
    while piece := source.read(_CHUNK):
        read += len(piece)
        if read > file.bytes:
            raise SubmissionError(f"{path}: has more than the {file.bytes:,} bytes that {RECORD} says.")
        packed.update(piece)
        while piece and not unpacker.eof:
            try:
                content = unpacker.decompress(piece, _UNPACKED_AT_ONCE)
            except zlib.error as error:
                raise SubmissionError(f"{path}: is not a valid gzip file ({error}).") from None
            left -= len(content)
            if left < 0:
                limit = file.content_bytes
                raise SubmissionError(f"{path}: unpacks to more than the {limit:,} bytes that {RECORD} says.")
            yield content
            piece = unpacker.unconsumed_tail
        if unpacker.eof and (piece or unpacker.unused_data):
            raise SubmissionError(f"{path}: there is data after the end of the gzip file.")
    if not unpacker.eof:
        raise SubmissionError(f"{path}: the gzip file is truncated.")
    if left:
        raise SubmissionError(f"{path}: unpacks to {left:,} bytes fewer than {RECORD} says.")


def size_problem(kind: str, golds: Collection[Any], content: bytes) -> str | None:
    """Return why a file is too large to be predictions for the gold data; None if it is not.

    This is checked before parsing, because a few bytes of JSON can take a lot of memory.

    Args:
        kind: the task kind, one of ``predictions.FORMATS``.
        golds: gold data from ``scoring.gold``.
        content: uncompressed content of the file.
    """
    if kind in _MOST_MARKS:
        for mark, share in _MOST_MARKS[kind].items():
            count, limit = content.count(mark), share * len(golds) + _MARGIN
            if count > limit:
                return f"it has {count:,} times {mark.decode()}; predictions for {len(golds):,} examples need fewer"
        return None
    lines = len(golds) + sum(map(len, golds)) if kind == "tagging" else _MOST_LINES[kind] * len(golds)
    count = content.count(b"\n")
    return None if count <= lines + _MARGIN else f"it has {count:,} lines; the limit is {lines + _MARGIN:,}"


class _ContentProblem(ValueError):
    """Something in JSON that a JSON reader would ignore."""


def content_problem(spec: DataSpec, content: bytes) -> str | None:
    """Return what is wrong with the texts in a prediction file; None if nothing is.

    Args:
        spec: the target.
        content: uncompressed content of the file, whose format was checked before.
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
    return json.loads(text, object_pairs_hook=_refuse_duplicate_keys)


def _refuse_duplicate_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) != len(pairs):
        # A JSON reader keeps the last value, so the others could hold anything.
        seen = set[str]()
        for name, _ in pairs:
            if name in seen:
                raise _ContentProblem(f"{name[:60]!a} is given twice in an object")
            seen.add(name)
    return values


def _answer_problem(answers: dict[str, str]) -> str | None:
    for name, answer in answers.items():
        if len(answer) > LONGEST_ANSWER:
            return f"an answer has {len(answer):,} characters (to {name[:60]!a}); the limit is {LONGEST_ANSWER:,}"
    return None


def _ranking_problem(ranking: Any) -> str | None:
    if isinstance(ranking, dict):
        return _key_problem("ranking", [ranking]) or _name_problem(ranking["candidates"])
    return _name_problem(ranking)


def _key_problem(kind: str, objects: Iterable[dict[str, Any]]) -> str | None:
    other = next((key for each in objects for key in each if key not in _ALLOWED_KEYS[kind]), None)
    return (
        None
        if other is None
        else f"an object has the key {other[:60]!a}; allowed are {', '.join(sorted(_ALLOWED_KEYS[kind]))}"
    )


def _name_problem(names: Iterable[str]) -> str | None:
    """Return what is wrong with labels, tags or ids."""
    for name in dict.fromkeys(names):
        if len(name) > LONGEST_LABEL:
            return f"a label or id has {len(name):,} characters ({name[:40]!a} ...); the limit is {LONGEST_LABEL}"
        if not name.isprintable():
            return f"a label or id has unprintable characters ({name[:40]!a})"
    return None
