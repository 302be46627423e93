"""The verdict on a pair: each measure against its margin, and the alignment over the size of the top sets."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from trusteq.figures.base import GREY, colours

OUTCOME_COLOURS = {"equivalent": "#1b7f4d", "undecided": "#8a6d00", "not-equivalent": "#b3261e"}
_WIDEST = 4  # margins: intervals beyond are cut, with an arrow


def margin_intervals(dimensions: pd.DataFrame, titles: Mapping[str, str], ax=None):
    """Draw the difference of each measure with its 95% interval in units of its margin; the band is equivalence.

    dimensions: of `decision.Audit`, one row per measure. titles: of the measures, by name.
    """
    ax = ax or plt.figure(figsize=(7, 1.2 + 0.5 * len(dimensions))).gca()
    ax.axvspan(-1, 1, color="#1b7f4d", alpha=0.12, linewidth=0)
    for y, row in enumerate(dimensions.itertuples()):
        if not np.isfinite(row.difference):
            ax.annotate("cannot be measured on these texts", (0, y), ha="center", va="center", fontsize=9)
            continue
        value, low, high = (np.array([row.difference, row.low, row.high]) / (row.margin or np.nan)).tolist()
        colour = OUTCOME_COLOURS[row.outcome]
        ax.hlines(y, max(low, -_WIDEST), min(high, _WIDEST), color=colour, linewidth=2.4)
        if -_WIDEST <= value <= _WIDEST:
            ax.plot(value, y, "o", color=colour, markersize=7)
        for end, beyond in ((-_WIDEST, low < -_WIDEST), (_WIDEST, high > _WIDEST)):
            if beyond:
                ax.plot(end, y, marker="<" if end < 0 else ">", color=colour, markersize=8, clip_on=False)
    ax.axvline(0, color=GREY, linewidth=1)
    ax.set_yticks(range(len(dimensions)), [titles[name] for name in dimensions["measure"]])
    ax.set(xlim=(-_WIDEST, _WIDEST), ylim=(len(dimensions) - 0.5, -0.5))
    ax.set(xlabel="difference (compressed − large) in units of the margin")
    ax.grid(axis="y", visible=False)
    return ax


def verdict_panels(found: pd.DataFrame, names: Mapping[str, str], titles: Mapping[str, str]):
    """Draw `margin_intervals` for each model of one task, one panel a model; return the figure.

    found: of `tables.all_verdicts`, one task and one method. names: of models and controls. titles: of the measures.
    """
    models = list(dict.fromkeys(found["model"]))
    rows = -(-len(models) // 2)
    figure, axes = plt.subplots(rows, 2, figsize=(8, 0.6 + 1.95 * rows), squeeze=False, sharex=True, sharey=True)
    for ax, model in zip(axes.flat, models, strict=False):
        measures = found[found["model"] == model]
        margin_intervals(measures, titles, ax)
        ax.set_title(f"{names[model]}\n{measures['verdict'].iloc[0]}")
        ax.set_xlabel("")
    for ax in axes.flat[len(models) :]:
        ax.set_visible(False)
    figure.supxlabel("difference (smaller − large) in units of the margin", fontsize=10)
    return figure


def trust_plane(plane: pd.DataFrame, names: Mapping[str, str], models: Sequence[str], ax=None, *, box: tuple):
    """Draw each model by its change in calibration error and its alignment with the large one, with 95% intervals.

    plane: of `tables.plane_table`, one task and one method. models: of the experiment, for their colours; controls are
    grey. box: the margins (of the change, either way; of the alignment, below 1) that count as the same, drawn green.
    """
    ax = ax or plt.gca()
    chosen, markers = colours(list(models)), iter("sD^vP*")
    ax.axvspan(-box[0], box[0], ymin=0, ymax=1, color="#1b7f4d", alpha=0.05, linewidth=0)
    ax.fill_between([-box[0], box[0]], 1 - box[1], 1.35, color="#1b7f4d", alpha=0.14, linewidth=0)
    for row in plane.itertuples():
        color = chosen.get(row.model, "0.35")
        ax.hlines(row.y, row.x_low, row.x_high, color=color, linewidth=1.2)
        ax.vlines(row.x, row.y_low, row.y_high, color=color, linewidth=1.2)
        marker = "o" if row.model in chosen else next(markers)
        ax.plot(row.x, row.y, marker, color=color, markersize=7, linestyle="none", label=names[row.model])
    for anchor in (0, 1):
        ax.axhline(anchor, color="0.25", linewidth=0.8)
    ax.axvline(0, color=GREY, linewidth=1)
    ax.set(xlabel="change in ECE", ylabel="alignment: 0 chance, 1 ceiling", ylim=(-0.35, 1.35))
    return ax


def alignment_curve(curve: pd.DataFrame, ax=None, *, color="C0", label: str = "the pair", k: int | None = None):
    """Draw the mean Jaccard over the size k of the top sets, with its 95% interval, above the chance level.

    curve: of `alignment.curve`: k, jaccard, low, high, chance. k: where a line marks the size in use.
    """
    ax = ax or plt.gca()
    ax.fill_between(curve["k"], 0, curve["chance"], color="0.9", linewidth=0)
    ax.plot(curve["k"], curve["chance"], color="0.45", linewidth=1.2, label="chance")
    ax.fill_between(curve["k"], curve["low"], curve["high"], color=color, alpha=0.25, linewidth=0)
    ax.plot(curve["k"], curve["jaccard"], color=color, marker="o", markersize=3, label=label)
    if k is not None:
        ax.axvline(k, color=GREY, linestyle="--", linewidth=1)
    ax.set(xlabel="k, words in each top set", ylabel="mean Jaccard", ylim=(0, 1), xlim=(1, curve["k"].max()))
    ax.legend(loc="lower right")
    return ax
