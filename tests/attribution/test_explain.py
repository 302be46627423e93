"""What holds for every method that only asks for probabilities: closed forms, neither order nor company, the table.

The classifiers are plain objects: a class's probability is a constant plus a weight for each word that is present.
"""

import re

import numpy as np
import pandas as pd
import pytest

from trusteq.attribution.explain import TYPES, explain
from trusteq.attribution.methods import METHODS
from trusteq.errors import DataError, ExperimentError, ModelError
from trusteq.models.classifier import load_classifier

ASKING = ["lime", "occlusion", "shap", "shapley"]
EACH = pytest.mark.parametrize("method", ASKING)


class Linear:
    """p(yes) = 0.4 + the weights of the words present, each word counted once a segment; p(no) = the rest.

    weights: (segment, word) -> weight. calls: every pair of texts that was asked about.
    """

    labels = ("no", "yes")

    def __init__(self, weights=None):
        self.weights = weights
        self.calls = []

    def predict_proba(self, text_a, text_b=None):
        text_b = [None] * len(text_a) if text_b is None else text_b
        pairs = list(zip(text_a, text_b, strict=True))
        self.calls += pairs
        yes = np.array([0.4 + sum(self.weight(0, a) + self.weight(1, b)) for a, b in map(self.words, pairs)])
        return np.column_stack([1 - yes, yes])

    def words(self, pair):
        return [sorted(set(re.findall(r"\w+", text or ""))) for text in pair]

    def weight(self, segment, words):
        return np.array([sum(self.at(segment, word) for word in words)])

    def at(self, segment, word):
        return self.weights[segment, word] if self.weights else (2 * segment - 1) * len(word) / 1000


class Multiplicative(Linear):
    """Words that interact: the explained weights depend on how words are masked together."""

    def predict_proba(self, text_a, text_b=None):
        return (lambda p: np.column_stack([1 - p, p]))(super().predict_proba(text_a, text_b)[:, 1] ** 2)


def table(*rows):
    """Examples from (id, text_a, text_b)."""
    return pd.DataFrame(rows, columns=["id", "text_a", "text_b"])


WEIGHTS = {
    (0, "two"): 0.01,
    (0, "men"): 0.08,
    (0, "play"): -0.02,
    (0, "chess"): 0.16,
    (1, "nobody"): -0.32,
    (1, "plays"): 0.04,
    (1, "chess"): -0.005,
}
PAIR = ("pair", "two men -- play chess!", "nobody plays: chess?")
EXAMPLES = table(
    ("b-1", "two men play chess in the park.", "nobody plays (chess)"),
    ("a-2", "a dog, a cat; and a bird", "animals"),
    ("c-3", "rain", "it is raining, isn't it?"),
    ("d-4", "no second text here", ""),
)


# --- closed forms ---


@pytest.mark.parametrize("method", ["occlusion", "shap", "shapley"])
def test_the_weights_of_a_linear_classifier_are_its_own(method):
    explained = explain(Linear(WEIGHTS), table(PAIR), method=method, n_samples=500)
    for row in explained.itertuples():
        expected = WEIGHTS[row.segment, row.word] * {"yes": 1, "no": -1}[row.label]
        assert row.weight == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("method", ["shap", "shapley"])
@pytest.mark.parametrize("n_samples", [20, 500])
def test_the_weights_add_up_to_what_the_words_change(method, n_samples):
    classifier = Multiplicative()
    explained = explain(classifier, EXAMPLES, method=method, n_samples=n_samples)
    for id, rows in explained.groupby("id"):
        text_a, text_b = EXAMPLES.set_index("id").loc[id]
        texts = [text_a, re.sub(r"\w+", "", text_a)], [text_b, re.sub(r"\w+", "", text_b)]
        whole, empty = classifier.predict_proba(*texts)
        sums = rows.groupby("label")["weight"].sum()[list(classifier.labels)]
        np.testing.assert_allclose(sums, whole - empty, rtol=0, atol=1e-12)


def test_lime_ranks_the_words_of_a_linear_classifier():
    explained = explain(Linear(WEIGHTS), table(PAIR), method="lime", n_samples=2000)
    yes = explained[explained["label"] == "yes"].sort_values("weight")
    assert list(zip(yes["segment"], yes["word"], strict=True)) == sorted(WEIGHTS, key=WEIGHTS.get)
    # Ridge regression shrinks; far from nothing, far from a factor.
    expected = [WEIGHTS[key] for key in zip(yes["segment"], yes["word"], strict=True)]
    np.testing.assert_allclose(yes["weight"], expected, rtol=0.1, atol=0.005)


