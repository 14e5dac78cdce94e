"""`xharness eval`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from xharness.cli.options import (
    AS_JSON,
    DATA_DIR,
    LANGUAGES,
    RECIPE,
    add_options,
    fail_if_incomplete,
    print_json,
    print_results,
    require_accelerate,
    say,
    split_names,
)
from xharness.cli.tune_options import TUNE, pop_tune_options


def _batch_tokens(context: click.Context, option: click.Parameter, value: str) -> int | None:
    if value == "auto":
        return None
    if not value.isdecimal() or int(value) < 1:
        raise click.BadParameter("give a number of tokens, or auto.")
    return int(value)


def _layer(context: click.Context, option: click.Parameter, value: str | None) -> int | str | None:
    if value in (None, "last", "dev", "all"):
        return value
    try:
        return int(value)
    except ValueError:
        raise click.BadParameter(
            "give an index into hidden_states (0 = embeddings, -1 = last), or last, dev or all."
        ) from None


def _label_map(context: click.Context, option: click.Parameter, value: str | None) -> dict[str, str]:
    pairs = [part.partition("=") for part in (value or "").split(",") if part]
    if any(not name or not equals or not head_label for name, equals, head_label in pairs):
        raise click.BadParameter("write NAME=LABEL_0,NAME=LABEL_1,...")
    names, head_labels = [name.strip() for name, _, _ in pairs], [head_label.strip() for _, _, head_label in pairs]
    if len(set(names)) != len(names) or len(set(head_labels)) != len(head_labels):
        raise click.BadParameter("give each NAME and each label only once.")
    return dict(zip(names, head_labels, strict=True))


@click.command("eval")
@click.option(
    "--model",
    required=True,
    metavar="PATH_OR_ID[@REVISION]",
    help="Checkpoint: a local folder, a model on the Hub, or a name of the zoo.",
)
@click.option(
    "--targets",
    default="xtreme",
    show_default=True,
    metavar="NAMES",
    help="xtreme, xtreme-r, names of targets separated by commas, or paths of task files.",
)
@LANGUAGES
@DATA_DIR
@click.option(
    "--output",
    type=click.Path(path_type=Path),
    default=Path("results"),
    show_default=True,
    help="Folder that holds all run folders.",
)
@click.option(
    "--device",
    default="auto",
    show_default=True,
    metavar="auto|cpu|cuda[:N]",
    help="auto: the first GPU, else the CPU.",
)
@click.option(
    "--dtype",
    type=click.Choice(["auto", "float32", "bfloat16", "float16"]),
    default="auto",
    show_default=True,
    help="auto: bfloat16 if the processor has matrix units for it, else float32.",
)
@click.option(
    "--batch-tokens",
    default="auto",
    show_default=True,
    metavar="auto|N",
    callback=_batch_tokens,
    help="Tokens per batch, padding included.",
)
@click.option(
    "--layer",
    metavar="N|last|dev|all",
    callback=_layer,
    help="Retrieval: layer as an index into hidden_states (0 = embeddings). dev: select it on development data; all: "
    "evaluate every layer and plot the curve.",
)
@click.option(
    "--pooling",
    type=click.Choice(["mean", "cls", "pooler"]),
    help="Retrieval: how token vectors become a sentence embedding.",
)
@click.option(
    "--special-tokens/--no-special-tokens",
    default=None,
    help="Retrieval: whether mean pooling includes <s> and </s>, as the official scripts do.",
)
@click.option(
    "--center",
    type=click.Choice(["none", "language"]),
    help="Retrieval: subtract the mean vector of each language (a control).",
)
@click.option("--whiten/--no-whiten", default=None, help="Retrieval: decorrelate the dimensions of the embeddings.")
@click.option("--prefix", help="Retrieval: text before each sentence, as E5 needs it ('query: ').")
@click.option(
    "--label-map",
    metavar="NAME=LABEL_0,...",
    callback=_label_map,
    help="What the labels of the head mean, if its config does not say.",
)
@click.option(
    "--head",
    metavar="NAME",
    help="Head to predict with, if the checkpoint has several (see its xharness.json). Default: the one that fits.",
)
@click.option(
    "--split", type=click.Choice(["test", "dev"]), default="test", show_default=True, help="Split to evaluate."
)
@click.option(
    "--limit",
    type=click.IntRange(min=1),
    metavar="N",
    help="Evaluate only the first N examples per language; results are marked partial.",
)
@click.option("--seed", type=int, default=0, show_default=True, help="Recorded, and part of the run folder's name.")
@click.option(
    "--trust-remote-code", is_flag=True, help="Run Python code that comes with the checkpoint. Read it first."
)
@click.option("--dry-run", is_flag=True, help="Print the plan and stop.")
@AS_JSON
@add_options(TUNE)
@add_options(RECIPE)
def eval_command(
    model: str,
    targets: str,
    languages: str | None,
    data_dir: Path | None,
    output: Path,
    dry_run: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Evaluate a checkpoint on targets and languages.

    First prints the plan: what the checkpoint can be evaluated on as it is, and why not on the rest. To resume an
    interrupted run, give the same command again.

    \b
    xharness eval --model deepset/xlm-roberta-large-squad2 --targets xquad,mlqa --languages de,hi
    xharness eval --model sentence-transformers/LaBSE --targets tatoeba --layer last --pooling cls
    xharness eval --model org/xlmr-squad --targets tatoeba --layer all
    xharness eval --model ./my-checkpoint --data-dir /data/hub --dtype float32 --dry-run
    xharness eval --model ./my-checkpoint --targets xtreme --tune --seeds 1,2,3
    """
    from xharness.evaluation import plan as evaluation_plan
    from xharness.evaluation.prepare import Options, prepare

    tune_options = pop_tune_options(click.get_current_context(), options)
    prepared = prepare(
        model,
        targets=split_names(targets) or [],
        languages=split_names(languages),
        data_dir=data_dir,
        options=Options(**options),
    )
    for note in prepared.checkpoint.notes:
        say(note)
    if tune_options is not None:
        _tune(prepared, tune_options, output, dry_run, as_json)
        return
    if dry_run:
        if as_json:
            plan = {step.task: step.to_json() for step in prepared.steps}
            print_json({"model": model, "id": prepared.checkpoint.id, "plan": plan})
        else:
            click.echo(evaluation_plan.plan_table(prepared.steps))
        return
    say(evaluation_plan.plan_table(prepared.steps) + "\n")
    if options["layer"] == "all":
        _evaluate_layers(prepared, output, as_json)
        return
    from xharness.evaluation.runner import run

    results = run(prepared, output, say=say)
    print_results(results, str(prepared.checkpoint.folder_name), as_json)
    say(f"\nRun folder with results, predictions and provenance: {results.provenance['run']}")
    fail_if_incomplete(results.provenance["failures"])


