"""Sanitize untrusted text for terminals, Markdown and HTML; format numbers, sizes and durations."""

from __future__ import annotations

import re
import unicodedata
from typing import Any

# Whoever wrote it must not move the cursor, set the title of a window, or turn the direction of what follows: controls
# of C0 but tab and line feed, DEL, those of C1, and Unicode's overrides and isolates of direction.
_CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
_ONLY_PATH = re.compile(r"(?:file://)?(?:~[\w.-]*)?/.*|(?:file:///)?[A-Za-z]:[\\/].*|\\\\.*")
_SENTENCE = re.compile(r"[.:;,](\s|$)")
# Within a sentence a path has two parts at least, so that "and/or", "km/h" and the paths of URLs are none.
_WITHIN = re.compile(
    r"(?<![\w/.:~@-])(?:file://)?~?/(?:[^\s/'\"`,;:|()<>]+/)+[^\s/'\"`,;:|()<>]*"
    r"|(?<![\w/.:~@-])[A-Za-z]:[\\/](?:[^\s\\/'\"`,;:|()<>]+[\\/])*[^\s\\/'\"`,;:|()<>]*"
)
_LONGEST = 1000
LONGEST_ON_PAGE = 500
"""Characters of one text of others; limits at submission are lower, this one is for what came in another way."""
# Controls, marks and overrides of direction, and halves of surrogate pairs.
_UNSHOWN = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufeff]+")


def strip_controls(text: str) -> str:
    r"""Return a text without control characters; tabs and line feeds stay.

    >>> plain("a\x1b[31mb\tc")
    'a[31mb\tc'
    """
    return _CONTROLS.sub("", text)


def shorten_paths(value: Any) -> Any:
    """Return a value of a JSON file with every absolute path in it cut to its last part.

    >>> shortened({"model": "/home/ann/zoo/mnli", "notes": ["read from /data/ann/x.tsv.", "https://host/a/b"]})
    {'model': 'mnli', 'notes': ['read from x.tsv.', 'https://host/a/b']}
    """
    if isinstance(value, dict):
        return {_shorten(key) if isinstance(key, str) else key: shorten_paths(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [shorten_paths(inner) for inner in value]
    return _shorten(value) if isinstance(value, str) else value


def holds_path(text: str) -> bool:
    """Whether a text is a path of this machine, or has one in it."""
    return _shorten(text) != text


def _shorten(text: str) -> str:
    if _ONLY_PATH.fullmatch(text) and not _SENTENCE.search(text):
        return _last(text)
    return _WITHIN.sub(lambda match: _last(match[0]), text)


def _last(path: str) -> str:
    parts = [part for part in re.split(r"[\\/]", path) if part]
    return parts[-1] if parts else path


def escape_markdown(text: str) -> str:
    """Return a text of others as markdown that shows it as it is, on one line: no markup, no HTML, no local path.

    >>> plain("a | b <script> `c`")
    'a \\\\| b &lt;script&gt; \\\\`c\\\\`'
    """
    line = _joined_line(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace("{{", "{&#123;")
    # An underscore inside a word is no markup (Hub ids and names of metrics are full of them).
    return re.sub(r"([\\`*\[\]|]|(?<!\w)_|_(?!\w))", r"\\\1", line)


def markdown_code(text: str) -> str:
    """Return a text of others as code in markdown, also inside a table."""
    return f"`{_joined_line(text).replace('`', chr(39)).replace('|', '¦')}`"


def _joined_line(text: str) -> str:
    return " ".join(one_line(text).split())


def one_line(text: str) -> str:
    """Return a text of others on one line: without local paths and what does not print, cut where it is very long.

    >>> harmless("query: \\u202e from /home/ann/x.tsv")
    'query:   from x.tsv'
    """
    return "".join(c if c.isprintable() else " " for c in str(shorten_paths(text))[:_LONGEST])


def format_score(value: float | None) -> str:
    """Return a score as a table shows it; a hyphen where there is none."""
    return "-" if value is None else f"{value:.1f}"


def format_duration(seconds: float) -> str:
    """Return a time as one reads it.

    >>> duration(27.3), duration(600), duration(40_000)
    ('27 s', '10 min', '11.1 h')
    """
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:,.1f} h"


def format_energy(kilowatt_hours: float) -> str:
    """Return an energy with two digits that count.

    >>> energy(0.00421), energy(12.34)
    ('0.0042 kWh', '12 kWh')
    """
    shown = f"{kilowatt_hours:,.0f}" if kilowatt_hours >= 10 else f"{kilowatt_hours:.2g}"
    return f"{shown} kWh"


def format_bytes(count: int) -> str:
    """Return a number of bytes as people read it.

    >>> size_of(812), size_of(2_400_000), size_of(2_239_000_000)
    ('812 B', '2.4 MB', '2.24 GB')
    """
    for unit, factor, digits in (("GB", 10**9, 2), ("MB", 10**6, 1), ("kB", 10**3, 1)):
        if count >= factor:
            return f"{count / factor:.{digits}f} {unit}"
    return f"{count} B"


def is_printable(text: str) -> bool:
    r"""Whether a text can be shown as it is: no controls, no lone surrogates, nothing that turns its direction.

    Letters have to be put together (NFC), so that no two texts look alike and differ, and no letter bears a pile of
    marks that covers its neighbours.

    >>> is_printable("XLM-R \u2248 large"), is_printable("a\u202eb"), is_printable("a\nb"), is_printable("e\u0301")
    (True, False, False, False)
    """
    marks = 0
    for character in text:
        marks = marks + 1 if unicodedata.combining(character) else 0
        if marks > 3:
            return False
    return text.isprintable() and unicodedata.is_normalized("NFC", text)


def for_page(text: object) -> str:
    r"""Return what a stranger wrote on one line, without characters that are not seen, cut to ``LONGEST_ON_PAGE``.

    >>> clean("a\u202eb\n\nc")
    'a b c'
    """
    # Cut twice: what is taken out must not cost time in proportion to a megabyte of it.
    shown = " ".join(_UNSHOWN.sub(" ", str(text)[: 4 * LONGEST_ON_PAGE]).split())
    return shown if len(shown) <= LONGEST_ON_PAGE else shown[: LONGEST_ON_PAGE - 1] + "…"