@EACH
def test_an_example_of_one_word(method):
    explained = explain(Linear({(0, "chess"): 0.2}), table(("x", "chess!", None)), method=method, n_samples=100)
    assert list(explained["word"]) == ["chess", "chess"]
    no, yes = explained["weight"]
    # To LIME a text without its only word is so far away that it hardly counts: the sign is all that is left.
    assert no == pytest.approx(-yes) and yes > 0
    assert method == "lime" or yes == pytest.approx(0.2, abs=1e-12)


@pytest.mark.parametrize("method", ["lime", "shap", "shapley"])  # leaving out one copy of a word changes nothing here
def test_equal_words_at_different_places_are_different_features(method):
    explained = explain(Linear(), table(("x", "chess and chess", "chess")), method=method, n_samples=500)
    yes = explained[explained["label"] == "yes"]
    assert list(zip(yes["segment"], yes["position"], yes["word"], strict=True)) == [
        (0, 0, "chess"),
        (0, 1, "and"),
        (0, 2, "chess"),
        (1, 0, "chess"),
    ]
    # Either copy in the first text does; the one in the second text acts the other way.
    first, _, third, second_text = yes["weight"]
    assert first < 0 and third < 0 < second_text


@EACH
def test_smallest_budget(method):
    explained = explain(Linear(), EXAMPLES, method=method, n_samples=2)
    assert np.isfinite(explained["weight"]).all()


# --- what is enough ---

LONG = table(
    ("clear", " ".join([f"{letter * 9}" for letter in "abcdefghij"] + ["x", "y", "z"]), None),
    ("few", "two men play chess", "nobody"),
    ("tied", " ".join(letter * 9 for letter in "abcdefghijklm"), None),
)


@pytest.mark.parametrize("method", [name for name in ASKING if METHODS[name].stops])
def test_examples_stop_by_themselves(method):
    def explained(examples):
        return explain(Multiplicative(), examples, method=method, n_samples=400, stable=0.95)

    whole = explained(LONG)
    alone = [explained(LONG[LONG["id"] == id]) for id in LONG["id"]]
    pd.testing.assert_frame_equal(whole, pd.concat(alone, ignore_index=True), check_exact=True)
    assert whole.attrs["stopped"] == sum(part.attrs["stopped"] for part in alone)
    assert whole.attrs["passes"] == sum(part.attrs["passes"] for part in alone)
    clear, _, tied = alone
    assert (clear.attrs["stopped"], tied.attrs["stopped"]) == (1, 0)
    assert clear.attrs["passes"] <= 128 < tied.attrs["passes"] <= 400
    pd.testing.assert_frame_equal(
        tied, explain(Multiplicative(), LONG.tail(1), method=method, n_samples=400), check_exact=True
    )


def test_stopped_is_said_where_it_was_asked_for():
    asked = explain(Linear(), LONG, method="lime", n_samples=50, stable=0.9)
    assert asked.attrs["stopped"] == 0
    assert "stopped" not in explain(Linear(), LONG, method="lime", n_samples=50).attrs


@pytest.mark.parametrize("stable", [0, 1, 1.5, -0.1, float("nan")])
def test_a_tolerance_is_a_mean_jaccard(stable):
    with pytest.raises(ExperimentError, match="give a mean Jaccard index between 0 and 1"):
        explain(Linear(), LONG, method="lime", stable=stable)


@pytest.mark.parametrize("method", [name for name, of in METHODS.items() if not of.stops])
def test_a_method_that_cannot_stop_says_so(method):
    with pytest.raises(ExperimentError, match=f"'{method}' does not stop before its end; .* use lime and shapley$"):
        explain(Linear(), LONG, method=method, stable=0.9)


# --- what the classifier is asked ---


@pytest.mark.parametrize("method", ["lime", "shap", "shapley"])
def test_words_are_deleted_inside_their_segment_and_punctuation_stays(method):
    classifier = Linear(WEIGHTS)
    explain(classifier, table(PAIR), method=method, n_samples=200)
    assert len(set(classifier.calls)) > 20
    for call in classifier.calls:
        for asked, given in zip(call, PAIR[1:], strict=True):
            kept = set(re.findall(r"\w+", asked))
            expected = re.sub(r"\w+", lambda match, kept=kept: match[0] * (match[0] in kept), given)
            assert asked.split() == expected.split()
    # Every word of both texts is masked in some call, and both texts can become empty but for their punctuation.
    assert {len(re.findall(r"\w+", a)) for a, _ in classifier.calls} == set(range(5))
    assert {len(re.findall(r"\w+", b)) for _, b in classifier.calls} == set(range(4))


