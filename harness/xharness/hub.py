"""The Hugging Face Hub: the only module that talks to it.

It never imports torch, transformers or datasets, and huggingface_hub only when something is asked of the Hub,
so that ``import xharness.hub`` costs nothing where everything lies in local folders.
"""

from __future__ import annotations

import errno
import glob
import hashlib
import json
import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Literal

from xharness import files
from xharness.checkpoint import Checkpoint
from xharness.errors import DataError, ModelError, OutputError, XharnessError, did_you_mean

RepoType = Literal["model", "dataset"]

SHA = re.compile(r"[0-9a-f]{40}")

# What a checkpoint is made of. Pickles (.bin, .pt, .pkl), .h5, .msgpack and onnx files are never among them:
# a pickle can run any code when it is read, and the others are the same weights again.
_CONFIG_AND_TOKENIZER = (
    "config.json",
    "xharness.json",
    "tokenizer*.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.*",
    "merges.txt",
    "bpe.codes",
    "*.model",
    "*.spm",
)
_PICKLES = ("pytorch_model*.bin", "pytorch_model.bin.index.json", "*.pt", "*.pth", "*.ckpt")
_CONVERSION = "https://huggingface.co/spaces/safetensors/convert"


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
        digest.update(path.read_bytes())
        return digest.hexdigest() == self.blob_id


def list_files(repo: str, sha: str, repo_type: RepoType) -> dict[str, RemoteFile]:
    """Return all files of a repository at a commit by path.

    Raises:
        ModelError, DataError: as in `resolve`.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.hf_api import RepoFile

    with _explained(repo, sha, repo_type):
        tree = HfApi().list_repo_tree(repo, recursive=True, revision=sha, repo_type=repo_type)
        return {
            entry.path: RemoteFile(entry.size, entry.lfs.sha256 if entry.lfs else None, entry.blob_id)
            for entry in tree
            if isinstance(entry, RepoFile)
        }


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
        name: a local folder, or ``org/name`` or ``org/name@revision`` on the Hub.
        trust_remote_code: Python code that the repository holds may be run; only changes what the notes say.

    Raises:
        ModelError: there is no such folder or repository, its config.json is missing or unreadable, or its
            weights are not safetensors.
    """
    base, revision = split_revision(name)
    folder = _local(base)
    if folder.is_dir():
        if revision is not None:
            raise ModelError(
                f"{name}: '{base}' is a local folder, which has no revisions. Leave out '@{revision}', or "
                "give another name if a repository on the Hub is meant."
            )
        return _read_folder(base, folder, trust_remote_code)
    if folder.is_file():
        raise ModelError(f"{name}: this is a file; give the folder it lies in ('{folder.parent}').")
    if _looks_like_a_path(base):
        raise ModelError(f"{name}: there is no such folder.{_nearest_folder(folder)}")
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
    wanted = [glob.escape(name) for name in _parts(checkpoint.files)] + ["heads/*.safetensors"]
    if trust_remote_code:
        wanted.append("*.py")
    with _explained(checkpoint.name, checkpoint.sha, "model"):
        return Path(snapshot_download(checkpoint.name, revision=checkpoint.sha, allow_patterns=wanted))


def _read_folder(name: str, folder: Path, trust_remote_code: bool) -> Checkpoint:
    path = folder / "config.json"
    if not path.is_file():
        inner = sorted(p.parent.name for p in folder.glob("*/config.json"))
        hint = f" The folder '{inner[0]}' in it has one: is that meant?" if inner else ""
        raise ModelError(
            f"{name}: there is no config.json in this folder, so it is not a checkpoint that transformers saved.{hint}"
        )
    config = _config(path, name)
    names = tuple(sorted(p.name for p in folder.iterdir() if p.is_file()))
    if not _weights(names):
        raise _no_weights(name, names, "")
    heads = sorted(f"heads/{p.name}" for p in folder.glob("heads/*.safetensors"))
    parts = sorted([*_parts(names), *heads])
    for part in parts:
        if part.endswith(".safetensors"):
            _check_whole(folder / part)
    digest = hashlib.sha256()
    for part in parts:
        try:
            digest.update(f"{part}\0{files.sha256(folder / part)}\n".encode())
        except OSError as error:
            raise ModelError(f"{folder / part}: cannot be read: {error.strerror}.") from None
    return _checkpoint(
        config,
        name,
        names,
        trust_remote_code,
        path=folder,
        content_hash=digest.hexdigest(),
        sha=None,
        revision=None,
    )


