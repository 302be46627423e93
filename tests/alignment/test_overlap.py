"""Alignment of two models with its interval, chance and ceiling."""

import math
from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from weights import labels, random_table, table

from trusteq.alignment.overlap import PAPER_THRESHOLD, align, ceiling, is_aligned, random_features
from trusteq.alignment.ranking import chance_jaccard, jaccard
from trusteq.errors import DataError
from trusteq.estimates import unseen


def test_alignment_by_hand():
    a = table({"x": [4, 3, 2, 1], "y": [4, 3, 2]})
    b = table({"x": [1, 4, 3, 2], "y": [4, 3, 2]})
    result = align(a, b, k=2, label=labels("x", "y"))
    assert result.table.columns.tolist() == ["id", "jaccard", "chance", "n_features"]
    assert result.table["id"].tolist() == ["x", "y"]
    assert result.table["jaccard"].tolist() == pytest.approx([1 / 3, 1])
    assert result.table["chance"].tolist() == [chance_jaccard(4, 2), chance_jaccard(3, 2)]
    assert result.table["n_features"].tolist() == [4, 3]
    assert result.mean == pytest.approx(2 / 3)
    assert result.chance == pytest.approx(result.table["chance"].mean())
    assert (result.low, result.high) == (0, 1)  # two examples say next to nothing
    assert (result.ceiling, result.normalised, result.undefined) == (None, None, 0)


def test_a_model_agrees_with_itself():
    rows = random_table(20, 16, seed=0)
    result = align(rows, rows, label=labels(*rows["id"].unique()), ceiling=1.0)
    assert result.mean == result.high == result.normalised == 1
    assert result.low == pytest.approx(1 - unseen(20, 0.025))
    assert result.chance == pytest.approx(chance_jaccard(16))
    assert (result.table["n_features"] == 16).all()


def test_unrelated_weights_align_at_chance():
    a, b = random_table(2000, 20, seed=0), random_table(2000, 20, seed=1)
    label = labels(*a["id"].unique())
    itself = align(a, a, label=label)
    result = align(a, b, label=label, ceiling=itself)
    assert result.low - 0.005 < result.chance < result.high + 0.005
    assert result.ceiling == 1
    assert result.normalised == pytest.approx(0, abs=0.02)


def test_ceiling_and_chance_anchor_the_normalised_mean():
    a, b = table({"x": [4, 3, 2, 1]}), table({"x": [1, 4, 3, 2]})
    plain = align(a, b, k=2, label=labels("x"))
    result = align(a, b, k=2, label=labels("x"), ceiling=0.8)
    assert result.normalised == pytest.approx((plain.mean - plain.chance) / (0.8 - plain.chance))
    assert math.isnan(align(a, b, k=4, label=labels("x"), ceiling=1.0).normalised)
    with pytest.raises(DataError, match="ceiling=80"):
        align(a, b, label=labels("x"), ceiling=80)


def test_examples_without_words_are_counted_and_left_out():
    rows = table({"x": [1, 2], "y": [2, 1]})
    result = align(rows, rows, k=1, label=labels("x", "none", "y"))
    assert result.undefined == 1
    assert result.mean == 1
    assert result.table.loc[1, "n_features"] == 0
    assert result.table.loc[1, ["jaccard", "chance"]].isna().all()
    empty = align(table({}), table({}), label=labels("none"))
    assert empty.undefined == 1
    assert np.isnan([empty.mean, empty.low, empty.high, empty.chance]).all()


def test_shuffled_examples_give_identical_numbers():
    a, b = random_table(50, 14, seed=0), random_table(50, 14, seed=1)
    label = labels(*a["id"].unique())
    first = align(a, b, label=label, ceiling=0.9, seed=3)
    second = align(
        a.sample(frac=1, random_state=0), b.sample(frac=1, random_state=1), label=label[::-1], ceiling=0.9, seed=3
    )
    for name in ("mean", "low", "high", "chance", "normalised"):
        assert getattr(first, name) == getattr(second, name)
    pd.testing.assert_frame_equal(first.table, second.table[::-1].reset_index(drop=True))


def test_chance_of_as_released_sets_counts_distinct_words():
    a, b = table({"x": [4, 3, 2, 1]}), table({"x": [1, 2, 3, 4]})
    for rows in (a, b):
        rows["word"] = ["a", "a", "b", "c"]
        rows.attrs["boundary"] = "as-released"
    result = align(a, b, k=2, label=labels("x"))  # {a} against {b, c}
    assert result.table.loc[0, ["jaccard", "chance", "n_features"]].tolist() == [0, chance_jaccard(3, 1, 2), 3]
    b.attrs["boundary"] = "safe"
    with pytest.raises(DataError, match="only one of a and b"):
        align(a, b, label=labels("x"))


