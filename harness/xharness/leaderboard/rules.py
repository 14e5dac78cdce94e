"""Rules for submissions: targets, tracks, duplicates, supersession."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from xharness.errors import did_you_mean
from xharness.leaderboard.collect import UNOFFICIAL_DATA
from xharness.leaderboard.rows import BoardSchema
from xharness.leaderboard.submission import Submission, cell_of
from xharness.results.predictions import FORMATS
from xharness.results.score import FEW_SHOT, NATIVE, ON_TEST, TRANSLATE_TRAIN, ZERO_SHOT

_SUSPICIOUS = 5
"""Number of equal scores that two systems are unlikely to have by chance."""


@dataclass(frozen=True)
class SubmissionFingerprint:
    """The facts about a submission that others are compared with.

    Attributes:
        model: repository and commit, or content hash.
        files: target, language and SHA-256 of the content of each prediction file.
        scores: target, language and all scores, without the seed.
        track: its track on the leaderboard.
    """

    id: str
    name: str
    submitted_by: str
    model: tuple[str | None, ...]
    files: frozenset[tuple[str, str, str]]
    scores: frozenset[tuple[Any, ...]]
    track: str
    supersedes: str | None


def fingerprint(submission: Submission) -> SubmissionFingerprint:
    """Return the fingerprint of a submission."""
    files = frozenset((*cell_of(path)[1:], file.content_sha256) for path, file in submission.files.items())
    return SubmissionFingerprint(
        id=submission.id,
        name=submission.name,
        submitted_by=submission.submitted_by,
        model=_model(submission),
        files=files,
        scores=frozenset(_scores(submission)),
        track=submission.track_label,
        supersedes=submission.supersedes,
    )


def _scores(submission: Submission) -> Iterator[tuple[Any, ...]]:
    for tasks in submission.scores.values():
        for task, languages in tasks.items():
            for code, scores in languages.items():
                yield task, code, *sorted(scores.items())


def find_problems(submission: Submission, schema: BoardSchema) -> list[str]:
    """Return the reasons why a record is invalid or does not fit this leaderboard; [] if there are none."""
    return [*_cell_problems(submission, schema), *_setting_problems(submission), *_track_problems(submission)]


def find_warnings(submission: Submission) -> list[str]:
    """Return what readers of the leaderboard should know about a submission, as far as its record tells."""
    return list(_warnings(submission))


def compare_with_existing(
    submission: Submission, others: Iterable[SubmissionFingerprint], *, accepted_before: bool = False
) -> tuple[list[str], list[str]]:
    """Compare a submission with those on the leaderboard; return problems and warnings.

    Args:
        submission: the submission.
        others: those on the leaderboard.
        accepted_before: it is on the leaderboard with a verdict that accepts it. A later submission must not displace
            it, so all problems become warnings.
    """
    new = fingerprint(submission)
    existing = {other.id: other for other in others}
    problems: list[str] = []
    warnings: list[str] = []
    if new.id in existing:
        problems.append(f"id: {submission.id} is already on the leaderboard, with the same content.")
    replaced_ids = _replaced_by(new, existing)
    for other in existing.values():
        # Corrections of a submission are not copies of it or of one another.
        if other.id not in {new.id, submission.supersedes, *replaced_ids} and new.id not in _replaced_by(
            other, {**existing, new.id: new}
        ):
            _compare(new, other, problems, warnings)
    replaced = existing.get(submission.supersedes or "")
    if submission.supersedes is not None and replaced is None:
        problems.append(f"supersedes: there is no submission {submission.supersedes} on the leaderboard.")
    elif replaced is not None and not _same_user(replaced, new):
        problems.append(
            f"supersedes: {replaced.id} was submitted by {replaced.submitted_by}; {submission.submitted_by} may "
            "replace only their own submissions."
        )
    return ([], [*problems, *warnings]) if accepted_before else (problems, warnings)


def _replaced_by(new: SubmissionFingerprint, existing: Mapping[str, SubmissionFingerprint]) -> set[str]:
    """Return the ids of the submissions of the same user that a submission replaces, directly or indirectly."""
    replaced: set[str] = set()
    while (old := existing.get(new.supersedes or "")) is not None and old.id not in replaced and _same_user(old, new):
        replaced.add(old.id)
        new = old
    return replaced


def _same_user(one: SubmissionFingerprint, other: SubmissionFingerprint) -> bool:
    # User names of the Hub are unique regardless of case.
    return one.submitted_by.casefold() == other.submitted_by.casefold()


def _compare(
    new: SubmissionFingerprint, other: SubmissionFingerprint, problems: list[str], warnings: list[str]
) -> None:
    shared = len(new.files & other.files)
    if new.files <= other.files:
        problems.append(
            f"files: all predictions are the same as in {other.id} ('{other.name}', by {other.submitted_by}). If it is "
            "yours and its record was wrong, give its id with --supersedes."
        )
    elif shared:
        warnings.append(f"files: {shared} of {len(new.files)} predictions are the same as in {other.id}.")
    equal_scores = len(new.scores & other.scores)
    if equal_scores - shared >= _SUSPICIOUS:
        warnings.append(
            f"scores: {equal_scores} of {len(new.scores)} are the same as in {other.id} to the last digit. The "
            "predictions may be a copy with small changes."
        )
    if None not in new.model[:1] and new.model == other.model and new.track == other.track:
        warnings.append(f"model: the same checkpoint is on the leaderboard as '{other.name}' ({other.id}).")
    elif new.name.casefold() == other.name.casefold():
        warnings.append(f"name: {other.id} has the same name ('{other.name}').")


def _model(submission: Submission) -> tuple[str | None, ...]:
    model = submission.model
    if model.repo is not None:
        return model.repo.casefold(), model.revision
    return (model.content,)


def _cell_problems(submission: Submission, schema: BoardSchema) -> Iterator[str]:
    """Yield the targets, languages, file endings and gold data that do not fit the leaderboard."""
    for task, languages in submission.data.items():
        if task not in schema.tasks:
            yield f"data.{task}: the leaderboard has no target of this name.{did_you_mean(task, schema.tasks)}"
            continue
        codes_on_board = {code for codes in schema.members[task].values() for code in codes}
        for code, gold in languages.items():
            where = f"data.{task}.{code}"
            if code not in codes_on_board:
                yield f"{where}: no benchmark has this language in {task}."
            if gold.spec_hash != schema.hashes[task]:
                yield (
                    f"{where}.spec_hash: found {gold.spec_hash}, expected {schema.hashes[task]}, the hash of the task "
                    "file in this version. Score with this version and its own task file."
                )
            if gold.status in UNOFFICIAL_DATA:
                yield f"{where}.status: scored on {gold.status} data, which is not the test set."
    for path in submission.files:
        _, task, _ = cell_of(path)
        if task in schema.tasks:
            ending = FORMATS[schema.tasks[task].kind].extension
            if not path.endswith(f".{ending}.gz"):
                yield f"{path}: expected predictions for {task} as .{ending}.gz."


def _setting_problems(submission: Submission) -> Iterator[str]:
    if submission.settings.get("limit") is not None:
        yield "settings.limit: only the first examples were scored; the leaderboard needs complete test sets."
    if submission.settings.get("split", "test") != "test":
        yield "settings.split: expected 'test'."


def _track_problems(submission: Submission) -> Iterator[str]:
    """Yield the contradictions between track and declarations."""
    track, declared = submission.track, submission.declarations
    # In any spelling: "Test", "dev,test", "test-set".
    parts = re.split(r"[^\w-]+", track.selected_by.casefold())
    if any(part == ON_TEST or part.startswith((f"{ON_TEST}-", f"{ON_TEST}_")) for part in parts):
        yield "track.selected_by: 'test' means that the checkpoint was selected on the test data that is scored."
    if track.training == TRANSLATE_TRAIN and not declared.translated_data:
        yield (
            f"declarations.translated_data: false, but track.training is '{TRANSLATE_TRAIN}', which means training on "
            "translations."
        )
    if track.training == ZERO_SHOT and declared.translated_data:
        yield (
            f"track.training: '{ZERO_SHOT}', but declarations.translated_data is true. Training on translations of "
            f"the target's training data is '{TRANSLATE_TRAIN}'."
        )
    if submission.source == "xharness" and track.phase == "prompted":
        yield "track.phase: 'prompted', which xharness does not support; submit another system with --predictions."


def _warnings(submission: Submission) -> Iterator[str]:
    track, declared = submission.track, submission.declarations
    if declared.saw_test_data == "yes":
        yield "declarations: it saw the test data, so it is shown but never ranked."
    elif declared.saw_test_data == "unknown":
        yield "declarations: it is not known whether it saw the test data."
    if track.phase == "prompted" and submission.model.architecture == "encoder":
        yield "track: a prompted encoder is unusual; check that the architecture is right."
    if "target-dev" in track.selected_by.split(", ") and track.training == ZERO_SHOT:
        yield "track: it was selected on development data of the target languages, which is usually not zero-shot."
    if track.training in (NATIVE, FEW_SHOT) and track.phase == "as is" and submission.source == "xharness":
        yield f"track: '{track.training}' for a checkpoint that was not tuned here relies on its authors' word."
    contents = Counter((*cell_of(path)[1:], file.content_sha256) for path, file in submission.files.items())
    if any(count > 1 for count in contents.values()):
        yield "seeds: some have identical predictions, so their deviation is meaningless."
    cells = {seed: {(t, c) for s, t, c in map(cell_of, submission.files) if s == seed} for seed in submission.seeds}
    if len(set(map(frozenset, cells.values()))) > 1:
        yield "seeds: they differ in targets and languages; each mean is over the seeds that have the score."
    if submission.model.repo is None and submission.model.content is None:
        yield "model: neither a repository nor a content hash identifies the model."
