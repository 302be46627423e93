"""Do the intervals and decisions of this package keep what they promise? Data sets drawn from known worlds.

Intervals come from the functions that make all intervals of the package. For speed the columns of many data sets lie
side by side in one call of `resampled_sums`; such a block shares its bootstrap weights, and the next one has others.
"""

import functools
from collections.abc import Callable, Mapping

import numpy as np
import pandas as pd
from scipy.stats import binomtest
from worlds import (
    HYPOTHESES,
    MEANS,
    N_BINS,
    OverlapWorld,
    PredictionWorld,
    overlap_world,
    prediction_world,
    world_at_margin,
)

from trusteq import statistics
from trusteq.alignment import overlap
from trusteq.calibration import intervals, proper_scores
from trusteq.calibration.proper_scores import SCORES
from trusteq.statistics import DRAWS, interval, resampled_sums, stream, stream_seed
from trusteq.verdict.margins import load_margins, measured, overall

WANTED = (0.935, 0.965)  # coverage that a 95% interval must have


_BLOCK = 100  # data sets side by side


_BINNED_BLOCK = 10  # the same, where each has 90 columns


_ECE = SCORES["ece"]


Intervals = Mapping[str, tuple[np.ndarray, np.ndarray]]


def mean_intervals(world: PredictionWorld, rng: np.random.Generator, n: int, count: int, *, seed: int) -> Intervals:
    """Return intervals, each (count,), of the compressed model's mean scores and of their differences from the large's.

    rng: draws `count` data sets of n examples; seed: of the bootstrap.
    """
    rows, labels = world.draw(rng, (n, count))
    names, columns = ("bin_correct", "bin_confidence", "brier", "nll"), []
    for model in ("large", "compressed"):
        design = world.designs[model]
        columns += [design.predicted[rows] == labels, design.confidence[rows]]
        columns += [losses[rows, labels] for losses in design.losses.values()]
    drawn = resampled_sums(np.hstack(columns), seed=seed).reshape(DRAWS, 2, len(names), count, 1)
    sums = {name: drawn[:, :, place] for place, name in enumerate(names)} | {"bin_count": np.array([n])}
    found = {}
    for name in MEANS:
        of_both = SCORES[name].of_sums(sums)
        found[name] = interval(of_both[:, 1], n=n)
        found[f"{name} difference"] = interval(of_both[:, 1] - of_both[:, 0], n=n)
    return found


def binned_intervals(world: PredictionWorld, rng: np.random.Generator, n: int, count: int, *, seed: int) -> Intervals:
    """Return intervals, each (count,), of calibration errors; for the rest see `mean_intervals`.

    "ece" and "ece difference" are made as in `intervals.score_intervals` and `score_differences`. So are the
    hard cases of a "calibrated model", whose ECE is 0. Plain percentiles of "ece" and "mce" show what would go wrong.
    """
    rows, labels = world.draw(rng, (n, count))
    models = ("large", "compressed", "calibrated")
    cells = np.zeros((len(models), 3, count, n, N_BINS))
    for model, cell in zip(models, cells, strict=True):
        design = world.designs[model]
        places = np.arange(count)[:, None], np.arange(n), design.bins[rows].T
        for kind, values in enumerate((1, design.confidence[rows].T, (design.predicted[rows] == labels).T)):
            cell[kind][places] = values
    columns = cells.transpose(3, 0, 1, 2, 4).reshape(n, -1)
    filled = columns.any(axis=0)
    drawn = np.zeros((DRAWS, columns.shape[1]))
    drawn[:, filled] = resampled_sums(columns[:, filled], seed=seed)
    names = ("bin_count", "bin_confidence", "bin_correct")
    shape = (len(models), len(names), count, N_BINS)
    whole, drawn = (_by_model(values.reshape(-1, *shape), models, names) for values in (columns.sum(axis=0), drawn))
    return _binned(whole, drawn, n)


def _by_model(values: np.ndarray, models: tuple[str, ...], names: tuple[str, ...]) -> dict[str, dict[str, np.ndarray]]:
    return {m: {name: values[:, i, j] for j, name in enumerate(names)} for i, m in enumerate(models)}


