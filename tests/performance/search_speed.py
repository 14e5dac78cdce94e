"""Exact search of `evaluation.retrieval.search` beside faiss IndexFlatIP: time and peak memory on random unit vectors.

    export PYTHONPATH=harness:tests
    .venv/bin/python -m performance.search_speed                   20,000 x 20,000, and a tenth of the Mewsli-X shape
    .venv/bin/python -m performance.search_speed --full            200,000 x 200,000, and 15,000 x 1,000,000
    .venv/bin/python -m performance.search_speed --rows 50000

Every search runs in a process of its own, which first makes or maps its embeddings; the time is that of the search
alone (for faiss also of adding the vectors to the index), the memory is the peak of the whole process.
faiss is not a dependency: without it (pip install faiss-cpu) its columns are left out.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import pickle
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tabulate import tabulate

from xharness.evaluation.retrieval.search import search, search_both

BLOCK = 50_000


def write(path: Path, rows: int, width: int, dtype: str, seed: int) -> Path:
    """Write random unit vectors [rows, width] block by block, and return the path."""
    file = np.lib.format.open_memmap(path, "w+", np.dtype(dtype), (rows, width))
    random = np.random.default_rng(seed)
    for start in range(0, rows, BLOCK):
        block = random.standard_normal((min(BLOCK, rows - start), width), dtype=np.float32)
        file[start : start + BLOCK] = block / np.linalg.norm(block, axis=1, keepdims=True)
    file.flush()
    return path


def faiss_search(queries: np.ndarray, candidates: np.ndarray, k: int) -> np.ndarray:
    """Return the indices that a flat index of faiss finds."""
    import faiss

    index = faiss.IndexFlatIP(candidates.shape[1])
    index.add(candidates)
    return index.search(queries, k)[1]


def peak_memory() -> float:
    """Return the peak of this process's memory in MiB; getrusage's would begin at that of the process that began it."""
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(status["VmHWM"].split()[0]) / 1024


def work(how: str, first: Path, second: Path, k: int) -> tuple[float, list[np.ndarray]]:
    """Return (seconds, indices of the neighbours, one array per direction)."""
    # Files in float16 stay on disk, as candidates too large for memory do; faiss needs float32 in memory.
    mapped = np.load(first, mmap_mode="r").dtype == np.float16
    x, y = (np.load(path, mmap_mode="r" if mapped else None) for path in (first, second))
    start = time.perf_counter()
    if how == "xharness both":
        found = [n.indices for n in search_both(x, y, k)]
    elif how == "xharness":
        found = [search(x, y, k).indices]
    elif how == "faiss both":
        found = [faiss_search(x, y, k), faiss_search(y, x, k)]
    else:
        found = [faiss_search(x, y, k)]
    return time.perf_counter() - start, found


def measured(how: str, first: Path, second: Path, k: int) -> dict[str, Any]:
    """Run ``work`` in a process of its own; return its seconds, indices and peak memory in MiB."""
    answer = first.with_name("answer.pickle")
    subprocess.run([sys.executable, __file__, "--work", how, first, second, str(k), answer], check=True)
    found: dict[str, Any] = pickle.loads(answer.read_bytes())
    print(f"  {how}, k = {k}: {found['seconds']:.1f} s (load {os.getloadavg()[0]:.1f})", file=sys.stderr)
    return found


BOTH_WAYS = [("both ways", " both", 4)]
ONE_WAY = [("one way", "", 1), ("one way", "", 20)]


def beside_faiss(folder: Path, rows: int, width: int, cases: list[tuple[str, str, int]]) -> None:
    """Print seconds, memory and agreement of both programs; a case is (name, suffix of ``how``, k)."""
    first, second = (write(folder / f"{seed}.npy", rows, width, "float32", seed) for seed in (1, 2))
    has_faiss = importlib.util.find_spec("faiss") is not None
    table = []
    for name, suffix, k in cases:
        ours = measured("xharness" + suffix, first, second, k)
        row = [name, k, f"{ours['seconds']:.1f}", f"{ours['peak']:,.0f}"]
        if has_faiss:
            theirs = measured("faiss" + suffix, first, second, k)
            same = np.mean([(a == b).mean() for a, b in zip(ours["indices"], theirs["indices"], strict=True)])
            ratio = f"{theirs['seconds'] / ours['seconds']:.2f}"
            row += [f"{theirs['seconds']:.1f}", f"{theirs['peak']:,.0f}", ratio, f"{100 * same:.4f} %"]
        table.append(row)
    head = ["", "k", "seconds", "peak MiB", "faiss seconds", "faiss peak MiB", "times as fast", "same indices"]
    size = 2 * rows * width * 4 / 2**20
    print(f"\n{rows:,} x {rows:,} x {width}, float32; the embeddings alone: {size:,.0f} MiB")
    if not has_faiss:
        print("faiss is not installed (pip install faiss-cpu): its columns are left out.")
    print(tabulate(table, head if has_faiss else head[:4], disable_numparse=True))


def mewslix(folder: Path, queries: int, candidates: int, width: int) -> None:
    """Print seconds and memory for few queries among many candidates that lie in a float16 file."""
    first = write(folder / "queries.npy", queries, width, "float16", 3)
    second = write(folder / "candidates.npy", candidates, width, "float16", 4)
    found = measured("xharness", first, second, 20)
    size = (first.stat().st_size + second.stat().st_size) / 2**20
    print(f"\n{queries:,} x {candidates:,} x {width}, float16 on disk; the embeddings alone: {size:,.0f} MiB")
    print("The peak holds the pages of the mapped file that the system kept; it may take them back.")
    print(tabulate([[20, f"{found['seconds']:.1f}", f"{found['peak']:,.0f}"]], ["k", "seconds", "peak MiB"]))


def curve(folder: Path, largest: int, width: int) -> None:
    """Print the time of `search_both` against the number of pairs, which grows by 4 from line to line."""
    table = []
    for rows in (largest // 8, largest // 4, largest // 2, largest):
        first, second = (write(folder / f"{seed}.npy", rows, width, "float32", seed) for seed in (5, 6))
        seconds = measured("xharness both", first, second, 4)["seconds"]
        pairs = rows * rows / 1e6
        table.append([f"{rows:,} x {rows:,}", f"{pairs:,.0f}", f"{seconds:.2f}", f"{1000 * seconds / pairs:.2f}"])
    print("\nCost of both ways, k = 4: linear in the number of pairs")
    print(tabulate(table, ["size", "million pairs", "seconds", "ms per million"], disable_numparse=True))


def main() -> None:
    """Run the benchmark, or, with --work, one search of it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, help="sentences on either side (20,000; with --full 200,000)")
    parser.add_argument("--width", type=int, default=768, help="width of the embeddings (768)")
    parser.add_argument("--full", action="store_true", help="the full sizes; some 20 minutes on two cores")
    parser.add_argument("--work", nargs=5, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work:
        how, first, second, k, answer = options.work
        seconds, indices = work(how, Path(first), Path(second), int(k))
        Path(answer).write_bytes(pickle.dumps({"seconds": seconds, "indices": indices, "peak": peak_memory()}))
        return
    rows = options.rows or (200_000 if options.full else 20_000)
    share = 1 if options.full else 10
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, load {os.getloadavg()[0]:.2f}")
    with tempfile.TemporaryDirectory() as folder:
        beside_faiss(Path(folder), rows, options.width, BOTH_WAYS)
        # One way is measured on a quarter of the full size, which it needs no more of to be told.
        beside_faiss(Path(folder), rows // 4 if options.full else rows, options.width, ONE_WAY)
        mewslix(Path(folder), 15_000 // share, 1_000_000 // share, options.width)
        curve(Path(folder), min(rows, 40_000), options.width)


if __name__ == "__main__":
    main()
