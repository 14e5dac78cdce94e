"""Processes of a distributed training run, as torchrun starts them: rank, world size, and barriers."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta


@dataclass(frozen=True)
class Processes:
    """This process among those of a run.

    Attributes:
        rank: number of this process, from 0.
        world: how many there are.
    """

    rank: int
    world: int

    @classmethod
    def from_environment(cls) -> Processes:
        """Read RANK and WORLD_SIZE, which torchrun sets; without them there is one process."""
        return cls(int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1")))

    @property
    def is_main(self) -> bool:
        """Whether this process writes files and reports."""
        return self.rank == 0

    def wait(self, cpu: bool) -> None:
        """Block until all processes are here.

        Args:
            cpu: whether the run computes on the CPU.
        """
        if self.world > 1:
            from accelerate import PartialState

            # The main process may encode for a long time while the others wait.
            PartialState(cpu=cpu, timeout=timedelta(hours=3)).wait_for_everyone()

    @contextmanager
    def main_first(self, cpu: bool) -> Iterator[None]:
        """Run a block in the main process first, so that the others find what it wrote."""
        if not self.is_main:
            self.wait(cpu)
        yield
        if self.is_main:
            self.wait(cpu)
