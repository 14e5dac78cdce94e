"""Progress bars on stderr."""

from __future__ import annotations

import sys
import time
from typing import Any

from tqdm import tqdm


def bar(name: str, total: int | None, shown: bool, unit: str = "ex") -> Any:
    """Return a progress bar that disappears when done; it is hidden if stderr is not a terminal."""
    return tqdm(
        desc=name,
        total=total,
        unit=unit,
        unit_scale=unit != "ex",
        file=sys.stderr,
        disable=not shown or not sys.stderr.isatty(),
        dynamic_ncols=True,
        leave=False,
        smoothing=0.1,
    )


class Ticker:
    """Advances a bar of examples by the share of processed tokens: long rows come first and take longer."""

    def __init__(self, progress_bar: Any, examples: int, tokens: int) -> None:
        self._bar, self._examples, self._tokens = progress_bar, examples, max(tokens, 1)
        self._done, self._shown, self._start = 0, 0, time.perf_counter()

    def tick(self, tokens: int) -> None:
        """Advance by a number of processed tokens."""
        self._done += tokens
        share = self._examples * self._done // self._tokens
        self._bar.update(share - self._shown)
        self._shown = share
        rate = self._done / max(time.perf_counter() - self._start, 1e-9)
        name = (getattr(self._bar, "postfix", None) or "").split(",")[0]
        self._bar.set_postfix_str(f"{name}, {rate:,.0f} tokens/s", refresh=False)
