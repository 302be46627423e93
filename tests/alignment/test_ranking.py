"""Top-k sets, what two of them share, and what two random ones would."""

import math
from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from weights import labels, random_table, table

from trusteq.alignment.overlap import align
from trusteq.alignment.ranking import Ranking, chance_jaccard, drawn_jaccards, jaccard, top_features
from trusteq.attribution.explain import explain
from trusteq.errors import DataError

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


def test_a_weight_of_zero_is_no_top_feature():
    lime = table({"x": [0.0, 0.0, -1e-9, 0.3, 0.0], "none": [0.0, 0.0, 0.0, 0.0, 0.0]})
    assert top_features(lime, k=1, label=labels("x", "none"))["x"] == {(0, 3)}
    assert top_features(lime, k=9, label=labels("x", "none")).to_dict() == {"x": {(0, 2), (0, 3)}, "none": set()}
    assert (Ranking(lime, labels("x", "none")).n_weightless, Ranking(table({}), labels("y")).n_weightless) == (1, 0)


@pytest.mark.parametrize("scale", [1.0, 1e6])
def test_what_rounding_leaves_of_a_weight_is_none(scale):
    noisy = table({"x": [scale * 0.1, scale * 3e-14, -scale * 2e-17, scale * 1e-9]})
    assert top_features(noisy, k=4, label=labels("x"))["x"] == {(0, 0), (0, 3)}


@pytest.mark.parametrize(("method", "n_samples"), [("occlusion", 2), ("shap", 200), ("shapley", 200)])
def test_two_rules_that_look_at_one_other_word_each_share_nothing(method, n_samples):
    """Ties of zero weights, shared by position, would make a Jaccard of .834 of it, at a chance of .302."""
    rng = np.random.default_rng(0)
    texts = [" ".join(rng.permutation(["red", "slow", *(f"w{at}" for at in range(20))])) for _ in range(6)]
    examples = pd.DataFrame({"id": [f"test-{at}" for at in range(6)], "text_a": texts, "text_b": None})
    weights = [
        explain(rule(word), examples, method=method, n_samples=n_samples, seed=seed, labels=("no", "yes"))
        for seed, word in enumerate(("red", "slow"))
    ]
    found = align(*weights, label=pd.Series("yes", index=examples["id"]))
    assert found.mean == 0 and found.chance == pytest.approx(1 / 22) and found.table["n_features"].eq(22).all()


def rule(word):
    """A classifier that looks at one word."""

    def predict(text_a, text_b=None):
        yes = np.array([word in text.split() for text in text_a], dtype=float)
        return np.stack([1 - yes, yes], axis=1)

    return predict


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


def test_a_ranking_begins_with_every_top_k():
    rows = random_table(10, 12, seed=0)
    label = labels(*rows["id"].unique())
    ranked = Ranking(rows, label).ranked
    for k in (1, 5, 12, 20):
        assert ranked.map(lambda places, k=k: frozenset(places[:k])).equals(top_features(rows, k=k, label=label))


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


def test_the_jaccard_of_each_draw_is_that_of_its_sets():
    rng = np.random.default_rng(0)
    weights, drawn = rng.normal(size=(14, 3)), np.round(rng.normal(size=(30, 14, 3)), 1)  # with equal weights

    def top(of):
        return frozenset(sorted(range(14), key=lambda feature: (-abs(of[feature]), feature))[:10])

    expected = [[jaccard(top(weights[:, label]), top(draw[:, label])) for label in range(3)] for draw in drawn]
    np.testing.assert_allclose(drawn_jaccards(weights, drawn), expected, rtol=1e-12)
    assert (drawn_jaccards(weights[:10], drawn[:, :10]) == 1).all()
    assert len(np.unique(expected)) > 3
