"""Claims about a way of compressing, not about two checkpoints: training seeds vary as examples do.

Seeds and examples are crossed random factors: every seed meets the same examples. A difference y of seed k on example e
is a mean + a_k + b_e + c_ke, and the mean over K seeds and n examples varies by
var(a) / K + var(b) / n + var(c) / (K n); with clusters of examples, by the same of whole clusters.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from trusteq.errors import DataError
from trusteq.estimates import POWER, TAIL, Bounds, Estimate, mean, moments, quantile, unseen

FEWEST_SEEDS = 3  # two have a t of 12.7 and no spread to speak of
MOST_SEEDS = 1000  # more are as good as none that would do


@dataclass(frozen=True)
class Components:
    """What the result of one training seed, a mean over the examples, varies by: three variances of that mean.

    seeds: that of training, on whatever examples. examples: that of the examples, which all seeds share. rest: that of
    a seed on these examples alone; it shrinks with either. nan for fewer than 2 seeds, or independent examples.
    """

    seeds: float
    examples: float
    rest: float
    n_seeds: int

    @property
    def intraclass(self) -> float:
        """How far two results of one seed on other examples correlate, the share of training; nan without variance."""
        total = self.seeds + self.examples + self.rest
        return self.seeds / total if total > 0 else math.nan

    def variance(self, n_seeds: int | np.ndarray) -> float | np.ndarray:
        """Return the variance of the mean over so many seeds, of the same examples."""
        return (self.seeds + self.rest) / n_seeds + self.examples


def is_about_way(n_seeds: int) -> bool:
    """Return whether so many training seeds allow a claim about a way of compressing, not only about checkpoints."""
    return n_seeds >= FEWEST_SEEDS


def components(values: ArrayLike, *, clusters: ArrayLike | None = None) -> Components:
    """Return the variance components of values, shape (K, n), of K training seeds on the same n examples.

    clusters: shape (n,), examples that belong together. No component is below 0, so `variance` of these seeds is never
    below what seeds alone, or examples alone, make of it. Raises DataError as `moments` does.
    Source: Cornfield and Tukey (1956), Average Values of Mean Squares in Factorials, for two crossed random factors;
    the variances over examples are CR2's, of whole clusters, which for single examples are the mean squares.
    """
    values = _checked(values)
    found, n_seeds = moments(values.T, clusters=clusters), len(values)
    if n_seeds < 2 or not found.dof:
        return Components(math.nan, math.nan, math.nan, n_seeds)
    of_mean, of_one = found.covariance.mean(), found.covariance.trace() / n_seeds
    rest = max(float(of_one - of_mean) * n_seeds / (n_seeds - 1), 0.0)
    seeds = max(float(found.means.var(ddof=1)) - rest, 0.0)
    return Components(seeds, max(float(of_mean) - rest / n_seeds, 0.0), rest, n_seeds)


def _checked(values: ArrayLike) -> np.ndarray:
    values = np.asarray(values, dtype=np.float64)
    if values.ndim != 2 or not len(values):
        raise DataError(f"seeds: values of shape {values.shape}; give one row a training seed, one column an example")
    return values


def crossed(values: ArrayLike, *, clusters: ArrayLike | None = None, within: Bounds = (-1.0, 1.0)) -> Estimate:
    """Return the mean of values, shape (K, n), over training seeds and examples, as an estimate for other such seeds.

    values: of K seeds on the same n examples, each `within` two numbers. Where the compressed model was made from the
    large one, a seed is the pair of both (see `study.sides.paired_seeds`). clusters: shape (n,), see `components`.

    Its bounds are Student's on K - 1 degrees of freedom, which is conservative while examples have a part in the
    variance (Satterthwaite's would be narrower and, of 3 seeds, miss too often), and no narrower than those of `mean`
    over examples alone, so than `unseen` allows; of one seed they are `within`.
    n, units and effective are those of the examples. Raises DataError as `moments` does.
    Source: Owen (2007), The Pigeonhole Bootstrap, for the variance; Clark (1973), The Language-as-Fixed-
    Effect Fallacy, for why both factors are random.
    """
    values, parts = _checked(values), components(values, clusters=clusters)
    alone = mean(values.mean(axis=0), clusters=clusters, within=within)
    error = math.sqrt(parts.variance(len(values)))

    def bounds(alpha: float) -> Bounds:
        if math.isnan(error):
            return within
        low, high = alone.bounds(alpha)
        reach = quantile(alpha, len(values) - 1) * error
        return max(min(low, alone.value - reach), within[0]), min(max(high, alone.value + reach), within[1])

    return Estimate(alone.value, bounds, alone.n, alone.units, alone.effective)


def between_seeds(estimates: Sequence[Estimate]) -> Estimate:
    """Return the mean of one measure's estimates, one a training seed on the same examples, for other such seeds.

    For measures that are no mean over examples, such as a difference of calibration errors. A bound is as far off as
    the root of the sum of two squares: Student's t on K - 1 degrees of freedom times the standard error between seeds,
    and the mean distance of the single estimates' own bounds. The latter is what examples can do to the mean at most,
    as if they did the same to every seed; what they do to each seed apart is between seeds as well, so it counts twice
    and the bounds are conservative. They are never narrower than those of a single seed are on average, and infinite
    for one seed. n, units, effective: the fewest of any. Raises DataError without estimates.
    Source: Zou and Donner (2008), Construction of Confidence Limits About Effect Measures, for adding up what two
    independent parts each keep at their level.
    """
    if not estimates:
        raise DataError("seeds: no estimates; give one for each training seed")
    values = np.array([found.value for found in estimates])
    value, n_seeds = float(values.mean()), len(values)
    error = float(values.std(ddof=1)) / math.sqrt(n_seeds) if n_seeds > 1 else math.inf

    def bounds(alpha: float) -> Bounds:
        spread = quantile(alpha, n_seeds - 1) * error if n_seeds > 1 else math.inf
        own = np.abs(np.array([found.bounds(alpha) for found in estimates]) - values[:, None]).mean(axis=0)
        return value - math.hypot(spread, own[0]), value + math.hypot(spread, own[1])

    fewest = (min(getattr(found, name) for found in estimates) for name in ("n", "units", "effective"))
    return Estimate(value, bounds, *fewest)


def seeds_needed(estimate: Estimate, parts: Components, *, margin: float) -> int | None:
    """Return how many training seeds, on these examples, would decide whether a difference is within a margin.

    With 80% power by the bounds of `crossed`, were the difference truly the one seen: at least `FEWEST_SEEDS`, and as
    many as there are. None where `MOST_SEEDS` would not: examples are too few, or the difference sits on the margin.
    Source: Julious (2004), Sample Sizes for Clinical Trials with Normal Data, section 5, by a shifted Student's t.
    """
    from scipy.special import stdtr, stdtrit

    size, n_seeds = abs(estimate.value), np.arange(max(FEWEST_SEEDS, parts.n_seeds), MOST_SEEDS + 1)
    if size <= margin < size + unseen(estimate.independent, TAIL):
        return None
    error, t = np.sqrt(parts.variance(n_seeds)), -stdtrit(n_seeds - 1, TAIL)
    with np.errstate(divide="ignore", invalid="ignore"):
        power = stdtr(n_seeds - 1, abs(margin - size) / error - t)
        if size <= margin:
            power += stdtr(n_seeds - 1, (margin + size) / error - t) - 1
    enough = n_seeds[power >= POWER]
    return int(enough[0]) if len(enough) else None
