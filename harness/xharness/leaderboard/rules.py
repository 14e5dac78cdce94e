"""Rules for submissions: targets, tracks, duplicates, supersession."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from xharness.errors import did_you_mean
from xharness.leaderboard.collect import NOT_THE_TASK
from xharness.leaderboard.rows import BoardSchema
from xharness.leaderboard.submission import Submission, cell_of
from xharness.results.predictions import FORMATS
from xharness.results.score import FEW_SHOT, NATIVE, ON_TEST, TRANSLATE_TRAIN, ZERO_SHOT

_TOO_MANY = 5
"""Languages of targets whose scores two systems do not share by chance."""


@dataclass(frozen=True)
class SubmissionFingerprint:
    """What is needed of a submission on the board to compare another with it.

    Attributes:
        model: repository and commit, or content hash.
        contents: target, language, and SHA-256 of what each prediction file holds.
        scores: target, language, and all scores, without the seed that they are of.
        group: the board's track of it.
    """

    id: str
    name: str
    submitted_by: str
    model: tuple[str | None, ...]
    contents: frozenset[tuple[str, str, str]]
    scores: frozenset[tuple[Any, ...]]
    group: str
    supersedes: str | None


def known(submission: Submission) -> SubmissionFingerprint:
    """Return what is needed of a submission to compare others with it."""
    contents = frozenset((*cell_of(path)[1:], file.content_sha256) for path, file in submission.files.items())
    return SubmissionFingerprint(
        id=submission.id,
        name=submission.name,
        submitted_by=submission.submitted_by,
        model=_model(submission),
        contents=contents,
        scores=frozenset(_scores(submission)),
        group=submission.group,
        supersedes=submission.supersedes,
    )


def _scores(submission: Submission) -> Iterator[tuple[Any, ...]]:
    for tasks in submission.scores.values():
        for task, languages in tasks.items():
            for code, scores in languages.items():
                yield task, code, *sorted(scores.items())


def problems_of(submission: Submission, shape: BoardSchema) -> list[str]:
    """Return why a record cannot be true, or is none that this board shows; [] if nothing is wrong."""
    return [*_cell_problems(submission, shape), *_setting_problems(submission), *_track_problems(submission)]


def warnings_of(submission: Submission) -> list[str]:
    """Return what readers of the board have to know of a submission, as far as its record says it."""
    return list(_warnings(submission))


def compare_with_existing(
    submission: Submission, others: Iterable[SubmissionFingerprint], *, accepted_before: bool = False
) -> tuple[list[str], list[str]]:
    """Return the problems and warnings that a submission has beside those that are on the board.

    Args:
        submission: the submission.
        others: those on the board.
        accepted_before: it is on the board with a verdict that accepts it, so that no later one can throw it out: what
            would be a problem is a warning.
    """
    mine = known(submission)
    there = {each.id: each for each in others}
    problems: list[str] = []
    warnings: list[str] = []
    if mine.id in there:
        problems.append(f"id: {submission.id} is on the board already, with the same content.")
    kin = _replaced_by(mine, there)
    for other in there.values():
        # A correction, and the correction of a correction, are no copies of one another.
        if other.id not in {mine.id, submission.supersedes, *kin} and mine.id not in _replaced_by(
            other, {**there, mine.id: mine}
        ):
            _compare(mine, other, problems, warnings)
    replaced = there.get(submission.supersedes or "")
    if submission.supersedes is not None and replaced is None:
        problems.append(f"supersedes: there is no submission {submission.supersedes} on the board.")
    elif replaced is not None and not _same_user(replaced, mine):
        problems.append(
            f"supersedes: {replaced.id} was submitted by {replaced.submitted_by}, and {submission.submitted_by} may "
            "replace "
            "own submissions only."
        )
    return ([], [*problems, *warnings]) if accepted_before else (problems, warnings)


def _replaced_by(new: SubmissionFingerprint, there: Mapping[str, SubmissionFingerprint]) -> set[str]:
    """Return the ids of all that a submission replaces, and those replace, as far as they are one user's."""
    replaced: set[str] = set()
    while (old := there.get(new.supersedes or "")) is not None and old.id not in replaced and _same_user(old, new):
        replaced.add(old.id)
        new = old
    return replaced


def _same_user(one: SubmissionFingerprint, other: SubmissionFingerprint) -> bool:
    # The Hub's names differ by more than their case.
    return one.submitted_by.casefold() == other.submitted_by.casefold()


