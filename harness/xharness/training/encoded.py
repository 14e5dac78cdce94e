"""Encoded training sets: token ids and targets in memory-mapped arrays."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import time
import zlib
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import torch

from xharness.errors import OutputError, UsageError
from xharness.files import write_json
from xharness.models.kinds import KINDS
from xharness.models.kinds.base import IGNORED, Array, Context, Features, Targets

# Examples that are Python lists at the same time; the tokenizer spreads each chunk over all cores.
CHUNK = 4_000
# Raise this when the arrays, or how they are computed, change: older folders are then encoded again.
FORMAT = 1
LABEL = "lessons.json"
# A half-written folder older than this (in seconds) was left by a process that was killed.
ABANDONED = 3600


@dataclass(frozen=True)
class EncodedDataset:
    """Units of training: a unit is a token row, or all choices of one example (multiple choice).

    Attributes:
        kind: task kind.
        ids: [tokens] int32, all rows one after the other.
        types: [tokens] uint8 token types, or None where the encoder reads none.
        rows: [rows + 1] int64, where each row begins in ``ids``.
        units: [units + 1] int64, the first row of each unit.
        targets: int32; [units] for classification and multiple choice, [units, 2] for span_qa, [tokens] for tagging.
        counts: what happened during encoding (``unaligned`` answers, ``split_sentences`` ...).
    """

    kind: str
    ids: Array
    types: Array | None
    rows: Array
    units: Array
    targets: Array
    counts: dict[str, int]

    def __len__(self) -> int:
        return len(self.units) - 1

    @cached_property
    def row_lengths(self) -> Array:
        """[rows] tokens per row."""
        return np.diff(self.rows)

    @cached_property
    def lengths(self) -> Array:
        """[units] tokens per unit, over all its rows."""
        return np.diff(self.rows[self.units])

    @cached_property
    def _items(self) -> Array:
        """[units] targets that are not ignored; only for tagging, where a unit is a row."""
        if not len(self):
            return np.zeros(0, dtype=np.int64)
        return np.add.reduceat(self.targets != IGNORED, self.rows[:-1], dtype=np.int64)

    def items(self, units: Sequence[int]) -> int:
        """Return how many items the loss of some units is the mean of: tags for tagging, else the units."""
        return int(self._items[np.asarray(units, dtype=np.int64)].sum()) if self.kind == "tagging" else len(units)

    def batch(self, units: Sequence[int], pad: int) -> dict[str, torch.Tensor]:
        """Return some units as input of the stock model with the head of this kind, all int64 and on the CPU.

        Args:
            units: indices of units, at least one.
            pad: id of the padding token.

        Returns:
            ``input_ids``, ``attention_mask`` and, where the encoder reads them, ``token_type_ids``: [units, length] of
            the longest row, [units, choices, length] for multiple choice. With it ``labels`` ([units]; for tagging
            [units, length]), or ``start_positions`` and ``end_positions`` ([units]) for span_qa.
        """
        chosen = np.asarray(units, dtype=np.int64)
        first = self.units[chosen]
        shape = [len(chosen)]
        if KINDS[self.kind].has_choices:
            # All have the same number of choices: `make_targets` checks it.
            choices = int(self.units[chosen[0] + 1] - first[0])
            first = (first[:, None] + np.arange(choices)).ravel()
            shape.append(choices)
        lengths = self.row_lengths[first]
        columns = np.arange(int(lengths.max()))
        real = columns < lengths[:, None]
        # Beyond the end of a row any valid index will do: the values are replaced by padding.
        indices = np.where(real, self.rows[first][:, None] + columns, 0)

        def padded(values: Array, filling: int) -> torch.Tensor:
            rows = np.where(real, values[indices], filling).astype(np.int64, copy=False)
            return torch.from_numpy(rows).reshape(*shape, len(columns))

        inputs = {
            "input_ids": padded(self.ids, pad),
            "attention_mask": torch.from_numpy(real.astype(np.int64)).reshape(*shape, len(columns)),
        }
        if self.types is not None:
            inputs["token_type_ids"] = padded(self.types, 0)
        if self.kind == "tagging":
            return {**inputs, "labels": padded(self.targets, IGNORED)}
        targets = torch.from_numpy(self.targets[chosen].astype(np.int64))
        if self.kind == "span_qa":
            return {**inputs, "start_positions": targets[:, 0], "end_positions": targets[:, 1]}
        return {**inputs, "labels": targets}


def encode(
    kind: str,
    examples: Sequence[Any],
    context: Context,
    *,
    folder: Path | None = None,
    digest: str = "",
    tick: Callable[[int], None] = lambda examples: None,
) -> EncodedDataset:
    """Encode examples, or read them from a folder of an earlier run.

    Args:
        kind: task kind; one that can be trained.
        examples: read a chunk at a time.
        context: tokenizer, longest row, input settings and labels.
        folder: where the arrays are stored and memory-mapped from; None: nothing is written.
        digest: hash of everything that the arrays depend on (data, tokenizer, context); a folder with another digest is
            replaced.
        tick: called after each chunk with the number of its examples.

    Raises:
        UsageError: this kind cannot be trained.
        DataError, ModelError: see the kind's ``encode`` and ``make_targets``.
        OutputError: the folder cannot be written.
    """
    if KINDS[kind].make_targets is None:
        raise UsageError(f"Nothing is trained on {kind}: it is scored with an encoder as it is.")
    if folder is not None and (stored := find(folder, kind, digest)) is not None:
        tick(len(examples))
        return stored
    dataset = _encode(kind, examples, context, tick)
    if folder is None:
        return dataset
    _store(dataset, folder, digest)
    return find(folder, kind, digest) or dataset


def _encode(kind: str, examples: Sequence[Any], context: Context, tick: Callable[[int], None]) -> EncodedDataset:
    functions = KINDS[kind]
    assert functions.make_targets is not None
    counts: Counter[str] = Counter()
    columns: dict[str, list[Array]] = {"ids": [], "types": [], "rows": [], "units": [], "targets": []}
    for start in range(0, len(examples), CHUNK):
        chunk = list(examples[start : start + CHUNK])
        features = functions.encode(chunk, context)
        targets = functions.make_targets(chunk, features, context)
        for name, values in _arrays(kind, features, targets).items():
            columns[name].append(values)
        counts.update(features.counts)
        counts.update(targets.counts)
        tick(len(chunk))
    types = columns["types"]
    return EncodedDataset(
        kind,
        _joined(columns["ids"], np.int32),
        _joined(types, np.uint8) if types else None,
        np.concatenate([[0], np.cumsum(_joined(columns["rows"], np.int64))]),
        np.concatenate([[0], np.cumsum(_joined(columns["units"], np.int64))]),
        _joined(columns["targets"], np.int32, (0, 2) if kind == "span_qa" else (0,)),
        dict(counts),
    )


def _arrays(kind: str, features: Features, targets: Targets) -> dict[str, Array]:
    """Return a chunk as arrays: token ids, types, row lengths, rows per unit and targets, by unit."""
    rows = list(chain.from_iterable(targets.units))
    values = chain.from_iterable(targets.targets) if kind in ("tagging", "span_qa") else targets.targets
    flat = np.fromiter(values, dtype=np.int32)
    arrays: dict[str, Array] = {
        "ids": np.fromiter(chain.from_iterable(features.input_ids[row] for row in rows), dtype=np.int32),
        "rows": np.array([features.lengths[row] for row in rows], dtype=np.int64),
        "units": np.array([len(unit) for unit in targets.units], dtype=np.int64),
        "targets": flat.reshape(-1, 2) if kind == "span_qa" else flat,
    }
    if (types := features.token_type_ids) is not None:
        arrays["types"] = np.fromiter(chain.from_iterable(types[row] for row in rows), dtype=np.uint8)
    return arrays


def _joined(parts: list[Array], dtype: Any, empty: tuple[int, ...] = (0,)) -> Array:
    joined = np.concatenate(parts) if parts else np.zeros(empty, dtype)
    parts.clear()  # free the pieces before the next column is joined
    return joined


def find(folder: Path, kind: str, digest: str) -> EncodedDataset | None:
    """Return the encoded training set in a folder, memory-mapped; None if there is none, another or a damaged one."""
    try:
        label = json.loads((folder / LABEL).read_text(encoding="utf-8"))
        if (label["format"], label["kind"], label["digest"]) != (FORMAT, kind, digest):
            return None
        arrays: dict[str, Array] = {}
        for name, crc in label["crc32"].items():
            if _crc32(folder / f"{name}.npy") != crc:
                return None
            # An array without elements cannot be mapped.
            mapped = np.load(folder / f"{name}.npy", mmap_mode="r" if label["sizes"][name] else None)
            # As a plain array, which numpy indexes faster; it is still read from the file.
            arrays[name] = np.asarray(mapped)
        counts = {str(name): int(n) for name, n in label["counts"].items()}
        return EncodedDataset(kind=kind, types=arrays.pop("types", None), counts=counts, **arrays)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def _store(dataset: EncodedDataset, folder: Path, digest: str) -> None:
    """Write an encoded training set into a folder atomically: a kill leaves the earlier folder, or none."""
    arrays = {name: getattr(dataset, name) for name in ("ids", "types", "rows", "units", "targets")}
    arrays = {name: values for name, values in arrays.items() if values is not None}
    part: Path | None = None
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        for old in folder.parent.glob(f".{folder.name}.*.part"):
            if time.time() - old.stat().st_mtime > ABANDONED:
                shutil.rmtree(old, ignore_errors=True)
        part = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}.", suffix=".part"))
        new = part / "new"
        new.mkdir()
        for name, values in arrays.items():
            with (new / f"{name}.npy").open("wb") as file:
                np.save(file, values)
                file.flush()
                os.fsync(file.fileno())
        label = {
            "format": FORMAT,
            "kind": dataset.kind,
            "digest": digest,
            "counts": dataset.counts,
            "sizes": {name: values.size for name, values in arrays.items()},
            "crc32": {name: _crc32(new / f"{name}.npy") for name in arrays},
        }
        write_json(new / LABEL, label)
        if folder.exists():
            # A folder cannot replace another one. Arrays that are mapped from the old one stay readable.
            folder.rename(part / "old")
        new.rename(folder)
    except OSError as error:
        if find(folder, dataset.kind, digest) is None:  # otherwise another process wrote the same first
            raise OutputError(
                f"{folder}: the encoded examples cannot be written: {error.strerror or error}. Make room or choose "
                "another folder, and run the same command again."
            ) from None
    finally:
        if part is not None:
            shutil.rmtree(part, ignore_errors=True)


def _crc32(path: Path) -> int:
    crc = 0
    with path.open("rb") as file:
        while piece := file.read(1 << 20):
            crc = zlib.crc32(piece, crc)
    return crc
