"""Configs and splits of a data set repository: what its README says, and files without one."""

from __future__ import annotations

from pathlib import Path

import pytest

from helpers.toy_task import CANONICAL, PAIRS, put
from xharness.data import hub_layout
from xharness.data import loading as data_loading
from xharness.errors import DataError


def head_of(folder: Path, pattern: str, extra: str = "") -> None:
    (folder / "org/first/README.md").write_text(
        f"---\nconfigs:\n- config_name: en\n  data_files:\n  - split: test\n    path: '{pattern}'\n{extra}---\n"
    )


@pytest.mark.parametrize("pattern", ["en/**", "**/test-*", "./en/*", "**"])
def test_new_files_are_seen_below_any_pattern(pattern, toy, folder):
    spec = toy("classification")
    for rows in (PAIRS, PAIRS[:2]):
        put(folder, rows)
        head_of(folder, pattern)
        (folder / "org/first/en/notes.txt").write_text("no data")
        assert len(data_loading.load(spec, "en", "test", folder).examples) == len(rows)


@pytest.mark.parametrize("pattern", ["", "**x", ".", "/etc/*", "../*", "../**", "[z-a]", "en"])
def test_a_pattern_that_finds_nothing_is_missing_data(pattern, toy, folder):
    put(folder, PAIRS)
    head_of(folder, pattern)
    assert hub_layout.find_files(folder / "org/first", "en", "test") == []
    with pytest.raises(DataError, match="'en' is not in"):
        data_loading.load(toy("classification"), "en", "test", folder)


def test_other_configs_of_a_readme_need_not_be_there(toy, folder):
    put(folder, PAIRS)
    head_of(folder, "en/test-*", "- config_name: de\n  data_files:\n  - split: test\n    path: de/test-*\n")
    assert list(data_loading.load(toy("classification"), "en", "test", folder).examples) == CANONICAL


@pytest.mark.parametrize("ending", ["json", "jsonl", "jsonl.gz", "csv", "tsv", "parquet"])
def test_files_without_a_readme_are_read_by_their_ending(ending, toy, folder):
    import datasets

    folder = folder / "with [a] sign*"
    put(folder, PAIRS)
    (folder / "org/first/README.md").unlink()
    if ending != "parquet":
        next((folder / "org/first/en").iterdir()).unlink()
        path, table = folder / f"org/first/en/test.{ending}", datasets.Dataset.from_list(PAIRS)
        if ending.startswith("json"):
            table.to_json(path, compression="gzip" if ending.endswith("gz") else None)
        else:
            table.to_csv(path, sep="\t" if ending == "tsv" else ",", index=False)
    assert list(data_loading.load(toy("classification"), "en", "test", folder).examples) == CANONICAL


def test_files_in_data_stand_for_no_language(toy, folder):
    put(folder, PAIRS, config="data")
    (folder / "org/first/README.md").unlink()
    assert "'de' is not in" in str(data_loading.available(toy("classification"), "de", "test", folder))


def test_settings_and_label_names_of_a_readme_are_used(toy, folder):
    (folder / "org/first/en").mkdir(parents=True)
    lines = ["premise;hypothesis;label", "a;b;1", "c;d;0", "e;f;1"]
    (folder / "org/first/en/test.csv").write_text("\n".join(lines), encoding="utf-8")
    texts = "".join(f"  - name: {name}\n    dtype: string\n" for name in ("premise", "hypothesis"))
    names = "  - name: label\n    dtype:\n      class_label:\n        names: {'0': 'no', '1': 'yes'}\n"
    head_of(
        folder, "en/*.csv", f"  sep: ;\n  unknown: 3\ndataset_info:\n- config_name: en\n  features:\n{texts}{names}"
    )
    assert list(data_loading.load(toy("classification"), "en", "test", folder).examples) == CANONICAL


def test_a_broken_head_of_a_readme_is_named(toy, folder):
    put(folder, PAIRS)
    (folder / "org/first/README.md").write_text("---\nconfigs: [\n- a: b: c\n---\n")
    with pytest.raises(DataError, match=r"org/first/README\.md: the metadata .* is not valid YAML: .*\(line 3\)"):
        data_loading.load(toy("classification"), "en", "test", folder)