def _read_repository(name: str, revision: str | None, trust_remote_code: bool) -> Checkpoint:
    sha = resolve(name, revision, "model")
    try:
        path = download_file(name, sha, "config.json", "model")
    except _NoSuchFile:
        raise ModelError(
            f"{name}: this repository has no config.json at {sha[:12]}, so it is not a checkpoint that "
            f"transformers saved. Look at https://huggingface.co/{name}/tree/{sha}."
        ) from None
    config = _config(path, name)
    try:
        names = tuple(sorted(file for file in list_files(name, sha, "model") if "/" not in file))
    except Unreachable:
        # The config came from the cache; beside it lies whatever else an earlier run downloaded.
        names = tuple(sorted(p.name for p in path.parent.iterdir() if p.is_file()))
        if not _weights(names):
            raise
    if not _weights(names):
        raise _no_weights(name, names, _conversion(name))
    return _checkpoint(config, name, names, trust_remote_code, path=None, content_hash=None, sha=sha, revision=revision)


def _checkpoint(config: dict[str, Any], name: str, names: tuple[str, ...], trusted: bool, **where: Any) -> Checkpoint:
    notes = []
    if "modules.json" in names:
        notes.append(
            "modules.json is ignored: this is a sentence-transformers checkpoint, but layer and pooling "
            "come from the task's spec (or --layer and --pooling)."
        )
    remote_code = bool(config.get("auto_map"))
    if remote_code:
        run = "is run, as --trust-remote-code says" if trusted else "is not run without --trust-remote-code"
        notes.append(f"config.json names Python code in the repository (auto_map); it {run}.")
    layer_fields = ("num_hidden_layers", "n_layers", "num_layers", "n_layer", "encoder_layers")
    counts = [config[field] for field in layer_fields if isinstance(config.get(field), int)]
    architectures = config.get("architectures") or []
    return Checkpoint(
        name=name,
        model_type=str(config.get("model_type") or ""),
        architectures=tuple(str(a) for a in architectures),
        id2label=_labels(config, name),
        layers=counts[0] if counts else None,
        files=names,
        remote_code=remote_code,
        notes=tuple(notes),
        **where,
    )


def _config(path: Path, name: str) -> dict[str, Any]:
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ModelError(f"{name}: config.json cannot be read: {error.strerror}.") from None
    except ValueError as error:
        raise ModelError(f"{name}: config.json is not JSON ({error}). Save the checkpoint again.") from None
    if not isinstance(config, dict):
        raise ModelError(f"{name}: config.json holds a {type(config).__name__}, expected an object with fields.")
    return config


def _labels(config: dict[str, Any], name: str) -> tuple[str, ...]:
    """Return the label names by id: the order in the file is that of the text ("10" may stand before "2")."""
    table = config.get("id2label") or {}
    try:
        by_id = {int(i): str(label) for i, label in table.items()}
    except (AttributeError, ValueError):
        by_id = {-1: ""}
    if sorted(by_id) != list(range(len(by_id))):
        raise ModelError(f"{name}: config.json: id2label must number the labels 0, 1, 2 ...; found {table!r}.")
    return tuple(by_id[i] for i in range(len(by_id)))


def _weights(names: Iterable[str]) -> list[str]:
    """Return the safetensors files that hold the weights: one file, or an index with its shards."""
    known = list(names)
    if "model.safetensors" in known:
        return ["model.safetensors"]
    if "model.safetensors.index.json" in known:
        return ["model.safetensors.index.json", *(n for n in known if fnmatchcase(n, "model-*.safetensors"))]
    return []


def _parts(names: Iterable[str]) -> list[str]:
    """Return the files at the root that make up the checkpoint: config, tokenizer and safetensors weights."""
    known = list(names)
    rest = [n for n in known if any(fnmatchcase(n, pattern) for pattern in _CONFIG_AND_TOKENIZER)]
    return sorted({*rest, *_weights(known)})


