"""Submissions that are wrong or malicious, each made of a right one: by name, what is done to it and what is said."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import socket
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from xharness.leaderboard.fields import LARGEST_RECORD, LONGEST_ANSWER, MOST_FILES
from xharness.leaderboard.submission import digest_of, id_of

XNLI = "predictions/seed0/xnli/test-de.tsv.gz"
XQUAD = "predictions/seed0/xquad/test-de.json.gz"
Record = dict[str, Any]


def read(folder: Path) -> Record:
    return json.loads((folder / "submission.json").read_bytes())


def write(folder: Path, record: Record, *, signed: bool = True) -> None:
    """Write a record; ``signed`` with the id that its content gives it, as a careful forger would."""
    if signed:
        record["id"] = id_of(str(record.get("name")), digest_of(record))
    (folder / "submission.json").write_bytes(json.dumps(record).encode())


def described(packed: bytes, content: bytes) -> Record:
    return {
        "sha256": hashlib.sha256(packed).hexdigest(),
        "bytes": len(packed),
        "content_sha256": hashlib.sha256(content).hexdigest(),
        "content_bytes": len(content),
    }


def forged(path: str, content: bytes, packed: bytes | None = None, **told: Any) -> Callable[[Path], None]:
    """Replace a prediction file, and what the record says of it, too."""

    def change(folder: Path) -> None:
        packed_file = gzip.compress(content, 1, mtime=0) if packed is None else packed
        (folder / path).write_bytes(packed_file)
        record = read(folder)
        record["files"][path] = described(packed_file, content) | told
        write(folder, record)

    return change


def told(*path: str | int, value: Any) -> Callable[[Path], None]:
    """Have the record say something else at a place, with a right id."""

    def change(folder: Path) -> None:
        record = inner = read(folder)
        for name in path[:-1]:
            inner = inner[name]
        inner[path[-1]] = value
        write(folder, record)

    return change


def renamed(old: str, new: str) -> Callable[[Path], None]:
    """Have the record name a file otherwise."""

    def change(folder: Path) -> None:
        record = read(folder)
        record["files"][new] = record["files"].pop(old)
        write(folder, record)

    return change


def raw(content: bytes) -> Callable[[Path], None]:
    return lambda folder: (folder / "submission.json").write_bytes(content) and None


def spliced(old: bytes, new: bytes) -> Callable[[Path], None]:
    """Replace bytes in the record, which no JSON writer would write so."""

    def change(folder: Path) -> None:
        path = folder / "submission.json"
        before = path.read_bytes()
        assert old in before
        path.write_bytes(before.replace(old, new, 1))

    return change


def beside(name: str | bytes, content: bytes = b"x") -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        path = os.path.join(os.fsencode(folder), os.fsencode(name))
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            file.write(content)

    return change


def linked(name: str, target: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        path = folder / name
        if path.is_file():
            path.unlink()
        path.symlink_to(target)

    return change


def link_in_place_of_a_folder(folder: Path) -> None:
    (folder / "predictions").rename(folder.parent / "elsewhere")
    (folder / "predictions").symlink_to(folder.parent / "elsewhere")


def pipe(name: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        (folder / name).unlink(missing_ok=True)
        os.mkfifo(folder / name)

    return change


def listening(folder: Path) -> None:
    here = os.getcwd()
    os.chdir(folder)  # the path of a socket may have a hundred characters
    try:
        with socket.socket(socket.AF_UNIX) as server:
            server.bind("s")
    finally:
        os.chdir(here)


def ten_thousand_files(folder: Path) -> None:
    (folder / "more").mkdir()
    for number in range(2 * MOST_FILES):
        (folder / "more" / str(number)).touch()


def bomb(size: int = 10 << 30) -> bytes:
    """Return a gzip file of so many zeros, made of one packed piece again and again."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    start = packer.compress(b"\0" * (1 << 20)) + packer.flush(zlib.Z_FULL_FLUSH)
    piece = packer.compress(b"\0" * (1 << 20)) + packer.flush(zlib.Z_FULL_FLUSH)
    return start + piece * (size // (1 << 20) - 1) + packer.flush()


def without(*names: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        record = read(folder)
        for name in names:
            del record[name]
        write(folder, record)

    return change


def changed_line(folder: Path) -> None:
    path = folder / XNLI
    lines = gzip.decompress(path.read_bytes()).decode().splitlines()
    lines[1] = "neutral" if lines[1] != "neutral" else "entailment"
    path.write_bytes(gzip.compress("\n".join([*lines, ""]).encode(), mtime=0))


def changed_line_and_record(folder: Path) -> None:
    changed_line(folder)
    packed = (folder / XNLI).read_bytes()
    forged(XNLI, gzip.decompress(packed), packed)(folder)


HTML = "<script>alert(1)</script><img src=x onerror=alert(1)>"
NOT_SHOWN = "a\u202eb"
LINES = b"neutral\n"
UNPLAIN = "not a regular file"
NOT_NAMED = "is not listed in submission.json"

FOLDERS: dict[str, tuple[Callable[[Path], Any], str]] = {
    "no record": (lambda f: (f / "submission.json").unlink(), "so the folder is not a submission"),
    "empty record": (raw(b""), "not valid JSON"),
    "record is a list": (raw(b"[]"), "expected one object"),
    "record is a pickle": (raw(b"\x80\x04\x95\x0b\x00cos\nsystem\n(S'id'\ntR."), "not UTF-8"),
    "record is HTML": (raw(HTML.encode()), "not valid JSON"),
    "record with a byte order mark": (lambda f: raw(b"\xef\xbb\xbf" + (f / "submission.json").read_bytes())(f), "JSON"),
    "record in UTF-16": (raw("{}".encode("utf-16")), "not UTF-8"),
    "record nested a million deep": (raw(b'{"a":' + b"[" * 1_000_000), "nested too deeply"),
    "record nested twenty deep": (raw(b'{"a":' + b"[" * 20 + b"]" * 20 + b"}"), "nested too deeply"),
    "record too large": (raw(b" " * (LARGEST_RECORD + 1)), "more than"),
    "record of a million lists": (raw(b'{"a":[' + b"[]," * 1_000_000 + b"[]]}"), "no such field"),
    "record of many unknown keys": (
        raw(json.dumps({f"key{i}": i for i in range(100_000)}).encode()),
        "fields are wrong",
    ),
    "record with a key of a megabyte": (raw(json.dumps({"k" * 1_000_000: 1}).encode()), "a key is longer"),
    "a key twice": (spliced(b'"schema_version"', b'"schema_version":1,"schema_version"'), "is given twice"),
    "NaN": (spliced(b'"settings": {', b'"settings": {"x": NaN,'), "NaN"),
    "infinity": (spliced(b'"settings": {', b'"settings": {"x": -Infinity,'), "Infinity"),
    "a number beyond all": (spliced(b'"settings": {', b'"settings": {"x": 1e999,'), "too large"),
    "an integer of 5,000 digits": (
        spliced(b'"settings": {', b'"settings": {"x": ' + b"9" * 5_000 + b","),
        "digits",
    ),
    "a lone surrogate": (spliced(b'"name": "', b'"name": "\\ud800'), "surrogate"),
    "a lone surrogate as a key": (spliced(b'"settings": {', b'"settings": {"\\udfff": 1,'), "surrogate"),
    "NUL in a name": (spliced(b'"name": "', b'"name": "\\u0000'), "name"),
    "an unknown field": (told("admin", value=True), "no such field"),
    "a field is missing": (without("declarations", "track"), "field required"),
    "another version": (told("schema_version", value=2), "schema_version"),
    "a text for a number": (told("model", "parameters", value="560M"), "parameters"),
    "a number for a text": (told("name", value=5), "name"),
    "true for a number": (told("seeds", value=[True]), "seeds"),
    "a negative seed": (told("seeds", value=[-1]), "seeds"),
    "a seed twice": (told("seeds", value=[0, 0]), "seeds"),
    "no seed": (told("seeds", value=[]), "seeds"),
    "a hundred seeds": (told("seeds", value=list(range(100))), "seeds"),
    "a name of a megabyte": (told("name", value="n" * 1_000_000), "name"),
    "a name of 81 letters": (told("name", value="n" * 81), "name"),
    "bidi characters in the name": (told("name", value=NOT_SHOWN), "name"),
    "a line break in the name": (told("name", value="a\nb"), "name"),
    "a terminal's escapes in the name": (told("name", value="\x1b]0;pwned\x07"), "name"),
    "a pile of marks in the name": (told("name", value="a" + "\u0335" * 40), "name"),
    "letters taken apart in the name": (told("name", value="e\u0301"), "name"),
    "bidi characters in a note": (told("declarations", "notes", value=NOT_SHOWN), "notes"),
    "a note of 501 letters": (told("declarations", "notes", value="n" * 501), "notes"),
    "bidi characters in the base": (told("model", "base", value=NOT_SHOWN), "base"),
    "bidi characters in settings": (told("settings", "recipe", value=NOT_SHOWN), "settings"),
    "bidi characters in a key of settings": (told("settings", NOT_SHOWN, value=1), "settings"),
    "too many settings": (told("settings", value={str(i): i for i in range(1_000)}), "settings"),
    "bidi characters in versions": (told("versions", "xharness", value=NOT_SHOWN), "versions"),
    "bidi characters in selected_by": (told("track", "selected_by", value=NOT_SHOWN), "selected_by"),
    "bidi characters in a source": (told("data", "xnli", "de", "source", value=NOT_SHOWN), "source"),
    "a script for an address": (told("model", "url", value="javascript:alert(1)"), "url"),
    "an address that is not safe": (told("model", "paper", value="http://host/paper"), "paper"),
    "an address with HTML": (told("model", "url", value=f"https://host/{HTML}"), "url"),
    "HTML for a user": (told("submitted_by", value=HTML), "submitted_by"),
    "HTML for a repository": (told("model", "repo", value=HTML), "repo"),
    "a path for a repository": (told("model", "repo", value="../../etc"), "repo"),
    "Cyrillic letters in a repository": (told("model", "repo", value="\u043erg/model"), "repo"),
    "no commit": (told("model", "revision", value="main"), "revision"),
    "a forged content hash": (told("model", "content", value="z" * 64), "content"),
    "a path for what it supersedes": (told("supersedes", value="../../x"), "supersedes"),
    "supersedes what is not there": (told("supersedes", value="no-such-0123456789ab"), "no submission"),
    "an id of another content": (
        lambda f: write(f, read(f) | {"id": "xlm-r-0123456789ab"}, signed=False),
        "The record was changed",
    ),
    "a path for an id": (lambda f: write(f, read(f) | {"id": "../../etc/passwd"}, signed=False), "id"),
    "an id of a megabyte": (lambda f: write(f, read(f) | {"id": "a" * 1_000_000}, signed=False), "id"),
    "no file at all": (told("files", value={}), "files"),
    "a path out of the folder": (renamed(XNLI, "predictions/seed0/xnli/../../../../test-de.tsv.gz"), "files"),
    "an absolute path": (renamed(XNLI, "/etc/passwd"), "files"),
    "a path with a backslash": (renamed(XNLI, "predictions\\seed0\\xnli\\test-de.tsv.gz"), "files"),
    "a path with NUL": (renamed(XNLI, XNLI + "\0"), "files"),
    "a path with a line break": (renamed(XNLI, XNLI + "\n"), "files"),
    "a path in capitals": (renamed(XNLI, XNLI.replace("xnli", "XNLI")), "files"),
    "a path with digits of another script": (renamed(XNLI, XNLI.replace("seed0", "seed\u0660")), "files"),
    "a path of a device": (renamed(XNLI, "/dev/zero"), "files"),
    "a language twice": (
        lambda f: told("files", XNLI.replace("seed0", "seed00"), value=read(f)["files"][XNLI])(f),
        "files",
    ),
    "a language in two formats": (
        lambda f: told("files", XNLI.replace(".tsv", ".json"), value=read(f)["files"][XNLI])(f),
        "same seed, target and language",
    ),
    "a score and no file": (told("scores", "0", "xnli", "fr", value={"accuracy": 99.0}), "no file"),
    "a score of a seed that is none": (told("scores", "1", value={"xnli": {"de": {"accuracy": 99.0}}}), "no file"),
    "gold data of no score": (told("data", "panx", value={"de": {}}), "field required"),
    "a score above 100": (told("scores", "0", "xnli", "de", "accuracy", value=101.0), "accuracy"),
    "a negative score": (told("scores", "0", "xnli", "de", "accuracy", value=-1.0), "accuracy"),
    "a forged score": (told("scores", "0", "xnli", "de", "accuracy", value=99.9), f"{XNLI}: accuracy: 99.9 is claimed"),
    "a score better by a last digit": (
        lambda f: told(
            "scores", "0", "xnli", "de", "accuracy", value=read(f)["scores"]["0"]["xnli"]["de"]["accuracy"] + 1e-13
        )(f),
        f"{XNLI}: accuracy",
    ),
    "a score that is none": (told("scores", "0", "xnli", "de", "bleu", value=9.0), "bleu"),
    "a score with HTML for a name": (
        told("scores", "0", "xnli", "de", HTML, value=9.0),
        "is not a score of this target",
    ),
    "a score that is left out": (lambda f: told("scores", "0", "xquad", "de", value={"f1": 9.0})(f), "not claimed"),
    "a forged data hash": (told("data", "xnli", "de", "data_hash", value="0" * 64), "other gold data"),
    "a forged number of examples": (told("data", "xnli", "de", "n", value=5_010), "examples"),
    "a forged spec hash": (told("data", "xnli", "de", "spec_hash", value="0" * 12), "spec_hash"),
    "sample data": (told("data", "xnli", "de", "status", value="sample"), "sample data"),
    "cut by a limit": (told("settings", "limit", value=10), "settings.limit"),
    "scored on dev": (told("settings", "split", value="dev"), "settings.split"),
    "chosen on test": (told("track", "selected_by", value="test"), "the test data that is scored"),
    "chosen on test, in other words": (
        told("track", "selected_by", value="dev,Test-set"),
        "the test data that is scored",
    ),
    "a track that is none": (told("track", "training", value="magic"), "training"),
    "translations in zero-shot": (told("declarations", "translated_data", value=True), "translate-train"),
    "translate-train without translations": (told("track", "training", value="translate-train"), "translated_data"),
    "an unknown target": (lambda f: f and _moved(f, "xnli", "no-such-task"), "no target of this name"),
    "an unknown language": (lambda f: _moved(f, "test-de.tsv", "test-xx.tsv"), "no benchmark has this language"),
    "a tampered line": (changed_line, XNLI),
    "a tampered line with its checksum": (changed_line_and_record, f"{XNLI}: accuracy"),
    "a forged checksum": (told("files", XNLI, "sha256", value="0" * 64), f"{XNLI}: its SHA-256 differs"),
    "a forged checksum of the content": (
        told("files", XNLI, "content_sha256", value="0" * 64),
        "SHA-256 of its content differs",
    ),
    "a forged size": (told("files", XNLI, "bytes", value=5), "has"),
    "a forged size of the content": (told("files", XNLI, "content_bytes", value=5), "more than the 5 bytes"),
    "a larger size of the content": (told("files", XNLI, "content_bytes", value=5_000), "fewer than"),
    "a file of no bytes": (lambda f: (f / XNLI).write_bytes(b""), "0 bytes"),
    "a file is missing": (lambda f: (f / XNLI).unlink(), "is missing"),
    "a file more": (beside("predictions/seed0/xnli/test-fr.tsv.gz"), NOT_NAMED),
    "a hidden file": (beside(".hidden"), NOT_NAMED),
    "a pickle beside": (beside("model.pkl", b"\x80\x04cos\nsystem\n."), NOT_NAMED),
    "an executable beside": (beside("run.sh", b"#!/bin/sh\nrm -rf /\n"), NOT_NAMED),
    "a .gitattributes beside": (beside(".gitattributes"), NOT_NAMED),
    "a checks folder inside": (beside("checks/verdict.json"), NOT_NAMED),
    "a name in capitals": (beside(XNLI.replace("de", "DE")), NOT_NAMED),
    "a name in another normal form": (beside("predictions/e\u0301"), NOT_NAMED),
    "a name that is no UTF-8": (beside(b"predictions/\xff\xfe"), NOT_NAMED),
    "a name with a terminal's escapes": (beside("predictions/\x1b[2J"), NOT_NAMED),
    "folders too deep": (beside("a/b/c/d/e/f/g/h"), "too deep"),
    "ten thousand files": (ten_thousand_files, "more than"),
    "a link to a file": (linked(XNLI, "/etc/passwd"), UNPLAIN),
    "a link to a device": (linked(XNLI, "/dev/zero"), UNPLAIN),
    "a link to itself": (linked("loop", "loop"), UNPLAIN),
    "a link to the folder above": (linked("up", ".."), UNPLAIN),
    "a link in place of the record": (linked("submission.json", "/etc/passwd"), UNPLAIN),
    "a link in place of a folder": (link_in_place_of_a_folder, UNPLAIN),
    "a pipe": (pipe("pipe"), UNPLAIN),
    "a pipe in place of the record": (pipe("submission.json"), UNPLAIN),
    "a pipe in place of a file": (pipe(XNLI), UNPLAIN),
    "a socket": (listening, UNPLAIN),
    "a withdrawal that is none": (beside("withdrawn.json", b"{}"), "reason"),
    "no gzip": (forged(XNLI, LINES, LINES), "not a valid gzip"),
    "a zip file": (forged(XNLI, LINES, b"PK\x03\x04" + bytes(100)), "not a valid gzip"),
    "a truncated gzip": (forged(XNLI, LINES, gzip.compress(LINES)[:-5]), "truncated"),
    "a gzip with a wrong checksum": (forged(XNLI, LINES, gzip.compress(LINES)[:-8] + bytes(8)), "not a valid gzip"),
    "a gzip with rubbish behind": (forged(XNLI, LINES, gzip.compress(LINES) + b"rubbish"), "data after the end"),
    "a gzip with two members": (forged(XNLI, LINES * 2, gzip.compress(LINES) * 2), "data after the end"),
    "too few lines": (forged(XNLI, LINES), "lines"),
    "an empty content": (forged(XNLI, b""), "lines"),
    "binary in a table": (forged(XNLI, bytes(range(128, 256))), "UTF-8"),
    "a million lines": (forged(XNLI, LINES * 1_000_000), "lines; the limit is"),
    "a label of a megabyte": (forged(XNLI, b"n" * 1_000_000), "lines"),
    "answers that are a list": (forged(XQUAD, b"[]"), "expected one object"),
    "answers nested deeply": (forged(XQUAD, b"[" * 900), "not valid JSON"),
    "answers of a million lists": (forged(XQUAD, b'{"a":[' + b"[]," * 1_000_000 + b"[]]}"), "need fewer"),
    "an answer twice": (
        lambda f: forged(
            XQUAD, b'{"%s":"hidden",' % next(iter(_answers(f))).encode() + json.dumps(_answers(f)).encode()[1:]
        )(f),
        "is given twice",
    ),
    "a context for an answer": (
        lambda f: forged(XQUAD, json.dumps(dict.fromkeys(_answers(f), "c" * (LONGEST_ANSWER + 1))).encode())(f),
        "characters",
    ),
    "answers to unknown questions": (
        lambda f: forged(XQUAD, json.dumps(_answers(f) | {"no such": "text"}).encode())(f),
        "not in the gold data",
    ),
}
"""Name -> what is done to the folder of a right submission, and words of the reason why it is refused."""


def _answers(folder: Path) -> dict[str, str]:
    return json.loads(gzip.decompress((folder / XQUAD).read_bytes()))


def _moved(folder: Path, old: str, new: str) -> None:
    """Have a file and all that is said of it be of another target or language."""
    path = XNLI.replace(old, new)
    (folder / path).parent.mkdir(exist_ok=True)
    (folder / XNLI).rename(folder / path)
    if not any((folder / XNLI).parent.iterdir()):
        (folder / XNLI).parent.rmdir()
    record = read(folder)
    record["files"][path] = record["files"].pop(XNLI)
    task, code = path.split("/")[2], path.split("-")[-1].partition(".")[0]
    for cells in (record["scores"]["0"], record["data"]):
        cells[task] = {code: cells.pop("xnli")["de"]}
    write(folder, record)
