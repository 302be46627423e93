"""Interpretability alignment: do two models find the same words important?

The score of one example is the Jaccard index of two top-k sets (paper, "alignment"). It has two anchors: what random
sets of the same sizes share (chance), and what the explainer shares with itself under another seed (ceiling).
All that is public about alignment can be had from here.
"""

import numpy as np
import pandas as pd

from trusteq import agreement, topk
from trusteq.agreement import Alignment
from trusteq.breakdown import by_segment, curve, decompose
from trusteq.errors import DataError
from trusteq.statistics import stream
from trusteq.topk import chance_jaccard, jaccard, top_features

__all__ = [
    "PAPER_THRESHOLD",
    "Alignment",
    "align",
    "by_segment",
    "ceiling",
    "chance_jaccard",
    "curve",
    "decompose",
    "is_aligned",
    "jaccard",
    "random_features",
    "top_features",
]

PAPER_THRESHOLD = 0.7  # the paper's go / no-go rule: a mean Jaccard below it means not aligned


def is_aligned(mean: float) -> bool:
    """Return whether a mean Jaccard reaches the paper's threshold of 0.7; nan does not."""
    return bool(mean >= PAPER_THRESHOLD)


def align(
    a: pd.DataFrame,
    b: pd.DataFrame,
    *,
    k: int = 10,
    label: pd.Series,
    ceiling: Alignment | float | None = None,
    clusters: pd.Series | None = None,
    seed: int = 0,
) -> Alignment:
    """Compare the top-k words of two models, example by example, for the class that `label` names.

    a, b: attributions of the two models (see `top_features`) for the same examples; label: id -> class name.
    ceiling: the mean Jaccard, or the Alignment, of the explainer with itself under two seeds (see `ceiling`). An
    Alignment is resampled together with a and b, whatever examples it covers; a number is taken as known.
    clusters: id -> cluster, such as the premise, that the bootstrap draws as a whole; seed: of the bootstrap.
    Raises DataError where `top_features` does, when a and b cover different examples or only one of them was made
    "as-released", for a ceiling outside [0, 1] and for an example without a cluster.
    """
    topk.check_k(k)
    ranked_a, ranked_b, n_features = agreement.ranked_pair(a, b, label)
    table = agreement.score(ranked_a, ranked_b, n_features, k=k)
    return agreement.summarise(table, ceiling=ceiling, clusters=clusters, seed=seed)


def ceiling(of_a: Alignment, of_b: Alignment, *, clusters: pd.Series | None = None, seed: int = 0) -> Alignment:
    """Return how far two models can agree at most: the mean of their agreements with themselves, example by example.

    of_a, of_b: each model with itself under another explainer seed, for the same examples. clusters, seed: see `align`.

    Why both, and not the large model alone: with independent explainer seeds throughout, the expected Jaccard index is
    the inner product of the two models' mean sets, embedded by the Jaccard kernel, which is positive definite. So by
    Cauchy and Schwarz E J(a, b) is at most the geometric mean of E J(a, a') and E J(b, b'), hence at most their
    arithmetic mean, for any two models; two equal ones reach it. A noisy model beside a steady one can agree with it
    better than with itself, and would pass a ceiling of its own. Under common explainer seeds nothing of this holds.

    Raises DataError when the two cover different examples.
    Source: Spearman (1904) for the geometric mean as the bound of an attenuated agreement; Bouchard, Jousselme and Doré
    (2013), A Proof for the Positive Definiteness of the Jaccard Index Matrix, for the kernel.
    """
    first, second = of_a.table.set_index("id"), of_b.table.set_index("id")
    if set(first.index) != set(second.index):
        raise DataError("ceiling: the two models were explained on different examples; explain both on the same")
    second = second.reindex(first.index)
    table = first.assign(
        jaccard=(first["jaccard"] + second["jaccard"]) / 2,
        chance=(first["chance"] + second["chance"]) / 2,
        n_features=np.maximum(first["n_features"], second["n_features"]),
    )
    return agreement.summarise(table.reset_index(), ceiling=None, clusters=clusters, seed=seed)


def random_features(attributions: pd.DataFrame, *, seed: int) -> pd.DataFrame:
    """Return the same rows with standard normal weights: the control that knows nothing of model or text.

    Each example has its own stream, from (seed, id), so two tables of the same words under one seed are equal; take two
    seeds to compare random features with each other. Standard errors are dropped.
    """
    keys = attributions[["id", "label", "segment", "position", "word"]].reset_index(drop=True)
    keys = keys.astype({"id": str, "label": str, "word": str}).sort_values(list(keys))
    weights = np.empty(len(keys))
    for name, rows in keys.groupby("id", sort=False):
        weights[rows.index] = stream(seed, "random features", name).standard_normal(len(rows))
    return attributions.drop(columns="standard_error", errors="ignore").assign(weight=weights)
