"""`Score`: the scores of one task in one language with full provenance; result files."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import MISSING, asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from xharness import files
from xharness.errors import DataError
from xharness.strict_json import (
    LIMIT,
    NULL,
    OBJECT,
    TEXT,
    TEXT_LIST,
    TEXTS,
    WHOLE,
    Rule,
    is_integer,
    is_number,
    is_text,
    mapping_of,
    problems,
    show_value,
)

SCHEMA_VERSION = 1
AS_IS, TUNED = "as is", "tuned"
ZERO_SHOT, TRANSLATE_TRAIN, NATIVE, FEW_SHOT = "zero-shot", "translate-train", "native", "few-shot"
TRACKS = (ZERO_SHOT, TRANSLATE_TRAIN, NATIVE, FEW_SHOT)
"""Training data of a target's head: English only; machine translations; data in the language itself; or a few
examples. Scores of different tracks are different experiments: they are never averaged or ranked together."""
ON_TEST = "test"
"""Value of ``selected_by`` where the checkpoint was selected on the data that is scored."""


@dataclass(frozen=True, kw_only=True)
class Score:
    """The scores of one task in one language, with everything they depend on.

    Attributes:
        task: target name, also the name of its folder (``xquad``).
        language: two-letter code.
        split: ``test`` or ``dev``.
        scores: metric -> value in percent (``{"f1": 80.1, "exact_match": 63.2}``).
        intervals: metric -> [low, high] of its 95 % confidence interval over examples, in percent; metrics without a
            known interval are left out. Variation between trainings is not included: for that there are seeds.
        n: examples scored.
        expected_n: examples of the complete split; None where that is not known for sure.
        counts: counted events (``realigned``, ``missing``, ``ties``, ``cut`` ...).
        metric: the metric's name in the spec.
        model, model_sha, model_hash: the checkpoint; sha on the Hub, or hash of the local files. None when a
            folder of predictions was scored.
        data_hash: SHA-256 of the canonical examples.
        data_source, data_revision, data_status: source of the examples, the sha on the Hub (None for a data folder),
            and ``complete``, ``sample``, ``stand-in`` or ``unknown``.
        spec_hash: hash of the task's YAML.
        settings: the user's overrides (label map, prefix, limit ...).
        layer, pooling: retrieval only; ``layer`` is the index into hidden_states that was used.
        encoding: retrieval only; how texts were embedded (layer, pooling, special tokens, centering ...).
        selection: what was chosen on other data, and how (``{"threshold": 1.06, "threshold_from": ...}``).
        candidates: mining and ranking: number of candidates searched, number expected, and their hash.
        dtype, device, batch_tokens, seed: how it was computed.
        selected_by: how checkpoint, layer or threshold was selected: ``none``, ``english-dev``, ``target-dev``,
            ``other-dev`` (development data of another target), ``last`` (the last checkpoint of a training run),
            ``average`` (of its last checkpoints), or ``test``: on the data that is scored.
        phase: ``as is``: with the checkpoint's own head, or its encoder only; ``tuned``: with a head and an encoder
            that ``eval --tune`` trained for the target.
        track: tuned only: training data, ``zero-shot``, ``translate-train``, ``native`` or ``few-shot``.
        tuned: tuned only: the tuned checkpoint (``id``, its content hash), its place in the cache
            (``training_set``, ``key``, ``seed``), and its training (recipe, languages, hashes, step, status).
        predictions_sha256: hash of the scored prediction file.
        versions: package -> version.
        seconds, tokens: time and tokens (padding not counted) of the forward passes and all around them.
        notes: sentences that must be shown with the score.
    """

    task: str
    language: str
    split: str
    scores: dict[str, float]
    intervals: dict[str, list[float]] = field(default_factory=dict)
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
    phase: str = AS_IS
    track: str | None = None
    tuned: dict[str, Any] = field(default_factory=dict)
    predictions_sha256: str
    versions: dict[str, str] = field(default_factory=dict)
    seconds: float | None = None
    tokens: int | None = None
    notes: tuple[str, ...] = ()
    schema_version: int = SCHEMA_VERSION

    @property
    def complete(self) -> bool:
        """Whether this language counts towards a benchmark's mean: the complete test split of the real data."""
        counted = self.expected_n is None or self.n == self.expected_n
        limited = self.settings.get("limit") is not None
        real = self.data_status not in ("sample", "stand-in")
        fair = self.selected_by != ON_TEST
        return self.split == "test" and counted and self.searched_all and not limited and real and fair

    @property
    def searched_all(self) -> bool:
        """Whether all expected candidates were searched; fewer candidates make the task easier.

        If their number is not known for sure, the data must be marked as complete.
        """
        if not self.candidates:
            return True
        expected = self.candidates.get("expected_n")
        return self.data_status == "complete" if expected is None else expected == self.candidates.get("n")

    def changed(
        self, *, data_hash: str, spec_hash: str, predictions_sha256: str, candidates_hash: str | None = None
    ) -> list[str]:
        """Return, in words, which inputs of the scores have changed."""
        pairs = {
            "other gold data": (self.data_hash, data_hash),
            "another task file": (self.spec_hash, spec_hash),
            "other predictions": (self.predictions_sha256, predictions_sha256),
            "other candidates": (self.candidates.get("hash"), candidates_hash),
        }
        return [what for what, (then, now) in pairs.items() if then != now]


def save(score: Score, path: Path) -> None:
    """Write a result file atomically."""
    files.write_json(path, asdict(score))


