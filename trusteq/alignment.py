"""Interpretability alignment: do two models find the same words important?

The score of one example is the Jaccard index of two top-k sets (paper, "alignment"). It has two anchors: what random
sets of the same sizes share (chance), and what the explainer shares with itself under another seed (ceiling).
"""

import functools
import math
from dataclasses import dataclass

import numpy as np
import pandas as pd

from trusteq.errors import DataError, nearest
from trusteq.statistics import bootstrap_mean

PAPER_THRESHOLD = 0.7  # the paper's go / no-go rule: a mean Jaccard below it means not aligned
_COLUMNS = ("id", "segment", "position", "word", "label", "weight")


@dataclass(frozen=True, eq=False)
class Alignment:
    """How far two models agree on the top words of the same examples.

    table: one row per example, in the order of `label`: id, jaccard and chance in [0, 1] (nan where neither side
    has a word), n_features (words of the example).
    mean: mean of jaccard; low, high: its 95% bootstrap interval over examples; chance: mean of the chance levels.
    ceiling: the explainer's agreement with itself, or None. normalised: (mean - chance) / (ceiling - chance), 0 at
    chance and 1 at the ceiling; None without a ceiling, nan where the ceiling is not above chance.
    undefined: number of examples where both sets are empty; they enter no mean. All are nan when no example is left.
    """

    table: pd.DataFrame
    mean: float
    low: float
    high: float
    chance: float
    ceiling: float | None
    normalised: float | None
    undefined: int


def is_aligned(mean: float) -> bool:
    """Return whether a mean Jaccard reaches the paper's threshold of 0.7; nan does not."""
    return bool(mean >= PAPER_THRESHOLD)


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


def top_features(attributions: pd.DataFrame, *, k: int = 10, label: pd.Series) -> pd.Series:
    """Return the k features of largest absolute weight of each example, for the class that `label` names.

    attributions: id, segment, position, word, label, weight (finite), one row per word and class.
    label: id -> class name; its index is the examples that are asked for, one without a word gets the empty set.
    Returns a Series id -> frozenset of (segment, position), or of words where the attributions were made "as-released".
    Equal weights go by (segment, position); with fewer than k words the set is all of them, zero weights included.
    Raises DataError for missing columns, unknown ids or classes, repeated words, non-finite weights or k < 1.
    """
    if k < 1:
        raise DataError(f"top_features: k={k}; give k >= 1")
    rows = _rows_of_class(attributions, label)
    order = np.lexsort([rows["position"], rows["segment"], -rows["weight"].abs(), rows["code"]])
    rows = rows.iloc[order]
    counts = np.bincount(rows["code"], minlength=len(label))
    starts = np.cumsum(counts) - counts
    elements = _elements(rows)
    tops = [frozenset(elements[start : start + min(k, count)]) for start, count in zip(starts, counts, strict=True)]
    return pd.Series(tops, index=label.index.rename("id"), name="features", dtype=object)


def align(
    a: pd.DataFrame,
    b: pd.DataFrame,
    *,
    k: int = 10,
    label: pd.Series,
    ceiling: Alignment | float | None = None,
    seed: int = 0,
) -> Alignment:
    """Compare the top-k words of two models, example by example, for the class that `label` names.

    a, b: attributions of the two models (see `top_features`) for the same examples; label: id -> class name.
    ceiling: the mean Jaccard, or the Alignment, of the explainer with itself under two seeds.
    seed: of the bootstrap. Raises DataError where `top_features` does, when a and b cover different examples or only
    one of them was made "as-released", and for a ceiling outside [0, 1].
    """
    _same_examples(a, b)
    tops = pd.DataFrame({"a": top_features(a, k=k, label=label), "b": top_features(b, k=k, label=label)})
    n_features = _n_features(a, b).reindex(label.index, fill_value=0)
    pairs = list(zip(tops["a"], tops["b"], n_features, strict=True))
    table = pd.DataFrame(
        {
            "id": tops.index,
            "jaccard": [jaccard(x, y) for x, y, _ in pairs],
            "chance": [chance_jaccard(n, len(x), len(y)) for x, y, n in pairs],
            "n_features": n_features.to_numpy(),
        }
    )
    return _summary(table, ceiling=ceiling, seed=seed)


