"""Metrics of Hugging Face's `evaluate` library (`metric: evaluate:<module>`)."""

from __future__ import annotations

import contextlib
import math
import os
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from numbers import Real
from pathlib import Path
from typing import Any

from xharness.errors import DataError, UsageError, did_you_mean
from xharness.metrics.base import MetricResult

_CANONICAL = re.compile(r"[A-Za-z0-9][\w-]*")
_SPACE = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")


def compute(
    module: str,
    golds: Any,
    predictions: Any,
    *,
    kind: str,
    keys: Sequence[str],
    scale: float = 1.0,
    options: Mapping[str, Any] | None = None,
    labels: Sequence[str] = (),
) -> MetricResult:
    """Return the scores that a module of the `evaluate` library computes in one language.

    Modules that expect numbers get a label's index in ``labels``, or the index itself (retrieval). Predicted labels
    that are not in ``labels`` get the next index after the last: it equals no gold label, and a module that uses
    numbers as indices cannot confuse it with the last label, as it would with -1.

    Args:
        module: the part of a spec's metric after ``evaluate:``: a canonical module of the library (``accuracy``), a
            local folder ``x`` with ``x.py``, or such a file; relative to the working directory.
        golds: as `scoring.gold` returns them: one label per example, tags per sentence, or answers by id.
        predictions: of the same shape, or one answer by id. A missing id counts as an empty answer, since modules
            expect as many predictions as questions; unknown ids are left out; both are counted.
        kind: task kind.
        keys: the scores that the result must have.
        scale: factor for every score.
        options: further arguments of the module's ``compute``.
        labels: the labels of the task in order.

    Returns:
        All finite numbers at the top level of the module's result, times ``scale``.

    Raises:
        DataError: there is no gold data, or a gold label is not in ``labels``.
        UsageError: `evaluate` is not installed, the module cannot be loaded or does not fit the task, or one of
            ``keys`` is missing from its result.
    """
    if kind not in _SHAPES:
        raise UsageError(
            f"evaluate:{module} cannot score a task of the kind {kind}, only {', '.join(_SHAPES)}. "
            "Name one of xharness' own metrics in the task file."
        )
    if not golds:
        raise DataError("There is nothing to score: the gold data is empty. Check the split's name.")
    # A module may print, and stdout is reserved for data.
    with contextlib.redirect_stdout(sys.stderr):
        loaded = _load(module)
        references, predicted, counts = _SHAPES[kind](golds, predictions)
        if kind != "span_qa" and _wants_numbers(loaded.features):
            numbers = {g: int(g) for g in golds} if kind == "retrieval" else {x: i for i, x in enumerate(labels)}
            references, predicted = _numbered(references, predicted, numbers)
        try:
            values = loaded.compute(predictions=predicted, references=references, **(options or {}))
        except (Exception, SystemExit) as error:
            raise UsageError(
                f"evaluate:{module} cannot score this task ({kind}): {_first_line(error)}. Check metric and "
                "metric_options in the task file."
            ) from error
    return MetricResult(_percentages(module, values, keys, scale), counts)


def _load(module: str) -> Any:
    """Return a new instance of a module: an instance that failed keeps its rows."""
    source = _source(module)
    try:
        import evaluate
    except ImportError as error:
        raise UsageError(
            f"The metric evaluate:{module} needs the library evaluate ({_first_line(error)}). Install it: "
            "pip install 'xharness[evaluate]'"
        ) from None
    # The library has its own offline mode and ignores the Hub's.
    if os.environ.get("HF_HUB_OFFLINE", "").upper() in evaluate.config.ENV_VARS_TRUE_VALUES:
        evaluate.config.HF_EVALUATE_OFFLINE = True
    try:
        # In memory, no two runs can write to the same temporary file.
        loaded = evaluate.load(source, module_type="metric", keep_in_memory=True)
    except (Exception, SystemExit) as error:
        raise UsageError(
            f"The metric evaluate:{module} cannot be loaded: {_first_line(error)}. Name a metric that is published "
            "as evaluate-metric/<name> on the Hub, or a local folder x with x.py; without a network, only local "
            "metrics and those that were loaded before can be used."
        ) from error
    # Otherwise a module that draws random numbers would give other scores each time.
    loaded.seed = 0
    return loaded


