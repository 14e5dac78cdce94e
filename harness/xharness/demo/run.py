"""`xharness demo`, end to end."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

from xharness import assets
from xharness.demo.data import make_data
from xharness.errors import OutputError
from xharness.evaluation.runner import evaluate
from xharness.files import write_text
from xharness.results.aggregate import Results

TARGETS = {"nli": "demo_nli", "ner": "demo_ner", "qa": "demo_qa", "encoder": "demo_bitext"}
"""Checkpoint -> the task under ``tasks/demo`` that it is evaluated on."""


def run(
    output: Path, *, seed: int = 0, say: Callable[[str], None] | None = None, progress: bool = True
) -> list[tuple[str, Results]]:
    """Generate the data, train and evaluate the four checkpoints of the demo; return (checkpoint, results) of each.

    Folder names contain a fingerprint of the seed and the demo's version. A second run reuses what exists; another seed
    or version has its own folders.

    Raises:
        OutputError: the folder cannot be written.
    """
    notify = say or (lambda sentence: None)
    origin = fingerprint(seed)
    data, models = output / "data" / origin, output / "models" / origin
    complete = models / "complete"
    if complete.is_file():
        notify(f"The checkpoints of this version and seed {seed} exist in {models}; they are not trained again.")
    else:
        try:
            _make_data_and_models(data, models, seed, notify, progress)
        except OSError as error:
            raise OutputError(
                f"{output}: cannot write the demo: {error.strerror or error}. "
                "Free some space, or choose another folder with --output."
            ) from None
        write_text(complete, f"seed {seed}\n")
    return [
        (
            name,
            evaluate(
                str(models / name),
                targets=[str(assets.TASKS / "demo" / f"{task}.yaml")],
                data_dir=data,
                output=output / "results",
                say=say,
                progress=progress,
                seed=seed,
                # Fixed, so that the demo shows the same numbers on as many machines as possible.
                dtype="float32",
            ),
        )
        for name, task in TARGETS.items()
    ]


def _make_data_and_models(data: Path, models: Path, seed: int, notify: Callable[[str], None], progress: bool) -> None:
    # Imported here, because a second run does not need it.
    from xharness.demo.train import train_checkpoints

    notify(f"Writing small parallel data sets in seven languages and five scripts to {data}.")
    make_data(data, seed=seed)
    notify(f"Training a tiny encoder and three heads (about a minute) to {models}.")
    train_checkpoints(data, models, seed=seed, progress=progress)


def fingerprint(seed: int) -> str:
    """Return 12 hex digits that change with the seed and with the demo's lexicon, code, settings and tasks."""
    own = Path(__file__).parent
    digest = hashlib.sha256(f"seed {seed}".encode())
    for path in sorted([*own.glob("*.py"), own / "lexicon.yaml", *(assets.TASKS / "demo").glob("*.yaml")]):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:12]
