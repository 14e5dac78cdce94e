"""Footnotes of score tables: partial means, settings, tuning, counts."""

from __future__ import annotations

import hashlib

from xharness.results.aggregate import PARTIAL, Results, TaskResult, odd_type
from xharness.results.score import AS_IS, ON_TEST, TUNED, Score


def notes(results: Results, *, marks: bool = True) -> list[str]:
    """Return the footnotes of a table of results, one sentence a line; the last explains the marks in the table."""
    lines = []
    for name, task in results.tasks.items():
        if task.why:
            lines.append(f"{name} is {PARTIAL}: {task.why}.")
        if task.gap_note:
            lines.append(f"{name} has no gap: {task.gap_note}.")
        lines.append(f"{name}: {_origin(task)}.")
        for note, codes in _grouped(task).items():
            lines.append(f"{name}: {note}{': ' + ', '.join(codes) if codes else ''}.")
    if any(score.phase == TUNED for _, score in _cells(results)):
        asis = [t for t in results.tasks.values() if any(s.phase == AS_IS for s in t.languages.values())]
        lines += [f"{t.spec.name}: as is, by the checkpoint's own head." for t in asis if not t.spec.compares_vectors]
    lines += [_joined(run) for run in results.provenance.get("runs", ())]
    legend = _legend(results) if marks else []
    return [*lines, ". ".join(legend) + "."] if legend else lines


def _cells(results: Results) -> list[tuple[TaskResult, Score]]:
    return [(t, s) for t in results.tasks.values() for s in t.languages.values()]


def _legend(results: Results) -> list[str]:
    cells = _cells(results)
    legend = []
    if any(not s.complete for _, s in cells):
        legend.append("* not the complete test data")
    if any(odd_type(t, s) for t, s in cells):
        legend.append("† computed in another dtype than the rest of the column")
    if any("exact_match" in s.scores for _, s in cells):
        legend.append("QA: F1/EM, score = their mean")
    if any("token_accuracy" in s.scores for _, s in cells):
        legend.append("UDPOS: F1 of runs of equal tags (accuracy of words)")
    if any(t.spec.average == "examples" for t, _ in cells):
        names = dict.fromkeys(t.spec.name for t, _ in cells if t.spec.average == "examples")
        legend.append(f"{', '.join(names)}: mean over all questions, not over languages")
    if any(t.gap is not None for t in results.tasks.values()):
        legend.append("gap: English minus the mean of the others")
    return legend


def _joined(run: dict[str, object]) -> str:
    model = run.get("model_sha") or run.get("model_hash")
    version = f" @{str(model)[:12]}" if model else ""
    targets = run["targets"]
    assert isinstance(targets, list)
    return f"{', '.join(targets)}: from {run['model']}{version} (seed {run['seed']}), {run['run']}."


def _origin(task: TaskResult) -> str:
    """Return how many examples were scored, and the data and spec they come from."""
    scores = list(task.languages.values())
    sources = {f"{s.data_source}{'@' + s.data_revision[:12] if s.data_revision else ''}" for s in scores}
    hashes = hashlib.sha256(" ".join(s.data_hash for s in scores).encode()).hexdigest()[:12]
    total = sum(s.n for s in scores)
    return f"{total:,} examples of {', '.join(sorted(sources))}, data {hashes}, spec {task.spec.hash}"


def _grouped(task: TaskResult) -> dict[str, list[str]]:
    """Return sentence -> the languages it applies to; counts of one kind share a sentence, ``ml 119, ta 68``."""
    groups: dict[str, list[str]] = {}
    pools = {s.candidates["n"] for s in task.languages.values() if s.candidates}
    for code, score in task.languages.items():
        notes_of_score = [*score.notes, *_tuning(score), *_choices(score)]
        if score.layer is not None or score.encoding:
            notes_of_score.append(encoding(score))
        if len(pools) == 1 and score.candidates:
            notes_of_score.append(f"searched among {score.candidates['n']:,} candidates")
        for note in notes_of_score:
            groups.setdefault(note, []).append(code)
        if len(pools) > 1 and score.candidates:
            groups.setdefault("candidates searched", []).append(f"{code} {score.candidates['n']:,}")
        if "threshold" in score.selection:
            words, number = _threshold(score)
            groups.setdefault(words, []).append(f"{code} {number}")
        for name, words in _COUNTS.items():
            if score.counts.get(name):
                groups.setdefault(words, []).append(f"{code} {score.counts[name]:,}")
    everywhere = list(task.languages)
    return {note: [] if codes == everywhere and len(codes) > 1 else codes for note, codes in groups.items()}


