"""Train the demo's tiny checkpoints."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import transformers
from torch.nn.functional import cross_entropy, normalize
from tqdm import tqdm
from transformers import (
    XLMRobertaConfig,
    XLMRobertaForQuestionAnswering,
    XLMRobertaForSequenceClassification,
    XLMRobertaForTokenClassification,
    XLMRobertaModel,
    XLMRobertaTokenizer,
)

from xharness.demo import encode


@dataclass(frozen=True)
class Settings:
    """Hyperparameters of model and training."""

    layers: int = 2
    width: int = 128
    attention_heads: int = 8
    intermediate: int = 256
    positions: int = 258
    initial_range: float = 0.08
    initial_positions: float = 0.1
    alignment_steps: int = 300
    alignment_batch: int = 256
    alignment_rate: float = 0.01
    alignment_twins: float = 3.0
    steps: int = 450
    rate: float = 0.003
    warm_up: int = 30
    temperature: float = 0.05
    pairs_batch: int = 24
    pairs_every: int = 2
    nli_batch: int = 16
    ner_batch: int = 8
    qa_batch: int = 20


BatchSampler = Callable[[], list[Any]]
"""Returns the next batch of examples."""


@dataclass(frozen=True)
class DemoModels:
    """The encoder, and three models that share it, each with a head of its own."""

    encoder: Any
    nli: Any
    ner: Any
    qa: Any


def train_checkpoints(
    data: Path, to: Path, *, seed: int = 0, progress: bool = True, settings: Settings | None = None
) -> dict[str, Path]:
    """Train on the data of ``demo.data.make_data`` and save four checkpoints in the format of transformers.

    First, the word embeddings are aligned on parallel sentences, without task data. Then the layers learn three tasks
    from English examples only, while the parallel sentences keep the languages aligned.

    Returns:
        ``encoder``, ``nli``, ``ner`` and ``qa`` -> the folder of the checkpoint.
    """
    settings = settings or Settings()
    with torch.random.fork_rng(devices=[]), _one_thread():
        torch.manual_seed(seed)
        rng = random.Random(seed)
        pairs = list(encode.parallel(data))
        # Two positions are lost before the first token, as in all of RoBERTa's family.
        tokenizer = XLMRobertaTokenizer(encode.vocabulary(pairs), model_max_length=settings.positions - 2)
        ids = encode.encode_parallel(tokenizer, pairs)
        models = _new_models(settings, len(tokenizer))
        _align_words(models.encoder, _batch_sampler(ids, settings.alignment_batch, rng), settings, progress)
        samplers = {
            "nli": _batch_sampler(encode.encode_nli(tokenizer, encode.rows(data, "demo-nli")), settings.nli_batch, rng),
            "ner": _batch_sampler(encode.encode_ner(tokenizer, encode.rows(data, "demo-ner")), settings.ner_batch, rng),
            "qa": _batch_sampler(encode.encode_qa(tokenizer, encode.rows(data, "demo-qa")), settings.qa_batch, rng),
            "pairs": _batch_sampler(ids, settings.pairs_batch, rng),
        }
        _train_tasks(models, samplers, settings, progress)
    return _save(models, tokenizer, to)


def _save(models: DemoModels, tokenizer: Any, to: Path) -> dict[str, Path]:
    bars = transformers.logging.is_progress_bar_enabled()
    transformers.logging.disable_progress_bar()
    try:
        for name, model in vars(models).items():
            model.save_pretrained(to / name)
            tokenizer.save_pretrained(to / name)
    finally:
        if bars:
            transformers.logging.enable_progress_bar()
    return {name: to / name for name in vars(models)}


@contextmanager
def _one_thread() -> Iterator[None]:
    """Compute in one thread. The matrices are small, and on busy cores two threads wait for each other at every
    operation (measured under such a load: 74 s with one thread, 307 s with two)."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _batch_sampler(examples: list[Any], size: int, rng: random.Random) -> BatchSampler:
    """Return a function that draws batches without replacement in random order, and reshuffles after each epoch."""
    left: list[Any] = []

    def draw() -> list[Any]:
        if len(left) < size:
            left[:] = rng.sample(examples, len(examples))
        return [left.pop() for _ in range(min(size, len(left)))]

    return draw


