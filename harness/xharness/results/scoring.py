"""Score predictions against gold data, without torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from xharness import files
from xharness.data import candidates
from xharness.data import loading as data_loading
from xharness.data.examples import Bitext, Choice, Example, Pair, Query, Question, Tagged, english_order
from xharness.data.loading import Data, data_folder
from xharness.errors import DataError, NothingToDo, PredictionError, UsageError, XharnessError, did_you_mean
from xharness.metrics import METRICS, bootstrap, huggingface
from xharness.metrics.base import MetricResult
from xharness.results import predictions
from xharness.results import score as results_score
from xharness.results.aggregate import Results, aggregate
from xharness.results.runs import run_record
from xharness.results.score import Score
from xharness.tasks.benchmarks import benchmarks
from xharness.tasks.dataset_spec import HF_EVALUATE, DataSpec
from xharness.tasks.registry import list_tasks, load_task
from xharness.tasks.selection import Selection, choose_languages, select
from xharness.tasks.source_spec import Split
from xharness.tasks.task_spec import TaskSpec


def gold(spec: DataSpec, examples: Sequence[Example]) -> Any:
    """Return the gold data of a split in the order of its prediction file.

    Labels for pairs and choices, tags per sentence, answers by id for questions, targets by id for queries, a set of
    (id, target) pairs for mining, and for bitext the index of each English sentence's translation, with the English
    sentences in their official order.
    """
    match spec.kind:
        case "classification" | "multiple_choice":
            return [e.label for e in examples if isinstance(e, Pair | Choice)]
        case "tagging":
            return [e.tags for e in examples if isinstance(e, Tagged)]
        case "span_qa":
            return {e.id: e.answers for e in examples if isinstance(e, Question)}
        case "mining":
            return {(e.id, target) for e in examples if isinstance(e, Query) for target in e.targets}
        case "ranking":
            return {e.id: e.targets for e in examples if isinstance(e, Query)}
        case _:
            return english_order([e for e in examples if isinstance(e, Bitext)])


def _shape(spec: TaskSpec, golds: Any) -> predictions.Shape:
    if spec.kind == "tagging":
        return predictions.Shape(lengths=[len(tags) for tags in golds])
    if spec.kind in ("classification", "multiple_choice", "retrieval"):
        return predictions.Shape(lines=len(golds), highest=len(golds) - 1)
    return predictions.Shape()


def in_file_order(examples: Sequence[Example], predictions: Any) -> Any:
    """Return predictions, given in the data's order, as their file has them: bitext reordered, QA as a mapping."""
    first = examples[0]
    if isinstance(first, Question):
        return dict(predictions)
    if isinstance(first, Bitext):
        return [predictions[i] for i in english_order([e for e in examples if isinstance(e, Bitext)])]
    return predictions


def measure(spec: DataSpec, golds: Any, predictions: Any, language: str) -> MetricResult:
    """Return the scores of predictions, which must be in the order of ``gold``."""
    if spec.kind == "retrieval":
        golds, predictions = [str(g) for g in golds], [str(p) for p in predictions]
    if spec.metric.startswith(HF_EVALUATE):
        return huggingface.compute(
            spec.metric.removeprefix(HF_EVALUATE),
            golds,
            predictions,
            kind=spec.kind,
            keys=spec.metric_scores,
            scale=spec.metric_scale,
            options=spec.metric_options,
            labels=spec.labels,
        )
    return METRICS[spec.metric](golds, predictions, language)


def score_file(
    spec: TaskSpec, language: str, split: Split, loaded: Data, path: Path, limit: int | None = None
) -> Score:
    """Score one prediction file against the gold data."""
    golds, predictions = read(spec, loaded, path, limit)
    known = {*spec.labels, *spec.tolerated_labels}
    measured = measure(spec, golds, predictions, language)
    return Score(
        task=spec.name,
        language=language,
        split=split,
        scores=measured.scores,
        intervals=_intervals(spec, golds, predictions, language),
        n=len(golds),
        expected_n=loaded.expected_n,
        counts={
            **{k: v for k, v in loaded.counts.items() if v},
            **measured.counts,
            **_unknown_labels(spec.kind, predictions, known),
        },
        metric=spec.metric,
        data_hash=loaded.hash,
        data_source=loaded.source,
        data_revision=loaded.revision,
        data_status=loaded.status,
        spec_hash=spec.hash,
        settings={} if limit is None else {"limit": limit},
        candidates=_candidates(loaded),
        predictions_sha256=files.sha256(path),
        notes=tuple(note for note in (spec.extension, spec.note) if note),
    )