def encoding(score: Score) -> str:
    """Describe how the texts of a retrieval task were embedded."""
    how = {"layer": score.layer, "pooling": score.pooling, **score.encoding}
    if how["layer"] is None:
        parts = ["the pooler's output"]
    else:
        depth = f" of {how['layers']}" if how.get("layers") else ""
        pooling = f"{how['pooling']} pooling"
        if how["pooling"] == "mean" and "special_tokens" in how:
            pooling += f" with{'' if how['special_tokens'] else 'out'} special tokens"
        parts = [f"layer {how['layer']}{depth}", pooling]
    if "center" in how:
        parts.append("not centered" if how["center"] == "none" else f"centered by {how['center']}")
    if how.get("whiten"):
        parts.append("whitened")
    if how.get("prefix"):
        parts.append(f"prefix {how['prefix']!r}")
    if how.get("max_length"):
        of_candidates = f", {how['candidate_max_length']} of a candidate" if how.get("candidate_max_length") else ""
        parts.append(f"at most {how['max_length']} tokens{of_candidates}")
    if how.get("vectors", "float32") != "float32":
        parts.append(f"vectors kept in {how['vectors']}")
    return ", ".join(parts)


def _choices(score: Score) -> list[str]:
    """Return what was chosen on data (layer, checkpoint), and on which data."""
    notes = []
    if "layer_from" in score.selection:
        codes = f" ({score.selection['layer_languages']})" if "layer_languages" in score.selection else ""
        notes.append(f"layer chosen on {score.selection['layer_from']}{codes}")
    if score.selected_by == ON_TEST:
        notes.append("SELECTED ON THE DATA THAT IS SCORED: no result, only an upper bound")
    elif score.selected_by != "none" and not score.selection:
        notes.append(f"checkpoint selected by {score.selected_by}")
    return notes


def _tuning(score: Score) -> list[str]:
    """Return what a tuned checkpoint was trained on, and how."""
    if score.phase != TUNED:
        return []
    tuned = score.tuned
    codes = " ".join(tuned.get("languages", ()))
    size = f", {tuned['n']:,} examples" if "n" in tuned else ""
    after = f", after {tuned['after']}" if "after" in tuned else ""
    end = ", COLLAPSED in training" if tuned.get("status") == "collapsed" else ""
    partial = {"sample", "stand-in"} & set(tuned.get("data_status", ()))
    kind = f" ({' and '.join(sorted(partial))} data)" if partial else ""
    checkpoint = f"checkpoint of step {tuned.get('step', 'not known')}"
    if "of" in tuned:
        checkpoint = f"average of the checkpoints of steps {', '.join(map(str, tuned['of']))}"
    how = f"recipe {tuned.get('recipe', 'not known')}, seed {tuned['seed']}, {checkpoint}"
    return [f"tuned, {score.track}: on {tuned['training_set']} ({codes}){size}{kind}{after}, {how}{end}"]


def _threshold(score: Score) -> tuple[str, str]:
    where, dev_f1 = score.selection.get("threshold_from", ""), score.selection.get("dev_f1")
    where = where.removeprefix(f"{score.language} ")  # each language has its own threshold
    number = f"{score.selection['threshold']:.4g}"
    if where == score.split:
        return f"thresholds tuned on the {where} data that is scored", number
    words = f"thresholds from {where}" if where else "thresholds"
    return (words, number) if dev_f1 is None else (f"{words}, in brackets the F1 there", f"{number} ({dev_f1:.1f})")


# Counts that affect the meaning of a score, in words; the others are only in the result files.
_COUNTS = {
    "missing": "questions without a prediction (they score 0)",
    "unknown": "predictions for unknown ids (ignored)",
    "unknown_labels": "predicted labels that are none of the task's (they are wrong)",
    "unaligned": "answers that are not in their context",
    "ties": "queries whose nearest sentences are equally near (the first is taken)",
    "max_length": "the encoder has fewer positions than the spec's max_length, rows were cut at",
}
