"""A published experiment run again, and compared with what is published, cell by cell."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from trusteq.study.results import Results, manifests

# Cells are equal where versions and the kind of processor are; elsewhere rounding differs, training multiplies it, and
# what can be asked is that estimates stay within the published intervals.
TOLERANCE = 1e-6
_OF_THE_MACHINE = ("seconds", "latency", "memory", "device")
# The column that `low` and `high` of a table are the interval of.
_ESTIMATES = dict.fromkeys(("alignment", "controls", "ceilings", "curves", "segments"), "jaccard")
_ESTIMATES |= dict.fromkeys(("companions", "loyalty", "truth"), "value")
_ESTIMATES |= {"sources": "disagreement", "compression_gains": "gain"}
_ESTIMATES |= dict.fromkeys(("differences", "temperature", "verdicts"), "difference")


def compare_tables(
    published: Mapping[str, pd.DataFrame], rerun: Mapping[str, pd.DataFrame], *, tolerance: float = TOLERANCE
) -> pd.DataFrame:
    """Compare two sets of tables, as `load_published` returns them: one row a table.

    Columns: table; rows, of the published one; cells, compared: all but times, memory and devices; differing, by more
    than `tolerance`, absolute below 1 and relative above; largest_difference, of numbers; both are missing where the
    tables have other rows or columns; within, whether no cell differs; estimates, values with a published interval, and
    inside, how many of the rerun's lie in it.
    """
    rows = []
    for name in sorted({*published, *rerun}):
        one, other = published.get(name), rerun.get(name)
        row = {"table": name, "rows": 0 if one is None else len(one)}
        if not _same_shape(one, other):
            rows.append(row | _UNLIKE)
            continue
        estimates, inside = _inside(one, other, _ESTIMATES.get(name))
        rows.append(row | _cells(one, other, tolerance) | {"estimates": estimates, "inside": inside})
    return pd.DataFrame(rows)


_UNLIKE = {"cells": 0, "differing": np.nan, "largest_difference": np.nan, "within": False, "estimates": 0, "inside": 0}


def _same_shape(one: pd.DataFrame | None, other: pd.DataFrame | None) -> bool:
    return one is not None and other is not None and len(one) == len(other) and list(one) == list(other)


def _cells(one: pd.DataFrame, other: pd.DataFrame, tolerance: float) -> dict:
    compared = [name for name in one if not any(word in name for word in _OF_THE_MACHINE)]
    differing, largest = 0, 0.0
    for name in compared:
        a, b = one[name], other[name]
        if pd.api.types.is_numeric_dtype(a) and pd.api.types.is_numeric_dtype(b):
            a, b = a.to_numpy(np.float64), b.to_numpy(np.float64)
            missing = np.isnan(a) != np.isnan(b)
            gap = np.nan_to_num(np.abs(a - b))
            largest = max(largest, gap.max(initial=0.0))
            differing += int((missing | (gap > tolerance * np.maximum(1, np.abs(np.nan_to_num(a))))).sum())
        else:
            differing += int(((a != b) & ~(a.isna() & b.isna())).sum())
    found = {"cells": len(one) * len(compared), "differing": differing, "largest_difference": largest}
    return found | {"within": differing == 0}


def _inside(one: pd.DataFrame, other: pd.DataFrame, estimate: str | None) -> tuple[int, int]:
    """Return how many published estimates have an interval, and how many of the rerun's lie in it."""
    if estimate is None:
        return 0, 0
    known = one[["low", "high"]].notna().all(axis=1) & other[estimate].notna()
    inside = other[estimate].between(one["low"], one["high"]) & known
    return int(known.sum()), int(inside.sum())


def machines(run: Results) -> str:
    """Return the machines that the artefacts of a run were made on, by their manifests."""
    return ", ".join(sorted({str(manifest.get("machine")) for manifest in manifests(run).values()}))
