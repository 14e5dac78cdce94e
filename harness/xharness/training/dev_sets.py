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
"""Examples from which a share's standard error is small enough to say that a score is not above chance."""


@dataclass(frozen=True)
class DevSet:
    """Examples that are scored at every evaluation of a run.

    Attributes:
        name: of the training set (``mnli``), or of a target and a language (``xnli/de``).
        head: the task whose head reads them.
        spec: says kind, metric and input.
        language: two-letter code.
        examples: the fixed development examples.
        labels: canonical label per output of the head.
        data_hash: of the whole development set that they are from.
        whole: examples of that set.
        spec_hash: of the spec as it is written, where ``spec`` is a copy with another length.
    """

    name: str
    head: str
    spec: DataSpec
    language: str
    examples: Sequence[Example]
    labels: tuple[str, ...]
    data_hash: str
    whole: int
    spec_hash: str = ""
    _features: dict[str, Any] = field(default_factory=dict, repr=False, compare=False)

    @cached_property
    def chance(self) -> float:
        """What the best constant answer scores, in percent; 0 for entities."""
        return chance(self.spec, self.examples)

    def at_chance(self, score_dev_set: float) -> bool:
        """Whether a score is no better than chance: by two standard errors of a share, where examples are many.

        Of few examples (COPA has 100) so much is more than an honest model may gain; there chance itself is the bound.
        """
        share = min(max(self.chance / 100, 0.0), 1.0)
        few = len(self.examples) < MANY
        return score_dev_set <= self.chance + (0.0 if few else 200 * sqrt(share * (1 - share) / len(self.examples)))


def chance(spec: DataSpec, examples: Sequence[Example]) -> float:
    """Return what the best constant answer scores under a task's metric, in percent."""
    if spec.metric == "entity_f1":
        return 0.0
    if spec.kind == "span_qa":
        # No answer, the whole text, and its beginning: what a head that learned nothing amounts to.
        asked = [e for e in examples if isinstance(e, Question)]
        constant_answers: list[Callable[[str], str]] = [
            lambda text: "",
            lambda text: text,
            lambda text: " ".join(text.split()[:5]),
        ]
        measured = [
            measure(spec, gold(spec, asked), {e.id: answer(e.context) for e in asked}, "en").scores
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
    probe: DevSet, model: MultitaskModel, tokenizer: Any, positions: int | None, device: torch.device, bf16: bool
) -> dict[str, float]:
    """Return the scores of a probe by the metric of its spec, and ``score_dev_set``, the mean of those that count.

    Scores are NaN-free: a model that puts out NaN or infinity scores 0, and the run sees it in its loss.
    """
    kind = KINDS[probe.spec.kind]
    assert kind.decode is not None
    was_training = model.training
    model.eval()
    try:
        with model.task_model(probe.head) as shell:
            context = _context(probe, tokenizer, positions)
            features: Features = probe._features.setdefault("features", kind.encode(probe.examples, context))
            layers = int(model.encoder.config.num_hidden_layers)
            encoder = LoadedModel(shell, tokenizer, device, "bfloat16" if bf16 else "float32", positions, layers)
            with torch.autocast(device.type, torch.bfloat16, enabled=bf16):
                arrays = inference.forward(encoder, kind, features, context, inference.default_budget(encoder))
        made = kind.decode(probe.examples, features, arrays, context)
    except NonFiniteOutput:
        return {"score": 0.0}
    finally:
        model.train(was_training)
    scores = measure(probe.spec, gold(probe.spec, probe.examples), in_file_order(probe.examples, made), probe.language)
    return {**scores.scores, "score": task_score(probe.spec.score_keys, scores.scores)}


def _context(probe: DevSet, tokenizer: Any, positions: int | None) -> Context:
    settings: Any = getattr(probe.spec, "input")  # noqa: B009 - targets and training sets have it, their base has not
    longest = settings.max_length if positions is None else min(settings.max_length, positions)
    return Context(tokenizer, longest, settings, probe.labels)
