"""Text of others made fit for a terminal: without the characters that a terminal obeys."""

from __future__ import annotations

import re

# Whoever wrote it must not move the cursor, set the title of a window, or turn the direction of what follows: controls
# of C0 but tab and line feed, DEL, those of C1, and Unicode's overrides and isolates of direction.
_CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def plain(text: str) -> str:
    r"""Return a text without control characters; tabs and line feeds stay.

    >>> plain("a\x1b[31mb\tc")
    'a[31mb\tc'
    """
    return _CONTROLS.sub("", text)
