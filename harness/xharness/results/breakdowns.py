"""Scores by script, language family and resource level."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from xharness.metrics.base import mean
from xharness.results.aggregate import TaskResult, language_score, mean_over
from xharness.tasks.languages import Language, languages

LATIN, NON_LATIN = "Latin", "non-Latin"
CLASSES = [f"Joshi class {number}" for number in range(6)]
NO_CLASS = "Joshi class not known"

# The boundaries are our choice: a power of ten apart, since smaller steps would say little. Sizes are in GiB and not
# in tokens, because CC-100 counts few tokens where words are not separated by spaces: 64 GiB of Chinese are 435 million
# tokens, 9 GiB of Georgian 469 million.
SMALL_GIB, LARGE_GIB = 1, 10
ABSENT = "not in CC-100"
SIZES = [
    ABSENT,
    f"under {SMALL_GIB} GiB in CC-100",
    f"{SMALL_GIB} to {LARGE_GIB} GiB in CC-100",
    f"over {LARGE_GIB} GiB in CC-100",
]
NO_SIZE = "size in CC-100 not known"


@dataclass(frozen=True)
class Group:
    """The scores of zero-shot languages that share a property.

    Attributes:
        name: the shared property (``non-Latin``).
        languages: their codes, sorted; each has a score in at least one target.
        tasks: target -> (mean score over its languages in the group, number of these languages).
        score: the plain mean over these targets, in percent. Groups may differ in their targets, and targets in their
            languages per group: ``tasks`` lists what was averaged.
        gaps: target -> English minus the target's mean in the group; only targets that have a score in English.
        gap: the plain mean over ``gaps``; None if there is none.
        n: examples, over all targets and languages.
    """

    name: str
    languages: tuple[str, ...]
    tasks: dict[str, tuple[float, int]]
    score: float
    gaps: dict[str, float]
    gap: float | None
    n: int


def by_script(tasks: Mapping[str, TaskResult]) -> list[Group]:
    """Return ``Latin``, ``non-Latin`` and each non-Latin script, by name; groups without a score are left out.

    Args:
        tasks: target -> its scores, of one checkpoint; languages that are not zero-shot are not counted.
    """
    scripts = sorted({line.script for line in languages().values()} - {LATIN})
    both = _groups(tasks, lambda line: LATIN if line.script == LATIN else NON_LATIN, [LATIN, NON_LATIN])
    return both + _groups(tasks, lambda line: line.script, scripts)


def by_resource(tasks: Mapping[str, TaskResult]) -> list[Group]:
    """Return the groups by class, 0 (left behind) to 5 (rich), then by pre-training size; empty groups are left out.

    Every language is in one group of each. The classes are those of Joshi et al. 2020
    (https://arxiv.org/abs/2004.09095), the sizes those of CC-100, XLM-R's pre-training data; other encoders were
    trained on other data. Languages without a class or size in ``languages.yaml`` form a group of their own.

    Args:
        tasks: see ``by_script``.
    """
    return _groups(tasks, _joshi_class, [*CLASSES, NO_CLASS]) + _groups(tasks, _size, [*SIZES, NO_SIZE])


def by_family(tasks: Mapping[str, TaskResult]) -> list[Group]:
    """Return the language families by name, Indo-European by its branches; groups without a score are left out.

    Args:
        tasks: see ``by_script``.
    """
    families = sorted({line.family for line in languages().values()})
    return _groups(tasks, lambda line: line.family, families)


def _joshi_class(line: Language) -> str:
    return NO_CLASS if line.joshi_class is None else CLASSES[line.joshi_class]


def _size(line: Language) -> str:
    # For some languages languages.yaml has only name, family and script; they may still be in CC-100.
    if line.in_mbert is None:
        return NO_SIZE
    if line.cc100_gib is None:
        return ABSENT
    if line.cc100_gib < SMALL_GIB:
        return SIZES[1]
    return SIZES[2] if line.cc100_gib <= LARGE_GIB else SIZES[3]


def _groups(tasks: Mapping[str, TaskResult], name_of: Callable[[Language], str], order: Sequence[str]) -> list[Group]:
    """Return the groups that have a score, in an order of names."""
    known = languages()
    members: dict[str, set[str]] = {}
    for task in tasks.values():
        for code in task.languages:
            if task.spec.languages[code].zero_shot:
                members.setdefault(name_of(known[code]), set()).add(code)
    return [_group(name, members[name], tasks) for name in order if name in members]


def _group(name: str, codes: set[str], tasks: Mapping[str, TaskResult]) -> Group:
    means: dict[str, tuple[float, int]] = {}
    gaps: dict[str, float] = {}
    examples = 0
    for target, task in tasks.items():
        scores = [s for c, s in task.languages.items() if c in codes and task.spec.languages[c].zero_shot]
        if not scores:
            continue
        value = mean_over(task.spec, [(language_score(task.spec, score), score.n) for score in scores])
        means[target] = value, len(scores)
        examples += sum(score.n for score in scores)
        source = [s for c, s in task.languages.items() if not task.spec.languages[c].zero_shot]
        if source:
            gaps[target] = language_score(task.spec, source[0]) - value
    gap = mean(gaps.values()) if gaps else None
    return Group(name, tuple(sorted(codes)), means, mean(value for value, _ in means.values()), gaps, gap, examples)
