"""Do sequential audits keep what they promise, and what do they save? Simulations of `trusteq.verdict.sequential`.

    .venv/bin/python benchmarks/sequential.py [--simulations N] [--seed N] [--out FILE]

Writes `benchmarks/sequential.json`. Takes about 6 minutes on one core. At its margin, a loss is called "equivalent", or
"not equivalent", as often as either may be wrong. The published world has 220 examples of one run and its own loss as
the margin. What was not seen widens the intervals of few examples by so much that little is left to be wrong: whether
the levels of the looks hold is seen "by student", without it.
"""

import argparse
import functools
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.optimize import brentq
from scipy.stats import binomtest
from worlds import overlap_world

from trusteq.estimates import TAIL, Estimate, ratio
from trusteq.statistics import stream
from trusteq.store import processor, to_json, versions, write_text
from trusteq.study.publish import open_published
from trusteq.study.sides import explained_runs, gold_labels
from trusteq.verdict import sequential
from trusteq.verdict.comparison import Comparison, Side

FILE = Path(__file__).with_suffix(".json")
PUBLISHED = "snli-minilm"
PAIR = ("minilm", "minilm-kept")
BUDGETS = (60, 200, 1000)
MARGIN = 0.25
LOSSES = {"same model": 0.0, "half the margin": MARGIN / 2, "at the margin": MARGIN, "twice the margin": 2 * MARGIN}
MOST_FALSE, LEAST_COVERED = 0.035, 0.93


class World(NamedTuple):
    """Of each example what it lacks to the ceiling and how far that is above chance: premises, hypotheses.

    The loss, whose truth is the ratio of their means, is held against a margin.
    """

    lacking: np.ndarray
    room: np.ndarray
    margin: float = MARGIN

    @property
    def truth(self) -> float:
        """The loss in the population."""
        return self.lacking.mean() / self.room.mean()


@functools.cache
def of_loss(loss: float, seed: int) -> World:
    """Return a world of models whose loss is as given; 0: of the same model."""

    def world(distance: float) -> World:
        of = overlap_world(distance=distance, seed=seed)
        return World(of.ceiling - of.jaccard, of.ceiling - of.chance)

    distance = brentq(lambda distance: world(distance).truth - loss, 0.0, 5.0, xtol=1e-4) if loss else 0.0
    return world(distance)


def published() -> World:
    """Return the world of a published run's examples: what a pair lacks to its ceiling, under LIME."""
    run = open_published(PUBLISHED)
    runs = [(model, 0) for model in PAIR]
    sides = explained_runs(run, "snli", "lime", runs, gold=gold_labels(run, "snli"), groups=None)
    comparison = Comparison(*(Side(model, explained=sides[model, 0]) for model in PAIR))
    table, ceiling = (found.table.set_index("id") for found in (comparison.alignment, comparison.ceiling))
    world = World(*((ceiling["jaccard"] - table[of]).to_numpy()[:, None] for of in ("jaccard", "chance")))
    return world._replace(margin=float(world.truth))


def drawn(world: World, budget: int, rng: np.random.Generator, *, clustered: bool) -> tuple[np.ndarray, ...]:
    """Return lacking, room and premise of as many examples; clustered: one to all hypotheses of a premise, together."""
    premises, hypotheses = world.lacking.shape
    if not clustered:
        places = rng.integers(premises, size=budget), rng.integers(hypotheses, size=budget)
        return world.lacking[places], world.room[places], np.arange(budget)
    sizes = rng.integers(1, hypotheses + 1, size=budget)
    of = np.repeat(np.arange(budget), sizes)[:budget]
    hypothesis = np.concatenate([rng.permutation(hypotheses)[:size] for size in sizes])[:budget]
    places = rng.integers(premises, size=budget)[of], hypothesis
    return world.lacking[places], world.room[places], of


cached_tails = functools.cache(sequential.tails)


def by_parts(fractions: tuple[float, ...]) -> list[float]:
    """Return the alphas that add up: valid whatever the joint distribution, and the price of that."""
    return np.diff(sequential.spent(fractions), prepend=0).tolist()


def decide(low: float, high: float, margin: float) -> str:
    """Return the decision on a loss."""
    return "equivalent" if high <= margin else "not-equivalent" if low > margin else "undecided"


