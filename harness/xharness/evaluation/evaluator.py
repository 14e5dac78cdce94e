"""Evaluate one target in one language: predict, score, save; reuse valid results."""

from __future__ import annotations

import json
import math
import platform
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from xharness import files
from xharness.data import loading as data_loading
from xharness.errors import DataError, ModelError
from xharness.evaluation.model_cache import ModelCache
from xharness.evaluation.plan import Step
from xharness.evaluation.prepare import Options, Prepared
from xharness.evaluation.retrieval.compare import RetrievalPredictor, describe_encoding, resolve_layer
from xharness.models import devices, inference
from xharness.models.kinds import KINDS
from xharness.models.kinds.base import Array, Context, NonFiniteOutput
from xharness.models.loading import LoadedModel
from xharness.progress import Ticker
from xharness.results import predictions
from xharness.results import score as results_score
from xharness.results.score import Score
from xharness.results.scoring import in_file_order, intervals_of, score_file
from xharness.tasks.task_spec import TaskSpec
from xharness.version import __version__

# Examples that are tokenized, sorted by length and run together: enough to fill batches of equal length, and few enough
# that memory use does not grow with the number of examples.
CHUNK = 16_000


@dataclass(frozen=True)
class LayerChoice:
    """A layer that was chosen on development data, and the record of the choice for ``Score.selection``."""

    layer: int
    record: dict[str, Any]


@dataclass(frozen=True)
class TunedProvenance:
    """A tuned checkpoint that is evaluated in place of the run's own, and its record.

    Attributes:
        track: its training data (``results.score.TRACKS``).
        selected_by: how the checkpoint was selected.
        record: see ``Score.tuned``.
        selected_on: hashes of the data that it was selected on; scores on the same data are marked.
    """

    track: str
    selected_by: str
    record: dict[str, Any]
    selected_on: frozenset[str]

    def selection_for(self, data_hash: str) -> str:
        """Return ``Score.selected_by`` for a score on data with this hash."""
        return results_score.ON_TEST if data_hash in self.selected_on else self.selected_by


def with_overrides(spec: TaskSpec, options: Options) -> TaskSpec:
    """Return a target with the user's embedding settings (pooling, prefix ...)."""
    if not spec.compares_vectors:
        return spec
    overrides = {name: getattr(options, name) for name in ("pooling", "prefix", "special_tokens", "center", "whiten")}
    changes = {name: value for name, value in overrides.items() if value is not None}
    return spec.model_copy(update={"input": spec.input.model_copy(update=changes)})


