"""The top words of each example, what two sets share and two random ones would, and measures that see the weights."""

import functools
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from trusteq.blocks import Stored
from trusteq.errors import DataError, nearest

_COLUMNS = ("id", "segment", "position", "word", "label", "weight")
_PERSISTENCE = 0.9  # of the rank-biased overlap
# Weights are in units of probability; where nothing changes, sums in float64 leave some 1e-16 times their number.
_NOISE = 1e-12


def jaccard(a: frozenset, b: frozenset) -> float:
    """Return the share of the union of two sets that both hold, in [0, 1]; nan when both are empty."""
    union = len(a | b)
    return len(a & b) / union if union else math.nan


@functools.cache
def chance_jaccard(n_features: int, k: int = 10, k_b: int | None = None) -> float:
    """Return the exact expected Jaccard index of two random subsets of `k` and `k_b` out of `n_features` elements.

    Sizes above n_features mean all elements; `k_b` defaults to `k`. The size of the intersection is hypergeometric.
    Returns nan when both sets are empty. Raises DataError for negative numbers.
    """
    if min(n_features, k, k if k_b is None else k_b) < 0:
        raise DataError(f"chance_jaccard: n_features={n_features}, k={k}, k_b={k_b}; none may be negative")
    n = int(n_features)
    size_a, size_b = min(int(k), n), min(int(k if k_b is None else k_b), n)
    if size_a + size_b == 0:
        return math.nan
    total = math.comb(n, size_b)  # integers: exact, and Python divides them with correct rounding
    return math.fsum(
        math.comb(size_a, shared) * math.comb(n - size_a, size_b - shared) / total * shared / (size_a + size_b - shared)
        for shared in range(max(0, size_a + size_b - n), min(size_a, size_b) + 1)
    )


def drawn_jaccards(weights: np.ndarray, drawn: np.ndarray, *, k: int = 10) -> np.ndarray:
    """Return the Jaccard index of the k largest absolute weights and of those of each draw, (draws, classes).

    weights: (features, classes). drawn: (draws, features, classes), what the weights may be. With k features or fewer
    it is 1.
    """
    first, others = _largest(weights, k), _largest(drawn, k)
    shared = (first & others).sum(axis=-2)
    return shared / (2 * min(k, len(weights)) - shared)


def _largest(weights: np.ndarray, k: int) -> np.ndarray:
    """Return which of the features, the last axis but one, have the k largest absolute weights; equal ones in order."""
    found = np.zeros(weights.shape, dtype=bool)
    order = np.argsort(-np.abs(weights), axis=-2, kind="stable")
    np.put_along_axis(found, order[..., :k, :], True, axis=-2)
    return found


def weighted_jaccard(weights_a: ArrayLike, weights_b: ArrayLike) -> np.ndarray:
    """Return the sum of the smaller over the sum of the larger absolute weights, each side scaled to sum to 1.

    In [0, 1]; 1 for the same shares. nan where a side weighs nothing. Source: Ruzicka (1958); Ioffe (2010).
    """
    a, b = (np.abs(np.asarray(weights, dtype=np.float64)) for weights in (weights_a, weights_b))
    with np.errstate(invalid="ignore"):
        a, b = (side / side.sum(axis=-1, keepdims=True) for side in (a, b))
        return np.minimum(a, b).sum(axis=-1) / np.maximum(a, b).sum(axis=-1)


