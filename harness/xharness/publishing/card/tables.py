"""Markdown tables of a card."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from xharness.metrics import SCORE_KEYS
from xharness.metrics.bootstrap import COVERAGE
from xharness.metrics.seeds import Summary
from xharness.publishing.card.content import Card, Cell, Section
from xharness.publishing.card.prose import licences
from xharness.publishing.card.scores import changed
from xharness.results import breakdowns
from xharness.results.aggregate import PARTIAL, Results, TaskResult
from xharness.results.breakdowns import Group
from xharness.results.score import AS_IS
from xharness.tasks.benchmarks import benchmarks
from xharness.tasks.dataset_spec import HF_EVALUATE
from xharness.tasks.languages import languages
from xharness.tasks.task_spec import TaskSpec
from xharness.text import escape_markdown, format_score, markdown_code

_METRICS = {
    "accuracy": "accuracy",
    "token_accuracy": "accuracy of words",
    "f1": "F1",
    "exact_match": "exact match",
    "mrr@20": "MRR@20",
    "map@20": "MAP@20",
}
_STATUS = {
    "complete": "complete",
    "sample": "a sample",
    "stand-in": "a stand-in",
    "unknown": "not known to be complete",
}
_TRACKS = {
    "zero-shot": "in English only (zero-shot)",
    "translate-train": "on English and its machine translations (translate-train)",
    "native": "on data of the languages themselves (native)",
    "few-shot": "on a few examples (few-shot)",
}
_CHOSEN = {
    "english-dev": "chosen on English development data",
    "target-dev": "chosen on development data of the target languages",
    "other-dev": "chosen on development data of another target",
    "last": "the last",
    "average": "an average of the last",
    "test": "chosen on the very data that is scored",
}


def table(head: Sequence[str], rows: Iterable[Sequence[str]], numbers: Sequence[int] = ()) -> str:
    """Return a table whose cells are markdown already; the columns of ``numbers`` are set to the right."""
    rule = ["---:" if i in numbers else "---" for i in range(len(head))]
    return "\n".join(f"| {' | '.join(row)} |" for row in [head, rule, *rows])


def metric_name(metric: str) -> str:
    """Return a metric as a sentence names it."""
    return _METRICS.get(metric) or escape_markdown(metric)


def score_name(keys: Sequence[str]) -> str:
    """Return what a target's one number is."""
    names = " and ".join(map(metric_name, keys))
    return f"mean of {names}" if len(keys) > 1 else names


def training_sets(card: Card) -> str:
    """Return what the checkpoint was trained on, with its licences."""
    rows = []
    for each in card.training.sets:
        where = (
            f"[{each.source}](https://huggingface.co/datasets/{each.source})"
            if each.on_hub
            else escape_markdown(each.source)
        )
        version = markdown_code(each.revision[:12]) if each.revision else "local folder, version not recorded"
        count = "not known" if each.used is None else f"{each.used:,}"
        of = "not known" if each.available is None else f"{each.available:,}"
        status = _STATUS.get(each.status, escape_markdown(each.status))
        if each.origin not in ("native", "not recorded"):
            status += f", {escape_markdown(each.origin)}"
        title = f"[{escape_markdown(each.title)}]({each.paper})" if each.paper else escape_markdown(each.title)
        language = " ".join(map(escape_markdown, each.language.split()))
        rows.append(
            [
                title,
                where,
                version,
                f"{language}, {escape_markdown(each.split)}",
                count,
                of,
                escape_markdown(each.licence),
                status,
            ]
        )
    head = ["set", "from", "version", "language and split", "used", "available", "licence", "status"]
    return table(head, rows, (4, 5))


def settings(card: Card) -> str:
    """Return the settings of the training with their origin, and those that differ between its tasks."""
    rows = [
        (escape_markdown(name), markdown_code(value), _origin(origin)) for name, value, origin in card.training.settings
    ]
    text = table(("setting", "value", "from"), rows)
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
    """Return the scores on development data that the state was watched by."""
    rows = [
        (
            markdown_code(each.name),
            escape_markdown(each.language),
            score_name(SCORE_KEYS.get(each.metric, (each.metric,))),
            format_score(each.score),
            "not known" if each.chance is None else format_score(each.chance),
            f"{each.n:,} of {each.of:,}",
        )
        for each in card.training.development
    ]
    return table(("development set", "language", "metric", "score", "chance", "examples"), rows, (3, 4, 5))


def head_files(card: Card) -> str:
    """Return the heads in files of their own."""
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


def section_title(card: Card, section: Section) -> str:
    """Return how the scores of a section were made, as a heading that no other section has."""
    title = _title(section)
    alike = [other for other in card.scores.sections if _title(other) == title]
    return f"{title}, in {escape_markdown(str(section.settings.get('dtype')))}" if len(alike) > 1 else title


def _title(section: Section) -> str:
    changes = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in changed(section.settings).items())
    title = "As it is"
    if section.phase != AS_IS:
        track = _TRACKS.get(str(section.track), str(section.track))
        title = f"Tuned {track}, state {_CHOSEN.get(section.selected_by, section.selected_by)}"
    return title + (f" ({escape_markdown(changes)})" if changes else "")


def seeds(card: Card, section: Section) -> str:
    """Return the seeds of a section, its type of computation, and where its files lie, as a sentence."""
    what = f"Seed{'s' if len(section.seeds) > 1 else ''} {', '.join(map(str, section.seeds))}"
    if section.phase == AS_IS:
        what = "Evaluated once"
    types = dict.fromkeys(str(c.first.dtype) for cells in section.cells.values() for c in cells.values())
    what += f", in {escape_markdown(' and '.join(types))}"
    address = f"https://huggingface.co/{card.repo}/tree/main/{section.place}"
    return f"{what}; result files in [{section.place}]({address})."


