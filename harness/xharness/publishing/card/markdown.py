"""Values as a model card shows them: numbers, times, and texts of others that must not break its markdown."""

from __future__ import annotations

import re

from xharness.local_paths import shortened

_LONGEST = 1000


def plain(text: str) -> str:
    """Return a text of others as markdown that shows it as it is, on one line: no markup, no HTML, no local path.

    >>> plain("a | b <script> `c`")
    'a \\\\| b &lt;script&gt; \\\\`c\\\\`'
    """
    line = _line(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace("{{", "{&#123;")
    # An underscore inside a word is no markup (Hub ids and names of metrics are full of them).
    return re.sub(r"([\\`*\[\]|]|(?<!\w)_|_(?!\w))", r"\\\1", line)


def code(text: str) -> str:
    """Return a text of others as code in markdown, also inside a table."""
    return f"`{_line(text).replace('`', chr(39)).replace('|', '¦')}`"


def _line(text: str) -> str:
    return " ".join(harmless(text).split())


def harmless(text: str) -> str:
    """Return a text of others on one line: without local paths and what does not print, cut where it is very long.

    >>> harmless("query: \\u202e from /home/ann/x.tsv")
    'query:   from x.tsv'
    """
    return "".join(c if c.isprintable() else " " for c in str(shortened(text))[:_LONGEST])


def percent(value: float | None) -> str:
    """Return a score as a table shows it; a hyphen where there is none."""
    return "-" if value is None else f"{value:.1f}"


def duration(seconds: float) -> str:
    """Return a time as one reads it.

    >>> duration(27.3), duration(600), duration(40_000)
    ('27 s', '10 min', '11.1 h')
    """
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:,.1f} h"


def energy(kilowatt_hours: float) -> str:
    """Return an energy with two digits that count.

    >>> energy(0.00421), energy(12.34)
    ('0.0042 kWh', '12 kWh')
    """
    shown = f"{kilowatt_hours:,.0f}" if kilowatt_hours >= 10 else f"{kilowatt_hours:.2g}"
    return f"{shown} kWh"
