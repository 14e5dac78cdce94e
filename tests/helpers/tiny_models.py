"""Small models with random weights, and small ones trained here, saved as plain transformers repositories."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import torch
import transformers

from helpers.paths import FIXTURES
from xharness.data import loading as data_loading
from xharness.models.kinds import tagging
from xharness.models.kinds.base import Context
from xharness.tasks.registry import load_task, load_training
from xharness.tasks.task_spec import TaggingInput

HEADS = {
    "encoder": "Model",
    "masked_lm": "ForMaskedLM",
    "classification": "ForSequenceClassification",
    "multiple_choice": "ForMultipleChoice",
    "tagging": "ForTokenClassification",
    "span_qa": "ForQuestionAnswering",
}
FAMILIES = {"xlm-roberta": "XLMRoberta", "bert": "Bert", "modernbert": "ModernBert", "deberta-v2": "DebertaV2"}


def texts() -> Iterator[str]:
    """Yield the texts of the fixtures that the tokenizers are trained on.

    Not XCOPA's: tests of other kinds depend on where these tokenizers cut.
    """

    def strings(value: Any) -> Iterator[str]:
        if isinstance(value, str):
            yield value
        elif isinstance(value, list | dict):
            for inner in value.values() if isinstance(value, dict) else value:
                yield from strings(inner)

    for path in sorted(path for path in FIXTURES.glob("*/*.jsonl") if path.parent.name != "xcopa"):
        for line in path.read_text(encoding="utf-8").splitlines():
            yield from strings(json.loads(line))


@cache
def tokenizer(family: str = "xlm-roberta") -> Any:
    """Return a fast tokenizer trained on the fixtures, with the special tokens of a family of encoders."""
    from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, processors, trainers

    # Signs and Chinese characters are pieces of their own, so that every answer of the fixtures ends with a piece.
    apart = pre_tokenizers.Split(Regex(r"\p{Han}|\p{P}"), "isolated")
    if family == "xlm-roberta":
        core = Tokenizer(models.Unigram())
        core.normalizer = normalizers.NFKC()
        core.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Metaspace(), apart])
        special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
        trainer = trainers.UnigramTrainer(
            vocab_size=700, special_tokens=special, unk_token="<unk>", show_progress=False
        )
        core.train_from_iterator(texts(), trainer)
        core.post_processor = processors.TemplateProcessing(
            single="<s> $A </s>", pair="<s> $A </s> </s> $B </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
        )
        names = {"bos_token": "<s>", "cls_token": "<s>", "sep_token": "</s>", "eos_token": "</s>"}
        names |= {"pad_token": "<pad>", "unk_token": "<unk>", "mask_token": "<mask>"}
        inputs = ["input_ids", "attention_mask"]
    else:
        core = Tokenizer(models.WordPiece(unk_token="[UNK]"))
        core.normalizer = normalizers.NFC()
        core.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), apart])
        special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
        trainer = trainers.WordPieceTrainer(vocab_size=900, special_tokens=special, show_progress=False)
        core.train_from_iterator(texts(), trainer)
        core.post_processor = processors.TemplateProcessing(
            single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
        )
        names = {"cls_token": "[CLS]", "sep_token": "[SEP]", "pad_token": "[PAD]", "unk_token": "[UNK]"}
        names |= {"mask_token": "[MASK]"}
        inputs = ["input_ids", *(["token_type_ids"] if family == "bert" else []), "attention_mask"]
    return transformers.PreTrainedTokenizerFast(tokenizer_object=core, model_input_names=inputs, **names)


def checkpoint(
    folder: Path,
    head: str = "encoder",
    *,
    labels: Sequence[str] = (),
    seed: int = 0,
    family: str = "xlm-roberta",
    layers: int = 2,
    **config: Any,
) -> Path:
    """Save a random model with its tokenizer and return the folder.

    Args:
        folder: made where needed.
        head: one of ``HEADS``.
        labels: names of the head's outputs, in their order.
        seed: of the weights.
        family: one of ``FAMILIES``.
        layers: number of layers.
        **config: further fields of the model's configuration.
    """
    words = tokenizer(family)
    sizes: dict[str, Any] = {
        "vocab_size": len(words),
        "hidden_size": 16,
        "num_hidden_layers": layers,
        "num_attention_heads": 2,
        "intermediate_size": 32,
        # The random weights of a new model are so small that everything is nearly a tie.
        "initializer_range": 0.5,
        "pad_token_id": words.pad_token_id,
        "bos_token_id": words.cls_token_id,
        "eos_token_id": words.sep_token_id,
    }
    if family == "modernbert":
        sizes |= {"cls_token_id": words.cls_token_id, "sep_token_id": words.sep_token_id}
    if family == "deberta-v2":  # as mDeBERTa: relative places only
        sizes |= {"relative_attention": True, "position_biased_input": False, "pos_att_type": ["p2c", "c2p"]}
        sizes |= {"type_vocab_size": 0}
    if family == "xlm-roberta":
        sizes |= {"max_position_embeddings": 514, "type_vocab_size": 1}
    if labels:
        sizes |= {"id2label": dict(enumerate(labels)), "label2id": {name: i for i, name in enumerate(labels)}}
    stem = FAMILIES[family]
    settings = getattr(transformers, f"{stem}Config")(**{**sizes, **config})
    torch.manual_seed(seed)
    model = getattr(transformers, stem + HEADS[head])(settings)
    # The progress bar of a save would be the only thing that tests print.
    transformers.logging.disable_progress_bar()
    model.save_pretrained(folder)
    words.save_pretrained(folder)
    return folder


def train_tokenizer(texts: Iterable[str], folder: Path, vocabulary: int) -> Path:
    """Train a sentencepiece-like tokenizer with XLM-R's special tokens and return the folder it is saved in."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers

    core = Tokenizer(models.Unigram())
    core.normalizer = normalizers.NFKC()
    core.pre_tokenizer = pre_tokenizers.Metaspace()
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    core.train_from_iterator(
        texts,
        trainers.UnigramTrainer(vocab_size=vocabulary, special_tokens=special, unk_token="<unk>", show_progress=False),
    )
    core.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> </s> $B </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    transformers.PreTrainedTokenizerFast(
        tokenizer_object=core,
        model_input_names=["input_ids", "attention_mask"],
        bos_token="<s>",
        cls_token="<s>",
        eos_token="</s>",
        sep_token="</s>",
        pad_token="<pad>",
        unk_token="<unk>",
        mask_token="<mask>",
    ).save_pretrained(folder)
    return folder


