"""Times training on MNLI pairs against transformers' Trainer at the same steps, and compares the loss curves.

    make bench                                  real MNLI pairs from XHARNESS_DATA_DIR
    PYTHONPATH=harness:tests .venv/bin/python -m performance.train_speed --steps 3 --layers 4

All sides take the same optimiser steps over the same examples in the same order, from the same random weights. Speed
is counted in real sub-words, padding not included, of a base-size encoder; the first step of each side is left out.
Losses are compared without dropout, which draws differently in batches of other shapes, on a small encoder that learns.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from tabulate import tabulate

from helpers.tiny_models import train_tokenizer
from xharness.data import loading as data_loading
from xharness.hardware import BATCH_TOKENS
from xharness.models import packing
from xharness.models.multitask import MultitaskModel
from xharness.tasks.recipes import load_recipe
from xharness.tasks.registry import load_training
from xharness.training.encoded import EncodedDataset
from xharness.training.trainer import MultitaskTrainer, StepPlan
from xharness.training.trainer import arguments as training_arguments

BATCH, LONGEST, LEARNING_RATE = 32, 128, 3e-4

Rows = list[dict[str, Any]]


@dataclass
class Course:
    """What came of one training: seconds and loss of every step."""

    seconds: list[float]
    losses: list[float]


def trainer(model: Any, tokenizer: Any, rows: Rows, folder: Path, padding: str) -> Course:
    """Train with Trainer at its defaults, padded to 128 (``max_length``) or to the batch's longest (``longest``)."""
    import datasets

    seconds: list[float] = []

    class Watch(transformers.TrainerCallback):
        def on_step_begin(self, *args: Any, **kwargs: Any) -> None:
            self.start = time.perf_counter()

        def on_step_end(self, *args: Any, **kwargs: Any) -> None:
            seconds.append(time.perf_counter() - self.start)

    arguments = transformers.TrainingArguments(
        output_dir=str(folder),
        per_device_train_batch_size=BATCH,
        max_steps=len(rows) // BATCH,
        learning_rate=LEARNING_RATE,
        train_sampling_strategy="sequential",
        logging_steps=1,
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
        use_cpu=True,
        dataloader_pin_memory=False,
    )
    engine = transformers.Trainer(
        model=model,
        args=arguments,
        train_dataset=datasets.Dataset.from_list(rows),
        data_collator=transformers.DataCollatorWithPadding(tokenizer, padding=padding, max_length=LONGEST),
        callbacks=[Watch()],
    )
    engine.remove_callback(transformers.PrinterCallback)
    engine.train()
    return Course(seconds, [entry["loss"] for entry in engine.state.log_history if "loss" in entry])


class Order:
    """The rows in the order that they come in, a batch at a time, as the steps of a run."""

    def __init__(self, count: int) -> None:
        self.steps = count // BATCH

    def __len__(self) -> int:
        return self.steps

    def step(self, step: int) -> tuple[str, Any]:
        """Return the task of a step and its rows."""
        return "mnli", np.arange(step * BATCH, (step + 1) * BATCH)


def lessons_of(rows: Rows) -> EncodedDataset:
    """Return rows of sub-words as the flat arrays that training reads."""
    lengths = [len(row["input_ids"]) for row in rows]
    return EncodedDataset(
        "classification",
        np.concatenate([np.array(row["input_ids"], dtype=np.int32) for row in rows]),
        None,
        np.concatenate([[0], np.cumsum(lengths)]),
        np.arange(len(rows) + 1),
        np.array([row["labels"] for row in rows], dtype=np.int32),
        {},
    )


def xharness(model: Any, tokenizer: Any, rows: Rows, folder: Path, dtype: str) -> Course:
    """Train as `xharness train` does; the master weights are float32."""
    found = Course([], [])
    encoder = model.base_model
    packing.install(encoder)
    joint = MultitaskModel(encoder, {"mnli": model}, {})
    settings = load_recipe().settings(load_training("mnli"), learning_rate=LEARNING_RATE, weight_decay=0.0, warmup=0.0)

    class Timed(MultitaskTrainer):
        def training_step(self, *args: Any, **kwargs: Any) -> Any:
            self.start = time.perf_counter()
            loss = super().training_step(*args, **kwargs)
            found.losses.append(loss.item())
            return loss

        def _maybe_log_save_evaluate(self, *args: Any, **kwargs: Any) -> None:
            if self.state.global_step > self.progress.step:
                found.seconds.append(time.perf_counter() - self.start)
            super()._maybe_log_save_evaluate(*args, **kwargs)

    order = Order(len(rows))
    arguments = training_arguments(
        folder / "run",
        settings,
        steps=len(order),
        warmup_steps=0,
        seed=0,
        bf16=dtype == "bfloat16",
        cpu=True,
        unused_weights=False,
    )
    plan = StepPlan(order, {"mnli": lessons_of(rows)}, tokenizer.pad_token_id, BATCH_TOKENS["cpu"], frozenset())
    silent = [lambda *_: False, lambda *_: None, lambda *_: None, lambda *_: None]
    engine = Timed(joint, arguments, plan, folder / "run", *silent)
    engine.resume(None)
    return found


def make_sides(tokenizer: Any, folder: Path) -> dict[str, Callable[[Any, Rows], Course]]:
    """Return the ways to train, by name; the first is what the others are compared with."""
    return {
        "Trainer, padded to 128, float32": lambda m, rows: trainer(m, tokenizer, rows, folder, "max_length"),
        "Trainer, dynamic padding, float32": lambda m, rows: trainer(m, tokenizer, rows, folder, "longest"),
        "xharness, float32": lambda m, rows: xharness(m, tokenizer, rows, folder, "float32"),
        "xharness, bfloat16": lambda m, rows: xharness(m, tokenizer, rows, folder, "bfloat16"),
    }


