"""Rows of the board with figures that were published elsewhere, each with its source."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from xharness.leaderboard.rows import REPORTED, BoardSchema, Cell, Row
from xharness.leaderboard.submission import slug
from xharness.metrics.base import task_score
from xharness.results.score import Score
from xharness.tasks.benchmarks import Benchmark, Figures, Reference

Told = dict[str, dict[str, float]]
"""Benchmark -> target -> its mean, of the means that a source gives."""

_IN_WORDS = {"f1": "F1", "exact_match": "exact match", "token_accuracy": "accuracy of tags"}


def rows(shape: BoardSchema) -> Iterator[tuple[Row, list[Cell], Told]]:
    """Yield a row for each source of each published system, with its numbers.

    Sources of one system need not agree, so each has a row of its own. Means of groups alone give none, nor do scores
    of development data. Where a source has all that a target's number is made of, but not the number, it is made here
    as it is of any submission, and the row's note says so.
    """
    for benchmark in shape.benchmarks.values():
        for name, reference in benchmark.references.items():
            for figures in reference.figures:
                if figures.split != "test" or not (figures.scores or figures.languages):
                    continue
                means = {task: value for task, value in _means(figures, shape) if value is not None}
                row = _row(name, reference, figures, benchmark, shape)
                yield row, _cells(reference, figures, shape), {benchmark.name: means}


def _row(name: str, reference: Reference, figures: Figures, benchmark: Benchmark, shape: BoardSchema) -> Row:
    settings = ", ".join(f"{key} {value}" for key, value in figures.settings.items())
    paper = "reported in the paper" if re.search(r"\bpaper\b", figures.source) else None
    description = ", ".join(_made_here(figures, shape))
    parts = [paper, figures.note, settings, *_other_scores(figures, shape), description and f"made here: {description}"]
    return Row(
        id=f"reported-{name}-{slug(figures.source)}",
        name=reference.title,
        kind=REPORTED,
        track=dict.fromkeys(("architecture", "phase", "training", "selected_by")),
        source={"text": figures.source, "url": _address(figures.source, benchmark)},
        note="; ".join(part for part in parts if part) or None,
    )


def _address(source: str, benchmark: Benchmark) -> str | None:
    """Return the address of a source; None of all but a benchmark's own paper, as no other is written down."""
    return benchmark.paper if re.match(rf"{re.escape(benchmark.title)} paper\b", source) else None


def _means(figures: Figures, shape: BoardSchema) -> Iterator[tuple[str, float | None]]:
    """Yield the number of each target that enters the average; None where the source has a part of it only."""
    for task, values in figures.scores.items():
        keys = shape.tasks[task].score_keys
        yield task, task_score(keys, values) if _has_all(keys, values) else None


def _other_scores(figures: Figures, shape: BoardSchema) -> Iterator[str]:
    """Yield in words the scores that are no target's own number, such as F1 without exact match."""
    for task, mean in _means(figures, shape):
        if mean is None:
            words = ", ".join(f"{_IN_WORDS.get(key, key)} {value}" for key, value in figures.scores[task].items())
            yield f"{shape.tasks[task].title} {words}"


def _made_here(figures: Figures, shape: BoardSchema) -> Iterator[str]:
    """Yield in words the numbers of targets that the source does not have, but all that they are means of."""
    for task, values in figures.scores.items():
        keys = shape.tasks[task].score_keys
        if len(keys) > 1 and _has_all(keys, values):
            yield f"{shape.tasks[task].title} as the mean of {_all_of(keys)}"
    for task in figures.languages:
        keys = shape.tasks[task].score_keys
        of = f", in each the mean of {_all_of(keys)}" if len(keys) > 1 else ""
        yield f"{shape.tasks[task].title} as the mean over the source's languages{of}"


def _all_of(keys: tuple[str, ...]) -> str:
    return " and ".join(_IN_WORDS.get(key, key) for key in keys)


def _cells(reference: Reference, figures: Figures, shape: BoardSchema) -> list[Cell]:
    cells = []
    for task, by_language in figures.languages.items():
        spec = shape.tasks[task]
        known = {code for codes in shape.members[task].values() for code in codes}
        for code, values in by_language.items():
            if code not in known or not _has_all(spec.score_keys, values):
                continue
            score = Score(
                task=task,
                language=code,
                split="test",
                scores=dict(values),
                # Sources seldom say how many examples they scored.
                n=0,
                expected_n=None,
                metric=spec.metric,
                model=reference.title,
                data_hash="",
                data_source=figures.source,
                data_revision=None,
                data_status="complete",
                spec_hash=shape.hashes[task],
                predictions_sha256="",
            )
            cells.append(Cell(score, None, None, True, None))
    return cells


def _has_all(keys: tuple[str, ...], values: Mapping[str, float]) -> bool:
    return all(key in values for key in keys)
