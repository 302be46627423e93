import math

import numpy as np
import pytest

from trusteq import statistics
from trusteq.errors import DataError
from trusteq.statistics import interval, resampled_sums, stream, stream_seed


def bootstrap_mean(values, *, clusters=None, level=0.95, **options):
    """The interval of a mean, which is a sum over a count."""
    columns = np.column_stack([values, np.ones(len(values))])
    sums = resampled_sums(columns, clusters=clusters, **options)
    n = len(values) if clusters is None else len(set(clusters))
    return tuple(map(float, interval(sums[:, 0] / sums[:, 1], n=n, level=level)))


def test_a_stream_depends_on_seed_and_names_only():
    first = stream(0, "lime", "test-3").random(5)
    stream(0, "lime", "test-4").random(5)
    np.testing.assert_array_equal(stream(0, "lime", "test-3").random(5), first)
    np.testing.assert_array_equal(stream(np.int64(0), "lime", np.str_("test-3")).random(5), first)


def test_streams_of_other_seeds_and_names_differ():
    keys = [(0,), (1,), (0, "ab", "c"), (0, "a", "bc"), (0, "abc"), (0, "c", "ab"), (0, "ab,c"), (0, "")]
    assert len({stream_seed(*key) for key in keys}) == len(keys)
    assert len({stream(*key).random() for key in keys}) == len(keys)


def test_a_stream_never_changes():
    """Published numbers hang on these: a change here changes every result."""
    assert stream_seed(0, "lime", "test-0") == 2192679610
    assert stream(0, "lime", "test-0").integers(1000, size=3).tolist() == [331, 562, 652]


def test_stream_seed_fits_32_bits():
    seeds = [stream_seed(seed, "x") for seed in range(200)]
    assert all(type(seed) is int and 0 <= seed < 2**32 for seed in seeds)
    assert len(set(seeds)) == 200


def test_bootstrap_agrees_with_the_normal_interval_of_a_mean():
    values = np.random.default_rng(0).normal(3, 2, size=2000)
    half = 1.96 * values.std() / math.sqrt(len(values))
    low, high = bootstrap_mean(values, draws=4000)
    assert low == pytest.approx(values.mean() - half, abs=0.1 * half)
    assert high == pytest.approx(values.mean() + half, abs=0.1 * half)


def expanded(n, tail):
    """Hesterberg's tail by scipy's distributions, which the package does not import."""
    stats = pytest.importorskip("scipy.stats")
    return stats.norm.cdf(math.sqrt(n / (n - 1)) * stats.t.ppf(tail, n - 1))


def test_bootstrap_of_a_coin_is_the_binomial_interval():
    """Means of resampled zeros and ones are Binomial(n, p) / n: their quantiles have a closed form."""
    binom, tail = pytest.importorskip("scipy.stats").binom(40, 0.3), expanded(40, 0.05)
    low, high = bootstrap_mean([1] * 12 + [0] * 28, draws=20_000, level=0.9)
    assert (low, high) == pytest.approx((binom.ppf(tail) / 40, binom.ppf(1 - tail) / 40), abs=1e-12)


@pytest.mark.parametrize("n", [5, 12])
def test_the_interval_of_few_normal_values_is_students(n):
    """What the expansion is for: on a scale on which the bootstrap is normal it gives the t interval."""
    stats = pytest.importorskip("scipy.stats")
    values = np.random.default_rng(0).normal(size=n)
    draws = stats.norm(values.mean(), values.std()).ppf((np.arange(100_000) + 0.5) / 100_000)
    half = stats.t.ppf(0.975, n - 1) * values.std(ddof=1) / math.sqrt(n)
    scaled = values.mean() + (draws - values.mean()) / math.sqrt(n)
    assert interval(scaled, n=n) == pytest.approx((values.mean() - half, values.mean() + half), rel=1e-3)


def test_sums_of_all_columns_come_from_the_same_draws():
    values = np.random.default_rng(2).normal(size=(50, 2))
    sums = resampled_sums(np.column_stack([np.ones(50), values, values[:, 0] - values[:, 1]]), draws=300)
    np.testing.assert_allclose(sums[:, 3], sums[:, 1] - sums[:, 2], atol=1e-9)
    assert (sums[:, 0] == 50).all()


def test_clusters_are_drawn_whole():
    clusters = np.repeat(["a", "b", "c"], [1, 2, 3])
    sums = resampled_sums(np.column_stack([clusters == "a", clusters == "b", clusters == "c"]), clusters=clusters)
    times = sums / [1, 2, 3]
    assert (times == times.round()).all() and (times.sum(axis=1) == 3).all()
    assert len(np.unique(times, axis=0)) == 10  # all multisets of three out of three


def test_the_interval_of_copies_in_clusters_is_that_of_the_originals():
    """Every example three times, each trio a cluster: three times the rows, no more to know."""
    values = np.random.default_rng(3).normal(size=200)
    clustered = bootstrap_mean(np.repeat(values, 3), clusters=np.repeat(np.arange(200), 3))
    assert clustered == pytest.approx(bootstrap_mean(values), abs=1e-12)
    low, high = bootstrap_mean(np.repeat(values, 3))
    assert high - low == pytest.approx((clustered[1] - clustered[0]) / math.sqrt(3), rel=0.1)


def test_bootstrap_does_not_depend_on_order_or_chunks(monkeypatch):
    values = np.random.default_rng(1).random(97)
    expected = bootstrap_mean(values, seed=5)
    assert bootstrap_mean(values[::-1], seed=5) == expected
    clusters, order = np.arange(97) % 30, np.random.default_rng(2).permutation(97)
    in_clusters = bootstrap_mean(values, clusters=clusters, seed=5)
    assert bootstrap_mean(values[order], clusters=clusters[order], seed=5) == in_clusters
    assert bootstrap_mean(values, seed=6) != expected
    for chunk in (1, 1000):
        monkeypatch.setattr(statistics, "_CHUNK", chunk)
        assert bootstrap_mean(values, seed=5) == pytest.approx(expected, abs=1e-14)


def test_bootstrap_narrows_with_the_level_and_leaves_its_input_alone():
    values = np.array([0.9, 0.1, 0.5, 0.7])
    (low, high), (inner_low, inner_high) = bootstrap_mean(values), bootstrap_mean(values, level=0.5)
    assert low < inner_low < inner_high < high
    np.testing.assert_array_equal(values, [0.9, 0.1, 0.5, 0.7])


@pytest.mark.parametrize("n", [1, 7, 10])
def test_bootstrap_of_equal_values_is_that_value(n):
    assert bootstrap_mean([1 / 3] * n) == pytest.approx((1 / 3, 1 / 3), abs=1e-15)


@pytest.mark.parametrize(
    ("values", "options"),
    [
        ([], {}),
        ([0.1, math.nan], {}),
        ([0.1, math.inf], {}),
        ([1.0], {"draws": 0}),
        ([1.0], {"level": 0}),
        ([1.0], {"level": 1}),
        ([1.0, 2.0], {"clusters": ["a"]}),
    ],
)
def test_bootstrap_refuses_what_has_no_interval(values, options):
    with pytest.raises(DataError, match=r"^(bootstrap|interval): "):
        bootstrap_mean(values, **options)
