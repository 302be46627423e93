"""LIME's surrogate against ridge regressions by scikit-learn, and how its perturbations are drawn."""

import numpy as np
import pytest
from scipy.stats import chisquare
from sklearn.linear_model import Ridge

from trusteq.attribution.lime import FEATURES_KEPT, perturbations, surrogate

N_SAMPLES = 4001  # the first is the example itself


def draw(n_features, n_samples=N_SAMPLES, seed=0):
    return perturbations(n_features, n_samples, np.random.default_rng(seed))


def probabilities(masks, n_classes=3, seed=0):
    """Interacting features: of every class, the softmax of a quadratic form."""
    forms = np.random.default_rng(seed).normal(size=(n_classes, masks.shape[1], masks.shape[1])) / 5
    scores = np.exp(np.einsum("ni,cij,nj->nc", masks.astype(float), forms, masks.astype(float)))
    return scores / scores.sum(axis=1, keepdims=True)


def by_hand(masks, targets, n_kept):
    """The weights of one class by scikit-learn: cosine distance, exponential kernel, selection, regression."""
    kept = masks.sum(axis=1)
    cosine = kept / np.sqrt(np.maximum(kept, 1) * masks.shape[1])
    sample_weight = np.sqrt(np.exp(-((100 * (1 - cosine)) ** 2) / 25**2))
    selection = np.abs(Ridge(alpha=0.01).fit(masks, targets, sample_weight=sample_weight).coef_)
    chosen = np.sort(np.argsort(-selection)[:n_kept])
    weights = np.zeros(masks.shape[1])
    weights[chosen] = Ridge(alpha=1).fit(masks[:, chosen], targets, sample_weight=sample_weight).coef_
    return weights


@pytest.mark.parametrize("n_features", [1, 2, 7, 20, 21, 45])
def test_surrogate_is_the_regression_by_hand(n_features):
    masks = draw(n_features, 300)
    targets = probabilities(masks)
    weights = surrogate(masks, targets)
    assert weights.shape == (n_features, 3)
    for label in range(3):
        np.testing.assert_allclose(weights[:, label], by_hand(masks, targets[:, label], 20), rtol=0, atol=1e-10)
    assert (np.count_nonzero(weights, axis=0) == min(n_features, FEATURES_KEPT)).all()


@pytest.mark.parametrize("n_kept", [1, 3, 8])
def test_each_class_keeps_the_features_of_its_own_largest_weights(n_kept):
    masks = draw(8, 300)
    targets = probabilities(masks)
    weights = surrogate(masks, targets, n_kept=n_kept)
    for label in range(3):
        np.testing.assert_allclose(weights[:, label], by_hand(masks, targets[:, label], n_kept), rtol=0, atol=1e-10)


def test_linear_probabilities_are_found_again_but_for_the_penalty():
    masks, effects = draw(6), np.array([0.1, -0.05, 0.02, 0, 0.15, -0.1])
    yes = 0.4 + masks @ effects
    weights = surrogate(masks, np.column_stack([1 - yes, yes]))
    np.testing.assert_allclose(weights[:, 1], effects, rtol=0.02, atol=0.002)
    np.testing.assert_allclose(weights.sum(axis=1), 0, rtol=0, atol=1e-12)


def test_fewer_samples_than_features_are_enough():
    masks = draw(30, 15)
    # Words that are always removed together have equal weights: which of them is kept would hang on a rounding.
    assert len(np.unique(masks, axis=1).T) == 30
    weights = surrogate(masks, probabilities(masks))
    assert np.isfinite(weights).all()
    np.testing.assert_allclose(weights[:, 0], by_hand(masks, probabilities(masks)[:, 0], 20), rtol=0, atol=1e-10)


def test_surrogate_leaves_its_inputs_alone():
    masks = draw(25, 50)
    targets = probabilities(masks)
    before = masks.copy(), targets.copy()
    surrogate(masks, targets)
    assert np.array_equal(masks, before[0]) and np.array_equal(targets, before[1])


# --- perturbations ---


@pytest.mark.parametrize("n_features", [1, 2, 8, 30])
def test_the_first_keeps_all_words_and_the_others_lack_some(n_features):
    masks = draw(n_features)
    assert (masks.dtype, masks.shape) == (np.bool_, (N_SAMPLES, n_features))
    assert masks[0].all()
    assert not masks[1:].all(axis=1).any()


@pytest.mark.parametrize("n_features", [2, 8, 30])
def test_any_number_of_words_is_removed_equally_often(n_features):
    removed = (~draw(n_features)[1:]).sum(axis=1)
    counts = np.bincount(removed, minlength=n_features + 1)
    assert counts[0] == 0
    assert chisquare(counts[1:]).pvalue > 0.01


@pytest.mark.parametrize("n_features", [2, 8, 30])
def test_each_word_is_removed_equally_often_at_every_size(n_features):
    masks = draw(n_features)[1:]
    removed = (~masks).sum(axis=1)
    assert chisquare((~masks).sum(axis=0)).pvalue > 0.01
    # Of the perturbations that lack a single word, each word is lacking in as many.
    assert chisquare((~masks[removed == 1]).sum(axis=0)).pvalue > 0.01


def test_every_set_of_a_size_is_equally_likely():
    masks = draw(5, 20_001)[1:]
    codes = masks[masks.sum(axis=1) == 3] @ (1 << np.arange(5))
    counts = np.unique(codes, return_counts=True)[1]
    assert len(counts) == 10
    assert chisquare(counts).pvalue > 0.01


def test_perturbations_are_those_of_their_stream():
    assert np.array_equal(draw(9, seed=3), draw(9, seed=3))
    assert not np.array_equal(draw(9, seed=3), draw(9, seed=4))
    assert draw(3, 2).shape == (2, 3)
