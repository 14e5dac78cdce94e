"""Times publishing a checkpoint to a Hub on this machine, and pulling it back, beside a plain copy with SHA-256.

    make bench                                     random weights of XLM-R Large's shape, 2.2 GB
    PYTHONPATH=harness:tests .venv/bin/python -m performance.publish_speed --layers 2

The Hub is that of the tests, in a process of its own; publish and pull are the commands, each in its own process too,
whose peak memory and bytes read from files are those that Linux counts. Sent and received bytes go over loopback, so
what is compared is the work beside the network: hashing, reading, writing.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tabulate import tabulate

from helpers.paths import HARNESS, TESTS

PIECE = 1 << 20

# What a process tells of itself at its end: peak memory in MiB, and bytes that it read by read() and its like.
MEASURED = """
import json, runpy, sys
from pathlib import Path
sys.argv = ["xharness", *sys.argv[1:]]
code = 0
try:
    runpy.run_module("xharness", run_name="__main__")
except SystemExit as stop:
    code = stop.code or 0
status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
counted = dict(line.split(":", 1) for line in Path("/proc/self/io").read_text().splitlines())
told = {"code": code, "peak": int(status["VmHWM"].split()[0]) / 1024, "read": int(counted["rchar"])}
print("MEASURED " + json.dumps(told), file=sys.stderr)
"""

MAKE = """
import json, sys
from pathlib import Path
import torch, transformers
from safetensors.torch import save_file
from helpers import tiny_models
from xharness import files; from xharness.checkpoints import heads, training_record

folder, layers = Path(sys.argv[1]), int(sys.argv[2])
words = tiny_models.tokenizer()
config = transformers.XLMRobertaConfig(
    vocab_size=250002, hidden_size=1024, num_hidden_layers=layers, num_attention_heads=16, intermediate_size=4096,
    max_position_embeddings=514, type_vocab_size=1, architectures=["XLMRobertaForQuestionAnswering"], dtype="float32",
)
torch.manual_seed(0)
model = transformers.XLMRobertaForQuestionAnswering(config)
save_file({k: v.contiguous() for k, v in model.state_dict().items()}, folder / "model.safetensors", {"format": "pt"})
config.save_pretrained(folder)
words.save_pretrained(folder)
head = heads.Head("squad_v1", None, "span_qa", "XLMRobertaForQuestionAnswering")
heads.write(folder, heads.CheckpointRecord("intermediate", ("squad_v1",), "random-large", "0" * 64, {"squad_v1": head}))
part = {"task": "squad_v1", "language": "en", "split": "train", "n": 1, "available": 1, "hash": "0" * 64,
        "source": "none", "revision": None, "status": "stand-in", "origin": "native", "counts": {}, "licence": "none"}
