"""Seeds and examples as crossed random factors, against mean squares by hand, and worlds whose truth is known."""

import math

import numpy as np
import pytest

from trusteq.errors import DataError
from trusteq.estimates import TAIL, mean, quantile, unseen
from trusteq.verdict.seeds import (
    FEWEST_SEEDS,
    Components,
    between_seeds,
    components,
    crossed,
    is_about_way,
    seeds_needed,
)

SEEDS, EXAMPLES = 4, 30


def drawn(*, seeds=0.3, examples=0.3, rest=0.3, shape=(SEEDS, EXAMPLES), stream=0):
    """Values of the crossed model with the standard deviations given."""
    rng = np.random.default_rng(stream)
    of_seed, of_example = rng.normal(0, seeds, (shape[0], 1)), rng.normal(0, examples, (1, shape[1]))
    return 0.01 + of_seed + of_example + rng.normal(0, rest, shape)


def mean_squares(values):
    """Those of a two-way table without replicates: of seeds, of examples, of their interaction."""
    n_seeds, n = values.shape
    rows, columns = values.mean(axis=1), values.mean(axis=0)
    left = values - rows[:, None] - columns + values.mean()
    of_rest = (left**2).sum() / ((n_seeds - 1) * (n - 1))
    return n * rows.var(ddof=1), n_seeds * columns.var(ddof=1), of_rest


def test_components_are_those_of_the_mean_squares():
    values = drawn()
    of_seeds, of_examples, of_rest = mean_squares(values)
    found = components(values)
    assert found.rest == pytest.approx(of_rest / EXAMPLES)
    assert found.seeds == pytest.approx((of_seeds - of_rest) / EXAMPLES)
    assert found.examples == pytest.approx((of_examples - of_rest) / (SEEDS * EXAMPLES))
    assert found.variance(SEEDS) == pytest.approx((of_seeds + of_examples - of_rest) / (SEEDS * EXAMPLES))
    assert found.intraclass == pytest.approx(found.seeds / (found.seeds + found.examples + found.rest))


def test_the_interval_is_students_on_the_seeds_less_one():
    stats, values = pytest.importorskip("scipy.stats"), drawn()
    of_seeds, of_examples, of_rest = mean_squares(values)
    half = stats.t.ppf(0.975, SEEDS - 1) * math.sqrt((of_seeds + of_examples - of_rest) / (SEEDS * EXAMPLES))
    found = crossed(values)
    assert found.interval == pytest.approx((values.mean() - half, values.mean() + half))
    assert (found.value, found.n, found.units) == (pytest.approx(values.mean()), EXAMPLES, EXAMPLES)


@pytest.mark.parametrize("flat", ["seeds", "examples"])
def test_the_variance_is_never_below_that_of_one_factor(flat):
    """Where a factor does nothing at all, its mean square is below that of the interaction."""
    values = drawn(rest=0.3)
    axis = 1 if flat == "seeds" else 0
    values -= values.mean(axis=axis, keepdims=True) - values.mean()
    of_seeds, of_examples, _ = mean_squares(values)
    assert components(values).variance(SEEDS) == pytest.approx(max(of_seeds, of_examples) / (SEEDS * EXAMPLES))


def test_examples_of_one_cluster_that_all_say_the_same_are_one_example():
    values, clusters = drawn(), np.repeat(np.arange(EXAMPLES), 3)
    whole, single = components(np.repeat(values, 3, axis=1), clusters=clusters), components(values)
    assert (whole.seeds, whole.examples, whole.rest) == pytest.approx((single.seeds, single.examples, single.rest))
    found = crossed(np.repeat(values, 3, axis=1), clusters=clusters)
    assert found.interval == pytest.approx(crossed(values).interval)
    assert (found.n, found.units) == (3 * EXAMPLES, EXAMPLES)


def test_the_components_of_clusters_of_any_size_are_right_on_average():
    """What varies by seed and cluster belongs to the rest, not to the examples."""
    sizes = np.array([1, 2, 3, 4, 5] * 8)
    clusters, shares, found = np.repeat(np.arange(40), sizes), sizes / sizes.sum(), []
    for number in range(1500):
        rng = np.random.default_rng(number)
        values = rng.normal(0, 0.6, (3, 1)) + rng.normal(0, 1.0, (1, 40)) + rng.normal(0, 1.0, (3, 40))
        parts = components(values[:, clusters], clusters=clusters)
        found.append((parts.variance(3), parts.rest))
    truth = 0.36 / 3 + (shares**2).sum() * (1 + 1 / 3), (shares**2).sum()
    assert np.mean(found, axis=0) == pytest.approx(truth, rel=0.06)


