"""Compression: what each way keeps of the large model, and the frontier between accuracy, words and calibration."""

from collections.abc import Mapping

import matplotlib.pyplot as plt
import pandas as pd
import seaborn as sns

from trusteq.figures.base import GREY
from trusteq.figures.verdict import OUTCOME_COLOURS

# The measure, the value that its band is centred on, and the label of the axis.
PANELS = {
    "accuracy": (0, "accuracy, difference"),
    "normalised_alignment": (1, "alignment: 0 chance, 1 ceiling"),
    "ece": (0, "ECE, difference"),
}


def kept_panels(table: pd.DataFrame, names: Mapping[str, str], margins: Mapping[str, float]):
    """Draw each compressed model against the large one in accuracy, alignment and calibration; return the figure.

    table: rows of `tables.compression_table` of one method, without the large model; several seeds of a model share a
    row. names: titles. margins: by measure; what counts as the same is green. Colours are the outcomes.
    """
    models = list(dict.fromkeys(table["model"]))
    figure, axes = plt.subplots(1, 3, figsize=(9, 1.2 + 0.34 * len(models)), sharey=True)
    for ax, (measure, (centre, label)) in zip(axes, PANELS.items(), strict=True):
        ax.axvline(centre, color=GREY, linewidth=1)
        values = table[measure if centre else f"{measure}_difference"]
        for value, row in zip(values, table.to_dict("records"), strict=True):
            y, colour = models.index(row["model"]), OUTCOME_COLOURS[row[f"{measure}_outcome"]]
            y += 0.18 * (list(table.loc[table["model"] == row["model"], "seed"]).index(row["seed"]))
            ax.hlines(y, row[f"{measure}_low"], row[f"{measure}_high"], color=colour, linewidth=1.8)
            ax.plot(value, y, "o", color=colour, markersize=5)
        # Only less alignment counts against a model; in the other measures more does as well.
        end = ax.get_xlim()[1] if centre else margins[measure]
        ax.axvspan(centre - margins[measure], end, color=OUTCOME_COLOURS["equivalent"], alpha=0.12, linewidth=0)
        ax.set(xlabel=label)
        ax.grid(axis="y", visible=False)
    axes[0].set_yticks(range(len(models)), [names[name] for name in models])
    axes[0].set_ylim(len(models) - 0.5, -0.5)
    for outcome, colour in OUTCOME_COLOURS.items():
        axes[0].plot([], [], "o", color=colour, label=outcome)
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=3)
    return figure


def frontier(table: pd.DataFrame, names: Mapping[str, str], ax=None, *, x: str, xlabel: str):
    """Draw alignment over another column, one colour a model, a small dot for each training seed, a large one the mean.

    table: rows of `tables.compression_table` of one method, without the large model. names: titles.
    """
    ax = ax or plt.gca()
    models = list(dict.fromkeys(table["model"]))
    of = dict(zip(models, sns.color_palette("dark", len(models)), strict=True))
    for (name, rows), marker in zip(table.groupby("model", sort=False), "osD^vP*XhH<>" * 3, strict=False):
        points = rows[[x, "normalised_alignment"]]
        mean = points.mean()
        for point in points.to_numpy():
            ax.plot(*zip(mean, point, strict=True), color=of[name], linewidth=0.8, alpha=0.6)
        ax.plot(*points.to_numpy().T, marker, color=of[name], markersize=4, alpha=0.55, linestyle="none")
        shown = {"markersize": 9, "markeredgecolor": "white", "linestyle": "none"}
        ax.plot(*mean, marker, color=of[name], label=names[name], **shown)
    ax.set(xlabel=xlabel, ylabel="alignment: 0 chance, 1 ceiling")
    return ax


def gain_intervals(gains: pd.DataFrame, names: Mapping[str, str], ax=None):
    """Draw the gains of `tables.gain_table` with their 95% intervals, one colour a method; right of 0 is closer."""
    models, methods = list(dict.fromkeys(gains["model"])), list(dict.fromkeys(gains["method"]))
    ax = ax or plt.figure(figsize=(7, 1.2 + 0.5 * len(models))).gca()
    of = dict(zip(methods, sns.color_palette("dark", len(methods)), strict=True))
    for row in gains.itertuples():
        y = models.index(row.model) + 0.22 * (methods.index(row.method) - (len(methods) - 1) / 2)
        first = row.model == models[0]
        ax.hlines(y, row.low, row.high, color=of[row.method], linewidth=1.6)
        ax.plot(row.gain, y, "o", color=of[row.method], markersize=5, label=row.method if first else None)
    ax.axvline(0, color="0.25", linewidth=1)
    ax.set_yticks(range(len(models)), [names[name] for name in models])
    ax.set(ylim=(len(models) - 0.5, -0.5), xlabel="gain in mean Jaccard with the large model")
    ax.figure.legend(*ax.get_legend_handles_labels(), loc="outside upper center", ncols=5)
    return ax
