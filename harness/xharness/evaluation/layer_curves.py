"""Tables and plots of scores by layer."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

from tabulate import tabulate

from xharness import files
from xharness.errors import OutputError
from xharness.evaluation.layers import Curve, Curves

HOW_TO_DRAW = "The plot needs matplotlib: run pip install 'xharness[plots]', then the same command again."


def table(curves: Curves) -> str:
    """Return a table of scores by layer and target, in percent, with the layer of the target's spec marked."""
    layers = sorted({layer for curve in curves.curves for layer in curve.layers})
    rows = [[str(layer), *(_cell(curve, layer) for curve in curves.curves)] for layer in layers]
    head = ["layer", *(curve.task for curve in curves.curves)]
    text = tabulate(rows, head, tablefmt="simple", disable_numparse=True, colalign=["right"] * len(head))
    notes = ["Layer 0 is the embeddings. * marks the layer of the target's spec for an encoder of this depth."]
    for curve in curves.curves:
        result = curve.layers[min(curve.layers)]
        if result.why:
            notes.append(f"{curve.task} is partial: {result.why}.")
    if curves.facts["split"] == "test":
        notes.append(
            "These are test scores: do not report the best of them. --layer dev chooses a layer on development data."
        )
    return "\n\n".join([text, "\n".join(notes)])


def _cell(curve: Curve, layer: int) -> str:
    if layer not in curve.layers:
        return "-"
    return f"{curve.layers[layer].mean['score']:.1f}{'*' if layer == curve.own else ''}"


def save(curves: Curves) -> list[Path]:
    """Write ``curve.json`` and, if matplotlib is installed, ``curve.svg`` and ``curve.png``; return their paths.

    Raises:
        OutputError: the folder cannot be written.
    """
    paths = [curves.folder / "curve.json"]
    files.write_json(paths[0], curves.to_json())
    if importlib.util.find_spec("matplotlib") is None:
        return paths
    figure = draw(curves)
    for ending in ("svg", "png"):
        path = curves.folder / f"curve.{ending}"
        part = path.with_suffix(f".part.{ending}")
        try:
            figure.savefig(part, dpi=200, bbox_inches="tight")
            part.replace(path)
        except OSError as error:
            raise OutputError(f"{path}: cannot be written: {error.strerror or error}.") from None
        paths.append(path)
    return paths


def draw(curves: Curves) -> Any:
    """Return a matplotlib figure: scores by layer, one line per target, the spec's layer marked by a ring."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    figure = Figure(figsize=(5.0, 3.2), layout="constrained")
    axes = figure.subplots()
    styles = ["-", "--", "-.", ":"]
    for index, curve in enumerate(curves.curves):
        layers = sorted(curve.layers)
        scores = [curve.layers[layer].mean["score"] for layer in layers]
        partial = any(not curve.layers[layer].complete for layer in layers)
        name = f"{curve.task}{' (partial)' if partial else ''}"
        line = axes.plot(layers, scores, styles[index % len(styles)], marker="o", markersize=3, label=name)[0]
        if curve.own in curve.layers:
            spec_score = curve.layers[curve.own].mean["score"]
            axes.plot([curve.own], [spec_score], "o", markersize=9, fillstyle="none", color=line.get_color())
    axes.set_xlabel("layer (0: embeddings; ring: the task's default)")
    axes.set_ylabel("score, %")
    axes.set_ylim(bottom=0)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(alpha=0.3, linewidth=0.5)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=8)
    # For a local checkpoint only the folder's name, for one on the Hub the complete name.
    name = curves.facts["model"] if curves.facts["model_sha"] else Path(curves.facts["model"]).name
    axes.set_title(name, fontsize=9, parse_math=False)
    return figure
