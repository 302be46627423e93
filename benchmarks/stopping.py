"""Does a stop at a tolerance keep what it promises, and what does it save? On SNLI, by MiniLM fine-tuned on it.

    .venv/bin/python benchmarks/stopping.py --hub DIR --cache DIR [--seeds N] [--pairs N] [--reference N] [--out FILE]

Writes `benchmarks/stopping.json`, which the book's status page shows. Of pairs of 11 to 15 words all masks are
answered, so that the top ten without sampling is known. Of pairs of any length it is taken from a reference, as many
thousands of pairs of other masks as `--reference` says; as that is sampled itself, they agree by less than they would
with what is exact. What the model answers is kept below `--cache`: the first run takes
hours, another, of an estimator that has changed, minutes. Nothing of it is a text.

A run is followed to its budget, and what is promised is looked up at every look. The budget that has the same mean
Jaccard index is found between those looks. "At most" is what a rule could save that knew beforehand, of every pair,
how its agreement will grow.
"""

import argparse
import functools
import os
from collections.abc import Iterator
from math import comb
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pandas as pd
from scipy.special import stdtrit

import trusteq
from trusteq.alignment.ranking import drawn_jaccards
from trusteq.attribution import lime, shapley, stopping
from trusteq.attribution.explain import example_of
from trusteq.attribution.features import Features
from trusteq.attribution.methods import METHODS
from trusteq.attribution.tokens import TokenPredictor
from trusteq.models.classifier import load_classifier
from trusteq.statistics import stream
from trusteq.store import processor, to_json, versions, write_text

FILE = Path(__file__).with_suffix(".json")
MODEL = "trusteq/minilm-snli-18k"
STOPPING = [name for name, method in METHODS.items() if method.stops]
TOLERANCES = (0.8, 0.9, 0.95)
DEFAULT = 1000  # masks
# Rows of SNLI's test split by their number of words.
ROWS = {
    11: (709, 1214),
    12: (579, 949, 1176, 2576, 2760, 8456, 8955, 9490),
    13: (464, 844, 2019, 4876, 7404, 8957, 8968),
    14: (209, 465),
    15: (1008,),
}
GAMES = [f"test-{row}" for rows in ROWS.values() for row in rows]
MOST = 2000  # passes of a run on a game
promise = stopping.agreement


class Words:
    """An example of so many words, as far as a method looks at it."""

    def __init__(self, n: int):
        self.n_features = n


class Model:
    """MiniLM, loaded when it is first asked."""

    def __init__(self, hub: str):
        self.hub = hub

    @functools.cached_property
    def predictor(self) -> TokenPredictor:
        """What answers for masks."""
        return TokenPredictor(load_classifier(MODEL, hub=self.hub, device="cpu"))

    @functools.cached_property
    def pairs(self) -> dict[str, object]:
        """The pairs of SNLI's test split by id."""
        return {row.id: row for row in trusteq.load_examples("snli", "test", hub=self.hub).itertuples()}

    def example(self, id: str) -> Features:
        """Return a pair as what is explained."""
        labels, classifier = self.predictor.labels, self.predictor.classifier
        return example_of(self.pairs[id], len(labels), classifier=classifier)


class Answers:
    """What the model answers about one pair: each mask is asked about once, and kept in a folder."""

    def __init__(self, id: str, model: Model, cache: Path):
        self.id, self.model, self.cache = id, model, cache
        files = [np.load(file) for file in sorted(cache.glob(f"{id}_*.npz"))]
        self.n = files[0]["masks"].shape[1] if files else model.example(id).n_features
        self.codes, self.values = np.empty(0, dtype=np.int64), np.empty((0, 3))
        for file in files:
            self._learn(codes(file["masks"]), file["values"])

    def __call__(self, masks: np.ndarray) -> np.ndarray:
        """Return the probabilities, (n, C), of masks, (n, features)."""
        found, first = np.unique(codes(masks), return_index=True)
        new = masks[first[~np.isin(found, self.codes)]]
        if len(new):
            example, predict = self.model.example(self.id), self.model.predictor.predict
            parts = [predict([(example, new[start : start + 2048])])[0] for start in range(0, len(new), 2048)]
            self._learn(codes(new), np.concatenate(parts))
            np.savez(self.cache / f"{self.id}_{len(self.codes)}.npz", masks=new, values=np.concatenate(parts))
        return self.values[np.searchsorted(self.codes, codes(masks))]

    def _learn(self, found: np.ndarray, values: np.ndarray) -> None:
        self.codes, first = np.unique(np.concatenate([self.codes, found]), return_index=True)
        self.values = np.concatenate([self.values, values])[first]


