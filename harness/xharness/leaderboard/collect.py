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

NOT_THE_TASK = ("sample", "stand-in")
"""What data is called that is not the task's own test data, whole or cut."""
_AGAIN = "Run eval on the whole test data"


@dataclass(frozen=True)
class PredictionSource:
    """A prediction file, and what its RUN recorded of it; nothing where it is of another system."""

    seed: int
    spec: TaskSpec
    language: str
    path: Path
    recorded: Score | None = None


@dataclass(frozen=True, kw_only=True)
class CollectedPredictions:
    """What is submitted, before anything is scored.

    Attributes:
        source: ``xharness`` or ``predictions``, as the submission's record says it.
        origins: all prediction files, by target, language and seed.
        repo, revision, content: the checkpoint, as ``Model`` has it; None where that is not known.
        phase, training, selected_by: as ``Track`` has them; None where only the submitter knows it.
        settings, versions: as the record has them.
        notes: sentences on what was left out.
    """

    source: str
    origins: tuple[PredictionSource, ...]
    repo: str | None = None
    revision: str | None = None
    content: str | None = None
    phase: str | None = None
    training: str | None = None
    selected_by: str | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def of_runs(folders: Sequence[Path], selected_by: str | None = None) -> CollectedPredictions:
    """Return what some RUNs hold: of one checkpoint, several seeds and several targets.

    Args:
        folders: the RUNs; of those that differ in how their states were chosen, only one choice is taken.
        selected_by: that choice; None: the headline's.

    Raises:
        SubmissionError: says all that keeps them from being submitted.
    """
    runs, problems, reasons = list[Run](), list[str](), dict[Path, list[str]]()
    for folder in folders:
        try:
            if not folder.is_dir():
                raise SubmissionError(f"{folder}: there is no such folder.{nearest_folder(folder)}")
            run = read_run(folder)
            wrong = [*_run_problems(run), *_score_problems(run)]
            if not run.own_files:
                checked_scores(run, run.specs())
        except XharnessError as error:
            problems.append(str(error))
            continue
        runs.append(run)
        reasons[run.folder] = [f"{folder}: {problem}" for problem in wrong]
    runs, notes = (runs, ()) if problems else _of_one_choice(runs, selected_by)
    problems += [problem for run in runs for problem in reasons[run.folder]]
    problems += _unlike(runs)
    if problems:
        raise SubmissionError("\n".join(problems))
    record, tuned = runs[0].record, [run for run in runs if run.tune]
    chosen = dict.fromkeys(score.selected_by for run in tuned or runs for score in run.scores)
    on_hub = record.get("model_hash") is None
    return CollectedPredictions(
        source="xharness",
        origins=_sorted(_origin(run, score) for run in runs for score in run.scores),
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


def _of_one_choice(runs: Sequence[Run], wanted: str | None) -> tuple[list[Run], tuple[str, ...]]:
    """Return the RUNs of one choice of states, and a note on the others: `eval --tune` leaves one of every choice.

    Raises:
        UsageError: there is none of that choice.
    """
    choices = list(dict.fromkeys(_choice(run) for run in runs if run.tune))
    if wanted is None and (len(choices) < 2 or ENGLISH_DEV not in choices):
        return list(runs), ()
    chosen = wanted or ENGLISH_DEV
    if chosen not in choices:
        there = ", ".join(choices) or "none, as these RUNs are of no tuned state"
        raise UsageError(f"--selected-by {chosen}: no RUN is of a state chosen so. There are: {there}.")
    kept = [run for run in runs if not run.tune or _choice(run) == chosen]
    others = [choice for choice in choices if choice != chosen]
    left = len(runs) - len(kept)
    note = f"left out: {left} RUNs of states chosen by {', '.join(others)} (--selected-by takes one of these instead)"
    return kept, (note,) if left else ()


def _choice(run: Run) -> str:
    return str(run.tune.get("selected_by", "none"))


def _origin(run: Run, score: Score) -> PredictionSource:
    spec = load_task(score.task)
    path = predictions.path(run.folder / "predictions", spec.name, spec.kind, score.language, "test")
    return PredictionSource(_seed(run), spec, score.language, path, score)


def _sorted(origins: Iterable[PredictionSource]) -> tuple[PredictionSource, ...]:
    return tuple(sorted(origins, key=lambda origin: (origin.spec.name, origin.language, origin.seed)))


def _seed(run: Run) -> int:
    seed = run.record.get("seed")
    return 0 if seed is None else int(seed)


def _run_problems(run: Run) -> list[str]:
    """Return why a RUN cannot be submitted whatever its scores are, as sentences."""
    problems = []
    settings = run.record.get("settings", {})
    if run.folder.resolve().parent.parent.name == "layers":
        problems.append("this is a trial, from which only a layer was chosen. Give the RUN that was made with it.")
    if settings.get("split") != "test":
        problems.append(f"these are scores on development data. {_AGAIN}.")
    if settings.get("limit") is not None:
        problems.append(f"it was cut by --limit {settings['limit']}. {_AGAIN}.")
    if run.own_files or settings.get("task_files"):
        names = ", ".join(sorted({**run.own_files, **settings.get("task_files", {})}))
        problems.append(
            f"{names}: scored by task files of your own. A leaderboard holds scores of the tasks that come with "
            "xharness, since no others can be recomputed there."
        )
    if run.record.get("model_sha") is None and run.record.get("model_hash") is None:
        problems.append("run.json names neither the commit nor the content hash of the checkpoint. Run eval again.")
    return problems


def _score_problems(run: Run) -> list[str]:
    """Return why some scores of a RUN cannot be submitted, one sentence for each reason."""
    problems = []
    for status in NOT_THE_TASK:
        names = [f"{score.task}/{score.language}" for score in run.scores if score.data_status == status]
        if names:
            problems.append(f"scored on {status} data: {listed(names)}. {_AGAIN}, or remove these results.")
    peeked = [f"{score.task}/{score.language}" for score in run.scores if score.selected_by == ON_TEST]
    if peeked:
        problems.append(f"the checkpoint was chosen on the very data that is scored: {listed(peeked)}.")
    for name in ("model_hash", "model_sha", "seed"):
        others = [f"{s.task}/{s.language}" for s in run.scores if getattr(s, name) != run.record.get(name)]
        if others:
            problems.append(f"{name} is another in {listed(others)} than in run.json. Run eval again.")
    return problems


def _unlike(runs: Sequence[Run]) -> list[str]:
    """Return why RUNs are not of one system, as sentences."""
    problems = []
    first: dict[str, Run] = {}
    for run in runs:
        first.setdefault(str(run.record.get("model_sha") or run.record.get("model_hash")), run)
    if len(first) > 1:
        listed = "; ".join(f"{run.folder}: {sha[:12]}" for sha, run in first.items())
        problems.append(f"these RUNs are of {len(first)} checkpoints ({listed}). Submit each by itself.")
    try:
        check_alike(runs)
    except UsageError as error:
        problems.append(str(error))
    places: dict[tuple[int, str, str], Run] = {}
    settings: dict[str, Run] = {}
    unlike = set[str]()
    for run in runs:
        for score in run.scores:
            other = places.setdefault((_seed(run), score.task, score.language), run)
            if other is not run:
                problems.append(
                    f"{score.task} in {score.language} with seed {_seed(run)} stands in two RUNs, {other.folder} and "
                    f"{run.folder}. Give one of them."
                )
            other = settings.setdefault(score.task, run)
            if _kept(other) != _kept(run) and score.task not in unlike:
                unlike.add(score.task)
                problems.append(
                    f"{run.folder}: {score.task} was scored with other settings than in {other.folder}. Seeds of one "
                    "submission differ in their seed only."
                )
    return problems


def _kept(run: Run) -> dict[str, Any]:
    """Return the settings of a RUN that say something: what every submission has is left out."""
    dropped = ("split", "limit", "task_files")
    settings: dict[str, Any] = run.record.get("settings", {})
    return {name: value for name, value in settings.items() if name not in dropped and value not in (None, {}, [])}


def _settings(runs: Sequence[Run]) -> dict[str, Any]:
    """Return what RUNs were made with, and how each target was encoded, tuned and chosen."""
    by_settings: dict[str, tuple[dict[str, Any], set[str]]] = {}
    for run in runs:
        _, names = by_settings.setdefault(results_runs.digest(_kept(run)), (_kept(run), set()))
        names |= {score.task for score in run.scores}
    parts = list(by_settings.values())
    settings = (
        parts[0][0] if len(parts) == 1 else {"runs": [{**kept, "targets": sorted(names)} for kept, names in parts]}
    )
    targets: dict[str, dict[str, Any]] = {}
    for run in sorted(runs, key=_seed):
        for score in run.scores:
            target = targets.setdefault(score.task, {})
            target |= {name: value for name in ("layer", "pooling") if (value := getattr(score, name)) is not None}
            if score.selection:
                target.setdefault("selection", {})[score.language] = score.selection
            facts = ("training_set", "languages", "recipe", "settings_hash", "n")
            target |= {name: score.tuned[name] for name in facts if name in score.tuned}
            # Of whatever seed and language: one that was trained on a sample makes the mean partial.
            statuses = {*target.get("data_status", ()), *score.tuned.get("data_status", ())}
            target |= {"data_status": sorted(statuses)} if statuses else {}
            if score.tuned.get("status") == "collapsed" and _seed(run) not in target.get("collapsed", []):
                target.setdefault("collapsed", []).append(_seed(run))
    shown: dict[str, Any] = _shown(
        text.shorten_paths({**settings, "of_targets": {k: v for k, v in targets.items() if v}})
    )
    return shown


def _shown(value: Any) -> Any:
    """Return a value of settings with what cannot be shown in its texts, such as a line break, spelt out."""
    if isinstance(value, dict):
        return {_shown(name): _shown(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_shown(inner) for inner in value]
    if not isinstance(value, str):
        return value
    spelt = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in value)
    return unicodedata.normalize("NFC", spelt)[:LONGEST_TEXT]


def _versions(scores: Iterable[Score]) -> dict[str, str]:
    by_name: dict[str, set[str]] = {}
    for score in scores:
        for package, version in score.versions.items():
            by_name.setdefault(package, set()).add(version)
    return {package: ", ".join(sorted(versions))[:LONGEST_TEXT] for package, versions in sorted(by_name.items())}


def of_folder(folder: Path) -> CollectedPredictions:
    """Return what a folder in XTREME's official layout holds, or one of such folders ``seed<k>``.

    Raises:
        SubmissionError: there is none, or something in it is no prediction file; says all of it.
    """
    if not folder.is_dir():
        raise SubmissionError(f"{folder}: there is no such folder.{nearest_folder(folder)}")
    if (folder / "run.json").is_file():
        raise UsageError(f"{folder} is a RUN. Leave --predictions out: xharness submit {folder} ...")
    seeds = {int(name[1]): path for path in folder.iterdir() if (name := re.fullmatch(r"seed(\d{1,9})", path.name))}
    origins, problems, left = list[PredictionSource](), list[str](), 0
    for seed, root in sorted(seeds.items()) or [(0, folder)]:
        there = predictions.find_files(root)
        problems += [
            f"{path}: no prediction file by its name (test-<language>)."
            for path in predictions.unrecognized_files(root)
        ]
        left += sum(path.is_file() for path in root.rglob("*")) - len(there) - len(predictions.unrecognized_files(root))
        for task, language, path in there:
            problem = _name_problem(task, language, path)
            if problem is not None:
                problems.append(problem)
                continue
            origins.append(PredictionSource(seed, load_task(task), language, path))
    if not origins and not problems:
        problems.append(
            f"{folder} holds no predictions. Expected files such as xnli/test-de.tsv or xquad/test-de.json (tasks: "
            f"{', '.join(list_tasks())}), or folders seed0, seed1 ... of them."
        )
    if problems:
        raise SubmissionError("\n".join(problems))
    notes = (f"left out: {left} files in {folder} that are no predictions",) if left else ()
    return CollectedPredictions(source="predictions", origins=_sorted(origins), notes=notes)


def _name_problem(task: str, language: str, path: Path) -> str | None:
    """Return why a file is no prediction file of any task; None if it is one."""
    if task not in list_tasks():
        return f"{path.parent}: there is no task named '{task}'.{did_you_mean(task, list_tasks())} Rename the folder."
    spec = load_task(task)
    if language not in spec.languages:
        return f"{path}: {task} has no language '{language}'.{did_you_mean(language, spec.languages)}"
    ending = predictions.FORMATS[spec.kind].extension
    return None if path.suffix == f".{ending}" else f"{path}: predictions for {task} are expected as .{ending}."


def listed(names: Sequence[str]) -> str:
    """Return names for a sentence, cut where they are many."""
    return ", ".join(names[:6]) + (f" and {len(names) - 6} more" if len(names) > 6 else "")
