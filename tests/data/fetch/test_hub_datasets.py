"""Fetching data into a folder, and pinning specs, against a Hub on this machine."""

import gzip
import json
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest
import yaml

from helpers.fake_hub import ClientError, LoopbackHub
from xharness.data.manifest import Row, read_manifest, write_manifest
from xharness.errors import UsageError
from xharness.tasks.selection import load_specs

SPEC = """
name: toy
title: Toy
paper: https://example.org
licence: CC-BY-4.0
kind: classification
sources:
  - repo: org/toy   # the original
    revision: main  # a branch
    config: "{lang}"
fields: {text_a: premise, text_b: hypothesis, label: label}
labels: ["yes", "no"]
test_split: test
dev_split: validation
expected: {test: 3, dev: null}
metric: accuracy
mean_characters: 10
train: null
input: {max_length: 8}
languages:
  en: {zero_shot: false}
  sw:
"""

README = """---
license: cc-by-4.0
configs:
- config_name: en
  default: true
  data_files:
  - {split: train, path: en/train-*}
  - {split: validation, path: en/validation-*}
  - {split: test, path: en/test-*}
- config_name: sw
  data_files:
  - {split: validation, path: sw/validation-*}
  - {split: test, path: sw/test-*}
dataset_info:
- config_name: en
  features:
  - {name: premise, dtype: string}
  - {name: hypothesis, dtype: string}
  - name: label
    dtype:
      class_label:
        names: {'0': 'yes', '1': 'no'}
  splits:
  - {name: train, num_bytes: 1, num_examples: 7}
  - {name: test, num_bytes: 1, num_examples: 3}
  download_size: 5
---
# The original card
"""


def parquet(path: Path, rows: int, **columns) -> Path:
    """Write a table of so many rows; other columns than the usual ones on request."""
    columns = columns or {"premise": ["a"] * rows, "hypothesis": ["b"] * rows, "label": [1] * rows}
    path.parent.mkdir(parents=True, exist_ok=True)
    pyarrow.parquet.write_table(pyarrow.table(columns), path)
    return path


def commit_tables(repository, made: Path, tables: dict[str, int], revision: str = "main", **others) -> str:
    files = {name: parquet(made / name, rows) for name, rows in tables.items()}
    return repository.commit({**files, **others}, revision)


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    made = tmp_path_factory.mktemp("made")
    with LoopbackHub(tmp_path_factory.mktemp("hub")) as hub:
        toy = hub.repository("datasets", "org/toy")
        tables = {
            f"{code}/{split}-00000-of-00001.parquet": n
            for code in ("en", "sw")
            for split, n in (("test", 3), ("validation", 2))
        }
        tables |= {"en/train-00000-of-00001.parquet": 7}
        commit_tables(toy, made / "toy", tables, **{"README.md": README})
        # Once a loading script: readable only on the bot's branch.
        script = hub.repository("datasets", "org/script")
        script.commit({"script.py": "raise SystemExit", "README.md": "---\nlicense: mit\n---\n"})
        bot = {f"{code}/{split}/0000.parquet": 3 for code in ("en", "sw") for split in ("test", "validation")}
        commit_tables(script, made / "script", bot, "refs/convert/parquet")
        # One table for all languages, and files that are not parquet.
        mixed = hub.repository("datasets", "org/mixed")
        lines = gzip.compress(b"".join(json.dumps({"premise": "a"}).encode() + b"\n" for _ in range(4)))
        ids = ["english-1", "english-2", "swahili-1", "swahili-2", "swahili-3"]
        table = parquet(made / "mixed.parquet", 5, id=ids)
        mixed.commit({"data/validation-00000-of-00001.parquet": table, "lines/test.jsonl.gz": lines})
        yield hub


@pytest.fixture(scope="module")
def client(server, tmp_path_factory):
    with server.client(tmp_path_factory.mktemp("home")) as client:
        client.run(
            """
import sys
from pathlib import Path
from xharness.data.fetch.runner import fetch
from xharness.tasks.pin import pin
from xharness.tasks.registry import read_task
said = []
def run(paths, to, languages=None, splits=None):
    said.clear()
    specs = [read_task(Path(p)) for p in paths]
    return fetch(specs, Path(to), languages, splits, False, said.append)
"""
        )
        yield client


