"""Files as published: downloaded from a server on this machine, proved, and taken out of their archives."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

from xharness.data.fetch import runner as fetch_runner
from xharness.data.fetch.download import PublishedFile
from xharness.data.fetch.requirements import list_needs
from xharness.data.manifest import Row, read_manifest, read_statuses
from xharness.errors import DataError, Incomplete, OutputError, UsageError
from xharness.tasks.registry import read_task
from xharness.tasks.task_spec import TaskSpec


class Server:
    """Serves bytes by path, with the faults that a test asks for, and remembers what it was asked."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.moved: dict[str, str] = {}
        self.cut_after: int | None = None
        self.ranges = True
        self.asked: list[tuple[str, dict[str, str]]] = []
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                server.answer(self)

            def log_message(self, *_: object) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_address[1]}"

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        self.asked.append((handler.path, dict(handler.headers)))
        if handler.path in self.moved:
            handler.send_response(302)
            handler.send_header("Location", self.moved[handler.path])
            handler.send_header("Content-Length", "0")
            handler.end_headers()
            return
        content = self.files.get(handler.path.partition("?")[0])
        start = handler.headers.get("Range", "bytes=0-") if self.ranges else "bytes=0-"
        first = int(start.removeprefix("bytes=").removesuffix("-"))
        status = 404 if content is None else 416 if first and first >= len(content) else 206 if first else 200
        body = (content or b"")[first:] if status < 400 else b""
        handler.send_response(status)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body[: self.cut_after])

    @property
    def paths(self) -> list[str]:
        return [path for path, _ in self.asked]


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    thread = threading.Thread(target=server.http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    yield server
    server.http.shutdown()
    server.http.server_close()
    thread.join()


def conllu(*words: str) -> bytes:
    """Return a treebank with one sentence of two words for each word given."""
    columns = "\t_\t{}\t_\t_\t0\t_\t_\t_\n"
    return "".join(f"1\t{word}{columns.format('NOUN')}2\t.{columns.format('PUNCT')}\n" for word in words).encode()


UD = {
    "ud-v2.5/UD_Arabic-PUD/ar_pud-ud-test.conllu": conllu("a", "b", "c"),
    "ud-v2.5/UD_Arabic-PADT/ar_padt-ud-test.conllu": conllu("d"),
    "ud-v2.5/UD_Arabic-PADT/ar_padt-ud-dev.conllu": conllu("e", "f"),
    "ud-v2.5/UD_Greek-GDT/el_gdt-ud-test.conllu": conllu("g", "h"),
    "ud-v2.5/UD_Greek-GDT/el_gdt-ud-dev.conllu": conllu("i"),
    "ud-v2.5/LICENSE.txt": b"free\n",
}


def tgz(files: dict[str, bytes]) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return gzip.compress(made.getvalue(), mtime=0)


ARCHIVE = tgz(UD)
SHA = hashlib.sha256(ARCHIVE).hexdigest()
NEWER = tgz({"ud-v2.7/UD_Wolof-WTF/wo_wtf-ud-test.conllu": conllu("j")})

SPEC = """
title: POS
paper: https://example.org
licence: see each treebank
kind: tagging
fields: {tokens: tokens, tags: upos}
labels: [NOUN, PUNCT]
test_split: test
dev_split: dev
expected: {test: null, dev: null}
mean_characters: 10
metric: udpos_f1
train: null
input: {max_length: 8}
languages: {ar: null, el: null}
"""


@pytest.fixture
def spec(tmp_path: Path, server: Server) -> Callable[..., TaskSpec]:
    def make(name: str = "pos", source: dict[str, Any] | None = None, **changes: Any) -> TaskSpec:
        own = {
            "raw": "ud-v2.5/*/{lang}_*-ud-{split}.conllu",
            "format": "conllu",
            "download": {"url": f"{server.url}/files/ud-v2.5.tgz", "sha256": SHA},
            **(source or {}),
        }
        content = {"name": name, "sources": [own], **yaml.safe_load(SPEC), **changes}
        path = tmp_path / "specs" / f"{name}.yaml"
        path.parent.mkdir(exist_ok=True)
        path.write_text(yaml.safe_dump(content))
        return read_task(path)

    return make


said: list[str] = []


def fetch(specs: TaskSpec | list[TaskSpec], to: Path, *archives: str, **options: Any) -> list[Row]:
    said.clear()
    wanted = {"languages": None, "splits": None, "progress": False, **options}
    return fetch_runner.fetch(
        specs if isinstance(specs, list) else [specs], to, say=said.append, archives=archives, **wanted
    )


def lines(rows: list[Row]) -> list[tuple[str, str, str, int | None, str]]:
    return [(row["hub_id"], row["config"], row["split"], row["rows"], row["status"]) for row in rows]


def files(folder: Path) -> set[str]:
    """Return what lies in a data folder beside the downloads (and the specs of a test)."""
    found = {p.relative_to(folder) for p in folder.rglob("*") if p.is_file()}
    return {p.as_posix() for p in found if not {".downloads", "specs"} & set(p.parts)}


def test_one_archive_for_several_languages_and_splits(server, spec, tmp_path):
    server.files["/files/ud-v2.5.tgz"] = ARCHIVE
    to = tmp_path / "data"
    rows = fetch(spec(), to)
    assert lines(rows) == [
        ("raw/ud-v2.5", "ar", "test", 4, "complete"),
        ("raw/ud-v2.5", "el", "test", 2, "complete"),
        ("raw/ud-v2.5", "ar", "dev", 2, "complete"),
        ("raw/ud-v2.5", "el", "dev", 1, "complete"),
    ]
    assert {(row["source"], row["licence"]) for row in rows} == {
        (f"{server.url}/files/ud-v2.5.tgz#sha256={SHA}", "see each treebank")
    }
    assert server.paths == ["/files/ud-v2.5.tgz"]
    assert files(to) == {"MANIFEST.tsv"} | {f"raw/{name}" for name in UD if name.endswith(".conllu")}
    assert read_statuses(to)["raw/ud-v2.5", "el", "dev"].status == "complete"
    assert read_manifest(to) == rows


def test_what_is_there_is_not_fetched_again(server, spec, tmp_path):
    server.files["/files/ud-v2.5.tgz"] = ARCHIVE
    rows = fetch(spec(), tmp_path, languages=["ar"], splits=["test"])
    assert lines(rows) == [("raw/ud-v2.5", "ar", "test", 4, "complete")]
    assert len(files(tmp_path)) == 3
    fetch(spec(), tmp_path, languages=["el"])
    assert server.paths == ["/files/ud-v2.5.tgz"], "the archive is kept for other languages"
    for copy in (tmp_path / "raw" / ".downloads").rglob("*.tgz"):
        copy.unlink()
    whole = fetch(spec(), tmp_path)
    server.files.clear()
    assert fetch(spec(), tmp_path) == whole
    assert len(server.paths) == 2
    # A file that was cut or removed since does not pass for whole.
    for damage in (lambda path: path.write_bytes(conllu("a")), lambda path: path.unlink()):
        damage(tmp_path / "raw" / "ud-v2.5/UD_Arabic-PUD/ar_pud-ud-test.conllu")
        assert fetch(spec(), tmp_path) == whole
    assert len(server.paths) == 2


def test_each_language_has_the_first_source_that_has_it(server, spec, tmp_path):
    server.files = {"/files/ud-v2.5.tgz": ARCHIVE, "/files/ud-v2.7.tgz": NEWER}
    made = spec()
    old = made.sources[0].model_dump(exclude_none=True) | {"languages": ["ar", "el"]}
    new = {
        **old,
        "raw": "ud-v2.7/*/{lang}_*-ud-{split}.conllu",
        "download": {"url": f"{server.url}/files/ud-v2.7.tgz"},
        "languages": ["wo"],
    }
    languages = {"ar": {}, "el": {}, "wo": {"dev": 0}, "yo": {}}
    both = spec("both", sources=[old, new], languages=languages)
    with pytest.raises(Incomplete, match="both: no source of the spec has 'yo'"):
        fetch(both, tmp_path)
    assert ("raw/ud-v2.7", "wo", "test", 1, "complete") in lines(read_manifest(tmp_path))
    assert len(read_manifest(tmp_path)) == 5


def test_a_wrong_checksum(server, spec, tmp_path):
    server.files = {"/files/ud-v2.5.tgz": NEWER, "/files/other.tgz": ARCHIVE}
    found = hashlib.sha256(NEWER).hexdigest()
    good = spec("good", {"download": {"url": f"{server.url}/files/other.tgz", "md5": hashlib.md5(ARCHIVE).hexdigest()}})
    with pytest.raises(Incomplete) as caught:
        fetch([spec(), good], tmp_path)
    assert f"its sha256 is {found}, expected {SHA}. It was removed." in str(caught.value)
    assert not [p for p in (tmp_path / "raw" / ".downloads").rglob("*.tgz") if p.name != "other.tgz"]
    assert len(read_manifest(tmp_path)) == 4
    server.files["/files/ud-v2.5.tgz"] = ARCHIVE
    assert len(fetch(spec(), tmp_path)) == 4


@pytest.mark.parametrize("ranges", [True, False])
def test_a_download_that_broke_off_goes_on(server, spec, tmp_path, ranges):
    server.files["/files/ud-v2.5.tgz"] = ARCHIVE
    server.ranges, server.cut_after = ranges, 100
    with pytest.raises(DataError, match=rf"interrupted \(after 100 of {len(ARCHIVE)} bytes\)\. Run the same command"):
        fetch(spec(), tmp_path)
    assert not list(tmp_path.rglob("*.tgz"))
    server.cut_after = None
    assert len(fetch(spec(), tmp_path)) == 4
    assert server.asked[1][1]["Range"] == "bytes=100-"


def test_a_download_that_was_whole_but_not_yet_in_its_place(server, spec, tmp_path):
    server.files["/files/ud-v2.5.tgz"] = ARCHIVE
    server.cut_after = 100
    with pytest.raises(DataError):
        fetch(spec(), tmp_path)
    [part] = tmp_path.rglob("*.part")
    part.write_bytes(ARCHIVE)
    assert len(fetch(spec(), tmp_path)) == 4
    assert server.asked[-1][1]["Range"] == f"bytes={len(ARCHIVE)}-"


def test_without_a_checksum_a_download_begins_anew(server, spec, tmp_path):
    server.files["/files/ud-v2.5.tgz"] = ARCHIVE
    made = spec(source={"download": {"url": f"{server.url}/files/ud-v2.5.tgz"}})
    server.cut_after = 100
    with pytest.raises(DataError, match="was interrupted"):
        fetch(made, tmp_path)
    server.cut_after = None
    rows = fetch(made, tmp_path)
    assert [row["status"] for row in rows] == ["complete"] * 4
    assert rows[0]["source"].endswith(f"#sha256={SHA}"), "what was received is written down"
    assert all("Range" not in headers for _, headers in server.asked)


def test_no_tokens_are_sent(server, spec, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    server.files["/elsewhere"] = ARCHIVE
    server.moved["/files/ud-v2.5.tgz"] = f"{server.url}/elsewhere"
    assert len(fetch(spec(), tmp_path)) == 4
    assert server.paths == ["/files/ud-v2.5.tgz", "/elsewhere"]
    for _, headers in server.asked:
        assert not {name.lower() for name in headers} & {"authorization", "cookie"}
        assert "hf_secret" not in str(headers)


def test_what_cannot_be_had_is_said(server, spec, tmp_path):
    closed = Server()
    closed.http.server_close()
    unreached = spec("unreached", {"download": {"url": f"{closed.url}/files/a.tgz"}})
    server.files["/files/page.tgz"] = b"<html>Please log in</html>"
    page = spec("page", {"download": {"url": f"{server.url}/files/page.tgz"}})
    server.files["/files/cut.tgz"] = ARCHIVE[:-30]
    cut = spec("cut", {"download": {"url": f"{server.url}/files/cut.tgz"}})
    with pytest.raises(DataError) as caught:
        fetch([spec(), unreached, page, cut], tmp_path)
    message = str(caught.value)
    assert f"pos: {server.url}/files/ud-v2.5.tgz: the server answered with an error (HTTP 404)" in message
    assert "unreached: http://127.0.0.1" in message
    assert "cannot be reached (Connection refused)" in message
    assert "page: page.tgz: is not an archive: it begins with b'<html>" in message
    assert "cut: cut.tgz: the archive is corrupt or truncated: " in message
    assert not list(tmp_path.rglob("*.tgz")), "a broken file would be found again"


def test_files_that_an_archive_does_not_have_and_files_that_are_broken(server, spec, tmp_path):
    name = "ud-v2.5/UD_Greek-GDT/el_gdt-ud-test.conllu"
    broken = tgz({**UD, name: UD[name][:-5]})
    server.files["/files/ud-v2.5.tgz"] = broken
    made = spec(
        source={"download": {"url": f"{server.url}/files/ud-v2.5.tgz"}}, languages={"ar": {}, "el": {}, "ja": {}}
    )
    with pytest.raises(Incomplete) as caught:
        fetch(made, tmp_path)
    assert "el_gdt-ud-test.conllu: line 5: found 9 columns, expected 10" in str(caught.value)
    assert "pos: ud-v2.5.tgz does not have all files for 'ja' test (ud-v2.5/*/ja_*-ud-test.conllu), 'ja' dev (" in str(
        caught.value
    )
    assert [row[1:3] for row in lines(read_manifest(tmp_path))] == [("ar", "test"), ("ar", "dev"), ("el", "dev")]


def test_a_member_that_leads_elsewhere_is_refused(server, spec, tmp_path):
    server.files["/files/ud-v2.5.tgz"] = tgz({"../../ud-v2.5/UD_Arabic-X/ar_x-ud-test.conllu": conllu("a")})
    made = spec(source={"download": {"url": f"{server.url}/files/ud-v2.5.tgz"}})
    with pytest.raises(DataError, match="has a path that leads out of the folder"):
        fetch(made, tmp_path / "a" / "b")
    assert not list(tmp_path.rglob("*.conllu"))


def test_counts_of_the_spec(server, spec, tmp_path):
    server.files["/files/ud-v2.5.tgz"] = ARCHIVE
    made = spec(languages={"ar": {"test": 4, "dev": 9}, "el": {"dev": 0}})
    rows = fetch(made, tmp_path)
    assert [row[1:] for row in lines(rows)] == [
        ("ar", "test", 4, "complete"),
        ("el", "test", 2, "complete"),
        ("ar", "dev", 2, "unknown: found 2 examples for 'ar', the spec pos says 9"),
    ]
    assert said == ["raw/ud-v2.5 ar dev: found 2 examples for 'ar', the spec pos says 9."]


def test_a_local_file_in_place_of_the_download(server, spec, tmp_path):
    local = tmp_path / "elsewhere" / "ud-v2.5.tgz"
    local.parent.mkdir()
    local.write_bytes(ARCHIVE)
    to = tmp_path / "data"
    rows = fetch(spec(), to, str(local))
    assert rows[0]["source"] == f"{server.url}/files/ud-v2.5.tgz#sha256={SHA}", "it is the very file"
    assert {row["status"] for row in rows} == {"complete"}
    assert server.asked == []
    assert not (to / "raw" / ".downloads").exists()
    assert fetch(spec(), to, str(local)) == rows

    local.write_bytes(tgz({**UD, "more.txt": b""}))
    other = hashlib.sha256(local.read_bytes()).hexdigest()
    with pytest.raises(DataError, match=rf"its sha256 is {other}, expected {SHA}\. Check whether .*PATH#sha256=HEX"):
        fetch(spec(), to, str(local))
    assert local.exists(), "the user's own file is never removed"
    rows = fetch(spec(), to, f"{local}#sha256={other.upper()}")
    assert rows[0]["source"] == f"file:ud-v2.5.tgz#sha256={other}"
    assert {row["status"] for row in rows} == {f"unknown: not the archive that the spec names; sha256 {other}"}

    unknown = spec(source={"download": {"url": f"{server.url}/files/ud-v2.5.tgz"}})
    rows = fetch(unknown, tmp_path / "new", str(local))
    assert {row["status"] for row in rows} == {f"unknown: no checksum is known; sha256 {other}"}
    assert str(tmp_path) not in (tmp_path / "new" / "MANIFEST.tsv").read_text()
    with pytest.raises(DataError, match="the file does not exist"):
        fetch(unknown, to, str(tmp_path / "nowhere" / "ud-v2.5.tgz"))


def test_another_address_in_place_of_the_download(server, spec, tmp_path):
    server.files["/mirror/ud-v2.5.tgz"] = ARCHIVE
    given = f"{server.url}/mirror/ud-v2.5.tgz"
    assert {row["source"] for row in fetch(spec(), tmp_path, given)} == {f"{given}#sha256={SHA}"}
    assert len(fetch(spec(), tmp_path)) == 4
    assert server.paths == ["/mirror/ud-v2.5.tgz"], "the same file is not fetched again from its first address"
    md5 = hashlib.md5(ARCHIVE).hexdigest()
    assert len(fetch(spec(), tmp_path / "md5", f"{given}?version=1#md5={md5}", languages=["ar"])) == 2


def test_names_that_are_those_of_no_download(server, spec, tmp_path):
    with pytest.raises(UsageError, match=r"no file to download named 'ud-v2\.6\.tgz'\. Did you mean 'ud-v2\.5\.tgz'"):
        fetch(spec(), tmp_path, "/x/ud-v2.6.tgz")
    with pytest.raises(UsageError, match=r"sha256 is 'abc', expected 64 digits"):
        fetch(spec(), tmp_path, "/x/ud-v2.5.tgz#sha256=abc")
    with pytest.raises(UsageError, match="password"):
        fetch(spec(), tmp_path, "https://me:secret@example.org/ud-v2.5.tgz")
    with pytest.raises(UsageError, match=r"several downloads are called 'test\.tgz'"):
        fetch(spec(source={"download": {"url": f"{server.url}/{{lang}}/test.tgz"}}), tmp_path, "/x/test.tgz")
    hub = spec("hub", sources=[{"repo": "org/toy", "revision": "main"}])
    with pytest.raises(UsageError, match="all of the requested data comes from the Hub, so no file can be replaced"):
        fetch(hub, tmp_path, "/x/ud-v2.5.tgz")
    assert not tmp_path.joinpath("MANIFEST.tsv").exists()


def test_a_fetch_that_fails_leaves_the_files_of_an_earlier_one(spec, tmp_path):
    local, to = tmp_path / "ud-v2.5.tgz", tmp_path / "data"
    local.write_bytes(ARCHIVE)
    fetch(spec(), to, str(local))
    before = {name: (to / name).read_bytes() for name in files(to)}
    broken = tgz({name: conllu("new") for name in UD})
    for content in (broken[:-30], tgz(dict.fromkeys(UD, b"1\tnew\n"))):
        local.write_bytes(content)
        with pytest.raises(DataError):
            fetch(spec(), to, f"{local}#sha256={hashlib.sha256(content).hexdigest()}")
        assert {name: (to / name).read_bytes() for name in files(to)} == before


def test_places_that_cannot_be_read(spec, tmp_path):
    with pytest.raises(UsageError, match="is not a valid address"):
        fetch(spec(), tmp_path, "http://[::1/ud-v2.5.tgz")
    with pytest.raises(UsageError, match="has bytes that are not UTF-8"):
        fetch(spec(), tmp_path, "http://x/\udcff/ud-v2.5.tgz")
    (tmp_path / "ud-v2.5.tgz").mkdir()
    with pytest.raises(DataError, match="is a folder, expected the published file"):
        fetch(spec(), tmp_path / "data", str(tmp_path / "ud-v2.5.tgz"))


def test_names_of_files_from_addresses():
    for address, name in {
        "https://example.org/a/ud%20v2.tgz?download=1": "ud_v2.tgz",
        "https://example.org/a%2F..%2F..%2Fb": "a_.._.._b",
        "https://example.org/..": "download",
        "https://example.org": "download",
        "~/x/ud.tgz": "ud.tgz",
    }.items():
        assert PublishedFile(address).name == name


def test_a_folder_that_cannot_be_written(server, spec, tmp_path):
    server.files["/files/ud-v2.5.tgz"] = ARCHIVE
    (tmp_path / "raw").write_text("a file")
    with pytest.raises(OutputError, match="cannot be written"):
        fetch(spec(), tmp_path)


BUCC = {
    "kind": "mining",
    "fields": {"id": "id", "text": "text", "targets": "targets"},
    "labels": [],
    "metric": "bucc_f1",
    "test_split": "training",
    "dev_split": "sample",
    "input": {"layer": {"default": "last"}},
    "languages": {"de": {"dev": 1}, "fr": {}},
}


def test_queries_and_what_is_searched(server, spec, tmp_path):
    def archive(code: str) -> bytes:
        return tgz(
            {
                f"bucc2018/{code}-en/{code}-en.sample.{code}": b"x-1\ta\nx-2\tb\n",
                f"bucc2018/{code}-en/{code}-en.sample.en": b"en-1\ta\nen-2\tb\nen-3\tc\n",
                f"bucc2018/{code}-en/{code}-en.sample.gold": b"x-2\ten-3\n",
                f"bucc2018/{code}-en/{code}-en.training.en": b"en-1\ta\n",
            }
        )

    server.files = {f"/{code}.tar.gz": archive(code) for code in ("de", "fr")}
    source = {
        "raw": "bucc2018/{lang}-en/{lang}-en.{split}",
        "format": "bucc_sentences",
        "download": {"url": f"{server.url}/{{lang}}.tar.gz"},
    }
    candidates = {
        "sources": [{**source, "format": "bucc_english"}],
        "fields": {"id": "id", "text": "text"},
        "scope": "language",
        "expected": {"test": None, "dev": 3},
        "mean_characters": 10,
    }
    made = spec("bucc", sources=[source], candidates=candidates, **BUCC)
    rows = fetch(made, tmp_path, languages=["de"], splits=["dev"])
    assert lines(rows) == [
        ("raw/bucc2018", "de", "sample", 2, "complete"),
        ("raw/bucc2018", "de candidates", "sample", 3, "complete"),
    ]
    assert server.paths == ["/de.tar.gz"]
    assert "raw/bucc2018/de-en/de-en.training.en" not in files(tmp_path)
    assert fetch(made, tmp_path, languages=["de"], splits=["dev"]) == rows
    with pytest.raises(Incomplete, match=r"bucc: de\.tar\.gz does not have all files for 'de' training"):
        fetch(made, tmp_path, languages=["de"])


def test_candidates_of_all_languages_are_fetched_for_each(server, spec, tmp_path):
    paragraph = {
        "context": "Er kam. Er sah.",
        "sentence_breaks": [[0, 7], [8, 15]],
        "qas": [{"id": "a", "question": "Was?", "answers": [{"answer_start": 3, "text": "kam"}]}],
    }
    content = json.dumps({"data": [{"paragraphs": [paragraph]}]}).encode()
    server.files = {"/xquad-r/ar.json": content, "/xquad-r/el.json": gzip.compress(content)}
    source = {
        "raw": "lareqa/{lang}.json",
        "format": "xquad_r_questions",
        "download": {"url": f"{server.url}/xquad-r/{{lang}}.json"},
    }
    candidates = {
        "sources": [{**source, "format": "xquad_r_sentences"}],
        "fields": {"id": "id", "text": "text", "answers": "answers"},
        "scope": "task",
        "expected": {"test": 4, "dev": None},
        "mean_characters": 10,
    }
    others = {
        "kind": "ranking",
        "fields": {"id": "id", "text": "text"},
        "labels": [],
        "metric": "map_at_20",
        "dev_split": None,
        "input": {"layer": {"default": "last"}},
    }
    made = spec("lareqa", sources=[source], candidates=candidates, **others)
    assert lines(fetch(made, tmp_path, languages=["ar"])) == [
        ("raw/lareqa", "ar", "test", 1, "complete"),
        ("raw/lareqa", "ar candidates", "test", 2, "complete"),
        ("raw/lareqa", "el candidates", "test", 2, "complete"),
    ]
    assert files(tmp_path) == {"MANIFEST.tsv", "raw/lareqa/ar.json", "raw/lareqa/el.json.gz"}
    # One file for all languages is there once.
    one = {**source, "raw": "lareqa/all.json", "format": "mewsli_entities"}
    shared = {**candidates, "sources": [one], "expected": {"test": 9, "dev": None}}
    needs = list_needs([spec("shared", sources=[source], candidates=shared, **others)], ["el"], None, said.append)
    assert [(need.config, need.use.expected) for need in needs.raw] == [("el", None), ("candidates", 9)]


def test_rows_that_are_nested_are_not_counted_as_examples(spec):
    def source(config: str, format: str) -> dict[str, Any]:
        return {"repo": "org/mewsli", "revision": "main", "config": config, "format": format}

    made = spec(
        "mewsli",
        sources=[source("{lang}", "mewsli_mentions")],
        candidates={
            "sources": [{**source("entities", "mewsli_entities"), "splits": {"dev": "test"}}],
            "fields": {"id": "id", "text": "text"},
            "scope": "task",
            "expected": {"test": 9, "dev": 9},
            "mean_characters": 10,
        },
        kind="ranking",
        fields={"id": "id", "text": "text", "targets": "targets"},
        labels=[],
        metric="mrr_at_20",
        expected={"test": 5, "dev": 5},
        input={"layer": {"default": "last"}},
    )
    needs = list_needs([made], ["ar"], None, said.append)
    assert [(need.config, need.split, [use.expected for use in need.uses]) for need in needs.hub] == [
        ("ar", "test", [None]),
        ("entities", "test", [9]),
        ("ar", "dev", [None]),
    ]


def test_a_source_without_a_download(spec, tmp_path):
    hub = {"repo": "org/toy", "revision": "main", "languages": ["el"]}
    made = spec("by-hand", sources=[hub, {"raw": "x/{lang}.conllu", "format": "conllu"}], dev_split=None)
    needs = list_needs([made], None, None, said.append)
    assert [need.repo for need in needs.hub] == ["org/toy"]
    [problem] = needs.problems
    assert problem.startswith("by-hand: raw/x/ar.conllu cannot be fetched, as the spec has no 'download' for it.")


def test_the_command_takes_local_files(spec, tmp_path, runner):
    spec()
    local = tmp_path / "ud-v2.5.tgz"
    local.write_bytes(ARCHIVE)
    path = tmp_path / "specs" / "pos.yaml"
    done = runner("fetch", "--targets", path, "--to", tmp_path / "data", "--from", local, "--json")
    assert done.exit_code == 0, done.err
    assert [row["rows"] for row in json.loads(done.out)] == [4, 2, 2, 1]
    done = runner("fetch", "--targets", path, "--to", tmp_path / "data", "--from", tmp_path / "ud-v2.4.tgz")
    assert done.exit_code == 2
    assert "Did you mean 'ud-v2.5.tgz'" in done.err