@EACH
@pytest.mark.parametrize(("missing", "kind"), [(None, type(None)), (float("nan"), type(None)), ("", str), ("?!", str)])
def test_the_second_text_stays_what_it_was(method, missing, kind):
    classifier = Linear()
    explained = explain(classifier, table(("x", "two men play", missing)), method=method, n_samples=50)
    assert {type(second) for _, second in classifier.calls} == {kind}
    if kind is str:
        assert {second for _, second in classifier.calls} == {missing}
    assert set(explained["segment"]) == {0}


@EACH
def test_words_in_the_second_text_alone(method):
    classifier = Linear()
    explained = explain(classifier, table(("x", "?!", "two men play")), method=method, n_samples=50)
    assert set(explained["segment"]) == {1}
    assert {first for first, _ in classifier.calls} == {"?!"}


# --- neither order nor company ---


@EACH
def test_order_and_company_change_no_bit(method):
    def explained(examples):
        return explain(Multiplicative(), examples, method=method, n_samples=60, seed=3)

    whole = explained(EXAMPLES)
    shuffled = explained(EXAMPLES.iloc[[2, 0, 3, 1]])
    for id in EXAMPLES["id"]:
        expected = whole[whole["id"] == id].reset_index(drop=True)
        pd.testing.assert_frame_equal(shuffled[shuffled["id"] == id].reset_index(drop=True), expected, check_exact=True)
        pd.testing.assert_frame_equal(explained(EXAMPLES[EXAMPLES["id"] == id]), expected, check_exact=True)
    assert list(shuffled["id"].unique()) == ["c-3", "b-1", "d-4", "a-2"]


def test_the_seed_moves_lime_and_not_shap():
    lime, shap = (
        [explain(Multiplicative(), EXAMPLES, method=method, n_samples=60, seed=seed)["weight"] for seed in (0, 0, 1)]
        for method in ("lime", "shap")
    )
    assert lime[0].equals(lime[1]) and not lime[0].equals(lime[2])
    assert shap[0].equals(shap[1]) and shap[0].equals(shap[2])


def test_shap_neither_reads_nor_moves_the_global_stream():
    example = EXAMPLES[EXAMPLES["id"] == "a-2"]  # equal words tie, and the budget ends before both are split
    np.random.seed(1)
    first = explain(Multiplicative(), example, method="shap", n_samples=60)
    drawn = np.random.random()
    second = explain(Multiplicative(), example, method="shap", n_samples=60)
    assert first.equals(second)
    np.random.seed(1)
    assert np.random.random() == drawn


def test_two_examples_alike_have_streams_of_their_own():
    twins = table(("x", "two men play", "nobody plays"), ("y", "two men play", "nobody plays"))
    weights = explain(Multiplicative(), twins, method="lime", n_samples=60).groupby("id")["weight"].apply(list)
    assert weights["x"] != weights["y"]


@EACH
def test_the_examples_are_left_alone(method):
    examples = EXAMPLES.copy(deep=True)
    explain(Linear(), examples, method=method, n_samples=20)
    pd.testing.assert_frame_equal(examples, EXAMPLES)


# --- the table ---


@EACH
def test_columns_types_and_rows(method):
    explained = explain(Linear(), EXAMPLES, method=method, n_samples=50)
    check_types(explained, method)
    assert list(explained.index) == list(range(len(explained)))
    assert not explained.duplicated(["id", "segment", "position", "label"]).any()
    for row in EXAMPLES.itertuples():
        for segment, text in enumerate((row.text_a, row.text_b)):
            for label in Linear.labels:
                chosen = (explained["id"] == row.id) & (explained["segment"] == segment) & (explained["label"] == label)
                rows = explained[chosen]
                assert list(rows["word"]) == re.findall(r"\w+", text)
                assert list(rows["position"]) == list(range(len(rows)))


def check_types(explained, method):
    errors = ["standard_error"] if method == "shapley" else []
    assert list(explained) == [*TYPES, *errors] == ["id", "segment", "position", "word", "label", "weight", *errors]
    assert (explained[["weight", *errors]].dtypes == np.float64).all()
    for column in ("segment", "position"):
        assert np.issubdtype(explained[column].dtype, np.integer)
    for column in ("id", "word", "label"):
        assert pd.api.types.is_string_dtype(explained[column])


@EACH
def test_an_example_without_words_is_skipped_with_its_reason(method):
    examples = pd.concat([EXAMPLES, table(("empty", "", None), ("marks", "?!", "..."))])
    explained = explain(Linear(), examples, method=method, n_samples=20)
    assert explained.attrs["skipped"] == {"empty": "no words", "marks": "no words"}
    assert set(explained["id"]) | set(explained.attrs["skipped"]) == set(examples["id"])
    assert explained["id"].nunique() + len(explained.attrs["skipped"]) == len(examples)


