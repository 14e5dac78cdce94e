"""Where each weight of a model comes from: the checkpoint, or the file of a head, and never from the loader's dice."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from xharness.checkpoints.heads import FILE, Head
from xharness.errors import ModelError
from xharness.models.kinds.base import Kind

# A weight of one layer of an encoder; heads of other tasks may have layers too, and buffers are computed anew.
_OF_A_LAYER = re.compile(r"(^|\.)layers?\.\d+\.")
_OTHER_HEADS = {"classifier", "qa_outputs", "lm_head", "pooler", "cls", "head", "decoder"}
_BUFFERS = ("inv_freq", "position_ids", "masked_bias")


def fill(model: Any, missing: set[str], path: Path, head: Head, name: str) -> set[str]:
    """Put the weights of a head's file into a model of its class, and return their names.

    The file must hold all weights that the class has beside its encoder, the pooler where it is the head's, and all
    that the encoder's checkpoint lacks; and nothing else.

    Args:
        model: of the stock class, with the encoder's weights in it.
        missing: names of the weights that the encoder's checkpoint lacks.
        path: of the checkpoint's folder.
        head: which has a file.
        name: what the user called the checkpoint.

    Raises:
        ModelError: the model is of another class, or the file holds other weights, or weights of another shape.
    """
    assert head.file is not None
    where = f"{name}: {head.file}"
    if type(model).__name__ != head.architecture:
        raise ModelError(
            f"{name}: {FILE}: heads.{head.name}.architecture: found '{head.architecture}', but with this config.json "
            f"the head is a {type(model).__name__}. Do the two files belong together?"
        )
    if not (path / head.file).is_file():
        raise ModelError(f"{where}: there is no such file. Copy or download the whole checkpoint again.")
    held = load_file(path / head.file)
    own: dict[str, torch.Tensor] = model.state_dict()
    encoder = f"{model.base_model_prefix}."
    wanted = missing | {
        key for key in own if not key.startswith(encoder) or (head.pooler == "head" and of_a_pooler(key))
    }
    absent, foreign = sorted(wanted - set(held)), sorted(set(held) - wanted)
    if absent:
        raise ModelError(
            f"{where}: {len(absent)} weights that a {head.architecture} needs are neither in it nor in the root's own "
            f"weights ({_some(absent)}); they are never filled with random values."
        )
    if foreign:
        raise ModelError(
            f"{where}: holds {len(foreign)} weights that are not of a {head.architecture}'s head ({_some(foreign)}; "
            f"'pooler' is '{head.pooler}' in {FILE}). Is it the file of another head?"
        )
    for key in sorted(wanted):
        if held[key].shape != own[key].shape:
            labels = f" and {len(head.labels)} labels in {FILE}" if head.labels else ""
            raise ModelError(
                f"{where}: {key} has the shape {list(held[key].shape)}, but a {head.architecture} with this "
                f"config.json{labels} has {list(own[key].shape)}. Do the files belong together?"
            )
    with torch.no_grad():
        for key in wanted:
            own[key].copy_(held[key])  # into the model itself, in its type
    return wanted


def check_complete(
    model: Any, report: dict[str, Any], kind: Kind, name: str, pooling: str | None, filled: set[str]
) -> None:
    """Raise ModelError if a weight that is needed was made up by the loader, or one that is there was not used.

    Args:
        model: the loaded model; a pooler that was made up and is read by nothing is taken out of it.
        report: transformers' own, of what was missing, of another shape and left over.
        kind: what it is loaded for.
        name: what the user called the checkpoint.
        pooling: how texts become vectors, where they do.
        filled: weights that came from the file of a head.
    """
    missing = sorted(set(report["missing_keys"]) - filled)
    mismatched = report.get("mismatched_keys") or []
    if mismatched:
        raise ModelError(f"{name}: weights do not fit config.json: {', '.join(str(m[0]) for m in mismatched)[:300]}.")
    # A bare encoder may do without a pooler; a class with a task's head has none that it does not read.
    pooler = [key for key in missing if of_a_pooler(key)] if kind.auto_class == "AutoModel" else []
    if pooler and pooling == "pooler":
        raise ModelError(
            f"{name}: the checkpoint has no pooler (weights missing: {', '.join(pooler)}), and a random one would give "
            "meaningless scores. Use --pooling mean or cls."
        )
    if pooler and getattr(model, "pooler", None) is not None:
        # It was made up by the loader, and nothing reads it.
        model.pooler = None
    others = [key for key in missing if key not in pooler]
    if others:
        raise ModelError(
            f"{name}: {len(others)} weights that are needed are not in the checkpoint ({_some(others)}); they are "
            "never filled with random values. Is config.json that of these weights?"
        )
    unused = [
        key
        for key in sorted(report.get("unexpected_keys") or [])
        if _OF_A_LAYER.search(key) and key.split(".")[0] not in _OTHER_HEADS and not key.endswith(_BUFFERS)
    ]
    if unused:
        raise ModelError(
            f"{name}: the checkpoint has {len(unused)} weights of layers that config.json does not have "
            f"({_some(unused)}), and scores without them would not be the model's. Is config.json that of these "
            "weights?"
        )


def check_head(model: Any, kind: Kind, name: str, pooling: str | None) -> None:
    """Raise ModelError if the model has no pooler although it is asked for, or its head another number of outputs."""
    if kind.auto_class == "AutoModel" and pooling == "pooler" and getattr(model, "pooler", None) is None:
        raise ModelError(
            f"{name}: {type(model).__name__} has no pooler, so there is no output of it. Use --pooling mean or cls."
        )
    if kind.auto_class == "AutoModelForQuestionAnswering":
        head = getattr(model, "qa_outputs", None) or getattr(model, "classifier", None)
        outputs = getattr(head, "out_features", 2)
        if outputs != 2:
            raise ModelError(
                f"{name}: the question-answering head has {outputs} outputs, expected 2 (start and end of the answer)."
            )


def of_a_pooler(key: str) -> bool:
    """Whether a weight is of a pooler, by its name.

    >>> of_a_pooler("roberta.pooler.dense.weight"), of_a_pooler("pooler.dense.bias"), of_a_pooler("my_pooler")
    (True, True, False)
    """
    return "pooler" in key.split(".")


def _some(keys: list[str]) -> str:
    return ", ".join(keys[:4]) + (" ..." if len(keys) > 4 else "")
