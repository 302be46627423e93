"""Interpretability alignment: do two models find the same words important?

The score of one example is the Jaccard index of two top-k sets (paper, "alignment"). It has two anchors: what random
sets of the same sizes share (chance), and what the explainer shares with itself under another seed (ceiling).
"""

import math
from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from trusteq import estimates
from trusteq.alignment import ranking
from trusteq.alignment.ranking import Ranking
from trusteq.errors import DataError
from trusteq.estimates import Estimate
from trusteq.statistics import stream


@dataclass(frozen=True, eq=False)
class Alignment:
    """How far two models agree on the top words of the same examples.

    table: one row per example, in the order of `label`: id, jaccard and chance in [0, 1] (nan where neither side
    has a word), n_features (words of the example). mean, chance: of these columns; low, high: 95% interval of the mean
    over examples. ceiling: the explainer's agreement with itself, or None. undefined: number of examples where
    both sets are empty; they enter no mean. All are nan when no example is left.
    normalised: (mean - chance) / (ceiling - chance); None without a ceiling, nan where that is not above chance.
    normalised_low, normalised_high: its 95% interval, missing or nan as it is, and nan where it has no bounds, since
    the ceiling is not shown to be above chance. place: the same as an `Estimate`, with bounds at other levels. scale:
    what it is made of, by id: jaccard, chance and ceiling, nan where an example has none; or None.
    """

    table: pd.DataFrame
    mean: float
    low: float
    high: float
    chance: float
    ceiling: float | None
    undefined: int
    place: Estimate | None = None
    scale: pd.DataFrame | None = None

    @property
    def normalised(self) -> float | None:
        """Where the mean lies between chance, 0, and the ceiling, 1."""
        return None if self.place is None else self.place.value

    @property
    def normalised_low(self) -> float | None:
        """The lower end of its 95% interval."""
        return self._end(0)

    @property
    def normalised_high(self) -> float | None:
        """The upper end of its 95% interval."""
        return self._end(1)

    def _end(self, which: int) -> float | None:
        end = None if self.place is None else self.place.interval[which]
        return math.nan if end is not None and math.isinf(end) else end


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


def summarise(table: pd.DataFrame, *, ceiling: Ceiling, clusters: Clusters) -> Alignment:
    """Return the means of a table of scores (see `score`) over its examples, with intervals; the rest as in `align`."""
    defined = table.dropna(subset="jaccard").set_index("id")
    ((mean, low, high),) = mean_table(defined[["jaccard"]], clusters=clusters, within=(0, 1)).to_numpy().tolist()
    found = Alignment(table, mean, low, high, exact_mean(defined["chance"]), None, len(table) - len(defined))
    if ceiling is None:
        return found
    top = ceiling.mean if isinstance(ceiling, Alignment) else ceiling
    if top < 0 or top > 1:
        raise DataError(f"align: ceiling={top}; give a mean Jaccard, in [0, 1]")
    scale = _scale(defined[["jaccard", "chance"]], ceiling)
    return replace(
        found, ceiling=top, place=_on_scale(scale["jaccard"] - scale["chance"], scale, clusters), scale=scale
    )


def _scale(columns: pd.DataFrame, ceiling: Alignment | float) -> pd.DataFrame:
    if not isinstance(ceiling, Alignment):
        return columns.assign(ceiling=float(ceiling))
    itself = ceiling.table.dropna(subset="jaccard").set_index("id")["jaccard"]
    return columns.join(itself.rename("ceiling"), how="outer")


def further(near: Alignment, far: Alignment, *, clusters: Clusters = None) -> Estimate:
    """Return by how much further one alignment comes than another, from the other's chance, 0, to its ceiling, 1.

    near, far: of the same examples, the second with its ceiling. Its bounds are those of `estimates.ratio`.
    """
    lead = near.table.set_index("id")["jaccard"] - far.scale["jaccard"]
    return _on_scale(lead, far.scale, clusters)


def place_among(found: Alignment, ids: Collection, *, clusters: Clusters = None) -> Estimate:
    """Return where an alignment with a ceiling lies between chance and ceiling among some of its examples."""
    scale = found.scale[found.scale.index.isin(ids)]
    return _on_scale(scale["jaccard"] - scale["chance"], scale, clusters)


def _on_scale(above: pd.Series, scale: pd.DataFrame, clusters: Clusters) -> Estimate:
    """Return the mean of what lies above something, in units of what lies between chance and ceiling."""
    columns = scale.assign(above=above)
    if columns.empty or columns.isna().all().any():
        return Estimate(math.nan, lambda alpha: (-math.inf, math.inf), 0, 0, 0.0)
    # An example that one side lacks adds nothing to that side's sum, and the sum is over fewer.
    shares = (columns * (len(columns) / columns.notna().sum())).fillna(0.0)
    room, mean = shares["ceiling"] - shares["chance"], float(columns["jaccard"].mean())
    codes = cluster_codes(clusters, columns.index)
    return estimates.ratio(shares["above"], room, clusters=codes, reach=(mean, 1 - mean))


def mean_estimate(values: pd.Series, *, clusters: Clusters, within: tuple[float, float] = (-1, 1)) -> Estimate:
    """Return the mean of values by id, each `within` two numbers; clusters: as in `align`."""
    return estimates.mean(values, clusters=cluster_codes(clusters, values.index), within=within)


def mean_table(columns: pd.DataFrame, *, clusters: Clusters, within: tuple[float, float] = (-1, 1)) -> pd.DataFrame:
    """Return value, low, high by column: its mean over the examples and the 95% interval of it; nan without rows."""
    rows = [(exact_mean(of), *_interval(of, clusters, within)) for _, of in columns.items()]
    return pd.DataFrame(rows, columns=["value", "low", "high"], index=columns.columns, dtype=float)


def _interval(values: pd.Series, clusters: Clusters, within: tuple[float, float]) -> tuple[float, float]:
    if values.empty:
        return math.nan, math.nan
    return mean_estimate(values, clusters=clusters, within=within).interval


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
    Alignment varies with a and b over the same examples, whichever it covers; a number is taken as known.
    clusters: id -> cluster, such as the premise: what belongs together. seed: changes nothing, no interval is drawn.
    Raises DataError where `top_features` does, when a and b cover different examples or only one of them was made
    "as-released", for a ceiling outside [0, 1] and for an example without a cluster.
    """
    return aligned(Ranking(a, label), Ranking(b, label), k=k, ceiling=ceiling, clusters=clusters)


def aligned(a: Ranking, b: Ranking, *, k: int = 10, ceiling: Ceiling = None, clusters: Clusters = None) -> Alignment:
    """Compare two models as `align` does; a, b: their attributions, ranked for the same labels."""
    ranking.check_k(k)
    ranking.check_same_examples(a, b)
    table = score(a.ranked, b.ranked, n_features(a, b), k=k)
    return summarise(table, ceiling=ceiling, clusters=clusters)


def ceiling(of_a: Alignment, of_b: Alignment, *, clusters: Clusters = None) -> Alignment:
    """Return how far two models can agree at most: the mean of their agreements with themselves, example by example.

    of_a, of_b: each model with itself under another explainer seed, for the same examples. clusters: see `align`.

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
    return summarise(table.reset_index(), ceiling=None, clusters=clusters)


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