def intervals_of(
    spec: TaskSpec, language: str, loaded: Data, path: Path, limit: int | None = None
) -> dict[str, list[float]]:
    """Return the confidence intervals of one prediction file's scores, as ``Score.intervals`` has them."""
    return _intervals(spec, *read(spec, loaded, path, limit), language)


def _intervals(spec: TaskSpec, golds: Any, predictions: Any, language: str) -> dict[str, list[float]]:
    return {
        name: list(ends)
        for name, ends in bootstrap.bootstrap_interval(spec.metric, golds, predictions, language).items()
    }


def read(spec: TaskSpec, loaded: Data, path: Path, limit: int | None) -> tuple[Any, Any]:
    """Return the gold data and the predictions of a file, as ``measure`` takes them.

    Raises:
        PredictionError: the file does not fit the gold data.
    """
    golds = gold(spec, loaded.examples if limit is None else loaded.examples[:limit])
    return golds, predictions.read(path, spec.kind, _shape(spec, golds))


def _candidates(loaded: Data) -> dict[str, Any]:
    if loaded.pool is None:
        return {}
    return {
        "n": len(loaded.pool.ids),
        "expected_n": loaded.pool.expected_n,
        "hash": loaded.pool.hash,
        **({"missing": list(loaded.pool.missing)} if loaded.pool.missing else {}),
    }


def score(
    folder: str | Path,
    *,
    targets: Sequence[str] | None = None,
    languages: Sequence[str] | None = None,
    split: Split | None = None,
    data_dir: str | Path | None = None,
) -> Results:
    """Score a folder of predictions in XTREME's submission layout, from any system, or a run folder of ``eval``.

    Args:
        folder: has files ``<task>/test-<xx>.<ext>``, or is a run folder with such files in ``predictions/``.
        targets: tasks to score; None: all. A benchmark's name also selects its languages and average.
        languages: languages to score; None: all.
        split: ``test`` (default) or ``dev`` (files ``dev-<xx>``).
        data_dir: gold data laid out like the Hub; None: XHARNESS_DATA_DIR, else the Hub.

    Raises:
        PredictionError: the folder does not exist, has no predictions, or a file does not fit the gold data.
    """
    root = Path(folder)
    if not root.is_dir():
        hint = did_you_mean(root.name, [p.name for p in root.parent.iterdir()]) if root.parent.is_dir() else ""
        raise PredictionError(f"The folder '{root}' does not exist.{hint}")
    candidates.clear_cache()
    run = run_record(root)
    settings = run.get("settings", {})
    split = split or settings.get("split") or "test"
    limit = settings.get("limit")
    root = root / "predictions" if (root / "predictions").is_dir() else root
    data_dir = data_folder(data_dir)
    prediction_files = predictions.find_files(root, split)
    benchmark, specs, without_spec = _selected_specs(root, prediction_files, targets, run.get("targets", {}))
    wanted = None if languages is None else set(languages)
    if wanted is not None:
        choose_languages(Selection(benchmark, tuple(specs.values())), languages)
    scores: list[Score] = []
    failures: list[XharnessError] = [
        DataError(f"{root / task}: not scored, this version has no spec for {task} yet.") for task in without_spec
    ]
    failures += [
        PredictionError(f"{path}: not scored; expected a file {path.parent.name}/{split}-<two letters>.<ending>.")
        for path in predictions.unrecognized_files(root, split)
        if path.parent.name in specs and wanted is None
    ]
    for task, language, path in prediction_files:
        if task not in specs or (wanted is not None and language not in wanted):
            continue
        try:
            _check_file(path, specs[task], language)
            loaded = data_loading.load(specs[task], language, split, data_dir)
            score = score_file(specs[task], language, split, loaded, path, limit)
            scores.append(_as_recorded(score, Path(folder) / "results" / task / f"{language}.json"))
        except XharnessError as error:
            failures.append(error)
    if failures and not scores:
        raise type(failures[0])("\n".join(str(f) for f in failures))
    if not scores:
        raise NothingToDo(
            f"{root} has no prediction files for this selection ({split}-<xx> files of {', '.join(specs)})."
        )
    provenance = {"folder": str(folder), "split": split, "failures": [str(f) for f in failures]}
    tune = settings.get("tune") or {}
    provenance |= {name: tune[name] for name in ("track", "selected_by") if name in tune}
    return aggregate(scores, specs, benchmark=benchmark, provenance=provenance)


