"""Estimates with confidence bounds at any level, which small samples cannot fool.

Means have the bounds of cluster-robust normal theory, differences of paired proportions those of Tango's score test.
None is narrower than what was not seen allows: what happens at a rate of 1 - alpha^(1/n) is missing from n examples in
`alpha` of samples.
"""

import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike

from trusteq.errors import DataError
from trusteq.statistics import LEVEL, value_order

TAIL = (1 - LEVEL) / 2  # of samples in which one end of an interval misses the truth
POWER = 0.8  # with which a wanted number of examples, or of seeds, would decide
Bounds = tuple[float, float]


@dataclass(frozen=True)
class Estimate:
    """A number from n examples, with its confidence bounds.

    bounds: alpha -> (low, high); each end misses the truth in a share `alpha` of samples. units: what is independent,
    examples or clusters. effective: as many independent examples say as much as these n. error: the standard error.
    """

    value: float
    bounds: Callable[[float], Bounds]
    n: int
    units: int
    effective: float
    error: float = math.nan

    @functools.cached_property
    def interval(self) -> Bounds:
        """The 95% interval."""
        return self.bounds(TAIL)

    @property
    def independent(self) -> float:
        """From how many examples, or clusters, a kind that was not seen can be missing.

        Whole clusters may be of that kind, however little those seen differ: there are no more than clusters, or fewer.
        """
        return min(self.effective, self.units)

    @property
    def is_clustered(self) -> bool:
        """Whether examples come in clusters."""
        return self.units < self.n

    def negated(self) -> "Estimate":
        """Return the estimate of the same number with the other sign."""
        return replace(
            self, value=-self.value, bounds=lambda alpha: tuple(-end for end in reversed(self.bounds(alpha)))
        )

    def shifted(self, by: float) -> "Estimate":
        """Return the estimate of the number and a constant."""
        return replace(self, value=self.value + by, bounds=lambda alpha: tuple(end + by for end in self.bounds(alpha)))

    def levelled(self, factor: float) -> "Estimate":
        """Return the same with bounds for `factor` times the error that is asked for, as at one look of several."""
        return replace(self, bounds=lambda alpha: self.bounds(alpha * factor))

    def widened(self, slack: Callable[[float], float]) -> "Estimate":
        """Return the same with both bounds moved outwards by slack(alpha)."""

        def bounds(alpha: float) -> Bounds:
            low, high = self.bounds(alpha)
            return low - slack(alpha), high + slack(alpha)

        return replace(self, bounds=bounds)


@dataclass(frozen=True)
class Moments:
    """Means of columns and their covariance, shapes (m,) and (m, m), whole clusters being independent.

    dof: Satterthwaite's degrees of freedom; 0 from a single unit, of which nothing can be said. effective, skewness (of
    examples, or of the sums over clusters): of the first column.
    """

    means: np.ndarray
    covariance: np.ndarray
    dof: float
    n: int
    units: int
    effective: float
    skewness: float = 0.0

    @property
    def error(self) -> float:
        """The standard error of the first column's mean; infinite from a single unit."""
        return math.sqrt(max(float(self.covariance[0, 0]), 0.0)) if self.dof else math.inf

    @property
    def independent(self) -> float:
        """See `Estimate.independent`."""
        return min(self.effective, self.units)

    def estimate(self, bounds: Callable[[float], Bounds], *, possible: Bounds) -> Estimate:
        """Return the mean of the first column with these bounds; of a single unit, with what is `possible`."""
        of_all = bounds if self.dof else lambda alpha: possible
        return Estimate(float(self.means[0]), of_all, self.n, self.units, self.effective, self.error)

    def reach(self, alpha: float) -> Bounds:
        """Return by how many standard errors the bounds of the mean lie below and above it: Student's t, or more.

        A mean of skewed values misses its target more often on one side; there the bound is moved outwards by Hall's
        transformation. Source: Hall (1992), On the Removal of Skewness by Transformation, with the cubic of section 2.
        """
        t, root = quantile(alpha, self.dof), math.sqrt(self.units)
        low, high = (abs(_hall(sign * t / root, self.skewness, self.units)) * root for sign in (1, -1))
        return max(t, low), max(t, high)


