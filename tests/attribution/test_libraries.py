"""Our lime and shap against the libraries themselves, with the same masks: made-up, tiny and real classifiers."""

import itertools
import os
import zlib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from libraries import explain_with_library

from trusteq.attribution.explain import explain
from trusteq.errors import ExperimentError
from trusteq.examples.load import load_examples
from trusteq.models.classifier import load_classifier

SHARED_HUB = Path(__file__).parents[2].parent / "shared" / "hub"
HUB = Path(os.environ.get("TRUSTEQ_HUB") or SHARED_HUB)
CHECKPOINT = "trusteq/minilm-snli-18k"


class Hashed:
    """Probabilities that depend on each word, its neighbour and its segment at random: non-linear, and no two alike."""

    labels = ("no", "yes", "maybe")

    def __init__(self):
        self.calls = []

    def __call__(self, text_a, text_b=None):
        seconds = [None] * len(text_a) if text_b is None else text_b
        self.calls.append(len(text_a))
        scores = np.array([self.score(*pair) for pair in zip(text_a, seconds, strict=True)])
        exponentials = np.exp(scores)
        return exponentials / exponentials.sum(axis=1, keepdims=True)

    def score(self, *texts):
        words = [f"{segment}{word}" for segment, text in enumerate(texts) for word in (text or "").split()]
        pairs = [left + right for left, right in itertools.pairwise(words)]
        return [sum(self.draw(label + part) for part in words + pairs) for label in self.labels]

    def draw(self, text):
        return zlib.crc32(text.encode()) / 2**32 - 0.5


def table(*texts):
    """Examples from (text_a, text_b)."""
    return pd.DataFrame([(f"x-{n}", *pair) for n, pair in enumerate(texts)], columns=["id", "text_a", "text_b"])


LONG = (
    "the quick brown fox jumps over a lazy dog and then , (very slowly) it's going back home to sleep in its warm den."
)
EXAMPLES = table(
    ("two men play chess in the park.", "nobody plays (chess)"),
    ("a dog, a cat; and a bird", None),
    (LONG, "an animal sleeps, but where?"),
    (LONG + " Soon it dreams of hens!", None),
    ("rain", "rain"),
    ("no second text here", ""),
    ("?!", "the first has no words"),
)
ONE_WORD = table(("rain!", None), ("", "rain"), ("?", "..."))


def assert_equal(ours, theirs, *, atol):
    pd.testing.assert_frame_equal(ours.drop(columns="weight"), theirs.drop(columns="weight"))
    assert np.abs(ours["weight"]).max() > 100 * atol
    np.testing.assert_allclose(ours["weight"], theirs["weight"], rtol=0, atol=atol)


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("n_samples", [30, 400])
def test_lime_of_a_callable(n_samples, seed):
    ours = explain(Hashed(), EXAMPLES, method="lime", n_samples=n_samples, seed=seed)
    theirs = explain_with_library(Hashed(), EXAMPLES, method="lime", n_samples=n_samples, seed=seed)
    assert_equal(ours, theirs, atol=1e-6)
    long = ours[ours["id"] == "x-3"].groupby("label")["weight"]
    assert (long.size() > 20).all()
    assert (long.agg(np.count_nonzero) == 20).all()


# 5,000 evaluations are enough for every tree; among the small numbers are odd ones and such that split nothing.
@pytest.mark.parametrize("n_samples", [2, 3, 4, 7, 8, 9, 10, 11, 31, 100, 101, 250, 251, 500, 5000])
def test_shap_of_a_callable(n_samples):
    ours = explain(Hashed(), EXAMPLES, method="shap", n_samples=n_samples)
    theirs = explain_with_library(Hashed(), EXAMPLES, method="shap", n_samples=n_samples, seed=0)
    assert_equal(ours, theirs, atol=1e-6)


@pytest.mark.parametrize("method", ["lime", "shap"])
def test_texts_of_one_word_and_of_none(method):
    ours = explain(Hashed(), ONE_WORD, method=method, n_samples=20)
    assert_equal(ours, explain_with_library(Hashed(), ONE_WORD, method=method, n_samples=20, seed=0), atol=1e-6)
    assert list(ours["id"].unique()) == ["x-0", "x-1"]


@pytest.mark.parametrize(("method", "n_samples"), [("lime", 200), ("shap", 60), ("shap", 600)])
def test_a_classifier(tiny_bert, method, n_samples):
    classifier = load_classifier(tiny_bert("BertForSequenceClassification"), device="cpu")
    examples = table(
        ("a man reads, the dog sleeps.", "the woman runs"),
        ("the very good dog runs in the park, and a very bad man sleeps in a house!", "not good"),
        ("the very good dog runs in a park. The man reads, eats, sleeps and runs? not a very bad house", None),
        ("a man reads " * 20, "the dog sleeps " * 20),  # more than the model takes
    )
    ours = explain(classifier, examples, method=method, n_samples=n_samples)
    theirs = explain_with_library(classifier, examples, method=method, n_samples=n_samples, seed=0)
    assert_equal(ours, theirs, atol=1e-4)


@pytest.mark.skipif(
    not (HUB / "models" / CHECKPOINT).is_dir(), reason=f"no {CHECKPOINT} in TRUSTEQ_HUB or ../shared/hub"
)
@pytest.mark.parametrize(("method", "n_samples"), [("lime", 300), ("shap", 150), ("shap", 500)])
def test_minilm_on_snli(method, n_samples):
    classifier = load_classifier(CHECKPOINT, hub=HUB, device="cpu")
    examples = load_examples("snli", "test", hub=HUB, limit=2)
    ours = explain(classifier, examples, method=method, n_samples=n_samples)
    theirs = explain_with_library(classifier, examples, method=method, n_samples=n_samples, seed=0)
    assert_equal(ours, theirs, atol=1e-4)
    assert ours.attrs["retokenised"] == 0


def test_the_library_is_called_as_by_the_authors():
    classifier = Hashed()
    explain_with_library(classifier, EXAMPLES[:2], method="lime", n_samples=50, seed=0)
    assert classifier.calls == [50, 50]
    classifier.calls.clear()
    explain_with_library(classifier, EXAMPLES[:1], method="shap", n_samples=100, seed=0)
    assert classifier.calls[:2] == [1, 1]
    assert max(classifier.calls) == 6


def test_the_library_leaves_numpys_random_stream_alone():
    np.random.seed(5)
    expected = np.random.random()
    np.random.seed(5)
    for method in ("lime", "shap"):
        explain_with_library(Hashed(), EXAMPLES[:1], method=method, n_samples=20, seed=0)
    assert np.random.random() == expected


def test_no_examples_give_no_rows():
    found = explain_with_library(Hashed(), EXAMPLES[:0], method="lime", n_samples=20, seed=0)
    pd.testing.assert_frame_equal(found, explain(Hashed(), EXAMPLES[:0], n_samples=20))


def test_other_methods_have_no_library():
    with pytest.raises(ExperimentError, match=r"unknown method 'shaply' of a library; did you mean 'shap'\?"):
        explain_with_library(Hashed(), EXAMPLES, method="shaply", n_samples=20, seed=0)
