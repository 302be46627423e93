"""Is 0.5 low? Chance over the number of words, steadiness of explainers, and numbers on the scale between the two."""

from collections.abc import Iterable, Mapping

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from trusteq.alignment.overlap import PAPER_THRESHOLD
from trusteq.alignment.ranking import chance_jaccard
from trusteq.pages.figures import GREY
from trusteq.project import root
from trusteq.study.results import Results
from trusteq.study.sides import of_seed


def word_counts() -> pd.DataFrame:
    """Return how many pairs of SNLI's test split have so many words: counted, words, pairs.

    counted: "positions", as this project does, or "distinct words", as the authors' scripts do, SEP included.
    """
    return pd.read_csv(root() / "data" / "snli_word_counts.csv")


def chance_by_words(last: int = 60, *, k: int = 10) -> pd.DataFrame:
    """Return the chance level of texts of 1 to `last` words: words, chance."""
    words = np.arange(1, last + 1)
    return pd.DataFrame({"words": words, "chance": [chance_jaccard(int(n), k) for n in words]})


def mean_chance(counts: pd.DataFrame, *, k: int = 10) -> pd.DataFrame:
    """Return the mean over the pairs of SNLI, by way of counting: counted, mean_words, chance, always_1.

    always_1: the share of pairs with k words or fewer, whose top sets are always the same.
    """
    rows = []
    for counted, found in counts.groupby("counted", sort=False):
        share = found["pairs"] / found["pairs"].sum()
        chance = found["words"].map(lambda words: chance_jaccard(words, k))
        row = {"counted": counted, "mean_words": share @ found["words"], "chance": share @ chance}
        rows.append(row | {"always_1": share[found["words"] <= k].sum()})
    return pd.DataFrame(rows)


def steadiness_table(rows: Iterable[Mapping]) -> pd.DataFrame:
    """Return the benchmark's rows about an explainer's agreement with itself: method, passes allowed, Jaccard, used."""
    found = []
    for row in rows:
        kind, _, rest = row["row"].partition(" ")
        if kind == "steadiness" and row["value"] is not None:
            method, passes = rest.rsplit(" ", 1)
            found.append({"method": method, "passes": int(passes), "Jaccard": row["value"], "measured": row["what"]})
    return pd.DataFrame(found, columns=["method", "passes", "Jaccard", "measured"]).sort_values(["method", "passes"])


def on_the_scale(run: Results, *, seed: int, values: tuple[float, ...] = (0.5, PAPER_THRESHOLD)) -> pd.DataFrame:
    """Return where mean Jaccards would be on this run's scale: task, method, chance, ceiling, one column a value.

    Chance and ceiling are means over the pairs with the large model; nan where the ceiling is not above chance.
    """
    rows = []
    for task in run.experiment.tasks:
        pairs = of_seed(run, task, "alignment", seed=seed)
        for method, found in pairs[pairs["model_a"] == run.experiment.large].groupby("method", sort=False):
            chance, ceiling = found["chance"].mean(), found["ceiling"].mean()
            room = ceiling - chance if ceiling > chance else np.nan
            places = {f"{value:g} is": (value - chance) / room for value in values}
            rows.append({"task": task, "method": method, "chance": chance, "ceiling": ceiling} | places)
    return pd.DataFrame(rows)


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