@pytest.fixture(autouse=True)
def _fresh(server):
    server.requests.clear()
    server.faults.clear()


@pytest.fixture
def write(tmp_path):
    def write(name: str = "toy", **changes) -> str:
        content = {**yaml.safe_load(SPEC), "name": name, **changes}
        path = tmp_path / "specs" / f"{name}.yaml"
        path.parent.mkdir(exist_ok=True)
        path.write_text(yaml.safe_dump(content, sort_keys=False))
        return str(path)

    return write


def fetch(client, paths, to, **options):
    return client.run("result = run(paths, to, **options)", paths=paths, to=str(to), options=options)


def test_a_folder_that_datasets_reads_without_a_network(server, client, write, tmp_path):
    to = tmp_path / "data"
    rows = fetch(client, [write()], to, languages=["en"], splits=["test"])
    sha = server.repository("datasets", "org/toy").resolve("main")
    source, licence = f"hub:org/toy@{sha}", "CC-BY-4.0"
    assert [tuple(row.values()) for row in rows] == [("org/toy", "en", "test", 3, "complete", source, licence)]
    assert [p for p in server.sent() if p.endswith(".parquet")] == [
        f"/datasets/org/toy/resolve/{sha}/en/test-00000-of-00001.parquet"
    ]
    head = yaml.safe_load((to / "org/toy/README.md").read_text().split("---")[1])
    paths = ["en/test-00000-of-00001.parquet"]
    assert head["configs"] == [{"config_name": "en", "data_files": [{"split": "test", "path": paths}]}]
    assert head["license"] == "cc-by-4.0"
    assert "# The original card" in (to / "org/toy/README.md").read_text()

    more = fetch(client, [write()], to)
    assert len(more) == 4
    lines = (to / "MANIFEST.tsv").read_text().splitlines()
    assert lines[0] == "hub_id\tconfig\tsplit\trows\tstatus\tsource\tlicence"
    assert f"org/toy\tsw\ttest\t3\tcomplete\t{source}\t{licence}" in lines
    unsure = "unknown: the right number of rows is not known for sure"
    assert f"org/toy\ten\tvalidation\t2\t{unsure}\t{source}\t{licence}" in lines
    assert len(lines) == 5

    server.requests.clear()
    assert fetch(client, [write()], to) == more
    assert [p for p in server.sent() if p.endswith(".parquet")] == []

    code = """
import datasets
sizes = {}
for config in ("en", "sw"):
    found = datasets.load_dataset(str(Path(to) / "org/toy"), config)
    sizes |= {f"{config} {split}": table.num_rows for split, table in found.items()}
result = sizes, datasets.load_dataset(str(Path(to) / "org/toy"), "en", split="test").features["label"].names
"""
    server.requests.clear()
    sizes, names = client.run(code, to=str(to))
    assert sizes == {"en test": 3, "en validation": 2, "sw test": 3, "sw validation": 2}
    assert names == ["yes", "no"], "label names come from the README and must stay"
    assert server.requests == []
    online = f"result = datasets.load_dataset('org/toy', 'sw', split='test', revision={sha!r}).num_rows"
    assert client.run(online) == 3, "the loopback Hub serves the datasets client"


def test_a_cut_fetch_goes_on(server, client, write, tmp_path):
    to = tmp_path / "data"
    server.fail("GET .*/resolve/.*en/validation", cut_after=50)
    with pytest.raises(ClientError, match="Run the same command again") as caught:
        fetch(client, [write()], to)
    assert "DataError" in caught.value.kinds
    server.requests.clear()
    assert len(fetch(client, [write()], to)) == 4
    assert any("en/validation" in path for path in server.sent())
    assert not any("en/test" in path for path in server.sent())
    # A file that was cut or changed after it was fetched does not pass for whole.
    broken = to / "org/toy/en/test-00000-of-00001.parquet"
    content = broken.read_bytes()
    for wrong in (content[:-9], content[:-9] + bytes(9)):
        broken.write_bytes(wrong)
        fetch(client, [write()], to)
        assert broken.read_bytes() == content


