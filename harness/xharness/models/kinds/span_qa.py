"""Extractive question answering (XQuAD, MLQA, TyDiQA) with sliding windows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from xharness.data.examples import Question
from xharness.errors import ModelError
from xharness.models.kinds.base import Array, Context, Features, Kind, Targets, finite
from xharness.models.kinds.span_qa_legacy import answer_in_words

# First and last token of an answer that there is not: they lie in no window.
NOWHERE = (-1, -1)


@dataclass(frozen=True)
class Window:
    """The part of a context in one row.

    Attributes:
        example: index of the question.
        start: index in the context of the window's first token.
        offset: position in the row of the first context token.
        spans: [tokens, 2] first and one-past-last character of each context token.
        own: [tokens] whether this window has the most context around the token of all windows.
    """

    example: int
    start: int
    offset: int
    spans: Array
    own: Array


def encode(examples: Sequence[Question], context: Context) -> Features:
    """Return one row per window: the question, then a part of the context; windows are ``doc_stride`` apart."""
    if not context.tokenizer.is_fast:
        raise ModelError(
            "Question answering needs the place of each token in the text, and this checkpoint's tokenizer gives "
            "none (no tokenizer.json). Use a checkpoint with a fast tokenizer, or leave the QA targets out."
        )
    settings = context.input
    lower = str.lower if settings.lowercase else str
    questions = context.tokenizer(
        [lower(e.question.strip()) for e in examples], add_special_tokens=False, verbose=False
    )["input_ids"]
    contexts = context.tokenizer(
        [_lowered(e.context) if settings.lowercase else e.context for e in examples],
        add_special_tokens=False,
        return_offsets_mapping=True,
        verbose=False,
    )
    template = context.template
    input_ids: list[list[int]] = []
    types: list[list[int]] = []
    windows: list[Window] = []
    for index in range(len(examples)):
        question = list(questions[index])[: settings.max_query_length]
        body = contexts["input_ids"][index]
        offsets = np.asarray(contexts["offset_mapping"][index], dtype=np.int64).reshape(-1, 2)
        room = context.max_length - template.pair_size - len(question)
        if room < 1:
            raise ModelError(f"The encoder has {context.max_length} positions: no room for a context after a question.")
        stretches = _stretches(len(body), room, settings.doc_stride)
        owner = _owners(stretches, len(body))
        for number, (start, length) in enumerate(stretches):
            ids, row_types = template.pair(question, list(body[start : start + length]))
            input_ids.append(ids)
            types.append(row_types or [])
            offset = len(template.pair_before) + len(question) + len(template.pair_between)
            stop = start + length
            windows.append(Window(index, start, offset, offsets[start:stop], owner[start:stop] == number))
    return Features(input_ids, types if template.pair_types is not None else None, windows)


def _lowered(text: str) -> str:
    """Lower-case a text and keep all character offsets (characters that change length, such as 'İ', are kept)."""
    return "".join(low if len(low := c.lower()) == 1 else c for c in text)


def _stretches(length: int, room: int, stride: int) -> list[tuple[int, int]]:
    """Return (start, length) of the windows over a context of ``length`` tokens.

    >>> _stretches(10, 6, 3)
    [(0, 6), (3, 6), (6, 4)]
    """
    stretches = []
    start = 0
    while True:
        size = min(room, length - start)
        stretches.append((start, size))
        if start + size >= length:
            return stretches
        start += min(size, stride)


def _owners(stretches: list[tuple[int, int]], length: int) -> Array:
    """Return, per token of a context, the number of the window where it has most context on its poorer side.

    The rule of the original BERT SQuAD code: the smaller of left and right context, plus a hundredth of the window's
    length; the first window wins ties.
    """
    best = np.full(length, -np.inf)
    owner = np.zeros(length, dtype=np.int64)
    for number, (start, size) in enumerate(stretches):
        position = np.arange(size)
        score = np.minimum(position, size - 1 - position) + 0.01 * size
        better = score > best[start : start + size]
        best[start : start + size][better] = score[better]
        owner[start : start + size][better] = number
    return owner


def postprocess(output: Any, mask: torch.Tensor, rows: list[Any], context: Context) -> list[Array]:
    """Return, per row, start and end logits [2, tokens of the context] in float32.

    With ``no_answer`` the logits of the row's first position, which represents no answer, come first.
    """
    both = torch.stack([output.start_logits, output.end_logits], dim=1)
    finite(both.masked_fill(mask.unsqueeze(1) == 0, 0.0))
    logits = both.float().cpu().numpy()
    # A copy: a view would keep the whole padded batch in memory until the chunk is decoded.
    arrays = [logits[i, :, w.offset : w.offset + len(w.spans)].copy() for i, w in enumerate(rows)]
    if context.input.no_answer:
        return [np.concatenate([logits[i, :, :1], own], axis=1) for i, own in enumerate(arrays)]
    return arrays


def decode(
    examples: Sequence[Question], features: Features, outputs: list[Array], context: Context
) -> list[tuple[str, str]]:
    """Return (question id, answer text) of the best span of each question; '' where no span is allowed.

    With ``no_answer`` also '' if the no-answer score exceeds the best span's score by more than the threshold. The
    no-answer score is the minimum over all windows, as in the original BERT SQuAD code: a single window without the
    answer is no evidence.
    """
    settings = context.input
    best: list[tuple[float, int, int, int] | None] = [None] * len(examples)
    null = [np.inf] * len(examples)
    for row, (window, logits) in enumerate(zip(features.rows, outputs, strict=True)):
        if settings.no_answer:
            null[window.example] = min(null[window.example], float(logits[0, 0]) + float(logits[1, 0]))
            logits = logits[:, 1:]
        candidate = _best_span(logits, window, settings.n_best, settings.max_answer_length)
        best_so_far = best[window.example]
        # Strictly better: of equal spans the earlier window's is kept, as with the stable sort of the original.
        if candidate is not None and (best_so_far is None or candidate[0] > best_so_far[0]):
            best[window.example] = (candidate[0], row, candidate[1], candidate[2])
    if settings.no_answer:
        best = [
            span if span is not None and score - span[0] <= settings.null_threshold else None
            for span, score in zip(best, null, strict=True)
        ]
    return [
        (example.id, _text(example, features, *span[1:], context) if span is not None else "")
        for example, span in zip(examples, best, strict=True)
    ]


def _best_span(logits: Array, window: Window, n_best: int, longest: int) -> tuple[float, int, int] | None:
    """Return (start logit + end logit, first, last token) of the best span of a window.

    Candidates are the ``n_best`` best starts and ends; a start must have its maximal context in this window, and a
    span may be at most ``longest`` tokens long.
    """
    if not len(window.spans):
        return None
    # Descending and stable, so that of equal logits the first position comes first.
    starts = np.argsort(-logits[0], kind="stable")[:n_best]
    ends = np.argsort(-logits[1], kind="stable")[:n_best]
    length = ends[None, :] - starts[:, None] + 1
    allowed = (length >= 1) & (length <= longest) & window.own[starts][:, None]
    if not allowed.any():
        return None
    # Added in double precision, like the Python floats of the scripts.
    sums = logits[0][starts][:, None].astype(np.float64) + logits[1][ends][None, :]
    total = np.where(allowed, sums, -np.inf)
    row, column = np.unravel_index(int(total.argmax()), total.shape)
    return float(total[row, column]), int(starts[row]), int(ends[column])


def _text(example: Question, features: Features, row: int, first: int, last: int, context: Context) -> str:
    window: Window = features.rows[row]
    start, stop = int(window.spans[first][0]), int(window.spans[last][1])
    if context.input.answer_text == "words":
        ids = features.input_ids[row][window.offset + first : window.offset + last + 1]
        tokens = context.tokenizer.convert_ids_to_tokens(ids)
        piece = context.tokenizer.convert_tokens_to_string(tokens)
        return answer_in_words(example.context, start, stop, piece, context.input.lowercase)
    # SentencePiece counts the space before a word as part of it.
    return example.context[start:stop].strip()


def make_targets(examples: Sequence[Question], features: Features, context: Context) -> Targets:
    """Return one unit per window, with the (start, end) positions in the row of the first gold answer.

    A window that does not contain the complete answer has the target (0, 0), the row's first position, as in the
    original BERT SQuAD code. With ``no_answer`` this is also the target of all windows of a question without an answer;
    otherwise such questions are left out and counted (``unanswerable``), as are questions whose answer is not in the
    context (``unaligned``). Also counted: answers that are too long for any window (``split_answers``).
    """
    counts = {"unaligned": 0, "unanswerable": 0, "split_answers": 0}
    spans: list[tuple[int, int] | None] = []
    for example, places in zip(examples, _places(len(examples), features.rows), strict=True):
        span = _covering(example, places) if example.answers else None
        if span is None and not (context.input.no_answer and not example.answers):
            counts["unaligned" if example.answers else "unanswerable"] += 1
            spans.append(None)
            continue
        spans.append(span or NOWHERE)
    units: list[tuple[int, ...]] = []
    targets: list[tuple[int, int]] = []
    split = {index for index, span in enumerate(spans) if span not in (None, NOWHERE)}
    for row, window in enumerate(features.rows):
        example_spans = spans[window.example]
        if example_spans is None:
            continue
        first, last = example_spans[0] - window.start, example_spans[1] - window.start
        inside = first >= 0 and last < len(window.spans)
        units.append((row,))
        targets.append((window.offset + first, window.offset + last) if inside else (0, 0))
        if inside:
            split.discard(window.example)
    counts["split_answers"] = len(split)
    return Targets(units, targets, counts)


def _places(examples: int, windows: list[Window]) -> list[Array]:
    """Return, per example, the first and one-past-last characters of all tokens of its context, from its windows."""
    parts: list[list[Array]] = [[np.empty((0, 2), dtype=np.int64)] for _ in range(examples)]
    seen = [0] * examples
    for window in windows:
        parts[window.example].append(window.spans[seen[window.example] - window.start :])
        seen[window.example] = window.start + len(window.spans)
    return [np.concatenate(part) for part in parts]


def _covering(example: Question, places: Array) -> tuple[int, int] | None:
    """Return the numbers of the first and last tokens with a character of the first answer; None if there is none."""
    answer, start = example.answers[0], example.starts[0]
    if start < 0 or not answer.strip():
        return None
    # SentencePiece counts the space before a word as part of it: a space at the answer's end would include the next
    # word.
    first = start + len(answer) - len(answer.lstrip())
    stop = start + len(answer.rstrip())
    overlapping = np.flatnonzero((places[:, 0] < stop) & (places[:, 1] > first))
    return (int(overlapping[0]), int(overlapping[-1])) if len(overlapping) else None


KIND = Kind("AutoModelForQuestionAnswering", encode, postprocess, decode, make_targets=make_targets)
