import numpy as np
import pandas as pd
import pytest
from scipy.spatial.distance import jensenshannon

from trusteq.errors import DataError
from trusteq.statistics import bootstrap_mean
from trusteq.verdict.predictions import (
    LOYALTY,
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
        low, high = bootstrap_mean(values)
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
