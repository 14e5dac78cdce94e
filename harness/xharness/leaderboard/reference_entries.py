"""Rows from published scores, each with its source."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from xharness.leaderboard.rows import REPORTED, BoardSchema, Cell, Row
from xharness.leaderboard.submission import slug
from xharness.metrics.base import task_score
from xharness.results.score import Score
from xharness.tasks.benchmarks import Benchmark, Figures, Reference

ReportedMeans = dict[str, dict[str, float]]
"""Benchmark -> target -> the mean that a source gives."""

_IN_WORDS = {"f1": "F1", "exact_match": "exact match", "token_accuracy": "tag accuracy"}


def rows(schema: BoardSchema) -> Iterator[tuple[Row, list[Cell], ReportedMeans]]:
    """Yield a row for each source of each published system, with its cells and means.

    Sources of one system may disagree, so each has its own row. Sources that give only means of groups or scores on
    development data are skipped. If a source gives the parts of a target's score but not the score, the score is
    computed here as for any submission, and the row's note says so.
    """
    for benchmark in schema.benchmarks.values():
        for name, reference in benchmark.references.items():
            for figures in reference.figures:
                if figures.split != "test" or not (figures.scores or figures.languages):
                    continue
                means = {task: value for task, value in _means(figures, schema) if value is not None}
                row = _row(name, reference, figures, benchmark, schema)
                yield row, _cells(reference, figures, schema), {benchmark.name: means}


def _row(name: str, reference: Reference, figures: Figures, benchmark: Benchmark, schema: BoardSchema) -> Row:
    settings = ", ".join(f"{key} {value}" for key, value in figures.settings.items())
    paper = "reported in the paper" if re.search(r"\bpaper\b", figures.source) else None
    computed = ", ".join(_computed_here(figures, schema))
    parts = [
        paper,
        figures.note,
        settings,
        *_partial_scores(figures, schema),
        computed and f"computed here: {computed}",
    ]
    return Row(
        id=f"reported-{name}-{slug(figures.source)}",
        name=reference.title,
        kind=REPORTED,
        track=dict.fromkeys(("architecture", "phase", "training", "selected_by")),
        source={"text": figures.source, "url": _url(figures.source, benchmark)},
        note="; ".join(part for part in parts if part) or None,
    )


def _url(source: str, benchmark: Benchmark) -> str | None:
    """Return the URL of a source; None unless it is the benchmark's own paper, the only one that is recorded."""
    return benchmark.paper if re.match(rf"{re.escape(benchmark.title)} paper\b", source) else None


def _means(figures: Figures, schema: BoardSchema) -> Iterator[tuple[str, float | None]]:
    """Yield the score of each target that enters the average; None if the source has only a part of it."""
    for task, values in figures.scores.items():
        keys = schema.tasks[task].score_keys
        yield task, task_score(keys, values) if _has_all(keys, values) else None


def _partial_scores(figures: Figures, schema: BoardSchema) -> Iterator[str]:
    """Yield descriptions of scores that are only a part of a target's score, such as F1 without exact match."""
    for task, mean in _means(figures, schema):
        if mean is None:
            words = ", ".join(f"{_IN_WORDS.get(key, key)} {value}" for key, value in figures.scores[task].items())
            yield f"{schema.tasks[task].title} {words}"


def _computed_here(figures: Figures, schema: BoardSchema) -> Iterator[str]:
    """Yield descriptions of target scores that are computed here from their parts in the source."""
    for task, values in figures.scores.items():
        keys = schema.tasks[task].score_keys
        if len(keys) > 1 and _has_all(keys, values):
            yield f"{schema.tasks[task].title} as the mean of {_score_names(keys)}"
    for task in figures.languages:
        keys = schema.tasks[task].score_keys
        of = f", in each the mean of {_score_names(keys)}" if len(keys) > 1 else ""
        yield f"{schema.tasks[task].title} as the mean over the source's languages{of}"


def _score_names(keys: tuple[str, ...]) -> str:
    return " and ".join(_IN_WORDS.get(key, key) for key in keys)


def _cells(reference: Reference, figures: Figures, schema: BoardSchema) -> list[Cell]:
    cells = []
    for task, by_language in figures.languages.items():
        spec = schema.tasks[task]
        known = {code for codes in schema.members[task].values() for code in codes}
        for code, values in by_language.items():
            if code not in known or not _has_all(spec.score_keys, values):
                continue
            score = Score(
                task=task,
                language=code,
                split="test",
                scores=dict(values),
                # Sources rarely state the number of examples.
                n=0,
                expected_n=None,
                metric=spec.metric,
                model=reference.title,
                data_hash="",
                data_source=figures.source,
                data_revision=None,
                data_status="complete",
                spec_hash=schema.hashes[task],
                predictions_sha256="",
            )
            cells.append(Cell(score, None, None, True, None))
    return cells


def _has_all(keys: tuple[str, ...], values: Mapping[str, float]) -> bool:
    return all(key in values for key in keys)
