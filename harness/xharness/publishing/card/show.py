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
_MAX_VALUES = 100_000


@dataclass(frozen=True)
class CardFile:
    """A model card as read from the Hub or from a folder.

    Attributes:
        name: ``org/name``, or the path of a folder.
        sha: the commit on the Hub; None for a folder.
        head: the front matter.
        text: the complete card without control characters, which a terminal would interpret.
    """

    name: str
    sha: str | None
    head: dict[str, Any]
    text: str

    def to_json(self) -> dict[str, Any]:
        """Return name, commit and front matter as `--json` prints them."""
        try:
            return {"name": self.name, "sha": self.sha, "metadata": _as_json(self.head, iter(range(_MAX_VALUES)))}
        except RecursionError:
            raise ModelError(f"{self.name}: the front matter of its card is nested too deeply.") from None


def read_card(name: str) -> CardFile:
    """Read the card of a model.

    Args:
        name: a name of the zoo, ``org/name``, ``org/name@revision``, or a local folder.

    Raises:
        UsageError: ``name`` is none of these.
        ModelError: the repository does not exist or has no card.
    """
    folder = Path(name).expanduser()
    if folder.is_dir():
        path, sha = folder / FILE, None
        if not path.is_file():
            raise ModelError(
                f"{name}: no {FILE} in this folder. The card is written when the checkpoint is published; "
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
    return CardFile(name, sha, hub_layout.front_matter(text)[0], text)


def _as_json(value: Any, left: Iterator[int]) -> Any:
    """Convert a value of the front matter for JSON, without the control characters that YAML escapes bring back.

    Args:
        value: a value of the front matter.
        left: ends after the maximum number of values, because a few YAML aliases can expand beyond memory.
    """
    if next(left, None) is None:
        raise ModelError(f"The front matter of the card has more than {_MAX_VALUES:,} values.")
    if isinstance(value, dict):
        return {strip_controls(str(key)): _as_json(inner, left) for key, inner in value.items()}
    if isinstance(value, list):
        return [_as_json(inner, left) for inner in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    return value if value is None or isinstance(value, bool | int) else strip_controls(str(value))
