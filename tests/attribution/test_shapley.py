"""Shapley values against brute force, closed forms on linear games, and the coverage of their standard errors."""

import itertools
import math

import numpy as np
import pytest

from trusteq.attribution.shapley import _covariance, _functional, _root, quadrature, shapley
from trusteq.attribution.stopping import FIRST_LOOK
from trusteq.statistics import stream


class Words:
    """An example of n words, as far as the method looks at it."""

    def __init__(self, n):
        self.n_features = n


def run(game, n, n_samples, seed=0, **options):
    """Return values, errors and all masks asked about, for a game: masks (m, n) -> probabilities (m, C)."""
    method = shapley(Words(n), n_samples, stream(seed, "test"), **options)
    asked, masks = [], next(method)
    while True:
        asked.append(masks)
        try:
            masks = method.send(game(masks))
        except StopIteration as finished:
            return *finished.value, np.concatenate(asked)


def brute_force(game, n):
    """Return the mean gain of each player over all orders."""
    values = np.zeros((n, game(np.zeros((1, n), dtype=bool)).shape[1]))
    for player in range(n):
        others = [other for other in range(n) if other != player]
        for size in range(n):
            share = math.factorial(size) * math.factorial(n - 1 - size) / math.factorial(n)
            for chosen in itertools.combinations(others, size):
                without = np.zeros((1, n), dtype=bool)
                without[0, list(chosen)] = True
                having = without.copy()
                having[0, player] = True
                values[player] += share * (game(having) - game(without))[0]
    return values


def crooked(masks):
    """A game with interactions of all orders and no symmetry."""
    n = masks.shape[1]
    total = masks @ np.sin(np.arange(1, n + 1))
    yes = 1 / (1 + np.exp(-total - masks[:, 0] * masks[:, 3] + 2 * masks[:, 1] * masks[:, 2] * masks[:, 4]))
    return np.column_stack([1 - yes, yes])


@pytest.mark.parametrize("n", [5, 8])
@pytest.mark.parametrize("n_samples", [2, 1000])
def test_few_words_are_enumerated(n, n_samples):
    values, errors, asked = run(crooked, n, n_samples)
    np.testing.assert_allclose(values, brute_force(crooked, n), rtol=0, atol=1e-12)
    assert (errors == 0).all() and len(np.unique(asked, axis=0)) == len(asked) == 2**n


@pytest.mark.parametrize("n", [3, 11, 30])
@pytest.mark.parametrize("n_samples", [100, 400])
def test_a_linear_game_has_its_own_weights(n, n_samples):
    weights = stream(1, "weights").normal(scale=0.05, size=(n, 2))
    values, errors, _ = run(lambda masks: 0.3 + masks @ weights, n, n_samples)
    np.testing.assert_allclose(values, weights, rtol=0, atol=1e-12)
    assert errors.max() < 1e-12


@pytest.mark.parametrize("n_samples", [2, 3, 50, 600])
def test_the_values_add_up_and_the_budget_holds(n_samples):
    values, errors, asked = run(crooked, 14, n_samples)
    whole, empty = crooked(np.array([[True] * 14, [False] * 14]))
    np.testing.assert_allclose(values.sum(axis=0), whole - empty, rtol=0, atol=1e-8)
    assert len(asked) <= n_samples and len(np.unique(asked, axis=0)) == len(asked)
    assert np.isfinite(errors).all()


def test_masks_come_in_pairs_of_every_size():
    *_, asked = run(crooked, 14, 600)
    assert {row.tobytes() for row in asked} == {row.tobytes() for row in ~asked}
    assert set(asked.sum(axis=1)) == set(range(15))


def test_the_errors_are_those_that_are_made():
    """Over many seeds, value minus truth over its standard error has a spread of about one."""
    truth = brute_force(crooked, 11)
    scores = []
    for seed in range(40):
        values, errors, _ = run(crooked, 11, 160, seed=seed)
        scores.append((values - truth) / errors)
    assert 0.6 < np.std(scores) < 1.4
    assert abs(np.mean(scores)) < 0.1


