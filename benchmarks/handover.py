"""Does a threshold of the hand-over keep its promise? Dev samples drawn from published predictions, the truth known.

    .venv/bin/python benchmarks/handover.py [--samples N] [--seed N] [--out FILE]

All published test predictions of a task are the inputs that there are. Dev samples are drawn from them with
replacement, whole clusters (SNLI's premises) where there are some; each chooses a threshold, whose risk over all the
inputs is then known. Writes `benchmarks/handover.json`. Takes about a minute on one core.
"""

import argparse
import time
from pathlib import Path

import numpy as np

from trusteq.statistics import stream
from trusteq.store import processor, to_json, versions, write_text
from trusteq.study.results import open_run
from trusteq.study.sides import predicted_sides
from trusteq.verdict.handover import ALPHA, LEVELS, RISKS, THRESHOLDS, Risk, Units, confidence
from trusteq.verdict.predictions import Predictions

FILE = Path(__file__).with_suffix(".json")
TASKS = {"snli-minilm": "snli", "sst2-minilm": "sst2"}
MODELS = ("minilm-int8", "minilm-3-layers", "minilm-distilled", "minilm-kept")
SIZES = (500, 1000, 4000)  # examples of a dev sample


def main() -> None:
    """Make all rows and write them."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--samples", type=int, default=1000, help="dev samples for each row")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=FILE)
    options = parser.parse_args()
    started, rows = time.perf_counter(), []
    for run, task in TASKS.items():
        sides = predicted_sides(open_run(run), task, 0)
        large = sides["minilm"]
        for model in (model for model in MODELS if model in sides):
            rows += [{"run": run, "model": model} | row for row in promises(large, sides[model], options)]
            print(f"{time.perf_counter() - started:.0f} s, {run}, {model}", flush=True)
    origin = {
        "machine": f"{processor()}, one thread",
        "versions": versions(),
        "seconds": time.perf_counter() - started,
        "seed": options.seed,
        "samples": options.samples,
    }
    write_text(to_json({"rows": rows} | origin), options.out)


def promises(large: Predictions, small: Predictions, options: argparse.Namespace) -> list[dict]:
    """Return for each risk, level and number of examples what the thresholds of dev samples bring.

    within: share of the dev samples whose threshold has a risk over all inputs within the level. half_above: whose
    threshold has a risk above it in a random half of the inputs, drawn anew for each. never: that let nothing be
    answered alone. share: of all inputs, the mean over dev samples. best: were the risks known.
    """
    codes = (
        np.unique(small.clusters, return_inverse=True)[1] if small.clusters is not None else np.arange(len(small.gold))
    )
    kept, sizes, rows = confidence(small)[:, None] >= np.array(THRESHOLDS), np.bincount(codes), []
    halves = _halves(len(sizes), options)
    for n in SIZES:
        drawn = _drawn(len(sizes), round(n / sizes.mean()), options)
        for name, risk in RISKS.items():
            losses = (risk.losses(large, small)[:, None] * kept).T
            sums = np.stack([np.bincount(codes, of) for of in losses])
            whole, half = sums.sum(axis=1) / sizes.sum(), (halves @ sums.T) / (halves @ sizes)[:, None]
            for level in LEVELS:
                at = chosen(risk, sizes, sums, drawn, level)
                rows.append({"risk": name, "level": level, "n": n} | _row(at, whole, half, kept.mean(axis=0), level))
    return rows


def _drawn(units: int, wanted: int, options: argparse.Namespace) -> np.ndarray:
    """Return how often each unit is in each dev sample, shape (samples, units)."""
    rng = stream(options.seed, "handover", "dev", str(wanted))
    drawn = (np.bincount(rng.integers(units, size=wanted), minlength=units) for _ in range(options.samples))
    return np.array(list(drawn), dtype=np.float64)


def _halves(units: int, options: argparse.Namespace) -> np.ndarray:
    """Return a random half of the units for each dev sample, 0 or 1, shape (samples, units)."""
    rng = stream(options.seed, "handover", "half")
    return np.array([rng.permutation(units) < units // 2 for _ in range(options.samples)], dtype=np.float64)


def chosen(risk: Risk, sizes: np.ndarray, sums: np.ndarray, drawn: np.ndarray, level: float) -> np.ndarray:
    """Return the place of each sample's threshold, as `safe_threshold` chooses it; -1 for none."""
    at, going = np.full(len(drawn), -1), np.arange(len(drawn))
    for place, threshold in enumerate(THRESHOLDS):
        kinds, kind = np.unique(np.stack([sizes, sums[place]]), axis=1, return_inverse=True)
        counts = drawn[going] @ np.eye(kinds.shape[1])[kind.ravel()]
        going = going[risk.shown(Units(*kinds, counts), threshold, level, ALPHA)]
        at[going] = place
        if not len(going):
            break
    return at


def _row(at: np.ndarray, whole: np.ndarray, half: np.ndarray, shares: np.ndarray, level: float) -> dict[str, float]:
    # The place -1 stands for no threshold: nothing is lost, and nothing answered.
    whole, shares = np.append(whole, 0.0), np.append(shares, 0.0)
    half = np.column_stack([half, np.zeros(len(half))])
    above = np.flatnonzero(whole > level)
    return {
        "within": float((whole[at] <= level).mean()),
        "half_above": float((half[np.arange(len(at)), at] > level).mean()),
        "never": float((shares[at] == 0).mean()),
        "share": float(shares[at].mean()),
        "best": float(shares[above[0] - 1] if len(above) else shares[-2]),
    }


if __name__ == "__main__":
    main()
