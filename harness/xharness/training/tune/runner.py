"""`eval --tune`: train the missing heads and score every selected checkpoint."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from xharness.checkpoints.training_record import ENGLISH_DEV
from xharness.errors import NothingToDo, OutputError, UsageError, XharnessError
from xharness.evaluation import runner as evaluation_runner
from xharness.evaluation.prepare import Options, prepare
from xharness.models import devices
from xharness.results.aggregate import Results, aggregate
from xharness.results.score import Score
from xharness.training.tune.options import TuneOptions
from xharness.training.tune.plan import TunePlan, make_plan
from xharness.training.tune.result import Failures, TuneResult
from xharness.training.tune.score import Key, TuneScorer
from xharness.training.tune.train import TunedCheckpoint, train_job

Say = Callable[[str], None]


def run(plan: TunePlan, output: str | Path = "results", *, say: Say | None = None, progress: bool = True) -> TuneResult:
    """Train the missing heads and score everything; resume where an earlier call was stopped.

    Tuned checkpoints are stored in the cache under their key. Results are stored as ``evaluation.runner.run`` does it,
    under the name of the encoder that was tuned; each checkpoint selection has a run folder of its own.

    Args:
        plan: from ``tune.plan.make_plan``.
        output: folder of all runs.
        say: called with messages for the user.
        progress: show bars on stderr.

    Raises:
        NothingToDo: nothing can be trained or scored.
        OutputError: the disk is full.
        UsageError: there are several processes.
    """
    say = say or (lambda sentence: None)
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise UsageError(
            "eval --tune works in one process. Give each process seeds of its own (--seeds), and its own GPU with "
            "CUDA_VISIBLE_DEVICES."
        )
    return TuningRun(plan, Path(output), say, progress).run()


def tune(
    model: str,
    tuning: TuneOptions | None = None,
    *,
    targets: Sequence[str] | str = "xtreme",
    languages: Sequence[str] | None = None,
    data_dir: str | Path | None = None,
    output: str | Path = "results",
    say: Say | None = None,
    progress: bool = False,
    **options: Any,
) -> TuneResult:
    """Train a head for each target that needs one, and score everything, as ``xharness eval --tune`` does.

    Args:
        model: a Hub id, with ``@revision`` if not the main branch, or a local folder.
        tuning: how heads are trained; None: by the default recipe, in English, with one seed.
        targets, languages, data_dir, output, say, progress, **options: see ``evaluation.runner.evaluate``.

    Raises:
        XharnessError: see ``errors``; its text is a message for the user.
    """
    names = targets.split(",") if isinstance(targets, str) else targets
    prepared = prepare(model, targets=names, languages=languages, data_dir=data_dir, options=Options(**options))
    return run(make_plan(prepared, tuning or TuneOptions(), say), output, say=say, progress=progress)


class TuningRun:
    """One call of ``run``."""

    def __init__(self, plan: TunePlan, output: Path, say: Say, progress: bool) -> None:
        self.plan, self.output, self.say, self.progress = plan, output, say, progress
        self.prepared = plan.prepared
        self.device = devices.choose_device(self.prepared.options.device)
        self.dtype = devices.choose_dtype(self.prepared.options.dtype, self.device)
        self.failures = Failures()

    def run(self) -> TuneResult:
        """Train the missing heads and score every selected checkpoint."""
        prepared = self.prepared
        if not self.plan.jobs and not any(step.runs for step in prepared.steps):
            raise NothingToDo(
                "Nothing can be tuned or evaluated:\n"
                + "\n".join(f"  {s.task}: {s.state}: {s.reason}" for s in prepared.steps)
            )
        checkpoints = self._train()
        as_is = self._score_as_is()
        scorer = TuneScorer(
            self.plan, self.output, self.device, self.dtype, self.failures, self.say, progress=self.progress
        )
        for checkpoint in checkpoints:
            if checkpoint.job.targets:
                scorer.score(checkpoint)
        if self.failures.errors and not scorer.scores and not _scores(as_is):
            raise type(self.failures.errors[0])("\n".join(dict.fromkeys(map(str, self.failures.errors))))
        runs = [*([as_is.provenance["run"]] if as_is is not None else []), *map(str, scorer.folders.values())]
        return TuneResult(
            name=prepared.checkpoint.folder_name,
            seeds=self.plan.options.seeds,
            average_last=self.plan.options.average_last,
            results={key: self._results(key, scorer, as_is) for key in scorer.scores},
            trained=tuple(checkpoint.trained for checkpoint in checkpoints),
            failures=tuple(self.failures.messages),
            runs=tuple(dict.fromkeys(runs)),
            as_is=as_is,
        )

    def _train(self) -> list[TunedCheckpoint]:
        """Train every job with every seed; a job starts from the checkpoint with the same seed of the job before it."""
        checkpoints: dict[tuple[str, int], TunedCheckpoint] = {}
        total = len(self.plan.jobs) * len(self.plan.options.seeds)
        for seed in self.plan.options.seeds:
            for job in self.plan.jobs:
                checkpoints[job.training_set, seed] = train_job(
                    job,
                    seed,
                    self.plan.folder(job, seed, self.dtype),
                    checkpoints[job.after.training_set, seed] if job.after is not None else None,
                    number=f"{len(checkpoints) + 1} of {total}",
                    failures=self.failures,
                    say=self.say,
                    progress=self.progress,
                )
        return list(checkpoints.values())

    def _score_as_is(self) -> Results | None:
        """Return the scores of the targets that need no training."""
        steps = [step for step in self.prepared.steps if step.runs]
        if not steps:
            return None
        options = replace(self.prepared.options, seed=self.plan.options.seeds[0])
        try:
            results = evaluation_runner.run(
                replace(self.prepared, steps=steps, options=options), self.output, say=self.say, progress=self.progress
            )
        except OutputError:
            raise
        except XharnessError as error:
            self.failures.messages.append(str(error))
            self.failures.errors.append(error)
            return None
        self.failures.messages += results.provenance["failures"]
        return results

    def _results(self, key: Key, scorer: TuneScorer, as_is: Results | None) -> Results:
        """Return the results of a run folder; the headline includes the targets that were scored as they are."""
        included = as_is if key[1] == ENGLISH_DEV else None
        specs = {step.task: step.spec for step in self.prepared.steps if step.spec is not None}
        return aggregate(
            [*_scores(included), *scorer.scores[key]],
            specs,
            benchmark=self.prepared.selection.benchmark,
            provenance=self._provenance(key, str(scorer.folders[key]), scorer.scores[key], included),
        )

    def _provenance(self, key: Key, folder: str, scores: list[Score], as_is: Results | None) -> dict[str, Any]:
        checkpoint = self.prepared.checkpoint
        track, chosen, seed = key
        facts = {
            "model": checkpoint.name,
            "model_sha": checkpoint.sha,
            "model_hash": checkpoint.content_hash,
            "seed": seed,
            "dtype": self.dtype,
            "split": self.prepared.options.split,
            "track": track,
            "selected_by": chosen,
        }
        runs: list[dict[str, Any]] = [{**facts, "run": folder, "targets": list(dict.fromkeys(s.task for s in scores))}]
        if as_is is not None and _scores(as_is):
            names = ("model", "model_sha", "model_hash", "seed", "dtype", "split", "run")
            runs.insert(0, {**{name: as_is.provenance[name] for name in names}, "targets": list(as_is.tasks)})
        return {**facts, "run": folder, "runs": runs, "failures": list(self.failures.messages)}


def _scores(results: Results | None) -> list[Score]:
    return [] if results is None else [s for r in results.tasks.values() for s in r.languages.values()]
