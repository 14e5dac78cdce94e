"""Read the Hugging Face Hub: resolve revisions, list and download files.

It never imports torch, transformers or datasets, and imports huggingface_hub only inside functions, so that
``import xharness.hub.read`` costs nothing if everything is in local folders.
"""

from __future__ import annotations

import hashlib
import re
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from xharness import files
from xharness.errors import did_you_mean
from xharness.hub.errors import SHA, NoSuchFile, RepoType, Request, explain_read_errors, http_error

_PIECE = 1 << 20


def split_revision(name: str) -> tuple[str, str | None]:
    """Split ``org/name@revision``; the revision is None if none is given.

    If a local folder has the complete name, ``@`` included, it is taken as that folder.

    >>> split_revision("org/xlmr-squad@refs/pr/1")
    ('org/xlmr-squad', 'refs/pr/1')
    >>> split_revision("org/xlmr-squad")
    ('org/xlmr-squad', None)
    """
    if "@" not in name or local_path(name).exists():
        return name, None
    before, _, revision = name.rpartition("@")
    return before, revision or None


def resolve(repo: str, revision: str | None, repo_type: RepoType, *, fresh: bool = False) -> str:
    """Return the commit (40 hex digits) of a branch, tag or pull request of a repository.

    Call it once and pass the result to everything that reads the repository, so that all files come from one commit.
    Without a network, the cached result of an earlier run is returned.

    Args:
        repo: ``org/name``.
        revision: a branch, a tag, ``refs/pr/N`` or a sha; None: the default branch.
        repo_type: ``model`` or ``dataset``.
        fresh: ignore the cache, which may be outdated.

    Raises:
        ModelError, DataError: the repository or revision does not exist or may not be read with this token, or the
            Hub cannot be reached and nothing is cached.
    """
    if revision is not None and SHA.fullmatch(revision):
        return revision
    from huggingface_hub import HfApi

    with explain_errors(repo, revision, repo_type):
        if fresh:
            return str(HfApi().repo_info(repo, revision=revision, repo_type=repo_type).sha)
        return str(HfApi().resolve_revision(repo, revision=revision, repo_type=repo_type).resolved)


@cache
def check_readable(repo: str, sha: str, repo_type: RepoType) -> None:
    """Check once per process that a repository can be read; in offline mode, do nothing (the cache is read).

    Raises:
        ModelError, DataError: as in `resolve`.
    """
    from huggingface_hub import HfApi, is_offline_mode

    if not is_offline_mode():
        with explain_errors(repo, sha, repo_type):
            HfApi().repo_info(repo, revision=sha, repo_type=repo_type)


@dataclass(frozen=True)
class RemoteFile:
    """A file in a listing of the Hub: size in bytes, SHA-256 (large files only) and git blob id."""

    size: int
    sha256: str | None
    blob_id: str

    def is_at(self, path: Path) -> bool:
        """Whether a local file has exactly this content."""
        if not path.is_file() or path.stat().st_size != self.size:
            return False
        if self.sha256 is not None:
            return files.sha256(path) == self.sha256
        digest = hashlib.sha1(b"blob %d\0" % self.size)
        with path.open("rb") as file:
            while piece := file.read(_PIECE):
                digest.update(piece)
        return digest.hexdigest() == self.blob_id


def list_files(repo: str, sha: str, repo_type: RepoType, folder: str | None = None) -> dict[str, RemoteFile]:
    """Return the files of a repository at a commit by path, or those below a folder; {} if it does not exist.

    Raises:
        ModelError, DataError: as in `resolve`.
    """
    try:
        return _listed(repo, sha, repo_type, folder)
    except NoSuchFile:
        if folder is None:
            raise
        return {}


def _listed(repo: str, sha: str, repo_type: RepoType, folder: str | None) -> dict[str, RemoteFile]:
    from huggingface_hub import HfApi
    from huggingface_hub.hf_api import RepoFile

    with explain_errors(repo, sha, repo_type):
        tree = HfApi().list_repo_tree(repo, folder, recursive=True, revision=sha, repo_type=repo_type)
        listed = {
            entry.path: RemoteFile(entry.size, entry.lfs.sha256 if entry.lfs else None, entry.blob_id)
            for entry in tree
            if isinstance(entry, RepoFile)
        }
        if not all(
            isinstance(path, str) and type(file.size) is int and file.size >= 0 for path, file in listed.items()
        ):
            raise ValueError("the listing has invalid paths or sizes")
        return listed


def list_models(org: str) -> list[str]:
    """Return the ids of all models of an organization or user that this token may see.

    Raises:
        ModelError: the Hub cannot be reached, or refuses.
    """
    from huggingface_hub import HfApi

    with explain_errors(org, None, "model"):
        return [str(model.id) for model in HfApi().list_models(author=org)]


def download_file(repo: str, sha: str, path: str, repo_type: RepoType, to: Path | None = None) -> Path:
    """Return the local path of a file of a repository at a commit; download it unless it is complete on disk.

    Args:
        repo: ``org/name``.
        sha: the commit.
        path: the file's path in the repository.
        repo_type: ``model`` or ``dataset``.
        to: folder to download to, under the same path; None: the cache of huggingface_hub.

    Raises:
        ModelError, DataError: as in `resolve`, or the connection broke.
        OutputError: the disk is full or the folder is not writable.
    """
    from huggingface_hub import hf_hub_download
    from huggingface_hub.utils.tqdm import tqdm

    class Silent(tqdm):
        """No bar per file: callers that download many files show their own."""

        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **{**kwargs, "disable": True})  # type: ignore[no-untyped-call]

    with explain_errors(repo, sha, repo_type, path):
        return Path(hf_hub_download(repo, path, repo_type=repo_type, revision=sha, local_dir=to, tqdm_class=Silent))


def local_path(name: str) -> Path:
    """Return a name as a local path, with ``~`` expanded."""
    return Path(name).expanduser()


def explain_errors(
    repo: str, revision: str | None, repo_type: RepoType, path: str | None = None
) -> AbstractContextManager[None]:
    """Turn errors of huggingface_hub inside the block into one sentence; suggest the nearest revision."""
    request = Request(repo, revision, repo_type, path)
    return explain_read_errors(request, lambda: _nearest_revision(repo, revision, repo_type))


def _nearest_revision(repo: str, revision: str | None, repo_type: RepoType) -> str:
    from huggingface_hub import HfApi

    try:
        refs = HfApi().list_repo_refs(repo, repo_type=repo_type, include_pull_requests=True)
    except (http_error(), OSError):
        return ""
    pulls = [r.ref for r in refs.pull_requests or []]
    names = [r.name for r in [*refs.branches, *refs.tags]]
    near = did_you_mean(revision or "", [*names, *pulls])
    return near or f" Revisions: {', '.join([*names, *pulls][:20])}."


_HUB_ID = re.compile(r"[\w][\w.-]*/[\w][\w.-]*", re.ASCII)


def is_hub_id(name: str) -> bool:
    """Whether a name has the form ``org/name`` of a repository on the Hub.

    >>> is_hub_id("rajpurkar/squad"), is_hub_id("raw/ccgbank/train"), is_hub_id("/data/rows")
    (True, False, False)
    """
    return bool(_HUB_ID.fullmatch(name)) and not name.startswith("raw/")
