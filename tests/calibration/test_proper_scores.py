import math

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import accuracy_score, brier_score_loss, log_loss

from trusteq.calibration.bins import assign_bins
from trusteq.calibration.proper_scores import SCORES, brier_decomposition, reliability_table, scores
from trusteq.errors import DataError

FOUR = [[0.95, 0.05], [0.05, 0.95], [0.35, 0.65], [0.7, 0.3]]  # confidences 0.95, 0.95, 0.65, 0.7
GOLD = [0, 0, 1, 1]  # right, wrong, right, wrong


def random_predictions(n, n_classes, *, seed):
    """Random softmax rows, a tenth of them certain or undecided: confidences at 1 and ties at 1/C."""
    rng = np.random.default_rng(seed)
    probabilities = rng.dirichlet(np.full(n_classes, 0.5), size=n)
    probabilities[: n // 20] = np.eye(n_classes)[rng.integers(n_classes, size=n // 20)]
    probabilities[n // 20 : n // 10] = 1 / n_classes
    return probabilities, rng.integers(n_classes, size=n)


def looped(probabilities, labels, edges):
    """ECE and MCE the slow way, bin by bin, example by example."""
    gaps = []
    for i in range(len(edges) - 1):
        inside = [
            (max(row), list(row).index(max(row)) == label)
            for row, label in zip(probabilities.tolist(), labels.tolist(), strict=True)
            if (edges[i] < max(row) or i == 0) and max(row) <= edges[i + 1]
        ]
        if inside:
            accuracy = sum(correct for _, correct in inside) / len(inside)
            confidence = sum(value for value, _ in inside) / len(inside)
            gaps.append((len(inside) / len(labels), abs(accuracy - confidence)))
    return sum(share * gap for share, gap in gaps), max(gap for _, gap in gaps)


# --- by hand ---


def test_scores_of_four_points_by_hand():
    result = scores(FOUR, GOLD)
    assert list(result) == list(SCORES)
    assert set(result) == {
        "accuracy", "ece", "mce", "brier", "nll", "adaptive_ece", "classwise_ece", "debiased_ece", "smooth_ece",
        "mean_confidence", "overconfidence",
    }  # fmt: skip
    assert result["accuracy"] == 0.5
    assert result["mean_confidence"] == pytest.approx((0.95 + 0.95 + 0.65 + 0.7) / 4)
    # (0.6, 0.7]: confidence 0.675, accuracy 0.5; (0.9, 1]: confidence 0.95, accuracy 0.5
    assert result["ece"] == pytest.approx(0.5 * 0.175 + 0.5 * 0.45)
    assert result["mce"] == pytest.approx(0.45)
    assert result["brier"] == pytest.approx(2 * (0.05**2 + 0.95**2 + 0.35**2 + 0.7**2) / 4)
    assert result["nll"] == pytest.approx(-math.log(0.95 * 0.05 * 0.65 * 0.3) / 4)
    assert result["overconfidence"] == pytest.approx(0.8125 - 0.5)
    # every probability has a bin of its own: 0.95 and it is so, 0.05 and it is so, 0.35 and 0.7 and it is not
    assert result["classwise_ece"] == pytest.approx((0.05 + 0.95 + 0.35 + 0.7) / 4)
    assert all(type(value) is float for value in result.values())


def test_reliability_table_of_four_points_by_hand():
    table = reliability_table(FOUR, GOLD)
    assert table.columns.tolist() == ["lower", "upper", "count", "share", "accuracy", "confidence", "gap"]
    assert table["count"].tolist() == [0, 0, 0, 0, 0, 0, 2, 0, 0, 2]
    assert table["share"].sum() == 1
    filled = table[table["count"] > 0]
    assert filled["accuracy"].tolist() == [0.5, 0.5]
    assert filled["confidence"].tolist() == pytest.approx([0.675, 0.95])
    assert filled["gap"].tolist() == pytest.approx([-0.175, -0.45])
    assert table.loc[table["count"] == 0, ["accuracy", "confidence", "gap"]].isna().all(axis=None)


def test_perfect_and_worst_predictions():
    right, wrong = scores(np.eye(3), [0, 1, 2]), scores(np.eye(3), [1, 2, 0])
    assert right == dict.fromkeys(right, 0) | {"accuracy": 1, "mean_confidence": 1}
    assert wrong == dict.fromkeys(wrong, 1) | {
        "accuracy": 0, "brier": 2, "nll": pytest.approx(-math.log(1e-12)), "classwise_ece": pytest.approx(2 / 3),
        "smooth_ece": pytest.approx(1, abs=1e-3),
    }  # fmt: skip


def test_ties_go_to_the_first_class():
    table = reliability_table([[0.5, 0.5]] * 4, [0, 0, 0, 1])
    assert table.loc[4, ["count", "accuracy", "confidence", "gap"]].tolist() == [4, 0.75, 0.5, 0.25]


# --- bins ---


@pytest.mark.parametrize("n_bins", [1, 2, 3, 7, 10, 15, 20, 100])
def test_every_edge_closes_the_bin_below_it(n_bins):
    edges = np.array([i / n_bins for i in range(n_bins + 1)])
    found, bins = assign_bins(edges, n_bins=n_bins)
    np.testing.assert_array_equal(found, edges)
    assert bins.tolist() == [0, *range(n_bins)]
    above = np.nextafter(edges[:-1], 1)
    assert assign_bins(above, n_bins=n_bins)[1].tolist() == list(range(n_bins))


def test_three_tenths_lies_in_the_third_bin():
    """np.linspace(0, 1, 11)[3] is 0.30000000000000004; our edge is the float written 0.3, without tolerance."""
    assert assign_bins(np.array([0.3, 0.6, 0.7, 0.1 + 0.2]))[1].tolist() == [2, 5, 6, 3]


@pytest.mark.parametrize("binning", ["equal-width", "equal-mass"])
@pytest.mark.parametrize("n_bins", [1, 10, 15])
@pytest.mark.parametrize("n_classes", [2, 3, 5])
def test_scores_agree_with_a_loop_and_with_sklearn(binning, n_bins, n_classes):
    probabilities, labels = random_predictions(400, n_classes, seed=n_classes)
    result = scores(probabilities, labels, n_bins=n_bins, binning=binning)
    confidence = probabilities.max(axis=1)
    edges = np.arange(n_bins + 1) / n_bins
    if binning == "equal-mass":
        edges = np.quantile(confidence, edges)
        edges[0], edges[-1] = 0, 1
    assert (result["ece"], result["mce"]) == pytest.approx(looped(probabilities, labels, edges), abs=1e-12)
    assert result["accuracy"] == accuracy_score(labels, probabilities.argmax(axis=1))
    clipped = np.clip(probabilities, 1e-12, 1)
    expected = log_loss(labels, clipped / clipped.sum(axis=1, keepdims=True), labels=range(n_classes))
    assert result["nll"] == pytest.approx(expected, abs=1e-9)
    if n_classes == 2:
        assert result["brier"] == pytest.approx(2 * brier_score_loss(labels, probabilities[:, 1]))


def test_equal_mass_bins_hold_equal_counts_without_ties():
    confidence = np.random.default_rng(0).uniform(0.5, 1, size=1000)
    table = reliability_table(np.c_[confidence, 1 - confidence], np.zeros(1000, dtype=int), binning="equal-mass")
    assert table["count"].tolist() == [100] * 10
    assert (table["lower"].iloc[0], table["upper"].iloc[-1]) == (0, 1)
    assert table["lower"].iloc[1:].tolist() == table["upper"].iloc[:-1].tolist()


def test_equal_mass_bins_keep_ties_together():
    """A saturated model: nine tenths of its confidences are the same, so most quantiles coincide."""
    probabilities = np.array([[1.0, 0.0]] * 90 + [[0.6, 0.4]] * 10)
    table = reliability_table(probabilities, np.zeros(100, dtype=int), binning="equal-mass")
    assert len(table) == 10
    assert sorted(table["count"])[-2:] == [10, 90]
    assert table["count"].sum() == 100
    filled = table[table["count"] > 0]
    assert (filled["confidence"] <= filled["upper"]).all()
    assert (filled["confidence"] > filled["lower"]).all()


def test_order_does_not_matter_and_inputs_stay():
    probabilities, labels = random_predictions(300, 3, seed=9)
    before = probabilities.copy()
    order = np.random.default_rng(0).permutation(300)
    pd.testing.assert_frame_equal(
        reliability_table(probabilities[order], labels[order]), reliability_table(probabilities, labels)
    )
    np.testing.assert_array_equal(probabilities, before)


# --- Brier's parts ---


@pytest.mark.parametrize("n_bins", [1, 4, 10])
@pytest.mark.parametrize("n", [1, 7, 400])
def test_parts_of_brier_add_up(n, n_bins):
    probabilities, labels = random_predictions(n, 4, seed=n)
    parts = brier_decomposition(probabilities, labels, n_bins=n_bins)
    total = parts["reliability"] - parts["resolution"] + parts["uncertainty"]
    total += parts["within_bin_variance"] - parts["within_bin_covariance"]
    assert total == pytest.approx(scores(probabilities, labels)["brier"], abs=1e-12)
    assert all(parts[name] >= 0 for name in parts if name != "within_bin_covariance")
    assert all(type(value) is float for value in parts.values())


def test_parts_of_brier_by_hand():
    """Four times 0.8, right three times, and four times 0.6, right twice; the second class mirrors the first."""
    probabilities = np.repeat([[0.8, 0.2], [0.6, 0.4]], 4, axis=0)
    parts = brier_decomposition(probabilities, [0, 0, 0, 1, 0, 0, 1, 1])
    assert parts["reliability"] == pytest.approx(2 * (0.05**2 + 0.1**2) / 2)
    assert parts["resolution"] == pytest.approx(2 * (0.125**2 + 0.125**2) / 2)
    assert parts["uncertainty"] == pytest.approx(2 * 0.625 * 0.375)
    assert [parts["within_bin_variance"], parts["within_bin_covariance"]] == pytest.approx([0, 0])


def test_variance_and_covariance_within_a_bin_by_hand():
    """One bin: variance of 0.9, 0.7, 0.8, 0.6 and twice its covariance with right, right, wrong, wrong; two classes."""
    probabilities = np.array([[0.9, 0.1], [0.7, 0.3], [0.8, 0.2], [0.6, 0.4]])
    parts = brier_decomposition(probabilities, [0, 0, 1, 1], n_bins=1)
    assert parts["within_bin_variance"] == pytest.approx(2 * np.var([0.9, 0.7, 0.8, 0.6]))
    assert parts["within_bin_covariance"] == pytest.approx(
        2 * 2 * np.mean([0.15 * 0.5, -0.05 * 0.5, -0.05 * 0.5, 0.15 * 0.5])
    )
    assert parts["resolution"] == pytest.approx(0)


# --- input ---


def test_float32_softmax_frames_and_nullable_labels_are_fine():
    logits = np.random.default_rng(0).normal(0, 20, size=(500, 3)).astype(np.float32)
    exponents = np.exp(logits - logits.max(axis=1, keepdims=True))
    probabilities = exponents / exponents.sum(axis=1, keepdims=True)
    labels = np.arange(500) % 3
    expected = scores(probabilities, labels)
    assert scores(pd.DataFrame(probabilities), pd.Series(labels, index=range(500, 0, -1))) == expected
    assert scores(probabilities, pd.Series(labels, dtype="Int64")) == expected
    assert scores(probabilities, labels.astype(np.uint8)) == expected
    assert scores([[1 + 1e-7, -1e-7]], [0])["ece"] == 0


@pytest.mark.parametrize(
    ("probabilities", "labels", "message"),
    [
        ([0.5, 0.5], [0, 1], r"shape \(2,\)"),
        ([[1.0], [1.0]], [0, 0], r"shape \(2, 1\)"),
        ([[[0.5, 0.5]]], [0], r"shape \(1, 1, 2\)"),
        ([[0.5, 0.5], [1.0]], [0, 0], "not a table of numbers"),
        ([["a", "b"]], [0], "not a table of numbers"),
        (np.empty((0, 2)), [], "no rows"),
        ([[0.5, 0.5], [math.nan, 0.5]], [0, 0], r"row 1 is \(nan, 0.5\)"),
        ([[0.5, 0.5], [-0.1, 1.1]], [0, 0], r"row 1 is \(-0.1, 1.1\)"),
        ([[2.0, -1.0, 0, 0, 0, 0]], [0], r"0, 0, ...\), not all in"),
        ([[0.5, math.inf]], [0], "row 0 is"),
        ([[0.5, 0.5], [0.5, 0.498]], [0, 0], "row 1 sums to 0.998"),
        ([[0.5, 0.5]], [0, 1], r"labels: shape \(2,\) for 1 rows"),
        ([[0.5, 0.5]], [[0]], r"labels: shape \(1, 1\)"),
        ([[0.5, 0.5]], 0, r"labels: shape \(\)"),
        ([[0.5, 0.5]], [0.5], "float64, not integers"),
        ([[0.5, 0.5]], ["yes"], "not integers"),
        ([[0.5, 0.5]], [None], "not integers"),
        ([[0.5, 0.5]], [2], "row 0 is 2, of 2 classes; give 0 to 1"),
        ([[0.5, 0.5]] * 2, [0, -1], "row 1 is -1, of 2 classes; leave out"),
    ],
)
@pytest.mark.parametrize("function", [scores, reliability_table, brier_decomposition])
def test_bad_predictions_are_named(function, probabilities, labels, message):
    with pytest.raises(DataError, match=message) as caught:
        function(probabilities, labels)
    assert "\n" not in str(caught.value)


def test_unknown_binning_and_no_bins_are_named():
    with pytest.raises(DataError, match="did you mean 'equal-mass'"):
        scores(FOUR, GOLD, binning="equal_mass")
    with pytest.raises(DataError, match="n_bins=0"):
        reliability_table(FOUR, GOLD, n_bins=0)