def _binned(whole: Mapping, drawn: Mapping, n: int) -> Intervals:
    middles, draws = ({m: proper_scores.debiased(sums) for m, sums in of.items()} for of in (whole, drawn))
    # The package's own rules of where an ECE's interval lies, data set by data set.
    own = {m: _ece_bounds(middles[m], draws[m], n) for m in whole}
    each = {
        m: [{name: of[0, i] for name, of in sums.items()} for i in range(len(own[m][0]))] for m, sums in whole.items()
    }
    slack = {
        m: np.array([intervals.slack_to_zero(_ECE, *pair) for pair in zip(each[m], own[m][0], strict=True)])
        for m in whole
    }
    left = {m: np.array([intervals.residual_bias(_ECE, of) for of in each[m]]) for m in whole}

    def alone(model: str) -> tuple[np.ndarray, np.ndarray]:
        return np.maximum(own[model][0] - slack[model], 0), np.maximum(own[model][1], 0)

    def between(model: str) -> tuple[np.ndarray, np.ndarray]:
        low, high = _ece_bounds(*[of["compressed"] - of[model] for of in (middles, draws)], n)
        return low - left["compressed"], high + left[model]

    return {
        "ece": alone("compressed"),
        "ece difference": between("large"),
        "ece, calibrated model": alone("calibrated"),
        "ece difference, calibrated model": between("calibrated"),
        "ece, not corrected": interval(_ECE.of_sums(drawn["compressed"]), n=n),
        "mce, by plain bootstrap": interval(proper_scores.mce(drawn["compressed"]), n=n),
    }


def _ece_bounds(middles: np.ndarray, draws: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray]:
    pairs = zip(middles[0], draws.T, strict=True)
    each = [intervals.score_bounds(_ECE, {_ECE.name: middle}, {_ECE.name: drawn}, n) for middle, drawn in pairs]
    low, high = np.array(each).T
    return low, high


def overlap_intervals(world: OverlapWorld, rng: np.random.Generator, n: int, count: int, *, seed: int) -> Intervals:
    """Return intervals, each (count,), of mean Jaccards from n // 3 premises; for the rest see `mean_intervals`.

    "jaccard" is of n examples that have nothing to do with each other; "clusters" means that premises are drawn, with
    all their hypotheses, and "clusters ignored" that the bootstrap is not told.
    """
    alone = world.jaccard.ravel()[rng.integers(world.jaccard.size, size=(n, count))]
    premises = n // HYPOTHESES
    rows = rng.integers(len(world.jaccard), size=(premises, count))
    sides = (world.jaccard, world.other, world.chance, world.ceiling)
    columns = np.hstack([side[rows].transpose(0, 2, 1).reshape(-1, count) for side in sides])
    clusters = np.repeat(np.arange(premises), HYPOTHESES)
    sums = resampled_sums(columns, clusters=clusters, seed=seed).reshape(DRAWS, len(sides), count)
    mean, other, chance, ceiling = np.moveaxis(sums / len(clusters), 1, 0)
    ignored = resampled_sums(columns[:, :count], seed=seed) / len(clusters)
    return {
        "jaccard": interval(resampled_sums(alone, seed=seed) / n, n=n),
        "jaccard, clusters": interval(mean, n=premises),
        "jaccard, clusters ignored": interval(ignored, n=len(clusters)),
        "jaccard difference, clusters": interval(other - mean, n=premises),
        "normalised alignment, clusters": interval(overlap.normalised(mean, chance, ceiling), n=premises),
    }


_Maker = Callable[..., Intervals]


# What is shown for what it is worth; all else must reach `WANTED`.
REPORTED = (
    "ece",
    "ece difference",
    "ece, calibrated model",
    "ece difference, calibrated model",
    "ece, not corrected",
    "mce, by plain bootstrap",
    "jaccard, clusters ignored",
)


