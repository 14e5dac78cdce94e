"""Cost tables of `xharness plan`."""

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
    """Return the line above all tables: what is trained or scored, on what, and how."""
    weights = (
        f"{encoder.parameters / 1e6:,.0f} M weights, {encoder.layer_parameters / 1e6:,.0f} M of them in its layers"
    )
    how = [f"{machine.gpus} x {machine.gpu.title}", machine.dtype, *([f"recipe {recipe}"] if recipe else [])]
    return f"{name} ({weights}) on {', '.join(how)}"


def mixture_table(run: Run) -> str:
    """Return how a run of several training sets is made up."""
    body = [
        [
            part.task,
            _least(f"{part.examples:,}", part.examples_known) if part.examples else _UNKNOWN,
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
        name = _all(seeds, total["whole"])
        body.append([name, *([""] if tuned else []), *figures, _gb(total["memory_bytes"]), disk])
    head = ["steps", "sub-words", "FLOP", "ms a step", "time", "memory, GB", "disk / kept, GB"]
    return _table(body, ["run", *(["for"] if tuned else []), *head], left=2 if tuned else 1)


def _run_line(run: Run, cost: Cost, tuned: bool) -> list[str]:
    name = f"{run.name} (after {run.after})" if run.after else run.name
    figures = [_UNKNOWN] * 5
    if run.steps:
        step = f"{cost.step.matrix * 1e3:.1f} + {cost.step.optimizer * 1e3:.1f}"
        figures = [
            _least(f"{run.steps:,}", run.whole),
            _least(_big(run.tokens), run.whole),
            f"{cost.flop:.1e}",
            step,
            _least(_time(cost.seconds), run.whole),
        ]
    disk = f"{_gb(cost.disk)} / {_gb(cost.kept)}"
    return [name, *([" ".join(run.targets)] if tuned else []), *figures, _gb(cost.memory.total), disk]


def sum_of(runs: Sequence[Run], encoder: EncoderShape, machine: Machine, seeds: int = 1) -> dict[str, Any]:
    """Return the sums over runs that are made one after the other, each once per seed.

    Memory and the disk that a run needs only while it goes on are those of the largest.
    """
    found = [training_cost(run, encoder, machine) for run in runs]
    kept = seeds * sum(cost.kept for cost in found)
    return {
        "steps": seeds * sum(run.steps for run in runs),
        "tokens": seeds * sum(run.tokens for run in runs),
        "flop": seeds * sum(cost.flop for cost in found),
        "seconds": seeds * sum(cost.seconds for cost in found),
        "memory_bytes": max((cost.memory.total for cost in found), default=0),
        "disk_bytes": kept + max((cost.disk - cost.kept for cost in found), default=0),
        "kept_bytes": kept,
        "whole": all(run.whole for run in runs),
    }


def evaluations_table(found: Sequence[Evaluation], encoder: EncoderShape, machine: Machine, seeds: int = 1) -> str:
    """Return one line per target, and their sum; targets with tuned heads count once per seed."""
    body = []
    for each in found:
        known = bool(each.tokens)
        body.append(
            [
                each.target,
                str(each.languages),
                _least(f"{each.examples:,}", each.examples_known) if each.examples else _UNKNOWN,
                _least(_big(each.tokens), each.whole) if known else _UNKNOWN,
                _big(each.candidate_tokens) if each.candidate_tokens else "",
                _least(_time(evaluation_seconds(each, encoder, machine)), each.whole) if known else _UNKNOWN,
                _gb(each.vectors * encoder.hidden_size) if each.vectors else "",
            ]
        )
    total = evaluation_sum(found, encoder, machine, seeds)
    figures = [_big(total["tokens"]), _big(total["candidate_tokens"]), _time(total["seconds"])]
    body.append([_all(seeds, total["whole"]), "", "", *figures, _gb(total["largest_vectors_bytes"])])
    head = ["target", "languages", "examples", "sub-words", "of candidates", "time", "vectors, GB"]
    return _table(body, head, left=1)


def evaluation_sum(
    found: Sequence[Evaluation], encoder: EncoderShape, machine: Machine, seeds: int = 1
) -> dict[str, Any]:
    """Return the sums over targets that are scored one after the other, those with tuned heads once per seed."""

    def times(each: Evaluation) -> int:
        return seeds if each.tuned else 1

    return {
        "tokens": sum(times(each) * each.tokens for each in found),
        "candidate_tokens": sum(times(each) * each.candidate_tokens for each in found),
        "seconds": sum(times(each) * evaluation_seconds(each, encoder, machine) for each in found),
        "largest_vectors_bytes": max((each.vectors * encoder.hidden_size for each in found), default=0),
        "whole": all(each.whole for each in found),
    }


def summary(
    trained: Sequence[Run],
    tuned: Sequence[Run],
    scored: Sequence[Evaluation],
    encoder: EncoderShape,
    machine: Machine,
    seeds: int,
) -> str:
    """Return the times of one row of the table of scores, and of the whole table."""
    training = sum_of(trained, encoder, machine)
    tuning = sum_of(tuned, encoder, machine, seeds)
    scoring = evaluation_sum(scored, encoder, machine, seeds)
    rows = len(trained) + 1
    least = "" if tuning["whole"] and scoring["whole"] else "at least "
    one, every = (
        f"{least}{_time(n * tuning['seconds'])} of tuning, {_time(n * scoring['seconds'])} of evaluation"
        for n in (1, rows)
    )
    first = ("" if training["whole"] else "at least ") + _time(training["seconds"])
    return (
        f"One row of the table, with {_seeds(seeds)}: {one}.\n"
        f"All {rows} rows, of {len(trained)} checkpoints and the base: {every}, after {first} of training them."
    )


def training_notes(runs: Sequence[Run], encoder: EncoderShape, machine: Machine) -> str:
    """Return what has to be said below tables of runs."""
    lines = [
        "ms a step: matrix products + the optimiser's memory traffic, at the full rates of the data sheet.",
        f"Times are for {machine.share:.0%} of that bound: assumed, until a run here has told its own.",
        "FLOP and times take in evaluations on development data. Early stopping may end a run sooner.",
        f"Sub-words are real ones, not padding, estimated from mean characters ({CHARACTERS_PER_TOKEN} each).",
        "Not counted: downloading, reading and encoding data; talk between GPUs.",
    ]
    unsure = sorted({part.task for run in runs for part in run.parts if not part.whole})
    if unsure:
        lines.append(f"Sizes that are not confirmed: {', '.join(unsure)}.")
    most = max((training_cost(run, encoder, machine).memory.total for run in runs), default=0)
    if most > machine.gpu.memory_gb * 1e9:
        lines.append(
            f"This does not fit: {_gb(most)} GB of {machine.gpu.memory_gb:g} GB. Use a smaller --batch-tokens than "
            f"{machine.batch_tokens}, --gradient-checkpointing, or a larger GPU."
        )
    return "\n".join(lines)


def evaluation_notes(found: Sequence[Evaluation], machine: Machine) -> str:
    """Return what has to be said below the table of evaluations."""
    lines = [
        f"Evaluation: the forward passes at {machine.share:.0%} of the data sheet's matrix rate, which is assumed.",
        "Not counted: downloading, reading and encoding data; the search among vectors.",
    ]
    if unsure := [each.target for each in found if not each.whole]:
        lines.append(f"Sizes that are not confirmed: {', '.join(unsure)}.")
    return "\n".join(lines)


def inputs_json(name: str, encoder: EncoderShape, machine: Machine, recipe: str | None = None) -> dict[str, Any]:
    """Return what all numbers of a plan are made of."""
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
    """Return runs and their sum for machines; times in seconds, sizes in bytes, ``whole: false`` for least figures."""
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
        "whole": run.whole,
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
                "whole": part.whole,
            }
            for part in run.parts
        ],
    }


