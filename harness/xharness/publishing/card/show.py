"""Show the card of a model in the terminal."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xharness.checkpoints import zoo
from xharness.data import hub_layout
from xharness.errors import ModelError
from xharness.hub import read as hub_read
from xharness.hub.errors import NoSuchFile
from xharness.text import strip_controls

FILE = "README.md"
_MOST = 100_000


@dataclass(frozen=True)
class ReadCard:
    """The card of a model.

    Attributes:
        name: ``org/name``, or the path of a folder.
        sha: the commit on the Hub; None of a folder.
        head: its front matter.
        text: the whole card, without characters that a terminal would obey.
    """

    name: str
    sha: str | None
    head: dict[str, Any]
    text: str

    def to_json(self) -> dict[str, Any]:
        """Return name, commit and front matter for machines."""
        try:
            return {"name": self.name, "sha": self.sha, "metadata": _plain(self.head, iter(range(_MOST)))}
        except RecursionError:
            raise ModelError(f"{self.name}: the front matter of its card is nested without end.") from None


def read_card(name: str) -> ReadCard:
    """Return the card of a model.

    Args:
        name: a name of the zoo, ``org/name``, ``org/name@revision``, or a local folder.

    Raises:
        UsageError: it is none of these names.
        ModelError: there is no such repository, or it has no card.
    """
    folder = Path(name).expanduser()
    if folder.is_dir():
        path, sha = folder / FILE, None
        if not path.is_file():
            raise ModelError(
                f"{name}: there is no {FILE} in this folder. A checkpoint gets its card when it is published; "
                f"`xharness publish {name} ORG/NAME --card` shows it before that."
            )
    else:
        name, revision = zoo.locate(name)
        sha = hub_read.resolve(name, revision, "model", fresh=True)
        try:
            path = hub_read.download_file(name, sha, FILE, "model")
        except NoSuchFile:
            raise ModelError(f"{name}: this repository has no card ({FILE}) at {sha[:12]}.") from None
    try:
        text = strip_controls(path.read_text(encoding="utf-8", errors="replace"))
    except OSError as error:
        raise ModelError(f"{path}: cannot be read: {error.strerror}.") from None
    return ReadCard(name, sha, hub_layout.front_matter(text)[0], text)


def _plain(value: Any, left: Iterator[int]) -> Any:
    """Return what a front matter holds as JSON can hold it; in YAML, escapes bring control characters back.

    Args:
        value: of the front matter.
        left: ends after as many values as may be; a few aliases of YAML can stand for more than memory holds.
    """
    if next(left, None) is None:
        raise ModelError(f"The front matter of the card holds more than {_MOST:,} values.")
    if isinstance(value, dict):
        return {strip_controls(str(key)): _plain(inner, left) for key, inner in value.items()}
    if isinstance(value, list):
        return [_plain(inner, left) for inner in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    return value if value is None or isinstance(value, bool | int) else strip_controls(str(value))
