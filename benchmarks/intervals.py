"""Do the intervals hold the truth as often as they promise? Data sets drawn from worlds in which it is known.

    .venv/bin/python benchmarks/intervals.py [--simulations N] [--binned N] [--seed N] [--out FILE]

Writes `benchmarks/intervals.json`, which the book's page on the intervals shows. Takes about 5 minutes on one core.
"""

import argparse
import functools
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pandas as pd
from scipy.stats import binomtest
from worlds import HYPOTHESES, N_BINS, OverlapWorld, PredictionWorld, overlap_world, prediction_world

from trusteq import estimates
from trusteq.calibration import intervals
from trusteq.calibration.bins import Design
from trusteq.calibration.proper_scores import SCORES
from trusteq.estimates import Bounds
from trusteq.statistics import stream, stream_seed
from trusteq.store import processor, to_json, versions, write_text

FILE = Path(__file__).with_suffix(".json")
# Examples, and the share of the data sets for calibration errors that time allows: each is drawn again 2,000 times.
SIZES = {500: 1.0, 2000: 0.5, 10_000: 0.1}
LEAST = 0.935  # coverage that a 95% interval must have; few examples have more, by design
MEANS = ("accuracy", "brier", "nll", "overconfidence")
DRAWN = {name: SCORES[name] for name in ("accuracy", "overconfidence", "ece")}
# What is shown for what it is worth; all else must reach LEAST.
REPORTED = (
    "ece",
    "ece difference",
    "ece, calibrated model",
    "ece difference, calibrated model",
    "jaccard, clusters ignored",
)


def mean_intervals(world: PredictionWorld, rng: np.random.Generator, n: int, seed: int = 0) -> dict[str, Bounds]:
    """Return intervals of the compressed model's mean scores, and of their differences from the large model's."""
    rows, labels = world.draw(rng, (n,))
    large, compressed = (_of_examples(world.models[name][rows], labels) for name in ("large", "compressed"))
    alone, paired = intervals.means(compressed), intervals.mean_differences(large, compressed)
    return {name: alone[name].interval for name in MEANS} | {
        f"{name} difference": paired[name].interval for name in MEANS
    }


def _of_examples(probabilities: np.ndarray, labels: np.ndarray) -> dict[str, np.ndarray]:
    design = Design.of(probabilities, n_bins=N_BINS, binning="equal-width")
    return {name: SCORES[name].of_examples(design, labels) for name in MEANS}


def binned_intervals(world: PredictionWorld, rng: np.random.Generator, n: int, seed: int) -> dict[str, Bounds]:
    """Return intervals of calibration errors; those of a "calibrated model", whose ECE is 0, are the hard cases.

    seed: of the bootstrap.
    """
    rows, labels = world.draw(rng, (n,))
    compressed, large, calibrated = (world.models[name][rows] for name in ("compressed", "large", "calibrated"))
    found = {}
    with patch.dict(SCORES, DRAWN, clear=True):  # the others take time, and change none of these
        for what, model in {"": compressed, ", calibrated model": calibrated}.items():
            table = intervals.score_intervals(model, labels, seed=seed).set_index("score")
            found[f"ece{what}"] = tuple(table.loc["ece", ["low", "high"]])
        for what, model in {"": large, ", calibrated model": calibrated}.items():
            paired = intervals.difference_estimates(model, compressed, labels, seed=seed)
            found[f"ece difference{what}"] = paired["ece"].interval
    return found