@EACH
def test_nothing_to_explain_gives_an_empty_table_of_the_same_kind(method):
    explained = explain(Linear(), table(("marks", "?!", None)), method=method)
    assert explained.empty and explained.attrs["skipped"] == {"marks": "no words"}
    check_types(explained, method)
    assert explain(Linear(), EXAMPLES.head(0), method=method).attrs["skipped"] == {}


# --- errors ---


def test_unknown_method():
    with pytest.raises(
        ExperimentError, match=r"^unknown method 'shapp'; did you mean 'shap'\? known: .*lime.*, shapley$"
    ):
        explain(Linear(), EXAMPLES, method="shapp")


@pytest.mark.parametrize("n_samples", [1, 0, -5])
def test_too_small_a_budget(n_samples):
    with pytest.raises(ExperimentError, match=f"^n_samples={n_samples}: a method needs at least 2 forward passes$"):
        explain(Linear(), EXAMPLES, n_samples=n_samples)


def test_repeated_ids():
    with pytest.raises(DataError, match=r"^id 'b-1' occurs twice; ids must be unique$"):
        explain(Linear(), pd.concat([EXAMPLES, EXAMPLES.head(1)]))


@pytest.mark.parametrize(("option", "value"), [("boundary", "safer"), ("mask", "drop")])
def test_unknown_options(option, value):
    with pytest.raises(ExperimentError, match=f"^unknown {option} '{value}'; .*known: "):
        explain(Linear(), EXAMPLES, **{option: value})


def test_only_the_authors_methods_are_had_as_released():
    with pytest.raises(
        ExperimentError, match=r"^boundary='as-released' repeats the authors' lime and shap, not 'shapley'"
    ):
        explain(Linear(), EXAMPLES, method="shapley", boundary="as-released")


# --- any callable ---


@EACH
def test_a_plain_callable_needs_labels_and_gives_the_same(method):
    expected = explain(Multiplicative(), EXAMPLES, method=method, n_samples=60)
    found = explain(Multiplicative().predict_proba, EXAMPLES, method=method, n_samples=60, labels=("no", "yes"))
    pd.testing.assert_frame_equal(found, expected, check_exact=True)
    with pytest.raises(ModelError, match=r"^a classifier is callable.*labels"):
        explain(Multiplicative().predict_proba, EXAMPLES, method=method)


@EACH
@pytest.mark.parametrize("mask", ["delete", "[MASK]", "[UNK]"])
def test_a_callable_and_its_classifier_agree(method, mask, tiny_bert):
    classifier = load_classifier(tiny_bert("BertForSequenceClassification"), device="cpu")
    examples = table(
        ("a", "a man reads in the park, isn't it?", "the dog runs"),
        ("b", "the good dog_house is bad", ""),
        ("c", "very very good man", None),
    )
    options = {"method": method, "n_samples": 40, "mask": mask}
    by_ids = explain(classifier, examples, **options)
    by_text = explain(classifier.predict_proba, examples, labels=classifier.labels, **options)
    pd.testing.assert_frame_equal(by_ids, by_text, check_exact=False, rtol=0, atol=1e-9)
    assert by_ids.attrs["retokenised"] == 0 < by_ids.attrs["passes"] == by_text.attrs["passes"]


@pytest.mark.parametrize(("mask", "token"), [("[MASK]", "[MASK]"), ("[UNK]", "[UNK]")])
def test_a_masked_word_is_replaced_by_the_token(mask, token):
    classifier = Linear(WEIGHTS | {(segment, token[1:-1]): 0 for segment in (0, 1)})
    explain(classifier, table(PAIR), method="occlusion", mask=mask)
    assert (f"two men -- {token} chess!", "nobody plays: chess?") in classifier.calls


# --- longer than the model takes ---


@EACH
def test_words_that_the_model_does_not_see_get_no_weight(method, tiny_bert):
    folder = tiny_bert("BertForSequenceClassification", model_max_length=16)
    classifier = load_classifier(folder, device="cpu")
    long = " ".join(["the man reads a park"] * 5)
    examples = table(("long", long, "the dog"), ("short", "a dog", "a man"), ("both", long, long))
    explained = explain(classifier, examples, method=method, n_samples=30)
    # 16 tokens hold [CLS], two [SEP] and 13 words: the longer side is cut first.
    assert explained.attrs["cut"] == {"long": 25 - 11, "both": 50 - 13}
    seen = explained[explained["label"] == "yes"].groupby(["id", "segment"]).size()
    assert (seen["long", 0], seen["long", 1], seen["both", 0] + seen["both", 1]) == (11, 2, 13)
    # It is the explanation of what the model sees.
    cut = table(("long", " ".join(long.split()[:11]), "the dog"))
    alone = explain(classifier, cut, method=method, n_samples=30)
    first = explained[explained["id"] == "long"].reset_index(drop=True)
    pd.testing.assert_frame_equal(first, alone, check_exact=True)
