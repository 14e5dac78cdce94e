"""The result file: one JSON per checkpoint x task x language x seed, and the folder (RUN) it lies in."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from xharness import files
from xharness.errors import DataError

SCHEMA_VERSION = 1


@dataclass(frozen=True, kw_only=True)
class Score:
    """The scores of one task in one language, with everything they depend on.

    Attributes:
        task: target name, as its folder is called (``xquad``).
        language: two-letter code.
        split: ``test`` or ``dev``.
        scores: metric -> value in percent (``{"f1": 80.1, "exact_match": 63.2}``).
        n: examples scored.
        expected_n: examples of the complete split; None where that is not known for sure.
        counts: things that happened on the way (``realigned``, ``missing``, ``ties``, ``cut`` ...).
        metric: the metric's name in the spec.
        model, model_sha, model_hash: the checkpoint; sha on the Hub, or hash of the local files. None when a
            folder of predictions was scored.
        data_hash: SHA-256 of the canonical examples.
        data_source, data_revision, data_status: where they came from, the Hub's sha (None for a folder), and
            ``complete``, ``sample``, ``stand-in`` or ``unknown``.
        spec_hash: hash of the task's YAML.
        settings: what the user overrode (label map, prefix, limit ...).
        layer, pooling: retrieval only; ``layer`` is the index into hidden_states that was used.
        encoding: retrieval only; how a text became a vector (layer, pooling, special tokens, centering ...).
        selection: what was chosen on other data, and how (``{"threshold": 1.06, "threshold_from": ...}``).
        candidates: retrieval among many: how many were searched, how many there should be, and their hash.
        dtype, device, batch_tokens, seed: how it was computed.
        selected_by: how checkpoint, layer or threshold was chosen: ``none``, ``english-dev``, ``target-dev``,
            ``other-dev`` (development data of another target), ``average`` or ``test``.
        predictions_sha256: hash of the prediction file that the scores were computed from.
        versions: package -> version.
        seconds, tokens: time and sub-words (padding not counted) of the forward passes and all around them.
        notes: sentences that must be shown with the number.
    """

    task: str
    language: str
    split: str
    scores: dict[str, float]
    n: int
    expected_n: int | None
    counts: dict[str, int] = field(default_factory=dict)
    metric: str
    model: str | None = None
    model_sha: str | None = None
    model_hash: str | None = None
    data_hash: str
    data_source: str
    data_revision: str | None
    data_status: str
    spec_hash: str
    settings: dict[str, Any] = field(default_factory=dict)
    layer: int | None = None
    pooling: str | None = None
    encoding: dict[str, Any] = field(default_factory=dict)
    selection: dict[str, Any] = field(default_factory=dict)
    candidates: dict[str, Any] = field(default_factory=dict)
    dtype: str | None = None
    device: str | None = None
    batch_tokens: int | None = None
    seed: int | None = None
    selected_by: str = "none"
    predictions_sha256: str
    versions: dict[str, str] = field(default_factory=dict)
    seconds: float | None = None
    tokens: int | None = None
    notes: tuple[str, ...] = ()
    schema_version: int = SCHEMA_VERSION

    @property
    def whole(self) -> bool:
        """Whether this language counts towards a benchmark's mean: the test split, all of it, the real data."""
        counted = self.expected_n is None or self.n == self.expected_n
        limited = self.settings.get("limit") is not None
        real = self.data_status not in ("sample", "stand-in")
        return self.split == "test" and counted and self.searched_all and not limited and real

    @property
    def searched_all(self) -> bool:
        """Whether all candidates were searched that there should be; fewer make the task easier.

        Where their number is not known for sure, data that is said to be complete is believed.
        """
        if not self.candidates:
            return True
        expected = self.candidates.get("expected_n")
        return self.data_status == "complete" if expected is None else expected == self.candidates.get("n")

    def changed(
        self, *, data_hash: str, spec_hash: str, predictions_sha256: str, candidates_hash: str | None = None
    ) -> list[str]:
        """Return in words which of the things that the scores were made from are others now."""
        pairs = {
            "other gold data": (self.data_hash, data_hash),
            "another task file": (self.spec_hash, spec_hash),
            "other predictions": (self.predictions_sha256, predictions_sha256),
            "other candidates": (self.candidates.get("hash"), candidates_hash),
        }
        return [what for what, (then, now) in pairs.items() if then != now]


def save(score: Score, path: Path) -> None:
    """Write a result file, whole or not at all."""
    files.write_json(path, asdict(score))


def load(path: Path) -> Score:
    """Read a result file.

    Raises:
        DataError: it is not a result file of this version.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content["schema_version"] != SCHEMA_VERSION:
            raise DataError(
                f"{path}: schema_version is {content['schema_version']}, this version reads {SCHEMA_VERSION}. "
                "Run eval again, or use the version that wrote it."
            )
        shapes = {"task": str, "language": str, "scores": dict, "n": int, "counts": dict, "settings": dict}
        for name, shape in shapes.items():
            if not isinstance(content[name], shape):
                raise TypeError(f"{name} is {content[name]!r}")
        if not all(isinstance(v, int | float) for v in content["scores"].values()):
            raise TypeError(f"scores are {content['scores']!r}")
        known = {f.name for f in fields(Score)}
        content["notes"] = tuple(content.get("notes", ()))
        return Score(**{k: v for k, v in content.items() if k in known})
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}.") from None
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise DataError(f"{path}: not a result file of xharness ({type(error).__name__}: {error}).") from None
