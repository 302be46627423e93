"""Temperature scaling: what of a miscalibration one number repairs, fitted on examples that are not reported on."""

import math

import numpy as np
from numpy.typing import ArrayLike

from trusteq.calibration.bins import SMALLEST
from trusteq.calibration.proper_scores import check_predictions, check_probabilities
from trusteq.errors import DataError

_LARGEST = 100.0  # temperatures are sought in [1 / 100, 100]


def fit_temperature(probabilities: ArrayLike, labels: ArrayLike) -> float:
    """Return the temperature that minimises the NLL of `rescale(probabilities, temperature)`, in [0.01, 100].

    probabilities: shape (n, C), softmax output: its logarithm serves as the logits, which softmax knows only up to a
    constant; clipped at 1e-12. labels: shape (n,). Above 1, the model is overconfident. A bound is returned where the
    NLL falls towards it: 0.01 where all predictions are right, and 1 where no temperature does better than none, as
    for uniform probabilities. Raises DataError for other input.
    Source: Guo et al. (2017), On Calibration of Modern Neural Networks, section 4.2.
    """
    from scipy.optimize import minimize_scalar
    from scipy.special import logsumexp

    probabilities, labels = check_predictions(probabilities, labels)
    logits = _logits(probabilities)
    logits -= logits[np.arange(len(labels)), labels][:, None]  # the label's own is 0: the NLL is the log of the sum

    def nll(log_temperature: float) -> float:
        return float(logsumexp(logits / math.exp(log_temperature), axis=1).mean())

    limit = math.log(_LARGEST)
    found = minimize_scalar(nll, bounds=(-limit, limit), method="bounded", options={"xatol": 1e-8})  # convex in 1 / T
    best = min((0.0, -limit, limit, float(found.x)), key=nll)  # the search stops short of a bound; a tie leaves 1
    return math.exp(best)


def rescale(probabilities: ArrayLike, temperature: float) -> np.ndarray:
    """Return softmax(log(probabilities) / temperature), float64, shape (n, C); the order of the classes stays.

    probabilities: shape (n, C), clipped at 1e-12. Raises DataError for other input or a temperature not above 0.
    """
    from scipy.special import softmax

    if not (math.isfinite(temperature) and temperature > 0):
        raise DataError(f"temperature={temperature}; give a finite number above 0")
    return softmax(_logits(check_probabilities(probabilities)) / temperature, axis=1)


def _logits(probabilities: np.ndarray) -> np.ndarray:
    return np.log(np.maximum(probabilities, SMALLEST))
