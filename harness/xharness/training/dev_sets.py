"""Development sets that are scored during training; chance level and collapse detection."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from math import sqrt
from typing import Any

import torch

from xharness.data.examples import Choice, Example, Pair, Question, Tagged
from xharness.metrics.base import task_score
from xharness.models import inference
from xharness.models.kinds import KINDS
from xharness.models.kinds.base import Context, Features, NonFiniteOutput
from xharness.models.loading import LoadedModel
from xharness.models.multitask import MultitaskModel
from xharness.results.scoring import gold, in_file_order, measure
from xharness.tasks.dataset_spec import DataSpec

MANY = 400
"""From so many examples on, the standard error of a share is small enough to tell a score from chance."""


@dataclass(frozen=True)
class DevSet:
    """Examples that are scored at every evaluation of a training run.

    Attributes:
        name: the training set (``mnli``), or target and language (``xnli/de``).
        head: the task whose head predicts them.
        spec: task kind, metric and input.
        language: two-letter code.
        examples: the fixed development examples.
        labels: canonical label per output of the head.
        data_hash: hash of the complete development set.
        full_size: number of examples in the complete development set.
        spec_hash: hash of the original spec, where ``spec`` is a copy with another length; "": that of ``spec``.
    """

    name: str
    head: str
    spec: DataSpec
    language: str
    examples: Sequence[Example]
    labels: tuple[str, ...]
    data_hash: str
    full_size: int
    spec_hash: str = ""
    _features: dict[str, Any] = field(default_factory=dict, repr=False, compare=False)

    @cached_property
    def chance(self) -> float:
        """Score of the best constant answer, in percent; 0 for entities."""
        return chance(self.spec, self.examples)

    def at_chance(self, score: float) -> bool:
        """Return whether a score (in percent) is no better than chance plus two standard errors of a share.

        With few examples (COPA has 100) two standard errors are more than a model that learned something may gain;
        there the bound is chance itself.
        """
        share = min(max(self.chance / 100, 0.0), 1.0)
        few = len(self.examples) < MANY
        return score <= self.chance + (0.0 if few else 200 * sqrt(share * (1 - share) / len(self.examples)))


def chance(spec: DataSpec, examples: Sequence[Example]) -> float:
    """Return the score of the best constant answer under the metric of a task, in percent."""
    if spec.metric == "entity_f1":
        return 0.0
    if spec.kind == "span_qa":
        # No answer, the whole text, and its beginning: what a head that learned nothing predicts.
        questions = [e for e in examples if isinstance(e, Question)]
        constant_answers: list[Callable[[str], str]] = [
            lambda text: "",
            lambda text: text,
            lambda text: " ".join(text.split()[:5]),
        ]
        measured = [
            measure(spec, gold(spec, questions), {e.id: answer(e.context) for e in questions}, "en").scores
            for answer in constant_answers
        ]
        return max(task_score(spec.score_keys, scores) for scores in measured)
    if spec.kind == "tagging":
        tags = Counter(tag for e in examples if isinstance(e, Tagged) for tag in e.tags)
        constant: Any = [(tags.most_common(1)[0][0],) * len(e.tags) for e in examples if isinstance(e, Tagged)]
        scores = measure(spec, gold(spec, examples), constant, "en").scores
        return task_score(spec.score_keys, scores)
    best = 0.0
    golds = gold(spec, examples)
    for label in sorted({e.label for e in examples if isinstance(e, Pair | Choice)}):
        scores = measure(spec, golds, [label] * len(golds), "en").scores
        best = max(best, task_score(spec.score_keys, scores))
    return best


def score_dev_set(
    dev_set: DevSet, model: MultitaskModel, tokenizer: Any, positions: int | None, device: torch.device, bf16: bool
) -> dict[str, float]:
    """Return the scores of a development set by the metric of its spec, and ``score``, the mean of those that count.

    A model that puts out NaN or infinity scores 0; the run sees it in its loss.
    """
    kind = KINDS[dev_set.spec.kind]
    assert kind.decode is not None
    was_training = model.training
    model.eval()
    try:
        with model.task_model(dev_set.head) as task_model:
            context = _context(dev_set, tokenizer, positions)
            features: Features = dev_set._features.setdefault("features", kind.encode(dev_set.examples, context))
            layers = int(model.encoder.config.num_hidden_layers)
            dtype = "bfloat16" if bf16 else "float32"
            encoder = LoadedModel(task_model, tokenizer, device, dtype, positions, layers)
            with torch.autocast(device.type, torch.bfloat16, enabled=bf16):
                arrays = inference.forward(encoder, kind, features, context, inference.default_budget(encoder))
        predictions = kind.decode(dev_set.examples, features, arrays, context)
    except NonFiniteOutput:
        return {"score": 0.0}
    finally:
        model.train(was_training)
    ordered = in_file_order(dev_set.examples, predictions)
    scores = measure(dev_set.spec, gold(dev_set.spec, dev_set.examples), ordered, dev_set.language).scores
    return {**scores, "score": task_score(dev_set.spec.score_keys, scores)}


def _context(dev_set: DevSet, tokenizer: Any, positions: int | None) -> Context:
    settings: Any = getattr(dev_set.spec, "input")  # noqa: B009 - targets and training sets have it, their base has not
    longest = settings.max_length if positions is None else min(settings.max_length, positions)
    return Context(tokenizer, longest, settings, dev_set.labels)
