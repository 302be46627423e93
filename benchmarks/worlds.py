"""Populations whose truth is known, from which the simulations draw data sets.

In one, each example has a chance for every label and the probabilities of several models; in the other, each premise
has three hypotheses, each with the top-10 words of several models in several runs of the explainer. Both are finite,
and data sets are drawn with replacement, so the truth is the population's own value: exact.
"""

import functools
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy.special import softmax

from trusteq.alignment.ranking import chance_jaccard
from trusteq.calibration.bins import Design
from trusteq.calibration.proper_scores import SCORES
from trusteq.statistics import stream

N_BINS = 10
HYPOTHESES = 3
_WORDS = 30  # of the longest pair of texts
_SCORES = ("accuracy", "brier", "nll", "overconfidence", "ece")


@dataclass(frozen=True, eq=False)
class PredictionWorld:
    """Examples with the chance of each label, (m, C), and each model's probabilities of them, (m, C), by name."""

    chances: np.ndarray
    models: Mapping[str, np.ndarray]

    @functools.cached_property
    def designs(self) -> dict[str, Design]:
        """The design of each model's probabilities."""
        return {name: Design.of(p, n_bins=N_BINS, binning="equal-width") for name, p in self.models.items()}

    def truth(self, model: str) -> dict[str, float]:
        """Return what each of `SCORES` of binned sums is in the population, its labels averaged over their chances."""
        design = self.designs[model]
        right = self.chances[np.arange(len(self.chances)), design.predicted]
        sums = {
            "bin_count": np.bincount(design.bins, minlength=N_BINS),
            "bin_confidence": np.bincount(design.bins, design.confidence, N_BINS),
            "bin_correct": np.bincount(design.bins, right, N_BINS),
        }
        sums |= {name: (self.chances * losses).sum(keepdims=True)[0] for name, losses in design.losses.items()}
        return {name: float(SCORES[name].of_sums(sums)) for name in _SCORES}

    def draw(self, rng: np.random.Generator, shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
        """Return rows of the population and labels drawn from their chances, both of the shape given."""
        rows = rng.integers(len(self.chances), size=shape)
        borders = self.chances.cumsum(axis=1)[:, :-1]
        return rows, (rng.random(shape)[..., None] >= borders[rows]).sum(axis=-1)


def prediction_world(
    *, noise: float = 1.0, sharpness: float = 1.15, size: int = 200_000, seed: int = 0
) -> PredictionWorld:
    """Return a world of three classes with a large and a compressed model, neither of which knows the labels' chances.

    The logits of the chances are normal; the large model sees them through noise, and the compressed one through that
    and `noise` times as much of its own, its logits times `sharpness`: both are too sure.
    "calibrated" has the chances themselves, "random-head" says what has nothing to do with them.
    """
    logits, common, own, other = stream(seed, "prediction world").standard_normal((4, size, 3))
    logits, seen = 4 * logits, 4 * logits + common
    models = {
        "large": softmax(1.1 * seen, axis=1),
        "compressed": softmax(sharpness * (seen + noise * own), axis=1),
        "calibrated": softmax(logits, axis=1),
        "random-head": softmax(0.3 * other, axis=1),
    }
    return PredictionWorld(models["calibrated"], models)


@dataclass(frozen=True, eq=False)
class OverlapWorld:
    """Jaccard indices of top-10 sets, each (premises, hypotheses); all that share a premise are drawn together.

    jaccard: large with compressed; other: large with a third model; large_itself, compressed_itself: of two runs of the
    explainer; chance: of two random sets; n_words: of both texts.
    """

    jaccard: np.ndarray
    other: np.ndarray
    large_itself: np.ndarray
    compressed_itself: np.ndarray
    chance: np.ndarray
    n_words: np.ndarray

    @property
    def ceiling(self) -> np.ndarray:
        """The mean of both models' agreements with themselves, as `alignment.ceiling` has it."""
        return (self.large_itself + self.compressed_itself) / 2

    def truth(self) -> dict[str, float]:
        """Return the population's mean Jaccard, difference of two mean Jaccards, and normalised alignment."""
        mean, other, chance, ceiling = (x.mean() for x in (self.jaccard, self.other, self.chance, self.ceiling))
        normalised = (mean - chance) / (ceiling - chance)
        return {"jaccard": mean, "jaccard difference": other - mean, "normalised alignment": normalised}


def overlap_world(*, distance: float = 0.8, premises: int = 6000, seed: int = 0) -> OverlapWorld:
    """Return a world of premises with three hypotheses each, and top-10 sets of models that weigh words differently.

    A word's weight is the same in every model but for what is the model's own, `distance` times as large in the
    compressed one (infinite: nothing shared, 0: the same model), and for the noise of a run of the explainer, which
    some premises have more of. Words of the premise weigh alike with each of its hypotheses.
    """
    rng = stream(seed, "overlap world")
    of_premise = rng.integers(5, 21, size=(premises, 1, 1))
    n_words = of_premise[..., 0] + rng.integers(3, 11, size=(premises, HYPOTHESES))
    place = np.arange(_WORDS)
    draw = functools.partial(rng.standard_normal, dtype=np.float64)

    def weights() -> np.ndarray:
        return np.where(place < of_premise, draw((premises, 1, _WORDS)), draw((premises, HYPOTHESES, _WORDS)))

    unsteady = 0.4 * np.exp(0.5 * draw((premises, 1, 1)))

    def run(model: np.ndarray) -> np.ndarray:
        score = np.abs(model + unsteady * draw((premises, HYPOTHESES, _WORDS)))
        score = np.where(place < n_words[..., None], score, -1)
        tenth = np.sort(score, axis=-1)[..., [-10]]
        return (score >= tenth) & (score >= 0)

    large, own, third = weights(), weights(), weights()
    compressed = large + distance * own if np.isfinite(distance) else own
    large, again, small, small_again, other = map(run, (large, large, compressed, compressed, large + 1.2 * third))
    chances = np.array([chance_jaccard(n, 10) for n in range(_WORDS + 1)])
    pairs = [(large, small), (large, other), (large, again), (small, small_again)]
    return OverlapWorld(*[_jaccard(a, b) for a, b in pairs], chance=chances[n_words], n_words=n_words)


def _jaccard(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return (a & b).sum(axis=-1) / (a | b).sum(axis=-1)
