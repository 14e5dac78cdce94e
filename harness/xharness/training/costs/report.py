"""Cost tables of `xharness plan`, for the terminal and as JSON with all their inputs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from tabulate import tabulate

from xharness.hardware import EncoderShape
from xharness.tasks.selection import CHARACTERS_PER_TOKEN
from xharness.training.costs.estimate import Cost, Machine, evaluation_seconds, training_cost
from xharness.training.costs.workload import Evaluation, Run

_UNKNOWN = "not known"


def title(name: str, encoder: EncoderShape, machine: Machine, recipe: str | None = None) -> str:
    """Return the title of all tables: encoder, machine and recipe."""
    weights = (
        f"{encoder.parameters / 1e6:,.0f} M weights, {encoder.layer_parameters / 1e6:,.0f} M of them in its layers"
    )
    how = [f"{machine.gpus} x {machine.gpu.title}", machine.dtype, *([f"recipe {recipe}"] if recipe else [])]
    return f"{name} ({weights}) on {', '.join(how)}"


def mixture_table(run: Run) -> str:
    """Return the training sets of a run with their shares of the steps."""
    body = [
        [
            part.task,
            _at_least(f"{part.examples:,}", part.examples_known) if part.examples else _UNKNOWN,
            part.settings.batch_size,
            f"{part.settings.epochs:g}",
            f"{part.share:.3f}" if part.examples else "-",
            f"{part.steps:,.0f}" if part.examples else "-",
        ]
        for part in run.parts
    ]
    return _table(body, ["training set", "examples", "batch", "epochs", "share", "steps"], left=1)


def runs_table(runs: Sequence[Run], encoder: EncoderShape, machine: Machine, seeds: int = 1) -> str:
    """Return one line per run, and their sum over all seeds where there is more than one."""
    tuned = any(run.targets for run in runs)
    body = [_run_line(run, training_cost(run, encoder, machine), tuned) for run in runs]
    total = sum_of(runs, encoder, machine, seeds)
    if len(runs) > 1 or seeds > 1:
        disk = f"{_gb(total['disk_bytes'])} / {_gb(total['kept_bytes'])}"
        figures = [f"{total['steps']:,}", _big(total["tokens"]), f"{total['flop']:.1e}", "", _time(total["seconds"])]
        name = _total(seeds, total["whole"])
        body.append([name, *([""] if tuned else []), *figures, _gb(total["memory_bytes"]), disk])
    head = ["steps", "tokens (est.)", "FLOP", "ms per step", "time", "memory, GB", "disk / kept, GB"]
    return _table(body, ["run", *(["for"] if tuned else []), *head], left=2 if tuned else 1)


def _run_line(run: Run, cost: Cost, tuned: bool) -> list[str]:
    name = f"{run.name} (after {run.after})" if run.after else run.name
    figures = [_UNKNOWN] * 5
    if run.steps:
        step = f"{cost.step.matrix * 1e3:.1f} + {cost.step.optimizer * 1e3:.1f}"
        figures = [
            _at_least(f"{run.steps:,}", run.sizes_known),
            _at_least(_big(run.tokens), run.sizes_known),
            f"{cost.flop:.1e}",
            step,
            _at_least(_time(cost.seconds), run.sizes_known),
        ]
    disk = f"{_gb(cost.disk)} / {_gb(cost.kept)}"
    return [name, *([" ".join(run.targets)] if tuned else []), *figures, _gb(cost.memory.total), disk]


def sum_of(runs: Sequence[Run], encoder: EncoderShape, machine: Machine, seeds: int = 1) -> dict[str, Any]:
    """Return the sums over runs that are done one after the other, each once per seed.

    Memory, and disk space that a run needs only while it runs, are those of the largest run.
    """
    costs = [training_cost(run, encoder, machine) for run in runs]
    kept = seeds * sum(cost.kept for cost in costs)
    return {
        "steps": seeds * sum(run.steps for run in runs),
        "tokens": seeds * sum(run.tokens for run in runs),
        "flop": seeds * sum(cost.flop for cost in costs),
        "seconds": seeds * sum(cost.seconds for cost in costs),
        "memory_bytes": max((cost.memory.total for cost in costs), default=0),
        "disk_bytes": kept + max((cost.disk - cost.kept for cost in costs), default=0),
        "kept_bytes": kept,
        "whole": all(run.sizes_known for run in runs),
    }


def evaluations_table(targets: Sequence[Evaluation], encoder: EncoderShape, machine: Machine, seeds: int = 1) -> str:
    """Return one line per target, and their sum; targets with tuned heads count once per seed."""
    body = []
    for target in targets:
        known = bool(target.tokens)
        body.append(
            [
                target.target,
                str(target.languages),
                _at_least(f"{target.examples:,}", target.examples_known) if target.examples else _UNKNOWN,
                _at_least(_big(target.tokens), target.sizes_known) if known else _UNKNOWN,
                _big(target.candidate_tokens) if target.candidate_tokens else "",
                _at_least(_time(evaluation_seconds(target, encoder, machine)), target.sizes_known)
                if known
                else _UNKNOWN,
                _gb(target.vectors * encoder.hidden_size) if target.vectors else "",
            ]
        )
    total = evaluation_sum(targets, encoder, machine, seeds)
    figures = [_big(total["tokens"]), _big(total["candidate_tokens"]), _time(total["seconds"])]
    body.append([_total(seeds, total["whole"]), "", "", *figures, _gb(total["largest_vectors_bytes"])])
    head = ["target", "languages", "examples", "tokens (est.)", "of candidates", "time", "vectors, GB"]
    return _table(body, head, left=1)


def evaluation_sum(
    targets: Sequence[Evaluation], encoder: EncoderShape, machine: Machine, seeds: int = 1
) -> dict[str, Any]:
    """Return the sums over targets that are scored one after the other, those with tuned heads once per seed."""

    def times(target: Evaluation) -> int:
        return seeds if target.tuned else 1

    return {
        "tokens": sum(times(target) * target.tokens for target in targets),
        "candidate_tokens": sum(times(target) * target.candidate_tokens for target in targets),
        "seconds": sum(times(target) * evaluation_seconds(target, encoder, machine) for target in targets),
        "largest_vectors_bytes": max((target.vectors * encoder.hidden_size for target in targets), default=0),
        "whole": all(target.sizes_known for target in targets),
    }


def summary(
    trained: Sequence[Run],
    tuned: Sequence[Run],
    scored: Sequence[Evaluation],
    encoder: EncoderShape,
    machine: Machine,
    seeds: int,
) -> str:
    """Return the time of one row of the score table, and of the complete table."""
    training = sum_of(trained, encoder, machine)
    tuning = sum_of(tuned, encoder, machine, seeds)
    scoring = evaluation_sum(scored, encoder, machine, seeds)
    rows = len(trained) + 1
    least = "" if tuning["whole"] and scoring["whole"] else "at least "
    one_row, all_rows = (
        f"{least}{_time(n * tuning['seconds'])} of tuning, {_time(n * scoring['seconds'])} of evaluation"
        for n in (1, rows)
    )
    before = ("" if training["whole"] else "at least ") + _time(training["seconds"])
    return (
        f"One row of the table, with {_seeds(seeds)}: {one_row}.\n"
        f"All {rows} rows, for {len(trained)} checkpoints and the base: {all_rows}, after {before} of training them."
    )


def training_notes(runs: Sequence[Run], encoder: EncoderShape, machine: Machine) -> str:
    """Return the notes below tables of runs."""
    lines = [
        "ms per step: matrix products + memory traffic of the optimizer, at the full rates of the data sheet.",
        f"Times assume that {machine.share:.0%} of that bound is reached; --share sets the share that a run measured.",
        "FLOP and times include evaluation on development data. Early stopping may end a run sooner.",
        f"Tokens are real ones, without padding, estimated from mean characters ({CHARACTERS_PER_TOKEN} per token).",
        "Not counted: downloading, reading and encoding data; communication between GPUs.",
    ]
    unsure = sorted({part.task for run in runs for part in run.parts if not part.sizes_known})
    if unsure:
        lines.append(f"Sizes that are not confirmed: {', '.join(unsure)}.")
    largest = max((training_cost(run, encoder, machine).memory.total for run in runs), default=0)
    if largest > machine.gpu.memory_gb * 1e9:
        lines.append(
            f"This does not fit: {_gb(largest)} GB of {machine.gpu.memory_gb:g} GB. Use a smaller --batch-tokens than "
            f"{machine.batch_tokens}, --gradient-checkpointing, or a larger GPU."
        )
    return "\n".join(lines)


def evaluation_notes(targets: Sequence[Evaluation], machine: Machine) -> str:
    """Return the notes below the table of evaluations."""
    lines = [
        f"Evaluation: forward passes at {machine.share:.0%} of the matrix rate of the data sheet, which is assumed.",
        "Not counted: downloading, reading and encoding data; the search over embeddings.",
    ]
    if unsure := [target.target for target in targets if not target.sizes_known]:
        lines.append(f"Sizes that are not confirmed: {', '.join(unsure)}.")
    return "\n".join(lines)


def inputs_json(name: str, encoder: EncoderShape, machine: Machine, recipe: str | None = None) -> dict[str, Any]:
    """Return the inputs of all numbers of a plan."""
    own = encoder.model_dump(mode="json", exclude={"names"})
    counted = {"layer_parameters": encoder.layer_parameters, "parameters": encoder.parameters}
    return {
        "encoder": {"name": name, **own, **counted},
        "gpu": {**machine.gpu.model_dump(mode="json"), "number": machine.gpus},
        "dtype": machine.dtype,
        "recipe": recipe,
        "batch_tokens": machine.batch_tokens,
        "gradient_checkpointing": machine.checkpointing,
        "share_of_bound": machine.share,
        "characters_per_token": CHARACTERS_PER_TOKEN,
    }


def runs_json(runs: Sequence[Run], encoder: EncoderShape, machine: Machine, seeds: int = 1) -> dict[str, Any]:
    """Return runs and their sum as JSON; times in seconds, sizes in bytes, ``whole: false`` for lower bounds."""
    return {
        "runs": [_run_json(run, training_cost(run, encoder, machine)) for run in runs],
        "seeds": seeds,
        "total": sum_of(runs, encoder, machine, seeds),
    }


def _run_json(run: Run, cost: Cost) -> dict[str, Any]:
    return {
        "name": run.name,
        "targets": list(run.targets),
        "after": run.after,
        "steps": run.steps,
        "tokens": run.tokens,
        "row_length": run.length,
        "whole": run.sizes_known,
        "flop": cost.flop,
        "matrix_seconds_per_step": cost.step.matrix,
        "optimiser_seconds_per_step": cost.step.optimizer,
        "seconds": cost.seconds,
        "state_bytes": cost.memory.state,
        "activation_bytes": cost.memory.activations,
        "disk_bytes": cost.disk,
        "kept_bytes": cost.kept,
        "training_sets": [
            {
                "name": part.task,
                "examples": part.examples,
                "rows_per_example": part.rows.number,
                "tokens_per_row": part.rows.length,
                "share": part.share,
                "steps": part.steps,
                "tokens": part.tokens,
                "dev_tokens": part.dev_tokens,
                "settings": part.settings.values,
                "whole": part.sizes_known,
            }
            for part in run.parts
        ],
    }


def evaluations_json(
    evaluations: Sequence[Evaluation], encoder: EncoderShape, machine: Machine, seeds: int = 1
) -> dict[str, Any]:
    """Return evaluations and their sum as JSON; times in seconds, sizes in bytes."""
    targets = [
        {
            "target": target.target,
            "languages": target.languages,
            "examples": target.examples,
            "tokens": target.tokens,
            "candidate_tokens": target.candidate_tokens,
            "row_length": target.length,
            "whole": target.sizes_known,
            "seconds": evaluation_seconds(target, encoder, machine),
            "vectors_bytes": target.vectors * encoder.hidden_size,
            "times": seeds if target.tuned else 1,
        }
        for target in evaluations
    ]
    return {"targets": targets, "total": evaluation_sum(evaluations, encoder, machine, seeds)}


def _table(body: Iterable[Sequence[object]], head: Sequence[str], left: int) -> str:
    sides = ["left"] * left + ["right"] * (len(head) - left)
    return tabulate(body, head, tablefmt="simple", disable_numparse=True, colalign=sides)


def _seeds(number: int) -> str:
    return "1 seed" if number == 1 else f"{number} seeds"


def _total(seeds: int, known: bool) -> str:
    return "total" + (f", {_seeds(seeds)}" if seeds > 1 else "") + ("" if known else ", at least")


def _at_least(text: str, known: bool) -> str:
    return text if known else f"≥ {text}"


def _big(number: float) -> str:
    """Return a number of tokens as tables show it.

    >>> _big(41_551_000), _big(8_120)
    ('41.6 M', '8,120')
    """
    return f"{number / 1e6:,.1f} M" if number >= 1e6 else f"{number:,.0f}"


def _time(seconds: float) -> str:
    """Return a time in seconds, minutes or hours.

    >>> _time(12), _time(660), _time(9000)
    ('12 s', '11 min', '2.5 h')
    """
    if seconds < 90:
        return f"{seconds:.0f} s" if seconds >= 1 else "under 1 s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _gb(size: float) -> str:
    return f"{size / 1e9:.1f}"
