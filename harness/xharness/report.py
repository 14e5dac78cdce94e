"""Scores as tables for people (text, markdown, LaTeX) and for spreadsheets (csv), and the plan as text."""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from tabulate import tabulate

from xharness import results
from xharness.averages import Average, Results, TaskResult, aggregate, language_score
from xharness.errors import DataError, NothingToDo
from xharness.plan import Step
from xharness.results import Score
from xharness.scoring import run_record
from xharness.spec import TaskSpec, load_task

Format = Literal["text", "markdown", "csv", "latex"]
_TABULATE = {"text": "simple", "markdown": "github", "latex": "latex_booktabs"}

PARTIAL = "partial"
SOURCE_LANGUAGE = "en"


def plan_table(steps: Sequence[Step]) -> str:
    """Return the plan: one line per target, with its state, sizes and what is left out."""
    rows = []
    for step in steps:
        sizes = ["", "", ""]
        if step.languages:
            sizes = [str(len(step.languages)), _number(step.examples), _number(step.tokens, about=True)]
        rows.append([step.task, step.state, *sizes, _reasons(step)])
    head = ["target", "state", "languages", "examples", "sub-words (est.)", ""]
    return tabulate(rows, head, tablefmt="simple", disable_numparse=True, maxcolwidths=[None] * 5 + [70])


def _number(value: int | None, about: bool = False) -> str:
    if value is None:
        return "not known"
    if about and value >= 1_000_000:
        return f"{value / 1e6:,.1f} M"
    return f"{value:,}"


def _reasons(step: Step) -> str:
    reasons = [step.reason] if step.reason else []
    if step.left_out and step.languages:
        # One sentence for all languages: only the first reason's command is shown.
        codes = " ".join(step.left_out)
        reasons.append(f"left out, data not there: {codes}. {_command(step)}")
    return "; ".join(reasons)


def _command(step: Step) -> str:
    return f"Fetch: xharness fetch --targets {step.task} --languages {','.join(step.left_out)} --to DIR"


def tables(named: Sequence[tuple[str, Results]], format: Format = "text") -> str:
    """Return scores per target and language with means, groups and transfer gaps, for one run or several.

    Args:
        named: (what the run is called in the table, its results).
        format: csv gives one line per score, the others one matrix of languages by targets per run.
    """
    if format == "csv":
        return _csv(named)
    return "\n\n".join(_table(name, found, format) for name, found in named)


def _table(name: str, found: Results, format: Format) -> str:
    tasks = list(found.tasks.values())
    # English first: it is the source language that the others are compared with.
    codes = sorted({c for t in tasks for c in t.languages}, key=lambda code: (code != SOURCE_LANGUAGE, code))
    # Means and gaps stand at the foot, where they can be compared with the column above.
    rows = [[code, *(_cell(t, code) for t in tasks)] for code in codes]
    foot = [
        ["mean", *(_mark(_scores(t.spec, t.mean), not t.complete) for t in tasks)],
        ["score", *(_mark(f"{t.mean['score']:.1f}", not t.complete) for t in tasks)],
        ["gap", *("-" if t.gap is None else _mark(f"{t.gap:+.1f}", not t.complete) for t in tasks)],
    ]
    head = ["", *(t.spec.name for t in tasks)]
    body = tabulate(
        rows + foot,
        head,
        tablefmt=_TABULATE[format],
        disable_numparse=True,
        colalign=["left"] + ["right"] * len(tasks),
    )
    if format == "text":
        body = _ruled(body, len(foot))
    parts = [_title(name, found, format), body, _averages(found, format), _notes(found, format)]
    return "\n\n".join(p for p in parts if p)


def _ruled(body: str, feet: int) -> str:
    lines = body.splitlines()
    return "\n".join([*lines[:-feet], lines[1], *lines[-feet:]])


