"""Specs: their hashes, and the pages that document them."""

from __future__ import annotations

import inspect
import os
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import pytest

from helpers.paths import HARNESS
from helpers.task_files import TARGETS, TRAINING
from xharness import assets, strict_yaml
from xharness.errors import SpecError
from xharness.tasks import benchmarks, dataset_spec, inputs, languages, recipes, registry, source_spec, task_spec

# The hash


def other(value: Any) -> Any:
    """Return some other value of the same shape."""
    match value:
        case None:
            return "x"
        case bool():
            return not value
        case int():
            return value + 1
        case float():
            return value + 0.5
        case str():
            return value + "x"
        case list():
            return value[:-1] if value else ["x"]
        case dict():
            return dict(list(value.items())[:-1]) if value else {"test": 1}
        case _:
            field = next(iter(type(value).model_fields))
            return value.model_copy(update={field: other(getattr(value, field))})


@pytest.mark.parametrize("name", ["xnli", "tatoeba"])
def test_hash_changes_with_every_field(name: str) -> None:
    task = registry.load_task(name)
    hashes = {task.hash}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pydantic: some of these values are of another type than declared
        for field in type(task).model_fields:
            hashes.add(task.model_copy(update={field: other(getattr(task, field))}).hash)
    assert len(hashes) == len(type(task).model_fields) + 1


def test_hash_changes_with_every_number_below(tmp_path: Path) -> None:
    path = tmp_path / "tatoeba.yaml"
    text = (assets.TASKS / "targets" / "tatoeba.yaml").read_text(encoding="utf-8")
    changes = {
        "24: 14": "24: 10",
        "12: 8": "12: 7",
        "test: 205": "test: 204",
        "max_length: 512": "max_length: 256",
    }
    hashes = {registry.load_task("tatoeba").hash}
    for old, new in changes.items():
        assert text.count(old) == 1
        path.write_text(text.replace(old, new), encoding="utf-8")
        hashes.add(registry.read_task(path).hash)
    assert len(hashes) == len(changes) + 1


def test_comments_do_not_change_the_hash(tmp_path: Path) -> None:
    path = tmp_path / "xnli.yaml"
    text = (assets.TASKS / "targets" / "xnli.yaml").read_text(encoding="utf-8")
    path.write_text("# another comment\n" + text, encoding="utf-8")
    assert registry.read_task(path).hash == registry.load_task("xnli").hash


def test_hash_is_the_same_in_another_process() -> None:
    code = "from xharness.tasks.registry import load_task; print(load_task('xnli').hash, load_task('tatoeba').hash)"
    environment = {
        **os.environ,
        "PYTHONHASHSEED": "7",
        "PYTHONPATH": str(HARNESS),
    }
    out = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True, timeout=240
    ).stdout
    assert out.split() == [registry.load_task("xnli").hash, registry.load_task("tatoeba").hash]


# The handbook


def test_the_handbook_names_every_field() -> None:
    handbook = (assets.TASKS / "README.md").read_text(encoding="utf-8")
    records = [
        record
        for module in (dataset_spec, source_spec, task_spec, inputs, benchmarks, languages)
        for _, record in inspect.getmembers(module, inspect.isclass)
        if issubclass(record, strict_yaml.Strict) and record is not strict_yaml.Strict
    ]
    records += [recipes.Recipe, recipes.Values]
    assert len(records) >= 20
    missing = {
        f"{record.__name__}.{field.alias or name}"
        for record in records
        for name, field in record.model_fields.items()
        if f"`{field.alias or name}`" not in handbook
    }
    assert not missing


def test_the_data_page_names_every_data_set() -> None:
    page = (assets.TASKS.parent / "docs" / "data.md").read_text(encoding="utf-8")
    loaded = [*map(registry.load_task, TARGETS), *map(registry.load_training, TRAINING)]
    assert not [data.name for data in loaded if f"`{data.name}`" not in page]
    assert not {s.repo for data in loaded for s in data.sources if s.repo and f"`{s.repo}`" not in page}


@pytest.mark.parametrize("pattern", ["{foo}", "{", "{}", "{lang.x}"])
def test_only_lang_and_alias_stand_in_braces(pattern, tmp_path):
    text = (assets.TASKS / "targets" / "xnli.yaml").read_text(encoding="utf-8")
    assert 'config: "{lang}"' in text
    path = tmp_path / "xnli.yaml"
    path.write_text(text.replace('config: "{lang}"', f'config: "{pattern}"'), encoding="utf-8")
    with pytest.raises(SpecError, match=r"sources\.0\.config: .* only \{lang\} and \{alias\}"):
        registry.read_task(path)
