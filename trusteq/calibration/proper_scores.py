"""Calibration: does a model's confidence say how often it is right, and what of it does one number repair?

Confidence is the largest class probability, and the prediction its class (the first one on ties). Every score but the
smooth ECE is a function of sums over examples, so that one definition serves the score itself, its bootstrap, the
paired difference of two models and the null bands: only what is summed differs. Table and figure share these sums.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from trusteq.calibration.bins import SMALLEST, Design, Sums, check_predictions, check_probabilities
from trusteq.errors import DataError

_HOTTEST = 100.0  # temperatures are sought in [1 / 100, 100]


def reliability_table(
    probabilities: ArrayLike, labels: ArrayLike, *, n_bins: int = 10, binning: str = "equal-width"
) -> pd.DataFrame:
    """Return accuracy against confidence, one row per bin of confidence.

    probabilities: shape (n, C), rows sum to 1. labels: shape (n,), integers in [0, C). For the rest see `assign_bins`.
    Columns: lower, upper, count, share (of all predictions), accuracy, confidence (mean), gap (accuracy - confidence);
    the last three are nan in empty bins, which are kept. Raises DataError for input that is not that.
    """
    probabilities, labels = check_predictions(probabilities, labels)
    design = Design.of(probabilities, n_bins=n_bins, binning=binning)
    sums = {name: values[0] for name, values in design.sums(labels).items()}
    count = sums["bin_count"]
    filled = np.where(count, count, np.nan)
    table = pd.DataFrame({"lower": design.edges[:-1], "upper": design.edges[1:], "count": count})
    table = table.assign(
        share=count / len(labels), accuracy=sums["bin_correct"] / filled, confidence=sums["bin_confidence"] / filled
    )
    return table.assign(gap=table["accuracy"] - table["confidence"])


def mean(sums: Sums, of: str) -> np.ndarray:
    """Mean over the examples of what is summed."""
    return _mean(sums, sums[of])


def overconfidence(sums: Sums) -> np.ndarray:
    """Mean confidence less accuracy, in [-1, 1]: positive where the model promises more than it keeps."""
    return mean(sums, "bin_confidence") - mean(sums, "bin_correct")


def mce(sums: Sums) -> np.ndarray:
    """Maximum calibration error: largest absolute gap of a filled bin (Guo et al. 2017, equation 5)."""
    return np.max(np.abs(sums["bin_correct"] - sums["bin_confidence"]) / np.maximum(sums["bin_count"], 1), axis=-1)


def _mean(sums: Sums, values: np.ndarray) -> np.ndarray:
    return values.sum(axis=-1) / sums["bin_count"].sum(axis=-1)


def error(sums: Sums, bins: str) -> np.ndarray:
    """Expected calibration error: mean absolute gap of the bins, weighted by share.

    bins: "bin", those of the confidence (Guo et al. 2017, equation 3); "mass", the same of equal mass (Nguyen and
    O'Connor 2015; AdaECE of Mukhoti et al. 2020); "class", those of each class's probability, of equal width, averaged
    over the classes (Kull et al. 2019).
    """
    n_sets = sums[f"{bins}_count"].shape[-1] // sums["bin_count"].shape[-1]
    return _mean(sums, np.abs(sums[f"{bins}_correct"] - sums[f"{bins}_confidence"])) / n_sets


def debiased(sums: Sums, bins: str = "bin") -> np.ndarray:
    """ECE less its bias, the expected effect of noise in the bins' accuracies; may be slightly below 0.

    bins: see `error`. The noise is taken as normal, with variance acc (1 - acc) / n of each bin. The mean of the
    resampled ECE is that of folded normals, in closed form, where the source draws. Not clipped: that would bring a
    bias back. Source: Kumar, Liang and Ma (2019), Verified Uncertainty Calibration; normal_debiased_ce of their
    library, p = 1.
    """
    count = np.maximum(sums[f"{bins}_count"], 1)
    rate = sums[f"{bins}_correct"] / count
    gap = np.abs(sums[f"{bins}_correct"] - sums[f"{bins}_confidence"]) / count
    noisy = _mean_of_folded_normal(gap, np.sqrt(rate * (1 - rate) / count))
    n_sets = count.shape[-1] // sums["bin_count"].shape[-1]
    return 2 * error(sums, bins) - _mean(sums, sums[f"{bins}_count"] * noisy) / n_sets


def _mean_of_folded_normal(mean: np.ndarray, sd: np.ndarray) -> np.ndarray:
    """Return E|X| for X normal; |mean| where sd is 0."""
    from scipy.special import erf

    ratio = np.divide(mean, sd, out=np.full(np.shape(mean), np.inf), where=sd > 0)
    return sd * np.sqrt(2 / np.pi) * np.exp(-(ratio**2) / 2) + mean * erf(ratio / np.sqrt(2))


def smooth_ece(confidence: np.ndarray, correct: np.ndarray) -> float:
    """Return the smooth ECE by relplot: no bins, a kernel of its own choice of width (Błasiok and Nakkiran 2023)."""
    from relplot import smECE  # a second of imports (seaborn), for this score alone

    return float(smECE(confidence, correct.astype(np.float64)))


def is_right(design: Design, labels: np.ndarray) -> np.ndarray:
    """Return whether each prediction is right, (n,)."""
    return design.predicted == labels


def confidence(design: Design, labels: np.ndarray) -> np.ndarray:
    """Return the largest probability of each example, (n,)."""
    return design.confidence


def excess(design: Design, labels: np.ndarray) -> np.ndarray:
    """Return how much surer than right each prediction is, (n,)."""
    return design.confidence - is_right(design, labels)


def loss(name: str, *, reach: float | None) -> dict:
    """Return what a `Score` that is the mean of one of `Design.losses` has."""

    def of_examples(design: Design, labels: np.ndarray) -> np.ndarray:
        return design.losses[name][np.arange(len(labels)), labels]

    return {"of_sums": partial(mean, of=name), "of_examples": of_examples, "reach": reach}


@dataclass(frozen=True)
class Score:
    """A calibration score, with all that others ask of it.

    of_sums: from the sums of `Design`, name -> (..., width), to one number for each of "..."; by default the `error`
    over its bins. of_predictions: in its place, from the confidence, (n,), and whether the prediction is right, (n,),
    to a number; such a score has neither interval nor null band. of_examples: of a score that is a mean, from the
    design and the labels, (n,), to what each example adds, (n,), at most `reach` in size; None where that has no
    limit. title: in a sentence; by default its name with spaces. head: of a column; by default its name. bins: see
    `error`; the interval is that of the error less its bias.
    """

    name: str
    of_sums: Callable[[Sums], np.ndarray] | None = None
    of_predictions: Callable[[np.ndarray, np.ndarray], float] | None = None
    of_examples: Callable[[Design, np.ndarray], np.ndarray] | None = None
    reach: float | None = 1.0
    title: str = ""
    head: str = ""
    bins: str | None = None
    never_negative: bool = False
    has_interval: bool = True

    def __post_init__(self):
        object.__setattr__(self, "title", self.title or self.name.replace("_", " "))
        object.__setattr__(self, "head", self.head or self.name)
        if self.of_sums is None and self.bins:
            object.__setattr__(self, "of_sums", partial(error, bins=self.bins))
        object.__setattr__(self, "has_interval", self.has_interval and self.of_sums is not None)


SCORES: dict[str, Score] = {
    score.name: score
    for score in (
        Score("accuracy", partial(mean, of="bin_correct"), of_examples=is_right),
        Score("ece", title="ECE", head="ECE", bins="bin", never_negative=True),
        # The bootstrap is not valid for a maximum (Bickel and Freedman 1981): the MCE has a null band instead.
        Score("mce", mce, title="MCE", head="MCE", has_interval=False),
        Score("brier", title="Brier score (0 to 2)", head="Brier", **loss("brier", reach=2.0)),
        Score("nll", title="NLL (nats)", head="NLL", **loss("nll", reach=None)),
        Score("adaptive_ece", title="adaptive ECE", head="adaptive", bins="mass", never_negative=True),
        Score("classwise_ece", title="classwise ECE", head="classwise", bins="class", never_negative=True),
        Score("debiased_ece", debiased, title="debiased ECE", head="debiased", bins="bin"),
        Score("mean_confidence", partial(mean, of="bin_confidence"), of_examples=confidence),
        Score("overconfidence", overconfidence, of_examples=excess, title="mean confidence − accuracy"),
        Score("smooth_ece", of_predictions=smooth_ece, title="smooth ECE", head="smooth"),
    )
}


def scores(
    probabilities: ArrayLike, labels: ArrayLike, *, n_bins: int = 10, binning: str = "equal-width"
) -> dict[str, float]:
    """Return every score of `SCORES` by name; arguments and errors as for `reliability_table`.

    `binning` is that of ece, mce and debiased_ece; adaptive_ece and classwise_ece have their own, in `n_bins` too.
    """
    probabilities, labels = check_predictions(probabilities, labels)
    design = Design.of(probabilities, n_bins=n_bins, binning=binning)
    sums, correct = design.sums(labels), design.predicted == labels
    return {
        name: float(score.of_sums(sums)[0] if score.of_sums else score.of_predictions(design.confidence, correct))
        for name, score in SCORES.items()
    }


def brier_decomposition(probabilities: ArrayLike, labels: ArrayLike, *, n_bins: int = 10) -> dict[str, float]:
    """Return the parts of the Brier score: what is miscalibrated, what is known, and what cannot be known.

    brier = reliability - resolution + uncertainty + within_bin_variance - within_bin_covariance, exactly; each part is
    summed over classes, in `n_bins` bins of equal width of that class's probability. The last two are what happens
    within bins: 0 where all probabilities of a bin are equal. Arguments and errors as for `scores`.
    Source: Murphy (1973); Stephenson et al. (2008), Two Extra Components in the Brier Score Decomposition.
    """
    probabilities, labels = check_predictions(probabilities, labels)
    design, (n, n_classes) = Design.of(probabilities, n_bins=n_bins, binning="equal-width"), probabilities.shape
    happened = np.eye(n_classes)[labels]
    cells, base = design.class_bins, happened.mean(axis=0)
    count = np.maximum(np.bincount(cells.ravel(), minlength=n_bins * n_classes), 1)
    forecast, rate = (
        np.bincount(cells.ravel(), of.ravel(), n_bins * n_classes) / count for of in (probabilities, happened)
    )
    off = probabilities - forecast[cells]
    return {
        "reliability": float(((forecast - rate)[cells] ** 2).sum() / n),
        "resolution": float(((rate[cells] - base) ** 2).sum() / n),
        "uncertainty": float((base * (1 - base)).sum()),
        "within_bin_variance": float((off**2).sum() / n),
        "within_bin_covariance": float(2 * (off * (happened - rate[cells])).sum() / n),
    }


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

    limit = math.log(_HOTTEST)
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
