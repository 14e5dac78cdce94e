"""config.json: labels, layers and architectures of a checkpoint."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from xharness.checkpoints import heads
from xharness.checkpoints.checkpoint import Checkpoint
from xharness.checkpoints.heads import CheckpointRecord
from xharness.errors import ModelError

# Heads whose labels transformers leaves out of config.json if they are its default: LABEL_0 and LABEL_1.
_LABELLED = ("ForSequenceClassification", "ForTokenClassification")


def read_config(path: Path, name: str) -> dict[str, Any]:
    """Return the content of a config.json; ``name`` is the name of the checkpoint in messages."""
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ModelError(f"{name}: config.json cannot be read: {error.strerror}.") from None
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{name}: config.json is not JSON ({error}). Save the checkpoint again.") from None
    if not isinstance(config, dict):
        raise ModelError(f"{name}: config.json holds a {type(config).__name__}, expected an object with fields.")
    return config


def describe(
    config: dict[str, Any],
    name: str,
    names: tuple[str, ...],
    trusted: bool,
    record: CheckpointRecord | None,
    **where: Any,
) -> Checkpoint:
    """Return the `Checkpoint` of a config, the names of its files and its xharness.json.

    Args:
        config: content of config.json.
        name: name that the user gave.
        names: names of the files at the root.
        trusted: Python code of the checkpoint may be run; only changes the notes.
        record: content of its xharness.json; None without one.
        where: ``path`` and ``content_hash``, or ``sha`` and ``revision`` (see `Checkpoint`).
    """
    notes = []
    if "modules.json" in names:
        notes.append(
            "modules.json is ignored: this is a sentence-transformers checkpoint, but layer and pooling are those of "
            "the "
            "task's spec (or of --layer and --pooling)."
        )
    remote_code = bool(config.get("auto_map"))
    if remote_code:
        run = "is run, as --trust-remote-code says" if trusted else "is not run without --trust-remote-code"
        notes.append(f"config.json refers to Python code in the repository (auto_map); it {run}.")
    layer_fields = ("num_hidden_layers", "n_layers", "num_layers", "n_layer", "encoder_layers")
    counts = [config[field] for field in layer_fields if isinstance(config.get(field), int)]
    layers = config.get("num_hidden_layers")
    if layers is not None and (not isinstance(layers, int) or isinstance(layers, bool)):
        raise ModelError(f"{name}: config.json: num_hidden_layers must be a whole number; found {layers!r}.")
    architectures = config.get("architectures") or []
    if not isinstance(architectures, list) or not all(isinstance(a, str) for a in architectures):
        raise ModelError(f"{name}: config.json: architectures must be a list of class names; found {architectures!r}.")
    id2label = _labels(config, name) or _default_labels(config, name, architectures)
    if record is not None:
        _check_own_head(record, name, architectures, id2label)
    return Checkpoint(
        name=name,
        model_type=str(config.get("model_type") or ""),
        architectures=tuple(architectures),
        id2label=id2label,
        layers=counts[0] if counts else None,
        files=names,
        encoder_decoder=bool(config.get("is_encoder_decoder")),
        remote_code=remote_code,
        notes=tuple(notes),
        heads=record.heads if record is not None else {},
        phase=record.phase if record is not None else None,
        trained_on=record.tasks if record is not None else (),
        **where,
    )


def _check_own_head(record: CheckpointRecord, name: str, architectures: list[str], id2label: tuple[str, ...]) -> None:
    """Raise ModelError if xharness.json and config.json disagree about the head in the root weights."""
    own = next((head for head in record.heads.values() if head.file is None), None)
    if own is None:
        return
    where = f"{name}: {heads.FILE}: heads.{own.name}"
    if own.architecture not in architectures:
        listed = ", ".join(architectures) or "none"
        raise ModelError(
            f"{where}: has no file, so it is the {own.architecture} in the root weights; but the architectures in "
            f"config.json are: {listed}. Do the two files belong together?"
        )
    if own.kind in heads.LABELLED and own.labels != id2label:
        raise ModelError(
            f"{where}.labels: {', '.join(own.labels[:6])}; but config.json (id2label) has "
            f"{', '.join(id2label[:6]) or 'none'}. Do the two files belong together?"
        )


def _labels(config: dict[str, Any], name: str) -> tuple[str, ...]:
    """Return the label names by id; in the file, ids are sorted as text ("10" before "2")."""
    table = config.get("id2label") or {}
    try:
        by_id = {int(i): str(label) for i, label in table.items()}
    except (AttributeError, ValueError):
        by_id = {-1: ""}
    if sorted(by_id) != list(range(len(by_id))):
        raise ModelError(f"{name}: config.json: id2label must number the labels 0, 1, 2 ...; found {table!r}.")
    return tuple(by_id[i] for i in range(len(by_id)))


def _default_labels(config: dict[str, Any], name: str, architectures: list[str]) -> tuple[str, ...]:
    """Return the default labels of transformers for a classifier whose config.json has none."""
    if not any(a.endswith(_LABELLED) for a in architectures):
        return ()
    number = config.get("num_labels", 2)
    if not isinstance(number, int) or isinstance(number, bool) or not 0 < number < 100_000:
        raise ModelError(f"{name}: config.json: num_labels must be a whole number from 1 on; found {number!r}.")
    return tuple(f"LABEL_{i}" for i in range(number))
