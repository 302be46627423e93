import math

import numpy as np
import pytest

from trusteq import statistics
from trusteq.errors import DataError
from trusteq.statistics import bootstrap_mean, stream, stream_seed


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


def test_bootstrap_of_a_coin_is_the_binomial_interval():
    """Means of resampled zeros and ones are Binomial(n, p) / n: their quantiles have a closed form."""
    binom = pytest.importorskip("scipy.stats").binom(40, 0.25)
    low, high = bootstrap_mean([1] * 10 + [0] * 30, draws=20_000, level=0.9)
    assert (low, high) == pytest.approx((binom.ppf(0.05) / 40, binom.ppf(0.95) / 40), abs=1e-12)


def test_bootstrap_does_not_depend_on_order_or_chunks(monkeypatch):
    values = np.random.default_rng(1).random(97)
    expected = bootstrap_mean(values, seed=5)
    assert bootstrap_mean(values[::-1], seed=5) == expected
    assert bootstrap_mean(values, seed=6) != expected
    for chunk in (1, 1000):
        monkeypatch.setattr(statistics, "_CHUNK", chunk)
        assert bootstrap_mean(values, seed=5) == expected


def test_bootstrap_narrows_with_the_level_and_leaves_its_input_alone():
    values = np.array([0.9, 0.1, 0.5, 0.7])
    (low, high), (inner_low, inner_high) = bootstrap_mean(values), bootstrap_mean(values, level=0.5)
    assert low < inner_low < inner_high < high
    np.testing.assert_array_equal(values, [0.9, 0.1, 0.5, 0.7])


@pytest.mark.parametrize("n", [1, 7, 10])
def test_bootstrap_of_equal_values_is_that_value(n):
    assert bootstrap_mean([1 / 3] * n) == (1 / 3, 1 / 3)


@pytest.mark.parametrize(
    ("values", "options"),
    [
        ([], {}),
        ([0.1, math.nan], {}),
        ([0.1, math.inf], {}),
        ([1.0], {"draws": 0}),
        ([1.0], {"level": 0}),
        ([1.0], {"level": 1}),
    ],
)
def test_bootstrap_refuses_what_has_no_interval(values, options):
    with pytest.raises(DataError, match="bootstrap_mean"):
        bootstrap_mean(values, **options)
