"""Loyalty: does the compressed model say what the large one says, right or wrong?

No labels are needed. The first two measures are those of Xu et al. (2021), Beyond Preserved Accuracy: Evaluating
Loyalty and Robustness of BERT Compression.
"""

from collections.abc import Callable

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from trusteq.calibration.intervals import bootstrap_groups
from trusteq.calibration.proper_scores import check_probabilities, check_same_shape
from trusteq.statistics import interval, resampled_sums


def label_loyalty(large: np.ndarray, compressed: np.ndarray) -> np.ndarray:
    """Return 1 where both predict the same class, else 0, shape (n,); its mean is the share (Xu et al. 2021, 3.1)."""
    return (large.argmax(axis=1) == compressed.argmax(axis=1)).astype(np.float64)


def probability_loyalty(large: np.ndarray, compressed: np.ndarray) -> np.ndarray:
    """Return 1 - sqrt(Jensen-Shannon divergence, base 2), in [0, 1], shape (n,) (Xu et al. 2021, 3.2)."""
    from scipy.special import rel_entr

    middle = (large + compressed) / 2
    divergence = (rel_entr(large, middle) + rel_entr(compressed, middle)).sum(axis=1) / (2 * np.log(2))
    return 1 - np.sqrt(divergence.clip(0, 1))  # rounding may leave -1e-17


def total_variation(large: np.ndarray, compressed: np.ndarray) -> np.ndarray:
    """Return the most by which the probability of any set of classes differs, in [0, 1], shape (n,)."""
    return np.abs(large - compressed).sum(axis=1) / 2


def confidence_distance(large: np.ndarray, compressed: np.ndarray) -> float:
    """Return the 1-Wasserstein distance of the two distributions of confidence, in [0, 1].

    It compares the confidences as a whole, not example by example: 0 where one model is as sure as the other, of
    whatever examples.
    """
    from scipy.stats import wasserstein_distance

    return float(wasserstein_distance(large.max(axis=1), compressed.max(axis=1)))


# Each takes probabilities (n, C) of both models, and returns one number per example, or one in all.
LOYALTY: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray | float]] = {
    "label_loyalty": label_loyalty,
    "probability_loyalty": probability_loyalty,
    "total_variation": total_variation,
    "confidence_distance": confidence_distance,
}


def loyalty_table(
    large: ArrayLike, compressed: ArrayLike, *, clusters: ArrayLike | None = None, seed: int = 0
) -> pd.DataFrame:
    """Return each measure of `LOYALTY`, with its bootstrap interval: measure, value, low, high.

    large, compressed: probabilities of shape (n, C), of the same examples and classes. clusters: see
    `statistics.resampled_sums`. A mean over examples has an interval; the distance of two distributions has none (nan).
    Raises DataError for other input.
    """
    large = check_probabilities(large)
    compressed = check_same_shape(large, compressed)
    measured = {name: measure(large, compressed) for name, measure in LOYALTY.items()}
    means = {name: values for name, values in measured.items() if np.ndim(values)}
    low, high = _intervals(np.column_stack(list(means.values())), clusters, seed)
    table = pd.DataFrame({"measure": list(measured), "value": [np.mean(values) for values in measured.values()]})
    bounds = pd.DataFrame({"measure": list(means), "low": low, "high": high})
    return table.merge(bounds, on="measure", how="left")


def _intervals(values: np.ndarray, clusters: ArrayLike | None, seed: int) -> tuple[np.ndarray, np.ndarray]:
    order, groups, size = bootstrap_groups(values, clusters=clusters, seed=seed)
    columns = np.column_stack([np.ones(len(values)), values[order]])
    sums = np.column_stack([np.bincount(groups, column, minlength=size) for column in columns.T])
    drawn = resampled_sums(sums, seed=seed)
    # A mean of equal values can leave their range by rounding; the interval of a constant is that constant.
    means = (drawn[:, 1:] / drawn[:, :1]).clip(values.min(axis=0), values.max(axis=0))
    return interval(means, n=size)
