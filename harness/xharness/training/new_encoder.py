"""Create a small encoder with random weights and its own vocabulary."""

from __future__ import annotations

import json
import math
import os
import shutil
import tempfile
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path
from typing import Annotated, Any

import torch
import transformers
from pydantic import Field

from xharness import assets, files, strict_yaml
from xharness.data.examples import Example
from xharness.data.training_sets import load_train
from xharness.errors import DataError, OutputError, UsageError, unknown
from xharness.models import loading as models_loading
from xharness.strict_yaml import Strict
from xharness.tasks.registry import load_training

Positive = Annotated[int, Field(gt=0)]

SPECIAL = ("<s>", "<pad>", "</s>", "<unk>", "<mask>")
"""The special tokens of XLM-R; the first four have its ids."""
POSITIONS = 514
"""The first two are not used, as in all models of the RoBERTa family."""
POSITION_SCALE = 0.1
SMALLEST_VOCABULARY = 64
RUNS_PER_PIECE = 4
"""The vocabulary is trained on so many of the most frequent words per piece; rare words cost the most time."""


class Size(Strict):
    """Size of an encoder."""

    title: str
    layers: Positive
    width: Positive
    heads: Positive
    """Attention heads; the width is a multiple of them."""
    intermediate: Positive
    vocabulary: Positive
    """Number of pieces to aim at."""


@dataclass(frozen=True)
class NewEncoder:
    """An encoder that was created.

    Attributes:
        folder: of the checkpoint.
        pieces: size of its vocabulary, with special tokens.
        parameters: of the encoder with its head for masked language modeling.
        texts: number of texts that the vocabulary was trained on.
    """

    folder: Path
    pieces: int
    parameters: int
    texts: int


@cache
def list_sizes() -> tuple[str, ...]:
    """Return the names of the sizes, the smallest first."""
    return tuple(_sizes())


def load_size(name: str) -> Size:
    """Return a size by its name in ``tasks/encoder_sizes.yaml``.

    >>> load_size("tiny").layers
    2
    """
    sizes = _sizes()
    if name not in sizes:
        raise unknown("size of encoder", name, sizes)
    return sizes[name]


@cache
def _sizes() -> dict[str, Size]:
    path = assets.TASKS / "encoder_sizes.yaml"
    return {
        name: strict_yaml.parse(Size, content, f"{path.name}: {name}")
        for name, content in strict_yaml.read(path).items()
    }


# --- Texts ----------------------------------------------------------------------------------------


def texts_of(tasks: Sequence[str], data_dir: Path | None) -> Iterator[str]:
    """Yield the texts of the English examples of training sets; a tagged sentence is one text.

    Raises:
        UsageError: an unknown training set.
        DataError: its data is missing.
    """
    for name in tasks:
        for example in load_train(load_training(name), data_dir).examples:
            yield from _texts(example)


def _texts(example: Example) -> Iterator[str]:
    for field in fields(example):
        value = getattr(example, field.name)
        if field.name == "tokens":
            yield " ".join(value)
        elif field.name == "choices":
            yield from value
        elif field.name in ("text", "text_a", "text_b", "context", "question", "english"):
            yield value


def lines_of(path: Path) -> Iterator[str]:
    """Yield the lines of a text file of the user, without empty ones.

    Raises:
        DataError: the file does not exist, or it is not UTF-8.
    """
    try:
        with path.open(encoding="utf-8-sig") as file:
            yield from (line.strip() for line in file if line.strip())
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not UTF-8 text ({error.reason} at byte {error.start}). Convert it first.") from None
    except OSError as error:
        raise DataError(f"{path}: the text cannot be read: {error.strerror or error} (--text).") from None


# --- Vocabulary -----------------------------------------------------------------------------------


def vocabulary(texts: Iterable[str], size: int) -> list[tuple[str, float]]:
    """Return the pieces of a Unigram vocabulary with their log probabilities, XLM-R's special tokens first.

    They are trained with the tokenizers library. No piece mixes punctuation with letters, so that an answer before a
    full stop ends at the end of a piece. The same texts give the same list, as far as that library is deterministic:
    scores are rounded, and pieces with the same score are sorted by their characters.

    Args:
        texts: in any script; each of their characters is a piece.
        size: number of pieces to aim at, with special tokens; there are more only where there are more characters.

    Raises:
        DataError: there is no text, or too little to train on.
    """
    from tokenizers import Tokenizer, trainers
    from tokenizers import models as kinds

    words: Counter[str] = Counter()
    for text in texts:
        words.update(text.split())
    counts: Counter[str] = Counter()
    for word, n in words.items():
        for run in _runs(word):
            counts[run] += n
    if not counts:
        raise DataError("There is no text to train a vocabulary on. Name training sets (--texts-of) or files (--text).")
    core = Tokenizer(kinds.Unigram())
    trainer = trainers.UnigramTrainer(
        vocab_size=size, special_tokens=list(SPECIAL), unk_token="<unk>", show_progress=False
    )
    before = os.environ.get("TOKENIZERS_PARALLELISM")
    os.environ["TOKENIZERS_PARALLELISM"] = "false"  # always sum in the same order
    try:
        frequent = sorted(counts.items(), key=lambda item: (-item[1], item[0]))[: RUNS_PER_PIECE * size]
        core.train_from_iterator((run for run, n in frequent for _ in range(n)), trainer)
    except Exception as error:  # the library raises no class of its own
        raise DataError(f"No vocabulary can be trained on so little text ({error}). Give more text.") from None
    finally:
        if before is None:
            del os.environ["TOKENIZERS_PARALLELISM"]
        else:
            os.environ["TOKENIZERS_PARALLELISM"] = before
    scores = {p: round(score, 4) for p, score in json.loads(core.to_str())["model"]["vocab"] if p not in SPECIAL}
    longer = sorted(((p, score) for p, score in scores.items() if len(p) > 1), key=lambda item: (-item[1], item[0]))
    characters = sorted({c for run in counts for c in run} | {"▁"})
    longer = longer[: max(0, size - len(SPECIAL) - len(characters))]
    # The library orders rare characters at random; here they all have the same score.
    lowest = longer[-1][1] - 1 if longer else -10.0
    single = [(c, max(scores.get(c, lowest), lowest)) for c in characters]
    pieces = sorted([*longer, *single], key=lambda item: (-item[1], item[0]))
    return [*((token, 0.0) for token in SPECIAL[:4]), *pieces, (SPECIAL[4], 0.0)]