def test_texts_that_were_cut_into_other_words_are_not_compared():
    a, b = table({"x": [4, 3]}), table({"x": [1, 2]})
    a.attrs["segmentation"] = "ICU 78.3"
    assert align(a, b, label=labels("x")).mean == 1  # what lost its attributes tells nothing
    b.attrs["segmentation"] = "characters"
    with pytest.raises(DataError, match=r"a were cut into words by ICU 78\.3, of b by characters"):
        align(a, b, label=labels("x"))


def test_different_examples_are_one_clear_error():
    with pytest.raises(DataError, match=r"\(1 only in a, 2 only in b, such as 'y'\)"):
        align(table({"x": [1], "y": [1]}), table({"x": [1], "z": [1], "zz": [1]}), label=labels("x", "y", "z", "zz"))


def test_the_papers_threshold():
    assert PAPER_THRESHOLD == 0.7
    assert is_aligned(0.7) is True
    assert is_aligned(np.float64(0.699)) is False
    assert is_aligned(math.nan) is False


# --- intervals ---


def agreeing(values):
    """Two tables of single-text examples, k=1 of two words, whose Jaccard indices are the given zeros and ones."""
    ids = [f"test-{i}" for i in range(len(values))]
    a = table({name: [2, 1] for name in ids})
    b = table({name: [2, 1] if same else [1, 2] for name, same in zip(ids, values, strict=True)})
    return a, b, labels(*ids)


def test_clusters_are_drawn_as_a_whole():
    a, b, label = agreeing([1] * 50 + [0] * 50)
    result = align(a, b, k=1, label=label, clusters=pd.Series(["x"] * 50 + ["y"] * 50, index=label.index))
    assert (result.mean, result.low, result.high) == (0.5, 0, 1)
    alone = align(a, b, k=1, label=label)
    assert 0.35 < alone.low < alone.high < 0.65
    each_its_own = align(a, b, k=1, label=label, clusters=label.index.to_series())
    assert (each_its_own.low, each_its_own.high) == (alone.low, alone.high)


