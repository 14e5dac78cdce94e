"""Pinning the zoo: a zoo file in which each name stands for the commit that its repository is at today."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from xharness import files
from xharness.checkpoints import zoo
from xharness.errors import UsageError
from xharness.hub import read as hub


@dataclass(frozen=True)
class Pinned:
    """What was pinned.

    Attributes:
        org: whose repositories on the Hub.
        revisions: name -> commit.
        missing: the checkpoints that are not there, or private and not to be seen with this token.
    """

    org: str
    revisions: Mapping[str, str]
    missing: tuple[str, ...]


def pin(to: Path, org: str | None) -> Pinned:
    """Write the organisation and the commits of its checkpoints into a zoo file, and return them.

    Only the values of ``org`` and ``revisions`` change; comments and layout stay. All commits are asked for before the
    file is written, whole or not at all.

    Args:
        to: the file; where it is not there it begins as the zoo file in use.
        org: whose on the Hub; None: as `zoo.load` finds it.

    Raises:
        UsageError: no organisation is known.
        SpecError: the zoo file is wrong.
        ModelError: the Hub cannot be reached, or refuses.
        OutputError: the file cannot be written.
    """
    found = zoo.load(to if to.is_file() else None, org)
    if found.org is None:
        raise UsageError(f"Whose checkpoints on the Hub? Give --org ORG, or set {zoo.OWN_ORG}.")
    there = set(hub.list_models(found.org))
    entries = [entry for entry in found.entries if entry.repo(found.org) in there]
    revisions = {e.name: hub.resolve(e.repo(found.org), None, "model", fresh=True) for e in entries}
    with found.path.open(encoding="utf-8", newline="") as file:  # newline="": the file's own line ends stay
        text = file.read()
    files.write_text(to, zoo.pinned(text, found.org, revisions))
    missing = tuple(entry.name for entry in found.entries if entry.name not in revisions)
    return Pinned(found.org, revisions, missing)