def overview(section: Section) -> str:
    """Return the means of a section's targets; without a column for seeds where none enters."""
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


def remarks(section: Section) -> list[str]:
    """Return what has to stand with the means of a section: why one is partial, and which seeds failed."""
    lines = []
    for name, task in section.results.tasks.items():
        title, failed = escape_markdown(task.spec.title), failed_seeds(section.summaries[name])
        if not task.complete:
            lines.append(f"{title} is **{PARTIAL}**: {escape_markdown(_short(task.why))}.")
        lines += [f"{title}: {failed}."] if failed else []
        lines += [f"{title}: {escape_markdown(note)}" for note in _of_target(section, name) if note.startswith("seed ")]
    return lines


def details(section: Section, name: str) -> list[str]:
    """Return what else a target's scores depend on: data, heads, layers, thresholds, and what happened on the way."""
    ignored = ("seed ", "chosen by english-dev")
    return [escape_markdown(note) for note in _of_target(section, name) if not note.startswith(ignored)]


def _of_target(section: Section, name: str) -> list[str]:
    return [note.removeprefix(f"{name}: ") for note in section.notes if note.startswith(f"{name}: ")]


def _short(text: str) -> str:
    """Return a sentence with long lists of languages counted; they stand in full with the scores by language."""
    return re.sub(r"\b[a-z]{2}(?: [a-z]{2}){6,}\b", lambda found: f"{len(found[0].split())} languages", text)


def _english(section: Section, task: TaskResult) -> float | None:
    source = [
        markdown_code
        for markdown_code, line in task.spec.languages.items()
        if not line.zero_shot and markdown_code in task.languages
    ]
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
        rows.append([*row, "whole" if cell.official else f"**{PARTIAL}**"])
    return table(head, rows, range(1, len(head) - 1))


def _interval(cell: Cell, key: str, spec: TaskSpec) -> str:
    ends = cell.intervals[key]
    if ends is not None:
        return f"{ends[0]:.1f} to {ends[1]:.1f}"
    return "not computed (the metric has none)" if spec.metric.startswith(HF_EVALUATE) else "not computed"


def failed_seeds(summary: Summary) -> str:
    """Return what is to be said of seeds that collapsed; '' where none did."""
    lost = summary.seeds("collapsed")
    if not lost:
        return ""
    names = ", ".join(map(str, lost))
    rest = "no other seed was run"
    if summary.good.mean is not None:
        rest = f"without {'it' if len(lost) == 1 else 'them'} the mean is {format_score(summary.good.mean)}"
        if summary.good.deviation is not None:
            rest += f", deviation {format_score(summary.good.deviation)}"
    return (
        f"seed{'s' if len(lost) > 1 else ''} {names} collapsed in training and {'is' if len(lost) == 1 else 'are'} "
        + (f"in the mean; {rest}")
    )


def by_script(results: Results) -> str:
    """Return the scores by script."""
    return _groups("script", breakdowns.by_script(results.tasks))


def by_resource(results: Results) -> str:
    """Return the scores by how much text there is in a language."""
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
    """Return the targets and languages of the benchmarks that have no whole score."""
    known = benchmarks()
    rows = [
        [
            known[each.benchmark].title,
            escape_markdown(each.title),
            f"{each.of - len(each.languages)} of {each.of} languages",
            "all" if each.of == len(each.languages) else " ".join(each.languages),
        ]
        for each in card.scores.missing
    ]
    return table(("benchmark", "target", "whole scores", "languages without one"), rows)


def provenance(card: Card) -> str:
    """Return the hashes and versions that everything above depends on."""
    base = card.base
    began = f"{base.model or base.title}" + (f" at {base.revision}" if base.revision else "")
    if base.content:
        began += f", files {base.content}"
    rows = [("content of this checkpoint (SHA-256)", card.checkpoint), ("training began with", began)]
    rows += list(card.training.hashes)
    return table(("of what", "value"), [(escape_markdown(name), markdown_code(value)) for name, value in rows])


def licence_line(card: Card) -> str:
    """Return the licence of the weights, with its terms where the Hub has no name for them."""
    if card.terms.link:
        return f"[{escape_markdown(card.terms.name or '')}]({card.terms.link})"
    return licences()[card.terms.id]


def means(task: TaskResult) -> str:
    """Return the means of a target over its languages, as a sentence."""
    parts = [f"{metric_name(key)} {format_score(task.mean[key])}" for key in task.spec.score_keys]
    over = "questions" if task.spec.average == "examples" else f"{len(task.languages)} languages"
    text = f"Mean over {over}: {', '.join(parts)}"
    if len(parts) > 1:
        text += f"; score {format_score(task.mean['score'])}"
    if task.spec.metric == "udpos_f1":
        text += " (of runs of equal tags, as the benchmark counts)"
        if "token_accuracy" in task.mean:
            text += f"; {metric_name('token_accuracy')} {format_score(task.mean['token_accuracy'])}"
    text += (
        f". Gap: {format_score(task.gap)}."
        if task.gap is not None
        else f". No gap: {escape_markdown(task.gap_note or '')}."
    )
    return text if task.complete else f"{text} **{PARTIAL.capitalize()}**: {escape_markdown(task.why)}."