@dataclass(frozen=True)
class CellOutput:
    """The predictions of one target in one language, and how they were computed."""

    predictions: Any
    counts: dict[str, int]
    tokens: int
    budget: int
    dtype: str
    layer: int | None = None
    selection: dict[str, Any] = field(default_factory=dict)
    encoding: dict[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


class Evaluator:
    """Evaluates targets of one run, one language at a time.

    Args:
        prepared: the checkpoint, the data folder and the options.
        folder: the run folder.
        model_cache: loads the checkpoint; evaluators can share one.
        predictor: embeds and compares texts; evaluators can share one.
        say: called with progress messages.
        chosen: target -> layer that was chosen on development data.
        tuned: the tuned checkpoint in ``model_cache``, if it is not the run's own checkpoint.
    """

    def __init__(
        self,
        prepared: Prepared,
        folder: Path,
        model_cache: ModelCache,
        predictor: RetrievalPredictor,
        say: Callable[[str], None],
        chosen: Mapping[str, LayerChoice] | None = None,
        tuned: TunedProvenance | None = None,
    ) -> None:
        self._checkpoint = prepared.checkpoint
        self._options = prepared.options
        self._folder = folder
        self._model_cache = model_cache
        self._predictor = predictor
        self._device = model_cache.device
        self._dtype = model_cache.dtype
        self._say = say
        self._chosen = chosen or {}
        self._tuned = tuned

    def evaluate(self, step: Step, language: str, bar: Any) -> Score:
        """Return the score of a target in a language: from disk if it is still valid, otherwise computed and saved."""
        assert step.spec is not None
        spec = with_overrides(step.spec, self._options)
        loaded = self._predictor.load(step.spec, language, self._options.split)
        score_path = self._folder / "results" / spec.name / f"{language}.json"
        predictions_path = predictions.path(
            self._folder / "predictions", spec.name, spec.kind, language, self._options.split
        )
        limit = self._options.limit
        total = len(loaded.examples) if limit is None else min(limit, len(loaded.examples))
        saved = self._saved_score(step.spec, language, loaded, score_path, predictions_path)
        if saved is not None:
            bar.update(total)
            return saved
        started = time.perf_counter()
        examples = loaded.examples if limit is None else loaded.examples[:limit]
        work = self._predict(spec, step, language, examples, loaded, bar)
        predictions.write(predictions_path, spec.kind, in_file_order(examples, work.predictions))
        plain = score_file(step.spec, language, self._options.split, loaded, predictions_path, limit)
        score = replace(
            plain,
            counts={**plain.counts, **{k: v for k, v in work.counts.items() if v}},
            model=self._checkpoint.name,
            model_sha=self._checkpoint.sha,
            model_hash=self._checkpoint.content_hash,
            settings=self._options.settings(self._dtype),
            layer=work.layer,
            pooling=work.encoding.get("pooling"),
            encoding=work.encoding,
            selection=work.selection,
            **{"selected_by": _selected_by(spec, work.selection), **self._tuning_fields(loaded.hash)},
            dtype=work.dtype,
            device=devices.device_name(self._device),
            batch_tokens=work.budget,
            seed=self._options.seed,
            versions={"xharness": __version__, "python": platform.python_version(), **devices.versions()},
            seconds=round(time.perf_counter() - started, 3),
            tokens=work.tokens,
            notes=(*plain.notes, *work.notes),
        )
        results_score.save(score, score_path)
        budget_file = self._budget_file(spec, language)
        budget_file.unlink(missing_ok=True)
        with suppress(OSError):  # another language has begun
            budget_file.parent.rmdir()
            budget_file.parent.parent.rmdir()
        if not self._predictor.every_layer:
            self._predictor.clear_cache(spec.name, language)
        return score

    def _saved_score(
        self, spec: TaskSpec, language: str, loaded: data_loading.Data, score_path: Path, predictions_path: Path
    ) -> Score | None:
        """Return the score on disk if data, spec and predictions are the same; else None."""
        if not score_path.is_file() or not predictions_path.is_file():
            return None
        try:
            score = results_score.load(score_path)
        except DataError as error:
            self._say(f"{error} It is computed again.")
            return None
        options = self._options
        same = (
            (score.task, score.language, score.split) == (spec.name, score_path.stem, options.split)
            and score.settings.get("limit") == options.limit
            and self._same_choices(spec, language, score)
            and all(getattr(score, name) == value for name, value in self._tuning_fields(loaded.hash).items())
            and all(math.isfinite(value) for value in score.scores.values())
            and all(key in score.scores for key in spec.score_keys)
            and not score.changed(
                data_hash=loaded.hash,
                spec_hash=spec.hash,
                predictions_sha256=files.sha256(predictions_path),
                candidates_hash=loaded.pool.hash if loaded.pool is not None else None,
            )
        )
        if not same:
            self._say(f"{spec.name} {score_path.stem}: data, spec or files changed since; it is computed again.")
            return None
        # More may be known about the same examples now: a MANIFEST.tsv that calls them a stand-in, another source.
        updated = replace(
            score,
            data_source=loaded.source,
            data_revision=loaded.revision,
            data_status=loaded.status,
            expected_n=loaded.expected_n,
            # Scores of earlier versions have no intervals; they are computed from the predictions, without the model.
            intervals=score.intervals or intervals_of(spec, language, loaded, predictions_path, options.limit),
        )
        if updated != score:
            results_score.save(updated, score_path)
        return updated

    def _tuning_fields(self, data_hash: str) -> dict[str, Any]:
        """Return the fields of a score that describe the tuned checkpoint; {} for the run's own checkpoint."""
        if self._tuned is None:
            return {}
        return {
            "phase": results_score.TUNED,
            "track": self._tuned.track,
            "tuned": self._tuned.record,
            "selected_by": self._tuned.selection_for(data_hash),
        }

    def _same_choices(self, spec: TaskSpec, language: str, score: Score) -> bool:
        """Return whether layer and threshold were chosen on the same development data as they would be now."""
        choice = self._chosen.get(spec.name)
        if choice is not None:
            recorded = {name: score.selection.get(name) for name in choice.record}
            if (score.layer, recorded) != (choice.layer, choice.record):
                return False
        if spec.kind == "mining" and self._options.split == "test":
            return bool(score.selection.get("dev_hash") == self._predictor.load(spec, language, "dev").hash)
        return True

    def _predict(
        self, spec: TaskSpec, step: Step, language: str, examples: Sequence[Any], loaded: data_loading.Data, bar: Any
    ) -> CellOutput:
        """Predict a language, with a smaller token budget after out-of-memory, and in float32 after NaN or infinity."""
        dtype = self._dtype
        notes: tuple[str, ...] = ()
        before = bar.n
        budget = 0
        while True:
            encoder = self._model_cache.encoder(spec, dtype)
            budget = budget or self._budget(spec, language, encoder)
            try:
                if KINDS[spec.kind].decode is None:
                    work = self._predict_embeddings(spec, language, encoder, examples, loaded, budget)
                else:
                    work = self._predict_head(spec, step, encoder, examples, budget, bar)
                bar.update(before + len(examples) - bar.n)
                return replace(work, notes=notes)
            except NonFiniteOutput:
                if dtype == "float32":
                    raise ModelError(
                        f"{spec.name} {language}: the model output has NaN or infinity in float32."
                    ) from None
                notes = (f"the model output had NaN or infinity in {dtype}; repeated in float32",)
                self._say(f"{spec.name} {language}: {notes[0]}.")
                dtype = "float32"
            except (torch.OutOfMemoryError, RuntimeError) as error:
                if not devices.out_of_memory(error):
                    raise
                if budget // 2 < inference.SMALLEST_BUDGET:
                    raise ModelError(
                        f"{spec.name} {language}: out of memory even with {budget} tokens a batch. "
                        "Use --device cpu, or a machine with more memory."
                    ) from None
                budget //= 2
                files.write_json(self._budget_file(spec, language), {"batch_tokens": budget})
                self._say(f"{spec.name} {language}: out of memory; starting again with {budget} tokens a batch.")
            if self._device.type == "cuda":
                torch.cuda.empty_cache()
            bar.update(before - bar.n)

    def _budget_file(self, spec: TaskSpec, language: str) -> Path:
        return self._folder / "started" / spec.name / f"{language}.json"

    def _budget(self, spec: TaskSpec, language: str, encoder: LoadedModel) -> int:
        """Return the token budget of a language; the same in a resumed run, because kernels round by shape."""
        path = self._budget_file(spec, language)
        asked = self._options.batch_tokens
        if path.is_file() and asked is None:
            try:
                return int(json.loads(path.read_text(encoding="utf-8"))["batch_tokens"])
            except (ValueError, KeyError, TypeError):
                self._say(f"{path} is damaged; {spec.name} {language} starts again.")
        budget = asked or inference.default_budget(encoder)
        files.write_json(path, {"batch_tokens": budget})
        return budget

    def _predict_embeddings(
        self,
        spec: TaskSpec,
        language: str,
        encoder: LoadedModel,
        examples: Sequence[Any],
        loaded: data_loading.Data,
        budget: int,
    ) -> CellOutput:
        choice = self._chosen.get(spec.name)
        requested = choice.layer if choice is not None else self._options.layer
        layer = resolve_layer(requested, spec.input, encoder.layers)
        output = self._predictor.predict(spec, language, self._options.split, examples, loaded, encoder, layer, budget)
        selection = {**output.selection, **(choice.record if choice is not None else {})}
        encoding = describe_encoding(spec.input, layer, encoder.layers)
        used = None if spec.input.pooling == "pooler" else layer
        return CellOutput(
            output.predictions, output.counts, output.tokens, budget, encoder.dtype, used, selection, encoding
        )

    def _predict_head(
        self, spec: TaskSpec, step: Step, encoder: LoadedModel, examples: Sequence[Any], budget: int, bar: Any
    ) -> CellOutput:
        kind = KINDS[spec.kind]
        assert kind.decode is not None
        longest = spec.input.max_length
        if encoder.max_positions is not None:
            longest = min(longest, encoder.max_positions)
        context = Context(encoder.tokenizer, longest, spec.input, step.labels)
        decoded: list[Any] = []
        counts: dict[str, int] = {}
        tokens = 0
        for start in range(0, len(examples), CHUNK):
            chunk = examples[start : start + CHUNK]
            features = kind.encode(chunk, context)
            done = Ticker(bar, len(chunk), sum(features.lengths))
            arrays: list[Array] = inference.forward(encoder, kind, features, context, budget, done.tick)
            decoded += kind.decode(chunk, features, arrays, context)
            tokens += sum(features.lengths)
            for name, count in features.counts.items():
                counts[name] = counts.get(name, 0) + count
        if longest < spec.input.max_length:
            counts["max_length"] = longest
        return CellOutput(decoded, counts, tokens, budget, encoder.dtype)


def _selected_by(spec: TaskSpec, selection: Mapping[str, Any]) -> str:
    if "layer_from" in selection:
        return "target-dev" if selection["layer_from"] == spec.name else "other-dev"
    return "target-dev" if "threshold" in selection else "none"
