"""Checked predictions, bins of confidence, and sums by bin: what every binned score, table and figure is made of."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike

from trusteq.errors import DataError, nearest

_SUM_TOLERANCE = 1e-3  # rows of probabilities in half precision sum to 1 within it
_ROUNDING = 1e-6  # a float32 softmax may leave [0, 1] by this much; it is clipped
SMALLEST = 1e-12  # the authors' scripts clip probabilities here before the logarithm
Sums = Mapping[str, np.ndarray]


def check_predictions(probabilities: ArrayLike, labels: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Return probabilities as float64 (n, C) in [0, 1] and labels as int64 (n,); raise DataError for anything else."""
    probabilities, values = check_probabilities(probabilities), np.asarray(labels)
    n, n_classes = probabilities.shape
    if values.shape != (n,):
        raise DataError(f"labels: shape {values.shape} for {n} rows of probabilities; give one label per row")
    if values.dtype.kind not in "iu":
        raise DataError(f"labels: {values.dtype}, not integers; give class indices 0 to {n_classes - 1}")
    outside = (values < 0) | (values >= n_classes)
    if outside.any():
        row = int(outside.argmax())
        hint = "leave out rows without a gold label" if values[row] == -1 else f"give 0 to {n_classes - 1}"
        raise DataError(f"labels: row {row} is {values[row]}, of {n_classes} classes; {hint}")
    return probabilities, values.astype(np.int64)