def moments(columns: ArrayLike, *, clusters: ArrayLike | None = None) -> Moments:
    """Return the means of columns, shape (n, m), and their covariance by the CR2 estimator.

    clusters: shape (n,), what belongs together; by default each example is its own. Raises DataError for no rows,
    values that are not finite, clusters of another length.
    Source: Bell and McCaffrey (2002), Bias Reduction in Standard Errors for Linear Regression with Multi-Stage Samples,
    for CR2 and its degrees of freedom; Korn and Graubard (1998), Confidence Intervals for Proportions with Small
    Expected Number of Positive Counts, for the effective number: n / deff, and (t(n - 1) / t(dof))^2 of it.
    """
    columns = np.asarray(columns, dtype=np.float64)
    if columns.ndim != 2 or not len(columns) or not np.isfinite(columns).all():
        raise DataError(f"estimate: values of shape {columns.shape}, not all finite or none at all; drop nan first")
    n = len(columns)
    order = value_order(columns)  # so that the order given is forgotten, to the last bit
    columns, codes = columns[order], np.arange(n)
    if clusters is not None:
        codes = np.unique(np.asarray(clusters), return_inverse=True)[1]
        if codes.shape != (n,):
            raise DataError(f"estimate: {len(codes)} clusters for {n} rows; give one for each")
        codes = codes[order]
    means, shares = columns.mean(axis=0), np.bincount(codes) / n
    if len(shares) < 2:
        return Moments(means, np.full((len(means),) * 2, np.nan), 0.0, n, 1, 1.0)
    residuals = columns - means
    sums = np.column_stack([np.bincount(codes, of) for of in residuals.T]) / (n * np.sqrt(1 - shares)[:, None])
    sums, dof = sums[value_order(sums)], _satterthwaite(np.sort(shares))
    covariance, independent = sums.T @ sums, (residuals[:, 0] ** 2).sum() / (n * (n - 1))
    effective = _effective(n, len(shares), dof, covariance[0, 0], independent)
    return Moments(means, covariance, dof, n, len(shares), effective, _skewness(sums[:, 0]))


def _hall(t: float, skewness: float, n: int) -> float:
    """Return the studentised mean, over root n, that Hall's transformation takes to t."""
    if abs(skewness) < 1e-9:
        return t
    return 3 / skewness * (math.cbrt(1 + skewness * (t - skewness / (6 * n))) - 1)


def _skewness(residuals: np.ndarray) -> float:
    spread = (residuals**2).mean()
    return float((residuals**3).mean() / spread**1.5) if spread > 0 else 0.0


def _satterthwaite(shares: np.ndarray) -> float:
    """Return the degrees of freedom of CR2 for a mean, from the share of examples in each cluster."""
    leverage = shares**2 / (1 - shares)
    return float(1 / ((shares**2).sum() + leverage.sum() ** 2 - (leverage**2).sum()))


def _effective(n: int, units: int, dof: float, variance: float, independent: float) -> float:
    if units == n:
        return float(n)
    if variance <= 0 or independent <= 0:
        return float(units)  # equal values do not say how alike clusters are: at worst one example a cluster
    return n / max(1.0, float(variance / independent)) * (quantile(TAIL, n - 1) / quantile(TAIL, dof)) ** 2


def quantile(alpha: float, dof: float) -> float:
    """Return Student's t that is passed with probability alpha."""
    from scipy.special import stdtrit

    return float(-stdtrit(dof, alpha))


def unseen(effective: float, alpha: float) -> float:
    """Return the rate at which something is missing from so many independent examples in a share alpha of samples.

    Source: Hanley and Lippman-Hand (1983), If Nothing Goes Wrong, Is Everything All Right?
    """
    return 1 - alpha ** (1 / effective)


def mean(values: ArrayLike, *, clusters: ArrayLike | None = None, within: Bounds = (-1.0, 1.0)) -> Estimate:
    """Return the mean of values, shape (n,), of which every one lies `within` two numbers.

    Its bounds are Student's, from the CR2 variance and Satterthwaite's degrees of freedom (see `moments`), wider where
    values are skewed (`Moments.reach`), and no narrower than `unseen` allows; from a single unit they are `within`.
    Raises DataError as `moments` does.
    """
    found = moments(np.asarray(values, dtype=np.float64)[:, None], clusters=clusters)
    value = float(found.means[0])

    def bounds(alpha: float) -> Bounds:
        below, above = (of * found.error for of in found.reach(alpha))
        return _at_least(value, (value - below, value + above), within, unseen(found.independent, alpha))

    return found.estimate(bounds, possible=within)


