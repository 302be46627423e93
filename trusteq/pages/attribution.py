"""The page on attribution: what explaining took, and where the weight lies."""

import time
from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import pandas as pd

from trusteq.pages.figures import GREY, _gold


def attribution_cost(explained: Mapping[str, pd.DataFrame], seconds: Mapping[str, float]) -> pd.DataFrame:
    """Return by method: examples explained, skipped, cut and retokenised; words, passes and seconds per example."""
    rows = []
    for method, attributions in explained.items():
        n_examples = attributions["id"].nunique()
        words = attributions[["id", "segment", "position"]].drop_duplicates()
        rows.append(
            {
                "method": method,
                "explained": n_examples,
                "skipped": len(attributions.attrs["skipped"]),
                "cut": len(attributions.attrs["cut"]),
                "retokenised": attributions.attrs["retokenised"],
                "words_per_example": len(words) / max(n_examples, 1),
                "passes_per_example": attributions.attrs["passes"] / max(n_examples, 1),
                "seconds_per_example": seconds[method] / max(n_examples, 1),
            }
        )
    return pd.DataFrame(rows)


def beside_libraries(classifier, examples: pd.DataFrame, budgets: Mapping[str, int], *, seed: int) -> pd.DataFrame:
    """Return how far our weights are from those of the libraries on the same masks, and the seconds of both.

    budgets: n_samples of each method, "lime" or "shap". The libraries' compilation, once a process, is not counted.
    """
    from trusteq.attribution.explain import explain
    from trusteq.attribution.libraries import explain_with_library

    rows = []
    for method, n_samples in budgets.items():
        options = {"method": method, "n_samples": n_samples, "seed": seed}
        weights, seconds = [], []
        for way in (explain, explain_with_library):
            way(classifier, examples.head(1), **options)
            started = time.perf_counter()
            found = way(classifier, examples, **options)
            seconds.append(time.perf_counter() - started)
            weights.append(found.set_index(["id", "segment", "position", "label"])["weight"])
        row = {"method": method, "examples": len(examples), "largest_weight": weights[1].abs().max()}
        row["largest_difference"] = (weights[0] - weights[1]).abs().max()
        rows.append(row | {"seconds": seconds[0], "seconds_of_the_library": seconds[1]})
    return pd.DataFrame(rows)


def weight_by_rank(explained: Mapping[str, pd.DataFrame], test: pd.DataFrame, labels: Sequence[str], ax=None):
    """Draw the mean share of the absolute weight that the word of each rank carries, by method, for the gold label."""
    ax = ax or plt.gca()
    gold = _gold(test, labels)
    for method, table in explained.items():
        rows = table[table["label"] == table["id"].map(gold)].assign(size=lambda rows: rows["weight"].abs())
        rows = rows.assign(rank=rows.groupby("id")["size"].rank(ascending=False, method="first"))
        rows["share"] = rows["size"] / rows.groupby("id")["size"].transform("sum")
        mean = rows.groupby("rank")["share"].mean().head(20)
        ax.plot(mean.index, mean, marker="o", markersize=4, label=method)
    ax.axvline(10.5, color=GREY, linestyle="--", linewidth=1, label="edge of the top 10")
    ax.set(xlabel="rank of the word", ylabel="share of the absolute weight", ylim=(0, None), xticks=range(1, 21))
    ax.legend()
    return ax
