"""How two models' predictions about the same examples agree: measures that inform a verdict, and decide none.

Every interval is at 95% and takes whole clusters as independent (see `trusteq.estimates`); a measure without one says
why. A value is that of the pair or, where each model has one, the compressed model's less the large one's.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from trusteq.calibration.bins import SMALLEST
from trusteq.errors import DataError
from trusteq.estimates import TAIL, Bounds, Estimate, mean, moments, paired_difference, ratio
from trusteq.statistics import LEVEL, n_clusters, stream
from trusteq.verdict.predictions import Predictions, check_same_labels, jensen_shannon, label_loyalty, matched

COVERAGE = 0.9  # of conformal sets
FEWEST = 30  # examples of a slice that is compared
_BEYOND = 5  # examples that an interval of a quantile needs beyond it
_DRAWS = 20_000  # of the largest of several deviations
_JOINT = 200  # slices up to which their correlation is looked at
_YAN = "Yan et al. (2021), Positive-Congruent Training: Towards Regression-Free Model Updates"
_KULLBACK = "Kullback and Leibler (1951), On Information and Sufficiency"
_CONFORMAL = "Sadinle, Lei and Wasserman (2019), Least Ambiguous Set-Valued Classifiers with Bounded Error Levels"


@dataclass(frozen=True, eq=False)
class Pair:
    """Two models' predictions about the same examples in the same order; dev: the same of the dev split, or None."""

    large: Predictions
    compressed: Predictions
    dev: tuple[Predictions, Predictions] | None = None
    seed: int = 0

    @property
    def clusters(self) -> np.ndarray | None:
        """What belongs together, shape (n,), or None."""
        return self.compressed.clusters if self.large.clusters is None else self.large.clusters

    @cached_property
    def right(self) -> tuple[np.ndarray, np.ndarray]:
        """Whether each model is right, booleans of shape (n,): the large one, the compressed one."""
        return self.large.right, self.compressed.right

    @cached_property
    def lost(self) -> np.ndarray:
        """Whether the large model alone is right, shape (n,)."""
        return self.right[0] & ~self.right[1]

    @cached_property
    def gained(self) -> np.ndarray:
        """Whether the compressed model alone is right, shape (n,)."""
        return self.right[1] & ~self.right[0]

    @cached_property
    def divergence(self) -> np.ndarray:
        """The Kullback-Leibler divergence of each example, large || compressed, in nats, shape (n,)."""
        from scipy.special import kl_div  # p log(p / q) - p + q: no sum of it is below 0

        return kl_div(*(_clipped(of.probabilities) for of in (self.large, self.compressed))).sum(axis=1)

    @property
    def n_clipped(self) -> int:
        """Examples of which either model has a probability under 1e-12."""
        return int(np.any([(of.probabilities < SMALLEST).any(1) for of in (self.large, self.compressed)], 0).sum())


@dataclass(frozen=True)
class Found:
    """A measure's value, the ends of its interval (nan without one), what it is a difference of, and what to know."""

    value: float
    low: float = math.nan
    high: float = math.nan
    n: int | None = None  # None: all examples
    large: float = math.nan
    compressed: float = math.nan
    note: str = ""


@dataclass(frozen=True)
class Measure:
    """A measure of agreement. of: from a pair to what is found; why_no_interval: None for one that can have one."""

    name: str
    title: str
    source: str
    of: Callable[[Pair], Found]
    why_no_interval: str | None = None


def _clipped(probabilities: np.ndarray) -> np.ndarray:
    """Return probabilities of at least 1e-12, each row scaled to sum to 1."""
    clipped = np.ascontiguousarray(probabilities).clip(SMALLEST, 1)  # else equal rows may sum to unequal numbers
    return clipped / clipped.sum(axis=1, keepdims=True)


def _estimated(
    estimate: Estimate, *, within: Bounds = (-math.inf, math.inf), note: str = "", undefined: str = "", **sides
) -> Found:
    """Return an estimate as it is found, without an interval where it is undefined (why), unbounded or of no width."""
    if math.isnan(estimate.value):
        return Found(math.nan, note=_joined(note, f"undefined: {undefined}"))
    low, high = (min(max(end, within[0]), within[1]) for end in estimate.interval)
    if not (low < high and math.isfinite(high - low)):
        low = high = math.nan
        note = _joined(note, "no interval: these examples do not bound it")
    return Found(estimate.value, low, high, note=note, **sides)