def test_more_passes_less_error():
    truth = brute_force(crooked, 11)
    found = {n: [np.abs(run(crooked, 11, n, seed=seed)[0] - truth).mean() for seed in range(5)] for n in (60, 1000)}
    assert np.mean(found[1000]) < np.mean(found[60]) / 3


CLEAR = np.repeat([0.04, 0.001], [10, 5])[:, None] * [1, -1]
TIED = np.full((15, 1), 0.02) * [1, -1]


def linear(weights):
    """A game of nothing but its weights, on which noise is put that no two masks share."""
    rough = stream(2, "rough").normal(scale=3e-3, size=2**15)[:, None] * [1, -1]
    return lambda masks: 0.5 + masks @ weights + rough[masks @ (1 << np.arange(15))]


@pytest.mark.parametrize("stable", [0.9, 0.95])
def test_a_clear_top_ten_stops_at_the_first_look_and_a_tied_one_never_does(stable):
    _, early, asked = run(linear(CLEAR), 15, 3000, stable=stable)
    assert early and len(asked) == FIRST_LOOK
    _, early, asked = run(linear(TIED), 15, 3000, stable=stable)
    assert not early and len(asked) == 3000


def test_without_a_tolerance_the_budget_is_spent():
    assert len(run(linear(CLEAR), 15, 3000)[-1]) == 3000


def test_a_run_that_does_not_stop_is_the_run_without_a_tolerance():
    values, errors, whole = run(linear(TIED), 15, 1000)
    (again, errors_again), early, asked = run(linear(TIED), 15, 1000, stable=0.9)
    assert not early and np.array_equal(asked, whole)
    assert np.array_equal(again, values) and np.array_equal(errors_again, errors)


def test_a_run_that_stops_has_asked_the_first_of_the_same_masks():
    *_, whole = run(linear(CLEAR), 15, 1000)
    *_, asked = run(linear(CLEAR), 15, 1000, stable=0.9)
    assert np.array_equal(asked, whole[: len(asked)]) and len(asked) < len(whole)


@pytest.mark.parametrize("n_samples", [2, 1000])
def test_few_words_are_enumerated_whatever_is_enough(n_samples):
    (values, errors), early, asked = run(crooked, 8, n_samples, stable=0.5)
    np.testing.assert_allclose(values, brute_force(crooked, 8), rtol=0, atol=1e-12)
    assert not early and len(asked) == 2**8 and (errors == 0).all()


def test_a_budget_for_all_masks_is_spent_on_all_masks():
    values, errors, asked = run(crooked, 11, 2048)
    np.testing.assert_allclose(values, brute_force(crooked, 11), rtol=0, atol=1e-12)
    assert len(asked) == 2048 and (errors == 0).all()


def test_a_budget_just_short_of_all_masks_ends():
    values, errors, asked = run(crooked, 11, 2047)
    assert len(asked) <= 2047
    assert (np.abs(values - brute_force(crooked, 11)) < 4 * errors + 1e-9).mean() > 0.9


@pytest.mark.parametrize("n", [2, 5])
def test_the_functional_is_the_shapley_value_of_the_covariance(n):
    table, prior = _functional(n)
    for keep in itertools.product([False, True], repeat=n):
        signs = 2.0 * np.array(keep) - 1
        values = brute_force(lambda masks, signs=signs: _covariance((2.0 * masks - 1) @ signs / n)[:, None], n)[:, 0]
        np.testing.assert_allclose(table[np.array(keep, dtype=int), sum(keep)], values, rtol=1e-12)

    # The prior covariance: the functional applied to both arguments.
    def value_of_each_word(rows):
        return np.stack([table[rows[:, word].astype(int), rows.sum(axis=1)] for word in range(n)], axis=1)

    np.testing.assert_allclose(brute_force(value_of_each_word, n), prior, rtol=1e-9, atol=1e-12)