def _at_least(value: float, bounds: Bounds, within: Bounds, rate: float) -> Bounds:
    """Return bounds no narrower than what happens at a rate that was not seen, and not beyond what is possible."""
    low, high = (end + rate * (limit - end) for end, limit in zip((value, value), within, strict=True))
    return max(min(bounds[0], low), within[0]), min(max(bounds[1], high), within[1])


def proportion(values: ArrayLike, *, clusters: ArrayLike | None = None) -> Estimate:
    """Return the share of true values, shape (n,), with the bounds of Clopper and Pearson at the effective number.

    Raises DataError as `moments` does. Source: Korn and Graubard (1998).
    """
    found = moments(np.asarray(values, dtype=np.float64)[:, None], clusters=clusters)
    value, n = float(found.means[0]), found.effective

    def bounds(alpha: float) -> Bounds:
        from scipy.special import betaincinv

        low = betaincinv(value * n, n - value * n + 1, alpha) if value > 0 else 0.0
        high = betaincinv(value * n + 1, n - value * n, 1 - alpha) if value < 1 else 1.0
        return float(low), float(high)

    return found.estimate(bounds, possible=(0.0, 1.0))


def paired_difference(first: ArrayLike, second: ArrayLike, *, clusters: ArrayLike | None = None) -> Estimate:
    """Return the share of `second` less that of `first`, both booleans of shape (n,) about the same examples.

    Its bounds are those of Tango's score test, corrected (`tango_bound`), at the effective number of examples; where no
    example differs, those of `unseen`, which are exact. Raises DataError as `moments` does.
    Source: Tango (1998), Equivalence Test and Confidence Interval for the Difference in Proportions for the
    Paired-Sample Design; Korn and Graubard (1998) for the effective number.
    """
    change = np.asarray(second, dtype=np.float64) - np.asarray(first, dtype=np.float64)
    found = moments(change[:, None], clusters=clusters)
    gained, lost = (float((change * sign > 0).mean()) * found.effective for sign in (1, -1))

    def bounds(alpha: float) -> Bounds:
        rate = unseen(found.independent, alpha)
        if not gained and not lost:
            return -rate, rate
        low, high = (tango_bound(gained, lost, found.effective, z) for z in _both(alpha))
        return _at_least(float(found.means[0]), (low, high), (-1.0, 1.0), rate)

    return found.estimate(bounds, possible=(-1.0, 1.0))


def _both(alpha: float) -> tuple[float, float]:
    from scipy.special import ndtri

    return float(-ndtri(alpha)), float(ndtri(alpha))


def tango_bound(gained: float, lost: float, n: float, z: float) -> float:
    """Return the difference of two paired proportions at which Tango's score is z: a lower bound for z > 0.

    gained, lost: how many of n examples have the second alone, or the first alone; not both 0. The score lacks half an
    example, and where few differ by what the skewness of their number adds to its tail (Cornish and Fisher 1938,
    Moments and Cumulants in the Specification of Distributions): without the first, the bound of 8 of 200 misses the
    truth in 5% of samples in place of 2.5%, and without the second that of 8 of 400 in 3.3%.
    """
    from scipy.optimize import brentq

    outwards = math.copysign(1.0, z)

    def gap(difference: float) -> float:
        linear = (2 * n - gained + lost) * difference - gained - lost
        root = math.sqrt(linear**2 + 8 * n * lost * difference * (1 - difference))
        share = (root - linear) / (4 * n)  # of those lost, were the difference this
        variance = max(2 * share + difference * (1 - difference), 0.0)
        third = difference - 3 * difference * (2 * share + difference) + 2 * difference**3
        tail = outwards * (z**2 - 1) / 6 * third / variance if variance else 0.0
        seen = gained - lost - outwards * (0.5 + max(0.0, tail))
        return seen - n * difference - z * math.sqrt(n * variance)

    ends = (gained - lost) / n, -outwards
    return -outwards if gap(ends[0]) * gap(ends[1]) >= 0 else float(brentq(gap, *ends, xtol=1e-12))


