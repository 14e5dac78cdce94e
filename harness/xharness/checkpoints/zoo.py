"""The model zoo: names, repositories and pinned commits."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import yaml
from pydantic import model_validator

from xharness import assets, files, strict_yaml
from xharness.checkpoints import zoo
from xharness.checkpoints.heads import Phase
from xharness.errors import UsageError, did_you_mean, unknown
from xharness.hub import read as hub_read
from xharness.hub.errors import SHA

OWN_FILE = "XHARNESS_ZOO"
OWN_ORG = "XHARNESS_ORG"

# What the Hub allows in the name of an organisation or a repository, as far as the zoo needs it.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


@dataclass(frozen=True)
class ZooEncoder:
    """An encoder that training begins with.

    Attributes:
        name: what the names of its checkpoints begin with (``xlmr-base``).
        model: its id on the Hub, or the name of a local folder.
        title: as tables show it.
        licence: of its weights, as the Hub writes licences.
    """

    name: str
    model: str
    title: str
    licence: str


@dataclass(frozen=True)
class Entry:
    """A checkpoint of the zoo.

    Attributes:
        name: ``xlmr-squad``.
        encoder: what its training begins with.
        task: the training set, or ``multitask``.
        phase: intermediate training, or tuning for targets.
        revision: the commit that the name is pinned at; None where it is not.
    """

    name: str
    encoder: ZooEncoder
    task: str
    phase: Phase
    revision: str | None

    def repo(self, org: str) -> str:
        """Return its repository on the Hub under an organisation."""
        return f"{org}/{self.name}"


@dataclass(frozen=True)
class Zoo:
    """A zoo file as it is read.

    Attributes:
        path: of the file.
        org: the organisation on the Hub, None where none is known.
        encoders: in the order of the file.
        entries: every checkpoint of every encoder, in the order of the file.
        datasets: benchmark -> name of its data set on the Hub.
    """

    path: Path
    org: str | None
    encoders: tuple[ZooEncoder, ...]
    entries: tuple[Entry, ...]
    datasets: Mapping[str, str]

    def get(self, name: str) -> Entry | None:
        """Return the checkpoint of this name, None where there is none."""
        return next((entry for entry in self.entries if entry.name == name), None)

    def find(self, name: str) -> Entry:
        """Return the checkpoint of this name; raise UsageError with the nearest name where there is none."""
        entry = self.get(name)
        if entry is None:
            raise unknown("checkpoint in the zoo", name, [each.name for each in self.entries])
        return entry

    def of_encoder(self, name: str | None) -> list[Entry]:
        """Return the checkpoints of an encoder by its name in the zoo, None: all; raise UsageError with the nearest."""
        names = [encoder.name for encoder in self.encoders]
        if name is not None and name not in names:
            raise unknown("encoder in the zoo", name, names)
        return [entry for entry in self.entries if name in (None, entry.encoder.name)]

    def encoder_of(self, model: str) -> ZooEncoder | None:
        """Return the encoder with this id on the Hub (``org/name``, with or without a revision), None if not one.

        A local folder that happens to be called like an encoder is not taken for it.
        """
        plain = model.partition("@")[0].lower()
        return next((encoder for encoder in self.encoders if encoder.model.lower() == plain), None)

    def benchmark_dataset(self, benchmark: str, org: str) -> str:
        """Return the id of a benchmark's data set on the Hub; raise UsageError where the zoo names none."""
        if benchmark not in self.datasets:
            raise unknown("benchmark with a data set in the zoo", benchmark, self.datasets)
        return f"{org}/{self.datasets[benchmark]}"

    def needed_org(self, name: str) -> str:
        """Return the organisation; raise UsageError that tells how to give one, for a ``name`` of the zoo."""
        if self.org is None:
            raise UsageError(
                f"'{name}' is a checkpoint of the zoo, and it is not known whose on the Hub. Set {OWN_ORG}=ORG, write "
                f"ORG/{name}, or name a zoo file that has an org with {OWN_FILE}=FILE."
            )
        return self.org


def load(path: Path | None = None, org: str | None = None) -> Zoo:
    """Return the zoo: of a file, else of the one that XHARNESS_ZOO names, else the one that comes with xharness.

    Args:
        path: a zoo file.
        org: the organisation on the Hub; None: the one that XHARNESS_ORG names, else the file's.

    Raises:
        SpecError: the file is missing or wrong; names every wrong field.
        UsageError: ``org`` cannot be the name of an organisation.
    """
    place = path or Path(os.environ.get(OWN_FILE) or assets.MODEL_CARDS / "zoo.yaml")
    content = strict_yaml.parse(_Content, strict_yaml.read(place), place.name)
    chosen = org or os.environ.get(OWN_ORG) or content.org
    if chosen is not None and not _NAME.fullmatch(chosen):
        raise UsageError(
            f"'{chosen}' cannot be the name of an organisation on the Hub (letters, digits, '-', '_', '.')."
        )
    # The pins are commits of the file's own repositories; those of another organisation have others.
    pins = content.revisions if chosen == content.org else {}
    encoders = tuple(ZooEncoder(name, **fields.model_dump()) for name, fields in content.encoders.items())
    entries = tuple(
        Entry(name, encoder, task, phase, pins.get(name))
        for encoder in encoders
        for name, task, phase in content.names(encoder.name)
    )
    return Zoo(place, chosen, encoders, entries, content.benchmark_datasets)


def base_of(name: str) -> str:
    """Return the encoder's id for a name of the zoo, whose shape its checkpoints have, all else unchanged."""
    entry = _entry(name)
    return name if entry is None else entry.encoder.model


