"""Shapley values of words, with standard errors: exact for few words, by Bayesian quadrature for more.

A word's Shapley value is the mean, over all orders of the words, of what it adds to the probability (Shapley, 1953).
Sampled masks come in pairs, a set of words and all others: only the difference between the two matters, and what
depends on any two words together cancels in it (Covert and Lee, 2021). That difference is taken for a Gaussian process
over the masks: what is linear in them, what words do together, and what no kernel knows. A word that does much
together with others has a large weight in it; the weights are learned from the masks that were asked about. The value
of a word is a linear functional of the process, so its posterior mean and standard deviation have closed forms.
"""

import functools
import math
from collections.abc import Generator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from trusteq.attribution.features import Features
from trusteq.attribution.stopping import Found, normal, until_stable

MOST_ENUMERATED = 10  # words of an example whose 2**words masks are all evaluated
LEARNED_FROM = 256  # pairs that the weights are learned from, at most: each step costs their number's cube
STEPS = 12  # of the search for the weights, at most
LINEAR = 1e4  # variance of what is linear, where what words do together has 1: all but free
# Before any mask is seen, the logarithm of a weight is normal: a part that all words of the example have in common, and
# one of its own. So is that of the variance that is left. Chosen on the tuning games of benchmarks/estimators.py.
WEIGHT, COMMON, OWN = math.log(0.3), 0.7, 0.5
LEFT, SPREAD = math.log(0.01), 2.0
DOUBT = 1.04  # by which errors are wider, since the weights are taken as known; chosen there too
_LEAST, _MOST = -13.0, 4.0  # logarithms between which the weights and what is left are searched


class Kernel(NamedTuple):
    """The covariance of the process, up to its scale: LINEAR z.1 / n + sinh(z.weights) / sinh(sum of weights) + left.

    z: the product of two masks as vectors of +1 (kept) and -1. The last term is for a mask and itself, and its opposite
    with a minus. weights: (words,). Sinh is the odd part of an exponential, in which a set of words has the variance
    of the product of their tanh(weight).
    """

    weights: np.ndarray
    left: float


@dataclass(frozen=True)
class Posterior:
    """What is known of Shapley values: normal, with the covariance of words times that of classes, the scale.

    values: (words, classes). scale: of the process, (classes, classes).
    kernel: of the process; of_words: covariance of each mask with each value, (m, words), and solved: the same,
    multiplied by the inverse of the masks' covariance.
    """

    values: np.ndarray
    scale: np.ndarray
    kernel: Kernel
    of_words: np.ndarray
    solved: np.ndarray

    @functools.cached_property
    def errors(self) -> np.ndarray:
        """Standard deviations, (words, classes)."""
        spread = np.maximum(_variances(self.kernel) - (self.of_words * self.solved).sum(axis=0), 0)
        return np.sqrt(spread[:, None] * np.maximum(self.scale.diagonal(), 0))

    def covariance(self) -> np.ndarray:
        """Return the covariance of the values of one class, without its scale, (words, words)."""
        return _covariances(self.kernel) - self.of_words.T @ self.solved

    def drawn(self) -> np.ndarray:
        """Return draws of the values, (draws, words, classes)."""
        return self.values + _root(self.covariance()) @ normal(*self.values.shape) @ _root(self.scale).T


def _root(covariance: np.ndarray) -> np.ndarray:
    """Return a matrix whose product with its transpose is a covariance, but for what rounding leaves below 0."""
    variances, directions = np.linalg.eigh((covariance + covariance.T) / 2)
    return directions * np.sqrt(np.maximum(variances, 0))


