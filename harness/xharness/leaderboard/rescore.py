"""Recompute all scores of a submission, in parallel."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

from xharness.data import candidates as data_candidates
from xharness.data import loading as data_loading
from xharness.data.loading import Data
from xharness.errors import PredictionError, SubmissionError, XharnessError
from xharness.leaderboard import read_package
from xharness.leaderboard.collect import NOT_THE_TASK
from xharness.leaderboard.read_package import Package, unpack
from xharness.leaderboard.submission import GoldData, PredictionFile, cell_of
from xharness.leaderboard.verdict import CheckedScore
from xharness.metrics.bootstrap import Floats
from xharness.metrics.paired import replicates
from xharness.results import scoring
from xharness.results.score import Score
from xharness.strict_json import show_line
from xharness.tasks.registry import load_task
from xharness.tasks.task_spec import TaskSpec

_ALONE = 2_000_000
"""Bytes of predictions up to which starting a second process takes longer than it saves."""
_CLAIMED = frozenset({"map"})
"""Scores that rest on what a file says of candidates it does not show (ranks beyond the first 20), and not on them."""
_SHARE = 8
"""Parts that the work is cut into for each process, so that none waits long for the other."""


@dataclass(frozen=True)
class Cell:
    """One language of one target, under all seeds: what is to be scored, and what is claimed.

    Attributes:
        files: seed, path within the folder, and what the record says of the file.
        claimed: seed -> scores.
        cut_training: as ``Submission.cut_training``.
    """

    task: str
    language: str
    files: tuple[tuple[int, str, PredictionFile], ...]
    claimed: Mapping[int, Mapping[str, float]]
    gold: GoldData
    cut_training: list[str]

    @property
    def size(self) -> int:
        """Bytes of predictions."""
        return sum(file.content_bytes for _, _, file in self.files)


@dataclass(frozen=True)
class Rescored:
    """What came out for a cell.

    Attributes:
        scores: seed -> what was computed here.
        replicates: of the number that enters the target's mean, mean over seeds; None where they are not known.
        problems: why the predictions are refused, as sentences that name the file.
        failure: why nothing can be said: what is wrong is on this side, such as missing gold data.
    """

    task: str
    language: str
    scores: dict[int, CheckedScore]
    replicates: Floats | None
    problems: tuple[str, ...] = ()
    failure: str | None = None


def rescore(package: Package, data_dir: Path | None, workers: int = 1) -> list[Rescored]:
    """Return what the predictions of a submission score, by target and language.

    Args:
        package: of targets and languages that are known.
        data_dir: gold data laid out like the Hub; None: the Hub.
        workers: processes; few predictions are scored in this one.

    Raises:
        XharnessError: a process was ended from outside.
    """
    data_candidates.clear_cache()
    cells = _cells(package)
    if workers < 2 or sum(cell.size for cell in cells) < _ALONE:
        return _rescore(package.folder, cells, data_dir)
    shares = list(_shares(cells, workers * _SHARE))
    # Started anew and not copied: whatever threads this process has stay out of the others.
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        futures = [pool.submit(_rescore, package.folder, share, data_dir) for share in shares]
        try:
            rescored = [each for future in futures for each in future.result()]
        except BrokenProcessPool:
            raise XharnessError(
                "A process that scored was ended from outside, perhaps for want of memory. Check again with more."
            ) from None
    return sorted(rescored, key=lambda each: (each.task, each.language))


def _cells(package: Package) -> list[Cell]:
    submission = package.submission
    by_cell: dict[tuple[str, str], list[tuple[int, str, PredictionFile]]] = {}
    for path, file in submission.files.items():
        seed, task, language = cell_of(path)
        by_cell.setdefault((task, language), []).append((seed, path, file))
    return [
        Cell(
            task,
            language,
            tuple(sorted(files, key=lambda each: each[0])),
            {seed: submission.scores[str(seed)][task][language] for seed, _, _ in files},
            submission.data[task][language],
            submission.cut_training(task),
        )
        for (task, language), files in sorted(by_cell.items())
    ]


def _shares(cells: Sequence[Cell], number: int) -> Iterator[list[Cell]]:
    """Yield the cells in shares of about one size, those that take longest first.

    What is searched among the same candidates stays together: reading a million of them takes longer than all else.
    """
    most = sum(cell.size for cell in cells) / number
    groups: list[list[Cell]] = []
    for cell in cells:
        together = _is_together(cell)
        last = groups[-1] if groups and groups[-1][0].task == cell.task else None
        if last is not None and (together or sum(each.size for each in last) + cell.size <= most):
            last.append(cell)
        else:
            groups.append([cell])
    yield from sorted(groups, key=lambda group: (not _is_together(group[0]), -sum(cell.size for cell in group)))


def _is_together(cell: Cell) -> bool:
    candidates = load_task(cell.task).candidates
    return candidates is not None and candidates.scope == "task"


def _rescore(folder: Path, cells: Sequence[Cell], data_dir: Path | None) -> list[Rescored]:
    with tempfile.TemporaryDirectory(prefix="xharness-check-") as work:
        return [_rescore_cell(folder, cell, data_dir, Path(work)) for cell in cells]


def _rescore_cell(folder: Path, cell: Cell, data_dir: Path | None, work: Path) -> Rescored:
    """Score one language of one target under all seeds."""
    spec = load_task(cell.task)
    try:
        loaded = data_loading.load(spec, cell.language, "test", data_dir)
    except XharnessError as error:
        return Rescored(cell.task, cell.language, {}, None, failure=str(error))
    # Read once: they are gone through for each seed, and several times.
    loaded = replace(loaded, examples=tuple(loaded.examples))
    problems, failure = _gold_problems(cell, loaded, len(scoring.gold(spec, loaded.examples)))
    scores: dict[int, CheckedScore] = {}
    drawn: list[Floats | None] = []
    if failure is None and not problems:
        for seed, path, file in cell.files:
            try:
                score, replicate = _score_file(spec, cell.language, loaded, folder, path, file, work)
            except (SubmissionError, PredictionError) as error:
                problems += [show_line(line) for line in str(error).splitlines()]
                continue
            scores[seed] = _checked(score, cell.cut_training)
            drawn.append(replicate)
            problems += _claim_problems(path, cell.claimed[seed], score.scores)
    there = [each for each in drawn if each is not None]
    mean = np.mean(there, axis=0) if there and len(there) == len(cell.files) else None
    return Rescored(cell.task, cell.language, scores, mean, tuple(problems), failure)


def _score_file(
    spec: TaskSpec, language: str, loaded: Data, folder: Path, path: str, file: PredictionFile, work: Path
) -> tuple[Score, Floats | None]:
    """Return the score of a packed file and its replicates.

    Raises:
        SubmissionError, PredictionError: it is not what the record says, or does not fit the gold data.
    """
    plain = work / f"{spec.name}-{language}"
    unpack(folder, path, file, plain)
    try:
        content = plain.read_bytes()
        golds = scoring.gold(spec, loaded.examples)
        problem = read_package.size_problem(spec.kind, golds, content)
        if problem is not None:
            raise SubmissionError(f"{path}: {problem}.")
        score = scoring.score_file(spec, language, "test", loaded, plain)
        problem = read_package.content_problem(spec, content)
        if problem is not None:
            raise SubmissionError(f"{path}: {problem}.")
        if score.counts.get("unknown"):
            raise SubmissionError(
                f"{path}: {score.counts['unknown']:,} ids stand there that the gold data does not have."
            )
        golds, predictions = scoring.read(spec, loaded, plain, None)
        strange = _strange_name(spec.kind, loaded, predictions)
        if strange is not None:
            raise SubmissionError(f"{path}: the data has nothing called {show_line(strange[:60])}.")
        ids = [example.id for example in loaded.examples]
        return score, replicates(spec.metric, spec.score_keys, golds, predictions, language, ids)
    except PredictionError as error:
        raise PredictionError(str(error).replace(str(plain), path)) from None
    finally:
        plain.unlink(missing_ok=True)


def _strange_name(kind: str, loaded: Data, made: Any) -> str | None:
    """Return an id that was found and is none of the candidates' or the queries'; None where there is no such."""
    pool = loaded.pool
    if pool is None or pool.missing:
        return None
    candidates = set(pool.ids)
    if kind == "mining":
        queries = {example.id for example in loaded.examples}
        return next(
            (f for query, f in made if f not in candidates), next((q for q, _ in made if q not in queries), None)
        )
    return next((each for ranking in made.values() for each in ranking.candidates if each not in candidates), None)


def _gold_problems(cell: Cell, loaded: Data, n: int) -> tuple[list[str], str | None]:
    """Return why the gold data of the submission is not that of this side, and whether this side's is at fault."""
    where = f"{cell.task}/{cell.language}"
    if loaded.status in NOT_THE_TASK:
        cut = "a sample" if loaded.status == "sample" else "a stand-in"
        return [], f"{where}: the gold data here is {cut}, with which nothing can be checked. Give the whole test data."
    if loaded.hash != cell.gold.data_hash:
        return [
            f"{where}: scored on other gold data (data_hash {cell.gold.data_hash[:12]}, {cell.gold.n:,} examples; here "
            f"{loaded.hash[:12]}, {n:,})."
        ], None
    if n != cell.gold.n:
        return [f"{where}: n: found {cell.gold.n:,}, and the gold data has {n:,} examples."], None
    return [], None


def _claim_problems(path: str, claimed: Mapping[str, float], computed: Mapping[str, float]) -> Iterator[str]:
    """Yield the scores that are claimed and not what the predictions give, to the last digit."""
    for name in dict.fromkeys([*computed, *claimed]):
        if name not in computed:
            yield f"{path}: {show_line(name)}: claimed, and no score of this target."
        elif name not in claimed:
            yield f"{path}: {name}: not claimed; the predictions give {computed[name]!r}."
        elif claimed[name] != computed[name]:
            yield f"{path}: {name}: {claimed[name]!r} is claimed, the predictions give {computed[name]!r}."


def _checked(score: Score, cut_training: list[str]) -> CheckedScore:
    return CheckedScore(
        scores={name: value for name, value in score.scores.items() if name not in _CLAIMED},
        n=score.n,
        expected_n=score.expected_n,
        data_hash=score.data_hash,
        data_status=score.data_status,
        data_source=score.data_source,
        data_revision=score.data_revision,
        spec_hash=score.spec_hash,
        intervals={name: ends for name, ends in score.intervals.items() if name not in _CLAIMED},
        whole=score.complete and not cut_training,
        candidates=score.candidates,
        counts=score.counts,
        cut_training=cut_training,
    )
