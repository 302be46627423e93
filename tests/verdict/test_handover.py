"""Thresholds of the hand-over: bounds against closed forms and enumeration, the search by hand, clusters."""

import functools
import itertools
import json
import math
from dataclasses import replace

import handover as benchmark
import numpy as np
import pandas as pd
import pytest
from refusals import one_line
from scipy.stats import binom, binomtest

from trusteq.errors import DataError
from trusteq.verdict.handover import (
    LEVELS,
    RISKS,
    THRESHOLDS,
    Units,
    betting,
    boldest,
    clopper_pearson,
    flips_shown,
    handover,
    handover_curve,
    safe_threshold,
    stakes,
)
from trusteq.verdict.predictions import Predictions

refused = functools.partial(one_line, DataError)
COLUMNS = [
    "risk",
    "level",
    "threshold",
    "share",
    "share_low",
    "realised",
    "realised_low",
    "realised_high",
    "n_dev",
    "n",
]


def model(right, confidence, clusters=None):
    """Return predictions of two classes, the gold one first, that are right where they say so, as sure as said."""
    right, confidence = np.broadcast_arrays(np.asarray(right, dtype=bool), confidence)
    of_gold = np.where(right, confidence, 1 - confidence)
    gold = np.zeros(len(right), dtype=int)
    return Predictions(("yes", "no"), np.column_stack([of_gold, 1 - of_gold]), gold, None, clusters)


def pair(large, small, confidence, clusters=None):
    return model(large, 0.9, clusters), model(small, confidence, clusters)


def chosen(found, risk="flips", level=0.01, column="threshold"):
    (value,) = found.loc[(found["risk"] == risk) & (found["level"] == level), column]
    return value


def singles(losses):
    return Units.of(np.asarray(losses), np.arange(len(losses)))


@pytest.mark.parametrize(("events", "n"), [(0, 10), (3, 10), (9, 10), (10, 10), (0, 299), (12, 2000)])
def test_upper_bound_is_that_of_scipy(events, n):
    assert clopper_pearson(events, n) == pytest.approx(binomtest(events, n).proportion_ci(0.90, "exact").high)


@pytest.mark.parametrize("rate", [0.005, 0.01, 0.02, 0.3])
def test_upper_bound_is_missed_in_at_most_a_share_alpha_of_samples(rate):
    events = np.arange(401)
    assert binom.pmf(events, 400, rate)[clopper_pearson(events, 400) < rate].sum() <= 0.05


def test_units_are_counted_by_kind():
    units = Units.of(np.array([1, 0, -1, 1, 1, 0, 0]), np.array([0, 0, 1, 2, 2, 3, 3]))
    kinds = dict(zip(zip(units.sizes.tolist(), units.sums.tolist(), strict=True), units.counts.tolist(), strict=True))
    assert kinds == {(2, 1): 1, (1, -1): 1, (2, 2): 1, (2, 0): 1}
    assert units.n == 7


@pytest.mark.parametrize("sizes", [(1, 1, 1, 1), (1, 1, 2, 6), (3, 3, 3, 6), (2, 5, 5, 5)])
def test_stakes_cost_what_is_promised_and_cover_every_loss(sizes):
    sizes = np.array(sizes)
    units = Units(sizes, 0 * sizes, np.ones(4))
    for share in (0.1, 0.5, 1.0):
        bet = np.asarray(share / (sizes.mean() * 0.9))
        paid = stakes(bet, units, 0.1)
        assert paid.mean() == pytest.approx(1 + bet * 0.1 * sizes.mean())
        assert (paid >= bet * sizes - 1e-12).all()
        assert (np.diff(paid) >= 0).all()
        assert len(set(paid[paid > bet * sizes + 1e-12].round(12))) <= 1


def test_boldest_bet_of_single_examples_risks_all():
    assert boldest(singles([0] * 10), 0.2) == pytest.approx(1 / 0.8)


def test_boldest_bet_wins_most_where_nothing_is_lost():
    units = Units(np.array([2, 6]), np.array([0, 0]), np.array([95, 5]))
    best = np.log(stakes(boldest(units, 0.05), units, 0.05)) @ units.counts
    assert best > np.log1p(0.05 * units.sizes / (6 * 0.95)) @ units.counts  # a bet that never needs unequal stakes
    assert all(best >= np.log(stakes(np.asarray(bet), units, 0.05)) @ units.counts for bet in (0.01, 0.05, 0.1, 0.45))


