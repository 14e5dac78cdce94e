"""board.json: title, Space and maintainers of a leaderboard."""

from __future__ import annotations

import json
from typing import Annotated, Literal

from pydantic import Field

from xharness import strict_json
from xharness.leaderboard.fields import Name, Repo, User
from xharness.strict_yaml import Strict

BOARD_FILE = "board.json"
TITLE = "XTREME and XTREME-R leaderboard"
LARGEST = 1 << 16
"""Most bytes of a board.json."""


class BoardFile(Strict):
    """The content of board.json.

    Attributes:
        title: title of the page.
        space: the Space that shows the page; None if there is none.
        maintainers: Hub names of the users who merge submissions.
    """

    schema_version: Literal[1]
    title: Name
    space: Repo | None
    maintainers: Annotated[list[User], Field(max_length=100)]

    def to_bytes(self) -> bytes:
        """Return the content of the file."""
        return (json.dumps(self.model_dump(), ensure_ascii=False, indent=2) + "\n").encode("utf-8")


def parse_board(content: bytes, where: str) -> BoardFile:
    """Parse the content of a board.json.

    Raises:
        SubmissionError: the content is invalid; lists every wrong field.
    """
    return strict_json.record(BoardFile, strict_json.parse(content, where), where)
