"""Which splits and raw files a set of tasks needs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from xharness.tasks.dataset_spec import CandidateSpec, DataSpec
from xharness.tasks.registry import parts_of
from xharness.tasks.source_spec import Download, Keep, Source, Split
from xharness.tasks.task_spec import TaskSpec, TrainingSpec


@dataclass(frozen=True)
class Use:
    """One use of a split: a spec and one of its languages, with the expected number of rows."""

    spec: DataSpec
    language: str
    split: Split
    expected: int | None
    keep: Keep | None


@dataclass(frozen=True)
class Need:
    """A split of a Hub data set that the folder must have, and all its uses."""

    repo: str
    revision: str
    config: str
    split: str
    licence: str
    uses: list[Use] = field(default_factory=list)


@dataclass(frozen=True)
class RawNeed:
    """Published files that must be below ``raw/``, for one language of one spec.

    Attributes:
        use: their use; ``expected`` is the number of examples.
        split: its name in the source.
        pattern: the path of the files below ``raw/``.
        format: a key of ``formats.READERS``.
        download: where they are published, with the address for this language and split.
        config: their config in MANIFEST.tsv: the language, followed by ``candidates`` for candidate files; only
            ``candidates`` if one file holds those of all languages.
    """

    use: Use
    split: str
    pattern: str
    format: str
    download: Download
    config: str

    @property
    def key(self) -> tuple[str, str, str]:
        """The key of a line of MANIFEST.tsv: hub id, config, split."""
        return f"raw/{self.pattern.partition('/')[0]}", self.config, self.split


@dataclass
class Needs:
    """What a folder must have, and messages about what cannot be fetched."""

    hub: list[Need] = field(default_factory=list)
    raw: list[RawNeed] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def list_needs(
    tasks: Sequence[DataSpec],
    languages: Sequence[str] | None,
    splits: Sequence[Split] | None,
    say: Callable[[str], None],
) -> Needs:
    """Return what to fetch, each split and file once even if several languages or specs need it.

    The first source of a spec that has the language is used, also for the candidates of mining and ranking.

    Args:
        tasks: specs of targets and training sets.
        languages: two-letter codes; None: all languages of targets, and English for training sets.
        splits: ``test``, ``dev``, ``train``; None: all splits of each spec.
        say: called with a message for every spec that is left out.
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
            requested = ", ".join(languages or [])
            say(f"{spec.name} is left out: it has none of the requested languages ({requested}).")
            continue
        for split in _splits(spec, splits):
            for code, source in _sources(spec, spec.sources, codes, collected.needs.problems):
                expected = spec.expected_count(code, split)
                if expected != 0:
                    collected.add(spec, source, code, split, expected)
            candidates = spec.candidates if isinstance(spec, TaskSpec) and split != "train" else None
            if candidates is not None:
                # Queries of one language may be matched with the candidates of all languages.
                candidate_codes = codes if candidates.scope == "language" else list(spec.languages)
                for code, source in _sources(spec, candidates.sources, candidate_codes, collected.needs.problems):
                    collected.add_candidates(spec, candidates, source, code, split)
    return collected.needs


class _Collected:
    """The needs collected so far, without duplicates."""

    def __init__(self) -> None:
        self.needs = Needs()
        self._hub: dict[tuple[str, str, str, str], Need] = {}
        self._raw: set[tuple[str, str, str, str, str]] = set()

    def add(self, spec: DataSpec, source: Source, code: str, split: Split, expected: int | None) -> None:
        """Add the examples of a language."""
        if source.raw is not None:
            self._add_raw(Use(spec, code, split, expected, None), source, code)
            return
        # A row may have several mentions, or none in this language.
        expected_rows = None if source.format == "mewsli_mentions" else expected
        self._need(spec, source, code, split).uses.append(
            Use(spec, code, split, expected_rows, spec.row_filter(source, code)),
        )

    def add_candidates(
        self, spec: DataSpec, candidates: CandidateSpec, source: Source, code: str, split: Split
    ) -> None:
        """Add the candidates of a language."""
        # The expected count is that of the complete pool, which may be spread over several files.
        pattern = source.raw or source.config
        all_languages = candidates.scope == "language" or not _is_of_language(pattern)
        expected = candidates.expected.get("dev" if split == "dev" else "test") if all_languages else None
        if source.raw is not None:
            config = f"{code} candidates" if _is_of_language(pattern) else "candidates"
            self._add_raw(Use(spec, code, split, expected, None), source, config)
            return
        need = self._need(spec, source, code, split)
        if not need.uses:  # otherwise the table of the examples also holds the candidates
            need.uses.append(Use(spec, code, split, expected, spec.row_filter(source, code)))

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
                f"{spec.name}: raw/{pattern} cannot be fetched, as the spec has no 'download' for it. Put the file "
                "there yourself."
            )
            return
        download = source.download.model_copy(update={"url": spec.fill(source.download.url, code, name)})
        if (spec.name, pattern, source.format, config, name) not in self._raw:
            self._raw.add((spec.name, pattern, source.format, config, name))
            self.needs.raw.append(RawNeed(use, name, pattern, source.format, download, config))


def _with_parts(specs: Sequence[DataSpec]) -> list[DataSpec]:
    """Return the specs, each once; a training set with members is replaced by its members."""
    parts: dict[str, DataSpec] = {}
    for spec in specs:
        parts |= {part.name: part for part in (parts_of(spec) if isinstance(spec, TrainingSpec) else [spec])}
    return list(parts.values())


def _is_of_language(pattern: str) -> bool:
    return "{lang}" in pattern or "{alias}" in pattern


def _sources(
    spec: DataSpec, sources: Sequence[Source], codes: Sequence[str], problems: list[str]
) -> list[tuple[str, Source]]:
    """Return the needed languages, each with the first source that has it.

    If several languages share a table, it is checked for all of them, whichever was requested.
    """
    first = {
        code: next((s for s in sources if s.languages is None or code in s.languages), None) for code in spec.languages
    }
    problems += [f"{spec.name}: no source of the spec has '{code}'." for code in codes if first[code] is None]
    shared = [source for code in codes if (source := first[code]) is not None and source.keep is not None]
    return [
        (code, source) for code, source in first.items() if source is not None and (code in codes or source in shared)
    ]


def _splits(spec: DataSpec, requested: Sequence[Split] | None) -> list[Split]:
    known: tuple[Split, ...] = ("test", "dev", "train")
    return [
        split for split in known if (requested is None or split in requested) and spec.split_name(split) is not None
    ]