def test_nothing_unseen_is_ruled_out():
    found = crossed(np.zeros((5, 50)))
    assert found.interval == pytest.approx((-unseen(50, TAIL), unseen(50, TAIL)))
    assert math.isnan(components(np.zeros((5, 50))).intraclass)
    alone = mean(drawn(seeds=0).mean(axis=0))
    low, high = crossed(drawn(seeds=0)).interval
    assert low <= alone.interval[0] <= alone.interval[1] <= high


def test_one_seed_or_one_cluster_says_nothing_and_bad_values_are_refused():
    values = drawn()
    assert crossed(values[:1], within=(0.0, 1.0)).interval == (0, 1)
    assert crossed(values, clusters=np.zeros(EXAMPLES)).interval == (-1, 1)
    assert math.isnan(components(values[:1]).seeds)
    for bad in (values[0], np.zeros((0, 5))):
        with pytest.raises(DataError, match="one row a training seed"):
            crossed(bad)
    with pytest.raises(DataError, match="drop nan"):
        crossed(np.full((3, 5), math.nan))


def test_three_seeds_are_the_fewest():
    assert [is_about_way(count) for count in (1, 2, 3, 4)] == [False, False, True, True]


@pytest.mark.parametrize("sd", [0.0, 0.3])
def test_the_truth_is_missed_no_more_often_than_meant(sd):
    missed = []
    for number in range(1500):
        values = drawn(seeds=sd, examples=0.3, rest=0.5, shape=(3, 400), stream=number) - 0.01
        low, high = crossed(values, within=(-3, 3)).interval
        missed.append((low > 0, high < 0))
    rates = np.mean(missed, axis=0)
    assert (rates <= 0.035).all()
    assert sd == 0 or (rates >= 0.01).all()  # where seeds are all that varies, Student's bounds are exact


# --- estimates of single seeds ---


def test_estimates_of_single_seeds_that_agree_have_the_bounds_of_one():
    one = mean(drawn()[0])
    assert between_seeds([one] * 3).interval == pytest.approx(one.interval)
    assert between_seeds([one]).interval == (-math.inf, math.inf)


def test_both_parts_add_up_as_squares():
    singles = [mean(row) for row in drawn(seeds=0.5)]
    values = [single.value for single in singles]
    spread = quantile(TAIL, SEEDS - 1) * np.std(values, ddof=1) / math.sqrt(SEEDS)
    below, above = (np.mean([abs(single.interval[end] - single.value) for single in singles]) for end in (0, 1))
    found = between_seeds(singles)
    assert found.value == pytest.approx(np.mean(values))
    assert found.interval == pytest.approx(
        (found.value - math.hypot(spread, below), found.value + math.hypot(spread, above))
    )
    assert (found.n, found.units, found.effective) == (EXAMPLES, EXAMPLES, EXAMPLES)
    with pytest.raises(DataError, match="no estimates"):
        between_seeds([])


# --- how many seeds ---


def normal_power(parts, n_seeds, size, margin, *, draws=200_000):
    """How often Student's interval of normal seeds decides, by simulation."""
    stats, rng = pytest.importorskip("scipy.stats"), np.random.default_rng(0)
    error = math.sqrt(parts.variance(n_seeds))
    values = size + error * rng.standard_normal(draws)
    reach = stats.t.ppf(0.975, n_seeds - 1) * error * np.sqrt(rng.chisquare(n_seeds - 1, draws) / (n_seeds - 1))
    within = (values + reach <= margin) & (values - reach >= -margin)
    return np.mean(within | (values - reach > margin))


@pytest.mark.parametrize("size", [0.0, 0.005, 0.03])
def test_so_many_seeds_decide_with_the_power_meant(size):
    parts = Components(seeds=1e-4, examples=1e-7, rest=2e-5, n_seeds=3)
    needed = seeds_needed(crossed(np.full((3, 5000), size)), parts, margin=0.02)
    assert needed > FEWEST_SEEDS
    assert normal_power(parts, needed, size, 0.02) >= 0.75
    assert normal_power(parts, needed - 2, size, 0.02) < 0.8


def test_no_number_of_seeds_makes_up_for_examples():
    estimate = crossed(np.zeros((3, 5000)))
    assert seeds_needed(estimate, Components(1e-4, 1e-3, 0.0, 3), margin=0.02) is None
    assert seeds_needed(estimate.shifted(0.02), Components(1e-4, 0.0, 0.0, 3), margin=0.02) is None
    assert seeds_needed(crossed(np.zeros((3, 50))), Components(0.0, 0.0, 0.0, 3), margin=0.02) is None
    assert seeds_needed(estimate, Components(0.0, 0.0, 0.0, 3), margin=0.02) == FEWEST_SEEDS
    assert seeds_needed(estimate, components(np.zeros((1, 5))), margin=0.02) is None
