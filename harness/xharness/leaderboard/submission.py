"""submission.json: the record of a submission."""

from __future__ import annotations

import hashlib
import json
import re
import unicodedata
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import Field, model_validator

from xharness import strict_json
from xharness.errors import SubmissionError
from xharness.leaderboard.fields import (
    LARGEST_CONTENT,
    LARGEST_FILE,
    LARGEST_PACKAGE,
    LARGEST_RECORD,
    LARGEST_UNPACKED,
    LONGEST_TEXT,
    MOST_FILES,
    MOST_SEEDS,
    MOST_SETTINGS,
    MOST_VERSIONS,
    Count,
    Id,
    Language,
    Name,
    Note,
    Reason,
    Repo,
    Scores,
    Seed,
    SeedText,
    Sha1,
    Sha256,
    SpecHash,
    Task,
    Text,
    Url,
    User,
)
from xharness.strict_yaml import Strict
from xharness.text import is_printable

SCHEMA_VERSION = 1
SUBMISSIONS, CHECKS = "submissions", "checks"
"""Folders of the leaderboard's repository: submissions, and verdicts of the maintainers' automation."""
RECORD, WITHDRAWN, PREDICTIONS = "submission.json", "withdrawn.json", "predictions"
"""Names in the folder of a submission."""

_FILE = re.compile(
    r"predictions/seed(?P<seed>0|[1-9][0-9]{0,9})/(?P<task>[a-z0-9][a-z0-9_-]{0,39})"
    r"/test-(?P<language>[a-z]{2,3})\.(?P<ending>tsv|jsonl?)\.gz",
    re.ASCII,
)


class Model(Strict):
    """The model; the leaderboard never downloads it."""

    repo: Repo | None
    revision: Sha1 | None
    content: Sha256 | None
    """Content hash of a checkpoint in a local folder."""
    base: Text | None
    parameters: Count | None
    architecture: Literal["encoder", "decoder", "encoder-decoder"]
    paper: Url | None
    url: Url | None


class Track(Strict):
    """The kind of experiment; scores of different tracks are never ranked together."""

    phase: Literal["as is", "tuned", "prompted"]
    training: Literal["zero-shot", "translate-train", "native", "few-shot"]
    selected_by: Text


class Declarations(Strict):
    """Declarations of the submitter."""

    saw_test_data: Literal["no", "yes", "unknown"]
    translated_data: bool
    notes: Note


class PredictionFile(Strict):
    """Hash and size of a prediction file, compressed and uncompressed."""

    sha256: Sha256
    bytes: Annotated[int, Field(ge=1, le=LARGEST_FILE)]
    content_sha256: Sha256
    content_bytes: Annotated[int, Field(ge=0, le=LARGEST_CONTENT)]


class GoldData(Strict):
    """The gold data of one language of one target."""

    data_hash: Sha256
    spec_hash: SpecHash
    source: Text
    revision: Sha1 | None
    status: Literal["complete", "sample", "stand-in", "unknown"]
    n: Annotated[int, Field(ge=1, lt=2**31)]


class Submission(Strict):
    """The record of a submission, submission.json. Every field is required.

    Raises:
        ValidationError: a field is invalid, or two fields contradict each other.
    """

    schema_version: Annotated[int, Field(ge=SCHEMA_VERSION, le=SCHEMA_VERSION)]
    id: Id
    name: Name
    submitted_by: User
    source: Literal["xharness", "predictions"]
    model: Model
    track: Track
    declarations: Declarations
    seeds: Annotated[list[Seed], Field(min_length=1, max_length=MOST_SEEDS)]
    files: Annotated[dict[str, PredictionFile], Field(min_length=1, max_length=MOST_FILES)]
    scores: dict[SeedText, dict[Task, dict[Language, Scores]]]
    """Seed -> target -> language -> claimed scores, in percent."""
    data: dict[Task, dict[Language, GoldData]]
    settings: dict[str, Any]
    versions: Annotated[dict[Text, Text], Field(max_length=MOST_VERSIONS)]
    supersedes: Id | None

    @model_validator(mode="after")
    def _parts_agree(self) -> Self:
        problems = [*self._cell_problems(), *_settings_problems(self.settings)]
        if list(self.seeds) != sorted(set(self.seeds)):
            problems.append("seeds: give each seed once, in ascending order.")
        packed = sum(file.bytes for file in self.files.values())
        unpacked = sum(file.content_bytes for file in self.files.values())
        if packed > LARGEST_PACKAGE or unpacked > LARGEST_UNPACKED:
            problems.append(
                f"files: {packed:,} bytes, {unpacked:,} uncompressed; the limits are {LARGEST_PACKAGE:,} and "
                f"{LARGEST_UNPACKED:,}. Submit fewer seeds."
            )
        if self.model.repo is None and self.model.content is None and self.source == "xharness":
            problems.append("model: give the repository on the Hub with its commit, or the content hash of the folder.")
        if self.model.repo is not None and self.model.revision is None and self.source == "xharness":
            problems.append("model.revision: give the commit of the repository.")
        if problems:
            raise ValueError("\n".join(problems))
        return self

    def _cell_problems(self) -> Iterator[str]:
        """Yield invalid paths, and differences between the targets and languages of files, scores and data."""
        invalid = [path for path in self.files if not _FILE.fullmatch(path)]
        if invalid:
            yield (
                f"files: {len(invalid)} paths are not of the form predictions/seed<k>/<task>/"
                f"test-<language>.<tsv, json or jsonl>.gz, the first is {invalid[0]!r}."
            )
            return
        from_files = [cell_of(path) for path in self.files]
        if len(set(from_files)) != len(from_files):
            yield "files: two files have the same seed, target and language."
        claimed = {
            (int(seed), task, code)
            for seed, tasks in self.scores.items()
            for task, languages in tasks.items()
            for code in languages
        }
        if claimed != set(from_files):
            first = min(claimed ^ set(from_files))
            words = "a score but no file" if first in claimed else "a file but no score"
            yield f"scores: seed {first[0]}, {first[1]} in '{first[2]}' has {words}."
        if {int(seed) for seed in self.scores} != set(self.seeds):
            yield "scores: their seeds must be exactly those in 'seeds'."
        known = {(task, code) for task, languages in self.data.items() for code in languages}
        if known != {(task, code) for _, task, code in claimed}:
            yield "data: it must have the gold data of exactly the targets and languages with a score."

    @property
    def digest(self) -> str:
        """SHA-256 of the record without its id, as canonical JSON; submissions with the same digest are the same."""
        return digest_of(self.model_dump())

    @property
    def expected_id(self) -> str:
        """The id that follows from the content."""
        return id_of(self.name, self.digest)

    @property
    def track_label(self) -> str:
        """The track, such as ``encoder, tuned, zero-shot``."""
        return f"{self.model.architecture}, {self.track.phase}, {self.track.training}"

    def cut_training(self, task: str) -> list[str]:
        """Return how a target's training data was reduced, if it was: ``sample``, ``stand-in``.

        Settings are free-form, so values of an unexpected type are ignored.
        """
        value: Any = self.settings
        for name in ("of_targets", task, "data_status"):
            value = value.get(name) if isinstance(value, dict) else None
        statuses = value if isinstance(value, list) else [value]
        return sorted({status for status in ("sample", "stand-in") if status in statuses})

    @property
    def cells(self) -> list[tuple[str, str]]:
        """All (target, language) that have a score for any seed, sorted."""
        return sorted({(task, code) for _, task, code in map(cell_of, self.files)})


