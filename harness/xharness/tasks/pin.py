"""Replace branches in task files by commit hashes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from xharness import files, strict_yaml
from xharness.hub import read as hub_read


@dataclass(frozen=True)
class Change:
    """A branch in a spec that was replaced by its current commit hash."""

    path: Path
    repo: str
    revision: str
    sha: str

    def __str__(self) -> str:
        return f"{self.path.name}: {self.repo}: {self.revision} -> {self.sha}"


def pin(paths: Sequence[Path]) -> list[Change]:
    """Replace branches in the ``sources`` of specs by their current commit hashes; return the changes.

    Only the text of the revision changes: comments and layout stay. Revisions that are hashes already are kept. All
    revisions are resolved before the first file is written, so an error leaves every file unchanged.

    Raises:
        SpecError: a file cannot be read, or is not YAML.
        DataError: a data set or revision does not exist, or the Hub cannot be reached.
        OutputError: a file cannot be written.
    """
    shas: dict[tuple[str, str], str] = {}
    changes: list[Change] = []
    texts: dict[Path, str] = {}
    for path in paths:
        strict_yaml.read(path)
        with path.open(encoding="utf-8", newline="") as file:  # newline="" keeps the file's line endings
            text = file.read()
        # From the end, so that the offsets before stay valid.
        for repo, revision, start, end in reversed(_revisions(text)):
            if (repo, revision) not in shas:
                shas[repo, revision] = hub_read.resolve(repo, revision, "dataset", fresh=True)
            sha = shas[repo, revision]
            if sha == revision:
                continue
            # YAML would read a hash of digits only as a number.
            text = text[:start] + (f'"{sha}"' if sha.isdecimal() else sha) + text[end:]
            texts[path] = text
            changes.append(Change(path, repo, revision, sha))
    for path, text in texts.items():
        files.write_text(path, text)
    return sorted(changes, key=lambda change: (paths.index(change.path), change.repo))


def _revisions(text: str) -> list[tuple[str, str, int, int]]:
    """Return (repo, revision, start, end) of every source, in the order of the text."""
    return sorted(_below(yaml.compose(text, Loader=yaml.SafeLoader)), key=lambda source: source[2])


def _below(node: yaml.Node | None) -> list[tuple[str, str, int, int]]:
    """Return the same for a mapping and for the mappings in it, such as ``candidates``."""
    revisions = []
    for key, sources in node.value if isinstance(node, yaml.MappingNode) else []:
        revisions += _below(sources)
        if key.value != "sources" or not isinstance(sources, yaml.SequenceNode):
            continue
        for source in sources.value:
            entries = {k.value: v for k, v in source.value} if isinstance(source, yaml.MappingNode) else {}
            repo, revision = entries.get("repo"), entries.get("revision")
            if isinstance(repo, yaml.ScalarNode) and isinstance(revision, yaml.ScalarNode):
                offsets = (revision.start_mark.index, revision.end_mark.index)
                revisions.append((str(repo.value), str(revision.value), *offsets))
    return revisions
