"""Calibration: does a model's confidence say how often it is right?

Confidence is the largest class probability, and the prediction its class (the first one on ties). Every binned score is
computed from `reliability_table`, so that score, table and figure cannot disagree.
"""

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from trusteq.errors import DataError, nearest

_SUM_TOLERANCE = 1e-3  # rows of probabilities in half precision sum to 1 within it
_ROUNDING = 1e-6  # a float32 softmax may leave [0, 1] by this much; it is clipped
_SMALLEST = 1e-12  # the authors' scripts clip probabilities here before the logarithm


def equal_width(confidence: np.ndarray, n_bins: int) -> np.ndarray:
    """Return the edges 0, 1/n, ..., 1; each is the float nearest to i/n, so that 0.3 is an edge of ten bins."""
    return np.arange(n_bins + 1) / n_bins  # np.linspace gives 0.30000000000000004


def equal_mass(confidence: np.ndarray, n_bins: int) -> np.ndarray:
    """Return the n-quantiles of the confidences, with 0 and 1 as outer edges; ties leave bins of width 0, and empty."""
    edges = np.quantile(confidence, np.arange(n_bins + 1) / n_bins)
    edges[0], edges[-1] = 0.0, 1.0
    return edges


BINNINGS = {"equal-width": equal_width, "equal-mass": equal_mass}


def assign_bins(
    confidence: np.ndarray, *, n_bins: int = 10, binning: str = "equal-width"
) -> tuple[np.ndarray, np.ndarray]:
    """Return the bin edges, shape (n_bins + 1,), and the bin of each confidence, shape (n,), from 0.

    confidence: values in [0, 1]. Bins are (lower, upper], compared without tolerance; the first one includes 0.
    binning: "equal-width" (paper), or "equal-mass", quantile bins (the default of the authors' scripts).
    Raises DataError for an unknown binning or fewer than one bin.
    """
    if binning not in BINNINGS:
        raise DataError(f"unknown binning {binning!r}; {nearest(binning, BINNINGS)}")
    if n_bins < 1:
        raise DataError(f"n_bins={n_bins}; give at least 1")
    edges = BINNINGS[binning](confidence, n_bins)
    # side="left" counts the edges below a value; the first edge that reaches it closes its bin
    return edges, np.maximum(np.searchsorted(edges, confidence, side="left") - 1, 0)


def reliability_table(
    probabilities: ArrayLike, labels: ArrayLike, *, n_bins: int = 10, binning: str = "equal-width"
) -> pd.DataFrame:
    """Return accuracy against confidence, one row per bin of confidence.

    probabilities: shape (n, C), rows sum to 1. labels: shape (n,), integers in [0, C). For the rest see `assign_bins`.
    Columns: lower, upper, count, share (of all predictions), accuracy, confidence (mean), gap (accuracy - confidence);
    the last three are nan in empty bins, which are kept. Raises DataError for input that is not that.
    """
    probabilities, labels = check_predictions(probabilities, labels)
    confidence = probabilities.max(axis=1)
    correct = probabilities.argmax(axis=1) == labels
    edges, bins = assign_bins(confidence, n_bins=n_bins, binning=binning)
    count = np.bincount(bins, minlength=n_bins)
    filled = np.where(count, count, np.nan)
    table = pd.DataFrame({"lower": edges[:-1], "upper": edges[1:], "count": count, "share": count / len(labels)})
    table["accuracy"] = np.bincount(bins, weights=correct, minlength=n_bins) / filled
    table["confidence"] = np.bincount(bins, weights=confidence, minlength=n_bins) / filled
    return table.assign(gap=table["accuracy"] - table["confidence"])


def accuracy(probabilities: np.ndarray, labels: np.ndarray, table: pd.DataFrame) -> float:
    """Share of examples whose most probable class is the label, in [0, 1]."""
    return float((probabilities.argmax(axis=1) == labels).mean())


def mean_confidence(probabilities: np.ndarray, labels: np.ndarray, table: pd.DataFrame) -> float:
    """Mean of the largest class probability, in [1/C, 1]."""
    return float(probabilities.max(axis=1).mean())


