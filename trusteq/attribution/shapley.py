"""Shapley values of words, with standard errors: exact for few words, by Bayesian quadrature for more.

A word's Shapley value is the mean, over all orders of the words, of what it adds to the probability (Shapley, 1953).
Sampled masks come in pairs, a set of words and all others: only the difference between the two matters, and what
depends on any two words together cancels in it (Covert and Lee, 2021). That difference is taken for a Gaussian process
over the masks. The value of a word is a linear functional of the process, so its posterior mean and standard deviation
have closed forms. Averaging over permutations takes several times as many passes to the same standard error.
"""

import functools
import math
from collections.abc import Generator

import numpy as np

from trusteq.attribution.features import Features

_Values = Generator[np.ndarray, np.ndarray, np.ndarray | tuple[np.ndarray, np.ndarray]]
MOST_ENUMERATED = 10  # words of an example whose 2**words masks are all evaluated
TOP = 10  # words whose membership is to be settled
FIRST_LOOK = 128  # pairs of masks before the first look at whether it is; then they are doubled
# The process, on masks as vectors of +1 (kept) and -1: what is linear in them is all but free, what is not has a
# covariance that grows as sinh(2 t) with their cosine t. A hundredth of that variance is taken for noise.
LINEAR, CURVATURE, NOISE = 1e4, 2.0, 1e-2


