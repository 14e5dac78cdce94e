"""Which task and which units each optimizer step trains on, random-access by seed."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from xharness.errors import UsageError

Indices = npt.NDArray[np.int64]


def mixture(sizes: Mapping[str, int], cap: int, temperature: float = 1.0) -> dict[str, float]:
    """Return the probability of each task: its size (at most ``cap``) to the power of 1 / temperature, normalized.

    Temperature 1 samples in proportion to capped sizes (T5's examples-proportional mixing with an artificial limit,
    https://arxiv.org/abs/1910.10683; jiant's ``train_examples_cap``); a large one takes all tasks equally often.

    >>> mixture({"mnli": 300, "copa": 100}, cap=200)
    {'mnli': 0.6666666666666666, 'copa': 0.3333333333333333}
    """
    if cap < 1:
        raise UsageError(f"--cap is {cap}: give a number of examples, 1 or more.")
    if not 0 < temperature < math.inf:
        raise UsageError(f"--temperature is {temperature}: give a number above 0 (1: in proportion to sizes).")
    largest = max(min(size, cap) for size in sizes.values())
    weights = {task: (min(size, cap) / largest) ** (1.0 / temperature) for task, size in sizes.items()}
    total = sum(weights.values())
    return {task: weight / total for task, weight in weights.items()}


def count_steps(
    sizes: Mapping[str, int], batch_sizes: Mapping[str, int], epochs: Mapping[str, float], cap: int | None = None
) -> int:
    """Return the optimizer steps of a run: for each task, its epochs over its size (at most ``cap``) in full batches.

    The rule of jiant: ``max_steps = epochs x sum_t ceil(min(n_t, cap) / batch)``.

    >>> count_steps({"mnli": 100}, {"mnli": 32}, {"mnli": 2})
    7
    """
    if len(sizes) == 1:
        task, size = next(iter(sizes.items()))
        return math.ceil(_drawn_units(size, epochs[task]) / batch_sizes[task])
    capped = {task: size if cap is None else min(size, cap) for task, size in sizes.items()}
    return max(1, round(sum(epochs[t] * math.ceil(size / batch_sizes[t]) for t, size in capped.items())))


@dataclass(frozen=True)
class TaskSampler:
    """Task and units of every step of a run, known without the steps before, so that a resumed run continues alike.

    The units of a task come in random order, all of them once before any comes again; the order differs by seed, task
    and pass.

    Attributes:
        sizes: task -> number of units.
        batch_sizes: task -> units per optimizer step.
        probabilities: task -> probability of a step; they sum to 1.
        steps: of the whole run.
        seed: of all draws.
        units: upper bound of all units, for a single task that ends in the middle of a batch; None: no bound.
    """

    sizes: Mapping[str, int]
    batch_sizes: Mapping[str, int]
    probabilities: Mapping[str, float]
    steps: int
    seed: int
    units: int | None = None
    _drawn: dict[str, npt.NDArray[np.int64]] = field(init=False, repr=False, default_factory=dict)
    _passes: dict[tuple[str, int], Indices] = field(init=False, repr=False, default_factory=dict)

    def __post_init__(self) -> None:
        tasks = list(self.sizes)
        chances = np.array([self.probabilities[task] for task in tasks], dtype=np.float64)
        chance = np.random.default_rng([self.seed, 0])
        drawn = chance.choice(len(tasks), size=self.steps, p=chances / chances.sum())
        # How many steps of the same task come before each step.
        before = np.zeros(self.steps, dtype=np.int64)
        for number in range(len(tasks)):
            own = drawn == number
            before[own] = np.arange(own.sum())
        self._drawn.update(task=drawn.astype(np.int64), before=before)

    def __len__(self) -> int:
        return self.steps

    def task(self, step: int) -> str:
        """Return the task of a step (from 0)."""
        return list(self.sizes)[int(self._drawn["task"][step])]

    def step(self, step: int) -> tuple[str, Indices]:
        """Return the task of a step (from 0) and the units of its batch."""
        task = self.task(step)
        start = int(self._drawn["before"][step]) * self.batch_sizes[task]
        stop = start + self.batch_sizes[task]
        if self.units is not None:
            stop = min(stop, self.units)
        size = self.sizes[task]
        parts = []
        while start < stop:
            number, offset = divmod(start, size)
            count = min(stop - start, size - offset)
            parts.append(self._pass(task, number)[offset : offset + count])
            start += count
        return task, np.concatenate(parts)

    def steps_per_task(self) -> dict[str, int]:
        """Return the number of steps of each task."""
        counts = np.bincount(self._drawn["task"], minlength=len(self.sizes))
        return {task: int(count) for task, count in zip(self.sizes, counts, strict=True)}

    def _pass(self, task: str, number: int) -> Indices:
        key = (task, number)
        if key not in self._passes:
            for old in [k for k in self._passes if k[0] == task and k[1] < number - 1]:
                del self._passes[old]
            index = list(self.sizes).index(task)
            order = np.random.default_rng([self.seed, 1, index, number]).permutation(self.sizes[task])
            self._passes[key] = order.astype(np.int64)
        return self._passes[key]


def _drawn_units(size: int, epochs: float) -> int:
    return max(1, round(size * epochs))


def single_task(
    task: str, size: int, batch_size: int, epochs: float, seed: int, steps: int | None = None
) -> TaskSampler:
    """Return the sampler of a single task; it ends after exactly ``epochs`` passes, or after ``steps`` steps."""
    total = steps or count_steps({task: size}, {task: batch_size}, {task: epochs})
    bound = None if steps is not None else _drawn_units(size, epochs)
    return TaskSampler({task: size}, {task: batch_size}, {task: 1.0}, total, seed, bound)
