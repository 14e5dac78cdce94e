"""Options of `eval --tune`: how heads are trained, and which checkpoints are scored."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from xharness import files
from xharness.checkpoints.training_record import AVERAGE, LAST
from xharness.errors import UsageError, unknown
from xharness.evaluation.prepare import Prepared
from xharness.tasks.recipes import DEFAULT, TUNING_AVERAGE_LAST, TUNING_LANGUAGES, load_recipe

TARGET_DEV = "target-dev"
"""Checkpoint selection by development data of the target language: the oracle."""
ALSO = (LAST, AVERAGE, TARGET_DEV)
"""What is scored beside the checkpoint that English development data selects."""
ALL = "all"


@dataclass(frozen=True)
class TuneOptions:
    """How heads are trained for targets.

    Attributes:
        recipe, given, max_steps, train_n, shots, lora, gradient_checkpointing: see ``training.plan.Options``.
        languages: languages to train on; ``("all",)``: all that each training set has.
        seeds: each is a training of its own; one that fails is kept and shown.
        average_last: number of last evaluated checkpoints that are averaged.
        also: which checkpoints are scored beside the headline's: some of ``ALSO``.
        fresh_head: also tune targets that the checkpoint can be scored on as it is.
        root: folder of tuned checkpoints; None: in the cache.
    """

    recipe: str = DEFAULT
    given: Mapping[str, Any] = field(default_factory=dict)
    languages: tuple[str, ...] = TUNING_LANGUAGES
    seeds: tuple[int, ...] = (0,)
    shots: int | None = None
    train_n: int | None = None
    max_steps: int | None = None
    lora: int | None = None
    gradient_checkpointing: bool = False
    average_last: int = TUNING_AVERAGE_LAST
    also: tuple[str, ...] = ALSO
    fresh_head: bool = False
    root: Path | None = None

    @property
    def folder(self) -> Path:
        """Folder of tuned checkpoints."""
        return self.root if self.root is not None else files.cache_folder() / "tuned"

    def record(self, track: str, selected_by: str) -> dict[str, Any]:
        """Return what distinguishes the run folders of tuned checkpoints, and decides which may be compared."""
        recipe = load_recipe(self.recipe)
        content = json.dumps([recipe.model_dump(mode="json"), dict(self.given)], sort_keys=True)
        return {
            "track": track,
            "selected_by": selected_by,
            "languages": list(self.languages),
            "shots": self.shots,
            "train_n": self.train_n,
            "recipe": recipe.name,
            "given": dict(self.given),
            "recipe_hash": hashlib.sha256(content.encode()).hexdigest()[:12],
            "max_steps": self.max_steps,
            "lora": self.lora,
            **({"average_last": self.average_last} if selected_by == AVERAGE else {}),
        }


def check(prepared: Prepared, tuning: TuneOptions) -> None:
    """Check that options can be used together.

    Raises:
        UsageError: they cannot, or a value is out of range.
    """
    options = prepared.options
    if options.label_map:
        raise UsageError(
            "--label-map gives the meaning of the outputs of the checkpoint's own head, but a head that --tune trains "
            "has label names. Leave out one of the two."
        )
    if options.layer == ALL:
        raise UsageError("--layer all draws the curve of an encoder as it is; leave out --tune.")
    if options.head is not None and tuning.fresh_head:
        raise UsageError(f"--head {options.head} and --fresh-head cannot be used together: give one of them.")
    if options.dtype == "float16":
        raise UsageError("--tune trains in float32 or bfloat16, not in float16: give --dtype float32, or leave it out.")
    if prepared.checkpoint.encoder_decoder:
        raise UsageError(
            f"{prepared.checkpoint.name} is a sequence-to-sequence model ({prepared.checkpoint.model_type}); only "
            "encoders are tuned."
        )
    if not tuning.seeds:
        raise UsageError("--seeds: name at least one seed.")
    if len(set(tuning.seeds)) != len(tuning.seeds):
        twice = next(seed for seed in tuning.seeds if tuning.seeds.count(seed) > 1)
        raise UsageError(f"--seeds: {twice} is given twice; every seed is one training.")
    for name in tuning.also:
        if name not in ALSO:
            raise unknown("checkpoint selection", name, ALSO)
    if tuning.average_last < 1:
        raise UsageError(f"--average-last is {tuning.average_last}: give 1 or more checkpoints.")
    if not tuning.languages or (ALL in tuning.languages and len(tuning.languages) > 1):
        raise UsageError("--tune-language: give codes with commas between (de,fr), or all.")
