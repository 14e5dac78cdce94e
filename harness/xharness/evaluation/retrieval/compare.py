"""Predictions from embeddings: nearest neighbors, mined pairs, rankings."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from xharness.data import loading as data_loading
from xharness.data.loading import Data
from xharness.errors import UsageError
from xharness.evaluation.retrieval import embeddings, mining, search
from xharness.evaluation.retrieval.embeddings import Array, EmbeddingJob, digest_of
from xharness.metrics.retrieval import Ranking
from xharness.models.kinds.base import Context
from xharness.models.loading import LoadedModel
from xharness.progress import bar
from xharness.results.scoring import gold
from xharness.tasks.inputs import RetrievalInput
from xharness.tasks.source_spec import Split
from xharness.tasks.task_spec import TaskSpec

# Products of vectors from which on a search shows a bar.
LONG_SEARCH = 10**9


@dataclass(frozen=True)
class Side:
    """The texts on one side of a comparison.

    Attributes:
        name: of its files.
        texts: to be made into vectors.
        digest: stands for the texts.
        parts: how many of them, in order, belong to each language.
        candidate: whether it is what is searched.
    """

    name: str
    texts: Sequence[str]
    digest: str
    parts: Sequence[int]
    candidate: bool = False


@dataclass(frozen=True)
class RetrievalOutput:
    """What came out of a comparison: predictions, and what is to be told of them."""

    predictions: Any
    counts: dict[str, int]
    selection: dict[str, Any]
    tokens: int


def resolve_layer(asked: int | str | None, settings: RetrievalInput, depth: int) -> int:
    """Return the index into hidden_states of an encoder with ``depth`` layers: asked for, or the spec's.

    Where the pooler's output is compared, whatever was asked for, it is the spec's, and is not used.

    Raises:
        UsageError: there is no such layer.
    """
    if asked is None or settings.pooling == "pooler":
        asked = settings.layer.get(depth, settings.layer.get("default", "last"))
    chosen = asked
    if chosen in ("dev", "all"):
        raise UsageError(f"Layer '{chosen}' names no single layer. Give an index into hidden_states, or 'last'.")
    index = depth if chosen == "last" else int(chosen)
    resolved = index + depth + 1 if index < 0 else index
    if not 0 <= resolved <= depth:
        raise UsageError(
            f"Layer {index} is not there: the encoder has {depth} layers, so hidden_states has the indices 0 "
            f"(embeddings) to {depth}, or -{depth + 1} to -1."
        )
    return resolved


def described(settings: RetrievalInput, layer: int, depth: int) -> dict[str, Any]:
    """Return how a text became a vector, for the result file."""
    described_settings = settings.model_dump(exclude={"layer", "layer_dev", "neighbours", "top_k"}, exclude_none=True)
    place = {} if settings.pooling == "pooler" else {"layer": layer}
    return {**place, "layers": depth, **described_settings}


@dataclass(frozen=True)
class RetrievalPredictor:
    """Makes and compares the vectors of a task, with files in a folder of their own.

    Attributes:
        folder: for the vectors.
        data_dir: where development data is looked for.
        device: for the forward passes and the products.
        identity: stands for the checkpoint.
        every_layer: make the vectors of all layers in one pass, since all of them will be asked for.
        progress: show bars.
    """

    folder: Path
    data_dir: Path | None
    device: torch.device
    identity: str
    every_layer: bool = False
    progress: bool = False
    _read: dict[tuple[str, str, Split], Data] = field(default_factory=dict)

    def load(self, spec: TaskSpec, language: str, split: Split) -> Data:
        """Return the data of a split; where every layer asks for it, that of one language is kept."""
        if not self.every_layer:
            return data_loading.load(spec, language, split, self.data_dir)
        key = (spec.name, language, split)
        if key not in self._read:
            for other in [known for known in self._read if known[:2] != key[:2]]:
                del self._read[other]
            self._read[key] = data_loading.load(spec, language, split, self.data_dir)
        return self._read[key]

    def work(
        self,
        spec: TaskSpec,
        language: str,
        split: Split,
        examples: Sequence[Any],
        loaded: Data,
        encoder: LoadedModel,
        layer: int,
        budget: int,
    ) -> RetrievalOutput:
        """Return the predictions of a language from the vectors of one layer.

        Raises:
            NonFiniteOutput: the model put out NaN or infinity.
            DataError: mining on the test split needs the development data, and it is not there.
        """
        session = _Request(self, spec, encoder, layer, budget)
        match spec.kind:
            case "retrieval":
                return session.nearest(language, split, examples, loaded.hash)
            case "ranking":
                return session.ranked(language, split, examples, loaded)
            case _:
                return session.mined(language, split, examples, loaded)

    def clear_cache(self, task: str, language: str | None = None) -> None:
        """Remove the vectors of a task, or of one of its languages."""
        folder = self.folder / task
        if language is None:
            shutil.rmtree(folder, ignore_errors=True)
            with suppress(OSError):  # of another task something is there
                self.folder.rmdir()
            return
        for path in folder.glob(f"*/{language}-*"):
            path.unlink(missing_ok=True)


@dataclass
class _Request:
    """One task, layer and budget, while its texts are made into vectors and compared."""

    predictor: RetrievalPredictor
    spec: TaskSpec
    encoder: LoadedModel
    layer: int
    budget: int
    tokens: int = 0
    cut: dict[str, int] = field(default_factory=dict)

    def nearest(self, language: str, split: Split, examples: Sequence[Any], digest: str) -> RetrievalOutput:
        """Return, per English sentence in the data's order, the index of the nearest sentence.

        English is the query side (XTREME's evaluate script searches English among the other language). Of equally
        near sentences the one with the lowest index is taken; how often that happened is counted as ``ties``.
        """
        other = Side(f"{language}-{split}", [e.text for e in examples], digest, [len(examples)], candidate=True)
        english = Side(f"{language}-{split}-english", [e.english for e in examples], digest, [len(examples)])
        sources, queries = self._vectors([other, english])
        near = search.search(queries, sources, 2, device=str(self.predictor.device))
        ties = int((near.scores[:, 0] == near.scores[:, -1]).sum()) if near.scores.shape[1] > 1 else 0
        return RetrievalOutput([int(i) for i in near.indices[:, 0]], {"ties": ties, **self.cut}, {}, self.tokens)

    def ranked(self, language: str, split: Split, examples: Sequence[Any], loaded: Data) -> RetrievalOutput:
        """Return, per query, its nearest candidates, and where the metric counts them the ranks of its targets."""
        pool = loaded.pool
        assert pool is not None
        texts = Side(f"{language}-{split}", [e.text for e in examples], loaded.hash, [len(examples)])
        name = "candidates" if self._shared else f"{language}-{split}-candidates"
        searched = Side(name, _Texts(pool.candidates), pool.hash, pool.parts, candidate=True)
        queries, candidates = self._vectors([texts, searched])
        device = str(self.predictor.device)
        with self._search_bar(queries, candidates) as shown:
            near = search.search(queries, candidates, self.spec.input.top_k, device=device, tick=shown.update)
        ranks: list[tuple[int, ...] | None] = [None] * len(examples)
        if self.spec.metric == "map_at_20":
            place = {identity: index for index, identity in enumerate(pool.ids)}
            targets = [[place[t] for t in e.targets if t in place] for e in examples]
            ranks = [tuple(sorted(r)) for r in search.ranks(queries, candidates, targets, device=device)]
        rankings = {
            example.id: Ranking(tuple(pool.ids[i] for i in row), of_targets)
            for example, row, of_targets in zip(examples, near.indices.tolist(), ranks, strict=True)
        }
        return RetrievalOutput(rankings, self.cut, {}, self.tokens)

    def mined(self, language: str, split: Split, examples: Sequence[Any], loaded: Data) -> RetrievalOutput:
        """Return the pairs of two corpora that score at least the threshold, which is tuned on development data."""
        pairs, dropped = self._pairs(language, split, examples, loaded)
        dev = loaded
        right = gold(self.spec, examples)
        if split == "dev":
            tuned = mining.tune(pairs, right)
        else:
            dev = self.predictor.load(self.spec, language, "dev")
            of_dev, _ = self._pairs(language, "dev", dev.examples, dev)
            right = gold(self.spec, dev.examples)
            tuned = mining.tune(of_dev, right)
        selection = {
            "threshold": tuned.value,
            "threshold_from": f"{language} dev",
            "dev_f1": tuned.f1,
            "dev_hash": dev.hash,
            "dev_n": len(right),
            "dev_expected_n": dev.expected_n,
        }
        counts = {"mined": len(pairs), "repeated_sentences": dropped, **self.cut}
        return RetrievalOutput(mining.extract(pairs, tuned.value), counts, selection, self.tokens)

    def _pairs(
        self, language: str, split: Split, examples: Sequence[Any], loaded: Data
    ) -> tuple[list[mining.Scored], int]:
        """Return the mined pairs of a split with their scores, and how many were dropped as their text is not alone."""
        pool = loaded.pool
        assert pool is not None
        first, first_ids = [e.text for e in examples], [e.id for e in examples]
        second = list(_Texts(pool.candidates))
        kept, kept_english = mining.unify(first), mining.unify(second)
        sides = [
            Side(f"{language}-{split}", [first[i] for i in kept], loaded.hash, [len(kept)]),
            Side(
                f"{language}-{split}-english",
                [second[i] for i in kept_english],
                pool.hash,
                [len(kept_english)],
                candidate=True,
            ),
        ]
        ours, english = self._vectors(sides)
        with self._search_bar(ours, english) as shown:
            forward, backward = search.search_both(
                ours, english, self.spec.input.neighbours, device=str(self.predictor.device), tick=shown.update
            )
        return mining.with_ids(mining.mine(forward, backward), first, second, first_ids, pool.ids)

    @property
    def _shared(self) -> bool:
        return self.spec.candidates is not None and self.spec.candidates.scope == "task"

    def _search_bar(self, queries: Array, candidates: Array) -> Any:
        size = len(queries) * len(candidates)
        return bar(f"{self.spec.name} search", size, self.predictor.progress and size >= LONG_SEARCH, unit="pairs")

    def _vectors(self, sides: Sequence[Side]) -> list[Array]:
        """Return the vectors [texts, width] of each side, of length one, memory-mapped."""
        settings = self.spec.input
        changed = settings.center != "none" or settings.whiten
        raw = [self._side(side, unit=not changed) for side in sides]
        if not changed:
            return raw
        folder = self.predictor.folder / self.spec.name / self.encoder.dtype
        # A pool that is shared is changed beside each language's queries anew: with whitening it depends on them.
        targets = [folder / f"{sides[0].name}-{place}.changed.npy" for place in range(len(sides))]
        return embeddings.center_and_whiten(
            [(path, vectors, side.parts) for path, vectors, side in zip(targets, raw, sides, strict=True)],
            center=settings.center == "language",
            whiten=settings.whiten,
        )

    def _side(self, side: Side, *, unit: bool) -> Array:
        settings, predictor = self.spec.input, self.predictor
        wanted = settings.candidate_max_length if side.candidate else None
        longest = wanted or settings.max_length
        if self.encoder.max_positions is not None:
            longest = min(longest, self.encoder.max_positions)
        if longest < (wanted or settings.max_length):
            self.cut["max_length"] = longest
        kept = settings.model_dump(
            exclude={"layer", "layer_dev", "neighbours", "top_k", "center", "whiten"}, mode="json"
        )
        # Not the budget: vectors that are there hold for all languages and layers, though the budget may be another.
        digest = digest_of(predictor.identity, self.encoder.dtype, side.digest, len(side.texts), longest, kept, unit)
        # A folder per type: where one language needs float32, the vectors of the others stay.
        folder = predictor.folder / self.spec.name / self.encoder.dtype
        layer = -1 if settings.pooling == "pooler" else self.layer
        vectors = embeddings.open_vectors(folder, side.name, digest, layer)
        if vectors is None:
            layers: tuple[int, ...] = () if layer == -1 else (layer,)
            if predictor.every_layer and layers:
                layers = tuple(range(self.encoder.layers + 1))
            job = EmbeddingJob(side.name, side.texts, digest, layers, settings.vectors, unit)
            context = Context(self.encoder.tokenizer, longest, settings, layers=layers)
            with bar(f"{self.spec.name} {side.name}", len(side.texts), predictor.progress, unit="texts") as shown:
                embeddings.embed(job, folder, self.encoder, context, self.budget, shown)
            vectors = embeddings.open_vectors(folder, side.name, digest, layer)
            assert vectors is not None, "the vectors have just been written"
        # A pool that all languages share belongs to none of them.
        if not (side.candidate and self._shared):
            self.tokens += embeddings.tokens_of(folder, side.name)
        return vectors


class _Texts(Sequence[str]):
    """The texts of candidates, read as they are asked for."""

    def __init__(self, candidates: Sequence[Any]) -> None:
        self._candidates = candidates

    def __len__(self) -> int:
        return len(self._candidates)

    def __getitem__(self, index: Any) -> Any:
        texts = self._candidates[index]
        return [candidate.text for candidate in texts] if isinstance(index, slice) else texts.text

    def __iter__(self) -> Any:
        return (candidate.text for candidate in self._candidates)
