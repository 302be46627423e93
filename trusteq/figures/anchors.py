"""The two anchors of a Jaccard index: what chance gives, and how that depends on the number of words."""

import matplotlib.pyplot as plt
import pandas as pd

from trusteq.alignment import PAPER_THRESHOLD
from trusteq.figures.base import GREY


def chance_curve(chance: pd.DataFrame, ax=None, *, band: tuple[float, float], half: float = 0.5):
    """Draw the mean Jaccard of two random top-10 sets over the number of words, with the paper's range as a band.

    chance: of `tables.chance_by_words`: words, chance. band: lowest and highest mean that the paper reports.
    """
    ax = ax or plt.gca()
    ax.axhspan(*band, color="#e9c46a", alpha=0.35, linewidth=0, label="the paper's range")
    ax.plot(chance["words"], chance["chance"], color="0.15", marker="o", markersize=2.5, label="chance")
    ax.axhline(PAPER_THRESHOLD, color=GREY, linestyle="--", linewidth=1, label="the paper's cut, 0.7")
    ax.axhline(half, color=GREY, linestyle=":", linewidth=1, label=f"{half}")
    ax.set(ylabel="mean Jaccard", ylim=(0, 1.03))
    ax.legend(ncols=2, loc="upper right")
    return ax


def word_histogram(counts: pd.DataFrame, ax=None, *, last: int):
    """Draw how many words the pairs of SNLI have, in both ways of counting; pairs with more than `last` are left out.

    counts: of `tables.word_counts`: counted, words, pairs.
    """
    ax = ax or plt.gca()
    for (counted, rows), color in zip(counts.groupby("counted", sort=False), ("#3a6edc", "#eb8214"), strict=True):
        share = rows["pairs"] / rows["pairs"].sum()
        ax.step(rows["words"], share, where="mid", color=color, label=f"SNLI test, {counted}")
        ax.fill_between(rows["words"], share, step="mid", color=color, alpha=0.18, linewidth=0)
    ax.set(xlabel="words of the pair", ylabel="share of pairs", xlim=(1, last), ylim=(0, None))
    ax.legend(loc="upper right")
    return ax
