"""`xharness train`."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import click

from xharness.cli.options import (
    AS_JSON,
    DATA_DIR,
    RECIPE,
    add_options,
    pop_recipe_settings,
    print_json,
    require_accelerate,
    say,
    split_names,
)
from xharness.errors import Incomplete


def _files_by_language(context: click.Context, option: click.Parameter, value: tuple[str, ...]) -> dict[str, Path]:
    files_by_language: dict[str, Path] = {}
    for part in value:
        code, equals, path = part.partition("=")
        if not code or not equals or not path:
            raise click.BadParameter("write LANGUAGE=FILE, such as de=mnli-de.jsonl.")
        if not re.fullmatch("[a-z]{2,3}", code):
            raise click.BadParameter(f"'{code}' is not a language code of two or three letters.")
        if code in files_by_language:
            raise click.BadParameter(f"the language '{code}' is given twice.")
        files_by_language[code] = Path(path)
    return files_by_language


@click.command()
@click.argument("tasks", metavar="TASK[,TASK...]|multitask")
@click.option(
    "--base",
    required=True,
    metavar="PATH_OR_ID[@REVISION]",
    help="Encoder to train: a local folder, or a model on the Hub.",
)
@click.option(
    "--output", required=True, type=click.Path(path_type=Path), metavar="DIR", help="Folder for the checkpoint."
)
@add_options(RECIPE)
@click.option("--seed", type=int, default=0, show_default=True, help="Seed of data order, new heads and dropout.")
@click.option(
    "--retries",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    help="How many more seeds to try if training collapses or diverges.",
)
@click.option(
    "--source-language",
    metavar="CODES",
    help="Languages to train on, separated by commas. Default: English.",
)
@click.option(
    "--source-data",
    multiple=True,
    metavar="CODE=FILE",
    callback=_files_by_language,
    help="Train on your own data in a language (jsonl, json, csv, tsv, parquet ...); repeatable.",
)
@click.option(
    "--cap",
    type=click.IntRange(min=1),
    metavar="N",
    help="Several tasks: count at most N examples of a task when tasks are sampled.",
)
@click.option(
    "--temperature",
    type=float,
    metavar="T",
    help="Several tasks: sampling temperature. 1: in proportion to size; higher: more evenly.",
)
@click.option(
    "--mlm",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Also train with masked language modeling on this text, one sentence or paragraph per line.",
)
@click.option(
    "--mlm-share",
    type=float,
    default=0.2,
    show_default=True,
    help="Share of the steps for --mlm. The default is ours, not from a paper.",
)
@click.option(
    "--device",
    default="auto",
    show_default=True,
    metavar="auto|cpu|cuda",
    help="auto: the GPU if there is one, else the CPU.",
)
@click.option(
    "--dtype",
    type=click.Choice(["auto", "float32", "bfloat16"]),
    default="auto",
    show_default=True,
    help="Precision of the computation. Weights stay in float32.",
)
@click.option("--batch-tokens", type=click.IntRange(min=1), metavar="N", help="Maximum tokens per forward pass.")
@click.option("--trust-remote-code", is_flag=True, help="Run Python code that comes with --base. Read it first.")
@DATA_DIR
@click.option("--dry-run", is_flag=True, help="Print what would be trained and stop.")
@AS_JSON
def train(
    tasks: str,
    base: str,
    output: Path,
    source_language: str | None,
    source_data: dict[str, Path],
    data_dir: Path | None,
    dry_run: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Train an encoder on intermediate tasks.

    The training data is English by default. One task gives a standard transformers checkpoint; several tasks give an
    encoder with heads/<task>.safetensors. To resume an interrupted run, give the same command again. On several GPUs:
    torchrun --nproc-per-node 4 -m xharness train ...

    \b
    xharness train mnli --base FacebookAI/xlm-roberta-large --output zoo/xlmr-mnli --retries 2
    xharness train multitask --base FacebookAI/xlm-roberta-large --output zoo/xlmr-multitask
    xharness train mnli --base FacebookAI/xlm-roberta-base --output de --source-language de
    xharness train squad_v1 --base ./encoder --output out --recipe xtreme --lora 16 --dry-run
    """
    from xharness.training import report as training_report
    from xharness.training.plan import Options, prepare

    languages = tuple(split_names(source_language) or source_data or ("en",))
    options |= {"given": pop_recipe_settings(options), "languages": languages, "files": source_data}
    plan = prepare(split_names(tasks) or [], base, data_dir=data_dir, options=Options(**options))
    first = os.environ.get("RANK", "0") == "0"  # of several processes, one prints
    for note in plan.checkpoint.notes if first else ():
        say(note)
    if dry_run:
        if as_json:
            print_json(training_report.plan_json(plan))
        else:
            click.echo(training_report.plan_table(plan))
        return
    if first:
        say(training_report.plan_table(plan) + "\n")
    require_accelerate()
    from xharness.training.runner import train as run

    record = run(plan, output, say=say)
    if not first:
        return
    if as_json:
        print_json(training_report.record_json(record, output))
    else:
        click.echo(training_report.record_table(record, output))
    if record.status != "complete":
        raise Incomplete(
            f"{output}: seed {record.seed} {record.status}: {record.reason}. Try --retries, or a lower --learning-rate."
        )