record = training_record.Record(
    status="complete", key="0" * 12, seed=0, steps=1, planned_steps=1, tokens=1, seconds=1.0, tokens_per_second=1.0,
    request={"phase": "intermediate", "base": {"name": "random-large", "id": "0" * 64}, "recipe": "none", "tasks": {
        "squad_v1": {"spec": "0" * 12, "data": "0" * 12, "dev": None, "n": 1, "labels": [],
                     "settings": {}, "origins": {}}},
        "languages": ["en"]},
    data={"squad_v1": {"train": [part], "dev": []}},
    mixture={"squad_v1": {"units": 1, "batch": 1, "probability": 1.0, "steps": 1}},
    losses=[[1, "squad_v1", 1.0, 0.0]],
    evaluations=[{"step": 1, "scores": {"squad_v1": {"f1": 0.0, "exact_match": 0.0, "score": 0.0}}, "chosen": {}}],
    probes={"squad_v1": {"language": "en", "n": 1, "of": 1, "data_hash": "0" * 12, "metric": "squad", "chance": 0.0}},
    selections={"last": {"step": 1, "score": 0.0, "folder": "."}},
    weights={"model.safetensors": files.sha256(folder / "model.safetensors")},
    hardware={"device": "cpu", "processes": 1}, versions={"xharness": "bench"},
    notes=["random weights, made for a measurement"],
)
training_record.save(record, folder)
"""

FACTS = """\
base_model: none
base_licence: mit
base_note: random weights, made for a measurement
developed_by: nobody
watts: 100
"""


@dataclass(frozen=True)
class Step:
    """What was measured of a step."""

    name: str
    seconds: float
    peak: float | None = None
    read: int | None = None


def plain_copy(source: Path, to: Path) -> Step:
    """Copy a file and hash the copy, in pieces, as a user would who checks a download."""
    begun = time.perf_counter()
    shutil.copyfile(source, to)
    digest = hashlib.sha256()
    with to.open("rb", buffering=0) as file:
        while piece := file.read(PIECE):
            digest.update(piece)
    found = Step("plain copy and SHA-256", time.perf_counter() - begun)
    to.unlink()
    return found


def command(name: str, environment: dict[str, str], *arguments: str) -> Step:
    """Run an xharness command in a process of its own and return its time, memory and bytes read."""
    begun = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", MEASURED, *arguments], env=environment, capture_output=True, text=True, check=False
    )
    seconds = time.perf_counter() - begun
    told = [line for line in done.stderr.splitlines() if line.startswith("MEASURED ")]
    measured: dict[str, Any] = json.loads(told[-1].removeprefix("MEASURED ")) if told else {"code": done.returncode}
    if measured["code"] != 0:
        sys.exit(f"{' '.join(arguments)} ended with {measured['code']}:\n{done.stdout}\n{done.stderr}")
    return Step(name, seconds, measured["peak"], measured["read"])


def main() -> None:
    """Make the checkpoint, publish it, pull it, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--layers", type=int, default=24, help="of the encoder (24: 2.2 GB)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="publish-speed-") as name:
        scene = Path(name)
        folder, facts, pulled = scene / "checkpoint", scene / "facts.yaml", scene / "pulled"
        folder.mkdir()
        facts.write_text(FACTS, encoding="utf-8")
        paths = os.pathsep.join([str(HARNESS), str(TESTS)])
        known = {k: v for k, v in os.environ.items() if not k.startswith("HF_") and not k.lower().endswith("_proxy")}
        environment = {**known, "PYTHONPATH": paths, "XHARNESS_CACHE": str(scene / "cache")}
        made = [sys.executable, "-c", MAKE, str(folder), str(options.layers)]
        subprocess.run(made, env=environment, check=True)
        weights = folder / "model.safetensors"
        size = weights.stat().st_size
        with subprocess.Popen(
            [sys.executable, "-m", "helpers.fake_hub", str(scene / "hub")],
            env=environment,
            stdout=subprocess.PIPE,
            text=True,
        ) as server:
            try:
                assert server.stdout is not None
                environment |= {
                    "HF_ENDPOINT": server.stdout.readline().strip(),
                    "HF_TOKEN": "hf_loopback",
                    "HF_HOME": str(scene / "home"),
                    "HF_HUB_DISABLE_XET": "1",
                    "HF_HUB_DISABLE_TELEMETRY": "1",
                    "HF_HUB_DISABLE_UPDATE_CHECK": "1",
                    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
                }
                publish = ("publish", str(folder), "org/random-large", "--no-results", "--facts", str(facts), "--json")
                steps = [
                    plain_copy(weights, scene / "copy"),
                    command("publish, dry", environment, *publish),
                    command("publish", environment, *publish, "--yes"),
                    command("publish again", environment, *publish, "--yes"),
                    command("pull", environment, "models", "pull", "org/random-large", "--to", str(pulled), "--json"),
                ]
            finally:
                server.terminate()
        with weights.open("rb") as ours, (pulled / "model.safetensors").open("rb") as theirs:
            same = hashlib.file_digest(ours, "sha256").digest() == hashlib.file_digest(theirs, "sha256").digest()
    if not same:
        sys.exit("The pulled weights are not those that were published.")
    rate = size / steps[0].seconds
    rows = [
        [
            step.name,
            f"{step.seconds:.1f}",
            f"{size / step.seconds / 1e6:,.0f}",
            f"{size / step.seconds / rate:.2f}",
            "-" if step.peak is None else f"{step.peak:,.0f}",
            "-" if step.read is None else f"{step.read / size:.2f}",
        ]
        for step in steps
    ]
    print(f"{size / 1e9:.2f} GB of random weights\n")
    head = ["step", "s", "MB/s", "of a plain copy", "peak MiB", "bytes read / size"]
    print(tabulate(rows, head, disable_numparse=True, colalign=["left"] + ["right"] * 5))


if __name__ == "__main__":
    main()
