"""A data folder in the layout of the Hub, made of the rows in ``tests/fixtures/<task>/<language>.jsonl``.

The rows are canonical (the specs' names of fields and labels); here they get the columns, types, configurations and
splits that each data set has on the Hub, so that the specs as they ship can read them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from helpers.paths import FIXTURES
from xharness.tasks.dataset_spec import DataSpec
from xharness.tasks.registry import load_task
from xharness.tasks.source_spec import Split

DEV_ROWS = 3

Row = dict[str, Any]


def fixture_tasks() -> dict[str, list[str]]:
    """Return task -> languages that have rows."""
    found: dict[str, list[str]] = {}
    for path in sorted(FIXTURES.glob("*/*.jsonl")):
        found.setdefault(path.parent.name, []).append(path.stem)
    return found


def fixture_rows(task: str, language: str) -> list[Row]:
    """Return the canonical rows of a task in a language."""
    lines = (FIXTURES / task / f"{language}.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def as_on_the_hub(spec: DataSpec, row: Row, number: int) -> Row:
    """Return a canonical row with the columns that the spec's first source has."""
    made = dict(row)
    if "answers" in made:
        made["answers"] = {
            "text": [a["text"] for a in row["answers"]],
            "answer_start": [a["start"] for a in row["answers"]],
        }
    if spec.name in ("pawsx", "xcopa"):
        made["id"] = number + 1
    if "choices" in made:
        made |= dict(zip(spec.choices, made.pop("choices"), strict=True))
    columns = {**spec.fields, **spec.sources[0].fields}
    return {columns.get(name, name): value for name, value in made.items()}


def column_types(spec: DataSpec, first: Row) -> Any:
    """Return the column types, with class labels where the Hub has them."""
    import datasets

    labels = datasets.ClassLabel(names=list(spec.labels)) if spec.labels else None
    answers = {"text": datasets.List(datasets.Value("string")), "answer_start": datasets.List(datasets.Value("int32"))}
    types: Row = {}
    for column, value in first.items():
        if column == spec.fields.get("label"):
            types[column] = labels
        elif column == spec.fields.get("tags"):
            types[column] = datasets.List(labels)
        elif isinstance(value, dict):
            types[column] = answers
        elif isinstance(value, list):
            types[column] = datasets.List(datasets.Value("string"))
        else:
            types[column] = datasets.Value("int32" if isinstance(value, int) else "string")
    return datasets.Features(types)


def write_dataset(folder: Path, configs: Mapping[str, Mapping[str, Iterable[Row]]], types: Any = None) -> Path:
    """Write config -> split -> rows as parquet files with the README that names them.

    ``types`` are the columns' types of all configs, or a mapping from config to them.
    """
    import datasets

    head = ["---", "configs:"]
    for config, splits in configs.items():
        head += [f"- config_name: {config}", "  data_files:"]
        for split, content in splits.items():
            path = folder / config / f"{split}-00000-of-00001.parquet"
            path.parent.mkdir(parents=True, exist_ok=True)
            own = types if types is None or isinstance(types, datasets.Features) else types[config]
            datasets.Dataset.from_list(list(content), features=own).to_parquet(path)
            head += [f"  - split: {split}", f"    path: {config}/{split}-*"]
    (folder / "README.md").write_text("\n".join([*head, "---", ""]), encoding="utf-8")
    return folder


def make_data_folder(to: Path, status: str = "sample: a few rows written for the tests") -> Path:
    """Write all targets that have rows below ``to``, with a MANIFEST.tsv beside it; return ``to``."""
    import datasets

    datasets.disable_progress_bars()
    manifest = ["hub_id\tconfig\tsplit\trows\tstatus\tsource\tlicence"]
    for task, languages in fixture_tasks().items():
        spec = load_task(task)
        source = spec.sources[0]
        configs: dict[str, dict[str, list[Row]]] = {}
        splits: list[Split] = ["test"] if spec.split_name("dev") is None else ["test", "dev"]
        for language in languages:
            made = [as_on_the_hub(spec, row, i) for i, row in enumerate(fixture_rows(task, language))]
            config = configs.setdefault(spec.fill(source.config, language), {})
            for split in splits:
                name = source.splits.get(split, str(spec.split_name(split)))
                config.setdefault(name, []).extend(made if split == "test" else made[:DEV_ROWS])
        first = next(iter(next(iter(configs.values())).values()))[0]
        write_dataset(to / str(source.repo), configs, column_types(spec, first))
        manifest += [
            f"{source.repo}\t{config}\t{split}\t{len(content)}\t{status}\ttests/fixtures\tApache-2.0"
            for config, splits_of in configs.items()
            for split, content in splits_of.items()
        ]
    (to / "MANIFEST.tsv").write_text("\n".join([*manifest, ""]), encoding="utf-8")
    return to
