"""Resolve a model name (zoo, Hub or folder) to a `Checkpoint`, and download its files."""

from __future__ import annotations

import glob
from pathlib import Path

from xharness.checkpoints import files, zoo
from xharness.checkpoints.checkpoint import Checkpoint
from xharness.checkpoints.files import (
    check_tokenizer,
    find_heads,
    find_parts,
    find_shards,
    find_weights,
    has_tokenizer,
    no_weights,
    read_record,
)
from xharness.errors import ModelError, nearest_folder
from xharness.hub.errors import NoSuchFile, Unreachable, http_error
from xharness.hub.read import _explained, _local, download_file, list_files, resolve, split_revision

_CONVERSION = "https://huggingface.co/spaces/safetensors/convert"


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
        return files.read_folder(base, folder, trust_remote_code)
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
    config = files.read_config(path, name)
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
    return files.describe(
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


def _looks_like_a_path(name: str) -> bool:
    return name.startswith((".", "/", "~")) or name.endswith("/") or "\\" in name or name.count("/") > 1
