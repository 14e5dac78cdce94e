"""`Checkpoint`: what is known about a model before its weights are loaded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from xharness.checkpoints.heads import Head, kind_of


@dataclass(frozen=True)
class Checkpoint:
    """A model on the Hub at a resolved sha, or in a local folder.

    Attributes:
        name: name that the user gave, without the revision (``org/xlmr-squad``, or a path).
        path: local folder; None for a repository on the Hub.
        sha: commit on the Hub; None for a local folder.
        content_hash: SHA-256 over config, weights, tokenizer and code of a local folder; None on the Hub.
        revision: revision that the user gave; None if none.
        model_type: ``xlm-roberta``, ``bert``, ...
        architectures: class names in config.json (``XLMRobertaForQuestionAnswering``).
        id2label: label names in the order of the head's outputs; () without such a head.
        layers: number of encoder layers; None if the config does not say.
        files: names of the files at the root.
        encoder_decoder: whether it is a sequence-to-sequence model (mT5), which has no separate encoder to load.
        remote_code: whether the config refers to Python code in the repository (``auto_map``).
        notes: messages for the user (a modules.json that is ignored, ...).
        heads: heads by name, from its xharness.json: those in files of their own, and the one in the root weights.
        phase: ``intermediate`` or ``target``, from its xharness.json; None without it.
        trained_on: training sets, from its xharness.json.
    """

    name: str
    path: Path | None
    sha: str | None
    content_hash: str | None
    revision: str | None
    model_type: str
    architectures: tuple[str, ...]
    id2label: tuple[str, ...]
    layers: int | None
    files: tuple[str, ...]
    encoder_decoder: bool = False
    remote_code: bool = False
    notes: tuple[str, ...] = ()
    heads: Mapping[str, Head] = field(default_factory=dict)
    phase: str | None = None
    trained_on: tuple[str, ...] = ()

    @property
    def id(self) -> str:
        """Sha on the Hub, or hash of the local files; results are stored under it."""
        identity = self.sha or self.content_hash
        assert identity is not None, "a checkpoint has a sha or a content hash"
        return identity

    @property
    def folder_name(self) -> str:
        """Name for folders: ``org__xlmr-squad``, or the last part of a local path."""
        return self.path.resolve().name if self.sha is None and self.path else self.name.replace("/", "__")

    @property
    def head(self) -> str | None:
        """Task kind of the head in the root weights; None for a bare or masked-LM encoder."""
        return next((kind for name in self.architectures if (kind := kind_of(name)) is not None), None)

    @property
    def head_name(self) -> str | None:
        """Name of the head in the root weights, from its xharness.json; None without one."""
        return next((head.name for head in self.heads.values() if head.file is None), None)