def shares(n):
    """Return the matrix from the values of a game at all masks to the Shapley values, by brute force."""
    masks = np.array(list(itertools.product([False, True], repeat=n)))
    return masks, brute_force(lambda rows: (rows[:, None] == masks).all(axis=2).astype(float), n)


def test_the_posterior_is_the_gaussian_one():
    """On some masks of a small game, by the textbook's formula over all masks; the covariance once linear is fitted."""
    n, rng = 4, stream(0, "posterior")
    seen = np.array([[True] * 4, [True, False, False, True], [True, True, True, False], [False, True, False, False]])
    seen = np.concatenate([seen, [[False, False, True, True], [True, False, True, False]]])
    odd = rng.normal(size=(len(seen), 3))
    posterior = quadrature(seen, odd)
    masks, of_game = shares(n)
    signs, asked = 2.0 * masks - 1, 2.0 * seen - 1
    between = of_game @ _covariance(signs @ asked.T / n)
    noisy = _covariance(asked @ asked.T / n) + np.diag([1e-9] + [1e-2] * (len(seen) - 1))
    slopes = np.linalg.lstsq(asked, odd, rcond=None)[0]
    rest = odd - asked @ slopes
    np.testing.assert_allclose(posterior.values, 2 * slopes + between @ np.linalg.solve(noisy, rest), rtol=0, atol=1e-7)
    prior = of_game @ _covariance(signs @ signs.T / n) @ of_game.T
    words = prior - between @ np.linalg.solve(noisy, between.T)
    np.testing.assert_allclose(posterior.words, words, rtol=0, atol=1e-7)
    classes = rest.T @ np.linalg.solve(noisy, rest) / (len(seen) - n)
    np.testing.assert_allclose(posterior.classes, classes, rtol=0, atol=1e-7)
    assert posterior.values.sum(axis=0) == pytest.approx(2 * odd[0], abs=1e-6)
    together = np.kron(words, classes).diagonal().reshape(n, 3)
    np.testing.assert_allclose(posterior.errors**2, together, rtol=1e-5, atol=1e-9)


def test_what_is_drawn_has_the_covariance_of_the_posterior():
    rng = stream(0, "covariance")
    masks = np.concatenate([np.ones((1, 6), dtype=bool), rng.random((30, 6)) < 0.5])
    posterior = quadrature(masks, rng.normal(size=(31, 2)))
    for of in (posterior.words, posterior.classes):
        np.testing.assert_allclose(_root(of) @ _root(of).T, of, rtol=0, atol=1e-6)
    drawn = (posterior.drawn() - posterior.values).reshape(-1, 12)
    expected = np.kron(posterior.words, posterior.classes)
    deviations = np.sqrt(np.outer(expected.diagonal(), expected.diagonal()))
    assert np.abs(drawn.T @ drawn / len(drawn) - expected).max() < 0.2 * deviations.max()  # 4 / sqrt(500)


def test_the_functional_of_long_texts_is_the_mean_over_all_sizes_and_sets():
    """Counted with whole numbers, as a hypergeometric mean, for texts too long to enumerate; 10,000 words take no time.

    Summing in this way took minutes from 500 words on."""
    n, kept = 40, 13
    for keeps, others, dropped in ((0, 13, 26), (1, 12, 27)):
        mean = 0.0
        for size in range(n):
            for a in range(max(0, size - dropped), min(others, size) + 1):
                share = math.comb(others, a) * math.comb(dropped, size - a) / math.comb(n - 1, size) / n
                before = (2 * (2 * a + dropped - size + 1 - keeps) - n) / n
                mean += share * (_covariance(before + (2 * keeps - 1) * 2 / n) - _covariance(before))
        assert _functional(n)[0][keeps, kept] == pytest.approx(mean, rel=1e-12)
    assert np.isfinite(_functional(10_000)[0]).all()
