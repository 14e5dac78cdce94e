"""Evaluate every layer of an encoder, or choose one on development data."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from xharness.data import candidates
from xharness.data import loading as data_loading
from xharness.errors import DataError, NothingToDo, OutputError, XharnessError
from xharness.evaluation.evaluator import Evaluator, LayerChoice, with_overrides
from xharness.evaluation.model_cache import ModelCache, open_model_cache
from xharness.evaluation.plan import Step
from xharness.evaluation.prepare import Prepared
from xharness.evaluation.retrieval.compare import RetrievalPredictor, resolve_layer
from xharness.evaluation.run_folder import checkpoint_folder, run_folder, settings_of
from xharness.progress import bar
from xharness.results.aggregate import TaskResult, task_result
from xharness.results.runs import digest
from xharness.results.score import Score
from xharness.tasks.registry import load_task
from xharness.tasks.selection import Selection


@dataclass(frozen=True)
class Curve:
    """The score of one target at every layer.

    Attributes:
        task: the target.
        layers: index into hidden_states -> the result at that layer.
        own: the layer of the target's spec for an encoder of this depth.
    """

    task: str
    layers: dict[int, TaskResult]
    own: int

    def to_json(self) -> dict[str, Any]:
        """Return what ``--json`` prints for the target."""
        return {
            "spec_layer": self.own,
            "layers": {
                str(layer): {
                    "score": result.mean.get("score"),
                    "complete": result.complete,
                    "incomplete_because": result.why or None,
                    "languages": {code: score.scores for code, score in result.languages.items()},
                }
                for layer, result in self.layers.items()
            },
        }


@dataclass(frozen=True)
class Curves:
    """The scores of every layer: a curve per target, the run folder of each layer, and failures."""

    curves: list[Curve]
    folder: Path
    runs: dict[int, Path]
    failures: list[str]
    facts: dict[str, Any]

    def to_json(self) -> dict[str, Any]:
        """Return the object that ``--json`` prints."""
        return {
            **self.facts,
            "runs": {str(layer): str(path) for layer, path in self.runs.items()},
            "tasks": {curve.task: curve.to_json() for curve in self.curves},
            "failures": self.failures,
        }


def run(
    prepared: Prepared,
    output: str | Path = "results",
    *,
    say: Callable[[str], None] | None = None,
    progress: bool = True,
) -> Curves:
    """Score every layer of an encoder with a single forward pass per text.

    Every layer has its own run folder, the same one that ``--layer N`` would create.

    Raises:
        NothingToDo: no target of the plan compares vectors of layers.
    """
    say = say or (lambda sentence: None)
    steps = [step for step in prepared.steps if step.runs and has_layers(step, prepared)]
    without = {step.task: _why_without(step) for step in prepared.steps if step not in steps}
    if not steps:
        raise NothingToDo(
            "--layer all needs a target that compares embeddings with mean or cls pooling (tatoeba, bucc2018, ...):\n"
            + "\n".join(f"  {task}: {why}" for task, why in without.items())
        )
    for task, why in without.items():
        say(f"{task} is not in the curve: {why}")
    candidates.clear_cache()
    model_cache = open_model_cache(prepared)
    scores, runs, failures = _every_layer(prepared, steps, Path(output), model_cache, say, progress)
    failures += prepared.missing_languages(steps)
    if not any(scores.values()):
        raise type(failures[0])("\n".join(dict.fromkeys(map(str, failures))))
    curves = []
    for step in steps:
        assert step.spec is not None
        layers = {layer: by_task[step.task] for layer, by_task in scores.items() if step.task in by_task}
        if layers:
            benchmark = prepared.selection.benchmark
            results = {layer: task_result(step.spec, by_task, benchmark) for layer, by_task in layers.items()}
            curves.append(Curve(step.task, results, resolve_layer(None, step.spec.input, max(scores))))
    checkpoint = prepared.checkpoint
    facts = {
        "model": checkpoint.name,
        "model_sha": checkpoint.sha,
        "model_hash": checkpoint.content_hash,
        "dtype": model_cache.dtype,
        "seed": prepared.options.seed,
        "split": prepared.options.split,
    }
    return Curves(
        curves, _sweep_folder(prepared, Path(output), model_cache.dtype), runs, [str(f) for f in failures], facts
    )


def choose(
    prepared: Prepared,
    steps: Sequence[Step],
    output: Path,
    model_cache: ModelCache,
    say: Callable[[str], None],
    progress: bool,
) -> tuple[dict[str, LayerChoice], dict[str, XharnessError]]:
    """Return target -> the best layer on development data, and target -> error for targets without one.

    The development data is the first available one of the spec's ``layer_dev``: Tatoeba in languages outside both
    benchmarks, or BUCC's development set. Pooling, centering and so on are those of the target. Of equally good layers
    the lowest is chosen.
    """
    chosen: dict[str, LayerChoice] = {}
    refused: dict[str, XharnessError] = {}
    choices: dict[str, LayerChoice] = {}
    for step in steps:
        if not has_layers(step, prepared):
            if step.spec is not None and step.spec.compares_vectors:
                say(f"{step.task}: the pooler's output has no layers to choose from; it is used as it is.")
            continue
        try:
            trial = _trial(prepared, step)
            key = str((trial.steps[0].task, trial.options, trial.steps[0].languages))
            if key not in choices:
                choices[key] = _best(trial, output, model_cache, say, progress)
            chosen[step.task] = choices[key]
            record = choices[key].record
            where = f"{record['layer_from']} ({record['layer_languages']})"
            say(f"{step.task}: layer {choices[key].layer}, chosen on {where}.")
        except OutputError:
            raise
        except XharnessError as error:
            refused[step.task] = error
            say(f"{step.task}: {error}")
    return chosen, refused


def _why_without(step: Step) -> str:
    if not step.runs:
        return step.reason
    if step.spec is not None and step.spec.compares_vectors:
        return "it compares the pooler's output, which has no layers; use --pooling mean or cls."
    return "its head uses the last layer."


def has_layers(step: Step, prepared: Prepared) -> bool:
    """Return whether a target compares embeddings from a layer, and not the pooler's output."""
    if step.spec is None or not step.spec.compares_vectors:
        return False
    return bool(with_overrides(step.spec, prepared.options).input.pooling != "pooler")