def _runs(word: str) -> list[str]:
    """Split a word into runs of letters and single punctuation marks; the first one starts with the word-start mark.

    >>> _runs("can't.")
    ['▁can', "'", 't', '.']
    """
    runs: list[str] = []
    after_punctuation = True
    for character in word:
        punctuation = unicodedata.category(character)[0] in "PS"
        if punctuation or after_punctuation:
            runs.append(character)
        else:
            runs[-1] += character
        after_punctuation = punctuation
    return [f"▁{runs[0]}", *runs[1:]]


# --- Encoder --------------------------------------------------------------------------------------


def make(size: Size, texts: Iterable[str], to: Path, *, seed: int = 0, pieces: int | None = None) -> NewEncoder:
    """Save an XLM-R-style encoder with random weights and a vocabulary trained on texts.

    It is saved with a head for masked language modeling (tied to the embeddings), so that it can also be trained on
    plain text. It has no dropout, its initial weights have a large variance, and its position embeddings are sine
    waves: with the small initial weights of large models, a training of minutes would learn nothing.

    Args:
        size: of the encoder.
        texts: for the vocabulary.
        to: folder of the checkpoint; must be empty or not exist.
        seed: of the weights.
        pieces: replaces the size's ``vocabulary``.

    Raises:
        UsageError: the folder is not empty, or the vocabulary is too small.
        DataError: there is no text.
        OutputError: it cannot be written.
    """
    wanted = size.vocabulary if pieces is None else pieces
    if wanted < SMALLEST_VOCABULARY:
        raise UsageError(f"--vocabulary is {wanted}: give {SMALLEST_VOCABULARY} or more.")
    if to.exists() and (not to.is_dir() or any(to.iterdir())):
        raise UsageError(f"{to} exists and is not empty. Choose another folder with --to.")
    seen = _Counted(texts)
    tokenizer = transformers.XLMRobertaTokenizer(vocabulary(seen, wanted), model_max_length=POSITIONS - 2)
    model = _random_model(size, len(tokenizer), seed)
    _save(model, tokenizer, to)
    return NewEncoder(to, len(tokenizer), sum(p.numel() for p in model.parameters()), seen.n)


class _Counted:
    """Texts that are counted while they are read."""

    def __init__(self, texts: Iterable[str]) -> None:
        self._texts, self.n = texts, 0

    def __iter__(self) -> Iterator[str]:
        for text in self._texts:
            self.n += 1
            yield text


def _random_model(size: Size, pieces: int, seed: int) -> Any:
    config = transformers.XLMRobertaConfig(
        vocab_size=pieces,
        hidden_size=size.width,
        num_hidden_layers=size.layers,
        num_attention_heads=size.heads,
        intermediate_size=size.intermediate,
        max_position_embeddings=POSITIONS,
        type_vocab_size=1,
        initializer_range=round(0.9 / math.sqrt(size.width), 4),
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        pad_token_id=1,
        bos_token_id=0,
        eos_token_id=2,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = transformers.AutoModelForMaskedLM.from_config(config)
    positions = model.base_model.embeddings.position_embeddings.weight
    with torch.no_grad():
        angles = torch.arange(POSITIONS)[:, None] / 1000 ** torch.linspace(0, 1, size.width // 2)
        positions.copy_(POSITION_SCALE * torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(1))
        positions[config.pad_token_id] = 0
    return model


def _save(model: Any, tokenizer: Any, to: Path) -> None:
    """Write the checkpoint atomically."""
    try:
        to.parent.mkdir(parents=True, exist_ok=True)
        part = Path(tempfile.mkdtemp(dir=to.parent, prefix=f".{to.name}.", suffix=".part"))
    except OSError as error:
        raise OutputError(
            f"{to}: cannot be created: {error.strerror or error}. Choose another folder with --to."
        ) from None
    try:
        with models_loading.quiet():
            model.save_pretrained(part)
            tokenizer.save_pretrained(part)
        files.write_text(part / "README.md", CARD)
        part.chmod(0o755)
        os.replace(part, to)
    except OSError as error:
        raise OutputError(
            f"{to}: cannot be written: {error.strerror or error}. Make room or choose another folder."
        ) from None
    finally:
        shutil.rmtree(part, ignore_errors=True)


CARD = """\
# An encoder with random weights

Created by `xharness new-encoder`. It has the architecture of XLM-R and a vocabulary of its own, and it was not trained:
its weights are random. It is meant for smoke tests and for research on model size.
"""
