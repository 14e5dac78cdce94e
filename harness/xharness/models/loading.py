"""Load a checkpoint with its head; refuse weights that are missing or unused."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import transformers
from safetensors.torch import load_file

from xharness.checkpoints.heads import FILE, Head
from xharness.errors import ModelError
from xharness.models.devices import DTYPES
from xharness.models.kinds.base import Kind

# Weights of an encoder layer. Heads of other tasks may have layers, too, and buffers are recomputed.
_OF_A_LAYER = re.compile(r"(^|\.)layers?\.\d+\.")
_OTHER_HEADS = {"classifier", "qa_outputs", "lm_head", "pooler", "cls", "head", "decoder"}
_BUFFERS = ("inv_freq", "position_ids", "masked_bias")


@dataclass(frozen=True)
class LoadedModel:
    """A loaded model with its tokenizer.

    Attributes:
        model: the transformers model, in evaluation mode.
        tokenizer: its tokenizer.
        device: device of the weights.
        dtype: name of the weights' dtype.
        max_positions: tokens that a row may have, special tokens included; None where there is no limit.
        layers: number of layers of the encoder.
    """

    model: Any
    tokenizer: Any
    device: torch.device
    dtype: str
    max_positions: int | None
    layers: int


def load(
    path: Path,
    kind: Kind,
    *,
    name: str,
    device: torch.device,
    dtype: str,
    pooling: str | None = None,
    head: Head | None = None,
    trust_remote_code: bool = False,
) -> LoadedModel:
    """Load a checkpoint from a local folder, with the head that a task kind needs.

    Args:
        path: the folder.
        kind: the task kind.
        name: name of the checkpoint in messages.
        device: device to load it to.
        dtype: name of the weights' dtype.
        pooling: pooling of text embeddings, for kinds that compare them.
        head: a head with a file of its own; None, or a head without a file: the head in the checkpoint's weights.
        trust_remote_code: allow Python code in the checkpoint's folder to run.

    Raises:
        ModelError: a required weight is missing from the checkpoint (no weight is ever filled with random values),
            weights, tokenizer, head and config.json do not belong together, or the folder cannot be read.
    """
    with quiet(), _as_model_error(name):
        options = {"local_files_only": True, "trust_remote_code": trust_remote_code}
        tokenizer = transformers.AutoTokenizer.from_pretrained(path, **options)
        if (
            kind.auto_class == "AutoModelForTokenClassification"
            and getattr(tokenizer, "add_prefix_space", None) is False
        ):
            # Byte-level tokenizers must see each word as if after a space.
            tokenizer = transformers.AutoTokenizer.from_pretrained(path, add_prefix_space=True, **options)
        own_file_head = head if head is not None and head.file is not None else None
        config_option = {} if own_file_head is None else {"config": _config_of(own_file_head, path, options)}
        model, report = getattr(transformers, kind.auto_class).from_pretrained(
            path,
            dtype=DTYPES[dtype],
            use_safetensors=True,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # refused below, by name
            **config_option,
            **options,
        )
        filled = (
            set()
            if own_file_head is None
            else load_head_weights(model, set(report["missing_keys"]), path, own_file_head, name)
        )
    check_complete(model, report, kind, name, pooling, filled)
    check_head(model, kind, name, pooling)
    _check_vocabulary(model, tokenizer, name)
    model.eval().to(device)
    config = model.config
    layers = getattr(config, "num_hidden_layers", None)
    if not isinstance(layers, int):
        raise ModelError(f"{name}: config.json does not say how many layers the encoder has.")
    with _as_model_error(name):
        positions = _max_positions(model)
        special = tokenizer.num_special_tokens_to_add(pair=True)
    if positions is not None and positions <= special:
        raise ModelError(
            f"{name}: the model has {max(positions, 0)} positions, and the special tokens alone take up to {special}: "
            "there is no room for text. Is max_position_embeddings in config.json right?"
        )
    return LoadedModel(model, tokenizer, device, dtype, positions, layers)


def _config_of(head: Head, path: Path, options: dict[str, Any]) -> Any:
    """Return the checkpoint's config adapted to a head; transformers' stock class is built from it."""
    config = transformers.AutoConfig.from_pretrained(path, **options)
    # For heads without label names the class knows the number of outputs, except for question answering (2).
    names = list(head.labels) or [f"LABEL_{i}" for i in range(2)]
    config.id2label = dict(enumerate(names))
    config.label2id = {label: i for i, label in enumerate(names)}
    config.architectures = [head.architecture]
    return config


def _check_vocabulary(model: Any, tokenizer: Any, name: str) -> None:
    """Raise ModelError if the tokenizer cannot be the one that the model was trained with."""
    try:
        rows = getattr(model.get_input_embeddings(), "num_embeddings", None)
        ids = tokenizer.get_vocab().values()
    except (NotImplementedError, AttributeError):
        return  # a model of bytes or characters
    if rows is None:
        return
    largest = max(ids, default=-1)
    if largest >= rows:
        raise ModelError(
            f"{name}: the tokenizer's ids go up to {largest}, but the model has embeddings for {rows} tokens only. "
            "Does the tokenizer belong to this model?"
        )
    if len(ids) * 100 < rows:
        raise ModelError(
            f"{name}: the tokenizer knows {len(ids)} tokens, but the model has embeddings for {rows}: its "
            "vocabulary is missing. Save the tokenizer that the model was trained with beside it."
        )


def _max_positions(model: Any) -> int | None:
    """Return the number of usable positions; None for rotary or relative positions without a limit."""
    for module_name, module in model.named_modules():
        if module_name.endswith("position_embeddings") and isinstance(module, torch.nn.Embedding):
            # RoBERTa's family counts positions from after the padding index.
            offset = module.padding_idx + 1 if module.padding_idx is not None else 0
            return module.num_embeddings - offset
    limit = getattr(model.config, "max_position_embeddings", None)
    return int(limit) if limit else None


@contextmanager
def quiet() -> Iterator[None]:
    """Suppress transformers' load reports and progress bars: missing and unused weights are checked here."""
    before = transformers.logging.get_verbosity()
    bars = transformers.logging.is_progress_bar_enabled()
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    try:
        yield
    finally:
        transformers.logging.set_verbosity(before)
        if bars:
            transformers.logging.enable_progress_bar()