def every(n: int) -> np.ndarray:
    """Return all masks of n words, (2**n, n), in the order of their codes."""
    return (np.arange(2**n)[:, None] >> np.arange(n)) & 1 == 1


def codes(masks: np.ndarray) -> np.ndarray:
    """Return the number of each mask, of 62 words at most."""
    return masks @ (1 << np.arange(masks.shape[1]))


def exact(method: str, game: Answers) -> np.ndarray:
    """Return the weights without sampling of a game all of whose masks are known, (features, classes)."""
    n = game.n
    masks, values = every(n), game(every(n))
    if method == "shapley":
        return shapley._enumerated(masks, values)
    size = masks.sum(axis=1)
    share = np.array([0 if kept == n else 1 / n / comb(n, kept) for kept in range(n + 1)])[size]
    # The penalty of a ridge regression is nothing beside infinitely many samples.
    return lime._ridge(masks.astype(float), values, share * lime._proximity(masks), penalty=1e-12)


def looks(method: str, known: Answers, n_samples: int, rng: np.random.Generator) -> Iterator[dict]:
    """Yield what a run looks at: passes, weights, the agreement that they promise; the last with nothing promised."""
    seen = []

    def watch(weights: np.ndarray, drawn: np.ndarray) -> float:
        seen.append((weights, promise(weights, drawn), drawn_jaccards(weights, drawn).mean()))
        return 0.0

    run, asked, passes = METHODS[method].explain(Words(known.n), n_samples, rng, stable=0.5), set(), []
    with patch.object(stopping, "agreement", watch):
        masks = next(run)
        while True:
            asked |= {mask.tobytes() for mask in masks}
            passes.append(len(asked))
            try:
                masks = run.send(known(masks))
            except StopIteration as finished:
                returned = finished.value[0]
                break
    last = returned[0] if METHODS[method].has_errors else returned
    for count, (weights, promised, expected) in zip(passes, [*seen, (last, -1.0, np.nan)], strict=True):
        yield {"passes": count, "weights": weights, "promised": promised, "expected": expected}


def followed(known: dict[str, Answers], truths: dict, n_samples: int, seeds: int, kind: str) -> pd.DataFrame:
    """Return one row for each look of each run: id, seed, method, look, passes, promised, expected and jaccard."""
    rows = []
    for id, of in known.items():
        budget = min(n_samples, 2**of.n - 2)  # where all masks are affordable, shapley asks about all
        for method in STOPPING:
            for seed in range(seeds):
                rng = stream(seed, method, id)  # of seed 0 on a pair, the masks are those of `explain`
                sizes = stopping.looks(budget, of.n)
                for look, at in zip(sizes, looks(method, of, budget, rng), strict=True):
                    jaccard = drawn_jaccards(at.pop("weights"), truths[id, method]).mean()
                    rows.append({"id": id, "seed": seed, "method": method, "look": look, "jaccard": jaccard} | at)
        print(kind, id, of.n, flush=True)
    return pd.DataFrame(rows)


def summary(runs: pd.DataFrame, kind: str, method: str, stable: float) -> dict:
    """Return what stopping at a tolerance took and what it reached, beside fixed budgets; means over examples."""
    of = runs[runs["method"] == method]
    of = of.assign(expected=of.groupby(["id", "seed"])["expected"].ffill())
    last = of["look"] == of.groupby(["id", "seed"])["look"].transform("max")
    ends = of[(of["promised"] >= stable) | last].groupby(["id", "seed"]).first()
    means = ends.groupby("id")[["passes", "jaccard"]].mean()
    stopped = ends[ends["promised"] >= stable]
    reached = stopped.groupby("id")["jaccard"].mean()
    whole = of.groupby("look")["id"].transform("nunique") == of["id"].nunique()  # long pairs are looked at later
    curve = of[whole].groupby("look")[["passes", "jaccard"]].mean().cummax()
    default = float(np.interp(DEFAULT, curve.index, curve["passes"]))  # repeated masks take no pass
    equal = float(np.interp(means["jaccard"].mean(), curve["jaccard"], curve["passes"]))
    return {
        "row": f"{method}, {stable:g}, {kind}",
        "method": method,
        "stable": stable,
        "examples": len(means),
        "runs": len(ends),
        "value": means["passes"].mean(),
        "stopped": len(stopped) / len(ends),
        "realised": reached.mean() if len(reached) else None,
        "realised low": low(reached) if len(reached) > 1 else None,
        "realised, all": means["jaccard"].mean(),
        "holds": bool(low(reached) >= stable) if len(reached) > 1 else None,
        "equal budget": equal,
        "saved at equal": 1 - means["passes"].mean() / equal,
        "saved at most": most_saved(of[whole & ~last], ends),
        "saved of 1,000": 1 - means["passes"].mean() / default,
    }


