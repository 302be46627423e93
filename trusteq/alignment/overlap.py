"""Interpretability alignment: do two models find the same words important?

The score of one example is the Jaccard index of two top-k sets (paper, "alignment"). It has two anchors: what random
sets of the same sizes share (chance), and what the explainer shares with itself under another seed (ceiling).
"""

import math
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import pandas as pd

from trusteq import estimates
from trusteq.alignment import ranking
from trusteq.alignment.ranking import Ranking, codes_of
from trusteq.blocks import Stored
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


EXAMPLE, _TEXT = 40, 32  # bits below which a feature's number has its example, its text; the rest is its position


class Tops(NamedTuple):
    """Features by their numbers, and the rank of each within its example, from 0."""

    features: np.ndarray
    ranks: np.ndarray


@dataclass(frozen=True, eq=False)
class Shared:
    """What two rankings of the same examples have and share.

    sides: the rankings. tops: the features that weigh something on both sides, with the worse of their two ranks, then
    those of either. features: all of either side, whatever the class.
    """

    sides: tuple[Ranking, Ranking]
    tops: tuple[Tops, Tops, Tops]
    features: np.ndarray

    @classmethod
    def of(cls, a: Ranking, b: Ranking) -> "Shared":
        """Return what two rankings share, in one numbering of their features."""
        words = None
        if a.is_as_released:
            words = pd.Index(pd.concat([side.attributions["word"].astype(str) for side in (a, b)]).unique())
        tops, every = [_tops(side, words) for side in (a, b)], [_features(side, words) for side in (a, b)]
        shared, in_a, in_b = np.intersect1d(tops[0].features, tops[1].features, assume_unique=True, return_indices=True)
        both = Tops(shared, np.maximum(tops[0].ranks[in_a], tops[1].ranks[in_b]))
        features = every[0] if np.array_equal(*every) else distinct(np.concatenate(every))
        return cls((a, b), (both, *tops), features)

    @property
    def n_segments(self) -> int:
        """How many texts an example has at most."""
        return int((self.features >> _TEXT & 0xFF).max(initial=0)) + 1

    def counts(self, k: int, *, segment: int | None = None) -> np.ndarray:
        """Return of each example how many features both top-k sets share, each has, and there are: shape (n, 4).

        segment: count those of one text alone.
        """
        found = [top.features[top.ranks < k] for top in self.tops]
        return np.stack([self._by_example(features, segment) for features in (*found, self.features)], axis=1)

    def _by_example(self, features: np.ndarray, segment: int | None) -> np.ndarray:
        chosen = features if segment is None else features[features >> _TEXT & 0xFF == segment]
        return np.bincount(chosen >> EXAMPLE, minlength=len(self.sides[0].label))


def numbers(rows: pd.DataFrame, codes: np.ndarray, words: pd.Index | None = None) -> np.ndarray:
    """Return the number of each row's feature, which sorts by example, text and position.

    codes: the places of the examples. words: of features that are words without a place; None of others.
    Raises DataError for a text or a position that no number has.
    """
    if words is not None:
        return (codes << EXAMPLE) + codes_of(rows["word"].astype(str), words)
    segment, position = (rows[name].to_numpy(dtype=np.int64) for name in ("segment", "position"))
    if len(rows) and (min(segment.min(), position.min()) < 0 or segment.max() > 0xFF or position.max() >> _TEXT):
        raise DataError("attributions: segments go from 0 to 255, and positions from 0; number words as `explain` does")
    return (codes << EXAMPLE) + (segment << _TEXT) + position


def distinct(numbers: np.ndarray) -> np.ndarray:
    """Return the distinct numbers, sorted."""
    ordered = np.sort(numbers)  # np.unique hashes them first, which takes ten times as long
    return ordered[np.diff(ordered, prepend=-1) > 0]


def _features(side: Ranking, words: pd.Index | None) -> np.ndarray:
    return distinct(numbers(side.attributions, side.codes, words))


def _tops(side: Ranking, words: pd.Index | None) -> Tops:
    rows = side.rows[side.rows["weighs"]]
    features = numbers(rows, rows["code"].to_numpy(), words)
    first = ~pd.Series(features).duplicated().to_numpy()  # a word may have several places
    return Tops(features[first], rows["rank"].to_numpy()[first])


def each(a: Ranking, b: Ranking, *counts: Callable[[Shared], np.ndarray]) -> list[np.ndarray]:
    """Return what each of `counts` makes of every example, (n, ...), in the order of the label.

    It is asked about some examples at a time where the tables are on disk. Raises DataError as `aligned` does.
    """
    ranking.check_same_examples(a, b)
    found: list[np.ndarray | None] = [None] * len(counts)
    start = 0
    for pair in side_by_side(a, b):
        shared = Shared.of(*pair)
        found = [_with_part(of, count(shared), start, len(a.label)) for of, count in zip(found, counts, strict=True)]
        start += len(pair[0].label)
    return found


