"""What each calibration score would be by chance: a perfectly calibrated model, seen on as few examples.

A model whose labels are drawn from its own probabilities is calibrated by construction, and yet its ECE is not 0: bins
of few examples leave their diagonal by luck. Where a score lies in its null band, it shows no miscalibration.
"""

from collections.abc import Iterator

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from trusteq.calibration.bins import Design
from trusteq.calibration.intervals import score_intervals
from trusteq.calibration.proper_scores import SCORES, check_probabilities
from trusteq.errors import DataError
from trusteq.statistics import LEVEL, stream, value_order

_DRAWS = 1000
_FEWEST = 100
_LABELS = 10**8  # drawn in all, where that leaves _FEWEST draws or more
_CHUNK = 1 << 16  # labels drawn at once: they stay in the cache


def null_bands(
    probabilities: ArrayLike,
    *,
    n_bins: int = 10,
    binning: str = "equal-width",
    draws: int | None = None,
    level: float = LEVEL,
    seed: int = 0,
) -> pd.DataFrame:
    """Return each score's distribution if the labels were drawn from the probabilities themselves.

    probabilities: shape (n, C). binning: see `calibration.scores`. draws: of all n labels; by default 1,000, less for
    n above 100,000, but 100 at least. Columns: score, expected (mean of the draws), low, high (the middle `level` of
    them); one row per score, nan for one that is no function of sums. The order of the rows does not matter.
    Raises DataError for input that is not that.
    Source: the consistency resampling of Bröcker and Smith (2007), Increasing the Reliability of Reliability Diagrams.
    """
    probabilities = _sorted_rows(probabilities)
    draws, tails = _checked(draws, len(probabilities)), _tails(level)
    design = Design.of(probabilities, n_bins=n_bins, binning=binning)
    fixed = design.fixed_sums(np.zeros(len(probabilities), dtype=np.int64), 1)
    summed = {name: score.of_sums for name, score in SCORES.items() if score.of_sums}
    parts = []
    for labels in _drawn_labels(probabilities, draws, seed):
        sums = fixed | design.label_sums(labels, np.arange(len(labels))[:, None], len(labels))
        parts.append(np.column_stack(np.broadcast_arrays(*[of_sums(sums) for of_sums in summed.values()])))
    drawn = np.concatenate(parts)
    low, high = np.quantile(drawn, tails, axis=0)
    bands = pd.DataFrame({"score": list(summed), "expected": drawn.mean(axis=0), "low": low, "high": high})
    return pd.DataFrame({"score": list(SCORES)}).merge(bands, on="score", how="left")


def scores_beside(
    probabilities: ArrayLike, labels: ArrayLike, *, clusters: ArrayLike | None = None, seed: int = 0
) -> pd.DataFrame:
    """Return each score with its interval, beside what it would be by chance.

    Columns: score, value, low, high of `score_intervals`; expected, null_low, null_high of `null_bands`.
    """
    bands = null_bands(probabilities, seed=seed).rename(columns={"low": "null_low", "high": "null_high"})
    return score_intervals(probabilities, labels, clusters=clusters, seed=seed).merge(bands, on="score", how="left")


def consistency_bars(table: pd.DataFrame, *, level: float = LEVEL) -> pd.DataFrame:
    """Return a reliability table with low and high: where each bin's accuracy would be, were the model calibrated.

    table: of `calibration.reliability_table`. The bars are the middle `level` of a binomial with the bin's count and
    mean confidence; confidences that differ within a bin would narrow them, by under 2% in bins of width 0.1. nan in
    empty bins. They hold bin by bin: of ten bins of a calibrated model, one is outside its bar in four samples of ten.
    Raises DataError for a level outside (0, 1).
    Source: Bröcker and Smith (2007), Increasing the Reliability of Reliability Diagrams, who draw what is exact here.
    """
    from scipy.special import bdtr

    low, high = np.full((2, len(table)), np.nan)
    for row, (count, confidence) in enumerate(zip(table["count"], table["confidence"], strict=True)):
        if count:
            below = bdtr(np.arange(count + 1), count, min(confidence, 1.0))
            low[row], high[row] = np.searchsorted(below, _tails(level)) / count
    return table.assign(low=low, high=high)


def _sorted_rows(probabilities: ArrayLike) -> np.ndarray:
    """Return checked probabilities in an order of their own, so that draws do not depend on the one given."""
    probabilities = check_probabilities(probabilities)
    return probabilities[value_order(probabilities)]


def _checked(draws: int | None, n: int) -> int:
    if draws is None:
        return max(_FEWEST, min(_DRAWS, _LABELS // n))
    if draws < 1:
        raise DataError(f"null bands: draws={draws}; give at least 1")
    return draws


def _tails(level: float) -> list[float]:
    if not 0 < level < 1:
        raise DataError(f"null bands: level={level}; give 0 < level < 1")
    return [(1 - level) / 2, (1 + level) / 2]


def _drawn_labels(probabilities: np.ndarray, draws: int, seed: int) -> Iterator[np.ndarray]:
    """Yield labels drawn from the probabilities, (some of the draws, n), by the inverse of their sums."""
    sums = probabilities.cumsum(axis=1)
    borders = np.ascontiguousarray((sums[:, :-1] / sums[:, -1:]).T)  # a row may sum to 1.001
    for uniform in _uniform(len(probabilities), draws, stream(seed, "null bands")):
        labels = np.zeros(uniform.shape, dtype=np.int64)
        for border in borders:
            labels += uniform >= border  # a class of probability 0 is never drawn: 0 <= uniform < 1
        yield labels


def _uniform(n: int, draws: int, rng: np.random.Generator) -> Iterator[np.ndarray]:
    step = max(1, _CHUNK // n)
    for start in range(0, draws, step):
        yield rng.random((min(step, draws - start), n))
