"""Named random streams and the cluster bootstrap.

Whatever is a function of sums over examples (a mean, a ratio, the difference of two models' scores) has its interval
from `resampled_sums` and `interval`: every column sees the same draws, so differences are paired.
"""

import functools
import hashlib
import json
import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import ArrayLike

from trusteq.errors import DataError

DRAWS = 2000
LEVEL = 0.95
_CHUNK = 1 << 22  # indices drawn at once: 32 MiB, whatever the number of clusters and draws
_MOST_KEPT = 2 * _CHUNK  # of numbers


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


def resampled_sums(
    columns: ArrayLike, *, clusters: ArrayLike | None = None, draws: int = DRAWS, seed: int = 0
) -> np.ndarray:
    """Return bootstrap draws of the sums of columns, shape (draws, m).

    columns: shape (n, m), finite: one row per example; a count is a column of ones. clusters: shape (n,), the cluster
    of each example, such as its premise; whole clusters are drawn, as many as there are, with replacement. By default
    every example is its own. The order of the rows does not matter.
    Raises DataError for no rows, non-finite values, clusters of another length or fewer than one draw.
    Source: Davison and Hinkley (1997), Bootstrap Methods and their Application, section 3.8, for clusters.
    """
    columns = np.asarray(columns, dtype=np.float64)
    if columns.ndim != 2 or not len(columns) or not np.isfinite(columns).all():
        raise DataError(f"bootstrap: values of shape {columns.shape}, not all finite or none at all; drop nan first")
    if draws < 1:
        raise DataError(f"bootstrap: draws={draws}; give at least 1")
    sums = columns if clusters is None else _cluster_sums(columns, np.asarray(clusters))
    sums = sums[value_order(sums)]
    times_drawn = _kept_times_drawn if len(sums) * draws <= _MOST_KEPT else _times_drawn
    return np.concatenate([times @ sums for times in times_drawn(len(sums), draws, seed)])


def _times_drawn(n: int, draws: int, seed: int) -> Iterator[np.ndarray]:
    """Yield how often each of n rows is drawn, shape (some of the draws, n); all together are all draws."""
    rng, step = stream(seed, "bootstrap"), max(1, _CHUNK // n)
    for start in range(0, draws, step):
        rows = min(step, draws - start)
        places = rng.integers(n, size=(rows, n)) + n * np.arange(rows)[:, None]
        yield np.bincount(places.ravel(), minlength=rows * n).reshape(rows, n).astype(np.float64)


@functools.lru_cache(maxsize=1)
def _kept_times_drawn(n: int, draws: int, seed: int) -> tuple[np.ndarray, ...]:
    # One model after the other is held against the same examples: drawing takes longer than summing.
    return tuple(_times_drawn(n, draws, seed))


def _cluster_sums(columns: np.ndarray, clusters: np.ndarray) -> np.ndarray:
    if clusters.shape != (len(columns),):
        raise DataError(f"bootstrap: clusters of shape {clusters.shape} for {len(columns)} rows; give one for each")
    codes = np.unique(clusters, return_inverse=True)[1]
    order = np.lexsort([*columns.T, codes])  # by cluster, then by value, so that the order given is forgotten
    starts = np.flatnonzero(np.diff(codes[order], prepend=-1))
    return np.add.reduceat(columns[order], starts, axis=0)


def value_order(rows: np.ndarray) -> np.ndarray:
    """Return an order of rows, (n, m), that depends on their values alone and not on the order they come in."""
    # By one sum with weights that no two different rows share: much faster than np.lexsort for many rows.
    key = np.zeros(len(rows))
    for column, weight in zip(rows.T, np.sqrt(np.arange(2, len(rows.T) + 2)) % 1 + 1, strict=True):
        key += weight * column  # column by column: what a row's own sum rounds to must not depend on its place
    return np.argsort(key, kind="stable")


def interval(draws: np.ndarray, *, n: int, level: float = LEVEL) -> tuple[np.ndarray, np.ndarray]:
    """Return the percentile interval (low, high) of bootstrap draws along their first axis.

    n: number of examples, or of clusters, that were resampled. Percentiles alone are too narrow for few of them; they
    are moved outwards by what Student's t and the factor sqrt(n / (n - 1)) would do to a mean's interval. nan where a
    draw is nan. Raises DataError for a level outside (0, 1) or n < 1.
    Source: Hesterberg (2015), What Teachers Should Know About the Bootstrap, section 5.2, "expanded percentiles".
    """
    from scipy.special import ndtr, stdtrit

    if n < 1 or not 0 < level < 1:
        raise DataError(f"interval: n={n}, level={level}; give n >= 1 and 0 < level < 1")
    tail = (1 - level) / 2
    if n > 1:
        tail = ndtr(math.sqrt(n / (n - 1)) * stdtrit(n - 1, tail))
    low, high = np.quantile(draws, [tail, 1 - tail], axis=0)
    return low, high


def n_clusters(clusters: ArrayLike | None, n: int) -> int:
    """Return how many units the bootstrap resamples: the distinct clusters, or all `n` examples."""
    return n if clusters is None else len(np.unique(np.asarray(clusters)))
