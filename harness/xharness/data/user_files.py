"""Load examples from a file of the user's own (jsonl, csv, tsv, parquet, SQuAD, CoNLL-U)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from xharness.data import arrow, formats, manifest
from xharness.data.formats import ccgbank
from xharness.data.loading import Data, check_spec_columns, convert_table
from xharness.data.sources import open_file
from xharness.errors import DataError, did_you_mean
from xharness.tasks.dataset_spec import DataSpec
from xharness.tasks.registry import parts_of
from xharness.tasks.source_spec import Split
from xharness.tasks.task_spec import TrainingSpec

NO_LABEL = ("-1", "", "None")
"""How users' files mark a missing label: -1, an empty value, or null."""


def load_file(spec: DataSpec, path: Path, language: str, split: Split) -> Data:
    """Return the examples of a user's file, used instead of a source of the spec.

    Args:
        spec: a spec without candidates. The file has the columns of the spec, or columns named as its fields; ids are
            optional. For a training set with members, the file has the columns of the first member.
        path: .jsonl, .json, .csv, .tsv or .parquet; for questions also SQuAD's .json; for tags also .conllu; for CCG
            also the folder of CCGbank, or a table of words and supertags. All but parquet may be gzipped.
        language: the language of the file, for messages and for multiword tokens.
        split: the split to read from the folder of CCGbank.

    Raises:
        DataError: the file does not exist (the message gives the nearest name) or is empty; otherwise as `load`.
    """
    if isinstance(spec, TrainingSpec) and spec.members:
        spec = parts_of(spec)[0].model_copy(update={"name": spec.name})
    where = f"{path} ('{language}')"
    paths = _own_files(spec, path, language, split)
    format = _own_format(spec, path)
    if format is not None:
        precedence = spec.tag_precedence.get(language, spec.tag_precedence.get("default", []))
        table = arrow.from_rows(formats.READERS[format](paths, formats.ReadOptions(language, tuple(precedence))))
        columns = {canonical: canonical for canonical in spec.fields if canonical in table.column_names}
    else:
        table = open_file(spec, path)
        columns = _own_columns(spec, table.column_names)
    if not len(table):
        raise DataError(f"{spec.name}: {where} holds no example.")
    check_spec_columns(spec, columns, table, where)
    if isinstance(spec, TrainingSpec) and "label" in columns:
        # The ways in which other files mark a missing label.
        none = {*spec.drop_labels, *NO_LABEL} - {*spec.labels, *spec.label_map}
        spec = spec.model_copy(update={"drop_labels": sorted(none)})
    examples, digest, counts = convert_table(spec, table, columns, where, None)
    if not len(examples):
        raise DataError(f"{spec.name}: {where} holds no example that has a label or words.")
    return Data(examples, digest, path.name, None, manifest.UNKNOWN, None, counts)


def _own_files(spec: DataSpec, path: Path, language: str, split: Split) -> list[Path]:
    """Return the user's file, or the files of a split if it is the folder of CCGbank."""
    where = f"'{path}' ('{language}')"
    if path.is_dir():
        paths = ccgbank.find(path, split) if spec.infers_labels else []
        if not paths:
            kind = f"there is no file of CCGbank for {split} below" if spec.infers_labels else "expected a file, found"
            raise DataError(f"{spec.name}: {kind} the folder {where}.")
        return paths
    if not path.is_file():
        siblings = [p.name for p in path.parent.iterdir()] if path.parent.is_dir() else []
        raise DataError(f"{spec.name}: there is no file {where}.{did_you_mean(path.name, siblings)}")
    if not path.stat().st_size:
        raise DataError(f"{spec.name}: {path} ('{language}') is empty.")
    return [path]


def _own_columns(spec: DataSpec, existing: Sequence[str]) -> dict[str, str]:
    """Return canonical field -> column of the user's file, named as in the spec or as the field itself."""
    columns = {}
    for name, column in spec.fields.items():
        matches = [candidate for candidate in (column, name) if candidate in existing]
        if matches or name not in spec.optional_fields:
            columns[name] = matches[0] if matches else column
    return columns


def _own_format(spec: DataSpec, path: Path) -> str | None:
    """Return the original format of a user's file, a key of ``formats.READERS``; None for a plain table."""
    name = path.name.removesuffix(".gz")
    if spec.infers_labels and (path.is_dir() or name.endswith((".auto", ".tsv", ".txt"))):
        return "ccgbank"
    if spec.kind == "tagging" and name.endswith(".conllu"):
        return "conllu"
    if spec.kind == "span_qa" and name.endswith(".json") and formats.is_squad_json(path):
        return "squad_json"
    return None
