"""Sanitize untrusted text for terminals, Markdown and HTML; format numbers, sizes and durations."""

from __future__ import annotations

import re
import unicodedata
from typing import Any

# Untrusted text must not move the cursor, set the window title or change the direction of the text after it: C0
# controls except tab and line feed, DEL, C1 controls, and Unicode's direction overrides and isolates.
_CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
_ONLY_PATH = re.compile(r"(?:file://)?(?:~[\w.-]*)?/.*|(?:file:///)?[A-Za-z]:[\\/].*|\\\\.*")
_SENTENCE = re.compile(r"[.:;,](\s|$)")
# Within a sentence a path has at least two parts, so that "and/or", "km/h" and the paths of URLs do not count.
_WITHIN = re.compile(
    r"(?<![\w/.:~@-])(?:file://)?~?/(?:[^\s/'\"`,;:|()<>]+/)+[^\s/'\"`,;:|()<>]*"
    r"|(?<![\w/.:~@-])[A-Za-z]:[\\/](?:[^\s\\/'\"`,;:|()<>]+[\\/])*[^\s\\/'\"`,;:|()<>]*"
)
_LONGEST = 1000
LONGEST_ON_PAGE = 500
"""Maximum characters of an untrusted text on the page. Submissions have lower limits; this one is for other text."""
# Controls, direction marks and overrides, and lone surrogates.
_INVISIBLE = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufeff]+")


def strip_controls(text: str) -> str:
    r"""Remove control characters; keep tabs and line feeds.

    >>> strip_controls("a\x1b[31mb\tc")
    'a[31mb\tc'
    """
    return _CONTROLS.sub("", text)


def shorten_paths(value: Any) -> Any:
    """Cut every absolute path in a JSON value to its last part.

    >>> shorten_paths({"model": "/home/ann/zoo/mnli", "notes": ["read from /data/ann/x.tsv.", "https://host/a/b"]})
    {'model': 'mnli', 'notes': ['read from x.tsv.', 'https://host/a/b']}
    """
    if isinstance(value, dict):
        return {_shorten(key) if isinstance(key, str) else key: shorten_paths(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [shorten_paths(inner) for inner in value]
    return _shorten(value) if isinstance(value, str) else value


def holds_path(text: str) -> bool:
    """Whether a text is or contains an absolute path."""
    return _shorten(text) != text


def _shorten(text: str) -> str:
    if _ONLY_PATH.fullmatch(text) and not _SENTENCE.search(text):
        return _last(text)
    return _WITHIN.sub(lambda match: _last(match[0]), text)


def _last(path: str) -> str:
    parts = [part for part in re.split(r"[\\/]", path) if part]
    return parts[-1] if parts else path


def escape_markdown(text: str) -> str:
    """Escape untrusted text for Markdown, on one line, without local paths.

    >>> escape_markdown("a | b <script> `c`")
    'a \\\\| b &lt;script&gt; \\\\`c\\\\`'
    """
    line = _joined_line(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace("{{", "{&#123;")
    # An underscore inside a word is not markup (Hub ids and metric names often have one).
    return re.sub(r"([\\`*\[\]|]|(?<!\w)_|_(?!\w))", r"\\\1", line)


def markdown_code(text: str) -> str:
    """Return untrusted text as Markdown code that is also valid inside a table."""
    return f"`{_joined_line(text).replace('`', chr(39)).replace('|', '¦')}`"


def _joined_line(text: str) -> str:
    return " ".join(one_line(text).split())


def one_line(text: str) -> str:
    """Return untrusted text on one line, without local paths and unprintable characters, at most 1,000 characters.

    >>> one_line("query: \\u202e from /home/ann/x.tsv")
    'query:   from x.tsv'
    """
    return "".join(c if c.isprintable() else " " for c in str(shorten_paths(text))[:_LONGEST])


def format_score(value: float | None) -> str:
    """Format a score for tables, with one decimal; a hyphen for None."""
    return "-" if value is None else f"{value:.1f}"


def format_duration(seconds: float) -> str:
    """Format seconds as seconds, minutes or hours.

    >>> format_duration(27.3), format_duration(600), format_duration(40_000)
    ('27 s', '10 min', '11.1 h')
    """
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:,.1f} h"


def format_energy(kilowatt_hours: float) -> str:
    """Format an energy with two significant digits below 10 kWh, and as a whole number above.

    >>> format_energy(0.00421), format_energy(12.34)
    ('0.0042 kWh', '12 kWh')
    """
    shown = f"{kilowatt_hours:,.0f}" if kilowatt_hours >= 10 else f"{kilowatt_hours:.2g}"
    return f"{shown} kWh"


def format_bytes(count: int) -> str:
    """Format bytes with a decimal unit.

    >>> format_bytes(812), format_bytes(2_400_000), format_bytes(2_239_000_000)
    ('812 B', '2.4 MB', '2.24 GB')
    """
    for unit, factor, digits in (("GB", 10**9, 2), ("MB", 10**6, 1), ("kB", 10**3, 1)):
        if count >= factor:
            return f"{count / factor:.{digits}f} {unit}"
    return f"{count} B"


def is_printable(text: str) -> bool:
    r"""Whether a text can be shown unchanged: no controls, no lone surrogates, no direction overrides.

    It must be in NFC, so that no two different texts look the same, and have at most three combining marks in a row, so
    that marks do not cover other text.

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
    r"""Return untrusted text on one line, without invisible characters, at most ``LONGEST_ON_PAGE`` characters.

    >>> for_page("a\u202eb\n\nc")
    'a b c'
    """
    # Cut twice, so that a megabyte of invisible characters does not take long.
    shown = " ".join(_INVISIBLE.sub(" ", str(text)[: 4 * LONGEST_ON_PAGE]).split())
    return shown if len(shown) <= LONGEST_ON_PAGE else shown[: LONGEST_ON_PAGE - 1] + "…"