def test_a_newer_commit_replaces_only_what_changed(server, client, write, tmp_path):
    moving = server.repository("datasets", "org/moving")
    tables = {"data/test-0.parquet": 3, "data/validation-0.parquet": 2}
    first = commit_tables(moving, tmp_path / "made", tables)
    path = write("moved", sources=[{"repo": "org/moving", "revision": "main"}], languages={"en": None})
    to = tmp_path / "data"
    fetch(client, [path], to)
    second = commit_tables(moving, tmp_path / "made", {"data/validation-0.parquet": 4})
    server.requests.clear()
    rows = fetch(client, [path], to)
    assert first != second
    assert [(row["split"], row["rows"], row["source"][-40:]) for row in rows] == [
        ("test", 3, second),
        ("validation", 4, second),
    ]
    assert [p.rpartition("/")[2] for p in server.sent() if p.endswith(".parquet")] == ["validation-0.parquet"]


def test_the_bots_branch_is_used_where_there_was_a_script(server, client, write, tmp_path):
    path = write("old", sources=[{"repo": "org/script", "revision": "main", "config": "{lang}"}])
    rows = fetch(client, [path], tmp_path, splits=["test"])
    sha = server.repository("datasets", "org/script").resolve("refs/convert/parquet")
    assert [(row["config"], row["status"], row["source"]) for row in rows] == [
        ("en", "complete", f"hub:org/script@{sha}"),
        ("sw", "complete", f"hub:org/script@{sha}"),
    ]
    code = "import datasets; result = datasets.load_dataset(to + '/org/script', 'sw')['test'].num_rows"
    assert client.run(code, to=str(tmp_path)) == 3
    # The branch may also be what the spec names.
    source = {"repo": "org/script", "revision": "refs/convert/parquet", "config": "{lang}"}
    again = fetch(client, [write("direct", sources=[source])], tmp_path / "direct", splits=["test"])
    assert [row["rows"] for row in again] == [3, 3]


@pytest.mark.parametrize(
    ("expected", "total", "status"),
    [
        ({"en": 2, "sw": 3}, None, "complete"),
        ({"en": 2}, None, "unknown: the right number of rows is not known for sure"),
        ({"en": 2}, 5, "complete"),
        ({}, 6, "unknown: the right number of rows is not known for sure"),
        ({"sw": 4}, 5, "unknown: found 3 rows for 'sw', the spec mixed says 4"),
    ],
)
def test_a_table_that_languages_share(client, write, tmp_path, expected, total, status):
    path = write(
        "mixed",
        sources=[
            {
                "repo": "org/mixed",
                "revision": "main",
                "splits": {"test": "validation"},
                "keep": {"column": "id", "prefix": "{alias}-"},
            }
        ],
        dev_split=None,
        expected={"test": None, "dev": None},
        total={} if total is None else {"test": total},
        languages={c: {"alias": a, "test": expected.get(c)} for c, a in (("en", "english"), ("sw", "swahili"))},
    )
    rows = fetch(client, [path], tmp_path, languages=["sw"])
    assert [(row["rows"], row["status"]) for row in rows] == [(5, status)]
    said = client.run("result = said")
    assert bool(said) == ("found" in status)


def test_files_in_other_formats(client, write, tmp_path):
    path = write(
        "lines", sources=[{"repo": "org/mixed", "revision": "main"}], dev_split=None, expected={"test": 4, "dev": None}
    )
    assert [(row["rows"], row["status"]) for row in fetch(client, [path], tmp_path)] == [(4, "complete")]


