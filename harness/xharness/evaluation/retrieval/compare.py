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

# Number of vector products from which a search shows a progress bar.
LONG_SEARCH = 10**9


@dataclass(frozen=True)
class Side:
    """The texts on one side of a comparison.

    Attributes:
        name: name of its files.
        texts: the texts to embed.
        digest: hash of the texts.
        parts: number of texts of each language, in order.
        candidate: whether this side is searched.
    """

    name: str
    texts: Sequence[str]
    digest: str
    parts: Sequence[int]
    candidate: bool = False


@dataclass(frozen=True)
class RetrievalOutput:
    """Predictions from comparing embeddings, with counts and what was selected on development data."""

    predictions: Any
    counts: dict[str, int]
    selection: dict[str, Any]
    tokens: int


def resolve_layer(asked: int | str | None, settings: RetrievalInput, depth: int) -> int:
    """Return the index into hidden_states of an encoder with ``depth`` layers: the requested or the spec's layer.

    With ``pooler`` pooling the request is ignored; the index is the spec's, and is not used.

    Raises:
        UsageError: there is no such layer.
    """
    if asked is None or settings.pooling == "pooler":
        asked = settings.layer.get(depth, settings.layer.get("default", "last"))
    requested = asked
    if requested in ("dev", "all"):
        raise UsageError(f"Layer '{requested}' names no single layer. Give an index into hidden_states, or 'last'.")
    index = depth if requested == "last" else int(requested)
    resolved = index + depth + 1 if index < 0 else index
    if not 0 <= resolved <= depth:
        raise UsageError(
            f"Layer {index} does not exist: the encoder has {depth} layers, so hidden_states has the indices 0 "
            f"(embeddings) to {depth}, or -{depth + 1} to -1."
        )
    return resolved


def describe_encoding(settings: RetrievalInput, layer: int, depth: int) -> dict[str, Any]:
    """Return the encoding settings for the result file (``Score.encoding``)."""
    described_settings = settings.model_dump(exclude={"layer", "layer_dev", "neighbours", "top_k"}, exclude_none=True)
    layer_entry = {} if settings.pooling == "pooler" else {"layer": layer}
    return {**layer_entry, "layers": depth, **described_settings}


