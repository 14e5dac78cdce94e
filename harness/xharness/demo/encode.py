"""Vocabulary and encoded examples of the demo."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from xharness import assets
from xharness.demo import lexicon as demo_lexicon
from xharness.demo.data import ORGANIZATION, SOURCE_LANGUAGE
from xharness.tasks.registry import load_task

Rows = list[dict[str, Any]]


def rows(data: Path, name: str, language: str = SOURCE_LANGUAGE) -> Rows:
    """Return the training rows of one of the demo's data sets."""
    path = data / ORGANIZATION / name / language / "train-00000-of-00001.parquet"
    table_rows: Rows = pq.read_table(path).to_pylist()
    return table_rows


def parallel(data: Path) -> Iterator[tuple[str, str, str]]:
    """Yield language, sentence and its English translation."""
    for language in demo_lexicon.load().languages:
        if language != SOURCE_LANGUAGE:
            for row in rows(data, "demo-parallel", language):
                yield language, row["text"], row["english"]


def vocabulary(pairs: list[tuple[str, str, str]]) -> list[tuple[str, float]]:
    """Return the pieces of a Unigram tokenizer for parallel sentences; the first four have the same ids as in XLM-R.

    The pieces are the words with their log frequency, and all single characters as a fallback. The trainer of the
    tokenizers library would split such a small text into very short pieces, because it starts from strings that occur
    in several different words.
    """
    texts = {(language, text) for language, text, _ in pairs} | {(SOURCE_LANGUAGE, e) for _, _, e in pairs}
    counts: Counter[str] = Counter()
    for language, text in sorted(texts):
        for word in demo_lexicon.words(demo_lexicon.load(), language, text):
            # Once as in the text, and once as in tagging data: after a space.
            after_space = word.start() == 0 or text[word.start() - 1] == " "
            counts.update({"▁" + word.group(): 1, ("▁" if after_space else "") + word.group(): 1})
    total = counts.total()
    pieces = {"<s>": 0.0, "<pad>": 0.0, "</s>": 0.0, "<unk>": 0.0}
    pieces.update((piece, math.log(count / total)) for piece, count in sorted(counts.items()))
    rare = math.log(0.1 / total)
    for character in ["▁", *sorted({c for piece in counts for c in piece})]:
        pieces.setdefault(character, rare)
    pieces["<mask>"] = 0.0
    return list(pieces.items())


def encode_parallel(tokenizer: Any, pairs: list[tuple[str, str, str]]) -> list[tuple[list[int], list[int]]]:
    """Return token ids of each sentence and its translation; each pair appears a second time split into words."""
    lexicon = demo_lexicon.load()
    both = []
    for language, text, english in pairs:
        split = [
            [m.group() for m in demo_lexicon.words(lexicon, c, t)]
            for c, t in ((language, text), (SOURCE_LANGUAGE, english))
        ]
        both += [(text, english), (" ".join(split[0]), " ".join(split[1]))]
    first, second = (tokenizer(list(side))["input_ids"] for side in zip(*both, strict=True))
    return list(zip(first, second, strict=True))


def labels(task: str) -> list[str]:
    """Return the labels of a task of the demo, in the order of the head's outputs."""
    return load_task(str(assets.TASKS / "demo" / f"{task}.yaml")).labels


def encode_nli(tokenizer: Any, rows: Rows) -> list[tuple[list[int], int]]:
    """Return token ids and label index of each pair."""
    names = labels("demo_nli")
    ids = tokenizer([r["premise"] for r in rows], [r["hypothesis"] for r in rows])["input_ids"]
    return [(row_ids, names.index(row["label"])) for row_ids, row in zip(ids, rows, strict=True)]


def encode_ner(tokenizer: Any, rows: Rows) -> list[tuple[list[int], list[int]]]:
    """Return token ids and tag indices; a word's tag is at its first token, all other tokens have -100."""
    tags = labels("demo_ner")
    encoded = tokenizer([r["tokens"] for r in rows], is_split_into_words=True)
    sequences = []
    for i, row in enumerate(rows):
        words = encoded.word_ids(i)
        first = [word is not None and (j == 0 or words[j - 1] != word) for j, word in enumerate(words)]
        gold = [tags.index(row["ner_tags"][w]) if f else -100 for w, f in zip(words, first, strict=True)]
        sequences.append((encoded["input_ids"][i], gold))
    return sequences


def encode_qa(tokenizer: Any, rows: Rows) -> list[tuple[list[int], int, int]]:
    """Return token ids of each question with its context, and the positions of the answer's first and last token."""
    encoded = tokenizer([r["question"] for r in rows], [r["context"] for r in rows])
    sequences = []
    for i, row in enumerate(rows):
        (text,), (start,) = row["answers"]["text"], row["answers"]["answer_start"]
        first = encoded.char_to_token(i, start, sequence_index=1)
        last = encoded.char_to_token(i, start + len(text) - 1, sequence_index=1)
        sequences.append((encoded["input_ids"][i], first, last))
    return sequences