def test_names_and_order_of_clusters_do_not_matter():
    a, b = random_table(60, 14, seed=0), random_table(60, 14, seed=1)
    label = labels(*a["id"].unique())
    clusters = pd.Series(np.arange(60) // 3, index=label.index)
    first = align(a, b, label=label, ceiling=0.9, clusters=clusters)
    renamed = clusters.map(lambda number: f"premise {99 - number}")[::-1]
    second = align(a, b, label=label[::-1], ceiling=0.9, clusters=renamed)
    for name in ("low", "high", "normalised_low", "normalised_high"):
        assert getattr(first, name) == getattr(second, name)
    assert first.low != align(a, b, label=label).low


def test_clusters_must_cover_the_examples_once():
    a, b, label = agreeing([1, 0])
    with pytest.raises(DataError, match="'test-1' has none"):
        align(a, b, k=1, label=label, clusters=pd.Series({"test-0": "x"}))
    with pytest.raises(DataError, match="'test-0' occurs twice"):
        align(a, b, k=1, label=label, clusters=pd.Series("x", index=["test-0", "test-0", "test-1"]))


def test_a_known_ceiling_rescales_the_interval():
    a, b, label = agreeing([1] * 30 + [0] * 20)
    plain, result = align(a, b, k=1, label=label), align(a, b, k=1, label=label, ceiling=0.9)
    chance = chance_jaccard(2, 1)
    assert (result.low, result.high) == (plain.low, plain.high)
    assert result.normalised_low == pytest.approx((plain.low - chance) / (0.9 - chance))
    assert result.normalised_high == pytest.approx((plain.high - chance) / (0.9 - chance))
    assert (plain.normalised_low, plain.normalised_high) == (None, None)


def test_a_measured_ceiling_is_resampled_with_the_examples():
    a, b = random_table(400, 24, seed=0), random_table(400, 24, seed=1)
    label = labels(*a["id"].unique())
    noisy = a.assign(weight=a["weight"] + np.random.default_rng(2).normal(scale=0.3, size=len(a)))
    top = align(a, noisy, k=5, label=label)
    at_the_ceiling = align(a, noisy, k=5, label=label, ceiling=top)
    slack = unseen(400, 0.025) / (top.mean - at_the_ceiling.chance)  # of what was not seen
    ends = 1 - slack * top.mean, 1 + slack * (1 - top.mean)
    assert (at_the_ceiling.normalised_low, at_the_ceiling.normalised_high) == pytest.approx(ends)
    result = align(a, b, k=5, label=label, ceiling=top)
    assert result.normalised_low < result.normalised < result.normalised_high
    # By the delta method; chance is the same for all examples.
    ratio, room = result.normalised, top.mean - result.chance
    error = (result.table["jaccard"] - ratio * top.table["jaccard"]).std() / room / math.sqrt(len(label))
    assert result.normalised_high - result.normalised_low == pytest.approx(2 * 1.96 * error, rel=0.08)


def test_a_ceiling_may_cover_other_examples():
    a, b = random_table(80, 24, seed=0), random_table(80, 24, seed=1)
    ids = a["id"].unique()
    few = a[a["id"].isin(ids[:30])]
    top = align(few, few, label=labels(*ids[:30]))
    result = align(a, b, label=labels(*ids), ceiling=top)
    known = align(a, b, label=labels(*ids), ceiling=1.0)
    assert (result.normalised_low, result.normalised_high) == pytest.approx(
        (known.normalised_low, known.normalised_high), abs=0.03
    )


def test_no_bounds_where_the_ceiling_may_be_at_chance():
    a, b, label = agreeing([1, 0, 1, 0, 1])
    top = align(*agreeing([1, 1, 0, 0, 1])[:2], k=1, label=label)
    result = align(a, b, k=1, label=label, ceiling=top)
    assert np.isfinite(result.normalised)
    assert np.isnan([result.normalised_low, result.normalised_high]).all()
    empty = align(table({}), table({}), label=labels("none"), ceiling=top)
    assert np.isnan([empty.normalised, empty.normalised_low, empty.normalised_high]).all()


# --- ceiling ---


def test_the_ceiling_is_the_mean_of_both_models():
    of_a = align(*agreeing([1, 1, 0, 0])[:2], k=1, label=agreeing([1] * 4)[2])
    of_b = align(*agreeing([1, 0, 0, 0])[:2], k=1, label=agreeing([1] * 4)[2][::-1])
    found = ceiling(of_a, of_b)
    assert found.table["jaccard"].tolist() == [1, 0.5, 0, 0]
    assert found.table["id"].tolist() == of_a.table["id"].tolist()
    assert found.table.columns.tolist() == of_a.table.columns.tolist()
    assert found.mean == (of_a.mean + of_b.mean) / 2 == 0.375
    assert (found.chance, found.undefined, found.ceiling) == (0.5, 0, None)
    assert found.low < found.mean < found.high
    swapped = ceiling(of_b, of_a)
    assert (swapped.mean, swapped.low, swapped.high) == (found.mean, found.low, found.high)


def test_a_ceiling_needs_both_models_on_the_same_examples():
    a, b, label = agreeing([1, 0])
    with pytest.raises(DataError, match="different examples"):
        ceiling(align(a, b, k=1, label=label), align(a[:2], b[:2], k=1, label=label[:1]))


def test_no_two_explained_models_pass_the_mean_of_both_but_they_can_pass_one():
    """Two models are two distributions over top-3 sets of 6 words; their explainer seeds are independent."""
    sets = [frozenset(places) for places in combinations(range(6), 3)]
    kernel = np.array([[jaccard(x, y) for y in sets] for x in sets])
    rng, passes_one = np.random.default_rng(0), False
    for _ in range(300):
        a, b = rng.dirichlet(np.full(len(sets), rng.choice([0.03, 0.3, 3])), size=2)
        between, of_a, of_b = a @ kernel @ b, a @ kernel @ a, b @ kernel @ b
        assert between <= math.sqrt(of_a * of_b) + 1e-12 <= (of_a + of_b) / 2 + 2e-12
        passes_one |= between > of_a
    assert passes_one


# --- random features ---


def test_random_features_belong_to_the_example():
    rows = random_table(40, 12, seed=0).assign(standard_error=0.1)
    rows.attrs["boundary"] = "safe"
    before = rows.copy()
    drawn = random_features(rows, seed=0)
    pd.testing.assert_frame_equal(rows, before)
    assert drawn.columns.tolist() == ["id", "segment", "position", "word", "label", "weight"]
    assert drawn.attrs == rows.attrs
    shuffled = rows.sample(frac=1, random_state=1).astype({"id": "category", "label": "category"})
    assert random_features(shuffled, seed=0)["weight"].sort_index().equals(drawn["weight"])
    last = rows[rows["id"] == "test-39"]
    assert random_features(last, seed=0)["weight"].equals(drawn["weight"][last.index])
    assert not random_features(rows, seed=1)["weight"].equals(drawn["weight"])
    assert drawn["weight"].is_unique


def test_random_features_agree_at_chance():
    rows = random_table(1500, 20, seed=0)
    label = labels(*rows["id"].unique())
    result = align(rows, random_features(rows, seed=0), label=label)
    assert result.mean == pytest.approx(result.chance, abs=4 * (result.high - result.low) / 3.92)
    weights = random_features(rows, seed=0)["weight"]
    assert (weights.mean(), weights.std()) == pytest.approx((0, 1), abs=0.02)