class Withdrawal(Strict):
    """withdrawn.json: the withdrawal of a submission, whose files stay visible."""

    reason: Reason


def cell_of(path: str) -> tuple[int, str, str]:
    """Return the (seed, target, language) of a key of ``Submission.files``."""
    match = _FILE.fullmatch(path)
    assert match is not None, "paths are checked when a submission is read"
    return int(match["seed"]), match["task"], match["language"]


def file_path(seed: int, task: str, language: str, ending: str) -> str:
    """Return the path of a prediction file in the folder of a submission; ``ending`` as in ``predictions.FORMATS``.

    >>> file_path(0, "xnli", "de", "tsv")
    'predictions/seed0/xnli/test-de.tsv.gz'
    """
    return f"{PREDICTIONS}/seed{seed}/{task}/test-{language}.{ending}.gz"


def slug(name: str) -> str:
    """Return the form of a name that ids begin with.

    >>> slug("XLM-R large (MNLI, 3 seeds)"), slug("多语")
    ('xlm-r-large-mnli-3-seeds', 'submission')
    """
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    return re.sub("[^a-z0-9]+", "-", plain).strip("-")[:40].rstrip("-") or "submission"


def digest_of(content: Mapping[str, Any]) -> str:
    """Return the digest of a record: ``Submission.model_dump()``, with or without its id."""
    rest = {name: value for name, value in content.items() if name != "id"}
    text = json.dumps(rest, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def id_of(name: str, digest: str) -> str:
    """Return the id of a submission."""
    return f"{slug(name)}-{digest[:12]}"


def as_bytes(record: Strict) -> bytes:
    """Return the file content of a record."""
    return (json.dumps(record.model_dump(), ensure_ascii=False, indent=1, allow_nan=False) + "\n").encode("utf-8")


_Record = TypeVar("_Record", bound=Strict)


def read_submission(content: bytes, where: str) -> Submission:
    """Parse the untrusted content of a submission.json.

    Raises:
        SubmissionError: it is too large, not JSON, or invalid; lists every wrong field. Whether the id matches the
            content (``expected_id``) is not checked.
    """
    return _read(Submission, content, where)


def read_withdrawal(content: bytes, where: str) -> Withdrawal:
    """Parse the untrusted content of a withdrawn.json; errors as in ``read_submission``."""
    return _read(Withdrawal, content, where)


def _read(record: type[_Record], content: bytes, where: str) -> _Record:
    if len(content) > LARGEST_RECORD:
        raise SubmissionError(f"{where}: {len(content):,} bytes; the limit is {LARGEST_RECORD:,}.")
    return strict_json.record(record, strict_json.parse(content, where), where)


def _settings_problems(settings: Mapping[str, Any]) -> Iterator[str]:
    """Yield problems of the settings, which may be any plain values up to a number."""
    level: list[Any] = [settings]
    count = 0
    while level:
        value = level.pop()
        level += [*value, *value.values()] if isinstance(value, dict) else value if isinstance(value, list) else []
        count += 1
        if isinstance(value, str) and (len(value) > LONGEST_TEXT or not is_printable(value)):
            yield (
                f"settings: a text has unprintable characters or more than {LONGEST_TEXT} characters ({value[:40]!r})."
            )
            return
    if count > MOST_SETTINGS:
        yield f"settings: {count} values; the limit is {MOST_SETTINGS}."
