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
from xharness.leaderboard.collect import UNOFFICIAL_DATA
from xharness.leaderboard.read_package import ReceivedPackage, unpack
from xharness.leaderboard.submission import GoldData, PredictionFile, cell_of
from xharness.leaderboard.verdict import CheckedScore
from xharness.metrics.bootstrap import Floats
from xharness.metrics.paired import replicates
from xharness.results import scoring
from xharness.results.score import Score
from xharness.strict_json import show_line
from xharness.tasks.registry import load_task
from xharness.tasks.task_spec import TaskSpec

_SINGLE_PROCESS = 2_000_000
"""Bytes of predictions below which starting a second process takes longer than it saves."""
_UNVERIFIABLE = frozenset({"map"})
"""Scores that depend on what a file claims about candidates it does not list (ranks beyond the first 20)."""
_SHARES_PER_WORKER = 8
"""Shares of work per process; several, so that no process waits long for the others."""


@dataclass(frozen=True)
class ScoringJob:
    """One language of one target with all seeds: the files to score, and the claimed scores.

    Attributes:
        files: seed, path within the folder, and the file's entry in the record.
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
        """Size of the predictions in bytes."""
        return sum(file.content_bytes for _, _, file in self.files)


@dataclass(frozen=True)
class Rescored:
    """The scores of one language of one target.

    Attributes:
        scores: seed -> recomputed scores.
        replicates: bootstrap replicates of the number that enters the target's mean, averaged over seeds; None if
            not known.
        problems: why the predictions are refused; each sentence names the file.
        failure: why this machine cannot check them, for example because gold data is missing.
    """

    task: str
    language: str
    scores: dict[int, CheckedScore]
    replicates: Floats | None
    problems: tuple[str, ...] = ()
    failure: str | None = None


def rescore(package: ReceivedPackage, data_dir: Path | None, workers: int = 1) -> list[Rescored]:
    """Score the predictions of a submission; the result is sorted by target and language.

    Args:
        package: a submission with known targets and languages.
        data_dir: folder of gold data, laid out like the Hub; None: the Hub.
        workers: number of processes; a few predictions are scored in this process.

    Raises:
        XharnessError: a worker process was killed.
    """
    data_candidates.clear_cache()
    jobs = _jobs(package)
    if workers < 2 or sum(job.size for job in jobs) < _SINGLE_PROCESS:
        return _rescore(package.folder, jobs, data_dir)
    shares = list(_shares(jobs, workers * _SHARES_PER_WORKER))
    # Spawned and not forked: a copy of this process would hold the locks of threads that it does not have.
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        futures = [pool.submit(_rescore, package.folder, share, data_dir) for share in shares]
        try:
            rescored = [cell for future in futures for cell in future.result()]
        except BrokenProcessPool:
            raise XharnessError(
                "A scoring process was killed, perhaps because memory ran out. Check again with more memory."
            ) from None
    return sorted(rescored, key=lambda cell: (cell.task, cell.language))


def _jobs(package: ReceivedPackage) -> list[ScoringJob]:
    submission = package.submission
    by_cell: dict[tuple[str, str], list[tuple[int, str, PredictionFile]]] = {}
    for path, file in submission.files.items():
        seed, task, language = cell_of(path)
        by_cell.setdefault((task, language), []).append((seed, path, file))
    return [
        ScoringJob(
            task,
            language,
            tuple(sorted(files, key=lambda item: item[0])),
            {seed: submission.scores[str(seed)][task][language] for seed, _, _ in files},
            submission.data[task][language],
            submission.cut_training(task),
        )
        for (task, language), files in sorted(by_cell.items())
    ]


def _shares(jobs: Sequence[ScoringJob], number: int) -> Iterator[list[ScoringJob]]:
    """Yield the jobs in shares of similar size, the slowest first.

    Jobs that search the same candidates stay together: reading a million candidates takes longer than scoring.
    """
    limit = sum(job.size for job in jobs) / number
    groups: list[list[ScoringJob]] = []
    for job in jobs:
        same_candidates = _shares_candidates(job)
        last = groups[-1] if groups and groups[-1][0].task == job.task else None
        if last is not None and (same_candidates or sum(each.size for each in last) + job.size <= limit):
            last.append(job)
        else:
            groups.append([job])
    yield from sorted(groups, key=lambda group: (not _shares_candidates(group[0]), -sum(job.size for job in group)))


def _shares_candidates(job: ScoringJob) -> bool:
    candidates = load_task(job.task).candidates
    return candidates is not None and candidates.scope == "task"


def _rescore(folder: Path, jobs: Sequence[ScoringJob], data_dir: Path | None) -> list[Rescored]:
    with tempfile.TemporaryDirectory(prefix="xharness-check-") as work:
        return [_run_job(folder, job, data_dir, Path(work)) for job in jobs]


def _run_job(folder: Path, job: ScoringJob, data_dir: Path | None, work: Path) -> Rescored:
    """Score one language of one target for all seeds."""
    spec = load_task(job.task)
    try:
        loaded = data_loading.load(spec, job.language, "test", data_dir)
    except XharnessError as error:
        return Rescored(job.task, job.language, {}, None, failure=str(error))
    # Read once: every seed iterates over the examples several times.
    loaded = replace(loaded, examples=tuple(loaded.examples))
    problems, failure = _gold_problems(job, loaded, len(scoring.gold(spec, loaded.examples)))
    scores: dict[int, CheckedScore] = {}
    replicates_by_seed: list[Floats | None] = []
    if failure is None and not problems:
        for seed, path, file in job.files:
            try:
                score, seed_replicates = _score_file(spec, job.language, loaded, folder, path, file, work)
            except (SubmissionError, PredictionError) as error:
                problems += [show_line(line) for line in str(error).splitlines()]
                continue
            scores[seed] = _checked(score, job.cut_training)
            replicates_by_seed.append(seed_replicates)
            problems += _claim_problems(path, job.claimed[seed], score.scores)
    known = [each for each in replicates_by_seed if each is not None]
    mean = np.mean(known, axis=0) if known and len(known) == len(job.files) else None
    return Rescored(job.task, job.language, scores, mean, tuple(problems), failure)


def _score_file(
    spec: TaskSpec, language: str, loaded: Data, folder: Path, path: str, file: PredictionFile, work: Path
) -> tuple[Score, Floats | None]:
    """Return the score of a compressed file and its replicates.

    Raises:
        SubmissionError, PredictionError: it differs from its entry in the record or does not fit the gold data.
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
            raise SubmissionError(f"{path}: {score.counts['unknown']:,} ids are not in the gold data.")
        golds, predictions = scoring.read(spec, loaded, plain, None)
        unknown = _unknown_name(spec.kind, loaded, predictions)
        if unknown is not None:
            raise SubmissionError(f"{path}: the data has no id {show_line(unknown[:60])}.")
        ids = [example.id for example in loaded.examples]
        return score, replicates(spec.metric, spec.score_keys, golds, predictions, language, ids)
    except PredictionError as error:
        raise PredictionError(str(error).replace(str(plain), path)) from None
    finally:
        plain.unlink(missing_ok=True)


