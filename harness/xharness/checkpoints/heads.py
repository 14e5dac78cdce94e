"""xharness.json: the task heads stored beside an encoder."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import model_validator

from xharness import files, strict_yaml
from xharness.errors import ModelError, SpecError

FILE = "xharness.json"
SCHEMA_VERSION = 1

Kind = Literal["classification", "multiple_choice", "tagging", "span_qa"]
Phase = Literal["intermediate", "target"]
Pooler = Literal["head", "encoder", "none"]

KINDS: dict[str, Kind] = {
    "ForSequenceClassification": "classification",
    "ForTokenClassification": "tagging",
    "ForQuestionAnswering": "span_qa",
    "ForMultipleChoice": "multiple_choice",
}
"""Suffix of a transformers class -> task kind of its head."""

LABELLED = ("classification", "tagging")
"""Task kinds whose head has one output per label; other heads have a fixed number of outputs."""

# Only in this folder: a record cannot refer to files outside the checkpoint, and no others are downloaded.
_HEAD_FILE = re.compile(r"heads/\w[\w.-]*\.safetensors", re.ASCII)

_NEXT = (
    "xharness writes this file next to the checkpoints that it trains. Copy the checkpoint again; or, if the file is "
    "something else, rename it."
)


@dataclass(frozen=True)
class Head:
    """A head of a checkpoint.

    Attributes:
        name: name of the training set that it was trained on.
        file: ``heads/<name>.safetensors``, with the weights of the transformers class other than the encoder, under
            their names there; None for the head in the model.safetensors at the root.
        kind: task kind.
        architecture: transformers class (``XLMRobertaForQuestionAnswering``).
        labels: name of each output, in order; () for kinds whose outputs have no names.
        pooler: the pooler that it uses: its own, in its file (``head``), that at the root (``encoder``), or ``none``.
    """

    name: str
    file: str | None
    kind: Kind
    architecture: str
    labels: tuple[str, ...] = ()
    pooler: Pooler = "none"


@dataclass(frozen=True)
class CheckpointRecord:
    """The content of an xharness.json.

    Attributes:
        phase: trained on intermediate tasks, or tuned on a target.
        tasks: names of the training sets.
        base_name: base model: ``org/name``, or the last part of a local folder.
        base_id: sha of the base model on the Hub, or hash of its files.
        heads: heads by name.
        pooler: whether the encoder at the root has a pooler.
    """

    phase: Phase
    tasks: tuple[str, ...]
    base_name: str
    base_id: str
    heads: Mapping[str, Head] = field(default_factory=dict)
    pooler: Literal["encoder", "none"] = "none"

    def to_json(self) -> dict[str, Any]:
        """Return the content of the file."""
        return {
            "schema_version": SCHEMA_VERSION,
            "phase": self.phase,
            "tasks": list(self.tasks),
            "base": {"name": self.base_name, "id": self.base_id},
            "heads": {
                name: {
                    "file": head.file,
                    "kind": head.kind,
                    "architecture": head.architecture,
                    "labels": list(head.labels),
                    "pooler": head.pooler,
                }
                for name, head in self.heads.items()
            },
            "pooler": self.pooler,
        }


def kind_of(architecture: str) -> Kind | None:
    """Return the task kind of a transformers class; None for an encoder without a task head.

    >>> kind_of("XLMRobertaForQuestionAnswering"), kind_of("XLMRobertaForMaskedLM")
    ('span_qa', None)
    """
    return next((kind for end, kind in KINDS.items() if architecture.endswith(end)), None)


def numbered(labels: Sequence[str]) -> bool:
    """Whether labels are only the default names of transformers: LABEL_0, LABEL_1 ..."""
    return all(label.upper() == f"LABEL_{i}" for i, label in enumerate(labels))


def write(folder: Path, record: CheckpointRecord) -> Path:
    """Write the xharness.json of a checkpoint atomically, and return its path.

    Raises:
        ModelError: the record is invalid and could not be read again.
        OutputError: the folder is not writable.
    """
    content = record.to_json()
    _parse(content, FILE)
    files.write_json(folder / FILE, content)
    return folder / FILE


def read(path: Path, name: str, head_files: Collection[str]) -> CheckpointRecord:
    """Read an xharness.json.

    Args:
        path: path of the file.
        name: name of the checkpoint, for messages.
        head_files: existing files of heads, as ``heads/<name>.safetensors``.

    Raises:
        ModelError: xharness did not write this file, a later version wrote it, or a file of a head is missing; lists
            every wrong field.
    """
    where = f"{name}: {FILE}"
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ModelError(f"{where} cannot be read: {error.strerror}.") from None
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{where} is not JSON ({error}). {_NEXT}") from None
    if not isinstance(content, dict):
        raise ModelError(f"{where} holds a {type(content).__name__}, expected an object with fields. {_NEXT}")
    record = _parse(content, where)
    for head in record.heads.values():
        if head.file is not None and head.file not in head_files:
            raise ModelError(
                f"{where}: heads.{head.name}.file: {head.file} is missing in the checkpoint. Copy or download the "
                "complete checkpoint again, including the folder heads/."
            )
    return record


def _parse(content: dict[str, Any], where: str) -> CheckpointRecord:
    version = content.get("schema_version")
    if type(version) is int and version > SCHEMA_VERSION:
        raise ModelError(
            f"{where}: schema_version: found {version}; this version of xharness reads {SCHEMA_VERSION}. Install a "
            "newer xharness."
        )
    try:
        content_record = strict_yaml.parse(_Content, content, where)
    except SpecError as error:
        raise ModelError(f"{error} {_NEXT}") from None
    heads = {
        name: Head(name, entry.file, entry.kind, entry.architecture, tuple(entry.labels), entry.pooler)
        for name, entry in content_record.heads.items()
    }
    return CheckpointRecord(
        content_record.phase,
        tuple(content_record.tasks),
        content_record.base.name,
        content_record.base.id,
        heads,
        content_record.pooler,
    )


class _Base(strict_yaml.Strict):
    name: str
    id: str


class _Entry(strict_yaml.Strict):
    file: str | None
    kind: Kind
    architecture: str
    labels: list[str]
    pooler: Pooler

    @model_validator(mode="after")
    def _fits(self) -> Self:
        problems = []
        if self.file is not None and not _HEAD_FILE.fullmatch(self.file):
            problems.append(
                f"file: found '{self.file}', expected heads/<name>.safetensors, or null for the root weights."
            )
        if kind_of(self.architecture) != self.kind:
            end = next(end for end, kind in KINDS.items() if kind == self.kind)
            problems.append(f"architecture: found '{self.architecture}', expected a class whose name ends with {end}.")
        if self.kind in LABELLED and (not self.labels or not all(label.strip() for label in self.labels)):
            problems.append(f"labels: found {self.labels}, expected the name of each output of the head, in order.")
        if self.kind not in LABELLED and self.labels:
            problems.append(f"labels: found {self.labels}, expected none: the outputs of this kind have no names.")
        if len(set(self.labels)) != len(self.labels):
            problems.append(f"labels: found {self.labels}, expected each name once.")
        if problems:
            raise ValueError("\n".join(problems))
        return self


class _Content(strict_yaml.Strict):
    schema_version: Literal[1]
    phase: Phase
    tasks: list[str]
    base: _Base
    heads: dict[str, _Entry]
    pooler: Literal["encoder", "none"]

    @model_validator(mode="after")
    def _fits(self) -> Self:
        problems = []
        if not self.tasks or not all(task.strip() for task in self.tasks):
            problems.append(f"tasks: found {self.tasks}, expected the names of the training sets.")
        if not all(name.strip() for name in self.heads):
            problems.append("heads: found a head without a name.")
        if sum(entry.file is None for entry in self.heads.values()) > 1:
            own = ", ".join(name for name, entry in self.heads.items() if entry.file is None)
            problems.append(f"heads: {own} have no file; only one can be in the root weights.")
        problems += [
            f"heads.{name}.pooler: found 'encoder', but 'pooler' says that the encoder has none."
            for name, entry in self.heads.items()
            if entry.file is not None and entry.pooler == "encoder" and self.pooler == "none"
        ]
        if problems:
            raise ValueError("\n".join(problems))
        return self
