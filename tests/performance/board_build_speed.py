"""Times building a leaderboard from made-up submissions with their verdicts: seconds, peak memory, and sizes.

    make bench                                                  1,000 submissions of one seed, every target and language
    PYTHONPATH=harness:tests .venv/bin/python -m performance.board_build_speed --submissions 1000 --seeds 3

The build is the command, in a process of its own; its memory is the peak of that process and of the largest of those
that it starts.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tabulate import tabulate

from helpers.leaderboard import make_board
from helpers.paths import ROOT

MEASURED = """
import resource, runpy, sys
sys.argv = ["xharness", *sys.argv[1:]]
code = 0
try:
    runpy.run_module("xharness", run_name="__main__")
except SystemExit as stop:
    code = stop.code
print(*(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)), file=sys.stderr)
sys.exit(code)
"""


def main() -> None:
    """Make a board, build it, and print what it took."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--submissions", type=int, default=1000)
    parser.add_argument("--seeds", type=int, default=1)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="xharness-board-") as scratch:
        source, to = Path(scratch) / "data", Path(scratch) / "page"
        make_board(source, given.submissions, given.seeds)
        command = [sys.executable, "-c", MEASURED, "leaderboard", "build", str(source), "--to", str(to)]
        start = time.perf_counter()
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        seconds = time.perf_counter() - start
        if done.returncode:
            sys.exit(done.stderr)
        own, largest = (int(number) / 1024 for number in done.stderr.split()[-2:])
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        sizes = {name: (to / name).stat().st_size / 2**20 for name in ("scores.parquet", "scores.json", "index.html")}
    rows = [
        ("submissions, seeds", f"{given.submissions:,}, {given.seeds}"),
        ("seconds", f"{seconds:.1f}"),
        ("seconds of processors", f"{used.ru_utime + used.ru_stime:.1f}"),
        ("peak memory, MiB", f"{own:.0f}; of the largest process it starts {largest:.0f}"),
        *((name, f"{size:.1f} MiB") for name, size in sizes.items()),
    ]
    print(tabulate(rows, tablefmt="plain"))


if __name__ == "__main__":
    main()
