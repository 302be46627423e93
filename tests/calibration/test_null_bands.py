import numpy as np
import pandas as pd
import pytest
from scipy.stats import binom

import trusteq.calibration.intervals as nullband
from trusteq.calibration.intervals import consistency_bars, null_bands
from trusteq.calibration.proper_scores import SCORES, reliability_table, scores
from trusteq.errors import DataError
from trusteq.statistics import value_order


def softmax_rows(n, n_classes=3, *, seed=0):
    return np.random.default_rng(seed).dirichlet(np.full(n_classes, 0.5), size=n)


def bands(*args, **options):
    return null_bands(*args, **options).set_index("score")


def alike(n, confidence):
    return np.tile([confidence, 1 - confidence], (n, 1))


# --- closed forms ---


def test_means_of_means_are_exact_expectations():
    probabilities = softmax_rows(300)
    table = bands(probabilities, draws=4000)
    expected = {
        "accuracy": probabilities.max(axis=1).mean(),
        "brier": (probabilities * (1 - probabilities)).sum(axis=1).mean(),
        "nll": -(probabilities * np.log(np.maximum(probabilities, 1e-12))).sum(axis=1).mean(),
        "overconfidence": 0,
    }
    for name, value in expected.items():
        sd = (table.loc[name, "high"] - table.loc[name, "low"]) / (2 * 1.96)
        assert table.loc[name, "expected"] == pytest.approx(value, abs=4 * sd / np.sqrt(4000)), name


def test_ece_of_one_bin_is_the_mean_deviation_of_a_binomial():
    n, confidence = 80, 0.7
    row = bands(alike(n, confidence), n_bins=1, draws=20_000).loc["ece"]
    hits = np.arange(n + 1)
    assert row["expected"] == pytest.approx(
        (binom.pmf(hits, n, confidence) * np.abs(hits / n - confidence)).sum(), abs=0.001
    )


def test_accuracy_lies_between_quantiles_of_a_binomial():
    n, confidence = 60, 0.8
    row = bands(alike(n, confidence), draws=20_000, level=0.9).loc["accuracy"]
    assert [row["low"] * n, row["high"] * n] == pytest.approx(binom.ppf([0.05, 0.95], n, confidence))


def test_confidence_is_no_matter_of_chance():
    probabilities = softmax_rows(200)
    row = bands(probabilities).loc["mean_confidence"]
    assert row["low"] == row["high"] == pytest.approx(probabilities.max(axis=1).mean())


def test_certain_predictions_have_nothing_left_to_chance():
    table = bands(np.eye(4)[[0, 1, 2, 3, 3]]).drop(["accuracy", "mean_confidence", "smooth_ece"])
    assert (table == 0).all(axis=None)


def test_a_class_of_probability_zero_is_never_drawn():
    """Its nll would be -log(1e-12)."""
    assert bands(np.tile([0.0, 0.5, 0.5, 0.0], (500, 1))).loc["nll"].tolist() == pytest.approx([np.log(2)] * 3)


def test_a_calibrated_model_lies_in_its_band_and_an_overconfident_one_above():
    probabilities = softmax_rows(2000, seed=5)
    labels = (np.random.default_rng(6).random(2000)[:, None] > probabilities.cumsum(axis=1)[:, :2]).sum(axis=1)
    sharp = probabilities**3 / (probabilities**3).sum(axis=1, keepdims=True)
    for name in ("ece", "brier", "adaptive_ece", "classwise_ece", "debiased_ece", "overconfidence"):
        row = bands(probabilities).loc[name]
        assert row["low"] <= scores(probabilities, labels)[name] <= row["high"]
        assert scores(sharp, labels)[name] > bands(sharp).loc[name, "high"]


# --- the same as one draw after the other ---


@pytest.mark.parametrize("binning", ["equal-width", "equal-mass"])
@pytest.mark.parametrize("n", [1, 2, 50])
def test_bands_are_those_of_scores_draw_by_draw(binning, n):
    probabilities = softmax_rows(n, 4)
    probabilities = probabilities[value_order(probabilities)]
    table = bands(probabilities, draws=30, n_bins=7, binning=binning, seed=3)
    labels = np.concatenate(list(nullband._drawn_labels(probabilities, 30, 3)))
    summed = [name for name, score in SCORES.items() if score.of_sums]
    each = pd.DataFrame([scores(probabilities, drawn, n_bins=7, binning=binning) for drawn in labels])[summed]
    table = table.loc[summed]
    np.testing.assert_allclose(table["expected"], each.mean(), atol=1e-12)
    np.testing.assert_allclose(table["low"], each.quantile(0.025), atol=1e-12)
    np.testing.assert_allclose(table["high"], each.quantile(0.975), atol=1e-12)


