"""Check a submission and report the verdict."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from xharness.errors import DataError, SubmissionError
from xharness.leaderboard import rules, store
from xharness.leaderboard.fields import LARGEST_RECORD
from xharness.leaderboard.read_package import ReceivedPackage, read_package
from xharness.leaderboard.rescore import Rescored, rescore
from xharness.leaderboard.rows import BoardSchema, board_schema
from xharness.leaderboard.rules import SubmissionFingerprint
from xharness.leaderboard.store import read_file
from xharness.leaderboard.submission import CHECKS, RECORD, SUBMISSIONS, read_submission
from xharness.leaderboard.verdict import (
    ACCEPTED,
    REFUSED,
    REPLICATES_FILE,
    SCHEMA_VERSION,
    VERDICT_FILE,
    CheckedScore,
    ReplicateIndex,
    Verdict,
)
from xharness.metrics import paired
from xharness.metrics.base import mean
from xharness.results.aggregate import TaskResult, task_result
from xharness.results.score import Score
from xharness.strict_json import show_line
from xharness.version import __version__

_MOST_LINES = 60


@dataclass(frozen=True)
class CheckResult:
    """A verdict and the replicates it names; b'' if there are none."""

    verdict: Verdict
    replicates: bytes = b""

    def files(self) -> dict[str, bytes]:
        """Return the files that the leaderboard's repository keeps: path -> content."""
        folder = f"{CHECKS}/{self.verdict.id}"
        files = {f"{folder}/{VERDICT_FILE}": self.verdict.to_bytes()}
        if self.verdict.replicates is not None:
            files[f"{folder}/{REPLICATES_FILE}"] = self.replicates
        return files


def check(
    folder: Path,
    *,
    name: str | None = None,
    others: Iterable[SubmissionFingerprint] = (),
    data_dir: Path | None = None,
    workers: int = 1,
    accepted_before: bool = False,
) -> CheckResult:
    """Check the folder of a submission.

    Args:
        folder: holds submission.json and predictions/; its content is untrusted.
        name: the required name of the folder; None: any name.
        others: the submissions that are already on the leaderboard.
        data_dir: folder of gold data, laid out like the Hub; None: the Hub.
        workers: number of processes.
        accepted_before: it is on the leaderboard, with a verdict that accepts this content.

    Raises:
        DataError: the gold data on this machine is missing, a sample or a stand-in, so nothing can be checked.
        OutputError: there is no disk space to unpack the predictions.
    """
    try:
        package = read_package(folder, name)
    except SubmissionError as error:
        return refusal(name or folder.name, "", str(error).splitlines())
    submission = package.submission
    schema = board_schema()
    problems = rules.find_problems(submission, schema)
    warnings = rules.find_warnings(submission)
    other_problems, other_warnings = rules.compare_with_existing(submission, others, accepted_before=accepted_before)
    problems, warnings = problems + other_problems, warnings + other_warnings
    # Unknown targets cannot be scored, and scoring is pointless if the record already names other gold data.
    rescored = rescore(package, data_dir, workers) if not problems else []
    failures = [cell.failure for cell in rescored if cell.failure is not None]
    if failures:
        raise DataError("\n".join(["The submission could not be checked:", *failures]))
    problems += [problem for cell in rescored for problem in cell.problems]
    if problems:
        return refusal(submission.id, submission.digest, problems, warnings)
    return _accepted(package, rescored, warnings, schema)


def refusal(name: str, digest: str, problems: Sequence[str], warnings: Sequence[str] = ()) -> CheckResult:
    """Return the verdict that refuses a submission; untrusted text in the problems is escaped."""
    return CheckResult(
        Verdict(
            schema_version=SCHEMA_VERSION,
            id=show_line(name),
            digest=digest,
            verdict=REFUSED,
            problems=list(map(show_line, problems)),
            warnings=list(warnings),
            versions={"xharness": __version__},
        )
    )


def _accepted(
    package: ReceivedPackage, rescored: Sequence[Rescored], warnings: list[str], schema: BoardSchema
) -> CheckResult:
    submission = package.submission
    scores: dict[str, dict[str, dict[str, CheckedScore]]] = {}
    for seed in submission.seeds:
        for cell in rescored:
            if seed in cell.scores:
                scores.setdefault(str(seed), {}).setdefault(cell.task, {})[cell.language] = cell.scores[seed]
    drawn = [(cell, cell.replicates) for cell in rescored if cell.replicates is not None]
    content = paired.pack([values for _, values in drawn])
    index = ReplicateIndex(
        draw=paired.DRAW,
        file=REPLICATES_FILE,
        sha256=hashlib.sha256(content).hexdigest(),
        resamples=paired.RESAMPLES,
        cells=[[cell.task, cell.language] for cell, _ in drawn],
    )
    if package.withdrawn is not None:
        warnings.append("it was withdrawn: it is shown as withdrawn and never ranked.")
    verdict = Verdict(
        schema_version=SCHEMA_VERSION,
        id=submission.id,
        digest=submission.digest,
        verdict=ACCEPTED,
        problems=[],
        warnings=[*warnings, *_partial(scores, schema)],
        scores=scores,
        replicates=index if drawn else None,
        versions={"xharness": __version__},
    )
    return CheckResult(verdict, content)


def _as_score(task: str, language: str, checked: CheckedScore, metric: str) -> Score:
    """Convert a checked score for `task_result`."""
    return Score(
        task=task,
        language=language,
        split="test",
        scores=checked.scores,
        n=checked.n,
        expected_n=checked.expected_n,
        metric=metric,
        data_hash=checked.data_hash,
        data_source=checked.data_source,
        data_revision=checked.data_revision,
        data_status=checked.data_status,
        spec_hash=checked.spec_hash,
        candidates=checked.candidates,
        predictions_sha256="",
        tuned={"data_status": checked.cut_training} if checked.cut_training else {},
    )


