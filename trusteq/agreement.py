"""Agreement of two sides, example by example: scores of their top words, and what those amount to on average."""

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd

from trusteq import topk
from trusteq.errors import DataError
from trusteq.statistics import bootstrap_mean, bootstrap_means, interval, n_clusters, resampled_sums


@dataclass(frozen=True, eq=False)
class Alignment:
    """How far two models agree on the top words of the same examples.

    table: one row per example, in the order of `label`: id, jaccard and chance in [0, 1] (nan where neither side
    has a word), n_features (words of the example).
    mean: mean of jaccard; low, high: its 95% bootstrap interval over examples; chance: mean of the chance levels.
    ceiling: the explainer's agreement with itself, or None. normalised: (mean - chance) / (ceiling - chance), 0 at
    chance and 1 at the ceiling; None without a ceiling, nan where the ceiling is not above chance.
    undefined: number of examples where both sets are empty; they enter no mean. All are nan when no example is left.
    normalised_low, normalised_high: the 95% interval of normalised; nan where a bootstrap draw of the ceiling is not
    above chance, since the ratio then has no bounds.
    """

    table: pd.DataFrame
    mean: float
    low: float
    high: float
    chance: float
    ceiling: float | None
    normalised: float | None
    undefined: int
    normalised_low: float | None = None
    normalised_high: float | None = None


def ranked_pair(a: pd.DataFrame, b: pd.DataFrame, label: pd.Series) -> tuple[pd.Series, pd.Series, pd.Series]:
    """Return the ranked features of both models and the number of features, by example."""
    topk.check_same_examples(a, b)
    ranked_a, ranked_b = (topk.ranked_features(attributions, label=label) for attributions in (a, b))
    return ranked_a, ranked_b, topk.count_by_id(topk.features(a, b), label.index)


def score(ranked_a: pd.Series, ranked_b: pd.Series, n_features: pd.Series, *, k: int) -> pd.DataFrame:
    """Return id, jaccard, chance and n_features of each example, from the first k features of both sides."""
    tops = [(frozenset(a[:k]), frozenset(b[:k])) for a, b in zip(ranked_a, ranked_b, strict=True)]
    return pd.DataFrame(
        {
            "id": ranked_a.index,
            "jaccard": [topk.jaccard(a, b) for a, b in tops],
            "chance": [topk.chance_jaccard(n, len(a), len(b)) for n, (a, b) in zip(n_features, tops, strict=True)],
            "n_features": n_features.to_numpy(),
        }
    )


def summarise(
    table: pd.DataFrame, *, ceiling: Alignment | float | None, clusters: pd.Series | None, seed: int
) -> Alignment:
    """Return the means of a table of scores (see `score`) over its examples, with intervals; the rest as in `align`."""
    defined = table.dropna(subset="jaccard").set_index("id")
    mean, chance = exact_mean(defined["jaccard"]), exact_mean(defined["chance"])
    low = high = math.nan
    if len(defined):
        codes = cluster_codes(clusters, defined.index)
        low, high = bootstrap_mean(defined["jaccard"], clusters=codes, seed=seed)
    undefined = len(table) - len(defined)
    if ceiling is None:
        return Alignment(table, mean, low, high, chance, None, None, undefined)
    top = ceiling.mean if isinstance(ceiling, Alignment) else ceiling
    if top < 0 or top > 1:
        raise DataError(f"align: ceiling={top}; give a mean Jaccard, in [0, 1]")
    bounds = _normalised_interval(defined, ceiling, clusters=clusters, seed=seed)
    return Alignment(table, mean, low, high, chance, top, float(normalised(mean, chance, top)), undefined, *bounds)


def normalised(mean, chance, ceiling) -> np.ndarray:
    """Return where means lie between chance, 0, and the ceiling, 1; nan where the ceiling is not above chance."""
    room = np.subtract(ceiling, chance)
    return np.divide(np.subtract(mean, chance), room, out=np.full(np.shape(room), np.nan), where=room > 0)


def _normalised_interval(
    defined: pd.DataFrame, ceiling: Alignment | float, *, clusters: pd.Series | None, seed: int
) -> tuple[float, float]:
    """Return the interval of the normalised mean; examples that only one side has are drawn with the others."""
    if defined.empty:
        return math.nan, math.nan
    columns = defined[["jaccard", "chance"]].assign(n=1.0)
    if isinstance(ceiling, Alignment):
        itself = ceiling.table.dropna(subset="jaccard").set_index("id")["jaccard"]
        columns = columns.join(pd.DataFrame({"ceiling": itself, "n_ceiling": 1.0}), how="outer").fillna(0)
    codes = cluster_codes(clusters, columns.index)
    sums = resampled_sums(columns, clusters=codes, seed=seed).T
    with np.errstate(invalid="ignore"):  # a draw without any example of one side
        top = sums[3] / sums[4] if isinstance(ceiling, Alignment) else float(ceiling)
        draws = normalised(sums[0] / sums[2], sums[1] / sums[2], top)
    low, high = interval(draws, n=n_clusters(codes, len(columns)))
    return float(low), float(high)


def mean_intervals(columns: pd.DataFrame, *, clusters: pd.Series | None, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the 95% interval of the mean of each column, all from the same draws; nan without rows."""
    if columns.empty:
        return np.full((2, columns.shape[1]), np.nan)
    return bootstrap_means(columns, clusters=cluster_codes(clusters, columns.index), seed=seed)


def exact_mean(values: pd.Series) -> float:
    """Return the mean, nan without values; fsum is exact, so the order of the examples does not matter."""
    return math.fsum(values) / len(values) if len(values) else math.nan


def cluster_codes(clusters: pd.Series | None, ids: pd.Index) -> np.ndarray | None:
    """Return the number of the cluster of each example, None without clusters; raise DataError if one has none."""
    if clusters is None:
        return None
    if clusters.index.has_duplicates:
        twice = clusters.index[clusters.index.duplicated()][0]
        raise DataError(f"clusters: example {twice!r} occurs twice; give each id once")
    found = clusters.reindex(ids)
    if found.isna().any():
        raise DataError(f"clusters: example {found.index[found.isna()][0]!r} has none; give every example its cluster")
    return pd.factorize(found)[0]