@contextmanager
def _as_model_error(name: str) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError, KeyError, RuntimeError, ImportError) as error:
        first = (str(error).strip() or type(error).__name__).splitlines()[0][:300]
        raise ModelError(f"{name}: cannot be loaded by transformers {transformers.__version__}: {first}") from error
    except Exception as error:
        # safetensors and tokenizers raise bare exceptions of their own for a damaged file.
        if type(error).__module__.split(".")[0] in (
            "safetensors_rust",
            "safetensors",
            "builtins",
            "tokenizers",
        ):
            raise ModelError(f"{name}: a file of the checkpoint is damaged: {error}. Download it again.") from error
        if type(error).__module__.split(".")[0] in ("huggingface_hub", "transformers"):
            message = " ".join(str(error).split())[:300] or type(error).__name__
            raise ModelError(
                f"{name}: cannot be loaded by transformers {transformers.__version__}: {message}"
            ) from error
        raise


def load_head_weights(model: Any, missing: set[str], path: Path, head: Head, name: str) -> set[str]:
    """Load the weights of a head's file into a model of its class, and return their names.

    The file must have exactly the weights that the class has outside its encoder, those of the pooler if it belongs to
    the head, and all weights that are missing from the encoder's checkpoint.

    Args:
        model: an instance of the stock class with the encoder's weights.
        missing: names of the weights that are not in the encoder's checkpoint.
        path: the checkpoint's folder.
        head: a head with a file.
        name: name of the checkpoint in messages.

    Raises:
        ModelError: the model is of another class, or the file has other weights, or weights of another shape.
    """
    assert head.file is not None
    where = f"{name}: {head.file}"
    if type(model).__name__ != head.architecture:
        raise ModelError(
            f"{name}: {FILE}: heads.{head.name}.architecture: found '{head.architecture}', but with this config.json "
            f"the head is a {type(model).__name__}. Do the two files belong together?"
        )
    if not (path / head.file).is_file():
        raise ModelError(f"{where}: the file does not exist. Copy or download the complete checkpoint again.")
    head_weights = load_file(path / head.file)
    weights: dict[str, torch.Tensor] = model.state_dict()
    encoder = f"{model.base_model_prefix}."
    expected = missing | {
        key for key in weights if not key.startswith(encoder) or (head.pooler == "head" and is_pooler_weight(key))
    }
    absent, foreign = sorted(expected - set(head_weights)), sorted(set(head_weights) - expected)
    if absent:
        raise ModelError(
            f"{where}: {len(absent)} weights of a {head.architecture} are neither in this file nor in the checkpoint's "
            f"main weights ({_some(absent)}); they are never filled with random values."
        )
    if foreign:
        raise ModelError(
            f"{where}: {len(foreign)} weights do not belong to the head of a {head.architecture} ({_some(foreign)}; "
            f"'pooler' is '{head.pooler}' in {FILE}). Is it the file of another head?"
        )
    for key in sorted(expected):
        if head_weights[key].shape != weights[key].shape:
            labels = f" and {len(head.labels)} labels in {FILE}" if head.labels else ""
            raise ModelError(
                f"{where}: {key} has the shape {list(head_weights[key].shape)}, but a {head.architecture} with this "
                f"config.json{labels} has {list(weights[key].shape)}. Do the files belong together?"
            )
    with torch.no_grad():
        for key in expected:
            weights[key].copy_(head_weights[key])  # into the model itself, in its type
    return expected


