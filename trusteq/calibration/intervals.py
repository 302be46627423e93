"""Error bars of calibration scores: of one model's, of the difference between two models', and by chance alone.

A model whose labels are drawn from its own probabilities is calibrated by construction, and yet its ECE is not 0: bins
of few examples leave their diagonal by luck. Where a score lies in its null band, it shows no miscalibration.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from trusteq.calibration.bins import Design, Sums, check_predictions, check_probabilities, check_same_shape
from trusteq.calibration.proper_scores import SCORES, Score, debiased, scores
from trusteq.errors import DataError
from trusteq.estimates import Bounds, Estimate, beyond_normal, mean, mean_less, paired_difference, proportion
from trusteq.statistics import DRAWS, LEVEL, interval, resampled_sums, stream, value_order

_GROUPS = 20_000  # more units than this are resampled in random groups
_NULL_DRAWS = 1000
_FEWEST = 100
_LABELS = 10**8  # drawn in all, where that leaves _FEWEST draws or more
_CHUNK = 1 << 16  # labels drawn at once: they stay in the cache


def score_intervals(
    probabilities: ArrayLike,
    labels: ArrayLike,
    *,
    clusters: ArrayLike | None = None,
    n_bins: int = 10,
    binning: str = "equal-width",
    draws: int = DRAWS,
    seed: int = 0,
) -> pd.DataFrame:
    """Return each score with its 95% interval: score, value, low, high, one row for each of `scores`.

    clusters: shape (n,), what belongs together, such as all pairs with one premise; by default each example is its own.
    Accuracy has the bounds of `estimates.proportion`, other means have those of `estimates.mean`. ECEs are biased
    upwards, and their bootstrap draws once more. The value is that of `scores`; the interval of an ECE is for the true
    error of the binned model. Its middle is the ECE less its bias (`debiased`), its width the spread of that in the
    draws, and what normal theory lacks on right answers (`estimates.beyond_normal`). It is widened to 0 where a
    calibrated model could have as large an ECE; it ends at 0 but for debiased_ece; and a value that is nearly all bias
    may lie above it. Of more than 20,000 clusters, 20,000 random groups are drawn: as independent as they are, and
    alike. nan for scores that have no interval. The order of the rows does not matter. For the rest, and the errors,
    see `scores`.
    """
    probabilities, labels = check_predictions(probabilities, labels)
    design = Design.of(probabilities, n_bins=n_bins, binning=binning)
    columns = _of_examples(design, labels)
    found = means(columns, clusters=clusters)
    right = found["accuracy"]
    how = {"clusters": clusters, "n_bins": n_bins, "binning": binning, "draws": draws, "seed": seed}
    slack = beyond_normal(right, columns["accuracy"], clusters=clusters)
    (sums,), (resampled,), size = _resampled([probabilities], labels, **how)
    for score in _drawn_scores():
        ends = _bootstrapped(_corrected(score, sums), _corrected(score, resampled), size, right)
        found[score.name] = _down_to_zero(score, sums, ends.widened(slack))
    values = scores(probabilities, labels, n_bins=n_bins, binning=binning)
    rows = [(name, value, *_interval(found.get(name))) for name, value in values.items()]
    return pd.DataFrame(rows, columns=["score", "value", "low", "high"])


def difference_table(
    found: Mapping[str, Estimate], large: ArrayLike, compressed: ArrayLike, labels: ArrayLike, **bins
) -> pd.DataFrame:
    """Return each score of two models and the 95% interval of its difference, paired: both see the same examples.

    found: of `difference_estimates`, of the same models, labels and `bins`. Columns: score, large, compressed,
    difference (compressed - large), low, high.
    """
    table = pd.DataFrame([scores(model, labels, **bins) for model in (large, compressed)]).T
    table = table.set_axis(["large", "compressed"], axis=1).rename_axis("score").reset_index()
    low, high = zip(*(_interval(found.get(name)) for name in table["score"]), strict=True)
    return table.assign(difference=table["compressed"] - table["large"], low=low, high=high)


def difference_estimates(
    large: ArrayLike,
    compressed: ArrayLike,
    labels: ArrayLike,
    *,
    clusters: ArrayLike | None = None,
    n_bins: int = 10,
    binning: str = "equal-width",
    draws: int = DRAWS,
    seed: int = 0,
) -> dict[str, Estimate]:
    """Return what each score of the compressed model is less the large one's, by name, where it has an interval.

    large, compressed: probabilities (n, C) of the same examples and classes. Accuracy has the bounds of
    `estimates.paired_difference`, overconfidence those of `estimates.mean_less`, other means those of `estimates.mean`.
    Each model has its own bins. The interval of an ECE's difference is that of the two debiased ones, by the bootstrap,
    widened by the bias that is left where a model may be calibrated, and at least by what normal theory lacks on right
    answers (`estimates.beyond_normal`). How often all this holds the truth, simulated: benchmarks/decisions.json.
    For the rest, and the errors, see `score_intervals`.
    """
    large, labels = check_predictions(large, labels)
    models = [large, check_same_shape(large, compressed)]
    first, second = (_of_examples(Design.of(model, n_bins=n_bins, binning=binning), labels) for model in models)
    found = mean_differences(first, second, clusters=clusters)
    right = found["accuracy"]
    slack = beyond_normal(right, second["accuracy"] * 1.0 - first["accuracy"], clusters=clusters)
    how = {"clusters": clusters, "n_bins": n_bins, "binning": binning, "draws": draws, "seed": seed}
    both, resampled, size = _resampled(models, labels, **how)
    for score in _drawn_scores():
        whole, drawn = (np.subtract(*(_corrected(score, sums) for sums in of[::-1])) for of in (both, resampled))
        left = max(residual_bias(score, sums) for sums in both)
        ends = _bootstrapped(whole, drawn, size, right)
        found[score.name] = ends.widened(lambda alpha, left=left: max(left, slack(alpha)))
    return found


def means(columns: Mapping[str, np.ndarray], *, clusters: ArrayLike | None = None) -> dict[str, Estimate]:
    """Return the estimates of the scores that are means, by name.

    columns: what each example adds, (n,), by name of the score: see `Score.of_examples`.
    """
    found = {name: _mean(SCORES[name], values, clusters) for name, values in columns.items() if name != "accuracy"}
    return found | {"accuracy": proportion(columns["accuracy"], clusters=clusters)}


def mean_differences(
    first: Mapping[str, np.ndarray], second: Mapping[str, np.ndarray], *, clusters: ArrayLike | None = None
) -> dict[str, Estimate]:
    """Return what each score that is a mean is in `second` less what it is in `first`; columns as in `means`."""
    right = paired_difference(first["accuracy"], second["accuracy"], clusters=clusters)
    change = {name: second[name] - first[name] for name in first if name != "accuracy"}
    found = {name: _mean(SCORES[name], values, clusters) for name, values in change.items()}
    over = mean_less(change["overconfidence"], right, clusters=clusters)
    return found | {"accuracy": right, "overconfidence": over}


def _mean(score: Score, values: np.ndarray, clusters: ArrayLike | None) -> Estimate:
    # What has no limit can be as large as the largest seen; 1 nat, where nothing is.
    reach = max(1.0, float(np.abs(values).max())) if score.reach is None else score.reach
    return mean(values, clusters=clusters, within=(-reach, reach))


def _of_examples(design: Design, labels: np.ndarray) -> dict[str, np.ndarray]:
    return {name: score.of_examples(design, labels) for name, score in SCORES.items() if score.of_examples}


def _drawn_scores() -> Iterator[Score]:
    """Yield the scores whose intervals are the bootstrap's: those that are no mean over examples."""
    return (score for score in SCORES.values() if score.has_interval and score.of_examples is None)


