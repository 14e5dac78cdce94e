"""The Hugging Face Hub: the only module that talks to it.

It never imports torch, transformers or datasets, and huggingface_hub only when something is asked of the Hub,
so that ``import xharness.hub`` costs nothing where everything lies in local folders.
"""

from __future__ import annotations

import glob
import hashlib
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from xharness import checkpoint_files, files, zoo
from xharness.checkpoint import Checkpoint
from xharness.checkpoint_files import (
    check_tokenizer,
    find_heads,
    find_parts,
    find_shards,
    find_weights,
    has_tokenizer,
    no_weights,
    read_record,
)
from xharness.errors import ModelError, did_you_mean, nearest_folder
from xharness.hub_errors import SHA, NoSuchFile, RepoType, Request, Unreachable, explained, http_error

_CONVERSION = "https://huggingface.co/spaces/safetensors/convert"
_PIECE = 1 << 20


def split_revision(name: str) -> tuple[str, str | None]:
    """Return the parts of ``org/name@revision``; the revision is None where there is none.

    A folder whose own name holds an ``@`` wins over a revision.

    >>> split_revision("org/xlmr-squad@refs/pr/1")
    ('org/xlmr-squad', 'refs/pr/1')
    >>> split_revision("org/xlmr-squad")
    ('org/xlmr-squad', None)
    """
    if "@" not in name or _local(name).exists():
        return name, None
    before, _, revision = name.rpartition("@")
    return before, revision or None


def resolve(repo: str, revision: str | None, repo_type: RepoType, *, fresh: bool = False) -> str:
    """Return the commit (40 hex digits) that a branch, tag or pull request of a repository stands at.

    Ask once, keep the answer, and give it to everything that reads the repository, so that all files come
    from one commit. Without a network the answer of an earlier run is taken from the cache.

    Args:
        repo: ``org/name``.
        revision: a branch, a tag, ``refs/pr/N`` or a sha; None: the default branch.
        repo_type: ``model`` or ``dataset``.
        fresh: do not take the answer from the cache, which may be old.

    Raises:
        ModelError, DataError: the repository or the revision does not exist, may not be read with this token,
            or the Hub cannot be reached and nothing is in the cache.
    """
    if revision is not None and SHA.fullmatch(revision):
        return revision
    from huggingface_hub import HfApi

    with _explained(repo, revision, repo_type):
        if fresh:
            return str(HfApi().repo_info(repo, revision=revision, repo_type=repo_type).sha)
        return str(HfApi().resolve_revision(repo, revision=revision, repo_type=repo_type).resolved)


@cache
def reach(repo: str, sha: str, repo_type: RepoType) -> None:
    """Ask the Hub once whether a repository can be read; in offline mode do nothing (the cache is read).

    Raises:
        ModelError, DataError: as in `resolve`.
    """
    from huggingface_hub import HfApi, is_offline_mode

    if not is_offline_mode():
        with _explained(repo, sha, repo_type):
            HfApi().repo_info(repo, revision=sha, repo_type=repo_type)