def _no_weights(name: str, names: Iterable[str], conversion: str) -> ModelError:
    known = list(names)
    pickles = sorted(n for n in known if any(fnmatchcase(n, pattern) for pattern in _PICKLES))
    if pickles:
        hub_way = conversion or (
            "Where you trust them, convert them once: load them with transformers and save_pretrained() to a folder."
        )
        return ModelError(
            f"{name}: the weights are only there as a pickle ({pickles[0]}). A pickle can run any code when "
            f"it is read, so pickles are never loaded. {hub_way}"
        )
    if "adapter_config.json" in known:
        return ModelError(
            f"{name}: this is an adapter without the weights of its base model. Merge it into the base "
            "model and save the whole as safetensors."
        )
    return ModelError(
        f"{name}: there are no weights: found neither model.safetensors nor model.safetensors.index.json "
        f"among {', '.join(known[:12]) or 'no files'}."
    )


def _conversion(name: str) -> str:
    """Return where safetensors weights can be had: the Hub's bot offers them as a pull request."""
    from huggingface_hub import HfApi

    number = None
    try:
        for discussion in HfApi().get_repo_discussions(name, discussion_type="pull_request"):
            if "safetensors" in discussion.title.lower():
                number = discussion.num
                break
    except (_http_error(), OSError):
        pass  # only a hint is lost
    if number is not None:
        return f"A pull request there holds them as safetensors: try --model {name}@refs/pr/{number}."
    return (
        f"The Space {_CONVERSION} opens a pull request with the same weights as safetensors; then give it "
        f"as --model {name}@refs/pr/1 (with the number of that pull request)."
    )


def _check_whole(path: Path) -> None:
    """Raise ModelError if a safetensors file is shorter than its own header says (a copy that was cut)."""
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            header = json.loads(file.read(length)) if 8 + length <= size else None
        tensors = {name: entry for name, entry in (header or {}).items() if name != "__metadata__"}
        end = max((entry["data_offsets"][1] for entry in tensors.values()), default=0)
    except OSError as error:
        raise ModelError(f"{path}: cannot be read: {error.strerror}.") from None
    except (ValueError, KeyError, TypeError, AttributeError):
        raise ModelError(f"{path}: this is not a safetensors file. Copy or save the checkpoint again.") from None
    if header is None or 8 + length + end > size:
        raise ModelError(f"{path}: the file is cut short ({size:,} bytes). Copy or download the checkpoint again.")


def _local(name: str) -> Path:
    return Path(name).expanduser()


def _looks_like_a_path(name: str) -> bool:
    return name.startswith((".", "/", "~")) or name.endswith("/") or "\\" in name or name.count("/") > 1


def _nearest_folder(folder: Path) -> str:
    parent = folder.parent
    if not parent.is_dir():
        return f" The folder '{parent}' does not exist either."
    try:
        siblings = [p.name for p in parent.iterdir() if p.is_dir()]
    except OSError:
        return ""
    return did_you_mean(folder.name, siblings)


def _http_error() -> type[Exception]:
    """Return what every HTTP error is: httpx in huggingface_hub 1, httpx2 in 2, under one name in both."""
    import huggingface_hub.utils

    library: Any = huggingface_hub.utils
    error: type[Exception] = library.httpx.HTTPError
    return error


class _NoSuchFile(XharnessError):
    """The repository is there, the file is not."""


class Unreachable(XharnessError):
    """The Hub cannot be reached, or may not be asked (HF_HUB_OFFLINE); also a ModelError or a DataError."""


class _ModelUnreachable(Unreachable, ModelError):
    """The Hub cannot be reached and a model was asked for."""


class _DataUnreachable(Unreachable, DataError):
    """The Hub cannot be reached and a data set was asked for."""


class _NoSuchModelFile(_NoSuchFile, ModelError):
    """A file is not in a model repository."""


class _NoSuchDataFile(_NoSuchFile, DataError):
    """A file is not in a data set."""


