"""What the Hub refuses in a card or in a file of evaluation results, as far as its documentation says it.

https://huggingface.co/docs/hub/model-cards and https://huggingface.co/docs/hub/eval-results
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import yaml

EVAL_RESULTS = re.compile(r"\.eval_results/[^/]+\.ya?ml")
_FRONT = re.compile(r"---\r?\n(.*?)^---[ \t]*\r?$", re.DOTALL | re.MULTILINE)
_RESULT = ("task.type", "dataset.type", "dataset.name")


def front_matter(text: str) -> dict[str, Any] | None:
    """Return the metadata of a card; None if it has none, or none that can be read."""
    found = _FRONT.match(text)
    try:
        metadata = yaml.safe_load(found[1]) if found else None
    except yaml.YAMLError:
        return None
    return metadata if isinstance(metadata, dict) else None


def card_errors(text: str) -> list[str]:
    """Return what is wrong with the metadata of a card."""
    found = _FRONT.match(text)
    if not found:
        return []
    try:
        metadata = yaml.safe_load(found[1])
    except yaml.YAMLError as error:
        return [f"YAML: {error}"]
    if not isinstance(metadata, dict):
        return ["the metadata must be a mapping"]
    return list(_card(metadata))


def _card(metadata: dict[str, Any]) -> Iterator[str]:
    for name in ("language", "license", "tags", "datasets", "base_model", "metrics"):
        value = metadata.get(name, [])
        # YAML makes a boolean of the unquoted code of Norwegian.
        if not all(isinstance(item, str) for item in (value if isinstance(value, list) else [value])):
            yield f'"{name}" must be a string or a list of strings'
    if metadata.get("license") == "other" and not metadata.get("license_name"):
        yield '"license_name" is required where "license" is "other"'
    models = metadata.get("model-index", [])
    if not isinstance(models, list):
        yield '"model-index" must be a list'
        return
    for i, model in enumerate(models):
        if not (isinstance(model, dict) and model.get("name") and isinstance(model.get("results"), list)):
            yield f'"model-index[{i}]" must have a name and a list of results'
            continue
        for j, result in enumerate(model["results"]):
            where = f"model-index[{i}].results[{j}]"
            yield from (f'"{where}.{path}" is required' for path in _RESULT if _at(result, path) is None)
            metrics = _at(result, "metrics")
            if not isinstance(metrics, list) or not metrics:
                yield f'"{where}.metrics" must be a list of metrics'
                continue
            for k, metric in enumerate(metrics):
                for path in ("type", "value"):
                    if _at(metric, path) is None:
                        yield f'"{where}.metrics[{k}].{path}" is required'


def eval_results_errors(text: str) -> list[str]:
    """Return what is wrong with a file of ``.eval_results/``."""
    try:
        entries = yaml.safe_load(text)
    except yaml.YAMLError as error:
        return [f"YAML: {error}"]
    if not isinstance(entries, list) or not entries:
        return ["must be a list of results"]
    errors = []
    for i, entry in enumerate(entries):
        errors += [f'"[{i}].{path}" is required' for path in ("dataset.id", "dataset.task_id") if not _at(entry, path)]
        value = _at(entry, "value")
        if isinstance(value, bool | list | dict) or value is None:
            errors.append(f'"[{i}].value" must be one number or text')
        if _at(entry, "date") is not None and not isinstance(_at(entry, "date"), str):
            errors.append(f'"[{i}].date" must be a quoted ISO 8601 date')
        if _at(entry, "source") is not None and not _at(entry, "source.url"):
            errors.append(f'"[{i}].source.url" is required')
    return errors


def _at(content: Any, path: str) -> Any:
    for name in path.split("."):
        content = content.get(name) if isinstance(content, dict) else None
    return content
