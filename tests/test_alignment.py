import math
from itertools import combinations

import numpy as np
import pandas as pd
import pytest

from trusteq.alignment import PAPER_THRESHOLD, align, chance_jaccard, is_aligned, jaccard, top_features
from trusteq.errors import DataError

COLUMNS = ["id", "segment", "position", "word", "label", "weight"]


def table(weights_by_id, *, label="yes", segment=0):
    """Attributions for one class: id -> weights of the words of one segment, in order."""
    rows = [
        (name, segment, position, f"w{position}", label, float(weight))
        for name, weights in weights_by_id.items()
        for position, weight in enumerate(weights)
    ]
    return pd.DataFrame(rows, columns=COLUMNS)


def labels(*ids, label="yes"):
    return pd.Series(label, index=list(ids))


def random_table(n, n_words, *, seed, classes=("no", "yes")):
    rng = np.random.default_rng(seed)
    ids = np.repeat([f"test-{i}" for i in range(n)], n_words * len(classes))
    position = np.tile(np.repeat(np.arange(n_words), len(classes)), n)
    return pd.DataFrame(
        {
            "id": ids,
            "segment": (position >= n_words // 2).astype(int),
            "position": position % (n_words // 2),
            "word": "w",
            "label": np.tile(classes, n * n_words),
            "weight": rng.normal(size=len(ids)),
        }
    )


# --- jaccard and chance ---


def test_jaccard_of_small_sets():
    assert jaccard(frozenset("abc"), frozenset("bcd")) == 0.5
    assert jaccard(frozenset("ab"), frozenset("ab")) == 1
    assert jaccard(frozenset("ab"), frozenset()) == 0
    assert math.isnan(jaccard(frozenset(), frozenset()))


@pytest.mark.parametrize("n", range(1, 8))
def test_chance_is_the_mean_over_all_pairs_of_subsets(n):
    for k_a in range(n + 1):
        for k_b in range(n + 1):
            pairs = [
                jaccard(frozenset(a), frozenset(b))
                for a in combinations(range(n), k_a)
                for b in combinations(range(n), k_b)
            ]
            assert chance_jaccard(n, k_a, k_b) == pytest.approx(np.mean(pairs), nan_ok=True, abs=1e-14)


@pytest.mark.parametrize(("n", "k_a", "k_b"), [(18, 10, 10), (21, 10, 10), (40, 10, 5), (300, 10, 20)])
def test_chance_agrees_with_random_subsets(n, k_a, k_b):
    rng = np.random.default_rng(0)
    a, b = (rng.random((20_000, n)).argsort(axis=1) < k for k in (k_a, k_b))
    shared = (a & b).sum(axis=1)
    drawn = shared / (k_a + k_b - shared)
    assert chance_jaccard(n, k_a, k_b) == pytest.approx(drawn.mean(), abs=5 * drawn.std() / math.sqrt(len(drawn)))


def test_chance_when_the_sets_are_everything():
    assert chance_jaccard(10) == chance_jaccard(3) == chance_jaccard(1, 1) == 1
    assert chance_jaccard(11, 10) == pytest.approx(1 / 11 + 10 / 11 * 9 / 11)
    assert chance_jaccard(4, 10, 2) == 0.5
    assert math.isnan(chance_jaccard(0))


def test_chance_is_symmetric_and_stays_exact_for_long_texts():
    assert chance_jaccard(30, 4, 9) == pytest.approx(chance_jaccard(30, 9, 4), abs=1e-15)
    assert chance_jaccard(np.int64(20), 10) == chance_jaccard(20, 10, 10)
    assert 0 < chance_jaccard(100_000, 10) < 1e-4
    assert chance_jaccard(2000, 1000) == pytest.approx(1 / 3, abs=1e-3)


def test_chance_refuses_negative_sizes():
    with pytest.raises(DataError, match="k=-1"):
        chance_jaccard(5, -1)


# --- top features ---


def test_top_features_rank_by_absolute_weight_of_the_named_class():
    both = pd.concat([table({"x": [0.1, -0.9, 0.5]}), table({"x": [9, 8, 7]}, label="no")])
    assert top_features(both, k=2, label=labels("x"))["x"] == {(0, 1), (0, 2)}
    assert top_features(both, k=2, label=labels("x", label="no"))["x"] == {(0, 0), (0, 1)}


def test_each_example_has_its_own_class():
    both = pd.concat([table({"x": [1, 2], "y": [1, 2]}), table({"x": [2, 1], "y": [2, 1]}, label="no")])
    tops = top_features(both, k=1, label=pd.Series({"y": "no", "x": "yes"}))
    assert tops.to_dict() == {"y": {(0, 0)}, "x": {(0, 1)}}
    assert list(tops.index) == ["y", "x"]
    assert tops.index.name == "id"


def test_equal_weights_go_by_segment_then_position():
    both = pd.concat([table({"x": [0.5, -0.5, 0.5]}, segment=1), table({"x": [0.5, 0.5]})])
    for k, expected in enumerate([{(0, 0)}, {(0, 0), (0, 1)}, {(0, 0), (0, 1), (1, 0)}], start=1):
        assert top_features(both.sample(frac=1, random_state=k), k=k, label=labels("x"))["x"] == expected


def test_zero_weights_enter_last_and_short_texts_give_all_their_words():
    lime = table({"x": [0.0, 0.0, -1e-9, 0.3, 0.0]})
    assert top_features(lime, k=2, label=labels("x"))["x"] == {(0, 2), (0, 3)}
    assert top_features(lime, k=3, label=labels("x"))["x"] == {(0, 0), (0, 2), (0, 3)}
    assert top_features(lime, k=9, label=labels("x"))["x"] == {(0, i) for i in range(5)}


def test_an_example_without_words_has_the_empty_set():
    assert top_features(table({"x": [1]}), label=labels("none", "x")).to_dict() == {"none": set(), "x": {(0, 0)}}
    assert top_features(table({}), label=labels("none"))["none"] == frozenset()


def test_as_released_sets_hold_words():
    released = table({"x": [3, 2, 1]}).assign(word=["a", "SEP", "a"])
    released.attrs["boundary"] = "as-released"
    assert top_features(released, k=2, label=labels("x"))["x"] == {"a", "SEP"}
    joint = table({"x": [3, 2]}).assign(segment=[0, -1], position=[0, -1], word=["a", "SEP"])
    assert top_features(joint, k=2, label=labels("x"))["x"] == {"a", "SEP"}


def test_order_of_rows_and_type_of_ids_do_not_matter():
    rows = random_table(30, 12, seed=0)
    label = labels(*rows["id"].unique())
    expected = top_features(rows, k=5, label=label)
    before = rows.copy()
    shuffled = rows.sample(frac=1, random_state=1).astype({"id": "category", "label": "category", "word": "category"})
    pd.testing.assert_series_equal(top_features(shuffled, k=5, label=label), expected)
    pd.testing.assert_frame_equal(rows, before)


@pytest.mark.parametrize(
    ("rows", "options", "message"),
    [
        (table({"x": [1]}).drop(columns="weight"), {}, "no column 'weight'"),
        (table({"x": [1]}).rename(columns={"weight": "weights"}), {}, "did you mean 'weights'"),
        (table({"x": [1], "z": [1]}), {}, "no label for example 'z'"),
        (table({"x": [1]}, label="yess"), {}, "no weights for class 'yes'; did you mean 'yess'"),
        (table({"x": [math.nan]}), {}, "'x' is not finite"),
        (pd.concat([table({"x": [1]})] * 2), {}, "'x' has a word twice"),
        (table({"x": [1]}), {"k": 0}, "k=0"),
        (table({"x": [1]}), {"label": labels("x", "x")}, "'x' occurs twice"),
        (table({}), {"label": labels()}, "no examples"),
    ],
)
def test_bad_attributions_are_named(rows, options, message):
    with pytest.raises(DataError, match=message) as caught:
        top_features(rows, **{"label": labels("x")} | options)
    assert "\n" not in str(caught.value)


# --- align ---


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
    assert (result.low, result.high) == pytest.approx((1 / 3, 1))
    assert (result.ceiling, result.normalised, result.undefined) == (None, None, 0)


def test_a_model_agrees_with_itself():
    rows = random_table(20, 16, seed=0)
    result = align(rows, rows, label=labels(*rows["id"].unique()), ceiling=1.0)
    assert result.mean == result.low == result.high == result.normalised == 1
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
    assert align(a, b, label=label, seed=4).low != first.low


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


def test_different_examples_are_one_clear_error():
    with pytest.raises(DataError, match=r"\(1 only in a, 2 only in b, such as 'y'\)"):
        align(table({"x": [1], "y": [1]}), table({"x": [1], "z": [1], "zz": [1]}), label=labels("x", "y", "z", "zz"))


def test_the_papers_threshold():
    assert PAPER_THRESHOLD == 0.7
    assert is_aligned(0.7) is True
    assert is_aligned(np.float64(0.699)) is False
    assert is_aligned(math.nan) is False
