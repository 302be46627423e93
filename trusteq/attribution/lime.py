"""LIME: a weighted linear surrogate of the classifier around one example (Ribeiro et al., 2016)."""

from collections.abc import Generator

import numpy as np

from trusteq.attribution.features import Features

# The paper keeps 20 features and uses the top 10; a word that is not kept has weight 0.
FEATURES_KEPT = 20
KERNEL_WIDTH = 25  # of the library, for cosine distances times 100


def lime(example: Features, n_samples: int, rng: np.random.Generator) -> Generator[np.ndarray, np.ndarray, np.ndarray]:
    """Propose the library's kind of masks; return the weights of the surrogate, (features, classes)."""
    masks = perturbations(example.n_features, n_samples, rng)
    probabilities = yield masks
    return surrogate(masks, probabilities)


def perturbations(n_features: int, n_samples: int, rng: np.random.Generator) -> np.ndarray:
    """Return masks, (n_samples, n_features): all kept, then each without a random number >= 1 of random features."""
    removed = rng.integers(1, n_features + 1, size=n_samples - 1)
    ranks = rng.random((n_samples - 1, n_features)).argsort(axis=1).argsort(axis=1)
    return np.concatenate([np.ones((1, n_features), dtype=bool), ranks >= removed[:, None]])


def surrogate(masks: np.ndarray, probabilities: np.ndarray, *, n_kept: int = FEATURES_KEPT) -> np.ndarray:
    """Return the weights of LIME's linear model, (features, classes); 0 for features that are not kept.

    A first ridge regression picks, for each class, the features of the `n_kept` largest weights; a second one, on these
    alone, gives the weights. Samples count by their cosine similarity to the example.
    masks: (n, features). probabilities: (n, classes).
    """
    data = masks.astype(np.float64)
    distance = 1 - np.sqrt(data.mean(axis=1))  # the cosine distance between a row of zeros and ones and one of ones
    proximity = np.sqrt(np.exp(-((100 * distance) ** 2) / KERNEL_WIDTH**2))
    first = _ridge(data, probabilities, proximity, penalty=0.01)
    if masks.shape[1] <= n_kept:
        return _ridge(data, probabilities, proximity, penalty=1.0)
    weights = np.zeros_like(first)
    for label, kept in enumerate(np.argsort(-np.abs(first), axis=0, kind="stable")[:n_kept].T):
        weights[kept, label] = _ridge(data[:, kept], probabilities[:, [label]], proximity, penalty=1.0)[:, 0]
    return weights


def _ridge(data: np.ndarray, targets: np.ndarray, proximity: np.ndarray, *, penalty: float) -> np.ndarray:
    """Return the coefficients, (features, targets), of a ridge regression with an intercept and sample weights."""
    share = proximity / proximity.sum()
    scale = np.sqrt(proximity)[:, None]
    centred, wanted = (scale * (values - share @ values) for values in (data, targets))
    return np.linalg.solve(centred.T @ centred + penalty * np.eye(data.shape[1]), centred.T @ wanted)
