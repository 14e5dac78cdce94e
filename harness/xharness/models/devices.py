"""Choose device and dtype; memory settings; library versions."""

from __future__ import annotations

import ctypes
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import torch
import transformers

from xharness.errors import UsageError

# Option numbers of malloc.h, and glibc's default values.
_TRIM_THRESHOLD, _MMAP_MAX = -1, -4
_TRIM_DEFAULT, _MMAP_DEFAULT = 128 * 1024, 65_536
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


@contextmanager
def keep_freed_memory() -> Iterator[None]:
    """Make glibc keep freed large memory blocks while the context is active; does nothing on other systems.

    Gradients of large embeddings are such blocks. They are allocated and freed at every step, and each time Linux has
    to provide zeroed pages.
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


def choose_device(name: str) -> torch.device:
    """Return the device for ``auto``, ``cpu``, ``cuda`` or ``cuda:N``; raise UsageError if it is not available."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if not re.fullmatch(r"cpu|cuda(:\d{1,3})?", name, re.ASCII):
        raise UsageError(f"There is no device '{name}'. Use auto, cpu, cuda or cuda:N.")
    device = torch.device(name)
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise UsageError(
            f"The device '{name}' is not available: this machine has {torch.cuda.device_count()} CUDA devices. "
            "Use --device auto or cpu."
        )
    return device


def choose_dtype(name: str, device: torch.device) -> str:
    """Return the dtype to compute in; ``auto`` is bfloat16 if the processor has matrix units for it, else float32."""
    if name != "auto":
        return name
    if device.type == "cuda":
        return "bfloat16" if torch.cuda.get_device_capability(device)[0] >= 8 else "float32"
    if device.type == "cpu":
        capabilities = torch.cpu.get_capabilities()
        return "bfloat16" if capabilities.get("amx_bf16") or capabilities.get("avx512_bf16") else "float32"
    return "float32"


def out_of_memory(error: BaseException) -> bool:
    """Return whether an error is an out-of-memory error; on a CPU there is no exception class for it."""
    return isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error)


def device_name(device: torch.device) -> str:
    """Return the device as recorded in results: the GPU's name, or the CPU with its number of threads."""
    if device.type == "cuda":
        return f"cuda ({torch.cuda.get_device_name(device)})"
    return f"{device.type} ({torch.get_num_threads()} threads)"


def versions() -> dict[str, str]:
    """Return the versions of the packages that a score may depend on."""
    import tokenizers

    return {
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "tokenizers": tokenizers.__version__,
    }
