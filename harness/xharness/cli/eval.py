"""`xharness eval`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from xharness.cli.options import (
    AS_JSON,
    DATA_DIR,
    LANGUAGES,
    fail_if_incomplete,
    names,
    needs_accelerate,
    print_json,
    say,
    show,
    with_recipe,
)
from xharness.cli.tune_options import tuning_of, with_tuning


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
    if any(not name or not equals or not own for name, equals, own in pairs):
        raise click.BadParameter("write NAME=LABEL_0,NAME=LABEL_1,...")
    names, labels = [name.strip() for name, _, _ in pairs], [own.strip() for _, _, own in pairs]
    if len(set(names)) != len(names) or len(set(labels)) != len(labels):
        raise click.BadParameter("give each NAME and each label once.")
    return dict(zip(names, labels, strict=True))


@click.command("eval")
@click.option("--model", required=True, metavar="PATH_OR_ID[@REVISION]", help="A local folder, or a model on the Hub.")
@click.option(
    "--targets",
    default="xtreme",
    show_default=True,
    metavar="NAMES",
    help="xtreme, xtreme-r, task names with commas between, or paths of task files.",
)
@LANGUAGES
@DATA_DIR
@click.option(
    "--output",
    type=click.Path(path_type=Path),
    default=Path("results"),
    show_default=True,
    help="Folder that run folders are written to.",
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
    help="auto: bfloat16 where the processor has matrix units for it, else float32.",
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
    help="Retrieval: index into hidden_states (0 = embeddings); dev: select on development data; all: score every "
    "layer.",
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
    help="Retrieval: subtract each language's mean embedding (a control experiment).",
)
@click.option("--whiten/--no-whiten", default=None, help="Retrieval: whiten the embeddings.")
@click.option("--prefix", help="Retrieval: text before each sentence, such as 'query: ' for E5.")
@click.option(
    "--label-map",
    metavar="NAME=LABEL_0,...",
    callback=_label_map,
    help="What the head's labels mean, if its config does not say.",
)
@click.option(
    "--head",
    metavar="NAME",
    help="Which head predicts if a checkpoint has several (see its xharness.json). Default: the one that fits.",
)
@click.option("--split", type=click.Choice(["test", "dev"]), default="test", show_default=True)
@click.option(
    "--limit",
    type=click.IntRange(min=1),
    metavar="N",
    help="Score only the first N examples per language; results are marked partial.",
)
@click.option(
    "--seed", type=int, default=0, show_default=True, help="Recorded in the results and in the name of the run folder."
)
@click.option(
    "--trust-remote-code", is_flag=True, help="Run Python code that comes with the checkpoint. Read that code first."
)
@click.option("--dry-run", is_flag=True, help="Print the plan and stop.")
@AS_JSON
@with_tuning
@with_recipe
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
    """Score a checkpoint on targets, language by language.

    First prints the plan: which targets the checkpoint can be scored on as it is, and why not on the others. A run that
    was stopped continues when the same command is given again.

    \b
    xharness eval --model deepset/xlm-roberta-large-squad2 --targets xquad,mlqa --languages de,hi
    xharness eval --model sentence-transformers/LaBSE --targets tatoeba --layer last --pooling cls
    xharness eval --model org/xlmr-squad --targets tatoeba --layer all
    xharness eval --model ./my-checkpoint --data-dir /data/hub --dtype float32 --dry-run
    xharness eval --model ./my-checkpoint --targets xtreme --tune --seeds 1,2,3
    """
    from xharness.evaluation import plan as evaluation_plan
    from xharness.evaluation.prepare import Options, prepare

    tuning = tuning_of(click.get_current_context(), options)

    prepared = prepare(
        model,
        targets=names(targets) or [],
        languages=names(languages),
        data_dir=data_dir,
        options=Options(**options),
    )
    for note in prepared.checkpoint.notes:
        say(note)
    if tuning is not None:
        _tune(prepared, tuning, output, dry_run, as_json)
        return
    if dry_run:
        if as_json:
            print_json(
                {
                    "model": model,
                    "id": prepared.checkpoint.id,
                    "plan": {s.task: s.to_json() for s in prepared.steps},
                }
            )
        else:
            click.echo(evaluation_plan.plan_table(prepared.steps))
        return
    say(evaluation_plan.plan_table(prepared.steps) + "\n")
    if options["layer"] == "all":
        _curve(prepared, output, as_json)
        return
    from xharness.evaluation.runner import run

    results = run(prepared, output, say=say)
    show(results, str(prepared.checkpoint.folder_name), as_json)
    say(f"\nRun folder (results, predictions, settings): {results.provenance['run']}")
    fail_if_incomplete(results.provenance["failures"])


def _tune(prepared: Any, options: dict[str, Any], output: Path, dry_run: bool, as_json: bool) -> None:
    """Train the missing heads, score them and print the tables."""
    from xharness.evaluation import plan as evaluation_plan
    from xharness.training.tune import plan as tune_plan
    from xharness.training.tune import report as tune_report
    from xharness.training.tune.options import TuneOptions

    plan = tune_plan.make_plan(prepared, TuneOptions(**options), say)
    steps = plan.prepared.steps
    if dry_run:
        if as_json:
            content = {"model": prepared.checkpoint.name, "id": prepared.checkpoint.id}
            print_json({**content, "plan": {s.task: s.to_json() for s in steps}, "tuning": plan.to_json()})
        else:
            click.echo(evaluation_plan.plan_table(steps))
        return
    say(evaluation_plan.plan_table(steps) + "\n")
    needs_accelerate()
    from xharness.training.tune import runner as tune_runner

    results = tune_runner.run(plan, output, say=say)
    print_json(results.to_json()) if as_json else click.echo(tune_report.table(results))
    say("\n" + "\n  ".join(["Run folders (results, predictions, settings):", *results.runs]))
    fail_if_incomplete(results.failures)


def _curve(prepared: Any, output: Path, as_json: bool) -> None:
    """Score every layer, print the table and draw the plot."""
    from xharness.evaluation import layer_curves
    from xharness.evaluation import layers as evaluation_layers

    curves = evaluation_layers.run(prepared, output, say=say)
    paths = layer_curves.save(curves)
    if as_json:
        print_json(curves.to_json())
    else:
        click.echo(layer_curves.table(curves))
    say("\nLayer curve: " + ", ".join(str(path) for path in paths))
    if len(paths) == 1:
        say(layer_curves.HOW_TO_DRAW)
    fail_if_incomplete(curves.failures)
