"""Score tables as text, Markdown, CSV and LaTeX."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from typing import Literal

from tabulate import tabulate

from xharness.results.aggregate import PARTIAL, Average, Results, TaskResult, language_score, odd_type
from xharness.results.footnotes import notes
from xharness.tasks.task_spec import TaskSpec

Format = Literal["text", "markdown", "csv", "latex"]
_TABULATE = {"text": "simple", "markdown": "github", "latex": "latex_booktabs"}

SOURCE_LANGUAGE = "en"


def tables(
    named: Sequence[tuple[str, Results]], format: Format = "text", *, further: Sequence[Sequence[object]] = ()
) -> str:
    """Return scores per target and language with means, groups and transfer gaps, for one run or several.

    Args:
        named: (name of the run in the table, its results).
        format: csv gives one line per score, the others one table of languages by targets per run.
        further: lines to append to a csv, such as published scores.
    """
    if format == "csv":
        return _csv(named, further)
    return "\n\n".join(_table(name, results, format) for name, results in named)


def _table(name: str, results: Results, format: Format) -> str:
    tasks = list(results.tasks.values())
    # English first: it is the source language that the others are compared with.
    codes = sorted({c for t in tasks for c in t.languages}, key=lambda code: (code != SOURCE_LANGUAGE, code))
    # Means and gaps are at the foot, to compare them with the column above.
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
        body = _with_rule(body, len(foot))
    parts = [_title(name, results, format), body, _averages(results, format), _notes(results, format)]
    return "\n\n".join(p for p in parts if p)


def _with_rule(body: str, feet: int) -> str:
    lines = body.splitlines()
    return "\n".join([*lines[:-feet], lines[1], *lines[-feet:]])


def _scores(spec: TaskSpec, values: dict[str, float]) -> str:
    text = "/".join(f"{values[key]:.1f}" for key in reversed(spec.score_keys))
    # F1 and accuracy of UDPOS are easily confused: google-research/xtreme #56.
    return f"{text} ({values['token_accuracy']:.1f})" if "token_accuracy" in values else text


def _cell(task: TaskResult, code: str) -> str:
    score = task.languages.get(code)
    if score is None:
        return "missing" if code in task.missing else ""
    return _scores(task.spec, score.scores) + ("" if score.complete else "*") + ("†" if odd_type(task, score) else "")


def _mark(text: str, partial: bool) -> str:
    return f"{text} {PARTIAL}" if partial else text


def _title(name: str, results: Results, format: Format) -> str:
    facts = results.provenance
    model = facts.get("model_sha") or facts.get("model_hash")
    parts = [name]
    if model:
        parts.append(f"@{model[:12]}")
    described = [f"{key} {facts[key]}" for key in ("dtype", "seed", "split") if facts.get(key) is not None]
    if facts.get("track") is not None:
        described += [str(facts["track"]), f"selected by {facts.get('selected_by', 'none')}"]
    text = " ".join(parts) + (f" ({', '.join(described)})" if described else "")
    return {"markdown": f"### {text}", "latex": f"% {text}"}.get(format, text)


def _averages(results: Results, format: Format) -> str:
    rows = [[_words(name), *_average(group)] for name, group in results.groups.items()]
    if results.average is not None:
        complete = results.average.complete
        rows.append([f"{'all' if complete else 'scored'} of {results.benchmark}", *_average(results.average)])
    if not rows:
        return ""
    head = ["group", "score", "of"]
    table = tabulate(rows, head, tablefmt=_TABULATE[format], disable_numparse=True, colalign=["left", "right", "left"])
    # Only groups of other tasks than ours; the names differ anyway.
    official = {n: g for n, g in results.official_groups.items() if g not in results.groups.values()}
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


def _notes(results: Results, format: Format) -> str:
    prefix = {"markdown": "- ", "latex": "% "}.get(format, "")
    return "\n".join(prefix + line for line in notes(results))


def _csv(named: Sequence[tuple[str, Results]], further: Sequence[Sequence[object]]) -> str:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    head = ["run", "task", "language", "metric", "value", "n", "expected_n", "data_status", "split", "dtype", "seed"]
    head += ["layer", "model_id", "data_hash", "spec_hash", "phase", "track", "selected_by", "low", "high"]
    writer.writerow(head)
    for name, results in named:
        for task in results.tasks.values():
            for code, s in task.languages.items():
                tail = [s.n, s.expected_n, s.data_status, s.split, s.dtype, s.seed, s.layer]
                tail += [s.model_sha or s.model_hash, s.data_hash, s.spec_hash, s.phase, s.track, s.selected_by]
                values = {**s.scores, "score": language_score(task.spec, s)}
                for metric, value in values.items():
                    ends = s.intervals.get(metric, ["", ""])
                    writer.writerow([name, task.spec.name, code, metric, repr(value), *tail, *ends])
            state = "complete" if task.complete else PARTIAL
            kinds = {(s.phase, s.track, s.selected_by) for s in task.languages.values()}
            kind = next(iter(kinds)) if len(kinds) == 1 else ("", "", "")
            for metric, value in task.mean.items():
                writer.writerow(
                    [name, task.spec.name, "mean", metric, repr(value), "", "", state, *[""] * 7, *kind, "", ""]
                )
    # Published scores come without intervals.
    writer.writerows([*line, *[""] * (len(head) - len(line))] for line in further)
    return out.getvalue().rstrip("\n")