def _check_file(path: Path, spec: TaskSpec, language: str) -> None:
    """Raise PredictionError if a prediction file has a language or an extension that the task does not have."""
    if language not in spec.languages:
        hint = did_you_mean(language, spec.languages)
        raise PredictionError(f"{path}: {spec.name} has no language '{language}'.{hint}")
    extension = predictions.FORMATS[spec.kind].extension
    if path.suffix != f".{extension}":
        raise PredictionError(f"{path}: not scored; predictions for {spec.name} are expected as .{extension}.")


def _unknown_labels(kind: str, predictions: Any, known: set[str]) -> dict[str, int]:
    """Count predicted labels that are none of the task's (they are wrong, as in evaluate.py); {} if there are none."""
    if kind in ("classification", "multiple_choice"):
        count = sum(label not in known for label in predictions)
    elif kind == "tagging":
        count = sum(tag not in known for tags in predictions for tag in tags)
    else:
        count = 0
    return {"unknown_labels": count} if count else {}


def _as_recorded(fresh: Score, path: Path) -> Score:
    """Return a new score with the tuning fields that the run recorded, and a note on inputs that changed since."""
    if not path.is_file():
        return fresh
    recorded = results_score.load(path)
    changed = recorded.changed(
        data_hash=fresh.data_hash,
        spec_hash=fresh.spec_hash,
        predictions_sha256=fresh.predictions_sha256,
        candidates_hash=fresh.candidates.get("hash"),
    )
    notes = (f"scored with {' and '.join(changed)} than the run recorded",) if changed else ()
    if recorded.phase == results_score.TUNED:
        names = ("phase", "track", "tuned", "selected_by")
        fresh = replace(fresh, **{name: getattr(recorded, name) for name in names})
    return replace(fresh, notes=fresh.notes + notes)


def _selected_specs(
    root: Path, prediction_files: list[tuple[str, str, Path]], targets: Sequence[str] | None, paths: dict[str, str]
) -> tuple[str | None, dict[str, TaskSpec], list[str]]:
    """Return the benchmark if one is named, the specs of the tasks in the folder, and the tasks without a spec."""
    tasks = list(dict.fromkeys(task for task, _, _ in prediction_files))
    if targets is not None:
        # run.json records the user's task files by name.
        selection = select([paths.get(target, target) for target in targets])
        without_spec = [task for task in selection.without_spec if task in tasks]
        return selection.benchmark, {spec.name: spec for spec in selection.specs}, without_spec
    if not tasks:
        raise PredictionError(
            f"{root} has no predictions. Expected files such as xnli/test-de.tsv or xquad/test-de.json "
            f"(XTREME's submission layout; tasks: {', '.join(list_tasks())})."
        )
    specs = {}
    planned = {task for benchmark in benchmarks().values() for task in benchmark.tasks} - set(list_tasks())
    without_spec = [task for task in tasks if task in planned and task not in paths]
    for task in tasks:
        if task in without_spec:
            continue
        if task not in list_tasks() and task not in paths:
            raise UsageError(
                f"{root / task}: there is no task '{task}'.{did_you_mean(task, list_tasks())} "
                "Rename the folder, or choose tasks with --targets."
            )
        specs[task] = load_task(paths.get(task, task))
    return None, specs, without_spec
