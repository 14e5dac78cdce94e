"""Markdown tables of a card's scores."""

from __future__ import annotations

import re
from collections.abc import Sequence

from xharness.metrics.bootstrap import COVERAGE
from xharness.metrics.seeds import Summary
from xharness.publishing.card.content import Card, Cell, Section
from xharness.publishing.card.scores import changed_settings
from xharness.publishing.card.tables import metric_name, score_name, table
from xharness.results import breakdowns
from xharness.results.aggregate import PARTIAL, Results, TaskResult
from xharness.results.breakdowns import Group
from xharness.results.score import AS_IS
from xharness.tasks.benchmarks import benchmarks
from xharness.tasks.dataset_spec import HF_EVALUATE
from xharness.tasks.languages import languages
from xharness.tasks.task_spec import TaskSpec
from xharness.text import escape_markdown, format_score

_TRACKS = {
    "zero-shot": "on English only (zero-shot)",
    "translate-train": "on English and its machine translations (translate-train)",
    "native": "on data in the target languages (native)",
    "few-shot": "on a few examples (few-shot)",
}
_SELECTION = {
    "english-dev": "checkpoint selected on English development data",
    "target-dev": "checkpoint selected on development data of the target languages",
    "other-dev": "checkpoint selected on development data of another target",
    "last": "last checkpoint",
    "average": "average of the last checkpoints",
    "test": "checkpoint selected on the test data itself",
}


def section_title(card: Card, section: Section) -> str:
    """Return a unique heading that says how the scores of a section were computed."""
    title = _title(section)
    same = [other for other in card.scores.sections if _title(other) == title]
    return f"{title}, in {escape_markdown(str(section.settings.get('dtype')))}" if len(same) > 1 else title


def _title(section: Section) -> str:
    changes = ", ".join(
        f"{name.replace('_', ' ')} {value}" for name, value in changed_settings(section.settings).items()
    )
    title = "As is"
    if section.phase != AS_IS:
        track = _TRACKS.get(str(section.track), str(section.track))
        selection = _SELECTION.get(section.selected_by, f"checkpoint selected by {section.selected_by}")
        title = f"Tuned {track}, {selection}"
    return title + (f" ({escape_markdown(changes)})" if changes else "")


def seeds(card: Card, section: Section) -> str:
    """Return the seeds of a section, its dtype and the folder of its result files, as a sentence."""
    what = f"Seed{'s' if len(section.seeds) > 1 else ''} {', '.join(map(str, section.seeds))}"
    if section.phase == AS_IS:
        what = "Evaluated once"
    types = dict.fromkeys(str(c.first.dtype) for cells in section.cells.values() for c in cells.values())
    what += f", in {escape_markdown(' and '.join(types))}"
    address = f"https://huggingface.co/{card.repo}/tree/main/{section.folder}"
    return f"{what}; result files in [{section.folder}]({address})."


def overview(section: Section) -> str:
    """Return the means of a section's targets; without a column for the deviation if no seeds are involved."""
    tuned, rows = section.phase != AS_IS, []
    for name, task in section.results.tasks.items():
        summary, english = section.summaries[name], _english(section, task)
        gap = format_score(task.gap)
        others = format_score(None if task.gap is None or english is None else english - task.gap)
        rows.append(
            [
                escape_markdown(task.spec.title),
                score_name(task.spec.score_keys),
                f"{len(task.languages)} of {len(task.languages) + len(task.missing)}",
                format_score(task.mean["score"]),
                *([format_score(summary.every.deviation)] if tuned else []),
                format_score(english),
                others,
                gap,
                "complete" if task.complete else f"**{PARTIAL}**",
            ]
        )
    spread = ["deviation"] if tuned else []
    head = ["target", "metric", "languages", "mean", *spread, "English", "other languages", "gap", "test data"]
    return table(head, rows, range(2, len(head) - 1))


def section_notes(section: Section) -> list[str]:
    """Return the notes on a section's means: why one is partial, and which seeds failed."""
    lines = []
    for name, task in section.results.tasks.items():
        title, failed = escape_markdown(task.spec.title), failed_seeds(section.summaries[name])
        if not task.complete:
            lines.append(f"{title} is **{PARTIAL}**: {escape_markdown(_shorten(task.why))}.")
        lines += [f"{title}: {failed}."] if failed else []
        lines += [f"{title}: {escape_markdown(note)}" for note in _notes_on(section, name) if note.startswith("seed ")]
    return lines


def target_notes(section: Section, name: str) -> list[str]:
    """Return the other notes on a target's scores: data, heads, layers, thresholds, events of the run."""
    ignored = ("seed ", "checkpoint selected by english-dev")
    return [escape_markdown(note) for note in _notes_on(section, name) if not note.startswith(ignored)]


def _notes_on(section: Section, name: str) -> list[str]:
    return [note.removeprefix(f"{name}: ") for note in section.notes if note.startswith(f"{name}: ")]


