"""`eval --tune`: train the missing heads and score every selected state."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from xharness import files
from xharness.checkpoints import resolve, training_record
from xharness.checkpoints.checkpoint import Checkpoint
from xharness.checkpoints.training_record import ENGLISH_DEV, FILE, RUNNING, Record
from xharness.data import candidates
from xharness.errors import ModelError, NothingToDo, OutputError, UsageError, XharnessError
from xharness.evaluation import runner as evaluation_runner
from xharness.evaluation.evaluator import Evaluator, TunedCheckpoint
from xharness.evaluation.model_cache import ModelCache
from xharness.evaluation.plan import Step
from xharness.evaluation.prepare import Options, Prepared, prepare
from xharness.evaluation.retrieval.compare import RetrievalPredictor
from xharness.evaluation.run_folder import run_folder
from xharness.metrics.seeds import COMPLETE, DIVERGED, FAILED
from xharness.models import devices
from xharness.progress import bar
from xharness.results import predictions
from xharness.results import score as results_score
from xharness.results.aggregate import Results, aggregate
from xharness.results.score import Score
from xharness.training import runner as training_runner
from xharness.training.dev_sets import DevSet
from xharness.training.plan import TrainingPlan
from xharness.training.selection import SelectionPlan
from xharness.training.tune.plan import TARGET_DEV, TuneJob, TunePlan, Tuning, labels_for, make
from xharness.training.tune.report import Trained, TuneResult

Say = Callable[[str], None]
Key = tuple[str, str, int]
"""Track, how the state was chosen, and seed: what a RUN of tuned checkpoints is of."""


@dataclass(frozen=True)
class _Done:
    """A training that came to an end, and what is said of it."""

    job: TuneJob
    plan: TrainingPlan
    folder: Path
    record: Record | None
    told: Trained

    def selection(self, chosen: str, task: str, language: str) -> dict[str, Any] | None:
        """Return the selection of the record that holds for a score; None where nothing was chosen so."""
        if self.record is None:
            return None
        if chosen == ENGLISH_DEV:
            chosen = self.job.headline
        name = f"{TARGET_DEV}:{task}/{language}" if chosen == TARGET_DEV else chosen
        return self.record.selections.get(name)


class _State:
    """A state of a training that was chosen in one way or several, and the scores that it has by now."""

    def __init__(self, done: _Done, checkpoint: Checkpoint, device: torch.device, dtype: str) -> None:
        self.done, self.checkpoint = done, checkpoint
        assert checkpoint.path is not None
        self.shelf = ModelCache(checkpoint, checkpoint.path, device, dtype, trust=False)
        self.known: dict[tuple[str, str], tuple[Score, Path]] = {}


def run(plan: TunePlan, output: str | Path = "results", *, say: Say | None = None, progress: bool = True) -> TuneResult:
    """Train what has to be trained and score everything; go on where an earlier call was stopped.

    Tuned checkpoints lie in the cache, found again by their key; results lie as those of ``evaluation.run``, under the
    name of the encoder that was tuned, each way to choose a state in a RUN of its own.

    Args:
        plan: from ``tune_plan.make``.
        output: the folder for all runs.
        say: is given sentences about what happens.
        progress: show bars on stderr.

    Raises:
        NothingToDo: nothing can be trained or scored.
        OutputError: the disk is full.
    """
    say = say or (lambda sentence: None)
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise UsageError(
            "eval --tune works in one process. Give each process seeds of its own (--seeds), and its own GPU with "
            "CUDA_VISIBLE_DEVICES."
        )
    return TuningRun(plan, Path(output), say, progress).go()


def tune(
    model: str,
    tuning: Tuning | None = None,
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
        targets, languages, data_dir, output, say, progress, **options: as for ``evaluation.evaluate``.

    Raises:
        XharnessError: see ``errors``; its text is a sentence for the user.
    """
    names = targets.split(",") if isinstance(targets, str) else targets
    prepared = prepare(model, targets=names, languages=languages, data_dir=data_dir, options=Options(**options))
    return run(make(prepared, tuning or Tuning(), say), output, say=say, progress=progress)