@dataclass(frozen=True)
class RemoteFile:
    """What the Hub says of a file: its size, and its SHA-256 (large files) or git's id of its content."""

    size: int
    sha256: str | None
    blob_id: str

    def is_at(self, path: Path) -> bool:
        """Whether a local file is this one, whole, by its content."""
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
    """Return all files of a repository at a commit, or those below a folder, by path; {} if there is no such folder.

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

    with _explained(repo, sha, repo_type):
        tree = HfApi().list_repo_tree(repo, folder, recursive=True, revision=sha, repo_type=repo_type)
        found = {
            entry.path: RemoteFile(entry.size, entry.lfs.sha256 if entry.lfs else None, entry.blob_id)
            for entry in tree
            if isinstance(entry, RepoFile)
        }
        if not all(isinstance(path, str) and type(file.size) is int and file.size >= 0 for path, file in found.items()):
            raise ValueError("a listing with paths or sizes that are none")
        return found


def list_models(org: str) -> list[str]:
    """Return the ids of all models of an organisation or user that this token may see.

    Raises:
        ModelError: the Hub cannot be reached, or refuses.
    """
    from huggingface_hub import HfApi

    with _explained(org, None, "model"):
        return [str(model.id) for model in HfApi().list_models(author=org)]


def download_file(repo: str, sha: str, path: str, repo_type: RepoType, to: Path | None = None) -> Path:
    """Return one file of a repository at a commit, from the disk if it is there whole, else downloaded.

    Args:
        repo: ``org/name``.
        sha: the commit.
        path: the file's path in the repository.
        repo_type: ``model`` or ``dataset``.
        to: the folder to lay it in, under the same path; None: the cache of the Hub's client.

    Raises:
        ModelError, DataError: as in `resolve`, or the connection broke.
        OutputError: the disk is full or the folder cannot be written.
    """
    from huggingface_hub import hf_hub_download
    from huggingface_hub.utils.tqdm import tqdm

    class Silent(tqdm):
        """One bar per small file says nothing; whoever asks for many files shows a bar of their own."""

        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **{**kwargs, "disable": True})  # type: ignore[no-untyped-call]

    with _explained(repo, sha, repo_type, path):
        return Path(hf_hub_download(repo, path, repo_type=repo_type, revision=sha, local_dir=to, tqdm_class=Silent))


def read_checkpoint(name: str, *, trust_remote_code: bool = False) -> Checkpoint:
    """Return what is known of a checkpoint without loading its weights.

    Args:
        name: a local folder, ``org/name`` or ``org/name@revision`` on the Hub, or a name of the zoo.
        trust_remote_code: Python code that the repository holds may be run; only changes what the notes say.

    Raises:
        ModelError: there is no such folder or repository, its config.json is missing or unreadable, it has no
            tokenizer, or its weights are not safetensors.
        UsageError: it is a name of the zoo, and whose on the Hub is not known.
    """
    base, revision = split_revision(zoo.expand(name))
    folder = _local(base)
    if folder.is_dir():
        if revision is not None:
            raise ModelError(
                f"{name}: '{base}' is a local folder, which has no revisions. Leave out '@{revision}', or "
                "give another name if a repository on the Hub is meant."
            )
        return checkpoint_files.read_folder(base, folder, trust_remote_code)
    if folder.is_file():
        raise ModelError(f"{name}: this is a file; give the folder it lies in ('{folder.parent}').")
    if _looks_like_a_path(base):
        raise ModelError(f"{name}: there is no such folder.{nearest_folder(folder)}")
    return _read_repository(base, revision, trust_remote_code)


def download(checkpoint: Checkpoint, *, trust_remote_code: bool = False) -> Path:
    """Return the folder of a checkpoint, after downloading its config, tokenizer and safetensors weights.

    Nothing else is downloaded: no pickles, no weights of other frameworks, and no Python code unless trusted.
    Files that are in the cache are not downloaded again, so after an interruption the same command goes on.

    Args:
        checkpoint: from `read_checkpoint`; that of a local folder is returned as it is.
        trust_remote_code: download the repository's ``.py`` files too.

    Raises:
        ModelError: the connection broke or the repository cannot be read.
        OutputError: the disk is full or the cache cannot be written.
    """
    if checkpoint.path is not None:
        return checkpoint.path
    from huggingface_hub import snapshot_download

    # The names are known, so no pattern can reach into folders (checkpoint-500/, onnx/); heads of other tasks
    # lie in heads/.
    parts = [*find_parts(checkpoint.files), *_shards(checkpoint.name, checkpoint.sha, checkpoint.files)]
    wanted = [*map(glob.escape, parts), "heads/*.safetensors"]
    if trust_remote_code:
        wanted.append("*.py")
    with _explained(checkpoint.name, checkpoint.sha, "model"):
        return Path(snapshot_download(checkpoint.name, revision=checkpoint.sha, allow_patterns=wanted))


def _read_repository(name: str, revision: str | None, trust_remote_code: bool) -> Checkpoint:
    sha = resolve(name, revision, "model")
    try:
        path = download_file(name, sha, "config.json", "model")
    except NoSuchFile:
        raise ModelError(
            f"{name}: this repository has no config.json at {sha[:12]}, so it is not a checkpoint that "
            f"transformers saved. Look at https://huggingface.co/{name}/tree/{sha}."
        ) from None
    config = checkpoint_files.read_config(path, name)
    try:
        listed = list_files(name, sha, "model")
        names = tuple(sorted(file for file in listed if "/" not in file))
        beside = [file for file in listed if file.startswith("heads/")]
    except Unreachable:
        # The config came from the cache; beside it lies whatever else an earlier run downloaded.
        names = tuple(sorted(p.name for p in path.parent.iterdir() if p.is_file()))
        beside = find_heads(path.parent)
        if not find_weights(names) or not has_tokenizer(names):
            raise
    if not find_weights(names):
        raise no_weights(name, names, _conversion(name))
    check_tokenizer(name, names)
    _shards(name, sha, names)
    record = read_record(name, names, beside, lambda file: download_file(name, sha, file, "model"))
    return checkpoint_files.describe(
        config, name, names, trust_remote_code, record, path=None, content_hash=None, sha=sha, revision=revision
    )


def _shards(name: str, sha: str | None, names: tuple[str, ...]) -> list[str]:
    assert sha is not None, "a checkpoint on the Hub has a sha"
    return find_shards(name, names, lambda index: download_file(name, sha, index, "model"))


def _conversion(name: str) -> str:
    """Return where safetensors weights can be had: the Hub's bot offers them as a pull request."""
    from huggingface_hub import HfApi

    number = None
    try:
        for discussion in HfApi().get_repo_discussions(name, discussion_type="pull_request"):
            if "safetensors" in discussion.title.lower():
                number = discussion.num
                break
    except (http_error(), OSError):
        pass  # only a hint is lost
    if number is not None:
        return f"A pull request there holds them as safetensors: try --model {name}@refs/pr/{number}."
    return (
        f"The Space {_CONVERSION} opens a pull request with the same weights as safetensors; then give it "
        f"as --model {name}@refs/pr/1 (with the number of that pull request)."
    )


def _local(name: str) -> Path:
    return Path(name).expanduser()


def _looks_like_a_path(name: str) -> bool:
    return name.startswith((".", "/", "~")) or name.endswith("/") or "\\" in name or name.count("/") > 1


def _explained(
    repo: str, revision: str | None, repo_type: RepoType, path: str | None = None
) -> AbstractContextManager[None]:
    """Have what the Hub's client raises inside the block said in a sentence."""
    request = Request(repo, revision, repo_type, path)
    return explained(request, lambda: _nearest_revision(repo, revision, repo_type))


def _nearest_revision(repo: str, revision: str | None, repo_type: RepoType) -> str:
    from huggingface_hub import HfApi

    try:
        refs = HfApi().list_repo_refs(repo, repo_type=repo_type, include_pull_requests=True)
    except (http_error(), OSError):
        return ""
    pulls = [r.ref for r in refs.pull_requests or []]
    names = [r.name for r in [*refs.branches, *refs.tags]]
    near = did_you_mean(revision or "", [*names, *pulls])
    return near or f" There are: {', '.join([*names, *pulls][:20])}."