@pytest.mark.parametrize("alpha", [0.05, 0.3])
@pytest.mark.parametrize("level", [0.1, 0.4])
def test_betting_is_wrong_in_at_most_a_share_alpha_of_samples(level, alpha):
    """Every sample of 12 examples with losses of 1, 0, -1, by its probability where the risk is just the level."""
    counts = np.array([(up, 12 - up - down, down) for up in range(13) for down in range(13 - up)])
    shown = betting(Units(np.ones(3), np.array([1, 0, -1]), counts), level=level, alpha=alpha, variances=(level, 0.5))
    orders = np.array([math.factorial(12) / math.prod(map(math.factorial, row)) for row in counts.tolist()])
    for gain in (0.0, 0.05, 0.2, 0.3):
        rates = np.array([level + gain, 1 - level - 2 * gain, gain])
        assert (orders * (rates**counts).prod(axis=1))[shown].sum() <= alpha
    assert shown.any()


@pytest.mark.parametrize("losing", [(1, 2, 3), (1,), (2,), (3,)])
def test_betting_holds_for_clusters_that_lose_all_or_nothing(losing):
    """Every sample of eight clusters; only those of some sizes lose, so that the risk is just the level."""
    sizes, level, alpha = np.array([1, 1, 1, 2, 2, 2, 2, 3]), 0.2, 0.25
    rates = np.isin(sizes, losing) * level * sizes.sum() / sizes[np.isin(sizes, losing)].sum()
    assert rates.max() <= 1
    wrong = 0.0
    for lost in map(np.array, itertools.product((0, 1), repeat=8)):
        sample = Units(sizes, lost * sizes, np.ones(8))
        wrong += betting(sample, level=level, alpha=alpha, variances=(level,)) * np.where(lost, rates, 1 - rates).prod()
    assert 0 <= wrong <= alpha
    assert betting(Units(sizes, 0 * sizes, np.ones(8)), level=level, alpha=alpha, variances=(level,))


@pytest.mark.parametrize(
    ("variances", "times", "expected"),
    [((1e-9,), 9.3, True), ((1e-9,), 9.4, False), ((0.5, 1e-9), 7.0, True), ((0.5, 1e-9), 7.5, False)],
)
def test_betting_wins_as_by_hand(variances, times, expected):
    """Ten examples without a loss: a bet of b wins (1 + b * level)^10, and several bets the mean of theirs."""
    bets = [min(1.25, math.sqrt(2 * math.log(times) / (10 * variance))) for variance in variances]
    assert (np.mean([(1 + 0.2 * bet) ** 10 for bet in bets]) >= times) is np.bool_(expected)
    assert betting(singles([0] * 10), level=0.2, alpha=1 / times, variances=variances) == expected


def test_samples_at_once_are_as_one_by_one():
    rng = np.random.default_rng(0)
    sizes, sums = np.array([1, 2, 3, 3]), np.array([0, 1, 0, -1])
    counts = rng.integers(0, 60, size=(20, 4))
    how = {"level": 0.05, "alpha": 0.05, "variances": (0.05, 0.2)}
    at_once = betting(Units(sizes, sums, counts), **how)
    assert at_once.tolist() == [bool(betting(Units(sizes, sums, row), **how)) for row in counts]
    assert 0 < at_once.sum() < 20


