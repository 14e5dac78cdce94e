"""submission.json: the record of a submission, its fields and limits."""

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
"""Folders of the board's repository: what is submitted, and what its maintainers' automation found."""
RECORD, WITHDRAWN, PREDICTIONS = "submission.json", "withdrawn.json", "predictions"
"""Names within the folder of a submission."""

_FILE = re.compile(
    r"predictions/seed(?P<seed>0|[1-9][0-9]{0,9})/(?P<task>[a-z0-9][a-z0-9_-]{0,39})"
    r"/test-(?P<language>[a-z]{2,3})\.(?P<ending>tsv|jsonl?)\.gz",
    re.ASCII,
)


class Model(Strict):
    """Which model it is; nothing of it is downloaded by the board."""

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
    """What kind of experiment it is: scores of different tracks are never ranked together."""

    phase: Literal["as is", "tuned", "prompted"]
    training: Literal["zero-shot", "translate-train", "native", "few-shot"]
    selected_by: Text


class Declarations(Strict):
    """What only its authors can know."""

    saw_test_data: Literal["no", "yes", "unknown"]
    translated_data: bool
    notes: Note


class PredictionFile(Strict):
    """A prediction file as it lies in the package, and what comes out when it is unpacked."""

    sha256: Sha256
    bytes: Annotated[int, Field(ge=1, le=LARGEST_FILE)]
    content_sha256: Sha256
    content_bytes: Annotated[int, Field(ge=0, le=LARGEST_CONTENT)]


class GoldData(Strict):
    """The gold data that a cell was scored with."""

    data_hash: Sha256
    spec_hash: SpecHash
    source: Text
    revision: Sha1 | None
    status: Literal["complete", "sample", "stand-in", "unknown"]
    n: Annotated[int, Field(ge=1, lt=2**31)]


class Submission(Strict):
    """The record of a submission, submission.json. Every field has to be there.

    Raises:
        ValidationError: a field does not fit, or two of them do not fit one another.
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
    """Seed -> target -> language -> scores, in percent, as they are claimed."""
    data: dict[Task, dict[Language, GoldData]]
    settings: dict[str, Any]
    versions: Annotated[dict[Text, Text], Field(max_length=MOST_VERSIONS)]
    supersedes: Id | None

    @model_validator(mode="after")
    def _parts_agree(self) -> Self:
        problems = [*self._cell_problems(), *_settings_problems(self.settings)]
        if list(self.seeds) != sorted(set(self.seeds)):
            problems.append("seeds: each has to stand there once, in ascending order.")
        packed = sum(file.bytes for file in self.files.values())
        unpacked = sum(file.content_bytes for file in self.files.values())
        if packed > LARGEST_PACKAGE or unpacked > LARGEST_UNPACKED:
            problems.append(
                f"files: {packed:,} bytes, {unpacked:,} unpacked; at most {LARGEST_PACKAGE:,} and {LARGEST_UNPACKED:,} "
                "may be sent. Submit fewer seeds."
            )
        if self.model.repo is None and self.model.content is None and self.source == "xharness":
            problems.append("model: give the repository on the Hub with its commit, or the content hash of the folder.")
        if self.model.repo is not None and self.model.revision is None and self.source == "xharness":
            problems.append("model.revision: the commit of the repository has to be given.")
        if problems:
            raise ValueError("\n".join(problems))
        return self

    def _cell_problems(self) -> Iterator[str]:
        """Yield what is wrong with the paths, and where files, scores and data are not of the same cells."""
        strange = [path for path in self.files if not _FILE.fullmatch(path)]
        if strange:
            yield (
                f"files: {len(strange)} paths are none of a prediction file (predictions/seed<k>/<task>/"
                f"test-<language>.<tsv, json or jsonl>.gz), {strange[0]!r} the first."
            )
            return
        filed = [cell_of(path) for path in self.files]
        if len(set(filed)) != len(filed):
            yield "files: two files are of the same seed, target and language."
        claimed = {
            (int(seed), task, code)
            for seed, tasks in self.scores.items()
            for task, languages in tasks.items()
            for code in languages
        }
        if claimed != set(filed):
            some = min(claimed ^ set(filed))
            words = "a score and no file" if some in claimed else "a file and no score"
            yield f"scores: of seed {some[0]}, {some[1]} in '{some[2]}', there is {words}."
        if {int(seed) for seed in self.scores} != set(self.seeds):
            yield "scores: they have to be of the seeds that 'seeds' names, and of no others."
        known = {(task, code) for task, languages in self.data.items() for code in languages}
        if known != {(task, code) for _, task, code in claimed}:
            yield "data: it has to name the gold data of every target and language with a score, and of no others."

    @property
    def digest(self) -> str:
        """SHA-256 of all but the id, as canonical JSON: two submissions with one digest are the same."""
        return digest_of(self.model_dump())

    @property
    def right_id(self) -> str:
        """The id that its content gives it."""
        return id_of(self.name, self.digest)

    @property
    def group(self) -> str:
        """The board's track of it: ``encoder, tuned, zero-shot``."""
        return f"{self.model.architecture}, {self.track.phase}, {self.track.training}"

    def cut_training(self, task: str) -> list[str]:
        """Return what the record says of a target's training data where it was not whole: ``sample``, ``stand-in``.

        Settings are whatever a submitter wrote, so anything of another shape says nothing.
        """
        value: Any = self.settings
        for name in ("of_targets", task, "data_status"):
            value = value.get(name) if isinstance(value, dict) else None
        values = value if isinstance(value, list) else [value]
        return sorted({status for status in ("sample", "stand-in") if status in values})

    @property
    def cells(self) -> list[tuple[str, str]]:
        """All (target, language) that have a score under any seed, sorted."""
        return sorted({(task, code) for _, task, code in map(cell_of, self.files)})