def test_what_cannot_be_had_does_not_stop_the_rest(client, write, tmp_path):
    missing = write("missing", sources=[{"repo": "org/nowhere", "revision": "main"}])
    typo = write("typo", sources=[{"repo": "org/toy", "revision": "main", "config": "{lang}x"}])
    nosplit = write("nosplit", test_split="tests", dev_split=None)
    closed = write("closed", sources=[], unavailable="Only the authors have it.")
    with pytest.raises(ClientError) as caught:
        fetch(client, [missing, typo, nosplit, closed, write()], tmp_path)
    error = caught.value
    assert "Incomplete" in error.kinds
    assert "missing: org/nowhere@main: the Hub has no data set of this name" in error.message
    assert "has no config 'enx'. Did you mean 'en'?" in error.message
    assert "has no split 'tests' in 'en'. It has: train, validation, test." in error.message
    assert client.run("result = said") == ["closed is left out: Only the authors have it."]
    assert len((tmp_path / "MANIFEST.tsv").read_text().splitlines()) == 5
    with pytest.raises(ClientError, match="no data set of this name") as caught:
        fetch(client, [missing], tmp_path)
    assert "DataError" in caught.value.kinds
    with pytest.raises(ClientError, match="Nothing to fetch"):
        fetch(client, [write()], tmp_path, languages=["fr"])


def test_a_manifest_of_another_kind_and_a_folder_that_cannot_be_written(client, write, tmp_path):
    (tmp_path / "MANIFEST.tsv").write_text("name\tlicence\n")
    with pytest.raises(ClientError, match="expected the columns hub_id, config") as caught:
        fetch(client, [write()], tmp_path)
    assert "DataError" in caught.value.kinds
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(ClientError) as caught:
        fetch(client, [write()], tmp_path / "file")
    assert "OutputError" in caught.value.kinds


def test_specs_by_name():
    said: list[str] = []
    found = [spec.name for spec in load_specs(["xtreme", "xnli", "mnli"], said.append)]
    assert len(found) == len(set(found))
    assert found[0] == "xnli"
    assert found[-1] == "mnli"
    assert all("has no spec" in sentence for sentence in said)
    with pytest.raises(UsageError, match="Did you mean 'xnli'"):
        load_specs(["xnil"])


def test_the_manifest_is_read_as_it_was_written(tmp_path):
    row = dict.fromkeys(Row.__annotations__, "a") | {"rows": None, "licence": "two\nlines"}
    assert read_manifest(tmp_path) == []
    write_manifest(tmp_path, [row, {**row, "config": "b", "rows": 5}])
    write_manifest(tmp_path, [{**row, "rows": 7}])
    found = read_manifest(tmp_path)
    assert [(r["config"], r["rows"], r["licence"]) for r in found] == [("a", 7, "two lines"), ("b", 5, "two lines")]


def test_pin_changes_only_the_revision(server, client, tmp_path):
    toy = server.repository("datasets", "org/toy").resolve("main")
    other = "b" * 40
    text = SPEC.replace(
        "fields:",
        f"  - {{repo: org/script, revision: 'refs/convert/parquet', config: x}}  # flow\r\n"
        f"  - {{repo: org/pinned, revision: {other}}}\n"
        "  - {raw: 'toy/{lang}.json', format: squad_json}\nfields:",
    )
    path = tmp_path / "toy.yaml"
    path.write_text(text, newline="")
    code = "result = [(c.repo, c.revision, c.sha) for c in pin([Path(path)])]"
    script = server.repository("datasets", "org/script").resolve("refs/convert/parquet")
    expected = [["org/script", "refs/convert/parquet", script], ["org/toy", "main", toy]]
    assert client.run(code, path=str(path)) == expected
    with path.open(newline="") as file:
        after = file.read()
    assert after == text.replace("revision: main  #", f"revision: {toy}  #").replace("'refs/convert/parquet'", script)
    assert client.run(code, path=str(path)) == []
    assert client.run("result = read_task(Path(path)).sources[0].revision", path=str(path)) == toy


def test_pin_changes_nothing_if_one_revision_is_unknown(server, client, tmp_path):
    good, bad = tmp_path / "toy.yaml", tmp_path / "bad.yaml"
    good.write_text(SPEC)
    bad.write_text(SPEC.replace("org/toy", "org/nowhere"))
    with pytest.raises(ClientError, match="org/nowhere"):
        client.run("pin([Path(good), Path(bad)])", good=str(good), bad=str(bad))
    # An answer from the cache would not do here: it may be old.
    server.fail("GET /api/datasets/org/toy", status=503)
    with pytest.raises(ClientError, match="HTTP 503") as caught:
        client.run("pin([Path(good)])", good=str(good))
    assert "DataError" in caught.value.kinds
    assert good.read_text() == SPEC