def save_random(
    folder: Path,
    head: str,
    tokenizer: Path,
    labels: Sequence[str],
    *,
    layers: int,
    width: int,
    heads: int,
    seed: int,
    **more: Any,
) -> Path:
    """Save an XLM-R-style encoder with random weights and a head, and return its folder."""
    words = transformers.AutoTokenizer.from_pretrained(tokenizer)
    config = transformers.XLMRobertaConfig(
        vocab_size=len(words),
        hidden_size=width,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        intermediate_size=4 * width,
        max_position_embeddings=514,
        type_vocab_size=1,
        pad_token_id=1,
        bos_token_id=0,
        eos_token_id=2,
        id2label=dict(enumerate(labels)),
        label2id={name: i for i, name in enumerate(labels)},
        **more,
    )
    torch.manual_seed(seed)
    model = getattr(transformers, f"XLMRoberta{HEADS[head]}")(config)
    transformers.logging.disable_progress_bar()
    model.save_pretrained(folder)
    words.save_pretrained(folder)
    return folder


def train_tagger(folder: Path, tokenizer: Path, task: str, data_dir: Path, steps: int, seed: int = 0) -> Path:
    """Train a small encoder with a tagging head on the English training set of a target, from scratch.

    Args:
        folder: where the checkpoint is saved.
        tokenizer: folder of the tokenizer.
        task: name of the target.
        data_dir: the data folder.
        steps: batches of 32 sentences; the learning rate falls to zero over them.
        seed: of weights and order.
    """
    spec = load_task(task)
    assert spec.train is not None
    examples = data_loading.load(load_training(spec.train), "en", "train", data_dir).examples[:]
    save_random(folder, "tagging", tokenizer, spec.labels, layers=2, width=128, heads=4, seed=seed)
    model = transformers.AutoModelForTokenClassification.from_pretrained(folder).train()
    words = transformers.AutoTokenizer.from_pretrained(tokenizer)
    context = Context(words, 128, TaggingInput(), tuple(spec.labels))
    features = tagging.encode(examples, context)
    number = {label: i for i, label in enumerate(spec.labels)}
    used = [0] * len(examples)
    targets = []
    for index, first in features.rows:
        tags = examples[index].tags[used[index] : used[index] + len(first)]
        used[index] += len(first)
        targets.append([number[tag] for tag in tags])
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=2e-3, total_steps=steps, pct_start=0.1)
    generator = torch.Generator().manual_seed(seed)
    order: list[list[int]] = []
    for _ in range(steps):
        if not order:
            # Rows of like length together: less padding.
            drawn = torch.randint(len(targets), (1024,), generator=generator).tolist()
            drawn.sort(key=features.lengths.__getitem__)
            order = [drawn[i : i + 32] for i in range(0, 1024, 32)]
        rows = order.pop(int(torch.randint(len(order), (1,), generator=generator)))
        inputs, labels = _batch(*([part[r] for r in rows] for part in (features.input_ids, features.rows, targets)))
        loss = model(input_ids=inputs, attention_mask=(inputs != 1).long(), labels=labels).loss
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
    model.eval().save_pretrained(folder)
    return folder


def _batch(ids: list[list[int]], rows: list[Any], tags: list[list[int]]) -> tuple[torch.Tensor, torch.Tensor]:
    longest = max(map(len, ids))
    inputs = torch.tensor([row + [1] * (longest - len(row)) for row in ids])
    labels = torch.full(inputs.shape, -100)
    for number, ((_, first), values) in enumerate(zip(rows, tags, strict=True)):
        labels[number, first] = torch.tensor(values)
    return inputs, labels


def trainer_tags(checkpoint: Path, examples: Sequence[Any], folder: Path) -> list[list[str]]:
    """Return the tags that Trainer.predict gives at its defaults, read at first tokens (run_ner.py's way)."""
    import datasets

    model = transformers.AutoModelForTokenClassification.from_pretrained(checkpoint)
    words = transformers.AutoTokenizer.from_pretrained(checkpoint)
    encoded = words([list(e.tokens) for e in examples], is_split_into_words=True, truncation=True, max_length=512)
    first = [
        [row.index(w) for w in range(max(x for x in row if x is not None) + 1)]
        for row in (encoded.word_ids(i) for i in range(len(examples)))
    ]
    table = datasets.Dataset.from_dict({"input_ids": encoded["input_ids"], "attention_mask": encoded["attention_mask"]})
    trainer = transformers.Trainer(
        model=model,
        args=transformers.TrainingArguments(output_dir=str(folder), report_to="none", disable_tqdm=True),
        data_collator=transformers.DataCollatorWithPadding(words),
    )
    logits = trainer.predict(table).predictions
    return [
        [model.config.id2label[int(row[place].argmax())] for place in places]
        for row, places in zip(logits, first, strict=True)
    ]
