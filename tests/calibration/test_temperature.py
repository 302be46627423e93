import math

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from trusteq.calibration.proper_scores import fit_temperature, rescale
from trusteq.errors import DataError


def logit(p):
    return math.log(p / (1 - p))


def nll(probabilities, labels):
    return -np.log(probabilities[np.arange(len(labels)), labels]).mean()


def predictions(n, *, temperature, seed=0, n_classes=3):
    """Softmax rows, and labels drawn from them, once the rows are made sharper by `temperature`."""
    rng = np.random.default_rng(seed)
    calibrated = rng.dirichlet(np.full(n_classes, 0.7), size=n)
    labels = (rng.random(n)[:, None] > calibrated.cumsum(axis=1)[:, :-1]).sum(axis=1)
    return rescale(calibrated, 1 / temperature), labels


def test_temperature_of_alike_predictions_in_closed_form():
    """All rows say 0.9 and 80% are right: the temperature makes them say 0.8."""
    probabilities, labels = np.tile([0.9, 0.1], (100, 1)), np.repeat([0, 1], [80, 20])
    temperature = fit_temperature(probabilities, labels)
    assert temperature == pytest.approx(logit(0.9) / logit(0.8), rel=1e-5)
    np.testing.assert_allclose(rescale(probabilities, temperature)[:, 0], 0.8, atol=1e-5)


def test_temperature_of_two_classes_is_a_logistic_regression():
    probabilities, labels = predictions(800, temperature=2.0, n_classes=2)
    logits = np.log(np.maximum(probabilities, 1e-12))
    model = LogisticRegression(C=np.inf, fit_intercept=False, tol=1e-10).fit(logits[:, 1:] - logits[:, :1], labels)
    assert fit_temperature(probabilities, labels) == pytest.approx(1 / model.coef_[0, 0], rel=1e-5)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.5])
def test_a_known_temperature_is_found(temperature):
    probabilities, labels = predictions(20_000, temperature=temperature)
    assert fit_temperature(probabilities, labels) == pytest.approx(temperature, rel=0.05)


def test_scaled_predictions_need_a_scaled_temperature():
    probabilities, labels = predictions(500, temperature=1.3)
    fitted = fit_temperature(probabilities, labels)
    assert fit_temperature(rescale(probabilities, 2.0), labels) == pytest.approx(fitted / 2, rel=1e-5)
    assert fit_temperature(rescale(probabilities, fitted), labels) == pytest.approx(1, rel=1e-5)


def test_no_other_temperature_does_better():
    probabilities, labels = predictions(500, temperature=3.0)
    fitted = fit_temperature(probabilities, labels)
    best = nll(rescale(probabilities, fitted), labels)
    for other in np.geomspace(0.2, 20, 40):
        assert nll(rescale(probabilities, other), labels) >= best - 1e-12


@pytest.mark.parametrize(
    ("probabilities", "labels", "expected"),
    [
        ([[0.6, 0.4], [0.3, 0.7]], [0, 1], 0.01),  # all right: the surer the better
        ([[0.9, 0.1]] * 10, [0, 1, 1, 1, 1, 1, 1, 1, 1, 1], 100),  # mostly wrong: the less sure the better
        ([[0.5, 0.5]] * 3, [0, 1, 1], 1),  # nothing to scale
        ([[1.0, 0.0], [0.0, 1.0]], [0, 1], 0.01),
    ],
)
def test_temperatures_at_the_bounds(probabilities, labels, expected):
    assert fit_temperature(probabilities, labels) == pytest.approx(expected)


def test_order_of_rows_and_classes_does_not_matter():
    probabilities, labels = predictions(300, temperature=2.0)
    before, fitted = probabilities.copy(), fit_temperature(probabilities, labels)
    order = np.random.default_rng(0).permutation(300)
    assert fit_temperature(probabilities[order], labels[order]) == pytest.approx(fitted, rel=1e-6)
    assert fit_temperature(probabilities[:, ::-1], 2 - labels) == pytest.approx(fitted, rel=1e-6)
    np.testing.assert_array_equal(probabilities, before)


def test_rescale_keeps_rows_sums_and_predictions():
    probabilities, _ = predictions(300, temperature=2.0)
    np.testing.assert_allclose(rescale(probabilities, 1.0), probabilities, atol=1e-11)
    for temperature in (0.1, 3.0):
        scaled = rescale(probabilities, temperature)
        np.testing.assert_allclose(scaled.sum(axis=1), 1)
        np.testing.assert_array_equal(scaled.argmax(axis=1), probabilities.argmax(axis=1))
    squared = probabilities**2 / (probabilities**2).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(rescale(probabilities, 0.5), squared, atol=1e-9)


@pytest.mark.parametrize("temperature", [0, -1.0, math.nan, math.inf])
def test_impossible_temperatures_are_named(temperature):
    with pytest.raises(DataError, match=r"temperature=.*give a finite number above 0"):
        rescale([[0.5, 0.5]], temperature)


def test_bad_predictions_are_named():
    with pytest.raises(DataError, match="row 0 is 2, of 2 classes"):
        fit_temperature([[0.5, 0.5]], [2])
    with pytest.raises(DataError, match="row 0 sums to"):
        rescale([[0.5, 0.4]], 1.0)