def _corrected(score: Score, sums: Sums) -> np.ndarray:
    return debiased(sums, score.bins) if score.bins else score.of_sums(sums)


def _interval(found: Estimate | None) -> Bounds:
    return (np.nan, np.nan) if found is None else found.interval


def _bootstrapped(whole: np.ndarray, drawn: np.ndarray, size: int, of: Estimate) -> Estimate:
    """Return an error less its bias with the bounds of its draws, (draws,), of `size` units.

    of: an estimate from the same examples.
    """
    value, shift = float(whole), float(whole - drawn.mean())

    def bounds(alpha: float) -> Bounds:
        if size < 2:
            return -1.0, 1.0
        low, high = interval(drawn, n=size, level=1 - 2 * alpha)
        return float(low) + shift, float(high) + shift

    return replace(of, value=value, bounds=bounds, error=float(drawn.std()))


def _down_to_zero(score: Score, sums: Sums, of: Estimate) -> Estimate:
    """Return the estimate of one model's error, whose bounds hold 0 where a calibrated model could have it."""
    could_be_calibrated = residual_bias(score, sums) > 0

    def bounds(alpha: float) -> Bounds:
        low, high = of.bounds(alpha)
        low = min(low, 0.0) if could_be_calibrated else low
        return (max(low, 0.0), max(high, 0.0)) if score.never_negative else (low, high)

    return replace(of, bounds=bounds)