def evaluations_json(
    found: Sequence[Evaluation], encoder: EncoderShape, machine: Machine, seeds: int = 1
) -> dict[str, Any]:
    """Return evaluations and their sum for machines; times in seconds, sizes in bytes."""
    targets = [
        {
            "target": each.target,
            "languages": each.languages,
            "examples": each.examples,
            "tokens": each.tokens,
            "candidate_tokens": each.candidate_tokens,
            "row_length": each.length,
            "whole": each.whole,
            "seconds": evaluation_seconds(each, encoder, machine),
            "vectors_bytes": each.vectors * encoder.hidden_size,
            "times": seeds if each.tuned else 1,
        }
        for each in found
    ]
    return {"targets": targets, "total": evaluation_sum(found, encoder, machine, seeds)}


def _table(body: Iterable[Sequence[object]], head: Sequence[str], left: int) -> str:
    sides = ["left"] * left + ["right"] * (len(head) - left)
    return tabulate(body, head, tablefmt="simple", disable_numparse=True, colalign=sides)


def _seeds(number: int) -> str:
    return "1 seed" if number == 1 else f"{number} seeds"


def _all(seeds: int, whole: bool) -> str:
    return "in all" + (f", {_seeds(seeds)}" if seeds > 1 else "") + ("" if whole else ", at least")


def _least(text: str, whole: bool) -> str:
    return text if whole else f"≥ {text}"


def _big(number: float) -> str:
    """Return a number of sub-words as it is read in a table.

    >>> _big(41_551_000), _big(8_120)
    ('41.6 M', '8,120')
    """
    return f"{number / 1e6:,.1f} M" if number >= 1e6 else f"{number:,.0f}"


def _time(seconds: float) -> str:
    """Return a time in the unit that it is spoken of in.

    >>> _time(12), _time(660), _time(9000)
    ('12 s', '11 min', '2.5 h')
    """
    if seconds < 90:
        return f"{seconds:.0f} s" if seconds >= 1 else "under 1 s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _gb(size: float) -> str:
    return f"{size / 1e9:.1f}"
