"""Files of a checkpoint: config, tokenizer, safetensors shards, content hash."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Collection, Iterable
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from xharness import files
from xharness.checkpoints import heads
from xharness.checkpoints.checkpoint import Checkpoint
from xharness.checkpoints.heads import CheckpointRecord
from xharness.errors import ModelError

# What a checkpoint is made of. Pickles (.bin, .pt, .pkl), .h5, .msgpack and onnx files are never among them:
# a pickle can run any code when it is read, and the others are the same weights again.
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
# Without one of these transformers makes up a vocabulary of the special tokens alone.
_VOCABULARIES = ("tokenizer.json", "vocab.txt", "vocab.json", "bpe.codes", "*.model", "*.spm", "*.bpe")
_INDEX = "model.safetensors.index.json"
# Heads whose labels transformers leaves out of config.json where they are its default: LABEL_0 and LABEL_1.
_LABELLED = ("ForSequenceClassification", "ForTokenClassification")
_PICKLES = ("pytorch_model*.bin", "pytorch_model.bin.index.json", "*.pt", "*.pth", "*.ckpt")


def read_folder(
    name: str, folder: Path, trust_remote_code: bool, sha256: Callable[[Path], str] = files.sha256
) -> Checkpoint:
    """Return what is known of a checkpoint in a local folder.

    Args:
        name: what the user called it.
        folder: where it lies.
        trust_remote_code: Python code that lies beside it may be run; only changes what the notes say.
        sha256: returns the SHA-256 of a file; for callers that keep what they know of weights, to read them once.

    Raises:
        ModelError: config.json, the tokenizer or the weights are missing, unreadable or cut short.
    """
    path = folder / "config.json"
    if not path.is_file():
        inner = sorted(p.parent.name for p in folder.glob("*/config.json"))
        hint = f" The folder '{inner[0]}' in it has one: is that meant?" if inner else ""
        raise ModelError(
            f"{name}: there is no config.json in this folder, so it is not a checkpoint that transformers saved.{hint}"
        )
    config = read_config(path, name)
    names = tuple(sorted(p.name for p in folder.iterdir() if p.is_file()))
    if not find_weights(names):
        raise no_weights(name, names, "")
    check_tokenizer(name, names)
    beside = find_heads(folder)
    parts = list_parts(name, folder, names)
    for part in parts:
        if part.endswith(".safetensors"):
            check_whole(folder / part)
    record = read_record(name, names, beside, lambda file: folder / file)
    digest = hashlib.sha256()
    for part in parts:
        try:
            digest.update(f"{part}\0{sha256(folder / part)}\n".encode())
        except UnicodeEncodeError:
            raise ModelError(f"{folder}: {part!a}: a name that is no UTF-8. Rename the file.") from None
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
    """Return the files of a local folder that make up its checkpoint, which its content hash is over.

    Args:
        name: what the user called the checkpoint.
        folder: where it lies.
        names: of the files at the root.

    Raises:
        ModelError: a file with weights that the index names is not there, or a config cannot be read.
    """
    parts = {*find_parts(names), *find_shards(name, names, lambda index: folder / index), *find_heads(folder)}
    if _names_code(folder):
        parts |= {file for file in names if file.endswith(".py")}
    return sorted(parts)


def describe(
    config: dict[str, Any],
    name: str,
    names: tuple[str, ...],
    trusted: bool,
    record: CheckpointRecord | None,
    **where: Any,
) -> Checkpoint:
    """Return what is known of a checkpoint from its config, the names of its files and its xharness.json.

    Args:
        config: the content of config.json.
        name: what the user called it.
        names: of the files at the root.
        trusted: Python code that lies beside it may be run; only changes what the notes say.
        record: from `read_record`.
        where: ``path`` and ``content_hash``, or ``sha`` and ``revision`` (see `Checkpoint`).
    """
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
    layers = config.get("num_hidden_layers")
    if layers is not None and (not isinstance(layers, int) or isinstance(layers, bool)):
        raise ModelError(f"{name}: config.json: num_hidden_layers must be a whole number; found {layers!r}.")
    architectures = config.get("architectures") or []
    if not isinstance(architectures, list) or not all(isinstance(a, str) for a in architectures):
        raise ModelError(f"{name}: config.json: architectures must be a list of class names; found {architectures!r}.")
    id2label = _labels(config, name) or _default_labels(config, name, architectures)
    if record is not None:
        _check_own_head(record, name, architectures, id2label)
    return Checkpoint(
        name=name,
        model_type=str(config.get("model_type") or ""),
        architectures=tuple(architectures),
        id2label=id2label,
        layers=counts[0] if counts else None,
        files=names,
        encoder_decoder=bool(config.get("is_encoder_decoder")),
        remote_code=remote_code,
        notes=tuple(notes),
        heads=record.heads if record is not None else {},
        phase=record.phase if record is not None else None,
        trained_on=record.tasks if record is not None else (),
        **where,
    )


def find_heads(folder: Path) -> list[str]:
    """Return the files with heads that lie beside a checkpoint's own weights, as ``heads/<name>.safetensors``."""
    return sorted(f"heads/{p.name}" for p in folder.glob("heads/*.safetensors") if p.is_file())