def _with_part(whole: np.ndarray | None, part: np.ndarray, start: int, n: int) -> np.ndarray:
    """Return the whole of n examples with a part in its place; where it has more texts, or larger numbers, made wider.

    It is made at once: many small arrays that stay, among large ones that go, leave holes that grow with the examples.
    """
    if len(part) == n:
        return part
    whole = np.zeros((n, *part.shape[1:]), part.dtype) if whole is None else whole
    lacking = np.maximum(np.subtract(part.shape[1:], whole.shape[1:]), 0)
    if lacking.any() or np.result_type(whole, part) != whole.dtype:
        whole = np.pad(whole, [(0, 0), *((0, more) for more in lacking)]).astype(np.result_type(whole, part))
    whole[(slice(start, start + len(part)), *map(slice, part.shape[1:]))] = part
    return whole


def side_by_side(a: Ranking, b: Ranking) -> Iterator[tuple[Ranking, Ranking]]:
    """Yield both rankings of the same examples, some at a time; all at once where both tables are held."""
    if (a.is_held and b.is_held) or a is b:
        yield from ((of, of if a is b else b) for of in a.blocks())
    elif a.is_held or b.is_held:
        for of in (b if a.is_held else a).blocks():
            ids = of.label.index
            yield (a.among(ids), of) if a.is_held else (of, b.among(ids))
    else:
        yield from zip(a.blocks(), b.blocks(), strict=True)


def small(counts: np.ndarray) -> np.ndarray:
    """Return whole numbers from 0 on in as few bytes as hold them."""
    return counts.astype(np.min_scalar_type(counts.max(initial=0)))


def score(a: Ranking, b: Ranking, *, k: int) -> pd.DataFrame:
    """Return id, jaccard, chance and n_features of each example, from the first k features of both sides."""
    ranking.check_k(k)
    (counts,) = each(a, b, lambda shared: small(shared.counts(k)))
    return scored(counts, a.label.index)


def scored(counts: np.ndarray, ids: pd.Index) -> pd.DataFrame:
    """Return the same from the counts of each example: see `Shared.counts`."""
    columns = {"jaccard": jaccards(counts), "chance": chances(counts), "n_features": counts[:, 3].astype(np.int64)}
    return pd.DataFrame({"id": ids} | columns)


def jaccards(counts: np.ndarray) -> np.ndarray:
    """Return the Jaccard index of each example, nan where both sets are empty."""
    shared, of_a, of_b = counts[:, :3].T.astype(np.int64)
    union = of_a + of_b - shared
    return np.divide(shared, union, out=np.full(len(counts), np.nan), where=union > 0)


def chances(counts: np.ndarray) -> np.ndarray:
    """Return what two random sets as large share on average, nan where both are empty."""
    of_a, of_b, n = counts[:, 1:].T.astype(np.int64)
    codes, known = pd.factorize((n << 42) + (of_a << 21) + of_b)
    values = [ranking.chance_jaccard(of >> 42, of >> 21 & 0x1FFFFF, of & 0x1FFFFF) for of in known.tolist()]
    return np.array(values, dtype=np.float64)[codes]


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
    if columns.index.equals(itself.index):
        return columns.assign(ceiling=itself.to_numpy()).sort_index()  # the order of the join below
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


def mean_table(
    columns: pd.DataFrame | Iterable[tuple[object, pd.Series]],
    *,
    clusters: Clusters,
    within: tuple[float, float] = (-1, 1),
) -> pd.DataFrame:
    """Return value, low, high by column: its mean over the examples and the 95% interval of it; nan without rows.

    columns: a table, or names and values by id, which need not be there at once.
    """
    named = columns.items() if isinstance(columns, pd.DataFrame) else columns
    rows = {name: (exact_mean(of), *_interval(of, clusters, within)) for name, of in named}
    return pd.DataFrame.from_dict(rows, orient="index", columns=["value", "low", "high"], dtype=float)


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
    if clusters.index.equals(ids):  # which are distinct; a million names are not to be looked up for nothing
        return pd.factorize(clusters)[0]
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
    return summarise(score(a, b, k=k), ceiling=ceiling, clusters=clusters)


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
    if not first.index.equals(second.index):
        if set(first.index) != set(second.index):
            raise DataError("ceiling: the two models were explained on different examples; explain both on the same")
        second = second.reindex(first.index)
    table = ((first + second) / 2).assign(n_features=np.maximum(first["n_features"], second["n_features"]))
    return summarise(table.reset_index(), ceiling=None, clusters=clusters)


def random_features(attributions: pd.DataFrame | Stored, *, seed: int) -> pd.DataFrame | Stored:
    """Return the same rows with standard normal weights: the control that knows nothing of model or text.

    Two tables of the same words are equal under one seed. Standard errors are dropped.
    """
    if isinstance(attributions, Stored):
        changed = attributions.changed
        return replace(attributions, changed=lambda block: random_features(changed(block), seed=seed))
    codes, ids = pd.factorize(attributions["id"].astype(str))
    label, word = (pd.factorize(attributions[name].astype(str), sort=True)[0] for name in ("label", "word"))
    order = np.lexsort([word, attributions["position"], attributions["segment"], label, codes])
    drawn = [
        stream(seed, "random features", name).standard_normal(n)
        for name, n in zip(ids.tolist(), np.bincount(codes).tolist(), strict=True)
    ]
    weights = np.empty(len(codes))
    weights[order] = np.concatenate(drawn or [weights])
    return attributions.drop(columns="standard_error", errors="ignore").assign(weight=weights)