def _scores(spec: TaskSpec, values: dict[str, float]) -> str:
    text = "/".join(f"{values[key]:.1f}" for key in reversed(spec.score_keys))
    # The two are easily taken for each other: google-research/xtreme #56.
    return f"{text} ({values['token_accuracy']:.1f})" if "token_accuracy" in values else text


def _cell(task: TaskResult, code: str) -> str:
    score = task.languages.get(code)
    if score is None:
        return "missing" if code in task.missing else ""
    types = [s.dtype for s in task.languages.values()]
    # Not a set: where two types are equally frequent, every run of the program must mark the same one.
    odd = score.dtype != max(dict.fromkeys(types), key=types.count)
    return _scores(task.spec, score.scores) + ("" if score.whole else "*") + ("†" if odd else "")


def _mark(text: str, partial: bool) -> str:
    return f"{text} {PARTIAL}" if partial else text


def _title(name: str, found: Results, format: Format) -> str:
    facts = found.provenance
    model = facts.get("model_sha") or facts.get("model_hash")
    parts = [name]
    if model:
        parts.append(f"@{model[:12]}")
    described = [f"{key} {facts[key]}" for key in ("dtype", "seed", "split") if facts.get(key) is not None]
    text = " ".join(parts) + (f" ({', '.join(described)})" if described else "")
    return {"markdown": f"### {text}", "latex": f"% {text}"}.get(format, text)


def _averages(found: Results, format: Format) -> str:
    rows = [[_words(name), *_average(group)] for name, group in found.groups.items()]
    if found.average is not None:
        whole = found.average.complete
        rows.append([f"{'all' if whole else 'what is there'} of {found.benchmark}", *_average(found.average)])
    if not rows:
        return ""
    head = ["group", "score", "of"]
    table = tabulate(rows, head, tablefmt=_TABULATE[format], disable_numparse=True, colalign=["left", "right", "left"])
    # Only where it counts other tasks than our groups do; the names differ anyway.
    official = {n: g for n, g in found.official_groups.items() if g not in found.groups.values()}
    if official:
        extra = ", ".join(f"{_words(n)} {_mark(f'{g.score:.1f}', not g.complete)}" for n, g in official.items())
        comment = "% " if format == "latex" else ""
        table += f"\n\n{comment}As evaluate.py groups them: {extra}."
    return table


def _words(name: str) -> str:
    return name.replace("_", " ")


def _average(average: Average) -> list[str]:
    missing = f"; without {', '.join(average.missing)}" if average.missing else ""
    return [_mark(f"{average.score:.1f}", not average.complete), ", ".join(average.tasks) + missing]


def _notes(found: Results, format: Format) -> str:
    lines = []
    for name, task in found.tasks.items():
        if task.why:
            lines.append(f"{name} is {PARTIAL}: {task.why}.")
        if task.gap_note:
            lines.append(f"{name} has no gap: {task.gap_note}.")
        lines.append(f"{name}: {_origin(task)}.")
        for note, codes in _grouped(task).items():
            lines.append(f"{name}: {note}{': ' + ', '.join(codes) if codes else ''}.")
    legend = []
    cells = [s for t in found.tasks.values() for s in t.languages.values()]
    if any(not s.whole for s in cells):
        legend.append("* not the whole test data")
    if any("†" in _cell(t, c) for t in found.tasks.values() for c in t.languages):
        legend.append("† computed in another type than the rest of the column")
    if any("exact_match" in s.scores for s in cells):
        legend.append("QA: F1/EM, score = their mean")
    if any("token_accuracy" in s.scores for s in cells):
        legend.append("UDPOS: F1 of runs of equal tags (accuracy of words)")
    if any(t.gap is not None for t in found.tasks.values()):
        legend.append("gap: English minus the mean of the others")
    if legend:
        lines.append(". ".join(legend) + ".")
    prefix = {"markdown": "- ", "latex": "% "}.get(format, "")
    return "\n".join(prefix + line for line in lines)


