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

# Examples that are Python lists at one time; the tokenizer spreads each chunk over all cores.
CHUNK = 4_000
# To be raised when the arrays, or how they are made of examples, change: older folders are then encoded anew.
FORMAT = 1
LABEL = "lessons.json"
# A half-written folder as old as this (in seconds) is of a process that was killed.
ABANDONED = 3600


@dataclass(frozen=True)
class EncodedDataset:
    """Units of training: a unit is a row of sub-words, or all choices of one example (multiple choice).

    Attributes:
        kind: the kind of problem.
        ids: [sub-words] int32, all rows one after the other.
        types: [sub-words] uint8 token types, or None where the encoder reads none.
        rows: [rows + 1] int64, where each row begins in ``ids``.
        units: [units + 1] int64, which row each unit begins with.
        targets: int32; [units] for classification and multiple choice, [units, 2] for span_qa, [sub-words] for tagging.
        counts: things that happened on the way (``unaligned`` answers, ``split_sentences`` ...).
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
        """[rows] sub-words per row."""
        return np.diff(self.rows)

    @cached_property
    def lengths(self) -> Array:
        """[units] sub-words per unit, over all its rows."""
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
        """Return some units as the input of the stock model with this kind's head, all int64 and on the CPU.

        Args:
            units: their numbers, at least one.
            pad: the tokenizer's padding id.

        Returns:
            ``input_ids``, ``attention_mask`` and, where the encoder reads them, ``token_type_ids``: [units, length] of
            the longest row, [units, choices, length] for multiple choice. With it ``labels`` ([units]; for tagging
            [units, length]), or ``start_positions`` and ``end_positions`` ([units]) for span_qa.
        """
        chosen = np.asarray(units, dtype=np.int64)
        first = self.units[chosen]
        shape = [len(chosen)]
        if KINDS[self.kind].has_choices:
            # All have the same number of choices: `make_targets` sees to it.
            choices = int(self.units[chosen[0] + 1] - first[0])
            first = (first[:, None] + np.arange(choices)).ravel()
            shape.append(choices)
        lengths = self.row_lengths[first]
        place = np.arange(int(lengths.max()))
        real = place < lengths[:, None]
        # Beyond a row's end any place will do, if only there is one.
        taken = np.where(real, self.rows[first][:, None] + place, 0)

        def padded(values: Array, filling: int) -> torch.Tensor:
            found = np.where(real, values[taken], filling).astype(np.int64, copy=False)
            return torch.from_numpy(found).reshape(*shape, len(place))

        inputs = {
            "input_ids": padded(self.ids, pad),
            "attention_mask": torch.from_numpy(real.astype(np.int64)).reshape(*shape, len(place)),
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
    """Turn examples into lessons, or find them in a folder that an earlier run left.

    Args:
        kind: the kind of problem; one that can be learned.
        examples: canonical ones, read a chunk at a time.
        context: tokenizer, longest row, input settings and labels.
        folder: where the arrays are kept and mapped into memory from; None: nothing is written.
        digest: stands for all that the arrays depend on (data, tokenizer, context); a folder with another is made anew.
        tick: called after each chunk with the number of examples done.

    Raises:
        UsageError: nothing is trained on this kind.
        DataError, ModelError: as the kind's ``encode`` and ``make_targets``.
        OutputError: the folder cannot be written.
    """
    if KINDS[kind].make_targets is None:
        raise UsageError(f"Nothing is trained on {kind}: it is scored with an encoder as it is.")
    if folder is not None and (known := find(folder, kind, digest)) is not None:
        tick(len(examples))
        return known
    made = _encoded(kind, examples, context, tick)
    if folder is None:
        return made
    _keep(made, folder, digest)
    return find(folder, kind, digest) or made


def _encoded(kind: str, examples: Sequence[Any], context: Context, tick: Callable[[int], None]) -> EncodedDataset:
    chosen = KINDS[kind]
    assert chosen.make_targets is not None
    counts: Counter[str] = Counter()
    columns: dict[str, list[Array]] = {"ids": [], "types": [], "rows": [], "units": [], "targets": []}
    for start in range(0, len(examples), CHUNK):
        chunk = list(examples[start : start + CHUNK])
        features = chosen.encode(chunk, context)
        learned = chosen.make_targets(chunk, features, context)
        for name, values in _arrays(kind, features, learned).items():
            columns[name].append(values)
        for happened in (features.counts, learned.counts):
            counts.update(happened)
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


def _arrays(kind: str, features: Features, learned: Targets) -> dict[str, Array]:
    """Return a chunk as arrays: sub-words, types, lengths of rows, rows per unit, and targets, in the units' order."""
    rows = list(chain.from_iterable(learned.units))
    targets = chain.from_iterable(learned.targets) if kind in ("tagging", "span_qa") else learned.targets
    flat = np.fromiter(targets, dtype=np.int32)
    made: dict[str, Array] = {
        "ids": np.fromiter(chain.from_iterable(features.input_ids[row] for row in rows), dtype=np.int32),
        "rows": np.array([features.lengths[row] for row in rows], dtype=np.int64),
        "units": np.array([len(unit) for unit in learned.units], dtype=np.int64),
        "targets": flat.reshape(-1, 2) if kind == "span_qa" else flat,
    }
    if (types := features.token_type_ids) is not None:
        made["types"] = np.fromiter(chain.from_iterable(types[row] for row in rows), dtype=np.uint8)
    return made