def read_record(
    name: str, names: Iterable[str], beside: Collection[str], get: Callable[[str], Path]
) -> CheckpointRecord | None:
    """Return what the checkpoint's xharness.json says; None where it has none.

    Args:
        name: what the user called the checkpoint.
        names: of the files at the root.
        beside: the files with heads (`find_heads`).
        get: returns the local path of a file at the root.

    Raises:
        ModelError: the file is wrong, or names a head whose file is not there.
    """
    return heads.read(get(heads.FILE), name, beside) if heads.FILE in set(names) else None


def _check_own_head(record: CheckpointRecord, name: str, architectures: list[str], id2label: tuple[str, ...]) -> None:
    """Raise ModelError if xharness.json and config.json tell two stories about the root's own head."""
    own = next((head for head in record.heads.values() if head.file is None), None)
    if own is None:
        return
    where = f"{name}: {heads.FILE}: heads.{own.name}"
    if own.architecture not in architectures:
        listed = ", ".join(architectures) or "none"
        raise ModelError(
            f"{where}: has no file and so is the checkpoint's own, a {own.architecture}; but the architectures in "
            f"config.json are: {listed}. Do the two files belong together?"
        )
    if own.kind in heads.LABELLED and own.labels != id2label:
        raise ModelError(
            f"{where}.labels: {', '.join(own.labels[:6])}; but config.json (id2label) has "
            f"{', '.join(id2label[:6]) or 'none'}. Do the two files belong together?"
        )


def read_config(path: Path, name: str) -> dict[str, Any]:
    """Return the content of a config.json; ``name`` is the checkpoint in messages."""
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ModelError(f"{name}: config.json cannot be read: {error.strerror}.") from None
    except (ValueError, RecursionError) as error:
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


def _default_labels(config: dict[str, Any], name: str, architectures: list[str]) -> tuple[str, ...]:
    """Return the labels that transformers gives a classifier whose config.json names none."""
    if not any(a.endswith(_LABELLED) for a in architectures):
        return ()
    number = config.get("num_labels", 2)
    if not isinstance(number, int) or isinstance(number, bool) or not 0 < number < 100_000:
        raise ModelError(f"{name}: config.json: num_labels must be a whole number from 1 on; found {number!r}.")
    return tuple(f"LABEL_{i}" for i in range(number))


def _names_code(folder: Path) -> bool:
    """Whether the config or the tokenizer's config names Python code that lies beside it."""
    try:
        return any(
            b'"auto_map"' in (folder / name).read_bytes()
            for name in ("config.json", "tokenizer_config.json")
            if (folder / name).is_file()
        )
    except OSError as error:
        raise ModelError(f"{error.filename}: cannot be read: {error.strerror}.") from None


def has_tokenizer(names: Iterable[str]) -> bool:
    """Whether one of the files at the root holds a vocabulary."""
    return any(fnmatchcase(name, pattern) for name in names for pattern in _VOCABULARIES)


def check_tokenizer(name: str, names: Iterable[str]) -> None:
    """Raise ModelError if no file at the root holds a vocabulary."""
    if not has_tokenizer(names):
        raise ModelError(
            f"{name}: there are no tokenizer files in this checkpoint (tokenizer.json, vocab.txt, "
            "sentencepiece.bpe.model ...). Save the tokenizer that the model was trained with beside it."
        )


def find_weights(names: Iterable[str]) -> list[str]:
    """Return the safetensors file that holds the weights, or the index that names them (see `find_shards`)."""
    known = list(names)
    return next(([n] for n in ("model.safetensors", _INDEX) if n in known), [])


def find_shards(name: str, names: Iterable[str], get: Callable[[str], Path]) -> list[str]:
    """Return the files that the index of the weights names; none where the weights are one file.

    Args:
        name: what the user called the checkpoint.
        names: of the files at the root.
        get: returns the local path of a file at the root.

    Raises:
        ModelError: the index cannot be read, or a file that it names is not there.
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
        raise ModelError(f"{name}: {_INDEX} does not say which safetensors files hold the weights (weight_map).")
    missing = sorted(shards - known)
    if missing:
        raise ModelError(
            f"{name}: {_INDEX} names {len(shards)} files with weights, of which {len(missing)} are not beside it: "
            f"{', '.join(missing[:4])}{' ...' if len(missing) > 4 else ''}. Copy or save the whole checkpoint again."
        )
    return sorted(shards)


def find_parts(names: Iterable[str]) -> list[str]:
    """Return the files at the root that make up the checkpoint, without the shards that an index names."""
    known = list(names)
    rest = [n for n in known if any(fnmatchcase(n, pattern) for pattern in _CONFIG_AND_TOKENIZER)]
    return sorted({*rest, *find_weights(known)})


def no_weights(name: str, names: Iterable[str], conversion: str) -> ModelError:
    """Return the error for a checkpoint without safetensors weights.

    Args:
        name: what the user called it.
        names: of the files at the root.
        conversion: where the same weights can be had as safetensors; empty for a folder.
    """
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


def check_whole(path: Path) -> None:
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
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise ModelError(f"{path}: this is not a safetensors file. Copy or save the checkpoint again.") from None
    if header is None or 8 + length + end > size:
        raise ModelError(f"{path}: the file is cut short ({size:,} bytes). Copy or download the checkpoint again.")