def overlap_intervals(world: OverlapWorld, rng: np.random.Generator, n: int, seed: int = 0) -> dict[str, Bounds]:
    """Return intervals of mean Jaccards from n // 3 premises.

    "jaccard" is of n examples that have nothing to do with each other; "clusters" means that premises are drawn, with
    all their hypotheses, and "clusters ignored" that the interval is not told.
    """
    mean = functools.partial(estimates.mean, within=(0, 1))
    alone = world.jaccard.ravel()[rng.integers(world.jaccard.size, size=n)]
    premises = rng.integers(len(world.jaccard), size=n // HYPOTHESES)
    sides = (world.jaccard, world.other, world.chance, world.ceiling)
    jaccard, other, chance, ceiling = (side[premises].ravel() for side in sides)
    clusters, seen = np.repeat(np.arange(len(premises)), HYPOTHESES), float(jaccard.mean())
    place = estimates.ratio(jaccard - chance, ceiling - chance, clusters=clusters, reach=(seen, 1 - seen))
    return {
        "jaccard": mean(alone).interval,
        "jaccard, clusters": mean(jaccard, clusters=clusters).interval,
        "jaccard, clusters ignored": mean(jaccard).interval,
        "jaccard difference, clusters": estimates.mean(other - jaccard, clusters=clusters).interval,
        "normalised alignment, clusters": place.interval,
    }


def coverage(n: int, *, simulations: int = 2000, binned: int | None = None, seed: int = 0) -> Iterator[dict]:
    """Yield the rows of all kinds of intervals for data sets of n examples: see `covered`.

    simulations: data sets; binned: those for calibration errors, by default as many, 0 for none.
    """
    world, overlaps = prediction_world(seed=seed), overlap_world(seed=seed)
    truths, how = prediction_truths(world), {"n": n, "seed": seed}
    yield from covered(mean_intervals, world, truths, simulations=simulations, **how)
    yield from covered(overlap_intervals, overlaps, overlaps.truth(), simulations=simulations, **how)
    yield from covered(binned_intervals, world, truths, simulations=simulations if binned is None else binned, **how)


def covered(maker, world, truths: Mapping[str, float], *, n: int, simulations: int, seed: int) -> Iterator[dict]:
    """Yield how often 95% intervals hold the truth, in data sets of n examples, one row a kind of interval.

    maker: one of the functions above, of its world. Keys: what, n, simulations, truth, half_width (mean, of the
    interval), coverage, low, high (its 95% interval, Clopper and Pearson), below, above (share of intervals that lie
    below and above the truth), wanted, holds; the last two are None where no coverage is promised.
    """
    found = defaultdict(list)
    for number in range(simulations):
        names = ("simulation", maker.__name__, str(n), str(number))
        for what, ends in maker(world, stream(seed, *names), n, stream_seed(seed, *names)).items():
            found[what].append(ends)
    for what, ends in found.items():
        truth = truths[what] if what in truths else truths[what.split(",")[0]]
        yield coverage_row(what, n, truth, *np.array(ends).T)


def prediction_truths(world: PredictionWorld) -> dict[str, float]:
    """Return the true value of whatever `mean_intervals` and `binned_intervals` are of, by name."""
    large, compressed, calibrated = map(world.truth, ("large", "compressed", "calibrated"))
    truths = compressed | {f"{name} difference": compressed[name] - large[name] for name in compressed}
    truths["ece difference, calibrated model"] = compressed["ece"] - calibrated["ece"]
    return truths | {"ece, calibrated model": calibrated["ece"]}


def coverage_row(what: str, n: int, truth: float, low: np.ndarray, high: np.ndarray) -> dict:
    """Return one row of `covered` from the ends of intervals, (simulations,)."""
    held = int(((low <= truth) & (truth <= high)).sum())  # nan holds nothing
    bounds = binomtest(held, len(low)).proportion_ci()
    row = {"what": what, "n": n, "simulations": len(low), "truth": float(truth)}
    row |= {"half_width": float((high - low).mean() / 2), "coverage": held / len(low)}
    row |= {"low": float(bounds.low), "high": float(bounds.high)}
    row |= {"below": float((high < truth).mean()), "above": float((low > truth).mean())}
    if what in REPORTED:
        return row | {"wanted": None, "holds": None}
    return row | {"wanted": LEAST, "holds": row["coverage"] >= LEAST}


def main() -> None:
    """Make all rows and write them."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--simulations", type=int, default=2000, help="data sets for each coverage")
    parser.add_argument("--binned", type=int, default=300, help="data sets for calibration errors, at n=500")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=FILE)
    options = parser.parse_args()
    started, rows = time.perf_counter(), []
    for n, share in SIZES.items():
        made = list(coverage(n, simulations=options.simulations, binned=int(share * options.binned), seed=options.seed))
        print(f"{time.perf_counter() - started:.0f} s\n{pd.DataFrame(made).to_string(index=False)}", flush=True)
        rows += made
    origin = {
        "machine": f"{processor()}, one thread",
        "versions": versions(),
        "seconds": time.perf_counter() - started,
        "seed": options.seed,
    }
    write_text(to_json({"rows": rows} | origin), options.out)


if __name__ == "__main__":
    main()
