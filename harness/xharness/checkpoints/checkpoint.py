"""`Checkpoint`: what is known of a model before its weights are loaded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from xharness.checkpoints.heads import Head, kind_of


@dataclass(frozen=True)
class Checkpoint:
    """A model on the Hub at a resolved sha, or in a local folder.

    Attributes:
        name: what the user called it, without the revision (``org/xlmr-squad``, or a path).
        path: the local folder; None while only the Hub has it.
        sha: the commit on the Hub; None for a local folder.
        content_hash: SHA-256 over config, weights, tokenizer and code of a local folder; None on the Hub.
        revision: the revision the user asked for, None if none.
        model_type: ``xlm-roberta``, ``bert``, ...
        architectures: class names in config.json (``XLMRobertaForQuestionAnswering``).
        id2label: head label names in the order of the head's outputs; () where there is no such head.
        layers: number of encoder layers; None where the config does not say.
        files: names of the files at the root.
        encoder_decoder: the model is a sequence-to-sequence one (mT5), which has no plain encoder to load.
        remote_code: the config asks for Python code from the repository (``auto_map``).
        notes: things a user should know (a modules.json that is ignored, ...).
        heads: heads by name, where its xharness.json names some: those in files of their own, and the root's own.
        phase: ``intermediate`` or ``target`` where its xharness.json says so.
        trained_on: the training sets that its xharness.json names.
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
        """The sha on the Hub, or the hash of the local files: what results are kept under."""
        identity = self.sha or self.content_hash
        assert identity is not None, "a checkpoint has a sha or a content hash"
        return identity

    @property
    def folder_name(self) -> str:
        """A name for folders: ``org__xlmr-squad``, or the last part of a local path."""
        return self.path.resolve().name if self.sha is None and self.path else self.name.replace("/", "__")

    @property
    def head(self) -> str | None:
        """The kind of problem that the checkpoint's own head is for, None for a bare or masked-LM encoder."""
        return next((kind for name in self.architectures if (kind := kind_of(name)) is not None), None)

    @property
    def head_name(self) -> str | None:
        """The name of the checkpoint's own head, where its xharness.json gives it one."""
        return next((head.name for head in self.heads.values() if head.file is None), None)
