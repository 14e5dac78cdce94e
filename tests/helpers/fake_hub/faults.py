"""What can go wrong with a request, on order of a test."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass
class Fault:
    """What goes wrong with the next requests whose ``METHOD path`` matches; as made without arguments, nothing."""

    match: str = ""
    times: int = 1
    status: int | None = None
    """The answer, whatever was asked; ``headers`` go with it."""
    headers: Mapping[str, str] = field(default_factory=dict)
    cut_after: int | None = None
    """The connection is reset after so many bytes of the answer's body."""
    cut_upload_after: int | None = None
    """The connection is reset after so many bytes of the request's body, and nothing is kept."""
    slow: float = 0.0
    """Seconds before each piece (1 MiB at most) of a body, either way."""
    stale: bool = False
    """Somebody else's commit comes just before this one."""
    corrupt: bool = False
    """A download of the right length with wrong bytes; an upload is refused as one whose bytes are wrong."""
    after: bool = False
    """What was asked is done, and the connection is reset before the answer."""


class Cut(Exception):
    """The connection is to be reset here."""


def flipped(piece: bytes) -> bytes:
    """Return a piece of the same length whose first byte is another one."""
    return bytes([piece[0] ^ 0xFF]) + piece[1:] if piece else piece