def means(verdict: Verdict) -> list[tuple[str, str, float, bool]]:
    """Return (benchmark, target, mean over languages and seeds, whether it is complete) for a verdict."""
    averages = []
    for title, task, results in _results(verdict.scores, board_schema()):
        score = mean(each.mean["score"] for each in results)
        averages.append((title, task, score, all(each.complete for each in results)))
    return averages


def _results(
    scores: Mapping[str, Mapping[str, Mapping[str, CheckedScore]]], schema: BoardSchema
) -> Iterator[tuple[str, str, list[TaskResult]]]:
    """Yield benchmark, target and the target's result for each seed that has it."""
    for benchmark in schema.benchmarks.values():
        for task in benchmark.tasks:
            spec = schema.tasks[task]
            by_seed = [
                {code: _as_score(task, code, each, spec.metric) for code, each in tasks[task].items()}
                for tasks in scores.values()
                if task in tasks
            ]
            results = [task_result(spec, each, benchmark.name) for each in by_seed]
            if results and all(each.languages for each in results):
                yield benchmark.title, task, results


def _partial(scores: Mapping[str, Mapping[str, Mapping[str, CheckedScore]]], schema: BoardSchema) -> Iterator[str]:
    """Yield a sentence for each mean that the leaderboard will mark as partial."""
    scored: dict[str, list[str]] = {}
    for title, task, results in _results(scores, schema):
        scored.setdefault(title, []).append(task)
        why = next((each.why for each in results if not each.complete), None)
        if why is not None:
            yield f"partial: {task} in {title}: {why}."
    for benchmark in schema.benchmarks.values():
        missing = [task for task in benchmark.tasks if task not in scored.get(benchmark.title, [])]
        if missing and benchmark.title in scored:
            yield f"partial: {benchmark.title} has no overall score without {', '.join(missing)}."


def read_fingerprints(folder: Path) -> dict[str, SubmissionFingerprint]:
    """Return folder name -> fingerprint of the submissions in a copy of a leaderboard's repository.

    Submissions that cannot be read are left out.
    """
    fingerprints: dict[str, SubmissionFingerprint] = {}
    for name in store.submission_names(folder):
        try:
            record = read_submission(read_file(folder / SUBMISSIONS / name / RECORD, LARGEST_RECORD), name)
        except SubmissionError:
            continue
        fingerprints[name] = rules.fingerprint(record)
    return fingerprints


def text(checked: CheckResult) -> str:
    """Format a verdict for the terminal."""
    return "\n".join(_lines(checked))


def comment(checked: CheckResult, sha: str, *, for_now: bool = False) -> str:
    """Format the verdict on a commit as a Markdown comment, with a marker by which it is recognized later.

    Untrusted text is put into a code block, where it is neither markup nor a mention of a user. The marker is the last
    line, where no untrusted text can be.

    Args:
        checked: the verdict.
        sha: the commit.
        for_now: it is refused because of other submissions on the leaderboard, which can change.
    """
    verdict = checked.verdict
    report = "\n".join(_lines(checked)).replace("`", "'").replace("<!--", "<! --")
    introduction = "The scores of this submission were recomputed from its predictions."
    if not verdict.accepted:
        introduction = "This submission cannot be merged. Fix the problems listed below and submit it again."
    elif not verdict.scores:
        introduction = "This withdrawal can be merged."
    return f"**{verdict.verdict}** {introduction}\n\n```text\n{report}\n```\n\n{mark(verdict, sha, for_now=for_now)}"


def mark(verdict: Verdict, sha: str, *, for_now: bool = False) -> str:
    """Return the marker of a comment: an invisible line that is unique to this verdict on this commit."""
    word = f"{verdict.verdict}-for-now" if for_now else verdict.verdict
    return f"<!-- xharness {__version__} {word} {sha} {hashlib.sha256(verdict.to_bytes()).hexdigest()} -->"


def last_line(body: str) -> str:
    """Return the last line of a comment, which holds the marker if there is one."""
    return body.rstrip().rpartition("\n")[2]


def is_final_refusal(body: str, sha: str) -> bool:
    """Whether a comment by this version refuses a commit because of its own content."""
    pattern = rf"<!-- xharness {re.escape(__version__)} {REFUSED} {re.escape(sha)} [0-9a-f]{{64}} -->"
    return re.fullmatch(pattern, last_line(body)) is not None


def sentence(checked: CheckResult) -> str:
    """Format a verdict in one line."""
    verdict = checked.verdict
    if verdict.accepted:
        return f"{show_line(verdict.id)}: accepted"
    many = len(verdict.problems)
    return f"{show_line(verdict.id)}: refused, {many} problem{'' if many == 1 else 's'}."


def _lines(checked: CheckResult) -> Iterator[str]:
    verdict = checked.verdict
    yield sentence(checked).removesuffix(".")
    yield from (f"  problem: {show_line(line)}" for line in verdict.problems[:_MOST_LINES])
    if len(verdict.problems) > _MOST_LINES:
        yield f"  ... and {len(verdict.problems) - _MOST_LINES:,} more problems."
    yield from (f"  warning: {show_line(line)}" for line in verdict.warnings[:_MOST_LINES])
    for benchmark, task, score, complete in means(verdict):
        yield f"  {benchmark}  {task}: {score:.1f}{'' if complete else ' (partial)'}"