def test_every_score_has_a_row_and_smooth_ece_an_empty_one():
    table = null_bands(softmax_rows(20))
    assert table.columns.tolist() == ["score", "expected", "low", "high"]
    assert set(table["score"]) == set(scores([[0.5, 0.5]], [0]))
    assert table.set_index("score").loc["smooth_ece"].isna().all()
    assert table.set_index("score").drop("smooth_ece").notna().all(axis=None)


def test_neither_order_nor_chunks_matter_and_seeds_do(monkeypatch):
    function, probabilities = null_bands, softmax_rows(150)
    before, expected = probabilities.copy(), function(probabilities, draws=50)
    order = np.random.default_rng(1).permutation(150)
    pd.testing.assert_frame_equal(function(probabilities[order], draws=50), expected, check_exact=True)
    monkeypatch.setattr(nullband, "_CHUNK", 1)
    pd.testing.assert_frame_equal(function(probabilities, draws=50), expected, check_exact=True)
    assert not function(probabilities, draws=50, seed=1).equals(expected)
    np.testing.assert_array_equal(probabilities, before)


def test_fewer_draws_for_many_examples(monkeypatch):
    assert [nullband._checked(None, n) for n in (1, 10**5, 2 * 10**5, 10**6)] == [1000, 1000, 500, 100]
    seen = []
    monkeypatch.setattr(nullband, "_drawn_labels", lambda p, draws, seed: seen.append(draws) or [np.zeros((2, 3), int)])
    null_bands(softmax_rows(3))
    assert seen == [1000]


# --- bars ---


def bars(probabilities, **options):
    labels = np.zeros(len(probabilities), dtype=int)
    return consistency_bars(reliability_table(probabilities, labels, **options))


def test_bars_of_alike_predictions_are_quantiles_of_a_binomial():
    found = bars(alike(50, 0.75))
    assert [found.loc[7, "low"] * 50, found.loc[7, "high"] * 50] == binom.ppf([0.025, 0.975], 50, 0.75).tolist()
    assert found.drop(7)[["low", "high"]].isna().all(axis=None)


@pytest.mark.parametrize("binning", ["equal-width", "equal-mass"])
def test_bars_are_where_accuracies_drawn_from_the_confidences_are(binning):
    probabilities = softmax_rows(4000)
    confidence = probabilities.max(axis=1)
    found, rng = bars(probabilities, n_bins=5, binning=binning), np.random.default_rng(0)
    bins = np.clip(np.searchsorted(found["upper"], confidence), 0, 4)
    drawn = [np.bincount(bins, rng.random(4000) < confidence, 5) for _ in range(2000)]
    counts = found["count"].to_numpy()
    low, high = np.quantile(drawn, [0.025, 0.975], axis=0)
    filled = counts > 0
    # within 1.5 examples, and 5% of the half width: confidences differ within these wide bins
    wide = 1.5 + 0.05 * (high - low)[filled] / 2
    assert (np.abs(found["low"] * counts - low)[filled] <= wide).all()
    assert (np.abs(found["high"] * counts - high)[filled] <= wide).all()


def test_a_sure_bin_has_no_width():
    found = bars(np.eye(2)[[0, 0, 1]])
    assert found.loc[9, ["low", "high"]].tolist() == [1, 1]


# --- input ---


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"draws": 0}, "draws=0; give at least 1"),
        ({"level": 1.0}, "level=1.0"),
        ({"n_bins": 0}, "n_bins=0"),
        ({"binning": "equal"}, "did you mean"),
    ],
)
def test_bad_options_are_named(options, message):
    with pytest.raises(DataError, match=message):
        null_bands(softmax_rows(3), **options)


def test_bad_probabilities_are_named():
    with pytest.raises(DataError, match=r"row 0 sums to 0\.9"):
        null_bands([[0.5, 0.4]])
