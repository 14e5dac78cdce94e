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
from xharness.leaderboard.read_package import Package, read_package
from xharness.leaderboard.rescore import Rescored, rescore
from xharness.leaderboard.rows import BoardSchema, layout
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
class Checked:
    """A verdict, and the replicates that it names; b'' where there are none."""

    verdict: Verdict
    replicates: bytes = b""

    def files(self) -> dict[str, bytes]:
        """Return what is kept of it in a board's repository: path -> content."""
        folder = f"{CHECKS}/{self.verdict.id}"
        contents = {f"{folder}/{VERDICT_FILE}": self.verdict.to_bytes()}
        if self.verdict.replicates is not None:
            contents[f"{folder}/{REPLICATES_FILE}"] = self.replicates
        return contents


def check(
    folder: Path,
    *,
    name: str | None = None,
    others: Iterable[SubmissionFingerprint] = (),
    data_dir: Path | None = None,
    workers: int = 1,
    accepted_before: bool = False,
) -> Checked:
    """Return the verdict on a submission's folder.

    Args:
        folder: holds submission.json and predictions/; nothing in it is trusted.
        name: what the folder has to be called; None: it may have any name.
        others: the submissions that are on the board already.
        data_dir: gold data laid out like the Hub; None: the Hub.
        workers: processes that score.
        accepted_before: it is on the board, and a verdict there accepts this content.

    Raises:
        DataError: the gold data here is missing, a sample or a stand-in, so that nothing can be said.
        OutputError: there is no room to unpack.
    """
    try:
        package = read_package(folder, name)
    except SubmissionError as error:
        return refusal(name or folder.name, "", str(error).splitlines())
    submission = package.submission
    shape = layout()
    problems = rules.problems_of(submission, shape)
    warnings = rules.warnings_of(submission)
    more, beside = rules.compare_with_existing(submission, others, accepted_before=accepted_before)
    problems, warnings = problems + more, warnings + beside
    # Targets that are not known cannot be scored, and gold data that the record itself says is other need not be.
    rescored = rescore(package, data_dir, workers) if not problems else []
    failures = [each.failure for each in rescored if each.failure is not None]
    if failures:
        raise DataError("\n".join(["The check could not be made:", *failures]))
    problems += [problem for each in rescored for problem in each.problems]
    if problems:
        return refusal(submission.id, submission.digest, problems, warnings)
    return _accepted(package, rescored, warnings, shape)