def stop(found: list[Estimate], alphas: list[float], margin: float) -> tuple[str, int, float, float]:
    """Return the first decision of a sequence, at which look it falls, and the interval shown."""
    shown = [of.bounds(alpha) for of, alpha in zip(found, alphas, strict=True)]
    outcomes = [decide(*bounds, margin) for bounds in shown]
    look = next((look for look, outcome in enumerate(outcomes) if outcome != "undecided"), len(found) - 1)
    return outcomes[look], look, *shown[look]


def simulated(world: World, budget: int, number: int, *, clustered: bool, seed: int) -> dict:
    """Return what one audit says: in sequence, by alphas that add up, and in one look at all examples."""
    rng = stream(seed, "sequential", str(budget), str(clustered), str(number))
    lacking, room, premise = drawn(world, budget, rng, clustered=clustered)
    parts = sequential.blocks(pd.DataFrame({"text_a": premise}), at=sequential.looks(budget), seed=number)
    order, stops = np.concatenate(parts), np.cumsum(list(map(len, parts)))
    lacking, room, premise = lacking[order], room[order], premise[order]

    def looked(reach: float) -> list[Estimate]:
        how = {"reach": (reach, reach)}
        return [ratio(lacking[:n], room[:n], clusters=premise[:n] if clustered else None, **how) for n in stops]

    fractions, found = tuple((stops / budget).tolist()), looked(1.0)
    outcome, look, low, high = stop(found, cached_tails(fractions), world.margin)
    return {
        "outcome": outcome,
        "examples": int(stops[look]),
        "covered": low <= world.truth <= high,
        "by_student": stop(looked(0.0), cached_tails(fractions), world.margin)[0],
        "by_parts": stop(found, by_parts(fractions), world.margin)[0],
        "at_once": decide(*found[-1].bounds(TAIL), world.margin),
    }


def row(name: str, world: World, budget: int, *, clustered: bool, simulations: int, seed: int) -> dict:
    """Return how often audits of a world decide, rightly or not, and after how many examples."""
    table = pd.DataFrame(
        [simulated(world, budget, number, clustered=clustered, seed=seed) for number in range(simulations)]
    )
    found = {"world": name, "clusters": clustered, "budget": budget, "simulations": simulations}
    found |= {"loss": float(world.truth), "margin": world.margin}
    for outcome in ("equivalent", "not-equivalent"):
        found[outcome] = float((table["outcome"] == outcome).mean())
        found[f"{outcome} by student"] = float((table["by_student"] == outcome).mean())
    found |= {f"decided_{how}": float((table[how] != "undecided").mean()) for how in ("at_once", "by_parts")}
    found["decided"] = found["equivalent"] + found["not-equivalent"]
    found |= {"median_examples": float(table["examples"].median()), "mean_examples": float(table["examples"].mean())}
    covered = binomtest(int(table["covered"].sum()), simulations)
    found |= {"coverage": covered.statistic} | dict(zip(("low", "high"), covered.proportion_ci(), strict=True))
    wrong = [outcome for outcome in ("equivalent", "not-equivalent") if _is_false(outcome, world)]
    found["holds"] = covered.statistic >= LEAST_COVERED and all(found[outcome] <= MOST_FALSE for outcome in wrong)
    return found


def _is_false(outcome: str, world: World) -> bool:
    """Return whether an outcome would be wrong; at the margin itself either is taken to be."""
    excess = world.truth - world.margin
    return excess >= -1e-3 if outcome == "equivalent" else excess <= 1e-3


def main() -> None:
    """Make all rows and write them."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--simulations", type=int, default=4000, help="audits of each world and budget")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=FILE)
    options = parser.parse_args()
    started, rows = time.perf_counter(), []
    made = {name: of_loss(loss, options.seed) for name, loss in LOSSES.items()} | {"published": published()}
    for name, world in made.items():
        for clustered in (False, True)[: world.lacking.shape[1]]:
            for budget in BUDGETS:
                how = {"clustered": clustered, "simulations": options.simulations, "seed": options.seed}
                rows.append(row(name, world, budget, **how))
                print(f"{time.perf_counter() - started:.0f} s {rows[-1]}", flush=True)
    origin = {"machine": f"{processor()}, one thread", "versions": versions(), "seed": options.seed}
    write_text(to_json({"rows": rows, "seconds": time.perf_counter() - started} | origin), options.out)


if __name__ == "__main__":
    main()
