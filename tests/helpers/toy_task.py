"""A toy task of every kind, and its data in the layout of the Hub."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from helpers.data_folder import write_dataset
from xharness.data.examples import Pair

HEAD = """
name: {name}
title: Toy
paper: https://example.org
licence: CC-BY-4.0
kind: {kind}
sources:
  - {{repo: org/first, revision: main, config: "{{lang}}"}}
  - {{repo: org/second, revision: main, config: "toy.{{lang}}"}}
test_split: test
dev_split: null
expected: {{test: 3, dev: null}}
mean_characters: 10
train: null
languages: {{en: {{zero_shot: false}}, de: , hi: }}
"""
KINDS = {
    "classification": """
fields: {text_a: premise, text_b: hypothesis, label: label}
labels: [yes, no]
label_map: {nope: "no"}
metric: accuracy
input: {max_length: 16}
""".replace("[yes, no]", '["yes", "no"]'),
    "tagging": """
fields: {tokens: tokens, tags: tags}
labels: [O, B-LOC]
metric: entity_f1
input: {max_length: 16}
""",
    "span_qa": """
fields: {id: id, question: question, context: context, answers: answers}
metric: squad
input: {max_length: 64}
""",
}
PAIRS = [
    {"premise": "a", "hypothesis": "b", "label": "yes"},
    {"premise": "c", "hypothesis": "d", "label": "no"},
    {"premise": "e", "hypothesis": "f", "label": "yes"},
]
CANONICAL = [Pair("0", "a", "b", "yes"), Pair("1", "c", "d", "no"), Pair("2", "e", "f", "yes")]
Row = dict[str, Any]


def put(folder: Path, rows: list[Row], repo: str = "org/first", config: str = "en", types: Any = None) -> None:
    write_dataset(folder / repo, {config: {"test": rows}}, types)
