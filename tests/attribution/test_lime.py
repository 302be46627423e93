"""LIME's surrogate against ridge regressions by scikit-learn, and how its perturbations are drawn."""

import numpy as np
import pytest
from games import Words, play
from scipy.stats import chisquare
from sklearn.linear_model import Ridge

from trusteq.alignment.ranking import drawn_jaccards
from trusteq.attribution.lime import FEATURES_KEPT, _influence, drawn, lime, perturbations, surrogate
from trusteq.attribution.stopping import FIRST_LOOK

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


# --- how far the weights may lie from those of infinitely many samples ---


def run(game, n, n_samples, seed=0, **options):
    """Return what lime returns, and all masks asked about."""
    return play(lime(Words(n), n_samples, np.random.default_rng(seed), **options), game)


@pytest.mark.parametrize("n_features", [12, 24])
def test_what_is_drawn_spreads_as_the_weights_do_from_seed_to_seed(n_features):
    """Over 60 runs: standard deviations, and correlations over classes, of the words that every run keeps."""
    runs = []
    for seed in range(60):
        masks = draw(n_features, 1500, seed)
        runs.append(surrogate(masks, probabilities(masks)))
    always = (np.array(runs) != 0).all(axis=(0, 2))
    assert always.sum() >= 7
    found = np.array(runs)[:, always]
    said = drawn(masks, probabilities(masks), runs[-1])[:, always]
    np.testing.assert_allclose(np.median(said.std(axis=0) / found.std(axis=0)), 1, rtol=0, atol=0.07)
    # Of each word, the classes' weights move against each other, since probabilities add up to 1.
    expected, known = (
        np.array([np.corrcoef(of[:, word].T)[0, 1] for word in range(always.sum())]) for of in (found, said)
    )
    assert abs(np.mean(expected - known)) < 0.1 and np.mean(known) < 0


def test_the_sandwich_is_the_one_by_hand():
    """Leave-one-out residuals of the weighted regression, from regressions without each sample (HC3)."""
    masks = draw(5, 40)
    target, proximity = probabilities(masks)[:, 0], np.linspace(0.2, 1, 40)
    design = np.column_stack([np.ones(40), masks])
    penalty = np.diag([0] + [1.0] * 5)

    def fitted(rows):
        return np.linalg.solve(
            design[rows].T @ (proximity[rows, None] * design[rows]) + penalty,
            design[rows].T @ (proximity[rows] * target[rows]),
        )

    every = np.arange(40)
    coefficients = fitted(every)
    left_out = np.array([target[row] - design[row] @ fitted(np.delete(every, row)) for row in every])
    bread = np.linalg.inv(design.T @ (proximity[:, None] * design) + penalty)
    expected = (left_out * proximity)[:, None] * (design @ bread)[:, 1:]
    found = _influence(masks.astype(float), target, coefficients[1:], proximity, penalty=1.0)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)


def test_linear_probabilities_leave_nothing_open_but_the_penalty():
    masks, effects = draw(12), np.linspace(-0.03, 0.03, 12)
    yes = 0.4 + masks @ effects
    targets = np.column_stack([1 - yes, yes])
    weights = surrogate(masks, targets)
    assert 0 < np.abs(drawn(masks, targets, weights) - weights).max() < 1e-4


def test_words_that_are_not_kept_may_have_been():
    """All words alike: with more than are kept, those that are not come into the top ten as often as the others."""
    masks = draw(40, 400)
    alike = masks.mean(axis=1)[:, None] * [1, -1] / 2 + 0.5 + np.random.default_rng(1).normal(size=(400, 1)) * [1, -1]
    weights = surrogate(masks, alike)
    of = drawn(masks, alike, weights)
    assert of.std(axis=0).min() > 0.3 * of.std(axis=0).max()
    assert drawn_jaccards(weights, of).mean() < 0.4


CLEAR = np.repeat([0.04, 0.001], [10, 5])[:, None] * [1, -1]
TIED = np.full((15, 1), 0.02) * [1, -1]


def linear(weights):
    rough = np.random.default_rng(2).normal(scale=3e-3, size=2**15)[:, None] * [1, -1]
    return lambda masks: 0.5 + masks @ weights + rough[masks @ (1 << np.arange(15))]


@pytest.mark.parametrize("stable", [0.8, 0.95])
def test_a_clear_top_ten_stops_at_the_first_look_and_a_tied_one_never_does(stable):
    (weights, early), asked = run(linear(CLEAR), 15, 1000, stable=stable)
    whole, all_asked = run(linear(CLEAR), 15, 1000)
    assert early and len(asked) == FIRST_LOOK and np.array_equal(asked, all_asked[:FIRST_LOOK])
    assert np.array_equal(weights, surrogate(asked, linear(CLEAR)(asked)))
    (weights, early), asked = run(linear(TIED), 15, 1000, stable=stable)
    whole, all_asked = run(linear(TIED), 15, 1000)
    assert not early and np.array_equal(asked, all_asked) and np.array_equal(weights, whole)
