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
from xharness.leaderboard.collect import NOT_THE_TASK, CollectedPredictions, PredictionSource
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
    """What only the submitter knows; names as in ``Submission``.

    Attributes:
        phase, training, selected_by: as ``Track`` has them, where no RUN says it.
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
    """A submission as it is sent.

    Attributes:
        submission: its record.
        files: of its folder in the board's repository, the record first.
        notes: what the board will say of it, as sentences.
    """

    submission: Submission
    files: tuple[File, ...]
    notes: tuple[str, ...]

    @property
    def folder(self) -> str:
        """Where it lies in the board's repository."""
        return f"{SUBMISSIONS}/{self.submission.id}"

    @property
    def size(self) -> int:
        """All files together, in bytes."""
        return sum(file.size for file in self.files)


@dataclass
class _Scored:
    """What was scored so far, and what is wrong with it."""

    scores: dict[tuple[int, str, str], Score] = field(default_factory=dict)
    data: dict[str, dict[str, dict[str, Any]]] = field(default_factory=dict)
    files: dict[str, dict[str, Any]] = field(default_factory=dict)
    packed: dict[str, bytes] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)


def pack(
    collected: CollectedPredictions, given: SubmitterInfo, data_dir: Path | None, say: Callable[[str], None]
) -> Package:
    """Return the package of a submission: all predictions are scored against the gold data first.

    Args:
        collected: from `origins`.
        given: what its submitter says.
        data_dir: gold data; None: XHARNESS_DATA_DIR, else the Hub.
        say: tells the user what is going on.

    Raises:
        SubmissionError: says all that is wrong: predictions that do not give the recorded scores or are none, data that
            is not the task's own, texts that cannot be shown, sizes beyond the limits.
        UsageError: what is given says otherwise than the RUNs.
    """
    track = _track(collected, given)
    scored = _Scored()
    candidates.clear_cache()
    for (task, language), group in groupby(collected.origins, lambda origin: (origin.spec.name, origin.language)):
        if task not in scored.data:
            say(f"Scoring {task} anew ...")
            scored.data[task] = {}
        _score_cell(scored, list(group), language, data_dir)
    if scored.problems:
        raise SubmissionError("\n".join(scored.problems))
    submission = _record(collected, given, track, scored)
    # What the check of the board would refuse is refused here.
    untrue = rules.problems_of(submission, rows.layout())
    if untrue:
        raise SubmissionError("\n".join(untrue))
    files = [in_memory_file(f"{SUBMISSIONS}/{submission.id}/{RECORD}", as_bytes(submission))]
    files += [in_memory_file(f"{SUBMISSIONS}/{submission.id}/{path}", scored.packed[path]) for path in submission.files]
    notes = [*collected.notes, *(f"the board will note: {warning}" for warning in rules.warnings_of(submission))]
    if submission.model.parameters is None:
        notes.append("its number of parameters is not given (--parameters)")
    return Package(submission, tuple(files), (*notes, *_partial(scored.scores)))


def _track(collected: CollectedPredictions, given: SubmitterInfo) -> dict[str, Any]:
    """Return what kind of experiment it is; what RUNs say cannot be said otherwise."""
    track = {}
    for name, usual in (("phase", "tuned"), ("training", ZERO_SHOT), ("selected_by", "unknown")):
        recorded, declared = getattr(collected, name), getattr(given, name)
        if None not in (recorded, declared) and recorded != declared:
            flag = name.replace("_", "-")
            raise UsageError(f"--{flag}: '{declared}', but the RUNs say '{recorded}'. Leave --{flag} out.")
        track[name] = recorded or declared or usual
    return track


def _score_cell(scored: _Scored, origins: list[PredictionSource], language: str, data_dir: Path | None) -> None:
    """Score and pack the predictions of a target in a language under all seeds."""
    spec = origins[0].spec
    try:
        loaded = data_loading.load(spec, language, "test", loading.data_folder(data_dir))
    except XharnessError as error:
        scored.problems.append(str(error))
        return
    if loaded.status in NOT_THE_TASK:
        cut = "a sample" if loaded.status == "sample" else "a stand-in"
        scored.problems.append(
            f"{spec.name}/{language}: the gold data is {cut}, and scores of it are not the task's. Give the whole test "
            "data (--data-dir), or leave this language out."
        )
        return
    golds = scoring.gold(spec, loaded.examples)
    for origin in origins:
        try:
            score, content = _scored_anew(origin, loaded, golds)
        except XharnessError as error:
            scored.problems.append(str(error))
            continue
        path = file_path(origin.seed, spec.name, language, predictions.FORMATS[spec.kind].extension)
        scored.packed[path] = packed = compressed(content)
        scored.files[path] = {
            "sha256": hashlib.sha256(packed).hexdigest(),
            "bytes": len(packed),
            "content_sha256": score.predictions_sha256,
            "content_bytes": len(content),
        }
        scored.scores[origin.seed, spec.name, language] = score
        scored.data[spec.name][language] = {
            "data_hash": loaded.hash,
            "spec_hash": spec.hash,
            "source": loaded.source,
            "revision": loaded.revision,
            "status": loaded.status,
            "n": score.n,
        }


