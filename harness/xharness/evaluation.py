"""The main trip: from a checkpoint to predictions, scores and result files, language by language, resumable."""

from __future__ import annotations

import hashlib
import json
import math
import platform
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

import xharness
from xharness import data, files, hub, models, predictions, results
from xharness.averages import Results, aggregate
from xharness.errors import DataError, ModelError, NothingToDo, OutputError, UsageError, XharnessError
from xharness.kinds import KINDS
from xharness.kinds.base import Array, Context, NonFiniteOutput
from xharness.models import Encoder
from xharness.plan import Step
from xharness.preparation import Options, Prepared, prepare
from xharness.results import Score
from xharness.scoring import in_file_order, run_record, score_file
from xharness.spec import TaskSpec

# Examples that are tokenised, sorted by length and run together: enough to fill batches of even length, and few
# enough that memory does not grow with the number of examples.
CHUNK = 16_000
SMALLEST_BUDGET = 64


def run(
    prepared: Prepared,
    output: str | Path = "results",
    *,
    say: Callable[[str], None] | None = None,
    progress: bool = True,
) -> Results:
    """Compute what the plan says and return the averages.

    Results and predictions lie in ``output/<name>/<id12>/<settings12>/seed<k>/``; what is there already and still
    fits is not computed again. A language that fails is named in ``provenance["failures"]`` and the rest goes on.

    Args:
        prepared: from ``prepare``.
        output: the folder for all runs.
        say: is given sentences about what happens; None: nothing is said.
        progress: show a bar per target on stderr.

    Raises:
        NothingToDo: no step of the plan can run.
        OutputError: results cannot be written.
    """
    say = say or (lambda sentence: None)
    steps = [step for step in prepared.steps if step.runs]
    if not steps:
        raise NothingToDo(
            "Nothing can be evaluated:\n" + "\n".join(f"  {s.task}: {s.state}: {s.reason}" for s in prepared.steps)
        )
    options = prepared.options
    device = models.choose_device(options.device)
    dtype = models.choose_dtype(options.dtype, device)
    torch.manual_seed(options.seed)
    folder = _run_folder(prepared, Path(output), dtype, say)
    path = hub.download(prepared.checkpoint, trust_remote_code=options.trust_remote_code)
    desk = Desk(prepared, folder, path, device, dtype, say)
    scores: list[Score] = []
    failures: list[XharnessError] = []
    if prepared.named_languages:
        there = {code for step in steps for code in step.languages}
        failures += [DataError(why) for step in steps for code, why in step.left_out.items() if code not in there]
    for step in steps:
        with _bar(step, progress) as bar:
            for language in step.languages:
                bar.set_postfix_str(language)
                try:
                    scores.append(desk.cell(step, language, bar))
                except OutputError:
                    raise
                except XharnessError as error:
                    failures.append(error)
                    say(f"{step.task} {language}: {error}")
    if failures and not scores:
        raise type(failures[0])("\n".join(dict.fromkeys(str(f) for f in failures)))
    specs = {step.task: step.spec for step in prepared.steps if step.spec is not None}
    provenance = {
        "run": str(folder),
        "model": prepared.checkpoint.name,
        "model_sha": prepared.checkpoint.sha,
        "model_hash": prepared.checkpoint.content_hash,
        "dtype": dtype,
        "seed": options.seed,
        "split": options.split,
        "plan": {step.task: step.to_json() for step in prepared.steps},
        "failures": [str(f) for f in failures],
    }
    return aggregate(scores, specs, benchmark=prepared.selection.benchmark, provenance=provenance)


def evaluate(
    model: str,
    *,
    targets: Sequence[str] | str = "xtreme",
    languages: Sequence[str] | None = None,
    data_dir: str | Path | None = None,
    output: str | Path = "results",
    say: Callable[[str], None] | None = None,
    progress: bool = False,
    **options: Any,
) -> Results:
    """Score a checkpoint on targets, per language, with the official metrics.

    Args:
        model: a Hub id, with ``@revision`` if not the main branch, or a local folder.
        targets: ``xtreme``, ``xtreme-r``, task names, or paths of task files.
        languages: two-letter codes; None: all of each target.
        data_dir: a folder laid out like the Hub; None: XHARNESS_DATA_DIR, else the Hub.
        output: the folder for all runs.
        say: is given sentences about what happens.
        progress: show progress bars on stderr.
        **options: the fields of ``Options`` (device, dtype, batch_tokens, layer, pooling, prefix, label_map, split,
            limit, seed, trust_remote_code).

    Raises:
        XharnessError: see ``errors``; its text is a sentence for the user.
    """
    names = targets.split(",") if isinstance(targets, str) else targets
    prepared = prepare(model, targets=names, languages=languages, data_dir=data_dir, options=Options(**options))
    return run(prepared, output, say=say, progress=progress)


