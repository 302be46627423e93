from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import scipy.stats
from scipy.spatial.distance import jensenshannon

from trusteq.alignment.ranking import chance_jaccard
from trusteq.errors import DataError
from trusteq.estimates import mean, paired_difference
from trusteq.project import PUBLISHED, root
from trusteq.study.results import open_run
from trusteq.study.sides import predicted_runs
from trusteq.verdict.agreement import (
    MEASURES,
    Pair,
    agreement_table,
    clustered_mcnemar,
    conformal_sets,
    expected_jaccard,
    mcnemar_mid_p,
    quantile_interval,
    risk_coverage_values,
    slice_table,
)
from trusteq.verdict.predictions import (
    LOYALTY,
    Predictions,
    confidence_distance,
    label_loyalty,
    loyalty_table,
    probability_loyalty,
    total_variation,
)


def two_models(n=300, *, seed=0):
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 2, size=(n, 3))
    return tuple(np.exp(z) / np.exp(z).sum(axis=1, keepdims=True) for z in (logits, logits + rng.normal(size=(n, 3))))


def table(*args, **options):
    return loyalty_table(*args, **options).set_index("measure")


def test_measures_by_hand():
    large, compressed = np.array([[0.9, 0.1], [0.6, 0.4]]), np.array([[0.5, 0.5], [0.3, 0.7]])
    assert label_loyalty(large, compressed).tolist() == [1, 0]
    assert total_variation(large, compressed) == pytest.approx([0.4, 0.3])
    assert confidence_distance(large, compressed) == pytest.approx((0.9 - 0.7 + 0.6 - 0.5) / 2)


def test_probability_loyalty_is_that_of_scipy():
    large, compressed = two_models()
    np.testing.assert_allclose(
        probability_loyalty(large, compressed), 1 - jensenshannon(large, compressed, base=2, axis=1), atol=1e-12
    )


def test_distance_of_confidences_is_the_mean_distance_in_order():
    large, compressed = two_models()
    ordered = [np.sort(model.max(axis=1)) for model in (large, compressed)]
    assert confidence_distance(large, compressed) == pytest.approx(np.abs(ordered[0] - ordered[1]).mean())


def test_a_model_is_loyal_to_itself():
    model, _ = two_models()
    found = table(model, model)
    assert found["value"].to_dict() == {
        "label_loyalty": 1, "probability_loyalty": 1, "total_variation": 0, "confidence_distance": 0,
    }  # fmt: skip
    assert (found["low"] == found["value"])[:3].all()
    assert (found["high"] == found["value"])[:3].all()


def test_opposites_share_nothing_but_their_confidence():
    found = table(np.eye(2), np.eye(2)[::-1])
    assert found["value"].tolist() == [0, 0, 1, 0]


def test_nearly_equal_rows_stay_in_range():
    model, _ = two_models(2000)
    found = probability_loyalty(model, np.clip(model * (1 + 1e-16), 0, 1))
    assert np.isfinite(found).all()
    assert found.max() <= 1


def test_table_holds_every_measure_and_intervals_of_means():
    large, compressed = two_models()
    found = loyalty_table(large, compressed)
    assert found.columns.tolist() == ["measure", "value", "low", "high"]
    assert found["measure"].tolist() == list(LOYALTY)
    for name, row in found.set_index("measure").iterrows():
        values = LOYALTY[name](large, compressed)
        assert row["value"] == pytest.approx(np.mean(values))
        if name == "confidence_distance":
            assert row[["low", "high"]].isna().all()
            continue
        half = 1.96 * values.std() / np.sqrt(len(values))
        assert [row["low"], row["high"]] == pytest.approx([row["value"] - half, row["value"] + half], abs=0.1 * half)
        low, high = mean(values, within=(0, 1)).interval
        assert [row["low"], row["high"]] == pytest.approx([low, high], abs=0.1 * half)


def test_whole_clusters_are_drawn():
    """Each example three times: three times as many rows, but not more knowledge."""
    large, compressed = two_models(200)
    one, three = table(large, compressed), table(*(np.repeat(m, 3, axis=0) for m in (large, compressed)),
                                                 clusters=np.repeat(np.arange(200), 3))  # fmt: skip
    np.testing.assert_allclose(three, one, atol=1e-12)