def mean_less(
    values: ArrayLike, exact: Estimate, *, clusters: ArrayLike | None = None, within: Bounds = (-1.0, 1.0)
) -> Estimate:
    """Return the mean of values, shape (n,), that are something less what `exact` is the mean of, example by example.

    exact: of `paired_difference`, of the same examples and clusters. The bounds are Student's, and by how much those of
    `exact` reach beyond Student's is added in quadrature, so that few flips, which are not normal, count as they do by
    themselves. They are no narrower than `unseen` allows; from a single unit they are `within`. Raises DataError as
    `moments` does. Source: Zou and Donner (2008), Construction of Confidence Limits About Effect Measures: A General
    Approach, for bounds that are added in quadrature.
    """
    found = moments(np.asarray(values, dtype=np.float64)[:, None], clusters=clusters)
    value = float(found.means[0])

    def bounds(alpha: float) -> Bounds:
        t, (low, high) = quantile(alpha, found.dof), exact.bounds(alpha)
        lacks = (max(0.0, reach**2 - (t * exact.error) ** 2) for reach in (high - exact.value, exact.value - low))
        below, above = (math.sqrt((t * found.error) ** 2 + lack) for lack in lacks)
        return _at_least(value, (value - below, value + above), within, unseen(found.independent, alpha))

    return found.estimate(bounds, possible=within)


def beyond_normal(exact: Estimate, values: ArrayLike, *, clusters: ArrayLike | None = None) -> Callable[[float], float]:
    """Return what normal theory lacks: by how much the bounds of `exact` reach beyond those of the mean of values.

    exact: of `proportion` or `paired_difference`, of the same values, shape (n,), and clusters. What is made of right
    and wrong answers without being their mean, such as a calibration error, is widened by as much.
    """
    found = moments(np.asarray(values, dtype=np.float64)[:, None], clusters=clusters)

    def slack(alpha: float) -> float:
        (low, high), normal = exact.bounds(alpha), quantile(alpha, found.dof) * found.error if found.dof else math.inf
        return max(0.0, exact.value - low - normal, high - exact.value - normal)

    return slack


def ratio(
    numerator: ArrayLike, denominator: ArrayLike, *, clusters: ArrayLike | None = None, reach: Bounds = (1.0, 1.0)
) -> Estimate:
    """Return the ratio of two means over the same examples, shapes (n,), such as a place between chance and ceiling.

    Its bounds are Fieller's: a ratio r lies within them if the mean of numerator - r * denominator is not shown to
    differ from 0, by the bounds of `mean`; they are infinite where the denominator's mean is not shown to be above 0.
    reach: how far below and above its mean the numerator of an example not seen could be. nan where the denominator's
    mean is not above 0.
    Source: Fieller (1954), Some Problems in Interval Estimation.
    """
    found = moments(np.column_stack([numerator, denominator]), clusters=clusters)
    top, bottom = found.means.tolist()
    if not bottom > 0:
        return Estimate(math.nan, lambda alpha: (-math.inf, math.inf), found.n, found.units, found.effective)
    value = top / bottom
    apart = moments(np.column_stack([np.subtract(numerator, np.multiply(value, denominator))]), clusters=clusters)

    def bounds(alpha: float) -> Bounds:
        if not found.dof:
            return -math.inf, math.inf
        low, high = (_fieller(found, t)[side] for side, t in enumerate(apart.reach(alpha)))
        slack = unseen(found.independent, alpha) / bottom
        return min(low, value - slack * reach[0]), max(high, value + slack * reach[1])

    return Estimate(value, bounds, found.n, found.units, found.effective, apart.error / bottom)


def _fieller(found: Moments, t: float) -> Bounds:
    (top, bottom), ((a, b), (_, c)) = found.means.tolist(), (t**2 * found.covariance).tolist()
    square = bottom**2 - c
    if square <= 0:
        return -math.inf, math.inf
    middle, root = top * bottom - b, math.sqrt(max((top * bottom - b) ** 2 - square * (top**2 - a), 0.0))
    return (middle - root) / square, (middle + root) / square


def holm(rejects: Sequence[Callable[[float], bool]], *, alpha: float = TAIL) -> list[bool]:
    """Return which of several claims stand when all are made at once, with `alpha` the chance of any false one.

    rejects: of each claim, whether it stands alone at a given alpha. Source: Holm (1979), A Simple Sequentially
    Rejective Multiple Test Procedure.
    """
    left = set(range(len(rejects)))
    while left:
        stands = {claim for claim in left if rejects[claim](alpha / len(left))}
        if not stands:
            break
        left -= stands
    return [claim not in left for claim in range(len(rejects))]
