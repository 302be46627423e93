"""Interpretability alignment: do two models find the same words important?

The score of one example is the Jaccard index of two top-k sets (paper, "alignment"). It has two anchors: what random
sets of the same sizes share (chance), and what the explainer shares with itself under another seed (ceiling).
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from trusteq.alignment import ranking
from trusteq.alignment.ranking import Ranking
from trusteq.errors import DataError
from trusteq.statistics import bootstrap_mean, interval, n_clusters, resampled_sums, stream


@dataclass(frozen=True, eq=False)
class Alignment:
    """How far two models agree on the top words of the same examples.

    table: one row per example, in the order of `label`: id, jaccard and chance in [0, 1] (nan where neither side
    has a word), n_features (words of the example). mean, chance: of these columns; low, high: 95% bootstrap interval of
    mean, over examples. ceiling: the explainer's agreement with itself, or None. undefined: number of examples where
    both sets are empty; they enter no mean. All are nan when no example is left.
    normalised: (mean - chance) / (ceiling - chance); None without a ceiling, nan where that is not above chance.
    normalised_low, normalised_high: its 95% interval; nan where a draw of the ceiling is not above chance, since the
    ratio then has no bounds.
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


Ceiling = Alignment | float | None
Clusters = pd.Series | None  # id -> what the bootstrap draws as a whole


def n_features(a: Ranking, b: Ranking, *, segment: int | None = None) -> pd.Series:
    """Return the number of features of each example over both tables; segment: of one text of the pair alone."""
    both = [of_a | of_b for of_a, of_b in zip(a.features, b.features, strict=True)]
    if segment is not None:
        both = [[place for place in features if place[0] == segment] for features in both]
    return pd.Series(list(map(len, both)), index=a.label.index)


def score(ranked_a: Iterable, ranked_b: Iterable, n_features: pd.Series, *, k: int) -> pd.DataFrame:
    """Return id, jaccard, chance and n_features of each example, from the first k features of both sides."""
    tops = [(frozenset(a[:k]), frozenset(b[:k])) for a, b in zip(ranked_a, ranked_b, strict=True)]
    found = n_features.rename("n_features").rename_axis("id").reset_index()
    found.insert(1, "jaccard", [ranking.jaccard(a, b) for a, b in tops])
    chances = [ranking.chance_jaccard(n, len(a), len(b)) for n, (a, b) in zip(n_features, tops, strict=True)]
    found.insert(2, "chance", chances)
    return found


def summarise(table: pd.DataFrame, *, ceiling: Ceiling, clusters: Clusters, seed: int) -> Alignment:
    """Return the means of a table of scores (see `score`) over its examples, with intervals; the rest as in `align`."""
    defined = table.dropna(subset="jaccard").set_index("id")
    chance = exact_mean(defined["chance"])
    ((mean, low, high),) = mean_table(defined[["jaccard"]], clusters=clusters, seed=seed).to_numpy().tolist()
    found = Alignment(table, mean, low, high, chance, None, None, len(table) - len(defined))
    if ceiling is None:
        return found
    top = ceiling.mean if isinstance(ceiling, Alignment) else ceiling
    if top < 0 or top > 1:
        raise DataError(f"align: ceiling={top}; give a mean Jaccard, in [0, 1]")
    bounds = _normalised_interval(defined, ceiling, clusters=clusters, seed=seed)
    scale = {"ceiling": top, "normalised": float(normalised(mean, chance, top))}
    return replace(found, **scale, normalised_low=bounds[0], normalised_high=bounds[1])


def normalised(mean, chance, ceiling) -> np.ndarray:
    """Return where means lie between chance, 0, and the ceiling, 1; nan where the ceiling is not above chance."""
    room = np.subtract(ceiling, chance)
    return np.divide(np.subtract(mean, chance), room, out=np.full(np.shape(room), np.nan), where=room > 0)


