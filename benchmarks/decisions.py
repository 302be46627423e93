"""Do decisions about small samples err as seldom as they promise? Simulated pairs whose differences are at the margins.

    .venv/bin/python benchmarks/decisions.py [--repetitions N] [--only PATTERN] [--seed N] [--out FILE]

Writes `benchmarks/decisions.json`, which the book's page on the intervals shows; with --only, some rows of it. In every
world "at the margin" the difference lies exactly on it. The same draws serve twice: of a difference as large as the
margin "equivalent" is false, and of one that is not larger "not-equivalent" is; what is within by ever so little is
decided as often. Other worlds say how much is decided. Takes about 14 minutes on one core.
"""

import argparse
import json
import math
import re
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pandas as pd
from scipy.optimize import brentq
from scipy.special import ndtri

from trusteq import estimates
from trusteq.calibration.bins import equal_width
from trusteq.calibration.intervals import difference_estimates
from trusteq.calibration.proper_scores import SCORES
from trusteq.estimates import TAIL, Bounds, Estimate
from trusteq.statistics import stream, stream_seed
from trusteq.store import processor, to_json, versions, write_text
from trusteq.verdict.margins import (
    DIFFERENT,
    EQUIVALENT,
    FEWEST_CLUSTERS,
    FEWEST_EXAMPLES,
    UNDECIDED,
    Measured,
    decide,
    load_margins,
    overall,
)

FILE = Path(__file__).with_suffix(".json")
MARGINS = load_margins()
STEP = 0.02  # the margin of accuracy and of both calibration measures
MOST_FALSE, LEAST_COVERED, WIDEST = 0.035, 0.93, 1.3  # observed shares taken as 2.5% and 95%; times the reference
FEWEST_EVENTS = 10  # expected, such as flips: with fewer, no textbook says that its interval applies
NONE = math.nan, math.nan
AT_MARGIN, POWER = "at the margin", "power"
POWER_SHARE = 0.1  # of the repetitions
EVERY = "all"  # the row of the verdict, over all measures
CHANCE, PLACE = 0.2, 0.75  # Jaccard of random words; where an alignment at its margin lies
WANTED = {margin.score: SCORES[margin.score] for margin in MARGINS.values() if margin.score}
(ALIGNMENT,) = (name for name, margin in MARGINS.items() if margin.alignment)


@dataclass(frozen=True)
class Cell:
    """Examples of one kind: their share, how sure the large model is of them, and how often who is right.

    lost: the large model alone is right; gained: the small one alone; more: how much surer the small one is.
    """

    share: float
    confidence: float
    right: float
    lost: float
    gained: float
    more: float = 0.0

    @property
    def small(self) -> float:
        """How often the small model is right."""
        return self.right - self.lost + self.gained

    @property
    def outcomes(self) -> tuple[float, ...]:
        """The shares of: both right, the large one alone, the small one alone, neither."""
        return self.right - self.lost, self.lost, self.gained, 1 - self.right - self.gained


@dataclass(frozen=True)
class World:
    """Pairs of models on n examples of so many classes, in clusters, of which a share `alike` has one outcome."""

    name: str
    cells: tuple[Cell, ...]
    n: int
    classes: int = 2
    clusters: int = 0
    alike: float = 0.5
    kind: str = AT_MARGIN

    def truth(self) -> dict[str, float]:
        """Return the differences in the population, by measure."""
        shares = np.array([of.share for of in self.cells])
        sure = [np.array([of.confidence + (of.more if small else 0) for of in self.cells]) for small in (False, True)]
        right = [np.array([of.small if small else of.right for of in self.cells]) for small in (False, True)]
        errors = [_error(shares * (a - b), a) for a, b in zip(sure, right, strict=True)]
        over = [float(shares @ (a - b)) for a, b in zip(sure, right, strict=True)]
        accuracy = float(shares @ (right[1] - right[0]))
        return {"accuracy": accuracy, "ece": errors[1] - errors[0], "overconfidence": over[1] - over[0]}

    @property
    def events(self) -> float:
        """The share of examples about which one of the two alone is right."""
        return sum(of.share * (of.lost + of.gained) for of in self.cells)

    def draw(self, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray | None]:
        """Return a sample: the probabilities of both models, (n, classes), the labels and the clusters, (n,)."""
        chances = np.array([of.share * share for of in self.cells for share in of.outcomes])
        drawn, groups = rng.choice(len(chances), size=self.n, p=chances), None
        if self.clusters:
            groups = np.sort(np.arange(self.n) % self.clusters)
            shared = rng.choice(len(chances), size=self.clusters, p=chances)[groups]
            drawn = np.where(rng.random(self.n) < self.alike, shared, drawn)
        cells, outcome = np.divmod(drawn, 4)
        sure, more = (np.array([getattr(of, name) for of in self.cells])[cells] for name in ("confidence", "more"))
        gold = rng.integers(self.classes, size=self.n)
        wrong = (gold + rng.integers(1, self.classes, size=self.n)) % self.classes
        large, small = np.isin(outcome, (0, 1)), np.isin(outcome, (0, 2))
        return (
            self._probabilities(np.where(large, gold, wrong), sure),
            self._probabilities(np.where(small, gold, wrong), sure + more),
            gold,
            groups,
        )

    def _probabilities(self, predicted: np.ndarray, confidence: np.ndarray) -> np.ndarray:
        found = np.repeat(((1 - confidence) / (self.classes - 1))[:, None], self.classes, axis=1)
        found[np.arange(self.n), predicted] = confidence
        return found