def check_probabilities(probabilities: ArrayLike) -> np.ndarray:
    """Return probabilities as float64 (n, C) in [0, 1]; raise DataError unless C is at least 2 and rows sum to 1."""
    try:
        values = np.asarray(probabilities, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise DataError(f"probabilities: not a table of numbers ({error})") from None
    if values.ndim != 2 or values.shape[1] < 2:
        raise DataError(f"probabilities: shape {values.shape}; give (examples, classes) with at least 2 classes")
    if not len(values):
        raise DataError("probabilities: no rows; give at least one example")
    if why := why_no_probabilities(values):
        raise DataError(f"probabilities: {why}")
    off = np.abs(values.sum(axis=1) - 1) > _SUM_TOLERANCE
    if off.any():
        row = int(off.argmax())
        raise DataError(f"probabilities: row {row} sums to {values[row].sum():.6g}, not 1; give rows that do")
    return np.clip(values, 0.0, 1.0)


def why_no_probabilities(values: np.ndarray) -> str | None:
    """Return which row of an (n, C) array is not in [0, 1] and what it looks like, in one line; None if all are."""
    # nan fails both comparisons, so it counts as outside
    outside = ~((values >= -_ROUNDING) & (values <= 1 + _ROUNDING)).all(axis=1)
    if not outside.any():
        return None
    row = int(outside.argmax())
    return f"row {row} is {_shown(values[row])}, not all in [0, 1]: {_looks_like(values)}"


def _looks_like(values: np.ndarray) -> str:
    if not np.isfinite(values).all():
        return "give a number from 0 to 1 for each class"
    if (values >= 0).all() and np.allclose(values.sum(axis=1), 100, atol=1):
        return "these look like percentages, divide them by 100"
    if (values <= 0).all() and np.allclose(np.exp(values).sum(axis=1), 1, atol=1e-2):
        return "these look like log-probabilities, give their exponential"
    return "these look like logits, give their softmax"


def check_same_shape(large: np.ndarray, compressed: ArrayLike) -> np.ndarray:
    """Return the second model's probabilities as `check_predictions` does, for the same examples and classes."""
    compressed = check_probabilities(compressed)
    if large.shape != compressed.shape:
        raise DataError(f"probabilities: shapes {large.shape} and {compressed.shape}; give the same examples to both")
    return compressed


def _shown(row: np.ndarray) -> str:
    return "(" + ", ".join(f"{value:.6g}" for value in row[:5]) + (", ...)" if len(row) > 5 else ")")


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


@dataclass(frozen=True, eq=False)
class Design:
    """What the scores need of predictions before any label is known; `of` makes it. Internal.

    probabilities: (n, C). confidence, predicted: (n,). edges: (n_bins + 1,). bins: (n,), of the confidence, by the
    binning asked for. mass_bins: (n,), the same by equal mass. class_bins: (n, C), class * n_bins + the equal-width bin
    of that class's probability.
    """

    probabilities: np.ndarray
    confidence: np.ndarray
    predicted: np.ndarray
    edges: np.ndarray
    bins: np.ndarray
    mass_bins: np.ndarray
    class_bins: np.ndarray
    n_bins: int

    @classmethod
    def of(cls, probabilities: np.ndarray, *, n_bins: int, binning: str) -> "Design":
        """Return the design of checked probabilities, (n, C)."""
        confidence, n_classes = probabilities.max(axis=1), probabilities.shape[1]
        edges, bins = assign_bins(confidence, n_bins=n_bins, binning=binning)
        mass_bins = assign_bins(confidence, n_bins=n_bins, binning="equal-mass")[1]
        class_bins = assign_bins(probabilities, n_bins=n_bins)[1] + n_bins * np.arange(n_classes)
        return cls(probabilities, confidence, probabilities.argmax(axis=1), edges, bins, mass_bins, class_bins, n_bins)

    @cached_property
    def losses(self) -> dict[str, np.ndarray]:
        """What each class would cost as the label, (n, C).

        "brier": squared distance to the one-hot label, summed over classes (Brier 1950), in [0, 2]; "nll": negative
        log-likelihood, in nats.
        """
        squares = (self.probabilities**2).sum(axis=1, keepdims=True)
        brier = np.maximum(squares - 2 * self.probabilities + 1, 0)  # rounding may leave -1e-16
        return {"brier": brier, "nll": -np.log(np.maximum(self.probabilities, SMALLEST))}

    def fixed_sums(self, groups: np.ndarray, size: int) -> dict[str, np.ndarray]:
        """Return the sums that depend on no label: name -> (size, width); groups: (n,), in [0, size)."""
        return {
            "bin_count": _tally(groups, self.bins, size, self.n_bins),
            "bin_confidence": _tally(groups, self.bins, size, self.n_bins, self.confidence),
            "mass_count": _tally(groups, self.mass_bins, size, self.n_bins),
            "mass_confidence": _tally(groups, self.mass_bins, size, self.n_bins, self.confidence),
            "class_count": _tally(groups[:, None], self.class_bins, size, self._class_width),
            "class_confidence": _tally(groups[:, None], self.class_bins, size, self._class_width, self.probabilities),
        }

    def label_sums(self, labels: np.ndarray, groups: np.ndarray, size: int) -> dict[str, np.ndarray]:
        """Return the sums that depend on the labels: name -> (size, width).

        labels: (..., n), as for many draws of labels at once; groups: the same shape or one that broadcasts to it.
        """
        correct = labels == self.predicted
        at = labels + self.probabilities.shape[1] * np.arange(len(self.probabilities))  # places in a flat (n, C)
        by_bin, by_mass = self._correct(correct, groups, size)
        return {
            "bin_correct": by_bin,
            "mass_correct": by_mass,
            "class_correct": _tally(groups, self.class_bins.ravel()[at], size, self._class_width),
            **{name: _tally(groups, 0, size, 1, loss.ravel()[at]) for name, loss in self.losses.items()},
        }

    def _correct(self, correct: np.ndarray, groups: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the number of correct predictions by both kinds of bins, (size, n_bins) each."""
        if size * self.n_bins**2 > correct.size:
            return tuple(_tally(groups, bins, size, self.n_bins, correct) for bins in (self.bins, self.mass_bins))
        # Both at once: with fewer pairs of bins than examples, counting them is what takes the time.
        pairs = _tally(groups, self.bins * self.n_bins + self.mass_bins, size, self.n_bins**2, correct)
        pairs = pairs.reshape(size, self.n_bins, self.n_bins)
        return pairs.sum(axis=2), pairs.sum(axis=1)

    def sums(self, labels: np.ndarray, groups: np.ndarray | None = None, size: int = 1) -> dict[str, np.ndarray]:
        """Return all sums of labels (n,) by group, by default of all examples: name -> (size, width)."""
        groups = np.zeros(len(labels), dtype=np.int64) if groups is None else groups
        return self.fixed_sums(groups, size) | self.label_sums(labels, groups, size)

    @property
    def _class_width(self) -> int:
        return self.n_bins * self.probabilities.shape[1]


def _tally(groups, cells, size: int, width: int, weights: np.ndarray | None = None) -> np.ndarray:
    """Return the sums of the weights (counts, if none) by group and cell, (size, width)."""
    if width == 1 and groups.ndim == 2:  # a group is a row of weights: no need to look for its members
        return weights.sum(axis=1, keepdims=True)
    places = groups * width + cells
    if weights is None:
        sums = np.bincount(places.ravel(), minlength=size * width)
    elif weights.dtype == bool:  # faster than to weigh by 0 and 1
        sums = np.bincount(np.broadcast_to(places, weights.shape)[weights], minlength=size * width)
    else:
        places, weights = np.broadcast_arrays(places, weights)
        sums = np.bincount(places.ravel(), weights.ravel(), minlength=size * width)
    return sums.reshape(size, width)
