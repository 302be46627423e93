"""Owen values against their definition: the mean contribution over all orders of the words that the tree allows."""

import itertools
import math

import numpy as np
import pytest
from games import play

from trusteq.attribution.features import Texts
from trusteq.attribution.owen import _evaluations, owen

TEXT = "one two, three four five and six seven eight"


def example(text_a, text_b=None):
    return Texts("x", 2, (text_a,) if text_b is None else (text_a, text_b))


def game(n, seed=0):
    """A random value for every mask of n features, as a function of masks; two classes that sum to 1."""
    values = np.random.default_rng(seed).random(2**n)

    def probabilities(masks):
        yes = values[masks @ (1 << np.arange(n))]
        return np.column_stack([yes, 1 - yes])

    return probabilities


def orders(tree, node, n):
    """All orders of the words below a node that keep the words of each merge together."""
    if node < n:
        return [[int(node)]]
    left, right = (orders(tree, child, n) for child in tree[node - n])
    return [a + b for one, other in ((left, right), (right, left)) for a, b in itertools.product(one, other)]


def by_definition(tree, n, probabilities):
    values = np.zeros((n, 2))
    allowed = orders(tree, n + len(tree) - 1, n)
    for order in allowed:
        masks = np.zeros((n + 1, n), dtype=bool)
        for place, word in enumerate(order):
            masks[place + 1 :, word] = True
        values[order] += np.diff(probabilities(masks), axis=0)
    return values / len(allowed)


@pytest.mark.parametrize(
    "texts", [("one two",), ("one", "two"), ("one two three",), ("one, two three. four", "five and six"), (TEXT,)]
)
def test_owen_values_are_those_of_their_definition(texts):
    words = example(*texts)
    probabilities = game(words.n_features)
    values, _ = play(owen(words, 10_000, None), probabilities)
    expected = by_definition(words.tree(), words.n_features, probabilities)
    np.testing.assert_allclose(values, expected, rtol=0, atol=1e-12)
    assert np.abs(values).max() > 0.05


def test_the_definition_needs_a_tree_that_is_not_flat():
    """Shapley values, over all orders whatever, are others: the tree matters."""
    words = example("one two three four")
    probabilities = game(4)
    values, _ = play(owen(words, 1000, None), probabilities)
    shapley = np.zeros(4)
    for order in itertools.permutations(range(4)):
        masks = np.tril(np.ones((5, 4), dtype=bool), -1)[:, np.argsort(order)]
        shapley[list(order)] += np.diff(probabilities(masks)[:, 0]) / math.factorial(4)
    assert np.abs(values[:, 0] - shapley).max() > 0.01


@pytest.mark.parametrize("n_samples", [2, 3, 4, 5, 10, 17, 60, 61, 200, 5000])
def test_values_add_up_to_what_the_words_change(n_samples):
    words = example("one two, three four five. six", "seven and eight nine ten")
    probabilities = game(words.n_features)
    values, _ = play(owen(words, n_samples, None), probabilities)
    whole, empty = probabilities(np.outer([1, 0], np.ones(words.n_features, dtype=np.int64)).astype(bool))
    np.testing.assert_allclose(values.sum(axis=0), whole - empty, rtol=0, atol=1e-12)


def test_linear_probabilities_give_their_weights_whatever_the_order():
    words, weights = example(TEXT), np.arange(9) / 100
    values, _ = play(owen(words, 5000, None), lambda masks: np.column_stack([masks @ weights, 1 - masks @ weights]))
    np.testing.assert_allclose(values, np.column_stack([weights, -weights]), rtol=0, atol=1e-12)


def test_without_a_budget_the_change_is_shared_out_equally():
    words = example(TEXT)
    probabilities = game(9)
    values, asked = play(owen(words, 2, None), probabilities)
    assert len(asked) == 2
    whole, empty = probabilities(np.outer([1, 0], np.ones(9, dtype=np.int64)).astype(bool))
    np.testing.assert_allclose(values, np.tile((whole - empty) / 9, (9, 1)), rtol=0, atol=1e-15)


@pytest.mark.parametrize("texts", [("one",), ("one two",), (TEXT,), (TEXT, "ten eleven"), ("but " * 9,), ("a . " * 8,)])
def test_the_number_of_evaluations_is_that_of_the_masks_asked(texts):
    words = example(*texts)
    _, asked = play(owen(words, 10**6, None), game(words.n_features))
    assert len(asked) == _evaluations(words.tree(), words.n_features)


def test_evaluations_of_a_tree_too_deep_for_64_bits():
    chain = np.array([[0, 1], *([100 + merge, merge + 2] for merge in range(98))])
    assert _evaluations(chain, 100) == 2 + 2 * (2**99 - 1)


@pytest.mark.parametrize("slack", [-3, -2, -1, 0, 1])
def test_a_budget_just_short_of_all_branches(slack):
    """As the library, an odd budget is exceeded by one; the last pair of masks is then evaluated anyway."""
    words = example(TEXT)
    enough = _evaluations(words.tree(), 9)
    probabilities = game(9)
    values, asked = play(owen(words, enough + slack, None), probabilities)
    complete = np.allclose(values, by_definition(words.tree(), 9, probabilities), rtol=0, atol=1e-12)
    assert complete == (slack >= -1)
    assert len(asked) <= enough


@pytest.mark.parametrize("n_samples", [2, 3, 4, 9, 10, 33, 100, 101, 200])
def test_a_small_budget_is_kept_but_for_what_was_looked_ahead(n_samples):
    words = example(TEXT + ", " + TEXT, TEXT)
    assert _evaluations(words.tree(), words.n_features) > n_samples
    for seed in range(5):
        _, asked = play(owen(words, n_samples, None), game_of_many(words.n_features, seed))
        # Branches that were evaluated ahead of their turn, and then were not among the best.
        assert n_samples <= len(asked) <= 1.6 * n_samples
        assert asked[:2].tolist() == [[False] * words.n_features, [True] * words.n_features]
        assert len(np.unique(asked, axis=0)) == len(asked)


def game_of_many(n, seed):
    """As `game`, for more features than can be enumerated."""
    first, second = np.random.default_rng(seed).normal(size=(2, n))

    def probabilities(masks):
        yes = 1 / (1 + np.exp(-(masks @ first) - (masks @ second) ** 2))
        return np.column_stack([yes, 1 - yes])

    return probabilities
