"""Times how long it takes to make sentences into vectors, for several numbers of sentences: the cost should be linear.

    export PYTHONPATH=harness:tests
    .venv/bin/python -m performance.encoding_cost                1,000 to 8,000 sentences, a small random encoder
    .venv/bin/python -m performance.encoding_cost --layers 12 --width 768

It is the very code of `eval` for Tatoeba, BUCC, LAReQA and Mewsli-X, files on the disk included. Sentences are words
of one text, drawn by chance; what they mean costs nothing.
"""

from __future__ import annotations

import argparse
import os
import random
import tempfile
import time
from pathlib import Path

import torch
from tabulate import tabulate

from helpers.tiny_models import save_random, train_tokenizer
from xharness.evaluation.retrieval import embeddings
from xharness.evaluation.retrieval.embeddings import EmbeddingJob
from xharness.models import inference
from xharness.models import loading as models_loading
from xharness.models.kinds import KINDS
from xharness.models.kinds.base import Context
from xharness.progress import bar
from xharness.tasks.registry import load_task

TEXT = "The old stone bridge near the town was built many years ago by people who came over the river in winter"


def sentences(count: int) -> list[str]:
    """Return sentences of 5 to 30 words, the same for the same number."""
    draw = random.Random(0)
    return [" ".join(draw.choices(TEXT.split(), k=draw.randint(5, 30))) for _ in range(count)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[1_000, 2_000, 4_000, 8_000])
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--width", type=int, default=256)
    options = parser.parse_args()
    settings = load_task("tatoeba").input
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        tokenizer = train_tokenizer(sentences(500), folder / "tokenizer", vocabulary=200)
        checkpoint = save_random(
            folder / "model",
            "encoder",
            tokenizer,
            [],
            layers=options.layers,
            width=options.width,
            heads=options.width // 64,
            seed=0,
        )
        encoder = models_loading.load(
            checkpoint, KINDS["retrieval"], name="random", device=torch.device("cpu"), dtype="float32"
        )
        context = Context(encoder.tokenizer, settings.max_length, settings, layers=(options.layers,))
        budget = inference.default_budget(encoder)
        for count in [500, *options.sizes]:  # the first one warms up and is not shown
            job = EmbeddingJob(str(count), sentences(count), str(count), context.layers, "float32", True)
            start = time.perf_counter()
            with bar("", count, False) as shown:
                tokens = embeddings.embed(job, folder / "vectors", encoder, context, budget, shown)
            seconds = time.perf_counter() - start
            rows.append([count, tokens, seconds, 1000 * seconds / count, tokens / seconds])
    threads = torch.get_num_threads()
    print(
        f"{options.layers} layers of width {options.width}, float32, {threads} threads, load {os.getloadavg()[0]:.1f}"
    )
    head = ["sentences", "sub-words", "seconds", "ms per sentence", "sub-words/s"]
    print(tabulate(rows[1:], head, tablefmt="simple", floatfmt=("", "", ".2f", ".3f", ",.0f"), intfmt=","))


if __name__ == "__main__":
    main()
