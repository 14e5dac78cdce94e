"""Reasons why a mean is partial."""

from __future__ import annotations

from collections.abc import Mapping

from xharness.results.score import ON_TEST, Score
from xharness.tasks.task_spec import TaskSpec


def why_incomplete(spec: TaskSpec, scores: Mapping[str, Score], missing: tuple[str, ...]) -> str:
    """Return every reason why a mean is not the benchmark's, as one sentence; '' if it is."""
    reasons = [f"no score for {' '.join(missing)}"] if missing else []
    for what in ("sample", "stand-in"):
        codes = [c for c, s in scores.items() if s.data_status == what]
        if codes:
            reasons.append(f"{what} data in {' '.join(codes)}")
    if any(s.split != "test" for s in scores.values()):
        reasons.append("not the test split")
    if any(s.settings.get("limit") is not None for s in scores.values()):
        reasons.append("cut by --limit")
    else:
        real = {c: s for c, s in scores.items() if s.data_status not in ("sample", "stand-in")}
        short = [f"{c} {s.n:,} of {s.expected_n:,}" for c, s in real.items() if s.expected_n not in (None, s.n)]
        if short:
            reasons.append(f"not the expected number of examples: {', '.join(short)}")
    total, actual = spec.total.get("test"), sum(s.n for s in scores.values())
    if not reasons and any(s.expected_n is None for s in scores.values()) and total not in (None, actual):
        reasons.append(f"{actual:,} examples over all languages, expected {total:,}")
    unknown = [c for c, s in scores.items() if s.expected_n is None and s.data_status != "complete"]
    if unknown and total is None:
        reasons.append(f"the right number of examples is not known for {' '.join(unknown)}")
    reasons += _pool_problems(spec, scores)
    tuned = {c: (s.selection.get("dev_n"), s.selection.get("dev_expected_n")) for c, s in scores.items()}
    cut = [
        f"{c} {actual:,} of {expected:,}"
        for c, (actual, expected) in tuned.items()
        if actual and expected not in (None, actual)
    ]
    if cut:
        reasons.append(f"not the expected number of development pairs to tune the threshold on: {', '.join(cut)}")
    if len({s.dtype for s in scores.values()}) > 1:
        reasons.append("languages computed in different dtypes")
    if len({(s.model_sha or s.model_hash, s.seed) for s in scores.values()}) > 1:
        reasons.append("languages of different checkpoints")
    reasons += _tuning_problems(scores)
    return "; ".join(reasons)


def _tuning_problems(scores: Mapping[str, Score]) -> list[str]:
    """Return what is wrong with the heads that were trained for a target."""
    problems = []
    kinds = {(s.phase, s.track, s.tuned.get("training_set"), s.tuned.get("key")) for s in scores.values()}
    if len(kinds) > 1:
        problems.append("languages of different tuned checkpoints")
    partial = {status for s in scores.values() for status in s.tuned.get("data_status", ())} & {"sample", "stand-in"}
    if partial:
        problems.append(f"tuned on {' and '.join(sorted(partial))} data")
    on_test = [code for code, score in scores.items() if score.selected_by == ON_TEST]
    if on_test:
        problems.append(f"the checkpoint was selected on the data that is scored in {' '.join(on_test)}")
    return problems


def _pool_problems(spec: TaskSpec, scores: Mapping[str, Score]) -> list[str]:
    """Return what is wrong with the candidates that were searched; fewer candidates give higher scores."""
    wrong: dict[tuple[int, int], list[str]] = {}
    for code, score in scores.items():
        actual, expected = score.candidates.get("n", 0), score.candidates.get("expected_n")
        if expected is not None and actual != expected:
            wrong.setdefault((actual, expected), []).append(code)
    problems = []
    for (actual, expected), codes in wrong.items():
        words = f"only {actual:,} of" if actual < expected else f"{actual:,} instead of"
        where = "" if codes == list(scores) else f" in {' '.join(codes)}"
        problems.append(f"{words} {expected:,} candidates{where}")
    unknown = [c for c, s in scores.items() if s.candidates and s.candidates.get("expected_n") is None]
    unknown = [code for code in unknown if scores[code].data_status != "complete"]
    if unknown:
        problems.append(f"the right number of candidates is not known for {' '.join(unknown)}")
    shared = spec.candidates is not None and spec.candidates.scope == "task"
    if shared and len({s.candidates.get("hash") for s in scores.values()}) > 1:
        problems.append("languages were searched in different candidates")
    return problems