def _scored_anew(origin: PredictionSource, loaded: Data, golds: Any) -> tuple[Score, bytes]:
    """Return the score of a prediction file, and its content; refuse one that is not what its RUN recorded."""
    spec, path, recorded = origin.spec, origin.path, origin.recorded
    if path.is_file() and path.stat().st_size > LARGEST_CONTENT:
        raise SubmissionError(f"{path}: {path.stat().st_size:,} bytes; at most {LARGEST_CONTENT:,} are taken.")
    fresh = scoring.score_file(spec, origin.language, "test", loaded, path)
    content = path.read_bytes()
    if hashlib.sha256(content).hexdigest() != fresh.predictions_sha256:
        raise SubmissionError(f"{path}: changed while it was read. Run the same command again.")
    problem = read_package.size_problem(spec.kind, golds, content) or read_package.content_problem(spec, content)
    if problem is None and fresh.counts.get("unknown"):
        problem = f"{fresh.counts['unknown']:,} ids stand there that the gold data does not have"
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
            f"{path}: the recorded scores are of {' and '.join(changed)}. Run eval again: only what changed is "
            "computed; or give the data folder that it was run with (--data-dir)."
        )
    if recorded.scores != fresh.scores:
        names = sorted({*recorded.scores, *fresh.scores})
        name = next(name for name in names if recorded.scores.get(name) != fresh.scores.get(name))
        raise SubmissionError(
            f"{path}: {name} is {fresh.scores.get(name)} when it is computed from the predictions, and "
            f"{recorded.scores.get(name)} in the RUN's results. Run eval again."
        )
    return recorded, content


def compressed(content: bytes) -> bytes:
    """Return a file packed with gzip, without a name or a time in it: the same content gives the same bytes."""
    packed = io.BytesIO()
    # Not gzip.compress, which writes the name of the operating system in some versions of Python.
    with gzip.GzipFile(filename="", mode="wb", compresslevel=9, fileobj=packed, mtime=0) as file:
        file.write(content)
    return packed.getvalue()


def _record(
    collected: CollectedPredictions, given: SubmitterInfo, track: Mapping[str, Any], scored: _Scored
) -> Submission:
    """Return the record of a submission, with the id that its content gives it."""
    scores: dict[str, dict[str, dict[str, dict[str, float]]]] = {}
    for (seed, task, language), score in sorted(scored.scores.items()):
        scores.setdefault(str(seed), {}).setdefault(task, {})[language] = dict(score.scores)
    content = {
        "schema_version": SCHEMA_VERSION,
        "id": id_of(given.name, "0" * 64),
        "name": given.name,
        "submitted_by": given.submitted_by,
        "source": collected.source,
        "model": {
            "repo": collected.repo or given.repo,
            "revision": collected.revision or given.revision,
            "content": collected.content,
            **{name: getattr(given, name) for name in ("base", "parameters", "architecture", "paper", "url")},
        },
        "track": dict(track),
        "declarations": {
            "saw_test_data": given.saw_test_data,
            # Whoever trains on translations used translations.
            "translated_data": given.translated_data or track["training"] == TRANSLATE_TRAIN,
            "notes": given.notes,
        },
        "seeds": sorted({seed for seed, _, _ in scored.scores}),
        "files": {path: scored.files[path] for path in sorted(scored.files)},
        "scores": scores,
        "data": scored.data,
        "settings": dict(collected.settings),
        "versions": {"xharness": __version__, **collected.versions},
        "supersedes": given.supersedes,
    }
    draft = strict_json.record(Submission, content, RECORD)
    return draft.model_copy(update={"id": id_of(given.name, digest_of(draft.model_dump()))})


def _partial(scores: Mapping[tuple[int, str, str], Score]) -> Iterator[str]:
    """Yield why means are not the benchmarks', as the board will mark them."""
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
        lacking = [task for task in benchmark.tasks if task not in by_task]
        if by_task and lacking:
            missing.append(f"no overall score in {benchmark.title}: it also has {', '.join(lacking)}")
    for (task, why), titles in partial.items():
        yield f"partial in {' and '.join(titles)}: {task}: {why}"
    yield from missing
