"""The files that are uploaded to a leaderboard's data set and Space."""

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

DATASET_FILES = (SCORES_FILE, TABLE_FILE)
"""Files of a build that go to the data set; the others go to the Space."""


def check_names(repo: str, space: str | None) -> None:
    """Raise UsageError if a name is not a valid repository name."""
    for flag, name in (("ORG/NAME", repo), ("--space", space)):
        if name is not None and not is_hub_id(name):
            raise UsageError(f"{flag}: '{name}' is not a repository name. Give org/name.")


def new_board(title: str, space: str, maintainers: list[str]) -> BoardFile:
    """Return the board.json of a new leaderboard.

    Raises:
        SubmissionError: the title has unprintable characters, or a name is invalid.
    """
    given = {"schema_version": 1, "title": title, "space": space, "maintainers": maintainers}
    return strict_json.record(BoardFile, given, BOARD_FILE)


def uploads(repo: str, board: BoardFile, scratch: Path) -> list[Upload]:
    """Return the repositories of a new leaderboard and their files; existing files are kept.

    Args:
        repo: the data set.
        board: its board.json.
        scratch: an empty folder, in which an empty leaderboard is built.
    """
    source = scratch / "source"
    (source / SUBMISSIONS).mkdir(parents=True)
    (source / BOARD_FILE).write_bytes(board.to_bytes())
    build.build(source, scratch / "built", repo=repo)
    built = {file.path: file for file in deploy.folder_files(scratch / "built")}
    data = [
        in_memory_file(CARD, dataset_card(repo, board).encode()),
        in_memory_file(BOARD_FILE, board.to_bytes()),
        *(built[path] for path in DATASET_FILES),
    ]
    repositories = [Upload(repo=repo, repo_type="dataset", files=tuple(data), overwrite=False)]
    if board.space is not None:
        page = (in_memory_file(CARD, space_card(repo, board).encode()), built[PAGE_FILE])
        repositories.append(Upload(repo=board.space, repo_type="space", files=page, overwrite=False))
    return repositories


def build_uploads(repo: str, space: str | None, folder: Path) -> list[Upload]:
    """Return the uploads of a build: tables to the data set, the page to the Space.

    Args:
        repo: the data set.
        space: the Space; None if there is none.
        folder: output folder of `build.build`.
    """
    files = deploy.folder_files(folder)
    data = tuple(file for file in files if file.path in DATASET_FILES)
    repositories = [Upload(repo=repo, repo_type="dataset", files=data, overwrite=True)]
    if space is not None:
        page = tuple(file for file in files if file.path not in DATASET_FILES)
        repositories.append(Upload(repo=space, repo_type="space", files=page, overwrite=True, clear=f"{REPLICATES}/"))
    return repositories


def dataset_card(repo: str, board: BoardFile) -> str:
    """Return the README.md of a leaderboard's data set."""
    metadata = {
        "pretty_name": board.title,
        "language": list(rows.board_schema().languages),
        "tags": ["leaderboard", "cross-lingual", "multilingual", "xtreme", "xtreme-r"],
        "configs": [{"config_name": "scores", "data_files": TABLE_FILE, "default": True}],
    }
    return _card("dataset_card.md.j2", metadata, repo, board)


def space_card(repo: str, board: BoardFile) -> str:
    """Return the README.md of a leaderboard's Space."""
    metadata = {
        "title": board.title,
        "emoji": "🌍",
        "colorFrom": "blue",
        "colorTo": "gray",
        "sdk": "static",
        "app_file": PAGE_FILE,
        "datasets": [repo],
        "short_description": "Zero-shot cross-lingual transfer, by language",
    }
    return _card("space_card.md.j2", metadata, repo, board)


def _card(template: str, metadata: dict[str, Any], repo: str, board: BoardFile) -> str:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(assets.folder("leaderboard")),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        autoescape=False,
        keep_trailing_newline=True,
    )
    front_matter = yaml.safe_dump(metadata, sort_keys=False, allow_unicode=True)
    return environment.get_template(template).render(front_matter=front_matter, repo=repo, board=board)
