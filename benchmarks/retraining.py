"""How often is a model that is only another training called worse? Simulated twins, and the published trainings.

    .venv/bin/python benchmarks/retraining.py [--repetitions N] [--seed N] [--out FILE]

Writes `benchmarks/retraining.json`, which the book's page on the intervals shows. In the simulated worlds large model,
small model and twins are trainings of one model: exchangeable, so "worse" is always false. The published rows take the
large model's own trainings in every order as large, small and twin. Takes about five minutes on one core.
"""

import argparse
import itertools
import math
import time
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pandas as pd

from trusteq.calibration.proper_scores import SCORES
from trusteq.statistics import stream
from trusteq.store import processor, to_json, versions, write_text
from trusteq.study import compare
from trusteq.study.publish import open_published
from trusteq.verdict.comparison import Comparison, Side
from trusteq.verdict.margins import load_margins
from trusteq.verdict.predictions import Predictions
from trusteq.verdict.retraining import WORSE, retraining

FILE = Path(__file__).with_suffix(".json")
PROMISED = 0.025
# Scores without a margin decide nothing; most of the time would go into their bootstrap.
NEEDED = {margin.score: SCORES[margin.score] for margin in load_margins().values() if margin.score}
PUBLISHED = ("snli-minilm", "sst2-minilm")
# Examples, clusters (0: none), twins, and the standard deviation of one training's effect on all logits.
WORLDS = [(200, 0, 1, 0.1), (1000, 0, 1, 0.0), (1000, 0, 1, 0.1), (1000, 0, 3, 0.1), (1000, 0, 3, 0.3)]
WORLDS += [(1000, 330, 1, 0.1), (1000, 330, 3, 0.1)]


def trainings(rng: np.random.Generator, n: int, groups: int, count: int, spread: float) -> list[Predictions]:
    """Return what so many trainings of one model predict of the same examples, of three classes."""
    codes = rng.integers(groups, size=n) if groups else None
    shared = rng.normal(size=(groups, 3))[codes] if groups else rng.normal(size=(n, 3))
    gold = rng.integers(3, size=n)
    logits = 1.2 * (shared + 0.5 * rng.normal(size=(n, 3))) + 1.6 * np.eye(3)[gold]
    found = []
    for _ in range(count):
        own = logits + 0.5 * rng.normal(size=(n, 3)) + spread * rng.normal(size=3)
        own *= 1 + spread * rng.normal()
        exponentials = np.exp(own - own.max(axis=1, keepdims=True))
        probabilities = exponentials / exponentials.sum(axis=1, keepdims=True)
        found.append(Predictions(("a", "b", "c"), probabilities, gold, None, codes))
    return found


def simulated(n: int, groups: int, twins: int, spread: float, *, repetitions: int, seed: int) -> dict:
    """Return how often another training is called worse, no worse, or neither, in one world."""
    rng, said, single = stream(seed, "retraining", repr((n, groups, twins, spread))), [], []
    with patch.dict(SCORES, NEEDED, clear=True):
        for _ in range(repetitions):
            large, *others = trainings(rng, n, groups, 2 + twins, spread)
            small, *again = (Comparison(Side("large", large), Side("other", of)) for of in others)
            found = retraining(small, again)
            said.append(found.answer)
            single.append((found.table["outcome"] == WORSE).to_numpy())
    shares = pd.Series(said).value_counts(normalize=True)
    row = {"n": n, "clusters": groups, "twins": twins, "spread": spread}
    row |= {answer: float(shares.get(answer, 0.0)) for answer in ("worse", "undecided", "no-worse")}
    row["worst measure"] = float(np.mean(single, axis=0).max())
    most = PROMISED + 2 * math.sqrt(PROMISED * (1 - PROMISED) / repetitions)  # and two Monte Carlo errors
    return row | {"holds": row["worse"] <= most}


def published(name: str) -> list[dict]:
    """Return the answer about each ordered triple of the large model's trainings: large, small, twin."""
    run = open_published(name)
    rows = []
    for task in run.experiment.tasks:
        pairs = compare.compare(run, task).trainings
        for method in run.experiment.task_methods(task):
            seeds = run.experiment.model_seeds(run.experiment.large)
            for large, small, twin in itertools.permutations(seeds, 3):
                found = retraining(pairs[method, large, small], [pairs[method, large, twin]])
                worse = found.table.loc[found.table["outcome"] == WORSE, "measure"].tolist()
                row = {"data": name, "task": task, "method": method, "large": large, "small": small, "twin": twin}
                rows.append(row | {"answer": found.answer, "worse in": ", ".join(worse)})
    return rows


def main() -> None:
    """Make all rows and write them."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--repetitions", type=int, default=500, help="samples of each world")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=FILE)
    options = parser.parse_args()
    started = time.perf_counter()
    triples = [row for name in PUBLISHED for row in published(name)]
    print(pd.DataFrame(triples).to_string(), flush=True)
    rows = []
    for world in WORLDS:
        rows.append(simulated(*world, repetitions=options.repetitions, seed=options.seed))
        print(f"{time.perf_counter() - started:.0f} s: {rows[-1]}", flush=True)
    origin = {"machine": f"{processor()}, one thread", "versions": versions(), "repetitions": options.repetitions}
    origin |= {"seconds": time.perf_counter() - started, "seed": options.seed}
    write_text(to_json({"rows": rows, "published": triples} | origin), options.out)


if __name__ == "__main__":
    main()
