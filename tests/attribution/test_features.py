"""What can be explained: words of one text and of a pair, and kinds of features that no module knows."""

import functools
import itertools
import re
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytest

from trusteq import words
from trusteq.attribution.engine import TextPredictor
from trusteq.attribution.explain import TYPES, example_of, explain, weigh
from trusteq.attribution.features import Features, Texts, partition_tree
from trusteq.attribution.methods import METHODS
from trusteq.attribution.tokens import TokenPredictor
from trusteq.errors import ExperimentError
from trusteq.models.classifier import load_classifier

ASKING = ["lime", "shap", "shapley", "occlusion"]


# --- kinds that are made here ---


@dataclass(frozen=True)
class Sentences(Features):
    """The sentences of a text."""

    id: str
    n_classes: int
    text: str

    @functools.cached_property
    def features(self):
        return tuple((0, at, sentence) for at, sentence in enumerate(re.findall(r"[^.]+\.", self.text)))

    def tree(self):
        return partition_tree([sentence for *_, sentence in self.features])

    def texts(self, masks):
        kept = [itertools.compress(self.features, mask) for mask in masks]
        return ["".join(sentence for *_, sentence in mask) for mask in kept], None


@dataclass(frozen=True)
class Patches(Features):
    """A picture in columns; nothing of it is a text."""

    id: str
    n_classes: int
    picture: np.ndarray

    @property
    def features(self):
        return tuple((0, column, f"column {column}") for column in range(self.picture.shape[1]))

    def tree(self):
        return partition_tree([""] * self.n_features)

    def texts(self, masks):
        return (list(self.picture * masks[:, None]),)


@pytest.fixture(scope="module")
def classifier(tiny_bert):
    return load_classifier(tiny_bert("BertForSequenceClassification"), device="cpu")


def length_of(texts, seconds=None):
    """p(yes) grows with every word that is left."""
    yes = np.array([0.1 + len(words.words(text)) / 100 for text in texts])
    return np.column_stack([1 - yes, yes])


SENTENCES = [
    Sentences("a", 2, "One. Two words. And three words. Here are four words."),
    Sentences("b", 2, "A sentence alone."),
    Sentences("none", 2, "no stop"),
]


@pytest.mark.parametrize("method", ASKING)
def test_sentences_are_explained_by_every_method(method):
    found = weigh(SENTENCES, TextPredictor(length_of, ("no", "yes")), method=method, n_samples=100)
    assert list(found)[: len(TYPES)] == list(TYPES) and found.attrs["skipped"] == {"none": "no words"}
    yes = found[found["label"] == "yes"].set_index(["id", "position"])["weight"]
    expected = {("a", 0): 0.01, ("a", 1): 0.02, ("a", 2): 0.03, ("a", 3): 0.04, ("b", 0): 0.03}
    if method == "lime":  # its ridge shrinks, a single feature to next to nothing
        assert list(yes["a"].argsort()) == [0, 1, 2, 3] and yes["b"][0] > 0
    else:
        assert dict(yes) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("method", ASKING)
def test_sentences_before_a_classifier_are_those_before_a_callable(method, classifier):
    text = Sentences("x", 3, "the man reads. a dog sleeps in the park. very good.")
    by_ids = weigh([text], TokenPredictor(classifier), method=method, n_samples=30)
    by_text = weigh([text], TextPredictor(classifier.predict_proba, classifier.labels), method=method, n_samples=30)
    pd.testing.assert_frame_equal(by_ids, by_text, check_exact=False, rtol=0, atol=1e-9)
    assert by_ids["weight"].abs().max() > 0.01 and by_ids.attrs["retokenised"] == 0


@pytest.mark.parametrize("method", ["shap", "shapley", "occlusion"])
def test_pictures_in_patches(method):
    def brightness(pictures):
        yes = np.array([picture.sum() for picture in pictures])
        return np.column_stack([1 - yes, yes])

    picture = np.array([[0.1, 0.0, 0.2], [0.1, 0.1, 0.0]])
    found = weigh([Patches("x", 2, picture)], TextPredictor(brightness, ("no", "yes")), method=method)
    np.testing.assert_allclose(found.loc[found["label"] == "yes", "weight"], picture.sum(axis=0), rtol=0, atol=1e-12)


def test_a_kind_that_tells_no_tokens_has_no_gradients(classifier):
    with pytest.raises(ExperimentError, match=r"^Sentences: no gradients; "):
        weigh(SENTENCES, TokenPredictor(classifier), method="gradient-x-input")


# --- words ---


def rows(*pairs):
    table = pd.DataFrame([(f"x-{n}", *pair) for n, pair in enumerate(pairs)], columns=["id", "text_a", "text_b"])
    return list(table.itertuples())


def test_a_row_is_a_single_text_or_a_pair():
    single, other, pair = (example_of(row, 2) for row in rows(("a man", None), ("a", float("nan")), ("a man", "")))
    assert {type(single), type(other), type(pair)} == {Texts}
    assert [len(example.sides) for example in (single, other, pair)] == [1, 1, 2]
    everything = np.ones((1, 2), dtype=bool)
    assert single.texts(everything) == (["a man"], None) and pair.texts(everything) == (["a man"], [""])


@pytest.mark.parametrize("method", ["lime", "shap"])
def test_a_pair_joined_as_released_is_another_kind_of_the_same_form(method):
    (row,) = rows(("two men play.", "nobody"))
    joined = example_of(row, 3, joined=METHODS[method].joined)
    assert isinstance(joined, METHODS[method].joined) and joined.joint == " [SEP] "
    assert joined.tree().shape == (joined.n_features - 1, 2)
    assert joined.texts(np.ones((1, joined.n_features), dtype=bool)) == (["two men play."], ["nobody"])
    (single,) = rows(("two men play.", None))
    assert type(example_of(single, 3, joined=METHODS[method].joined)) is Texts


def test_what_a_method_sees_is_no_more_than_features_classes_and_a_tree():
    class Bare:
        n_features, n_classes, joint, n_cut = 3, 2, None, 0

        def tree(self):
            return np.array([[0, 1], [3, 2]])

    for method in (METHODS[name] for name in [*ASKING, "random"]):
        at_work, answer = method.of(Bare())(Bare(), 50, np.random.default_rng(0)), None
        while not isinstance(at_work, np.ndarray):
            try:
                masks = at_work.send(answer)
            except StopIteration as finished:
                at_work = finished.value[0] if method.has_errors else finished.value
            else:
                answer = np.column_stack([masks.mean(axis=1), 1 - masks.mean(axis=1)])
        assert at_work.shape == (3, 2)


def test_words_are_explained_as_ever_through_weigh():
    table = pd.DataFrame([("x", "two men -- play", "nobody")], columns=["id", "text_a", "text_b"])
    predictor = TextPredictor(length_of, ("no", "yes"))
    found = weigh([example_of(row, 2) for row in table.itertuples()], predictor, method="lime", seed=4)
    expected = explain(length_of, table, labels=("no", "yes"), seed=4)
    pd.testing.assert_frame_equal(found, expected, check_exact=True)
    assert {"boundary": "safe", **found.attrs} == expected.attrs
