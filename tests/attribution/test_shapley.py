"""Shapley values against brute force, closed forms on linear games, and the coverage of their standard errors."""

import functools
import itertools
import math

import numpy as np
import pytest
from games import Words, play

from trusteq.attribution import shapley as module
from trusteq.attribution.shapley import LINEAR, Kernel, learned, quadrature, shapley
from trusteq.attribution.stopping import FIRST_LOOK
from trusteq.statistics import stream


def run(game, n, n_samples, seed=0, **options):
    """Return values, errors and all masks asked about, for a game: masks (m, n) -> probabilities (m, C)."""
    found, asked = play(shapley(Words(n), n_samples, stream(seed, "test"), **options), game)
    return *found, asked


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


def all_masks(n):
    return np.array(list(itertools.product([False, True], repeat=n)))


def covariance_of(masks, others, kernel):
    """The prior's covariance as it is defined, between two sets of masks."""
    n, signs, of = masks.shape[1], 2.0 * masks - 1, 2.0 * others - 1
    alike = signs @ of.T
    together = np.sinh((signs * kernel.weights) @ of.T) / np.sinh(kernel.weights.sum())
    same = (alike == n).astype(float) - (alike == -n)
    return LINEAR / n * alike + together + kernel.left * same


@pytest.fixture(params=[2, 5])
def kernel(request):
    return Kernel(stream(1, "kernel").uniform(0.05, 0.9, size=request.param), 0.07)


def test_the_functional_is_the_shapley_value_of_the_covariance(kernel):
    n = len(kernel.weights)
    masks = all_masks(n)
    found = module._functional(masks, kernel)
    for row, mask in zip(found, masks, strict=True):
        game = functools.partial(covariance_of, others=mask[None], kernel=kernel)
        np.testing.assert_allclose(row, brute_force(game, n)[:, 0], rtol=1e-10)


def test_the_prior_covariance_is_the_functional_applied_to_both_arguments(kernel):
    n = len(kernel.weights)
    twice = brute_force(lambda masks: module._functional(masks, kernel), n)
    np.testing.assert_allclose(module._covariances(kernel), twice, rtol=0, atol=1e-9)
    np.testing.assert_allclose(module._variances(kernel), twice.diagonal(), rtol=1e-10)
    assert module._covariances(kernel).sum() == pytest.approx(4 * (LINEAR + 1 + kernel.left))  # all words together


def test_the_posterior_is_the_gaussian_one():
    """Mean and covariance by the textbook formula, with functionals by enumeration."""
    n, rng = 4, stream(0, "posterior")
    kernel = Kernel(np.array([0.1, 0.9, 0.4, 0.3]), 0.1)
    masks = all_masks(n)[[15, 9, 14, 4, 13]]
    odd = rng.normal(size=(5, 2))
    found = quadrature(masks, odd, kernel)
    among = covariance_of(masks, masks, kernel)
    of_words = brute_force(functools.partial(covariance_of, others=masks, kernel=kernel), n)
    mean = of_words @ np.linalg.solve(among, odd)
    np.testing.assert_allclose(found.values, mean, rtol=1e-3)  # the variance of what is linear is large, not infinite
    prior = brute_force(lambda some: brute_force(lambda rows: covariance_of(rows, some, kernel), n).T, n)
    expected = prior - of_words @ np.linalg.solve(among, of_words.T)
    np.testing.assert_allclose(found.covariance(), expected, rtol=0, atol=1e-6)
    spread = np.sqrt(expected.diagonal()[:, None] * found.scale.diagonal())
    np.testing.assert_allclose(found.errors, spread, rtol=1e-4)
    assert found.values.sum(axis=0) == pytest.approx(2 * odd[0])


def test_what_is_drawn_has_the_covariance_of_the_posterior():
    rng = stream(0, "covariance")
    masks = all_masks(6)[[63, *(32 + rng.permutation(31)[:12])]]  # no mask twice, nor reversed
    posterior = quadrature(masks, rng.normal(size=(13, 2)), Kernel(np.linspace(0.1, 0.6, 6), 0.1))
    drawn = (posterior.drawn() - posterior.values).reshape(-1, 12)
    expected = np.kron(posterior.covariance(), posterior.scale)
    deviations = np.sqrt(np.outer(expected.diagonal(), expected.diagonal()))
    assert np.abs(drawn.T @ drawn / len(drawn) - expected).max() < 0.2 * deviations.max()  # 4 / sqrt(500)
    np.testing.assert_allclose(posterior.errors.ravel(), np.sqrt(expected.diagonal()), rtol=1e-3)


