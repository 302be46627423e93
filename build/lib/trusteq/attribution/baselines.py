"""The two simplest methods: leave out one word at a time, and the control that looks at nothing."""

from collections.abc import Generator

import numpy as np

from trusteq.attribution.features import Features


def occlusion(
    example: Features, n_samples: int, rng: np.random.Generator
) -> Generator[np.ndarray, np.ndarray, np.ndarray]:
    """Return what the probabilities lose without each word, (features, classes); one pass a word, whatever the budget.

    Source: Zeiler and Fergus (2014), section 4.2, on words instead of patches.
    """
    masks = np.concatenate([np.ones((1, example.n_features), dtype=bool), ~np.eye(example.n_features, dtype=bool)])
    probabilities = yield masks
    return probabilities[0] - probabilities[1:]


def random(example: Features, n_samples: int, rng: np.random.Generator) -> np.ndarray:
    """Return standard normal weights, (features, classes): what agreement by chance looks like."""
    return rng.standard_normal((example.n_features, example.n_classes))
