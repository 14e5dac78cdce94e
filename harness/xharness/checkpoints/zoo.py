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
from xharness.checkpoints.heads import Phase
from xharness.errors import UsageError, did_you_mean, unknown
from xharness.hub import read as hub_read
from xharness.hub.errors import SHA

OWN_FILE = "XHARNESS_ZOO"
OWN_ORG = "XHARNESS_ORG"

# Characters that the Hub allows in names of organizations and repositories, as far as the zoo needs them.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


@dataclass(frozen=True)
class ZooEncoder:
    """A base encoder of the zoo.

    Attributes:
        name: prefix of the names of its checkpoints (``xlmr-base``).
        model: id on the Hub, or name of a local folder.
        title: name in tables.
        licence: license of its weights, as an identifier of the Hub.
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
        encoder: base encoder.
        task: training set, or ``multitask``.
        phase: trained on intermediate tasks, or tuned on a target.
        revision: commit that the name is pinned at; None if it is not pinned.
    """

    name: str
    encoder: ZooEncoder
    task: str
    phase: Phase
    revision: str | None

    def repo(self, org: str) -> str:
        """Return its repository on the Hub in an organization."""
        return f"{org}/{self.name}"


@dataclass(frozen=True)
class Zoo:
    """The content of a zoo file.

    Attributes:
        path: path of the file.
        org: organization on the Hub; None if unknown.
        encoders: base encoders, in the order of the file.
        entries: every checkpoint of every encoder, in the order of the file.
        datasets: benchmark -> name of its data set on the Hub.
    """

    path: Path
    org: str | None
    encoders: tuple[ZooEncoder, ...]
    entries: tuple[Entry, ...]
    datasets: Mapping[str, str]

    def get(self, name: str) -> Entry | None:
        """Return the checkpoint of this name; None if there is none."""
        return next((entry for entry in self.entries if entry.name == name), None)

    def find(self, name: str) -> Entry:
        """Return the checkpoint of this name; raise UsageError with the nearest name if there is none."""
        entry = self.get(name)
        if entry is None:
            raise unknown("checkpoint in the zoo", name, [known.name for known in self.entries])
        return entry

    def of_encoder(self, name: str | None) -> list[Entry]:
        """Return the checkpoints of an encoder of the zoo; of all if ``name`` is None.

        Raises:
            UsageError: the zoo has no such encoder; suggests the nearest name.
        """
        names = [encoder.name for encoder in self.encoders]
        if name is not None and name not in names:
            raise unknown("encoder in the zoo", name, names)
        return [entry for entry in self.entries if name in (None, entry.encoder.name)]

    def encoder_of(self, model: str) -> ZooEncoder | None:
        """Return the encoder with this id on the Hub (``org/name``, with or without a revision); None if there is none.

        A local folder of the same name as an encoder is not taken for it.
        """
        plain = model.partition("@")[0].lower()
        return next((encoder for encoder in self.encoders if encoder.model.lower() == plain), None)

    def benchmark_dataset(self, benchmark: str, org: str) -> str:
        """Return the id of a benchmark's data set on the Hub; raise UsageError if the zoo file has none."""
        if benchmark not in self.datasets:
            raise unknown("benchmark with a data set in the zoo", benchmark, self.datasets)
        return f"{org}/{self.datasets[benchmark]}"

    def needed_org(self, name: str) -> str:
        """Return the organization; raise UsageError that says how to set it if it is unknown."""
        if self.org is None:
            raise UsageError(
                f"'{name}' is a checkpoint of the zoo, but its organization on the Hub is not known. Set "
                f"{OWN_ORG}=ORG, "
                f"write ORG/{name}, or set {OWN_FILE}=FILE to a zoo file that has an org."
            )
        return self.org


def load(path: Path | None = None, org: str | None = None) -> Zoo:
    """Load a zoo file: ``path``, else the file in XHARNESS_ZOO, else the one that comes with xharness.

    Args:
        path: a zoo file.
        org: organization on the Hub; None: that in XHARNESS_ORG, else that of the file.

    Raises:
        SpecError: the file is missing or invalid; lists every wrong field.
        UsageError: ``org`` is not a valid name of an organization.
    """
    zoo_file = path or Path(os.environ.get(OWN_FILE) or assets.MODEL_CARDS / "zoo.yaml")
    content = strict_yaml.parse(_Content, strict_yaml.read(zoo_file), zoo_file.name)
    chosen = org or os.environ.get(OWN_ORG) or content.org
    if chosen is not None and not _NAME.fullmatch(chosen):
        raise UsageError(f"'{chosen}' is not a valid organization name on the Hub (letters, digits, '-', '_', '.').")
    # The pins are commits of the repositories of the file's organization, not of another one.
    pins = content.revisions if chosen == content.org else {}
    encoders = tuple(ZooEncoder(name, **fields.model_dump()) for name, fields in content.encoders.items())
    entries = tuple(
        Entry(name, encoder, task, phase, pins.get(name))
        for encoder in encoders
        for name, task, phase in content.names(encoder.name)
    )
    return Zoo(zoo_file, chosen, encoders, entries, content.benchmark_datasets)


