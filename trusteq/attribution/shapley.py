"""Shapley values of words, with standard errors: exact for few words, by Bayesian quadrature for more.

A word's Shapley value is the mean, over all orders of the words, of what it adds to the probability (Shapley, 1953).
Sampled masks come in pairs, a set of words and all others: only the difference between the two matters, and what
depends on any two words together cancels in it (Covert and Lee, 2021). That difference is taken for a Gaussian process
over the masks. The value of a word is a linear functional of the process, so the posterior of all values, mean and
covariance, has a closed form. Averaging over permutations takes several times as many passes to the same standard
error.
"""

import functools
import math
from collections.abc import Generator
from typing import NamedTuple

import numpy as np

from trusteq.attribution.features import Features
from trusteq.attribution.stopping import Found, normal, until_stable

MOST_ENUMERATED = 10  # words of an example whose 2**words masks are all evaluated
AT_ONCE = 128  # masks drawn from the stream at first, then twice as many: so the published ones were
# The process, on masks as vectors of +1 (kept) and -1: what is linear in them is all but free, what is not has a
# covariance that grows as sinh(2 t) with their cosine t. A hundredth of that variance is taken for noise.
LINEAR, CURVATURE, NOISE = 1e4, 2.0, 1e-2


def shapley(
    example: Features, n_samples: int, rng: np.random.Generator, *, stable: float | None = None
) -> Generator[np.ndarray, np.ndarray, tuple]:
    """Return Shapley values and their standard errors, each (features, classes); with `stable`, see `until_stable`.

    Up to 10 words, or where the budget reaches, all masks are evaluated, and the errors are 0; for 10 words those are
    1,024 whatever the budget. Beyond, `n_samples` masks are, in pairs.
    """
    n = example.n_features
    if n <= MOST_ENUMERATED or 2**n <= n_samples:
        masks = (np.arange(2**n)[:, None] >> np.arange(n)) & 1 == 1
        probabilities = yield masks
        values = _enumerated(masks, probabilities)
        found = values, np.zeros_like(values)
        return found if stable is None else (found, False)
    kept = _masks(n, n_samples // 2, rng)
    pairs = np.stack([kept, ~kept], axis=1).reshape(-1, n)  # so that what is asked about first is pairs
    return (yield from until_stable(pairs, _found, stable))


def _found(pairs: np.ndarray, probabilities: np.ndarray) -> Found:
    posterior = quadrature(pairs[::2], (probabilities[::2] - probabilities[1::2]) / 2)
    return Found((posterior.values, posterior.errors), posterior.values, posterior.drawn)


def _enumerated(masks: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Return exact values from all masks: each counts by the number of orders in which it is a beginning."""
    n = masks.shape[1]
    sizes = masks.sum(axis=1)
    ways = np.array([math.comb(n - 1, k) if k < n else 1 for k in range(n + 1)])
    joins, stays = 1 / (n * ways[sizes - 1]), -1 / (n * ways[sizes])  # sizes - 1 is only read where a word is kept
    return np.where(masks, joins[:, None], stays[:, None]).T @ probabilities


def _masks(n: int, size: int, rng: np.random.Generator) -> np.ndarray:
    """Draw masks, (size, n), of which the first keeps all words; fewer where there are no more."""
    kept = np.ones((1, n), dtype=bool)
    seen, at_once = {kept.tobytes(), (~kept).tobytes()}, AT_ONCE
    while len(kept) < size:
        wanted = min(at_once, size) - len(kept)
        new = _new_masks(n, wanted, rng, seen)
        kept = np.concatenate([kept, new])
        if len(new) < wanted:
            break
        at_once *= 2
    return kept


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


class Posterior(NamedTuple):
    """What is known of the Shapley values: normal, with the covariance of words times that of classes.

    values: their mean, (features, classes). words: (features, features). classes: (classes, classes).
    """

    values: np.ndarray
    words: np.ndarray
    classes: np.ndarray

    @property
    def errors(self) -> np.ndarray:
        """The standard deviations, (features, classes)."""
        variances = np.diag(self.words)[:, None] * np.diag(self.classes)
        return np.sqrt(np.maximum(variances, 0))

    def drawn(self) -> np.ndarray:
        """Return draws of the values, (draws, features, classes)."""
        return self.values + _root(self.words) @ normal(*self.values.shape) @ _root(self.classes).T


def _root(covariance: np.ndarray) -> np.ndarray:
    """Return a matrix whose product with its transpose is a covariance, but for what rounding leaves below 0."""
    variances, directions = np.linalg.eigh((covariance + covariance.T) / 2)
    return directions * np.sqrt(np.maximum(variances, 0))


def quadrature(masks: np.ndarray, odd: np.ndarray) -> Posterior:
    """Return the posterior of the Shapley values.

    masks: (m, features), the first one keeps all words. odd: (m, classes), half of what the probabilities lose when
    each mask is turned round. The values add up to what all words together change.
    Source: Rasmussen and Ghahramani (2003), Bayesian Monte Carlo, equations 8 and 9, for a sum over orders.
    """
    m, n = masks.shape
    signs = 2.0 * masks - 1
    noise = np.full(m, NOISE)
    noise[0] = 1e-9  # what all words together change is known, so the values add up to it
    table, prior = _functional(n)
    of_words = np.where(masks, table[1, masks.sum(axis=1)][:, None], table[0, masks.sum(axis=1)][:, None])
    slopes = np.linalg.lstsq(signs, odd, rcond=None)[0]
    rest = odd - signs @ slopes
    targets = np.concatenate([rest, of_words], axis=1)
    solved = np.linalg.solve(_covariance(signs @ signs.T / n) + np.diag(noise), targets)
    weights, of_words_solved = solved[:, : odd.shape[1]], solved[:, odd.shape[1] :]
    # The scale of the process, from the data; n of them went into the linear part.
    scale = rest.T @ weights / max(m - n, 1)
    return Posterior(2 * slopes + of_words.T @ weights, prior - of_words.T @ of_words_solved, scale)


def _covariance(cosine: np.ndarray) -> np.ndarray:
    return LINEAR * cosine + np.sinh(CURVATURE * cosine) / np.sinh(CURVATURE)


@functools.cache
def _functional(n: int) -> tuple[np.ndarray, np.ndarray]:
    """Return a word's Shapley value for the game "covariance with a mask", (2, n + 1), and their prior covariance.

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
    return table, _prior(table)


def _prior(table: np.ndarray) -> np.ndarray:
    """Return the prior covariance of the values, (n, n): the functional applied to both arguments.

    In a random order, where s words come before this one, another is among them with probability s / (n - 1).
    """
    n = table.shape[1] - 1
    before = np.arange(n) / max(n - 1, 1)
    without, with_ = np.diff(table, axis=1)
    covariance = np.full((n, n), np.mean(before * with_ + (1 - before) * without))
    np.fill_diagonal(covariance, np.mean(table[1, 1:] - table[0, :-1]))
    return covariance
