"""The names of the YAML files under ``tasks/``."""

from __future__ import annotations

from xharness import assets

TARGETS = sorted(path.stem for path in (assets.TASKS / "targets").glob("*.yaml"))
TRAINING = sorted(
    path.stem
    for folder in ("intermediate", "english", "parts")
    for path in (assets.TASKS / folder).glob("*.yaml")
    if path.stem != "multitask"
)