def _compare(
    mine: SubmissionFingerprint, other: SubmissionFingerprint, problems: list[str], warnings: list[str]
) -> None:
    shared = len(mine.contents & other.contents)
    if mine.contents <= other.contents:
        problems.append(
            f"files: all predictions are those of {other.id} ('{other.name}', by {other.submitted_by}). Name it with "
            "--supersedes if it is yours and its record was wrong."
        )
    elif shared:
        warnings.append(f"files: {shared} of {len(mine.contents)} predictions are those of {other.id}.")
    same = len(mine.scores & other.scores)
    if same - shared >= _TOO_MANY:
        warnings.append(
            f"scores: {same} of {len(mine.scores)} are those of {other.id} to the last digit. Look whether the "
            "predictions are a copy with something changed."
        )
    if None not in mine.model[:1] and mine.model == other.model and mine.group == other.group:
        warnings.append(f"model: the same checkpoint is on the board as '{other.name}' ({other.id}).")
    elif mine.name.casefold() == other.name.casefold():
        warnings.append(f"name: {other.id} is called '{other.name}' too.")


def _model(submission: Submission) -> tuple[str | None, ...]:
    model = submission.model
    if model.repo is not None:
        return model.repo.casefold(), model.revision
    return (model.content,)


def _cell_problems(submission: Submission, shape: BoardSchema) -> Iterator[str]:
    """Yield the targets, languages, endings and gold data that are not the board's."""
    for task, languages in submission.data.items():
        if task not in shape.tasks:
            yield f"data.{task}: the board has no target of this name.{did_you_mean(task, shape.tasks)}"
            continue
        there = {code for codes in shape.members[task].values() for code in codes}
        for code, gold in languages.items():
            where = f"data.{task}.{code}"
            if code not in there:
                yield f"{where}: no benchmark has this language in {task}."
            if gold.spec_hash != shape.hashes[task]:
                yield (
                    f"{where}.spec_hash: found {gold.spec_hash}, expected {shape.hashes[task]}, that of the task file "
                    "which this version ships. Score with this version, and with its own task file."
                )
            if gold.status in NOT_THE_TASK:
                yield f"{where}.status: scored on {gold.status} data, which is not the test set."
    for path in submission.files:
        _, task, _ = cell_of(path)
        if task in shape.tasks:
            ending = FORMATS[shape.tasks[task].kind].extension
            if not path.endswith(f".{ending}.gz"):
                yield f"{path}: predictions for {task} are expected as .{ending}.gz."


def _setting_problems(submission: Submission) -> Iterator[str]:
    if submission.settings.get("limit") is not None:
        yield "settings.limit: only the first examples were scored; the board shows whole languages."
    if submission.settings.get("split", "test") != "test":
        yield "settings.split: expected 'test'."


def _track_problems(submission: Submission) -> Iterator[str]:
    """Yield where track and declarations exclude each other: tracks are told apart by them."""
    track, declared = submission.track, submission.declarations
    # However it is written: "Test", "dev,test", "test-set".
    parts = re.split(r"[^\w-]+", track.selected_by.casefold())
    if any(part == ON_TEST or part.startswith((f"{ON_TEST}-", f"{ON_TEST}_")) for part in parts):
        yield "track.selected_by: 'test' says that it was chosen on the very data that is scored."
    if track.training == TRANSLATE_TRAIN and not declared.translated_data:
        yield (
            f"declarations.translated_data: false, but track.training is '{TRANSLATE_TRAIN}', which is training on "
            "translations."
        )
    if track.training == ZERO_SHOT and declared.translated_data:
        yield (
            f"track.training: '{ZERO_SHOT}', but declarations.translated_data is true. Training on translations of "
            f"the target's training data is '{TRANSLATE_TRAIN}'."
        )
    if submission.source == "xharness" and track.phase == "prompted":
        yield "track.phase: 'prompted', which xharness does not do; a system of your own is sent with --predictions."


def _warnings(submission: Submission) -> Iterator[str]:
    track, declared = submission.track, submission.declarations
    if declared.saw_test_data == "yes":
        yield "declarations: it saw the test data, so it is shown and never ranked."
    elif declared.saw_test_data == "unknown":
        yield "declarations: nobody knows whether it saw the test data."
    if track.phase == "prompted" and submission.model.architecture == "encoder":
        yield "track: an encoder that is prompted is unusual; look whether the architecture is right."
    if "target-dev" in track.selected_by.split(", ") and track.training == ZERO_SHOT:
        yield "track: it was chosen on development data of the target languages, which zero-shot usually forbids."
    if track.training in (NATIVE, FEW_SHOT) and track.phase == "as is" and submission.source == "xharness":
        yield f"track: '{track.training}' of a checkpoint that was not tuned here rests on what its authors say."
    contents = Counter((*cell_of(path)[1:], file.content_sha256) for path, file in submission.files.items())
    if any(count > 1 for count in contents.values()):
        yield "seeds: some have the very same predictions, so that their deviation says nothing."
    cells = {seed: {(t, c) for s, t, c in map(cell_of, submission.files) if s == seed} for seed in submission.seeds}
    if len(set(map(frozenset, cells.values()))) > 1:
        yield "seeds: not all have the same targets and languages; a mean over seeds is of those that are there."
    if submission.model.repo is None and submission.model.content is None:
        yield "model: neither a repository nor a content hash says which model it is."
