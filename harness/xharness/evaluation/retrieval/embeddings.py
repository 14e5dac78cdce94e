"""Compute embeddings into memory-mapped files, resumable; centering and whitening."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from xharness import files
from xharness.errors import ModelError, OutputError
from xharness.models import inference
from xharness.models.kinds import embedding
from xharness.models.kinds.base import Context
from xharness.models.loading import LoadedModel
from xharness.progress import Ticker

Array = npt.NDArray[Any]

# Texts that are tokenized, sorted by length and run together; after each chunk the progress is saved.
CHUNK = 16_000
# Embeddings that are read at a time.
BLOCK = 65_536


@dataclass(frozen=True)
class EmbeddingJob:
    """Texts to embed, and the settings.

    Attributes:
        name: name of the files (``de``, ``candidates``).
        texts: in the order of the embeddings.
        digest: hash of the texts and everything that their embeddings depend on, except the token budget.
        layers: indices into hidden_states; () for the pooler's output.
        stored: ``float32`` or ``float16``.
        unit: whether embeddings are scaled to length one before they are written.
    """

    name: str
    texts: Sequence[str]
    digest: str
    layers: tuple[int, ...]
    stored: str
    unit: bool

    @property
    def kept_layers(self) -> tuple[int, ...]:
        """The layers in the file names; -1 for the pooler's output."""
        return self.layers or (-1,)


