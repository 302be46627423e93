"""Calibration: accuracy against confidence, and where the confidence lies."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import pandas as pd

from trusteq.figures.base import GREY, colours


def reliability_diagram(table: pd.DataFrame, ax=None, *, color="C0", title: str = ""):
    """Draw accuracy against confidence by bin, the gap to the diagonal hatched.

    table: of `calibration.reliability_table`. A dot sits at the bin's mean confidence, its area the bin's share. With
    the columns low and high (`nullband.consistency_bars`), grey bars show where 95% of the dots of a perfectly
    calibrated model would be.
    """
    ax = ax or plt.gca()
    filled = table[table["count"] > 0]
    middle, width = (filled["lower"] + filled["upper"]) / 2, filled["upper"] - filled["lower"]
    ax.bar(middle, filled["accuracy"], width=width, color=color, alpha=0.45, edgecolor="white")
    gap = filled["accuracy"] - middle
    ax.bar(
        middle, gap, bottom=middle, width=width, facecolor="none", edgecolor="0.3", hatch="///", linewidth=0, alpha=0.6
    )
    if "low" in filled:
        ax.vlines(
            filled["confidence"], filled["low"], filled["high"], color="0.25", linewidth=3.5, alpha=0.45, zorder=2
        )
    ax.scatter(filled["confidence"], filled["accuracy"], s=10 + 200 * filled["share"], color=color, zorder=3)
    ax.plot([0, 1], [0, 1], color=GREY, linestyle="--", linewidth=1, zorder=2)
    ax.set(xlim=(0, 1), ylim=(0, 1), xlabel="confidence", ylabel="accuracy", title=title, aspect="equal")
    return ax


def confidence_histogram(table: pd.DataFrame, ax=None, *, color="C0", title: str = ""):
    """Draw the share of predictions per bin of confidence, with the mean confidence and the accuracy as lines."""
    ax = ax or plt.gca()
    middle, width = (table["lower"] + table["upper"]) / 2, table["upper"] - table["lower"]
    ax.bar(middle, table["share"], width=width, color=color, alpha=0.6, edgecolor="white")
    for column, style in (("confidence", "-"), ("accuracy", "--")):
        ax.axvline(
            (table["share"] * table[column].fillna(0)).sum(), color="0.2", linestyle=style, linewidth=1.2, label=column
        )
    ax.set(xlim=(0, 1), ylim=(0, 1), xlabel="confidence", ylabel="share of predictions", title=title)
    return ax


def error_intervals(
    found: pd.DataFrame, names: Mapping[str, str], models: Sequence[str], ax=None, *, score: str = "ece"
):
    """Draw one calibration score of every model and control with its 95% interval; the grey bar is its null band.

    found: of `tables.interval_scores`. names: titles of models and controls. models: of the experiment, for their
    colours; controls are black.
    """
    rows = found[found["score"] == score]
    ax = ax or plt.figure(figsize=(7, 1.0 + 0.33 * len(rows))).gca()
    chosen = colours(models)
    # A control far off would press the models together: it is cut, with an arrow and its value.
    widest = 1.3 * rows.loc[rows["model"].isin(models), ["value", "high", "null_high"]].max(axis=None)
    for y, row in enumerate(rows.itertuples()):
        color = chosen.get(row.model, "0.15")
        ax.barh(y, row.null_high - row.null_low, left=row.null_low, height=0.62, color="0.85")
        if row.value > widest:
            ax.plot(widest, y, ">", color=color, markersize=7, clip_on=False)
            ax.annotate(f"{row.value:.2f}", (widest, y), (-8, 0), textcoords="offset points", ha="right", va="center")
            continue
        ax.hlines(y, row.low, row.high, color=color, linewidth=2.2)
        ax.plot(row.value, y, "o", color=color, markersize=6)
    ax.set_yticks(range(len(rows)), [names[name] for name in rows["model"]])
    ax.set(xlim=(0, widest), ylim=(len(rows) - 0.4, -0.6), xlabel=score.replace("_", " ").replace("ece", "ECE"))
    ax.grid(axis="y", visible=False)
    return ax


def per_model(reliability: pd.DataFrame, draw, titles: Mapping[str, str]):
    """Draw one panel per model with `draw` (`reliability_diagram` or `confidence_histogram`); return the figure."""
    models = list(titles)
    columns = 2 if len(models) == 4 else min(3, len(models))
    rows = -(-len(models) // columns)
    figure, axes = plt.subplots(
        rows, columns, figsize=(3 * columns, 3.1 * rows), squeeze=False, sharex=True, sharey=True
    )
    for ax, model in zip(axes.flat, models, strict=False):
        draw(reliability[reliability["model"] == model], ax, color=colours(models)[model], title=titles[model])
        ax.label_outer()
    for ax in axes.flat[len(models) :]:
        ax.set_visible(False)
    handles, names = axes.flat[0].get_legend_handles_labels()
    if handles:
        figure.legend(handles, names, loc="outside upper center", ncols=len(handles))
    return figure