def refusal(name: str, digest: str, problems: Sequence[str], warnings: Sequence[str] = ()) -> Checked:
    """Return the verdict that refuses a submission; what others wrote in its words is made fit to be shown."""
    return Checked(
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


def _accepted(package: Package, rescored: Sequence[Rescored], warnings: list[str], shape: BoardSchema) -> Checked:
    submission = package.submission
    scores: dict[str, dict[str, dict[str, CheckedScore]]] = {}
    for seed in submission.seeds:
        for each in rescored:
            if seed in each.scores:
                scores.setdefault(str(seed), {}).setdefault(each.task, {})[each.language] = each.scores[seed]
    drawn = [(each, each.replicates) for each in rescored if each.replicates is not None]
    content = paired.pack([values for _, values in drawn])
    index = ReplicateIndex(
        draw=paired.DRAW,
        file=REPLICATES_FILE,
        sha256=hashlib.sha256(content).hexdigest(),
        resamples=paired.RESAMPLES,
        cells=[[each.task, each.language] for each, _ in drawn],
    )
    if package.withdrawn is not None:
        warnings.append("it was withdrawn: it is shown as such, and never ranked.")
    verdict = Verdict(
        schema_version=SCHEMA_VERSION,
        id=submission.id,
        digest=submission.digest,
        verdict=ACCEPTED,
        problems=[],
        warnings=[*warnings, *_partial(scores, shape)],
        scores=scores,
        replicates=index if drawn else None,
        versions={"xharness": __version__},
    )
    return Checked(verdict, content)


def _as_score(task: str, language: str, checked: CheckedScore, metric: str) -> Score:
    """Return a checked score as the averages take it."""
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
    """Return (benchmark, target, mean over languages and seeds, whether it is complete) of the scores in a verdict."""
    rows = []
    for title, task, results in _results(verdict.scores, layout()):
        score = mean(each.mean["score"] for each in results)
        rows.append((title, task, score, all(each.complete for each in results)))
    return rows


def _results(
    scores: Mapping[str, Mapping[str, Mapping[str, CheckedScore]]], shape: BoardSchema
) -> Iterator[tuple[str, str, list[TaskResult]]]:
    """Yield benchmark, target, and the target's result under each seed that has it."""
    for benchmark in shape.benchmarks.values():
        for task in benchmark.tasks:
            spec = shape.tasks[task]
            by_seed = [
                {code: _as_score(task, code, each, spec.metric) for code, each in tasks[task].items()}
                for tasks in scores.values()
                if task in tasks
            ]
            results = [task_result(spec, each, benchmark.name) for each in by_seed]
            if results and all(each.languages for each in results):
                yield benchmark.title, task, results


def _partial(scores: Mapping[str, Mapping[str, Mapping[str, CheckedScore]]], shape: BoardSchema) -> Iterator[str]:
    """Yield where means are not the benchmarks', as the board will mark them."""
    there: dict[str, list[str]] = {}
    for title, task, results in _results(scores, shape):
        there.setdefault(title, []).append(task)
        why = next((each.why for each in results if not each.complete), None)
        if why is not None:
            yield f"partial: {task} in {title}: {why}."
    for benchmark in shape.benchmarks.values():
        missing = [task for task in benchmark.tasks if task not in there.get(benchmark.title, [])]
        if missing and benchmark.title in there:
            yield f"partial: {benchmark.title} has no overall score without {', '.join(missing)}."


def read_known(folder: Path) -> dict[str, SubmissionFingerprint]:
    """Return what is needed of the submissions in a copy of a board's repository, by the names of their folders.

    What cannot be read is left out.
    """
    fingerprints: dict[str, SubmissionFingerprint] = {}
    for name in store.names(folder):
        try:
            record = read_submission(read_file(folder / SUBMISSIONS / name / RECORD, LARGEST_RECORD), name)
        except SubmissionError:
            continue
        fingerprints[name] = rules.known(record)
    return fingerprints


def text(checked: Checked) -> str:
    """Return a verdict for the terminal."""
    return "\n".join(_lines(checked))


def comment(checked: Checked, sha: str, *, for_now: bool = False) -> str:
    """Return the verdict on a commit as markdown for a pull request, with a mark by which it is known again.

    What others wrote stands in a block of code, where nothing is markup and nobody is called by name. The mark is the
    last line, and nobody else's text stands there.

    Args:
        checked: the verdict.
        sha: the commit.
        for_now: it is refused for what is on the board beside it, which can change.
    """
    verdict = checked.verdict
    inside = "\n".join(_lines(checked)).replace("`", "'").replace("<!--", "<! --")
    summary = "The numbers of this submission were recomputed from its predictions."
    if not verdict.accepted:
        summary = "This submission cannot be merged as it is. Correct what is listed, and submit it again."
    elif not verdict.scores:
        summary = "This withdrawal may be merged."
    return f"**{verdict.verdict}** {summary}\n\n```text\n{inside}\n```\n\n{mark(verdict, sha, for_now=for_now)}"


def mark(verdict: Verdict, sha: str, *, for_now: bool = False) -> str:
    """Return the last line of a comment with a verdict on a commit, and of no other; it is not shown."""
    word = f"{verdict.verdict}-for-now" if for_now else verdict.verdict
    return f"<!-- xharness {__version__} {word} {sha} {hashlib.sha256(verdict.to_bytes()).hexdigest()} -->"


def last_line(text: str) -> str:
    """Return the line of a comment in which a mark stands, if there is one."""
    return text.rstrip().rpartition("\n")[2]


def is_final_refusal(text: str, sha: str) -> bool:
    """Whether a comment has the mark of this version for a commit that is refused for what it holds itself."""
    pattern = rf"<!-- xharness {re.escape(__version__)} {REFUSED} {re.escape(sha)} [0-9a-f]{{64}} -->"
    return re.fullmatch(pattern, last_line(text)) is not None


def sentence(checked: Checked) -> str:
    """Return a verdict in one line."""
    verdict = checked.verdict
    if verdict.accepted:
        return f"{show_line(verdict.id)}: accepted"
    many = len(verdict.problems)
    return f"{show_line(verdict.id)}: refused, {many} problem{'' if many == 1 else 's'}."


def _lines(checked: Checked) -> Iterator[str]:
    verdict = checked.verdict
    yield sentence(checked).removesuffix(".")
    yield from (f"  problem: {show_line(line)}" for line in verdict.problems[:_MOST_LINES])
    if len(verdict.problems) > _MOST_LINES:
        yield f"  ... and {len(verdict.problems) - _MOST_LINES:,} more problems."
    yield from (f"  warning: {show_line(line)}" for line in verdict.warnings[:_MOST_LINES])
    for benchmark, task, score, complete in means(verdict):
        yield f"  {benchmark}  {task}: {score:.1f}{'' if complete else ' (partial)'}"
