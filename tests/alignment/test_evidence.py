"""Top words against planted words, by all subsets; and against a model whose probabilities are sums over words."""

import itertools
import math
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from refusals import one_line
from weights import labels, random_table, table

from trusteq.alignment import evidence
from trusteq.alignment.evidence import faithfulness
from trusteq.alignment.ranking import Ranking
from trusteq.errors import DataError
from trusteq.words import words


def evidence_scores(rows, truth, *, label, **options):
    return evidence.evidence_scores(Ranking(rows, label), truth, **options)


# --- evidence ---


def test_evidence_by_hand():
    rows = table({"x": [4, -3, 2, 1, 0]})
    truth = pd.Series({"x": ((0, 1), (0, 4), (0, 3))})
    (found,) = evidence_scores(rows, truth, k=2, label=labels("x")).to_dict("records")
    assert found == pytest.approx(
        {
            "id": "x",
            "precision": 1 / 2,
            "recall": 1 / 3,
            "chance_precision": 3 / 5,
            "chance_recall": 2 / 5,
            "share": 4 / 10,
            "chance_share": 3 / 5,
        }
    )


@pytest.mark.parametrize(("n", "k", "size"), [(5, 2, 2), (4, 9, 1), (6, 3, 5), (3, 1, 3)])
def test_chance_is_the_mean_over_all_top_sets(n, k, size):
    truth = {(0, place) for place in range(size)}
    tops = [{(0, place) for place in top} for top in itertools.combinations(range(n), min(k, n))]
    found = evidence_scores(table({"x": range(1, n + 1)}), pd.Series({"x": truth}), k=k, label=labels("x")).iloc[0]
    assert found["chance_precision"] == pytest.approx(np.mean([len(top & truth) / len(top) for top in tops]))
    assert found["chance_recall"] == pytest.approx(np.mean([len(top & truth) / len(truth) for top in tops]))


def test_random_weights_score_at_chance():
    rows = random_table(2000, 20, seed=0)
    ids = rows["id"].unique()
    truth = pd.Series([((0, 0), (1, 3), (1, 9))] * len(ids), index=ids)
    found = evidence_scores(rows, truth, k=5, label=labels(*ids))
    for name in ("precision", "recall", "share"):
        error = found[name].std() / math.sqrt(len(found))
        assert found[name].mean() == pytest.approx(found[f"chance_{name}"].mean(), abs=4 * error)


def test_examples_without_truth_are_left_out_and_order_does_not_matter():
    rows = random_table(6, 8, seed=0)
    ids = list(rows["id"].unique())
    truth = pd.Series({ids[0]: ((0, 1),), ids[1]: (), ids[3]: [[1, 2], [0, 0]], "elsewhere": ((0, 0),), ids[4]: None})
    found = evidence_scores(rows, truth, k=3, label=labels(*ids))
    assert found["id"].tolist() == [ids[0], ids[3]]
    again = evidence_scores(rows.sample(frac=1, random_state=0), truth[::-1], k=3, label=labels(*ids[::-1]))
    pd.testing.assert_frame_equal(found, again[::-1].reset_index(drop=True), check_exact=True)


def test_truth_may_come_from_parquet(tmp_path):
    truth = pd.DataFrame({"id": ["x"], "evidence": [((0, 1), (0, 2))]})
    truth.to_parquet(tmp_path / "truth.parquet")
    read = pd.read_parquet(tmp_path / "truth.parquet").set_index("id")["evidence"]
    rows = table({"x": [1, 3, 2]})
    assert evidence_scores(rows, read, k=2, label=labels("x")).loc[0, ["precision", "recall"]].tolist() == [1, 1]


def test_truth_that_was_cut_is_missed_and_nothing_is_divided_by_nothing():
    truth = pd.Series({"x": ((0, 0), (1, 7)), "empty": ((0, 0),), "zero": ((0, 0),)})
    rows = table({"x": [2, 1], "zero": [0, 0]})
    found = evidence_scores(rows, truth, k=1, label=labels("x", "empty", "zero")).set_index("id")
    assert found.loc["x", ["precision", "recall", "chance_recall", "chance_share"]].tolist() == [1, 0.5, 0.25, 0.5]
    assert found.loc["empty"].isna().all()
    assert found.loc["zero", ["precision", "share"]].isna().all() and found.loc["zero", "recall"] == 0


def test_truth_without_positions_or_ids_is_refused():
    rows = table({"x": [1]})
    truth = pd.Series({"x": ((0, 0),)})
    one_line(DataError, lambda: evidence_scores(rows, pd.concat([truth] * 2), label=labels("x")), "'x' occurs twice")
    one_line(DataError, lambda: evidence_scores(rows, truth, k=0, label=labels("x")), "k=0")
    rows.attrs["boundary"] = "as-released"
    one_line(DataError, lambda: evidence_scores(rows, truth, label=labels("x")), "needs words by position")


# --- faithfulness ---

VALUES = {"a": 0.1, "b": 0.2, "c": 0.05, "d": -0.1}
EXAMPLES = pd.DataFrame({"id": ["x", "y", "z"], "text_a": ["a b,", "c", "..."], "text_b": ["c d.", "b b", "?"]})


