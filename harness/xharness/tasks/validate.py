"""Validate task files, and check that each benchmark is complete."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tabulate import tabulate

from xharness import assets, strict_yaml
from xharness.errors import SpecError
from xharness.tasks.benchmarks import Benchmark, benchmarks, read_benchmark
from xharness.tasks.languages import languages
from xharness.tasks.recipes import load_recipe
from xharness.tasks.registry import list_training, parts_of, read_mixture, read_task, read_training
from xharness.tasks.task_spec import MixtureSpec, TaskSpec, TrainingSpec


@dataclass(frozen=True)
class Target:
    """One target of a benchmark, and how complete its spec is.

    Attributes:
        name: the target.
        state: ``can be scored``, ``no data source yet`` or ``no spec yet``.
        languages, expected_languages: number of languages in the spec and in the benchmark.
        examples: test examples over all languages; None if not confirmed.
        candidates: candidates over all pools; None if not confirmed, 0 for tasks without candidates.
    """

    name: str
    state: str
    languages: int
    expected_languages: int
    examples: int | None
    candidates: int | None

    @property
    def problem(self) -> str:
        """What is missing, as a sentence; '' if the target is complete."""
        if self.state != "can be scored":
            return f"{self.name}: {self.state}."
        if self.languages != self.expected_languages:
            return f"{self.name}: found {self.languages} languages, expected {self.expected_languages}."
        return ""


@dataclass(frozen=True)
class Coverage:
    """How complete a benchmark is: its targets, and how many of its languages they cover."""

    benchmark: str
    targets: list[Target]
    languages: int
    expected_languages: int

    @property
    def problems(self) -> list[str]:
        """What is missing, one sentence each; empty if the benchmark is complete."""
        problems = [f"{self.benchmark}: {target.problem}" for target in self.targets if target.problem]
        if self.languages != self.expected_languages:
            problems.append(
                f"{self.benchmark}: its targets have {self.languages} languages, expected {self.expected_languages}."
            )
        return problems

    @property
    def verdict(self) -> str:
        """Whether the benchmark is complete, in one line."""
        complete = sum(not target.problem for target in self.targets)
        state = "not complete" if self.problems else "complete"
        counts = f"{complete} of {len(self.targets)} targets, {self.languages} of {self.expected_languages} languages"
        return f"{self.benchmark}: {state}: {counts}"

    def to_json(self) -> dict[str, Any]:
        """Return what ``--json`` prints."""
        return {
            "complete": not self.problems,
            "missing": self.problems,
            "languages": {"found": self.languages, "expected": self.expected_languages},
            "targets": {
                t.name: {
                    "state": t.state,
                    "languages": {"found": t.languages, "expected": t.expected_languages},
                    "examples": t.examples,
                    "candidates": t.candidates,
                }
                for t in self.targets
            },
        }


@dataclass(frozen=True)
class ValidationReport:
    """The result of ``check``: the number of valid files, and how complete the benchmarks are ([] for own files)."""

    files: int
    coverage: list[Coverage]

    def __str__(self) -> str:
        lines = [f"{self.files} {'file is' if self.files == 1 else 'files are'} well formed."]
        if self.coverage:
            lines += [_table(self.coverage), "\n".join(coverage.verdict for coverage in self.coverage)]
        return "\n\n".join(lines)

    def to_json(self) -> dict[str, Any]:
        """Return what ``--json`` prints."""
        return {"files": self.files, "benchmarks": {c.benchmark: c.to_json() for c in self.coverage}}

    def fail_if_incomplete(self) -> None:
        """Raise SpecError with everything that is missing from the benchmarks, if anything is."""
        problems = [problem for coverage in self.coverage for problem in coverage.problems]
        if problems:
            raise SpecError("\n".join(problems))


def check(files: Sequence[Path] = ()) -> ValidationReport:
    """Validate task files, and check that the benchmarks are complete.

    Args:
        files: files to validate; empty: all files that ship with xharness.

    Raises:
        SpecError: all problems of all files, one per line, each with file, field and the nearest name.
    """
    languages()
    paths = list(files) or sorted(assets.TASKS.glob("*/*.yaml"))
    specs, problems = [], []
    for path in paths:
        try:
            specs.append(_reader(path)(path))
        except SpecError as error:
            problems.append(str(error))
    targets = {spec.name: spec for spec in specs if isinstance(spec, TaskSpec)}
    if not files and not problems:
        problems += _unresolved_references(specs)
    if problems:
        raise SpecError("\n".join(problems))
    return ValidationReport(len(paths), [] if files else [_coverage(b, targets) for b in benchmarks().values()])


def _reader(path: Path) -> Callable[[Path], Any]:
    """Return the reader of a file, chosen by its keys: benchmarks, mixtures and recipes have ``tasks``."""
    content = strict_yaml.read(path)
    if "default" in content or isinstance(content.get("tasks"), dict):
        return lambda path: load_recipe(str(path))
    if "tasks" in content:
        return read_benchmark if {"groups", "language_count"} & content.keys() else read_mixture
    if "train_split" in content:
        return read_training
    return read_task


def _unresolved_references(specs: Sequence[Any]) -> list[str]:
    """Return a sentence for each training set that a file names but that does not exist or does not fit."""
    problems = []
    for spec in specs:
        references = {
            "train": [spec.train] if isinstance(spec, TaskSpec) and spec.train is not None else [],
            "after": [spec.after] if isinstance(spec, TrainingSpec) and spec.after is not None else [],
            "members": spec.members if isinstance(spec, TrainingSpec) else [],
            "tasks": spec.tasks if isinstance(spec, MixtureSpec) else [],
        }
        missing = [
            f"{spec.name}.yaml: {field}: there is no training set '{name}' under intermediate/, english/ or parts/."
            for field, names in references.items()
            for name in names
            if name not in list_training()
        ]
        if isinstance(spec, TrainingSpec) and not missing:
            try:
                parts_of(spec)
            except SpecError as error:
                missing.append(str(error))
        problems += missing
    return problems


def _coverage(benchmark: Benchmark, targets: Mapping[str, TaskSpec]) -> Coverage:
    coverage, union = [], set()
    for name in benchmark.tasks:
        spec, expected = targets.get(name), benchmark.task_languages[name]
        if spec is None:
            coverage.append(Target(name, "no spec yet", 0, expected, None, 0))
            continue
        codes = spec.languages_in(benchmark.name)
        union |= set(codes)
        state = "no data source yet" if spec.unavailable else "can be scored"
        coverage.append(Target(name, state, len(codes), expected, _examples(spec, codes), _candidates(spec, codes)))
    return Coverage(benchmark.name, coverage, len(union), benchmark.language_count)


def _examples(spec: TaskSpec, codes: Sequence[str]) -> int | None:
    counts = [spec.expected_count(code, "test") for code in codes]
    known = [count for count in counts if count is not None]
    if len(known) == len(counts):
        return sum(known)
    return spec.total.get("test") if len(codes) == len(spec.languages) else None


def _candidates(spec: TaskSpec, codes: Sequence[str]) -> int | None:
    if spec.candidates is None:
        return 0
    per_pool = spec.candidates.expected.get("test")
    return per_pool * len(codes) if per_pool is not None and spec.candidates.scope == "language" else per_pool


def _table(coverage: Sequence[Coverage]) -> str:
    rows = [
        [
            benchmark.benchmark,
            target.name,
            f"{target.languages} of {target.expected_languages}",
            _number(target.examples),
            "" if target.candidates == 0 else _number(target.candidates),
            target.state,
        ]
        for benchmark in coverage
        for target in benchmark.targets
    ]
    head = ["benchmark", "target", "languages", "test examples", "candidates", "state"]
    align = ["left", "left", "right", "right", "right", "left"]
    return tabulate(rows, head, tablefmt="simple", disable_numparse=True, colalign=align)


def _number(value: int | None) -> str:
    return "not known" if value is None else f"{value:,}"