class Withdrawal(Strict):
    """The record that takes a submission from the board, withdrawn.json; what was submitted stays to be seen."""

    reason: Reason


def cell_of(path: str) -> tuple[int, str, str]:
    """Return the (seed, target, language) of a key of ``Submission.files``."""
    match = _FILE.fullmatch(path)
    assert match is not None, "paths are checked when a submission is read"
    return int(match["seed"]), match["task"], match["language"]


def file_path(seed: int, task: str, language: str, ending: str) -> str:
    """Return where a prediction file lies in the folder of a submission; ``ending`` as in ``predictions.FORMATS``.

    >>> file_path(0, "xnli", "de", "tsv")
    'predictions/seed0/xnli/test-de.tsv.gz'
    """
    return f"{PREDICTIONS}/seed{seed}/{task}/test-{language}.{ending}.gz"


def slug(name: str) -> str:
    """Return a name as ids begin with it.

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
    """Return a record as its file holds it."""
    return (json.dumps(record.model_dump(), ensure_ascii=False, indent=1, allow_nan=False) + "\n").encode("utf-8")


_Record = TypeVar("_Record", bound=Strict)


def read_submission(content: bytes, where: str) -> Submission:
    """Return the record in the bytes of a submission.json, whoever wrote them.

    Raises:
        SubmissionError: it is too large, no JSON, or not such a record; says every field that is wrong. Whether the id
            is that of the content (``right_id``) is not looked at.
    """
    return _read(Submission, content, where)


def read_withdrawal(content: bytes, where: str) -> Withdrawal:
    """Return the record in the bytes of a withdrawn.json; errors as ``read_submission``."""
    return _read(Withdrawal, content, where)


def _read(record: type[_Record], content: bytes, where: str) -> _Record:
    if len(content) > LARGEST_RECORD:
        raise SubmissionError(f"{where}: {len(content):,} bytes; at most {LARGEST_RECORD:,} are read.")
    return strict_json.record(record, strict_json.parse(content, where), where)


def _settings_problems(settings: Mapping[str, Any]) -> Iterator[str]:
    """Yield what is wrong with settings, which are any plain values in a small number."""
    level: list[Any] = [settings]
    count = 0
    while level:
        value = level.pop()
        level += [*value, *value.values()] if isinstance(value, dict) else value if isinstance(value, list) else []
        count += 1
        if isinstance(value, str) and (len(value) > LONGEST_TEXT or not is_printable(value)):
            yield (
                f"settings: a text that cannot be shown, or of more than {LONGEST_TEXT} characters, stands there "
                f"({value[:40]!r})."
            )
            return
    if count > MOST_SETTINGS:
        yield f"settings: {count} values; at most {MOST_SETTINGS} may stand there."
