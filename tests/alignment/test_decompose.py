"""Alignment by the number of top words, by segment and by source of disagreement."""

import itertools
import math

import numpy as np
import pandas as pd
import pytest
from weights import labels, of_tables, random_table, table

from trusteq.alignment import decompose as module
from trusteq.alignment.decompose import decompose
from trusteq.alignment.overlap import align
from trusteq.alignment.ranking import chance_jaccard, jaccard, top_features
from trusteq.errors import DataError
from trusteq.estimates import TAIL, mean, unseen

curve, by_segment = of_tables(module.curve), of_tables(module.by_segment)


@pytest.fixture(scope="module")
def pair():
    a, b = random_table(60, 14, seed=0), random_table(60, 14, seed=1)
    return a, b, labels(*a["id"].unique())


def shuffled(rows):
    return rows.sample(frac=1, random_state=0)


# --- curve ---


def test_a_curve_holds_the_alignment_of_every_k(pair):
    a, b, label = pair
    found = curve(a, b, label=label)
    assert found.columns.tolist() == ["k", "jaccard", "low", "high", "chance"]
    assert found["k"].tolist() == list(range(1, 21))
    for row in found.itertuples():
        single = align(a, b, k=row.k, label=label)
        assert (row.jaccard, row.chance) == (single.mean, single.chance)
        assert (row.low, row.high) == pytest.approx((single.low, single.high), abs=0.02)
    assert (found.loc[found["k"] >= 14, ["jaccard", "high", "chance"]] == 1).all(axis=None)
    assert (found.loc[found["k"] >= 14, "low"] == 1 - unseen(60, TAIL)).all()