def coverage(n: int, *, simulations: int = 2000, binned: int | None = None, seed: int = 0) -> pd.DataFrame:
    """Return how often 95% intervals hold the truth, in data sets of n examples.

    simulations: data sets; binned: those for calibration errors, by default as many, 0 for none. Columns: what, n,
    simulations, truth, half_width (mean, of the interval), coverage, low, high (its 95% interval, Clopper and Pearson),
    below, above (share of intervals that lie below and above the truth), wanted_low, wanted_high, holds; the last three
    are missing where no coverage is promised.
    """
    world, overlaps = prediction_world(seed=seed), overlap_world(seed=seed)
    rows = _covered(mean_intervals, world, _prediction_truths(world), n, simulations, seed)
    binned = simulations if binned is None else binned
    rows += _covered(binned_intervals, world, _prediction_truths(world), n, binned, seed)
    rows += _covered(overlap_intervals, overlaps, overlaps.truth(), n, simulations, seed)
    return pd.DataFrame(rows).astype({"holds": "boolean"})


def _prediction_truths(world: PredictionWorld) -> dict[str, float]:
    large, compressed, calibrated = map(world.truth, ("large", "compressed", "calibrated"))
    truths = compressed | {f"{name} difference": compressed[name] - large[name] for name in compressed}
    truths["ece difference, calibrated model"] = compressed["ece"] - calibrated["ece"]
    return truths | {"ece, calibrated model": calibrated["ece"]}


def _simulated(maker: _Maker, world, n: int, simulations: int, seed: int) -> Intervals:
    parts, block = [], _BINNED_BLOCK if maker is binned_intervals else _BLOCK
    for start in range(0, simulations, block):
        names = ("simulation", maker.__name__, str(n), str(start))
        rng, count = stream(seed, *names), min(block, simulations - start)
        parts.append(maker(world, rng, n, count, seed=stream_seed(seed, *names)))
    return {what: tuple(np.concatenate([part[what] for part in parts], axis=1)) for what in parts[0]}


def _covered(maker: _Maker, world, truths: Mapping[str, float], n: int, simulations: int, seed: int) -> list:
    found = _simulated(maker, world, n, simulations, seed) if simulations else {}
    return [
        _coverage_row(what, n, truths[what] if what in truths else truths[what.split(",")[0]], *ends)
        for what, ends in found.items()
    ]


def _coverage_row(what: str, n: int, truth: float, low: np.ndarray, high: np.ndarray) -> dict:
    below, above = int((high < truth).sum()), int((low > truth).sum())
    row = {"what": what, "n": n, "simulations": len(low), "truth": float(truth)}
    row |= {"half_width": float((high - low).mean() / 2)}
    row |= _share("coverage", int(((low <= truth) & (truth <= high)).sum()), len(low))  # nan holds nothing
    row |= {"below": below / len(low), "above": above / len(low)}
    promised = what not in REPORTED
    wanted = WANTED if promised else (np.nan, np.nan)
    holds = WANTED[0] <= row["coverage"] <= WANTED[1] if promised else None
    return row | {"wanted_low": wanted[0], "wanted_high": wanted[1], "holds": holds}


def _share(name: str, count: int, of: int) -> dict[str, float]:
    bounds = binomtest(count, of).proportion_ci()
    return {name: count / of, "low": float(bounds.low), "high": float(bounds.high)}


# What is drawn at the margin: the measure, whether the large model is calibrated, and where its interval is from.
_AT_MARGIN = {
    "accuracy": ("accuracy", False, mean_intervals, "accuracy difference"),
    "overconfidence": ("overconfidence", False, mean_intervals, "overconfidence difference"),
    "ece": ("ece", False, binned_intervals, "ece difference"),
    "ece, calibrated large model": ("ece", True, binned_intervals, "ece difference"),
    "normalised alignment": ("normalised_alignment", False, overlap_intervals, "normalised alignment, clusters"),
}


_TWINS = {
    "same model, verdict equivalent": ("large", "equivalent", 0.95),
    "random head, verdict not equivalent": ("random-head", "not-equivalent", 0.99),
}


