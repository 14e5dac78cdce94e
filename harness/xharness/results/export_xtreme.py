"""Export predictions as an XTREME submission folder."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from xharness import files
from xharness.errors import NothingToDo, OutputError, PredictionError, UsageError, did_you_mean, unknown
from xharness.results import predictions
from xharness.results.runs import Run, check_alike, read_run
from xharness.results.score import ON_TEST, Score
from xharness.strict_json import OBJECT, show_value
from xharness.tasks.benchmarks import benchmarks
from xharness.tasks.registry import list_tasks, load_task
from xharness.version import __version__

METADATA = "metadata.json"
_MADE_BY = "xharness"


@dataclass(frozen=True)
class Submission:
    """What was written, and what is missing from a complete submission.

    Attributes:
        written: files below the folder, ``xnli/test-de.tsv``, including those that already existed unchanged.
        left_out: one sentence for each target of the runs that has no place in a submission.
        missing: one sentence for each target of the benchmark that is not complete.
        benchmark: the benchmark that the submission is for.
    """

    written: tuple[str, ...]
    left_out: tuple[str, ...]
    missing: tuple[str, ...]
    benchmark: str


def submission(folders: Sequence[Path], to: Path, benchmark: str | None = None) -> Submission:
    """Write the prediction files of runs as the folder that XTREME's evaluate.py and leaderboard accept.

    Files are copied byte for byte. ``metadata.json`` in the submission folder records the source of each file; a later
    call can add files to the same folder. If any check fails, nothing is written.

    Args:
        folders: run folders, also of different checkpoints.
        to: the submission folder.
        benchmark: the benchmark that should be complete; None: the one that has most of the targets.

    Raises:
        UsageError: an unknown benchmark, a run of another split, two predictions for one target and language, or tuned
            checkpoints of different tracks.
        PredictionError: a file is missing, or has changed since it was scored.
        OutputError: another file of the same name exists, or a file cannot be written.
        NothingToDo: the runs have no official target.
    """
    if benchmark is not None and benchmark not in benchmarks():
        raise unknown("benchmark", benchmark, benchmarks())
    texts: dict[str, str] = {}
    metadata = _metadata(to / METADATA)
    entries, left_out, fresh = dict(metadata["files"]), [], []
    runs = [read_run(folder) for folder in folders]
    check_alike(runs)
    for run in runs:
        scores, reasons = _official(run)
        left_out += reasons
        for score in scores:
            name, text = _predictions(run, score)
            if texts.setdefault(name, text) != text:
                raise UsageError(
                    f"Several runs have different predictions for {score.task} in {score.language}; the second is "
                    f"{run.folder}. A submission has one prediction file for each target and language."
                )
            entries[name] = _origin(run, score)
            fresh.append(score)
    if not texts:
        raise NothingToDo("\n".join(["The runs have no predictions for a submission.", *left_out]))
    for name, text in texts.items():
        refuse_other(to / name, text)
    for name, text in texts.items():
        if not (to / name).exists():
            files.write_text(to / name, text)
    extensions = {task: reason for task in _tasks(entries) if (reason := load_task(task).extension)}
    content = {"made_by": f"{_MADE_BY} {__version__}", "extensions": extensions, "files": dict(sorted(entries.items()))}
    files.write_json(to / METADATA, content)
    meant = benchmark or _likely(_tasks(entries))
    return Submission(tuple(texts), tuple(left_out), tuple(_missing(meant, entries, fresh)), meant)


def _metadata(path: Path) -> dict[str, Any]:
    if not path.exists():
        return {"files": {}}
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        content = None
    if not isinstance(content, dict) or not str(content.get("made_by")).startswith(_MADE_BY):
        raise OutputError(f"{path}: not written by xharness; it would be overwritten. Choose another folder.")
    problem = _damage(content.get("files"))
    if problem:
        raise OutputError(f"{path}: damaged: {problem}. Restore it, or choose another folder.")
    return content


def _damage(entries: Any) -> str | None:
    """Return what is wrong with the entries of an earlier call, which are written again with the new ones."""
    if not isinstance(entries, dict):
        return f"files is {show_value(entries)}, expected an object"
    official = _official_tasks()
    for name, entry in entries.items():
        if (problem := OBJECT.problem(f"the entry {show_value(name)}", entry)) is not None:
            return problem
        task = name.partition("/")[0]
        if task not in official:
            hint = did_you_mean(task, official).rstrip("?").replace(" Did you mean", "; the nearest is")
            return f"the entry {show_value(name)} does not belong to a target of {' or '.join(benchmarks())}{hint}"
    return None


def _official_tasks() -> set[str]:
    return {task for benchmark in benchmarks().values() for task in benchmark.tasks if task in list_tasks()}


def _official(run: Run) -> tuple[list[Score], list[str]]:
    """Return the scores of a run whose predictions belong into a submission, and why the others do not."""
    if run.record["settings"]["split"] != "test":
        raise UsageError(
            f"{run.folder}: predictions for the {run.record['settings']['split']} split; a submission needs the test "
            "split."
        )
    official = _official_tasks()
    reasons = {}
    for score in run.scores:
        if score.task in run.own_files:
            reasons[score.task] = f"{score.task}: left out, it comes from a task file of your own."
        elif score.task not in official:
            reasons[score.task] = f"{score.task}: left out, it is not a target of {' or '.join(benchmarks())}."
        elif score.settings.get("limit") is not None:
            reasons[score.task] = (
                f"{score.task}: left out, only the first {score.settings['limit']} examples were predicted."
            )
        elif score.selected_by == ON_TEST:
            reasons[score.task] = f"{score.task}: left out, the checkpoint was selected on the data that is scored."
    kept = [score for score in run.scores if score.task not in reasons]
    replace(run, scores=kept).specs()  # refuses what another version of a spec made
    return kept, list(reasons.values())


def _predictions(run: Run, score: Score) -> tuple[str, str]:
    """Return the name of a prediction file in a submission, and its text, verified to be what was scored."""
    root = run.folder / "predictions"
    path = predictions.path(root, score.task, load_task(score.task).kind, score.language, "test")
    if not path.is_file():
        raise PredictionError(f"{path}: the file does not exist, but was scored. Run eval again.")
    # A file that was scored and has not changed since is known to be readable.
    if files.sha256(path) != score.predictions_sha256:
        raise PredictionError(f"{path}: changed since it was scored. Run eval again, or restore the file.")
    return path.relative_to(root).as_posix(), path.read_bytes().decode("utf-8", "surrogatepass")


def refuse_other(path: Path, text: str) -> None:
    """Raise OutputError if the path exists and is not a file with exactly this text."""
    if path.exists() and (not path.is_file() or path.read_bytes() != text.encode("utf-8", "surrogatepass")):
        raise OutputError(f"{path}: another file of this name exists. Remove it, or choose another folder.")


def _origin(run: Run, score: Score) -> dict[str, Any]:
    return {
        "run": str(run.folder),
        "model": score.model,
        "model_sha": score.model_sha,
        "model_hash": score.model_hash,
        "seed": score.seed,
        "phase": score.phase,
        "selected_by": score.selected_by,
        "dtype": score.dtype,
        "settings": score.settings,
        **{
            key: value
            for key in ("encoding", "selection", "candidates", "track", "tuned")
            if (value := getattr(score, key))
        },
        "n": score.n,
        "data_hash": score.data_hash,
        "data_status": score.data_status,
        "spec_hash": score.spec_hash,
        "sha256": score.predictions_sha256,
    }


def _tasks(names: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(name.partition("/")[0] for name in names))


def _likely(tasks: Sequence[str]) -> str:
    return max(benchmarks().values(), key=lambda b: (sum(t in b.tasks for t in tasks), b.name == "xtreme")).name


def _missing(benchmark: str, names: Iterable[str], scores: Sequence[Score]) -> list[str]:
    present = {(name.partition("/")[0], Path(name).stem.removeprefix("test-")) for name in names}
    sentences = []
    for task in benchmarks()[benchmark].tasks:
        codes = [code for code in load_task(task).languages_in(benchmark) if (task, code) not in present]
        if codes:
            sentences.append(f"{task}: no predictions for {' '.join(codes)}.")
        short = [s.language for s in scores if s.task == task and not s.complete]
        if short:
            sentences.append(f"{task}: not predicted on the complete test data in {' '.join(short)}.")
    return sentences
