"""Setting up a board: its data set and its Space on the Hub, with their cards and an empty page."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from xharness import assets, strict_json
from xharness.errors import UsageError
from xharness.hub.read import is_hub_id
from xharness.hub.upload import in_memory_file
from xharness.leaderboard import build, deploy, rows
from xharness.leaderboard.board import BOARD_FILE, BoardFile
from xharness.leaderboard.build import PAGE_FILE, REPLICATES
from xharness.leaderboard.deploy import CARD, Upload
from xharness.leaderboard.long_table import TABLE_FILE
from xharness.leaderboard.rows import SCORES_FILE
from xharness.leaderboard.submission import SUBMISSIONS

OF_DATA = (SCORES_FILE, TABLE_FILE)
"""What of a build lies in the data set; the rest is the Space's."""


def check_names(repo: str, space: str | None) -> None:
    """Raise UsageError where a name is none that a repository can have."""
    for flag, name in (("ORG/NAME", repo), ("--space", space)):
        if name is not None and not is_hub_id(name):
            raise UsageError(f"{flag}: '{name}' is no name of a repository. Give org/name.")


def about(title: str, space: str, maintainers: list[str]) -> BoardFile:
    """Return what a new board says of itself.

    Raises:
        SubmissionError: the title cannot be shown, or a name is none.
    """
    given = {"schema_version": 1, "title": title, "space": space, "maintainers": maintainers}
    return strict_json.record(BoardFile, given, BOARD_FILE)


def places(repo: str, board: BoardFile, scratch: Path) -> list[Upload]:
    """Return the repositories of a new board and all that lies in them; what is there already is kept.

    Args:
        repo: the data set.
        board: what it says of itself.
        scratch: an empty folder, in which the empty board is built.
    """
    source = scratch / "source"
    (source / SUBMISSIONS).mkdir(parents=True)
    (source / BOARD_FILE).write_bytes(board.to_bytes())
    build.build(source, scratch / "built", repo=repo)
    built = {file.path: file for file in deploy.folder_files(scratch / "built")}
    data = [
        in_memory_file(CARD, dataset_card(repo, board).encode()),
        in_memory_file(BOARD_FILE, board.to_bytes()),
        *(built[path] for path in OF_DATA),
    ]
    uploads = [Upload(repo=repo, repo_type="dataset", files=tuple(data), replaced=False)]
    if board.space is not None:
        page = (in_memory_file(CARD, space_card(repo, board).encode()), built[PAGE_FILE])
        uploads.append(Upload(repo=board.space, repo_type="space", files=page, replaced=False))
    return uploads


def built_places(repo: str, space: str | None, folder: Path) -> list[Upload]:
    """Return where the files of a build go: tables to the data set, the page to the Space.

    Args:
        repo: the data set.
        space: the Space; None where the board has none.
        folder: that `building.build` made.
    """
    built = deploy.folder_files(folder)
    data = tuple(file for file in built if file.path in OF_DATA)
    uploads = [Upload(repo=repo, repo_type="dataset", files=data, replaced=True)]
    if space is not None:
        page = tuple(file for file in built if file.path not in OF_DATA)
        uploads.append(Upload(repo=space, repo_type="space", files=page, replaced=True, cleared=f"{REPLICATES}/"))
    return uploads


def dataset_card(repo: str, board: BoardFile) -> str:
    """Return README.md of a board's data set."""
    front = {
        "pretty_name": board.title,
        "language": list(rows.layout().languages),
        "tags": ["leaderboard", "cross-lingual", "multilingual", "xtreme", "xtreme-r"],
        "configs": [{"config_name": "scores", "data_files": TABLE_FILE, "default": True}],
    }
    return _card("dataset_card.md.j2", front, repo, board)


def space_card(repo: str, board: BoardFile) -> str:
    """Return README.md of a board's Space."""
    front = {
        "title": board.title,
        "emoji": "🌍",
        "colorFrom": "blue",
        "colorTo": "gray",
        "sdk": "static",
        "app_file": PAGE_FILE,
        "datasets": [repo],
        "short_description": "Zero-shot cross-lingual transfer, by language",
    }
    return _card("space_card.md.j2", front, repo, board)


def _card(template: str, front: dict[str, Any], repo: str, board: BoardFile) -> str:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(assets.folder("leaderboard")),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        autoescape=False,
        keep_trailing_newline=True,
    )
    metadata = yaml.safe_dump(front, sort_keys=False, allow_unicode=True)
    return environment.get_template(template).render(front_matter=metadata, repo=repo, board=board)
