"""Build a submission package: rescored, compressed, described."""

from __future__ import annotations

import gzip
import hashlib
import io
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any

from xharness import strict_json
from xharness.data import candidates, loading
from xharness.data import loading as data_loading
from xharness.data.loading import Data
from xharness.errors import SubmissionError, UsageError, XharnessError
from xharness.hub.upload import File, in_memory_file
from xharness.leaderboard import read_package, rows, rules
from xharness.leaderboard.collect import UNOFFICIAL_DATA, CollectedPredictions, PredictionSource
from xharness.leaderboard.fields import LARGEST_CONTENT
from xharness.leaderboard.submission import (
    RECORD,
    SCHEMA_VERSION,
    SUBMISSIONS,
    Submission,
    as_bytes,
    digest_of,
    file_path,
    id_of,
)
from xharness.results import predictions, scoring
from xharness.results.aggregate import task_result
from xharness.results.score import TRANSLATE_TRAIN, ZERO_SHOT, Score
from xharness.tasks.benchmarks import benchmarks
from xharness.tasks.registry import load_task
from xharness.version import __version__


@dataclass(frozen=True, kw_only=True)
class SubmitterInfo:
    """What only the submitter knows; field names as in ``Submission``.

    Attributes:
        phase, training, selected_by: as in ``Track``, if no run records them.
    """

    name: str
    submitted_by: str
    architecture: str
    base: str | None = None
    parameters: int | None = None
    paper: str | None = None
    url: str | None = None
    repo: str | None = None
    revision: str | None = None
    phase: str | None = None
    training: str | None = None
    selected_by: str | None = None
    saw_test_data: str = "unknown"
    translated_data: bool = False
    notes: str = ""
    supersedes: str | None = None


@dataclass(frozen=True)
class Package:
    """A submission, ready to be sent.

    Attributes:
        submission: its record.
        files: the files of its folder in the leaderboard's repository, the record first.
        notes: sentences about what the leaderboard will say about it.
    """

    submission: Submission
    files: tuple[File, ...]
    notes: tuple[str, ...]

    @property
    def folder(self) -> str:
        """Its folder in the leaderboard's repository."""
        return f"{SUBMISSIONS}/{self.submission.id}"

    @property
    def size(self) -> int:
        """Total size of all files, in bytes."""
        return sum(file.size for file in self.files)


@dataclass
class _Scored:
    """The scores, files and problems so far."""

    scores: dict[tuple[int, str, str], Score] = field(default_factory=dict)
    data: dict[str, dict[str, dict[str, Any]]] = field(default_factory=dict)
    files: dict[str, dict[str, Any]] = field(default_factory=dict)
    compressed: dict[str, bytes] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)


def pack(
    collected: CollectedPredictions, info: SubmitterInfo, data_dir: Path | None, say: Callable[[str], None]
) -> Package:
    """Score all predictions against the gold data and return the package of the submission.

    Args:
        collected: the predictions, from `collect`.
        info: what the submitter says about the system.
        data_dir: gold data; None: XHARNESS_DATA_DIR, else the Hub.
        say: called with progress messages.

    Raises:
        SubmissionError: lists every problem: invalid predictions or predictions that do not give the recorded scores,
            data that is not the official test set, unprintable text, files that are too large.
        UsageError: the given information contradicts the runs.
    """
    track = _track(collected, info)
    scored = _Scored()
    candidates.clear_cache()
    for (task, language), group in groupby(collected.files, lambda source: (source.spec.name, source.language)):
        if task not in scored.data:
            say(f"Scoring {task} ...")
            scored.data[task] = {}
        _score_and_compress(scored, list(group), language, data_dir)
    if scored.problems:
        raise SubmissionError("\n".join(scored.problems))
    submission = _record(collected, info, track, scored)
    # Refuse here what the leaderboard's check would refuse.
    problems = rules.find_problems(submission, rows.board_schema())
    if problems:
        raise SubmissionError("\n".join(problems))
    files = [in_memory_file(f"{SUBMISSIONS}/{submission.id}/{RECORD}", as_bytes(submission))]
    files += [
        in_memory_file(f"{SUBMISSIONS}/{submission.id}/{path}", scored.compressed[path]) for path in submission.files
    ]
    notes = [
        *collected.notes,
        *(f"the leaderboard will note: {warning}" for warning in rules.find_warnings(submission)),
    ]
    if submission.model.parameters is None:
        notes.append("the number of parameters is not given (--parameters)")
    return Package(submission, tuple(files), (*notes, *_partial(scored.scores)))