def shapley(example: Features, n_samples: int, rng: np.random.Generator) -> _Values:
    """Return Shapley values and their standard errors, each (features, classes).

    Up to 10 words, or where the budget reaches, all masks are evaluated, and the errors are 0; for 10 words those are
    1,024 whatever the budget. Beyond, masks are drawn until the top 10 of every class is settled at 95%, or `n_samples`
    passes are spent.
    """
    n = example.n_features
    if n <= MOST_ENUMERATED or 2**n <= n_samples:
        masks = (np.arange(2**n)[:, None] >> np.arange(n)) & 1 == 1
        probabilities = yield masks
        values = _enumerated(masks, probabilities)
        return values, np.zeros_like(values)
    kept = np.ones((1, n), dtype=bool)
    probabilities = yield np.concatenate([kept, ~kept])
    odd = (probabilities[:1] - probabilities[1:]) / 2
    seen = {kept.tobytes(), (~kept).tobytes()}
    look = FIRST_LOOK
    while True:
        size = min(look, n_samples // 2) - len(kept)
        new = _new_masks(n, size, rng, seen)
        if len(new):
            probabilities = yield np.concatenate([new, ~new])
            kept = np.concatenate([kept, new])
            odd = np.concatenate([odd, (probabilities[: len(new)] - probabilities[len(new) :]) / 2])
        values, errors = quadrature(kept, odd)
        if look >= n_samples // 2 or len(new) < size or _is_settled(values, errors):
            return values, errors
        look *= 2


def _enumerated(masks: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Return exact values from all masks: each counts by the number of orders in which it is a beginning."""
    n = masks.shape[1]
    sizes = masks.sum(axis=1)
    ways = np.array([math.comb(n - 1, k) if k < n else 1 for k in range(n + 1)])
    joins, stays = 1 / (n * ways[sizes - 1]), -1 / (n * ways[sizes])  # sizes - 1 is only read where a word is kept
    return np.where(masks, joins[:, None], stays[:, None]).T @ probabilities


def _new_masks(n: int, size: int, rng: np.random.Generator, seen: set[bytes]) -> np.ndarray:
    """Draw masks, (size, n): the first words of a random order, any number but none and all; none twice, nor reversed.

    seen: the masks drawn before; the new ones and their opposites are added. Fewer come where there are no more.
    """
    found: list[np.ndarray] = []
    for _ in range(20):  # with eleven words or more a second round is rare, a twentieth means that few are left
        if len(found) >= size:
            break
        ranks = rng.random((size, n)).argsort(axis=1).argsort(axis=1)
        for mask in ranks < rng.integers(1, n, size=(size, 1)):
            if len(found) < size and mask.tobytes() not in seen:
                seen |= {mask.tobytes(), (~mask).tobytes()}
                found.append(mask)
    return np.array(found, dtype=bool).reshape(-1, n)


def quadrature(masks: np.ndarray, odd: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the posterior mean and standard deviation of the Shapley values, each (features, classes).

    masks: (m, features), the first one keeps all words. odd: (m, classes), half of what the probabilities lose when
    each mask is turned round. The values add up to what all words together change.
    Source: Rasmussen and Ghahramani (2003), Bayesian Monte Carlo, equations 8 and 9, for a sum over orders.
    """
    m, n = masks.shape
    signs = 2.0 * masks - 1
    noise = np.full(m, NOISE)
    noise[0] = 1e-9  # what all words together change is known, so the values add up to it
    table, variance = _functional(n)
    of_words = np.where(masks, table[1, masks.sum(axis=1)][:, None], table[0, masks.sum(axis=1)][:, None])
    slopes = np.linalg.lstsq(signs, odd, rcond=None)[0]
    rest = odd - signs @ slopes
    targets = np.concatenate([rest, of_words], axis=1)
    solved = np.linalg.solve(_covariance(signs @ signs.T / n) + np.diag(noise), targets)
    weights, of_words_solved = solved[:, : odd.shape[1]], solved[:, odd.shape[1] :]
    spread = np.maximum(variance - (of_words * of_words_solved).sum(axis=0), 0)
    # The scale of the process, from the data; n of them went into the linear part.
    scale = np.maximum((rest * weights).sum(axis=0), 0) / max(m - n, 1)
    return 2 * slopes + of_words.T @ weights, np.sqrt(spread[:, None] * scale)


def _covariance(cosine: np.ndarray) -> np.ndarray:
    return LINEAR * cosine + np.sinh(CURVATURE * cosine) / np.sinh(CURVATURE)


@functools.cache
def _functional(n: int) -> tuple[np.ndarray, float]:
    """Return a word's Shapley value for the game "covariance with a mask", (2, n + 1), and its prior variance.

    The value depends on whether the mask keeps the word (second row) and on how many words it keeps, which is the
    column. In a random order each other word comes before this one with probability u, which is uniform in [0, 1]; so
    how many of them are as the mask has them is a sum of two binomial numbers, whose moments are known at each u.
    """
    (nodes, ways), kept = np.polynomial.legendre.leggauss(64), np.arange(n + 1)
    u, table = (nodes[:, None] + 1) / 2, np.zeros((2, n + 1))
    for keeps, sign in ((0, -1), (1, 1)):
        others, dropped = (np.maximum(of, 0) for of in (kept - keeps, n - 1 - kept + keeps))
        before, step = (2 * (1 - keeps) - n) / n, CURVATURE * 2 / n
        for side in (-1, 1):  # sinh is a difference of two exponentials
            alike = np.log1p(u * np.expm1(side * step)) * others + np.log1p((1 - u) * np.expm1(side * step)) * dropped
            moments = np.exp(side * CURVATURE * before + alike)
            table[keeps] += side * np.expm1(side * sign * step) * (ways @ moments) / 4 / np.sinh(CURVATURE)
        table[keeps] += LINEAR * sign * 2 / n
    table[0, n] = table[1, 0] = 0.0  # a mask that keeps all keeps this word
    return table, float(np.mean(table[1, 1:] - table[0, :-1]))


def _is_settled(values: np.ndarray, errors: np.ndarray) -> bool:
    """Return whether for every class the tenth word is above the eleventh by more than chance, at 95%."""
    order = np.argsort(-np.abs(values), axis=0, kind="stable")
    ranked = np.take_along_axis(np.abs(values), order, axis=0)
    doubt = np.take_along_axis(errors, order, axis=0)
    inside, outside = slice(None, TOP), slice(TOP, None)
    # Any word inside against any word outside.
    gap = ranked[inside][:, None] - ranked[outside][None]
    return bool((gap > 1.96 * np.hypot(doubt[inside][:, None], doubt[outside][None])).all())