def _tune(prepared: Any, options: dict[str, Any], output: Path, dry_run: bool, as_json: bool) -> None:
    """Train the missing heads, score them, and print the tables."""
    from xharness.evaluation import plan as evaluation_plan
    from xharness.training.tune import plan as tune_plan
    from xharness.training.tune import report as tune_report
    from xharness.training.tune.options import TuneOptions

    plan = tune_plan.make_plan(prepared, TuneOptions(**options), say)
    steps = plan.prepared.steps
    if dry_run:
        if as_json:
            content = {"model": prepared.checkpoint.name, "id": prepared.checkpoint.id}
            print_json({**content, "plan": {step.task: step.to_json() for step in steps}, "tuning": plan.to_json()})
        else:
            click.echo(evaluation_plan.plan_table(steps))
        return
    say(evaluation_plan.plan_table(steps) + "\n")
    require_accelerate()
    from xharness.training.tune import runner as tune_runner

    results = tune_runner.run(plan, output, say=say)
    print_json(results.to_json()) if as_json else click.echo(tune_report.table(results))
    say("\n" + "\n  ".join(["Run folders with results, predictions and provenance:", *results.runs]))
    fail_if_incomplete(results.failures)


def _evaluate_layers(prepared: Any, output: Path, as_json: bool) -> None:
    """Evaluate every layer, print the scores by layer, and plot them."""
    from xharness.evaluation import layer_curves
    from xharness.evaluation import layers as evaluation_layers

    curves = evaluation_layers.run(prepared, output, say=say)
    paths = layer_curves.save(curves)
    if as_json:
        print_json(curves.to_json())
    else:
        click.echo(layer_curves.table(curves))
    say("\nScores by layer: " + ", ".join(str(path) for path in paths))
    if len(paths) == 1:
        say(layer_curves.HOW_TO_DRAW)
    fail_if_incomplete(curves.failures)