def _summary(table: pd.DataFrame, *, ceiling: Alignment | float | None, seed: int) -> Alignment:
    defined = table.dropna(subset="jaccard")
    mean, chance = _mean(defined["jaccard"]), _mean(defined["chance"])
    low, high = bootstrap_mean(defined["jaccard"], seed=seed) if len(defined) else (math.nan, math.nan)
    ceiling = ceiling.mean if isinstance(ceiling, Alignment) else ceiling
    normalised = None
    if ceiling is not None and (ceiling < 0 or ceiling > 1):
        raise DataError(f"align: ceiling={ceiling}; give a mean Jaccard, in [0, 1]")
    if ceiling is not None:
        normalised = (mean - chance) / (ceiling - chance) if ceiling > chance else math.nan
    undefined = len(table) - len(defined)
    return Alignment(table, mean, low, high, chance, ceiling, normalised, undefined)


def _mean(values: pd.Series) -> float:
    # fsum is exact, so the mean does not depend on the order of the examples
    return math.fsum(values) / len(values) if len(values) else math.nan


def _rows_of_class(attributions: pd.DataFrame, label: pd.Series) -> pd.DataFrame:
    """Return the rows about each example's class, with `code`: the example's place in `label`."""
    _check(attributions, label)
    code = label.index.get_indexer(attributions["id"])
    if (code < 0).any():
        raise DataError(f"attributions: no label for example {attributions['id'].iloc[code.argmin()]!r}")
    of_class = attributions["label"].to_numpy(dtype=object) == label.to_numpy(dtype=object)[code]
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
    if not _as_released(rows) and rows.duplicated(["code", "segment", "position"]).any():
        example = rows["id"][rows.duplicated(["code", "segment", "position"])].iloc[0]
        raise DataError(f"attributions: example {example!r} has a word twice; give one row per word and class")
    return rows


def _check(attributions: pd.DataFrame, label: pd.Series) -> None:
    missing = [column for column in _COLUMNS if column not in attributions.columns]
    if missing:
        raise DataError(f"attributions: no column {missing[0]!r}; {nearest(missing[0], attributions.columns)}")
    if label.index.has_duplicates:
        raise DataError(f"label: example {label.index[label.index.duplicated()][0]!r} occurs twice; give each id once")
    if not len(label):
        raise DataError("label: no examples; give a Series of class names indexed by example id")


def _same_examples(a: pd.DataFrame, b: pd.DataFrame) -> None:
    only_a, only_b = (set(x["id"].unique()) - set(y["id"].unique()) for x, y in ((a, b), (b, a)))
    if only_a or only_b:
        example = min(only_a | only_b, key=str)
        raise DataError(
            f"align: a and b cover different examples ({len(only_a)} only in a, {len(only_b)} only in b, such as "
            f"{example!r}); explain both models on the same examples"
        )
    if _as_released(a) != _as_released(b):
        raise DataError("align: only one of a and b was made as-released; explain both with the same boundary")


def _as_released(attributions: pd.DataFrame) -> bool:
    # Files written elsewhere may have lost .attrs; segment -1 (the joint) occurs in the authors' tables only.
    lost = "as-released" if (attributions["segment"] < 0).any() else "safe"
    return attributions.attrs.get("boundary", lost) == "as-released"


def _elements(attributions: pd.DataFrame) -> list:
    """Return what the top-k sets hold, row by row: (segment, position), or the word as the authors' scripts do."""
    if _as_released(attributions):
        return attributions["word"].tolist()
    return list(zip(attributions["segment"].tolist(), attributions["position"].tolist(), strict=True))


def _n_features(a: pd.DataFrame, b: pd.DataFrame) -> pd.Series:
    """Return the number of distinct features of each example, over both tables."""
    columns = ["id", "word"] if _as_released(a) else ["id", "segment", "position"]
    distinct = pd.concat([a[columns], b[columns]], ignore_index=True).drop_duplicates()
    return distinct.groupby("id", sort=False, observed=True).size()
