"""Rows from submissions and from published scores."""

from __future__ import annotations

from collections.abc import Mapping

from xharness.leaderboard.rows import SUBMISSION, BoardSchema, Cell, Data, Row
from xharness.leaderboard.store import StoredSubmission
from xharness.leaderboard.submission import Submission
from xharness.leaderboard.verdict import CheckedScore
from xharness.metrics import seeds
from xharness.metrics.base import mean
from xharness.results.score import Score
from xharness.tasks.task_spec import TaskSpec

Numbers = Mapping[str, Mapping[str, Mapping[int, CheckedScore]]]
"""Target -> language -> seed -> scores."""


def row(merged: StoredSubmission) -> Row:
    """Return what the board says of a submission, without its numbers."""
    submission = merged.submission
    model = submission.model.model_dump()
    return Row(
        id=submission.id,
        name=submission.name,
        kind=SUBMISSION,
        checked=merged.checked,
        withdrawn=merged.withdrawn is not None,
        withdrawn_reason=merged.withdrawn,
        track={"architecture": submission.model.architecture, **submission.track.model_dump()},
        declarations=submission.declarations.model_dump(),
        model=model,
        submitted_by=submission.submitted_by,
        seeds=tuple(submission.seeds),
        settings=submission.settings,
        versions=_versions(merged),
        replicates=None if merged.replicates is None else f"replicates/{submission.id}.js",
    )


def _versions(merged: StoredSubmission) -> dict[str, str]:
    """Return what a submission says that it was made with, and what it was checked with, told apart."""
    checked = {} if merged.verdict is None else merged.verdict.versions
    return merged.submission.versions | {f"{name} (check)": version for name, version in checked.items()}


def numbers(merged: StoredSubmission, shape: BoardSchema) -> tuple[Numbers, list[str]]:
    """Return the scores of a submission that the board can show, and sentences about those it cannot.

    The verdict's where it was checked, else those that the submitter claims.
    """
    submission = merged.submission
    by_seed = _claims(submission, shape) if merged.verdict is None else merged.verdict.scores
    checked: dict[str, dict[str, dict[int, CheckedScore]]] = {}
    left_out: dict[str, list[str]] = {}
    for seed in submission.seeds:
        for task, by_language in by_seed.get(str(seed), {}).items():
            spec = shape.tasks.get(task)
            for code, scores in by_language.items():
                problem = _problem(shape, spec, code, scores)
                if problem:
                    left_out.setdefault(problem, []).append(f"{task}/{code}")
                else:
                    checked.setdefault(task, {}).setdefault(code, {})[seed] = scores
    notes = [
        f"{submission.id}: {', '.join(dict.fromkeys(places[:6]))}{' ...' if len(places) > 6 else ''}: {why}"
        for why, places in left_out.items()
    ]
    return checked, notes


def _problem(shape: BoardSchema, spec: TaskSpec | None, code: str, scores: CheckedScore) -> str:
    """Return why a score has no place on the board; '' if it has one."""
    if spec is None:
        return "no target of the benchmarks, so it is not shown."
    if not any(code in codes for codes in shape.members[spec.name].values()):
        return "no benchmark has this language of the target, so it is not shown."
    lacking = [key for key in spec.score_keys if key not in scores.scores]
    if lacking:
        return f"no '{lacking[0]}' among the scores, so it is not shown."
    return "" if scores.n else "no example was scored, so it is not shown."


def _claims(submission: Submission, shape: BoardSchema) -> dict[str, dict[str, dict[str, CheckedScore]]]:
    """Return what a submitter claims, in the form of a verdict's scores."""
    claims: dict[str, dict[str, dict[str, CheckedScore]]] = {}
    for seed, tasks in submission.scores.items():
        for task, by_language in tasks.items():
            for code, scores in by_language.items():
                data, spec = submission.data[task][code], shape.tasks.get(task)
                known = spec is not None and code in spec.languages
                claims.setdefault(seed, {}).setdefault(task, {})[code] = CheckedScore.model_construct(
                    scores=scores,
                    n=data.n,
                    expected_n=spec.expected_count(code, "test") if spec is not None and known else None,
                    data_hash=data.data_hash,
                    data_status=data.status,
                    data_source=data.source,
                    data_revision=data.revision,
                    spec_hash=data.spec_hash,
                    intervals={},
                    whole=True,
                    candidates={},
                    counts={},
                    cut_training=submission.cut_training(task),
                )
    return claims


