"""Which splits and raw files a set of tasks needs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from xharness.tasks.dataset_spec import CandidateSpec, DataSpec, Download, Keep, Source, Split
from xharness.tasks.registry import parts_of
from xharness.tasks.task_spec import TaskSpec, TrainingSpec


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


@dataclass(frozen=True)
class RawNeed:
    """Files as published that are to lie below ``raw/``, for one language of one spec.

    Attributes:
        use: who needs them; ``expected`` is the number of examples.
        split: its name in the source.
        pattern: where the files lie below ``raw/``.
        format: how they are read, a key of ``readers.READERS``.
        download: where they are published, with the address of this language and split.
        config: what they are called in MANIFEST.tsv: the language; ``candidates`` after it if they are what is
            searched, or alone if that is one file for all languages.
    """

    use: Use
    split: str
    pattern: str
    format: str
    download: Download
    config: str

    @property
    def key(self) -> tuple[str, str, str]:
        """What tells a line of MANIFEST.tsv from the others: hub id, config, split."""
        return f"raw/{self.pattern.partition('/')[0]}", self.config, self.split


@dataclass
class Needs:
    """What is to be in a folder, and sentences on what cannot be."""

    hub: list[Need] = field(default_factory=list)
    raw: list[RawNeed] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def list_needs(
    tasks: Sequence[DataSpec],
    languages: Sequence[str] | None,
    splits: Sequence[Split] | None,
    say: Callable[[str], None],
) -> Needs:
    """Return what is to be had, each once even if several languages or specs need it.

    Of each spec the first source that has the language is used, and so for the candidates of mining and ranking.

    Args:
        tasks: specs of targets and training sets.
        languages: two-letter codes; None: all of each target, and English of each training set.
        splits: ``test``, ``dev``, ``train``; None: all that each spec has.
        say: is given a sentence on every spec that is left out.
    """
    collected = _Collected()
    for spec in _with_parts(tasks):
        if isinstance(spec, TrainingSpec) and spec.by_hand:
            say(f"{spec.name} is left out: {' '.join(spec.by_hand.split())}")
            continue
        if spec.unavailable:
            say(f"{spec.name} is left out: {' '.join(spec.unavailable.split())}")
            continue
        codes = spec.default_languages if languages is None else [code for code in spec.languages if code in languages]
        if not codes:
            asked = ", ".join(languages or [])
            say(f"{spec.name} is left out: it has none of the languages asked for ({asked}).")
            continue
        for split in _splits(spec, splits):
            for code, source in _sources(spec, spec.sources, codes, collected.needs.problems):
                expected = spec.expected_count(code, split)
                if expected != 0:
                    collected.add(spec, source, code, split, expected)
            candidates = spec.candidates if isinstance(spec, TaskSpec) and split != "train" else None
            if candidates is not None:
                # What is searched may be the candidates of all languages, whichever was asked for.
                wanted = codes if candidates.scope == "language" else list(spec.languages)
                for code, source in _sources(spec, candidates.sources, wanted, collected.needs.problems):
                    collected.add_searched(spec, candidates, source, code, split)
    return collected.needs


class _Collected:
    """The needs so far, with what tells one from the others."""

    def __init__(self) -> None:
        self.needs = Needs()
        self._hub: dict[tuple[str, str, str, str], Need] = {}
        self._raw: set[tuple[str, str, str, str, str]] = set()

    def add(self, spec: DataSpec, source: Source, code: str, split: Split, expected: int | None) -> None:
        """Add the examples of a language."""
        if source.raw is not None:
            self._add_raw(Use(spec, code, split, expected, None), source, code)
            return
        # A row may hold several mentions, or none of the language.
        counted = None if source.format == "mewsli_mentions" else expected
        self._need(spec, source, code, split).uses.append(
            Use(spec, code, split, counted, spec.kept_rows(source, code)),
        )

    def add_searched(self, spec: DataSpec, candidates: CandidateSpec, source: Source, code: str, split: Split) -> None:
        """Add the candidates of a language."""
        # The count is of all of them together, whatever files they are in.
        pattern = source.raw or source.config
        all_languages = candidates.scope == "language" or not _is_of_language(pattern)
        expected = candidates.expected.get("dev" if split == "dev" else "test") if all_languages else None
        if source.raw is not None:
            config = f"{code} candidates" if _is_of_language(pattern) else "candidates"
            self._add_raw(Use(spec, code, split, expected, None), source, config)
            return
        need = self._need(spec, source, code, split)
        if not need.uses:  # else the table of the examples is also what is searched
            need.uses.append(Use(spec, code, split, expected, spec.kept_rows(source, code)))

    def _need(self, spec: DataSpec, source: Source, code: str, split: Split) -> Need:
        assert source.repo is not None
        assert source.revision is not None
        name = source.splits.get(split, spec.split_name(split) or split)
        key = (source.repo, source.revision, spec.fill(source.config, code), name)
        if key not in self._hub:
            self._hub[key] = Need(*key, spec.licence)
            self.needs.hub.append(self._hub[key])
        return self._hub[key]

    def _add_raw(self, use: Use, source: Source, config: str) -> None:
        spec, code = use.spec, use.language
        assert source.raw is not None
        name = source.splits.get(use.split, spec.split_name(use.split) or use.split)
        pattern = spec.fill(source.raw, code, name)
        if source.download is None:
            self.needs.problems.append(
                f"{spec.name}: raw/{pattern} cannot be fetched, as the spec names no 'download' for it. Lay the file "
                "there yourself."
            )
            return
        download = source.download.model_copy(update={"url": spec.fill(source.download.url, code, name)})
        if (spec.name, pattern, source.format, config, name) not in self._raw:
            self._raw.add((spec.name, pattern, source.format, config, name))
            self.needs.raw.append(RawNeed(use, name, pattern, source.format, download, config))


def _with_parts(specs: Sequence[DataSpec]) -> list[DataSpec]:
    """Return the specs, each once, with those that a training set is made of in its place."""
    parts: dict[str, DataSpec] = {}
    for spec in specs:
        parts |= {part.name: part for part in (parts_of(spec) if isinstance(spec, TrainingSpec) else [spec])}
    return list(parts.values())


def _is_of_language(pattern: str) -> bool:
    return "{lang}" in pattern or "{alias}" in pattern


def _sources(
    spec: DataSpec, sources: Sequence[Source], codes: Sequence[str], problems: list[str]
) -> list[tuple[str, Source]]:
    """Return the languages that are needed, each with the first source that has it.

    A table that several languages share is checked for all of them, whichever was asked for.
    """
    first = {
        code: next((s for s in sources if s.languages is None or code in s.languages), None) for code in spec.languages
    }
    problems += [f"{spec.name}: no source of the spec has '{code}'." for code in codes if first[code] is None]
    shared = [source for code in codes if (source := first[code]) is not None and source.keep is not None]
    return [
        (code, source) for code, source in first.items() if source is not None and (code in codes or source in shared)
    ]


def _splits(spec: DataSpec, asked: Sequence[Split] | None) -> list[Split]:
    known: tuple[Split, ...] = ("test", "dev", "train")
    return [split for split in known if (asked is None or split in asked) and spec.split_name(split) is not None]