def _error(gaps: np.ndarray, confidence: np.ndarray) -> float:
    """Return the calibration error of cells, of which several may lie in one bin."""
    bins = np.searchsorted(equal_width(confidence, 10), confidence)
    return float(np.abs(np.bincount(bins, gaps)).sum())


def _calibrated(*confidences: float, lost: float, gained: float) -> tuple[Cell, ...]:
    """Return cells in which the large model is calibrated and the small one, as sure, is right less often."""
    return tuple(Cell(1 / len(confidences), sure, sure, lost, gained) for sure in confidences)


def _moving(*confidences: float, by: float, lost: float, gained: float) -> tuple[Cell, ...]:
    """Return cells in which the small model is surer, or less sure, where the large one could have been so too."""
    share = 0.5 / len(confidences)
    return tuple(Cell(share, sure, sure + up, lost, gained, up) for sure in confidences for up in (by, -by))


PAIRS = {
    "many flips": _calibrated(0.65, 0.85, lost=0.07, gained=0.05),
    "nearly equal": _calibrated(0.65, 0.85, lost=STEP, gained=0.0),
    "nearly equal, confidence moves": _moving(0.65, 0.85, by=0.08, lost=STEP, gained=0.0),
    "accuracy .99": _calibrated(0.99, lost=STEP, gained=0.0),
    "confidence near 1": (Cell(1.0, 0.999, 0.97, STEP, 0.0),),
    "accuracy alone": tuple(Cell(0.5, sure, sure, 0.05, 0.03, -STEP) for sure in (0.67, 0.87)),
}
POWERS = {
    "the same model": _calibrated(0.65, 0.85, lost=0.0, gained=0.0),
    "as good": _moving(0.65, 0.85, by=0.05, lost=0.03, gained=0.03),
    "half the margin": _calibrated(0.65, 0.85, lost=0.03, gained=0.02),
    "twice the margin": _calibrated(0.65, 0.85, lost=0.07, gained=0.03),
}


@dataclass(frozen=True)
class Aligned:
    """Jaccards of n examples, in clusters, whose mean is exactly three quarters of the way from chance to ceiling."""

    name: str
    above_chance: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]
    n: int
    clusters: int = 0
    kind: str = AT_MARGIN
    events: float = 0.1  # nothing is rare: a hundred examples are enough

    def draw(self, rng: np.random.Generator) -> Estimate:
        """Return what is estimated from a sample: the place, less that of the large model."""
        groups = np.sort(np.arange(self.n) % self.clusters) if self.clusters else None
        uniform = rng.random((self.n, 3))
        if self.clusters:
            uniform = np.where(rng.random((self.n, 1)) < 0.5, rng.random((self.clusters, 3))[groups], uniform)
        pair, ceiling = self.above_chance(uniform)
        jaccard = float(pair.mean()) + CHANCE
        return estimates.ratio(pair, ceiling, clusters=groups, reach=(jaccard, 1 - jaccard)).shifted(-1.0)


