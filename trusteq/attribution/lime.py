"""LIME: a weighted linear surrogate of the classifier around one example (Ribeiro et al., 2016)."""

from collections.abc import Generator

import numpy as np

from trusteq.attribution.features import Features
from trusteq.attribution.stopping import Found, normal, until_stable

# The paper keeps 20 features and uses the top 10; a word that is not kept has weight 0.
FEATURES_KEPT = 20
PENALTIES = 0.01, 1.0  # of the first ridge regression, and of the second
KERNEL_WIDTH = 25  # of the library, for cosine distances times 100


def lime(
    example: Features, n_samples: int, rng: np.random.Generator, *, stable: float | None = None
) -> Generator[np.ndarray, np.ndarray, np.ndarray | tuple[np.ndarray, bool]]:
    """Propose the library's kind of masks; return the weights of the surrogate, (features, classes).

    With `stable`, see `until_stable`, some of the same masks may do. What its top ten then agrees with is that of the
    surrogate of infinitely many.
    """
    return (yield from until_stable(perturbations(example.n_features, n_samples, rng), _found, stable))


def _found(masks: np.ndarray, probabilities: np.ndarray) -> Found:
    weights = surrogate(masks, probabilities)
    return Found(weights, weights, lambda: drawn(masks, probabilities, weights))


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
    data, proximity = masks.astype(np.float64), _proximity(masks)
    first = _ridge(data, probabilities, proximity, penalty=PENALTIES[0])
    if masks.shape[1] <= n_kept:
        return _ridge(data, probabilities, proximity, penalty=PENALTIES[1])
    weights = np.zeros_like(first)
    for label, kept in enumerate(np.argsort(-np.abs(first), axis=0, kind="stable")[:n_kept].T):
        weights[kept, label] = _ridge(data[:, kept], probabilities[:, [label]], proximity, penalty=PENALTIES[1])[:, 0]
    return weights


def _proximity(masks: np.ndarray) -> np.ndarray:
    distance = 1 - np.sqrt(masks.astype(np.float64).mean(axis=1))  # of a row of zeros and ones and one of ones
    return np.sqrt(np.exp(-((100 * distance) ** 2) / KERNEL_WIDTH**2))


def drawn(masks: np.ndarray, probabilities: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Draw what the surrogate's weights would be of infinitely many masks, (draws, features, classes).

    Normal, with the sandwich covariance over words and classes together: masks are drawn, and what a linear model
    leaves of the probabilities differs from mask to mask. A word that is not kept has the weight of the first
    regression, by which it might have been.
    Source: MacKinnon and White (1985), HC3, for a weighted ridge regression.
    """
    data, proximity = masks.astype(np.float64), _proximity(masks)
    centre, moved = weights.copy(), np.zeros((len(masks), *weights.shape))
    for label, target in enumerate(probabilities.T):
        kept = weights[:, label] != 0
        if len(weights) > FEATURES_KEPT:
            first = _ridge(data, target[:, None], proximity, penalty=PENALTIES[0])[:, 0]
            centre[~kept, label] = first[~kept]
            moved[:, :, label] = _influence(data, target, first, proximity, penalty=PENALTIES[0])
        of = weights[kept, label]
        moved[:, kept, label] = _influence(data[:, kept], target, of, proximity, penalty=PENALTIES[1])
    root = np.linalg.qr(moved.reshape(len(masks), -1), mode="r")
    return centre + (normal(len(root)) @ root).reshape(-1, *weights.shape)


def _influence(
    data: np.ndarray, target: np.ndarray, weights: np.ndarray, proximity: np.ndarray, *, penalty: float
) -> np.ndarray:
    """Return by how much each sample's residual moves each of the weights of a ridge regression, (n, features)."""
    share = proximity / proximity.sum()
    data, target = data - share @ data, target - share @ target
    scaled = proximity[:, None] * data
    reach = np.linalg.solve(data.T @ scaled + penalty * np.eye(data.shape[1]), scaled.T).T
    leverage = (reach * data).sum(axis=1) + share
    return reach * ((target - data @ weights) / (1 - leverage))[:, None]


def _ridge(data: np.ndarray, targets: np.ndarray, proximity: np.ndarray, *, penalty: float) -> np.ndarray:
    """Return the coefficients, (features, targets), of a ridge regression with an intercept and sample weights."""
    share = proximity / proximity.sum()
    scale = np.sqrt(proximity)[:, None]
    centred, wanted = (scale * (values - share @ values) for values in (data, targets))
    return np.linalg.solve(centred.T @ centred + penalty * np.eye(data.shape[1]), centred.T @ wanted)
