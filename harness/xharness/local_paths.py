"""Paths of this machine in what leaves it: a published file must not tell what somebody's home folder is called."""

from __future__ import annotations

import re
from typing import Any

_WHOLE = re.compile(r"(?:file://)?(?:~[\w.-]*)?/.*|(?:file:///)?[A-Za-z]:[\\/].*|\\\\.*")
_SENTENCE = re.compile(r"[.:;,](\s|$)")
# Within a sentence a path has two parts at least, so that "and/or", "km/h" and the paths of URLs are none.
_WITHIN = re.compile(
    r"(?<![\w/.:~@-])(?:file://)?~?/(?:[^\s/'\"`,;:|()<>]+/)+[^\s/'\"`,;:|()<>]*"
    r"|(?<![\w/.:~@-])[A-Za-z]:[\\/](?:[^\s\\/'\"`,;:|()<>]+[\\/])*[^\s\\/'\"`,;:|()<>]*"
)


def shortened(value: Any) -> Any:
    """Return a value of a JSON file with every absolute path in it cut to its last part.

    >>> shortened({"model": "/home/ann/zoo/mnli", "notes": ["read from /data/ann/x.tsv.", "https://host/a/b"]})
    {'model': 'mnli', 'notes': ['read from x.tsv.', 'https://host/a/b']}
    """
    if isinstance(value, dict):
        return {_short(key) if isinstance(key, str) else key: shortened(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [shortened(inner) for inner in value]
    return _short(value) if isinstance(value, str) else value


def holds_path(text: str) -> bool:
    """Whether a text is a path of this machine, or has one in it."""
    return _short(text) != text


def _short(text: str) -> str:
    if _WHOLE.fullmatch(text) and not _SENTENCE.search(text):
        return _last(text)
    return _WITHIN.sub(lambda match: _last(match[0]), text)


def _last(path: str) -> str:
    parts = [part for part in re.split(r"[\\/]", path) if part]
    return parts[-1] if parts else path
