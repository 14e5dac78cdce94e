"""The request of a training run: everything that its result depends on, its hash, and how two requests differ."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any


def adapters(rank: int) -> dict[str, Any]:
    """Return peft's settings of LoRA adapters (https://arxiv.org/abs/2106.09685); all but the rank are our choice."""
    return {"r": rank, "lora_alpha": 2 * rank, "lora_dropout": 0.05}


def full_request(
    planned: Mapping[str, Any],
    dtype: str,
    criteria: Mapping[str, Sequence[str]],
    dev_sets: Mapping[str, Sequence[Any]],
) -> dict[str, Any]:
    """Return the request of a run: that of its plan, its dtype, and what is evaluated and selected during training.

    Args:
        planned: the request of its plan.
        dtype: of the matrix products.
        criteria: name of a criterion of checkpoint selection -> the development sets that it is the mean of.
        dev_sets: name of a further development set -> spec hash, data hash and number of examples.
    """
    request = {**planned, "dtype": dtype, "choices": {name: list(own) for name, own in criteria.items()}}
    if dev_sets:
        request["watched"] = {name: list(facts) for name, facts in dev_sets.items()}
    return request


def key_of(request: Mapping[str, Any]) -> str:
    """Return 12 hex digits of a hash over a request without seed and base; tuned checkpoints are stored under it."""
    content = {name: value for name, value in comparable(request).items() if name not in ("seed", "base")}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:12]


def comparable(request: Mapping[str, Any]) -> dict[str, Any]:
    """Return a request as JSON holds it, without what the result does not depend on: names and origins of values."""
    content: dict[str, Any] = json.loads(json.dumps(request))
    content["base"].pop("name", None)
    content.pop("recipe", None)
    for task in content["tasks"].values():
        task.pop("origins", None)
    return content


def differences(then: Any, now: Any, path: str = "") -> Iterator[str]:
    """Yield the differences of two requests as text.

    >>> list(differences({"seed": 1}, {"seed": 2}))
    ['seed was 1 and is 2 now']
    """
    if isinstance(then, dict) and isinstance(now, dict):
        for name in dict.fromkeys([*then, *now]):
            inner = f"{path}.{name}" if path else str(name)
            yield from differences(then.get(name), now.get(name), inner)
    elif then != now:
        yield f"{path} was {_short(then)} and is {_short(now)} now"


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 40 else f"{text[:40]} ..."