class TuningRun:
    """One call of ``run``."""

    def __init__(self, plan: TunePlan, output: Path, say: Say, progress: bool) -> None:
        self.plan, self.output, self.say, self.progress = plan, output, say, progress
        self.prepared = plan.prepared
        self.device = devices.choose_device(self.prepared.options.device)
        self.dtype = devices.choose_dtype(self.prepared.options.dtype, self.device)
        self.failures: list[str] = []
        self.errors: list[XharnessError] = []
        self.runs: list[str] = []
        self.as_is_facts: dict[str, Any] = {}

    def go(self) -> TuneResult:
        """Train what is missing and score every selected state."""
        prepared, seeds = self.prepared, self.plan.tuning.seeds
        if not self.plan.jobs and not any(step.runs for step in prepared.steps):
            raise NothingToDo(
                "Nothing can be tuned or evaluated:\n"
                + "\n".join(f"  {s.task}: {s.state}: {s.reason}" for s in prepared.steps)
            )
        done: dict[tuple[str, int], _Done] = {}
        total = len(self.plan.jobs) * len(seeds)
        for seed in seeds:
            for job in self.plan.jobs:
                number = f"{len(done) + 1} of {total}"
                done[job.training_set, seed] = self._train(job, seed, done, number)
        untuned = self._as_is()
        as_is = [] if untuned is None else [s for t in untuned.tasks.values() for s in t.languages.values()]
        found: dict[Key, list[Score]] = {}
        folders: dict[Key, Path] = {}
        for each in done.values():
            if each.job.targets:
                self._score(each, found, folders)
        if self.errors and not found and not as_is:
            raise type(self.errors[0])("\n".join(dict.fromkeys(map(str, self.errors))))
        specs = {step.task: step.spec for step in prepared.steps if step.spec is not None}
        outcomes = {}
        for (track, chosen, seed), scores in found.items():
            beside = as_is if chosen == ENGLISH_DEV else []
            provenance = self._provenance(track, chosen, seed, folders[track, chosen, seed], scores, beside)
            outcomes[track, chosen, seed] = aggregate(
                [*beside, *scores], specs, benchmark=prepared.selection.benchmark, provenance=provenance
            )
        return TuneResult(
            prepared.checkpoint.folder_name,
            seeds,
            self.plan.tuning.average_last,
            outcomes,
            tuple(each.told for each in done.values()),
            tuple(self.failures),
            tuple(dict.fromkeys(self.runs)),
            untuned,
        )

    # --- Training ---------------------------------------------------------------------------------

    def _train(self, job: TuneJob, seed: int, done: Mapping[tuple[str, int], _Done], number: str) -> _Done:
        training_plan, folder = job.seeded(seed), self.plan.folder(job, seed, self.dtype)
        try:
            if job.after is not None:
                before = done[job.after.training_set, seed]
                if before.record is None or not before.record.selections:
                    raise ModelError(f"it comes after '{job.after.training_set}', which has no checkpoint")
                checkpoint = resolve.read_checkpoint(str(before.folder))
                training_plan = replace(training_plan, checkpoint=checkpoint, keep_head=True)
            record = self._kept(folder, training_plan.checkpoint.id)
            there = record is not None
            watch = SelectionPlan(
                [
                    DevSet(w.name, job.training_set, w.spec, w.language, w.examples, w.labels, w.data_hash, w.whole)
                    for w in job.watched
                ],
                {w.choice: [w.name] for w in job.watched} if job.choices else {},
            )
            if record is None:
                self.say(f"Training {number}: {job.training_set}, seed {seed}, into {folder}.")
                record = training_runner.train(training_plan, folder, watch=watch, say=self.say, progress=self.progress)
            else:
                self.say(f"{job.training_set}, seed {seed}: trained already, {folder}.")
        except OutputError:
            raise
        except XharnessError as error:
            told = self._told(job, seed, folder, False, None, FAILED, str(error).rstrip("."))
            self._missing(job, seed, told, error)
            return _Done(job, training_plan, folder, None, told)
        told = self._told(job, seed, folder, there, record, record.status, record.reason)
        if record.status != COMPLETE:
            again = f" To train it again, remove {folder}." if record.status == DIVERGED else ""
            self.say(f"{job.training_set}, seed {seed} {record.status}: {record.reason}. It is kept and shown.{again}")
        if record.status == DIVERGED:
            self._missing(job, seed, told, ModelError(f"{job.training_set}, seed {seed} diverged: {record.reason}"))
        return _Done(job, training_plan, folder, record, told)

    def _missing(self, job: TuneJob, seed: int, told: Trained, error: XharnessError) -> None:
        for step in job.targets:
            self.failures.append(
                f"{step.task}, seed {seed}: no score, training on '{job.training_set}' {told.state}: {told.reason}."
            )
        self.errors.append(error)

    def _told(
        self, job: TuneJob, seed: int, folder: Path, found: bool, record: Record | None, state: str, reason: str | None
    ) -> Trained:
        chosen = record.selections.get(job.headline, {}) if record is not None else {}
        return Trained(
            job.training_set,
            tuple(step.task for step in job.targets),
            job.track,
            seed,
            state,
            reason,
            str(folder),
            found,
            job.headline,
            chosen.get("step"),
            record.steps if record is not None else None,
            chosen.get("score"),
            record.tokens_per_second if record is not None else None,
        )

    def _kept(self, folder: Path, base: str) -> Record | None:
        """Return the record of a tuned checkpoint that is there as it was written; what is damaged is removed."""
        try:
            record = training_record.load(folder)
            if record is not None:
                training_record.check_weights(record, folder)
                request = record.request
            elif (folder / RUNNING / "request.json").is_file():
                request = json.loads((folder / RUNNING / "request.json").read_text(encoding="utf-8"))
            elif not folder.exists() or all(path.name == RUNNING for path in folder.iterdir()):
                return None  # or a training that has only begun, perhaps in another process
            else:
                raise ModelError(f"{folder}: has no {FILE}.")
            if request["base"]["id"] != base:
                raise ModelError(f"{folder}: began with another checkpoint than there is now.")
        except (XharnessError, OSError, ValueError, KeyError, TypeError) as error:
            self.say(f"{error} The tuned checkpoint is made anew.")
            shutil.rmtree(folder, ignore_errors=True)
            return None
        return record

    # --- Scoring ----------------------------------------------------------------------------------

    def _as_is(self) -> Results | None:
        """Return the scores of the targets that need no training."""
        steps = [step for step in self.prepared.steps if step.runs]
        if not steps:
            return None
        options = replace(self.prepared.options, seed=self.plan.tuning.seeds[0])
        try:
            found = evaluation_runner.run(
                replace(self.prepared, steps=steps, options=options), self.output, say=self.say, progress=self.progress
            )
        except OutputError:
            raise
        except XharnessError as error:
            self.failures.append(str(error))
            self.errors.append(error)
            return None
        self.failures += found.provenance["failures"]
        self.runs.append(found.provenance["run"])
        self.as_is_facts = {**found.provenance, "targets": list(found.tasks)}
        return found

    def _score(self, done: _Done, found: dict[Key, list[Score]], folders: dict[Key, Path]) -> None:
        """Score all that is asked of a training, state after state, so that each is loaded once."""
        candidates.clear_cache()
        wanted: dict[str, list[tuple[str, Step, str]]] = {}
        for chosen in (ENGLISH_DEV, *self.plan.tuning.also):
            for step in done.job.targets:
                for language in step.languages:
                    selection = done.selection(chosen, step.task, language)
                    if selection is not None:
                        wanted.setdefault(str(selection["folder"]), []).append((chosen, step, language))
        for name, cells in wanted.items():
            try:
                state = _State(done, resolve.read_checkpoint(str(done.folder / name)), self.device, self.dtype)
            except XharnessError as error:
                self.failures += [f"{step.task} {code}, {chosen}: {error}" for chosen, step, code in cells]
                self.errors.append(error)
                continue
            with bar(f"{done.job.training_set}, seed {done.told.seed}", None, self.progress) as shown:
                for chosen, step, language in cells:
                    key = (done.job.track, chosen, done.told.seed)
                    shown.set_postfix_str(f"{step.task} {language} {chosen}")
                    try:
                        score = self._cell(state, key, step, language, folders, shown)
                    except OutputError:
                        raise
                    except XharnessError as error:
                        self.errors.append(error)
                        self.failures.append(f"{step.task} {language}, seed {key[2]}, {chosen}: {error}")
                        self.say(self.failures[-1])
                        continue
                    found.setdefault(key, []).append(score)

    def _cell(self, state: _State, key: Key, step: Step, language: str, folders: dict[Key, Path], shown: Any) -> Score:
        """Return the score of a cell; one of the very same state that was chosen in another way too is copied."""
        assert step.spec is not None
        prepared = self._prepared(*key)
        if key not in folders:
            folders[key] = run_folder(prepared, self.output, self.dtype, self.say)
            self.runs.append(str(folders[key]))
        folder = folders[key]
        tuned = self._tuned(state, key[1], step, language)
        if (step.task, language) not in state.known:
            labels = labels_for(step.spec, state.checkpoint.id2label)
            if labels is None:
                raise ModelError(f"{state.checkpoint.name}: its head has other labels than {step.task}.")
            ready = replace(step, state="ready", reason="", labels=labels, head=None)
            comparer = RetrievalPredictor(folder / "vectors", prepared.data_dir, self.device, prepared.checkpoint.id)
            desk = Evaluator(prepared, folder, state.shelf, comparer, self.say, tuned=tuned)
            score = desk.evaluate(ready, language, shown)
            state.known[step.task, language] = (score, folder)
            return score
        same, other = state.known[step.task, language]
        score = replace(
            same,
            settings=prepared.options.settings(self.dtype),
            tuned=tuned.record,
            selected_by=tuned.selection_for(same.data_hash),
        )
        source, target = (
            predictions.path(each / "predictions", step.task, step.spec.kind, language, prepared.options.split)
            for each in (other, folder)
        )
        files.write_text(target, source.read_text(encoding="utf-8", errors="surrogatepass"))
        results_score.save(score, folder / "results" / step.task / f"{language}.json")
        return score

    def _prepared(self, track: str, chosen: str, seed: int) -> Prepared:
        options = replace(self.prepared.options, seed=seed, head=None, tune=self.plan.tuning.record(track, chosen))
        return replace(self.prepared, options=options)

    def _tuned(self, state: _State, chosen: str, step: Step, language: str) -> TunedCheckpoint:
        done, job, part = state.done, state.done.job, state.done.plan.parts[0]
        selection = done.selection(chosen, step.task, language)
        assert selection is not None
        record = {
            "id": state.checkpoint.id,
            "training_set": job.training_set,
            "key": done.folder.parent.name,
            "seed": done.told.seed,
            "languages": list(job.plan.options.languages),
            "recipe": part.settings.recipe,
            "settings_hash": part.settings.hash,
            "spec_hash": part.spec.hash,
            "data_hash": part.train.hash,
            "n": len(part.train.examples),
            "data_status": sorted({each.status for each in part.train.parts}),
            "step": selection["step"],
            **({"of": selection["of"]} if "of" in selection else {}),
            "status": done.told.state,
            **({"after": job.after.training_set} if job.after is not None else {}),
        }
        by = job.headline if chosen == ENGLISH_DEV else chosen
        hashes: frozenset[str] = frozenset()
        if by == ENGLISH_DEV:
            hashes = job.chosen_on
        elif by == TARGET_DEV:
            hashes = frozenset(w.data_hash for w in job.watched if (w.spec.name, w.language) == (step.task, language))
        return TunedCheckpoint(job.track, by, record, hashes)

    def _provenance(
        self, track: str, chosen: str, seed: int, folder: Path, scores: list[Score], beside: list[Score]
    ) -> dict[str, Any]:
        checkpoint = self.prepared.checkpoint
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
        own = {**facts, "run": str(folder), "targets": list(dict.fromkeys(s.task for s in scores))}
        runs = [own]
        if beside:
            kept = ("model", "model_sha", "model_hash", "seed", "dtype", "split", "run", "targets")
            runs.insert(0, {name: self.as_is_facts[name] for name in kept})
        return {**facts, "run": str(folder), "runs": runs, "failures": list(self.failures)}