def digest_of(*parts: Any) -> str:
    """Return a short hash of values that can be written as JSON."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


def open_vectors(folder: Path, name: str, digest: str, layer: int) -> Array | None:
    """Return the embeddings of a layer [texts, width], memory-mapped, if they are complete; else None."""
    state = _state(folder / f"{name}.json")
    path = folder / f"{name}.{layer}.npy"
    if state.get("digest") != digest or state.get("done") != state.get("texts"):
        return None
    if layer not in state.get("layers", ()) or not path.is_file():
        return None
    return np.load(path, mmap_mode="r")  # type: ignore[no-any-return]


def tokens_of(folder: Path, name: str) -> int:
    """Return the number of tokens of the embedded texts."""
    return int(_state(folder / f"{name}.json").get("tokens", 0))


def embed(
    job: EmbeddingJob,
    folder: Path,
    encoder: LoadedModel,
    context: Context,
    budget: int,
    progress_bar: Any,
) -> int:
    """Write the embeddings of a job's texts to ``folder/<name>.<layer>.npy`` and return their number of tokens.

    The progress is saved after every chunk; the same job resumes from there if the token budget is the same, because
    kernels round by shape. ``progress_bar`` counts texts.

    Raises:
        NonFiniteOutput: the model output has NaN or infinity.
        ModelError: the embedding of a text is a zero vector, which has no direction.
        OutputError: the disk is full.
    """
    state_path = folder / f"{job.name}.json"
    state = {"digest": job.digest, "texts": len(job.texts), "layers": list(job.kept_layers), "budget": budget}
    maps = _maps(job, folder, encoder.model.config.hidden_size, state_path, state)
    done = int(_state(state_path).get("done", 0))
    tokens = int(_state(state_path).get("tokens", 0)) if done else 0
    progress_bar.update(done)
    for start in range(done, len(job.texts), CHUNK):
        texts = list(job.texts[start : start + CHUNK])
        features = embedding.KIND.encode(texts, context)
        ticker = Ticker(progress_bar, len(texts), sum(features.lengths))
        arrays = inference.forward(encoder, embedding.KIND, features, context, budget, ticker.tick)
        tokens += sum(features.lengths)
        for index, layer in enumerate(job.kept_layers):
            # Layer by layer: stacking all layers at once would need another copy.
            vectors = np.stack([array[index] for array in arrays])
            lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
            if not lengths.all():
                row = int(np.argwhere(lengths == 0)[0][0])
                raise ModelError(
                    f"Text number {start + row + 1:,} of {job.name} ({texts[row][:60]!r}) has a zero vector, which "
                    "cannot be compared. Try another layer or pooling."
                )
            maps[layer][start : start + len(texts)] = vectors / lengths if job.unit else vectors
            maps[layer].flush()
        files.write_json(state_path, {**state, "done": start + len(texts), "tokens": tokens})
    return tokens


def _state(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _maps(job: EmbeddingJob, folder: Path, width: int, state_path: Path, state: dict[str, Any]) -> dict[int, Any]:
    """Open the files of a job for writing: existing files if they belong to it, otherwise new ones."""
    paths = {layer: folder / f"{job.name}.{layer}.npy" for layer in job.kept_layers}
    shape, dtype = (len(job.texts), width), np.dtype(job.stored)
    saved = _state(state_path)
    if all(saved.get(name) == value for name, value in state.items()) and all(p.is_file() for p in paths.values()):
        maps = {layer: np.load(path, mmap_mode="r+") for layer, path in paths.items()}
        if all(saved.shape == shape and saved.dtype == dtype for saved in maps.values()):
            # Parts of a sparse file that are not written yet still need disk space.
            _check_room(folder, job.name, sum(_unwritten(path) for path in paths.values()))
            return maps
    try:
        folder.mkdir(parents=True, exist_ok=True)
        state_path.unlink(missing_ok=True)
    except OSError as error:
        raise OutputError(f"{folder}: vectors cannot be written: {error.strerror or error}.") from None
    _check_room(folder, job.name, len(paths) * shape[0] * width * dtype.itemsize)
    return {layer: _new(path, shape, dtype) for layer, path in paths.items()}


def _unwritten(path: Path) -> int:
    status = path.stat()
    return max(0, status.st_size - 512 * status.st_blocks)


def _check_room(folder: Path, name: str, needed: int) -> None:
    """Raise OutputError if the disk is too full: a memory-mapped write would kill the program without a message."""
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise OutputError(
            f"{folder}: the vectors of {name} need {needed / 2**30:,.1f} GiB, but only {free / 2**30:,.1f} GiB are "
            "free. Free disk space, choose another --output, or use fewer layers."
        )


def _new(path: Path, shape: tuple[int, ...], dtype: Any) -> Any:
    try:
        return np.lib.format.open_memmap(path, mode="w+", dtype=dtype, shape=shape)
    except OSError as error:
        raise OutputError(f"{path}: vectors cannot be written: {error.strerror or error}.") from None


def center_and_whiten(sides: Sequence[tuple[Path, Array, Sequence[int]]], *, center: bool, whiten: bool) -> list[Array]:
    """Return vectors of length one after centering and whitening, memory-mapped from files of their own.

    Args:
        sides: (file to write, raw embeddings [n, width], number of embeddings of each language in order) for each side.
        center: subtract the mean of each language of each side.
        whiten: then transform all embeddings so that the covariance of both sides together is the identity.

    Raises:
        ModelError: an embedding becomes a zero vector.
        OutputError: the disk is full.
    """
    means = [_means(raw, parts) if center else None for _, raw, parts in sides]
    turn = (
        _whitening([(raw, mean, parts) for (_, raw, parts), mean in zip(sides, means, strict=True)]) if whiten else None
    )
    changed: list[Array] = []
    for (path, raw, parts), mean in zip(sides, means, strict=True):
        _check_room(path.parent, path.stem, raw.nbytes)
        output = _new(path, raw.shape, raw.dtype)
        for start, block in _blocks(raw, mean, parts):
            block = block @ turn if turn is not None else block
            lengths = np.linalg.norm(block, axis=1, keepdims=True)
            if not lengths.all():
                raise ModelError(
                    "Centering or whitening leaves a zero vector: a single text, or identical texts, have no direction."
                )
            output[start : start + len(block)] = block / lengths
        output.flush()
        changed.append(np.load(path, mmap_mode="r"))
    return changed


def _means(raw: Array, parts: Sequence[int]) -> Array:
    """Return the mean embedding of each language [languages, width], in float64."""
    means, start = [], 0
    for size in parts:
        total = np.zeros(raw.shape[1])
        for first in range(start, start + size, BLOCK):
            total += raw[first : min(first + BLOCK, start + size)].astype(np.float64).sum(axis=0)
        means.append(total / max(size, 1))
        start += size
    return np.stack(means)


def _blocks(raw: Array, means: Array | None, parts: Sequence[int]) -> Any:
    """Yield (start, embeddings as float32 minus the mean of their language)."""
    languages = np.repeat(np.arange(len(parts)), parts)
    for start in range(0, len(raw), BLOCK):
        block = raw[start : start + BLOCK].astype(np.float32)
        if means is not None:
            block = block - means[languages[start : start + BLOCK]].astype(np.float32)
        yield start, block


def _whitening(sides: Sequence[tuple[Array, Array | None, Sequence[int]]]) -> Array:
    """Return the matrix [width, width] that transforms the covariance of all embeddings to the identity."""
    width = sides[0][0].shape[1]
    product, total, count = np.zeros((width, width)), np.zeros(width), 0
    for raw, means, parts in sides:
        for _, block in _blocks(raw, means, parts):
            product += block.T.astype(np.float64) @ block.astype(np.float64)
            total += block.sum(axis=0, dtype=np.float64)
            count += len(block)
    mean = total / count
    values, vectors = np.linalg.eigh(product / count - np.outer(mean, mean))
    # Directions without variance are dropped: they have nothing to compare.
    scale = np.where(values > 1e-9 * values.max(), 1 / np.sqrt(np.maximum(values, 1e-30)), 0.0)
    return np.asarray(vectors * scale, dtype=np.float32)