def _normalised_interval(defined: pd.DataFrame, ceiling: Ceiling, *, clusters: Clusters, seed: int) -> list[float]:
    """Return the interval of the normalised mean; examples that only one side has are drawn with the others."""
    if defined.empty:
        return [math.nan, math.nan]
    columns = defined[["jaccard", "chance"]].assign(n=1.0)
    if isinstance(ceiling, Alignment):
        itself = ceiling.table.dropna(subset="jaccard").set_index("id")["jaccard"]
        columns = columns.join(pd.DataFrame({"ceiling": itself, "n_ceiling": 1.0}), how="outer").fillna(0)
    codes = cluster_codes(clusters, columns.index)
    sums = resampled_sums(columns, clusters=codes, seed=seed).T
    with np.errstate(invalid="ignore"):  # a draw without any example of one side
        top = sums[3] / sums[4] if isinstance(ceiling, Alignment) else float(ceiling)
        draws = normalised(sums[0] / sums[2], sums[1] / sums[2], top)
    return list(map(float, interval(draws, n=n_clusters(codes, len(columns)))))


def mean_intervals(columns: pd.DataFrame, *, clusters: Clusters, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the 95% interval of the mean of each column, all from the same draws; nan without rows."""
    if columns.empty:
        return np.full((2, columns.shape[1]), np.nan)
    return bootstrap_mean(columns, clusters=cluster_codes(clusters, columns.index), seed=seed)


def mean_table(columns: pd.DataFrame, *, clusters: Clusters, seed: int) -> pd.DataFrame:
    """Return value, low, high by column: its mean over the examples, and the interval of `mean_intervals`."""
    low, high = mean_intervals(columns, clusters=clusters, seed=seed)
    means = [exact_mean(columns[name]) for name in columns]
    return pd.DataFrame({"value": means, "low": low, "high": high}, index=columns.columns)


def exact_mean(values: pd.Series) -> float:
    """Return the mean, nan without values; fsum is exact, so the order of the examples does not matter."""
    return math.fsum(values) / len(values) if len(values) else math.nan


def cluster_codes(clusters: Clusters, ids: pd.Index) -> np.ndarray | None:
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
    ceiling: Ceiling = None,
    clusters: Clusters = None,
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
    return aligned(Ranking(a, label), Ranking(b, label), k=k, ceiling=ceiling, clusters=clusters, seed=seed)


def aligned(
    a: Ranking, b: Ranking, *, k: int = 10, ceiling: Ceiling = None, clusters: Clusters = None, seed: int = 0
) -> Alignment:
    """Compare two models as `align` does; a, b: their attributions, ranked for the same labels."""
    ranking.check_k(k)
    ranking.check_same_examples(a, b)
    table = score(a.ranked, b.ranked, n_features(a, b), k=k)
    return summarise(table, ceiling=ceiling, clusters=clusters, seed=seed)


def ceiling(of_a: Alignment, of_b: Alignment, *, clusters: Clusters = None, seed: int = 0) -> Alignment:
    """Return how far two models can agree at most: the mean of their agreements with themselves, example by example.

    of_a, of_b: each model with itself under another explainer seed, for the same examples. clusters, seed: see `align`.

    With independent explainer seeds throughout, no two models agree more in expectation, and two equal ones as much
    (proof: book/method.md). A noisy model can agree with a steady one better than with itself, and would pass a ceiling
    of its own. Under common explainer seeds nothing of this holds.

    Raises DataError when the two cover different examples.
    Source: Spearman (1904) for the geometric mean as the bound of an attenuated agreement; Bouchard, Jousselme and Doré
    (2013), A Proof for the Positive Definiteness of the Jaccard Index Matrix, for the kernel.
    """
    first, second = of_a.table.set_index("id"), of_b.table.set_index("id")
    if set(first.index) != set(second.index):
        raise DataError("ceiling: the two models were explained on different examples; explain both on the same")
    second = second.reindex(first.index)
    table = ((first + second) / 2).assign(n_features=np.maximum(first["n_features"], second["n_features"]))
    return summarise(table.reset_index(), ceiling=None, clusters=clusters, seed=seed)


def random_features(attributions: pd.DataFrame, *, seed: int) -> pd.DataFrame:
    """Return the same rows with standard normal weights: the control that knows nothing of model or text.

    Two tables of the same words are equal under one seed. Standard errors are dropped.
    """
    keys = attributions[["id", "label", "segment", "position", "word"]].reset_index(drop=True)
    keys = keys.astype({"id": str, "label": str, "word": str}).sort_values(list(keys))
    weights = np.empty(len(keys))
    for name, rows in keys.groupby("id", sort=False):
        weights[rows.index] = stream(seed, "random features", name).standard_normal(len(rows))
    return attributions.drop(columns="standard_error", errors="ignore").assign(weight=weights)
