"""A stop before the budget of an example is spent: when its top words are stable."""

from collections.abc import Callable, Generator
from typing import NamedTuple

import numpy as np

from trusteq.alignment.ranking import drawn_jaccards
from trusteq.statistics import stream

FIRST_LOOK, DRAWS = 128, 500  # masks before the first look at whether they are enough; draws of what weights may be
EXAMPLES, QUANTILE = 100, 1.645  # over so many examples, or more, a tolerance holds; of a lower 95% bound


class Found(NamedTuple):
    """What a method makes of the masks that it has asked about.

    returned: what it returns. weights: (features, classes). drawn: draws what they would be of infinitely many masks,
    (draws, features, classes).
    """

    returned: np.ndarray | tuple
    weights: np.ndarray
    drawn: Callable[[], np.ndarray]


def until_stable(
    masks: np.ndarray, find: Callable[[np.ndarray, np.ndarray], Found], stable: float | None
) -> Generator[np.ndarray, np.ndarray, object]:
    """Ask about masks in their order, all or until the top ten is stable; return what a method is to return.

    masks: (n, features). find: makes something of the masks asked about and their probabilities. stable: the
    `agreement` that is enough; with it, whether it stopped early is returned beside the rest.
    """
    probabilities: list[np.ndarray] = []
    start = 0
    for look in [len(masks)] if stable is None else looks(*masks.shape):
        probabilities.append((yield masks[start:look]))
        found, start = find(masks[:look], np.concatenate(probabilities)), look
        if look == len(masks) or agreement(found.weights, found.drawn()) >= stable:
            return found.returned if stable is None else (found.returned, look < len(masks))


def looks(n: int, n_features: int) -> list[int]:
    """Return after how many of `n` masks it is looked whether they are enough: 128, 192, 256, 384, 512 and so on.

    The first look comes at eight masks a feature: of few more masks than features, too little is known of the spread.
    """
    sizes = (FIRST_LOOK * step // 2 << doubled for doubled in range(n.bit_length()) for step in (2, 3))
    return [look for look in sizes if 8 * n_features <= look < n] + [n]


def agreement(weights: np.ndarray, drawn: np.ndarray) -> float:
    """Return the mean Jaccard index by which the top ten at least agrees with that of infinitely many masks.

    The mean is over the classes and over examples: what is expected of this one, less what the mean of 100 like it may
    lie lower by chance, at 95%. Examples each of which reaches a tolerance so reach it together, whatever they are.
    weights: (features, classes). drawn: (draws, features, classes), what they may be, each for itself. Together they
    are taken for normal around 0, so that of weights which are all noise no more than chance is expected.
    Source: Efron and Morris (1973), Stein's Estimation Rule and Its Competitors, for the empirical Bayes estimate.
    """
    centre, noise = drawn.mean(axis=0), drawn.var(axis=0).mean(axis=0)
    size = (centre**2).mean(axis=0)
    signal = np.clip(1 - np.divide(noise, size, out=np.zeros_like(size), where=size > 0), 0, 1)
    jaccards = drawn_jaccards(weights, drawn - (1 - np.sqrt(signal)) * centre).mean(axis=1)
    return float(jaccards.mean() - QUANTILE * jaccards.std() / np.sqrt(EXAMPLES))


def normal(*shape: int) -> np.ndarray:
    """Return standard normal numbers, (draws, *shape), always the same: two looks differ by what was asked alone."""
    return stream(0, "stable").standard_normal((DRAWS, *shape))
