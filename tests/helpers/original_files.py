"""Small files in original formats, and their rows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from xharness.data import formats


def write(path: Path, content: str | bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8"))
    return path


def rows(format: str, *paths: Path, language: str = "de") -> list[dict[str, Any]]:
    return list(formats.READERS[format](paths, formats.ReadOptions(language)))
