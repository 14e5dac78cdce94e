"""Times `eval` against transformers' Trainer.predict on the same pairs, in one run, and compares their decisions.

    make bench                                  2,000 XNLI pairs from XHARNESS_DATA_DIR
    PYTHONPATH=harness:tests .venv/bin/python -m performance.eval_speed -n 200 --layers 4

Both sides start from the checkpoint's folder and the data folder and end with the accuracy: loading, tokenising
and scoring are included. Speed is measured on a base-size encoder with random weights. Decisions are compared on
small encoders that were trained on the data folder's English sets, because a random head's are all near-ties.
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
from pathlib import Path

import numpy as np
import torch
import transformers
from tabulate import tabulate

import xharness
from helpers.tiny_models import save_random, train_tagger, train_tokenizer
from xharness.data import loading as data_loading
from xharness.tasks.registry import load_task

LABELS = ["entailment", "neutral", "contradiction"]


def trainer_predict(checkpoint: Path, pairs: list, folder: Path) -> list[str]:
    """Return the labels that Trainer.predict gives at its defaults, the way its documentation shows."""
    import datasets

    model = transformers.AutoModelForSequenceClassification.from_pretrained(checkpoint)
    tokenizer = transformers.AutoTokenizer.from_pretrained(checkpoint)
    table = datasets.Dataset.from_dict({"a": [p.text_a for p in pairs], "b": [p.text_b for p in pairs]})
    table = table.map(lambda rows: tokenizer(rows["a"], rows["b"], truncation=True, max_length=128), batched=True)
    arguments = transformers.TrainingArguments(output_dir=str(folder), report_to="none", disable_tqdm=True)
    trainer = transformers.Trainer(model=model, args=arguments, processing_class=tokenizer)
    logits = trainer.predict(table).predictions
    labels = [model.config.id2label[int(i)] for i in np.asarray(logits).argmax(-1)]
    np.mean([label == p.label for label, p in zip(labels, pairs, strict=True)])
    return labels


def eval_command(checkpoint: Path, n: int, output: Path, dtype: str) -> list[str]:
    """Return the labels that `eval` writes."""
    found = xharness.evaluate(
        str(checkpoint), targets="xnli", languages=["en"], limit=n, dtype=dtype, device="cpu", output=output
    )
    file = Path(found.provenance["run"]) / "predictions" / "xnli" / "test-en.tsv"
    return file.read_text(encoding="utf-8").splitlines()


def timed(work: Callable[[], list[str]]) -> tuple[float, list[str]]:
    """Return (seconds, what the work returned)."""
    start = time.perf_counter()
    result = work()
    return time.perf_counter() - start, result


def agreement(one: list[str], other: list[str]) -> float:
    """Return the share of equal decisions in percent."""
    return 100 * float(np.mean([a == b for a, b in zip(one, other, strict=True)]))


def speed(pairs: list, texts: list[str], folder: Path, layers: int, rounds: int) -> None:
    """Print seconds and ratios of `eval` and Trainer.predict, alternating, the fastest of each."""
    tokenizer = train_tokenizer(texts, folder / "tokenizer", vocabulary=30_000)
    checkpoint = save_random(
        folder / "base", "classification", tokenizer, LABELS, layers=layers, width=768, heads=12, seed=0
    )
    sides: dict[str, Callable[[int], list[str]]] = {
        "Trainer.predict, float32": lambda r: trainer_predict(checkpoint, pairs, folder / "trainer"),
        "xharness eval, float32": lambda r: eval_command(checkpoint, len(pairs), folder / f"f{r}", "float32"),
        "xharness eval, bfloat16": lambda r: eval_command(checkpoint, len(pairs), folder / f"b{r}", "bfloat16"),
    }
    seconds: dict[str, float] = {}
    for number in range(rounds):
        for name, side in sides.items():
            spent, _ = timed(lambda side=side, number=number: side(number))
            seconds[name] = min(spent, seconds.get(name, spent))
            print(f"  round {number + 1}: {name}: {spent:.1f} s", file=sys.stderr)
    base = seconds["Trainer.predict, float32"]
    rows = [[name, f"{spent:.1f}", f"{base / spent:.2f}"] for name, spent in seconds.items()]
    print(
        f"\n{len(pairs):,} XNLI pairs, base-size encoder ({layers} layers, random), {torch.get_num_threads()} threads"
    )
    print(tabulate(rows, ["", "seconds", "times as fast"], disable_numparse=True))


def matrix_products() -> None:
    """Print how much faster this processor multiplies matrices in bfloat16 than in float32: the bound on the gain."""
    rates = {}
    for dtype in (torch.float32, torch.bfloat16):
        x, w = torch.randn(2048, 768).to(dtype), torch.randn(3072, 768).to(dtype)
        with torch.inference_mode():
            best = min(timed(lambda x=x, w=w: torch.nn.functional.linear(x, w))[0] for _ in range(20))  # type: ignore
        rates[dtype] = 2 * 2048 * 768 * 3072 / best / 1e9
    ratio = rates[torch.bfloat16] / rates[torch.float32]
    able = [k for k in ("amx_bf16", "avx512_bf16") if torch.cpu.get_capabilities().get(k)]
    print(
        f"\nMatrix products on this processor ({', '.join(able) or 'no bfloat16 units'}): float32 "
        f"{rates[torch.float32]:.0f}, bfloat16 {rates[torch.bfloat16]:.0f} GFLOP/s: {ratio:.2f} times as fast"
    )


def same_decisions(folder: Path, data_dir: Path, texts: list[str]) -> None:
    """Print how many decisions of trained taggers agree between Trainer.predict and `eval`."""
    from helpers.tiny_models import trainer_tags

    tokenizer = train_tokenizer(texts, folder / "small-tokenizer", vocabulary=8_000)
    rows = []
    for task in ("udpos-hub", "panx"):
        spec = load_task(task)
        checkpoint = train_tagger(folder / task, tokenizer, task, data_dir, steps=800)
        examples = data_loading.load(spec, "en", "test", data_dir).examples[:1000]
        words = transformers.AutoTokenizer.from_pretrained(tokenizer)
        # Trainer's usual script does not split long sentences: only those that fit a row have the same input.
        pieces = words([list(e.tokens) for e in examples], is_split_into_words=True)["input_ids"]
        fits = [len(ids) <= spec.input.max_length for ids in pieces]
        whole = [e for e, fit in zip(examples, fits, strict=True) if fit]
        reference = [tag for tags in trainer_tags(checkpoint, whole, folder / "trainer") for tag in tags]
        gold = [tag for e in whole for tag in e.tags]
        for dtype in ("float32", "bfloat16"):
            found = xharness.evaluate(
                str(checkpoint), targets=task, languages=["en"], limit=1000, dtype=dtype, output=folder / "runs"
            )
            run = Path(found.provenance["run"])
            sentences = (run / "predictions" / task / "test-en.tsv").read_text().rstrip().split("\n\n")
            tags = [t for s, fit in zip(sentences, fits, strict=True) if fit for t in s.split("\n")]
            score = found.tasks[task].languages["en"].scores["f1"]
            ours, theirs = agreement(tags, gold), agreement(reference, gold)
            rows.append(
                [
                    task,
                    dtype,
                    f"{len(tags):,}",
                    f"{agreement(tags, reference):.3f} %",
                    f"{score:.2f}",
                    f"{ours - theirs:+.3f}",
                ]
            )
    print("\nDecisions of small encoders trained on English, `eval` against Trainer.predict in float32")
    print(tabulate(rows, ["target", "dtype", "words", "same tag", "F1", "accuracy difference"], disable_numparse=True))


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-n", type=int, default=2000, help="pairs")
    parser.add_argument("--layers", type=int, default=12)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--skip-decisions", action="store_true")
    parser.add_argument("--json", type=Path, help="also write machine and versions here")
    options = parser.parse_args()
    if "XHARNESS_DATA_DIR" not in os.environ:
        sys.exit("Set XHARNESS_DATA_DIR to a data folder with facebook/xnli (xharness fetch --targets xnli --to DIR).")
    transformers.logging.set_verbosity_error()
    data_dir = Path(os.environ["XHARNESS_DATA_DIR"])
    pairs = data_loading.load(load_task("xnli"), "en", "test", data_dir).examples[: options.n]
    texts = [
        t for p in data_loading.load(load_task("xnli"), "en", "dev", data_dir).examples for t in (p.text_a, p.text_b)
    ]
    versions = {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
    }
    print(", ".join(f"{k} {v}" for k, v in versions.items()))
    with tempfile.TemporaryDirectory() as folder:
        speed(pairs, texts, Path(folder), options.layers, options.rounds)
        matrix_products()
        if not options.skip_decisions:
            same_decisions(Path(folder), data_dir, texts)
    if options.json:
        options.json.write_text(json.dumps(versions))


if __name__ == "__main__":
    main()
