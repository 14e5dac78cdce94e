"""Checkpoints with two layers and random weights, saved as plain transformers repositories in well under a second."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

FIXTURES = Path(__file__).parent / "fixtures"

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
    import transformers
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
    import torch
    import transformers

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