def encoder(vocabulary: int, layers: int, width: int, dropout: float) -> Any:
    """Return an XLM-R-style classifier; its random weights are always the same."""
    torch.manual_seed(0)
    return transformers.AutoModelForSequenceClassification.from_config(
        transformers.XLMRobertaConfig(
            vocab_size=vocabulary,
            hidden_size=width,
            num_hidden_layers=layers,
            num_attention_heads=width // 64,
            intermediate_size=4 * width,
            max_position_embeddings=514,
            type_vocab_size=1,
            num_labels=3,
            hidden_dropout_prob=dropout,
            attention_probs_dropout_prob=dropout,
        )
    )


def read_rows(data_dir: Path, folder: Path) -> tuple[Any, Rows]:
    """Return a tokenizer trained on MNLI's texts, and the pairs as rows of sub-words in an order of its own."""
    spec = load_training("mnli")
    examples = data_loading.load(spec, "en", "train", data_dir).examples[:4000]
    texts = [text for e in examples for text in (e.text_a, e.text_b)]
    tokenizer = transformers.AutoTokenizer.from_pretrained(train_tokenizer(texts, folder / "tokenizer", 30_000))
    ids = tokenizer([e.text_a for e in examples], [e.text_b for e in examples], truncation=True, max_length=LONGEST)
    rows = [
        {"input_ids": row, "attention_mask": [1] * len(row), "labels": spec.labels.index(e.label)}
        for row, e in zip(ids["input_ids"], examples, strict=True)
    ]
    return tokenizer, [rows[i] for i in np.random.default_rng(0).permutation(len(rows))]


def speed(tokenizer: Any, rows: Rows, folder: Path, options: argparse.Namespace) -> None:
    """Print real tokens per second of each side; rounds alternate, and the fastest of each step counts."""
    rows = rows[: (options.steps + 1) * BATCH]
    lengths = [len(row["input_ids"]) for row in rows]
    vocabulary = max(options.vocabulary, len(tokenizer))
    best: dict[str, np.ndarray] = {}
    for number in range(options.rounds):
        for name, side in make_sides(tokenizer, folder).items():
            seconds = np.array(side(encoder(vocabulary, options.layers, 768, 0.1), rows).seconds)[1:]
            best[name] = np.minimum(seconds, best.get(name, seconds))
            print(f"  round {number + 1}: {name}: {seconds.sum():.1f} s", file=sys.stderr)
    tokens = sum(lengths[BATCH:])
    padded, dynamic = (best[name].sum() for name in list(best)[:2])
    table = [
        [name, f"{x.mean():.2f}", f"{tokens / x.sum():,.0f}", f"{padded / x.sum():.2f}", f"{dynamic / x.sum():.2f}"]
        for name, x in best.items()
    ]
    print(
        f"\n{options.steps} steps of {BATCH} MNLI pairs ({np.mean(lengths):.1f} sub-words on average), base-size "
        f"encoder ({options.layers} layers, {vocabulary:,} sub-words, random), {torch.get_num_threads()} threads"
    )
    heads = ["", "seconds a step", "real tokens/s", "x padded to 128", "x dynamic padding"]
    print(tabulate(table, heads, disable_numparse=True))


def curves(tokenizer: Any, rows: Rows, folder: Path, steps: int) -> None:
    """Print how far the losses of each side are from the first side's, step by step.

    Ten batches come again and again: they are learned by heart, and the loss falls far.
    """
    rows = (rows[: 10 * BATCH] * (steps // 10 + 1))[: steps * BATCH]
    losses = {
        name: np.array(side(encoder(len(tokenizer), 2, 128, 0.0), rows).losses)
        for name, side in make_sides(tokenizer, folder).items()
    }
    first = next(iter(losses.values()))
    table = [
        [name, f"{x[0]:.4f}", f"{x[-10:].mean():.4f}", f"{abs(x - first).mean():.5f}", f"{abs(x - first).max():.5f}"]
        for name, x in losses.items()
    ]
    print(f"\nLoss over {steps} steps of a small encoder (2 layers of 128) without dropout, against the first side's")
    heads = ["", "first", "mean of last 10", "mean difference", "largest difference"]
    print(tabulate(table, heads, disable_numparse=True))


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=4, help="timed steps of each side")
    parser.add_argument("--vocabulary", type=int, default=250_002, help="sub-words of the timed encoder")
    parser.add_argument("--layers", type=int, default=12)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--curve-steps", type=int, default=100)
    parser.add_argument("--json", type=Path, help="also write machine and versions here")
    options = parser.parse_args()
    if "XHARNESS_DATA_DIR" not in os.environ:
        sys.exit("Set XHARNESS_DATA_DIR to a data folder with nyu-mll/glue (xharness fetch --targets mnli --to DIR).")
    transformers.logging.set_verbosity_error()
    versions = {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
    }
    print(", ".join(f"{k} {v}" for k, v in versions.items()))
    with tempfile.TemporaryDirectory() as folder:
        tokenizer, rows = read_rows(Path(os.environ["XHARNESS_DATA_DIR"]), Path(folder))
        speed(tokenizer, rows, Path(folder), options)
        curves(tokenizer, rows, Path(folder), options.curve_steps)
    if options.json:
        options.json.write_text(json.dumps(versions))


if __name__ == "__main__":
    main()