def _new_models(settings: Settings, vocabulary: int) -> DemoModels:
    def config(labels: list[str]) -> Any:
        names = {"id2label": dict(enumerate(labels)), "label2id": {name: i for i, name in enumerate(labels)}}
        return XLMRobertaConfig(
            vocab_size=vocabulary,
            hidden_size=settings.width,
            num_hidden_layers=settings.layers,
            num_attention_heads=settings.attention_heads,
            intermediate_size=settings.intermediate,
            max_position_embeddings=settings.positions,
            type_vocab_size=1,
            initializer_range=settings.initial_range,
            hidden_dropout_prob=0.0,
            attention_probs_dropout_prob=0.0,
            **(names if labels else {}),
        )

    encoder = XLMRobertaModel(config([]), add_pooling_layer=False)
    positions = encoder.embeddings.position_embeddings.weight
    with torch.no_grad():
        # Sinusoids instead of noise: a minute of training is too short to learn which positions are neighbors.
        angles = torch.arange(settings.positions)[:, None] / 1000 ** torch.linspace(0, 1, settings.width // 2)
        positions.copy_(settings.initial_positions * torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(1))
        positions[encoder.config.pad_token_id] = 0
    nli = XLMRobertaForSequenceClassification(config(encode.labels("demo_nli")))
    ner = XLMRobertaForTokenClassification(config(encode.labels("demo_ner")))
    qa = XLMRobertaForQuestionAnswering(config([]))
    for model in (nli, ner, qa):
        model.roberta = encoder
    return DemoModels(encoder, nli, ner, qa)


def _align_words(encoder: Any, draw: BatchSampler, settings: Settings, progress: bool) -> None:
    """Give words that are translations of each other the same embedding, without word alignments.

    The loss makes the sum of a sentence's word embeddings most similar to that of its translation. After a third of the
    steps, each word is also pulled to the most similar word of the translation, which is nearly always the right one by
    then (the idea of https://arxiv.org/abs/2004.08728, which extracts alignments from such similarities).
    """
    words = encoder.embeddings.word_embeddings
    optimizer = torch.optim.Adam(words.parameters(), lr=settings.alignment_rate)
    fade = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 - step / settings.alignment_steps)
    for step in tqdm(range(settings.alignment_steps), "aligning words", disable=None if progress else True):
        first, second = zip(*draw(), strict=True)
        loss, pull = _alignment_losses(words, _pad(first), _pad(second), settings.temperature)
        if step >= settings.alignment_steps // 3:
            loss = loss + settings.alignment_twins * pull
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        fade.step()
    with torch.no_grad():
        words.weight.copy_(normalize(words.weight, dim=-1))
        words.weight[encoder.config.pad_token_id] = 0
    # Frozen from here on: the English tasks would move English words only, away from their translations.
    words.requires_grad_(False)


def _alignment_losses(words: Any, first: Any, second: Any, temperature: float) -> tuple[Any, Any]:
    """Return the contrastive loss of the sentences, and the mean distance of words to their most similar words."""
    special = 2  # <s>, <pad> and </s> are 0 to 2
    u, v = words(first), words(second)
    sums = [(w * (x > special).unsqueeze(-1)).sum(1) for w, x in ((u, first), (v, second))]
    similarity = normalize(u, dim=-1) @ normalize(v, dim=-1).transpose(1, 2)
    similarity = similarity.masked_fill((first <= special).unsqueeze(2) | (second <= special).unsqueeze(1), -1.0)
    best = (similarity == similarity.amax(1, keepdim=True)) | (similarity == similarity.amax(2, keepdim=True))
    near = similarity[best & (similarity > 0.3)]
    return _contrast(sums[0], sums[1], temperature), 1 - near.mean() if len(near) else similarity.new_zeros(())


def _contrast(first: Any, second: Any, temperature: float) -> Any:
    """Return the InfoNCE loss: find each sentence's translation within the batch, in both directions."""
    similarity = normalize(first, dim=-1) @ normalize(second, dim=-1).T / temperature
    gold = torch.arange(len(first))
    return (cross_entropy(similarity, gold) + cross_entropy(similarity.T, gold)) / 2


def _train_tasks(models: DemoModels, samplers: dict[str, BatchSampler], settings: Settings, progress: bool) -> None:
    all_models = torch.nn.ModuleList(vars(models).values())
    all_models.train()
    weights = [p for p in all_models.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(weights, lr=settings.rate, betas=(0.9, 0.98), weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min(1.0, (step + 1) / settings.warm_up) * (1 - step / settings.steps)
    )
    for step in tqdm(range(settings.steps), "learning English tasks", disable=None if progress else True):
        loss = sum(_task_losses(models, samplers))
        if step % settings.pairs_every == 0:
            first, second = zip(*samplers["pairs"](), strict=True)
            vectors = [_sentence_vectors(models.encoder, side) for side in (first, second)]
            loss = loss + _contrast(vectors[0], vectors[1], settings.temperature)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(weights, 1.0)
        optimizer.step()
        schedule.step()
    all_models.eval()


def _task_losses(models: DemoModels, samplers: dict[str, BatchSampler]) -> Iterator[Any]:
    ids, labels = zip(*samplers["nli"](), strict=True)
    yield models.nli(**_inputs(ids), labels=torch.tensor(labels)).loss
    ids, tags = zip(*samplers["ner"](), strict=True)
    yield models.ner(**_inputs(ids), labels=_pad(tags, -100)).loss
    ids, starts, ends = zip(*samplers["qa"](), strict=True)
    yield models.qa(**_inputs(ids), start_positions=torch.tensor(starts), end_positions=torch.tensor(ends)).loss


def _sentence_vectors(encoder: Any, sentences: tuple[list[int], ...]) -> Any:
    """Return the mean of the last layer over all tokens, special tokens included, as in retrieval."""
    inputs = _inputs(sentences)
    mask = inputs["attention_mask"].unsqueeze(-1)
    return (encoder(**inputs).last_hidden_state * mask).sum(1) / mask.sum(1)


def _pad(rows: tuple[list[int], ...], value: int = 1) -> Any:
    longest = max(map(len, rows))
    return torch.tensor([row + [value] * (longest - len(row)) for row in rows])


def _inputs(rows: tuple[list[int], ...]) -> dict[str, Any]:
    ids = _pad(rows)
    return {"input_ids": ids, "attention_mask": (ids != 1).long()}