def _track(collected: CollectedPredictions, info: SubmitterInfo) -> dict[str, Any]:
    """Return the track of a submission; what the runs record cannot be overridden."""
    track = {}
    for name, default in (("phase", "tuned"), ("training", ZERO_SHOT), ("selected_by", "unknown")):
        recorded, said = getattr(collected, name), getattr(info, name)
        if None not in (recorded, said) and recorded != said:
            flag = name.replace("_", "-")
            raise UsageError(f"--{flag}: '{said}', but the runs say '{recorded}'. Leave --{flag} out.")
        track[name] = recorded or said or default
    return track


def _score_and_compress(scored: _Scored, sources: list[PredictionSource], language: str, data_dir: Path | None) -> None:
    """Score and compress the predictions of a target in a language for all seeds."""
    spec = sources[0].spec
    try:
        loaded = data_loading.load(spec, language, "test", loading.data_folder(data_dir))
    except XharnessError as error:
        scored.problems.append(str(error))
        return
    if loaded.status in UNOFFICIAL_DATA:
        cut = "a sample" if loaded.status == "sample" else "a stand-in"
        scored.problems.append(
            f"{spec.name}/{language}: the gold data is {cut}, not the official test set. Give the complete test data "
            "(--data-dir), or leave this language out."
        )
        return
    golds = scoring.gold(spec, loaded.examples)
    for source in sources:
        try:
            score, content = _rescore(source, loaded, golds)
        except XharnessError as error:
            scored.problems.append(str(error))
            continue
        path = file_path(source.seed, spec.name, language, predictions.FORMATS[spec.kind].extension)
        scored.compressed[path] = compressed = compress(content)
        scored.files[path] = {
            "sha256": hashlib.sha256(compressed).hexdigest(),
            "bytes": len(compressed),
            "content_sha256": score.predictions_sha256,
            "content_bytes": len(content),
        }
        scored.scores[source.seed, spec.name, language] = score
        scored.data[spec.name][language] = {
            "data_hash": loaded.hash,
            "spec_hash": spec.hash,
            "source": loaded.source,
            "revision": loaded.revision,
            "status": loaded.status,
            "n": score.n,
        }


def _rescore(source: PredictionSource, loaded: Data, golds: Any) -> tuple[Score, bytes]:
    """Return the score and content of a prediction file; refuse a file that differs from what its run recorded."""
    spec, path, recorded = source.spec, source.path, source.recorded
    if path.is_file() and path.stat().st_size > LARGEST_CONTENT:
        raise SubmissionError(f"{path}: {path.stat().st_size:,} bytes; the limit is {LARGEST_CONTENT:,}.")
    fresh = scoring.score_file(spec, source.language, "test", loaded, path)
    content = path.read_bytes()
    if hashlib.sha256(content).hexdigest() != fresh.predictions_sha256:
        raise SubmissionError(f"{path}: the file changed while it was read. Run the same command again.")
    problem = read_package.size_problem(spec.kind, golds, content) or read_package.content_problem(spec, content)
    if problem is None and fresh.counts.get("unknown"):
        problem = f"{fresh.counts['unknown']:,} ids are not in the gold data"
    if problem is not None:
        raise SubmissionError(f"{path}: {problem}.")
    if recorded is None:
        return fresh, content
    changed = recorded.changed(
        data_hash=fresh.data_hash,
        spec_hash=fresh.spec_hash,
        predictions_sha256=fresh.predictions_sha256,
        candidates_hash=fresh.candidates.get("hash"),
    )
    if changed:
        raise SubmissionError(
            f"{path}: the recorded scores are of {' and '.join(changed)}. Run eval again (only what changed is "
            "computed), or give the data folder of the run (--data-dir)."
        )
    if recorded.scores != fresh.scores:
        names = sorted({*recorded.scores, *fresh.scores})
        name = next(name for name in names if recorded.scores.get(name) != fresh.scores.get(name))
        raise SubmissionError(
            f"{path}: {name} computed from the predictions is {fresh.scores.get(name)}, but the run recorded "
            f"{recorded.scores.get(name)}. Run eval again."
        )
    return recorded, content