@contextmanager
def _explained(repo: str, revision: str | None, repo_type: RepoType, path: str | None = None) -> Iterator[None]:
    """Turn what huggingface_hub raises inside the block into a sentence for the user.

    The text of the original error is left out: it may hold a URL with a password, a proxy or a token.
    """
    from huggingface_hub import errors

    model = repo_type == "model"
    kind: type[XharnessError] = ModelError if model else DataError
    where = f"{repo}@{revision}" if revision and not SHA.fullmatch(revision) else repo
    page = f"https://huggingface.co/{'' if model else 'datasets/'}{repo}"
    try:
        yield
    except errors.GatedRepoError:
        raise kind(
            f"{where}: this repository is gated, and this machine has no access. Accept its terms at "
            f"{page}, then log in with `hf auth login` or set HF_TOKEN to a token of the same account."
        ) from None
    except errors.RevisionNotFoundError:
        raise kind(
            f"{repo}: there is no revision '{revision}'.{_nearest_revision(repo, revision, repo_type)}"
        ) from None
    except errors.RepositoryNotFoundError:
        what = "model" if model else "data set"
        local = _nearest_folder(_local(repo)) if "/" in repo and _local(repo).parent.is_dir() else ""
        raise kind(
            f"{where}: the Hub has no {what} of this name, or it is private. Look at the spelling"
            f"{local and f' (as a local folder:{local})'}; for a private one log in with `hf auth login` or "
            "set HF_TOKEN to a token that may read it."
        ) from None
    except errors.RemoteEntryNotFoundError:
        missing = _NoSuchModelFile if model else _NoSuchDataFile
        raise missing(f"{where}: there is no file {path or 'of this name'} at {(revision or 'main')[:12]}.") from None
    except (errors.HFValidationError, errors.HfUriError):
        raise kind(
            f"{where}: neither a local folder nor a name on the Hub (org/name, of letters, digits, '-', '_' and '.')."
        ) from None
    except errors.HfHubHTTPError as error:
        raise _refused(error.response.status_code, where, kind) from None
    except (
        errors.RevisionResolutionError,
        errors.LocalEntryNotFoundError,
        errors.FileMetadataError,
        _http_error(),
        ConnectionError,
        TimeoutError,
    ) as error:
        raise _unreachable(error, repo, revision, repo_type, where) from None
    except OSError as error:
        if error.errno is None:  # the client found that a file is not as long as the Hub says
            raise kind(
                f"{where}: the download of {path or 'a file'} broke off. Run the same command again: files "
                "that are whole are kept."
            ) from None
        room = " Make room, or set HF_HOME to a larger disk;" if error.errno == errno.ENOSPC else ""
        raise OutputError(
            f"{where}: {path or 'a file'} cannot be written: {os.strerror(error.errno)}.{room} then run the "
            "same command again: files that are whole are kept."
        ) from None


def _refused(status: int, where: str, kind: type[XharnessError]) -> XharnessError:
    if status in (401, 403):
        return kind(
            f"{where}: the Hub refuses this token (HTTP {status}). Log in again with `hf auth login`, or "
            "set HF_TOKEN to a token that may read this repository."
        )
    if status == 429:
        return kind(
            f"{where}: the Hub says that this machine asks too much (HTTP 429). Wait some minutes and run "
            "the same command again; whole files are kept. With `hf auth login` the limits are higher."
        )
    return kind(
        f"{where}: the Hub answered with an error (HTTP {status}). Run the same command again later; files "
        "that are whole are kept."
    )


def _unreachable(error: Exception, repo: str, revision: str | None, repo_type: RepoType, where: str) -> XharnessError:
    from huggingface_hub import constants

    causes = [error, error.__cause__, error.__context__]
    statuses = [c.response.status_code for c in causes if getattr(c, "response", None) is not None]  # type: ignore[union-attr]
    why = (
        "HF_HUB_OFFLINE is set, and the cache does not hold what is needed"
        if constants.HF_HUB_OFFLINE
        else f"the Hub answered with an error (HTTP {statuses[0]})"
        if statuses
        else "the Hub cannot be reached, or the connection broke"
    )
    flags = f" --revision {revision}" if revision else ""
    if repo_type == "model":
        instead = f"`hf download {repo}{flags} --local-dir FOLDER`, and give FOLDER as the model"
        found: type[XharnessError] = _ModelUnreachable
    else:
        instead = f"`hf download {repo} --repo-type dataset{flags} --local-dir DIR/{repo}`, and give --data-dir DIR"
        found = _DataUnreachable
    again = "Unset it" if constants.HF_HUB_OFFLINE else "Run the same command again (files that are whole are kept)"
    return found(f"{where}: {why}. {again}, or where there is a network run {instead}.")


def _nearest_revision(repo: str, revision: str | None, repo_type: RepoType) -> str:
    from huggingface_hub import HfApi

    try:
        refs = HfApi().list_repo_refs(repo, repo_type=repo_type, include_pull_requests=True)
    except (_http_error(), OSError):
        return ""
    pulls = [r.ref for r in refs.pull_requests or []]
    names = [r.name for r in [*refs.branches, *refs.tags]]
    near = did_you_mean(revision or "", [*names, *pulls])
    return near or f" There are: {', '.join([*names, *pulls][:20])}."