def expand(name: str) -> str:
    """Return ``org/name@revision`` for a name of the zoo (``xlmr-squad``, ``xlmr-squad@v2``), all else unchanged.

    Without a revision the pinned commit is meant where there is one. A local folder of that name wins.

    Raises:
        UsageError: it is of the zoo, and the organisation is not known.
        SpecError: the zoo file is wrong.
    """
    entry = _entry(name)
    if entry is None:
        return name
    org = load().needed_org(entry.name)
    revision = name.partition("@")[2] or entry.revision
    return entry.repo(org) + (f"@{revision}" if revision else "")


def _entry(name: str) -> Entry | None:
    """Return the checkpoint that a name, perhaps with a revision, stands for; None for paths and ``org/name``."""
    base = name.partition("@")[0]
    # Before the file is read: most names are paths, or have an owner.
    if not _NAME.fullmatch(base) or Path(name).exists() or Path(base).exists():
        return None
    return load().get(base)


def locate(name: str) -> tuple[str, str | None]:
    """Return repository and revision on the Hub that a name stands for: of the zoo, or ``org/name@revision``.

    Raises:
        UsageError: it has no owner, and is not in the zoo (names the nearest); or the organisation is not known.
        SpecError: the zoo file is wrong.
    """
    repo, _, revision = expand(name).partition("@")
    if "/" not in repo:
        load().find(repo)
    return repo, revision or None


def pinned(text: str, org: str, revisions: Mapping[str, str]) -> str:
    """Return the text of a zoo file with another ``org`` and other ``revisions``; comments and layout stay.

    Args:
        text: of a file that `load` reads.
        org: the organisation on the Hub.
        revisions: name -> commit, in place of all that stand there.
    """
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    assert isinstance(root, yaml.MappingNode), "a zoo file that was read has fields"
    fields = {key.value: value for key, value in root.value}
    # Quoted: a sha of digits, or of digits and one e, would be read as a number.
    lines = "".join(f'\n  {name}: "{sha}",' for name, sha in revisions.items())
    changes = [(fields["org"], f'"{org}"'), (fields["revisions"], f"{{{lines}\n}}" if lines else "{}")]
    for node, new in sorted(changes, key=lambda change: -change[0].start_mark.index):
        start, end = node.start_mark.index, node.end_mark.index
        if isinstance(node, yaml.MappingNode) and not node.flow_style and node.value:
            # A block ends where the next field begins; what stands between them is not part of it.
            end = node.value[-1][1].end_mark.index
            text = text[:start].rstrip() + " " + new + text[end:]
        else:
            text = text[:start] + new + text[end:]
    return text


class _ZooEncoder(strict_yaml.Strict):
    model: str
    title: str
    licence: str


class _Content(strict_yaml.Strict):
    org: str | None
    encoders: dict[str, _ZooEncoder]
    checkpoints: dict[str, str]
    tuned: dict[str, str]
    revisions: dict[str, str]
    benchmark_datasets: dict[str, str]

    def names(self, encoder: str) -> Iterator[tuple[str, str, Phase]]:
        """Yield name, training set and phase of each checkpoint of an encoder."""
        yield from ((f"{encoder}-{ending}", task, "intermediate") for task, ending in self.checkpoints.items())
        yield from ((f"{encoder}-{ending}", task, "target") for task, ending in self.tuned.items())

    @model_validator(mode="after")
    def _fits(self) -> Self:
        allowed = "of letters, digits, '-', '_' and '.'"
        problems = []
        if self.org is not None and not _NAME.fullmatch(self.org):
            problems.append(f"org: found '{self.org}', expected a name {allowed}, or null.")
        problems += [f"encoders: found '{n}', expected a name {allowed}." for n in self.encoders if not _usable(n)]
        problems += [
            f"encoders.{name}.model: found '{encoder.model}', expected ORG/NAME, or the name of a folder, {allowed}."
            for name, encoder in self.encoders.items()
            if not all(map(_usable, encoder.model.split("/", 1)))
        ]
        for field, table in (("checkpoints", self.checkpoints), ("tuned", self.tuned)):
            problems += [
                f"{field}.{task}: found '{ending}', expected a name {allowed}."
                for task, ending in table.items()
                if not _usable(ending)
            ]
        problems += [
            f"tuned.{task}: stands in 'checkpoints' already." for task in self.tuned if task in self.checkpoints
        ]
        names = [name for encoder in self.encoders for name, _, _ in self.names(encoder)]
        twice = sorted({name for name in names if names.count(name) > 1})
        problems += [f"encoders: two checkpoints would be called '{name}'." for name in twice]
        for name, sha in self.revisions.items():
            if name not in names:
                problems.append(f"revisions.{name}: no such checkpoint.{did_you_mean(name, names)}")
            if not SHA.fullmatch(sha):
                problems.append(f"revisions.{name}: found '{sha}', expected a commit, 40 digits of 0-9 and a-f.")
        if problems:
            raise ValueError("\n".join(problems))
        return self


def _usable(name: str) -> bool:
    return _NAME.fullmatch(name) is not None


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
    known = zoo.load(to if to.is_file() else None, org)
    if known.org is None:
        raise UsageError(f"Whose checkpoints on the Hub? Give --org ORG, or set {zoo.OWN_ORG}.")
    there = set(hub_read.list_models(known.org))
    entries = [entry for entry in known.entries if entry.repo(known.org) in there]
    revisions = {e.name: hub_read.resolve(e.repo(known.org), None, "model", fresh=True) for e in entries}
    with known.path.open(encoding="utf-8", newline="") as file:  # newline="": the file's own line ends stay
        text = file.read()
    files.write_text(to, zoo.pinned(text, known.org, revisions))
    missing = tuple(entry.name for entry in known.entries if entry.name not in revisions)
    return Pinned(known.org, revisions, missing)
