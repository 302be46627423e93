"""Alignment: how far pairs of models rely on the same words."""

from collections.abc import Iterator, Mapping

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns

from trusteq.alignment import PAPER_THRESHOLD
from trusteq.figures.base import GREY


def alignment_intervals(alignment: pd.DataFrame, names: Mapping[str, str], ax=None):
    """Draw the mean Jaccard of each pair with its 95% interval, between its chance level and its ceiling.

    alignment: of `tables.alignment_tables` or `control_table`, or rows of both. names: of models and controls. The
    dashed line is the paper's cut at 0.7.
    """
    ax = ax or plt.figure(figsize=(7, 1.2 + 0.42 * len(_pairs(alignment)))).gca()
    for row, y, color, label in _dots(alignment):
        ax.hlines(y, row.low, row.high, color=color, linewidth=1.6)
        ax.plot(row.jaccard, y, "o", color=color, markersize=5, label=label)
        ax.plot(row.chance, y, "|", color="0.25", markersize=9)
        ax.plot(row.ceiling, y, "d", color=color, markerfacecolor="white", markersize=4.5)
    ax.plot([], [], "|", color="0.25", markersize=9, label="chance")
    ax.plot([], [], "d", color="0.25", markerfacecolor="white", markersize=4.5, label="ceiling")
    ax.axvline(PAPER_THRESHOLD, color=GREY, linestyle="--", linewidth=1, label="the paper's cut, 0.7")
    return _rows(ax, alignment, names, xlim=(0, 1.02), xlabel="mean Jaccard of the top words")


def scale_intervals(alignment: pd.DataFrame, names: Mapping[str, str], ax=None, *, margin: float | None = None):
    """Draw each pair on the scale from chance, 0, to ceiling, 1, with its 95% interval.

    The rest is as in `alignment_intervals`. margin: how far below the ceiling counts as the same, drawn as a band. A
    pair without a place on the scale is left out; intervals are cut where the picture ends.
    """
    alignment = alignment[alignment["normalised"].notna()]
    ax = ax or plt.figure(figsize=(7, 1.2 + 0.42 * len(_pairs(alignment)))).gca()
    if margin is not None:
        ax.axvspan(1 - margin, 1, color="#1b7f4d", alpha=0.12, linewidth=0)
    for row, y, color, label in _dots(alignment):
        ax.hlines(y, row.normalised_low, row.normalised_high, color=color, linewidth=1.6)
        ax.plot(row.normalised, y, "o", color=color, markersize=5, label=label)
    for anchor in (0, 1):
        ax.axvline(anchor, color="0.25", linewidth=1)
    return _rows(ax, alignment, names, xlim=(-0.3, 1.3), xlabel="0: chance, 1: the explainer with itself")


def _pairs(alignment: pd.DataFrame) -> list[tuple[str, str]]:
    return list(dict.fromkeys(zip(alignment["model_a"], alignment["model_b"], strict=True)))


def _dots(alignment: pd.DataFrame) -> Iterator[tuple]:
    """Yield each row with its height, the colour of its method, and the method's name where it comes first."""
    pairs, methods = _pairs(alignment), list(alignment["method"].unique())
    palette = sns.color_palette("dark", len(methods))
    for method, color in zip(methods, palette, strict=True):
        shift = 0.22 * (methods.index(method) - (len(methods) - 1) / 2)
        for number, row in enumerate(alignment[alignment["method"] == method].itertuples()):
            yield row, pairs.index((row.model_a, row.model_b)) + shift, color, None if number else method


def _rows(ax, alignment: pd.DataFrame, names: Mapping[str, str], *, xlim: tuple[float, float], xlabel: str):
    pairs = _pairs(alignment)
    ax.set_yticks(range(len(pairs)), [f"{names[a]} – {names[b]}" for a, b in pairs])
    ax.set(xlim=xlim, xlabel=xlabel, ylim=(len(pairs) - 0.5, -0.5))
    ax.figure.legend(*ax.get_legend_handles_labels(), loc="outside upper center", ncols=5)
    return ax


def alignment_matrix(alignment: pd.DataFrame, titles: Mapping[str, str], ax=None, *, title: str = ""):
    """Draw the mean Jaccard of all pairs of models under one method as a matrix."""
    ax = ax or plt.gca()
    order = list(titles)
    means = alignment.groupby(["model_a", "model_b"])["jaccard"].mean()
    square = pd.DataFrame(np.nan, index=order[1:], columns=order[:-1])
    for (a, b), mean in means.items():
        square.loc[b, a] = mean
    square = square.rename(index=titles, columns=titles)
    sns.heatmap(square, vmin=0, vmax=1, annot=True, fmt=".2f", cmap="crest", linewidths=1, cbar=False, ax=ax)
    ax.set(title=title)
    ax.grid(False)
    ax.tick_params(axis="x", rotation=30)
    return ax


def jaccard_distribution(examples: pd.DataFrame, titles: Mapping[str, str], large: str, ax=None):
    """Draw how the Jaccard of single examples is spread, for each model against the large one."""
    ax = ax or plt.gca()
    rows = examples[examples["model_a"] == large].assign(model=lambda table: table["model_b"].map(titles))
    sns.boxplot(
        rows, x="jaccard", y="model", hue="method", palette="pastel", width=0.6, fliersize=0, ax=ax, linewidth=1
    )
    sns.stripplot(
        rows, x="jaccard", y="model", hue="method", palette="dark", dodge=True, size=3, alpha=0.6, legend=False, ax=ax
    )
    ax.axvline(rows["chance"].mean(), color="0.25", linewidth=1.2, label="mean chance")
    ax.axvline(PAPER_THRESHOLD, color=GREY, linestyle="--", linewidth=1, label="the paper's cut, 0.7")
    ax.set(xlim=(0, 1.02), xlabel=f"Jaccard with {titles[large]}, one dot an example", ylabel="")
    ax.get_legend().remove()
    ax.figure.legend(loc="outside upper center", ncols=4)
    return ax
