import numpy as np
import pytest
from refusals import one_line

from trusteq.errors import DataError
from trusteq.estimates import mean, paired_difference
from trusteq.verdict.comparison import Comparison, Side
from trusteq.verdict.margins import Margin, load_margins
from trusteq.verdict.predictions import Predictions
from trusteq.verdict.retraining import LOSSES, SHOWS_NOTHING, excess, retraining
from trusteq.verdict.seeds import crossed

N = 12_000


def predicted(wrong, *, sure=0.9, gold=None):
    """Predictions of two classes, wrong where asked."""
    gold = np.zeros(N, dtype=np.int64) if gold is None else gold
    of = np.where(wrong, 1 - gold, gold)
    return Predictions(("a", "b"), np.where(np.arange(2) == of[:, None], sure, 1 - sure), gold)


def flips(share, seed):
    return np.random.default_rng(seed).random(N) < share


LARGE_WRONG = flips(0.1, 0)
LARGE = Side("large", predicted(LARGE_WRONG))


def beside(share, seed, **how):
    """The large model beside one that answers otherwise on a share of examples."""
    return Comparison(LARGE, Side("other", predicted(LARGE_WRONG ^ flips(share, seed), **how)))


def answered(small, *twins, untrained=None):
    return retraining(small, twins, untrained)


def test_losses_by_hand():
    pair = beside(0.1, 1)
    large, other = (side.predictions for side in (pair.a, pair.b))
    first, second = LARGE_WRONG, LARGE_WRONG ^ flips(0.1, 1)
    assert LOSSES["accuracy_lost"].value(pair) == pytest.approx(second.mean() - first.mean())
    assert LOSSES["negative_flips"].value(pair) == pytest.approx((second & ~first).mean())
    mixed = 0.5 * (0.9 * np.log(0.9 / 0.5) + 0.1 * np.log(0.1 / 0.5)) * 2  # of (.9, .1) and (.1, .9)
    assert LOSSES["jensen_shannon"].of_examples(large, other) == pytest.approx(np.where(first != second, mixed, 0))
    assert LOSSES["ece_gained"].value(pair) == pair.differences["debiased_ece"].value


def test_one_twin_is_a_paired_comparison():
    small, twin = beside(0.1, 1), beside(0.1, 2)
    row = answered(small, twin).table.set_index("measure").loc["accuracy"]
    wrong = [LARGE_WRONG ^ flips(0.1, seed) for seed in (1, 2)]
    expected = paired_difference(wrong[1], wrong[0])
    assert (row["low"], row["high"]) == pytest.approx(expected.interval)
    assert row["margin"] == load_margins()["accuracy"].margin / 2


def test_two_twins_have_the_mean_of_both_bounds_and_three_are_random():
    small, twins = beside(0.1, 1), [beside(0.1, seed) for seed in (2, 3, 4)]
    loss = LOSSES["negative_flips"]
    single = [np.array(excess(loss, small, [twin]).interval) for twin in twins]
    assert excess(loss, small, twins[:2]).interval == pytest.approx((single[0] + single[1]) / 2)
    of = [loss.of_examples(pair.a.predictions, pair.b.predictions) for pair in (small, *twins)]
    expected = crossed([of[0] - twin for twin in of[1:]], within=(-2, 2))
    assert excess(loss, small, twins).interval == expected.interval
    values = mean(of[0] - np.mean(of[1:], axis=0), within=(-2, 2))
    assert excess(loss, small, twins).value == pytest.approx(values.value)


def test_a_third_training_is_no_worse_and_a_poor_one_is():
    twin = beside(0.05, 2)
    assert answered(beside(0.04, 3), twin).answer == "no-worse"
    assert answered(beside(0.2, 3), twin).answer == "worse"
    assert answered(beside(0.04, 3), *[beside(0.05, seed) for seed in (4, 5)]).n_twins == 2


def test_a_twin_no_better_than_a_random_head_shows_nothing():
    small, twin = beside(0.04, 3), beside(0.05, 2)
    found = answered(small, twin, untrained=beside(0.05, 7))
    assert found.answer == "undecided" and set(found.table["reason"]) >= {SHOWS_NOTHING}
    assert answered(small, twin, untrained=beside(0.5, 7)).answer == "no-worse"


def test_it_needs_a_twin_and_a_loss_that_is_known():
    one_line(DataError, lambda: retraining(beside(0.1, 1), []), "at least one")
    assert {margin.retraining for margin in load_margins().values()} - {None} == set(LOSSES)
    with pytest.raises(ValueError, match="retraining"):
        Margin(dimension="x", title="x", margin=0.1, one_sided=True, reason="x")
