"""`xharness plan`."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from xharness.cli.options import AS_JSON, DEFAULT_RECIPE, LANGUAGES, add_options, print_json, split_names

if TYPE_CHECKING:
    from xharness.training.costs.estimate import Machine
    from xharness.training.costs.workload import Run


@click.group()
def plan() -> None:
    """Estimate what runs cost on a GPU.

    Prints steps, tokens, memory, disk and hours. Nothing is downloaded and nothing runs. Data sizes come from the task
    files, shapes of encoders and speeds of GPUs from tasks/encoders.yaml and tasks/gpus.yaml.

    \b
    xharness plan train mnli --base xlm-roberta-large --gpu h200
    xharness plan tune --targets xtreme-r --base xlm-roberta-large --gpu h200 --seeds 1,2,3
    xharness plan eval --targets xtreme-r --model xlm-roberta-large --gpu h200
    xharness plan all --base xlm-roberta-large --gpu h200
    """


def _encoder(flag: str) -> Callable[[Any], Any]:
    text = "An encoder in tasks/encoders.yaml, a checkpoint of the zoo, or a local folder with a config.json."
    return click.option(flag, "encoder", required=True, metavar="NAME_OR_PATH", help=text, callback=_base)


def _base(_context: click.Context, _option: click.Parameter, name: str) -> str:
    """Return the base encoder of a checkpoint of the zoo; other names unchanged."""
    from xharness.checkpoints.zoo import base_of

    return base_of(name)


_TARGETS = click.option("--targets", default="xtreme-r", show_default=True, metavar="NAMES", help="As in eval.")
_SEEDS = click.option("--seeds", default="1", show_default=True, metavar="1,2,...", help="Seeds to tune with.")
_MACHINE = [
    click.option("--gpu", required=True, metavar="NAME", help="A GPU in tasks/gpus.yaml, such as h200."),
    click.option("--gpus", type=click.IntRange(min=1), default=1, show_default=True, help="Number of GPUs."),
    click.option(
        "--dtype",
        type=click.Choice(["auto", "bfloat16", "float32"]),
        default="auto",
        show_default=True,
        help="auto: bfloat16 if the GPU has matrix units for it, else float32.",
    ),
    click.option(
        "--share",
        type=click.FloatRange(0, 1, min_open=True),
        help="Speed relative to the theoretical bound, from 0 to 1, if you measured it. Default: the project's goal.",
    ),
]
_TRAINING = [
    click.option("--recipe", default=DEFAULT_RECIPE, show_default=True, metavar="NAME", help="As in train."),
    click.option(
        "--batch-tokens", type=click.IntRange(min=1), metavar="N", help="Maximum tokens per forward pass and GPU."
    ),
    click.option("--gradient-checkpointing", is_flag=True, help="Use less memory and a third more compute."),
]


def _machine(
    gpu: str,
    gpus: int,
    dtype: str,
    share: float | None,
    batch_tokens: int | None = None,
    gradient_checkpointing: bool = False,
) -> Machine:
    from xharness.hardware import ASSUMED_SHARE, BATCH_TOKENS, load_gpu
    from xharness.training.costs.estimate import Machine

    spec_sheet = load_gpu(gpu)
    chosen: Any = spec_sheet.best_dtype() if dtype == "auto" else dtype
    spec_sheet.rate(chosen)
    tokens = batch_tokens or BATCH_TOKENS["cuda"]
    return Machine(spec_sheet, gpus, chosen, tokens, gradient_checkpointing, share or ASSUMED_SHARE)


@plan.command("train")
@click.argument("tasks", metavar="TASK[,TASK...]|multitask")
@add_options([_encoder("--base"), *_MACHINE, *_TRAINING])
@click.option("--cap", type=click.IntRange(min=1), help="Several tasks: count at most so many examples of a task.")
@click.option("--temperature", type=click.FloatRange(0, min_open=True), help="Several tasks: sampling temperature.")
@AS_JSON
def plan_train(
    tasks: str, encoder: str, recipe: str, cap: int | None, temperature: float | None, as_json: bool, **machine: Any
) -> None:
    """Estimate the cost of `xharness train` with the same tasks."""
    from xharness.hardware import load_encoder
    from xharness.tasks.recipes import load_recipe
    from xharness.training.costs import report as costs_report

    shape, used = load_encoder(encoder), _machine(**machine)
    run = _intermediate(tasks, load_recipe(recipe), cap, temperature)
    if as_json:
        inputs = costs_report.inputs_json(encoder, shape, used, recipe)
        print_json({**inputs, "training": costs_report.runs_json([run], shape, used)})
        return
    _print(
        costs_report.title(encoder, shape, used, recipe),
        costs_report.mixture_table(run),
        costs_report.runs_table([run], shape, used),
        costs_report.training_notes([run], shape, used),
    )


@plan.command("tune")
@add_options([_TARGETS, _encoder("--base"), *_MACHINE, *_TRAINING, _SEEDS])
@AS_JSON
def plan_tune(targets: str, encoder: str, recipe: str, seeds: str, as_json: bool, **machine: Any) -> None:
    """Estimate the cost of `xharness eval --tune`, without evaluation."""
    from xharness.hardware import load_encoder
    from xharness.tasks.recipes import load_recipe
    from xharness.tasks.selection import select
    from xharness.training.costs import report as costs_report
    from xharness.training.costs import workload

    shape, used, times = load_encoder(encoder), _machine(**machine), _count(seeds)
    selection = select(split_names(targets) or [])
    runs = workload.tuning_runs(selection, load_recipe(recipe))
    untuned = [spec.name for spec in selection.specs if spec.train is None]
    if as_json:
        inputs = costs_report.inputs_json(encoder, shape, used, recipe)
        tuning = costs_report.runs_json(runs, shape, used, times)
        print_json({**inputs, "tuning": tuning, "nothing_to_tune": untuned})
        return
    _print(
        costs_report.title(encoder, shape, used, recipe),
        costs_report.runs_table(runs, shape, used, times) if runs else "",
        costs_report.training_notes(runs, shape, used),
        f"Nothing is tuned for: {', '.join(untuned)}." if untuned else "",
    )


@plan.command("eval")
@add_options([_TARGETS, _encoder("--model"), LANGUAGES, *_MACHINE])
@click.option(
    "--split", type=click.Choice(["test", "dev"]), default="test", show_default=True, help="Split to evaluate."
)
@AS_JSON
def plan_eval(targets: str, encoder: str, languages: str | None, split: Any, as_json: bool, **machine: Any) -> None:
    """Estimate the cost of evaluating a checkpoint with all its heads."""
    from xharness.hardware import load_encoder
    from xharness.tasks.selection import select
    from xharness.training.costs import report as costs_report
    from xharness.training.costs import workload

    shape, used = load_encoder(encoder), _machine(**machine)
    evaluations = workload.evaluations(select(split_names(targets) or []), split_names(languages), split)
    if as_json:
        evaluation = costs_report.evaluations_json(evaluations, shape, used)
        print_json({**costs_report.inputs_json(encoder, shape, used), "split": split, "evaluation": evaluation})
        return
    _print(
        costs_report.title(encoder, shape, used),
        costs_report.evaluations_table(evaluations, shape, used),
        costs_report.evaluation_notes(evaluations, used),
    )


@plan.command("all")
@add_options([_TARGETS, _encoder("--base"), *_MACHINE, *_TRAINING, _SEEDS])
@AS_JSON
def plan_all(targets: str, encoder: str, recipe: str, seeds: str, as_json: bool, **machine: Any) -> None:
    """Estimate the cost of the complete table of results.

    Covers training, tuning and evaluating all checkpoints. These are one checkpoint for each intermediate task and one
    for all of them, each tuned and evaluated on all targets.
    """
    from xharness.hardware import load_encoder
    from xharness.tasks.recipes import load_recipe
    from xharness.tasks.registry import MIXTURE, list_intermediate
    from xharness.tasks.selection import select
    from xharness.training.costs import report as costs_report
    from xharness.training.costs import workload

    shape, used, times, chosen = load_encoder(encoder), _machine(**machine), _count(seeds), load_recipe(recipe)
    selection = select(split_names(targets) or [])
    trained = [_intermediate(name, chosen, None, None) for name in (*list_intermediate(), MIXTURE)]
    tuned = workload.tuning_runs(selection, chosen)
    scored = workload.evaluations(selection, None, "test")
    if as_json:
        parts = {
            "training": costs_report.runs_json(trained, shape, used),
            "tuning_of_one": costs_report.runs_json(tuned, shape, used, times),
            "evaluation_of_one": costs_report.evaluations_json(scored, shape, used, times),
        }
        print_json({**costs_report.inputs_json(encoder, shape, used, recipe), **parts})
        return
    _print(
        costs_report.title(encoder, shape, used, recipe),
        costs_report.summary(trained, tuned, scored, shape, used, times),
        f"The {len(trained)} checkpoints:",
        costs_report.runs_table(trained, shape, used),
        "Tuning one of them:",
        costs_report.runs_table(tuned, shape, used, times),
        "Evaluating it:",
        costs_report.evaluations_table(scored, shape, used, times),
        costs_report.training_notes([*trained, *tuned], shape, used),
        costs_report.evaluation_notes(scored, used),
    )


def _print(*parts: str) -> None:
    click.echo("\n\n".join(part for part in parts if part))


def _intermediate(tasks: str, recipe: Any, cap: int | None, temperature: float | None) -> Run:
    """Return the run that trains one checkpoint on comma-separated tasks, or on the mixture of all."""
    from xharness.errors import UsageError
    from xharness.tasks import selection as tasks_selection
    from xharness.tasks.registry import MIXTURE, load_mixture
    from xharness.tasks.task_spec import MixtureSpec
    from xharness.training.costs import workload

    wanted = split_names(tasks) or []
    if not wanted:
        raise UsageError(f"No task was given. Give training sets, separated by commas, or {MIXTURE}.")
    if wanted == [MIXTURE]:
        return workload.mixture_run(load_mixture(MIXTURE), recipe, cap, temperature)
    if MIXTURE in wanted:
        raise UsageError(f"'{MIXTURE}' means all intermediate tasks. Give it without other tasks.")
    specs = [tasks_selection.resolve_training_set(name) for name in dict.fromkeys(wanted)]
    if len(specs) == 1:
        return workload.training_run(specs[0].name, specs, recipe)
    joint = MixtureSpec(name=MIXTURE, title="", tasks=[spec.name for spec in specs])
    return workload.training_run(
        "+".join(joint.tasks),
        specs,
        recipe,
        cap=joint.cap if cap is None else cap,
        temperature=joint.temperature if temperature is None else temperature,
    )


def _count(seeds: str) -> int:
    from xharness.errors import UsageError

    parts = split_names(seeds) or []
    if not parts or not all(seed.isdecimal() for seed in parts) or len(set(parts)) != len(parts):
        raise UsageError(f"--seeds is '{seeds}': give whole numbers, separated by commas, each once.")
    return len(parts)
