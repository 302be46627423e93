"""Do decisions about small samples err as seldom as they promise? Simulated pairs whose differences are at the margins.

    .venv/bin/python benchmarks/decisions.py [--repetitions N] [--only PATTERN] [--seed N] [--out FILE]

Writes `benchmarks/decisions.json`, which the book's page on the intervals shows. In every world the difference is
placed exactly on the margin: "equivalent" is then false, and "not-equivalent" is false for one just within it. Takes
about half an hour on one core.
"""

import argparse
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from trusteq import estimates
from trusteq.estimates import TAIL
from trusteq.statistics import stream
from trusteq.store import processor, to_json, versions, write_text
from trusteq.verdict.comparison import Comparison, Side
from trusteq.verdict.margins import DIFFERENT, EQUIVALENT, UNDECIDED, Measured, decide, load_margins
from trusteq.verdict.predictions import Predictions

FILE = Path(__file__).with_suffix(".json")
MARGINS = load_margins()
STEP = 0.02  # the margin of accuracy and of both calibration measures


@dataclass(frozen=True)
class Bin:
    """Examples of one confidence: their share, how sure both models are of them, and how often who is right.

    lost: the large model alone is right; gained: the small one alone.
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


@dataclass(frozen=True)
class World:
    """Pairs of models on n examples of so many classes, in clusters, of which a share `alike` has one outcome."""

    name: str
    bins: tuple[Bin, ...]
    n: int
    classes: int = 2
    clusters: int = 0
    alike: float = 0.5

    def truth(self) -> dict[str, float]:
        """Return the differences in the population, by measure."""
        gaps = [(of.share, of.confidence - of.right, of.confidence + of.more - of.small) for of in self.bins]
        return {
            "accuracy": sum(of.share * (of.small - of.right) for of in self.bins),
            "ece": sum(share * (abs(small) - abs(large)) for share, large, small in gaps),
            "overconfidence": sum(share * (small - large) for share, large, small in gaps),
        }

    def draw(self, rng: np.random.Generator) -> tuple[Predictions, Predictions]:
        """Return what both models predict of a sample."""
        size, groups = self.n, None
        kinds = np.array([(of.share * share) for of in self.bins for share in self._outcomes(of)])
        drawn = rng.choice(len(kinds), size=size, p=kinds / kinds.sum())
        if self.clusters:
            groups = np.sort(np.arange(size) % self.clusters)
            shared = rng.choice(len(kinds), size=self.clusters, p=kinds / kinds.sum())[groups]
            drawn = np.where(rng.random(size) < self.alike, shared, drawn)
        bins, outcome = np.divmod(drawn, 4)
        gold = rng.integers(self.classes, size=size)
        sure = np.array([of.confidence for of in self.bins])[bins]
        more = np.array([of.more for of in self.bins])[bins]
        both = [
            self._probabilities(gold, np.isin(outcome, right), confidence, rng)
            for right, confidence in (((0, 1), sure), ((0, 2), sure + more))
        ]
        names = tuple(map(str, range(self.classes)))
        return tuple(Predictions(names, probabilities, gold, None, groups) for probabilities in both)

    def _outcomes(self, of: Bin) -> tuple[float, ...]:
        return of.right - of.lost, of.lost, of.gained, 1 - of.right - of.gained

    def _probabilities(self, gold, right, confidence, rng) -> np.ndarray:
        predicted = np.where(right, gold, (gold + rng.integers(1, self.classes, size=self.n)) % self.classes)
        found = np.repeat(((1 - confidence) / (self.classes - 1))[:, None], self.classes, axis=1)
        found[np.arange(self.n), predicted] = confidence
        return found


def _calibrated(*confidences: float, lost: float, gained: float) -> tuple[Bin, ...]:
    """Return bins in which the large model is calibrated and the small one, as sure, is right less often."""
    return tuple(Bin(1 / len(confidences), sure, sure, lost, gained) for sure in confidences)


PAIRS = {
    "many flips": _calibrated(0.65, 0.85, lost=0.07, gained=0.05),
    "nearly equal": _calibrated(0.65, 0.85, lost=STEP, gained=0.0),
    "accuracy .99": _calibrated(0.99, lost=STEP, gained=0.0),
    "confidence near 1": (Bin(1.0, 0.999, 0.97, STEP, 0.0),),
    "accuracy alone": tuple(Bin(0.5, sure, sure, 0.05, 0.03, -STEP) for sure in (0.67, 0.87)),
}


def worlds() -> Iterator[World]:
    """Yield every world of predictions."""
    for name, bins in PAIRS.items():
        for n in (15, 30, 60, 100, 200, 400):
            yield World(name, bins, n)
    for clusters in (1, 2, 3, 8, 12, 40):
        for name in ("many flips", "nearly equal"):
            yield World(name, PAIRS[name], 240, clusters=clusters)
    for n in (60, 200):
        yield World("many flips", PAIRS["many flips"], n, classes=20)


def judged(world: World, *, repetitions: int, seed: int) -> list[dict]:
    """Return one row a measure: how often it is decided, falsely either way, and how often its interval holds."""
    truth, rows, verdicts = world.truth(), [], []
    rng = stream(seed, "decisions", repr(world))
    for _ in range(repetitions):
        found = Comparison(*(Side("", predictions) for predictions in world.draw(rng)))
        verdicts.append(found.verdict)
        plain = reference(found)
        for row in found.dimensions.to_dict("records"):
            value = truth[row["measure"]]
            inside = not row["low"] > value + 1e-9 and not row["high"] < value - 1e-9
            width = row["high"] - row["low"]
            rows.append((row["measure"], row["outcome"], inside, width, width / plain.get(row["measure"], np.nan)))
    table = pd.DataFrame(rows, columns=["measure", "outcome", "holds", "width", "ratio"])
    facts = {"world": world.name, "n": world.n, "clusters": world.clusters, "classes": world.classes}
    found = [facts | {"measure": name, "true": truth[name]} | _rates(of) for name, of in table.groupby("measure")]
    family = pd.Series(verdicts)
    return [
        *found,
        facts
        | {"measure": "all", "equivalent": float((family == EQUIVALENT).mean())}
        | {"not-equivalent": float((family == DIFFERENT).mean())},
    ]


def reference(found: Comparison) -> dict[str, float]:
    """Return the widths of the t intervals of means, without anything for what was not seen."""
    large, small = (side.predictions for side in (found.a, found.b))
    change = [(of.probabilities.argmax(axis=1) == of.gold) * 1.0 for of in (large, small)]
    sure = [of.probabilities.max(axis=1) for of in (large, small)]
    columns = np.column_stack([change[1] - change[0], sure[1] - sure[0] - change[1] + change[0]])
    of = estimates.moments(columns, clusters=large.clusters)
    if not of.dof:
        return {}
    reach = 2 * estimates.quantile(TAIL, of.dof) * np.sqrt(np.diag(of.covariance))
    return {name: width for name, width in zip(("accuracy", "overconfidence"), reach, strict=True) if width > 0}


def _rates(of: pd.DataFrame) -> dict[str, float]:
    decided = (of["outcome"] != UNDECIDED).mean()
    rates = {name: float((of["outcome"] == name).mean()) for name in (EQUIVALENT, DIFFERENT)}
    return rates | {
        "decided": float(decided),
        "holds": float(of["holds"].mean()),
        "width": float(of["width"].median()),
        "times the t interval": float(of["ratio"].median()),
    }


@dataclass(frozen=True)
class Aligned:
    """Jaccards of n examples, in clusters, whose mean is exactly three quarters of the way from chance to ceiling."""

    name: str
    draw_jaccard: Callable
    n: int
    clusters: int = 0

    def draw(self, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
        """Return what lies above chance of the pair and of the ceiling, each (n,), and the clusters."""
        groups = np.sort(np.arange(self.n) % self.clusters) if self.clusters else None
        shared = rng.random((self.clusters or 1, 4))[groups if self.clusters else np.zeros(self.n, dtype=int)]
        uniform = rng.random((self.n, 4))
        mixed = np.where(rng.random((self.n, 1)) < (0.5 if self.clusters else 0), shared, uniform)
        return (*self.draw_jaccard(mixed), groups)


def _steady(u: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A method that draws nothing: words are the same in three of four examples, else as chance has it."""
    room = 0.4 + 0.4 * u[:, 0]
    return np.where(u[:, 1] < 0.75, room, 0.0), room