def _joined(parts: list[Array], dtype: Any, empty: tuple[int, ...] = (0,)) -> Array:
    found = np.concatenate(parts) if parts else np.zeros(empty, dtype)
    parts.clear()  # the pieces go before the next column is joined
    return found


def find(folder: Path, kind: str, digest: str) -> EncodedDataset | None:
    """Return the lessons that a folder holds, mapped into memory; None if there are none, others or damaged ones."""
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
            # As a plain array, which numpy indexes faster; it is read from the file all the same.
            arrays[name] = np.asarray(mapped)
        counts = {str(name): int(n) for name, n in label["counts"].items()}
        return EncodedDataset(kind=kind, types=arrays.pop("types", None), counts=counts, **arrays)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def _keep(lessons: EncodedDataset, folder: Path, digest: str) -> None:
    """Write lessons into a folder, whole or not at all: a kill leaves the earlier folder, or none."""
    arrays = {name: getattr(lessons, name) for name in ("ids", "types", "rows", "units", "targets")}
    arrays = {name: values for name, values in arrays.items() if values is not None}
    part: Path | None = None
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        for old in folder.parent.glob(f".{folder.name}.*.part"):
            if time.time() - old.stat().st_mtime > ABANDONED:
                shutil.rmtree(old, ignore_errors=True)
        part = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}.", suffix=".part"))
        made = part / "made"
        made.mkdir()
        for name, values in arrays.items():
            with (made / f"{name}.npy").open("wb") as file:
                np.save(file, values)
                file.flush()
                os.fsync(file.fileno())
        label = {
            "format": FORMAT,
            "kind": lessons.kind,
            "digest": digest,
            "counts": lessons.counts,
            "sizes": {name: values.size for name, values in arrays.items()},
            "crc32": {name: _crc32(made / f"{name}.npy") for name in arrays},
        }
        write_json(made / LABEL, label)
        if folder.exists():
            # A folder can only take the place of none. What is mapped from the old one stays readable.
            folder.rename(part / "old")
        made.rename(folder)
    except OSError as error:
        if find(folder, lessons.kind, digest) is None:  # else another process was quicker with the same
            raise OutputError(
                f"{folder}: the encoded examples cannot be written: {error.strerror or error}. Make room or choose "
                "another folder, and run the same command again."
            ) from None
    finally:
        if part is not None:
            shutil.rmtree(part, ignore_errors=True)


def _crc32(path: Path) -> int:
    found = 0
    with path.open("rb") as file:
        while piece := file.read(1 << 20):
            found = zlib.crc32(piece, found)
    return found