def load(path: Path) -> Score:
    """Read a result file.

    Raises:
        DataError: it is not a result file of this version, or a field has an invalid value.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}.") from None
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: not a result file of xharness ({type(error).__name__}: {error}). {_AGAIN}") from None
    if not isinstance(content, dict) or "schema_version" not in content:
        raise DataError(f"{path}: not a result file of xharness (it has no schema_version). {_AGAIN}")
    if content["schema_version"] != SCHEMA_VERSION:
        raise DataError(
            f"{path}: schema_version is {show_value(content['schema_version'])}, this version reads {SCHEMA_VERSION}. "
            "Run eval again, or use the version that wrote it."
        )
    wrong = next(_problems(content), None)
    if wrong is not None:
        raise DataError(f"{path}: not a result file of xharness: {wrong}. {_AGAIN}")
    known = {k: v for k, v in content.items() if k in _FIELDS}
    return Score(**known | {"notes": tuple(known.get("notes", ()))})


_AGAIN = "Run eval again: only what changed is computed."


SPLIT = Rule('"test" or "dev"', lambda v: v in ("test", "dev"))


def _one_of(*words: str) -> Rule:
    return Rule(" or ".join(f'"{word}"' for word in words), lambda v: isinstance(v, str) and v in words)


TRACK = _one_of(*TRACKS)
_COUNT = Rule("a whole number from 0", lambda v: is_integer(v) and v >= 0)
_NUMBER = Rule("a finite number", is_number)
_ENDS = Rule("", lambda v: isinstance(v, list) and len(v) == 2 and all(map(is_number, v)) and v[0] <= v[1])
_LANGUAGE = Rule("a code of two or three letters", lambda v: is_text(v) and bool(re.fullmatch("[a-z]{2,3}", v)))

# Field -> rule; ``_INNER`` has the rules of the inner fields that other modules read.
_FIELDS: dict[str, Rule] = {
    "task": TEXT,
    "language": _LANGUAGE,
    "split": SPLIT,
    "scores": Rule("an object of finite numbers", lambda v: bool(v) and mapping_of("", _NUMBER).fits(v)),
    "intervals": mapping_of("an object of pairs of finite numbers, the lower first", _ENDS),
    "n": _COUNT,
    "expected_n": _COUNT | NULL,
    "counts": mapping_of("an object of whole numbers", WHOLE),
    "metric": TEXT,
    "model": TEXT | NULL,
    "model_sha": TEXT | NULL,
    "model_hash": TEXT | NULL,
    "data_hash": TEXT,
    "data_source": TEXT,
    "data_revision": TEXT | NULL,
    "data_status": TEXT,
    "spec_hash": TEXT,
    "settings": OBJECT,
    "layer": WHOLE | NULL,
    "pooling": TEXT | NULL,
    "encoding": OBJECT,
    "selection": OBJECT,
    "candidates": OBJECT,
    "dtype": TEXT | NULL,
    "device": TEXT | NULL,
    "batch_tokens": WHOLE | NULL,
    "seed": WHOLE | NULL,
    "selected_by": TEXT,
    "phase": _one_of(AS_IS, TUNED),
    "track": TRACK | NULL,
    "tuned": OBJECT,
    "predictions_sha256": TEXT,
    "versions": TEXTS,
    "seconds": _NUMBER | NULL,
    "tokens": WHOLE | NULL,
    "notes": TEXT_LIST,
    "schema_version": WHOLE,
}
_INNER: dict[str, dict[str, Rule]] = {
    "settings": {"limit": LIMIT | NULL, "tune": OBJECT},
    "tuned": {
        "id": TEXT,
        "training_set": TEXT,
        "key": TEXT,
        "seed": WHOLE,
        "languages": TEXT_LIST,
        "data_status": TEXT_LIST,
        "of": Rule("a list of whole numbers", lambda v: isinstance(v, list) and all(map(is_integer, v))),
        "recipe": TEXT,
        "step": WHOLE | TEXT,
        "status": _one_of("complete", "collapsed"),
        "spec_hash": TEXT,
        "data_hash": TEXT,
        "n": _COUNT,
    },
    "selection": {
        "threshold": _NUMBER,
        "threshold_from": TEXT,
        "dev_f1": _NUMBER | NULL,
        "dev_n": _COUNT | NULL,
        "dev_expected_n": _COUNT | NULL,
    },
    "candidates": {"n": _COUNT, "expected_n": _COUNT | NULL, "hash": TEXT | NULL},
}
TUNE: dict[str, Rule] = {
    "track": TRACK,
    "selected_by": TEXT,
    "languages": TEXT_LIST,
    "shots": LIMIT | NULL,
    "train_n": LIMIT | NULL,
}
"""Rules of ``settings.tune`` in the run.json of tuned checkpoints."""
_NEEDED = [f.name for f in fields(Score) if f.default is MISSING and f.default_factory is MISSING]


def _problems(content: dict[str, Any]) -> Iterator[str]:
    """Yield the problems of a result file's fields, as sentences without a full stop."""
    for name in _NEEDED:
        if name not in content:
            yield f"it has no field '{name}'"
    yield from problems(content, _FIELDS)
    for name, rules in _INNER.items():
        yield from problems(content.get(name, {}), rules, f"{name}.")
    if content.get("phase", AS_IS) == TUNED:
        missing = [name for name in ("id", "training_set", "seed") if name not in content.get("tuned", {})]
        if missing:
            yield f"tuned has no field '{missing[0]}'"
        if content.get("track") is None:
            yield f'track is null, expected {TRACK.words} where phase is "{TUNED}"'
    if content.get("candidates") and "n" not in content["candidates"]:
        yield f"candidates has no field 'n', expected {_COUNT.words}"
