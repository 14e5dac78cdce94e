"""Input settings of each kind of task: lengths, strides, prompts, pooling, layers."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from xharness.strict_yaml import Strict

Positive = Annotated[int, Field(gt=0)]


class ClassificationInput(Strict):
    """How a pair of texts is put before the encoder."""

    max_length: Positive = 128
    csv_quoting: bool = False
    """The 2020 scripts wrote texts through csv quoting and read them without: quotes were doubled."""


class TaggingInput(Strict):
    """How a sentence of words is put before the encoder; labels sit on first tokens."""

    max_length: Positive = 128
    double_separator: bool = False
    """Repeat the closing separator of the tokenizer, whichever it is. Meant for XLM-R only: the 2020 scripts closed its
    sentences with two ``</s>``; published checkpoints mostly saw one.
    """


class SpanInput(Strict):
    """How a question and its context are put before the encoder, and how spans are read back."""

    max_length: Positive = 384
    doc_stride: Positive = 128
    """Distance between the starts of two windows, in tokens (not their overlap)."""
    max_query_length: Positive = 64
    n_best: Positive = 20
    max_answer_length: Positive = 30
    """In tokens."""
    lowercase: bool = False
    """The paper-era scripts lower-cased the input, for XLM-R too (google-research/xtreme, before 2021-08).

    This lower-cases and no more. The scripts' mBERT tokenizer also stripped accents, and so Vietnamese and Thai
    marks; this does not do so to the input.
    """
    answer_text: Literal["offsets", "words"] = "offsets"
    """``offsets``: the characters of the span; ``words``: the whole words around it (the 2020 scripts)."""
    no_answer: bool = False
    """Questions may have no answer (SQuAD 2.0): the first position of a row stands for it, and '' is a prediction."""
    null_threshold: Annotated[float, Field(allow_inf_nan=False)] = 0.0
    """How far the score of no answer must be above the best span's for the prediction to be ''; only with
    ``no_answer``."""


def checked_braces(text: str) -> str:
    """Return a text that may name ``{context}`` and ``{question}``; raise ValueError if it names anything else."""
    try:
        text.format(context="", question="")
    except (KeyError, IndexError, ValueError, AttributeError):
        raise ValueError(f"'{text}': only {{context}} and {{question}} can stand in braces.") from None
    return text


Prompt = Annotated[str, AfterValidator(checked_braces)]
"""A text with ``{context}`` and ``{question}``."""


class ChoiceInput(Strict):
    """How a text and each of its choices are put before the encoder."""

    max_length: Positive = 128
    prompt: Prompt
    """The text before each choice."""


class RetrievalInput(Strict):
    """How a text becomes a vector."""

    max_length: Positive = 512
    candidate_max_length: Positive | None = None
    """For the texts that are searched, where it is another."""
    layer: dict[int | Literal["default"], int | Literal["last"]]
    """Number of layers of the encoder -> index into ``hidden_states`` (0 = embeddings)."""
    layer_dev: list[str] = Field(default_factory=list)
    """Targets on whose development data ``--layer dev`` may choose; the first whose data is there is taken."""
    pooling: Literal["mean", "cls", "pooler"] = "mean"
    special_tokens: bool = True
    """Whether a mean counts the tokenizer's special tokens, as the official scripts do."""
    center: Literal["none", "language"] = "none"
    """``language``: the mean vector of each language is taken off before the vectors are made one long."""
    whiten: bool = False
    """Whether the vectors are turned and stretched to have no correlations, by those of both sides together."""
    vectors: Literal["float32", "float16"] = "float32"
    """The type that vectors are kept in on the disk; products are computed in float32."""
    prefix: str = ""


class MiningInput(RetrievalInput):
    """How pairs are mined from vectors: ratio margin over the mean similarity of the nearest neighbours."""

    neighbours: Positive = 4


class RankingInput(RetrievalInput):
    """How many candidates are kept for each query."""

    top_k: Positive = 20