def cells(merged: StoredSubmission, numbers: Numbers, shape: BoardSchema) -> list[Cell]:
    """Return the numbers of a row: each the mean over its seeds."""
    cells_of_row = []
    for task, spec in shape.tasks.items():
        by_language = numbers.get(task, {})
        # Another target may have fewer seeds; within one, all languages are of the same.
        runs = {seed for each in by_language.values() for seed in each}
        cells_of_row += [
            _cell(merged, shape, spec, code, by_language[code], runs) for code in spec.languages if code in by_language
        ]
    return cells_of_row


def _cell(
    merged: StoredSubmission,
    shape: BoardSchema,
    spec: TaskSpec,
    code: str,
    by_seed: Mapping[int, CheckedScore],
    runs: set[int],
) -> Cell:
    task, submission = spec.name, merged.submission
    parts = list(by_seed.values())
    first = parts[0]
    shared = [name for name in first.scores if all(name in part.scores for part in parts)]
    score = Score(
        task=task,
        language=code,
        split="test",
        scores={name: _mean([part.scores[name] for part in parts]) for name in shared},
        n=first.n,
        expected_n=first.expected_n,
        metric=spec.metric,
        model=submission.model.repo,
        model_sha=submission.model.revision,
        model_hash=submission.model.content,
        data_hash=first.data_hash,
        data_source=first.data_source,
        data_revision=first.data_revision,
        data_status=first.data_status,
        spec_hash=first.spec_hash,
        candidates=first.candidates,
        selected_by=submission.track.selected_by,
        tuned={"data_status": first.cut_training} if first.cut_training else {},
        predictions_sha256=merged.digest,
    )
    complete = (
        score.complete
        and all(part.whole and not part.cut_training for part in parts)
        and set(by_seed) == runs
        # Scored on one and the same, and by the spec that the board has now.
        and {(part.n, part.data_hash, part.spec_hash) for part in parts}
        == {(first.n, first.data_hash, shape.hashes[task])}
    )
    keys = spec.score_keys
    values = {seed: _mean([part.scores[key] for key in keys]) for seed, part in by_seed.items()}
    data = Data(first.data_hash, first.spec_hash, first.data_source, first.data_revision, first.data_status)
    return Cell(score, seeds.spread(list(values.values())).deviation, _ends(keys, parts), complete, data, values)


def _mean(values: list[float]) -> float:
    # A board has a quarter of a million cells, most of one seed and one score.
    return values[0] if len(values) == 1 else mean(values)


def _ends(keys: tuple[str, ...], parts: list[CheckedScore]) -> tuple[float, float] | None:
    """Return the interval of the number that enters the target's mean, mean over seeds.

    Where that is the mean of two scores, so are the ends: exact match and F1 rise and fall together, and if they did
    not quite, the interval would be too wide and not too narrow.
    """
    intervals = [[part.intervals.get(key) for key in keys] for part in parts]
    if any(ends is None for each in intervals for ends in each):
        return None
    low, high = (_mean([_mean([ends[end] for ends in each if ends]) for each in intervals]) for end in (0, 1))
    return low, high


def outdated(merged: StoredSubmission, numbers: Numbers, shape: BoardSchema) -> list[str]:
    """Return a sentence about scores that were made by other specs than the board has now, if there are any."""
    old = [
        task
        for task, by_language in numbers.items()
        if any(part.spec_hash != shape.hashes[task] for each in by_language.values() for part in each.values())
    ]
    if not old:
        return []
    again = "check it again" if merged.checked else "it has to be submitted again"
    return [f"{merged.submission.id}: {', '.join(old)}: scored by another version of the spec, so partial; {again}."]