class Additive:
    """p(yes) is 0.3 and the sum of the words' values; it remembers what it was asked."""

    labels = ("no", "yes")

    def __init__(self):
        self.calls = []

    def predict_proba(self, text_a, text_b=None):
        self.calls.append((list(text_a), text_b))
        pairs = zip(text_a, text_b or [""] * len(text_a), strict=True)
        yes = np.array([0.3 + sum(VALUES[word] for text in pair for word in words(text)) for pair in pairs])
        return np.column_stack([1 - yes, yes])


def attributions(examples, *, label="yes", sign=1):
    rows = [
        (row.id, segment, position, word, label, sign * VALUES[word])
        for row in examples.itertuples()
        for segment, text in enumerate((row.text_a, row.text_b))
        for position, word in enumerate(words(text))
    ]
    return pd.DataFrame(rows, columns=["id", "segment", "position", "word", "label", "weight"])


def test_faithfulness_of_a_sum_is_a_sum():
    classifier = Additive()
    label = labels("y", "z", "x")
    found = faithfulness(classifier, EXAMPLES, attributions(EXAMPLES), k=2, label=label)
    assert found.columns.tolist() == ["id", "comprehensiveness", "sufficiency"]
    assert found["id"].tolist() == ["y", "z", "x"]
    # Top two: b b of y; a b of x, where d weighs as much as a but comes later.
    assert found["comprehensiveness"].tolist() == pytest.approx([0.4, math.nan, 0.3], nan_ok=True)
    assert found["sufficiency"].tolist() == pytest.approx([0.05, math.nan, -0.05], nan_ok=True)
    ((firsts, seconds),) = classifier.calls
    assert firsts == ["c", "c", "", "a b,", ",", "a b,"]
    assert seconds == ["b b", "", "b b", "c d.", "c d.", "."]


def test_each_example_is_measured_by_its_own_class():
    label = pd.Series({"x": "yes", "y": "no"})
    both = pd.concat([attributions(EXAMPLES), attributions(EXAMPLES, label="no", sign=-1)])
    found = faithfulness(Additive(), EXAMPLES, both, k=2, label=label).set_index("id")
    assert found["comprehensiveness"].to_dict() == pytest.approx({"x": 0.3, "y": -0.4})


def test_single_texts_go_without_second_texts():
    classifier = Additive()
    singles = EXAMPLES.assign(text_b=None)
    found = faithfulness(classifier, singles, attributions(singles), k=1, label=labels("x", "y"))
    assert found["comprehensiveness"].tolist() == pytest.approx([0.2, 0.05])
    assert classifier.calls[0][1] is None


def test_nothing_to_explain_is_no_call():
    classifier = Additive()
    found = faithfulness(classifier, EXAMPLES, attributions(EXAMPLES), label=labels("x", "y", "z"))
    assert found["sufficiency"].tolist()[:2] == pytest.approx([0, 0])  # with k above their number, all words are left
    nothing = faithfulness(classifier, EXAMPLES, table({}), label=labels("z"))
    assert nothing[["comprehensiveness", "sufficiency"]].isna().all(axis=None)
    assert len(classifier.calls) == 1


def test_order_of_rows_does_not_matter_and_nothing_is_changed():
    rows, before = attributions(EXAMPLES), attributions(EXAMPLES)
    label = labels("x", "y", "z")
    found = faithfulness(Additive(), EXAMPLES, rows, k=2, label=label)
    pd.testing.assert_frame_equal(rows, before)
    again = faithfulness(Additive(), EXAMPLES[::-1], rows[::-1], k=2, label=label[::-1])
    pd.testing.assert_frame_equal(found, again[::-1].reset_index(drop=True))


def test_words_that_a_model_cuts_off_stay_out_of_its_view(tiny_bert):
    from trusteq.attribution.explain import explain
    from trusteq.models.classifier import load_classifier

    classifier = load_classifier(tiny_bert("BertForSequenceClassification", model_max_length=6), device="cpu")
    examples = pd.DataFrame({"id": ["x"], "text_a": ["man reads good"], "text_b": ["dog bad woman sleeps"]})
    rows = explain(classifier, examples, method="occlusion")
    assert len(rows) == 3 * len(classifier.labels)  # six tokens: three words and the special ones
    found = faithfulness(classifier, examples, rows, k=3, label=labels("x")).iloc[0]
    whole, empty = classifier.predict_proba(["man reads good", ""], ["dog bad woman sleeps", ""])[:, 1]
    assert found["comprehensiveness"] == pytest.approx(whole - empty)
    assert found["sufficiency"] == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize(
    ("change", "parts"),
    [
        ({"examples": EXAMPLES[1:]}, ["no text of example 'x'"]),
        ({"examples": EXAMPLES.assign(text_b="")}, ["'x' lacks words"]),
        ({"classifier": SimpleNamespace(labels=("no", "yess"))}, ["no class 'yes'", "did you mean 'yess'"]),
        ({"k": 0}, ["k=0"]),
    ],
)
def test_what_does_not_fit_is_refused(change, parts):
    given = {"classifier": Additive(), "examples": EXAMPLES, "attributions": attributions(EXAMPLES)} | change
    one_line(DataError, lambda: faithfulness(**given, label=labels("x", "y", "z")), *parts)


def test_released_words_have_no_place_to_delete():
    rows = attributions(EXAMPLES)
    rows.attrs["boundary"] = "as-released"
    refused = lambda: faithfulness(Additive(), EXAMPLES, rows, label=labels("x", "y", "z"))  # noqa: E731
    one_line(DataError, refused, "faithfulness: needs words by position")