def steady(u: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A method that draws nothing: words are the same in three of four examples, else as chance has it."""
    room = 0.4 + 0.4 * u[:, 0]
    return np.where(u[:, 1] < PLACE, room, 0.0), room


def noisy(u: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A method that draws: the pair and the ceiling vary around their means, from below chance to far above."""
    base = 0.2 + 0.3 * u[:, 0]
    return PLACE * base + 0.5 * (u[:, 1] - 0.5), base + 0.4 * (u[:, 2] - 0.5)


def worlds() -> Iterator[World | Aligned]:
    """Yield every world."""
    few = (1, 2, 3, FEWEST_CLUSTERS, 12, 40)
    for name, cells in PAIRS.items():
        yield from (World(name, cells, n) for n in (15, 30, 60, 100, 200, 400))
    for name in ("many flips", "nearly equal"):
        yield from (World(name, PAIRS[name], 240, clusters=clusters) for clusters in few)
    yield World("nearly equal", PAIRS["nearly equal"], 2000, clusters=40)
    yield from (World("many flips", PAIRS["many flips"], n, classes=20) for n in (60, 200))
    for name, draw in {"a method that draws nothing": steady, "a method that draws": noisy}.items():
        yield from (Aligned(name, draw, n) for n in (15, 30, 60, 100, 200, 400))
        yield from (Aligned(name, draw, 240, clusters) for clusters in few)
    for name, cells in POWERS.items():
        yield from (World(name, cells, n, kind=POWER) for n in (200, 1000, 4000))


@dataclass(frozen=True)
class Found:
    """One measure of one sample, with the ends of the textbook's interval: Tango's own, or Student's.

    seen: how many independent examples, or clusters.
    """

    outcome: str
    seen: float
    low: float
    high: float
    textbook_low: float
    textbook_high: float


def simulated(world: World | Aligned, *, repetitions: int, seed: int) -> Iterator[dict]:
    """Yield one row a measure: how often it is decided, falsely either way, and how often its interval holds."""
    found, verdicts = defaultdict(list), []
    truth = world.truth() if isinstance(world, World) else {ALIGNMENT: PLACE - 1}
    for number in range(repetitions):
        name = (world.name, str(world.n), str(world.clusters), str(number))
        rng, key = stream(seed, "decisions", *name), stream_seed(seed, "decisions", *name)
        taken, textbook = _predicted(world, rng, key) if isinstance(world, World) else _aligned(world, rng)
        for one in taken:
            ((outcome, _),) = decide([one])
            ends = (*one.estimate.interval, *textbook[one.name])
            found[one.name].append(Found(outcome, one.estimate.independent, *ends))
        if world.kind == AT_MARGIN and isinstance(world, World):
            taken += _aligned(Aligned("", noisy, world.n, world.clusters), rng)[0]
        verdicts.append(overall([outcome for outcome, _ in decide(taken)]))
    facts = {"kind": world.kind, "world": world.name, "n": world.n, "clusters": world.clusters}
    facts |= {"classes": getattr(world, "classes", None), "repetitions": repetitions}
    for name, of in found.items():
        yield facts | {"measure": name} | _row(pd.DataFrame(of), MARGINS[name].margin, truth[name], world)
    if len(found) > 1:
        beyond = [abs(value) / MARGINS[name].margin for name, value in truth.items()]
        rates = _rates(pd.Series(verdicts), is_far=max(beyond) > 1 - 1e-9, is_near=max(beyond) < 1 + 1e-9)
        yield facts | {"measure": EVERY} | rates | {"holds": _few_are_false(rates)}


def _predicted(world: World, rng: np.random.Generator, seed: int) -> tuple[list[Measured], dict[str, Bounds]]:
    large, small, gold, clusters = world.draw(rng)
    found = difference_estimates(large, small, gold, clusters=clusters, seed=seed)
    taken = [Measured(name, of, (0.0, 0.0), found[of.score]) for name, of in MARGINS.items() if of.score]
    first, second = ((of.argmax(axis=1) == gold) * 1.0 for of in (large, small))
    return taken, {
        "accuracy": tango(second - first, found["accuracy"].effective),
        "overconfidence": student(found["overconfidence"], second - first, clusters),
        "ece": NONE,
    }


def _aligned(world: Aligned, rng: np.random.Generator) -> tuple[list[Measured], dict[str, Bounds]]:
    place = world.draw(rng)
    return [Measured(ALIGNMENT, MARGINS[ALIGNMENT], (0.0, 0.0), place)], {ALIGNMENT: student(place)}


def student(of: Estimate, values: np.ndarray | None = None, clusters: np.ndarray | None = None) -> Bounds:
    """Return Student's interval, without anything for skewness or for what was not seen.

    values, clusters: any of the same examples, for the degrees of freedom; without, there are as many as units, less 1.
    """
    dof = of.units - 1 if values is None else estimates.moments(values[:, None], clusters=clusters).dof
    if not dof or not math.isfinite(of.error):
        return NONE
    reach = estimates.quantile(TAIL, dof) * of.error
    return of.value - reach, of.value + reach


def tango(change: np.ndarray, n: float) -> Bounds:
    """Return Tango's interval (1998, equation 8) as it was published, of changes (n,) in -1, 0, 1, at n examples."""
    if n <= 1:
        return NONE
    gained, lost = (float((change * sign > 0).mean()) for sign in (1, -1))

    def gap(difference: float, z: float) -> float:
        linear = (2 - gained + lost) * difference - gained - lost
        share = (math.sqrt(linear**2 + 8 * lost * difference * (1 - difference)) - linear) / 4
        variance = max(2 * share + difference * (1 - difference), 0.0) / n
        return gained - lost - difference - z * math.sqrt(variance)

    z, seen = float(ndtri(1 - TAIL)), gained - lost
    if not gained and not lost:
        return -(z**2) / (n + z**2), z**2 / (n + z**2)
    low = -1.0 if gap(-1, z) <= 0 else float(brentq(gap, -1, seen, args=(z,)))
    return low, 1.0 if gap(1, -z) >= 0 else float(brentq(gap, seen, 1, args=(-z,)))


def _row(found: pd.DataFrame, margin: float, true: float, world: World | Aligned) -> dict:
    rates = _rates(found["outcome"], is_far=abs(true) >= margin - 1e-9, is_near=abs(true) <= margin + 1e-9)
    inside = (found["low"] <= true + 1e-9) & (found["high"] >= true - 1e-9)
    width = float((found["high"] - found["low"]).median())
    row = {"true": true, "margin": margin, "is_asked": _is_asked(world)} | rates
    row |= {"coverage": float(inside.mean()), "width": width}
    row |= _beside_textbook(found, width, true, found["seen"].median() * world.events)
    covers = row["coverage"] >= LEAST_COVERED or not row["is_asked"]
    wide = row["has_textbook"] and row["times"] > WIDEST
    return row | {"holds": bool(_few_are_false(rates) and covers and not wide)}


def _is_asked(world: World | Aligned) -> bool:
    """Return whether the coverage is asked for: where enough is drawn for an outcome, often enough to tell."""
    few = world.n < FEWEST_EXAMPLES or 0 < world.clusters < FEWEST_CLUSTERS
    return world.kind == AT_MARGIN and not few


def _beside_textbook(found: pd.DataFrame, width: float, true: float, events: float) -> dict:
    """Return how often either end of the textbook's interval misses the truth, and how many times as wide ours is."""
    low, high = found["textbook_low"], found["textbook_high"]
    textbook = float((high - low).median())
    missed = max(float((low > true + 1e-9).mean()), float((high < true - 1e-9).mean()))
    return {
        "textbook_missed": math.nan if math.isnan(textbook) else missed,
        "times": width / textbook if textbook > 1e-9 else math.nan,
        "has_textbook": bool(events >= FEWEST_EVENTS and textbook > 1e-9),
    }


def _rates(outcomes: pd.Series, *, is_far: bool, is_near: bool) -> dict[str, float]:
    equivalent, different = (float((outcomes == of).mean()) for of in (EQUIVALENT, DIFFERENT))
    false = {"false_equivalent": equivalent if is_far else None, "false_not_equivalent": different if is_near else None}
    decided = float((outcomes != UNDECIDED).mean())
    return {"equivalent": equivalent, "not_equivalent": different, "decided": decided} | false


def _few_are_false(rates: Mapping[str, float | None]) -> bool:
    return all((rates[f"false_{of}"] or 0.0) <= MOST_FALSE for of in ("equivalent", "not_equivalent"))


def key_of(row: Mapping) -> tuple:
    """Return what tells the world of a row from others."""
    return row["world"], row["n"], row["clusters"], row["classes"]


def only_wanted():
    """Return a context in which the scores without a margin are not estimated; those with one are as ever."""
    return patch.dict(SCORES, WANTED, clear=True)


def main() -> None:
    """Simulate every world and write what came of it, world by world: a run that is cut goes on with --only."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--repetitions", type=int, default=1000, help="samples of each world")
    parser.add_argument("--only", default="", help="worlds whose description has this pattern; others stay as they are")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=FILE)
    options = parser.parse_args()
    found = json.loads(options.out.read_text(encoding="utf-8")) if options.only and options.out.exists() else {}
    rows, seconds = defaultdict(list), found.get("seconds", 0.0)
    for row in found.get("rows", ()):
        rows[key_of(row)].append(row)
    for world in worlds():
        what = f"{world.kind}: {world.name}, n={world.n}, clusters={world.clusters}"
        if not re.search(options.only, what):
            continue
        started = time.perf_counter()
        repetitions = int(options.repetitions * (POWER_SHARE if world.kind == POWER else 1))
        with only_wanted():
            made = list(simulated(world, repetitions=repetitions, seed=options.seed))
        rows[key_of(made[0])] = made
        seconds += time.perf_counter() - started
        print(f"{seconds:.0f} s: {what}", flush=True)
        print(pd.DataFrame(made).drop(columns=["kind", "world", "repetitions"]).round(3).to_string(), flush=True)
        _write(rows, options, seconds)


def _write(rows: Mapping[tuple, list[dict]], options: argparse.Namespace, seconds: float) -> None:
    order = [(of.name, of.n, of.clusters, getattr(of, "classes", None)) for of in worlds()]
    table = pd.DataFrame([row for of in order for row in rows.get(of, ())])
    values = table.astype(object).where(table.notna(), None).to_dict("records")
    origin = {"machine": f"{processor()}, one thread", "versions": versions(), "seed": options.seed}
    write_text(to_json({"rows": values, "seconds": seconds} | origin), options.out)


if __name__ == "__main__":
    main()