def test_a_curve_forgets_the_order_of_rows_and_draws_clusters(pair):
    a, b, label = pair
    clusters = pd.Series(np.arange(60) // 3, index=label.index)
    found = curve(a, b, ks=(3, 5), label=label, clusters=clusters)
    again = curve(shuffled(a), shuffled(b), ks=(3, 5), label=label[::-1], clusters=clusters[::-1])
    pd.testing.assert_frame_equal(found, again, check_exact=True)
    assert not found["low"].equals(curve(a, b, ks=(3, 5), label=label)["low"])


def test_a_curve_without_words_is_nan_and_bad_ks_are_refused(pair):
    assert curve(table({}), table({}), ks=[1], label=labels("none")).iloc[0, 1:].isna().all()
    for ks in ((), (0, 1)):
        with pytest.raises(DataError, match="k=0"):
            curve(*pair[:2], ks=ks, label=pair[2])


# --- by segment ---


def in_two(first, second):
    """A pair x: the weights of its first and of its second text."""
    return pd.concat([table({"x": first}), table({"x": second}, segment=1)], ignore_index=True)


def test_segments_by_hand():
    a, b = in_two([9, 8, 1, 0], [7, 2]), in_two([9, 1, 8, 7], [2, 0])  # two of the first text and one; three and none
    found = by_segment(a, b, k=3, label=labels("x"))
    assert found.columns.tolist() == ["segment", "jaccard", "low", "high", "chance", "examples", "undefined"]
    first, second = found.to_dict("records")
    assert (first["segment"], first["jaccard"], first["chance"]) == (0, 0.25, chance_jaccard(4, 2, 3))
    assert (second["segment"], second["jaccard"], second["chance"]) == (1, 0, chance_jaccard(2, 1, 0))
    assert found[["examples", "undefined"]].to_numpy().tolist() == [[1, 0], [1, 0]]


def test_segments_are_cuts_of_the_whole_top_k(pair):
    a, b, label = pair
    found = by_segment(a, b, k=5, label=label).set_index("segment")
    tops = list(zip(*(top_features(rows, k=5, label=label) for rows in (a, b)), strict=True))
    for segment in (0, 1):
        cuts = [[frozenset(place for place in top if place[0] == segment) for top in both] for both in tops]
        values = [jaccard(*both) for both in cuts]
        assert found["jaccard"][segment] == pytest.approx(np.nanmean(values))
        assert found["undefined"][segment] == np.isnan(values).sum()
        assert found["examples"][segment] == 60 - found["undefined"][segment]
        chances = [chance_jaccard(7, *map(len, both)) for both in cuts]
        assert found["chance"][segment] == pytest.approx(np.nanmean(chances))
        low, high = mean([value for value in values if not math.isnan(value)], within=(0, 1)).interval
        assert (found["low"][segment], found["high"][segment]) == (low, high)


def test_segments_forget_the_order_of_rows_and_draw_clusters(pair):
    a, b, label = pair
    clusters = pd.Series(np.arange(60) // 3, index=label.index)
    found = by_segment(a, b, k=3, label=label, clusters=clusters)
    again = by_segment(shuffled(a), shuffled(b), k=3, label=label[::-1], clusters=clusters[::-1])
    pd.testing.assert_frame_equal(found, again, check_exact=True)
    assert not found["low"].equals(by_segment(a, b, k=3, label=label)["low"])


def test_single_texts_have_one_segment_and_released_words_have_none():
    rows = table({"x": [1, 2]})
    assert by_segment(rows, rows, label=labels("x"))["segment"].tolist() == [0]
    rows.attrs["boundary"] = "as-released"
    with pytest.raises(DataError, match="by_segment: needs words by position"):
        by_segment(rows, rows, label=labels("x"))


# --- decompose ---


def scored(values):
    """An alignment whose examples have the given Jaccard indices: 0, 1/3 or 1, two words of four each."""
    orders = {0: [1, 2, 4, 3], 1 / 3: [1, 4, 3, 2], 1: [4, 3, 2, 1]}
    a = table({name: [4, 3, 2, 1] for name in values})
    b = table({name: orders[value] for name, value in values.items()})
    return align(a, b, k=2, label=labels(*values))


EXPLAINER = scored({"p": 1, "q": 1, "r": 1 / 3, "s": 1, "alone": 0})
ITSELF = scored({"p": 1, "q": 1, "r": 1, "s": 1 / 3})
RETRAINED = scored({"s": 1 / 3, "r": 1 / 3, "q": 1, "p": 1})
TRAINING = ITSELF, RETRAINED
MODEL = scored({"p": 1 / 3, "q": 0, "r": 0, "s": 1 / 3})


def test_disagreement_by_hand():
    found = decompose(EXPLAINER, TRAINING, MODEL)
    assert found.columns.tolist() == ["source", "disagreement", "low", "high", "share"]
    assert found["source"].tolist() == ["explainer seed", "training seed", "model", "total"]
    # 1 - 5/6; 5/6 - 2/3, the twins below their ceiling; 5/6 - 1/6, the pair below its own, less that.
    assert found["disagreement"].tolist() == pytest.approx([1 / 6, 1 / 6, 1 / 2, 5 / 6])
    assert found["share"].tolist() == pytest.approx([0.2, 0.2, 0.6, 1])


def test_the_step_of_training_is_the_same_for_every_pair_and_all_steps_add_up():
    """Interval and all: nothing of the pair is in it, neither its agreement nor how steadily it is explained."""
    steady, unlike = scored(dict.fromkeys("pqrs", 1)), scored({"p": 0, "q": 1 / 3, "r": 1, "s": 0})
    found = [decompose(own, TRAINING, model) for own in (EXPLAINER, steady) for model in (MODEL, unlike)]
    columns = ["disagreement", "low", "high"]
    assert len({tuple(parts.set_index("source").loc["training seed", columns]) for parts in found}) == 1
    for parts, model in zip(found, (MODEL, unlike) * 2, strict=True):
        assert parts["disagreement"].iloc[:-1].sum() == pytest.approx(1 - model.mean)


def test_the_retrained_model_itself_leaves_nothing_to_the_model():
    assert decompose(ITSELF, TRAINING, RETRAINED).set_index("source").loc["model", "disagreement"] == 0


def test_what_is_below_a_ceiling_is_half_a_squared_distance_of_two_distributions():
    """By enumeration: two models draw top sets of two of four words; C - J is a quadratic form in their difference."""
    sets = [frozenset(places) for places in itertools.combinations(range(4), 2)]
    kernel = np.array([[jaccard(a, b) for b in sets] for a in sets])
    a, b = np.random.default_rng(0).dirichlet(np.ones(6), size=2)
    below = (a @ kernel @ a + b @ kernel @ b) / 2 - a @ kernel @ b
    assert below == pytest.approx((a - b) @ kernel @ (a - b) / 2)
    assert np.linalg.eigvalsh(kernel).min() > 0


def test_the_model_takes_the_rest_without_a_training_seed():
    found = decompose(EXPLAINER, None, MODEL).set_index("source")["disagreement"]
    assert found.to_dict() == pytest.approx({"explainer seed": 1 / 6, "model": 2 / 3, "total": 5 / 6})


def test_the_intervals_of_the_sources_are_paired():
    found = decompose(EXPLAINER, TRAINING, MODEL).set_index("source")
    low, high = mean([2 / 3, 1, -1 / 3, 2 / 3]).interval
    assert (found["low"]["model"], found["high"]["model"]) == pytest.approx((low, high))
    same = decompose(MODEL, (MODEL, MODEL), MODEL).set_index("source")
    assert same.loc[["training seed", "model"], ["disagreement", "share"]].eq(0).all(axis=None)
    clustered = decompose(EXPLAINER, TRAINING, MODEL, clusters=pd.Series({"p": 0, "q": 0, "r": 0, "s": 0}))
    assert set(clustered["low"]) == {-1} and set(clustered["high"]) == {1}  # one cluster says nothing


def test_order_does_not_change_the_sources(pair):
    a, b, label = pair
    numbers = []
    for order in (1, -1):
        own, twin = align(a, a, label=label[::order]), align(a, b, k=12, label=label[::order])
        numbers.append(decompose(own, (own, twin), align(a, b, label=label[::order])))
    pd.testing.assert_frame_equal(*numbers, check_exact=True)
    assert numbers[0].attrs == numbers[1].attrs


def test_no_disagreement_has_no_shares_and_no_common_example_is_an_error():
    itself = scored({"p": 1})
    assert decompose(itself, None, itself)["share"].isna().all()
    with pytest.raises(DataError, match="no example is in all"):
        decompose(itself, None, scored({"q": 1}))