def _joined(*notes: str) -> str:
    return "; ".join(filter(None, notes))


def negative_flips(pair: Pair) -> Found:
    """Share of all examples that the large model has right and the compressed one wrong."""
    return _share(pair.lost, pair)


def positive_flips(pair: Pair) -> Found:
    """Share of all examples that the large model has wrong and the compressed one right."""
    return _share(pair.gained, pair)


def same_top(pair: Pair) -> Found:
    """Share of examples for which both predict the same class."""
    return _share(label_loyalty(pair.large.probabilities, pair.compressed.probabilities), pair)


def _share(holds: np.ndarray, pair: Pair) -> Found:
    counted = f"{int(holds.sum())} of {len(holds)}"
    return _estimated(mean(holds, clusters=pair.clusters, within=(0.0, 1.0)), note=counted)


def relative_negative_flips(pair: Pair) -> Found:
    """Share of negative flips over what independent errors would give: accuracy of the large, errors of the other."""
    expected = _product(pair.right[0], ~pair.right[1])
    why = "the large model is never right or the compressed one never wrong"
    return _estimated(ratio(pair.lost, expected, clusters=pair.clusters), within=(0.0, math.inf), undefined=why)


def _product(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return values whose mean is the product of two means, and that vary as it does: its influence values, (n,)."""
    return a.mean() * b + b.mean() * a - a.mean() * b.mean()


def error_kappa(pair: Pair) -> Found:
    """Cohen's kappa of being right: 1 less observed over expected disagreement, in [-1, 1]."""
    large, compressed = pair.right
    expected = _product(large, ~compressed) + _product(~large, compressed)
    disagreement = ratio(large != compressed, expected, clusters=pair.clusters)
    kappa = disagreement.negated().shifted(1.0)
    return _estimated(kappa, within=(-1.0, 1.0), undefined="both are always right, or both always wrong")


def error_jaccard(pair: Pair) -> Found:
    """Errors of both over errors of either, in [0, 1]."""
    large, compressed = (~right for right in pair.right)
    shared = ratio(large & compressed, large | compressed, clusters=pair.clusters)
    counted = f"{large.sum()} and {compressed.sum()} errors"
    return _estimated(shared, within=(0.0, 1.0), note=counted, undefined="neither errs")


def error_jaccard_by_chance(pair: Pair) -> Found:
    """Return the expected Jaccard index of as many errors of both, were they at random examples."""
    return Found(expected_jaccard(len(pair.lost), *(int((~right).sum()) for right in pair.right)))


def expected_jaccard(n: int, a: int, b: int) -> float:
    """Return the expected Jaccard index of random sets of a and b out of n elements; nan when both are empty.

    As `trusteq.alignment.ranking.chance_jaccard`, but in floating point: exact integers are slow for many examples.
    """
    from scipy.stats import hypergeom

    if not a + b:
        return math.nan
    shared = np.arange(max(0, a + b - n), min(a, b) + 1)
    return float(hypergeom.pmf(shared, n, a, b) @ (shared / (a + b - shared)))


def mcnemar(pair: Pair) -> Found:
    """Return the p-value of equal accuracy: mid-p of independent examples, Obuchowski's of clusters."""
    lost, gained = int(pair.lost.sum()), int(pair.gained.sum())
    counted, size = f"{lost} lost, {gained} gained", n_clusters(pair.clusters, len(pair.lost))
    if size == len(pair.lost):
        return Found(mcnemar_mid_p(lost, gained), note=f"{counted}; mid-p")
    value = clustered_mcnemar(pair.gained * 1.0 - pair.lost, pair.clusters)
    return Found(value, note=f"{counted}; over {size} clusters" if size > 1 else f"{counted}; undefined: one cluster")


def mcnemar_mid_p(lost: int, gained: int) -> float:
    """Return the two-sided mid-p of McNemar's test from the counts of examples that one model alone has right.

    1 where there are none.
    Source: Fagerland, Lydersen and Laake (2013), The McNemar Test for Binary Matched-Pairs Data: Mid-p and Asymptotic
    Are Better Than Exact Conditional.
    """
    from scipy.stats import binom

    few, total = min(lost, gained), lost + gained
    if not total:
        return 1.0
    at = binom.pmf(few, total, 0.5)
    return float(1 - at / 2 if lost == gained else 2 * binom.cdf(few, total, 0.5) - at)


def clustered_mcnemar(change: ArrayLike, clusters: ArrayLike) -> float:
    """Return the two-sided p-value of a mean change of 0, whole clusters being independent; nan for one cluster.

    change: 1, 0 or -1 of each example, shape (n,). With d the sum of a cluster and K clusters, (K - 1) / K times
    (sum d)^2 / sum d^2 is chi-squared with 1 degree of freedom. 1 where every d is 0.
    Source: Obuchowski (1998), On the Comparison of Correlated Proportions for Clustered Data.
    """
    from scipy.special import chdtrc

    sums = np.bincount(np.unique(np.asarray(clusters), return_inverse=True)[1], np.asarray(change, dtype=np.float64))
    if len(sums) < 2:
        return math.nan
    square = (sums**2).sum()
    return float(chdtrc(1, (len(sums) - 1) / len(sums) * sums.sum() ** 2 / square)) if square else 1.0


def mean_divergence(pair: Pair) -> Found:
    """Mean Kullback-Leibler divergence large || compressed in nats, in [0, 27.6]: probabilities from 1e-12 on."""
    # It has no limit but the clipping's: one not seen may be as large as the largest that was; 1 nat, where none is.
    most = max(1.0, float(pair.divergence.max()))
    return _estimated(mean(pair.divergence, clusters=pair.clusters, within=(0.0, most)), note=_clipping(pair))


def _clipping(pair: Pair) -> str:
    return f"{pair.n_clipped} rows clipped at {SMALLEST:g}"


def divergence_quantile(pair: Pair, *, q: float) -> Found:
    """Return the q-quantile of the Kullback-Leibler divergence, large || compressed, in nats."""
    value, low, high = quantile_interval(pair.divergence, q, clusters=pair.clusters)
    why = "" if low < high else f"no interval: under {_BEYOND} effective examples beyond it, or all alike"
    return Found(value, low, high, note=_joined(_clipping(pair), why))


def quantile_interval(values: ArrayLike, q: float, *, clusters: ArrayLike | None = None) -> tuple[float, float, float]:
    """Return the q-quantile of values, shape (n,), and its interval between two of them, free of a distribution.

    nan for an interval from fewer than 5 effective examples on either side of the quantile, or of no width.
    Source: David and Nagaraja (2003), Order Statistics, section 7.1; Woodruff (1952), Confidence Intervals for Medians
    and Other Position Measures, for clusters: ranks are those of as many independent examples as say as much.
    """
    from scipy.stats import binom

    values = np.asarray(values, dtype=np.float64)
    value = float(np.quantile(values, q, method="inverted_cdf"))
    n, m = len(values), math.floor(moments((values > value)[:, None], clusters=clusters).effective)
    if m * min(q, 1 - q) < _BEYOND - 1e-9:  # 1 - 0.9 is not exactly 0.1
        return value, math.nan, math.nan
    first, last = int(binom.ppf(TAIL, m, q)), int(binom.ppf(1 - TAIL, m, q)) + 1
    low, high = np.sort(values)[[math.floor(first * n / m) - 1, math.ceil(last * n / m) - 1]].tolist()
    return (value, low, high) if low < high else (value, math.nan, math.nan)


def mean_jensen_shannon(pair: Pair) -> Found:
    """Mean Jensen-Shannon divergence in nats, in [0, log 2]."""
    values = jensen_shannon(*(_clipped(of.probabilities) for of in (pair.large, pair.compressed))).clip(0, math.log(2))
    return _estimated(mean(values, clusters=pair.clusters, within=(0.0, math.log(2))))


def largest_change(pair: Pair) -> Found:
    """Largest absolute difference of a probability, in [0, 1]."""
    return Found(float(np.abs(pair.large.probabilities - pair.compressed.probabilities).max()))


def risk_coverage(pair: Pair) -> Found:
    """Area under the risk-coverage curve of both, in [0, 1]: mean error of the most confident, over all shares kept."""
    sides = [
        risk_coverage_values(of.probabilities.max(axis=1), ~right)
        for of, right in zip((pair.large, pair.compressed), pair.right, strict=True)
    ]
    return _difference(*sides, pair, within=(-1.0, 1.0))


def _difference(large: np.ndarray, compressed: np.ndarray, pair: Pair, *, within: Bounds, note: str = "") -> Found:
    change = mean(compressed - large.astype(np.float64), clusters=pair.clusters, within=within)
    return _estimated(change, large=float(large.mean()), compressed=float(compressed.mean()), note=note)


def risk_coverage_values(confidence: np.ndarray, wrong: np.ndarray) -> np.ndarray:
    """Return values, shape (n,), whose mean is the area under the risk-coverage curve, and that vary as it does.

    The area is the mean, over examples, of the error of those at least as confident; to it each value adds the
    influence of its example (infinitesimal jackknife), which is 0 on average, so that intervals of means hold for it.
    Source: Geifman and El-Yaniv (2017), Selective Classification for Deep Neural Networks; Efron (1982), The Jackknife,
    the Bootstrap and Other Resampling Plans, chapter 6.
    """
    order = np.argsort(-confidence, kind="stable")
    ranked, errors = -confidence[order], wrong[order].astype(np.float64)
    first, kept = (np.searchsorted(ranked, ranked, side=side) for side in ("left", "right"))  # equals stay together
    risk = errors.cumsum()[kept - 1] / kept
    shares, risks = (np.cumsum(values[::-1])[::-1][first] for values in (1 / kept, risk / kept))
    values = np.empty(len(order))
    values[order] = risk + errors * shares - risks
    return values


def conformal_size(pair: Pair) -> Found:
    """Mean number of classes in the conformal sets of both."""
    if pair.dev is None:
        return Found(math.nan, note="not measured: needs --dev")
    n_classes = float(len(pair.large.labels))
    sides = [sets.sum(axis=1) for sets in _conformal_sets(pair)]
    return _difference(*sides, pair, within=(-n_classes, n_classes), note=_calibrated(pair))


def conformal_coverage(pair: Pair) -> Found:
    """Share of test examples whose conformal set holds the gold class, of both."""
    if pair.dev is None:
        return Found(math.nan, note="not measured: needs --dev")
    large, compressed = (sets[np.arange(len(sets)), pair.large.gold] for sets in _conformal_sets(pair))
    sides = {"large": float(large.mean()), "compressed": float(compressed.mean())}
    return _estimated(paired_difference(large, compressed, clusters=pair.clusters), note=_calibrated(pair), **sides)


def _calibrated(pair: Pair) -> str:
    n = len(pair.dev[0].gold)
    return f"given {n} dev examples" + (", too few to leave a class out" if _rank(n) > n else "")


def _conformal_sets(pair: Pair) -> list[np.ndarray]:
    tests = (pair.large, pair.compressed)
    return [
        conformal_sets(dev.probabilities, dev.gold, of.probabilities) for dev, of in zip(pair.dev, tests, strict=True)
    ]


def conformal_sets(dev: np.ndarray, gold: np.ndarray, test: np.ndarray) -> np.ndarray:
    """Return which classes are in the set of each test example, booleans (n, C), to hold the gold one in 90%.

    dev, gold: probabilities (m, C) and labels (m,) that calibrate; all classes are in where m < 9.
    Source: Vovk, Gammerman and Shafer (2005), Algorithmic Learning in a Random World, and Sadinle, Lei and Wasserman
    (2019): a class is in if 1 less its probability is at most the ceil((m + 1) 0.9)-th smallest of the gold ones.
    """
    scores = np.sort(1 - dev[np.arange(len(gold)), gold])
    rank = _rank(len(scores))
    return 1 - test <= (scores[rank - 1] if rank <= len(scores) else math.inf)


def _rank(m: int) -> int:
    return math.ceil(round((m + 1) * COVERAGE, 6))  # 0.9 is not exactly 0.9


def worst_class(pair: Pair) -> Found:
    """Accuracy on the gold class that loses most; the loss of the worst class lies in the interval."""
    names = np.array(pair.large.labels, dtype=object)
    table = slice_table(pair.large, pair.compressed, names[pair.large.gold], seed=pair.seed)
    compared = table["difference"].notna()
    left_out = [*table["slice"][~compared], *names[np.bincount(pair.large.gold, minlength=len(names)) == 0]]
    note = f"not compared, under {FEWEST} examples: {', '.join(left_out)}" if left_out else ""
    if not compared.any():
        return Found(math.nan, n=0, note=note)
    worst, lows, highs = table.iloc[0], table["low"].min(), table["high"].min()
    sides = {"large": worst["large"], "compressed": worst["compressed"], "n": int(worst["n"])}
    return Found(worst["difference"], lows, highs, **sides, note=_joined(f"class {worst['slice']}", note))


def slice_table(large: Predictions, small: Predictions, slices: ArrayLike, *, seed: int = 0) -> pd.DataFrame:
    """Return the accuracy of both models by slice, the largest loss first, with intervals that hold all at once.

    large, small: `matched`. slices: a name for each example, shape (n,), such as its gold class or its source.
    Columns: slice, n, large, compressed, difference (compressed - large), low, high, note. Slices of under 30 examples
    come last, with nan. The intervals are those of `paired_difference`, at a level at which in 95% of samples none of
    them misses: that of the largest of normal deviations, as correlated as clusters in several slices make them.
    Raises DataError for slices of another length or predictions not about the same examples.
    Source: Hothorn, Bretz and Westfall (2008), Simultaneous Inference in General Parametric Models, for max-t.
    """
    pair, names = Pair(large, small), np.asarray(slices).astype(str)
    _check_same_rows(large, small)
    if names.shape != large.gold.shape:
        raise DataError(f"slices of shape {names.shape} for {len(large.gold)} examples; give one name for each")
    known, codes, counts = np.unique(names, return_inverse=True, return_counts=True)
    compared = np.flatnonzero(counts >= FEWEST)
    alpha = _joint_alpha(pair, codes, compared, seed=seed)
    rows = [_slice_row(pair, known[code], codes == code, alpha) for code in compared]
    small_ones = [
        {"slice": known[code], "n": counts[code], "note": f"not compared: under {FEWEST} examples"}
        for code in np.flatnonzero(counts < FEWEST)
    ]
    columns = ["slice", "n", "large", "compressed", "difference", "low", "high", "note"]
    table = pd.DataFrame(rows + small_ones, columns=columns).astype(dict.fromkeys(columns[2:7], float))
    return table.sort_values(["difference", "slice"], ignore_index=True)


def _slice_row(pair: Pair, name: str, rows: np.ndarray, alpha: float) -> dict:
    large, compressed = (right[rows] for right in pair.right)
    found = paired_difference(large, compressed, clusters=None if pair.clusters is None else pair.clusters[rows])
    low, high = found.bounds(alpha)
    sides = {"large": large.mean(), "compressed": compressed.mean(), "difference": found.value}
    return {"slice": name, "n": found.n, **sides, "low": low, "high": high, "note": ""}


def _joint_alpha(pair: Pair, codes: np.ndarray, compared: np.ndarray, *, seed: int) -> float:
    """Return how often each end of one slice's interval may miss, so that in 95% of samples no slice's does.

    Šidák's is right for independent slices and never too large (Šidák 1967, Rectangular Confidence Regions).
    """
    from scipy.special import ndtr

    sidak = (1 - LEVEL ** (1 / max(len(compared), 1))) / 2
    if pair.clusters is None or not 1 < len(compared) <= _JOINT:
        return sidak
    rng, correlation = stream(seed, "slices"), _slice_correlation(pair, codes, compared)
    deviations = np.abs(rng.multivariate_normal(np.zeros(len(compared)), correlation, size=_DRAWS, method="eigh"))
    return float(np.clip(ndtr(-np.quantile(deviations.max(axis=1), LEVEL)), sidak, TAIL))


def _slice_correlation(pair: Pair, codes: np.ndarray, compared: np.ndarray) -> np.ndarray:
    """Return the correlation of the slices' mean changes, (m, m): what clusters in several of them have in common."""
    from scipy.sparse import coo_array

    change, sizes = pair.gained * 1.0 - pair.lost, np.bincount(codes)
    residuals = (change - (np.bincount(codes, change) / sizes)[codes]) / sizes[codes]
    units = np.unique(pair.clusters, return_inverse=True)[1]
    sums = coo_array((residuals, (units, codes))).tocsr()[:, compared]
    covariance = (sums.T @ sums).toarray()
    spread = np.sqrt(covariance.diagonal())
    correlation = covariance / np.where(spread > 0, spread, 1) / np.where(spread > 0, spread, 1)[:, None]
    np.fill_diagonal(correlation, 1.0)
    return correlation


def _check_same_rows(large: Predictions, small: Predictions) -> None:
    ids = large.ids is None or small.ids is None or np.array_equal(large.ids, small.ids)
    if large.labels != small.labels or not np.array_equal(large.gold, small.gold) or not ids:
        raise DataError("slices: the two models' predictions are not in one order; bring them to one with `matched`")


MEASURES: dict[str, Measure] = {
    measure.name: measure
    for measure in (
        Measure("negative_flips", "Right to wrong", _YAN, negative_flips),
        Measure("positive_flips", "Wrong to right", _YAN, positive_flips),
        Measure("relative_negative_flips", "Right to wrong, against independent errors", _YAN, relative_negative_flips),
        Measure(
            "mcnemar",
            "McNemar's test of equal accuracy (p)",
            "Fagerland, Lydersen and Laake (2013), The McNemar Test for Binary Matched-Pairs Data; of clusters, "
            "Obuchowski (1998), On the Comparison of Correlated Proportions for Clustered Data",
            mcnemar,
            "a p-value has none",
        ),
        Measure(
            "error_kappa",
            "Cohen's kappa of errors",
            "Cohen (1960), A Coefficient of Agreement for Nominal Scales",
            error_kappa,
        ),
        Measure(
            "error_jaccard",
            "Errors of both among errors of either",
            "Jaccard (1912), The Distribution of the Flora in the Alpine Zone",
            error_jaccard,
        ),
        Measure(
            "error_jaccard_by_chance",
            "The same, were errors independent",
            "hypergeometric expectation, exact given how many errors each model makes",
            error_jaccard_by_chance,
            "an expectation given both counts",
        ),
        Measure(
            "same_top",
            "Same predicted class",
            "Xu et al. (2021), Beyond Preserved Accuracy: Evaluating Loyalty and Robustness of BERT Compression",
            same_top,
        ),
        Measure("kl", "KL divergence, mean (nats)", _KULLBACK, mean_divergence),
        Measure("kl_90", "KL divergence, 90% quantile (nats)", _KULLBACK, partial(divergence_quantile, q=0.9)),
        Measure("kl_99", "KL divergence, 99% quantile (nats)", _KULLBACK, partial(divergence_quantile, q=0.99)),
        Measure("kl_99_9", "KL divergence, 99.9% quantile (nats)", _KULLBACK, partial(divergence_quantile, q=0.999)),
        Measure(
            "jensen_shannon",
            "Jensen-Shannon divergence, mean (nats)",
            "Lin (1991), Divergence Measures Based on the Shannon Entropy",
            mean_jensen_shannon,
        ),
        Measure("largest_change", "Largest change of a probability", "a maximum", largest_change, "a maximum has none"),
        Measure(
            "risk_coverage",
            "Area under the risk-coverage curve",
            "Geifman and El-Yaniv (2017), Selective Classification for Deep Neural Networks",
            risk_coverage,
        ),
        Measure("conformal_size", "Classes in a 90% conformal set", _CONFORMAL, conformal_size),
        Measure("conformal_coverage", "Coverage of 90% conformal sets", _CONFORMAL, conformal_coverage),
        Measure(
            "worst_class",
            "Accuracy on the class that loses most",
            "Hothorn, Bretz and Westfall (2008), Simultaneous Inference in General Parametric Models",
            worst_class,
        ),
    )
}


def agreement_table(
    large: Predictions,
    small: Predictions,
    *,
    dev: tuple[Predictions, Predictions] | None = None,
    seed: int = 0,
) -> pd.DataFrame:
    """Return every measure of how two models' predictions agree, one row each.

    dev: both models' predictions of the dev split, which calibrate conformal sets. seed: of `slice_table`.
    Columns: measure, title, large, compressed, value (of the pair, or compressed - large), low, high (95%, or nan), n,
    note (counts, and why there is no interval). The order of the examples does not matter.
    Raises DataError where the two are not about the same examples and classes.
    """
    large, small = matched(large, small)
    if not len(large.gold):
        raise DataError("agreement: no examples; give predictions of at least one")
    pair = Pair(large, small, None if dev is None else _in_order(dev, large.labels), seed)
    return pd.DataFrame([_row(measure, measure.of(pair), len(large.gold)) for measure in MEASURES.values()])


def _in_order(dev: tuple[Predictions, Predictions], labels: tuple[str, ...]) -> tuple[Predictions, Predictions]:
    check_same_labels(labels, dev[0].labels)
    return tuple(of.columns(labels) for of in matched(*dev))


def _row(measure: Measure, found: Found, n: int) -> dict:
    why = measure.why_no_interval and f"no interval: {measure.why_no_interval}"
    seen = {name: getattr(found, name) for name in ("large", "compressed", "value", "low", "high")}
    n = n if found.n is None else found.n
    return {"measure": measure.name, "title": measure.title, **seen, "n": n, "note": _joined(found.note, why)}
