"""Files that differ between two commits of a repository."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

from xharness.hub.errors import NoSuchFile, RepoType, Request, explain_read_errors
from xharness.hub.read import RemoteFile
from xharness.hub.write_errors import retry_on_rate_limit

_Entry = RemoteFile | str
"""A file, or the id of a folder."""


@dataclass(frozen=True)
class Change:
    """A file before and after a change; None: it did not exist. Of a deleted folder only the path is known."""

    before: RemoteFile | None
    after: RemoteFile | None


def history(repo: str, revision: str, repo_type: RepoType) -> list[str]:
    """Return the commits up to a revision, newest first.

    Raises:
        ModelError, DataError: the repository or revision does not exist, or the Hub cannot be reached.
    """
    from huggingface_hub import HfApi

    with explain_read_errors(Request(repo, revision, repo_type), lambda: ""):
        commits = retry_on_rate_limit(lambda: HfApi().list_repo_commits(repo, repo_type=repo_type, revision=revision))
    return [commit.commit_id for commit in commits]


def names(repo: str, sha: str, folder: str, repo_type: RepoType) -> list[str]:
    """Return the names of the files and folders in a folder at a commit; [] if the folder does not exist.

    Raises:
        ModelError, DataError: as in `history`.
    """
    return sorted(path.rpartition("/")[2] for path in _listing(repo, sha, folder, repo_type))


def folders(repo: str, sha: str, folder: str, repo_type: RepoType) -> dict[str, str]:
    """Return the subfolders of a folder at a commit: name -> id, which changes if anything in the subfolder does.

    Raises:
        ModelError, DataError: as in `history`.
    """
    entries = _listing(repo, sha, folder, repo_type)
    return {path.rpartition("/")[2]: entry for path, entry in entries.items() if isinstance(entry, str)}


def changes(repo: str, before: str, after: str, repo_type: RepoType, most: int) -> dict[str, Change]:
    """Return the files that differ between two commits, by path. Paths of deleted folders end with ``/``.

    Args:
        repo: ``org/name``.
        before, after: commits.
        repo_type: ``model``, ``dataset`` or ``space``.
        most: stop after one more than this.

    Raises:
        ModelError, DataError: as in `history`.
    """
    return dict(islice(_changes(repo, before, after, "", repo_type, most), most + 1))


def _changes(
    repo: str, before: str, after: str, folder: str, repo_type: RepoType, most: int
) -> Iterator[tuple[str, Change]]:
    old, new = _listing(repo, before, folder, repo_type), _listing(repo, after, folder, repo_type)
    for path in sorted({*old, *new}):
        was, now = old.get(path), new.get(path)
        if was == now:
            continue
        if isinstance(was, str) and isinstance(now, str):
            yield from _changes(repo, before, after, path, repo_type, most)
            continue
        if isinstance(was, str):
            yield f"{path}/", Change(None, None)
        if isinstance(now, str):
            for inner, file in _tree(repo, after, path, repo_type, recursive=True):
                if isinstance(file, RemoteFile):
                    yield inner, Change(None, file)
        if isinstance(was, RemoteFile) or isinstance(now, RemoteFile):
            yield path, Change(*(entry if isinstance(entry, RemoteFile) else None for entry in (was, now)))


def _listing(repo: str, sha: str, folder: str, repo_type: RepoType) -> dict[str, _Entry]:
    """Return the entries of a folder by path; {} if the folder does not exist."""
    try:
        return dict(_tree(repo, sha, folder, repo_type, recursive=False))
    except NoSuchFile:
        return {}


def _tree(repo: str, sha: str, folder: str, repo_type: RepoType, *, recursive: bool) -> Iterator[tuple[str, _Entry]]:
    from huggingface_hub import HfApi
    from huggingface_hub.hf_api import RepoFolder

    with explain_read_errors(Request(repo, sha, repo_type, folder), lambda: ""):
        tree = HfApi().list_repo_tree(repo, folder or None, recursive=recursive, revision=sha, repo_type=repo_type)
        for entry in tree:
            if isinstance(entry, RepoFolder):
                yield entry.path, entry.tree_id
            else:
                yield entry.path, RemoteFile(entry.size, entry.lfs.sha256 if entry.lfs else None, entry.blob_id)
