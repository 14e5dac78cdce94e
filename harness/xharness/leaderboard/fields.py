"""Types and limits of the values in a submission's records."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, Field

from xharness.strict_json import show_value
from xharness.text import is_printable

_URL = r"https://[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?(?::[0-9]{1,5})?(?:/[A-Za-z0-9._~:/?#@!$&()*+,;=%-]*)?"
ID = "[a-z0-9][a-z0-9-]{0,39}-[0-9a-f]{12}"
Seed = Annotated[int, Field(ge=0, lt=2**32)]
Count = Annotated[int, Field(ge=1, lt=2**53)]
Percent = Annotated[float, Field(ge=0, le=100 + 1e-9)]
"""The upper limit is a little above 100 to allow for rounding."""
LONGEST_NAME, LONGEST_NOTE, LONGEST_TEXT, LONGEST_URL = 80, 500, 200, 300
"""In characters: names; notes and reasons; other texts; addresses."""
MOST_SEEDS, MOST_FILES, MOST_SETTINGS, MOST_VERSIONS = 20, 5_000, 2_000, 40
LARGEST_RECORD = 4 << 20
"""Bytes of a submission.json; all languages of all targets with twenty seeds need two million."""
LARGEST_FILE, LARGEST_CONTENT = 32 << 20, 64 << 20
"""Bytes of a prediction file, compressed and uncompressed."""
LARGEST_PACKAGE, LARGEST_UNPACKED = 512 << 20, 2 << 30
"""Bytes of all prediction files together, compressed and uncompressed."""
LONGEST_ANSWER = 1_000
"""Characters of an answer to a question: longer ones are contexts, which are copyrighted text of others."""
LONGEST_LABEL = 200
"""Characters of a label, a tag or an id."""


def _printable(text: str) -> str:
    if not is_printable(text) or text != text.strip():
        raise ValueError(
            "only printable characters are allowed: no line breaks, control characters, direction marks, or spaces at "
            "the ends."
        )
    return text


def _like(pattern: str, words: str) -> AfterValidator:
    """Return a validator for texts that match a pattern; ``words`` describe it in the error message."""
    form = re.compile(pattern, re.ASCII)

    def check(text: str) -> str:
        if not form.fullmatch(text):
            raise ValueError(f"found {show_value(text)}, expected {words}.")
        return text

    return AfterValidator(check)


Text = Annotated[str, Field(min_length=1, max_length=LONGEST_TEXT), AfterValidator(_printable)]
Name = Annotated[str, Field(min_length=1, max_length=LONGEST_NAME), AfterValidator(_printable)]
Note = Annotated[str, Field(max_length=LONGEST_NOTE), AfterValidator(_printable)]
Reason = Annotated[str, Field(min_length=1, max_length=LONGEST_NOTE), AfterValidator(_printable)]
Url = Annotated[str, Field(max_length=LONGEST_URL), _like(_URL, "a URL that begins with https://")]
User = Annotated[str, _like("[A-Za-z0-9][A-Za-z0-9._-]{0,95}", "a user name of the Hub")]
Repo = Annotated[str, Field(max_length=96), _like("[A-Za-z0-9][\\w.-]*/[A-Za-z0-9][\\w.-]*", "org/name")]
Sha1 = Annotated[str, _like("[0-9a-f]{40}", "a commit, 40 hex digits")]
Sha256 = Annotated[str, _like("[0-9a-f]{64}", "a SHA-256, 64 hex digits")]
SpecHash = Annotated[str, _like("[0-9a-f]{12}", "12 hex digits")]
Id = Annotated[str, _like(ID, "a submission id")]
Task = Annotated[str, _like("[a-z0-9][a-z0-9_-]{0,39}", "a target name")]
Language = Annotated[str, _like("[a-z]{2,3}", "a language code of two or three letters")]
SeedText = Annotated[str, _like("0|[1-9][0-9]{0,9}", "a seed, a nonnegative integer")]
Scores = Annotated[dict[Text, Percent], Field(min_length=1, max_length=20)]
