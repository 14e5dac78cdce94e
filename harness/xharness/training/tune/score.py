"""Score tuned checkpoints: every selected checkpoint of a training, each loaded once, into run folders."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from xharness import files
from xharness.checkpoints import resolve
from xharness.checkpoints.checkpoint import Checkpoint
from xharness.checkpoints.training_record import ENGLISH_DEV
from xharness.data import candidates
from xharness.errors import ModelError, OutputError, XharnessError
from xharness.evaluation.evaluator import Evaluator, TunedProvenance
from xharness.evaluation.model_cache import ModelCache
from xharness.evaluation.plan import Step
from xharness.evaluation.prepare import Prepared
from xharness.evaluation.retrieval.compare import RetrievalPredictor
from xharness.evaluation.run_folder import run_folder
from xharness.progress import bar
from xharness.results import predictions
from xharness.results import score as results_score
from xharness.results.score import Score
from xharness.training.tune.jobs import labels_for
from xharness.training.tune.options import TARGET_DEV
from xharness.training.tune.plan import TunePlan
from xharness.training.tune.result import Failures
from xharness.training.tune.train import TunedCheckpoint

Key = tuple[str, str, int]
"""Track, checkpoint selection and seed: one run folder of tuned checkpoints."""


@dataclass(frozen=True)
class _Selected:
    """A checkpoint that one or several criteria selected, and its scores so far.

    Attributes:
        tuned: the training.
        checkpoint: the selected checkpoint.
        models: loads it.
        scores: (target, language) -> score, and the run folder that holds it.
    """

    tuned: TunedCheckpoint
    checkpoint: Checkpoint
    models: ModelCache
    scores: dict[tuple[str, str], tuple[Score, Path]] = field(default_factory=dict)


class TuneScorer:
    """Scores tuned checkpoints and collects the results.

    Args:
        plan: what is tuned.
        output: folder of all runs.
        device, dtype: where and in which precision it computes.
        failures: scores that cannot be computed are added.
        say: called with messages for the user.
        progress: show bars on stderr.

    Attributes:
        scores: track, checkpoint selection and seed -> scores.
        folders: track, checkpoint selection and seed -> run folder.
    """

    def __init__(
        self,
        plan: TunePlan,
        output: Path,
        device: torch.device,
        dtype: str,
        failures: Failures,
        say: Callable[[str], None],
        progress: bool,
    ) -> None:
        self._plan, self._output, self._device, self._dtype = plan, output, device, dtype
        self._failures, self._say, self._progress = failures, say, progress
        self.scores: dict[Key, list[Score]] = {}
        self.folders: dict[Key, Path] = {}

    def score(self, tuned: TunedCheckpoint) -> None:
        """Score everything that is asked for of a training.

        Raises:
            OutputError: the disk is full; all other errors are added to the failures.
        """
        candidates.clear_cache()
        for name, wanted in self._wanted(tuned).items():
            try:
                checkpoint = resolve.read_checkpoint(str(tuned.folder / name))
                assert checkpoint.path is not None
                models = ModelCache(checkpoint, checkpoint.path, self._device, self._dtype, trust=False)
                selected = _Selected(tuned, checkpoint, models)
            except XharnessError as error:
                messages = [f"{step.task} {code}, {chosen}: {error}" for chosen, step, code in wanted]
                self._failures.messages += messages
                self._failures.errors.append(error)
                continue
            with bar(f"{tuned.job.training_set}, seed {tuned.trained.seed}", None, self._progress) as shown:
                for chosen, step, language in wanted:
                    shown.set_postfix_str(f"{step.task} {language} {chosen}")
                    self._try_score(selected, chosen, step, language, shown)

    def _wanted(self, tuned: TunedCheckpoint) -> dict[str, list[tuple[str, Step, str]]]:
        """Return folder of a selected checkpoint -> (checkpoint selection, target, language) to score with it."""
        wanted: dict[str, list[tuple[str, Step, str]]] = {}
        for chosen in (ENGLISH_DEV, *self._plan.options.also):
            for step in tuned.job.targets:
                for language in step.languages:
                    selection = tuned.selection(chosen, step.task, language)
                    if selection is not None:
                        wanted.setdefault(str(selection["folder"]), []).append((chosen, step, language))
        return wanted

    def _try_score(self, selected: _Selected, chosen: str, step: Step, language: str, shown: Any) -> None:
        key = (selected.tuned.job.track, chosen, selected.tuned.trained.seed)
        try:
            score = self._score(selected, key, step, language, shown)
        except OutputError:
            raise
        except XharnessError as error:
            self._failures.errors.append(error)
            self._failures.messages.append(f"{step.task} {language}, seed {key[2]}, {chosen}: {error}")
            self._say(self._failures.messages[-1])
        else:
            self.scores.setdefault(key, []).append(score)

    def _score(self, selected: _Selected, key: Key, step: Step, language: str, shown: Any) -> Score:
        """Return the score of a target in a language; copy it where the same checkpoint was selected twice."""
        assert step.spec is not None
        prepared = self._prepared(*key)
        if key not in self.folders:
            self.folders[key] = run_folder(prepared, self._output, self._dtype, self._say)
        folder = self.folders[key]
        tuned = _tuned(selected, key[1], step, language)
        if (step.task, language) in selected.scores:
            return self._copy(selected, prepared, folder, tuned, step, language)
        labels = labels_for(step.spec, selected.checkpoint.id2label)
        if labels is None:
            raise ModelError(f"{selected.checkpoint.name}: its head has other labels than {step.task}.")
        ready = replace(step, state="ready", reason="", labels=labels, head=None)
        retrieval = RetrievalPredictor(folder / "vectors", prepared.data_dir, self._device, prepared.checkpoint.id)
        evaluator = Evaluator(prepared, folder, selected.models, retrieval, self._say, tuned=tuned)
        score = evaluator.evaluate(ready, language, shown)
        selected.scores[step.task, language] = (score, folder)
        return score

    def _copy(
        self, selected: _Selected, prepared: Prepared, folder: Path, tuned: TunedProvenance, step: Step, language: str
    ) -> Score:
        """Write the score and predictions of an earlier selection of the same checkpoint into another run folder."""
        assert step.spec is not None
        original, original_folder = selected.scores[step.task, language]
        score = replace(
            original,
            settings=prepared.options.settings(self._dtype),
            tuned=tuned.record,
            selected_by=tuned.selection_for(original.data_hash),
        )
        source, target = (
            predictions.path(run / "predictions", step.task, step.spec.kind, language, prepared.options.split)
            for run in (original_folder, folder)
        )
        files.write_text(target, source.read_text(encoding="utf-8", errors="surrogatepass"))
        results_score.save(score, folder / "results" / step.task / f"{language}.json")
        return score

    def _prepared(self, track: str, chosen: str, seed: int) -> Prepared:
        prepared = self._plan.prepared
        tune = self._plan.options.record(track, chosen)
        return replace(prepared, options=replace(prepared.options, seed=seed, head=None, tune=tune))


def _tuned(selected: _Selected, chosen: str, step: Step, language: str) -> TunedProvenance:
    """Return what a score records of the tuned checkpoint."""
    tuned, job, part = selected.tuned, selected.tuned.job, selected.tuned.plan.parts[0]
    selection = tuned.selection(chosen, step.task, language)
    assert selection is not None
    record = {
        "id": selected.checkpoint.id,
        "training_set": job.training_set,
        "key": tuned.folder.parent.name,
        "seed": tuned.trained.seed,
        "languages": list(job.plan.options.languages),
        "recipe": part.settings.recipe,
        "settings_hash": part.settings.hash,
        "spec_hash": part.spec.hash,
        "data_hash": part.train.hash,
        "n": len(part.train.examples),
        "data_status": sorted({source.status for source in part.train.parts}),
        "step": selection["step"],
        **({"of": selection["of"]} if "of" in selection else {}),
        "status": tuned.trained.state,
        **({"after": job.after.training_set} if job.after is not None else {}),
    }
    selected_by = job.headline if chosen == ENGLISH_DEV else chosen
    hashes: frozenset[str] = frozenset()
    if selected_by == ENGLISH_DEV:
        hashes = job.chosen_on
    elif selected_by == TARGET_DEV:
        hashes = frozenset(d.data_hash for d in job.dev_sets if (d.spec.name, d.language) == (step.task, language))
    return TunedProvenance(job.track, selected_by, record, hashes)