def rbo(weights_a: ArrayLike, weights_b: ArrayLike) -> np.ndarray:
    """Return the rank-biased overlap of two full rankings by absolute weight, extrapolated, p = 0.9.

    In [0, 1]; the first ten ranks carry 86% of its weight where there are more. Equal weights go by the order of the
    features. nan without features. Source: Webber, Moffat and Zobel (2010), equation 23, for rankings of one length.
    """
    a, b = (np.abs(np.asarray(weights, dtype=np.float64)) for weights in (weights_a, weights_b))
    if not (n := a.shape[-1]):
        return np.full(a.shape[:-1], np.nan)[()]
    ranks = (np.argsort(np.argsort(-side, axis=-1, kind="stable"), axis=-1) for side in (a, b))
    # A feature is shared at every depth from the larger of its two ranks on.
    places = np.maximum(*ranks) + n * np.arange(a.size // n).reshape((*a.shape[:-1], 1))
    shared = np.bincount(places.ravel(), minlength=a.size).reshape(a.shape).cumsum(axis=-1)
    depths, p = np.arange(1, n + 1), _PERSISTENCE
    return p**n + (1 - p) / p * np.sum(shared / depths * p**depths, axis=-1)


def spearman(weights_a: ArrayLike, weights_b: ArrayLike) -> np.ndarray:
    """Return Spearman's correlation of the absolute weights, in [-1, 1]; equal weights share their mean rank.

    0 in expectation for unrelated weights. nan where a side has one weight throughout.
    """
    from scipy.stats import rankdata

    ranks = [rankdata(np.abs(weights), axis=-1) for weights in (weights_a, weights_b)]
    return cosine(*(found - (found.shape[-1] + 1) / 2 for found in ranks))


def cosine(weights_a: ArrayLike, weights_b: ArrayLike) -> np.ndarray:
    """Return the cosine of the signed weights, in [-1, 1]; nan where a side weighs nothing."""
    a, b = (np.asarray(weights, dtype=np.float64) for weights in (weights_a, weights_b))
    with np.errstate(invalid="ignore"):  # scaled so that no square overflows, or vanishes
        a, b = (side / np.abs(side).max(axis=-1, keepdims=True, initial=0.0) for side in (a, b))
        return np.clip(np.vecdot(a, b) / np.sqrt(np.vecdot(a, a) * np.vecdot(b, b)), -1, 1)


# A companion takes the weights of examples, (..., features) each, features in the same order, and returns (...).
COMPANIONS: dict[str, Callable[[ArrayLike, ArrayLike], np.ndarray]] = {
    companion.__name__: companion for companion in (weighted_jaccard, rbo, spearman, cosine)
}


def top_features(attributions: pd.DataFrame, *, k: int = 10, label: pd.Series) -> pd.Series:
    """Return the k features of largest absolute weight of each example, for the class that `label` names.

    attributions: id, segment, position, word, label, weight (finite), one row per word and class.
    label: id -> class name; its index is the examples that are asked for, one without a word gets the empty set.
    Returns a Series id -> frozenset of (segment, position), or of words where the attributions were made "as-released".
    Equal weights go by (segment, position). A weight of 0 is no top feature, nor is one below the noise of rounding,
    1e-12 times the example's largest or 1: with fewer than k others the set is all of them, and it may be empty.
    Raises DataError for missing columns, unknown ids or classes, repeated words, non-finite weights or k < 1.
    """
    check_k(k)
    return Ranking(attributions, label).ranked.map(lambda ranked: frozenset(ranked[:k])).rename("features")


@dataclass(frozen=True, eq=False)
class Ranking:
    """A table of attributions with the features of each example in their order, which is found once.

    attributions, label, order of equal weights and errors: see `top_features`. Of a table on disk (`Stored`) there are
    `blocks` alone, whose examples are in the order of the label.
    """

    attributions: pd.DataFrame | Stored
    label: pd.Series

    @property
    def is_held(self) -> bool:
        """Whether the whole table is in memory."""
        return isinstance(self.attributions, pd.DataFrame)

    def blocks(self) -> Iterator["Ranking"]:
        """Yield the rankings of some examples at a time; the whole, where it is held.

        Raises DataError where the rows of an example do not lie together, or examples are not in the label's order.
        """
        if self.is_held:
            yield self
            return
        start = 0
        for table in self.attributions.blocks():
            ids = pd.Index(table["id"].unique())
            label = self.label.iloc[start : start + len(ids)]
            if not np.array_equal(ids, label.index):
                at = f"{self.attributions}: among examples {start} to {start + len(ids)}"
                raise DataError(f"{at} rows of one do not lie together, or are in another order; make the table again")
            yield Ranking(table, label)
            start += len(ids)
        if start < len(self.label):
            raise DataError(f"{self.attributions}: holds {start} of {len(self.label)} examples; make the table again")

    def among(self, ids: pd.Index) -> "Ranking":
        """Return the ranking of some of the examples of a table that is held."""
        return Ranking(self.attributions[self.attributions["id"].isin(ids)], self.label[ids])

    @functools.cached_property
    def is_as_released(self) -> bool:
        """Whether the attributions were made as the authors' scripts do, so that features are words without a place."""
        if not self.is_held:
            return self.attributions.attrs.get("boundary") == "as-released"
        # Files written elsewhere may have lost .attrs; segment -1 (the joint) occurs in the authors' tables only.
        lost = "as-released" if (self.attributions["segment"] < 0).any() else "safe"
        return self.attributions.attrs.get("boundary", lost) == "as-released"

    @functools.cached_property
    def codes(self) -> np.ndarray:
        """The place of each row's example in the label."""
        return codes_of(self.attributions["id"], self.label.index)

    @functools.cached_property
    def rows(self) -> pd.DataFrame:
        """The rows about each example's class; see `ranked_rows`."""
        rows = ranked_rows(self.attributions, label=self.label)
        if not self.is_as_released and (twice := rows.duplicated(["code", "segment", "position"])).any():
            example = rows["id"][twice].iloc[0]
            raise DataError(f"attributions: example {example!r} has a word twice; give one row per word and class")
        return rows

    @functools.cached_property
    def ranked(self) -> pd.Series:
        """The features of each example that weigh something, id -> tuple, the one of largest absolute weight first."""
        weighty = self.rows[self.rows["weighs"]]
        ends = np.cumsum(np.bincount(weighty["code"], minlength=len(self.label))).tolist()
        elements = self._elements(weighty)
        ranked = [tuple(elements[start:end]) for start, end in zip([0, *ends[:-1]], ends, strict=True)]
        return pd.Series(ranked, index=self.label.index.rename("id"), name="ranked", dtype=object)

    @functools.cached_property
    def n_weightless(self) -> int:
        """The number of examples that have features and none that weighs something."""
        return int((self.features.map(bool) & ~self.ranked.map(bool)).sum())

    @functools.cached_property
    def features(self) -> pd.Series:
        """The distinct features of each example, whatever the class: id -> frozenset."""
        found = {name: set() for name in self.label.index}
        for name, element in zip(self.attributions["id"], self._elements(self.attributions), strict=True):
            found[name].add(element)
        return pd.Series(list(map(frozenset, found.values())), index=self.label.index, dtype=object)

    def need_positions(self, *, who: str) -> None:
        """Raise DataError where features are words, and so have no place in the text."""
        if self.is_as_released:
            problem = "needs words by position, these were made as-released"
            raise DataError(f"{who}: {problem}; explain with boundary='safe'")

    def _elements(self, rows: pd.DataFrame) -> list:
        """Return what the top-k sets hold, row by row: (segment, position), or the word as the authors' scripts do."""
        if self.is_as_released:
            return rows["word"].tolist()
        return list(zip(rows["segment"].tolist(), rows["position"].tolist(), strict=True))


def ranked_rows(attributions: pd.DataFrame, *, label: pd.Series) -> pd.DataFrame:
    """Return the rows about each example's class, example by example, the largest absolute weight first.

    Adds `code`, the example's place in `label`, `rank` within the example, from 0, and `weighs`, whether the weight is
    more than noise. Raises DataError as `top_features` does.
    """
    rows = _rows_of_class(attributions, label)
    places = [rows["position"].to_numpy(), rows["segment"].to_numpy(), rows["code"].to_numpy()]
    if not _is_sorted(places):
        rows = rows.iloc[np.lexsort(places)]
    rows = rows.iloc[np.lexsort([-rows["weight"].abs(), rows["code"]])]
    counts = np.bincount(rows["code"], minlength=len(label))
    first = np.repeat(np.cumsum(counts) - counts, counts)  # where each row's example begins, with its largest weight
    weights = rows["weight"].abs().to_numpy()
    weighs = weights > _NOISE * np.maximum(weights[first], 1)
    return rows.assign(rank=np.arange(len(rows)) - first, weighs=weighs)


def _is_sorted(keys: list[np.ndarray]) -> bool:
    """Return whether rows are sorted by several whole numbers, the last one first, as `explain` leaves them."""
    later = np.ones(max(len(keys[0]) - 1, 0), dtype=bool)  # or equal, in all keys so far
    for key in keys:
        step = np.diff(key)
        later = (step > 0) | (step == 0) & later
    return bool(later.all())


def _rows_of_class(attributions: pd.DataFrame, label: pd.Series) -> pd.DataFrame:
    """Return the rows about each example's class, with `code`: the example's place in `label`."""
    missing = [column for column in _COLUMNS if column not in attributions.columns]
    if missing:
        raise DataError(f"attributions: no column {missing[0]!r}; {nearest(missing[0], attributions.columns)}")
    if label.index.has_duplicates:
        raise DataError(f"label: example {label.index[label.index.duplicated()][0]!r} occurs twice; give each id once")
    if not len(label):
        raise DataError("label: no examples; give a Series of class names indexed by example id")
    code = codes_of(attributions["id"], label.index)
    if (code < 0).any():
        raise DataError(f"attributions: no label for example {attributions['id'].iloc[code.argmin()]!r}")
    known = pd.Index(attributions["label"].unique())  # numbers are compared faster than names
    of_class = codes_of(attributions["label"], known) == known.get_indexer(label)[code]
    rows = attributions[of_class].assign(code=code[of_class])
    rows = rows.astype({"segment": int, "position": int, "weight": float})  # an empty table has no types of its own
    lost = np.setdiff1d(code, rows["code"])
    if len(lost):
        example, wanted = label.index[lost[0]], label.iloc[lost[0]]
        hint = nearest(wanted, attributions["label"].unique())
        raise DataError(f"attributions: example {example!r} has no weights for class {wanted!r}; {hint}")
    if not np.isfinite(rows["weight"]).all():
        example = rows["id"][~np.isfinite(rows["weight"])].iloc[0]
        raise DataError(f"attributions: a weight of example {example!r} is not finite; leave the example out")
    return rows


def codes_of(values: pd.Series, index: pd.Index) -> np.ndarray:
    """Return the place of each value in an index without repeated ones; -1 of others."""
    if isinstance(values.dtype, pd.CategoricalDtype):
        return np.append(index.get_indexer(values.cat.categories), -1)[values.cat.codes]
    return index.get_indexer(values)


def check_k(k: int) -> None:
    """Raise DataError unless k is at least 1."""
    if k < 1:
        raise DataError(f"top_features: k={k}; give k >= 1")


def check_same_examples(a: Ranking, b: Ranking) -> None:
    """Raise DataError where two tables of attributions cannot be compared."""
    # Of tables that are read in blocks, the blocks are held against the label.
    ids = [pd.Index(side.attributions["id"].unique()) if side.is_held else side.label.index for side in (a, b)]
    ids_a, ids_b = (set(), set()) if ids[0].equals(ids[1]) else map(set, ids)  # in another order, they are as good
    if lone := ids_a ^ ids_b:
        counts = f"{len(ids_a - ids_b)} only in a, {len(ids_b - ids_a)} only in b, such as {min(lone, key=str)!r}"
        raise DataError(f"align: a and b cover different examples ({counts}); explain both models on the same examples")
    if a.is_as_released != b.is_as_released:
        raise DataError("align: only one of a and b was made as-released; explain both with the same boundary")
    cut = [name for of in (a, b) if (name := of.attributions.attrs.get("segmentation"))]
    if len(set(cut)) > 1:
        raise DataError(f"align: the texts of a were cut into words by {cut[0]}, of b by {cut[1]}; explain both alike")
