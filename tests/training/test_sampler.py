"""The order of training: mixtures, steps, and that a resumed run sees the same batches."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xharness.errors import UsageError
from xharness.training.sampler import TaskSampler, count_steps, mixture, single_task

SIZES = {"anli": 1_104_934, "mnli": 392_702, "qqp": 363_846, "squad_v2": 130_319, "squad_v1": 87_599}
SIZES |= {"hellaswag": 39_905, "ccg": 38_015, "cosmosqa": 25_262, "commonsenseqa": 9_741}
TASKS = st.dictionaries(st.sampled_from("abcdefgh"), st.integers(1, 300), min_size=1, max_size=5)


def test_the_worked_example_of_nine_tasks() -> None:
    found = mixture(SIZES, cap=131_072)
    expected = [0.181, 0.181, 0.181, 0.180, 0.121, 0.055, 0.053, 0.035, 0.013]
    assert [round(p, 3) for p in found.values()] == expected
    assert sum(min(size, 131_072) for size in SIZES.values()) == 724_057


@given(TASKS, st.integers(1, 400), st.floats(0.2, 50))
def test_probabilities_sum_to_one_and_keep_the_order_of_sizes(sizes: dict[str, int], cap: int, heat: float) -> None:
    found = mixture(sizes, cap, heat)
    assert sum(found.values()) == pytest.approx(1)
    by_size = sorted(sizes, key=lambda task: sizes[task])
    assert all(found[a] <= found[b] + 1e-12 for a, b in pairwise(by_size))


def test_a_large_temperature_takes_all_tasks_alike() -> None:
    assert set(np.round(list(mixture(SIZES, 131_072, 1e9).values()), 6)) == {round(1 / 9, 6)}


@pytest.mark.parametrize(("cap", "heat"), [(0, 1.0), (10, 0.0), (10, float("inf"))])
def test_a_cap_or_temperature_that_cannot_be_is_refused(cap: int, heat: float) -> None:
    with pytest.raises(UsageError, match=r"--cap|--temperature"):
        mixture({"a": 5}, cap, heat)


@given(st.integers(1, 200), st.integers(1, 40), st.integers(1, 4), st.integers(0, 2**32 - 1))
def test_one_task_sees_every_unit_once_in_each_pass(size: int, batch: int, epochs: int, seed: int) -> None:
    schedule = single_task("a", size, batch, epochs, seed)
    drawn = np.concatenate([schedule.step(step)[1] for step in range(len(schedule))])
    assert len(drawn) == size * epochs
    for number in range(epochs):
        assert sorted(drawn[number * size : (number + 1) * size]) == list(range(size))


@given(st.integers(1, 300), st.integers(1, 40), st.floats(0.01, 3.5))
def test_a_part_of_a_pass_ends_with_a_step_that_holds_something(size: int, batch: int, epochs: float) -> None:
    schedule = single_task("a", size, batch, epochs, 0)
    drawn = [len(schedule.step(step)[1]) for step in range(len(schedule))]
    assert min(drawn) >= 1
    assert sum(drawn) == max(1, round(size * epochs))
    assert count_steps({"a": size}, {"a": batch}, {"a": epochs}) == len(schedule)


@given(TASKS, st.integers(1, 20), st.integers(0, 2**32 - 1), st.data())
def test_a_resumed_run_sees_the_batches_of_one_that_was_not_stopped(
    sizes: dict[str, int], batch: int, seed: int, data: st.DataObject
) -> None:
    def fresh() -> TaskSampler:
        return TaskSampler(sizes, dict.fromkeys(sizes, batch), mixture(sizes, 100), 30, seed)

    whole = fresh()
    expected = [whole.step(step) for step in range(30)]
    start = data.draw(st.integers(0, 29))
    resumed = fresh()
    for step in range(start, 30):
        task, units = resumed.step(step)
        assert task == expected[step][0]
        assert list(units) == list(expected[step][1])


def test_tasks_come_as_often_as_their_probability_says() -> None:
    sizes = {"a": 1000, "b": 3000}
    schedule = TaskSampler(sizes, {"a": 8, "b": 8}, mixture(sizes, 10_000), 4000, seed=3)
    assert schedule.steps_per_task()["b"] == pytest.approx(3000, abs=100)
    assert sum(schedule.steps_per_task().values()) == 4000


def test_another_seed_gives_another_order() -> None:
    first, second = (single_task("a", 500, 500, 1, seed).step(0)[1] for seed in (0, 1))
    assert list(first) != list(second)


def test_steps_are_counted_as_jiant_counts_them() -> None:
    assert count_steps({"a": 100, "b": 50}, {"a": 32, "b": 16}, {"a": 2, "b": 2}, cap=64) == 2 * 2 + 2 * 4
    assert count_steps({"a": 100}, {"a": 32}, {"a": 0.01}) == 1
