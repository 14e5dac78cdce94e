"""Input settings of each kind of task: lengths, strides, prompts, pooling, layers."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from xharness.strict_yaml import Strict

Positive = Annotated[int, Field(gt=0)]


class ClassificationInput(Strict):
    """Input settings for a pair of texts."""

    max_length: Positive = 128
    csv_quoting: bool = False
    """Double the quotes in texts, as the 2020 scripts did: they wrote files with CSV quoting and read them without."""


class TaggingInput(Strict):
    """Input settings for a sentence of words; the first token of each word carries its label."""

    max_length: Positive = 128
    double_separator: bool = False
    """Repeat the tokenizer's closing separator. Meant for XLM-R only: the 2020 scripts ended its sentences with two
    ``</s>``; most published checkpoints were trained with one.
    """


class SpanInput(Strict):
    """Input settings for a question with its context, and how answer spans are selected."""

    max_length: Positive = 384
    doc_stride: Positive = 128
    """Distance between the starts of two windows, in tokens (not their overlap)."""
    max_query_length: Positive = 64
    n_best: Positive = 20
    max_answer_length: Positive = 30
    """In tokens."""
    lowercase: bool = False
    """Lowercase the input, as the scripts of the paper did, for XLM-R too (google-research/xtreme, before 2021-08).

    This only lowercases. The scripts' mBERT tokenizer also stripped accents, including Vietnamese and Thai marks;
    accents in the input are kept here.
    """
    answer_text: Literal["offsets", "words"] = "offsets"
    """``offsets``: the characters of the span; ``words``: extended to complete words, as in the 2020 scripts."""
    no_answer: bool = False
    """Questions may have no answer (SQuAD 2.0): the first position of a row means "no answer", predicted as ''."""
    null_threshold: Annotated[float, Field(allow_inf_nan=False)] = 0.0
    """Predict '' if the no-answer score exceeds the score of the best span by more than this; only with
    ``no_answer``."""


def check_placeholders(text: str) -> str:
    """Return the text; raise ValueError if it has placeholders other than ``{context}`` and ``{question}``."""
    try:
        text.format(context="", question="")
    except (KeyError, IndexError, ValueError, AttributeError):
        raise ValueError(f"'{text}': only {{context}} and {{question}} are allowed in braces.") from None
    return text


Prompt = Annotated[str, AfterValidator(check_placeholders)]
"""A text that may contain ``{context}`` and ``{question}``."""


class ChoiceInput(Strict):
    """Input settings for a text with several choices."""

    max_length: Positive = 128
    prompt: Prompt
    """Text put before each choice."""


class RetrievalInput(Strict):
    """How a text is embedded."""

    max_length: Positive = 512
    candidate_max_length: Positive | None = None
    """Maximum length of the candidates, if it differs from ``max_length``."""
    layer: dict[int | Literal["default"], int | Literal["last"]]
    """Number of layers of the encoder -> index into ``hidden_states`` (0 is the embedding layer)."""
    layer_dev: list[str] = Field(default_factory=list)
    """Targets whose development data ``--layer dev`` may use; the first with available data is taken."""
    pooling: Literal["mean", "cls", "pooler"] = "mean"
    special_tokens: bool = True
    """Include the tokenizer's special tokens in mean pooling, as the official scripts do."""
    center: Literal["none", "language"] = "none"
    """``language``: subtract the mean vector of each language before the vectors are normalized to length 1."""
    whiten: bool = False
    """Whiten the vectors (remove all correlations), with statistics of both sides together."""
    vectors: Literal["float32", "float16"] = "float32"
    """Data type of the vectors on disk; similarities are computed in float32."""
    prefix: str = ""


class MiningInput(RetrievalInput):
    """Settings of bitext mining: ratio margin over the mean similarity of the nearest neighbors."""

    neighbours: Positive = 4


class RankingInput(RetrievalInput):
    """Settings of ranking: the number of candidates kept per query."""

    top_k: Positive = 20