def test_order_does_not_matter_and_inputs_stay():
    large, compressed = two_models()
    before, clusters = large.copy(), np.arange(300) // 4
    order = np.random.default_rng(0).permutation(300)
    pd.testing.assert_frame_equal(
        loyalty_table(large[order], compressed[order], clusters=clusters[order])[["low", "high"]],
        loyalty_table(large, compressed, clusters=clusters)[["low", "high"]],
        check_exact=True,
    )
    np.testing.assert_array_equal(large, before)


def test_bad_input_is_named():
    large, compressed = two_models(10)
    with pytest.raises(DataError, match=r"shapes \(10, 3\) and \(9, 3\)"):
        loyalty_table(large, compressed[:9])
    with pytest.raises(DataError, match=r"clusters of shape \(9,\) for 10 rows"):
        loyalty_table(large, compressed, clusters=np.arange(9))
    with pytest.raises(DataError, match="row 0 sums to 2"):
        loyalty_table(large, [[1.0, 1.0, 0.0]] * 10)


def pair(n=400, *, n_classes=3, size=1, seed=0, noise=1.0):
    """Return two models' predictions, in clusters of a size, the second model's logits those of the first and noise."""
    rng = np.random.default_rng(seed)
    gold = rng.integers(n_classes, size=n)
    logits = rng.normal(size=(n, n_classes)) + 1.5 * np.eye(n_classes)[gold]
    logits += np.repeat(rng.normal(size=-(-n // size)), size)[:n, None] * np.eye(n_classes)[gold]
    clusters = None if size == 1 else np.arange(n) // size
    labels, both = (
        tuple("abcdefghijklmnopqrstuvwxyz"[:n_classes]),
        (logits, logits + noise * rng.normal(size=logits.shape)),
    )
    return tuple(
        Predictions(labels, np.exp(z) / np.exp(z).sum(axis=1, keepdims=True), gold, clusters=clusters) for z in both
    )


def said(right, *, clusters=None):
    """Return predictions of two classes, all of gold class a, right where asked."""
    right = np.asarray(right, dtype=bool)
    probabilities = np.where(right[:, None], [0.9, 0.1], [0.2, 0.8])
    return Predictions(("a", "b"), probabilities, np.zeros(len(right), dtype=np.int64), clusters=clusters)


def agreement(*args, **options):
    return agreement_table(*args, **options).set_index("measure")


def right(predictions):
    return predictions.probabilities.argmax(axis=1) == predictions.gold


def test_flips_by_hand():
    """Ten examples: six both have right, two the large one alone, one the compressed one alone, one neither."""
    found = agreement(said([1] * 6 + [1, 1, 0, 0]), said([1] * 6 + [0, 0, 1, 0]))["value"]
    assert found["negative_flips"] == pytest.approx(0.2)
    assert found["positive_flips"] == pytest.approx(0.1)
    assert found["relative_negative_flips"] == pytest.approx(0.2 / (0.8 * 0.3))
    assert found["error_kappa"] == pytest.approx((0.7 - (0.8 * 0.7 + 0.2 * 0.3)) / (1 - (0.8 * 0.7 + 0.2 * 0.3)))
    assert found["error_jaccard"] == pytest.approx(1 / 4)
    assert found["same_top"] == pytest.approx(0.7)


def test_shares_have_the_interval_of_a_mean():
    large, compressed = pair(600, size=3)
    found = agreement(large, compressed).loc["negative_flips"]
    expected = mean(right(large) & ~right(compressed), clusters=large.clusters, within=(0, 1))
    assert [found["value"], found["low"], found["high"]] == pytest.approx([expected.value, *expected.interval])


def test_kappa_and_jaccard_are_those_of_sklearn():
    from sklearn.metrics import cohen_kappa_score, jaccard_score

    large, compressed = pair()
    found = agreement(large, compressed)["value"]
    assert found["error_kappa"] == pytest.approx(cohen_kappa_score(right(large), right(compressed)))
    assert found["error_jaccard"] == pytest.approx(jaccard_score(~right(large), ~right(compressed)))


def test_kappas_interval_is_the_delta_method_of_large_samples():
    """The variance of Fleiss, Cohen and Everitt (1969), from the four cells."""
    large, compressed = pair(20_000)
    cells = np.histogram2d(right(large), right(compressed), bins=2)[0] / 20_000
    rows, columns = cells.sum(axis=1), cells.sum(axis=0)
    seen, chance = np.trace(cells), rows @ columns
    kappa = (seen - chance) / (1 - chance)
    own = sum(cells[i, i] * (1 - (rows[i] + columns[i]) * (1 - kappa)) ** 2 for i in (0, 1))
    other = sum(cells[i, 1 - i] * (columns[i] + rows[1 - i]) ** 2 for i in (0, 1)) * (1 - kappa) ** 2
    error = np.sqrt((own + other - (kappa - chance * (1 - kappa)) ** 2) / 20_000) / (1 - chance)
    found = agreement(large, compressed).loc["error_kappa"]
    assert found["high"] - found["low"] == pytest.approx(2 * 1.96 * error, rel=0.01)


@pytest.mark.parametrize("measure", ["relative_negative_flips", "error_kappa", "error_jaccard", "risk_coverage"])
def test_intervals_are_as_wide_as_the_cluster_bootstrap_says(measure):
    large, compressed = pair(1600, size=4)
    rng = np.random.default_rng(0)
    draws = []
    for _ in range(300):
        rows = (rng.integers(400, size=400)[:, None] * 4 + np.arange(4)).ravel()
        draws.append(MEASURES[measure].of(Pair(large.rows(rows), compressed.rows(rows))).value)
    found = agreement(large, compressed).loc[measure]
    assert (found["high"] - found["low"]) / (2 * 1.96) == pytest.approx(np.std(draws), rel=0.15)


@pytest.mark.parametrize(("n", "a", "b"), [(10, 3, 4), (30, 20, 25), (7, 0, 3), (5, 5, 5), (200, 60, 71)])
def test_chance_of_shared_errors_is_exact(n, a, b):
    assert expected_jaccard(n, a, b) == pytest.approx(chance_jaccard(n, a, b), rel=1e-9)


def test_mid_p_by_enumeration_of_signs():
    """Of all 2^10 ways to share ten changes out: those more extreme, and half of those as extreme on each side."""
    gained = np.array([bin(way).count("1") for way in range(2**10)])
    for lost in range(11):
        tail = (gained < min(lost, 10 - lost)).mean() + (gained == min(lost, 10 - lost)).mean() / 2
        expected = 2 * tail if lost != 5 else 1 - (gained == 5).mean() / 2  # Fagerland et al. (2013), of ties
        assert mcnemar_mid_p(lost, 10 - lost) == pytest.approx(expected)


def test_mid_p_of_published_tables():
    """Bentur et al. (2009): 1 and 7 changes, p = .0391; Cavo et al. (2012): 6 and 16, .0347 (Fagerland et al. 2013)."""
    assert mcnemar_mid_p(1, 7) == pytest.approx(0.0391, abs=5e-5)
    assert mcnemar_mid_p(6, 16) == pytest.approx(0.0347, abs=5e-5)


def test_clustered_mcnemar_is_obuchowskis_variance_from_both_proportions():
    """Var(p1) + Var(p2) - 2 Cov, each from residuals of cluster totals about the pooled share, as in the paper."""
    rng = np.random.default_rng(3)
    clusters = rng.integers(40, size=300)
    large, compressed = rng.random(300) < 0.8, rng.random(300) < 0.7
    sizes = np.bincount(clusters, minlength=40)
    pooled, k = (large.mean() + compressed.mean()) / 2, len(sizes)
    residuals = [np.bincount(clusters, of, minlength=40) - sizes * pooled for of in (large, compressed)]
    (a, c), (_, b) = k / (k - 1) * np.array([[x @ y for y in residuals] for x in residuals]) / 300**2
    statistic = (large.mean() - compressed.mean()) ** 2 / (a + b - 2 * c)
    change = compressed.astype(int) - large.astype(int)
    assert clustered_mcnemar(change, clusters) == pytest.approx(scipy.stats.chi2.sf(statistic, 1))


def test_repeated_examples_are_no_more_evidence():
    change = np.random.default_rng(0).integers(-1, 2, size=50)
    once, often = (clustered_mcnemar(np.repeat(change, times), np.arange(50).repeat(times)) for times in (1, 5))
    assert often == pytest.approx(once)


def test_divergences_are_those_of_scipy_and_rows_clipped_are_counted():
    large, compressed = pair(50)
    compressed.probabilities[:3] = [1.0, 0.0, 0.0]
    found = agreement(large, compressed)
    clipped = compressed.probabilities.clip(1e-12, 1)
    expected = [scipy.stats.entropy(p, q) for p, q in zip(large.probabilities, clipped, strict=True)]
    assert found.loc["kl", "value"] == pytest.approx(np.mean(expected))
    assert found.loc["kl", "note"] == "3 rows clipped at 1e-12"
    distance = jensenshannon(large.probabilities, compressed.probabilities, axis=1)
    assert found.loc["jensen_shannon", "value"] == pytest.approx((distance**2).mean())
    change = np.abs(large.probabilities - compressed.probabilities).max()
    assert found.loc["largest_change", "value"] == pytest.approx(change)


def test_opposites_are_log_2_apart():
    certain = [
        Predictions(("a", "b"), table, np.zeros(40, dtype=int)) for table in (np.eye(2)[[0] * 40], np.eye(2)[[1] * 40])
    ]
    found = agreement(*certain)
    assert found.loc["jensen_shannon", "value"] == pytest.approx(np.log(2))
    assert found.loc["kl", "value"] == pytest.approx(-np.log(1e-12))
    assert found.loc["kl", "low"] < found.loc["kl", "value"]


def test_quantile_interval_holds_the_binomials_share_of_order_statistics():
    """Of n = 100 the ends are order statistics r and s with P(r <= Bin(100, .9) < s) at least 95%, and no fewer."""
    value, low, high = quantile_interval(np.arange(1.0, 101), 0.9)
    assert value == 90
    below = scipy.stats.binom.cdf(np.arange(101), 100, 0.9)
    assert below[int(low) - 1] <= 0.025 < below[int(low)]
    assert below[int(high) - 2] < 0.975 <= below[int(high) - 1]


def test_quantiles_need_examples_beyond_them():
    values = np.random.default_rng(0).random(400)
    assert np.isfinite(quantile_interval(values[:50], 0.9)).all()
    assert np.isnan(quantile_interval(values[:49], 0.9)[1:]).all()
    copies = np.repeat(values[:49], 5), np.repeat(np.arange(49), 5)
    assert np.isnan(quantile_interval(copies[0], 0.9, clusters=copies[1])[1:]).all()
    assert np.isnan(quantile_interval(np.zeros(400), 0.9)[1:]).all()


def test_area_under_the_risk_coverage_curve_by_hand():
    """Errors among the 1, 2, 3, 4 most confident: 0, 1/2, 1/3, 2/4; where two are as confident they stay together."""
    wrong = np.array([True, False, True, False])
    assert risk_coverage_values(np.array([0.6, 0.9, 0.8, 0.7]), wrong).mean() == pytest.approx((0.5 + 1 / 3 + 0.5) / 4)
    assert risk_coverage_values(np.array([0.6, 0.9, 0.9, 0.7]), wrong).mean() == pytest.approx((1 + 1 / 3 + 0.5) / 4)


def test_area_moves_with_an_examples_weight_as_its_value_says():
    """The influence of an example is the derivative of the area, by its weight: seen by repeating it among many."""
    rng = np.random.default_rng(0)
    confidence, wrong = rng.random(40).round(1), rng.random(40) < 0.4
    values = risk_coverage_values(confidence, wrong)
    for row in range(40):
        times = np.where(np.arange(40) == row, 501, 500)
        more = risk_coverage_values(confidence.repeat(times), wrong.repeat(times)).mean()
        assert (more - values.mean()) * 20_000 == pytest.approx(values[row] - values.mean(), abs=0.01)


def test_conformal_sets_by_hand():
    """Nine dev examples: the threshold is the largest of their scores, ceil(10 * .9) = 9; of eight there is none."""
    gold, probabilities = np.zeros(9, dtype=int), np.linspace(0.5, 0.9, 9)
    dev, test = (np.column_stack([p, 1 - p]) for p in (probabilities, np.array([0.55, 0.45, 0.3])))
    assert conformal_sets(dev, gold, test).tolist() == [[True, False], [False, True], [False, True]]
    assert conformal_sets(dev[:8], gold[:8], test).all()


def test_conformal_sets_cover_nine_in_ten_and_the_table_pairs_them():
    large, compressed = pair(4000)
    dev = tuple(of.rows(np.arange(2000)) for of in (large, compressed))
    test = tuple(of.rows(np.arange(2000, 4000)) for of in (large, compressed))
    found = agreement(*test, dev=dev)
    coverage, size = found.loc["conformal_coverage"], found.loc["conformal_size"]
    assert [coverage["large"], coverage["compressed"]] == pytest.approx([0.9, 0.9], abs=0.03)
    assert size["value"] == pytest.approx(size["compressed"] - size["large"])
    assert 0 < size["low"] < size["value"] < size["high"]  # noise makes sets larger
    assert agreement(*test).loc["conformal_size", "note"] == "not measured: needs --dev"


def test_slices_by_hand_and_small_ones_are_named():
    slices = ["x"] * 40 + ["y"] * 60 + ["z"] * 29
    large, compressed = said([1] * 129), said([1] * 30 + [0] * 10 + [1] * 57 + [0] * 3 + [0] * 29)
    found = slice_table(large, compressed, slices)
    assert found["slice"].tolist() == ["x", "y", "z"]
    assert found["n"].tolist() == [40, 60, 29]
    assert found["difference"].tolist()[:2] == pytest.approx([-0.25, -0.05])
    assert found["difference"].isna().tolist() == [False, False, True]
    assert found["note"].tolist() == ["", "", "not compared: under 30 examples"]


def test_slices_without_clusters_have_sidaks_level():
    large, compressed = pair(900)
    slices = np.arange(900) % 5
    alpha = (1 - 0.95 ** (1 / 5)) / 2
    for row in slice_table(large, compressed, slices).itertuples():
        of = slices == int(row.slice)
        expected = paired_difference(right(large)[of], right(compressed)[of]).bounds(alpha)
        assert (row.low, row.high) == pytest.approx(expected)


def test_slices_that_move_together_need_less_correction():
    """Every example in two slices with the same clusters: the two differences are one, and so is its interval."""
    large, compressed = (of.rows(np.repeat(np.arange(300), 2)) for of in pair(300))
    slices = ["x", "y"] * 300
    together = [replace(of, clusters=np.repeat(np.arange(300), 2)) for of in (large, compressed)]
    alone, joint = (slice_table(*both, slices).iloc[0] for both in ((large, compressed), together))
    half = slice(None, None, 2)
    expected = paired_difference(right(large)[half], right(compressed)[half])
    assert (joint["low"], joint["high"]) == pytest.approx(expected.interval, abs=2e-3)
    assert joint["high"] - joint["low"] < 0.95 * (alone["high"] - alone["low"])


def test_worst_class_is_the_largest_loss_and_its_interval_that_of_the_worst():
    large, compressed = pair(900, size=3)
    table = slice_table(large, compressed, np.array(large.labels)[large.gold])
    found = agreement(large, compressed).loc["worst_class"]
    assert found["value"] == table["difference"].min()
    assert [found["low"], found["high"]] == [table["low"].min(), table["high"].min()]
    assert found["note"] == f"class {table['slice'][0]}"


def test_every_measure_has_an_interval_or_a_reason():
    large, compressed = pair(500)
    found = agreement(large, compressed, dev=(large, compressed))
    assert found.index.tolist() == list(MEASURES)
    assert found.columns.tolist() == ["title", "large", "compressed", "value", "low", "high", "n", "note"]
    bounded = found["low"].notna()
    assert (found["low"] < found["high"])[bounded].all()
    assert found["note"][~bounded].str.contains("no interval").all()
    assert bounded.sum() == len(MEASURES) - 4  # a p-value, an expectation, a maximum, a quantile too far out
    assert all(measure.source and measure.title for measure in MEASURES.values())


ONE = np.zeros(60, dtype=int)
EDGES = {
    "one example": (said([1]), said([0])),
    "always right": (said([1] * 50), said([1] * 50)),
    "always wrong": (said([0] * 50), said([0] * 50)),
    "opposites": (said([1] * 50), said([0] * 50)),
    "one cluster": (said([1, 0] * 30, clusters=ONE), said([1, 1, 0] * 20, clusters=ONE)),
    "twenty classes": pair(400, n_classes=20),
    "one class absent": tuple(replace(of, gold=of.gold % 2) for of in pair(200)),
    "zeros and ones": tuple(replace(of, probabilities=np.eye(3)[of.probabilities.argmax(axis=1)]) for of in pair(200)),
}


@pytest.mark.parametrize("case", EDGES)
def test_edges_give_values_or_reasons_and_never_a_width_of_nothing(case):
    large, compressed = EDGES[case]
    few = tuple(of.rows(np.arange(1)) for of in EDGES[case])
    for dev in (few, EDGES[case]):
        found = agreement(large, compressed, dev=dev)
        bounded = found["low"].notna()
        assert (found["low"] < found["high"])[bounded].all()
        assert (found["low"] <= found["value"])[bounded].all()
        assert (found["value"] <= found["high"])[bounded].all()
        assert (found["note"] != "")[~bounded].all()


def test_a_model_agrees_with_itself():
    model, _ = pair(300)
    found = agreement(model, model, dev=(model, model))
    zero = ["negative_flips", "relative_negative_flips", "kl", "jensen_shannon", "largest_change", "risk_coverage"]
    assert (found.loc[[*zero, "conformal_size", "worst_class"], "value"] == 0).all()
    assert (found.loc[["error_kappa", "error_jaccard", "same_top", "mcnemar"], "value"] == 1).all()
    assert found.loc["error_kappa", "low"] < 1


def test_undefined_measures_say_so():
    found = agreement(*EDGES["always right"])
    for measure in ("relative_negative_flips", "error_kappa", "error_jaccard"):
        assert np.isnan(found.loc[measure, "value"])
        assert "undefined" in found.loc[measure, "note"]
    assert np.isnan(agreement(*EDGES["one cluster"]).loc["mcnemar", "value"])


def test_order_of_examples_and_classes_is_forgotten():
    large, compressed = pair(300, size=3)
    ids = np.array([f"{row}" for row in range(300)], dtype=object)
    large, compressed = (replace(of, ids=ids) for of in (large, compressed))
    order = np.random.default_rng(0).permutation(300)
    found = agreement_table(large.rows(order), compressed.rows(order[::-1]).columns(("c", "a", "b")))
    pd.testing.assert_frame_equal(found, agreement_table(large, compressed))


def test_bad_pairs_and_slices_are_named():
    large, compressed = pair(100)
    with pytest.raises(DataError, match="100 rows against 99"):
        agreement_table(large, compressed.rows(np.arange(99)))
    with pytest.raises(DataError, match=r"slices of shape \(99,\) for 100 examples"):
        slice_table(large, compressed, ["x"] * 99)
    with pytest.raises(DataError, match="bring them to one with `matched`"):
        slice_table(large, compressed.rows(np.arange(100)[::-1]), ["x"] * 100)
    with pytest.raises(DataError, match="no examples"):
        agreement_table(*(of.rows(np.arange(0)) for of in (large, compressed)))


def test_published_minilm_and_its_compressions():
    runs = predicted_runs(open_run(root() / PUBLISHED / "snli-minilm"), "snli")
    expected = {
        ("minilm", 1): (0.042, 0.743),
        ("minilm", 2): (0.048, 0.723),
        ("minilm-distilled", 0): (0.065, 0.695),
        ("minilm-kept", 0): (0.061, 0.713),
    }
    for who, values in expected.items():
        found = agreement(runs["minilm", 0], runs[who])
        assert (found["n"].drop("worst_class") == 9824).all()
        assert tuple(found.loc[["negative_flips", "error_kappa"], "value"].round(3)) == values
