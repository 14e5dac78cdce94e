"""Markdown tables of a card, except those of its scores."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from xharness.metrics import SCORE_KEYS
from xharness.publishing.card.content import Card
from xharness.publishing.card.prose import licences
from xharness.text import escape_markdown, format_score, markdown_code

_METRICS = {
    "accuracy": "accuracy",
    "token_accuracy": "word-level accuracy",
    "f1": "F1",
    "exact_match": "exact match",
    "mrr@20": "MRR@20",
    "map@20": "MAP@20",
}
_STATUS = {
    "complete": "complete",
    "sample": "sample",
    "stand-in": "stand-in",
    "unknown": "not known to be complete",
}


def table(head: Sequence[str], rows: Iterable[Sequence[str]], numbers: Sequence[int] = ()) -> str:
    """Return a Markdown table. Cells are Markdown already; the columns ``numbers`` are right-aligned."""
    rule = ["---:" if i in numbers else "---" for i in range(len(head))]
    return "\n".join(f"| {' | '.join(row)} |" for row in [head, rule, *rows])


def metric_name(metric: str) -> str:
    """Return the name of a metric in running text."""
    return _METRICS.get(metric) or escape_markdown(metric)


def score_name(keys: Sequence[str]) -> str:
    """Return the name of a target's main score: its metric, or the mean of its metrics."""
    names = " and ".join(map(metric_name, keys))
    return f"mean of {names}" if len(keys) > 1 else names


def training_sets(card: Card) -> str:
    """Return the training data with its licenses."""
    rows = []
    for part in card.training.sets:
        source = (
            f"[{part.source}](https://huggingface.co/datasets/{part.source})"
            if part.on_hub
            else escape_markdown(part.source)
        )
        revision = markdown_code(part.revision[:12]) if part.revision else "local folder, revision not recorded"
        used = "not known" if part.used is None else f"{part.used:,}"
        available = "not known" if part.available is None else f"{part.available:,}"
        status = _STATUS.get(part.status, escape_markdown(part.status))
        if part.origin not in ("native", "not recorded"):
            status += f", {escape_markdown(part.origin)}"
        title = f"[{escape_markdown(part.title)}]({part.paper})" if part.paper else escape_markdown(part.title)
        language = " ".join(map(escape_markdown, part.language.split()))
        rows.append(
            [
                title,
                source,
                revision,
                f"{language}, {escape_markdown(part.split)}",
                used,
                available,
                escape_markdown(part.licence),
                status,
            ]
        )
    head = ["data set", "source", "revision", "language and split", "used", "available", "license", "status"]
    return table(head, rows, (4, 5))


def settings(card: Card) -> str:
    """Return the training settings with their sources, and a table of those that differ between tasks."""
    rows = [
        (escape_markdown(name), markdown_code(value), _origin(origin)) for name, value, origin in card.training.settings
    ]
    text = table(("setting", "value", "source"), rows)
    if card.training.by_task:
        head, *lines = card.training.by_task
        by_task = [[markdown_code(line[0]), *map(escape_markdown, line[1:])] for line in lines]
        text += "\n\n" + table([escape_markdown(name) for name in head], by_task, range(1, len(head)))
    return text


def _origin(origin: str) -> str:
    name = origin.removeprefix("recipe `").removesuffix("`")
    return escape_markdown(origin) if name == origin else f"recipe {markdown_code(name)}"


def facts(card: Card) -> str:
    """Return seeds, hardware, time and energy of the training."""
    return table(
        ("fact", "value"), [(escape_markdown(name), escape_markdown(value)) for name, value in card.training.facts]
    )


def development(card: Card) -> str:
    """Return the scores of the published checkpoint on development data."""
    rows = [
        (
            markdown_code(dev.name),
            escape_markdown(dev.language),
            score_name(SCORE_KEYS.get(dev.metric, (dev.metric,))),
            format_score(dev.score),
            "not known" if dev.chance is None else format_score(dev.chance),
            f"{dev.n:,} of {dev.of:,}",
        )
        for dev in card.training.development
    ]
    return table(("development set", "language", "metric", "score", "chance", "examples"), rows, (3, 4, 5))


def head_files(card: Card) -> str:
    """Return the heads that are stored in files of their own."""
    rows = [
        (
            markdown_code(head.name),
            markdown_code(head.file or ""),
            markdown_code(head.architecture),
            str(len(head.labels) or "not named"),
        )
        for head in card.heads
    ]
    return table(("head", "file", "class", "labels"), rows, (3,))


def provenance(card: Card) -> str:
    """Return the hashes that identify the checkpoint, its base model and its training data."""
    base = card.base
    base_model = f"{base.model or base.title}" + (f" at {base.revision}" if base.revision else "")
    if base.content:
        base_model += f", files {base.content}"
    rows = [("content of this checkpoint (SHA-256)", card.checkpoint), ("base model", base_model)]
    rows += list(card.training.hashes)
    return table(("item", "value"), [(escape_markdown(name), markdown_code(value)) for name, value in rows])


def licence_line(card: Card) -> str:
    """Return the license of the weights, with a link if the Hub has no identifier for it."""
    if card.terms.link:
        return f"[{escape_markdown(card.terms.name or '')}]({card.terms.link})"
    return licences()[card.terms.id]
