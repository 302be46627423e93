"""The rows that support or contradict a claim."""

from collections.abc import Mapping, Sequence
from itertools import cycle

import matplotlib.pyplot as plt
import pandas as pd

from trusteq.figures.base import GREY
from trusteq.tables.claims import CONTRADICTS, OPEN, SUPPORTS

VERDICT_COLOURS = {SUPPORTS: "#1f4e9e", CONTRADICTS: "#c2590a", OPEN: "0.45"}
_MARKERS = {SUPPORTS: "o", CONTRADICTS: "s", OPEN: "D"}
_LINE_STYLES = ("--", ":")


def claim_intervals(rows: pd.DataFrame, ax=None, *, lines: Mapping[str, Sequence[float]], xlabel: str):
    """Draw the estimate of each row of a claim with its 95% interval, coloured and shaped by what it says of the claim.

    rows: of a function of `tables.claims`. lines: values to compare with, by their names.
    """
    ax = ax or plt.figure(figsize=(7, 1.2 + 0.26 * len(rows))).gca()
    for verdict, of in rows.reset_index(drop=True).groupby("verdict", sort=False):
        color = VERDICT_COLOURS[verdict]
        ax.hlines(of.index, of["low"], of["high"], color=color, linewidth=1.6)
        ax.plot(of["estimate"], of.index, _MARKERS[verdict], color=color, markersize=5, label=verdict)
    for (name, values), style in zip(lines.items(), cycle(_LINE_STYLES), strict=False):
        for place, value in enumerate(values):
            ax.axvline(value, color=GREY, linestyle=style, linewidth=1, label=None if place else name)
    ends = rows["data"].ne(rows["data"].shift()).to_numpy().nonzero()[0]
    for start in ends[1:]:
        ax.axhline(start - 0.5, color="0.8", linewidth=0.8)
    several = rows["data"].nunique() > 1
    ax.set_yticks(range(len(rows)), [f"{row.what}{f' ({row.data})' * several}" for row in rows.itertuples()])
    ax.set(ylim=(len(rows) - 0.5, -0.5), xlabel=xlabel)
    ax.grid(axis="y", visible=False)
    ax.figure.legend(*ax.get_legend_handles_labels(), loc="outside upper center", ncols=4)
    return ax
