"""Files of a checkpoint: config, tokenizer, safetensors shards, content hash."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Collection, Iterable
from fnmatch import fnmatchcase
from pathlib import Path

from xharness import files
from xharness.checkpoints import heads
from xharness.checkpoints.checkpoint import Checkpoint
from xharness.checkpoints.config import describe, read_config
from xharness.checkpoints.heads import CheckpointRecord
from xharness.errors import ModelError

# The files of a checkpoint. Pickles (.bin, .pt, .pkl), .h5, .msgpack and onnx files are never among them: a pickle can
# run any code when it is read, and the others are copies of the weights.
_CONFIG_AND_TOKENIZER = (
    "config.json",
    heads.FILE,
    "tokenizer*.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.*",
    "merges.txt",
    "bpe.codes",
    "*.model",
    "*.spm",
    "*.bpe",
)
# Without one of these, transformers creates a vocabulary of the special tokens only.
_VOCABULARIES = ("tokenizer.json", "vocab.txt", "vocab.json", "bpe.codes", "*.model", "*.spm", "*.bpe")
_INDEX = "model.safetensors.index.json"
_PICKLES = ("pytorch_model*.bin", "pytorch_model.bin.index.json", "*.pt", "*.pth", "*.ckpt")


def read_folder(
    name: str, folder: Path, trust_remote_code: bool, sha256: Callable[[Path], str] = files.sha256
) -> Checkpoint:
    """Return the `Checkpoint` in a local folder.

    Args:
        name: name that the user gave.
        folder: the folder.
        trust_remote_code: Python code of the checkpoint may be run; only changes the notes.
        sha256: returns the SHA-256 of a file; callers may pass one with a cache, to read the weights only once.

    Raises:
        ModelError: config.json, the tokenizer or the weights are missing, unreadable or truncated.
    """
    path = folder / "config.json"
    if not path.is_file():
        subfolders = sorted(p.parent.name for p in folder.glob("*/config.json"))
        hint = f" Its subfolder '{subfolders[0]}' has one: did you mean that?" if subfolders else ""
        raise ModelError(f"{name}: this folder has no config.json, so it is not a transformers checkpoint.{hint}")
    config = read_config(path, name)
    names = tuple(sorted(p.name for p in folder.iterdir() if p.is_file()))
    if not find_weights(names):
        raise no_weights(name, names, "")
    check_tokenizer(name, names)
    head_files = find_heads(folder)
    parts = list_parts(name, folder, names)
    for part in parts:
        if part.endswith(".safetensors"):
            check_complete(folder / part)
    record = read_record(name, names, head_files, lambda file: folder / file)
    digest = hashlib.sha256()
    for part in parts:
        try:
            digest.update(f"{part}\0{sha256(folder / part)}\n".encode())
        except UnicodeEncodeError:
            raise ModelError(f"{folder}: {part!a}: the file name is not UTF-8. Rename the file.") from None
        except OSError as error:
            raise ModelError(f"{folder / part}: cannot be read: {error.strerror}.") from None
    return describe(
        config,
        name,
        names,
        trust_remote_code,
        record,
        path=folder,
        content_hash=digest.hexdigest(),
        sha=None,
        revision=None,
    )


def list_parts(name: str, folder: Path, names: Collection[str]) -> list[str]:
    """Return the files of a local folder that belong to its checkpoint; the content hash is computed over them.

    Args:
        name: name that the user gave.
        folder: the folder.
        names: names of the files at the root.

    Raises:
        ModelError: a weight file in the index is missing, or a config cannot be read.
    """
    parts = {*find_parts(names), *find_shards(name, names, lambda index: folder / index), *find_heads(folder)}
    if _names_code(folder):
        parts |= {file for file in names if file.endswith(".py")}
    return sorted(parts)


def find_heads(folder: Path) -> list[str]:
    """Return the head files of a checkpoint, as ``heads/<name>.safetensors``."""
    return sorted(f"heads/{p.name}" for p in folder.glob("heads/*.safetensors") if p.is_file())


def read_record(
    name: str, names: Iterable[str], head_files: Collection[str], get: Callable[[str], Path]
) -> CheckpointRecord | None:
    """Read the xharness.json of a checkpoint; return None if it has none.

    Args:
        name: name that the user gave.
        names: names of the files at the root.
        head_files: files of heads (`find_heads`).
        get: returns the local path of a file at the root.

    Raises:
        ModelError: the file is invalid, or a file of a head is missing.
    """
    return heads.read(get(heads.FILE), name, head_files) if heads.FILE in set(names) else None


def _names_code(folder: Path) -> bool:
    """Whether the config of the model or the tokenizer refers to Python code in the folder."""
    try:
        return any(
            b'"auto_map"' in (folder / name).read_bytes()
            for name in ("config.json", "tokenizer_config.json")
            if (folder / name).is_file()
        )
    except OSError as error:
        raise ModelError(f"{error.filename}: cannot be read: {error.strerror}.") from None


def has_tokenizer(names: Iterable[str]) -> bool:
    """Whether one of the files at the root has a vocabulary."""
    return any(fnmatchcase(name, pattern) for name in names for pattern in _VOCABULARIES)


def check_tokenizer(name: str, names: Iterable[str]) -> None:
    """Raise ModelError if no file at the root has a vocabulary."""
    if not has_tokenizer(names):
        raise ModelError(
            f"{name}: this checkpoint has no tokenizer files (tokenizer.json, vocab.txt, sentencepiece.bpe.model ...). "
            "Save the tokenizer of the model in the same folder."
        )


def find_weights(names: Iterable[str]) -> list[str]:
    """Return the safetensors file with the weights, or the index of its shards (see `find_shards`); [] without "
    "weights."""
    known = list(names)
    return next(([n] for n in ("model.safetensors", _INDEX) if n in known), [])