def _unknown_name(kind: str, loaded: Data, predictions: Any) -> str | None:
    """Return a predicted id that is neither a candidate nor a query; None if there is none."""
    pool = loaded.pool
    if pool is None or pool.missing:
        return None
    candidates = set(pool.ids)
    if kind == "mining":
        queries = {example.id for example in loaded.examples}
        unknown_query = next((query for query, _ in predictions if query not in queries), None)
        return next((candidate for _, candidate in predictions if candidate not in candidates), unknown_query)
    ranked = (candidate for ranking in predictions.values() for candidate in ranking.candidates)
    return next((candidate for candidate in ranked if candidate not in candidates), None)


def _gold_problems(job: ScoringJob, loaded: Data, n: int) -> tuple[list[str], str | None]:
    """Return (problems, failure): how the gold data differs from that of this machine, or what is wrong on it."""
    where = f"{job.task}/{job.language}"
    if loaded.status in UNOFFICIAL_DATA:
        cut = "a sample" if loaded.status == "sample" else "a stand-in"
        return [], (
            f"{where}: the gold data on this machine is {cut}, which cannot be used for a check. Give the complete "
            "test data."
        )
    if loaded.hash != job.gold.data_hash:
        return [
            f"{where}: scored on other gold data (data_hash {job.gold.data_hash[:12]}, {job.gold.n:,} examples; "
            f"expected {loaded.hash[:12]}, {n:,})."
        ], None
    if n != job.gold.n:
        return [f"{where}: n: found {job.gold.n:,}, and the gold data has {n:,} examples."], None
    return [], None


def _claim_problems(path: str, claimed: Mapping[str, float], computed: Mapping[str, float]) -> Iterator[str]:
    """Yield the claimed scores that differ from the computed ones, even in the last digit."""
    for name in dict.fromkeys([*computed, *claimed]):
        if name not in computed:
            yield f"{path}: {show_line(name)}: is claimed but is not a score of this target."
        elif name not in claimed:
            yield f"{path}: {name}: not claimed; the predictions give {computed[name]!r}."
        elif claimed[name] != computed[name]:
            yield f"{path}: {name}: {claimed[name]!r} is claimed, the predictions give {computed[name]!r}."


def _checked(score: Score, cut_training: list[str]) -> CheckedScore:
    return CheckedScore(
        scores={name: value for name, value in score.scores.items() if name not in _UNVERIFIABLE},
        n=score.n,
        expected_n=score.expected_n,
        data_hash=score.data_hash,
        data_status=score.data_status,
        data_source=score.data_source,
        data_revision=score.data_revision,
        spec_hash=score.spec_hash,
        intervals={name: ends for name, ends in score.intervals.items() if name not in _UNVERIFIABLE},
        whole=score.complete and not cut_training,
        candidates=score.candidates,
        counts=score.counts,
        cut_training=cut_training,
    )