def _source(module: str) -> str:
    """Return the argument of `evaluate.load`: the path of a local script, or the name of a canonical module."""
    path = Path(module)
    script = path if path.suffix == ".py" else path / f"{path.name}.py"
    if script.is_file():
        return str(script.resolve())
    if _CANONICAL.fullmatch(module):
        return module
    remote = (
        " If this is a repository on the Hub: its code is not run from there. Download it, read it, and name the "
        "local folder."
    )
    raise UsageError(
        f"The metric evaluate:{module} cannot be loaded: the file '{script}' does not exist (relative paths start at "
        f"the working directory, {Path.cwd()}).{remote if _SPACE.fullmatch(module) else ''}"
    )


def _wants_numbers(features: Any) -> bool:
    """Return whether a module expects numbers as labels; if it accepts several formats, the first one counts."""
    feature = (features[0] if isinstance(features, list) else features).get("predictions")
    while feature is not None and not hasattr(feature, "dtype"):
        feature = feature[0] if isinstance(feature, list) else getattr(feature, "feature", None)
    return feature is not None and str(feature.dtype).startswith(("int", "uint", "float"))


def _numbered(golds: Any, predictions: Any, numbers: Mapping[str, int]) -> tuple[Any, Any]:
    beyond = max(numbers.values(), default=-1) + 1

    def numbered(value: Any, number: Callable[[str], int]) -> Any:
        return number(value) if isinstance(value, str) else [numbered(item, number) for item in value]

    def gold_number(label: str) -> int:
        if label not in numbers:
            raise DataError(f"The gold label '{label}' is not a label of the task: {', '.join(numbers)}.")
        return numbers[label]

    return numbered(golds, gold_number), numbered(predictions, lambda label: numbers.get(label, beyond))


# The other keys beside the scores of a language in `--json`.
_RESERVED = {"n", "score", "counts", "data_status", "data_hash", "predictions_sha256", "dtype", "layer"} | {
    "encoding",
    "selection",
    "candidates",
    "notes",
}


def _percentage(value: Any, scale: float) -> float | None:
    """Return a number in percent; None for anything that is not a finite number."""
    if isinstance(value, bool) or not isinstance(value, Real):
        return None
    try:
        number = float(value) * scale
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def _percentages(module: str, values: Any, keys: Sequence[str], scale: float) -> dict[str, float]:
    if not isinstance(values, Mapping):
        raise UsageError(
            f"evaluate:{module} returned {type(values).__name__}, expected numbers by name. It cannot be a metric here."
        )
    scores = {str(name): number for name, value in values.items() if (number := _percentage(value, scale)) is not None}
    for name in _RESERVED & scores.keys():
        if name in keys:
            raise UsageError(
                f"evaluate:{module}: a score cannot be named '{name}', which results use for something else."
            )
        del scores[name]
    for key in keys:
        if key in values and key not in scores:
            raise UsageError(f"evaluate:{module}: '{key}' is {repr(values[key])[:40]}, expected one finite number.")
        if key not in scores:
            raise UsageError(
                f"evaluate:{module} returned no '{key}' (found: {', '.join(scores) or 'no number'})."
                f"{did_you_mean(key, scores)} Correct metric_scores in the task file."
            )
    return scores


def _first_line(error: BaseException) -> str:
    return (str(error).strip().partition("\n")[0] or type(error).__name__).rstrip(".:,")


def _labels(golds: Any, predictions: Any) -> tuple[Any, Any, dict[str, int]]:
    return list(golds), list(predictions), {}


def _tags(golds: Any, predictions: Any) -> tuple[Any, Any, dict[str, int]]:
    return [list(tags) for tags in golds], [list(tags) for tags in predictions], {}


def _answers(golds: Any, predictions: Any) -> tuple[Any, Any, dict[str, int]]:
    """Return records in the format of the library's squad; the start of an answer is not known here (-1)."""
    references = [
        {"id": question, "answers": {"text": list(answers), "answer_start": [-1] * len(answers)}}
        for question, answers in golds.items()
    ]
    predicted = [{"id": question, "prediction_text": predictions.get(question, "")} for question in golds]
    missing = sum(question not in predictions for question in golds)
    unknown = sum(question not in golds for question in predictions)
    return references, predicted, {"missing": missing, "unknown": unknown}


_SHAPES: dict[str, Callable[[Any, Any], tuple[Any, Any, dict[str, int]]]] = {
    "classification": _labels,
    "multiple_choice": _labels,
    "tagging": _tags,
    "span_qa": _answers,
    "retrieval": _labels,
}
"""Task kind -> function that turns gold data and predictions into references, predictions and counts."""
