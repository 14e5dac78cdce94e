"""verdict.json: the result of a check."""

from __future__ import annotations

import json
from typing import Annotated, Any, Final, Literal

from pydantic import Field

from xharness import strict_json
from xharness.errors import SubmissionError
from xharness.strict_yaml import Strict

SCHEMA_VERSION: Final = 1
ACCEPTED: Final = "accepted"
REFUSED: Final = "refused"
VERDICT_FILE: Final = "verdict.json"
REPLICATES_FILE: Final = "replicates.bin"
"""Names in the folder of a check."""
LARGEST = 64 << 20
"""Most bytes of a verdict; twenty seeds of every target need about ten million."""

Finite = Annotated[float, Field(allow_inf_nan=False)]
Count = Annotated[int, Field(ge=0)]


class CheckedScore(Strict):
    """Scores of one language of one target, computed by the check.

    Attributes:
        scores: name -> percent.
        n: number of scored examples; ``expected_n`` of the complete split, None if not known for sure.
        data_hash, data_status, spec_hash: the gold data.
        data_source, data_revision: source of the gold data as in a result file: the data set on the Hub or the
            published file, never a local folder; the commit on the Hub, None for a folder.
        intervals: name -> both ends of the 95 % interval over examples.
        whole: whether the language counts towards a benchmark's mean (``results.score.Score.whole``).
        candidates: of retrieval: ``n``, ``expected_n`` and ``hash`` of the searched candidates, as in a result file.
        counts: counts of events such as ``missing`` answers.
        cut_training: how the training data was reduced, as in ``Submission.cut_training``.
    """

    scores: dict[str, Finite]
    n: Count
    expected_n: Count | None
    data_hash: str
    data_status: str
    data_source: str
    data_revision: str | None
    spec_hash: str
    intervals: dict[str, Annotated[list[Finite], Field(min_length=2, max_length=2)]]
    whole: bool
    candidates: dict[str, Any] = Field(default_factory=dict)
    counts: dict[str, int] = Field(default_factory=dict)
    cut_training: list[str] = Field(default_factory=list)


class ReplicateIndex(Strict):
    """Describes ``replicates.bin``: the order of its cells, its checksum and the method of resampling."""

    draw: Annotated[str, Field(max_length=100)]
    """``metrics.paired.DRAW``; replicates of another method cannot be compared."""
    file: Literal["replicates.bin"]
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    resamples: Annotated[int, Field(ge=1, le=10_000)]
    cells: list[Annotated[list[str], Field(min_length=2, max_length=2)]]
    """[target, language]."""


class Verdict(Strict):
    """Accepted or refused, the reasons, and the recomputed scores (seed -> target -> language)."""

    schema_version: Literal[1]
    id: str
    digest: str
    """Digest of the submission; '' if it could not be read."""
    verdict: Literal["accepted", "refused"]
    problems: list[str]
    warnings: list[str]
    scores: dict[str, dict[str, dict[str, CheckedScore]]] = Field(default_factory=dict)
    replicates: ReplicateIndex | None = None
    versions: dict[str, str] = Field(default_factory=dict)

    @property
    def accepted(self) -> bool:
        """Whether the submission was accepted."""
        return self.verdict == ACCEPTED

    def to_json(self) -> dict[str, Any]:
        """Return the content of ``verdict.json``."""
        return self.model_dump()

    def to_bytes(self) -> bytes:
        """Return the bytes of ``verdict.json``; the same verdict always gives the same bytes."""
        return (json.dumps(self.to_json(), ensure_ascii=False, indent=1, allow_nan=False) + "\n").encode("utf-8")


def parse(content: bytes, where: str) -> Verdict:
    """Parse the content of a verdict.json.

    Raises:
        SubmissionError: it is too large, not JSON, or invalid; lists every wrong field.
    """
    if len(content) > LARGEST:
        raise SubmissionError(f"{where}: {len(content):,} bytes; the limit is {LARGEST:,}.")
    return strict_json.record(Verdict, strict_json.parse(content, where), where)