def decisions(
    n: int, *, simulations: int = 2000, binned: int | None = None, judged: int = 0, seed: int = 0
) -> pd.DataFrame:
    """Return how often the decisions are right where it is known what is right, with n examples, n // 10 explained.

    simulations, binned: see `coverage`; judged: data sets that go through `decision.judge`. Columns: what, n (explained
    ones, where those decide), simulations, share, low, high (its 95% interval), wanted, holds.
    """
    margins, rows = load_margins(), []
    counts = {binned_intervals: simulations if binned is None else binned}
    for what, (measure, calibrated, maker, name) in _AT_MARGIN.items():
        world, size = world_at_margin(measure, margins[measure].margin, calibrated=calibrated, seed=seed), n
        if maker is overlap_intervals:
            size = n // 10
        low, high = _simulated(maker, world, size, counts.get(maker, simulations), seed)[name]
        outcomes = _outcomes(measure, low, high, size)
        rows.append(_decision_row(f"{what} at its margin, called equivalent", size, outcomes, "equivalent", most=0.05))
    low, high = _simulated(overlap_intervals, overlap_world(distance=0, seed=seed), size, simulations, seed)[name]
    outcomes = _outcomes(measure, low, high, size)
    rows.append(_decision_row("same model, alignment equivalent", size, outcomes, "equivalent"))
    for what, (twin, outcome, least) in _TWINS.items() if judged else ():
        outcomes = [judgement(twin, n, number, seed=seed) for number in range(judged)]
        rows.append(_decision_row(what, n, outcomes, outcome, least=least))
    return pd.DataFrame(rows).astype({"holds": "boolean"})


def _outcomes(measure: str, low: np.ndarray, high: np.ndarray, n: int) -> list[str]:
    """Return the decision on each interval of a difference, or of the normalised alignment, from n examples."""
    margin = load_margins()[measure]
    if margin.one_sided:
        low, high, n = 1 - high, 1 - low, n // HYPOTHESES
    options = {"margin": margin.margin, "n": n, "one_sided": margin.one_sided}
    # The difference itself only enters the number of examples that would decide: the middle serves.
    return [statistics.decide((a + b) / 2, a, b, **options).outcome for a, b in zip(low, high, strict=True)]


def _decision_row(
    what: str, n: int, outcomes: list[str], outcome: str, *, least: float | None = None, most: float | None = None
) -> dict:
    row = {"what": what, "n": n, "simulations": len(outcomes)} | _share("share", outcomes.count(outcome), len(outcomes))
    if least is None and most is None:
        return row | {"wanted": None, "holds": None}
    if most is None:
        return row | {"wanted": f"≥ {least:.0%}", "holds": row["share"] >= least}
    return row | {"wanted": f"≤ {most:.0%}", "holds": row["share"] <= most}


def judgement(twin: str, n: int, number: int, *, seed: int = 0) -> str:
    """Return the verdict of an audit on the large model and a twin, n examples, n // 10 explained.

    twin: "large", the same model under other explainer seeds, or "random-head". number: which data set.
    """
    names = ("judgement", twin, str(n), str(number))
    world, rng, key = _shared_world(seed), stream(seed, *names), stream_seed(seed, *names)
    rows, labels = world.draw(rng, (n,))
    models = [world.models[name][rows] for name in ("large", twin)]
    overlaps = _shared_overlaps(0.0 if twin == "large" else np.inf, seed)
    premises = rng.integers(len(overlaps.chance), size=n // 10 // HYPOTHESES)
    scores = intervals.score_differences(*models, labels, seed=key)
    found = measured(load_margins(), scores, n, _explained(overlaps, premises, key), len(premises))
    return overall(found["outcome"])


_shared_world = functools.cache(lambda seed: prediction_world(seed=seed))


_shared_overlaps = functools.cache(lambda distance, seed: overlap_world(distance=distance, seed=seed))


def _explained(world: OverlapWorld, premises: np.ndarray, seed: int) -> overlap.Alignment:
    """Return the alignment of the hypotheses of some premises, against its ceiling, by the package's own functions."""
    ids = [f"test-{number}" for number in range(HYPOTHESES * len(premises))]
    clusters = pd.Series(np.repeat(np.arange(len(premises)), HYPOTHESES), index=ids)
    columns = {"chance": world.chance[premises].ravel(), "n_features": world.n_words[premises].ravel()}
    options = {"clusters": clusters, "seed": seed}

    def summarised(jaccard: np.ndarray, ceiling=None) -> overlap.Alignment:
        table = pd.DataFrame({"id": ids, "jaccard": jaccard[premises].ravel(), **columns})
        return overlap.summarise(table, ceiling=ceiling, **options)

    ceiling = overlap.ceiling(*map(summarised, (world.large_itself, world.compressed_itself)), **options)
    return summarised(world.jaccard, ceiling)