def _run_folder(prepared: Prepared, output: Path, dtype: str, say: Callable[[str], None]) -> Path:
    """Make the folder of the run and write run.json."""
    checkpoint, options = prepared.checkpoint, prepared.options
    settings = {**options.settings(dtype), "task_files": _task_files(prepared)}
    if checkpoint.remote_code and options.trust_remote_code:
        settings["trust_remote_code"] = True  # other code, other model
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:12]
    folder = output / checkpoint.folder_name / checkpoint.id[:12] / digest / f"seed{options.seed}"
    path = folder / "run.json"
    # Targets that are added in a later call belong to the same run.
    try:
        earlier = run_record(folder).get("targets", {})
    except XharnessError as error:
        say(f"{error} It is written anew.")
        earlier = {}
    targets = {**earlier, **prepared.selection.paths}
    files.write_json(
        path,
        {
            "schema_version": results.SCHEMA_VERSION,
            "model": checkpoint.name,
            "model_sha": checkpoint.sha,
            "model_hash": checkpoint.content_hash,
            "revision": checkpoint.revision,
            "architectures": list(checkpoint.architectures),
            "settings": settings,
            "seed": options.seed,
            "targets": targets,
            "notes": list(checkpoint.notes),
        },
    )
    return folder


def _task_files(prepared: Prepared) -> dict[str, str]:
    """Return target -> spec hash for task files of the user's own, which may bear a shipped target's name."""
    return {step.task: step.spec.hash for step in prepared.steps if step.spec and step.task in prepared.selection.paths}


def _bar(step: Step, progress: bool) -> Any:
    return tqdm(
        desc=step.task,
        total=step.examples,
        unit="ex",
        file=sys.stderr,
        disable=not progress or not sys.stderr.isatty(),
        dynamic_ncols=True,
        leave=False,
        smoothing=0.1,
    )


