"""Collect the runs of a checkpoint and copy them without local paths."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from xharness import text as text_module
from xharness.checkpoints.checkpoint import Checkpoint
from xharness.errors import PublishError, XharnessError, nearest_folder
from xharness.results import runs as results_runs
from xharness.results.runs import Run, checked_scores, has_no_results, read_run, run_record
from xharness.results.score import Score

FOLDER = "results"
"""Folder of the results in the repository."""


@dataclass
class CollectedRuns:
    """The runs found in the given folders.

    Attributes:
        runs: runs of the checkpoint, in the order of their folders.
        shas: commits of the target repository that some of them were computed with; the Hub must confirm these.
        left_out: reason why a run below a folder is not published -> number of such runs.
        problems: errors that prevent publishing.
    """

    runs: list[Run] = field(default_factory=list)
    shas: set[str] = field(default_factory=set)
    left_out: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)

    @property
    def notes(self) -> list[str]:
        """Remarks on runs that were left out and on partial scores."""
        lines = [f"left out: {count} run{'s' if count > 1 else ''}: {why}" for why, count in self.left_out.items()]
        scores = [score for run in self.runs for score in run.scores]
        partial = [score for score in scores if not score.complete or score.data_status != "complete"]
        if partial:
            names = list(dict.fromkeys(f"{score.task}/{score.language}" for score in partial))
            listed = ", ".join(names[:6]) + (f" and {len(names) - 6} more" if len(names) > 6 else "")
            lines.append(
                f"partial: {len(partial)} of {len(scores)} scores are not computed on complete, real test data "
                f"({listed}); the card marks them, and the metadata leaves them out"
            )
        return lines


def collect(paths: Sequence[Path], checkpoint: Checkpoint, repo: str) -> CollectedRuns:
    """Return the runs of a checkpoint.

    Args:
        paths: run folders, or folders that contain run folders at any depth. A run of another checkpoint below such a
            folder is left out; one given directly is an error.
        checkpoint: the local checkpoint.
        repo: ``org/name``; runs of the copy published there count too, once the Hub has confirmed it.
    """
    collected = CollectedRuns()
    seen = set[Path]()
    for path in paths:
        folders = list(_folders(path))
        if not path.is_dir():
            collected.problems.append(f"{path}: folder does not exist.{nearest_folder(path)}")
        elif not folders:
            collected.problems.append(f"{path}: no run in this folder (a run.json, as `xharness eval` writes it).")
        for folder in folders:
            if folder.resolve() not in seen:
                seen.add(folder.resolve())
                _add(collected, folder, folder == path, checkpoint, repo)
    collected.problems += _duplicates(collected.runs)
    return collected


def _folders(path: Path) -> Iterable[Path]:
    if (path / "run.json").is_file():
        return [path]
    return sorted(file.parent for file in path.rglob("run.json"))


def _add(collected: CollectedRuns, folder: Path, named: bool, checkpoint: Checkpoint, repo: str) -> None:
    """Read a run and add it, or the reason why it is not published."""
    try:
        record = run_record(folder)
        reason = _other_checkpoint(record, checkpoint, repo) or _not_publishable(folder, record)
        if reason is not None:
            short, sentence = reason
            if named:
                collected.problems.append(f"{folder}: {sentence}")
            else:
                collected.left_out[short] += 1
            return
        run = read_run(folder)
        checked_scores(run, run.specs())
        _check_scores(run)
    except XharnessError as error:
        collected.problems.append(str(error))
        return
    collected.runs.append(run)
    if record.get("model_hash") is None:
        collected.shas.add(record["model_sha"])


def _other_checkpoint(record: dict[str, Any], checkpoint: Checkpoint, repo: str) -> tuple[str, str] | None:
    """Return why a run belongs to another checkpoint (short reason, full sentence); None if it belongs to this one."""
    name, sha, digest = (record.get(key) for key in ("model", "model_sha", "model_hash"))
    if digest is not None and digest == checkpoint.content_hash:
        return None
    if digest is None and sha is not None and name == repo:
        return None
    other = f"{name} ({str(digest or sha)[:12]})"
    return "of another checkpoint", (
        f"this run belongs to another checkpoint: {other}, but {checkpoint.name} is {checkpoint.id[:12]}. Run "
        f"`xharness eval --model {checkpoint.name}`, or give the results of this checkpoint."
    )


def _not_publishable(folder: Path, record: dict[str, Any]) -> tuple[str, str] | None:
    """Return why a run of the checkpoint is not published (short reason, full sentence); None if it is."""
    if folder.parent.parent.name == "layers":
        return "trials of layer selection", "this is a trial that only served to select a layer."
    if record.get("settings", {}).get("split") == "dev":
        return "scores on development data", "these are scores on development data; only test scores are published."
    if has_no_results(folder):
        return "no result yet", "this run has no result yet. Let eval finish."
    return None


def _check_scores(run: Run) -> None:
    """Raise PublishError if a result file has another checkpoint or seed than its run, or an impossible score."""
    for score in run.scores:
        path = run.files[score.task, score.language]
        for name, value in score.scores.items():
            low, high = score.intervals.get(name, (0.0, 100.0))
            # A percentile interval may miss its own score by a little, but never by its own width.
            if not (0.0 <= value <= 100.0 and 2 * low - high <= value <= 2 * high - low):
                raise PublishError(
                    f"{path}: scores.{name} is {value}, which is impossible (in percent, with the interval {low} to "
                    f"{high}). Restore the file, or remove it and run eval again."
                )
        for name in ("model_hash", "model_sha", "seed"):
            expected, actual = run.record.get(name), getattr(score, name)
            if expected != actual:
                raise PublishError(
                    f"{path}: {name} is {actual}, but its run has {expected} (run.json). Run eval again: results that "
                    "do not match the run are recomputed."
                )


def _duplicates(runs: Sequence[Run]) -> list[str]:
    """Return a problem for each score that is given by two runs with the same settings and seed."""
    first: dict[str, Path] = {}
    problems = []
    for run in runs:
        for score in run.scores:
            path = run.files[score.task, score.language]
            other = first.setdefault(result_path(run, score), path)
            if other is not path:
                problems.append(
                    f"{path} and {other} are both a score of {score.task} in {score.language} with the same settings "
                    "and seed. Give only one of them."
                )
    return problems


def result_path(run: Run, score: Score | None = None) -> str:
    """Return the path of a result file in the repository; without a score, that of the run's run.json."""
    seed = run.record.get("seed")
    folder = f"{FOLDER}/{results_runs.digest(run.record.get('settings', {}))}/seed{0 if seed is None else seed}"
    return f"{folder}/run.json" if score is None else f"{folder}/{score.task}/{score.language}.json"


