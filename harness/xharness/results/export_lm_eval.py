"""Export scores as a results file of lm-evaluation-harness."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from xharness import files
from xharness.results.aggregate import PARTIAL, Results, TaskResult
from xharness.results.export_xtreme import refuse_other
from xharness.results.runs import Run, checked_scores, read_run, with_averages
from xharness.results.score import Score
from xharness.version import __version__

# Our names of scores -> theirs; the other names are the same.
_NAMES = {"accuracy": "acc"}
# Means of zeros and ones over the examples: the standard error of the mean follows from the mean.
_SHARES = ("accuracy", "exact_match")


def write(folder: Path, path: Path, benchmark: str | None = None) -> None:
    """Write the scores of a run as a results file of lm-evaluation-harness 0.4.13.

    The means are over the languages of ``benchmark``; None: all languages of each target.

    Raises:
        OutputError: another file of this name exists, or the file cannot be written.
        NothingToDo, DataError, PredictionError: see ``runs.read_run``.
        UsageError: an unknown benchmark, or one that has none of the languages of a target.
    """
    run = read_run(folder)
    content = results_of(run, benchmark)
    text = json.dumps(content, ensure_ascii=False, indent=2, allow_nan=False) + "\n"
    refuse_other(path, text)
    files.write_text(path, text)


def results_of(run: Run, benchmark: str | None = None) -> dict[str, Any]:
    """Return the scores of a run as fractions, one entry per target and language and a group per target.

    A group is the mean over the target's languages; the alias of a group that misses languages or test data ends in
    *partial*. Only scores that are a share of the examples have a standard error.
    """
    specs = run.specs()
    results = with_averages(checked_scores(run, specs), specs, benchmark, run.facts())
    content: dict[str, Any] = {key: {} for key in ("results", "groups", "group_subtasks", "configs", "versions")}
    content |= {key: {} for key in ("n-shot", "higher_is_better", "n-samples")}
    for name, task in results.tasks.items():
        group = f"xharness_{name}"
        content["group_subtasks"][group] = [f"{group}_{code}" for code in task.languages]
        for code, score in task.languages.items():
            _task(content, f"{group}_{code}", task, score)
        _group(content, group, task)
    return {**content, **_head(run, results)}


def _task(content: dict[str, Any], name: str, task: TaskResult, score: Score) -> None:
    values: dict[str, Any] = {"name": name, "alias": name if score.complete else f"{name} {PARTIAL}"}
    values["sample_len"] = score.n
    is_own_metric = not task.spec.metric.startswith("evaluate:")
    for metric, value in score.scores.items():
        key, share = _NAMES.get(metric, metric), value / 100
        values[f"{key},none"] = share
        # Outside 0 to 1 it is no share, whatever its name.
        has_stderr = is_own_metric and metric in _SHARES and score.n > 1 and 0 <= share <= 1
        values[f"{key}_stderr,none"] = math.sqrt(share * (1 - share) / (score.n - 1)) if has_stderr else "N/A"
    content["results"][name] = values
    content["configs"][name] = {
        "task": name,
        "dataset_path": score.data_source,
        "dataset_name": score.language,
        "test_split": task.spec.split_name("dev" if score.split == "dev" else "test"),
        "num_fewshot": 0,
        "metadata": {
            "version": score.spec_hash,
            "model": score.model,
            "model_sha": score.model_sha or score.model_hash,
            "data_revision": score.data_revision,
            "data_hash": score.data_hash,
            "data_status": score.data_status,
            "spec_hash": score.spec_hash,
            "predictions_sha256": score.predictions_sha256,
            "split": score.split,
            "seed": score.seed,
            "dtype": score.dtype,
            "n": score.n,
            PARTIAL: not score.complete,
            **{key: value for key in ("encoding", "selection", "candidates") if (value := getattr(score, key))},
        },
    }
    _both(content, name, score.scores, score.spec_hash)
    content["n-samples"][name] = {"original": score.expected_n or score.n, "effective": score.n}


def _group(content: dict[str, Any], name: str, task: TaskResult) -> None:
    mean = {k: v for k, v in task.mean.items() if k != "score" or len(task.spec.score_keys) > 1}
    values: dict[str, Any] = {"name": name, "alias": name if task.complete else f"{name} {PARTIAL}"}
    values["sample_len"] = sum(score.n for score in task.languages.values())
    for metric, value in mean.items():
        key = _NAMES.get(metric, metric)
        values |= {f"{key},none": value / 100, f"{key}_stderr,none": "N/A"}
    content["results"][name] = values
    content["groups"][name] = dict(values)
    why = {PARTIAL: not task.complete, "incomplete_because": task.why or None}
    content["configs"][name] = {"group": name, "task": content["group_subtasks"][name], "metadata": why}
    _both(content, name, mean, task.spec.hash)


def _both(content: dict[str, Any], name: str, metrics: Iterable[str], version: str) -> None:
    content["versions"][name] = version
    content["n-shot"][name] = 0
    content["higher_is_better"][name] = {_NAMES.get(metric, metric): True for metric in metrics}


def _head(run: Run, results: Results) -> dict[str, Any]:
    facts, scores = results.provenance, run.scores
    sha = facts["model_sha"] or facts["model_hash"]
    limit = run.record["settings"].get("limit")
    return {
        "config": {
            "model": "xharness",
            "model_args": {
                "pretrained": facts["model"],
                "revision": sha,
                "dtype": facts["dtype"],
                **({"tune": run.tune} if run.tune else {}),
            },
            "model_dtype": facts["dtype"],
            "model_revision": run.record.get("revision"),
            "model_sha": sha,
            "batch_size": None,
            "batch_sizes": [],
            "device": next((s.device for s in scores if s.device), None),
            "use_cache": None,
            "limit": limit,
            "bootstrap_iters": 0,
            "gen_kwargs": {},
            "random_seed": facts["seed"],
        },
        "git_hash": None,
        # When the last score was written, so that the same run always gives the same file.
        "date": max(path.stat().st_mtime for path in (run.folder / "results").glob("*/*.json")),
        "transformers_version": next((v for s in scores if (v := s.versions.get("transformers"))), None),
        "lm_eval_version": None,
        "xharness_version": next((v for s in scores if (v := s.versions.get("xharness"))), __version__),
        "model_source": "xharness",
        "model_name": facts["model"],
        "model_name_sanitized": str(facts["model"]).replace("/", "__"),
        "system_instruction": None,
        "system_instruction_sha": None,
        "fewshot_as_multiturn": None,
        "chat_template": None,
        "chat_template_sha": None,
        "task_hashes": {},
        "total_evaluation_time_seconds": str(sum(s.seconds or 0.0 for s in scores)),
    }
