"""Create the folder and run.json of a run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from xharness import files
from xharness.errors import XharnessError
from xharness.evaluation.prepare import Prepared
from xharness.results import score as results_score
from xharness.results.runs import digest, run_record


def settings_of(prepared: Prepared, dtype: str) -> dict[str, Any]:
    """Return all that tells runs of one checkpoint apart, beside the seed."""
    checkpoint, options = prepared.checkpoint, prepared.options
    settings = {**options.settings(dtype), "task_files": _task_files(prepared)}
    if checkpoint.remote_code and options.trust_remote_code:
        settings["trust_remote_code"] = True  # other code, other model
    return settings


def checkpoint_folder(prepared: Prepared, output: Path) -> Path:
    """Return the folder of all runs of a checkpoint."""
    return output / prepared.checkpoint.folder_name / prepared.checkpoint.id[:12]


def run_folder(
    prepared: Prepared, output: Path, dtype: str, say: Callable[[str], None], *, trial: bool = False
) -> Path:
    """Make the folder of a run and write its run.json; return the folder.

    A trial, from which only a choice is taken, lies one floor deeper, so that ``results/*/*/*/seed0`` does not name it.
    """
    checkpoint, options = prepared.checkpoint, prepared.options
    settings = settings_of(prepared, dtype)
    floor = checkpoint_folder(prepared, output) / ("layers" if trial else "")
    folder = floor / digest(settings) / f"seed{options.seed}"
    path = folder / "run.json"
    # Targets that are added in a later call belong to the same run.
    try:
        earlier = run_record(folder).get("targets", {})
    except XharnessError as error:
        say(f"{error} It is written anew.")
        earlier = {}
    targets = {**earlier, **prepared.selection.paths}
    files.write_json(
        path,
        {
            "schema_version": results_score.SCHEMA_VERSION,
            "model": checkpoint.name,
            "model_sha": checkpoint.sha,
            "model_hash": checkpoint.content_hash,
            "revision": checkpoint.revision,
            "architectures": list(checkpoint.architectures),
            "settings": settings,
            "seed": options.seed,
            "targets": targets,
            "notes": list(checkpoint.notes),
        },
    )
    return folder


def _task_files(prepared: Prepared) -> dict[str, str]:
    """Return target -> spec hash for task files of the user's own, which may bear a shipped target's name."""
    return {step.task: step.spec.hash for step in prepared.steps if step.spec and step.task in prepared.selection.paths}