@dataclass(frozen=True)
class RetrievalPredictor:
    """Embeds and compares the texts of a task, with embeddings in files.

    Attributes:
        folder: folder for the embeddings.
        data_dir: data folder with the development data.
        device: device for the forward passes and the products.
        identity: id of the checkpoint.
        every_layer: compute the embeddings of all layers in one pass, because all of them are needed.
        progress: show progress bars.
    """

    folder: Path
    data_dir: Path | None
    device: torch.device
    identity: str
    every_layer: bool = False
    progress: bool = False
    _read: dict[tuple[str, str, Split], Data] = field(default_factory=dict)

    def load(self, spec: TaskSpec, language: str, split: Split) -> Data:
        """Return the data of a split; with ``every_layer`` the data of the last language is cached."""
        if not self.every_layer:
            return data_loading.load(spec, language, split, self.data_dir)
        key = (spec.name, language, split)
        if key not in self._read:
            for other in [known for known in self._read if known[:2] != key[:2]]:
                del self._read[other]
            self._read[key] = data_loading.load(spec, language, split, self.data_dir)
        return self._read[key]

    def predict(
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
        """Return the predictions of a language from the embeddings of one layer.

        Raises:
            NonFiniteOutput: the model output has NaN or infinity.
            DataError: the development data that mining on the test split needs is missing.
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
        """Remove the embeddings of a task, or of one of its languages."""
        folder = self.folder / task
        if language is None:
            shutil.rmtree(folder, ignore_errors=True)
            with suppress(OSError):  # the folder has files of another task
                self.folder.rmdir()
            return
        for path in folder.glob(f"*/{language}-*"):
            path.unlink(missing_ok=True)


@dataclass
class _Request:
    """One task, layer and token budget, while its texts are embedded and compared."""

    predictor: RetrievalPredictor
    spec: TaskSpec
    encoder: LoadedModel
    layer: int
    budget: int
    tokens: int = 0
    cut: dict[str, int] = field(default_factory=dict)

    def nearest(self, language: str, split: Split, examples: Sequence[Any], digest: str) -> RetrievalOutput:
        """Return, per English sentence in the data's order, the index of the nearest sentence.

        English is the query side (XTREME's evaluate script searches the other language for each English sentence). Of
        equally near sentences the one with the lowest index is taken; these cases are counted as ``ties``.
        """
        other = Side(f"{language}-{split}", [e.text for e in examples], digest, [len(examples)], candidate=True)
        english = Side(f"{language}-{split}-english", [e.english for e in examples], digest, [len(examples)])
        sources, queries = self._vectors([other, english])
        neighbors = search.search(queries, sources, 2, device=str(self.predictor.device))
        ties = int((neighbors.scores[:, 0] == neighbors.scores[:, -1]).sum()) if neighbors.scores.shape[1] > 1 else 0
        return RetrievalOutput([int(i) for i in neighbors.indices[:, 0]], {"ties": ties, **self.cut}, {}, self.tokens)

    def ranked(self, language: str, split: Split, examples: Sequence[Any], loaded: Data) -> RetrievalOutput:
        """Return the nearest candidates of each query, and if the metric needs them the ranks of its targets."""
        pool = loaded.pool
        assert pool is not None
        texts = Side(f"{language}-{split}", [e.text for e in examples], loaded.hash, [len(examples)])
        name = "candidates" if self._shared else f"{language}-{split}-candidates"
        searched = Side(name, _Texts(pool.candidates), pool.hash, pool.parts, candidate=True)
        queries, candidates = self._vectors([texts, searched])
        device = str(self.predictor.device)
        with self._search_bar(queries, candidates) as progress_bar:
            neighbors = search.search(
                queries, candidates, self.spec.input.top_k, device=device, tick=progress_bar.update
            )
        ranks: list[tuple[int, ...] | None] = [None] * len(examples)
        if self.spec.metric == "map_at_20":
            row_of = {identity: index for index, identity in enumerate(pool.ids)}
            targets = [[row_of[t] for t in e.targets if t in row_of] for e in examples]
            ranks = [tuple(sorted(r)) for r in search.ranks(queries, candidates, targets, device=device)]
        rankings = {
            example.id: Ranking(tuple(pool.ids[i] for i in row), of_targets)
            for example, row, of_targets in zip(examples, neighbors.indices.tolist(), ranks, strict=True)
        }
        return RetrievalOutput(rankings, self.cut, {}, self.tokens)

    def mined(self, language: str, split: Split, examples: Sequence[Any], loaded: Data) -> RetrievalOutput:
        """Return the pairs of two corpora with at least the threshold score, which is tuned on development data."""
        pairs, dropped = self._pairs(language, split, examples, loaded)
        dev = loaded
        gold_pairs = gold(self.spec, examples)
        if split == "dev":
            tuned = mining.tune(pairs, gold_pairs)
        else:
            dev = self.predictor.load(self.spec, language, "dev")
            of_dev, _ = self._pairs(language, "dev", dev.examples, dev)
            gold_pairs = gold(self.spec, dev.examples)
            tuned = mining.tune(of_dev, gold_pairs)
        selection = {
            "threshold": tuned.value,
            "threshold_from": f"{language} dev",
            "dev_f1": tuned.f1,
            "dev_hash": dev.hash,
            "dev_n": len(gold_pairs),
            "dev_expected_n": dev.expected_n,
        }
        counts = {"mined": len(pairs), "repeated_sentences": dropped, **self.cut}
        return RetrievalOutput(mining.extract(pairs, tuned.value), counts, selection, self.tokens)

    def _pairs(
        self, language: str, split: Split, examples: Sequence[Any], loaded: Data
    ) -> tuple[list[mining.Scored], int]:
        """Return the mined pairs of a split with their scores, and the number dropped because a text is repeated."""
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
        with self._search_bar(ours, english) as progress_bar:
            forward, backward = search.search_both(
                ours, english, self.spec.input.neighbours, device=str(self.predictor.device), tick=progress_bar.update
            )
        return mining.with_ids(mining.mine(forward, backward), first, second, first_ids, pool.ids)

    @property
    def _shared(self) -> bool:
        return self.spec.candidates is not None and self.spec.candidates.scope == "task"

    def _search_bar(self, queries: Array, candidates: Array) -> Any:
        size = len(queries) * len(candidates)
        return bar(f"{self.spec.name} search", size, self.predictor.progress and size >= LONG_SEARCH, unit="pairs")

    def _vectors(self, sides: Sequence[Side]) -> list[Array]:
        """Return the unit-length embeddings [texts, width] of each side, memory-mapped."""
        settings = self.spec.input
        changed = settings.center != "none" or settings.whiten
        raw = [self._side(side, unit=not changed) for side in sides]
        if not changed:
            return raw
        folder = self.predictor.folder / self.spec.name / self.encoder.dtype
        # A shared pool is transformed again for each language, because whitening depends on the queries.
        targets = [folder / f"{sides[0].name}-{index}.changed.npy" for index in range(len(sides))]
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
        encoding = settings.model_dump(
            exclude={"layer", "layer_dev", "neighbours", "top_k", "center", "whiten"}, mode="json"
        )
        # Without the budget: existing embeddings serve all languages and layers, even if the budget differs.
        digest = digest_of(
            predictor.identity, self.encoder.dtype, side.digest, len(side.texts), longest, encoding, unit
        )
        # One folder per dtype: if one language needs float32, the embeddings of the others are kept.
        folder = predictor.folder / self.spec.name / self.encoder.dtype
        layer = -1 if settings.pooling == "pooler" else self.layer
        vectors = embeddings.open_vectors(folder, side.name, digest, layer)
        if vectors is None:
            layers: tuple[int, ...] = () if layer == -1 else (layer,)
            if predictor.every_layer and layers:
                layers = tuple(range(self.encoder.layers + 1))
            job = EmbeddingJob(side.name, side.texts, digest, layers, settings.vectors, unit)
            context = Context(self.encoder.tokenizer, longest, settings, layers=layers)
            with bar(
                f"{self.spec.name} {side.name}", len(side.texts), predictor.progress, unit="texts"
            ) as progress_bar:
                embeddings.embed(job, folder, self.encoder, context, self.budget, progress_bar)
            vectors = embeddings.open_vectors(folder, side.name, digest, layer)
            assert vectors is not None, "the vectors have just been written"
        # The tokens of a shared pool are not counted for any language.
        if not (side.candidate and self._shared):
            self.tokens += embeddings.tokens_of(folder, side.name)
        return vectors


class _Texts(Sequence[str]):
    """The texts of candidates, read lazily."""

    def __init__(self, candidates: Sequence[Any]) -> None:
        self._candidates = candidates

    def __len__(self) -> int:
        return len(self._candidates)

    def __getitem__(self, index: Any) -> Any:
        texts = self._candidates[index]
        return [candidate.text for candidate in texts] if isinstance(index, slice) else texts.text

    def __iter__(self) -> Any:
        return (candidate.text for candidate in self._candidates)
