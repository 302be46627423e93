"""Companions of the Jaccard index against scipy, sklearn and their definitions."""

import math

import numpy as np
import pandas as pd
import pytest
from scipy.stats import spearmanr
from sklearn.metrics.pairwise import cosine_similarity
from weights import labels, of_tables, random_table, table

from trusteq.alignment import decompose
from trusteq.alignment.ranking import COMPANIONS, cosine, rbo, spearman, weighted_jaccard
from trusteq.errors import DataError
from trusteq.estimates import mean

companions = of_tables(decompose.companions)


def weights(n=300):
    """Pairs of weights: random, with ties, with zeros."""
    rng = np.random.default_rng(0)
    for trial in range(n):
        size = int(rng.integers(2, 30))
        pair = rng.normal(size=(2, size)) if trial % 2 else rng.integers(-3, 4, size=(2, size)).astype(float)
        if all(len(set(np.abs(side))) > 1 for side in pair):
            yield pair


def test_spearman_and_cosine_agree_with_scipy_and_sklearn():
    for a, b in weights():
        assert spearman(a, b) == pytest.approx(spearmanr(np.abs(a), np.abs(b)).statistic, abs=1e-12)
        assert cosine(a, b) == pytest.approx(cosine_similarity([a], [b])[0, 0], abs=1e-12)


def test_weighted_jaccard_by_hand():
    assert weighted_jaccard([1, -1, 2], [2, 2, 0]) == pytest.approx((0.25 + 0.25) / (0.5 + 0.5 + 0.5))
    assert weighted_jaccard([3, -1], [-6, 2]) == 1
    assert weighted_jaccard([1, 0], [0, 1]) == 0
    for a, b in weights(50):
        a, b = np.abs(a) / np.abs(a).sum(), np.abs(b) / np.abs(b).sum()
        assert weighted_jaccard(a, b) == pytest.approx(sum(map(min, a, b)) / sum(map(max, a, b)))


def overlap_of_infinite_rankings(a, b, p=0.9):
    """The definition: (1 - p) sum over all depths of p^(d - 1) A_d; the agreement stays what it is at the end."""
    orders = [sorted(range(len(side)), key=lambda place, side=side: (-abs(side[place]), place)) for side in (a, b)]
    agreements = [len(set(orders[0][:d]) & set(orders[1][:d])) / d for d in range(1, len(a) + 1)]
    agreements += agreements[-1:] * 1000
    return (1 - p) * sum(p**depth * agreement for depth, agreement in enumerate(agreements))


def test_rank_biased_overlap_agrees_with_its_definition():
    for a, b in weights():
        assert rbo(a, b) == pytest.approx(overlap_of_infinite_rankings(a, b), abs=1e-12)
    assert rbo([3, 2, 1], [-9, 8, 0]) == pytest.approx(1)
    assert rbo([2, 1], [1, 2]) == pytest.approx(0.9)  # disagrees at depth 1 only, which weighs a tenth


def test_companions_are_symmetric_and_forget_scale():
    for a, b in weights(60):
        for score in COMPANIONS.values():
            assert score(a, b) == pytest.approx(score(b, a), abs=1e-12)
            assert score(1e-200 * a, 1e150 * b) == pytest.approx(score(a, b), abs=1e-12)
            assert score(a, a) == pytest.approx(1)
    assert cosine([1, 2], [-1, -2]) == -1
    assert spearman([1, 2, 3], [-1, -2, -3]) == 1
    assert spearman([1, 2, 3], [3, 2, 1]) == -1


@pytest.mark.parametrize(
    ("a", "b", "undefined"),
    [
        ([], [], set(COMPANIONS)),
        ([0, 0], [1, 2], {"weighted_jaccard", "spearman", "cosine"}),
        ([1, -1], [1, 2], {"spearman"}),
        ([1], [2], {"spearman"}),
    ],
)
def test_what_is_undefined_is_nan(a, b, undefined):
    assert {name for name, score in COMPANIONS.items() if math.isnan(score(a, b))} == undefined


# --- over examples ---


def test_means_and_intervals_over_examples():
    a, b = random_table(30, 12, seed=0), random_table(30, 12, seed=1)
    label = labels(*a["id"].unique())
    found = companions(a, b, label=label).set_index("companion")
    assert found.columns.tolist() == ["value", "low", "high", "undefined"]
    sides = [x[x["label"] == "yes"]["weight"].to_numpy().reshape(30, 12) for x in (a, b)]
    for name, score in COMPANIONS.items():
        values = [score(*pair) for pair in zip(*sides, strict=True)]
        assert found["value"][name] == pytest.approx(np.mean(values))
        assert (found["low"][name], found["high"][name]) == pytest.approx(mean(values).interval)
    assert (found["undefined"] == 0).all()


def test_order_does_not_matter_and_clusters_are_drawn():
    a, b = random_table(30, 12, seed=0), random_table(30, 12, seed=1)
    label = labels(*a["id"].unique())
    clusters = pd.Series(np.arange(30) // 3, index=label.index)
    found = companions(a, b, label=label, clusters=clusters)
    mixed = [x.sample(frac=1, random_state=0) for x in (a, b)]
    again = companions(*mixed, label=label[::-1], clusters=clusters[::-1])
    pd.testing.assert_frame_equal(found, again, check_exact=True)
    assert not found["low"].equals(companions(a, b, label=label)["low"])


def test_a_word_that_one_model_does_not_see_weighs_nothing_in_it():
    a, b = table({"x": [3, 2, 1]}), table({"x": [3, 2]})
    found = companions(a, b, label=labels("x")).set_index("companion")["value"]
    assert found["cosine"] == pytest.approx(cosine([3, 2, 1], [3, 2, 0]))
    assert found["rbo"] == pytest.approx(1)


def test_undefined_examples_are_counted():
    rows = table({"x": [0, 0], "y": [2, 1]})
    found = companions(rows, rows, label=labels("x", "none", "y")).set_index("companion")
    assert found["undefined"].to_dict() == {"weighted_jaccard": 2, "rbo": 1, "spearman": 2, "cosine": 2}
    assert found["value"].tolist() == pytest.approx([1, 1, 1, 1])
    empty = companions(table({}), table({}), label=labels("none"))
    assert empty[["value", "low", "high"]].isna().all(axis=None)


def test_tables_that_cannot_be_compared_are_refused():
    rows, released = table({"x": [1, 2]}), table({"x": [1, 2]})
    with pytest.raises(DataError, match="different examples"):
        companions(rows, table({"y": [1]}), label=labels("x", "y"))
    released.attrs["boundary"] = "as-released"
    with pytest.raises(DataError, match="companions: needs words by position"):
        companions(released, released, label=labels("x"))
