"""Tables and loss curves of a training run."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from tabulate import tabulate

from xharness.checkpoints.training_record import CURVE, Record
from xharness.data.formats import text as formats_text
from xharness.errors import OutputError
from xharness.training.plan import MLM, TrainingPlan


def plan_table(plan: TrainingPlan) -> str:
    """Return the plan of a run as text for a terminal: tasks, probabilities, steps, settings and their origin."""
    sizes = _sizes(plan)
    rows = [
        [row["task"], row["units"], row["batch"], f"{row['probability']:.3f}", row["steps"], _source(plan, row["task"])]
        for row in plan.table(sizes)
    ]
    total = plan.steps(sizes)
    several = any(part.spec.kind in ("span_qa", "tagging") for part in plan.parts) and plan.options.max_steps is None
    lines = [
        tabulate(
            rows,
            ["task", "examples", "batch", "probability", "steps", "data"],
            intfmt=",",
            colalign=("left", "right", "right", "right", "right", "left"),
            disable_numparse=[3],
        ),
        "",
        f"{total:,} optimizer steps on {plan.checkpoint.name} @{plan.checkpoint.id[:12]}, seed {plan.options.seed}."
        + (" Long texts become several units each, so there may be more." if several else ""),
    ]
    lines += [f"Recipe {plan.settings.recipe}: {settings_line(plan)}"]
    lines += [f"{task} is left out: {why}" for task, why in plan.left_out.items()]
    return "\n".join(lines)


def settings_line(plan: TrainingPlan) -> str:
    """Return the optimizer settings in a line; a setting that is not from the recipe's source has its origin added."""
    settings = plan.settings
    shown = []
    for name in ("learning_rate", "epochs", "warmup", "weight_decay", "max_length", "eval_every", "patience"):
        origin = settings.origins.get(name, settings.recipe)
        mark = "" if origin == settings.recipe else f" ({origin})"
        if getattr(settings, name) is not None:
            shown.append(f"{name.replace('_', ' ')} {getattr(settings, name):g}{mark}")
    return ", ".join(shown) + "."


def plan_json(plan: TrainingPlan) -> dict[str, Any]:
    """Return what ``--dry-run --json`` prints."""
    sizes = _sizes(plan)
    return {
        "request": plan.request(),
        "steps": plan.steps(sizes),
        "tasks": plan.table(sizes),
        "left_out": dict(plan.left_out),
        "data": {part.name: [asdict(source) for source in part.train.parts] for part in plan.parts},
    }


def record_table(record: Record, folder: Path) -> str:
    """Return the result of a run as text for a terminal."""
    first = next(iter(record.selections.values()), {})
    best = next((e for e in record.evaluations if e["step"] == first.get("step")), None)
    rows = []
    for name, dev_set in record.probes.items():
        value = None if best is None else best["scores"].get(name, {}).get("score")
        rows.append([name, dev_set["metric"], value, dev_set["chance"], f"{dev_set['n']:,} of {dev_set['of']:,}"])
    lines = [f"{folder}: {record.status}" + (f" ({record.reason})" if record.reason else "")]
    if rows:
        lines += [
            "",
            tabulate(
                rows, ["development set", "metric", "score", "chance", "examples"], floatfmt=".1f", missingval="-"
            ),
        ]
    lines += [
        "",
        f"{record.steps:,} of {record.planned_steps:,} steps, seed {record.seed}, checkpoint of step "
        f"{first.get('step', '-')}; {record.tokens:,} tokens in {record.seconds:,.0f} s, "
        f"{record.tokens_per_second:,.0f} tokens/s on {record.hardware['device']}.",
    ]
    if "share_of_bound" in record.hardware:
        speed = record.hardware
        lines.append(
            f"{speed['gpu']}: {1000 * speed['seconds_per_step']:.1f} ms per step, at least "
            f"{1000 * speed['bound_seconds_per_step']:.1f} by its data sheet ({speed['share_of_bound']:.0%} of the "
            f"bound); model FLOPs utilization {speed['utilisation']:.1%}."
        )
    lines += [f"Seed {a['seed']} {a['status']}: {a['reason']}" for a in record.attempts]
    return "\n".join([*lines, *record.notes])


def record_json(record: Record, folder: Path) -> dict[str, Any]:
    """Return what ``--json`` prints of a run; losses and evaluations are in training.json."""
    content = asdict(record)
    for name in ("losses", "evaluations", "request"):
        del content[name]
    return {"folder": str(folder), **content}


def _sizes(plan: TrainingPlan) -> dict[str, int]:
    sizes = {part.name: len(part.train.examples) for part in plan.parts}
    if plan.options.mlm is not None:
        sizes[MLM] = sum(1 for _, line in formats_text.read_lines(plan.options.mlm) if line.strip())
    return sizes


def _source(plan: TrainingPlan, task: str) -> str:
    for part in plan.parts:
        if part.name == task:
            sources = dict.fromkeys(
                f"{s.source} {s.language}" + (f" {s.status}" if s.status in ("sample", "stand-in") else "")
                for s in part.train.parts
            )
            return ", ".join(sources)
    return str(plan.options.mlm)


def draw(record: Record, folder: Path) -> Path | None:
    """Plot losses and development scores and return the path; None where matplotlib is not installed."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        return None
    figure = Figure(figsize=(7.0, 5.0), layout="constrained")
    loss_axes, score_axes = figure.subplots(2, 1, sharex=True)
    for number, task in enumerate(record.mixture):
        points = [(step, loss) for step, name, loss, _ in record.losses if name == task]
        if points:
            x, y = zip(*points, strict=True)
            style = {"color": f"C{number % 10}", "linestyle": "-" if number < 10 else "--", "linewidth": 1.0}
            loss_axes.plot(x, y, label=task, **style)
    loss_axes.set_ylabel("training loss")
    loss_axes.set_ylim(bottom=0)
    for number, name in enumerate(record.probes):
        points = [(e["step"], e["scores"][name]["score"]) for e in record.evaluations if name in e["scores"]]
        if points:
            x, y = zip(*points, strict=True)
            style = {"color": f"C{number % 10}", "linestyle": "-" if number < 10 else "--", "linewidth": 1.0}
            score_axes.plot(x, y, marker="o", markersize=3, label=name, **style)
    first = next(iter(record.selections.values()), None)
    if first is not None and isinstance(first.get("step"), int):
        score_axes.axvline(first["step"], color="0.5", linewidth=0.8, linestyle=":")
    score_axes.set_ylabel("development score (%)")
    score_axes.set_xlabel("optimizer step")
    for axes in (loss_axes, score_axes):
        axes.spines[["top", "right"]].set_visible(False)
        if axes.get_legend_handles_labels()[0]:
            axes.legend(fontsize=7, frameon=False, ncols=2)
    path, part = folder / CURVE, folder / f".{CURVE}.part"
    try:
        FigureCanvasAgg(figure).print_png(part)
        part.replace(path)
    except OSError as error:
        raise OutputError(f"{path}: cannot be written: {error.strerror or error}.") from None
    return path