def test_the_gradient_is_that_of_the_likelihood_and_the_likelihood_that_of_a_normal_distribution():
    from scipy.optimize import approx_fprime
    from scipy.stats import multivariate_normal

    masks, rng = all_masks(5)[16:], stream(0, "gradient")
    signs, pairs = 2.0 * masks - 1, rng.normal(size=(16, 2, 3))
    halves = [module._half(signs, pairs, parity) for parity in (-1, 1)]
    at = rng.normal(-1, 0.5, size=7)
    _, gradient = module._unlikelihood(at, signs, halves)
    numeric = approx_fprime(at, lambda at: module._unlikelihood(at, signs, halves)[0], 1e-6)
    np.testing.assert_allclose(gradient, numeric, rtol=1e-4, atol=1e-3)

    def log_density(at):
        kernel = Kernel(np.exp(at[:5]), math.exp(at[5]))
        of = covariance_of(masks, masks, kernel)
        scale = [y @ np.linalg.solve(of, y) / 16 for y in halves[0].targets.T]
        found = [
            multivariate_normal.logpdf(y, cov=best * of) for y, best in zip(halves[0].targets.T, scale, strict=True)
        ]
        return sum(found) / 3 * 2

    half = halves[0]._replace(dof=16)
    one, other = (module._unlikelihood(at, signs, [half])[0] - module._before(at, 5)[0] for at in (at, at + 0.1))
    assert other - one == pytest.approx(log_density(at) - log_density(at + 0.1), rel=1e-5)


def test_weights_are_large_of_words_that_do_something_together():
    """Three of twelve words act together, one acts alone: the weights tell them apart, and the values are right."""

    def game(masks):
        yes = 0.2 + 0.5 * masks[:, [1, 4, 7]].all(axis=1) + 0.2 * masks[:, 2]
        return np.column_stack([1 - yes, yes])

    rng = stream(0, "planted")
    masks = np.concatenate([np.ones((1, 12), dtype=bool), rng.random((127, 12)) < 0.5])
    kernel = learned(masks, np.stack([game(masks), game(~masks)], axis=1))
    order = np.argsort(-kernel.weights)
    assert set(order[:3]) == {1, 4, 7}
    assert kernel.weights[order[2]] > 5 * kernel.weights[order[3]]
    values, errors, _ = run(game, 12, 600)
    truth = np.zeros(12)
    truth[[1, 4, 7]], truth[2] = 0.5 / 3, 0.2
    np.testing.assert_allclose(values[:, 1], truth, rtol=0, atol=2e-3)
    assert errors.max() < 5e-3


def test_the_weights_depend_on_no_scale_and_no_class_twice():
    rng = stream(0, "scale")
    masks = np.concatenate([np.ones((1, 12), dtype=bool), rng.random((99, 12)) < 0.5])
    pairs = np.stack([crooked(masks), crooked(~masks)], axis=1)
    one, wider = learned(masks, pairs), learned(masks, 0.01 * pairs)
    np.testing.assert_allclose(wider.weights, one.weights, rtol=1e-6)
    np.testing.assert_allclose(learned(masks, pairs[:, :, 1:]).weights, one.weights, rtol=1e-3)


@pytest.mark.parametrize("n", [40, 3000])
def test_the_values_of_long_texts_add_up_to_that_of_all_words(n):
    """By the definition of the covariance; counted over sizes and sets it took minutes from 500 words on."""
    rng = stream(0, "long")
    kernel, masks = Kernel(rng.uniform(0, 100 / n, size=n), 0.01), rng.random((4, n)) < 0.5
    found = module._functional(masks, kernel)
    np.testing.assert_allclose(found.sum(axis=1), 2 * covariance_of(masks, np.ones((1, n)), kernel)[:, 0], rtol=1e-9)
    assert (module._variances(kernel) > 4 * LINEAR / n).all()