def find_shards(name: str, names: Iterable[str], get: Callable[[str], Path]) -> list[str]:
    """Return the weight files in the index; [] if the weights are one file.

    Args:
        name: name that the user gave.
        names: names of the files at the root.
        get: returns the local path of a file at the root.

    Raises:
        ModelError: the index cannot be read, or one of its files is missing.
    """
    known = set(names)
    if find_weights(known) != [_INDEX]:
        return []
    try:
        shards = set(json.loads(get(_INDEX).read_text(encoding="utf-8"))["weight_map"].values())
    except OSError as error:
        raise ModelError(f"{name}: {_INDEX} cannot be read: {error.strerror}.") from None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        shards = set()
    if not shards or not all(isinstance(s, str) and s.endswith(".safetensors") for s in shards):
        raise ModelError(f"{name}: {_INDEX} does not say which safetensors files have the weights (weight_map).")
    missing = sorted(shards - known)
    if missing:
        raise ModelError(
            f"{name}: of the {len(shards)} weight files in {_INDEX}, {len(missing)} are missing: "
            f"{', '.join(missing[:4])}{' ...' if len(missing) > 4 else ''}. Copy or save the complete checkpoint again."
        )
    return sorted(shards)


def find_parts(names: Iterable[str]) -> list[str]:
    """Return the files at the root that belong to the checkpoint, without the shards in an index."""
    known = list(names)
    rest = [n for n in known if any(fnmatchcase(n, pattern) for pattern in _CONFIG_AND_TOKENIZER)]
    return sorted({*rest, *find_weights(known)})


def no_weights(name: str, names: Iterable[str], conversion: str) -> ModelError:
    """Return the error for a checkpoint without safetensors weights.

    Args:
        name: name that the user gave.
        names: names of the files at the root.
        conversion: how to get the weights as safetensors; empty for a folder.
    """
    known = list(names)
    pickles = sorted(n for n in known if any(fnmatchcase(n, pattern) for pattern in _PICKLES))
    if pickles:
        hub_way = conversion or (
            "If you trust them, convert them once: load them with transformers and save_pretrained() to a folder."
        )
        return ModelError(
            f"{name}: the only weights are a pickle ({pickles[0]}). A pickle can run any code when it is read, so "
            f"pickles are never loaded. {hub_way}"
        )
    if "adapter_config.json" in known:
        return ModelError(
            f"{name}: this is an adapter without the weights of its base model. Merge it into the base model and save "
            "the result as safetensors."
        )
    return ModelError(
        f"{name}: this checkpoint has no weights: neither model.safetensors nor model.safetensors.index.json is among "
        f"its files ({', '.join(known[:12]) or 'none'})."
    )


def check_complete(path: Path) -> None:
    """Raise ModelError if a safetensors file is shorter than its header says (a truncated copy)."""
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            header = json.loads(file.read(length)) if 8 + length <= size else None
        tensors = {name: entry for name, entry in (header or {}).items() if name != "__metadata__"}
        end = max((entry["data_offsets"][1] for entry in tensors.values()), default=0)
    except OSError as error:
        raise ModelError(f"{path}: cannot be read: {error.strerror}.") from None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise ModelError(f"{path}: not a safetensors file. Copy or save the checkpoint again.") from None
    if header is None or 8 + length + end > size:
        raise ModelError(f"{path}: the file is truncated ({size:,} bytes). Copy or download the checkpoint again.")
