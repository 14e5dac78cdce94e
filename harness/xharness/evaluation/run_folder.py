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
    """Return the settings that distinguish runs of one checkpoint, besides the seed."""
    checkpoint, options = prepared.checkpoint, prepared.options
    settings = {**options.settings(dtype), "task_files": _task_files(prepared)}
    if checkpoint.remote_code and options.trust_remote_code:
        settings["trust_remote_code"] = True  # remote code makes it a different model
    return settings


def checkpoint_folder(prepared: Prepared, output: Path) -> Path:
    """Return the folder of all runs of a checkpoint."""
    return output / prepared.checkpoint.folder_name / prepared.checkpoint.id[:12]


def run_folder(
    prepared: Prepared, output: Path, dtype: str, say: Callable[[str], None], *, trial: bool = False
) -> Path:
    """Create a run folder, write its run.json, and return the folder.

    The folder of a trial, which only serves to choose a layer, is one level deeper, so ``results/*/*/*/seed0`` does not
    match it.
    """
    checkpoint, options = prepared.checkpoint, prepared.options
    settings = settings_of(prepared, dtype)
    parent = checkpoint_folder(prepared, output) / ("layers" if trial else "")
    folder = parent / digest(settings) / f"seed{options.seed}"
    path = folder / "run.json"
    # Targets that a later call adds belong to the same run.
    try:
        earlier = run_record(folder).get("targets", {})
    except XharnessError as error:
        say(f"{error} It is written again.")
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
    """Return target -> spec hash for the user's task files, which may have the name of a shipped target."""
    return {step.task: step.spec.hash for step in prepared.steps if step.spec and step.task in prepared.selection.paths}
