"""Rows from submissions: means over seeds, of checked scores if there are any."""

from __future__ import annotations

from collections.abc import Mapping

from xharness.leaderboard.rows import SUBMISSION, BoardSchema, Cell, GoldRecord, Row
from xharness.leaderboard.store import StoredSubmission
from xharness.leaderboard.submission import Submission
from xharness.leaderboard.verdict import CheckedScore
from xharness.metrics import seeds
from xharness.metrics.base import mean
from xharness.results.score import Score
from xharness.tasks.task_spec import TaskSpec

Numbers = Mapping[str, Mapping[str, Mapping[int, CheckedScore]]]
"""Target -> language -> seed -> scores."""


def row(stored: StoredSubmission) -> Row:
    """Return the row of a submission, without its numbers."""
    submission = stored.submission
    model = submission.model.model_dump()
    return Row(
        id=submission.id,
        name=submission.name,
        kind=SUBMISSION,
        checked=stored.checked,
        withdrawn=stored.withdrawn is not None,
        withdrawn_reason=stored.withdrawn,
        track={"architecture": submission.model.architecture, **submission.track.model_dump()},
        declarations=submission.declarations.model_dump(),
        model=model,
        submitted_by=submission.submitted_by,
        seeds=tuple(submission.seeds),
        settings=submission.settings,
        versions=_versions(stored),
        replicates=None if stored.replicates is None else f"replicates/{submission.id}.js",
    )


def _versions(stored: StoredSubmission) -> dict[str, str]:
    """Return the versions that a submission was made with and those it was checked with, marked ``(check)``."""
    checked = {} if stored.verdict is None else stored.verdict.versions
    return stored.submission.versions | {f"{name} (check)": version for name, version in checked.items()}


def numbers(stored: StoredSubmission, schema: BoardSchema) -> tuple[Numbers, list[str]]:
    """Return the scores of a submission that the leaderboard can show, and sentences about those it cannot.

    The scores are those of the verdict if it was checked, else those that the submitter claims.
    """
    submission = stored.submission
    by_seed = _claims(submission, schema) if stored.verdict is None else stored.verdict.scores
    shown: dict[str, dict[str, dict[int, CheckedScore]]] = {}
    left_out: dict[str, list[str]] = {}
    for seed in submission.seeds:
        for task, by_language in by_seed.get(str(seed), {}).items():
            spec = schema.tasks.get(task)
            for code, scores in by_language.items():
                problem = _problem(schema, spec, code, scores)
                if problem:
                    left_out.setdefault(problem, []).append(f"{task}/{code}")
                else:
                    shown.setdefault(task, {}).setdefault(code, {})[seed] = scores
    notes = [
        f"{submission.id}: {', '.join(dict.fromkeys(places[:6]))}{' ...' if len(places) > 6 else ''}: {why}"
        for why, places in left_out.items()
    ]
    return shown, notes


def _problem(schema: BoardSchema, spec: TaskSpec | None, code: str, scores: CheckedScore) -> str:
    """Return why the leaderboard cannot show a score; '' if it can."""
    if spec is None:
        return "not a target of the benchmarks, so it is not shown."
    if not any(code in codes for codes in schema.members[spec.name].values()):
        return "no benchmark has this language of the target, so it is not shown."
    missing = [key for key in spec.score_keys if key not in scores.scores]
    if missing:
        return f"the score '{missing[0]}' is missing, so it is not shown."
    return "" if scores.n else "no example was scored, so it is not shown."


def _claims(submission: Submission, schema: BoardSchema) -> dict[str, dict[str, dict[str, CheckedScore]]]:
    """Return the scores that a submitter claims, in the form of a verdict's scores."""
    claims: dict[str, dict[str, dict[str, CheckedScore]]] = {}
    for seed, tasks in submission.scores.items():
        for task, by_language in tasks.items():
            for code, scores in by_language.items():
                data, spec = submission.data[task][code], schema.tasks.get(task)
                is_known = spec is not None and code in spec.languages
                claims.setdefault(seed, {}).setdefault(task, {})[code] = CheckedScore.model_construct(
                    scores=scores,
                    n=data.n,
                    expected_n=spec.expected_count(code, "test") if spec is not None and is_known else None,
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


def cells(stored: StoredSubmission, numbers: Numbers, schema: BoardSchema) -> list[Cell]:
    """Return the cells of a row; each number is the mean over seeds."""
    row_cells = []
    for task, spec in schema.tasks.items():
        by_language = numbers.get(task, {})
        # Targets may differ in their seeds; within a target, every language should have all of them.
        seeds_of_task = {seed for each in by_language.values() for seed in each}
        row_cells += [
            _cell(stored, schema, spec, code, by_language[code], seeds_of_task)
            for code in spec.languages
            if code in by_language
        ]
    return row_cells


def _cell(
    stored: StoredSubmission,
    schema: BoardSchema,
    spec: TaskSpec,
    code: str,
    by_seed: Mapping[int, CheckedScore],
    seeds_of_task: set[int],
) -> Cell:
    task, submission = spec.name, stored.submission
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
        predictions_sha256=stored.digest,
    )
    complete = (
        score.complete
        and all(part.whole and not part.cut_training for part in parts)
        and set(by_seed) == seeds_of_task
        # Scored on the same data, and with the current spec of the target.
        and {(part.n, part.data_hash, part.spec_hash) for part in parts}
        == {(first.n, first.data_hash, schema.hashes[task])}
    )
    keys = spec.score_keys
    values = {seed: _mean([part.scores[key] for key in keys]) for seed, part in by_seed.items()}
    data = GoldRecord(first.data_hash, first.spec_hash, first.data_source, first.data_revision, first.data_status)
    return Cell(score, seeds.spread(list(values.values())).deviation, _ends(keys, parts), complete, data, values)


def _mean(values: list[float]) -> float:
    # A leaderboard has a quarter of a million cells, most of one seed and one score.
    return values[0] if len(values) == 1 else mean(values)


def _ends(keys: tuple[str, ...], parts: list[CheckedScore]) -> tuple[float, float] | None:
    """Return the interval of the number that enters the target's mean, averaged over seeds.

    If that number is the mean of two scores, the ends of their intervals are averaged as well: exact match and F1 rise
    and fall together, and where they do not, the interval is too wide rather than too narrow.
    """
    intervals = [[part.intervals.get(key) for key in keys] for part in parts]
    if any(ends is None for each in intervals for ends in each):
        return None
    low, high = (_mean([_mean([ends[end] for ends in each if ends]) for each in intervals]) for end in (0, 1))
    return low, high


def outdated(stored: StoredSubmission, numbers: Numbers, schema: BoardSchema) -> list[str]:
    """Return a sentence about scores that were computed with another version of a spec; [] if there are none."""
    tasks = [
        task
        for task, by_language in numbers.items()
        if any(part.spec_hash != schema.hashes[task] for each in by_language.values() for part in each.values())
    ]
    if not tasks:
        return []
    advice = "check it again" if stored.checked else "it has to be submitted again"
    name = f"{stored.submission.id}: {', '.join(tasks)}"
    return [f"{name}: scored with another version of the spec, so partial; {advice}."]
