"""The commands that make scores: ``eval`` from a checkpoint, ``score`` from predictions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from xharness.cli.options import (
    AS_JSON,
    DATA_DIR,
    LANGUAGES,
    RECIPE,
    fail_if_incomplete,
    given_of,
    names,
    needs_accelerate,
    print_json,
    say,
    show,
    with_recipe,
)


def _batch_tokens(context: click.Context, option: click.Parameter, value: str) -> int | None:
    if value == "auto":
        return None
    if not value.isdecimal() or int(value) < 1:
        raise click.BadParameter("give a number of sub-words, or auto.")
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
        raise click.BadParameter("each NAME and each label may stand once.")
    return dict(zip(names, labels, strict=True))


def _seeds(context: click.Context, option: click.Parameter, value: str | None) -> tuple[int, ...] | None:
    if value is None:
        return None
    parts = names(value) or []
    wrong = [part for part in parts if not part.isdecimal() or int(part) >= 2**32]
    if wrong or not parts:
        shown = f"'{wrong[0]}' is none: " if wrong else ""
        raise click.BadParameter(f"{shown}give numbers from 0 on with commas between, such as 1,2,3.")
    return tuple(int(part) for part in parts)


def _also(context: click.Context, option: click.Parameter, value: str) -> tuple[str, ...]:
    return () if value == "none" else tuple(names(value) or [])


TUNING = [
    click.option(
        "--tune",
        is_flag=True,
        help="Train a head, and the encoder with it, for each target that needs one, once per seed; kept in the cache "
        "and found again. The options from here on say how.",
    ),
    click.option("--fresh-head", is_flag=True, help="Also for targets that the checkpoint's own head fits."),
    click.option("--seeds", metavar="1,2,3", callback=_seeds, help="Train with each, and report mean and deviation."),
    click.option(
        "--tune-language",
        default="en",
        show_default=True,
        metavar="en|CODES|all",
        help="Languages to train on: native or machine-translated data, as the training set has it; not zero-shot.",
    ),
    click.option(
        "--shots",
        type=click.IntRange(min=1),
        metavar="K",
        help="Train on K examples per language and label (or per language, without labels), drawn by the seed.",
    ),
    click.option(
        "--average-last",
        type=click.IntRange(min=1),
        default=3,
        show_default=True,
        metavar="K",
        help="How many of the last evaluated states are averaged.",
    ),
    click.option(
        "--also",
        default="last,average,target-dev",
        show_default=True,
        metavar="NAMES|none",
        callback=_also,
        help="States to score beside that of the English development data; target-dev is the oracle.",
    ),
    click.option(
        "--tuned-dir",
        type=click.Path(path_type=Path),
        metavar="DIR",
        help="Folder for tuned checkpoints, in place of the cache (XHARNESS_CACHE).",
    ),
]


def _with_tuning(command: Any) -> Any:
    """Add the options of tuning to a command."""
    for option in reversed(TUNING):
        command = option(command)
    return command


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
    help="Folder for all runs.",
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
    help="Sub-words per batch, padding included.",
)
@click.option(
    "--layer",
    metavar="N|last|dev|all",
    callback=_layer,
    help="Retrieval: index into hidden_states (0 = embeddings); dev: chosen on development data; all: the curve "
    "over all layers.",
)
@click.option(
    "--pooling",
    type=click.Choice(["mean", "cls", "pooler"]),
    help="Retrieval: how a sentence becomes a vector.",
)
@click.option(
    "--special-tokens/--no-special-tokens",
    default=None,
    help="Retrieval: whether a mean counts <s> and </s>, as it does officially.",
)
@click.option(
    "--center",
    type=click.Choice(["none", "language"]),
    help="Retrieval: take each language's mean vector off, as a control.",
)
@click.option("--whiten/--no-whiten", default=None, help="Retrieval: take all correlations out of the vectors.")
@click.option("--prefix", help="Retrieval: text before each sentence, as E5 wants it ('query: ').")
@click.option(
    "--label-map",
    metavar="NAME=LABEL_0,...",
    callback=_label_map,
    help="What the head's labels mean, where its config does not say.",
)
@click.option(
    "--head",
    metavar="NAME",
    help="Which head predicts, where a checkpoint has several (xharness.json names them); else the one that fits.",
)
@click.option("--split", type=click.Choice(["test", "dev"]), default="test", show_default=True)
@click.option(
    "--limit",
    type=click.IntRange(min=1),
    metavar="N",
    help="Only the first N examples per language: partial.",
)
@click.option("--seed", type=int, default=0, show_default=True, help="Recorded; names the run's folder.")
@click.option(
    "--trust-remote-code", is_flag=True, help="Run Python code that comes with the checkpoint. Read it first."
)
@click.option("--dry-run", is_flag=True, help="Print the plan and stop.")
@AS_JSON
@_with_tuning
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
    """Score a checkpoint per target and language.

    Says first what the checkpoint can be scored on as it is, and why not on the rest. A run that was stopped goes
    on where it was when the same command is given again.

    \b
    xharness eval --model deepset/xlm-roberta-large-squad2 --targets xquad,mlqa --languages de,hi
    xharness eval --model sentence-transformers/LaBSE --targets tatoeba --layer last --pooling cls
    xharness eval --model org/xlmr-squad --targets tatoeba --layer all
    xharness eval --model ./my-checkpoint --data-dir /data/hub --dtype float32 --dry-run
    xharness eval --model ./my-checkpoint --targets xtreme --tune --seeds 1,2,3
    """
    from xharness.evaluation import plan as evaluation_plan
    from xharness.evaluation.prepare import Options, prepare

    tuning = _tuning_of(click.get_current_context(), options)

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

    found = run(prepared, output, say=say)
    show(found, str(prepared.checkpoint.folder_name), as_json)
    say(f"\nResults, predictions and what they depend on: {found.provenance['run']}")
    fail_if_incomplete(found.provenance["failures"])


def _tuning_of(context: click.Context, options: dict[str, Any]) -> dict[str, Any] | None:
    """Take the options of tuning out of the command's; None without ``--tune``, where none of them may be given."""
    given = {name for name in options if context.get_parameter_source(name) is not click.core.ParameterSource.DEFAULT}
    own = {p.name: p.opts[-1] for p in context.command.params if p.name in _names_of(TUNING) | _names_of(RECIPE)}
    found = {str(name): options.pop(str(name)) for name in own}
    if not found.pop("tune"):
        if stray := sorted(given & own.keys()):
            raise click.UsageError(f"{own[stray[0]]} says how a head is trained: add --tune, or leave it out.", context)
        return None
    if found["seeds"] is not None and "seed" in given:
        raise click.UsageError("--seed and --seeds cannot be meant together: give one of them.", context)
    found["seeds"] = found["seeds"] or (options["seed"],)
    found["languages"] = tuple(names(found.pop("tune_language")) or [])
    found["root"] = found.pop("tuned_dir")
    return {"given": given_of(found), **found}