def check_complete(
    model: Any, report: dict[str, Any], kind: Kind, name: str, pooling: str | None, filled: set[str]
) -> None:
    """Raise ModelError if a required weight was randomly initialized, or a weight of the checkpoint was not used.

    Args:
        model: the loaded model; a randomly initialized pooler that is not used is removed.
        report: transformers' loading info: missing, mismatched and unexpected keys.
        kind: the task kind that it is loaded for.
        name: name of the checkpoint in messages.
        pooling: pooling of text embeddings, if texts are embedded.
        filled: names of weights that were loaded from the file of a head.
    """
    missing = sorted(set(report["missing_keys"]) - filled)
    mismatched = report.get("mismatched_keys") or []
    if mismatched:
        raise ModelError(f"{name}: weights do not fit config.json: {', '.join(str(m[0]) for m in mismatched)[:300]}.")
    # A bare encoder works without a pooler; a class with a task head uses its pooler if it has one.
    pooler = [key for key in missing if is_pooler_weight(key)] if kind.auto_class == "AutoModel" else []
    if pooler and pooling == "pooler":
        raise ModelError(
            f"{name}: the checkpoint has no pooler (missing weights: {', '.join(pooler)}), and a random one would give "
            "meaningless scores. Use --pooling mean or cls."
        )
    if pooler and getattr(model, "pooler", None) is not None:
        # Randomly initialized and not used.
        model.pooler = None
    others = [key for key in missing if key not in pooler]
    if others:
        raise ModelError(
            f"{name}: {len(others)} required weights are not in the checkpoint ({_some(others)}); they are never "
            "filled with random values. Does config.json belong to these weights?"
        )
    unused = [
        key
        for key in sorted(report.get("unexpected_keys") or [])
        if _OF_A_LAYER.search(key) and key.split(".")[0] not in _OTHER_HEADS and not key.endswith(_BUFFERS)
    ]
    if unused:
        raise ModelError(
            f"{name}: the checkpoint has {len(unused)} weights of layers that config.json does not have "
            f"({_some(unused)}), and scores without them would not be the model's. Does config.json belong to these "
            "weights?"
        )


def check_head(model: Any, kind: Kind, name: str, pooling: str | None) -> None:
    """Raise ModelError if the requested pooler is missing, or a QA head does not have two outputs."""
    if kind.auto_class == "AutoModel" and pooling == "pooler" and getattr(model, "pooler", None) is None:
        raise ModelError(f"{name}: {type(model).__name__} has no pooler. Use --pooling mean or cls.")
    if kind.auto_class == "AutoModelForQuestionAnswering":
        head = getattr(model, "qa_outputs", None) or getattr(model, "classifier", None)
        outputs = getattr(head, "out_features", 2)
        if outputs != 2:
            raise ModelError(
                f"{name}: the question-answering head has {outputs} outputs, expected 2 (start and end of the answer)."
            )


def is_pooler_weight(key: str) -> bool:
    """Return whether a weight belongs to a pooler, by its name.

    >>> is_pooler_weight("roberta.pooler.dense.weight"), is_pooler_weight("my_pooler.weight")
    (True, False)
    """
    return "pooler" in key.split(".")


def _some(keys: list[str]) -> str:
    return ", ".join(keys[:4]) + (" ..." if len(keys) > 4 else "")
