"""`evaluate()`: run the plan, language by language, resumable."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from xharness.data import candidates
from xharness.errors import NothingToDo, OutputError, XharnessError
from xharness.evaluation import layers
from xharness.evaluation.evaluator import Evaluator, LayerChoice
from xharness.evaluation.model_cache import open_model_cache
from xharness.evaluation.plan import Step
from xharness.evaluation.prepare import Options, Prepared, prepare
from xharness.evaluation.retrieval.compare import RetrievalPredictor
from xharness.evaluation.run_folder import run_folder
from xharness.progress import bar
from xharness.results.aggregate import Results, aggregate
from xharness.results.score import Score


def run(
    prepared: Prepared,
    output: str | Path = "results",
    *,
    say: Callable[[str], None] | None = None,
    progress: bool = True,
) -> Results:
    """Run the plan and return the averaged results.

    Results and predictions are in ``output/<name>/<id12>/<settings12>/seed<k>/``; existing results that are still valid
    are reused. If a language fails, its error is in ``provenance["failures"]`` and the other languages continue.

    Args:
        prepared: the result of ``prepare``.
        output: the folder for all runs.
        say: called with progress messages; None: no messages.
        progress: show a progress bar per target on stderr.

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
    candidates.clear_cache()
    model_cache = open_model_cache(prepared)
    folder = run_folder(prepared, Path(output), model_cache.dtype, say)
    scores: list[Score] = []
    failures = prepared.missing_languages(steps)
    chosen: dict[str, LayerChoice] = {}
    if options.layer == "dev":
        chosen, refused = layers.choose(prepared, steps, Path(output), model_cache, say, progress)
        failures += refused.values()
        steps = [step for step in steps if step.task not in refused]
    for step in steps:
        compares = step.spec is not None and step.spec.compares_vectors
        if options.layer not in (None, "dev") and compares and not layers.has_layers(step, prepared):
            say(f"{step.task}: the pooler's output has no layers; --layer has no effect.")
    predictor = RetrievalPredictor(
        folder / "vectors", prepared.data_dir, model_cache.device, prepared.checkpoint.id, progress=progress
    )
    evaluator = Evaluator(prepared, folder, model_cache, predictor, say, chosen)
    for step in steps:
        scores += _score_languages(evaluator, step, failures, say, progress)
        predictor.clear_cache(step.task)
    if failures and not scores:
        raise type(failures[0])("\n".join(dict.fromkeys(str(f) for f in failures)))
    specs = {step.task: step.spec for step in prepared.steps if step.spec is not None}
    provenance = {
        "run": str(folder),
        "model": prepared.checkpoint.name,
        "model_sha": prepared.checkpoint.sha,
        "model_hash": prepared.checkpoint.content_hash,
        "dtype": model_cache.dtype,
        "seed": options.seed,
        "split": options.split,
        "plan": {step.task: step.to_json() for step in prepared.steps},
        "failures": [str(f) for f in failures],
    }
    return aggregate(scores, specs, benchmark=prepared.selection.benchmark, provenance=provenance)


def _score_languages(
    evaluator: Evaluator, step: Step, failures: list[XharnessError], say: Callable[[str], None], progress: bool
) -> list[Score]:
    """Return the scores of a target in its languages; errors of languages are appended to ``failures``.

    Raises:
        OutputError: results cannot be written.
    """
    scores = []
    with bar(step.task, step.examples, progress) as progress_bar:
        for language in step.languages:
            progress_bar.set_postfix_str(language)
            try:
                scores.append(evaluator.evaluate(step, language, progress_bar))
            except OutputError:
                raise
            except XharnessError as error:
                failures.append(error)
                say(f"{step.task} {language}: {error}")
    return scores


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
        languages: two-letter codes; None: all languages of each target.
        data_dir: a folder laid out like the Hub; None: XHARNESS_DATA_DIR, else the Hub.
        output: the folder for all runs.
        say: called with progress messages.
        progress: show progress bars on stderr.
        **options: the fields of ``Options`` (device, dtype, batch_tokens, layer, pooling, prefix, special_tokens,
            center, whiten, label_map, split, limit, seed, trust_remote_code).

    Raises:
        XharnessError: see ``errors``; the message is written for the user.
    """
    names = targets.split(",") if isinstance(targets, str) else targets
    prepared = prepare(model, targets=names, languages=languages, data_dir=data_dir, options=Options(**options))
    return run(prepared, output, say=say, progress=progress)