def _shorten(text: str) -> str:
    """Replace lists of more than six languages by their number; the scores by language have the full list."""
    return re.sub(r"\b[a-z]{2}(?: [a-z]{2}){6,}\b", lambda match: f"{len(match[0].split())} languages", text)


def _english(section: Section, task: TaskResult) -> float | None:
    source = [code for code, line in task.spec.languages.items() if not line.zero_shot and code in task.languages]
    if not source:
        return None
    means = [section.cells[task.spec.name][source[0]].spreads[key].mean or 0.0 for key in task.spec.score_keys]
    return sum(means) / len(means)


def by_language(section: Section, name: str) -> str:
    """Return the scores of a target in each language."""
    spec = section.results.tasks[name].spec
    tuned = section.phase != AS_IS
    head = ["language", "n", *(["seeds"] if tuned else [])]
    for key in spec.score_keys:
        head += [metric_name(key), *(["deviation"] if tuned else []), f"{COVERAGE} % interval"]
    head.append("test data")
    known = languages()
    rows = []
    for language, cell in section.cells[name].items():
        row = [f"{escape_markdown(known[language].name)} ({language})", f"{cell.first.n:,}"]
        row += [str(len(cell.scores))] if tuned else []
        for key in spec.score_keys:
            spread = cell.spreads[key]
            deviation = [format_score(spread.deviation)] if tuned else []
            row += [format_score(spread.mean), *deviation, _interval(cell, key, spec)]
        rows.append([*row, "complete" if cell.official else f"**{PARTIAL}**"])
    return table(head, rows, range(1, len(head) - 1))


def _interval(cell: Cell, key: str, spec: TaskSpec) -> str:
    ends = cell.intervals[key]
    if ends is not None:
        return f"{ends[0]:.1f} to {ends[1]:.1f}"
    return "not computed (the metric has none)" if spec.metric.startswith(HF_EVALUATE) else "not computed"


def failed_seeds(summary: Summary) -> str:
    """Return a sentence on the seeds that collapsed; '' if none did."""
    collapsed = summary.seeds("collapsed")
    if not collapsed:
        return ""
    names = ", ".join(map(str, collapsed))
    rest = "no other seed was run"
    if summary.good.mean is not None:
        rest = f"without {'it' if len(collapsed) == 1 else 'them'} the mean is {format_score(summary.good.mean)}"
        if summary.good.deviation is not None:
            rest += f", deviation {format_score(summary.good.deviation)}"
    return (
        f"seed{'s' if len(collapsed) > 1 else ''} {names} collapsed in training and "
        f"{'is' if len(collapsed) == 1 else 'are'} included in the mean; {rest}"
    )


def by_script(results: Results) -> str:
    """Return the scores by script."""
    return _groups("script", breakdowns.by_script(results.tasks))


def by_resource(results: Results) -> str:
    """Return the scores by the resource level of the languages."""
    return _groups("resources", breakdowns.by_resource(results.tasks))


def _groups(what: str, groups: Sequence[Group]) -> str:
    rows = [
        [
            escape_markdown(group.name),
            " ".join(group.languages),
            ", ".join(f"{escape_markdown(name)} {count}" for name, (_, count) in group.tasks.items()),
            format_score(group.score),
            format_score(group.gap),
            f"{group.n:,}",
        ]
        for group in groups
    ]
    return table((what, "languages", "languages of each target", "score", "gap", "examples"), rows, (3, 4, 5))


def not_evaluated(card: Card) -> str:
    """Return the targets and languages of the benchmarks that have no complete score."""
    known = benchmarks()
    rows = [
        [
            known[missing.benchmark].title,
            escape_markdown(missing.title),
            f"{missing.of - len(missing.languages)} of {missing.of} languages",
            "all" if missing.of == len(missing.languages) else " ".join(missing.languages),
        ]
        for missing in card.scores.missing
    ]
    return table(("benchmark", "target", "complete scores", "missing languages"), rows)


def means(task: TaskResult) -> str:
    """Return the means of a target over its languages, as a sentence."""
    parts = [f"{metric_name(key)} {format_score(task.mean[key])}" for key in task.spec.score_keys]
    over = "questions" if task.spec.average == "examples" else f"{len(task.languages)} languages"
    text = f"Mean over {over}: {', '.join(parts)}"
    if len(parts) > 1:
        text += f"; score {format_score(task.mean['score'])}"
    if task.spec.metric == "udpos_f1":
        text += " (over runs of equal tags, as the benchmark computes it)"
        if "token_accuracy" in task.mean:
            text += f"; {metric_name('token_accuracy')} {format_score(task.mean['token_accuracy'])}"
    text += (
        f". Gap: {format_score(task.gap)}."
        if task.gap is not None
        else f". No gap: {escape_markdown(task.gap_note or '')}."
    )
    return text if task.complete else f"{text} **{PARTIAL.capitalize()}**: {escape_markdown(task.why)}."
