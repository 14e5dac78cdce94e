"""Compare results with published scores."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from tabulate import tabulate

from xharness.errors import UsageError, unknown
from xharness.results.aggregate import PARTIAL, Results, TaskResult, is_foreign, task_result
from xharness.results.score import ON_TEST, TUNED, ZERO_SHOT
from xharness.tasks.benchmarks import Figures, Reference, benchmarks

_TABULATE = {"text": "simple", "markdown": "github", "latex": "latex_booktabs"}
# Names in footnotes of settings whose JSON key is another.
_SETTING_NAMES = {"choice of the state": "checkpoint selection"}


@dataclass(frozen=True)
class Published:
    """A system with published scores: its name and the benchmark."""

    name: str
    benchmark: str
    reference: Reference


@dataclass(frozen=True)
class Row:
    """One of our scores and the published score that it is compared with.

    Attributes:
        name: the reference.
        figures: the source of the published score.
        target: a target, or a group of them.
        language: code; None for the mean over the benchmark's languages.
        metric: name of the score; ``score`` for a group.
        ours, published: in percent.
        split: ours; if the published score is on another split, there is no difference.
        partial: whether ours is not the benchmark's (for a language: not on its complete data).
        unlike: settings of retrieval that differ, ``{"max_length": (512, 256)}``: ours, theirs.
    """

    name: str
    figures: Figures
    target: str
    language: str | None
    metric: str
    ours: float
    published: float
    split: str
    partial: bool
    unlike: dict[str, tuple[Any, Any]]

    @property
    def difference(self) -> float | None:
        """Our score minus the published one, in points; None if they are on different splits."""
        return self.ours - self.published if self.split == self.figures.split else None

    def to_json(self) -> dict[str, Any]:
        """Return what ``--json`` prints for this row."""
        return {
            "reference": self.name,
            "target": self.target,
            "language": self.language,
            "metric": self.metric,
            "ours": self.ours,
            "published": self.published,
            "difference": self.difference,
            PARTIAL: self.partial,
            "split": self.split,
            "published_split": self.figures.split,
            "published_settings": self.figures.settings,
            "other_settings": {key: {"ours": own, "published": theirs} for key, (own, theirs) in self.unlike.items()},
            "source": self.figures.source,
            "note": self.figures.note,
        }


def all_references() -> list[Published]:
    """Return all references of all benchmarks."""
    return [
        Published(name, b.name, reference) for b in benchmarks().values() for name, reference in b.references.items()
    ]


def select(names: Sequence[str]) -> list[Published]:
    """Return the references with these names.

    Raises:
        UsageError: an unknown name (the message suggests the nearest), or no names.
    """
    if not names:
        raise UsageError("No reference is given. `xharness report --list-references` lists them.")
    known = {published.name: published for published in all_references()}
    slugs = [name.strip().lower().replace("_", "-").replace(" ", "-") for name in names]
    for slug, name in zip(slugs, names, strict=True):
        if slug not in known:
            error = unknown("reference", name, known)
            raise type(error)(f"{error} `xharness report --list-references` lists all {len(known)}.")
    return [known[slug] for slug in dict.fromkeys(slugs)]


def compare(results: Results, references: Sequence[Published]) -> list[Row]:
    """Return every score that both sides have, by reference, source and target.

    Means are over the languages of the reference's benchmark, whatever else was scored. Where the reference has
    scores per language and ours misses languages, only scores of single languages are compared.
    """
    return [row for published in references for row in _rows(results, published)]


def _rows(results: Results, published: Published) -> Iterator[Row]:
    by_language = {task for figures in published.reference.figures for task in figures.languages}
    for figures in published.reference.figures:
        for task in dict.fromkeys([*figures.scores, *figures.languages]):
            if task not in results.tasks:
                continue
            result = results.tasks[task]
            ours = task_result(result.spec, result.languages, published.benchmark)
            foreign = is_foreign(result.spec)
            if ours.languages and not (ours.missing and task in by_language):
                yield from _of_means(published.name, figures, ours, foreign)
            yield from _of_languages(published.name, figures, result, foreign)
        if results.benchmark == published.benchmark:
            for name, value in figures.groups.items():
                group = results.groups.get(name)
                # A mean over fewer targets is another quantity, not a partial one.
                if group is not None and not group.missing:
                    split = _split([s.split for task in group.tasks for s in results.tasks[task].languages.values()])
                    yield Row(
                        published.name, figures, name, None, "score", group.score, value, split, not group.complete, {}
                    )


def _of_means(name: str, figures: Figures, ours: TaskResult, foreign: bool) -> Iterator[Row]:
    split = _split([s.split for s in ours.languages.values()])
    partial = foreign or not ours.complete
    for metric, value in figures.scores.get(ours.spec.name, {}).items():
        if metric in ours.mean:
            unlike = _unlike(figures, ours, list(ours.languages))
            yield Row(name, figures, ours.spec.name, None, metric, ours.mean[metric], value, split, partial, unlike)


def _of_languages(name: str, figures: Figures, ours: TaskResult, foreign: bool) -> Iterator[Row]:
    for code, values in figures.languages.get(ours.spec.name, {}).items():
        score = ours.languages.get(code)
        for metric, value in values.items() if score is not None else ():
            assert score is not None
            if metric in score.scores:
                # A score on dev data is never complete test data; against a dev reference it is not called partial.
                partial = foreign or not (score.complete or score.split == figures.split == "dev")
                unlike = _unlike(figures, ours, [code])
                mine = score.scores[metric]
                yield Row(name, figures, ours.spec.name, code, metric, mine, value, score.split, partial, unlike)


def _split(splits: Sequence[str]) -> str:
    return " and ".join(dict.fromkeys(splits))


def _unlike(figures: Figures, ours: TaskResult, codes: Sequence[str]) -> dict[str, tuple[Any, Any]]:
    """Return the settings in which ours is known to differ, for any of these languages."""
    differences = {}
    for code in codes:
        score = ours.languages[code]
        own = {"layer": score.layer, "pooling": score.pooling, **score.encoding}
        for key, theirs in figures.settings.items():
            if own.get(key) is not None and own[key] != theirs:
                differences[key] = (own[key], theirs)
        if score.track not in (None, ZERO_SHOT):
            differences["track"] = (score.track, ZERO_SHOT)
        if score.phase == TUNED and score.selected_by in ("target-dev", ON_TEST):
            differences["choice of the state"] = (score.selected_by, "not seen by the target language")
    return differences


def table(name: str, rows: Sequence[Row], format: str = "text") -> str:
    """Return a table of rows with their sources below; ``name`` is the name of our run."""
    if not rows:
        return f"{name}: these references have no score for its targets and languages."
    sources = list(dict.fromkeys(_source(row.figures) for row in rows))
    lines = [
        [
            row.name,
            row.target,
            row.language or "mean",
            row.metric,
            _number(row.ours, row.split if row.difference is None else "", row.partial),
            _number(row.published, row.figures.split if row.difference is None else "", False),
            "-" if row.difference is None else f"{row.difference:+.1f}",
            f"[{sources.index(_source(row.figures)) + 1}]",
        ]
        for row in rows
    ]
    head = ["reference", "target", "language", "metric", name, "published", "difference", "source"]
    align = ["left"] * 4 + ["right"] * 3 + ["left"]
    body = tabulate(lines, head, tablefmt=_TABULATE[format], disable_numparse=True, colalign=align)
    notes = [f"[{number}] {source}." for number, source in enumerate(sources, start=1)]
    unlike: dict[str, None] = {}
    for row in rows:
        for key, (own, theirs) in row.unlike.items():
            unlike[f"{row.target}: {_SETTING_NAMES.get(key, key)} is {own} here, {theirs} in {row.name}."] = None
    notes += unlike
    if any(row.difference is None for row in rows):
        notes.append("Scores of different splits are not comparable, so they have no difference.")
    prefix = {"markdown": "- ", "latex": "% "}.get(format, "")
    return body + "\n\n" + "\n".join(prefix + note for note in notes)


def _number(value: float, split: str, partial: bool) -> str:
    return f"{value:.1f}" + (f" ({split})" if split else "") + (f" {PARTIAL}" if partial else "")


def _source(figures: Figures) -> str:
    settings = ", ".join(f"{key} {value}" for key, value in figures.settings.items())
    parts = [figures.source, figures.note, settings]
    return "; ".join(part for part in parts if part)


def sources(rows: Sequence[Row]) -> str:
    """Return the sources of rows, one a line, for formats whose table has no room for them."""
    return "\n".join(dict.fromkeys(f"{row.name}, {row.target}: {_source(row.figures)}." for row in rows))


def csv_lines(rows: Sequence[Row]) -> list[list[Any]]:
    """Return the published scores as lines of ``report --format csv``: run, task, language, metric, value ..."""
    lines_by_key = {}
    for row in rows:
        line = [row.name, row.target, row.language or "mean", row.metric, repr(float(row.published)), "", ""]
        lines_by_key[(*line, _source(row.figures))] = [*line, "published", row.figures.split, *[""] * 9]
    return list(lines_by_key.values())


def listing(references: Sequence[Published]) -> str:
    """Return the references as a table: their scores and sources."""
    rows = []
    for published in references:
        for figures in published.reference.figures:
            tasks = [*figures.scores, *(f"{t} per language" for t in figures.languages)]
            has = ", ".join([*tasks, *(g.replace("_", " ") for g in figures.groups)])
            rows.append([published.name, published.benchmark, has, figures.split, _source(figures)])
    head = ["reference", "benchmark", "scores of", "split", "source"]
    return tabulate(rows, head, tablefmt="simple", disable_numparse=True, maxcolwidths=[None, None, 40, None, 60])
