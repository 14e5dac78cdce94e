"""Collect predictions to submit, from runs or from a prediction folder."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from xharness import text
from xharness.checkpoints.training_record import ENGLISH_DEV
from xharness.errors import SubmissionError, UsageError, XharnessError, did_you_mean, nearest_folder
from xharness.leaderboard.fields import LONGEST_TEXT
from xharness.results import predictions
from xharness.results import runs as results_runs
from xharness.results.runs import Run, check_alike, checked_scores, read_run
from xharness.results.score import AS_IS, ON_TEST, TUNED, ZERO_SHOT, Score
from xharness.tasks.registry import list_tasks, load_task
from xharness.tasks.task_spec import TaskSpec

UNOFFICIAL_DATA = ("sample", "stand-in")
"""Values of ``data_status`` for data that is not the official test set."""
_RUN_AGAIN = "Run eval on the complete test data"


@dataclass(frozen=True)
class PredictionSource:
    """A prediction file and the score its run recorded; None for the predictions of another system."""

    seed: int
    spec: TaskSpec
    language: str
    path: Path
    recorded: Score | None = None


@dataclass(frozen=True, kw_only=True)
class CollectedPredictions:
    """The predictions to submit, before they are scored.

    Attributes:
        source: ``xharness`` or ``predictions``, as in the submission's record.
        files: all prediction files, sorted by target, language and seed.
        repo, revision, content: the checkpoint, as in ``Model``; None if not known.
        phase, training, selected_by: as in ``Track``; None if only the submitter knows.
        settings, versions: as in the record.
        notes: sentences about what was left out.
    """

    source: str
    files: tuple[PredictionSource, ...]
    repo: str | None = None
    revision: str | None = None
    content: str | None = None
    phase: str | None = None
    training: str | None = None
    selected_by: str | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def from_runs(folders: Sequence[Path], selected_by: str | None = None) -> CollectedPredictions:
    """Collect the predictions of runs of one checkpoint: any number of seeds and targets.

    Args:
        folders: the run folders. If their checkpoints were selected in several ways, only the runs of one way are used.
        selected_by: that way of checkpoint selection; None: `english-dev`.

    Raises:
        SubmissionError: the runs cannot be submitted; lists every reason.
    """
    runs, problems, problems_by_run = list[Run](), list[str](), dict[Path, list[str]]()
    for folder in folders:
        try:
            if not folder.is_dir():
                raise SubmissionError(f"{folder}: the folder does not exist.{nearest_folder(folder)}")
            run = read_run(folder)
            run_problems = [*_run_problems(run), *_score_problems(run)]
            if not run.own_files:
                checked_scores(run, run.specs())
        except XharnessError as error:
            problems.append(str(error))
            continue
        runs.append(run)
        problems_by_run[run.folder] = [f"{folder}: {problem}" for problem in run_problems]
    runs, notes = (runs, ()) if problems else _select_runs(runs, selected_by)
    problems += [problem for run in runs for problem in problems_by_run[run.folder]]
    problems += _disagreements(runs)
    if problems:
        raise SubmissionError("\n".join(problems))
    record, tuned = runs[0].record, [run for run in runs if run.tune]
    chosen = dict.fromkeys(score.selected_by for run in tuned or runs for score in run.scores)
    on_hub = record.get("model_hash") is None
    return CollectedPredictions(
        source="xharness",
        files=_sorted(_source(run, score) for run in runs for score in run.scores),
        repo=record["model"] if on_hub else None,
        revision=record.get("model_sha") if on_hub else None,
        content=record.get("model_hash"),
        phase=TUNED if tuned else AS_IS,
        training=tuned[0].tune.get("track", ZERO_SHOT) if tuned else None,
        selected_by=", ".join(sorted(chosen)),
        settings=_settings(runs),
        versions=_versions(score for run in runs for score in run.scores),
        notes=notes,
    )


def _select_runs(runs: Sequence[Run], wanted: str | None) -> tuple[list[Run], tuple[str, ...]]:
    """Return the runs of one way of checkpoint selection, and a note on the others.

    `eval --tune` writes a run for every way of checkpoint selection.

    Raises:
        UsageError: no run was selected that way.
    """
    choices = list(dict.fromkeys(_selected_by(run) for run in runs if run.tune))
    if wanted is None and (len(choices) < 2 or ENGLISH_DEV not in choices):
        return list(runs), ()
    chosen = wanted or ENGLISH_DEV
    if chosen not in choices:
        available = ", ".join(choices) or "none, because these runs are not of tuned checkpoints"
        raise UsageError(
            f"--selected-by {chosen}: no run has a checkpoint that was selected this way. Available: {available}."
        )
    kept = [run for run in runs if not run.tune or _selected_by(run) == chosen]
    others = [choice for choice in choices if choice != chosen]
    left = len(runs) - len(kept)
    note = (
        f"left out: {left} runs of checkpoints selected by {', '.join(others)} (give --selected-by to use one of these)"
    )
    return kept, (note,) if left else ()


def _selected_by(run: Run) -> str:
    return str(run.tune.get("selected_by", "none"))


def _source(run: Run, score: Score) -> PredictionSource:
    spec = load_task(score.task)
    path = predictions.path(run.folder / "predictions", spec.name, spec.kind, score.language, "test")
    return PredictionSource(_seed(run), spec, score.language, path, score)


def _sorted(files: Iterable[PredictionSource]) -> tuple[PredictionSource, ...]:
    return tuple(sorted(files, key=lambda origin: (origin.spec.name, origin.language, origin.seed)))


def _seed(run: Run) -> int:
    seed = run.record.get("seed")
    return 0 if seed is None else int(seed)


def _run_problems(run: Run) -> list[str]:
    """Return the reasons why a run cannot be submitted, whatever its scores are."""
    problems = []
    settings = run.record.get("settings", {})
    if run.folder.resolve().parent.parent.name == "layers":
        problems.append("this run was only used to choose a layer. Give the run that uses the chosen layer.")
    if settings.get("split") != "test":
        problems.append(f"its scores are on development data. {_RUN_AGAIN}.")
    if settings.get("limit") is not None:
        problems.append(f"it was limited by --limit {settings['limit']}. {_RUN_AGAIN}.")
    if run.own_files or settings.get("task_files"):
        names = ", ".join(sorted({**run.own_files, **settings.get("task_files", {})}))
        problems.append(
            f"{names}: scored with your own task files. A leaderboard takes only the tasks that come with xharness, "
            "because no others can be recomputed there."
        )
    if run.record.get("model_sha") is None and run.record.get("model_hash") is None:
        problems.append("run.json has neither the commit nor the content hash of the checkpoint. Run eval again.")
    return problems


def _score_problems(run: Run) -> list[str]:
    """Return the reasons why some scores of a run cannot be submitted."""
    problems = []
    for status in UNOFFICIAL_DATA:
        names = [f"{score.task}/{score.language}" for score in run.scores if score.data_status == status]
        if names:
            problems.append(f"scored on {status} data: {shorten_list(names)}. {_RUN_AGAIN}, or remove these results.")
    peeked = [f"{score.task}/{score.language}" for score in run.scores if score.selected_by == ON_TEST]
    if peeked:
        problems.append(f"the checkpoint was selected on the test data that is scored: {shorten_list(peeked)}.")
    for name in ("model_hash", "model_sha", "seed"):
        others = [f"{s.task}/{s.language}" for s in run.scores if getattr(s, name) != run.record.get(name)]
        if others:
            problems.append(f"{name} of {shorten_list(others)} differs from run.json. Run eval again.")
    return problems


def _disagreements(runs: Sequence[Run]) -> list[str]:
    """Return the reasons why runs are not of one system."""
    problems = []
    first: dict[str, Run] = {}
    for run in runs:
        first.setdefault(str(run.record.get("model_sha") or run.record.get("model_hash")), run)
    if len(first) > 1:
        checkpoints = "; ".join(f"{run.folder}: {sha[:12]}" for sha, run in first.items())
        problems.append(f"these runs are of {len(first)} checkpoints ({checkpoints}). Submit each one separately.")
    try:
        check_alike(runs)
    except UsageError as error:
        problems.append(str(error))
    runs_by_score: dict[tuple[int, str, str], Run] = {}
    settings: dict[str, Run] = {}
    unlike = set[str]()
    for run in runs:
        for score in run.scores:
            other = runs_by_score.setdefault((_seed(run), score.task, score.language), run)
            if other is not run:
                problems.append(
                    f"{score.task} in {score.language} with seed {_seed(run)} is in two runs, {other.folder} and "
                    f"{run.folder}. Give only one of them."
                )
            other = settings.setdefault(score.task, run)
            if _relevant_settings(other) != _relevant_settings(run) and score.task not in unlike:
                unlike.add(score.task)
                problems.append(
                    f"{run.folder}: {score.task} was scored with other settings than in {other.folder}. The runs of "
                    "one submission may differ only in their seed."
                )
    return problems


def _relevant_settings(run: Run) -> dict[str, Any]:
    """Return the settings of a run without those that every submission has or that are empty."""
    dropped = ("split", "limit", "task_files")
    settings: dict[str, Any] = run.record.get("settings", {})
    return {name: value for name, value in settings.items() if name not in dropped and value not in (None, {}, [])}


def _settings(runs: Sequence[Run]) -> dict[str, Any]:
    """Return the settings of runs, and for each target the layer, the tuning and the checkpoint selection."""
    by_settings: dict[str, tuple[dict[str, Any], set[str]]] = {}
    for run in runs:
        relevant = _relevant_settings(run)
        _, names = by_settings.setdefault(results_runs.digest(relevant), (relevant, set()))
        names |= {score.task for score in run.scores}
    parts = list(by_settings.values())
    several = {"runs": [{**settings, "targets": sorted(names)} for settings, names in parts]}
    settings = parts[0][0] if len(parts) == 1 else several
    targets: dict[str, dict[str, Any]] = {}
    for run in sorted(runs, key=_seed):
        for score in run.scores:
            target = targets.setdefault(score.task, {})
            target |= {name: value for name in ("layer", "pooling") if (value := getattr(score, name)) is not None}
            if score.selection:
                target.setdefault("selection", {})[score.language] = score.selection
            facts = ("training_set", "languages", "recipe", "settings_hash", "n")
            target |= {name: score.tuned[name] for name in facts if name in score.tuned}
            # Over all seeds and languages: one that was trained on a sample makes the mean partial.
            statuses = {*target.get("data_status", ()), *score.tuned.get("data_status", ())}
            target |= {"data_status": sorted(statuses)} if statuses else {}
            if score.tuned.get("status") == "collapsed" and _seed(run) not in target.get("collapsed", []):
                target.setdefault("collapsed", []).append(_seed(run))
    settings = {**settings, "of_targets": {task: facts for task, facts in targets.items() if facts}}
    printable: dict[str, Any] = _printable(text.shorten_paths(settings))
    return printable


def _printable(value: Any) -> Any:
    """Return a value of settings with unprintable characters, such as line breaks, escaped."""
    if isinstance(value, dict):
        return {_printable(name): _printable(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_printable(inner) for inner in value]
    if not isinstance(value, str):
        return value
    escaped = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in value)
    return unicodedata.normalize("NFC", escaped)[:LONGEST_TEXT]


def _versions(scores: Iterable[Score]) -> dict[str, str]:
    by_package: dict[str, set[str]] = {}
    for score in scores:
        for package, version in score.versions.items():
            by_package.setdefault(package, set()).add(version)
    return {package: ", ".join(sorted(versions))[:LONGEST_TEXT] for package, versions in sorted(by_package.items())}


def from_folder(folder: Path) -> CollectedPredictions:
    """Collect the predictions in a folder in XTREME's layout, or in its subfolders ``seed<k>``.

    Raises:
        SubmissionError: there are no predictions, or a file is not a valid prediction file; lists every reason.
    """
    if not folder.is_dir():
        raise SubmissionError(f"{folder}: the folder does not exist.{nearest_folder(folder)}")
    if (folder / "run.json").is_file():
        raise UsageError(f"{folder} is a run folder. Leave --predictions out: xharness submit {folder} ...")
    seeds = {int(name[1]): path for path in folder.iterdir() if (name := re.fullmatch(r"seed(\d{1,9})", path.name))}
    files, problems, left = list[PredictionSource](), list[str](), 0
    for seed, root in sorted(seeds.items()) or [(0, folder)]:
        recognized = predictions.find_files(root)
        misnamed = predictions.unrecognized_files(root)
        problems += [f"{path}: not the name of a prediction file (test-<language>)." for path in misnamed]
        left += sum(path.is_file() for path in root.rglob("*")) - len(recognized) - len(misnamed)
        for task, language, path in recognized:
            problem = _name_problem(task, language, path)
            if problem is not None:
                problems.append(problem)
                continue
            files.append(PredictionSource(seed, load_task(task), language, path))
    if not files and not problems:
        problems.append(
            f"{folder} has no predictions. Expected files such as xnli/test-de.tsv or xquad/test-de.json (tasks: "
            f"{', '.join(list_tasks())}), or folders seed0, seed1 ... of them."
        )
    if problems:
        raise SubmissionError("\n".join(problems))
    notes = (f"left out: {left} files in {folder} that are not predictions",) if left else ()
    return CollectedPredictions(source="predictions", files=_sorted(files), notes=notes)


def _name_problem(task: str, language: str, path: Path) -> str | None:
    """Return why a file does not belong to any task; None if it does."""
    if task not in list_tasks():
        return f"{path.parent}: there is no task named '{task}'.{did_you_mean(task, list_tasks())} Rename the folder."
    spec = load_task(task)
    if language not in spec.languages:
        return f"{path}: {task} has no language '{language}'.{did_you_mean(language, spec.languages)}"
    ending = predictions.FORMATS[spec.kind].extension
    return None if path.suffix == f".{ending}" else f"{path}: expected predictions for {task} as .{ending}."


def shorten_list(names: Sequence[str]) -> str:
    """Join names for a sentence; after six names only their number is given."""
    return ", ".join(names[:6]) + (f" and {len(names) - 6} more" if len(names) > 6 else "")