def compress(content: bytes) -> bytes:
    """Compress content with gzip, without a name or a time: the same content always gives the same bytes."""
    buffer = io.BytesIO()
    # Not gzip.compress, which writes the operating system into the header in some versions of Python.
    with gzip.GzipFile(filename="", mode="wb", compresslevel=9, fileobj=buffer, mtime=0) as file:
        file.write(content)
    return buffer.getvalue()


def _record(
    collected: CollectedPredictions, info: SubmitterInfo, track: Mapping[str, Any], scored: _Scored
) -> Submission:
    """Return the record of a submission, with the id that follows from its content."""
    scores: dict[str, dict[str, dict[str, dict[str, float]]]] = {}
    for (seed, task, language), score in sorted(scored.scores.items()):
        scores.setdefault(str(seed), {}).setdefault(task, {})[language] = dict(score.scores)
    content = {
        "schema_version": SCHEMA_VERSION,
        "id": id_of(info.name, "0" * 64),
        "name": info.name,
        "submitted_by": info.submitted_by,
        "source": collected.source,
        "model": {
            "repo": collected.repo or info.repo,
            "revision": collected.revision or info.revision,
            "content": collected.content,
            **{name: getattr(info, name) for name in ("base", "parameters", "architecture", "paper", "url")},
        },
        "track": dict(track),
        "declarations": {
            "saw_test_data": info.saw_test_data,
            # Training on translations uses translated data.
            "translated_data": info.translated_data or track["training"] == TRANSLATE_TRAIN,
            "notes": info.notes,
        },
        "seeds": sorted({seed for seed, _, _ in scored.scores}),
        "files": {path: scored.files[path] for path in sorted(scored.files)},
        "scores": scores,
        "data": scored.data,
        "settings": dict(collected.settings),
        "versions": {"xharness": __version__, **collected.versions},
        "supersedes": info.supersedes,
    }
    draft = strict_json.record(Submission, content, RECORD)
    return draft.model_copy(update={"id": id_of(info.name, digest_of(draft.model_dump()))})


def _partial(scores: Mapping[tuple[int, str, str], Score]) -> Iterator[str]:
    """Yield a sentence for each mean that the leaderboard will mark as partial."""
    partial: dict[tuple[str, str], list[str]] = {}
    missing = []
    for benchmark in benchmarks().values():
        by_task: dict[str, dict[int, dict[str, Score]]] = {}
        for (seed, task, language), score in scores.items():
            if task in benchmark.tasks:
                by_task.setdefault(task, {}).setdefault(seed, {})[language] = score
        for task, by_seed in by_task.items():
            whys = [task_result(load_task(task), each, benchmark.name).why for each in by_seed.values()]
            for why in dict.fromkeys(filter(None, whys)):
                partial.setdefault((task, why), []).append(benchmark.title)
        unscored = [task for task in benchmark.tasks if task not in by_task]
        if by_task and unscored:
            missing.append(f"no overall score in {benchmark.title} without {', '.join(unscored)}")
    for (task, why), titles in partial.items():
        yield f"partial in {' and '.join(titles)}: {task}: {why}"
    yield from missing