class Desk:
    """Where the cells (target x language) of one run are worked on; keeps the loaded model between them."""

    def __init__(
        self,
        prepared: Prepared,
        folder: Path,
        model_path: Path,
        device: torch.device,
        dtype: str,
        say: Callable[[str], None],
    ) -> None:
        self._checkpoint = prepared.checkpoint
        self._data_dir = prepared.data_dir
        self._options = prepared.options
        self._folder = folder
        self._path = model_path
        self._device = device
        self._dtype = dtype
        self._say = say
        self._loaded: tuple[tuple[str, str, str | None], Encoder] | None = None

    def cell(self, step: Step, language: str, bar: Any) -> Score:
        """Return the score of a target in a language: from disk if it is there and fits, else computed and kept."""
        assert step.spec is not None
        spec = self._with_overrides(step.spec)
        loaded = data.load(step.spec, language, self._options.split, self._data_dir)
        score_path = self._folder / "results" / spec.name / f"{language}.json"
        made_path = predictions.path(self._folder / "predictions", spec.name, spec.kind, language, self._options.split)
        limit = self._options.limit
        total = len(loaded.examples) if limit is None else min(limit, len(loaded.examples))
        kept = self._kept(step.spec, loaded, score_path, made_path)
        if kept is not None:
            bar.update(total)
            return kept
        started = time.perf_counter()
        examples = loaded.examples if limit is None else loaded.examples[:limit]
        work = self._predict(spec, step, language, examples, bar)
        predictions.write(made_path, spec.kind, in_file_order(examples, work.predictions))
        plain = score_file(step.spec, language, self._options.split, loaded, made_path, limit)
        score = replace(
            plain,
            counts={**plain.counts, **{k: v for k, v in work.counts.items() if v}},
            model=self._checkpoint.name,
            model_sha=self._checkpoint.sha,
            model_hash=self._checkpoint.content_hash,
            settings=self._options.settings(self._dtype),
            layer=work.layer,
            pooling=spec.input.pooling if spec.kind == "retrieval" else None,
            dtype=work.dtype,
            device=models.device_name(self._device),
            batch_tokens=work.budget,
            seed=self._options.seed,
            versions={
                "xharness": xharness.__version__,
                "python": platform.python_version(),
                **models.versions(),
            },
            seconds=round(time.perf_counter() - started, 3),
            tokens=work.tokens,
            notes=(*plain.notes, *work.notes),
        )
        results.save(score, score_path)
        self._budget_file(spec, language).unlink(missing_ok=True)
        return score

    def _kept(self, spec: TaskSpec, loaded: data.Data, score_path: Path, made_path: Path) -> Score | None:
        """Return the score on disk if it was made from the same data, spec and predictions; else None."""
        if not score_path.is_file() or not made_path.is_file():
            return None
        try:
            score = results.load(score_path)
        except DataError as error:
            self._say(f"{error} It is computed again.")
            return None
        options = self._options
        same = (
            (score.task, score.language, score.split) == (spec.name, score_path.stem, options.split)
            and score.settings.get("limit") == options.limit
            and all(math.isfinite(value) for value in score.scores.values())
            and not score.changed(
                data_hash=loaded.hash, spec_hash=spec.hash, predictions_sha256=files.sha256(made_path)
            )
        )
        if not same:
            self._say(f"{spec.name} {score_path.stem}: data, spec or files changed since; it is computed again.")
            return None
        # The same examples may be known better by now: a MANIFEST.tsv that calls them a stand-in, another source.
        told = replace(
            score,
            data_source=loaded.source,
            data_revision=loaded.revision,
            data_status=loaded.status,
            expected_n=loaded.expected_n,
        )
        if told != score:
            results.save(told, score_path)
        return told

    def _with_overrides(self, spec: TaskSpec) -> TaskSpec:
        if spec.kind != "retrieval":
            return spec
        changes = {"pooling": self._options.pooling, "prefix": self._options.prefix}
        return spec.model_copy(
            update={"input": spec.input.model_copy(update={k: v for k, v in changes.items() if v is not None})}
        )

    def _encoder(self, spec: TaskSpec, dtype: str) -> Encoder:
        kind = KINDS[spec.kind]
        pooling = spec.input.pooling if spec.kind == "retrieval" else None
        key = (kind.auto_class, dtype, pooling)
        if self._loaded is None or self._loaded[0] != key:
            self._loaded = None  # let go of the other one before a second is made
            encoder = models.load(
                self._path,
                kind,
                name=self._checkpoint.name,
                device=self._device,
                dtype=dtype,
                pooling=pooling,
                trust_remote_code=self._options.trust_remote_code,
            )
            self._loaded = (key, encoder)
        return self._loaded[1]

    def _predict(self, spec: TaskSpec, step: Step, language: str, examples: Sequence[Any], bar: Any) -> Work:
        """Predict a cell, with a smaller budget after out-of-memory, and in float32 after NaN or infinity."""
        dtype = self._dtype
        notes: tuple[str, ...] = ()
        before = bar.n
        budget = 0
        while True:
            encoder = self._encoder(spec, dtype)
            budget = budget or self._budget(spec, language, encoder)
            try:
                return replace(self._once(spec, step, encoder, examples, budget, bar), notes=notes)
            except NonFiniteOutput:
                if dtype == "float32":
                    raise ModelError(
                        f"{spec.name} {language}: the model puts out NaN or infinity in float32."
                    ) from None
                notes = (f"the model put out NaN or infinity in {dtype}; repeated in float32",)
                self._say(f"{spec.name} {language}: {notes[0]}.")
                dtype = "float32"
            except (torch.OutOfMemoryError, RuntimeError) as error:
                if not _out_of_memory(error):
                    raise
                if budget // 2 < SMALLEST_BUDGET:
                    raise ModelError(
                        f"{spec.name} {language}: out of memory even with {budget} sub-words a batch. "
                        "Use --device cpu, or a machine with more memory."
                    ) from None
                budget //= 2
                files.write_json(self._budget_file(spec, language), {"batch_tokens": budget})
                self._say(f"{spec.name} {language}: out of memory; starting again with {budget} sub-words a batch.")
            if self._device.type == "cuda":
                torch.cuda.empty_cache()
            bar.update(before - bar.n)

    def _budget_file(self, spec: TaskSpec, language: str) -> Path:
        return self._folder / "started" / spec.name / f"{language}.json"

    def _budget(self, spec: TaskSpec, language: str, encoder: Encoder) -> int:
        """Return the token budget of a cell, the same after a kill: kernels round by shape, bytes must not change."""
        path = self._budget_file(spec, language)
        asked = self._options.batch_tokens
        if path.is_file() and asked is None:
            try:
                return int(json.loads(path.read_text(encoding="utf-8"))["batch_tokens"])
            except (ValueError, KeyError, TypeError):
                self._say(f"{path} is damaged; the cell starts anew.")
        budget = asked or models.default_budget(encoder)
        files.write_json(path, {"batch_tokens": budget})
        return budget

    def _once(
        self, spec: TaskSpec, step: Step, encoder: Encoder, examples: Sequence[Any], budget: int, bar: Any
    ) -> Work:
        kind = KINDS[spec.kind]
        longest = spec.input.max_length
        if encoder.max_positions is not None:
            longest = min(longest, encoder.max_positions)
        layer = self._layer(spec, encoder.layers) if spec.kind == "retrieval" else None
        context = Context(encoder.tokenizer, longest, spec.input, step.labels, layer)
        decoded: list[Any] = []
        counts: dict[str, int] = {}
        tokens = 0
        for start in range(0, len(examples), CHUNK):
            chunk = examples[start : start + CHUNK]
            features = kind.encode(chunk, context)
            done = _Ticker(bar, len(chunk), sum(features.lengths))
            arrays: list[Array] = models.forward(encoder, kind, features, context, budget, done.tick)
            decoded += kind.decode(chunk, features, arrays, context)
            tokens += sum(features.lengths)
            for name, count in features.counts.items():
                counts[name] = counts.get(name, 0) + count
        made, more = kind.finish(examples, decoded, context)
        if longest < spec.input.max_length:
            counts["max_length"] = longest
        return Work(made, {**counts, **more}, tokens, budget, encoder.dtype, layer)

    def _layer(self, spec: TaskSpec, layers: int) -> int:
        """Return the index into hidden_states, from the flag or the spec's line for this depth."""
        chosen = self._options.layer
        if chosen is None:
            chosen = spec.input.layer.get(layers, spec.input.layer.get("default", "last"))
        index = layers if chosen == "last" else int(chosen)
        resolved = index + layers + 1 if index < 0 else index
        if not 0 <= resolved <= layers:
            raise UsageError(
                f"Layer {index} is not there: the encoder has {layers} layers, so hidden_states has the indices 0 "
                f"(embeddings) to {layers}, or -{layers + 1} to -1."
            )
        return resolved


@dataclass(frozen=True)
class Work:
    """What came out of one cell's forward passes."""

    predictions: Any
    counts: dict[str, int]
    tokens: int
    budget: int
    dtype: str
    layer: int | None
    notes: tuple[str, ...] = ()


class _Ticker:
    """Moves a bar of examples on by the share of sub-words that are done: long rows come first and cost more."""

    def __init__(self, bar: Any, examples: int, tokens: int) -> None:
        self._bar, self._examples, self._tokens = bar, examples, max(tokens, 1)
        self._done, self._shown, self._start = 0, 0, time.perf_counter()

    def tick(self, tokens: int) -> None:
        self._done += tokens
        share = self._examples * self._done // self._tokens
        self._bar.update(share - self._shown)
        self._shown = share
        rate = self._done / max(time.perf_counter() - self._start, 1e-9)
        language = (self._bar.postfix or "").split(",")[0]
        self._bar.set_postfix_str(f"{language}, {rate:,.0f} tokens/s", refresh=False)


def _out_of_memory(error: BaseException) -> bool:
    # A CPU has no exception of its own for this.
    return isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error)
