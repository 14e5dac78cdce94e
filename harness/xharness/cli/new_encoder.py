"""`xharness new-encoder`."""

from __future__ import annotations

from pathlib import Path

import click

from xharness.cli.options import AS_JSON, DATA_DIR, print_json, split_names


@click.command("new-encoder")
@click.option("--size", default="tiny", show_default=True, metavar="NAME", help="A size in tasks/encoder_sizes.yaml.")
@click.option(
    "--texts-of",
    metavar="TASK[,TASK...]",
    help="Train the vocabulary on the English texts of these training sets.",
)
@click.option(
    "--text",
    "files",
    multiple=True,
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Train the vocabulary on your own text, one sentence or paragraph per line, in any language; repeatable.",
)
@click.option("--to", "folder", required=True, type=click.Path(path_type=Path), metavar="DIR", help="Folder to create.")
@click.option(
    "--seed", type=click.IntRange(0, 2**32 - 1), default=0, show_default=True, help="Seed of the random weights."
)
@click.option("--vocabulary", type=click.IntRange(min=1), metavar="N", help="Override the vocabulary size.")
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
    """Create an encoder with random weights.

    It has XLM-R's architecture and a vocabulary trained on your texts. It is not pretrained. Use it for smoke tests and
    for research on model size.

    \b
    xharness new-encoder --size tiny --texts-of ud_en_hub --to tiny
    xharness train ud_en_hub --base tiny --output tiny-ud --learning-rate 2e-3 --epochs 4
    """
    from itertools import chain

    from xharness.data.loading import data_folder
    from xharness.training import new_encoder as training_new_encoder

    encoder_size = training_new_encoder.load_size(size)
    texts = chain(
        training_new_encoder.texts_of(split_names(texts_of) or [], data_folder(data_dir)),
        *map(training_new_encoder.lines_of, files),
    )
    encoder = training_new_encoder.make(encoder_size, texts, folder, seed=seed, pieces=vocabulary)
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
        f"{encoder.folder}: {encoder_size.layers} layers of width {encoder_size.width}, {encoder.pieces:,} tokens in "
        f"the vocabulary, trained on {encoder.texts:,} texts, {encoder.parameters:,} random weights (seed {seed})"
    )