def low(values: pd.Series) -> float:
    """Return the lower 95% bound of a mean over examples, by Student's t."""
    return float(values.mean() + stdtrit(len(values) - 1, 0.05) * values.std() / np.sqrt(len(values)))


def most_saved(runs: pd.DataFrame, ends: pd.DataFrame) -> float:
    """Return what an allocation of passes would save that knew how each example's agreement grows.

    By what is expected at each look but the last, which has less of chance in it than the agreement itself.
    """
    expected, passes = (
        runs.pivot_table(index="id", columns="look", values=of).to_numpy() for of in ("expected", "passes")
    )
    prices = np.geomspace(1e-6, 1e-2, 400)[:, None, None]
    chosen = np.argmax(expected - prices * passes, axis=2)
    best = [np.take_along_axis(of, chosen.T, axis=1).mean(axis=0)[::-1] for of in (expected, passes)]
    wanted = ends.groupby("id")["expected"].mean().mean()
    taken = [np.interp(wanted, *of) for of in (best, (expected.mean(axis=0), passes.mean(axis=0)))]
    return float(1 - taken[0] / taken[1])


def reference(answers: Answers, parts: int) -> dict[str, np.ndarray]:
    """Return by method the weights, (1, features, classes), of some thousands of pairs of masks of their own."""
    kept = [np.ones((1, answers.n), dtype=bool)]
    for part in range(parts):
        rng = stream(part, "reference", answers.id)
        ranks = rng.random((1000, answers.n)).argsort(axis=1).argsort(axis=1)
        kept.append(ranks < rng.integers(1, answers.n, size=(1000, 1)))
    kept = np.concatenate(kept)
    _, first = np.unique(np.maximum(codes(kept), codes(~kept)), return_index=True)
    kept = kept[np.sort(first)]
    both = np.concatenate([kept, ~kept[1:]])
    pairs = np.stack([kept, ~kept], axis=1).reshape(-1, answers.n)
    return {
        "shapley": shapley._found(pairs, answers(pairs)).weights[None],
        "lime": lime.surrogate(both, answers(both))[None],
    }


def main() -> None:
    """Follow all runs and write the file."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--hub", default=os.environ.get("TRUSTEQ_HUB"), help="a mirror of the Hub with SNLI and MiniLM")
    parser.add_argument("--cache", type=Path, required=True, help="folder in which answers are kept")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--pairs", type=int, default=100, help="pairs of any length")
    parser.add_argument("--reference", type=int, default=4, help="thousands of pairs of masks of a reference")
    parser.add_argument("--out", type=Path, default=FILE)
    options = parser.parse_args()
    options.cache.mkdir(parents=True, exist_ok=True)
    model, rows = Model(options.hub), []
    games = {id: Answers(id, model, options.cache) for id in GAMES}
    truths = {(id, method): exact(method, game)[None] for id, game in games.items() for method in STOPPING}
    runs = followed(games, truths, MOST, options.seeds, "game")
    rows += [summary(runs, "all masks known", method, stable) for method in STOPPING for stable in TOLERANCES]
    drawn = trusteq.load_examples("snli", "test", hub=options.hub, limit=100, seed=1)["id"]
    pairs = [Answers(id, model, options.cache) for id in drawn[: options.pairs]]
    pairs = {of.id: of for of in pairs if of.n > shapley.MOST_ENUMERATED}
    known = {id: reference(of, options.reference) for id, of in pairs.items()}
    truths = {(id, method): known[id][method] for id in pairs for method in STOPPING}
    runs = followed(pairs, truths, DEFAULT, 1, "pair")
    rows += [summary(runs, "pairs of any length", method, stable) for method in STOPPING for stable in TOLERANCES]
    print(pd.DataFrame(rows).to_string(index=False))
    machine = f"{processor()}, one thread"
    rows = [row | {"machine": machine, "versions": versions(), "reference": options.reference} for row in rows]
    write_text(to_json({"rows": rows}), options.out)


if __name__ == "__main__":
    main()
