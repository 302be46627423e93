"""Alignment taken apart: over the number of top words, by source of disagreement, and against known evidence."""

from collections.abc import Mapping

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.ticker import MaxNLocator

from trusteq.figures.base import GREY, colours

SOURCES = {"explainer seed": "#c9c9c9", "training seed": "#8fb8de", "model": "#c44e52"}


def alignment_curves(curves: pd.DataFrame, models: Mapping[str, str], ax=None, *, k: int | None = None):
    """Draw the mean Jaccard with the large model over k, one line a model, between chance and the large model's own.

    curves: of `tables.curve_table`, one method's. models: the titles of the models, the large one first. k: where a
    line marks the size in use. The grey area is chance, the black line the large model under another explainer seed.
    """
    ax = ax or plt.gca()
    of = dict(iter(curves.groupby("model_b", sort=False)))
    small = [name for name in models if name in of]
    chance = pd.concat([of[name] for name in small]).groupby("k")["chance"].mean()
    ax.fill_between(chance.index, 0, chance, color="0.88", linewidth=0, label="chance")
    ax.plot(of["reseeded"]["k"], of["reseeded"]["jaccard"], color="black", linestyle=":", label="itself, reseeded")
    if "retrained" in of:
        ax.plot(of["retrained"]["k"], of["retrained"]["jaccard"], color="black", linestyle="--", label="retrained")
    for name in small:
        color = colours(list(models))[name]
        ax.fill_between(of[name]["k"], of[name]["low"], of[name]["high"], color=color, alpha=0.13, linewidth=0)
        ax.plot(of[name]["k"], of[name]["jaccard"], color=color, label=models[name])
    if k is not None:
        ax.axvline(k, color=GREY, linewidth=1)
    ax.set(xlabel="k, words in each top set", ylabel="mean Jaccard", ylim=(0, 1.02), xlim=(1, curves["k"].max()))
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    return ax


def disagreement_sources(sources: pd.DataFrame, names: Mapping[str, str], ax=None):
    """Draw what the disagreement with the large model is made of, one stacked bar a pair; negative parts go left.

    sources: of `tables.source_table`, one method's. names: of models and controls.
    """
    ax = ax or plt.gca()
    parts = sources[sources["source"] != "total"]
    models = list(dict.fromkeys(parts["model_b"]))
    ends = {sign: np.zeros(len(models)) for sign in (False, True)}
    for source in (name for name in SOURCES if name in set(parts["source"])):
        found = parts[parts["source"] == source].set_index("model_b")["disagreement"]
        values = found.reindex(models, fill_value=0).to_numpy()
        left = np.where(values < 0, ends[True], ends[False])
        ax.barh(range(len(models)), values, left=left, color=SOURCES[source], label=source, height=0.6)
        for sign, side in ends.items():
            side += np.where((values < 0) == sign, values, 0)
    ax.set_yticks(range(len(models)), [names[name] for name in models])
    ax.axvline(0, color="0.25", linewidth=1)
    ax.set(xlabel="disagreement, 1 − Jaccard", ylim=(len(models) - 0.5, -0.5))
    ax.grid(axis="y", visible=False)
    return ax


def truth_intervals(truth: pd.DataFrame, names: Mapping[str, str], ax=None, *, xlabel: str):
    """Draw one measure against the truth for each model, by method, with 95% intervals; a tick is chance.

    truth: of `tables.truth_table`, one truth and measure. names: of models and controls.
    """
    ax = ax or plt.figure(figsize=(7, 1.2 + 0.36 * truth["model"].nunique())).gca()
    models, methods = list(dict.fromkeys(truth["model"])), list(truth["method"].unique())
    for place, (method, color) in enumerate(zip(methods, sns.color_palette("dark", len(methods)), strict=True)):
        rows = truth[truth["method"] == method]
        y = rows["model"].map(models.index).to_numpy() + 0.22 * (place - (len(methods) - 1) / 2)
        ax.hlines(y, rows["low"], rows["high"], color=color, linewidth=1.6)
        ax.plot(rows["value"], y, "o", color=color, markersize=5, label=method)
        ax.plot(rows["chance"], y, "|", color="0.25", markersize=9)
    ax.plot([], [], "|", color="0.25", markersize=9, label="chance")
    ax.set_yticks(range(len(models)), [names[name] for name in models])
    ax.set(xlim=(0, 1.02), ylim=(len(models) - 0.5, -0.5), xlabel=xlabel)
    ax.figure.legend(*ax.get_legend_handles_labels(), loc="outside upper center", ncols=4)
    return ax