def _trial(prepared: Prepared, step: Step) -> Prepared:
    """Return the evaluation on development data that chooses the layer of a target."""
    assert step.spec is not None
    settings = with_overrides(step.spec, prepared.options).input
    for name in settings.layer_dev:
        spec = load_task(name)
        available = [
            code for code in spec.languages if data_loading.available(spec, code, "dev", prepared.data_dir) is None
        ]
        if available:
            options = replace(
                prepared.options,
                split="dev",
                pooling=settings.pooling,
                special_tokens=settings.special_tokens,
                center=settings.center,
                whiten=settings.whiten,
                prefix=settings.prefix,
                limit=None,
            )
            steps = [Step(spec.name, spec, "encoder only", "", tuple(available))]
            return replace(prepared, steps=steps, selection=Selection(None, (spec,)), options=options)
    names = ", ".join(settings.layer_dev) or "none is named in its spec"
    raise DataError(
        f"{step.task}: --layer dev finds no development data (input.layer_dev: {names}). "
        f"Fetch it: xharness fetch --targets {settings.layer_dev[0] if settings.layer_dev else 'tatoeba-dev'} --to DIR"
    )


def _best(
    trial: Prepared, output: Path, model_cache: ModelCache, say: Callable[[str], None], progress: bool
) -> LayerChoice:
    step = trial.steps[0]
    assert step.spec is not None
    scores, _, failures = _every_layer(trial, [step], output, model_cache, say, progress, trial=True)
    if failures:
        raise failures[0]
    means = {layer: task_result(step.spec, by_task[step.task], None).mean["score"] for layer, by_task in scores.items()}
    best = max(means, key=lambda layer: (means[layer], -layer))
    languages = " ".join(step.languages)
    layer_scores = {str(layer): mean for layer, mean in means.items()}
    return LayerChoice(best, {"layer_from": step.task, "layer_languages": languages, "layer_scores": layer_scores})


def _every_layer(
    prepared: Prepared,
    steps: Sequence[Step],
    output: Path,
    model_cache: ModelCache,
    say: Callable[[str], None],
    progress: bool,
    *,
    trial: bool = False,
) -> tuple[dict[int, dict[str, dict[str, Score]]], dict[int, Path], list[XharnessError]]:
    """Return layer -> target -> language -> score, the run folders by layer, and failures."""
    assert steps[0].spec is not None
    depth = model_cache.encoder(with_overrides(steps[0].spec, prepared.options), model_cache.dtype).layers
    folder = _sweep_folder(prepared, output, model_cache.dtype)
    predictor = RetrievalPredictor(
        folder, prepared.data_dir, model_cache.device, prepared.checkpoint.id, True, progress
    )
    evaluators: dict[int, Evaluator] = {}
    runs: dict[int, Path] = {}
    for layer in range(depth + 1):
        of_layer = replace(prepared, options=replace(prepared.options, layer=layer))
        runs[layer] = run_folder(of_layer, output, model_cache.dtype, say, trial=trial)
        evaluators[layer] = Evaluator(of_layer, runs[layer], model_cache, predictor, say)
    scores: dict[int, dict[str, dict[str, Score]]] = {layer: {step.task: {} for step in steps} for layer in evaluators}
    failures: list[XharnessError] = []
    for step in steps:
        with bar(
            step.task, None if step.examples is None else step.examples * len(evaluators), progress
        ) as progress_bar:
            for language in step.languages:
                failure = _language(step, language, evaluators, scores, progress_bar)
                if failure is not None:
                    # Layers are compared over the same languages.
                    for by_task in scores.values():
                        by_task[step.task].pop(language, None)
                    failures.append(failure)
                    say(f"{step.task} {language}: {failure}")
                predictor.clear_cache(step.task, language)
        predictor.clear_cache(step.task)
    scored = {
        layer: {task: by_language for task, by_language in by_task.items() if by_language}
        for layer, by_task in scores.items()
    }
    return scored, runs, failures


def _language(
    step: Step,
    language: str,
    evaluators: Mapping[int, Evaluator],
    scores: dict[int, dict[str, dict[str, Score]]],
    progress_bar: Any,
) -> XharnessError | None:
    """Score a language at every layer; return the error if one fails."""
    for layer, evaluator in evaluators.items():
        progress_bar.set_postfix_str(f"{language} layer {layer}")
        try:
            scores[layer][step.task][language] = evaluator.evaluate(step, language, progress_bar)
        except OutputError:
            raise
        except XharnessError as error:
            return error
    return None


def _sweep_folder(prepared: Prepared, output: Path, dtype: str) -> Path:
    settings = {name: value for name, value in settings_of(prepared, dtype).items() if name != "layer"}
    return checkpoint_folder(prepared, output) / "layers" / digest(settings) / f"seed{prepared.options.seed}"
