import numpy as np
import pandas as pd
import pytest

from trusteq.calibration import intervals
from trusteq.calibration.intervals import difference_estimates, difference_table, score_intervals
from trusteq.calibration.proper_scores import scores
from trusteq.errors import DataError
from trusteq.estimates import TAIL, unseen

MEANS = ["accuracy", "brier", "nll", "mean_confidence", "overconfidence"]
ERRORS = ["ece", "adaptive_ece", "classwise_ece"]


def score_differences(large, compressed, labels, *, n_bins=10, binning="equal-width", **how):
    """The table of the differences of two models."""
    bins = {"n_bins": n_bins, "binning": binning}
    found = difference_estimates(large, compressed, labels, **bins, **how)
    return difference_table(found, large, compressed, labels, **bins)


def softmax(logits):
    return np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)


def two_models(n, *, seed=0):
    """A calibrated model, an overconfident noisy one, and labels drawn from the first."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 2, size=(n, 3))
    large, compressed = softmax(logits), softmax(1.5 * logits + rng.normal(size=(n, 3)))
    return large, compressed, (rng.random(n)[:, None] > large.cumsum(axis=1)[:, :2]).sum(axis=1)


def examples_scores(probabilities, labels):
    """The scores that are means, example by example."""
    correct = (probabilities.argmax(axis=1) == labels) * 1.0
    confidence = probabilities.max(axis=1)
    brier = ((probabilities - np.eye(3)[labels]) ** 2).sum(axis=1)
    nll = -np.log(probabilities[np.arange(len(labels)), labels])
    return dict(zip(MEANS, [correct, brier, nll, confidence, confidence - correct], strict=True))


def test_intervals_of_means_are_normal():
    _, compressed, labels = two_models(1500)
    table = score_intervals(compressed, labels).set_index("score")
    assert table["value"].to_dict() == scores(compressed, labels)
    for name, values in examples_scores(compressed, labels).items():
        half = 1.96 * values.std() / np.sqrt(1500)
        expected = [values.mean() - half, values.mean() + half]
        assert table.loc[name, ["low", "high"]].tolist() == pytest.approx(expected, abs=0.12 * half), name


def test_differences_are_paired():
    large, compressed, labels = two_models(1500)
    table = score_differences(large, compressed, labels).set_index("score")
    assert table["large"].to_dict() == scores(large, labels)
    assert table["compressed"].to_dict() == scores(compressed, labels)
    assert (table["difference"] == table["compressed"] - table["large"]).all()
    one, two = examples_scores(large, labels), examples_scores(compressed, labels)
    for name in MEANS:
        values = two[name] - one[name]
        half = 1.96 * values.std() / np.sqrt(1500)
        expected = [values.mean() - half, values.mean() + half]
        assert table.loc[name, ["low", "high"]].tolist() == pytest.approx(expected, abs=0.12 * half), name


def test_overconfidence_is_as_wide_as_the_accuracy_that_it_is_made_of():
    """Two models as sure, of which the second is wrong about 8 of 400 more: nothing but these can differ."""
    large, _, labels = two_models(400)
    right = np.flatnonzero(large.argmax(axis=1) == labels)[:8]
    compressed = large.copy()
    compressed[right] = np.roll(large[right], 1, axis=1)
    table = score_differences(large, compressed, labels).set_index("score")
    students = 1.966 * np.sqrt(0.02 * 0.98 / 399)
    assert table.loc["overconfidence", "high"] == pytest.approx(-table.loc["accuracy", "low"], abs=1e-12)
    assert table.loc["overconfidence", "low"] == pytest.approx(0.02 - students, abs=1e-5)


def test_a_maximum_and_the_smooth_ece_have_no_interval():
    large, compressed, labels = two_models(100)
    for table in (score_intervals(large, labels), score_differences(large, compressed, labels)):
        assert table.loc[table["low"].isna(), "score"].tolist() == ["mce", "smooth_ece"]
        assert table.loc[table["high"].isna(), "score"].tolist() == ["mce", "smooth_ece"]


def test_a_model_does_not_differ_from_itself():
    _, compressed, labels = two_models(200)
    table = score_differences(compressed, compressed, labels).set_index("score")
    assert (table["difference"] == 0).all()
    slack = table.loc[MEANS, "high"] / unseen(200, TAIL)
    assert slack.to_dict() == pytest.approx(
        {"accuracy": 1, "brier": 2, "nll": 1, "mean_confidence": 1, "overconfidence": 1}
    )
    assert (table.loc[MEANS, "low"] == -table.loc[MEANS, "high"]).all()
    assert (table.loc[ERRORS, "low"] <= 0).all()
    assert (table.loc[ERRORS, "high"] >= 0).all()


def test_differences_turn_with_their_models():
    large, compressed, labels = two_models(400)
    there, back = (score_differences(*pair, labels).set_index("score") for pair in
                   ((large, compressed), (compressed, large)))  # fmt: skip
    # other draws, since rows are put in order by the first model first
    width = there["high"] - there["low"]
    assert ((there["low"] + back["high"]).abs() <= 0.1 * width)[MEANS].all()


@pytest.mark.parametrize("binning", ["equal-width", "equal-mass"])
def test_intervals_of_errors_hold_the_true_one(binning):
    """The compressed model's true error is known from a large sample; the calibrated one's is 0."""
    _, population, labels = two_models(200_000, seed=1)
    truth = scores(population, labels, binning=binning)
    missed = {"calibrated": 0, "overconfident": 0, "difference": 0}
    for seed in range(2, 22):
        large, compressed, labels = two_models(600, seed=seed)
        options = {"draws": 200, "binning": binning}
        one, two = (score_intervals(p, labels, **options).set_index("score") for p in (large, compressed))
        both = score_differences(large, compressed, labels, **options).set_index("score")
        for name in ERRORS:
            missed["calibrated"] += one.loc[name, "low"] > 0
            missed["overconfident"] += not two.loc[name, "low"] <= truth[name] <= two.loc[name, "high"]
            missed["difference"] += not both.loc[name, "low"] <= truth[name] <= both.loc[name, "high"]
    assert max(missed.values()) <= 8, missed  # of 60


def test_errors_end_at_zero_and_the_debiased_one_does_not():
    large, _, labels = two_models(300, seed=4)
    table = score_intervals(large, labels).set_index("score")
    assert (table.loc[ERRORS, "low"] == 0).all()
    assert table.loc["debiased_ece", "low"] < 0


def test_whole_clusters_are_drawn():
    """Each example three times: three times as many rows, but not more knowledge."""
    large, compressed, labels = two_models(200)
    three, clusters = [np.repeat(values, 3, axis=0) for values in (large, compressed, labels)], np.repeat(range(200), 3)
    for function, arrays, copies in (
        (score_intervals, (large, labels), (three[0], three[2])),
        (score_differences, (large, compressed, labels), three),
    ):
        one = function(*arrays).set_index("score").loc[MEANS]
        np.testing.assert_allclose(function(*copies, clusters=clusters).set_index("score").loc[MEANS], one, atol=1e-3)
        named = function(*copies, clusters=[f"premise {number}" for number in clusters]).set_index("score").loc[MEANS]
        np.testing.assert_allclose(named["high"] - named["low"], one["high"] - one["low"], rtol=0.15)


def test_many_examples_are_drawn_in_random_groups(monkeypatch):
    monkeypatch.setattr(intervals, "_GROUPS", 300)
    _, compressed, labels = two_models(2000)
    table = score_intervals(compressed, labels).set_index("score")
    for name, values in examples_scores(compressed, labels).items():
        width = 2 * 1.96 * values.std() / np.sqrt(2000)
        assert table.loc[name, "high"] - table.loc[name, "low"] == pytest.approx(width, rel=0.15), name
    order, groups, size = intervals.bootstrap_groups(compressed, clusters=np.repeat(np.arange(1000), 2))
    assert size == 300
    assert set(np.bincount(groups)) == {6, 8}  # 1000 clusters of two, 3 or 4 in a group
    groups = groups[np.argsort(order)]
    np.testing.assert_array_equal(groups[::2], groups[1::2])


def test_tables_do_not_depend_on_the_order_of_rows():
    large, compressed, labels = two_models(300)
    clusters, order = np.arange(300) // 3, np.random.default_rng(0).permutation(300)
    bounds, before = ["score", "low", "high"], large.copy()
    for drawn_by in (None, clusters):
        moved = None if drawn_by is None else drawn_by[order]
        one = score_intervals(large, labels, clusters=drawn_by)
        other = score_intervals(large[order], labels[order], clusters=moved)
        pd.testing.assert_frame_equal(other[bounds], one[bounds], check_exact=True)
        pd.testing.assert_frame_equal(other, one)
        one = score_differences(large, compressed, labels, clusters=drawn_by)
        other = score_differences(large[order], compressed[order], labels[order], clusters=moved)
        pd.testing.assert_frame_equal(other[bounds], one[bounds], check_exact=True)
    assert not score_intervals(large, labels, seed=1).equals(score_intervals(large, labels))
    np.testing.assert_array_equal(large, before)


def test_one_example_says_nothing():
    one = np.array([[0.8, 0.2]])
    for table in (score_intervals(one, [0]), score_differences(one, one[:, ::-1], [0])):
        bounds = table.set_index("score").loc[["accuracy", "overconfidence", *ERRORS], ["low", "high"]]
        assert (bounds["low"] <= 0).all() and (bounds["high"] >= 1).all()


def test_intervals_of_bad_input_are_refused():
    large, compressed, labels = two_models(20)
    with pytest.raises(DataError, match="19 clusters for 20 rows"):
        score_intervals(large, labels, clusters=range(19))
    with pytest.raises(DataError, match="draws=0"):
        score_intervals(large, labels, draws=0)
    with pytest.raises(DataError, match=r"shapes \(20, 3\) and \(19, 3\)"):
        score_differences(large, compressed[:19], labels)
    with pytest.raises(DataError, match="row 0 sums to 3"):
        score_differences(large, np.ones((20, 3)), labels)