def bootstrap_groups(
    rows: np.ndarray, *, clusters: ArrayLike | None = None, seed: int = 0
) -> tuple[np.ndarray, np.ndarray, int]:
    """Return an order of rows, shape (n, m), the group of each in that order, and the number of groups to resample.

    The order depends on the values alone, so that the one given is forgotten to the last bit. A group is a cluster, or
    a row where there are none; of more than 20,000 it is a random set of them, all of one size but for one. Sums over
    such groups are as independent and alike, so that the bootstrap is as valid, and faster.
    Raises DataError for clusters of another shape than (n,).
    """
    order = value_order(rows)
    units = np.arange(len(rows))
    if clusters is not None:
        clusters = np.asarray(clusters)
        if clusters.shape != units.shape:
            raise DataError(f"bootstrap: clusters of shape {clusters.shape} for {len(rows)} rows; give one for each")
        units = np.unique(clusters, return_inverse=True)[1][order]
    size = int(units.max()) + 1
    if size > _GROUPS:
        units, size = stream(seed, "bootstrap groups").permutation(size)[units] % _GROUPS, _GROUPS
    return order, units, size


def _resampled(
    models: list[np.ndarray], labels: np.ndarray, *, clusters, n_bins: int, binning: str, draws: int, seed: int
) -> tuple[list[Sums], list[Sums], int]:
    """Return each model's sums, name -> (width,), its draws of them, name -> (draws, width), and what n they are of."""
    order, groups, size = bootstrap_groups(np.column_stack([*models, labels]), clusters=clusters, seed=seed)
    labels = labels[order]
    tallies = [Design.of(model[order], n_bins=n_bins, binning=binning).sums(labels, groups, size) for model in models]
    columns = [values for tally in tallies for values in tally.values()]
    drawn = resampled_sums(np.hstack(columns), draws=draws, seed=seed)
    parts = iter(np.split(drawn, np.cumsum([values.shape[1] for values in columns])[:-1], axis=1))
    tallies = [{name: values.sum(axis=0) for name, values in tally.items()} for tally in tallies]
    return tallies, [{name: next(parts) for name in tally} for tally in tallies], size


def residual_bias(score: Score, sums: Sums) -> float:
    """Return what is left of the bias of a calibrated model's debiased ECE; 0 if no calibrated model has as large one.

    One has if it has in 2.5% of samples: gaps are then normal about 0, their absolute values folded normals. Of those
    the correction takes sqrt(2) - 1 times the mean, and 2 - sqrt(2) times the mean is left.
    """
    if score.bins is None:
        return 0.0
    count, confidence, correct = (sums[f"{score.bins}_{of}"] for of in ("count", "confidence", "correct"))
    share = confidence / np.maximum(count, 1)
    variance = np.maximum(count * share * (1 - share), 0).reshape(-1, sums["bin_count"].shape[-1])  # (classes, n_bins)
    mean = np.sqrt(2 / np.pi * variance).sum()
    sd = np.sqrt((1 - 2 / np.pi) * variance.sum(axis=1)).sum()  # classes move together, at worst
    if np.abs(correct - confidence).sum() > mean + 1.96 * sd:
        return 0.0
    return float((2 - np.sqrt(2)) * mean / (sums["bin_count"].sum() * len(variance)))


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
    probabilities = check_probabilities(probabilities)
    probabilities = probabilities[value_order(probabilities)]
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


def _checked(draws: int | None, n: int) -> int:
    if draws is None:
        return max(_FEWEST, min(_NULL_DRAWS, _LABELS // n))
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
    rng, n = stream(seed, "null bands"), len(probabilities)
    step = max(1, _CHUNK // n)
    for start in range(0, draws, step):
        uniform = rng.random((min(step, draws - start), n))
        labels = np.zeros(uniform.shape, dtype=np.int64)
        for border in borders:
            labels += uniform >= border  # a class of probability 0 is never drawn: 0 <= uniform < 1
        yield labels
