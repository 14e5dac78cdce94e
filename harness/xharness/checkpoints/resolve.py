"""Resolve a model name (zoo, Hub or folder) to a `Checkpoint`, and download its files."""

from __future__ import annotations

import glob
from pathlib import Path

from xharness.checkpoints import config, files, zoo
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
from xharness.hub.read import (
    download_file,
    explain_errors,
    list_files,
    local_path,
    resolve,
    split_revision,
)

_CONVERSION = "https://huggingface.co/spaces/safetensors/convert"


def read_checkpoint(name: str, *, trust_remote_code: bool = False) -> Checkpoint:
    """Return what is known of a checkpoint without loading its weights.

    Args:
        name: a local folder, ``org/name`` or ``org/name@revision`` on the Hub, or a name of the zoo.
        trust_remote_code: Python code in the repository may be run; only changes the notes.

    Raises:
        ModelError: the folder or repository does not exist, its config.json is missing or unreadable, it has no
            tokenizer, or its weights are not safetensors.
        UsageError: it is a name of the zoo, and the organization on the Hub is not known.
    """
    base, revision = split_revision(zoo.expand(name))
    folder = local_path(base)
    if folder.is_dir():
        if revision is not None:
            raise ModelError(
                f"{name}: '{base}' is a local folder, which has no revisions. Leave out '@{revision}', or give another "
                "name if you mean a repository on the Hub."
            )
        return files.read_folder(base, folder, trust_remote_code)
    if folder.is_file():
        raise ModelError(f"{name} is a file. Give its folder ('{folder.parent}').")
    if _looks_like_a_path(base):
        raise ModelError(f"{name}: this folder does not exist.{nearest_folder(folder)}")
    return _read_repository(base, revision, trust_remote_code)


def download(checkpoint: Checkpoint, *, trust_remote_code: bool = False) -> Path:
    """Download config, tokenizer and safetensors weights of a checkpoint; return its local folder.

    Nothing else is downloaded: no pickles, no weights of other frameworks, and no Python code unless trusted. Cached
    files are not downloaded again, so an interrupted download is resumed.

    Args:
        checkpoint: from `read_checkpoint`; for a local folder, nothing is downloaded.
        trust_remote_code: also download the ``.py`` files of the repository.

    Raises:
        ModelError: the connection broke or the repository cannot be read.
        OutputError: the disk is full or the cache is not writable.
    """
    if checkpoint.path is not None:
        return checkpoint.path
    from huggingface_hub import snapshot_download

    # The names are escaped, so no pattern matches files in folders (checkpoint-500/, onnx/). Heads of other tasks are
    # in heads/.
    parts = [*find_parts(checkpoint.files), *_shards(checkpoint.name, checkpoint.sha, checkpoint.files)]
    wanted = [*map(glob.escape, parts), "heads/*.safetensors"]
    if trust_remote_code:
        wanted.append("*.py")
    with explain_errors(checkpoint.name, checkpoint.sha, "model"):
        return Path(snapshot_download(checkpoint.name, revision=checkpoint.sha, allow_patterns=wanted))


def _read_repository(name: str, revision: str | None, trust_remote_code: bool) -> Checkpoint:
    sha = resolve(name, revision, "model")
    try:
        path = download_file(name, sha, "config.json", "model")
    except NoSuchFile:
        raise ModelError(
            f"{name}: this repository has no config.json at {sha[:12]}, so it is not a transformers checkpoint. "
            f"See https://huggingface.co/{name}/tree/{sha}."
        ) from None
    content = config.read_config(path, name)
    try:
        listed = list_files(name, sha, "model")
        names = tuple(sorted(file for file in listed if "/" not in file))
        head_files = [file for file in listed if file.startswith("heads/")]
    except Unreachable:
        # The config comes from the cache, and with it the other files that an earlier run downloaded.
        names = tuple(sorted(p.name for p in path.parent.iterdir() if p.is_file()))
        head_files = find_heads(path.parent)
        if not find_weights(names) or not has_tokenizer(names):
            raise
    if not find_weights(names):
        raise no_weights(name, names, _conversion(name))
    check_tokenizer(name, names)
    _shards(name, sha, names)
    record = read_record(name, names, head_files, lambda file: download_file(name, sha, file, "model"))
    return config.describe(
        content, name, names, trust_remote_code, record, path=None, content_hash=None, sha=sha, revision=revision
    )


def _shards(name: str, sha: str | None, names: tuple[str, ...]) -> list[str]:
    assert sha is not None, "a checkpoint on the Hub has a sha"
    return find_shards(name, names, lambda index: download_file(name, sha, index, "model"))


def _conversion(name: str) -> str:
    """Return how to get safetensors weights: the conversion bot of the Hub adds them in a pull request."""
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
        return f"A pull request of the repository has them as safetensors: try --model {name}@refs/pr/{number}."
    return (
        f"The Space {_CONVERSION} opens a pull request with the same weights as safetensors; then use "
        f"--model {name}@refs/pr/1 (with the number of that pull request)."
    )


def _looks_like_a_path(name: str) -> bool:
    return name.startswith((".", "/", "~")) or name.endswith("/") or "\\" in name or name.count("/") > 1