def _names_of(decorators: list[Any]) -> set[str]:
    """Return the names of the parameters that decorators add."""

    def bare() -> None: ...

    for decorator in decorators:
        decorator(bare)
    return {str(parameter.name) for parameter in bare.__click_params__}  # type: ignore[attr-defined]


def _tune(prepared: Any, options: dict[str, Any], output: Path, dry_run: bool, as_json: bool) -> None:
    """Train what is needed, score it, and print the tables."""
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

    found = tune_runner.run(plan, output, say=say)
    print_json(found.to_json()) if as_json else click.echo(tune_report.table(found))
    say("\n" + "\n  ".join(["Results, predictions and what they depend on:", *found.runs]))
    fail_if_incomplete(found.failures)


def _curve(prepared: Any, output: Path, as_json: bool) -> None:
    """Score every layer, print the curve, and draw it."""
    from xharness.evaluation import layer_curves
    from xharness.evaluation import layers as evaluation_layers

    found = evaluation_layers.run(prepared, output, say=say)
    made = layer_curves.save(found)
    if as_json:
        print_json(found.to_json())
    else:
        click.echo(layer_curves.table(found))
    say("\nThe curve: " + ", ".join(str(path) for path in made))
    if len(made) == 1:
        say(layer_curves.HOW_TO_DRAW)
    fail_if_incomplete(found.failures)


@click.command()
@click.argument("folder", metavar="DIR|RUN", type=click.Path(path_type=Path))
@click.option("--targets", metavar="NAMES", help="Which of the tasks there; a benchmark's name gives its overall.")
@LANGUAGES
@click.option("--split", type=click.Choice(["test", "dev"]), help="A RUN knows its own; else test.")
@DATA_DIR
@AS_JSON
def score(
    folder: Path, targets: str | None, languages: str | None, split: Any, data_dir: Path | None, as_json: bool
) -> None:
    """Score predictions of any system against the gold; needs no model and no torch.

    DIR holds XTREME's submission layout, <task>/test-<xx>.<ext>; a RUN is a folder made by eval.

    \b
    xharness score predictions/ --targets xtreme
    xharness score results/org__xlmr-squad/0123456789ab/ba9876543210/seed0 --json
    """
    from xharness.results import scoring

    found = scoring.score(folder, targets=names(targets), languages=names(languages), split=split, data_dir=data_dir)
    show(found, str(folder), as_json)
    fail_if_incomplete(found.provenance["failures"])
