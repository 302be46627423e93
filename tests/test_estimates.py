import itertools
import math

import numpy as np
import pytest

from trusteq import estimates
from trusteq.errors import DataError
from trusteq.estimates import TAIL, holm, mean, moments, paired_difference, proportion, ratio, unseen

stats = pytest.importorskip("scipy.stats")


def changed(gained, lost, n):
    """Two columns of right answers, of which so many of n are gained and lost."""
    first, second = np.zeros(n, dtype=bool), np.zeros(n, dtype=bool)
    first[:lost], second[lost : lost + gained] = True, True
    return first, second


def test_a_mean_of_independent_values_has_students_interval():
    values = np.random.default_rng(0).uniform(-1, 1, size=200)
    values = np.append(values, -values) / 2  # a skewed sample's bounds reach further
    expected = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    assert mean(values).interval == pytest.approx((expected.low, expected.high), abs=1e-12)
    expected = stats.ttest_1samp(values, 0).confidence_interval(0.9)
    assert mean(values).bounds(0.05) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_variance_and_degrees_of_freedom_are_those_of_bell_and_mccaffrey():
    """By the matrices of the source: residuals of each cluster are multiplied by (I - H)^(-1/2)."""
    rng = np.random.default_rng(1)
    codes = np.repeat(np.arange(6), [1, 2, 3, 4, 7, 9])
    n, values = len(codes), rng.normal(size=len(codes))
    hat = np.full((n, n), 1 / n)
    rest, adjusted = np.eye(n) - hat, []
    for cluster in range(6):
        of = np.flatnonzero(codes == cluster)
        size, vectors = np.linalg.eigh((np.eye(n) - hat)[np.ix_(of, of)])
        root = vectors @ np.diag(size**-0.5) @ vectors.T
        adjusted.append(rest[:, of] @ root @ np.ones(len(of)) / n)
    parts = np.array(adjusted)
    variance, gram = ((parts @ values) ** 2).sum(), parts @ parts.T
    found = moments(values[:, None], clusters=codes)
    assert found.covariance[0, 0] == pytest.approx(variance)
    assert found.dof == pytest.approx(np.trace(gram) ** 2 / (gram**2).sum())
    assert moments(values[:24, None], clusters=np.arange(24) // 3).dof == pytest.approx(7)  # equal ones: G - 1


def test_copies_in_clusters_say_no_more_than_the_originals():
    values = np.random.default_rng(3).random(200)
    copies, clusters = np.repeat(values, 3), np.repeat(np.arange(200), 3)
    assert mean(copies, clusters=clusters).interval == pytest.approx(mean(values).interval, abs=1e-12)
    assert mean(copies, clusters=clusters).effective == pytest.approx(200, rel=0.02)
    right = values < 0.8
    clustered = paired_difference(right[clusters], right[clusters] & (copies < 0.7), clusters=clusters)
    assert clustered.interval == pytest.approx(paired_difference(right, right & (values < 0.7)).interval, rel=0.02)


@pytest.mark.parametrize(("gained", "lost", "n"), [(12, 2, 50), (0, 3, 40), (5, 0, 100), (30, 30, 90), (1, 1, 15)])
def test_the_bounds_of_a_paired_difference_have_tangos_score(gained, lost, n):
    """Reference: the likelihood of the share lost, maximised numerically where the difference is given."""
    found = paired_difference(*changed(gained, lost, n))
    for bound, z in zip(found.interval, (1.96, -1.96), strict=True):
        shares = np.linspace(max(0, -bound), (1 - bound) / 2, 200_001)[1:-1]
        same = 1 - 2 * shares - bound
        logs = gained * np.log(shares + bound) + lost * np.log(shares) + (n - gained - lost) * np.log(same)
        share = 0.0 if lost == 0 and logs[0] >= logs.max() - 1e-9 else shares[logs.argmax()]
        variance = (2 * share + bound * (1 - bound)) / n
        spread = np.array([1, -1, 0]) - bound
        shares_of = np.array([share + bound, share, 1 - 2 * share - bound])
        skew = (z**2 - 1) / 6 * (shares_of @ spread**3) / (n * variance)
        seen = (gained - lost - math.copysign(0.5 + max(0, math.copysign(skew, z * skew)), z)) / n
        assert (seen - bound) / math.sqrt(variance) == pytest.approx(z, abs=0.01)


def test_all_gained_or_all_lost():
    low, high = paired_difference(*changed(150, 0, 150)).interval
    assert 0.9 < low < 1 == high
    assert paired_difference(*changed(0, 150, 150)).interval == pytest.approx((-high, -low))


@pytest.mark.parametrize("lost", [0.02, 0.05])
@pytest.mark.parametrize("gained", [0.0, 0.01])
@pytest.mark.parametrize("n", [30, 100, 200, 250, 400])
def test_few_flips_mislead_as_seldom_as_promised(n, lost, gained):
    """By enumeration of how many of n are lost and gained: each end misses the truth in at most 2.5% of samples.

    Of 8 of 400 lost, the upper end would in 3.3% without the correction for skewness, and of 4 of 200 in 5% without
    both.
    """
    missed = np.zeros(2)
    for many in range(int(n * lost + 6 * math.sqrt(n * lost)) + 6):
        for few in range(int(n * gained + 6 * math.sqrt(n * gained)) + 6 if gained else 1):
            low, high = paired_difference(*changed(few, many, n)).interval
            chance = stats.multinomial.pmf([few, many, n - few - many], n, [gained, lost, 1 - gained - lost])
            missed += chance * np.array([low > gained - lost + 1e-12, high < gained - lost - 1e-12])
    assert missed.max() <= 0.025


def test_skewed_means_mislead_as_seldom_as_promised():
    """Of 60 values one in four is 0, all others are 1: Student's t has the rate too high in 4.5% of samples."""
    zeros = np.arange(1, 60)
    chances = stats.binom.pmf(zeros, 60, 0.25)
    lows = np.array([mean((np.arange(60) >= k) * 1.0, within=(0, 1)).interval[0] for k in zeros])
    students = [1 - k / 60 - stats.t.ppf(1 - TAIL, 59) * math.sqrt(k / 60 * (1 - k / 60) / 59) for k in zeros]
    assert chances[np.array(students) > 0.75].sum() > 0.04
    assert chances[lows > 0.75].sum() <= 0.03


def test_what_was_not_seen_is_not_ruled_out():
    """182 equal answers can hide what happens to one in fifty, 183 cannot: 0.98^183 < 0.025."""
    assert 0.98**183 < TAIL < 0.98**182
    for n, within in ((182, False), (183, True)):
        for found in (paired_difference(*changed(0, 0, n)), mean(np.zeros(n))):
            assert (found.interval[1] <= 0.02) is within and found.interval[0] == -found.interval[1]
    assert unseen(100, 0.05) == pytest.approx(stats.binomtest(0, 100).proportion_ci(0.9, method="exact").high)
    low, high = mean(np.full(50, 0.9), within=(0, 1)).interval
    assert (low, high) == pytest.approx((0.9 - 0.9 * unseen(50, TAIL), 0.9 + 0.1 * unseen(50, TAIL)))


@pytest.mark.parametrize("estimate", ["mean", "difference", "less", "ratio"])
def test_a_kind_of_cluster_that_was_not_seen_is_not_ruled_out(estimate):
    """Of 40 clusters of 50, one in fifty loses all: 45% of samples have none, and all others look independent."""
    rng, clusters = np.random.default_rng(12), np.repeat(np.arange(40), 50)
    lost = rng.random(2000) < 0.01
    exact = paired_difference(lost, np.zeros(2000, dtype=bool), clusters=clusters)
    found = {
        "mean": lambda: mean(-1.0 * lost, clusters=clusters),
        "difference": lambda: exact,
        "less": lambda: estimates.mean_less(1.0 * lost, exact, clusters=clusters).negated(),
        "ratio": lambda: ratio(-1.0 * lost, np.ones(2000), clusters=clusters),
    }[estimate]()
    assert found.effective > 500 and found.independent == 40
    assert found.interval[0] < -0.03 and found.interval[0] <= found.value - 0.9 * unseen(40, TAIL)


def test_a_proportion_has_the_bounds_of_clopper_and_pearson():
    for right, n in ((0, 9), (3, 9), (9, 9), (199, 200)):
        expected = stats.binomtest(right, n).proportion_ci(method="exact")
        found = proportion(np.arange(n) < right)
        assert found.interval == pytest.approx((expected.low, expected.high), abs=1e-12)


@pytest.mark.parametrize("clusters", [None, [0] * 20])
def test_a_single_unit_says_nothing(clusters):
    n = 1 if clusters is None else 20
    assert mean(np.full(n, 0.2), clusters=clusters).interval == (-1, 1)
    assert paired_difference(*changed(0, 1, n), clusters=clusters).interval == (-1, 1)
    assert proportion(np.ones(n), clusters=clusters).interval == (0, 1)
    assert ratio(np.ones(n), np.ones(n), clusters=clusters).interval == (-math.inf, math.inf)


def test_equal_clusters_count_as_one_example_each():
    """Nothing says how alike they are: at worst all of one cluster is one."""
    found = paired_difference(*changed(0, 0, 400), clusters=np.arange(400) // 4)
    assert found.effective == 100 and found.interval[1] == pytest.approx(unseen(100, TAIL))


def test_a_ratio_holds_what_cannot_be_told_from_it():
    """Fieller's set: r is in it if numerator - r denominator is not shown to differ from 0."""
    rng = np.random.default_rng(5)
    clusters, bottom = np.arange(60) // 2, rng.uniform(0.2, 0.6, size=60)
    top = 0.7 * bottom + rng.normal(0, 0.1, size=60)
    found = ratio(top, bottom, clusters=clusters, reach=(0, 0))
    assert found.value == pytest.approx(top.mean() / bottom.mean())
    least = moments((top - found.value * bottom)[:, None], clusters=clusters)
    for end, inside in itertools.product(found.interval, (True, False)):
        r = end + (1e-6 if inside else -1e-6) * (1 if end == found.interval[0] else -1)
        of = moments((top - r * bottom)[:, None], clusters=clusters)
        t = abs(of.means[0]) / of.error
        assert (t <= least.reach(TAIL)[int(end != found.interval[0])]) == inside


def test_a_ratio_to_what_may_be_nothing_has_no_bounds():
    noise = np.random.default_rng(6).normal(size=30)
    assert ratio(np.ones(30), noise - noise.mean() + 0.01).interval == (-math.inf, math.inf)
    assert math.isnan(ratio(np.ones(3), -np.ones(3)).value)


def test_normal_theory_lacks_most_where_least_is_seen():
    slacks = []
    for lost in (0, 2, 80):
        first, second = changed(0, lost, 200)
        found = paired_difference(first, second)
        slacks.append(estimates.beyond_normal(found, second * 1.0 - first)(TAIL))
        normal = mean(second * 1.0 - first).interval
        assert (
            found.interval[0] >= normal[0] - slacks[-1] - 1e-12 and found.interval[1] <= normal[1] + slacks[-1] + 1e-12
        )
    assert slacks[0] == pytest.approx(unseen(200, TAIL)) and slacks[0] > slacks[1] > slacks[2]


def test_a_mean_less_few_flips_adds_what_normal_theory_lacks_in_quadrature():
    first, second = changed(1, 5, 300)
    moved, exact = np.random.default_rng(9).normal(0, 0.04, size=300), paired_difference(first, second)
    change = second * 1.0 - first
    found = estimates.mean_less(moved - change, exact)
    of_all, of_flips = (stats.ttest_1samp(of, 0).confidence_interval(0.95) for of in (moved - change, change))
    for end, opposite in ((0, 1), (1, 0)):
        reach, normal = found.interval[end] - found.value, of_all[end] - found.value
        exact_reach, flips = exact.interval[opposite] - exact.value, of_flips[opposite] - exact.value
        expected = normal**2 + max(0, exact_reach**2 - flips**2)
        assert reach**2 == pytest.approx(expected), end
    # Of what does not move, the bounds are those of the flips.
    assert estimates.mean_less(-change, exact).interval[1] == pytest.approx(-exact.interval[0])


def test_a_mean_less_flips_rules_out_no_more_than_was_seen():
    nothing = paired_difference(*changed(0, 0, 182))
    assert estimates.mean_less(np.zeros(182), nothing).interval == pytest.approx(nothing.interval)
    steady = estimates.mean_less(np.full(182, 0.3), nothing).interval
    assert steady == pytest.approx((0.3 - 1.3 * unseen(182, TAIL), 0.3 + unseen(182, TAIL)))
    alone = paired_difference([True], [False])
    assert estimates.mean_less([0.5], alone).interval == (-1, 1)


@pytest.mark.parametrize("moves", [0.0, 0.1])
def test_overconfidence_misleads_as_seldom_as_promised_where_students_does_not(moves):
    """Of 200 examples 2% are lost, and confidence moves up or down: sampled, with both ends' misses counted."""
    rng, missed = np.random.default_rng(10), np.zeros((2, 2))
    for _ in range(1000):
        lost = rng.random(200) < 0.02
        values = moves * rng.choice([-1, 1], size=200) + lost
        ours = estimates.mean_less(values, paired_difference(lost, np.zeros(200, dtype=bool))).interval
        half = 1.972 * values.std(ddof=1) / math.sqrt(200)
        for kind, (low, high) in enumerate((ours, (values.mean() - half, values.mean() + half))):
            missed[kind] += low > 0.02, high < 0.02
    assert missed[0].max() <= 35 and missed[1].max() > 45


def test_an_estimate_turns_moves_and_widens():
    found = mean(np.random.default_rng(7).random(30))
    low, high = found.interval
    assert found.negated().interval == (-high, -low) and found.negated().value == -found.value
    assert found.shifted(-1).interval == (low - 1, high - 1)
    assert found.widened(lambda alpha: alpha).interval == pytest.approx((low - TAIL, high + TAIL))


def test_the_order_of_the_rows_is_forgotten():
    rng = np.random.default_rng(8)
    values, clusters, order = rng.random((97, 2)), rng.integers(20, size=97), rng.permutation(97)
    for groups in (None, clusters):
        moved = None if groups is None else groups[order]
        one, other = moments(values, clusters=groups), moments(values[order], clusters=moved)
        assert (one.means == other.means).all() and (one.covariance == other.covariance).all()


@pytest.mark.parametrize(
    ("p", "stands"),
    [
        ((0.001, 0.010, 0.02), [True, True, True]),
        ((0.001, 0.020, 0.02), [True, False, False]),
        ((0.010, 0.001, 0.5), [True, True, False]),
        ((0.009, 0.009, 0.009), [False, False, False]),
        ((0.02,), [True]),
        ((), []),
    ],
)
def test_claims_made_at_once_are_corrected(p, stands):
    assert holm([lambda alpha, p=p: p <= alpha for p in p], alpha=0.025) == stands


@pytest.mark.parametrize(
    ("values", "clusters"), [([], None), ([0.1, math.nan], None), ([0.1, math.inf], None), ([1.0, 2.0], ["a"])]
)
def test_what_has_no_mean_is_refused(values, clusters):
    with pytest.raises(DataError, match=r"^estimate: "):
        mean(values, clusters=clusters)
