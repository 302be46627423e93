"""Named random streams, and the bootstrap interval of a mean."""

import hashlib
import json

import numpy as np
from numpy.typing import ArrayLike

from trusteq.errors import DataError

_CHUNK = 1 << 22  # indices drawn at once: 32 MiB, whatever the number of values and draws


def _digest(seed: int, names: tuple[str, ...]) -> bytes:
    # JSON keeps ("ab", "c") and ("a", "bc") apart, which a plain join would not.
    return hashlib.sha256(json.dumps([int(seed), *map(str, names)]).encode()).digest()


def stream(seed: int, *names: str) -> np.random.Generator:
    """Return the random stream that belongs to `seed` and `names`, such as an example id and a method.

    The stream depends on nothing else, so neither the order nor the batching of examples can change a result.
    """
    return np.random.default_rng(int.from_bytes(_digest(seed, names)))


def stream_seed(seed: int, *names: str) -> int:
    """Return a seed in [0, 2**32) for `seed` and `names`, for libraries that take an integer and not a generator."""
    return int.from_bytes(_digest(seed, names)[:4])


def bootstrap_mean(values: ArrayLike, *, draws: int = 2000, level: float = 0.95, seed: int = 0) -> tuple[float, float]:
    """Return the percentile bootstrap interval (low, high) of the mean of `values`.

    values: shape (n,), finite, n >= 1; their order does not matter. level: coverage, in (0, 1).
    Raises DataError for empty or non-finite values, fewer than one draw or a level outside (0, 1).
    Source: Efron and Tibshirani (1993), An Introduction to the Bootstrap, section 13.3.
    """
    values = np.sort(np.asarray(values, dtype=np.float64), axis=None)
    if not values.size or not np.isfinite(values).all():
        raise DataError(f"bootstrap_mean: {values.size} values, not all finite or none at all; drop nan first")
    if draws < 1 or not 0 < level < 1:
        raise DataError(f"bootstrap_mean: draws={draws}, level={level}; give draws >= 1 and 0 < level < 1")
    rng = stream(seed, "bootstrap-mean")
    rows = max(1, _CHUNK // values.size)
    means = np.empty(draws)
    for start in range(0, draws, rows):
        chunk = means[start : start + rows]
        chunk[:] = values[rng.integers(values.size, size=(len(chunk), values.size))].mean(axis=1)
    # A mean of equal values can leave their range by rounding; the interval of a constant is that constant.
    means = means.clip(values[0], values[-1])
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
