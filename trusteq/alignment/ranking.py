"""The sets that are compared: the top words of each example, what two sets share, and what two random ones would."""

import functools
import math

import numpy as np
import pandas as pd

from trusteq.errors import DataError, nearest

_COLUMNS = ("id", "segment", "position", "word", "label", "weight")


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
    check_k(k)
    return ranked_features(attributions, label=label).map(lambda ranked: frozenset(ranked[:k])).rename("features")


def ranked_features(attributions: pd.DataFrame, *, label: pd.Series) -> pd.Series:
    """Return all features of each example, id -> tuple, the one of largest absolute weight first.

    The first k of them are the top k. Arguments, order of equal weights and errors are those of `top_features`.
    """
    rows = ranked_rows(attributions, label=label)
    ends = np.cumsum(np.bincount(rows["code"], minlength=len(label))).tolist()
    elements = _elements(rows)
    ranked = [tuple(elements[start:end]) for start, end in zip([0, *ends[:-1]], ends, strict=True)]
    return pd.Series(ranked, index=label.index.rename("id"), name="ranked", dtype=object)


def ranked_rows(attributions: pd.DataFrame, *, label: pd.Series) -> pd.DataFrame:
    """Return the rows about each example's class, example by example, the largest absolute weight first.

    Adds `code`, the example's place in `label`, and `rank` within the example, from 0.
    """
    rows = rows_of_class(attributions, label=label)
    rows = rows.iloc[np.lexsort([rows["position"], rows["segment"], -rows["weight"].abs(), rows["code"]])]
    counts = np.bincount(rows["code"], minlength=len(label))
    return rows.assign(rank=np.arange(len(rows)) - np.repeat(np.cumsum(counts) - counts, counts))


def rows_of_class(attributions: pd.DataFrame, *, label: pd.Series) -> pd.DataFrame:
    """Return the rows about each example's class, with `code`: the example's place in `label`.

    Raises DataError as `top_features` does.
    """
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
    if not as_released(rows) and rows.duplicated(["code", "segment", "position"]).any():
        example = rows["id"][rows.duplicated(["code", "segment", "position"])].iloc[0]
        raise DataError(f"attributions: example {example!r} has a word twice; give one row per word and class")
    return rows


def features(a: pd.DataFrame, b: pd.DataFrame) -> pd.DataFrame:
    """Return the distinct features of each example over both tables: id and segment, position, or as released word."""
    columns = ["id", "word"] if as_released(a) else ["id", "segment", "position"]
    return pd.concat([a[columns], b[columns]], ignore_index=True).drop_duplicates()


def count_by_id(features: pd.DataFrame, ids: pd.Index) -> pd.Series:
    """Return the number of rows of each example, 0 where there is none."""
    return features.groupby("id", sort=False, observed=True).size().reindex(ids, fill_value=0)


def as_released(attributions: pd.DataFrame) -> bool:
    """Return whether attributions were made as the authors' scripts do, so that their features are words."""
    # Files written elsewhere may have lost .attrs; segment -1 (the joint) occurs in the authors' tables only.
    lost = "as-released" if (attributions["segment"] < 0).any() else "safe"
    return attributions.attrs.get("boundary", lost) == "as-released"


def check_k(k: int) -> None:
    """Raise DataError unless k is at least 1."""
    if k < 1:
        raise DataError(f"top_features: k={k}; give k >= 1")


def check_same_examples(a: pd.DataFrame, b: pd.DataFrame) -> None:
    """Raise DataError where two tables of attributions cannot be compared."""
    only_a, only_b = (set(x["id"].unique()) - set(y["id"].unique()) for x, y in ((a, b), (b, a)))
    if only_a or only_b:
        example = min(only_a | only_b, key=str)
        raise DataError(
            f"align: a and b cover different examples ({len(only_a)} only in a, {len(only_b)} only in b, such as "
            f"{example!r}); explain both models on the same examples"
        )
    if as_released(a) != as_released(b):
        raise DataError("align: only one of a and b was made as-released; explain both with the same boundary")


def check_positions(attributions: pd.DataFrame, *, who: str) -> None:
    """Raise DataError where features are words, and so have no place in the text."""
    if as_released(attributions):
        raise DataError(f"{who}: needs words by position, these were made as-released; explain with boundary='safe'")


def _check(attributions: pd.DataFrame, label: pd.Series) -> None:
    missing = [column for column in _COLUMNS if column not in attributions.columns]
    if missing:
        raise DataError(f"attributions: no column {missing[0]!r}; {nearest(missing[0], attributions.columns)}")
    if label.index.has_duplicates:
        raise DataError(f"label: example {label.index[label.index.duplicated()][0]!r} occurs twice; give each id once")
    if not len(label):
        raise DataError("label: no examples; give a Series of class names indexed by example id")


def _elements(attributions: pd.DataFrame) -> list:
    """Return what the top-k sets hold, row by row: (segment, position), or the word as the authors' scripts do."""
    if as_released(attributions):
        return attributions["word"].tolist()
    return list(zip(attributions["segment"].tolist(), attributions["position"].tolist(), strict=True))