def published_files(runs: Sequence[Run]) -> dict[str, bytes]:
    """Return the files to publish of some runs: path in the repository -> JSON without local paths.

    A run computed with the folder and one computed with its published copy share one run.json if settings and seed are
    the same. It lists the targets of both.
    """
    results: dict[str, bytes] = {}
    records: dict[str, dict[str, Any]] = {}
    for run in runs:
        record = records.setdefault(result_path(run), dict(run.record))
        record["targets"] = {**record.get("targets", {}), **run.own_files}
        for score in run.scores:
            results[result_path(run, score)] = to_json_bytes(asdict(score))
    return {**{path: to_json_bytes(record) for path, record in records.items()}, **results}


def to_json_bytes(content: Any) -> bytes:
    """Encode a value as indented JSON, with local paths cut to their last part.

    Raises:
        PublishError: the value contains NaN or infinity, which JSON does not have.
    """
    try:
        text = json.dumps(text_module.shorten_paths(content), ensure_ascii=False, indent=2, allow_nan=False) + "\n"
    except ValueError as error:
        raise PublishError(f"A record to publish cannot be written as JSON: {error}.") from None
    # A lone surrogate has no UTF-8 encoding; escaped as \udc80 it is still valid JSON.
    return text.encode("utf-8", errors="backslashreplace")