def _noisy(u: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A method that draws: the pair and the ceiling vary around their means, from below chance to 1."""
    base = 0.2 + 0.3 * u[:, 0]
    return 0.75 * base + 0.5 * (u[:, 1] - 0.5), base + 0.4 * (u[:, 2] - 0.5)


def aligned_worlds() -> Iterator[Aligned]:
    """Yield every world of alignments."""
    for name, draw in {"a method that draws nothing": _steady, "a method that draws": _noisy}.items():
        for n in (15, 30, 60, 100, 200):
            yield Aligned(name, draw, n)
        for clusters in (1, 2, 3, 8, 12, 40):
            yield Aligned(name, draw, 120, clusters)


def placed(world: Aligned, *, repetitions: int, seed: int) -> list[dict]:
    """Return the same rates for an alignment."""
    (name,) = [name for name, margin in MARGINS.items() if margin.alignment]
    rows, rng = [], stream(seed, "alignments", repr((world.name, world.n, world.clusters)))
    for _ in range(repetitions):
        pair, ceiling, groups = world.draw(rng)
        place = estimates.ratio(pair, ceiling, clusters=groups)
        one = Measured(name, MARGINS[name], (1.0, place.value), place.shifted(-1.0))
        ((outcome, _),) = decide([one])
        low, high = place.interval
        rows.append((outcome, low <= 0.75 + 1e-9 and high >= 0.75 - 1e-9, high - low, np.nan))
    facts = {
        "world": world.name,
        "n": world.n,
        "clusters": world.clusters,
        "classes": 0,
        "measure": name,
        "true": -0.25,
    }
    return [facts | _rates(pd.DataFrame(rows, columns=["outcome", "holds", "width", "ratio"]))]


def main() -> None:
    """Simulate every world and write what came of it."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--repetitions", type=int, default=1000, help="samples of each world")
    parser.add_argument("--only", default="", help="worlds whose description has this pattern")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=FILE)
    options = parser.parse_args()
    started, rows = time.perf_counter(), []
    for world in (*worlds(), *aligned_worlds()):
        what = f"{world.name}, n={world.n}, clusters={world.clusters}"
        if re.search(options.only, what):
            how = {"repetitions": options.repetitions, "seed": options.seed}
            rows += judged(world, **how) if isinstance(world, World) else placed(world, **how)
            print(
                f"{time.perf_counter() - started:.0f} s: {world.name}, n={world.n}, clusters={world.clusters}",
                flush=True,
            )
    table = pd.DataFrame(rows)
    print(table.round(3).to_string())
    origin = {"machine": f"{processor()}, one thread", "versions": versions(), "repetitions": options.repetitions}
    origin |= {"seconds": time.perf_counter() - started, "seed": options.seed}
    values = table.astype(object).where(table.notna(), None).to_dict("records")
    write_text(to_json({"rows": values} | origin), options.out)


if __name__ == "__main__":
    main()
