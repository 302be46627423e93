"""Hand-over: on which share of inputs may the small model answer alone, the rest being handed to the large one?

It answers where its confidence, its largest probability, reaches a threshold. The risk of a threshold is over all
inputs. Thresholds are tested from the highest down, each at 95%, and the first that fails ends the search: the risk of
the one that is chosen is within its level in at least 95% of dev samples. Their order is fixed before a label is seen,
so nothing is paid for testing many.
Source: Angelopoulos et al. (2021), Learn then Test: Calibrating Predictive Algorithms to Achieve Risk Control, on
fixed sequence testing.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from trusteq.errors import DataError
from trusteq.estimates import mean, paired_difference
from trusteq.verdict.predictions import Predictions, check_same_labels

LEVELS = (0.005, 0.01, 0.02)
ALPHA = 0.05
# Finer near 1, where a fine-tuned model has most of its inputs. 0: it answers always.
THRESHOLDS = (1.0, 0.9999, 0.9998, 0.9995, 0.999, 0.998, 0.995, *(np.arange(99, -1, -1) / 100).tolist())
Pair = tuple[Predictions, Predictions]  # the large model's and the small one's, matched


@dataclass(frozen=True)
class Units:
    """What is independent, examples or clusters, by kind: shapes (m,), but for counts.

    sizes: examples in a unit. sums: of their losses. counts: units of the kind, shape (..., m): of one sample, or of
    several at once.
    """

    sizes: np.ndarray
    sums: np.ndarray
    counts: np.ndarray

    @classmethod
    def of(cls, losses: np.ndarray, codes: np.ndarray) -> "Units":
        """Return the units of losses, (n,), whole numbers, of examples in clusters of these codes, (n,), from 0."""
        sizes, sums = np.bincount(codes), np.bincount(codes, losses).astype(np.int64)
        _, first, counts = np.unique(3 * sizes.max() * sizes + sums, return_index=True, return_counts=True)
        return cls(sizes[first], sums[first], counts)

    @property
    def n(self) -> np.ndarray:
        """The number of examples, shape (...)."""
        return self.counts @ self.sizes


def clopper_pearson(events: ArrayLike, n: ArrayLike, alpha: float = ALPHA) -> np.ndarray:
    """Return the upper bound of a probability from how many of n independent examples show the event.

    It is below the probability in at most a share `alpha` of samples. Source: Clopper and Pearson (1934), The Use of
    Confidence or Fiducial Limits; as a bound of risk, Bates et al. (2021), Distribution-Free, Risk-Controlling
    Prediction Sets.
    """
    from scipy.special import betaincinv

    events, n = np.asarray(events, dtype=np.float64), np.asarray(n, dtype=np.float64)
    return np.where(events >= n, 1.0, betaincinv(events + 1, np.maximum(n - events, 1), 1 - alpha))


def stakes(bet: np.ndarray, units: Units, level: float) -> np.ndarray:
    """Return what each unit pays before its losses are taken off, `bet` (...) for each: shape (..., m).

    All pay alike, but for large ones that could lose more than that; their mean is 1 + bet * level * mean size. So the
    mean of stake - bet * sum is at most 1 where the risk is at least `level`, and none is below 0.
    """
    order = np.argsort(-units.sizes, kind="stable")
    sizes, counts = units.sizes[order], units.counts[..., order]
    whole, left = counts.sum(axis=-1), np.cumsum(counts[..., ::-1], axis=-1)[..., ::-1]
    lost = np.cumsum(counts * sizes, axis=-1) - counts * sizes  # by the larger ones, if they lose all
    mean = (whole + bet * level * units.n)[..., None] - np.asarray(bet)[..., None] * lost
    alike = np.where(left > 0, mean / np.maximum(left, 1), np.inf).min(axis=-1)
    return np.maximum(alike[..., None], np.asarray(bet)[..., None] * units.sizes)


def boldest(units: Units, level: float) -> np.ndarray:
    """Return the bet that wins most where nothing is lost, shape (...): 1 / (1 - level) for independent examples."""
    from scipy.special import xlogy

    most = np.asarray(units.counts.sum(axis=-1) / (units.n * (1 - level)))
    if (units.sizes == units.sizes[0]).all():
        return most
    bets = most * (np.arange(1, 21) / 20).reshape(-1, *(1,) * most.ndim)
    best = xlogy(units.counts, stakes(bets, units, level)).sum(axis=-1).argmax(axis=0)
    return np.take_along_axis(bets, best[None], axis=0)[0]


def betting(units: Units, *, level: float, alpha: float, variances: tuple[float, ...]) -> np.ndarray:
    """Return whether the risk is shown to be at most `level`, shape (...): wrong in a share `alpha` of samples at most.

    Who bets on losses below `level` expects to win nothing where the risk is at least that, and so comes to 1 / alpha
    times what was put in in at most a share `alpha` of samples. There is one bet for each guess of the variance of a
    loss, and their mean counts: a wrong guess wins less, but is no less valid. Losses are at most 1 an example.
    Clusters may have any sizes. They are taken as given: the risk is that of the examples of independent clusters of
    these sizes. A product of independent factors whose expectations are 1 on average expects at most 1, so neither the
    order of clusters matters nor which of them lose.
    Source: Waudby-Smith and Ramdas (2024), Estimating Means of Bounded Random Variables by Betting, for the size of a
    bet where n is fixed, and for the mean of several bets. Stakes that differ by size are ours.
    """
    from scipy.special import xlogy

    target, most = math.log(1 / alpha), boldest(units, level)
    bets = [np.minimum(most, np.sqrt(2 * target / (units.n * variance))) for variance in variances]
    left = [stakes(bet, units, level) - bet[..., None] * units.sums for bet in bets]
    won = [xlogy(units.counts, factor.clip(min=0)).sum(axis=-1) for factor in left]
    return np.logaddexp.reduce(won, axis=0) - math.log(len(won)) >= target


def flips_shown(units: Units, threshold: float, level: float, alpha: float) -> np.ndarray:
    """Return whether the share of flips kept is shown to be at most `level`, shape (...): exact for single examples."""
    if (units.sizes == 1).all():
        return clopper_pearson(units.counts @ units.sums, units.n, alpha) <= level
    return betting(units, level=level, alpha=alpha, variances=(level,))


def accuracy_shown(units: Units, threshold: float, level: float, alpha: float) -> np.ndarray:
    """Return whether the accuracy lost is shown to be at most `level`, shape (...).

    Of two bets one is for a small model that changes little. The other's guess is what published small models gain and
    lose above a threshold: the less sure, the more.
    """
    variances = (level, level + (1 - threshold) ** 2 / 5)
    return betting(units, level=level, alpha=alpha, variances=variances)


@dataclass(frozen=True)
class Risk:
    """What is lost where the small model answers alone.

    loss: whether the large and the small model are right, (n,) each, to the loss of an example, in [lowest, 1]. shown:
    (units, threshold, level, alpha) to whether the risk is at most the level.
    """

    title: str
    loss: Callable[[np.ndarray, np.ndarray], np.ndarray]
    lowest: int
    shown: Callable[[Units, float, float, float], np.ndarray]
    source: str

    def losses(self, large: Predictions, small: Predictions) -> np.ndarray:
        """Return the loss of each example if the small model answers it, int64 of shape (n,)."""
        return self.loss(large.right, small.right).astype(np.int64)


RISKS: dict[str, Risk] = {
    "flips": Risk(
        "flips kept",
        lambda large, small: large & ~small,
        0,
        flips_shown,
        "Bates et al. (2021), Distribution-Free, Risk-Controlling Prediction Sets",
    ),
    "accuracy": Risk(
        "accuracy lost",
        lambda large, small: large.astype(int) - small,
        -1,
        accuracy_shown,
        "Waudby-Smith and Ramdas (2024), Estimating Means of Bounded Random Variables by Betting",
    ),
}


def handover(
    dev: Pair, test: Pair | None = None, *, levels: tuple[float, ...] = LEVELS, alpha: float = ALPHA
) -> pd.DataFrame:
    """Return the lowest threshold of the small model for each risk and level, and what it brings on test.

    dev, test: the large and the small model's predictions, `matched`; whole clusters are independent. Columns: risk,
    level, threshold (nan where nothing may be answered alone), share (of test inputs that it answers, of dev inputs
    without a test), share_low (its one-sided lower bound at 1 - alpha), realised (risk on test), realised_low,
    realised_high (its 95% interval), n_dev, n (examples behind share). Without a test, share_low and what is realised
    are nan: dev chose the threshold. The promise is for inputs like those of dev; test shows whether its are.
    Raises DataError for no examples, other labels, levels or alpha outside (0, 1).
    """
    for pair in (dev, test or dev):
        _check(*pair)
    if not all(0 < value < 1 for value in (*levels, alpha)):
        raise DataError(f"handover: levels {levels}, alpha={alpha}; give numbers between 0 and 1")
    found = [(risk, level, safe_threshold(RISKS[risk], *dev, level, alpha)) for risk in RISKS for level in levels]
    rows = [
        {"risk": risk, "level": level, "threshold": threshold, **_realised(RISKS[risk], threshold, dev, test, alpha)}
        for risk, level, threshold in found
    ]
    return pd.DataFrame(rows)


def _check(large: Predictions, small: Predictions) -> None:
    check_same_labels(large.labels, small.labels)
    if not len(large.gold):
        raise DataError("handover: no examples; give predictions on a dev split, which choose the threshold")
    if not np.array_equal(large.gold, small.gold):
        raise DataError("handover: the models' gold labels differ; give predictions for the same examples, `matched`")


def confidence(small: Predictions) -> np.ndarray:
    """Return the largest probability of each example, shape (n,)."""
    return small.probabilities.max(axis=1)


def safe_threshold(risk: Risk, large: Predictions, small: Predictions, level: float, alpha: float) -> float:
    """Return the lowest threshold before the first that is not shown to be safe; nan where no example reaches it."""
    sure, losses, codes = confidence(small), risk.losses(large, small), _codes(small)
    safe = math.inf
    for threshold in THRESHOLDS:
        if not risk.shown(Units.of(losses * (sure >= threshold), codes), threshold, level, alpha):
            break
        safe = threshold
    return safe if (sure >= safe).any() else math.nan


def _codes(of: Predictions) -> np.ndarray:
    return np.arange(len(of.gold)) if of.clusters is None else np.unique(of.clusters, return_inverse=True)[1]


def _realised(risk: Risk, threshold: float, dev: Pair, test: Pair | None, alpha: float) -> dict[str, float]:
    large, small = test or dev
    kept = confidence(small) >= threshold
    share = mean(kept, clusters=small.clusters, within=(0.0, 1.0))
    sizes = {"n_dev": len(dev[0].gold), "n": len(kept)}
    none = dict.fromkeys(("share_low", "realised", "realised_low", "realised_high"), math.nan)
    if math.isnan(threshold):
        return {"share": 0.0} | dict.fromkeys(none, 0.0) | sizes
    if test is None:
        return {"share": share.value} | none | sizes
    losses = risk.losses(large, small) * kept
    lost = paired_difference(losses < 0, losses > 0, clusters=small.clusters)
    low, high = np.clip(lost.interval, risk.lowest, 1).tolist()
    seen = (share.bounds(alpha)[0], lost.value, low, high)
    return {"share": share.value} | dict(zip(none, seen, strict=True)) | sizes


def handover_curve(large: Predictions, small: Predictions) -> pd.DataFrame:
    """Return what each threshold brings: threshold, share, and of each of `RISKS` its value on these predictions.

    Raises DataError as `handover` does.
    """
    _check(large, small)
    kept = confidence(small)[:, None] >= np.array(THRESHOLDS)
    risks = {name: risk.losses(large, small) @ kept / len(kept) for name, risk in RISKS.items()}
    return pd.DataFrame({"threshold": THRESHOLDS, "share": kept.mean(axis=0), **risks})
