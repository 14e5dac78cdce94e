"""Which splits of which data sets on the Hub some tasks need, each named once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from xharness.spec import DataSpec, Keep, Split


@dataclass(frozen=True)
class Use:
    """Who needs a split: a spec and one of its languages, with the rows expected there."""

    spec: DataSpec
    language: str
    split: Split
    expected: int | None
    keep: Keep | None


@dataclass(frozen=True)
class Need:
    """A split of a config that is to be in the folder, and all who need it."""

    repo: str
    revision: str
    config: str
    split: str
    licence: str
    uses: list[Use] = field(default_factory=list)


def list_needs(
    tasks: Sequence[DataSpec],
    languages: Sequence[str] | None,
    splits: Sequence[Split] | None,
    say: Callable[[str], None],
) -> tuple[list[Need], list[str]]:
    """Return the splits to have, each once even if several languages or specs need it, and the problems.

    Args:
        tasks: specs of targets and training sets; the first source of each is used.
        languages: two-letter codes; None: all of each spec.
        splits: ``test``, ``dev``, ``train``; None: all that each spec has.
        say: is given a sentence on every spec that is left out.
    """
    found: dict[tuple[str, str, str, str], Need] = {}
    problems: list[str] = []
    for spec in tasks:
        if spec.unavailable:
            say(f"{spec.name} is left out: {' '.join(spec.unavailable.split())}")
            continue
        codes = [code for code in spec.languages if languages is None or code in languages]
        if not codes:
            asked = ", ".join(languages or [])
            say(f"{spec.name} is left out: it has none of the languages asked for ({asked}).")
            continue
        source = spec.sources[0]
        if source.repo is None or source.revision is None:
            problems.append(f"{spec.name}: its first source is no data set on the Hub, so it cannot be fetched.")
            continue
        for split, name in _splits(spec, splits):
            # A table that several languages share is checked for all of them, whichever was asked for.
            for code in spec.languages if source.keep is not None else codes:
                expected = spec.expected_count(code, split)
                if expected == 0:
                    continue
                key = (source.repo, source.revision, spec.fill(source.config, code), source.splits.get(split, name))
                need = found.setdefault(key, Need(*key, spec.licence))
                need.uses.append(Use(spec, code, split, expected, spec.kept_rows(source, code)))
    return list(found.values()), problems


def _splits(spec: DataSpec, asked: Sequence[Split] | None) -> list[tuple[Split, str]]:
    known: tuple[Split, ...] = ("test", "dev", "train")
    wanted = [split for split in known if asked is None or split in asked]
    return [(split, name) for split in wanted if (name := spec.split_name(split)) is not None]
