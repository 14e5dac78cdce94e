"""Evaluation options; resolve the checkpoint and check the data before anything runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from xharness.checkpoints import resolve
from xharness.checkpoints.checkpoint import Checkpoint
from xharness.data import loading as data_loading
from xharness.data.loading import data_folder
from xharness.errors import DataError, UsageError, XharnessError
from xharness.evaluation.plan import Step, make_plan
from xharness.tasks.selection import Selection, choose_languages, select
from xharness.tasks.source_spec import Split
from xharness.tasks.task_spec import TaskSpec


@dataclass(frozen=True)
class Options:
    """The user's options of a run; all options that scores depend on are part of the run folder's name."""

    device: str = "auto"
    dtype: str = "auto"
    batch_tokens: int | None = None
    layer: int | str | None = None
    pooling: str | None = None
    prefix: str | None = None
    special_tokens: bool | None = None
    center: str | None = None
    whiten: bool | None = None
    label_map: Mapping[str, str] = field(default_factory=dict)
    head: str | None = None
    split: Split = "test"
    limit: int | None = None
    seed: int = 0
    trust_remote_code: bool = False
    tune: Mapping[str, Any] | None = None
    """Settings that distinguish runs of tuned checkpoints; None: the checkpoint is scored as it is."""

    def settings(self, dtype: str) -> dict[str, Any]:
        """Return the settings that distinguish runs of one checkpoint."""
        # Only if they are given, so that runs of earlier versions keep their folder names.
        given: dict[str, Any] = {
            "special_tokens": self.special_tokens,
            "center": self.center,
            "whiten": self.whiten,
            "head": self.head,
            "tune": None if self.tune is None else dict(self.tune),
        }
        return {
            "dtype": dtype,
            "layer": self.layer,
            "pooling": self.pooling,
            "prefix": self.prefix,
            **{name: value for name, value in given.items() if value is not None},
            "label_map": dict(self.label_map),
            "split": self.split,
            "limit": self.limit,
        }


@dataclass(frozen=True)
class Prepared:
    """The resolved checkpoint and the plan, before anything runs."""

    checkpoint: Checkpoint
    steps: list[Step]
    selection: Selection
    named_languages: bool
    """Whether the user named languages: a named language without data in any target is a failure, not only left out."""
    data_dir: Path | None
    options: Options

    def missing_languages(self, steps: Sequence[Step]) -> list[XharnessError]:
        """Return an error for each language that the user named and none of these steps has data for."""
        if not self.named_languages:
            return []
        scored = {code for step in steps for code in step.languages}
        return [DataError(why) for step in steps for code, why in step.left_out.items() if code not in scored]


def prepare(
    model: str,
    *,
    targets: Sequence[str],
    languages: Sequence[str] | None = None,
    data_dir: str | Path | None = None,
    options: Options | None = None,
) -> Prepared:
    """Resolve the checkpoint and make the plan; nothing is loaded or computed.

    Raises:
        UsageError, ModelError: an unknown name, or a checkpoint that cannot be read.
    """
    options = options or Options()
    _check(options)
    selection = select(targets)
    wanted = choose_languages(selection, languages)
    folder = data_folder(data_dir)
    if folder is not None and not folder.is_dir():
        raise DataError(f"There is no data folder '{folder}' (--data-dir or XHARNESS_DATA_DIR).")
    checkpoint = resolve.read_checkpoint(model, trust_remote_code=options.trust_remote_code)
    unavailable = {
        (spec.name, code): reason
        for spec in selection.specs
        if spec.split_name(options.split) is not None
        for code in wanted[spec.name]
        if (reason := _unavailable(spec, code, options.split, folder)) is not None
    }
    steps = make_plan(
        selection,
        checkpoint,
        wanted,
        unavailable,
        split=options.split,
        limit=options.limit,
        label_map=options.label_map,
        head=options.head,
    )
    return Prepared(checkpoint, steps, selection, languages is not None, folder, options)


def _unavailable(spec: TaskSpec, language: str, split: Split, folder: Path | None) -> str | None:
    """Return why a language cannot be scored; mining also needs development data to tune its threshold."""
    reason = data_loading.available(spec, language, split, folder)
    if reason is None and spec.kind == "mining" and split == "test":
        reason = data_loading.available(spec, language, "dev", folder)
    return reason


def _check(options: Options) -> None:
    if options.limit is not None and options.limit < 1:
        raise UsageError(f"--limit is {options.limit}: give a number of examples, 1 or more.")
    if options.batch_tokens is not None and options.batch_tokens < 1:
        raise UsageError(f"--batch-tokens is {options.batch_tokens}: give a number of tokens, 1 or more, or auto.")
    if not 0 <= options.seed < 2**63:
        raise UsageError(f"--seed is {options.seed}: give a number from 0 to 2**63 - 1.")
    if isinstance(options.layer, str) and options.layer not in ("last", "dev", "all"):
        raise UsageError(f"--layer is '{options.layer}': give an index into hidden_states, 'last', 'dev' or 'all'.")
    if options.center not in (None, "none", "language"):
        raise UsageError(f"--center is '{options.center}': give 'none' or 'language'.")