def _origin(task: TaskResult) -> str:
    """Return how many examples of what data were scored by what spec."""
    scores = list(task.languages.values())
    sources = {f"{s.data_source}{'@' + s.data_revision[:12] if s.data_revision else ''}" for s in scores}
    hashes = hashlib.sha256(" ".join(s.data_hash for s in scores).encode()).hexdigest()[:12]
    total = sum(s.n for s in scores)
    return f"{total:,} examples of {', '.join(sorted(sources))}, data {hashes}, spec {task.spec.hash}"


def _grouped(task: TaskResult) -> dict[str, list[str]]:
    """Return sentence -> the languages it holds for; counts of one thing stand together, ``ml 119, ta 68``."""
    found: dict[str, list[str]] = {}
    for code, score in task.languages.items():
        named = [*score.notes]
        if score.layer is not None:
            named.append(f"layer {score.layer}, {score.pooling} pooling")
        for note in named:
            found.setdefault(note, []).append(code)
        for name, words in _COUNTS.items():
            if score.counts.get(name):
                found.setdefault(words, []).append(f"{code} {score.counts[name]:,}")
    everywhere = list(task.languages)
    return {note: [] if codes == everywhere and len(codes) > 1 else codes for note, codes in found.items()}


# Counts that change what a score means, in words; the others stand in the result files.
_COUNTS = {
    "missing": "questions without a prediction (they score 0)",
    "unknown": "predictions for unknown ids (ignored)",
    "unknown_labels": "predicted labels that are none of the task's (they are wrong)",
    "unaligned": "answers that are not in their context",
    "ties": "queries whose nearest sentences are equally near (the first is taken)",
    "max_length": "the encoder has fewer positions than the spec's max_length, rows were cut at",
}


def _csv(named: Sequence[tuple[str, Results]]) -> str:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    head = ["run", "task", "language", "metric", "value", "n", "expected_n", "data_status", "split", "dtype", "seed"]
    writer.writerow([*head, "layer", "model_id", "data_hash", "spec_hash"])
    for name, found in named:
        for task in found.tasks.values():
            for code, s in task.languages.items():
                tail = [s.n, s.expected_n, s.data_status, s.split, s.dtype, s.seed, s.layer]
                tail += [s.model_sha or s.model_hash, s.data_hash, s.spec_hash]
                values = {**s.scores, "score": language_score(task.spec, s)}
                for metric, value in values.items():
                    writer.writerow([name, task.spec.name, code, metric, repr(value), *tail])
            state = "complete" if task.complete else PARTIAL
            for metric, value in task.mean.items():
                writer.writerow([name, task.spec.name, "mean", metric, repr(value), "", "", state, *[""] * 7])
    return out.getvalue().rstrip("\n")


def load_run(folder: Path, benchmark: str | None = None) -> Results:
    """Return the results that lie in a RUN.

    Raises:
        NothingToDo, DataError: it is not a RUN, or holds no result.
    """
    record = run_record(folder)
    paths = sorted((folder / "results").glob("*/*.json"))
    if not record or not paths:
        raise NothingToDo(
            f"{folder} is no RUN with results (a folder with run.json and results/, made by xharness eval)."
        )
    scores = [results.load(path) for path in paths]
    specs = {task: load_task(record["targets"].get(task, task)) for task in dict.fromkeys(s.task for s in scores)}
    stale = [s for s in scores if s.spec_hash != specs[s.task].hash]
    if stale:
        raise DataError(
            f"{folder}: {stale[0].task}/{stale[0].language}.json was made by another version of the task's spec "
            f"({stale[0].spec_hash}, now {specs[stale[0].task].hash}). Run eval again: only what changed is computed."
        )
    provenance = {k: record.get(k) for k in ("model", "model_sha", "model_hash", "seed")}
    provenance |= {"run": str(folder), **{k: record["settings"][k] for k in ("dtype", "split")}}
    return aggregate(_known(scores, specs), specs, benchmark=benchmark, provenance=provenance)


def _known(scores: list[Score], specs: dict[str, TaskSpec]) -> list[Score]:
    return [s for s in scores if s.language in specs[s.task].languages]
