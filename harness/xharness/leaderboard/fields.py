"""The forms of the single values in a submission's records: which texts can be shown, and what names look like."""

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
"""A little more than 100 is what rounding makes of it."""
LONGEST_NAME, LONGEST_NOTE, LONGEST_TEXT, LONGEST_URL = 80, 500, 200, 300
"""In characters: names; notes and reasons; other texts; addresses."""
MOST_SEEDS, MOST_FILES, MOST_SETTINGS, MOST_VERSIONS = 20, 5_000, 2_000, 40
LARGEST_RECORD = 4 << 20
"""Bytes of a submission.json: all languages of all targets under twenty seeds need two million."""
LARGEST_FILE, LARGEST_CONTENT = 32 << 20, 64 << 20
"""Bytes of a prediction file, packed and unpacked."""
LARGEST_PACKAGE, LARGEST_UNPACKED = 512 << 20, 2 << 30
"""Bytes of all prediction files together, packed and unpacked."""
LONGEST_ANSWER = 1_000
"""Characters of an answer to a question: longer ones are no answers but contexts, and those are others' texts."""
LONGEST_LABEL = 200
"""Characters of a label, a tag or an id."""


def _printable(text: str) -> str:
    if not is_printable(text) or text != text.strip():
        raise ValueError(
            "only characters that can be shown may stand here: no line breaks, no controls, nothing that turns the "
            "direction of writing, no spaces at the ends."
        )
    return text


def _like(pattern: str, words: str) -> AfterValidator:
    """Return the check that a text is of a form, which ``words`` describe."""
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
Url = Annotated[str, Field(max_length=LONGEST_URL), _like(_URL, "an address that begins with https://")]
User = Annotated[str, _like("[A-Za-z0-9][A-Za-z0-9._-]{0,95}", "the name of a user of the Hub")]
Repo = Annotated[str, Field(max_length=96), _like("[A-Za-z0-9][\\w.-]*/[A-Za-z0-9][\\w.-]*", "org/name")]
Sha1 = Annotated[str, _like("[0-9a-f]{40}", "a commit, 40 hex digits")]
Sha256 = Annotated[str, _like("[0-9a-f]{64}", "a SHA-256, 64 hex digits")]
SpecHash = Annotated[str, _like("[0-9a-f]{12}", "12 hex digits")]
Id = Annotated[str, _like(ID, "the id of a submission")]
Task = Annotated[str, _like("[a-z0-9][a-z0-9_-]{0,39}", "the name of a target")]
Language = Annotated[str, _like("[a-z]{2,3}", "a code of two or three letters")]
SeedText = Annotated[str, _like("0|[1-9][0-9]{0,9}", "a seed, a whole number")]
Scores = Annotated[dict[Text, Percent], Field(min_length=1, max_length=20)]
