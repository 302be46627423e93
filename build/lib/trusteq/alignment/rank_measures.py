"""Companions of the Jaccard index that see more than a set: the weights themselves, or their order."""

import math
from collections.abc import Callable

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from trusteq.alignment import ranking
from trusteq.alignment.overlap import cluster_codes, exact_mean
from trusteq.alignment.ranking import Ranking
from trusteq.statistics import bootstrap_mean

RBO_PERSISTENCE = 0.9


def weighted_jaccard(weights_a: ArrayLike, weights_b: ArrayLike) -> float:
    """Return the sum of the smaller over the sum of the larger absolute weights, each side scaled to sum to 1.

    In [0, 1]; 1 for the same shares. nan where a side weighs nothing. Source: Ruzicka (1958); Ioffe (2010).
    """
    a, b = (np.abs(np.asarray(weights, dtype=np.float64)) for weights in (weights_a, weights_b))
    if not (a.any() and b.any()):
        return math.nan
    a, b = a / a.sum(), b / b.sum()
    return float(np.minimum(a, b).sum() / np.maximum(a, b).sum())


def rbo(weights_a: ArrayLike, weights_b: ArrayLike) -> float:
    """Return the rank-biased overlap of two full rankings by absolute weight, extrapolated, p = 0.9.

    In [0, 1]; the first ten ranks carry 86% of its weight where there are more. Equal weights go by the order of the
    features. nan without features. Source: Webber, Moffat and Zobel (2010), equation 23, for rankings of one length.
    """
    n = len(np.asarray(weights_a))
    if not n:
        return math.nan
    # A feature is shared at every depth from the larger of its two ranks on.
    deeper = np.maximum(_ranks(weights_a), _ranks(weights_b))
    shared = np.cumsum(np.bincount(deeper, minlength=n))
    depths, p = np.arange(1, n + 1), RBO_PERSISTENCE
    return float(p**n + (1 - p) / p * np.sum(shared / depths * p**depths))


def spearman(weights_a: ArrayLike, weights_b: ArrayLike) -> float:
    """Return Spearman's correlation of the absolute weights, in [-1, 1]; equal weights share their mean rank.

    0 in expectation for unrelated weights. nan where a side has one weight throughout.
    """
    from scipy.stats import rankdata

    ranks = [rankdata(np.abs(weights)) for weights in (weights_a, weights_b)]
    return cosine(*(found - (len(found) + 1) / 2 for found in ranks))


def cosine(weights_a: ArrayLike, weights_b: ArrayLike) -> float:
    """Return the cosine of the signed weights, in [-1, 1]; nan where a side weighs nothing."""
    a, b = (np.asarray(weights, dtype=np.float64) for weights in (weights_a, weights_b))
    if not (a.any() and b.any()):
        return math.nan
    a, b = (side / np.abs(side).max() for side in (a, b))  # so that no square overflows, or vanishes
    return float(np.clip(a @ b / math.sqrt((a @ a) * (b @ b)), -1, 1))


# A companion takes the weights of one example's features, (features,) each, in the same order, and returns a number.
COMPANIONS: dict[str, Callable[[ArrayLike, ArrayLike], float]] = {
    "weighted_jaccard": weighted_jaccard,
    "rbo": rbo,
    "spearman": spearman,
    "cosine": cosine,
}


def companions(a: Ranking, b: Ranking, *, clusters: pd.Series | None = None, seed: int = 0) -> pd.DataFrame:
    """Return the mean of each companion over the examples: companion, value, low, high, undefined.

    a, b: attributions of two models, ranked for the same labels; clusters, seed: as in `alignment.align`. A word that
    only one of the models sees weighs 0 in the other. low, high: 95% interval; undefined: examples without the score,
    which enter no mean. Raises DataError where `align` does, and for attributions made "as-released".
    """
    scores = _scores(a, b)
    rows = []
    for name in COMPANIONS:
        defined = scores[name].dropna()
        low = high = math.nan
        if len(defined):
            low, high = bootstrap_mean(defined, clusters=cluster_codes(clusters, defined.index), seed=seed)
        undefined = len(scores) - len(defined)
        rows.append({"companion": name, "value": exact_mean(defined), "low": low, "high": high, "undefined": undefined})
    return pd.DataFrame(rows)


def _scores(a: Ranking, b: Ranking) -> pd.DataFrame:
    """Return every companion of every example: one row an id, one column a companion."""
    for side in (a, b):
        side.need_positions(who="companions")
    ranking.check_same_examples(a, b)
    sides = [side.rows.set_index(["code", "segment", "position"])["weight"] for side in (a, b)]
    weights = pd.concat(sides, axis=1, keys=["a", "b"]).fillna(0.0).sort_index()
    ends = np.cumsum(np.bincount(weights.index.get_level_values("code"), minlength=len(a.label)))[:-1]
    examples = np.split(weights.to_numpy(), ends)
    values = [[score(*example.T) for score in COMPANIONS.values()] for example in examples]
    return pd.DataFrame(values, index=a.label.index, columns=list(COMPANIONS))


def _ranks(weights: ArrayLike) -> np.ndarray:
    """Return the place of each feature, from 0, in the order of falling absolute weight."""
    order = np.argsort(-np.abs(np.asarray(weights, dtype=np.float64)), kind="stable")
    ranks = np.empty(len(order), dtype=np.int64)
    ranks[order] = np.arange(len(order))
    return ranks