def test_more_losses_are_never_safer():
    for clusters in (np.arange(600), np.arange(600) // 3):
        shown = [
            bool(flips_shown(Units.of((np.arange(600) < lost).astype(int), clusters), 0.5, 0.02, 0.05))
            for lost in range(30)
        ]
        assert shown[0]
        assert not shown[-1]
        assert shown == sorted(shown, reverse=True)


@pytest.mark.parametrize(("n", "share"), [(299, 1.0), (298, 0.0)])
def test_identical_models_answer_alone_once_there_are_enough_examples(n, share):
    """No flip among n is no proof of less than 1% until .99^n < .05, from 299 on."""
    found = handover(pair(np.arange(n) % 5 > 0, np.arange(n) % 5 > 0, 0.8))
    assert chosen(found, column="share") == share
    assert chosen(found) == 0 if share else math.isnan(chosen(found))


def test_both_risks_of_identical_models():
    right = np.arange(5000) % 5 > 0
    found = handover(pair(right, right, 0.8), pair(right[:500], right[:500], 0.8))
    assert found.columns.tolist() == COLUMNS
    assert found[["risk", "level"]].to_numpy().tolist() == [[risk, level] for risk in RISKS for level in LEVELS]
    assert (found["threshold"] == 0).all()
    assert (found["share"] == 1).all()
    assert found["share_low"].between(0.99, 1).all()
    assert (found["realised"] == 0).all()
    assert found["realised_high"].between(0, 0.01, inclusive="neither").all()
    assert (found.loc[found["risk"] == "flips", "realised_low"] == 0).all()
    assert (found["n_dev"] == 5000).all()
    assert (found["n"] == 500).all()


def stepped(n=2000):
    """Three groups by confidence: .95 without a loss; .85 where many flip; .75 where as many are gained back."""
    group = np.repeat([0, 1, 2], [n // 2, n // 4, n // 4])
    tenth = np.arange(n) % 10 == 0
    large, small = ~(tenth & (group == 2)), ~(tenth & (group == 1))
    return pair(large, small, np.array([0.95, 0.85, 0.75])[group])


def test_search_stops_at_the_first_failure():
    """The gains below .75 would make up for what is lost at .85, but no threshold behind that is looked at."""
    large, small = stepped(20_000)
    curve = handover_curve(large, small).set_index("threshold")
    assert curve.loc[0.0, "accuracy"] == pytest.approx(0)
    losses = singles(RISKS["accuracy"].losses(large, small))
    assert RISKS["accuracy"].shown(losses, 0.0, 0.02, 0.05)  # would pass, if it were asked
    for risk in RISKS:
        assert chosen(handover((large, small)), risk, 0.02) == 0.86
        assert chosen(handover((large, small)), risk, 0.02, "share") == 0.5


def test_threshold_is_the_last_that_counting_allows():
    """One flip at each hundredth of confidence: the bound says how many may be kept."""
    n = 3000
    confidence = np.full(n, 0.995)
    confidence[:40] = 0.985 - np.arange(40) / 100
    right = np.ones(n, dtype=bool)
    small = right.copy()
    small[:40] = False
    allowed = max(events for events in range(40) if binom.cdf(events, n, 0.005) <= 0.05)
    assert chosen(handover(pair(right, small, confidence)), level=0.005) == pytest.approx(0.985 - allowed / 100 + 0.005)


def test_stricter_promises_have_higher_thresholds():
    rng = np.random.default_rng(3)
    confidence = rng.uniform(0.5, 1, 4000)
    large, small = rng.random(4000) < 0.9, rng.random(4000) < confidence
    found = handover(pair(large, small, confidence)).fillna({"threshold": math.inf})
    for _, rows in found.groupby("risk"):
        assert rows["threshold"].is_monotonic_decreasing
        assert rows["share"].is_monotonic_increasing
    strict = handover(pair(large, small, confidence), alpha=0.001).fillna({"threshold": math.inf})
    assert (strict["threshold"] >= found["threshold"]).all()


def test_nothing_may_be_answered_alone():
    right = np.ones(3000, dtype=bool)
    found = handover(pair(right, ~right, 1.0), pair(right, ~right, 1.0))
    assert found["threshold"].isna().all()
    nothing = ["share", "share_low", "realised", "realised_low", "realised_high"]
    assert (found[nothing] == 0).all(axis=None)


def test_a_threshold_that_no_dev_example_reaches_is_none():
    """Nobody is surer than .6, where the small model flips: passing higher thresholds promises nothing."""
    right = np.ones(3000, dtype=bool)
    assert handover(pair(right, ~right, 0.6))["threshold"].isna().all()


def test_repeated_examples_are_no_more_knowledge():
    """Each example three times, as one cluster: no lower threshold than once, as three times as many would have."""
    rng = np.random.default_rng(1)
    confidence = rng.uniform(0.5, 1, 900)
    large, small = np.ones(900, dtype=bool), rng.random(900) < confidence**0.1
    once = pair(large, small, confidence)
    rows = np.repeat(np.arange(900), 3)
    thrice = tuple(replace(of.rows(rows), clusters=rows) for of in once)
    loose = tuple(of.rows(rows) for of in once)
    how = {"levels": (0.01, 0.02)}
    single, clustered, naive = (handover(of, **how)["threshold"].fillna(2) for of in (once, thrice, loose))
    assert (clustered >= single).all()
    assert (naive < single).all()


def test_order_and_names_of_clusters_do_not_matter():
    rng = np.random.default_rng(2)
    confidence, clusters = rng.uniform(0.5, 1, 1500), rng.integers(0, 500, 1500)
    large, small = pair(rng.random(1500) < 0.95, rng.random(1500) < confidence**0.2, confidence, clusters)
    order = rng.permutation(1500)
    moved = tuple(replace(of.rows(order), clusters=(1000 - of.clusters[order]).astype(str)) for of in (large, small))
    found = handover((large, small), (large, small))
    pd.testing.assert_frame_equal(handover(moved, moved), found, rtol=1e-9)
    assert found["threshold"].notna().any()


def test_what_is_realised_is_counted_on_test():
    test = pair([1, 1, 1, 0] * 100, [1, 0, 1, 1] * 100, np.tile([0.95, 0.95, 0.6, 0.95], 100))
    found = handover(stepped(20_000), test)
    assert chosen(found, "flips", 0.02) == chosen(found, "accuracy", 0.02) == 0.86
    assert chosen(found, "flips", 0.02, "share") == 0.75
    assert 0.65 < chosen(found, "flips", 0.02, "share_low") < 0.75
    assert chosen(found, "flips", 0.02, "realised") == 0.25
    assert chosen(found, "accuracy", 0.02, "realised") == 0  # as many gained as lost
    low, high = (chosen(found, "flips", 0.02, f"realised_{end}") for end in ("low", "high"))
    wilson = binomtest(100, 400).proportion_ci(method="wilsoncc")
    assert high == pytest.approx(wilson.high, abs=1e-6)
    assert wilson.low - 0.001 < low < wilson.low  # its tail is longer: see `tango_bound`


def test_without_a_test_nothing_is_realised():
    found = handover(stepped(20_000))
    assert found[["share_low", "realised", "realised_low", "realised_high"]].isna().all(axis=None)
    assert (found["n"] == 20_000).all()


def test_curve_is_what_each_threshold_brings():
    large, small = stepped(200)
    curve = handover_curve(large, small).set_index("threshold")
    assert tuple(curve.index) == THRESHOLDS
    assert list(THRESHOLDS) == sorted(THRESHOLDS, reverse=True)
    assert curve.loc[0.96].tolist() == [0, 0, 0]
    assert curve.loc[0.9].tolist() == [0.5, 0, 0]
    assert curve.loc[0.8].tolist() == pytest.approx([0.75, 0.025, 0.025])
    assert curve.loc[0.0].tolist() == pytest.approx([1, 0.025, 0])


def test_bad_input_is_refused():
    one, other = pair([True] * 4, [True] * 4, 0.9)
    empty = tuple(of.rows(np.arange(0)) for of in (one, other))
    refused(lambda: handover(empty), "no examples", "dev")
    refused(lambda: handover((one, other), empty), "no examples")
    refused(lambda: handover((one, replace(other, labels=("yes", "maybe")))), "different labels", "maybe")
    refused(lambda: handover((one, replace(other, gold=1 - other.gold))), "gold labels differ", "matched")
    refused(lambda: handover_curve(*empty), "no examples")
    refused(lambda: handover((one, other), levels=(0.0,)), "between 0 and 1")
    refused(lambda: handover((one, other), alpha=1.0), "between 0 and 1")


@pytest.mark.parametrize("clusters", [None, np.random.default_rng(5).integers(0, 300, 900)])
def test_benchmark_chooses_as_the_package_does(clusters):
    """Many samples at once, as counts of units, and each as predictions of its own."""
    rng = np.random.default_rng(4)
    confidence = rng.uniform(0.5, 1, 900)
    large, small = pair(rng.random(900) < 0.97, rng.random(900) < confidence**0.1, confidence, clusters)
    codes = np.arange(900) if clusters is None else np.unique(clusters, return_inverse=True)[1]
    kept, sizes = confidence[:, None] >= np.array(THRESHOLDS), np.bincount(codes)
    drawn = np.array([np.bincount(rng.integers(len(sizes), size=400), minlength=len(sizes)) for _ in range(8)])
    for risk in RISKS.values():
        sums = np.stack([np.bincount(codes, of) for of in (risk.losses(large, small)[:, None] * kept).T])
        places = benchmark.chosen(risk, sizes, sums, drawn.astype(float), 0.02)
        assert len(set(places.tolist())) > 1
        for times, place in zip(drawn, places, strict=True):
            unit = np.repeat(np.arange(len(sizes)), times)  # a unit that is drawn twice is two units
            rows = np.concatenate([np.flatnonzero(codes == of) for of in unit])
            of = np.repeat(np.arange(len(unit)), sizes[unit])
            sample = (replace(side.rows(rows), clusters=of) for side in (large, small))
            threshold = safe_threshold(risk, *sample, 0.02, 0.05)
            assert threshold == THRESHOLDS[place] or (math.isnan(threshold) and not kept[rows, place].any())


def test_published_thresholds_keep_their_promise():
    """95% less two Monte Carlo errors of 1,000 samples, in every row of the committed table."""
    found = json.loads(benchmark.FILE.read_text(encoding="utf-8"))
    assert found["samples"] == 1000
    assert len(found["rows"]) == 7 * len(RISKS) * len(LEVELS) * len(benchmark.SIZES)
    assert min(row["within"] for row in found["rows"]) >= 0.936