def ece(probabilities: np.ndarray, labels: np.ndarray, table: pd.DataFrame) -> float:
    """Expected calibration error: mean absolute gap of the bins, weighted by share (Guo et al. 2017, equation 3)."""
    return float((table["share"] * table["gap"].abs()).sum())


def mce(probabilities: np.ndarray, labels: np.ndarray, table: pd.DataFrame) -> float:
    """Maximum calibration error: largest absolute gap of a filled bin (Guo et al. 2017, equation 5)."""
    return float(table["gap"].abs().max())


def brier(probabilities: np.ndarray, labels: np.ndarray, table: pd.DataFrame) -> float:
    """Squared distance to the one-hot label, summed over classes, averaged over examples: 0 to 2 (Brier 1950)."""
    return float(((probabilities - np.eye(probabilities.shape[1])[labels]) ** 2).sum(axis=1).mean())


def nll(probabilities: np.ndarray, labels: np.ndarray, table: pd.DataFrame) -> float:
    """Mean negative log-likelihood of the labels in nats, probabilities clipped at 1e-12 as in the authors' scripts."""
    of_label = probabilities[np.arange(len(labels)), labels]
    return float(-np.log(np.maximum(of_label, _SMALLEST)).mean())


# Each takes checked probabilities (n, C), labels (n,) and their reliability table, and returns one number.
SCORES = {
    "accuracy": accuracy,
    "ece": ece,
    "mce": mce,
    "brier": brier,
    "nll": nll,
    "mean_confidence": mean_confidence,
}


def scores(
    probabilities: ArrayLike, labels: ArrayLike, *, n_bins: int = 10, binning: str = "equal-width"
) -> dict[str, float]:
    """Return every score of `SCORES` by name; arguments and errors as for `reliability_table`."""
    table = reliability_table(probabilities, labels, n_bins=n_bins, binning=binning)
    probabilities, labels = check_predictions(probabilities, labels)
    return {name: score(probabilities, labels, table) for name, score in SCORES.items()}


def check_predictions(probabilities: ArrayLike, labels: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Return probabilities as float64 (n, C) in [0, 1] and labels as int64 (n,); raise DataError for anything else."""
    return _checked_probabilities(probabilities), _checked_labels(probabilities, labels)


def _checked_probabilities(probabilities: ArrayLike) -> np.ndarray:
    try:
        values = np.asarray(probabilities, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise DataError(f"probabilities: not a table of numbers ({error})") from None
    if values.ndim != 2 or values.shape[1] < 2:
        raise DataError(f"probabilities: shape {values.shape}; give (examples, classes) with at least 2 classes")
    if not len(values):
        raise DataError("probabilities: no rows; give at least one example")
    # nan fails both comparisons, so it counts as outside
    outside = ~((values >= -_ROUNDING) & (values <= 1 + _ROUNDING)).all(axis=1)
    if outside.any():
        row = int(outside.argmax())
        raise DataError(f"probabilities: row {row} is {_shown(values[row])}, not all in [0, 1]: give softmax output")
    off = np.abs(values.sum(axis=1) - 1) > _SUM_TOLERANCE
    if off.any():
        row = int(off.argmax())
        raise DataError(f"probabilities: row {row} sums to {values[row].sum():.6g}, not 1: give softmax output")
    return np.clip(values, 0.0, 1.0)


def _checked_labels(probabilities: ArrayLike, labels: ArrayLike) -> np.ndarray:
    n, n_classes = np.shape(probabilities)
    values = np.asarray(labels)
    if values.shape != (n,):
        raise DataError(f"labels: shape {values.shape} for {n} rows of probabilities; give one label per row")
    if values.dtype.kind not in "iu":
        raise DataError(f"labels: {values.dtype}, not integers; give class indices 0 to {n_classes - 1}")
    outside = (values < 0) | (values >= n_classes)
    if outside.any():
        row = int(outside.argmax())
        hint = "leave out rows without a gold label" if values[row] == -1 else f"give 0 to {n_classes - 1}"
        raise DataError(f"labels: row {row} is {values[row]}, of {n_classes} classes; {hint}")
    return values.astype(np.int64)


def _shown(row: np.ndarray) -> str:
    return "(" + ", ".join(f"{value:.6g}" for value in row[:5]) + (", ...)" if len(row) > 5 else ")")
