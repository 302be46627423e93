"""Do claims about a way of compressing keep what they promise? Worlds with seeds of known effect, and published seeds.

    .venv/bin/python benchmarks/seeds.py [--simulations N] [--seed N] [--out FILE]

Writes `benchmarks/seeds.json`: "worlds", where a true drop in accuracy lies on the margin, so that every decision is
false; "ways", the models of published runs over their training seeds. Takes about a minute on one core.
"""

import argparse
import itertools
import math
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from scipy.special import ndtri
from scipy.stats import norm

from trusteq.estimates import Estimate, mean
from trusteq.project import PUBLISHED, root
from trusteq.statistics import stream
from trusteq.store import processor, to_json, versions, write_text
from trusteq.study.results import Results
from trusteq.study.sides import paired_seeds, predicted_runs
from trusteq.verdict.seeds import between_seeds, components, crossed, is_about_way, seeds_needed

FILE = Path(__file__).with_suffix(".json")
RUNS = ("snli-minilm", "sst2-minilm")
MARGIN = 0.02
MISSED, COVERED = 0.035, 0.93  # observed shares that are taken as 2.5% and 95%
ACCURACY = 0.85  # of the large model
DIFFICULTY = 3.0  # variance of what makes an example hard for every model; a model's own is 1
SEED_SDS = (0.0, 0.004, 0.008)  # of the drop in accuracy between pairs; on SNLI .008 was seen
IN_CLUSTER, SHARED = 4, 0.5  # examples of a cluster, and the share of each variance that they have in common
WORLDS = tuple(itertools.product((3, 5, 8), (200, 1000), SEED_SDS, (False, True)))
_BLOCK = 50


def drops(rng: np.random.Generator, shape: tuple[int, int, int], *, seed_sd: float, clustered: bool) -> np.ndarray:
    """Return right_large - right_small, shape (count, K, n), of probit models whose accuracies differ by MARGIN.

    What a model makes of an example is normal, so its accuracy over seeds and examples is too: it is exact.
    """
    count, n_seeds, n = shape
    spread, accuracies = math.sqrt(DIFFICULTY + 1), (ACCURACY, ACCURACY - MARGIN)
    slopes = [norm.pdf(ndtri(accuracy)) / spread for accuracy in accuracies]
    of_seed = seed_sd / math.hypot(*slopes)
    difficulty = math.sqrt(DIFFICULTY) * _of_examples(rng, (count, 1, n), clustered=clustered)
    right = []
    for accuracy in accuracies:
        seeds = ndtri(accuracy) * math.hypot(spread, of_seed) + of_seed * rng.standard_normal((count, n_seeds, 1))
        right.append(seeds + difficulty + _of_examples(rng, shape, clustered=clustered) > 0)
    return right[0].astype(np.float64) - right[1]


def _of_examples(rng: np.random.Generator, shape: tuple[int, int, int], *, clustered: bool) -> np.ndarray:
    alone = rng.standard_normal(shape)
    if not clustered:
        return alone
    of_cluster = np.repeat(rng.standard_normal((*shape[:2], shape[2] // IN_CLUSTER)), IN_CLUSTER, axis=2)
    return math.sqrt(SHARED) * of_cluster + math.sqrt(1 - SHARED) * alone


def world_rows(n_seeds: int, n: int, seed_sd: float, clustered: bool, *, simulations: int, seed: int) -> Iterator[dict]:
    """Return how often each kind of estimate decides, wrongly, and covers: one row for each."""
    rng = stream(seed, "seeds", n_seeds, n, seed_sd, clustered)
    clusters = np.arange(n) // IN_CLUSTER if clustered else None
    found: dict[str, list] = {"crossed": [], "between_seeds": [], "one seed": []}
    for _ in range(0, simulations, _BLOCK):
        for values in drops(rng, (_BLOCK, n_seeds, n), seed_sd=seed_sd, clustered=clustered):
            singles = [mean(row, clusters=clusters) for row in values]
            found["crossed"].append(crossed(values, clusters=clusters).interval)
            found["between_seeds"].append(between_seeds(singles).interval)
            found["one seed"].append(singles[0].interval)
    world = {"seeds": n_seeds, "n": n, "seed_sd": seed_sd, "clustered": clustered}
    return (world | {"estimate": name} | _kept(np.array(bounds)) for name, bounds in found.items())


def _kept(bounds: np.ndarray) -> dict:
    """Return the share of false decisions on either side of the margin, coverage, and the median width."""
    low, high = bounds.T
    equivalent, different = float((high <= MARGIN).mean()), float((low > MARGIN).mean())
    covered = float(((low <= MARGIN) & (high >= MARGIN)).mean())
    holds = max(equivalent, different) <= MISSED and covered >= COVERED
    rates = {"false_equivalent": equivalent, "false_not_equivalent": different, "coverage": covered}
    return rates | {"width": float(np.median(high - low)), "simulations": len(bounds), "holds": holds}


def way_rows(run: Results) -> Iterator[dict]:
    """Return the difference in accuracy of each smaller model from the large one, over seeds and examples."""
    for task in run.experiment.tasks:
        predicted = predicted_runs(run, task)
        for model in list(run.experiment.models)[1:]:
            found = paired_seeds(run.experiment, model)
            pairs = [(predicted[run.experiment.large, large], predicted[model, seed]) for large, seed in found.pairs]
            values = np.array([_right(small) - _right(large) for large, small in pairs])
            key = {"data": run.experiment.name, "task": task, "model": model}
            key |= {"pairs": [list(pair) for pair in found.pairs], "large_seed": found.fixed}
            yield key | way(values, pairs[0][0].clusters)


def _right(predictions) -> np.ndarray:
    return (predictions.probabilities.argmax(axis=1) == predictions.gold).astype(np.float64)


def way(values: np.ndarray, clusters: np.ndarray | None) -> dict:
    """Return the estimate over seeds and examples, its components as standard deviations, and the seeds wanted."""
    found, parts = crossed(values, clusters=clusters), components(values, clusters=clusters)
    sds = {name: _plain(getattr(parts, name) ** 0.5) for name in ("seeds", "examples", "rest")}
    return {
        "n_seeds": len(values),
        "is_about_way": is_about_way(len(values)),
        **_interval("", found),
        **_interval("one_", mean(values[0], clusters=clusters)),
        "sds": sds,
        "intraclass": _plain(parts.intraclass),
        "seeds_needed": seeds_needed(found, parts, margin=MARGIN),
        "margin": MARGIN,
    }


def _interval(prefix: str, found: Estimate) -> dict:
    return {f"{prefix}difference": found.value, f"{prefix}low": found.interval[0], f"{prefix}high": found.interval[1]}


def _plain(value: float) -> float | None:
    return None if math.isnan(value) else float(value)


def main() -> None:
    """Make all rows and write them."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--simulations", type=int, default=1000, help="data sets for each world")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=FILE)
    options = parser.parse_args()
    started, worlds = time.perf_counter(), []
    for world in WORLDS:
        worlds += world_rows(*world, simulations=options.simulations, seed=options.seed)
        print(f"{time.perf_counter() - started:.0f} s", *worlds[-3:], sep="\n", flush=True)
    ways = [row for name in RUNS for row in way_rows(Results.open(root() / PUBLISHED / name))]
    print(*ways, sep="\n")
    origin = {"machine": f"{processor()}, one thread", "versions": versions(), "seed": options.seed}
    origin["seconds"] = time.perf_counter() - started
    write_text(to_json({"worlds": worlds, "ways": ways} | origin), options.out)


if __name__ == "__main__":
    main()