def shapley(
    example: Features, n_samples: int, rng: np.random.Generator, *, stable: float | None = None
) -> Generator[np.ndarray, np.ndarray, tuple]:
    """Return Shapley values and their standard errors, each (features, classes); with `stable`, see `until_stable`.

    Up to 10 words, or where the budget reaches, all masks are evaluated, and the errors are 0; for 10 words those are
    1,024 whatever the budget. Beyond, `n_samples` masks are, in pairs.
    """
    n = example.n_features
    if n <= MOST_ENUMERATED or 2**n <= n_samples:
        masks = _every(n)
        probabilities = yield masks
        values = _enumerated(masks, probabilities)
        found = values, np.zeros_like(values)
        return found if stable is None else (found, False)
    kept = _masks(n, n_samples // 2, rng)
    pairs = np.stack([kept, ~kept], axis=1).reshape(-1, n)  # so that what is asked about first is pairs
    return (yield from until_stable(pairs, _found, stable))


def _found(asked: np.ndarray, probabilities: np.ndarray) -> Found:
    kept, pairs = asked[::2], probabilities.reshape(len(asked) // 2, 2, -1)
    with _libraries().limit(limits=1, user_api="blas"):  # threads wait for each other longer than such matrices take
        posterior = quadrature(kept, (pairs[:, 0] - pairs[:, 1]) / 2, learned(kept, pairs))
    return Found((posterior.values, posterior.errors), posterior.values, posterior.drawn)


@functools.cache
def _libraries():
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()


def _enumerated(masks: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Return exact values from all masks: each counts by the number of orders in which it is a beginning."""
    n = masks.shape[1]
    sizes = masks.sum(axis=1)
    ways = np.array([math.comb(n - 1, k) if k < n else 1 for k in range(n + 1)])
    joins, stays = 1 / (n * ways[sizes - 1]), -1 / (n * ways[sizes])  # sizes - 1 is only read where a word is kept
    return np.where(masks, joins[:, None], stays[:, None]).T @ probabilities


def _masks(n: int, size: int, rng: np.random.Generator) -> np.ndarray:
    """Draw masks, (size, n): all words first, then the first of random orders of the words; none twice, nor reversed.

    A number k of words comes in proportion to 1 / sqrt(k (n - k)), each as often as that says but for rounding: between
    every number alike, which is sampling by leverage (Musco and Witter, 2025), and the shares that KernelSHAP gives
    them (Lundberg and Lee, 2017). So is what is drawn again in the place of repeated masks. Their order is random.
    """
    numbers, kept = np.arange(1, n), np.ones((1, n), dtype=bool)
    shares, seen = np.cumsum((numbers * (n - numbers)) ** -0.5), {kept.tobytes(), (~kept).tobytes()}
    found = [kept[0]]
    for _ in range(20):  # with eleven words or more a third round is rare, a twentieth means that few are left
        if (left := size - len(found)) <= 0:
            break
        places = (np.arange(left) + rng.random()) / left * shares[-1]
        chosen = rng.permutation(numbers[np.searchsorted(shares[:-1], places)])
        ranks = rng.random((left, n)).argsort(axis=1).argsort(axis=1)
        for mask in ranks < chosen[:, None]:
            if mask.tobytes() not in seen:
                seen |= {mask.tobytes(), (~mask).tobytes()}
                found.append(mask)
    if len(found) < size:
        others = rng.permutation(_every(n)[2 ** (n - 1) :])
        found += [mask for mask in others if mask.tobytes() not in seen][: size - len(found)]
    return np.array(found)


def _every(n: int) -> np.ndarray:
    """Return all masks, (2^n, n); those of the second half keep the last word."""
    return (np.arange(2**n)[:, None] >> np.arange(n)) & 1 == 1


def quadrature(masks: np.ndarray, odd: np.ndarray, kernel: Kernel) -> Posterior:
    """Return the posterior of the Shapley values.

    masks: (m, features), the first one keeps all words. odd: (m, classes), half of what the probabilities lose when
    each mask is turned round. The values add up to what all words together change, since that is among the masks, and
    what no kernel knows is part of the process: it counts where it was seen.
    Source: Rasmussen and Ghahramani (2003), Bayesian Monte Carlo, equations 8 and 9, for a sum over orders; Rasmussen
    and Williams (2006), section 2.7 on what is linear, with its variance large and not infinite.
    """
    from scipy.linalg import cho_factor, cho_solve

    m, n = masks.shape
    signs = 2.0 * masks - 1
    slopes = np.linalg.lstsq(signs, odd, rcond=None)[0]
    rest, of_words = odd - signs @ slopes, _functional(masks, kernel)
    among = LINEAR / n * signs @ signs.T + _together(signs, kernel.weights)
    among[np.diag_indices(m)] += kernel.left
    solved = cho_solve(cho_factor(among, lower=True), np.concatenate([rest, of_words], axis=1))
    explained, of_words_solved = np.split(solved, [odd.shape[1]], axis=1)
    # The scale of the process, from the data; n of them went into the linear part.
    scale = DOUBT**2 * rest.T @ explained / max(m - n, 1)
    return Posterior(2 * slopes + of_words.T @ explained, scale, kernel, of_words, of_words_solved)


def _together(signs: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return sinh(z.w) / sinh(sum of w) of all pairs of masks, (m, m)."""
    total, reach = weights.sum(), (signs * weights) @ signs.T
    return (np.exp(reach - total) - np.exp(-reach - total)) / (1 - np.exp(-2 * total))


def _functional(masks: np.ndarray, kernel: Kernel) -> np.ndarray:
    """Return each word's Shapley value for the game "covariance with a mask", (m, words).

    In a random order the words before one are each there with probability u, which is uniform in [0, 1]; of a product
    over words the mean is then a product of means. So a set of s odd words, of which each has 2 / s of it, has the
    integral of 2 u^(s - 1).
    """
    m, n = masks.shape
    signs, log_norm = 2.0 * masks - 1, _log_norm(kernel.weights)
    terms, found = signs * np.tanh(kernel.weights), np.zeros((m, n))
    for u, share in _nodes():
        for side in (1, -1):  # sinh is a difference of two exponentials
            every = 1 + side * u * terms
            found += share * terms / every * np.exp(np.log(every).sum(axis=1) + log_norm)[:, None]
    left = kernel.left * _rarity(n)[masks.sum(axis=1)[:, None] - masks]
    return found + 2 / n * signs * (left + LINEAR)


def _variances(kernel: Kernel) -> np.ndarray:
    """Return the prior variance of each word's value, (words,): for a set of s odd words, 4 / s^2 of the set's."""
    n, terms, log_norm = len(kernel.weights), np.tanh(kernel.weights), _log_norm(kernel.weights)
    found = np.full(n, 4 / n * LINEAR + kernel.left * _alone(n))
    for r, share in _squared_nodes():
        for side in (1, -1):
            every = 1 + side * r * terms
            found += 2 * share * terms / every * np.exp(np.log(every).sum() + log_norm)
    return found


def _covariances(kernel: Kernel) -> np.ndarray:
    """Return the prior covariances of the words' values, (words, words)."""
    n, terms, log_norm = len(kernel.weights), np.tanh(kernel.weights), _log_norm(kernel.weights)
    found = np.full((n, n), kernel.left * (4 / n - _alone(n)) / (n - 1))  # all values together have 4 times that of all
    for r, share in _squared_nodes():
        for side in (1, -1):
            each = terms / (every := 1 + side * r * terms)
            found += 2 * share * side * r * np.outer(each, each) * np.exp(np.log(every).sum() + log_norm)
    found[np.diag_indices(n)] = _variances(kernel)
    return found


def _log_norm(weights: np.ndarray) -> float:
    """Return log(product of cosh(w) / sinh(sum of w)): exp(z.w) is a product over words of cosh(w) (1 + z tanh(w))."""
    total = weights.sum()
    return float(np.log(np.cosh(weights)).sum() - total - np.log1p(-np.exp(-2 * total)) + math.log(2))


@functools.cache
def _nodes() -> list[tuple[float, float]]:
    """Return nodes and shares of Gauss and Legendre's rule for a mean over [0, 1]."""
    nodes, shares = np.polynomial.legendre.leggauss(32)
    return list(zip((nodes + 1) / 2, shares / 2, strict=True))


def _squared_nodes() -> list[tuple[float, float]]:
    """Return the same for the product of two such numbers, r: the mean of r^(s - 1) is 1 / s^2."""
    return [(u * v, a * b) for u, a in _nodes() for v, b in _nodes()]


@functools.cache
def _rarity(n: int) -> np.ndarray:
    """Return one over the number of ways to choose k of n - 1 words, for k up to n - 1."""
    return np.exp([math.lgamma(k + 1) + math.lgamma(n - k) - math.lgamma(n) for k in range(n)])


def _alone(n: int) -> float:
    """Return the prior variance of a value in a game where each pair of masks has its own number, of variance 1."""
    return float(4 / n**2 * _rarity(n).sum())


def learned(masks: np.ndarray, pairs: np.ndarray) -> Kernel:
    """Return the kernel under which the first 256 pairs of masks are likeliest, given what is likely before.

    masks: (m, features). pairs: (m, 2, classes), probabilities of each mask and of its opposite. What words do together
    shows in both halves, the difference and the sum, which are taken for independent and as having the same weights.
    Source: Rasmussen and Williams (2006), section 5.4.1, equations 5.8 and 5.9, for the posterior mode, with a scale of
    each class's own; section 5.1 on weights of features (automatic relevance determination).
    """
    from scipy.optimize import minimize

    m, n = min(len(masks), LEARNED_FROM), masks.shape[1]
    signs, pairs = 2.0 * masks[:m] - 1, pairs[:m]
    halves = [half for half in map(functools.partial(_half, signs, pairs), (-1, 1)) if half.targets.size]
    start = np.concatenate([np.full(n, WEIGHT), np.full(2, LEFT)])
    bounds = [(_LEAST, _MOST)] * len(start)
    options = {"maxiter": STEPS}
    found = minimize(
        _unlikelihood, start, args=(signs, halves), jac=True, method="L-BFGS-B", bounds=bounds, options=options
    ).x
    return Kernel(np.exp(found[:n]), float(np.exp(found[n])))


class _Half(NamedTuple):
    """One half of what the pairs say. parity: -1 for differences, 1 for sums. free: covariance of what is all but free.

    targets: (m, classes), without it and of length 1; classes where nothing is left are left out. dof: numbers left.
    """

    parity: int
    free: np.ndarray
    targets: np.ndarray
    dof: int


def _half(signs: np.ndarray, pairs: np.ndarray, parity: int) -> _Half:
    m = len(signs)
    of = (pairs[:, 0] + parity * pairs[:, 1]) / 2
    design = signs if parity < 0 else np.ones((m, 1))
    rest = of - design @ np.linalg.lstsq(design, of, rcond=None)[0]
    length = np.linalg.norm(rest, axis=0)
    there = length > 1e-9 * max(np.linalg.norm(of), 1e-300)
    return _Half(
        parity,
        LINEAR / design.shape[1] * design @ design.T,
        (rest / length.clip(1e-300))[:, there],
        max(m - design.shape[1], 1),
    )


def _unlikelihood(at: np.ndarray, signs: np.ndarray, halves: list[_Half]) -> tuple[float, np.ndarray]:
    """Return minus the log posterior density, up to a constant, and its gradient.

    at: logarithms of the weights, and of what is left of each half.
    """
    n = signs.shape[1]
    value, gradient = _before(at, n)
    weights = np.exp(at[:n])
    total, reach = weights.sum(), (signs * weights) @ signs.T
    up, down = np.exp(reach - total), np.exp(-reach - total)
    for half in halves:
        place, fall = n + (half.parity > 0), half.parity * np.exp(-2 * total)
        together = (up + half.parity * down) / (1 + fall)
        left = np.exp(at[place])
        more, slope = _likelihood(half, together, left)
        through = slope * (up - half.parity * down) / (1 + fall)
        by_weight = ((through @ signs) * signs).sum(axis=0) - (slope * together).sum() * (1 - fall) / (1 + fall)
        value += more
        gradient[:n] += by_weight * weights
        gradient[place] += np.trace(slope) * left
    return value, gradient


def _likelihood(half: _Half, together: np.ndarray, left: float) -> tuple[float, np.ndarray]:
    """Return minus the log likelihood at the best scale of each class, and its derivative in the covariance, (m, m)."""
    from scipy.linalg.lapack import dpotrf, dpotri

    covariance = half.free + together
    covariance[np.diag_indices(len(covariance))] += left
    factor, _ = dpotrf(covariance, lower=1)
    inverse, _ = dpotri(factor, lower=1)
    inverse = np.tril(inverse) + np.tril(inverse, -1).T
    explained = inverse @ half.targets
    fit, classes = (half.targets * explained).sum(axis=0), half.targets.shape[1]
    share = max(classes - 1, 1) / classes / 2  # probabilities add up to 1: one class says nothing new
    value = share * (classes * 2 * np.log(factor.diagonal()).sum() + half.dof * np.log(fit).sum())
    return float(value), share * (classes * inverse - half.dof * (explained / fit) @ explained.T)


def _before(at: np.ndarray, n: int) -> tuple[float, np.ndarray]:
    """Return minus the log prior density of the logarithms, up to a constant, and its gradient."""
    apart, gradient = at[:n] - WEIGHT, np.empty_like(at)
    gradient[:n] = (apart - apart.sum() * COMMON**2 / (OWN**2 + n * COMMON**2)) / OWN**2
    gradient[n:] = (at[n:] - LEFT) / SPREAD**2
    return float(gradient[:n] @ apart + gradient[n:] @ (at[n:] - LEFT)) / 2, gradient