def base_of(name: str) -> str:
    """Return the id of the base encoder for a name of the zoo, and any other name unchanged."""
    entry = _entry(name)
    return name if entry is None else entry.encoder.model


def expand(name: str) -> str:
    """Return ``org/name@revision`` for a name of the zoo (``xlmr-squad``, ``xlmr-squad@v2``), and others unchanged.

    Without a revision, the pinned commit is used if there is one. A local folder of the same name takes precedence.

    Raises:
        UsageError: the name is of the zoo, and the organization is not known.
        SpecError: the zoo file is invalid.
    """
    entry = _entry(name)
    if entry is None:
        return name
    org = load().needed_org(entry.name)
    revision = name.partition("@")[2] or entry.revision
    return entry.repo(org) + (f"@{revision}" if revision else "")


def _entry(name: str) -> Entry | None:
    """Return the checkpoint of a name with or without a revision; None for paths and ``org/name``."""
    base = name.partition("@")[0]
    # First, because most names are paths or have an owner, and need no zoo file.
    if not _NAME.fullmatch(base) or Path(name).exists() or Path(base).exists():
        return None
    return load().get(base)


def locate(name: str) -> tuple[str, str | None]:
    """Return repository and revision on the Hub for a name of the zoo or ``org/name@revision``.

    Raises:
        UsageError: it has no owner and is not in the zoo (suggests the nearest name), or the organization is unknown.
        SpecError: the zoo file is invalid.
    """
    repo, _, revision = expand(name).partition("@")
    if "/" not in repo:
        load().find(repo)
    return repo, revision or None


def replace_pins(text: str, org: str, revisions: Mapping[str, str]) -> str:
    """Return the text of a zoo file with ``org`` and ``revisions`` replaced; comments and layout stay.

    Args:
        text: text of a valid zoo file.
        org: organization on the Hub.
        revisions: name -> commit; replaces all revisions of the file.
    """
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    assert isinstance(root, yaml.MappingNode), "a zoo file that was read has fields"
    fields = {key.value: value for key, value in root.value}
    # Quoted, because a sha of digits, or of digits and one e, would be read as a number.
    lines = "".join(f'\n  {name}: "{sha}",' for name, sha in revisions.items())
    changes = [(fields["org"], f'"{org}"'), (fields["revisions"], f"{{{lines}\n}}" if lines else "{}")]
    for node, new in sorted(changes, key=lambda change: -change[0].start_mark.index):
        start, end = node.start_mark.index, node.end_mark.index
        if isinstance(node, yaml.MappingNode) and not node.flow_style and node.value:
            # The end mark of a block is where the next field begins; comments between them are not part of it.
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
        problems += [f"tuned.{task}: is also in 'checkpoints'." for task in self.tuned if task in self.checkpoints]
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
class PinResult:
    """The result of `pin`.

    Attributes:
        org: organization on the Hub.
        revisions: name -> commit.
        missing: checkpoints that are not on the Hub, or hidden from this token.
    """

    org: str
    revisions: Mapping[str, str]
    missing: tuple[str, ...]


def pin(to: Path, org: str | None) -> PinResult:
    """Write an organization and the newest commits of its checkpoints into a zoo file, and return them.

    Only the values of ``org`` and ``revisions`` change; comments and layout stay. The file is written atomically, after
    all commits are resolved.

    Args:
        to: zoo file; if it does not exist, it is created as a copy of the zoo file in use.
        org: organization on the Hub; None: as in `load`.

    Raises:
        UsageError: the organization is not known.
        SpecError: the zoo file is invalid.
        ModelError: the Hub cannot be reached, or refuses.
        OutputError: the file cannot be written.
    """
    known = load(to if to.is_file() else None, org)
    if known.org is None:
        raise UsageError(f"The organization on the Hub is not known. Give --org ORG, or set {OWN_ORG}.")
    existing = set(hub_read.list_models(known.org))
    entries = [entry for entry in known.entries if entry.repo(known.org) in existing]
    revisions = {e.name: hub_read.resolve(e.repo(known.org), None, "model", fresh=True) for e in entries}
    with known.path.open(encoding="utf-8", newline="") as file:  # newline="": the file's own line ends stay
        text = file.read()
    files.write_text(to, replace_pins(text, known.org, revisions))
    missing = tuple(entry.name for entry in known.entries if entry.name not in revisions)
    return PinResult(known.org, revisions, missing)
