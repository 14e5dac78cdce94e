"""Reading RUNs, the folders that eval makes: the scores of one, or those of several joined into one result."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xharness import results
from xharness.averages import Results, aggregate
from xharness.errors import DataError, NothingToDo, UsageError
from xharness.results import Score
from xharness.scoring import run_record
from xharness.spec import TaskSpec, load_task


@dataclass(frozen=True)
class Run:
    """What lies in a RUN.

    Attributes:
        folder: where it is.
        record: its run.json.
        scores: the result files, by target and language in the order of their names.
    """

    folder: Path
    record: dict[str, Any]
    scores: list[Score]

    @property
    def own_files(self) -> dict[str, str]:
        """Targets that were read from task files of the user's own -> their paths."""
        found: dict[str, str] = self.record.get("targets", {})
        return found

    def specs(self) -> dict[str, TaskSpec]:
        """Return the specs of the targets that have a score.

        Raises:
            DataError: a score was made by another version of its task's spec.
        """
        found = {name: load_task(self.own_files.get(name, name)) for name in dict.fromkeys(s.task for s in self.scores)}
        stale = [s for s in self.scores if s.spec_hash != found[s.task].hash]
        if stale:
            raise DataError(
                f"{self.folder}: {stale[0].task}/{stale[0].language}.json was made by another version of the task's "
                f"spec ({stale[0].spec_hash}, now {found[stale[0].task].hash}). Run eval again: only what changed is "
                "computed."
            )
        return found

    def facts(self) -> dict[str, Any]:
        """Return checkpoint, seed and settings, as ``Results.provenance`` holds them."""
        facts = {k: self.record.get(k) for k in ("model", "model_sha", "model_hash", "seed")}
        return facts | {"run": str(self.folder), **{k: self.record["settings"][k] for k in ("dtype", "split")}}


def read_run(folder: Path) -> Run:
    """Return what lies in a RUN.

    Raises:
        NothingToDo, DataError, PredictionError: it is not a RUN, holds no result, or a file of it cannot be read.
    """
    record = run_record(folder)
    paths = sorted((folder / "results").glob("*/*.json"))
    if not record or not paths:
        raise NothingToDo(
            f"{folder} is no RUN with results (a folder with run.json and results/, made by xharness eval)."
        )
    return Run(folder, record, [results.load(path) for path in paths])


def begun(folder: Path) -> bool:
    """Whether a RUN was begun and has no result yet, as one that runs now or whose targets all failed."""
    return bool(run_record(folder)) and not any((folder / "results").glob("*/*.json"))


def load_run(folder: Path, benchmark: str | None = None) -> Results:
    """Return the results that lie in a RUN, with averages; errors as ``read_run`` and ``Run.specs``."""
    run = read_run(folder)
    specs = run.specs()
    return aggregate(_known(run.scores, specs), specs, benchmark=benchmark, provenance=run.facts())


def join(folders: Sequence[Path], benchmark: str | None = None) -> Results:
    """Return the results of several RUNs as one: checkpoints that were tuned for one target each, from one encoder.

    ``provenance["runs"]`` says which targets came from where.

    Raises:
        UsageError: two RUNs have a score for the same target and language, or other task files under one name.
        NothingToDo, DataError, PredictionError: as ``read_run`` and ``Run.specs``.
    """
    runs = [read_run(folder) for folder in folders]
    specs: dict[str, TaskSpec] = {}
    origin: dict[tuple[str, str], Run] = {}
    scores = []
    for run in runs:
        for name, spec in run.specs().items():
            if specs.setdefault(name, spec).hash != spec.hash:
                raise UsageError(f"{run.folder}: its task file for {name} is another than that of the other RUNs.")
        for score in _known(run.scores, specs):
            other = origin.setdefault((score.task, score.language), run)
            if other is not run:
                raise UsageError(
                    f"{score.task} in {score.language} stands in two RUNs, {other.folder} and {run.folder}. "
                    "Join RUNs of which each has targets of its own."
                )
            scores.append(score)
    facts = [{**run.facts(), "targets": list(dict.fromkeys(s.task for s in run.scores))} for run in runs]
    shared = {k: v for k, v in facts[0].items() if k in _SHARED and all(each[k] == v for each in facts)}
    return aggregate(scores, specs, benchmark=benchmark, provenance={**shared, "runs": facts})


# What a joined result says in its title, where all RUNs agree.
_SHARED = ("model", "model_sha", "model_hash", "seed", "dtype", "split")


def _known(scores: list[Score], specs: dict[str, TaskSpec]) -> list[Score]:
    return [s for s in scores if s.language in specs[s.task].languages]
