"""How freed memory is kept while a model is trained on a CPU: asking Linux for it anew at every step costs a lot."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterator
from contextlib import contextmanager

# The numbers of malloc.h, and glibc's own values.
_TRIM_THRESHOLD, _MMAP_MAX = -1, -4
_TRIM_DEFAULT, _MMAP_DEFAULT = 128 * 1024, 65_536


@contextmanager
def freed_memory_kept() -> Iterator[None]:
    """Have glibc keep large blocks that are freed, until the end of the block of code; elsewhere do nothing.

    Gradients of large embeddings are such blocks, made and freed at every step; each time Linux hands out zeroed pages.
    """
    settings = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if settings is None:
        yield
        return
    settings(_MMAP_MAX, 0)
    settings(_TRIM_THRESHOLD, -1)
    try:
        yield
    finally:
        settings(_MMAP_MAX, _MMAP_DEFAULT)
        settings(_TRIM_THRESHOLD, _TRIM_DEFAULT)
