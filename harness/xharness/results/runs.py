"""Read runs: run.json, result files, and several runs joined into one result."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from xharness import strict_json
from xharness.errors import DataError, NothingToDo, PredictionError, UsageError, did_you_mean, unknown
from xharness.results import score as results_score
from xharness.results.aggregate import Results, aggregate
from xharness.results.score import Score
from xharness.tasks.benchmarks import benchmarks
from xharness.tasks.registry import load_task
from xharness.tasks.task_spec import TaskSpec


@dataclass(frozen=True)
class Run:
    """The content of a run folder.

    Attributes:
        folder: the run folder.
        record: its run.json.
        scores: the result files, by target and language in the order of their names.
        files: (target, language) -> the result file.
    """

    folder: Path
    record: dict[str, Any]
    scores: list[Score]
    files: Mapping[tuple[str, str], Path] = field(default_factory=dict)

    @property
    def own_files(self) -> dict[str, str]:
        """Target -> path, for targets that were read from task files of the user."""
        targets: dict[str, str] = self.record.get("targets", {})
        return targets

    @property
    def tune(self) -> dict[str, Any]:
        """Training data of the heads and checkpoint selection; {} if the checkpoint was scored as it is."""
        tune: dict[str, Any] = self.record.get("settings", {}).get("tune") or {}
        return tune

    def specs(self) -> dict[str, TaskSpec]:
        """Return the specs of the targets that have a score.

        Raises:
            DataError: a score was computed with another version of its task's spec.
        """
        specs = {name: load_task(self.own_files.get(name, name)) for name in dict.fromkeys(s.task for s in self.scores)}
        stale = [s for s in self.scores if s.spec_hash != specs[s.task].hash]
        if stale:
            raise DataError(
                f"{self.folder}: {stale[0].task}/{stale[0].language}.json was made with another version of the task's "
                f"spec ({stale[0].spec_hash}, now {specs[stale[0].task].hash}). Run eval again: only what changed is "
                "computed."
            )
        return specs

    def facts(self) -> dict[str, Any]:
        """Return checkpoint, seed and settings for ``Results.provenance``."""
        facts = {k: self.record.get(k) for k in ("model", "model_sha", "model_hash", "seed")}
        facts |= {name: self.tune[name] for name in ("track", "selected_by") if name in self.tune}
        return facts | {"run": str(self.folder), **{k: self.record["settings"][k] for k in ("dtype", "split")}}


def read_run(folder: Path) -> Run:
    """Read a run folder.

    Raises:
        NothingToDo, DataError, PredictionError: it is not a run folder, has no results, or a file cannot be read.
    """
    record = run_record(folder)
    paths = sorted((folder / "results").glob("*/*.json"))
    if not record or not paths:
        raise NothingToDo(
            f"{folder} is not a run folder with results (run.json and results/, written by xharness eval)."
        )
    settings = record.get("settings", {})
    for name in ("dtype", "split"):
        if name not in settings:
            missing = f"settings.{name}" if "settings" in record else "settings"
            raise PredictionError(f"{folder / 'run.json'}: it has no field '{missing}'. Run eval again.")
    scores, files = [], dict[tuple[str, str], Path]()
    for path in paths:
        score = results_score.load(path)
        other = files.setdefault((score.task, score.language), path)
        if other is not path:
            raise DataError(
                f"{path}: a second score of {score.task} in {score.language}; the first is {other}. Remove the "
                "misplaced file, or run eval again."
            )
        scores.append(score)
    return Run(folder, record, scores, files)


def has_no_results(folder: Path) -> bool:
    """Return whether a run was started and has no result yet: it is running, or all its targets failed."""
    return bool(run_record(folder)) and not any((folder / "results").glob("*/*.json"))


def load_run(folder: Path, benchmark: str | None = None) -> Results:
    """Return the results of a run folder, with averages; errors as ``read_run`` and ``Run.specs``."""
    run = read_run(folder)
    specs = run.specs()
    return with_averages(checked_scores(run, specs), specs, benchmark, run.facts())


def join(folders: Sequence[Path], benchmark: str | None = None) -> Results:
    """Join several runs into one result: checkpoints that were tuned for one target each, from one encoder.

    ``provenance["runs"]`` lists the targets of each run.

    Raises:
        UsageError: two runs have a score for the same target and language, different task files of the same name, or
            different training data or checkpoint selection.
        NothingToDo, DataError, PredictionError: as ``read_run`` and ``Run.specs``.
    """
    runs = [read_run(folder) for folder in folders]
    check_alike(runs)
    specs: dict[str, TaskSpec] = {}
    origin: dict[tuple[str, str], Run] = {}
    scores = []
    for run in runs:
        for name, spec in run.specs().items():
            if specs.setdefault(name, spec).hash != spec.hash:
                raise UsageError(f"{run.folder}: its task file for {name} differs from that of the other runs.")
        for score in checked_scores(run, specs):
            other = origin.setdefault((score.task, score.language), run)
            if other is not run:
                raise UsageError(
                    f"Two runs have a score of {score.task} in {score.language}: {other.folder} and {run.folder}. "
                    "Join runs with different targets."
                )
            scores.append(score)
    facts = [{**run.facts(), "targets": list(dict.fromkeys(s.task for s in run.scores))} for run in runs]
    shared = {k: v for k, v in facts[0].items() if k in _SHARED and all(other_facts[k] == v for other_facts in facts)}
    tuned = next((run.facts() for run in runs if run.tune), {})
    shared |= {k: tuned[k] for k in ("track", "selected_by") if k in tuned}
    return with_averages(scores, specs, benchmark, {**shared, "runs": facts})


# Settings that must be the same in all joined runs of tuned checkpoints, and their names in messages.
_ALIKE = {
    "track": "track",
    "selected_by": "checkpoint selection",
    "languages": "training languages",
    "shots": "shots",
    "train_n": "size of the training data",
}


def check_alike(runs: Sequence[Run]) -> None:
    """Refuse runs with different tracks or checkpoint selection: no single system has such scores."""
    tuned = [run for run in runs if run.tune]
    for run in tuned[1:]:
        first = tuned[0]
        for name, words in _ALIKE.items():
            then, now = first.tune.get(name), run.tune.get(name)
            if then != now:
                raise UsageError(
                    f"{run.folder} and {first.folder} differ in their {words} ({strict_json.show_value(now)} and "
                    f"{strict_json.show_value(then)}): these are different experiments, and a mean over them is "
                    "meaningless. Join runs with the same settings; `report` without --join shows them one below the "
                    "other."
                )


# What the title of a joined result shows, where all runs agree.
_SHARED = ("model", "model_sha", "model_hash", "seed", "dtype", "split")


def checked_scores(run: Run, specs: Mapping[str, TaskSpec]) -> list[Score]:
    """Return the scores of a run after checking that each is valid for its target.

    Raises:
        DataError: a score is in a language that the target does not have, or a metric of the target is missing.
    """
    for score in run.scores:
        spec, path = specs[score.task], run.files.get((score.task, score.language), run.folder)
        if score.language not in spec.languages:
            hint = did_you_mean(score.language, spec.languages)
            raise DataError(f"{path}: {score.task} has no language '{score.language}'.{hint} Run eval again.")
        missing = [key for key in spec.score_keys if key not in score.scores]
        if missing:
            raise DataError(
                f"{path}: scores has no '{missing[0]}', found {', '.join(score.scores)}. Run eval again: only what "
                "changed is computed."
            )
        if spec.average == "examples" and not score.n:
            raise DataError(f"{path}: n is 0, but the mean of {score.task} is over its examples. Run eval again.")
    return run.scores


def with_averages(
    scores: Sequence[Score], specs: Mapping[str, TaskSpec], benchmark: str | None, provenance: dict[str, Any]
) -> Results:
    """Return scores with the averages of a benchmark; None: see ``aggregate``.

    Raises:
        UsageError: a target was scored in none of the benchmark's languages.
    """
    known = benchmarks()
    if benchmark is not None and benchmark not in known:
        raise unknown("benchmark", benchmark, known)
    for name in dict.fromkeys(s.task for s in scores):
        codes = [s.language for s in scores if s.task == name]
        if benchmark is None or name not in known[benchmark].tasks:
            continue
        if not set(codes) & set(specs[name].languages_in(benchmark)):
            raise UsageError(
                f"{name} was scored in {' '.join(codes)} only, and {benchmark} has none of these languages. "
                "Leave --benchmark out, or score one that it has."
            )
    return aggregate(scores, specs, benchmark=benchmark, provenance=provenance)


def digest(settings: dict[str, Any]) -> str:
    """Return the hash of settings that names a folder: 12 hex digits."""
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:12]


def run_record(root: Path) -> dict[str, Any]:
    """Return the content of run.json; {} if the folder is not a run folder.

    Raises:
        PredictionError: run.json is not JSON, of another version, or has a field with an invalid value.
    """
    path = root / "run.json"
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError:
        return {}
    except (ValueError, RecursionError) as error:
        raise PredictionError(f"{path}: not valid JSON ({error}).") from None
    if not isinstance(content, dict):
        raise PredictionError(f"{path}: found {strict_json.show_value(content)}, expected an object. Run eval again.")
    version = content.get("schema_version")
    if version != results_score.SCHEMA_VERSION:
        raise PredictionError(
            f"{path}: schema_version is {strict_json.show_value(version)}, this version reads "
            f"{results_score.SCHEMA_VERSION}. Run eval again, or use the version that wrote it."
        )
    text, null = strict_json.TEXT, strict_json.NULL
    rules = {"settings": strict_json.OBJECT, "targets": strict_json.TEXTS, "seed": strict_json.WHOLE | null}
    rules |= dict.fromkeys(("model", "model_sha", "model_hash", "revision"), text | null)
    inner = {
        "limit": strict_json.LIMIT | null,
        "split": results_score.SPLIT,
        "dtype": text,
        "tune": strict_json.OBJECT | null,
    }
    wrong = next(strict_json.problems(content, rules), None)
    wrong = wrong or next(strict_json.problems(content.get("settings", {}), inner, "settings."), None)
    tune = content.get("settings", {}).get("tune") if wrong is None else None
    wrong = wrong or next(strict_json.problems(tune or {}, results_score.TUNE, "settings.tune."), None)
    if wrong is not None:
        raise PredictionError(f"{path}: {wrong}. Run eval again, or restore the file.")
    return content
