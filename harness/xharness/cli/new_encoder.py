"""`xharness new-encoder`."""

from __future__ import annotations

from pathlib import Path

import click

from xharness.cli.options import AS_JSON, DATA_DIR, names, print_json


@click.command("new-encoder")
@click.option("--size", default="tiny", show_default=True, metavar="NAME", help="A size of tasks/encoder_sizes.yaml.")
@click.option(
    "--texts-of",
    metavar="TASK[,TASK...]",
    help="Training sets whose English texts the vocabulary is trained on.",
)
@click.option(
    "--text",
    "files",
    multiple=True,
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Your own text for the vocabulary, in any language, one sentence or paragraph per line; repeatable.",
)
@click.option("--to", "folder", required=True, type=click.Path(path_type=Path), metavar="DIR", help="Folder to create.")
@click.option("--seed", type=click.IntRange(0, 2**32 - 1), default=0, show_default=True, help="Seed of the weights.")
@click.option(
    "--vocabulary", type=click.IntRange(min=1), metavar="N", help="Vocabulary size. Default: that of the size."
)
@DATA_DIR
@AS_JSON
def new_encoder(
    size: str,
    texts_of: str | None,
    files: tuple[Path, ...],
    folder: Path,
    seed: int,
    vocabulary: int | None,
    data_dir: Path | None,
    as_json: bool,
) -> None:
    """Create an encoder of XLM-R's architecture with random weights and a vocabulary trained on your texts.

    For smoke tests, and for research on model size.

    \b
    xharness new-encoder --size tiny --texts-of ud_en_hub --to tiny
    xharness train ud_en_hub --base tiny --output tiny-ud --learning-rate 2e-3 --epochs 4
    """
    from itertools import chain

    from xharness.data.loading import data_folder
    from xharness.training import new_encoder as training_new_encoder

    chosen = training_new_encoder.load_size(size)
    texts = chain(
        training_new_encoder.texts_of(names(texts_of) or [], data_folder(data_dir)),
        *map(training_new_encoder.lines_of, files),
    )
    encoder = training_new_encoder.make(chosen, texts, folder, seed=seed, pieces=vocabulary)
    if as_json:
        print_json(
            {
                "folder": str(encoder.folder),
                "size": size,
                "seed": seed,
                "pieces": encoder.pieces,
                "parameters": encoder.parameters,
                "texts": encoder.texts,
            }
        )
        return
    click.echo(
        f"{encoder.folder}: {chosen.layers} layers of width {chosen.width}, {encoder.pieces:,} pieces from "
        f"{encoder.texts:,} "
        f"texts, {encoder.parameters:,} random weights (seed {seed})"
    )
