"""Keep the model of the current head and dtype loaded."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch

from xharness.checkpoints import resolve
from xharness.checkpoints.checkpoint import Checkpoint
from xharness.checkpoints.heads import Head
from xharness.evaluation.prepare import Prepared
from xharness.models import devices
from xharness.models import loading as models_loading
from xharness.models.kinds import KINDS
from xharness.models.loading import LoadedModel
from xharness.tasks.task_spec import TaskSpec


class ModelCache:
    """Keeps one loaded model; loading another head or dtype replaces it.

    Args:
        checkpoint: the checkpoint's metadata.
        path: folder of its files.
        device: device to load it to.
        dtype: the default dtype of the run.
        trust: allow Python code in the checkpoint's folder to run.
        heads: target -> head chosen by the plan, if the checkpoint's heads have names.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        path: Path,
        device: torch.device,
        dtype: str,
        trust: bool,
        heads: Mapping[str, Head] | None = None,
    ) -> None:
        self.device = device
        self.dtype = dtype
        self._checkpoint, self._path, self._trust = checkpoint, path, trust
        self._heads = heads or {}
        self._loaded: tuple[tuple[str, str, bool, str | None], LoadedModel] | None = None

    def encoder(self, spec: TaskSpec, dtype: str) -> LoadedModel:
        """Return the loaded checkpoint with the head that a target needs, in the given dtype."""
        kind = KINDS[spec.kind]
        pooler = kind.decode is None and spec.input.pooling == "pooler"
        head = self._heads.get(spec.name)
        key = (kind.auto_class, dtype, pooler, head.name if head is not None else None)
        if self._loaded is None or self._loaded[0] != key:
            self._loaded = None  # free the old model before the new one is loaded
            encoder = models_loading.load(
                self._path,
                kind,
                name=self._checkpoint.name,
                device=self.device,
                dtype=dtype,
                pooling="pooler" if pooler else None,
                head=head,
                trust_remote_code=self._trust,
            )
            self._loaded = (key, encoder)
        return self._loaded[1]


def open_model_cache(prepared: Prepared) -> ModelCache:
    """Return the model cache of a run: choose device and dtype, and download the checkpoint's files if needed."""
    options = prepared.options
    device = devices.choose_device(options.device)
    torch.manual_seed(options.seed)
    path = resolve.download(prepared.checkpoint, trust_remote_code=options.trust_remote_code)
    dtype = devices.choose_dtype(options.dtype, device)
    named_heads = prepared.checkpoint.heads
    heads = {step.task: named_heads[step.head] for step in prepared.steps if step.head is not None}
    return ModelCache(prepared.checkpoint, path, device, dtype, options.trust_remote_code, heads)
